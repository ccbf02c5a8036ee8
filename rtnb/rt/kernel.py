# SPDX-License-Identifier: MIT
"""What does this kernel promise a real-time task? Preemption, timers, clocks, throttling, idle states, limits.

`kernel()` is a row a fact, each with what it means for latency. What cannot be read is told as such, with why.
"""

from __future__ import annotations

import errno
import glob
import platform
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from rtnb import caps, schema
from rtnb.abi.time import CLOCK_MONOTONIC, CLOCK_MONOTONIC_COARSE, CLOCKS
from rtnb.caps.kconfig import kconfig
from rtnb.errors import BadInput
from rtnb.schema import column, table
from rtnb.units import in_words, nanoseconds

__all__ = [
    "Fact",
    "Preemption",
    "Steal",
    "clock_steps",
    "kernel",
    "preemption",
    "realtime",
    "resolutions",
    "steal",
    "tick_hz",
]

_UNKNOWN = "cannot tell"
_CPUS = "/sys/devices/system/cpu"
_SYSCTL = "/proc/sys/kernel"
_DEBUG = "/sys/kernel/debug/sched"
_CLOCKSOURCE = "/sys/devices/system/clocksource/clocksource0"

_MODELS = {
    "none": "kernel code gives the CPU up only where it says so: a long stretch without such a place delays a task",
    "voluntary": "as none, with more places where kernel code gives the CPU up: the stretches are shorter",
    "full": "kernel code is preempted anywhere but in spinlocks and interrupts: those sections are what delays",
    "lazy": "for real-time tasks as full; ordinary tasks are preempted at the next tick or return to user space",
    "PREEMPT_RT": "spinlocks sleep and interrupts are threads: nearly all kernel code makes way for a real-time task",
}
_SAID = {
    errno.EPERM: "a locked-down kernel lets nobody read it, see kernel_lockdown(7)",
    errno.EACCES: "only root may read it",
    errno.ENOENT: "there is no such file",
}


@table("rt.kernel", version=1)
@dataclass(frozen=True)
class Fact:
    """One fact about the running kernel."""

    name: str = column("str", "", "what is asked")
    value: str = column("str", "", "what the kernel says, or was measured; cannot tell where it does not say")
    meaning: str = column("str", "", "what that means for a real-time task; first, why, where it cannot be told")


class Preemption(NamedTuple):
    """A preemption model (`none`, `voluntary`, `full`, `lazy`, `PREEMPT_RT` or `cannot tell`) and how it is known."""

    model: str
    why: str


class Steal(NamedTuple):
    """Shares of the CPUs' time that the host gave to others: over an interval of `ns`, and since the boot."""

    now: float
    since_boot: float
    ns: int


_FACTS: dict[str, tuple[Callable[[], str | tuple[str, str]], str]] = {}


def _fact(name: str, meaning: str = "") -> Callable[[Callable[[], str | tuple[str, str]]], object]:
    """Register a row: its value, or its value and its meaning, where that depends on the value."""

    def register(ask: Callable[[], str | tuple[str, str]]) -> object:
        _FACTS[name] = ask, meaning
        return ask

    return register


def kernel() -> pd.DataFrame:
    """The facts that decide about latency, a row each (table rt.kernel): name, value, meaning.

    It takes about 0.3 s, for it measures the clock and the steal. Nothing is changed, and no privilege is wanted:
    what cannot be read without is `cannot tell`. Raises NotSupported elsewhere than on Linux.

    Source: proc(5), sched(7), clock_getres(2), Documentation/admin-guide of the kernel.

    >>> kernel().set_index("name").loc["preemption", "value"]
    'none'
    """
    caps.linux("kernel")
    rows = [Fact(name, *_answer(ask, meaning)) for name, (ask, meaning) in _FACTS.items()]
    return schema.frame(Fact, {name: [getattr(row, name) for row in rows] for name in ("name", "value", "meaning")})


def _answer(ask: Callable[[], str | tuple[str, str]], meaning: str) -> tuple[str, str]:
    try:
        answer = ask()
    except OSError as e:
        return _UNKNOWN, f"{_said(e)}; {meaning}" if meaning else _said(e)
    return answer if isinstance(answer, tuple) else (answer, meaning)


def _said(e: OSError) -> str:
    """Which file could not be read, and why."""
    if e.errno == errno.ENOENT and str(e.filename).startswith(_DEBUG):
        return f"{e.filename}: debugfs is not mounted there, or has no such file"
    return f"{e.filename}: {_SAID.get(e.errno or 0, e.strerror)}"


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8", errors="replace").strip("\0\n ")


@_fact("release", "which kernel all this is said of")
def _release() -> str:
    return platform.release()


def realtime() -> bool:
    """Was this kernel built with PREEMPT_RT? By /sys/kernel/realtime, and by `uname -v`."""
    return "PREEMPT_RT" in platform.version().split() or Path("/sys/kernel/realtime").exists()


@_fact("PREEMPT_RT")
def _realtime() -> tuple[str, str]:
    if realtime():
        return "yes", "latencies are bounded by the few sections that still run with interrupts off"
    return "no", "a real-time task also waits for interrupt handlers, softirqs and spinlocks of other tasks"


def preemption() -> Preemption:
    """How is kernel code preempted, and how is that known?

    By PREEMPT_RT, else by debugfs, which has the model in force of a PREEMPT_DYNAMIC kernel; where that cannot be
    read, by what it booted with: `preempt=` of its command line, or its configuration.

    >>> preemption()
    Preemption(model='none', why='configured so, ...')
    """
    if realtime():
        return Preemption("PREEMPT_RT", "uname -v says so")
    try:
        built = kconfig()
    except OSError:
        built = {}
    if "PREEMPT_DYNAMIC" not in platform.version().split():
        return _built(platform.version(), built)
    try:
        return Preemption(*_in_force(_read(f"{_DEBUG}/preempt")))
    except OSError as e:
        booted = _booted(_read("/proc/cmdline"), built)
        return Preemption(booted.model, f"{booted.why}; whether root has switched it since cannot be told: {_said(e)}")


def _configured(built: Mapping[str, str]) -> str | None:
    """The model that was chosen when the kernel was configured."""
    options = {"NONE": "none", "VOLUNTARY": "voluntary", "LAZY": "lazy"}
    chosen = [model for option, model in options.items() if built.get(f"PREEMPT_{option}") == "y"]
    return "full" if built.get("PREEMPT") == "y" else next(iter(chosen), None)


def _built(version: str, built: Mapping[str, str]) -> Preemption:
    """The model of a kernel that cannot switch it."""
    if model := _configured(built):
        return Preemption(model, "configured so")
    which = "full or lazy" if "PREEMPT" in version.split() else "none or voluntary"
    return Preemption(_UNKNOWN, f"by uname -v it is {which}, and the kernel's configuration cannot be read")


def _in_force(text: str) -> tuple[str, str]:
    """What debugfs has, as `none voluntary (full) lazy`."""
    found = re.search(r"\((\w+)\)", text)
    return (found[1], "in force, by debugfs") if found else (_UNKNOWN, f"debugfs says {text!r}")


def _booted(cmdline: str, built: Mapping[str, str]) -> Preemption:
    """What a kernel that can switch it has started with; the last of its options counts."""
    asked = [word.removeprefix("preempt=") for word in cmdline.split() if word.startswith("preempt=")]
    if asked and asked[-1] in _MODELS:
        return Preemption(asked[-1], f"booted with preempt={asked[-1]}")
    if model := _configured(built):
        return Preemption(model, "configured so, and not booted with preempt=")
    return Preemption(_UNKNOWN, "it can be any (PREEMPT_DYNAMIC), and the kernel's configuration cannot be read")


@_fact("preemption")
def _preemption() -> tuple[str, str]:
    model, why = preemption()
    return model, f"{_MODELS[model]} ({why})" if model in _MODELS else why


def tick_hz() -> int:
    """Timer interrupts a second (CONFIG_HZ), by the resolution of CLOCK_MONOTONIC_COARSE, which advances with them."""
    return round(10**9 / _resolution(CLOCK_MONOTONIC_COARSE))


@_fact("tick", "how often a busy CPU is interrupted; time slices and statistics are counted in ticks")
def _tick() -> str:
    return f"{tick_hz()} Hz"


@_fact("high-resolution timers")
def _high_resolution() -> tuple[str, str]:
    if _resolution(CLOCK_MONOTONIC) < _resolution(CLOCK_MONOTONIC_COARSE):
        return "yes", "a sleep ends at its time, not at the next tick"
    return "no", f"a sleep ends at a tick: up to {in_words(_resolution(CLOCK_MONOTONIC))} late"


@_fact("tickless", "idle: no ticks on a CPU that idles; full: nor on the CPUs of nohz_full while one task runs there")
def _tickless() -> str:
    options = {"NO_HZ_FULL": "full", "NO_HZ_IDLE": "idle", "HZ_PERIODIC": "never"}
    return next((word for option, word in options.items() if kconfig().get(option) == "y"), _UNKNOWN)


@_fact("clock source", "tsc is read in user space in some ns; hpet and acpi_pm take a system call and a slow device")
def _clock_source() -> str:
    available = _read(f"{_CLOCKSOURCE}/available_clocksource").split()
    return f"{_read(f'{_CLOCKSOURCE}/current_clocksource')} (of {', '.join(available)})"


def _resolution(clock: int) -> int:
    return round(time.clock_getres(clock) * 1e9)


def resolutions() -> dict[str, int]:
    """The resolution of each clock in nanoseconds, by clock_getres(2); those that this machine lacks are not there."""
    found = {}
    for name, clock in CLOCKS.items():
        try:
            found[name] = _resolution(clock)
        except OSError:  # the alarm clocks want a device that wakes the machine
            continue
    return found


@_fact("clock resolutions", "what clock_getres(2) promises; a coarse clock is that of the last tick")
def _resolutions() -> str:
    clocks: dict[int, list[str]] = {}
    for name, ns in resolutions().items():
        clocks.setdefault(ns, []).append(name.removeprefix("CLOCK_"))
    return "; ".join(f"{in_words(ns)}: {', '.join(names)}" for ns, names in sorted(clocks.items()))


def clock_steps(readings: int = 10_000) -> tuple[float, int]:
    """What one reading of CLOCK_MONOTONIC takes, and the smallest step between two, in ns: measured from Python.

    The loop of the interpreter is in both; a C program does better. Raises BadInput for fewer than 2 readings.
    """
    if readings < 2:
        raise BadInput(f"{readings} readings", "a step wants two")
    steps = np.diff(np.array([time.monotonic_ns() for _ in range(readings)], dtype="int64"))
    return float(np.median(steps)), int(min(steps[steps > 0], default=0))


@_fact("clock reading", "median of a reading of CLOCK_MONOTONIC and smallest step between two, from a loop in Python")
def _clock_reading() -> str:
    cost, step = clock_steps()
    return f"{in_words(cost)}, smallest step {in_words(step)}"


def steal(interval: str | int = "200ms") -> Steal:
    """The share of time that the host of this virtual machine gave to others, over `interval` and since the boot.

    A host may not tell: 0 since the boot means that none was taken, or that none is told. Ticks of 10 ms are
    counted, so that a short interval is coarse. Raises BadInput. Source: proc_stat(5).
    """
    ns = nanoseconds(interval, what="interval")
    before = _ticks()
    time.sleep(ns / 1e9)
    after = _ticks()
    return Steal(_share(after - before), _share(after), ns)


def _ticks() -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """user nice system idle iowait irq softirq steal; what guests of ours take is in the first two."""
    return np.array(_read("/proc/stat").split("\n", 1)[0].split()[1:9], dtype="int64")


def _share(ticks: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
    total = int(ticks.sum())
    return float(ticks[7]) / total if total else 0.0


@_fact("steal")
def _steal() -> tuple[str, str]:
    now, since_boot, ns = steal()
    value = f"{now:.1%} over {in_words(ns)}, {since_boot:.3%} since the boot"
    if since_boot:
        return value, "the host took the CPU away for so long: no setting of this kernel makes up for it"
    return value, "no host took the CPU away, or it does not tell (that cannot be told apart)"


@_fact("real-time throttling")
def _throttling() -> tuple[str, str]:
    runtime, period = (int(_read(f"{_SYSCTL}/sched_rt_{name}_us")) for name in ("runtime", "period"))
    if runtime < 0:
        return "off", "a real-time task that never sleeps keeps its CPU for good"
    value = f"{in_words(runtime * 1000)} in {in_words(period * 1000)}"
    return value, f"real-time tasks that use more are stopped for the rest, {in_words((period - runtime) * 1000)}"


@_fact("fair server", "what ordinary tasks are given of each CPU beside real-time tasks that never sleep (Linux 6.12)")
def _fair_server() -> str:
    runtime, period = (int(_read(f"{_DEBUG}/fair_server/cpu0/{name}")) for name in ("runtime", "period"))
    return f"{in_words(runtime)} in {in_words(period)}" if runtime else "off"


@_fact("deadline periods", "the shortest and the longest period that SCHED_DEADLINE admits")
def _deadline_periods() -> str:
    shortest, longest = (int(_read(f"{_SYSCTL}/sched_deadline_period_{name}_us")) for name in ("min", "max"))
    return f"{in_words(shortest * 1000)} to {in_words(longest * 1000)}"


@_fact("round robin", "how long a task under SCHED_RR runs before others of its priority")
def _round_robin() -> str:
    return f"{_read(f'{_SYSCTL}/sched_rr_timeslice_ms')} ms"


@_fact("idle states", "what a CPU takes to wake up from each; the deeper it sleeps, the later a task wakes")
def _idle_states() -> str:
    driver = _read(f"{_CPUS}/cpuidle/current_driver")
    states = sorted(glob.glob(f"{_CPUS}/cpu0/cpuidle/state*"), key=lambda path: int(path.rpartition("state")[2]))
    each = ", ".join(f"{_read(f'{state}/name')} {_read(f'{state}/latency')} us" for state in states)
    return f"driver {driver}, governor {_governor()}: {each or 'no states'}"


def _governor() -> str:
    """Older kernels have it under the first name, and it may be switched under the second."""
    try:
        return _read(f"{_CPUS}/cpuidle/current_governor_ro")
    except FileNotFoundError:
        return _read(f"{_CPUS}/cpuidle/current_governor")


@_fact(
    "cpu_dma_latency", "the latest wake-up from idle that a process has asked for; 0 keeps CPUs from sleeping at all"
)
def _dma_latency() -> str:
    path = "/dev/cpu_dma_latency"
    us = int.from_bytes(Path(path).read_bytes()[:4], "little", signed=True)
    return "nobody has asked" if us == 2_000_000_000 else f"{us} us"  # PM_QOS_CPU_LATENCY_DEFAULT_VALUE


@_fact("isolated CPUs", "the scheduler puts no task there that was not pinned there")
def _isolated() -> str:
    return _read(f"{_CPUS}/isolated") or "none"


@_fact("nohz_full CPUs", "no ticks there while a single task runs")
def _nohz_full() -> str:
    try:
        listed = _read(f"{_CPUS}/nohz_full")
    except FileNotFoundError:  # a kernel without NO_HZ_FULL has no such file
        return "none"
    return "none" if listed in ("", "(null)") else listed


@_fact("RT_GROUP_SCHED")
def _group_scheduling() -> tuple[str, str]:
    if kconfig().get("RT_GROUP_SCHED") == "y":
        return "yes", "a cgroup of no real-time budget (cpu.rt_runtime_us) has no FIFO and RR tasks, not even root's"
    return "no", "cgroups do not matter for who may have FIFO and RR tasks"


def _limit(name: str, unit: str) -> str:
    import resource  # Windows has no such module, and loads recordings all the same

    soft, hard = resource.getrlimit(getattr(resource, name))
    told = ["unlimited" if n == resource.RLIM_INFINITY else f"{n:,}{unit}" for n in (soft, hard)]
    return told[0] if soft == hard else f"{told[0]} (may be raised to {told[1]})"


@_fact("RLIMIT_RTPRIO", "the highest real-time priority that a process without CAP_SYS_NICE may take")
def _limit_rtprio() -> str:
    return _limit("RLIMIT_RTPRIO", "")


@_fact("RLIMIT_RTTIME", "CPU time that a real-time task may take without sleeping, before SIGXCPU")
def _limit_rttime() -> str:
    return _limit("RLIMIT_RTTIME", " us")


@_fact("RLIMIT_MEMLOCK", "memory that a process without CAP_IPC_LOCK may lock; what is not locked may be paged in late")
def _limit_memlock() -> str:
    return _limit("RLIMIT_MEMLOCK", " bytes")

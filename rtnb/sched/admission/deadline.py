# SPDX-License-Identifier: MIT
"""Is there room for this reservation? SCHED_DEADLINE's admission, in the kernel's own fixed point.

A reservation counts as runtime * 2^20 / period, rounded down. The sum of all, with what the fair server of each CPU
takes, may not be above the share that sched_rt_runtime_us leaves to real time, times the CPUs of the root domain.
Source: sched-deadline.rst, kernel/sched/deadline.c (__checkparam_dl, sched_dl_overflow, __dl_overflow).
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rtnb.abi import mount
from rtnb.abi import sched as abi
from rtnb.caps.rt import no_runtime, too_few_cpus
from rtnb.sched.admission.facts import Facts, Refusal, online, setting, whole_domain
from rtnb.sched.spec import Spec, as_list
from rtnb.sched.task import stat, tasks
from rtnb.sched.threads import PF_KTHREAD
from rtnb.units import in_words

__all__ = ["UNIT", "Room", "full", "out_of_range", "ratio", "room", "unfit"]

UNIT = 1 << 20
"""A whole CPU (BW_UNIT)."""
_SHORTEST_NS = 1 << 10
"""A runtime below it would be lost in the rounding (DL_SCALE)."""
_TOP = 1 << 63
_SERVER = UNIT * 50 // 1000
_SERVERS = (b"\0fair_server\0", b"\0ext_server\0")
"""Fields of struct rq, since Linux commit 557a6bfc662c ("sched/fair: Add trivial fair server")."""


def ratio(period_ns: int, runtime_ns: int) -> int:
    """The share of a CPU, of 2^20 (to_ratio()).

    >>> ratio(10_000_000, 2_000_000)
    209715
    """
    return runtime_ns * UNIT // period_ns if period_ns else 0


def out_of_range(spec: Spec) -> Refusal | None:
    """Are the three times ones that a reservation can have? (__checkparam_dl())"""
    runtime, deadline, period = spec.runtime_ns, spec.deadline_ns, spec.period_ns or spec.deadline_ns
    low, high = (1000 * setting(f"sched_deadline_period_{end}_us") for end in ("min", "max"))
    for wrong, why in (
        (not deadline, "the deadline is 0"),
        (runtime < _SHORTEST_NS, f"the runtime is {runtime} ns, below the least, {_SHORTEST_NS} ns"),
        (max(deadline, spec.period_ns) >= _TOP, "a time has bit 63 set, which the kernel keeps for its arithmetic"),
        (period < deadline, f"the deadline {in_words(deadline)} is above the period {in_words(period)}"),
        (deadline < runtime, f"the runtime {in_words(runtime)} is above the deadline {in_words(deadline)}"),
        (period < low, f"the period {in_words(period)} is below sched_deadline_period_min_us, {in_words(low)}"),
        (period > high, f"the period {in_words(period)} is above sched_deadline_period_max_us, {in_words(high)}"),
    ):
        if wrong:
            return Refusal("EINVAL", why, "1024 ns <= runtime <= deadline <= period")
    return None


def unfit(facts: Facts) -> Refusal | None:
    """May the task use all CPUs of its root domain, and is there any time for real-time tasks?"""
    if setting("sched_rt_runtime_us") < 0:  # then nothing is counted
        return None
    if (cpus := facts.task.state.cpus) < online():
        span = whole_domain()
        if span is None:
            why = f"the task may use CPU {as_list(cpus)} alone, and which are its root domain's cannot be seen"
            return Refusal("", why)
        pinned = too_few_cpus(len(cpus), len(span))
        return Refusal("EPERM", pinned.why, pinned.remedy)
    none = no_runtime()
    return Refusal("EPERM", none.why, none.remedy) if none else None


@dataclass(frozen=True)
class Room:
    """What is reserved, and what may be: parts of 2^20. `doubt` is how much more the sum may be than is seen."""

    total: int
    limit: int
    cpus: int
    source: str
    doubt: int = 0

    def __str__(self) -> str:
        seen = f"{self.total / UNIT:.4f} CPUs are reserved ({self.source})"
        return f"{seen}, of {self.limit / UNIT:.4f} on {self.cpus} CPUs"


def full(spec: Spec, facts: Facts) -> Refusal | None:
    """Does the sum stay below the limit? (sched_dl_overflow())"""
    if setting("sched_rt_runtime_us") < 0:
        return None
    new, old = ratio(spec.period_ns or spec.deadline_ns, spec.runtime_ns), _own(facts)
    if new == old and facts.task.state.policy == "deadline":
        return None
    there = room(facts)
    if there.total - old + new <= there.limit - there.doubt:
        return None
    sum_up = f"{there}, and this adds {new / UNIT:.4f}" + (f" for {old / UNIT:.4f} that it has" if old else "")
    if there.total - old + new <= there.limit:
        return Refusal("", f"{sum_up}; other servers of the kernel may take up to {there.doubt / UNIT:.4f} more")
    least = max(0, there.limit - there.total + old) * (spec.period_ns or spec.deadline_ns) // UNIT
    return Refusal("EBUSY", f"the sum would be above the limit: {sum_up}", f"at most {in_words(least)} in that period")


def _own(facts: Facts) -> int:
    """The share that the task itself has by now."""
    state = facts.task.state
    return ratio(state.attr.period, state.attr.runtime) if state.policy == "deadline" else 0


def room(facts: Facts) -> Room:
    """What is reserved in the task's root domain: the kernel's own sum where debugfs shows it, else what is seen."""
    capacity = [_capacity(cpu) for cpu in sorted(online())]
    share = ratio(setting("sched_rt_period_us"), setting("sched_rt_runtime_us"))
    limit = share * sum(capacity) // 1024
    with suppress(OSError, ValueError):
        return Room(_told(facts.task.stat.cpu), limit, len(capacity), "the kernel's own sum")
    servers = _servers()
    seen = _seen() + (servers or 0) * _SERVER * len(capacity)
    doubt = 0 if servers is not None else len(_SERVERS) * _SERVER * len(capacity)
    counted = "the DEADLINE tasks that are seen" + (", and the kernel's servers" if servers else "")
    return Room(seen, limit, len(capacity), counted, doubt)


def _told(cpu: int) -> int:
    """dl_bw->total_bw of a CPU's root domain, from sched/debug. Raises OSError and ValueError where it is not shown."""
    with mount.debugfs() as (folder, _):
        fd = os.open("sched/debug", os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
        with open(fd, encoding="utf-8", errors="replace") as file:
            text = file.read()
    found = re.search(rf"^dl_rq\[{cpu}\]:.*?\.dl_bw->total_bw\s*:\s*(\d+)$", text, re.M | re.S)
    if not found:
        raise ValueError("sched/debug shows no sum")
    return int(found[1])


def _seen() -> int:
    """The shares of all DEADLINE tasks that /proc shows. The kernel's own (schedutil's) are not counted."""
    total = 0
    for pid, tid in tasks():
        with suppress(FileNotFoundError, ProcessLookupError):
            attr = abi.sched_getattr(tid)
            if attr.policy == abi.SCHED_DEADLINE and not stat(f"/proc/{pid}/task/{tid}").flags & PF_KTHREAD:
                total += ratio(attr.period, attr.runtime)
    return total


def _servers() -> int | None:
    """How many servers each CPU has, from the kernel's type information; None where it has none to show."""
    try:
        types = Path("/sys/kernel/btf/vmlinux").read_bytes()
    except OSError:
        return None
    return sum(name in types for name in _SERVERS)


def _capacity(cpu: int) -> int:
    """A CPU's share of the largest one's speed, of 1024: only asymmetric machines have the file."""
    try:
        return setting("cpu_capacity", f"/sys/devices/system/cpu/cpu{cpu}")
    except FileNotFoundError:
        return 1024

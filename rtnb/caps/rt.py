# SPDX-License-Identifier: MIT
"""May this process have real-time tasks? Each is tried in a process of its own, which ends at once.

What refuses one is said here once: the doctor and `rtnb.sched.explain` word it with the same functions.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from rtnb import _core
from rtnb.abi.capability import effective
from rtnb.caps.answer import Reason, capability
from rtnb.caps.core import no_core, run

__all__ = [
    "LATENCY",
    "NICE_CAPABILITY",
    "PRIORITY",
    "UNKNOWN",
    "above_memlock",
    "above_rtprio",
    "foreign_namespace",
    "group",
    "no_budget",
    "no_latency",
    "no_runtime",
    "not_for_deadline",
    "too_few_cpus",
    "unified_group",
]

PRIORITY = 80
"""The real-time priority that the probe asks for, and that a task has unless told otherwise."""

LATENCY = "/dev/cpu_dma_latency"
"""Held open with a number of microseconds in it, no CPU sleeps so deeply that it takes longer to wake up."""
NICE_CAPABILITY = "run as root, or give CAP_SYS_NICE; in a container: --cap-add SYS_NICE"
"""The remedy wherever CAP_SYS_NICE is missing."""
UNKNOWN = Reason("unknown", "it was refused for none of the reasons that rtnb knows")
"""The reason of a refusal that nothing explains."""


def _probe(what: str) -> None:
    """Try `what` in a child; its exit status is the errno. Raises OSError."""
    if ended := run([_core.path(), "probe", what]):
        # Killed by a signal, or more than an errno: nobody can tell why.
        number = ended if 0 < ended < 134 else errno.EIO
        raise OSError(number, os.strerror(number), f"rtnb-core probe {what}")


def _limit(name: str) -> int:
    """A soft limit of this process, as RLIMIT_RTPRIO."""
    import resource  # Windows has no such module, and loads recordings all the same

    return int(resource.getrlimit(getattr(resource, name))[0])


def _policy_reason(e: OSError) -> Reason:
    if e.errno != errno.EPERM:
        return no_core(e)
    limit = _limit("RLIMIT_RTPRIO")
    if "CAP_SYS_NICE" in effective() or limit >= PRIORITY:
        return no_budget() or no_runtime() or foreign_namespace() or UNKNOWN
    return above_rtprio(limit)


def above_rtprio(limit: int) -> Reason:
    """A priority that RLIMIT_RTPRIO does not allow (sched(7))."""
    why = f"without CAP_SYS_NICE a priority goes up to RLIMIT_RTPRIO, here {limit}"
    return Reason("permission", why, f"{_prlimit('rtprio=99')}; in a container: --cap-add SYS_NICE")


@capability("rt.fifo", "have tasks under SCHED_FIFO and SCHED_RR", _policy_reason)
def _take_fifo() -> str:
    _probe("fifo")
    return f"a child process obtained SCHED_FIFO {PRIORITY}"


def _deadline_reason(e: OSError) -> Reason:
    if e.errno == errno.EBUSY:
        return Reason("permission", "no bandwidth is left, or the CPUs allowed are fewer than the root domain's")
    if e.errno != errno.EPERM:
        return no_core(e)
    if "CAP_SYS_NICE" not in effective():
        return not_for_deadline()
    allowed, cpus = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    return too_few_cpus(allowed, cpus) if allowed < cpus else foreign_namespace() or UNKNOWN


def not_for_deadline() -> Reason:
    """SCHED_DEADLINE without the capability."""
    return Reason("permission", "SCHED_DEADLINE wants CAP_SYS_NICE (no rlimit stands in for it)", NICE_CAPABILITY)


def too_few_cpus(allowed: int, cpus: int) -> Reason:
    """SCHED_DEADLINE for a task that is pinned: admission counts the CPUs of the root domain as a whole."""
    why = f"SCHED_DEADLINE wants all CPUs of the root domain, and the task may use {allowed} of {cpus}"
    return Reason("permission", why, "leave the CPUs out; or give it an exclusive cpuset of its own (cpuset(7))")


@capability("rt.deadline", "have tasks under SCHED_DEADLINE", _deadline_reason)
def _take_deadline() -> str:
    _probe("deadline")
    return "a child process was admitted with 1 ms in 10 ms"


def _mlock_reason(e: OSError) -> Reason:
    if e.errno not in (errno.EPERM, errno.ENOMEM, errno.EAGAIN):
        return no_core(e)
    limit = _limit("RLIMIT_MEMLOCK")
    if "CAP_IPC_LOCK" in effective():
        return foreign_namespace() or UNKNOWN
    return above_memlock(limit)


def above_memlock(limit: int) -> Reason:
    """More memory than RLIMIT_MEMLOCK allows (mlockall(2))."""
    why = f"without CAP_IPC_LOCK only RLIMIT_MEMLOCK bytes may be locked, here {limit:,}"
    return Reason("permission", why, _prlimit("memlock=unlimited"))


@capability("rt.mlock", "lock a task's memory", _mlock_reason)
def _lock_memory() -> str:
    _probe("mlock")
    return "a child process locked its memory"


def _latency_reason(e: OSError) -> Reason:
    return no_latency(e.errno or 0)


def no_latency(number: int) -> Reason:
    """Why the device cannot be opened for writing, from open(2)'s errno."""
    if number == errno.ENOENT:
        return Reason("support", f"there is no {LATENCY} (a container, or a kernel without CONFIG_CPU_IDLE)")
    remedy = f"sudo chmod o+rw {LATENCY}, until the next boot"
    return Reason("permission", f"{LATENCY} may not be opened for writing", remedy)


@capability("rt.cpu_dma_latency", "keep CPUs out of deep idle states", _latency_reason)
def _open_latency() -> str:
    os.close(os.open(LATENCY, os.O_WRONLY | os.O_CLOEXEC))  # opened and not written to, it asks for nothing
    return f"{LATENCY} can be opened"


def _prlimit(limit: str) -> str:
    return f"sudo prlimit --pid PID --{limit}, PID being the notebook's os.getpid(); for good: limits.conf(5)"


def foreign_namespace() -> Reason | None:
    """A capability held in a user namespace counts for nothing where the initial one is asked."""
    mapped = Path("/proc/self/uid_map").read_text(encoding="ascii").split()
    if mapped == ["0", "0", str(2**32 - 1)]:
        return None
    return Reason("permission", "the capability is held only inside a user namespace", "run outside of it")


def no_budget(tid: int | str = "self") -> Reason | None:
    """With RT_GROUP_SCHED a group of no real-time budget refuses even root (sched-rt-group.rst).

    Raises OSError where the task is gone.
    """
    folder = group("cpu", tid)
    budget = folder / "cpu.rt_runtime_us" if folder else None
    if budget and budget.is_file() and int(budget.read_text(encoding="ascii")) == 0:
        why = f"{'this process' if tid == 'self' else 'the task'}'s cgroup has no real-time budget: {budget} is 0"
        return Reason("permission", why, f"echo 500000 | sudo tee {budget} (its parents need as much)")
    return None


def no_runtime() -> Reason | None:
    """The share of time that real-time tasks may have in all may be set to none (sched-rt-group.rst)."""
    if Path("/proc/sys/kernel/sched_rt_runtime_us").read_text(encoding="ascii").strip() == "0":
        return Reason("permission", "sched_rt_runtime_us is 0", "sudo sysctl kernel.sched_rt_runtime_us=950000")
    return None


def group(controller: str, tid: int | str = "self") -> Path | None:
    """A task's folder in the version 1 hierarchy of a controller, where that is mounted (cgroups(7)).

    Raises OSError where the task is gone.
    """
    return _mounted("cgroup", controller, _paths(tid).get(controller))


def unified_group(tid: int | str = "self") -> Path | None:
    """A task's folder in the version 2 hierarchy, where that is mounted. Raises OSError where the task is gone."""
    return _mounted("cgroup2", "", _paths(tid).get(""))


def _paths(tid: int | str) -> dict[str, str]:
    """A task's path in each hierarchy, by controller; "" is version 2."""
    lines = (line.split(":", 2) for line in Path(f"/proc/{tid}/cgroup").read_text(encoding="utf-8").splitlines())
    return {controller: path for _, controllers, path in lines for controller in controllers.split(",")}


def _mounted(kind: str, controller: str, inside: str | None) -> Path | None:
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        before, after = (half.split() for half in line.split(" - ", 1))
        if inside and after[0] == kind and (kind == "cgroup2" or controller in after[-1].split(",")):
            root, mounted = before[3], before[4]
            return Path(mounted) / os.path.relpath(inside, root)
    return None

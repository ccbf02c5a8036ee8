# SPDX-License-Identifier: MIT
"""May this process have real-time tasks? Each is tried in a process of its own, which ends at once."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from rtnb import _core
from rtnb.abi.capability import effective
from rtnb.caps.answer import Reason, capability
from rtnb.caps.core import no_core, run

__all__ = ["PRIORITY"]

PRIORITY = 80
"""The real-time priority that the probe asks for, and that a task has unless told otherwise."""

_LATENCY = "/dev/cpu_dma_latency"
_UNKNOWN = Reason("unknown", "it was refused for none of the reasons that rtnb knows")


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
        return _no_budget() or _foreign_namespace() or _UNKNOWN
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
        remedy = "run as root, or give CAP_SYS_NICE; in a container: --cap-add SYS_NICE"
        return Reason("permission", "SCHED_DEADLINE wants CAP_SYS_NICE (no rlimit stands in for it)", remedy)
    if len(os.sched_getaffinity(0)) < (os.cpu_count() or 1):
        return Reason("permission", "SCHED_DEADLINE wants all CPUs of the root domain, and this process is pinned")
    return _foreign_namespace() or _UNKNOWN


@capability("rt.deadline", "have tasks under SCHED_DEADLINE", _deadline_reason)
def _take_deadline() -> str:
    _probe("deadline")
    return "a child process was admitted with 1 ms in 10 ms"


def _mlock_reason(e: OSError) -> Reason:
    if e.errno not in (errno.EPERM, errno.ENOMEM, errno.EAGAIN):
        return no_core(e)
    limit = _limit("RLIMIT_MEMLOCK")
    if "CAP_IPC_LOCK" in effective():
        return _foreign_namespace() or _UNKNOWN
    why = f"without CAP_IPC_LOCK only RLIMIT_MEMLOCK bytes may be locked, here {limit:,}"
    return Reason("permission", why, _prlimit("memlock=unlimited"))


@capability("rt.mlock", "lock a task's memory", _mlock_reason)
def _lock_memory() -> str:
    _probe("mlock")
    return "a child process locked its memory"


def _latency_reason(e: OSError) -> Reason:
    if e.errno == errno.ENOENT:
        return Reason("support", f"there is no {_LATENCY} (a container, or a kernel without CONFIG_CPU_IDLE)")
    remedy = f"sudo chmod o+rw {_LATENCY}, until the next boot"
    return Reason("permission", f"{_LATENCY} may not be opened for writing", remedy)


@capability("rt.cpu_dma_latency", "keep CPUs out of deep idle states", _latency_reason)
def _open_latency() -> str:
    os.close(os.open(_LATENCY, os.O_WRONLY | os.O_CLOEXEC))  # opened and not written to, it asks for nothing
    return f"{_LATENCY} can be opened"


def _prlimit(limit: str) -> str:
    return f"sudo prlimit --pid PID --{limit}, PID being the notebook's os.getpid(); for good: limits.conf(5)"


def _foreign_namespace() -> Reason | None:
    """A capability held in a user namespace counts for nothing where the initial one is asked."""
    mapped = Path("/proc/self/uid_map").read_text(encoding="ascii").split()
    if mapped == ["0", "0", str(2**32 - 1)]:
        return None
    return Reason("permission", "the capability is held only inside a user namespace", "run outside of it")


def _no_budget() -> Reason | None:
    """With RT_GROUP_SCHED a group of no real-time budget refuses even root (sched-rt-group.rst)."""
    group = _cpu_group()
    budget = group / "cpu.rt_runtime_us" if group else None
    if budget and budget.is_file() and int(budget.read_text(encoding="ascii")) == 0:
        why = f"this process's cgroup has no real-time budget: {budget} is 0"
        return Reason("permission", why, f"echo 500000 | sudo tee {budget} (its parents need as much)")
    if Path("/proc/sys/kernel/sched_rt_runtime_us").read_text(encoding="ascii").strip() == "0":
        return Reason("permission", "sched_rt_runtime_us is 0", "sudo sysctl kernel.sched_rt_runtime_us=950000")
    return None


def _cpu_group() -> Path | None:
    """This process's folder in the version 1 `cpu` hierarchy, where that is mounted (cgroups(7))."""
    paths = (line.split(":", 2) for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines())
    inside = next((path for _, controllers, path in paths if "cpu" in controllers.split(",")), None)
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        before, after = (half.split() for half in line.split(" - ", 1))
        if inside and after[0] == "cgroup" and "cpu" in after[-1].split(","):
            root, mounted = before[3], before[4]
            return Path(mounted) / os.path.relpath(inside, root)
    return None

# SPDX-License-Identifier: MIT
"""May this process count events: its own, the kernel's share of them, the processor's, everybody's?"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from rtnb.abi import mount
from rtnb.abi import perf_event as abi
from rtnb.abi.capability import effective
from rtnb.abi.interrupt import held
from rtnb.abi.tracepoint import tracepoint
from rtnb.caps.answer import Reason, capability

__all__ = ["initial_namespace", "paranoid", "taken_away"]

_SOFTWARE = "software events work here: task-clock, page-faults, context-switches"
_GRANTS = frozenset({"CAP_PERFMON", "CAP_SYS_ADMIN"})


def paranoid() -> int | None:
    """The value of /proc/sys/kernel/perf_event_paranoid; None where there is no such file."""
    try:
        return int(Path("/proc/sys/kernel/perf_event_paranoid").read_text())
    except (OSError, ValueError):
        return None


def taken_away(program: str) -> str:
    """Why the kernel stops counting when `program` is executed; an empty string where it does not.

    At an exec that gains privileges, or of a file that may not be read, the kernel takes the counters away
    without a word, and what has been counted by then reads as the result. Source: begin_new_exec() in fs/exec.c.
    """
    if not (found := shutil.which(program)):
        return ""
    facts, euid = os.stat(found), os.geteuid()
    if not os.access(found, os.R_OK):
        return f"{found} may not be read by this user: the kernel does not count such a program"
    set_uid = facts.st_mode & stat.S_ISUID and facts.st_uid != euid
    set_gid = facts.st_mode & stat.S_ISGID and facts.st_gid != os.getegid()
    with_caps = euid and _has_capabilities(found)
    ignored = os.statvfs(found).f_flag & os.ST_NOSUID or "\nNoNewPrivs:\t1" in _status()
    if (set_uid or set_gid or with_caps) and not ignored:
        return f"{found} gains privileges when it starts: the kernel does not count such a program"
    return ""


def _has_capabilities(file: str) -> bool:
    try:
        return "security.capability" in os.listxattr(file)
    except OSError:  # a file system without extended attributes
        return False


def _status() -> str:
    return Path("/proc/self/status").read_text()


def _reason(allowed: int) -> Callable[[OSError], Reason]:
    """The look-up for what perf_event_paranoid grants up to the value `allowed`."""
    return lambda error: _refusal(error, allowed)


def _hardware(error: OSError) -> Reason:
    if error.errno not in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP, errno.EINVAL):
        return _refusal(error, 2)
    try:
        hardware()
    except OSError:
        return Reason("support", "this machine has no hardware counters", _SOFTWARE)
    return Reason("support", "this machine's processor has no such counter", "cycles and instructions work here")


def _refusal(error: OSError, allowed: int) -> Reason:
    number, level = error.errno or 0, paranoid()
    if number == errno.ENOSYS:
        return Reason("support", "this kernel has no perf_event_open (CONFIG_PERF_EVENTS), or a sandbox hides it")
    if number == errno.EMFILE:
        return Reason(
            "permission", "this process has no file descriptor left", "count fewer events, or: ulimit -n 4096"
        )
    if number == errno.EACCES and level is not None and level > allowed and not effective() & _GRANTS:
        remedy = f"give the process CAP_PERFMON, or: sysctl kernel.perf_event_paranoid={allowed}"
        return Reason("permission", f"perf_event_paranoid is {level} and CAP_PERFMON is missing", remedy)
    if number == errno.EPERM and "\nSeccomp:\t2\n" in _status():
        why = "a seccomp filter, as containers have, keeps perf_event_open from this process"
        return Reason("permission", why, "start the container with a seccomp profile that allows perf_event_open")
    return Reason("unknown", f"perf_event_open failed: {os.strerror(number)}")


def _count(type: int, config: int, *bits: str, pid: int = 0, cpu: int = -1) -> int:
    """Open an event, read it, close it; returns the count."""
    fd = abi.perf_event_open(type, config, *bits, pid=pid, cpu=cpu)
    try:
        return abi.read(fd).value
    finally:
        os.close(fd)


@capability("perf.software", "count its own page faults and CPU time (%perf_stat)", _reason(2))
def software() -> str:
    _count(abi.PERF_TYPE_SOFTWARE, abi.PERF_COUNT_SW_PAGE_FAULTS, "exclude_kernel", "exclude_hv")
    return f"perf_event_open of software events works (perf_event_paranoid is {paranoid()})"


@capability("perf.kernel", "count what its own calls do inside the kernel, context switches too", _reason(1))
def kernel() -> str:
    _count(abi.PERF_TYPE_SOFTWARE, abi.PERF_COUNT_SW_CONTEXT_SWITCHES)
    return "events are counted on the kernel's side too"


@capability("perf.hardware", "use the processor's counters: cycles, instructions, cache misses", _hardware)
def hardware() -> str:
    _count(abi.PERF_TYPE_HARDWARE, abi.PERF_COUNT_HW_CPU_CYCLES, "exclude_kernel", "exclude_hv")
    return "the processor counts cycles for this process"


@capability("perf.system", "count the events of all tasks on a CPU", _reason(0))
def system() -> str:
    cpu = min(os.sched_getaffinity(0))
    _count(abi.PERF_TYPE_SOFTWARE, abi.PERF_COUNT_SW_CONTEXT_SWITCHES, "exclude_kernel", pid=-1, cpu=cpu)
    return f"all tasks on CPU {cpu} can be counted"


def initial_namespace() -> None:
    """Tracepoints tell the pids of the initial PID namespace; in another one they would be other tasks' (or nobody's).

    Raises OSError: EXDEV. Source: PROC_PID_INIT_INO in include/linux/proc_ns.h.
    """
    with contextlib.suppress(FileNotFoundError):  # a kernel without namespaces
        if os.stat("/proc/self/ns/pid").st_ino != 0xEFFFFFFC:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), "/proc/self/ns/pid")


def _trace_reason(error: OSError) -> Reason:
    if error.errno == errno.EXDEV:
        why = "this process is in a PID namespace, as in a container, where tasks have other pids than the kernel tells"
        return Reason("support", why, "run it on the host; in a container: --pid=host")
    if error.filename in ("perf_event_open", "mmap"):
        return _refusal(error, -1)
    if error.errno in (errno.EPERM, errno.EACCES):
        remedy = "run as root, or give CAP_PERFMON and CAP_SYS_ADMIN"
        return Reason("permission", "tracefs, which numbers the tracepoints, may not be read", remedy)
    if error.errno in (errno.ENOENT, errno.ENODEV):
        return Reason("support", "this kernel has no tracefs (CONFIG_FTRACE)")
    return Reason("unknown", f"tracing failed: {error.strerror}")


@capability("rt.trace", "see every switch of tasks, to say why a wake-up was late (%rt_task --trace)", _trace_reason)
@held()
def trace() -> str:
    initial_namespace()
    with mount.tracefs() as (folder, where):
        number = tracepoint(folder, "sched/sched_switch").id
    os.close(abi.perf_event_open(abi.PERF_TYPE_TRACEPOINT, number, pid=-1, cpu=min(os.sched_getaffinity(0))))
    return f"sched:sched_switch can be watched on all CPUs ({where})"

# SPDX-License-Identifier: MIT
"""May this process trace a child of its own?"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from rtnb import _core
from rtnb.caps import core
from rtnb.caps.answer import Reason, capability

__all__: list[str] = []


def _not_traced(error: OSError) -> Reason:
    if error.errno == errno.ENOENT:
        return core.no_core(error)
    if error.errno in (errno.EIO, errno.EINVAL, errno.ENOSYS) and not _filtered():
        return Reason("support", "this kernel has no PTRACE_GET_SYSCALL_INFO (Linux 5.3)")
    if (scope := _yama()) == 2:
        why = "kernel.yama.ptrace_scope is 2: only a process with CAP_SYS_PTRACE may trace"
        return Reason("permission", why, "give it CAP_SYS_PTRACE, or: sysctl kernel.yama.ptrace_scope=1")
    if scope == 3:
        return Reason("permission", "kernel.yama.ptrace_scope is 3: nobody may trace", "it stays so until a reboot")
    if _filtered():
        why = "a seccomp filter, as containers have, keeps ptrace from this process"
        return Reason("permission", why, "start the container with --cap-add=SYS_PTRACE, or on Linux 4.8 and newer")
    return Reason("unknown", f"ptrace failed: {os.strerror(error.errno or 0)}")


def _yama() -> int:
    try:
        return int(Path("/proc/sys/kernel/yama/ptrace_scope").read_text())
    except (OSError, ValueError):
        return 0


def _filtered() -> bool:
    return "\nSeccomp:\t2\n" in Path("/proc/self/status").read_text()


@capability("strace.ptrace", "trace a command that it starts (%strace)", _not_traced)
def ptrace() -> str:
    """Trace the core as it prints its own usage; what is recorded goes nowhere."""
    program = _core.path()
    with _core.memfd("status") as status, open(os.devnull, "wb") as null:
        sink = str(null.fileno())
        options = ["-r", sink, "-t", sink, "-s", str(status), "-P", str(os.getpid()), "-l", "1000", "-c", "-"]
        core.run([program, "trace", *options, "-x", program, "--", program], pass_fds=(null.fileno(), status))
        told = _core.read_status(status)
    if told is None or told.error:
        number = told.error if told else errno.ESRCH
        raise OSError(number, os.strerror(number), told.what if told else program)
    return f"PTRACE_SEIZE and PTRACE_GET_SYSCALL_INFO work: {told.records} rows of a tiny program"

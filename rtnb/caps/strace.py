# SPDX-License-Identifier: MIT
"""May this process trace a child of its own, and is the loop there that does it?"""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

from rtnb import _core
from rtnb.caps.answer import Reason, capability

__all__: list[str] = []


def _no_core(error: OSError) -> Reason:
    if error.errno == errno.ENOENT:
        remedy = "install a C compiler (Debian: apt-get install gcc libc6-dev), then install rtnb again"
        return Reason("support", "rtnb was installed without its C core", remedy)
    if error.errno in (errno.EACCES, errno.EPERM):
        where = "its file system may be mounted noexec; install rtnb elsewhere"
        return Reason("permission", "the C core of rtnb may not be executed", where)
    return Reason("unknown", f"the C core of rtnb does not run: {error.strerror}", "install rtnb again")


@capability("strace.core", "run the C core of rtnb (%strace, %rt_task)", _no_core)
def core() -> str:
    program = _core.path()
    if (ended := _run([program])) != 2:  # its usage
        raise OSError(errno.ENOEXEC, f"it ended with {ended}", program)
    return program


def _not_traced(error: OSError) -> Reason:
    if error.errno == errno.ENOENT:
        return _no_core(error)
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
    status = os.memfd_create("rtnb-status")
    try:
        with open(os.devnull, "wb") as null:
            sink = str(null.fileno())
            options = ["-r", sink, "-t", sink, "-s", str(status), "-P", str(os.getpid()), "-l", "1000", "-c", "-"]
            _run([program, "trace", *options, "-x", program, "--", program], pass_fds=(null.fileno(), status))
        told = _core.read_status(status)
    finally:
        os.close(status)
    if told is None or told.error:
        number = told.error if told else errno.ESRCH
        raise OSError(number, os.strerror(number), told.what if told else program)
    return f"PTRACE_SEIZE and PTRACE_GET_SYSCALL_INFO work: {told.records} rows of a tiny program"


def _run(argv: list[str], pass_fds: tuple[int, ...] = ()) -> int:
    """The exit status of a program that ends at once and whose output nobody needs."""
    null = subprocess.DEVNULL
    try:
        done = subprocess.run(argv, pass_fds=pass_fds, stdin=null, stdout=null, stderr=null, timeout=10, check=False)
    except subprocess.TimeoutExpired as e:
        raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT), argv[0]) from e
    return done.returncode

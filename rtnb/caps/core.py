# SPDX-License-Identifier: MIT
"""May this process run the C core, and is it there?"""

from __future__ import annotations

import errno
import os
import subprocess

from rtnb import _core
from rtnb.caps.answer import Reason, capability, refused

__all__ = ["core", "core_path", "no_core", "run"]


def no_core(error: OSError) -> Reason:
    """Why the core cannot be run: it is not there, it may not be executed, or nobody can tell."""
    if error.errno == errno.ENOENT:
        remedy = "install a C compiler (Debian: apt-get install gcc libc6-dev), then install rtnb again"
        return Reason("support", "rtnb was installed without its C core", remedy)
    if error.errno in (errno.EACCES, errno.EPERM):
        where = "its file system may be mounted noexec; install rtnb elsewhere"
        return Reason("permission", "the C core of rtnb may not be executed", where)
    return Reason("unknown", f"the C core of rtnb does not run: {error.strerror}", "install rtnb again")


@capability("core.run", "run the C core of rtnb (%strace, %rt_task)", no_core)
def core() -> str:
    """Start it, and see that it answers. Raises OSError."""
    program = _core.path()
    if (ended := run([program])) != 2:  # its usage
        raise OSError(errno.ENOEXEC, f"it ended with {ended}", program)
    return "rtnb-core starts and answers"


def core_path(tried: str) -> str:
    """Where the core is, without starting it. Raises NotSupported for what was `tried` where there is none."""
    try:
        return _core.path()
    except FileNotFoundError as e:
        raise refused("core.run", tried, e) from e


def run(argv: list[str], pass_fds: tuple[int, ...] = ()) -> int:
    """The exit status of a program that ends at once and whose output nobody needs. Raises OSError."""
    null = subprocess.DEVNULL
    try:
        done = subprocess.run(argv, pass_fds=pass_fds, stdin=null, stdout=null, stderr=null, timeout=10, check=False)
    except subprocess.TimeoutExpired as e:
        raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT), argv[0]) from e
    return done.returncode

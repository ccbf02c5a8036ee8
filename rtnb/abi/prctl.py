# SPDX-License-Identifier: MIT
"""linux/prctl.h and sys/mman.h: what a thread and its process may set of themselves: timer slack, locked memory."""

from __future__ import annotations

import signal

from rtnb.abi.syscall import gate, libc, syscall

__all__ = ["HEADERS", "die_with_parent", "get_timerslack", "mlockall", "munlockall", "set_name", "set_timerslack"]

HEADERS = ("linux/prctl.h", "sys/mman.h")

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_TIMERSLACK = 29
PR_GET_TIMERSLACK = 30
MCL_CURRENT = 1
MCL_FUTURE = 2


def get_timerslack() -> int:
    """The calling thread's timer slack, ns; 0 under a real-time policy. Source: PR_GET_TIMERSLACK(2const)."""
    return syscall("prctl", PR_GET_TIMERSLACK, 0, 0, 0, 0)


def set_timerslack(ns: int) -> None:
    """Set the calling thread's timer slack; 0 is its default again. Source: PR_SET_TIMERSLACK(2const)."""
    syscall("prctl", PR_SET_TIMERSLACK, ns, 0, 0, 0)


def die_with_parent() -> None:
    """Be killed when the thread that made this process ends. Source: PR_SET_PDEATHSIG(2const)."""
    syscall("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def set_name(name: bytes) -> None:
    """Name the calling thread, as ps(1) and the tracepoints show it; cut at 15 bytes. Source: PR_SET_NAME(2const)."""
    syscall("prctl", PR_SET_NAME, name, 0, 0, 0)


def mlockall(flags: int = MCL_CURRENT | MCL_FUTURE) -> None:
    """Lock all memory of the process, now and later. Raises OSError: EPERM, ENOMEM. Source: mlockall(2)."""
    gate(libc.mlockall(flags), "mlockall")


def munlockall() -> None:
    """Unlock all memory of the process. Source: mlockall(2)."""
    gate(libc.munlockall(), "munlockall")

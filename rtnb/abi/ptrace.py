# SPDX-License-Identifier: MIT
"""linux/ptrace.h: requests, options, events, and what a system call stop tells.

The loop that traces for %strace is in C (rtnb/_core/trace.c); this is the same interface for a loop that can be
read in a notebook, which is an order of magnitude slower.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

from rtnb.abi.syscall import syscall

__all__ = ["HEADERS", "SyscallInfo", "get_syscall_info", "ptrace", "ptrace_syscall_info"]

HEADERS = ("linux/ptrace.h",)

PTRACE_TRACEME = 0
PTRACE_PEEKTEXT = 1
PTRACE_PEEKDATA = 2
PTRACE_PEEKUSR = 3
PTRACE_POKETEXT = 4
PTRACE_POKEDATA = 5
PTRACE_POKEUSR = 6
PTRACE_CONT = 7
PTRACE_KILL = 8
PTRACE_SINGLESTEP = 9
PTRACE_ATTACH = 16
PTRACE_DETACH = 17
PTRACE_SYSCALL = 24
PTRACE_SETOPTIONS = 0x4200
PTRACE_GETEVENTMSG = 0x4201
PTRACE_GETSIGINFO = 0x4202
PTRACE_SETSIGINFO = 0x4203
PTRACE_GETREGSET = 0x4204
PTRACE_SETREGSET = 0x4205
PTRACE_SEIZE = 0x4206
PTRACE_INTERRUPT = 0x4207
PTRACE_LISTEN = 0x4208
PTRACE_PEEKSIGINFO = 0x4209
PTRACE_GETSIGMASK = 0x420A
PTRACE_SETSIGMASK = 0x420B
PTRACE_SECCOMP_GET_FILTER = 0x420C
PTRACE_SECCOMP_GET_METADATA = 0x420D
PTRACE_GET_SYSCALL_INFO = 0x420E
PTRACE_GET_RSEQ_CONFIGURATION = 0x420F

# struct ptrace_syscall_info.op
PTRACE_SYSCALL_INFO_NONE = 0
PTRACE_SYSCALL_INFO_ENTRY = 1
PTRACE_SYSCALL_INFO_EXIT = 2
PTRACE_SYSCALL_INFO_SECCOMP = 3

# PTRACE_GETEVENTMSG at a system call stop
PTRACE_EVENTMSG_SYSCALL_ENTRY = 1
PTRACE_EVENTMSG_SYSCALL_EXIT = 2

# Bits 16 and up of a wait status
PTRACE_EVENT_FORK = 1
PTRACE_EVENT_VFORK = 2
PTRACE_EVENT_CLONE = 3
PTRACE_EVENT_EXEC = 4
PTRACE_EVENT_VFORK_DONE = 5
PTRACE_EVENT_EXIT = 6
PTRACE_EVENT_SECCOMP = 7
PTRACE_EVENT_STOP = 128

# PTRACE_SEIZE, PTRACE_SETOPTIONS
PTRACE_O_TRACESYSGOOD = 1
PTRACE_O_TRACEFORK = 1 << PTRACE_EVENT_FORK
PTRACE_O_TRACEVFORK = 1 << PTRACE_EVENT_VFORK
PTRACE_O_TRACECLONE = 1 << PTRACE_EVENT_CLONE
PTRACE_O_TRACEEXEC = 1 << PTRACE_EVENT_EXEC
PTRACE_O_TRACEVFORKDONE = 1 << PTRACE_EVENT_VFORK_DONE
PTRACE_O_TRACEEXIT = 1 << PTRACE_EVENT_EXIT
PTRACE_O_TRACESECCOMP = 1 << PTRACE_EVENT_SECCOMP
PTRACE_O_EXITKILL = 1 << 20
PTRACE_O_SUSPEND_SECCOMP = 1 << 21


class _Entry(ctypes.Structure):
    _fields_ = (("nr", ctypes.c_uint64), ("args", ctypes.c_uint64 * 6))


class _Exit(ctypes.Structure):
    _fields_ = (("rval", ctypes.c_int64), ("is_error", ctypes.c_uint8))


class _Seccomp(ctypes.Structure):
    _fields_ = (("nr", ctypes.c_uint64), ("args", ctypes.c_uint64 * 6), ("ret_data", ctypes.c_uint32))


class _Stop(ctypes.Union):
    _fields_ = (("entry", _Entry), ("exit", _Exit), ("seccomp", _Seccomp))


class ptrace_syscall_info(ctypes.Structure):
    """What PTRACE_GET_SYSCALL_INFO fills in."""

    _c_name_ = "struct ptrace_syscall_info"
    _anonymous_ = ("_stop",)
    _fields_ = (
        ("op", ctypes.c_uint8),
        ("_pad", ctypes.c_uint8 * 3),
        ("arch", ctypes.c_uint32),
        ("instruction_pointer", ctypes.c_uint64),
        ("stack_pointer", ctypes.c_uint64),
        ("_stop", _Stop),
    )


class SyscallInfo(NamedTuple):
    """A system call stop: `nr` and `args` at an entry (or seccomp) stop, `rval` and `is_error` at an exit."""

    op: int
    arch: int
    nr: int
    args: tuple[int, ...]
    rval: int
    is_error: bool


def ptrace(request: int, pid: int = 0, address: int = 0, data: int | bytes | object = 0) -> int:
    """ptrace(2) itself. Raises OSError. PTRACE_PEEK* store at `data`, as the kernel and not the C library has it."""
    return syscall("ptrace", request, pid, address, data)


def get_syscall_info(tid: int) -> SyscallInfo:
    """What a task in a system call stop is about to call, or what it got. Raises OSError."""
    info = ptrace_syscall_info()
    ptrace(PTRACE_GET_SYSCALL_INFO, tid, ctypes.sizeof(info), ctypes.byref(info))
    if info.op == PTRACE_SYSCALL_INFO_EXIT:
        return SyscallInfo(info.op, info.arch, -1, (), info.exit.rval, bool(info.exit.is_error))
    if info.op == PTRACE_SYSCALL_INFO_NONE:
        return SyscallInfo(info.op, info.arch, -1, (), 0, False)
    return SyscallInfo(info.op, info.arch, info.entry.nr, tuple(info.entry.args), 0, False)

# SPDX-License-Identifier: MIT
"""How is a task scheduled? The policies and struct sched_attr of linux/sched.h, and the calls that set and read it."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable
from typing import NamedTuple

from rtnb.abi.syscall import syscall

__all__ = [
    "Attr",
    "HEADERS",
    "NAMES",
    "POLICIES",
    "sched_attr",
    "sched_getattr",
    "sched_setaffinity",
    "sched_setattr",
    "setpriority",
]

HEADERS = ("linux/sched.h", "linux/sched/types.h")

SCHED_NORMAL = 0
SCHED_FIFO = 1
SCHED_RR = 2
SCHED_BATCH = 3
SCHED_IDLE = 5
SCHED_DEADLINE = 6
SCHED_EXT = 7
SCHED_RESET_ON_FORK = 0x40000000
NEWER = frozenset({"SCHED_EXT"})

SCHED_FLAG_RESET_ON_FORK = 0x01
SCHED_FLAG_RECLAIM = 0x02
SCHED_FLAG_DL_OVERRUN = 0x04
SCHED_FLAG_KEEP_POLICY = 0x08
SCHED_FLAG_KEEP_PARAMS = 0x10
SCHED_FLAG_UTIL_CLAMP_MIN = 0x20
SCHED_FLAG_UTIL_CLAMP_MAX = 0x40

SCHED_ATTR_SIZE_VER0 = 48
SCHED_ATTR_SIZE_VER1 = 56

POLICIES = {
    "other": SCHED_NORMAL,
    "fifo": SCHED_FIFO,
    "rr": SCHED_RR,
    "batch": SCHED_BATCH,
    "idle": SCHED_IDLE,
    "deadline": SCHED_DEADLINE,
    "ext": SCHED_EXT,
}
"""Name, as chrt(1) and sched(7) say it, to number."""
NAMES = {number: name for name, number in POLICIES.items()}
"""Number to name."""


class sched_attr(ctypes.Structure):
    """What sched_setattr(2) takes and sched_getattr(2) gives (linux/sched/types.h)."""

    _c_name_ = "struct sched_attr"
    _fields_ = (
        ("size", ctypes.c_uint32),
        ("sched_policy", ctypes.c_uint32),
        ("sched_flags", ctypes.c_uint64),
        ("sched_nice", ctypes.c_int32),
        ("sched_priority", ctypes.c_uint32),
        ("sched_runtime", ctypes.c_uint64),
        ("sched_deadline", ctypes.c_uint64),
        ("sched_period", ctypes.c_uint64),
        ("sched_util_min", ctypes.c_uint32),
        ("sched_util_max", ctypes.c_uint32),
    )


class Attr(NamedTuple):
    """A task's scheduling attributes; runtime, deadline and period in ns.

    Only DEADLINE has all three. Under a fair policy runtime is the slice of time that the task gets at once
    (since Linux commit 857b158dc5e8 ("sched/eevdf: Use sched_attr::sched_runtime to set request/slice suggestion")
    (in v6.12)), and a runtime of 0 sets the system's own. Nice is read under a fair policy only.
    """

    policy: int
    flags: int
    nice: int
    priority: int
    runtime: int
    deadline: int
    period: int


def sched_getattr(tid: int = 0) -> Attr:
    """What the task `tid` has (0: the calling thread). Raises OSError: ESRCH where it is gone.

    Source: sched_setattr(2). Fields that a newer kernel adds are left out, as the size given asks.
    """
    attr = sched_attr()
    syscall("sched_getattr", tid, ctypes.byref(attr), ctypes.sizeof(attr), 0)
    return Attr(*(getattr(attr, f"sched_{name}") for name in Attr._fields))


def sched_setattr(tid: int, attr: Attr) -> None:
    """Give the task `tid` (0: the calling thread) these attributes.

    Raises OSError: EINVAL, EPERM, EBUSY, ESRCH. Source: sched_setattr(2).
    """
    given = sched_attr(SCHED_ATTR_SIZE_VER0, *(0,) * 9)
    for name, value in attr._asdict().items():
        setattr(given, f"sched_{name}", value)
    syscall("sched_setattr", tid, ctypes.byref(given), 0)


def sched_setaffinity(tid: int, cpus: Iterable[int]) -> None:
    """Let the task `tid` (0: the calling thread) run on these CPUs; those that it may not have are left out.

    Raises OSError: EINVAL where none is left, EPERM, EBUSY, ESRCH. Source: sched_setaffinity(2).
    """
    mask = sum(1 << cpu for cpu in set(cpus))
    size = mask.bit_length() // 64 * 8 + 8
    syscall("sched_setaffinity", tid, size, mask.to_bytes(size, sys.byteorder))


def setpriority(tid: int, nice: int) -> None:
    """Set the nice value of the task `tid` (0: the calling thread), also where its policy heeds none.

    Raises OSError: EACCES, EPERM, ESRCH. Source: setpriority(2).
    """
    syscall("setpriority", os.PRIO_PROCESS, tid, nice)

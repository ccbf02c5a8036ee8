# SPDX-License-Identifier: MIT
"""pthread.h: a mutex in memory that processes share, and what a thread tells glibc about its priority.

These functions return their error and leave errno alone. What takes or gives back a mutex hands that number on,
for there it is an answer (EBUSY, ETIMEDOUT, EOWNERDEAD); the others raise OSError.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform

from rtnb.abi.syscall import libc
from rtnb.abi.time import CLOCK_MONOTONIC, timespec

__all__ = [
    "HEADERS",
    "clocklock",
    "consistent",
    "holds",
    "init",
    "kind",
    "pthread_mutex_t",
    "pthread_mutexattr_t",
    "setschedparam",
    "trylock",
    "unlock",
]

HEADERS = ("pthread.h",)

PTHREAD_PRIO_NONE = 0
PTHREAD_PRIO_INHERIT = 1
PTHREAD_PRIO_PROTECT = 2

PTHREAD_PROCESS_SHARED = 1

PTHREAD_MUTEX_NORMAL = 0

PTHREAD_MUTEX_ROBUST = 1

_AARCH64 = platform.machine() == "aarch64"
_FUTEX_TID_MASK = 0x3FFFFFFF  # linux/futex.h
_INCONSISTENT = 2**31 - 1  # the owner, from EOWNERDEAD until pthread_mutex_consistent(3)


class pthread_mutex_t(ctypes.Structure):
    """A mutex. Its first members are those of struct __pthread_mutex_s (bits/struct_mutex.h, fixed by the ABI)."""

    _c_name_ = "pthread_mutex_t"
    _fields_ = (
        ("_lock", ctypes.c_int),
        ("_count", ctypes.c_uint),
        ("_owner", ctypes.c_int),
        ("_nusers", ctypes.c_uint),
        ("_kind", ctypes.c_int),
        ("_rest", ctypes.c_char * (28 if _AARCH64 else 20)),
    )


class pthread_mutexattr_t(ctypes.Structure):
    """What a mutex is made with."""

    _c_name_ = "pthread_mutexattr_t"
    _fields_ = (("_size", ctypes.c_char * (8 if _AARCH64 else 4)),)


def init(mutex: pthread_mutex_t, protocol: int, ceiling: int = 0) -> None:
    """Make an unlocked mutex for processes to share; `ceiling` counts under PTHREAD_PRIO_PROTECT alone.

    It is what glibc 2.36 can be trusted with, for it aborts the process (measured) that deadlocks with
    inheritance and type ERRORCHECK, and the one that waits for a dead owner with inheritance and without
    robustness. So its type is NORMAL: who relocks, or unlocks wrongly, must be told by the caller. And it is
    robust, save with a ceiling, where glibc has no robust mutex (ENOTSUP).

    Raises OSError: EINVAL for a ceiling outside 1 to 99.
    Source: pthread_mutexattr_init(3), pthread_mutexattr_setrobust(3), POSIX.
    """
    attr = pthread_mutexattr_t()
    _call("pthread_mutexattr_init", attr)
    _call("pthread_mutexattr_settype", attr, PTHREAD_MUTEX_NORMAL)
    _call("pthread_mutexattr_setpshared", attr, PTHREAD_PROCESS_SHARED)
    _call("pthread_mutexattr_setprotocol", attr, protocol)
    if protocol == PTHREAD_PRIO_PROTECT:
        _call("pthread_mutexattr_setprioceiling", attr, ceiling)
    else:
        _call("pthread_mutexattr_setrobust", attr, PTHREAD_MUTEX_ROBUST)
    _call("pthread_mutex_init", mutex, ctypes.byref(attr))


def trylock(mutex: pthread_mutex_t) -> int:
    """Take it if it is free: 0, EBUSY, EOWNERDEAD (it is taken), or another errno."""
    return int(libc.pthread_mutex_trylock(ctypes.byref(mutex)))


def clocklock(mutex: pthread_mutex_t, until_ns: int) -> int:
    """Take it, waiting until CLOCK_MONOTONIC shows `until_ns`: 0, ETIMEDOUT, EOWNERDEAD (it is taken), or an errno.

    The GIL is released. No signal ends the wait. EINVAL for a mutex with inheritance before glibc 2.34 or
    Linux 5.14, which brought FUTEX_LOCK_PI2. Raises OSError: ENOSYS where libc has no such call (musl).
    """
    try:
        call = libc.pthread_mutex_clocklock  # glibc 2.30
    except AttributeError:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), "pthread_mutex_clocklock") from None
    return int(call(ctypes.byref(mutex), CLOCK_MONOTONIC, ctypes.byref(timespec.of(until_ns))))


def unlock(mutex: pthread_mutex_t) -> int:
    """Give it back: 0, or EPERM where a robust one or one with inheritance is not the caller's."""
    return int(libc.pthread_mutex_unlock(ctypes.byref(mutex)))


def consistent(mutex: pthread_mutex_t) -> int:
    """Go on with a mutex whose owner died: 0, or EINVAL where it is not in that state."""
    return int(libc.pthread_mutex_consistent(ctypes.byref(mutex)))


def holds(mutex: pthread_mutex_t, tid: int) -> bool:
    """Has the thread `tid` the mutex? Exact for the calling thread, a moment's truth for others."""
    owner = mutex._owner
    return bool(owner == tid or (owner == _INCONSISTENT and mutex._lock & _FUTEX_TID_MASK == tid))


def kind(mutex: pthread_mutex_t) -> int:
    """What glibc noted of how it was made; equal for two that were made alike."""
    return int(mutex._kind)


def setschedparam(policy: int, priority: int) -> None:
    """Give the calling thread a policy and a priority, and let glibc know them.

    glibc keeps the priority that it saw first, and gives that back at the unlock of a mutex with a ceiling;
    what sched_setattr(2) has changed since, it does not know. Raises OSError: EPERM, EINVAL.
    """
    libc.pthread_self.restype = ctypes.c_ulong
    _returned(
        libc.pthread_setschedparam(ctypes.c_ulong(libc.pthread_self()), policy, ctypes.byref(ctypes.c_int(priority))),
        "pthread_setschedparam",
    )


def _call(name: str, thing: ctypes.Structure, *args: object) -> None:
    _returned(getattr(libc, name)(ctypes.byref(thing), *args), name)


def _returned(number: int, name: str) -> None:
    """The gate of functions that return their errno."""
    if number:
        raise OSError(number, os.strerror(number), name)

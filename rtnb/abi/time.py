# SPDX-License-Identifier: MIT
"""linux/time.h: the clocks, also those that Python's `time` has no name for, and a sleep to an absolute time."""

from __future__ import annotations

import ctypes
import os

from rtnb.abi.syscall import libc

__all__ = ["CLOCKS", "HEADERS", "clock_nanosleep", "timespec"]

HEADERS = ("linux/time.h",)

CLOCK_REALTIME = 0
CLOCK_MONOTONIC = 1
CLOCK_PROCESS_CPUTIME_ID = 2
CLOCK_THREAD_CPUTIME_ID = 3
CLOCK_MONOTONIC_RAW = 4
CLOCK_REALTIME_COARSE = 5
CLOCK_MONOTONIC_COARSE = 6
CLOCK_BOOTTIME = 7
CLOCK_REALTIME_ALARM = 8
CLOCK_BOOTTIME_ALARM = 9
CLOCK_TAI = 11

TIMER_ABSTIME = 1

CLOCKS: dict[str, int] = {name: number for name, number in list(globals().items()) if name.startswith("CLOCK_")}
"""Name, as clock_gettime(2) spells it, to number."""


class timespec(ctypes.Structure):
    """Seconds and nanoseconds (on 64-bit machines, which are those that rtnb has system calls for)."""

    _c_name_ = "struct timespec"
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))

    @classmethod
    def of(cls, ns: int) -> timespec:
        """A time of so many nanoseconds."""
        return cls(*divmod(ns, 10**9))


def clock_nanosleep(clock: int, ns: int) -> None:
    """Sleep until `clock` shows `ns` nanoseconds or more; the GIL is released.

    Raises OSError: EINTR where a signal came first, EINVAL for a time below 0 or a clock that cannot be slept on.
    Source: clock_nanosleep(2), which returns its error and leaves errno alone.
    """
    if number := libc.clock_nanosleep(clock, TIMER_ABSTIME, ctypes.byref(timespec.of(ns)), None):
        raise OSError(number, os.strerror(number), "clock_nanosleep")

# SPDX-License-Identifier: MIT
"""When is the next period? An absolute sleep, and releases that do not drift."""

from __future__ import annotations

import time
from collections.abc import Iterator

from rtnb import caps
from rtnb.abi.time import CLOCK_MONOTONIC, clock_nanosleep
from rtnb.errors import BadInput
from rtnb.units import in_words, nanoseconds

__all__ = ["Periodic", "now_ns", "sleep_until"]


def now_ns() -> int:
    """The time in nanoseconds by CLOCK_MONOTONIC, the clock of every time in `rtnb.rt`."""
    return time.monotonic_ns()


def sleep_until(ns: int) -> None:
    """Sleep until CLOCK_MONOTONIC shows `ns`; a time that has passed is no sleep at all.

    Signals do not shorten it: their handlers run and the sleep goes on, for the time is absolute. What a handler
    raises ends it, as KeyboardInterrupt does. The GIL is released. Raises BadInput for what is beyond 63 bits.
    Source: clock_nanosleep(2).

    >>> sleep_until(now_ns() + 1_000_000)
    """
    caps.linux("sleep_until")
    if ns >= 2**63:
        raise BadInput(f"sleep_until({ns})", "nanoseconds are counted in 63 bits, which are 292 years")
    while True:
        try:
            return clock_nanosleep(CLOCK_MONOTONIC, max(ns, 0))
        except InterruptedError:  # the handler ran as the call returned, and raised nothing
            continue


class Periodic:
    """Releases at start, start + period, start + 2 periods ...: waits for the next one, however late this one was.

    `period` is a duration with a unit; `start` the time of release 0 (`now_ns()`'s clock), the first `next()`
    unless given. Each step waits and yields the release's number and its exact time, so that
    `now_ns() - release_ns` is how late it is. Releases that passed before it was asked for the next one are
    not made up for: their numbers are left out, and `missed` counts them. It has no end of its own.

    Raises BadInput.

    >>> for k, release_ns in zip(range(3), Periodic("10ms")):  # doctest: +SKIP
    ...     work()
    """

    def __init__(self, period: str | int, start: int | None = None) -> None:
        self.period_ns = nanoseconds(period, what="period")
        self.start = start
        self.missed = 0
        self._next = 0

    def __repr__(self) -> str:
        return f"Periodic({in_words(self.period_ns)}, next release {self._next}, missed {self.missed})"

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return self

    def __next__(self) -> tuple[int, int]:
        """Wait for the next release, and return its number and time."""
        now = now_ns()
        if self.start is None:
            self.start = now
        ahead = -((self.start - now) // self.period_ns)  # the first release that is not in the past
        k = max(self._next, ahead)
        release_ns = self.start + k * self.period_ns
        sleep_until(release_ns)
        self.missed += k - self._next
        self._next = k + 1
        return k, release_ns

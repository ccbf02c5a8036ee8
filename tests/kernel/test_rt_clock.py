# SPDX-License-Identifier: MIT
"""Releases are exact multiples of the period, however late each was; sleeps end at their time or by an exception."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rtnb.errors import BadInput
from rtnb.rt.clock import Periodic, now_ns, sleep_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="no Linux")

MS = 10**6


@contextmanager
def alarms(every_s: float, handler: object) -> Iterator[None]:
    """Meanwhile this thread gets SIGUSR1 again and again, and the handler runs."""
    before = signal.signal(signal.SIGUSR1, handler)  # type: ignore[arg-type]
    main, done = threading.main_thread().ident, threading.Event()

    def ring() -> None:
        while not done.wait(every_s):
            signal.pthread_kill(main or 0, signal.SIGUSR1)

    thread = threading.Thread(target=ring)
    thread.start()
    try:
        yield
    finally:
        done.set()
        ended(thread)
        signal.signal(signal.SIGUSR1, before)


def ended(thread: threading.Thread) -> None:
    """Wait for its end, and for the kernel to have forgotten it, which is a moment later."""
    thread.join()
    while os.path.exists(f"/proc/self/task/{thread.native_id}"):
        time.sleep(0.001)


def test_a_sleep_ends_no_sooner_than_its_time() -> None:
    for ahead in (0, 1, 1000, MS, 10 * MS):
        end = now_ns() + ahead
        sleep_until(end)
        assert now_ns() >= end


def test_a_time_that_has_passed_is_no_sleep() -> None:
    sleep_until(0)
    sleep_until(now_ns() - 3600 * 10**9)


def test_a_signal_does_not_shorten_a_sleep() -> None:
    came = []
    end = now_ns() + 100 * MS
    with alarms(0.01, lambda number, frame: came.append(now_ns())):
        sleep_until(end)
        assert now_ns() >= end
    assert len([ns for ns in came if ns < end]) >= 2


def test_an_interrupt_ends_a_sleep() -> None:
    end = now_ns() + 3600 * 10**9
    with pytest.raises(KeyboardInterrupt), alarms(0.05, signal.default_int_handler):
        sleep_until(end)
    assert now_ns() < end


def test_other_threads_run_while_it_sleeps() -> None:
    ran = []
    thread = threading.Thread(target=lambda: ran.append(now_ns()))
    end = now_ns() + 200 * MS
    thread.start()
    sleep_until(end)
    ended(thread)
    assert ran[0] < end


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(BadInput, match="63 bits"):
        sleep_until(2**63)


@pytest.mark.parametrize("period", ["0ms", "later", "10"])
def test_what_is_no_period_is_refused(period: str | int) -> None:
    with pytest.raises(BadInput, match="period"):
        Periodic(period)


def test_releases_do_not_drift() -> None:
    """23 releases of a period that is no whole number of anything, each with some work: exact to the nanosecond."""
    start = now_ns() + MS
    periodic = Periodic("2.345678ms", start)
    for _ in range(23):
        k, release_ns = next(periodic)
        assert now_ns() >= release_ns == start + k * 2_345_678
    assert k == 22 + periodic.missed


def test_the_first_release_is_the_first_next_unless_told() -> None:
    periodic = Periodic("1h")
    time.sleep(0.002)
    before = now_ns()
    k, release_ns = next(periodic)
    assert k == periodic.missed == 0
    assert before <= release_ns == periodic.start <= now_ns()


def test_releases_that_pass_meanwhile_are_counted() -> None:
    periodic = Periodic("10ms")
    numbers = []
    for _, (k, release_ns) in zip(range(5), periodic, strict=False):
        numbers.append(k)
        if len(numbers) == 3:
            sleep_until(release_ns + 34 * MS)  # three of them pass meanwhile
    assert numbers[3] - numbers[2] >= 4
    assert periodic.missed == numbers[-1] + 1 - len(numbers)
    assert "missed" in repr(periodic)


def test_a_start_that_has_passed_has_missed_what_was_before_now() -> None:
    start = now_ns() - 95 * MS  # below 0 on a machine that has only just booted, and no worse for that
    periodic = Periodic("10ms", start)
    k, release_ns = next(periodic)
    assert k == periodic.missed >= 10
    assert release_ns == start + k * 10 * MS


def test_a_release_that_is_interrupted_is_not_lost() -> None:
    periodic = Periodic("150ms")
    next(periodic)
    with pytest.raises(KeyboardInterrupt), alarms(0.02, signal.default_int_handler):
        next(periodic)
    k, release_ns = next(periodic)
    assert release_ns == (periodic.start or 0) + k * 150 * MS
    assert k == 1 + periodic.missed

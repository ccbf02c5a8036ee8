# SPDX-License-Identifier: MIT
"""A Spec is made on any machine: what means nothing is refused, what a kernel would refuse is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rtnb.errors import BadInput
from rtnb.sched import Spec, batch, deadline, fifo, idle, other, rr
from rtnb.sched.admission.deadline import UNIT, ratio
from rtnb.sched.spec import as_list


@pytest.mark.parametrize(
    ("spec", "same", "words"),
    [
        (fifo(), Spec("fifo", 80), "SCHED_FIFO priority 80"),
        (fifo(80, cpu=1), Spec("fifo", 80, cpus=frozenset({1})), "SCHED_FIFO priority 80 on CPU 1"),
        (
            rr(3, cpu=[2, 0, 1, 5], lock_memory=True),
            Spec("rr", 3, None, frozenset({0, 1, 2, 5}), lock_memory=True),
            "SCHED_RR priority 3 on CPU 0-2,5 with memory locked",
        ),
        (other(), Spec("other"), "SCHED_OTHER"),
        (other(0), Spec("other", nice=0), "SCHED_OTHER nice 0"),
        (
            batch(-3, timer_slack="1us", cpu_dma_latency_us=20),
            Spec("batch", 0, -3, timer_slack_ns=1000, cpu_dma_latency_us=20),
            "SCHED_BATCH nice -3 with timer slack 1 us with cpu_dma_latency 20 us",
        ),
        (idle(reset_on_fork=True), Spec("idle", reset_on_fork=True), "SCHED_IDLE reset on fork"),
        (
            deadline(),
            Spec("deadline", runtime_ns=2_000_000, deadline_ns=10_000_000, period_ns=10_000_000),
            "SCHED_DEADLINE 2 ms in 10 ms",
        ),
        (
            deadline("1ms", "5ms", "20ms", reclaim=True, dl_overrun=True),
            Spec("deadline", 0, None, None, 10**6, 5 * 10**6, 20 * 10**6, False, True, True),
            "SCHED_DEADLINE 1 ms in 20 ms, deadline 5 ms with reclaiming with SIGXCPU on overrun",
        ),
    ],
)
def test_it_says_what_it_is(spec: Spec, same: Spec, words: str) -> None:
    assert spec == same
    assert hash(spec) == hash(same)
    assert str(spec) == words


def test_what_a_kernel_would_answer_is_left_to_it() -> None:
    for priority in (0, 100, -1):
        assert fifo(priority).priority == priority
    assert other(40).nice == 40
    assert deadline("2s", "1ms").runtime_ns == 2 * 10**9
    assert Spec("deadline", deadline_ns=2**64 - 1).deadline_ns == 2**64 - 1
    assert other(cpu=4095).cpus == {4095}
    assert other(cpu=()).cpus == frozenset()


@pytest.mark.parametrize(
    ("make", "tried", "hint"),
    [
        (lambda: Spec("fifp"), "policy 'fifp'", "did you mean fifo?"),
        (lambda: Spec("FIFO"), "policy 'FIFO'", "one of other, fifo"),
        (lambda: Spec("other", 5), "priority 5", "fifo and rr have one"),
        (lambda: Spec("deadline", 5), "priority 5", "fifo and rr have one"),
        (lambda: fifo(reclaim=True), "reclaim True", "deadline alone has it"),
        (lambda: Spec("idle", runtime_ns=1), "runtime_ns 1", "deadline alone has it"),
        (lambda: deadline("fast"), "runtime 'fast'", "write a number with a unit"),
        (lambda: deadline(period="0s"), "period '0s'", ""),
        (lambda: fifo(timer_slack="-1us"), "timer_slack '-1us'", "write a number with a unit"),
        (lambda: fifo(cpu=-1), "cpu -1", ""),
        (lambda: fifo(cpu=[0, 2**20]), "cpu 1048576", ""),
        (lambda: fifo(cpu=1.5), "cpus '1.5'", ""),  # type: ignore[arg-type]
        (lambda: fifo(cpu="1"), "cpu 1", ""),  # type: ignore[arg-type]
        (lambda: fifo(True), "priority 'True'", ""),
        (lambda: fifo("high"), "priority 'high'", ""),  # type: ignore[arg-type]
        (lambda: fifo(2**32 + 5), "priority 4294967301", ""),
        (lambda: other(2**32), "nice 4294967296", ""),
        (lambda: other(cpu_dma_latency_us=-1), "cpu_dma_latency_us -1", ""),
        (lambda: other(colour="red"), "other(colour)", ""),
    ],
)
def test_what_means_nothing_is_told(make: Callable[[], Spec], tried: str, hint: str) -> None:
    with pytest.raises(BadInput) as e:
        make()
    assert e.value.tried == tried
    assert e.value.hint.startswith(hint)


@pytest.mark.parametrize(
    ("cpus", "text"), [((), ""), ((3,), "3"), ((0, 1), "0-1"), ((5, 0, 2, 1), "0-2,5"), ((0, 2, 4), "0,2,4")]
)
def test_cpus_are_listed_as_the_kernel_lists_them(cpus: tuple[int, ...], text: str) -> None:
    assert as_list(cpus) == text


def test_a_share_is_rounded_down_in_parts_of_2_to_the_20() -> None:
    assert [ratio(10, n) for n in (0, 1, 5, 10)] == [0, 104857, UNIT // 2, UNIT]
    assert ratio(0, 5) == 0

# SPDX-License-Identifier: MIT
"""What is made of switches, wake-ups and interrupts? Of made-up ones, whose answer is known."""

from __future__ import annotations

import struct

import numpy as np
import pandas as pd
import pytest

from rtnb.rt.causes import STATES, causes, segments
from rtnb.rt.ring import SWITCH, Decoder
from rtnb.rt.timeline import spans
from rtnb.rt.trace import Events, since

PARTS = [f"{state}_ns" for state in (*STATES, "host")]
IDLE = (0, b"swapper/0", 120)
STAMP = [("time_ns", "i8"), ("cpu", "i4")]
SIDES = [
    (f"{end}_{name}", kind)
    for end in ("prev", "next")
    for name, kind in [("pid", "i4"), ("comm", "S16"), ("prio", "i4")]
]
Task = tuple[int, bytes, int]


def traced(*switches: tuple[int, Task, bool, Task], wakes: int | None = None, fair: bool = False) -> Events:
    """Made-up events of CPU 0: switches as (time, from, runnable, to), and when pid 1 is woken.

    Who they are is told as where all tasks are real-time: not, where neither of the two is. Or, with `fair`, always.
    """
    rows = [(time, 0, prev[0], to[0], runnable) for time, prev, runnable, to in switches]
    told = [(time, 0, *prev, *to) for time, prev, _, to in switches if fair or prev[2] < 100 or to[2] < 100]
    waking = np.array([] if wakes is None else [(wakes, 0, 1)], [*STAMP, ("pid", "i4")])
    by_name = {"sched/sched_switch": np.array(told, [*STAMP, *SIDES]), "sched/sched_waking": waking}
    return Events(by_name, np.array(rows, SWITCH), lost=0)


def ran(*spans: tuple[int, int, int], execution: int | None = None) -> pd.DataFrame:
    """Jobs of the task "t" with that release, start and end."""
    release, start, end = (np.array(times, dtype="int64") for times in zip(*spans, strict=True))
    times = {"release_ns": release, "start_ns": start, "end_ns": end, "response_ns": end - release}
    cpu_time = pd.array([execution] * len(spans), dtype="Int64")
    who = {"task": pd.Categorical(["t"] * len(spans)), "job": np.arange(len(spans))}
    return pd.DataFrame({**who, **times, "execution_ns": cpu_time})


def pieces(jobs: pd.DataFrame, events: Events) -> list[tuple[object, ...]]:
    frame = segments(jobs, {"t": 1}, events).astype({"state": "str", "by": "str"})
    return list(frame[["state", "begin_ns", "end_ns", "by"]].itertuples(index=False, name=None))


def test_who_is_preempted_after_a_mutex_lent_it_priority_is_not_throttled() -> None:
    lent, own, middle, high = (1, b"t", 69), (1, b"t", 89), (2, b"middle", 79), (3, b"high", 69)
    came = [(5, IDLE, False, own), (10, own, True, high), (20, high, False, lent), (30, lent, True, high)]
    went = [(40, high, False, middle), (90, middle, False, own), (100, own, False, IDLE)]
    found = pieces(ran((5, 6, 95)), traced(*came, *went))
    assert found[:3] == [("run", 5, 10, ""), ("preempted", 10, 20, "high"), ("run", 20, 30, "")]
    assert found[3:] == [("preempted", 30, 40, "high"), ("preempted", 40, 90, "middle"), ("run", 90, 95, "")]


@pytest.mark.parametrize(("priority", "state"), [(-1, "throttled"), (49, "throttled"), (120, "preempted")])
def test_only_who_has_a_budget_is_throttled(priority: int, state: str) -> None:
    me, below = (1, b"t", priority), (7, b"below", 130 if priority > 0 else 49)
    switches = (5, IDLE, False, me), (10, me, True, below), (50, below, True, me), (70, me, False, IDLE)
    found = pieces(ran((5, 6, 60)), traced(*switches, fair=priority > 99))
    assert found == [("run", 5, 10, ""), (state, 10, 50, "below"), ("run", 50, 60, "")]


def test_who_had_the_cpu_is_told_by_the_switch_that_ends_it() -> None:
    me, one, two = (1, b"t", 49), (7, b"one", 120), (8, b"two", 120)
    slept, between, woken, sleeps = (
        (5, me, False, one),
        (20, one, True, two),
        (34, two, True, me),
        (60, me, False, IDLE),
    )
    for switches in ([slept, between, woken, sleeps], [slept, woken, sleeps]):  # as told, and without what is left out
        found = pieces(ran((30, 35, 50)), traced(*switches, wakes=31))
        assert found == [("unexplained", 30, 31, ""), ("preempted", 31, 34, "two"), ("run", 34, 50, "")]


def test_who_has_no_name_in_the_trace_has_a_pid() -> None:
    me, one, two = (1, b"t", 49), (7, b"one", 120), (8, b"two", 120)
    begin, end = [(1, IDLE, False, me), (5, me, True, one)], [(60, one, True, me), (99, me, False, IDLE)]
    found = pieces(ran((2, 3, 90)), traced(*begin, (20, one, True, two), (40, two, True, one), *end))
    assert found[:3] == [("run", 2, 5, ""), ("throttled", 5, 20, "one"), ("throttled", 20, 40, "pid 8")]
    assert found[3:] == [("throttled", 40, 60, "one"), ("run", 60, 90, "")]


def test_where_nothing_is_known_nothing_is_explained() -> None:
    assert pieces(ran((5, 6, 60)), traced()) == [("unexplained", 5, 60, "")]
    none = ran((5, 6, 60)).iloc[:0]
    assert causes(none, segments(none, {"t": 1}, traced())).empty


def test_what_the_host_takes_is_wall_time_without_cpu_time() -> None:
    me = (1, b"t", 49)
    jobs = ran(*((100 * n, 100 * n + 10, 100 * n + 60) for n in range(5)), execution=40)
    came, went = (
        [(100 * n + at, *how) for n in range(5)] for at, how in ((5, (IDLE, False, me)), (70, (me, False, IDLE)))
    )
    frame = segments(jobs, {"t": 1}, traced(*sorted([*came, *went], key=lambda switch: switch[0])))
    assert causes(jobs, frame)["host_ns"].tolist() == [0] * 5  # 50 on the CPU, 40 by its own clock: so is every one
    jobs.loc[3, "execution_ns"] = 15
    stolen = causes(jobs, frame)
    assert stolen["host_ns"].tolist() == [0, 0, 0, 25, 0]
    assert stolen["run_ns"].tolist() == [55, 55, 55, 30, 55]
    assert stolen["unexplained_ns"].tolist() == [5] * 5
    assert (stolen[PARTS].sum(axis=1) == stolen["response_ns"]).all()


def spanned(switches: list[int] | None = None, **ends: list[int]) -> list[list[int]]:
    by_name = {name: np.array([(time, 0) for time in times], STAMP) for name, times in ends.items()}
    return spans(by_name, np.array(switches or [], "i8")).tolist()  # type: ignore[no-any-return]


def test_an_interrupt_without_its_other_end_is_none() -> None:
    assert spanned(irq_entry=[10, 50], irq_exit=[60]) == [[50, 60]]
    assert spanned(irq_entry=[20], irq_exit=[5, 30]) == [[20, 30]]
    assert spanned(irq_entry=[20, 40, 70], irq_exit=[50]) == [[40, 50]]
    assert spanned(irq_entry=[5], irq_exit=[]) == spanned(irq_entry=[], irq_exit=[5]) == spanned() == []


def test_a_switch_ends_an_interrupt_that_it_comes_in() -> None:
    assert spanned([5, 15, 30, 70], soft_entry=[10, 50], soft_exit=[40, 60]) == [[10, 15], [50, 60]]


def test_interrupts_that_nest_count_once() -> None:
    assert spanned(soft_entry=[10, 50], soft_exit=[40, 60], irq_entry=[20], irq_exit=[30]) == [[10, 40], [50, 60]]


def test_a_switch_is_told_once_wherever_a_drain_ends() -> None:
    def record(misc: int, tid: int, other: int, time: int) -> bytes:
        return struct.pack("<IHHIIIIq", 15, misc, 32, other, other, tid, tid, time)

    out, preempted = 0x2000, 0x6000
    records = [record(preempted, 7, 1, 10), record(0, 1, 7, 11), record(out, 1, 9, 20), record(0, 9, 1, 21)]
    records += [record(0, 1, 9, 30)]  # nothing is heard of 9 as it leaves
    for end in range(len(records) + 1):
        decoder = Decoder(0, {})
        parts = [decoder.decode(b"".join(part)).switches for part in (records[:end], records[end:])]
        assert np.concatenate(parts).tolist() == [(10, 0, 7, 1, True), (20, 0, 1, 9, False), (30, 0, 9, 1, False)]


def test_what_is_kept_of_the_past_is_the_last_of_each_cpu_and_task() -> None:
    rows = np.array([(1, 0, 5), (2, 0, 6), (3, 1, 5), (4, 0, 6), (5, 1, 5), (6, 0, 7)], [*STAMP, ("pid", "i4")])
    assert since(rows, 5)["time_ns"].tolist() == [3, 4, 5, 6]
    assert since(rows, 0)["time_ns"].tolist() == since(rows, 1)["time_ns"].tolist() == [1, 2, 3, 4, 5, 6]
    assert since(rows, 99)["time_ns"].tolist() == [4, 5, 6]

# SPDX-License-Identifier: MIT
"""What does `-e` ask for, and what do counts come to? No kernel is needed for either."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtnb import perf
from rtnb.abi.perf_event import Reading
from rtnb.errors import BadInput
from rtnb.perf.counters import counted
from rtnb.perf.names import parse


def test_the_default_is_perf_stats_own() -> None:
    assert [asked.text for asked in parse()] == perf.DEFAULT.split(",")


def test_groups_modifiers_and_aliases() -> None:
    asked = parse("faults:u, {cycles,instructions:k}:u ,cs")
    assert [(a.text, a.event.name, a.sides, a.group) for a in asked] == [
        ("faults:u", "page-faults", "u", -1),
        ("cycles:u", "cycles", "u", 1),
        ("instructions:uk", "instructions", "", 1),
        ("cs", "context-switches", "", -1),
    ]
    assert parse(["faults:u", "{cycles,instructions:k}:u", "cs"]) == asked


@pytest.mark.parametrize(
    ("event", "says"),
    [
        ("page-fault", "did you mean page-faults"),
        ("llc-loads", "LLC-loads"),
        ("sched:sched_switch", "there is no event of that name"),
        ("faults:x", "unknown modifier 'x'"),
        ("{cycles,faults", "cannot be read"),
        ("cycles}", "cannot be read"),
        ("{{cycles}}", "cannot be read"),
        ("cycles,,faults", "cannot be read"),
        ("{}", "there is no event"),
        (" ", "none is named"),
        ([], "none is named"),
        ("cs,faults,cs", "event cs: is named twice"),
        ("cs:u", "it happens in the kernel alone"),
    ],
)
def test_bad_events_are_told(event: str | list[str], says: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse(event)
    assert says in str(caught.value)


def test_an_event_may_be_in_two_groups() -> None:
    assert [a.group for a in parse("{cycles,instructions},{cycles,branches}")] == [0, 0, 2, 2]


@given(st.text(alphabet="{}:,uk -abcs" + "é", max_size=30) | st.lists(st.sampled_from(sorted(perf.EVENTS)), max_size=5))
def test_anything_is_read_or_refused(event: str | list[str]) -> None:
    try:
        asked = parse(event)
    except BadInput:
        return
    assert asked
    assert all(-1 <= a.group <= i for i, a in enumerate(asked))


def test_every_event_is_in_the_table() -> None:
    table = perf.events().set_index("event")
    assert set(table.index) == set(perf.EVENTS)
    assert len({(e.type, e.config) for e in perf.EVENTS.values()}) == (table.same_as == "").sum()
    assert table.same_as["faults"] == "page-faults"
    # From perf_event_open(2): id | op << 8 | result << 16.
    assert perf.EVENTS["dTLB-store-misses"].config == 3 | 1 << 8 | 1 << 16
    assert perf.EVENTS["LLC-loads"].config == 2


@given(st.integers(0, 2**62), st.integers(1, 10**15), st.integers(0, 10**15))
def test_scaling_is_exact(raw: int, enabled: int, running: int) -> None:
    running = min(running, enabled)
    status, value, why = counted(Reading(raw, enabled, running))
    if not running:
        assert (status, value) == ("not counted", None)
    elif running == enabled:
        assert (status, value, why) == ("counted", raw, "")
    else:
        assert status == "scaled"
        assert abs(value * running - raw * enabled) * 2 <= running
    assert bool(why) == (status != "counted")


def counters(*rows: tuple[int, str, float | None], group: int = -1, elapsed_ns: int = 2_000_000) -> pd.DataFrame:
    """A frame of (run, event, value), as if it had been counted."""
    n = len(rows)
    values = [value for _, _, value in rows]
    made = {
        "run": [run for run, _, _ in rows],
        "event": [event for _, event, _ in rows],
        "value": pd.array(values, dtype="Int64"),
        "unit": ["ns" if "clock" in event else "" for _, event, _ in rows],
        "status": ["not supported" if value is None else "counted" for value in values],
        "why": [""] * n,
        "user_only": [False] * n,
        "raw": pd.array(values, dtype="Int64"),
        "enabled_ns": [1] * n,
        "running_ns": [1] * n,
        "share": [1.0] * n,
        "group": [group] * n,
        "elapsed_ns": [elapsed_ns] * n,
    }
    return perf.counters.frame(list(zip(*made.values(), strict=True)))


def rate(df: pd.DataFrame, event: str) -> tuple[float, str]:
    row = perf.summary(df).set_index("event").loc[event]
    return row["rate"], row["rate_unit"]


def test_rates_in_perf_stats_words() -> None:
    df = counters(
        (0, "task-clock", 1_000_000),
        (0, "cpu-cycles", 3_000_000),
        (0, "instructions", 6_000_000),
        (0, "branches", 1_000_000),
        (0, "branch-misses", 25_000),
        (0, "cache-misses", 10),
        (0, "LLC-loads", 200),
        (0, "LLC-load-misses", 50),
        (0, "faults", 7),
    )
    assert rate(df, "task-clock") == (0.5, "CPUs utilized")
    assert rate(df, "cpu-cycles") == (3.0, "GHz")
    assert rate(df, "instructions") == (2.0, "insn per cycle")
    assert rate(df, "branch-misses") == (2.5, "% of all branches")
    assert rate(df, "LLC-load-misses") == (25.0, "% of all LL-cache accesses")
    assert rate(df, "cache-misses") == (10_000.0, "/sec")  # cache-references were not asked for
    assert rate(df, "faults") == (7_000.0, "/sec")


def test_a_rate_needs_its_other_half() -> None:
    df = counters((0, "instructions", 5), (0, "cycles", None), (0, "branch-misses:u", 5), (0, "branches:k", 10))
    told = perf.summary(df)
    assert told.rate.isna().all()
    assert set(told.rate_unit) == {""}


def test_a_rate_is_of_its_own_group() -> None:
    first = counters((0, "cycles", 100), (0, "branches", 1), group=0)
    second = counters((0, "cycles", 400), (0, "instructions", 200), group=2)
    assert rate(pd.concat([first, second]), "instructions") == (0.5, "insn per cycle")


def test_spread_is_the_standard_error_of_the_mean() -> None:
    df = counters((0, "faults", 10), (1, "faults", 12), (2, "faults", 14), (3, "faults", None))
    row, _ = perf.summary(df).to_dict("records")
    assert (row["mean"], row["runs"], row["status"]) == (12.0, 3, "not supported")
    assert row["spread"] == pytest.approx(100 * 2 / math.sqrt(3) / 12)
    assert np.isnan(perf.summary(counters((0, "faults", 10))).spread[0])
    assert perf.summary(counters((0, "cs", 0), (1, "cs", 0))).spread[0] == 0


def test_summary_of_something_else_is_refused() -> None:
    with pytest.raises(BadInput, match="the frame has no column"):
        perf.summary(pd.DataFrame({"syscall": ["open"]}))

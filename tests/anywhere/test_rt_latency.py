# SPDX-License-Identifier: MIT
"""Latencies: what is exact is exact, of ten million samples too, in bounded memory; the summary and the histogram."""

from __future__ import annotations

import functools
import json
import math
import tracemalloc
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtnb import schema
from rtnb.errors import BadInput, BadRecording, RtnbError
from rtnb.recording import Header, Recording
from rtnb.rt.hdr import Latencies
from rtnb.rt.jobs import Histogram, Job
from rtnb.rt.latency import PERCENTILES, UNBOUNDED, histogram, samples, summary

US, MS = 1000, 10**6
slow = settings(deadline=None, max_examples=25)
"""For what makes histograms anew, of millions of counters each."""
signed = st.lists(st.integers(-(2**31), 2**31), min_size=1, max_size=300)
exact = st.lists(st.integers(-(2**18) + 1, 2**18 - 1), min_size=1, max_size=300)


def jobs(
    late: Sequence[int] | np.ndarray[Any, Any],
    *,
    task: str = "task",
    execution: Sequence[int] | None = None,
    missed: Sequence[int] | None = None,
    details: dict[str, Any] | None = None,
) -> pd.DataFrame:
    """A task of 1 ms whose jobs were so late, and ran so long."""
    n = len(late)
    skipped = np.array([0] * n if missed is None else missed, dtype="int64")
    number = np.arange(n) + np.append(0, skipped.cumsum())[:n]
    release = number * MS
    start = release + np.asarray(late, dtype="int64")
    end = start + (0 if execution is None else np.asarray(execution, dtype="int64"))
    worked = pd.array([pd.NA] * n if execution is None else execution, dtype="Int64")
    columns = {
        "task": [task] * n,
        "job": number,
        "release_ns": release,
        "start_ns": start,
        "end_ns": end,
        "deadline_ns": release + MS,
        "latency_ns": start - release,
        "response_ns": end - release,
        "execution_ns": worked,
        "waited_ns": np.zeros(n, "int64"),
        "cpu": np.zeros(n, "int32"),
        "preemptions": worked * 0,
        "missed": skipped,
        "overrun": end > release + MS,
    }
    header = Header("rt_task", ("a test",), "test", details=details or {})
    return Recording(header, {"jobs": schema.frame(Job, columns)}).tables["jobs"]


def nearest_rank(values: Sequence[int], percent: str) -> int:
    rank = math.ceil(len(values) * Fraction(percent) / 100)
    return sorted(values)[max(rank, 1) - 1]


@slow
@given(exact)
def test_every_percentile_is_exact_below_262_us(values: list[int]) -> None:
    late = Latencies()
    late.add(values)
    for percent in ("0", "1", *PERCENTILES.values(), "100"):
        assert late.percentile(percent) == nearest_rank(values, percent)


@slow
@given(signed, signed)
def test_of_any_samples_the_sums_are_exact_and_percentiles_within_a_131072th(one: list[int], other: list[int]) -> None:
    late = Latencies()
    late.add(one)
    late.add(other)
    both = one + other
    mean = Fraction(sum(both), len(both))
    assert (late.count, late.min, late.max, late.mean) == (len(both), min(both), max(both), float(mean))
    assert late.std == pytest.approx(math.sqrt(sum((x - mean) ** 2 for x in both) / (len(both) - 1)), rel=1e-12)
    for percent in PERCENTILES.values():
        wanted = nearest_rank(both, percent)
        assert 0 <= late.percentile(percent) - wanted <= abs(wanted) / 131072
    assert int(late.spans().counts.sum()) == len(both)


def test_ten_million_samples_take_no_more_memory_than_one_million() -> None:
    random = np.random.default_rng(1)
    parts = [(random.lognormal(10.2, 0.4, MS)).astype("int64").clip(max=2**18 - 1) for _ in range(10)]
    late = Latencies()
    late.add(parts[0])
    tracemalloc.start()
    try:
        for part in parts[1:]:
            late.add(part)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < MS  # nine million samples more, eight bytes each, and less than one of memory
    ordered = np.sort(np.concatenate(parts))
    assert late.count == len(ordered) == 10 * MS
    for percent in PERCENTILES.values():
        assert late.percentile(percent) == ordered[math.ceil(10 * MS * Fraction(percent) / 100) - 1]
    assert late.mean == float(Fraction(sum(map(int, (part.sum() for part in parts))), 10 * MS))
    assert late.std == pytest.approx(float(ordered.std(ddof=1)), rel=1e-12)


def test_the_squares_of_long_ones_do_not_wrap() -> None:
    late = Latencies()
    late.add(np.full(1000, 2**52))
    late.add([2**52 + 2])
    assert (late.mean, late.std) == (2**52 + 2 / 1001, pytest.approx(2 / math.sqrt(1001)))


def test_what_is_longer_than_104_days_is_refused() -> None:
    with pytest.raises(BadInput, match="104 days"):
        Latencies().add([2**53])


def test_no_samples() -> None:
    late = Latencies()
    late.add([])
    assert (late.count, late.buckets([0]), len(late.spans().low)) == (0, [0, 0], 0)
    assert math.isnan(late.mean)
    assert math.isnan(late.std)
    with pytest.raises(BadInput, match="no samples"):
        late.percentile(50)
    assert Latencies.from_json(json.loads(json.dumps(late.to_json()))).count == 0


@pytest.mark.parametrize("percent", [-1, 100.1, "1e3", "-0.5"])
def test_no_percentile(percent: float | str) -> None:
    late = Latencies()
    late.add([1])
    with pytest.raises(BadInput, match="from 0 to 100"):
        late.percentile(percent)


def test_buckets_sum_to_the_samples() -> None:
    late = Latencies()
    late.add([-1, 0, 9, 10, 19, 20, 500])
    assert late.buckets([0, 10, 20]) == [1, 2, 2, 2]


@slow
@given(signed)
def test_latencies_survive_json(values: list[int]) -> None:
    late = Latencies()
    late.add(values, missed=3, overruns=2)
    back = Latencies.from_json(json.loads(json.dumps(late.to_json())))
    back.add(values)  # and can go on
    late.add(values)
    assert back.to_json() == late.to_json()
    assert (back.missed, back.overruns) == (3, 2)


def test_other_tools_read_the_histogram() -> None:
    from hdrh.histogram import HdrHistogram

    late = Latencies()
    late.add([26_000, 27_000, 90_000])
    read = HdrHistogram.decode(late.to_json()["above"])
    assert (read.get_total_count(), read.get_value_at_percentile(50), read.get_max_value()) == (3, 27_000, 90_000)


@functools.cache
def good() -> dict[str, Any]:
    late = Latencies()
    late.add([-5, 10, 20_000, 30_000])
    return late.to_json()


def damaged(**changes: Any) -> dict[str, Any]:
    return {**good(), **changes}


@pytest.mark.parametrize(
    "changes",
    [
        {"count": 5},
        {"count": "4"},
        {"count": True},
        {"min": -6000},
        {"max": 2**200},
        {"missed": -1},
        {"squares": 0},
        {"sum": 10**30},
        {"above": None},
        {"above": "AAAA"},
        {"above": "***"},
        {"above": damaged()["above"][:60]},
        {"below": damaged()["above"]},
    ],
)
def test_damaged_latencies_are_told(changes: dict[str, Any]) -> None:
    with pytest.raises(BadRecording, match="damaged"):
        Latencies.from_json(damaged(**changes))


@slow
@given(st.binary(max_size=200), st.sampled_from(["above", "below"]))
def test_no_text_of_a_histogram_does_harm(raw: bytes, where: str) -> None:
    import base64

    whole = base64.b64decode(damaged()["above"])
    for data in (raw, whole[:8] + raw, whole[: len(whole) // 2] + raw):
        with pytest.raises(BadRecording):
            Latencies.from_json(damaged(**{where: base64.b64encode(data).decode()}))


def test_a_histogram_that_unpacks_to_too_much_is_refused() -> None:
    import base64
    import zlib

    bomb = base64.b64encode(b"\0" * 8 + zlib.compress(bytes(100 * 2**20), 9)).decode()
    with pytest.raises(BadRecording, match="too large"):
        Latencies.from_json(damaged(above=bomb))


def test_the_summary_of_ten() -> None:
    late = [7000, 1000, 3000, 2000, 5000, 4000, 6000, 10000, 9000, 8000]
    told = summary(jobs(late, missed=[2] * 10, details={"tasks": {"task": {"policy": "fifo", "priority": 80}}}))
    assert list(told["measure"]) == ["latency", "period"]  # and no load
    assert told.iloc[0].to_dict() == {
        "task": "task",
        "measure": "latency",
        "policy": "fifo",
        "priority": 80,
        "samples": 10,
        "missed": 20,
        "overruns": 0,
        "min_us": 1.0,
        "mean_us": 5.5,
        "std_us": pytest.approx(3.0276503540974917),
        "p50_us": 5.0,
        "p90_us": 9.0,
        "p99_us": 10.0,
        "p99_9_us": 10.0,
        "p99_99_us": 10.0,
        "max_us": 10.0,
        "jitter_us": 9.0,
    }


@given(st.lists(st.integers(0, 10**10), min_size=1, max_size=500))
def test_a_percentile_is_the_smallest_sample_that_enough_are_no_larger_than(late: list[int]) -> None:
    row = summary(jobs(late)).iloc[0]
    for name, percent in PERCENTILES.items():
        assert row[name] == nearest_rank(late, percent) / 1000


def test_the_period_is_signed_and_leaves_out_what_is_no_pair() -> None:
    df = jobs([10, 30, 5, 40], missed=[0, 1, 0, 0])
    assert list(samples(df, "period")["task"]) == [20, -25, 35]
    assert list(samples(df.drop(index=1), "period")["task"]) == [35]  # job 1 is gone: 0 and 3 are no pair
    assert list(samples(df.sort_values("latency_ns"), "period")["task"]) == [20, -25, 35]
    assert summary(df).set_index("measure").loc["period", "min_us"] == -0.025


def test_execution_and_response_are_told_of_a_task_with_a_load() -> None:
    told = summary(jobs([1000, 2000], execution=[5000, 2 * MS])).set_index("measure")
    assert list(told.index) == ["latency", "period", "execution", "response"]
    assert told.loc["execution", "max_us"] == 2000.0
    assert list(told["overruns"]) == [1] * 4
    assert told.loc["response", "min_us"] == 6.0


def test_each_task_has_its_rows() -> None:
    both = pd.concat([jobs([1, 2], task="b"), jobs([3, 4, 5], task="a")], ignore_index=True)
    told = summary(both)
    assert list(zip(told["task"], told["measure"], told["samples"], strict=True)) == [
        ("b", "latency", 2),
        ("b", "period", 1),
        ("a", "latency", 3),
        ("a", "period", 2),
    ]


def test_the_summary_of_nothing_is_nan() -> None:
    row = summary(jobs([], details={"tasks": {"task": {}}})).iloc[0]
    assert (row["samples"], row["missed"]) == (0, 0)
    assert row.filter(like="_us").isna().all()
    assert summary(schema.empty(Job)).empty
    assert histogram(schema.empty(Job)).empty


def test_a_summary_is_its_own() -> None:
    told = summary(jobs([1, 2]))
    assert summary(told) is told


def test_where_older_jobs_were_dropped_all_are_told() -> None:
    late, every = Latencies(), Latencies()
    late.add(range(1, 1001), missed=7, overruns=1)
    every.add([5])
    held = {"task": {"latency": late.to_json(), "period": every.to_json()}}
    df = jobs([1, 2, 3], details={"kept": 3, "latencies": held})
    told = summary(df).set_index("measure")
    assert list(told["samples"]) == [1000, 1]
    assert told.loc["latency", ["missed", "overruns", "max_us", "p99_us"]].tolist() == [7, 1, 1.0, 0.99]
    assert histogram(df)["count"].sum() == 1000
    part = df[df["job"] > 0]  # a part of it is told of its rows alone
    assert summary(part).set_index("measure").loc["latency", "samples"] == 2
    assert histogram(part)["count"].sum() == 2


def test_a_header_with_damaged_latencies_is_told() -> None:
    with pytest.raises(RtnbError):
        summary(jobs([1], details={"kept": 1, "latencies": {"task": {"latency": {"count": 1}}}}))


@pytest.mark.parametrize("df", [pd.DataFrame(), pd.DataFrame({"latency_ns": [1]}), pd.DataFrame({"low_ns": [1]})])
def test_another_frame_is_told(df: pd.DataFrame) -> None:
    for made in (summary, histogram):
        with pytest.raises(BadInput, match="the frame has no column"):
            made(df)


def rows(df: pd.DataFrame) -> list[tuple[int, int, int]]:
    return list(df[["low_ns", "high_ns", "count"]].itertuples(index=False, name=None))


def test_buckets_of_1_2_5() -> None:
    assert rows(histogram(jobs([0, 1, 3, 70, 70, 99, 12_000]))) == [
        (0, 1, 1),
        (1, 2, 1),
        (2, 5, 1),
        (50, 100, 3),
        (10_000, 20_000, 1),
    ]
    assert rows(histogram(jobs([10, 7]), measure="period")) == [(-5, -2, 1)]


def test_buckets_of_a_width_and_of_edges() -> None:
    df = jobs([0, 999, 1000, 5500, 70_000])
    assert rows(histogram(df, "1us")) == [(0, 1000, 2), (1000, 2000, 1), (5000, 6000, 1), (70_000, 71_000, 1)]
    assert rows(histogram(df, 1000)) == rows(histogram(df, "1us"))
    assert rows(histogram(df, [1000, "5us"])) == [(-UNBOUNDED, 1000, 2), (1000, 5000, 1), (5000, UNBOUNDED, 2)]


@given(
    st.lists(st.integers(0, 2**40), min_size=1, max_size=100), st.lists(st.integers(1, 2**41), min_size=1, unique=True)
)
def test_no_sample_is_lost_between_the_edges(late: list[int], edges: list[int]) -> None:
    made = histogram(jobs(late), sorted(edges))
    assert made["count"].sum() == len(late)
    for low, high, count in rows(made):
        assert sum(low <= x < high for x in late) == count


@pytest.mark.parametrize("buckets", [[], [2, 1], [1, 1], [2**63], "1", "-1us", 0])
def test_buckets_that_mean_nothing(buckets: Any) -> None:
    with pytest.raises(BadInput):
        histogram(jobs([1]), buckets)


def test_a_histogram_is_made_coarser_and_never_finer() -> None:
    fine = histogram(jobs([0, 999, 1000, 5500]), "1us")
    assert rows(histogram(fine)) == rows(fine)
    assert rows(histogram(fine, "2us")) == [(0, 2000, 3), (4000, 6000, 1)]
    for buckets in (500, [1500], "1500ns"):
        with pytest.raises(BadInput, match="would lie in two"):
            histogram(fine, buckets)
    with pytest.raises(BadInput, match="one of latency"):
        histogram(fine, measure="thread")


def test_the_summary_of_a_histogram_is_of_its_lower_ends() -> None:
    df = histogram(jobs([1500] * 98 + [7000, 9000]), "1us")
    row = summary(df).iloc[0]
    assert row[["samples", "missed", "p50_us", "p99_us", "p99_9_us", "max_us"]].tolist() == [100, 0, 1.0, 7.0, 9.0, 9.0]
    over = schema.frame(
        Histogram,
        {
            "task": ["t"] * 2,
            "measure": ["latency"] * 2,
            "low_ns": [0, 1000],
            "high_ns": [1000, UNBOUNDED],
            "count": [9, 1],
        },
    )
    row = summary(over).iloc[0]
    assert (row["p50_us"], row["p90_us"]) == (0.0, 0.0)
    assert row[["p99_us", "max_us"]].isna().all()


@pytest.mark.parametrize("measure", ["latencies", "", "perod"])
def test_an_unknown_measure_is_told(measure: str) -> None:
    with pytest.raises(BadInput, match="measure"):
        samples(jobs([1]), measure)


@settings(max_examples=20)
@given(st.dictionaries(st.text(max_size=5), st.recursive(st.none() | st.integers() | st.text(), st.lists), max_size=4))
def test_any_header_does_for_a_summary(details: dict[str, Any]) -> None:
    df = jobs([1, 2, 3])
    df.attrs["rtnb"]["header"]["details"] = details
    assert len(summary(df)) == 2

# SPDX-License-Identifier: MIT
"""Do two runs differ? Said where they do, and where they do not, of samples that resemble the one before them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.signal import lfilter

from rtnb import schema
from rtnb.errors import BadInput
from rtnb.rt.compare import Comparison, compare
from rtnb.rt.jobs import Job

TRIALS = 200


def jobs(late: Any, task: str = "task") -> pd.DataFrame:
    late = np.asarray(late, dtype="int64")
    release = np.arange(len(late)) * 10**6
    same = {"start_ns": release + late, "end_ns": release + late, "deadline_ns": release, "waited_ns": late * 0}
    absent = pd.array([pd.NA] * len(late), dtype="Int64")
    rest = {"execution_ns": absent, "preemptions": absent, "cpu": late * 0, "missed": late * 0, "overrun": late > late}
    known = {"task": [task] * len(late), "job": np.arange(len(late)), "release_ns": release}
    return schema.frame(Job, {**known, **same, **rest, "latency_ns": late, "response_ns": late})


def latencies(seed: int, n: int = 2000, again: float = 0.0, by: float = 1.0) -> np.ndarray[Any, Any]:
    """About 30 us, each like the one before it by `again` (an AR(1) of their logarithm), all times `by`."""
    noise = np.random.default_rng(seed).standard_normal(n + 500)
    like = lfilter([1], [1, -again], noise)[500:] * np.sqrt(1 - again**2)
    return np.exp(0.3 * like) * 30_000 * by


def differs(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    statement = str(compare(jobs(a), jobs(b))["statement"][0])
    assert statement.endswith("they differ") == ("no difference" not in statement)
    return statement.endswith("they differ")


@pytest.mark.parametrize("again", [0.0, 0.9])
def test_of_one_distribution_it_says_so_in_about_95_of_100_trials(again: float) -> None:
    pairs = [(latencies(2 * i, again=again), latencies(2 * i + 1, again=again)) for i in range(TRIALS)]
    wrong = sum(differs(a, b) for a, b in pairs)
    assert wrong / TRIALS < 0.12
    if again:  # what takes them for independent is wrong in most
        naive = sum(bool(stats.mannwhitneyu(a, b).pvalue < 0.05) for a, b in pairs)
        assert naive > 4 * wrong


@pytest.mark.parametrize("again", [0.0, 0.9])
def test_of_two_it_says_that_they_differ(again: float) -> None:
    found = sum(differs(latencies(2 * i, 8000, again), latencies(2 * i + 1, 8000, again, by=1.2)) for i in range(20))
    assert found >= 18


def test_the_numbers_are_those_of_the_runs() -> None:
    a, b = np.arange(2000) % 1000 * 10, np.arange(3000) % 1000 * 10 + 5000
    row = compare(jobs(a), jobs(b)).iloc[0]
    assert row[["task", "measure", "samples_a", "samples_b"]].tolist() == ["task", "latency", 2000, 3000]
    assert row[["p50_a_us", "p50_b_us", "p50_diff_us"]].tolist() == [4.99, 9.99, 5.0]
    assert row[["p99_a_us", "p99_b_us", "p99_diff_us"]].tolist() == [9.89, 14.89, 5.0]
    assert row["p50_low_us"] <= 5.0 <= row["p50_high_us"]
    assert row["p99_low_us"] <= 5.0 <= row["p99_high_us"]
    larger = Fraction(
        sum(2 * (x < y) + (x == y) for x in range(0, 10000, 10) for y in range(5000, 15000, 10)), 2 * 10**6
    )
    assert row["b_larger"] == pytest.approx(float(larger))
    assert row["cliffs_delta"] == pytest.approx(2 * float(larger) - 1)
    assert schema.as_declared(compare(jobs(a), jobs(b)), Comparison.__table__)  # type: ignore[attr-defined]


def test_it_says_which_way() -> None:
    assert str(compare(jobs(np.full(200, 5000)), jobs(np.full(200, 3000)))["statement"][0]) == (
        "b's median is 2 us smaller (95 % interval 2 us to 2 us): they differ"
    )
    assert "no difference" in compare(jobs(np.full(200, 5000)), jobs(np.full(200, 5000)))["statement"][0]


def test_below_2000_samples_a_p99_has_no_interval() -> None:
    row = compare(jobs(latencies(1, 400)), jobs(latencies(2, 4000))).iloc[0]
    assert not np.isnan(row["p50_low_us"])
    assert np.isnan(row["p99_low_us"])
    assert np.isnan(row["p99_high_us"])


def test_each_common_task_has_a_row() -> None:
    a = pd.concat([jobs(latencies(i, 300), task) for i, task in enumerate("xyz")], ignore_index=True)
    b = pd.concat([jobs(latencies(i, 300), task) for i, task in enumerate("zwx")], ignore_index=True)
    assert list(compare(a, b)["task"]) == ["x", "z"]
    one = compare(jobs(latencies(1), "fifo"), jobs(latencies(2), "other"))
    assert list(one["task"]) == ["fifo / other"]


def test_too_little_is_refused() -> None:
    with pytest.raises(BadInput, match="199 samples of latency in a and 200 in b, and 200 are the least"):
        compare(jobs(latencies(1, 199)), jobs(latencies(2, 200)))
    with pytest.raises(BadInput, match="0 samples of execution"):
        compare(jobs(latencies(1)), jobs(latencies(2)), "execution")
    two = pd.concat([jobs(latencies(1), "a"), jobs(latencies(2), "b")], ignore_index=True)
    with pytest.raises(BadInput, match="no task in common: a, b; c"):
        compare(two, jobs(latencies(2), "c"))
    with pytest.raises(BadInput, match="no column"):
        compare(pd.DataFrame(), jobs(latencies(2)))

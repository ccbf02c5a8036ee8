# SPDX-License-Identifier: MIT
"""Do two runs differ, by how much, and how sure is that? Medians and p99s, their differences, and an effect size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pandas as pd

from rtnb import schema
from rtnb.errors import BadInput
from rtnb.rt.hdr import Ints, rank
from rtnb.rt.latency import samples
from rtnb.schema import column, table
from rtnb.units import in_words

__all__ = ["Comparison", "compare"]

_BLOCKS = 20
_FEWEST = 10 * _BLOCKS
_FEWEST_P99 = 100 * _BLOCKS
"""Below, the 99th percentile of a block would be its largest."""


@table("rt.comparison", version=1)
@dataclass(frozen=True)
class Comparison:
    """One measure of a task in two runs, a and b. The intervals are of 95 %, and allow for autocorrelation."""

    task: str = column("str", "", "the task; both names where the runs have one task each, called differently")
    measure: str = column("str", "", "latency, period, execution or response")
    samples_a: int = column("int64", "", "samples of a")
    samples_b: int = column("int64", "", "samples of b")
    p50_a_us: float = column("float64", "us", "the median of a")
    p50_b_us: float = column("float64", "us", "the median of b")
    p50_diff_us: float = column("float64", "us", "the median of b less that of a")
    p50_low_us: float = column("float64", "us", "from where, with 95 % confidence, that difference is")
    p50_high_us: float = column("float64", "us", "up to where it is")
    p99_a_us: float = column("float64", "us", "the 99th percentile of a")
    p99_b_us: float = column("float64", "us", "the 99th percentile of b")
    p99_diff_us: float = column("float64", "us", "that of b less that of a")
    p99_low_us: float = column("float64", "us", "from where, with 95 % confidence, it is; NaN below 2,000 samples")
    p99_high_us: float = column("float64", "us", "up to where it is; NaN below 2,000 samples")
    b_larger: float = column("float64", "", "how probably a sample of b is larger than one of a, ties counted by half")
    cliffs_delta: float = column("float64", "", "2 * b_larger - 1: 0 where neither is larger, 1 where all of b are")
    statement: str = column("str", "", "whether the medians differ, in a sentence")


def compare(a: pd.DataFrame, b: pd.DataFrame, measure: str = "latency") -> pd.DataFrame:
    """A row for each task that both runs have (rt.comparison), from two frames of rt.jobs.

    Runs of one task each are compared whatever the tasks are called.

    Successive latencies resemble each other, so that n of them say less than n independent ones, and an interval
    from single samples is too narrow. Here each run is cut into 20 contiguous blocks, whose quantiles are nearly
    independent as long as a block outlasts the correlation. The spread of those 20 around the quantile of the whole
    run gives its standard error (sectioning: Asmussen and Glynn, Stochastic Simulation, 2007, III.5; for quantiles
    Nakayama, ACM TOMACS 24(4), 2014), and the two errors an interval by Welch's t (Biometrika 34, 1947). It is centred
    on the difference that is seen, with the bias of a short block's quantile in its width. It covers what happens
    within a run: another day's run may differ by more. The effect size is Mann and Whitney's U over n * m (Cliff's
    delta: Psychological Bulletin 114, 1993), which needs no independence to describe.

    Raises BadInput: fewer than 200 samples, no task in common, a frame without jobs, an unknown measure.

    >>> print(compare(run(duration="2s").frame, run(policy="other", duration="2s").frame)["statement"][0])
    b's median is 3.25 us larger (95 % interval 991 ns to 5.5 us): they differ
    """
    one, other = ({t: of.to_numpy() for t, of in samples(df, measure).items()} for df in (a, b))
    common = {task: (one[task], other[task]) for task in one if task in other}
    if not common and len(one) == len(other) == 1:
        common = {" / ".join([*one, *other]): (next(iter(one.values())), next(iter(other.values())))}
    if not common:
        why = f"they have no task in common: {', '.join(one) or 'none'}; {', '.join(other) or 'none'}"
        raise BadInput("compare two runs", why, "select a task of each: df[df.task == NAME]")
    rows = [_row(task, measure, *pair) for task, pair in common.items()]
    return schema.frame(Comparison, {name: [row[name] for row in rows] for name in rows[0]})


def _row(task: str, measure: str, a: Ints, b: Ints) -> dict[str, object]:
    if min(len(a), len(b)) < _FEWEST:
        why = f"{task} has {len(a):,} samples of {measure} in a and {len(b):,} in b, and {_FEWEST} are the least"
        raise BadInput("compare two runs", why, "run longer, or at a shorter period")
    row: dict[str, object] = {"task": task, "measure": measure, "samples_a": len(a), "samples_b": len(b)}
    for name, share in (("p50", Fraction(1, 2)), ("p99", Fraction(99, 100))):
        difference, low, high = _difference(a, b, share)
        if name == "p50":
            row["statement"] = _statement(difference, low, high)
        elif min(len(a), len(b)) < _FEWEST_P99:
            low = high = math.nan
        row |= {f"{name}_a_us": _quantile(a, share) / 1000, f"{name}_b_us": _quantile(b, share) / 1000}
        row |= {f"{name}_diff_us": difference / 1000, f"{name}_low_us": low / 1000, f"{name}_high_us": high / 1000}
    larger = _larger(a, b)
    return row | {"b_larger": larger, "cliffs_delta": 2 * larger - 1}


def _quantile(values: Ints, share: Fraction) -> int:
    at = rank(len(values), share) - 1
    return int(np.partition(values, at)[at])


def _difference(a: Ints, b: Ints, share: Fraction) -> tuple[float, float, float]:
    """The quantile of b less that of a, and the ends of its 95 % interval."""
    from scipy import stats  # half a second, and only for this

    difference = _quantile(b, share) - _quantile(a, share)
    errors = np.array([_squared_error(a, share), _squared_error(b, share)])
    if not errors.any():
        return difference, difference, difference
    freedom = errors.sum() ** 2 / (errors**2 / (_BLOCKS - 1)).sum()
    half = float(stats.t.ppf(0.975, freedom) * math.sqrt(errors.sum()))
    return difference, difference - half, difference + half


def _squared_error(values: Ints, share: Fraction) -> float:
    """Of a quantile: from how its blocks scatter around that of them all."""
    whole = _quantile(values, share)
    blocks: npt.NDArray[np.float64] = np.array([_quantile(block, share) for block in np.array_split(values, _BLOCKS)])
    return float(((blocks - whole) ** 2).sum() / (_BLOCKS - 1) / _BLOCKS)


def _larger(a: Ints, b: Ints) -> float:
    from scipy import stats

    u = stats.mannwhitneyu(b, a, method="asymptotic").statistic
    return float(u) / len(a) / len(b)


def _statement(difference: float, low: float, high: float) -> str:
    if low <= 0 <= high:
        return f"no difference of the medians is shown (b less a: 95 % interval {in_words(low)} to {in_words(high)})"
    ends = sorted([abs(low), abs(high)])
    word = "larger" if difference > 0 else "smaller"
    interval = f"95 % interval {in_words(ends[0])} to {in_words(ends[1])}"
    return f"b's median is {in_words(abs(difference))} {word} ({interval}): they differ"

# SPDX-License-Identifier: MIT
"""How late did the task wake up? A row per wake-up, and their summary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rtnb import schema
from rtnb.schema import column, table

__all__ = ["Summary", "Wakeup", "summary"]


@table("rt.wakeups", version=1)
@dataclass(frozen=True)
class Wakeup:
    """One wake-up of a periodic task. The release after it is `(1 + missed)` periods later."""

    release_ns: int = column("int64", "ns", "the absolute time at which it asked to be woken, CLOCK_MONOTONIC")
    wake_ns: int = column("int64", "ns", "when it ran, CLOCK_MONOTONIC")
    latency_ns: int = column("int64", "ns", "how late it ran: wake_ns - release_ns")
    cpu: int = column("int32", "", "the CPU on which it woke up")
    missed: int = column("int32", "", "the releases it slept through: due after this one, and past when it ran")


@table("rt.summary", version=1)
@dataclass(frozen=True)
class Summary:
    """How late a task was woken, in one row. NaN where there are no samples."""

    policy: str = column("str", "", "the policy that the kernel gave the task, read back while it ran")
    priority: int = column("int64", "", "its real-time priority; 0 under other, batch and idle")
    samples: int = column("int64", "", "wake-ups measured")
    missed: int = column("int64", "", "releases slept through; samples + missed is every release there was")
    min_us: float = column("float64", "us", "the smallest latency")
    mean_us: float = column("float64", "us", "the mean latency")
    p50_us: float = column("float64", "us", "half of the samples are no later than this sample")
    p90_us: float = column("float64", "us", "90 % of the samples are no later than this sample")
    p99_us: float = column("float64", "us", "99 % of the samples are no later than this sample")
    p99_9_us: float = column("float64", "us", "99.9 % of the samples are no later than this sample")
    max_us: float = column("float64", "us", "the largest latency")


def summary(df: pd.DataFrame) -> pd.DataFrame:
    """The latencies of `run`'s wake-ups in one row (table rt.summary), in microseconds.

    Percentiles are exact, by nearest rank: of n samples in order, p is number ceil(n * p), a value that was
    measured and no interpolation. The policy comes from the frame's header, "" where pandas dropped that.

    >>> summary(run(duration="1s", cpu=1).frame)[["policy", "samples", "missed", "p50_us", "p99_us"]]
      policy  samples  missed  p50_us  p99_us
    0   fifo     1000       0  18.187  23.765
    """
    late = np.sort(df["latency_ns"].to_numpy("int64")) / 1000
    ranks = {"min_us": 0, "p50_us": 500, "p90_us": 900, "p99_us": 990, "p99_9_us": 999, "max_us": 1000}
    details = df.attrs.get("rtnb", {}).get("header", {}).get("details", {})
    row = {
        "policy": details.get("policy", ""),
        "priority": details.get("priority", 0),
        "samples": len(late),
        "missed": int(df["missed"].sum()),
        "mean_us": late.mean() if len(late) else np.nan,
        **{name: _nearest_rank(late, permille) for name, permille in ranks.items()},
    }
    return schema.frame(Summary, {name: [value] for name, value in row.items()})


def _nearest_rank(ordered: np.ndarray[tuple[int], np.dtype[np.float64]], permille: int) -> float:
    if not len(ordered):
        return float("nan")
    rank = -(-len(ordered) * permille // 1000)  # ceil, in integers: 0.9 * 10 is not 9 in every rounding
    return float(ordered[max(rank, 1) - 1])

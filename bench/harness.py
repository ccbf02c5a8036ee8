# SPDX-License-Identifier: MIT
"""How is rtnb compared with a peer? In turn, in one run, as ratios pair by pair, told with their spread."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Row", "compare", "table", "timed"]


@dataclass(frozen=True)
class Row:
    """One line of the table: the medians of both, and the ratio ours/peer with its quartiles."""

    what: str
    ours: float
    peer: float
    unit: str
    ratio: float
    low: float
    high: float
    pairs: int
    note: str = ""


def timed(work: Callable[[], object]) -> Callable[[], float]:
    """The work as a measurement: its wall time in milliseconds."""

    def measure() -> float:
        start = time.perf_counter_ns()
        work()
        return (time.perf_counter_ns() - start) / 1e6

    return measure


def compare(
    what: str,
    ours: Callable[[], float],
    peer: Callable[[], float],
    *,
    unit: str = "ms",
    pairs: int = 7,
    base: Callable[[], float] | None = None,
    note: str = "",
) -> Row:
    """Measure ours and the peer in turn, after one round of warming up that is not counted.

    With `base`, a third measurement in each round, both are told as what they add to it.
    """
    for warm in (ours, peer):
        warm()
    a, b = [], []
    for i in range(pairs):
        under = base() if base else 0.0
        first, second = (ours, peer) if i % 2 == 0 else (peer, ours)  # no side always goes first
        x, y = first() - under, second() - under
        a.append(x if i % 2 == 0 else y)
        b.append(y if i % 2 == 0 else x)
    low, middle, high = statistics.quantiles((x / y for x, y in zip(a, b, strict=True)), n=4, method="inclusive")
    return Row(what, statistics.median(a), statistics.median(b), unit, middle, low, high, pairs, note)


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| what | rtnb | peer | unit | ratio | quartiles | pairs | note |",
        "|---|---:|---:|---|---:|---|---:|---|",
    ]
    for r in rows:
        spread = "-" if math.isnan(r.low) else f"{r.low:.2f} - {r.high:.2f}"
        numbers = f"{_number(r.ours)} | {_number(r.peer)} | {r.unit} | {_number(r.ratio)} | {spread} | {r.pairs}"
        lines.append(f"| {r.what} | {numbers} | {r.note} |")
    return "\n".join(lines)


def _number(value: float) -> str:
    """Four digits, two places below ten; a dash where there is no peer."""
    return "-" if math.isnan(value) else f"{value:.4g}" if value >= 10 else f"{value:.2f}"

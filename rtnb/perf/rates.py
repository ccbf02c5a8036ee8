# SPDX-License-Identifier: MIT
"""What do the counts mean? Means over the runs, their spread, and the rates that perf stat prints beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rtnb import schema
from rtnb.errors import BadInput
from rtnb.perf.names import EVENTS
from rtnb.schema import column, table

__all__ = ["Summary", "summary"]


@table("perf.summary", version=1)
@dataclass(frozen=True)
class Summary:
    """One event over all runs."""

    event: str = column("str", "", "the event as asked for, modifiers included; the last is elapsed, the wall time")
    mean: float = column("float64", "", "the mean count of the runs that have one; NaN where none has")
    unit: str = column("category", "", "of the mean: ns for the clocks, empty for a count")
    spread: float = column("float64", "%", "standard error of the mean, as perf stat's +-; NaN for a single run")
    rate: float = column("float64", "", "the mean in relation to another event's; NaN where that is not counted")
    rate_unit: str = column("str", "", "what the rate is, in perf stat's words")
    status: str = column(
        "category",
        "",
        "counted, scaled, not counted, ...: the worst run's; elapsed is measured",
    )
    user_only: bool = column("bool", "", "the kernel's side is left out because this process may not count it")
    runs: int = column("int64", "", "how many runs have a count")


# Event: what it is divided by, the factor, and perf stat's words.
_RATES = {
    "cycles": ("task-clock", 1, "GHz"),
    "instructions": ("cycles", 1, "insn per cycle"),
    "branch-misses": ("branches", 100, "% of all branches"),
    "cache-misses": ("cache-references", 100, "% of all cache refs"),
    "stalled-cycles-frontend": ("cycles", 100, "% frontend cycles idle"),
    "stalled-cycles-backend": ("cycles", 100, "% backend cycles idle"),
    "L1-dcache-load-misses": ("L1-dcache-loads", 100, "% of all L1-dcache accesses"),
    "L1-icache-load-misses": ("L1-icache-loads", 100, "% of all L1-icache accesses"),
    "LLC-load-misses": ("LLC-loads", 100, "% of all LL-cache accesses"),
    "dTLB-load-misses": ("dTLB-loads", 100, "% of all dTLB cache accesses"),
    "iTLB-load-misses": ("iTLB-loads", 100, "% of all iTLB cache accesses"),
}
_BADNESS = ("counted", "scaled", "not counted", "not permitted", "not supported")


def summary(df: pd.DataFrame) -> pd.DataFrame:
    """A row per event: mean, spread over the runs, and its rate (perf.summary), from a perf.counters frame.

    Rates: CPUs utilized (task-clock over wall time), insn per cycle, GHz, miss rates in percent, and for the
    others events per second of task-clock. A rate whose other half was not counted is NaN.
    Raises BadInput for a frame that is not perf.counters. Source: perf-stat(1).

    >>> summary(stat("true", event="task-clock,page-faults").frame)[["event", "mean", "rate", "rate_unit"]]
             event      mean          rate      rate_unit
    0   task-clock  736119.0      0.567763  CPUs utilized
    1  page-faults      49.0  66565.324357           /sec
    """
    if missing := {"run", "event", "value", "unit", "status", "group", "elapsed_ns"} - set(df.columns):
        raise BadInput("perf.summary", f"the frame has no column {min(missing)}", "give it the counters of %perf_stat")
    whole = df[df["status"] != "interrupted"]
    rows = [_event(part) for _, part in whole.groupby(["group", "event"], observed=True, sort=False)]
    times = whole.groupby("run").elapsed_ns.first()
    elapsed = float(times.mean())
    for row in rows:
        row["rate"], row["rate_unit"] = _rate(row, rows, elapsed)
    rows += [_elapsed(times.to_numpy(dtype=float))] if rows else []
    names = [c.name for c in schema.TABLES["perf.summary"].columns]
    return schema.frame(Summary, {name: [row[name] for row in rows] for name in names})


def _mean(counts: np.ndarray[Any, Any]) -> dict[str, float]:
    mean = counts.mean() if len(counts) else np.nan
    error = counts.std(ddof=1) / np.sqrt(len(counts)) if len(counts) > 1 else np.nan
    return {"mean": mean, "spread": 0.0 if error == 0 else 100 * error / mean, "runs": len(counts)}


def _elapsed(times: np.ndarray[Any, Any]) -> dict[str, Any]:
    """perf stat's "time elapsed", as one more row."""
    words = {"event": "elapsed", "unit": "ns", "status": "measured", "user_only": False}
    return {**_mean(times), **words, "rate": np.nan, "rate_unit": ""}


def _event(part: pd.DataFrame) -> dict[str, Any]:
    first = part.iloc[0]
    return {
        **_mean(part.value.dropna().to_numpy(dtype=float)),
        "event": str(first.event),
        "unit": str(first.unit),
        "status": max(part.status.astype(str), key=_BADNESS.index),
        "user_only": bool(part.user_only.any()),
        "group": first.group,
    }


def _rate(row: dict[str, Any], rows: list[dict[str, Any]], elapsed_ns: float) -> tuple[float, str]:
    """The rate and its words; (NaN, "") where the other half was not counted."""
    if np.isnan(row["mean"]):
        return np.nan, ""
    if row["unit"] == "ns":
        return row["mean"] / elapsed_ns, "CPUs utilized"
    clock = next((r["mean"] for r in rows if r["unit"] == "ns" and r["mean"] > 0), np.nan)
    name, sides = _key(row)
    other, factor, words = _RATES.get(name, ("", 0, ""))
    # One of its own group first: the two were counted at the same time.
    near = sorted(rows, key=lambda r: r["group"] != row["group"])
    over = clock if other == "task-clock" else next((r["mean"] for r in near if _key(r) == (other, sides)), np.nan)
    if over > 0:
        return factor * row["mean"] / over, words
    return (1e9 * row["mean"] / clock, "/sec") if clock > 0 else (np.nan, "")


def _key(row: dict[str, Any]) -> tuple[str, str]:
    """The event's own name, whatever alias was asked for, and its side."""
    name, _, sides = row["event"].partition(":")
    return (EVENTS[name].name if name in EVENTS else name), sides

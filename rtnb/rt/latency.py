# SPDX-License-Identifier: MIT
"""How late, how even, how long? The summary and the histogram of jobs, of a histogram, and of a run without end."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd

from rtnb import schema
from rtnb.errors import BadInput, closest
from rtnb.rt.hdr import UNBOUNDED, Ints, Latencies, Spans, damage_told, rank
from rtnb.rt.jobs import MEASURES, Histogram, Summary
from rtnb.units import nanoseconds

__all__ = ["PERCENTILES", "UNBOUNDED", "Latencies", "histogram", "samples", "summary"]

PERCENTILES = {"p50_us": "50", "p90_us": "90", "p99_us": "99", "p99_9_us": "99.9", "p99_99_us": "99.99"}
"""The columns of rt.summary to the percentiles that they hold, exactly."""

_STEPS = [m * 10**e for e in range(19) for m in (1, 2, 5) if m * 10**e < UNBOUNDED]
_LOGARITHMIC = np.array([*(-step for step in reversed(_STEPS)), 0, *_STEPS])


def samples(df: pd.DataFrame, measure: str = "latency") -> dict[str, pd.Series]:
    """What was measured, task by task in order of their jobs, int64 ns with the index of `df`; from one of rt.jobs.

    `measure` is latency, period, execution or response (rtnb.rt.jobs.MEASURES). There is none of execution and
    response without a load, and of period only from one job to the very next. Raises BadInput.

    >>> {task: len(values) for task, values in samples(run(duration="23ms").frame, "period").items()}
    {'task': 22}
    """
    if measure not in MEASURES:
        raise _unknown(measure, MEASURES, "not a measure of a job")
    _wants(df, "latency_ns", f"samples of {measure}")
    return {name: _measured(part, measure) for name, part in _tasks(df)}


def summary(df: pd.DataFrame) -> pd.DataFrame:
    """A row a task and measure (rt.summary), in microseconds: how many, how late, how even.

    Percentiles are by nearest rank: of n samples in order, p is number ceil(n * p), a value that was measured and no
    interpolation. From rt.jobs they are exact; execution and response have a row where the task has a load, period
    where there are two jobs in a row. Where a run kept fewer jobs than there were, and `df` is all that it kept, the
    rows are of all that there were (`Latencies`). From rt.histogram a percentile is the low_ns of its bucket, NaN in
    a bucket without a lower or an upper end; min, mean and max are what the tool itself printed where it did, else
    the low_ns too; missed and overruns are 0, for nobody counted them. A frame of rt.summary is its own.
    Policies come from the frame's header, "" where pandas dropped that. Raises BadInput for any other frame.

    >>> summary(run(duration="1s", cpu=1).frame)[["task", "measure", "policy", "samples", "p50_us", "p99_us"]]
       task  measure policy  samples  p50_us  p99_us
    0  task  latency   fifo     1000  16.973  26.487
    1  task   period   fifo      999  -0.031   7.501
    """
    if "p50_us" in df:
        return df
    rows, tasks = _of_histogram(df) if "low_ns" in df else _of_jobs(df), _known(df)
    for row in rows:
        known = tasks.get(row["task"], {})
        row |= {"policy": str(known.get("policy") or ""), "priority": int(known.get("priority") or 0)}
    columns = schema.TABLES["rt.summary"].columns
    return schema.frame(Summary, {c.name: [row[c.name] for row in rows] for c in columns})


def histogram(
    df: pd.DataFrame, buckets: str | int | Sequence[str | int] | None = None, measure: str | None = None
) -> pd.DataFrame:
    """How many samples lie in each bucket: a row a task and bucket that is not empty (rt.histogram).

    `buckets` is a width ("1us", or ns as a number), a list of edges (durations, or ns), or None: 1, 2, 5, 10, 20, 50
    ... ns. What lies outside of given edges has a row too, from or to `UNBOUNDED`: the counts sum to the samples.
    From a frame of rt.jobs `measure` is latency unless given (rtnb.rt.jobs.MEASURES); from one of rt.histogram it is
    all that it holds, and None leaves its buckets as they are. Where a run kept fewer jobs than there were and `df`
    is all that it kept, all are counted; there, above 262 us, a sample near an edge may be a bucket too low (1e-5).

    Raises BadInput: edges that do not ascend, a measure or frame that there is not, a histogram whose own buckets
    are wider.

    >>> histogram(run(duration="1s", cpu=1).frame, ["20us", "50us"])
       task  measure               low_ns              high_ns  count
    0  task  latency -9223372036854775807                20000    957
    1  task  latency                20000                50000     42
    2  task  latency                50000  9223372036854775807      1
    """
    chosen = _chosen(buckets)
    if "low_ns" in df:
        made = {name: _coarser(spans, chosen) for name, spans in _histograms(df, measure).items()}
    else:
        edges = _LOGARITHMIC if chosen is None else chosen
        made = {name: _rebinned(spans, edges) for name, spans in _counted(df, measure or "latency").items()}
    low, high, counts = np.concatenate([np.zeros((3, 0), "int64"), *made.values()], axis=1)
    task, kind = ([name[i] for name, spans in made.items() for _ in spans.low] for i in (0, 1))
    return schema.frame(Histogram, {"task": task, "measure": kind, "low_ns": low, "high_ns": high, "count": counts})


def _wants(df: pd.DataFrame, column: str, tried: str) -> None:
    for name in ("task", column):
        if name not in df:
            hint = "give it the jobs of %rt_task, or what a reader made of another tool's results"
            raise BadInput(tried, f"the frame has no column {name}", hint)


def _unknown(measure: str, known: Iterable[str], why: str) -> BadInput:
    return BadInput(f"measure {measure!r}", why, closest(measure, known) or f"one of {', '.join(known)}")


def _details(df: pd.DataFrame) -> dict[str, Any]:
    details = df.attrs.get("rtnb", {}).get("header", {}).get("details", {})
    return details if isinstance(details, dict) else {}


def _known(df: pd.DataFrame) -> dict[str, Any]:
    """What the header says of each task."""
    tasks = _details(df).get("tasks")
    return {name: of for name, of in tasks.items() if isinstance(of, dict)} if isinstance(tasks, dict) else {}


def _kept(df: pd.DataFrame) -> dict[str, dict[str, Latencies]]:
    """By task and measure, the statistics of all jobs of the tasks of which the frame holds only the last ones.

    Empty where the frame holds all there were, and where it is only a part of what the run kept.
    """
    details = _details(df)
    held = details.get("latencies")
    if not isinstance(held, dict) or len(df) != details.get("kept"):
        return {}
    with damage_told():
        return {task: {m: Latencies.from_json(raw) for m, raw in each.items()} for task, each in held.items()}


def _tasks(df: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each task, in order of its jobs; tasks as they first appear."""
    names = pd.unique(df["task"])
    parts = [(str(name), df if len(names) == 1 else df[df["task"] == name]) for name in names]
    return [(n, p if p["job"].is_monotonic_increasing else p.sort_values("job", kind="stable")) for n, p in parts]


def _measured(part: pd.DataFrame, measure: str) -> pd.Series:
    """One measure of one task's jobs."""
    if measure == "period":
        # From start to start, less from release to release, is from latency to latency.
        job, missed = part["job"].to_numpy("int64"), part["missed"].to_numpy("int64")
        errors = pd.Series(np.diff(part["latency_ns"].to_numpy("int64")), index=part.index[1:])
        return errors[np.diff(job) == 1 + missed[:-1]]
    values = part[f"{measure}_ns"]
    loaded = measure != "response" or part["execution_ns"].notna().any() or (part["end_ns"] > part["start_ns"]).any()
    return (values if loaded else values[:0]).dropna().astype("int64")


def _row(task: str, measure: str, figures: Mapping[str, float], missed: int = 0, overruns: int = 0) -> dict[str, Any]:
    """A row of rt.summary in us; `figures` are its samples, and min, max, mean, std and percentiles in ns."""
    times = {name: ns / 1000 for name, ns in figures.items() if name != "samples"}
    words = {"task": task, "measure": measure, "missed": missed, "overruns": overruns}
    return {**words, **times, "samples": figures["samples"], "jitter_us": times["max_us"] - times["min_us"]}


def _of_jobs(df: pd.DataFrame) -> list[dict[str, Any]]:
    _wants(df, "latency_ns", "rt.summary")
    kept, rows = _kept(df), []
    for name, part in _tasks(df):
        if name in kept:
            rows += [_row(name, m, _of_latencies(of), of.missed, of.overruns) for m, of in kept[name].items()]
        else:
            missed, overruns = int(part["missed"].sum()), int(part["overrun"].sum())
            each = {measure: _measured(part, measure).to_numpy() for measure in MEASURES}
            rows += [_row(name, m, _of_values(of), missed, overruns) for m, of in each.items() if len(of)]
    return rows or [_row(name, "latency", _of_values(np.zeros(0, "int64"))) for name in _known(df)]


def _of_values(values: Ints) -> dict[str, float]:
    n = len(values)
    if not n:
        names = ["min_us", "max_us", "mean_us", "std_us", *PERCENTILES]
        return {"samples": 0, **dict.fromkeys(names, math.nan)}
    ranks = {name: rank(n, Fraction(percent) / 100) - 1 for name, percent in PERCENTILES.items()}
    ranks |= {"min_us": 0, "max_us": n - 1}
    ordered = np.partition(values, sorted(set(ranks.values())))
    spread = float(values.std(ddof=1)) if n > 1 else math.nan
    at = {name: float(ordered[where]) for name, where in ranks.items()}
    return {"samples": n, "mean_us": float(values.mean()), "std_us": spread, **at}


def _of_latencies(of: Latencies) -> dict[str, float]:
    if not of.count:
        return _of_values(np.zeros(0, "int64"))
    at = dict(zip(PERCENTILES, of.percentiles(PERCENTILES.values()), strict=True))
    return {"samples": of.count, "min_us": of.min, "mean_us": of.mean, "std_us": of.std, "max_us": of.max, **at}


def _of_histogram(df: pd.DataFrame) -> list[dict[str, Any]]:
    printed, rows = _details(df).get("printed"), []
    for (task, measure), spans in _histograms(df, None).items():
        said = printed.get(task, {}).get(measure, {}) if isinstance(printed, dict) else {}
        rows.append(_row(task, measure, _of_spans(spans, said)))
    return rows


def _of_spans(spans: Spans, said: Mapping[str, Any]) -> dict[str, float]:
    """From buckets; `said` is what the tool itself printed, which holds as long as all samples are there."""
    n = int(spans.counts.sum())
    if not n:
        return _of_values(np.zeros(0, "int64"))
    value = np.where(spans.bounded, spans.low, np.nan)
    mean = float((value * spans.counts).sum() / n)
    spread = math.sqrt((spans.counts * (value - mean) ** 2).sum() / (n - 1)) if n > 1 else math.nan
    made = {"min_us": float(value[0]), "mean_us": mean, "std_us": spread, "max_us": float(value[-1])}
    if said.get("samples") == n:
        made |= {f"{name}_us": float(said[f"{name}_ns"]) for name in ("min", "mean", "max") if f"{name}_ns" in said}
    return {"samples": n, **made, **{name: float(value[spans.at(p)]) for name, p in PERCENTILES.items()}}


def _histograms(df: pd.DataFrame, measure: str | None) -> dict[tuple[str, str], Spans]:
    """What a frame of rt.histogram holds, by task and measure."""
    _wants(df, "measure", "rt.histogram")
    known = [str(name) for name in pd.unique(df["measure"])]
    if measure is not None and measure not in known:
        raise _unknown(measure, known, "this histogram has no such")
    ordered = df[df["count"] > 0].sort_values("low_ns", kind="stable")
    groups = {tuple(map(str, name)): part for name, part in ordered.groupby(["task", "measure"], observed=True)}
    first = df[["task", "measure"]].drop_duplicates().astype("str").itertuples(index=False, name=None)
    numbers = ("low_ns", "high_ns", "count")
    names = [name for name in first if name in groups and measure in (None, name[1])]
    return {name: Spans(*(groups[name][c].to_numpy("int64") for c in numbers)) for name in names}


def _counted(df: pd.DataFrame, measure: str) -> dict[tuple[str, str], Spans]:
    """Each task's samples of jobs, counted."""
    kept, made = _kept(df), {}
    for task, values in samples(df, measure).items():
        each, times = np.unique(values.to_numpy(), return_counts=True)
        here = Spans(each, each + 1, times.astype("int64"))
        made[task, measure] = kept[task].get(measure, Latencies()).spans() if task in kept else here
    return made


def _chosen(buckets: str | int | Sequence[str | int] | None) -> int | Ints | None:
    """A width, or edges, in ns."""
    if buckets is None:
        return None
    if isinstance(buckets, (str, int)):
        return nanoseconds(buckets, what="bucket")
    edges = [edge if isinstance(edge, int) else nanoseconds(edge, what="edge") for edge in buckets]
    if not edges or edges != sorted(set(edges)) or max(map(abs, edges)) >= UNBOUNDED:
        raise BadInput(f"buckets {str(list(buckets))[:60]}", "edges ascend, and there is at least one")
    return np.array(edges, dtype="int64")


def _rebinned(spans: Spans, chosen: int | Ints) -> Spans:
    """The same samples in buckets of a width or between edges, each by the smallest value of its own bucket."""
    if not len(spans.low):
        return spans
    if isinstance(chosen, int):
        low = np.where(spans.bounded, spans.low // chosen * chosen, spans.low)
        high = np.where(spans.bounded, low + chosen, spans.high)
    else:
        at = np.searchsorted(chosen, spans.low, side="right")
        low, high = np.append(-UNBOUNDED, chosen)[at], np.append(chosen, UNBOUNDED)[at]
    start = np.flatnonzero(np.append(True, low[1:] != low[:-1]))
    return Spans(low[start], high[start], np.add.reduceat(spans.counts, start))


def _coarser(spans: Spans, chosen: int | Ints | None) -> Spans:
    """A histogram in other buckets, each of which holds whole ones of its own."""
    if chosen is None:
        return spans
    made = _rebinned(spans, chosen)
    into = np.searchsorted(made.low, spans.low, side="right") - 1
    if (cut := spans.high > made.high[into]).any():
        own = f"{int(spans.low[cut][0]):,} to {int(spans.high[cut][0]):,} ns"
        raise BadInput("rt.histogram", f"its own bucket of {own} would lie in two", "choose wider ones")
    return made

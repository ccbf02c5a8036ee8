# SPDX-License-Identifier: MIT
"""How late, when, in what order, and is that better than before? The pictures of real-time tasks."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from rtnb.errors import BadInput
from rtnb.plots.figures import told
from rtnb.recording import Header
from rtnb.rt.compare import compare
from rtnb.rt.latency import UNBOUNDED, histogram, samples, summary
from rtnb.units import in_words

if TYPE_CHECKING:
    from rtnb.rt.hdr import Ints

__all__ = ["BELOW", "COLOURS", "heatmap", "latency_over_time", "rt_task", "side_by_side"]

COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
"""Okabe and Ito's, which the colour-blind tell apart (https://jfly.uni-koeln.de/color)."""
_GREY, _MISS = "#999999", "#D55E00"
BELOW = {"orientation": "h", "y": -0.27, "x": 0, "font": {"size": 14}}
"""A legend below the picture."""
_BINS = 60
_POINTS = 1000
"""Of a trace of maxima and one of medians: 2,000 of a task."""


def rt_task(df: pd.DataFrame, header: Header) -> go.Figure:
    """How late: a histogram on logarithmic axes, with the median and the 99th percentile of each task.

    From rt.jobs, or rt.histogram with all that it measures; of rt.summary, which holds no distribution, the range.
    """
    if "p50_us" in df:
        return _ranges(df, header)
    if df.empty:
        return told(go.Figure(), "No jobs", header)
    rows = summary(df)
    rows = rows if "low_ns" in df else rows[rows["measure"] == "latency"]
    drawn = rows.head(len(COLOURS))
    figure, counts = go.Figure(), _buckets(df, rows)
    for colour, (_, row) in zip(COLOURS, drawn.iterrows(), strict=False):
        part = counts[(counts["task"] == row["task"]) & (counts["measure"] == row["measure"])]
        name = str(row["task"]) if row["measure"] == "latency" else f"{row['task']} {row['measure']}"
        figure.add_trace(_bars(part, html.escape(f"{name}  {_quantiles(row)}"), colour, float(row["max_us"])))
        for at in (row["p50_us"], row["p99_us"]):
            if at > 0:
                figure.add_vline(x=at, line_dash="dash", line_color=colour)
    _logarithmic(figure, counts, rows)
    few = f", {len(drawn)} of {len(rows)} drawn" if len(drawn) < len(rows) else ""
    over = int(counts.loc[counts["high_ns"] == UNBOUNDED, "count"].sum())
    few += f", {over:,} above the tool's buckets" if over else ""
    what = "wake-ups" if set(drawn["measure"]) == {"latency"} else "samples"
    latest = in_words(rows["max_us"].max() * 1000)
    title = f"How late {int(rows['samples'].sum()):,} {what} were, the latest by {latest}{few}"
    figure.update_yaxes(type="log", title=what, dtick=1)
    figure = told(figure, title, header)
    return figure.update_layout(barmode="overlay", showlegend=True, legend=BELOW)


def _quantiles(row: pd.Series) -> str:
    known = ((name, row[f"{name}_us"]) for name in ("p50", "p99"))
    return ", ".join(f"{name} {'above its buckets' if np.isnan(us) else in_words(us * 1000)}" for name, us in known)


def _buckets(df: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The samples in buckets that can be drawn: logarithmic, so that 20 us and 5 ms are both to be seen."""
    if "low_ns" in df and len(df) < 50 * _BINS:
        return df
    step = int((df["high_ns"] - df["low_ns"]).min()) if "low_ns" in df else 1
    return histogram(df, _edges(rows["min_us"].min() * 1000, rows["max_us"].max() * 1000, step))


def _edges(low: float, high: float, step: int = 1) -> list[int]:
    """At most `_BINS` buckets of equal width on a logarithmic axis, each a multiple of `step` ns."""
    ends = np.geomspace(max(low, 100), max(high, 200) + step, _BINS + 1)
    first, last = int(min(low, ends[0]) // step * step), int(-(-ends[-1] // step) * step)
    return sorted({first, last, *(int(end) // step * step for end in ends[1:-1])})


def _bars(part: pd.DataFrame, name: str, colour: str, largest_us: float) -> go.Bar:
    low = part["low_ns"].to_numpy() / 1000
    unbounded = part["high_ns"].to_numpy() == UNBOUNDED
    high = np.where(unbounded, np.fmax(largest_us, low * 1.1), part["high_ns"].to_numpy() / 1000)
    low = np.where(low <= 0, high / 2, low)  # a logarithm has no zero
    counts = part["count"].to_numpy()
    words = [f"{in_words(a * 1000)} to {in_words(b * 1000)}: {n:,}" for a, b, n in zip(low, high, counts, strict=True)]
    hatched = ["/" if end else "" for end in unbounded]
    mark = {"color": colour, "line": {"width": 0.5, "color": "white"}, "pattern": {"shape": hatched}}
    at = {"x": (low + high) / 2, "y": counts, "width": high - low}
    return go.Bar(**at, name=name, hovertext=words, marker=mark, opacity=0.65)


def _logarithmic(figure: go.Figure, counts: pd.DataFrame, rows: pd.DataFrame) -> None:
    low = counts.loc[counts["low_ns"] > -UNBOUNDED, "low_ns"].min() / 1000
    bounded = counts.loc[counts["high_ns"] < UNBOUNDED, "high_ns"].max() / 1000
    high = np.nanmax([bounded, rows["max_us"].max() * 1.02])
    low = low if low > 0 else 0.5 * counts.loc[counts["low_ns"] <= 0, "high_ns"].max() / 1000
    figure.update_xaxes(type="log", title="latency", range=np.log10([low, high]).tolist(), **_ticks(low, high))


def _ticks(low_us: float, high_us: float) -> dict[str, Any]:
    """Marks of a logarithmic axis in us: 1, 2, 5, or more digits where there would be few; each with its unit."""
    for digits in ((1, 2, 5), (1, 1.5, 2, 3, 5, 7), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)):
        at = [m * 10.0**e for e in range(-3, 10) for m in digits if low_us <= m * 10.0**e <= high_us]
        if len(at) > 3:
            break
    return {"tickvals": at, "ticktext": [in_words(us * 1000) for us in at], "tickangle": 0}


def _axis(measure: str, low_us: float, high_us: float) -> dict[str, Any]:
    """A logarithmic axis, save for what is not above zero."""
    if low_us <= 0:
        return {"type": "linear", "title": f"{measure}, us"}
    return {"type": "log", "title": measure, **_ticks(low_us, high_us)}


def _ranges(df: pd.DataFrame, header: Header) -> go.Figure:
    """Of rt.summary: from the smallest to the largest, the mean and what percentiles there are."""
    names = [html.escape(f"{task}  {measure}") for task, measure in zip(df["task"], df["measure"], strict=True)]
    at, figure = list(range(len(df))), go.Figure()
    low = df["min_us"].where(df["min_us"].notna(), df["mean_us"])
    for y, start, end in zip(at, low, df["max_us"], strict=True):
        figure.add_trace(
            go.Scatter(x=[start, end], y=[y, y], mode="lines", line={"color": _GREY, "width": 6}, showlegend=False)
        )
    marks = {"mean_us": "diamond", "p50_us": "circle", "p99_us": "triangle-up", "max_us": "line-ns-open"}
    for colour, (column, symbol) in zip(COLOURS, marks.items(), strict=False):
        if df[column].notna().any():
            mark = {"symbol": symbol, "size": 13, "color": colour, "line": {"width": 2}}
            figure.add_trace(
                go.Scatter(x=df[column], y=at, mode="markers", marker=mark, name=column.removesuffix("_us"))
            )
    figure.update_yaxes(autorange="reversed", tickvals=at, ticktext=names)
    figure.update_xaxes(title="us")
    figure = told(figure, f"From the smallest to the largest of {int(df['samples'].sum()):,} samples", header)
    return figure.update_layout(showlegend=True, legend=BELOW, height=max(480, 220 + 24 * len(df)))


def latency_over_time(df: pd.DataFrame, header: Header, measure: str = "latency") -> go.Figure:
    """When it was late: the largest and the median of each of at most 1,000 moments, misses marked; from rt.jobs."""
    found, figure = samples(df, measure), go.Figure()
    if not any(map(len, found.values())):
        return told(figure, "No jobs", header)
    begin = int(df["release_ns"].min())
    for colour, (task, values) in zip(COLOURS, found.items(), strict=False):
        part = df.loc[values.index]
        time = (part["release_ns"].to_numpy() - begin) / 1e9
        _over_time(figure, html.escape(task), colour, time, values.to_numpy() / 1000, part)
    figure.update_xaxes(title="time since the first release, s")
    low, high = (float(of([of(values) for values in found.values() if len(values)])) / 1000 for of in (np.min, np.max))
    figure.update_yaxes(**_axis(measure, low, high))
    moments = f", largest and median of {_POINTS:,} moments" if max(map(len, found.values())) > _POINTS else ""
    figure = told(figure, f"The {measure} of {sum(map(len, found.values())):,} jobs over time{moments}", header)
    return figure.update_layout(showlegend=True, legend=BELOW)


def _over_time(figure: go.Figure, task: str, colour: str, time: Any, values: Any, part: pd.DataFrame) -> None:
    start = np.unique(np.linspace(0, len(values), min(len(values), _POINTS), endpoint=False).astype("int64"))
    largest, at = np.maximum.reduceat(values, start), time[start]
    each = len(start) == len(values)
    name = task if each else f"{task}, largest"
    figure.add_trace(go.Scatter(x=at, y=largest, name=name, line={"color": colour, "width": 1}))
    if not each:
        middle = [float(np.median(of)) for of in np.split(values, start[1:])]
        figure.add_trace(go.Scatter(x=at, y=middle, name=f"{task}, median", line={"color": colour, "width": 3}))
    for column, symbol, words in (("missed", "triangle-down", "releases missed"), ("overrun", "x", "jobs overran")):
        marked = np.add.reduceat(part[column].to_numpy("int64"), start)
        if (hit := marked > 0).any():
            mark = {"symbol": symbol, "size": 9, "color": _MISS, "line": {"width": 1, "color": "black"}}
            name = f"{task}: {marked.sum():,} {words}"
            figure.add_trace(go.Scatter(x=at[hit], y=largest[hit], mode="markers", name=name, marker=mark))


def heatmap(df: pd.DataFrame, header: Header) -> go.Figure:
    """How the latencies of a long run moved: time against latency, the number of jobs as colour; from rt.jobs."""
    if df.empty:
        return told(go.Figure(), "No jobs", header)
    time = (df["release_ns"] - df["release_ns"].min()).to_numpy() / 1e9
    late = np.maximum(df["latency_ns"].to_numpy() / 1000, 0.1)
    rows = np.geomspace(late.min() * 0.999, late.max() * 1.001, _BINS + 1)
    counts, columns, _ = np.histogram2d(time, late, [min(200, len(df)), rows])
    with np.errstate(divide="ignore"):
        shade = np.where(counts > 0, np.log10(counts), np.nan).T
    most = int(np.ceil(np.nanmax(shade))) or 1
    bar = {"title": "jobs", "tickvals": list(range(most + 1)), "ticktext": [f"{10**e:,}" for e in range(most + 1)]}
    figure = go.Figure(go.Heatmap(x=columns, y=rows, z=shade, colorscale="Cividis_r", colorbar=bar, zmin=0, zmax=most))
    figure.update_yaxes(type="log", title="latency", **_ticks(rows[0], rows[-1]))
    figure.update_xaxes(title="time since the first release, s")
    latest = in_words(late.max() * 1000)
    return told(figure, f"How the latencies of {len(df):,} jobs moved, the latest by {latest}", header)


def side_by_side(a: pd.DataFrame, b: pd.DataFrame, measure: str = "latency") -> go.Figure:
    """Two runs in one picture, as shares of their samples, and below the title whether they differ; from rt.jobs.

    Raises BadInput: a frame without jobs, without a header, of several tasks, an unknown measure.
    """
    if any(df["task"].nunique() > 1 for df in (a, b)):
        raise BadInput("side_by_side", "there are several tasks in a frame", 'choose one: df[df["task"] == "task0"]')
    each = {name: np.concatenate([[], *samples(df, measure).values()]) for name, df in (("a", a), ("b", b))}
    if not all(map(len, each.values())):
        raise BadInput("side_by_side", f"a or b has no samples of {measure}", "take the jobs of two runs")
    low, high = (int(of(list(map(of, each.values())))) for of in (np.min, np.max))
    edges = np.linspace(low, high + 1, _BINS) if low < 0 else np.array(_edges(low, high))
    figure = go.Figure()
    for colour, (name, values) in zip(COLOURS, each.items(), strict=False):
        figure.add_trace(_steps(values, edges, name, colour))
        figure.add_vline(x=float(np.median(values)) / 1000, line_dash="dash", line_color=colour)
    figure.update_xaxes(**_axis(measure, edges[0] / 1000, edges[-1] / 1000))
    figure.update_yaxes(title="share of the samples, %")
    headers = {name: Header.from_json(_header(df)) for name, df in (("a", a), ("b", b))}
    figure = told(figure, f"The {measure} of two runs, and their medians", headers["a"])
    words = [_difference(a, b, measure), *(f"{n}: {of.caption().splitlines()[0]}" for n, of in headers.items())]
    figure.update_layout(title={"subtitle": {"text": "<br>".join(map(html.escape, words))}}, margin={"t": 160})
    return figure.update_layout(showlegend=True, legend=BELOW)


def _header(df: pd.DataFrame) -> Any:
    attrs = df.attrs.get("rtnb", {})
    if "header" not in attrs:
        hint = "it comes with a recording's frames; pandas drops it (df.attrs) in some operations"
        raise BadInput("side_by_side", "this frame carries no rtnb header", hint)
    return attrs["header"]


def _difference(a: pd.DataFrame, b: pd.DataFrame, measure: str) -> str:
    try:
        compared = compare(a, b, measure)
    except BadInput as e:
        return f"not compared: {e.why}"
    tasks = [f"{task}: " if len(compared) > 1 else "" for task in compared["task"]]
    return "; ".join(task + words for task, words in zip(tasks, compared["statement"], strict=True))


def _steps(values: Ints, edges: Any, name: str, colour: str) -> go.Scatter:
    counts, _ = np.histogram(values, edges)
    share = np.append(100 * counts / len(values), 0)
    line = {"shape": "hv", "color": colour, "width": 2}
    label = f"{name}: {len(values):,} samples, median {in_words(float(np.median(values)))}"
    return go.Scatter(x=np.asarray(edges) / 1000, y=share, mode="lines", line=line, fill="tozeroy", name=label)

# SPDX-License-Identifier: MIT
"""Which picture answers a recording's first question? Where the time goes, how many, which, how late."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from rtnb.units import in_words

if TYPE_CHECKING:
    from rtnb.recording import Header

__all__ = ["bpf", "perf_stat", "rt_task", "strace"]

TOP = 15
"""Bars in a figure; what is left out is counted in the title."""
LATE = [50, 99]
"""Percentiles drawn as lines."""


def strace(df: pd.DataFrame, header: Header) -> go.Figure:
    """Time spent in each system call, the largest first."""
    calls = df[df["kind"] == "call"] if "kind" in df else df
    column = "dur_ns" if "dur_ns" in df else "time_ns"
    total = calls.groupby("name", observed=True)[column].sum().astype("float64").sort_values(ascending=False)
    figure = _bars(total / 1000, "time in the call, us")
    return _told(figure, f"Where the time went: {len(total)} system calls{_left_out(total)}", header)


def perf_stat(df: pd.DataFrame, header: Header) -> go.Figure:
    """Every counted event's mean a run, on a logarithmic axis: what was not counted has no bar."""
    mean = df.groupby("event", observed=True)["value"].mean().dropna().astype("float64")
    missing = sorted(set(df["event"].astype(str)) - set(mean.index.astype(str)))
    figure = _bars(mean.sort_values(ascending=False), "count a run (clocks: ns), logarithmic")
    figure.update_xaxes(type="log")
    return _told(figure, "Events counted" + (f"; not here: {', '.join(missing)}" if missing else ""), header)


def bpf(df: pd.DataFrame, header: Header) -> go.Figure:
    """A map's largest values by key; a ring buffer's records by their last number."""
    name = str(df.attrs["rtnb"].get("table", "map")).removeprefix("bpf.")
    numbers = [c for c in df.columns if pd.api.types.is_numeric_dtype(df[c])]
    if not numbers:
        return _told(go.Figure(), f"{name}: nothing to draw in {len(df)} rows", header)
    value = numbers[-1]
    keys = [c for c in df.columns if c != value and c != "cpu"]
    if not keys or not df.set_index(keys).index.is_unique:
        figure = go.Figure(go.Histogram(x=df[value]))
        figure.update_layout(xaxis_title=str(value), yaxis_title="records", bargap=0.05)
        return _told(figure, f"{name}: {value} in {len(df):,} records", header)
    labels = df[keys].astype(str).agg(" ".join, axis=1)
    total = df[value].astype("float64").groupby(labels).sum().sort_values(ascending=False)
    return _told(_bars(total, str(value)), f"{name}: {value} by {', '.join(keys)}{_left_out(total)}", header)


def rt_task(df: pd.DataFrame, header: Header) -> go.Figure:
    """How late the task woke: a histogram on a logarithmic count, with the median and the 99th percentile."""
    late = df["latency_ns"].to_numpy() / 1000
    if not len(late):
        return _told(go.Figure(), "No wake-ups", header)
    # Logarithmic bins: a wake-up of 20 us and one of 5 ms are both to be seen.
    edges = np.geomspace(max(late.min(), 0.1), max(late.max(), 0.2) * 1.001, 60)
    counts, _ = np.histogram(late, edges)
    figure = go.Figure(go.Bar(x=np.sqrt(edges[1:] * edges[:-1]), y=counts, width=np.diff(edges), name="wake-ups"))
    for percent, at in zip(LATE, np.percentile(late, LATE, method="inverted_cdf"), strict=True):
        figure.add_vline(x=at, line_dash="dash")
        # On a logarithmic axis an annotation is placed by the exponent, a line by the value.
        text = f" p{percent}: {in_words(at * 1000)}"
        figure.add_annotation(x=np.log10(at), y=1, yref="paper", text=text, showarrow=False, xanchor="left")
    figure.update_xaxes(type="log", title="wake-up latency, us", range=np.log10(edges[[0, -1]]).tolist())
    figure.update_yaxes(type="log", title="wake-ups", dtick=1)
    worst = in_words(float(late.max()) * 1000)
    return _told(figure, f"How late {len(late):,} wake-ups were, the latest by {worst}", header)


def _bars(values: pd.Series, axis: str) -> go.Figure:
    """Horizontal bars, the largest on top."""
    top = values.head(TOP)[::-1]
    figure = go.Figure(go.Bar(x=top.to_numpy(), y=top.index.astype(str), orientation="h"))
    figure.update_xaxes(title=axis)
    figure.update_yaxes(type="category")
    return figure


def _left_out(values: pd.Series) -> str:
    return f", the {TOP} largest" if len(values) > TOP else ""


def _told(figure: go.Figure, title: str, header: Header) -> go.Figure:
    """Title, and below it the caption that says live or recorded."""
    caption = header.caption().split("\n")[0]
    escaped = caption.replace("&", "&amp;").replace("<", "&lt;")  # plotly reads a little HTML
    figure.update_layout(
        title={"text": title, "subtitle": {"text": escaped}},
        template="plotly_white",
        showlegend=False,
        height=420,
        margin={"l": 60, "r": 20, "t": 80, "b": 50},
    )
    return figure

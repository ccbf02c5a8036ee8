# SPDX-License-Identifier: MIT
"""Which picture answers a recording's first question? Where the time goes, how many, which."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from rtnb.units import in_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rtnb.recording import Header

__all__ = ["TOP", "bpf", "perf_stat", "sched", "strace", "told"]

TOP = 15
"""Bars of a figure with names; what is left out is said in the title."""


def strace(df: pd.DataFrame, header: Header) -> go.Figure:
    """Time spent in each system call, the largest first; from the calls, or from their summary."""
    calls = df[df["kind"] == "call"] if "kind" in df else df
    column = "dur_ns" if "dur_ns" in df else "time_ns"
    total = calls.groupby("name", observed=True)[column].sum().astype("float64").sort_values(ascending=False)
    how_many = len(calls) if "kind" in df else int(df["calls"].sum())
    figure = _bars(total.index.astype(str), total / 1000, [in_words(ns) for ns in total], "time in the call, us")
    largest = f", the {TOP} with most" if len(total) > TOP else ""
    return told(figure, f"Where the time of {how_many:,} calls went, by name{largest}", header)


def perf_stat(df: pd.DataFrame, header: Header) -> go.Figure:
    """Every event's mean a run, its value beside its name; one without a value says why it has none."""
    column, groups = ("value" if "value" in df else "mean"), df.groupby("event", observed=True, sort=False)
    mean = groups[column].mean().astype("float64")
    unit, status, user = (groups[c].first().astype(str) for c in ("unit", "status", "user_only"))
    names = [f"{e}:u" if user[e] == "True" and ":" not in str(e) else str(e) for e in mean.index]
    words = [_value(mean[e], unit[e], status[e]) for e in mean.index]
    # A logarithm has no zero: such a row has no bar, and its words say which zero it is.
    figure = _bars(names, mean.where(mean > 0), words, "mean of a run (clocks in ns), logarithmic")
    figure.update_xaxes(type="log", dtick=1)
    runs = df["run"].nunique() if "run" in df else int(df["runs"].max())
    return told(figure, f"What it took, {'mean of ' if runs > 1 else ''}{runs} run{'s' * (runs > 1)}", header)


def bpf(df: pd.DataFrame, header: Header) -> go.Figure:
    """A map's values by key, numbers in their order and names by size; records by their last number."""
    name = str(df.attrs["rtnb"].get("table", "map")).removeprefix("bpf.")
    numbers = [c for c in df.columns if pd.api.types.is_numeric_dtype(df[c])]
    if not numbers:
        return told(go.Figure(), f"{name}: nothing to draw in {len(df)} rows", header)
    value = numbers[-1]
    keys = [c for c in df.columns if c not in (value, "cpu")]
    axis = name if value == "value" else str(value)
    if not keys or ("cpu" not in df and not df.set_index(keys).index.is_unique):
        figure = go.Figure(go.Histogram(x=df[value]))
        figure.update_layout(xaxis_title=html.escape(axis), yaxis_title="records", bargap=0.05)
        return told(figure, f"{name}: {axis} in {len(df):,} records", header)
    total = df.groupby(keys, observed=True)[value].sum().astype("float64")
    if len(keys) == 1 and keys[0] in numbers:
        return told(_by_number(total, str(keys[0]), axis), f"{name} by {keys[0]}", header)
    total = total.sort_values(ascending=False)
    labels = [" ".join(map(str, key)) if isinstance(key, tuple) else str(key) for key in total.index]
    figure = _bars(labels, total, [f"{count:,.0f}" for count in total], axis)
    return told(figure, f"{name} by {', '.join(map(str, keys))}{f', the {TOP} largest' * (len(total) > TOP)}", header)


def sched(df: pd.DataFrame, header: Header) -> go.Figure:
    """How many threads there are of each policy and priority; from the threads, or from their summary."""
    counts = (
        df if "threads" in df else df.groupby(["policy", "priority"], observed=True).size().reset_index(name="threads")
    )
    counts = counts.sort_values("threads", ascending=False)
    ranks = zip(counts["policy"].astype("str"), counts["priority"], strict=True)
    names = [f"{policy} {priority or ''}".strip() for policy, priority in ranks]
    total = int(counts["threads"].sum())
    figure = _bars(names, counts["threads"], [f"{n:,}" for n in counts["threads"]], "threads, logarithmic")
    figure.update_xaxes(type="log", dtick=1)
    return told(figure, f"How {total:,} threads are scheduled", header)


def _bars(names: Sequence[str], values: pd.Series, words: Sequence[str], axis: str) -> go.Figure:
    """Horizontal bars from the top down, each with its value in words."""
    top = slice(TOP)
    labels = [html.escape(str(name)) for name in names[top]]
    bar = go.Bar(x=values.to_numpy()[top], y=list(range(len(labels))), orientation="h", hovertext=labels)
    figure = go.Figure(bar)
    told = [f"{label}  <b>{word}</b>" for label, word in zip(labels, words[top], strict=True)]
    figure.update_yaxes(autorange="reversed", tickvals=list(range(len(labels))), ticktext=told)
    figure.update_xaxes(title=html.escape(axis))
    return figure


def _by_number(values: pd.Series, key: str, axis: str) -> go.Figure:
    """Upright bars in the order of a numeric key, as a histogram's buckets must stand; empty ends left out."""
    used = np.flatnonzero(values.to_numpy())
    values = values.iloc[used[0] : used[-1] + 1] if len(used) else values
    figure = go.Figure(go.Bar(x=values.index.to_numpy(), y=values.to_numpy()))
    figure.update_layout(xaxis_title=html.escape(key), yaxis_title=html.escape(axis), bargap=0.05)
    return figure


def _value(mean: float, unit: str, status: str) -> str:
    if np.isnan(mean):
        return status
    return in_words(mean) if unit == "ns" else f"{mean:,.6g}"


def told(figure: go.Figure, title: str, header: Header) -> go.Figure:
    """Title, and below it the caption that says live or recorded; letters that the last row can read."""
    caption: Any = header.caption().split("\n")[0]
    figure.update_layout(
        title={"text": html.escape(title), "subtitle": {"text": html.escape(caption)}},
        template="plotly_white",
        font={"size": 15},
        showlegend=False,
        height=480,
        margin={"l": 70, "r": 20, "t": 120, "b": 60},
    )
    figure.update_yaxes(automargin=True)
    return figure

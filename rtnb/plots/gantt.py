# SPDX-License-Identifier: MIT
"""What ran when, and what kept it? A timeline of tasks: releases, deadlines, execution, preemptions, misses."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import pandas as pd
import plotly.graph_objects as go

from rtnb.errors import BadInput
from rtnb.plots.causes import STATES
from rtnb.plots.figures import told
from rtnb.plots.rt import BELOW
from rtnb.units import nanoseconds

if TYPE_CHECKING:
    from rtnb.recording import Header

__all__ = ["gantt"]

_STATES = {"start to end": STATES["run"], **STATES}
_JOBS = 300
"""Drawn at most."""
_WIDTH = 0.34


def gantt(
    df: pd.DataFrame,
    header: Header,
    segments: pd.DataFrame | None = None,
    *,
    start: str | int = 0,
    length: str | int | None = None,
) -> go.Figure:
    """What ran when: a lane a task, with releases, deadlines, execution and misses; from rt.jobs.

    `segments` (rt.segments of the same run) says what a job did from its release to its end: run, preempted,
    interrupt, blocked, throttled, unexplained. Without it a bar is from start to end, whoever ran. `start` is counted
    from the first release, `length` is five releases of the slowest task unless given; both durations, or ns. At most
    300 jobs are drawn. Raises BadInput for a window without jobs.
    """
    zero = int(df["release_ns"].min()) if len(df) else 0
    begin = zero + (nanoseconds(start, what="start", zero=True))
    end = begin + (_length(df) if length is None else nanoseconds(length, what="length"))
    inside = df[(df["release_ns"] < end) & (df["end_ns"] >= begin)].sort_values("release_ns")
    if inside.empty:
        raise BadInput("gantt", "there are no jobs in this window", "choose another start, or a longer length")
    shown = inside.head(_JOBS)
    end = end if len(shown) == len(inside) else int(shown["release_ns"].max())
    lanes = {str(task): -at for at, task in enumerate(pd.unique(df["task"]))}
    figure = go.Figure([*_pieces(shown, segments, lanes, zero), *_marks(shown, lanes, zero)])
    figure.update_yaxes(tickvals=list(lanes.values()), ticktext=[html.escape(task) for task in lanes], zeroline=False)
    figure.update_yaxes(range=[min(lanes.values()) - 0.6, 0.6], showgrid=False)
    begin, end, edge = begin - zero, end - zero, (end - begin) / 100  # or marks at the ends are cut in half
    figure.update_xaxes(title="time since the first release, ms", range=[(begin - edge) / 1e6, (end + edge) / 1e6])
    few = f", the first {len(shown)} of {len(inside):,}" if len(shown) < len(inside) else ""
    title = (
        f"{len(shown)} jobs of {len(lanes)} task{'s' * (len(lanes) > 1)}{few}, {int(shown['overrun'].sum())} overran"
    )
    figure = told(figure, title, header)
    return figure.update_layout(barmode="overlay", showlegend=True, legend=BELOW, height=300 + 70 * len(lanes))


def _length(df: pd.DataFrame) -> int:
    """Five releases of the slowest task; all that there is, where each has one."""
    gaps = [part["release_ns"].sort_values().diff().median() for _, part in df.groupby("task", observed=True)]
    longest = max((int(gap) for gap in gaps if gap > 0), default=0)
    return 5 * longest or (int(df["end_ns"].max() - df["release_ns"].min()) + 1 if len(df) else 1)


def _pieces(shown: pd.DataFrame, segments: pd.DataFrame | None, lanes: dict[str, int], zero: int) -> list[go.Bar]:
    """What each job did, as bars: a trace a state."""
    made = []
    for state, part in _states(shown, segments).items():
        by = part["by"].astype("str") if "by" in part else pd.Series("", index=part.index)
        size = part["end_ns"] - part["begin_ns"]
        words = [
            f"{html.escape(f'{task} {job}: {state} {of}').strip()}, {ns / 1000:,.1f} us"
            for task, job, of, ns in zip(part["task"], part["job"], by, size, strict=True)
        ]
        at: dict[str, Any] = {"base": (part["begin_ns"] - zero) / 1e6, "x": size / 1e6, "y": _lane(part, lanes)}
        mark = {"color": _STATES.get(state, "#999999"), "line": {"width": 0}}
        width = _WIDTH if state in ("run", "start to end") else 0.6 * _WIDTH
        made.append(go.Bar(**at, orientation="h", width=width, marker=mark, hovertext=words, name=html.escape(state)))
    return made


def _states(shown: pd.DataFrame, segments: pd.DataFrame | None) -> dict[str, pd.DataFrame]:
    if segments is None:
        waits = shown.assign(begin_ns=shown["release_ns"], end_ns=shown["start_ns"])
        return {"waits": waits, "start to end": shown.assign(begin_ns=shown["start_ns"])}
    known = segments.merge(shown[["task", "job"]].astype({"task": segments["task"].dtype}), on=["task", "job"])
    return {str(state): part for state, part in known.groupby("state", observed=True)}


def _marks(shown: pd.DataFrame, lanes: dict[str, int], zero: int) -> list[go.Scatter]:
    """Releases point up, deadlines down; what overran is crossed, what missed releases has a square."""
    lane = _lane(shown, lanes)
    overran, missed = shown[shown["overrun"]], shown[shown["missed"] > 0]
    marks = [
        ("release", shown["release_ns"], lane + 0.3, "arrow-bar-up", "#000000"),
        ("deadline", shown["deadline_ns"], lane + 0.3, "arrow-bar-down", "#009E73"),
        ("overran", overran["end_ns"], _lane(overran, lanes), "x", "#D55E00"),
        ("missed the next releases", missed["end_ns"], _lane(missed, lanes) - 0.25, "square", "#D55E00"),
    ]
    return [
        go.Scatter(
            x=(at - zero) / 1e6,
            y=y,
            mode="markers",
            name=name,
            marker={"symbol": symbol, "size": 11, "color": colour},
        )
        for name, at, y, symbol, colour in marks
        if len(at)
    ]


def _lane(part: pd.DataFrame, lanes: dict[str, int]) -> pd.Series:
    return part["task"].astype("str").map(lanes).astype("float64")

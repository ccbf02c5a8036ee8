# SPDX-License-Identifier: MIT
"""DataFrame in, plotly figure out: one figure a kind of recording, which reads without its code."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rtnb import schema
from rtnb.errors import BadInput
from rtnb.plots.causes import causes
from rtnb.plots.figures import bpf, perf_stat, sched, strace
from rtnb.plots.gantt import gantt
from rtnb.plots.rt import heatmap, latency_over_time, rt_task, side_by_side
from rtnb.plots.svg import save_svg, svg
from rtnb.plots.theory import (
    acceptance,
    bounds,
    comparison,
    demand,
    exceedance,
    ladder,
    schedule,
    schedule_of,
    shares,
    staircase,
)

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from rtnb.recording import Header

__all__ = [
    "acceptance",
    "bounds",
    "bpf",
    "causes",
    "comparison",
    "demand",
    "exceedance",
    "gantt",
    "heatmap",
    "ladder",
    "latency_over_time",
    "perf_stat",
    "plot",
    "rt_task",
    "save_svg",
    "sched",
    "schedule",
    "schedule_of",
    "shares",
    "side_by_side",
    "staircase",
    "strace",
    "svg",
]

FIGURES: dict[str, Callable[[pd.DataFrame, Header], go.Figure]] = {
    "strace": strace,
    "perf_stat": perf_stat,
    "bpf": bpf,
    "rt_task": rt_task,
    "sched": sched,
    "taskset": schedule,
    "lives": rt_task,
    "wcet": exceedance,
}
OTHERS: dict[str, Callable[[pd.DataFrame, Header], go.Figure]] = {
    "rt.causes": causes,
    "theory.tasks": shares,
    "theory.verdicts": ladder,
    "theory.bounds": bounds,
    "theory.acceptance": acceptance,
    "lives.comparison": comparison,
}
"""Tables that have a figure of their own beside that of their kind."""


def plot(df: pd.DataFrame, header: Header) -> go.Figure:
    """The figure of a recording's kind. Raises BadInput for a kind without one, and for a frame that lacks columns."""
    if header.kind not in FIGURES:
        why = f"this rtnb has no figure for recordings of kind {header.kind[:60]!r}"
        raise BadInput("plot", why, f"it has for {', '.join(FIGURES)}")
    with schema.wants_columns(df, f"plot of a {header.kind} recording"):
        return OTHERS.get(str(df.attrs["rtnb"].get("table")), FIGURES[header.kind])(df, header)

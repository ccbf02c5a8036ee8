# SPDX-License-Identifier: MIT
"""DataFrame in, plotly figure out: one figure a kind of recording, which reads without its code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtnb import schema
from rtnb.errors import BadInput
from rtnb.plots.causes import causes
from rtnb.plots.figures import bpf, perf_stat, sched, strace
from rtnb.plots.gantt import gantt
from rtnb.plots.rt import heatmap, latency_over_time, rt_task, side_by_side

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from rtnb.recording import Header

__all__ = [
    "bpf",
    "causes",
    "gantt",
    "heatmap",
    "latency_over_time",
    "perf_stat",
    "plot",
    "rt_task",
    "sched",
    "side_by_side",
    "strace",
]

FIGURES = {"strace": strace, "perf_stat": perf_stat, "bpf": bpf, "rt_task": rt_task, "sched": sched}
OTHERS = {"rt.causes": causes}
"""Tables that have a figure of their own beside that of their kind."""


def plot(df: pd.DataFrame, header: Header) -> go.Figure:
    """The figure of a recording's kind. Raises BadInput for a kind without one, and for a frame that lacks columns."""
    if header.kind not in FIGURES:
        why = f"this rtnb has no figure for recordings of kind {header.kind[:60]!r}"
        raise BadInput("plot", why, f"it has for {', '.join(FIGURES)}")
    with schema.wants_columns(df, f"plot of a {header.kind} recording"):
        return OTHERS.get(df.attrs["rtnb"].get("table"), FIGURES[header.kind])(df, header)

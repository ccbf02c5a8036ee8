# SPDX-License-Identifier: MIT
"""DataFrame in, plotly figure out: one figure a kind of recording, which reads without its code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtnb import schema
from rtnb.errors import BadInput
from rtnb.plots.figures import bpf, perf_stat, rt_task, strace

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from rtnb.recording import Header

__all__ = ["bpf", "perf_stat", "plot", "rt_task", "strace"]

FIGURES = {"strace": strace, "perf_stat": perf_stat, "bpf": bpf, "rt_task": rt_task}


def plot(df: pd.DataFrame, header: Header) -> go.Figure:
    """The figure of a recording's kind. Raises BadInput for a kind without one, and for a frame that lacks columns."""
    if header.kind not in FIGURES:
        why = f"this rtnb has no figure for recordings of kind {header.kind[:60]!r}"
        raise BadInput("plot", why, f"it has for {', '.join(FIGURES)}")
    with schema.wants_columns(df, f"plot of a {header.kind} recording"):
        return FIGURES[header.kind](df, header)

# SPDX-License-Identifier: MIT
"""Why were the slowest jobs slow? Each one's response time, in the parts that it is made of."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from rtnb.plots.figures import TOP, told
from rtnb.plots.rt import BELOW

if TYPE_CHECKING:
    import pandas as pd

    from rtnb.recording import Header

__all__ = ["STATES", "causes"]

STATES = {
    "run": "#0072B2",
    "preempted": "#E69F00",
    "interrupt": "#CC79A7",
    "blocked": "#F0E442",
    "throttled": "#000000",
    "host": "#D55E00",
    "unexplained": "#999999",
}
"""What a job's time can be, to colours that the colour-blind tell apart, as those of rtnb.plots.rt."""


def causes(df: pd.DataFrame, header: Header) -> go.Figure:
    """The slowest jobs of a frame of rt.causes, a bar each from its release to its end, cut into its parts."""
    slowest = df.sort_values("response_ns", ascending=False).head(TOP)
    who = zip(slowest["task"].astype("str"), slowest["job"], slowest["by"].astype("str"), strict=True)
    names = [html.escape(f"{task} {job}{f', after {by}' if by else ''}") for task, job, by in who]
    figure = go.Figure()
    for state, colour in STATES.items():
        us = slowest[f"{state}_ns"].to_numpy() / 1000
        if us.any():
            place = list(range(len(names)))
            figure.add_trace(go.Bar(x=us, y=place, orientation="h", name=state, marker_color=colour, hovertext=names))
    figure.update_yaxes(autorange="reversed", tickvals=list(range(len(names))), ticktext=names)
    figure.update_xaxes(title="from release to end, us")
    of = f"the {len(names)} slowest of {len(df):,} jobs" if len(df) > len(names) else f"{len(df):,} jobs"
    figure = told(figure, f"Where the time of {of} went", header)
    return figure.update_layout(barmode="stack", showlegend=True, legend={**BELOW, "traceorder": "normal"})

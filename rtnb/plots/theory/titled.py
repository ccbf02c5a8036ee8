# SPDX-License-Identifier: MIT
"""What do all of these figures have? Title, caption, and a legend below the axis' title, however high they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtnb.plots.figures import told
from rtnb.plots.rt import BELOW

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from rtnb.recording import Header

__all__ = ["titled"]

_OUTSIDE, _LEGEND = 180, 75
"""Pixels around a plot, and from its foot to the legend, which plotly wants as a share of its height."""


def titled(figure: go.Figure, title: str, header: Header, height: int = 480) -> go.Figure:
    """The figure with title, caption and legend."""
    legend = {**BELOW, "y": -_LEGEND / (height - _OUTSIDE), "yanchor": "top"}
    return told(figure, title, header).update_layout(showlegend=True, legend=legend, height=height)

# SPDX-License-Identifier: MIT
"""What do all of these figures have? Title, caption, and a legend below the axis' title, however high they are."""

from __future__ import annotations

import html
import textwrap
from typing import TYPE_CHECKING

from rtnb.plots.figures import told
from rtnb.plots.rt import BELOW
from rtnb.text import printable

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from rtnb.recording import Header

__all__ = ["captioned", "titled"]

_OUTSIDE, _LEGEND = 180, 95
"""Pixels around a plot, and from its foot to the legend, which plotly wants as a share of its height."""
_CAPTION = 100
"""Letters that there is room for below a title."""


def titled(figure: go.Figure, title: str, header: Header, height: int = 480) -> go.Figure:
    """The figure with title, caption and legend."""
    legend = {**BELOW, "y": -_LEGEND / (height - _OUTSIDE), "yanchor": "top"}
    return captioned(figure, title, header).update_layout(showlegend=True, legend=legend, height=height)


def captioned(figure: go.Figure, title: str, header: Header) -> go.Figure:
    """The figure with title and caption, in which a set is told as far as there is room, and no word is cut."""
    figure = told(figure, title, header)
    figure.layout.title.subtitle.text = html.escape(_caption(header))
    return figure


def _caption(header: Header) -> str:
    """The caption's first line. The set is all that may be too long in it."""
    caption = header.caption().split("\n")[0]
    source = printable(header.source[0].strip()) if len(header.source) == 1 else ""
    cut = f"{source[:57]}..."
    if len(source) <= 60 or cut not in caption:
        return caption
    room = max(_CAPTION - len(caption) + len(cut), len(cut))
    return caption.replace(cut, textwrap.shorten(source, room, placeholder=" …"), 1)

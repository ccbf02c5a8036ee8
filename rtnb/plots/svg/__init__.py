# SPDX-License-Identifier: MIT
"""How does a figure leave the notebook without a browser? As SVG: letters and lines, no scripts, all escaped.

plotly's own export drives a Chrome; the pictures of rtnb are bars, lines, areas and markers, and need none.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtnb.errors import BadInput
from rtnb.plots.svg.page import Page

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["save_svg", "svg"]

_LAYOUT = (
    "title",
    "font",
    "width",
    "height",
    "showlegend",
    "barmode",
    "bargap",
    "xaxis",
    "yaxis",
    "shapes",
    "annotations",
)
"""What is looked at; a layout's template is large."""


def svg(figure: go.Figure) -> str:
    """A figure of bars, lines, areas and markers as a standalone SVG, which a screen reader can read the title of.

    Bars that carry `customdata` have it as JSON in `data-mark`, and their hover text as <title>. Raises BadInput for
    what it cannot draw: other kinds of trace, second axes, axes of names or dates.

    >>> import plotly.graph_objects as go
    >>> svg(go.Figure(go.Bar(x=[1, 2], y=[3, 4])))[:44]
    '<svg xmlns="http://www.w3.org/2000/svg" role'
    """
    parts = {name: figure.layout[name] for name in _LAYOUT}
    layout = {name: _data(part) for name, part in parts.items() if part is not None}
    return Page([trace.to_plotly_json() for trace in figure.data], layout).svg()


def save_svg(figure: go.Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure as SVG. Raises BadInput as svg() does, and where `path` cannot be written."""
    made = svg(figure)
    try:
        target = Path(path).expanduser()
        target.write_text(made, encoding="utf-8")
    except (OSError, ValueError, RuntimeError) as e:
        why = e.strerror if isinstance(e, OSError) and e.strerror else str(e)
        raise BadInput(f"save_svg {os.fspath(path)!s}", f"cannot be written ({why})", "choose another path") from e
    return target


def _data(part: Any) -> Any:
    """A part of a layout as plain data."""
    if isinstance(part, tuple):
        return [_data(each) for each in part]
    return part.to_plotly_json() if hasattr(part, "to_plotly_json") else part

# SPDX-License-Identifier: MIT
"""What is a trace made of? Bars, lines, areas and markers, as SVG elements that say what they are when pointed at."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from rtnb.errors import BadInput
from rtnb.plots.svg.axes import Axis, Floats, floats
from rtnb.plots.svg.text import attribute, lines, number, plain, text, text_width

__all__ = ["Bars", "bar_marks", "bars", "dash", "line_marks", "marker", "painted", "each"]

_DASHES = {"dash": "9 6", "dot": "2 4", "dashdot": "9 5 2 5", "longdash": "14 7"}
_COLOUR = re.compile(r"rgba?\(([^)]*)\)")
HATCHES = {
    "/": "M-2,2 l4,-4 M0,8 l8,-8 M6,10 l4,-4",
    "\\": "M-2,6 l4,4 M0,0 l8,8 M6,-2 l4,4",
    "x": "M0,8 l8,-8 M0,0 l8,8",
    "-": "M0,4 l8,0",
    "|": "M4,0 l0,8",
    "+": "M4,0 l0,8 M0,4 l8,0",
    ".": "M3,4 a1.4,1.4 0 1 0 2.8,0 a1.4,1.4 0 1 0 -2.8,0",
}
"""A bar's pattern, on squares of 8 pixels."""
_PATHS = {
    "square": "M-1,-1 h2 v2 h-2 z",
    "diamond": "M0,-1.3 L1.3,0 L0,1.3 L-1.3,0 z",
    "triangle-up": "M0,-1.2 L1.15,0.8 h-2.3 z",
    "triangle-down": "M0,1.2 L1.15,-0.8 h-2.3 z",
    "arrow": "M0,-1 L0.9,1 h-1.8 z",
    "arrow-up": "M0,-1 L0.9,1 h-1.8 z",
    "arrow-down": "M0,1 L0.9,-1 h-1.8 z",
}
_STROKES = {
    "x": "M-0.9,-0.9 L0.9,0.9 M-0.9,0.9 L0.9,-0.9",
    "x-thin": "M-0.9,-0.9 L0.9,0.9 M-0.9,0.9 L0.9,-0.9",
    "cross": "M-1,0 h2 M0,-1 v2",
    "line-ns": "M0,-1.2 v2.4",
    "line-ew": "M-1.2,0 h2.4",
    "arrow-bar-up": "M-0.7,-1.2 h1.4 M0,1.3 v-2 M-0.6,0.1 L0,-0.7 L0.6,0.1",
    "arrow-bar-down": "M-0.7,1.2 h1.4 M0,-1.3 v2 M-0.6,-0.1 L0,0.7 L0.6,-0.1",
}
"""Of a marker whose size is 2; -open ones are drawn in outline."""


def painted(colour: object, name: str = "fill", opacity: float = 1) -> str:
    """A colour as attributes: an rgba() one is split, for not every reader knows it."""
    words = str(colour)
    if (match := _COLOUR.fullmatch(words.strip())) and len(parts := match[1].split(",")) in (3, 4):
        opacity *= float(parts[3]) if len(parts) == 4 else 1
        words = f"rgb({','.join(part.strip() for part in parts[:3])})"
    seen = "" if opacity == 1 else f' {name}-opacity="{number(opacity)}"'
    return f"{name}={attribute(words)}{seen}"


def dash(line: Mapping[str, Any]) -> str:
    """A line's dashes, as an attribute."""
    style = line.get("dash")
    return f' stroke-dasharray="{_DASHES[style]}"' if style in _DASHES else ""


def each(value: Any, count: int) -> list[Any]:
    """A property of all marks, or a list with one for each."""
    if value is None or isinstance(value, str) or not isinstance(value, list | tuple | np.ndarray):
        return [value] * count
    return [*value, *([None] * count)][:count]


class Bars(NamedTuple):
    """The bars of one trace: where along the values they begin and end, where across, how wide; upright or lying."""

    begin: Floats
    end: Floats
    place: Floats
    width: Floats
    lying: bool

    @property
    def across(self) -> Floats:
        """What they need of the axis that they stand on."""
        return np.concatenate([self.place - self.width / 2, self.place + self.width / 2])


def bars(traces: Iterable[Mapping[str, Any]], mode: str, gap: float) -> list[Bars]:
    """The bars of all bar traces of a figure, stacked where the mode says so. Raises BadInput for grouped ones."""
    made: list[Bars] = []
    top: dict[float, float] = {}
    for trace in traces:
        lying = trace.get("orientation") == "h"
        place, size = (floats(trace.get(axis)) for axis in ("yx" if lying else "xy"))
        count = min(len(place), len(size))
        place, size = place[:count], size[:count]
        base = np.broadcast_to(floats(0 if trace.get("base") is None else trace["base"]), count)
        if mode in ("stack", "relative") and trace.get("base") is None:
            base = np.asarray([top.get(at, 0.0) for at in place.tolist()], dtype="float64").reshape(count)
            top |= {at: below + s for at, below, s in zip(place.tolist(), base.tolist(), size.tolist(), strict=True)}
        made.append(Bars(base, base + size, place, _width(trace, place, gap), lying))
    grouped = mode == "group" and len(made) > 1
    if grouped or (mode == "stack" and any(np.nanmin(b.end - b.begin, initial=0) < 0 for b in made)):
        raise BadInput("svg", f"its bars are of mode {mode}", "overlay, and stack of what is above zero, can be drawn")
    return made


def _width(trace: Mapping[str, Any], place: Floats, gap: float) -> Floats:
    if trace.get("width") is not None:
        return np.broadcast_to(floats(trace["width"]), len(place))
    apart = np.diff(np.unique(place[np.isfinite(place)]))
    return np.full(len(place), (1 - gap) * (float(apart.min()) if len(apart) else 1.0))


def bar_marks(trace: Mapping[str, Any], drawn: Bars, x: Axis, y: Axis, colour: str, hatch: str) -> list[str]:
    """The bars of a trace; `hatch` begins the ids of the patterns."""
    along, across = (x, y) if drawn.lying else (y, x)
    count, mark = len(drawn.place), trace.get("marker") or {}
    shapes = each((mark.get("pattern") or {}).get("shape"), count)
    colours, said = each(mark.get("color", colour), count), each(trace.get("hovertext"), count)
    words, data = each(trace.get("text"), count), each(trace.get("customdata"), count)
    edge = mark.get("line") or {}
    pen = f" {painted(edge.get('color') or '#ffffff', 'stroke')} stroke-width=" if edge.get("width") else ""
    stroke = pen and f'{pen}"{number(float(edge["width"]))}"'
    begin, end = along.at(drawn.begin), along.at(drawn.end)
    begin = np.where(np.isnan(begin), along.zero, begin)  # of a logarithmic axis
    low, high = across.at(drawn.place - drawn.width / 2), across.at(drawn.place + drawn.width / 2)
    made = []
    for at in np.flatnonzero(np.isfinite(begin) & np.isfinite(end) & np.isfinite(low) & np.isfinite(high)).tolist():
        (a, b), (c, d) = sorted((begin[at], end[at])), sorted((low[at], high[at]))
        box = (a, c, b - a, d - c) if drawn.lying else (c, a, d - c, b - a)
        inner = [_rect(box, painted(colours[at] or colour, opacity=_opacity(trace)) + stroke)]
        if shapes[at]:
            inner.append(_rect(box, f'fill="url(#{hatch}{list(HATCHES).index(shapes[at])})"'))
        if words[at] not in (None, ""):
            inner += _inside(str(words[at]), box)
        made.append(_told("".join(inner), said[at], data[at]))
    return made


def _opacity(trace: Mapping[str, Any]) -> float:
    return 1.0 if trace.get("opacity") is None else float(trace["opacity"])


def _rect(box: tuple[float, float, float, float], rest: str) -> str:
    left, top, width, height = map(number, box)
    return f'<rect x="{left}" y="{top}" width="{width}" height="{height}" {rest}/>'


def _inside(words: str, box: tuple[float, float, float, float]) -> list[str]:
    """The words in a bar, where they fit in it."""
    left, top, width, height = box
    line, size = lines(words)[0], min(13.0, 0.8 * height)
    if size < 7 or text_width(line.words, size) > width - 2:
        return []
    return [text(left + width / 2, top + height / 2 + 0.36 * size, line, size=size, anchor="middle", fill="#ffffff")]


def _told(inner: str, words: Any, data: Any) -> str:
    """Marks that say something when pointed at, and carry their data for whoever listens to clicks."""
    if words in (None, "") and data is None:
        return inner
    carried = f" data-mark={attribute(json.dumps(_plain(data)))}" if data is not None else ""
    title = f"<title>{plain(str(words))}</title>" if words not in (None, "") else ""
    return f"<g{carried}>{title}{inner}</g>"


def _plain(data: Any) -> Any:
    if isinstance(data, list | tuple | np.ndarray):
        return [_plain(part) for part in data]
    return data.item() if isinstance(data, np.generic) else data


def line_marks(trace: Mapping[str, Any], x: Axis, y: Axis, colour: str, before: list[tuple[float, float]]) -> list[str]:
    """The line, the area, the markers and the words of a scatter trace; `before`: the points of the trace before it."""
    points = _points(trace, x, y)
    mode = str(trace.get("mode") or ("lines+markers" if len(points) < 20 else "lines"))
    line, opacity = trace.get("line") or {}, _opacity(trace)
    stepped = _stepped(points, str(line.get("shape") or "linear"))
    stroke = line.get("color") or (trace.get("marker") or {}).get("color") or colour
    stroke = stroke if isinstance(stroke, str) else colour
    made = []
    if area := _area(str(trace.get("fill") or "none"), stepped, y, before):
        inside = trace.get("fillcolor")
        fill = painted(inside, opacity=opacity) if inside else painted(stroke, opacity=0.5 * opacity)
        made.append(f'<path d="{area}" {fill}/>')
    if "lines" in mode and (path := _path(stepped)):
        pen = f'stroke-width="{number(float(line.get("width", 2)))}"{dash(line)}'
        made.append(f'<path d="{path}" fill="none" {painted(stroke, "stroke", opacity)} {pen}/>')
    return made + _markers(trace, points, mode, stroke)


def _points(trace: Mapping[str, Any], x: Axis, y: Axis) -> list[tuple[float, float]]:
    """The pixels of a trace's points; NaN where there is none."""
    across, up = x.at(trace.get("x")).tolist(), y.at(trace.get("y")).tolist()
    return list(zip(across, up, strict=False))


def _stepped(points: list[tuple[float, float]], shape: str) -> list[tuple[float, float]]:
    """The corners of a line: of steps, where its shape is hv or vh."""
    if shape not in ("linear", "hv", "vh"):
        raise BadInput("svg", f"a line's shape is {shape}", "linear, hv and vh can be drawn")
    if shape == "linear":
        return points
    made = points[:1]
    for (a, b), (c, d) in pairwise(points):
        made += [(c, b) if shape == "hv" else (a, d), (c, d)]
    return made


def _path(points: list[tuple[float, float]]) -> str:
    """A path through all points; where one is missing, it is interrupted."""
    made, on = [], False
    for across, up in points:
        if math.isnan(across) or math.isnan(up):
            on = False
            continue
        made.append(f"{'L' if on else 'M'}{number(across)},{number(up)}")
        on = True
    return "".join(made)


def _area(fill: str, points: list[tuple[float, float]], y: Axis, before: list[tuple[float, float]]) -> str:
    if fill not in ("none", "tozeroy", "toself", "tonexty"):
        raise BadInput("svg", f"an area is filled {fill}", "tozeroy, tonexty and toself can be drawn")
    known = [(a, b) for a, b in points if not (math.isnan(a) or math.isnan(b))]
    if fill == "none" or not known:
        return ""
    if fill == "tozeroy":
        known = [(known[0][0], y.zero), *known, (known[-1][0], y.zero)]
    elif fill == "tonexty":
        known += [(a, b) for a, b in reversed(before) if not (math.isnan(a) or math.isnan(b))]
    return _path(known) + "z"


def _markers(trace: Mapping[str, Any], points: list[tuple[float, float]], mode: str, colour: str) -> list[str]:
    count, mark = len(points), trace.get("marker") or {}
    with_markers, words = "markers" in mode, each(trace.get("text") if "text" in mode else None, count)
    said, data = each(trace.get("hovertext"), count), each(trace.get("customdata"), count)
    symbols, sizes = each(mark.get("symbol"), count), each(mark.get("size"), count)
    colours, edge = each(mark.get("color"), count), mark.get("line") or {}
    places = each(trace.get("textposition"), count)
    made = []
    for at, (across, up) in enumerate(points):
        if math.isnan(across) or math.isnan(up):
            continue
        inner, size = "", 6.0 if sizes[at] is None else float(sizes[at])
        if with_markers:
            inner = marker(across, up, str(symbols[at] or "circle"), size, str(colours[at] or colour), edge)
        if words[at] not in (None, ""):
            inner += _beside(str(words[at]), across, up, size, str(places[at] or "middle center"), trace)
        if inner:
            made.append(_told(inner, said[at], data[at]))
    return made


def _beside(words: str, across: float, up: float, size: float, place: str, trace: Mapping[str, Any]) -> str:
    letters = float((trace.get("textfont") or {}).get("size") or 13)
    anchor = {"right": "start", "left": "end"}.get(place.split()[-1], "middle")
    across += {"start": size / 2 + 3, "end": -size / 2 - 3}.get(anchor, 0)
    up += {"top": -size / 2 - 4, "bottom": size / 2 + letters}.get(place.split()[0], 0.36 * letters)
    rows = lines(words)
    first = {"top": len(rows) - 1, "bottom": 0}.get(place.split()[0], (len(rows) - 1) / 2)
    places = [up + 1.3 * letters * (n - first) for n in range(len(rows))]
    made = [text(across, at, line, size=letters, anchor=anchor) for at, line in zip(places, rows, strict=True)]
    return "".join(made)


def marker(x: float, y: float, symbol: str, size: float, colour: str, edge: Mapping[str, Any]) -> str:
    """A marker of a size in pixels. Raises BadInput for a symbol that is not known."""
    name, width = symbol.removesuffix("-open"), float(edge.get("width") or 0)
    at, half = f'transform="translate({number(x)} {number(y)}) scale({number(size / 2)})"', size / 2
    if name in _STROKES:
        pen = f'{painted(colour, "stroke")} stroke-width="{number((max(width, 2) if size > 11 else 1.5) / half)}"'
        return f'<path d="{_STROKES[name]}" {at} fill="none" {pen}/>'
    if name not in (*_PATHS, "circle"):
        raise BadInput("svg", f"there is a marker of symbol {symbol}", f"circle, {', '.join((*_PATHS, *_STROKES))}")
    look = painted(colour)
    if symbol != name:
        look = f'fill="none" {painted(colour, "stroke")} stroke-width="{number(max(width, 1.5) / half)}"'
    elif width:
        look += f' {painted(edge.get("color") or "#444444", "stroke")} stroke-width="{number(width / half)}"'
    return f'<circle r="1" {at} {look}/>' if name == "circle" else f'<path d="{_PATHS[name]}" {at} {look}/>'

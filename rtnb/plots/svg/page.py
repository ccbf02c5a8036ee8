# SPDX-License-Identifier: MIT
"""Where does each part of a picture go? Title, caption, axes and legend around the traces, none upon another."""

from __future__ import annotations

import html
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from rtnb.errors import BadInput
from rtnb.plots.svg.axes import Axis, Floats, floats
from rtnb.plots.svg.marks import HATCHES, Bars, bar_marks, bars, dash, each, line_marks, marker, painted
from rtnb.plots.svg.text import Line, line_width, lines, number, plain, text, wrapped

__all__ = ["Page"]

_WAY = ("#636efa", "#EF553B", "#00cc96", "#ab63fa", "#FFA15A", "#19d3f3", "#FF6692", "#B6E880", "#FF97FF", "#FECB52")
"""The colours that plotly gives to traces without one."""
_INK, _FAINT, _GRID = "#2a3f5f", "#56677f", "#dfe7f0"
_FAMILY = "'Open Sans', Arial, Helvetica, 'Liberation Sans', sans-serif"
_EDGE = 20
_OUTSIDE = 180
"""Of a figure's height what `told` gives to title and axis: here each takes what it needs."""


@dataclass
class Page:
    """A figure's traces and layout as plain data, on their way to an SVG."""

    traces: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]
    bars: list[Bars] = field(init=False)

    def __post_init__(self) -> None:
        for trace in self.traces:
            if trace.get("type", "scatter") not in ("bar", "scatter"):
                raise BadInput("svg", f"there is a trace of type {trace['type']}", "bar and scatter can be drawn")
            if trace.get("xaxis", "x") != "x" or trace.get("yaxis", "y") != "y":
                raise BadInput("svg", "there is a trace on a second axis", "figures of one plot can be drawn")
        stacked = [trace for trace in self.traces if trace.get("type") == "bar"]
        gap = self.layout.get("bargap")
        self.bars = bars(stacked, str(self.layout.get("barmode") or "group"), 0.2 if gap is None else float(gap))

    # What the page says.

    @cached_property
    def size(self) -> float:
        """The letters' size."""
        return float((self.layout.get("font") or {}).get("size") or 12)

    @cached_property
    def width(self) -> float:
        """The whole page's width."""
        return float(self.layout.get("width") or 900)

    @cached_property
    def _title(self) -> tuple[list[Line], list[Line]]:
        title = self.layout.get("title") or {}
        title = {"text": title} if isinstance(title, str) else title
        most = self.width - 2 * _EDGE
        below = (title.get("subtitle") or {}).get("text")
        return (
            wrapped(title["text"], 1.25 * self.size, most) if title.get("text") else [],
            wrapped(below, 0.95 * self.size, most) if below else [],
        )

    def _axis_title(self, name: str) -> str:
        title = (self.layout.get(name) or {}).get("title") or {}
        return title if isinstance(title, str) else str(title.get("text") or "")

    # The axes: first their ranges, then, once it is known what their words need, their pixels.

    def _extents(self, axis: str) -> Iterator[Floats]:
        for bar in self.bars:
            along = bar.lying == (axis == "x")
            yield np.concatenate([bar.begin, bar.end]) if along else bar.across
        for trace in self.traces:
            if trace.get("type", "scatter") == "scatter":
                yield floats(trace.get(axis))
                if axis == "y" and trace.get("fill") == "tozeroy":
                    yield np.zeros(1)
        for shape in self.layout.get("shapes") or ():
            if str(shape.get(f"{axis}ref", axis)) == axis:
                yield floats([shape[f"{axis}0"], shape[f"{axis}1"]])

    def _axis(self, name: str) -> Axis:
        layout = self.layout.get(f"{name}axis") or {}
        based = [trace.get("base") is None for trace in self.traces if trace.get("type") == "bar"]
        rising = any(free and bar.lying == (name == "x") for free, bar in zip(based, self.bars, strict=True))
        return Axis.of(layout, self._extents(name), rising)

    @cached_property
    def _box(self) -> tuple[float, float, float, float]:
        """The plot's left, top, right and bottom."""
        title, below = self._title
        top = 0.6 * _EDGE + 1.6 * self.size * len(title) + 1.3 * self.size * len(below) + 0.9 * self.size
        high = max(float(self.layout.get("height") or 480) - _OUTSIDE, 60)
        labels = self._axis("y").on(top + high, top).ticks(self._about(high, 45))
        widest = max((line_width(line, self.size) for _, word in labels for line in lines(word)), default=0)
        left = _EDGE + min(widest, 0.45 * self.width) + 8 + (1.6 * self.size if self._axis_title("yaxis") else 0)
        return left, top, self.width - _EDGE - 10, top + high

    @staticmethod
    def _about(pixels: float, apart: float) -> int:
        return max(2, int(pixels / apart))

    @cached_property
    def x(self) -> Axis:
        """The axis along the page."""
        return self._axis("x").on(self._box[0], self._box[2])

    @cached_property
    def y(self) -> Axis:
        """The axis up the page."""
        return self._axis("y").on(self._box[3], self._box[1])

    # Its parts, as elements.

    @cached_property
    def prefix(self) -> str:
        """Begins the ids on this page: other pictures may stand in the same document."""
        own = repr((self._title, self._box, *self._counts()))
        return f"rtnb-{zlib.crc32(own.encode('utf-8', 'replace')):08x}-"

    def svg(self) -> str:
        """The whole picture."""
        legend, height = self._legend(self._box[3] + self._below)
        title, below = self._title
        said = " ".join(line.words for line in title) or "figure"
        count = ", ".join(f"{plain(n)} ({k})" for n, k in self._counts())
        about = f"{html.escape(' '.join(line.words for line in below))}. Drawn: {count or 'nothing'}."
        ids = f'aria-labelledby="{self.prefix}t {self.prefix}d"'
        wide, high = number(self.width), number(height)
        size = f'width="{wide}" height="{high}" viewBox="0 0 {wide} {high}"'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {ids} {size} font-family="{_FAMILY}">',
                f'<title id="{self.prefix}t">{html.escape(said)}</title><desc id="{self.prefix}d">{about}</desc>',
                *self._defs(),
                f'<rect width="{wide}" height="{high}" fill="#ffffff"/>',
                *self._heading(),
                *self._grid(),
                *self._shapes(below=True),
                f'<g clip-path="url(#{self.prefix}c)">',
                *self._marks(),
                "</g>",
                *self._shapes(below=False),
                *self._annotations(),
                *legend,
                "</svg>",
            ]
        )

    def _counts(self) -> Iterator[tuple[str, int]]:
        for trace in self.traces:
            if trace.get("name"):
                yield str(trace["name"]), len(floats(trace.get("x")))

    def _defs(self) -> list[str]:
        left, top, right, bottom = self._box
        box = f'x="{number(left - 8)}" y="{number(top - 8)}" width="{number(right - left + 16)}"'
        made = [f'<defs><clipPath id="{self.prefix}c"><rect {box} height="{number(bottom - top + 16)}"/></clipPath>']
        wanted = [((trace.get("marker") or {}).get("pattern") or {}).get("shape") for trace in self.traces]
        used = {shape for value in wanted for shape in ([value] if isinstance(value, str) else value or ()) if shape}
        if strange := used - set(HATCHES):
            raise BadInput("svg", f"there is a bar of pattern {strange.pop()!r}", f"one of {' '.join(HATCHES)}")
        for at, (shape, path) in enumerate(HATCHES.items()):
            if shape in used:
                pen = 'fill="none" stroke="#ffffff" stroke-opacity="0.75" stroke-width="1.6"'
                tile = 'width="8" height="8" patternUnits="userSpaceOnUse"'
                made.append(f'<pattern id="{self.prefix}h{at}" {tile}><path d="{path}" {pen}/></pattern>')
        return [*made, "</defs>"]

    def _heading(self) -> list[str]:
        title, below = self._title
        made, y = [], 0.6 * _EDGE
        for line in title:
            y += 1.6 * self.size
            made.append(text(_EDGE, y, line, size=1.25 * self.size, fill=_INK))
        for line in below:
            y += 1.3 * self.size
            made.append(text(_EDGE, y, line, size=0.95 * self.size, fill=_FAINT))
        return made

    def _grid(self) -> list[str]:
        left, top, right, bottom = self._box
        made = []
        for at, word in self._apart(self.x.ticks(self._about(right - left, 110))):
            if self.x.layout.get("showgrid") is not False:
                made.append(_stroke(at, top, at, bottom))
            for n, line in enumerate(lines(word)):
                made.append(text(at, bottom + (1.35 + 1.15 * n) * self.size, line, size=self.size, anchor="middle"))
        for at, word in self._spread(self.y.ticks(self._about(bottom - top, 45))):
            if self.y.layout.get("showgrid") is not False:
                made.append(_stroke(left, at, right, at))
            line = self._cut(lines(word)[0], left - _EDGE - 7)
            made.append(text(left - 8, at + 0.36 * self.size, line, size=self.size, anchor="end"))
        made += [*self._zero_lines(), _stroke(left, bottom, right, bottom, "#9aa9bd")]
        return made + self._axis_titles()

    def _zero_lines(self) -> list[str]:
        left, top, right, bottom = self._box
        made = []
        for axis in (self.x, self.y):
            low, high = sorted((axis.low, axis.high))
            named = axis.layout.get("tickvals") is not None
            if axis.layout.get("zeroline") is not False and not (axis.log or named) and low < 0 < high:
                at = axis.pixel(0)
                x1, y1, x2, y2 = (at, top, at, bottom) if axis is self.x else (left, at, right, at)
                made.append(_stroke(x1, y1, x2, y2, "#b9c6d6"))
        return made

    @cached_property
    def _below(self) -> float:
        """What the words below the plot need."""
        rows = max((len(lines(word)) for _, word in self.x.ticks(2)), default=1)
        return (0.7 + 1.15 * rows) * self.size + (1.5 * self.size if self._axis_title("xaxis") else 0)

    def _axis_titles(self) -> list[str]:
        left, top, right, bottom = self._box
        made = []
        if words := self._axis_title("xaxis"):
            at = bottom + self._below
            made.append(text((left + right) / 2, at, lines(words)[0], size=self.size, anchor="middle", fill=_INK))
        if words := self._axis_title("yaxis"):
            line = self._cut(lines(words)[0], max(bottom - top + 60, 120))
            at = 0.6 * _EDGE + 0.8 * self.size
            made.append(text(at, (top + bottom) / 2, line, size=self.size, anchor="middle", fill=_INK, turn=-90))
        return made

    def _apart(self, ticks: list[tuple[float, str]]) -> list[tuple[float, str]]:
        """As many of the ticks along the page as have room beside each other."""
        ticks = sorted(ticks)
        needs = [max(line_width(line, self.size) for line in lines(word)) for _, word in ticks]
        for every in range(1, len(ticks)):
            kept = list(zip(ticks, needs, strict=True))[::every]
            if all(b[0] - a[0] > (x + y) / 2 + 0.6 * self.size for (a, x), (b, y) in pairwise(kept)):
                return ticks[::every]
        return ticks[:1]

    def _spread(self, ticks: list[tuple[float, str]]) -> list[tuple[float, str]]:
        """As many of the ticks up the page as have room above each other."""
        places = sorted(at for at, _ in ticks)
        nearest = min((b - a for a, b in pairwise(places)), default=self.size)
        return ticks[:: max(1, math.ceil(1.1 * self.size / max(nearest, 0.1) - 0.01))]

    def _cut(self, line: Line, most: float) -> Line:
        """The line, or its begin, where it is too wide for its place."""
        while len(line.words) > 4 and line_width(line, self.size) > most:
            line = Line(((line.words[:-3].rstrip("… ") + "…", False),))
        return line

    def _marks(self) -> list[str]:
        made: list[str] = []
        before: list[tuple[float, float]] = []
        drawn = iter(self.bars)
        for at, trace in enumerate(self.traces):
            colour = _WAY[at % len(_WAY)]
            if trace.get("type") == "bar":
                made += bar_marks(trace, next(drawn), self.x, self.y, colour, f"{self.prefix}h")
                continue
            made += line_marks(trace, self.x, self.y, colour, before)
            before = list(zip(self.x.at(trace.get("x")).tolist(), self.y.at(trace.get("y")).tolist(), strict=False))
        return made

    # What stands on the plot beside the traces.

    def _place(self, value: float, ref: str, axis: Axis, exponent: bool = False) -> float:
        """The pixel of a coordinate of a shape or an annotation: of the data, or a share of the plot."""
        if ref == "paper" or ref.endswith("domain"):
            return axis.start + float(value) * (axis.end - axis.start)
        if exponent and axis.log:
            value = 10.0 ** float(value)
        return axis.pixel(value)

    def _shapes(self, below: bool) -> list[str]:
        made = []
        for shape in self.layout.get("shapes") or ():
            if (shape.get("layer") == "below") != below:
                continue
            xs = [self._place(shape[at], str(shape.get("xref", "x")), self.x) for at in ("x0", "x1")]
            ys = [self._place(shape[at], str(shape.get("yref", "y")), self.y) for at in ("y0", "y1")]
            line = shape.get("line") or {}
            width = 2.0 if line.get("width") is None else float(line["width"])
            pen = f'{painted(line.get("color") or "#444444", "stroke")} stroke-width="{number(width)}"{dash(line)}'
            if any(map(math.isnan, (*xs, *ys))):
                continue
            if shape.get("type") == "line":
                ends = " ".join(f'{n}="{number(v)}"' for n, v in zip(("x1", "x2", "y1", "y2"), (*xs, *ys), strict=True))
                made.append(f"<line {ends} {pen}/>")
            elif shape.get("type") == "rect":
                opacity = 1.0 if shape.get("opacity") is None else float(shape["opacity"])
                look = f"{painted(shape.get('fillcolor') or 'none', opacity=opacity)} {pen if width else ''}"
                size = f'width="{number(abs(xs[1] - xs[0]))}" height="{number(abs(ys[1] - ys[0]))}"'
                made.append(f'<rect x="{number(min(xs))}" y="{number(min(ys))}" {size} {look}/>')
            else:
                raise BadInput("svg", f"there is a shape of type {shape.get('type')}", "line and rect can be drawn")
        return made

    def _annotations(self) -> list[str]:
        made = []
        for note in self.layout.get("annotations") or ():
            x = self._place(note.get("x", 0.5), str(note.get("xref", "x")), self.x, exponent=True)
            y = self._place(note.get("y", 0.5), str(note.get("yref", "y")), self.y, exponent=True)
            if math.isnan(x) or math.isnan(y):
                continue
            if note.get("showarrow") is not False:
                dx, dy = (float(usual if note.get(n) is None else note[n]) for n, usual in (("ax", -10), ("ay", -30)))
                made.append(_stroke(x, y, x + dx, y + dy, "#444444"))
                x, y = x + dx, y + dy
            size = float((note.get("font") or {}).get("size") or self.size)
            anchor = {"left": "start", "right": "end"}.get(str(note.get("xanchor")), "middle")
            rows = lines(str(note.get("text") or ""))
            y += size * {"top": 1.0, "bottom": 0.0}.get(str(note.get("yanchor")), 0.36) - float(note.get("yshift") or 0)
            x += float(note.get("xshift") or 0)
            colour = str((note.get("font") or {}).get("color") or _INK)
            for n, line in enumerate(rows):
                made.append(text(x, y + 1.2 * size * n, line, size=size, anchor=anchor, fill=colour))
        return made

    def _legend(self, top: float) -> tuple[list[str], float]:
        """The legend from there on, in rows, and where the page ends."""
        shown = self.layout.get("showlegend")
        named = [(at, t) for at, t in enumerate(self.traces) if t.get("name") and t.get("showlegend") is not False]
        if not named or shown is False or (shown is None and len(named) < 2):
            return [], top + 0.8 * self.size
        made, x, y, size = [], float(_EDGE), top + 1.9 * self.size, 0.93 * self.size
        for at, trace in named:
            line = self._cut(lines(str(trace["name"]))[0], self.width - 2 * _EDGE - 50)
            needs = 36 + line_width(line, size) + 18
            if x > _EDGE and x + needs > self.width - _EDGE:
                x, y = float(_EDGE), y + 1.5 * self.size
            made += [*self._swatch(trace, x, y - 0.36 * size, _WAY[at % len(_WAY)])]
            made.append(text(x + 36, y, line, size=size, fill=_INK))
            x += needs
        return made, y + 0.8 * self.size

    def _swatch(self, trace: Mapping[str, Any], x: float, y: float, colour: str) -> list[str]:
        mark, line = trace.get("marker") or {}, trace.get("line") or {}
        one = str(each(mark.get("color"), 1)[0] or line.get("color") or colour)
        box = f'x="{number(x + 4)}" y="{number(y - 6)}" width="24" height="12"'
        if trace.get("type") == "bar":
            shape = each((mark.get("pattern") or {}).get("shape"), 1)[0]
            faint = 1.0 if trace.get("opacity") is None else float(trace["opacity"])
            hatch = [f'<rect {box} fill="url(#{self.prefix}h{list(HATCHES).index(shape)})"/>'] if shape else []
            return [f"<rect {box} {painted(one, opacity=faint)}/>", *hatch]
        made, mode = [], str(trace.get("mode") or "lines")
        if trace.get("fill") not in (None, "none"):
            inside = trace.get("fillcolor")
            made.append(f"<rect {box} {painted(inside) if inside else painted(one, opacity=0.5)}/>")
        if "lines" in mode and line.get("width") != 0:
            pen = f'{painted(one, "stroke")} stroke-width="{number(min(float(line.get("width", 2)), 6))}"{dash(line)}'
            made.append(f'<line x1="{number(x + 2)}" x2="{number(x + 30)}" y1="{number(y)}" y2="{number(y)}" {pen}/>')
        if "markers" in mode:
            symbol, size = (each(mark.get(name), 1)[0] or usual for name, usual in (("symbol", "circle"), ("size", 6)))
            made.append(marker(x + 16, y, str(symbol), min(float(size), 14), one, mark.get("line") or {}))
        return made


def _stroke(x1: float, y1: float, x2: float, y2: float, colour: str = _GRID) -> str:
    ends = f'x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}"'
    return f'<line {ends} stroke="{colour}" stroke-width="1"/>'

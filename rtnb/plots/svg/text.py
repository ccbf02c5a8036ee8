# SPDX-License-Identifier: MIT
"""How does plotly's text become SVG's? Its few tags are kept, all else is escaped, and its width is estimated."""

from __future__ import annotations

import html
import re
from typing import NamedTuple

from rtnb.text import printable

__all__ = ["Line", "attribute", "line_width", "lines", "number", "plain", "text", "text_width", "wrapped"]

_TAG = re.compile(r"(</?(?:b|i|em|strong|sub|sup|span)(?:\s[^<>]*)?>|<br\s*/?>)", re.IGNORECASE)
_WIDTHS = {
    **dict.fromkeys("ijl'IJ", 285),
    **dict.fromkeys(" ,./:;|\\·", 330),
    **dict.fromkeys("()[]-frt!", 395),
    **dict.fromkeys('*_`"cszL?', 545),
    **dict.fromkeys("kvxyFPTY", 605),
    **dict.fromkeys("ABCEKRSVXZ", 690),
    **dict.fromkeys("DGHNOQU&w", 790),
    **dict.fromkeys("#%+<=>^~mM@W…≤≥", 970),
}
"""Of 1/1000 of the letters' size, as in DejaVu Sans, the widest of the usual fonts: then no other one needs more."""
_OTHERS, _WIDE = 640, 1000


class Line(NamedTuple):
    """A line of text: its parts, each with whether it is bold."""

    parts: tuple[tuple[str, bool], ...]

    @property
    def words(self) -> str:
        """The line without its weights."""
        return "".join(part for part, _ in self.parts)


def number(value: float) -> str:
    """A coordinate, to a hundredth of a pixel.

    >>> number(12.50), number(-0.001)
    ('12.5', '0')
    """
    short = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if short == "-0" else short


def attribute(value: object) -> str:
    """A value between quotes, as an attribute takes it."""
    return f'"{html.escape(printable(str(value)))}"'


def lines(markup: str) -> list[Line]:
    """The lines of a text as plotly understands it: <b> and <br> do what they say, &lt; is <, other tags go.

    >>> [line.words for line in lines("a &lt;b&gt;<br><b>c</b>")]
    ['a <b>', 'c']
    """
    made: list[list[tuple[str, bool]]] = [[]]
    bold = False
    for part in _TAG.split(str(markup)):
        name = part.strip("</>").split()[0].lower() if _TAG.fullmatch(part) else ""
        if name == "br":
            made.append([])
        elif name in ("b", "strong"):
            bold = not part.startswith("</")
        elif part and not name:
            made[-1].append((printable(html.unescape(part).replace("\n", " ")), bold))
    return [Line(tuple(parts)) for parts in made]


def plain(markup: str) -> str:
    """A text as plotly understands it, without its tags, on one line, escaped for XML."""
    return html.escape(" ".join(line.words for line in lines(markup)))


def text_width(words: str, size: float, bold: bool = False) -> float:
    """About how many pixels some words take."""
    thousandths = sum(_WIDTHS.get(c, _OTHERS if ord(c) < 0x2E80 else _WIDE) for c in words)
    return thousandths * size / 1000 * (1.11 if bold else 1)


def line_width(line: Line, size: float) -> float:
    """The same of a line, whose bold parts are wider."""
    return sum(text_width(part, size, bold) for part, bold in line.parts)


def wrapped(markup: str, size: float, most: float) -> list[Line]:
    """The lines of a text, broken between words so that none is wider than `most` pixels, where a word is not."""
    made: list[Line] = []
    for line in lines(markup):
        row: list[tuple[str, bool]] = []
        words = [(word, bold) for part, bold in line.parts for word in re.findall(r"\s*\S+|\s+$", part)]
        for word, bold in words:
            if row and line_width(Line((*row, (word, bold))), size) > most:
                made.append(Line(tuple(row[:-1] if row[-1][0].isspace() else row)))
                row, word = [], word.lstrip()
            row.append((word, bold))
        made.append(Line(tuple(row)))
    return made


def text(
    x: float, y: float, line: Line, *, size: float, anchor: str = "start", fill: str = "#2a3f5f", turn: float = 0
) -> str:
    """A line of text at a place: `anchor` start, middle or end; turned by degrees around it."""
    inner = "".join(
        f'<tspan font-weight="bold">{html.escape(part)}</tspan>' if bold else html.escape(part)
        for part, bold in line.parts
    )
    turned = f' transform="rotate({number(turn)} {number(x)} {number(y)})"' if turn else ""
    at = f'x="{number(x)}" y="{number(y)}" font-size="{number(size)}" text-anchor="{anchor}" fill={attribute(fill)}'
    return f'<text {at} xml:space="preserve"{turned}>{inner}</text>'

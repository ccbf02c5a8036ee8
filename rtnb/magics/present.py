# SPDX-License-Identifier: MIT
"""How does a recording reach the reader? By a caption above the frame, which is the cell's value."""

from __future__ import annotations

import html

from rtnb.recording import Header

__all__ = ["Caption"]


class Caption:
    """A recording's caption, as text and as HTML."""

    def __init__(self, header: Header) -> None:
        self.header = header

    def __repr__(self) -> str:
        return self.header.caption()

    def _repr_html_(self) -> str:
        lines = "<br>".join(html.escape(line) for line in self.header.caption().split("\n"))
        # tex2jax_ignore: dollars in a command are no formula
        return f'<div class="tex2jax_ignore" style="opacity:.75;font-size:90%">{lines}</div>'

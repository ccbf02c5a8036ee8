# SPDX-License-Identifier: MIT
"""How does a recording reach the reader? A caption above, the frame as the cell's value, a bar meanwhile."""

from __future__ import annotations

import html
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from IPython.core.getipython import get_ipython

from rtnb.recording import Header

__all__ = ["Caption", "bar"]


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


@contextmanager
def bar(words: str) -> Iterator[Callable[[float], None] | None]:
    """A progress bar as a function of the fraction done, or None where there is no one to look."""
    if not _someone_looks():
        yield None
        return
    from tqdm.auto import tqdm

    # Half a second's delay: what is done sooner needs no bar.
    with tqdm(total=100, desc=words, leave=False, delay=0.5, bar_format="{desc} {bar} {percentage:3.0f}%") as shown:
        yield lambda fraction: shown.update(min(100.0, 100 * fraction) - shown.n) and None


def _someone_looks() -> bool:
    """A terminal, or a front end that would also answer a question: nbconvert and nbval would not."""
    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None:
        return sys.stderr.isatty()
    return bool(kernel.get_parent("shell").get("content", {}).get("allow_stdin"))

# SPDX-License-Identifier: MIT
"""How far is long work? A bar for whoever looks, and none where nobody does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

__all__ = ["Progress", "bar", "or_bar"]

Progress = Callable[[float], None]
"""Takes the fraction that is done."""


def or_bar(progress: Progress | None, words: str) -> AbstractContextManager[Progress | None]:
    """What a caller gave, or a bar."""
    return nullcontext(progress) if progress else bar(words)


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
    shell = sys.modules.get("IPython")  # where nothing has imported it, there is none
    kernel = getattr(shell.get_ipython() if shell else None, "kernel", None)
    if kernel is None:
        return sys.stderr.isatty()
    return bool(kernel.get_parent("shell").get("content", {}).get("allow_stdin"))

# SPDX-License-Identifier: MIT
"""How is a string that others wrote shown? As what it is, and never as what it would like to be."""

from __future__ import annotations

__all__ = ["printable", "shown"]


def shown(raw: bytes) -> str:
    """Bytes as printable text: invalid UTF-8, control and direction characters come as escapes.

    >>> shown(b"a\\x1b[31m\\xff\\n")
    'a\\\\x1b[31m\\\\xff\\\\n'
    """
    return printable(raw.decode("utf-8", "backslashreplace"))


def printable(text: str) -> str:
    """Text on one line that does nothing to a terminal: control and direction characters come as escapes.

    >>> printable("a\\x1b[31m\\n")
    'a\\\\x1b[31m\\\\n'
    """
    # What is printable to Python holds no control, no mark that reorders or hides text, no lone surrogate (which is
    # what os.fsdecode makes of a byte that is no UTF-8), no separator but the space, no code point without a character.
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)

# SPDX-License-Identifier: MIT
"""How is a string that others wrote shown? As what it is, and never as what it would like to be."""

from __future__ import annotations

import re

__all__ = ["printable", "shown"]

# C0, DEL, C1, the marks that reorder or hide text (bidirectional controls, zero-width, separators, tags), and
# lone surrogates, which is what os.fsdecode makes of a byte that is no UTF-8, and which cannot be written out.
_HOSTILE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff\U000e0000-\U000e007f]"
)


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
    return _HOSTILE.sub(lambda m: ascii(m[0])[1:-1], text)

# SPDX-License-Identifier: MIT
"""How is a string from a traced program shown? As what it is, and never as what it would like to be."""

from __future__ import annotations

import re

__all__ = ["shown"]

# C0, DEL, C1, and the marks that reorder or hide text (bidirectional controls, zero-width, separators).
_HOSTILE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def shown(raw: bytes) -> str:
    """Bytes as printable text: invalid UTF-8, control and direction characters come as escapes.

    >>> shown(b"a\\x1b[31m\\xff\\n")
    'a\\\\x1b[31m\\\\xff\\\\n'
    """
    return _HOSTILE.sub(lambda m: ascii(m[0])[1:-1], raw.decode("utf-8", "backslashreplace"))

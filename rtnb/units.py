# SPDX-License-Identifier: MIT
"""What does `2ms` mean? Durations and sizes as people write them, exactly, and back into words."""

from __future__ import annotations

import re
from decimal import Context, Decimal

from rtnb.errors import BadInput

__all__ = ["NS", "duration_ns", "in_words", "nanoseconds"]

NS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
"""Nanoseconds of each unit that a duration may be written in."""
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ns|us|µs|ms|s|m|h)?")


def duration_ns(text: str | int | float, *, what: str = "duration", unit: str = "") -> int:
    """Nanoseconds of `1.5ms`, `200us`, `5s`; a bare number counts in `unit`, or is refused without one.

    Exact: a fraction of a nanosecond is an error, as is anything not above zero or too large for an int64.
    Raises BadInput.

    >>> duration_ns("1.5ms")
    1500000
    """
    tried = f"{what} {str(text)[:60]!r}"
    match = _DURATION.fullmatch(str(text).strip())
    if not match or not (match[2] or unit):
        raise BadInput(tried, "not a duration", "write a number with a unit: 200us, 1ms, 5s, 2m")
    # As many digits as the product can have: the default context would round.
    ns = Context(prec=len(match[1]) + 13).multiply(Decimal(match[1]), Decimal(NS[match[2] or unit]))
    if ns <= 0:
        raise BadInput(tried, "must be above zero")
    if ns >= 2**63:
        raise BadInput(tried, "too long: nanoseconds are counted in 63 bits, which are 292 years")
    if ns != int(ns):
        raise BadInput(tried, "must be a whole number of nanoseconds")
    return int(ns)


def nanoseconds(time: str | int, *, what: str = "duration", zero: bool = False) -> int:
    """Nanoseconds of `1.5ms`, or of an int, which counts them already; with `zero`, 0 is one too. Raises BadInput.

    >>> nanoseconds("1.5ms"), nanoseconds(23), nanoseconds("0", zero=True)
    (1500000, 23, 0)
    """
    if zero and str(time).strip() == "0":
        return 0
    return duration_ns(time, what=what, unit="ns" if isinstance(time, int) else "")


def in_words(ns: float) -> str:
    """A duration for people: three digits and a unit.

    >>> in_words(26_600)
    '26.6 us'
    """
    for name, size in (("s", 10**9), ("ms", 10**6), ("us", 10**3)):
        if abs(ns) >= size:
            return f"{ns / size:.3g} {name}"
    return f"{ns:.0f} ns"

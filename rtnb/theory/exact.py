# SPDX-License-Identifier: MIT
"""What is a time to the theory? A whole number or a fraction, with or without a unit; never a float."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from numbers import Rational
from typing import Any

import pandas as pd

from rtnb.errors import BadInput
from rtnb.text import printable
from rtnb.theory.digits import rounded
from rtnb.units import NS

__all__ = ["Time", "exact", "fraction", "from_ticks", "in_ticks", "ticks", "words"]

Time = int | Fraction
"""Of a set whose times have a unit, nanoseconds."""
_TIME = re.compile(r"(\d+(?:\.\d+)?(?:/\d+)?)\s*([a-zµ]*)")
_MOST_DIGITS = 40
_LONGEST = 10**24


def exact(value: Any, what: str, unit: str = "") -> tuple[Time, str]:
    """A time as given, exactly, and its unit: "ns" for `2ms`, "" for 2, `7/3`, `0.1` (also the float: one tenth).

    A bare number counts in `unit`, if one is given. Raises BadInput, for a time below zero too.

    >>> exact("2ms", "C"), exact("7/3", "C"), exact(0.1, "C")
    ((2000000, 'ns'), (Fraction(7, 3), ''), (Fraction(1, 10), ''))
    """
    if type(value) is int and value >= 0:  # as nearly always
        return (value * NS[unit], "ns") if unit else (value, "")
    if isinstance(value, Rational) and not isinstance(value, bool):
        text = f"{int(value.numerator)}/{int(value.denominator)}"
    elif isinstance(value, float | Decimal):
        text = f"{Decimal(repr(float(value))) if isinstance(value, float) else value:f}"
    elif isinstance(value, timedelta):  # also pandas': whole nanoseconds
        return exact(f"{pd.Timedelta(value).value}ns" if pd.notna(value) else "NaT", what)
    else:
        text = " ".join(str(value).split())
    match = _TIME.fullmatch(text)
    tried = f"{what} {printable(str(value))[:40]}"
    if not match or (match[2] and match[2] not in NS) or len(match[1]) > _MOST_DIGITS:
        below = text.startswith("-")
        hint = "" if below else "write 3, 7/3, 0.5, or a number with a unit: 200us, 2ms"
        raise BadInput(tried, "a time is not below zero" if below else "not a time", hint)
    named = match[2] or unit
    try:
        number = fraction(Fraction(*map(Fraction, match[1].split("/"))) * (NS[named] if named else 1))
    except ZeroDivisionError:
        raise BadInput(tried, "not a time: it divides by zero") from None
    return number, "ns" if named else ""


def fraction(value: Time) -> Time:
    """The same number, as an int where it is whole."""
    return value.numerator if value.denominator == 1 else value


def words(time: Time | None, unit: str = "") -> str:
    """A time for people, exactly: a number, or where it is nanoseconds, in the unit that makes it short. One that is
    too long to be read, as a hyperperiod may be, is rounded.

    >>> words(Fraction(7, 3)), words(2_000_400, "ns"), words(None)
    ('7/3', '2.0004 ms', 'none')
    """
    if time is None:
        return "none"
    if max(abs(time.numerator), time.denominator) >= _LONGEST:
        return f"{rounded(time, 6, True)} {unit}".strip()
    if not unit or time.denominator > 1:
        return f"{time} {unit}".strip()
    ns = abs(int(time))
    name = next((name for name in ("s", "ms", "us") if ns >= NS[name]), "ns")
    size = NS[name]
    whole, part = divmod(ns, size)
    digits = f"{part:0{len(str(size)) - 1}d}".rstrip("0") if part else ""
    return f"{'-' * (time < 0)}{whole}{'.' * bool(digits)}{digits} {name}"


def from_ticks(count: Time, per_unit: int) -> Time:
    """A number of ticks, of which a unit of time has so many, as a time.

    >>> from_ticks(28, 12)
    Fraction(7, 3)
    """
    return count if per_unit == 1 else fraction(Fraction(count) / per_unit)


def ticks(times: Iterable[Time]) -> int:
    """How many ticks a unit of time needs, so that each of these times is a whole number of them.

    >>> ticks([1, Fraction(7, 3), Fraction(1, 4)])
    12
    """
    return math.lcm(*{time.denominator for time in times})


def in_ticks(time: Time, per_unit: int) -> int:
    """A time in ticks, of which a unit of time has so many. Exact: it must be a whole number of them."""
    found = time * per_unit
    if found.denominator != 1:
        raise ValueError(f"{time} is no whole number of 1/{per_unit}")
    return int(found)

# SPDX-License-Identifier: MIT
"""How is a number written? As short as tells it, on the right side of what it is compared with; never a float's way."""

from __future__ import annotations

from decimal import MAX_EMAX, MIN_EMIN, Decimal, localcontext
from fractions import Fraction

__all__ = ["counted", "is_short", "rounded", "share", "sides"]

Number = int | Fraction
_LONGEST = 10**12
"""From there on a numerator or a denominator is too long to be read."""
_MOST_DIGITS = 30


def share(x: Number, beside: Number = 1) -> str:
    """A share of a processor, or another such number, in words: a long fraction as a decimal number, with so many
    digits that it is on the right side of another number.

    >>> share(Fraction(23, 24)), share(Fraction(10**20 - 1, 3 * 10**20)), share(Fraction(10**20 - 1, 10**20))
    ('23/24', '0.333333', '0.99999999999999999999')
    """
    return sides(x, beside)[0]


def sides(x: Number, y: Number, digits: int = 6, decimal: bool = False) -> tuple[str, str]:
    """Two numbers in words that compare as the numbers do. `decimal`: short fractions too are decimal numbers.

    >>> sides(Fraction(82843, 10**5), Fraction(828427124746, 10**12), 4, decimal=True)
    ('0.82843', '0.828427')
    """
    a = b = ""
    for n in range(digits, _MOST_DIGITS):
        a, b = rounded(x, n, decimal), rounded(y, n, decimal)
        if (x > y) - (x < y) == (Fraction(a) > Fraction(b)) - (Fraction(a) < Fraction(b)):
            return a, b
    return f"{b} {'-' if x < y else '+'} {rounded(abs(Fraction(x) - y), 3, True)}", b


def is_short(x: Number) -> bool:
    """Is it a whole number or a fraction that can be read?"""
    return abs(x.numerator) < _LONGEST and x.denominator < _LONGEST


def counted(n: int) -> str:
    """A number of things in words.

    >>> counted(1234567), counted(10**5000)
    ('1,234,567', '1e+5000')
    """
    return f"{n:,}" if is_short(n) else rounded(n, 3, False)


def rounded(x: Number, n: int, decimal: bool) -> str:
    """Rounded to so many digits, where it is not short. Never by way of its own: Python writes no more than 4300."""
    if is_short(x) and (not decimal or x.denominator == 1):
        return str(x)
    with localcontext(prec=n, Emin=MIN_EMIN, Emax=MAX_EMAX):
        rounded = (Decimal(x.numerator) / Decimal(x.denominator)).normalize()
        return f"{rounded:f}" if -6 < rounded.adjusted() < n else f"{rounded:e}"

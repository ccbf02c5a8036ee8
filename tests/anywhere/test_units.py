# SPDX-License-Identifier: MIT
"""A duration is exactly what was written, or an error that says why not."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtnb.errors import BadInput
from rtnb.units import duration_ns, in_words

NS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
MOST = 2**63 - 1


@given(whole=st.integers(0, 10**22), digits=st.text("0123456789", max_size=40), unit=st.sampled_from(sorted(NS)))
def test_exactly_or_not_at_all(whole: int, digits: str, unit: str) -> None:
    number = f"{whole}.{digits}" if digits else str(whole)
    exact = Fraction(number) * NS[unit]
    if exact.denominator == 1 and 0 < exact <= MOST:
        assert duration_ns(number + unit) == exact
    else:
        with pytest.raises(BadInput):
            duration_ns(number + unit)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1.0000000000000000000000000000001s", "a whole number of nanoseconds"),
        ("0.5ns", "a whole number of nanoseconds"),
        ("0s", "above zero"),
        ("0.000", "above zero"),
        (f"{MOST + 1}ns", "292 years"),
        ("9" * 40 + "s", "292 years"),
        ("9" * 5000 + ".5s", "292 years"),
        ("1" * 5000, "292 years"),
        ("-1s", "not a duration"),
        ("1e3s", "not a duration"),
        ("", "not a duration"),
        ("s", "not a duration"),
    ],
)
def test_the_reason_is_the_reason(text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        duration_ns(text, unit="s")
    assert len(str(caught.value)) < 300


def test_the_largest() -> None:
    assert duration_ns(f"{MOST}ns") == MOST


def test_a_bare_number_wants_a_unit() -> None:
    assert duration_ns(2, unit="ms") == duration_ns(" 2 ms ") == duration_ns(0.002, unit="s") == 2_000_000
    with pytest.raises(BadInput, match="not a duration"):
        duration_ns(2)


@pytest.mark.parametrize(("ns", "words"), [(999, "999 ns"), (26_600, "26.6 us"), (5e9, "5 s"), (-2_000_000, "-2 ms")])
def test_in_words(ns: float, words: str) -> None:
    assert in_words(ns) == words

# SPDX-License-Identifier: MIT
"""How are ten million latencies kept in the memory of a few? Counted: exact sums, and an HDR histogram's counters."""

from __future__ import annotations

import contextlib
import math
import zlib
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from operator import mul
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rtnb.errors import BadInput, BadRecording, NotSupported

__all__ = ["UNBOUNDED", "Ints", "Latencies", "Spans", "damage_told", "rank"]

Ints = npt.NDArray[np.int64]

UNBOUNDED = 2**63 - 1
"""The `high` of a bucket for all that lies above the others; its negative is the `low` of that below."""

_DIGITS = 5
_LARGEST = 2**53 - 1
"""The largest nanoseconds that are counted, 104 days: as floats they still are exact."""
_EXACT_BITS = 18
_MOST_BYTES = 64 * 2**20
"""What a histogram's text may unpack to; 7 million counters of a recording that anybody may have written."""


class Spans(NamedTuple):
    """Buckets in order, int64: from, to (not included), and samples, none of them without."""

    low: Ints
    high: Ints
    counts: Ints

    @property
    def bounded(self) -> npt.NDArray[np.bool_]:
        """Which have both ends."""
        return (self.low > -UNBOUNDED) & (self.high < UNBOUNDED)

    def at(self, percent: float | str) -> int:
        """In which of them is the sample of this percentile? Raises BadInput below 0 and above 100."""
        share = Fraction(percent if isinstance(percent, str) else str(percent)) / 100
        if not 0 <= share <= 1:
            raise BadInput(f"percentile {percent}", "a percentile is a number from 0 to 100")
        total = np.cumsum(self.counts)
        return int(np.searchsorted(total, rank(int(total[-1]), share)))


def rank(n: int, share: Fraction) -> int:
    """The nearest rank: which of n samples in order, from 1, is the first that `share` of them are no larger than?"""
    return max(-(-n * share.numerator // share.denominator), 1)  # ceil, in integers


class Latencies:
    """The statistics of one measure of one task, in bounded memory, however many samples there are.

    Exact are count, min, max, mean and std: they come of whole sums of Python integers. Percentiles and buckets
    come from HDR histograms (http://hdrhistogram.org) of five digits, one for each sign. Measured of the library:
    below 2**18 ns (262 us) every nanosecond has a counter of its own, so that a percentile is exact; above, a
    counter spans at most 1/131072 (7.6e-6) of its values. Then a percentile is the largest value of its counter, so
    that what it says stays true: that many samples are no larger.

    >>> late = Latencies()
    >>> late.add([26_000, 27_000, 28_000, 90_000])
    >>> late.percentile(50), late.mean, late.max
    (27000, 42750.0, 90000)
    """

    def __init__(self) -> None:
        self.count = 0
        """Samples."""
        self.missed = 0
        """Releases that the task slept through."""
        self.overruns = 0
        """Jobs that ended later than their deadline and the tolerance allow."""
        self.min = self.max = 0
        """The smallest and the largest, ns; 0 without samples."""
        self._sum = self._squares = 0
        self._above: Any = None
        self._below: Any = None

    def __repr__(self) -> str:
        return f"Latencies: {self.count:,} samples, {self.min:,} to {self.max:,} ns"

    def add(self, values: npt.ArrayLike, *, missed: int = 0, overruns: int = 0) -> None:
        """Count samples, int64 ns, of either sign; and what was missed and overrun by the same jobs.

        Raises BadInput for a value beyond 104 days.
        """
        self.missed += missed
        self.overruns += overruns
        each, times = np.unique(np.asarray(values, dtype="int64"), return_counts=True)
        if not len(each):
            return
        low, high = int(each[0]), int(each[-1])
        if max(-low, high) > _LARGEST:
            raise BadInput("add latencies", "one is longer than 104 days", "they are int64 nanoseconds")
        self.min, self.max = (min(self.min, low), max(self.max, high)) if self.count else (low, high)
        self._sums(each.tolist(), times.tolist())
        negative = each < 0
        self._above = _recorded(self._above, each[~negative], times[~negative])
        self._below = _recorded(self._below, -each[negative][::-1], times[negative][::-1])

    def _sums(self, values: list[int], times: list[int]) -> None:
        """In Python's integers: the squares of 10 million latencies of a second do not fit into 64 bits."""
        self.count += sum(times)
        self._sum += sum(map(mul, values, times))
        self._squares += sum(map(mul, map(mul, values, values), times))

    @property
    def mean(self) -> float:
        """The mean, ns; NaN without samples."""
        return float(Fraction(self._sum, self.count)) if self.count else math.nan

    @property
    def std(self) -> float:
        """The standard deviation of a sample (n - 1), ns; NaN below two samples."""
        if self.count < 2:
            return math.nan
        return math.sqrt(Fraction(self.count * self._squares - self._sum**2, self.count * (self.count - 1)))

    def percentile(self, percent: float | str) -> int:
        """The value that `percent` of the samples are no larger than, by nearest rank, ns.

        Raises BadInput without samples, and where `percent` is not from 0 to 100.
        """
        if not self.count:
            raise BadInput(f"percentile {percent}", "there are no samples")
        return self.percentiles([percent])[0]

    def percentiles(self, percents: Iterable[float | str]) -> list[int]:
        """Several at once, which costs no more than one."""
        spans = self.spans()
        return [min(int(spans.high[spans.at(percent)]) - 1, self.max) for percent in percents]

    def spans(self) -> Spans:
        """The counters that are not empty: each the values from `low` up to `high`."""
        below, above = _counters(self._below), _counters(self._above)
        low, high, count = (part[::-1] for part in below)
        parts = (1 - high, above.low), (1 - low, above.high), (count, above.counts)
        return Spans(*map(np.concatenate, parts))

    def buckets(self, edges: Sequence[int]) -> list[int]:
        """How many samples lie below the first edge, from each edge to the next, and from the last edge on."""
        spans = self.spans()
        where = np.searchsorted(np.asarray(edges, dtype="int64"), spans.low, side="right")
        return [int(count) for count in np.bincount(where, spans.counts, len(edges) + 1)]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: the counters, and the histograms in HDR's own compressed base64, which other tools read."""
        counters = {"count": self.count, "missed": self.missed, "overruns": self.overruns}
        sums = {"min": self.min, "max": self.max, "sum": self._sum, "squares": self._squares}
        return {**counters, **sums, "above": _encoded(self._above), "below": _encoded(self._below)}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Latencies:
        """What to_json() made, checked: a header may have been written by anybody. Raises BadRecording."""
        made = cls()
        with damage_told():
            made._sum, made._squares = _whole(raw["sum"]), _whole(raw["squares"])
            for name in ("count", "missed", "overruns", "min", "max"):
                setattr(made, name, int(np.int64(_whole(raw[name]))))
            made._above, made._below = _decoded(raw["above"]), _decoded(raw["below"])
            made._check()
        return made

    def _check(self) -> None:
        low, high, count = self.spans()
        if self.count != count.sum() or min(self.missed, self.overruns) < 0:
            raise ValueError("its counters and its histogram disagree")
        if self.count and not (low[0] <= self.min < high[0] and low[-1] <= self.max < high[-1]):
            raise ValueError("its smallest or its largest is not its histogram's")
        if self.count and not (self.min <= self.mean <= self.max and self.std >= 0) and self.count > 1:
            raise ValueError("its sums are not those of its samples")


def _library() -> Any:
    """The class that counts. Raises NotSupported."""
    try:
        from hdrh.histogram import HdrHistogram  # 20 ms, and only for long runs
    except ImportError as e:
        hint = "pip install hdrhistogram, which wants a C compiler on this machine"
        raise NotSupported("statistics of a long run", "the package hdrhistogram is not installed", hint) from e
    return HdrHistogram


def _recorded(held: Any, values: Ints, times: Ints) -> Any:
    """The HDR histogram with these ascending values counted too; made for the first: 40 MB, most never touched."""
    if not len(values):
        return held
    held = held or _library()(1, _LARGEST, _DIGITS)
    # One call a counter, not one a value: measured, 1.4 us each.
    start = np.flatnonzero(np.diff(values // _width(values) * _width(values), prepend=-1))
    for value, count in zip(values[start].tolist(), np.add.reduceat(times, start).tolist(), strict=True):
        held.record_value(value, count)
    return held


def _width(values: Ints) -> Ints:
    """How many values share a counter with each of these, none of which is below zero."""
    bits = np.frexp(values.astype("float64"))[1].astype("int64")
    return np.asarray(np.left_shift(np.int64(1), np.maximum(bits - _EXACT_BITS, 0)))


def _counters(held: Any) -> Spans:
    if held is None:
        return Spans(*np.zeros((3, 0), dtype="int64"))
    last = held.get_counts_array_index(held.get_max_value())
    counts = np.frombuffer(held.counts, dtype="uint64", count=last + 1)
    used = np.flatnonzero(counts)
    low = np.array([held.get_value_from_index(i) for i in used.tolist()], dtype="int64")
    return Spans(low, low + _width(low), counts[used].astype("int64"))


def _encoded(held: Any) -> str:
    return str(held.encode().decode("ascii")) if held else ""


def _decoded(text: str) -> Any:
    if not text:
        return None
    library = _library()
    # The library unpacks without a limit: look first how much it would be. Eight bytes of header come before.
    unpacking = zlib.decompressobj()
    unpacking.decompress(b64decode(text, validate=True)[8:], _MOST_BYTES)
    if not unpacking.eof:
        raise ValueError("its histogram is cut off, or too large")
    held = library.decode(text)
    if (held.lowest_trackable_value, held.highest_trackable_value, held.significant_figures) != (1, _LARGEST, _DIGITS):
        raise ValueError("its histogram has other digits, or another range")
    return held


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"one of its counters is {type(value).__name__}")
    return value


@contextlib.contextmanager
def damage_told() -> Iterator[None]:
    """Around what is made of the latencies in a header: a failure is told as BadRecording."""
    try:
        yield
    except NotSupported:
        raise
    except Exception as e:  # the HDR library, zlib and base64 raise what they like
        why = f"they are damaged: {' '.join(str(e).split())[:200] or type(e).__name__}"
        raise BadRecording("the latencies in a recording's header", why, "record it anew with --save") from e

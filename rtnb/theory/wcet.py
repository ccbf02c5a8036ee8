# SPDX-License-Identifier: MIT
"""How long can it take at worst? What a measured maximum proves, and what an extreme-value law adds, if it holds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from rtnb.errors import BadInput, closest
from rtnb.recording import Header, Recording
from rtnb.schema import column, frame, table
from rtnb.text import printable
from rtnb.theory.assumptions import (
    ENOUGH,
    Assumption,
    AssumptionRow,
    continuous,
    enough,
    fits,
    light_tail,
    of_runs,
    tail,
)
from rtnb.theory.extremes import Fitted, Law
from rtnb.theory.options import check_flags
from rtnb.units import in_words

__all__ = ["Estimate", "METHODS", "PWcet", "Parameter", "unseen", "wcet"]

METHODS = ("block maxima", "threshold")
CONFIDENCE = 0.95
_LEAST, _AGAIN = 100, 999

Array = np.ndarray[Any, Any]


def unseen(samples: int, confidence: float = CONFIDENCE) -> float:
    """After so many independent runs, none above the maximum: one run is above it with at most this probability.

    Exactly, 1 - (1 - confidence)^(1/n): were it more, the n runs would have shown it with that confidence. It is below
    3 / n at 95 %, the rule of three. Nothing is said of how far above. Raises BadInput.
    Hanley & Lippman-Hand, "If nothing goes wrong, is everything all right?", JAMA 249(13), 1983.

    >>> round(unseen(1000), 6)
    0.002991
    """
    if type(samples) is not int or samples < 1:
        raise BadInput(f"samples {printable(str(samples))[:40]}", "a whole number from 1 on")
    if not isinstance(confidence, Real) or not 0 < confidence < 1:
        raise BadInput(f"confidence {printable(str(confidence))[:40]}", "it lies between 0 and 1")
    return -math.expm1(math.log1p(-confidence) / samples)


class Parameter(NamedTuple):
    """A parameter of the law, and its interval at nominally 95 %."""

    name: str
    value: float
    low: float
    high: float


class PWcet(NamedTuple):
    """One run is longer than `bound_ns` with the probability `exceedance`; the interval of the bound at nominally 95 %.

    Below 1 / runs a bound is never below the largest that was seen, also where the law ends below it.
    """

    exceedance: float
    bound_ns: float
    low_ns: float
    high_ns: float


@table("theory.pwcet", version=1)
@dataclass(frozen=True)
class PWcetRow:
    """The execution time that one run exceeds with a given probability, by a fitted law."""

    exceedance: float = column("float64", "", "the probability that one run is longer")
    bound_ns: float = column("float64", "ns", "the execution time; below 1 / runs not below the largest seen")
    low_ns: float = column("float64", "ns", "from where, with nominally 95 % confidence, it is")
    high_ns: float = column("float64", "ns", "up to where it is")
    trusted: bool = column("bool", "", "whether no assumption of it was refused")
    caveat: str = column("str", "", "which ones were")


@table("theory.exceedance", version=1)
@dataclass(frozen=True)
class ExceedanceRow:
    """A point of the curve of exceedance: how long a run is with which probability, as seen and as fitted."""

    exceedance: float = column("float64", "", "the probability that one run is longer")
    empirical_ns: float = column("float64", "ns", "what that share of the runs was longer than; NaN beyond 1 / runs")
    fitted_ns: float = column("float64", "ns", "the same by the fitted law; NaN where it does not speak")
    low_ns: float = column("float64", "ns", "from where, with nominally 95 % confidence, it is")
    high_ns: float = column("float64", "ns", "up to where it is")


@dataclass(frozen=True)
class Estimate:
    """What measured execution times say of the worst case: what they prove, and what a fitted law adds.

    `bounds`: a PWcet for each exceedance asked for. `trusted`: no assumption of them was refused, which is no proof
    that they hold: what never happened in the measurement is in no law that is fitted to it.
    """

    samples: int
    dropped: int
    observed: float
    method: str
    law: str
    extremes: int
    """How many maxima or excesses the law was fitted to."""
    block: int | None
    threshold: float | None
    parameters: tuple[Parameter, ...]
    bounds: tuple[PWcet, ...]
    tested: tuple[Assumption, ...]
    points: tuple[tuple[float, ...], ...] = field(repr=False, compare=False)

    @property
    def unseen(self) -> float:
        """One run exceeds the observed maximum with at most this probability, at 95 % confidence."""
        return unseen(self.samples)

    @property
    def failed(self) -> tuple[Assumption, ...]:
        """The assumptions that were refused."""
        return tuple(tested for tested in self.tested if not tested.holds)

    @property
    def trusted(self) -> bool:
        """Whether none was."""
        return not self.failed

    @property
    def proves(self) -> str:
        """What the maximum proves, and what not."""
        return (
            f"{self.samples:,} runs were at most {in_words(self.observed)}: if they are independent and alike, one run "
            f"is longer with a probability below {self.unseen:.3g} (95 % confidence); how much longer, they do not say"
        )

    @property
    def caveat(self) -> str:
        """Why it is not to be trusted; empty where nothing speaks against it."""
        if self.trusted:
            return ""
        shown = [f"{t.assumption} ({t.test}: {_p(t)}; {t.meaning})" for t in self.failed]
        return f"not to be trusted: {'; '.join(shown)}"

    def __str__(self) -> str:
        bounds = ", ".join(
            f"{b.exceedance:.3g} a run: {in_words(b.bound_ns)} "
            f"(nominal 95 %: {in_words(b.low_ns)} to {in_words(b.high_ns)})"
            for b in self.bounds
        )
        what = f"maxima of {self.block} runs" if self.block else f"runs above {in_words(self.threshold or 0)}"
        begin = f"{self.caveat}\nthe law would say" if self.caveat else "pWCET"
        after = "" if self.caveat else "; no assumption was refused"
        said = f"{begin}, exceeded with probability {bounds}; {self.law} of {self.extremes:,} {what}{after}"
        return f"{said}; below 1 / {self.samples:,} it extrapolates\n{self.proves}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from html import escape

        return f"<p>{escape(str(self))}</p>{self.assumptions._repr_html_()}"

    @cached_property
    def recording(self) -> Recording:
        """The tables pwcet, assumptions and exceedance, under a header whose notes are the caveat."""
        tables = {
            "pwcet": _rows(PWcetRow, [(*b, self.trusted, self.caveat) for b in self.bounds]),
            "assumptions": _rows(AssumptionRow, self.tested),
            "exceedance": _rows(ExceedanceRow, self.points),
        }
        details = {"law": self.law, "observed_ns": self.observed, "unseen": self.unseen, "trusted": self.trusted}
        notes = (self.caveat,) if self.caveat else ()
        source = (f"{self.samples:,} execution times",)
        header = Header("wcet", source, f"{self.law}, L-moments", "computed", kernel="", notes=notes, details=details)
        return Recording(header, tables)

    @property
    def frame(self) -> pd.DataFrame:
        """The bounds, a row an exceedance (theory.pwcet)."""
        return self.recording.tables["pwcet"]

    @property
    def assumptions(self) -> pd.DataFrame:
        """The assumptions, a row each (theory.assumptions)."""
        return self.recording.tables["assumptions"]

    @property
    def curve(self) -> pd.DataFrame:
        """Execution time against the probability of exceedance, seen and fitted (theory.exceedance)."""
        return self.recording.tables["exceedance"]


def wcet(
    samples: Any,
    *,
    block: int | None = None,
    exceedance: float | Iterable[float] = 1e-9,
    method: str = "block maxima",
    threshold: float | None = None,
    light: bool = False,
    seed: int = 0,
) -> Estimate:
    """What execution times say of the worst case: a frame with the column execution_ns (rt.jobs), or numbers of ns.

    They must be in the order in which they were measured. The law is fitted to the maxima of blocks of `block` runs
    (GEV), or to what exceeds `threshold` (GPD); without these, to a number that grows with the square root of the
    runs. `light` fixes xi = 0 (Gumbel, exponential), and tests that. Intervals and the test of the fit are by
    parametric bootstrap with `seed`: they hold at 95 % if the extremes have the fitted law, and hold less where that is
    but its limit: of normal times, 83 %. Ties are left as they are.

    Raises BadInput: fewer than 100 runs, all the same, NaN, several tasks at once. Cucu-Grosjean et al.,
    "Measurement-based probabilistic timing analysis for multi-path programs", ECRTS 2012; Davis & Cucu-Grosjean, "A
    survey of probabilistic timing analysis techniques for real-time systems", LITES 6(1), 2019; Coles, "An
    Introduction to Statistical Modeling of Extreme Values", Springer, 2001.

    >>> estimate = wcet(np.random.default_rng(23).gumbel(10_000, 100, 5_000), exceedance=1e-6)
    >>> estimate.trusted, estimate.law, estimate.extremes
    (True, 'GEV', 142)
    """
    x, dropped = _samples(samples)
    check_flags(light=light)
    if not isinstance(seed, Integral) or isinstance(seed, bool) or seed < 0:
        raise BadInput(f"seed {printable(str(seed))[:40]}", "a whole number from 0 on")
    if method not in METHODS:
        hint = closest(str(method), METHODS) or f"one of {', '.join(METHODS)}"
        raise BadInput(f"method {printable(str(method))[:40]}", "there is no such method", hint)
    maxima = method == METHODS[0]
    if (threshold if maxima else block) is not None:
        raise BadInput("wcet", f"{'a threshold' if maxima else 'a block'} means nothing to {method}", "leave it out")
    law = Law(maxima, light)
    if maxima:
        block = _block(len(x), block)
        cut, values, rate = 0.0, x[: len(x) // block * block].reshape(-1, block).max(axis=1), 1 / block
    else:
        cut, values = _excesses(x, threshold)
        rate = len(values) / len(x)
    if len(set(values.tolist())) < 3:
        raise BadInput("wcet", "its extremes have fewer than three values", "a finer clock, or more varied inputs")
    wanted = _wanted(exceedance, rate)
    fitted = law.fit(values)
    again, free, distances = law.again(fitted, len(values), _AGAIN, np.random.default_rng(seed))
    answer = _Answer(law, fitted, again, cut, rate)
    tested = (
        *of_runs(x),
        fits(law, fitted, values, distances),
        enough(len(values), maxima),
        light_tail(law, values, free) if light else tail(fitted),
        continuous(values),
    )
    return Estimate(
        len(x),
        dropped,
        x.max().item(),
        method,
        str(law),
        len(values),
        block,
        None if maxima else cut,
        tuple(_parameters(answer)),
        tuple(_bound(p, answer, x) for p in wanted),
        tested,
        tuple(_points(x, answer, rate, min(wanted))),
    )


def _samples(given: Any) -> tuple[Array, int]:
    """The times in ns, in order, and how many were <NA>."""
    if isinstance(given, pd.DataFrame):
        if "execution_ns" not in given.columns:
            raise BadInput("wcet", "the frame has no column execution_ns", "take the jobs of an rt recording")
        if "task" in given.columns and (names := list(given["task"].unique()))[1:]:
            hint = f"one of them: df[df.task == {str(names[0])!r}]"
            raise BadInput("wcet", f"the frame has jobs of {len(names)} tasks, which are not alike", hint)
        given = given["execution_ns"]
    series = pd.Series(given) if not isinstance(given, pd.Series) else given
    known = series.dropna() if pd.api.types.is_extension_array_dtype(series.dtype) else series
    try:
        if series.dtype == bool:
            raise TypeError
        x = known.to_numpy()
        x = x if x.dtype.kind in "iu" else x.astype("float64")
    except (TypeError, ValueError):
        raise BadInput("wcet", "the samples are no numbers", "execution times in nanoseconds") from None
    return _usable(x), len(series) - len(known)


def _usable(x: Array) -> Array:
    if not np.isfinite(x).all():
        raise BadInput("wcet", f"{np.count_nonzero(~np.isfinite(x))} samples are NaN or infinite", "leave them out")
    if x.size and x.min() < 0:
        raise BadInput("wcet", "an execution time is below zero")
    if len(x) < _LEAST:
        proved = f"; alone, a maximum of {len(x)} proves {unseen(len(x)):.2g} a run" if len(x) else ""
        raise BadInput("wcet", f"{len(x)} samples are not enough for a law{proved}", f"measure at least {_LEAST}")
    if x.min() == x.max():
        why = f"all {len(x):,} samples are {in_words(float(x[0]))}: there is no spread to extend"
        raise BadInput("wcet", why, f"a longer one has a probability below {unseen(len(x)):.2g} (95 % confidence)")
    return x


def _block(n: int, asked: int | None) -> int:
    if asked is None:
        return max(10, math.isqrt(n) // 2)
    if not isinstance(asked, int) or isinstance(asked, bool) or asked < 5 or n // asked < 10:
        hint = f"from 5 to {n // 10}, so that there are ten blocks"
        raise BadInput(f"block {printable(str(asked))[:40]}", f"not a size of block for {n:,} samples", hint)
    return asked


def _excesses(x: Array, threshold: float | None) -> tuple[float, Array]:
    """A threshold, and by how much it was exceeded."""
    if threshold is None:
        count = min(len(x) // 10, max(ENOUGH, 3 * math.isqrt(len(x))))
        threshold = float(np.partition(x, len(x) - count - 1)[len(x) - count - 1])
    if not isinstance(threshold, Real) or not 0 <= threshold < x.max():
        raise BadInput(
            f"threshold {printable(str(threshold))[:40]}", f"no sample is above it; the largest is {x.max()}"
        )
    values = x[x > threshold] - float(threshold)
    if not 10 <= len(values) <= len(x) // 4:
        why = f"{len(values):,} of {len(x):,} samples are above it"
        raise BadInput(f"threshold {threshold}", why, "10 at least, and a quarter at most: a tail")
    return float(threshold), values


def _wanted(exceedance: Any, rate: float) -> list[float]:
    wanted = list(exceedance) if isinstance(exceedance, Iterable) and not isinstance(exceedance, str) else [exceedance]
    for p in wanted or [None]:
        if not isinstance(p, int | float | np.number) or not 1e-18 <= p <= rate:
            why = f"it lies between 1e-18 and {rate:.3g}, above which the samples speak for themselves"
            raise BadInput(f"exceedance {printable(str(p))[:40]}", why, "for example 1e-9")
    return [float(p) for p in wanted]


class _Answer(NamedTuple):
    """The fitted law, and those fitted to what was drawn from it."""

    law: Law
    fitted: Fitted
    again: Fitted
    cut: float
    rate: float

    def at(self, p: Array) -> Array:
        """What one run exceeds with each probability, and from where to where that is: three columns."""
        # A block's maximum stays below x if all its runs do: y = -log((1 - p)^block).
        y = -np.log1p(-p) / self.rate if self.law.maxima else p / self.rate
        low, high = _interval(self.again.value(y[:, None]))
        return self.cut + np.column_stack([self.fitted.value(y), low, high])


def _bound(p: float, answer: _Answer, x: Array) -> PWcet:
    value, low, high = answer.at(np.array([p]))[0].tolist()
    seen = float(x.max()) if p * len(x) < 1 else 0.0
    return PWcet(p, max(value, seen), low, max(high, seen))


def _interval(values: Array) -> Array:
    """Between which two the values are, along the last axis, but for a twentieth."""
    return np.asarray(np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=-1))


def _parameters(answer: _Answer) -> Iterable[Parameter]:
    for name in ("location", "scale", "xi"):
        if (name != "location" or answer.law.maxima) and (name != "xi" or not answer.law.light):
            again = getattr(answer.again, name)
            yield Parameter(name, float(getattr(answer.fitted, name)), *_interval(again).tolist())


def _points(x: Array, answer: _Answer, rate: float, least: float) -> Iterable[tuple[float, ...]]:
    """The curve, evenly over the logarithm of the probability."""
    descending, n = np.sort(x)[::-1], len(x)
    p = np.logspace(0, math.log10(least), 121)[1:]
    seen = np.where(p * n >= 1, descending[np.minimum(p * n, n - 1).astype("int64")], math.nan)
    fitted = np.full((len(p), 3), math.nan)
    fitted[p <= rate] = answer.at(p[p <= rate])
    return map(tuple, np.column_stack([p, seen, fitted]).tolist())


def _p(tested: Assumption) -> str:
    return f"{tested.statistic:.3g}" if math.isnan(tested.p) else f"p = {tested.p:.2g}"


def _rows(row: type, rows: Iterable[tuple[Any, ...]]) -> pd.DataFrame:
    names = list(row.__dataclass_fields__)  # type: ignore[attr-defined]
    return frame(row, dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))

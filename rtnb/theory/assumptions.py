# SPDX-License-Identifier: MIT
"""May an extreme-value law be fitted to these runs? Each assumption that it makes, tested."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rtnb.schema import column, table
from rtnb.theory.extremes import Fitted, Law, anderson_darling

__all__ = [
    "ALPHA",
    "Assumption",
    "AssumptionRow",
    "ENOUGH",
    "HEAVY",
    "continuous",
    "enough",
    "fits",
    "light_tail",
    "of_runs",
    "tail",
]

ALPHA = 0.01
"""An assumption is refused where what was seen is so improbable under it."""
ENOUGH = 30
"""So many maxima, or excesses, a fit wants at least."""
HEAVY = 0.5
"""Of xi: from there on the variance is infinite."""

Array = np.ndarray[Any, Any]


class Assumption(NamedTuple):
    """An assumption of the estimate and how it was tested; `p` is NaN where no probability belongs to it."""

    assumption: str
    test: str
    statistic: float
    p: float
    holds: bool
    meaning: str


@table("theory.assumptions", version=1)
@dataclass(frozen=True)
class AssumptionRow:
    """An assumption of an extreme-value estimate, tested."""

    assumption: str = column("str", "", "what is assumed")
    test: str = column("str", "", "how it was tested")
    statistic: float = column("float64", "", "the test's statistic")
    p: float = column("float64", "", "how probable such a statistic is, if it holds; NaN: no probability belongs to it")
    holds: bool = column("bool", "", "whether it was not refused, at 1 %")
    meaning: str = column("str", "", "what that means for the estimate")


def of_runs(x: Array) -> tuple[Assumption, Assumption]:
    """Are the runs independent of each other, and all alike?"""
    from scipy import stats

    n, lags = len(x), min(20, len(x) // 10)
    # Of normal scores, since a few long runs would else hide what the others do.
    z = stats.norm.ppf(stats.rankdata(x) / (n + 1))
    z = z - z.mean()
    r = np.array([z[k:] @ z[:-k] for k in range(1, lags + 1)]) / (z @ z)
    Q = float(n * (n + 2) * (r**2 / (n - np.arange(1, lags + 1))).sum())
    p = float(stats.chi2.sf(Q, lags))
    told = ("a run tells of those after it: its extremes come together", f"no run tells of the {lags} after it")
    independent = Assumption("independence", "Ljung-Box on ranks", Q, p, p >= ALPHA, told[p >= ALPHA])
    halves = stats.ks_2samp(x[: n // 2], x[n // 2 :], method="asymp")
    D, p = float(halves.statistic), float(halves.pvalue)
    told = ("the first half of the runs is unlike the second", "both halves of the runs are alike")
    return independent, Assumption("identical distribution", "Kolmogorov-Smirnov", D, p, p >= ALPHA, told[p >= ALPHA])


def fits(law: Law, fitted: Fitted, values: Array, distances: Array) -> Assumption:
    """Do the extremes lie as near to the law as samples of it do, whose distances these are?"""
    A = float(anderson_darling(law.below(fitted, values)))
    p = float((1 + np.count_nonzero(distances >= A)) / (1 + len(distances)))
    told = (f"the extremes are not {law}: a mixture of paths, or too small blocks", f"the extremes may be {law}")
    return Assumption("goodness of fit", "Anderson-Darling, bootstrap", A, p, p >= ALPHA, told[p >= ALPHA])


def enough(count: int, maxima: bool) -> Assumption:
    """Are there enough of them for a fit?"""
    what = "blocks" if maxima else "excesses"
    holds = count >= ENOUGH
    return Assumption(f"enough {what}", f"at least {ENOUGH}", count, math.nan, holds, f"there are {count} {what}")


def tail(fitted: Fitted) -> Assumption:
    """Is the variance finite?"""
    xi = float(fitted.xi)
    told = "there is no limit, and runs are of any length" if xi > HEAVY else "the tail is not heavy"
    return Assumption("tail", f"xi at most {HEAVY}", xi, math.nan, xi <= HEAVY, told)


def light_tail(law: Law, values: Array, free: Fitted) -> Assumption:
    """Would a free xi be as near to 0 as it is for samples of the law, whose fits these are?"""
    xi = float(Law(law.maxima, False).fit(values).xi)
    away = np.abs(free.xi - np.median(free.xi)) >= abs(xi - np.median(free.xi))
    p = float((1 + np.count_nonzero(away)) / (1 + len(away)))
    told = (f"fitted, xi would be {xi:.2g}: the tail is another one", f"xi may be 0 (fitted, it would be {xi:.2g})")
    return Assumption("light tail", "xi = 0, bootstrap", xi, p, p >= ALPHA, told[p >= ALPHA])


def continuous(values: Array) -> Assumption:
    """Are they values of a continuum, or does the clock (or the program) know a few only?"""
    share = len(set(values.tolist())) / len(values)
    told = "too many ties: a coarse clock, or few paths; the law is for a continuum" if share < 0.5 else "few ties"
    return Assumption("continuous times", "distinct extremes, at least half", share, math.nan, share >= 0.5, told)

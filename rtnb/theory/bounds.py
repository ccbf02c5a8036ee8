# SPDX-License-Identifier: MIT
"""Does the utilisation alone tell that a set fits? What it must not exceed, and two bounds for rate-monotonic sets.

The bounds are compared exactly: U <= n (2^(1/n) - 1) as (1 + U/n)^n <= 2. A bound shows no instant and no job; where
there is a witness, it is the task that decides.
"""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import Any

from rtnb.errors import BadInput
from rtnb.theory.digits import is_short, sides
from rtnb.theory.exact import Time, fraction
from rtnb.theory.options import check_cpus
from rtnb.theory.response.terms import terms
from rtnb.theory.taskset import TaskSet, of_a_set
from rtnb.theory.verdict import Verdict, Witness

__all__ = ["hyperbolic", "is_below", "liu_layland", "liu_layland_bound", "utilisation"]

_LONGEST = 10**12
"""The hyperperiod, at most, that is told."""


@of_a_set
def utilisation(ts: TaskSet, cpus: int = 1) -> Verdict:
    """U <= the number of CPUs: without it no algorithm meets all deadlines. Necessary. Raises BadInput.

    >>> print(utilisation(TaskSet(C=[2, 3], T=[4, 5])))
    utilisation: U = 11/10 = 1.1 <= 1: fails, not schedulable; every 20 there is work for 22
    """
    check_cpus(cpus)
    passed = cpus >= ts.U
    H = ts.hyperperiod
    known = not passed and H <= _LONGEST
    witness = Witness(f"every {ts.words(H)} there is work for {ts.words(fraction(ts.U * H))}", H) if known else None
    U, _ = _sides(ts.U, cpus)
    return Verdict(ts, "utilisation", "necessary", passed, f"U = {U} <= {cpus}", witness)


def liu_layland_bound(n: int) -> float:
    """n (2^(1/n) - 1): up to this utilisation n rate-monotonic tasks with D = T meet their deadlines. Raises BadInput.

    Liu & Layland, "Scheduling algorithms for multiprogramming in a hard-real-time environment", JACM 20(1), 1973.

    >>> liu_layland_bound(3)
    0.7797631496846193
    """
    if type(n) is not int or n < 1:
        raise BadInput(f"{n} tasks", "a whole number from 1 on")
    return n * math.expm1(math.log(2) / n)


@of_a_set
def liu_layland(ts: TaskSet, blocking: Any = None) -> Verdict:
    """U <= n (2^(1/n) - 1), for rate-monotonic tasks. Sufficient.

    With `blocking` (a protocol of rtnb.theory.blocking, or a time for each task in list order), for each task i of
    the n: the utilisation of it and those above, and B_i / T_i, <= i (2^(1/i) - 1): Sha, Rajkumar & Lehoczky,
    "Priority inheritance protocols", IEEE Transactions on Computers 39(9), 1990, theorem 16.

    The bound presumes rate-monotonic priorities, no jitter, and D = T (a later deadline does no harm). Raises
    BadInput for another set, of which it says nothing, and where tasks share resources and there is no `blocking`.

    >>> print(liu_layland(TaskSet(C=[3, 3, 5], T=[7, 12, 20])))
    Liu-Layland: U = 13/14 = 0.9286 <= 0.7798 = 3 (2^(1/3) - 1): fails, cannot tell
    >>> liu_layland(TaskSet(C=[5, 10, 20], T=[30, 60, 100]), blocking=[8, 6, 0]).inequality
    'U + B/T: t1 13/30 = 0.4333 <= 1, t2 13/30 = 0.4333 <= 0.8284, t3 8/15 = 0.5333 <= 0.7798'
    """
    _check_rate_monotonic(ts, "liu_layland")
    if blocking is not None:
        return _blocked(ts, blocking)
    ts.check_independent("liu_layland")
    n = len(ts)
    U, bound = _sides(ts.U, _bound(n))
    told = f"U = {U} <= {bound}" + (f" = {n} (2^(1/{n}) - 1)" if n > 1 else "")
    return Verdict(ts, "Liu-Layland", "sufficient", is_below(ts.U, n), told)


@of_a_set
def hyperbolic(ts: TaskSet) -> Verdict:
    """The product of all 1 + C/T <= 2, for rate-monotonic tasks: it accepts what Liu and Layland's bound does, and
    more. Sufficient.

    It presumes rate-monotonic priorities, no jitter, D = T or later, and nothing shared. Raises BadInput for another.
    Bini, Buttazzo & Buttazzo, "Rate monotonic analysis: the hyperbolic bound", IEEE Transactions on Computers 52(7),
    2003.

    >>> print(hyperbolic(TaskSet(C=[2, 2, 2], T=[6, 8, 12])))
    hyperbolic: product of 1 + C/T = 35/18 = 1.944 <= 2: holds, schedulable
    """
    _check_rate_monotonic(ts, "hyperbolic")
    ts.check_independent("hyperbolic")
    product = math.prod(1 + task.U for task in ts)
    told = f"product of 1 + C/T = {_sides(product, 2)[0]} <= 2"
    return Verdict(ts, "hyperbolic", "sufficient", product <= 2, told)


def is_below(U: Fraction, n: int, most: Time = 2) -> bool:
    """Is (1 + U/n)^n <= most, so that U <= n (most^(1/n) - 1)? Exactly; floats tell wherever they can, as the power
    has a great many digits.

    >>> is_below(Fraction(4, 5), 2), is_below(Fraction(5, 6), 2)
    (True, False)
    """
    beyond = n * math.log1p(U / n) - math.log(most)
    return beyond < 0 if abs(beyond) > 1e-9 else (1 + U / n) ** n <= most


def _check_rate_monotonic(ts: TaskSet, tried: str) -> None:
    """The order is rate monotonic, and what the bound does not know of is not there. Raises BadInput."""
    for task in ts:
        if task.D < task.T:
            why = f"it presumes D = T, and {task.name} has D {ts.words(task.D)} < T {ts.words(task.T)}"
            raise BadInput(tried, why, "response_times(ts) is exact for any deadline")
        if task.jitter:
            raise BadInput(tried, f"it knows no jitter, and {task.name} has some", "response_times(ts) knows it")
    for above, below in pairwise(ts[at] for at in ts.order):
        if above.T > below.T:
            why = f"it presumes rate-monotonic priorities, and {above.name} is above {below.name}, whose T is less"
            raise BadInput(tried, why, "rate_monotonic(ts) has them; response_times(ts) is exact for any order")


def _blocked(ts: TaskSet, blocking: Any) -> Verdict:
    B = terms(ts, blocking)
    sums = list(accumulate(ts[at].U for at in ts.order))
    told, failed, tightest = [], "", (2.0, "")
    for n, (at, U) in enumerate(zip(ts.order, sums, strict=True), 1):
        name, term = ts[at].name, B[at]
        if term is None:
            told.append(f"{name} unbounded > {_sides(U, _bound(n))[1]}")
            failed = failed or name
            continue
        total = U + Fraction(term) / ts[at].T
        passed, (left, right) = is_below(total, n), _sides(total, _bound(n))
        told.append(f"{name} {left} {'<=' if passed else '>'} {right}")
        failed = failed or ("" if passed else name)
        tightest = min(tightest, (liu_layland_bound(n) - float(total), name))
    words = f"{failed} is the first that is above its bound" if failed else f"{tightest[1]} is the closest to its bound"
    witness = Witness(words, task=failed or tightest[1])
    return Verdict(ts, "Liu-Layland", "sufficient", not failed, f"U + B/T: {', '.join(told)}", witness)


def _bound(n: int) -> Time:
    """The bound for n tasks, to fifty digits."""
    with localcontext(prec=50):
        return fraction(Fraction(n * (Decimal(2) ** (1 / Decimal(n)) - 1)))


def _sides(x: Time, y: Time) -> tuple[str, str]:
    """A fraction and its decimals, those alone where it is long; and what it is compared with."""
    left, right = sides(x, y, digits=4, decimal=True)
    return f"{x} = {left}" if is_short(x) and x.denominator > 1 else left, right

# SPDX-License-Identifier: MIT
"""Where do random task sets come from? Utilisations with a given sum, all such vectors equally likely; periods.

The same seed gives the same set: only random.Random.random() is drawn, whose sequence Python promises to keep.
"""

from __future__ import annotations

import math
from functools import lru_cache
from numbers import Real
from random import Random
from typing import Any

from rtnb.errors import BadInput, closest
from rtnb.theory.exact import Time, exact, fraction
from rtnb.theory.task import Task
from rtnb.theory.taskset import TaskSet
from rtnb.units import NS

__all__ = ["DEADLINES", "METHODS", "generate", "log_uniform_periods", "randfixedsum", "uunifast", "uunifast_discard"]

METHODS = ("uunifast", "uunifast-discard", "randfixedsum")
DEADLINES = ("implicit", "constrained")
ROUNDINGS = ("nearest", "down")
_ATTEMPTS = 10_000
_MOST_TASKS = 10_000
_MOST_SUMMED = 400


def uunifast(n: int, U: float, rng: Random) -> list[float]:
    """n utilisations above 0 whose sum is U, uniform over all such; one may be above 1 where U is.

    Raises BadInput. Bini & Buttazzo, "Measuring the performance of schedulability tests", Real-Time Systems 30, 2005.

    >>> [round(u, 3) for u in uunifast(3, 0.9, Random(1))]
    [0.57, 0.05, 0.28]
    """
    _check(n, U, n, "uunifast", rng=rng)
    found, left = [], float(U)
    for after in range(n - 1, 0, -1):
        rest = left * rng.random() ** (1 / after)
        found.append(left - rest)
        left = rest
    return [*found, left]


def uunifast_discard(n: int, U: float, rng: Random, limit: float = 1) -> list[float]:
    """UUniFast, again and again until none is above the limit.

    Raises BadInput where U is above n * limit, and after 10,000 attempts. Davis & Burns, "Priority assignment for
    global fixed priority pre-emptive scheduling in multiprocessor real-time systems", RTSS 2009.

    >>> max(uunifast_discard(4, 2.5, Random(1))) <= 1
    True
    """
    _check(n, U, n * limit, "uunifast_discard")
    for _ in range(_ATTEMPTS):
        found = uunifast(n, U, rng)
        if max(found) <= limit:
            return found
    why = f"{_ATTEMPTS:,} sets, and in each a task above {limit}"
    raise BadInput(f"uunifast_discard({n}, {U})", why, "randfixedsum draws such sets at once")


def randfixedsum(n: int, U: float, rng: Random, low: float = 0, high: float = 1) -> list[float]:
    """n utilisations from low to high whose sum is U, uniform over all such, at once.

    Raises BadInput where n * low <= U <= n * high does not hold. Stafford, "Random vectors with fixed sum", 2006;
    Emberson, Stafford & Davis, "Techniques for the synthesis of multiprocessor tasksets", WATERS 2010.

    >>> [round(u, 3) for u in randfixedsum(4, 2.5, Random(1))]
    [0.268, 0.98, 0.572, 0.68]
    """
    if not all(isinstance(bound, Real) and math.isfinite(bound) for bound in (low, high)) or not 0 <= low < high:
        raise BadInput("randfixedsum", f"low {low}, high {high}", "0 <= low < high, numbers")
    _check(n, U, n * high, "randfixedsum", n * low, rng=rng)
    if n > _MOST_SUMMED:
        raise BadInput(f"randfixedsum({n}, {U})", f"it is for at most {_MOST_SUMMED} tasks", "uunifast takes more")
    left = float(U - n * low) / (high - low)
    place = min(int(left), n - 1)
    likely = _likely(n, left, place)
    total, product, found = 0.0, 1.0, []
    for size in range(n - 1, 0, -1):
        above = rng.random() < likely[size - 1][place]
        share = rng.random() ** (1 / size)
        total += (1 - share) * product * left / (size + 1)
        product *= share
        found.append(total + product * above)
        left -= above
        place -= above
    found.append(total + product * left)
    _shuffle(found, rng)
    return [low + (high - low) * min(max(value, 0.0), 1.0) for value in found]


@lru_cache(maxsize=32)
def _likely(n: int, left: float, first: int) -> list[list[float]]:
    """Row i - 1, place j: how likely the next value is of the upper kind, with i more to come, in the j-th simplex.

    The slice of a cube where the sum is fixed is cut into simplexes, whose volumes follow from those one dimension
    below. Only those that can be come upon are computed, each row on a scale of its own, so that none is lost.
    """
    volume, rows = [0.0, 1.0] + [0.0] * (n - 1), []
    for size in range(2, n + 1):
        new, row = [0.0] * (n + 1), [0.0] * size
        for j in range(max(0, first - n + size), min(first, size - 1) + 1):
            up, down = left - first + j, first + size - j - left
            lower, upper = volume[j + 1] * up / size, volume[j] * down / size
            new[j + 1] = lower + upper
            row[j] = upper / new[j + 1] if new[j + 1] else float(down <= up)
        rows.append(row)
        largest = max(new) or 1.0
        volume = [value / largest for value in new]
    return rows


def log_uniform_periods(n: int, low: Any, high: Any, rng: Random, granularity: Any = 1) -> list[Time]:
    """n periods from low to high, multiples of the granularity; from 10 to 100 as many as from 100 to 1000.

    log T is uniform from log low to log (high + granularity), and T then rounded down to the granularity.
    Raises BadInput. Emberson, Stafford & Davis, WATERS 2010.

    >>> log_uniform_periods(4, 10, 1000, Random(1))
    [18, 495, 337, 32]
    """
    if type(n) is not int or not 1 <= n <= _MOST_TASKS:
        raise BadInput(f"periods, n = {n}", f"a whole number from 1 to {_MOST_TASKS:,}")
    given = {"low": low, "high": high, "granularity": granularity}
    times = {what: exact(value, what) for what, value in given.items()}
    if len({unit for _, unit in times.values()}) > 1:
        raise BadInput(f"periods {low} to {high} by {granularity}", "some have a unit, and others none")
    least, most, step = (times[what][0] for what in given)
    if not (step and least):
        raise BadInput(f"periods {low} to {high} by {granularity}", "they must be above zero")
    first, last = -(-least // step), most // step
    if first > last:
        raise BadInput(f"periods {low} to {high}", f"no multiple of {granularity} is there")
    begin, size = math.log(first), math.log((last + 1) / first)
    found = (int(math.exp(begin + size * rng.random())) for _ in range(n))
    return [fraction(min(max(count, first), last) * step) for count in found]


def generate(
    n: int,
    U: float,
    *,
    seed: int | str,
    periods: tuple[Any, Any] = (10, 1000),
    method: str = "uunifast",
    deadlines: str = "implicit",
    granularity: Any = None,
    unit: str = "",
    limit: float = 1,
    rounding: str = "nearest",
) -> TaskSet:
    """A random set of n tasks t1, t2, ... of utilisation U, nearly, with whole times; the same for the same seed.

    method: uunifast, uunifast-discard or randfixedsum (the last two: no task above `limit`). Periods are log-uniform,
    multiples of the granularity (1, in the unit; 1 ns for periods like "10ms"). deadlines: implicit (D = T) or
    constrained (D uniform from C to T). The list, and so the priorities, are in the order drawn.

    C is u T rounded to a whole number (rounding: nearest, halves to even; or down), and at least 1; so the real
    utilisation, the set's own `U`, is off by up to 1 / (2 T) a task, or more where u T is below 1/2: with short periods
    and many tasks it lies above. Long periods make that small; and so does a unit, with which C is whole nanoseconds.
    Raises BadInput.

    >>> print(generate(3, 0.8, seed=1))
    t1 (4, 17), t2 (273, 517), t3 (1, 38)
    """
    choices = ((method, METHODS, "method"), (deadlines, DEADLINES, "deadlines"), (rounding, ROUNDINGS, "rounding"))
    for given, known, what in choices:
        if given not in known:
            raise BadInput(f"{what} {given!r}", "not known", closest(str(given), known) or f"one of {', '.join(known)}")
    if type(seed) not in (int, str):
        raise BadInput(f"seed {seed!r}", "a seed is a whole number or text")
    rng = Random(f"{seed}")
    low, high, step, named = _periods(periods, granularity, unit)
    shares = _shares(n, U, rng, method, limit)
    tasks = []
    for number, (u, T) in enumerate(zip(shares, log_uniform_periods(n, low, high, rng, step), strict=True), 1):
        C = max(1, round(u * int(T)) if rounding == "nearest" else int(u * int(T)))
        D = C + int(rng.random() * (T - C + 1)) if deadlines == "constrained" and C < T else T
        tasks.append(Task(f"t{number}", C, T, D, priority=number))
    return TaskSet._of(tasks, named)


def _shares(n: int, U: float, rng: Random, method: str, limit: float) -> list[float]:
    if method == "uunifast":
        return uunifast(n, U, rng)
    if method == "uunifast-discard":
        return uunifast_discard(n, U, rng, limit)
    return randfixedsum(n, U, rng, high=limit)


def _periods(periods: tuple[Any, Any], granularity: Any, unit: str) -> tuple[Time, Time, Time, str]:
    """The two bounds and the granularity, whole numbers, and the unit of the set."""
    if unit and unit not in NS:
        raise BadInput(f"unit {unit}", "not a unit of time", f"one of {', '.join(NS)}")
    if not isinstance(periods, tuple | list) or len(periods) != 2:
        raise BadInput(f"periods {periods}", "a pair, the shortest and the longest", "periods=(10, 1000)")
    (low, a), (high, b) = (exact(time, "periods", unit) for time in periods)
    step, c = (1 if not unit else NS[unit], a) if granularity is None else exact(granularity, "granularity", unit)
    if len({a, b, c}) > 1:
        raise BadInput(f"periods {periods}, granularity {granularity}", "some have a unit, and others none")
    if any(time.denominator != 1 for time in (low, high, step)):
        raise BadInput(f"periods {periods}, granularity {granularity}", "a generated set has whole times")
    return low, high, step, a


def _check(n: Any, U: Any, most: float, name: str, least: float = 0, rng: Any = None) -> None:
    tried = f"{name}({n}, {U})"
    if not isinstance(rng, Random | None):
        raise BadInput(f"{name}, rng {rng}", "it is no generator of random numbers", "random.Random(1)")
    if type(n) is not int or not 1 <= n <= _MOST_TASKS:
        raise BadInput(tried, f"n is a whole number from 1 to {_MOST_TASKS:,}")
    try:
        fits = U > 0 and least <= U <= most
    except TypeError:
        fits = False
    if not fits:
        raise BadInput(tried, f"U is above 0, and from {least:g} to {most:g} for {n} tasks")


def _shuffle(values: list[float], rng: Random) -> None:
    """In place. Not rng.shuffle(): what that draws is not promised to stay."""
    for last in range(len(values) - 1, 0, -1):
        other = int(rng.random() * (last + 1))
        values[last], values[other] = values[other], values[last]

# SPDX-License-Identifier: MIT
"""How long does one task take, at worst, below those above it? The busy period of its level, job by job, in ticks.

Time 0 is the critical instant: every task above is released with all the jitter it has, and what blocks has just begun.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import accumulate
from math import lcm
from operator import truediv
from typing import NamedTuple

from rtnb.errors import BadInput

__all__ = ["MOST", "Level", "Worst", "first_miss", "in_time", "jobs", "loads", "meets", "steps", "worst"]

MOST = 10_000_000
"""The terms of the recurrence that are added up for a task, at most: half a second."""
_COST = 10
"""A step costs as much as so many terms, beside those that it adds up."""


class Level(NamedTuple):
    """A task in ticks, and those above it. `load`: whether the utilisation of them all is below (-1), at or above 1."""

    name: str
    C: int
    T: int
    D: int
    J: int
    B: int | None
    above: list[tuple[int, int, int]]
    """C, T and jitter of each."""
    load: int
    preemptive: bool = True
    late: bool = True
    """Whether any of those above has jitter."""


class Worst(NamedTuple):
    """The largest response time (None: unbounded, or too far off), jitter included, of which job, which is done at
    `end`; and the first job that misses its deadline, with its deadline and its end, if known.
    """

    R: int | None
    job: int = 1
    end: int = 0
    missed: tuple[int, int, int | None] | None = None
    first: int = 0
    """When the first job is done."""
    left: int = 0
    """What is left of the terms that could be added up."""


def loads(C: list[int], T: list[int]) -> list[int]:
    """Of each first n tasks: is the sum of C / T below 1 (-1), 1 (0), or above (1)? Exactly."""
    near = accumulate(map(truediv, C, T))
    return [_load(C[:n], T[:n]) if abs(U - 1) < 1e-6 else -1 if U < 1 else 1 for n, U in enumerate(near, 1)]


def _load(C: list[int], T: list[int]) -> int:
    """Where a float does not tell."""
    U = sum(map(Fraction, C, T))
    return (U > 1) - (U < 1)


def worst(level: Level, start: int = 0, left: int = MOST) -> Worst:
    """The longest response of the jobs of the busy period. The first one's wait lasts to `start` at least.

    Raises BadInput where the busy period is too long to look at: for more than `left` terms.
    """
    if level.B is None:
        return Worst(None, missed=(1, level.D - level.J, None), left=left)
    if level.load > 0:
        return Worst(None, missed=first_miss(level))
    if level.preemptive:
        first, left = _least(level, level.B + level.C, max(start, level.B + level.C), left)
        R = first + level.J
        if R <= level.T:  # as nearly always: the second job finds nothing of the first one's busy period
            return Worst(R, 1, first, (1, level.D - level.J, first) if R > level.D else None, first, left)
        start = first
    R, worst_job, end, first = -1, 1, 0, 0
    missed = None
    try:
        for job, done, rest in jobs(level, start, left):
            first, left = first or done, rest
            took = done + level.J - (job - 1) * level.T
            if took > R:
                R, worst_job, end = took, job, done
            if took > level.D and missed is None:
                missed = job, done - took + level.D, done
    except BadInput:
        if missed is None:  # else a miss is known, if not the largest response time
            raise
        return Worst(None, missed=missed, first=first)
    return Worst(R, worst_job, end, missed, first, left)


def meets(level: Level) -> bool:
    """Does every job meet its deadline? Raises BadInput where that is too long to look at."""
    return in_time(level, MOST)[0] is not None


def in_time(level: Level, left: int) -> tuple[int | None, int]:
    """The longest response, if it is at most D; and what is left of so many terms.

    Of a task that is preempted, with D <= T, the first job tells: no more is looked at than its deadline. Raises
    BadInput where it does not do with these terms.
    """
    if level.D > level.T or not level.preemptive:
        found = worst(level, left=left)
        return found.R if found.R is not None and found.R <= level.D else None, found.left
    if level.B is None or level.load > 0:
        return None, left
    w, due, cost = level.B + level.C, level.D - level.J, len(level.above) + _COST
    while w <= due:
        if left <= 0:
            raise _too_long(level)
        found_at, left = _demand(level, level.B + level.C, w), left - cost
        if found_at == w:
            return w + level.J, left
        w = found_at
    return None, left


def jobs(level: Level, start: int = 0, left: int = MOST) -> Iterator[tuple[int, int, int]]:
    """The jobs of the busy period of a level whose load is at most 1, each with the instant when it is done, and what
    is then left of so many terms.

    Without preemption the period may go on after a job's end, when another waits (Davis et al. 2007). At a load of 1
    it may never end; all is then the same a hyperperiod later.
    """
    (most, left), after = _jobs_at_most(level, left), _after(level)
    base = (level.B or 0) + level.C - after
    wait = _waiting(level)
    w, job = max(base, start), 1
    while True:
        w, left = _least(wait, base, w, left)
        yield job, w + after, left
        if job == most or (level.preemptive and w + level.J <= job * level.T):
            return
        job, base, w = job + 1, base + level.C, w + level.C


def _after(level: Level) -> int:
    """What a job still has to do when it can no longer be kept waiting."""
    return 0 if level.preemptive else level.C


def _waiting(level: Level) -> Level:
    """The level, for how long a job of it waits. One that cannot be preempted waits also for what is released at the
    very instant when it would start; where something blocks, a little before, that instant is past what counts.
    """
    if level.preemptive or level.B:
        return level
    return level._replace(above=[(C, T, J + 1) for C, T, J in level.above], late=True)


def _jobs_at_most(level: Level, left: int) -> tuple[int, int]:
    """After how many jobs the busy period is over, or all is as it was before; -1: the jobs themselves will tell."""
    if level.load == 0:
        return lcm(level.T, *(T for _, T, _ in level.above)) // level.T, left
    if level.preemptive:
        return -1, left
    every = level._replace(above=[*level.above, (level.C, level.T, level.J)], late=True)
    end, left = _least(every, level.B or 0, (level.B or 0) + level.C, left)
    return -(-(end + level.J) // level.T), left


def _demand(level: Level, base: int, w: int) -> int:
    """The work before w: `base`, and that of the jobs of those above."""
    for C, T, J in level.above:
        base -= (-w - J) // T * C
    return base


def _least(level: Level, base: int, w: int, left: int) -> tuple[int, int]:
    """The first w, from a lower bound of it on, at which all the work before w is done; and what is left of `left`."""
    above, cost = level.above, len(level.above) + _COST
    if level.late:
        while left > 0:
            found = base
            for C, T, J in above:
                found -= (-w - J) // T * C
            if found == w:
                return w, left - cost
            w, left = found, left - cost
    while left > 0:
        found, ago = base, -w
        for C, T, _ in above:
            found -= ago // T * C
        if found == w:
            return w, left - cost
        w, left = found, left - cost
    raise _too_long(level)


def _too_long(level: Level) -> BadInput:
    why = f"its busy period is not over after {MOST:,} terms: the tasks leave almost nothing of the CPU"
    return BadInput(f"response time of {level.name}", why, "take coarser times, or less C")


def first_miss(level: Level) -> tuple[int, int, None] | None:
    """Of a level that asks for more than there is: the first job that misses, and its deadline. None: too far off."""
    for job, due, _, found in _overloaded(level):
        if found > due:
            return job, due + _after(level), None
    return None


def _overloaded(level: Level) -> Iterator[tuple[int, int, int, int]]:
    """The steps up to the first miss: the job, by when its wait is to be over, the length tried, the work found."""
    level = _waiting(level)
    base = w = (level.B or 0) + level.C - _after(level)
    job, due = 1, level.D - level.J - _after(level)
    for _ in range(MOST // 2 // (len(level.above) + _COST)):
        found = _demand(level, base, w)
        yield job, due, w, found
        if found > due:
            return
        if found == w:
            job, due, base, found = job + 1, due + level.T, base + level.C, w + level.C
        w = found


def steps(level: Level) -> Iterator[tuple[int, int, int]]:
    """What the recurrence does: the job, the length that was tried, and the work found there. A job's last two agree.

    The first begins at C + B, the next ones where the one before was done, plus C. Without preemption a length is
    that of the wait, after which there is C to do.
    """
    if level.B is None:
        return
    if level.load > 0:
        yield from ((job, w, found) for job, _, w, found in _overloaded(level))
        return
    wait, after = _waiting(level), _after(level)
    base = w = level.B + level.C - after
    for job, done, _ in jobs(level):
        found = -1
        while found != w:
            w = found if found >= 0 else w
            found = _demand(wait, base, w)
            yield job, w, found
        base, w = base + level.C, done - after + level.C

# SPDX-License-Identifier: MIT
"""How long does a task take, at worst, where every offset is known? Each job of it is put where those above leave room.

No event is simulated: a task's jobs, one after the other, take the first free time from their arrival on, and what
they leave is what is free for the task below.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import lcm

from rtnb.errors import BadInput
from rtnb.theory.response.level import Level, Worst

__all__ = ["finishes", "window", "worst_at_offsets"]

MOST_JOBS = 1_000_000


def worst_at_offsets(levels: list[Level], offsets: list[int], bounds: list[int | None]) -> list[Worst]:
    """Of each level, highest first, with its offset and its response time at the worst phasing: that at these offsets.

    Two hyperperiods after the last offset all jobs have been seen that there are (Leung & Merrill 1980).
    Raises BadInput where these are too many.
    """
    fit = [level for level in levels if level.load <= 0]
    found = []
    if fit:
        # A job that arrives in the window is done no later than its bound for any phasing after it.
        end = max(window(fit, offsets, at) for at in range(len(fit))) + max(bound or 0 for bound in bounds)
        for at, done in enumerate(finishes(fit, offsets, end)):
            found.append(_worst(fit[at], offsets[at], done, window(fit, offsets, at)))
    for at in range(len(fit), len(levels)):
        missed = _first_miss(levels[: at + 1], offsets) if at == len(fit) else None
        found.append(Worst(None, missed=missed))
    return found


def finishes(levels: list[Level], offsets: list[int], end: int) -> Iterator[list[int]]:
    """Of each level, highest first, when its jobs are done, the first job first; those that are before `end`."""
    if sum(max(0, end - offset) // level.T for level, offset in zip(levels, offsets, strict=False)) > MOST_JOBS:
        why = f"there are more than {MOST_JOBS} jobs in two hyperperiods"
        raise BadInput("response times at these offsets", why, "leave offsets=True out: the bound for any phasing")
    free = [(0, end)]
    for level, offset in zip(levels, offsets, strict=False):
        done, free = _fit(free, offset, level)
        yield done


def _fit(free: list[tuple[int, int]], arrival: int, level: Level) -> tuple[list[int], list[tuple[int, int]]]:
    """Put the jobs into the free time: when each is done, and what is still free."""
    done, left, need = [], [], level.C
    for begin, end in free:
        while begin < end and arrival < end:
            if arrival > begin:
                left.append((begin, arrival))
                begin = arrival
            ran = min(need, end - begin)
            begin, need = begin + ran, need - ran
            if not need:
                done.append(begin)
                arrival, need = arrival + level.T, level.C
        if begin < end:
            left.append((begin, end))
    return done, left


def window(levels: list[Level], offsets: list[int], at: int) -> int:
    """Before when the jobs of a level arrive after which nothing new comes."""
    return max(offsets[: at + 1]) + 2 * lcm(*(level.T for level in levels[: at + 1]))


def _worst(level: Level, offset: int, done: list[int], before: int) -> Worst:
    R, worst_job, end = -1, 1, 0
    missed = None
    for job, (arrival, finish) in enumerate(zip(range(offset, before, level.T), done, strict=False), 1):
        took = finish - arrival
        if took > R:
            R, worst_job, end = took, job, finish
        if took > level.D and missed is None:
            missed = job, arrival + level.D, finish
    return Worst(R, worst_job, end, missed)


def _first_miss(levels: list[Level], offsets: list[int]) -> tuple[int, int, None] | None:
    """The first job of the last level, whose load is above 1, that misses, and its deadline. None: too far off."""
    level, offset = levels[-1], offsets[-1]
    end = max(offsets) + 4 * max(level.T for level in levels) + level.D
    while True:
        try:
            *_, done = finishes(levels, offsets, end)
        except BadInput:
            return None
        for job, due in enumerate(range(offset + level.D, end, level.T)):
            if job >= len(done) or done[job] > due:
                return job + 1, due, None
        end *= 2

# SPDX-License-Identifier: MIT
"""The same, lean: one CPU, keys that never change, nothing shared. Then the whole schedule is one heap of numbers."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

import numpy as np

from rtnb.theory.simulation.plan import Plan
from rtnb.theory.simulation.trace import PREEMPTED, RUN, Jobs, Segments, Trace

__all__ = ["fast", "is_lean"]

_PART = 200_000  # jobs between two calls of progress


def is_lean(made: Plan) -> bool:
    """Does the lean loop do for a plan? It makes the schedule that the general one makes."""
    shares = any(task.sections for task in made.taskset)
    fixed = made.policy.order is not None or made.policy.by_deadline
    plain = made.preemptive and made.late == "continue"
    return made.cpus == 1 and fixed and plain and not made.servers and not shares


def fast(made: Plan, progress: Callable[[float], None] | None = None) -> Trace:
    """The schedule of a lean plan, job for job as the general engine makes it."""
    order = _by_key(made)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    ran, begin, end, finish = _loop(made, place, order, progress)
    return _trace(made, order[ran], begin, end, finish[place])


def _by_key(made: Plan) -> np.ndarray[Any, Any]:
    """The jobs in order of their keys: which of two runs first is which stands first here."""
    if made.policy.order is None:
        return np.lexsort((made.jobs["lane"], made.jobs["deadline"]))
    first = made.policy.order(made.taskset)
    rank = np.argsort(np.array(first))
    return np.lexsort((made.jobs["number"], rank[made.jobs["lane"]]))


def _loop(
    made: Plan, place: np.ndarray[Any, Any], order: np.ndarray[Any, Any], progress: Callable[[float], None] | None
) -> tuple[np.ndarray[Any, Any], ...]:
    """From release to release: who ran (by place), from when to when, and when each place was done (-1: it was not).

    One loop, since a call a job would double its time.
    """
    n, until = len(place), made.until
    remaining: list[int] = made.jobs["execution"][order].tolist()
    finish = [-1] * n
    ran: list[int] = []
    begins: list[int] = []
    ends: list[int] = []
    heap: list[int] = []
    push, pop, note, note_begin, note_end = heapq.heappush, heapq.heappop, ran.append, begins.append, ends.append
    now = since = 0
    current = -1  # who runs, since when
    releases = made.jobs["release"].tolist()
    releases.append(until)
    places = place.tolist()
    places.append(n)  # no job: it marks the end
    for at, (release, job) in enumerate(zip(releases, places, strict=True)):
        if release > until:
            release = until
        while heap and now < release:
            top = heap[0]
            if top != current:
                if current >= 0:
                    note(current), note_begin(since), note_end(now)
                current, since = top, now
            left = remaining[top]
            if now + left <= release:
                now += left
                finish[top] = now
                pop(heap)
                note(top), note_begin(since), note_end(now)
                current = -1
            else:
                remaining[top] = left - (release - now)
                now = release
        now = release
        push(heap, job)
        if progress and at % _PART == 0:
            progress(now / until)
    if current >= 0:
        note(current), note_begin(since), note_end(until)
    return tuple(np.array(numbers, dtype="int64") for numbers in (ran, begins, ends, finish))


def _trace(
    made: Plan,
    ran: np.ndarray[Any, Any],
    begin: np.ndarray[Any, Any],
    end: np.ndarray[Any, Any],
    finish: np.ndarray[Any, Any],
) -> Trace:
    n = len(finish)
    start = np.full(n, -1)
    start[ran[::-1]] = begin[::-1]
    off = np.bincount(ran, minlength=n)  # how often it left the CPU; its end, and the schedule's, are no preemption
    off[ran[end == made.until]] -= 1
    off[(finish >= 0) & (finish < made.until)] -= 1
    jobs = Jobs(**made.jobs, start=start, finish=finish, preemptions=off, migrations=np.zeros(n), fate=np.zeros(n))
    names = [task.name for task in made.taskset]
    zero = np.zeros(len(ran), dtype="int64")
    runs = Segments(ran, zero + RUN, begin, end, zero, zero, zero)
    return Trace(names, jobs, words=["", *names], make=lambda: _segments(made, jobs, ran, begin, end), runs=runs)


def _segments(
    made: Plan, jobs: Jobs, ran: np.ndarray[Any, Any], begin: np.ndarray[Any, Any], end: np.ndarray[Any, Any]
) -> Segments:
    """Who ran, and who waited meanwhile: each job, once it is the first of its task, for each stretch of the others."""
    released = np.flatnonzero(jobs.release < made.until)
    left = np.where(jobs.finish < 0, made.until, jobs.finish)
    order = released[np.lexsort((jobs.number[released], jobs.lane[released]))]
    same = jobs.lane[order[1:]] == jobs.lane[order[:-1]]
    first = jobs.release.copy()
    first[order[1:][same]] = np.maximum(first[order[1:][same]], left[order[:-1][same]])
    behind = released[first[released] > jobs.release[released]]
    low = np.searchsorted(end, first[released], side="right")
    high = np.maximum(np.searchsorted(begin, left[released], side="left"), low)
    many = high - low
    job = np.repeat(released, many)
    piece = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many) + np.repeat(low, many)
    own = ran[piece] == job
    by = np.where(own, 0, jobs.lane[ran[piece]] + 1)
    opens = np.ones(len(job), dtype=bool)  # two stretches in which the same task ran are one
    opens[1:] = (job[1:] != job[:-1]) | (by[1:] != by[:-1])
    heads = np.flatnonzero(opens)
    tails = np.append(heads[1:], len(job)) - 1 if len(heads) else heads
    begins = np.maximum(begin[piece[heads]], first[job[heads]])
    ends = np.minimum(end[piece[tails]], left[job[heads]])
    runs = by[heads] == 0
    columns = (
        (job[heads], behind),
        (np.where(runs, RUN, PREEMPTED), np.full(len(behind), PREEMPTED)),
        (begins, jobs.release[behind]),
        (ends, first[behind]),
        (np.where(runs, 0, -1), np.full(len(behind), -1)),
        (by[heads], jobs.lane[behind] + 1),
        (np.zeros(len(heads), "int64"), np.zeros(len(behind), "int64")),
    )
    return Segments(*(np.concatenate(pair) for pair in columns))

# SPDX-License-Identifier: MIT
"""How much is due within t, and how long may a later deadline block it? In ticks, for the tests of EDF."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from math import ceil
from typing import Any, NamedTuple

from rtnb.errors import BadInput
from rtnb.theory.deadlock import ALIASES
from rtnb.theory.exact import Time, fraction
from rtnb.theory.task import Task
from rtnb.theory.taskset import TaskSet

__all__ = [
    "Load",
    "before",
    "deadlines",
    "demand_at",
    "demand_kind",
    "effective_deadlines",
    "given_ticks",
    "load_of",
]

_Held = tuple[int, int, int | None]


def effective_deadlines(ts: TaskSet) -> list[int]:
    """What is left to each deadline at the latest release, D - J, in ticks; it may be below zero."""
    return [d - j for d, j in zip(ts.in_ticks("D"), ts.in_ticks("jitter"), strict=True)]


def demand_at(C: Sequence[int], T: Sequence[int], D: Sequence[int], t: int) -> int:
    """The demand bound at t, of tasks as three lists.

    >>> demand_at([2, 2], [6, 8], [4, 5], 10)
    6
    """
    return sum(((t - d) // p + 1) * c for c, p, d in zip(C, T, D, strict=True) if d <= t)


def before(T: Sequence[int], D: Sequence[int], t: int) -> int | None:
    """The last deadline before t, if there is one.

    >>> before([6, 8], [4, 5], 13), before([6, 8], [4, 5], 4)
    (10, None)
    """
    return max((d + (t - 1 - d) // p * p for p, d in zip(T, D, strict=True) if d < t), default=None)


def deadlines(C: Sequence[int], T: Sequence[int], D: Sequence[int], until: Time) -> Iterator[tuple[int, int]]:
    """The deadlines up to a time, in order, each once, with the demand there.

    >>> list(deadlines([2, 2], [6, 8], [4, 5], 13))
    [(4, 2), (5, 4), (10, 6), (13, 8)]
    """
    due = [(d, p, c) for c, p, d in zip(C, T, D, strict=True)]
    heapq.heapify(due)
    demand = 0
    while due[0][0] <= until:
        t = due[0][0]
        while due[0][0] == t:
            _, p, c = due[0]
            heapq.heapreplace(due, (t + p, p, c))
            demand += c
        yield t, demand


def demand_kind(ts: TaskSet) -> str:
    """What a test that lets all tasks arrive at once is: exact, but where fixed offsets keep them apart."""
    return "exact" if len({task.offset for task in ts}) == 1 else "sufficient"


class Load(NamedTuple):
    """The demand and the blocking, in ticks: B is a staircase, of which each stair has a start and a value."""

    C: list[int]
    T: list[int]
    D: list[int]
    kind: str
    starts: list[int]
    values: list[int]
    drops: list[int]
    """Where B falls and the demand does not rise by as much: no jump may pass them."""
    lasting: int
    """The B that never ends."""
    settled: int
    """The time from which on B is that."""

    def blocked(self, t: int) -> int:
        return self.values[bisect_right(self.starts, t) - 1] if self.starts else 0

    def drop(self, t: int) -> int | None:
        """The last drop up to t."""
        at = bisect_right(self.drops, t)
        return self.drops[at - 1] if at else None


def load_of(ts: TaskSet, blocking: Any, preemptive: bool) -> Load:
    """What the argument `blocking` means for this set. Raises BadInput."""
    D, own = ts.in_ticks("D"), effective_deadlines(ts)
    free = Load(ts.in_ticks("C"), ts.in_ticks("T"), own, demand_kind(ts), [], [], [], 0, 0)
    held: list[_Held] = []
    if not preemptive:
        held = [(d, c, None) for d, c in zip(D, free.C, strict=True)]
    elif isinstance(blocking, str) and (blocking != "none" or ts.shared):
        held = _held(ts, blocking)
    listed = [] if blocking is None or isinstance(blocking, str) else _listed(ts, blocking)
    if not held and not listed:
        return free
    starts = sorted({0, *D, *own})
    values = [_longest(held, list(zip(own, listed, strict=False)), t) for t in starts]
    fallen = [t for t, was, is_ in zip(starts[1:], values, values[1:], strict=False) if is_ < was]
    kind = free.kind if not preemptive and not listed else "sufficient"
    drops, lasting = (fallen if own != D else []), max(listed, default=0)
    return free._replace(kind=kind, starts=starts, values=values, drops=drops, lasting=lasting, settled=max(D))


def given_ticks(ts: TaskSet, time: Any, what: str) -> Time:
    """A time that a user gave, in ticks of the set; perhaps with a part of one. Raises BadInput."""
    return fraction(Fraction(ts.time(time, what)) * ts.per_unit)


def _held(ts: TaskSet, protocol: str) -> list[_Held]:
    """Of each section: its task's D, its length, and the least D of a task that uses its resource too, if it matters.

    Raises BadInput.
    """
    name = ALIASES.get(protocol, protocol)
    if name not in ("icpp", "npp"):
        why = "it does not bound the blocking under EDF" if protocol == "none" else "no demand test knows it"
        raise BadInput(f"blocking {protocol}", why, "icpp (under EDF the stack resource policy), npp, or a list")
    if name == "icpp" and ts.shared and any(task.jitter for task in ts):
        raise BadInput(f"blocking {protocol}", "the stack resource policy wants jobs without release jitter", "npp")
    found: list[_Held] = []
    for task, d in zip(ts, ts.in_ticks("D"), strict=True):
        for section in task.sections:
            least = min((int(one.D * ts.per_unit) for one in ts if _uses(one, section.resource)), default=d)
            found.append((d, int(section.length * ts.per_unit), least if name == "icpp" else None))
    return found


def _uses(task: Task, resource: str) -> bool:
    return any(section.resource == resource for section in task.sections)


def _listed(ts: TaskSet, blocking: Any) -> list[int]:
    """A blocking time a task, in ticks: parts of one round up, so that it stays a bound. Raises BadInput."""
    if not isinstance(blocking, Iterable):
        raise BadInput(f"blocking {blocking!r}", "neither a protocol nor a list", "icpp, npp, or a time for each task")
    given = list(blocking)
    if len(given) != len(ts):
        raise BadInput("blocking", f"{len(given)} times for {len(ts)} tasks", "one a task, in list order")
    times = [given_ticks(ts, time, f"blocking of {task.name}") for time, task in zip(given, ts, strict=True)]
    return [ceil(time) for time in times]


def _longest(held: list[_Held], listed: list[tuple[int, int]], t: int) -> int:
    """B(t): what a task with a later deadline holds, or what is listed of the tasks that have one up to t."""
    sections = [length for d, length, least in held if d > t and (least is None or least <= t)]
    return max([0, *sections, *(b for d, b in listed if d <= t)])

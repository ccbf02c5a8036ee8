# SPDX-License-Identifier: MIT
"""What does a list scheduler make of jobs that wait for each other? And Graham's anomalies: more is slower.

Whenever a CPU is free it takes the first job of the list whose predecessors are all done, and runs it to its end; of
several free CPUs the first does.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, NamedTuple

from rtnb.errors import BadInput
from rtnb.text import printable
from rtnb.theory.exact import Time, exact
from rtnb.theory.options import check_cpus

__all__ = ["Listed", "Placed", "anomalies", "list_schedule"]


class Placed(NamedTuple):
    """A job, by its number from 1, on a CPU."""

    job: int
    begin: Time
    end: Time
    cpu: int


@dataclass(frozen=True)
class Listed:
    """A schedule, `gantt` in the order in which jobs begin, and its length, `makespan`."""

    gantt: tuple[Placed, ...]
    makespan: Time

    def on(self, cpu: int) -> list[Placed]:
        """What a CPU, from 0, runs."""
        return [placed for placed in self.gantt if placed.cpu == cpu]


def list_schedule(C: Iterable[Any], precedence: Iterable[tuple[int, int]] = (), cpus: int = 1) -> Listed:
    """The schedule of jobs 1, 2, ... of lengths C, in list order, never preempted; (a, b): b waits until a is done.

    Raises BadInput: no job, a job that is not there, jobs that wait for each other in a circle. Graham, "Bounds on
    multiprocessing timing anomalies", SIAM Journal on Applied Mathematics 17, 1969.

    >>> list_schedule([3, 2, 2], [(2, 3)], cpus=2).gantt
    (Placed(job=1, begin=0, end=3, cpu=0), Placed(job=2, begin=0, end=2, cpu=1), Placed(job=3, begin=2, end=4, cpu=1))
    """
    check_cpus(cpus)
    lengths = _lengths(C)
    after, waits = _graph(precedence, len(lengths))
    ready = [job for job in range(1, len(lengths) + 1) if not waits[job]]  # sorted, hence a heap
    running: list[tuple[Time, int, int]] = []
    idle: list[int] = list(range(cpus))
    gantt: list[Placed] = []
    now: Time = 0
    while ready or running:
        while ready and idle:
            job, cpu = heapq.heappop(ready), heapq.heappop(idle)
            gantt.append(Placed(job, now, now + lengths[job - 1], cpu))
            heapq.heappush(running, (now + lengths[job - 1], job, cpu))
        now = running[0][0]
        while running and running[0][0] == now:
            _, job, cpu = heapq.heappop(running)
            heapq.heappush(idle, cpu)
            for other in after[job]:
                waits[other] -= 1
                if not waits[other]:
                    heapq.heappush(ready, other)
    if circle := [job for job, count in waits.items() if count]:
        stuck = ", ".join(map(str, circle))
        raise BadInput("list_schedule", f"jobs wait for each other in a circle, or for one that does: {stuck}")
    return Listed(tuple(gantt), now)


def anomalies() -> dict[str, Listed]:
    """Graham's example: nine jobs on three CPUs, and three changes for the better, each of which makes it longer.

    Graham 1969, as in Buttazzo, "Hard Real-Time Computing Systems", chapter 2.

    >>> {change: listed.makespan for change, listed in anomalies().items()}
    {'as it is': 12, 'one more CPU': 15, 'each job shorter by 1': 13, 'two waits fewer': 16}
    """
    C, precedence = [3, 2, 2, 2, 4, 4, 4, 4, 9], [(1, 9), (4, 5), (4, 6), (4, 7), (4, 8)]
    return {
        "as it is": list_schedule(C, precedence, 3),
        "one more CPU": list_schedule(C, precedence, 4),
        "each job shorter by 1": list_schedule([length - 1 for length in C], precedence, 3),
        "two waits fewer": list_schedule(C, [pair for pair in precedence if pair not in ((4, 5), (4, 6))], 3),
    }


def _lengths(C: Iterable[Any]) -> Sequence[Time]:
    if not isinstance(C, Iterable):
        raise BadInput(f"list_schedule, C {printable(str(C))[:40]}", "not a list of times", "for example [3, 2, 2]")
    found = [exact(length, f"C of job {number}") for number, length in enumerate(C, 1)]
    if not found:
        raise BadInput("list_schedule", "there is no job", "for example list_schedule([3, 2], cpus=2)")
    if len({unit for length, unit in found if length}) > 1:
        hint = "write 2ms everywhere, or 2 everywhere"
        raise BadInput("list_schedule", "some times have a unit, and others none", hint)
    if zero := [number for number, (length, _) in enumerate(found, 1) if not length]:
        raise BadInput(f"C of job {zero[0]}", "it must be above zero")
    return [length for length, _ in found]


def _graph(precedence: Iterable[tuple[int, int]], jobs: int) -> tuple[dict[int, list[int]], dict[int, int]]:
    """Who comes after each job, and for how many each one waits."""
    after: dict[int, list[int]] = {job: [] for job in range(1, jobs + 1)}
    waits = dict.fromkeys(after, 0)
    if not isinstance(precedence, Iterable):
        raise BadInput(f"precedence {printable(str(precedence))[:40]}", "not a list of pairs", "for example [(1, 9)]")
    seen: set[tuple[int, int]] = set()
    for pair in precedence:
        known = isinstance(pair, Iterable) and all(isinstance(job, Integral) and job in after for job in pair)
        if not known or len(tuple(pair)) != 2:
            raise BadInput(f"precedence {pair}", f"a pair of job numbers, from 1 to {jobs}", "(1, 9): 9 waits for 1")
        first, then = pair
        if (first, then) not in seen:
            seen.add((first, then))
            after[first].append(then)
            waits[then] += 1
    return after, waits

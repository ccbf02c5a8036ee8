# SPDX-License-Identifier: MIT
"""Is there an instant by which the work that a task and those above it ask for is done? Looked for where it may be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

from rtnb.errors import BadInput
from rtnb.theory.digits import share
from rtnb.theory.exact import Time
from rtnb.theory.taskset import TaskSet, of_a_set
from rtnb.theory.verdict import Step, Verdict, Witness

__all__ = ["TimeDemand", "time_demand"]

MOST_POINTS = 1_000_000


@dataclass(frozen=True)
class TimeDemand(Verdict):
    """The verdict of the time-demand test; its steps are the scheduling points, and W there.

    `L`: of each task the least W(t) / t of its points, in list order; `argmin`: the first point where it is reached.
    """

    L: tuple[Fraction, ...] = ()
    argmin: tuple[Time, ...] = ()

    @property
    def points(self) -> dict[str, dict[Time, Time]]:
        """Of each task its scheduling points, in time order, and W there."""
        found: dict[str, dict[Time, Time]] = {task.name: {} for task in self.taskset}
        for step in self.steps:
            found[step.task][step.t] = step.value
        return found


@of_a_set
def time_demand(ts: TaskSet) -> TimeDemand:
    """For each task some t <= D with W(t) <= t, for fixed priorities and D <= T: L, the least W(t) / t, is <= 1.

    W(t) is the work that the task and those above it ask for before t, when all arrive at 0. It is enough to look at
    the arrivals of those above, and at D. Exact; sufficient where the offsets differ, which it leaves out.

    Raises BadInput for a set with D > T, jitter or shared resources, and where there are too many points. Lehoczky, Sha
    & Ding, "The rate monotonic scheduling algorithm: exact characterization and average case behavior", RTSS 1989.

    >>> verdict = time_demand(TaskSet(C=[20, 40, 100], T=[100, 150, 350]))
    >>> print(verdict)
    time demand: L = 1/5, 8/15, 4/5 <= 1: holds, schedulable; t3 has the most: W(300) = 240
    >>> verdict.points["t3"]
    {100: 160, 150: 180, 200: 220, 300: 240, 350: 300}
    """
    ts.check_independent("time demand")
    _check(ts)
    C, T, D = ts.in_ticks("C"), ts.in_ticks("T"), ts.in_ticks("D")
    best: list[tuple[int, int]] = [(0, 1)] * len(ts)
    for rank, at in enumerate(ts.order):
        best[at] = _least(C, T, D[at], ts.order[: rank + 1])
    L = tuple(Fraction(work, t) for work, t in best)
    late = next((at for at in ts.order if L[at] > 1), None)
    shown = late if late is not None else max(ts.order, key=lambda at: L[at])
    work, t = map(ts.from_ticks, best[shown])
    name, W = ts[shown].name, f"W({ts.words(t)}) = {ts.words(work)}"
    words = (
        f"{name} has the most: {W}" if late is None else f"{name} has W(t) > t at all of its points; the least is {W}"
    )
    kind = "sufficient" if len({task.offset for task in ts}) > 1 else "exact"
    told = ", ".join(map(share, L)) if len(ts) <= 8 else f"{len(ts)} numbers, the largest {share(max(L))}"
    return TimeDemand(
        ts, "time demand", kind, late is None, f"L = {told} <= 1", Witness(words, t, name),
        trace=partial(_steps, ts), L=L, argmin=tuple(ts.from_ticks(t) for _, t in best),
    )  # fmt: skip


def _check(ts: TaskSet) -> None:
    for task in ts:
        if task.D > task.T:
            why = f"it presumes D <= T, and {task.name} has D {ts.words(task.D)} > T {ts.words(task.T)}"
            raise BadInput("time demand", why, "response_times(ts) is exact for any deadline")
        if task.jitter:
            raise BadInput(
                "time demand", f"it knows no jitter, and {task.name} has some", "response_times(ts) knows it"
            )
    T, D = ts.in_ticks("T"), ts.in_ticks("D")
    points = sum(D[at] // T[above] for rank, at in enumerate(ts.order) for above in ts.order[:rank])
    if points * len(ts) > MOST_POINTS * 10 or points > MOST_POINTS:
        raise BadInput("time demand", f"there are {points} points to look at", "response_times(ts) looks at few")


def _points(T: list[int], D: int, above: list[int]) -> list[int]:
    """The arrivals of those above up to D, and D."""
    return sorted({D}.union(*(range(T[at], D + 1, T[at]) for at in above)))


def _work(C: list[int], T: list[int], t: int, up_to: list[int]) -> int:
    """What these tasks ask for before t."""
    return sum(-(-t // T[at]) * C[at] for at in up_to)


def _least(C: list[int], T: list[int], D: int, up_to: list[int]) -> tuple[int, int]:
    """W(t) and t, of the first point where W(t) / t is least; the last of `up_to` is the task itself."""
    work, at = 0, 0
    for t in _points(T, D, up_to[:-1]):
        found = _work(C, T, t, up_to)
        if not at or found * at < work * t:
            work, at = found, t
    return work, at


def _steps(ts: TaskSet) -> Iterator[Step]:
    """W at each point of each task, in list order."""
    C, T, D = ts.in_ticks("C"), ts.in_ticks("T"), ts.in_ticks("D")
    for at, task in enumerate(ts):
        up_to = ts.order[: ts.order.index(at) + 1]
        for t in _points(T, D[at], up_to[:-1]):
            yield Step(ts.from_ticks(t), ts.from_ticks(_work(C, T, t, up_to)), task.name)

# SPDX-License-Identifier: MIT
"""Who should be above whom? The orders by period and by deadline, and Audsley's, which finds one if there is any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from rtnb.errors import BadInput
from rtnb.theory.exact import Time, from_ticks, in_ticks, ticks
from rtnb.theory.options import check_flags
from rtnb.theory.response.level import MOST, Level, in_time, loads, worst
from rtnb.theory.response.terms import terms
from rtnb.theory.taskset import TaskSet, of_a_set

__all__ = ["Assignment", "Tried", "audsley", "deadline_monotonic", "rate_monotonic"]

_LOOKS, _SOON = 200, 100_000
"""Of so many tasks that fail R is looked for, for so many terms: a second at most."""


@of_a_set
def rate_monotonic(ts: TaskSet) -> TaskSet:
    """The set with the shortest period on top; of equal ones, the first in the list.

    Optimal for D = T with no offsets, jitter or blocking: Liu & Layland, JACM 20(1), 1973.

    >>> [task.priority for task in rate_monotonic(TaskSet(C=[2, 1, 1], T=[9, 5, 9]))]
    [2, 1, 3]
    """
    return ts.with_priorities(sorted(range(len(ts)), key=lambda at: ts[at].T))


@of_a_set
def deadline_monotonic(ts: TaskSet) -> TaskSet:
    """The set with the shortest deadline on top; of equal ones, the first in the list.

    Optimal for D <= T with no offsets, jitter or blocking: Leung & Whitehead, "On the complexity of fixed-priority
    scheduling of periodic, real-time tasks", Performance Evaluation 2(4), 1982.

    >>> [task.priority for task in deadline_monotonic(TaskSet(C=[1, 1], T=[5, 9], D=[5, 4]))]
    [2, 1]
    """
    return ts.with_priorities(sorted(range(len(ts)), key=lambda at: ts[at].D))


class Tried(NamedTuple):
    """A task tried at a level (1 is the highest), below all that have no level yet: its R there, and whether R <= D.

    R is None where it is unbounded; of who fails, also where it is far beyond D, or was not looked for, as so many
    have failed already.
    """

    level: int
    task: str
    R: Time | None
    passed: bool


@dataclass(frozen=True, repr=False)
class Assignment:
    """What Audsley's algorithm found: the set with its new priorities, or None, and what was tried. True if found."""

    taskset: TaskSet | None
    steps: tuple[Tried, ...]

    def __bool__(self) -> bool:
        return self.taskset is not None

    def __str__(self) -> str:
        """The order, the highest first; or at which level none would do."""
        if self.taskset is None:
            level = self.steps[-1].level
            tried = ", ".join(step.task for step in self.steps if step.level == level)
            return f"no order: at level {level} each of {tried} would miss its deadline"
        return " > ".join(self.taskset[at].name for at in self.taskset.order)

    __repr__ = __str__


@of_a_set
def audsley(ts: TaskSet, *, preemptive: bool = True, blocking: Any = None) -> Assignment:
    """Priorities under which all deadlines are met, if there are any: some task must do at the lowest level, below all
    the others; then one of the rest at the next; and so on. Each is tested with `response_times`: any deadline,
    jitter; with or without preemption.

    A level tries the tasks from the lowest priority up that they have: a set that is schedulable keeps its order.
    `blocking`: a time for each task in list order, that is the same at each level. Raises BadInput for a protocol,
    whose blocking depends on the order, for shared resources without `blocking`, and where there is no answer after
    forty million terms of the recurrence.
    Audsley, "On priority assignment in fixed priority scheduling", Information Processing Letters 79(1),
    2001 (report YCS 164, 1991).

    >>> found = audsley(TaskSet(C=[3, 3], T=[9, 5]))
    >>> print(found)
    t2 > t1
    >>> found.steps[:2]
    (Tried(level=2, task='t2', R=6, passed=False), Tried(level=2, task='t1', R=9, passed=True))
    """
    if isinstance(blocking, str):
        why = f"the blocking of {blocking} depends on the order, which is looked for"
        raise BadInput("audsley", why, "give a time for each task, or try rate_monotonic(ts), deadline_monotonic(ts)")
    check_flags(preemptive=preemptive)
    if preemptive and blocking is None:
        ts.check_independent("audsley")
    test = _Tester(ts, preemptive, blocking)
    above, steps = list(ts.order), list[Tried]()
    below: list[int] = []
    while above:
        for at in reversed(above):
            others = [other for other in above if other != at]
            R, passed = test(others, at, below)
            steps.append(Tried(len(above), ts[at].name, R, passed))
            if passed:
                above, below = others, [at, *below]
                break
        else:
            return Assignment(None, tuple(steps))
    return Assignment(ts.with_priorities(below), tuple(steps))


class _Tester:
    """The test of a task below some and above others, by their places: its R, and whether it is in time."""

    def __init__(self, ts: TaskSet, preemptive: bool, blocking: Any) -> None:
        # Without preemption no job waits for a lock: who holds it runs to its end.
        B = terms(ts, [0] * len(ts) if blocking is None else blocking)
        self.per_unit = ticks([ts.from_ticks(1), *(time for time in B if time)])
        self.waits = [None if time is None else in_ticks(time, self.per_unit) for time in B]
        fields = ([in_ticks(getattr(task, name), self.per_unit) for task in ts] for name in ("C", "T", "D", "jitter"))
        self.C, self.T, self.D, self.J = fields
        self.names, self.preemptive = [task.name for task in ts], preemptive
        self.left, self.looks = 4 * MOST, _LOOKS

    def __call__(self, above: list[int], at: int, below: list[int]) -> tuple[Time | None, bool]:
        level = self._level(above, at, below)
        if level.B is None or level.load > 0:
            return None, False
        try:
            R, self.left = in_time(level, self.left)
        except BadInput as e:
            why = f"there is no answer after {4 * MOST:,} terms of the recurrence"
            raise BadInput("audsley", why, "deadline_monotonic(ts); or coarser times, or less C") from e
        found = self._beyond(level) if R is None else R
        return None if found is None else from_ticks(found, self.per_unit), R is not None

    def _level(self, above: list[int], at: int, below: list[int]) -> Level:
        C, T, wait = self.C, self.T, self.waits[at]
        if not self.preemptive and wait is not None:
            wait = max([wait, *(C[each] for each in below)])
        load = loads([C[each] for each in [*above, at]], [T[each] for each in [*above, at]])[-1]
        others = [(C[each], T[each], self.J[each]) for each in above]
        return Level(self.names[at], C[at], T[at], self.D[at], self.J[at], wait, others, load, self.preemptive)

    def _beyond(self, level: Level) -> int | None:
        """R of a task that is late, to be shown: of the first ones, and if it is soon found."""
        self.looks -= 1
        try:
            return worst(level, left=_SOON).R if self.looks >= 0 else None
        except BadInput:
            return None

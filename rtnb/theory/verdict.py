# SPDX-License-Identifier: MIT
"""What does a test say? Whether its inequality holds, what follows from that, and the instant or job that shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from rtnb.schema import frame
from rtnb.theory import rows
from rtnb.theory.exact import Time, in_ticks, ticks

if TYPE_CHECKING:
    import pandas as pd

    from rtnb.theory.taskset import TaskSet

__all__ = ["Step", "Verdict", "Witness"]


class Step(NamedTuple):
    """A test looked at `t`, and found `value` (work, demand) there; for a `task` and its `job` from 1, if any."""

    t: Time
    value: Time
    task: str = ""
    job: int | None = None


class Witness(NamedTuple):
    """What shows it: the first instant or job that fails, or the instant that proves success."""

    words: str
    t: Time | None = None
    task: str = ""
    job: int | None = None


@dataclass(frozen=True, repr=False)
class Verdict:
    """What a test says of a task set.

    `passed`: its inequality, which `inequality` writes out with its numbers, holds. `kind`: exact; sufficient, where
    failing tells nothing; necessary, where passing tells nothing. `R`: of a response-time test, the bounds in list
    order, None where unbounded. True where the set is proved schedulable.
    """

    taskset: TaskSet = field(repr=False)
    test: str
    kind: str
    passed: bool
    inequality: str
    witness: Witness | None = None
    R: tuple[Time | None, ...] = ()
    trace: Callable[[], Iterable[Step]] = field(default=tuple, repr=False, compare=False)
    """Makes the steps: only when somebody asks for them."""

    @property
    def schedulable(self) -> bool | None:
        """What follows: True, False, or None, which is cannot tell."""
        if self.kind == "exact" or self.passed == (self.kind == "sufficient"):
            return self.passed
        return None

    def __bool__(self) -> bool:
        return self.schedulable is True

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """What the test did, step by step."""
        return tuple(self.trace())

    @property
    def iterates(self) -> dict[str, list[list[Time]]]:
        """The steps as sequences, a list a job of each task: each value is where the next step looked."""
        found: dict[str, dict[int | None, list[Time]]] = {}
        for step in self.steps:
            jobs = found.setdefault(step.task, {})
            jobs.setdefault(step.job, [step.t]).append(step.value)
        return {task: list(jobs.values()) for task, jobs in found.items()}

    @property
    def frame(self) -> pd.DataFrame:
        """The steps as a frame (theory.steps)."""
        per_unit = ticks([self.taskset.from_ticks(1), *(time for s in self.steps for time in (s.t, s.value))])
        columns = {
            "test": [self.test] * len(self.steps),
            "task": [s.task for s in self.steps],
            "job": [s.job for s in self.steps],
            "t": [in_ticks(s.t, per_unit) for s in self.steps],
            "value": [in_ticks(s.value, per_unit) for s in self.steps],
        }
        return self.taskset.table(per_unit=per_unit, steps=frame(rows.Step, columns)).tables["steps"]

    def __str__(self) -> str:
        follows = {True: "schedulable", False: "not schedulable", None: "cannot tell"}[self.schedulable]
        shown = f"; {self.witness.words}" if self.witness else ""
        return f"{self.test}: {self.inequality}: {'holds' if self.passed else 'fails'}, {follows}{shown}"

    __repr__ = __str__

# SPDX-License-Identifier: MIT
"""What does a simulation leave behind? Flat lists: a row a job, a row a segment, a row an event. Times in ticks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["FATES", "JOB_TIMES", "STATES", "Jobs", "Segments", "Trace"]

STATES = ["run", "preempted", "blocked", "throttled"]
RUN, PREEMPTED, BLOCKED, THROTTLED = range(len(STATES))
FATES = ["", "aborted", "skipped"]
JOB_TIMES = ("arrival", "release", "deadline", "execution", "start", "finish")


@dataclass
class Jobs:
    """A row a job, in order of release. `start` and `finish`: -1 where there is none. `lane`: a place in `names`."""

    lane: Any = field(default_factory=list)
    number: Any = field(default_factory=list)
    arrival: Any = field(default_factory=list)
    release: Any = field(default_factory=list)
    deadline: Any = field(default_factory=list)
    execution: Any = field(default_factory=list)
    start: Any = field(default_factory=list)
    finish: Any = field(default_factory=list)
    preemptions: Any = field(default_factory=list)
    migrations: Any = field(default_factory=list)
    fate: Any = field(default_factory=list)


@dataclass
class Segments:
    """A row a segment: the row of its job, a place in STATES, and places in the words of the trace."""

    job: Any = field(default_factory=list)
    state: Any = field(default_factory=list)
    begin: Any = field(default_factory=list)
    end: Any = field(default_factory=list)
    cpu: Any = field(default_factory=list)
    by: Any = field(default_factory=list)
    resource: Any = field(default_factory=list)


@dataclass
class Trace:
    """What happened. `names` are those of the tasks in list order, then those of the servers.

    Where nobody may ever ask for all the `segments`, `make` makes them, and `runs` are those in which a job ran.
    """

    names: list[str]
    jobs: Jobs
    segments: Segments = field(default_factory=Segments)
    words: list[str] = field(default_factory=list)
    events: list[tuple[Any, str, str, int, str]] = field(default_factory=list)
    ceilings: list[tuple[Any, str]] = field(default_factory=list)
    budgets: dict[str, list[tuple[Any, Any]]] = field(default_factory=dict)
    deadlock: tuple[Any, tuple[str, ...]] | None = None
    make: Callable[[], Segments] | None = None
    runs: Segments | None = None

    def whole(self) -> int:
        """The smallest factor that makes every time here a whole number; then they are multiplied by it."""
        times = [*_columns(self.jobs, JOB_TIMES), *_columns(self.segments, ("begin", "end"))]
        times += [[t for t, *_ in self.events], [t for t, _ in self.ceilings]]
        times += [[t for pair in steps for t in pair] for steps in self.budgets.values()]
        factor = math.lcm(*{time.denominator for column in times for time in column})
        if factor > 1:
            self._multiply(factor)
        return factor

    def _multiply(self, factor: int) -> None:
        for table, names in ((self.jobs, JOB_TIMES), (self.segments, ("begin", "end"))):
            for name in names:
                column = [int(time * factor) if time >= 0 else -1 for time in getattr(table, name)]
                setattr(table, name, column)
        self.events = [(int(t * factor), *rest) for t, *rest in self.events]  # type: ignore[misc]
        self.ceilings = [(int(t * factor), name) for t, name in self.ceilings]
        self.budgets = {n: [(int(t * factor), int(b * factor)) for t, b in steps] for n, steps in self.budgets.items()}
        if self.deadlock:
            self.deadlock = (int(self.deadlock[0] * factor), self.deadlock[1])


def _columns(table: Any, names: Iterable[str]) -> list[Any]:
    return [getattr(table, name) for name in names]

# SPDX-License-Identifier: MIT
"""What is alive in a simulation? Lanes (a task or a server each), and in each lane its jobs, one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from rtnb.theory.exact import Time, from_ticks
from rtnb.theory.task import Section

__all__ = ["Active", "Job", "Lane", "Op", "Request", "ServerState", "operations"]


class Job:
    """A job as a policy sees it, times in those of the set: what a user's own key looks at.

    `task` is the Task (of a request: the Server), `name` its name, `number` counts its jobs from 1.
    """

    __slots__ = ("_active", "_per_unit")

    def __init__(self, active: Active, per_unit: int) -> None:
        self._active, self._per_unit = active, per_unit

    def _time(self, count: Time) -> Time:
        return from_ticks(count, self._per_unit)

    @property
    def task(self) -> Any:
        """Its task."""
        return self._active.lane.task

    @property
    def name(self) -> str:
        """Its task's name."""
        return self._active.lane.name

    @property
    def number(self) -> int:
        """Its number among the jobs of its task, from 1."""
        return self._active.number

    @property
    def arrival(self) -> Time:
        """When it arrived."""
        return self._time(self._active.arrival)

    @property
    def release(self) -> Time:
        """When it could first run."""
        return self._time(self._active.release)

    @property
    def deadline(self) -> Time:
        """By when it is to be done."""
        return self._time(self._active.deadline)

    @property
    def remaining(self) -> Time:
        """What it has still to execute."""
        return self._time(self._active.remaining)

    @property
    def executed(self) -> Time:
        """What it has executed."""
        return self._time(self._active.executed)

    def __repr__(self) -> str:
        return f"{self.name} job {self.number}: {self.executed} of {self.executed + self.remaining} by {self.deadline}"


class Op(NamedTuple):
    """After `at` ticks of its own execution a job locks a resource, or unlocks it."""

    at: int
    locks: bool
    resource: str


class Active:
    """A released job in ticks, from its release to its end."""

    __slots__ = (
        "arrival",
        "blocker",
        "cpu",
        "deadline",
        "effective",
        "executed",
        "held",
        "key",
        "label",
        "lane",
        "number",
        "op",
        "release",
        "remaining",
        "row",
        "shown",
        "since",
        "view",
        "wait",
    )

    def __init__(
        self, lane: Lane, row: int, number: int, arrival: Time, release: Time, deadline: Time, execution: Time
    ) -> None:
        self.lane, self.row, self.number = lane, row, number
        self.arrival, self.release, self.deadline = arrival, release, deadline
        self.remaining, self.executed = execution, 0 * execution
        self.op = 0  # how many of its lane's operations it has done
        self.held: list[str] = []
        self.wait = ""  # the resource that it waits for, and the job that is in its way
        self.blocker: Active | None = None
        self.key: Any = None  # its own, and the smaller one that it may have inherited
        self.effective: Any = None
        self.shown = ""  # what the events told last of what it has inherited
        self.cpu = -1  # the one that it last ran on
        self.label: tuple[int, int, int, int] | None = None  # of the segment that is open, and since when
        self.since: Time = release
        self.view: Job | None = None


class Request(Protocol):
    """A request in a server's queue."""

    number: int
    arrival: Time
    remaining: Time
    deadline: Any


class ServerState(Protocol):
    """What the engine asks of a server; rtnb.theory.simulation.servers has them. All times in ticks."""

    queue: Any
    history: Any

    @property
    def deadline(self) -> Any: ...
    def arrive(self, now: Time, request_index: int) -> None: ...
    def eligible(self, now: Time) -> bool: ...
    def limit(self, now: Time) -> Time | None: ...
    def ran(self, begin: Time, end: Time) -> None: ...
    def finished(self, now: Time) -> Any: ...
    def next(self, now: Time) -> Time | None: ...
    def tick(self, now: Time) -> None: ...
    def asleep(self, now: Time) -> None: ...


class Lane:
    """A task, or a server: its released jobs wait in a queue, and only the first of them may run."""

    __slots__ = ("background", "cpu", "name", "on", "ops", "place", "queue", "rank", "server", "task")

    def __init__(self, place: int, task: Any, rank: int, ops: tuple[Op, ...] = (), cpu: int | None = None) -> None:
        self.place, self.task, self.name, self.rank, self.ops, self.cpu = place, task, str(task.name), rank, ops, cpu
        self.queue: deque[Active] = deque()
        self.on = -1  # the CPU on which its first job runs
        self.server: ServerState | None = None
        self.background = False


def operations(sections: Iterable[Section], per_unit: int) -> tuple[Op, ...]:
    """The locks and unlocks of a job, in order: at one instant the inner unlocks first, and unlocks before locks."""
    found = []
    for entered, section in enumerate(sections):
        found.append((section.end * per_unit, 0, -entered, section.resource))
        found.append((section.start * per_unit, 1, entered, section.resource))
    return tuple(Op(int(at), bool(locks), resource) for at, locks, _, resource in sorted(found))

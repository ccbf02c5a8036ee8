# SPDX-License-Identifier: MIT
"""What do the theory's tables hold? Times in ticks, whole numbers: the details of the header say how long a tick is."""

from __future__ import annotations

from dataclasses import dataclass

from rtnb.schema import column, table

__all__ = ["Accepted", "Bound", "Event", "Piece", "SimulatedJob", "Step", "TaskRow", "VerdictRow"]


@table("theory.tasks", version=1)
@dataclass(frozen=True)
class TaskRow:
    """One task of a set."""

    name: str = column("str", "", "its name")
    C: int = column("int64", "tick", "the most that a job of it executes")
    T: int = column("int64", "tick", "the period, or the least time between two arrivals")
    D: int = column("int64", "tick", "the deadline, counted from the arrival")
    priority: int = column("int64", "", "its rank: a smaller number is a higher priority")
    jitter: int = column("int64", "tick", "how much later than its arrival a job may be released")
    offset: int = column("int64", "tick", "when its first job arrives")
    cpu: int = column("Int64", "", "the only CPU that it may run on; <NA>: any")
    sections: str = column("str", "", "its critical sections: resource@start:length")
    utilisation: float = column("float64", "", "C / T")


@table("theory.verdicts", version=1)
@dataclass(frozen=True)
class VerdictRow:
    """What one test says of a set."""

    test: str = column("str", "", "the test's name")
    kind: str = column("category", "", "exact, sufficient (passing proves it) or necessary (failing disproves it)")
    passed: bool = column("bool", "", "whether its inequality holds")
    schedulable: str = column("category", "", "what follows for the set: yes, no, or cannot tell")
    inequality: str = column("str", "", "what was compared, with its numbers")
    witness: str = column("str", "", "the instant or job that proves success, or the first that fails")


@table("theory.bounds", version=1)
@dataclass(frozen=True)
class Bound:
    """The worst-case response time of a task."""

    task: str = column("str", "", "the task's name")
    R: int = column("Int64", "tick", "the worst case, from arrival to completion, jitter included; <NA>: unbounded")
    D: int = column("int64", "tick", "the deadline")
    slack: int = column("Int64", "tick", "D - R")
    meets: bool = column("bool", "", "whether R <= D")


@table("theory.steps", version=1)
@dataclass(frozen=True)
class Step:
    """A step of a test: it looked at t, and found value."""

    test: str = column("category", "", "the test's name")
    task: str = column("category", "", "the task under analysis; empty where it is the whole set")
    job: int = column("Int64", "", "the job under analysis, from 1; <NA> where there is none")
    t: int = column("int64", "tick", "the instant or the length that was tried")
    value: int = column("int64", "tick", "the work or demand up to there")


@table("theory.jobs", version=1)
@dataclass(frozen=True)
class SimulatedJob:
    """One job of a simulated schedule."""

    task: str = column("category", "", "the task's name, or the server's")
    job: int = column("int64", "", "its number, from 1")
    arrival: int = column("int64", "tick", "when it arrived")
    release: int = column("int64", "tick", "when it could first run: its arrival, and its jitter")
    start: int = column("Int64", "tick", "when it first ran; <NA>: it has not")
    finish: int = column("Int64", "tick", "when it was done; <NA>: it was not")
    deadline: int = column("int64", "tick", "by when it was to be done")
    response: int = column("Int64", "tick", "from its arrival to when it was done")
    execution: int = column("int64", "tick", "what it was to execute")
    preemptions: int = column("int64", "", "how often it was taken off a CPU before it was done")
    migrations: int = column("int64", "", "how often it went on on another CPU than before")
    outcome: str = column("category", "", "done, late (done after its deadline), aborted, skipped, unfinished")


@table("theory.segments", version=1)
@dataclass(frozen=True)
class Piece:
    """A stretch of a job's time, from its release to its end, in which one thing was the case."""

    task: str = column("category", "", "the task's name, or the server's")
    job: int = column("int64", "", "the job's number, from 1")
    state: str = column("category", "", "run, preempted, blocked, throttled (its server has no budget)")
    begin: int = column("int64", "tick", "its begin")
    end: int = column("int64", "tick", "its end")
    cpu: int = column("int32", "", "the CPU on which it ran; -1 where it did not")
    by: str = column("category", "", "preempted: the task that ran instead; blocked: the one that holds the resource")
    resource: str = column("category", "", "run: the resources that it holds; blocked: the one that it waits for")


@table("theory.events", version=1)
@dataclass(frozen=True)
class Event:
    """Something that happened in a simulated schedule at one instant."""

    t: int = column("int64", "tick", "when")
    kind: str = column("category", "", "lock, unlock, wait, inherit, ceiling, budget, deadline, miss, deadlock, ...")
    task: str = column("category", "", "to whom: the task's name, or the server's")
    job: int = column("int64", "", "its job, from 1")
    what: str = column("str", "", "the resource, the priority, the budget, in words")


@table("theory.acceptance", version=1)
@dataclass(frozen=True)
class Accepted:
    """How many of the sets of one utilisation a test accepts."""

    utilisation: float = column("float64", "", "the utilisation of each of the sets")
    test: str = column("category", "", "the test")
    sets: int = column("int64", "", "how many sets were tried")
    accepted: int = column("int64", "", "how many of them the test proves schedulable")
    ratio: float = column("float64", "", "accepted / sets")
    low: float = column("float64", "", "from where, with 95 % confidence, the ratio of all such sets is (Wilson)")
    high: float = column("float64", "", "up to where it is")

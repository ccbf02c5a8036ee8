# SPDX-License-Identifier: MIT
"""What is written down while the engine goes on? Rows of jobs, stretches of their time, events, the ceiling's steps."""

from __future__ import annotations

from collections.abc import Iterable

from rtnb.theory.exact import Time
from rtnb.theory.exact import words as in_words
from rtnb.theory.simulation.job import Active, Lane
from rtnb.theory.simulation.plan import Plan
from rtnb.theory.simulation.trace import Jobs, Segments, Trace

__all__ = ["Label", "Notes"]

Label = tuple[int, int, int, int]
"""Of a segment: a place in STATES, the CPU, and the codes of who is in the way and of the resource."""
_JOB_COLUMNS = tuple(Jobs.__dataclass_fields__)


class Notes:
    """The trace as it grows. The engine sets `now`."""

    def __init__(self, made: Plan, names: list[str]) -> None:
        self.plan = made
        self.now: Time = 0
        self.jobs, self.segments = Jobs(), Segments()
        self.codes: dict[str, int] = {"": 0}
        self.trace = Trace(names, self.jobs, self.segments)

    def job(self, lane: Lane, number: int, *times: Time) -> Active:
        """A job (arrival, release, deadline, execution) with its row."""
        made = Active(lane, len(self.jobs.lane), number, *times)
        for name, value in zip(_JOB_COLUMNS, (lane.place, number, *times, -1, -1, 0, 0, 0), strict=True):
            getattr(self.jobs, name).append(value)
        return made

    def begin(self, job: Active, label: Label) -> None:
        """A segment of a job begins."""
        job.label, job.since = label, self.now

    def end(self, job: Active) -> None:
        """The segment that is open, if one is, ends; one of no length has never been."""
        if job.label is not None and job.since != self.now:
            state, cpu, by, resource = job.label
            s = self.segments
            s.job.append(job.row)
            s.state.append(state)
            s.begin.append(job.since)
            s.end.append(self.now)
            s.cpu.append(cpu)
            s.by.append(by)
            s.resource.append(resource)
        job.label = None

    def code(self, word: str) -> int:
        """The number that stands for a word."""
        return self.codes.setdefault(word, len(self.codes))

    def names(self, jobs: Iterable[Active]) -> int:
        """The code of the names of some jobs' tasks, in list order."""
        return self.code(", ".join(job.lane.name for job in sorted(jobs, key=lambda job: job.lane.place)))

    def tell(self, kind: str, job: Active, what: str) -> None:
        """An event."""
        self.trace.events.append((self.now, kind, job.lane.name, job.number, what))

    def inherited(self, job: Active, words: str) -> None:
        """That a job's priority is another's now, in words, or its own again; once."""
        if words != job.shown:
            job.shown = words
            self.tell("inherit", job, words or "its own priority again")

    def ceiling(self, job: Active, name: str) -> None:
        """The system's ceiling after a lock or unlock of a job: a step, if it is another than before."""
        steps = self.trace.ceilings
        if name == (steps[-1][1] if steps else ""):
            return
        self.tell("ceiling", job, name or "none")
        if steps and steps[-1][0] == self.now:
            steps.pop()
        if name != (steps[-1][1] if steps else ""):
            steps.append((self.now, name))

    def words(self, time: Time) -> str:
        """A time in ticks for people."""
        return in_words(self.plan.time(time), self.plan.taskset.unit)

    def done(self, servers: Iterable[Lane]) -> Trace:
        """The trace, complete."""
        self.trace.words = list(self.codes)
        self.trace.budgets = {lane.name: list(lane.server.history) for lane in servers if lane.server}
        return self.trace

# SPDX-License-Identifier: MIT
"""Who runs where? As many jobs as there are CPUs, each moved as seldom as can be."""

from __future__ import annotations

from collections.abc import Callable

from rtnb.theory.exact import Time
from rtnb.theory.simulation.job import Active
from rtnb.theory.simulation.trace import Jobs

__all__ = ["Processors"]


class Processors:
    """The CPUs, and the job that runs on each."""

    def __init__(self, count: int, jobs: Jobs) -> None:
        self.count, self.jobs = count, jobs
        self.running: dict[int, Active] = {}
        self.tied: dict[int, int] = {}  # the CPU on which a job must be, by its id

    def first(self, ready: list[Active], kept: Callable[[Active], bool]) -> list[Active]:
        """Of those who can run, in the order of their turn: as many as there are CPUs, one of those tied to each.

        Who is bound to a CPU is tied to it; who runs and is `kept`, who may not be preempted, to the one it is on.
        """
        if self.count == 1:
            return ready[:1]
        found: list[Active] = []
        self.tied = {}
        for job in ready:
            cpu = job.lane.on if job.lane.on >= 0 and kept(job) else job.lane.cpu
            if len(found) < self.count and (cpu is None or cpu not in self.tied.values()):
                found.append(job)
                self.tied |= {} if cpu is None else {id(job): cpu}
        return found

    def place(self, chosen: list[Active], now: Time) -> None:
        """They run from now on: the tied on their CPU; who runs stays, who has run goes back, where it can."""
        was, self.running = self.running, {}
        before = {id(job): cpu for cpu, job in was.items()}
        for job in was.values():
            job.lane.on = -1
        for wish in range(4):
            for job in chosen:
                cpu = self._wish(wish, job, before.get(id(job))) if job.lane.on < 0 else None
                if cpu is not None and cpu not in self.running:
                    self.running[cpu], job.lane.on = job, cpu
        self._count_moves(was, now)

    def _wish(self, wish: int, job: Active, before: int | None) -> int | None:
        """A job's first, second, third and last wish for a CPU."""
        if wish == 3:
            return next(cpu for cpu in range(self.count) if cpu not in self.running)
        return (self.tied.get(id(job)), before, job.cpu if job.cpu >= 0 else None)[wish]

    def _count_moves(self, was: dict[int, Active], now: Time) -> None:
        for job in was.values():
            throttled = job.lane.server is not None and not job.lane.server.eligible(now)
            if job.lane.on < 0 and job.blocker is None and not throttled:
                self.jobs.preemptions[job.row] += 1
        for cpu, job in self.running.items():
            if job.cpu < 0:
                self.jobs.start[job.row] = now
            elif job.cpu != cpu:
                self.jobs.migrations[job.row] += 1
            job.cpu = cpu

    def leave(self, job: Active) -> None:
        """A job that may run is done, or ended."""
        if job.lane.on >= 0:
            del self.running[job.lane.on]
            job.lane.on = -1

# SPDX-License-Identifier: MIT
"""What happens next? From event to event: who ran is advanced, who is new is let in, and it is decided who runs."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator
from typing import Any

from rtnb.errors import BadInput
from rtnb.theory.exact import Time
from rtnb.theory.simulation.cpus import Processors
from rtnb.theory.simulation.job import Active, Lane, ServerState
from rtnb.theory.simulation.keys import key_of
from rtnb.theory.simulation.lanes import BY_DEADLINE, lanes, requests
from rtnb.theory.simulation.notes import Label, Notes
from rtnb.theory.simulation.plan import COLUMNS, Plan
from rtnb.theory.simulation.protocols import locks
from rtnb.theory.simulation.trace import BLOCKED, PREEMPTED, RUN, THROTTLED, Trace

__all__ = ["Engine"]

_LOOK = 512  # rounds between two looks at the clock


class Engine:
    """The general simulation: several CPUs, resources, servers, late jobs, keys that change with time."""

    def __init__(self, made: Plan) -> None:
        self.plan = made
        self.lanes = lanes(made)
        self.servers: list[tuple[Lane, ServerState]] = [(lane, lane.server) for lane in self.lanes if lane.server]
        self.locks = locks(made, self.lanes)
        self.key = key_of(made)
        self.notes = Notes(made, [lane.name for lane in self.lanes])
        self.cpus = Processors(made.cpus, self.notes.jobs)
        self.now: Time = 0
        self.planned = list(zip(*(made.jobs[name].tolist() for name in COLUMNS), strict=True))
        self.requests = requests(self.lanes, made.per_unit)
        self.next_job = self.next_request = 0
        self.deadlines: list[tuple[Time, int, Active]] = []  # at which late jobs are aborted
        self.postponed: dict[str, Any] = {}  # the deadline that was last told of a server
        self.crowded = False  # does somebody wait for a CPU?

    def run(self, progress: Callable[[float], None] | None = None) -> Trace:
        """Up to the plan's end. The order at one instant: what ran is done or unlocks; servers; arrivals and
        releases; aborts; then it is decided who runs."""
        seen, rounds = 0.0, 0
        while self.now < self.plan.until:
            self._settle()
            for _, server in self.servers:
                server.tick(self.now)
            self._let_in()
            self._abort()
            self._choose()
            self._label()
            rounds += 1
            if progress and rounds % _LOOK == 0 and time.monotonic() - seen > 0.1:
                seen = time.monotonic()
                progress(float(self.now / self.plan.until))
            self._advance(min(self._instants()))
        return self._end()

    # What ran.

    def _advance(self, until: Time) -> None:
        """Let the time pass for those who run."""
        passed = until - self.now
        for job in self.cpus.running.values():
            job.executed += passed
            job.remaining -= passed
            if job.lane.server is not None:
                job.lane.server.ran(self.now, until)
        self.now = self.notes.now = until

    def _settle(self) -> None:
        """What ran unlocks what it holds no longer; what is done leaves."""
        for job in list(self.cpus.running.values()):
            ops = job.lane.ops
            while job.op < len(ops) and not ops[job.op].locks and ops[job.op].at <= job.executed:
                self._unlock(job, ops[job.op].resource)
                job.op += 1
            if not job.remaining:
                jobs = self.notes.jobs
                if job.lane.server is not None:
                    deadline = job.lane.server.finished(self.now).deadline
                    jobs.deadline[job.row] = self.plan.until if deadline is None else deadline
                jobs.finish[job.row] = self.now
                self._leave(job)

    def _leave(self, job: Active) -> None:
        """Take a job, the first of its lane, out: it is done, or ended."""
        for resource in reversed(job.held.copy()):
            self._unlock(job, resource)
        self.notes.end(job)
        self.cpus.leave(job)
        job.lane.queue.popleft()

    def _unlock(self, job: Active, resource: str) -> None:
        job.held.remove(resource)
        del self.locks.holder[resource]
        self.notes.tell("unlock", job, resource)
        self.notes.ceiling(job, self.locks.ceiling())
        for lane in self.lanes:  # who waited tries again, once it is its turn
            if lane.queue:
                lane.queue[0].blocker = None

    def _abort(self) -> None:
        """With late="abort": end the jobs whose deadline has come."""
        while self.deadlines and self.deadlines[0][0] <= self.now:
            job = heapq.heappop(self.deadlines)[2]
            if self.notes.jobs.finish[job.row] < 0:
                self.notes.jobs.fate[job.row] = 1
                self.notes.tell("abort", job, f"{self.notes.words(job.remaining)} not executed")
                self._leave(job)

    # What is new.

    def _let_in(self) -> None:
        """The jobs that are released and the requests that arrive now; a server without any is asleep."""
        while self.next_job < len(self.planned) and self.planned[self.next_job][3] <= self.now:
            self._release(*self.planned[self.next_job])
            self.next_job += 1
        while self.next_request < len(self.requests) and self.requests[self.next_request][0] <= self.now:
            _, place, index, execution = self.requests[self.next_request]
            lane = self.lanes[place]
            lane.server.arrive(self.now, index)  # type: ignore[union-attr]
            self._admit(self.notes.job(lane, index + 1, self.now, self.now, self.plan.until, execution))
            self.next_request += 1
        for lane, server in self.servers:
            if not server.queue:
                server.asleep(self.now)
            elif lane.task.kind in BY_DEADLINE and server.deadline != self.postponed.get(lane.name):
                self.postponed[lane.name] = server.deadline
                self.notes.tell("deadline", lane.queue[0], self.notes.words(server.deadline))

    def _release(self, place: int, *facts: int) -> None:
        job, late = self.notes.job(self.lanes[place], *facts), self.plan.late
        queue = job.lane.queue
        if late == "skip" and queue and queue[0].deadline <= self.now:
            self.notes.jobs.fate[job.row] = 2
            self.notes.tell("skip", job, "the job before it is late")
            return
        if late == "abort":
            heapq.heappush(self.deadlines, (max(job.deadline, self.now), job.row, job))
        self._admit(job)

    def _admit(self, job: Active) -> None:
        """A place in its lane's queue."""
        if job.lane.queue:
            self.notes.begin(job, (PREEMPTED, -1, self.notes.code(job.lane.name), 0))
        job.lane.queue.append(job)

    # Who runs.

    def _choose(self) -> None:
        """Decide who runs. Who finds a resource locked waits, and it is decided again without it."""
        now = self.now
        heads = [lane.queue[0] for lane in self.lanes if lane.queue and (not lane.server or lane.server.eligible(now))]
        for job in heads:
            job.key = self.key(job, now)
        while True:
            ready = [job for job in heads if job.blocker is None]
            try:
                self._inherit(heads)
                ready.sort(key=self._turn)
            except TypeError as e:
                why = f"two of its keys cannot be compared ({e})"
                raise BadInput(f"policy {self.plan.policy.name}", why, "all keys of one kind: numbers, tuples") from e
            chosen = self.cpus.first(ready, self._kept)
            if all(self._enter(job) for job in chosen):
                break
        self.crowded = len(ready) > len(chosen)
        self.cpus.place(chosen, now)

    def _turn(self, job: Active) -> Any:
        """The order among those who can run. Equal keys: who has it by inheritance, who runs, list order."""
        runs, kept = job.lane.on >= 0, self._kept(job)
        return (not (kept and runs), not kept, job.effective, job.effective == job.key, not runs, job.lane.place)

    def _kept(self, job: Active) -> bool:
        """May it not be preempted?"""
        return (not self.plan.preemptive and job.lane.on >= 0) or (self.locks.not_preempted and bool(job.held))

    def _inherit(self, heads: list[Active]) -> None:
        """Give each its effective key: its own, a ceiling, or that of those it is in the way of, along the chain."""
        for job in heads:
            boost = self.locks.boost(job) if job.held else None
            job.effective = job.key if boost is None else min(boost, job.key)
        if not self.locks.inherits:
            return
        for job in heads:
            key, other = job.effective, job.blocker
            while other is not None and key < other.effective:
                other.effective = key
                other = other.blocker

    def _enter(self, job: Active) -> bool:
        """May the job go on: start, lock what it locks here? If not, it waits."""
        found = self.locks.at_start(job)
        ops = job.lane.ops
        while found is None and job.op < len(ops) and ops[job.op].locks and ops[job.op].at <= job.executed:
            resource = ops[job.op].resource
            found = self.locks.at_lock(job, resource)
            if found is None:
                job.op += 1
                job.held.append(resource)
                self.locks.holder[resource] = job
                self.notes.tell("lock", job, resource)
                self.notes.ceiling(job, self.locks.ceiling())
        if found is None:
            return True
        job.blocker, job.wait = found
        self.notes.tell("wait", job, f"{job.wait}, held by {job.blocker.lane.name}")
        self._look_for_deadlock(job)
        return False

    def _look_for_deadlock(self, job: Active) -> None:
        """Does a job wait for itself, along the chain? The first time is told."""
        chain, other = [job], job.blocker
        while other is not None and other not in chain:
            chain.append(other)
            other = other.blocker
        if other is job and self.notes.trace.deadlock is None:
            names = tuple(each.lane.name for each in sorted(chain, key=lambda each: each.lane.place))
            self.notes.trace.deadlock = (self.now, names)
            self.notes.tell("deadlock", job, " and ".join(names))

    # What is told.

    def _label(self) -> None:
        """Give the first job of each lane the segment that begins here, unless its last one goes on."""
        for lane in self.lanes:
            if lane.queue:
                job = lane.queue[0]
                label = self._state(job)
                if label != job.label:
                    self.notes.end(job)
                    self.notes.begin(job, label)
                if self.locks.inherits:
                    self.notes.inherited(job, self._inherited(job))

    def _state(self, job: Active) -> Label:
        """Its state, CPU, who is in the way, and the resource."""
        lane, notes = job.lane, self.notes
        if lane.on >= 0:
            return (RUN, lane.on, 0, notes.code(", ".join(job.held)))
        if lane.server is not None and not lane.server.eligible(self.now):
            return (THROTTLED, -1, 0, 0)
        others = [other for other in self.cpus.running.values() if lane.cpu is None or other.lane.on == lane.cpu]
        below = [other for other in others if job.key < other.key]
        idle = lane.cpu is None and len(others) < self.plan.cpus
        if job.blocker is not None and (below or idle or not others):
            return (BLOCKED, -1, notes.code(job.blocker.lane.name), notes.code(job.wait))
        if not below:  # nor would it run if it had what it waits for
            return (PREEMPTED, -1, notes.names(others), 0)
        return (BLOCKED, -1, notes.names(below), notes.code(", ".join(r for other in below for r in other.held)))

    def _inherited(self, job: Active) -> str:
        """Whose priority a job has by inheritance, in words; its own: none."""
        if job.effective == job.key:
            return ""
        policy, key = self.plan.policy, job.effective[1]
        if policy.order is not None:
            return f"the priority of {next(lane.name for lane in self.lanes if lane.rank == key)}"
        return f"the deadline {self.notes.words(key)}" if policy.by_deadline else f"the key {key}"

    # When it goes on.

    def _instants(self) -> Iterator[Time]:
        """All that may be the next event."""
        plan, now = self.plan, self.now
        yield plan.until
        if self.next_job < len(self.planned):
            yield self.planned[self.next_job][3]
        if self.next_request < len(self.requests):
            yield self.requests[self.next_request][0]
        if self.deadlines:
            yield self.deadlines[0][0]
        for job in self.cpus.running.values():
            yield now + job.remaining
            if job.op < len(job.lane.ops):
                yield now + job.lane.ops[job.op].at - job.executed
            if job.lane.server is not None and (limit := job.lane.server.limit(now)) is not None:
                yield now + limit
        for _, server in self.servers:
            turn = server.next(now)
            if turn is not None and turn > now:
                yield turn
        if self.crowded and plan.policy.dynamic:
            yield (now // plan.quantum + 1) * plan.quantum

    def _end(self) -> Trace:
        """At the plan's end: who is done then is done; the segments of the others end with it; jobs yet to come."""
        self._settle()
        self._abort()
        for lane in self.lanes:
            for job in lane.queue:
                self.notes.end(job)
        for place, *facts in self.planned[self.next_job :]:
            self.notes.job(self.lanes[place], *facts)
        return self.notes.done(self.lanes)

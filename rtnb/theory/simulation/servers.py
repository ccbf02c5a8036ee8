# SPDX-License-Identifier: MIT
"""What does a server do while a schedule runs? It keeps a queue of requests, a budget and a deadline.

The engine tells it what happened (`arrive`, `ran`, `finished`, `asleep`, `tick`) and asks what it may do (`eligible`,
`deadline`, `limit`, `next`). All times are in ticks, ints or Fractions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

from rtnb.theory.exact import Time, fraction
from rtnb.theory.servers import Server

__all__ = ["Pool", "Request", "ServerState", "state"]


@dataclass(slots=True)
class Request:
    """A request: job `number` (from 1) of the server, which arrived with so much `execution` to do.

    `deadline` is the last of the `deadlines` that it was served under: none, where its server has no such thing.
    """

    number: int
    arrival: Time
    execution: Time
    remaining: Time
    deadlines: list[Time] = field(default_factory=list)

    @property
    def deadline(self) -> Time | None:
        """The deadline under which it is served now."""
        return self.deadlines[-1] if self.deadlines else None


class Pool:
    """The utilisation that is active, of all that shares a processor: what is not, the reclaiming servers may use.

    `tasks`: (offset in ticks, utilisation) of each periodic task: active from its first arrival on, for good.
    """

    def __init__(self, tasks: Iterable[tuple[Time, Time]] = ()) -> None:
        self.tasks = tuple(tasks)
        self.servers: dict[str, Time] = {}

    def active(self, now: Time) -> Time:
        """The active utilisation from `now` on."""
        return sum(self.servers.values()) + sum(U for offset, U in self.tasks if offset <= now)


def state(server: Server, per_unit: int, pool: Pool) -> ServerState:
    """The server at time 0, in a simulation with so many ticks a unit of time."""
    return _KINDS[server.kind](server, per_unit, pool)


class ServerState:
    """A server that serves whenever it gets the CPU: in the background. The other kinds add a budget to it.

    `history` holds (t, budget) wherever the budget's course bends; at a jump, both values. Between two entries it is a
    straight line.
    """

    def __init__(self, server: Server, per_unit: int, pool: Pool) -> None:
        self.name, self.server, self.pool = server.name, server, pool
        self.Q, self.T = fraction(server.Q * Fraction(per_unit)), fraction(server.T * Fraction(per_unit))
        self.queue: deque[Request] = deque()
        self.budget: Time = 0
        self._requests = [
            (fraction(t * Fraction(per_unit)), fraction(c * Fraction(per_unit))) for t, c in server.requests
        ]
        self._start()
        self.history: list[tuple[Time, Time]] = [(0, self.budget)]
        if server.utilisation and not server.reclaim:
            pool.servers[self.name] = server.utilisation

    def _start(self) -> None:
        """What the kind keeps beside its queue."""

    @property
    def deadline(self) -> Time | None:
        """The absolute deadline that it has now; none, in the background."""
        return None

    def arrive(self, now: Time, index: int) -> None:
        """Its request at that place of the specification (from 0) arrives."""
        size = self._requests[index][1]
        request = Request(index + 1, now, size, size)
        self.queue.append(request)
        if len(self.queue) == 1:
            self._woken(now)
        self._joined(now, request)

    def _woken(self, now: Time) -> None:
        """There was no work, and now there is."""

    def _joined(self, now: Time, request: Request) -> None:
        """A request stands at the end of the queue."""

    def eligible(self, now: Time) -> bool:
        """May it have the CPU now? It has work, and the budget for it."""
        return bool(self.queue)

    def limit(self, now: Time) -> Time | None:
        """After how long of running undisturbed it must be asked again; none: not before the request's end."""
        return None

    def ran(self, begin: Time, end: Time) -> None:
        """It had the CPU in [begin, end)."""
        self.queue[0].remaining -= end - begin

    def finished(self, now: Time) -> Request:
        """The first request is done: it leaves the queue."""
        return self.queue.popleft()

    def next(self, now: Time) -> Time | None:
        """The next instant at which it changes by itself."""
        return None

    def tick(self, now: Time) -> None:
        """That instant has come, or another: what is due at `now` happens."""

    def asleep(self, now: Time) -> None:
        """All arrivals of this instant are known, and it has no work."""

    def _set(self, now: Time, budget: Time, since: Time | None = None) -> None:
        """The budget changes: at once, or, where it is consumed, in a line from `since`."""
        self.budget, before = fraction(budget), self.budget
        for entry in ((fraction(now if since is None else since), before), (fraction(now), self.budget)):
            if self.history[-1] != entry:
                self.history.append(entry)


class _Budgeted(ServerState):
    """A server that serves while it has budget, and consumes as much as it serves."""

    def eligible(self, now: Time) -> bool:
        return bool(self.queue) and self.budget > 0

    def limit(self, now: Time) -> Time | None:
        return self.budget

    def ran(self, begin: Time, end: Time) -> None:
        super().ran(begin, end)
        self._set(end, self.budget - (end - begin), begin)


class _Deferrable(_Budgeted):
    """Full at the begin of each period; what is not used by its end is lost."""

    def _start(self) -> None:
        self.budget = self.Q
        self.turn: Time = 0

    @property
    def deadline(self) -> Time:
        return self.turn + self.T

    def next(self, now: Time) -> Time | None:
        return self.deadline

    def tick(self, now: Time) -> None:
        if now >= self.deadline:
            self.turn += (now - self.turn) // self.T * self.T
            self._set(now, self.Q)


class _Polling(_Deferrable):
    """Full at the begin of each period too; but without work its budget is lost at once."""

    def asleep(self, now: Time) -> None:
        if self.budget:
            self._set(now, 0)


class _Sporadic(_Budgeted):
    """What it consumes from an activation on, until it is empty or has no work, comes back a T after the activation."""

    def _start(self) -> None:
        self.budget = self.Q
        self.due: deque[tuple[Time, Time]] = deque()
        """When how much comes back, in the order of time."""
        self.active: Time | None = None
        """Since when it has had work and budget."""
        self.used: Time = 0
        self.last: Time = 0

    @property
    def deadline(self) -> Time:
        return self.last + self.T

    def next(self, now: Time) -> Time | None:
        return self.due[0][0] if self.due else None

    def tick(self, now: Time) -> None:
        while self.due and self.due[0][0] <= now:
            self._set(now, self.budget + self.due.popleft()[1])
        self._activate(now)

    def _woken(self, now: Time) -> None:
        self._activate(now)

    def _activate(self, now: Time) -> None:
        if self.active is None and self.eligible(now):
            self.active = self.last = now

    def ran(self, begin: Time, end: Time) -> None:
        super().ran(begin, end)
        self.used += end - begin
        if self.budget == 0:
            self._close(end)

    def finished(self, now: Time) -> Request:
        request = super().finished(now)
        if not self.queue:
            self._close(now)
        return request

    def _close(self, now: Time) -> None:
        """The activation is over: what was consumed since then is to come back."""
        if self.active is not None and self.used:
            self.due.append((self.active + self.T, self.used))
        self.active, self.used = None, 0
        self.tick(now)


class _SplitSporadic(_Sporadic):
    """The corrected one: what came back only after the activation counts from when it came back."""

    def _start(self) -> None:
        super()._start()
        self.parts: deque[tuple[Time, Time]] = deque([(0, self.Q)])
        """Since when it has had how much of its budget: the oldest first, which is consumed first."""

    def tick(self, now: Time) -> None:
        while self.due and self.due[0][0] <= now:
            since, amount = self.due.popleft()
            self.parts.append((since, amount))
            self._set(now, self.budget + amount)
        self._activate(now)

    def ran(self, begin: Time, end: Time) -> None:
        _Budgeted.ran(self, begin, end)
        left = end - begin
        while left:
            since, amount = self.parts.popleft()
            if amount > left:
                self.parts.appendleft((since, amount - left))
            self._return_at(max(since, self.last) + self.T, min(amount, left))
            left -= min(amount, left)
        if self.budget == 0:
            self.active = None
        self.tick(end)

    def _return_at(self, t: Time, amount: Time) -> None:
        if self.due and self.due[-1][0] == t:
            amount += self.due.pop()[1]
        self.due.append((t, amount))


class _TotalBandwidth(ServerState):
    """Each request gets the deadline by which the server's bandwidth has done it, after those before it."""

    def _start(self) -> None:
        self.last: Time = 0

    @property
    def deadline(self) -> Time | None:
        return self.queue[0].deadline if self.queue else self.last

    def _joined(self, now: Time, request: Request) -> None:
        self.last = fraction(max(now, self.last) + Fraction(request.execution) / self.server.utilisation)
        request.deadlines.append(self.last)


class _ConstantBandwidth(_Budgeted):
    """An empty budget is filled at once, and the deadline moves a T on; `hard`: filled not before that deadline.

    Reclaiming: the budget is consumed at the rate of the active utilisation. A server without work is active until its
    zero-lag time, when its bandwidth would have used up its budget: `activity` says what it is.
    """

    def _start(self) -> None:
        self.due: Time = 0
        self.zero_lag: Time | None = None
        self.activity = "inactive"

    @property
    def deadline(self) -> Time:
        return self.due

    def _rate(self, now: Time) -> Time:
        if not self.server.reclaim:
            return 1
        return Fraction(self.pool.active(now)) / self.server.umax

    def limit(self, now: Time) -> Time | None:
        return fraction(Fraction(self.budget) / self._rate(now))

    def _lag_ends(self) -> Time:
        return fraction(self.due - Fraction(self.budget) / self.server.utilisation)

    def _woken(self, now: Time) -> None:
        if now >= self._lag_ends():
            self._set(now, self.Q)
            self.due = now + self.T
        self.zero_lag = None
        self._become("contending")

    def _joined(self, now: Time, request: Request) -> None:
        if len(self.queue) == 1:
            request.deadlines.append(self.due)

    def ran(self, begin: Time, end: Time) -> None:
        ServerState.ran(self, begin, end)
        self._set(end, self.budget - (end - begin) * self._rate(begin), begin)
        self.tick(end)

    def finished(self, now: Time) -> Request:
        request = super().finished(now)
        if self.queue:
            self.queue[0].deadlines.append(self.due)
        return request

    def next(self, now: Time) -> Time | None:
        return self.due if self._throttled else self.zero_lag

    @property
    def _throttled(self) -> bool:
        return self.budget == 0 and bool(self.queue)

    def tick(self, now: Time) -> None:
        if self._throttled and (now >= self.due or not self.server.hard):
            self.due += self.T
            self._set(now, self.Q)
            if self.queue[0].remaining:
                self.queue[0].deadlines.append(self.due)
        if self.zero_lag is not None and now >= self.zero_lag:
            self.zero_lag = None
            self._become("inactive")

    def asleep(self, now: Time) -> None:
        if self.activity == "contending":
            self._become("non-contending")
            self.zero_lag = max(now, self._lag_ends())
            self.tick(now)

    def _become(self, activity: str) -> None:
        self.activity = activity
        if self.server.reclaim:
            self.pool.servers[self.name] = 0 if activity == "inactive" else self.server.utilisation


def _sporadic(server: Server, per_unit: int, pool: Pool) -> ServerState:
    return (_SplitSporadic if server.corrected else _Sporadic)(server, per_unit, pool)


_KINDS = {
    "background": ServerState,
    "polling": _Polling,
    "deferrable": _Deferrable,
    "sporadic": _sporadic,
    "total_bandwidth": _TotalBandwidth,
    "constant_bandwidth": _ConstantBandwidth,
}

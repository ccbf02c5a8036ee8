# SPDX-License-Identifier: MIT
"""What serves work that has no period? A server: a budget Q every T, or a bandwidth; and what it costs the tasks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from numbers import Real
from typing import Any, NamedTuple

from rtnb.errors import BadInput, closest
from rtnb.text import printable
from rtnb.theory.bounds import is_below
from rtnb.theory.digits import share, sides
from rtnb.theory.exact import Time, exact, words
from rtnb.theory.options import check_flags
from rtnb.theory.task import Task
from rtnb.theory.taskset import TaskSet, of_a_set
from rtnb.theory.verdict import Verdict, Witness

__all__ = [
    "KINDS",
    "LeastBound",
    "Server",
    "background",
    "bandwidth",
    "constant_bandwidth",
    "deferrable",
    "deferrable_least_bound",
    "polling",
    "server_bound",
    "server_hyperbolic",
    "server_liu_layland",
    "sporadic",
    "total_bandwidth",
    "with_server",
]

KINDS = ("background", "polling", "deferrable", "sporadic", "total_bandwidth", "constant_bandwidth")
_FIXED = ("polling", "deferrable", "sporadic")
_Requests = Iterable[tuple[Any, Any]]


@dataclass(frozen=True)
class Server:
    """A server: `requests` are (arrival, execution), served in that order. Make it by the function of its kind.

    `Q` every `T` is its budget; of total bandwidth, `U` its share. `priority` is a number among those of the tasks
    (a fraction lies between two); none: its rate-monotonic place, before tasks of its period. `unit` comes out of
    its times: "ns" or "". Raises BadInput.
    """

    kind: str
    Q: Time = 0
    T: Time = 0
    name: str = "S"
    requests: tuple[tuple[Time, Time], ...] = ()
    priority: int | Fraction | float | None = None
    U: Fraction | None = None
    reclaim: bool = False
    umax: Fraction = Fraction(1)
    corrected: bool = False
    hard: bool = False
    unit: str = field(default="", init=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            hint = closest(str(self.kind), KINDS) or f"one of {', '.join(KINDS)}"
            raise BadInput(f"server {printable(str(self.kind))[:40]}", "there is no such kind", hint)
        if (
            not isinstance(self.name, str)
            or not self.name.strip()
            or len(self.name.encode(errors="replace")) > 31
            or printable(self.name) != self.name
        ):
            raise BadInput("server", "a name has 1 to 31 bytes that can be printed")
        check_flags(reclaim=self.reclaim, corrected=self.corrected, hard=self.hard)
        if self.priority is not None and not (isinstance(self.priority, Real) and math.isfinite(self.priority)):
            raise BadInput(f"{self._tried}, priority {printable(str(self.priority))[:40]}", "not a number")
        units: set[str] = set()
        found: dict[str, Any] = {
            "Q": self._time("Q", units),
            "T": self._time("T", units),
            "requests": self._served(units),
        }
        if len(units) > 1:
            raise BadInput(self._tried, "some times have a unit, and others none", "write 2ms everywhere, or 2")
        found |= {"umax": self._share("umax"), "unit": "".join(units)}
        if self.kind == "total_bandwidth":
            found["U"] = self._share("U")
        for name, value in found.items():
            object.__setattr__(self, name, value)
        self._check_budget()

    @property
    def _tried(self) -> str:
        return f"{self.kind.replace('_', ' ')} server {self.name}"

    def _time(self, what: str, units: set[str]) -> Time:
        """A time of it, exactly. 0 has no unit of its own."""
        try:
            time, unit = exact(getattr(self, what), what)
        except BadInput as e:
            raise BadInput(f"{self._tried}, {e.tried}", e.why, e.hint) from None
        units |= {unit} if time else set()
        return time

    def _share(self, what: str) -> Fraction:
        """A share of a processor, exactly."""
        try:
            share = Fraction(exact(getattr(self, what), what)[0])
        except BadInput as e:
            raise BadInput(f"{self._tried}, {e.tried}", "not a number", "a share: 1/4, 0.25") from None
        if not 0 < share <= 1:
            raise BadInput(f"{self._tried}, {what} {share}", "a share is above 0, and at most 1")
        return share

    def _served(self, units: set[str]) -> tuple[tuple[Time, Time], ...]:
        """The requests, exactly, in the order of arrival."""
        found = []
        for number, request in enumerate(_listed(self.requests), 1):
            tried = f"{self._tried}, request {number}"
            try:
                (t, first), (c, second) = (exact(value, "time") for value in request)
            except BadInput as e:
                raise BadInput(f"{tried}: {e.tried}", e.why, e.hint) from None
            except (TypeError, ValueError):
                raise BadInput(tried, "not (arrival, execution)", "for example requests=[(2, 1), (8, 2)]") from None
            if not c:
                raise BadInput(tried, "its execution must be above zero")
            units |= {first, second} if t else {second}
            found.append((t, c))
        return tuple(sorted(found, key=lambda request: request[0]))

    def _check_budget(self) -> None:
        if self.kind in ("background", "total_bandwidth"):
            return
        for what in ("Q", "T"):
            if not getattr(self, what):
                raise BadInput(self._tried, f"{what} must be above zero")
        if self.Q > self.T:
            raise BadInput(
                self._tried, f"its Q, {words(self.Q, self.unit)}, is above its T, {words(self.T, self.unit)}"
            )

    @property
    def utilisation(self) -> Fraction:
        """Its share of a processor: Q / T, or U; of a background server, 0."""
        return self.U if self.U is not None else Fraction(self.Q) / (self.T or 1)

    def check(self, ts: TaskSet) -> None:
        """Does it go with the set? Raises BadInput where the times of one have a unit, and those of the other none."""
        if (self.T or self.requests) and self.unit != ts.unit:
            own, other = ("have a unit", "none") if self.unit else ("have no unit", "one")
            raise BadInput(self._tried, f"its times {own}, and those of the set have {other}", "the same in both")

    def __str__(self) -> str:
        own = f"U = {self.U}" if self.U is not None else f"{words(self.Q, self.unit)}, {words(self.T, self.unit)}"
        return f"{self.name}: {self.kind.replace('_', ' ')} server" + (f" ({own})" if self.utilisation else "")


def _listed(requests: _Requests) -> tuple[Any, ...]:
    """The requests as they are given. Raises BadInput for what is no list."""
    if not isinstance(requests, Iterable):
        hint = "for example requests=[(2, 1), (8, 2)]"
        raise BadInput(f"server, requests {printable(str(requests))[:40]}", "not a list of them", hint)
    return tuple(requests)


def _check_servers(tried: str, *servers: Any) -> None:
    for server in servers:
        if not isinstance(server, Server):
            raise BadInput(f"{tried}, {printable(repr(server))[:40]}", "it is no server", "for example polling(2, 5)")


def background(requests: _Requests = (), *, name: str = "S") -> Server:
    """A server that serves when no task wants the processor.

    >>> print(background([(2, 2), (8, 1)]))
    S: background server
    """
    return Server("background", name=name, requests=_listed(requests))


def polling(Q: Any, T: Any, requests: _Requests = (), *, name: str = "S", priority: Any = None) -> Server:
    """A polling server: budget Q at each multiple of T, lost as soon as there is no work.

    Raises BadInput. Source: Lehoczky, Sha, Strosnider: Enhanced aperiodic responsiveness in hard real-time
    environments, RTSS 1987.

    >>> print(polling("2ms", "5ms"))
    S: polling server (2 ms, 5 ms)
    """
    return Server("polling", Q, T, name, _listed(requests), priority)


def deferrable(Q: Any, T: Any, requests: _Requests = (), *, name: str = "S", priority: Any = None) -> Server:
    """A deferrable server: budget Q at each multiple of T, kept until the next one.

    Raises BadInput. Source: Strosnider, Lehoczky, Sha: The deferrable server algorithm for enhanced aperiodic
    responsiveness in hard real-time environments, IEEE Transactions on Computers 44(1), 1995.

    >>> deferrable(2, 5).utilisation
    Fraction(2, 5)
    """
    return Server("deferrable", Q, T, name, _listed(requests), priority)


def sporadic(
    Q: Any, T: Any, requests: _Requests = (), *, name: str = "S", priority: Any = None, corrected: bool = False
) -> Server:
    """A sporadic server: what it consumes comes back T after the activation, the instant since when it has had work.

    Raises BadInput. Source: Sprunt, Sha, Lehoczky: Aperiodic task scheduling for hard real-time systems, Real-Time
    Systems 1(1), 1989; its form for high priorities. Below other tasks it can take more than Q in T: budget that comes
    back while it waits is counted from before it came. `corrected`: counted from when it came (Stanovich, Baker, Wang,
    Gonzalez Harbour: Defects of the POSIX sporadic server and how to correct them, RTAS 2010).

    >>> print(sporadic(2, 5))
    S: sporadic server (2, 5)
    """
    return Server("sporadic", Q, T, name, _listed(requests), priority, corrected=corrected)


def total_bandwidth(U: Any, requests: _Requests = (), *, name: str = "S", priority: Any = None) -> Server:
    """A total bandwidth server, under EDF: request k gets the deadline d_k = max(r_k, d_(k-1)) + C_k / U.

    Raises BadInput. Source: Spuri, Buttazzo: Scheduling aperiodic tasks in dynamic priority systems, Real-Time
    Systems 10(2), 1996.

    >>> print(total_bandwidth("1/4"))
    S: total bandwidth server (U = 1/4)
    """
    return Server("total_bandwidth", name=name, requests=_listed(requests), priority=priority, U=U)


def constant_bandwidth(
    Q: Any,
    T: Any,
    requests: _Requests = (),
    *,
    name: str = "S",
    priority: Any = None,
    reclaim: bool = False,
    umax: Any = 1,
    hard: bool = False,
) -> Server:
    """A constant bandwidth server, under EDF: an empty budget is filled at once, and the deadline moves on by T.

    `hard`: it is filled not before the old deadline, as Linux does. `reclaim`: GRUB: the budget decreases at the rate
    of the active utilisation / `umax`, so that it may use what others leave. Raises BadInput. Sources: Abeni, Buttazzo:
    Integrating multimedia applications in hard real-time systems, RTSS 1998; Lipari, Baruah: Greedy reclamation of
    unused bandwidth in constant-bandwidth servers, ECRTS 2000; Linux, Documentation/scheduler/sched-deadline.rst, 2.2.

    >>> print(constant_bandwidth(3, 8, reclaim=True))
    S: constant bandwidth server (3, 8)
    """
    kind = "constant_bandwidth"
    return Server(kind, Q, T, name, _listed(requests), priority, reclaim=reclaim, umax=umax, hard=hard)


@of_a_set
def with_server(ts: TaskSet, *servers: Server) -> TaskSet:
    """The set with each server put in as a task, after the others, with its place in the priorities.

    A polling or sporadic server is a task (Q, T). A deferrable one can serve at the end of a period and at the begin
    of the next: jitter T - Q, and the deadline is T after the release. Response times of this set bound those of the
    tasks beneath the servers. Raises BadInput for a server that has no such bound. Source: Bernat, Burns: New results
    on fixed priority aperiodic servers, RTSS 1999.

    >>> print(with_server(TaskSet(C=[1, 2], T=[4, 6]), deferrable(1, 5)))
    t1 (1, 4), t2 (2, 6), S (1, 5, 9)
    """
    _check_servers("with_server", *servers)
    order = [(n, 1, at) for n, at in enumerate(ts.order)]
    order += [(_spot(ts, server), 0, at) for at, server in enumerate(servers, len(ts))]
    order.sort()
    for at, server in enumerate(servers, len(ts)):
        _check_bound(ts, server, at_top=order[0][2] == at)
    tasks = [*ts, *map(_as_task, servers)]
    named = TaskSet((replace(task, priority=n) for n, task in enumerate(tasks, 1)), unit=ts.unit)
    return named.with_priorities(at for _, _, at in order)


def _spot(ts: TaskSet, server: Server) -> int:
    """Before how many tasks in the priority order it goes, seen from the last: where the simulation puts it too."""
    for n, at in enumerate(ts.order):
        if (ts[at].T >= server.T) if server.priority is None else (ts[at].priority >= server.priority):
            return n
    return len(ts)


def _check_bound(ts: TaskSet, server: Server, *, at_top: bool) -> None:
    server.check(ts)
    tried = f"with_server({server})"
    if server.kind == "background":
        raise BadInput(tried, "it takes nothing from the tasks", "analyse the set without it")
    if server.kind not in _FIXED:
        raise BadInput(tried, "it lives under EDF, and is no task there", "bandwidth(ts, server) is its test")
    if server.kind == "sporadic" and not (server.corrected or at_top):
        why = "below others it can take more than Q in T, and no bound is known"
        raise BadInput(tried, why, "corrected=True; or the highest priority")


def _as_task(server: Server) -> Task:
    jitter = server.T - server.Q if server.kind == "deferrable" else 0
    return Task(server.name, server.Q, server.T, server.T + jitter, jitter=jitter)


# Bounds.


def server_bound(kind: str, n: int, Us: Any) -> float:
    """The utilisation up to which n tasks are schedulable under RM beside a server of that kind and utilisation Us.

    `kind`: polling, sporadic or deferrable. Raises BadInput. Source: Buttazzo, Hard Real-Time Computing Systems,
    chapter 5; n ((2 / (Us + 1))^(1/n) - 1), and n (((Us + 2) / (2 Us + 1))^(1/n) - 1).

    >>> round(server_bound("polling", 2, 0.1), 6), round(server_bound("deferrable", 2, 0.1), 6)
    (0.696799, 0.645751)
    """
    if type(n) is not int or n < 1:
        raise BadInput(f"server bound, n {printable(str(n))[:40]}", "a whole number from 1")
    share = Fraction(exact(Us, "Us")[0])
    if share > 1:
        raise BadInput(f"server bound, Us {share}", "a share is at most 1")
    return n * math.expm1(math.log(_room(kind, share)) / n)


def _room(kind: str, Us: Fraction) -> Fraction:
    """What the product of all (U + 1) of the tasks may reach."""
    if kind == "deferrable":
        return (Us + 2) / (2 * Us + 1)
    if kind in _FIXED:
        return 2 / (Us + 1)
    raise BadInput(f"server bound of {printable(str(kind))[:40]}", "there is none", f"one of {', '.join(_FIXED)}")


_ROOM_WORDS = {"deferrable": "(Us + 2)/(2 Us + 1)", "polling": "2/(Us + 1)", "sporadic": "2/(Us + 1)"}


@of_a_set
def server_liu_layland(ts: TaskSet, server: Server) -> Verdict:
    """The utilisation bound beside a server: U <= n (K^(1/n) - 1), compared exactly as (1 + U/n)^n <= K.

    K is 2/(Us + 1) of a polling or sporadic server, (Us + 2)/(2 Us + 1) of a deferrable one. It holds for
    rate-monotonic priorities, D >= T, no jitter, no blocking; beside a deferrable server, which has the highest
    priority, for periods of at least T + Q of it. Raises BadInput. Source: as server_bound.

    >>> server_liu_layland(TaskSet(C=[1, 1], T=[4, 8]), polling(1, 4)).passed
    True
    """
    _check_servers("server_liu_layland", server)
    n, room = len(ts), _room(server.kind, server.utilisation)
    passed = is_below(ts.U, n, room)
    U, bound = sides(ts.U, _bound(n, room, ts.U), digits=4)
    inequality = f"U = {U} <= {n} (({_ROOM_WORDS[server.kind]})^(1/{n}) - 1) = {bound}"
    return _bound_verdict(ts, server, f"{server.kind} server, Liu and Layland", passed, inequality)


def _bound(n: int, room: Fraction, U: Fraction) -> Fraction:
    """n (room^(1/n) - 1), to fifty digits; U itself where it is as near as that."""
    with localcontext(prec=50):
        power = (Decimal(room.numerator) / Decimal(room.denominator)) ** (1 / Decimal(n))
    bound = n * (Fraction(power) - 1)
    return U if abs(U - bound) < Fraction(1, 10**40) else bound


@of_a_set
def server_hyperbolic(ts: TaskSet, server: Server) -> Verdict:
    """The hyperbolic bound beside a server: the product of (U_i + 1) <= K; see server_liu_layland.

    Raises BadInput. Source: Bini, Buttazzo, Buttazzo: Rate monotonic analysis: the hyperbolic bound, IEEE Transactions
    on Computers 52(7), 2003; Buttazzo, Hard Real-Time Computing Systems, chapter 5.

    >>> print(server_hyperbolic(TaskSet(C=[1, 2], T=[10, 20]), deferrable(1, 5)))
    deferrable server, hyperbolic: prod (U_i + 1) = 121/100 <= (Us + 2)/(2 Us + 1) = 11/7: holds, schedulable
    """
    _check_servers("server_hyperbolic", server)
    room = _room(server.kind, server.utilisation)
    product = math.prod((task.U + 1 for task in ts), start=Fraction(1))
    left, right = sides(product, room)
    inequality = f"prod (U_i + 1) = {left} <= {_ROOM_WORDS[server.kind]} = {right}"
    return _bound_verdict(ts, server, f"{server.kind} server, hyperbolic", product <= room, inequality)


def _bound_verdict(ts: TaskSet, server: Server, test: str, passed: bool, inequality: str) -> Verdict:
    """Passed, where the bound is proven for such a set; if not, the witness says why not."""
    server.check(ts)
    ts.check_independent(test)
    task, why = _outside(ts, server)
    witness = Witness(f"the bound is not for it: {why}", task=task) if why else None
    return Verdict(ts, test, "sufficient", passed and not why, inequality, witness)


def _outside(ts: TaskSet, server: Server) -> tuple[str, str]:
    """What the bound does not cover: a task's name, and why; empty, where it covers the set."""
    spot = _spot(ts, server)
    if server.kind == "deferrable" and spot:
        return server.name, f"{server.name} has not the highest priority"
    if server.kind == "sporadic" and spot and not server.corrected:
        return server.name, f"{server.name} has not the highest priority, and is not the corrected one"
    periods: list[tuple[Time, str]] = [(ts[at].T, ts[at].name) for at in ts.order]
    periods.insert(spot, (server.T, server.name))
    for (before, _), (period, name) in pairwise(periods):
        if period < before:
            return name, f"the priority of {name} is not rate-monotonic"
    least = server.T + server.Q if server.kind == "deferrable" else 0
    for task in ts:
        if task.D < task.T or task.jitter:
            return task.name, f"{task.name} has {'a jitter' if task.jitter else 'D < T'}"
        if least > task.T:
            return task.name, f"the T of {task.name} is below T + Q = {ts.words(least)} of {server.name}"
    return "", ""


class LeastBound(NamedTuple):
    """The utilisation Us of the server at which the bound of all, tasks and server, is least; and that bound."""

    Us: float
    U: float


def deferrable_least_bound(n: int | None = None) -> LeastBound:
    """Where the bound of RM with a deferrable server, Us + n (K^(1/n) - 1), is least, of all Us. None: n without limit.

    Found where its derivative 1 - 3 / (2 Us + 1)^2 K^(1/n - 1) changes its sign. Raises BadInput. Sources: Lehoczky,
    Sha, Strosnider, RTSS 1987; Strosnider, Lehoczky, Sha 1995.

    >>> [round(value, 4) for value in deferrable_least_bound()]
    [0.1861, 0.6518]
    """
    if n is not None and (type(n) is not int or n < 1):
        raise BadInput(f"deferrable bound, n {printable(str(n))[:40]}", "a whole number from 1, or None")
    power = -1 if n is None else 1 / n - 1
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        slope = 1 - 3 / (2 * middle + 1) ** 2 * ((middle + 2) / (2 * middle + 1)) ** power
        low, high = (middle, high) if slope < 0 else (low, middle)
    room = math.log((low + 2) / (2 * low + 1))
    return LeastBound(low, low + (room if n is None else n * math.expm1(room / n)))


@of_a_set
def bandwidth(ts: TaskSet, *servers: Server) -> Verdict:
    """The test of total and constant bandwidth servers under EDF: U of the tasks + U of the servers <= 1.

    Exact where each D >= T and there is no jitter; else sufficient, with the density: C / min(D - J, T), which proves
    nothing beside a server that reclaims, as it takes what U leaves. Raises BadInput for other servers, and where the
    tasks share resources. Sources: Spuri, Buttazzo 1996; Abeni, Buttazzo 1998.

    >>> print(bandwidth(TaskSet(C=[3, 2], T=[6, 8]), total_bandwidth("1/4")))
    bandwidth: U_p + U_s = 3/4 + 1/4 = 1 <= 1: holds, schedulable
    """
    _check_servers("bandwidth", *servers)
    ts.check_independent("bandwidth")
    for server in servers:
        server.check(ts)
        if server.kind not in ("total_bandwidth", "constant_bandwidth", "background"):
            raise BadInput(
                f"bandwidth({server})", "it has no bandwidth under EDF", "total_bandwidth, constant_bandwidth"
            )
    plain = all(task.D >= task.T and not task.jitter for task in ts)
    late = next((task for task in ts if task.jitter >= task.D), None)
    if late is not None:
        why = f"{late.name} can be released at its deadline"
        inequality = f"J = {ts.words(late.jitter)} < D = {ts.words(late.D)} of {late.name}"
        return Verdict(ts, "bandwidth", "exact", False, inequality, Witness(why, task=late.name))
    own = sum((Fraction(task.C) / min(task.D - task.jitter, task.T) for task in ts), Fraction())
    own, others = ts.U if plain else own, sum((server.utilisation for server in servers), Fraction())
    sum_ = f"{share(own)} + {share(others)} = {share(own + others)}"
    inequality = f"{'U_p' if plain else 'density'} + U_s = {sum_} <= 1"
    greedy = None if plain else next((server for server in servers if server.reclaim), None)
    witness = None
    if greedy:
        why = f"{greedy.name} reclaims what U leaves, and not every D is T or later, without jitter"
        witness = Witness(f"the bound is not for it: {why}", task=greedy.name)
    passed = own + others <= 1 and not greedy
    return Verdict(ts, "bandwidth", "exact" if plain else "sufficient", passed, inequality, witness)

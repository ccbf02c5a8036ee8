# SPDX-License-Identifier: MIT
"""What is simulated? Every job up to the end: when it arrives and is released, how much it executes. In ticks."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from rtnb.errors import BadInput, closest
from rtnb.text import printable
from rtnb.theory.deadlock import protocol_of
from rtnb.theory.digits import counted
from rtnb.theory.exact import Time, from_ticks, in_ticks, ticks
from rtnb.theory.options import check_cpus, check_flags, check_takes
from rtnb.theory.servers import Server
from rtnb.theory.simulation.policy import Policy, policy_of
from rtnb.theory.taskset import TaskSet

__all__ = ["COLUMNS", "LATE", "MOST_JOBS", "Plan", "plan"]

LATE = ("continue", "abort", "skip")
COLUMNS = ("lane", "number", "arrival", "release", "deadline", "execution")
MOST_JOBS = 2_000_000
MOST_QUANTA = 1_000_000
_END = 2**62  # beyond it a sum of two times might not be an int64

Execution = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Plan:
    """All that a simulation needs to know. `jobs` has an entry a job, in order of release, then list order."""

    taskset: TaskSet
    policy: Policy
    per_unit: int
    until: int
    cpus: int
    protocol: str
    servers: tuple[Server, ...]
    late: str
    preemptive: bool
    quantum: int
    jobs: dict[str, np.ndarray[Any, Any]]
    """An array for lane (the place of its task), number, arrival, release, deadline and execution."""

    def time(self, count: Time) -> Time:
        """Ticks of this plan as a time of the set."""
        return from_ticks(count, self.per_unit)


def plan(
    ts: TaskSet,
    policy: Any = "fp",
    *,
    until: Time | str | None = None,
    cpus: int = 1,
    protocol: str = "none",
    servers: Iterable[Server] = (),
    late: str = "continue",
    execution: Execution | None = None,
    jitter: str | int = "none",
    preemptive: bool = True,
    quantum: Time | str | None = None,
) -> Plan:
    """The plan of a simulation, its arguments checked; see `simulate`. Raises BadInput."""
    check_flags(preemptive=preemptive)
    servers = _servers(servers)
    if not isinstance(execution, Mapping | None):
        hint = 'execution={"t1": 2}'
        raise BadInput(f"execution {printable(repr(execution))[:40]}", "it is a mapping, by name of the task", hint)
    _check(ts, cpus, late, servers)
    asked = {name: _asked(ts, name, given) for name, given in (execution or {}).items()}
    end = _horizon(ts, servers, jitter != "none") if until is None else _positive(ts, until, "until")
    slice_ = None if quantum is None else _positive(ts, quantum, "quantum")
    counts = [_count(task.offset, task.T, end) for task in ts]
    load = ts.U + sum(server.utilisation for server in servers)
    _bound(sum(counts) + sum(_server_events(server, end, load) for server in servers), bool(servers))
    spent = {name: _spent(ts, name, asked[name], counts[ts.index(name)]) for name in asked}
    per_unit = math.lcm(
        ts.per_unit,
        ticks([end, *([slice_] if slice_ else []), *(time for times in spent.values() for time in times)]),
        *(ticks([r for request in server.requests for r in request]) for server in servers),
        *(ticks([time for time in (server.Q, server.T) if time]) for server in servers),
    )
    if end * per_unit >= _END:
        raise BadInput(f"until {ts.words(end)}", f"these are more than 2**62 ticks of 1/{per_unit}", "until=: shorter")
    chosen = policy_of(policy)
    arrays = _jobs(ts, per_unit, counts, spent, jitter)
    step = _quantum(ts, per_unit, chosen, end, slice_)
    last = in_ticks(end, per_unit)
    return Plan(ts, chosen, per_unit, last, cpus, protocol_of(protocol), servers, late, preemptive, step, arrays)


def _servers(given: Any) -> tuple[Server, ...]:
    """The servers as they are given. Raises BadInput."""
    hint = "for example servers=[polling(2, 5)]"
    if not isinstance(given, Iterable):
        raise BadInput(f"servers {printable(str(given))[:60]}", "not a list of servers", hint)
    found = tuple(given)
    for server in found:
        if not isinstance(server, Server):
            raise BadInput(f"servers: {printable(repr(server))[:60]}", "it is no server", hint)
    return found


def _check(ts: TaskSet, cpus: int, late: str, servers: tuple[Server, ...]) -> None:
    check_cpus(cpus)
    for task in ts:
        if task.cpu is not None and task.cpu >= cpus:
            hint = f"cpus={task.cpu + 1}: they are numbered from 0"
            raise BadInput(f"task {task.name}", f"it runs on CPU {task.cpu} only, and there are {cpus}", hint)
    if late not in LATE:
        hint = closest(str(late), LATE) or f"one of {', '.join(LATE)}"
        raise BadInput(f"late {printable(str(late))[:40]}", "no such way with late jobs", hint)
    for server in servers:
        server.check(ts)
    names = [task.name for task in ts] + [server.name for server in servers]
    for at, name in enumerate(names):
        if name in names[:at]:
            raise BadInput(f"server {name}", "there is a task or server of that name", "give it another: name=")


def _positive(ts: TaskSet, given: Any, what: str) -> Time:
    found = ts.time(given, what)
    if not found:
        raise BadInput(f"{what} {given}", "must be above zero")
    return found


def _horizon(ts: TaskSet, servers: tuple[Server, ...], jitter: bool) -> Time:
    """The hyperperiod; twice that and the largest offset, where releases are not all at once; past all requests."""
    once = ts.hyperperiod
    last = max((task.offset for task in ts), default=0)
    end = 2 * once + last if last or jitter else once
    asked = max((t for server in servers for t, _ in server.requests), default=-1)
    return end if asked < 0 else max(end, (asked // once + 2) * once)


def _count(offset: Time, T: Time, end: Time) -> int:
    """How many jobs arrive before the end."""
    return max(0, -int(-(end - offset) // T))


def _server_events(server: Server, end: Time, load: Fraction) -> int:
    """How many requests it has, and how often its budget may be filled, with a load of that on the processor."""
    found = len(server.requests) + (_count(0, server.T, end) if server.T else 0)
    if server.kind == "constant_bandwidth" and not server.hard:  # filled whenever it is used up, a T or not
        rate = max(load / server.umax, Fraction(1)) if server.reclaim else 1
        found += int(min(end, sum(execution for _, execution in server.requests)) * rate // server.Q)
    return found


def _bound(jobs: int, servers: bool) -> None:
    if jobs > MOST_JOBS:
        what, hint = "jobs", "until=: a shorter time than the hyperperiod"
        if servers:
            what, hint = "jobs and budgets to fill", "until=: a shorter time; or servers with a larger Q and T"
        raise BadInput("simulation", f"it has {counted(jobs)} {what}, and at most {MOST_JOBS:,} are simulated", hint)


def _asked(ts: TaskSet, name: str, given: Any) -> Any:
    """What `execution` says of one task: a function, or a list of times, or one time."""
    ts.index(name)
    if callable(given):
        check_takes(given, f"execution of {name}", "number")
        return given
    if isinstance(given, Sequence | np.ndarray) and not isinstance(given, str):
        return [_positive(ts, item, f"execution of {name}") for item in given]
    return _positive(ts, given, f"execution of {name}")


def _spent(ts: TaskSet, name: str, asked: Any, count: int) -> list[Time]:
    """What each job of the task executes: past the end of a list, its C."""
    if callable(asked):
        return [_positive(ts, asked(number), f"execution of {name}") for number in range(1, count + 1)]
    return (asked[:count] + [ts[name].C] * (count - len(asked))) if isinstance(asked, list) else [asked] * count


def _quantum(ts: TaskSet, per_unit: int, policy: Policy, end: Time, given: Time | None) -> int:
    """How often a dynamic policy decides anew, in ticks: by default the greatest time that divides all of the set's."""
    times = [time for task in ts for time in (task.C, task.T, task.D, task.offset)]
    found = in_ticks(given, per_unit) if given else math.gcd(*(in_ticks(time, per_unit) for time in times))
    if policy.dynamic and end * per_unit // found > MOST_QUANTA:
        why = f"it would decide anew every {ts.words(from_ticks(found, per_unit))}"
        raise BadInput(f"policy {policy.name}", why, "quantum=: a longer one; or until=: a shorter time")
    return found


def _jobs(
    ts: TaskSet, per_unit: int, counts: list[int], spent: dict[str, list[Time]], jitter: str | int
) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of the plan."""
    late = _lateness(jitter)
    columns: dict[str, list[np.ndarray[Any, Any]]] = {}
    for at, (task, count) in enumerate(zip(ts, counts, strict=True)):
        C, T, D, J, first = (in_ticks(t, per_unit) for t in (task.C, task.T, task.D, task.jitter, task.offset))
        if max(C, D, J, first) >= _END:
            raise BadInput(f"task {task.name}", "its times are more than 2**62 ticks")
        numbers = np.arange(1, count + 1)
        arrival = first + (numbers - 1) * (T if count > 1 else 0)
        release = np.maximum.accumulate(arrival + late(J, count)) if J else arrival  # one job never overtakes another
        own = spent.get(task.name)
        execution = np.array([in_ticks(t, per_unit) for t in own], dtype="int64") if own else np.full(count, C)
        values = (np.full(count, at), numbers, arrival, release, arrival + D, execution)
        for name, array in zip(COLUMNS, values, strict=True):
            columns.setdefault(name, []).append(array)
    joined = {name: np.concatenate(arrays) for name, arrays in columns.items()}
    order = np.lexsort((joined["number"], joined["lane"], joined["release"]))
    return {name: array[order] for name, array in joined.items()}


def _lateness(jitter: str | int) -> Callable[[int, int], np.ndarray[Any, Any]]:
    """How late after its arrival each job of a task with jitter J is released. Raises BadInput."""
    if jitter == "none":
        return lambda J, count: np.zeros(count, dtype="int64")
    if jitter == "critical":
        return lambda J, count: np.where(np.arange(count) == 0, J, 0)
    if not isinstance(jitter, int) or isinstance(jitter, bool):
        hint = "none, critical (the first job of each task as late as it can be), or a whole number as a seed"
        raise BadInput(f"jitter {printable(str(jitter))[:40]}", "no such way with jitter", hint)
    rng = random.Random(jitter)
    return lambda J, count: np.array([rng.randint(0, J) for _ in range(count)], dtype="int64")

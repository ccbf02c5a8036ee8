# SPDX-License-Identifier: MIT
"""What does theory say of a set, before it is run? A bound on each response time, and the largest one simulated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rtnb.errors import BadInput
from rtnb.theory.blocking import blocking
from rtnb.theory.demand import qpa
from rtnb.theory.edf import edf_response_times
from rtnb.theory.exact import Time
from rtnb.theory.multiprocessor import gfb, tardiness
from rtnb.theory.response import response_times
from rtnb.theory.simulation import simulate
from rtnb.theory.taskset import TaskSet

__all__ = ["Prediction", "Run", "predict"]

Times = tuple[int | None, ...]


@dataclass(frozen=True)
class Run:
    """What a run was told: all that theory needs to predict it. `taskset` counts ns, with the policy's priorities."""

    taskset: TaskSet
    policy: str
    protocol: str
    cpus: int
    length_ns: int
    late: str
    execution: Mapping[str, int]


@dataclass(frozen=True)
class Prediction:
    """In list order, in ns: the bounds, with their source in words; None: no bound. `B`: the blocking terms."""

    R: Times
    source: str
    simulated: Times
    B: Times
    notes: tuple[str, ...] = ()


def predict(run: Run) -> Prediction:
    """The bound of the tests that fit, the simulation of as long as the run took, and the blocking terms.

    Where no test fits, there is no bound, and the source says why.
    """
    notes: list[str] = []
    try:
        R, source = _bounds(run)
    except BadInput as e:
        R, source = (None,) * len(run.taskset), f"no bound: {e.tried}: {e.why}"
    try:
        simulated = _simulated(run)
    except BadInput as e:
        simulated = (None,) * len(run.taskset)
        notes.append(f"not simulated: {e.tried}: {e.why}")
    return Prediction(R, source, simulated, _blocking(run), tuple(notes))


def _simulated(run: Run) -> Times:
    """The largest response times of jobs that take what the real ones were told to."""
    ts = run.taskset
    policy = "edf" if run.policy == "edf" else "fp"
    free = TaskSet([_anywhere(ts, at, run) for at in range(len(ts))], unit="ns")
    schedule = simulate(
        free,
        policy,
        until=run.length_ns,
        cpus=run.cpus,
        protocol=run.protocol,
        late=run.late,
        execution={task.name: run.execution[task.name] for task in ts},
    )
    return _whole(schedule.response_times[task.name] for task in ts)


def _anywhere(ts: TaskSet, at: int, run: Run) -> dict[str, object]:
    """A task as the kernel has it: without jitter, and under SCHED_DEADLINE on any CPU."""
    names = ("name", "C", "T", "D", "priority", "offset", "sections")
    return {**{name: getattr(ts[at], name) for name in names}, "cpu": None if run.policy == "edf" else ts[at].cpu}


def _blocking(run: Run) -> Times:
    if not run.taskset.shared:
        return (0,) * len(run.taskset)
    try:
        return _whole(blocking(run.taskset, run.protocol, policy="edf" if run.policy == "edf" else "fp").B)
    except BadInput:  # no term is known: where they are on several CPUs, or under EDF with release jitter
        return (None,) * len(run.taskset)


def _whole(times: Iterable[Time | None]) -> Times:
    """Rounded up: a bound stays one."""
    return tuple(None if time is None else -int(-time // 1) for time in times)


def _bounds(run: Run) -> tuple[Times, str]:
    """The bounds, and where they come from. Raises BadInput where no test fits."""
    ts = run.taskset
    protocol = run.protocol if ts.shared else None
    if run.policy == "edf":
        return _edf(ts, run.cpus, protocol)
    if run.cpus == 1:
        return _whole(response_times(ts, blocking=protocol).R), "response times"
    if protocol is not None or any(task.cpu is None for task in ts):
        why = "no test here bounds response times where tasks share CPUs, or resources across them"
        raise BadInput(f"{run.cpus} CPUs", why, "give each task its cpu")
    return _partitioned(ts, run.cpus), "response times, each CPU by itself"


def _partitioned(ts: TaskSet, cpus: int) -> Times:
    found: dict[str, int | None] = {}
    for cpu in range(cpus):
        own = [task for task in ts if task.cpu == cpu]
        if own:
            R = _whole(response_times(TaskSet(own, unit="ns")).R)
            found |= {task.name: time for task, time in zip(own, R, strict=True)}
    return tuple(found[task.name] for task in ts)


def _edf(ts: TaskSet, cpus: int, protocol: str | None) -> tuple[Times, str]:
    """Global EDF on as many CPUs as there are; with blocking, the deadline where that is proved to be met."""
    D = _whole(task.D for task in ts)
    if cpus == 1 and protocol is None:
        return _whole(edf_response_times(ts).R), "EDF response times"
    if cpus == 1:
        if qpa(ts, blocking=protocol):
            return D, "the deadline, which QPA proves to be met"
        raise BadInput("edf", "QPA does not prove that the deadlines are met")
    if protocol is not None:
        raise BadInput(f"edf on {cpus} CPUs", "no test here knows of blocking there")
    free = ts.with_(cpu=None)
    if len(ts) <= cpus:
        return _whole(task.C + task.jitter for task in ts), "C: each has a CPU to itself"
    if gfb(free, cpus):
        return D, "the deadline, which GFB proves to be met"
    late = tardiness(free, cpus)
    return _whole(time + late for time in (task.D for task in ts)), "the deadline and the tardiness bound of global EDF"

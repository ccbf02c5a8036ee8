# SPDX-License-Identifier: MIT
"""What does a task set become on a kernel? Real tasks: policies, CPUs, loads and mutexes. A plan that runs nothing."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from rtnb import rt, sched
from rtnb.errors import BadInput, NotSupported
from rtnb.sched.admission.facts import online
from rtnb.text import printable
from rtnb.theory.deadlock import protocol_of
from rtnb.theory.exact import Time, exact, fraction
from rtnb.theory.ladder import assigned
from rtnb.theory.task import Section, Task
from rtnb.theory.taskset import TaskSet, of_a_set
from rtnb.units import duration_ns, in_words, nanoseconds

__all__ = ["HIGHEST", "MARGIN", "MUTEXES", "Plan", "SHORTEST_C_NS", "in_ns", "plan"]

HIGHEST = 80
"""The FIFO priority of the set's highest task; the next one has 79, and so on down."""
MARGIN = 0.05
"""How much more than C a SCHED_DEADLINE task may run in a period, as a part of C."""
SHORTEST_C_NS = 50_000
SHARE = Fraction(95, 100)
"""What real-time tasks may have of a CPU: the kernel keeps the rest for others."""
MUTEXES = {"none": "none", "pip": "inherit", "icpp": "protect"}
"""Each protocol of the theory that Linux has, and the mutex that follows it."""
_WITHOUT = {
    "pcp": "Linux has no mutex with the original ceiling protocol",
    "npp": "Linux has no mutex that keeps a thread from being preempted",
}
_SHORT_NS, _LONG_NS = 2_000_000_000, 10_000_000_000
"""A run is of so many whole hyperperiods as take the first, unless told otherwise, and no longer than the second."""


@dataclass(frozen=True)
class Plan:
    """A set as it would run. `taskset` counts nanoseconds, and has the policy's priorities."""

    taskset: TaskSet
    policy: str
    protocol: str
    cpus: int
    """CPUs as the theory counts them: those that the tasks share."""
    tasks: tuple[rt.Task, ...]
    mutexes: Mapping[str, str | tuple[str, int]]
    length_ns: int
    execution: Mapping[str, int]
    """What each job is to take of the CPU, all told, in ns."""
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join(map(str, self.tasks))


@of_a_set
def in_ns(ts: TaskSet, scale: str | None = None) -> TaskSet:
    """The same set, its times in nanoseconds; `scale` is how long a unit is, of a set whose times have none.

    Raises BadInput: no scale where one is wanted, one where none is, a time that is no whole number of nanoseconds.

    >>> print(in_ns(TaskSet(C=[1, 2], T=[4, 8]), "1ms"))
    t1 (1 ms, 4 ms), t2 (2 ms, 8 ms)
    """
    per = _per_unit(ts, scale)

    def ns(time: Time) -> int:
        found = fraction(Fraction(time) * per)
        if not isinstance(found, int):
            why = f"{time} of {in_words(per)} is no whole number of nanoseconds"
            raise BadInput("run of a task set", why, "choose a scale of which its fractions are whole: 3ms for 7/3")
        return found

    rows = []
    for task in ts:
        times: dict[str, Any] = {name: ns(getattr(task, name)) for name in ("C", "T", "D", "jitter", "offset")}
        held = tuple(Section(s.resource, ns(s.start), ns(s.length)) for s in task.sections)
        rows.append(replace(task, sections=held, **times))
    return TaskSet(rows, unit="ns")


def _per_unit(ts: TaskSet, scale: str | None) -> int:
    if ts.unit and scale is not None:
        raise BadInput(f"scale {scale}", "the set's times have a unit already", "leave it out")
    if not ts.unit and scale is None:
        hint = 'say how long one unit is: scale="1ms"; or write the times with a unit: 2ms'
        raise BadInput("run of a task set", "its times have no unit, and a kernel counts nanoseconds", hint)
    return 1 if scale is None else duration_ns(scale, what="scale")


@of_a_set
def plan(
    ts: TaskSet,
    policy: str = "fp",
    *,
    duration: str | int | None = None,
    scale: str | None = None,
    protocol: str = "none",
    cpu: int | None = None,
    cpus: int = 1,
    execution: Mapping[str, Any] | None = None,
    margin: float = MARGIN,
    late: str = "continue",
    overhead_ns: int = 0,
    allowed: Collection[int] | None = None,
) -> Plan:
    """The real tasks of a set; run() says what the options mean. Touches no kernel but for the CPUs there are.

    `overhead_ns` is taken off each job's load, at most half of it. `allowed`: the CPUs that may be used (None: those
    of this process). Raises BadInput; NotSupported for a protocol that Linux has not.

    >>> print(plan(TaskSet(C=[1, 2], T=[4, 8]), "rm", scale="1ms", allowed={0, 1}))
    t1 every 4 ms: busy 1 ms, under SCHED_FIFO priority 80 on CPU 1 with memory locked with cpu_dma_latency 0 us
    t2 every 8 ms: busy 2 ms, under SCHED_FIFO priority 79 on CPU 1 with memory locked with cpu_dma_latency 0 us
    """
    _check_options(margin, execution)
    protocol = _protocol(protocol, policy)
    live = assigned(in_ns(ts, scale), policy)
    _check_times(live, policy)
    takes = _execution(ts, live, execution or {}, scale)
    if policy == "edf":
        specs, cpus = _reservations(live, margin), len(online() if allowed is None else allowed)
    else:
        specs = _priorities(live, _chosen(cpu, cpus, os.sched_getaffinity(0) if allowed is None else allowed))
    tasks = tuple(
        _task(task, spec, _load(task, takes[task.name], overhead_ns), late)
        for task, spec in zip(live, specs, strict=True)
    )
    held = {section.resource for task in live for section in task.sections}
    mutexes = {resource: _mutex(resource, protocol, live, specs) for resource in sorted(held)}
    length_ns = _length(live) if duration is None else nanoseconds(duration)
    notes = (*_notes(live, policy, cpus, margin, length_ns), *_room(live, takes, cpus, late))
    return Plan(live, policy, protocol, cpus, tasks, mutexes, length_ns, takes, notes)


def _task(task: Task, spec: sched.Spec, load: list[rt.Step], late: str) -> rt.Task:
    T, D, offset = int(task.T), int(task.D), int(task.offset)
    return rt.Task(task.name, T, spec, load, deadline=D, offset=offset, late=late)


def _check_options(margin: Any, execution: Any) -> None:
    if not isinstance(margin, int | float) or not -1 < margin <= 10:
        raise BadInput(f"margin {printable(str(margin))[:40]}", "it is a part of C, above -1: 0.05 for 5 % more")
    if not isinstance(execution, Mapping | None):
        hint = 'execution={"t1": "2ms"}'
        raise BadInput(f"execution {printable(repr(execution))[:40]}", "it is a mapping, by name of the task", hint)


def _protocol(protocol: str, policy: str) -> str:
    """The theory's name of it. Raises NotSupported for one that Linux has not."""
    name = protocol_of(protocol)
    hint = "run it with pip or icpp, and simulate this one"
    if name in _WITHOUT:
        raise NotSupported(f"run under {protocol}", _WITHOUT[name], hint)
    if name == "icpp" and policy == "edf":
        why = "a mutex's ceiling is a FIFO priority, and a task under SCHED_DEADLINE has none"
        raise NotSupported(f"run under {protocol}", why, "run it with pip, and simulate this one")
    return name


def _check_times(live: TaskSet, policy: str) -> None:
    for task in live:
        if task.C < SHORTEST_C_NS:
            why = (
                f"its C is {in_words(float(task.C))}, and below {in_words(SHORTEST_C_NS)} the kernel's own part is most"
            )
            raise BadInput(f"run of task {task.name}", why, "take a longer unit: a larger scale")
        if policy == "edf" and not task.C <= task.D <= task.T:
            why = f"SCHED_DEADLINE wants C <= D <= T, and it has {live._brief(task)}"
            raise BadInput(f"run of task {task.name}", why, "a deadline of at most the period")


def _execution(ts: TaskSet, live: TaskSet, given: Mapping[str, Any], scale: str | None) -> dict[str, int]:
    """What a job of each task is to take: C unless given."""
    takes = {task.name: int(task.C) for task in live}
    for name, value in given.items():
        tried = f"execution of {ts[ts.index(name)].name}"
        if callable(value) or (not isinstance(value, str) and hasattr(value, "__iter__")):
            raise BadInput(tried, "on the kernel every job of a task takes the same", "give one time; simulate lists")
        time, unit = exact(value, "execution", ts.unit)
        ns = fraction(time if unit else Fraction(time) * _per_unit(ts, scale))
        if not isinstance(ns, int) or ns < SHORTEST_C_NS:
            raise BadInput(tried, f"it is a whole number of nanoseconds, from {in_words(SHORTEST_C_NS)} on")
        takes[name] = ns
    return takes


def _reservations(live: TaskSet, margin: float) -> list[sched.Spec]:
    """Under SCHED_DEADLINE: runtime C and the margin, as far as the deadline allows. No CPU: the kernel wants none."""
    common: dict[str, Any] = {"lock_memory": True, "cpu_dma_latency_us": 0}
    runtimes = [min(int(task.C * (1 + Fraction(margin))), int(task.D)) for task in live]
    return [sched.deadline(ns, int(t.D), int(t.T), **common) for ns, t in zip(runtimes, live, strict=True)]


def _chosen(cpu: int | None, cpus: int, allowed: Collection[int]) -> list[int]:
    """The CPUs, in order: the highest of those that are allowed."""
    there = sorted(allowed)
    if type(cpus) is not int or not 1 <= cpus <= len(there):
        raise BadInput(f"cpus {cpus}", f"a whole number from 1 to {len(there)}, the CPUs that this process may use")
    if cpu is None:
        return there[-cpus:]
    if cpus != 1 or cpu not in there:
        raise BadInput(f"cpu {cpu}", "it is one CPU that this process may use", f"one of {', '.join(map(str, there))}")
    return [cpu]


def _priorities(live: TaskSet, chosen: list[int]) -> list[sched.Spec]:
    """Under SCHED_FIFO, each on all of the CPUs, or on that which its number among them says."""
    if len(live) > HIGHEST:
        raise BadInput("run of a task set", f"{len(live)} tasks, and there are {HIGHEST} priorities for them")
    rank = {at: HIGHEST - place for place, at in enumerate(live.order)}
    specs = []
    for at, task in enumerate(live):
        if task.cpu is not None and task.cpu >= len(chosen):
            hint = f"run it with cpus={task.cpu + 1}"
            raise BadInput(f"run of task {task.name}", f"it is for cpu {task.cpu}, of {len(chosen)} from 0 on", hint)
        own = chosen if task.cpu is None else chosen[task.cpu]
        specs.append(sched.fifo(rank[at], cpu=own, lock_memory=True, cpu_dma_latency_us=0))
    return specs


def _load(task: Task, takes_ns: int, overhead_ns: int) -> list[rt.Step]:
    """The steps of a job: its execution in pieces, and a lock and an unlock where its sections begin and end.

    One that takes less than C ends where it is by then, as a simulated job does: what it holds it unlocks.
    """
    part = Fraction(takes_ns - min(overhead_ns, takes_ns // 2), takes_ns)
    made: list[rt.Step] = []
    at: Time = 0
    for time, step in [*_locks(task.sections, takes_ns), (takes_ns, None)]:
        ns = int(time * part) - int(at * part)
        made += [rt.busy(ns)] if ns else []
        made += [step] if step else []
        at = time
    return made


def _locks(sections: tuple[Section, ...], takes_ns: int) -> Iterator[tuple[Time, rt.Step]]:
    """After how much execution which lock is taken or given back: what is inside is given back first."""
    held: list[Section] = []
    for section in sections:
        while held and held[-1].end <= section.start:
            yield min(held[-1].end, takes_ns), rt.unlock(held.pop().resource)
        if section.start >= takes_ns:
            break
        yield section.start, rt.lock(section.resource)
        held.append(section)
    while held:
        yield min(held[-1].end, takes_ns), rt.unlock(held.pop().resource)


def _mutex(resource: str, protocol: str, live: TaskSet, specs: list[sched.Spec]) -> str | tuple[str, int]:
    if protocol != "icpp":
        return MUTEXES[protocol]
    users = [s.priority for t, s in zip(live, specs, strict=True) if any(h.resource == resource for h in t.sections)]
    return "protect", max(users)


def _length(live: TaskSet) -> int:
    """Whole hyperperiods of about two seconds in all, after the last offset; ten seconds where one is longer."""
    hyperperiod = int(live.hyperperiod)
    latest = max(int(task.offset) for task in live)
    return min(latest + hyperperiod * max(1, -(-_SHORT_NS // hyperperiod)), latest + _LONG_NS)


def _notes(live: TaskSet, policy: str, cpus: int, margin: float, length_ns: int) -> Iterator[str]:
    """Where the run is not what the set says."""
    if policy == "edf":
        yield (
            f"SCHED_DEADLINE pins no task: it is global EDF on all {cpus} CPUs, and each task has a constant-bandwidth "
            f"server, whose budget is C * {1 + margin:.3g}"
        )
        if bound := [task.name for task in live if task.cpu is not None]:
            yield f"not bound to a CPU, as the set says: {', '.join(bound)}"
    if late := [task.name for task in live if task.jitter]:
        yield f"released without their jitter: {', '.join(late)}"
    if length_ns < live.hyperperiod:
        yield f"the run is shorter than a hyperperiod, {in_words(float(live.hyperperiod))}"


def _room(live: TaskSet, takes: Mapping[str, int], cpus: int, late: str) -> Iterator[str]:
    """What real-time tasks may have of the CPUs. Raises BadInput for a load whose backlog would only grow."""
    U = sum((Fraction(takes[task.name]) / task.T for task in live), Fraction())
    if cpus < U and late == "continue":
        why = f"they take {float(U):.3g} of {cpus} CPU{'s' * (cpus > 1)}, so that late jobs would pile up to the end"
        raise BadInput("run of a task set", why, 'late="skip" leaves out the releases that are slept through')
    if SHARE * cpus < U:
        yield (
            f"they take {float(U):.3g} of {cpus} CPU{'s' * (cpus > 1)}, and the kernel keeps 5 % for others that wait "
            "there (the fair server, or RT throttling)"
        )

# SPDX-License-Identifier: MIT
"""How is a task set run on this kernel? Each task a process, its load calibrated; each job kept, and why it waited."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from rtnb import caps, rt
from rtnb.lives.calibration import Calibration, calibrate
from rtnb.lives.plan import MARGIN, Plan, plan
from rtnb.progress import Progress, or_bar
from rtnb.recording import Recording
from rtnb.rt.task import with_room_for_others
from rtnb.theory.taskset import TaskSet, of_a_set
from rtnb.units import duration_ns, in_words

__all__ = ["run"]


@of_a_set
def run(
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
    trace: bool | None = None,
    keep: int = rt.KEEP,
    progress: Progress | None = None,
) -> Recording:
    """Run the set on this kernel and return its jobs: the table `jobs` (rt.jobs); traced, `segments` and `causes` too.

    `policy` is fp (the set's own priorities), rm or dm, which are SCHED_FIFO, the highest task at 80, all on one CPU
    (`cpu`; the highest that this process may use) or on the `cpus` highest; or edf, which is SCHED_DEADLINE: the
    kernel pins no such task, so it is global EDF on all CPUs, and the budget of a task is C and `margin` of it.

    `scale` says how long a unit of time is ("1ms"), of a set whose times have no unit. `duration` is whole hyperperiods
    of about 2 s unless given, 10 s at most. Each job is busy for C of CPU time, or for what `execution` says of its
    task, less what a job costs beyond its load: that is measured first on the same CPU, and in the header. Sections
    lock mutexes by `protocol`: none, pip (PTHREAD_PRIO_INHERIT) or icpp (PTHREAD_PRIO_PROTECT, its ceiling the
    highest user's priority). `late` jobs "continue", or "skip" the releases that they sleep through. `trace` tells
    where each job's time went (None: where this process may). `keep`: see rt.start. `progress` gets the
    fraction that is done; None: a bar, where somebody looks.

    An interrupt ends the run and returns what there is. Raises BadInput: no unit, a C below 50 us, an overload that
    is to continue; NotPermitted without SCHED_FIFO or SCHED_DEADLINE; NotSupported for pcp and npp: Linux has neither.

    >>> recording = run(TaskSet(C=[1, 2], T=[4, 8]), "rm", scale="1ms", duration="80ms", trace=False)
    >>> recording.frame["task"].value_counts().to_dict()
    {'t1': 20, 't2': 10}
    """
    caps.linux("run of a task set")
    how: dict[str, Any] = {
        "policy": policy, "duration": duration, "scale": scale, "protocol": protocol, "cpu": cpu, "cpus": cpus,
        "execution": execution, "margin": margin, "late": late,
    }  # fmt: skip
    first = plan(ts, **how)
    with_room_for_others(list(first.tasks), {})  # what is wrong with it is told before anything runs
    if first.policy == "edf":  # else what is refused would be FIFO, under which the cost of a job is measured
        caps.require("rt.deadline")
    trace = caps.ask("rt.trace").verdict == "yes" if trace is None else trace
    measured = calibrate(_where(first), trace)
    made = plan(ts, **how, overhead_ns=measured.taken_off_ns)
    going = rt.Run(
        made.tasks,
        made.length_ns,
        mutexes=made.mutexes,
        keep=keep,
        steps=bool(made.mutexes),
        trace=trace,
        source=_words(ts, how),
    )
    with or_bar(progress, f"{len(ts)} tasks, {in_words(made.length_ns)}") as told:
        found = going.complete(told)
    return found.with_header(
        kind="lives",
        notes=(*made.notes, *_taken_off(made, measured), *found.header.notes),
        details={**found.header.details, **_details(ts, scale, made, margin, late, measured)},
    )


def _where(made: Plan) -> int:
    """The CPU on which a job's cost is measured: one that the tasks use."""
    cpus = made.tasks[0].spec.cpus
    return max(cpus) if cpus else max(os.sched_getaffinity(0))


def _words(ts: TaskSet, how: Mapping[str, Any]) -> tuple[str, ...]:
    """What ran, as an argv would have it: the set, and what is not as it is unless told otherwise."""
    usual = {"protocol": "none", "cpus": 1, "margin": MARGIN, "late": "continue"}
    asked = {name: value for name, value in how.items() if value is not None and value != usual.get(name)}
    return (str(ts), *(word for name, value in asked.items() for word in (f"--{name}", str(value))))


def _taken_off(made: Plan, measured: Calibration) -> list[str]:
    """What a reader must know of the calibration."""
    short = [name for name, ns in made.execution.items() if measured.taken_off_ns > ns // 2]
    if not short:
        return []
    cost = in_words(measured.taken_off_ns)
    return [
        f"a job costs {cost} beyond its load here, more than half of the C of {', '.join(short)}: half was taken off"
    ]


def _details(
    ts: TaskSet, scale: str | None, made: Plan, margin: float, late: str, measured: Calibration
) -> dict[str, Any]:
    """What theory needs to predict this run again, anywhere: plain JSON, times as exact text in the set's unit."""
    return {
        "taskset": [
            {
                **{name: str(getattr(task, name)) for name in ("name", "C", "T", "D", "jitter", "offset")},
                "priority": task.priority,
                "cpu": task.cpu,
                "sections": " ".join(map(str, task.sections)),
            }
            for task in ts
        ],
        "unit": ts.unit,
        "scale": scale,
        "scale_ns": 1 if scale is None else duration_ns(scale, what="scale"),
        "policy": made.policy,
        "protocol": made.protocol,
        "cpus": made.cpus,
        "length_ns": made.length_ns,
        "execution_ns": dict(made.execution),
        "margin": margin if made.policy == "edf" else None,
        "late": late,
        "calibration": measured.to_json(),
    }

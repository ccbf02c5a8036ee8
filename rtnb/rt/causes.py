# SPDX-License-Identifier: MIT
"""Why was that wake-up late? Each job's time from its release to its end, in parts that sum to the whole.

A task is asleep, runnable or running, and the switches and wake-ups tell which. Asleep past its release is the timer's
lateness; asleep later on is the job's own waiting. While it is runnable, another task has its CPU: it is preempted, or
throttled, where a real-time task was taken off the CPU for one below its own priority (without what a mutex lent it).
What interrupts take on its CPU goes before all that. CPU time that the task should have had and did not get, for it was
running and its own clock stood still, is the host's. What is left over is said to be unexplained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rtnb import schema
from rtnb.rt.timeline import FAIR, IN, OFF, OUT, Cpu, Life, cut, life
from rtnb.rt.trace import Events
from rtnb.schema import column, table
from rtnb.text import shown

__all__ = ["Cause", "Segment", "STATES", "causes", "segments"]

Array = np.ndarray[Any, Any]

STATES = ("run", "preempted", "interrupt", "blocked", "throttled", "unexplained")
RUN, PREEMPTED, INTERRUPT, BLOCKED, THROTTLED, UNEXPLAINED = range(len(STATES))

_PIECE = np.dtype(
    [("row", "<i8"), ("begin_ns", "<i8"), ("end_ns", "<i8"), ("state", "<i4"), ("cpu", "<i4"), ("by", "S16")]
)
"""A segment in the making; `row` is its job's."""


@table("rt.segments", version=1)
@dataclass(frozen=True)
class Segment:
    """A stretch of a job's time, from its release to its end, in which one thing was the case."""

    task: str = column("category", "", "the task's name")
    job: int = column("int64", "", "the number of the job's release")
    state: str = column("category", "", "run, preempted, interrupt, blocked, throttled or unexplained")
    begin_ns: int = column("int64", "ns", "its begin, CLOCK_MONOTONIC")
    end_ns: int = column("int64", "ns", "its end: where the job's next one begins")
    cpu: int = column("int32", "", "the CPU on which the task ran, or for which it waited")
    by: str = column("category", "", "preempted, throttled: the task that ran instead; else empty")


@table("rt.causes", version=1)
@dataclass(frozen=True)
class Cause:
    """Where a job's response time went. The parts sum to response_ns."""

    task: str = column("category", "", "the task's name")
    job: int = column("int64", "", "the number of the job's release")
    response_ns: int = column("int64", "ns", "from its release to its end")
    run_ns: int = column("int64", "ns", "it had the CPU")
    preempted_ns: int = column("int64", "ns", "it could have run, and another task had the CPU")
    interrupt_ns: int = column("int64", "ns", "interrupts and softirqs on its CPU")
    blocked_ns: int = column("int64", "ns", "it slept within its job: on a mutex, a device, a sleep")
    throttled_ns: int = column("int64", "ns", "taken off the CPU for tasks of lower priority: its budget was used up")
    host_ns: int = column("int64", "ns", "it had the CPU, and the host of this virtual machine had taken that away")
    unexplained_ns: int = column("int64", "ns", "none of these: the timer's own lateness, an idle CPU that woke slowly")
    by: str = column("category", "", "the task that it waited for longest, where there was one")


def segments(jobs: pd.DataFrame, pids: dict[str, int], events: Events) -> pd.DataFrame:
    """The stretches of all jobs (rt.segments), from the jobs, the pids of their tasks, and what was traced."""
    release, start, end = (jobs[f"{what}_ns"].to_numpy() for what in ("release", "start", "end"))
    cpus: dict[int, Cpu] = {}
    parts = [np.empty(0, _PIECE)]
    for name, rows in jobs.groupby("task", observed=True, sort=False).indices.items():
        story = life(pids[str(name)], int(release[rows].min()), events)
        pieces = np.zeros(len(rows), _PIECE)
        pieces["row"], pieces["begin_ns"], pieces["end_ns"] = rows, release[rows], end[rows]
        pieces = _lived(pieces, start, story)
        for number in np.unique(pieces["cpu"]).tolist():
            if number not in cpus:
                cpus[number] = Cpu(number, events)
            cpu = cpus[number]
            parts.append(_interrupted(_waited(pieces[pieces["cpu"] == number], story, cpu), cpu))
    return _frame(jobs, np.concatenate(parts))


def _lived(pieces: Array, start: Array, story: Life) -> Array:
    """Cut where something became of the task. Where it waits for a CPU, the state is the most that it can be."""
    pieces = cut(pieces, story.times)
    kinds, pieces["cpu"] = story.at(pieces["begin_ns"])
    asleep = np.where(pieces["begin_ns"] < start[pieces["row"]], UNEXPLAINED, BLOCKED)
    may_be_throttled = THROTTLED if story.priority < FAIR else PREEMPTED
    pieces["state"] = np.select([kinds == IN, kinds == OFF, kinds == OUT], [RUN, asleep, may_be_throttled], PREEMPTED)
    return pieces


def _waited(pieces: Array, story: Life, cpu: Cpu) -> Array:
    """Cut where the CPU it waits for went to another one."""
    waits = np.isin(pieces["state"], (PREEMPTED, THROTTLED))
    waiting = cut(pieces[waits], cpu.times)
    pids, priorities, names = cpu.who(waiting["begin_ns"])
    # Higher numbers are lower priorities, the idle task's too. One that only wakes up may meet such a task where
    # the kernel cannot be preempted.
    throttled = (waiting["state"] == THROTTLED) & (priorities > story.priority)
    waiting["state"] = np.select([throttled, pids == 0], [THROTTLED, UNEXPLAINED], PREEMPTED)
    waiting["by"] = np.where(pids == 0, b"", names)
    return np.concatenate([pieces[~waits], waiting])


def _interrupted(pieces: Array, cpu: Cpu) -> Array:
    """Cut where the CPU was in an interrupt; whoever sleeps or has no budget is not kept by one."""
    kept = ~np.isin(pieces["state"], (BLOCKED, THROTTLED))
    others, pieces = pieces[~kept], cut(pieces[kept], cpu.interrupts)
    inside = np.searchsorted(cpu.interrupts, pieces["begin_ns"], side="right") % 2 == 1
    pieces["state"][inside], pieces["by"][inside] = INTERRUPT, b""
    return np.concatenate([others, pieces])


def _frame(jobs: pd.DataFrame, pieces: Array) -> pd.DataFrame:
    pieces = pieces[np.lexsort((pieces["begin_ns"], pieces["row"]))]
    names, by = np.unique(pieces["by"], return_inverse=True)
    columns = {
        "task": jobs["task"].array.take(pieces["row"]),
        "job": jobs["job"].to_numpy()[pieces["row"]],
        "state": schema.category(pieces["state"], list(STATES)),
        "by": schema.category(by, [shown(bytes(name)) for name in names]),
    }
    return schema.frame(Segment, columns | {name: pieces[name] for name in ("begin_ns", "end_ns", "cpu")})


def causes(jobs: pd.DataFrame, pieces: pd.DataFrame, *, counts_irqs: bool = True) -> pd.DataFrame:
    """Each job's response time in parts (rt.causes), from the jobs and their segments.

    `counts_irqs` is whether a task's CPU time holds the interrupts that came meanwhile: not, on a kernel with
    CONFIG_IRQ_TIME_ACCOUNTING.
    """
    row = _rows(jobs, pieces)
    states = pieces["state"].cat.set_categories(list(STATES)).cat.codes.to_numpy()
    begin, end = pieces["begin_ns"].to_numpy(), pieces["end_ns"].to_numpy()
    began = np.maximum(begin, jobs["start_ns"].to_numpy()[row])
    whole, within = (_sums(len(jobs), row, states, ns) for ns in (end - begin, np.maximum(end - began, 0)))
    made: dict[str, Any] = {f"{state}_ns": whole[:, i] for i, state in enumerate(STATES)}
    made["host_ns"] = _host(jobs, within[:, RUN], within[:, INTERRUPT], counts_irqs)
    made["run_ns"] = made["run_ns"] - made["host_ns"]
    common = {"task": jobs["task"].array, "job": jobs["job"], "response_ns": jobs["response_ns"]}
    return schema.frame(Cause, common | made | {"by": _longest(len(jobs), row, pieces["by"], end - begin)})


def _rows(jobs: pd.DataFrame, pieces: pd.DataFrame) -> Array:
    """Of each piece, the number of its job's row."""
    index, wanted = (pd.MultiIndex.from_arrays([f["task"].astype("str"), f["job"]]) for f in (jobs, pieces))
    return np.asarray(index.get_indexer(wanted))


def _sums(jobs: int, row: Array, states: Array, ns: Array) -> Array:
    sums = np.zeros((jobs, len(STATES)), np.int64)
    np.add.at(sums, (row, states), ns)
    return sums


def _longest(jobs: int, row: Array, by: pd.Series, ns: Array) -> Any:
    """For whom each job waited longest."""
    named = (by != "").to_numpy()
    waits = pd.DataFrame({"row": row[named], "by": by.cat.codes.to_numpy()[named], "ns": ns[named]})
    last = (
        waits.groupby(["row", "by"])["ns"]
        .sum()
        .sort_values(kind="stable")
        .reset_index()
        .drop_duplicates("row", keep="last")
    )
    codes = np.full(jobs, -1)
    codes[last["row"]] = last["by"]
    words = [*by.cat.categories, ""]
    return schema.category(np.where(codes < 0, len(words) - 1, codes), words)


def _host(jobs: pd.DataFrame, run: Array, interrupts: Array, counts_irqs: bool) -> Array:
    """How much longer each job was on the CPU, from its start on, than its CPU time says.

    Between the two clocks' readings lie a few system calls: on a quiet machine every job of a task seems that much
    longer. So the task's median is taken off, and time that the host takes from more than half of the jobs alike is
    not seen. A job that waited within its load has none: which interrupts were in its CPU time cannot be told then.
    """
    wall = run + interrupts if counts_irqs else run
    execution = jobs["execution_ns"].to_numpy("int64", na_value=-1)
    alone = (jobs["end_ns"] - jobs["start_ns"]).to_numpy() == run + interrupts
    excess = np.where(alone & (execution >= 0), wall - execution, 0)
    codes = jobs["task"].cat.codes.to_numpy()
    for code in np.unique(codes[alone]):
        mine = alone & (codes == code)
        excess[mine] -= int(np.median(excess[mine]))
    return np.clip(excess, 0, run)

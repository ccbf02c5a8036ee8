# SPDX-License-Identifier: MIT
"""Why was that wake-up late? Each job's time from its release to its end, in parts that sum to the whole.

A task is asleep, runnable or running, and sched_switch and sched_waking tell which. Asleep past its release is the
timer's lateness; asleep later on is the job's own waiting. While it is runnable, another task has its CPU. What
interrupts take on its CPU goes before all that. CPU time that the task should have had and did not get, for it was
running and its own clock stood still, is the host's. What is left over is said to be unexplained.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from rtnb import schema
from rtnb.rt.trace import Events
from rtnb.schema import column, table
from rtnb.text import shown

__all__ = ["Cause", "Segment", "STATES", "causes", "segments"]

STATES = ("run", "preempted", "interrupt", "blocked", "throttled", "unexplained")


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
    switches, wakings = events.by_name["sched/sched_switch"], events.by_name["sched/sched_waking"]
    others = {cpu: _Others(switches[switches["cpu"] == cpu]) for cpu in np.unique(switches["cpu"])}
    irqs = _interrupts(events)
    rows: list[tuple[Any, ...]] = []
    for name, mine in jobs.groupby("task", observed=True, sort=False):
        life = _life(pids[str(name)], mine, switches, wakings)
        for job, release, end in zip(mine["job"], mine["release_ns"], mine["end_ns"], strict=True):
            for piece in _job(life, int(release), int(end), others, irqs):
                rows.append((name, job, *piece))
    names = [c.name for c in schema.TABLES["rt.segments"].columns]
    return schema.frame(Segment, dict(zip(names, zip(*rows, strict=True) if rows else [[]] * len(names), strict=True)))


def causes(jobs: pd.DataFrame, pieces: pd.DataFrame, *, counts_irqs: bool = True) -> pd.DataFrame:
    """Each job's response time in parts (rt.causes), from the jobs and their segments.

    `counts_irqs` is whether a task's CPU time holds the interrupts that came meanwhile: not, on a kernel with
    CONFIG_IRQ_TIME_ACCOUNTING.
    """
    keys = ["task", "job"]
    length = (pieces["end_ns"] - pieces["begin_ns"]).rename("ns")
    frame = pd.concat([pieces, length], axis=1)
    index = pd.MultiIndex.from_frame(jobs[keys].astype({"task": "str"}))
    part = {
        state: frame[frame["state"] == state].astype({"task": "str"}).groupby(keys)["ns"].sum().reindex(index).fillna(0)
        for state in STATES
    }
    made: dict[str, Any] = {f"{state}_ns": values.to_numpy("int64") for state, values in part.items()}
    made["host_ns"] = _host(jobs, frame, ["run", "interrupt"] if counts_irqs else ["run"])
    made["run_ns"] = made["run_ns"] - made["host_ns"]
    waits = frame[frame["by"] != ""].astype({"task": "str"}).groupby([*keys, "by"], observed=True)["ns"].sum()
    longest = waits.sort_values().reset_index().drop_duplicates(keys, keep="last").set_index(keys)["by"]
    by = longest.astype("str").reindex(index).fillna("").to_numpy()
    common = {"task": jobs["task"], "job": jobs["job"], "response_ns": jobs["response_ns"], "by": by}
    return schema.frame(Cause, common | made)


def _host(jobs: pd.DataFrame, frame: pd.DataFrame, on_cpu: list[str]) -> np.ndarray[Any, Any]:
    """What each job was on the CPU longer than its CPU time says; what it always is, between two clocks, is its own.

    A job that waited within its load has none: which interrupts were in its CPU time cannot be told then.
    """
    ran = frame[frame["state"].isin(on_cpu)].merge(jobs[["task", "job", "start_ns"]], on=["task", "job"])
    late = (ran["end_ns"] - ran[["begin_ns", "start_ns"]].max(axis=1)).clip(lower=0)
    keys = [ran["task"].astype("str"), ran["job"]]
    index = pd.MultiIndex.from_arrays([jobs["task"].astype("str"), jobs["job"]])
    wall = late.groupby(keys).sum().reindex(index).fillna(0).to_numpy("int64")
    run = ran["state"] == "run"
    most = late[run].groupby([key[run] for key in keys]).sum().reindex(index).fillna(0).to_numpy("int64")
    execution = jobs["execution_ns"].to_numpy("int64", na_value=-1)
    alone = (jobs["end_ns"] - jobs["start_ns"]).to_numpy() == wall
    excess = np.where((execution < 0) | ~alone, 0, wall - execution)
    codes = jobs["task"].cat.codes.to_numpy()
    for code in np.unique(codes):
        mine = (codes == code) & alone
        if mine.any():
            excess[mine] -= int(np.median(excess[mine]))
    return np.clip(excess, 0, most)


@dataclass(frozen=True)
class _Life:
    """What became of one task, and when: "in" and "out" of a CPU, "off" it to sleep, "waking"."""

    times: np.ndarray[Any, Any]
    kinds: list[str]
    cpus: np.ndarray[Any, Any]
    prio: int


def _life(pid: int, jobs: pd.DataFrame, switches: np.ndarray[Any, Any], wakings: np.ndarray[Any, Any]) -> _Life:
    """From the kernel's events and from the jobs' own starts: then it ran, whatever the kernel has told of it.

    (On some virtual machines the kernel tells nothing of what it does on an idle CPU.)
    """
    came, went = switches[switches["next_pid"] == pid], switches[switches["prev_pid"] == pid]
    woke = wakings[wakings["pid"] == pid]
    # Bits above the states' own say that it was preempted: it is still runnable (include/trace/events/sched.h).
    asleep = (went["prev_state"] & 0xFF) != 0
    kinds = ["in"] * (len(came) + len(jobs))
    kinds += ["off" if sleeps else "out" for sleeps in asleep] + ["waking"] * len(woke)
    times = np.concatenate([came["time_ns"], jobs["start_ns"], went["time_ns"], woke["time_ns"]])
    cpus = np.concatenate([came["cpu"], jobs["cpu"], went["cpu"], woke["target_cpu"]])
    order = np.argsort(times, kind="stable")
    # Who is awake already is not woken: such a wake-up says nothing.
    kept = [*order[:1], *(i for before, i in pairwise(order) if kinds[i] != "waking" or kinds[before] == "off")]
    prio = int(came["next_prio"].min()) if len(came) else 120
    return _Life(times[kept], [kinds[i] for i in kept], cpus[kept], prio)


class _Others:
    """Who had a CPU, and when."""

    def __init__(self, switches: np.ndarray[Any, Any]) -> None:
        self.times, self._pids = switches["time_ns"], switches["next_pid"]
        self._prios, self._comms = switches["next_prio"], switches["next_comm"]

    def between(self, begin: int, end: int) -> Iterator[tuple[int, int, int, int, str]]:
        """(begin, end, pid, prio, comm) of all who had it, in order; before the first switch nobody is known."""
        at = int(np.searchsorted(self.times, begin, side="right")) - 1
        while begin < end:
            until = min(end, int(self.times[at + 1])) if at + 1 < len(self.times) else end
            if until > begin:
                known = at >= 0
                comm = shown(bytes(self._comms[at])) if known else ""
                yield begin, until, int(self._pids[at]) if known else 0, int(self._prios[at]) if known else 120, comm
            begin, at = until, at + 1


def _interrupts(events: Events) -> dict[int, np.ndarray[Any, Any]]:
    """When each CPU was in an interrupt or a softirq: rows of begin and end, nested ones as one."""
    parts: dict[int, list[tuple[np.ndarray[Any, Any], int]]] = {}
    for name, rows in events.by_name.items():
        step = {"entry": 1, "exit": -1}.get(name.rsplit("_", 1)[1])
        if step:
            for cpu in np.unique(rows["cpu"]):
                parts.setdefault(int(cpu), []).append((rows["time_ns"][rows["cpu"] == cpu], step))
    return {cpu: _united(ends) for cpu, ends in parts.items()}


def _united(ends: list[tuple[np.ndarray[Any, Any], int]]) -> np.ndarray[Any, Any]:
    times = np.concatenate([times for times, _ in ends])
    steps = np.concatenate([np.full(len(times), step) for times, step in ends])
    order = np.lexsort((-steps, times))
    times, depth = times[order], np.cumsum(steps[order])
    depth -= np.minimum(np.minimum.accumulate(depth), 0)  # an exit whose entry came before the first record
    inside = depth > 0
    begins = np.flatnonzero(inside & ~np.concatenate([[False], inside[:-1]]))
    after = np.flatnonzero(~inside & np.concatenate([[False], inside[:-1]]))
    return np.column_stack([times[begins[: len(after)]], times[after]])


Piece = tuple[str, int, int, int, str]


def _job(
    life: _Life, release: int, end: int, others: dict[int, _Others], irqs: dict[int, np.ndarray[Any, Any]]
) -> Iterator[Piece]:
    """The pieces of one job: (state, begin, end, cpu, by), each beginning where the one before it ends."""
    at = int(np.searchsorted(life.times, release, side="right")) - 1
    begin, started = release, False
    while begin < end:
        until = min(end, int(life.times[at + 1])) if at + 1 < len(life.times) else end
        kind = life.kinds[at] if at >= 0 else "off"
        cpu = _cpu(life, at)
        if until > begin:
            for piece in _stretch(kind, begin, until, cpu, life.prio, started, others.get(cpu)):
                yield from _with_interrupts(piece, irqs.get(cpu))
        started = started or kind == "in"
        begin, at = until, at + 1


def _cpu(life: _Life, at: int) -> int:
    """The CPU that matters after event `at`: where the task is, or where it will run next."""
    if not len(life.kinds):
        return 0
    if at >= 0 and life.kinds[at] == "in":
        return int(life.cpus[at])
    later = next((i for i in range(at + 1, len(life.kinds)) if life.kinds[i] == "in"), max(at, 0))
    return int(life.cpus[later])


def _stretch(
    kind: str, begin: int, end: int, cpu: int, prio: int, started: bool, others: _Others | None
) -> Iterator[Piece]:
    """What a task's time between two of its events was."""
    if kind == "in":
        yield "run", begin, end, cpu, ""
    elif kind == "off":
        yield "blocked" if started else "unexplained", begin, end, cpu, ""
    elif others is None:
        yield "unexplained", begin, end, cpu, ""
    else:
        for first, last, pid, other_prio, comm in others.between(begin, end):
            if not pid:
                # An idle CPU and a task that could run: it is being woken; later on, it is kept from running.
                yield "throttled" if kind == "out" else "unexplained", first, last, cpu, ""
            else:
                # Higher numbers are lower priorities. Before it starts, that is a stretch that cannot be preempted.
                below = kind == "out" and other_prio > prio
                yield "throttled" if below else "preempted", first, last, cpu, comm


def _with_interrupts(piece: Piece, irqs: np.ndarray[Any, Any] | None) -> Iterator[Piece]:
    """A piece, cut where the CPU was in an interrupt."""
    state, begin, end, cpu, by = piece
    if irqs is not None and len(irqs):
        at = int(np.searchsorted(irqs[:, 1], begin, side="right"))
        while at < len(irqs) and irqs[at, 0] < end:
            first, last = max(begin, int(irqs[at, 0])), min(end, int(irqs[at, 1]))
            if first > begin:
                yield state, begin, first, cpu, by
            yield "interrupt", first, last, cpu, ""
            begin, at = last, at + 1
    if end > begin:
        yield state, begin, end, cpu, by

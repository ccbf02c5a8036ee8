# SPDX-License-Identifier: MIT
"""What came of a run? Its jobs as rows, what each task really had, and what a reader must know."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rtnb import _core, caps, schema
from rtnb.abi.sched import NAMES
from rtnb.caps.kconfig import built
from rtnb.command import Ended
from rtnb.errors import WorkerError
from rtnb.recording import Header, Recording
from rtnb.rt import ending, watchdog
from rtnb.rt import rows as asked
from rtnb.rt.causes import causes, segments
from rtnb.rt.hdr import Latencies
from rtnb.rt.jobs import MEASURES, Job, StepTime
from rtnb.rt.task import Task
from rtnb.units import in_words

if TYPE_CHECKING:
    from rtnb.rt.run import Run

__all__ = ["add", "recording"]


def add(run: Run, task: Task, jobs: Any) -> None:
    """Add jobs to the statistics of a task that has more of them than are kept as rows."""
    counts = run.latencies.setdefault(task.name, {name: Latencies() for name in MEASURES})
    if not len(jobs):
        return
    with_last = np.concatenate([run.last.get(task.name, jobs[:0]), jobs])
    run.last[task.name] = jobs[-1:]
    late = with_last["start_ns"] - with_last["release_ns"]
    next_one = np.diff(with_last["number"]) == 1 + with_last["missed"][:-1]
    allowed = task.deadline_ns + task.tolerance_ns
    response = jobs["end_ns"] - jobs["release_ns"]
    totals = {"missed": int(jobs["missed"].sum()), "overruns": int((response > allowed).sum())}
    counts["latency"].add(late[-len(jobs) :], **totals)
    counts["period"].add(np.diff(late)[next_one], **totals)
    if task.works:
        counts["execution"].add(jobs["execution_ns"], **totals)
        counts["response"].add(response, **totals)


def recording(run: Run, ended: Ended | None, status: _core.Status | None) -> Recording:
    """The run as a Recording. Raises what a task that could not start was refused with."""
    found, head = run.memory.tasks(), run.memory.head()
    if status and status.error and not (run.interrupted and status.error == errno.ECHILD):
        raise ending.refused(run, status, found)
    if not status and not run.interrupted and not head["start_ns"]:
        raise WorkerError("rt_task", f"rtnb-core ended with status {ended and ended.exit_status} and said nothing")
    tables, lost = {"jobs": _jobs(run, found)}, 0
    if run.steps:
        tables["steps"] = _steps(run, found)
    untraced = ""
    if run.tracer:
        try:
            more, lost = _traced(run, found, tables["jobs"])
            tables |= more
        except KeyboardInterrupt:  # the jobs are there all the same
            untraced = "where the time went was not worked out: interrupted"
    if run.watched:
        tables["misses"] = watchdog.frame(run.misses)
    header = Header(
        "rt_task",
        run.source,
        _engine(run.tasks),
        interrupted=ending.interrupted(run, found),
        lost=_lost(run, found) + lost,
        duration_ns=_duration(tables["jobs"], int(head["start_ns"])),
        notes=tuple(filter(None, [*_notes(run, found, tables["jobs"]), untraced])),
        details=_details(run, found, head, len(tables["jobs"])),
    )
    return Recording(header, tables)


def _traced(run: Run, found: Any, jobs: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], int]:
    """Where each job's time went, and how many events of the kernel's were lost."""
    assert run.tracer
    events = run.tracer.events()
    pids = {task.name: int(row["pid"]) for task, row in zip(run.tasks, found, strict=True)}
    pieces = segments(jobs, pids, events)
    counts_irqs = built("CONFIG_IRQ_TIME_ACCOUNTING") != "y"
    return {"segments": pieces, "causes": causes(jobs, pieces, counts_irqs=counts_irqs)}, events.lost


def _engine(tasks: list[Task]) -> str:
    languages = ["C"] * any(task.job is None for task in tasks) + ["Python"] * any(
        task.job is not None for task in tasks
    )
    return f"clock_nanosleep ({', '.join(languages)})"


def _jobs(run: Run, found: Any) -> pd.DataFrame:
    parts = [run.memory.jobs(row)[-run.keep :] for row in found]
    jobs = np.concatenate(parts)
    who = np.repeat(np.arange(len(parts)), [len(part) for part in parts])

    def of_task(values: list[int]) -> Any:
        return np.asarray(values)[who]

    end, release, start = jobs["end_ns"], jobs["release_ns"], jobs["start_ns"]
    deadline = release + of_task([task.deadline_ns for task in run.tasks])
    idle = ~of_task([task.works for task in run.tasks]).astype(bool)
    columns = {
        "task": schema.category(who, [task.name for task in run.tasks]),
        "job": jobs["number"],
        "release_ns": release,
        "start_ns": start,
        "end_ns": end,
        "deadline_ns": deadline,
        "latency_ns": start - release,
        "response_ns": end - release,
        "execution_ns": pd.arrays.IntegerArray(jobs["execution_ns"].copy(), idle),
        "waited_ns": jobs["waited_ns"],
        "cpu": jobs["cpu"],
        "preemptions": pd.arrays.IntegerArray(jobs["preemptions"].astype("int64"), idle),
        "missed": jobs["missed"],
        "overrun": end > deadline + of_task([task.tolerance_ns for task in run.tasks]),
    }
    return schema.frame(Job, columns)


def _steps(run: Run, found: Any) -> pd.DataFrame:
    parts = [run.memory.marks(row) for row in found]
    marks = np.concatenate(parts)
    who = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    words = [str(step) for task in run.tasks for step in task.load]
    first = np.cumsum([0, *(len(task.load) for task in run.tasks)])[:-1]
    columns = {
        "task": schema.category(who, [task.name for task in run.tasks]),
        "job": marks["job"],
        "step": marks["step"],
        "what": schema.category(first[who] + marks["step"] if len(who) else who, words),
        "begin_ns": marks["begin_ns"],
        "end_ns": marks["end_ns"],
    }
    return schema.frame(StepTime, columns)


def _lost(run: Run, found: Any) -> int:
    """Jobs that nobody counted: gone from their ring before they were read."""
    counted = sum(latencies["latency"].count for latencies in run.latencies.values())
    in_rings = sum(int(row["records"]) for row in found if int(row["releases"]) > run.keep)
    return in_rings - counted + int(run.memory.head()["unheard"])


def _duration(df: pd.DataFrame, start_ns: int) -> int:
    return int(df["end_ns"].max()) - start_ns if len(df) else 0


def _details(run: Run, found: Any, head: Any, kept: int) -> dict[str, Any]:
    """What the tasks ran with, as obtained; plain JSON."""
    ready = int(head["pid"]) > 0
    details: dict[str, Any] = {
        "tasks": {task.name: _obtained(task, row) for task, row in zip(run.tasks, found, strict=True)},
        "cpu_dma_latency_us": _held(head) if ready else None,
        "watchdog": {
            "policy": "fifo" if int(head["priority"]) and not int(head["priority_error"]) else "other",
            "priority": int(head["priority"]) if not int(head["priority_error"]) else 0,
            "misses": int(head["misses"]),
            "worst_late_ns": int(head["worst_late_ns"]),
        },
        "mutexes": {name: list(spec) for name, spec in asked.mutex_specs(run).items()},
        "without": _without(found, head),
        "kept": kept,
    }
    if run.latencies:
        told = run.latencies.items()
        details["latencies"] = {name: {m: x.to_json() for m, x in each.items() if x.count} for name, each in told}
    return details


def _held(head: Any) -> int | None:
    us = int(head["dma_latency_us"])
    return None if us < 0 or int(head["dma_latency_error"]) else us


def _obtained(task: Task, row: Any) -> dict[str, Any]:
    got, ready = row["got"], int(row["pid"]) > 0
    cpus = [64 * i + bit for i, word in enumerate(row["cpus"]) for bit in range(64) if int(word) >> bit & 1]
    made: dict[str, Any] = {
        "policy": NAMES.get(int(got["policy"]), str(got["policy"])) if ready else "",
        "priority": int(got["priority"]),
        "nice": int(got["nice"]),
        "cpus": cpus or None,
        "period_ns": task.period_ns,
        "offset_ns": task.offset_ns,
        "deadline_ns": task.deadline_ns,
        "tolerance_ns": task.tolerance_ns,
        "releases": int(row["releases"]),
        "done": int(row["done"]),
        "jobs": int(row["records"]),
        "overruns": int(row["overruns"]),
        "load": [str(step) for step in task.load] or (["Python"] if task.job is not None else []),
        "locked_memory": ready and task.spec.lock_memory and not int(row["mlock_error"]),
        "timer_slack_ns": int(row["got_timer_slack_ns"]),
    }
    if task.spec.policy == "deadline":
        made |= {"runtime_ns": task.spec.runtime_ns, "dl_overruns": int(row["dl_overruns"])}
    if task.job is not None:
        made["empty_job_ns"] = int(row["overhead_ns"])
    return made


def _without(found: Any, head: Any) -> dict[str, str]:
    """What would have made the tasks more even, was refused, and why; the run goes on without it."""
    errors = {
        "locked_memory": ("rt.mlock", max(int(row["mlock_error"]) for row in found)),
        "cpu_dma_latency": ("rt.cpu_dma_latency", int(head["dma_latency_error"])),
        "watchdog": ("rt.fifo", int(head["priority_error"])),
    }
    return {
        what: caps.refused(name, what, OSError(number, os.strerror(number))).why
        for what, (name, number) in errors.items()
        if number
    }


def _notes(run: Run, found: Any, df: pd.DataFrame) -> tuple[str, ...]:
    notes = [note for task, row in zip(run.tasks, found, strict=True) for note in ending.why(run, task, row)]
    if not len(df):
        notes.insert(0, "no jobs: it was ended before its first one was done")
    dropped = int(found["records"].sum()) - len(df)
    if dropped:
        notes.append(f"{dropped:,} older jobs are in the statistics of the header, and not among the rows")
    if int(found["mlock_error"].max()):
        why = _without(found, run.memory.head())["locked_memory"]
        notes.append(f"memory not locked, so a page fault may be in a latency: {why}")
    empty = [int(row["overhead_ns"]) for row in found if int(row["overhead_ns"])]
    if empty:
        notes.append(f"a job in Python: {in_words(max(empty))} from start to end when it does nothing")
    return tuple(notes)

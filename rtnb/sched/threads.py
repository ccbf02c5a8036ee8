# SPDX-License-Identifier: MIT
"""Which threads are there, and how is each scheduled? A row a thread, as the kernel says it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

import pandas as pd

from rtnb import caps, schema
from rtnb.abi import sched as abi
from rtnb.errors import NoSuchTask
from rtnb.recording import Header, Recording
from rtnb.sched.spec import REAL_TIME, as_list
from rtnb.sched.task import Stat, process_of, stat, tasks
from rtnb.schema import column, table
from rtnb.text import shown

__all__ = ["Summary", "Thread", "summary", "threads"]

PF_KTHREAD = 0x00200000
"""A thread of the kernel's own (include/linux/sched.h; the flags of /proc/PID/stat)."""


@table("sched.threads", version=1)
@dataclass(frozen=True)
class Thread:
    """One thread, and how it is scheduled."""

    pid: int = column("int32", "", "the process")
    tid: int = column("int32", "", "the thread")
    comm: str = column("category", "", "its name, at most 15 bytes; control characters as escapes")
    policy: str = column("category", "", "other, fifo, rr, batch, idle, deadline or ext")
    priority: int = column("int16", "", "1 to 99 under fifo and rr, else 0")
    nice: int = column("int16", "", "-20 to 19; heeded under other and batch")
    runtime_ns: int = column("int64", "ns", "under deadline: what it may run in each period")
    deadline_ns: int = column("int64", "ns", "under deadline: by when after the period's start")
    period_ns: int = column("int64", "ns", "under deadline: its period")
    reset_on_fork: bool = column("bool", "", "whether its children start under other")
    reclaim: bool = column("bool", "", "under deadline: whether it may use what others leave")
    dl_overrun: bool = column("bool", "", "under deadline: whether it gets SIGXCPU past its runtime")
    boosted_priority: int = column(
        "Int64", "", "the real-time priority that a mutex lends it just now; 100: a deadline task's; <NA>: none"
    )
    cpus: str = column("category", "", "the CPUs that it may use, as 0-2,5")
    cpu: int = column("int16", "", "the CPU that it ran on last")
    kernel: bool = column("bool", "", "whether it is a thread of the kernel's own")


@table("sched.summary", version=1)
@dataclass(frozen=True)
class Summary:
    """The threads of one policy and priority."""

    policy: str = column("category", "", "as in sched.threads")
    priority: int = column("int16", "", "as in sched.threads")
    threads: int = column("int64", "", "how many there are")
    kernel: int = column("int64", "", "how many of them are the kernel's own")
    boosted: int = column("int64", "", "how many of them have a higher priority lent")


def threads(pid: int | None = None) -> Recording:
    """The threads of the system, or of the process `pid`: one table, `threads` (sched.threads).

    What ended while it was looked at is left out, and counted in the header's notes.
    Raises NoSuchTask where the process is gone. Source: sched_setattr(2), proc_pid_stat(5).

    >>> threads()
    live · sched · kernel 6.18.44
    threads: 129 rows
    """
    caps.linux("sched")
    started = time.monotonic_ns()
    rows, gone = _rows(None if pid is None else process_of(pid))
    if not rows:
        raise NoSuchTask(f"process {pid}", "it does not exist, or no longer")
    columns = zip(*rows, strict=True)
    names = [c.name for c in schema.TABLES["sched.threads"].columns]
    header = Header(
        "sched",
        () if pid is None else (str(pid),),
        "sched_getattr(2)",
        duration_ns=time.monotonic_ns() - started,
        notes=(f"{gone} threads ended while they were looked at",) if gone else (),
    )
    return Recording(header, {"threads": schema.frame(Thread, dict(zip(names, columns, strict=True)))})


def _rows(pid: int | None) -> tuple[list[tuple[Any, ...]], int]:
    rows, gone = [], 0
    for process, tid in tasks(pid):
        try:
            found = stat(f"/proc/{process}/task/{tid}")
            rows.append(_row(process, tid, found, abi.sched_getattr(tid), frozenset(os.sched_getaffinity(tid))))
        except (FileNotFoundError, ProcessLookupError):
            gone += 1
    return rows, gone


def _row(pid: int, tid: int, found: Stat, attr: abi.Attr, cpus: frozenset[int]) -> tuple[Any, ...]:
    policy = abi.NAMES.get(attr.policy, str(attr.policy))
    times = attr[4:] if policy == "deadline" else (0, 0, 0)
    flags = (abi.SCHED_FLAG_RESET_ON_FORK, abi.SCHED_FLAG_RECLAIM, abi.SCHED_FLAG_DL_OVERRUN)
    return (
        pid,
        tid,
        shown(found.comm),
        policy,
        attr.priority,
        attr.nice if policy not in (*REAL_TIME, "deadline") else os.getpriority(os.PRIO_PROCESS, tid),
        *times,
        *(bool(attr.flags & flag) for flag in flags),
        _boost(policy, attr.priority, found.priority),
        as_list(cpus),
        found.cpu,
        bool(found.flags & PF_KTHREAD),
    )


def _boost(policy: str, priority: int, effective: int) -> int | None:
    """The priority lent. The kernel's is -1 - priority for real time, -101 for deadline (task_prio())."""
    own = 100 if policy == "deadline" else priority
    has = -1 - effective if effective < 0 else 0
    return has if has > own else None


def summary(df: pd.DataFrame) -> pd.DataFrame:
    """Threads by policy and priority, the highest first: sched.summary."""
    kernel, boosted = df["kernel"], df["boosted_priority"].notna()
    groups = df.assign(kernel=kernel, boosted=boosted).groupby(["policy", "priority"], observed=True)
    made = groups.agg(threads=("tid", "size"), kernel=("kernel", "sum"), boosted=("boosted", "sum")).reset_index()
    made["first"] = made["policy"].astype("str").eq("deadline")
    made = made.sort_values(["first", "priority", "threads"], ascending=False, ignore_index=True)
    return schema.frame(Summary, {c.name: made[c.name] for c in schema.TABLES["sched.summary"].columns})

# SPDX-License-Identifier: MIT
"""What did rt-app's threads do? The log of each as jobs: when due, when awake, when done."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd

from rtnb import schema
from rtnb.recording import Recording
from rtnb.rt.jobs import Job
from rtnb.rt.readers.text import Damaged, Found, reading, text, whole

__all__ = ["read_rtapp"]

_COLUMNS = ["idx", "perf", "run", "period", "start", "end", "rel_st", "slack", "c_duration", "c_period", "wu_lat"]
_POLICY = re.compile(r"# Policy : SCHED_(\w+) priority : (\d+)")


def read_rtapp(path: str | os.PathLike[str], *more: str | os.PathLike[str]) -> Recording:
    """The log that rt-app wrote of a thread, or of several, as a Recording of their jobs (rt.jobs).

    A task is called as its file is. rt-app logs phases: a row goes from one wake-up to the next, and its `wu_lat` is
    how late that next one was. So n rows are n - 1 jobs: each is due when the row before says that its timer was
    (`end - wu_lat`), starts when that row ended, ends `slack` before its own timer, and its deadline is that timer.
    Where it was preempted before it logged that end, both are as much too late; the latency is what rt-app printed.
    Times are whole microseconds, CLOCK_MONOTONIC. execution_ns is <NA>, since rt-app's `run` is wall time; cpu is -1.
    The phase in which the run ended is left out. All this holds for a phase of one timer and `cumulative_slack` off:
    of several timers rt-app logs sums.

    Raises BadRecording: not rt-app's, cut off, damaged, too large, or of a thread without a timer.
    Source: rt-app's doc/tutorial.txt, "Log and gnuplot"; compared with logs of rt-app 1.0.

    >>> read_rtapp("rt-app-control-0.log").frame[["task", "job", "latency_ns", "response_ns", "overrun"]].head(2)
                     task  job  latency_ns  response_ns  overrun
    0  rt-app-control-0    1       67000       294000    False
    1  rt-app-control-0    2       50000       251000    False
    """
    found, parts = Found("rt-app", ("rt-app",)), []
    for each in (path, *more):
        with reading(each, "a thread of rt-app"):
            parts.append(_jobs(found, Path(each).stem, text(each)))
    with reading(path, "rt-app"):
        return found.recording(path, _together(parts))


def _jobs(found: Found, name: str, content: str) -> pd.DataFrame:
    lines = content.splitlines()
    policy = _POLICY.match(lines[0]) if lines else None
    if not policy or len(lines) < 2 or lines[1].lstrip("#").split()[: len(_COLUMNS)] != _COLUMNS:
        raise Damaged("it is no log of a thread of rt-app")
    if name in found.tasks:
        raise Damaged(f"there is a log of that name already: {name}")
    row = _rows(lines[2:], ended=content.endswith("\n"))
    if len(row["c_period"]) and not row["c_period"][-1]:  # the end of the run came before this phase's timer
        row = {key: of[:-1] for key, of in row.items()}
    if not row["c_period"].all():
        raise Damaged("its thread has no timer, so that nothing says when it was due")
    priority = whole(policy[2], "priority")
    period = {"period_ns": int(np.median(row["c_period"])) * 1000} if len(row["c_period"]) else {}
    found.tasks[name] = {"policy": policy[1].lower(), "priority": priority, **period}
    found.notes.append(f"{name}: the first of its jobs has no known release, the last no end")
    return _frame(name, row)


def _rows(lines: list[str], ended: bool) -> dict[str, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Its columns; us, save idx and perf."""
    table = [line.split() for line in lines]
    if any(len(words) < len(_COLUMNS) for words in table) or (table and not ended):
        raise Damaged("its last row is cut off")
    made = {}
    for at, name in enumerate(_COLUMNS):
        words = [words[at] for words in table]
        signed = [-whole(word[1:], name) if word[:1] == "-" else whole(word, name) for word in words]
        made[name] = np.array(signed, dtype="int64")
    for name in ("start", "end", "c_period"):
        if (made[name] >= 2**53 // 2000).any() or (np.diff(made["start"]) < 0).any():
            raise Damaged(f"its {name} is out of range")
    return made


def _frame(name: str, row: dict[str, np.ndarray[tuple[int], np.dtype[np.int64]]]) -> pd.DataFrame:
    n = max(len(row["idx"]) - 1, 0)
    timer = row["end"] - row["wu_lat"]
    release, start = timer[:-1], row["end"][:-1]
    # A phase that ends past its timer does not wait for it: it ends where its row does.
    end, slack = (timer - np.maximum(row["slack"], 0))[1:], row["slack"][1:]
    columns = {
        "release_ns": release,
        "start_ns": start,
        "end_ns": np.maximum(end, start),
        "deadline_ns": end + slack,
        "latency_ns": start - release,
        "response_ns": np.maximum(end, start) - release,
    }
    absent = pd.array([pd.NA] * n, dtype="Int64")
    others = {"task": [name] * n, "job": np.arange(1, n + 1), "execution_ns": absent, "waited_ns": np.zeros(n, "int64")}
    rest = {"cpu": np.full(n, -1), "preemptions": absent, "missed": np.zeros(n, "int64"), "overrun": slack < 0}
    return schema.frame(Job, {**{key: of * 1000 for key, of in columns.items()}, **others, **rest})


def _together(parts: list[pd.DataFrame]) -> pd.DataFrame:
    tasks = [task for part in parts for task in part["task"]]
    whole_ = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    return schema.frame(Job, {name: tasks if name == "task" else whole_[name] for name in whole_.columns})

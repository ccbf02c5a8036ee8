# SPDX-License-Identifier: MIT
"""What do a run and its worker share? One piece of memory, laid out as rtnb/_core/run.h declares it."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from rtnb import _core

__all__ = ["CONTINUE", "FOREIGN", "JOB", "KINDS", "LOCK_MEMORY", "MARK", "MISS", "MOST_STEPS", "Memory", "NICE"]
__all__ += ["PINNED", "PYTHON", "RUN", "SLACK", "STOP", "TASK", "WATCH"]

Array = np.ndarray[Any, Any]

LOCK_MEMORY, CONTINUE, WATCH, STOP, PYTHON, FOREIGN, PINNED, NICE, SLACK = (1 << bit for bit in range(9))
"""enum task_option."""

KINDS = ("busy", "touch", "syscalls", "sleep", "lock", "unlock", "call")
"""enum step_kind, in its order."""
MOST_STEPS = 32

_STEP = np.dtype([("kind", "<u4"), ("mutex", "<u4"), ("amount", "<i8")])
_ATTRIBUTES = np.dtype(
    [("size", "<u4"), ("policy", "<u4"), ("flags", "<u8"), ("nice", "<i4"), ("priority", "<u4")]
    + [(name, "<u8") for name in ("runtime_ns", "deadline_ns", "period_ns")]
)
RUN = np.dtype(
    [
        ("tasks", "<u4"),
        ("mutexes", "<u4"),
        ("length_ns", "<i8"),
        ("priority", "<i4"),
        ("dma_latency_us", "<i4"),
        ("stop", "<u4"),
        ("pid", "<i4"),
        ("start_ns", "<i8"),
        ("priority_error", "<i4"),
        ("dma_latency_error", "<i4"),
        ("misses", "<u8"),
        ("unheard", "<u8"),
        ("worst_late_ns", "<i8"),
        ("overdue", "<u4"),
        ("reserved", "V52"),
    ]
)
TASK = np.dtype(
    [
        ("name", "S32"),
        ("attr", _ATTRIBUTES),
        ("cpus", "<u8", 16),
        ("period_ns", "<i8"),
        ("offset_ns", "<i8"),
        ("deadline_ns", "<i8"),
        ("tolerance_ns", "<i8"),
        ("releases", "<u8"),
        ("ring", "<u8"),
        ("ring_offset", "<u8"),
        ("marks", "<u8"),
        ("marks_offset", "<u8"),
        ("rttime_us", "<u8"),
        ("timer_slack_ns", "<u8"),
        ("option", "<u4"),
        ("steps", "<u4"),
        ("step", _STEP, MOST_STEPS),
        ("library", "S256"),
        ("symbol", "S64"),
        ("got", _ATTRIBUTES),
        ("got_timer_slack_ns", "<u8"),
        ("pid", "<i4"),
        ("mlock_error", "<i4"),
        ("error", "<i4"),
        ("wait_status", "<i4"),
        ("what", "S40"),
        ("records", "<u8"),
        ("marked", "<u8"),
        ("done", "<u8"),
        ("overruns", "<u8"),
        ("dl_overruns", "<u8"),
        ("expect_ns", "<i8"),
        ("kick_ns", "<i8"),
        ("overhead_ns", "<i8"),
        ("killed", "<u4"),
        ("reserved", "V28"),
    ]
)
JOB = np.dtype(
    [(name, "<i8") for name in ("number", "release_ns", "start_ns", "end_ns", "execution_ns", "waited_ns")]
    + [(name, "<i4") for name in ("cpu", "missed", "preemptions", "reserved")]
)
MARK = np.dtype([("job", "<i8"), ("begin_ns", "<i8"), ("end_ns", "<i8"), ("step", "<i4"), ("reserved", "<i4")])
MISS = np.dtype(
    [("expected_ns", "<i8"), ("detected_ns", "<i8"), ("kick_ns", "<i8"), ("task", "<i4"), ("stopped", "<i4")]
)

MUTEX_BYTES = 128


class Memory:
    """The memory of a run, behind a descriptor: what is asked for is written once, what came of it is read at will."""

    def __init__(self, fd: int, tasks: Array, mutexes: int = 0) -> None:
        self.fd = fd
        self._tasks = len(tasks)
        self.mutex_offset = RUN.itemsize + tasks.nbytes
        end = self.mutex_offset + mutexes * MUTEX_BYTES
        for task in tasks:
            for what, row in (("ring", JOB), ("marks", MARK)):
                end = -(-end // mmap.PAGESIZE) * mmap.PAGESIZE  # each is mapped alone
                task[f"{what}_offset"] = end
                end += int(task[what]) * row.itemsize
        os.ftruncate(fd, end)
        os.pwrite(fd, tasks.tobytes(), RUN.itemsize)

    def ask(self, **fields: int) -> None:
        """Write fields of struct run, and how many tasks there are."""
        row = np.zeros(1, RUN)
        row["tasks"] = self._tasks
        for name, value in fields.items():
            row[name] = value
        os.pwrite(self.fd, row.tobytes(), 0)

    def ask_to_stop(self) -> None:
        """Set struct run's `stop`; the worker looks at it once it is told to. Nothing, where the memory is gone."""
        if self.fd < 0:
            return
        fields: Any = RUN.fields
        os.pwrite(self.fd, (1).to_bytes(4, "little"), fields["stop"][1])

    def head(self) -> Any:
        """struct run, as it is now."""
        return np.frombuffer(os.pread(self.fd, RUN.itemsize, 0), RUN)[0]

    def tasks(self) -> Array:
        """The struct task's, as they are now."""
        return np.frombuffer(os.pread(self.fd, self._tasks * TASK.itemsize, RUN.itemsize), TASK)

    def jobs(self, task: Any, since: int = 0) -> Array:
        """The struct job's of a task (a row of tasks()) from number `since` of its records on, those still there."""
        found = self._ring(JOB, int(task["ring_offset"]), int(task["ring"]), int(task["records"]), since)
        return found[self._overwritten(task, since) :]

    def job(self, task: Any, number: int) -> Any:
        """One struct job, by number of the task's records."""
        return self._ring(JOB, int(task["ring_offset"]), int(task["ring"]), number + 1, number)[0]

    def marks(self, task: Any) -> Array:
        """The struct mark's of a task, those still there; to be read after its end."""
        return self._ring(MARK, int(task["marks_offset"]), int(task["marks"]), int(task["marked"]), 0)

    def _overwritten(self, task: Any, since: int) -> int:
        """How many of the jobs read just now may have been written over meanwhile, by a task that still runs."""
        first = max(since, int(task["records"]) - int(task["ring"]))
        now = next(int(row["records"]) for row in self.tasks() if row["ring_offset"] == task["ring_offset"])
        return max(now + 1 - int(task["ring"]) - first, 0) if now != int(task["records"]) else 0

    def _ring(self, row: np.dtype[Any], offset: int, size: int, records: int, since: int) -> Array:
        first = max(since, records - size)
        begin, end = first % max(size, 1), records % max(size, 1)
        spans = [(begin, end)] if begin < end or first == records else [(begin, size), (0, end)]
        parts = [os.pread(self.fd, (b - a) * row.itemsize, offset + a * row.itemsize) for a, b in spans]
        return np.frombuffer(b"".join(parts), row)

    @contextmanager
    def mapped_mutexes(self) -> Iterator[mmap.mmap]:
        """The memory as a buffer, to make the mutexes in."""
        with mmap.mmap(self.fd, 0) as buffer:
            yield buffer


@contextmanager
def memory(tasks: Sequence[Any] | Array, mutexes: int = 0) -> Iterator[Memory]:
    """Memory for these struct task's, gone with its last user. Raises OSError."""
    with _core.memfd("run") as fd:
        made = Memory(fd, np.asarray(tasks, TASK), mutexes)
        try:
            yield made
        finally:
            made.fd = -1  # soon another file's number

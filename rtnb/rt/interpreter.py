# SPDX-License-Identifier: MIT
"""How does a task in Python run? As the worker's loop in C does (task.c), in an interpreter of its own.

Started by `rtnb-core run` with the descriptor of the jobs, the task's number, and the descriptors of the memory and
of the barrier. What Python costs is measured first: the time from start to end of a job that does nothing.
"""

from __future__ import annotations

import gc
import mmap
import os
import pickle
import resource
import signal
import statistics
import struct
import sys
import traceback
from collections.abc import Callable
from time import monotonic_ns, thread_time_ns
from types import FrameType
from typing import Any

import numpy as np

from rtnb.abi import prctl
from rtnb.abi import sched as abi
from rtnb.abi.syscall import libc
from rtnb.rt import plan
from rtnb.rt.clock import sleep_until

__all__ = ["main"]

TRIALS = 200
_JOB = struct.Struct("<6q4i")


class Stop(BaseException):
    """SIGINT came: the present job is not counted."""


def main() -> int:
    """Be the task that the command line names; the exit status."""
    jobs_fd, number, memory_fd, ready_fd, go_fd = map(int, sys.argv[1:6])
    prctl.die_with_parent()  # an execve of a file with capabilities took that away
    try:
        signal.signal(signal.SIGINT, _stop)
        job = _job(jobs_fd, number)
        memory = mmap.mmap(memory_fd, 0)
        run = np.frombuffer(memory, plan.RUN, 1)
        task = np.frombuffer(memory, plan.TASK, 1, plan.RUN.itemsize + number * plan.TASK.itemsize)
        return _be(memory, run, task, job, (ready_fd, go_fd))
    except Stop:
        return 0


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stop


def _job(fd: int, number: int) -> Callable[[], object]:
    """The job as a callable: what the notebook sent, or its source compiled, with the names that it uses."""
    with os.fdopen(fd, "rb") as sent:
        job = pickle.load(sent)[number]  # from the process that started this one
    if not isinstance(job, tuple):
        return job  # type: ignore[no-any-return]
    source, namespace = job
    code = compile(source, "<job>", "exec")
    return lambda: exec(code, namespace)


def _be(memory: mmap.mmap, run: Any, task: Any, job: Callable[[], object], barrier: tuple[int, int]) -> int:
    ready, go = barrier
    task["overhead_ns"] = _overhead()
    gc.collect()
    gc.freeze()
    gc.disable()  # a collection would be in some job's time
    if failed := _obtain(task[0]):
        error, task["what"] = failed
        task["error"] = error.errno or 0
        return 1
    attr = abi.sched_getattr()
    for name in ("policy", "flags", "nice", "priority"):
        task["got"][name] = getattr(attr, name)
    task["got_timer_slack_ns"] = prctl.get_timerslack()
    prctl.set_name(bytes(task["name"][0]))  # an execve took away the one that the worker gave it
    task["pid"] = os.getpid()
    os.write(ready, b"\0")
    if not os.read(go, 1):
        return 1
    try:
        _jobs(memory, int(run["start_ns"][0]), task, job)
    except Exception as e:  # noqa: BLE001 - the job's own: shown from its own lines on
        traceback.print_exception(e.with_traceback(_own(e)))
        return 1
    return 0


def _own(error: Exception) -> Any:
    """The error's traceback from the job's own lines on."""
    at = error.__traceback__
    while at and at.tb_frame.f_code.co_filename == __file__:
        at = at.tb_next
    return at


def _obtain(task: Any) -> tuple[OSError, bytes] | None:
    """All that could be refused, as task.c does it; the call that failed, with its error."""
    what = "mlockall"
    option, attr = int(task["option"]), task["attr"]
    if option & plan.LOCK_MEMORY:
        try:
            prctl.mlockall()
        except OSError as e:
            task["mlock_error"] = e.errno
    try:
        what = "sched_setaffinity"
        if option & plan.PINNED:
            os.sched_setaffinity(0, [n for n in range(1024) if int(task["cpus"][n // 64]) >> n % 64 & 1])
        what = "setrlimit(RLIMIT_RTTIME)"
        limit = int(task["rttime_us"])
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_RTTIME, (limit, limit + 100_000))
        what = "prctl(PR_SET_TIMERSLACK)"
        if option & plan.SLACK:
            prctl.set_timerslack(int(task["timer_slack_ns"]))
        what = "sched_setattr"
        nice = int(attr["nice"]) if option & plan.NICE else abi.sched_getattr().nice
        names = ("policy", "flags", "nice", "priority", "runtime_ns", "deadline_ns", "period_ns")
        policy, flags, _, *rest = (int(attr[name]) for name in names)
        if policy in (abi.SCHED_FIFO, abi.SCHED_RR):
            flags |= abi.SCHED_FLAG_RESET_ON_FORK  # what a job starts is not to be real-time
        abi.sched_setattr(0, abi.Attr(policy, flags, nice, *rest))
    except OSError as e:
        return e, what.encode()
    return None


def _overhead() -> int:
    """What an empty job takes from its start to its end, in ns: the median."""
    trials = [_work(lambda: None) for _ in range(TRIALS)]
    return int(statistics.median(end - start for start, end, *_ in trials))


def _work(job: Callable[[], object]) -> tuple[int, int, int, int]:
    start = monotonic_ns()
    switched = resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw
    cpu = thread_time_ns()
    job()
    execution = thread_time_ns() - cpu
    preemptions = resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw - switched
    return start, monotonic_ns(), execution, preemptions


def _jobs(memory: mmap.mmap, start_ns: int, task: Any, job: Callable[[], object]) -> None:
    names = ("offset_ns", "period_ns", "deadline_ns", "tolerance_ns", "releases", "ring", "ring_offset", "option")
    offset, period, deadline, tolerance, releases, ring, at, option = (int(task[name][0]) for name in names)
    first, number, records = start_ns + offset, 0, 0
    while number < releases:
        release = first + number * period
        sleep_until(release)
        cpu = libc.sched_getcpu()
        start, end, execution, preemptions = _work(job)
        missed = 0
        if not option & plan.CONTINUE and end > release:
            missed = min((end - release - 1) // period, releases - 1 - number)
        task["overruns"] += end > release + deadline + tolerance
        row = (number, release, start, end, execution, 0, cpu, missed, preemptions, 0)
        _JOB.pack_into(memory, at + records % ring * _JOB.size, *row)
        number += 1 + missed
        records += 1
        task["done"], task["records"] = number, records
        if option & plan.CONTINUE and end > first + releases * period:
            break
        due = first + number * period + deadline + tolerance
        _expect(task, option, due if number < releases else 0, end)


def _expect(task: Any, option: int, due_ns: int, now_ns: int) -> None:
    if option & plan.WATCH:
        task["kick_ns"], task["expect_ns"] = now_ns, due_ns


if __name__ == "__main__":
    sys.exit(main())

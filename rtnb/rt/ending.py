# SPDX-License-Identifier: MIT
"""How did a task end, and why did another never begin? What a reader must know, in a sentence."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
from typing import TYPE_CHECKING, Any

from rtnb import _core, caps, sched
from rtnb.errors import BadInput, NotPermitted, RtnbError, WorkerError
from rtnb.rt.task import Task
from rtnb.sched.admission import refused as not_admitted
from rtnb.units import in_words

if TYPE_CHECKING:
    from rtnb.rt.run import Run

__all__ = ["interrupted", "refused", "why"]


def interrupted(run: Run, found: Any) -> bool:
    """Was the run cut short by its reader, or by somebody else?"""
    cut = any(_was_cut(run, task, row) for task, row in zip(run.tasks, found, strict=True))
    return run.interrupted or run.stopped or cut


def why(run: Run, task: Task, row: Any) -> list[str]:
    """Why a task did not get to its end, in a sentence; nothing where it did, or where the reader ended it."""
    done = f"{task.name} ended after {int(row['done']):,} of {int(row['releases']):,} releases"
    if int(row["error"]):
        return [f"{done}, at {row['what'].decode()}: {os.strerror(int(row['error']))}"]
    status, number = int(row["wait_status"]), 0
    if stopped := [miss for miss in run.misses if miss.name == task.name and miss.stopped]:
        late = in_words(stopped[0].actual_ns)
        return [f"{task.name} was ended by the watchdog: a job was not done {late} after its release"]
    if status > 0 and os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
    if number == signal.SIGXCPU:
        limit = in_words(int(row["rttime_us"]) * 1000)
        return [f"{task.name} was ended by the kernel: {limit} of CPU time without a sleep (RLIMIT_RTTIME)"]
    if status > 0 and not number:
        return [f"{task.name} ended with an error after {int(row['records']):,} jobs"]
    if _was_cut(run, task, row):
        return [f"{done}: {f'killed by {signal.Signals(number).name}' if number else 'it was stopped from outside'}"]
    return [f"{done}: its time was over"] if _is_overdue(run, task, row) else []


def _is_overdue(run: Run, task: Task, row: Any) -> bool:
    """Was its time over before its releases were?"""
    short = int(row["done"]) < int(row["releases"]) and not (run.interrupted or run.stopped)
    return short and (bool(run.memory.head()["overdue"]) or task.late == "continue")


def _was_cut(run: Run, task: Task, row: Any) -> bool:
    """Did somebody else end it: not its own time, its reader, its watchdog, the kernel, or its own error?"""
    if int(row["done"]) >= int(row["releases"]) or run.interrupted or run.stopped or int(row["killed"]):
        return False
    status = int(row["wait_status"])
    own = status > 0 and (not os.WIFSIGNALED(status) or os.WTERMSIG(status) == signal.SIGXCPU)
    watched = any(miss.name == task.name and miss.stopped for miss in run.misses)
    return not (own or watched or int(row["error"]) or _is_overdue(run, task, row))


def refused(run: Run, status: _core.Status, found: Any) -> RtnbError:
    """Why a task could not become what it was asked to be."""
    task, number, call = run.tasks[status.records], status.error, status.what
    tried, error = f"rt_task {task.name}: {call}", OSError(number, os.strerror(number), call)
    made: RtnbError
    if call in ("sched_setattr", "sched_setaffinity"):
        made = _not_admitted(task, error)
    elif call in ("dlopen", "dlsym"):
        what = (
            "it cannot be loaded; what the loader said is above"
            if call == "dlopen"
            else "the library has no such symbol"
        )
        step = next(step for step in task.load if step.kind == "call")
        made = BadInput(f"call {step.name} of {step.library or 'the C of the load'}", what)
    elif number == errno.ENOMEM:
        what = "pages to touch" if "pages" in call else "jobs"
        made = BadInput(tried, f"there is not enough memory for that many {what}", "ask for fewer of them")
    elif number == errno.ECHILD:
        ended = int(found[status.records]["wait_status"])
        how = f"by {signal.Signals(os.WTERMSIG(ended)).name}" if os.WIFSIGNALED(ended) else "with an error"
        made = BadInput(tried, f"it ended {how} before its first job; what it said is above")
    else:
        made = WorkerError(tried, error.strerror or "")
    made.__cause__ = error
    return made


def _not_admitted(task: Task, error: OSError) -> RtnbError:
    tried = f"rt_task under {task.spec.policy}"
    # What it goes without is not what refused it.
    told = sched.explain(dataclasses.replace(task.spec, lock_memory=False, cpu_dma_latency_us=None))
    if told.allowed is False:
        return not_admitted(tried, told)
    if error.errno == errno.EBUSY:  # it alone would have fitted
        why = "the reservations of this run's tasks are more than is left of the CPUs' bandwidth"
        return NotPermitted(f"{tried}: sched_setattr", why, "make the runtimes smaller")
    return caps.refused("rt.deadline" if task.spec.policy == "deadline" else "rt.fifo", tried, error)

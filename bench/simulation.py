# SPDX-License-Identifier: MIT
"""How fast is a schedule simulated, next to SimSo? Ten tasks, RM and EDF: the same set, the same time, all tables made.

Both must count the same jobs and the same misses. And how long do 100,000 jobs take?
"""

from __future__ import annotations

import contextlib
import math
import os
import time
import warnings
from collections.abc import Callable
from typing import Any

from bench.harness import Row, compare, table, timed
from rtnb.errors import NotSupported, WorkerError
from rtnb.theory.simulation import Schedule, simulate
from rtnb.theory.taskset import TaskSet

__all__ = ["rows"]

PERIODS_MS = (10, 20, 25, 40, 50, 80, 100, 125, 200, 250)
SHARE = 98  # thousandths of a processor for each task: at U = 0.98 RM misses deadlines
SHORT_MS, LONG_MS = 40_000, 400_000


def ours(policy: str, until_ms: int) -> Schedule:
    """The set's schedule, and all of its tables."""
    us = [1000 * period for period in PERIODS_MS]
    ts = TaskSet(C=[SHARE * period // 1000 for period in us], T=us)
    schedule = simulate(ts, policy, until=1000 * until_ms)
    _ = schedule.recording
    return schedule


def simso(policy: str, until_ms: int) -> Any:
    """SimSo's model of the same, which has run. Raises NotSupported."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its use of pkg_resources
            from simso.configuration import Configuration
            from simso.core import Model
    except ImportError as e:
        raise NotSupported("bench/simulation.py", "simso is not installed", "pip install simso") from e
    asked = Configuration()
    asked.cycles_per_ms = 1000
    asked.duration = 1000 * until_ms
    for at, period in enumerate(PERIODS_MS):
        times = {"period": period, "deadline": period, "wcet": SHARE * period / 1000, "activation_date": 0}
        asked.add_task(name=f"t{at + 1}", identifier=at, abort_on_miss=False, **times)
    asked.add_processor(name="cpu", identifier=1)
    asked.scheduler_info.clas = f"simso.schedulers.{policy.upper()}"
    asked.check_all()
    model = Model(asked)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # its RM tells each decision
        model.run_model()
    return model


def rows(pairs: int = 5) -> list[Row]:
    """Jobs a millisecond, for each policy; then 100,000 jobs, with no peer."""
    found = []
    for policy in ("rm", "edf"):
        jobs, misses = _agreed(policy)
        mine, theirs = (_speed(run, policy, jobs) for run in (ours, simso))
        note = f"{jobs:,} jobs, {misses:,} misses, in both"
        found.append(compare(f"simulate {policy}, 10 tasks", mine, theirs, unit="jobs/ms", pairs=pairs, note=note))
    return [*found, *(_long(policy) for policy in ("rm", "edf"))]


def _long(policy: str) -> Row:
    ms = min(timed(lambda: ours(policy, LONG_MS))() for _ in range(3))
    jobs = len(ours(policy, LONG_MS).jobs)
    none = math.nan
    return Row(f"simulate {policy}, {jobs:,} jobs", ms, none, "ms", none, none, none, 1, "best of 3")


def _speed(run: Callable[[str, int], object], policy: str, jobs: int) -> Callable[[], float]:
    def measure() -> float:
        start = time.perf_counter_ns()
        run(policy, SHORT_MS)
        return jobs / (time.perf_counter_ns() - start) * 1e6

    return measure


def _agreed(policy: str) -> tuple[int, int]:
    """How many jobs there are, and how many miss their deadline: both say the same. Raises WorkerError."""
    schedule, model = ours(policy, SHORT_MS), simso(policy, SHORT_MS)
    end = model.duration
    theirs = [job for task in model.results.tasks.values() for job in task.jobs if job.activation_date < end]
    due = [job for job in theirs if job.absolute_deadline <= end]
    late = sum(job.exceeded_deadline or job.end_date is None for job in due)
    found, told = (len(schedule.jobs), len(schedule.misses)), (len(theirs), late)
    if found != told:
        raise WorkerError("bench/simulation.py", f"{policy}: (jobs, misses) are {found} here, and {told} in SimSo")
    return found


if __name__ == "__main__":
    print(table(rows()))

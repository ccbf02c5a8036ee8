# SPDX-License-Identifier: MIT
"""Why was that wake-up late? The parts sum to the whole, and a known cause is found under its name."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest

from rtnb import rt, sched
from rtnb.recording import Recording

pytestmark = pytest.mark.needs("core.run", "rt.fifo", "rt.trace")

MS = 10**6
CPU = max(os.sched_getaffinity(0))
PARTS = [f"{part}_ns" for part in ("run", "preempted", "interrupt", "blocked", "throttled", "host", "unexplained")]


def fifo(name: str, priority: int, period: str, load: object, **options: object) -> rt.Task:
    return rt.Task(name, period, sched.fifo(priority, cpu=CPU, lock_memory=True), load, **options)  # type: ignore[arg-type]


def explained(recording: Recording) -> pd.DataFrame:
    """The causes, after what must be true of every run: no part below zero, and all of them sum to the response."""
    jobs, causes, pieces = (recording.tables[name] for name in ("jobs", "causes", "segments"))
    assert recording.header.lost == 0
    assert (causes[PARTS] >= 0).all(axis=None)
    assert (causes[PARTS].sum(axis=1) == causes["response_ns"]).all()
    assert (causes["response_ns"].to_numpy() == jobs["response_ns"].to_numpy()).all()
    assert len(causes) == len(jobs)
    for (task, job), part in pieces.groupby(["task", "job"], observed=True):
        row = jobs[(jobs["task"] == task) & (jobs["job"] == job)].iloc[0]
        assert part["begin_ns"].iloc[0] == row["release_ns"]
        assert part["end_ns"].iloc[-1] == row["end_ns"]
        assert (part["begin_ns"].to_numpy()[1:] == part["end_ns"].to_numpy()[:-1]).all()
    return causes


def test_the_parts_of_a_wake_up_sum_to_its_latency() -> None:
    explained(rt.run(period="1ms", duration="300ms", cpu=CPU, trace=True))


def test_a_task_that_runs_alone_ran() -> None:
    causes = explained(rt.start(fifo("alone", 50, "20ms", "busy:5ms"), "460ms", trace=True).join())
    assert (causes["run_ns"] + causes["interrupt_ns"] + causes["host_ns"] >= 5 * MS).all()
    assert causes["run_ns"].median() > 0.9 * causes["response_ns"].median()
    assert (causes[["blocked_ns", "throttled_ns"]] == 0).all(axis=None)


def test_who_preempts_is_named_and_for_how_long() -> None:
    tasks = [fifo("low", 10, "40ms", "busy:10ms"), fifo("high", 60, "40ms", "busy:4ms", offset="3ms")]
    causes = explained(rt.start(tasks, "460ms", trace=True).join())
    low, high = (causes[causes["task"] == name] for name in ("low", "high"))
    assert (low["preempted_ns"] + low["interrupt_ns"] >= 4 * MS).all()
    assert low["preempted_ns"].median() < 5 * MS
    assert set(low["by"]) == {"high"}
    assert high["preempted_ns"].median() < MS


def test_a_sleep_and_a_mutex_are_blocked() -> None:
    causes = explained(rt.start(fifo("sleeper", 50, "20ms", "busy:1ms,sleep:3ms"), "230ms", trace=True).join())
    assert (causes["blocked_ns"] >= 2.9 * MS).all()
    recording = rt.inversion("inherit", trace=True)
    waited = explained(recording).set_index("task").loc["high"]
    assert waited["blocked_ns"] > 14 * MS
    assert waited["blocked_ns"] > 0.9 * waited["response_ns"]


@pytest.mark.needs("rt.deadline")
def test_a_budget_that_is_used_up_is_throttled() -> None:
    spec = sched.deadline("2ms", "10ms", "10ms")
    causes = explained(rt.start(rt.Task("greedy", "20ms", spec, "busy:5ms"), "230ms", trace=True).join())
    assert (causes["throttled_ns"] > 10 * MS).all()


def test_without_privilege_it_is_refused_before_anything_runs() -> None:
    import shutil
    import subprocess
    import sys

    setpriv = shutil.which("setpriv") or pytest.skip("no setpriv (util-linux)")
    argv = [setpriv, "--reuid=nobody", "--regid=nogroup", "--clear-groups", sys.executable, "-c"]
    code = "from rtnb import rt; rt.run(policy='other', duration='10ms', trace=True)"
    said = subprocess.run([*argv, code], capture_output=True, text=True, cwd="/").stderr
    assert "NotPermitted: trace the scheduler: tracefs, which numbers the tracepoints, may not be read" in said


def test_interrupts_that_nest_count_once() -> None:
    from rtnb.rt.causes import _united

    ends = [(np.array([10, 20, 50]), 1), (np.array([30, 40, 60]), -1)]
    assert _united(ends).tolist() == [[10, 40], [50, 60]]
    late = [(np.array([20]), 1), (np.array([5, 30]), -1)]
    assert _united(late).tolist() == [[20, 30]]

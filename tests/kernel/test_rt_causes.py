# SPDX-License-Identifier: MIT
"""Why was that wake-up late? The parts sum to the whole, and a known cause is found under its name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pandas as pd
import pytest

from rtnb import rt, sched
from rtnb.recording import Recording
from rtnb.rt.causes import segments
from rtnb.rt.trace import Tracer

pytestmark = pytest.mark.needs("core.run", "rt.fifo", "rt.trace")

MS = 10**6
CPU = max(os.sched_getaffinity(0))
PARTS = [f"{part}_ns" for part in ("run", "preempted", "interrupt", "blocked", "throttled", "host", "unexplained")]


def fifo(name: str, priority: int, period: str, load: object, cpu: int = CPU, **options: object) -> rt.Task:
    return rt.Task(name, period, sched.fifo(priority, cpu=cpu, lock_memory=True), load, **options)  # type: ignore[arg-type]


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


@pytest.mark.needs("rt.deadline")
@pytest.mark.parametrize("policy", ["fifo", "other", "deadline"])
def test_what_a_job_ran_is_its_cpu_time(policy: str) -> None:
    specs = {
        # Not pinned, it goes from CPU to CPU; on a virtual machine, the idle task of one may tell of no switch.
        "deadline": [sched.deadline("2ms", "10ms")],
        "fifo": [sched.fifo(50, cpu=cpu) for cpu in os.sched_getaffinity(0)],
        "other": [sched.other(cpu=cpu) for cpu in os.sched_getaffinity(0)],
    }
    for spec in specs[policy]:
        recording = rt.start(rt.Task(policy, "10ms", spec, "busy:6ms"), "230ms", trace=True).join()
        causes, execution = explained(recording), recording.tables["jobs"]["execution_ns"].astype("int64")
        on_cpu = causes["run_ns"] + causes["host_ns"]
        # Interrupts are in its CPU time where they came while it ran, and are told of all its response time.
        assert (on_cpu + causes["interrupt_ns"] > 0.98 * execution).all()
        assert (on_cpu < 1.05 * execution + MS // 10).sum() >= 0.9 * len(causes)


def test_what_is_no_budget_is_no_throttling() -> None:
    causes = explained(rt.inversion("inherit", trace=True)).set_index("task")
    assert causes.loc["low", "by"] == "middle"
    assert causes.loc["low", "preempted_ns"] > 0.9 * 100 * MS
    assert (causes["throttled_ns"] == 0).all()
    spec = sched.other(cpu=CPU)
    tasks = [
        rt.Task("fair", "40ms", spec, "busy:8ms"),
        rt.Task("nice", "40ms", sched.other(nice=10, cpu=CPU), "busy:8ms"),
    ]
    causes = explained(rt.start(tasks, "230ms", trace=True).join())
    assert (causes["throttled_ns"] == 0).all()
    assert (causes["by"][causes["task"] == "nice"] == "fair").any()


def test_interrupts_are_seen_on_every_cpu() -> None:
    for cpu in os.sched_getaffinity(0):
        causes = explained(rt.start(fifo("busy", 50, "20ms", "busy:10ms", cpu=cpu), "230ms", trace=True).join())
        assert (causes["interrupt_ns"] > 0).all()
        assert causes["interrupt_ns"].median() < causes["run_ns"].median()


def test_without_privilege_it_is_refused_before_anything_runs() -> None:
    setpriv = shutil.which("setpriv") or pytest.skip("no setpriv (util-linux)")
    argv = [setpriv, "--reuid=nobody", "--regid=nogroup", "--clear-groups", sys.executable, "-c"]
    code = "from rtnb import rt; rt.run(policy='other', duration='10ms', trace=True)"
    said = subprocess.run([*argv, code], capture_output=True, text=True, cwd="/").stderr
    assert "NotPermitted: trace the scheduler: tracefs, which numbers the tracepoints, may not be read" in said


def test_in_a_pid_namespace_it_is_refused() -> None:
    unshare = shutil.which("unshare") or pytest.skip("no unshare (util-linux)")
    code = "from rtnb import rt; rt.run(period='1ms', duration='10ms', trace=True)"
    argv = [unshare, "--pid", "--fork", "--mount-proc", sys.executable, "-c", code]
    said = subprocess.run(argv, capture_output=True, text=True).stderr
    assert "NotSupported: trace the scheduler: this process is in a PID namespace" in said
    assert "hint: run it on the host" in said


def test_interrupts_are_watched_on_the_tasks_own_cpus() -> None:
    cpus = os.sched_getaffinity(0)
    opened = []
    for chosen in (None, cpus, {CPU}, set[int]()):
        before = len(os.listdir("/proc/self/fd"))
        tracer = Tracer(only_real_time=True, cpus=chosen)
        opened.append(len(os.listdir("/proc/self/fd")) - before)
        assert not tracer.events().lost
        tracer.close()
    everywhere, same, one, none = opened
    assert everywhere == same
    assert none == 3 * os.cpu_count()  # type: ignore[operator]
    assert one - none == (everywhere - none) / os.cpu_count()  # type: ignore[operator]


def test_what_is_forgotten_changes_nothing_of_later_jobs() -> None:
    run = rt.start(fifo("brief", 50, "2ms", "busy:200us"), "460ms", trace=True)
    recording = run.join()
    assert run.tracer
    before = run.tracer.events()
    told = before.by_name["sched/sched_switch"]
    pid = int(told["prev_pid"][told["prev_comm"] == b"brief"][0])
    later = recording.tables["jobs"].iloc[-23:]
    run.tracer.forget(int(later["release_ns"].min()))
    after = run.tracer.events()
    assert len(after.switches) < len(before.switches) / 4
    pieces = segments(later, {"brief": pid}, after)
    whole = recording.tables["segments"]
    whole = whole[whole["job"] >= later["job"].min()].reset_index(drop=True)
    pd.testing.assert_frame_equal(pieces.astype({"by": "str"}), whole.astype({"by": "str"}))

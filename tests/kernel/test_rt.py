# SPDX-License-Identifier: MIT
"""A periodic task: every release is accounted for, under the policy asked for or none, and nothing is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rtnb import rt, sched
from rtnb.abi.capability import effective
from rtnb.errors import BadInput
from rtnb.recording import Recording

pytestmark = pytest.mark.needs("core.run")

MS = 10**6
CPU = max(os.sched_getaffinity(0))
NOBODY = ["--reuid=nobody", "--regid=nogroup", "--clear-groups"]
can_drop = pytest.mark.skipif("CAP_SETUID" not in effective(), reason="without CAP_SETUID no privilege is dropped")


def supervisor() -> int:
    """The pid of the one supervisor that runs now as a child of this process."""
    (pid,) = Path("/proc/thread-self/children").read_text().split()
    return int(pid)


def worker() -> int:
    """The pid of its one task."""
    (pid,) = children(supervisor())
    return pid


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def once(action: Callable[[], Any]) -> Callable[[float], None]:
    """A progress callback that acts the first time that the worker is at work."""
    todo = [action]

    def progress(done: float) -> None:
        if done and todo:
            todo.pop()()

    return progress


def jobs(recording: Recording) -> pd.DataFrame:
    assert list(recording.tables) == ["jobs"]
    return recording.tables["jobs"]


def accounted(df: pd.DataFrame, period_ns: int, releases: int) -> None:
    """Each release is a row or missed, and each column is what the others say it must be."""
    assert len(df) + df["missed"].sum() == releases
    assert (np.diff(df["release_ns"]) == period_ns * (1 + df["missed"][:-1])).all()
    assert (np.diff(df["job"]) == 1 + df["missed"][:-1]).all()
    assert df["job"].iloc[0] == 0
    assert (df["start_ns"] - df["release_ns"] == df["latency_ns"]).all()
    assert (df["end_ns"] - df["release_ns"] == df["response_ns"]).all()
    assert (df["latency_ns"] >= 0).all()
    slept_through = (df["response_ns"] - 1).clip(lower=0) // period_ns
    assert (df["missed"][:-1] == slept_through[:-1]).all()
    assert df["missed"].iloc[-1] <= slept_through.iloc[-1]  # what would be due after the end is not missed
    assert (df["overrun"] == (df["end_ns"] > df["deadline_ns"])).all()


def in_python(code: str, *setpriv: str) -> subprocess.CompletedProcess[str]:
    """Run Python code as setpriv's words say, away from this folder."""
    argv = [shutil.which("setpriv") or pytest.skip("no setpriv (util-linux)"), *setpriv, sys.executable, "-c", code]
    return subprocess.run(argv, capture_output=True, text=True, cwd="/", timeout=60)


def test_23_periods_are_23_releases() -> None:
    recording = rt.run(policy="other", period="10ms", duration="230ms")
    accounted(jobs(recording), 10 * MS, 23)
    assert recording.header.kind == "rt_task"
    assert recording.header.engine == "clock_nanosleep (C)"
    assert " ".join(recording.header.source) == "--policy other --period 10ms --duration 230ms"
    assert not recording.header.interrupted
    assert recording.header.notes == () or "memory not locked" in recording.header.notes[0]
    assert recording.header.duration_ns >= 220 * MS


def test_a_duration_of_one_period_is_one_release() -> None:
    assert len(jobs(rt.run(policy="other", period="5ms", duration="5ms"))) == 1


def runs_under(policy: str, priority: int) -> None:
    seen = []
    recording = rt.run(
        policy=policy, cpu=CPU, period="1ms", duration="300ms", progress=once(lambda: seen.append(now()))
    )

    (spec,) = seen
    found = recording.header.details["tasks"]["task"]
    assert (spec.policy, spec.priority, spec.nice, spec.cpus) == (policy, priority, 0, {CPU})
    names = ("policy", "priority", "cpus", "period_ns", "releases")
    assert [found[name] for name in names] == [policy, priority, [CPU], MS, 300]
    accounted(jobs(recording), MS, 300)
    assert (jobs(recording)["cpu"] == CPU).all()
    row = rt.summary(jobs(recording)).iloc[0]
    assert (row["measure"], row["policy"], row["priority"]) == ("latency", policy, priority)
    assert row["samples"] + row["missed"] == 300
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def now() -> sched.Spec:
    return sched.of(worker())


@pytest.mark.parametrize("policy", ["other", "batch", "idle"])
def test_it_runs_under_the_policy_asked_for(policy: str) -> None:
    runs_under(policy, 0)


@pytest.mark.needs("rt.fifo")
@pytest.mark.parametrize("policy", ["fifo", "rr"])
def test_it_runs_under_the_real_time_policy_asked_for(policy: str) -> None:
    runs_under(policy, 80)


@pytest.mark.needs("rt.fifo", "rt.mlock", "rt.cpu_dma_latency")
def test_it_has_its_memory_locked_and_an_end_to_its_cpu_time() -> None:
    seen: list[str] = []

    def look() -> None:
        process = Path(f"/proc/{worker()}")
        seen.extend((process / name).read_text() for name in ("status", "limits"))
        seen.append(" ".join(os.readlink(fd) for fd in Path(f"/proc/{supervisor()}/fd").iterdir()))

    header = rt.run(duration="200ms", priority=7, progress=once(look)).header
    details, task = header.details, header.details["tasks"]["task"]
    status, limits, descriptors = seen
    (locked,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmLck:"))
    (limit,) = (line.split()[3:5] for line in limits.splitlines() if line.startswith("Max realtime timeout"))
    assert locked > 0
    assert limit == ["1000000", "1100000"]
    assert "/dev/cpu_dma_latency" in descriptors
    assert (task["priority"], task["locked_memory"], details["cpu_dma_latency_us"]) == (7, True, 0)
    assert (details["watchdog"]["policy"], details["watchdog"]["priority"]) == ("fifo", 17)
    assert details["without"] == {}


def test_progress_is_told_up_to_the_end() -> None:
    told: list[float] = []
    rt.run(policy="other", duration="500ms", progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert 3 <= len(told) <= 30


def test_a_late_wake_up_has_missed_what_it_slept_through() -> None:
    def stall() -> None:
        os.kill(worker(), signal.SIGSTOP)
        time.sleep(0.057)
        os.kill(worker(), signal.SIGCONT)

    df = jobs(rt.run(policy="other", period="10ms", duration="600ms", progress=once(stall)))
    accounted(df, 10 * MS, 60)
    assert df["missed"].max() >= 4


def test_what_is_due_after_the_end_is_not_missed() -> None:
    def stall() -> None:
        os.kill(worker(), signal.SIGSTOP)
        time.sleep(0.4)
        os.kill(worker(), signal.SIGCONT)

    recording = rt.run(policy="other", period="10ms", duration="300ms", progress=once(stall))
    accounted(jobs(recording), 10 * MS, 30)
    assert not recording.header.interrupted


def test_an_interrupt_returns_what_there_is() -> None:
    recording = rt.run(
        policy="other", duration="1h", period="10ms", progress=once(lambda: signal.raise_signal(signal.SIGINT))
    )
    df = jobs(recording)
    done = len(df) + int(df["missed"].sum())
    assert 0 < done < 360_000
    accounted(df, 10 * MS, done)
    assert recording.header.interrupted
    assert "interrupted" in recording.header.caption()
    assert "the task was" not in recording.header.caption()


@pytest.mark.parametrize(
    ("number", "said"), [(signal.SIGKILL, "killed by SIGKILL"), (signal.SIGINT, "stopped from outside")]
)
def test_a_task_that_is_killed_leaves_its_samples(number: signal.Signals, said: str) -> None:
    recording = rt.run(policy="other", duration="1h", period="10ms", progress=once(lambda: os.kill(worker(), number)))
    assert recording.header.interrupted
    assert said in recording.header.caption()
    assert len(jobs(recording)) > 0


def test_an_error_in_the_callback_ends_the_run() -> None:
    class Mine(Exception):
        pass

    def fail() -> None:
        raise Mine

    with pytest.raises(Mine):
        rt.run(policy="other", duration="1h", progress=once(fail))


def gone(stat: Path) -> bool:
    """Has the process ended, though nobody may have waited for it?"""
    try:
        return ") Z " in stat.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("policy", ["other", pytest.param("fifo", marks=pytest.mark.needs("rt.fifo"))])
def test_a_killed_notebook_leaves_no_worker(policy: str) -> None:
    code = f"from rtnb import rt; rt.run(policy='{policy}', period='10ms', load='busy:5ms', duration='1h')"
    with subprocess.Popen([sys.executable, "-c", code]) as notebook:
        try:
            while not (above := children(notebook.pid)) or not (below := children(above[0])):
                assert notebook.poll() is None
                time.sleep(0.01)
            stats = [Path(f"/proc/{pid}/stat") for pid in (*above, *below)]
            while any(sched.of(pid).policy != policy for pid in below):
                time.sleep(0.01)
        finally:
            notebook.kill()
        end = time.monotonic() + 1
        while not all(map(gone, stats)) and time.monotonic() < end:
            time.sleep(0.01)
        assert all(map(gone, stats))


@pytest.mark.parametrize("cpu", [1023, 100_000])
def test_a_cpu_that_is_not_there_is_told(cpu: int) -> None:
    with pytest.raises(BadInput) as e:
        rt.run(policy="other", cpu=cpu, duration="10ms")
    assert e.value.tried == f"cpu {cpu}"
    assert e.value.hint == f"one of {', '.join(map(str, sorted(os.sched_getaffinity(0))))}"


@can_drop
def test_nobody_is_refused_fifo_and_told_why() -> None:
    done = in_python("from rtnb import rt; rt.run(duration='10ms')", *NOBODY)
    assert "NotPermitted: rt_task under fifo: without CAP_SYS_NICE a priority goes up to RLIMIT_RTPRIO" in done.stderr
    assert "PermissionError: [Errno 1] Operation not permitted: 'sched_setattr'" in done.stderr
    assert "--rtprio=99" in done.stderr


@can_drop
def test_nobody_may_run_under_other() -> None:
    code = """
from rtnb import rt
r = rt.run(policy="other", period="10ms", duration="230ms")
df = r.frame
print(len(df) + df["missed"].sum(), r.header.details["tasks"]["task"]["policy"], r.header.details["cpu_dma_latency_us"])
"""
    done = in_python(code, *NOBODY)
    assert (done.stdout, done.stderr) == ("23 other None\n", "")


@can_drop
def test_memory_that_may_not_be_locked_is_noted_and_the_run_goes_on() -> None:
    code = """
import resource
resource.setrlimit(resource.RLIMIT_MEMLOCK, (4096, 4096))
from rtnb import caps, rt
r = rt.run(policy="other", duration="10ms")
print(r.header.details["tasks"]["task"]["locked_memory"], caps.ask("rt.mlock").verdict)
print(r.header.notes[0])
"""
    first, note = in_python(code, *NOBODY).stdout.splitlines()
    assert first == "False no"
    assert "without CAP_IPC_LOCK only RLIMIT_MEMLOCK bytes may be locked, here 4,096" in note


@can_drop
@pytest.mark.needs("rt.fifo")
def test_cap_sys_nice_alone_suffices() -> None:
    code = "from rtnb import rt; print(rt.run(duration='10ms').header.details['tasks']['task']['policy'])"
    done = in_python(code, *NOBODY, "--inh-caps=-all,+sys_nice", "--ambient-caps=-all,+sys_nice")
    assert (done.stdout, done.stderr) == ("fifo\n", "")


@pytest.mark.needs("rt.fifo")
def test_a_group_without_a_real_time_budget_is_told_and_the_remedy_works() -> None:
    group = Path("/sys/fs/cgroup/cpu/rtnb-test")
    try:
        group.mkdir()
    except OSError as e:
        pytest.skip(f"no cpu hierarchy of cgroups version 1 to make a group in ({e.strerror})")
    budget = group / "cpu.rt_runtime_us"
    code = "from rtnb import rt; print(rt.run(duration='10ms').header.details['tasks']['task']['policy'])"
    argv = ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh", sys.executable, "-c", code]
    try:
        if not budget.exists():
            pytest.skip("this kernel has no RT_GROUP_SCHED")
        refused = subprocess.run(argv, capture_output=True, text=True)
        budget.write_text("100000")
        granted = subprocess.run(argv, capture_output=True, text=True)
    finally:
        group.rmdir()
    assert f"no real-time budget: {budget} is 0" in refused.stderr
    assert (granted.stdout, granted.stderr) == ("fifo\n", "")


def cyclictest(loops: int, folder: Path) -> dict[str, Any]:
    program = shutil.which("cyclictest") or pytest.skip("no cyclictest (rt-tests)")
    told = folder / "cyclictest.json"
    options = ["-q", "-m", "-p80", "-i1000", "-l", str(loops), "-a", str(CPU), "-h", "20000", f"--json={told}"]
    subprocess.run([program, *options], check=True, stdout=subprocess.DEVNULL)
    thread: dict[str, Any] = json.loads(told.read_text())["thread"]["0"]
    return thread


@pytest.mark.needs("rt.fifo")
def test_it_measures_what_cyclictest_measures(tmp_path: Path) -> None:
    ours, theirs = [], []
    for _ in range(5):
        df = jobs(rt.run(cpu=CPU, period="1ms", duration="300ms"))
        thread = cyclictest(300, tmp_path)
        assert len(df) + df["missed"].sum() == thread["cycles"] == 300
        each = [int(us) for us, n in thread["histogram"].items() for _ in range(n)]
        ours.append(df["latency_ns"].median() / 1000)
        theirs.append(statistics.median(each))
    assert 1 / 3 < statistics.median(ours) / statistics.median(theirs) < 3

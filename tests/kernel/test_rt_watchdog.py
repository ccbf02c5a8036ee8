# SPDX-License-Identifier: MIT
"""The watchdog: it is quiet while all is well, tells each miss once, ends what it may, and leaves with its notebook."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rtnb import rt, sched
from rtnb.errors import BadInput, NoSuchTask, WorkerError
from rtnb.rt import Miss

pytestmark = pytest.mark.needs("core.run")

MS = 10**6
CPU = max(os.sched_getaffinity(0))


def until(condition: object, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.005)


def test_what_is_kicked_in_time_is_not_told() -> None:
    with rt.Watchdog() as dog:
        beat = dog.watch("sensor", "2s")
        for _ in range(23):
            beat.kick()
            time.sleep(0.002)
        assert dog.misses == []
        assert len(dog.frame) == 0


def test_a_miss_is_told_once_with_what_was_expected_and_what_was() -> None:
    told: list[Miss] = []
    with rt.Watchdog(on_miss=told.append) as dog:
        dog.watch("sensor", "20ms")
        until(lambda: told)
        time.sleep(0.1)
        worst = dog.worst_late_ns
    (miss,) = told
    assert (miss.name, miss.expected_ns, miss.stopped) == ("sensor", 20 * MS, False)
    assert miss.actual_ns == miss.expected_ns + miss.late_ns
    assert 0 < miss.late_ns <= worst


def test_each_of_many_is_told_apart_and_again_after_a_kick() -> None:
    with rt.Watchdog() as dog:
        beats = [dog.watch(f"beat{n}", "30ms") for n in range(23)]
        kept = beats.pop(7)
        until(lambda: kept.kick() or len(dog.misses) == 22)
        assert sorted(miss.name for miss in dog.misses) == sorted(f"beat{n}" for n in range(23) if n != 7)
        beats[0].kick()
        until(lambda: kept.kick() or len(dog.misses) == 23)
        assert dog.misses[-1].name == "beat0"
        kept.rest()
        time.sleep(0.1)
        assert len(dog.misses) == 23


def test_a_runaway_process_is_ended() -> None:
    with subprocess.Popen(["sleep", "60"]) as child, rt.Watchdog() as dog:
        dog.watch("runaway", "20ms", stop=child.pid)
        assert child.wait(10) == -signal.SIGKILL
        until(lambda: dog.misses)
        assert dog.misses[0].stopped
        assert bool(dog.frame["stopped"].iloc[0])


def test_another_process_can_kick() -> None:
    code = "import pickle, sys, time\nbeat = pickle.load(sys.stdin.buffer)\nwhile True: beat.kick(); time.sleep(.001)"
    with rt.Watchdog() as dog:
        beat = dog.watch("elsewhere", "3s")
        with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as child:
            assert child.stdin
            child.stdin.write(pickle.dumps(beat))
            child.stdin.close()
            time.sleep(4)
            assert dog.misses == []
            child.kill()
            until(lambda: dog.misses)


@pytest.mark.needs("rt.fifo")
def test_it_is_above_what_it_watches() -> None:
    with rt.Watchdog(priority=77) as dog:
        until(lambda: dog.priority)
        (pid,) = Path("/proc/thread-self/children").read_text().split()
        assert (sched.of(int(pid)).policy, sched.of(int(pid)).priority) == ("fifo", 77)
        assert (dog.policy, dog.priority) == ("fifo", 77)


@pytest.mark.parametrize(
    ("watch", "error", "said"),
    [
        (("x", "soon"), BadInput, "not a duration"),
        (("", "1ms"), BadInput, "1 to 31 bytes"),
        (("\ud800", "1ms"), BadInput, "1 to 31 bytes"),
        (("x", "1ms", 2**22 + 1), NoSuchTask, "does not exist"),
        (("x", "1ms", 2**40), BadInput, "no process"),
        (("x", "1ms", os.getpid()), BadInput, "this notebook itself"),
        (("x", "1ms", 1), BadInput, "init"),
        (("x", "1ms", 0), BadInput, "no process"),
        (("x", "1ms", -1), BadInput, "no process"),
    ],
)
def test_what_cannot_be_watched_is_told(watch: tuple[object, ...], error: type[Exception], said: str) -> None:
    name, timeout, *stop = watch
    with rt.Watchdog() as dog, pytest.raises(error, match=said):
        dog.watch(name, timeout, stop=stop[0] if stop else None)  # type: ignore[arg-type]


def test_an_error_in_the_callback_is_raised_at_the_end() -> None:
    class Mine(Exception):
        pass

    def fail(miss: Miss) -> None:
        raise Mine

    dog = rt.Watchdog(on_miss=fail)
    dog.watch("sensor", "1ms")
    until(lambda: dog.misses)
    with pytest.raises(Mine):
        dog.close()


def test_a_killed_notebook_leaves_no_watchdog() -> None:
    code = "from rtnb import rt\nimport time\ndog = rt.Watchdog()\nprint('up', flush=True)\ntime.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as notebook:
        assert notebook.stdout
        assert notebook.stdout.readline() == b"up\n"
        (pid,) = Path(f"/proc/{notebook.pid}/task/{notebook.pid}/children").read_text().split()
        notebook.kill()
    until(lambda: not Path(f"/proc/{pid}").exists() or ") Z " in Path(f"/proc/{pid}/stat").read_text(), 1)


def test_a_task_that_misses_its_deadline_is_told_while_it_runs() -> None:
    told: list[tuple[Miss, bool]] = []
    task = rt.Task("slow", "20ms", sched.other(cpu=CPU), "busy:8ms", deadline="5ms")
    run = rt.start(task, "200ms", on_miss=lambda miss: told.append((miss, run.running)))
    recording = run.join()
    assert len(told) == len(recording.tables["jobs"]) == len(recording.tables["misses"])
    assert all(running for _, running in told)
    late = [miss.late_ns for miss, _ in told]
    assert late != sorted(set(late))  # it does not grow from one to the next
    assert {(miss.name, miss.expected_ns) for miss, _ in told} == {("slow", 5 * MS)}
    assert recording.header.details["watchdog"]["misses"] == len(told)
    assert recording.header.details["watchdog"]["worst_late_ns"] >= max(miss.late_ns for miss, _ in told)


def test_a_task_in_time_is_not_told() -> None:
    task = rt.Task("quick", "20ms", sched.other(cpu=CPU), deadline="20ms", tolerance="10s")
    run = rt.start(task, "400ms", stop_on_miss=True)
    assert len(run.join().tables["misses"]) == 0


def test_a_runaway_task_is_ended_and_the_others_go_on() -> None:
    runaway = rt.Task("runaway", "20ms", sched.other(cpu=CPU), "busy:10s", deadline="5ms")
    good = rt.Task("good", "20ms", sched.other(), deadline="10s")
    recording = rt.start([runaway, good], "400ms", stop_on_miss=True).join()
    jobs = recording.tables["jobs"]
    assert set(jobs["task"]) == {"good"}
    assert len(jobs) + jobs["missed"].sum() == 20
    assert list(recording.tables["misses"]["stopped"]) == [True]
    assert "runaway was ended by the watchdog" in recording.header.caption()


def test_an_error_in_a_runs_callback_stops_the_run_and_is_raised() -> None:
    class Mine(Exception):
        pass

    def fail(miss: Miss) -> None:
        raise Mine

    run = rt.start(rt.Task("slow", "20ms", sched.other(), "busy:8ms", deadline="1ms"), "1h", on_miss=fail)
    with pytest.raises(Mine):
        run.join()
    assert not run.running


def test_it_watches_from_any_thread() -> None:
    dogs: list[rt.Watchdog] = []
    thread = threading.Thread(target=lambda: dogs.append(rt.Watchdog()))
    thread.start()
    thread.join()
    dogs[0].watch("sensor", "1ms")
    until(lambda: dogs[0].misses)
    dogs[0].close()


def test_a_kick_after_a_rest_is_watched_again() -> None:
    with rt.Watchdog() as dog:
        beat = dog.watch("sensor", "20ms")
        beat.rest()
        time.sleep(0.1)
        assert dog.misses == []
        beat.kick()
        until(lambda: dog.misses)


def test_a_watchdog_that_was_killed_says_so() -> None:
    dog = rt.Watchdog()
    (pid,) = Path("/proc/thread-self/children").read_text().split()
    os.kill(int(pid), signal.SIGKILL)
    until(lambda: not dog._worker.running)
    with pytest.raises(WorkerError, match="ended from outside"):
        dog.watch("sensor", "1s")
    with pytest.raises(WorkerError, match="ended from outside"):
        dog.close()


def test_it_may_be_closed_by_what_it_calls_and_asked_afterwards() -> None:
    dogs: list[rt.Watchdog] = []
    dogs.append(rt.Watchdog(on_miss=lambda miss: dogs[0].close()))
    beat = dogs[0].watch("sensor", "1ms")
    until(lambda: not dogs[0]._worker.running)
    assert dogs[0].worst_late_ns > 0
    assert dogs[0].policy in ("fifo", "other")
    with pytest.raises(BadInput, match="it is closed"):
        beat.kick()
    with pytest.raises(BadInput, match="its watchdog has ended"):
        pickle.loads(pickle.dumps(beat))


def test_a_run_may_be_closed_by_what_it_calls() -> None:
    runs: list[rt.Run] = []
    runs.append(
        rt.start(
            rt.Task("slow", "20ms", sched.other(), "busy:8ms", deadline="1ms"), "1h", on_miss=lambda _: runs[0].close()
        )
    )
    until(lambda: not runs[0].running)


def test_too_short_a_timeout_is_told() -> None:
    with rt.Watchdog() as dog, pytest.raises(BadInput, match="the shortest is 100 us"):
        dog.watch("sensor", "10us")

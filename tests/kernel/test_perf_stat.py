# SPDX-License-Identifier: MIT
"""Does %perf_stat count what the command did: all of it, nothing else, and as perf stat counts it?

Page faults are exact once addresses are not randomised: a victim that touches 5 pages makes 5 more than one
that touches none. Switches and CPU time lie between what the victim and the kernel's own accounting saw.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import mmap
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rtnb import _core, caps, perf
from rtnb.abi.capability import effective
from rtnb.caps.perf import paranoid
from rtnb.errors import BadInput, NoSuchCommand, NotSupported

pytestmark = pytest.mark.needs("perf.software")

ADDR_NO_RANDOMIZE = 0x0040000  # linux/personality.h
PAGE = mmap.PAGESIZE
WHERE = ["", "thread", "fork", "exec"]
kernel_side = pytest.mark.needs("perf.kernel")
without_pmu = pytest.mark.skipif(caps.ask("perf.hardware").verdict != "no", reason="this machine counts cycles")


@pytest.fixture
def fixed_addresses() -> Iterator[None]:
    """Commands started here are laid out alike each time, so that their page faults are the same each time."""
    libc = ctypes.CDLL(None)
    before = libc.personality(ctypes.c_ulong(0xFFFFFFFF))
    if libc.personality(ctypes.c_ulong(before | ADDR_NO_RANDOMIZE)) == -1:
        pytest.skip("addresses stay randomised here, so page faults are not exact")
    yield
    libc.personality(ctypes.c_ulong(before))


def faults(*argv: str) -> int:
    """The page faults of a command; the least of three runs, for under memory pressure text is read in again."""
    return int(perf.stat(argv, event="page-faults", repeat=3).frame.value.min())


def value(df: pd.DataFrame, event: str) -> int:
    (count,) = df.loc[df.event == event, "value"]
    return int(count)


@kernel_side
@pytest.mark.usefixtures("fixed_addresses")
@pytest.mark.parametrize("where", WHERE)
def test_page_faults_are_exact(victim: dict[str, str], where: str) -> None:
    """In the main thread, a second thread, a child, and a child that executes something else."""
    program, more = victim["perf_pages"], [where] if where else []
    none = faults(program, "00", *more)
    assert faults(program, "05", *more) - none == 5
    assert faults(program, "97", *more) - none == 97


@kernel_side
@pytest.mark.usefixtures("fixed_addresses")
@pytest.mark.parametrize("where", WHERE)
def test_the_same_count_as_perf_stat(victim: dict[str, str], where: str) -> None:
    classic = shutil.which("perf") or pytest.skip("perf is not installed here")
    argv = [victim["perf_pages"], "23", *([where] if where else [])]
    said = [
        subprocess.run([classic, "stat", "-x,", "-e", "page-faults", *argv], capture_output=True, text=True).stderr
        for _ in range(3)
    ]
    if not all(line.split(",")[0].isdigit() for line in said):
        pytest.skip(f"perf does not run on this kernel: {said[0].strip()[:100]}")
    assert faults(*argv) == min(int(line.split(",")[0]) for line in said)


@kernel_side
def test_switches_and_cpu_time_lie_between_two_other_counts(
    victim: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    def accounted() -> int:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_nvcsw + usage.ru_nivcsw

    before = accounted()
    df = perf.stat(victim["perf_sleeps"], event="context-switches,task-clock").frame
    switches, cpu_ns = map(int, capsys.readouterr().out.split())
    assert 7 <= switches <= value(df, "context-switches") <= accounted() - before
    # Two clocks of the kernel's, read at different moments: a hundredth is allowed for.
    assert cpu_ns * 0.99 <= value(df, "task-clock") <= df.elapsed_ns[0]


@kernel_side
@pytest.mark.usefixtures("fixed_addresses")
def test_the_callers_own_work_is_not_counted(victim: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what passes the output on, nor another thread and the commands that it runs."""
    argv = [victim["perf_pages"], "05"]
    quiet = faults(*argv)

    class Busy(io.StringIO):
        def write(self, text: str) -> int:
            touch(1000)
            return super().write(text)

    stop = threading.Event()

    def elsewhere() -> None:
        while not stop.is_set():
            touch(100)
            subprocess.run([victim["perf_pages"], "97"], check=True)

    other = threading.Thread(target=elsewhere)
    other.start()
    monkeypatch.setattr(sys, "stdout", out := Busy())
    try:
        assert faults(*argv) == quiet
        talking = perf.stat(["sh", "-c", "echo hello"], event="page-faults")
    finally:
        stop.set()
        other.join()
    assert out.getvalue() == "hello\n"
    assert talking.frame.value.item() < 1000


def touch(pages: int) -> None:
    with mmap.mmap(-1, max(pages, 1) * PAGE) as fresh:
        for i in range(pages):
            fresh[i * PAGE] = 1


@kernel_side
def test_a_group_and_its_events_agree(victim: dict[str, str]) -> None:
    df = perf.stat([victim["perf_pages"], "23"], event="page-faults,{faults,minor-faults,major-faults}").frame
    assert df.event.tolist() == ["page-faults", "faults", "minor-faults", "major-faults"]
    assert df.group.tolist() == [-1, 1, 1, 1]
    assert value(df, "page-faults") == value(df, "faults")
    assert value(df, "faults") == value(df, "minor-faults") + value(df, "major-faults")
    assert (df.status == "counted").all()
    assert (df.enabled_ns == df.running_ns).all()
    assert (df.share == 1).all()


@kernel_side
def test_the_two_sides_make_the_whole(victim: dict[str, str]) -> None:
    df = perf.stat([victim["perf_pages"], "23"], event="page-faults,page-faults:u,page-faults:k,page-faults:uk").frame
    sides = value(df, "page-faults:u"), value(df, "page-faults:k")
    assert sides[0] >= 23
    assert sum(sides) == value(df, "page-faults") == value(df, "page-faults:uk")
    assert not df.user_only.any()


@kernel_side
def test_repeated_runs_and_their_summary() -> None:
    recording = perf.stat("true", event="task-clock,page-faults,cs", repeat=3)
    df = recording.frame
    assert df.run.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert recording.header.details == {
        "events": ["task-clock", "page-faults", "cs"],
        "scope": "command",
        "repeat": 3,
        "exit_statuses": [0, 0, 0],
    }
    assert recording.header.duration_ns == df.groupby("run").elapsed_ns.first().sum()
    clock, pages, switches, elapsed = perf.summary(df).to_dict("records")
    assert (elapsed["event"], elapsed["runs"], elapsed["status"]) == ("elapsed", 3, "measured")
    assert elapsed["mean"] == df.groupby("run").elapsed_ns.first().mean()
    assert clock["mean"] == df.loc[df.event == "task-clock", "value"].mean()
    assert clock["rate"] == pytest.approx(clock["mean"] / df.elapsed_ns.mean())
    assert clock["rate_unit"] == "CPUs utilized"
    assert pages["rate"] == pytest.approx(pages["mean"] / clock["mean"] * 1e9)
    assert {pages["rate_unit"], switches["rate_unit"]} == {"/sec"}
    assert pages["runs"] == 3


def test_the_commands_end_is_told() -> None:
    assert perf.stat(["sh", "-c", "exit 7"], event="task-clock").header.exit_status == 7
    killed = perf.stat(["sh", "-c", "kill -TERM $$"], event="task-clock", repeat=2)
    assert killed.header.exit_status == -15
    assert killed.header.details["exit_statuses"] == [-15, -15]


@without_pmu
def test_an_event_without_counter_is_a_row_that_says_so() -> None:
    recording = perf.stat("true", event="task-clock,cycles,L1-dcache-load-misses")
    df = recording.frame
    assert df.status.tolist() == ["counted", "not supported", "not supported"]
    assert df.value.isna().tolist() == df.raw.isna().tolist() == [False, True, True]
    assert df.why.tolist()[1:] == ["this machine has no hardware counters"] * 2
    note = "cycles, L1-dcache-load-misses: not supported: this machine has no hardware counters"
    assert recording.header.notes == (note,)
    told = perf.summary(df)
    assert told.loc[told.event == "cycles", ["mean", "rate"]].isna().all(axis=None)


@without_pmu
def test_a_group_is_counted_together_or_not_at_all() -> None:
    df = perf.stat("true", event="task-clock,{page-faults,cycles},{cycles,minor-faults}").frame
    assert df.status.tolist() == ["counted", "not counted", "not supported", "not supported", "not counted"]
    assert set(df.why[df.status == "not counted"]) == {
        "its group cannot be counted together: cycles: this machine has no hardware counters"
    }
    assert df.value.isna().tolist() == [False, True, True, True, True]


@without_pmu
@pytest.mark.parametrize("event", ["cycles", "cycles,instructions:u", "{page-faults,cycles}"])
def test_not_one_event_is_an_error(event: str) -> None:
    with pytest.raises(NotSupported) as caught:
        perf.stat("true", event=event)
    assert str(caught.value) == (
        "perf_event_open(cycles): this machine has no hardware counters (the kernel says: No such file or directory)\n"
        "hint: software events work here: task-clock, page-faults, context-switches"
    )
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_bad_input_runs_nothing(tmp_path: Path) -> None:
    touching = ["touch", str(tmp_path / "ran")]
    for keywords in ({"event": "page-fault"}, {"repeat": 0}, {"repeat": True}, {"repeat": 1.5}, {"event": ""}):
        with pytest.raises(BadInput):
            perf.stat(touching, **keywords)  # type: ignore[arg-type]
    with pytest.raises(BadInput):
        perf.stat("")
    with pytest.raises(NoSuchCommand, match="command not found"):
        perf.stat("no-such-command-23")
    assert not list(tmp_path.iterdir())


def test_an_interrupt_returns_what_was_counted() -> None:
    """The command itself interrupts us, as the notebook's stop button does, and would then sleep on."""
    recording = perf.stat(["sh", "-c", "kill -INT $PPID; exec sleep 30"], event="page-faults", repeat=3)
    assert recording.header.interrupted
    assert recording.header.exit_status == -2
    assert recording.frame.run.tolist() == [0]
    assert recording.frame.value.item() > 0


@pytest.mark.needs("core.run")
def test_a_killed_notebook_leaves_nothing_of_the_command() -> None:
    script = "echo $$; sleep 7777; true"
    program = f"from rtnb import perf; perf.stat(['sh', '-c', {script!r}], event='task-clock')"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as notebook:
        assert notebook.stdout
        group = int(notebook.stdout.readline())  # the command leads it
        notebook.kill()
    try:
        end = time.monotonic() + 10
        with contextlib.suppress(ProcessLookupError):
            while time.monotonic() < end:
                os.killpg(group, 0)
                time.sleep(0.01)
            pytest.fail("the command runs on")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


@kernel_side
@pytest.mark.needs("core.run")
@pytest.mark.usefixtures("fixed_addresses")
def test_the_watcher_is_not_counted(victim: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = victim["perf_pages"]
    watched = faults(program, "05")
    monkeypatch.setattr(_core, "__file__", str(tmp_path / "__init__.py"))
    assert faults(program, "05") == watched


def test_an_interrupted_block_keeps_its_counts() -> None:
    counters = perf.counting("page-faults:u")

    def stopped() -> None:
        with counters:
            touch(23)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert counters.recording.header.interrupted
    assert counters.recording.frame.value.item() >= 23


def test_a_block_counts_its_own_pages() -> None:
    def counted(pages: int) -> int:
        with perf.counting("page-faults:u") as counters:
            touch(pages)
        return int(counters.recording.frame.value.item())

    counted(1000)  # the interpreter's own first faults
    assert min(counted(1005) for _ in range(5)) - min(counted(1000) for _ in range(5)) == 5


def test_a_block_counts_what_it_starts_and_nothing_else(victim: dict[str, str]) -> None:
    """Threads and commands started within are in; a thread that was there before is not."""
    go, done = threading.Event(), threading.Event()

    def before() -> None:
        go.wait()
        touch(10_000)
        done.set()

    def started_within() -> None:
        touch(1_000)
        subprocess.run([victim["perf_pages"], "3000"], check=True)

    old = threading.Thread(target=before)
    old.start()
    with perf.counting("page-faults:u") as counters:
        go.set()
        done.wait()
        touch(500)
        young = threading.Thread(target=started_within)
        young.start()
        young.join()
    old.join()
    assert 4_500 <= counters.recording.frame.value.item() < 10_000


@kernel_side
def test_a_block_counts_its_switches() -> None:
    """Between two readings of the thread's own accounting, one within and one around."""

    def switched() -> int:
        usage = resource.getrusage(resource.RUSAGE_THREAD)
        return usage.ru_nvcsw + usage.ru_nivcsw

    around = switched()
    with perf.counting("context-switches,task-clock") as counters:
        within = switched()
        for _ in range(7):
            threading.Event().wait(0.002)
        within = switched() - within
    around = switched() - around
    df = counters.recording.frame
    assert 7 <= within <= value(df, "context-switches") <= around
    assert value(df, "task-clock") < df.elapsed_ns[0]


def test_a_block_without_end_has_no_recording() -> None:
    counters = perf.counting("page-faults:u")
    with pytest.raises(BadInput, match="before the block has ended"):
        _ = counters.recording
    with counters:
        pass
    assert counters.recording.header.source == ()
    assert counters.recording.header.exit_status is None


AS_NOBODY = """
import json
from rtnb import perf
from rtnb.errors import NotPermitted
recording = perf.stat("true", event="task-clock,page-faults,context-switches,page-faults:u,page-faults:k")
try:
    perf.stat("true", event="context-switches")
    error = ""
except NotPermitted as e:
    error = str(e)
print(json.dumps([json.loads(recording.frame.to_json(orient="records")), recording.header.notes, error]))
"""


def as_nobody(code: str, *args: str) -> Any:
    """What this Python prints as JSON when run without any privilege."""
    if "CAP_SETUID" not in effective():
        pytest.skip("without CAP_SETUID no privilege is dropped")
    argv = [sys.executable, "-c", code, *args]
    run = subprocess.run(argv, user="nobody", group="nogroup", extra_groups=[], cwd="/", capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.skipif((paranoid() or 0) != 2, reason=f"perf_event_paranoid is {paranoid()}: 2 is what is tested")
def test_without_privilege_the_user_side_is_counted_and_said_so() -> None:
    """perf stat shows a context-switches:u of 0 here, which is no count; ours says that it may not."""
    rows, notes, error = as_nobody(AS_NOBODY)
    why = "perf_event_paranoid is 2 and CAP_PERFMON is missing"
    assert [(row["event"], row["status"], row["user_only"], row["value"] is None) for row in rows] == [
        ("task-clock", "counted", False, False),
        ("page-faults", "counted", True, False),
        ("context-switches", "not permitted", False, True),
        ("page-faults:u", "counted", False, False),
        ("page-faults:k", "not permitted", False, True),
    ]
    assert rows[1]["value"] == rows[3]["value"] > 0
    assert notes == [
        f"page-faults: the user side alone: {why}",
        f"context-switches, page-faults:k: not permitted: {why}",
    ]
    assert error == (
        f"perf_event_open(context-switches): {why} (the kernel says: Permission denied)\n"
        "hint: give the process CAP_PERFMON, or: sysctl kernel.perf_event_paranoid=1"
    )


TAKEN_AWAY = """
import json, sys
from rtnb import perf
frames = [perf.stat(program, event="task-clock,page-faults:u").frame for program in sys.argv[1:]]
print(json.dumps([[df.value.isna().tolist(), df.status.unique().tolist(), df.why.unique().tolist()] for df in frames]))
"""


@pytest.mark.skipif("CAP_CHOWN" not in effective(), reason="without CAP_CHOWN no set-uid program can be made")
def test_a_program_that_the_kernel_does_not_count_is_not_shown_as_zero() -> None:
    """perf stat shows 0 page faults for these: the kernel takes the counters away at the exec."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        if os.statvfs(folder).f_flag & os.ST_NOSUID or "NoNewPrivs:\t1" in Path("/proc/self/status").read_text():
            pytest.skip("programs gain no privileges here")
        modes = {"plain": 0o755, "set-uid": 0o4755, "set-gid": 0o2755, "unreadable": 0o711}
        for name, mode in modes.items():
            shutil.copy(shutil.which("true") or "", path := Path(folder, name))
            os.chown(path, 0, 0)
            path.chmod(mode)
        plain, *others = as_nobody(TAKEN_AWAY, *(f"{folder}/{name}" for name in modes))
    assert plain == [[False, False], ["counted"], [""]]
    for name, told in zip(list(modes)[1:], others, strict=True):
        does = "may not be read by this user" if name == "unreadable" else "gains privileges when it starts"
        why = f"{folder}/{name} {does}: the kernel does not count such a program"
        assert told == [[True, True], ["not counted"], [why]]


def test_a_clock_runs_through_both_sides() -> None:
    """dd spends its time in the kernel: were task-clock:u the user side alone, it would be a small part."""
    argv = ["dd", "if=/dev/zero", "of=/dev/null", "bs=1M", "count=500", "status=none"]
    df = perf.stat(argv, event="task-clock,task-clock:u").frame
    assert value(df, "task-clock:u") > 0.9 * value(df, "task-clock")
    assert df.why.tolist() == ["", "a clock runs through both sides: the modifier changes nothing"]


def test_no_descriptor_is_left_when_the_limit_is_met() -> None:
    """With room for two descriptors more, some events are counted and the others say why not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = os.open("/", os.O_RDONLY)
    os.close(used)
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 2, hard))
    try:
        with perf.counting("task-clock,page-faults:u,minor-faults:u") as counters:
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert counters.recording.frame.status.tolist() == ["counted", "counted", "not permitted"]
    assert counters.recording.frame.why.iloc[2] == "this process has no file descriptor left"

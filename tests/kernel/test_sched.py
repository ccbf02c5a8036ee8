# SPDX-License-Identifier: MIT
"""What the kernel says of a task's scheduling is what chrt, taskset and /proc say; what is set is put back."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rtnb import sched
from rtnb.abi import capability
from rtnb.abi import sched as abi
from rtnb.abi.syscall import syscall
from rtnb.errors import BadInput, NoSuchTask, RtnbError
from rtnb.sched import Spec, batch, change, deadline, fifo, idle, other, rr

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

ALL = frozenset(os.sched_getaffinity(0))
CPU = max(ALL)
NOBODY = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
can_drop = pytest.mark.skipif(
    "CAP_SETUID" not in capability.effective(), reason="without CAP_SETUID nothing is dropped"
)


@pytest.fixture(autouse=True)
def journal_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What changes another process is written down: not in the user's home."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@contextmanager
def asleep(*before: str) -> Iterator[int]:
    """The pid of a `sleep` that runs under what the words before it set; it has set it once it is `sleep`."""
    with subprocess.Popen([*before, "sleep", "60"]) as child:
        try:
            while Path(f"/proc/{child.pid}/comm").read_text() != "sleep\n":
                assert child.poll() is None
            yield child.pid
        finally:
            child.kill()


def as_nobody(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*NOBODY, sys.executable, "-c", code], capture_output=True, text=True, cwd="/", timeout=60)


def test_this_thread_is_as_os_says() -> None:
    spec = sched.of()
    assert (spec.policy, spec.priority) == ("other", 0)
    assert spec.nice == os.getpriority(os.PRIO_PROCESS, 0)
    assert spec.cpus == os.sched_getaffinity(0)
    assert spec.timer_slack_ns == int(Path(f"/proc/{threading.get_native_id()}/timerslack_ns").read_text())
    assert str(spec).startswith("SCHED_OTHER nice ")


@pytest.mark.parametrize("policy", ["other", "batch", "idle"])
def test_a_child_is_as_chrt_set_it(policy: str) -> None:
    slack = sched.of().timer_slack_ns
    with asleep("nice", "-n", "7", "chrt", f"--{policy}", "0") as pid:
        assert sched.of(pid) == Spec(policy, 0, 7, ALL, timer_slack_ns=slack)


@pytest.mark.needs("rt.fifo")
@pytest.mark.parametrize("policy", ["fifo", "rr"])
def test_a_real_time_child_is_as_chrt_set_it_and_says(policy: str) -> None:
    with asleep("taskset", "-c", str(CPU), "chrt", "--reset-on-fork", f"--{policy}", "23") as pid:
        spec = sched.of(pid)
        said = subprocess.run(["chrt", "-p", str(pid)], capture_output=True, text=True, check=True).stdout
    assert (spec.policy, spec.priority, spec.cpus, spec.reset_on_fork) == (policy, 23, {CPU}, True)
    assert re.findall(r": (\w+)", said)[:2] == [f"SCHED_{policy.upper()}", "23"] or "23" in said


@pytest.mark.needs("rt.deadline")
def test_a_reservation_is_as_chrt_set_it() -> None:
    times = ["--sched-runtime", "1000000", "--sched-deadline", "5000000", "--sched-period", "20000000"]
    with asleep("chrt", "--deadline", *times, "0") as pid:
        spec = sched.of(pid)
    assert (spec.policy, spec.runtime_ns, spec.deadline_ns, spec.period_ns) == ("deadline", 10**6, 5 * 10**6, 2 * 10**7)


def test_a_task_that_is_gone_is_told() -> None:
    with subprocess.Popen(["true"]) as child:
        pass
    for tid in (child.pid, -1, 2**40):
        for action in (sched.of, lambda tid: sched.apply(other(), tid), lambda tid: sched.apply(other(), pid=tid)):
            with pytest.raises(NoSuchTask, match=f"{tid}: it does not exist"):
                action(tid)
    with pytest.raises(NoSuchTask, match="it does not exist"):
        sched.threads(child.pid)


@contextmanager
def seven_threads() -> Iterator[list[int]]:
    """The numbers of seven threads of this process, named worker-0 to worker-6, that wait."""
    end, tids = threading.Event(), []

    def wait(name: bytes) -> None:
        tid = threading.get_native_id()
        Path(f"/proc/self/task/{tid}/comm").write_bytes(name)
        tids.append(tid)
        end.wait()

    started = [threading.Thread(target=wait, args=(b"worker-%d" % n,)) for n in range(7)]
    try:
        for thread in started:
            thread.start()
        while len(tids) < 7:
            time.sleep(0.001)
        yield tids
    finally:
        end.set()
        for thread in started:
            thread.join()


def test_a_process_is_a_row_a_thread() -> None:
    with seven_threads() as tids:
        sched.apply(batch(3, cpu=CPU), tids[0])
        df = sched.threads(os.getpid()).frame
        everyone = sched.threads().frame
        mine = sched.threads(tids[3]).frame  # a thread's number stands for its process
    assert set(df["tid"]) > set(tids)
    assert (df["pid"] == os.getpid()).all()
    assert list(mine["pid"]) == list(df["pid"])
    row = df.set_index("tid").loc[tids[0]]
    assert (row["policy"], row["nice"], row["cpus"]) == ("batch", 3, str(CPU))
    assert df["cpu"].isin(ALL).all()
    assert not row["kernel"]
    assert sorted(df[df["tid"].isin(tids)]["comm"]) == [f"worker-{n}" for n in range(7)]
    assert set(everyone["tid"]) > set(df["tid"])


def test_the_kernels_own_threads_are_told_and_a_hostile_name_does_nothing() -> None:
    with seven_threads() as tids:
        Path(f"/proc/self/task/{tids[0]}/comm").write_bytes(b") R 1\x1b[31m\n\xff")
        df = sched.threads().frame.set_index("tid")
    assert df.loc[tids[0], "comm"] == r") R 1\x1b[31m\n\xff"
    assert not df.loc[tids[0], "kernel"]
    if 2 in df.index:  # not in a container
        assert (df.loc[2, "comm"], bool(df.loc[2, "kernel"])) == ("kthreadd", True)


@pytest.mark.needs("rt.fifo")
def test_a_priority_that_a_mutex_lends_is_shown() -> None:
    """FUTEX_LOCK_PI: the word holds its owner's number, whose waiter lends it its priority."""
    word, end, waiter = ctypes.c_uint32(0), threading.Event(), []

    def own() -> None:
        word.value = threading.get_native_id()
        end.wait()
        syscall("futex", ctypes.byref(word), 7, 0, None, None, 0)  # FUTEX_UNLOCK_PI

    def wait() -> None:
        sched.apply(fifo(23))
        waiter.append(threading.get_native_id())
        syscall("futex", ctypes.byref(word), 6, 0, None, None, 0)  # FUTEX_LOCK_PI
        syscall("futex", ctypes.byref(word), 7, 0, None, None, 0)

    owner, other_thread = threading.Thread(target=own), threading.Thread(target=wait)
    owner.start()
    while not word.value:
        time.sleep(0.001)
    tid = word.value
    other_thread.start()
    try:
        while not (word.value >> 31):  # FUTEX_WAITERS
            time.sleep(0.001)
        df = sched.threads(os.getpid()).frame.set_index("tid")
    finally:
        end.set()
        owner.join()
        other_thread.join()
    assert df.loc[tid, ["policy", "priority", "boosted_priority"]].tolist() == ["other", 0, 23]
    assert df["boosted_priority"].count() == 1
    assert df.loc[waiter[0], ["policy", "priority"]].tolist() == ["fifo", 23]
    assert sched.summary(df.reset_index())["boosted"].sum() == 1


def test_a_summary_counts_every_thread() -> None:
    recording = sched.threads()
    summary = recording.frame.rtnb.summary()
    assert summary["threads"].sum() == len(recording.frame)
    assert summary["kernel"].sum() == recording.frame["kernel"].sum()
    ranks = [100 if row.policy == "deadline" else row.priority for row in summary.itertuples()]
    assert ranks == sorted(ranks, reverse=True)


SPECS = [
    other(3, cpu=CPU),
    batch(),
    idle(5, reset_on_fork=True),
    other(timer_slack="123us"),
    pytest.param(fifo(7, cpu=CPU), marks=pytest.mark.needs("rt.fifo")),
    pytest.param(rr(9, nice=4, reset_on_fork=True), marks=pytest.mark.needs("rt.fifo")),
    pytest.param(deadline("1ms", "5ms", "20ms", reclaim=True, dl_overrun=True), marks=pytest.mark.needs("rt.deadline")),
]


def has(given: Spec, spec: Spec) -> bool:
    """Has it what was asked for?"""
    asked = {name: value for name, value in vars(spec).items() if value is not None}
    return {name: getattr(given, name) for name in asked} == asked


@pytest.mark.needs("rt.fifo")
@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_it_is_applied_and_put_back(spec: Spec) -> None:
    for tid in (0, threading.get_native_id()):
        before = sched.of()
        with sched.applied(spec, tid) as given:
            assert has(given, spec)
            assert sched.of() == given
        assert sched.of() == before
    with seven_threads() as tids, asleep() as pid:
        for tid in (tids[0], pid):
            before = sched.of(tid)
            with sched.applied(spec, tid) as given:
                assert has(given, spec)
            assert sched.of(tid) == before


def test_all_threads_of_a_process_get_it_and_get_back_what_each_had() -> None:
    code = "import threading; [threading.Thread(target=threading.Event().wait, daemon=True).start() for _ in range(5)]"
    program = [sys.executable, "-c", f"{code}; print(flush=True); input()"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        assert child.stdin
        child.stdout.readline()
        tids = list(map(int, os.listdir(f"/proc/{child.pid}/task")))
        assert len(tids) == 6
        sched.apply(idle(), tids[2])
        before = [sched.of(tid) for tid in tids]
        with sched.applied(batch(5, cpu=CPU), pid=child.pid):
            assert {(s.policy, s.nice, s.cpus) for s in map(sched.of, tids)} == {("batch", 5, frozenset({CPU}))}
        assert [sched.of(tid) for tid in tids] == before
        child.stdin.write(b"\n")
        child.stdin.close()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_it_is_put_back_on_an_error_and_an_interrupt(error: type[BaseException]) -> None:
    before = sched.of()

    def fail() -> None:
        with sched.applied(other(cpu=CPU)):
            assert sched.of().cpus == {CPU}
            if error is KeyboardInterrupt:
                signal.raise_signal(signal.SIGINT)
            raise error

    with pytest.raises(error):
        fail()
    assert sched.of() == before


def test_they_nest() -> None:
    before = sched.of()
    with sched.applied(batch(cpu=CPU)) as outer:
        with sched.applied(idle(cpu=min(ALL))):
            pass
        assert sched.of() == outer
    assert sched.of() == before


def test_a_slice_of_its_own_is_put_back() -> None:
    with asleep() as pid:
        now = abi.sched_getattr(pid)
        if not now.runtime:
            pytest.skip("this kernel has no slices (before 6.12)")
        mine = now._replace(runtime=5_000_000)
        abi.sched_setattr(pid, mine)
        with sched.applied(batch(3), pid):
            assert abi.sched_getattr(pid).runtime == now.runtime
        assert abi.sched_getattr(pid) == mine


@pytest.mark.parametrize("number", range(4))
def test_what_is_refused_changes_nothing(number: int) -> None:
    spec, told = [
        (other(4, cpu=4095), "none of CPU 4095 is online"),
        (fifo(100, cpu=CPU), "priority 100 is not within"),
        (fifo(0, cpu=CPU, lock_memory=True), "priority 0 is not within"),
        (other(4, cpu=(CPU, 4095)), "the kernel gave something else (cpus)"),
    ][number]
    before, locked = sched.of(), vm("VmLck")
    for action in (sched.apply, lambda spec: sched.applied(spec).__enter__()):
        with pytest.raises(BadInput) as e:
            action(spec)
        assert told in e.value.why
        assert isinstance(e.value.__cause__, OSError) or number == 3
        assert (sched.of(), vm("VmLck")) == (before, locked)


def vm(name: str) -> int:
    """kB of this process, from /proc/self/status."""
    return int(re.findall(rf"{name}:\s*(\d+) kB", Path("/proc/self/status").read_text())[0])


@pytest.mark.needs("rt.mlock")
def test_memory_is_locked_as_long_as_one_wants_it() -> None:
    assert vm("VmLck") == 0
    with sched.applied(other(lock_memory=True)):
        with sched.applied(batch(lock_memory=True)):
            assert vm("VmLck") > 0
        assert vm("VmLck") > 0
    assert vm("VmLck") == 0


def test_the_prefault_uses_64_kib_of_the_stack() -> None:
    """A thread's stack pointer is in /proc/thread-self/syscall while it reads that."""

    def pointer() -> int:
        try:
            return int(Path("/proc/thread-self/syscall").read_text().split()[7], 16)
        except OSError as e:
            pytest.skip(f"no stack pointer to be seen ({e.strerror})")

    def deepen(left: int) -> int:
        return max([left - 1], key=deepen) if left else lowest.append(pointer()) or 0

    lowest: list[int] = []
    deepen(change._LEVELS)
    assert pointer() - lowest[0] >= 64 * 1024


@pytest.mark.needs("rt.cpu_dma_latency")
def test_cpu_dma_latency_is_held_and_let_go() -> None:
    def held() -> int:
        found = 0
        for fd in os.listdir("/proc/self/fd"):
            try:
                found += os.readlink(f"/proc/self/fd/{fd}") == "/dev/cpu_dma_latency"
            except FileNotFoundError:  # the listing's own
                continue
        return found

    with sched.applied(other(cpu_dma_latency_us=20)):
        assert held() == 1
        fd = os.open("/dev/cpu_dma_latency", os.O_RDONLY)
        try:
            assert int.from_bytes(os.read(fd, 4), sys.byteorder) <= 20
        finally:
            os.close(fd)
    assert held() == 0
    with pytest.raises(BadInput, match=r"hint: with sched\.applied"):
        sched.apply(other(cpu_dma_latency_us=20))


@pytest.mark.parametrize("spec", [other(lock_memory=True), other(cpu_dma_latency_us=0)], ids=str)
def test_what_a_process_asks_for_itself_only(spec: Spec) -> None:
    with asleep() as pid, pytest.raises(BadInput, match="for itself only"), sched.applied(spec, pid):
        pass


def test_a_thread_or_a_process() -> None:
    with pytest.raises(BadInput, match="a thread or a whole process"):
        sched.apply(other(), 5, pid=6)


def test_never_in_the_notebooks_own_kernel() -> None:
    code = """
import os
from ipykernel.kernelapp import IPKernelApp
from rtnb import sched
from rtnb.errors import BadInput
assert sched.explain(sched.fifo()).notes == ()
IPKernelApp.instance()
for spec in (sched.fifo(1), sched.rr(1), sched.deadline()):
    for where in ({}, {"pid": os.getpid()}, {"tid": os.getpid()}):
        try:
            sched.apply(spec, **where)
        except BadInput as e:
            assert "could not be stopped" in e.why and "%rt_task" in e.hint, e
        else:
            raise SystemExit("applied")
    told = sched.explain(spec)
    assert not told.allowed or any("rtnb itself refuses it" in note for note in told.notes), told
sched.apply(sched.batch(3))
print(sched.of().policy)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/", timeout=60)
    assert (done.stdout, done.stderr) == ("batch\n", "")


@can_drop
def test_what_could_not_be_put_back_is_not_begun() -> None:
    code = """
from rtnb import sched
from rtnb.errors import NotPermitted
for spec in (sched.other(5), sched.idle(), sched.other(reset_on_fork=True)):
    before = sched.of()
    try:
        with sched.applied(spec):
            raise SystemExit("begun")
    except NotPermitted as e:
        assert "it could not be put back: sched_setattr would fail with EPERM" in e.why, e
    assert sched.of() == before
with sched.applied(sched.batch()) as given:
    print(given.policy)
sched.apply(sched.idle(5))
print(sched.of().policy, sched.of().nice)
"""
    done = as_nobody(code)
    assert (done.stdout, done.stderr) == ("batch\nidle 5\n", "")


@can_drop
def test_a_refusal_is_told_in_the_explainers_words() -> None:
    done = as_nobody("from rtnb import sched; sched.apply(sched.fifo(10))")
    assert "PermissionError: [Errno 1] Operation not permitted: 'sched_setattr'" in done.stderr
    assert "NotPermitted: SCHED_FIFO priority 10: without CAP_SYS_NICE a priority goes up to" in done.stderr


def test_the_magic_shows_sets_and_explains(shell: InteractiveShell) -> None:
    with asleep() as pid:
        shown = shell.run_line_magic("sched", str(pid))
        assert shown[["pid", "tid", "comm", "policy"]].values.tolist() == [[pid, pid, "sleep", "other"]]
        told = shell.run_line_magic("sched", f"{pid} --set batch --nice 3 --cpus {CPU} --explain -o kept")
        assert told[["tid", "spec", "allowed"]].values.tolist() == [[pid, f"SCHED_BATCH nice 3 on CPU {CPU}", "yes"]]
        assert sched.of(pid).policy == "other"
        assert " ".join(shell.user_ns["kept"].header.source) == f"{pid} --set batch --nice 3 --cpus {CPU} --explain"
        now = shell.run_line_magic("sched", f"{pid} --set batch --nice 3 --cpus {CPU} --timer-slack 1us")
        assert now[["policy", "nice", "cpus"]].values.tolist() == [["batch", 3, str(CPU)]]
        assert sched.of(pid).timer_slack_ns == 1000


def test_the_magics_own_python_does_the_same(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    line = "--set deadline --runtime 2ms --period 1ms --explain"
    frame = shell.run_line_magic("sched", line)
    capsys.readouterr()
    shell.run_line_magic("sched", f"{line} --code")
    scope: dict[str, object] = {}
    code = capsys.readouterr().out.rstrip("\n")
    exec(code.replace("recording.frame", "frame = recording.frame"), scope)
    assert scope["frame"].equals(frame)  # type: ignore[attr-defined]
    assert frame["errno"].tolist() == ["EINVAL"]
    assert "the runtime 2 ms is above the deadline 1 ms" in frame["why"][0]


@pytest.mark.parametrize(
    ("options", "tried"),
    [
        ({"priority": 5}, "--priority"),
        ({"nice": 0}, "--nice"),
        ({"explain": True}, "--explain"),
        ({"reset_on_fork": True}, "--reset-on-fork"),
        ({"policy": "fifo"}, "--set fifo"),
        ({"policy": "deadline", "runtime": "1ms"}, "--set deadline"),
        ({"policy": "deadline", "period": "1ms"}, "--set deadline"),
        ({"policy": "fifi"}, "policy 'fifi'"),
        ({"policy": "other", "cpus": "1-"}, "cpus '1-'"),
        ({"policy": "other", "cpus": "3-1"}, "cpus '3-1'"),
        ({"policy": "other", "cpus": "0-99999999999"}, "cpus '0-99999999999'"),
    ],
)
def test_options_that_mean_nothing(options: dict[str, object], tried: str) -> None:
    with pytest.raises(RtnbError) as e:
        sched.run(**options)  # type: ignore[arg-type]
    assert e.value.tried == tried


def test_effective_capabilities_are_those_of_proc() -> None:
    bits = int(re.findall(r"CapEff:\s*(\w+)", Path("/proc/self/status").read_text())[0], 16)
    assert capability.effective() == {name for bit, name in capability.NAMES.items() if bits >> bit & 1}


@can_drop
def test_effective_capabilities_of_another() -> None:
    shutil.which("setpriv") or pytest.skip("no setpriv (util-linux)")
    with asleep(*NOBODY) as pid:
        assert capability.effective(pid) == frozenset()
    with asleep(*NOBODY, "--inh-caps=-all,+kill", "--ambient-caps=-all,+kill") as pid:
        assert capability.effective(pid) == {"CAP_KILL"}

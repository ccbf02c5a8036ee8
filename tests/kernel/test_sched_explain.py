# SPDX-License-Identifier: MIT
"""Each reason for which a kernel refuses is provoked, and the explainer has said so before.

A process stands ready with rtnb loaded; each case is a fork of it, which makes itself what the case says (another
user, fewer capabilities, a smaller limit, a member of a cgroup), asks `explain`, then the kernel, and ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtnb.abi.capability import effective
from rtnb.sched import Spec, batch, fifo, idle, other, rr
from rtnb.sched.admission import policy
from rtnb.sched.admission.facts import look
from rtnb.sched.task import NICE, POLICY

pytestmark = [
    pytest.mark.needs("rt.fifo", "rt.deadline", "rt.mlock"),
    pytest.mark.skipif("CAP_SETUID" not in effective(), reason="without CAP_SETUID no privilege is dropped"),
]

SERVER = r'''
import contextlib, ctypes, errno, json, os, resource, signal, subprocess, sys, time, traceback
from pathlib import Path
from rtnb import sched
from rtnb.abi.capability import NAMES
from rtnb.abi.syscall import libc, syscall
from rtnb.errors import RtnbError
from rtnb.sched import Spec, batch, deadline, fifo, idle, other, rr
from rtnb.sched.admission import deadline as admission, facts

BITS = {name: bit for bit, name in NAMES.items()}

def only(*caps):
    """Keep these capabilities of this process's, and no other."""
    mask = sum(1 << BITS[name] for name in caps)
    words = [part for half in (mask & 0xFFFFFFFF, mask >> 32) for part in (half, half, 0)]
    syscall("capset", (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*words))

def nobody(*caps):
    """Be nobody, with these capabilities."""
    syscall("prctl", 8, 1, 0, 0, 0)  # PR_SET_KEEPCAPS
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    only(*caps)
    os.chdir("/")

def limit(name, soft, pid=0):
    """Set a limit, down from what it is; or up, for whom that is granted."""
    if pid:
        resource.prlimit(pid, getattr(resource, name), (soft, soft))
    else:
        resource.setrlimit(getattr(resource, name), (soft, soft))

def child(*first):
    """Another process, which has done this first, and sleeps as long as this one lives."""
    ready, done = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            for action in first:
                action()
            os.close(alive[1])
            os.write(done, b"!")
            os.read(alive[0], 1)  # until its parent ends, which may not be allowed to kill it
        finally:
            os._exit(0)
    os.close(done)
    assert os.read(ready, 1) == b"!", "the other process could not do what it should"
    os.close(ready)
    return pid

def kernel_thread(name):
    return next(int(p.parent.name) for p in Path("/proc").glob("[0-9]*/comm") if p.read_text().strip() == name)

def join(controller, name, **settings):
    """Become a member of a new group of a version 1 hierarchy, which the test removes."""
    group = Path("/sys/fs/cgroup", controller, name)
    for file, value in settings.items():
        (group / f"{controller}.{file}").write_text(value)
    (group / "cgroup.procs").write_text(str(os.getpid()))

def answer(spec, tid):
    """What the kernel says: errno and call; and what rtnb raised."""
    try:
        with contextlib.ExitStack() as until:
            if spec.cpu_dma_latency_us is None:
                sched.apply(spec, tid)
            else:
                until.enter_context(sched.applied(spec, tid))
    except RtnbError as e:
        return [errno.errorcode[e.__cause__.errno], e.__cause__.filename], type(e).__name__, str(e)
    return ["", ""], "", ""

def case(before, spec):
    tid = 0
    scope = globals() | {"tid": tid}
    exec(before, scope)
    spec, tid = eval(spec, scope), scope["tid"]
    seen = lambda: sched.of(tid) if os.path.exists(f"/proc/{tid or os.getpid()}") else None
    was = seen()
    told = sched.explain(spec, tid)
    assert seen() == was, "explain has changed something"
    real, kind, said = answer(spec, tid)
    if kind:
        assert seen() == was, f"not all or nothing: {was}, {seen()}"
    return {"told": [told.errno, told.call], "allowed": told.allowed, "why": told.why, "remedy": told.remedy,
            "notes": list(told.notes), "real": real, "kind": kind, "said": said}

def fill(share):
    """Reserve all but so much of what is left, in as many tasks as it takes."""
    there = admission.room(facts.look(os.getpid()))
    left = there.limit - there.total - int(share * admission.UNIT)
    while left > 0:
        some = min(left, admission.UNIT)
        runtime = some * 10**7 // admission.UNIT
        if runtime < 1024:
            break
        child(lambda: sched.apply(Spec("deadline", runtime_ns=runtime, deadline_ns=10**7)))
        left -= some

def hide(folder):
    """A mount namespace of its own, in which this folder is empty."""
    syscall("unshare", 0x00020000)
    syscall("mount", b"none", b"/", None, 0x4000 | 0x40000, None)
    syscall("mount", b"none", folder.encode(), b"tmpfs", 0, None)

def new_user_namespace():
    nobody()
    syscall("unshare", 0x10000000)

def agree(*specs):
    """What was foretold and what came, of each, for a task that sleeps: one that ran would be throttled.

    Whoever else makes or ends reservations meanwhile is waited for.
    """
    answers, tid = [], child()
    for spec in specs:
        while True:
            before = admission.room(facts.look(os.getpid()))
            told = sched.explain(spec, tid)
            real, _, said = answer(spec, tid)
            sched.apply(other(), tid)
            end = time.monotonic() + 2
            now = before
            while not real[0] and (now := admission.room(facts.look(os.getpid()))) != before and time.monotonic() < end:
                time.sleep(0.001)
            if now == before or real[0] == "EINVAL":
                break
        answers.append((str(spec), [told.errno, told.call], real))
    return answers

def at_the_limit():
    """The largest reservation that there is room for, and those around it."""
    there = admission.room(facts.look(os.getpid()))
    left = there.limit - there.total
    most = (left + 1) * 10**7 // admission.UNIT
    return [Spec("deadline", runtime_ns=most + n, deadline_ns=10**7) for n in range(-20, 21)]

def room_seen():
    """The sum as each sees it: the kernel's own, and what is counted by whom debugfs is closed to."""
    fill(0.5)
    told = admission.room(facts.look(os.getpid()))
    only("CAP_SYS_NICE")
    counted = admission.room(facts.look(os.getpid()))
    return [told.total, told.source, counted.total, counted.source]

def forks(spec):
    """The errno of a fork under this spec, and what was noted."""
    notes = sched.explain(spec).notes
    with sched.applied(spec):
        try:
            pid = os.fork()
        except OSError as e:
            return errno.errorcode[e.errno], list(notes)
        if not pid:
            os._exit(0)
        os.waitpid(pid, 0)
        return "", list(notes)

for line in sys.stdin:
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        alive = os.pipe()
        try:
            result = eval(json.loads(line))
        except BaseException:
            result = {"error": traceback.format_exc()}
        with open(writing, "w") as file:
            json.dump(result, file)
        os._exit(0)
    os.close(writing)
    with open(reading) as file:
        text = file.read()
    os.waitpid(pid, 0)
    print(text, flush=True)
'''

Ask = Callable[[str], Any]


@pytest.fixture(scope="module")
def server() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/"
    ) as running:
        yield running
        assert running.stdin
        running.stdin.close()
        assert running.wait(20) == 0


@pytest.fixture
def ask(server: subprocess.Popen[str]) -> Ask:
    """Evaluate an expression in a fork of the server."""

    def evaluate(expression: str) -> Any:
        assert server.stdin
        assert server.stdout
        server.stdin.write(json.dumps(expression) + "\n")
        server.stdin.flush()
        result = json.loads(server.stdout.readline())
        if isinstance(result, dict) and "error" in result:
            raise AssertionError(result["error"])
        return result

    return evaluate


@pytest.fixture(scope="module", autouse=True)
def nothing_started_in_between(server: subprocess.Popen[str]) -> None:
    """The server is there before the first test looks what was there."""


@pytest.fixture
def group() -> Iterator[Callable[[str], str]]:
    """Make a group in a version 1 hierarchy."""
    made = []

    def make(controller: str) -> str:
        folder = Path("/sys/fs/cgroup", controller, "rtnb-explain")
        try:
            folder.mkdir()
        except OSError as e:
            pytest.skip(f"no {controller} hierarchy of cgroups version 1 to make a group in ({e.strerror})")
        made.append(folder)
        return folder.name

    yield make
    for folder in made:
        end = time.monotonic() + 5
        while folder.exists():
            try:
                folder.rmdir()
            except OSError:  # a task that has ended leaves it a moment later
                assert time.monotonic() < end
                time.sleep(0.01)


PRIORITY_OF_OTHERS = "tid = child(lambda: limit('RLIMIT_RTPRIO', 10), nobody); limit('RLIMIT_RTPRIO', 50); nobody()"
ATTR, MASK, SLACK = "sched_setattr", "sched_setaffinity", "write(timerslack_ns)"
MLOCK, LATENCY = "mlockall", "open(/dev/cpu_dma_latency)"

CASES = [
    # numbers
    ("", "fifo(99)", "", "", ""),
    ("", "fifo(100)", "EINVAL", ATTR, "priority 100 is not within 1 (lowest) to 99"),
    ("", "fifo(-1)", "EINVAL", ATTR, "priority -1 is not within"),
    ("", "Spec('rr')", "EINVAL", ATTR, "priority 0 is not within"),
    ("nobody()", "fifo(100)", "EINVAL", ATTR, "priority 100 is not within"),
    ("", "deadline('1024ns', '100us')", "", "", ""),
    ("", "deadline('1023ns', '100us')", "EINVAL", ATTR, "the runtime is 1023 ns, below the least, 1024 ns"),
    ("", "deadline('11ms', '10ms')", "EINVAL", ATTR, "the runtime 11 ms is above the deadline 10 ms"),
    ("", "deadline('1ms', '11ms', '10ms')", "EINVAL", ATTR, "the deadline 11 ms is above the period 10 ms"),
    ("", "deadline('9us', '99us')", "EINVAL", ATTR, "below sched_deadline_period_min_us, 100 us"),
    ("", "deadline('1ms', '5s')", "EINVAL", ATTR, "above sched_deadline_period_max_us, 4.19 s"),
    ("", "Spec('deadline', runtime_ns=2000)", "EINVAL", ATTR, "the deadline is 0"),
    ("", "Spec('deadline', runtime_ns=2000, deadline_ns=2**63)", "EINVAL", ATTR, "bit 63"),
    ("", "Spec('deadline', runtime_ns=2000, deadline_ns=10**6, period_ns=2**64-1)", "EINVAL", ATTR, "bit 63"),
    ("nobody()", "deadline('11ms', '10ms')", "EINVAL", ATTR, "the runtime 11 ms is above"),
    # who is asked for
    ("tid = child(); os.kill(tid, 9); os.waitpid(tid, 0)", "fifo()", "ESRCH", "", "there is no task"),
    ("tid = kernel_thread('migration/0')", "fifo(5)", "EINVAL", ATTR, "with which the kernel stops a CPU"),
    ("tid = kernel_thread('migration/0')", "other(cpu=0)", "EINVAL", MASK, "bound to its CPUs"),
    # CPUs
    ("", "other(cpu=4095)", "EINVAL", MASK, "none of CPU 4095 is online"),
    ("", "other(cpu=[])", "EINVAL", MASK, "none of CPU (none) is online"),
    ("nobody()", "other(cpu=0)", "", "", ""),
    (
        "nobody(); tid = os.getppid()",
        "other(cpu=0)",
        "EPERM",
        MASK,
        "the task is user 0's, and the caller is user 65534",
    ),
    ("nobody('CAP_SYS_NICE'); tid = child()", "other(cpu=0)", "", "", ""),
    # priorities
    ("nobody()", "fifo(1)", "EPERM", ATTR, "a priority goes up to RLIMIT_RTPRIO, here 0"),
    ("limit('RLIMIT_RTPRIO', 10); nobody()", "fifo(10)", "", "", ""),
    ("limit('RLIMIT_RTPRIO', 10); nobody()", "rr(11)", "EPERM", ATTR, "RLIMIT_RTPRIO, here 10"),
    ("sched.apply(fifo(20)); nobody()", "fifo(10)", "", "", ""),
    ("sched.apply(fifo(20)); nobody()", "fifo(20)", "", "", ""),
    ("sched.apply(fifo(20)); nobody()", "fifo(21)", "EPERM", ATTR, "RLIMIT_RTPRIO, here 0"),
    ("sched.apply(fifo(20)); nobody()", "rr(10)", "EPERM", ATTR, "RLIMIT_RTPRIO, here 0"),
    ("sched.apply(fifo(20)); nobody()", "other()", "", "", ""),
    (PRIORITY_OF_OTHERS, "fifo(10)", "", "", ""),
    (PRIORITY_OF_OTHERS, "fifo(11)", "EPERM", ATTR, "RLIMIT_RTPRIO, here 10"),
    ("nobody('CAP_SYS_NICE')", "fifo(99)", "", "", ""),
    ("only('CAP_KILL')", "fifo(1)", "EPERM", ATTR, "RLIMIT_RTPRIO, here 0"),
    # nice values
    ("nobody()", "other(1)", "", "", ""),
    ("nobody()", "other(-1)", "EPERM", ATTR, "nice -1 is below the least, 0 (RLIMIT_NICE is 0)"),
    ("nobody()", "batch(-1)", "EPERM", ATTR, "nice -1 is below"),
    ("limit('RLIMIT_NICE', 25); nobody()", "other(-5)", "", "", ""),
    ("limit('RLIMIT_NICE', 25); nobody()", "other(-6)", "EPERM", ATTR, "nice -6 is below the least, -5"),
    ("os.nice(5); nobody()", "other(4)", "EPERM", ATTR, "nice 4 is below the least, 5"),
    ("nobody()", "idle(3)", "", "", ""),
    ("nobody()", "idle(-1)", "EACCES", NICE, "nice -1 is below the least, 0"),
    ("limit('RLIMIT_RTPRIO', 10); nobody()", "fifo(5, nice=-1)", "EACCES", NICE, "nice -1 is below"),
    (
        "sched.apply(idle()); nobody()",
        "other()",
        "EPERM",
        ATTR,
        "to leave SCHED_IDLE at nice 0 takes an RLIMIT_NICE of 20",
    ),
    ("sched.apply(idle()); limit('RLIMIT_NICE', 20); nobody()", "other()", "", "", ""),
    ("sched.apply(idle()); limit('RLIMIT_NICE', 19); nobody()", "batch()", "EPERM", ATTR, "and it is 19"),
    ("", "other(-20)", "", "", ""),
    ("", "other(30)", "", "", ""),
    # whose task
    ("nobody(); tid = os.getppid()", "other()", "EPERM", ATTR, "the task is user 0's"),
    ("tid = child(nobody)", "other(5)", "", "", ""),
    ("tid = child(); only('CAP_KILL')", "other(5)", "EPERM", ATTR, "the task has capabilities that the caller lacks"),
    ("tid = child(); only('CAP_KILL')", "other(cpu=0)", "EPERM", MASK, "capabilities that the caller lacks"),
    ("only('CAP_KILL'); tid = child()", "other(5)", "", "", ""),
    ("sched.apply(other(reset_on_fork=True)); nobody()", "other()", "EPERM", ATTR, "reset_on_fork, once set, stays"),
    ("sched.apply(other(reset_on_fork=True)); nobody()", "other(reset_on_fork=True)", "", "", ""),
    # reservations
    ("nobody()", "deadline()", "EPERM", ATTR, "SCHED_DEADLINE wants CAP_SYS_NICE"),
    ("limit('RLIMIT_RTPRIO', 99); nobody()", "deadline()", "EPERM", ATTR, "SCHED_DEADLINE wants CAP_SYS_NICE"),
    ("nobody('CAP_SYS_NICE')", "deadline()", "", "", ""),
    ("", "deadline(cpu=0)", "EPERM", ATTR, "all CPUs of the root domain, and the task may use 1 of"),
    ("os.sched_setaffinity(0, {0})", "deadline()", "EPERM", ATTR, "all CPUs of the root domain"),
    ("os.sched_setaffinity(0, {0})", "deadline(cpu=range(os.cpu_count()))", "", "", ""),
    ("sched.apply(deadline())", "deadline(cpu=0)", "EBUSY", MASK, "under SCHED_DEADLINE"),
    ("sched.apply(deadline())", "other(cpu=0)", "", "", ""),
    ("sched.apply(deadline())", "fifo(cpu=0)", "", "", ""),
    ("sched.apply(deadline())", "deadline('3ms')", "", "", ""),
    ("fill(0.9)", "deadline('10ms')", "EBUSY", ATTR, "the sum would be above the limit"),
    ("fill(0.9)", "deadline('1ns')", "EINVAL", ATTR, "the runtime is 1 ns"),
    ("fill(0.9); nobody()", "deadline('10ms')", "EPERM", ATTR, "SCHED_DEADLINE wants CAP_SYS_NICE"),
    ("fill(0.9); sched.apply(deadline('2ms'))", "deadline('10ms')", "EBUSY", ATTR, "for 0.2000 that it has"),
    ("fill(0.9); sched.apply(deadline('2ms'))", "deadline('2ms', reclaim=True)", "", "", ""),
    # memory, timer slack, idle states
    ("", "other(lock_memory=True)", "", "", ""),
    ("nobody()", "other(lock_memory=True)", "ENOMEM", MLOCK, "RLIMIT_MEMLOCK bytes may be locked, here 8,388,608, and"),
    ("limit('RLIMIT_MEMLOCK', 0); nobody()", "other(lock_memory=True)", "EPERM", MLOCK, "here 0"),
    ("nobody('CAP_IPC_LOCK')", "other(lock_memory=True)", "", "", ""),
    ("nobody()", "other(timer_slack='1us')", "", "", ""),
    ("nobody(); tid = child()", "other(timer_slack='1us')", "EPERM", SLACK, "a thread sets its own timer slack only"),
    ("tid = child()", "other(timer_slack='1us')", "", "", ""),
    ("", "other(cpu_dma_latency_us=0)", "", "", ""),
    ("nobody()", "other(cpu_dma_latency_us=0)", "EACCES", LATENCY, "may not be opened for writing"),
    ("hide('/dev')", "other(cpu_dma_latency_us=0)", "ENOENT", LATENCY, "there is no /dev/cpu_dma_latency"),
    # a namespace's own root
    ("new_user_namespace()", "fifo(1)", "EPERM", ATTR, "held only inside a user namespace"),
    ("new_user_namespace()", "deadline()", "EPERM", ATTR, "held only inside a user namespace"),
    ("new_user_namespace()", "other(3)", "", "", ""),
]


@pytest.mark.parametrize(("before", "spec", "errno", "call", "why"), CASES)
def test_the_kernel_answers_as_was_foretold(ask: Ask, before: str, spec: str, errno: str, call: str, why: str) -> None:
    if ("RLIMIT_NICE" in before or "RLIMIT_RTPRIO" in before) and "CAP_SYS_RESOURCE" not in effective():
        pytest.skip("without CAP_SYS_RESOURCE no limit is raised")
    if "user_namespace" in before and ask("case('new_user_namespace()', 'other()')['told']") != ["", ""]:
        pytest.skip("this user may have no user namespace")
    result = ask(f"case({before!r}, {spec!r})")
    assert result["real"][0] == errno, result
    assert result["told"][0] == errno, result
    if errno == "ESRCH":
        assert result["kind"] == "NoSuchTask"
        return
    assert result["real"] == result["told"] == [errno, call]
    assert result["allowed"] is (errno == "")
    assert why in result["why"]
    assert result["why"] in result["said"] or not errno
    kinds = {"": "", "EINVAL": "BadInput", "ENOENT": "NotSupported"}
    assert result["kind"] == kinds.get(errno, "NotPermitted")


MS = 10**6
LIMITS = (1024, 100_000, 10 * MS, 2**22 * 1000)
"""The least runtime, the least and the longest period; and a reservation that is none of them."""
EDGES = sorted({0, *(limit + n for limit in LIMITS for n in (-1, 0, 1))})


def agreed(answers: list[tuple[str, list[str], list[str]]]) -> set[str]:
    """The errors that came, every one of them foretold."""
    assert [(spec, told) for spec, told, _ in answers] == [(spec, real) for spec, _, real in answers]
    return {real[0] for _, _, real in answers}


@pytest.mark.parametrize("runtime", EDGES)
def test_reservations_around_every_limit_are_answered_as_foretold(ask: Ask, runtime: int) -> None:
    specs = [
        f"Spec('deadline', runtime_ns={runtime}, deadline_ns={deadline}, period_ns={period})"
        for deadline in {max(runtime - 1, 0), runtime, runtime + 1, 10 * MS}
        for period in {0, max(deadline - 1, 0), deadline, deadline + 1, *EDGES[4:7], *EDGES[-3:]}
    ]
    assert agreed(ask(f"agree({', '.join(specs)})")) <= {"", "EINVAL", "EBUSY"}  # others may have reservations too


times = st.one_of(st.sampled_from([*EDGES, 2**62, 2**63 - 1, 2**63, 2**64 - 1]), st.integers(0, 2**33))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(times, times, times)
def test_any_reservation_is_answered_as_foretold(ask: Ask, runtime: int, deadline: int, period: int) -> None:
    agreed(ask(f"agree(Spec('deadline', runtime_ns={runtime}, deadline_ns={deadline}, period_ns={period}))"))


def test_the_last_reservation_that_fits_fits_and_the_next_does_not(ask: Ask) -> None:
    answers = ask("[fill(0.5), agree(*at_the_limit())][1]")
    assert agreed(answers) == {"", "EBUSY"}
    fits = [real == ["", ""] for _, _, real in answers]
    assert fits == sorted(fits, reverse=True)


def test_who_may_not_see_the_kernels_sum_counts_the_same(ask: Ask) -> None:
    told, source, counted, other = ask("room_seen()")
    assert told == counted
    assert (source, other[:32]) == ("the kernel's own sum", "the DEADLINE tasks that are seen")


def test_what_cannot_be_told_is_no_answer(ask: Ask) -> None:
    before = "fill(0.25); hide('/sys/kernel/btf'); only('CAP_SYS_NICE')"
    nearly, far = (ask(f"case({before!r}, {spec!r})") for spec in ("deadline('2ms')", "deadline('1ms')"))
    assert (nearly["allowed"], nearly["told"], nearly["real"]) == (None, ["", "sched_setattr"], ["", ""])
    assert "other servers of the kernel may take up to" in nearly["why"]
    assert (far["allowed"], far["real"]) == (True, ["", ""])


@pytest.mark.parametrize(("flags", "errno"), [("", "EAGAIN"), (", reset_on_fork=True", "")])
def test_a_fork_under_a_reservation(ask: Ask, flags: str, errno: str) -> None:
    came, notes = ask(f"forks(deadline('5ms'{flags}))")
    assert came == errno
    assert any("EAGAIN unless reset_on_fork" in note for note in notes) is bool(errno)


def test_a_group_without_a_real_time_budget(ask: Ask, group: Callable[[str], str]) -> None:
    name = group("cpu")
    if not Path("/sys/fs/cgroup/cpu", name, "cpu.rt_runtime_us").exists():
        pytest.skip("this kernel has no RT_GROUP_SCHED")
    join = f"join('cpu', {name!r})"
    for before, spec, expected in (
        (join, "fifo()", ["EPERM", ATTR]),
        (f"tid = child(lambda: {join})", "rr(1)", ["EPERM", ATTR]),
        (join, "fifo(100)", ["EINVAL", ATTR]),
        (f"{join}; nobody()", "fifo()", ["EPERM", ATTR]),
        (join, "deadline()", ["", ""]),
        (join, "other(3)", ["", ""]),
        (f"join('cpu', {name!r}, rt_runtime_us='100000')", "fifo()", ["", ""]),
    ):
        result = ask(f"case({before!r}, {spec!r})")
        assert result["told"] == result["real"] == expected, (before, spec)
        if expected == ["EPERM", ATTR] and "nobody" not in before:
            assert "cgroup has no real-time budget" in result["why"]


def test_a_cpuset(ask: Ask, group: Callable[[str], str]) -> None:
    join = f"join('cpuset', {group('cpuset')!r}, cpus='0', mems='0')"
    if os.cpu_count() == 1:
        pytest.skip("it takes two CPUs")
    for spec, expected in (
        ("other(cpu=1)", ["EINVAL", MASK]),
        ("other(cpu=0)", ["", ""]),
        ("fifo(cpu=0)", ["", ""]),
        ("deadline()", ["EPERM", ATTR]),
    ):
        result = ask(f"case({join!r}, {spec!r})")
        assert result["told"] == result["real"] == expected, spec
    notes = ask(f"[exec({join!r}), sched.explain(other(cpu=(0, 1))).notes][1]")
    assert "CPU 1 is not online, or not in its cpuset" in notes[0]


@pytest.mark.parametrize(
    ("now", "spec", "refused"),
    [
        (other(), fifo(10), ""),
        (other(), fifo(11), "RLIMIT_RTPRIO, here 10"),
        (fifo(20), fifo(20), ""),
        (fifo(20), rr(20), ""),
        (fifo(20), rr(21), "RLIMIT_RTPRIO, here 10"),
        (other(0), other(-5), ""),
        (other(0), batch(-6), "nice -6 is below the least, -5 (RLIMIT_NICE is 25)"),
        (other(-10), other(-10), ""),
        (other(-10), other(-11), "nice -11 is below the least, -10"),
        (idle(-5), other(), ""),
        (idle(-6), other(), "takes an RLIMIT_NICE of 26, and it is 25"),
    ],
)
def test_limits_as_sched_7_has_them(now: Spec, spec: Spec, refused: str) -> None:
    """Also where nobody may raise a limit: the rule on facts that are made up."""
    known = look(os.getpid()).after(POLICY, now).after(NICE, now if now.policy == "idle" else other(now.nice or 0))
    known = replace(
        known,
        task=replace(known.task, rtprio=10, nice_limit=25, permitted=frozenset()),
        caller=replace(known.caller, capable=False, held=False),
    )
    answer = policy.policy(spec, known)
    assert (answer.errno if answer else "") == ("EPERM" if refused else "")
    assert refused in (answer.why if answer else "")

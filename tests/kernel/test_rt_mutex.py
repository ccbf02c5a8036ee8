# SPDX-License-Identifier: MIT
"""A mutex over real processes: its protocols' priorities, its counts, its dead owners; and nobody hangs or aborts."""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import pickle
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from rtnb.abi import pthread
from rtnb.abi.capability import effective
from rtnb.errors import BadInput
from rtnb.rt.mutex import PROTOCOLS, SIZE, Mutex, OwnerDied, State

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="no Linux")
can_drop = pytest.mark.skipif("CAP_SETUID" not in effective(), reason="without CAP_SETUID no privilege is dropped")

PRELUDE = """
import json, os, resource, signal, sys, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # os.fork beside the threads of numpy
from rtnb.abi.syscall import NUMBERS
from rtnb.errors import *
from rtnb.rt.mutex import Mutex, OwnerDied

resource.setrlimit(resource.RLIMIT_RTTIME, (500_000, 1_000_000))
CPU = max(os.sched_getaffinity(0))
children = []

def child(priority, body):
    pid = os.fork()
    if pid:
        children.append(pid)
        return pid
    code = 1
    try:
        if priority:
            os.sched_setaffinity(0, {CPU})
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
        body()
        code = 0
    except BaseException as e:
        print(type(e).__name__, e, file=sys.stderr)
    finally:
        os._exit(code)

class Barrier:
    '''One says go, another waits for it.'''
    def __init__(self):
        self.reading, self.writing = os.pipe()
    def go(self):
        os.write(self.writing, b"x")
    def wait(self):
        os.read(self.reading, 1)

def until(true):
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.002)

def waits(pid):
    '''Is it in a futex call?'''
    return open(f"/proc/{pid}/syscall").read().split()[0] == str(NUMBERS["futex"])

def statuses():
    return [os.waitstatus_to_exitcode(os.waitpid(children.pop(0), 0)[1]) for _ in list(children)]
"""


def scenario(body: str, *argv: str) -> Any:
    """Run the body as a program whose children are forks of it; what it prints is JSON."""
    kill = "\n    for pid in children:\n        os.kill(pid, signal.SIGKILL)\n        os.waitpid(pid, 0)"
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    program = f"{PRELUDE}\ntry:\n{lines}\nfinally:{kill}\n"
    done = subprocess.run([*argv, sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return json.loads(done.stdout)


@contextmanager
def holding(mutex: Mutex) -> Iterator[int]:
    """While a thread holds the mutex: its tid."""
    taken, go = threading.Event(), threading.Event()
    tids = []

    def hold() -> None:
        with mutex:
            tids.append(threading.get_native_id())
            taken.set()
            go.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    try:
        yield tids[0]
    finally:
        go.set()
        ended(thread)


def ended(thread: threading.Thread) -> None:
    """Wait for its end, and for the kernel to have forgotten it, which is a moment later."""
    thread.join()
    while os.path.exists(f"/proc/self/task/{thread.native_id}"):
        time.sleep(0.001)


@pytest.fixture(params=["none", "inherit"])
def mutex(request: pytest.FixtureRequest) -> Iterator[Mutex]:
    made = Mutex(request.param)
    yield made
    made.close()


def test_a_mutex_says_who_has_it_and_how_often_it_was_taken(mutex: Mutex) -> None:
    free = State(mutex.protocol, None, None, None, None, 0, 0, 0, 0, 0)
    assert mutex.state() == free
    for _ in range(23):
        with mutex as same:
            assert same is mutex
            assert mutex.state().owner == threading.get_native_id()
            assert (mutex.state().own_priority, mutex.state().boosted_priority) == (0, 0)
            assert repr(mutex) == f"Mutex({mutex.protocol!r}, held by thread {os.getpid()})"
    assert mutex.trylock()
    mutex.unlock()
    assert mutex.timedlock("1ms")
    mutex.unlock()
    assert mutex.state() == State(mutex.protocol, None, None, None, None, 25, 0, 0, 0, 0)
    assert repr(mutex) == f"Mutex({mutex.protocol!r}, free)"


def test_the_layout_is_the_one_that_c_has(mutex: Mutex) -> None:
    assert mutex.fd is not None
    with mutex:
        raw = os.pread(mutex.fd, SIZE + 1, 0)
    assert len(raw) == SIZE == 128
    protocol, ceiling, owner, dead = struct.unpack_from("<4i", raw, 64)
    assert (protocol, ceiling, owner, dead) == (PROTOCOLS[mutex.protocol], 0, os.getpid(), 0)
    assert struct.unpack_from("<QQqq16s", raw, 80) == (1, 0, 0, 0, bytes(16))
    assert ctypes.sizeof(pthread.pthread_mutex_t) <= 64


def test_a_memory_file_cannot_be_cut_under_those_who_use_it(mutex: Mutex) -> None:
    assert mutex.fd is not None
    with pytest.raises(PermissionError):
        os.ftruncate(mutex.fd, 0)


def test_what_another_has_cannot_be_had(mutex: Mutex) -> None:
    with holding(mutex) as owner:
        assert mutex.state().owner == owner
        assert not mutex.trylock()
        start = time.monotonic_ns()
        assert not mutex.timedlock("120ms")  # more than two slices
        assert time.monotonic_ns() - start >= 120_000_000
        with pytest.raises(BadInput, match=f"thread {owner} has it"):
            mutex.unlock()
    state = mutex.state()
    assert (state.locks, state.contentions, state.wait_ns) == (1, 0, 0)  # who gives up has no lock


def test_a_mistake_with_a_lock_is_told(mutex: Mutex) -> None:
    with pytest.raises(BadInput, match="nobody has it"):
        mutex.unlock()
    with mutex:
        for again in (mutex.lock, mutex.trylock, lambda: mutex.timedlock("1ms")):
            with pytest.raises(BadInput, match="has the mutex already"):
                again()
        with pytest.raises(BadInput, match=f"thread {os.getpid()} of this process has it"):
            mutex.close()
    assert mutex.state().locks == 1


def test_nothing_can_be_done_with_a_closed_one(mutex: Mutex) -> None:
    mutex.close()
    mutex.close()
    assert (repr(mutex), mutex.fd) == ("Mutex(closed)", None)
    for use in (mutex.lock, mutex.trylock, lambda: mutex.timedlock("1ms"), mutex.unlock, mutex.state, mutex.__reduce__):
        with pytest.raises(BadInput, match="it is closed"):
            use()


def test_a_mutex_that_is_forgotten_leaves_no_descriptor() -> None:
    Mutex()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"protocol": "inherited"}, "did you mean inherit"),
        ({"protocol": "none", "ceiling": 5}, "has none"),
        ({"protocol": "protect"}, "1 to 99"),
        ({"protocol": "protect", "ceiling": 100}, "1 to 99"),
    ],
)
def test_what_means_nothing_is_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        Mutex(**arguments)


def test_an_interrupt_ends_a_wait(mutex: Mutex) -> None:
    with holding(mutex):
        timer = threading.Timer(0.12, signal.raise_signal, [signal.SIGINT])
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            mutex.lock()
        ended(timer)
    assert mutex.trylock()
    mutex.unlock()


def test_an_interrupt_at_any_moment_loses_no_lock(mutex: Mutex) -> None:
    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGPROF, interrupt)
    came = 0
    try:
        while came < 200:
            try:
                signal.setitimer(signal.ITIMER_PROF, 0.001)
                while True:
                    mutex.lock()
                    mutex.unlock()
            except KeyboardInterrupt:
                came += 1
            if mutex.state().owner:  # it came between the two calls
                mutex.unlock()
            with holding(mutex):  # another thread gets it
                pass
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def test_it_can_be_placed_in_memory_that_is_shared() -> None:
    with mmap.mmap(-1, 4096) as memory:
        first, second = Mutex.place(memory, 0, "inherit"), Mutex.place(memory, 256, "protect", ceiling=40)
        same, other = Mutex.at(memory, 0), Mutex.at(memory, 256)
        assert (same.protocol, same.fd) == ("inherit", None)
        assert (other.protocol, other.ceiling) == ("protect", 40)
        with first:
            with holding(Mutex.place(memory, 512)):
                assert not Mutex.at(memory, 512).trylock()
            assert same.state().owner == os.getpid()
        with pytest.raises(BadInput, match="no descriptor of its own"):
            pickle.dumps(same)
        for each in (first, second, same, other):
            each.close()


@pytest.mark.parametrize(
    ("buffer", "offset", "said"),
    [
        (bytearray(1024), 4, "not a multiple of 8"),
        (bytearray(1024), 1000, "128 writable bytes"),
        (bytearray(1024), -8, "128 writable bytes"),
        (bytes(1024), 0, "128 writable bytes"),
        (None, 0, "128 writable bytes"),
    ],
)
def test_memory_that_is_no_place_is_refused(buffer: Any, offset: int, said: str) -> None:
    for call in (Mutex.place, Mutex.at):
        with pytest.raises(BadInput, match=said):
            call(buffer, offset)


@pytest.mark.parametrize("content", [bytes(SIZE), b"\xff" * SIZE, b"\x01" * SIZE])
def test_what_is_no_mutex_is_not_taken_for_one(content: bytes) -> None:
    with pytest.raises(BadInput, match="no mutex there"):
        Mutex.at(bytearray(content))


def test_a_file_that_is_no_mutex_is_refused(tmp_path: Any) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "zeros").write_bytes(bytes(4096))
    for name in ("none", "empty", "zeros"):
        with pytest.raises(BadInput, match="there is no mutex"):
            Mutex.open(tmp_path / name)


def test_another_process_gets_it_by_pickle(mutex: Mutex) -> None:
    program = """
import pickle, sys
mutex = pickle.load(sys.stdin.buffer)
print(mutex.trylock(), mutex.state().owner)
sys.stdout.flush()
mutex.lock()
print("mine")
"""
    with mutex:
        argv = [sys.executable, "-c", program]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdin
            assert other.stdout
            other.stdin.write(pickle.dumps(mutex))
            other.stdin.close()
            assert other.stdout.readline() == f"False {os.getpid()}\n".encode()
            mutex.unlock()
            assert other.stdout.read() == b"mine\n"
        assert other.returncode == 0
        with pytest.raises(OwnerDied, match=f"thread {other.pid}, died with it"):  # it ended, and never unlocked
            mutex.lock()
    assert mutex.state().dead_owners == 1


@can_drop
def test_another_user_may_not_open_it(mutex: Mutex) -> None:
    setpriv = shutil.which("setpriv") or pytest.skip("no setpriv (util-linux)")
    body = f"""
try:
    Mutex.open("/proc/{os.getpid()}/fd/{mutex.fd}")
except NotPermitted as e:
    print(json.dumps(e.why))
"""
    argv = [setpriv, "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    assert scenario(body, *argv) == "only a process of the same user may open it"


BOOST = """
mutex = Mutex({arguments})
held, go, done = Barrier(), Barrier(), Barrier()

def holder():
    with mutex:
        held.go()
        go.wait()

def waiter():
    mutex.lock()
    mutex.unlock()

low = child(10, holder)
held.wait()
high = child(40, waiter)
until(lambda: waits(high))
states = []
for _ in range(50):
    states.append(mutex.state())
    time.sleep(0.002)
go.go()
print(json.dumps([
    [s.owner == low for s in states],
    [s.own_priority for s in states],
    [s.boosted_priority for s in states],
    statuses(),
    [mutex.state().owner, mutex.state().locks, mutex.state().contentions, mutex.state().dead_owners],
    mutex.state().worst_wait_ns == mutex.state().wait_ns > 0,
]))
"""


@pytest.mark.needs("rt.fifo")
@pytest.mark.parametrize(
    ("arguments", "own", "boosted"),
    [('"none"', {10}, {10}), ('"inherit"', {10}, {40}), ('"protect", ceiling=50', {50}, {50})],
)
def test_the_owner_runs_with_the_priority_that_the_protocol_says(
    arguments: str, own: set[int], boosted: set[int]
) -> None:
    owner, owns, boosts, statuses, after, one_wait = scenario(BOOST.format(arguments=arguments))
    assert all(owner)
    assert set(owns) == own
    # With inheritance the owner is back at its own between two slices of the wait: at most once in 50 ms.
    assert set(boosts) - {10} == boosted - {10}
    assert boosts.count(min(boosted)) >= 45
    assert statuses == [0, 0]
    assert after == [None, 2, 1, 0]
    assert one_wait


@pytest.mark.parametrize("protocol", ["none", "inherit"])
def test_contentions_are_exact(protocol: str) -> None:
    """A schedule of 7 rounds: in each, one takes it while another holds it, and both once more while nobody does."""
    body = f"""
mutex = Mutex("{protocol}")
ready, finished = Barrier(), Barrier()

def waiter():
    for _ in range(7):
        ready.wait()
        with mutex:
            pass
        with mutex:
            pass
        finished.go()

pid = child(0, waiter)
for _ in range(7):
    with mutex:
        ready.go()
        until(lambda: waits(pid))
    finished.wait()
state = mutex.state()
print(json.dumps([state.locks, state.contentions, 0 < state.worst_wait_ns < state.wait_ns, statuses()]))
"""
    assert scenario(body) == [21, 7, True, [0]]


@pytest.mark.parametrize("protocol", ["none", "inherit"])
def test_who_waits_is_told_that_the_owner_was_killed(protocol: str) -> None:
    body = f"""
mutex = Mutex("{protocol}")
held = Barrier()

def owner():
    mutex.lock()
    held.go()
    time.sleep(60)

def waiter():
    try:
        mutex.lock()
    except OwnerDied as e:
        assert f"thread {{first}}, died with it" in str(e)
        assert mutex.state().owner == os.getpid()
        mutex.unlock()
        os._exit(7)

first = child(0, owner)
held.wait()
second = child(0, waiter)
until(lambda: waits(second))
os.kill(first, signal.SIGKILL)
ended = statuses()
with mutex:
    state = mutex.state()
print(json.dumps([ended, state.locks, state.contentions, state.dead_owners]))
"""
    assert scenario(body) == [[-signal.SIGKILL, 7], 3, 1, 1]


def test_after_a_dead_owner_the_lock_is_held_until_it_is_given_back(mutex: Mutex) -> None:
    thread = threading.Thread(target=mutex.lock)
    thread.start()
    ended(thread)
    with pytest.raises(OwnerDied) as told:
        mutex.lock()
    assert str(told.value).splitlines()[1] == "hint: repair what it protects, go on, and unlock it"
    state = mutex.state()
    assert (state.owner, state.locks, state.dead_owners) == (os.getpid(), 2, 1)
    mutex.unlock()
    with mutex:
        assert mutex.state().dead_owners == 1


@pytest.mark.needs("rt.fifo")
def test_who_waits_is_told_that_the_owner_of_a_ceiling_died() -> None:
    """There is no robust mutex with a ceiling: nobody gets it any more."""
    body = """
mutex = Mutex("protect", ceiling=50)

def waiter():
    try:
        mutex.lock()
    except BadInput as e:
        assert f"its owner, thread {first}, died with it" in str(e)
        os._exit(7)

first = child(10, mutex.lock)
assert statuses() == [0]
child(20, waiter)
print(json.dumps(statuses()))
"""
    assert scenario(body) == [7]


def test_a_deadlock_aborts_nobody() -> None:
    """Two mutexes with inheritance, taken in opposite orders: glibc aborts where they are of type ERRORCHECK."""
    body = """
mutexes = [Mutex("inherit"), Mutex("inherit")]
there, back = Barrier(), Barrier()

def cross(first, second, mine, yours):
    with first:
        mine.go()
        yours.wait()
        assert not second.timedlock("200ms")

child(0, lambda: cross(*mutexes, there, back))
child(0, lambda: cross(*reversed(mutexes), back, there))
print(json.dumps([statuses(), [mutex.state().owner for mutex in mutexes]]))
"""
    assert scenario(body) == [[0, 0], [None, None]]


def test_it_is_not_closed_under_a_thread_that_waits() -> None:
    body = """
import threading
mutex = Mutex()
held, go = Barrier(), Barrier()

def holder():
    with mutex:
        held.go()
        go.wait()

child(0, holder)
held.wait()
thread = threading.Thread(target=mutex.lock)
thread.start()
until(lambda: mutex._mutex._lock < 0)  # FUTEX_WAITERS is the topmost bit
try:
    mutex.close()
except BadInput as e:
    said = e.why
go.go()
thread.join()
print(json.dumps([said, mutex.state().contentions, statuses()]))
"""
    assert scenario(body) == ["a thread of this process waits for it", 1, [0]]


def test_a_fork_has_the_mutex_and_not_the_lock() -> None:
    body = """
mutex = Mutex()
parent = os.getpid()

def look():
    assert mutex.state().owner == parent
    assert not mutex.trylock()
    try:
        mutex.unlock()
    except BadInput as e:
        assert f"thread {parent} has it" in str(e)
        mutex.close()
        os._exit(7)

with mutex:
    child(0, look)
    ended = statuses()
print(json.dumps([ended, mutex.state().locks]))
"""
    assert scenario(body) == [[7], 1]


def test_a_ceiling_wants_a_real_time_thread_each_time() -> None:
    with_ceiling = Mutex("protect", ceiling=50)
    for _ in range(3):  # glibc itself refuses the first time only
        for lock in (with_ceiling.lock, with_ceiling.trylock, lambda: with_ceiling.timedlock("1ms")):
            with pytest.raises(BadInput, match="wants a thread under FIFO or RR, and this is under OTHER"):
                lock()
    assert with_ceiling.state().locks == 0
    with_ceiling.close()


CEILING = """
mutex, higher = Mutex("protect", ceiling=50), Mutex("protect", ceiling=60)

def own():
    return os.sched_getparam(0).sched_priority

def take(*priorities):
    seen = []
    for priority in priorities:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
        try:
            with mutex:
                seen.append(own())
                with higher:
                    seen.append(own())
                seen.append(own())
        except RtnbError as e:
            seen.append(str(e))
        seen.append(own())
    print(json.dumps(seen))
    sys.stdout.flush()

child(20, lambda: take({priorities}))
statuses()
"""


@pytest.mark.needs("rt.fifo")
def test_a_ceiling_gives_back_the_priority_that_the_thread_has_now() -> None:
    """glibc alone would give back 20 after the second: it keeps what it saw first."""
    assert scenario(CEILING.format(priorities="20, 30, 50")) == [
        *(50, 60, 50, 20),
        *(50, 60, 50, 30),
        *(50, 60, 50, 50),
    ]


@pytest.mark.needs("rt.fifo")
def test_a_thread_above_the_ceiling_is_told() -> None:
    above, after, *below = scenario(CEILING.format(priorities="51, 49"))
    assert "this thread's priority 51 is above the ceiling 50 (EINVAL)\nhint: a ceiling is the highest" in above
    assert (after, below) == (51, [50, 60, 50, 49])


@can_drop
@pytest.mark.needs("rt.fifo")
def test_a_thread_that_may_not_rise_to_the_ceiling_is_told_each_time() -> None:
    body = """
mutex = Mutex("protect", ceiling=50)

def take():
    os.setgid(65534)
    os.setuid(65534)
    said = []
    for _ in range(2):
        try:
            mutex.lock()
        except NotPermitted as e:
            said.append(str(e))
    print(json.dumps([said, os.sched_getparam(0).sched_priority]))
    sys.stdout.flush()

child(20, take)
statuses()
"""
    said, priority = scenario(body)
    assert len(said) == 2
    assert "may not rise to the ceiling 50: CAP_SYS_NICE or RLIMIT_RTPRIO of 50 is wanted" in said[0]
    assert priority == 20

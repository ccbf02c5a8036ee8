# SPDX-License-Identifier: MIT
"""Who holds the lock, with whose priority, and how long did others wait? A pthread mutex that processes share.

    offset  0  pthread_mutex_t, in 64 bytes         offset  80  uint64 locks
           64  int32 protocol (PTHREAD_PRIO_*)              88  uint64 contentions
           68  int32 ceiling (0: none)                      96  int64  total wait, ns
           72  int32 owner's tid (0: none)                 104  int64  worst wait, ns
           76  int32 dead owners seen                      112  16 bytes reserved

These 128 bytes, little-endian, are all there is: the C worker has the same (`struct mutex`). All but the first
three are written by the owner alone, while it holds the mutex.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NoReturn

from rtnb import caps
from rtnb.abi import pthread
from rtnb.abi.interrupt import held
from rtnb.abi.sched import NAMES, SCHED_FIFO, SCHED_FLAG_RESET_ON_FORK, SCHED_RESET_ON_FORK, SCHED_RR, sched_getattr
from rtnb.errors import BadInput, NotPermitted, NotSupported, RtnbError, WorkerError, closest
from rtnb.units import nanoseconds

__all__ = ["Mutex", "OwnerDied", "PROTOCOLS", "SIZE", "State"]

SIZE = 128
"""Bytes of a mutex in shared memory; at a multiple of 8."""
PROTOCOLS = {
    "none": pthread.PTHREAD_PRIO_NONE,
    "inherit": pthread.PTHREAD_PRIO_INHERIT,
    "protect": pthread.PTHREAD_PRIO_PROTECT,
}
"""Name to number."""

_PROTOCOL, _CEILING, _OWNER, _DEAD = 16, 17, 18, 19  # as int32
_LOCKS, _CONTENTIONS, _WAIT, _WORST = 10, 11, 12, 13  # as int64
_SLICE_NS = 50_000_000
"""The longest that an interrupt waits: no signal ends a wait for a mutex, so it is done in pieces."""

_HELD: set[tuple[Mutex, int]] = set()
"""Each mutex and the thread of this process that holds it: the kernel writes to its memory when that thread dies."""
if sys.implementation.name == "cpython":  # so it may not go, not even as the interpreter ends and forgets all globals
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(_HELD))


class _Ceilings(threading.local):
    """The mutexes with a ceiling that this thread holds."""

    def __init__(self) -> None:
        self.held: set[Mutex] = set()


_CEILINGS = _Ceilings()


class OwnerDied(RtnbError):
    """The lock was taken, and is held: its last owner died with it. Repair what it protects, go on, and unlock."""


@dataclass(frozen=True)
class State:
    """A mutex at one moment. How many wait is not among it: the kernel tells nobody."""

    protocol: str
    """none, inherit or protect."""
    ceiling: int | None
    """The priority of whoever holds it; None without protect."""
    owner: int | None
    """The thread that holds it."""
    own_priority: int | None
    """The owner's real-time priority as its policy has it (0: none). glibc raises that itself for a ceiling."""
    boosted_priority: int | None
    """The priority that the kernel runs the owner with (0: none, 100: under DEADLINE): its own, or one inherited."""
    locks: int
    """Times that it was taken."""
    contentions: int
    """Locks among them that did not succeed at the first try."""
    wait_ns: int
    """What those waited, all together; who gave up is not in it."""
    worst_wait_ns: int
    """The longest of these waits."""
    dead_owners: int
    """Owners that died with it."""


class Mutex:
    """A mutex over processes, with a priority protocol: `none`, `inherit`, or `protect` with a `ceiling`.

    It lives in a memory file of its own, `fd`. A fork inherits it; it can be pickled to a process of the same
    user, which opens it while this process has it open; a command gets it by `pass_fds` and `open`. `place`
    puts one into memory that is shared already.

    Who locks it after an owner died with it is told so by `OwnerDied`, raised with the lock held; under `with` the
    body is then not run and the lock is given back. glibc has nothing of the kind for one with a ceiling: there it
    is a BadInput, and the mutex is lost.

    Raises BadInput for arguments that mean nothing, and in any method after `close`; NotSupported where libc has
    no such mutex.

    A lock and its unlock that nobody contends take 3.7 us from Python with `none` and `inherit`, of which 0.6 us
    are the two calls of glibc, as ctypes makes them; 14 us with `protect` (medians of 5 runs on a virtual machine
    of 2 CPUs). A thread that has got the lock waits for the GIL all the same, up to 5 ms if another runs Python:
    to measure priority inversion take processes, as `rtnb.rt` does. A wait is in slices of 50 ms, so that it can
    be interrupted; between two of them the owner of one with `inherit` has its own priority for a moment.

    Source: pthread_mutexattr_setprotocol(3), pthread_mutex_lock(3), pthread_mutexattr_setrobust(3), POSIX.

    >>> with Mutex("inherit") as mutex:  # doctest: +SKIP
    ...     mutex.state().owner == os.getpid()
    True
    """

    fd: int | None = None
    """The memory file; None for one that is placed in other memory, and after `close`."""
    protocol: str
    ceiling: int | None

    _memory: mmap.mmap | None = None
    _closing: Callable[[], Any] = staticmethod(lambda: None)
    _closed = False

    @held()  # nobody would close a descriptor that was opened and not noted
    def __init__(self, protocol: str = "none", *, ceiling: int | None = None) -> None:
        tried = f"Mutex({protocol!r})"
        caps.linux(tried)
        import fcntl  # Windows has no such module, and loads recordings all the same

        _check(tried, protocol, ceiling)
        self._own(fd := os.memfd_create("rtnb-mutex", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
        os.ftruncate(fd, SIZE)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)  # who shrank it would kill us
        self._memory = mmap.mmap(fd, SIZE)
        self._bind(self._memory, 0)
        self._make(tried, protocol, ceiling)

    @classmethod
    @held()
    def open(cls, path: str | os.PathLike[str]) -> Mutex:
        """The mutex of another process of this user: /proc/PID/fd/FD, FD being its `fd`.

        Raises BadInput where there is none, NotPermitted where this process may not open it.
        """
        tried = f"Mutex.open({os.fspath(path)!r})"
        caps.linux(tried)
        self = cls.__new__(cls)
        try:
            self._own(fd := os.open(path, os.O_RDWR | os.O_CLOEXEC))
            self._memory = mmap.mmap(fd, SIZE)
        except PermissionError as e:
            raise NotPermitted(tried, "only a process of the same user may open it", "see ptrace(2)") from e
        except (OSError, ValueError) as e:
            raise BadInput(tried, "there is no mutex: it was closed, or its process has ended") from e
        self._bind(self._memory, 0)
        self._recognise(tried)
        return self

    @classmethod
    def place(cls, buffer: Any, offset: int = 0, protocol: str = "none", *, ceiling: int | None = None) -> Mutex:
        """Make a mutex in `SIZE` bytes of memory that processes share, at an `offset` that is a multiple of 8.

        `buffer` is anything with a writable buffer, and is kept alive. Nobody may use what was there. Raises
        BadInput.
        """
        tried = f"Mutex.place({protocol!r})"
        caps.linux(tried)
        _check(tried, protocol, ceiling)
        self = cls._over(tried, buffer, offset)
        self._words[:] = bytes(SIZE)
        self._make(tried, protocol, ceiling)
        return self

    @classmethod
    def at(cls, buffer: Any, offset: int = 0) -> Mutex:
        """The mutex that was placed there. Raises BadInput where there is none."""
        tried = f"Mutex.at(offset={offset})"
        caps.linux(tried)
        self = cls._over(tried, buffer, offset)
        self._recognise(tried)
        return self

    def lock(self) -> None:
        """Take it, however long that takes; an interrupt ends the wait within about 50 ms.

        Raises OwnerDied with the lock held; BadInput for a thread that has it already, and for one that may not
        have it: with a ceiling, whoever is not under FIFO or RR, or above the ceiling; NotPermitted for a thread
        that may not rise to the ceiling.
        """
        self._acquire("lock", None)

    def trylock(self) -> bool:
        """Take it if it is free: whether it was. Raises as `lock` does."""
        return self._acquire("trylock", 0)

    def timedlock(self, timeout: str | int) -> bool:
        """Take it within `timeout`, a duration with a unit, by CLOCK_MONOTONIC: whether that went. Raises as `lock`."""
        return self._acquire("timedlock", nanoseconds(timeout, what="timeout"))

    def unlock(self) -> None:
        """Give it back. Raises BadInput where the calling thread has it not."""
        self._usable("unlock")
        try:
            if not pthread.holds(self._mutex, tid := threading.get_native_id()):
                owner = self._ints[_OWNER]
                who = f"thread {owner} has it" if owner else "nobody has it"
                raise BadInput(f"unlock by thread {tid}", who, "who locked a mutex must unlock it")
            self._release(tid)
        except KeyboardInterrupt:
            self._interrupted()
            raise

    def state(self) -> State:
        """Who has it, with which priorities, and what the locks so far have cost."""
        self._usable("state")
        owner, own, boosted = self._owner()
        locks, contentions, waited, worst = self._longs[_LOCKS : _WORST + 1]
        dead = self._ints[_DEAD]
        return State(self.protocol, self.ceiling, owner, own, boosted, locks, contentions, waited, worst, dead)

    def close(self) -> None:
        """Let go of the memory; other processes keep theirs. Raises BadInput while a thread of this one is at it."""
        if self._closed:
            return
        if (owner := self._ints[_OWNER]) and os.path.exists(f"/proc/self/task/{owner}"):
            raise BadInput("close of a mutex", f"thread {owner} of this process has it", "unlock it first")
        self._closed = True
        self._bind(bytearray(SIZE), 0)
        try:
            if self._memory:
                self._memory.close()
        except BufferError as e:
            self._bind(self._memory, 0)
            self._closed = False
            raise BadInput("close of a mutex", "a thread of this process waits for it") from e
        self.fd = None
        self._closing()

    def __enter__(self) -> Mutex:
        try:
            self.lock()
            return self
        except OwnerDied:
            self.unlock()
            raise
        except KeyboardInterrupt:
            self._interrupted()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.unlock()

    def __reduce__(self) -> tuple[Callable[[str], Mutex], tuple[str]]:
        self._usable("pickle")
        if self.fd is None:
            why = "it lies in memory that has no descriptor of its own"
            raise BadInput("pickle of a mutex", why, "share that memory, and use Mutex.at there")
        return Mutex.open, (f"/proc/{os.getpid()}/fd/{self.fd}",)

    def __repr__(self) -> str:
        if self._closed:
            return "Mutex(closed)"
        ceiling = f", ceiling={self.ceiling}" if self.ceiling else ""
        owner = self._ints[_OWNER]
        return f"Mutex({self.protocol!r}{ceiling}, {f'held by thread {owner}' if owner else 'free'})"

    def _own(self, fd: int) -> None:
        self.fd = fd
        self._closing = weakref.finalize(self, os.close, fd)

    @classmethod
    def _over(cls, tried: str, buffer: Any, offset: int) -> Mutex:
        """One over memory of somebody else's, not yet looked at."""
        self = cls.__new__(cls)
        try:
            self._bind(buffer, offset)
        except (TypeError, ValueError, BufferError) as e:
            raise BadInput(tried, f"it wants {SIZE} writable bytes at offset {offset}") from e
        if ctypes.addressof(self._mutex) % 8:
            raise BadInput(tried, f"offset {offset} is not a multiple of 8")
        return self

    def _bind(self, buffer: Any, offset: int) -> None:
        """The mutex and its numbers are in this memory, which stays while a thread is in a call on it."""
        self._words = memoryview(buffer).cast("B")[offset : offset + SIZE]
        if offset < 0 or len(self._words) < SIZE:
            raise ValueError(offset)
        self._mutex = pthread.pthread_mutex_t.from_buffer(self._words)
        self._ints, self._longs = self._words.cast("i"), self._words.cast("q")

    def _make(self, tried: str, protocol: str, ceiling: int | None) -> None:
        self.protocol, self.ceiling = protocol, ceiling
        self._ints[_PROTOCOL], self._ints[_CEILING] = PROTOCOLS[protocol], ceiling or 0
        try:
            pthread.init(self._mutex, PROTOCOLS[protocol], ceiling or 0)
        except OSError as e:
            raise NotSupported(tried, f"this C library has no such mutex ({e.filename}: {e.strerror})") from e

    def _recognise(self, tried: str) -> None:
        """Learn how it was made. glibc aborts on what is no mutex, so its first words must be those of one."""
        number, ceiling = self._ints[_PROTOCOL], self._ints[_CEILING] or None
        try:
            self.protocol, self.ceiling = next(name for name, n in PROTOCOLS.items() if n == number), ceiling
            _check(tried, self.protocol, ceiling)
            pthread.init(alike := pthread.pthread_mutex_t(), number, ceiling or 0)
        except (StopIteration, BadInput) as e:
            raise BadInput(tried, "there is no mutex there", "Mutex.place makes one") from e
        if pthread.kind(alike) != pthread.kind(self._mutex):
            raise BadInput(tried, "there is no mutex there", "Mutex.place makes one")

    def _usable(self, tried: str) -> None:
        if self._closed:
            raise BadInput(f"{tried} of a mutex", "it is closed", "make a new one")

    def _acquire(self, tried: str, timeout_ns: int | None) -> bool:
        """Try, then wait: at most `timeout_ns`, or for good."""
        self._usable(tried)
        if pthread.holds(self._mutex, tid := threading.get_native_id()):
            raise BadInput(f"{tried} by thread {tid}", "it has the mutex already (EDEADLK)", "unlock it first")
        if self.ceiling and not _CEILINGS.held:
            self._rise(tried)
        try:
            number, waited = pthread.trylock(self._mutex), 0
            if number == errno.EBUSY and timeout_ns != 0:
                number, waited = self._wait(tried, timeout_ns)
            if number in (errno.EBUSY, errno.ETIMEDOUT):
                return False
            if number not in (0, errno.EOWNERDEAD):
                self._refused(tried, number)
            self._taken(tid, waited, number)
            return True
        except KeyboardInterrupt:
            self._interrupted()
            raise

    def _wait(self, tried: str, timeout_ns: int | None) -> tuple[int, int]:
        """The errno that ended the wait, and how long it was; at least 1 ns."""
        start = now = time.monotonic_ns()
        end = 2**63 - 1 if timeout_ns is None else start + timeout_ns
        while True:
            try:
                number = pthread.clocklock(self._mutex, min(end, now + _SLICE_NS))
            except OSError as e:
                raise NotSupported(tried, "this C library has no pthread_mutex_clocklock", "use trylock") from e
            now = time.monotonic_ns()
            if number != errno.ETIMEDOUT or now >= end:
                return number, max(now - start, 1)
            self._usable(tried)
            self._owner_lives(tried)

    def _owner_lives(self, tried: str) -> None:
        """One with a ceiling is never given back by an owner that died."""
        owner = self._ints[_OWNER]
        if self.ceiling and owner and _running(owner) is None and owner == self._ints[_OWNER]:
            raise BadInput(f"{tried} of a mutex", f"its owner, thread {owner}, died with it", "make a new one")

    def _taken(self, tid: int, waited_ns: int, number: int) -> None:
        """Note what the lock was; only its owner writes there. Raises OwnerDied."""
        before = self._ints[_OWNER]
        _HELD.add((self, tid))
        if self.ceiling:
            _CEILINGS.held.add(self)
        self._ints[_OWNER] = tid
        self._longs[_LOCKS] += 1
        if waited_ns:
            self._longs[_CONTENTIONS] += 1
            self._longs[_WAIT] += waited_ns
            self._longs[_WORST] = max(self._longs[_WORST], waited_ns)
        if number == errno.EOWNERDEAD:
            pthread.consistent(self._mutex)
            self._ints[_DEAD] += 1
            why = f"its owner{f', thread {before},' if before else ''} died with it: it is yours now, and still locked"
            raise OwnerDied("lock of a mutex", why, "repair what it protects, go on, and unlock it")

    def _release(self, tid: int) -> None:
        self._ints[_OWNER] = 0
        pthread.unlock(self._mutex)
        self._forget(tid)

    def _forget(self, tid: int) -> None:
        _HELD.discard((self, tid))
        _CEILINGS.held.discard(self)

    def _interrupted(self) -> None:
        """Give back what this thread has: an interrupt came between a call of glibc's and the note of it."""
        if pthread.holds(self._mutex, tid := threading.get_native_id()):
            pthread.consistent(self._mutex)
            self._release(tid)
        self._forget(tid)

    def _rise(self, tried: str) -> None:
        """See that this thread may have the ceiling, by having it for a moment.

        glibc does not try twice: after an EINVAL or EPERM the next lock succeeds, at no higher priority (measured,
        glibc 2.36). And it learns by this what the thread's own priority is, to which an unlock goes back.
        """
        attr, ceiling = sched_getattr(), self.ceiling or 0
        if attr.policy not in (SCHED_FIFO, SCHED_RR):
            why = f"a ceiling wants a thread under FIFO or RR, and this is under {NAMES.get(attr.policy, '?').upper()}"
            raise BadInput(
                f"{tried} of a mutex", f"{why} (EINVAL)", "take one of these policies first, or protocol inherit"
            )
        if attr.priority > ceiling:
            why = f"this thread's priority {attr.priority} is above the ceiling {ceiling} (EINVAL)"
            raise BadInput(f"{tried} of a mutex", why, "a ceiling is the highest priority of those who use the mutex")
        policy = attr.policy | (SCHED_RESET_ON_FORK if attr.flags & SCHED_FLAG_RESET_ON_FORK else 0)
        try:
            pthread.setschedparam(policy, ceiling)
        except OSError as e:
            why = f"this thread may not rise to the ceiling {ceiling}: CAP_SYS_NICE or RLIMIT_RTPRIO of {ceiling}"
            raise NotPermitted(f"{tried} of a mutex", f"{why} is wanted (the kernel says: {e.strerror})") from e
        finally:
            pthread.setschedparam(policy, attr.priority)

    def _refused(self, tried: str, number: int) -> NoReturn:
        """What is left when EBUSY, ETIMEDOUT and EOWNERDEAD are not errors."""
        error = OSError(number, os.strerror(number), "pthread_mutex_clocklock")
        if number == errno.EINVAL and self.protocol == "inherit":
            why = "a wait for a mutex with inheritance wants glibc 2.34 and Linux 5.14 (FUTEX_LOCK_PI2)"
            raise NotSupported(f"{tried} of a mutex", why, "use trylock, or protocol none") from error
        if number == errno.ENOTRECOVERABLE:
            why = "an owner died with it, and the next one unlocked it without calling pthread_mutex_consistent"
            raise BadInput(f"{tried} of a mutex", why, "make a new one") from error
        raise WorkerError(f"{tried} of a mutex", f"it cannot be taken: {error.strerror}") from error

    def _owner(self) -> tuple[int | None, int | None, int | None]:
        """The owner, its own priority, and the one it runs with: None where it is gone meanwhile, or another."""
        owner = self._ints[_OWNER]
        if not owner:
            return None, None, None
        try:
            own = sched_getattr(owner).priority
        except OSError:
            own = None
        boosted = _running(owner)
        if self._ints[_OWNER] != owner:
            own = boosted = None
        return owner, own, boosted


def _check(tried: str, protocol: str, ceiling: int | None) -> None:
    """Raises BadInput where there is no such mutex."""
    if protocol not in PROTOCOLS:
        hint = closest(str(protocol), PROTOCOLS) or f"one of {', '.join(PROTOCOLS)}"
        raise BadInput(tried, "there is no such protocol", hint)
    if protocol != "protect" and ceiling is not None:
        raise BadInput(f"ceiling {ceiling}", f"a mutex with {protocol} has none", 'protocol="protect" has one')
    if protocol == "protect" and (ceiling is None or not 1 <= ceiling <= 99):
        raise BadInput(f"ceiling {ceiling}", "it is 1 to 99", "the highest priority of those who use the mutex")


def _running(tid: int) -> int | None:
    """The priority that the kernel runs a thread with (field 18 of /proc/TID/stat); None for a dead one."""
    try:
        with open(f"/proc/{tid}/stat", "rb") as file:
            words = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if words[0] in (b"Z", b"X") else max(-1 - int(words[15]), 0)

# SPDX-License-Identifier: MIT
"""Who notices that a task does not come? A process of a higher priority, to which each task gives a sign of life."""

from __future__ import annotations

import contextlib
import mmap
import os
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd

from rtnb import caps, schema
from rtnb.abi import interrupt
from rtnb.errors import BadInput, NoSuchTask, WorkerError
from rtnb.rt import plan
from rtnb.rt.clock import now_ns
from rtnb.rt.jobs import Missed
from rtnb.rt.task import check_name
from rtnb.rt.worker import Miss, Worker
from rtnb.units import in_words, nanoseconds

__all__ = ["Heartbeat", "Watchdog", "frame"]

MOST = 64
SHORTEST_NS = 100_000
"""The shortest timeout: below it the watchdog would do nothing but look."""
NEVER_NS = 2**62


class Heartbeat:
    """One thing that is watched: `kick()` it at least every `timeout`, from any process that it was sent to."""

    def __init__(self, memory: mmap.mmap, number: int, timeout_ns: int, path: str = "") -> None:
        self.timeout_ns = timeout_ns
        self._number, self._path, self._memory = number, path, memory
        at = plan.RUN.itemsize + number * plan.TASK.itemsize
        fields: Any = plan.TASK.fields
        self._expect, self._kick = ((at + fields[name][1]) // 8 for name in ("expect_ns", "kick_ns"))
        self._words = memoryview(memory).cast("q")

    def kick(self) -> None:
        """All is well: the next kick is due within the timeout from now."""
        now = now_ns()
        self._write(now, now + self.timeout_ns)

    def rest(self) -> None:
        """Nothing is due until the next kick."""
        self._write(now_ns(), 0)

    def _write(self, kick_ns: int, expect_ns: int) -> None:
        try:
            self._words[self._kick], self._words[self._expect] = kick_ns, expect_ns
        except ValueError as e:
            raise BadInput("heartbeat", "it is closed, or its watchdog is") from e

    def __reduce__(self) -> Any:
        return _opened, (self._path, self._number, self.timeout_ns)

    def close(self) -> None:
        """Let go of the memory; what is due stays due."""
        self._words.release()


def _opened(path: str, number: int, timeout_ns: int) -> Heartbeat:
    """The heartbeat in a process that it was sent to."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as e:
        raise BadInput("heartbeat", "its watchdog has ended, or is another user's") from e
    try:
        if not os.readlink(f"/proc/self/fd/{fd}").startswith("/memfd:rtnb-run"):
            raise BadInput("heartbeat", "its watchdog has ended: another file has its number now")
        return Heartbeat(mmap.mmap(fd, 0), number, timeout_ns, path)
    finally:
        os.close(fd)


class Watchdog:
    """A process that watches up to 64 heartbeats, at SCHED_FIFO `priority` where that is allowed.

    `on_miss` is called with a Miss as soon as one is overdue, in a thread of its own; all are kept in `misses`. As a
    context manager it ends with the block; it ends with this process in any case, also a killed one. `policy` and
    `priority` are what it has; `worst_late_ns` is how late it ever woke up to look.

    Raises NotSupported without the C core. A kick from Python takes about a microsecond; the watchdog wakes up once a
    timeout, not once a kick.

    >>> with Watchdog() as dog:
    ...     beat = dog.watch("sensor", "5ms")
    ...     beat.kick()
    ...     time.sleep(0.01)
    ...     dog.misses[0].name
    'sensor'
    """

    def __init__(self, *, priority: int = 90, on_miss: Callable[[Miss], object] | None = None) -> None:
        caps.linux("a watchdog")
        caps.core_path("start a watchdog")
        if not 0 <= priority <= 99:
            raise BadInput(f"priority {priority}", "it is 1 (lowest) to 99; 0: as this process")
        self.misses: list[Miss] = []
        self._on_miss = on_miss
        self._used = 0
        self._last: Any = None
        with interrupt.noted() as came, contextlib.ExitStack() as opened:
            rows = np.zeros(MOST, plan.TASK)
            rows["option"], rows["wait_status"] = plan.FOREIGN, -1
            self._plan = opened.enter_context(plan.memory(rows))
            self._plan.ask(length_ns=NEVER_NS, priority=priority, dma_latency_us=0)
            self._memory = opened.enter_context(mmap.mmap(self._plan.fd, 0))
            self._worker = Worker(self._plan, on_miss=self._hear)
            opened.callback(self._worker.close)
            while self._worker.ended is None and not int(self._plan.head()["pid"]):
                time.sleep(0.001)  # it is not what it is to be before it has said who it is
            self._alive("start a watchdog")
            self._open = opened.pop_all()
        if came:
            self.close()
            raise KeyboardInterrupt

    def _alive(self, tried: str) -> None:
        """Raises WorkerError where it ended and nobody had asked for that."""
        if ended := self._worker.ended:
            raise WorkerError(tried, f"the watchdog was ended from outside (status {ended.exit_status})")

    def _hear(self, miss: Miss) -> None:
        self.misses.append(miss)
        if self._on_miss:
            self._on_miss(miss)

    def watch(self, name: str, timeout: str | int, *, stop: int | None = None) -> Heartbeat:
        """Watch one more: it is due `timeout` after each of its kicks, and for the first time after now.

        `stop` is the pid of the process that is to be killed once it is overdue. Raises BadInput, NoSuchTask.
        """
        timeout_ns = nanoseconds(timeout, what="timeout")
        self._alive(f"watch {name}")
        if timeout_ns < SHORTEST_NS:
            raise BadInput(f"watch {name}: timeout {timeout}", f"the shortest is {in_words(SHORTEST_NS)}")
        if self._used == MOST:
            raise BadInput(f"watch {name}", f"this watchdog has {MOST} already", "start a second one")
        check_name("watch", name)
        row: Any = np.frombuffer(self._memory, plan.TASK, 1, plan.RUN.itemsize + self._used * plan.TASK.itemsize)
        row["name"] = name.encode()
        row["option"] |= plan.WATCH
        row["period_ns"] = timeout_ns
        if stop is not None:
            _stoppable(stop)
            row["pid"] = stop
            row["option"] |= plan.STOP
        del row
        path = f"/proc/{os.getpid()}/fd/{self._plan.fd}"
        beat = Heartbeat(self._memory, self._used, timeout_ns, path)
        self._open.callback(beat.close)
        self._used += 1
        beat.kick()
        self._worker.look_again()
        return beat

    @property
    def policy(self) -> str:
        """The policy that it has."""
        return "fifo" if self.priority else "other"

    @property
    def priority(self) -> int:
        """The real-time priority that it has; 0: none, for it was refused."""
        head = self._head()
        return 0 if int(head["priority_error"]) else int(head["priority"])

    @property
    def worst_late_ns(self) -> int:
        """How late it woke up to look at a heartbeat, at worst."""
        return int(self._head()["worst_late_ns"])

    def _head(self) -> Any:
        """struct run as it is now, or as it was at the end."""
        if self._plan.fd >= 0:
            self._last = self._plan.head()
        return self._last

    @property
    def frame(self) -> pd.DataFrame:
        """The misses as a frame (rt.misses)."""
        return frame(self.misses)

    @interrupt.held()
    def close(self) -> None:
        """End it. Raises what `on_miss` raised, and WorkerError where it had ended before."""
        if self._plan.fd < 0:
            return
        self._head()
        ended = self._worker.ended
        self._open.close()
        if self._worker.error:
            raise self._worker.error
        if ended:
            self._alive("watch")

    def __enter__(self) -> Watchdog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def frame(misses: list[Miss]) -> pd.DataFrame:
    """Misses as a frame (rt.misses)."""
    names = [column.name for column in schema.TABLES["rt.misses"].columns]
    return schema.frame(Missed, {name: [getattr(miss, name) for miss in misses] for name in names})


def _stoppable(pid: int) -> None:
    tried = f"watch, to stop process {pid}"
    if pid in (os.getpid(), 1):
        raise BadInput(tried, "that is this notebook itself" if pid != 1 else "that is init")
    try:
        os.close(os.pidfd_open(pid))  # which refuses a thread, and what is no number of a process
        os.kill(pid, 0)
    except ProcessLookupError as e:
        raise NoSuchTask(tried, "it does not exist, or no longer") from e
    except (OSError, OverflowError) as e:
        raise BadInput(tried, "it is another user's, or no process") from e

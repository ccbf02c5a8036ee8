# SPDX-License-Identifier: MIT
"""How is a task scheduled, right now? What the kernel says, never what was asked of it; and the way back to it."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from rtnb.abi import sched as abi
from rtnb.errors import NoSuchTask
from rtnb.sched.spec import FAIR, Spec

__all__ = ["State", "Stat", "attributes", "of", "process_of", "put", "read", "resolve", "stat", "steps", "tasks"]

AFFINITY, POLICY, NICE, SLACK = "sched_setaffinity", "sched_setattr", "setpriority", "write(timerslack_ns)"

_FLAGS = {
    "reset_on_fork": abi.SCHED_FLAG_RESET_ON_FORK,
    "reclaim": abi.SCHED_FLAG_RECLAIM,
    "dl_overrun": abi.SCHED_FLAG_DL_OVERRUN,
}


class Stat(NamedTuple):
    """What /proc/PID/stat says of a task; `priority` as the kernel counts: -101 deadline, -100 to -2 real time."""

    comm: bytes
    state: str
    flags: int
    priority: int
    start: int
    cpu: int


def stat(path: str) -> Stat:
    """The task whose folder in /proc is `path`. Raises OSError where it is gone. Source: proc_pid_stat(5)."""
    with open(f"{path}/stat", "rb") as file:
        before, _, after = file.read().rpartition(b")")  # a comm may hold any byte, brackets too
    words = after.split()
    return Stat(before.partition(b"(")[2], words[0].decode(), int(words[6]), *(int(words[n]) for n in (15, 19, 36)))


def tasks(pid: int | None = None) -> Iterator[tuple[int, int]]:
    """The pid and tid of each thread of the system, or of the process `pid`, as far as /proc shows them."""
    for process in [pid] if pid is not None else [int(name) for name in os.listdir("/proc") if name.isdigit()]:
        with suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            for tid in os.listdir(f"/proc/{process}/task"):
                yield process, int(tid)


def process_of(pid: int) -> int:
    """The process that a thread is of. Raises NoSuchTask where it is gone."""
    try:
        with open(f"/proc/{resolve(pid)}/status", "rb") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(b"Tgid:"))
    except (FileNotFoundError, ProcessLookupError) as e:
        raise NoSuchTask(f"process {pid}", "it does not exist, or no longer") from e


@dataclass(frozen=True)
class State:
    """All that `apply` may change of one task. `start` tells it from a later one of the same number."""

    tid: int
    start: int
    attr: abi.Attr
    nice: int
    cpus: frozenset[int]
    slack_ns: int | None

    @classmethod
    def read(cls, tid: int) -> State:
        """The task as it is. Raises OSError where it is gone."""
        cpus = frozenset(os.sched_getaffinity(tid))
        start = stat(f"/proc/{tid}").start
        return cls(tid, start, abi.sched_getattr(tid), os.getpriority(os.PRIO_PROCESS, tid), cpus, _slack(tid))

    @property
    def policy(self) -> str:
        """The policy's name, or its number where it has none."""
        return abi.NAMES.get(self.attr.policy, str(self.attr.policy))

    def spec(self) -> Spec:
        """The same as a Spec."""
        times = self.attr[4:] if self.policy == "deadline" else (0, 0, 0)  # a fair task's runtime is its slice
        flags = {name: bool(self.attr.flags & bit) for name, bit in _FLAGS.items()}
        return Spec(
            self.policy, self.attr.priority, self.nice, self.cpus, *times, **flags, timer_slack_ns=self.slack_ns
        )

    def restore(self) -> None:
        """Put back what differs. A task that is gone, or another of its number, is left alone. Raises OSError."""
        try:
            now = State.read(self.tid)
        except (FileNotFoundError, ProcessLookupError):
            return
        if now.start != self.start or now == self:
            return
        put(self.spec(), self.tid)
        if self.policy in FAIR and abi.sched_getattr(self.tid).runtime != self.attr.runtime:
            abi.sched_setattr(self.tid, self.attr)  # it had a slice of its own

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {**self.__dict__, "attr": list(self.attr), "cpus": sorted(self.cpus)}

    @classmethod
    def from_json(cls, raw: Any) -> State:
        """Checked: it is read from a file. Raises ValueError, TypeError and KeyError."""
        numbers = [*raw["attr"], raw["tid"], raw["start"], raw["nice"], *raw["cpus"], raw["slack_ns"] or 0]
        if not all(type(number) is int for number in numbers) or raw["tid"] <= 0:
            raise TypeError("a task's state is made of whole numbers")
        attr, cpus = abi.Attr(*raw["attr"]), frozenset(raw["cpus"])
        return cls(raw["tid"], raw["start"], attr, raw["nice"], cpus, raw["slack_ns"])


def of(tid: int = 0) -> Spec:
    """What the thread `tid` really has (0: the calling one). Raises NoSuchTask where it is gone.

    Locked memory and cpu_dma_latency are a process's, and cannot be read back; neither can another's timer slack
    without CAP_SYS_NICE: None. Source: sched_setattr(2), sched_setaffinity(2), sched(7), proc_pid_timerslack_ns(5).

    >>> print(of())
    SCHED_OTHER nice 0 on CPU 0-1 with timer slack 50 us
    """
    return read(tid).spec()


def read(tid: int) -> State:
    """State.read, 0 being the calling thread. Raises NoSuchTask."""
    try:
        return State.read(resolve(tid))
    except (FileNotFoundError, ProcessLookupError) as e:
        raise _no_such_task(tid) from e


def resolve(tid: int) -> int:
    """The calling thread's number for 0. Raises NoSuchTask for what can be no task's."""
    if not isinstance(tid, int) or not 0 <= tid < 2**31:
        raise _no_such_task(tid) from ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
    return tid or threading.get_native_id()


def _no_such_task(tid: int) -> NoSuchTask:
    return NoSuchTask(f"task {str(tid)[:60]}", "it does not exist, or no longer")


def attributes(spec: Spec, nice: int) -> abi.Attr:
    """What sched_setattr(2) is given for a task that has this nice value."""
    flags = sum(bit for name, bit in _FLAGS.items() if getattr(spec, name))
    wanted = nice if spec.nice is None else spec.nice
    times = (spec.runtime_ns, spec.deadline_ns, spec.period_ns)
    return abi.Attr(abi.POLICIES[spec.policy], flags, wanted, spec.priority, *times)


def steps(spec: Spec, policy: str) -> tuple[str, ...]:
    """The calls that give a task, whose policy is `policy`, what `spec` says, in the order in which they are made.

    A task is on its CPUs before it gets its policy; but it leaves DEADLINE, which forbids the move, first. What may
    be refused comes before what not everybody may undo: a lower nice value before IDLE, real time before a nice value.
    """
    cpus = [AFFINITY] if spec.cpus is not None else []
    nice = [NICE] if spec.nice is not None and spec.policy not in FAIR else []
    order = [*nice, POLICY] if spec.policy == "idle" else [POLICY, *nice]
    order = [*order, *cpus] if policy == "deadline" != spec.policy else [*cpus, *order]
    return (*order, SLACK) if spec.timer_slack_ns is not None else tuple(order)


def put(spec: Spec, tid: int) -> None:
    """Give the task what the spec says of its scheduling. Raises OSError, whose filename is the step refused."""
    for step in steps(spec, abi.NAMES.get(abi.sched_getattr(tid).policy, "")):
        _PUT[step](spec, tid)


def _put_policy(spec: Spec, tid: int) -> None:
    abi.sched_setattr(tid, attributes(spec, os.getpriority(os.PRIO_PROCESS, tid)))


_PUT: dict[str, Callable[[Spec, int], None]] = {
    AFFINITY: lambda spec, tid: abi.sched_setaffinity(tid, spec.cpus or ()),
    POLICY: _put_policy,
    NICE: lambda spec, tid: abi.setpriority(tid, spec.nice or 0),
    SLACK: lambda spec, tid: _put_slack(spec.timer_slack_ns or 0, tid),
}


def _put_slack(ns: int, tid: int) -> None:
    try:
        with open(f"/proc/{tid}/timerslack_ns", "w", encoding="ascii") as file:
            file.write(str(ns))
    except OSError as e:
        raise OSError(e.errno, e.strerror, SLACK) from e


def _slack(tid: int) -> int | None:
    """The timer slack; None where this process may not ask."""
    with suppress(PermissionError), open(f"/proc/{tid}/timerslack_ns", encoding="ascii") as file:
        return int(file.read())
    return None

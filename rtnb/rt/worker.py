# SPDX-License-Identifier: MIT
"""Where does the task run? In `rtnb-core sample`, a process of its own; this is its Python end (core.h)."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rtnb import _core
from rtnb.command import Command, Ended

__all__ = ["Head", "Request", "Result", "run"]

_HEAD = struct.Struct("<QQiIIiiiQ16x")
_WAKEUP = np.dtype([("release_ns", "<i8"), ("wake_ns", "<i8"), ("cpu", "<i4"), ("missed", "<i4")])

GRACE_S = 5.0
"""How much longer than asked a run may take before it is ended: its start, and its last wake-up."""


@dataclass(frozen=True)
class Request:
    """What the worker is asked for; `cpu` -1 is any."""

    policy: int
    priority: int
    cpu: int
    period_ns: int
    releases: int

    def argv(self, status_fd: int, map_fd: int) -> list[str]:
        """The worker's command line, as core.h spells it."""
        given = {"s": status_fd, "m": map_fd, "P": self.policy, "p": self.priority, "c": self.cpu}
        given |= {"i": self.period_ns, "n": self.releases}
        return [_core.path(), "sample", *(word for name, value in given.items() for word in (f"-{name}", str(value)))]


class Head(NamedTuple):
    """struct sample_head: how far the loop is, and what the kernel gave it."""

    records: int
    done: int
    pid: int
    policy: int
    priority: int
    nice: int
    mlock_error: int
    dma_latency_error: int
    timer_slack_ns: int


@dataclass(frozen=True)
class Result:
    """What a run left: the head, the wake-ups, what it said last, and how it ended (-N: signal N)."""

    head: Head
    wakeups: np.ndarray[Any, Any]
    status: _core.Status | None
    ended: Ended


def run(request: Request, progress: Callable[[float], None] | None = None) -> Result:
    """Run a worker to its end, or to an interrupt; then the wake-ups are those measured by then.

    `progress` gets the fraction that is done, about ten times a second. Raises OSError and NoSuchCommand where
    the worker cannot be started.
    """
    tell = progress or (lambda fraction: None)
    size = _HEAD.size + request.releases * _WAKEUP.itemsize
    with _core.memfd("sample", size) as memory, _pipe() as (reading, writing):
        argv = request.argv(writing.fileno(), memory)
        with Command(argv, pass_fds=(writing.fileno(), memory)) as worker:
            writing.close()
            timeout_s = request.period_ns * request.releases / 1e9 + GRACE_S
            ended = worker.wait(timeout_s, lambda: tell(_head(memory).done / request.releases))
        head = _head(memory)
        tell(head.done / request.releases)
        with os.fdopen(os.dup(memory), "rb") as file:
            wakeups = np.fromfile(file, _WAKEUP, head.records, offset=_HEAD.size)
        return Result(head, wakeups, _core.status(reading.read()), ended)


@contextmanager
def _pipe() -> Iterator[tuple[Any, Any]]:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as out, os.fdopen(writing, "wb") as into:
        yield out, into


def _head(memory: int) -> Head:
    return Head(*_HEAD.unpack(os.pread(memory, _HEAD.size, 0)))

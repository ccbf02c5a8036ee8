# SPDX-License-Identifier: MIT
"""Who runs and watches the tasks? `rtnb-core run`, a process of its own; this is its Python end (run.h)."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtnb import _core
from rtnb.abi import interrupt
from rtnb.command import Command, Ended
from rtnb.rt import plan

__all__ = ["Miss", "Worker"]


@dataclass(frozen=True)
class Miss:
    """Something was not done in time: a job, counted from its release, or a kick, counted from the one before it.

    It was expected after `expected_ns`, and had not come when that was seen, after `actual_ns`. `late_ns` is how late
    the watchdog itself was, `stopped` whether it ended the task for it.
    """

    name: str
    expected_ns: int
    actual_ns: int
    late_ns: int
    stopped: bool


class Worker:
    """The supervisor and watchdog of a memory's tasks, from construction to close().

    A thread passes on what the tasks print, and calls `poll` at least every `every_s`; where `on_miss` is given,
    another calls it with each Miss as it comes. What they raise is in `error`. Raises OSError and NoSuchCommand.
    """

    def __init__(
        self,
        memory: plan.Memory,
        *,
        timeout_s: float | None = None,
        poll: Callable[[], None] | None = None,
        every_s: float = 0.1,
        on_miss: Callable[[Miss], object] | None = None,
        interpreter: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.memory = memory
        self.error: BaseException | None = None
        self.ended: Ended | None = None
        self.status: _core.Status | None = None
        self._ends: dict[threading.Thread, threading.Event] = {}
        with contextlib.ExitStack() as opened:
            self._launch(opened, interpreter, env, pass_fds)
            opened.callback(self.wait)
            opened.callback(lambda: self._command.signal(signal.SIGKILL))
            if on_miss:
                self._spawn(lambda: self._listen(on_miss))
            self._spawn(lambda: self._serve(timeout_s, poll, every_s))
            self._open = opened.pop_all()

    def _launch(
        self,
        opened: contextlib.ExitStack,
        interpreter: Sequence[str],
        env: Mapping[str, str] | None,
        pass_fds: Sequence[int],
    ) -> None:
        (self._status, status), (self._events, events), (control, self._control) = (_pipe(opened) for _ in range(3))
        os.set_blocking(events.fileno(), False)
        named = {"m": self.memory.fd, "s": status.fileno(), "e": events.fileno(), "c": control.fileno()}
        options = [word for name, fd in named.items() for word in (f"-{name}", str(fd))]
        argv = [_core.path(), "run", *options, "-p", str(os.getpid()), "--", *interpreter]
        self._command = opened.enter_context(Command(argv, pass_fds=(*named.values(), *pass_fds), env=env))
        for theirs in (status, events, control):
            theirs.close()

    def _spawn(self, work: Callable[[], None]) -> None:
        # An event, for an interrupt in Thread.join() makes that think of the thread as ended (Python 3.11).
        end = threading.Event()
        thread = threading.Thread(target=self._kept, args=(work, end), daemon=True, name="rtnb-core run")
        thread.start()
        self._ends[thread] = end

    def _kept(self, work: Callable[[], None], end: threading.Event) -> None:
        """What goes wrong in a thread is for the caller."""
        try:
            work()
        except BaseException as e:  # noqa: BLE001
            self.error = self.error or e
            self.ask_to_stop()
        finally:
            end.set()

    def _serve(self, timeout_s: float | None, poll: Callable[[], None] | None, every_s: float) -> None:
        self.ended = self._command.wait(timeout_s, poll, every_s=every_s, whole=True)
        if poll:
            poll()
        self.status = _core.status(self._status.read())

    def _listen(self, on_miss: Callable[[Miss], object]) -> None:
        """Hear of misses as they come, until the watchdog's end."""
        while raw := self._events.read(plan.MISS.itemsize):
            event = np.frombuffer(raw, plan.MISS)[0]
            task = self.memory.tasks()[int(event["task"])]
            expected, detected, since = (int(event[name]) for name in ("expected_ns", "detected_ns", "kick_ns"))
            if not int(task["option"]) & plan.FOREIGN:
                since = expected - int(task["deadline_ns"]) - int(task["tolerance_ns"])
            name, stopped = task["name"].decode(), bool(event["stopped"])
            on_miss(Miss(name, expected - since, detected - since, detected - expected, stopped))

    @property
    def running(self) -> bool:
        """Whether it, or what listens to it, still runs."""
        return not all(end.is_set() for end in self._ends.values())

    def look_again(self) -> None:
        """Let it look at the memory's tasks again: one was added to those that it watches, or taken away."""
        with contextlib.suppress(OSError, ValueError):  # it has ended by itself
            os.write(self._control.fileno(), b"\0")

    def ask_to_stop(self) -> None:
        """Let each task end now, and the watchdog then; returns at once. A job that is cut short is not counted."""
        self.memory.ask_to_stop()
        self.look_again()

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait for the end of all of it, or for as long as that."""
        for thread, end in self._ends.items():
            if thread is not threading.current_thread():  # a callback that ends what has called it
                end.wait(timeout_s)

    @interrupt.held()
    def close(self) -> None:
        """End it now, whatever it is at, with all of its tasks."""
        self._open.close()


def _pipe(opened: contextlib.ExitStack) -> tuple[Any, Any]:
    reading, writing = os.pipe()
    hold = opened.enter_context
    return hold(os.fdopen(reading, "rb", buffering=0)), hold(os.fdopen(writing, "wb", buffering=0))

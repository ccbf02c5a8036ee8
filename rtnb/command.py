# SPDX-License-Identifier: MIT
"""How is a command run, so that its output reaches the reader and an interrupt reaches the command?

One place for all subjects: an argv (never a shell), a process group of its own, output passed on as it
comes, and nothing left behind whatever happens.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import selectors
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TextIO

from rtnb.errors import BadInput, NoSuchCommand

__all__ = ["Command", "Ended", "as_argv", "cannot_start"]

GRACE_S = 1.0
"""How long an interrupted command may take to end by itself, before SIGKILL."""


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit status (-N: signal N), and whether we were interrupted."""

    exit_status: int
    interrupted: bool


def as_argv(command: str | Sequence[str]) -> list[str]:
    """An argv from an argv, or from a line split as a shell would split it. Raises BadInput if it is empty."""
    try:
        words = shlex.split(command) if isinstance(command, str) else [str(word) for word in command]
    except ValueError as e:
        raise BadInput(f"command {command!r}", f"cannot be split into words ({e})", "close the quotes") from e
    words = words[1:] if words[:1] == ["--"] else words
    if not words or not words[0]:
        raise BadInput("command", "there is none", "give a program and its arguments, for example: ls -l")
    return words


def cannot_start(argv: Sequence[str], error: OSError) -> NoSuchCommand:
    """The error for a command that the kernel would not execute."""
    why, hint = {
        errno.ENOENT: ("command not found", "check the name and PATH; for a shell's own words: sh -c '...'"),
        errno.EACCES: ("it is not an executable file", "chmod +x, or name the interpreter before it"),
        errno.ENOEXEC: ("it is no program that this machine can run", "a script wants a first line like #!/bin/sh"),
    }.get(error.errno or 0, (error.strerror or str(error), ""))
    return NoSuchCommand(f"run {shlex.join(argv)[:200]}", why, hint)


class Command:
    """A running command in a process group of its own; as a context manager it never outlives the block.

    Its output goes to `sys.stdout` and `sys.stderr` while `wait()` runs. Raises NoSuchCommand.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        pass_fds: Sequence[int] = (),
        env: Mapping[str, str] | None = None,
        output: bool = True,
    ) -> None:
        self.argv = list(argv)
        sink = subprocess.PIPE if output else subprocess.DEVNULL
        try:
            # Popen forgets a child that an interrupt meets while it is being started.
            with _interrupts_held() as self._held:
                self._process = subprocess.Popen(
                    self.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=sink,
                    pass_fds=pass_fds,
                    env=env,
                    process_group=0,
                )
        except (OSError, ValueError) as e:  # ValueError: a NUL byte in a word
            raise cannot_start(self.argv, e if isinstance(e, OSError) else OSError(0, str(e))) from e
        self.pid = self._process.pid

    def __enter__(self) -> Command:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def wait(
        self, timeout_s: float | None = None, poll: Callable[[], None] | None = None, *, every_s: float = 0.1
    ) -> Ended:
        """Pass output on until the command ends; `poll` is called at least every `every_s`.

        After `timeout_s`, and on an interrupt, the group gets SIGINT, and SIGKILL after a grace second.
        """
        interrupted = False
        try:
            if self._held:
                raise KeyboardInterrupt
            ended = self._pump(timeout_s, poll, every_s)
        except KeyboardInterrupt:
            ended, interrupted = False, True
        if not ended:
            self.signal(signal.SIGINT)
            with contextlib.suppress(KeyboardInterrupt):  # a second interrupt: no grace
                self._pump(GRACE_S, poll, every_s)
        return Ended(self.kill(), interrupted)

    def signal(self, number: int) -> None:
        """Send a signal to the command's group; one that has been reaped gets none."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def kill(self) -> int:
        """End it now if it still runs, close what is open; returns the exit status."""
        if self._process.poll() is None:
            self.signal(signal.SIGKILL)
        status = self._process.wait()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe:
                pipe.close()
        return status

    def _pump(self, timeout_s: float | None, poll: Callable[[], None] | None, every_s: float) -> bool:
        """Pass output on until the command has ended (True) or the time is up (False)."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        with _pidfd(self.pid) as pidfd, selectors.DefaultSelector() as selector:
            selector.register(pidfd, selectors.EVENT_READ)
            for pipe, sink in ((self._process.stdout, sys.stdout), (self._process.stderr, sys.stderr)):
                if pipe:
                    selector.register(pipe, selectors.EVENT_READ, (sink, _decoder()))
            while end is None or time.monotonic() < end:
                ready = [key for key, _ in selector.select(every_s)]
                for key in ready:
                    if key.data and not _pass_on(key.fd, *key.data):
                        selector.unregister(key.fileobj)
                # All that came before the end is read before the end is believed; what a grandchild that
                # holds the pipe may still write is not waited for.
                if ready and all(key.data is None for key in ready):
                    return True
                if poll:
                    poll()
        return False


def _decoder() -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8")("replace")


def _pass_on(fd: int, sink: TextIO, decoder: codecs.IncrementalDecoder) -> bool:
    """Copy what is there; False at the end of the pipe."""
    chunk = os.read(fd, 65536)
    if text := decoder.decode(chunk, final=not chunk):
        sink.write(text)
        sink.flush()
    return bool(chunk)


@contextlib.contextmanager
def _interrupts_held() -> Iterator[list[int]]:
    """Note an interrupt instead of raising it. An ignored one stays so, for the command is to inherit that."""
    came: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield came
        return
    signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _pidfd(pid: int) -> Iterator[int]:
    fd = os.pidfd_open(pid)
    try:
        yield fd
    finally:
        os.close(fd)

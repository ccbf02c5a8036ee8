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
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TextIO

from rtnb import _core
from rtnb.abi import interrupt
from rtnb.errors import BadInput, NoSuchCommand

__all__ = ["Command", "Ended", "Watcher", "as_argv", "cannot_start"]

GRACE_S = 1.0
"""How long an interrupted command may take to end by itself, before SIGKILL."""


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit status (-N: signal N), and whether an interrupt or the time limit ended it.

    `at_ns` is when its end was seen, CLOCK_MONOTONIC: before the rest of its output was passed on.
    """

    exit_status: int
    interrupted: bool
    timed_out: bool
    at_ns: int


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


class Watcher:
    """A process that kills a command's group should this Python be killed first; it sleeps until then.

    It is started before whatever counts or traces the command, and ends after that, so as not to be seen by it.
    Without the C core there is none, and a killed Python may leave its command running.
    """

    def __init__(self) -> None:
        self._pid, self._pipe = 0, -1
        with interrupt.noted() as held:
            try:
                self._start(_core.path())
            except OSError:
                self.close()
        if held:
            self.close()
            raise KeyboardInterrupt

    def _start(self, core: str) -> None:
        reading, self._pipe = os.pipe()
        try:
            self._pid = os.posix_spawn(
                core,
                [core, "watch"],
                {},
                file_actions=[(os.POSIX_SPAWN_DUP2, reading, 0)],
                setpgroup=0,  # what ends the notebook's group is not to end the watcher with it
                setsigmask=signal.valid_signals(),
            )
        finally:
            os.close(reading)

    def __enter__(self) -> Watcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def tell(self, group: int) -> None:
        """Name the group to kill; 0: none."""
        with contextlib.suppress(OSError):  # there is no watcher
            os.write(self._pipe, group.to_bytes(4, sys.byteorder))

    def close(self) -> None:
        """End it, and nothing else: it is dead before the pipe ends."""
        if self._pid:
            with contextlib.suppress(OSError):  # somebody else has ended it, and waited for it
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
        if self._pipe >= 0:
            os.close(self._pipe)
        self._pid, self._pipe = 0, -1


class Command:
    """A running command in a process group of its own; as a context manager it never outlives the block.

    Its output goes to `sys.stdout` and `sys.stderr` while `wait()` runs. With a `watcher`, it does not outlive this
    Python either, its children included; a worker of rtnb-core sees to that by itself. Raises NoSuchCommand.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        pass_fds: Sequence[int] = (),
        env: Mapping[str, str] | None = None,
        output: bool = True,
        watcher: Watcher | None = None,
    ) -> None:
        self.argv = list(argv)
        self._watcher = watcher
        self._at_ns = 0
        sink = subprocess.PIPE if output else subprocess.DEVNULL
        try:
            # Popen forgets a child that an interrupt meets while it is being started.
            with interrupt.noted() as self._held:
                self._process = subprocess.Popen(
                    self.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=sink,
                    pass_fds=pass_fds,
                    env=env,
                    process_group=0,
                )
                if watcher:
                    watcher.tell(self._process.pid)
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
        self,
        timeout_s: float | None = None,
        poll: Callable[[], None] | None = None,
        *,
        every_s: float = 0.1,
        whole: bool = False,
    ) -> Ended:
        """Pass output on until the command ends; `poll` is called at least every `every_s`.

        After `timeout_s`, and on an interrupt, the group gets SIGINT, and SIGKILL when the command has ended or a grace
        second has passed. A command that ends by itself may leave children behind, as in a shell; with `whole` its
        group ends with it.
        """
        ended = interrupted = False
        try:
            if self._held:
                raise KeyboardInterrupt
            ended = self._pump(timeout_s, poll, every_s)
        except KeyboardInterrupt:
            interrupted = True
        if not ended:
            self.signal(signal.SIGINT)
            with contextlib.suppress(KeyboardInterrupt):  # a second interrupt: no grace
                self._pump(GRACE_S, poll, every_s)
        if whole or not ended:
            self.signal(signal.SIGKILL)
        status = self._reap()
        return Ended(status, interrupted, not (ended or interrupted), self._at_ns)

    def signal(self, number: int) -> None:
        """Send a signal to the command's group; one that has been reaped gets none."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def kill(self) -> int:
        """End it now with all its group, unless that was waited for; returns the exit status."""
        self.signal(signal.SIGKILL)
        return self._reap()

    def _reap(self) -> int:
        """Wait for its end, close what is open. Until here the group's number was its own, alive or not."""
        if self._watcher and self._process.returncode is None:
            self._watcher.tell(0)
        status = self._process.wait()
        self._at_ns = self._at_ns or time.monotonic_ns()
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
                if any(key.fd == pidfd for key in ready):
                    # All that it wrote is in the pipes by now; what its children still write is not waited for.
                    self._at_ns = time.monotonic_ns()
                    for key in filter(lambda key: key.data, selector.get_map().values()):
                        _pass_on_the_rest(key.fd, *key.data)
                    return True
                for key in ready:
                    if not _pass_on(key.fd, *key.data):
                        selector.unregister(key.fileobj)
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


def _pass_on_the_rest(fd: int, sink: TextIO, decoder: codecs.IncrementalDecoder) -> None:
    """Copy what is in the pipe now, and no more: others may go on writing for ever."""
    import fcntl  # Windows has neither module, and loads recordings all the same
    import termios

    there = int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)
    if text := decoder.decode(os.read(fd, there), final=True):
        sink.write(text)
        sink.flush()


@contextlib.contextmanager
def _pidfd(pid: int) -> Iterator[int]:
    fd = os.pidfd_open(pid)
    try:
        yield fd
    finally:
        os.close(fd)

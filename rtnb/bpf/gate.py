# SPDX-License-Identifier: MIT
"""How is a program attached to a command before its first instruction? The command is there, and waits."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
from collections.abc import Sequence
from types import TracebackType

from rtnb import caps
from rtnb.command import Command, Watcher, cannot_start
from rtnb.errors import NoSuchCommand

__all__ = ["Gate"]


class Gate:
    """A command that has its pid already and starts at open(); as a context manager it never outlives the block.

    Raises NoSuchCommand for what is not on PATH, NotSupported where rtnb has no C core.
    """

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = list(argv)
        path = argv[0] if "/" in argv[0] else shutil.which(argv[0])
        if not path or not os.path.exists(path):
            raise cannot_start(argv, FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), argv[0]))
        core = caps.core_path(f"run {argv[0]}")
        with contextlib.ExitStack() as opened:
            watcher = opened.enter_context(Watcher())
            self._ours, theirs = map(opened.enter_context, socket.socketpair())
            self.command = opened.enter_context(self._waiting(core, theirs, path, watcher))
            theirs.close()
            self._opened = opened.pop_all()
        self.pid = self.command.pid

    def _waiting(self, core: str, theirs: socket.socket, path: str, watcher: Watcher) -> Command:
        fd = theirs.fileno()
        try:
            return Command([core, "gate", str(fd), path, *self._argv], pass_fds=(fd,), watcher=watcher)
        except NoSuchCommand as e:  # a word with a NUL byte, or too many words: say it of the command, not of the gate
            error = e.__cause__ if isinstance(e.__cause__, OSError) else OSError(0, e.why)
            raise cannot_start(self._argv, error) from e

    def __enter__(self) -> Gate:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def open(self) -> None:
        """Let it run. Raises NoSuchCommand where the kernel will not execute it."""
        self._ours.send(b"!")
        if refused := self._ours.recv(4):  # the socket ends with the execve
            number = int.from_bytes(refused, "little")
            raise cannot_start(self._argv, OSError(number, os.strerror(number), self._argv[0]))

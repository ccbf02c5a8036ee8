# SPDX-License-Identifier: MIT
"""What can go wrong, and how it is told.

    RtnbError                   three parts: what was tried, what the kernel said and why, what you can do
    ├── Unavailable             this kernel, here, now, will not do it; `--or PATH` falls back on this alone
    │   ├── NotPermitted        it exists, and you may not
    │   └── NotSupported        it does not exist here
    ├── BadInput                an argument means nothing: a duration, an event, a name (also a ValueError)
    │   ├── NoSuchCommand       the command cannot be started (also an OSError's meaning, kept as the cause)
    │   └── NoSuchTask          the pid or tid is gone
    ├── BadRecording            the path is not a recording, or a damaged one, or of an unknown schema
    ├── CompileError            clang refused the cell's C
    ├── VerifierError           the kernel's verifier refused the compiled program
    └── WorkerError             a part of rtnb itself failed: please report it

The `OSError`, where there is one, is always the `__cause__`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar

from rtnb.text import printable

__all__ = [
    "BadInput",
    "BadRecording",
    "CompileError",
    "NoSuchCommand",
    "NoSuchTask",
    "NotPermitted",
    "NotSupported",
    "RtnbError",
    "Unavailable",
    "VerifierError",
    "WorkerError",
    "closest",
]


class RtnbError(Exception):
    """What was tried, why it failed, and what to do: at most three lines, and no control characters.

    >>> print(RtnbError("perf_event_open(cycles)", "this machine has no hardware counters", "try task-clock"))
    perf_event_open(cycles): this machine has no hardware counters
    hint: try task-clock
    """

    _why_lines: ClassVar[int] = 1

    def __init__(self, tried: str, why: str, hint: str = "") -> None:
        super().__init__(tried, why, hint)
        self.tried, self.why, self.hint = tried, why, hint

    def __str__(self) -> str:
        # The parts hold what others wrote: commands, paths, a recording's header.
        why = "\n".join(map(printable, self.why.split("\n", self._why_lines - 1)))
        return f"{printable(self.tried)}: {why}" + (f"\nhint: {printable(self.hint)}" if self.hint else "")

    def _render_traceback_(self) -> list[str]:
        """IPython shows these lines instead of a traceback."""
        return [f"{type(self).__name__}: {line}" if i == 0 else line for i, line in enumerate(str(self).split("\n"))]


class Unavailable(RtnbError):
    """The running kernel will not do this here: the one error on which `--or PATH` falls back."""


class NotPermitted(Unavailable):
    """The kernel has it, and this process may not use it."""


class NotSupported(Unavailable):
    """The kernel, the machine or the installation does not have it."""


class BadInput(RtnbError, ValueError):
    """An argument that means nothing, with the closest that does."""


class NoSuchCommand(BadInput):
    """The command cannot be started: not found, not executable, not a program."""


class NoSuchTask(BadInput):
    """The process or thread is gone, or never was."""


class BadRecording(RtnbError):
    """Not a recording, a damaged one, or one of an unknown schema."""


class CompileError(RtnbError):
    """clang refused the cell's C; the lines are the cell's own, `log` holds all that it said."""

    _why_lines = 2  # what is wrong, and below it the cell's line

    def __init__(self, tried: str, why: str, hint: str = "", log: str = "") -> None:
        super().__init__(tried, why, hint)
        self.log = log


class VerifierError(RtnbError):
    """The kernel's verifier refused the program; `log` holds all that it said."""

    _why_lines = 2

    def __init__(self, tried: str, why: str, hint: str = "", log: str = "") -> None:
        super().__init__(tried, why, hint)
        self.log = log


class WorkerError(RtnbError):
    """A part of rtnb failed in a way that no user's input should cause."""


def closest(word: str, known: Iterable[str], n: int = 3) -> str:
    """A sentence naming the known words nearest to `word`, or an empty one.

    >>> closest("opnat", ["open", "openat", "read"])
    'did you mean openat, open?'
    """
    near = difflib.get_close_matches(word, list(known), n=n, cutoff=0.6)
    return f"did you mean {', '.join(near)}?" if near else ""

# SPDX-License-Identifier: MIT
"""Run a command under the ptrace loop of `rtnb-core trace`, and collect what it recorded."""

from __future__ import annotations

import errno
import mmap
import os
import shlex
import shutil
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from rtnb import _core, caps
from rtnb.command import Command, Ended, as_argv, cannot_start
from rtnb.errors import NoSuchCommand, WorkerError
from rtnb.recording import Header, Recording
from rtnb.strace import frame, names

__all__ = ["run"]

ROWS_MAX = 1 << 22
"""Rows kept of one run, some 400 MB of the tracer's records; further ones are counted as lost."""

_BIRTHS = ("clone", "clone3", "fork", "vfork")


def run(
    command: str | Sequence[str], *, trace: str | Sequence[str] | None = None, follow_forks: bool = False
) -> Recording:
    """Run a command and record its system calls, signals and ends: one table, "calls" (rtnb.strace.Call).

    `trace` names the calls to record (`openat,read`), all by default; signals and ends always come. Without
    `follow_forks` only the command's first thread is traced, as strace does without -f. With both, calls that
    are not named run at full speed behind a seccomp filter; they then are not seen where the command's own
    filter refuses them, and set-user-ID programs run as under any tracer: without their privilege, unless
    the tracer is root. Without `follow_forks` there is no such filter, since a child that nobody traces would
    inherit it and get ENOSYS. 32-bit programs are recorded only where all calls are (`i386_syscall_5`).

    The header's exit status is the command's; details: clock, follow_forks, trace. Rows past 4,194,304 are lost.
    Raises NoSuchCommand, BadInput for an unknown name, NotPermitted or NotSupported where ptrace is refused.
    Source: ptrace(2), seccomp(2).

    >>> run("true").tables["calls"]["name"].iloc[0]
    'execve'
    """
    caps.linux("strace")
    argv = as_argv(command)
    wanted = names.wanted(trace)
    tried = f"trace {shlex.join(argv)[:200]}"
    core = caps.core_path(tried)
    what = ["-c", names.plan(wanted), "-x", _program(argv), *(["-f"] if follow_forks else [])]
    started = time.monotonic_ns()
    with _core.memfd("records") as records, _core.memfd("strings") as strings, _core.memfd("status") as report:
        fds = {"-r": records, "-t": strings, "-s": report}
        numbers = {**fds, "-P": os.getpid(), "-l": ROWS_MAX}
        options = [word for option, number in numbers.items() for word in (option, str(number))]
        ended = _wait(argv, [core, "trace", *options, *what, "--", *argv], tuple(fds.values()))
        status = _status(report, tried, argv, ended)
        rows = _rows(_content(records))
        calls = frame.calls(rows, _content(strings), interrupted=ended.interrupted)
    header = Header(
        "strace",
        tuple(argv),
        "ptrace (C)",
        exit_status=os.waitstatus_to_exitcode(status.wait_status),
        interrupted=ended.interrupted,
        lost=status.lost + max(0, status.records - len(rows)),
        duration_ns=time.monotonic_ns() - started,
        notes=tuple(_notes(calls, wanted, follow_forks)),
        details={"clock": "CLOCK_MONOTONIC", "follow_forks": follow_forks, "trace": list(wanted) if wanted else None},
    )
    return Recording(header, {"calls": calls})


def _program(argv: Sequence[str]) -> str:
    """The path to execute: a name without a slash is looked up in PATH, once, as strace does. Raises NoSuchCommand."""
    program = argv[0] if "/" in argv[0] else shutil.which(argv[0])
    if program is None:
        error = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), argv[0])
        raise cannot_start(argv, error) from error
    return program


def _wait(argv: Sequence[str], tracer: Sequence[str], fds: Sequence[int]) -> Ended:
    try:
        with Command(tracer, pass_fds=fds) as running:
            return running.wait()
    except NoSuchCommand as e:  # the tracer's argv is the command's and more: a NUL byte, too long a word
        error = e.__cause__ if isinstance(e.__cause__, OSError) else OSError(0, e.why)
        raise cannot_start(argv, error) from error


def _status(fd: int, tried: str, argv: Sequence[str], ended: Ended) -> _core.Status:
    """How the tracer ended. Raises NoSuchCommand, NotPermitted, NotSupported, WorkerError."""
    status = _core.read_status(fd)
    if status is None:
        if ended.interrupted and ended.exit_status < 0:  # killed after the grace second, as the command was
            return _core.Status(0, -ended.exit_status, 0, 0, "")
        raise WorkerError(tried, f"the tracer ended by itself (exit status {ended.exit_status})", "please report it")
    if status.error:
        refusal = OSError(status.error, os.strerror(status.error), status.what)
        if status.what == "execve":
            raise cannot_start(argv, refusal) from refusal
        raise caps.refused("strace.ptrace", tried, refusal) from refusal
    return status


def _notes(calls: pd.DataFrame, wanted: Sequence[str] | None, follow_forks: bool) -> Iterator[str]:
    if calls.empty:
        yield "no row: it ended before the command's first system call"
    elif wanted and not (calls["kind"] == "call").any():
        where = "the command and its children" if follow_forks else "the command's first thread"
        yield f"no call of {', '.join(wanted)} in {where}"
    if not follow_forks and (born := int((calls["name"].isin(_BIRTHS) & (calls["ret"] > 0)).sum())):
        yield f"not followed: {born} {'child or thread' if born == 1 else 'children or threads'} (follow_forks, -f)"


def _content(fd: int) -> mmap.mmap | bytes:
    """All that was written, mapped; an empty file cannot be."""
    size = os.fstat(fd).st_size
    return mmap.mmap(fd, size, prot=mmap.PROT_READ) if size else b""


def _rows(content: mmap.mmap | bytes) -> np.ndarray[Any, Any]:
    """The whole records: a killed tracer may leave a part of one."""
    return np.frombuffer(content, frame.RECORD, count=len(content) // frame.RECORD.itemsize)

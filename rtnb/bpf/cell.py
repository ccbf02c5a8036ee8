# SPDX-License-Identifier: MIT
"""What does a %%bpf cell do? Compile, load, attach, watch for a while or while a command runs, and read it all."""

from __future__ import annotations

import contextlib
import os
import re
import select
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rtnb import caps
from rtnb.abi.interrupt import held
from rtnb.bpf import prelude
from rtnb.bpf.compiler import Compiled, compile
from rtnb.bpf.gate import Gate
from rtnb.bpf.program import Program
from rtnb.command import Ended, as_argv
from rtnb.errors import NoSuchTask
from rtnb.recording import Header, Recording
from rtnb.units import duration_ns, in_words

__all__ = ["DEFAULT_S", "run"]

DEFAULT_S = 5
"""Seconds for which a cell watches where neither a duration nor a command says how long."""
POLL_S = 0.05
"""The rings are emptied this often."""


@dataclass(frozen=True)
class _Watched:
    """How the watching ended."""

    ns: int
    interrupted: bool
    exit_status: int | None = None
    notes: tuple[str, ...] = ()


def run(
    source: str,
    *,
    duration: str | float | None = None,
    pid: int | None = None,
    command: str | Sequence[str] | None = None,
    progress: Callable[[float], None] | None = None,
) -> Recording:
    """Attach the programs of a cell of C; return its maps, ring buffers and global variables, a frame each.

    source    C as for libbpf. The kernel's types, libbpf's headers and the licence are there already.
    duration  how long to watch: "500ms", "5s", or seconds. Default: while `command` runs, else 5 s, and no
              longer than `pid` lives. A command that runs longer gets SIGINT.
    pid       the process to look at. The cell's C has it as `target_pid`, and `FILTER_PID();` leaves a program
              that runs in any other; uprobes are attached to it alone.
    command   an argv, or a line split into words (no shell). It starts once all is attached: its execve is the
              first call that is seen. Without `pid`, it is `target_pid`: all its threads, and not its children.
    progress  gets the fraction of the duration that has passed, about twenty times a second, unless a command runs.

    `header.lost` counts records for which a ring buffer had no room. Raises BadInput, NoSuchTask, NoSuchCommand,
    CompileError and VerifierError (both name the cell's line), NotPermitted, NotSupported.

    >>> run('long calls; SEC("raw_tp/sys_enter") int f(void *ctx) { FILTER_PID(); calls++; return 0; }',
    ...     command="true").tables["globals"]  # doctest: +SKIP
       calls
    0     30
    """
    caps.linux("bpf")
    limit_ns = None if duration is None else duration_ns(duration, unit="s")
    argv = None if command is None else as_argv(command)
    with contextlib.ExitStack() as opened:
        alive = opened.enter_context(_pidfd(pid)) if pid is not None else None
        compiled = compile(source)
        with held():  # an interrupt ends it before it began, and what there is by then is closed
            gate = opened.enter_context(Gate(argv)) if argv else None
            target = pid or (gate.pid if gate else 0)
            program = opened.enter_context(Program(compiled, target))
            program.attach(target)
        watched = _while_it_runs(program, gate, limit_ns) if gate else _for_a_while(program, limit_ns, alive, progress)
        program.detach()
        return _recording(program, watched, argv, pid)


def _while_it_runs(program: Program, gate: Gate, limit_ns: int | None) -> _Watched:
    start = time.monotonic_ns()
    gate.open()
    timeout = None if limit_ns is None else limit_ns / 1e9
    ended: Ended = gate.command.wait(timeout, program.poll, every_s=POLL_S)
    notes = (f"the command was ended by the duration of {in_words(limit_ns or 0)}",) if ended.timed_out else ()
    return _Watched(time.monotonic_ns() - start, ended.interrupted, ended.exit_status, notes)


def _for_a_while(
    program: Program, limit_ns: int | None, alive: int | None, progress: Callable[[float], None] | None
) -> _Watched:
    """Until the time is up, the process that is looked at has ended, or an interrupt."""
    start = time.monotonic_ns()
    end = start + (DEFAULT_S * 10**9 if limit_ns is None else limit_ns)
    interrupted = False
    try:
        gone: list[int] = []
        while not gone and (left := end - time.monotonic_ns()) > 0:
            gone = select.select([alive] if alive is not None else [], [], [], min(POLL_S, left / 1e9))[0]
            program.poll()
            if progress:
                progress((time.monotonic_ns() - start) / (end - start))
    except KeyboardInterrupt:
        interrupted = True
    return _Watched(time.monotonic_ns() - start, interrupted)


@contextlib.contextmanager
def _pidfd(pid: int) -> Iterator[int]:
    """A descriptor that becomes readable when the process ends. Raises NoSuchTask."""
    try:
        fd = os.pidfd_open(pid)
    except (OSError, OverflowError) as e:
        hint = (
            "a thread's number is not enough: give its process"
            if os.path.exists(f"/proc/{pid}")
            else "ps shows those that run"
        )
        raise NoSuchTask(f"look at process {pid}", "there is no such process", hint) from e
    try:
        yield fd
    finally:
        os.close(fd)


def _recording(program: Program, watched: _Watched, argv: list[str] | None, pid: int | None) -> Recording:
    compiled: Compiled = program.compiled
    tables = program.tables()
    header = Header(
        kind="bpf",
        source=(compiled.source,),
        engine=program.engine,
        exit_status=watched.exit_status,
        interrupted=watched.interrupted,
        lost=program.lost(),
        duration_ns=watched.ns,
        notes=(*watched.notes, *program.notes(tables, in_words(watched.ns)), *_advice(program, pid)),
        details={
            "command": argv or [],
            "pid": pid or 0,
            "programs": program.sections(),
            "warnings": list(compiled.warnings),
        },
    )
    return Recording(header, tables)


def _advice(program: Program, pid: int | None) -> Iterator[str]:
    """What the cell asks for and does not get."""
    words = prelude.read(program.compiled.source).words
    uprobes = any(re.match("u(ret)?probe/", section) for section in program.sections().values())
    if pid is not None and not uprobes and not words & {prelude.TARGET_PID, "FILTER_PID"}:
        yield f"every process was seen: put FILTER_PID(); at the start of a program to leave out all but {pid}"
    if "bpf_printk" in words:
        yield "bpf_printk writes to the trace pipe, which rtnb does not read: use a ring buffer"

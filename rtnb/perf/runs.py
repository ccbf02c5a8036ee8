# SPDX-License-Identifier: MIT
"""How many events did it take? Around a command, as perf stat does it, or around the caller's own code."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rtnb import caps, schema
from rtnb.caps.perf import taken_away
from rtnb.command import Command, Ended, Watcher, as_argv
from rtnb.errors import BadInput
from rtnb.perf.counters import Counters, frame, notes
from rtnb.perf.names import Asked, parse
from rtnb.recording import Header, Recording
from rtnb.units import in_words

__all__ = ["counting", "stat"]

_WORTH_TELLING = 0.02
"""What older threads used, of the block's time, from where on it is told: an idle notebook's stay below."""


def stat(command: str | Sequence[str], *, event: str | Sequence[str] | None = None, repeat: int = 1) -> Recording:
    """Run a command, `repeat` times, and count its events: perf stat's job, by perf_event_open(2) itself.

    The table "counters" (perf.counters) has a row per event and run. The command's threads, children and theirs are
    counted, from its exec on; what rtnb does is not. A program that gains privileges (set-uid) is not counted by the
    kernel: the rows say so of the command itself, and cannot of a program that it starts. On an interrupt: what had
    been counted by then.
    Raises BadInput, NoSuchCommand; NotSupported or NotPermitted where not one event can be counted.

    >>> stat("true", event="page-faults,cycles").frame[["event", "value", "status"]]
             event  value         status
    0  page-faults     48        counted
    1       cycles   <NA>  not supported
    """
    caps.linux("perf_stat")
    asked, argv = parse(event), as_argv(command)
    if not isinstance(repeat, int) or isinstance(repeat, bool) or repeat < 1:
        raise BadInput(f"repeat {repeat!r}", "must be a whole number above zero", "for example: -r 5")
    rows: list[tuple[Any, ...]] = []
    ends: list[Ended] = []
    with Watcher() as watcher:  # before there are counters: it would inherit them, and its exec enable them
        for run in range(repeat):
            ends.append(_run(argv, asked, run, rows, watcher))
            if ends[-1].interrupted:
                rows = [_cut_short(row) if row[0] == run else row for row in rows]
                break
    return _recording(
        rows,
        asked,
        source=tuple(argv),
        exit_status=ends[-1].exit_status,
        interrupted=ends[-1].interrupted,
        details={"scope": "command", "repeat": repeat, "exit_statuses": [end.exit_status for end in ends]},
    )


def _cut_short(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A run that an interrupt ended is told, and no part of a mean."""
    told = dict(zip([c.name for c in schema.TABLES["perf.counters"].columns], row, strict=True))
    return tuple((told | {"status": "interrupted", "why": "this run was interrupted"}).values())


def _run(argv: list[str], asked: Sequence[Asked], run: int, rows: list[tuple[Any, ...]], watcher: Watcher) -> Ended:
    # The command inherits the disabled counters of this thread, and its exec enables them there and not here:
    # no process has to stand at the start line, and none of our own work is counted.
    with Counters(asked, "enable_on_exec") as counters:
        start = time.monotonic_ns()
        with Command(argv, watcher=watcher) as child:
            end = child.wait()
        rows += counters.read(run, end.at_ns - start, taken_away(argv[0]))
    return end


class counting:  # lower case, as contextlib's
    """Count the events of a block of the caller's own code; `%%perf_stat` is made of it.

    Counted are the calling thread, and the threads and processes that are started within the block. Threads that
    were there before are not, and a note says so where they worked meanwhile. Afterwards `.recording` holds the same
    table as of `stat()`, also when the block raised. Raises as `stat()` does.

    >>> with counting("page-faults") as counters:
    ...     block = bytearray(10_000_000)
    >>> counters.recording.frame.value.item()
    2442
    """

    def __init__(self, event: str | Sequence[str] | None = None) -> None:
        self._asked = parse(event)
        self._recording: Recording | None = None

    @property
    def recording(self) -> Recording:
        if self._recording is None:
            raise BadInput("counting", "there is no recording before the block has ended")
        return self._recording

    def __enter__(self) -> counting:
        caps.linux("perf_stat")
        self._older = _older_threads()
        self._counters = Counters(self._asked)
        self._start = time.monotonic_ns()
        self._counters.enable()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._counters as counters:
            counters.disable()
            rows = counters.read(0, time.monotonic_ns() - self._start)
        interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
        self._recording = _recording(
            rows, self._asked, source=(), exit_status=None, interrupted=interrupted, details={"scope": "thread"}
        )
        self._tell_of_older_threads()

    def _tell_of_older_threads(self) -> None:
        """A numerical library's pool, say, which was made long before and did the block's work."""
        grown = {tid: ns - self._older[tid] for tid, ns in _older_threads().items() if tid in self._older}
        used = sum(grown.values())
        if self._recording and used > _WORTH_TELLING * self._recording.header.duration_ns:
            note = f"not counted: {in_words(used)} of CPU time of threads that were there before"
            header = self._recording.header
            self._recording = self._recording.with_header(notes=(*header.notes, note))


def _older_threads() -> dict[int, int]:
    """This process's other threads, each with the CPU time that it has used, in ns (proc(5), schedstat)."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # it has ended
            found[int(task.name)] = int((task / "schedstat").read_text().split()[0])
    found.pop(threading.get_native_id(), None)
    return found


def _recording(
    rows: list[tuple[Any, ...]], asked: Sequence[Asked], details: dict[str, Any], **header: Any
) -> Recording:
    details = {"events": [one.text for one in asked], **details}
    elapsed = sum({row[0]: row[-1] for row in rows}.values())
    made = Header(
        "perf_stat", engine="perf_event_open", duration_ns=elapsed, notes=notes(rows), details=details, **header
    )
    return Recording(made, {"counters": frame(rows)})

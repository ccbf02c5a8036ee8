# SPDX-License-Identifier: MIT
"""What is shown of a recording? A view: what makes it, and the Python that does the same (`--code`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from rtnb import rt
from rtnb.errors import BadInput
from rtnb.recording import Recording
from rtnb.units import duration_ns

__all__ = ["FRAME", "SUMMARY", "View", "histogram", "json", "taskset"]


class View(NamedTuple):
    """`make` of a recording is what `code` is in Python."""

    code: str
    make: Callable[[Recording], Any]


FRAME = View("recording.frame", lambda recording: recording.frame)
SUMMARY = View("recording.frame.rtnb.summary()", lambda recording: _first(recording).rtnb.summary())


def taskset(name: str | None, cell: str, unit: str) -> View:
    """The tables; in Python also the set itself, where it is to have a name."""
    if name is None:
        return FRAME
    more = f", unit={unit!r}" if unit else ""
    return View(f"{name} = rtnb.theory.TaskSet({cell!r}{more})\nrecording.frame", FRAME.make)


def histogram(bucket: str | None) -> View:
    """The counts of the first table in buckets of that width; the frame where none is asked for."""
    if bucket is None:
        return FRAME
    duration_ns(bucket, what="histogram")  # before anything runs: what was measured is not to be lost
    return View(
        f"rtnb.rt.histogram(next(iter(recording.tables.values())), {bucket!r})",
        lambda recording: rt.histogram(_first(recording), bucket),
    )


def json(path: str | None) -> list[View]:
    """A file as cyclictest --json writes it, where one is asked for."""
    if not path:
        return []
    if not Path(path).expanduser().parent.is_dir():
        raise BadInput(f"--json {path}", "it cannot be written: there is no such folder", "choose another path")
    return [View(f"rtnb.rt.write_json(recording, {path!r})", lambda recording: rt.write_json(recording, path))]


def _first(recording: Recording) -> Any:
    return next(iter(recording.tables.values()))

# SPDX-License-Identifier: MIT
"""What is in another tool's file? Its text, its numbers, and a Recording of them; or what is wrong with it."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from rtnb import schema
from rtnb.errors import BadRecording
from rtnb.recording import Header, Recording
from rtnb.rt.hdr import UNBOUNDED
from rtnb.rt.jobs import Histogram, Summary
from rtnb.rt.latency import PERCENTILES

__all__ = ["Damaged", "Found", "mean", "reading", "text", "whole"]

_MOST_BYTES = 256 * 2**20
_LONGEST_NS = 2**53
"""104 days: what a time in another tool's file is at most."""


class Damaged(Exception):
    """What is wrong with a file, in a sentence; `reading` tells it."""


@contextlib.contextmanager
def reading(path: str | os.PathLike[str], tool: str) -> Iterator[None]:
    """Around the reading of a tool's file: what cannot be understood is told as BadRecording."""
    hint = f"it reads what {tool} wrote, unabridged"
    try:
        yield
    except (Damaged, ValueError, RecursionError) as e:
        why = str(e) if isinstance(e, Damaged) else f"it is damaged ({' '.join(str(e).split())[:120]})"
        raise BadRecording(f"read {os.fspath(path)}", why, hint) from e
    except OSError as e:
        raise BadRecording(f"read {os.fspath(path)}", f"it cannot be read ({e.strerror})") from e


def text(path: str | os.PathLike[str]) -> str:
    """The text of a file. Raises Damaged and OSError."""
    file = Path(path).expanduser()
    if file.exists() and not file.is_file():
        raise Damaged("it is no file")  # a FIFO would wait for ever, /dev/zero never end
    with file.open("rb") as opened:
        raw = opened.read(_MOST_BYTES + 1)
    if len(raw) > _MOST_BYTES:
        raise Damaged(f"it has more than {_MOST_BYTES:,} bytes")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Damaged("it is no text") from None


def whole(value: Any, what: str, unit_ns: int = 1) -> int:
    """A whole number from 0 on, of text or JSON; in units of `unit_ns` where it is a time. Raises Damaged."""
    digits = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20
    if not digits and type(value) is not int:
        raise Damaged(f"its {what} is no whole number: {str(value)[:40]!r}")
    if not 0 <= int(value) * unit_ns < _LONGEST_NS:
        raise Damaged(f"its {what} is out of range: {str(value)[:40]}")
    return int(value) * unit_ns


def mean(value: Any, what: str, unit_ns: int = 1) -> float:
    """A number from 0 on with or without a point, as ns. Raises Damaged."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise Damaged(f"its {what} is no number")
    ns = float(value) * unit_ns  # ValueError is told by `reading`
    if not (math.isfinite(ns) and 0 <= ns < _LONGEST_NS):
        raise Damaged(f"its {what} is out of range")
    return ns


@dataclass
class Found:
    """What a file held, until it is a Recording."""

    tool: str
    source: Sequence[str]
    buckets: list[tuple[str, str, int, int, int]] = field(default_factory=list)
    """Rows of rt.histogram."""
    printed: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    """By task and measure: samples, min_ns, mean_ns, max_ns, as far as the tool printed them."""
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What is known of each task: policy, priority, period_ns."""
    details: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    header: dict[str, Any] = field(default_factory=dict)
    """Fields of the header that the file tells."""

    def above(self, task: str, measure: str, limit_ns: int, count: int) -> None:
        """Samples that the tool's own buckets did not hold: a row of their own, never lost."""
        if count:
            self.buckets.append((task, measure, limit_ns, UNBOUNDED, count))
            self.notes.append(f"{task}: {count:,} samples of {measure} lie above its buckets: NaN percentiles")

    def recording(self, path: str | os.PathLike[str], df: pd.DataFrame | None = None) -> Recording:
        """The Recording: of `df`, or of the buckets, or where there are none, of what was printed."""
        made = df if df is not None else _histogram(self.buckets) if self.buckets else _summary(self)
        table = str(made.attrs["rtnb"]["table"]).removeprefix("rt.")
        details = {"tasks": self.tasks, "printed": self.printed, **self.details}
        written = datetime.fromtimestamp(Path(path).expanduser().stat().st_mtime, UTC).isoformat(timespec="seconds")
        if "started" not in self.header:
            self.notes.append("its date is that of the file, which names none")
        # This host's kernel is not the one on which the tool ran.
        told = {"kernel": "unknown", "machine": "unknown", "started": written, **self.header}
        header = Header(
            "rt_task",
            tuple(self.source),
            self.tool,
            mode="recorded",
            notes=tuple(self.notes),
            details=details,
            **told,
        )
        return Recording(header, {table: made})


def _histogram(rows: list[tuple[str, str, int, int, int]]) -> pd.DataFrame:
    names = [column.name for column in schema.TABLES["rt.histogram"].columns]
    return schema.frame(Histogram, dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


def _summary(found: Found) -> pd.DataFrame:
    """What a tool that prints no histogram knows: rt.summary, its percentiles NaN."""
    each = [(task, measure, of) for task, by in found.printed.items() for measure, of in by.items()]
    if not each:
        return schema.empty(Histogram)

    def us(name: str) -> list[float]:
        return [of.get(f"{name}_ns", math.nan) / 1000 for *_, of in each]

    tasks = [found.tasks.get(task, {}) for task, *_ in each]
    columns = {
        "task": [task for task, *_ in each],
        "measure": [measure for _, measure, _ in each],
        "policy": [str(task.get("policy", "")) for task in tasks],
        "priority": [int(task.get("priority", 0)) for task in tasks],
        "samples": [int(of["samples"]) for *_, of in each],
        **dict.fromkeys(["missed", "overruns"], [0] * len(each)),
        **dict.fromkeys(["std_us", *PERCENTILES], [math.nan] * len(each)),
        **{f"{name}_us": us(name) for name in ("min", "mean", "max")},
        "jitter_us": [high - low for low, high in zip(us("min"), us("max"), strict=True)],
    }
    return schema.frame(Summary, columns)

# SPDX-License-Identifier: MIT
"""What did the kernel do while the tasks ran? Its switches, wake-ups and interrupts, as the tracepoints tell them.

Each CPU's events go into one ring of perf_event_open(2), stamped with CLOCK_MONOTONIC as the jobs are. Nothing of
it is left behind even by a killed notebook: an instance in tracefs would be.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtnb import caps
from rtnb.abi import interrupt, mount
from rtnb.abi import perf_event as abi
from rtnb.abi.tracepoint import Tracepoint, tracepoint
from rtnb.sched.admission.facts import online

__all__ = ["Events", "Tracer"]

SCHED = ("sched/sched_switch", "sched/sched_waking")
IRQS = (
    *(f"irq/{name}" for name in ("irq_handler_entry", "irq_handler_exit", "softirq_entry", "softirq_exit")),
    *(
        f"irq_vectors/{name}_{end}"
        for name in ("local_timer", "reschedule", "call_function", "call_function_single")
        for end in ("entry", "exit")
    ),
)
"""What counts as an interrupt. `irq_vectors` is x86's own; its irq_work, which wakes perf itself, is not let out."""
PAGES = 1024
"""Of each CPU's ring: 4 MiB hold some 40,000 switches between two drains."""
REAL_TIME = "prev_prio < 100 || next_prio < 100"
"""Of switches, where all tasks are real-time: while one of them waits, no others can be switched to."""

_RECORD = struct.Struct("<IHH")  # struct perf_event_header
_SAMPLE = struct.Struct("<QIH")  # PERF_SAMPLE_TIME, PERF_SAMPLE_RAW's size, and its first field: the tracepoint
_RAW = 20  # from the header's start to the raw record


@dataclass(frozen=True)
class Events:
    """What was seen on all CPUs: for each tracepoint an array of its records, in order of `time_ns`."""

    by_name: dict[str, np.ndarray[Any, Any]]
    lost: int


class Tracer:
    """The tracepoints of this machine's CPUs, from construction to close(). `drain()` it ten times a second.

    Raises NotPermitted, NotSupported. Source: perf_event_open(2), tracepoints of include/trace/events/sched.h, irq.h.
    """

    def __init__(self, *, only_real_time: bool) -> None:
        self._open = contextlib.ExitStack()
        self._rings: dict[int, abi.Ring] = {}
        self._parts: dict[int, list[bytes]] = {}
        try:
            with interrupt.held():
                self._start(only_real_time)
        except OSError as e:
            self.close()
            raise caps.refused("rt.trace", "trace the scheduler", e) from e
        except BaseException:
            self.close()
            raise

    def _start(self, only_real_time: bool) -> None:
        with mount.tracefs() as (folder, _):
            self._points = list(_known(folder))
        for cpu in sorted(online()):
            fds = [self._event(point, cpu, only_real_time) for point in self._points]
            self._rings[cpu] = self._open.enter_context(abi.Ring(fds[0], PAGES))
            for fd in fds[1:]:
                abi.set_output(fd, fds[0])
            for fd in fds:
                abi.enable(fd)
            self._parts[cpu] = []

    def _event(self, point: Tracepoint, cpu: int, only_real_time: bool) -> int:
        fields = {"sample_period": 1, "sample_type": abi.PERF_SAMPLE_TIME | abi.PERF_SAMPLE_RAW, "clockid": 1}
        kind = abi.PERF_TYPE_TRACEPOINT
        fd = abi.perf_event_open(kind, point.id, "disabled", "use_clockid", pid=-1, cpu=cpu, **fields)
        self._open.callback(os.close, fd)
        if only_real_time and point.name in SCHED:
            abi.set_filter(fd, REAL_TIME if point.name == SCHED[0] else "prio < 100")
        return fd

    def drain(self) -> None:
        """Take what has come out of the rings, so that they do not overflow."""
        for cpu, ring in self._rings.items():
            if part := ring.drain():
                self._parts[cpu].append(part)

    def events(self) -> Events:
        """All that was drained."""
        found: dict[str, list[np.ndarray[Any, Any]]] = {point.name: [] for point in self._points}
        lost = 0
        for cpu, parts in self._parts.items():
            raw = b"".join(parts)
            starts, missing = _starts(raw)
            lost += missing
            for point in self._points:
                found[point.name].append(_rows(raw, starts.get(point.id, []), point, cpu))
        merged = {name: np.concatenate(parts) for name, parts in found.items()}
        return Events({name: rows[np.argsort(rows["time_ns"], kind="stable")] for name, rows in merged.items()}, lost)

    def close(self) -> None:
        """Close all of it."""
        self._open.close()


def _known(folder: int) -> Iterator[Tracepoint]:
    """The tracepoints, without those of interrupts that this kernel has not. Raises OSError for sched's own."""
    for name in SCHED:
        yield tracepoint(folder, name)
    for name in IRQS:
        with contextlib.suppress(FileNotFoundError):
            yield tracepoint(folder, name)


def _starts(raw: bytes) -> tuple[dict[int, list[int]], int]:
    """Where each tracepoint's records begin, and how many records the kernel says it has lost."""
    starts: dict[int, list[int]] = {}
    at = lost = 0
    while at < len(raw):
        kind, _, size = _RECORD.unpack_from(raw, at)
        if kind == abi.PERF_RECORD_SAMPLE:
            starts.setdefault(_SAMPLE.unpack_from(raw, at + _RECORD.size)[2], []).append(at)
        elif kind == abi.PERF_RECORD_LOST:
            lost += int.from_bytes(raw[at + 16 : at + 24], "little")
        at += size
    return starts, lost


def _rows(raw: bytes, starts: list[int], point: Tracepoint, cpu: int) -> np.ndarray[Any, Any]:
    """One tracepoint's records as a structured array: its fields, `time_ns` and `cpu`."""
    wanted = {name: field for name, field in point.fields.items() if name == "common_pid" or name[:6] != "common"}
    names, formats = [*wanted], [_numpy(field.type, field.size, field.signed) for field in wanted.values()]
    size = _RAW + max(field.offset + field.size for field in point.fields.values())
    layout = np.dtype(
        {
            "names": ["time_ns", *names],
            "formats": ["<i8", *formats],
            "offsets": [_RECORD.size, *(_RAW + field.offset for field in wanted.values())],
            "itemsize": size,
        }
    )
    data = np.frombuffer(raw, np.uint8)
    where = np.asarray(starts, dtype=np.int64)[:, None] + np.arange(size)
    rows = data[where].view(layout)[:, 0] if starts else np.empty(0, layout)
    out = np.empty(len(rows), np.dtype([("time_ns", "<i8"), ("cpu", "<i4"), *zip(names, formats, strict=True)]))
    out["cpu"] = cpu
    for name in ("time_ns", *names):
        out[name] = rows[name]
    return out


def _numpy(kind: str, size: int, signed: bool) -> str:
    return f"S{size}" if kind.startswith("char") and size > 1 else f"<{'i' if signed else 'u'}{size}"

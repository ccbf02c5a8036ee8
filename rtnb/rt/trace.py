# SPDX-License-Identifier: MIT
"""What did the kernel do while the tasks ran? Its switches, wake-ups and interrupts, as perf events tell them.

Each CPU's events go into one ring of perf_event_open(2), stamped with CLOCK_MONOTONIC as the jobs are. Nothing of
it is left behind even by a killed notebook: an instance in tracefs would be.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from rtnb import caps
from rtnb.abi import interrupt, mount
from rtnb.abi import perf_event as abi
from rtnb.abi.tracepoint import Tracepoint, tracepoint
from rtnb.caps.perf import initial_namespace
from rtnb.rt.ring import SAMPLE_TYPE, SWITCH, Array, Decoder, layout, packed
from rtnb.sched.admission.facts import online

__all__ = ["Events", "Tracer", "since"]

SCHED = ("sched/sched_switch", "sched/sched_waking")
IRQS = (
    *(f"irq/{name}" for name in ("irq_handler_exit", "softirq_exit", "irq_handler_entry", "softirq_entry")),
    *(
        f"irq_vectors/{name}_{end}"
        for end in ("exit", "entry")
        for name in ("local_timer", "reschedule", "call_function", "call_function_single")
    ),
)
"""What counts as an interrupt. `irq_vectors` is x86's own; its irq_work, which wakes perf itself, is not let out."""
RING = 4 << 20
"""Bytes of each CPU's ring: room for some 20,000 switches between two drains."""
DECODE = 1 << 20
"""Bytes that are drained before they are made into rows, which are fewer and smaller."""
REAL_TIME = "prev_prio < 100 || next_prio < 100"
"""Of switches, where all tasks are real-time: so much for who they are. When they are is known of all."""


@dataclass(frozen=True)
class Events:
    """What was seen, in order of `time_ns`: for each tracepoint an array of its records, and all switches."""

    by_name: dict[str, Array]
    switches: Array
    lost: int


class Tracer:
    """The events of this machine's CPUs, from construction to close(). `drain()` it ten times a second.

    With `only_real_time`, switches that no real-time task has a part in are left out. Interrupts are those of `cpus`
    alone (None: of all CPUs): some fifteen descriptors a CPU there, three on the others.

    Raises NotPermitted; NotSupported, in a PID namespace too. Source: perf_event_open(2), tracepoints of
    include/trace/events/sched.h, irq.h.
    """

    def __init__(self, *, only_real_time: bool, cpus: Collection[int] | None = None) -> None:
        self._open = contextlib.ExitStack()
        self._rings: dict[int, abi.Ring] = {}
        self._raw: dict[int, list[bytes]] = {}
        self._real_time: set[int] | None = set() if only_real_time else None
        self._lost = 0
        try:
            initial_namespace()
            with interrupt.held():
                self._start(cpus)
        except OSError as e:
            self.close()
            raise caps.refused("rt.trace", "trace the scheduler", e) from e
        except BaseException:
            self.close()
            raise

    def _start(self, cpus: Collection[int] | None) -> None:
        with mount.tracefs() as (folder, _):
            points = list(_known(folder))
        layouts = {point.name: (point.id, layout(point)) for point in points}
        self._rows = {name: [np.empty(0, packed(kind))] for name, (_, kind) in layouts.items()}
        self._switches = [np.empty(0, SWITCH)]
        self._decoders = {cpu: Decoder(cpu, layouts) for cpu in sorted(online())}
        for cpu in self._decoders:
            self._watch(cpu, [p for p in points if p.name in SCHED or cpus is None or cpu in cpus])

    def _watch(self, cpu: int, points: list[Tracepoint]) -> None:
        fds = [self._event(point, cpu) for point in points]
        self._rings[cpu] = self._open.enter_context(abi.Ring(fds[0], RING // mmap.PAGESIZE))
        self._raw[cpu] = []
        for fd in fds[1:]:
            abi.set_output(fd, fds[0])
        for fd in fds:  # exits before entries, as in IRQS: so that whatever is seen to begin is seen to end
            abi.enable(fd)

    def _event(self, point: Tracepoint, cpu: int) -> int:
        bits = ["disabled", "use_clockid", "sample_id_all", *["context_switch"] * (point.name == SCHED[0])]
        fields = {"sample_period": 1, "sample_type": SAMPLE_TYPE, "clockid": 1}
        fd = abi.perf_event_open(abi.PERF_TYPE_TRACEPOINT, point.id, *bits, pid=-1, cpu=cpu, **fields)
        self._open.callback(os.close, fd)
        if self._real_time is not None and point.name in SCHED:
            abi.set_filter(fd, REAL_TIME if point.name == SCHED[0] else "prio < 100")
        return fd

    def drain(self) -> None:
        """Take what has come out of the rings, so that they do not overflow."""
        for cpu, ring in self._rings.items():
            if part := ring.drain():
                self._raw[cpu].append(part)
        if sum(len(part) for parts in self._raw.values() for part in parts) > DECODE:
            self._decode()

    def forget(self, before_ns: int) -> None:
        """Keep of what was drained what came since then, and the last that is known of each CPU and task before."""
        events = self.events()
        self._rows = {name: [since(rows, before_ns)] for name, rows in events.by_name.items()}
        self._switches = [since(events.switches, before_ns)]

    def events(self) -> Events:
        """All that was drained and not forgotten."""
        self._decode()
        rows = {name: _in_order(parts) for name, parts in self._rows.items()}
        return Events(rows, _in_order(self._switches), self._lost)

    def _decode(self) -> None:
        """Make rows of what was drained."""
        told = [self._decoders[cpu].decode(b"".join(parts)) for cpu, parts in self._raw.items() if parts]
        self._raw = {cpu: [] for cpu in self._raw}
        for name, parts in self._rows.items():
            parts += [part.by_name[name] for part in told if len(part.by_name[name])]
        self._lost += sum(part.lost for part in told)
        self._learn([part.by_name[SCHED[0]] for part in told])
        self._switches += [self._of_interest(part.switches) for part in told]

    def _learn(self, parts: list[Array]) -> None:
        """Who is real-time: told of each one's own switches, whatever else is filtered out."""
        if self._real_time is not None:
            for part in parts:
                for end in ("prev", "next"):
                    self._real_time |= set(np.unique(part[f"{end}_pid"][part[f"{end}_prio"] < 100]).tolist())

    def _of_interest(self, switches: Array) -> Array:
        if self._real_time is None:
            return switches
        known = list(self._real_time)
        return switches[np.isin(switches["prev_pid"], known) | np.isin(switches["next_pid"], known)]

    def close(self) -> None:
        """Close all of it."""
        self._open.close()


def since(rows: Array, before_ns: int) -> Array:
    """Rows in order of time from `before_ns` on, and before it the last one of each CPU and of each pid."""
    old = rows[: np.searchsorted(rows["time_ns"], before_ns)]
    kept = [np.arange(len(old), len(rows))]
    for name in {"cpu", "pid", "prev_pid", "next_pid"} & set(rows.dtype.names or ()):
        kept.append(len(old) - 1 - np.unique(old[name][::-1], return_index=True)[1])
    return rows[np.unique(np.concatenate(kept))]


def _in_order(parts: list[Array]) -> Array:
    rows = np.concatenate(parts)
    return rows[np.argsort(rows["time_ns"], kind="stable")]


def _known(folder: int) -> Iterator[Tracepoint]:
    """The tracepoints, without those of interrupts that this kernel has not. Raises OSError for sched's own."""
    for name in SCHED:
        yield tracepoint(folder, name)
    for name in IRQS:
        with contextlib.suppress(FileNotFoundError):
            yield tracepoint(folder, name)

# SPDX-License-Identifier: MIT
"""What do the bytes of a perf ring say? The records of each tracepoint, and every switch of tasks, as arrays.

A switch is told twice, by the task that leaves the CPU and by the one that comes. Either will do: there are virtual
machines on which nothing is heard of what some tasks do, a CPU's idle task for one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rtnb.abi import perf_event as abi
from rtnb.abi.tracepoint import Tracepoint

__all__ = ["Decoder", "SAMPLE_TYPE", "SWITCH", "Told", "layout", "packed"]

Array = np.ndarray[Any, Any]

SAMPLE_TYPE = abi.PERF_SAMPLE_TID | abi.PERF_SAMPLE_TIME | abi.PERF_SAMPLE_RAW
"""What each sample holds: pid and tid, the time, and the tracepoint's raw record behind its size, from byte 28 on."""
FIELDS = {
    "sched/sched_switch": ("prev_comm", "prev_pid", "prev_prio", "next_comm", "next_pid", "next_prio"),
    "sched/sched_waking": ("pid",),
}
"""What is read of a tracepoint's record besides its time."""
SWITCH = np.dtype([("time_ns", "<i8"), ("cpu", "<i4"), ("prev_pid", "<i4"), ("next_pid", "<i4"), ("runnable", "?")])
"""A switch of tasks: from whom, who could still have run or not, to whom."""

_RAW = 28


def _record(size: int, **fields: tuple[str, int]) -> np.dtype[Any]:
    """Of a record of `size` bytes, fields as (type, offset)."""
    formats, offsets = [kind for kind, _ in fields.values()], [offset for _, offset in fields.values()]
    return np.dtype({"names": list(fields), "formats": formats, "offsets": offsets, "itemsize": size})


_HEADER = _record(8, type=("<u4", 0), misc=("<u2", 4))
_SAMPLE = _record(_RAW + 2, id=("<u2", _RAW))
_LOST = _record(24, lost=("<i8", 16))
_SWITCH = _record(32, misc=("<u2", 4), other=("<i4", 12), tid=("<i4", 20), time_ns=("<i8", 24))


def layout(point: Tracepoint) -> np.dtype[Any]:
    """Where a tracepoint's time and FIELDS lie in a sample."""
    wanted = {name: point.fields[name] for name in FIELDS.get(point.name, ())}
    kinds = {name: f"S{field.size}" if name.endswith("comm") else f"<i{field.size}" for name, field in wanted.items()}
    places = {name: (kinds[name], _RAW + field.offset) for name, field in wanted.items()}
    return _record(max([_RAW, *(_RAW + f.offset + f.size for f in wanted.values())]), time_ns=("<i8", 16), **places)


def packed(kind: np.dtype[Any]) -> np.dtype[Any]:
    """The rows that are made of such records: time_ns, cpu, and the fields."""
    names = [name for name in kind.names or () if name != "time_ns"]
    return np.dtype([("time_ns", "<i8"), ("cpu", "<i4"), *((name, kind[name]) for name in names)])


class Told(NamedTuple):
    """What one stretch of a CPU's ring said."""

    by_name: dict[str, Array]
    switches: Array
    lost: int


class Decoder:
    """Of one CPU's ring, drain after drain. `points` are names to numbers and layouts."""

    def __init__(self, cpu: int, points: dict[str, tuple[int, np.dtype[Any]]]) -> None:
        self._cpu, self._points = cpu, points
        self._last = np.zeros(1, _SWITCH)

    def decode(self, raw: bytes) -> Told:
        """What the whole records of `raw` say."""
        at = _starts(raw)
        kinds = _gathered(raw, at, _HEADER)["type"]
        samples, losses = at[kinds == abi.PERF_RECORD_SAMPLE], at[kinds == abi.PERF_RECORD_LOST]
        ids = _gathered(raw, samples, _SAMPLE)["id"]
        told = {name: self._rows(_gathered(raw, samples[ids == n], kind)) for name, (n, kind) in self._points.items()}
        switches = _gathered(raw, at[kinds == abi.PERF_RECORD_SWITCH_CPU_WIDE], _SWITCH)
        return Told(told, self._switches(switches), int(_gathered(raw, losses, _LOST)["lost"].sum()))

    def _rows(self, found: Array) -> Array:
        rows = np.empty(len(found), packed(found.dtype))
        rows["cpu"] = self._cpu
        for name in found.dtype.names or ():
            rows[name] = found[name]
        return rows

    def _switches(self, found: Array) -> Array:
        """Every switch once: as told by who leaves, or else by who comes."""
        leaves = found["misc"] & abi.PERF_RECORD_MISC_SWITCH_OUT > 0
        before = np.concatenate([self._last, found[:-1]])[: len(found)]
        again = ~leaves & (before["misc"] & abi.PERF_RECORD_MISC_SWITCH_OUT > 0)
        again &= (before["tid"] == found["other"]) & (before["other"] == found["tid"])
        self._last = np.concatenate([self._last, found])[-1:]
        rows = np.empty(len(found), SWITCH)
        rows["time_ns"], rows["cpu"] = found["time_ns"], self._cpu
        rows["prev_pid"] = np.where(leaves, found["tid"], found["other"])
        rows["next_pid"] = np.where(leaves, found["other"], found["tid"])
        rows["runnable"] = found["misc"] & abi.PERF_RECORD_MISC_SWITCH_OUT_PREEMPT > 0
        return rows[~again]


def _starts(raw: bytes) -> Array:
    """Where the records begin, in words of eight bytes: each says how long it is."""
    sizes = (np.frombuffer(raw, "<u2")[3::4] >> 3).tolist()
    at, starts = 0, []
    while at < len(sizes):
        starts.append(at)
        at += sizes[at]
    return np.asarray(starts, dtype=np.int64)


def _gathered(raw: bytes, at: Array, kind: np.dtype[Any]) -> Array:
    """The records that begin at those words."""
    words = max(0, (len(raw) - kind.itemsize) // 8 + 1)
    return np.ndarray((words,), kind, raw, 0, (8,))[at] if words else np.empty(0, kind)

# SPDX-License-Identifier: MIT
"""Who was where, and when? What became of a task, who had a CPU and when it was interrupted, from what was traced.

Each is a list of times, and what holds from each of them on. Stretches of time are cut at such lists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rtnb.rt.trace import Events

__all__ = ["FAIR", "IN", "OFF", "OUT", "WAKING", "Cpu", "Life", "cut", "life", "spans"]

Array = np.ndarray[Any, Any]

IN, OUT, OFF, WAKING = range(4)
"""What becomes of a task: it gets a CPU, loses it, leaves it to sleep, is woken."""
FAIR = 100
"""Of the kernel's priorities, where higher numbers are lower ones: those below are of FIFO, RR and DEADLINE."""
ORDINARY = 120
_EVER = np.iinfo(np.int64).min


def cut(pieces: Array, times: Array) -> Array:
    """Pieces, with their begin_ns and end_ns, in as many as the times between make of each."""
    first = np.searchsorted(times, pieces["begin_ns"], side="right")
    count = np.maximum(np.searchsorted(times, pieces["end_ns"], side="left") - first, 0) + 1
    made = np.repeat(pieces, count)
    step = np.arange(len(made)) - np.repeat(np.cumsum(count) - count, count)
    edge = np.repeat(first, count) + step
    later, earlier = step > 0, step < np.repeat(count, count) - 1
    made["begin_ns"][later] = times[edge[later] - 1]
    made["end_ns"][earlier] = times[edge[earlier]]
    return made[made["begin_ns"] < made["end_ns"]]


@dataclass(frozen=True)
class Life:
    """What became of one task, and when; the CPU where it is from then on, or will be next."""

    times: Array
    kinds: Array
    cpus: Array
    priority: int
    """Its own, without what a mutex lent it."""

    def at(self, times: Array) -> tuple[Array, Array]:
        """What had last become of it by then, and the CPU."""
        last = np.searchsorted(self.times, times, side="right") - 1
        return self.kinds[last], self.cpus[last]


def life(pid: int, since_ns: int, events: Events) -> Life:
    """The life of a task whose first release was at `since_ns`; before all that is known it slept."""
    wakings = events.by_name["sched/sched_waking"]
    went, came = (events.switches[events.switches[f"{end}_pid"] == pid] for end in ("prev", "next"))
    woke = wakings["time_ns"][wakings["pid"] == pid]
    times = np.concatenate([[_EVER], went["time_ns"], came["time_ns"], woke])
    gone = np.where(went["runnable"], OUT, OFF)
    kinds = np.concatenate([[OFF], gone, np.full(len(came), IN), np.full(len(woke), WAKING)])
    cpus = np.concatenate([[-1], went["cpu"], came["cpu"], np.full(len(woke), -1)])
    order = np.argsort(times, kind="stable")
    # Who is awake already is not woken: such a wake-up says nothing.
    asleep = np.concatenate([[True], kinds[order][:-1] == OFF])
    order = order[(kinds[order] != WAKING) | asleep]
    return Life(times[order], kinds[order], _next_cpus(kinds[order], cpus[order]), _priority(pid, since_ns, events))


def _next_cpus(kinds: Array, cpus: Array) -> Array:
    """The CPU of each event's own, or next, arrival on one; after the last of these, that one's."""
    came = np.flatnonzero(kinds == IN)
    if not len(came):
        return np.full(len(kinds), cpus.max())
    return cpus[came[np.minimum(np.searchsorted(came, np.arange(len(kinds))), len(came) - 1)]]


def _priority(pid: int, since_ns: int, events: Events) -> int:
    """The lowest at which it was seen: mutexes only raise it, and at the end of each job it holds none."""
    rows = events.by_name["sched/sched_switch"]
    rows = rows[rows["time_ns"] >= since_ns]
    seen = [rows[f"{end}_prio"][rows[f"{end}_pid"] == pid] for end in ("prev", "next")]
    return int(np.concatenate(seen).max(initial=-1)) if any(map(len, seen)) else ORDINARY


class Cpu:
    """Who had a CPU, and when it was in an interrupt or a softirq."""

    def __init__(self, number: int, events: Events) -> None:
        mine = {name: rows[rows["cpu"] == number] for name, rows in events.by_name.items()}
        switches = events.switches[events.switches["cpu"] == number]
        self.times = switches["time_ns"]
        # Who leaves at a switch had the CPU before it. That is as good as who came at the one before, and better
        # where switches between were left out.
        self._pids = np.concatenate([switches["prev_pid"], switches["next_pid"][-1:]])
        self._told = mine["sched/sched_switch"]
        self.interrupts = spans(mine, self.times).ravel()
        """Begins and ends in turn."""

    def who(self, times: Array) -> tuple[Array, Array, Array]:
        """The pid, the priority and the name of who had it then; an idle CPU is pid 0, and so is an unknown one."""
        if not len(self._pids):
            return np.zeros(len(times), int), np.full(len(times), ORDINARY), np.zeros(len(times), "S16")
        pids = self._pids[np.searchsorted(self.times, times, side="right")]
        priorities, names = np.full(len(times), ORDINARY), np.char.add(b"pid ", pids.astype("S11"))
        after = np.searchsorted(self._told["time_ns"], times, side="right")
        for end, at in (("prev", after), ("next", after - 1)):
            there = np.flatnonzero((at >= 0) & (at < len(self._told)))
            rows = self._told[at[there]]
            same = rows[f"{end}_pid"] == pids[there]
            priorities[there[same]], names[there[same]] = rows[f"{end}_prio"][same], rows[f"{end}_comm"][same]
        return pids, priorities, names


def spans(rows: dict[str, Array], switches: Array) -> Array:
    """When a CPU was in an interrupt or a softirq: rows of begin and end, nested ones as one.

    An entry whose exit was not told says nothing. A switch ends what it comes in: softirqs are preempted under
    PREEMPT_RT.
    """
    found = [np.empty((0, 2), np.int64)]
    for name in rows:
        if name.endswith("_entry"):
            exits = rows[f"{name.removesuffix('_entry')}_exit"]["time_ns"]
            found.append(_paired(rows[name]["time_ns"], exits, switches))
    return _united(np.concatenate(found))


def _paired(entries: Array, exits: Array, switches: Array) -> Array:
    """Entries of one kind, which does not nest, each with its exit: the first after it and before the next entry."""
    never = [np.iinfo(np.int64).max]
    ends = np.concatenate([exits, never])[np.searchsorted(exits, entries, side="right")]
    known = ends <= np.concatenate([entries[1:], never])[: len(entries)]
    known &= ends < never[0]
    switched = np.concatenate([switches, never])[np.searchsorted(switches, entries, side="right")]
    return np.column_stack([entries, np.minimum(ends, switched)])[known]


def _united(found: Array) -> Array:
    """Spans that overlap, as one."""
    if not len(found):
        return found
    found = found[np.argsort(found[:, 0], kind="stable")]
    reach = np.maximum.accumulate(found[:, 1])
    apart = found[1:, 0] > reach[:-1]
    return np.column_stack([found[np.append(True, apart), 0], reach[np.append(apart, True)]])

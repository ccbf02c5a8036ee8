# SPDX-License-Identifier: MIT
"""What may be counted, and what was asked for? The events' names as perf-list(1) spells them, and `-e` read.

Software events are counted by the kernel; hardware and cache events by the processor, where it has counters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from rtnb import schema
from rtnb.abi import perf_event as abi
from rtnb.errors import BadInput, closest
from rtnb.schema import column, table

__all__ = ["Asked", "DEFAULT", "EVENTS", "Event", "Name", "events", "parse"]

DEFAULT = "task-clock,context-switches,cpu-migrations,page-faults,cycles,instructions,branches,branch-misses"
"""What is counted where nothing is named: perf stat's own choice."""


@dataclass(frozen=True)
class Event:
    """A countable event. `side`: "either" happens on both sides and can be told apart, "kernel" happens
    there alone, "both" is a clock, which runs through both whatever is excluded."""

    name: str
    type: int
    config: int
    what: str
    side: str = "either"

    @property
    def unit(self) -> str:
        return "ns" if self.side == "both" else ""

    @property
    def hardware(self) -> bool:
        return self.type != abi.PERF_TYPE_SOFTWARE


# Names (the first is the event's own, the others perf's aliases), config, meaning, side.
_SOFTWARE: tuple[tuple[str, int, str, str], ...] = (
    ("cpu-clock", abi.PERF_COUNT_SW_CPU_CLOCK, "CPU time by the CPU's clock", "both"),
    ("task-clock", abi.PERF_COUNT_SW_TASK_CLOCK, "CPU time of the task", "both"),
    ("page-faults faults", abi.PERF_COUNT_SW_PAGE_FAULTS, "page faults", "either"),
    ("minor-faults", abi.PERF_COUNT_SW_PAGE_FAULTS_MIN, "page faults that needed no I/O", "either"),
    ("major-faults", abi.PERF_COUNT_SW_PAGE_FAULTS_MAJ, "page faults that waited for I/O", "either"),
    ("context-switches cs", abi.PERF_COUNT_SW_CONTEXT_SWITCHES, "times the task was switched out", "kernel"),
    ("cpu-migrations migrations", abi.PERF_COUNT_SW_CPU_MIGRATIONS, "moves to another CPU", "kernel"),
    ("cgroup-switches", abi.PERF_COUNT_SW_CGROUP_SWITCHES, "switches to a task of another cgroup", "kernel"),
    ("alignment-faults", abi.PERF_COUNT_SW_ALIGNMENT_FAULTS, "unaligned accesses mended by the kernel", "either"),
    ("emulation-faults", abi.PERF_COUNT_SW_EMULATION_FAULTS, "instructions emulated by the kernel", "either"),
)
_HARDWARE: tuple[tuple[str, int, str], ...] = (
    ("cycles cpu-cycles", abi.PERF_COUNT_HW_CPU_CYCLES, "processor cycles"),
    ("instructions", abi.PERF_COUNT_HW_INSTRUCTIONS, "instructions retired"),
    ("cache-references", abi.PERF_COUNT_HW_CACHE_REFERENCES, "accesses to the last level cache, as a rule"),
    ("cache-misses", abi.PERF_COUNT_HW_CACHE_MISSES, "accesses that missed the last level cache, as a rule"),
    ("branches branch-instructions", abi.PERF_COUNT_HW_BRANCH_INSTRUCTIONS, "branch instructions retired"),
    ("branch-misses", abi.PERF_COUNT_HW_BRANCH_MISSES, "branches predicted wrongly"),
    ("bus-cycles", abi.PERF_COUNT_HW_BUS_CYCLES, "bus cycles"),
    (
        "stalled-cycles-frontend idle-cycles-frontend",
        abi.PERF_COUNT_HW_STALLED_CYCLES_FRONTEND,
        "cycles in which no instruction could be issued",
    ),
    (
        "stalled-cycles-backend idle-cycles-backend",
        abi.PERF_COUNT_HW_STALLED_CYCLES_BACKEND,
        "cycles in which no instruction could retire",
    ),
    ("ref-cycles", abi.PERF_COUNT_HW_REF_CPU_CYCLES, "cycles at the processor's constant rate"),
)
# Cache, config, meaning, and the operations that processors have a counter for.
_CACHES = (
    ("L1-dcache", abi.PERF_COUNT_HW_CACHE_L1D, "level 1 data cache", "load store prefetch"),
    ("L1-icache", abi.PERF_COUNT_HW_CACHE_L1I, "level 1 instruction cache", "load prefetch"),
    ("LLC", abi.PERF_COUNT_HW_CACHE_LL, "last level cache", "load store prefetch"),
    ("dTLB", abi.PERF_COUNT_HW_CACHE_DTLB, "data TLB", "load store prefetch"),
    ("iTLB", abi.PERF_COUNT_HW_CACHE_ITLB, "instruction TLB", "load"),
    ("branch", abi.PERF_COUNT_HW_CACHE_BPU, "branch prediction unit", "load"),
    ("node", abi.PERF_COUNT_HW_CACHE_NODE, "memory of the own NUMA node", "load store prefetch"),
)
_OPERATIONS = {
    "load": (abi.PERF_COUNT_HW_CACHE_OP_READ, "loads", "reads"),
    "store": (abi.PERF_COUNT_HW_CACHE_OP_WRITE, "stores", "writes"),
    "prefetch": (abi.PERF_COUNT_HW_CACHE_OP_PREFETCH, "prefetches", "prefetches"),
}


def _known() -> dict[str, Event]:
    known: dict[str, Event] = {}
    for names, config, what, side in _SOFTWARE:
        known |= dict.fromkeys(names.split(), Event(names.split()[0], abi.PERF_TYPE_SOFTWARE, config, what, side))
    for names, config, what in _HARDWARE:
        known |= dict.fromkeys(names.split(), Event(names.split()[0], abi.PERF_TYPE_HARDWARE, config, what))
    for cache, number, where, operations in _CACHES:
        for operation in operations.split():
            op, plural, does = _OPERATIONS[operation]
            access = number | op << 8
            missed = access | abi.PERF_COUNT_HW_CACHE_RESULT_MISS << 16
            for name, config, what in (
                (f"{cache}-{plural}", access, f"{does} through the {where}"),
                (f"{cache}-{operation}-misses", missed, f"{does} that missed the {where}"),
            ):
                known[name] = Event(name, abi.PERF_TYPE_HW_CACHE, config, what)
    return known


EVENTS: dict[str, Event] = _known()
"""Every name that may be asked for, aliases too."""


@table("perf.events", version=1)
@dataclass(frozen=True)
class Name:
    """A name that `-e` takes. Whether this machine can count it, only trying tells."""

    event: str = column("str", "", "the name, or an alias, as in perf-list(1)")
    same_as: str = column("str", "", "the event that an alias stands for; empty for a name of its own")
    kind: str = column("category", "", "software, hardware or cache")
    unit: str = column("str", "", "ns for the clocks, empty for a count")
    what: str = column("str", "", "what is counted")


def events() -> pd.DataFrame:
    """Every event name, as the table perf.events.

    >>> events().query("same_as == 'page-faults'").event.tolist()
    ['faults']
    """
    kinds = {abi.PERF_TYPE_SOFTWARE: "software", abi.PERF_TYPE_HARDWARE: "hardware", abi.PERF_TYPE_HW_CACHE: "cache"}
    columns = {
        "event": list(EVENTS),
        "same_as": ["" if name == e.name else e.name for name, e in EVENTS.items()],
        "kind": [kinds[e.type] for e in EVENTS.values()],
        "unit": [e.unit for e in EVENTS.values()],
        "what": [e.what for e in EVENTS.values()],
    }
    return schema.frame(Name, columns)


@dataclass(frozen=True)
class Asked:
    """One event as asked for. `sides` is "" (both), "u" or "k"; `group` the leader's index, -1 without one."""

    text: str
    event: Event
    sides: str = ""
    group: int = -1


_PART = re.compile(r"\s*(?:\{([^{}]*)\}(?::(\w*))?|([^{},]+))\s*(?:,|$)")


def parse(event: str | Sequence[str] | None = None) -> tuple[Asked, ...]:
    """What `-e` asks for: names by comma, `name:u` or `name:k` for one side, `{a,b}` for a group.

    None asks for DEFAULT. Raises BadInput for an unknown name (with the closest), a modifier other than u and
    k, unbalanced braces, an event named twice, and `:u` on an event that happens only in the kernel.

    >>> [(a.text, a.group) for a in parse("faults:u,{cycles,instructions}")]
    [('faults:u', -1), ('cycles', 1), ('instructions', 1)]
    """
    text = DEFAULT if event is None else event if isinstance(event, str) else ",".join(map(str, event))
    if not text.strip():
        raise BadInput("event", "none is named", f"for example: {DEFAULT}")
    asked: list[Asked] = []
    at = 0
    while at < len(text):
        if not (part := _PART.match(text, at)):
            raise BadInput(f"event {text!r}", f"cannot be read from {text[at:]!r}", "names by comma, a group in {}")
        at, leader = part.end(), len(asked)
        if part[3]:
            asked.append(_one(part[3], "", -1))
        else:
            asked += [_one(word, part[2] or "", leader) for word in part[1].split(",")]
    if twice := [a.text for i, a in enumerate(asked) if (a.text, a.group) in [(b.text, b.group) for b in asked[:i]]]:
        raise BadInput(f"event {twice[0]}", "is named twice", "name each event once")
    return tuple(asked)


def _one(word: str, of_group: str, group: int) -> Asked:
    name, _, own = word.strip().partition(":")
    if (found := EVENTS.get(name)) is None:
        hint = closest(name, EVENTS) or "rtnb.perf.events() lists the names"
        raise BadInput(f"event {word.strip()!r}", "there is no event of that name", hint)
    if strange := set(own + of_group) - {"u", "k"}:
        raise BadInput(f"event {word.strip()!r}", f"unknown modifier {min(strange)!r}", "u: user side, k: kernel side")
    sides = "".join(sorted(set(own + of_group), reverse=True))
    if sides == "u" and found.side == "kernel":
        why = "it happens in the kernel alone, so that :u would leave out every one"
        raise BadInput(f"event {name}:u", why, f"ask for {name}")
    return Asked(f"{name}:{sides}" if sides else name, found, "" if sides == "uk" else sides, group)

# SPDX-License-Identifier: MIT
"""Can tasks wait for each other for ever? Where they nest their locks in a circle, and nothing prevents it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from rtnb.errors import BadInput, closest
from rtnb.text import printable
from rtnb.theory.exact import in_ticks
from rtnb.theory.task import Section
from rtnb.theory.taskset import TaskSet, of_a_set

__all__ = ["ALIASES", "Deadlock", "PROTOCOLS", "deadlocks", "nesting", "protocol_of", "stuck"]

PROTOCOLS = ("none", "pip", "pcp", "icpp", "npp")
ALIASES = {"inherit": "pip", "ceiling": "pcp", "protect": "icpp", "immediate": "icpp"}
_MOST_STEPS = 20_000


def protocol_of(protocol: str) -> str:
    """The protocol of a name. Raises BadInput."""
    name = ALIASES.get(str(protocol).lower(), str(protocol).lower())
    if name not in PROTOCOLS:
        hint = closest(name, [*PROTOCOLS, *ALIASES]) or f"one of {', '.join(PROTOCOLS)}"
        raise BadInput(f"protocol {printable(str(protocol))[:40]}", "there is none of that name", hint)
    return name


@dataclass(frozen=True)
class Deadlock:
    """A circle: each of `tasks` holds the resource beside it in `holds`, and waits for the one in `waits`.

    The next task holds what it waits for. It can happen under none and pip; `prevented` says why not under the others.
    """

    tasks: tuple[str, ...]
    holds: tuple[str, ...]
    waits: tuple[str, ...]

    def __str__(self) -> str:
        parts = zip(self.tasks, self.holds, self.waits, strict=True)
        return ", ".join(f"{task} holds {held} and waits for {wanted}" for task, held, wanted in parts)

    def prevented(self, protocol: str) -> str:
        """Why it cannot happen under pcp, icpp or npp; under the others, that it can. Raises BadInput."""
        first, other = self.tasks[:2]
        own, theirs = self.holds[0], self.waits[0]
        ceiling = f"{first} uses {own} and {theirs}, so neither's ceiling is below {first}"
        return {
            "none": f"it can happen: {self}",
            "pip": f"it can happen: {self}; inheritance changes who runs, not who waits",
            "pcp": f"{ceiling}: while {first} or {other} holds its own, the other may lock nothing",
            "icpp": f"{ceiling}: the one of {first} and {other} that holds its own runs on, and the other cannot begin",
            "npp": f"the first of them to lock runs until it has unlocked: {other} cannot hold {theirs} meanwhile",
        }[protocol_of(protocol)]


@of_a_set
def deadlocks(ts: TaskSet) -> tuple[Deadlock, ...]:
    """The circles in which tasks of the set can wait for each other, the highest of each first.

    Two that hold the same resource meanwhile are never in one circle: they are never in their sections at once.
    Raises BadInput where there are too many to be listed. Coffman, Elphick & Shoshani, "System deadlocks", ACM
    Computing Surveys 3(2), 1971.

    >>> ts = TaskSet(C=[5, 6], T=[20, 30], sections=["S1@1:3 S0@2:1", "S0@1:4 S1@3:1"])
    >>> print(*deadlocks(ts))
    t1 holds S1 and waits for S0, t2 holds S0 and waits for S1
    """
    rank = {at: n for n, at in enumerate(ts.order)}
    waits = _trimmed([w for at in ts.order for w in _waits(ts, at)])
    having: dict[str, list[_Wait]] = {}
    for wait in waits:
        for resource in wait.held:
            having.setdefault(resource, []).append(wait)
    found: dict[Deadlock, None] = {}
    steps = 0
    for first in waits:
        paths: list[tuple[_Wait, ...]] = [(first,)]
        while paths:
            path = paths.pop()
            steps += 1
            if steps > _MOST_STEPS:
                raise BadInput("deadlocks", "locks are nested in too many circles", "lock in the same order everywhere")
            if path[-1].wanted in first.held and len(path) > 1:
                found[_circle(ts, path)] = None
                continue
            after = [w for w in having[path[-1].wanted] if rank[w.task] > rank[first.task]]
            paths += [(*path, w) for w in after if _follows(path, w)]
    return tuple(found)


def nesting(ts: TaskSet, at: int) -> list[tuple[str, int, tuple[str, ...]]]:
    """Each section of a task: its resource, its length in ticks, and what is held around it, outermost first."""
    found = []
    open_: list[Section] = []
    for section in ts[at].sections:
        open_ = [outer for outer in open_ if outer.end > section.start]
        around = tuple(outer.resource for outer in open_)
        found.append((section.resource, in_ticks(section.length, ts.per_unit), around))
        open_.append(section)
    return found


def stuck(ts: TaskSet) -> dict[str, Deadlock]:
    """The resources that may be held for ever, and a circle that is the cause."""
    found = {resource: circle for circle in deadlocks(ts) for resource in circle.holds}
    waits = [wait for at in range(len(ts)) for wait in _waits(ts, at)] if found else []
    while more := {r: found[w.wanted] for w in waits if w.wanted in found for r in w.held if r not in found}:
        found |= more
    return found


class _Wait(NamedTuple):
    """A task, at a place in the set, that holds some resources and asks for another one."""

    task: int
    held: tuple[str, ...]
    wanted: str


def _waits(ts: TaskSet, at: int) -> Iterator[_Wait]:
    """Where a task can wait while it holds something."""
    for resource, _, held in nesting(ts, at):
        if held:
            yield _Wait(at, held, resource)


def _trimmed(waits: list[_Wait]) -> list[_Wait]:
    """Without those who cannot be in a circle: who waits for what nobody has, or has what nobody waits for."""
    while True:
        kept = [
            w
            for w in waits
            if any(w.wanted in o.held for o in waits if o.task != w.task)
            and any(o.wanted in w.held for o in waits if o.task != w.task)
        ]
        if len(kept) == len(waits):
            return kept
        waits = kept


def _follows(path: tuple[_Wait, ...], wait: _Wait) -> bool:
    """Can all of them be at once? Each is another task, and no two hold the same."""
    return all(before.task != wait.task and not set(before.held).intersection(wait.held) for before in path)


def _circle(ts: TaskSet, path: tuple[_Wait, ...]) -> Deadlock:
    wanted = tuple(wait.wanted for wait in path)
    return Deadlock(tuple(ts[wait.task].name for wait in path), (wanted[-1], *wanted[:-1]), wanted)

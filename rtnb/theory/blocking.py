# SPDX-License-Identifier: MIT
"""How long can those below hold a task up? As long as the sections that its protocol lets them finish first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from rtnb.errors import BadInput
from rtnb.schema import column, frame, table
from rtnb.text import printable
from rtnb.theory.assignment import assignment
from rtnb.theory.deadlock import ALIASES, PROTOCOLS, Deadlock, deadlocks, nesting, protocol_of, stuck
from rtnb.theory.exact import Time, in_ticks
from rtnb.theory.taskset import TaskSet, of_a_set

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ALIASES", "Blocking", "Ceiling", "Deadlock", "Link", "METHODS", "PROTOCOLS", "blocking", "ceilings", "deadlocks",
]  # fmt: skip

METHODS = ("exact", "sections", "resources", "min")


class Link(NamedTuple):
    """A section that counts in a bound: `task` holds `resource` for `length`."""

    task: str
    resource: str
    length: Time


class Ceiling(NamedTuple):
    """Of a resource: the rank of the highest task that uses it (1 is the highest), and all that do, highest first."""

    rank: int
    tasks: tuple[str, ...]


@table("theory.blocking", version=1)
@dataclass(frozen=True)
class BlockingRow:
    """A section that counts in a task's blocking term; a task without any has one row."""

    task: str = column("str", "", "the task that is held up")
    B: int = column("Int64", "tick", "its blocking term: all of its sections together; <NA>: no bound")
    by: str = column("str", "", "the task whose section it is; empty where there is none")
    resource: str = column("str", "", "what that section holds")
    length: int = column("Int64", "tick", "how long that is; <NA> where there is none")
    why: str = column("str", "", "why there is no bound")


@dataclass(frozen=True, repr=False)
class Blocking:
    """How long tasks below can run while a job waits, under a protocol: `B`, in list order; None: no bound.

    `chains`: for each task the sections that make up its B; several of them are chained blocking. `reasons`: for each
    task why it has no bound, or an empty word.
    """

    taskset: TaskSet
    protocol: str
    method: str
    policy: str
    B: tuple[Time | None, ...]
    chains: tuple[tuple[Link, ...], ...]
    reasons: tuple[str, ...]

    @property
    def chained(self) -> tuple[str, ...]:
        """The tasks that may be held up by several sections, one after the other."""
        return tuple(task.name for task, chain in zip(self.taskset, self.chains, strict=True) if len(chain) > 1)

    def why(self, task: str) -> str:
        """What makes up the bound of one task, in words. Raises BadInput."""
        at = self.taskset.index(task)
        name, words = self.taskset[at].name, self.taskset.words
        if self.B[at] is None:
            return f"{name}: no bound: {self.reasons[at]}"
        parts = [f"{link.task} in {link.resource} {words(link.length)}" for link in self.chains[at]]
        return f"{name}: {words(self.B[at])}" + (f" = {' + '.join(parts)}" if parts else "")

    @property
    def frame(self) -> pd.DataFrame:
        """A row for each section that counts (theory.blocking)."""
        ts, rows = self.taskset, []
        for task, B, chain, why in zip(ts, self.B, self.chains, self.reasons, strict=True):
            total = None if B is None else in_ticks(B, ts.per_unit)
            for link in chain or [None]:
                by, resource, length = link or ("", "", None)
                rows.append((task.name, total, by, resource, length and in_ticks(length, ts.per_unit), why))
        columns = dict(
            zip(("task", "B", "by", "resource", "length", "why"), map(list, zip(*rows, strict=True)), strict=True)
        )
        details = {"protocol": self.protocol, "method": self.method, "policy": self.policy}
        return ts.table(details=details, blocking=frame(BlockingRow, columns)).tables["blocking"]

    def __str__(self) -> str:
        how = f"{self.protocol}, {self.method}" if self.protocol == "pip" else self.protocol
        lines = [f"blocking under {how}{' (EDF)' if self.policy == 'edf' else ''}"]
        return "\n".join(lines + [self.why(task.name) for task in self.taskset])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return str(self.frame._repr_html_())


@of_a_set
def blocking(ts: TaskSet, protocol: str, method: str = "exact", *, policy: str = "fp") -> Blocking:
    """The blocking terms of a set on one CPU under a protocol: none, pip, pcp, icpp, npp.

    * npp: the longest section of a task below. pcp, icpp: the longest section of a task below whose ceiling is not
      below the task. Under `policy` "edf" icpp is the stack resource policy, and a level is a relative deadline.
    * pip: one section of each task below and of each resource at most. `method`: "sections", the longest of each task;
      "resources", the longest of each resource; "min", the smaller of the two; "exact", the worst choice that keeps to
      both (a matching of largest weight).
    * none: no bound for a task that shares a resource with one below, where tasks stand between; the section, where
      none does.

    Of nested sections the outermost counts that can hold the task up. Under pip that is also one for which only a task
    below waits, who holds something that the task wants (a chain through nested sections). Where locks are nested
    in circles, none and pip may deadlock: then there is no bound for a task that may wait for ever.

    Raises BadInput. Sha, Rajkumar & Lehoczky, "Priority inheritance protocols", IEEE Trans. Computers 39(9), 1990;
    Baker, "Stack-based scheduling of realtime processes", Real-Time Systems 3, 1991; Buttazzo, "Hard Real-Time
    Computing Systems", chapter 7.

    >>> ts = TaskSet(C=[2, 10, 6], T=[20, 50, 90], sections=["S@0:1", "", "S@1:4"])
    >>> print(blocking(ts, "pip"))
    blocking under pip, exact
    t1: 4 = t3 in S 4
    t2: 4 = t3 in S 4
    t3: 0
    >>> print(blocking(ts, "none").why("t1"))
    t1: no bound: t3 has S, and t2 can run in between
    """
    protocol = _checked(ts, protocol, method, policy)
    view = _View(ts, policy)
    for_ever = stuck(ts) if protocol in ("none", "pip") else {}
    terms = [_term(view, at, protocol, method, for_ever) for at in range(len(ts))]
    chains = tuple(tuple(Link(n, r, ts.from_ticks(length)) for n, r, length in chain) for chain, _ in terms)
    B = tuple(None if why else ts.from_ticks(sum(length for _, _, length in chain)) for chain, why in terms)
    return Blocking(ts, protocol, method, policy, B, chains, tuple(why for _, why in terms))


@of_a_set
def ceilings(ts: TaskSet, *, policy: str = "fp") -> dict[str, Ceiling]:
    """The ceiling of each resource by name. Under "edf" a rank is one of relative deadlines, the shortest first.

    >>> ceilings(TaskSet(C=[2, 5], T=[9, 20], sections=["S@0:1", "S@0:2 R@2:1"]))["R"]
    Ceiling(rank=2, tasks=('t2',))
    """
    _check_policy(policy)
    view = _View(ts, policy)
    names = sorted(view.ceiling)
    users = {name: [at for at in view.order if any(s.resource == name for s in ts[at].sections)] for name in names}
    return {name: Ceiling(view.ceiling[name] + 1, tuple(ts[at].name for at in users[name])) for name in names}


def _check_policy(policy: str) -> None:
    if policy not in ("fp", "edf"):
        hint = "fp (the set's own priorities) or edf; ts.with_priorities() gives a set others"
        raise BadInput(f"policy {printable(str(policy))[:40]}", "blocking terms are not known under it", hint)


def _checked(ts: TaskSet, protocol: str, method: str, policy: str) -> str:
    """The protocol by its own name. Raises BadInput for what has no meaning together."""
    protocol = protocol_of(protocol)
    _check_policy(policy)
    if method not in METHODS or (method != "exact" and protocol != "pip"):
        why = "pip alone has several" if method in METHODS else "there is no such method"
        raise BadInput(f"method {printable(str(method))[:40]}", why, f"pip has {', '.join(METHODS)}")
    if len({task.cpu for task in ts} - {None}) > 1:
        raise BadInput("blocking", "the tasks are on several CPUs, and these are terms of one", "take one CPU's tasks")
    if policy == "edf" and protocol == "pcp":
        raise BadInput("pcp under edf", "its ceilings are fixed priorities", "icpp: under edf it is the SRP")
    if policy == "edf" and any(t.jitter for t in ts) and any(t.sections for t in ts):
        why = "with release jitter a relative deadline does not say who can preempt whom"
        raise BadInput("blocking under edf", why, "fp, or a set without jitter")
    return protocol


class _View:
    """A set as the terms are made of it: ranks from 0, ceilings, sections, all in ticks."""

    def __init__(self, ts: TaskSet, policy: str) -> None:
        self.ts, self.policy = ts, policy
        self.order = ts.order if policy == "fp" else sorted(range(len(ts)), key=lambda at: ts[at].D)
        deadlines = sorted({task.D for task in ts})
        ranks = {at: n for n, at in enumerate(self.order)}
        self.rank = [ranks[at] if policy == "fp" else deadlines.index(ts[at].D) for at in range(len(ts))]
        self.sections = [nesting(ts, at) for at in range(len(ts))]
        self.ceiling: dict[str, int] = {}
        for at, sections in enumerate(self.sections):
            for resource, _, _ in sections:
                self.ceiling[resource] = min(self.rank[at], self.ceiling.get(resource, len(ts)))

    def below(self, at: int) -> list[int]:
        """The tasks of lower rank, highest first."""
        return [other for other in self.order if self.rank[other] > self.rank[at]]

    def waited_for(self, seeds: set[str], but: int) -> set[str]:
        """These resources, and those that a task other than `but` asks for while it holds one of them, and so on."""
        found = set(seeds)
        nested = [s for at, sections in enumerate(self.sections) if at != but for s in sections if s[2]]
        while more := {resource for resource, _, held in nested if found.intersection(held)} - found:
            found |= more
        return found

    def candidates(self, at: int, protocol: str) -> dict[int, dict[str, int]]:
        """Of each task below, the longest section of each resource with which it can hold the task up."""
        high = {resource for resource, rank in self.ceiling.items() if rank <= self.rank[at] or protocol == "npp"}
        if protocol == "none" and self.policy == "fp":
            high = {section.resource for section in self.ts[at].sections}
        chained = protocol in ("none", "pip")
        found = {
            other: self.outermost(other, self.waited_for(high, other) if chained else high) for other in self.below(at)
        }
        return {other: longest for other, longest in found.items() if longest}

    def outermost(self, at: int, resources: set[str]) -> dict[str, int]:
        """The longest section of each of these resources that is not within one of another of them."""
        longest: dict[str, int] = {}
        for resource, length, held in self.sections[at]:
            if resource in resources and not resources.intersection(held):
                longest[resource] = max(length, longest.get(resource, 0))
        return longest


_Part = tuple[int, str, int]
"""A section that counts: the place of its task, its resource, its length in ticks."""


def _term(
    view: _View, at: int, protocol: str, method: str, for_ever: dict[str, Deadlock]
) -> tuple[list[tuple[str, str, int]], str]:
    """The sections that make up a task's bound, in ticks; or why there is none."""
    for resource, _, _ in view.sections[at]:
        if resource in for_ever:
            return [], f"it may wait for ever for {resource}: {for_ever[resource]}"
    found = view.candidates(at, protocol)
    if protocol == "none" and (why := _between(view, at, found)):
        return [], why
    chosen = _inherited(found, method) if protocol == "pip" else _longest(_parts(found))
    return [(view.ts[other].name, resource, length) for other, resource, length in chosen], ""


def _parts(found: dict[int, dict[str, int]]) -> list[_Part]:
    return [(other, resource, length) for other, longest in found.items() for resource, length in longest.items()]


def _between(view: _View, at: int, found: dict[int, dict[str, int]]) -> str:
    """Without a protocol: which tasks can run while one below has what the task waits for, in words."""
    if not found:
        return ""
    last = max(found, key=view.rank.__getitem__)
    inner = range(view.rank[at] + 1, view.rank[last])
    others = [o for o in view.order if (view.rank[o] in inner if view.policy == "fp" else o not in (at, last))]
    names = ", ".join(view.ts[other].name for other in others)
    resource = next(iter(found[last]))
    return f"{view.ts[last].name} has {resource}, and {names} can run in between" if others else ""


def _longest(parts: list[_Part]) -> list[_Part]:
    """The one part that is the longest, if there is any."""
    return [max(parts, key=lambda part: part[2])] if parts else []


def _inherited(found: dict[int, dict[str, int]], method: str) -> list[_Part]:
    """The sections that count under priority inheritance, by a method."""
    parts = _parts(found)
    by_task = [part for other in found for part in _longest([p for p in parts if p[0] == other])]
    names = dict.fromkeys(resource for _, resource, _ in parts)
    by_resource = [part for name in names for part in _longest([p for p in parts if p[1] == name])]
    if method == "exact":
        return _matching(found, list(names))
    smaller = sum(p[2] for p in by_task) <= sum(p[2] for p in by_resource)
    return by_task if method == "sections" or (method == "min" and smaller) else by_resource


def _matching(found: dict[int, dict[str, int]], resources: list[str]) -> list[_Part]:
    """One resource a task, one task a resource, of the largest length together."""
    others = list(found)
    weight = [[found[other].get(resource, 0) for resource in resources] for other in others]
    if len(others) <= len(resources):
        pairs = list(enumerate(assignment(weight)))
    else:
        pairs = [
            (row, col) for col, row in enumerate(assignment([list(column) for column in zip(*weight, strict=True)]))
        ]
    return [(others[row], resources[col], weight[row][col]) for row, col in sorted(pairs) if weight[row][col]]

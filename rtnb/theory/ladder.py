# SPDX-License-Identifier: MIT
"""Which tests fit a set, and what do they say together? A ladder, from the simplest bound to the exact test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property, partial
from typing import Any

import pandas as pd

from rtnb.errors import BadInput, WorkerError, closest
from rtnb.recording import Recording
from rtnb.schema import frame
from rtnb.theory import bounds, demand, edf, multiprocessor, priorities
from rtnb.theory.deadlock import protocol_of
from rtnb.theory.exact import Time, in_ticks, ticks
from rtnb.theory.interference import global_response_times
from rtnb.theory.options import check_cpus, check_flags
from rtnb.theory.response import response_times
from rtnb.theory.rows import Bound, VerdictRow
from rtnb.theory.taskset import TaskSet, of_a_set
from rtnb.theory.timedemand import time_demand
from rtnb.theory.verdict import Verdict

__all__ = ["Ladder", "POLICIES", "analyse", "assigned"]

POLICIES = ("fp", "rm", "dm", "edf")


@dataclass(frozen=True)
class Ladder:
    """Several verdicts on one set, the simplest first. True where one of them proves the set schedulable.

    `left_out` says which tests do not fit the set, and why.
    """

    taskset: TaskSet
    policy: str
    cpus: int
    verdicts: tuple[Verdict, ...]
    left_out: tuple[str, ...] = field(default=())

    @property
    def schedulable(self) -> bool | None:
        """What follows from all of them: True, False, or None, which is cannot tell."""
        found = {verdict.schedulable for verdict in self.verdicts} - {None}
        if len(found) > 1:
            raise WorkerError("ladder", f"its tests contradict each other on {self.taskset}", "please report this set")
        return found.pop() if found else None

    def __bool__(self) -> bool:
        return self.schedulable is True

    def __iter__(self) -> Iterator[Verdict]:
        return iter(self.verdicts)

    def __getitem__(self, test: str) -> Verdict:
        """The verdict of the test whose name begins so: `liu_layland`, `Liu-Layland`, `liu`. Raises BadInput."""
        wanted = _letters(test)
        for verdict in self.verdicts:
            if wanted and _letters(verdict.test).startswith(wanted):
                return verdict
        names = ", ".join(verdict.test for verdict in self.verdicts)
        raise BadInput(f"ladder[{test!r}]", "no test of that name has been made", f"there are {names}")

    @property
    def R(self) -> tuple[Time | None, ...]:
        """The worst-case response times in list order, of the test that found some; None: unbounded."""
        return next((verdict.R for verdict in reversed(self.verdicts) if verdict.R), ())

    @cached_property
    def recording(self) -> Recording:
        """The tables `verdicts` (theory.verdicts) and, where there are response times, `bounds` (theory.bounds)."""
        times = [time for time in self.R if time is not None]
        per_unit = ticks([self.taskset.from_ticks(1), *times])
        tables = {"verdicts": frame(VerdictRow, _verdicts(self.verdicts))}
        if self.R:
            tables["bounds"] = frame(Bound, _bounds(self.taskset, self.R, per_unit))
        details = {"policy": self.policy, "cpus": self.cpus}
        return self.taskset.table(per_unit=per_unit, details=details, **tables).with_header(notes=self.left_out)

    @property
    def frame(self) -> pd.DataFrame:
        """The verdicts, a row each (theory.verdicts)."""
        return self.recording.tables["verdicts"]

    @property
    def bounds(self) -> pd.DataFrame:
        """The response times, a row a task (theory.bounds). Raises BadInput where no test gives any."""
        if not self.R:
            raise BadInput("bounds", "no test of this ladder gives response times", "one CPU, and fp, rm, dm or edf")
        return self.recording.tables["bounds"]

    def __str__(self) -> str:
        return "\n".join([*map(str, self.verdicts), *self.left_out])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        with pd.option_context("display.max_colwidth", None):  # the inequality in full: it is what one came for
            return str(self.frame._repr_html_())


def _letters(name: str) -> str:
    return "".join(letter for letter in str(name).lower() if letter.isalnum())


def _verdicts(verdicts: tuple[Verdict, ...]) -> dict[str, Any]:
    words = {True: "yes", False: "no", None: "cannot tell"}
    return {
        "test": [v.test for v in verdicts],
        "kind": [v.kind for v in verdicts],
        "passed": [v.passed for v in verdicts],
        "schedulable": [words[v.schedulable] for v in verdicts],
        "inequality": [v.inequality for v in verdicts],
        "witness": [v.witness.words if v.witness else "" for v in verdicts],
    }


def _bounds(ts: TaskSet, found: tuple[Time | None, ...], per_unit: int) -> dict[str, Any]:
    R = [None if time is None else in_ticks(time, per_unit) for time in found]
    D = [in_ticks(task.D, per_unit) for task in ts]
    return {
        "task": [task.name for task in ts],
        "R": R,
        "D": D,
        "slack": [None if r is None else d - r for r, d in zip(R, D, strict=True)],
        "meets": [r is not None and r <= d for r, d in zip(R, D, strict=True)],
    }


@of_a_set
def assigned(ts: TaskSet, policy: str) -> TaskSet:
    """The set with the priorities of a policy: its own under fp and edf. Raises BadInput.

    >>> [task.priority for task in assigned(TaskSet(C=[2, 1], T=[9, 5]), "rm")]
    [2, 1]
    """
    if policy not in POLICIES:
        hint = closest(str(policy), POLICIES) or ", ".join(POLICIES)
        raise BadInput(f"policy {policy!r}", "no test knows it", hint)
    make = {"rm": priorities.rate_monotonic, "dm": priorities.deadline_monotonic}
    return make[policy](ts) if policy in make else ts


@of_a_set
def analyse(
    ts: TaskSet, policy: str = "fp", *, cpus: int = 1, protocol: str = "none", preemptive: bool = True
) -> Ladder:
    """Every test that fits the set under a policy (fp: its own priorities, rm, dm, edf), the simplest first.

    `protocol` is that of the critical sections, none unless given: then what shares a resource has no bound. On several
    CPUs the tests are those of global scheduling; `partition` gives each CPU its own. Raises BadInput.

    >>> print(analyse(TaskSet(C=[1, 1], T=[2, 4]))["Liu"])
    Liu-Layland: U = 3/4 = 0.75 <= 0.8284 = 2 (2^(1/2) - 1): holds, schedulable
    """
    ts = assigned(ts, policy)
    check_cpus(cpus)
    check_flags(preemptive=preemptive)
    protocol = protocol_of(protocol)
    # Of resources that nobody else locks only sections without preemption are in others' way.
    in_the_way = bool(ts.shared) or (protocol == "npp" and any(task.sections for task in ts))
    blocking = protocol if in_the_way else None
    if pinned := sorted({task.cpu for task in ts if task.cpu is not None}):
        why = f"its tasks are pinned to CPUs {', '.join(map(str, pinned))}, and the tests are of tasks that share CPUs"
        raise BadInput("analyse", why, f"each CPU has its own: ts.on({pinned[0]}).analyse()")
    if cpus > 1:
        tests = _several(ts, policy, cpus, blocking, preemptive)
    else:
        tests = (_edf if policy == "edf" else _fixed)(ts, blocking, preemptive)
    verdicts, left_out = [], []
    for test in tests:
        try:
            verdicts.append(test())
        except BadInput as e:  # the test does not fit this set: that is for the reader to know, and no failure
            left_out.append(f"left out: {e.tried}: {e.why}")
    return Ladder(ts, policy, cpus, tuple(verdicts), tuple(dict.fromkeys(left_out)))


def _fixed(ts: TaskSet, protocol: str | None, preemptive: bool) -> list[Callable[[], Verdict]]:
    how: dict[str, Any] = {"blocking": protocol, "preemptive": preemptive}
    exact = partial(response_times, ts, **how)
    if not preemptive:
        return [partial(bounds.utilisation, ts), exact]
    ladder: list[Callable[[], Verdict]] = [
        partial(bounds.utilisation, ts),
        partial(bounds.liu_layland, ts, blocking=protocol),
    ]
    if protocol is None:
        ladder += [partial(bounds.hyperbolic, ts), partial(time_demand, ts)]
    ladder.append(exact)
    if protocol is None and any(task.offset for task in ts):
        ladder.append(partial(response_times, ts, offsets=True))
    return ladder


def _edf(ts: TaskSet, protocol: str | None, preemptive: bool) -> list[Callable[[], Verdict]]:
    how: dict[str, Any] = {"blocking": protocol, "preemptive": preemptive}
    exact: list[Callable[[], Verdict]] = [partial(demand.processor_demand, ts, **how), partial(demand.qpa, ts, **how)]
    if protocol is not None or not preemptive:  # the others know of no blocking
        return [partial(bounds.utilisation, ts), *exact]
    return [
        partial(edf.edf_utilisation, ts),
        partial(edf.edf_density, ts),
        *exact,
        partial(edf.edf_response_times, ts),
    ]


def _several(
    ts: TaskSet, policy: str, cpus: int, protocol: str | None, preemptive: bool
) -> list[Callable[[], Verdict]]:
    if protocol is not None or not preemptive:
        raise BadInput(
            "analyse", f"on {cpus} CPUs no test here knows of blocking", "partition it, and analyse each CPU"
        )
    ladder: list[Callable[[], Verdict]] = [partial(multiprocessor.necessary, ts, cpus)]
    if policy == "edf":
        us = partial(
            _without_heavy, ts, multiprocessor.edf_us_threshold(cpus), partial(multiprocessor.edf_us, ts, cpus)
        )
        return [*ladder, partial(multiprocessor.gfb, ts, cpus), us]
    if policy == "rm":
        threshold = multiprocessor.rm_us_threshold(cpus)
        ladder.append(partial(_without_heavy, ts, threshold, partial(multiprocessor.rm_us, ts, cpus)))
    return [*ladder, partial(global_response_times, ts, cpus)]


def _without_heavy(ts: TaskSet, threshold: Fraction, test: Callable[[], Verdict]) -> Verdict:
    """The test of an assignment that puts heavy tasks first: where there are none, it is one of the policy itself."""
    if found := multiprocessor.heavy(ts, threshold):
        why = f"it would put {', '.join(found)} first, for U > {threshold}: another assignment"
        raise BadInput("RM-US and EDF-US", why)
    return test()

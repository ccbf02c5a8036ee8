# SPDX-License-Identifier: MIT
"""Is there room under EDF, and how late can a job be? Two quick bounds, and the worst-case response times."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from typing import NamedTuple

from rtnb.errors import BadInput
from rtnb.theory.demand import busy_period
from rtnb.theory.digits import counted, share
from rtnb.theory.exact import words
from rtnb.theory.load import demand_kind, effective_deadlines
from rtnb.theory.taskset import TaskSet, of_a_set
from rtnb.theory.verdict import Step, Verdict, Witness

__all__ = ["edf_density", "edf_response_times", "edf_utilisation"]

_MOST_TERMS = 20_000_000
"""One a task at each arrival that is looked at: two seconds."""
_WRITTEN_OUT = 8


@of_a_set
def edf_utilisation(ts: TaskSet) -> Verdict:
    """Is U <= 1? Exact where each deadline (less the release jitter) is the period or longer; else necessary.

    Raises BadInput where tasks share resources.
    Liu & Layland, "Scheduling algorithms for multiprogramming in a hard-real-time environment", JACM 20(1) 1973.

    >>> print(edf_utilisation(TaskSet(C=[1, 2, 3], T=[4, 6, 8])))
    EDF utilisation: U = 1/4 + 1/3 + 3/8 = 23/24 <= 1: holds, schedulable
    >>> print(edf_utilisation(TaskSet(C=[1, 2], T=[4, 6], D=[2, 3])))
    EDF utilisation: U = 1/4 + 1/3 = 7/12 <= 1: holds, cannot tell
    """
    ts.check_independent("EDF utilisation")
    enough = all(d >= p for d, p in zip(effective_deadlines(ts), ts.in_ticks("T"), strict=True))
    kind = "exact" if enough or ts.U > 1 else "necessary"
    return Verdict(ts, "EDF utilisation", kind, ts.U <= 1, f"U = {_sum([task.U for task in ts])} <= 1")


@of_a_set
def edf_density(ts: TaskSet) -> Verdict:
    """Is the sum of C / min(D - J, T) at most 1? Sufficient.

    Liu, "Real-Time Systems", Prentice Hall 2000, section 6.3; with release jitter J less is left to the deadline.
    Raises BadInput where tasks share resources.

    >>> print(edf_density(TaskSet(C=[50, 10], T=[100, 100], D=[50, 100])))
    EDF density: density = 1 + 1/10 = 11/10 <= 1: fails, cannot tell
    """
    ts.check_independent("EDF density")
    shortest = [min(task.D - task.jitter, task.T) for task in ts]
    for task, d in zip(ts, shortest, strict=True):
        if d <= 0:
            told = f"{task.name} may be released at its deadline: D = {ts.words(task.D)}, J = {ts.words(task.jitter)}"
            unbounded = "density is above every bound"
            return Verdict(ts, "EDF density", "sufficient", False, unbounded, Witness(told, task=task.name))
    densities = [Fraction(task.C) / d for task, d in zip(ts, shortest, strict=True)]
    return Verdict(ts, "EDF density", "sufficient", sum(densities) <= 1, f"density = {_sum(densities)} <= 1")


@of_a_set
def edf_response_times(ts: TaskSet) -> Verdict:
    """The worst-case response times under preemptive EDF, of sporadic tasks with any deadlines, exactly.

    Each counts from the arrival, so that it includes the task's own release jitter; ties of deadlines go against it.
    None where U is above 1. A step is an arrival of the task that was looked at, t after (or, with jitter, before)
    the busy period began, its response there, and the task's job in the busy period. Where fixed offsets keep the
    tasks apart they are upper bounds: sufficient.

    Spuri, "Analysis of deadline scheduled real-time systems", INRIA RR-2772, 1996. Raises BadInput where tasks share
    resources, and where more than twenty million terms would have to be added up, one a task at each arrival.

    >>> verdict = edf_response_times(TaskSet(C=[1, 1, 2, 1], T=[4, 5, 6, 11], D=[3, 4, 5, 10]))
    >>> verdict.R
    (2, 3, 4, 9)
    >>> print(verdict.witness.words)
    the tightest: t1 responds within 2 of D = 3, when it arrives at 2
    """
    name, kind = "EDF response", demand_kind(ts)
    ts.check_independent(name)
    if ts.U > 1:
        never = tuple(None for _ in ts)
        return Verdict(
            ts, name, "exact", False, f"U = {share(ts.U)} <= 1", Witness("the backlog grows for ever"), never
        )
    looks = _looks(ts)
    worst = [max(_responses(look), key=lambda found: found[1]) for look in looks]
    R = tuple(ts.from_ticks(found) for _, found in worst)
    slack = [task.D - r for task, r in zip(ts, R, strict=True)]
    late = next((at for at, left in enumerate(slack) if left < 0), None)
    at = slack.index(min(slack)) if late is None else late
    task, arrival = ts[at], ts.from_ticks(worst[at][0])
    if late is None:
        how, listed = "the tightest", zip(ts, R, strict=True) if len(ts) <= _WRITTEN_OUT else [(task, R[at])]
    else:
        how, listed = "the first that may be late", [(task, R[at])]
    sign = "<=" if late is None else ">"
    told = ", ".join(f"R of {one.name} = {ts.words(r)} {sign} {ts.words(one.D)}" for one, r in listed)
    when = f"-{words(-arrival, ts.unit)}" if arrival < 0 else ts.words(arrival)
    shown = f"{how}: {task.name} responds within {ts.words(R[at])} of D = {ts.words(task.D)}, when it arrives at {when}"
    witness = Witness(shown, arrival, task.name)
    return Verdict(ts, name, kind, late is None, told, witness, R, partial(_trace, ts, looks))


def _sum(parts: list[Fraction]) -> str:
    """A sum in words: its parts, where they are few, and the total."""
    told, written = share(sum(parts, Fraction())), " + ".join(map(share, parts))
    return told if len(parts) == 1 or len(parts) > _WRITTEN_OUT else f"{written} = {told}"


class _Look(NamedTuple):
    """A task under analysis in ticks, the others as (C, T, D, jitter), and the arrivals to look at, in order."""

    C: int
    T: int
    D: int
    jitter: int
    others: list[tuple[int, int, int, int]]
    arrivals: list[int]


def _looks(ts: TaskSet) -> list[_Look]:
    """What is to be looked at for each task: its arrivals in the busy period with which a deadline of some task ends.

    Raises BadInput where they are too many.
    """
    C, T, D, J = (ts.in_ticks(field) for field in ("C", "T", "D", "jitter"))
    busy = busy_period(ts)
    if busy is None:  # U = 1, and jitter: from the largest D + J on all repeats itself every hyperperiod
        busy = ts.hyperperiod + ts.from_ticks(max(D) + max(J))
    end = int(busy * ts.per_unit)
    most = sum(len(ts) * (end + max(D) + j) // p + len(ts) for p, j in zip(T, J, strict=True))
    if most * (len(ts) + 10) > _MOST_TERMS:
        why = f"about {counted(most)} arrivals would have to be looked at, in {ts.words(ts.from_ticks(end))}"
        raise BadInput("EDF response", why, "qpa answers whether the deadlines are met")
    tasks = list(zip(C, T, D, J, strict=True))
    found = []
    for at, (c, p, d, j) in enumerate(tasks):
        arrivals = {a for _, q, e, i in tasks for a in _from(-j, e - i - d, q, end)}
        found.append(_Look(c, p, d, j, tasks[:at] + tasks[at + 1 :], sorted(arrivals)))
    return found


def _from(least: int, first: int, step: int, end: int) -> range:
    """first, first + step, ... that are not below the least, and are below the end."""
    return range(first + max(0, -(-(least - first) // step)) * step, end, step)


def _responses(look: _Look) -> Iterator[tuple[int, int]]:
    """Each arrival a, and the response: the end of the busy period of the deadlines up to a + D, less a."""
    end = 1
    for a in look.arrivals:
        own = ((a + look.jitter) // look.T + 1) * look.C
        due = a + look.D
        # No more jobs of each other task than have deadlines up to its own.
        most = [(c, p, j, (due - d + j) // p + 1) for c, p, d, j in look.others if d <= due + j]
        while True:
            work = own + sum(min(-(-(end + j) // p), jobs) * c for c, p, j, jobs in most)
            if work <= end:
                break
            end = work
        yield a, max(end - a, look.jitter + look.C)


def _trace(ts: TaskSet, looks: list[_Look]) -> Iterator[Step]:
    for task, look in zip(ts, looks, strict=True):
        for a, response in _responses(look):
            job = (a + look.jitter) // look.T + 1
            yield Step(ts.from_ticks(a), ts.from_ticks(response), task.name, job)

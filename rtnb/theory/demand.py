# SPDX-License-Identifier: MIT
"""Does the work that is due fit into every interval? The demand bound under EDF, and the instants to look at."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from itertools import islice
from math import ceil
from typing import Any

from rtnb.errors import BadInput
from rtnb.theory.digits import counted, share
from rtnb.theory.exact import Time, fraction, from_ticks
from rtnb.theory.load import (
    Load,
    before,
    deadlines,
    demand_at,
    demand_kind,
    effective_deadlines,
    given_ticks,
    load_of,
)
from rtnb.theory.options import check_flags
from rtnb.theory.taskset import TaskSet, of_a_set
from rtnb.theory.verdict import Step, Verdict, Witness

__all__ = ["busy_period", "demand_bound", "demand_limit", "processor_demand", "qpa"]

_MOST_POINTS = 5_000_000
_FIRST_POINTS = 100_000
"""So many are looked at, for the first that fails, where there are more than the most."""
_MOST_TERMS = 4_000_000
"""The terms that a fixed-point iteration adds up, and QPA: a second. No set that people write needs as many."""
_COST = 10
"""A step costs as much as so many terms, beside those that it adds up."""
_HINT = "rounder periods, or a lower utilisation, need fewer"


@of_a_set
def demand_bound(ts: TaskSet, t: Any) -> Time:
    """The most work that can arrive and be due within any interval of length t: dbf(t), exactly.

    Tasks are sporadic. With release jitter a job may be released J after its arrival, so that J less is left to its
    deadline: the bound is that of deadlines D - J. Baruah, Mok & Rosier, "Preemptively scheduling hard-real-time
    sporadic tasks on one processor", RTSS 1990. Raises BadInput for what is not a time.

    >>> ts = TaskSet(C=[2, 2, 3], T=[6, 8, 9], D=[4, 5, 7])
    >>> [demand_bound(ts, t) for t in (3, 4, 7, 16, 25)]
    [0, 2, 7, 16, 23]
    """
    C, T, D = ts.in_ticks("C"), ts.in_ticks("T"), effective_deadlines(ts)
    return ts.from_ticks(demand_at(C, T, D, given_ticks(ts, t, "t") // 1))


@of_a_set
def busy_period(ts: TaskSet) -> Time | None:
    """The longest time without idling: all tasks arrive at once, as late as they may be, and then as often.

    None where it has no end: U above 1, or U = 1 and release jitter. With U = 1 and no jitter it is the hyperperiod.
    Spuri, "Analysis of deadline scheduled real-time systems", INRIA RR-2772, 1996. Raises BadInput where U is so near
    to 1 that it is not found in four million terms, one a task in each iteration.

    >>> busy_period(TaskSet(C=[2, 2, 3], T=[6, 8, 9])), busy_period(TaskSet(C=[1, 1], T=[1, 9]))
    (16, None)
    """
    jitter = ts.in_ticks("jitter")
    if ts.U > 1 or (ts.U == 1 and any(jitter)):
        return None
    if ts.U == 1:  # each ceil(w / T) C is at least U w: all are equal only where w is a multiple of every period
        return ts.hyperperiod
    found, done = _busy(ts, 0, None)
    if not done:
        raise BadInput("busy period", f"none found in {_most_steps(ts):,} iterations, up to {_words(ts, found)}", _HINT)
    return ts.from_ticks(found)


@of_a_set
def demand_limit(ts: TaskSet) -> Time | None:
    """L*: the demand can exceed no t from there on. None where U >= 1.

    The largest of D - T and sum(U (T - D)) / (1 - U), with D - J for D where there is release jitter. Baruah,
    Howell & Rosier, "Feasibility problems for recurring tasks on one processor", TCS 118(1) 1993.

    >>> demand_limit(TaskSet(C=[2, 2, 3], T=[6, 8, 9], D=[4, 5, 7]))
    25
    """
    return None if ts.U >= 1 else fraction(_limit(ts, 0) / ts.per_unit)


@of_a_set
def processor_demand(ts: TaskSet, *, blocking: Any = None, preemptive: bool = True, until: Any = None) -> Verdict:
    """Is the demand at most t at each deadline t up to min(L*, busy period)? Exact for sporadic tasks under EDF.

    The steps are the deadlines in order, with the demand (and the blocking) there; the witness is the first at which
    it is above t, or the last one. `until` looks up to that time instead: short of the bound it is but necessary.
    Tasks whose fixed offsets differ may do better than sporadic ones: sufficient.

    `blocking` adds B(t): of "icpp" (the stack resource policy) and "npp", the longest section of a task with D > t
    (under icpp: of a resource that a task with D <= t uses); of a list, one time a task in list order, the largest of
    the tasks with D <= t. Sufficient, as a section is taken to begin at any time. `preemptive=False`: the longest C of
    a task with D > t; exact, in continuous time, whatever the protocol; what is listed counts, if longer.

    Baruah, Mok & Rosier, RTSS 1990; blocking: Baruah, "Resource sharing in EDF-scheduled systems: a closer look",
    RTSS 2006; non-preemptive: Jeffay, Stanat & Martel, "On non-preemptive scheduling of periodic and sporadic tasks",
    RTSS 1991, and George, Rivierre & Spuri, INRIA RR-2966, 1996. Raises BadInput for a protocol that bounds nothing
    under EDF, for shared resources without `blocking`, and where more than five million deadlines would have to be
    looked at.

    >>> verdict = processor_demand(TaskSet(C=[2, 2, 3], T=[6, 8, 9], D=[4, 5, 7]))
    >>> print(verdict)
    processor demand: demand(t) <= t at the 6 deadlines up to 16: holds, schedulable; the last: demand(16) = 16 <= 16
    >>> [tuple(step[:2]) for step in verdict.steps]
    [(4, 2), (5, 4), (7, 7), (10, 9), (13, 11), (16, 16)]
    """
    load = _load(ts, "processor demand", blocking, preemptive)
    hopeless = _hopeless(ts, "processor demand", load)
    if hopeless is not None:
        return hopeless
    bound = _horizon(ts, load)
    looked = bound if until is None else given_ticks(ts, until, "until")
    trace = partial(_rising, load, looked)
    most = sum(max(0, (looked - d) // p + 1) for p, d in zip(load.T, load.D, strict=True))
    count, last = _last(islice(trace(), _MOST_POINTS if most <= _MOST_POINTS else _FIRST_POINTS))
    if most > _MOST_POINTS and last and last[1] <= last[0]:
        why = f"{counted(most)} deadlines up to {_words(ts, looked)} would have to be looked at"
        raise BadInput("processor demand", why, f"qpa looks at far fewer; {_HINT}")
    where = f"the {count} deadline{'s' * (count != 1)} up to {_words(ts, looked)}"
    if last and last[1] > last[0]:
        where = (
            f"the deadlines up to {_words(ts, looked)}, of which {count} {'was' if count == 1 else 'were'} looked at"
        )
    return _verdict(ts, "processor demand", load, last, where, looked // 1 < bound - 1, trace)


@of_a_set
def qpa(ts: TaskSet, start: Any = None, *, blocking: Any = None, preemptive: bool = True) -> Verdict:
    """Quick processor-demand analysis: the exact test of `processor_demand`, downwards, at very few instants.

    From the last deadline before `start` (given none: min(L*, busy period)) it jumps to t = demand(t), or to the
    deadline before where the two are equal, down to the first deadline. The steps are its jumps. A start below the
    bound makes it but necessary. `blocking`, `preemptive`: as in `processor_demand`.

    Zhang & Burns, "Schedulability analysis for real-time systems with EDF scheduling", IEEE TC 58(9) 2009. Raises
    BadInput where it adds up more than four million terms, one a task at each jump.

    >>> verdict = qpa(TaskSet(C=[6, 2, 8, 4], T=[31, 10, 40, 50], D=[18, 9, 22, 40]), start=24)
    >>> print(verdict)
    QPA: demand(t) <= t at 2 instants below 24: holds, schedulable; the last: demand(18) = 8 <= 18
    >>> [tuple(step[:2]) for step in verdict.steps]
    [(22, 18), (18, 8)]
    """
    load = _load(ts, "QPA", blocking, preemptive)
    hopeless = _hopeless(ts, "QPA", load)
    if hopeless is not None:
        return hopeless
    bound = _horizon(ts, load)
    begin = bound if start is None else given_ticks(ts, start, "start")
    trace = partial(_falling, load, begin)
    most = _most_steps(ts, begin)
    count, last = _last(islice(trace(), most + 1))
    if count > most:
        raise BadInput("QPA", f"not done after {most:,} jumps from {_words(ts, begin)}", _HINT)
    where = f"{count} instant{'s' * (count != 1)} below {_words(ts, begin)}"
    return _verdict(ts, "QPA", load, last, where, ceil(begin) < bound, trace)


def _load(ts: TaskSet, test: str, blocking: Any, preemptive: bool) -> Load:
    """What the test looks at. Raises BadInput where it would leave out what the tasks share."""
    check_flags(preemptive=preemptive)
    if preemptive and blocking is None:
        ts.check_independent(test)
    return load_of(ts, blocking, preemptive)


def _hopeless(ts: TaskSet, test: str, load: Load) -> Verdict | None:
    """The verdict on a set that needs no look at its demand: U above 1, or a release as late as the deadline."""
    if ts.U > 1:
        return Verdict(ts, test, "exact", False, f"U = {share(ts.U)} <= 1")
    late = next((task for task in ts if task.jitter >= task.D), None)
    if late is None:
        return None
    demand = demand_at(load.C, load.T, load.D, 0)
    told = f"{late.name} may be released at its deadline: D = {ts.words(late.D)}, J = {ts.words(late.jitter)}"
    witness, step = Witness(told, 0, late.name), Step(0, ts.from_ticks(demand))
    return Verdict(ts, test, "exact", False, f"demand(0) = {ts.words(step.value)} <= 0", witness, trace=lambda: (step,))


def _limit(ts: TaskSet, blocked: int) -> Fraction:
    """L* in ticks, with a blocking that lasts."""
    T, D = ts.in_ticks("T"), effective_deadlines(ts)
    late = sum(task.U * (p - d) for task, p, d in zip(ts, T, D, strict=True))
    return max(Fraction(), *(Fraction(d - p) for p, d in zip(T, D, strict=True)), (late + blocked) / (1 - ts.U))


def _most_steps(ts: TaskSet, upto: Time = 0) -> int:
    """How many steps are made, up to a time: where that has a great many digits, fewer, since each takes longer."""
    return _MOST_TERMS // (len(ts) + _COST) // (1 + ceil(upto).bit_length() // 512)


def _busy(ts: TaskSet, blocked: int, stop: Fraction | None) -> tuple[int, bool]:
    """The busy period in ticks and True; or how far it was followed: to `stop`, or to the last step allowed."""
    tasks = list(zip(ts.in_ticks("C"), ts.in_ticks("T"), ts.in_ticks("jitter"), strict=True))
    w = blocked + sum(c for c, _, _ in tasks)
    for _ in range(_most_steps(ts)):
        if stop is not None and w >= stop:
            return w, False
        work = blocked + sum(-(-(w + j) // p) * c for c, p, j in tasks)
        if work == w:
            return w, True
        w = work
    return w, False


def _horizon(ts: TaskSet, load: Load) -> int:
    """If the demand is ever above t, then at a t below this: min(L*, busy period) in the plain case, in whole ticks."""
    if ts.U == 1:
        # demand(t + H) = demand(t) + H from the largest D - T on; without jitter the busy period is H.
        whole = int(ts.hyperperiod * ts.per_unit)
        longer = load.lasting or any(ts.in_ticks("jitter"))
        return max(load.settled, whole + (max(load.D) if longer else 0))
    limit = _limit(ts, load.lasting)
    busy, done = _busy(ts, load.lasting, limit)
    return max(load.settled, busy if done else ceil(limit))


def _rising(load: Load, until: Time) -> Iterator[tuple[int, int]]:
    """Every deadline up to a time, and the load there; up to the first that is above it."""
    for t, demand in deadlines(load.C, load.T, load.D, until):
        value = demand + load.blocked(t)
        yield t, value
        if value > t:
            return


def _falling(load: Load, start: Time) -> Iterator[tuple[int, int]]:
    """The instants of QPA and the load there, from the last deadline before the start."""
    first = min(load.D)
    t = before(load.T, load.D, ceil(start))
    while t is not None:
        value = demand_at(load.C, load.T, load.D, t) + load.blocked(t)
        yield t, value
        drop = load.drop(t)
        low = None if drop is None else before(load.T, load.D, drop)
        if value > t or (value <= first and low is None):
            return
        t = value if value < t else before(load.T, load.D, t)
        if low is not None and (t is None or t < low):
            t = low


def _last(looks: Iterator[tuple[int, int]]) -> tuple[int, tuple[int, int] | None]:
    """How many looks there are, and the last one."""
    found = deque(enumerate(looks, 1), maxlen=1)
    return found[0] if found else (0, None)


def _verdict(
    ts: TaskSet,
    test: str,
    load: Load,
    last: tuple[int, int] | None,
    where: str,
    short: bool,
    looks: Callable[[], Iterator[tuple[int, int]]],
) -> Verdict:
    """What the last look says: it is above t, or all have been made."""
    if last is None:
        kind, why = ("necessary", "is so early") if short else (load.kind, "needs a look")
        return Verdict(ts, test, kind, True, f"U = {share(ts.U)} <= 1, and no deadline {why}")
    t, value = last
    passed = value <= t
    at, work, B = _words(ts, t), value - load.blocked(t), load.blocked(t)
    parts, sums = f"demand({at})", _words(ts, work)
    if load.starts:
        parts, sums = f"{parts} + B({at})", f"{sums} + {_words(ts, B)}"
    name = "demand(t) + B(t)" if load.starts else "demand(t)"
    told = f"{parts} = {sums} {'<=' if passed else '>'} {at}"
    kind = load.kind
    if passed and short:
        kind = "necessary"
    elif work > t:  # the blocking is not even needed to fail
        kind = demand_kind(ts)
    witness = Witness(f"the {'last' if passed else 'first found'}: {told}", ts.from_ticks(t))
    return Verdict(ts, test, kind, passed, f"{name} <= t at {where}", witness, trace=partial(_steps, ts, looks))


def _steps(ts: TaskSet, looks: Callable[[], Iterator[tuple[int, int]]]) -> Iterator[Step]:
    for t, value in looks():
        yield Step(ts.from_ticks(t), ts.from_ticks(value))


def _words(ts: TaskSet, count: Time) -> str:
    return ts.words(from_ticks(count, ts.per_unit))

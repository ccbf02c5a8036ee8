# SPDX-License-Identifier: MIT
"""How much more would still fit? The factor by which all C can grow, the largest C of each task, and the slack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from math import ceil, lcm
from typing import NamedTuple

from rtnb.errors import BadInput, closest
from rtnb.theory.digits import share
from rtnb.theory.edf import edf_response_times
from rtnb.theory.exact import Time, fraction, from_ticks
from rtnb.theory.load import before, deadlines, demand_at, effective_deadlines
from rtnb.theory.priorities import deadline_monotonic, rate_monotonic
from rtnb.theory.response import response_times
from rtnb.theory.taskset import TaskSet, of_a_set
from rtnb.theory.verdict import Witness
from rtnb.units import in_words

__all__ = ["Breakdown", "Slack", "breakdown", "largest_C", "slack"]

_POLICIES = ("fp", "rm", "dm", "edf")
_MOST_LOOKS = 100_000
_FIRST_LOOKS = 2_000


@dataclass(frozen=True, repr=False)
class Breakdown:
    """All C times `factor` just fit, with the utilisation `U`; the witness says what keeps them from growing."""

    factor: Fraction
    U: Fraction
    witness: Witness

    def __str__(self) -> str:
        return f"breakdown: all C times {share(self.factor)} fit, U = {share(self.U)}; {self.witness.words}"

    __repr__ = __str__


@dataclass(frozen=True, repr=False)
class Slack:
    """`left`: D - R of each task in list order, None where R is unbounded. `extra`: what all C may grow by at once.

    `extra` is None where the set is not schedulable as it is. `taskset` is the set, with the policy's priorities.
    """

    taskset: TaskSet

    left: tuple[Time | None, ...]
    extra: Time | None

    def __str__(self) -> str:
        named = zip(self.taskset, self.left, strict=True)
        left = ", ".join(f"{task.name} {'unbounded' if time is None else self._words(time)}" for task, time in named)
        extra = "all C: not schedulable as it is" if self.extra is None else f"all C: {self._words(self.extra)}"
        return f"slack: {left}; {extra}"

    __repr__ = __str__

    def _words(self, time: Time) -> str:
        """Of nanoseconds that are not whole, three digits: what they are exactly is in `left` and `extra`."""
        if self.taskset.unit and time.denominator > 1:
            return f"about {in_words(float(time))}"
        return self.taskset.words(time)


@of_a_set
def breakdown(ts: TaskSet, policy: str = "fp") -> Breakdown:
    """The largest factor by which all C can be multiplied, exactly: below 1, the set is not schedulable.

    `policy`: fp (the set's own priorities), rm, dm or edf; preemptive, tasks independent and sporadic, any deadlines,
    release jitter counted. The factor is 0 where a task may be released as late as its deadline.

    Bini, Di Natale & Buttazzo, "Sensitivity analysis for fixed-priority real-time systems", Real-Time Systems 39,
    2008; Zhang, Burns & Baruah, "Sensitivity analysis for EDF scheduled arbitrary deadline real-time systems", RTCSA
    2010. Raises BadInput for another policy, for tasks that share resources, and where more than 100,000 instants
    would have to be looked at; of more than ten tasks, fewer.

    >>> found = breakdown(TaskSet(C=[20, 40, 100], T=[100, 150, 350]))
    >>> found.factor, found.U, found.witness.words
    (Fraction(5, 4), Fraction(79, 84), 't3 has until 300 to be done')
    """
    ts.check_independent("breakdown")
    C = ts.in_ticks("C")
    most = _largest(ts, policy, [0] * len(ts), C)
    factor = Fraction(0) if most is None else most.x
    witness = most.witness if most else Witness("a task may be released as late as its deadline", 0)
    return Breakdown(factor, factor * ts.U, witness)


@of_a_set
def largest_C(ts: TaskSet, policy: str = "fp") -> list[Time | None]:
    """The largest C of each task with which the set is schedulable, the others as they are; exactly, in list order.

    None where it is not schedulable however small that C is. Policies, sources and errors: see `breakdown`.

    >>> largest_C(TaskSet(C=[1, 2, 3], T=[5, 7, 16]))
    [Fraction(7, 3), 4, 7]
    """
    ts.check_independent("largest_C")
    C = ts.in_ticks("C")
    found: list[Time | None] = []
    for at in range(len(ts)):
        others = [0 if place == at else c for place, c in enumerate(C)]
        most = _largest(ts, policy, others, [int(place == at) for place in range(len(ts))])
        found.append(fraction(most.x / ts.per_unit) if most and most.x else None)
    return found


@of_a_set
def slack(ts: TaskSet, policy: str = "fp") -> Slack:
    """What is left to each task between its worst response and its deadline, and how much longer all jobs may take.

    Policies, sources and errors: see `breakdown`; the response times are those of `response_times` and
    `edf_response_times`.

    >>> slack(TaskSet(C=[1, 2, 3], T=[5, 7, 16]))
    slack: t1 4, t2 4, t3 9; all C: 2/3
    """
    ts.check_independent("slack")
    ts = _ordered(ts, policy)
    R = (edf_response_times if policy == "edf" else response_times)(ts).R
    left = tuple(None if r is None else fraction(Fraction(task.D - r)) for task, r in zip(ts, R, strict=True))
    most = _largest(ts, policy, ts.in_ticks("C"), [1] * len(ts))
    return Slack(ts, left, fraction(most.x / ts.per_unit) if most else None)


def _ordered(ts: TaskSet, policy: str) -> TaskSet:
    if policy not in _POLICIES:
        hint = closest(str(policy), _POLICIES) or f"one of {', '.join(_POLICIES)}"
        raise BadInput(f"policy {policy}", "no sensitivity is known for it", hint)
    if policy in ("rm", "dm"):
        return rate_monotonic(ts) if policy == "rm" else deadline_monotonic(ts)
    return ts


class _Case(NamedTuple):
    """In ticks, each task's C is base + x times grows: what is looked for is the largest x. D is less the jitter."""

    ts: TaskSet
    base: Sequence[int]
    grows: Sequence[int]
    T: list[int]
    J: list[int]
    D: list[int]

    def C(self, x: Fraction) -> list[int]:
        """The C with this x, in parts of a tick, of which a tick has as many as the denominator of x."""
        return [b * x.denominator + g * x.numerator for b, g in zip(self.base, self.grows, strict=True)]

    def U(self, part: Sequence[int]) -> Fraction:
        return sum((Fraction(c, p) for c, p in zip(part, self.T, strict=True)), Fraction())

    def most_looks(self, upto: Time) -> int:
        """How many instants are looked at: of many tasks, and of times with many digits, fewer."""
        return min(_MOST_LOOKS, 20 * _MOST_LOOKS // (len(self.T) + 10) // (1 + ceil(upto).bit_length() // 512))

    def too_many(self, looked: Time, looks: int = _MOST_LOOKS) -> BadInput:
        upto = self.ts.words(from_ticks(looked, self.ts.per_unit))
        why = f"more than {looks:,} instants up to {upto} would have to be looked at"
        return BadInput("sensitivity", why, "rounder periods, with a shorter hyperperiod, need fewer")


class _Most(NamedTuple):
    x: Fraction
    witness: Witness


def _largest(ts: TaskSet, policy: str, base: Sequence[int], grows: Sequence[int]) -> _Most | None:
    """The largest x >= 0, and what bounds it; None where there is none."""
    ts = _ordered(ts, policy)
    case = _Case(ts, base, grows, ts.in_ticks("T"), ts.in_ticks("jitter"), effective_deadlines(ts))
    free = 1 - case.U(base)
    if free < 0 or min(case.D) <= 0:
        return None
    most = _Most(free / case.U(grows), Witness("U is 1"))
    return (_largest_edf if policy == "edf" else _largest_fixed)(case, most)


# Under EDF the demand is at most t at every deadline.


def _largest_edf(case: _Case, most: _Most) -> _Most | None:
    """The first deadlines are looked at upwards, which lowers x soon; the rest downwards, with the jumps of QPA."""
    end, seen = _end(case, most.x), 0
    for t, _ in islice(deadlines(case.base, case.T, case.D, end), _FIRST_LOOKS):
        if t >= end:
            return most
        if (found := _fitting(case, most, t)) is None:
            return None
        most, end, seen = found, end if found is most else _end(case, found.x), t
    at = before(case.T, case.D, ceil(end))
    looks = case.most_looks(end)
    for _ in range(looks):
        if at is None or at <= seen:
            return most
        if (found := _fitting(case, most, at)) is None:
            return None
        most = found
        demand = demand_at(case.C(most.x), case.T, case.D, at) // most.x.denominator
        at = demand if demand < at else before(case.T, case.D, at)
    raise case.too_many(end, looks)


def _fitting(case: _Case, most: _Most, t: int) -> _Most | None:
    """The same, or the largest x with which the demand at t is at most t; None where there is none."""
    base, grows = (demand_at(part, case.T, case.D, t) for part in (case.base, case.grows))
    if base > t:
        return None
    if base + grows * most.x <= t:
        return most
    at = case.ts.from_ticks(t)
    return _Most(Fraction(t - base, grows), Witness(f"the demand reaches t at {case.ts.words(at)}", at))


def _end(case: _Case, x: Fraction) -> Time:
    """If with this x the demand is ever above t, then at a t below this: L*, or a hyperperiod and the largest D."""
    loads = [Fraction(c, p * x.denominator) for c, p in zip(case.C(x), case.T, strict=True)]
    late = sum((u * (p - d) for u, p, d in zip(loads, case.T, case.D, strict=True)), Fraction())
    least: Time = max(0, *(d - p for p, d in zip(case.T, case.D, strict=True)))
    whole: Time = lcm(*case.T) + max(case.D)
    if late <= 0:
        return least
    return whole if sum(loads) == 1 else min(whole, max(least, late / (1 - sum(loads))))


# Under fixed priorities each job of a level's busy period has an instant by which it and what is above it are done.


def _largest_fixed(case: _Case, most: _Most) -> _Most | None:
    for rank, at in enumerate(case.ts.order):
        found = _largest_level(case, most, at, case.ts.order[:rank])
        if found is None:
            return None
        most = found
    return most


def _largest_level(case: _Case, most: _Most, at: int, above: list[int]) -> _Most | None:
    """Of one task: with D <= T its first job decides, else every job of the busy period with the x of so far."""
    T, jobs = case.T[at], 1
    if case.ts[at].D > case.ts[at].T:
        jobs = lcm(T, *(case.T[i] for i in above)) // T  # then, as U <= 1, all repeats itself
    end = 0
    for job in range(1, min(jobs, _MOST_LOOKS) + 1):
        done = _done(case, most.x, at, above, job, end)
        if done is None:
            found = _instant(case, at, above, job)
            if found is None:
                return None
            most, end = found, 0
            done = _done(case, most.x, at, above, job, 0)
        if done is None or done <= (job * T - case.J[at]) * most.x.denominator:
            return most
        end = done
    if jobs > _MOST_LOOKS:
        raise case.too_many(_MOST_LOOKS * T)
    return most


def _done(case: _Case, x: Fraction, at: int, above: list[int], job: int, start: int) -> int | None:
    """When the job ends, in parts of a tick, if not after its deadline; the one before it ended at `start`."""
    C, unit = case.C(x), x.denominator
    end = max(start, 1)
    while end <= _due(case, at, job) * unit:
        work = job * C[at] + sum(-(-(end + case.J[i] * unit) // (case.T[i] * unit)) * C[i] for i in above)
        if work <= end:
            return end
        end = work
    return None


def _instant(case: _Case, at: int, above: list[int], job: int) -> _Most | None:
    """The largest x with which the job is done by its deadline, and when: at it, or at an arrival of those above."""
    best: tuple[Fraction, int] | None = None
    for t in _points(case, _due(case, at, job), above):
        base, grows = (
            job * part[at] + sum(-(-(t + case.J[i]) // case.T[i]) * part[i] for i in above)
            for part in (case.base, case.grows)
        )
        if grows and base <= t:
            best = max(best or (Fraction(-1), 0), (Fraction(t - base, grows), t))
    if best is None:
        return None
    name, until = case.ts[at].name, case.ts.from_ticks(best[1])
    return _Most(best[0], Witness(f"{name} has until {case.ts.words(until)} to be done", until, name, job))


def _due(case: _Case, at: int, job: int) -> int:
    return (job - 1) * case.T[at] + case.D[at]


def _points(case: _Case, due: int, above: list[int]) -> set[int]:
    """The scheduling points of Bini & Buttazzo, "Schedulability analysis of periodic fixed priority systems", 2004."""
    points = {due}
    for i in sorted(above, key=lambda i: -case.T[i]):
        points |= {t - (t + case.J[i]) % case.T[i] for t in points}
        if len(points) > _MOST_LOOKS:
            raise case.too_many(due)
    return {t for t in points if t > 0}

# SPDX-License-Identifier: MIT
"""How long does each task take at worst, under fixed priorities? The recurrence, solved exactly, for each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from rtnb.errors import BadInput
from rtnb.theory.exact import Time, from_ticks, in_ticks, ticks
from rtnb.theory.options import check_flags
from rtnb.theory.response.level import Level, Worst, loads, meets, steps, worst
from rtnb.theory.response.offsets import finishes, window, worst_at_offsets
from rtnb.theory.response.terms import terms
from rtnb.theory.taskset import TaskSet, of_a_set
from rtnb.theory.verdict import Step, Verdict, Witness

__all__ = ["fits", "levels", "response_times"]

_WRITTEN_OUT = 8
"""Of at most so many tasks the inequality is told for each, and else for the one that decides."""
_MOST_STEPS = 300_000


@of_a_set
def response_times(ts: TaskSet, *, blocking: Any = None, preemptive: bool = True, offsets: bool = False) -> Verdict:
    """The worst-case response time of each task under its priority, from arrival to completion; passed: all R <= D.

    Any deadlines; each job of the level's busy period is looked at, and late jobs continue. `blocking`: a protocol of
    rtnb.theory.blocking, or a time for each task in list order; not given, that of no protocol. Without preemption the longest C below blocks, or
    what is listed, if longer; a protocol then changes nothing. Tasks are sporadic, or periodic with any phase. With
    `offsets` they are periodic from their offsets on, and the test looks at every job of two hyperperiods.

    R is None where it is unbounded, or so long that only a miss was found. The test is exact; sufficient where
    `blocking` counts, or where the offsets differ and are left out. The steps are the iterates, without the task's own jitter; with `offsets` the arrival and
    completion of each job. Raises BadInput, also where the busy period or the hyperperiod is too long.

    Joseph & Pandya, "Finding response times in a real-time system", The Computer Journal 29(5), 1986; Audsley et al.,
    "Applying new scheduling theory to static priority pre-emptive scheduling", Software Engineering Journal 8(5),
    1993 (blocking, jitter); Lehoczky, "Fixed priority scheduling of periodic task sets with arbitrary deadlines",
    RTSS 1990; Davis, Burns, Bril & Lukkien, "Controller Area Network (CAN) schedulability analysis: refuted,
    revisited and revised", Real-Time Systems 35, 2007 (without preemption).

    >>> verdict = response_times(TaskSet(C=[3, 3, 5], T=[7, 12, 20]))
    >>> print(verdict)
    response times: R <= D: t1 3 <= 7, t2 6 <= 12, t3 20 <= 20: holds, schedulable; t3 has the least slack, 0: its job 1 is done at 20
    >>> verdict.iterates["t3"]
    [[5, 11, 14, 17, 20, 20]]
    """  # noqa: E501
    check_flags(preemptive=preemptive, offsets=offsets)
    if offsets:
        _check_offsets(ts, blocking, preemptive)
    B = terms(ts, blocking)
    if not preemptive and (blocking is None or isinstance(blocking, str)):
        B = [0] * len(ts)  # no job waits for a lock that another holds: that one would not have let it start
    per_unit = ticks([ts.from_ticks(1), *(time for time in B if time)])
    made = levels(ts, [None if time is None else in_ticks(time, per_unit) for time in B], per_unit, preemptive)
    found = _chain(made)
    test, trace = "response times", partial(_steps, ts, made, per_unit)
    if offsets:
        starts = [in_ticks(ts[at].offset, per_unit) for at in ts.order]
        found = worst_at_offsets(made, starts, [each.R for each in found])
        test, trace = "response times at these offsets", partial(_jobs, ts, made, starts, per_unit)
    elif not preemptive:
        test = "response times without preemption"
    return _verdict(ts, test, "exact" if offsets else _kind(ts, B, preemptive), made, found, per_unit, trace)


@of_a_set
def fits(ts: TaskSet) -> bool:
    """Whether response_times() would prove it, preempted and without blocking: in a fraction of the time.

    Raises BadInput where tasks share resources.

    >>> fits(TaskSet(C=[3, 3, 5], T=[7, 12, 20]))
    True
    """
    ts.check_independent("fits")
    return all(map(meets, levels(ts, [0] * len(ts), ts.per_unit)))


def levels(ts: TaskSet, B: list[int | None], per_unit: int, preemptive: bool = True) -> list[Level]:
    """The tasks in ticks, highest priority first, each with those above it; B in list order, None: without bound."""
    tasks = [ts.tasks[at] for at in ts.order]
    C, T, D, J = ([getattr(task, field) for task in tasks] for field in ("C", "T", "D", "jitter"))
    if per_unit != 1:
        C, T, D, J = ([in_ticks(time, per_unit) for time in times] for times in (C, T, D, J))
    waits = [B[at] for at in ts.order]
    if not preemptive:
        below = [max(C[at + 1 :], default=0) for at in range(len(C))]
        waits = [None if B is None else max(B, C) for B, C in zip(waits, below, strict=True)]
    every, late, load = list(zip(C, T, J, strict=True)), any(J), loads(C, T)
    return [
        Level(task.name, C[at], T[at], D[at], J[at], waits[at], every[:at], load[at], preemptive, late)
        for at, task in enumerate(tasks)
    ]


def _check_offsets(ts: TaskSet, blocking: Any, preemptive: bool) -> None:
    tried, hint = "response times at these offsets", "leave offsets=True out: the bound for any phasing"
    if any(task.jitter for task in ts):
        raise BadInput(tried, "with jitter the releases are not known", hint)
    ts.check_independent(tried)
    if blocking is not None or not preemptive:
        raise BadInput(tried, "they are exact only without blocking, and with preemption", hint)


def _kind(ts: TaskSet, B: list[Time | None], preemptive: bool) -> str:
    """Exact, unless what is counted need not happen."""
    blocked = any(B) or None in B
    return "sufficient" if blocked or len({task.offset for task in ts}) > 1 else "exact"


def _chain(made: list[Level]) -> list[Worst]:
    """The worst of each level. The first job is done no earlier than that of the level above, and its own work after.

    (Both have the same above them, but for one that has at least a job there: the recurrence is monotonic.)
    """
    found: list[Worst] = []
    done, B = 0, 0
    for level in made:
        more = level.C + (level.B or 0) - B
        found.append(worst(level, done + more if level.preemptive and done and more >= 0 else 0))
        done, B = found[-1].first, level.B or 0
    return found


def _verdict(
    ts: TaskSet,
    test: str,
    kind: str,
    made: list[Level],
    found: list[Worst],
    per_unit: int,
    trace: Callable[[], Iterable[Step]],
) -> Verdict:
    """What was found, highest priority first, as a verdict."""
    R = [None if each.R is None else from_ticks(each.R, per_unit) for each in found]
    listed: list[Time | None] = [None] * len(ts)
    for at, time in zip(ts.order, R, strict=True):
        listed[at] = time
    late = next((at for at, each in enumerate(found) if each.R is None or each.R > made[at].D), None)
    decides = late if late is not None else min(range(len(made)), key=lambda at: made[at].D - (found[at].R or 0))
    witness = (_tightest if late is None else _first_late)(ts, made[decides], found[decides], per_unit)
    shown = range(len(ts)) if len(ts) <= _WRITTEN_OUT else [ts.order[decides]]
    endless = {level.name for level in made if level.B is None or level.load > 0}
    compared = ", ".join(_compared(ts, at, listed[at], ts[at].name in endless) for at in shown)
    told = f"R <= D: {compared}" if len(ts) <= _WRITTEN_OUT else f"R <= D for each of {len(ts)} tasks: {compared}"
    return Verdict(ts, test, kind, late is None, told, witness, tuple(listed), trace)


def _compared(ts: TaskSet, at: int, R: Time | None, endless: bool) -> str:
    task = ts[at]
    if R is None:
        return f"{task.name} {'unbounded' if endless else 'more'} > {ts.words(task.D)}"
    return f"{task.name} {ts.words(R)} {'<=' if R <= task.D else '>'} {ts.words(task.D)}"


def _tightest(ts: TaskSet, level: Level, found: Worst, per_unit: int) -> Witness:
    slack, end = from_ticks(level.D - (found.R or 0), per_unit), from_ticks(found.end, per_unit)
    job = f"its job {found.job} is done at {ts.words(end)}"
    return Witness(f"{level.name} has the least slack, {ts.words(slack)}: {job}", end, level.name, found.job)


def _first_late(ts: TaskSet, level: Level, found: Worst, per_unit: int) -> Witness:
    why = ""
    if found.R is None:
        why = "it and those above ask for more than the CPU has" if level.load > 0 else "its busy period is very long"
        why = "its blocking has no bound" if level.B is None else why
    if found.missed is None:
        return Witness(f"{level.name}: {why}; its first miss is far off", None, level.name)
    job, due, done = found.missed
    told = "is not done by then" if done is None else f"is done at {ts.words(from_ticks(done, per_unit))}"
    verb = "may miss" if level.B is None or level.B else "misses"
    told = f"{level.name} {verb}: its job {job}, due at {ts.words(from_ticks(due, per_unit))}, {told}"
    return Witness(f"{told}; {why}" if why else told, from_ticks(due, per_unit), level.name, job)


def _steps(ts: TaskSet, made: list[Level], per_unit: int) -> Iterator[Step]:
    """The iterates, task by task in list order."""
    by_name = {level.name: level for level in made}
    left = _MOST_STEPS
    for task in ts:
        for job, w, done in steps(by_name[task.name]):
            yield Step(from_ticks(w, per_unit), from_ticks(done, per_unit), task.name, job)
            left -= 1
            if not left:
                raise BadInput(
                    "the steps", f"there are more than {_MOST_STEPS}", "R and the witness are known without them"
                )


def _jobs(ts: TaskSet, made: list[Level], starts: list[int], per_unit: int) -> Iterator[Step]:
    """The arrival and the completion of each job, highest priority first."""
    fit = [level for level in made if level.load <= 0]
    until = max((window(fit, starts, at) for at in range(len(fit))), default=0)
    for at, done in enumerate(finishes(fit, starts, until)):
        arrivals = range(starts[at], window(fit, starts, at), fit[at].T)
        for job, (arrival, end) in enumerate(zip(arrivals, done, strict=False), 1):
            yield Step(from_ticks(arrival, per_unit), from_ticks(end, per_unit), fit[at].name, job)

# SPDX-License-Identifier: MIT
"""How late can a job be under global fixed priorities? By what those above it do on all CPUs at once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from rtnb.errors import BadInput
from rtnb.theory.multiprocessor import check_global
from rtnb.theory.taskset import TaskSet, of_a_set
from rtnb.theory.verdict import Step, Verdict, Witness

__all__ = ["global_response_times"]

_MOST_STEPS = 20_000


@of_a_set
def global_response_times(ts: TaskSet, cpus: int) -> Verdict:
    """Bounds of the response times under global preemptive fixed priorities, deadlines up to the period; sufficient.

    R is in whole ticks of the set, rounded up, so that it holds for arrivals at any instant; None where none was found
    up to the deadline, and for the tasks below such a one. Bertogna & Cirinei, "Response-time analysis for globally
    scheduled symmetric multiprocessor platforms", RTSS 2007, where at most m - 1 tasks carry work in: Guan, Stigge, Yi
    & Yu, "New response time bounds for fixed priority multiprocessor scheduling", RTSS 2009 (RTA-LC).

    Raises BadInput: release jitter, deadlines above the period, tasks that are bound to a CPU.

    >>> verdict = global_response_times(TaskSet(C=[1, 1, 2], T=[3, 4, 6]), 2)
    >>> verdict.R, verdict.schedulable
    ((1, 1, 3), True)
    """
    check_global(ts, cpus, "global response")
    if any(task.D > task.T for task in ts):
        raise BadInput("global response", "a task has a deadline above its period", "use deadlines up to the period")
    C, T, D = ts.in_ticks("C"), ts.in_ticks("T"), ts.in_ticks("D")
    found: dict[int, int] = {}
    for n, at in enumerate(ts.order):
        above = [_Above(C[i], T[i], found[i]) for i in ts.order[:n]]
        steps = _iterate(C[at], D[at], above, cpus)
        *_, (tried, last) = steps
        if tried != last or last > D[at]:
            break
        found[at] = last
    R = tuple(ts.from_ticks(found[at]) if at in found else None for at in range(len(ts)))
    failed = next((ts[at] for at in ts.order if at not in found), None)
    if failed is None:
        told, witness = "each R <= D", None
    else:
        told = f"R of {failed.name} <= D = {ts.words(failed.D)}"
        witness = Witness(f"no bound of {failed.name} up to its deadline", failed.D, failed.name)
    trace = partial(_trace, ts, cpus, found)
    return Verdict(ts, "global response", "sufficient", failed is None, told, witness, R, trace)


class _Above(NamedTuple):
    """A task of higher priority, in ticks, with its bound."""

    C: int
    T: int
    R: int


def _iterate(C: int, D: int, above: list[_Above], cpus: int) -> Iterator[tuple[int, int]]:
    """Each R that is tried and what comes of it, from C up to the first that stays, or that is above D."""
    R = C
    for _ in range(_MOST_STEPS):
        needed = C + _delay(R, R - C, above, cpus)
        yield R, needed
        if needed == R or needed > D:
            return
        R = needed


def _delay(window: int, delay: int, above: list[_Above], cpus: int) -> int:
    """The same delay, if in this window those above cannot delay a job by more; else the least that still may be.

    They can only if, each counted for no more than any x just above the delay, they fill m CPUs for x. A pair
    (work, 1) is such an x: the delay and a bit.
    """
    plain, carried = [_plain(window, t) for t in above], [_carried(window, t) for t in above]
    own = [_at_most(work, delay) for work in plain]
    rest = [(_at_most(work, delay), part) for work, part in zip(carried, own, strict=True)]
    more = [(work - had, bit - had_bit) for (work, bit), (had, had_bit) in rest]
    counted = own + sorted(more, reverse=True)[: cpus - 1]
    work, bits = sum(w for w, _ in counted), sum(bit for _, bit in counted)
    if (work, bits) < (cpus * delay, cpus):
        return delay
    # m of them at all times: so it stays until the delay is as long as all the work of one of them.
    blocked = min(w for w in plain + carried if w > delay) if bits >= cpus else 0
    return max(-(-work // cpus), blocked)


def _at_most(work: int, delay: int) -> tuple[int, int]:
    return (delay, 1) if work > delay else (work, 0)


def _plain(window: int, task: _Above) -> int:
    """The most that a task executes in a window in which it has no job from before."""
    return window // task.T * task.C + min(window % task.T, task.C)


def _carried(window: int, task: _Above) -> int:
    """The most that a task executes in a window which begins amid a job: as late as its bound lets it be."""
    reach = window + task.R - task.C
    return reach // task.T * task.C + min(task.C, reach % task.T)


def _trace(ts: TaskSet, cpus: int, found: dict[int, int]) -> Iterator[Step]:
    C, T, D = ts.in_ticks("C"), ts.in_ticks("T"), ts.in_ticks("D")
    for n, at in enumerate(ts.order):
        above = [_Above(C[i], T[i], found[i]) for i in ts.order[:n]]
        for tried, needed in _iterate(C[at], D[at], above, cpus):
            yield Step(ts.from_ticks(tried), ts.from_ticks(needed), ts[at].name, 1)
        if at not in found:
            return

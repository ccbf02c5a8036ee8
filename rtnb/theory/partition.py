# SPDX-License-Identifier: MIT
"""Which task on which CPU? Bin packing, each CPU by the exact test for one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

from rtnb.errors import BadInput, closest
from rtnb.theory.digits import share, sides
from rtnb.theory.exact import Time, fraction
from rtnb.theory.options import check_cpus
from rtnb.theory.response import fits
from rtnb.theory.taskset import TaskSet, of_a_set
from rtnb.theory.verdict import Verdict, Witness

__all__ = ["FITS", "ORDERS", "TESTS", "Partition", "Try", "lopez", "lopez_bound", "partition"]

FITS = ("first", "best", "worst", "next")
"""Of the CPUs where the task fits: the first; the fullest; the emptiest; none before that of the task before."""
ORDERS = ("decreasing", "given")
TESTS = ("edf", "fp")


class Try(NamedTuple):
    """A task was tried on a CPU whose utilisation with it would be `load`; `fits`: all there meet their deadlines."""

    task: str
    cpu: int
    load: Time
    fits: bool


@dataclass(frozen=True, repr=False)
class Partition:
    """A packing: `bins` are the numbers of the tasks, from 1, a CPU each in list order; True where all are placed.

    `taskset` has the `cpu` of each task that was placed; `unplaced` are the numbers of the others.
    """

    taskset: TaskSet
    bins: tuple[tuple[int, ...], ...]
    unplaced: tuple[int, ...]
    fit: str
    order: str
    test: str
    steps: tuple[Try, ...]

    def __bool__(self) -> bool:
        return not self.unplaced

    def on(self, cpu: int) -> TaskSet | None:
        """The tasks of a CPU as a set of their own; None where it has none. Raises BadInput where there is no such."""
        if cpu not in range(len(self.bins)):
            raise BadInput(f"cpu {cpu}", f"the packing has CPUs 0 to {len(self.bins) - 1}")
        return _sub(self.taskset, [number - 1 for number in self.bins[cpu]]) if self.bins[cpu] else None

    @property
    def names(self) -> tuple[tuple[str, ...], ...]:
        """The names of the tasks of each CPU."""
        return tuple(tuple(self.taskset[number - 1].name for number in numbers) for numbers in self.bins)

    @property
    def verdict(self) -> Verdict:
        """What the packing says: a proof where it is whole; else another one may still be."""
        told = "; ".join(f"cpu {cpu}: {', '.join(names) or 'none'}" for cpu, names in enumerate(self.names))
        witness = None
        if self.unplaced:
            name = self.taskset[self.unplaced[0] - 1].name
            loads = ", ".join(share(step.load) for step in self.steps if step.task == name)
            witness = Witness(f"{name} fits on none (U there: {loads})", task=name)
        test = f"{self.fit} fit, {self.test}"
        return Verdict(self.taskset, test, "sufficient", not self.unplaced, told, witness)

    def __str__(self) -> str:
        return str(self.verdict)

    __repr__ = __str__


@of_a_set
def partition(ts: TaskSet, cpus: int, fit: str = "first", order: str = "decreasing", test: str = "edf") -> Partition:
    """Pack the tasks onto so many CPUs, one after the other; a task that has a `cpu` is tried there alone.

    fit: first, best, worst, next. order: decreasing (by utilisation), or as given. test, the exact one of a CPU: edf
    (U <= 1, or QPA where deadlines are below periods), or fp (response times under the set's own priorities). A packing
    that fails is no proof that there is none. Raises BadInput, also where tasks share resources.
    Lopez, Diaz & Garcia, "Utilization bounds for EDF scheduling on real-time multiprocessor systems", Real-Time
    Systems 28, 2004.

    >>> partition(TaskSet(C=[1, 1, 20], T=[19, 19, 20]), 2).bins
    ((3,), (1, 2))
    """
    check_cpus(cpus)
    ts.check_independent("partition")
    for given, known, what in ((fit, FITS, "fit"), (order, ORDERS, "order"), (test, TESTS, "test")):
        if given not in known:
            raise BadInput(f"{what} {given!r}", "not known", closest(str(given), known) or f"one of {', '.join(known)}")
    for task in ts:
        if task.cpu is not None and task.cpu >= cpus:
            raise BadInput(f"partition, task {task.name}", f"there is no cpu {task.cpu}", f"CPUs are 0 to {cpus - 1}")
    bins, unplaced, steps = _pack(ts, cpus, fit, order, schedulable_edf if test == "edf" else fits)
    where = {at: cpu for cpu, places in enumerate(bins) for at in places}
    placed = ts._of((replace(task, cpu=where.get(at, task.cpu)) for at, task in enumerate(ts)), ts.unit)
    numbers = tuple(tuple(at + 1 for at in sorted(places)) for places in bins)
    return Partition(placed, numbers, tuple(at + 1 for at in sorted(unplaced)), fit, order, test, tuple(steps))


def _pack(
    ts: TaskSet, cpus: int, fit: str, order: str, schedulable: Callable[[TaskSet], bool]
) -> tuple[list[list[int]], list[int], list[Try]]:
    bins: list[list[int]] = [[] for _ in range(cpus)]
    load = [Fraction()] * cpus
    unplaced, steps, current = [], [], 0
    places = sorted(range(len(ts)), key=lambda at: -ts[at].U) if order == "decreasing" else range(len(ts))
    for at in places:
        task = ts[at]
        for cpu in _candidates(fit, load, current) if task.cpu is None else [task.cpu]:
            # The utilisation decides alone where it is above 1; only else is the test asked.
            fits = load[cpu] + task.U <= 1 and schedulable(_sub(ts, [*bins[cpu], at]))
            steps.append(Try(task.name, cpu, fraction(load[cpu] + task.U), fits))
            if fits:
                bins[cpu].append(at)
                load[cpu] += task.U
                current = cpu if task.cpu is None else current
                break
        else:
            unplaced.append(at)
    return bins, unplaced, steps


def _candidates(fit: str, load: Sequence[Fraction], current: int) -> list[int]:
    """The CPUs in the order in which they are tried; of equals the first comes first."""
    cpus = list(range(len(load)))
    if fit == "best":
        return sorted(cpus, key=lambda cpu: -load[cpu])
    if fit == "worst":
        return sorted(cpus, key=lambda cpu: load[cpu])
    return cpus[current:] if fit == "next" else cpus


def _sub(ts: TaskSet, places: Sequence[int]) -> TaskSet:
    """The tasks at these places, in list order, as a set for one CPU."""
    return ts._of((replace(ts[at], cpu=None) for at in sorted(places)), ts.unit)


@of_a_set
def schedulable_edf(ts: TaskSet) -> bool:
    """EDF on one CPU, exactly: by U <= 1 alone where no deadline is below its period."""
    ts.check_independent("edf")
    if all(task.D >= task.T and not task.jitter for task in ts):
        total = ts.U
        return total <= 1
    from rtnb.theory.demand import qpa

    return bool(qpa(ts))


def lopez_bound(cpus: int, largest: Time) -> Fraction:
    """(beta m + 1) / (beta + 1), where beta = floor(1 / U_max) tasks always fit on one CPU.

    Up to this utilisation first fit and best fit place all tasks under EDF, in any order.

    >>> lopez_bound(2, Fraction(51, 100))
    Fraction(3, 2)
    """
    beta = int(1 / Fraction(largest))
    return Fraction(beta * cpus + 1, beta + 1)


@of_a_set
def lopez(ts: TaskSet, cpus: int) -> Verdict:
    """Partitioned EDF by the bound of Lopez, Diaz and Garcia, U <= (beta m + 1) / (beta + 1); sufficient.

    Raises BadInput where a deadline is below its period, a task has release jitter, or is bound to a CPU. Lopez, Diaz &
    Garcia, "Utilization bounds for EDF scheduling on real-time multiprocessor systems", Real-Time Systems 28, 2004.

    >>> print(lopez(TaskSet(C=[51, 51, 51], T=[100, 100, 100]), 2))
    lopez: U = 153/100 > (beta m + 1) / (beta + 1) = 3/2, beta = 1: fails, cannot tell
    """
    check_cpus(cpus)
    ts.check_independent("lopez")
    for task in ts:
        if task.D < task.T or task.jitter or task.cpu is not None:
            why = "the bound is for deadlines not below the period, no release jitter and no bound CPU"
            raise BadInput(f"lopez, task {task.name}", why, "use partition()")
    total, largest = ts.U, max(task.U for task in ts)
    bound = lopez_bound(cpus, largest)
    beta = int(1 / largest)
    passed = total <= bound
    left, right = sides(total, bound)
    told = f"U = {left} {'<=' if passed else '>'} (beta m + 1) / (beta + 1) = {right}, beta = {beta}"
    return Verdict(ts, "lopez", "sufficient", passed, told)

# SPDX-License-Identifier: MIT
"""Do the tasks meet their deadlines when any of them may run on any of m CPUs? Bounds for global scheduling.

A job may move from one CPU to another, but is never on two at once. Tasks that share resources are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from rtnb.errors import BadInput
from rtnb.theory.digits import share, sides
from rtnb.theory.exact import Time, exact, fraction
from rtnb.theory.options import check_cpus
from rtnb.theory.task import Task
from rtnb.theory.taskset import TaskSet, of_a_set
from rtnb.theory.verdict import Verdict, Witness

__all__ = [
    "check_global",
    "dhall",
    "edf_us",
    "edf_us_bound",
    "edf_us_threshold",
    "gfb",
    "gfb_bound",
    "heavy",
    "necessary",
    "rm_us",
    "rm_us_bound",
    "rm_us_priorities",
    "rm_us_threshold",
    "tardiness",
]


def dhall(cpus: int = 2, period: Any = 20, epsilon: Any = 1) -> TaskSet:
    """Dhall's set: so many light tasks (epsilon, period - 1) as there are CPUs, and a heavy one (period, period).

    The light ones go first, under RM and under EDF, on all CPUs at once; the heavy one starts too late. U nears 1 as
    epsilon does 0 and the period grows, on any number of CPUs. Raises BadInput. Dhall & Liu, "On a real-time
    scheduling problem", Operations Research 26, 1978; Linux's sched-deadline.rst, 3.3.

    >>> print(dhall(2))
    light1 (1, 19), light2 (1, 19), heavy (20, 20)
    """
    check_cpus(cpus, least=2)
    (P, unit), (e, other) = exact(period, "period"), exact(epsilon, "epsilon")
    if unit or other:
        raise BadInput("dhall", "its times are bare numbers", "dhall(cpus=2, period=20, epsilon=1)")
    if not 0 < e <= P - 1:
        raise BadInput(f"dhall, epsilon {e}", "it is above 0, and at most period - 1", "dhall(2, period=20, epsilon=1)")
    light = [(f"light{n}", e, P - 1) for n in range(1, cpus + 1)]
    return TaskSet([*light, ("heavy", P, P)])


@of_a_set
def necessary(ts: TaskSet, cpus: int) -> Verdict:
    """What must hold on so many CPUs whatever the algorithm: U <= m, and no task is too much for one CPU alone.

    Each task has C <= T, and C <= D - jitter. Raises BadInput.

    >>> print(necessary(TaskSet(C=[2, 2, 2], T=[3, 3, 3]), 2))
    necessary: U = 2 <= 2, each C <= min(T, D - J): holds, cannot tell
    """
    check_cpus(cpus)
    total = ts.U
    wrong = next((task for task in ts if min(task.T, task.D - task.jitter) < task.C), None)
    witness = None
    if wrong:
        why = f"{wrong.name} needs {ts.words(wrong.C)} of one CPU, and cannot have it in time"
        witness = Witness(why, task=wrong.name)
    told = f"U = {share(total, cpus)} {_sign(total <= cpus)} {cpus}, each C <= min(T, D - J)"
    return Verdict(ts, "necessary", "necessary", total <= cpus and wrong is None, told, witness)


def gfb_bound(cpus: int, largest: Time) -> Time:
    """m - (m - 1) U_max: up to this utilisation global EDF meets all deadlines.

    >>> gfb_bound(2, Fraction(2, 3))
    Fraction(4, 3)
    """
    return fraction(cpus - (cpus - 1) * Fraction(largest))


@of_a_set
def gfb(ts: TaskSet, cpus: int) -> Verdict:
    """Global EDF by the utilisation bound of Goossens, Funk and Baruah, U <= m - (m - 1) U_max; sufficient.

    With deadlines below the period the densities C / D stand for the utilisations. Raises BadInput: release jitter,
    deadlines above the period, tasks that are bound to a CPU. Goossens, Funk & Baruah, "Priority-driven scheduling of
    periodic task systems on multiprocessors", Real-Time Systems 25, 2003; for densities Bertogna, Cirinei & Lipari,
    "Improved schedulability analysis of EDF on multiprocessor platforms", ECRTS 2005.

    >>> print(gfb(TaskSet(C=[1, 1, 1, 1], T=[2, 2, 4, 4]), 2))
    gfb: U = 3/2 <= 2 - 1 * 1/2 = 3/2: holds, schedulable
    """
    check_global(ts, cpus, "gfb")
    if any(task.D > task.T for task in ts):
        raise BadInput("gfb", "a task has a deadline above its period", "the bound is proved for deadlines up to it")
    density = [Fraction(task.C) / task.D for task in ts]
    total, largest = sum(density, Fraction()), max(density)
    bound = gfb_bound(cpus, largest)
    name = "U" if all(task.D == task.T for task in ts) else "density"
    passed = total <= bound and largest <= 1
    left, right = sides(total, bound)
    told = f"{name} = {left} {_sign(total <= bound)} {cpus} - {cpus - 1} * {share(largest)} = {right}"
    most = ts[density.index(largest)]
    witness = None if passed else Witness(f"{most.name} has the largest, {share(largest)}", task=most.name)
    return Verdict(ts, "gfb", "sufficient", passed, told, witness)


def rm_us_threshold(cpus: int) -> Fraction:
    """m / (3m - 2): a task that uses more is heavy to RM-US. It is 1 on one CPU, where RM-US is RM. Raises BadInput.

    >>> rm_us_threshold(4)
    Fraction(2, 5)
    """
    check_cpus(cpus)
    return Fraction(cpus, 3 * cpus - 2)


def rm_us_bound(cpus: int) -> Fraction:
    """m^2 / (3m - 2): up to this utilisation RM-US meets all deadlines on m >= 2 CPUs.

    >>> rm_us_bound(4)
    Fraction(8, 5)
    """
    return cpus * rm_us_threshold(cpus)


def edf_us_threshold(cpus: int) -> Fraction:
    """m / (2m - 1): a task that uses more is heavy to EDF-US. Raises BadInput.

    >>> edf_us_threshold(4)
    Fraction(4, 7)
    """
    check_cpus(cpus)
    return Fraction(cpus, 2 * cpus - 1)


def edf_us_bound(cpus: int) -> Fraction:
    """m^2 / (2m - 1): up to this utilisation EDF-US meets all deadlines.

    >>> edf_us_bound(4)
    Fraction(16, 7)
    """
    return cpus * edf_us_threshold(cpus)


@of_a_set
def heavy(ts: TaskSet, threshold: Fraction) -> tuple[str, ...]:
    """The names of the tasks that use more than a threshold, in list order: RM-US and EDF-US let them go first.

    >>> heavy(dhall(2), rm_us_threshold(2))
    ('heavy',)
    """
    return tuple(task.name for task in ts if threshold < task.U)


@of_a_set
def rm_us_priorities(ts: TaskSet, cpus: int) -> TaskSet:
    """The set with the priorities of RM-US: first the heavy tasks, then the others by their period.

    Raises BadInput.

    >>> [task.priority for task in rm_us_priorities(dhall(2), 2)]
    [2, 3, 1]
    """
    check_cpus(cpus)
    first = heavy(ts, rm_us_threshold(cpus))
    rank = [(0, 0) if task.name in first else (1, task.T) for task in ts]
    return ts.with_priorities(sorted(range(len(ts)), key=rank.__getitem__))


@of_a_set
def rm_us(ts: TaskSet, cpus: int) -> Verdict:
    """RM-US[m / (3m - 2)]: U <= m^2 / (3m - 2); sufficient. The verdict's set has its priorities.

    Heavy tasks go first, the others by rate, so that Dhall's effect is gone. Raises BadInput: one CPU, release jitter,
    deadlines other than the period, tasks that are bound to a CPU. Andersson, Baruah & Jonsson, "Static-priority
    scheduling on multiprocessors", RTSS 2001.

    >>> print(rm_us(TaskSet(C=[1, 1, 3], T=[10, 10, 5]), 2))
    rm-us: U = 4/5 <= m^2 / (3m - 2) = 1: holds, schedulable; heavy (U > 1/2), so first: t3
    """
    # On one CPU it would say U <= 1, and that is not so: the proof needs m >= 2.
    check_cpus(cpus, least=2)
    check_global(ts, cpus, "rm-us")
    limits = "m^2 / (3m - 2)", rm_us_bound(cpus), rm_us_threshold(cpus)
    return _us(rm_us_priorities(ts, cpus), "rm-us", *limits)


@of_a_set
def edf_us(ts: TaskSet, cpus: int) -> Verdict:
    """EDF-US[m / (2m - 1)]: U <= m^2 / (2m - 1); sufficient.

    Heavy tasks go first, the others by deadline; the witness names the heavy ones (`heavy`). Raises BadInput: release
    jitter, deadlines other than the period, tasks that are bound to a CPU. Srinivasan & Baruah, "Deadline-based
    scheduling of periodic task systems on multiprocessors", Information Processing Letters 84, 2002.

    >>> print(edf_us(dhall(2), 2))
    edf-us: U = 21/19 <= m^2 / (2m - 1) = 4/3: holds, schedulable; heavy (U > 2/3), so first: heavy
    """
    check_global(ts, cpus, "edf-us")
    return _us(ts, "edf-us", "m^2 / (2m - 1)", edf_us_bound(cpus), edf_us_threshold(cpus))


def _us(ts: TaskSet, test: str, formula: str, bound: Fraction, threshold: Fraction) -> Verdict:
    if any(task.D != task.T for task in ts):
        raise BadInput(test, "a task's deadline is not its period", "the bound is proved for deadlines equal to it")
    total = ts.U
    passed = total <= bound
    told = f"U = {share(total, bound)} {_sign(passed)} {formula} = {bound}"
    first = ", ".join(heavy(ts, threshold)) or "none"
    return Verdict(ts, test, "sufficient", passed, told, Witness(f"heavy (U > {threshold}), so first: {first}"))


@of_a_set
def tardiness(ts: TaskSet, cpus: int) -> Time:
    """The most by which global EDF can miss a deadline, where U <= m and each C <= T.

    It is ((m - 1) C_max - C_min) / (m - (m - 2) U_max) + C_max, and 0 on one CPU. Raises BadInput: an overload, release
    jitter, deadlines other than the period, tasks that are bound to a CPU. Devi & Anderson, "Tardiness bounds under
    global EDF scheduling on a multiprocessor", RTSS 2005, as in Linux's sched-deadline.rst, 3.1.

    >>> tardiness(TaskSet(C=[2, 2, 2], T=[3, 3, 3]), 2)
    2
    """
    check_global(ts, cpus, "tardiness")
    total, largest = ts.U, max(task.U for task in ts)
    if any(task.D != task.T for task in ts):
        raise BadInput("tardiness", "a task's deadline is not its period", "the bound is for deadlines equal to it")
    if total > cpus or largest > 1:
        U, most = share(total, cpus), share(largest)
        why = f"U is {U} on {cpus} CPUs, and the largest task's {most}: lateness grows without bound"
        raise BadInput("tardiness", why, "U <= m, and each C <= T")
    if cpus == 1:
        return 0
    C = [task.C for task in ts]
    return fraction(Fraction((cpus - 1) * max(C) - min(C)) / (cpus - (cpus - 2) * largest) + max(C))


def check_global(ts: TaskSet, cpus: int, test: str) -> None:
    """Raises BadInput for what no test of global scheduling here knows of."""
    check_cpus(cpus)
    ts.check_independent(test)
    rules: tuple[tuple[str, Callable[[Task], bool], str], ...] = (
        ("has release jitter, which the bound does not know", lambda task: task.jitter > 0, "leave jitter out"),
        ("is bound to a CPU", lambda task: task.cpu is not None, "leave cpu out, or test each CPU by itself"),
    )
    for why, wrong, hint in rules:
        for task in filter(wrong, ts):
            raise BadInput(f"{test}, task {task.name}", f"it {why}", hint)


def _sign(holds: bool) -> str:
    return "<=" if holds else ">"

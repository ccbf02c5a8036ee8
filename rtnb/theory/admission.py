# SPDX-License-Identifier: MIT
"""Would Linux let these tasks in as SCHED_DEADLINE ones? Its admission control, in its own 20-bit fixed point.

A task counts as runtime * 2^20 / period, rounded down; the sum of all may not be above the share that is left to real
time, times the CPUs. Deadlines below the period do not count. Source: kernel/sched/deadline.c (__checkparam_dl,
__dl_overflow), kernel/sched/core.c (to_ratio), sched-deadline.rst, 4.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from rtnb.errors import BadInput
from rtnb.theory.exact import Time
from rtnb.theory.options import check_cpus, check_flags
from rtnb.theory.task import Task
from rtnb.theory.taskset import TaskSet, of_a_set
from rtnb.theory.verdict import Step, Verdict, Witness
from rtnb.units import in_words

__all__ = ["UNIT", "check_parameters", "linux_admission", "to_ratio"]

UNIT = 1 << 20
"""A whole CPU (BW_UNIT)."""
_SHORTEST_NS = 1 << 10
_PERIOD_MIN_NS, _PERIOD_MAX_NS = 100_000, (1 << 22) * 1000
"""The defaults of sched_deadline_period_min_us and sched_deadline_period_max_us."""
_FAIR_SERVER = UNIT * 50 // 1000
"""50 ms a second, on each CPU."""


def to_ratio(period: Time, runtime: Time) -> int:
    """The share of a CPU, of 2^20, rounded down (to_ratio()).

    >>> to_ratio(100, 10)
    104857
    """
    return int(runtime * UNIT // period)


@of_a_set
def linux_admission(
    ts: TaskSet,
    cpus: int,
    *,
    rt_runtime_us: int = 950_000,
    rt_period_us: int = 1_000_000,
    fair_server: bool = True,
    used: int = 0,
) -> Verdict:
    """Does Linux admit all the tasks, one after the other, on a root domain of so many equally fast CPUs?

    rt_runtime_us, rt_period_us: the sysctls sched_rt_*_us (a runtime of -1: nothing is counted). `fair_server`: each
    CPU's takes 50 ms a second (since Linux 6.12, where it is one). `used`: what others have reserved, of 2^20. In a
    set whose times have a unit the tasks must also keep the kernel's rules for them (`check_parameters`).

    On one CPU, with deadlines equal to the period and nothing shared, what is let in meets its deadlines, unless the
    shares, rounded down, hide a U above 1: the verdict is exact (what is not let in does not run). Else it is necessary
    only: on several CPUs being late is bounded (`tardiness`), not excluded. The steps: t is a task's share, value the
    sum with it. Raises BadInput.

    >>> print(linux_admission(TaskSet(C=["10ms"] * 18, T=["100ms"] * 18), 2))
    linux admission: 1887426 + 104856 <= 2 * 996147 = 1992294 (of 2^20): holds, cannot tell
    """
    check_cpus(cpus)
    check_flags(fair_server=fair_server)
    _check_settings(rt_runtime_us, rt_period_us, used)
    share = to_ratio(rt_period_us, rt_runtime_us)
    reserved = used + (_FAIR_SERVER * cpus if fair_server else 0)
    sums = _sums(ts, reserved)
    broken = next(((task, why) for task in ts if (why := check_parameters(task, ts.unit))), None)
    above = next((task for task, total in zip(ts, sums, strict=True) if total > share * cpus), None)
    counted = rt_runtime_us >= 0
    passed = broken is None and not (counted and above)
    sign = "<=" if above is None else ">"
    told = f"{sums[-1] - reserved} + {reserved} {sign} {cpus} * {share} = {share * cpus} (of 2^20)"
    told = told if counted else "nothing is counted: rt_runtime_us is -1"
    witness = None
    if broken:
        witness = Witness(f"{broken[0].name} is refused (EINVAL): {broken[1]}", task=broken[0].name)
    elif counted and above:
        witness = Witness(f"{above.name} is the first that is refused (EBUSY)", task=above.name)
    plain = not ts.shared and all(task.D == task.T and not task.jitter for task in ts)
    # The shares are rounded down: their sum may be let in where there is more work than time.
    on_time = cpus == 1 and counted and plain and ts.U + Fraction(reserved, UNIT) <= 1
    kind = "exact" if on_time else "necessary"
    return Verdict(ts, "linux admission", kind, passed, told, witness, trace=lambda: _trace(ts, sums))


def check_parameters(task: Task, unit: str = "ns") -> str:
    """Why the kernel would take no such reservation (EINVAL), or "" where it would (__checkparam_dl()).

    Without a unit only the order counts: C <= D <= T. Nanoseconds are whole, the runtime at least 1024, the period as
    sched_deadline_period_min_us and _max_us allow by default, 100 us to 4.19 s.

    >>> from rtnb.theory import Task
    >>> check_parameters(Task("a", 1000, 10**7, 10**7))
    'the runtime is 1000 ns, below the least, 1024 ns'
    """
    rules: Iterable[tuple[bool, str]] = (
        (task.C > task.D, "the runtime is above the deadline"),
        (task.D > task.T, "the deadline is above the period"),
    )
    if unit:
        period = in_words(float(task.T))
        rules = (
            (any(time.denominator != 1 for time in (task.C, task.D, task.T)), "the kernel counts whole nanoseconds"),
            (task.C < _SHORTEST_NS, f"the runtime is {task.C} ns, below the least, {_SHORTEST_NS} ns"),
            *rules,
            (task.T < _PERIOD_MIN_NS, f"the period {period} is below the least, {in_words(_PERIOD_MIN_NS)}"),
            (task.T > _PERIOD_MAX_NS, f"the period {period} is above the longest, {in_words(_PERIOD_MAX_NS)}"),
        )
    return next((why for wrong, why in rules if wrong), "")


def _sums(ts: TaskSet, reserved: int) -> list[int]:
    """What is reserved after each task."""
    sums, total = [], reserved
    for task in ts:
        total += to_ratio(task.T, task.C)
        sums.append(total)
    return sums


def _trace(ts: TaskSet, sums: list[int]) -> list[Step]:
    return [Step(to_ratio(task.T, task.C), total, task.name) for task, total in zip(ts, sums, strict=True)]


def _check_settings(rt_runtime_us: Any, rt_period_us: Any, used: Any) -> None:
    """The kernel's own rules for its sysctls, and that the rest is a share. Raises BadInput."""
    given = {"rt_runtime_us": (rt_runtime_us, -1), "rt_period_us": (rt_period_us, 1), "used": (used, 0)}
    for name, (value, least) in given.items():
        if type(value) is not int or value < least:
            raise BadInput(f"{name} {value}", f"a whole number from {least} on")
    if rt_runtime_us > rt_period_us:
        raise BadInput(f"rt_runtime_us {rt_runtime_us}", f"it is above rt_period_us, {rt_period_us}")

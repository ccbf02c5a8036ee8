# SPDX-License-Identifier: MIT
"""Several processors: bounds, packings, Linux's admission, list schedules, against worked cases and schedules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from itertools import pairwise, product
from random import Random
from typing import Any

import pytest

from rtnb.errors import BadInput
from rtnb.sched.admission import deadline
from rtnb.sched.spec import Spec
from rtnb.theory import Task, TaskSet
from rtnb.theory.admission import UNIT, check_parameters, linux_admission, to_ratio
from rtnb.theory.bounds import utilisation
from rtnb.theory.graham import anomalies, list_schedule
from rtnb.theory.interference import global_response_times
from rtnb.theory.multiprocessor import (
    dhall,
    edf_us,
    edf_us_bound,
    edf_us_threshold,
    gfb,
    gfb_bound,
    heavy,
    necessary,
    rm_us,
    rm_us_bound,
    rm_us_priorities,
    rm_us_threshold,
    tardiness,
)
from rtnb.theory.partition import FITS, lopez, lopez_bound, partition
from rtnb.theory.simulation import simulate

Vector = Callable[[str], tuple[Any, Any]]


# An oracle of its own: unit steps, so that all times are small whole numbers.


def lateness(ts: TaskSet, cpus: int, key: Callable[[Task, int], Any], until: int) -> dict[str, int]:
    """How late the latest job of each task is under a global policy; below zero where all are early.

    key(task, deadline): the smaller runs first. A job unfinished at the end is as late as if done then.
    """
    left: dict[tuple[str, int], int] = {}
    late = {task.name: -(10**9) for task in ts}
    tasks = {task.name: task for task in ts}
    for now in range(until):
        for task in ts:
            if now >= task.offset and (now - task.offset) % task.T == 0:
                left[task.name, now] = task.C
        first = {}
        for name, arrival in left:  # a task's jobs are in the order in which they arrived: one at a time
            first.setdefault(name, arrival)
        ready = sorted(first.items(), key=lambda job: (key(tasks[job[0]], job[1] + tasks[job[0]].D), job[0]))
        for job in ready[:cpus]:
            left[job] -= 1
            if not left[job]:
                del left[job]
                late[job[0]] = max(late[job[0]], now + 1 - job[1] - tasks[job[0]].D)
    for name, arrival in left:
        late[name] = max(late[name], until - arrival - tasks[name].D)
    return late


def fp(task: Task, deadline: int) -> Any:
    return task.priority


def edf(task: Task, deadline: int) -> Any:
    return deadline


def heavy_first(names: tuple[str, ...]) -> Callable[[Task, int], Any]:
    return lambda task, deadline: (task.name not in names, deadline)


def random_sets(
    seed: int, count: int, *, implicit: bool = False, most: int = 6
) -> Iterator[tuple[TaskSet, int, Random]]:
    """Small sets, and a number of CPUs from 2 to 4: of all loads up to that many."""
    rng = Random(seed)
    for _ in range(count):
        T = [rng.choice((2, 3, 4, 6, 8, 12)) for _ in range(rng.randint(2, most))]
        C = [rng.randint(1, max(1, t // rng.choice((1, 2, 3)))) for t in T]
        D = T if implicit else [rng.randint(c, t) for c, t in zip(C, T, strict=True)]
        yield TaskSet(C=C, T=T, D=D), rng.choice((2, 2, 3, 4)), rng


def shifted(ts: TaskSet, rng: Random) -> TaskSet:
    return ts.with_(offset=[rng.randrange(task.T) for task in ts])


# Bounds


def test_dhall(vector: Vector) -> None:
    given, expected = vector("Dhall-m2")
    ts = dhall(given["m"])
    assert ([task.C for task in ts], [task.T for task in ts]) == (given["C"], given["T"])
    assert str(ts.U) == expected["U"]
    assert gfb(ts, 2).passed is expected["GFB_ok"]
    assert str(gfb_bound(2, max(task.U for task in ts))) == expected["GFB_bound"]
    assert partition(ts, 2).bins == tuple(map(tuple, expected["partitioned_FFD_EDF"]))
    for policy, name in (("rm", "gRM_first_miss"), ("edf", "gEDF_first_miss")):
        miss = simulate(ts, policy, cpus=2).misses[0]
        assert [ts.index(miss.task) + 1, miss.job, miss.t] == expected[name]


@pytest.mark.parametrize("cpus", [2, 3, 5, 8])
def test_dhall_misses_on_any_number_of_cpus_at_nearly_one(cpus: int) -> None:
    ts = dhall(cpus, period=1000, epsilon=1)
    assert Fraction(cpus, 999) + 1 == ts.U
    late = lateness(ts, cpus, edf, 1001)
    assert late.pop("heavy") == 1
    assert set(late.values()) < set(range(-998, 0))
    assert not gfb(ts, cpus)
    assert edf_us(ts, cpus), "the heavy one goes first"


def test_dhall_takes_fractions_and_refuses_nonsense() -> None:
    assert str(dhall(2, 10, Fraction(1, 3))) == "light1 (1/3, 9), light2 (1/3, 9), heavy (10, 10)"
    assert str(dhall(2, "7/2", 0.5)[0].T) == "5/2"
    for arguments in ((1,), (2, 1), (2, 20, 0), (2, 20, 20), (2, "20ms"), (2.0,), (2, "x"), (True,)):
        with pytest.raises(BadInput):
            dhall(*arguments)


def test_gfb(vector: Vector) -> None:
    given, expected = vector("GFB-pass")
    ts = TaskSet(C=given["C"], T=given["T"])
    verdict = gfb(ts, given["m"])
    assert (str(ts.U), verdict.passed, verdict.schedulable) == (expected["U"], expected["GFB_ok"], True)
    assert str(gfb_bound(2, Fraction(1, 2))) == expected["bound"]
    assert verdict.inequality == "U = 3/2 <= 2 - 1 * 1/2 = 3/2"
    assert simulate(ts, "edf", cpus=2).misses == expected["sync_sim_first_miss"]
    # Exactly at the bound: a hair more fails.
    assert not gfb(ts.with_(C=[1, 1, 1, Fraction(10**12 + 1, 10**12)]), 2)


def test_gfb_cannot_tell(vector: Vector) -> None:
    given, expected = vector("GFB-3x2of3")
    ts = TaskSet(C=given["C"], T=given["T"])
    verdict = gfb(ts, given["m"])
    assert (verdict.passed, verdict.schedulable) == (expected["GFB_ok"], None)
    assert str(gfb_bound(given["m"], Fraction(2, 3))) == expected["bound"]
    [[task, job, t]] = expected["sync_sim_first_miss"]
    miss = simulate(ts, "edf", cpus=2).misses[0]
    assert (ts.index(miss.task) + 1, miss.job, miss.t) == (task, job, t)


def test_gfb_on_one_cpu_is_the_density_test() -> None:
    for ts, _, _ in random_sets(1, 300):
        assert gfb(ts, 1).passed == (ts.density <= 1)


def test_us_thresholds(vector: Vector) -> None:
    given, expected = vector("RM-US")
    for cpus in given["m"]:
        assert expected[str(cpus)] == {
            "RMUS_threshold": str(rm_us_threshold(cpus)),
            "RMUS_bound": str(rm_us_bound(cpus)),
            "EDFUS_threshold": str(edf_us_threshold(cpus)),
            "EDFUS_bound": str(edf_us_bound(cpus)),
        }


def test_rm_us_lets_the_heavy_go_first() -> None:
    ts = TaskSet(C=[1, 3, 1, 4], T=[4, 6, 3, 8])
    assert heavy(ts, rm_us_threshold(3)) == ("t2", "t4")
    assert [task.priority for task in rm_us_priorities(ts, 3)] == [4, 1, 3, 2]
    verdict = rm_us(TaskSet(C=[1, 1], T=[2, 2]), 2)
    assert verdict.passed, "exactly at the bound"
    assert [task.name for task in verdict.taskset] == ["t1", "t2"]


def test_tardiness(vector: Vector) -> None:
    given, expected = vector("gEDF-tardiness")
    ts = TaskSet(C=given["C"], T=given["T"])
    assert (str(tardiness(ts, given["m"])), str(ts.U)) == (expected["bound"], expected["U"])
    assert max(lateness(ts, 2, edf, 120).values()) == expected["observed_sync_integer_sim"]


def test_tardiness_is_never_exceeded() -> None:
    bounded = tight = 0
    for ts, cpus, rng in random_sets(2, 3000, implicit=True):
        if len(ts) <= cpus or cpus < ts.U:
            continue
        worst = max(lateness(shifted(ts, rng), cpus, edf, 60).values())
        assert worst <= tardiness(ts, cpus)
        bounded += 1
        tight += worst > 0
    assert bounded > 1000
    assert tight > 50


def test_tardiness_on_one_cpu_and_without_bound() -> None:
    assert tardiness(TaskSet(C=[1, 2], T=[2, 4]), 1) == 0
    assert tardiness(TaskSet(C=["1ms", "2ms"], T=["2ms", "2ms"]), 2) == 2_500_000
    for ts in (TaskSet(C=[2, 2, 3], T=[2, 2, 3]), TaskSet(C=[3, 1], T=[2, 9]), TaskSet(C=[1], T=[3], D=[2])):
        with pytest.raises(BadInput):
            tardiness(ts, 2)


def test_necessary() -> None:
    assert necessary(TaskSet(C=[2, 2, 2], T=[3, 3, 3]), 2).schedulable is None
    assert necessary(TaskSet(C=[2, 2, 2, 1], T=[3, 3, 3, 100]), 2).schedulable is False
    assert necessary(TaskSet(C=[3], T=[4], D=[2]), 4).schedulable is False
    assert necessary(TaskSet(C=[3], T=[2], D=[9]), 4).schedulable is False, "a task is never on two CPUs"
    verdict = necessary(TaskSet(C=[3], T=[9], D=[5], jitter=[3]), 4)
    assert (verdict.schedulable, verdict.witness and verdict.witness.task) == (False, "t1")


def test_a_test_that_passes_is_a_promise() -> None:
    """GFB, RM-US, EDF-US and the response-time bounds: no job misses, whatever the offsets; R is never exceeded."""
    passed = dict.fromkeys(("gfb", "gfb-density", "rm-us", "edf-us", "response"), 0)
    for number, (ts, cpus, rng) in enumerate(random_sets(3, 6000)):
        implicit = number % 2 == 0
        ts = ts.with_(D=[task.T for task in ts]) if implicit else ts
        late: dict[str, int] = {}
        if len(ts) <= cpus:
            continue
        if gfb(ts, cpus):
            late = lateness(shifted(ts, rng), cpus, edf, 48)
            passed["gfb" if implicit else "gfb-density"] += 1
            assert max(late.values()) <= 0
        if implicit and (verdict := rm_us(ts, cpus)):
            assert max(lateness(shifted(verdict.taskset, rng), cpus, fp, 48).values()) <= 0
            passed["rm-us"] += 1
        if implicit and edf_us(ts, cpus):
            late = lateness(shifted(ts, rng), cpus, heavy_first(heavy(ts, edf_us_threshold(cpus))), 48)
            assert max(late.values()) <= 0
            passed["edf-us"] += 1
        verdict = global_response_times(ts, cpus)
        late = lateness(shifted(ts, rng), cpus, fp, 48)
        for task, R in zip(ts, verdict.R, strict=True):
            assert R is None or late[task.name] + task.D <= R
        passed["response"] += bool(verdict)
    assert min(passed.values()) > 50, passed


def test_the_project_simulates_what_passes_without_a_miss() -> None:
    seen = 0
    for ts, cpus, rng in random_sets(4, 400):
        if len(ts) <= cpus:
            continue
        seen += bool(gfb(ts, cpus))
        assert not gfb(ts, cpus) or simulate(shifted(ts, rng), "edf", cpus=cpus).met
        assert not global_response_times(ts, cpus) or simulate(shifted(ts, rng), cpus=cpus).met
    assert seen > 20


def test_the_project_simulates_as_the_oracle_here() -> None:
    """Largest response times under global fixed priorities, over two hyperperiods."""
    met = 0
    for ts, cpus, _ in random_sets(14, 600):
        late = lateness(ts, cpus, fp, 48)
        if max(late.values()) <= 0:
            met += 1
            found = simulate(ts, cpus=cpus, until=48).response_times
            assert found == {task.name: late[task.name] + task.D for task in ts}
    assert met > 100


def test_what_meets_its_deadlines_passes_the_necessary_test() -> None:
    met = 0
    for ts, cpus, _ in random_sets(5, 1500):
        if max(lateness(ts, cpus, edf, 24).values()) <= 0:
            met += 1
            assert necessary(ts, cpus).passed
    assert met > 200


# Response times


def test_response_bounds_are_exact_where_there_is_a_cpu_for_each_above() -> None:
    for ts, _, _ in random_sets(6, 200):
        if len(ts) <= 4:
            assert list(global_response_times(ts, 4).R) == [task.C for task in ts]


def test_response_bounds_on_one_cpu_are_the_classic_ones() -> None:
    """With no task carrying in, the interference is that of the synchronous release."""
    from rtnb.theory.response import response_times

    both = 0
    for ts, _, _ in random_sets(7, 1000):
        verdict = global_response_times(ts, 1)
        for ours, exact in zip(verdict.R, response_times(ts).R, strict=True):
            assert ours is None or ours == exact
            both += ours is not None
    assert both > 1000


def test_response_bounds_by_hand() -> None:
    # The light ones of Dhall's set run in parallel at the heavy one's cost of 1: R = 21 > 20.
    assert global_response_times(dhall(2), 2).R == (1, 1, None)
    verdict = global_response_times(dhall(2).with_(C=[1, 1, 18]), 2)
    assert (verdict.R, verdict.schedulable) == ((1, 1, 19), True)
    assert verdict.iterates["heavy"][0] == [18, 19, 19]
    # Of 19 the second jobs of the light ones meet the last unit: at 19, when it would be done at 20.
    assert global_response_times(dhall(2).with_(C=[1, 1, 19]), 2).iterates["heavy"][0] == [19, 20, 21]
    assert list(verdict.frame.columns) == ["test", "task", "job", "t", "value"]


@pytest.mark.parametrize(
    ("C", "T", "offset"),
    [([1, 2, 1, 4, 2], [5, 4, 5, 8, 23], [4, 0, 3, 0, 6]), ([2, 2, 4, 2], [4, 5, 8, 11], [0, 2, 0, 10])],
)
def test_response_bounds_need_what_is_carried_in(C: list[int], T: list[int], offset: list[int]) -> None:
    """Found by a search: a job of the last task takes 9, and 8 would be the bound if no work were carried in."""
    ts = TaskSet(C=C, T=T)
    last = ts[-1]
    assert lateness(ts.with_(offset=offset), 2, fp, 240)[last.name] + last.D == 9
    bound = global_response_times(ts, 2).R[-1]
    assert bound is None or bound >= 9


def test_response_bounds_take_nanoseconds_and_overload_in_a_blink() -> None:
    times = {"C": [10**9 - 1] * 6, "T": [10**9] * 6}
    verdict = global_response_times(TaskSet(**times, unit="ns"), 2)
    assert verdict.R == (10**9 - 1, 10**9 - 1, None, None, None, None)
    assert len(verdict.steps) < 1000
    many = TaskSet(C=[f"{k}us" for k in range(1, 41)], T=[f"{7 * k}ms" for k in range(1, 41)])
    assert global_response_times(many, 4)


# Packing


def test_first_fit(vector: Vector) -> None:
    given, expected = vector("pack-ff")
    ts = TaskSet(C=[Fraction(u) for u in given["U"]], T=[1] * 5)
    found = partition(ts, given["m"], order=given["order"])
    assert found.bins == tuple(map(tuple, expected["bins"]))
    assert (found.unplaced, bool(found), bool(found.verdict)) == ((), True, True)
    assert [task.cpu for task in found.taskset] == [0, 1, 0, 1, 1]
    assert found.on(0) == TaskSet(C=[Fraction(6, 10), Fraction(4, 10)], T=[1, 1], name=["t1", "t3"], priority=[1, 3])
    assert found.steps[3] == ("t3", 0, 1, True)


def test_half_and_a_bit(vector: Vector) -> None:
    given, expected = vector("part-half")
    ts = TaskSet(C=[Fraction(u) for u in given["U"]], T=[1] * 3)
    assert (str(ts.U), str(lopez_bound(2, ts[0].U))) == (expected["U_sum"], expected["bound"])
    assert not lopez(ts, given["m"])
    for fit in FITS:
        found = partition(ts, given["m"], fit)
        assert bool(found) is expected["partitionable"]
        assert (found.unplaced, [task.cpu for task in found.taskset]) == ((3,), [0, 1, None])
        assert found.verdict.schedulable is None
    choices = product(range(2), repeat=3)
    assert not any(all(sum(ts[i].U for i in range(3) if to[i] == cpu) <= 1 for cpu in range(2)) for to in choices)


def test_each_fit_picks_its_cpu() -> None:
    ts = TaskSet(C=[5, 7, 2, 2, 1], T=[10] * 5)
    bins = {fit: partition(ts, 3, fit, order="given").bins for fit in FITS}
    assert bins == {
        "first": ((1, 3, 4, 5), (2,), ()),
        "best": ((1, 4), (2, 3, 5), ()),
        "worst": ((1,), (2,), (3, 4, 5)),
        "next": ((1,), (2, 3), (4, 5)),
    }


def test_every_bin_passes_the_exact_test() -> None:
    from rtnb.theory.demand import processor_demand
    from rtnb.theory.response import response_times

    whole = 0
    for number, (ts, cpus, _) in enumerate(random_sets(8, 1200)):
        fit, order = FITS[number % 4], ("decreasing", "given")[number % 2]
        for test, exact in (("edf", processor_demand), ("fp", response_times)):
            found = partition(ts, cpus, fit, order, test)
            assert sorted([*sum(found.bins, ()), *found.unplaced]) == list(range(1, len(ts) + 1))
            for cpu in range(cpus):
                assert found.on(cpu) is None or exact(found.on(cpu))
            for n in found.unplaced if fit != "next" else ():
                places = [step.cpu for step in found.steps if step.task == ts[n - 1].name]
                assert sorted(places) == list(range(cpus)), "it was tried everywhere"
            whole += bool(found)
    assert whole > 200


def test_a_packing_meets_its_deadlines() -> None:
    for ts, cpus, rng in random_sets(9, 300):
        for test, policy in (("edf", "edf"), ("fp", "fp")):
            found = partition(ts, cpus, test=test)
            if found:
                assert simulate(shifted(found.taskset, rng), policy, cpus=cpus).met


def test_lopez_is_a_promise_in_any_order() -> None:
    passed = 0
    for ts, cpus, _ in random_sets(10, 2000, implicit=True, most=9):
        if lopez(ts, cpus):
            passed += 1
            assert partition(ts, cpus, "first", "given")
            assert partition(ts, cpus, "best", "given")
    assert passed > 300


def test_a_bound_task_stays_where_it_is() -> None:
    ts = TaskSet(C=[6, 6, 3], T=[10] * 3, cpu=[1, 1, None])
    found = partition(ts, 2)
    assert (found.bins, found.unplaced) == (((3,), (1,)), (2,))
    assert found.names == (("t3",), ("t1",))


def test_deadlines_below_the_period_count() -> None:
    ts = TaskSet(C=[1, 1], T=[4, 4], D=[1, 1])
    for test in ("edf", "fp"):
        assert partition(ts, 1, test=test).unplaced == (2,)
        assert partition(ts, 2, test=test)


def test_packing_refuses_nonsense() -> None:
    ts = TaskSet(C=[1], T=[2])
    for arguments in ((0,), (2, "frist"), (2, "first", "up"), (2, "first", "given", "llf"), ("2",)):
        with pytest.raises(BadInput):
            partition(ts, *arguments)
    with pytest.raises(BadInput, match="there is no cpu 2"):
        partition(TaskSet(C=[1], T=[2], cpu=[2]), 2)
    with pytest.raises(BadInput):
        partition(ts, 2).on(2)
    for odd in ({"D": [1]}, {"jitter": [1]}, {"cpu": [0]}):
        with pytest.raises(BadInput):
            lopez(ts.with_(**odd), 2)


# Linux


def test_admission(vector: Vector) -> None:
    given, expected = vector("DL-admission")
    settings = {"rt_runtime_us": given["rt_runtime_us"], "rt_period_us": given["rt_period_us"], "fair_server": False}
    assert to_ratio(100, 10) == expected["to_ratio_10_100"]
    assert to_ratio(given["rt_period_us"], given["rt_runtime_us"]) == expected["bw_one_cpu"]
    most = expected["max_10pct_by_rule"]
    admitted = [n for n in range(1, 30) if linux_admission(tenths(n), given["M"], **settings).passed]
    assert admitted == list(range(1, most + 1))
    verdict = linux_admission(tenths(most + 1), given["M"], **settings)
    assert verdict.witness
    assert (verdict.schedulable, verdict.witness.task) == (False, f"t{most + 1}")


def tenths(n: int) -> TaskSet:
    return TaskSet(C=["10ms"] * n, T=["100ms"] * n)


def test_the_fair_server_takes_its_share() -> None:
    assert linux_admission(tenths(18), 2).passed
    assert not linux_admission(tenths(19), 2).passed
    assert [step.value for step in linux_admission(tenths(2), 1).steps] == [52428 + 104857, 52428 + 2 * 104857]
    assert linux_admission(tenths(50), 2, rt_runtime_us=-1).passed, "then nothing is counted"
    assert not linux_admission(tenths(17), 2, used=2 * UNIT // 10).passed
    assert linux_admission(tenths(16), 2, used=2 * UNIT // 10).passed
    just = 2 * 996147 - 2 * 52428 - 104857
    assert linux_admission(tenths(1), 2, used=just).passed, "the limit itself may be reached"
    assert not linux_admission(tenths(1), 2, used=just + 1).passed


def test_what_admission_promises() -> None:
    assert linux_admission(tenths(9), 1).schedulable is True
    assert linux_admission(tenths(9), 2).schedulable is None, "on two CPUs it may be late"
    short = TaskSet(C=["10ms"] * 3, T=["100ms"] * 3, D=["10ms"] * 3)
    assert linux_admission(short, 1).schedulable is None, "deadlines do not count"


def test_admission_agrees_with_what_the_project_says_of_the_running_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Task after task, random times, by both; and the rules for the three times."""
    settings = {"sched_rt_runtime_us": 950_000, "sched_rt_period_us": 1_000_000}
    settings |= {"sched_deadline_period_min_us": 100, "sched_deadline_period_max_us": 1 << 22}
    monkeypatch.setattr(deadline, "setting", settings.__getitem__)
    monkeypatch.setattr(deadline, "_own", lambda facts: 0)
    seen = {True: 0, False: 0}
    rng = Random(11)
    for _ in range(2000):
        settings["sched_rt_runtime_us"] = rng.choice((950_000, 1_000_000, rng.randint(1, 10**6)))
        cpus = rng.randint(1, 8)
        share = deadline.ratio(1_000_000_000, 1000 * settings["sched_rt_runtime_us"])
        room = [deadline.Room(deadline._SERVER * cpus, share * cpus, cpus, "a test")]
        monkeypatch.setattr(deadline, "room", lambda facts: room[0])  # noqa: B023
        T = [rng.randint(100_000, 10**9) for _ in range(rng.randint(1, 4 * cpus))]
        ts = TaskSet(C=[rng.randint(1024, max(1024, t // 2)) for t in T], T=T, unit="ns")
        refused = []
        for task in ts:
            spec = Spec("deadline", runtime_ns=task.C, deadline_ns=task.D, period_ns=task.T)
            refused.append(deadline.full(spec, FACTS))
            new = deadline.ratio(task.T, task.C)
            assert new == to_ratio(task.T, task.C)
            room[0] = deadline.Room(room[0].total + new, share * cpus, cpus, "a test")
        verdict = linux_admission(ts, cpus, rt_runtime_us=settings["sched_rt_runtime_us"])
        first = next((task.name for task, why in zip(ts, refused, strict=True) if why), None)
        assert verdict.passed == (first is None)
        assert (verdict.witness.task if verdict.witness else None) == first
        seen[verdict.passed] += 1
    assert min(seen.values()) > 300, seen


class _State:
    policy = "other"


class _Task:
    state = _State()


class _Facts:
    task = _Task()


FACTS: Any = _Facts()


def test_the_rules_for_the_three_times_are_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"sched_deadline_period_min_us": 100, "sched_deadline_period_max_us": 1 << 22}
    monkeypatch.setattr(deadline, "setting", limits.__getitem__)
    rng, refused = Random(12), 0
    edges = (1, 1023, 1024, 1025, 99_999, 100_000, 100_001, 10**6, 4_194_304_000, 4_194_304_001)
    for _ in range(5000):
        C, D, T = (rng.choice(edges) for _ in range(3))
        theirs = deadline.out_of_range(Spec("deadline", runtime_ns=C, deadline_ns=D, period_ns=T))
        assert bool(check_parameters(Task("a", C, T, D))) == bool(theirs)
        refused += bool(theirs)
    assert 500 < refused < 4900


def test_parameters_without_a_unit_are_ratios() -> None:
    assert check_parameters(Task("a", 1, 2, 2), "") == ""
    assert "above the period" in check_parameters(Task("a", 1, 2, 3), "")
    assert "above the deadline" in check_parameters(Task("a", 2, 3, 1), "")
    assert "whole nanoseconds" in check_parameters(Task("a", Fraction(20001, 2), 10**6, 10**6))
    verdict = linux_admission(TaskSet(C=["1us"], T=["1ms"]), 1)
    assert verdict.witness
    assert (verdict.schedulable, "EINVAL" in verdict.witness.words) == (False, True)


def test_admission_refuses_nonsense() -> None:
    ts = TaskSet(C=[1], T=[2])
    for odd in ({"rt_runtime_us": -2}, {"rt_runtime_us": 2_000_000}, {"rt_period_us": 0}, {"used": -1}, {"used": 0.5}):
        with pytest.raises(BadInput):
            linux_admission(ts, 1, **odd)  # type: ignore[arg-type]
    with pytest.raises(BadInput):
        linux_admission(ts, 0)


# List schedules


def test_graham(vector: Vector) -> None:
    given, expected = vector("Graham-anomalies")
    C, prec = given["C"], given["prec"]
    found = list_schedule(C, prec, given["m"])
    assert found.makespan == expected["makespan"]
    assert [list(placed[:3]) for placed in found.gantt] == expected["gantt"]
    assert list_schedule(C, prec, 4).makespan == expected["with_4_cpus"]
    assert list_schedule([c - 1 for c in C], prec, 3).makespan == expected["with_C_minus_1"]
    without = [pair for pair in prec if pair not in ([4, 5], [4, 6])]
    assert list_schedule(C, without, 3).makespan == expected["without_prec_4_5_and_4_6"]
    assert [listed.makespan for listed in anomalies().values()] == [12, 15, 13, 16]


def test_a_list_schedule_is_one() -> None:
    """Each CPU one job at a time, each wait kept, no CPU idle while a job could run, and Graham's bound."""
    rng = Random(13)
    for _ in range(500):
        n, cpus = rng.randint(1, 12), rng.randint(1, 4)
        C = [Fraction(rng.randint(1, 20), rng.choice((1, 2, 3))) for _ in range(n)]
        order = rng.sample(range(1, n + 1), n)
        waits = [(a, b) for i, a in enumerate(order) for b in order[i + 1 :] if rng.random() < 0.2]
        found = list_schedule(C, waits, cpus)
        at = {placed.job: placed for placed in found.gantt}
        assert {job: placed.end - placed.begin for job, placed in at.items()} == dict(enumerate(C, 1))
        assert all(at[a].end <= at[b].begin for a, b in waits)
        for cpu in range(cpus):
            mine = found.on(cpu)
            assert all(x.end <= y.begin for x, y in pairwise(mine))
        path = {}
        for job in order:
            path[job] = C[job - 1] + max((path[a] for a, b in waits if b == job), default=0)
        assert found.makespan <= sum(C) / cpus + (1 - Fraction(1, cpus)) * max(path.values())
        assert found.makespan == max(placed.end for placed in found.gantt)
        for placed in found.gantt:
            ready = max((at[a].end for a, b in waits if b == placed.job), default=0)
            busy = {x.cpu for x in found.gantt if x.begin <= placed.begin < x.end and x.job < placed.job}
            busy |= {x.cpu for x in found.gantt if x.begin < placed.begin < x.end}
            assert placed.cpu == min(set(range(cpus)) - busy), "the first that is idle"
            waited = [t for t in {ready, *(x.end for x in found.gantt)} if ready <= t < placed.begin]
            assert all(sum(x.begin <= t < x.end for x in found.gantt) == cpus for t in waited)


def test_list_schedules_refuse_nonsense() -> None:
    with pytest.raises(BadInput, match="circle"):
        list_schedule([1, 1, 1], [(1, 2), (2, 3), (3, 2)], 2)
    for arguments in (
        ([1], [(1, 1)]),
        ([1], [(1, 2)]),
        ([1], [(0, 1)]),
        ([1, 2], [(1,)]),
        ([],),
        ([0],),
        ([-1],),
        (["1ms", 1],),
        ([1], (), 0),
    ):
        with pytest.raises(BadInput):
            list_schedule(*arguments)  # type: ignore[arg-type]
    assert list_schedule(["1ms", "2ms"], [(1, 2), (1, 2)], 2).makespan == 3_000_000


# What no global test knows of


@pytest.mark.parametrize("test", [gfb, rm_us, edf_us, tardiness, global_response_times])
def test_global_tests_refuse_what_they_do_not_know(test: Callable[[TaskSet, int], Any]) -> None:
    ts = TaskSet(C=[1, 1], T=[4, 4])
    for odd in ({"jitter": [0, 1]}, {"cpu": [0, None]}, {"D": [5, 4]}):
        with pytest.raises(BadInput):
            test(ts.with_(**odd), 2)
    for cpus in (0, -1, 1.5, True, "2"):
        with pytest.raises(BadInput):
            test(ts, cpus)  # type: ignore[arg-type]


def test_rm_us_is_for_several_cpus() -> None:
    # There its formula says U <= 1, and RM on one CPU does not reach that.
    with pytest.raises(BadInput):
        rm_us(TaskSet(C=[1], T=[2]), 1)


# What a session types by mistake.


@pytest.mark.parametrize("cpus", [0, -1, 1025, 10**30, 2.0, None, True])
def test_a_number_of_cpus_is_bounded_everywhere(cpus: Any) -> None:
    ts = TaskSet(C=[1, 2], T=[4, 8])
    tests: list[Callable[[], Any]] = [
        lambda: utilisation(ts, cpus),
        lambda: dhall(cpus),
        lambda: list_schedule([1], cpus=cpus),
        lambda: rm_us_threshold(cpus),
        lambda: rm_us_bound(cpus),
        lambda: edf_us_threshold(cpus),
        lambda: edf_us_bound(cpus),
        lambda: simulate(ts, cpus=cpus),
    ]
    of_a_set: list[Callable[..., Any]] = [
        necessary, gfb, rm_us, edf_us, rm_us_priorities, tardiness, partition, lopez, linux_admission,
        global_response_times,
    ]  # fmt: skip
    for test in [*tests, *(partial(test, ts, cpus) for test in of_a_set)]:
        with pytest.raises(BadInput, match=r"a whole number from [12] to 1024"):
            test()


@pytest.mark.parametrize(
    ("C", "precedence", "said"),
    [
        (None, (), "not a list of times"),
        (5, (), "not a list of times"),
        ([1, 2], None, "not a list of pairs"),
        ([1, 2], [1, 2], "a pair of job numbers"),
        ([1, 2], [([1], 2)], "a pair of job numbers"),
        ([1, 2], [(1, 2, 2)], "a pair of job numbers"),
    ],
)
def test_what_is_no_list_of_jobs_is_refused(C: Any, precedence: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        list_schedule(C, precedence)


def test_a_pair_that_is_given_twice_counts_once() -> None:
    assert list_schedule([1, 2], [(1, 2), (1, 2)], cpus=2).makespan == 3


def test_a_set_may_be_whatever_one_is_made_of() -> None:
    ts = TaskSet("a 1ms 4ms\nb 2ms 8ms")
    for given in ("a 1ms 4ms\nb 2ms 8ms", ts.frame, list(ts)):
        assert gfb(given, 2).inequality == gfb(ts, 2).inequality
    for given in (None, 5, "", ts["a"], [5]):
        with pytest.raises(BadInput, match="task set"):
            partition(given, 2)


def test_the_fair_server_is_a_yes_or_a_no() -> None:
    with pytest.raises(BadInput, match="fair_server 'x': it is True or False"):
        linux_admission(TaskSet(C=[1], T=[4]), 1, fair_server="x")  # type: ignore[arg-type]


def test_a_packing_is_shown_in_words() -> None:
    packed = partition(TaskSet("a 1ms 4ms\nb 2ms 8ms"), 1)
    assert repr(packed) == str(packed) == "first fit, edf: cpu 0: a, b: holds, schedulable"


def test_linux_counts_what_others_have_reserved_before_it_is_exact() -> None:
    # Each of the 8 is 1/2^20 of a CPU short of what it needs, since the shares are rounded down.
    ts = TaskSet(C=[2 * 10**6 - 1] * 8, T=[UNIT * 16] * 8)
    rest = UNIT - 8 * to_ratio(ts[0].T, ts[0].C)
    settings = {"rt_runtime_us": 1_000_000, "fair_server": False}
    full = linux_admission(ts, 1, used=rest, **settings)
    assert full.passed
    assert ts.U + Fraction(rest, UNIT) > 1
    assert (full.kind, full.schedulable) == ("necessary", None)
    assert linux_admission(ts, 1, used=rest - 8, **settings).schedulable is True
    shared = TaskSet("a 1 5 5 - - - - bus:1 \n b 2 20 20 - - - - bus:1")
    assert linux_admission(shared, 1).kind == "necessary"


def test_a_utilisation_of_thousands_of_digits_is_told_shortly() -> None:
    rng = Random(3)
    ts = TaskSet(C=[1] * 700, T=[10**9 + 2 * rng.randint(0, 10**9) + 1 for _ in range(700)])
    for test in (necessary, lopez, gfb, rm_us, edf_us):
        verdict = test(ts, 2)
        assert verdict.passed
        assert "U = 3.81646e-7 <= " in verdict.inequality
        assert len(verdict.inequality) < 120
    assert partition(ts[:90], 2)
    over = partition(TaskSet(C=[10**9] * 90, T=[task.T for task in ts[:90]]), 2)
    assert not over
    assert len(str(over)) < 200
    with pytest.raises(BadInput, match=r"U is 45\.\d+ on 2 CPUs|U is \d+\.\d+ on 2 CPUs"):
        tardiness(TaskSet(C=[10**9] * 90, T=[task.T for task in ts[:90]]), 2)

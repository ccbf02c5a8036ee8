# SPDX-License-Identifier: MIT
"""Is the simulation what theory says? On thousands of random sets: exact tests, bounds, what every schedule keeps."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from rtnb.theory.blocking import blocking
from rtnb.theory.demand import processor_demand, qpa
from rtnb.theory.edf import edf_response_times
from rtnb.theory.response import response_times
from rtnb.theory.simulation import Schedule, simulate
from rtnb.theory.simulation.engine import Engine
from rtnb.theory.simulation.fast import fast, is_lean
from rtnb.theory.simulation.plan import plan
from rtnb.theory.taskset import TaskSet

PERIODS = [2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 24, 30]  # their least common multiple is 120


def random_set(rng: random.Random, n: int = 4, *, load: float = 1.0, deadlines: str = "D <= T", **more: Any) -> TaskSet:
    """Up to n tasks; the utilisation comes out around `load`. `more`: the largest offset or jitter, drawn a task."""
    T = [rng.choice(PERIODS) for _ in range(rng.randint(1, n))]
    C = [max(1, min(t, round(t * load * 2 * rng.random() / len(T)))) for t in T]
    low = {"D = T": T, "D <= T": C, "any D": C}[deadlines]
    high = [t * 3 for t in T] if deadlines == "any D" else T
    D = [rng.randint(a, b) for a, b in zip(low, high, strict=True)]
    drawn = {name: [rng.randint(0, most) for _ in T] for name, most in more.items()}
    return TaskSet(C=C, T=T, D=D, **drawn)


def sets(seed: int, count: int, **options: Any) -> Iterator[TaskSet]:
    rng = random.Random(seed)
    for _ in range(count):
        yield random_set(rng, **options)


def sharing(seed: int, count: int, n: int = 4, load: float = 0.7) -> Iterator[TaskSet]:
    """Sets of U <= 1 that share resources, at offsets, long enough for sections in sections."""
    rng = random.Random(seed)
    for _ in range(count):
        T = sorted(rng.choice([12, 15, 20, 24, 30, 40]) for _ in range(rng.randint(2, n)))
        C = [max(1, min(t, round(t * load * 2 * rng.random() / len(T)))) for t in T]
        held = [_sections(rng, c) for c in C]
        ts = TaskSet(C=C, T=T, offset=[rng.randint(0, 20) for _ in T], sections=held)
        if ts.U <= 1:
            yield ts


def _sections(rng: random.Random, C: int) -> str:
    found, at, free = [], 0, ["P", "Q", "R"]
    while at < C and rng.random() < 0.9:
        start = rng.randint(at, min(at + 2, C - 1))
        end = rng.randint(start + 1, C)
        outer = rng.choice(free)
        found.append(f"{outer}@{start}:{end - start}")
        if end - start > 1 and rng.random() < 0.8:
            inner = rng.randint(start, end - 1)
            other = rng.choice([each for each in free if each != outer])
            found.append(f"{other}@{inner}:{rng.randint(inner + 1, end) - inner}")
        at = end
    return ",".join(found)


def largest(schedule: Schedule) -> tuple[Any, ...]:
    return tuple(schedule.response_times.values())


# Fixed priorities.


@pytest.mark.parametrize("deadlines", ["D = T", "D <= T", "any D"])
def test_fixed_priorities_the_exact_test_is_the_simulation(deadlines: str) -> None:
    met = 0
    for ts in sets(1, 1000, load=0.9, deadlines=deadlines):
        schedule, verdict = simulate(ts), response_times(ts)
        if ts.U <= 1:
            assert largest(schedule) == verdict.R, ts
            assert verdict.passed == schedule.met, ts
        elif deadlines != "any D":
            assert not schedule.met, ts
        met += schedule.met
    assert 200 < met < 1000


def test_offsets_the_exact_test_is_the_simulation() -> None:
    passed = 0
    for ts in sets(2, 600, load=0.9, offset=12):
        if ts.U <= 1:
            verdict, schedule = response_times(ts, offsets=True), simulate(ts)
            assert largest(schedule) == verdict.R, ts
            assert verdict.passed == schedule.met, ts
            passed += verdict.passed
    assert passed > 100


def test_jitter_no_seed_is_worse_than_the_bound_and_the_critical_instant_is_it() -> None:
    equal = 0
    for number, ts in enumerate(sets(3, 600, load=0.8, deadlines="any D", jitter=9)):
        if ts.U > 1:
            continue
        bound = response_times(ts).R
        seeded = largest(simulate(ts, jitter=number, until=400))
        assert all(r <= R for r, R in zip(seeded, bound, strict=True)), ts
        most = max(task.jitter for task in ts)
        together = ts.with_(offset=[most - task.jitter for task in ts])
        assert largest(simulate(together, jitter="critical", until=400)) == bound, ts
        equal += 1
    assert equal > 300


def test_without_preemption_the_simulation_keeps_the_bound() -> None:
    reached = 0
    for ts in sets(4, 600, load=0.8, deadlines="any D", offset=8):
        if ts.U < 1:
            bound = response_times(ts, preemptive=False).R
            found = largest(simulate(ts, preemptive=False))
            assert all(r <= R for r, R in zip(found, bound, strict=True)), ts
            reached += found == bound
    assert reached > 20


# Earliest deadline first.


def demand_meets(ts: TaskSet) -> bool:
    """By brute force: at no deadline up to the hyperperiod and the largest deadline is the demand above the time."""
    if ts.U > 1:
        return False
    end = int(ts.hyperperiod + max(task.D for task in ts))
    return all(
        sum(max(0, (t - int(task.D)) // int(task.T) + 1) * int(task.C) for task in ts) <= t for t in range(1, end + 1)
    )


@pytest.mark.parametrize("deadlines", ["D = T", "D <= T", "any D"])
def test_edf_the_demand_is_the_simulation(deadlines: str) -> None:
    met = 0
    for ts in sets(5, 700, load=0.95, deadlines=deadlines):
        until = 2 * ts.hyperperiod + max(task.D for task in ts) if ts.U <= 1 else 20 * ts.hyperperiod
        schedule = simulate(ts, "edf", until=until)
        meets = demand_meets(ts)
        assert schedule.met == meets or (deadlines == "any D" and ts.U > 1), ts
        assert processor_demand(ts).passed == qpa(ts).passed == meets, ts
        met += meets
    assert 150 < met < 700


def test_edf_no_offset_makes_it_slower_than_the_worst_case() -> None:
    reached = 0
    for ts in sets(6, 300, load=0.9, deadlines="any D"):
        if ts.U <= 1:
            rng = random.Random(str(ts))
            bound = edf_response_times(ts).R
            for _ in range(3):
                moved = ts.with_(offset=[rng.randint(0, int(task.T)) for task in ts])
                found = largest(simulate(moved, "edf"))
                assert all(r <= R for r, R in zip(found, bound, strict=True)), moved
                reached += found == bound
    assert reached > 50


# Resources.


Piece = tuple[str, int, str, int, int, str]


def pieces(schedule: Schedule) -> list[Piece]:
    """The segments: task, job, state, begin, end, by."""
    names = ("task", "job", "state", "begin", "end", "by")
    columns = (schedule.segments[name].astype(object).tolist() for name in names)
    return list(zip(*columns, strict=True))


def blocked_for(schedule: Schedule) -> dict[tuple[str, int], int]:
    """How long each job was blocked."""
    found: dict[tuple[str, int], int] = {}
    for task, job, state, begin, end, _ in pieces(schedule):
        if state == "blocked":
            found[task, job] = found.get((task, job), 0) + end - begin
    return found


def runs_below(schedule: Schedule) -> dict[tuple[str, int], int]:
    """The same from who ran: how long tasks below it ran while a job was the first of its task, on one CPU."""
    rank = {task.name: task.priority for task in schedule.taskset}
    runs = [(rank[name], begin, end) for name, begin, end in schedule.gantt() if name != "-"]
    first: dict[tuple[str, int], tuple[int, int]] = {}
    for task, job, _, begin, end, by in pieces(schedule):
        if by != task:
            first[task, job] = (min(begin, first.get((task, job), (begin, 0))[0]), end)
    below = {
        (task, job): sum(max(0, min(e, end) - max(b, begin)) for of, b, e in runs if of > rank[task])
        for (task, job), (begin, end) in first.items()
    }
    return {job: ran for job, ran in below.items() if ran}


@pytest.mark.parametrize("protocol", ["pip", "pcp", "icpp", "npp"])
def test_nobody_is_blocked_for_longer_than_its_term(protocol: str) -> None:
    some = reached = rings = 0
    for ts in sharing(7, 300):
        schedule = simulate(ts, protocol=protocol, until=120)
        if schedule.deadlock is not None:
            rings += 1
            continue
        terms = dict(zip([task.name for task in ts], blocking(ts, protocol).B, strict=True))
        for (name, _), observed in blocked_for(schedule).items():
            assert terms[name] is None or observed <= terms[name], (ts, protocol, name)
            some += 1
            reached += terms[name] is not None and observed >= terms[name] - 1  # a section began a tick before it came
        bound = response_times(ts, blocking=protocol).R
        for r, R in zip(largest(schedule), bound, strict=True):
            assert r is None or R is None or r <= R, (ts, protocol)
        if protocol != "pip":
            _blocked_at_most_once(schedule)
        if protocol in ("icpp", "npp"):  # nobody ever finds a resource locked
            assert "wait" not in set(schedule.events["kind"]), (ts, protocol)
    assert some > 200
    assert reached > 50
    assert (rings > 0) == (protocol == "pip")


def _blocked_at_most_once(schedule: Schedule) -> None:
    """By one job below it."""
    who: dict[tuple[str, int], set[str]] = {}
    for task, job, state, _, _, by in pieces(schedule):
        if state == "blocked":
            who.setdefault((task, job), set()).add(by)
    assert all(len(found) == 1 for found in who.values()), schedule.taskset


@pytest.mark.parametrize("protocol", ["none", "pip", "pcp", "icpp", "npp"])
def test_what_a_job_was_blocked_for_is_what_ran_below_it(protocol: str) -> None:
    some = 0
    for ts in sharing(8, 150):
        schedule = simulate(ts, protocol=protocol, until=150)
        if schedule.deadlock is None:
            below = runs_below(schedule)
            assert blocked_for(schedule) == below, (ts, protocol)
            some += len(below)
    assert some > 60


def test_stack_resource_policy_no_ring_and_the_demand_with_blocking_is_enough() -> None:
    passed = blocked = 0
    for ts in sharing(9, 200):
        schedule = simulate(ts, "edf", protocol="icpp", until=150)
        assert schedule.deadlock is None
        _blocked_at_most_once(schedule)
        terms = dict(zip([task.name for task in ts], blocking(ts, "icpp", policy="edf").B, strict=True))
        for (name, _), observed in blocked_for(schedule).items():
            assert observed <= terms[name], (ts, name)
            blocked += 1
        if processor_demand(ts, blocking="icpp").passed:
            assert schedule.met, ts
            passed += 1
    assert passed > 50
    assert blocked > 50


def test_a_ring_without_a_protocol_and_under_inheritance_but_under_no_other() -> None:
    rings = dict.fromkeys(("none", "pip", "pcp", "icpp", "npp"), 0)
    for ts in sharing(10, 120, n=3):
        for protocol in rings:
            schedule = simulate(ts, protocol=protocol, until=100)
            rings[protocol] += schedule.deadlock is not None
            _keeps(schedule)
    assert rings["none"] > 2
    assert rings["pip"] > 2
    assert rings["pcp"] == rings["icpp"] == rings["npp"] == 0


# What every schedule keeps.


def _keeps(schedule: Schedule) -> None:
    """Pieces fill each CPU's time; a job is at one place; what was done is what was to do; times add up."""
    for cpu in range(schedule.cpus):
        filled = schedule.gantt(cpu)
        assert [filled[0][1], filled[-1][2]] == [0, schedule.until]
        assert all(a[2] == b[1] and a[0] != b[0] for a, b in pairwise(filled))
    total: dict[tuple[str, int], int] = {}
    ran: dict[tuple[str, int], int] = {}
    last: dict[tuple[str, int], int] = {}
    for task, job, state, begin, end, _ in pieces(schedule):  # by begin
        at = (task, job)
        assert begin < end
        assert last.get(at, begin) == begin, (schedule.taskset, at)  # one after the other, without a gap
        last[at] = end
        total[at] = total.get(at, 0) + end - begin
        ran[at] = ran.get(at, 0) + (end - begin if state == "run" else 0)
    names = ("task", "job", "arrival", "release", "response", "execution", "outcome")
    for task, job, arrival, release, response, execution, outcome in zip(
        *(schedule.jobs[name].astype(object).tolist() for name in names), strict=True
    ):
        at = (task, job)
        if outcome in ("done", "late"):
            assert ran[at] == execution
            assert response == total[at] + release - arrival
        else:
            assert ran.get(at, 0) < execution
            assert (outcome != "skipped") or at not in ran


def _wastes_nothing(schedule: Schedule) -> None:
    """While a job is ready and does not run, no CPU that it may use is idle."""
    bound = {task.name: task.cpu if schedule.cpus > 1 else 0 for task in schedule.taskset}
    idle = [[(b, e) for name, b, e in schedule.gantt(cpu) if name == "-"] for cpu in range(schedule.cpus)]
    for task, _, state, begin, end, by in pieces(schedule):
        if state == "preempted" and by != task:
            for cpu in range(schedule.cpus) if bound[task] is None else [bound[task]]:
                assert not any(b < end and begin < e for b, e in idle[cpu]), (schedule.taskset, task, begin)


@pytest.mark.parametrize("late", ["continue", "abort", "skip"])
@pytest.mark.parametrize("policy", ["fp", "edf", "llf"])
def test_schedules_add_up_and_waste_nothing(policy: str, late: str) -> None:
    rng = random.Random(11)
    for number, ts in enumerate(sets(11, 50, n=6, load=1.6, deadlines="any D", offset=5, jitter=3)):
        cpus = rng.randint(1, 3)
        ts = ts.with_(cpu=[rng.choice([None, *range(cpus)]) for _ in ts])
        options = {"cpus": cpus, "late": late, "jitter": number, "preemptive": rng.random() < 0.8}
        schedule = simulate(ts, policy, until=60, **options)
        _keeps(schedule)
        _wastes_nothing(schedule)


def by_ticks(ts: TaskSet, policy: str, cpus: int, until: int) -> dict[str, list[int]]:
    """Another simulation, tick by tick and of the simplest: when each job is done."""
    left: dict[int, list[list[int]]] = {at: [] for at in range(len(ts))}
    done: dict[str, list[int]] = {task.name: [] for task in ts}
    for now in range(until):
        for at, task in enumerate(ts):
            if now >= task.offset and (now - task.offset) % task.T == 0:
                left[at].append([int(task.C), int(now + task.D)])
        heads = [at for at in left if left[at]]
        heads.sort(key=lambda at: (left[at][0][1], at) if policy == "edf" else at)
        for at in heads[:cpus]:
            left[at][0][0] -= 1
            if not left[at][0][0]:
                left[at].pop(0)
                done[ts[at].name].append(now + 1)
    return done


@pytest.mark.parametrize("policy", ["fp", "edf"])
def test_global_scheduling_is_the_same_tick_by_tick(policy: str) -> None:
    rng = random.Random(12)
    for ts in sets(12, 100, n=7, load=2.0, deadlines="any D", offset=6):
        cpus = rng.randint(1, 3)
        df = simulate(ts, policy, cpus=cpus, until=60, late="continue").jobs
        done = {task.name: df[(df["task"] == task.name) & df["finish"].notna()]["finish"].tolist() for task in ts}
        assert done == by_ticks(ts, policy, cpus, 60), (ts, cpus)


def test_least_laxity_on_one_cpu_meets_what_edf_meets() -> None:
    """Both are optimal there."""
    met = 0
    for ts in sets(13, 100, n=3, load=1.0):
        until = 2 * ts.hyperperiod
        edf = simulate(ts, "edf", until=until).met
        assert simulate(ts, "llf", until=until).met == edf, ts
        met += edf
    assert 20 < met < 100


# Two engines, two scales, two ends.


@pytest.mark.parametrize("policy", ["fp", "rm", "dm", "edf"])
def test_the_lean_loop_makes_the_general_engines_schedule(policy: str) -> None:
    for number, ts in enumerate(sets(14, 100, n=5, load=1.1, deadlines="any D", offset=7, jitter=20)):
        made = plan(ts, policy, until=70 + number, jitter=number, execution={"t1": [1, 2, "1/3"]})
        assert is_lean(made)
        lean, general = Schedule(made, fast(made)), Schedule(made, Engine(made).run())
        assert lean.gantt() == general.gantt(), ts
        for name in ("jobs", "segments", "events"):
            one, other = getattr(lean, name), getattr(general, name)
            assert one.astype(object).values.tolist() == other.astype(object).values.tolist(), (ts, name)


def test_another_scale_makes_the_same_schedule() -> None:
    for ts in sets(15, 100, offset=5):
        small = ts.with_(**{name: [Fraction(getattr(t, name), 7) for t in ts] for name in ("C", "T", "D", "offset")})
        one, other = simulate(ts, "edf", until=30), simulate(small, "edf", until=Fraction(30, 7))
        assert [(n, Fraction(b) / 7, Fraction(e) / 7) for n, b, e in one.gantt()] == other.gantt()
        assert tuple(r if r is None else Fraction(r) / 7 for r in largest(one)) == largest(other)


def test_a_shorter_schedule_is_the_begin_of_a_longer() -> None:
    rng = random.Random(16)
    for shared in sharing(16, 100, load=1.0):
        end = rng.randint(1, 40)
        short, long = (simulate(shared, protocol="pip", until=until) for until in (end, 60))
        cut = [(name, b, min(e, end)) for name, b, e in long.gantt() if b < end]
        assert short.gantt() == cut, shared
        assert short.misses == [miss for miss in long.misses if miss.t <= end], shared


def test_a_miss_is_a_job_that_was_not_done_at_its_deadline() -> None:
    for ts in sets(17, 120, n=4, load=1.3, deadlines="any D", offset=5):
        schedule = simulate(ts, "edf", until=50)
        df = schedule.jobs
        late = (df["finish"].astype("float64").fillna(math.inf) > df["deadline"]) & (df["deadline"] <= 50)
        expected = sorted(zip(df["deadline"][late], df["task"].astype(str)[late], df["job"][late], strict=True))
        assert sorted((miss.t, miss.task, miss.job) for miss in schedule.misses) == expected
        assert [miss.t for miss in schedule.misses] == sorted(miss.t for miss in schedule.misses)
        assert schedule.met == (not expected)
        assert np.array_equal(schedule.events["t"], sorted(df["deadline"][late]))

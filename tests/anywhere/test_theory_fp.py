# SPDX-License-Identifier: MIT
"""Fixed priorities: the bounds, the response times, time demand, and the orders, against the literature and pyRTA."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from fractions import Fraction
from itertools import permutations
from typing import Any

import pytest
from response_time_analysis import fp, model

from rtnb.errors import BadInput
from rtnb.theory.bounds import hyperbolic, liu_layland, liu_layland_bound, utilisation
from rtnb.theory.generate import generate
from rtnb.theory.priorities import Tried, audsley, deadline_monotonic, rate_monotonic
from rtnb.theory.response import fits, response_times
from rtnb.theory.taskset import TaskSet
from rtnb.theory.timedemand import time_demand
from rtnb.theory.verdict import Verdict

Vector = Callable[[str], tuple[Any, Any]]
Times = list[int]


def a_set(given: dict[str, Any]) -> TaskSet:
    """The set of a worked case: its columns C, T, D, and J, O."""
    names = {"J": "jitter", "O": "offset"}
    return TaskSet(**{names.get(key, key): given[key] for key in ("C", "T", "D", "J", "O") if key in given})


def first_iterates(verdict: Verdict) -> list[list[Any]]:
    """What the recurrence went through for the first job of each task."""
    return [jobs[0] for jobs in verdict.iterates.values()]


# The worked cases.


def test_liu_and_layland_s_bound(vector: Vector) -> None:
    given, expected = vector("LL73-bound")
    for n in given["n"]:
        assert round(liu_layland_bound(n), 6) == expected[str(n)]
    assert round(liu_layland_bound(10**7), 6) == expected["inf"]


def test_rate_monotonic_is_optimal_for_two(vector: Vector) -> None:
    given, expected = vector("LL73-fig2")
    ts = a_set(given)
    most = max(C for C in (1, 2, 3) if response_times(ts.with_(C=[1, C])).passed)
    reverse = ts.with_priorities([1, 0])
    found = {
        "RM_feasible": response_times(ts).passed,
        "RM_max_C2": most,
        "reversed_feasible": response_times(reverse).passed,
        "reversed_C1_2_feasible": response_times(reverse.with_(C=[2, 1])).passed,
        "reversed_C2_2_feasible": response_times(reverse.with_(C=[1, 2])).passed,
    }
    assert found == expected


def test_at_the_bound_fractions_decide(vector: Vector) -> None:
    given, expected = vector("LL-crit2")
    ts = a_set(given)
    assert list(response_times(ts).R) == expected["R"]
    assert Fraction(expected["U"]) == ts.U
    assert (liu_layland(ts).passed, hyperbolic(ts).passed) == (expected["ll_ok"], expected["hb_ok"])
    assert "U = 292849/353500 = 0.8284272 <= 0.8284271 = 2 (2^(1/2) - 1)" in liu_layland(ts).inequality
    for more in ([415, 586], [414, 587]):
        verdict = response_times(ts.with_(C=more))
        assert (verdict.passed, time_demand(ts.with_(C=more)).passed) == (False, False)
        assert verdict.witness is not None
        assert (verdict.witness.task, verdict.witness.job, verdict.witness.t) == ("t2", 1, 1414)


def test_time_demand(vector: Vector) -> None:
    given, expected = vector("LSD-a")
    ts = a_set(given)
    verdict = time_demand(ts)
    assert tuple(map(Fraction, expected["L"])) == verdict.L
    assert list(verdict.argmin) == expected["argmin_t"]
    assert list(verdict.points["t3"]) == expected["points3"]
    assert verdict.points["t3"] == {int(t): W for t, W in expected["W3"].items()}
    assert verdict.witness is not None
    assert (verdict.witness.t, verdict.witness.task) == (300, "t3")
    assert (list(response_times(ts).R), ts.U) == (expected["R"], Fraction(expected["U"]))
    assert (liu_layland(ts).passed, hyperbolic(ts).passed) == (expected["ll_ok"], expected["hb_ok"])


@pytest.mark.parametrize("case", ["BW-set-A", "BW-set-B"])
def test_burns_and_wellings(vector: Vector, case: str) -> None:
    given, expected = vector(case)
    ts = a_set(given)
    verdict = response_times(ts)
    assert (ts.U, liu_layland(ts).passed) == (Fraction(expected["U"]), expected["ll_ok"])
    assert (verdict.passed, list(verdict.R)) == (expected["schedulable"], expected["R_full"])
    assert first_iterates(verdict) == expected["iterates"]
    assert verdict.witness is not None
    missed = [[ts.index(verdict.witness.task) + 1, verdict.witness.job, verdict.witness.t]]
    assert ([] if verdict.passed else missed) == expected["first_miss"]


def test_the_recurrence_keeps_its_iterates(vector: Vector) -> None:
    given, expected = vector("RTA-3-6-20")
    ts = a_set(given)
    verdict = response_times(ts)
    assert list(verdict.R) == expected["R"]
    assert verdict.iterates["t3"] == [expected["iterates3"]]
    assert (ts.U, liu_layland(ts).passed) == (Fraction(expected["U"]), expected["ll_ok"])
    assert list(verdict.frame["value"].tail(5)) == expected["iterates3"][1:]


def test_deadline_monotonic(vector: Vector) -> None:
    given, expected = vector("DM-3-6-10-20")
    ts = a_set(given)
    assert list(response_times(deadline_monotonic(ts)).R) == expected["R_DM"]
    rm = rate_monotonic(ts)
    assert [at + 1 for at in rm.order] == expected["RM_order"]
    found = response_times(rm)
    assert [found.R[at] for at in rm.order] == expected["R_RM_order"]
    assert found.passed == expected["RM_feasible"]
    assert audsley(rm)


def test_deadlines_before_periods(vector: Vector) -> None:
    given, expected = vector("Buttazzo-DM-RTA")
    ts = a_set(given)
    verdict = response_times(ts)
    assert list(verdict.R) == expected["R"]
    assert verdict.iterates["t4"] == [expected["iterates4"]]
    assert ts.density == Fraction(expected["density"])


@pytest.mark.parametrize("case", ["Buttazzo-Ex4.1", "Buttazzo-Ex4.4", "HB-1"])
def test_the_ladder(vector: Vector, case: str) -> None:
    given, expected = vector(case)
    ts = a_set(given)
    verdict = response_times(ts)
    assert Fraction(expected["U"]) == ts.U
    assert (liu_layland(ts).passed, hyperbolic(ts).passed) == (expected["ll_ok"], expected["hb_ok"])
    product = expected.get("hb_product") or expected["product"]
    assert f"= {product} = " in hyperbolic(ts).inequality
    assert (list(verdict.R), verdict.passed) == (expected["R"], expected["fp_ok"])


def test_harmonic_periods_fill_the_cpu(vector: Vector) -> None:
    given, expected = vector("harmonic")
    ts = a_set(given)
    assert utilisation(ts).passed
    assert utilisation(ts).schedulable is None
    assert (liu_layland(ts).passed, hyperbolic(ts).passed) == (expected["ll_ok"], expected["hb_ok"])
    assert (response_times(ts).passed, list(response_times(ts).R)) == (expected["RM_ok"], expected["R"])
    assert time_demand(ts).L[-1] == 1


def test_the_first_job_is_not_the_worst(vector: Vector) -> None:
    given, expected = vector("Lehoczky90-busy")
    verdict = response_times(a_set(given))
    done = [jobs[-1] for jobs in verdict.iterates["t2"]]
    assert [end - n * given["T"][1] for n, end in enumerate(done)] == expected["R2_jobs"]
    assert (done[-1], verdict.R[1]) == (expected["busy_period"], expected["R2_max"])
    late = response_times(a_set(given).with_(D=[70, 117]))
    assert late.witness is not None
    assert (late.witness.task, late.witness.job, late.witness.t) == ("t2", 5, 400 + 117)
    assert response_times(a_set(given).with_(D=[70, 118])).witness.job == 5  # type: ignore[union-attr]


def test_messages_are_not_preempted(vector: Vector) -> None:
    given, expected = vector("CAN-refuted")
    ts = a_set(given)
    verdict = response_times(ts, preemptive=False)
    unit = Fraction(str(given["unit_ms"]))
    assert [float(R * unit) for R in verdict.R if R is not None] == expected["R_ms"]
    waits = [[jobs[-1] for jobs in tasks] for tasks in verdict.iterates.values()]
    found = [
        [w + C - n * T for n, w in enumerate(jobs)] for jobs, C, T in zip(waits, given["C"], given["T"], strict=True)
    ]
    assert found == expected["R_jobs"]
    assert verdict.witness is not None
    assert (verdict.witness.task, verdict.witness.job, verdict.witness.t) == ("t3", 2, 14 + 13)
    assert (verdict.kind, verdict.test) == ("exact", "response times without preemption")


def test_blocking_terms(vector: Vector) -> None:
    given, expected = vector("blocking-RTA")
    ts = a_set(given)
    verdict = response_times(ts, blocking=given["B"])
    assert (list(verdict.R), first_iterates(verdict)) == (expected["R"], expected["iterates"])
    assert verdict.kind == "sufficient"
    bound = liu_layland(ts, blocking=given["B"])
    assert bound.passed == all(expected["ll_ok"])
    told = bound.inequality.removeprefix("U + B/T: ").split(", ")
    assert [part.split()[1] for part in told] == expected["lhs"]
    assert bound.witness is not None
    assert bound.witness.task == "t3"
    failed = liu_layland(ts, blocking=[8, 30, 50])
    assert (failed.passed, failed.witness and failed.witness.task) == (False, "t2")


def test_release_jitter(vector: Vector) -> None:
    given, expected = vector("jitter-RTA")
    ts = a_set(given)
    verdict = response_times(ts)
    assert (list(verdict.R), first_iterates(verdict)) == (expected["R"], expected["iterates"])
    assert list(response_times(ts.with_(jitter=0)).R) == expected["R_no_jitter"]


def test_offsets_remove_the_critical_instant(vector: Vector) -> None:
    given, expected = vector("offsets")
    ts = a_set(given)
    anyhow, known = response_times(ts), response_times(ts, offsets=True)
    assert (list(anyhow.R), list(known.R)) == (expected["R_sync"], expected["R_offset"])
    # What leaves the offsets out does not disprove: the two do not contradict each other.
    assert (anyhow.schedulable, known.schedulable) == (None, True)
    assert [step[:2] for step in known.steps if step.task == "t3"] == [(10, 16), (30, 38), (50, 56), (70, 78)]


# The bounds.


def test_a_bound_says_what_it_presumes() -> None:
    for test in (liu_layland, hyperbolic):
        with pytest.raises(BadInput, match="presumes rate-monotonic priorities, and t1 is above t2"):
            test(TaskSet(C=[1, 1], T=[5, 4]))
        with pytest.raises(BadInput, match="presumes D = T, and t2 has D 3 < T 4"):
            test(TaskSet(C=[1, 1], T=[3, 4], D=[3, 3]))
        with pytest.raises(BadInput, match="no jitter"):
            test(TaskSet(C=[1, 1], T=[3, 4], jitter=[0, 1]))
        assert test(rate_monotonic(TaskSet(C=[1, 1], T=[5, 4]))).passed
        assert test(TaskSet(C=[1, 1], T=[3, 4], D=[3, 9])).passed
        assert test(TaskSet(C=[3], T=[3])).passed
        assert not test(TaskSet(C=[4], T=[3])).passed


def test_utilisation_is_necessary() -> None:
    assert utilisation(TaskSet(C=[1, 1], T=[2, 2])).schedulable is None
    over = utilisation(TaskSet(C=["1", "1.000001"], T=[2, 2]))
    assert (over.passed, over.schedulable) == (False, False)
    assert over.inequality == "U = 2000001/2000000 = 1.0000005 <= 1"
    assert over.witness is not None
    assert over.witness.t == 2
    assert utilisation(TaskSet(C=[3, 3], T=[2, 2]), cpus=3).passed
    for cpus in (0, -1, 1.5, True):
        with pytest.raises(BadInput, match="whole number"):
            utilisation(TaskSet(C=[1], T=[2]), cpus=cpus)  # type: ignore[arg-type]
    for n in (0, 2.0):
        with pytest.raises(BadInput, match="whole number"):
            liu_layland_bound(n)  # type: ignore[arg-type]


def test_many_tasks_are_compared_at_once() -> None:
    rng = random.Random(3)
    T = sorted(rng.randrange(10**9, 10**12) for _ in range(500))
    for U, passed in ((0.69, True), (0.70, False)):
        ts = TaskSet(C=[int(t * U / 500) for t in T], T=T)
        start = time.perf_counter()
        assert (liu_layland(ts).passed, hyperbolic(ts).passed) == (passed, passed)
        assert time.perf_counter() - start < 2
        assert len(liu_layland(ts).inequality) < 100


# Response times: the corners.


def test_an_overload_has_an_answer() -> None:
    verdict = response_times(TaskSet(C=[2, 2, 1], T=[3, 4, 100]))
    assert verdict.R == (2, None, None)
    assert verdict.witness is not None
    assert (verdict.witness.task, verdict.witness.job, verdict.witness.t) == ("t2", 1, 4)
    assert "ask for more than the CPU has" in verdict.witness.words
    assert "t2 unbounded > 4" in verdict.inequality
    later = response_times(TaskSet(C=[2, 2], T=[4, 3], D=[4, 10]))
    assert later.witness is not None
    # By hand: job k of t2 is done at 4k; it is due at 3k + 7.
    assert (later.R, later.witness.job, later.witness.t) == ((2, None), 8, 31)
    assert later.steps[-1].value == 32
    far = response_times(TaskSet(C=[5], T=[4], D=[10**15]))
    assert far.witness is not None
    assert (far.R, far.passed, far.witness.job) == ((None,), False, None)


def test_at_full_load_a_busy_period_without_end_still_has_a_bound() -> None:
    # All that comes later is as in the first hyperperiod, and once blocked always late.
    assert (Fraction(3, 2),) == response_times(TaskSet(C=[1], T=[1], D=[2]), blocking=["1/2"]).R
    assert response_times(TaskSet(C=[1, 2], T=[2, 4], D=[2, 9]), blocking=[0, 1]).R == (1, 6)
    assert response_times(TaskSet(C=[1, 2], T=[2, 4], jitter=[1, 0])).R == (2, 5)


def test_what_would_take_for_ever_is_refused() -> None:
    ts = TaskSet(C=[10**9 - 1, 10**8], T=[10**9, 10**18])
    start = time.perf_counter()
    with pytest.raises(BadInput, match="response time of t2: its busy period is not over"):
        response_times(ts)
    for slow in (TaskSet(C=[1], T=[10], jitter=10**15), TaskSet(C=[1, 1], T=[10, 20], jitter=[0, 10**15])):
        for preemptive in (True, False):
            late = response_times(slow, preemptive=preemptive)
            assert (late.passed, late.R[-1]) == (False, None)  # what its first job misses is known
    many = response_times(TaskSet(C=[1], T=[10]), blocking=[10**7 - 10**6])
    assert many.passed is False
    with pytest.raises(BadInput, match="there are more than 300000"):
        _ = many.steps
    with pytest.raises(BadInput, match="more than 1000000 jobs"):
        response_times(TaskSet(C=[1, 1], T=[999_983, 1_000_003], offset=[0, 7]), offsets=True)
    with pytest.raises(BadInput, match="points to look at"):
        time_demand(TaskSet(C=[1, 1], T=[2, 10**12]))
    assert time.perf_counter() - start < 20


def test_what_blocks_is_checked() -> None:
    ts = TaskSet(C=["1ms", "2ms"], T=["4ms", "8ms"])
    assert response_times(ts, blocking=["500us", 0]).R == (1_500_000, 3_000_000)
    assert (Fraction(4, 3), None) == response_times(TaskSet(C=[1, 2], T=[4, 8]), blocking=[Fraction(1, 3), None]).R
    assert response_times(TaskSet(C=[1, 2], T=[4, 8]), blocking=iter([0, 1])).R == (1, 4)
    for blocking, why in (
        ([1], "1 values for 2 tasks"),
        (7, "a int is none"),
        (["1ms", "x"], "not a time"),
        ([-1, 0], "not below zero"),
    ):
        with pytest.raises(BadInput, match=why):
            response_times(ts, blocking=blocking)
    with pytest.raises(BadInput, match="it has a unit"):
        response_times(TaskSet(C=[1, 2], T=[4, 8]), blocking=["1ms", 0])


def test_a_protocol_s_blocking_counts() -> None:
    ts = TaskSet([("a", 2, 20), ("b", 3, 30), ("c", 4, 60)]).with_(sections=["bus@0:1", "", "bus@0:3"])
    assert response_times(ts.with_(sections=None)).R == (2, 5, 9)
    assert response_times(ts, blocking="icpp").R == (5, 8, 9)
    assert response_times(ts, blocking="protect") == response_times(ts, blocking=[3, 3, 0])
    assert liu_layland(ts, blocking="pip") == liu_layland(ts, blocking=[3, 3, 0])
    unbounded = response_times(ts, blocking="none")
    assert response_times(ts) == unbounded
    assert unbounded.R[0] is None
    assert unbounded.witness is not None
    assert "a may miss: its job 1, due at 20, is not done by then; its blocking has no bound" in unbounded.witness.words
    assert liu_layland(ts, blocking="none").witness.task == "a"  # type: ignore[union-attr]
    # Without preemption nobody waits for a lock.
    for protocol in ("none", "pip", "npp"):
        assert response_times(ts, blocking=protocol, preemptive=False) == response_times(ts, preemptive=False)
    for wrong in (response_times, liu_layland):
        with pytest.raises(BadInput, match="pcq"):
            wrong(ts, blocking="pcq")


def test_offsets_are_exact_only_where_all_is_known() -> None:
    ts = TaskSet(C=[1, 2], T=[4, 8], offset=[1, 0])
    with pytest.raises(BadInput, match="jitter"):
        response_times(ts.with_(jitter=[1, 0]), offsets=True)
    with pytest.raises(BadInput, match="without blocking"):
        response_times(ts, blocking=[1, 0], offsets=True)
    with pytest.raises(BadInput, match="with preemption"):
        response_times(ts, preemptive=False, offsets=True)
    over = response_times(TaskSet(C=[2, 2, 1], T=[4, 3, 9], D=[4, 10, 9], offset=[1, 0, 0]), offsets=True)
    assert over.witness is not None
    assert (over.R, over.witness.task) == ((2, None, None), "t2")
    done = ticked([2, 2], [4, 3], [0, 0], [1, 0], 200)[1]
    missed = next(n for n, end in enumerate(done) if end > 3 * n + 10)
    assert (over.witness.job, over.witness.t) == (missed + 1, 3 * missed + 10)


def test_time_demand_says_what_it_presumes() -> None:
    with pytest.raises(BadInput, match="D 9 > T 8"):
        time_demand(TaskSet(C=[1, 2], T=[4, 8], D=[4, 9]))
    with pytest.raises(BadInput, match="no jitter"):
        time_demand(TaskSet(C=[1, 2], T=[4, 8], jitter=1))
    failed = time_demand(TaskSet(C=[10, 10, 12], T=[30, 40, 50]))
    assert failed.witness is not None
    assert (failed.passed, failed.witness.task, failed.witness.t) == (False, "t3", 50)
    assert failed.L[2] == Fraction(52, 50)


def test_more_than_a_few_tasks_are_not_all_written_out() -> None:
    verdict = response_times(TaskSet(C=[1] * 12, T=[20] * 12))
    assert verdict.inequality == "R <= D for each of 12 tasks: t12 12 <= 20"


# Audsley.


def test_audsley_s_steps() -> None:
    found = audsley(TaskSet(C=[3, 3], T=[9, 5]))
    assert found
    assert found.taskset is not None
    assert [task.priority for task in found.taskset] == [2, 1]
    assert found.steps == (Tried(2, "t2", 6, False), Tried(2, "t1", 9, True), Tried(1, "t2", 3, True))
    none = audsley(TaskSet(C=[3, 4], T=[4, 5]))
    assert (bool(none), none.taskset) == (False, None)
    assert str(none) == "no order: at level 2 each of t2, t1 would miss its deadline"
    assert [step.R for step in none.steps] == [None, None]
    with pytest.raises(BadInput, match="depends on the order"):
        audsley(TaskSet(C=[3, 3], T=[9, 5]), blocking="pcp")


def test_audsley_keeps_an_order_that_will_do() -> None:
    ts = TaskSet(C=[1, 1, 2], T=[9, 5, 7])
    assert audsley(ts).taskset == ts


@pytest.mark.parametrize("preemptive", [True, False])
def test_audsley_finds_an_order_wherever_there_is_one(preemptive: bool) -> None:
    rng, outcomes = random.Random(17), {True: 0, False: 0}
    for _ in range(700):
        n = rng.randint(2, 5 if rng.random() < 0.2 else 4)
        T = [rng.randint(3, 14) for _ in range(n)]
        ts = TaskSet(
            C=[rng.randint(1, max(1, t // n)) for t in T],
            T=T,
            D=[rng.randint(max(2, t // 2), 2 * t) for t in T],
            jitter=[rng.choice((0, 0, 1, 2)) for _ in T],
        )
        B = [rng.choice((0, 0, 1)) for _ in T]
        if ts.U > 1:
            continue
        found = audsley(ts, preemptive=preemptive, blocking=B)
        how: dict[str, Any] = {"preemptive": preemptive, "blocking": B}
        any_order = any(response_times(ts.with_priorities(o), **how).passed for o in permutations(range(n)))
        assert bool(found) == any_order, ts
        if found.taskset:
            assert response_times(found.taskset, **how).passed
        outcomes[any_order] += 1
    assert min(outcomes.values()) > 50


# Against pyRTA, and against ticks that are counted one by one.


def columns(rng: random.Random, n: int, most: int = 60) -> dict[str, Times]:
    """C and T of a set of n tasks whose U is between a third and about 1."""
    T = [rng.randint(4, most) for _ in range(n)]
    share = [rng.random() for _ in T]
    U = rng.uniform(0.33, 1.0)
    return {"C": [max(1, round(U * u / sum(share) * t)) for u, t in zip(share, T, strict=True)], "T": T}


def peer(made: dict[str, Times], preemptive: bool = True, scale: int = 1) -> list[fp.Solution]:
    """What pyRTA finds for each task: a bigger number is a higher priority there."""
    kind = model.FullyPreemptive if preemptive else model.FullyNonPreemptive
    jitter = made.get("jitter") or [0] * len(made["C"])
    tasks = [
        model.Task(
            model.PeriodicWithJitter(T * scale, J * scale) if J else model.Periodic(T * scale),
            kind(model.WCET(C * scale)),
            model.Deadline(T),
            model.Priority(len(made["C"]) - at),
        )
        for at, (C, T, J) in enumerate(zip(made["C"], made["T"], jitter, strict=True))
    ]
    return [fp.rta(model.taskset(tasks), task, model.IdealProcessor()) for task in tasks]


def ticked(C: Times, T: Times, J: Times, offsets: Times, until: int) -> list[list[int]]:
    """When the jobs of each task are done, tick by tick: they arrive from offset - J on, and are released from 0 on."""
    n = len(C)
    done: list[list[int]] = [[] for _ in C]
    left = list(C)
    for now in range(until):
        for at in range(n):
            if max(offsets[at] - J[at] + len(done[at]) * T[at], 0 if J[at] else offsets[at]) <= now:
                left[at] -= 1
                if not left[at]:
                    done[at].append(now + 1)
                    left[at] = C[at]
                break
    return done


def test_r_is_pyrta_s() -> None:
    rng, several = random.Random(1), 0
    for _ in range(3000):
        made = columns(rng, rng.randint(1, 8))
        ts = TaskSet(**made, D=[4 * t for t in made["T"]])
        if ts.U > 1:
            continue
        verdict = response_times(ts)
        assert list(verdict.R) == [each.response_time_bound for each in peer(made)], ts
        several += any(len(jobs) > 1 for jobs in verdict.iterates.values())
        assert [max(jobs[-1] - n * t for n, jobs in enumerate(tasks)) for tasks, t in
                zip(verdict.iterates.values(), made["T"], strict=True)] == list(verdict.R)  # fmt: skip
    assert several > 300


def test_r_with_jitter_is_pyrta_s() -> None:
    rng, compared = random.Random(2), 0
    for _ in range(1500):
        made = columns(rng, rng.randint(1, 6))
        made["jitter"] = [rng.randint(0, t - 1) if rng.random() < 0.6 else 0 for t in made["T"]]
        ts = TaskSet(**made)
        if ts.U >= 1:
            continue
        found = []
        for solution, T, J in zip(peer(made), made["T"], made["jitter"], strict=True):
            # pyRTA counts from the release; its A is where the job's release lies, of which n-th that is follows.
            assert solution.search_space is not None
            found.append(max((F or 0) + J - (math.ceil((A + 1 + J) / T) - 1) * T for A, F, _ in solution.search_space))
        assert list(response_times(ts).R) == found, ts
        compared += 1
    assert compared > 1000


def test_r_without_preemption_is_pyrta_s_a_tick_before() -> None:
    rng, late = random.Random(4), 0
    for _ in range(1500):
        made = columns(rng, rng.randint(1, 6), most=30)
        ts = TaskSet(**made)
        if ts.U >= 1:
            continue
        scale = rng.choice((1, 2, 5))
        found = [each.response_time_bound or 0 for each in peer(made, preemptive=False, scale=scale)]
        # There what blocks has begun a tick, of 1/scale, before; here just before.
        limit = [Fraction(R + (at < len(found) - 1), scale) for at, R in enumerate(found)]
        verdict = response_times(ts, preemptive=False)
        assert list(verdict.R) == limit, ts
        late += any(len(jobs) > 1 for jobs in verdict.iterates.values())
    assert late > 300


def test_r_with_much_jitter_is_what_is_counted() -> None:
    rng, above_T = random.Random(5), 0
    for _ in range(400):
        made = columns(rng, rng.randint(1, 4), most=15)
        J = [rng.randint(0, 3 * t) for t in made["T"]]
        ts = TaskSet(**made, jitter=J)
        if Fraction(9, 10) <= ts.U:
            continue
        done = ticked(made["C"], made["T"], J, [0] * len(J), 3000)
        # The critical instant of a task is that all above have their jitter; all have: each level is looked at.
        counted = [
            max(end - n * t + j for n, end in enumerate(ends))
            for ends, t, j in zip(done, made["T"], J, strict=True)
        ]  # fmt: skip
        assert list(response_times(ts).R) == counted, (ts, J)
        above_T += any(j > t for j, t in zip(J, made["T"], strict=True))
    assert above_T > 100


def test_at_full_load_r_is_what_is_counted() -> None:
    rng, compared = random.Random(6), 0
    for _ in range(4000):
        T = [rng.choice((2, 3, 4, 6, 8, 12)) for _ in range(rng.randint(2, 4))]
        made = {"C": [rng.randint(1, max(1, t // 2)) for t in T], "T": T}
        if TaskSet(**made).U != 1:
            continue
        J = [rng.randint(0, t) for t in T]
        done = ticked(made["C"], T, J, [0] * len(T), 300)
        counted = [max(end - n * t + j for n, end in enumerate(d)) for d, t, j in zip(done, T, J, strict=True)]
        assert list(response_times(TaskSet(**made, jitter=J)).R) == counted, (made, J)
        compared += 1
    assert compared > 100


def test_at_its_offsets_a_set_is_what_is_counted_and_never_worse() -> None:
    rng, better, late = random.Random(7), 0, 0
    for _ in range(1000):
        n = rng.randint(1, 4)
        T = [rng.choice((3, 4, 5, 6, 8, 10, 12, 15)) for _ in range(n)]
        C = [rng.randint(1, max(1, 2 * t // n)) for t in T]
        starts = [rng.randint(0, 20) for _ in T]
        ts = TaskSet(C=C, T=T, offset=starts)
        if ts.U > 1:
            continue
        until = max(starts) + 4 * math.lcm(*T)
        done = ticked(C, T, [0] * n, starts, until)
        counted = [max(end - o - k * t for k, end in enumerate(d)) for d, o, t in zip(done, starts, T, strict=True)]
        verdict, anyhow = response_times(ts, offsets=True), response_times(ts)
        assert list(verdict.R) == counted, ts
        assert all(a <= b for a, b in zip(verdict.R, anyhow.R, strict=True))  # type: ignore[operator]
        together = response_times(ts.with_(offset=0), offsets=True)
        assert (together.R, together.passed, together.kind) == (anyhow.R, anyhow.passed, "exact")
        if not verdict.passed:
            assert verdict.witness is not None
            at = ts.index(verdict.witness.task)
            missed = next(k for k, end in enumerate(done[at]) if end > starts[at] + (k + 1) * T[at])
            assert (verdict.witness.job, verdict.witness.t) == (missed + 1, starts[at] + (missed + 1) * T[at])
            late += 1
        better += verdict.R != anyhow.R
    assert min(better, late) > 50


def test_each_bound_implies_the_next() -> None:
    rng, passed = random.Random(8), [0, 0, 0]
    for _ in range(2500):
        ts = rate_monotonic(TaskSet(**columns(rng, rng.randint(2, 7))))
        verdicts = liu_layland(ts).passed, hyperbolic(ts).passed, response_times(ts).passed
        assert list(verdicts) == sorted(verdicts), ts
        passed = [count + v for count, v in zip(passed, verdicts, strict=True)]
        n = len(ts)
        assert verdicts[0] == ((1 + ts.U / n) ** n <= 2)
    assert 0 < passed[0] < passed[1] < passed[2]


def test_time_demand_and_response_times_agree() -> None:
    rng, outcomes = random.Random(9), {True: 0, False: 0}
    for _ in range(2500):
        made = columns(rng, rng.randint(1, 6))
        ts = TaskSet(**made, D=[rng.randint((c + t) // 2, t) for c, t in zip(made["C"], made["T"], strict=True)])
        found, R = time_demand(ts), response_times(ts)
        assert found.passed == R.passed, ts
        for task, L, r in zip(ts, found.L, R.R, strict=True):
            assert (L <= 1) == (r is not None and r <= task.D)
        for task, L, t in zip(ts, found.L, found.argmin, strict=True):
            assert found.points[task.name][t] == L * t
            assert min(Fraction(W, at) for at, W in found.points[task.name].items()) == L  # type: ignore[arg-type]
        outcomes[found.passed] += 1
    assert min(outcomes.values()) > 300


def test_the_witness_is_the_first_miss() -> None:
    rng, seen = random.Random(10), 0
    for _ in range(1500):
        made = columns(rng, rng.randint(2, 5), most=20)
        D = [rng.randint(max(c, t // 2), 2 * t) for c, t in zip(made["C"], made["T"], strict=True)]
        verdict = response_times(TaskSet(**made, D=D))
        assert verdict.witness is not None
        done = ticked(made["C"], made["T"], [0] * len(D), [0] * len(D), 400)
        late = [
            (at, k, k * t + d)
            for at, (ends, t, d) in enumerate(zip(done, made["T"], D, strict=True))
            for k, end in enumerate(ends)
            if end > k * t + d
        ]
        if verdict.passed:
            assert late == []
        elif late:
            at, k, due = late[0]
            assert (verdict.witness.task, verdict.witness.job, verdict.witness.t) == (f"t{at + 1}", k + 1, due)
            seen += 1
    assert seen > 100


def test_times_that_are_fractions_change_nothing_but_their_size() -> None:
    rng = random.Random(11)
    for _ in range(200):
        made = columns(rng, 4)
        scale = Fraction(rng.randint(1, 9), rng.randint(2, 9))
        small = TaskSet(**{key: [scale * time for time in times] for key, times in made.items()})
        whole = response_times(TaskSet(**made))
        assert tuple(None if R is None else R * scale for R in whole.R) == response_times(small).R
        assert response_times(small).iterates["t4"][0] == [scale * t for t in whole.iterates["t4"][0]]


def test_fits_says_what_the_response_times_say() -> None:
    rng, said = random.Random(31), []
    for _ in range(3000):
        n = rng.randint(1, 5)
        T = [rng.randint(2, 20) for _ in range(n)]
        D = [max(1, t + rng.randint(-t // 2, t // 2)) for t in T]
        ts = TaskSet(C=[rng.randint(1, max(1, t // n)) for t in T], T=T, D=D, jitter=[rng.randint(0, 3) for _ in T])
        said.append(fits(ts))
        assert said[-1] == response_times(ts).passed
    assert 500 < sum(said) < 2500


def test_a_miss_is_told_where_the_busy_period_is_too_long_to_look_at() -> None:
    """U is so near 1 that the largest response time is far off; the first job is late already."""
    ts = rate_monotonic(generate(8, 1.0, seed=70, periods=(10_000, 1_000_000)))
    verdict = response_times(ts)
    assert ts.U < 1
    assert (verdict.passed, verdict.R[3], fits(ts)) == (False, None, False)
    assert "t4 more > " in verdict.inequality
    last = response_times(ts.with_(D=[700_000 if task.name == "t5" else task.D for task in ts]))
    assert last.witness is not None
    assert last.witness.task == "t4"
    assert "its busy period is very long" in last.witness.words


@pytest.mark.parametrize("test", [response_times, audsley])
def test_preemptive_is_a_yes_or_a_no(test: Callable[..., Any]) -> None:
    with pytest.raises(BadInput, match="preemptive 'no': it is True or False"):
        test(TaskSet(C=[1], T=[4]), preemptive="no")


def test_an_assignment_is_shown_in_words() -> None:
    assert repr(audsley(TaskSet(C=[3, 3], T=[9, 5]))) == "t2 > t1"
    assert repr(audsley(TaskSet(C=[3, 3], T=[5, 5]))) == "no order: at level 2 each of t2, t1 would miss its deadline"


# What is told is so, and all ends.


def test_bounds_are_told_with_as_many_digits_as_they_need() -> None:
    below = liu_layland(TaskSet(C=[414213, 414213], T=[10**6, 10**6]))
    assert (below.passed, below.inequality) == (True, "U = 414213/500000 = 0.828426 <= 0.828427 = 2 (2^(1/2) - 1)")
    above = liu_layland(TaskSet(C=[20711, 20711], T=[50000, 50000]))
    assert (above.passed, above.inequality) == (False, "U = 20711/25000 = 0.82844 <= 0.82843 = 2 (2^(1/2) - 1)")
    assert utilisation(TaskSet(C=[10**17 - 1], T=[10**17])).inequality == "U = 0.99999999999999999 <= 1"
    assert "U = 1.00000000000000001 <= 1: fails" in str(utilisation(TaskSet(C=[10**17 + 1], T=[10**17])))


def test_audsley_ends_with_200_tasks() -> None:
    rng = random.Random(1)
    T = [10**8 + rng.randint(0, 10**9) for _ in range(200)]
    begin = time.monotonic()
    nothing = audsley(TaskSet(C=[t // 200 for t in T], T=T))
    assert not nothing
    assert len(nothing.steps) == 200
    assert audsley(TaskSet(C=[t // 300 for t in T], T=T))
    with pytest.raises(BadInput, match="no answer after 40,000,000 terms"):
        audsley(TaskSet(C=[t // 200 for t in T], T=T), preemptive=False)
    assert time.monotonic() - begin < 60


def test_audsley_still_finds_what_response_times_prove() -> None:
    rng = random.Random(77)
    found = 0
    for _ in range(300):
        n = rng.randint(2, 5)
        T = [rng.randint(4, 20) for _ in range(n)]
        ts = TaskSet(
            C=[rng.randint(1, 4) for _ in T], T=T, D=[rng.randint(3, 25) for _ in T], jitter=[rng.randint(0, 2)] * n
        )
        for preemptive in (True, False):
            got = audsley(ts, preemptive=preemptive)
            orders = (ts.with_priorities(order) for order in permutations(range(n)))
            assert bool(got) is any(response_times(each, preemptive=preemptive).passed for each in orders)
            if got:
                proof = response_times(got.taskset, preemptive=preemptive)
                assert proof.passed
                assert {s.task: s.R for s in got.steps if s.passed} == {
                    t.name: r for t, r in zip(ts, proof.R, strict=True)
                }
                found += 1
    assert found > 100

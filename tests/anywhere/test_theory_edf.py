# SPDX-License-Identifier: MIT
"""Demand bound, processor demand, QPA and response times under EDF: worked cases, an oracle, and brute force."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import response_time_analysis as oracle
from response_time_analysis import model

from rtnb.errors import BadInput
from rtnb.theory import TaskSet
from rtnb.theory.demand import busy_period, demand_bound, demand_limit, processor_demand, qpa
from rtnb.theory.digits import share, sides
from rtnb.theory.edf import edf_density, edf_response_times, edf_utilisation

Vector = Callable[[str], tuple[Any, Any]]


def looks(verdict: Any) -> list[list[Any]]:
    return [[step.t, step.value] for step in verdict.steps]


def some_set(rng: random.Random, *, jitter: bool = False, longest: int = 12, deadlines: str = "any") -> TaskSet:
    """A small random set of a load around 1, its deadlines short, up to T, or any."""
    n = rng.randint(1, 4)
    T = [rng.randint(2, longest) for _ in range(n)]
    C = [rng.randint(1, max(1, round(1.6 * t / n))) for t in T]
    most = {"any": 2.0, "constrained": 1.0}[deadlines]
    D = [rng.randint(min(c, t), max(c, int(most * t))) for c, t in zip(C, T, strict=True)]
    J = [rng.randint(0, t) if jitter and rng.random() < 0.5 else 0 for t in T]
    return TaskSet(C=C, T=T, D=D, jitter=J)


def response_by_hand(ts: TaskSet, arrivals: list[list[int]], releases: list[list[int]]) -> list[int]:
    """The largest response of each task under EDF, tick by tick; of equal deadlines the last in the list waits."""
    C, D = ts.in_ticks("C"), ts.in_ticks("D")
    jobs = [[a + D[i], i, a, r, C[i]] for i in range(len(ts)) for a, r in zip(arrivals[i], releases[i], strict=True)]
    worst, t = [0] * len(ts), 0
    while jobs:
        ready = [job for job in jobs if job[3] <= t]
        t += 1
        if ready:
            job = min(ready)
            job[4] -= 1
            if not job[4]:
                jobs.remove(job)
                worst[job[1]] = max(worst[job[1]], t - job[2])
    return worst


def misses_at_once(ts: TaskSet) -> bool:
    """Does a job miss when all are released at 0, as late after their arrival as they may be, and then as often?"""
    C, T, D, J = (ts.in_ticks(field) for field in ("C", "T", "D", "jitter"))
    end = math.lcm(*T) + max(D) + max(T)
    arrivals = [list(range(-j, end, p)) for p, j in zip(T, J, strict=True)]
    left = [[a + D[i], i, max(a, 0), C[i]] for i in range(len(ts)) for a in arrivals[i]]
    t = 0
    for t in range(end):
        ready = [job for job in left if job[2] <= t]
        if not ready:
            continue
        job = min(ready)
        if job[0] <= t:
            return True
        job[3] -= 1
        if not job[3]:
            left.remove(job)
    return any(job[0] <= t for job in left)


@pytest.mark.parametrize("name", ["Buttazzo-Ex4.1", "Buttazzo-Ex4.4"])
def test_implicit_deadlines_fit_where_U_is_at_most_1(vector: Vector, name: str) -> None:
    given, expected = vector(name)
    ts = TaskSet(**given)
    for test in (edf_utilisation, edf_density, processor_demand, qpa, edf_response_times):
        assert test(ts).schedulable is expected["edf_ok"]
    assert edf_utilisation(ts).kind == "exact"


def test_edf_passes_where_dm_fails(vector: Vector) -> None:
    given, expected = vector("Buttazzo-Ex4.5/4.6")
    ts = TaskSet(**given)
    verdict = processor_demand(ts)
    assert demand_limit(ts) == Fraction(expected["Lstar"])
    assert busy_period(ts) == expected["busy"]
    assert looks(verdict) == expected["dbf"]
    assert verdict.schedulable is qpa(ts).schedulable is expected["EDF_ok"]
    assert verdict.witness is not None
    assert verdict.witness.words == "the last: demand(12) = 12 <= 12"


def test_the_processor_demand_example(vector: Vector) -> None:
    given, expected = vector("Buttazzo-PDC")
    ts = TaskSet(**given)
    assert Fraction(expected["U"]) == ts.U
    assert demand_limit(ts) == Fraction(expected["Lstar"])
    assert busy_period(ts) == expected["busy"]
    assert ts.hyperperiod == expected["H"]
    assert looks(processor_demand(ts, until=24)) == expected["dbf"]
    assert looks(processor_demand(ts)) == [look for look in expected["dbf"] if look[0] <= expected["busy"]]
    assert [demand_bound(ts, t) for t, _ in expected["dbf"]] == [value for _, value in expected["dbf"]]
    assert demand_bound(ts, 25) == 23
    assert looks(qpa(ts, start=25)) == expected["qpa_L25"]
    assert looks(qpa(ts)) == looks(qpa(ts, start=busy_period(ts))) == expected["qpa_busy"]
    assert processor_demand(ts).schedulable is qpa(ts).schedulable is expected["ok"]


def test_a_density_above_1_does_not_rule_a_set_out(vector: Vector) -> None:
    given, expected = vector("kernel-density")
    ts = TaskSet(**given)
    density = edf_density(ts)
    assert ts.density == Fraction(expected["density"])
    assert (density.passed, density.schedulable) == (False, None)
    assert f"= {expected['density']} <= 1" in density.inequality
    assert looks(processor_demand(ts)) == expected["dbf"]
    assert looks(qpa(ts)) == expected["qpa"]
    assert processor_demand(ts).schedulable is qpa(ts).schedulable is expected["ok"]


def test_qpa_looks_at_fewer_instants(vector: Vector) -> None:
    given, expected = vector("QPA-ok")
    ts = TaskSet(**given)
    assert Fraction(expected["U"]) == ts.U
    assert demand_limit(ts) == Fraction(expected["Lstar"])
    assert busy_period(ts) == expected["busy"]
    quick, full = qpa(ts, start=expected["busy"]), processor_demand(ts, until=expected["busy"])
    assert looks(quick) == expected["qpa"]
    assert (len(quick.steps), len(full.steps)) == (expected["qpa_points"], expected["pdc_points"])
    assert quick.schedulable is full.schedulable is qpa(ts).schedulable is expected["ok"]


def test_above_1_there_is_nothing_to_look_at(vector: Vector) -> None:
    given, expected = vector("QPA-fail")
    ts = TaskSet(**given)
    assert (demand_limit(ts), busy_period(ts)) == (expected["Lstar"], expected["busy"]) == (None, None)
    for test in (processor_demand, qpa, edf_response_times, edf_utilisation):
        verdict = test(ts)
        assert verdict.schedulable is expected["ok"] is False
        assert looks(verdict) == expected["qpa"]
        assert f"{expected['U']} <= 1" in verdict.inequality
    assert edf_response_times(ts).R == (None, None, None)


@pytest.mark.parametrize(
    "name",
    [
        "EDF-WCRT-RTA-3-6-20",
        "EDF-WCRT-Buttazzo-DM-RTA",
        "EDF-WCRT-BW-set-A",
        "EDF-WCRT-Buttazzo-RMvsEDF",
        "EDF-WCRT-harmonic",
    ],
)
def test_worst_case_response_times(vector: Vector, name: str) -> None:
    given, expected = vector(name)
    verdict = edf_response_times(TaskSet(**given))
    assert list(verdict.R) == expected["R_EDF"]
    assert verdict.schedulable is True
    for task, r in zip(verdict.taskset, verdict.R, strict=True):
        assert max(step.value for step in verdict.steps if step.task == task.name) == r


def test_the_witness_of_failure_is_the_first_instant() -> None:
    ts = TaskSet(C=[2, 2, 3], T=[6, 8, 9], D=[4, 5, 6])
    verdict = processor_demand(ts)
    assert verdict.witness is not None
    assert (verdict.schedulable, verdict.witness.t) == (False, 6)
    assert verdict.witness.words == "the first found: demand(6) = 7 > 6"
    assert looks(verdict) == [[4, 2], [5, 4], [6, 7]]
    assert qpa(ts).schedulable is False
    late = edf_response_times(ts)
    assert late.witness is not None
    assert late.witness.task == "t1"
    assert [r > task.D for task, r in zip(ts, late.R, strict=True)] == [True, True, True]


def test_demand_equals_qpa_equals_the_schedule() -> None:
    rng = random.Random(1)
    passed = failed = 0
    for round_ in range(3000):
        ts = some_set(rng, jitter=round_ % 2 == 1)
        verdict = processor_demand(ts).schedulable
        assert verdict is qpa(ts).schedulable, ts
        if ts.U <= 1 and round_ < 1200:
            assert verdict is not misses_at_once(ts), ts
        density, utilisation = edf_density(ts), edf_utilisation(ts)
        assert verdict or not density.passed
        assert utilisation.passed or not verdict
        if utilisation.kind == "exact":
            assert utilisation.schedulable is verdict
        passed, failed = passed + bool(verdict), failed + (not verdict and ts.U <= 1)
    assert min(passed, failed) > 200


def test_responses_meet_the_deadlines_where_the_demand_fits() -> None:
    rng = random.Random(2)
    seen = set()
    for round_ in range(3000):
        ts = some_set(rng, jitter=round_ % 2 == 1)
        verdict = edf_response_times(ts)
        assert verdict.schedulable is processor_demand(ts).schedulable, ts
        met = all(r is not None and r <= task.D for task, r in zip(ts, verdict.R, strict=True))
        assert verdict.passed is met
        seen.add((verdict.passed, ts.U == 1, any(t.jitter for t in ts)))
    assert len(seen) >= 7


def test_responses_equal_those_of_an_oracle() -> None:
    rng = random.Random(3)
    compared = 0
    while compared < 1000:
        ts = some_set(rng)
        if ts.U >= 1 or len({(t.C, t.T, t.D) for t in ts}) < len(ts):
            continue  # the oracle takes equal tasks for one
        tasks = [
            model.Task(model.Sporadic(t.T), model.FullyPreemptive(model.WCET(t.C)), model.Deadline(t.D)) for t in ts
        ]
        every = model.taskset(tasks)
        R = tuple(oracle.edf.rta(every, task, model.IdealProcessor()).response_time_bound for task in tasks)
        assert edf_response_times(ts).R == R, ts
        compared += 1


def test_responses_are_reached_and_never_exceeded() -> None:
    rng, sets = random.Random(4), 0
    for round_ in range(600):
        ts = some_set(rng, jitter=round_ % 2 == 1, longest=6)
        if ts.U > 1 or len(ts) > 3 or (ts.U == 1 and any(t.jitter for t in ts)):
            continue
        sets += 1
        bound, found = edf_response_times(ts).R, [0] * len(ts)
        for at in range(len(ts)):
            last = [*(place for place in range(len(ts)) if place != at), at]
            for arrivals, releases in _scenarios(ts, at):
                worst = response_by_hand(
                    TaskSet([ts[i] for i in last]).with_(priority=list(range(len(ts)))),
                    [arrivals[i] for i in last],
                    [releases[i] for i in last],
                )
                assert all(worst[n] <= bound[i] for n, i in enumerate(last)), ts
                found[at] = max(found[at], worst[-1])
        assert tuple(found) == bound, ts
    assert sets > 150


def _scenarios(ts: TaskSet, at: int) -> Any:
    """The others released at once, as late as they may be; the task at any time from then on."""
    T, J = ts.in_ticks("T"), ts.in_ticks("jitter")
    end = 4 * max(T) * len(ts) + 30
    for first in range(-J[at], T[at] - J[at]):
        arrivals = [list(range(-j, end, p)) for p, j in zip(T, J, strict=True)]
        arrivals[at] = list(range(first, end, T[at]))
        early = [[max(0, a) for a in row] for row in arrivals]
        yield arrivals, early
        # and each job of it as late as it may be
        yield arrivals, [row if i != at else [a + J[at] for a in arrivals[at]] for i, row in enumerate(early)]


def test_blocking_of_sections() -> None:
    ts = TaskSet("a 1 5 4 - - - - bus:1 \n b 2 10 8 \n c 4 20 16 - - - - bus@1:3")
    free, srp, npp = (processor_demand(ts, blocking=how) for how in ([0, 0, 0], "icpp", "npp"))
    assert looks(free) == [[4, 1], [8, 3], [9, 4], [14, 5], [16, 9]]
    assert looks(processor_demand(ts.with_(sections=None))) == [[4, 1]]
    assert looks(srp) == [[4, 4], [8, 6], [9, 7], [14, 8], [16, 9]]
    assert looks(srp) == looks(npp)
    assert (srp.kind, srp.schedulable) == ("sufficient", True)
    assert "demand(t) + B(t) <= t" in srp.inequality
    longer = ts.with_(sections=["bus:1", "", "bus@0:4"])
    failed = processor_demand(longer, blocking="protect")
    assert failed.witness is not None
    assert failed.witness.words == "the first found: demand(4) + B(4) = 1 + 4 > 4"
    assert (failed.passed, failed.schedulable) == (False, None)
    assert qpa(longer, blocking="icpp").passed is False


def test_under_the_stack_resource_policy_only_ceilings_block() -> None:
    ts = TaskSet("a 1 6 4\nb 1 8 7 - - - - bus:1\nc 5 20 18 - - - - bus:4")
    srp, npp = processor_demand(ts, blocking="icpp"), processor_demand(ts, blocking="npp")
    assert looks(srp)[0] == [4, 1]
    assert looks(npp)[0] == [4, 5]
    assert (srp.passed, npp.passed) == (True, False)
    listed = processor_demand(ts, blocking=[0, 4, 0])
    assert (listed.passed, looks(listed)[:2]) == (True, [[4, 1], [7, 6]])
    assert processor_demand(ts, blocking=["1/2", 4, 0]).steps[0].value == 2


def test_demand_with_blocking_equals_qpa() -> None:
    rng = random.Random(5)
    outcomes = set()
    for _ in range(2000):
        ts = some_set(rng, jitter=rng.random() < 0.3, deadlines="constrained")
        sections = [rng.choice(["", f"r:{rng.randint(1, t.C)}", f"s:{rng.randint(1, t.C)}"]) for t in ts]
        ts = ts.with_(sections=sections)
        how: dict[str, Any] = rng.choice(
            [
                {"preemptive": False},
                {"blocking": "npp"},
                {"blocking": "icpp"},
                {"blocking": [rng.randint(0, 4) for _ in ts]},
            ]
        )
        if how.get("blocking") == "icpp":
            ts = ts.with_(jitter=0)
        full = processor_demand(ts, **how)
        assert full.passed is qpa(ts, **how).passed, (ts, how)
        assert processor_demand(ts.with_(sections=None)).schedulable or not full.passed
        if full.passed and full.steps:
            most = 3 * int(ts.hyperperiod)
            assert processor_demand(ts, until=most, **how).passed, (ts, how)
        outcomes.add((full.passed, *how))
    assert len(outcomes) == 4


def test_nonpreemptive_demand_is_that_of_the_worst_release() -> None:
    """A longer job has just begun, on a grid that is finer than the set's times, when all others come at once."""
    rng, fine = random.Random(6), 8
    seen = []
    for _ in range(400):
        ts = some_set(rng, deadlines="constrained", longest=8)
        if ts.U > 1:
            continue
        verdict = processor_demand(ts, preemptive=False)
        assert verdict.kind == "exact"
        scaled = TaskSet([(t.C * fine, t.T * fine, t.D * fine) for t in ts])
        late = [_late_without_preemption(scaled, first) for first in [None, *range(len(ts))]]
        assert verdict.schedulable is not any(late), ts
        seen.append(verdict.schedulable)
    assert 50 < sum(seen) < len(seen) - 50


def _late_without_preemption(ts: TaskSet, first: int | None) -> bool:
    C, T, D = ts.in_ticks("C"), ts.in_ticks("T"), ts.in_ticks("D")
    end = 2 * math.lcm(*T) + max(D)
    jobs = [[a + D[i], a, C[i]] for i in range(len(ts)) for a in range(0 if i != first else T[i] - 1, end, T[i])]
    t = 0 if first is None else C[first] - 1
    if first is not None and C[first] - 1 > D[first]:
        return True
    while jobs and t < end:
        ready = [job for job in jobs if job[1] <= t]
        if not ready:
            t = min(job[1] for job in jobs)
            continue
        job = min(ready)
        jobs.remove(job)
        t += job[2]
        if t > job[0] and job[0] <= end:
            return True
    return False


def test_what_a_verdict_is_called() -> None:
    apart = TaskSet(C=[2, 2], T=[6, 6], D=[3, 3], offset=[0, 3])
    for test in (processor_demand, qpa, edf_response_times):
        assert (test(apart).kind, test(apart).schedulable) == ("sufficient", None)
        assert test(apart.with_(offset=2)).kind == "exact"
    ts = TaskSet(C=[2, 2, 3], T=[6, 8, 9], D=[4, 5, 7])
    assert (qpa(ts, start=5).kind, qpa(ts, start=5).schedulable) == ("necessary", None)
    assert processor_demand(ts, until=5).kind == "necessary"
    assert processor_demand(ts, until=15).kind == qpa(ts, start=16).kind == qpa(ts, start="61/4").kind == "exact"
    assert [edf_utilisation(ts.with_(D=D)).kind for D in ([6, 8, 9], [6, 8, 8])] == ["exact", "necessary"]
    assert edf_utilisation(TaskSet(C=[1], T=[4], jitter=[1])).kind == "necessary"


def test_a_release_as_late_as_the_deadline() -> None:
    ts = TaskSet(C=[1, 1], T=[9, 9], D=[3, 5], jitter=[4, 0])
    for test in (processor_demand, qpa):
        assert looks(test(ts)) == [[0, 1]]
        assert test(ts).schedulable is False
    assert edf_density(ts).passed is False
    assert edf_response_times(ts).R == (5, 2)


def test_where_no_deadline_is_early_enough_the_utilisation_is_all() -> None:
    ts = TaskSet(C=[1, 1], T=[2, 4])
    for test in (processor_demand, qpa):
        assert str(test(ts)).endswith(": U = 3/4 <= 1, and no deadline needs a look: holds, schedulable")
    early = processor_demand(TaskSet(C=[2, 2, 3], T=[6, 8, 9], D=[4, 5, 7]), until=3)
    assert (early.inequality, early.schedulable) == ("U = 11/12 <= 1, and no deadline is so early", None)


def test_full_utilisation() -> None:
    ts = TaskSet(C=[2, 2, 1], T=[4, 6, 6], D=[4, 6, 6])
    assert (ts.U, busy_period(ts), demand_limit(ts)) == (1, 12, None)
    assert processor_demand(ts).schedulable is qpa(ts).schedulable is edf_response_times(ts).schedulable is True
    for jitter, fits in (([0, 1, 0], True), ([2, 0, 0], False)):
        late = ts.with_(jitter=jitter)
        assert busy_period(late) is None
        assert processor_demand(late).schedulable is qpa(late).schedulable is fits
        assert edf_response_times(late).schedulable is fits
    assert looks(processor_demand(ts.with_(jitter=[2, 0, 0])))[-1] == [6, 7]


def test_times_with_a_unit_and_fractions() -> None:
    ts = TaskSet("a 2ms 6ms 4ms\nb 2ms 8ms 5ms\nc 3ms 9ms 7ms")
    assert demand_bound(ts, "7ms") == 7_000_000
    assert (busy_period(ts), demand_limit(ts)) == (16_000_000, 25_000_000)
    assert "demand(16 ms) = 16 ms" in str(processor_demand(ts))
    half = TaskSet(C=["1/2", "1/3"], T=[1, 2], D=["2/3", 1])
    assert [demand_bound(half, t) for t in ("0.6", "2/3", 1, "5/3")] == [
        0,
        Fraction(1, 2),
        Fraction(5, 6),
        Fraction(4, 3),
    ]
    assert processor_demand(half, until=1).frame["value"].tolist() == [3, 5]


def test_too_much_to_look_at() -> None:
    near = TaskSet(C=[50_000_003, 50_000_019], T=[100_000_007, 100_000_039], D=[60_000_000, 100_000_039])
    assert 1 - Fraction(1, 10**7) < near.U < 1
    with pytest.raises(BadInput, match="iterations"):
        busy_period(near)
    with pytest.raises(BadInput, match="qpa looks at far fewer"):
        processor_demand(near)
    with pytest.raises(BadInput, match="not done after 333,333 jumps"):
        qpa(near)
    with pytest.raises(BadInput, match="arrivals would have to be looked at"):
        edf_response_times(TaskSet(C=[10**9, 1], T=[10**9 + 1, 1000], D=[10**9 + 1, 1000]).with_(C=[10**9 - 10**7, 1]))
    assert qpa(near.with_(D=near.in_ticks("T"))).schedulable is True
    # what fails early is found, however much there is to look at
    early = processor_demand(near.with_(D=[60_000_000, 90_000_000]))
    assert (early.passed, early.steps[-1].t) == (False, 90_000_000)
    # and where there is much to look at, QPA looks at little of it
    fine = TaskSet(C=[5, 499_999_980], T=[10, 10**9 + 7], D=[9, 10**9 - 1])
    with pytest.raises(BadInput, match="qpa looks at far fewer"):
        processor_demand(fine)
    assert qpa(fine).schedulable is True


def test_what_means_nothing() -> None:
    ts = TaskSet("a 1 5 4 - - - - bus:1\nb 2 9 8 - - - - bus:2")
    with pytest.raises(BadInput, match="does not bound the blocking"):
        processor_demand(ts, blocking="none")
    assert processor_demand(ts.with_(sections=""), blocking="none").kind == "exact"
    with pytest.raises(BadInput, match="no demand test knows it"):
        qpa(ts, blocking="pip")
    with pytest.raises(BadInput, match="3 times for 2 tasks"):
        qpa(ts, blocking=[1, 2, 3])
    with pytest.raises(BadInput, match="neither a protocol nor a list"):
        qpa(ts, blocking=3)
    with pytest.raises(BadInput, match="without release jitter"):
        processor_demand(ts.with_(jitter=1), blocking="icpp")
    with pytest.raises(BadInput, match="not below zero"):
        demand_bound(ts, -1)
    with pytest.raises(BadInput, match="no unit"):
        demand_bound(ts, "2ms")


@pytest.mark.parametrize("test", [processor_demand, qpa])
def test_preemptive_is_a_yes_or_a_no(test: Callable[..., Any]) -> None:
    with pytest.raises(BadInput, match="preemptive 'no': it is True or False"):
        test(TaskSet(C=[1], T=[4]), preemptive="no")


# Numbers that are too long to be written.


def many(n: int = 700) -> TaskSet:
    """A set whose U has some six thousand digits."""
    rng = random.Random(3)
    return TaskSet(C=[1] * n, T=[10**9 + 2 * rng.randint(0, 10**9) + 1 for _ in range(n)])


def full(n: int = 800) -> TaskSet:
    """U = 1, exactly, and a hyperperiod of some five thousand digits: each T is n times another prime."""
    primes = (q for q in range(10**6 + 1, 2 * 10**6, 2) if all(q % d for d in range(3, 1000, 2)))
    C = [next(primes) for _ in range(n)]
    return TaskSet(C=C, T=[n * c for c in C])


def test_a_utilisation_of_thousands_of_digits_is_told_shortly() -> None:
    ts = many()
    assert str(edf_utilisation(ts)) == "EDF utilisation: U = 3.81646e-7 <= 1: holds, schedulable"
    assert "density = 3.81646e-7 <= 1" in str(edf_density(ts))
    assert "U = 3.81646e-7 <= 1, and no deadline needs a look" in str(processor_demand(ts))
    assert str(qpa(ts)).startswith("QPA: U = 3.81646e-7 <= 1")


def test_a_hyperperiod_of_thousands_of_digits_ends_with_an_answer() -> None:
    ts = full()
    begin = time.monotonic()
    with pytest.raises(BadInput, match=r"\d\.\d+e\+\d{4} deadlines up to .* would have to be looked at"):
        processor_demand(ts)
    with pytest.raises(BadInput, match=r"not done after \d+ jumps from \d\.\d+e\+\d{4}"):
        qpa(ts)
    short = qpa(ts.with_(D=[task.T - 1 for task in ts]))
    assert not short.passed
    assert len(str(short)) < 250
    with pytest.raises(BadInput, match="arrivals would have to be looked at"):
        edf_response_times(ts)
    assert time.monotonic() - begin < 30


def test_what_200_tasks_need_is_counted_in_terms() -> None:
    rng = random.Random(1)
    T = [10**8 + rng.randint(0, 10**9) for _ in range(200)]
    near = TaskSet(C=[t // 200 for t in T], T=T, D=[t * 9 // 10 for t in T])
    begin = time.monotonic()
    for test, what in ((busy_period, "19,047 iterations"), (qpa, "19,047 jumps"), (edf_response_times, "iterations")):
        with pytest.raises(BadInput, match=what):
            test(near)
    with pytest.raises(BadInput, match=r"about [0-9,]+ arrivals would have to be looked at"):
        edf_response_times(TaskSet(C=[t // 230 for t in T], T=T))
    assert time.monotonic() - begin < 30


def test_the_words_say_what_is_so() -> None:
    late = edf_response_times(TaskSet(C=[3, 3], T=[6, 6], D=[3, 5]))
    assert not late.passed
    assert late.inequality == "R of t1 = 4 > 3"
    short = processor_demand(TaskSet(C=[5, 1], T=[10, 200], D=[4, 200]))
    assert "up to 6, of which 1 was looked at: fails" in str(short)
    assert "at the 1 deadline up to" in str(processor_demand(TaskSet(C=[1], T=[10], D=[1])))
    just = Fraction(10**17 - 1, 10**17)
    assert "U = 0.99999999999999999 <= 1" in edf_utilisation(TaskSet(C=[10**17 - 1], T=[10**17])).inequality
    assert share(just) == "0.99999999999999999"


def test_two_numbers_in_words_compare_as_they_do() -> None:
    rng = random.Random(5)
    for _ in range(3000):
        x = Fraction(rng.randint(1, 10**20), rng.randint(1, 10**20))
        y = x + Fraction(rng.choice([-1, 0, 1]), 10 ** rng.randint(1, 25))
        for decimal in (False, True):
            a, b = sides(x, y, rng.randint(3, 6), decimal)
            assert (Fraction(a) < Fraction(b), Fraction(a) > Fraction(b)) == (x < y, x > y)
    assert sides(1 - Fraction(1, 10**50), 1) == ("1 - 1e-50", "1")

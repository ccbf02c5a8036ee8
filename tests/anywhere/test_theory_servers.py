# SPDX-License-Identifier: MIT
"""Servers: the worked cases; budgets and windows; what the tasks beneath or beside them still get."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import pytest

from rtnb.errors import BadInput
from rtnb.theory import servers as module
from rtnb.theory.exact import Time
from rtnb.theory.response import response_times
from rtnb.theory.servers import (
    Server,
    background,
    bandwidth,
    constant_bandwidth,
    deferrable,
    deferrable_least_bound,
    polling,
    server_bound,
    server_hyperbolic,
    server_liu_layland,
    sporadic,
    total_bandwidth,
    with_server,
)
from rtnb.theory.simulation import Schedule, simulate
from rtnb.theory.taskset import TaskSet

Vector = Callable[[str], tuple[Any, Any]]
MAKE: dict[str, Callable[..., Server]] = {"ps": polling, "ds": deferrable, "ss": sporadic}


def shown(schedule: Schedule) -> list[list[Any]]:
    """The Gantt chart as the worked cases write it: a task is its number."""
    return [[int(name[1:]) if name[0] == "t" else name, begin, end] for name, begin, end in schedule.gantt()]


def finishes(schedule: Schedule) -> list[Time]:
    df = schedule.jobs
    own = df[df["task"] == "S"].sort_values("job")
    return [Fraction(int(finish), df.attrs["rtnb"]["header"]["details"]["per_unit"]) for finish in own["finish"]]


def just_before(course: list[tuple[Time, Time]], t: Time) -> Time:
    """The budget just before t: what it comes to along its course."""
    (at, value), *rest = course
    for after, then in rest:
        if after >= t:
            return value + (then - value) * Fraction(t - at) / (after - at)
        at, value = after, then
    return value


def runs(schedule: Schedule, name: str = "S") -> list[tuple[Time, Time]]:
    return [(begin, end) for who, begin, end in schedule.gantt() if who == name]


# The worked cases.


@pytest.mark.parametrize("kind", ["bg", "ps", "ds", "ss"])
def test_the_worked_case_of_fixed_priorities(vector: Vector, kind: str) -> None:
    given, expected = vector("servers-FP")
    asked = [tuple(request) for request in given["aperiodic"]]
    server = background(asked) if kind == "bg" else MAKE[kind](given["Cs"], given["Ts"], asked)
    schedule = simulate(TaskSet(given["periodic"]), servers=[server], until=24)
    assert shown(schedule) == expected[kind]["gantt"]
    assert finishes(schedule) == expected[kind]["finish"]
    responses = schedule.jobs.query("task == 'S'")["response"].tolist()
    assert responses == expected[kind]["response"]
    course = schedule.budget("S")
    assert [just_before(course, tick + 1) for tick in range(24)] == expected[kind]["budget"]


def test_the_corrected_sporadic_server_gets_the_second_part_back_later(vector: Vector) -> None:
    given, expected = vector("servers-FP")
    schedule = simulate(
        TaskSet(given["periodic"]), servers=[sporadic(2, 5, given["aperiodic"], corrected=True)], until=24
    )
    course = schedule.budget("S")
    budget = [just_before(course, tick + 1) for tick in range(24)]
    # Of the two units served in [13, 15) one came back at 13 only, so that its successor comes at 18.
    assert budget.pop(17) == 1
    first = expected["ss"]["budget"]
    assert budget == first[:17] + first[18:]


def test_the_worked_case_of_total_bandwidth(vector: Vector) -> None:
    given, expected = vector("TBS")
    ts, server = TaskSet(given["periodic"]), total_bandwidth(given["Us"], given["aperiodic"])
    schedule = simulate(ts, "edf", servers=[server], until=24)
    assert shown(schedule) == expected["gantt"]
    assert finishes(schedule) == expected["finish"]
    assert schedule.jobs.query("task == 'S'")["deadline"].tolist() == expected["deadlines"]
    verdict = bandwidth(ts, server)
    assert verdict
    assert verdict.kind == "exact"
    assert verdict.inequality == "U_p + U_s = 3/4 + 1/4 = 1 <= 1"


def test_the_worked_case_of_constant_bandwidth(vector: Vector) -> None:
    given, expected = vector("CBS")
    ts, server = TaskSet(given["periodic"]), constant_bandwidth(given["Qs"], given["Ts"], given["aperiodic"])
    schedule = simulate(ts, "edf", servers=[server], until=30)
    assert shown(schedule) == expected["gantt"]
    assert finishes(schedule) == expected["finish"]
    moves = schedule.events.query("kind == 'deadline'")
    moved = list(zip(moves["t"], moves["what"], strict=True))
    served = [(t, finish) for (t, _), finish in zip(given["aperiodic"], expected["finish"], strict=True)]
    assert [deadlines_within(moved, *span) for span in served] == expected["deadlines"]
    assert ts.U + server.utilisation == Fraction(expected["U"])
    assert bandwidth(ts, server)


def deadlines_within(moved: list[tuple[int, str]], begin: int, end: int) -> list[str]:
    """The deadlines that were in force in [begin, end)."""
    before = [what for t, what in moved if t <= begin][-1:]
    return before + [what for t, what in moved if begin < t < end]


@pytest.mark.parametrize("hard", [False, True])
def test_the_worked_case_of_the_kernels_documentation(vector: Vector, hard: bool) -> None:
    given, expected = vector("GRUB-doc")
    (first, second), at = given["tasks"], given["T1_blocks_at"]
    servers = [
        constant_bandwidth(*first, [(0, at)], name="T1", reclaim=True, umax=given["Umax"], hard=hard),
        constant_bandwidth(*second, [(0, 100)], name="T2", reclaim=True, umax=given["Umax"], hard=hard),
    ]
    # A set has a task: here one that comes only when all is over, and is not active before.
    schedule = simulate(TaskSet([("late", 1, 100, 100, 1, 0, 50)]), "edf", servers=servers, until=10)
    course = schedule.budget("T2")
    zero_lag, exhausted = Fraction(expected["zero_lag_T1"]), Fraction(expected["T2_budget_exhausted_at"])
    assert schedule.budget("T1")[-1] == (at, 2)
    assert zero_lag == 8 - Fraction(2 * 8, 4)
    assert just_before(course, 3) == 3
    assert just_before(course, zero_lag) == 2
    assert just_before(course, 6) == 1
    assert next(t for t, budget in course if t and not budget) == exhausted
    assert runs(schedule, "T1") == [(0, at)]
    executed = sum(min(end, exhausted) - begin for begin, end in runs(schedule, "T2") if begin < exhausted)
    assert executed == int(expected["T2_executed"].split()[0])


def test_the_bounds_of_the_book(vector: Vector) -> None:
    given, expected = vector("server-bounds")
    assert len(expected) == len(given["Us"]) * len(given["n"])
    for Us in given["Us"]:
        for n in given["n"]:
            found = [server_bound(kind, n, Us) for kind in ("polling", "deferrable")]
            assert found == pytest.approx(expected[f"{Us},{n}"], abs=5e-7)
            assert server_bound("sporadic", n, Us) == found[0]


def test_the_least_bound_of_a_deferrable_server(vector: Vector) -> None:
    _, expected = vector("DS-Ulub")
    share, bound = deferrable_least_bound()
    assert (round(share, 3), round(bound, 3)) == (expected["Us"], expected["U_lub"])
    assert share == pytest.approx(expected["precise_Us"], abs=5e-6)
    assert bound == pytest.approx(expected["precise"], abs=5e-7)
    assert share == pytest.approx((33**0.5 - 5) / 4, abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 1000])
def test_the_least_bound_is_the_least(n: int) -> None:
    share, bound = deferrable_least_bound(n)
    grid = [Us / 1000 + server_bound("deferrable", n, Fraction(Us, 1000)) for Us in range(1001)]
    assert bound <= min(grid) + 1e-12
    assert bound == pytest.approx(min(grid), abs=1e-5)
    assert bound == pytest.approx(share + server_bound("deferrable", n, share))


# The bounds, exactly.


def test_a_bound_is_compared_exactly() -> None:
    # Us = 1/3: the product may reach 2 / (4/3) = 3/2; two tasks of (U + 1)^2 = 9/4 only with one more.
    edge = TaskSet([(1, 2)])
    assert server_hyperbolic(edge, polling(1, 3, priority=2)).inequality == "prod (U_i + 1) = 3/2 <= 2/(Us + 1) = 3/2"
    assert server_hyperbolic(TaskSet([(1, 2)]), polling("2/3", 2)).passed
    assert server_liu_layland(TaskSet([(1, 2)]), polling("2/3", 2)).passed
    over = TaskSet([("1000000000001/2000000000000", 2)]).with_(T=1)
    assert not server_hyperbolic(over, polling("1/3", 1)).passed
    assert not server_liu_layland(over, polling("1/3", 1)).passed
    assert (
        server_liu_layland(TaskSet([(1, 2)]), polling("2/3", 2)).inequality
        == "U = 1/2 <= 1 ((2/(Us + 1))^(1/1) - 1) = 1/2"
    )


@pytest.mark.parametrize(
    ("ts", "server", "why"),
    [
        (TaskSet([(1, 20)]), deferrable(1, 5, priority=9), "S has not the highest priority"),
        (TaskSet([(1, 4), (1, 20)]), deferrable(1, 5), "S has not the highest priority"),
        (TaskSet([(1, 28)]), deferrable(15, 17), "the T of t1 is below T + Q = 32 of S"),
        (TaskSet([(1, 4), (1, 20)]), sporadic(1, 5), "S has not the highest priority, and is not the corrected one"),
        (TaskSet([(1, 40), (1, 20)]), polling(1, 5), "the priority of t2 is not rate-monotonic"),
        (TaskSet([(1, 40)]), polling(1, 50, priority=0), "the priority of t1 is not rate-monotonic"),
        (TaskSet([(1, 40, 39)]), polling(1, 5), "t1 has D < T"),
        (TaskSet(C=[1], T=[40], jitter=[1]), polling(1, 5), "t1 has a jitter"),
    ],
)
def test_a_bound_says_which_sets_it_is_not_for(ts: TaskSet, server: Server, why: str) -> None:
    for test in (server_liu_layland, server_hyperbolic):
        verdict = test(ts, server)
        assert not verdict.passed
        assert verdict.schedulable is None
        assert verdict.witness is not None
        assert verdict.witness.words == f"the bound is not for it: {why}"
        assert verdict.witness.task in [task.name for task in ts] + ["S"]


def random_sets(seed: int, count: int) -> Iterator[tuple[random.Random, TaskSet]]:
    """Sets of 1 to 4 tasks in rate-monotonic order."""
    rng = random.Random(seed)
    for _ in range(count):
        n, U = rng.randint(1, 4), rng.uniform(0.1, 0.8)
        periods = sorted(rng.choice([4, 5, 6, 8, 10, 12, 15, 20, 30]) for _ in range(n))
        yield rng, TaskSet([(min(T, max(1, int(T * U / n * rng.uniform(0.3, 1.7)))), T) for T in periods])


def test_each_bound_implies_the_exact_test() -> None:
    passed = {(kind, test): 0 for kind in MAKE for test in ("hyperbolic", "liu_layland")}
    for rng, ts in random_sets(1, 4000):
        kind = rng.choice(list(MAKE))
        T = rng.randint(2, 12)
        server = MAKE[kind](rng.randint(1, T), T)
        verdicts = {"hyperbolic": server_hyperbolic(ts, server), "liu_layland": server_liu_layland(ts, server)}
        assert verdicts["hyperbolic"].passed or not verdicts["liu_layland"].passed
        for name, verdict in verdicts.items():
            if verdict:
                passed[kind, name] += 1
                R = response_times(with_server(ts, server)).R
                assert all(r is not None and r <= task.D for r, task in zip(R, ts, strict=False)), (ts, server)
    assert min(passed.values()) > 50, passed


def test_bandwidth_is_exact_or_a_density() -> None:
    ts = TaskSet([(1, 4, 2)])
    assert bandwidth(ts, constant_bandwidth(1, 2)).kind == "sufficient"
    assert bandwidth(ts, constant_bandwidth(1, 2)).inequality == "density + U_s = 1/2 + 1/2 = 1 <= 1"
    assert bandwidth(ts, constant_bandwidth(2, 3)).schedulable is None
    assert bandwidth(TaskSet([(1, 4, 8)]), total_bandwidth("3/4")).schedulable is True
    assert bandwidth(TaskSet([(1, 4)]), total_bandwidth("0.76")).schedulable is False
    jittery = TaskSet(C=[1], T=[4], D=[4], jitter=[2])
    assert bandwidth(jittery, total_bandwidth("1/2")).inequality == "density + U_s = 1/2 + 1/2 = 1 <= 1"
    hopeless = bandwidth(jittery.with_(D=2), total_bandwidth("1/2"))
    assert hopeless.schedulable is False
    assert hopeless.witness is not None
    assert hopeless.witness.task == "t1"
    assert bandwidth(TaskSet([(1, 2)]), background()).schedulable is True
    assert bandwidth(TaskSet([(1, 2)]), *(total_bandwidth("1/4", name=name) for name in "AB")).passed


# The server as a task.


def test_a_server_as_a_task_has_the_place_that_it_has_in_the_simulation() -> None:
    ts = TaskSet([("a", 1, 4), ("b", 1, 5), ("c", 1, 10)])
    for server, order in (
        (polling(1, 5), ["a", "S", "b", "c"]),
        (polling(1, 6), ["a", "b", "S", "c"]),
        (polling(1, 60), ["a", "b", "c", "S"]),
        (polling(1, 60, priority=1), ["S", "a", "b", "c"]),
        (polling(1, 60, priority=1.5), ["a", "S", "b", "c"]),
    ):
        more = with_server(ts, server)
        assert [task.name for task in more] == ["a", "b", "c", "S"]
        assert [more[at].name for at in more.order] == order
        busy = simulate(ts, servers=[server_with_work(server)], until=4).gantt()
        assert [name for name, _, _ in busy][:4] == order


def server_with_work(server: Server) -> Server:
    return polling(server.Q, server.T, [(0, 9)], priority=server.priority)


def test_a_deferrable_server_as_a_task_has_a_jitter() -> None:
    more = with_server(TaskSet([("a", "1ms", "4ms"), ("b", "2ms", "9ms")]), deferrable("1ms", "3ms", name="DS"))
    assert more["DS"].jitter == 2_000_000
    assert more["DS"].D == 5_000_000
    assert more.unit == "ns"
    assert response_times(more).passed
    both = with_server(TaskSet([(1, 9)]), deferrable(1, 3, name="A"), sporadic(1, 3, name="B", corrected=True))
    assert [both[at].name for at in both.order] == ["A", "B", "t1"]


@pytest.mark.parametrize("seed", range(6))
def test_beneath_servers_no_response_is_above_its_bound(seed: int) -> None:
    tight = tried = 0
    for rng, ts in random_sets(100 + seed, 150):
        servers = [server_with_requests(rng, name) for name in "SZ"[: rng.choice([1, 1, 2])]]
        R = response_times(with_server(ts, *servers)).R
        schedule = simulate(ts, servers=servers, until=120)
        for server in servers:
            budgets = [budget for _, budget in schedule.budget(server.name)]
            assert min(budgets) >= 0
            assert max(budgets) <= server.Q
        for task, bound in zip(ts, R, strict=False):
            seen = schedule.response_times[task.name]
            if bound is not None and seen is not None:
                tried += 1
                tight += seen == bound
                assert seen <= bound, (ts, servers, task.name)
    assert min(tried // 4, tight) > 50, (tried, tight)


def server_with_requests(rng: random.Random, name: str) -> Server:
    kind = rng.choice(list(MAKE))
    T = rng.choice([4, 5, 7, 9, 10, 12, 25])
    own = {"corrected": True} if kind == "ss" else {}
    priority = rng.choice([None, None, 0, 1.5, 2.5, 9])
    return MAKE[kind](rng.randint(1, max(1, T // 2)), T, requests(rng, 120), name=name, priority=priority, **own)


def requests(rng: random.Random, until: int) -> list[tuple[int, Time]]:
    found: list[tuple[int, Time]] = []
    t = 0
    while (t := t + rng.choice([0, 1, 1, 2, 3, 5, 8, 13])) < until:
        found.append((t, rng.choice([1, 1, 2, 3, Fraction(1, 2)])))
    return found


def test_the_first_sporadic_server_takes_too_much_below_other_tasks() -> None:
    """Stanovich and others, RTAS 2010: so there is no bound for it there."""
    ts = TaskSet([("high", 9, 100, 100, 1, 0, 1), ("low", 1, 100, 100, 3, 0, 0)])
    asked = [(0, 1), (1, 9)]
    bound = response_times(with_server(ts, sporadic(2, 10, priority=2, corrected=True))).R[1]
    assert bound == 14
    first = simulate(ts, servers=[sporadic(2, 10, asked, priority=2)], until=100)
    assert first.response_times["low"] == 15
    corrected = simulate(ts, servers=[sporadic(2, 10, asked, priority=2, corrected=True)], until=100)
    assert corrected.response_times["low"] == 14
    with pytest.raises(BadInput, match="no bound is known"):
        with_server(ts, sporadic(2, 10, priority=2))


@pytest.mark.parametrize("kind", list(MAKE))
def test_in_a_window_a_server_serves_no_more_than_it_may(kind: str) -> None:
    fullest = 0
    for rng, ts in random_sets(7, 120):
        T = rng.choice([4, 5, 7, 10])
        Q = rng.randint(1, T)
        schedule = simulate(ts, servers=[MAKE[kind](Q, T, requests(rng, 100), priority=0)], until=100)
        served = runs(schedule)
        for at, (begin, _) in enumerate(served):
            total: Time = 0
            for start, end in served[at:]:
                total += end - start
                length = end - begin
                # Back to back: Q at the end of a period, and Q at the begin of each that follows.
                most = Q + max(0, -(-(length - Q) // T)) * Q if kind == "ds" else -(-length // T) * Q
                assert total <= most
                fullest += total == most
        if kind != "ss":
            for turn in range(0, 100, T):
                assert sum(max(0, min(end, turn + T) - max(begin, turn)) for begin, end in served) <= Q
    assert fullest > 100


def test_a_polling_server_loses_what_it_does_not_use_and_a_deferrable_one_keeps_it() -> None:
    ts, asked = TaskSet([(1, 100)]), [(1, 2), (13, 1)]
    assert simulate(ts, servers=[polling(3, 10, asked)], until=30).response_times["S"] == 11
    assert simulate(ts, servers=[deferrable(3, 10, asked)], until=30).response_times["S"] == 2
    # While it has work, a polling server keeps its budget: a request at the instant of the last one's end is in time.
    assert finishes(simulate(ts, servers=[polling(3, 10, [(0, 1), (1, 1)])], until=30)) == [1, 2]
    late = TaskSet([("a", 1, 100, 100, 1, 0, 50)])
    assert finishes(simulate(late, servers=[polling(3, 10, [(3, 1)])], until=30)) == [11]


def test_background_is_below_all_under_each_policy() -> None:
    for policy in ("fp", "edf", "rm", "llf"):
        schedule = simulate(TaskSet([(2, 4), (1, 6)]), policy, servers=[background([(0, 3)])], until=12)
        assert (schedule.met, finishes(schedule)) == (True, [11]), policy


# Beside servers, under EDF.


def full_sets(seed: int, count: int) -> Iterator[tuple[random.Random, TaskSet, Fraction]]:
    """Sets of tasks, and the share that they leave."""
    for rng, ts in random_sets(seed, count):
        if ts.U < 1:
            yield rng, ts, 1 - ts.U


def test_beside_total_bandwidth_all_deadlines_are_met_and_those_of_the_requests() -> None:
    served = 0
    for rng, ts, left in full_sets(11, 120):
        server = total_bandwidth(left, requests(rng, 90))
        assert bandwidth(ts, server)
        schedule = simulate(ts, "edf", servers=[server], until=120)
        assert schedule.met, (ts, server)
        df = schedule.jobs.query("task == 'S'")
        done = df[df["finish"].notna()]
        served += len(done)
        assert (done["finish"] <= done["deadline"]).all()
        assert (df[df["finish"].isna()]["deadline"] >= schedule.jobs.attrs["rtnb"]["header"]["details"]["until"]).all()
    assert served > 1000


@pytest.mark.parametrize("hard", [False, True])
def test_beside_constant_bandwidth_all_deadlines_are_met(hard: bool) -> None:
    served = 0
    for rng, ts, left in full_sets(12, 120):
        scale = rng.choice([1, Fraction(1, 2), 2, 3])
        server = constant_bandwidth(left.numerator * scale, left.denominator * scale, requests(rng, 100), hard=hard)
        assert bandwidth(ts, server)
        schedule = simulate(ts, "edf", servers=[server], until=120)
        assert schedule.met, (ts, server)
        budgets = [budget for _, budget in schedule.budget("S")]
        assert min(budgets) >= 0
        assert max(budgets) <= server.Q
        df = schedule.jobs.query("task == 'S'")
        done = df[df["finish"].notna()]
        served += len(done)
        assert (done["finish"] <= done["deadline"]).all()
    assert served > 700


def test_beside_reclaiming_servers_all_deadlines_are_met() -> None:
    gained = 0
    for rng, ts, left in full_sets(13, 120):
        share, T = left / 2, rng.choice([4, 6, 8])
        asked = [requests(rng, 60)[:12] for _ in "AB"]
        responses = []
        for reclaim in (False, True):
            servers = [
                constant_bandwidth(share * T, T, own, name=name, reclaim=reclaim, hard=True)
                for own, name in zip(asked, "AB", strict=True)
            ]
            schedule = simulate(ts, "edf", servers=servers, until=60)
            assert schedule.met, (ts, servers)
            budgets = [budget for name in "AB" for _, budget in schedule.budget(name)]
            assert min(budgets) >= 0
            assert max(budgets) <= share * T
            responses.append(schedule.jobs["finish"].notna().sum())
        gained += responses[1] > responses[0]
    assert gained > 10


def test_a_reclaiming_server_alone_has_what_umax_allows() -> None:
    late = TaskSet([("late", 1, 100, 100, 1, 0, 50)])
    for umax, exhausted in ((1, 8), ("1/2", 4), ("3/4", 6)):
        server = constant_bandwidth(4, 8, [(0, 100)], reclaim=True, umax=umax)
        course = simulate(late, "edf", servers=[server], until=10).budget("S")
        assert next(t for t, budget in course if t and not budget) == exhausted


def test_a_hard_constant_bandwidth_server_waits_for_its_deadline() -> None:
    late = TaskSet([("late", 1, 100, 100, 1, 0, 50)])
    soft, hard = (constant_bandwidth(2, 10, [(1, 5)], hard=hard) for hard in (False, True))
    assert runs(simulate(late, "edf", servers=[soft], until=40)) == [(1, 6)]
    schedule = simulate(late, "edf", servers=[hard], until=40)
    assert runs(schedule) == [(1, 3), (11, 13), (21, 22)]
    assert schedule.why_words("S").endswith("response 21 = 5 run + 16 throttled")


def test_the_deadlines_of_requests_that_wait() -> None:
    late = TaskSet([("late", 1, 100, 100, 1, 0, 50)])
    for asked, deadlines in (([(0, 1), (0, 1)], [8, 8]), ([(0, 3), (0, 1)], [8, 16]), ([(0, 4), (1, 2)], [16, 16])):
        schedule = simulate(late, "edf", servers=[constant_bandwidth(3, 8, asked)], until=40)
        assert schedule.jobs["deadline"].tolist()[:2] == deadlines


def test_an_overload_of_requests_hurts_nobody_else() -> None:
    ts = TaskSet([(4, 7)])
    schedule = simulate(ts, "edf", servers=[constant_bandwidth(3, 8, [(t, 9) for t in range(20)])], until=280)
    assert schedule.met
    served = sum(end - begin for begin, end in runs(schedule))
    assert served >= 280 * Fraction(3, 8) - 3


# Bad input.


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: polling(0, 5), "Q must be above zero"),
        (lambda: polling(2, 0), "T must be above zero"),
        (lambda: deferrable(6, 5), "its Q, 6, is above its T, 5"),
        (lambda: deferrable("6ms", "5ms"), "its Q, 6 ms, is above its T, 5 ms"),
        (lambda: sporadic("x", 5), "sporadic server S, Q x: not a time"),
        (lambda: sporadic("1ms", 5), "some times have a unit, and others none"),
        (lambda: sporadic("1ms", "5ms", [(1, "1ms")]), "some times have a unit, and others none"),
        (lambda: total_bandwidth(0), "a share is above 0, and at most 1"),
        (lambda: total_bandwidth("5/4"), "a share is above 0, and at most 1"),
        (lambda: total_bandwidth("much"), "total bandwidth server S, U much: not a number"),
        (lambda: total_bandwidth(None), "not a number"),
        (lambda: constant_bandwidth(1, 2, umax=2), "umax 2: a share is above 0, and at most 1"),
        (lambda: polling(1, 2, [(0, 0)]), "request 1: its execution must be above zero"),
        (lambda: polling(1, 2, [(0, 1), (-1, 1)]), "a time is not below zero"),
        (lambda: polling(1, 2, [(0, 1, 2)]), "not .arrival, execution."),
        (lambda: polling(1, 2, [5]), "not .arrival, execution."),  # type: ignore[list-item]
        (lambda: polling(1, 2, name=""), "a name has 1 to 31 bytes"),
        (lambda: polling(1, 2, priority="high"), "priority high: not a number"),
        (lambda: polling(1, 2, priority=float("nan")), "priority nan: not a number"),
        (lambda: Server("poling", 1, 2), "did you mean polling"),
        (lambda: server_bound("background", 1, 0.5), "there is none"),
        (lambda: server_bound("polling", 0, 0.5), "a whole number from 1"),
        (lambda: server_bound("polling", 1, 1.5), "a share is at most 1"),
        (lambda: deferrable_least_bound(0), "a whole number from 1"),
        (lambda: server_liu_layland(TaskSet([(1, 2)]), total_bandwidth("1/2")), "there is none"),
        (lambda: with_server(TaskSet([(1, 2)]), background()), "it takes nothing from the tasks"),
        (lambda: with_server(TaskSet([(1, 2)]), total_bandwidth("1/2")), "it lives under EDF"),
        (lambda: with_server(TaskSet([(1, 2)]), polling(1, 4, name="t1")), "there is a task of that name"),
        (lambda: with_server(TaskSet([("1ms", "2ms")]), polling(1, 4)), "its times have no unit"),
        (lambda: bandwidth(TaskSet([(1, 2)]), polling(1, 4)), "it has no bandwidth under EDF"),
        (lambda: bandwidth(TaskSet([(1, 2)]), constant_bandwidth("1ms", "4ms")), "its times have a unit"),
        (lambda: simulate(TaskSet([("1ms", "2ms")]), servers=[polling(1, 4)]), "its times have no unit"),
        (lambda: simulate(TaskSet([(1, 2)]), servers=[background([("1ms", "1ms")])]), "its times have a unit"),
    ],
)
def test_bad_input_says_what_is_wrong(make: Callable[[], Any], why: str) -> None:
    with pytest.raises(BadInput, match=why):
        make()


def test_requests_come_in_the_order_of_arrival_whatever_the_list() -> None:
    server = background([(8, 1), ("2", 2), (2, Fraction(1, 2))])
    assert server.requests == ((2, 2), (2, Fraction(1, 2)), (8, 1))
    assert hash(server) == hash(background([(2, 2), (2, "1/2"), (8, 1)]))


def test_the_module_lists_its_names() -> None:
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


# What is no server, and no request.


@pytest.mark.parametrize("wrong", [None, 5])
def test_what_is_no_list_of_requests_is_refused(wrong: Any) -> None:
    made: list[Callable[[], Any]] = [
        lambda: background(wrong),
        lambda: polling(2, 5, wrong),
        lambda: deferrable(2, 5, requests=wrong),
        lambda: sporadic(2, 5, wrong),
        lambda: total_bandwidth("1/4", wrong),
        lambda: constant_bandwidth(2, 5, wrong),
        lambda: Server("polling", 2, 5, requests=wrong),
    ]
    for make in made:
        with pytest.raises(BadInput, match=f"requests {wrong}: not a list of them"):
            make()


def test_names_and_flags_of_a_server_are_checked() -> None:
    with pytest.raises(BadInput, match="1 to 31 bytes"):
        polling(2, 5, name=None)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="hard 'no': it is True or False"):
        constant_bandwidth(2, 5, hard="no")  # type: ignore[arg-type]


@pytest.mark.parametrize("test", [bandwidth, with_server, server_hyperbolic, server_liu_layland])
@pytest.mark.parametrize("wrong", [None, 5, [1]])
def test_what_is_no_server_is_refused(test: Callable[..., Any], wrong: Any) -> None:
    with pytest.raises(BadInput, match="it is no server"):
        test(TaskSet(C=[1], T=[4]), wrong)


# What the bounds do not cover.


def test_a_server_that_reclaims_beside_short_deadlines_is_not_proved() -> None:
    ts = TaskSet(C=[3], T=[30], D=[6], offset=[4])
    greedy = constant_bandwidth(5, 10, [(0, 100)], reclaim=True)
    assert not simulate(ts, "edf", servers=[greedy], until=30).met
    verdict = bandwidth(ts, greedy)
    assert verdict.schedulable is None
    assert "S reclaims what U leaves" in str(verdict)
    assert bandwidth(ts, constant_bandwidth(5, 10, [(0, 100)])), "one that does not reclaim takes no more than 1/2"
    assert bandwidth(ts.with_(D=[30]), greedy)
    jitter = bandwidth(ts.with_(D=[30], jitter=[1]), total_bandwidth("1/4"), greedy)
    assert jitter.schedulable is None


def test_of_two_sporadic_servers_only_the_first_may_be_uncorrected() -> None:
    first = sporadic(5, 17, [(10, 5)], name="A", priority=0)
    requests = [(7, 2), (12, 2), (14, 1), (17, 2)]
    second = sporadic(3, 8, requests, name="B", priority=0)
    ts = TaskSet(C=[5], T=[21], offset=[7])
    assert simulate(ts, servers=[first, second], until=40).response_times["t1"] == 17
    for above in (first, deferrable(1, 5, name="A", priority=0), polling(1, 5, name="A", priority=0)):
        with pytest.raises(BadInput, match=r"B: sporadic .*below others it can take more than Q in T"):
            with_server(ts, above, second)
    corrected = sporadic(3, 8, requests, name="B", priority=0, corrected=True)
    bound = response_times(with_server(ts, first, corrected)).R[0]
    assert bound is not None
    assert simulate(ts, servers=[first, corrected], until=40).response_times["t1"] <= bound
    assert with_server(ts, second, deferrable(1, 5, name="D", priority=1)).order[0] == 1


def test_bounds_that_count_no_blocking_refuse_what_is_shared() -> None:
    ts = TaskSet("a 1 5 5 - - - - bus:1 \n b 2 20 20 - - - - bus:1")
    for tried, test in (
        ("bandwidth", lambda: bandwidth(ts, total_bandwidth("1/4"))),
        ("Liu", lambda: server_liu_layland(ts, polling(1, 4))),
        ("hyperbolic", lambda: server_hyperbolic(ts, polling(1, 4))),
    ):
        with pytest.raises(BadInput, match=f"{tried}.*the tasks share bus"):
            test()

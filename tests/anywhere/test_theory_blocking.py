# SPDX-License-Identifier: MIT
"""Blocking terms: the worked cases, the matching by trying all, and what simulated jobs really waited."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import pytest

from rtnb import theory
from rtnb.errors import BadInput
from rtnb.schema import as_declared
from rtnb.theory.assignment import assignment
from rtnb.theory.blocking import (
    METHODS,
    PROTOCOLS,
    Blocking,
    Ceiling,
    Deadlock,
    Link,
    blocking,
    ceilings,
    deadlocks,
)
from rtnb.theory.partition import schedulable_edf
from rtnb.theory.response import fits
from rtnb.theory.simulation import Schedule, simulate
from rtnb.theory.taskset import TaskSet

Vector = Callable[[str], tuple[Any, Any]]


def one_after_the_other(*held: dict[str, Any], **columns: Any) -> TaskSet:
    """A set whose tasks, highest first, hold each resource for so long, un-nested."""
    C = [max(1, sum(map(Fraction, sections.values()))) for sections in held]
    sections = [" ".join(f"{name}:{length}" for name, length in lengths.items()) for lengths in held]
    return TaskSet(C=C, T=[1000] * len(held), sections=sections, **columns)


def nested(*sections: str, **columns: Any) -> TaskSet:
    return TaskSet(C=[20] * len(sections), T=[100] * len(sections), sections=list(sections), **columns)


# The worked cases.


@pytest.fixture
def buttazzo(vector: Vector) -> TaskSet:
    Z = vector("Buttazzo-blocking")[0]["Z"]
    return one_after_the_other(*({f"S{k}": z for k, z in enumerate(row, 1) if z} for row in Z))


def test_buttazzo(vector: Vector, buttazzo: TaskSet) -> None:
    expected = vector("Buttazzo-blocking")[1]
    for key, how in {
        "pip_bl": ("pip", "sections"),
        "pip_bs": ("pip", "resources"),
        "pip_min": ("pip", "min"),
        "pip_exact": ("pip", "exact"),
        "pcp": ("pcp",),
        "npp": ("npp",),
    }.items():
        assert list(blocking(buttazzo, *how).B) == expected[key], key
    assert blocking(buttazzo, "icpp").B == blocking(buttazzo, "pcp").B


def test_its_ceilings_and_chains(buttazzo: TaskSet) -> None:
    assert ceilings(buttazzo) == {
        "S1": Ceiling(1, ("t1", "t3", "t4")),
        "S2": Ceiling(1, ("t1", "t2", "t3", "t4")),
        "S3": Ceiling(2, ("t2", "t4")),
    }
    pip = blocking(buttazzo, "pip")
    assert pip.chains[1] == (Link("t3", "S1", 8), Link("t4", "S2", 5))
    assert pip.chained == ("t1", "t2")
    assert blocking(buttazzo, "pcp").chained == ()
    assert pip.why("t2") == "t2: 13 = t3 in S1 8 + t4 in S2 5"


def test_burns_and_wellings(vector: Vector) -> None:
    given, expected = vector("BW-PCP-exercise")
    held = [{name: given["resources"][name] for name in names} for names in given["uses"].values()]
    ts = one_after_the_other(*held, name=list(given["uses"]))
    for key, how in {"B_PCP": ("pcp",), "B_PIP_exact": ("pip", "exact"), "B_PIP_min": ("pip", "min")}.items():
        assert dict(zip(given["uses"], blocking(ts, *how).B, strict=True)) == expected[key], key


def test_the_inversion_of_three_tasks(vector: Vector) -> None:
    given, expected = vector("inversion-3")
    C = [sum(step[1] for step in job[2] if step[0] == "x") for job in given.values()]
    ts = TaskSet(name=list(given), C=C, T=[100] * 3, sections=["S@1:1", "", "S@1:4"])
    for protocol in ("pip", "pcp", "icpp", "npp"):
        B = blocking(ts, protocol).B
        assert B == (4, 4, 0)
        assert expected[protocol]["H_inverted_ticks"] == 3 < B[0]
    unbounded = blocking(ts, "none")
    assert unbounded.B == (None, 0, 0)
    assert unbounded.why("H") == "H: no bound: L has S, and M can run in between"
    assert expected["none"]["H_inverted_ticks"] > 4


def test_the_pathfinder(vector: Vector) -> None:
    _, expected = vector("pathfinder")
    ts = TaskSet(
        name=["bc_dist", "comm", "asi_met"],
        C=["15ms", "100ms", "20ms"],
        T=["125ms", "1s", "1s"],
        sections=["pipe@5ms:5ms", "", "pipe@5ms:10ms"],
    )
    for protocol in ("pip", "icpp"):
        B = blocking(ts, protocol).B[0]
        assert B == 10_000_000
        inverted = expected[f"{protocol},100"]["bc_dist_done"] - 30 - 15  # released at 30, 15 of its own
        assert 0 < inverted * 1_000_000 <= B
    assert blocking(ts, "none").B[0] is None
    assert expected["none,100"]["bc_dist_done"] - 30 - 15 > 10


def test_the_deadlock_of_two(vector: Vector) -> None:
    _, expected = vector("deadlock-2")
    ts = TaskSet(name=["J1", "J2"], C=[5, 7], T=[100] * 2, sections=["S1@1:3 S0@2:1", "S0@1:5 S1@4:1"])
    (circle,) = deadlocks(ts)
    assert circle == Deadlock(("J1", "J2"), ("S1", "S0"), ("S0", "S1"))
    for protocol in PROTOCOLS:
        can = protocol in ("none", "pip")
        assert (expected[protocol]["deadlock"] is not None) == can
        assert circle.prevented(protocol).startswith("it can happen") == can
        assert ((None, None) if can else (5, 0)) == blocking(ts, protocol).B
    why = "J1: no bound: it may wait for ever for S1: J1 holds S1 and waits for S0, J2 holds S0 and waits for S1"
    assert blocking(ts, "pip").why("J1") == why


# What counts, and what does not.


def test_of_nested_sections_the_outermost_counts() -> None:
    ts = nested("B@0:1", "A@0:1", "A@0:9 B@2:4")
    for protocol in ("pcp", "icpp", "pip"):
        # A is of no concern to t1, so only the inner section can hold it up; t2 waits for all of A.
        assert blocking(ts, protocol).B == (4, 9, 0)
    assert blocking(ts, "npp").B == (9, 9, 0)


def test_a_chain_through_nested_sections_counts_under_inheritance() -> None:
    """t1 wants A, t2 holds it and wants S, which t3 holds: t1 waits for both, though only they use S."""
    ts = nested("A@1:1", "A@0:9 S@1:3", "S@0:7", offset=[3, 1, 0])
    pip = blocking(ts, "pip")
    assert pip.B == (16, 7, 0)
    assert pip.chains[0] == (Link("t2", "A", 9), Link("t3", "S", 7))
    assert worst_inversions(ts, simulate(ts, protocol="pip", until=100))["t1"] == 13
    assert blocking(ts, "pcp").B == (9, 7, 0)
    assert worst_inversions(ts, simulate(ts, protocol="pcp", until=100))["t1"] <= 9


def test_its_own_nesting_makes_no_chain() -> None:
    """S is asked for by t2 alone: its sections that hold S and not A keep nobody waiting."""
    assert blocking(nested("A@0:1", "A@0:3 S@1:1 S@5:9"), "pip").B == (3, 0)


def test_without_a_protocol_the_middle_tasks_are_the_reason() -> None:
    ts = one_after_the_other({"S": 1}, {}, {"R": 1}, {"S": 5, "R": 3})
    none = blocking(ts, "none")
    assert none.B == (None, 0, 3, 0)  # between t3 and t4 there is nobody
    assert none.reasons[0] == "t4 has S, and t2, t3 can run in between"
    assert blocking(one_after_the_other({"S": 1}, {"S": 5}), "none").B == (5, 0)


def test_without_a_protocol_one_waits_through_others() -> None:
    """t2 wants A, t1 above it holds it and waits for S, which t4 has while t3 runs."""
    ts = nested("A@0:5 S@1:1", "A@0:1", "", "S@0:5")
    assert blocking(ts, "none").B == (None, None, 0, 0)


def test_times_stay_exact() -> None:
    ts = one_after_the_other({"S": "1/3"}, {"S": "1/7"}, {"S": "2/7", "R": "1/3"}, {"R": "1/11"})
    assert (Fraction(2, 7), Fraction(2, 7), Fraction(1, 11), 0) == blocking(ts, "pip").B
    big = one_after_the_other({"S": 1, "R": 1}, {"S": 2**70 + 1, "R": 2**70}, {"R": 2**70 + 1, "S": 2**70 + 3})
    assert blocking(big, "pip").B[0] == 2**71 + 3  # R of t2 and S of t3; as floats all are equal


def test_priorities_are_not_the_list_order() -> None:
    ts = one_after_the_other({"S": 9}, {"S": 1}, {"S": 4}, priority=[3, 1, 2])
    assert blocking(ts, "pip").B == (0, 9, 9)
    assert ceilings(ts) == {"S": Ceiling(1, ("t2", "t3", "t1"))}


def test_under_edf_a_level_is_a_deadline() -> None:
    ts = TaskSet(C=[10] * 4, T=[90] * 4, D=[40, 20, 40, 80], sections=["A:3", "A:2 B:1", "B:5", "A:4 C:6"])
    srp = blocking(ts, "icpp", policy="edf")
    assert srp.B == (4, 5, 4, 0)  # t1 and t3 are of one level, so they hold each other up no more
    assert srp.chains[1] == (Link("t3", "B", 5),)
    assert blocking(ts, "npp", policy="edf").B == (6, 6, 6, 0)
    assert ceilings(ts, policy="edf")["A"] == Ceiling(1, ("t2", "t1", "t4"))
    assert "(EDF)" in str(srp)


def test_no_sections_no_blocking() -> None:
    ts = TaskSet(C=[1, 2], T=[4, 8])
    for protocol in PROTOCOLS:
        assert blocking(ts, protocol).B == (0, 0)
    assert (ceilings(ts), deadlocks(ts)) == ({}, ())


def test_the_aliases() -> None:
    ts = one_after_the_other({"S": 1}, {"S": 5})
    found = [blocking(ts, name).protocol for name in ("inherit", "ceiling", "protect", "immediate", "PIP")]
    assert found == ["pip", "pcp", "icpp", "icpp", "pip"]


@pytest.mark.parametrize(
    ("args", "how", "why"),
    [
        (("pipp",), {}, "there is none of that name"),
        (("pip", "all"), {}, "no such method"),
        (("pcp", "min"), {}, "pip alone"),
        (("pip",), {"policy": "rm"}, "not known under it"),
        (("pcp",), {"policy": "edf"}, "fixed priorities"),
    ],
)
def test_what_means_nothing_is_refused(args: tuple[Any, ...], how: dict[str, Any], why: str) -> None:
    with pytest.raises(BadInput, match=why):
        blocking(one_after_the_other({"S": 1}, {"S": 5}), *args, **how)


def test_sets_that_the_terms_are_not_for_are_refused() -> None:
    with pytest.raises(BadInput, match="several CPUs"):
        blocking(one_after_the_other({"S": 1}, {"S": 5}, cpu=[0, 1]), "pip")
    with pytest.raises(BadInput, match="release jitter"):
        blocking(one_after_the_other({"S": 1}, {"S": 5}, jitter=[1, 0]), "icpp", policy="edf")
    with pytest.raises(BadInput, match="there is no such task"):
        blocking(one_after_the_other({"S": 1}), "pip").why("t9")


def test_the_frame_and_the_words(buttazzo: TaskSet) -> None:
    found = blocking(buttazzo, "pip")
    assert as_declared(found.frame, "theory.blocking")
    assert found.frame["task"].tolist() == ["t1", "t1", "t2", "t2", "t3", "t4"]
    assert found.frame["length"].sum() == 17 + 13 + 6
    assert found.frame.attrs["rtnb"]["header"]["details"]["protocol"] == "pip"
    assert str(found).splitlines()[0] == "blocking under pip, exact"
    without = blocking(buttazzo, "none").frame
    assert without["B"].isna().tolist() == [True, True, False, False]
    assert (without["why"] != "").tolist() == [True, True, False, False]
    assert "<table" in found._repr_html_()


# The assignment, by trying all.


def best_by_trying_all(weight: Sequence[Sequence[int]]) -> int:
    rows, columns = len(weight), len(weight[0])
    choices = itertools.permutations(range(columns), rows)
    return max(sum(weight[row][col] for row, col in enumerate(choice)) for choice in choices)


def test_an_assignment_is_the_largest() -> None:
    rng = random.Random(3)
    for _ in range(3000):
        rows = rng.randint(1, 5)
        columns = rng.randint(rows, 5)
        most = rng.choice([1, 9, 2**60])
        weight = [[rng.randint(0, most) for _ in range(columns)] for _ in range(rows)]
        found = assignment(weight)
        assert len(set(found)) == rows
        assert sum(weight[row][col] for row, col in enumerate(found)) == best_by_trying_all(weight)
    assert assignment([]) == []


def worst_choice(found: Sequence[dict[str, int]]) -> int:
    """Each task one of its sections or none, no resource twice, the longest together."""
    if not found:
        return 0
    first, rest = found[0], found[1:]
    without = worst_choice(rest)
    others = [
        length + worst_choice([{r: z for r, z in one.items() if r != name} for one in rest])
        for name, length in first.items()
    ]
    return max([without, *others])


def test_the_exact_bound_is_the_worst_choice_and_below_the_others() -> None:
    rng = random.Random(4)
    smaller = 0
    for _ in range(1000):
        names = "ABCD"[: rng.randint(1, 4)]
        held = [{r: rng.randint(1, 9) for r in names if rng.random() < 0.6} for _ in range(rng.randint(2, 5))]
        ts = one_after_the_other(*held)
        B = {method: blocking(ts, "pip", method).B for method in METHODS}
        for at in range(len(ts)):
            used = {r for one in held[: at + 1] for r in one}
            below = [{r: z for r, z in one.items() if r in used} for one in held[at + 1 :]]
            assert B["exact"][at] == worst_choice(below)
            assert B["exact"][at] <= B["min"][at] == min(B["sections"][at], B["resources"][at])
            assert (
                B["min"][at] >= blocking(ts, "pcp").B[at] == max((z for one in below for z in one.values()), default=0)
            )
            smaller += B["exact"][at] < B["min"][at]
    assert smaller > 20


# Deadlocks.


def test_one_order_everywhere_has_no_circle() -> None:
    rng = random.Random(5)
    for _ in range(200):
        order = "ABCDEFGH"
        sections = []
        for _ in range(20):
            inner = sorted(rng.sample(order, 4))
            sections.append(" ".join(f"{r}@{at}:{20 - 2 * at}" for at, r in enumerate(inner)))
        assert deadlocks(nested(*sections)) == ()


def test_a_circle_of_three_and_what_it_holds_up() -> None:
    ts = nested("", "A@0:9 B@1:1", "B@0:9 C@1:1", "C@0:9 A@1:1", "D@0:9 C@1:1", "E@0:5")
    assert deadlocks(ts) == (Deadlock(("t2", "t3", "t4"), ("A", "B", "C"), ("B", "C", "A")),)
    # t5 is in no circle; but it may wait for C for ever, and hold D meanwhile.
    assert [B is None for B in blocking(ts, "pip").B] == [False, True, True, True, True, False]
    assert "t2 holds A and waits for B" in blocking(ts, "pip").why("t5")
    assert None not in blocking(ts, "pcp").B


def test_who_holds_the_same_is_never_inside_at_once() -> None:
    assert deadlocks(nested("G@0:9 A@1:5 B@2:1", "G@0:9 B@1:5 A@2:1")) == ()
    assert len(deadlocks(nested("A@1:5 B@2:1", "G@0:9 B@1:5 A@2:1"))) == 1


def test_one_task_alone_makes_no_circle() -> None:
    assert deadlocks(nested("A@0:3 B@1:1 B@5:3 A@6:1", "A@0:1")) == ()


def test_too_many_circles_end_with_an_answer() -> None:
    names = [f"R{k}" for k in range(12)]
    sections = [f"{a}@0:9 {b}@1:1" for a, b in itertools.permutations(names, 2)]
    with pytest.raises(BadInput, match="too many circles"):
        deadlocks(TaskSet(C=[20] * len(sections), T=[100] * len(sections), sections=sections))


def test_a_large_set_is_quick() -> None:
    rng = random.Random(6)
    names = [f"R{k}" for k in range(40)]
    ts = one_after_the_other(*({r: rng.randint(1, 99) for r in rng.sample(names, 10)} for _ in range(60)))
    B = [blocking(ts, protocol).B for protocol in ("pip", "pcp")]
    assert all(pip >= pcp for pip, pcp in zip(*B, strict=True))  # type: ignore[operator]


# What simulated jobs waited.


def random_sections(rng: random.Random, C: int, names: str, nest: bool) -> list[tuple[str, int, int]]:
    found: list[tuple[str, int, int]] = []

    def fill(at: int, end: int, taken: str) -> None:
        while True:
            at += rng.choice([0, 1, 1, 2, 3])
            length, free = rng.randint(1, 12), [r for r in names if r not in taken]
            if at + length > end or not free:
                return
            resource = rng.choice(free)
            found.append((resource, at, length))
            if nest and length > 2 and rng.random() < 0.8:
                fill(at + rng.randint(0, 2), at + length, taken + resource)
            at += length

    fill(0, C, "")
    return found


def random_set(rng: random.Random, nest: bool) -> TaskSet:
    """Those below mostly begin first: so that they hold what those above want."""
    n, names = rng.randint(2, 5), "ABCDE"[: rng.randint(1, 5)]
    C = [rng.randint(2, 20) for _ in range(n)]
    offset = list(itertools.accumulate((rng.randint(1, 6) for _ in range(n - 1)), initial=0))[::-1]
    if rng.random() < 0.3:
        rng.shuffle(offset)
    T = [rng.choice([50, 100, 200]) for _ in range(n)] if rng.random() < 0.5 else [200] * n
    return TaskSet(C=C, T=T, D=[200] * n, offset=offset, sections=[random_sections(rng, c, names, nest) for c in C])


def worst_inversions(ts: TaskSet, schedule: Schedule) -> Counter[str]:
    """Of each task, the most that tasks below ran while a job of it was to be done."""
    rank = {ts[at].name: n for n, at in enumerate(ts.order)}
    runs = [(rank[name], begin, end) for name, begin, end in schedule.gantt() if name != "-"]
    worst: Counter[str] = Counter()
    jobs = schedule.jobs
    finish = jobs["finish"].fillna(int(schedule.until))
    for name, begin, end in zip(jobs["task"].tolist(), jobs["release"].tolist(), finish.tolist(), strict=True):
        below = sum(max(0, min(end, e) - max(begin, b)) for other, b, e in runs if other > rank[name])
        worst[name] = max(worst[name], below)
    return worst


def check_inversions(found: Blocking, schedule: Schedule, seen: Counter[str]) -> None:
    worst = worst_inversions(found.taskset, schedule)
    for task, B, chain in zip(found.taskset, found.B, found.chains, strict=True):
        if B is not None:
            assert worst[task.name] <= B, (found.protocol, found.why(task.name), found.taskset.frame.to_string())
            seen["bounded"] += 1
            # Who holds something has run in its section for a tick at least, so this is the most there can be.
            seen[f"tight {len(chain)}"] += bool(B) and worst[task.name] == B - len(chain)


@pytest.mark.parametrize("nest", [False, True])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_job_waits_longer_than_its_bound(protocol: str, nest: bool) -> None:
    rng = random.Random(11)
    seen: Counter[str] = Counter()
    for _ in range(300):
        ts = random_set(rng, nest)
        schedule = simulate(ts, protocol=protocol, until=200)
        check_inversions(blocking(ts, protocol), schedule, seen)
        if schedule.deadlock:
            assert protocol in ("none", "pip")
            assert set(schedule.deadlock[1]) in [set(circle.tasks) for circle in deadlocks(ts)]
    assert seen["bounded"] > 700
    assert seen["tight 1"] > 5


def test_chained_blocking_happens_as_bounded() -> None:
    """k tasks below, each in a section of its own, and one above that wants them all."""
    for k in range(1, 6):
        names = "ABCDE"[:k]
        top = " ".join(f"{r}@{at}:1" for at, r in enumerate(names))
        ts = nested(top, *(f"{r}@0:5" for r in names), offset=[k, *range(k - 1, -1, -1)])
        found = blocking(ts, "pip")
        assert (found.B[0], len(found.chains[0])) == (5 * k, k)
        assert worst_inversions(ts, simulate(ts, protocol="pip", until=200))["t1"] == 4 * k
        assert blocking(ts, "pcp").B[0] == 5
        assert worst_inversions(ts, simulate(ts, protocol="pcp", until=200))["t1"] <= 4


def longest_in(ts: TaskSet, found: Blocking, t: int) -> int:
    """B(t): that of the longest deadline not above t."""
    rank = max((task.D, at) for at, task in enumerate(ts) if t >= task.D)[1]
    return int(found.B[rank] or 0)


@pytest.mark.parametrize("protocol", ["icpp", "npp", "pip"])
def test_under_edf_what_the_demand_with_blocking_proves_is_met(protocol: str) -> None:
    rng = random.Random(12)
    proved = close = 0
    for _ in range(700):
        ts = random_set(rng, protocol != "pip").with_(T=rng.choice([50, 60]))
        ts = ts.with_(D=[max(task.C, rng.randint(8, 50)) for task in ts])
        found = blocking(ts, protocol, policy="edf")
        deadlines = sorted({int(task.D + k * task.T) for task in ts for k in range(8)})
        demand = {t: sum(max(0, (t - x.D) // x.T + 1) * x.C for x in ts) for t in deadlines}
        if None in found.B or ts.U > 1:
            continue
        fits = all(demand[t] + longest_in(ts, found, t) <= t for t in deadlines)
        proved += fits
        close += fits and any(found.B)
        if fits:
            assert simulate(ts, "edf", protocol=protocol, until=400).met
    assert proved > 40
    assert close > 20


# Tests that count no blocking refuse what shares, rather than leave it out.

SHARING = TaskSet(C=[1, 2], T=[10, 20], sections=["bus:1", "bus:2"])
UNSHARED = TaskSet(C=[1, 2], T=[10, 20], sections=["bus:1", "log:2"])
INDEPENDENT: dict[str, Callable[..., Any]] = {
    "time_demand": theory.time_demand,
    "hyperbolic": theory.hyperbolic,
    "liu_layland": theory.liu_layland,
    "edf_utilisation": theory.edf_utilisation,
    "edf_density": theory.edf_density,
    "edf_response_times": theory.edf_response_times,
    "processor_demand": theory.processor_demand,
    "qpa": theory.qpa,
    "breakdown": theory.breakdown,
    "largest_C": theory.largest_C,
    "slack": theory.slack,
    "audsley": theory.audsley,
    "partition": lambda ts: theory.partition(ts, 2),
    "lopez": lambda ts: theory.lopez(ts, 2),
    "gfb": lambda ts: theory.gfb(ts, 2),
    "rm_us": lambda ts: theory.rm_us(ts, 2),
    "edf_us": lambda ts: theory.edf_us(ts, 2),
    "global_response_times": lambda ts: theory.global_response_times(ts, 2),
    "tardiness": lambda ts: theory.tardiness(ts, 2),
    "response_times at offsets": lambda ts: theory.response_times(ts, offsets=True),
    "fits": fits,
    "edf on one CPU": schedulable_edf,
}


@pytest.mark.parametrize("test", INDEPENDENT.values(), ids=INDEPENDENT)
def test_what_counts_no_blocking_refuses_tasks_that_share(test: Callable[..., Any]) -> None:
    with pytest.raises(BadInput, match="the tasks share bus, and this counts no blocking"):
        test(SHARING)
    test(UNSHARED)


def test_what_counts_blocking_takes_tasks_that_share() -> None:
    assert theory.response_times(SHARING) == theory.response_times(SHARING, blocking="none")
    assert theory.liu_layland(SHARING, blocking="icpp")
    for test in (theory.processor_demand, theory.qpa):
        assert test(SHARING, blocking="icpp")
        assert test(SHARING, preemptive=False)  # who holds a lock runs to its end
    assert theory.response_times(SHARING, preemptive=False).R == (3, 3)
    assert theory.audsley(SHARING, preemptive=False)
    assert theory.audsley(SHARING, blocking=[2, 0])
    assert theory.utilisation(SHARING).passed
    assert theory.necessary(SHARING, 2).passed


def test_terms_are_told_in_words() -> None:
    assert repr(blocking(SHARING, "pip")) == str(blocking(SHARING, "pip"))

# SPDX-License-Identifier: MIT
"""How much more fits: worked cases, and on random sets that just at the limit the set passes and beyond it fails."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from rtnb.errors import BadInput
from rtnb.theory import TaskSet
from rtnb.theory.demand import processor_demand, qpa
from rtnb.theory.edf import edf_response_times
from rtnb.theory.response import response_times
from rtnb.theory.sensitivity import breakdown, largest_C, slack

Vector = Callable[[str], tuple[Any, Any]]
ABIT = Fraction(1, 10**9)


def some_set(rng: random.Random, most: float, *, jitter: bool = False) -> TaskSet:
    """A small random set with D up to `most` times T, and a load around 1."""
    n = rng.randint(1, 4)
    T = [rng.choice([3, 4, 5, 6, 8, 10, 12, 15, 20]) for _ in range(n)]
    C = [rng.randint(1, max(1, round(1.5 * t / n))) for t in T]
    D = [rng.randint(min(c, t), max(c, int(most * t))) for c, t in zip(C, T, strict=True)]
    J = [rng.randint(0, t // 2) if jitter and rng.random() < 0.5 else 0 for t in T]
    return TaskSet(C=C, T=T, D=D, jitter=J)


def test_rm_and_edf_leave_different_room(vector: Vector) -> None:
    given, expected = vector("LL73-mixed")
    T, C1, C2 = given["T"], given["C1"], given["C2"]
    most = {policy: largest_C(TaskSet(C=[C1, C2, 1], T=T), policy)[2] for policy in ("rm", "edf")}
    assert str(most["rm"]) == expected["RM_max_C3"]
    assert most["edf"] is not None
    assert f"{most['edf']} (integer {int(most['edf'])})" == expected["EDF_max_C3"]
    assert Fraction(expected["U_RM"]) == TaskSet(C=[C1, C2, most["rm"]], T=T).U
    assert Fraction(expected["U_EDF_C3_2"]) == TaskSet(C=[C1, C2, int(most["edf"])], T=T).U


@pytest.mark.parametrize("name", ["LL-crit2", "LSD-a"])
def test_breakdown_factors(vector: Vector, name: str) -> None:
    given, expected = vector(name)
    found = breakdown(TaskSet(**given))
    assert found.factor == Fraction(expected["breakdown_factor"])
    assert found.factor * Fraction(expected["U"]) == found.U


def test_breakdown_and_the_largest_C(vector: Vector) -> None:
    given, expected = vector("sensitivity-1")
    ts = TaskSet(**given)
    found = breakdown(ts)
    assert Fraction(expected["U"]) == ts.U
    assert found.factor == Fraction(expected["breakdown_factor"])
    assert Fraction(expected["breakdown_U"]) == found.U
    assert largest_C(ts) == [Fraction(c) for c in expected["max_C"]]


def test_the_witness_is_where_it_just_fits() -> None:
    ts = TaskSet(C=[20, 40, 100], T=[100, 150, 350])
    witness = breakdown(ts).witness
    assert (witness.t, witness.task, witness.job) == (300, "t3", 1)
    short = ts.with_(D=[30, 100, 200])
    found = breakdown(short, "edf")
    assert found.witness.words == "the demand reaches t at 250"
    assert found.factor == Fraction(250, 3 * 20 + 2 * 40 + 100)
    assert breakdown(ts, "edf").witness.words == "U is 1"
    assert breakdown(ts, "edf").U == 1


@pytest.mark.parametrize("policy", ["fp", "rm", "dm", "edf"])
@pytest.mark.parametrize("most", [1.0, 3.0])
def test_at_the_factor_a_set_passes_and_above_it_fails(policy: str, most: float) -> None:
    rng = random.Random(f"{policy} {most}")
    above = 0
    for round_ in range(400):
        ts = some_set(rng, most, jitter=round_ % 2 == 1)
        found = breakdown(ts, policy)
        above += found.factor >= 1
        assert (found.factor >= 1) is _fits_under(ts, policy), ts
        assert found.factor * ts.U == found.U
        if not found.factor:
            assert any(task.jitter >= task.D for task in ts)
            continue
        assert _fits_under(ts.with_(C=[t.C * found.factor for t in ts]), policy), (ts, found)
        assert not _fits_under(ts.with_(C=[t.C * found.factor * (1 + ABIT) for t in ts]), policy), (ts, found)
    assert 60 < above < 340


@pytest.mark.parametrize("policy", ["fp", "rm", "dm", "edf"])
@pytest.mark.parametrize("most", [1.0, 3.0])
def test_with_its_largest_C_a_set_passes_and_with_more_it_fails(policy: str, most: float) -> None:
    rng = random.Random(f"C {policy} {most}")
    seen = {None: 0, False: 0, True: 0}
    for round_ in range(200):
        ts = some_set(rng, most, jitter=round_ % 2 == 1)
        for at, limit in enumerate(largest_C(ts, policy)):
            C = [task.C for task in ts]
            if limit is None:
                assert not _fits_under(ts.with_(C=[*C[:at], ABIT, *C[at + 1 :]]), policy), (ts, at)
                seen[None] += 1
                continue
            seen[limit >= C[at]] += 1
            assert (limit >= C[at]) is _fits_under(ts, policy), (ts, at)
            assert limit <= ts[at].D
            assert _fits_under(ts.with_(C=[*C[:at], limit, *C[at + 1 :]]), policy), (ts, at, limit)
            assert not _fits_under(ts.with_(C=[*C[:at], limit + ABIT, *C[at + 1 :]]), policy), (ts, at, limit)
    assert min(seen.values()) > 20


@pytest.mark.parametrize("policy", ["fp", "dm", "edf"])
def test_slack_is_what_is_left_and_extra_just_fits(policy: str) -> None:
    rng = random.Random(f"slack {policy}")
    some = 0
    for round_ in range(300):
        ts = some_set(rng, 1.5, jitter=round_ % 2 == 1)
        found = slack(ts, policy)
        assert (found.extra is not None) is _fits_under(ts, policy), ts
        assert (found.extra is not None) is all(left is not None and left >= 0 for left in found.left)
        if found.extra is None:
            continue
        some += 1
        assert _fits_under(ts.with_(C=[t.C + found.extra for t in ts]), policy), (ts, found)
        assert not _fits_under(ts.with_(C=[t.C + found.extra + ABIT for t in ts]), policy), (ts, found)
    assert some > 50


def _fits_under(ts: TaskSet, policy: str) -> bool:
    """By another test than the one that the limit comes from: QPA, or the response times."""
    if ts.U > 1:
        return False  # where it is so by a billionth, the first miss is far away
    if policy == "edf":
        return bool(qpa(ts))
    key = {"fp": lambda at: at, "rm": lambda at: ts[at].T, "dm": lambda at: ts[at].D}[policy]
    return bool(response_times(ts.with_priorities(sorted(range(len(ts)), key=key))))


def test_slack_of_a_set_by_hand() -> None:
    found = slack(TaskSet(C=[1, 2, 3], T=[5, 7, 16]))
    assert found.left == (4, 4, 9)
    late = slack(TaskSet(C=[3, 3], T=[5, 6]))
    assert (late.left, late.extra) == ((2, None), None)
    assert slack(TaskSet(C=[2, 2], T=[4, 4]), "edf").extra == 0
    assert edf_response_times(TaskSet(C=[2, 2], T=[4, 4])).R == (4, 4)


def test_where_nothing_fits() -> None:
    never = TaskSet(C=[1, 1], T=[9, 9], D=[3, 5], jitter=[3, 0])
    for policy in ("fp", "edf"):
        assert breakdown(never, policy).factor == 0
        assert largest_C(never, policy) == [None, None]
        assert slack(never, policy).extra is None
    assert largest_C(TaskSet(C=[9, 1], T=[8, 10], D=[8, 10])) == [7, None]
    over = TaskSet(C=[4, 4], T=[4, 4])
    assert breakdown(over).factor == Fraction(1, 2)
    assert (largest_C(over), largest_C(over, "edf")) == ([None, None], [None, None])


def test_units_and_orders() -> None:
    ts = TaskSet("slow 100us 1ms 1ms 1\nfast 1ms 2ms 500us 2")
    assert breakdown(ts, "fp").factor == Fraction(5, 11)
    assert breakdown(ts, "dm").factor == Fraction(1, 2)
    assert largest_C(TaskSet("a 1ms 4ms\nb 2ms 8ms")) == [3_000_000, 6_000_000]
    assert breakdown(ts, "dm").witness.words == "fast has until 500 us to be done"


def test_long_hyperperiods_are_answered_or_refused() -> None:
    rng = random.Random(9)
    for _ in range(8):
        T = [rng.randint(10**6, 10**9) for _ in range(8)]
        C = [t // 12 + rng.randint(1, 999) for t in T]
        short = TaskSet(C=C, T=T, D=[rng.randint(t // 2, t) for t in T])
        for policy in ("dm", "edf"):
            assert 0 < breakdown(short, policy).U <= 1
    near = TaskSet(C=[1, 1, 1], T=[10**9 + 7, 10**9 + 9, 10**9 + 21], D=[10**9 + 6, 10**9 + 9, 10**9 + 21])
    with pytest.raises(BadInput, match="more than 100,000 instants"):
        breakdown(near, "edf")
    late = TaskSet(C=[1, 1], T=[10**9 + 7, 10**9 + 9], D=[10**9 + 7, 2 * 10**9 + 18])
    with pytest.raises(BadInput, match="more than 100,000 instants"):
        breakdown(late)


def test_another_policy_is_refused() -> None:
    for ask in (breakdown, largest_C, slack):
        with pytest.raises(BadInput, match="no sensitivity is known"):
            ask(TaskSet(C=[1], T=[2]), "llf")
    assert processor_demand(TaskSet(C=[1], T=[2])).schedulable is True


def test_what_is_left_is_told_in_the_words_of_the_set() -> None:
    ts = TaskSet("a 1ms 5ms\nb 2ms 7ms\nc 3ms 16ms")
    assert repr(slack(ts)) == "slack: a 4 ms, b 4 ms, c 9 ms; all C: about 667 us"
    found = breakdown(TaskSet(C=[20, 40, 100], T=[100, 150, 350]))
    assert repr(found) == "breakdown: all C times 5/4 fit, U = 79/84; t3 has until 300 to be done"
    late = slack(TaskSet(C=[4, 4], T=[6, 14], D=[6, 9]))
    assert (late.left, late.extra) == ((2, -3), None)
    assert str(late) == "slack: t1 2, t2 -3; all C: not schedulable as it is"
    assert "t2 unbounded" in str(slack(TaskSet(C=[4, 9], T=[6, 14])))


def test_numbers_of_thousands_of_digits_are_told_shortly() -> None:
    rng = random.Random(3)
    T = [10**9 + 2 * rng.randint(0, 10**9) + 1 for _ in range(700)]
    most = breakdown(TaskSet(C=[1] * 700, T=T), "edf")
    assert most.factor.denominator > 10**4300
    assert len(str(most)) < 100
    primes = [q for q in range(10**6 + 1, 10**6 + 14000, 2) if all(q % d for d in range(3, 1010, 2))]
    T = [len(primes) * q for q in primes]
    with pytest.raises(BadInput, match=r"more than \d+ instants up to \d\.\d+e\+\d+"):
        breakdown(TaskSet(C=primes, T=T, D=[t - 1 for t in T]), "edf")

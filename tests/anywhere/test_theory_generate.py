# SPDX-License-Identifier: MIT
"""Are the random sets as they should be? Their laws, tested so that a wrong generator fails; the same by the seed."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from statistics import fmean, pvariance
from typing import Any

import pytest
from scipy import stats

from rtnb.errors import BadInput
from rtnb.theory.generate import generate, log_uniform_periods, randfixedsum, uunifast, uunifast_discard

DRAWS = 20_000


def naive(n: int, U: float, rng: Random) -> list[float]:
    """What the checks must tell from a uniform one: uniform numbers, scaled to the sum."""
    values = [rng.random() for _ in range(n)]
    return [U * value / sum(values) for value in values]


def p_simplex(values: list[float], n: int, U: float) -> float:
    """How likely values as far off are, if they are shares of U uniform on the simplex: U Beta(1, n - 1)."""
    return float(stats.kstest(values, lambda x: 1 - (1 - x / U) ** (n - 1)).pvalue)


@pytest.mark.parametrize("U", [0.7, 1.0, 2.5])
@pytest.mark.parametrize("method", [uunifast, randfixedsum])
def test_the_law_of_the_simplex(vector: Callable[[str], Any], method: Callable[..., list[float]], U: float) -> None:
    given, expected = vector("UUniFast-law")
    n = given["n"]
    laws = {"mean": "U/n", "P_U1_le_x": "1-(1-x/U)^(n-1)", "var": "U^2 (n-1)/(n^2 (n+1))"}
    assert expected == laws, "what is computed below"
    rng = Random(20)
    # To randfixedsum a task has at most `high`: with U it is the simplex again.
    how = {"high": U} if method is randfixedsum else {}
    sets = [method(n, U, rng, **how) for _ in range(DRAWS)]
    assert all(abs(sum(values) - U) < 1e-12 and min(values) >= 0 for values in sets)
    for place in range(n):  # each of them, not the first alone
        values = [found[place] for found in sets]
        assert fmean(values) == pytest.approx(U / n, rel=0.03)
        assert pvariance(values) == pytest.approx(U**2 * (n - 1) / (n**2 * (n + 1)), rel=0.06)
        assert p_simplex(values, n, U) > 1e-3


def test_a_wrong_generator_fails_the_same_check() -> None:
    rng = Random(20)
    values = [naive(5, 1.0, rng)[0] for _ in range(DRAWS)]
    assert fmean(values) == pytest.approx(0.2, rel=0.03), "the mean tells nothing"
    assert p_simplex(values, 5, 1.0) < 1e-100
    biased = [max(uunifast(5, 1.0, rng)[:2]) for _ in range(DRAWS)]
    assert p_simplex(biased, 5, 1.0) < 1e-100


def rejection(n: int, U: float, rng: Random, low: float = 0, high: float = 1) -> list[float]:
    """Uniform on the slice, the slow way: n - 1 at random, and the last is what is left, if it may be."""
    while True:
        values = [low + (high - low) * rng.random() for _ in range(n - 1)]
        if low <= U - sum(values) <= high:
            return [*values, U - sum(values)]


@pytest.mark.parametrize(
    ("n", "U", "low", "high"), [(3, 1.7, 0, 1), (4, 2.6, 0, 1), (5, 1.2, 0, 1), (3, 1.2, 0.2, 0.7), (6, 4.4, 0, 1)]
)
def test_randfixedsum_is_uniform_on_the_slice(n: int, U: float, low: float, high: float) -> None:
    rng = Random(21)
    ours = [randfixedsum(n, U, rng, low, high) for _ in range(6000)]
    true = [rejection(n, U, rng, low, high) for _ in range(6000)]
    assert all(abs(sum(values) - U) < 1e-12 for values in ours)
    assert all(low <= value <= high for values in ours for value in values)
    for what in (lambda v: v[0], lambda v: v[-1], max, min, lambda v: v[0] + v[1], lambda v: v[0] * v[1] * v[2]):
        same = stats.ks_2samp([what(v) for v in ours], [what(v) for v in true]).pvalue
        assert same > 1e-3, what


def test_a_wrong_slice_fails_the_same_check() -> None:
    rng = Random(21)

    def wrong() -> list[float]:
        while max(values := naive(5, 1.2, rng)) > 1:
            pass
        return values

    ours, true = [wrong()[0] for _ in range(6000)], [rejection(5, 1.2, rng)[0] for _ in range(6000)]
    assert stats.ks_2samp(ours, true).pvalue < 1e-20


def test_discard_is_uniform_on_the_slice() -> None:
    rng = Random(22)
    ours = [uunifast_discard(4, 2.0, rng) for _ in range(6000)]
    assert max(map(max, ours)) <= 1
    true = [randfixedsum(4, 2.0, rng) for _ in range(6000)]
    for place in range(4):
        assert stats.ks_2samp([v[place] for v in ours], [v[place] for v in true]).pvalue > 1e-3


@pytest.mark.parametrize(("n", "U"), [(1, 1), (1, 0.3), (2, 2), (4, 4), (400, 3), (400, 200.5), (400, 397), (3, 1e-9)])
def test_randfixedsum_at_the_edges(n: int, U: float) -> None:
    rng = Random(23)
    for _ in range(20):
        values = randfixedsum(n, U, rng)
        assert len(values) == n
        assert sum(values) == pytest.approx(U, rel=1e-9)
        assert 0 <= min(values) <= max(values) <= 1
    assert randfixedsum(3, 1.5, rng, 0.5, 0.9) == [0.5] * 3


def test_periods_are_log_uniform() -> None:
    rng = Random(24)
    T = log_uniform_periods(10_000, 10**6, 10**9, rng)
    assert all(type(t) is int for t in T)
    assert (min(T) >= 10**6, max(T) <= 10**9) == (True, True)

    def p(periods: list[Any]) -> float:
        return float(stats.kstest([math.log(t / 1e6) / math.log(1e3) for t in periods], "uniform").pvalue)

    assert p(T) > 1e-3
    uniform = [10**6 + int(rng.random() * 999e6) for _ in range(10_000)]
    assert p(uniform) < 1e-100


def test_periods_are_multiples_in_range() -> None:
    rng = Random(25)
    found = log_uniform_periods(5000, 10, 100, rng, 10)
    assert set(found) == set(range(10, 101, 10))
    # Each multiple has the weight of its step on the log scale, the last as well.
    weight = math.log(11 / 10) / math.log(11)
    assert found.count(100) / 5000 == pytest.approx(weight, abs=0.012)
    assert set(log_uniform_periods(100, 15, 35, rng, 10)) == {20, 30}
    assert log_uniform_periods(2, 7, 7, rng) == [7, 7]
    assert set(log_uniform_periods(200, 1, 2, rng, "1/2")) == {
        1,
        2,
        log_uniform_periods(1, "3/2", "3/2", rng, "1/2")[0],
    }


def test_the_same_seed_gives_the_same_set() -> None:
    """As printed here once: on every machine, by every version."""
    assert str(generate(3, 0.8, seed=1)) == "t1 (4, 17), t2 (273, 517), t3 (1, 38)"
    wide = {"periods": (10_000, 1_000_000)}
    found = [str(generate(3, 1.6, seed="a", method=m, **wide)) for m in ("uunifast-discard", "randfixedsum")]
    assert found == GOLDEN
    constrained = generate(2, 0.8, seed=2, deadlines="constrained", unit="ms")
    assert [(t.C, t.T, t.D) for t in constrained] == GOLDEN_NS
    assert generate(9, 0.8, seed=3) == generate(9, 0.8, seed=3) != generate(9, 0.8, seed=4)
    assert generate(9, 0.8, seed=3) == generate(9, 0.8, seed="3")


GOLDEN = [
    "t1 (121275, 158426), t2 (151204, 194272), t3 (1260, 22415)",
    "t1 (68099, 130225), t2 (368631, 872221), t3 (374870, 572819)",
]
GOLDEN_NS = [(66800905, 188000000, 147336172), (19565746, 44000000, 25123506)]


@pytest.mark.parametrize("method", ["uunifast", "uunifast-discard", "randfixedsum"])
def test_a_set_is_as_asked(method: str) -> None:
    for seed in range(300):
        n = 1 + seed % 12
        U = 0.05 + 0.9 * (seed % 7) / 6
        ts = generate(n, U, seed=seed, method=method, periods=(10_000, 10**6), deadlines="constrained", granularity=100)
        assert len(ts) == n
        assert float(ts.U) == pytest.approx(U, abs=n / 10_000)
        for task in ts:
            assert 1 <= task.C <= task.D <= task.T
            assert (task.T % 100, 10_000 <= task.T <= 10**6) == (0, True)
            assert {type(time) for time in (task.C, task.T, task.D)} == {int}
        assert [task.priority for task in ts] == list(range(1, n + 1))


def test_C_is_rounded_to_the_nearest_and_never_to_zero() -> None:
    for seed in range(200):
        ts = generate(6, 0.5, seed=seed, periods=(10, 1000))
        fine = generate(6, 0.5, seed=seed, periods=("10s", "1000s"), granularity="1s")
        for task, real in zip(ts, fine, strict=True):
            assert real.T == task.T * 10**9
            exact = real.C / 10**9
            assert abs(exact - task.C) <= 0.5 + 1e-8 or (exact < 0.5 and [task.C] == [1])


def test_constrained_deadlines_are_uniform_from_C_to_T() -> None:
    tasks = [
        task
        for seed in range(600)
        for task in generate(5, 0.5, seed=seed, periods=(10**6, 10**7), deadlines="constrained")
    ]
    where = [(task.D - task.C) / (task.T - task.C) for task in tasks]
    assert stats.kstest(where, "uniform").pvalue > 1e-3
    assert all(task.D == task.T for task in generate(50, 0.5, seed=1))


def test_units() -> None:
    ts = generate(4, 0.9, seed=7, unit="ms")
    assert ts.unit == "ns"
    assert all(task.T % 10**6 == 0 and 10**7 <= task.T <= 10**9 for task in ts)
    assert float(ts.U) == pytest.approx(0.9, abs=1e-6)
    text = generate(4, 0.9, seed=7, periods=("10ms", "1s"), granularity="1ms")
    assert text == ts


@pytest.mark.parametrize(
    "call",
    [
        lambda: uunifast(0, 0.5, Random(1)),
        lambda: uunifast(3, 0, Random(1)),
        lambda: uunifast(3, -1, Random(1)),
        lambda: uunifast(3, 3.1, Random(1)),
        lambda: uunifast(3, math.nan, Random(1)),
        lambda: uunifast(10**9, 0.5, Random(1)),
        lambda: uunifast(2.0, 0.5, Random(1)),  # type: ignore[arg-type]
        lambda: uunifast(2, "1", Random(1)),  # type: ignore[arg-type]
        lambda: uunifast_discard(3, 2, Random(1), limit=0.5),
        lambda: uunifast_discard(30, 29.5, Random(1)),
        lambda: randfixedsum(3, 3.5, Random(1)),
        lambda: randfixedsum(3, 0.5, Random(1), low=0.4),
        lambda: randfixedsum(3, 0.5, Random(1), low=1),
        lambda: randfixedsum(401, 3, Random(1)),
        lambda: log_uniform_periods(0, 1, 2, Random(1)),
        lambda: log_uniform_periods(3, 0, 2, Random(1)),
        lambda: log_uniform_periods(3, 5, 2, Random(1)),
        lambda: log_uniform_periods(3, 11, 19, Random(1), 10),
        lambda: log_uniform_periods(3, "1ms", 2, Random(1)),
        lambda: log_uniform_periods(3, 1, 2, Random(1), 0),
        lambda: generate(3, 0.5, seed=1, method="uunifst"),
        lambda: generate(3, 0.5, seed=1, deadlines="arbitrary"),
        lambda: generate(3, 0.5, seed=1.5),  # type: ignore[arg-type]
        lambda: generate(3, 0.5, seed=1, periods=(1,)),  # type: ignore[arg-type]
        lambda: generate(3, 0.5, seed=1, periods=("1/2", 3)),
        lambda: generate(3, 0.5, seed=1, periods=("1ms", 3)),
        lambda: generate(3, 0.5, seed=1, unit="parsec"),
        lambda: generate(3, 0.5, seed=1, periods=("10ms", "1s"), granularity=3),
    ],
)
def test_nonsense_is_refused(call: Callable[[], Any]) -> None:
    with pytest.raises(BadInput):
        call()

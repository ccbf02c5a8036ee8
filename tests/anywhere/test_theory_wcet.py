# SPDX-License-Identifier: MIT
"""What measured maxima prove, and an extreme-value estimate that knows when it may not be trusted."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rtnb.errors import BadInput
from rtnb.schema import as_declared
from rtnb.theory.assumptions import of_runs
from rtnb.theory.extremes import Fitted, Law, anderson_darling
from rtnb.theory.wcet import Estimate, unseen, wcet

Rng = np.random.Generator
P = 1e-6


def autocorrelated(rng: Rng, n: int, phi: float) -> np.ndarray[Any, Any]:
    noise = rng.standard_normal(n)
    for at in range(1, n):
        noise[at] += phi * noise[at - 1]
    return 1e5 + 1e3 * noise


# What a maximum proves.


@pytest.mark.parametrize("n", [1, 2, 10, 299, 1000, 10**6])
def test_the_claim_is_the_exact_binomial_one(n: int) -> None:
    assert (1 - unseen(n)) ** n == pytest.approx(0.05, rel=1e-9)
    assert unseen(n) <= 3 / n
    assert (1 - unseen(n, 0.99)) ** n == pytest.approx(0.01, rel=1e-9)


def test_the_claim_is_no_float_too_small() -> None:
    q = Fraction(unseen(50))
    assert abs((1 - q) ** 50 - Fraction(1, 20)) < Fraction(1, 10**12)


def test_the_claim_holds_in_95_of_100_measurements() -> None:
    """Of uniform times, a run exceeds the maximum m with probability 1 - m: how often is that below the claim?"""
    largest = np.random.default_rng(1).random((20_000, 100)).max(axis=1)
    assert np.mean(1 - largest < unseen(100)) == pytest.approx(0.95, abs=0.006)


@pytest.mark.parametrize(("samples", "confidence"), [(0, 0.95), (-1, 0.95), (1.5, 0.95), (True, 0.95), (9, 0), (9, 1)])
def test_a_claim_of_nothing_is_refused(samples: Any, confidence: Any) -> None:
    with pytest.raises(BadInput):
        unseen(samples, confidence)


# The laws, beside scipy's.


@pytest.mark.parametrize("xi", [-0.3, -0.1, 0.0, 0.1, 0.4])
@pytest.mark.parametrize("maxima", [True, False])
def test_the_laws_are_those_of_scipy(maxima: bool, xi: float) -> None:
    fitted, law = Fitted(5.0 if maxima else 0.0, 2.0, xi), Law(maxima, False)
    theirs = stats.genextreme(-xi, 5, 2) if maxima else stats.genpareto(xi, 0, 2)
    p = np.array([0.01, 0.3, 0.9, 0.999999])
    x = theirs.ppf(p)
    assert fitted.value(-np.log(p) if maxima else 1 - p) == pytest.approx(x)
    assert law.below(fitted, x) == pytest.approx(p)


def test_beyond_the_end_of_a_law_there_is_nothing() -> None:
    assert Law(True, False).below(Fitted(0.0, 1.0, -0.5), np.array([2.1])).tolist() == [1.0]
    assert Law(True, False).below(Fitted(0.0, 1.0, 0.5), np.array([-2.1])).tolist() == [0.0]
    assert Law(False, False).below(Fitted(0.0, 1.0, -0.5), np.array([2.1])).tolist() == [1.0]


@pytest.mark.parametrize("xi", [-0.3, 0.0, 0.2])
@pytest.mark.parametrize("maxima", [True, False])
def test_a_fit_finds_the_law(maxima: bool, xi: float) -> None:
    law = Law(maxima, False)
    true = Fitted(100.0 if maxima else 0.0, 10.0, xi)
    found = law.fit(law.drawn(true, (400_000,), np.random.default_rng(7)))
    assert [float(found.location), float(found.scale), float(found.xi)] == pytest.approx(
        [true.location, 10.0, xi], abs=0.15
    )
    assert float(found.xi) == pytest.approx(xi, abs=0.01)


@pytest.mark.parametrize("maxima", [True, False])
def test_a_light_law_has_no_shape(maxima: bool) -> None:
    law = Law(maxima, True)
    found = law.fit(law.drawn(Fitted(0.0, 10.0, 0.0), (400_000,), np.random.default_rng(8)))
    assert (float(found.scale), float(found.xi)) == (pytest.approx(10, abs=0.1), 0)


def test_many_fits_at_once_are_those_one_by_one() -> None:
    values = np.random.default_rng(3).gumbel(50, 5, (7, 60))
    for law in (Law(m, light) for m in (True, False) for light in (True, False)):
        both = law.fit(values)
        for row in range(7):
            one = law.fit(values[row])
            assert [both.location[row], both.scale[row], both.xi[row]] == pytest.approx(
                [float(one.location), float(one.scale), float(one.xi)]
            )


def test_anderson_darling_is_its_definition() -> None:
    F = np.sort(np.random.default_rng(4).random(50))
    total = sum((2 * i - 1) * (math.log(F[i - 1]) + math.log(1 - F[50 - i])) for i in range(1, 51))
    assert float(anderson_darling(F[::-1])) == pytest.approx(-50 - total / 50)
    assert anderson_darling(np.array([F, F])).shape == (2,)


# The intervals: of repeated measurements, about 95 in 100 hold the true value.

TRIALS = 100
SOURCES: dict[str, tuple[Callable[[Rng], Any], float, dict[str, Any]]] = {
    "Gumbel, maxima": (lambda rng: rng.gumbel(1e4, 100, 1000), stats.gumbel_r(1e4, 100).isf(P), {}),
    "Gumbel, light": (lambda rng: rng.gumbel(1e4, 100, 1000), stats.gumbel_r(1e4, 100).isf(P), {"light": True}),
    "GEV, maxima": (
        lambda rng: Law(True, False).drawn(Fitted(1e4, 100.0, -0.15), (1000,), rng),
        stats.genextreme(0.15, 1e4, 100).isf(P),
        {},
    ),
    "exponential, threshold": (
        lambda rng: 1e4 + rng.exponential(100, 1000),
        stats.expon(1e4, 100).isf(P),
        {"method": "threshold"},
    ),
    "exponential, light threshold": (
        lambda rng: 1e4 + rng.exponential(100, 1000),
        stats.expon(1e4, 100).isf(P),
        {"method": "threshold", "light": True},
    ),
}


@pytest.mark.parametrize("source", SOURCES)
def test_the_interval_holds_the_true_value_in_its_share_of_trials(source: str) -> None:
    draw, true, how = SOURCES[source]
    rng = np.random.default_rng(2024)
    made = [wcet(draw(rng), exceedance=P, **how) for _ in range(TRIALS)]
    held = np.mean([e.bounds[0].low_ns <= true <= e.bounds[0].high_ns for e in made])
    # 100 trials of 0.95 hold at least 0.87 of the time in 999 of 1,000 such tests.
    assert 0.87 <= held <= 1
    assert np.mean([e.trusted for e in made]) > 0.85


def test_the_tests_refuse_about_as_many_as_they_say() -> None:
    rng = np.random.default_rng(5)
    p = np.array([[tested.p for tested in of_runs(rng.gumbel(1e4, 100, 500))] for _ in range(300)])
    for test in range(2):
        assert np.mean(p[:, test] < 0.05) == pytest.approx(0.05, abs=0.04)
        assert np.mean(p[:, test] < 0.01) < 0.035


# The assumptions, broken one by one.


def refused(estimate: Estimate) -> set[str]:
    return {tested.assumption for tested in estimate.failed}


@pytest.mark.parametrize("method", ["block maxima", "threshold"])
@pytest.mark.parametrize("seed", range(5))
def test_broken_assumptions_are_refused(method: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert "independence" in refused(wcet(autocorrelated(rng, 2000, 0.3), method=method))
    drifting = rng.gumbel(1e4, 100, 2000) + np.linspace(0, 60, 2000)
    assert "identical distribution" in refused(wcet(drifting, method=method))
    rare = rng.normal(1e4, 100, 5000) + 3000 * (rng.random(5000) < 0.02)
    assert "goodness of fit" in refused(wcet(rare, method=method))


def test_a_heavy_tail_is_refused() -> None:
    rng = np.random.default_rng(3)
    heavy = wcet(1e4 + 100 * rng.pareto(1.2, 5000))
    assert "tail" in refused(heavy)
    assert "of any length" in str(heavy)


def test_a_light_law_is_refused_where_the_tail_is_not_light() -> None:
    rng = np.random.default_rng(4)
    bounded = wcet(rng.uniform(1e4, 2e4, 5000), light=True)
    assert "light tail" in refused(bounded)
    assert refused(wcet(rng.gumbel(1e4, 100, 5000), light=True)) == set()


def test_too_few_blocks_and_ties_are_told() -> None:
    rng = np.random.default_rng(6)
    assert "enough blocks" in refused(wcet(rng.gumbel(1e4, 100, 200)))
    assert "enough excesses" in refused(wcet(rng.gumbel(1e4, 100, 200), method="threshold"))
    coarse = wcet(rng.gumbel(1e4, 100, 5000) // 100 * 100)
    assert "continuous times" in refused(coarse)
    assert "coarse clock" in str(coarse)


def test_what_is_not_trusted_says_so_first_and_everywhere() -> None:
    estimate = wcet(autocorrelated(np.random.default_rng(1), 2000, 0.6))
    assert not estimate.trusted
    assert str(estimate).startswith("not to be trusted: independence (Ljung-Box on ranks: p = ")
    assert not estimate.frame["trusted"].any()
    assert estimate.frame["caveat"].str.startswith("not to be trusted: independence").all()
    assert estimate.recording.header.notes == (estimate.caveat,)
    assert "not to be trusted" in estimate._repr_html_()


def test_what_is_trusted_says_what_it_rests_on() -> None:
    estimate = wcet(np.random.default_rng(23).gumbel(1e4, 100, 10_000), exceedance=[1e-6, 1e-9])
    assert estimate.trusted
    assert estimate.caveat == ""
    assert str(estimate).startswith("pWCET, exceeded with probability 1e-06 a run: ")
    assert "no assumption was refused; below 1 / 10,000 it extrapolates" in str(estimate)
    assert estimate.proves in str(estimate)
    assert [b.exceedance for b in estimate.bounds] == [1e-6, 1e-9]
    assert all(b.low_ns < b.bound_ns < b.high_ns for b in estimate.bounds)
    assert estimate.bounds[0].bound_ns < estimate.bounds[1].bound_ns
    assert [p.name for p in estimate.parameters] == ["location", "scale", "xi"]
    assert all(p.low <= p.value <= p.high for p in estimate.parameters)


def test_a_bound_is_never_below_what_was_seen() -> None:
    rng = np.random.default_rng(9)
    made = [wcet(rng.uniform(0, 1e4, 500), exceedance=1e-9) for _ in range(40)]
    assert all(e.bounds[0].bound_ns >= e.observed for e in made)
    assert any(e.bounds[0].bound_ns == e.observed for e in made)  # where the law itself ends below it


def test_the_tables() -> None:
    estimate = wcet(np.random.default_rng(2).gumbel(1e4, 100, 2000), exceedance=[1e-4, 1e-9])
    assert as_declared(estimate.frame, "theory.pwcet")
    assert as_declared(estimate.assumptions, "theory.assumptions")
    assert as_declared(estimate.curve, "theory.exceedance")
    names = ["independence", "identical distribution", "goodness of fit", "enough blocks", "tail", "continuous times"]
    assert estimate.assumptions["assumption"].tolist() == names
    assert estimate.assumptions["meaning"].str.len().min() > 5
    assert estimate.recording.header.mode == "computed"


def test_the_curve_is_what_was_seen_and_then_the_law() -> None:
    x = np.random.default_rng(2).gumbel(1e4, 100, 2000)
    estimate = wcet(x, exceedance=1e-9)
    curve = estimate.curve
    assert curve["exceedance"].is_monotonic_decreasing
    assert curve["exceedance"].iloc[-1] == pytest.approx(1e-9)
    seen = curve.dropna(subset="empirical_ns")
    assert (seen["exceedance"] >= 1 / 2000).all()
    for p, value in zip(seen["exceedance"], seen["empirical_ns"], strict=True):
        assert np.mean(x > value) <= p < np.mean(x >= value) + 1e-12
    fitted = curve.dropna(subset="fitted_ns")
    assert fitted["fitted_ns"].is_monotonic_increasing
    assert (fitted["low_ns"] <= fitted["high_ns"]).all()
    both = curve.dropna()
    assert len(both) > 10
    assert (both["fitted_ns"] - both["empirical_ns"]).abs().max() < 150
    assert fitted["fitted_ns"].iloc[-1] == pytest.approx(estimate.bounds[0].bound_ns)


def test_the_same_seed_is_the_same_estimate() -> None:
    x = np.random.default_rng(2).gumbel(1e4, 100, 1000)
    assert wcet(x) == wcet(x)
    assert wcet(x, seed=1).bounds != wcet(x).bounds
    assert wcet(x, seed=1).bounds[0].bound_ns == wcet(x).bounds[0].bound_ns


# What it takes.


def jobs(values: Any, tasks: list[str] | None = None) -> pd.DataFrame:
    column = pd.array(values, dtype="Int64")
    return pd.DataFrame({"task": pd.Categorical(tasks or ["t"] * len(column)), "execution_ns": column})


def test_it_takes_frames_series_arrays_and_lists() -> None:
    x = np.random.default_rng(2).gumbel(1e6, 1e4, 1000).astype("int64")
    of_array = wcet(x)
    assert of_array.observed == int(x.max())
    assert wcet(list(map(int, x))) == wcet(pd.Series(x)) == wcet(jobs(x)) == of_array
    with_gaps = wcet(jobs([None, *x, None]))
    assert (with_gaps.samples, with_gaps.dropped) == (1000, 2)
    assert with_gaps.bounds == of_array.bounds


def test_block_and_threshold() -> None:
    x = np.random.default_rng(2).gumbel(1e6, 1e4, 1000)
    assert (wcet(x).block, wcet(x).extremes, wcet(x).threshold) == (15, 66, None)
    assert (wcet(x, block=30).block, wcet(x, block=30).extremes) == (30, 33)
    above = wcet(x, method="threshold", threshold=1.03e6)
    assert (above.extremes, above.threshold, above.block) == (int((x > 1.03e6).sum()), 1.03e6, None)
    assert [p.name for p in above.parameters] == ["scale", "xi"]
    default = wcet(x, method="threshold")
    assert (default.extremes, default.law) == (93, "GPD")
    assert "93 runs above " in str(default)


GOOD = np.random.default_rng(2).gumbel(1e6, 1e4, 1000)


@pytest.mark.parametrize(
    ("samples", "how", "why"),
    [
        ([], {}, "not enough"),
        (GOOD[:99], {}, "99 samples are not enough for a law; alone, a maximum of 99 proves 0.03 a run"),
        ([5000] * 1000, {}, "all 1,000 samples are 5 us"),
        ([*GOOD, math.nan], {}, "1 samples are NaN"),
        ([*GOOD, math.inf], {}, "NaN or infinite"),
        ([*GOOD, -1], {}, "below zero"),
        ([*GOOD, "x"], {}, "no numbers"),
        (GOOD > 1e6, {}, "no numbers"),
        ([0, 1] * 500, {}, "fewer than three values"),
        (pd.DataFrame({"response_ns": GOOD}), {}, "no column execution_ns"),
        (jobs(range(1000), ["a", "b"] * 500), {}, "jobs of 2 tasks"),
        (jobs([None] * 1000), {}, "0 samples are not enough"),
        (GOOD, {"method": "maxima"}, "no such method"),
        (GOOD, {"block": 4}, "not a size of block"),
        (GOOD, {"block": 101}, "not a size of block"),
        (GOOD, {"block": 20.0}, "not a size of block"),
        (GOOD, {"block": 20, "method": "threshold"}, "means nothing"),
        (GOOD, {"threshold": 1e6}, "means nothing"),
        (GOOD, {"threshold": 1e9, "method": "threshold"}, "no sample is above it"),
        (GOOD, {"threshold": 0, "method": "threshold"}, "1,000 of 1,000 samples are above it"),
        (GOOD, {"threshold": float(np.sort(GOOD)[-5]), "method": "threshold"}, "4 of 1,000"),
        (GOOD, {"exceedance": 0}, "between 1e-18"),
        (GOOD, {"exceedance": 0.5}, "speak for themselves"),
        (GOOD, {"exceedance": "1e-9"}, "between 1e-18"),
        (GOOD, {"exceedance": math.nan}, "between 1e-18"),
        (GOOD, {"exceedance": []}, "between 1e-18"),
    ],
)
def test_what_means_nothing_is_refused(samples: Any, how: dict[str, Any], why: str) -> None:
    with pytest.raises(BadInput, match=why.replace("(", r"\(")):
        wcet(samples, **how)


def test_the_maximum_of_constant_samples_still_proves_something() -> None:
    with pytest.raises(BadInput, match=r"a longer one has a probability below 0\.003 \(95 % confidence\)"):
        wcet([5000] * 1000)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seed": -1}, "seed -1: a whole number from 0 on"),
        ({"seed": "x"}, "seed x: a whole number"),
        ({"seed": True}, "seed True: a whole number"),
        ({"light": "no"}, "light 'no': it is True or False"),
        ({"method": "threshold", "threshold": "x"}, "threshold x: no sample is above it"),
    ],
)
def test_what_means_nothing_to_the_estimate_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        wcet(range(200), **options)


@pytest.mark.parametrize("confidence", [None, "x", 0, 1, math.nan])
def test_a_confidence_is_a_share(confidence: Any) -> None:
    with pytest.raises(BadInput, match="it lies between 0 and 1"):
        unseen(100, confidence)


def test_the_interval_is_called_nominal() -> None:
    estimate = wcet(np.random.default_rng(23).gumbel(10_000, 100, 5_000), exceedance=P)
    assert "(nominal 95 %: " in str(estimate)
    assert "83 %" in (wcet.__doc__ or "")

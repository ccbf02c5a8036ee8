# SPDX-License-Identifier: MIT
"""Are acceptance ratios what they say? Counted here again; paired, seeded, with Wilson's interval, interrupted."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from scipy import stats

from rtnb.errors import BadInput
from rtnb.recording import load
from rtnb.theory import TaskSet
from rtnb.theory.acceptance import GLOBAL, UNIPROCESSOR, acceptance, wilson
from rtnb.theory.multiprocessor import gfb
from rtnb.theory.partition import partition


def light(ts: TaskSet) -> bool:
    return all(task.U < 0.3 for task in ts)


def test_wilson_is_wilsons() -> None:
    for n in (1, 2, 7, 100, 500):
        for k in {0, 1, n // 3, n // 2, n - 1, n}:
            theirs = stats.binomtest(k, n).proportion_ci(confidence_level=0.95, method="wilson")
            low, high = wilson(k, n)
            assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
            assert 0 <= low <= k / n <= high <= 1
    assert wilson(0, 9)[0] == 0
    assert wilson(9, 9)[1] == 1
    for k, n in ((0, 0), (2, 1), (-1, 5)):
        with pytest.raises(BadInput):
            wilson(k, n)


def test_wilson_covers_what_it_says() -> None:
    rng = Random(1)
    covered = 0
    for _ in range(2000):
        k = sum(rng.random() < 0.3 for _ in range(60))
        low, high = wilson(k, 60)
        covered += low <= 0.3 <= high
    assert 0.93 < covered / 2000 < 0.97


def test_it_counts_the_sets_that_it_draws() -> None:
    seen: dict[float, list[TaskSet]] = {}

    def spy(ts: TaskSet) -> bool:
        seen.setdefault(round(float(ts.U), 2), []).append(ts)
        return light(ts)

    df = acceptance({"light": spy, "all": lambda ts: True}, n=5, utilisations=[0.3, 0.6, 0.9], sets=40).tables[
        "acceptance"
    ]
    assert df.attrs["rtnb"]["table"] == "theory.acceptance"
    assert df["test"].tolist() == ["light", "all"] * 3
    assert df["utilisation"].tolist() == [0.3, 0.3, 0.6, 0.6, 0.9, 0.9]
    assert (df["sets"] == 40).all()
    for U, sets in seen.items():
        accepted = df[(df["utilisation"] == U) & (df["test"] == "light")].iloc[0]
        assert accepted["accepted"] == sum(map(light, sets))
        assert accepted["ratio"] == accepted["accepted"] / 40
        assert (accepted["low"], accepted["high"]) == wilson(accepted["accepted"], 40)
    assert len({str(ts) for sets in seen.values() for ts in sets}) == 120, "no set twice"
    assert 0 < df["accepted"].iloc[2] < 40, "the sets differ"


def test_sets_are_paired_and_depend_on_the_seed_alone() -> None:
    seen: list[list[str]] = [[], [], [], []]

    def spy(at: int) -> Callable[[TaskSet], bool]:
        return lambda ts: bool(seen[at].append(str(ts))) or light(ts)

    first = acceptance({"a": spy(0), "b": spy(1)}, utilisations=[0.5, 0.8], sets=9)
    # Alone, at another place, and among fewer: the same sets.
    acceptance({"c": spy(2)}, utilisations=[0.2, 0.8, 0.5], sets=5)
    assert seen[0] == seen[1]
    assert seen[2][5:10] == seen[0][9:14]
    assert seen[2][10:] == seen[0][:5]
    acceptance({"d": spy(3)}, utilisations=[0.5], sets=9, seed=1)
    assert not set(seen[3]) & set(seen[0])
    again = acceptance({"a": light, "b": light}, utilisations=[0.5, 0.8], sets=9)
    assert again.tables["acceptance"].equals(first.tables["acceptance"])


def test_an_interrupt_keeps_what_was_counted() -> None:
    calls = []

    def impatient(ts: TaskSet) -> bool:
        calls.append(ts)
        if len(calls) == 16:
            raise KeyboardInterrupt
        return True

    found = acceptance({"light": light, "impatient": impatient}, utilisations=[0.2, 0.4, 0.6], sets=10)
    df = found.tables["acceptance"]
    assert found.header.interrupted
    assert "interrupted" in repr(found)
    # The sixteenth set had been seen by one of the tests: it does not count.
    assert df["sets"].tolist() == [10, 10, 5, 5]
    assert df[df["test"] == "impatient"]["accepted"].tolist() == [10, 5]

    def at_once(ts: TaskSet) -> bool:
        raise KeyboardInterrupt

    empty = acceptance({"never": at_once}, utilisations=[0.5], sets=10)
    assert (len(empty.tables["acceptance"]), empty.header.interrupted) == (0, True)
    assert "no set was counted" in repr(empty)


def test_progress_rises_to_one() -> None:
    told: list[float] = []
    acceptance({"light": light}, utilisations=[0.2, 0.4], sets=30, progress=told.append)
    assert told == sorted(told)
    assert (0 < told[0] < 0.1, told[-1], len(told) >= 10) == (True, 1.0, True)


def test_it_says_what_it_is_and_can_be_kept(tmp_path: Any) -> None:
    found = acceptance({"light": light}, n=4, utilisations=[0.5], sets=20, seed=3, deadlines="constrained")
    header = found.header
    assert (header.kind, header.mode, header.kernel, header.interrupted) == ("taskset", "computed", "", False)
    assert {k: header.details[k] for k in ("n", "sets", "seed", "cpus")} == {"n": 4, "sets": 20, "seed": 3, "cpus": 1}
    assert header.details["deadlines"] == "constrained"
    assert "less by up to" in header.notes[0]
    kept = load(found.save(tmp_path / "kept"))
    assert kept.tables["acceptance"].equals(found.tables["acceptance"])


def test_names_of_one_cpu() -> None:
    df = acceptance(UNIPROCESSOR, n=4, utilisations=[0.6, 0.8, 0.95], sets=60).tables["acceptance"]
    ratio = {(U, test): r for U, test, r in zip(df["utilisation"], df["test"], df["ratio"], strict=True)}
    for U in (0.6, 0.8, 0.95):
        chain = [ratio[U, test] for test in ("ll", "hyperbolic", "rm", "edf")]
        assert chain == sorted(chain), "each bound implies the next test"
        assert (ratio[U, "rm"], ratio[U, "edf"]) == (ratio[U, "dm"], 1), "with D = T"
        assert ratio[U, "fp"] <= ratio[U, "rm"], "RM is optimal"
    assert ratio[0.8, "ll"] < ratio[0.8, "rm"]
    assert ratio[0.95, "rm"] < 1


def test_names_of_several_cpus() -> None:
    packings = ("partition-ff", "partition-wf", "partition-ff-dm")
    found = acceptance((*GLOBAL, *packings), n=6, utilisations=[0.8, 1.4, 1.9], sets=40, cpus=2)
    df = found.tables["acceptance"]
    ratio = {(U, test): r for U, test, r in zip(df["utilisation"], df["test"], df["ratio"], strict=True)}
    for U in (0.8, 1.4, 1.9):
        assert ratio[U, "partition-ff-dm"] <= ratio[U, "partition-ff"]
        assert ratio[U, "rm-us"] == (1 if U < 1 else 0)
        assert ratio[U, "edf-us"] == (1 if U < 4 / 3 else 0)
    assert ratio[1.9, "partition-ff"] > ratio[1.9, "gfb"]
    own = {"gfb": lambda ts: gfb(ts, 2), "partition-wf": lambda ts: partition(ts, 2, "worst")}
    again = acceptance(own, n=6, utilisations=[0.8, 1.4, 1.9], sets=40, cpus=2).tables["acceptance"]
    for test in own:
        assert again[again["test"] == test]["accepted"].tolist() == df[df["test"] == test]["accepted"].tolist()


@pytest.mark.parametrize(
    "call",
    [
        lambda: acceptance([]),
        lambda: acceptance({}),
        lambda: acceptance(["hyperbolik"]),
        lambda: acceptance(["gfb"]),
        lambda: acceptance(["ll"], cpus=2),
        lambda: acceptance(["rm"], sets=0),
        lambda: acceptance(["rm"], n=0),
        lambda: acceptance(["rm"], utilisations=[]),
        lambda: acceptance(["rm"], utilisations=["much"]),  # type: ignore[list-item]
        lambda: acceptance(["rm"], utilisations=[0.5, 11]),
        lambda: acceptance(["rm"], cpus=0),
        lambda: acceptance({"light": light}, n=2, cpus=3),
    ],
)
def test_nonsense_is_refused(call: Callable[[], Any]) -> None:
    with pytest.raises(BadInput):
        call()

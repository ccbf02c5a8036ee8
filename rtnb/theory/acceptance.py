# SPDX-License-Identifier: MIT
"""How many random sets does a test accept? At each utilisation, the same sets for all tests, with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from rtnb.errors import BadInput, closest
from rtnb.progress import Progress, or_bar
from rtnb.recording import Header, Recording
from rtnb.schema import frame
from rtnb.theory.generate import generate
from rtnb.theory.options import check_cpus
from rtnb.theory.rows import Accepted
from rtnb.theory.taskset import TaskSet

__all__ = ["GLOBAL", "UNIPROCESSOR", "acceptance", "wilson"]

Test = Callable[[TaskSet], Any]

_Z = 1.959963984540054
"""The normal distribution's 97.5 % point: 95 % lie within as many standard deviations on both sides."""
UNIPROCESSOR = ("ll", "hyperbolic", "fp", "rm", "dm", "edf", "density")
"""Tests of one CPU by name: two bounds of RM; the exact test under the drawn, RM and DM priorities; EDF, two."""
GLOBAL = ("gfb", "rm-us", "edf-us", "global-dm")
"""Tests of global scheduling; partition-FIT (ff, bf, wf, nf) and partition-FIT-dm are those of packings."""
_FITS = {"ff": "first", "bf": "best", "wf": "worst", "nf": "next"}
_PACKINGS = tuple(f"partition-{fit}{end}" for end in ("", "-dm") for fit in _FITS)


def wilson(accepted: int, sets: int) -> tuple[float, float]:
    """From where to where, with 95 % confidence, the true ratio is. Raises BadInput.

    Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927.

    >>> wilson(0, 100)
    (0.0, 0.03699349820698568)
    """
    if sets < 1 or not 0 <= accepted <= sets:
        raise BadInput(f"wilson({accepted}, {sets})", "so many of so many sets cannot be accepted")
    ratio, z2 = accepted / sets, _Z * _Z
    middle = (ratio + z2 / (2 * sets)) / (1 + z2 / sets)
    half = _Z / (1 + z2 / sets) * math.sqrt(ratio * (1 - ratio) / sets + z2 / (4 * sets * sets))
    # At the two ends the formula gives exactly 0 and 1, but for rounding.
    return (max(0.0, middle - half) if accepted else 0.0), (min(1.0, middle + half) if accepted < sets else 1.0)


def acceptance(
    tests: Mapping[str, Test | str] | Iterable[str],
    *,
    n: int = 10,
    utilisations: Sequence[float] | None = None,
    sets: int = 500,
    seed: int = 0,
    cpus: int = 1,
    progress: Progress | None = None,
    **options: Any,
) -> Recording:
    """The table `acceptance` (theory.acceptance): how many of so many random sets of n tasks each test accepts.

    tests: names (UNIPROCESSOR; GLOBAL and packings on so many CPUs), or a mapping of names to such, or to functions of
    a TaskSet; what they return counts as a truth value, and a Verdict is true where it proves the set schedulable.
    utilisations: 20 from cpus / 20 to cpus, if not given. Set k of a utilisation depends on the seed, the utilisation
    and k alone, and is the same for all tests. `options` are those of `generate`; by default periods are whole numbers
    from 10,000 to 1,000,000, on several CPUs by randfixedsum. progress: is told the fraction done, now and
    then; None: a bar, where somebody looks.

    An interrupt ends it early: what was counted by then comes back, marked interrupted. Raises BadInput.

    >>> acceptance(["ll", "rm"], n=3, utilisations=[0.7, 0.9], sets=50).tables["acceptance"].accepted.tolist()
    [50, 50, 0, 43]
    """
    check_cpus(cpus)
    chosen = _chosen(tests, cpus)
    levels = _levels(utilisations, cpus)
    if type(sets) is not int or sets < 1:
        raise BadInput(f"acceptance, sets {sets}", "a whole number from 1 on")
    settings = {"periods": (10_000, 1_000_000), "method": "uunifast" if cpus == 1 else "randfixedsum"}
    settings |= {"rounding": "down", **options}
    draw = partial(_draw, n, seed, settings)
    for U in levels:  # what cannot be drawn fails before the work, not amid it
        draw(U, 0)
    with or_bar(progress, "acceptance") as told:
        counts, off, interrupted = _count(chosen, levels, sets, draw, told)
    note = f"a set's own utilisation is less by up to {off:.2g}: C is rounded down" if counts else "no set was counted"
    notes = (note, *(words for name, words in _JUDGES.items() if name in chosen))
    details = {"n": n, "sets": sets, "seed": seed, "cpus": cpus, **{k: str(v) for k, v in settings.items()}}
    return Recording(
        Header(
            "taskset",
            (f"acceptance of {sets} random sets of {n} tasks a utilisation, on {cpus} CPU{'s' if cpus > 1 else ''}",),
            "exact arithmetic",
            "computed",
            kernel="",
            interrupted=interrupted,
            notes=notes,
            details=details,
        ),
        {"acceptance": frame(Accepted, _columns(chosen, counts))},
    )


_JUDGES = {
    "ll": "ll is Liu and Layland's bound, of rate-monotonic priorities",
    "hyperbolic": "hyperbolic is that bound, of rate-monotonic priorities",
    "fp": "fp is the exact test of the priorities as they were drawn, at random: not those that ll judges",
}


def _levels(utilisations: Sequence[float] | None, cpus: int) -> list[float]:
    if utilisations is None:
        return [cpus * k / 20 for k in range(1, 21)]
    try:
        levels = [float(U) for U in utilisations]
    except (TypeError, ValueError):
        raise BadInput(f"utilisations {utilisations}", "not numbers", "for example [0.7, 0.8, 0.9]") from None
    if not levels:
        raise BadInput("acceptance", "there is no utilisation", "for example utilisations=[0.7, 0.8, 0.9]")
    return levels


def _draw(n: int, seed: int, settings: Mapping[str, Any], U: float, number: int) -> TaskSet:
    return generate(n, U, seed=f"{seed}/{U!r}/{number}", **settings)


Counts = list[tuple[float, int, dict[str, int]]]


def _count(
    tests: Mapping[str, Test],
    levels: Sequence[float],
    sets: int,
    draw: Callable[[float, int], TaskSet],
    progress: Progress | None,
) -> tuple[Counts, float, bool]:
    """Of each utilisation how many sets were tried and accepted; how far off they were; whether it was interrupted."""
    counts: Counts = []
    off = 0.0
    try:
        for at, U in enumerate(levels):
            accepted = dict.fromkeys(tests, 0)
            for number in range(sets):
                ts = draw(U, number)
                # A set counts once all tests have seen it: an interrupt leaves no half of one.
                accepted = {name: accepted[name] + bool(test(ts)) for name, test in tests.items()}
                counts[at:] = [(U, number + 1, accepted)]
                off = max(off, abs(sum(task.C / task.T for task in ts) - U))
                if progress and (number + 1) % max(1, sets // 20) == 0:
                    progress((at + (number + 1) / sets) / len(levels))
    except KeyboardInterrupt:
        return counts, off, True
    if progress:
        progress(1.0)
    return counts, off, False


def _columns(tests: Mapping[str, Test], counts: Counts) -> dict[str, list[Any]]:
    rows = [(U, name, sets, accepted[name]) for U, sets, accepted in counts for name in tests]
    intervals = [wilson(accepted, sets) for _, _, sets, accepted in rows]
    return {
        "utilisation": [U for U, *_ in rows],
        "test": [name for _, name, *_ in rows],
        "sets": [sets for *_, sets, _ in rows],
        "accepted": [accepted for *_, accepted in rows],
        "ratio": [accepted / sets for *_, sets, accepted in rows],
        "low": [low for low, _ in intervals],
        "high": [high for _, high in intervals],
    }


def _chosen(tests: Mapping[str, Test | str] | Iterable[str], cpus: int) -> dict[str, Test]:
    given: dict[str, Any] = dict(tests) if isinstance(tests, Mapping) else {}
    if not given:
        given = {name: name for name in ([tests] if isinstance(tests, str) else tests)}
    if not given:
        raise BadInput("acceptance", "there is no test", "for example acceptance(['ll', 'rm'])")
    return {name: test if callable(test) else _named(test, cpus) for name, test in given.items()}


def _named(name: Any, cpus: int) -> Test:
    """The test of that name. Raises BadInput."""
    known = UNIPROCESSOR if cpus == 1 else (*GLOBAL, *_PACKINGS)
    if name not in known:
        there = name in (*UNIPROCESSOR, *GLOBAL, *_PACKINGS)
        why = f"it is no test for {cpus} CPU{'s' if cpus > 1 else ''}" if there else "there is no such test"
        raise BadInput(f"test {name!r}", why, (not there and closest(str(name), known)) or f"one of {', '.join(known)}")
    return (_one if cpus == 1 else _several)(name, cpus)


def _one(name: str, cpus: int) -> Test:
    from rtnb.theory import bounds, edf, priorities, response
    from rtnb.theory.partition import schedulable_edf

    tests: dict[str, Test] = {
        "ll": lambda ts: bounds.liu_layland(priorities.rate_monotonic(ts)),
        "hyperbolic": lambda ts: bounds.hyperbolic(priorities.rate_monotonic(ts)),
        "fp": response.fits,
        "rm": lambda ts: response.fits(priorities.rate_monotonic(ts)),
        "dm": lambda ts: response.fits(priorities.deadline_monotonic(ts)),
        "edf": schedulable_edf,
        "density": edf.edf_density,
    }
    return tests[name]


def _several(name: str, cpus: int) -> Test:
    from rtnb.theory import multiprocessor
    from rtnb.theory.interference import global_response_times
    from rtnb.theory.partition import partition
    from rtnb.theory.priorities import deadline_monotonic

    if name == "global-dm":
        return lambda ts: global_response_times(deadline_monotonic(ts), cpus)
    if name in GLOBAL:
        return partial(getattr(multiprocessor, name.replace("-", "_")), cpus=cpus)
    fit = _FITS[name.split("-")[1]]
    if name.endswith("-dm"):
        return lambda ts: partition(deadline_monotonic(ts), cpus, fit=fit, test="fp")
    return partial(partition, cpus=cpus, fit=fit)

# SPDX-License-Identifier: MIT
"""What of a periodic task needs no kernel: its arguments, and the summary of its wake-ups."""

from __future__ import annotations

import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rtnb
from rtnb import rt, schema
from rtnb.errors import BadInput

PERCENTILES = {"p50_us": Fraction(1, 2), "p90_us": Fraction(9, 10), "p99_us": Fraction(99, 100)}
PERCENTILES["p99_9_us"] = Fraction(999, 1000)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"policy": "fiffo"}, "did you mean fifo?"),
        ({"policy": "deadline"}, "one of fifo, rr, other, batch, idle"),
        ({"priority": 0}, "under fifo it is 1 (lowest) to 99"),
        ({"policy": "rr", "priority": 100}, "under rr it is 1 (lowest) to 99"),
        ({"policy": "other", "priority": 5}, "a task under other has none"),
        ({"period": "1"}, "not a duration"),
        ({"period": "fast"}, "not a duration"),
        ({"period": "0ms"}, "above zero"),
        ({"duration": "-1s"}, "not a duration"),
        ({"period": "9us"}, "below 10 us"),
        ({"period": "2s", "duration": "1s"}, "shorter than one period of 2s"),
        ({"period": "10us", "duration": "101s"}, "more than 10,000,000 periods of 10us"),
        ({"duration": "25h", "period": "1s"}, "longer than 24h"),
        ({"cpu": -1}, "there is no such CPU"),
    ],
)
def test_a_bad_argument_is_told(asked: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput) as e:
        rt.run(**asked)  # type: ignore[arg-type]
    assert said in str(e.value)
    assert any(str(value) in e.value.tried for value in asked.values())


def wakeups(latencies: list[int], missed: int = 0) -> pd.DataFrame:
    n = len(latencies)
    columns = {"release_ns": [0] * n, "wake_ns": latencies, "latency_ns": latencies, "cpu": [0] * n}
    return schema.frame(rt.Wakeup, {**columns, "missed": [missed] * n})


def test_the_summary_of_ten() -> None:
    row = rt.summary(wakeups([7000, 1000, 3000, 2000, 5000, 4000, 6000, 10000, 9000, 8000], missed=2)).iloc[0]
    assert row.to_dict() == {
        "policy": "",
        "priority": 0,
        "samples": 10,
        "missed": 20,
        "min_us": 1.0,
        "mean_us": 5.5,
        "p50_us": 5.0,
        "p90_us": 9.0,
        "p99_us": 10.0,
        "p99_9_us": 10.0,
        "max_us": 10.0,
    }


@given(st.lists(st.integers(0, 10**10), min_size=1, max_size=2000))
def test_a_percentile_is_the_smallest_sample_that_enough_are_no_later_than(latencies: list[int]) -> None:
    row = rt.summary(wakeups(latencies)).iloc[0]
    for name, share in PERCENTILES.items():
        enough = (x for x in sorted(latencies) if Fraction(sum(y <= x for y in latencies), len(latencies)) >= share)
        assert row[name] == next(enough) / 1000


def test_the_summary_of_nothing_is_nan() -> None:
    row = rt.summary(wakeups([])).iloc[0]
    assert (row["samples"], row["missed"]) == (0, 0)
    assert row.filter(like="_us").isna().all()


def test_without_the_core_it_says_so(tmp_path: Path) -> None:
    source = Path(rtnb.__file__).parent
    shutil.copytree(source, tmp_path / "rtnb", ignore=shutil.ignore_patterns("rtnb-core", "__pycache__"))
    code = """
from rtnb import caps, errors, rt
try:
    rt.run()
except errors.NotSupported as e:
    print(e)
print(caps.ask("rt.fifo").verdict)
"""
    done = subprocess.run([sys.executable, "-Bc", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    first, hint, fifo = done.stdout.splitlines()
    assert first.startswith("run a periodic task: rtnb was installed without its C core")
    assert hint.startswith("hint: install a C compiler")
    assert fifo == "no"

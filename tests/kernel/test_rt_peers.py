# SPDX-License-Identifier: MIT
"""The real cyclictest and the real rt-app: what is read from their files is what they themselves printed."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rtnb.rt.latency import UNBOUNDED, summary
from rtnb.rt.readers import read_cyclictest, read_rtapp, to_cyclictest

US = 1000


def program(name: str, package: str) -> str:
    return shutil.which(name) or pytest.skip(f"no {name} ({package})")


def cyclictest(folder: Path, *options: str) -> tuple[Path, Path]:
    """One run's JSON, and its text."""
    told, text = folder / "told.json", folder / "told.txt"
    argv = [program("cyclictest", "rt-tests"), "-q", "-i1000", "-l300", *options, f"--json={told}"]
    text.write_text(subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout)
    return told, text


@pytest.mark.parametrize("options", [("-h400",), ("-h400", "-t2"), ("-h15",), ("-H15", "-t2")])
def test_json_and_text_of_one_run_agree_with_each_other(options: tuple[str, ...], tmp_path: Path) -> None:
    told, text = cyclictest(tmp_path, *options)
    ours, theirs = read_cyclictest(told), read_cyclictest(text)
    pd.testing.assert_frame_equal(ours.frame, theirs.frame)
    raw = json.loads(told.read_text())
    assert max(thread["cycles"] for thread in raw["thread"].values()) == 300  # the first to be done ends them all
    for number, thread in raw["thread"].items():
        part = ours.frame[ours.frame["task"] == f"thread {number}"]
        assert part["count"].sum() == thread["cycles"]
        bounded = part[part["high_ns"] < UNBOUNDED]
        assert {str(low // US): n for low, n in zip(bounded["low_ns"], bounded["count"], strict=True)} == thread[
            "histogram"
        ]
        row = summary(ours.frame).set_index("task").loc[f"thread {number}"]
        assert row[["min_us", "mean_us", "max_us"]].tolist() == [thread[key] for key in ("min", "avg", "max")]


@pytest.mark.parametrize("options", [("-h400", "-t2"), ("-h15",), ("-N", "-h400000")])
def test_the_export_has_what_cyclictest_writes(options: tuple[str, ...], tmp_path: Path) -> None:
    told, _ = cyclictest(tmp_path, *options)
    raw: dict[str, Any] = {key.rstrip(":"): value for key, value in json.loads(told.read_text()).items()}
    made = to_cyclictest(read_cyclictest(told), unit="ns" if "-N" in options else "us")
    for thread in made["thread"].values():
        assert list(thread.pop("percentiles")) == ["50", "90", "99", "99.9", "99.99"]
    assert made == raw


def test_without_a_histogram_there_is_a_summary(tmp_path: Path) -> None:
    told, text = cyclictest(tmp_path, "-t2")
    of_json, of_text = (summary(read_cyclictest(path).frame) for path in (told, text))
    columns = ["task", "samples", "min_us", "max_us", "jitter_us"]
    assert of_json[columns].equals(of_text[columns])
    assert of_json["samples"].max() == 300
    assert of_json["p50_us"].isna().all()


@pytest.mark.needs("rt.fifo")
def test_the_policy_is_that_of_its_command_line(tmp_path: Path) -> None:
    told, _ = cyclictest(tmp_path, "-h400", "-p70", "--policy=rr")
    row = summary(read_cyclictest(told).frame).iloc[0]
    assert (row["policy"], row["priority"]) == ("rr", 70)


def rtapp(folder: Path, **task: Any) -> list[Path]:
    """The logs of a task that works 100 us in each 5 ms, for a second."""
    timer = {"timer": {"ref": "unique", "period": 5000}}
    of_all = {"duration": 1, "calibration": 100, "default_policy": "SCHED_OTHER", "log_size": 2, "log_basename": "log"}
    of_all |= {"logdir": str(folder), "ftrace": False, "gnuplot": False, "lock_pages": False}
    asked = folder / "asked.json"
    tasks = {"control": {"loop": -1, "run": 100, **timer, **task}, "other": {"loop": -1, "run": 100, **timer}}
    asked.write_text(json.dumps({"tasks": tasks, "global": of_all}))
    subprocess.run([program("rt-app", "rt-app"), asked], check=True, capture_output=True, timeout=60)
    return sorted(folder.glob("log-*.log"))


def test_jobs_of_rt_app(tmp_path: Path) -> None:
    paths = rtapp(tmp_path)
    recording = read_rtapp(*paths)
    assert [path.stem for path in paths] == ["log-control-0", "log-other-1"]
    for path in paths:
        rows = [list(map(int, line.split())) for line in path.read_text().splitlines()[2:]]
        rows = rows if rows[-1][9] else rows[:-1]  # the phase in which the run ended has no timer
        df = recording.frame[recording.frame["task"] == path.stem]
        assert len(df) == len(rows) - 1
        assert list(df["latency_ns"]) == [of[10] * US for of in rows[:-1]]
        assert (df["start_ns"] >= df["release_ns"]).all()
        assert (df["end_ns"] >= df["start_ns"]).all()
        waited = [of[7] >= 0 for of in rows[1:]]
        assert list(~df["overrun"]) == waited
        # rt-app sets each timer a period after the one before it, unless that was overrun. It reads the clock again
        # before it logs, and may be preempted in between.
        period = df["release_ns"].diff().dropna()[waited[:-1]]
        assert (abs(period - 5 * 10**6) <= 2 * US).mean() > 0.8
    assert set(summary(recording.frame)["measure"]) == {"latency", "period", "response"}


@pytest.mark.needs("rt.fifo")
def test_the_policy_of_a_thread_of_rt_app(tmp_path: Path) -> None:
    paths = rtapp(tmp_path, policy="SCHED_FIFO", priority=20)
    tasks = read_rtapp(*paths).header.details["tasks"]
    assert tasks["log-control-0"] == {"policy": "fifo", "priority": 20, "period_ns": 5 * 10**6}
    assert tasks["log-other-1"]["policy"] == "other"

# SPDX-License-Identifier: MIT
"""The pictures of real-time tasks read without their code: title, axes with units, live or recorded, every job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from rtnb import plots, schema
from rtnb.errors import BadInput
from rtnb.recording import Header, Recording
from rtnb.rt.jobs import Job
from rtnb.rt.latency import histogram, summary
from rtnb.rt.readers import read_cyclictest

FIXTURES = Path(__file__).parents[1] / "fixtures"
MS = 10**6


def jobs(n: int = 5000, tasks: tuple[str, ...] = ("task",), load: int | None = None, **changes: Any) -> pd.DataFrame:
    """Tasks whose latencies are about 30 us, whose period is 1 ms, 2 ms and so on."""
    parts = []
    for at, task in enumerate(tasks):
        late = np.random.default_rng(at).lognormal(10.3, 0.4, n).astype("int64")
        release = np.arange(n) * (1 + at) * MS
        same = {
            "task": task,
            "job": np.arange(n),
            "release_ns": release,
            "start_ns": release + late,
            "latency_ns": late,
        }
        end = release + late + (load or 0)
        done = {"end_ns": end, "response_ns": end - release, "deadline_ns": release + MS, "overrun": end > release + MS}
        used = {"execution_ns": pd.array([pd.NA if load is None else load] * n, dtype="Int64")}
        rest = {"waited_ns": 0, "cpu": 0, "preemptions": used["execution_ns"], "missed": 0}
        parts.append(pd.DataFrame({**same, **done, **used, **rest, **changes}))
    df = pd.concat(parts, ignore_index=True)
    made = schema.frame(Job, {name: list(df[name]) if name == "task" else df[name] for name in df})
    header = Header("rt_task", ("--policy", "fifo"), "test", kernel="6.18.44")
    return Recording(header, {"jobs": made}).tables["jobs"]


def header(df: pd.DataFrame) -> Header:
    found: Header = df.rtnb.header
    return found


def reads(figure: go.Figure) -> go.Figure:
    """Has it all that a reader needs? Its title, its caption, and a title for each axis that is no list of names."""
    layout = figure.layout
    assert layout.title.text
    assert layout.title.subtitle.text
    assert layout.xaxis.title.text
    assert layout.yaxis.title.text or layout.yaxis.ticktext
    assert layout.font.size >= 14
    assert figure.to_json()
    return figure


FIGURES: dict[str, Callable[[pd.DataFrame, Header], go.Figure]] = {
    "rt_task": plots.rt_task,
    "latency_over_time": plots.latency_over_time,
    "heatmap": plots.heatmap,
    "gantt": plots.gantt,
}


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("tasks", [("task",), ("a", "<b>b</b>", "c")])
def test_each_figure_reads_without_its_code(name: str, tasks: tuple[str, ...]) -> None:
    df = jobs(tasks=tasks)
    figure = reads(FIGURES[name](df, header(df)))
    assert figure.layout.title.subtitle.text.startswith("live · rt_task --policy fifo")
    assert "<b>" not in figure.to_json().replace("\\u003c", "<")
    if name != "heatmap":
        assert figure.layout.showlegend


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("n", [1, 2])
def test_one_job_does(name: str, n: int) -> None:
    df = jobs(n)
    reads(FIGURES[name](df, header(df)))


@pytest.mark.parametrize("name", ["rt_task", "latency_over_time", "heatmap"])
def test_no_jobs_are_said_to_be_none(name: str) -> None:
    df = jobs()
    assert FIGURES[name](df.iloc[:0], header(df)).layout.title.text == "No jobs"


def test_the_histogram_counts_every_job_once() -> None:
    df = jobs(tasks=("a", "b"))
    figure = plots.rt_task(df, header(df))
    assert [sum(trace.y) for trace in figure.data] == [5000, 5000]
    assert "10,000 wake-ups" in figure.layout.title.text
    assert len({trace.marker.color for trace in figure.data}) == 2
    told = summary(df).query("measure == 'latency'")
    assert [shape.x0 for shape in figure.layout.shapes] == told[["p50_us", "p99_us"]].to_numpy().flatten().tolist()
    assert all("p50" in trace.name and "p99" in trace.name for trace in figure.data)


@pytest.mark.parametrize("buckets", [None, "1us", 1])
def test_a_histogram_is_drawn_whatever_its_buckets(buckets: Any) -> None:
    df = jobs()
    made = schema.mark(histogram(df, buckets), header=header(df).to_json())
    figure = reads(plots.rt_task(made, header(df)))
    assert sum(figure.data[0].y) == 5000
    assert len(figure.data[0].y) < 3000


def test_what_overflowed_another_tools_buckets_is_drawn_hatched_and_said() -> None:
    recording = read_cyclictest(FIXTURES / "cyclictest.json")
    figure = reads(recording.frame.rtnb.plot())
    assert [sum(trace.y) for trace in figure.data] == [300, 300]
    assert [list(trace.marker.pattern.shape).count("/") for trace in figure.data] == [1, 1]
    assert "5 above the tool" in figure.layout.title.text
    assert figure.layout.title.subtitle.text.startswith("recorded 20")


def test_a_summary_is_drawn_as_ranges() -> None:
    df = jobs(tasks=("a", "b"), load=1000)
    figure = reads(plots.rt_task(summary(df), header(df)))
    assert len(figure.layout.yaxis.ticktext) == 8


def test_over_time_has_at_most_2000_points_a_task_and_the_largest_is_among_them() -> None:
    df = jobs(50_000)
    figure = plots.latency_over_time(df, header(df))
    assert sum(len(trace.x) for trace in figure.data) == 2000
    assert max(figure.data[0].y) == df["latency_ns"].max() / 1000
    assert min(figure.data[0].y) >= min(figure.data[1].y)
    few = plots.latency_over_time(df.head(900), header(df))
    assert [len(trace.x) for trace in few.data] == [900]


def test_over_time_marks_what_was_missed() -> None:
    missed = np.zeros(5000, "int64")
    missed[[7, 4000]] = 2, 3
    df = jobs(missed=missed)
    figure = plots.latency_over_time(df, header(df))
    marks = figure.data[-1]
    assert marks.name == "task: 5 releases missed"
    assert len(marks.x) == 2
    period = plots.latency_over_time(df, header(df), "period")
    assert period.layout.yaxis.type == "linear"  # it is signed
    with pytest.raises(BadInput):
        plots.latency_over_time(df, header(df), "perod")


def test_the_heatmap_counts_every_job_once() -> None:
    df = jobs()
    figure = plots.heatmap(df, header(df))
    assert np.nansum(10 ** figure.data[0].z) == pytest.approx(5000)


def pieces(figure: go.Figure) -> dict[str, int]:
    return {trace.name: len(trace.x) for trace in figure.data}


def test_the_timeline_of_five_releases_of_the_slowest() -> None:
    df = jobs(tasks=("fast", "slow"), load=300_000)
    found = pieces(plots.gantt(df, header(df)))
    assert found == {"waits": 15, "start to end": 15, "release": 15, "deadline": 15}


def test_a_window_of_the_timeline() -> None:
    df = jobs(load=300_000)
    figure = plots.gantt(df, header(df), start="20ms", length="7ms")
    assert pieces(figure)["release"] == 7
    assert figure.layout.xaxis.range == (19.93, 27.07)
    assert pieces(plots.gantt(df, header(df), length="2s"))["release"] == 300
    assert "the first 300 of 2,000" in plots.gantt(df, header(df), length="2s").layout.title.text
    for window in ({"start": "1h"}, {"start": "x"}, {"length": "0ms"}):
        with pytest.raises(BadInput):
            plots.gantt(df, header(df), **window)  # type: ignore[arg-type]
    with pytest.raises(BadInput):
        plots.gantt(df.iloc[:0], header(df))


def test_the_timeline_shows_what_a_job_did() -> None:
    df = jobs(3, load=1_500_000, missed=1)
    start, end = df["start_ns"].to_numpy(), df["end_ns"].to_numpy()
    middle = (start + end) // 2
    rows = {"task": ["task"] * 9, "job": [0, 1, 2] * 3, "state": ["preempted"] * 3 + ["run"] * 3 + ["throttled"] * 3}
    ends = {
        "begin_ns": np.concatenate([df["release_ns"], start, middle]),
        "end_ns": np.concatenate([start, middle, end]),
    }
    segments = pd.DataFrame({**rows, **ends, "by": ["<i>"] * 9}).astype({"task": "category", "state": "category"})
    figure = reads(plots.gantt(df, header(df), segments))
    wanted = {"preempted": 3, "run": 3, "throttled": 3, "release": 3, "deadline": 3, "overran": 3}
    assert pieces(figure) == {**wanted, "missed the next releases": 3}
    assert sum(sum(trace.x) for trace in figure.data[:3]) == pytest.approx(df["response_ns"].sum() / MS)
    assert "3 overran" in figure.layout.title.text
    assert "&lt;i&gt;" in figure.data[0].hovertext[0]
    assert len({trace.marker.color for trace in figure.data[:3]}) == 3


def test_two_runs_side_by_side_say_whether_they_differ() -> None:
    a, b = jobs(), jobs()
    figure = reads(plots.side_by_side(a, b))
    words = figure.layout.title.subtitle.text
    assert words.startswith("no difference of the medians is shown")
    assert words.count("live · rt_task") == 2
    assert [sum(trace.y) for trace in figure.data] == [pytest.approx(100)] * 2
    slower = jobs(latency_ns=a["latency_ns"] * 2)
    assert "they differ" in plots.side_by_side(a, slower).layout.title.subtitle.text
    assert "not compared: " in plots.side_by_side(a.head(9), b).layout.title.subtitle.text
    assert plots.side_by_side(a, b, "period").layout.xaxis.type == "linear"
    for one, other in ((a, b.iloc[:0]), (pd.DataFrame(a.to_dict("list")), b)):
        with pytest.raises(BadInput):
            plots.side_by_side(one, other)

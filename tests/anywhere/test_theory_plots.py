# SPDX-License-Identifier: MIT
"""The pictures of real-time theory, and the panel's logic: as many marks as there are rows, each where it belongs."""

from __future__ import annotations

import html
import time
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from rtnb import plots
from rtnb.errors import BadInput
from rtnb.lives.rows import Comparison
from rtnb.plots import svg
from rtnb.plots.theory.scale import Scale
from rtnb.recording import Header, Recording
from rtnb.schema import frame
from rtnb.theory import TaskSet
from rtnb.theory.acceptance import acceptance
from rtnb.theory.demand import busy_period, demand_bound, processor_demand, qpa
from rtnb.theory.edf import edf_response_times
from rtnb.theory.response import response_times
from rtnb.theory.servers import deferrable
from rtnb.theory.simulation import Schedule
from rtnb.theory.wcet import wcet
from rtnb.widgets.panel import Panel

HOSTILE = "<img src=x onerror=f()>"
LOCKS = """name C T D offset sections
high 3 30 10 4 bus@1:1
mid 6 30 30 5 -
low 6 30 30 0 bus@1:4"""


def reads(figure: go.Figure) -> go.Figure:
    """Has it all that a reader needs, also as SVG?"""
    layout = figure.layout
    assert layout.title.text
    assert layout.title.subtitle.text
    assert layout.xaxis.title.text
    assert layout.yaxis.title.text or layout.yaxis.ticktext
    assert layout.font.size >= 14
    assert figure.to_json()
    assert svg(figure).startswith("<svg")
    return figure


def marks(figure: go.Figure) -> dict[str, int]:
    """How many marks each trace has."""
    return {trace.name: len(trace.x) for trace in figure.data if trace.name}


def all_of(made: Schedule, **window: Any) -> go.Figure:
    """The whole schedule."""
    return plots.schedule_of(made, length=made.until, **window)


def spans(figure: go.Figure, name: str) -> list[tuple[float, float, float]]:
    """The bars of a trace: lane, begin, end."""
    trace = next(trace for trace in figure.data if trace.name == name)
    return [(y, b, b + x) for y, b, x in zip(trace.y, trace.base, trace.x, strict=True)]


# Schedules.


def test_a_schedule_has_a_bar_a_segment_and_a_mark_a_job() -> None:
    made = TaskSet(C=[1, 2, 3], T=[5, 8, 15], D=[4, 8, 15]).simulate("rm")
    figure = reads(all_of(made))
    states = made.segments["state"].astype("str").value_counts().to_dict()
    assert marks(figure) == {**states, "release": len(made.jobs), "deadline": len(made.jobs)}
    assert list(figure.layout.yaxis.ticktext) == ["t1", "t2", "t3"]
    assert "47 jobs of 3 tasks under rm: all deadlines met" in figure.layout.title.text
    rows = made.segments[made.segments["state"] == "run"]
    lane = {"t1": 0.0, "t2": -1.0, "t3": -2.0}
    wanted = sorted((lane[task], b, e) for task, b, e in zip(rows["task"], rows["begin"], rows["end"], strict=True))
    assert sorted(spans(figure, "run")) == wanted


def test_the_axis_is_in_the_sets_own_unit() -> None:
    for unit, drawn, end in (
        ("1", "units of the set", 2.0),
        ("us", "us", 2.0),
        ("ms", "us", 2000.0),
        ("s", "ms", 2000.0),
    ):
        suffix = "" if unit == "1" else unit
        ts = TaskSet(C=[f"1{suffix}", f"0.5{suffix}"], T=[f"2{suffix}", f"2{suffix}"])
        made = ts.simulate()
        figure = all_of(made)
        assert figure.layout.xaxis.title.text == f"time, {'ns' if unit == 'us' else drawn}"
        assert max(e for _, _, e in spans(figure, "run")) == pytest.approx(1500 if unit == "us" else end * 0.75)
    assert Scale.of({"per_unit": 12, "unit": ""}, 100)(6) == 0.5
    assert Scale.of({"per_unit": 12, "unit": ""}, 100).words(7) == "7/12"
    assert Scale.of({"per_unit": 2, "unit": "ns"}, 2e10).axis("R") == "R, s"
    with pytest.raises(BadInput):
        Scale.of({"per_unit": 0}, 1)


def test_a_missed_deadline_is_crossed_and_counted() -> None:
    made = TaskSet(C=[3, 3, 5], T=[6, 9, 12]).simulate("rm", until=36)
    figure = plots.schedule_of(made)
    assert marks(figure)["missed"] == len(made.misses) == 3
    crosses = next(trace for trace in figure.data if trace.name == "missed")
    assert list(crosses.x) == [miss.t for miss in made.misses]
    assert set(crosses.y) == {-2.0}
    assert "3 deadlines missed" in figure.layout.title.text


@pytest.mark.parametrize("late", ["abort", "skip"])
def test_jobs_that_are_lost_are_missed(late: str) -> None:
    made = TaskSet(C=[3, 3, 5], T=[6, 9, 12]).simulate("rm", until=36, late=late)
    figure = reads(plots.schedule_of(made))
    lost = made.jobs["outcome"].astype("str").isin(["late", "aborted", "skipped", "unfinished"])
    assert marks(figure)["missed"] == int((lost & (made.jobs["deadline"] <= 36)).sum())


def test_the_window_and_the_bounds() -> None:
    ts = TaskSet(C=["1us", "1us"], T=["10us", "15us"])
    made = ts.simulate("rm", until="20ms")
    assert len(made.jobs) > 3000
    figure = reads(plots.schedule_of(made))
    assert marks(figure)["release"] == 13  # five periods of t2
    assert f"the first 13 of {len(made.jobs):,} jobs of 2 tasks" in figure.layout.title.text
    assert figure.layout.xaxis.range[1] == pytest.approx(75.75)
    figure = reads(all_of(made))
    assert marks(figure)["release"] == 300
    assert f"the first 300 of {len(made.jobs):,}" in figure.layout.title.text
    window = plots.schedule_of(made, start="5ms", length="60us")
    jobs = made.jobs[(made.jobs["release"] >= 5_000_000) & (made.jobs["release"] < 5_060_000)]
    assert marks(window)["release"] == len(jobs)
    assert window.layout.xaxis.range[0] == pytest.approx(4999.4)
    assert window.layout.xaxis.range[1] == pytest.approx(5060.6)
    for bad in ({"start": "1s"}, {"start": "x"}, {"length": "-1"}):
        with pytest.raises(BadInput):
            plots.schedule_of(made, **bad)
    with pytest.raises(BadInput):
        plots.schedule(made.jobs.iloc[:0], made.recording.header)


def test_at_first_sixty_jobs_are_drawn_and_later_misses_are_told() -> None:
    made = TaskSet(C=[1, 60], T=[2, 100], D=[2, 110]).simulate("rm", until=1000)
    figure = reads(plots.schedule_of(made))
    assert marks(figure)["release"] == 60
    late = made.jobs["outcome"].astype("str").isin(["late", "unfinished"])
    later = int((late & (made.jobs["deadline"] <= 1000)).sum()) - marks(figure).get("missed", 0)
    assert later > 0
    assert f"the first 60 of {len(made.jobs)} jobs of 2 tasks under rm" in figure.layout.title.text
    assert f": 1 deadline missed, {later} missed later" in figure.layout.title.text
    begins_late = TaskSet(C=[1], T=[10], offset=[500]).simulate(until=1000)
    assert marks(plots.schedule_of(begins_late))["release"] == 5


def test_a_job_in_a_thousand_pieces_is_bounded() -> None:
    made = TaskSet(C=["1us", "40ms"], T=["10us", "50ms"]).simulate("rm", until="50ms")
    jobs = made.jobs[made.jobs["task"] == "t2"]
    figure = plots.schedule(jobs, made.recording.header, made.segments, length="50ms")
    assert sum(count for name, count in marks(figure).items() if name in ("run", "preempted")) == 3000
    assert figure.layout.xaxis.range[1] < 50


def test_the_frame_alone_is_drawn_from_start_to_finish() -> None:
    made = TaskSet(LOCKS).simulate("fp", protocol="pip", until=30)
    figure = reads(made.jobs.rtnb.plot())
    jobs = zip(made.jobs["start"], made.jobs["finish"], strict=True)
    assert sorted((b, e) for _, b, e in spans(figure, "start to finish")) == sorted(jobs)
    waited = (made.jobs["start"] > made.jobs["release"]).sum()
    assert marks(figure)["waits"] == waited


def test_what_is_held_is_a_band_and_the_ceiling_a_lane() -> None:
    made = TaskSet(LOCKS).simulate("fp", protocol="icpp", until=30)
    figure = reads(plots.schedule_of(made))
    rows = made.segments[made.segments["resource"].astype("str") == "bus"]
    rows = rows[rows["state"] == "run"]
    assert marks(figure)["holds bus"] == len(rows) == 2
    assert [(b, e) for _, b, e in spans(figure, "holds bus")] == list(zip(rows["begin"], rows["end"], strict=True))
    assert list(figure.layout.yaxis.ticktext) == ["high", "mid", "low", "ceiling"]
    ceiling = next(trace for trace in figure.data if trace.name == "system ceiling")
    assert ceiling.line.shape == "hv"
    assert [x for x in ceiling.x if x < 30] == [0, *(t for t, _ in made.recording.header.details["ceilings"])]
    assert ceiling.y[0] == ceiling.y[-1] == pytest.approx(-3.4)
    assert max(ceiling.y) == pytest.approx(-2.6)


def test_a_band_lasts_from_lock_to_unlock_whoever_runs() -> None:
    made = TaskSet(LOCKS).simulate("fp", protocol="pip", until=30)
    assert spans(plots.schedule_of(made), "holds bus") == [(-2.24, 1, 6), (-0.24, 6, 7)]
    tables, header = made.recording.tables, made.recording.header
    told = plots.schedule(tables["jobs"], header, tables["segments"])  # without events: while it runs
    assert spans(told, "holds bus") == [(-2.24, 1, 4), (-2.24, 5, 6), (-0.24, 6, 7)]
    part = plots.schedule_of(made, start=2, length="3")
    assert spans(part, "holds bus") == [(-2.24, 2, 5)]


def test_a_ceiling_is_named_where_there_is_room_and_once() -> None:
    def named(C: list[int], T: list[int], sections: list[str]) -> list[str]:
        made = TaskSet(C=C, T=T, sections=sections).simulate("fp", protocol="icpp")
        figure = all_of(made)
        return [
            word
            for trace in figure.data
            if trace.type == "scatter" and trace.mode == "text"
            for word in trace.text
            if word
        ]

    assert named([4, 8], [20, 40], ["r@0:4", "r@0:8"]) == ["t1"]
    assert named([1, 1], [100, 200], ["r@0:1", "r@0:1"]) == []


def test_inheritance_and_deadlock_are_marked() -> None:
    made = TaskSet(LOCKS).simulate("fp", protocol="pip", until=30)
    inherited = (made.events["kind"].astype("str") == "inherit").sum()
    assert marks(plots.schedule_of(made))["inherit"] == inherited > 0
    ring = TaskSet("name C T offset sections\na 4 20 2 x@1:3,y@2:1\nb 4 20 0 y@1:3,x@2:1\n").simulate("fp", until=20)
    assert ring.deadlock
    figure = reads(plots.schedule_of(ring))
    assert marks(figure)["deadlock"] == 1
    assert "deadlock at 4, 1 deadline missed" in figure.layout.title.text
    assert spans(figure, "holds x") == [(-0.24, 3, 20)]
    assert spans(figure, "holds y") == [(-1.24, 1, 20)]
    bare = ring.recording.header
    told = plots.schedule(ring.jobs, replace(bare, notes=()), ring.segments, ring.events)
    assert told.layout.title.text == figure.layout.title.text


def test_a_servers_budget_is_a_lane_with_its_course() -> None:
    made = TaskSet(C=[2, 3], T=[7, 12]).simulate("fp", servers=[deferrable(2, 5, [(3, 3), (9, 1)])], until=24)
    figure = reads(plots.schedule_of(made))
    (server,) = made.recording.header.details["budget"]
    assert list(figure.layout.yaxis.ticktext) == ["t1", "t2", server, f"{server}: budget"]
    course = next(trace for trace in figure.data if trace.name.startswith("budget of"))
    x, y = np.array(course.x[:-2]), (np.array(course.y[:-2]) + 3.4) / 0.8 * 2
    for t, budget in made.budget(server):
        assert any(a == t and b == pytest.approx(float(budget)) for a, b in zip(x, y, strict=True))
    assert "all deadlines met" in figure.layout.title.text  # a request has none
    assert server not in [
        said.split(" ")[0] for trace in figure.data if trace.name == "deadline" for said in trace.hovertext
    ]


def test_several_cpus_are_told_apart_without_colour() -> None:
    made = TaskSet(C=[1, 1, 20], T=[19, 19, 20]).simulate("edf", cpus=2, until=60)
    figure = reads(plots.schedule_of(made))
    runs = {trace.name: trace for trace in figure.data if trace.name and trace.name.startswith("run")}
    assert set(runs) == {"run, CPU 0", "run, CPU 1"}
    assert [runs[name].marker.pattern.shape for name in sorted(runs)] == ["", "/"]
    for cpu in (0, 1):
        assert len(runs[f"run, CPU {cpu}"].x) == (made.segments["cpu"] == cpu).sum()
    (digits,) = (trace for trace in figure.data if trace.type == "scatter" and trace.mode == "markers+text")
    assert digits.marker.color == "#ffffff"
    wide = made.segments[(made.segments["cpu"] >= 0) & (made.segments["end"] - made.segments["begin"] >= 2)]
    assert sorted(digits.x) == sorted((wide["begin"] + wide["end"]) / 2)
    assert set(digits.text) == set(wide["cpu"].astype("str")) == {"0"}


def test_pointed_at_a_job_says_why_it_waited() -> None:
    made = TaskSet(C=[3, 3, 5], T=[7, 12, 20]).simulate()
    figure = plots.schedule_of(made)
    said = {
        tuple(mark): words
        for trace in figure.data
        if trace.customdata is not None
        for mark, words in zip(trace.customdata, trace.hovertext, strict=True)
    }
    assert said["t3", 1].endswith("t3 job 1, response 20 = 5 run + 15 preempted (t1 9, t2 6)")
    assert said["t1", 1].endswith("t1 job 1, response 3 = 3 run")
    blocked = TaskSet(LOCKS).simulate("fp", protocol="none", until=30)
    words = [w for trace in plots.schedule_of(blocked).data for w in trace.hovertext if "high job 1" in w]
    assert words
    assert "blocked (low, which holds bus)" in words[0]


def test_hostile_names_are_text() -> None:
    ts = TaskSet([(HOSTILE, 1, 4, 4), ("b", 1, 5, 5)])
    ladder = ts.analyse("rm")
    verdict = ladder["response"]
    figures = [
        plots.schedule_of(ts.simulate("rm")),
        ladder.frame.rtnb.plot(),
        ladder.bounds.rtnb.plot(),
        ts.frame.rtnb.plot(),
        plots.staircase(verdict, HOSTILE),
        plots.demand(ts),
        comparison([HOSTILE]).rtnb.plot(),
    ]
    for figure in figures:
        figure.update_traces(customdata=None, selector={"type": "bar"})  # data, which nothing shows
        assert "<img" not in figure.to_json().replace("\\u003c", "<")
        assert "<img" not in svg(reads(figure))
    panel = Panel(ts)
    assert "<img src=x" not in panel.view().to_html().split("base64")[0]
    assert "<img" not in panel.view().svg


# Tests.


def test_the_ladder_has_a_row_a_test() -> None:
    ladder = TaskSet(C=[3, 3, 5], T=[6, 9, 12]).analyse("rm")
    figure = reads(ladder.frame.rtnb.plot())
    counts = ladder.frame["schedulable"].astype("str").value_counts().to_dict()
    assert marks(figure) == counts
    columns = {trace.name: set(trace.x) for trace in figure.data if trace.name}
    assert columns["no"] == {0}
    assert columns["cannot tell"] == {1}
    assert "not schedulable" in figure.layout.title.text
    assert len(figure.layout.yaxis.ticktext) == len(ladder.frame)
    (words,) = (trace.text for trace in figure.data if trace.mode == "text")
    plain = [html.unescape(text.replace("<br>", " ").replace("<b>", "").replace("</b>", "")) for text in words]
    said = ["holds" if passed else "fails" for passed in ladder.frame["passed"]]
    assert plain == [f"{how}: {i}" for how, i in zip(said, ladder.frame["inequality"], strict=True)]
    assert "fails" in said
    assert svg(figure).count(">fails<") == said.count("fails")
    empty = ladder.frame.iloc[:0]
    assert "none can tell" in plots.ladder(empty, ladder.frame.rtnb.header).layout.title.text


def test_a_long_set_is_told_as_far_as_there_is_room_in_whole_words() -> None:
    names = ["control", "video", "log", "net"]
    ts = TaskSet([(name, 1, period) for name, period in zip(names, (40, 120, 300, 70), strict=True)])
    assert "log (1, 300), net (1, 70)" in ts.analyse("rm").frame.rtnb.plot().layout.title.subtitle.text
    many = TaskSet(C=[1] * 40, T=[100] * 40)
    told = many.frame.rtnb.plot().layout.title.subtitle.text
    assert 80 < len(told) <= 100
    assert told.endswith(" …")
    assert str(many).startswith(told.removesuffix(" …").split("taskset ")[1])


def test_the_bounds_stand_beside_the_deadlines() -> None:
    ts = TaskSet(C=[3, 3, 5], T=[6, 9, 12], D=[6, 5, 12])
    figure = reads(ts.analyse("fp").bounds.rtnb.plot())
    traces = {trace.name: trace for trace in figure.data}
    assert list(traces["R, within the deadline"].x) == [3]
    assert list(traces["R, past the deadline"].x) == [6]
    assert list(traces["unbounded"].y) == [2]
    assert list(traces["deadline"].x) == [6, 5, 12]
    assert figure.layout.yaxis.ticktext[0] == "t1  <b>3</b> of 6"
    assert "2 may be late" in figure.layout.title.text
    df = TaskSet(C=["1ms"], T=["20ms"]).analyse("rm").bounds
    assert reads(df.rtnb.plot()).layout.xaxis.title.text == "worst-case response time, ms"
    assert svg(plots.bounds(df.iloc[:0], df.rtnb.header))


def work(ts: TaskSet, at: int, t: Fraction) -> Fraction:
    """W(t) of the first job of the task at that place, in list order, without blocking: from its definition."""
    above = ts.order[: ts.order.index(at)]
    return ts[at].C + sum((-(-(t + ts[j].jitter) // ts[j].T) * ts[j].C for j in above), Fraction())


@pytest.mark.parametrize("jitter", [[0, 0, 0], [1, 0, 2]])
def test_the_staircase_is_the_work_and_ends_at_the_response_time(jitter: list[int]) -> None:
    ts = TaskSet(C=[3, 3, 5], T=[7, 12, 40], jitter=jitter)
    verdict = response_times(ts)
    figure = reads(plots.staircase(verdict, "t3"))
    curve = figure.data[0]
    x, y = np.array(curve.x), np.array(curve.y)
    for t in (Fraction(n, 2) for n in range(1, int(x[-1]) * 2)):
        drawn = y[np.searchsorted(x, float(t), side="left") - 1]
        assert drawn == work(ts, 2, t), t
    done = figure.data[-1]
    R = verdict.R[2]
    assert R is not None
    assert list(done.x) == [R - jitter[2]] == list(done.y)
    web = figure.data[2]
    assert set(map(float, verdict.iterates["t3"][0])) <= set(web.y)
    assert f"R = {R}, D = 40" in figure.layout.title.text


def test_the_staircase_of_the_worst_of_several_jobs() -> None:
    ts = TaskSet(C=[26, 62], T=[70, 100], D=[70, 118])
    verdict = response_times(ts)
    figure = reads(plots.staircase(verdict, "t2"))
    assert verdict.R[1] == 118
    assert "t2, job 5: R = 118, D = 118" in figure.layout.title.text
    assert list(figure.data[-1].x) == [518]
    assert list(plots.staircase(verdict, "t2", 1).data[-1].x) == [114]
    with pytest.raises(BadInput, match="job 99"):
        plots.staircase(verdict, "t2", 99)
    with pytest.raises(BadInput):
        plots.staircase(verdict, "t9")
    for job in ([], "1", 1.0, True):
        with pytest.raises(BadInput, match="whole number"):
            plots.staircase(verdict, "t2", job)  # type: ignore[arg-type]
    for what in (plots.demand, lambda nothing: plots.staircase(nothing, "t1")):
        with pytest.raises(BadInput, match="no verdict"):
            what(None)


@pytest.mark.parametrize("options", [{"blocking": [2, 3, 0]}, {"preemptive": False}, {"blocking": ["1/3", 0, 0]}])
def test_the_staircase_with_blocking_and_without_preemption(options: dict[str, Any]) -> None:
    verdict = response_times(TaskSet(C=[1, 2, 3], T=[6, 10, 20]), **options)
    for task in ("t1", "t2", "t3"):
        figure = reads(plots.staircase(verdict, task))
        assert list(figure.data[-1].x) == list(figure.data[-1].y)


def test_the_staircase_of_what_has_no_bound_and_of_another_test() -> None:
    ts = TaskSet(C=[3, 3, 5], T=[6, 9, 12])
    figure = reads(plots.staircase(response_times(ts), "t3"))
    assert "no bound on R" in figure.layout.title.text
    assert not [trace for trace in figure.data if trace.name.startswith("done")]
    for verdict in (qpa(TaskSet(C=[1], T=[4])), edf_response_times(TaskSet(C=[1, 2], T=[4, 6]))):
        with pytest.raises(BadInput):
            plots.staircase(verdict, "t1")


def test_a_staircase_of_a_million_steps_is_bounded() -> None:
    verdict = response_times(TaskSet(C=[1, 400_000], T=[2, 1_000_000]))
    figure = plots.staircase(verdict, "t2")
    assert len(figure.data[0].x) < 3000
    assert list(figure.data[-1].x) == [verdict.R[1]]


def test_the_demand_is_the_demand_bound_and_the_jumps_are_qpas() -> None:
    ts = TaskSet(C=[6, 2, 8, 4], T=[31, 10, 40, 50], D=[18, 9, 22, 40])
    verdict = qpa(ts)
    figure = reads(plots.demand(verdict))
    x, y = np.array(figure.data[0].x), np.array(figure.data[0].y)
    for t in range(int(x[-1])):
        assert y[np.searchsorted(x, t, side="right") - 1] == demand_bound(ts, t)
    looked = next(trace for trace in figure.data if trace.name == "where it looked")
    assert list(zip(looked.x, looked.y, strict=True)) == [(step.t, step.value) for step in verdict.steps]
    assert "never exceeds t" in figure.layout.title.text
    assert len(plots.demand(ts).data) == len(figure.data)


def test_the_first_excess_of_demand_is_crossed() -> None:
    ts = TaskSet(C=[2, 2, 3], T=[6, 8, 9], D=[4, 4, 6])
    verdict = processor_demand(ts)
    assert not verdict.passed
    figure = reads(plots.demand(verdict))
    cross = figure.data[-1]
    assert (cross.marker.symbol, cross.x[0], cross.y[0]) == (
        "x",
        verdict.witness.t,
        demand_bound(ts, verdict.witness.t),
    )  # type: ignore[union-attr]
    over = reads(plots.demand(TaskSet(C=[2, 3], T=[3, 4])))
    assert "fails: the demand exceeds t, first at 4" in over.layout.title.text
    assert (list(over.data[-1].x), list(over.data[-1].y)) == ([4], [5])
    assert over.data[-1].marker.symbol == "x"
    with pytest.raises(BadInput):
        plots.demand(response_times(ts))


def test_a_demand_that_holds_is_drawn_to_the_end_of_the_busy_period() -> None:
    ts = TaskSet(C=[6, 2, 8, 4], T=[31, 10, 40, 50], D=[18, 9, 22, 40])
    figure = plots.demand(qpa(ts, start=12))  # one jump
    assert figure.data[0].x[-1] == pytest.approx(1.05 * float(busy_period(ts) or 0))
    figure = plots.demand(TaskSet(C=[1, 2, 3], T=[5, 8, 15]))  # no deadline is below L*
    assert figure.data[0].x[-1] == pytest.approx(1.05 * 30)
    assert len(set(figure.data[0].y)) > 5
    assert plots.demand(TaskSet(C=[10**6, 10**6], T=[2 * 10**6, 2 * 10**6 + 1]))


def test_demand_with_many_deadlines_is_bounded() -> None:
    figure = plots.demand(TaskSet(C=[1, 1, 100_000], T=[3, 4, 10_000_000]))
    assert all(len(trace.x) < 3000 for trace in figure.data)


# Experiments.


def test_acceptance_has_a_curve_and_a_band_a_test() -> None:
    df = acceptance(["rm", "edf"], n=3, utilisations=[0.5, 0.8, 0.95], sets=40).tables["acceptance"]
    figure = reads(df.rtnb.plot())
    assert marks(figure) == {"rm": 3, "edf": 3}
    for name in ("rm", "edf"):
        at = next(at for at, trace in enumerate(figure.data) if trace.name == name)
        part = df[df["test"] == name]
        assert list(figure.data[at].y) == pytest.approx((100 * part["ratio"]).tolist())
        assert figure.data[at - 1].fill == "toself"
        assert sorted(figure.data[at - 1].y) == pytest.approx(sorted([*100 * part["low"], *100 * part["high"]]))
    reads(plots.acceptance(df.iloc[:0], df.rtnb.header))


def comparison(tasks: list[str], **changes: Any) -> pd.DataFrame:
    """Made-up lives of some tasks: a deadline of 10 ms, of which 40 % are predicted, and 30 % observed."""
    n, ms = len(tasks), 10**6
    columns: dict[str, Any] = {"task": tasks, "C_ns": [ms] * n, "deadline_ns": [10 * ms] * n}
    columns |= {"predicted_ns": [4 * ms] * n, "simulated_ns": [int(3.5 * ms)] * n, "observed_p50_ns": [ms] * n}
    columns |= {"observed_p99_ns": [2 * ms] * n, "observed_ns": [3 * ms] * n, "jobs": [100] * n, "late": [0] * n}
    columns |= {"missed": [0] * n, "holds": [True] * n, "assumption": ["none"] * n, "evidence": [""] * n}
    made = frame(Comparison, {**columns, **changes})
    return Recording(Header("lives", ("ts",), "test", kernel="6.18.44"), {"comparison": made}).tables["comparison"]


def test_the_three_lives_are_shares_of_the_deadline() -> None:
    figure = reads(comparison(["a", "b"]).rtnb.plot())
    found = {trace.name: list(trace.x) for trace in figure.data}
    assert found["predicted bound"] == [40, 40]
    assert found["simulated, max"] == [35, 35]
    assert found["observed p99"] == [20, 20]
    assert found["observed, max"] == [30, 30]
    assert found["observed, p50 to max"][:2] == [10, 30]
    assert "200 jobs of 2 tasks: within the bounds" in figure.layout.title.text
    assert figure.layout.shapes[0].x0 == 100


def test_where_a_bound_broke_the_assumption_is_told() -> None:
    changes = {"observed_ns": [5_000_000, None], "holds": [False, True], "assumption": ["overrun", "none"]}
    changes |= {"predicted_ns": [4_000_000, None], "observed_p50_ns": [1_000_000, None]}
    figure = reads(comparison(["a", "b"], **changes).rtnb.plot())
    found = {trace.name: list(trace.y) for trace in figure.data}
    assert found["observed above the bound"] == [0]
    assert "observed, max" not in found
    assert found["predicted bound"] == [0]
    assert figure.layout.yaxis.ticktext[0] == "a, D 10 ms<b>  overrun</b>"
    assert "above the bound of 1" in figure.layout.title.text


def test_exceedance_shows_what_was_measured_and_what_is_extrapolated() -> None:
    runs = np.random.default_rng(23).gumbel(100_000, 5000, 3000).round()
    estimate = wcet(runs, exceedance=[1e-3, 1e-6])
    figure = reads(estimate.curve.rtnb.plot())
    assert figure.layout.yaxis.type == "log"
    assert figure.layout.shapes[0].x0 == pytest.approx(runs.max() / 1000)
    assert {"measured", "95 % interval", estimate.law} == {trace.name for trace in figure.data}
    assert figure.layout.xaxis.title.text == "execution time, us"
    bounds = reads(estimate.frame.rtnb.plot())
    assert bounds.layout.xaxis.type == "log"
    assert bounds.layout.yaxis.ticktext[0].startswith("0.001 a run  <b>")
    drawn = {trace.name: trace for trace in bounds.data}
    assert list(drawn[estimate.law].x) == pytest.approx([bound.bound_ns / 1000 for bound in estimate.bounds])
    ends = [end / 1000 for bound in estimate.bounds for end in (bound.low_ns, bound.high_ns)]
    assert [x for x in drawn["95 % interval"].x if x is not None] == pytest.approx(ends)
    assert reads(wcet(runs, exceedance=1e-9).frame.rtnb.plot()).layout.yaxis.tickvals == (0,)
    assert svg(plots.exceedance(estimate.frame.iloc[:0], estimate.frame.rtnb.header))
    with pytest.raises(BadInput, match="curve"):
        estimate.assumptions.rtnb.plot()
    reads(plots.exceedance(estimate.curve.iloc[:0], estimate.curve.rtnb.header))


def test_a_table_without_a_picture_says_so() -> None:
    made = TaskSet(C=[1], T=[4]).simulate()
    with pytest.raises(BadInput):
        made.events.rtnb.plot()


# The panel's logic.


def test_a_slider_moves_the_verdict_the_picture_and_the_reason() -> None:
    panel = Panel(TaskSet(C=[1, 2], T=[4, 6]))
    before = panel.view()
    assert before.says == "schedulable under fp: U = 7/12 = 0.5833"
    after = panel.set("t1", "C", 3)
    assert after.says == "not schedulable under fp: U = 13/12 = 1.083"
    assert after.svg != before.svg
    assert after.ladder is not None
    assert set(after.ladder["schedulable"].astype("str")) >= {"no"}
    assert "<table" in after.table()
    assert "✗ no" in after.table()
    assert panel.taskset == TaskSet(C=[3, 2], T=[4, 6])
    assert panel.why("t2", 1).startswith("t2 job 1 ")
    assert "preempted (t1" in panel.why("t2", 1)
    assert panel.why("t2", 10**6) == ""


def test_every_job_of_the_picture_can_be_asked() -> None:
    import json
    import re
    from html import unescape

    panel = Panel(TaskSet(C=[1, 2, 3], T=[5, 8, 15]), "edf")
    view = panel.view()
    found = {tuple(json.loads(unescape(mark))) for mark in re.findall(r"data-mark=[\"']([^>]*?)[\"']>", view.svg)}
    assert panel.schedule is not None
    ran = panel.schedule.segments
    assert found == set(zip(ran["task"].astype("str"), ran["job"], strict=True))
    assert all(panel.why(task, job) for task, job in found)


@pytest.mark.parametrize("policy", ["fp", "rm", "dm", "edf", "llf"])
def test_every_policy_has_a_view(policy: str) -> None:
    view = Panel(TaskSet(C=[1, 2, 3], T=[5, 8, 15]), policy).view()
    assert view.says.startswith(f"schedulable under {policy}")
    assert f"under {policy}: all deadlines met" in view.svg
    with pytest.raises(BadInput):
        Panel(TaskSet(C=[1], T=[2])).choose("lifo")


def test_what_is_no_set_is_a_sentence() -> None:
    panel = Panel(TaskSet("name C T sections\na 3 9 r@1:2\nb 2 9 r@0:1"), protocol="pip")
    assert panel.view().ladder is not None
    view = panel.set("a", "C", 1)
    assert view.ladder is None
    assert "ends after its C" in view.says
    assert view.table() == ""
    assert panel.why("a", 1) == ""
    assert panel.set("a", "C", 3).ladder is not None
    with pytest.raises(BadInput, match="no such slider"):
        panel.set("c", "C", 1)


def test_what_is_shared_without_a_protocol_is_told() -> None:
    view = Panel(TaskSet(LOCKS)).view()
    assert any(note.startswith("bus: shared with no protocol") for note in view.notes)
    assert not any("no protocol" in note for note in Panel(TaskSet(LOCKS), protocol="inherit").view().notes)
    assert not Panel(TaskSet(C=[1], T=[4])).view().notes
    with pytest.raises(BadInput, match="protocol pipp"):
        Panel(TaskSet(LOCKS), protocol="pipp")


def test_values_stay_in_their_range_and_a_deadline_follows_its_period() -> None:
    panel = Panel(TaskSet(C=["1ms", "2ms"], T=["5ms", "8ms"], D=["5ms", "6ms"]))
    assert panel.step == 100_000  # a tenth of the greatest common divisor: 50 positions in the shortest period
    for (name, field), steps in panel.steps.items():
        low, high = panel.range(name, field)
        assert 1 == low <= steps <= high
        panel.set(name, field, 10**9)
        assert panel.steps[name, field] == high
        assert panel.set(name, field, -5).svg
        assert panel.steps[name, field] == low
        panel.set(name, field, steps)
    panel = Panel(TaskSet(C=["1ms", "2ms"], T=["5ms", "8ms"], D=["5ms", "6ms"]))
    panel.set("t1", "T", 70)
    assert (panel.taskset["t1"].T, panel.taskset["t1"].D) == (7_000_000, 7_000_000)
    panel.set("t2", "T", 70)
    assert (panel.taskset["t2"].T, panel.taskset["t2"].D) == (7_000_000, 6_000_000)


def test_a_late_miss_is_told() -> None:
    panel = Panel(TaskSet(C=[30, 71], T=[70, 100], D=[70, 400]))  # job 12 of t2 misses at 1500
    view = panel.view()
    assert view.says.startswith("not schedulable")
    assert panel.schedule is not None
    assert panel.schedule.met
    assert "no deadline is missed before" in view.notes[-1]


def test_an_update_of_ten_tasks_takes_less_than_a_tenth_of_a_second() -> None:
    ts = TaskSet(C=["1ms"] * 10, T=[f"{t}ms" for t in (10, 12, 15, 20, 20, 25, 30, 40, 50, 60)])
    for policy in ("fp", "edf", "llf"):
        panel = Panel(ts, policy)
        panel.view()
        took = []
        for steps in range(10, 17):
            begin = time.process_time()  # others may use this machine too
            panel.set("t3", "C", steps)
            took.append(time.process_time() - begin)
        assert min(took) < 0.1, policy


def test_a_hopeless_hyperperiod_and_odd_units_are_drawn_too() -> None:
    primes = [1009, 1013, 1019, 1021, 1031, 1033, 1039]
    assert Panel(TaskSet(C=[50] * 7, T=primes)).view().ladder is not None
    assert Panel(TaskSet(C=[1, 999], T=[2, 100_000])).view().ladder is not None
    assert Panel(TaskSet(C=["7/3", "1/4"], T=["29/4", 9])).step == Fraction(1, 12)
    assert Panel(TaskSet(C=["7ns"], T=["13s"]), "llf").view().svg
    with pytest.raises(BadInput, match="21 tasks"):
        Panel(TaskSet(C=[1] * 21, T=[100] * 21))


def test_the_panel_is_its_model_with_sliders() -> None:
    from rtnb.widgets import TaskSetPanel

    panel = TaskSetPanel(TaskSet(C=["1ms", "2ms"], T=["4ms", "6ms"]), "rm")
    slider = panel.sliders["t1", "C"]
    assert (slider.value, slider.min, slider.step, slider.description) == (1, 0.1, 0.1, "C, ms")
    slider.value = 3
    assert "not schedulable under rm: U = 13/12" in panel.says.value
    assert panel.taskset["t1"].C == 3_000_000
    panel.picture.chosen = ["t2", 1]
    assert panel.picture.words.startswith("t2 job 1 was released at 0")
    slider.value = 1
    assert "preempted (t1 1 ms)" in panel.picture.words
    panel.sliders["t1", "T"].value = 5
    assert panel.sliders["t1", "D"].value == 5
    panel.policy.value = "edf"
    assert "schedulable under edf" in panel.says.value
    for nonsense in (["t2"], ["zz", 1], [], ["b", "x"], [["a"], 1], ["t2", None], [None, 1], ["t2", 1.5]):
        panel.picture.chosen = nonsense
        assert "t2 job" not in panel.picture.words


def test_the_panel_has_a_static_form() -> None:
    import nbformat
    from nbconvert import HTMLExporter

    from rtnb.widgets import TaskSetPanel

    bundle = TaskSetPanel(TaskSet([("a", 1, 4), (HOSTILE, 2, 6)]))._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    output = nbformat.v4.new_output("display_data", data=bundle)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("panel", outputs=[output])])
    page, _ = HTMLExporter().from_notebook_node(notebook)
    assert page.count('src="data:image/svg+xml;base64,') == 1
    assert "rtnb-ladder" in page
    assert "<img src=x" not in page

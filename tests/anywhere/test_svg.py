# SPDX-License-Identifier: MIT
"""A figure as SVG, without a browser: every mark where plotly would put it, everything escaped, nothing on another."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

import rtnb
from rtnb.errors import BadInput
from rtnb.plots import save_svg, svg
from rtnb.plots.svg.axes import Axis
from rtnb.plots.svg.text import lines, number, text_width, wrapped
from rtnb.recording import BadRecording

SVG = "{http://www.w3.org/2000/svg}"
DATA = Path(__file__).parents[2] / "data"
HOSTILE = '<script>alert(1)</script>&"\x1b[31m\u202e\ud800]]>'


def read(figure: go.Figure) -> ET.Element:
    """The SVG of a figure, read as XML."""
    return ET.fromstring(svg(figure))


def boxes(root: ET.Element) -> list[dict[str, float]]:
    """The bars: rectangles within the clipped group."""
    marks = next(group for group in root.iter(f"{SVG}g") if group.get("clip-path"))
    found = [rect for rect in marks.iter(f"{SVG}rect") if not str(rect.get("fill")).startswith("url")]
    return [{name: float(rect.get(name, "nan")) for name in ("x", "y", "width", "height")} for rect in found]


def words(root: ET.Element) -> list[str]:
    """What is written on the picture."""
    return ["".join(element.itertext()) for element in root.iter(f"{SVG}text")]


def test_a_lying_bar_is_as_long_as_it_says() -> None:
    figure = go.Figure(go.Bar(x=[10, 20], base=[0, 5], y=[0, 1], width=0.5, orientation="h"))
    figure.update_layout(xaxis={"range": [0, 25]}, yaxis={"range": [-1, 2]}, barmode="overlay")
    first, second = boxes(read(figure))
    assert second["width"] == pytest.approx(2 * first["width"], abs=0.02)
    assert second["x"] - first["x"] == pytest.approx(first["width"] / 2, abs=0.02)
    assert first["y"] > second["y"]  # up the page
    assert first["height"] == pytest.approx(second["height"])
    assert first["y"] - second["y"] == pytest.approx(2 * first["height"], abs=0.02)


def test_upright_bars_stand_on_zero_and_on_the_foot_of_a_logarithm() -> None:
    figure = go.Figure(go.Bar(x=[1, 2, 3], y=[5, 10, -5]))
    one, two, below = boxes(read(figure))
    assert [one["y"] + one["height"], two["y"] + two["height"]] == pytest.approx([below["y"]] * 2, abs=0.03)
    assert [two["height"] / 2, one["height"]] == pytest.approx([below["height"]] * 2, abs=0.03)
    figure = go.Figure(go.Bar(x=[1, 2, 3], y=[1, 10, 100])).update_yaxes(type="log")
    heights = [box["height"] for box in boxes(read(figure))]
    assert heights[2] - heights[1] == pytest.approx(heights[1] - heights[0], abs=0.03)
    assert heights[0] > 0


def test_stacked_bars_follow_each_other() -> None:
    figure = go.Figure([go.Bar(x=[3, 1], y=[0, 1], orientation="h"), go.Bar(x=[2, 2], y=[0, 1], orientation="h")])
    a, b, c, d = boxes(read(figure.update_layout(barmode="stack")))
    assert c["x"] == pytest.approx(a["x"] + a["width"], abs=0.02)
    assert d["x"] == pytest.approx(b["x"] + b["width"], abs=0.02)
    with pytest.raises(BadInput, match="group"):
        svg(figure.update_layout(barmode="group"))


def test_steps_areas_and_gaps() -> None:
    figure = go.Figure(go.Scatter(x=[0, 1, 2], y=[0, 1, 3], line={"shape": "hv"}, mode="lines", fill="tozeroy"))
    paths = [path.get("d", "") for path in read(figure).iter(f"{SVG}path")]
    area, line = paths
    assert line.count("L") == 4
    assert area.endswith("z")
    assert area.count("L") == 6
    y = [float(point.split(",")[1]) for point in re.split("[ML]", line)[1:]]
    assert y[0] == y[1] > y[2] == y[3] > y[4]
    figure = go.Figure(go.Scatter(x=[0, 1, 2, 3], y=[1, 2, None, 4], mode="lines"))
    (path,) = (path.get("d", "") for path in read(figure).iter(f"{SVG}path"))
    assert path.count("M") == 2


def test_markers_shapes_and_annotations_are_at_their_places() -> None:
    figure = go.Figure(go.Scatter(x=[10], y=[100], mode="markers", marker={"symbol": "diamond", "size": 20}))
    figure.update_layout(xaxis={"range": [0, 20]}, yaxis={"range": [1, 3], "type": "log"})
    figure.add_vline(x=10).add_annotation(x=10, y=2, text="here", showarrow=False, xanchor="left")
    root = read(figure)
    (mark,) = (path for path in root.iter(f"{SVG}path"))
    match = re.match(r"translate\(([\d.]+) ([\d.]+)\) scale\(10\)", mark.get("transform", ""))
    assert match
    x, y = float(match[1]), float(match[2])
    line = next(line for line in root.iter(f"{SVG}line") if line.get("stroke") == "#444444")
    assert float(line.get("x1", 0)) == float(line.get("x2", 0)) == x
    note = next(element for element in root.iter(f"{SVG}text") if element.text == "here")
    assert float(note.get("x", 0)) == x
    assert abs(float(note.get("y", 0)) - y) < 6
    with pytest.raises(BadInput, match="hexagram"):
        svg(figure.update_traces(marker={"symbol": "hexagram"}))


def test_everything_is_escaped() -> None:
    import html

    name = html.escape(HOSTILE.replace("\ud800", ""))
    figure = go.Figure(
        go.Bar(x=[1], y=[0], orientation="h", name=name, hovertext=[name], customdata=[[HOSTILE[:8], 1]])
    )
    figure.add_trace(go.Scatter(x=[1], y=[0], name=name, mode="markers+text", text=[name]))
    figure.update_layout(title={"text": name, "subtitle": {"text": name}}, showlegend=True)
    figure.update_xaxes(title=name, tickvals=[0, 1], ticktext=[name, HOSTILE[:8]]).add_annotation(x=0, y=0, text=name)
    made = svg(figure)
    root = ET.fromstring(made)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        *(
            "svg",
            "title",
            "desc",
            "defs",
            "clipPath",
            "rect",
            "g",
            "line",
            "text",
            "tspan",
            "path",
            "circle",
            "pattern",
        ),
    }
    assert not [key for element in root.iter() for key in element.attrib if key.startswith("on") or "href" in key]
    assert "\x1b" not in made
    assert "\u202e" not in made
    assert "\\x1b[31m\\u202e" in made
    said = words(root)
    assert sum("<script>alert(1)</script>" in text for text in said) >= 5
    (mark,) = (element.get("data-mark") for element in root.iter() if element.get("data-mark"))
    assert mark == '["<script>", 1]'
    assert next(iter(root.iter(f"{SVG}g"))).find(f".//{SVG}title").text.startswith("<script>")  # type: ignore[union-attr]


def test_it_can_be_read_without_being_seen() -> None:
    figure = go.Figure(go.Bar(x=[1, 2], y=[3, 4], name="runs"))
    root = read(figure.update_layout(title={"text": "How <b>long</b>", "subtitle": {"text": "live &lt; 3"}}))
    ids = root.get("aria-labelledby", "").split()
    title, desc = (next(element for element in root.iter() if element.get("id") == name) for name in ids)
    assert (root.get("role"), title.text, desc.text) == ("img", "How long", "live < 3. Drawn: runs (2).")


def test_two_pictures_in_one_document_do_not_share_an_id() -> None:
    found = []
    for name in ("a", "b"):
        figure = go.Figure(go.Bar(x=[1], y=[1], name=name, marker={"pattern": {"shape": "/"}}))
        found += [element.get("id") for element in read(figure).iter() if element.get("id")]
    assert len(set(found)) == len(found) == 8


def test_a_long_title_is_broken_and_a_long_name_cut() -> None:
    figure = go.Figure(go.Bar(x=[1], y=[0], orientation="h")).update_layout(title="word " * 60, font={"size": 15})
    figure.update_yaxes(tickvals=[0], ticktext=["n" * 300])
    root = read(figure)
    title = [line for line in words(root) if "word" in line]
    assert len(title) > 1
    assert max(text_width(line, 15 * 1.25) for line in title) <= 900
    (name,) = (line for line in words(root) if line.startswith("nnn"))
    assert name.endswith("…")
    assert text_width(name, 15) <= 0.46 * 900


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _areas(root: ET.Element) -> list[tuple[str, tuple[float, ...]]]:
    """Where each text that is not turned stands: left, top, right, bottom."""
    found = []
    for element in root.iter(f"{SVG}text"):
        if element.get("transform"):
            continue
        said, size = "".join(element.itertext()), float(element.get("font-size", 0))
        wide = text_width(said, size, element.find(f"{SVG}tspan") is not None)
        x, y = float(element.get("x", 0)), float(element.get("y", 0))
        x -= {"middle": wide / 2, "end": wide}.get(element.get("text-anchor", ""), 0)
        found.append((said, (x, y - 0.75 * size, x + wide, y + 0.2 * size)))
    return found


def _recordings() -> list[Any]:
    found = []
    for folder in sorted(DATA.iterdir()):
        try:
            recording = rtnb.load(folder)
        except BadRecording:
            continue
        for name, df in recording.tables.items():
            if name in ("calls", "counters", "jobs", "causes", "threads", "summary"):
                found.append(pytest.param(df, id=f"{folder.name}-{name}"))
    return found


@pytest.mark.parametrize("df", _recordings())
def test_the_figures_of_the_course_are_drawn_and_no_word_stands_on_another(df: Any) -> None:
    figure = df.rtnb.plot()
    root = read(figure)
    said = words(root)
    assert any("recorded" in line for line in said)
    bars = sum(len(trace.y) for trace in figure.data if trace.type == "bar")
    assert len(boxes(root)) <= bars
    areas = _areas(root)
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    for at, (name, area) in enumerate(areas):
        assert area[0] >= -1, name
        assert area[2] <= width + 1, name
        assert area[3] <= height + 1, name
        assert not [other for other, place in areas[at + 1 :] if _overlap(area, place)], name


@pytest.mark.parametrize(
    "figure",
    [
        go.Figure(go.Histogram(x=[1, 2])),
        go.Figure(go.Heatmap(z=[[1]])),
        go.Figure(go.Bar(x=["a"], y=[1])),
        go.Figure(go.Scatter(x=[1], y=[1], yaxis="y2")),
        go.Figure(go.Scatter(x=[1, 2], y=[1, 2], line={"shape": "spline"})),
        go.Figure(go.Scatter(x=[1], y=[1], fill="tozerox")),
        go.Figure(go.Bar(x=[1], y=[1])).update_xaxes(type="category"),
        go.Figure().add_shape(type="circle", x0=0, x1=1, y0=0, y1=1),
    ],
    ids=["histogram", "heatmap", "names", "second axis", "spline", "tozerox", "category", "circle"],
)
def test_what_cannot_be_drawn_is_said(figure: go.Figure) -> None:
    with pytest.raises(BadInput, match="svg"):
        svg(figure)


def test_nothing_to_draw_is_a_picture_too() -> None:
    root = read(go.Figure().update_layout(title="No jobs"))
    assert "No jobs" in words(root)
    for trace in (go.Bar(x=[], y=[]), go.Scatter(x=[], y=[]), go.Scatter(x=[np.nan], y=[np.inf])):
        read(go.Figure(trace))


def test_save_svg_writes_it_or_says_why_not(tmp_path: Path) -> None:
    figure = go.Figure(go.Bar(x=[1], y=[1]))
    path = save_svg(figure, tmp_path / "x.svg")
    assert ET.parse(path).getroot().tag == f"{SVG}svg"
    for bad in (tmp_path / "none" / "x.svg", tmp_path, "a\0b"):
        with pytest.raises(BadInput, match="save_svg"):
            save_svg(figure, bad)


def test_ticks_are_round_and_inside() -> None:
    axis = Axis.of({}, [np.array([0.0, 97.0])]).on(0, 500)
    assert [word for _, word in axis.ticks(5)] == ["0", "20", "40", "60", "80", "100"]
    assert all(-0.5 <= at <= 500.5 for at, _ in axis.ticks(5))
    log = Axis.of({"type": "log"}, [np.array([1.0, 1e9])]).on(0, 500)
    assert [word for _, word in log.ticks(4)][:3] == ["1", "100", "10,000"]
    assert "10⁸" in [word for _, word in log.ticks(4)]
    few = Axis.of({"type": "log", "range": [0, 1]}, []).on(0, 500)
    assert [word for _, word in few.ticks(4)] == ["1", "2", "5", "10"]
    back = Axis.of({"autorange": "reversed"}, [np.array([0.0, 1.0])]).on(0, 100)
    assert back.pixel(0) > back.pixel(1)
    same = Axis.of({}, [np.array([7.0])]).on(0, 100)
    assert same.pixel(7) == pytest.approx(50)


def test_text_keeps_weight_and_breaks_only() -> None:
    (line,) = lines("a <i>b</i> <b>c &lt;</b>")
    assert line.parts == (("a ", False), ("b", False), (" ", False), ("c <", True))
    assert [row.words for row in lines("x<br>y<br/>z")] == ["x", "y", "z"]
    rows = wrapped("one two <b>three</b> four", 10, text_width("one two ", 10))
    assert [row.words for row in rows] == ["one two", "three", "four"]
    assert rows[1].parts == (("three", True),)
    assert [number(value) for value in (1.005, -0.001, 100, 2.5)] == ["1", "0", "100", "2.5"]

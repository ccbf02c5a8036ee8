# SPDX-License-Identifier: MIT
"""A task set, made of many things, with its units: what is wrong is told with its row; frames give it back."""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rtnb.errors import BadInput
from rtnb.theory import Section, Task, TaskSet
from rtnb.theory.exact import exact, in_ticks, ticks, words

TEXT = """
name     C    T     D     # what follows is not read
sensor   1ms  5ms   4ms

control  2ms  8ms   8ms
log      4ms  20ms  20ms
"""
MARKDOWN = """
| task    | wcet | period | deadline |
|---------|-----:|-------:|---------:|
| sensor  |  1ms |    5ms |      4ms |
| control |  2ms |    8ms |        - |
| log     |  4ms |   20ms |          |
"""
SENSOR = Task("sensor", 10**6, 5 * 10**6, 4 * 10**6, priority=1)
CONTROL = Task("control", 2 * 10**6, 8 * 10**6, 8 * 10**6, priority=2)
LOG = Task("log", 4 * 10**6, 20 * 10**6, 20 * 10**6, priority=3)
FORMS: dict[str, Callable[[], TaskSet]] = {
    "text": lambda: TaskSet(TEXT),
    "text, no first line": lambda: TaskSet("sensor 1ms 5ms 4ms\ncontrol 2ms 8ms\nlog 4ms 20ms"),
    "Markdown": lambda: TaskSet(MARKDOWN),
    "text, unit": lambda: TaskSet("sensor 1 5 4\ncontrol 2 8 8\nlog 4 20 20", unit="ms"),
    "tuples": lambda: TaskSet([("sensor", "1ms", "5ms", "4ms"), ("control", "2ms", "8ms"), ("log", "4ms", "20ms")]),
    "tuples, unit": lambda: TaskSet((("sensor", 1, 5, 4), ["control", 2, 8], ("log", 4, 20)), unit="ms"),
    "mappings": lambda: TaskSet(
        [
            {"task": "sensor", "wcet": "1000us", "period": "5ms", "deadline": "4ms", "prio": 1},
            {"name": "control", "C": "2ms", "T": "0.008s", "priority": 2},
            {"name": "log", "runtime": "4ms", "T": "20 ms", "D": None, "PRIO": 3.0},
        ]
    ),
    "Tasks": lambda: TaskSet([SENSOR, CONTROL, LOG], unit="ns"),
    "a set": lambda: TaskSet(TaskSet(TEXT)),
    "columns": lambda: TaskSet(
        name=["sensor", "control", "log"], C=["1ms", "2ms", "4ms"], T=["5ms", "8ms", "20ms"], D=["4ms", None, np.nan]
    ),
    "a mapping of columns": lambda: TaskSet(
        {"name": ["sensor", "control", "log"], "C": np.array([1, 2, 4]), "T": pd.Series([5, 8, 20]), "D": (4, 8, 20)},
        unit="ms",
    ),
    "a frame": lambda: TaskSet(
        pd.DataFrame({"name": ["sensor", "control", "log"], "C": [1, 2, 4], "T": [5, 8, 20], "D": [4, np.nan, 20.0]}),
        unit="ms",
    ),
    "its own frame": lambda: TaskSet(TaskSet(TEXT).frame),
    "a generator": lambda: TaskSet(iter([("sensor", 1, 5, 4), ("control", 2, 8), ("log", 4, 20)]), unit="ms"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_set_is_made_of_many_things(form: str) -> None:
    ts = FORMS[form]()
    assert ts.tasks == (SENSOR, CONTROL, LOG)
    assert (ts.unit, ts) == ("ns", TaskSet(TEXT))
    assert hash(ts) == hash(TaskSet(TEXT))
    assert str(ts) == "sensor (1 ms, 5 ms, 4 ms), control (2 ms, 8 ms), log (4 ms, 20 ms)"


def test_without_names_or_units() -> None:
    ts = TaskSet([(1, "7/3"), ("0.5", 4, 3), (Fraction(1, 3), Decimal("2.5"))])
    assert [(t.name, t.C, t.T, t.D) for t in ts] == [
        ("t1", 1, Fraction(7, 3), Fraction(7, 3)),
        ("t2", Fraction(1, 2), 4, 3),
        ("t3", Fraction(1, 3), Fraction(5, 2), Fraction(5, 2)),
    ]
    assert (ts.unit, ts.per_unit) == ("", 6)
    assert (ts.in_ticks("C"), ts.in_ticks("T")) == ([6, 3, 2], [14, 24, 15])
    assert ts.hyperperiod == Fraction(840, 6)
    assert isinstance(ts.hyperperiod, int)
    assert ts.from_ticks(7) == Fraction(7, 6)
    assert Fraction(3, 7) + Fraction(1, 8) + Fraction(2, 15) == ts.U
    assert ts.density == Fraction(3, 7) + Fraction(1, 6) + Fraction(2, 15)
    assert all(type(time) in (int, Fraction) for t in ts for time in (t.C, t.T, t.D))


def test_one_value_holds_for_all() -> None:
    ts = TaskSet(C=[1, 2], T=9, jitter=1, offset="1/2", cpu=0)
    assert [(t.T, t.jitter, t.offset, t.cpu) for t in ts] == [(9, 1, Fraction(1, 2), 0)] * 2
    assert len(TaskSet(C=1, T=2)) == 1


def test_a_set_is_a_sequence() -> None:
    ts = TaskSet(TEXT)
    assert (len(ts), ts[0], ts[-1], ts["log"], ts[1:]) == (3, SENSOR, LOG, LOG, (CONTROL, LOG))
    assert (ts.index("log"), ts.index(CONTROL), CONTROL in ts, list(ts)) == (2, 1, True, [SENSOR, CONTROL, LOG])
    assert ts != "sensor"
    assert ts != TaskSet(C=[1], T=[2])
    with pytest.raises(BadInput, match="one of sensor, control, log"):
        ts["logger"]


def test_order_and_priorities() -> None:
    ts = TaskSet("name C T prio\na 1 4 30\nb 1 5 -2\nc 1 6 7")
    assert (ts.order, [t.priority for t in ts]) == ([1, 2, 0], [30, -2, 7])
    other = ts.with_priorities([2, 0, 1])
    assert ([t.priority for t in other], other.order, [t.name for t in other]) == ([2, 3, 1], [2, 0, 1], list("abc"))
    assert ts.order == [1, 2, 0]


def test_with_gives_another_set() -> None:
    ts = TaskSet(TEXT)
    other = ts.with_(D=["3ms", "7ms", "9ms"], jitter="1us")
    assert [t.D for t in other] == [3_000_000, 7_000_000, 9_000_000]
    assert [t.jitter for t in other] == [1000] * 3
    assert [t.D for t in ts] == [4_000_000, 8_000_000, 20_000_000]
    assert Fraction(1, 2) == TaskSet(C=[1, 2], T=[4, 8]).with_(deadline=[3, "1/2"])[1].D
    with pytest.raises(BadInput, match="column D: 2 values for 3 tasks"):
        ts.with_(D=["1ms", "2ms"])
    with pytest.raises(BadInput, match="no such field"):
        ts.with_(speed=3)


def test_critical_sections() -> None:
    ts = TaskSet("name C T sections\na 9 20 bus@1:6,log@2:1\nb 9 30 bus:2,log:1\nc 1 40 -")
    assert ts["a"].sections == (Section("bus", 1, 6), Section("log", 2, 1))
    assert ts["b"].sections == (Section("bus", 0, 2), Section("log", 2, 1))
    assert ts["c"].sections == ()
    assert [s.end for s in ts["a"].sections] == [7, 3]
    given = TaskSet(C=["3ms"], T=["9ms"], sections=[[("bus", "500us", "1ms"), "log@2ms:1ms"]])
    assert given[0].sections == (Section("bus", 500_000, 10**6), Section("log", 2 * 10**6, 10**6))
    for each in (ts, given):
        assert TaskSet(each.frame) == each


ROWS: list[tuple[str, str, str]] = [
    ("a 1 4\nb 2", "row 2 (b)", "it has no T"),
    ("a 1 4\nb x 8", "row 2 (b)", "C x: not a time"),
    ("a 1 4\nb 1 8 -3", "row 2 (b)", "a time is not below zero"),
    ("a 1 4\nb 0 8", "row 2 (b)", "C must be above zero"),
    ("a 1 4\nb 1 0", "row 2 (b)", "T must be above zero"),
    ("a 1 4\nb 1 8 0", "row 2 (b)", "D must be above zero"),
    ("a 1 4\nb 1/0 8", "row 2 (b)", "divides by zero"),
    ("a 1 4\nb 1 8 1e3", "row 2 (b)", "D 1e3: not a time"),
    ("a 1 4\nb 1 8weeks", "row 2 (b)", "T 8weeks: not a time"),
    ("a 1 4\nb 1ms 8", "row 2 (b)", "some times have a unit, and others none"),
    ("a 1ms 4ms\nb 1 8", "row 2 (b)", "some times have a unit, and others none"),
    ("a 1 4\na 1 8", "row 2 (a)", "a task of that name above"),
    ("a 1 4\nt1 1 4\n2 3 4 5 6 7 8 9 10 11", "row 3 (2)", "10 words"),
    ("name C T prio\na 1 4 2\nb 1 8 2", "row 2 (b)", "a task of priority 2 above"),
    ("name C T prio\na 1 4 2\nb 1 8 -", "row 2 (b)", "it has no priority, and others have"),
    ("name C T prio\na 1 4 2\nb 1 8 1.5", "row 2 (b)", "priority 1.5: not a whole number"),
    ("name C T cpu\na 1 4 0\nb 1 8 -1", "row 2 (b)", "there is no cpu -1"),
    ("name C T cpu\na 1 4 0\nb 1 8 inf", "row 2 (b)", "cpu inf: not a whole number"),
    ("name C T D\na 1 4 4\n" + "b" * 32 + " 1 8 8", "row 2 (" + "b" * 32 + ")", "1 to 31 bytes"),
    ("name C T\na 1 4\nb\x1b[31m 1 8", "row 2 (", "that can be printed"),
    ("name C T sections\na 1 4 -\nb 3 8 bus", "row 2 (b)", "not a critical section"),
    ("name C T sections\na 1 4 -\nb 3 8 bus@2:2", "row 2 (b)", "section bus@2:2 ends after its C, 3"),
    ("name C T sections\na 1 4 -\nb 3 8 bus:0", "row 2 (b)", "has no length"),
    ("name C T sections\na 1 4 -\nb 9 18 bus@1:4,bus@2:1", "row 2 (b)", "it holds bus already"),
    ("name C T sections\na 1 4 -\nb 9 18 bus@1:4,log@2:5", "row 2 (b)", "nested or apart"),
    ("name C T sections\na 1 4 -\nb 9 18 bus@4:1,log@2:1", "row 2 (b)", "nested or apart"),
    ("name C T sections\na 1ms 4ms -\nb 9ms 18ms bus@1:1", "row 2 (b)", "some times have a unit"),
]


@pytest.mark.parametrize(("text", "row", "why"), ROWS)
def test_what_is_wrong_is_told_with_its_row(text: str, row: str, why: str) -> None:
    with pytest.raises(BadInput) as e:
        TaskSet(text)
    assert e.value.tried.startswith(f"task set, {row}")
    assert why in e.value.why
    assert "\x1b" not in str(e.value)
    assert len(str(e.value).splitlines()) <= 2


def test_every_form_names_the_row() -> None:
    sources: list[Any] = [
        [(1, 4), (1, -4)],
        [{"C": 1, "T": 4}, {"C": 1, "T": "-4"}],
        {"C": [1, 1], "T": [4, -4]},
        pd.DataFrame({"C": [1, 1], "T": [4.5, -4.0]}),
        [(1, 4), 7],
        [(1, 4), (1,)],
        [(1, 4), "1 4"],
        [(1, 4), (True, 4)],
        [(1, 4), (float("inf"), 4)],
    ]
    for source in sources:
        with pytest.raises(BadInput, match="task set, row 2"):
            TaskSet(source)


def test_what_is_no_set() -> None:
    nothing: list[Any] = ["", "# nothing\n", [], "C T\n", pd.DataFrame({"C": [], "T": []})]
    for source in nothing:
        with pytest.raises(BadInput, match="there is no task"):
            TaskSet(source)
    for wrong, why in (
        (lambda: TaskSet(), "there is no task"),
        (lambda: TaskSet("a 1 4", C=[1]), "made of rows, or of columns"),
        (lambda: TaskSet(7), "a int is none"),  # type: ignore[arg-type]
        (lambda: TaskSet(C=[1, 2], T=[4]), "not equally long"),
        (lambda: TaskSet(C=[1], T=[4], unit="fortnight"), "not a unit of time"),
        (lambda: TaskSet(C=[1], T=[4], dedline=[3]), "did you mean deadline"),
        (lambda: TaskSet("name C period speed\na 1 4 3"), "no such field of a task"),
        (lambda: TaskSet(C=[1], D=[4]), "it has no T"),
    ):
        with pytest.raises(BadInput) as e:
            wrong()  # type: ignore[no-untyped-call]
        assert why in str(e.value)


def test_a_frame_is_whole_numbers_and_comes_back_the_same() -> None:
    ts = TaskSet(C=["7/3", 0.1], T=[5, "9/4"], jitter=[0, "1/8"], offset=[3, 0], cpu=[None, 1], priority=[2, 1])
    df = ts.frame
    details = df.attrs["rtnb"]["header"]["details"]
    assert (details["tick"], details["per_unit"], details["unit"]) == ("1/120", 120, "")
    assert list(df["C"]) == [280, 12]
    assert str(df["T"].dtype) == "int64"
    assert list(df["utilisation"]) == [float(Fraction(7, 15)), float(Fraction(4, 90))]
    assert TaskSet(df) == ts
    assert TaskSet(TEXT).frame.attrs["rtnb"]["header"]["details"]["tick"] == "1 ns"


def test_random_sets_come_back_from_their_frames_and_rows() -> None:
    rng = random.Random(5)
    for _ in range(150):
        n, unit = rng.randint(1, 6), rng.choice(("", "us", "ms"))
        row = lambda: Fraction(rng.randint(1, 99), rng.choice((1, 1, 2, 5, 8)))  # noqa: E731
        columns: dict[str, Any] = {field: [row() for _ in range(n)] for field in ("C", "T", "D", "jitter", "offset")}
        columns["priority"] = rng.sample(range(-50, 50), n)
        columns["cpu"] = [rng.choice((None, 0, 3)) for _ in range(n)]
        ts = TaskSet(**columns, unit=unit)
        assert TaskSet(ts.frame) == ts
        assert TaskSet(list(ts), unit="ns" if unit else "") == ts
        times = {field: [str(time) for time in columns[field]] for field in ("C", "T", "D", "jitter", "offset")}
        assert TaskSet(pd.DataFrame({**columns, **times}), unit=unit) == ts
        markdown = pd.DataFrame({"name": [t.name for t in ts], **times, "prio": columns["priority"]}).astype(str)
        lines = [" | ".join(markdown.columns), "---|" * 7, *map(" | ".join, markdown.itertuples(index=False))]
        assert TaskSet("\n".join(f"| {line} |" for line in lines), unit=unit).with_(cpu=columns["cpu"]) == ts
        assert sum(C / T for C, T in zip(columns["C"], columns["T"], strict=True)) == ts.U


def test_times_are_exact() -> None:
    assert exact(0.1, "C") == (Fraction(1, 10), "")
    assert exact("1.5us", "C") == (1500, "ns")
    assert exact(3, "C", "ms") == (3_000_000, "ns")
    assert exact("1/3ms", "C") == (Fraction(10**6, 3), "ns")
    assert exact(np.int64(7), "C") == (7, "")
    assert exact(np.float64(0.25), "C") == (Fraction(1, 4), "")
    assert exact(1e21, "C") == (10**21, "")
    assert type(exact("4/2", "C")[0]) is int
    for wrong in ("", "ms", "1 2", "2mm", "1/2/3", None, True, float("nan"), [1], "9" * 41):
        with pytest.raises(BadInput):
            exact(wrong, "C")
    assert (ticks([1, Fraction(1, 6), Fraction(3, 4)]), in_ticks(Fraction(3, 4), 12)) == (12, 9)
    with pytest.raises(ValueError, match="no whole number of 1/2"):
        in_ticks(Fraction(1, 3), 2)
    assert (words(Fraction(1, 3)), words(1500, "ns"), words(None)) == ("1/3", "1.5 us", "none")

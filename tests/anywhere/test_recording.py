# SPDX-License-Identifier: MIT
"""A recording comes back as it went, and whatever else lies there gets a clear answer."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtnb import schema
from rtnb.errors import BadInput, BadRecording, NotPermitted, RtnbError
from rtnb.recording import Header, Recording, live_or, load
from rtnb.schema import column, table


@table("test.rows", version=3)
@dataclass(frozen=True)
class Row:
    """A row for these tests."""

    time_ns: int = column("int64", "ns", "a time")
    ret: int | None = column("Int64", "", "a result, or none")
    name: str = column("category", "", "a word")
    why: str = column("str", "", "a sentence")


def _recording(**changes: object) -> Recording:
    words = schema.category([0, 1, -1], ["read", "openat"])
    df = schema.frame(Row, {"time_ns": [1, 2, 3], "ret": [0, None, -2], "name": words, "why": ["", "<b>", "\x1b"]})
    header = Header("strace", ("ls", "-l"), "ptrace (C)", exit_status=0, details={"a": [1, {"b": None}]})
    return Recording(dataclasses.replace(header, **changes), {"rows": df})


def test_round_trip(tmp_path: Path) -> None:
    made = _recording()
    found = load(made.save(tmp_path / "deep" / "r"))
    assert found.header == dataclasses.replace(made.header, mode="recorded")
    pd.testing.assert_frame_equal(found.frame, made.frame)
    assert found.frame.dtypes.astype(str).to_dict() == made.frame.dtypes.astype(str).to_dict()
    assert found.frame.rtnb.header.source == ("ls", "-l")
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == ["r"]
    assert sorted(p.name for p in (tmp_path / "deep" / "r").iterdir()) == ["header.json", "rows.parquet"]


@pytest.mark.parametrize("words", [[], [None], [None, "read"]])
def test_a_column_of_no_words_comes_back(words: list[str | None], tmp_path: Path) -> None:
    n = len(words)
    made = schema.frame(Row, {"time_ns": [1] * n, "ret": [None] * n, "name": words, "why": [""] * n})
    found = load(Recording(Header("strace", ("ls",), "none"), {"rows": made}).save(tmp_path / "r"))
    pd.testing.assert_frame_equal(found.frame, made, check_categorical=False)


def test_only_a_recording_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(BadInput, match="not a recording"):
        _recording().save(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    _recording().save(tmp_path / "r")
    _recording(exit_status=7).save(tmp_path / "r")
    assert load(tmp_path / "r").header.exit_status == 7
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "r"]


def test_a_table_name_cannot_leave_the_folder() -> None:
    with pytest.raises(BadInput, match="table name"):
        Recording(_recording().header, {"../escape": pd.DataFrame()})


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda d: shutil.rmtree(d), "there is no such folder"),
        (lambda d: (d / "header.json").unlink(), "holds no header.json"),
        (lambda d: (d / "header.json").write_text("{"), "damaged"),
        (lambda d: (d / "header.json").write_text("[]"), "unknown format"),
        (lambda d: _edit(d, format="rtnb-recording/9"), "unknown format"),
        (lambda d: _edit(d, tables={"rows": {"table": "test.rows", "version": 4, "rows": 3}}), "unknown schema"),
        (lambda d: _edit(d, tables={"rows": {"table": "who.knows", "version": 1, "rows": 3}}), "unknown schema"),
        (lambda d: _edit(d, tables={"rows": {"table": "test.rows", "version": 3, "rows": 9}}), "damaged"),
        (lambda d: _edit(d, tables={"../r": {"table": "test.rows", "version": 3, "rows": 3}}), "damaged"),
        (lambda d: _edit(d, header={"kind": "strace"}), "lacks"),
        (lambda d: (d / "rows.parquet").write_bytes(b"PAR1 nothing"), "damaged"),
        (lambda d: (d / "rows.parquet").unlink(), "damaged"),
    ],
)
def test_damage_is_told(tmp_path: Path, damage: object, says: str) -> None:
    folder = _recording().save(tmp_path / "r")
    damage(folder)  # type: ignore[operator]
    with pytest.raises(BadRecording, match=says) as caught:
        load(folder)
    assert len(str(caught.value).split("\n")) <= 3


def _edit(folder: Path, **changes: object) -> None:
    raw = json.loads((folder / "header.json").read_text())
    (folder / "header.json").write_text(json.dumps({**raw, **changes}))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _recording().save(tmp_path_factory.mktemp("saved") / "r")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
header_fields = st.sampled_from([f.name for f in dataclasses.fields(Header)] + ["surprise"])


def _load_is_clear(folder: Path) -> None:
    """Either a recording, or a BadRecording: any other exception fails the test."""
    with contextlib.suppress(BadRecording):
        assert load(folder).header.mode == "recorded"


@settings(max_examples=200, deadline=None)
@given(changes=st.dictionaries(header_fields, json_values, min_size=1, max_size=4))
def test_fuzz_header(saved: Path, tmp_path_factory: pytest.TempPathFactory, changes: dict[str, object]) -> None:
    folder = tmp_path_factory.mktemp("f") / "r"
    shutil.copytree(saved, folder)
    raw = json.loads((folder / "header.json").read_text())
    raw["header"].update(changes)
    (folder / "header.json").write_text(json.dumps(raw))
    _load_is_clear(folder)


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(["header.json", "rows.parquet"]), at=st.floats(0, 1), new=st.binary(min_size=1, max_size=40)
)
def test_fuzz_bytes(saved: Path, tmp_path_factory: pytest.TempPathFactory, name: str, at: float, new: bytes) -> None:
    folder = tmp_path_factory.mktemp("f") / "r"
    shutil.copytree(saved, folder)
    raw = (folder / name).read_bytes()
    where = int(at * len(raw))
    (folder / name).write_bytes(raw[:where] + new + raw[where + len(new) :])
    _load_is_clear(folder)


def test_live_or_falls_back_on_unavailable_alone(tmp_path: Path) -> None:
    path = _recording().save(tmp_path / "r")

    def refused() -> Recording:
        raise NotPermitted("bpf(BPF_PROG_LOAD)", "CAP_BPF is missing", "grant it")

    def wrong() -> Recording:
        raise BadInput("event 'x'", "unknown")

    found = live_or(refused, path)
    assert found.header.mode == "recorded"
    assert "CAP_BPF is missing" in found.header.caption()
    assert found.header.caption().startswith("recorded ")
    for function, where in ((refused, None), (wrong, path)):
        with pytest.raises(RtnbError):
            live_or(function, where)


def test_a_frame_must_be_as_declared() -> None:
    with pytest.raises(TypeError, match="why"):
        schema.frame(Row, {"time_ns": [], "ret": [], "name": []})
    assert schema.empty(Row).dtypes.astype(str).to_dict() == {
        "time_ns": "int64",
        "ret": "Int64",
        "name": "category",
        "why": "str",
    }


def test_a_column_wants_a_sentence_and_a_known_dtype() -> None:
    with pytest.raises(TypeError, match="sentence"):
        column("int64", "ns", "")
    with pytest.raises(TypeError, match="uint64"):
        column("uint64", "ns", "wraps")

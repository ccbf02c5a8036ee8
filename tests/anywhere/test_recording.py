# SPDX-License-Identifier: MIT
"""A recording comes back as it went, and whatever else lies there gets a clear answer."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtnb import schema
from rtnb.errors import BadInput, BadRecording, CompileError, NotPermitted, RtnbError
from rtnb.recording import Header, Recording, Tables, live_or, load, load_header
from rtnb.schema import column, table
from rtnb.text import printable


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
        (lambda d: _edit_header(d, exit_status=True), "exit_status is bool"),
        (lambda d: _edit_header(d, lost=-1), "lost is below zero"),
        (lambda d: _edit_header(d, lost=False), "lost is bool"),
        (lambda d: _edit_header(d, duration_ns=-1), "duration_ns is below zero"),
        (lambda d: _edit_header(d, interrupted=1), "interrupted is int"),
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


def _edit_header(folder: Path, **changes: object) -> None:
    _edit(folder, header={**json.loads((folder / "header.json").read_text())["header"], **changes})


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
    """A recording, of which all can be asked, or an RtnbError: any other exception fails the test."""
    with contextlib.suppress(BadRecording):
        found = load(folder)
        assert found.header.mode == "recorded"
        assert found.header.caption().isprintable() or "\n" in found.header.caption()
        for df in found.tables.values():
            with contextlib.suppress(RtnbError):
                df.rtnb.summary()
            with contextlib.suppress(RtnbError):
                df.rtnb.plot()


def test_a_code_point_without_a_character_is_escaped_too() -> None:
    """Found by the test below: in a caption it would be whatever the reader's fonts make of it."""
    assert printable("a\U00018d09\u00a0\ue000 \u00e9") == "a\\U00018d09\\xa0\\ue000 \u00e9"


kinds = st.sampled_from(["strace", "perf_stat", "bpf", "rt_task", "evil"])
facts = st.fixed_dictionaries(
    {
        "table": st.sampled_from(["test.rows", "strace.calls", "strace.summary", "who.knows"]) | json_values,
        "version": st.sampled_from([0, 1, 3]) | json_values,
        "rows": st.just(3) | json_values,
    }
)
tables = st.dictionaries(st.sampled_from(["rows", "../r", ""]), facts | json_values, max_size=2) | json_values


@settings(max_examples=200, deadline=None)
@given(kind=kinds, changes=st.dictionaries(header_fields, json_values, max_size=4), tables=st.none() | tables)
def test_fuzz_header(
    saved: Path, tmp_path_factory: pytest.TempPathFactory, kind: str, changes: dict[str, object], tables: object
) -> None:
    folder = tmp_path_factory.mktemp("f") / "r"
    shutil.copytree(saved, folder)
    _edit_header(folder, **{"kind": kind, **changes})
    if tables is not None:
        _edit(folder, tables=tables)
    _load_is_clear(folder)


data = Path(__file__).parents[2] / "data"


@settings(max_examples=50, deadline=None)
@given(name=st.sampled_from(sorted(p.name for p in data.glob("00-*"))), kind=kinds, details=json_values)
def test_fuzz_the_kind_of_real_rows(
    tmp_path_factory: pytest.TempPathFactory, name: str, kind: str, details: object
) -> None:
    folder = tmp_path_factory.mktemp("f") / "r"
    shutil.copytree(data / name, folder)
    _edit_header(folder, kind=kind, details={"policy": details, "priority": details})
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


def test_any_word_of_an_argv_comes_back(tmp_path: Path) -> None:
    words = ("true", os.fsdecode(b"\xff"), "\ud800", "é", "\0")
    path = _recording(source=words, notes=("\x1b[31m",)).save(tmp_path / "r")
    assert (path / "header.json").read_bytes().isascii()
    assert load(path).header.source == load(path).frame.rtnb.header.source == load_header(path).source == words


def test_a_changed_frame_is_kept_as_it_is(tmp_path: Path) -> None:
    recording = load(data / "00-strace")
    df = recording.frame
    added, fewer, fewer_rows = df.copy(), df[["name", "dur_ns"]], df[df["ret"] == 0]
    added["dur_us"] = added["dur_ns"] / 1000
    for i, changed in enumerate((added, fewer, fewer_rows)):
        found = load(changed.rtnb.save(tmp_path / str(i)))
        pd.testing.assert_frame_equal(found.frame, changed)
        assert found.frame.rtnb.header.source == recording.header.source
        assert list(found.tables) == ["calls"]
    pd.testing.assert_frame_equal(load(tmp_path / "0").frame.rtnb.summary(), df.rtnb.summary())
    with pytest.raises(BadInput, match=r"it lacks .*kind"):
        load(tmp_path / "1").frame.rtnb.summary()
    with pytest.raises(BadInput, match="it lacks time_ns"):
        fewer[["name"]].rtnb.plot()


def test_what_parquet_cannot_hold_is_told(tmp_path: Path) -> None:
    _recording().save(tmp_path / "r")
    df = _recording().frame
    df["odd"] = [1, "two", [3]]
    with pytest.raises(BadInput, match="cannot be stored as Parquet"):
        df.rtnb.save(tmp_path / "r")
    assert "odd" not in load(tmp_path / "r").frame
    assert os.listdir(tmp_path) == ["r"]


def test_a_kind_that_nobody_knows(tmp_path: Path) -> None:
    df = load(_recording(kind="evil").save(tmp_path / "r")).frame
    with pytest.raises(BadInput, match="no summary for recordings of kind 'evil'"):
        df.rtnb.summary()
    with pytest.raises(BadInput, match="no figure for recordings of kind 'evil'"):
        df.rtnb.plot()


def test_a_new_header_leaves_the_old_recording_as_it_was() -> None:
    old = _recording()
    new = old.with_header(exit_status=7)
    assert (old.frame.rtnb.header.exit_status, new.frame.rtnb.header.exit_status) == (0, 7)
    assert np.shares_memory(old.frame["time_ns"].to_numpy(), new.frame["time_ns"].to_numpy())
    mine = pd.DataFrame({"a": [1]})
    Recording(old.header, {"rows": mine})
    assert mine.attrs == {}


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt(), MemoryError()])
def test_the_old_recording_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    target = _recording().save(tmp_path / "r")
    rename, left = Path.rename, [1]

    def failing(self: Path, to: Path) -> Path:
        if self.name == "new" and left:
            left.pop()
            assert not target.exists()  # it is between the two
            raise error
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(BadInput if isinstance(error, OSError) else type(error)):
        _recording(exit_status=7).save(target)
    assert load(target).header.exit_status == 0
    assert os.listdir(tmp_path) == ["r"]


def test_an_old_recording_that_cannot_come_back_is_not_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, rename = _recording().save(tmp_path / "r"), Path.rename

    def failing(self: Path, to: Path) -> Path:
        if to == target:
            raise OSError(5, "Input/output error")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(BadInput, match="Input/output error"):
        _recording(exit_status=7).save(target)
    (scratch,) = tmp_path.iterdir()
    assert load(scratch / "old").header.exit_status == 0


def test_saves_take_turns(tmp_path: Path) -> None:
    """Each wins: there is always a whole recording afterwards, and nothing beside it."""
    target = _recording(exit_status=0).save(tmp_path / "r")
    recordings = [_recording(exit_status=number) for number in range(1, 9)]
    start, told = threading.Barrier(len(recordings)), []

    def save(recording: Recording) -> None:
        start.wait()
        for _ in range(10):
            try:
                recording.save(target)
            except BadInput as e:
                told.append(e)

    threads = [threading.Thread(target=save, args=[recording]) for recording in recordings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == []
    assert load(target).header.exit_status in range(1, 9)
    assert os.listdir(tmp_path) == ["r"]


def test_a_save_that_comes_between_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be locked: the other's recording stands, this one is not there, the old one was replaced."""
    target, rename = _recording().save(tmp_path / "r"), Path.rename
    theirs = _recording(exit_status=9).save(tmp_path / "theirs")

    def overtaken(self: Path, to: Path) -> Path:
        if self.name == "new":
            rename(theirs, target)
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", overtaken)
    with pytest.raises(BadInput, match="another recording was saved there at the same time"):
        _recording(exit_status=7).save(target)
    assert load(target).header.exit_status == 9
    assert os.listdir(tmp_path) == ["r"]


PATHS = r"""
import sys, rtnb
from rtnb.recording import Header, Recording
made = Recording(Header("strace", ("ls",), "none"), {"rows": rtnb.load(sys.argv[1]).frame})
for path in (sys.argv[2], sys.argv[2] + "/r", "n" * 300, "a\0b", "\ud800", "~nosuchuser/r",
             sys.argv[1] + "/header.json/r"):
    for act in (rtnb.load, made.save):
        try:
            act(path)
        except rtnb.errors.RtnbError as e:
            print(type(e).__name__, str(e).isprintable() or "hint" in str(e))
"""


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="it takes root to be nobody")
def test_paths_that_lead_nowhere_as_nobody(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    _recording().save(closed / "r")
    done = subprocess.run(
        [sys.executable, "-c", PATHS, str(data / "00-strace"), str(closed)],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        user="nobody",
        group="nogroup",
        extra_groups=[],
    )
    assert (done.stdout, done.stderr) == ("BadRecording True\nBadInput True\n" * 7, "")


@pytest.mark.parametrize(("path", "says"), [("n" * 300, "File name too long"), ("a\0b", "NUL"), ("\ud800", "encode")])
def test_names_that_no_file_can_have(path: str, says: str) -> None:
    with pytest.raises(BadRecording, match=says):
        load(path)
    with pytest.raises(BadRecording, match=says):
        load_header(path)
    with pytest.raises(BadInput, match=says):
        _recording().save(path)


def test_what_others_wrote_does_nothing_to_a_terminal() -> None:
    hostile = "a\x1b[31m\u202eb\nc\udcff"
    escaped = r"a\x1b[31m\u202eb\nc\udcff"
    made = _recording(source=("ls", hostile), kernel=hostile, notes=(hostile,), refused=hostile, engine=hostile)
    lines = repr(made).split("\n")
    assert len(lines) == 4
    assert all(line.isprintable() for line in lines)
    assert made.header.caption().count(escaped) == 4
    assert _recording(source=("int x;\nint y;",)).header.caption().split(" · ")[1] == "strace cell"
    error = BadInput(f"run {hostile}", hostile, hostile)
    assert str(error) == f"run {escaped}: {escaped}\nhint: {escaped}"
    assert error._render_traceback_() == [f"BadInput: run {escaped}: {escaped}", f"hint: {escaped}"]
    two = CompileError("compile the cell", f"line 1: oops\n    int {hostile}", "a hint")
    assert str(two).split("\n") == ["compile the cell: line 1: oops", f"    int {escaped}", "hint: a hint"]


def test_tables_escape_their_names() -> None:
    assert "<script>" not in Tables({"<script>": pd.DataFrame()})._repr_html_()


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

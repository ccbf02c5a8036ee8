# SPDX-License-Identifier: MIT
"""Names, plans and frames of %strace, from made-up records: no kernel needed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rtnb
from rtnb import schema, strace
from rtnb.abi.syscall import NUMBERS
from rtnb.errors import BadInput
from rtnb.strace import frame, names

CORE_H = (Path(rtnb.__file__).parent / "_core" / "core.h").read_text()
pytestmark = pytest.mark.skipif(not NUMBERS, reason="no table of system calls for this machine")


def record(**fields: object) -> np.ndarray:
    rows = np.zeros(1, frame.RECORD)
    rows["string"], rows["dur_ns"], rows["nr"] = -1, -1, NUMBERS["getppid"]
    for name, value in fields.items():
        rows[name] = value
    return rows


def plain(column: pd.Series, none: str | None = "") -> list[str | None]:
    return [none if missing else word for word, missing in zip(column, column.isna(), strict=True)]


def test_a_record_is_laid_out_as_the_struct_of_core_h() -> None:
    body = re.search(r"struct trace_record \{(.*?)\};", CORE_H, re.DOTALL)[1]
    fields = re.findall(r"^\s*(u?int\d+)_t (\w+)(?:\[(\d)\])?;", body, re.MULTILINE)
    declared = [(name, np.dtype((kind, int(n))) if n else np.dtype(kind)) for kind, name, n in fields]
    assert declared == [(name, frame.RECORD.fields[name][0]) for name in frame.RECORD.names]
    assert frame.RECORD.itemsize == int(re.search(r"sizeof\(struct trace_record\) == (\d+)", CORE_H)[1])
    kinds = re.search(r"enum trace_kind \{ (.*?) \}", CORE_H)[1]
    assert kinds.lower().replace("trace_", "").split(", ") == list(frame.KINDS)


@pytest.mark.parametrize(
    ("given", "names_of"),
    [
        (None, None),
        ("all", None),
        ("read", ("read",)),
        ("trace=openat, read,openat", ("openat", "read")),
        (["openat", "read"], ("openat", "read")),
    ],
)
def test_names_are_taken_as_strace_takes_them(given: object, names_of: object) -> None:
    assert names.wanted(given) == names_of


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("opnat", "did you mean openat"),
        ("openat,", "a name is missing"),
        ("", "a name is missing"),
        ([], "a name is missing"),
        ("%file", "write the names of system calls"),
        ("open\x1bat", r"did you mean openat"),
    ],
)
def test_an_unknown_name_is_answered_with_the_closest(given: object, says: str) -> None:
    with pytest.raises(BadInput, match=says) as e:
        strace.run("true", trace=given)
    assert "\x1b" not in str(e.value)


def test_the_plan_says_of_each_number_whether_and_which_string() -> None:
    plan = names.plan(("openat", "read"))
    assert (plan[NUMBERS["openat"]], plan[NUMBERS["read"]]) == ("1", "-")
    assert plan.count(".") == len(plan) - 2
    assert plan[-1] == "."
    whole = names.plan(None)
    assert "." not in whole
    assert whole[NUMBERS["execve"]] == "0"
    assert whole[-1] == "-"


@pytest.mark.parametrize("name", names.PATH_ARGUMENT)
def test_every_call_with_a_path_is_a_system_call_somewhere(name: str) -> None:
    from rtnb.abi.syscall import AARCH64, X86_64

    assert name in X86_64 or name in AARCH64


def test_errors_and_signals_have_the_names_that_strace_prints() -> None:
    assert [names.errno_name(n) for n in (2, 11, 35, 95, 512, 516, 4000)] == [
        *("ENOENT", "EAGAIN", "EDEADLK", "EOPNOTSUPP", "ERESTARTSYS", "ERESTART_RESTARTBLOCK", "errno_4000")
    ]
    assert [names.signal_name(n) for n in (9, 29, 31, 32, 36, 64)] == [
        *("SIGKILL", "SIGIO", "SIGSYS", "SIGRTMIN", "SIGRT_4", "SIGRT_32")
    ]


def test_rows_are_in_order_of_entry_with_none_where_there_is_nothing() -> None:
    rows = np.concatenate(
        [
            record(time_ns=30, dur_ns=5, ret=-2, is_error=1, string=1, nr=NUMBERS["openat"], tid=2, pid=1),
            record(time_ns=10, args=[1, 2, 3, 4, 5, -6], string=0, nr=NUMBERS["execve"], tid=1, pid=1),
            record(time_ns=40, kind=1, nr=10),
            record(time_ns=50, kind=3, nr=-1, ret=7),
            record(time_ns=60, abi=1, nr=20, dur_ns=1),
            record(time_ns=70, nr=2047, dur_ns=1),
            record(time_ns=80, dur_ns=1, ret=-2),  # no error: a number that looks like one
        ]
    )
    df = frame.calls(rows, b"/bin/x\0a\x1b\xff\0")
    assert df["time_ns"].tolist() == [10, 30, 40, 50, 60, 70, 80]
    assert df.loc[0, [f"a{i}" for i in range(6)]].tolist() == [1, 2, 3, 4, 5, -6]
    assert df["ret"].tolist() == [pd.NA, -2, pd.NA, 7, 0, 0, -2]
    assert plain(df["errno"]) == ["", "ENOENT", "", "", "", "", ""]
    assert plain(df["path"]) == ["/bin/x", r"a\x1b\xff", "", "", "", "", ""]
    assert df["kind"].tolist() == ["call", "call", "signal", "exit", "call", "call", "call"]
    assert plain(df["name"])[:4] == ["execve", "openat", "SIGUSR1", ""]
    assert df["name"].iloc[4].endswith("_syscall_20")
    assert df["name"].iloc[5] == "syscall_0x7ff"


def test_no_rows_are_a_frame_of_the_same_columns() -> None:
    df = frame.calls(np.zeros(0, frame.RECORD), b"")
    assert df.dtypes.astype(str).to_dict() == schema.empty(strace.Call).dtypes.astype(str).to_dict()
    assert [c.name for c in schema.TABLES["strace.calls"].columns] == list(df.columns)
    assert strace.summary(df).empty


def test_a_call_told_twice_after_an_interrupt_is_there_once() -> None:
    rows = np.concatenate([record(time_ns=1, tid=5), record(time_ns=1, tid=6), record(time_ns=1, tid=5, dur_ns=9)])
    df = frame.calls(rows, b"", interrupted=True)
    assert df[["tid", "dur_ns"]].values.tolist() == [[6, pd.NA], [5, 9]]


@given(st.lists(st.binary(max_size=6).map(lambda b: b.replace(b"\0", b"")), max_size=30), st.data())
def test_each_row_gets_the_string_it_names(texts: list[bytes], data: st.DataObject) -> None:
    from rtnb.text import shown

    ordinals = data.draw(st.lists(st.integers(-1, len(texts) + 1), min_size=1, max_size=50))
    rows = np.concatenate([record(string=n) for n in ordinals])
    df = frame.calls(rows, b"".join(text + b"\0" for text in texts))
    expected = [shown(texts[n]) if 0 <= n < len(texts) else None for n in ordinals]
    assert plain(df["path"], None) == expected


def test_the_summary_counts_calls_alone() -> None:
    rows = np.concatenate(
        [
            record(time_ns=1, dur_ns=100, nr=NUMBERS["read"]),
            record(time_ns=2, dur_ns=300, nr=NUMBERS["read"], ret=-4, is_error=1),
            record(time_ns=3, dur_ns=600, nr=NUMBERS["close"]),
            record(time_ns=4, nr=NUMBERS["exit_group"]),
            record(time_ns=5, kind=1, nr=10),
            record(time_ns=6, kind=3, nr=-1),
        ]
    )
    counted = strace.summary(frame.calls(rows, b""))
    assert counted["name"].tolist() == ["close", "read", "exit_group"]
    assert counted[["calls", "errors", "time_ns"]].values.tolist() == [[1, 0, 600], [2, 1, 400], [1, 0, 0]]
    assert counted["mean_ns"].fillna(-1).tolist() == [600, 200, -1]
    assert counted["share"].tolist() == [0.6, 0.4, 0]
    assert counted.attrs["rtnb"]["table"] == "strace.summary"

# SPDX-License-Identifier: MIT
"""What is read from a cell's C, and what a verifier's log is made to say. No kernel is asked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rtnb import bpf
from rtnb.bpf import prelude
from rtnb.bpf.verifier import verdict

CELL = """\
struct { __uint(type, BPF_MAP_TYPE_HASH); __type(key, u32); __type(value, u64); } m SEC(".maps");
SEC("raw_tp/sys_enter") int f(void *ctx)
{
	u32 key = 0;
	u64 *n = bpf_map_lookup_elem(&m, &key);
	return *n;
}
"""


def test_comments_and_strings_name_nothing() -> None:
    read = prelude.read('/* struct mm_struct */ // u16\nSEC("tp_btf/BPF_ANY") int f(struct file *x) { return "u8"; }')
    assert read.tags == {"file"}
    assert read.words == {"SEC", "int", "f", "struct", "file", "x", "return"}


def test_what_the_cell_defines_is_not_asked_of_the_kernel() -> None:
    read = prelude.read("struct event { struct path p; }; enum color {RED}; struct event *e; enum color c;")
    assert read.tags == {"path"}


NEW = """\
0: R1=ctx() R10=fp0
; u64 *n = bpf_map_lookup_elem(&m, &key); @ cell:5
5: (85) call bpf_map_lookup_elem#1    ; R0=map_value_or_null(id=1,map=m,ks=4,vs=8)
; return *n; @ cell:6
6: (79) r0 = *(u64 *)(r0 +0)
R0 invalid mem access 'map_value_or_null'
processed 6 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""
OLD = NEW.replace(" @ cell:5", "").replace(" @ cell:6", "")


@pytest.mark.parametrize("log", [NEW, OLD], ids=["with line numbers", "with the line's text alone"])
def test_the_verifiers_last_word_is_put_against_the_cells_line(log: str) -> None:
    found = verdict(log, CELL)
    assert (found.line, found.text) == (6, "return *n;")
    assert found.why == "R0 invalid mem access 'map_value_or_null'"
    assert "test the pointer" in found.hint
    assert str(found) == "line 6: R0 invalid mem access 'map_value_or_null'\n    return *n;"


@pytest.mark.parametrize(
    ("log", "why", "hint"),
    [
        (
            "; for (;;) @ cell:3\n1: (05) goto pc-2\ninfinite loop detected at insn 1\ncur state: R0=scalar()\n"
            "old state: R0=scalar()\nprocessed 10 insns",
            "infinite loop detected at insn 1",
            "a loop must end",
        ),
        ("0: (95) exit\nR0 !read_ok\nprocessed 1 insns", "R0 !read_ok", "clang leaves out a read through NULL"),
        ("3: (7b) *(u64 *)(r10 -8) = r2\nR2 !read_ok\nprocessed 1 insns", "R2 !read_ok", "a value is used there"),
        (
            "11: (95) exit\nUnreleased reference id=2 alloc_insn=4\nBPF_EXIT would lead to reference leak\nprocessed 1",
            "BPF_EXIT would lead to reference leak",
            "bpf_ringbuf_discard on every path",
        ),
        ("", "the verifier refused it and did not say why", ""),
    ],
)
def test_each_refusal_has_its_reason_and_its_hint(log: str, why: str, hint: str) -> None:
    found = verdict(log, CELL)
    assert found.why == why
    assert hint in found.hint


def test_a_line_that_stands_twice_is_not_guessed() -> None:
    assert verdict("; return *n;\nR0 !read_ok", CELL + "return *n;\n").line == 0


def test_a_summary_has_a_row_a_column() -> None:
    df = pd.DataFrame({"comm": pd.Categorical(["a", "b", "a"]), "n": np.array([5, 1, 2]), "ok": [True, False, True]})
    made = bpf.summary(df).set_index("name")
    assert made.loc["comm", ["rows", "distinct", "most_common"]].tolist() == [3, 2, "a"]
    assert pd.isna(made.loc["comm", "max"])
    assert made.loc["n", ["min", "p50", "p99", "max", "total"]].tolist() == [1, 2, 5, 5, 8.0]
    assert made.loc["ok", "total"] == 2.0


def test_a_summary_of_no_rows_is_a_row_a_column_all_the_same() -> None:
    made = bpf.summary(pd.DataFrame({"n": pd.Series([], dtype="int64")}))
    assert made[["name", "rows", "distinct", "most_common"]].values.tolist() == [["n", 0, 0, ""]]

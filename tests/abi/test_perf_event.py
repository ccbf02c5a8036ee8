# SPDX-License-Identifier: MIT
"""Are the one-bit fields of struct perf_event_attr where ATTR_BITS says? C sets each and shows the word."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from rtnb.abi import perf_event

PROGRAM = """
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
int main(void) {{
    struct perf_event_attr attr;
    unsigned long long word;
    {show}
}}
"""
SHOW = """
    memset(&attr, 0, sizeof attr);
    attr.{bit} = 1;
    memcpy(&word, (char *)&attr + {offset}, sizeof word);
    printf("{bit} %llx\\n", word);
"""


def test_attr_bits_are_where_c_puts_them(tmp_path: Path) -> None:
    compiler = shutil.which("cc") or pytest.skip("no C compiler to ask where the bit fields are")
    offset = perf_event.perf_event_attr._bits.offset
    show = "".join(SHOW.format(bit=bit, offset=offset) for bit in perf_event.ATTR_BITS)
    (tmp_path / "bits.c").write_text(PROGRAM.format(show=show))
    subprocess.run([compiler, "-o", tmp_path / "bits", tmp_path / "bits.c"], check=True)
    said = subprocess.run([tmp_path / "bits"], capture_output=True, text=True, check=True).stdout
    words = dict(line.split() for line in said.splitlines())
    assert {bit: int(word, 16) for bit, word in words.items()} == {b: 1 << n for b, n in perf_event.ATTR_BITS.items()}


def test_an_unknown_bit_is_no_event() -> None:
    with pytest.raises(KeyError):
        perf_event.perf_event_open(perf_event.PERF_TYPE_SOFTWARE, 0, "no_such_bit")


def test_a_refusal_names_the_call() -> None:
    with pytest.raises(OSError, match="perf_event_open"):
        perf_event.perf_event_open(4711, 0)

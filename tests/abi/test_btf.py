# SPDX-License-Identifier: MIT
"""BTF: a blob made by hand, the running kernel's, and damaged ones."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from rtnb.abi import btf
from rtnb.abi.btf import Btf, Enumerator, Member

KERNEL = Path("/sys/kernel/btf/vmlinux")

NAMES = b"\0int\0point\0x\0y\0color\0RED\0BLUE\0alias\0.bss\0total\0big\0HUGE\0"


def at(name: str) -> int:
    return NAMES.index(b"\0" + name.encode() + b"\0") + 1


def kind(name: str, kind: int, size: int, *words: int, vlen: int = 0, flag: int = 0) -> bytes:
    head = (at(name) if name else 0, flag << 31 | kind << 24 | vlen, size)
    return struct.pack(f"<{3 + len(words)}I", *head, *(word & 0xFFFFFFFF for word in words))


TYPES = b"".join(
    [
        kind("int", btf.BTF_KIND_INT, 4, btf.BTF_INT_SIGNED << 24 | 32),  # 1
        kind("point", btf.BTF_KIND_STRUCT, 8, at("x"), 1, 0, at("y"), 1, 3 << 24 | 32, vlen=2, flag=1),  # 2
        kind("color", btf.BTF_KIND_ENUM, 4, at("RED"), -1, at("BLUE"), 7, vlen=2, flag=1),  # 3
        kind("alias", btf.BTF_KIND_TYPEDEF, 2),  # 4
        kind("", btf.BTF_KIND_CONST, 4),  # 5
        kind("", btf.BTF_KIND_ARRAY, 0, 5, 1, 3),  # 6: const alias[3]
        kind("total", btf.BTF_KIND_VAR, 1, btf.BTF_VAR_GLOBAL_ALLOCATED),  # 7
        kind(".bss", btf.BTF_KIND_DATASEC, 12, 7, 8, 4, vlen=1),  # 8
        kind("big", btf.BTF_KIND_ENUM64, 8, at("HUGE"), 0xFFFFFFFE, 0xFFFFFFFF, vlen=1),  # 9
        kind("", btf.BTF_KIND_PTR, 0),  # 10
    ]
)
HEAD = struct.pack("<HBBIIIII", btf.BTF_MAGIC, btf.BTF_VERSION, 0, 24, 0, len(TYPES), len(TYPES), len(NAMES))
BLOB = HEAD + TYPES + NAMES


def test_a_blob_made_by_hand_reads_back() -> None:
    made = Btf(BLOB)
    assert len(made) == 11  # with void
    assert (made[2].kind, made[2].name, made[2].size, made[2].vlen) == (btf.BTF_KIND_STRUCT, "point", 8, 2)
    assert made.members(2) == [Member("x", 1, 0, 0), Member("y", 1, 32, 3)]
    assert made.enumerators(3) == [Enumerator("RED", -1), Enumerator("BLUE", 7)]
    assert made.enumerators(9) == [Enumerator("HUGE", 0xFFFFFFFFFFFFFFFE)]
    assert made.resolve(5) == 2
    assert made.array(6) == (5, 3)
    assert made.encoding(1) == btf.BTF_INT_SIGNED
    assert made.find("point", btf.BTF_KIND_STRUCT) == 2
    assert [tuple(v) for v in made.variables(".bss")] == [("total", 1, 8, 4, btf.BTF_VAR_GLOBAL_ALLOCATED)]
    assert made.variables(".data") == []


def test_sizes_are_of_what_is_behind_the_names() -> None:
    made = Btf(BLOB)
    assert [made.sizeof(number) for number in (1, 2, 3, 4, 5, 6, 8, 9, 10)] == [4, 8, 4, 8, 8, 24, 12, 8, 8]
    with pytest.raises(KeyError):
        made.sizeof(0)


@pytest.mark.parametrize("cut", [0, 3, 23, 24, 40, len(HEAD) + len(TYPES) - 1, len(BLOB) - 1])
def test_a_blob_cut_short_is_refused(cut: int) -> None:
    with pytest.raises(OSError, match="btf"):
        Btf(BLOB[:cut])


def test_what_is_no_btf_is_refused() -> None:
    with pytest.raises(OSError, match="btf"):
        Btf(b"\x7fELF" + BLOB)


@pytest.mark.needs("bpf.btf")
def test_the_kernels_types_are_those_that_bpftool_lists() -> None:
    if not shutil.which("bpftool"):
        pytest.skip("bpftool is not installed")
    ours = Btf(KERNEL.read_bytes())
    listing = subprocess.run(["bpftool", "btf", "dump", "file", KERNEL], capture_output=True, text=True, check=True)
    last = int(re.findall(r"^\[(\d+)\]", listing.stdout, re.M)[-1])
    assert len(ours) == last + 1
    task = re.search(r"^\[(\d+)\] STRUCT 'task_struct' size=(\d+) vlen=(\d+)\n\t'(\w+)'", listing.stdout, re.M)
    assert task is not None
    number = ours.find("task_struct", btf.BTF_KIND_STRUCT)
    assert number == int(task[1])
    assert (ours[number].size, ours[number].vlen) == (int(task[2]), int(task[3]))
    assert ours.members(number)[0].name == task[4]

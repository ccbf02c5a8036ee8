# SPDX-License-Identifier: MIT
"""From bytes to columns without a kernel: layouts from BTF made by hand, and a ring buffer that is a plain file."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from rtnb.abi import btf as abi
from rtnb.abi.btf import Btf
from rtnb.bpf.layout import Layout, unlike
from rtnb.bpf.ring import Ring
from rtnb.errors import BadInput


@dataclass
class Blob:
    """BTF under construction: each add() returns the number of the type."""

    types: list[bytes] = field(default_factory=list)
    names: bytes = b"\0"

    def name(self, text: str) -> int:
        if not text:
            return 0
        self.names += text.encode() + b"\0"
        return len(self.names) - len(text) - 1

    def add(self, kind: int, name: str, size: int, *words: int, vlen: int = 0, flag: int = 0) -> int:
        head = (self.name(name), flag << 31 | kind << 24 | vlen, size)
        self.types.append(struct.pack(f"<{3 + len(words)}I", *head, *(w & 0xFFFFFFFF for w in words)))
        return len(self.types)

    def integer(self, name: str, size: int, encoding: int = 0) -> int:
        return self.add(abi.BTF_KIND_INT, name, size, encoding << 24 | size * 8)

    def array(self, element: int, count: int) -> int:
        return self.add(abi.BTF_KIND_ARRAY, "", 0, element, element, count)

    def struct(self, size: int, *members: tuple[str, int, int], kind: int = abi.BTF_KIND_STRUCT) -> int:
        """Members as (name, type, offset word); the flag is set, so a word's upper byte is the bits of a bit field."""
        words = [word for name, number, where in members for word in (self.name(name), number, where)]
        return self.add(kind, "made", size, *words, vlen=len(members), flag=1)

    def done(self) -> Btf:
        types = b"".join(self.types)
        head = struct.pack("<HBBIIIII", abi.BTF_MAGIC, 1, 0, 24, 0, len(types), len(types), len(self.names))
        return Btf(head + types + self.names)


def columns(blob: Blob, number: int, *rows: bytes) -> dict[str, list[object]]:
    layout = Layout(blob.done(), number, "value")
    raw = np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), layout.size)
    return {name: list(column) for name, column in layout.columns(raw).items()}


def test_a_scalar_is_one_column_and_no_type_is_unsigned() -> None:
    blob = Blob()
    u64 = blob.integer("unsigned long long", 8)
    assert columns(blob, u64, struct.pack("<Q", 5), struct.pack("<Q", 2**64 - 1)) == {"value": [5, -1]}
    u32 = blob.integer("unsigned int", 4)
    assert columns(blob, u32, struct.pack("<I", 2**32 - 1)) == {"value": [2**32 - 1]}
    layout = Layout(blob.done(), u32, "value")
    assert layout.columns(np.zeros((1, 4), np.uint8))["value"].dtype == "int64"


def test_members_become_columns_of_their_kind() -> None:
    blob = Blob()
    i32 = blob.integer("int", 4, abi.BTF_INT_SIGNED)
    char = blob.integer("char", 1, abi.BTF_INT_SIGNED)
    u8 = blob.integer("unsigned char", 1)
    flag = blob.integer("_Bool", 1, abi.BTF_INT_BOOL)
    pointer = blob.add(abi.BTF_KIND_PTR, "", 0)
    red, blue = blob.name("RED"), blob.name("BLUE")
    color = blob.add(abi.BTF_KIND_ENUM, "color", 4, red, 0, blue, 1, vlen=2)
    pair = blob.struct(8, ("left", i32, 0), ("right", i32, 32))
    comm, mac = blob.array(char, 6), blob.array(u8, 3)
    slots = blob.array(i32, 2)
    whole = blob.struct(
        48,
        ("at", pointer, 0),
        ("pair", pair, 64),
        ("", pair, 128),
        ("slots", slots, 192),
        ("color", color, 256),
        ("comm", comm, 288),
        ("mac", mac, 336),
        ("ok", flag, 360),
    )
    row = struct.pack("<qiiiiiiI6s3s?xx", 2**40, 1, -2, 3, -4, 5, -6, 1, b"ls\0xyz", b"\x01\xab\xff", True)
    assert columns(blob, whole, row) == {
        "at": [2**40],
        "pair_left": [1],
        "pair_right": [-2],
        "left": [3],
        "right": [-4],
        "slots_0": [5],
        "slots_1": [-6],
        "color": ["BLUE"],
        "comm": ["ls"],
        "mac": ["01abff"],
        "ok": [True],
    }


def test_bit_fields_are_cut_out_and_keep_their_sign() -> None:
    blob = Blob()
    u32 = blob.integer("unsigned int", 4)
    i32 = blob.integer("int", 4, abi.BTF_INT_SIGNED)
    bits = blob.struct(4, ("low", u32, 3 << 24), ("middle", i32, 5 << 24 | 3), ("high", u32, 20 << 24 | 12))
    value = 0b101 | (-3 & 0b11111) << 3 | 0xABCDE << 12
    assert columns(blob, bits, struct.pack("<I", value)) == {"low": [5], "middle": [-3], "high": [0xABCDE]}


@pytest.mark.parametrize("shift", [0, 3, 7])
@pytest.mark.parametrize("value", [0, 1, -1, 2**63 - 1, -(2**63), 0x0123456789ABCDEF])
@pytest.mark.parametrize("encoding", [0, abi.BTF_INT_SIGNED])
def test_a_bit_field_may_be_of_all_64_bits_and_begin_anywhere(shift: int, value: int, encoding: int) -> None:
    blob = Blob()
    long = blob.integer("long", 8, encoding)
    made = blob.struct(9, ("d", long, 64 << 24 | shift))
    row = (value % 2**64 << shift | (1 << shift) - 1).to_bytes(9, "little")
    assert columns(blob, made, row, bytes(9)) == {"d": [value, 0]}


def test_a_union_shows_each_of_its_members() -> None:
    blob = Blob()
    i32, i16 = blob.integer("int", 4, abi.BTF_INT_SIGNED), blob.integer("short", 2, abi.BTF_INT_SIGNED)
    both = blob.struct(4, ("whole", i32, 0), ("half", i16, 0), kind=abi.BTF_KIND_UNION)
    assert columns(blob, both, struct.pack("<i", 0x10002)) == {"whole": [0x10002], "half": [2]}


def test_an_enums_unknown_value_is_its_number() -> None:
    blob = Blob()
    color = blob.add(abi.BTF_KIND_ENUM, "color", 4, blob.name("RED"), 0, vlen=1)
    assert columns(blob, color, struct.pack("<I", 0), struct.pack("<I", 9)) == {"value": ["RED", "9"]}


def test_an_enums_largest_value_keeps_its_name() -> None:
    blob = Blob()
    top = 2**32 - 1
    all_ones = blob.add(abi.BTF_KIND_ENUM64, "mask", 8, blob.name("ALL"), top, top, vlen=1)
    rows = struct.pack("<Q", 2**64 - 1), struct.pack("<Q", 2**64 - 2)
    assert columns(blob, all_ones, *rows) == {"value": ["ALL", str(2**64 - 2)]}
    signed = blob.add(abi.BTF_KIND_ENUM64, "sign", 8, blob.name("MINUS"), top, top, vlen=1, flag=1)
    assert columns(blob, signed, *rows) == {"value": ["MINUS", "-2"]}


def test_text_ends_at_its_nul_and_hides_nothing() -> None:
    blob = Blob()
    comm = blob.array(blob.integer("char", 1, abi.BTF_INT_SIGNED), 6)
    rows = [b"sh\0\0\0\0", b"sh\0old", b"\x1b[0m\xff\n", b"\0older"]
    assert columns(blob, comm, *rows) == {"value": ["sh", "sh", "\\x1b[0m\\xff\\n", ""]}


def test_no_rows_keep_their_columns() -> None:
    blob = Blob()
    char = blob.array(blob.integer("char", 1), 4)
    number = blob.struct(4, ("name", char, 0))
    made = Layout(blob.done(), number, "value").columns(np.empty((0, 4), np.uint8))
    assert [(name, len(column)) for name, column in made.items()] == [("name", 0)]


def test_a_type_of_too_many_columns_is_refused() -> None:
    blob = Blob()
    element = blob.integer("int", 4)
    huge = blob.array(blob.array(element, 5), 1 << 28)
    with pytest.raises(BadInput, match=r"ring buffer events: it would make 1,342,177,280 columns"):
        Layout(blob.done(), huge, "value", "ring buffer events")
    most = blob.array(element, 1024)
    assert len(Layout(blob.done(), most, "value").leaves) == 1024


def test_names_that_are_alike_get_a_number() -> None:
    assert unlike("cpu", []) == "cpu"
    assert unlike("cpu", ["cpu", "cpu_2"]) == "cpu_3"


# ---- a ring buffer in a file: the consumer's page, the producer's, then the data twice ----

SIZE = 4096
PAGE = mmap.PAGESIZE


@dataclass
class FileRing:
    """As much of a MapHandle as a Ring asks for."""

    fd: int
    value_type: int
    name: str = "events"
    max_entries: int = SIZE
    written: int = 0

    def put(self, data: bytes, flags: int = 0) -> int:
        """Write a record as the kernel does; returns where its header is."""
        start = self.written
        record = struct.pack("<II", len(data) | flags, 0) + data
        record = record.ljust((len(record) + 7) // 8 * 8, b"\xee")
        for i, byte in enumerate(record):
            where = 2 * PAGE + (start + i) % SIZE
            os.pwrite(self.fd, bytes([byte]), where)
            os.pwrite(self.fd, bytes([byte]), where + SIZE)
        self.written += len(record)
        os.pwrite(self.fd, self.written.to_bytes(8, "little"), PAGE)
        return start

    def mark(self, start: int, length: int) -> None:
        for where in (2 * PAGE + start % SIZE, 2 * PAGE + start % SIZE + SIZE):
            os.pwrite(self.fd, struct.pack("<I", length), where)

    def consumed(self) -> int:
        return int.from_bytes(os.pread(self.fd, 8, 0), "little")


@pytest.fixture
def file_ring() -> Iterator[tuple[FileRing, Ring]]:
    blob = Blob()
    number = blob.integer("long long", 8, abi.BTF_INT_SIGNED)
    fd = os.memfd_create("ring")
    os.truncate(fd, 2 * PAGE + 2 * SIZE)
    handle = FileRing(fd, number)
    with Ring(handle, blob.done()) as ring:  # type: ignore[arg-type]
        yield handle, ring
    os.close(fd)


def value(number: int) -> bytes:
    return struct.pack("<q", number)


def test_a_drain_takes_each_record_once_and_in_order(file_ring: tuple[FileRing, Ring]) -> None:
    handle, ring = file_ring
    assert ring.drain()["value"].tolist() == []
    for i in range(23):
        handle.put(value(i))
    assert ring.drain()["value"].tolist() == list(range(23))
    assert handle.consumed() == handle.written
    handle.put(value(99))
    assert ring.drain()["value"].tolist() == [99]


def test_a_ring_goes_round_many_times(file_ring: tuple[FileRing, Ring]) -> None:
    handle, ring = file_ring
    met = []
    for start in range(0, 1100, 110):  # 16 bytes each in 4096: more than four times round
        for i in range(start, start + 110):
            handle.put(value(i))
        met += ring.drain()["value"].tolist()
    assert met == list(range(1100))
    assert handle.written > 4 * SIZE


def test_a_record_that_is_being_written_stops_the_drain(file_ring: tuple[FileRing, Ring]) -> None:
    handle, ring = file_ring
    handle.put(value(1))
    busy = handle.put(value(2), flags=1 << 31)
    handle.put(value(3))
    assert ring.drain()["value"].tolist() == [1]
    assert ring.drain()["value"].tolist() == []
    handle.mark(busy, 8)
    assert ring.drain()["value"].tolist() == [2, 3]


def test_discarded_records_are_passed_over(file_ring: tuple[FileRing, Ring]) -> None:
    handle, ring = file_ring
    for i in range(10):
        handle.put(value(i), flags=1 << 30 if i % 3 == 0 else 0)
    assert ring.drain()["value"].tolist() == [1, 2, 4, 5, 7, 8]
    assert ring.other == 0


def test_records_of_another_size_are_counted_and_left_out(file_ring: tuple[FileRing, Ring]) -> None:
    handle, ring = file_ring
    for i in range(6):
        handle.put(value(i))
        handle.put(b"abcde")
    assert ring.drain()["value"].tolist() == [0, 1, 2, 3, 4, 5]
    assert ring.other == 6
    assert "6 records were not of its declared 8 bytes" in ring.notes()[0]


def test_what_is_too_much_to_keep_is_counted(file_ring: tuple[FileRing, Ring], monkeypatch: pytest.MonkeyPatch) -> None:
    handle, ring = file_ring
    monkeypatch.setattr("rtnb.bpf.ring.MOST_BYTES", 80)
    for i in range(10):
        handle.put(value(i))
    ring.poll()
    handle.put(value(10))
    assert ring.drain()["value"].tolist() == list(range(10))
    assert ring.dropped == 1

# SPDX-License-Identifier: MIT
"""Which columns does a C type make? Its BTF, flattened into leaves, and bytes decoded by them.

struct member       a column of its name; a nested one `outer_inner`
integer, pointer    int64: an unsigned 64-bit value keeps its bits and may come out negative
bool                bool
char[N]             category: text up to the NUL
u8[N], __int128     category: hexadecimal (a hardware or an IP address)
other arrays        a column an element: slots_0, slots_1 ...
enum                category: its names
union               a column a member, all decoded from the same bytes
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rtnb import schema
from rtnb.abi import btf as abi
from rtnb.errors import BadInput
from rtnb.text import shown

__all__ = ["Layout", "Leaf", "unlike"]

MOST_COLUMNS = 1024
Bytes = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class Leaf:
    """One column: where its bytes lie, and how they read: int, bool, text, hex, or enum."""

    name: str
    offset: int
    size: int
    reads: str
    signed: bool = False
    shift: int = 0
    bits: int = 0
    """Of a bit field: how many bits, from bit `shift` of the bytes; else 0."""
    words: tuple[tuple[int, str], ...] = ()
    """Of an enum: values and names."""

    def decode(self, rows: Bytes) -> Any:
        """The column, from an array of (n, size of the whole type) bytes."""
        raw = np.ascontiguousarray(rows[:, self.offset : self.offset + self.size])
        if self.reads == "text":
            return _text(raw)
        if self.reads == "hex":
            return _category(raw, lambda value: value.hex())
        numbers = self._integers(raw)
        if self.reads == "bool":
            return numbers != 0
        return self._named(numbers) if self.reads == "enum" else numbers

    def _integers(self, raw: Bytes) -> np.ndarray[Any, np.dtype[np.int64]]:
        if not self.bits:
            kind = "i" if self.signed or self.size == 8 else "u"
            return raw.view(f"<{kind}{self.size}")[:, 0].astype(np.int64)
        wide = np.zeros((len(raw), 16), np.uint8)
        wide[:, : self.size] = raw
        low, high = wide.view("<u8").T
        value = low >> np.uint64(self.shift)
        if self.shift:  # 64 bits that do not begin with a byte end in a ninth one
            value |= high << np.uint64(64 - self.shift)
        above = 64 - self.bits
        value <<= np.uint64(above)
        return value.view(np.int64) >> np.int64(above) if self.signed else (value >> np.uint64(above)).view(np.int64)

    def _named(self, numbers: np.ndarray[Any, np.dtype[np.int64]]) -> pd.Categorical:
        """An enum's names; a value that has none is shown as its number."""
        distinct, codes = np.unique(numbers, return_inverse=True)
        values = distinct.tolist() if self.signed else distinct.view(np.uint64).tolist()
        words = dict(self.words)
        return schema.category(codes, [words.get(value, str(value)) for value in values])


class Layout:
    """The columns of a type of an object. Raises BadInput for a type that makes too many."""

    def __init__(self, btf: abi.Btf, number: int, bare: str, of: str = "") -> None:
        """`bare` names the column of a type that has no members; `of` says in an error whose type it is."""
        self.size = btf.sizeof(number)
        if (count := _count(btf, number)) > MOST_COLUMNS:
            why = f"it would make {count:,} columns, and a frame may have {MOST_COLUMNS:,} of it"
            hint = "keep it in a map of type BPF_MAP_TYPE_ARRAY, a row an element; bytes as char[N] are one column"
            raise BadInput(f"%%bpf: {of or btf[number].name or bare}", why, hint)
        self.leaves = tuple(_flattened(btf, number, "", 0, bare))

    @property
    def names(self) -> list[str]:
        """The columns' names; of two that are alike, the second gets a number."""
        names: list[str] = []
        for leaf in self.leaves:
            names.append(unlike(leaf.name, names))
        return names

    def columns(self, raw: Bytes) -> dict[str, Any]:
        """The columns of an array of bytes, a row each: (n, size)."""
        return {name: leaf.decode(raw) for name, leaf in zip(self.names, self.leaves, strict=True)}


def unlike(name: str, taken: Iterable[str]) -> str:
    """The name, with a number where it is taken."""
    used = set(taken)
    return next(n for n in (name, *(f"{name}_{i}" for i in range(2, len(used) + 3))) if n not in used)


def _count(btf: abi.Btf, number: int) -> int:
    """How many leaves _flattened() would give: counted, for an array may have a million elements."""
    number = btf.resolve(number)
    kind = btf[number].kind
    if kind in (abi.BTF_KIND_STRUCT, abi.BTF_KIND_UNION):
        return sum(1 if member.bits else _count(btf, member.type) for member in btf.members(number))
    if kind == abi.BTF_KIND_ARRAY and not _of_bytes(btf, number):
        element, count = btf.array(number)
        return count * _count(btf, element)
    return 1


def _of_bytes(btf: abi.Btf, array: int) -> bool:
    """Whether an array is one column: of char, u8 and the like."""
    element = btf.resolve(btf.array(array)[0])
    return (
        btf[element].kind == abi.BTF_KIND_INT
        and btf.sizeof(element) == 1
        and not btf.encoding(element) & abi.BTF_INT_BOOL
    )


def _flattened(btf: abi.Btf, number: int, name: str, offset: int, bare: str) -> Iterator[Leaf]:
    """The leaves of a type that lies at byte `offset` and is called `name`."""
    number = btf.resolve(number)
    found = btf[number]
    if found.kind in (abi.BTF_KIND_STRUCT, abi.BTF_KIND_UNION):
        for member in btf.members(number):
            full = "_".join(filter(None, (name, member.name)))
            if member.bits:
                yield _bit_field(btf, member, full, offset)
            else:
                yield from _flattened(btf, member.type, full, offset + member.bit_offset // 8, bare)
    elif found.kind == abi.BTF_KIND_ARRAY:
        yield from _array(btf, number, name, offset, bare)
    else:
        yield _scalar(btf, number, name or bare, offset)


def _array(btf: abi.Btf, number: int, name: str, offset: int, bare: str) -> Iterator[Leaf]:
    element, count = btf.array(number)
    if _of_bytes(btf, number):
        yield Leaf(name or bare, offset, count, "text" if btf[btf.resolve(element)].name == "char" else "hex")
        return
    size = btf.sizeof(element)
    for i in range(count):
        yield from _flattened(btf, element, f"{name or bare}_{i}", offset + i * size, bare)


def _scalar(btf: abi.Btf, number: int, name: str, offset: int) -> Leaf:
    found, size = btf[number], btf.sizeof(number)
    if found.kind in (abi.BTF_KIND_ENUM, abi.BTF_KIND_ENUM64):
        words = tuple((e.value, e.name) for e in btf.enumerators(number))
        return Leaf(name, offset, size, "enum", signed=found.flag, words=words)
    if found.kind == abi.BTF_KIND_INT and size <= 8:
        encoding = btf.encoding(number)
        reads = "bool" if encoding & abi.BTF_INT_BOOL else "int"
        return Leaf(name, offset, size, reads, signed=bool(encoding & abi.BTF_INT_SIGNED))
    return Leaf(name, offset, size, "int" if found.kind == abi.BTF_KIND_PTR else "hex")


def _bit_field(btf: abi.Btf, member: abi.Member, name: str, offset: int) -> Leaf:
    scalar = _scalar(btf, btf.resolve(member.type), name, 0)
    at, shift = divmod(member.bit_offset, 8)
    size = (shift + member.bits + 7) // 8
    return Leaf(name, offset + at, size, scalar.reads, scalar.signed, shift, member.bits, scalar.words)


def _text(raw: Bytes) -> pd.Categorical:
    """Up to the first NUL: what a kernel string has behind it is left over from before."""
    ended = np.logical_or.accumulate(raw == 0, axis=1)
    return _category(np.where(ended, np.uint8(0), raw), lambda value: shown(value.rstrip(b"\0")))


def _category(raw: Bytes, word: Any) -> pd.Categorical:
    """A category from rows of bytes, each distinct one put into words once."""
    if not len(raw) or not raw.shape[1]:
        return schema.category(np.full(len(raw), -1), [])
    flat = np.ascontiguousarray(raw).view(np.dtype((np.void, raw.shape[1])))[:, 0]
    distinct, codes = np.unique(flat, return_inverse=True)
    return schema.category(codes, [word(value.tobytes()) for value in distinct])

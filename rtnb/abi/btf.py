# SPDX-License-Identifier: MIT
"""linux/btf.h: which types does a BTF blob hold? A kernel's, or those of one compiled object.

A type is a number, from 1; 0 is void. Opening finds where each type starts (measured: 29 ms for the 126,690 of
a kernel); everything else is read when it is asked for.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import NamedTuple

__all__ = ["Btf", "Enumerator", "HEADERS", "Member", "Type", "Variable", "btf_header", "btf_type"]

HEADERS = ("linux/btf.h",)

BTF_MAGIC = 0xEB9F
BTF_VERSION = 1

# enum of kinds
BTF_KIND_UNKN = 0
BTF_KIND_INT = 1
BTF_KIND_PTR = 2
BTF_KIND_ARRAY = 3
BTF_KIND_STRUCT = 4
BTF_KIND_UNION = 5
BTF_KIND_ENUM = 6
BTF_KIND_FWD = 7
BTF_KIND_TYPEDEF = 8
BTF_KIND_VOLATILE = 9
BTF_KIND_CONST = 10
BTF_KIND_RESTRICT = 11
BTF_KIND_FUNC = 12
BTF_KIND_FUNC_PROTO = 13
BTF_KIND_VAR = 14
BTF_KIND_DATASEC = 15
BTF_KIND_FLOAT = 16
BTF_KIND_DECL_TAG = 17
BTF_KIND_TYPE_TAG = 18
BTF_KIND_ENUM64 = 19

# encodings of BTF_KIND_INT
BTF_INT_SIGNED = 1 << 0
BTF_INT_CHAR = 1 << 1
BTF_INT_BOOL = 1 << 2

# linkage of BTF_KIND_VAR
BTF_VAR_STATIC = 0
BTF_VAR_GLOBAL_ALLOCATED = 1
BTF_VAR_GLOBAL_EXTERN = 2

# The words that follow struct btf_type: so many for the kind, and so many for each of its vlen members.
_FIXED = {BTF_KIND_INT: 1, BTF_KIND_ARRAY: 3, BTF_KIND_VAR: 1, BTF_KIND_DECL_TAG: 1}
_EACH = {
    BTF_KIND_STRUCT: 3,
    BTF_KIND_UNION: 3,
    BTF_KIND_ENUM: 2,
    BTF_KIND_FUNC_PROTO: 2,
    BTF_KIND_DATASEC: 3,
    BTF_KIND_ENUM64: 3,
}
_MODIFIERS = frozenset(
    {BTF_KIND_TYPEDEF, BTF_KIND_VOLATILE, BTF_KIND_CONST, BTF_KIND_RESTRICT, BTF_KIND_TYPE_TAG, BTF_KIND_DECL_TAG}
)
_SIGNED64 = 1 << 63


class btf_header(ctypes.Structure):
    """struct btf_header."""

    _c_name_ = "struct btf_header"
    _fields_ = (
        ("magic", ctypes.c_uint16),
        ("version", ctypes.c_uint8),
        ("flags", ctypes.c_uint8),
        ("hdr_len", ctypes.c_uint32),
        ("type_off", ctypes.c_uint32),
        ("type_len", ctypes.c_uint32),
        ("str_off", ctypes.c_uint32),
        ("str_len", ctypes.c_uint32),
    )


class btf_type(ctypes.Structure):
    """struct btf_type."""

    _c_name_ = "struct btf_type"
    _fields_ = (("name_off", ctypes.c_uint32), ("info", ctypes.c_uint32), ("size", ctypes.c_uint32))


class Type(NamedTuple):
    """A type: `size` is in bytes for kinds that have one, else the number of the type it refers to."""

    kind: int
    name: str
    size: int
    vlen: int
    flag: bool
    at: int
    """The word in the type section at which it starts."""


class Member(NamedTuple):
    """A member of a struct or union; `bits` is 0 but for a bit field."""

    name: str
    type: int
    bit_offset: int
    bits: int


class Enumerator(NamedTuple):
    """A name of an enum and its value."""

    name: str
    value: int


class Variable(NamedTuple):
    """A variable of a section (.bss, .rodata, .maps): its type, and where it lies."""

    name: str
    type: int
    offset: int
    size: int
    linkage: int


class Btf:
    """BTF of this machine's byte order. Raises OSError (EINVAL) for anything else."""

    def __init__(self, data: bytes) -> None:
        head = btf_header.from_buffer_copy(data.ljust(ctypes.sizeof(btf_header), b"\0"))
        types, names = head.hdr_len + head.type_off, head.hdr_len + head.str_off
        end = max(ctypes.sizeof(btf_header), types + head.type_len, names + head.str_len)
        if head.magic != BTF_MAGIC or end > len(data) or types % 4:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), "btf")
        self.words = memoryview(data)[types : types + head.type_len // 4 * 4].cast("I")
        self.strings = data[names : names + head.str_len]
        self.starts = _starts(self.words)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, number: int) -> Type:
        at = self.starts[number]
        name, info, size = self.words[at : at + 3] if number else (0, 0, 0)
        return Type(info >> 24 & 31, self.name(name), size, info & 0xFFFF, bool(info >> 31), at)

    def name(self, offset: int) -> str:
        """The string at an offset of the string section."""
        return self.strings[offset : self.strings.index(b"\0", offset)].decode("utf-8", "replace")

    def find(self, name: str, *kinds: int) -> int:
        """The first type of that name and one of these kinds. Raises KeyError."""
        for number in range(1, len(self)):
            if (self.words[self.starts[number] + 1] >> 24 & 31) in kinds and self[number].name == name:
                return number
        raise KeyError(name)

    def resolve(self, number: int) -> int:
        """The type behind typedefs, const, volatile, restrict and tags."""
        while (found := self[number]).kind in _MODIFIERS:
            number = found.size
        return number

    def members(self, number: int) -> list[Member]:
        """The members of a struct or union, in order."""
        owner, words = self[number], self.words
        out = []
        for at in range(owner.at + 3, owner.at + 3 + 3 * owner.vlen, 3):
            where = words[at + 2]
            bits = where >> 24 if owner.flag else 0
            out.append(Member(self.name(words[at]), words[at + 1], where & 0xFFFFFF if owner.flag else where, bits))
        return out

    def enumerators(self, number: int) -> list[Enumerator]:
        """The names of an enum or enum64, in order; the flag says whether values are signed."""
        owner, words = self[number], self.words
        out = []
        step = _EACH[owner.kind]
        for at in range(owner.at + 3, owner.at + 3 + step * owner.vlen, step):
            value, top = (words[at + 1], 1 << 31) if step == 2 else (words[at + 1] | words[at + 2] << 32, _SIGNED64)
            out.append(Enumerator(self.name(words[at]), value - 2 * top if owner.flag and value >= top else value))
        return out

    def array(self, number: int) -> tuple[int, int]:
        """The element type of an array and how many there are."""
        at = self[number].at
        return self.words[at + 3], self.words[at + 5]

    def encoding(self, number: int) -> int:
        """BTF_INT_SIGNED, _CHAR, _BOOL of an integer."""
        return self.words[self[number].at + 3] >> 24 & 0xF

    def variables(self, section: str) -> list[Variable]:
        """The variables of a section, by its name; none where there is no such section."""
        try:
            owner = self[self.find(section, BTF_KIND_DATASEC)]
        except KeyError:
            return []
        out = []
        for at in range(owner.at + 3, owner.at + 3 + 3 * owner.vlen, 3):
            number, offset, size = self.words[at : at + 3]
            variable = self[number]
            out.append(Variable(variable.name, variable.size, offset, size, self.words[variable.at + 3]))
        return out

    def sizeof(self, number: int) -> int:
        """The size of a type in bytes, a pointer's being that of a 64-bit machine. Raises KeyError for one without."""
        found = self[number := self.resolve(number)]
        if found.kind == BTF_KIND_PTR:
            return 8
        if found.kind == BTF_KIND_ARRAY:
            element, count = self.array(number)
            return self.sizeof(element) * count
        if found.kind not in {
            BTF_KIND_INT,
            BTF_KIND_STRUCT,
            BTF_KIND_UNION,
            BTF_KIND_ENUM,
            BTF_KIND_FLOAT,
            BTF_KIND_DATASEC,
            BTF_KIND_ENUM64,
        }:
            raise KeyError(found.name)
        return found.size


def _starts(words: memoryview) -> list[int]:
    """The word at which each type starts; a walk, since a type's length depends on its kind."""
    fixed = [3 + _FIXED.get(kind, 0) for kind in range(32)]
    each = [_EACH.get(kind, 0) for kind in range(32)]
    starts, at, end = [0], 0, len(words)
    append = starts.append
    while at < end - 2:
        append(at)
        info = words[at + 1]
        kind = info >> 24 & 31
        at += fixed[kind] + each[kind] * (info & 0xFFFF)
    if at != end:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), "btf")
    return starts

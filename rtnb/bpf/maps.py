# SPDX-License-Identifier: MIT
"""What does a map hold now? Every entry, copied in batches into arrays, as a frame with columns from BTF."""

from __future__ import annotations

import errno
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rtnb import schema
from rtnb.abi import bpf as abi
from rtnb.abi.btf import BTF_VAR_GLOBAL_ALLOCATED, Btf
from rtnb.bpf.layout import Bytes, Layout, unlike
from rtnb.bpf.libbpf import MapHandle

__all__ = ["Globals", "Map", "SHOWN", "possible_cpus"]

_PER_CPU = frozenset({abi.BPF_MAP_TYPE_PERCPU_HASH, abi.BPF_MAP_TYPE_PERCPU_ARRAY, abi.BPF_MAP_TYPE_LRU_PERCPU_HASH})
_HASHES = frozenset({abi.BPF_MAP_TYPE_HASH, abi.BPF_MAP_TYPE_PERCPU_HASH})
SHOWN = _PER_CPU | _HASHES | {abi.BPF_MAP_TYPE_ARRAY, abi.BPF_MAP_TYPE_LRU_HASH, abi.BPF_MAP_TYPE_LPM_TRIE}
"""The map types that become frames."""

_BATCH_BYTES = 16 << 20
_ENOTSUPP = 524  # the kernel's own errno for a map type without batches


@cache
def possible_cpus() -> int:
    """How many values a per-CPU map has for each key."""
    ranges = Path("/sys/devices/system/cpu/possible").read_text().strip().split(",")
    return sum(int(r.split("-")[-1]) - int(r.split("-")[0]) + 1 for r in ranges)


class Map:
    """A loaded map; `frame()` reads it as it is at that moment."""

    def __init__(self, handle: MapHandle, btf: Btf) -> None:
        self.name = handle.name
        self._handle = handle
        self._key = Layout(btf, handle.key_type, "key", f"the key of map {self.name}") if handle.key_type else None
        self._value = Layout(btf, handle.value_type, "value", f"map {self.name}") if handle.value_type else None
        self._copies = possible_cpus() if handle.type in _PER_CPU else 1

    def __repr__(self) -> str:
        return f"Map({self.name}, up to {self._handle.max_entries:,} entries)"

    @property
    def fd(self) -> int:
        """Its descriptor, which the program owns: for rtnb.abi.bpf.map_update and the like."""
        return self._handle.fd

    def frame(self) -> pd.DataFrame:
        """A row an entry, sorted by key: the key's columns, then the value's; per-CPU maps have a row a `cpu` too."""
        keys, values = self._entries()
        columns = _columns(self._key, "key", keys)
        sorted_by = list(columns)
        if self._copies > 1 or self._handle.type in _PER_CPU:
            columns = {name: _repeated(column, self._copies) for name, column in columns.items()}
            columns[unlike("cpu", columns)] = np.tile(np.arange(self._copies), len(keys))
        for name, column in _columns(self._value, "value", values).items():
            columns[unlike(name, columns)] = column
        frame = pd.DataFrame(columns, copy=False).sort_values(sorted_by, kind="stable", ignore_index=True)
        return schema.mark(frame, table=f"bpf.{self.name}")

    def full(self, frame: pd.DataFrame) -> bool:
        """Whether a hash map has no room, so that further keys were refused."""
        return self._handle.type in _HASHES and len(frame) >= self._handle.max_entries * self._copies

    def _entries(self) -> tuple[Bytes, Bytes]:
        """Keys (n, key size) and values (n times copies, value size), as bytes."""
        handle = self._handle
        per_entry = self._copies * self._stride()
        room = min(handle.max_entries, max(256, _BATCH_BYTES // (handle.key_size + per_entry)))
        try:
            keys, values = self._batched(room, per_entry)
        except OSError as e:
            if e.errno not in (errno.EINVAL, _ENOTSUPP, errno.EOPNOTSUPP):
                raise
            keys, values = self._one_by_one(per_entry)
        return keys, values.reshape(len(keys) * self._copies, self._stride())[:, : handle.value_size]

    def _stride(self) -> int:
        """The kernel pads each CPU's value to eight bytes."""
        size = self._handle.value_size
        return math.ceil(size / 8) * 8 if self._handle.type in _PER_CPU else size

    def _batched(self, room: int, per_entry: int) -> tuple[Bytes, Bytes]:
        cursor: bytes | None = None
        parts: list[tuple[Bytes, Bytes]] = []
        while True:
            keys = np.empty((room, self._handle.key_size), np.uint8)
            values = np.empty((room, per_entry), np.uint8)
            try:
                batch = abi.map_lookup_batch(self._handle.fd, cursor, keys, values, room)
            except OSError as e:
                if e.errno != errno.ENOSPC:  # ENOSPC: one bucket of the hash table holds more than that
                    raise
                room *= 2
                continue
            parts.append((keys[: batch.entries], values[: batch.entries]))
            if batch.last:
                return np.concatenate([k for k, _ in parts]), np.concatenate([v for _, v in parts])
            cursor = batch.cursor

    def _one_by_one(self, per_entry: int) -> tuple[Bytes, Bytes]:
        keys: list[bytes] = []
        values: list[bytes] = []
        key = abi.map_get_next_key(self._handle.fd, None, self._handle.key_size)
        while key is not None and len(keys) < self._handle.max_entries:
            try:
                values.append(abi.map_lookup(self._handle.fd, key, per_entry))
                keys.append(key)
            except FileNotFoundError:  # gone between the two calls
                pass
            key = abi.map_get_next_key(self._handle.fd, key, self._handle.key_size)
        n = len(keys)
        both = (np.frombuffer(b"".join(part), np.uint8) for part in (keys, values))
        return next(both).reshape(n, self._handle.key_size), next(both).reshape(n, per_entry)


class Globals:
    """The cell's global variables, of its .bss and .data: `long total;` is a column of one row.

    Raises BadInput for one of too many columns.
    """

    def __init__(self, btf: Btf, sections: dict[str, MapHandle]) -> None:
        self._sections = sections
        self._variables = {
            section: [v for v in btf.variables(section) if v.linkage == BTF_VAR_GLOBAL_ALLOCATED]
            for section in sections
        }
        self._btf = btf
        self._layouts = {
            (section, v.name): Layout(btf, v.type, v.name, f"global variable {v.name}")
            for section, variables in self._variables.items()
            for v in variables
            if not v.name.startswith("rtnb_")
        }

    def frame(self) -> pd.DataFrame:
        """One row, a column a variable; no row where there is none. Names of rtnb's own are left out."""
        columns: dict[str, Any] = {}
        for (section, variable), layout in self._layouts.items():
            raw = np.frombuffer(self.read(section, variable), np.uint8)[np.newaxis]
            for name, column in layout.columns(raw).items():
                columns[_qualified(variable, name, columns)] = column
        return schema.mark(pd.DataFrame(columns), table="bpf.globals")

    def value(self, name: str) -> int:
        """A variable's value as an unsigned integer; 0 where there is none of that name."""
        for section, variables in self._variables.items():
            if any(v.name == name for v in variables):
                return int.from_bytes(self.read(section, name), "little")
        return 0

    def read(self, section: str, name: str) -> bytes:
        """A variable's bytes as they are now."""
        variable = next(v for v in self._variables[section] if v.name == name)
        handle = self._sections[section]
        data = abi.map_lookup(handle.fd, bytes(handle.key_size), handle.value_size)
        return data[variable.offset : variable.offset + self._btf.sizeof(variable.type)]


def _qualified(variable: str, column: str, taken: dict[str, Any]) -> str:
    full = column if column == variable or column.startswith(f"{variable}_") else f"{variable}_{column}"
    return unlike(full, taken)


def _columns(layout: Layout | None, name: str, raw: Bytes) -> dict[str, Any]:
    """By its type; a key or value without one in BTF as hexadecimal."""
    if layout:
        return layout.columns(raw)
    return {name: pd.Series([bytes(row).hex() for row in raw], dtype="str").astype("category").array}


def _repeated(column: Any, copies: int) -> Any:
    return column.repeat(copies)

# SPDX-License-Identifier: MIT
"""How do the tracer's records become a frame? Column by column; no event is ever a Python object."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rtnb import schema
from rtnb.abi.syscall import NAMES
from rtnb.schema import column, table
from rtnb.strace.names import errno_name, signal_name
from rtnb.text import shown

__all__ = ["KINDS", "RECORD", "Call", "calls"]

KINDS = ("call", "signal", "stop", "exit", "killed", "superseded")
"""enum trace_kind of core.h."""

RECORD = np.dtype(
    [
        ("time_ns", "<i8"),
        ("dur_ns", "<i8"),
        ("args", "<i8", 6),
        ("ret", "<i8"),
        ("string", "<i4"),
        ("pid", "<i4"),
        ("tid", "<i4"),
        ("nr", "<i4"),
        ("kind", "u1"),
        ("abi", "u1"),
        ("is_error", "u1"),
        ("reserved", "u1", 5),
    ]
)
"""struct trace_record of core.h."""

CALL, SIGNAL, STOP, EXIT, KILLED, SUPERSEDED = range(6)
_FOREIGN = {1: {"x86_64": "i386", "aarch64": "arm"}.get(platform.machine(), "compat"), 2: "x32"}


@table("strace.calls", version=1)
@dataclass(frozen=True)
class Call:
    """A system call, a signal, or an end, in the order in which they began."""

    time_ns: int = column("int64", "ns", "when it was entered or happened, CLOCK_MONOTONIC, as the tracer saw it")
    pid: int = column("int32", "", "the process")
    tid: int = column("int32", "", "the thread; equal to pid for a process's first")
    kind: str = column(
        "category",
        "",
        "call; signal (ignored ones too); stop (by one); exit, killed (a thread's ends); superseded (by an exec)",
    )
    name: str = column("category", "", "name of the system call or signal; none for an exit")
    path: str = column("category", "", "the path or string among the arguments, escapes for what cannot be printed")
    ret: int = column(
        "Int64",
        "",
        "as the kernel returned it (-2 for ENOENT), none if it never did; an exit's status; an exec's thread",
    )
    errno: str = column("category", "", "name of the error, also ERESTART* where a signal came between; none for none")
    dur_ns: int = column("Int64", "ns", "from entry to return as the tracer saw them, none if it never returned")
    nr: int = column("int32", "", "number of the system call or signal, -1 where there is neither")
    a0: int = column("int64", "", "first argument of a call, the bit pattern; 0 for other kinds")
    a1: int = column("int64", "", "second argument")
    a2: int = column("int64", "", "third argument")
    a3: int = column("int64", "", "fourth argument")
    a4: int = column("int64", "", "fifth argument")
    a5: int = column("int64", "", "sixth argument")


def calls(records: np.ndarray[Any, Any], strings: Any, *, interrupted: bool = False) -> pd.DataFrame:
    """The frame "strace.calls" of RECORD rows and the bytes of their strings, each ended by NUL, in order of time.

    After an interrupt a call may be there twice, as open and as returned: the later row is kept.
    """
    if interrupted:
        records = records[~pd.DataFrame({n: records[n] for n in ("time_ns", "tid", "kind")}).duplicated(keep="last")]
    order = np.argsort(records["time_ns"], kind="stable")
    taken = {n: records[n][order] for n in ("time_ns", "pid", "tid", "kind", "nr", "ret", "abi", "dur_ns", "string")}
    kind, nr, ret, dur_ns = (taken[n] for n in ("kind", "nr", "ret", "dur_ns"))
    returned = dur_ns >= 0
    failed = np.where((kind == CALL) & (records["is_error"][order] != 0), -ret, 0)
    return schema.frame(
        Call,
        {
            **{n: taken[n] for n in ("time_ns", "pid", "tid", "nr")},
            "kind": schema.category(kind.astype(np.int8), list(KINDS)),
            "name": _words(_key(kind, taken["abi"], nr), _name),
            **{f"a{i}": records["args"][:, i][order] for i in range(6)},
            "ret": _nullable(ret, returned | (kind == EXIT) | (kind == SUPERSEDED)),
            "errno": _words(failed, lambda number: errno_name(number) if number else None),
            "dur_ns": _nullable(dur_ns, returned),
            "path": _paths(taken["string"], strings),
        },
    )


def _nullable(values: np.ndarray[Any, Any], there: np.ndarray[Any, Any]) -> pd.api.extensions.ExtensionArray:
    return pd.arrays.IntegerArray(np.where(there, values, 0), ~there)


def _key(kind: np.ndarray[Any, Any], abi: np.ndarray[Any, Any], nr: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    key: np.ndarray[Any, Any] = (kind.astype(np.int64) << 40) | (abi.astype(np.int64) << 32) | nr.view(np.uint32)
    return key


def _name(key: int) -> str | None:
    kind, abi, nr = key >> 40, key >> 32 & 0xFF, key & 0xFFFFFFFF
    if kind in (SIGNAL, STOP, KILLED):
        return signal_name(nr)
    if kind != CALL:
        return None
    if abi:
        return f"{_FOREIGN[abi]}_syscall_{nr & ~0x40000000}"
    return NAMES.get(nr, f"syscall_{nr:#x}")


def _words(keys: np.ndarray[Any, Any], word: Callable[[int], str | None]) -> pd.Categorical:
    """A category of integers, each distinct one put into words once; None is no value."""
    codes, distinct = pd.factorize(keys)
    words = [word(int(key)) for key in distinct]
    none = np.array([w is None for w in words], dtype=bool)
    if none.any():
        codes = np.where(none[codes], -1, codes)
    return schema.category(codes, [w or "" for w in words]).remove_unused_categories()


def _paths(ordinals: np.ndarray[Any, Any], strings: Any) -> pd.Categorical:
    """The n-th string for the ordinal n, no value for -1; each distinct string is decoded once."""
    import pyarrow as pa

    ends = np.flatnonzero(np.frombuffer(strings, dtype=np.uint8) == 0) + 1
    offsets = np.concatenate([[0], ends]).astype(np.int64)
    array = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(ends), [None, pa.py_buffer(offsets), pa.py_buffer(strings)]
    )
    coded = array.dictionary_encode()
    words = [shown(raw[:-1]) for raw in coded.dictionary.to_pylist()]
    # One more for -1, and for a string that a killed tracer did not get to write.
    codes = np.append(coded.indices.to_numpy(), -1)
    return schema.category(codes[np.minimum(ordinals, len(ends))], words)

# SPDX-License-Identifier: MIT
"""What does a row hold? Each row type is declared once, as a frozen dataclass; the rest comes from it.

    @table("demo.calls", version=1)
    @dataclass(frozen=True)
    class Call:
        '''One system call.'''
        time_ns: int = column("int64", "ns", "when it was entered, CLOCK_MONOTONIC")

The class is a declaration: events never become one Python object each. `frame(Call, {...})` checks and makes
the DataFrame, `docs/schemas.md` and its test are made from the same fields.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from rtnb.errors import BadInput, RtnbError

__all__ = [
    "Column",
    "TABLES",
    "Table",
    "as_declared",
    "category",
    "column",
    "empty",
    "frame",
    "mark",
    "table",
    "wants_columns",
]

DTYPES = frozenset({"int64", "int32", "int16", "Int64", "float64", "bool", "str", "category"})
"""Column types in use. Never uint64 (a subtraction would wrap); Int64 is pandas' nullable integer."""
_NUMPY = frozenset({"int64", "int32", "int16", "float64", "bool"})


@dataclass(frozen=True)
class Column:
    """A column's name, dtype, unit ("" for none) and meaning, in one sentence."""

    name: str
    dtype: str
    unit: str
    help: str


@dataclass(frozen=True)
class Table:
    """A declared row type: `name` is "subject.table"."""

    name: str
    version: int
    doc: str
    columns: tuple[Column, ...]
    row: type

    def __str__(self) -> str:
        return f"{self.name} v{self.version}: {', '.join(c.name for c in self.columns)}"


TABLES: dict[str, Table] = {}
"""Every declared table by name, filled as the subjects are imported."""

T = TypeVar("T")


def column(dtype: str, unit: str, help: str) -> Any:
    """Declare a column: a dataclass field that carries dtype, unit and one sentence."""
    if dtype not in DTYPES:
        raise TypeError(f"column dtype {dtype!r}: one of {sorted(DTYPES)}")
    if not help:
        raise TypeError("a column wants a sentence that says what it means")
    return dataclasses.field(metadata={"dtype": dtype, "unit": unit, "help": help})


def table(name: str, version: int = 1) -> Callable[[type[T]], type[T]]:
    """Register a frozen dataclass as the row type of the table `name`."""

    def register(cls: type[T]) -> type[T]:
        columns = tuple(
            Column(f.name, f.metadata["dtype"], f.metadata["unit"], f.metadata["help"])
            for f in dataclasses.fields(cls)  # type: ignore[arg-type]
        )
        TABLES[name] = Table(name, version, (cls.__doc__ or "").strip(), columns, cls)
        cls.__table__ = name  # type: ignore[attr-defined]
        return cls

    return register


def category(codes: np.ndarray[Any, Any], words: list[str]) -> pd.Categorical:
    """A string column from an array of indices into `words` (-1: none), without a Python object a row."""
    unique, where = np.unique(np.asarray(words, dtype=object), return_inverse=True) if words else (words, None)
    codes = np.asarray(codes)
    if where is not None:
        codes = np.where(codes < 0, -1, where[codes])
    return pd.Categorical.from_codes(codes, categories=pd.Index(list(unique), dtype="str"))


def frame(row: type, columns: Mapping[str, Any]) -> pd.DataFrame:
    """The DataFrame of a row type, in declared order and dtypes.

    Every declared column must be given and no other: a mistake here is rtnb's, hence TypeError.
    """
    declared = TABLES[row.__table__]  # type: ignore[attr-defined]
    names = [c.name for c in declared.columns]
    if set(names) != set(columns):
        raise TypeError(f"{declared.name}: columns {sorted(set(names) ^ set(columns))} are missing or not declared")
    made = {c.name: _typed(columns[c.name], c.dtype) for c in declared.columns}
    return mark(pd.DataFrame(made, copy=False), table=declared.name)


def empty(row: type) -> pd.DataFrame:
    """The frame of a row type with no rows."""
    declared = TABLES[row.__table__]  # type: ignore[attr-defined]
    return frame(row, {c.name: [] for c in declared.columns})


def mark(df: pd.DataFrame, **attrs: Any) -> pd.DataFrame:
    """Add to the plain-JSON header that travels in `df.attrs["rtnb"]`; returns the same frame."""
    df.attrs["rtnb"] = {**df.attrs.get("rtnb", {}), **attrs}
    return df


def as_declared(df: pd.DataFrame, name: str) -> bool:
    """Has the frame the columns of the table `name`, and no other? Not, where no such table is declared."""
    found = {str(column): str(dtype) for column, dtype in df.dtypes.items()}
    return name in TABLES and found == {c.name: c.dtype for c in TABLES[name].columns}


@contextlib.contextmanager
def wants_columns(df: pd.DataFrame, tried: str) -> Iterator[None]:
    """Around what is made of a frame that its reader may have changed: a failure is told as BadInput."""
    try:
        yield
    except RtnbError:
        raise
    except Exception as e:
        table = TABLES.get(str(df.attrs.get("rtnb", {}).get("table")))
        lacks = [c.name for c in table.columns if c.name not in df.columns] if table else []
        said = f"it lacks {', '.join(lacks[:5])}" if lacks else f"{type(e).__name__}: {' '.join(str(e).split())[:200]}"
        why = f"the frame has not the columns that this is made of ({said})"
        raise BadInput(tried, why, "take the frame as it was recorded") from e


def _typed(values: Any, dtype: str) -> Any:
    if isinstance(values, pd.Categorical) or getattr(values, "dtype", None) == dtype:
        return values
    if dtype in _NUMPY:  # measured on 8 numbers: 0.3 us, by way of a Series 61 us
        return np.asarray(values, dtype=dtype)
    if dtype == "category":  # through `category`: a column of no words at all must still be saved as one of words
        codes, words = pd.factorize(pd.Series(values, dtype="str"))
        return category(codes, list(words))
    return pd.array(values, dtype="Int64") if dtype == "Int64" else pd.Series(values).astype(dtype).array

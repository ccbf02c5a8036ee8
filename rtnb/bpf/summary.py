# SPDX-License-Identifier: MIT
"""What is in a frame whose columns only the cell knows? Each column in one row: how many values, and which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rtnb import schema
from rtnb.schema import column, table

__all__ = ["ColumnSummary", "summary"]

_PERCENTILES = (0, 50, 90, 99, 100)


@table("bpf.column-summary", version=1)  # a hyphen: no map can be called so
@dataclass(frozen=True)
class ColumnSummary:
    """One column of a map, a ring buffer or the global variables."""

    name: str = column("str", "", "the column's name: a member of the cell's own C type")
    rows: int = column("int64", "", "rows in the frame")
    distinct: int = column("int64", "", "different values in the column")
    most_common: str = column("str", "", "the value that most rows have; empty where there is no row")
    min: int = column("Int64", "", "smallest value; missing for text")
    p50: int = column("Int64", "", "median: the value that half of the rows do not exceed")
    p90: int = column("Int64", "", "value that 90 % of the rows do not exceed")
    p99: int = column("Int64", "", "value that 99 % of the rows do not exceed")
    max: int = column("Int64", "", "largest value; missing for text")
    total: int = column("float64", "", "sum of the column; not a number for text")


def summary(df: pd.DataFrame) -> pd.DataFrame:
    """A row a column of a frame that a %%bpf cell made: see ColumnSummary.

    >>> summary(pd.DataFrame({"key": [1, 2, 3], "value": [10, 10, 40]}))[["name", "p50", "total"]]
        name  p50  total
    0    key    2    6.0
    1  value   10   60.0
    """
    rows = [_row(str(name), df[name]) for name in df.columns]
    names = [c.name for c in schema.TABLES["bpf.column-summary"].columns]
    made = schema.frame(ColumnSummary, {name: [row[name] for row in rows] for name in names})
    return schema.mark(made, **{k: v for k, v in df.attrs.get("rtnb", {}).items() if k != "table"})


def _row(name: str, values: pd.Series) -> dict[str, Any]:
    counts = values.value_counts()
    counts = counts[counts > 0]
    numbers = values.to_numpy() if values.dtype.kind in "iub" and len(values) else None
    five = (
        np.percentile(numbers.astype(np.int64), _PERCENTILES, method="inverted_cdf")
        if numbers is not None
        else [None] * 5
    )
    return {
        "name": name,
        "rows": len(values),
        "distinct": len(counts),
        "most_common": str(counts.index[0]) if len(counts) else "",
        **dict(zip(("min", "p50", "p90", "p99", "max"), five, strict=True)),
        "total": float(numbers.sum(dtype=np.float64)) if numbers is not None else float("nan"),
    }

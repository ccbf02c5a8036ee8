# SPDX-License-Identifier: MIT
"""How often was each system call made, how often did it fail, how long did it take? The table of strace -c."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rtnb import schema
from rtnb.schema import column, table

__all__ = ["Count", "summary"]


@table("strace.summary", version=1)
@dataclass(frozen=True)
class Count:
    """All calls of one name. Times are from entry to return (strace -w), not time on a CPU."""

    name: str = column("category", "", "name of the system call")
    calls: int = column("int64", "", "times it was called")
    errors: int = column("int64", "", "times it returned an error")
    time_ns: int = column("int64", "ns", "sum of the times from entry to return, of the calls that returned")
    mean_ns: float = column("float64", "ns", "time_ns a call that returned, not a number where none did")
    share: float = column("float64", "", "part of the time of all calls, 0 to 1")


def summary(df: pd.DataFrame) -> pd.DataFrame:
    """The frame "strace.summary" of a frame "strace.calls": a row a system call, the longest time first."""
    made = df.loc[df["kind"] == "call", ["name", "errno", "dur_ns"]]
    groups = made.groupby("name", observed=True)
    time_ns = groups["dur_ns"].sum().astype("int64")
    whole = time_ns.sum()
    with np.errstate(invalid="ignore"):
        mean_ns = time_ns.to_numpy() / groups["dur_ns"].count().to_numpy()
    counted = pd.DataFrame(
        {
            "calls": groups.size(),
            "errors": groups["errno"].count(),
            "time_ns": time_ns,
            "mean_ns": mean_ns,
            "share": time_ns / whole if whole else 0.0,
        }
    ).sort_values(["time_ns", "calls"], ascending=False, kind="stable")
    return schema.frame(
        Count, {"name": pd.Categorical(counted.index.astype("str")), **{c: counted[c].array for c in counted}}
    )

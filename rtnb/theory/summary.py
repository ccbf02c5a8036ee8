# SPDX-License-Identifier: MIT
"""What came of a simulation, task by task? Jobs, misses, and the smallest, mean and largest response time."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from rtnb import schema
from rtnb.errors import BadInput
from rtnb.schema import column, table

__all__ = ["Summary", "summary"]


@table("theory.summary", version=1)
@dataclass(frozen=True)
class Summary:
    """The simulated jobs of one task, or the requests of one server."""

    task: str = column("str", "", "the task's name, or the server's")
    jobs: int = column("int64", "", "jobs that were to be released")
    done: int = column("int64", "", "jobs that were done by their deadline")
    late: int = column("int64", "", "jobs that were done after it")
    lost: int = column("int64", "", "jobs that were aborted or skipped")
    min_R: int = column("Int64", "tick", "the smallest response time of those done, in time or late; <NA>: none was")
    mean_R: float = column("float64", "tick", "their mean response time; NaN: none was")
    max_R: int = column("Int64", "tick", "the largest response time")
    preemptions: int = column("int64", "", "how often a job was taken off a CPU before it was done")
    migrations: int = column("int64", "", "how often a job went on on another CPU")


def summary(df: pd.DataFrame) -> pd.DataFrame:
    """Of simulated jobs (theory.jobs), a row a task: table theory.summary. What has a row a task, a test or a level of
    utilisation is its own summary. Raises BadInput for another frame."""
    if df.attrs.get("rtnb", {}).get("table") in _OWN:
        return df
    if df.attrs.get("rtnb", {}).get("table") != "theory.jobs":
        raise BadInput("summary", "it is made of simulated jobs", "take the `jobs` of a simulation")
    groups = df.groupby(df["task"].astype("str"), sort=False)
    count = {name: (df["outcome"] == name).groupby(df["task"].astype("str"), sort=False).sum() for name in _OUTCOMES}
    response = groups["response"]
    return schema.frame(
        Summary,
        {
            "task": list(groups.groups),
            "jobs": groups.size(),
            "done": count["done"],
            "late": count["late"],
            "lost": count["aborted"] + count["skipped"],
            "min_R": response.min(),
            "mean_R": response.mean().astype("float64"),
            "max_R": response.max(),
            "preemptions": groups["preemptions"].sum(),
            "migrations": groups["migrations"].sum(),
        },
    )


_OWN = ("theory.acceptance", "theory.bounds", "theory.tasks", "theory.verdicts", "theory.blocking")
_OUTCOMES = ("done", "late", "aborted", "skipped")

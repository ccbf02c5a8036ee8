# SPDX-License-Identifier: MIT
"""What does `%%taskset` run? The tests of the set that its cell is, or its simulation."""

from __future__ import annotations

from rtnb.progress import Progress
from rtnb.recording import Recording
from rtnb.theory.taskset import TaskSet

__all__ = ["taskset"]


def taskset(
    tasks: str,
    *,
    policy: str = "fp",
    cpus: int = 1,
    protocol: str = "none",
    unit: str = "",
    simulate: bool = False,
    until: str | None = None,
    progress: Progress | None = None,
) -> Recording:
    """Test the set that `tasks` says, a row a task: the tables `verdicts` and `bounds`. With `simulate`, run it on
    paper: the tables `jobs`, `segments` and `events`. Bare numbers count in `unit`, if one is given.

    Raises BadInput, which names the row.

    >>> taskset("a 1 4\\nb 2 6", policy="edf")
    computed · taskset cell
    verdicts: 5 rows, bounds: 2 rows
    """
    ts = TaskSet(tasks, unit=unit)
    if simulate:
        made = ts.simulate(policy, cpus=cpus, protocol=protocol, until=until, progress=progress).recording
    else:
        made = ts.analyse(policy, cpus=cpus, protocol=protocol).recording
    return made.with_header(source=(tasks,))

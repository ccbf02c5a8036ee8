# SPDX-License-Identifier: MIT
"""How long may what is below hold a task up? The blocking terms, as a protocol gives them or as they are listed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rtnb.errors import BadInput
from rtnb.theory.exact import Time
from rtnb.theory.taskset import TaskSet

__all__ = ["terms"]


def terms(ts: TaskSet, given: Any) -> list[Time | None]:
    """The blocking of each task in list order: of a protocol (a name), or as listed. None: without bound.

    None given: of no protocol, so that tasks which share nothing have no blocking.

    Raises BadInput for a list that is not one of times of this set.

    >>> terms(TaskSet(C=[1, 2], T=[4, 8]), ["1/2", 0])
    [Fraction(1, 2), 0]
    """
    if given is None and not ts.shared:
        return [0] * len(ts)
    if given is None or isinstance(given, str):
        from rtnb.theory.blocking import blocking

        return _without_bound_below(ts, blocking(ts, given or "none").B)
    if not isinstance(given, Iterable):
        raise BadInput(
            "blocking", f"a {type(given).__name__} is none", "give a protocol's name, or a time for each task"
        )
    listed = list(given)
    if len(listed) != len(ts):
        raise BadInput("blocking", f"{len(listed)} values for {len(ts)} tasks", "one for each task, in list order")
    return [
        None if value is None else ts.time(value, f"blocking of {task.name}")
        for task, value in zip(ts, listed, strict=True)
    ]


def _without_bound_below(ts: TaskSet, B: Sequence[Time | None]) -> list[Time | None]:
    """Below a task that may be held up for ever, no term is a bound: its jobs may come in a burst afterwards."""
    found = list(B)
    unbounded = False
    for at in ts.order:
        unbounded = unbounded or found[at] is None
        found[at] = None if unbounded else found[at]
    return found

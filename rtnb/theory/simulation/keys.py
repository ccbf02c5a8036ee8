# SPDX-License-Identifier: MIT
"""What does the engine compare? The policy's key of each job, in a form in which the servers have their place."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from numbers import Number
from typing import Any

from rtnb.errors import BadInput
from rtnb.theory.exact import Time
from rtnb.theory.simulation.job import Active, Job
from rtnb.theory.simulation.plan import Plan

__all__ = ["Key", "key_of"]

Key = Callable[[Active, Time], Any]
_LAST = (1, 0)  # of what is served in the background; all other keys begin with 0


def key_of(made: Plan) -> Key:
    """The key of a job at an instant, under the plan's policy. Equal deadlines: servers first, then list order."""
    if made.policy.order is not None:
        return lambda job, now: _LAST if job.lane.background else (0, job.lane.rank)
    return _deadline if made.policy.by_deadline else _own(made)


def _deadline(job: Active, now: Time) -> Any:
    lane = job.lane
    if lane.background:
        return _LAST
    if lane.server is not None:
        job.deadline = lane.server.deadline
    return (0, job.deadline, lane.server is None, lane.place)


def _own(made: Plan) -> Key:
    policy, per_unit = made.policy, made.per_unit

    def key(job: Active, now: Time) -> Any:
        if job.lane.background:
            return _LAST
        if job.key is None or policy.dynamic:
            job.view = job.view or Job(job, per_unit)
            if job.lane.server is not None:
                job.deadline = job.lane.server.deadline
            return (0, _checked(policy.key(job.view, made.time(now)), job.view, policy.name))
        return job.key

    return key


def _checked(key: Any, view: Job, name: str) -> Any:
    """The key of a job. Raises BadInput for one that has no place in any order."""
    if key is None or any(isinstance(part, Number) and part != part for part in _parts(key)):
        raise BadInput(
            f"policy {name}", f"its key of {view.name} job {view.number} is {key}", "something to be ordered"
        )
    return key


def _parts(key: Any) -> Iterable[Any]:
    return key if isinstance(key, tuple | list) else (key,)

# SPDX-License-Identifier: MIT
"""Who runs first? Fixed priorities, earliest deadline, least laxity, or a key of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rtnb.errors import BadInput, closest
from rtnb.text import printable
from rtnb.theory.exact import Time
from rtnb.theory.options import check_takes
from rtnb.theory.priorities import deadline_monotonic, rate_monotonic
from rtnb.theory.simulation.job import Job
from rtnb.theory.taskset import TaskSet

__all__ = ["POLICIES", "Policy", "policy_of"]


@dataclass(frozen=True)
class Policy:
    """A scheduling policy: of the jobs that can run, those with the smallest `key(job, now)` do.

    `job` has task, name, number, arrival, release, deadline, remaining and executed; times are those of the set. A
    key may be anything that can be ordered, and is not None or NaN. With `dynamic` it is asked for at every event and
    every quantum, else once a job. Among equal keys a job that runs goes on, then the first in list order is first.

    >>> from rtnb.theory import Policy, TaskSet
    >>> mixed = Policy(lambda job, now: (0, 0) if job.name == "t1" else (1, job.deadline), "mixed", dynamic=False)
    >>> TaskSet(C=[1, 1, 2], T=[3, 4, 5]).simulate(mixed).met
    True
    """

    key: Callable[[Job, Time], Any]
    name: str = "own"
    dynamic: bool = True
    order: Callable[[TaskSet], list[int]] | None = None
    """Of fixed priorities: the places of a set's tasks, from 0, highest priority first."""

    @property
    def by_deadline(self) -> bool:
        """Is it earliest deadline first itself, not another with its name?"""
        return self is POLICIES["edf"]


POLICIES = {
    "fp": Policy(lambda job, now: job.task.priority, "fp", False, lambda ts: ts.order),
    "rm": Policy(lambda job, now: job.task.T, "rm", False, lambda ts: rate_monotonic(ts).order),
    "dm": Policy(lambda job, now: job.task.D, "dm", False, lambda ts: deadline_monotonic(ts).order),
    "edf": Policy(lambda job, now: job.deadline, "edf", False),
    "llf": Policy(lambda job, now: job.deadline - now - job.remaining, "llf"),
}
"""The policies by name."""


def policy_of(policy: str | Policy | Callable[[Job, Time], Any]) -> Policy:
    """The policy that a name, a Policy or a plain key means. Raises BadInput."""
    if isinstance(policy, Policy):
        _check_key(policy.key, policy.name)
        return policy
    if isinstance(policy, str):
        found = POLICIES.get(policy.lower())
        if found is None:
            hint = closest(policy, POLICIES) or f"one of {', '.join(POLICIES)}, or a function key(job, now)"
            raise BadInput(f"policy {printable(policy)[:40]}", "there is none of that name", hint)
        return found
    if not callable(policy):
        hint = f"one of {', '.join(POLICIES)}, or a function key(job, now)"
        raise BadInput(f"policy {printable(repr(policy))[:40]}", "it is no policy", hint)
    name = str(getattr(policy, "__name__", "own")).strip("<>")
    _check_key(policy, name)
    return Policy(policy, name)


def _check_key(key: Any, name: str) -> None:
    """Raises BadInput for what is no function of (job, now)."""
    if not callable(key):
        raise BadInput(f"policy {printable(str(name))[:40]}", "its key is no function", "key(job, now)")
    check_takes(key, f"policy {printable(name)[:40]}", "job", "now")

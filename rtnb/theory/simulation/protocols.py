# SPDX-License-Identifier: MIT
"""Who gets a resource, and who is in the way? No protocol, inheritance, the two ceilings, non-preemptive sections."""

from __future__ import annotations

from typing import Any

from rtnb.errors import BadInput
from rtnb.theory.simulation.job import Active, Lane
from rtnb.theory.simulation.plan import Plan
from rtnb.theory.taskset import TaskSet

__all__ = ["PROTOCOLS", "Locks", "check", "locks"]


class Locks:
    """No protocol: who finds a resource locked waits until it is unlocked. The others begin from here."""

    name = "none"
    inherits = False
    """Whether a job in the way of another takes on its priority."""
    not_preempted = False
    """Whether a job that holds a resource keeps its CPU."""

    def __init__(self, lanes: list[Lane]) -> None:
        self.holder: dict[str, Active] = {}
        self.ceilings = self._ceilings(lanes)

    def _ceilings(self, lanes: list[Lane]) -> dict[str, Lane]:
        return {}

    def at_start(self, job: Active) -> tuple[Active, str] | None:
        """Who keeps a job from starting, and by which resource."""
        return None

    def at_lock(self, job: Active, resource: str) -> tuple[Active, str] | None:
        """Who keeps a job from locking a resource, and by which one: by another, where it is its ceiling."""
        holder = self.holder.get(resource)
        return None if holder is None else (holder, resource)

    def boost(self, job: Active) -> Any:
        """The key that what a job holds gives it; None: none."""
        return None

    def ceiling(self) -> str:
        """The highest of the ceilings of what is locked now, as the name of the task that it is from."""
        held = [self.ceilings[resource] for resource in self.holder] if self.ceilings else []
        return min(held, key=self.level).name if held else ""

    def level(self, lane: Lane) -> Any:
        """What ceilings compare: a smaller one is higher."""
        return lane.rank


class Inheritance(Locks):
    """Priority inheritance: the holder runs with the highest priority among those that wait for it, and so on along
    the chain (Sha, Rajkumar & Lehoczky, Priority Inheritance Protocols, IEEE ToC 1990)."""

    name = "pip"
    inherits = True


class NonPreemptive(Locks):
    """Non-preemptive critical sections."""

    name = "npp"
    not_preempted = True


class Ceilings(Locks):
    """What the ceiling protocols share: a resource's ceiling is the highest of those who use it."""

    def _ceilings(self, lanes: list[Lane]) -> dict[str, Lane]:
        found: dict[str, Lane] = {}
        for lane in sorted(lanes, key=self.level, reverse=True):
            found |= {op.resource: lane for op in lane.ops}
        return found

    def _above(self, job: Active) -> tuple[Active, str] | None:
        """Who, on the same CPU, holds a resource whose ceiling is not below the job's priority: the highest of them."""
        found: tuple[Active, str] | None = None
        highest = self.level(job.lane)
        for resource, holder in self.holder.items():
            level = self.level(self.ceilings[resource])
            other = holder is not job and holder.lane.cpu == job.lane.cpu
            if other and (level < highest or (found is None and level == highest)):
                found, highest = (holder, resource), level
        return found


class OriginalCeiling(Ceilings):
    """The priority ceiling protocol: a job locks only if its priority is above the ceilings of all that the others
    have locked; who is in its way inherits (Sha, Rajkumar & Lehoczky 1990)."""

    name = "pcp"
    inherits = True

    def at_lock(self, job: Active, resource: str) -> tuple[Active, str] | None:
        return super().at_lock(job, resource) or self._above(job)


class ImmediateCeiling(Ceilings):
    """The immediate ceiling protocol, POSIX PROTECT: who holds a resource runs with its ceiling at once."""

    name = "icpp"

    def boost(self, job: Active) -> Any:
        return min(((0, self.ceilings[resource].rank) for resource in job.held), default=None)


class StackResource(Ceilings):
    """The stack resource policy: a job starts only if its preemption level (a smaller D is higher) is above the
    ceilings of all that is locked (Baker, Stack-Based Scheduling of Realtime Processes, Real-Time Systems 1991)."""

    name = "icpp"
    inherits = True

    def at_start(self, job: Active) -> tuple[Active, str] | None:
        return None if job.executed or job.cpu >= 0 else self._above(job)

    def level(self, lane: Lane) -> Any:
        return lane.task.D if lane.server is None else lane.task.T


PROTOCOLS: dict[str, type[Locks]] = {
    protocol.name: protocol for protocol in (Locks, Inheritance, OriginalCeiling, ImmediateCeiling, NonPreemptive)
}
"""The protocols by name; under EDF, icpp is the stack resource policy."""


def check(made: Plan) -> None:
    """Does the protocol of a plan fit its policy and its CPUs? Raises BadInput."""
    name, policy = made.protocol, made.policy
    tried = f"protocol {name}"
    if not issubclass(PROTOCOLS[name], Ceilings) or (name == "icpp" and policy.order is not None):
        return
    if policy.order is None and not (policy.by_deadline and name == "icpp"):
        hint = "icpp (the stack resource policy), pip or npp" if policy.by_deadline else "pip or npp"
        raise BadInput(tried, f"a ceiling wants fixed priorities, and {policy.name} has none", hint)
    if made.cpus > 1 and not _local(made.taskset):
        why = f"on {made.cpus} CPUs it is defined for tasks with a cpu each, and resources used on one CPU only"
        raise BadInput(tried, why, "pip, npp, or a cpu for each task")


def _local(ts: TaskSet) -> bool:
    """Is every resource used on one CPU only, by tasks that run nowhere else?"""
    where: dict[str, set[int | None]] = {}
    for task in ts:
        for section in task.sections:
            where.setdefault(section.resource, set()).add(task.cpu)
    return all(len(cpus) == 1 and None not in cpus for cpus in where.values())


def locks(made: Plan, lanes: list[Lane]) -> Locks:
    """The protocol of a plan, which has been checked."""
    found = PROTOCOLS[made.protocol]
    return StackResource(lanes) if found is ImmediateCeiling and made.policy.order is None else found(lanes)

# SPDX-License-Identifier: MIT
"""Who takes part? A lane for each task and each server, with its rank under fixed priorities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtnb.errors import BadInput
from rtnb.theory.exact import Time
from rtnb.theory.simulation.job import Lane, operations
from rtnb.theory.simulation.plan import Plan
from rtnb.theory.simulation.policy import POLICIES

if TYPE_CHECKING:
    from rtnb.theory.servers import Server

__all__ = ["BY_DEADLINE", "lanes", "requests"]

BY_DEADLINE = ("total_bandwidth", "constant_bandwidth")
"""The servers that live by a deadline."""


def lanes(made: Plan) -> list[Lane]:
    """A lane for each task in list order, then one for each server. Raises BadInput."""
    ranks = _ranks(made)
    found = []
    for place, task in enumerate(made.taskset):
        cpu = task.cpu if made.cpus > 1 else None
        found.append(Lane(place, task, ranks[place], operations(task.sections, made.per_unit), cpu))
    return [*found, *_of_servers(made, ranks)] if made.servers else found


def _ranks(made: Plan) -> list[int]:
    """Of each task, then of each server: its rank among all, 0 the highest. A server goes before its equals."""
    ts, order = made.taskset, made.policy.order
    if order is None:
        return list(range(len(ts) + len(made.servers)))
    first = order(ts)
    spots = [(at, 1, place) for at, place in enumerate(first)]
    spots += [(_spot(made, server, first), 0, place) for place, server in enumerate(made.servers, len(ts))]
    rank = {place: n for n, (_, _, place) in enumerate(sorted(spots))}
    return [rank[place] for place in range(len(rank))]


def _spot(made: Plan, server: Server, first: list[int]) -> int:
    """Before the how manieth task a server stands: by its priority, or by its period. Raises BadInput."""
    ts = made.taskset
    if server.kind in BY_DEADLINE:
        why = f"{made.policy.name} has no deadlines, by which this server lives"
        raise BadInput(f"server {server.name}", why, "policy edf; or a polling, deferrable or sporadic server")
    if server.priority is not None:
        own = [ts[place].priority if made.policy is POLICIES["fp"] else at for at, place in enumerate(first, 1)]
        return next((at for at, priority in enumerate(own) if priority >= server.priority), len(first))
    return next((at for at, place in enumerate(first) if server.T and ts[place].T >= server.T), len(first))


def _of_servers(made: Plan, ranks: list[int]) -> list[Lane]:
    from rtnb.theory.simulation.servers import Pool, state

    pool = Pool((task.offset * made.per_unit, task.U) for task in made.taskset)
    found = []
    for place, server in enumerate(made.servers, len(made.taskset)):
        lane = Lane(place, server, ranks[place])
        lane.server = state(server, made.per_unit, pool)
        lane.background = server.kind == "background"
        found.append(lane)
    return found


def requests(found: list[Lane], per_unit: int) -> list[tuple[Time, int, int, Time]]:
    """When each request to a server arrives, at which place, its index, and what it executes."""
    return sorted(
        (t * per_unit, lane.place, index, c * per_unit)
        for lane in found
        if lane.server is not None
        for index, (t, c) in enumerate(lane.task.requests)
    )

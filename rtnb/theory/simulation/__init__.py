# SPDX-License-Identifier: MIT
"""What happens if the set runs? Every job, exactly, from event to event: plan, policy, protocols, engine, schedule."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rtnb.progress import Progress, or_bar
from rtnb.theory.exact import Time
from rtnb.theory.simulation.engine import Engine
from rtnb.theory.simulation.fast import fast, is_lean
from rtnb.theory.simulation.job import Job
from rtnb.theory.simulation.plan import plan
from rtnb.theory.simulation.policy import Policy
from rtnb.theory.simulation.protocols import check
from rtnb.theory.simulation.schedule import Miss, Schedule
from rtnb.theory.taskset import TaskSet, of_a_set

if TYPE_CHECKING:
    from rtnb.theory.servers import Server

__all__ = ["Job", "Miss", "Policy", "Schedule", "simulate"]


@of_a_set
def simulate(
    ts: TaskSet,
    policy: str | Policy | Callable[[Job, Time], Any] = "fp",
    *,
    until: Time | str | None = None,
    cpus: int = 1,
    protocol: str = "none",
    servers: Iterable[Server] = (),
    late: str = "continue",
    execution: Mapping[str, Any] | None = None,
    jitter: str | int = "none",
    preemptive: bool = True,
    quantum: Time | str | None = None,
    progress: Progress | None = None,
) -> Schedule:
    """The schedule of a set, exactly, in [0, until).

    `policy`: fp (the set's priorities), rm, dm, edf, llf, a Policy, or a function key(job, now): smaller runs first.
    Ties go by list order, and the jobs of one task run one after the other. `until`: the hyperperiod; twice that and
    the largest offset where there are offsets or jitter. `cpus`: a task with a cpu runs only there, the others
    anywhere. `protocol`: none, pip, pcp, icpp (under edf the stack resource policy), npp. `late`: a late job may
    continue, be ended at its deadline (abort), or make its task skip jobs while it is late (skip). `execution`: by
    name of the task what its jobs execute instead of C: a time, a list (then C again), or a function of the job's
    number. `jitter`: none; critical: each task's first job is as late as it can be, the others come at once; or a
    seed. `quantum`: how often llf and a key of one's own decide anew, besides at each event; by default the greatest
    time that divides all C, T, D and offsets, which for whole numbers is often 1. `progress` is called with the
    fraction that is done, about ten times a second; None: a bar, where somebody looks.

    A server that reclaims (GRUB) divides time ever finer, as it consumes its budget at the rate of a utilisation: with
    coprime periods and requests that are fractions its times soon need more than 2**63 ticks, and no schedule is made.

    A section that starts after the end of a job's execution is not entered; what a job holds at its end it unlocks.
    Raises BadInput, also for more than 2,000,000 jobs.

    >>> ts = TaskSet(C=[1, 1, 20], T=[19, 19, 20])
    >>> simulate(ts, "edf", cpus=2).misses[0]
    Miss(task='t3', job=1, t=20)
    >>> simulate(ts, "llf", cpus=2).met
    True
    """
    made = plan(
        ts, policy, until=until, cpus=cpus, protocol=protocol, servers=servers, late=late, execution=execution,
        jitter=jitter, preemptive=preemptive, quantum=quantum,
    )  # fmt: skip
    check(made)
    with or_bar(progress, "simulated") as told:
        trace = fast(made, told) if is_lean(made) else Engine(made).run(told)
        if told:
            told(1.0)
    return Schedule(made, trace)

# SPDX-License-Identifier: MIT
"""What is a task to the worker? A row of struct task, and the mutexes that its steps name by number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rtnb.abi import sched as abi
from rtnb.errors import BadInput, closest
from rtnb.rt import plan
from rtnb.rt.mutex import Mutex
from rtnb.rt.task import REAL_TIME, Chosen, Task

if TYPE_CHECKING:
    from rtnb.rt.run import Run

__all__ = ["head", "make_mutexes", "mutex_specs", "releases", "rows"]

WATCHDOG = 10
"""How far above its tasks' priorities the watchdog is."""
ABOVE_ALL = 99
"""Below SCHED_DEADLINE all the same: nothing is above that."""
RTTIME_US = 1_000_000
"""A real-time task that takes so much CPU time more than its load can need, without a sleep, is ended."""
SPARE_NS = 5_000_000_000
"""Jobs of so long are in the ring at least, for whoever takes the older ones out of it may be late."""
COST_NS = {"busy": 1, "touch": 10_000, "syscalls": 10_000}
"""What a unit of a step may take at the very most."""
BELT_NS = 500_000_000
"""How much longer than asked tasks may run before they are asked to end."""


def releases(task: Task, length_ns: int) -> int:
    """How many releases of a task lie within a run: from its offset on, and before the run's end."""
    return -(-max(length_ns - task.offset_ns, 0) // task.period_ns)


def head(run: Run) -> dict[str, int]:
    """The fields of struct run."""
    priorities = [t.spec.priority for t in run.tasks if t.spec.policy in REAL_TIME]
    priorities += [ABOVE_ALL - WATCHDOG for t in run.tasks if t.spec.policy == "deadline"]
    last_ns = max(t.offset_ns + releases(t, run.length_ns) * t.period_ns for t in run.tasks)
    latencies = [t.spec.cpu_dma_latency_us for t in run.tasks if t.spec.cpu_dma_latency_us is not None]
    return {
        "mutexes": len(run.mutexes),
        "length_ns": last_ns + BELT_NS,
        "priority": min(99, max(priorities) + WATCHDOG) if priorities else 0,
        "dma_latency_us": min(latencies, default=-1),
    }


def rows(run: Run, chosen: Chosen) -> Any:
    """The struct task's of a run, each with the CPUs that were chosen for it."""
    made = np.zeros(len(chosen), plan.TASK)
    for row, (task, cpus) in zip(made, chosen, strict=True):
        _ask(row, task, run)
        if cpus is not None:
            row["option"] |= plan.PINNED
            for cpu in cpus:
                row["cpus"][cpu // 64] |= np.uint64(1 << cpu % 64)
    return made


def _ask(row: Any, task: Task, run: Run) -> None:
    spec, attr = task.spec, row["attr"]
    row["name"] = task.name.encode()
    attr["policy"], attr["priority"], attr["nice"] = abi.POLICIES[spec.policy], spec.priority, spec.nice or 0
    attr["flags"] = (
        spec.reset_on_fork * abi.SCHED_FLAG_RESET_ON_FORK
        | spec.reclaim * abi.SCHED_FLAG_RECLAIM
        | spec.dl_overrun * abi.SCHED_FLAG_DL_OVERRUN
    )
    attr["runtime_ns"], attr["deadline_ns"], attr["period_ns"] = spec.runtime_ns, spec.deadline_ns, spec.period_ns
    row["period_ns"], row["offset_ns"] = task.period_ns, task.offset_ns
    row["deadline_ns"], row["tolerance_ns"] = task.deadline_ns, task.tolerance_ns
    row["releases"] = releases(task, run.length_ns)
    row["ring"] = min(int(row["releases"]), max(run.keep, SPARE_NS // task.period_ns))
    row["rttime_us"] = _rttime_us(task, run.length_ns)
    row["timer_slack_ns"] = spec.timer_slack_ns or 0
    row["option"] = _options(task, run)
    row["steps"], row["wait_status"] = len(task.load), -1
    row["marks"] = min(int(row["ring"]) * len(task.load), run.keep) if run.steps else 0
    names = list(run.mutexes)
    for place, step in zip(row["step"], task.load, strict=False):
        place["kind"], place["amount"] = plan.KINDS.index(step.kind), step.amount
        place["mutex"] = _mutex(step.name, names) if step.kind in ("lock", "unlock") else 0


def _options(task: Task, run: Run) -> int:
    spec = task.spec
    return (
        spec.lock_memory * plan.LOCK_MEMORY
        | (task.late == "continue") * plan.CONTINUE
        | run.watched * plan.WATCH
        | run.stops * plan.STOP
        | (task.job is not None) * plan.PYTHON
        | (spec.nice is not None) * plan.NICE
        | (spec.timer_slack_ns is not None) * plan.SLACK
    )


def _rttime_us(task: Task, length_ns: int) -> int:
    work_ns: int = sum(step.amount * COST_NS[step.kind] for step in task.load if step.kind in COST_NS)
    backlog_ns = length_ns if task.late == "continue" else 0
    return RTTIME_US + (2 * work_ns + backlog_ns) // 1000


def _mutex(name: str, names: list[str]) -> int:
    if name not in names:
        hint = closest(name, names) or f'name it: mutexes={{"{name}": "inherit"}}'
        raise BadInput(f"lock {name!r}", "this run has no mutex of that name", hint)
    return names.index(name)


def mutex_specs(run: Run) -> dict[str, tuple[str, int | None]]:
    """Each mutex of a run by name, as (protocol, ceiling): the ceiling is that of its users unless given."""
    specs = {}
    for name, asked in run.mutexes.items():
        protocol, ceiling = _spec(name, asked)
        if protocol == "protect":
            users = [t for t in run.tasks if any(step.kind == "lock" and step.name == name for step in t.load)]
            ceiling = max((t.spec.priority for t in users), default=1) if ceiling is None else ceiling
            _check_ceiling(name, ceiling, users)
        specs[name] = (protocol, ceiling)
    return specs


def _spec(name: str, asked: Any) -> tuple[str, int | None]:
    """A mutex's protocol, and its ceiling where one is given."""
    if isinstance(asked, str):
        return asked, None
    if isinstance(asked, tuple | list) and len(asked) == 2 and isinstance(asked[0], str) and type(asked[1]) is int:
        return asked[0], asked[1]
    raise BadInput(f"mutex {name}: {asked!r}", "not a protocol", '"none", "inherit", or ("protect", 40) with a ceiling')


def _check_ceiling(name: str, ceiling: int, users: list[Task]) -> None:
    """A lock would be refused with EINVAL, in the middle of a job (pthread_mutex_lock(3p))."""
    for task in users:
        if task.spec.policy not in REAL_TIME or task.spec.priority > ceiling:
            why = f"{task.name} is under {task.spec}, and a ceiling is for FIFO and RR up to its own priority"
            raise BadInput(f"mutex {name} with ceiling {ceiling}", why, 'raise it, or use "inherit"')


def make_mutexes(run: Run, memory: plan.Memory) -> None:
    """Make the run's mutexes in its memory, before any task can see them. Raises BadInput."""
    if not run.mutexes:
        return
    with memory.mapped_mutexes() as buffer:
        for number, (protocol, ceiling) in enumerate(mutex_specs(run).values()):
            Mutex.place(buffer, memory.mutex_offset + number * plan.MUTEX_BYTES, protocol, ceiling=ceiling).close()

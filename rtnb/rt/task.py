# SPDX-License-Identifier: MIT
"""What is a periodic task? How often, under which policy, doing what, by when: a description that runs nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rtnb.errors import BadInput, closest
from rtnb.rt import load as loads
from rtnb.sched import Spec, fifo
from rtnb.sched.admission.facts import online
from rtnb.sched.spec import REAL_TIME
from rtnb.units import in_words, nanoseconds

__all__ = ["Chosen", "REAL_TIME", "SHORTEST_NS", "Task", "check_name", "with_room_for_others"]

SHORTEST_NS = 10_000
"""The shortest period: below it a loop would measure itself."""
MOST_CPUS = 1024
LATE = ("skip", "continue")


def _default() -> Spec:
    return fifo(80, lock_memory=True, cpu_dma_latency_us=0)


def check_name(what: str, name: object) -> None:
    """May a task, or a heartbeat, be called so? Raises BadInput."""
    try:
        size = len(name.encode()) if isinstance(name, str) and "\0" not in name else 0
    except UnicodeEncodeError:
        size = 0
    if not 1 <= size <= 31:
        raise BadInput(f"{what} {name!r}", "a name has 1 to 31 bytes")


@dataclass(frozen=True)
class Task:
    """A periodic task: released every `period`, from `offset` on, for a job that is to end within `deadline`.

    A job runs `load` (steps: rt.busy, rt.touch, rt.section ...; none: it only notes when it woke up), or the Python
    of `job`: a callable without arguments, or source that finds its names in `namespace`. It runs in a process of
    its own, so that what it assigns is not seen here. A job overruns where it ends later than `deadline` (the
    period, unless given) and `tolerance` after its release. What a late job does to the next releases: with `late`
    "skip" those that it slept through are missed; with "continue" they are answered late, one after the other.

    Raises BadInput. All is as given; `period_ns` and its kin are the durations in nanoseconds.

    >>> print(Task("sensor", period="10ms", load="busy:2ms"))
    sensor every 10 ms: busy 2 ms, under SCHED_FIFO priority 80
    """

    name: str = "task"
    period: str | int = "1ms"
    spec: Spec = field(default_factory=_default)
    load: Any = ()
    job: Callable[[], object] | str | None = None
    deadline: str | int | None = None
    tolerance: str | int = 0
    offset: str | int = 0
    late: str = "skip"
    namespace: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_name("task", self.name)
        tried = f"task {self.name}"
        object.__setattr__(self, "load", loads.flat(self.load))
        if not isinstance(self.spec, Spec):
            raise BadInput(tried, "its spec is none", "for example sched.fifo(80)")
        if self.spec.cpus and max(self.spec.cpus) >= MOST_CPUS:
            raise BadInput(tried, f"a CPU's number is below {MOST_CPUS} here")
        if self.late not in LATE:
            hint = closest(str(self.late), LATE) or "skip, continue"
            raise BadInput(f"late {self.late!r}", "not what a late job can do", hint)
        if self.job is not None and self.load:
            raise BadInput(tried, "it has a load and a job", "give one of them")
        if not (self.job is None or callable(self.job) or isinstance(self.job, str)):
            raise BadInput(tried, "its job is neither a function nor source")
        if isinstance(self.job, str) and not self.job.strip():
            raise BadInput(tried, "its job is empty", "write what it is to do each period")
        if not isinstance(self.namespace, Mapping | None):
            raise BadInput(tried, "its namespace is no mapping of names", "for example globals()")
        if self.period_ns < SHORTEST_NS:
            raise BadInput(f"period {self.period}", f"below {in_words(SHORTEST_NS)} the loop would measure itself")
        if max(self.period_ns, self.deadline_ns, self.tolerance_ns, self.offset_ns) > loads.LONGEST_NS:
            raise BadInput(tried, "one of its durations is longer than a week")

    @property
    def period_ns(self) -> int:
        """From one release to the next."""
        return nanoseconds(self.period, what="period")

    @property
    def deadline_ns(self) -> int:
        """From a release to when its job is to be done."""
        return self.period_ns if self.deadline is None else nanoseconds(self.deadline, what="deadline")

    @property
    def tolerance_ns(self) -> int:
        """How much later than the deadline is not yet an overrun."""
        return nanoseconds(self.tolerance, what="tolerance", zero=True)

    @property
    def offset_ns(self) -> int:
        """From the start of the run to the first release."""
        return nanoseconds(self.offset, what="offset", zero=True)

    @property
    def works(self) -> bool:
        """Whether its jobs do anything."""
        return bool(self.load) or self.job is not None

    def __str__(self) -> str:
        does = ", ".join(map(str, self.load)) or ("Python" if self.job is not None else "no load")
        return f"{self.name} every {in_words(self.period_ns)}: {does}, under {self.spec}"


Chosen = list[tuple[Task, frozenset[int] | None]]
"""Tasks, and the CPUs that each is pinned to; None: it is not."""


def with_room_for_others(tasks: list[Task], live: Mapping[Any, Chosen]) -> Chosen:
    """Each task and its CPUs, so that one CPU of the machine is left to all others, the `live` runs included.

    A real-time task that names no CPU gets all that this process has but the lowest. What SCHED_DEADLINE tasks reserve
    counts as so many CPUs, and one that may reclaim as 0.95. On a machine of one CPU the kernel's throttling has to do.
    Raises BadInput where none is left.
    """
    allowed = frozenset(os.sched_getaffinity(0))
    rest = allowed - {min(allowed)} if len(allowed) > 1 else None
    chosen = [(t, t.spec.cpus or (rest if t.spec.policy in REAL_TIME else None)) for t in tasks]
    everyone = [*chosen, *(pair for others in live.values() for pair in others)]
    taken = frozenset[int]().union(*(cpus or allowed for t, cpus in everyone if t.spec.policy in REAL_TIME))
    reserved = sum(_share(t.spec) for t, _ in everyone)
    most = len(online()) - 1
    if most and len(taken) + reserved > most and any(t.spec.policy in (*REAL_TIME, "deadline") for t in tasks):
        why = f"of {most + 1} real-time tasks take {len(taken)}, and reservations {reserved:.2f}"
        raise BadInput("rt.start", f"no CPU is left to others: {why}", "take fewer CPUs, or smaller runtimes")
    return chosen


def _share(spec: Spec) -> float:
    """The CPUs that a task's reservation may take."""
    if spec.policy != "deadline":
        return 0
    return 0.95 if spec.reclaim else spec.runtime_ns / (spec.period_ns or spec.deadline_ns or 1)

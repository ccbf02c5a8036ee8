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
from rtnb.units import in_words, nanoseconds

__all__ = ["REAL_TIME", "SHORTEST_NS", "Task", "with_room_for_others"]

REAL_TIME = ("fifo", "rr")
SHORTEST_NS = 10_000
"""The shortest period: below it a loop would measure itself."""
LATE = ("skip", "continue")


def _default() -> Spec:
    return fifo(80, lock_memory=True, cpu_dma_latency_us=0)


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
        object.__setattr__(self, "load", loads.flat(self.load))
        if not isinstance(self.name, str) or not self.name or len(self.name.encode()) > 31 or "\0" in self.name:
            raise BadInput(f"task {self.name!r}", "a name has 1 to 31 bytes")
        if self.late not in LATE:
            raise BadInput(
                f"late {self.late!r}", "not what a late job can do", closest(self.late, LATE) or "skip, continue"
            )
        if self.job is not None and self.load:
            raise BadInput(f"task {self.name}", "it has a load and a job", "give one of them")
        if isinstance(self.job, str) and not self.job.strip():
            raise BadInput(f"task {self.name}", "its job is empty", "write what it is to do each period")
        if self.period_ns < SHORTEST_NS:
            raise BadInput(f"period {self.period}", f"below {in_words(SHORTEST_NS)} the loop would measure itself")
        _ = self.deadline_ns, self.tolerance_ns, self.offset_ns

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


def with_room_for_others(tasks: list[Task]) -> list[tuple[Task, frozenset[int] | None]]:
    """Each task and the CPUs that it is pinned to (None: it is not), so that one CPU is left to all others.

    A real-time task that names no CPU gets all that this process has but the lowest. Raises BadInput where those
    named, or the bandwidth of SCHED_DEADLINE, leave none. On a machine of one CPU the kernel's throttling has to do.
    """
    allowed = frozenset(os.sched_getaffinity(0))
    rest = allowed - {min(allowed)} if len(allowed) > 1 else None
    chosen = [(t, t.spec.cpus or (rest if t.spec.policy in REAL_TIME else None)) for t in tasks]
    taken = frozenset[int]().union(*(cpus or () for t, cpus in chosen if t.spec.policy in REAL_TIME))
    if len(allowed) > 1 and taken >= allowed:
        hint = "take one CPU fewer: a real-time task may keep all else from running there"
        raise BadInput(f"tasks on CPU {', '.join(map(str, sorted(taken)))}", "no CPU is left to others", hint)
    share = sum(t.spec.runtime_ns / (t.spec.period_ns or t.spec.deadline_ns or 1) for t in tasks)
    if share > max(len(allowed) - 1, 0.95):
        hint = "make the runtimes smaller"
        raise BadInput(f"tasks under deadline with {share:.2f} CPUs", "no CPU is left to others", hint)
    return chosen

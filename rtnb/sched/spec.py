# SPDX-License-Identifier: MIT
"""How shall a task be scheduled? Said once, on any machine; only `apply` and `explain` ask a kernel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rtnb.abi.sched import POLICIES
from rtnb.errors import BadInput, closest
from rtnb.units import in_words, nanoseconds

__all__ = ["Spec", "as_list", "batch", "deadline", "fifo", "idle", "other", "rr"]

REAL_TIME = ("fifo", "rr")
FAIR = ("other", "batch", "ext")
"""The policies whose nice value sched_setattr(2) sets; a task under another has one too, for later."""

_CPUS = 2**16
"""More than any kernel counts (CONFIG_NR_CPUS): a larger number is no CPU's."""


@dataclass(frozen=True)
class Spec:
    """How a task is, or shall be, scheduled. What is None stays as it is.

    `policy` is other, fifo, rr, batch, idle, deadline or ext; `priority` 1 to 99 under fifo and rr; times in ns.
    Numbers that a kernel would refuse are not refused here: `explain` says what it would answer.
    Raises BadInput for what means nothing. Source: sched(7), sched_setattr(2).

    >>> print(Spec("fifo", 80, cpus=frozenset({1})))
    SCHED_FIFO priority 80 on CPU 1
    """

    policy: str
    priority: int = 0
    nice: int | None = None
    cpus: frozenset[int] | None = None
    runtime_ns: int = 0
    deadline_ns: int = 0
    period_ns: int = 0
    reset_on_fork: bool = False
    reclaim: bool = False
    dl_overrun: bool = False
    lock_memory: bool = False
    timer_slack_ns: int | None = None
    cpu_dma_latency_us: int | None = None

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            hint = closest(str(self.policy), POLICIES) or f"one of {', '.join(POLICIES)}"
            raise BadInput(f"policy {self.policy!r}", "there is no such scheduling policy", hint)
        object.__setattr__(self, "cpus", None if self.cpus is None else _cpus(self.cpus))
        for name, (low, high) in _RANGES.items():
            _whole(name, getattr(self, name), low, high)
        for name in ("priority", *_DEADLINE_ONLY):
            if getattr(self, name) and not _heeds(self.policy, name):
                fits = "fifo and rr have one" if name == "priority" else "deadline alone has it"
                raise BadInput(f"{name} {getattr(self, name)}", f"a task under {self.policy} has none", fits)

    def __str__(self) -> str:
        return f"SCHED_{self.policy.upper()} {' '.join(_words(self))}".rstrip()


_RANGES = {
    # What the call's fields can carry: beyond, another number would reach the kernel.
    "priority": (-(2**31), 2**31 - 1),
    "nice": (-(2**31), 2**31 - 1),
    "runtime_ns": (0, 2**64 - 1),
    "deadline_ns": (0, 2**64 - 1),
    "period_ns": (0, 2**64 - 1),
    "timer_slack_ns": (0, 2**63 - 1),
    "cpu_dma_latency_us": (0, 2**31 - 1),
}
_FLAG_WORDS = {
    "reset_on_fork": "reset on fork",
    "reclaim": "with reclaiming",
    "dl_overrun": "with SIGXCPU on overrun",
    "lock_memory": "with memory locked",
}
_DEADLINE_ONLY = ("runtime_ns", "deadline_ns", "period_ns", "reclaim", "dl_overrun")


def _heeds(policy: str, name: str) -> bool:
    return policy in REAL_TIME if name == "priority" else policy == "deadline"


def _whole(name: str, value: Any, low: int, high: int) -> None:
    if value is None and name in ("nice", "timer_slack_ns", "cpu_dma_latency_us"):
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadInput(f"{name} {str(value)[:60]!r}", "not a whole number")
    if not low <= value <= high:
        raise BadInput(f"{name} {value}", f"no number that the kernel could be given: {low} to {high}")


def _cpus(cpus: Iterable[int] | int) -> frozenset[int]:
    try:
        found = frozenset({cpus} if isinstance(cpus, int) else cpus)
    except TypeError as e:
        raise BadInput(f"cpus {str(cpus)[:60]!r}", "a CPU's number, or several, are wanted") from e
    for cpu in found:
        if not isinstance(cpu, int) or isinstance(cpu, bool) or not 0 <= cpu < _CPUS:
            raise BadInput(f"cpu {str(cpu)[:60]}", "CPUs are numbered from 0")
    return found


def _words(spec: Spec) -> list[str]:
    words = []
    if spec.policy == "deadline":
        period = spec.period_ns or spec.deadline_ns
        within = f", deadline {in_words(spec.deadline_ns)}" if spec.deadline_ns != period else ""
        words.append(f"{in_words(spec.runtime_ns)} in {in_words(period)}{within}")
    elif spec.policy in REAL_TIME:
        words.append(f"priority {spec.priority}")
    if spec.nice is not None and (spec.nice or not words):
        words.append(f"nice {spec.nice}")
    if spec.cpus is not None:
        words.append(f"on CPU {as_list(spec.cpus) or 'none'}")
    words += [text for name, text in _FLAG_WORDS.items() if getattr(spec, name)]
    if spec.timer_slack_ns is not None:
        words.append(f"with timer slack {in_words(spec.timer_slack_ns)}")
    if spec.cpu_dma_latency_us is not None:
        words.append(f"with cpu_dma_latency {spec.cpu_dma_latency_us} us")
    return words


def as_list(cpus: Iterable[int]) -> str:
    """CPUs as the kernel lists them, in ranges (cpuset(7)).

    >>> as_list({0, 1, 2, 5})
    '0-2,5'
    """
    ranges: list[list[int]] = []
    for cpu in sorted(cpus):
        if ranges and cpu == ranges[-1][1] + 1:
            ranges[-1][1] = cpu
        else:
            ranges.append([cpu, cpu])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def fifo(priority: int = 80, *, cpu: Iterable[int] | int | None = None, **more: Any) -> Spec:
    """SCHED_FIFO: runs until it sleeps, or a higher priority is ready.

    `cpu` is a CPU's number or several; `more` are the other fields of Spec: nice, reset_on_fork, lock_memory,
    timer_slack, a duration, and cpu_dma_latency_us. Raises BadInput.

    >>> print(fifo(80, cpu=1, lock_memory=True))
    SCHED_FIFO priority 80 on CPU 1 with memory locked
    """
    return _spec("fifo", cpu, more, priority=priority)


def rr(priority: int = 80, *, cpu: Iterable[int] | int | None = None, **more: Any) -> Spec:
    """SCHED_RR: as fifo, in turns among tasks of one priority. Raises BadInput."""
    return _spec("rr", cpu, more, priority=priority)


def other(nice: int | None = None, *, cpu: Iterable[int] | int | None = None, **more: Any) -> Spec:
    """SCHED_OTHER, the policy that tasks have unless told otherwise; `nice` is -20 to 19. Raises BadInput."""
    return _spec("other", cpu, more, nice=nice)


def batch(nice: int | None = None, *, cpu: Iterable[int] | int | None = None, **more: Any) -> Spec:
    """SCHED_BATCH: as other, and never preempts on waking up. Raises BadInput."""
    return _spec("batch", cpu, more, nice=nice)


def idle(nice: int | None = None, *, cpu: Iterable[int] | int | None = None, **more: Any) -> Spec:
    """SCHED_IDLE: gets what is left over, below nice 19. Raises BadInput."""
    return _spec("idle", cpu, more, nice=nice)


def deadline(
    runtime: str | int = "2ms",
    deadline: str | int = "10ms",
    period: str | int | None = None,
    *,
    cpu: Iterable[int] | int | None = None,
    **more: Any,
) -> Spec:
    """SCHED_DEADLINE: `runtime` in each `period` (the deadline unless given), by `deadline` after its start.

    `more` may also hold reclaim (may use what others leave) and dl_overrun (SIGXCPU past the runtime).
    Raises BadInput.

    >>> print(deadline("2ms", "10ms"))
    SCHED_DEADLINE 2 ms in 10 ms
    """
    times = {
        "runtime_ns": nanoseconds(runtime, what="runtime"),
        "deadline_ns": nanoseconds(deadline, what="deadline"),
        "period_ns": nanoseconds(deadline if period is None else period, what="period"),
    }
    return _spec("deadline", cpu, more, **times)


def _spec(policy: str, cpu: Iterable[int] | int | None, more: dict[str, Any], **given: Any) -> Spec:
    if (slack := more.pop("timer_slack", None)) is not None:
        given["timer_slack_ns"] = nanoseconds(slack, what="timer_slack")
    try:
        return Spec(policy, cpus=None if cpu is None else _cpus(cpu), **given, **more)
    except TypeError as e:
        raise BadInput(f"{policy}({', '.join(more)})", str(e).rpartition("__init__() ")[2]) from e

# SPDX-License-Identifier: MIT
"""What would the kernel answer? Its checks, made beforehand on what it would compare, and nothing is changed.

A policy is refused with EPERM for ten reasons and EBUSY for two; the errno alone says nothing. Each check here is
named by the call that makes it, and they run in the order in which `apply` makes the calls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from rtnb import caps, schema
from rtnb.errors import BadInput, NoSuchTask, NotPermitted, NotSupported, RtnbError, Unavailable
from rtnb.sched.admission import deadline, policy, process
from rtnb.sched.admission.facts import Facts, Refusal, look
from rtnb.sched.notebook import would_starve
from rtnb.sched.spec import REAL_TIME, Spec, as_list
from rtnb.sched.task import AFFINITY, NICE, POLICY, SLACK, resolve, steps
from rtnb.schema import column, table

__all__ = ["LATENCY", "MEMORY", "Answer", "Explanation", "explain", "explain_back", "refused"]

MEMORY, LATENCY = "mlockall", "open(/dev/cpu_dma_latency)"

_CHECKS: dict[str, Callable[[Spec, Facts], Refusal | None]] = {
    AFFINITY: policy.affinity,
    POLICY: policy.policy,
    NICE: policy.nice,
    SLACK: policy.slack,
    MEMORY: process.memory,
    LATENCY: process.latency,
}


@table("sched.explanation", version=1)
@dataclass(frozen=True)
class Answer:
    """What the kernel would answer for one task."""

    tid: int = column("int32", "", "the thread")
    spec: str = column("str", "", "how it would be scheduled")
    allowed: str = column("str", "", "yes, no, or cannot tell")
    call: str = column("category", "", "the call that would be refused")
    errno: str = column("category", "", "the error that it would give")
    why: str = column("str", "", "the limit or inequality that decides, with its numbers")
    remedy: str = column("str", "", "what would turn a no into a yes")
    notes: str = column("str", "", "what would follow")


@dataclass(frozen=True)
class Explanation:
    """Would the kernel allow it? `allowed` is None where that cannot be told, and `why` says what is not known.

    `call` and `errno` name the call that would be refused and its error, "" where none would.
    """

    spec: Spec
    tid: int
    allowed: bool | None
    call: str = ""
    errno: str = ""
    why: str = ""
    remedy: str = ""
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        refusal = f"{self.call} would fail with {self.errno}" if self.allowed is False else f"cannot tell ({self.call})"
        said = ["allowed" if self.allowed else refusal, self.why]
        lines = [f"{self.spec}: {': '.join(word for word in said if word)}"]
        lines += [f"hint: {self.remedy}"] if self.remedy else []
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def frame(self) -> pd.DataFrame:
        """The same as one row: sched.explanation."""
        verdict = {True: "yes", False: "no", None: "cannot tell"}[self.allowed]
        told = {name: getattr(self, name) for name in ("tid", "call", "errno", "why", "remedy")}
        told |= {"spec": str(self.spec), "allowed": verdict, "notes": "; ".join(self.notes)}
        return schema.frame(Answer, {name: [value] for name, value in told.items()})


def explain(spec: Spec, tid: int = 0) -> Explanation:
    """What the kernel would answer to `apply(spec, tid)`, and why; nothing is changed and nothing tried.

    What may change meanwhile, may change the answer. Raises NoSuchTask for a number that is no task's.
    Source: sched(7), sched_setattr(2), sched-deadline.rst.

    >>> print(explain(fifo(100)))
    SCHED_FIFO priority 100: sched_setattr would fail with EINVAL: priority 100 is not within 1 (lowest) to 99
    """
    caps.linux("explain")
    tid = resolve(tid)
    try:
        return _walk(spec, look(tid))
    except (FileNotFoundError, ProcessLookupError):
        return Explanation(spec, tid, False, POLICY, "ESRCH", f"there is no task {tid}, or no longer")


def explain_back(spec: Spec, tid: int) -> Explanation:
    """What the kernel would answer to the way back, once `spec` has been applied. Raises OSError."""
    now = look(tid)
    then = now
    for step in steps(spec, now.task.state.policy):
        then = then.after(step, spec)
    return _walk(now.task.state.spec(), then)


def _walk(spec: Spec, known: Facts) -> Explanation:
    """The checks of each call, each on what those before have made of the task."""
    tid, first = known.task.state.tid, known
    first_calls = {MEMORY: spec.lock_memory, LATENCY: spec.cpu_dma_latency_us is not None}
    calls = [call for call, asked in first_calls.items() if asked]
    for call in (*calls, *steps(spec, known.task.state.policy)):
        if refusal := _CHECKS[call](spec, known):
            allowed = False if refusal.errno else None
            return Explanation(spec, tid, allowed, call, refusal.errno, refusal.why, refusal.remedy)
        known = known.after(call, spec)
    return Explanation(spec, tid, True, notes=_notes(spec, first))


def _notes(spec: Spec, known: Facts) -> tuple[str, ...]:
    """What a reader may not expect of what is allowed."""
    notes = []
    if spec.policy == "deadline":
        notes.append(f"before it, {deadline.room(known)}; it takes {_share(spec):.4f}")
        notes.append("sched_setaffinity() to fewer CPUs fails with EBUSY as long as it is under SCHED_DEADLINE")
        if not spec.reset_on_fork:
            notes.append("fork() and new threads in it fail with EAGAIN unless reset_on_fork is set")
    if spec.cpus is not None and (lost := spec.cpus - known.cpus):
        notes.append(
            f"CPU {as_list(lost)} is not online, or not in its cpuset: the kernel leaves it out and says nothing"
        )
    if spec.nice is not None and not -20 <= spec.nice <= 19:
        notes.append(f"the kernel takes nice {spec.nice} as {min(max(spec.nice, -20), 19)}")
    if spec.timer_slack_ns and spec.policy in (*REAL_TIME, "deadline"):
        notes.append("a real-time task has no timer slack")
    if would_starve(spec, known.task.state.tid):
        notes.append("rtnb itself refuses it: the notebook's own kernel could not be stopped any more")
    if spec.lock_memory:
        notes.append("memory stays locked until munlockall(2) or the end of the process; new mappings are locked too")
    return tuple(notes)


def _share(spec: Spec) -> float:
    return deadline.ratio(spec.period_ns or spec.deadline_ns, spec.runtime_ns) / deadline.UNIT


def refused(tried: str, told: Explanation) -> RtnbError:
    """The error for a refusal that is explained; raise it `from` the OSError."""
    kinds: dict[str, type[RtnbError]] = {"EINVAL": BadInput, "ESRCH": NoSuchTask, "ENOENT": NotSupported}
    kind = kinds.get(told.errno, NotPermitted) if told.errno else Unavailable
    return kind(tried, told.why, told.remedy)

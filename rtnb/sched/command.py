# SPDX-License-Identifier: MIT
"""What does `%sched` do? It shows threads, sets them, or explains what setting them would do."""

from __future__ import annotations

from typing import Any

import pandas as pd

from rtnb.errors import BadInput, NoSuchTask
from rtnb.recording import Header, Recording
from rtnb.sched.admission import explain as explain_one
from rtnb.sched.change import apply
from rtnb.sched.spec import Spec
from rtnb.sched.task import process_of, tasks
from rtnb.sched.threads import threads
from rtnb.units import duration_ns

__all__ = ["run"]

_PRIORITY = 80
_LONGEST_LIST = 4096


def run(
    *,
    pid: int | None = None,
    policy: str | None = None,
    priority: int | None = None,
    nice: int | None = None,
    cpus: str | int | None = None,
    runtime: str | int | None = None,
    deadline: str | int | None = None,
    period: str | int | None = None,
    reclaim: bool = False,
    dl_overrun: bool = False,
    reset_on_fork: bool = False,
    timer_slack: str | int | None = None,
    explain: bool = False,
) -> Recording:
    """The threads of the system, or of the process `pid`: one table, `threads` (sched.threads).

    With a `policy` all threads of `pid` get it first, for good. `priority` is 80 unless given, under fifo and rr;
    `cpus` a list as 0-2,5; `runtime`, `deadline` (the period unless given) and `period` are durations, as is
    `timer_slack`. With `explain` nothing is changed: the table is `explanation` (sched.explanation), a row for each
    thread of `pid`, or one for the calling thread. Raises BadInput, and what `sched.apply` raises.

    >>> run(policy="fifo", priority=100, explain=True)
    live · sched --set fifo --priority 100 --explain · kernel 6.18.44
    SCHED_FIFO priority 100: sched_setattr would fail with EINVAL: priority 100 is not within 1 (lowest) to 99
    explanation: 1 rows
    """
    given = {"priority": priority, "nice": nice, "cpus": cpus, "runtime": runtime, "deadline": deadline}
    given |= {"period": period, "timer_slack": timer_slack}
    flags = {"reclaim": reclaim, "dl_overrun": dl_overrun, "reset_on_fork": reset_on_fork}
    spec = _spec(policy, given, flags, explain)
    source = _source(pid, policy, given, flags | {"explain": explain})
    if spec and explain:
        return _explained(spec, pid, source)
    if spec and pid is None:
        raise BadInput(f"--set {policy}", "of which process?", "name it: %sched PID --set ..., or ask with --explain")
    if spec:
        apply(spec, pid=pid)
    return threads(pid).with_header(source=source)


def _spec(policy: str | None, given: dict[str, Any], flags: dict[str, bool], explain: bool) -> Spec | None:
    if policy is None:
        asked = given | {name: value or None for name, value in (flags | {"explain": explain}).items()}
        if names := [name for name, value in asked.items() if value is not None]:
            raise BadInput(f"--{names[0].replace('_', '-')}", "it goes with a policy", "--set POLICY")
        return None
    priority = _PRIORITY if given["priority"] is None and policy in ("fifo", "rr") else given["priority"]
    times = {"runtime_ns": given["runtime"], "deadline_ns": given["deadline"], "period_ns": given["period"]}
    if policy == "deadline":
        times = _reservation(times)
    times |= {"timer_slack_ns": given["timer_slack"]}
    numbers: dict[str, Any] = {
        name: duration_ns(value, what=name.removesuffix("_ns")) for name, value in times.items() if value is not None
    }
    cpus = None if given["cpus"] is None else _listed(str(given["cpus"]))
    return Spec(policy, priority or 0, given["nice"], cpus, **numbers, **flags)


def _reservation(times: dict[str, Any]) -> dict[str, Any]:
    """Deadline and period stand in for each other."""
    either = [times[name] for name in ("deadline_ns", "period_ns") if times[name] is not None]
    if times["runtime_ns"] is None or not either:
        raise BadInput("--set deadline", "a reservation is a runtime in a period", "--runtime 2ms --period 10ms")
    return times | {"deadline_ns": either[0], "period_ns": either[-1]}


def _listed(text: str) -> frozenset[int]:
    """The CPUs of a list such as 0-2,5. Raises BadInput."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise BadInput(f"cpus {text[:60]!r}", "not a list of CPUs", "write 1, or 0-2,5")
        span = range(int(first), int(last or first) + 1)
        if len(span) > _LONGEST_LIST or not span:
            raise BadInput(f"cpus {text[:60]!r}", "not a range of CPUs", "write 1, or 0-2,5")
        found |= set(span)
    return frozenset(found)


def _source(pid: int | None, policy: str | None, given: dict[str, Any], flags: dict[str, bool]) -> tuple[str, ...]:
    """The magic's line in words."""
    words = [] if pid is None else [str(pid)]
    words += [] if policy is None else ["--set", policy]
    for name, value in given.items():
        words += [] if value is None else [f"--{name.replace('_', '-')}", str(value)]
    return (*words, *(f"--{name.replace('_', '-')}" for name, value in flags.items() if value))


def _explained(spec: Spec, pid: int | None, source: tuple[str, ...]) -> Recording:
    tids = [0] if pid is None else sorted(tid for _, tid in tasks(process_of(pid)))
    if not tids:
        raise NoSuchTask(f"process {pid}", "it does not exist, or no longer")
    answers = [explain_one(spec, tid) for tid in tids]
    rows = pd.concat([answer.frame() for answer in answers], ignore_index=True)
    # A frame cuts sentences short; the caption says the first one's in full.
    notes = tuple(str(answers[0]).split("\n"))
    return Recording(Header("sched", source, "rtnb", notes=notes), {"explanation": rows})

# SPDX-License-Identifier: MIT
"""How late does a periodic task wake up under this policy? Ask for one, run it, keep every wake-up."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from typing import Any

from rtnb import caps, schema
from rtnb.abi.sched import NAMES, POLICIES
from rtnb.errors import BadInput, WorkerError, closest
from rtnb.recording import Header, Recording
from rtnb.rt import worker
from rtnb.rt.wakeups import Wakeup
from rtnb.units import duration_ns, in_words

__all__ = ["run"]

_REAL_TIME = ("fifo", "rr")
_SUPPORTED = (*_REAL_TIME, "other", "batch", "idle")
_PRIORITY = 80
_SHORTEST_NS = 10_000
_LONGEST_NS = 24 * 3600 * 10**9
_MOST = 10_000_000
"""Wake-ups a run may have: 240 MB of memory that the worker locks."""


def run(
    *,
    policy: str = "fifo",
    priority: int | None = None,
    period: str | int = "1ms",
    duration: str | int = "5s",
    cpu: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> Recording:
    """Run a periodic task in a process of its own and return its wake-ups: one table, `wakeups` (rt.wakeups).

    `policy` is fifo, rr, other, batch or idle; `priority` is 1 to 99 under fifo and rr (80 unless given), and
    none under the others. `period` and `duration` are durations with a unit; the task has duration / period
    releases, each a row or counted in `missed`. `cpu` pins it. `progress` gets the fraction that is done, about
    ten times a second. Memory is locked and CPUs are kept out of idle states where that is allowed: the header's
    details say what was obtained, as read back from the kernel. An interrupt ends the run and returns what was
    measured by then.

    Raises BadInput; NotPermitted where the policy is refused (it never runs under another one); NotSupported
    where rtnb was installed without its C core. Source: clock_nanosleep(2), sched(7), mlockall(2).

    >>> run(duration="23ms")
    live · rt_task --policy fifo --priority 80 --period 1ms --duration 23ms · kernel 6.18.44
    wakeups: 23 rows
    """
    caps.linux("rt_task")
    priority = _priority(policy, priority)
    period_ns, releases = _releases(period, duration)
    if cpu is not None and cpu < 0:
        raise _no_such_cpu(cpu)
    caps.core_path("run a periodic task")
    ask = worker.Request(POLICIES[policy], priority, -1 if cpu is None else cpu, period_ns, releases)
    result = _checked(f"rt_task under {policy}", worker.run(ask, progress), cpu)
    options = {"policy": policy, "priority": priority or None, "period": period, "duration": duration, "cpu": cpu}
    words = [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]
    return _recording(words, ask, result)


def _priority(policy: str, priority: int | None) -> int:
    if policy not in _SUPPORTED:
        hint = closest(policy, _SUPPORTED) or f"one of {', '.join(_SUPPORTED)}"
        raise BadInput(f"policy {policy!r}", "not a policy that a task here can have", hint)
    if policy not in _REAL_TIME:
        if priority:
            raise BadInput(f"priority {priority}", f"a task under {policy} has none", "leave it out, or use fifo or rr")
        return 0
    if priority is None:
        return _PRIORITY
    if not 1 <= priority <= 99:
        raise BadInput(f"priority {priority}", f"under {policy} it is 1 (lowest) to 99")
    return priority


def _releases(period: str | int, duration: str | int) -> tuple[int, int]:
    """The period in nanoseconds, and how many of them the run has."""
    period_ns, length_ns = duration_ns(period, what="period"), duration_ns(duration)
    if period_ns < _SHORTEST_NS:
        raise BadInput(f"period {period}", f"below {in_words(_SHORTEST_NS)} the loop would measure itself")
    if length_ns < period_ns:
        raise BadInput(f"duration {duration}", f"shorter than one period of {period}")
    if length_ns > _LONGEST_NS:
        raise BadInput(f"duration {duration}", "longer than 24h")
    if length_ns // period_ns > _MOST:
        hint = "make the period longer or the duration shorter"
        raise BadInput(f"duration {duration}", f"more than {_MOST:,} periods of {period}", hint)
    return period_ns, length_ns // period_ns


def _no_such_cpu(cpu: int | None) -> BadInput:
    allowed = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
    return BadInput(f"cpu {cpu}", "there is no such CPU, or this process may not use it", f"one of {allowed}")


def _checked(tried: str, result: worker.Result, cpu: int | None) -> worker.Result:
    """The result of a worker that got as far as its loop; else the error that says what stopped it."""
    if not result.status or not result.status.error:
        if result.ended.exit_status > 0:
            raise WorkerError(tried, f"rtnb-core ended with status {result.ended.exit_status} and said nothing")
        return result
    number, call = result.status.error, result.status.what
    error = OSError(number, os.strerror(number), call)
    if call == "sched_setattr":
        raise caps.refused("rt.fifo", tried, error) from error
    if call == "sched_setaffinity" and number == errno.EINVAL:
        raise _no_such_cpu(cpu) from error
    if number == errno.ENOMEM:
        hint = "make the duration shorter"
        raise BadInput(tried, "there is not enough memory for that many wake-ups", hint) from error
    raise WorkerError(tried, f"{call} failed: {error.strerror}") from error


def _recording(source: list[str], ask: worker.Request, result: worker.Result) -> Recording:
    head, rows = result.head, result.wakeups
    late = rows["wake_ns"] - rows["release_ns"]
    df = schema.frame(Wakeup, {name: rows[name] for name in rows.dtype.names or ()} | {"latency_ns": late})
    without = _without(head)
    header = Header(
        "rt_task",
        tuple(source),
        "clock_nanosleep (C)",
        interrupted=head.done < ask.releases,
        duration_ns=int(rows["wake_ns"][-1] - rows["release_ns"][0]) + ask.period_ns if len(rows) else 0,
        notes=_notes(ask, result, without),
        details=_details(head, ask) | {"without": without},
    )
    return Recording(header, {"wakeups": df})


def _details(head: worker.Head, ask: worker.Request) -> dict[str, Any]:
    """What the task ran with, as obtained; plain JSON."""
    return {
        "policy": NAMES.get(head.policy, str(head.policy)) if head.pid else "",
        "priority": head.priority,
        "nice": head.nice,
        "cpu": None if ask.cpu < 0 else ask.cpu,
        "period_ns": ask.period_ns,
        "releases": ask.releases,
        "locked_memory": bool(head.pid) and not head.mlock_error,
        "cpu_dma_latency": bool(head.pid) and not head.dma_latency_error,
        "timer_slack_ns": head.timer_slack_ns,
    }


def _without(head: worker.Head) -> dict[str, str]:
    """What would have made the task more even, was refused, and why; the run goes on without it."""
    errors = {"locked_memory": head.mlock_error, "cpu_dma_latency": head.dma_latency_error}
    names = {"locked_memory": "rt.mlock", "cpu_dma_latency": "rt.cpu_dma_latency"}
    return {
        what: caps.refused(names[what], what, OSError(number, os.strerror(number))).why
        for what, number in errors.items()
        if number
    }


def _notes(ask: worker.Request, result: worker.Result, without: dict[str, str]) -> tuple[str, ...]:
    notes = []
    if not len(result.wakeups):
        notes.append("no wake-ups: it was ended before its first release")
    if not result.ended.interrupted and result.head.done < ask.releases:
        status = result.ended.exit_status
        late = f"stopped from outside, or {in_words(worker.GRACE_S * 1e9)} after its time"
        notes.append(f"the task was {f'killed by {signal.Signals(-status).name}' if status else late}")
    if "locked_memory" in without:
        notes.append(f"memory not locked, so a page fault may be in a latency: {without['locked_memory']}")
    return tuple(notes)

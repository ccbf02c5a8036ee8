# SPDX-License-Identifier: MIT
"""How late does a periodic task wake up under this policy? `%rt_task`: one task, or a few alike."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from rtnb import caps, sched
from rtnb.errors import BadInput, closest
from rtnb.recording import Recording
from rtnb.rt.run import KEEP, Run
from rtnb.rt.task import REAL_TIME, Task
from rtnb.units import duration_ns

__all__ = ["run"]

POLICIES = (*REAL_TIME, "deadline", "other", "batch", "idle")
PRIORITY = 80
LONGEST_NS = 24 * 3600 * 10**9
MOST_THREADS = 64


def run(
    job: Callable[[], object] | str | None = None,
    *,
    policy: str = "fifo",
    priority: int | None = None,
    period: str | int = "1ms",
    duration: str | int = "5s",
    cpu: int | None = None,
    threads: int = 1,
    load: Any = None,
    deadline: str | int | None = None,
    tolerance: str | int | None = None,
    runtime: str | int | None = None,
    late: str = "skip",
    keep: int = KEEP,
    trace: bool = False,
    namespace: Mapping[str, Any] | None = None,
    progress: Callable[[float], None] | None = None,
) -> Recording:
    """Run periodic tasks, each in a process of its own, and return their jobs: the table `jobs` (rt.jobs).

    `policy` is fifo, rr, deadline, other, batch or idle; `priority` is 1 to 99 under fifo and rr (80 unless given),
    and none under the others; `runtime` is deadline's, half of the period unless given. `period` and `duration` are
    durations with a unit; a task has duration / period releases (rounded up), each a row or counted in `missed`.
    `cpu` pins it. `threads` tasks run at once, their releases spread over the period. Each job runs the steps of `load`
    ("busy:200us,touch:64"), or the Python of `job` with the names it finds in `namespace`, and overruns where it
    ends later than `deadline` (the period, unless given) and `tolerance`. `late` and `keep`: see Task and start().
    With `trace` the kernel's scheduler is watched too, and two more tables say where each job's time went.
    `progress` gets the fraction that is done, about ten times a second.

    Memory is locked and CPUs are kept out of idle states where that is allowed: the header's details say what was
    obtained, as read back from the kernel. A real-time task leaves the lowest CPU to others. An interrupt ends the
    run and returns what was measured by then.

    Raises BadInput; NotPermitted where the policy is refused (it never runs under another one); NotSupported
    where rtnb was installed without its C core. Source: clock_nanosleep(2), sched(7), mlockall(2).

    >>> run(duration="23ms")
    live · rt_task --policy fifo --period 1ms --duration 23ms · kernel 6.18.44
    jobs: 23 rows
    """
    caps.linux("rt_task")
    spec = _spec(policy, priority, period, deadline, runtime, cpu)
    _check_length(period, duration)
    if not 1 <= threads <= MOST_THREADS:
        raise BadInput(f"threads {threads}", f"1 to {MOST_THREADS} tasks run at once")
    step = duration_ns(period, what="period") // threads
    names = [f"task{n}" if threads > 1 else "task" for n in range(threads)]
    tasks = [
        Task(name, period, spec, load or (), job, deadline, tolerance or 0, n * step, late, namespace)
        for n, name in enumerate(names)
    ]
    asked = {
        "policy": policy, "priority": priority, "period": period, "duration": duration, "cpu": cpu,
        "threads": threads if threads > 1 else None, "load": load, "deadline": deadline, "tolerance": tolerance,
        "runtime": runtime, "late": late if late != "skip" else None,
    }  # fmt: skip
    return Run(tasks, duration, keep=keep, trace=trace, source=_words(asked)).complete(progress)


def _words(asked: Mapping[str, Any]) -> tuple[str, ...]:
    """The options of %rt_task that ask for the same."""
    return tuple(word for name, value in asked.items() if value is not None for word in (f"--{name}", str(value)))


def _spec(
    policy: str,
    priority: int | None,
    period: str | int,
    deadline: str | int | None,
    runtime: str | int | None,
    cpu: int | None,
) -> sched.Spec:
    if policy not in POLICIES:
        hint = closest(policy, POLICIES) or f"one of {', '.join(POLICIES)}"
        raise BadInput(f"policy {policy!r}", "not a policy that a task here can have", hint)
    if policy not in REAL_TIME and priority:
        raise BadInput(f"priority {priority}", f"a task under {policy} has none", "leave it out, or use fifo or rr")
    if policy != "deadline" and runtime is not None:
        raise BadInput(f"runtime {runtime}", f"a task under {policy} has none", "use --policy deadline")
    if cpu is not None and (cpu < 0 or cpu not in os.sched_getaffinity(0)):
        allowed = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
        raise BadInput(f"cpu {cpu}", "there is no such CPU, or this process may not use it", f"one of {allowed}")
    common: dict[str, Any] = {"lock_memory": True, "cpu_dma_latency_us": 0, "cpu": cpu}
    if policy == "deadline":
        period_ns = duration_ns(period, what="period")
        return sched.deadline(runtime if runtime is not None else period_ns // 2, deadline or period, period, **common)
    if policy in REAL_TIME:
        priority = PRIORITY if priority is None else priority
        if not 1 <= priority <= 99:
            raise BadInput(f"priority {priority}", f"under {policy} it is 1 (lowest) to 99")
        return {"fifo": sched.fifo, "rr": sched.rr}[policy](priority, **common)
    made = {"other": sched.other, "batch": sched.batch, "idle": sched.idle}[policy]
    return made(timer_slack_ns=1, **common)  # 50 us is usual: it would be in every latency


def _check_length(period: str | int, duration: str | int) -> None:
    period_ns, length_ns = duration_ns(period, what="period"), duration_ns(duration)
    if length_ns < period_ns:
        raise BadInput(f"duration {duration}", f"shorter than one period of {period}")
    if length_ns > LONGEST_NS:
        raise BadInput(f"duration {duration}", "longer than 24h")

# SPDX-License-Identifier: MIT
"""How long does an urgent task wait for one that is not? The experiment of priority inversion, for real."""

from __future__ import annotations

import os
from typing import Any

from rtnb import sched
from rtnb.errors import BadInput, closest
from rtnb.recording import Recording
from rtnb.rt.load import busy, section
from rtnb.rt.run import Run
from rtnb.rt.task import Task
from rtnb.units import nanoseconds

__all__ = ["PROTOCOLS", "inversion", "tasks"]

PROTOCOLS = ("none", "inherit", "protect")
HIGH_NS, MIDDLE_NS = 5_000_000, 6_000_000
"""When the urgent task and the one in the middle come, after the one that holds the mutex."""
ROOM_NS = 100_000_000


def tasks(hold: str | int = "20ms", burn: str | int = "100ms", cpu: int | None = None) -> list[Task]:
    """The three tasks, on one CPU: `low` locks the resource for `hold`; `high` wants it 5 ms later; 6 ms after the
    start `middle`, which has nothing to do with it, takes the CPU for `burn`."""
    cpu = max(os.sched_getaffinity(0)) if cpu is None else cpu
    hold_ns, burn_ns = nanoseconds(hold, what="hold"), nanoseconds(burn, what="burn")
    if hold_ns <= MIDDLE_NS:
        raise BadInput(f"hold {hold}", "the middle one comes 6 ms after the start: until then it must be held")
    common: dict[str, Any] = {"period": hold_ns + burn_ns + ROOM_NS}
    spec = {"cpu": cpu, "lock_memory": True, "cpu_dma_latency_us": 0}
    return [
        Task("low", spec=sched.fifo(10, **spec), load=section("resource", hold_ns), **common),
        Task("middle", spec=sched.fifo(20, **spec), load=busy(burn_ns), offset=MIDDLE_NS, **common),
        Task("high", spec=sched.fifo(30, **spec), load=section("resource", "100us"), offset=HIGH_NS, **common),
    ]


def inversion(
    protocol: str = "inherit",
    *,
    hold: str | int = "20ms",
    burn: str | int = "100ms",
    cpu: int | None = None,
    trace: bool = False,
) -> Recording:
    """Run it once and return its timeline: tables `jobs` (rt.jobs), a row a task, and `steps` (rt.steps).

    `protocol` is the mutex's: none, inherit, or protect (a ceiling of the urgent task's priority). The header's
    details hold, in ns, how long `high` waited in its lock (`waited_ns`), what theory says it waits
    (`theory_ns`: hold + burn - 5 ms, hold - 5 ms, 0), and its response time. With a ceiling it does not wait in its
    lock, but for its start: `low` runs at its priority.

    Raises BadInput; NotPermitted without SCHED_FIFO. Source: L. Sha, R. Rajkumar, J. P. Lehoczky, Priority
    Inheritance Protocols, IEEE Trans. Computers 39(9), 1990; pthread_mutexattr_setprotocol(3p).
    """
    if protocol not in PROTOCOLS:
        raise BadInput(
            f"protocol {protocol!r}", "a mutex has no such one", closest(protocol, PROTOCOLS) or ", ".join(PROTOCOLS)
        )
    asked = tasks(hold, burn, cpu)
    low, middle, _ = asked
    hold_ns, burn_ns = low.load[1].amount, middle.load[0].amount
    source = ("inversion", protocol, "--hold", str(hold), "--burn", str(burn))
    # As long as a period, so that each has one release.
    run = Run(asked, low.period_ns, mutexes={"resource": protocol}, steps=True, trace=trace, source=source)
    recording = run.complete()
    waits = recording.tables["jobs"].set_index(recording.tables["jobs"]["task"].astype("str"))
    theory = {"none": hold_ns + burn_ns - HIGH_NS, "inherit": hold_ns - HIGH_NS, "protect": 0}
    found = {
        "protocol": protocol,
        "waited_ns": int(waits.loc["high", "waited_ns"]) if "high" in waits.index else None,
        "response_ns": int(waits.loc["high", "response_ns"]) if "high" in waits.index else None,
        "theory_ns": theory[protocol],
    }
    return recording.with_header(details={**recording.header.details, "inversion": found})

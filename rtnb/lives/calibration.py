# SPDX-License-Identifier: MIT
"""How much more than its load does a job cost here? Measured on the CPU itself, so that it can be taken off C."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from rtnb import rt, sched
from rtnb.errors import BadInput

__all__ = ["Calibration", "calibrate"]

_LOAD_NS, _PERIOD_NS = 100_000, 2_000_000
_VICTIM_NS, _VICTIM_PERIOD_NS = 20_000_000, 40_000_000
_LENGTH_NS = 240_000_000


@dataclass(frozen=True)
class Calibration:
    """What a job took beyond its load, in ns, of so many jobs on one CPU."""

    cpu: int
    jobs: int
    execution_p50_ns: int
    """CPU time beyond the load, by the median."""
    execution_max_ns: int
    response_p50_ns: int
    """From the release to the end beyond the load: to wake up, to switch, to read the clocks."""
    response_p75_ns: int
    preemption_ns: int
    """What a task that is preempted loses to each such job beyond its load; the median."""

    @property
    def taken_off_ns(self) -> int:
        """What a load is less than C, so that a job costs about C, whoever pays for it.

        The 75th percentile of the response: what others do to fewer jobs than that is not the job's own cost, and is
        to show in the comparison.
        """
        return self.response_p75_ns

    def to_json(self) -> dict[str, int]:
        """Plain JSON, for a header's details."""
        return {**asdict(self), "taken_off_ns": self.taken_off_ns}


def calibrate(cpu: int, trace: bool = False) -> Calibration:
    """Run a short load of 100 us above a long one, both under SCHED_FIFO on that CPU, for a quarter of a second.

    `trace`: with the scheduler traced, which costs too. Raises NotPermitted, NotSupported; KeyboardInterrupt where it
    was interrupted, for there is nothing to keep.

    >>> calibrate(1).jobs
    120
    """
    spec: dict[str, Any] = {"cpu": cpu, "lock_memory": True, "cpu_dma_latency_us": 0}
    load = [rt.lock("resource"), rt.busy(_LOAD_NS), rt.unlock("resource")]
    tasks = [
        rt.Task("load", _PERIOD_NS, sched.fifo(80, **spec), load),
        rt.Task("victim", _VICTIM_PERIOD_NS, sched.fifo(79, **spec), rt.busy(_VICTIM_NS)),
    ]
    recording = rt.Run(tasks, _LENGTH_NS, mutexes={"resource": "none"}, trace=trace).complete()
    if recording.header.interrupted:
        raise KeyboardInterrupt
    jobs = recording.tables["jobs"]
    by_task = {name: jobs[jobs["task"] == name] for name in ("load", "victim")}
    if by_task["load"].empty or by_task["victim"].empty:
        raise BadInput("calibrate", f"no job was done on CPU {cpu}", "end what keeps that CPU busy, or take another")
    return _measured(cpu, **by_task)


def _measured(cpu: int, load: pd.DataFrame, victim: pd.DataFrame) -> Calibration:
    execution = load["execution_ns"].to_numpy("int64") - _LOAD_NS
    response = load["response_ns"].to_numpy() - _LOAD_NS
    return Calibration(
        cpu,
        len(load),
        int(np.median(execution)),
        int(execution.max()),
        int(np.median(response)),
        max(0, int(np.quantile(response, 0.75))),
        max(0, int(np.median(_lost(load, victim)))),
    )


def _lost(load: pd.DataFrame, victim: pd.DataFrame) -> Any:
    """Of each victim's job: what it lost to a job above it, beyond that one's load."""
    release = load["release_ns"].to_numpy()
    begin, end = (np.searchsorted(release, victim[name].to_numpy()) for name in ("release_ns", "end_ns"))
    waited = victim["response_ns"].to_numpy() - _VICTIM_NS
    return waited / np.maximum(end - begin, 1) - _LOAD_NS

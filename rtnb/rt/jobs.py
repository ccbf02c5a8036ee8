# SPDX-License-Identifier: MIT
"""What did a periodic task do? A row a job, from its release to its end; and the tables that are made of them."""

from __future__ import annotations

from dataclasses import dataclass

from rtnb.schema import column, table

__all__ = ["MEASURES", "Histogram", "Job", "Missed", "StepTime", "Summary"]

MEASURES = {
    "latency": "how late the job started: start_ns - release_ns",
    "period": "from the start before it to its start, less the releases between: the error is signed",
    "execution": "the CPU time that the job itself took",
    "response": "from its release to its end: end_ns - release_ns",
}
"""What is measured of a task, and what that is."""


@table("rt.jobs", version=1)
@dataclass(frozen=True)
class Job:
    """One job of a periodic task. The release after it is `(1 + missed)` periods later."""

    task: str = column("category", "", "the task's name")
    job: int = column("int64", "", "the number of its release, from 0; those that it slept through count too")
    release_ns: int = column("int64", "ns", "the absolute time at which it asked to be woken, CLOCK_MONOTONIC")
    start_ns: int = column("int64", "ns", "when it ran, CLOCK_MONOTONIC")
    end_ns: int = column("int64", "ns", "when its load was done, CLOCK_MONOTONIC; start_ns for a task without a load")
    deadline_ns: int = column("int64", "ns", "by when it was to be done, CLOCK_MONOTONIC: release_ns + deadline")
    latency_ns: int = column("int64", "ns", "how late it ran: start_ns - release_ns")
    response_ns: int = column("int64", "ns", "how long it took from its release: end_ns - release_ns")
    execution_ns: int = column("Int64", "ns", "CPU time from start to end; <NA> for a task without a load")
    waited_ns: int = column("int64", "ns", "time spent in its lock steps until they had the mutex")
    cpu: int = column("int32", "", "the CPU on which it woke up")
    preemptions: int = column("Int64", "", "involuntary context switches in its load (getrusage(2)); <NA> without one")
    missed: int = column("int32", "", "the releases it slept through: due after this one, and past when it was done")
    overrun: bool = column("bool", "", "whether it ended later than its deadline and the tolerance allow")


@table("rt.summary", version=2)
@dataclass(frozen=True)
class Summary:
    """A task's latencies, period errors, execution and response times, a row each. NaN where there are no samples."""

    task: str = column("str", "", "the task's name")
    measure: str = column("str", "", "latency, period, execution or response")
    policy: str = column("str", "", "the policy that the kernel gave the task, read back while it ran")
    priority: int = column("int64", "", "its real-time priority; 0 under policies that have none")
    samples: int = column("int64", "", "jobs measured")
    missed: int = column("int64", "", "releases slept through; jobs + missed is every release there was")
    overruns: int = column("int64", "", "jobs that ended later than their deadline and the tolerance allow")
    min_us: float = column("float64", "us", "the smallest")
    mean_us: float = column("float64", "us", "the mean")
    std_us: float = column("float64", "us", "the standard deviation (of a sample: n - 1)")
    p50_us: float = column("float64", "us", "half of the samples are no larger")
    p90_us: float = column("float64", "us", "90 % of the samples are no larger")
    p99_us: float = column("float64", "us", "99 % of the samples are no larger")
    p99_9_us: float = column("float64", "us", "99.9 % of the samples are no larger")
    p99_99_us: float = column("float64", "us", "99.99 % of the samples are no larger")
    max_us: float = column("float64", "us", "the largest")
    jitter_us: float = column("float64", "us", "max_us - min_us")


@table("rt.histogram", version=1)
@dataclass(frozen=True)
class Histogram:
    """How many samples of a task lie in a bucket. Buckets without samples have no row."""

    task: str = column("category", "", "the task's name; of an import, the thread's or the CPU's")
    measure: str = column(
        "category", "", "latency, period, execution or response; of an import, what its tool measured"
    )
    low_ns: int = column("int64", "ns", "the smallest value of the bucket")
    high_ns: int = column("int64", "ns", "the smallest value above the bucket; low_ns + 1 where values are exact")
    count: int = column("int64", "", "samples in the bucket")


@table("rt.steps", version=1)
@dataclass(frozen=True)
class StepTime:
    """When a step of a job began and ended. A lock step ends when the job has the mutex."""

    task: str = column("category", "", "the task's name")
    job: int = column("int64", "", "the number of the job's release")
    step: int = column("int32", "", "the step's place in the load, from 0")
    what: str = column("category", "", "the step in words: busy 2 ms, lock bus")
    begin_ns: int = column("int64", "ns", "when it began, CLOCK_MONOTONIC")
    end_ns: int = column("int64", "ns", "when it was done, CLOCK_MONOTONIC")


@table("rt.misses", version=1)
@dataclass(frozen=True)
class Missed:
    """A job, or a kick of a heartbeat, that the watchdog did not see in time."""

    name: str = column("category", "", "the task's name, or the heartbeat's")
    expected_ns: int = column("int64", "ns", "when it was due: after the job's release, or after the kick before it")
    actual_ns: int = column("int64", "ns", "when, counted from there, the watchdog saw that it had not come")
    late_ns: int = column("int64", "ns", "how late the watchdog itself was: actual_ns - expected_ns")
    stopped: bool = column("bool", "", "whether the task was ended for it")

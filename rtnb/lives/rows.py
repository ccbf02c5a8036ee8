# SPDX-License-Identifier: MIT
"""What does a comparison say of a task? What was predicted, simulated and observed, and what broke if they differ."""

from __future__ import annotations

from dataclasses import dataclass

from rtnb.schema import column, table

__all__ = ["ASSUMPTIONS", "Comparison"]

ASSUMPTIONS = {
    "none": "nothing broke: what was observed is within the bound",
    "overrun": "a job executed longer than its C: its own, or one that it had to wait for",
    "throttling": "the kernel took it off the CPU for tasks below it: its budget, or real-time's share, was used up",
    "other load": "a task that is not in the set had its CPU",
    "interrupts": "interrupts and softirqs took its CPU",
    "host": "the host of this virtual machine took its CPU",
    "release latency": "it woke up after its release: the timer's lateness, an idle CPU, a wake-up that was not seen",
    "blocking": "it slept within its job longer than the protocol's blocking term",
    "migration": "it went on on another CPU than before, with cold caches",
    "overhead": "none of these: the kernel's own switching, which no C contains, or a host that does not tell",
    "release skipped": "it slept through releases, and the bound is for jobs that are all released",
    "cannot tell": "the run was not traced, or does not show it",
}
"""Each word of the column `assumption`, and what it means."""


@table("lives.comparison", version=1)
@dataclass(frozen=True)
class Comparison:
    """One task in three lives: its bound, its simulation, and what the running kernel made of it."""

    task: str = column("str", "", "the task's name")
    C_ns: int = column("int64", "ns", "the most that a job was declared to execute")
    deadline_ns: int = column("int64", "ns", "the deadline, counted from the release")
    predicted_ns: int = column("Int64", "ns", "the bound on the response time; <NA>: theory has none")
    simulated_ns: int = column("Int64", "ns", "the largest response time of the simulation; <NA>: no job was done")
    observed_p50_ns: int = column("Int64", "ns", "half of the observed response times are no larger; <NA>: no job")
    observed_p99_ns: int = column("Int64", "ns", "99 % of the observed response times are no larger")
    observed_ns: int = column("Int64", "ns", "the largest observed response time")
    jobs: int = column("int64", "", "jobs observed")
    late: int = column("int64", "", "jobs that ended after their deadline")
    missed: int = column("int64", "", "releases that it slept through")
    holds: bool = column("bool", "", "whether no observed response time is above the bound")
    assumption: str = column("category", "", "the assumption of the theory that broke; none where the bound holds")
    evidence: str = column("str", "", "what shows it, with its numbers")

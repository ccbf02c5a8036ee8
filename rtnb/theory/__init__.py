# SPDX-License-Identifier: MIT
"""Does it fit? Exact real-time theory of task sets: their tests, their simulation, and what makes them. Pure.

`TaskSet` is where all begins; `analyse()` gives every test that fits, `simulate()` the schedule.
"""

from __future__ import annotations

from rtnb.theory.acceptance import acceptance
from rtnb.theory.admission import linux_admission
from rtnb.theory.blocking import Blocking, blocking, ceilings, deadlocks
from rtnb.theory.bounds import hyperbolic, liu_layland, liu_layland_bound, utilisation
from rtnb.theory.cell import taskset
from rtnb.theory.demand import busy_period, demand_bound, demand_limit, processor_demand, qpa
from rtnb.theory.edf import edf_density, edf_response_times, edf_utilisation
from rtnb.theory.generate import generate, log_uniform_periods, randfixedsum, uunifast, uunifast_discard
from rtnb.theory.graham import anomalies, list_schedule
from rtnb.theory.interference import global_response_times
from rtnb.theory.ladder import Ladder, analyse, assigned
from rtnb.theory.multiprocessor import dhall, edf_us, gfb, necessary, rm_us, rm_us_priorities, tardiness
from rtnb.theory.partition import Partition, lopez, partition
from rtnb.theory.priorities import Assignment, audsley, deadline_monotonic, rate_monotonic
from rtnb.theory.response import response_times
from rtnb.theory.sensitivity import Breakdown, Slack, breakdown, largest_C, slack
from rtnb.theory.servers import (
    Server,
    background,
    bandwidth,
    constant_bandwidth,
    deferrable,
    deferrable_least_bound,
    polling,
    server_hyperbolic,
    server_liu_layland,
    sporadic,
    total_bandwidth,
    with_server,
)
from rtnb.theory.simulation import Policy, Schedule, simulate
from rtnb.theory.summary import summary
from rtnb.theory.task import Section, Task
from rtnb.theory.taskset import TaskSet
from rtnb.theory.timedemand import time_demand
from rtnb.theory.verdict import Step, Verdict, Witness
from rtnb.theory.wcet import Estimate, unseen, wcet

__all__ = [
    "Assignment",
    "Blocking",
    "Breakdown",
    "Estimate",
    "Ladder",
    "Partition",
    "Policy",
    "Schedule",
    "Section",
    "Server",
    "Slack",
    "Step",
    "Task",
    "TaskSet",
    "Verdict",
    "Witness",
    "acceptance",
    "analyse",
    "anomalies",
    "assigned",
    "audsley",
    "background",
    "bandwidth",
    "blocking",
    "breakdown",
    "busy_period",
    "ceilings",
    "constant_bandwidth",
    "deadline_monotonic",
    "deadlocks",
    "deferrable",
    "deferrable_least_bound",
    "demand_bound",
    "demand_limit",
    "dhall",
    "edf_density",
    "edf_response_times",
    "edf_us",
    "edf_utilisation",
    "generate",
    "gfb",
    "global_response_times",
    "hyperbolic",
    "largest_C",
    "linux_admission",
    "liu_layland",
    "liu_layland_bound",
    "list_schedule",
    "log_uniform_periods",
    "lopez",
    "necessary",
    "partition",
    "polling",
    "processor_demand",
    "qpa",
    "randfixedsum",
    "rate_monotonic",
    "response_times",
    "rm_us",
    "rm_us_priorities",
    "server_hyperbolic",
    "server_liu_layland",
    "simulate",
    "slack",
    "sporadic",
    "summary",
    "tardiness",
    "taskset",
    "time_demand",
    "total_bandwidth",
    "unseen",
    "utilisation",
    "uunifast",
    "uunifast_discard",
    "wcet",
    "with_server",
]

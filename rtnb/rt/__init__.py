# SPDX-License-Identifier: MIT
"""How late, how even, how long: real-time tasks on the running kernel, their mutexes, and their watchdog.

`run()` is `%rt_task`; `start()` runs any set of `Task`s; `summary()`, `histogram()` and `compare()` tell what came of
it, `kernel()` what to expect.
"""

from __future__ import annotations

from rtnb.rt.causes import Cause, Segment
from rtnb.rt.clock import Periodic, now_ns, sleep_until
from rtnb.rt.compare import Comparison, compare
from rtnb.rt.hdr import Latencies
from rtnb.rt.inversion import inversion
from rtnb.rt.jobs import MEASURES, Histogram, Job, Missed, StepTime, Summary
from rtnb.rt.kernel import kernel
from rtnb.rt.latency import histogram, samples, summary
from rtnb.rt.load import Step, busy, c, call, lock, section, sleep, syscalls, touch, unlock
from rtnb.rt.mutex import Mutex, OwnerDied
from rtnb.rt.readers import read_cyclictest, read_rtapp, read_rtla, to_cyclictest, write_json
from rtnb.rt.rt_task import run
from rtnb.rt.run import KEEP, Run, start
from rtnb.rt.task import Task
from rtnb.rt.watchdog import Heartbeat, Watchdog
from rtnb.rt.worker import Miss

__all__ = [
    "Cause",
    "Comparison",
    "Heartbeat",
    "Histogram",
    "Job",
    "KEEP",
    "Latencies",
    "MEASURES",
    "Miss",
    "Missed",
    "Mutex",
    "OwnerDied",
    "Periodic",
    "Run",
    "Segment",
    "Step",
    "StepTime",
    "Summary",
    "Task",
    "Watchdog",
    "busy",
    "c",
    "call",
    "compare",
    "histogram",
    "inversion",
    "kernel",
    "lock",
    "now_ns",
    "read_cyclictest",
    "read_rtapp",
    "read_rtla",
    "run",
    "samples",
    "section",
    "sleep",
    "sleep_until",
    "start",
    "summary",
    "syscalls",
    "to_cyclictest",
    "touch",
    "unlock",
    "write_json",
]

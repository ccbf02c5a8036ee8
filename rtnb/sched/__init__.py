# SPDX-License-Identifier: MIT
"""How are tasks scheduled, and may they be scheduled so?

`threads()` is a row a thread, `of(tid)` one task; a `Spec` says how one shall be scheduled, `explain(spec)` what the
kernel would answer, `apply(spec)` sets it, and `with applied(spec):` puts back what was.
"""

from __future__ import annotations

from rtnb.sched.admission import Explanation, explain
from rtnb.sched.change import applied, apply
from rtnb.sched.command import run
from rtnb.sched.spec import Spec, batch, deadline, fifo, idle, other, rr
from rtnb.sched.task import of
from rtnb.sched.threads import summary, threads

__all__ = [
    "Explanation",
    "Spec",
    "applied",
    "apply",
    "batch",
    "deadline",
    "explain",
    "fifo",
    "idle",
    "of",
    "other",
    "rr",
    "run",
    "summary",
    "threads",
]

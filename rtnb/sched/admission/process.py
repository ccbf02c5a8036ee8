# SPDX-License-Identifier: MIT
"""What refuses locked memory, and CPUs that may not sleep deeply? They are a process's, not a task's.

Source: mlockall(2), mm/mlock.c (can_do_mlock); Documentation/power/pm_qos_interface.rst.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from rtnb.abi.capability import effective
from rtnb.caps.rt import LATENCY, above_memlock, foreign_namespace, no_latency
from rtnb.sched.admission.facts import Facts, Refusal
from rtnb.sched.spec import Spec

__all__ = ["latency", "memory"]


def memory(spec: Spec, facts: Facts) -> Refusal | None:
    """mlockall(2): all that is mapped counts, also what is not in memory yet."""
    import resource  # Windows has no such module, and loads recordings all the same

    held = "CAP_IPC_LOCK" in effective(facts.caller.tid)
    inside = foreign_namespace() if held else None
    if held and not inside:
        return None
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    reason = inside or above_memlock(limit)
    if limit == 0:
        return Refusal("EPERM", reason.why, reason.remedy)
    mapped = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    if mapped // resource.getpagesize() <= limit // resource.getpagesize():
        return None
    return Refusal("ENOMEM", f"{reason.why}, and {mapped:,} are mapped", reason.remedy)


def latency(spec: Spec, facts: Facts) -> Refusal | None:
    """open(2) of /dev/cpu_dma_latency for writing."""
    number = 0 if os.access(LATENCY, os.W_OK, effective_ids=True) else errno.EACCES
    number = number if os.path.exists(LATENCY) else errno.ENOENT
    if not number:
        return None
    reason = no_latency(number)
    return Refusal(errno.errorcode[number], reason.why, reason.remedy)

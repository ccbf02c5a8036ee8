# SPDX-License-Identifier: MIT
"""How is a task scheduled, right now? What the kernel says, never what was asked of it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from rtnb.abi import sched as abi
from rtnb.errors import NoSuchTask

__all__ = ["Spec", "of"]


@dataclass(frozen=True)
class Spec:
    """How a task is scheduled: its policy's name, real-time priority (0: none), nice value and CPUs."""

    policy: str
    priority: int
    nice: int
    cpus: frozenset[int]

    def __str__(self) -> str:
        rank = f"priority {self.priority}" if self.priority else f"nice {self.nice}"
        return f"SCHED_{self.policy.upper()} {rank} on CPU {', '.join(map(str, sorted(self.cpus)))}"


def of(tid: int = 0) -> Spec:
    """What the thread `tid` really has (0: the calling one). Raises NoSuchTask where it is gone.

    Source: sched_setattr(2), sched_setaffinity(2), sched(7).

    >>> print(of())
    SCHED_OTHER nice 0 on CPU 0, 1
    """
    try:
        attr = abi.sched_getattr(tid)
        cpus = frozenset(os.sched_getaffinity(tid))
    except (OSError, OverflowError) as e:
        raise NoSuchTask(f"task {tid}", "it does not exist, or no longer") from e
    return Spec(abi.NAMES.get(attr.policy, str(attr.policy)), attr.priority, attr.nice, cpus)

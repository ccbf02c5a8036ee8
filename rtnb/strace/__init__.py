# SPDX-License-Identifier: MIT
"""Which system calls does a command make, what do they return, how long do they take? (%strace)"""

from __future__ import annotations

from rtnb.strace.counts import Count, summary
from rtnb.strace.frame import Call
from rtnb.strace.ptrace import run

__all__ = ["Call", "Count", "run", "summary"]

# SPDX-License-Identifier: MIT
"""How late does a real-time task wake up? `run()` measures it, `summary()` tells it in one row."""

from __future__ import annotations

from rtnb.rt.task import run
from rtnb.rt.wakeups import Summary, Wakeup, summary

__all__ = ["Summary", "Wakeup", "run", "summary"]

# SPDX-License-Identifier: MIT
"""The pictures of real-time theory: schedules, staircases, demand, ladders, acceptance, and the three lives."""

from __future__ import annotations

from rtnb.plots.theory.analysis import bounds, demand, ladder, shares, staircase
from rtnb.plots.theory.experiments import acceptance, comparison, exceedance
from rtnb.plots.theory.schedule import schedule, schedule_of

__all__ = [
    "acceptance",
    "bounds",
    "comparison",
    "demand",
    "exceedance",
    "ladder",
    "schedule",
    "schedule_of",
    "shares",
    "staircase",
]

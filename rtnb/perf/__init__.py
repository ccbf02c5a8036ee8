# SPDX-License-Identifier: MIT
"""How many events did it take? `%perf_stat`: counters around a command, or around a cell's own Python.

names.py reads what was asked for, counters.py opens and reads it, runs.py runs something in between, rates.py
says what the counts mean. Source: perf_event_open(2), perf-stat(1).
"""

from __future__ import annotations

from rtnb.perf.counters import Counter
from rtnb.perf.names import DEFAULT, EVENTS, Event, Name, events
from rtnb.perf.rates import Summary, summary
from rtnb.perf.runs import counting, stat

__all__ = ["Counter", "DEFAULT", "EVENTS", "Event", "Name", "Summary", "counting", "events", "stat", "summary"]

# SPDX-License-Identifier: MIT
"""What came of it? The schedule: its tables, the response times, the misses, and why a job waited."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from rtnb.errors import BadInput, closest
from rtnb.recording import Header, Recording
from rtnb.schema import category, frame
from rtnb.theory.exact import Time, from_ticks
from rtnb.theory.exact import words as in_words
from rtnb.theory.rows import Event, Piece, SimulatedJob
from rtnb.theory.simulation.plan import Plan
from rtnb.theory.simulation.trace import RUN, STATES, Segments, Trace
from rtnb.theory.summary import summary

if TYPE_CHECKING:
    from rtnb.theory.taskset import TaskSet

__all__ = ["Miss", "Schedule"]

_OUTCOMES = ["done", "late", "aborted", "skipped", "unfinished"]


class Miss(NamedTuple):
    """A job was not done at its deadline, which is at `t`."""

    task: str
    job: int
    t: Time


class Schedule:
    """A simulated schedule, exact, of the time [0, until).

    `met`: no deadline was missed. Tables: `jobs`, `segments`, `events`; all in `recording`. Times that are no columns
    are those of the set.

    >>> from rtnb.theory import TaskSet
    >>> schedule = TaskSet(C=[3, 3, 5], T=[7, 12, 20]).simulate()
    >>> schedule.response_times, schedule.met
    ({'t1': 3, 't2': 6, 't3': 20}, True)
    >>> schedule.gantt()[:4]
    [('t1', 0, 3), ('t2', 3, 6), ('t3', 6, 7), ('t1', 7, 10)]
    """

    def __init__(self, made: Plan, trace: Trace) -> None:
        factor = trace.whole() if made.servers else 1
        self._plan, self._trace = made, trace
        self._per_unit, self._until = made.per_unit * factor, made.until * factor
        self._j = _arrays(trace.jobs)

    @property
    def taskset(self) -> TaskSet:
        """The set that was simulated."""
        return self._plan.taskset

    @property
    def policy(self) -> str:
        """The policy's name."""
        return self._plan.policy.name

    @property
    def protocol(self) -> str:
        """The resource protocol's name."""
        return self._plan.protocol

    @property
    def cpus(self) -> int:
        """How many CPUs there were."""
        return self._plan.cpus

    @property
    def until(self) -> Time:
        """The end of the schedule."""
        return self._time(self._until)

    def _time(self, count: Any) -> Time:
        return from_ticks(int(count), self._per_unit)

    # Numbers.

    @cached_property
    def response_times(self) -> dict[str, Time | None]:
        """The largest response time of each task, then of each server, of jobs that were done; None: none was."""
        j = self._j
        done = (j.finish >= 0) & (j.fate == 0)
        largest = np.full(len(self._trace.names), -1)
        np.maximum.at(largest, j.lane[done], j.finish[done] - j.arrival[done])
        return {
            name: None if r < 0 else self._time(r) for name, r in zip(self._trace.names, largest.tolist(), strict=True)
        }

    @cached_property
    def _missed(self) -> np.ndarray[Any, Any]:
        """The rows of the jobs that missed their deadline, in time order."""
        j = self._j
        late = np.where(j.finish < 0, j.deadline <= self._until, j.finish > j.deadline)
        late &= (j.fate != 2) & (j.lane < len(self.taskset)) & (j.deadline <= self._until)
        rows = np.flatnonzero(late)
        return rows[np.lexsort((j.lane[rows], j.deadline[rows]))]

    @cached_property
    def misses(self) -> list[Miss]:
        """The deadlines that were missed, in time order: the task, its job, and the deadline."""
        j, names = self._j, self._trace.names
        return [Miss(names[j.lane[at]], int(j.number[at]), self._time(j.deadline[at])) for at in self._missed]

    @property
    def met(self) -> bool:
        """Was every deadline up to the end met?"""
        return not len(self._missed)

    @property
    def deadlock(self) -> tuple[Time, tuple[str, ...]] | None:
        """When some tasks first waited for each other in a ring, and who; None: never."""
        found = self._trace.deadlock
        return None if found is None else (self._time(found[0]), found[1])

    def gantt(self, cpu: int = 0) -> list[tuple[str, Time, Time]]:
        """Who ran on a CPU, from when to when, from 0 to the end; "-": nobody. Raises BadInput."""
        if cpu not in range(self.cpus):
            raise BadInput(f"gantt of CPU {cpu}", f"there are {self.cpus}, numbered from 0")
        runs = self._trace.runs or self._s
        mine = np.flatnonzero((np.asarray(runs.state) == RUN) & (np.asarray(runs.cpu) == cpu))
        begins = np.asarray(runs.begin)[mine]
        order = np.argsort(begins)
        ends, lanes = np.asarray(runs.end)[mine], self._j.lane[np.asarray(runs.job, dtype="int64")[mine]]
        columns = (lanes[order].tolist(), begins[order].tolist(), ends[order].tolist())
        found: list[tuple[str, int, int]] = []
        for lane, begin, end in zip(*columns, strict=True):
            _append(found, self._trace.names[lane], begin, end)
        _append(found, "-", self._until, self._until)
        return [(name, self._time(begin), self._time(end)) for name, begin, end in found]

    def budget(self, server: str) -> list[tuple[Time, Time]]:
        """What a server's budget was: from when on, and how much. Raises BadInput."""
        steps = self._trace.budgets.get(server)
        if steps is None:
            raise BadInput(f"budget of {server}", "there is no such server", closest(str(server), self._trace.budgets))
        return [(self._time(t), self._time(budget)) for t, budget in steps]

    # Tables.

    @cached_property
    def _header(self) -> Header:
        trace = self._trace
        details: dict[str, Any] = {"policy": self.policy, "protocol": self.protocol, "cpus": self.cpus}
        details |= {"until": self._until, "lanes": list(trace.names)}
        if trace.budgets:
            details["budget"] = {name: [list(step) for step in steps] for name, steps in trace.budgets.items()}
        if trace.ceilings:
            details["ceilings"] = [list(step) for step in trace.ceilings]
        notes: tuple[str, ...] = ()
        if self.deadlock:
            t, names = self.deadlock
            notes = (f"deadlock at {self._words(t)}: {', '.join(names)} wait for each other",)
        return self.taskset.table(per_unit=self._per_unit, details=details).with_header(notes=notes).header

    def _table(self, name: str, df: pd.DataFrame) -> pd.DataFrame:
        return Recording(self._header, {name: df}).tables[name]

    @cached_property
    def recording(self) -> Recording:
        """The tables `jobs`, `segments` and `events`."""
        return Recording(self._header, {"jobs": self.jobs, "segments": self.segments, "events": self.events})

    @cached_property
    def jobs(self) -> pd.DataFrame:
        """Every job, in order of release (theory.jobs)."""
        j = self._j
        done = j.finish >= 0
        outcome = np.where(done, j.finish > j.deadline, _OUTCOMES.index("unfinished"))
        outcome[j.lane >= len(self.taskset)] = np.where(done, 0, 4)[j.lane >= len(self.taskset)]
        outcome = np.where(j.fate > 0, j.fate + 1, outcome)
        columns = {
            "task": category(j.lane, self._trace.names),
            "job": j.number,
            "arrival": j.arrival,
            "release": j.release,
            "start": _nullable(j.start),
            "finish": _nullable(j.finish),
            "deadline": j.deadline,
            "response": _nullable(np.where(done, j.finish - j.arrival, -1)),
            "execution": j.execution,
            "preemptions": j.preemptions,
            "migrations": j.migrations,
            "outcome": category(outcome, _OUTCOMES),
        }
        return self._table("jobs", frame(SimulatedJob, columns))

    @cached_property
    def _s(self) -> Segments:
        trace = self._trace
        made: Segments = _arrays(trace.make() if trace.make else trace.segments)
        return made

    @cached_property
    def segments(self) -> pd.DataFrame:
        """What each job did and waited for, by begin, then list order (theory.segments)."""
        s, j = self._s, self._j
        order = np.lexsort((j.number[s.job], j.lane[s.job], s.begin))
        rows = s.job[order]
        columns = {
            "task": category(j.lane[rows], self._trace.names),
            "job": j.number[rows],
            "state": category(s.state[order], STATES),
            "begin": s.begin[order],
            "end": s.end[order],
            "cpu": s.cpu[order],
            "by": category(s.by[order], self._trace.words),
            "resource": category(s.resource[order], self._trace.words),
        }
        return self._table("segments", frame(Piece, columns))

    @cached_property
    def events(self) -> pd.DataFrame:
        """Locks, waits, inherited priorities, ceilings, budgets, misses, in time order (theory.events)."""
        told = [*self._trace.events, *self._budgets(), *self._misses()]
        told.sort(key=lambda event: event[0])  # stable: at one instant, what happened first stays first
        t, kind, task, job, what = zip(*told, strict=True) if told else ([], [], [], [], [])
        columns = {"t": t, "kind": kind, "task": task, "job": job, "what": what}
        return self._table("events", frame(Event, {name: list(values) for name, values in columns.items()}))

    def _budgets(self) -> Iterable[tuple[int, str, str, int, str]]:
        for name, steps in self._trace.budgets.items():
            for t, budget in steps:
                yield t, "budget", name, 0, self._words(self._time(budget))

    def _misses(self) -> Iterable[tuple[int, str, str, int, str]]:
        j = self._j
        for at in self._missed.tolist():
            late = self._time(j.finish[at] - j.deadline[at]) if j.finish[at] >= 0 else None
            what = "not done" if late is None else f"done {self._words(late)} after it"
            yield int(j.deadline[at]), "miss", self._trace.names[j.lane[at]], int(j.number[at]), what

    # Why.

    def why(self, task: str, job: int = 1) -> pd.DataFrame:
        """What one job did and waited for: its segments (theory.segments). Raises BadInput."""
        self._row(task, job)
        df = self.segments
        return df[(df["task"] == task) & (df["job"] == job)].reset_index(drop=True)

    def why_words(self, task: str, job: int = 1) -> str:
        """In a sentence why a job took as long as it did. Raises BadInput.

        >>> from rtnb.theory import TaskSet
        >>> TaskSet(C=[3, 3, 5], T=[7, 12, 20]).simulate().why_words("t3")
        't3 job 1 was released at 0 and done at 20, response 20 = 5 run + 15 preempted (t1 9, t2 6)'
        """
        at, j = self._row(task, job), self._j
        arrival, release, finish = int(j.arrival[at]), int(j.release[at]), int(j.finish[at])
        jitter = release - arrival
        came = f"arrived at {self._in_words(arrival)}, " if jitter else ""
        if j.fate[at] == 2:
            return f"{task} job {job} was skipped at {self._in_words(release)}: the job before it was late"
        if release >= self._until:
            return f"{task} job {job} {came}was not released by {self._in_words(self._until)}"
        end = f"done at {self._in_words(finish)}" if finish >= 0 else f"not done by {self._in_words(self._until)}"
        if j.fate[at] == 1:
            end = f"aborted at its deadline, {self._in_words(j.deadline[at])}"
        parts = [f"{self._in_words(jitter)} jitter"] if jitter else []
        parts += self._parts(task, self.why(task, job))
        total = f", response {self._in_words(finish - arrival)} = " if finish >= 0 else ": "
        return f"{task} job {job} {came}was released at {self._in_words(release)} and {end}{total}{' + '.join(parts)}"

    def _parts(self, task: str, df: pd.DataFrame) -> list[str]:
        """How long each state lasted, and who was the reason."""
        sizes = (df["end"] - df["begin"]).tolist()
        lasted: dict[str, dict[tuple[str, str], int]] = {state: {} for state in STATES}
        for state, by, held, size in zip(*(df[c].astype(str) for c in ("state", "by", "resource")), sizes, strict=True):
            reason = (by, held if state == "blocked" else "")
            lasted[state][reason] = lasted[state].get(reason, 0) + size
        parts = [f"{self._in_words(sum(lasted['run'].values()))} run"] if lasted["run"] else []
        if others := lasted["preempted"]:
            who = {by: "its own job before" if by == task else by for by, _ in others}
            each = [f"{who[by]} {self._in_words(size)}" for (by, _), size in others.items()]
            parts.append(f"{self._in_words(sum(others.values()))} preempted ({', '.join(each)})")
        for (by, held), size in lasted["blocked"].items():
            parts.append(f"{self._in_words(size)} blocked by {by}" + (f", which holds {held}" if held else ""))
        if lasted["throttled"]:
            parts.append(f"{self._in_words(sum(lasted['throttled'].values()))} throttled")
        return parts

    def _row(self, task: str, job: int) -> int:
        names, j = self._trace.names, self._j
        if task not in names:
            hint = closest(str(task), names) or f"one of {', '.join(names)}"
            raise BadInput(f"task {task}", "there is no such task in the schedule", hint)
        rows = np.flatnonzero((j.lane == names.index(task)) & (j.number == job))
        if not len(rows):
            raise BadInput(f"{task} job {job}", "there is no such job in the schedule", "jobs are numbered from 1")
        return int(rows[0])

    def _words(self, time: Time) -> str:
        return in_words(time, self.taskset.unit)

    def _in_words(self, count: Any) -> str:
        return self._words(self._time(count))

    def __repr__(self) -> str:
        count = len(self._missed)
        missed = f"{count:,} deadline{'s' * (count > 1)} missed" if count else "all deadlines met"
        ring = f", deadlock at {self._words(self.deadlock[0])}" if self.deadlock else ""
        cpus = f" on {self.cpus} CPUs" if self.cpus > 1 else ""
        what = f"{len(self._j.lane):,} job{'s' * (len(self._j.lane) != 1)} up to {self._words(self.until)}"
        return f"Schedule: {self.policy}{cpus}, {what}: {missed}{ring}"

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self))}</p>{summary(self.jobs)._repr_html_()}"


def _append(found: list[tuple[str, int, int]], name: str, begin: int, end: int) -> None:
    """Add a stretch, with the idle time before it; the same name goes on."""
    last = found[-1][2] if found else 0
    if begin > last:
        found.append(("-", last, begin))
    if found and found[-1][0] == name:
        found[-1] = (name, found[-1][1], end)
    elif end > begin:
        found.append((name, begin, end))


def _nullable(values: np.ndarray[Any, Any]) -> Any:
    return pd.arrays.IntegerArray(values.astype("int64"), values < 0)


def _arrays(table: Any) -> Any:
    """The columns as arrays. Raises BadInput where the ticks are too many."""
    try:
        return type(table)(*(np.asarray(getattr(table, f.name), dtype="int64") for f in fields(table)))
    except OverflowError as e:
        hint = "until=: a shorter time; or budgets and periods of servers that divide each other"
        raise BadInput("simulation", "its times have more than 2**63 ticks", hint) from e

# SPDX-License-Identifier: MIT
"""What does a task set's panel know? The set as its sliders stand, what the tests say, and the schedule, as SVG."""

from __future__ import annotations

import base64
import html
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rtnb import plots
from rtnb.errors import BadInput, RtnbError, closest
from rtnb.plots.theory.scale import Scale
from rtnb.theory.deadlock import protocol_of
from rtnb.theory.exact import Time
from rtnb.theory.taskset import TaskSet

if TYPE_CHECKING:
    import pandas as pd

    from rtnb.theory.ladder import Ladder
    from rtnb.theory.simulation import Schedule

__all__ = ["FIELDS", "POLICIES", "Panel", "View"]

FIELDS = ("C", "T", "D")
POLICIES = ("fp", "rm", "dm", "edf", "llf")
_TASKS, _JOBS, _POSITIONS, _QUANTA = 20, 60, 20, 800
_EMPTY = '<svg xmlns="http://www.w3.org/2000/svg" width="900" height="60"></svg>'
_WRAP = ("nowrap", "nowrap", "nowrap", "normal")
_MARKS = {"yes": "✓ yes", "no": "✗ no", "cannot tell": "? cannot tell"}


@dataclass(frozen=True)
class View:
    """What a panel shows: the ladder (theory.verdicts; None: the set means nothing), the picture, and what to say."""

    says: str
    ladder: pd.DataFrame | None
    svg: str
    notes: tuple[str, ...] = ()

    def table(self) -> str:
        """The ladder as an HTML table."""
        if self.ladder is None:
            return ""
        names = ("test", "kind", "schedulable", "inequality", "witness")
        rows = zip(*(self.ladder[name].astype("str") for name in names), strict=True)
        cells = [[test, kind, _MARKS.get(said, said), f"{i}: {w}" if w else i] for test, kind, said, i, w in rows]
        head = "".join(
            f'<th scope="col" style="text-align:left;padding-right:1em">{name}</th>' for name in (*names[:3], "because")
        )
        body = "".join("<tr>" + "".join(map(_cell, row, _WRAP)) + "</tr>" for row in cells)
        return f'<table class="rtnb-ladder"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'

    def words(self) -> str:
        """What it says, and its notes, as HTML."""
        notes = "".join(f"<div>{html.escape(note)}</div>" for note in self.notes)
        return f'<div class="rtnb-says" role="status"><b>{html.escape(self.says)}</b>{notes}</div>'

    def to_html(self) -> str:
        """All of it as it stands, for where nothing moves: words, the picture as an image, and the table."""
        data = base64.b64encode(self.svg.encode()).decode()
        image = f'<img src="data:image/svg+xml;base64,{data}" alt="the schedule: {html.escape(self.says)}">'
        return f"<div>{self.words()}{image}{self.table()}</div>"


def _cell(words: str, wrap: str) -> str:
    return f'<td style="text-align:left;padding-right:1em;white-space:{wrap}">{html.escape(words)}</td>'


class Panel:
    """A set whose C, T and D are moved in steps; each move tells what the tests say, and draws the schedule.

    A step is a tick of the set; where its times have a unit, a power of ten of it that leaves at least twenty
    positions. Raises BadInput for more than 20 tasks, and an unknown policy or protocol.

    >>> panel = Panel(TaskSet(C=[1, 2], T=[4, 6]))
    >>> panel.set("t1", "C", 3).says
    'not schedulable under fp: U = 13/12 = 1.083'
    >>> panel.set("t1", "C", 2).says
    'schedulable under fp: U = 5/6 = 0.8333'
    """

    def __init__(self, ts: TaskSet, policy: str = "fp", protocol: str = "none") -> None:
        if len(ts) > _TASKS:
            raise BadInput("panel", f"it has {len(ts)} tasks, and there is room for {_TASKS}", "take some of them")
        self.origin, self.policy = ts, _known(policy)
        self.protocol = protocol_of(protocol)
        found = {field: ts.in_ticks(field) for field in FIELDS}
        self.step_ticks = _step(found, ts.unit)
        self.steps = {
            (task.name, field): found[field][at] // self.step_ticks for at, task in enumerate(ts) for field in FIELDS
        }
        self._first = dict(self.steps)
        self.schedule: Schedule | None = None

    @property
    def step(self) -> Time:
        """How long a step is."""
        return self.origin.from_ticks(self.step_ticks)

    @property
    def scale(self) -> Scale:
        """In what the sliders count."""
        longest = max(self.origin.in_ticks("T"))
        return Scale.of({"per_unit": self.origin.per_unit, "unit": self.origin.unit}, longest)

    @property
    def taskset(self) -> TaskSet:
        """The set as it stands. Raises BadInput for what is none."""
        moved: dict[str, Any] = {
            field: [self.origin.from_ticks(self.steps[task.name, field] * self.step_ticks) for task in self.origin]
            for field in FIELDS
        }
        return self.origin.with_(**moved)

    def range(self, name: str, field: str) -> tuple[int, int]:
        """From where to where a value can be moved, in steps: C to its period, T to four and D to two of them."""
        T = self._first[name, "T"]
        return 1, max({"C": 1, "T": 4, "D": 2}[field] * T, 2 * self._first[name, field] if field == "D" else T)

    def set(self, name: str, field: str, steps: int) -> View:
        """Move a value. A deadline that is the period follows it. Raises BadInput for what cannot be moved."""
        if (name, field) not in self.steps:
            known = closest(str(name), [task.name for task in self.origin])
            raise BadInput(f"panel, {name} {field}", "there is no such slider", known)
        low, high = self.range(name, field)
        if field == "T" and self.steps[name, "D"] == self.steps[name, "T"]:
            self.steps[name, "D"] = min(max(int(steps), low), self.range(name, "D")[1])
        self.steps[name, field] = min(max(int(steps), low), high)
        return self.view()

    def choose(self, policy: str) -> View:
        """Take another policy. Raises BadInput."""
        self.policy = _known(policy)
        return self.view()

    def view(self) -> View:
        """What the tests say of the set as it stands, and its schedule: a sentence, where it is none."""
        self.schedule = None
        try:
            ts = self.taskset
            ladder, notes = self._ladder(ts)
            self.schedule = self._simulated(ts)
            picture = plots.svg(plots.schedule_of(self.schedule, length=self.schedule.until))
        except RtnbError as e:
            return View(f"{e.tried}: {e.why}", None, _EMPTY, (e.hint,) if e.hint else ())
        proved = {True: "schedulable", False: "not schedulable", None: "no test can tell whether it is schedulable"}
        says = f"{proved[ladder.schedulable]} under {self.policy}: U = {ts.U} = {float(ts.U):.4g}"
        if ladder.schedulable is False and self.schedule.met:
            notes = (*notes, f"no deadline is missed before {ts.words(self.schedule.until)}, where the picture ends")
        notes = (*notes, *self._unprotected(ts))
        own = [self.policy != "llf" or not verdict.R for verdict in ladder]  # the response times are EDF's alone
        return View(says, ladder.frame[own], picture, notes)

    def why(self, task: str, job: int) -> str:
        """Why a job of the picture took as long as it did; nothing, where there is no such job."""
        if self.schedule is None:
            return ""
        try:
            return self.schedule.why_words(task, job)
        except BadInput:
            return ""

    def _ladder(self, ts: TaskSet) -> tuple[Ladder, tuple[str, ...]]:
        """The tests of the policy. Least laxity first has none of its own: it schedules what EDF does."""
        policy = "edf" if self.policy == "llf" else self.policy
        ladder = ts.analyse(policy, protocol=self.protocol)
        if self.policy != "llf":
            return ladder, ladder.left_out
        own = "least laxity first is optimal on one CPU, as EDF is: the tests are EDF's"
        coarse = f"in the picture it decides anew every {ts.words(ts.from_ticks(_quantum(ts)))}, not at every instant"
        return ladder, (own, *((coarse,) if _quantum(ts) > _finest(ts) else ()), *ladder.left_out)

    def _unprotected(self, ts: TaskSet) -> tuple[str, ...]:
        """That what is shared has no protocol, where it has none."""
        if not ts.shared or self.protocol != "none":
            return ()
        names = ", ".join(sorted(ts.shared))
        return (f"{names}: shared with no protocol, so that who waits has no bound; try protocol='pip' or 'icpp'",)

    def _simulated(self, ts: TaskSet) -> Schedule:
        """As much of the schedule as is drawn."""
        options: dict[str, Any] = {"until": ts.from_ticks(_until(ts)), "protocol": self.protocol}
        if self.policy == "llf":
            options["quantum"] = ts.from_ticks(_quantum(ts))
        return ts.simulate(self.policy, **options)


def _until(ts: TaskSet) -> int:
    """The end of the picture in ticks: a hyperperiod, four of the longest period, or about a hundred jobs."""
    T, first = ts.in_ticks("T"), max(ts.in_ticks("offset"))
    many = math.ceil(_JOBS / sum(1 / period for period in T))
    return min(math.lcm(*T) * (2 if first else 1), 4 * max(T), max(many, 2 * min(T))) + first


def _quantum(ts: TaskSet) -> int:
    """How often least laxity first decides anew, in ticks."""
    return max(_finest(ts), _until(ts) // _QUANTA)


def _finest(ts: TaskSet) -> int:
    """The greatest common divisor of the set's C, T and D, in ticks."""
    return math.gcd(*(time for field in FIELDS for time in ts.in_ticks(field)))


def _known(policy: str) -> str:
    if policy not in POLICIES:
        raise BadInput(f"policy {policy}", "a panel has none of that name", f"one of {', '.join(POLICIES)}")
    return policy


def _step(found: dict[str, list[int]], unit: str) -> int:
    """The greatest common divisor of all times; of those with a unit, a tenth of it until there are enough steps."""
    step = math.gcd(*(time for times in found.values() for time in times))
    while unit and step % 10 == 0 and min(found["T"]) // step < _POSITIONS:
        step //= 10
    return step

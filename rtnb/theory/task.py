# SPDX-License-Identifier: MIT
"""What does the theory know of a task? How much, how often, by when; how late its release, what it locks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any

from rtnb.errors import BadInput, closest
from rtnb.text import printable
from rtnb.theory.exact import Time, exact, words

__all__ = ["FIELDS", "TIMES", "Section", "Task", "check", "field_of", "sections"]

NAMES = {
    "name": "name",
    "task": "name",
    "c": "C",
    "wcet": "C",
    "runtime": "C",
    "t": "T",
    "period": "T",
    "d": "D",
    "deadline": "D",
    "priority": "priority",
    "prio": "priority",
    "j": "jitter",
    "jitter": "jitter",
    "o": "offset",
    "offset": "offset",
    "phase": "offset",
    "cpu": "cpu",
    "sections": "sections",
}
"""What a column may be called, in small letters, and the field that it is."""

_SECTION = re.compile(r"(?P<resource>[^\s@:,]+)(?:@(?P<start>[^\s:,]+))?:(?P<length>[^\s,]+)")


@dataclass(frozen=True)
class Section:
    """A critical section: after `start` of its own execution the task locks `resource`, and holds it for `length`."""

    resource: str
    start: Time
    length: Time

    @property
    def end(self) -> Time:
        """The execution after which it unlocks."""
        return self.start + self.length

    def __str__(self) -> str:
        return f"{self.resource}@{self.start}:{self.length}"


@dataclass(frozen=True)
class Task:
    """A task: at most `C` of execution, every `T`, done within `D` of its arrival.

    A smaller number is a higher `priority`. Job k = 1, 2, ... arrives at `offset` + (k - 1) T and is released up to
    `jitter` later. `cpu`: the only one that it may run on. Times are ints or Fractions, in the unit of its set.

    >>> Task("ctrl", 1, 5, D=4)
    Task(name='ctrl', C=1, T=5, D=4, priority=0, jitter=0, offset=0, cpu=None, sections=())
    """

    name: str
    C: Time
    T: Time
    D: Time
    priority: int = 0
    jitter: Time = 0
    offset: Time = 0
    cpu: int | None = None
    sections: tuple[Section, ...] = ()

    @property
    def U(self) -> Fraction:
        """Its utilisation, C / T."""
        return Fraction(self.C) / self.T


TIMES = ("C", "T", "D", "jitter", "offset")
FIELDS = tuple(f.name for f in fields(Task))


def check(raw: Mapping[str, Any], number: int, unit: str = "") -> tuple[Task, set[str]]:
    """The task of a row (number from 1) by field, and the units that its times have; bare numbers count in `unit`.

    Raises BadInput, naming the row.
    """
    name = str(raw.get("name") or f"t{number}")
    tried = f"task set, row {number} ({printable(name)[:40]})"
    if not name.strip() or len(name.encode(errors="replace")) > 31 or printable(name) != name:
        raise BadInput(tried, "a name has 1 to 31 bytes that can be printed")
    if lacks := [field for field in ("C", "T") if raw.get(field) is None]:
        raise BadInput(tried, f"it has no {lacks[0]}", "a task has at least C and T")
    try:
        times = {field: exact(raw[field], field, unit) for field in TIMES if raw.get(field) is not None}
        held, held_units = sections(raw.get("sections") or (), unit)
        whole = {field: _whole(raw[field], field) for field in ("priority", "cpu") if raw.get(field) is not None}
    except BadInput as e:
        raise BadInput(tried, f"{e.tried}: {e.why}", e.hint) from None
    # 0 has no unit of its own: it is the same time in all.
    units = {named for time, named in times.values() if time} | held_units
    found = {field: time for field, (time, _) in times.items()}
    for field in ("C", "T", "D"):
        if found.get(field) == 0:
            raise BadInput(tried, f"{field} must be above zero")
    priority = whole.get("priority", number)
    task = Task(name, **{"D": found["T"], **found}, priority=priority, cpu=whole.get("cpu"), sections=held)
    if task.cpu is not None and task.cpu < 0:
        raise BadInput(tried, f"there is no cpu {task.cpu}")
    _check_sections(task, tried)
    return task, units


def _whole(value: Any, field: str) -> int:
    try:
        if int(value) == float(value):
            return int(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise BadInput(f"{field} {printable(str(value))[:40]}", "not a whole number")


def sections(given: str | Iterable[Any], unit: str = "") -> tuple[tuple[Section, ...], set[str]]:
    """The sections of `bus@1:4,log:2` and the units of their times. Without @, one starts where the last ended.

    Raises BadInput.

    >>> [str(s) for s in sections("bus@1:4,log:2")[0]]
    ['bus@1:4', 'log@5:2']
    """
    found: list[Section] = []
    units: set[str] = set()
    if not isinstance(given, Iterable):
        raise BadInput(f"sections {printable(str(given))[:40]}", "not a list of them", "bus@1:4, or a list of those")
    for part in given.replace(",", " ").split() if isinstance(given, str) else given:
        if isinstance(part, str):
            match = _SECTION.fullmatch(part)
            if not match:
                hint = "resource@start:length, as in bus@1:4"
                raise BadInput(f"section {printable(part)[:40]}", "not a critical section", hint)
            part = match.groups()
        try:
            resource, start, length = (part.resource, part.start, part.length) if isinstance(part, Section) else part
        except (TypeError, ValueError):
            hint = "resource@start:length, or (resource, start, length)"
            raise BadInput(f"section {printable(str(part))[:40]}", "not a critical section", hint) from None
        if not 1 <= len(str(resource).encode(errors="replace")) <= 31 or printable(str(resource)) != str(resource):
            why = "a resource's name has 1 to 31 bytes that can be printed"
            raise BadInput(f"section {printable(str(resource))[:40]}", why)
        begin, named = (found[-1].end if found else 0, "") if start is None else exact(start, "start", unit)
        size, other = exact(length, "length", unit)
        units |= {other, named if begin and start is not None else other}
        found.append(Section(str(resource), begin, size))
    return tuple(found), units


def _check_sections(task: Task, tried: str) -> None:
    """Within C, of some length, one inside the other or apart: what is locked last is unlocked first."""
    open_: list[Section] = []
    for section in task.sections:
        while open_ and open_[-1].end <= section.start:
            open_.pop()
        if section.length == 0:
            raise BadInput(tried, f"section {section} has no length")
        if section.end > task.C:
            raise BadInput(tried, f"section {section} ends after its C, {words(task.C)}")
        if any(section.resource == outer.resource for outer in open_):
            raise BadInput(tried, f"section {section}: it holds {section.resource} already")
        if (open_ and section.end > open_[-1].end) or _starts_later(task.sections, section):
            why = "sections are nested or apart, in the order in which they are entered"
            raise BadInput(tried, f"section {section}: {why}")
        open_.append(section)


def _starts_later(every: tuple[Section, ...], section: Section) -> bool:
    """Does a section before this one in the list start after it?"""
    return any(before.start > section.start for before in every[: every.index(section)])


def field_of(column: str) -> str:
    """The field that a column names. Raises BadInput."""
    field = NAMES.get(str(column).strip().lower())
    if field is None:
        hint = closest(str(column), NAMES) or f"one of {', '.join(FIELDS)}"
        raise BadInput(f"task set, column {printable(str(column))[:40]}", "no such field of a task", hint)
    return field

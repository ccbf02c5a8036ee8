# SPDX-License-Identifier: MIT
"""What is a task set? Some tasks in an order, checked row by row; from it the four lives begin."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import pandas as pd

from rtnb.errors import BadInput
from rtnb.recording import Header, Recording
from rtnb.schema import frame
from rtnb.text import printable
from rtnb.theory.exact import Time, exact, fraction, from_ticks, in_ticks, ticks, words
from rtnb.theory.rows import TaskRow
from rtnb.theory.task import TIMES, Task, check, field_of
from rtnb.units import NS

if TYPE_CHECKING:
    from rtnb.theory.ladder import Ladder
    from rtnb.theory.simulation import Schedule

__all__ = ["LIVES", "TaskSet", "of_a_set"]

LIVES: dict[str, Callable[..., Any]] = {}
"""What a set can do on a kernel, `run` and `compare`: put here by what stands above the theory, which knows none."""
_ORDER = ("name", "C", "T", "D", "priority", "jitter", "offset", "cpu", "sections")
_NONE = {"", "-", "nan", "none", "<na>", "()"}
TABLE = "theory.tasks"


_P = ParamSpec("_P")
_R = TypeVar("_R")


class TaskSet(Sequence[Task]):
    """Tasks in an order, which is their priority order unless a smaller number says which is higher.

    From the text of a `%%taskset` cell (a row a task: name C T D ..., or a first line that names the columns), a
    DataFrame, rows (tuples (C, T[, D]), mappings, Tasks), or columns as keywords. Times are exact: whole numbers and
    fractions of a unit that has no name (unless `unit` gives it one: "ms"), or durations (`2ms`), which count
    nanoseconds. It never changes; `with_()` and its kin return another.

    Raises BadInput, which names the row.

    >>> ts = TaskSet(C=[3, 3, 5], T=[7, 12, 20])
    >>> print(ts)
    t1 (3, 7), t2 (3, 12), t3 (5, 20)
    >>> ts.U
    Fraction(13, 14)
    """

    def __init__(
        self, tasks: str | pd.DataFrame | Iterable[Any] | None = None, /, *, unit: str = "", **columns: Any
    ) -> None:
        if unit and unit not in NS:
            raise BadInput(f"unit {unit}", "not a unit of time", f"one of {', '.join(NS)}")
        if (tasks is None) == (not columns):
            hint = "for example TaskSet(C=[1, 2], T=[4, 8])"
            raise BadInput("task set", "it is made of rows, or of columns" if columns else "there is no task", hint)
        rows, unit = _rows(columns if tasks is None else tasks, unit)
        if not rows:
            raise BadInput("task set", "there is no task", "a row a task: name C T D")
        checked = [check(row, number, unit) for number, row in enumerate(rows, 1)]
        self.tasks = tuple(task for task, _ in checked)
        self.unit = _one_unit(checked)
        _check_names(self.tasks)
        _check_priorities(self.tasks, rows)

    @classmethod
    def _of(cls, tasks: Iterable[Task], unit: str) -> TaskSet:
        """A set of checked tasks."""
        made = cls.__new__(cls)
        made.tasks, made.unit = tuple(tasks), unit
        return made

    def __len__(self) -> int:
        return len(self.tasks)

    def __getitem__(self, at: Any) -> Any:
        """The task of that name, or at that place from 0."""
        if not isinstance(at, str):
            return self.tasks[at]
        return self.tasks[self.index(at)]

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TaskSet) and (self.tasks, self.unit) == (other.tasks, other.unit)

    def __hash__(self) -> int:
        return hash((self.tasks, self.unit))

    def __str__(self) -> str:
        return ", ".join(map(self._brief, self.tasks))

    def __repr__(self) -> str:
        exactly = f"{self.U} = " if self.per_unit < 10**9 and self.hyperperiod < 10**20 else ""
        return f"TaskSet: {self}; U = {exactly}{float(self.U):.4g}"

    def _repr_html_(self) -> str:
        return str(self.frame._repr_html_())

    def _brief(self, task: Task) -> str:
        times = [task.C, task.T] if task.D == task.T else [task.C, task.T, task.D]
        return f"{task.name} ({', '.join(map(self.words, times))})"

    def time(self, given: Any, what: str) -> Time:
        """A time that a user gave, as one of this set: where its times have a unit, a bare number counts nanoseconds.

        Raises BadInput, for one with a unit where they have none too.
        """
        found, unit = exact(given, what, self.unit)
        if found and unit != self.unit:
            why = "it has a unit, and the set's times have no unit"
            raise BadInput(f"{what} {printable(str(given))[:40]}", why, "give a bare number")
        return found

    def words(self, time: Time | None) -> str:
        """A time of this set for people."""
        return words(time, self.unit)

    def index(self, name: Any, *range_: int) -> int:
        """The place of the task of that name, from 0. Raises BadInput."""
        for at, task in enumerate(self.tasks):
            if name in (task.name, task):
                return at
        raise BadInput(f"task {name}", "there is no such task in the set", f"one of {', '.join(t.name for t in self)}")

    @cached_property
    def U(self) -> Fraction:
        """The utilisation, sum of C / T."""
        return sum((task.U for task in self.tasks), Fraction())

    @cached_property
    def density(self) -> Fraction:
        """The sum of C / min(D, T)."""
        return sum((Fraction(task.C) / min(task.D, task.T) for task in self.tasks), Fraction())

    @cached_property
    def per_unit(self) -> int:
        """Ticks a unit of time: with them every time of the set is a whole number."""
        own = [time for t in self.tasks for time in (t.C, t.T, t.D, t.jitter, t.offset)]
        return ticks(own + [time for t in self.tasks for s in t.sections for time in (s.start, s.length)])

    def in_ticks(self, field: str) -> list[int]:
        """A field of all tasks (C, T, D, jitter, offset) in ticks, in list order."""
        return [in_ticks(getattr(task, field), self.per_unit) for task in self.tasks]

    def from_ticks(self, count: int) -> Time:
        """A number of ticks as a time of the set."""
        return from_ticks(count, self.per_unit)

    @cached_property
    def hyperperiod(self) -> Time:
        """The least common multiple of the periods."""
        return self.from_ticks(math.lcm(*self.in_ticks("T")))

    @cached_property
    def shared(self) -> tuple[str, ...]:
        """The resources that more than one of the tasks locks."""
        users = [{section.resource for section in task.sections} for task in self.tasks]
        return tuple(sorted(r for r in set().union(*users) if sum(r in used for used in users) > 1))

    def check_independent(self, tried: str) -> None:
        """For a test that counts no blocking: do the tasks share nothing? Raises BadInput."""
        if self.shared:
            why = f"the tasks share {', '.join(self.shared)}, and this counts no blocking"
            hint = 'response_times(ts, blocking="icpp") does; or leave the sections out: ts.with_(sections=None)'
            raise BadInput(tried, why, hint)

    @cached_property
    def order(self) -> list[int]:
        """The places of the tasks, from 0, highest priority first."""
        return sorted(range(len(self.tasks)), key=lambda at: self.tasks[at].priority)

    def with_priorities(self, order: Iterable[int]) -> TaskSet:
        """The same tasks at the same places, with priorities 1, 2, ... given in that order of places (from 0)."""
        rank = {at: n for n, at in enumerate(order, 1)}
        if set(rank) != set(range(len(self.tasks))):
            why = f"the order is of all places from 0 to {len(self.tasks) - 1}, each once"
            raise BadInput("with_priorities", why)
        return self._of((replace(task, priority=rank[at]) for at, task in enumerate(self.tasks)), self.unit)

    def with_(self, **columns: Any) -> TaskSet:
        """Another set, with some columns as given here. Raises BadInput.

        >>> print(TaskSet(C=[1, 2], T=[4, 8]).with_(D=[3, 7]))
        t1 (1, 4, 3), t2 (2, 8, 7)
        """
        made = [{name: getattr(task, name) for name in _ORDER} for task in self.tasks]
        for name, values in columns.items():
            for row, value in zip(made, _column(name, values, len(made)), strict=True):
                row[field_of(name)] = value
        return TaskSet(made, unit=self.unit)

    def on(self, cpu: int) -> TaskSet:
        """Those of its tasks that are pinned to that CPU. Raises BadInput where there are none."""
        chosen = [task for task in self.tasks if task.cpu == cpu]
        if not chosen:
            raise BadInput(f"on({cpu})", "no task of the set is pinned to this CPU")
        return self._of(chosen, self.unit)

    @property
    def frame(self) -> pd.DataFrame:
        """The tasks as a frame (theory.tasks), times in ticks."""
        columns: dict[str, Any] = {name: [getattr(t, name) for t in self] for name in ("name", "priority", "cpu")}
        columns |= {name: self.in_ticks(name) for name in ("C", "T", "D", "jitter", "offset")}
        columns["sections"] = [" ".join(map(str, t.sections)) for t in self]
        columns["utilisation"] = [float(t.U) for t in self]
        return self.table(tasks=frame(TaskRow, columns)).tables["tasks"]

    def table(
        self, *, per_unit: int | None = None, details: Mapping[str, Any] | None = None, **frames: Any
    ) -> Recording:
        """Frames of this set under a header that says what computed them, and how long a tick is."""
        tick = fraction(Fraction(1, per_unit or self.per_unit))
        facts = {"tick": f"{tick} {self.unit}".strip(), "per_unit": per_unit or self.per_unit, "unit": self.unit}
        return Recording(
            Header(
                "taskset", (str(self),), "exact arithmetic", "computed", kernel="", details={**facts, **(details or {})}
            ),
            frames,
        )

    # The four lives.

    def analyse(self, policy: str = "fp", **options: Any) -> Ladder:
        """Every test that fits, from the simplest bound to the exact one; see rtnb.theory.analyse."""
        from rtnb.theory.ladder import analyse

        return analyse(self, policy, **options)

    def simulate(self, policy: Any = "fp", **options: Any) -> Schedule:
        """The schedule, exactly; see rtnb.theory.simulate."""
        from rtnb.theory.simulation import simulate

        return simulate(self, policy, **options)

    def run(self, policy: str = "fp", **options: Any) -> Recording:
        """Run it on this kernel; see rtnb.lives.run."""
        return LIVES["run"](self, policy, **options)  # type: ignore[no-any-return]

    def compare(self, policy: str = "fp", **options: Any) -> pd.DataFrame:
        """What was predicted, simulated and observed, task by task; see rtnb.lives.compare."""
        return LIVES["compare"](self, policy, **options)


def of_a_set(function: Callable[Concatenate[TaskSet, _P], _R]) -> Callable[Concatenate[Any, _P], _R]:
    """A function of a task set, so that it takes whatever a set is made of. Raises BadInput for what is none."""

    @wraps(function)
    def taking(ts: Any, /, *args: _P.args, **options: _P.kwargs) -> _R:
        return function(ts if isinstance(ts, TaskSet) else TaskSet(ts), *args, **options)

    return taking


def _one_unit(checked: list[tuple[Task, set[str]]]) -> str:
    """The unit of all times of the set. Raises BadInput for the row whose times have another one."""
    first = next(iter(checked[0][1]))
    for number, (task, units) in enumerate(checked, 1):
        if units - {first}:
            tried = f"task set, row {number} ({task.name})"
            raise BadInput(tried, "some times have a unit, and others none", "write 2ms everywhere, or 2 everywhere")
    return first


def _check_names(tasks: Sequence[Task]) -> None:
    if len({task.name for task in tasks}) < len(tasks):
        number, name = _second([task.name for task in tasks])
        raise BadInput(f"task set, row {number} ({name})", "there is a task of that name above")


def _check_priorities(tasks: Sequence[Task], rows: list[dict[str, Any]]) -> None:
    """All tasks say theirs, or none does; and no two the same."""
    said = [row.get("priority") is not None for row in rows]
    if any(said) and not all(said):
        number = said.index(False) + 1
        why = "it has no priority, and others have"
        raise BadInput(f"task set, row {number} ({tasks[number - 1].name})", why, "give one to all, or to none")
    if len({task.priority for task in tasks}) < len(tasks):
        number, priority = _second([task.priority for task in tasks])
        tried = f"task set, row {number} ({tasks[number - 1].name})"
        raise BadInput(tried, f"there is a task of priority {priority} above", "each has its own")


def _second(values: list[Any]) -> tuple[int, Any]:
    """The first value that has been there before, and its place from 1."""
    return next((number, value) for number, value in enumerate(values, 1) if value in values[: number - 1])


def _rows(source: Any, unit: str) -> tuple[list[dict[str, Any]], str]:
    """The rows of whatever a set is made of, by field, and the unit of their bare numbers."""
    if isinstance(source, str):
        return _text(source), unit
    if isinstance(source, TaskSet):
        source, unit = source.tasks, source.unit
    if isinstance(source, pd.DataFrame):
        _check_columns(source)
        source, unit = _from_frame(source, unit)
    if isinstance(source, Mapping):
        return _columns(source), unit
    if not isinstance(source, Iterable):
        raise BadInput("task set", f"a {type(source).__name__} is none", "give text, a frame, rows, or columns")
    return [_row(row, number) for number, row in enumerate(source, 1)], unit


def _check_columns(df: pd.DataFrame) -> None:
    names = [str(name) for name in df.columns]
    if twice := [name for name in names if names.count(name) > 1]:
        raise BadInput(f"task set, column {printable(twice[0])[:40]}", "there are two of that name")


def _from_frame(df: pd.DataFrame, unit: str) -> tuple[dict[str, list[Any]], str]:
    """A frame's columns; those of a set's own frame are in ticks."""
    columns = {str(name): df[name].tolist() for name in df.columns if str(name) != "utilisation"}
    facts = df.attrs.get("rtnb", {})
    if facts.get("table") != TABLE or "header" not in facts:
        return columns, unit
    own = facts["header"]["details"]
    per_unit = int(own["per_unit"])
    columns |= {name: [Fraction(int(t), per_unit) for t in columns[name]] for name in TIMES if name in columns}
    return columns, str(own["unit"])


def _columns(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    columns = {n: list(v) if isinstance(v, Iterable) and not isinstance(v, str) else v for n, v in columns.items()}
    sized = {name: len(values) for name, values in columns.items() if isinstance(values, list)}
    if len(set(sized.values())) > 1:
        raise BadInput("task set", f"its columns are not equally long: {sized}")
    length = next(iter(sized.values()), 1 if columns else 0)
    if len({field_of(name) for name in columns}) < len(columns):
        fields_of = [field_of(name) for name in columns]
        number, field = _second(fields_of)
        before = list(columns)[fields_of.index(field)]
        raise BadInput(f"task set, column {list(columns)[number - 1]}", f"it is {field}, as column {before} is")
    fields = {field_of(name): _column(name, values, length) for name, values in columns.items()}
    return [_known({field: values[at] for field, values in fields.items()}) for at in range(length)]


def _column(name: str, values: Any, length: int) -> list[Any]:
    """A column's values; one that is no list holds for all tasks."""
    if not isinstance(values, Iterable) or isinstance(values, str):
        return [values] * length
    found = list(values)
    if len(found) != length:
        raise BadInput(f"task set, column {name}", f"{len(found)} values for {length} tasks")
    return found


def _row(row: Any, number: int) -> dict[str, Any]:
    if isinstance(row, Task):
        row = {name: getattr(row, name) for name in _ORDER}
    if isinstance(row, Mapping):
        return _known({field_of(name): value for name, value in row.items()})
    if isinstance(row, str) or not isinstance(row, Sequence) or not 2 <= len(row) <= len(_ORDER):
        raise BadInput(f"task set, row {number}", "not a row", "(C, T), (C, T, D), (name, C, T, D) or a mapping")
    named = isinstance(row[0], str) and not row[0][:1].isdigit()
    return _known(dict(zip(_ORDER if named else _ORDER[1:], row, strict=False)))


def _text(text: str) -> list[dict[str, Any]]:
    """The rows of a table as people write it: words, or a Markdown table; # begins a comment."""
    lines = [line.split("#")[0].replace("|", " ").split() for line in text.splitlines()]
    lines = [line for line in lines if line and set("".join(line)) - set("-:")]
    if not lines:
        return []
    if commas := [number for number, line in enumerate(lines, 1) if len(line) == 1 and "," in line[0]]:
        raise BadInput(f"task set, row {commas[0]}", "one word, with commas", "spaces or | stand between the columns")
    order: list[str] = list(_ORDER)
    if not any(word[0].isdigit() for word in lines[0]):
        order = [field_of(word) for word in lines.pop(0)]
    elif all(line[0][0].isdigit() for line in lines):
        order.remove("name")
    for number, line in enumerate(lines, 1):
        if len(line) > len(order):
            why = f"{len(line)} words, and there are {len(order)} columns"
            raise BadInput(f"task set, row {number} ({line[0][:31]})", why, f"the columns are {' '.join(order)}")
    return [_known(dict(zip(order, line, strict=False))) for line in lines]


def _known(row: dict[str, Any]) -> dict[str, Any]:
    """Without what is not said."""
    return {field: value for field, value in row.items() if str(value).strip().lower() not in _NONE}

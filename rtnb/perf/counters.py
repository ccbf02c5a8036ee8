# SPDX-License-Identifier: MIT
"""How is a set of events counted? Opened on the calling thread, inherited by what it starts, read one by one.

An event that cannot be counted is a row that says why: its value is <NA>, never 0.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import pandas as pd

from rtnb import caps, schema
from rtnb.abi import perf_event as abi
from rtnb.perf.names import Asked
from rtnb.schema import column, table

__all__ = ["Counter", "Counters", "counted", "frame", "notes"]


@table("perf.counters", version=1)
@dataclass(frozen=True)
class Counter:
    """One event in one run."""

    run: int = column("int64", "", "the run, from 0; more than one with -r")
    event: str = column("category", "", "the event as asked for, modifiers included")
    value: int = column("Int64", "", "the count, scaled where status says so; <NA> where there is none")
    unit: str = column("category", "", "of the value: ns for the clocks, empty for a count")
    status: str = column("category", "", "counted, scaled, interrupted, not counted, not permitted, not supported")
    why: str = column("str", "", "why there is no value, or why it is not the plain count")
    user_only: bool = column("bool", "", "the kernel's side is left out because this process may not count it")
    raw: int = column("Int64", "", "what the counter showed, before scaling")
    enabled_ns: int = column("int64", "ns", "how long it was wanted, CPU time of the counted threads")
    running_ns: int = column("int64", "ns", "how long of that it really counted")
    share: float = column("float64", "", "running_ns / enabled_ns; below 1 where events took turns")
    group: int = column("int64", "", "the index of its group's leader among the run's events; -1: no group")
    elapsed_ns: int = column("int64", "ns", "wall time from before the start until the end was seen, CLOCK_MONOTONIC")


@dataclass
class _Opened:
    """An event and its descriptor, or the reason why it has none."""

    asked: Asked
    fd: int = -1
    user_only: bool = False
    status: str = "counted"
    why: str = ""
    error: OSError | None = None


class Counters:
    """The events asked for, open and not yet counting; closed at the end of the block.

    `bits` are added to each attr. Raises NotSupported or NotPermitted where not one event can be counted.
    """

    def __init__(self, asked: Sequence[Asked], *bits: str) -> None:
        self._opened: list[_Opened] = []
        try:
            for one in asked:
                leader = self._opened[one.group] if 0 <= one.group < len(self._opened) else None
                self._opened.append(_open(one, leader, ("disabled", "inherit", *bits)))
            self._break_groups()
            self._refuse_if_none()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Counters:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        for one in self._opened:
            _close(one)

    def enable(self) -> None:
        """Start them all, a group as one; the first asked for starts last and so counts the least of rtnb itself."""
        for fd in reversed(self._leaders()):
            abi.enable(fd, group=True)

    def disable(self) -> None:
        """Stop them all, the first asked for first."""
        for fd in self._leaders():
            abi.disable(fd, group=True)

    def read(self, run: int, elapsed_ns: int, lost: str = "") -> list[tuple[Any, ...]]:
        """The rows of one run, in the order asked for; `lost` says why the counts are not the run's."""
        return [_row(one, run, elapsed_ns, lost) for one in self._opened]

    def _leaders(self) -> list[int]:
        return [one.fd for i, one in enumerate(self._opened) if one.fd >= 0 and one.asked.group in (-1, i)]

    def _break_groups(self) -> None:
        """A group is counted together or not at all."""
        missing = {one.asked.group: one for one in reversed(self._opened) if one.error and one.asked.group >= 0}
        for one in self._opened:
            if one.fd >= 0 and (cause := missing.get(one.asked.group)):
                _close(one)
                one.status = "not counted"
                one.why = f"its group cannot be counted together: {cause.asked.text}: {cause.why}"

    def _refuse_if_none(self) -> None:
        if not any(one.fd >= 0 for one in self._opened):
            first = next(one for one in self._opened if one.error)
            assert first.error
            tried = f"perf_event_open({first.asked.text})"
            raise caps.refused(_capability(first.asked), tried, first.error) from first.error


_USER = ("exclude_kernel", "exclude_hv")
_SIDES: dict[str, tuple[str, ...]] = {"": (), "u": _USER, "k": ("exclude_user", "exclude_hv")}
_REFUSED = (errno.EACCES, errno.EPERM)


def _open(asked: Asked, leader: _Opened | None, bits: Sequence[str]) -> _Opened:
    """Open an event; its user side alone where the kernel's may not be counted, as perf stat does."""
    event, refused = asked.event, None
    attempts = [_SIDES[asked.sides]] if asked.sides or event.side == "kernel" else [(), _USER]
    for sides in attempts:
        try:
            group_fd = leader.fd if leader else -1
            fd = abi.perf_event_open(event.type, event.config, *bits, *sides, group_fd=group_fd)
            return _Opened(asked, fd, bool(refused) and event.side == "either", why=_remark(asked, refused))
        except OSError as e:
            refused = e
            if e.errno not in _REFUSED:
                break
    assert refused
    reason = caps.CAPABILITIES[_capability(asked)].reason(refused)
    status = {"support": "not supported", "permission": "not permitted"}.get(reason.kind, "not counted")
    return _Opened(asked, status=status, why=reason.why, error=refused)


def _capability(asked: Asked) -> str:
    """Whose reasons explain a refusal of this event."""
    if asked.event.hardware:
        return "perf.hardware"
    return "perf.kernel" if asked.sides == "k" or asked.event.side == "kernel" else "perf.software"


def _remark(asked: Asked, refused: OSError | None) -> str:
    if asked.event.side == "both":
        return "a clock runs through both sides: the modifier changes nothing" if asked.sides else ""
    return f"the user side alone: {caps.CAPABILITIES['perf.kernel'].reason(refused).why}" if refused else ""


def _close(one: _Opened) -> None:
    if one.fd >= 0:
        os.close(one.fd)
        one.fd = -1


def counted(reading: abi.Reading) -> tuple[str, int | None, str]:
    """Status, value and remark of a reading: as it is, scaled up to the time it was wanted for, or none at all.

    >>> counted(abi.Reading(500, enabled_ns=2_000, running_ns=1_000))
    ('scaled', 1000, 'counted 50.0% of the time and scaled: an estimate')
    """
    raw, enabled, running = reading
    if not running:
        return "not counted", None, "the program never ran, or no counter was free while it did"
    if running >= enabled:
        return "counted", raw, ""
    value = (raw * enabled + running // 2) // running
    return "scaled", value, f"counted {running / enabled:.1%} of the time and scaled: an estimate"


def _row(one: _Opened, run: int, elapsed_ns: int, lost: str) -> tuple[Any, ...]:
    """The columns of Counter, in order."""
    status, why, value, raw, enabled, running = one.status, one.why, None, None, 0, 0
    if one.fd >= 0:
        raw, enabled, running = reading = abi.read(one.fd)
        status, value, remark = ("not counted", None, lost) if lost else counted(reading)
        why = "; ".join(filter(None, (remark, why)))
    share = running / enabled if enabled else float("nan")
    text, unit, group = one.asked.text, one.asked.event.unit, one.asked.group
    return (run, text, value, unit, status, why, one.user_only, raw, enabled, running, share, group, elapsed_ns)


def frame(rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    """The rows of all runs as the table perf.counters."""
    names = [c.name for c in schema.TABLES["perf.counters"].columns]
    return schema.frame(Counter, dict(zip(names, zip(*rows, strict=True), strict=True)))


def notes(rows: Sequence[tuple[Any, ...]]) -> tuple[str, ...]:
    """A sentence for each remark on the rows, with the events that it is about."""
    about: dict[str, dict[str, None]] = {}
    for row in rows:
        _, event, _, _, status, why, *_ = row
        remark = why if status == "counted" else f"{status}: {why}"
        if why:
            about.setdefault(remark, {})[event] = None
    return tuple(f"{', '.join(events)}: {remark}" for remark, events in about.items())

# SPDX-License-Identifier: MIT
"""What does a tracepoint of the running kernel record? Its number and its fields, from `events/*/format` in tracefs.

Source: Documentation/trace/events.rst, "Event formats".
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

__all__ = ["HEADERS", "Field", "Tracepoint", "tracepoint"]

HEADERS: tuple[str, ...] = ()

_FIELD = re.compile(r"field:(?P<type>.*?)\s*(?P<name>\w+)(?:\[\d*\])?;\s*offset:(\d+);\s*size:(\d+);\s*signed:(\d)")


class Field(NamedTuple):
    """Where a field lies in a raw record, and of what C type it is."""

    offset: int
    size: int
    signed: bool
    type: str


class Tracepoint(NamedTuple):
    """A tracepoint's number, as perf_event_open(2) takes it, and its fields by name."""

    name: str
    id: int
    fields: dict[str, Field]


def tracepoint(tracefs: int, name: str) -> Tracepoint:
    """The tracepoint `sched/sched_switch`, from the descriptor of tracefs. Raises OSError: ENOENT, EACCES."""
    text = _read(tracefs, f"events/{name}/format")
    fields = {}
    for match in _FIELD.finditer(text):
        offset, size, signed = (int(number) for number in match.groups()[2:])
        fields[match["name"]] = Field(offset, size, bool(signed), match["type"])
    return Tracepoint(name, int(_read(tracefs, f"events/{name}/id")), fields)


def _read(folder: int, path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    with os.fdopen(fd, encoding="ascii") as file:
        return file.read()

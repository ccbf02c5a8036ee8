# SPDX-License-Identifier: MIT
"""Which jobs of a schedule are drawn, from when to when, and in which lanes?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rtnb.errors import BadInput
from rtnb.plots.theory.scale import Scale

if TYPE_CHECKING:
    from rtnb.recording import Header
    from rtnb.theory.exact import Time

__all__ = ["PIECES", "View", "view_of"]

_JOBS, PIECES = 300, 3000
"""Jobs and segments that are drawn at most."""
_AT_FIRST, _PERIODS = 60, 5
"""Jobs, and periods of the slowest task, where no length is asked for: more are a smear."""


@dataclass
class View:
    """What is drawn of a schedule: the jobs of a window of ticks, and the lane of each task."""

    scale: Scale
    jobs: pd.DataFrame
    begin: float
    end: float
    lanes: dict[str, float]
    """Also those of budgets and the ceiling, as they are added; 0, -1, ... from the top."""
    whole: pd.DataFrame
    """The jobs of the window that was asked for, drawn or not."""
    cpus: int
    until: float
    servers: set[str]
    """Their requests have no deadline of their own: where there is none, the table has the end."""

    def lane(self, tasks: Iterable[str]) -> np.ndarray[Any, Any]:
        """The lanes of the tasks of some rows."""
        return np.asarray([self.lanes[task] for task in tasks], dtype="float64")

    def below(self, name: str) -> float:
        """A new lane below all others."""
        self.lanes[name] = min(self.lanes.values()) - 1
        return self.lanes[name]

    def cut(self, segments: pd.DataFrame) -> pd.DataFrame:
        """The segments of the drawn jobs in the window. Where there are too many, the window ends earlier."""
        inside = segments[(segments["begin"] < self.end) & (segments["end"] > self.begin)]
        known = set(zip(self.jobs["task"], self.jobs["job"], strict=True))
        tasks = inside["task"].astype("str")
        mine = [key in known for key in zip(tasks, inside["job"], strict=True)]
        words = {name: inside[name].astype("str") for name in ("state", "by", "resource")}
        inside = inside.assign(task=tasks, **words)[mine].sort_values("begin", kind="stable")
        if len(inside) > PIECES:
            inside = inside.head(PIECES)
            self.end = float(inside["begin"].max())
            self.jobs = self.jobs[self.jobs["release"] < self.end]
        return inside


def view_of(
    jobs: pd.DataFrame, header: Header, segments: pd.DataFrame | None, start: Time | str, length: Time | str | None
) -> View:
    """The window of a schedule that is asked for. Raises BadInput for one without jobs."""
    last = float(header.details.get("until") or _last(jobs, segments))
    scale = Scale.of(header.details, last)
    begin = scale.ticks(start, "start")
    whole = max(last, begin) if length is None else begin + scale.ticks(length, "length")
    finish = jobs["finish"].astype("float64")
    over = jobs["outcome"].astype("str").isin(["aborted", "skipped"])
    ends = np.where(finish.notna(), finish, np.where(over, jobs["deadline"], np.inf))
    inside = jobs[(jobs["release"] < whole) & (np.maximum(ends, jobs["deadline"]) >= begin)]
    if inside.empty:
        raise BadInput("schedule", "there are no jobs in this window", "choose another start, or a longer length")
    inside = inside.assign(task=inside["task"].astype("str"), outcome=inside["outcome"].astype("str"))
    servers = set(map(str, header.details.get("budget") or ()))
    end, most = whole, _JOBS
    if length is None:
        first = max(begin, float(inside["release"].min()))
        end, most = min(whole, first + _PERIODS * _slowest(jobs, servers)), _AT_FIRST
    shown = inside[inside["release"] < end].sort_values("release", kind="stable").head(most + 1)
    if len(shown) > most:
        end = float(shown["release"].iloc[-1])
        shown = shown.head(most)
    scale = Scale.of(header.details, end - begin)
    names = list(header.details.get("lanes") or pd.unique(jobs["task"].astype("str")))
    lanes = {str(name): -float(at) for at, name in enumerate(names)}
    cpus = int(header.details.get("cpus") or 1)
    return View(scale, shown, begin, end, lanes, inside, cpus, last, servers)


def _slowest(jobs: pd.DataFrame, servers: set[str]) -> float:
    """The longest period, as far as the arrivals tell it."""
    names = jobs["task"].astype("str")
    arrivals = jobs["arrival"][~names.isin(servers)].groupby(names).agg(["min", "max", "count"])
    several = arrivals[arrivals["count"] > 1]
    return float(((several["max"] - several["min"]) / (several["count"] - 1)).max()) if len(several) else np.inf


def _last(jobs: pd.DataFrame, segments: pd.DataFrame | None) -> float:
    times = [jobs["finish"].max(), jobs["deadline"].max() if len(jobs) else 0]
    times += [segments["end"].max()] if segments is not None and len(segments) else []
    return max((float(time) for time in times if pd.notna(time)), default=1.0)

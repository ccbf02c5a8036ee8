# SPDX-License-Identifier: MIT
"""Why was a simulated job not done at once? What kept it, for how long: a sentence a job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rtnb.plots.theory.scale import Scale

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["waits"]


def waits(jobs: pd.DataFrame, segments: pd.DataFrame, scale: Scale) -> Mapping[tuple[str, int], str]:
    """Of each job that has segments, by task and number: its response time, and what that is made of."""
    lasted: dict[tuple[str, int], dict[str, dict[str, int]]] = {}
    names = ("task", "job", "state", "begin", "end", "by", "resource")
    for task, job, state, begin, end, by, resource in zip(*(segments[name].tolist() for name in names), strict=True):
        reason = f"{by}, which holds {resource}" if state == "blocked" and resource else by
        reasons = lasted.setdefault((task, job), {}).setdefault(state, {})
        reasons["" if state == "run" else reason] = reasons.get("" if state == "run" else reason, 0) + end - begin
    columns = ("task", "job", "response", "release", "arrival", "outcome")
    made = {}
    for task, job, response, release, arrival, outcome in zip(*(jobs[name].tolist() for name in columns), strict=True):
        if (task, job) in lasted:
            parts = [f"{scale.words(release - arrival)} jitter"] * (release > arrival)
            states = sorted(lasted[task, job].items(), key=_run_first)
            parts += [_part(state, reasons, scale) for state, reasons in states]
            end = f"response {scale.words(response)} = " if outcome in ("done", "late") else f"{outcome}: "
            made[task, job] = f"{task} job {job}, {end}{' + '.join(parts)}"
    return made


def _run_first(item: tuple[str, object]) -> bool:
    return item[0] != "run"


def _part(state: str, reasons: Mapping[str, int], scale: Scale) -> str:
    each = [f"{reason} {scale.words(ticks)}" if len(reasons) > 1 else reason for reason, ticks in reasons.items()]
    by = ", ".join(each)
    return f"{scale.words(sum(reasons.values()))} {state}{f' ({by})' if by else ''}"

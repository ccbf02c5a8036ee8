# SPDX-License-Identifier: MIT
"""What is held meanwhile? Bands of locks in the lanes, and below them lanes of budgets and of the system ceiling."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from itertools import cycle, pairwise
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from rtnb.plots.rt import COLOURS
from rtnb.plots.svg.text import text_width
from rtnb.plots.theory.window import PIECES, View

__all__ = ["ACROSS", "LETTERS", "budgets", "ceiling", "locks"]

_NAMED = 25
"""Names of ceilings that are drawn at most."""
ACROSS, LETTERS = 700, 13
"""About the pixels of the window, and the size of the letters in it: what is wider than its place is left out."""

_Held = tuple[str, str, int, float, float]
"""A task holds a resource, inside so many others, from and to."""


def locks(view: View, pieces: pd.DataFrame, events: pd.DataFrame | None) -> list[go.Bar]:
    """What a job holds, as bands in the lower part of its lane: the outermost lowest."""
    found: dict[str, list[tuple[float, float, float, str]]] = {}
    known = events is not None and events["kind"].isin(["lock"]).any()
    for task, resource, at, begin, end in _from_lock_to_unlock(view, events) if known else _while_running(pieces):
        words = f"{task} holds {resource}, {view.scale.words(begin)} to {view.scale.words(end)}"
        found.setdefault(resource, []).append((begin, end, view.lanes[task] - 0.24 + 0.1 * at, words))
    made = []
    for colour, (resource, rows) in zip(cycle(COLOURS[2:]), sorted(found.items()), strict=False):
        begins, ends, lanes, said = zip(*rows, strict=True)
        made.append(
            go.Bar(
                base=view.scale(begins),
                x=view.scale(np.asarray(ends) - np.asarray(begins)),
                y=lanes,
                orientation="h",
                width=0.1,
                marker={"color": colour, "line": {"width": 0}},
                hovertext=list(map(html.escape, said)),
                name=f"holds {html.escape(resource)}",
            )
        )
    return made


def budgets(view: View, details: Mapping[str, Any]) -> list[go.Scatter]:
    """A lane a server, with its budget: it falls while it runs, and jumps where it is replenished or lost."""
    made = []
    for server, history in (details.get("budget") or {}).items():
        corners = _inside(history, view)
        if not corners:
            continue
        most = max(budget for _, budget in history) or 1
        low = view.below(f"{server}: budget") - 0.4
        x, y = view.scale([t for t, _ in corners]), [low + 0.8 * budget / most for _, budget in corners]
        said = [html.escape(f"{server}: budget {view.scale.words(b)} at {view.scale.words(t)}") for t, b in corners]
        made.append(
            go.Scatter(
                # Closed along the bottom, so that it is filled down to there and not to the axis' zero.
                x=[*x, x[-1], x[0]],
                y=[*y, low, low],
                hovertext=[*said, "", ""],
                mode="lines",
                line={"color": COLOURS[0], "width": 2},
                fill="toself",
                fillcolor="rgba(0,114,178,0.15)",
                name=f"budget of {html.escape(server)}, at most {view.scale.words(most)}",
            )
        )
    return made


def ceiling(view: View, details: Mapping[str, Any]) -> list[go.Scatter]:
    """The system ceiling, as steps in a lane of its own: the higher, the higher the priority that it bars."""
    history = details.get("ceilings") or []
    if not history:
        return []
    names = [name for name in view.lanes if not name.endswith(": budget")]
    rank = {name: len(names) - at for at, name in enumerate(names)} | {"": 0}
    low = view.below("ceiling") - 0.4
    inside = [(max(t, view.begin), str(who)) for t, who in [(0, ""), *history] if t <= view.end][: 4 * PIECES]
    inside = [*inside[max(sum(t <= view.begin for t, _ in inside) - 1, 0) :], (view.end, inside[-1][1])]
    said = [f"from {view.scale.words(t)}: {f'that of {who}' if who else 'none'}" for t, who in inside]
    figure = {
        "x": view.scale([t for t, _ in inside]),
        "y": [low + 0.8 * rank.get(who, 0) / len(names) for _, who in inside],
        "hovertext": list(map(html.escape, said)),
    }
    line = {"color": "#CC79A7", "width": 2, "shape": "hv"}
    made = [go.Scatter(**figure, mode="lines", line=line, name="system ceiling")]
    words = _room(view, inside)
    if 0 < sum(map(bool, words)) <= _NAMED:
        font = {"size": LETTERS}
        look = {"textposition": "bottom right", "textfont": font, "showlegend": False, "hoverinfo": "skip"}
        made.append(go.Scatter(x=figure["x"], y=figure["y"], mode="text", text=list(map(html.escape, words)), **look))
    return made


def _while_running(pieces: pd.DataFrame) -> Iterator[_Held]:
    """What segments tell: what a job holds while it runs."""
    held = pieces[(pieces["state"] == "run") & (pieces["resource"] != "")]
    for task, begin, end, names in zip(*(held[name] for name in ("task", "begin", "end", "resource")), strict=True):
        for at, resource in enumerate(names.replace(",", " ").split()):
            yield task, resource, at, begin, end


def _from_lock_to_unlock(view: View, events: pd.DataFrame) -> Iterator[_Held]:
    """What events tell: from lock to unlock, whoever runs; in a deadlock, to the end."""
    kinds = events["kind"].astype("str")
    locking = events[kinds.isin(["lock", "unlock"]) & (events["t"] <= view.end)]
    drawn = set(zip(view.jobs["task"], view.jobs["job"], strict=True))
    holding: dict[tuple[str, int], dict[str, tuple[int, float]]] = {}
    columns = (locking["t"], locking["kind"].astype("str"), locking["task"].astype("str"), locking["job"])
    for t, kind, task, job, resource in zip(*columns, locking["what"], strict=True):
        held = holding.setdefault((task, job), {})
        if kind == "lock":
            held[resource] = (len(held), t)
        elif resource in held:
            at, begin = held.pop(resource)
            if (task, job) in drawn and t > view.begin:
                yield task, resource, at, max(begin, view.begin), t
    for (task, job), held in holding.items():
        if (task, job) in drawn:
            for resource, (at, begin) in held.items():
                yield task, resource, at, max(begin, view.begin), view.end


def _inside(history: Any, view: View) -> list[tuple[float, float]]:
    """The corners of a budget's course in the window; it stays as it is after the last one."""
    known = [*history, (view.end, history[-1][1])] if history else []
    within = [at for at, (t, _) in enumerate(known) if view.begin <= t <= view.end]
    return known[max(within[0] - 1, 0) : within[-1] + 2][: 4 * PIECES] if within else []


def _room(view: View, steps: list[tuple[float, str]]) -> list[str]:
    """The name at each step that is wide enough for it, and no name twice running."""
    words, before = [], ""
    for (t, who), (then, _) in pairwise(steps):
        fits = (then - t) * ACROSS / (view.end - view.begin) > text_width(who, LETTERS) + 8
        words.append(who if fits and who != before else "")
        before = words[-1] or before
    return [*words, ""]

# SPDX-License-Identifier: MIT
"""What runs when on paper, and why not before? A timeline of a simulated schedule, a lane a task."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from rtnb.errors import BadInput
from rtnb.plots.causes import STATES
from rtnb.plots.rt import COLOURS
from rtnb.plots.theory.scale import Scale
from rtnb.plots.theory.titled import titled
from rtnb.plots.theory.why import waits

if TYPE_CHECKING:
    from rtnb.recording import Header
    from rtnb.theory.exact import Time
    from rtnb.theory.simulation import Schedule

__all__ = ["schedule", "schedule_of"]

_JOBS, _PIECES, _NAMED = 300, 3000, 25
"""Jobs, segments and names of ceilings that are drawn at most."""
_WIDTH = 0.36
_HATCHES = ("", "/", "x", ".", "\\", "|", "-", "+")
"""Of CPU 0, 1, ...; then again from the first: the number is in the bar."""
_MISS = "#D55E00"
MISSED = ("late", "aborted", "skipped", "unfinished")


def schedule_of(made: Schedule, **window: Any) -> go.Figure:
    """The timeline of a simulated Schedule, with all that it knows; `start` and `length` as in schedule()."""
    tables, header = made.recording.tables, made.recording.header
    return schedule(tables["jobs"], header, tables["segments"], tables["events"], **window)


def schedule(
    jobs: pd.DataFrame,
    header: Header,
    segments: pd.DataFrame | None = None,
    events: pd.DataFrame | None = None,
    *,
    start: Time | str = 0,
    length: Time | str | None = None,
) -> go.Figure:
    """What runs when: a lane a task and server, with releases, deadlines and misses; from theory.jobs.

    `segments` (theory.segments) says what a job does from its release to its end, and what it holds; `events`
    (theory.events) adds inheritance and deadlock. Below the lanes stand the budgets of servers and the system ceiling,
    where the header's details have them. `start` and `length` are times of the set. At most 300 jobs are drawn.
    Raises BadInput for a window without jobs.
    """
    jobs, segments, events = map(_bare, (jobs, segments, events))
    view = _view(jobs, header, segments, start, length)
    pieces = _none(view) if segments is None else view.cut(segments)
    figure = go.Figure([*_bars(view, pieces, segments is not None), *_locks(view, pieces), *_marks(view)])
    figure.add_traces([*_budgets(view, header.details), *_ceiling(view, header.details)])
    figure.add_traces(_happened(view, events))
    low, edge = min(view.lanes.values()), (view.end - view.begin) / 100  # or marks at the ends are cut in half
    names = [html.escape(name) for name in view.lanes]
    figure.update_yaxes(tickvals=list(view.lanes.values()), ticktext=names, zeroline=False, showgrid=False)
    figure.update_yaxes(range=[low - 0.6, 0.6])
    window = view.scale([view.begin - edge, view.end + edge]).tolist()
    figure.update_xaxes(title=view.scale.axis("time"), range=window, zeroline=False)
    figure = titled(figure, _title(view, header), header, 260 + 70 * len(view.lanes))
    return figure.update_layout(barmode="overlay")


def _bare(df: Any) -> Any:
    """The frame without its header, of which pandas would copy one for each column that is looked at."""
    if df is not None:
        df = df.copy(deep=False)
        df.attrs = {}
    return df


@dataclass
class _View:
    """What is drawn of a schedule: the jobs of a window of ticks, and the lane of each task."""

    scale: Scale
    jobs: pd.DataFrame
    begin: float
    end: float
    lanes: dict[str, float]
    """Also those of budgets and the ceiling, as they are added; 0, -1, ... from the top."""
    of: int
    """Jobs in the window that was asked for."""
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
        if len(inside) > _PIECES:
            inside = inside.head(_PIECES)
            self.end = float(inside["begin"].max())
            self.jobs = self.jobs[self.jobs["release"] < self.end]
        return inside


def _view(
    jobs: pd.DataFrame, header: Header, segments: pd.DataFrame | None, start: Time | str, length: Time | str | None
) -> _View:
    last = float(header.details.get("until") or _last(jobs, segments))
    scale = Scale.of(header.details, last)
    begin = scale.ticks(start, "start")
    end = max(last, begin) if length is None else begin + scale.ticks(length, "length")
    finish = jobs["finish"].astype("float64")
    over = jobs["outcome"].astype("str").isin(["aborted", "skipped"])
    ends = np.where(finish.notna(), finish, np.where(over, jobs["deadline"], np.inf))
    inside = jobs[(jobs["release"] < end) & (np.maximum(ends, jobs["deadline"]) >= begin)]
    if inside.empty:
        raise BadInput("schedule", "there are no jobs in this window", "choose another start, or a longer length")
    shown = inside.sort_values("release", kind="stable").head(_JOBS + 1)
    if len(shown) > _JOBS:
        end = float(shown["release"].iloc[-1])
        shown = shown.head(_JOBS)
    scale = Scale.of(header.details, end - begin)
    names = list(header.details.get("lanes") or pd.unique(jobs["task"].astype("str")))
    lanes = {str(name): -float(at) for at, name in enumerate(names)}
    cpus = int(header.details.get("cpus") or 1)
    shown = shown.assign(task=shown["task"].astype("str"), outcome=shown["outcome"].astype("str"))
    servers = set(map(str, header.details.get("budget") or ()))
    return _View(scale, shown, begin, end, lanes, len(inside), cpus, last, servers)


def _last(jobs: pd.DataFrame, segments: pd.DataFrame | None) -> float:
    times = [jobs["finish"].max(), jobs["deadline"].max() if len(jobs) else 0]
    times += [segments["end"].max()] if segments is not None and len(segments) else []
    return max((float(time) for time in times if pd.notna(time)), default=1.0)


def _title(view: _View, header: Header) -> str:
    tasks, missed = view.jobs["task"].nunique(), int(_missed(view).sum())
    few = f", the first {len(view.jobs)} of {view.of:,}" if len(view.jobs) < view.of else ""
    policy = f" under {header.details['policy']}" if header.details.get("policy") else ""
    count = f"{len(view.jobs)} job{'s' * (len(view.jobs) > 1)} of {tasks} task{'s' * (tasks > 1)}{few}{policy}"
    late = f"{missed:,} deadline{'s' * (missed > 1)} missed" if missed else "all deadlines met"
    return f"{count}: {late}"


def _missed(view: _View) -> pd.Series:
    """Those not done by their deadline, as far as the window can tell."""
    not_done = view.jobs["outcome"].isin(MISSED[:3]) | (
        (view.jobs["outcome"] == MISSED[3]) & (view.jobs["deadline"] <= view.end)
    )
    return not_done & (view.jobs["deadline"] <= view.end) & ~view.jobs["task"].isin(view.servers)


def _none(view: _View) -> pd.DataFrame:
    """Of jobs alone: from release to start, and from start to finish, whoever ran."""
    known = view.jobs.dropna(subset="start")
    finish = known["finish"].astype("float64").fillna(view.end)
    same = {"task": known["task"], "job": known["job"], "cpu": -1, "by": "", "resource": ""}
    first = {"state": "waits", "begin": known["release"], "end": known["start"]}
    then = {"state": "start to finish", "begin": known["start"], "end": finish}
    made = pd.concat([pd.DataFrame({**same, **times}) for times in (first, then)])
    return made[made["end"] > made["begin"]]


def _bars(view: _View, pieces: pd.DataFrame, known: bool) -> list[go.Bar]:
    """What each job does, as bars: a trace a state, and of running a trace a CPU."""
    reasons = waits(view.jobs, pieces, view.scale) if known else {}
    colours = {**STATES, "start to finish": STATES["run"], "waits": STATES["unexplained"]}
    made = []
    order = {state: -at for at, state in enumerate(colours)}  # what runs is drawn last: a late job waits beside it
    parts = pieces.groupby(["state", pieces["cpu"].where(pieces["state"] == "run", -1)])
    for (state, cpu), part in sorted(parts, key=lambda item: (order.get(item[0][0], 0), item[0][1])):
        runs = state in ("run", "start to finish")
        several = runs and view.cpus > 1 and cpu >= 0
        mark = {"color": colours.get(state, "#999999"), "line": {"width": 0}}
        if several:
            mark["pattern"] = {"shape": _HATCHES[cpu % len(_HATCHES)]}
        made.append(
            go.Bar(
                base=view.scale(part["begin"]),
                x=view.scale(part["end"] - part["begin"]),
                y=view.lane(part["task"]),
                orientation="h",
                width=_WIDTH if runs else 0.4 * _WIDTH,
                marker=mark,
                hovertext=_hover(part, reasons, view.scale),
                customdata=list(zip(part["task"], part["job"].tolist(), strict=True)),
                name=f"run, CPU {cpu}" if several else html.escape(state),
                **(_numbers(cpu, len(part)) if several else {}),
            )
        )
    return made


def _numbers(cpu: int, count: int) -> dict[str, Any]:
    """The CPU in each bar."""
    return {"text": [str(cpu)] * count, "textposition": "inside", "insidetextanchor": "middle", "textangle": 0}


def _hover(part: pd.DataFrame, reasons: Mapping[tuple[str, int], str], scale: Scale) -> list[str]:
    columns = ("task", "job", "state", "begin", "end", "by", "resource")
    made = []
    for task, job, state, begin, end, by, resource in zip(*(part[name] for name in columns), strict=True):
        how = {"run": f", holding {resource}", "blocked": f" on {resource}"}.get(state, "") if resource else ""
        words = f"{task} {job}: {state}{how}{f' by {by}' if by else ''}, {scale.words(begin)} to {scale.words(end)}"
        made.append(html.escape(words) + (f"<br>{html.escape(reasons[task, job])}" if (task, job) in reasons else ""))
    return made


def _locks(view: _View, pieces: pd.DataFrame) -> list[go.Bar]:
    """What a job holds while it runs, as bands in the lower part of its lane: the outermost lowest."""
    found: dict[str, list[tuple[float, float, float, str]]] = {}
    held = pieces[(pieces["state"] == "run") & (pieces["resource"] != "")]
    for task, begin, end, names in zip(*(held[name] for name in ("task", "begin", "end", "resource")), strict=True):
        for at, resource in enumerate(names.replace(",", " ").split()):
            words = f"{task} holds {resource}, {view.scale.words(begin)} to {view.scale.words(end)}"
            found.setdefault(resource, []).append((begin, end, view.lanes[task] - 0.24 + 0.1 * at, words))
    made = []
    for colour, (resource, rows) in zip(_cycle(COLOURS[2:]), sorted(found.items()), strict=False):
        begin, end, lane, said = zip(*rows, strict=True)
        made.append(
            go.Bar(
                base=view.scale(begin),
                x=view.scale(np.asarray(end) - np.asarray(begin)),
                y=lane,
                orientation="h",
                width=0.1,
                marker={"color": colour, "line": {"width": 0}},
                hovertext=list(map(html.escape, said)),
                name=f"holds {html.escape(resource)}",
            )
        )
    return made


def _cycle(colours: list[str]) -> Iterable[str]:
    while True:
        yield from colours


def _marks(view: _View) -> list[go.Scatter]:
    """Releases point up, deadlines down; a missed deadline is crossed."""
    jobs, lane = view.jobs, view.lane(view.jobs["task"])
    missed = _missed(view).to_numpy()
    early = (jobs["arrival"] < jobs["release"]).to_numpy()
    due = ~(jobs["task"].isin(view.servers) & (jobs["deadline"] == view.until)).to_numpy()
    marks = [
        ("arrival", jobs["arrival"], lane + 0.34, "line-ns-open", "#999999", early),
        ("release", jobs["release"], lane + 0.34, "triangle-up", "#000000", lane <= 0),
        ("deadline", jobs["deadline"], lane - 0.36, "triangle-down", "#009E73", due),
        ("missed", jobs["deadline"], lane, "x", _MISS, missed),
    ]
    words = [f"{task} {job}" for task, job in zip(jobs["task"], jobs["job"], strict=True)]
    made = []
    for name, at, y, symbol, colour, which in marks:
        which = which & ((at >= view.begin) & (at <= view.end)).to_numpy()
        if which.any():
            said = [
                html.escape(f"{who}: {name} {view.scale.words(t)}")
                for who, t, here in zip(words, at, which, strict=True)
                if here
            ]
            mark = {"symbol": symbol, "size": 13 if name == "missed" else 9, "color": colour}
            made.append(_points(view.scale(at)[which], y[which], name, mark, said))
    return made


def _points(x: Any, y: Any, name: str, mark: dict[str, Any], said: list[str]) -> go.Scatter:
    return go.Scatter(x=x, y=y, mode="markers", name=name, marker=mark, hovertext=said)


def _happened(view: _View, events: pd.DataFrame | None) -> list[go.Scatter]:
    """Where a priority is inherited, and where all wait for each other."""
    if events is None:
        return []
    made = []
    for kind, symbol, colour in (("inherit", "triangle-up", "#CC79A7"), ("deadlock", "diamond", _MISS)):
        part = events[(events["kind"] == kind) & (events["t"] >= view.begin) & (events["t"] <= view.end)]
        part = part[part["task"].astype("str").isin(list(view.lanes))].head(_JOBS)
        if len(part):
            rows = zip(part["task"].astype("str"), part["job"], part["t"], part["what"], strict=True)
            said = [html.escape(f"{task} {job}: {kind} {what}, {view.scale.words(t)}") for task, job, t, what in rows]
            lane = view.lane(part["task"].astype("str")) + 0.22
            mark = {"symbol": symbol, "size": 9, "color": colour}
            made.append(_points(view.scale(part["t"]), lane, kind, mark, said))
    return made


def _budgets(view: _View, details: Mapping[str, Any]) -> list[go.Scatter]:
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


def _inside(history: Any, view: _View) -> list[tuple[float, float]]:
    """The corners of a budget's course in the window; it stays as it is after the last one."""
    known = [*history, (view.end, history[-1][1])] if history else []
    within = [at for at, (t, _) in enumerate(known) if view.begin <= t <= view.end]
    return known[max(within[0] - 1, 0) : within[-1] + 2][: 4 * _PIECES] if within else []


def _ceiling(view: _View, details: Mapping[str, Any]) -> list[go.Scatter]:
    """The system ceiling, as steps in a lane of its own: the higher, the higher the priority that it bars."""
    history = details.get("ceilings") or []
    if not history:
        return []
    names = [name for name in view.lanes if not name.endswith(": budget")]
    rank = {name: len(names) - at for at, name in enumerate(names)} | {"": 0}
    low = view.below("ceiling") - 0.4
    inside = [(max(t, view.begin), str(who)) for t, who in [(0, ""), *history] if t <= view.end][: 4 * _PIECES]
    inside = [*inside[max(sum(t <= view.begin for t, _ in inside) - 1, 0) :], (view.end, inside[-1][1])]
    said = [f"from {view.scale.words(t)}: {f'that of {who}' if who else 'none'}" for t, who in inside]
    figure = {
        "x": view.scale([t for t, _ in inside]),
        "y": [low + 0.8 * rank.get(who, 0) / len(names) for _, who in inside],
        "hovertext": list(map(html.escape, said)),
    }
    line = {"color": "#CC79A7", "width": 2, "shape": "hv"}
    made = [go.Scatter(**figure, mode="lines", line=line, name="system ceiling")]
    if len(inside) <= _NAMED:
        words = [html.escape(who) for _, who in inside[:-1]] + [""]
        look = {"textposition": "bottom right", "textfont": {"size": 13}, "showlegend": False, "hoverinfo": "skip"}
        made.append(go.Scatter(x=figure["x"], y=figure["y"], mode="text", text=words, **look))
    return made

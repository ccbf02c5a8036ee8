# SPDX-License-Identifier: MIT
"""What runs when on paper, and why not before? A timeline of a simulated schedule, a lane a task."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
import plotly.graph_objects as go

from rtnb.plots.causes import STATES
from rtnb.plots.theory.held import ACROSS, LETTERS, budgets, ceiling, locks
from rtnb.plots.theory.scale import Scale
from rtnb.plots.theory.titled import titled
from rtnb.plots.theory.why import waits
from rtnb.plots.theory.window import View, view_of

if TYPE_CHECKING:
    from rtnb.recording import Header
    from rtnb.theory.exact import Time
    from rtnb.theory.simulation import Schedule

__all__ = ["schedule", "schedule_of"]

_INHERITED = 300
"""Marks of one kind of event that are drawn at most."""
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
    (theory.events) adds inheritance and deadlock, and holding goes on where the holder does not run. Below the lanes
    stand the budgets of servers and the system ceiling, where the header's details have them. `start` and `length` are
    times of the set; without a length, five periods of the slowest task are drawn, of at most 60 jobs, and of a
    length at most 300. Raises BadInput for a window without jobs.
    """
    jobs, segments, events = map(_bare, (jobs, segments, events))
    view = view_of(jobs, header, segments, start, length)
    pieces = _none(view) if segments is None else view.cut(segments)
    figure = go.Figure([*_bars(view, pieces, segments is not None), *_digits(view, pieces)])
    figure.add_traces([*locks(view, pieces, events), *_marks(view)])
    figure.add_traces([*budgets(view, header.details), *ceiling(view, header.details)])
    figure.add_traces(_happened(view, events))
    low, edge = min(view.lanes.values()), (view.end - view.begin) / 100  # or marks at the ends are cut in half
    names = [html.escape(name) for name in view.lanes]
    figure.update_yaxes(tickvals=list(view.lanes.values()), ticktext=names, zeroline=False, showgrid=False)
    figure.update_yaxes(range=[low - 0.6, 0.6])
    window = view.scale([view.begin - edge, view.end + edge]).tolist()
    figure.update_xaxes(title=view.scale.axis("time"), range=window, zeroline=False)
    figure = titled(figure, _title(view, header, _stopped(view, header, events)), header, 260 + 70 * len(view.lanes))
    return figure.update_layout(barmode="overlay")


def _bare(df: Any) -> Any:
    """The frame without its header, of which pandas would copy one for each column that is looked at."""
    if df is not None:
        df = df.copy(deep=False)
        df.attrs = {}
    return df


def _title(view: View, header: Header, stopped: str) -> str:
    tasks, missed = view.jobs["task"].nunique(), int(_missed(view, view.jobs, view.end).sum())
    drawn, all_ = len(view.jobs), len(view.whole)
    count = f"the first {drawn} of {all_:,}" if drawn < all_ else str(drawn)
    policy = f" under {header.details['policy']}" if header.details.get("policy") else ""
    count += f" job{'s' * (all_ > 1)} of {tasks} task{'s' * (tasks > 1)}{policy}"
    later = int(_missed(view, view.whole, view.until).sum()) - missed if drawn < all_ else 0
    late = [stopped] if stopped else []
    late += [f"{missed:,} deadline{'s' * (missed > 1)} missed"] if missed else []
    late += [f"{later:,}{' deadlines' if not missed else ''} missed later"] if later > 0 else []
    return f"{count}: {', '.join(late) or 'all deadlines met'}"


def _stopped(view: View, header: Header, events: pd.DataFrame | None) -> str:
    """When tasks begin to wait for each other for ever; nothing, where they never do."""
    told = [note.split(":")[0] for note in header.notes if note.startswith("deadlock at ")]
    if events is not None and not told:
        told = [f"deadlock at {view.scale.words(t)}" for t in events["t"][events["kind"] == "deadlock"].head(1)]
    return told[0] if told else ""


def _missed(view: View, jobs: pd.DataFrame, end: float) -> pd.Series:
    """Those not done by their deadline, as far as can be told at the end of a window."""
    return jobs["outcome"].isin(MISSED) & (jobs["deadline"] <= end) & ~jobs["task"].isin(view.servers)


def _none(view: View) -> pd.DataFrame:
    """Of jobs alone: from release to start, and from start to finish, whoever ran."""
    known = view.jobs.dropna(subset="start")
    finish = known["finish"].astype("float64").fillna(view.end)
    same = {"task": known["task"], "job": known["job"], "cpu": -1, "by": "", "resource": ""}
    first = {"state": "waits", "begin": known["release"], "end": known["start"]}
    then = {"state": "start to finish", "begin": known["start"], "end": finish}
    made = pd.concat([pd.DataFrame({**same, **times}) for times in (first, then)])
    return made[made["end"] > made["begin"]]


def _bars(view: View, pieces: pd.DataFrame, known: bool) -> list[go.Bar]:
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
            )
        )
    return made


def _digits(view: View, pieces: pd.DataFrame) -> list[go.Scatter]:
    """The CPU in the middle of each bar that is wide enough, on white: it could not be read upon the hatches."""
    if view.cpus < 2:
        return []
    on = pieces[(pieces["state"] == "run") & (pieces["cpu"] >= 0)]
    on = on[(on["end"] - on["begin"]) * ACROSS > 15 * (view.end - view.begin)]
    look = {"mode": "markers+text", "showlegend": False, "hoverinfo": "skip", "textfont": {"size": LETTERS}}
    x, y = view.scale((on["begin"] + on["end"]) / 2), view.lane(on["task"])
    mark = {"symbol": "square", "size": 14, "color": "#ffffff"}
    words = [str(cpu) for cpu in on["cpu"]]
    return [go.Scatter(x=x, y=y, text=words, textposition="middle center", marker=mark, **look)] if len(on) else []


def _hover(part: pd.DataFrame, reasons: Mapping[tuple[str, int], str], scale: Scale) -> list[str]:
    columns = ("task", "job", "state", "begin", "end", "by", "resource")
    made = []
    for task, job, state, begin, end, by, resource in zip(*(part[name] for name in columns), strict=True):
        how = {"run": f", holding {resource}", "blocked": f" on {resource}"}.get(state, "") if resource else ""
        words = f"{task} {job}: {state}{how}{f' by {by}' if by else ''}, {scale.words(begin)} to {scale.words(end)}"
        made.append(html.escape(words) + (f"<br>{html.escape(reasons[task, job])}" if (task, job) in reasons else ""))
    return made


def _marks(view: View) -> list[go.Scatter]:
    """Releases point up, deadlines down; a missed deadline is crossed."""
    jobs, lane = view.jobs, view.lane(view.jobs["task"])
    missed = _missed(view, jobs, view.end).to_numpy()
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


def _happened(view: View, events: pd.DataFrame | None) -> list[go.Scatter]:
    """Where a priority is inherited, and where all wait for each other."""
    if events is None:
        return []
    made = []
    for kind, symbol, colour in (("inherit", "triangle-up", "#CC79A7"), ("deadlock", "diamond", _MISS)):
        part = events[(events["kind"] == kind) & (events["t"] >= view.begin) & (events["t"] <= view.end)]
        part = part[part["task"].astype("str").isin(list(view.lanes))].head(_INHERITED)
        if len(part):
            rows = zip(part["task"].astype("str"), part["job"], part["t"], part["what"], strict=True)
            said = [html.escape(f"{task} {job}: {kind} {what}, {view.scale.words(t)}") for task, job, t, what in rows]
            lane = view.lane(part["task"].astype("str")) + 0.22
            mark = {"symbol": symbol, "size": 9, "color": colour}
            made.append(_points(view.scale(part["t"]), lane, kind, mark, said))
    return made

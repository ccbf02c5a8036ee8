# SPDX-License-Identifier: MIT
"""What does a test see? Its ladder, the bounds against the deadlines, the staircase to a response time, the demand."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from rtnb.errors import BadInput
from rtnb.plots.rt import COLOURS
from rtnb.plots.theory.scale import Scale
from rtnb.plots.theory.titled import captioned, titled
from rtnb.text import printable
from rtnb.theory.demand import busy_period, demand_limit, qpa
from rtnb.theory.exact import in_ticks, ticks
from rtnb.theory.load import deadlines, demand_at, effective_deadlines
from rtnb.theory.taskset import TaskSet
from rtnb.theory.verdict import Verdict

if TYPE_CHECKING:
    import pandas as pd

    from rtnb.recording import Header

__all__ = ["bounds", "demand", "ladder", "shares", "staircase"]

_GOOD, _BAD, _OPEN = "#0072B2", "#D55E00", "#999999"
_ROWS = 40
_CORNERS, _STEPS = 2000, 500
"""Of a curve, and of what a test did: drawn at most."""
_LETTERS, _LINES = 60, 6
"""Of an inequality beside its mark: letters of a line, and lines; pointed at, it says all."""
_PAST = 400
"""Deadlines up to the end of a picture of demand, where the test did not look so far."""
_TRIED = 100_000
"""Deadlines that are looked at for the first excess."""


def ladder(df: pd.DataFrame, header: Header) -> go.Figure:
    """Each test of a set as a row, the simplest first: what follows from it, and what it compared; theory.verdicts."""
    shown = df.head(_ROWS)
    at, follows = list(range(len(shown))), shown["schedulable"].astype("str")
    column = {"no": 0, "cannot tell": 1, "yes": 2}
    figure = go.Figure()
    for word, symbol, colour in (("yes", "circle", _GOOD), ("cannot tell", "circle-open", _OPEN), ("no", "x", _BAD)):
        rows = [y for y, found in zip(at, follows, strict=True) if found == word]
        if rows:
            part = shown.iloc[rows]
            pairs = zip(part["inequality"], part["witness"], strict=True)
            said = [html.escape(f"{compared}: {shows}" if shows else compared) for compared, shows in pairs]
            mark = {"symbol": symbol, "size": 15, "color": colour, "line": {"width": 2, "color": colour}}
            x = [column[word]] * len(rows)
            figure.add_trace(go.Scatter(x=x, y=rows, mode="markers", name=word, marker=mark, hovertext=said))
    pairs = zip(shown["passed"], shown["inequality"], strict=True)
    words = [_compared("holds" if passed else "fails", compared) for passed, compared in pairs]
    place = {"x": [2.3] * len(at), "y": at, "text": ["<br>".join(lines) for lines in words]}
    look = {"textposition": "middle right", "textfont": {"size": 13}, "showlegend": False, "hoverinfo": "skip"}
    figure.add_trace(go.Scatter(**place, **look, mode="text"))
    tests = zip(shown["test"], shown["kind"].astype("str"), strict=True)
    names = [html.escape(f"{test}, {kind}") for test, kind in tests]
    figure.update_yaxes(range=[len(at) - 0.5, -0.5], tickvals=at, ticktext=names, zeroline=False, showgrid=False)
    figure.update_xaxes(range=[-0.4, 8], tickvals=list(column.values()), ticktext=list(column), zeroline=False)
    figure.update_xaxes(title="schedulable?", tickangle=0)
    proved = {"yes": "schedulable", "no": "not schedulable"}
    found = [proved[word] for word in ("yes", "no") if word in set(follows)]
    few = f", the first {_ROWS} of {len(df)}" if len(df) > _ROWS else ""
    title = f"{len(shown)} test{'s' * (len(shown) != 1)}{few}: {' and '.join(found) or 'none can tell'}"
    row = 18 + 18 * max(map(len, words), default=1)
    return captioned(figure, title, header).update_layout(height=240 + row * len(at), showlegend=False)


def _compared(said: str, inequality: str) -> list[str]:
    """What became of an inequality, and the whole of it, in lines."""
    lines = textwrap.wrap(f"{said}: {inequality}", _LETTERS, max_lines=_LINES, placeholder=" …")
    first, *others = map(html.escape, lines)
    return [f"<b>{said}</b>{first.removeprefix(said)}", *others]


def bounds(df: pd.DataFrame, header: Header) -> go.Figure:
    """The worst-case response time of each task against its deadline; from theory.bounds."""
    shown = df.head(_ROWS)
    known = shown["R"].dropna()
    longest = float(max([*known, *shown["D"]], default=1))
    scale, at = Scale.of(header.details, longest), np.arange(len(shown))
    R = shown["R"].astype("float64").to_numpy()
    meets = shown["meets"].to_numpy(dtype=bool)
    figure = go.Figure()
    for name, colour, shape, which in (
        ("R, within the deadline", _GOOD, "", meets),
        ("R, past the deadline", _BAD, "", ~meets & ~np.isnan(R)),
        ("unbounded", _BAD, "/", np.isnan(R)),
    ):
        if which.any():
            x = scale(np.where(np.isnan(R), longest * 1.05, R)[which])
            mark: dict[str, Any] = {"color": colour, "pattern": {"shape": shape}}
            figure.add_trace(go.Bar(x=x, y=at[which], orientation="h", width=0.5, name=name, marker=mark))
    mark = {"symbol": "line-ns-open", "size": 26, "color": "#000000", "line": {"width": 3}}
    if len(at):
        x = scale(shown["D"])
        figure.add_trace(go.Scatter(x=x, y=at, mode="markers", name="deadline", marker=mark))
    names = [
        f"{html.escape(str(task))}  <b>{'unbounded' if np.isnan(r) else scale.words(int(r))}</b> of {scale.words(D)}"
        for task, r, D in zip(shown["task"], R, shown["D"], strict=True)
    ]
    figure.update_yaxes(range=[len(at) - 0.4, -0.6], tickvals=at.tolist(), ticktext=names, showgrid=False)
    figure.update_xaxes(title=scale.axis("worst-case response time"), rangemode="tozero")
    few = f", the first {_ROWS} of {len(df)}" if len(df) > _ROWS else ""
    late = f"{int((~meets).sum())} may be late" if not meets.all() else "none is ever late"
    title = f"{len(at)} task{'s' * (len(at) != 1)}{few}: {late}"
    return titled(figure, title, header, 260 + 45 * len(at)).update_layout(barmode="overlay")


def shares(df: pd.DataFrame, header: Header) -> go.Figure:
    """What share of a CPU each task of a set wants; from theory.tasks."""
    shown = df.head(_ROWS)
    at = list(range(len(shown)))
    names = [
        f"{html.escape(name)}  <b>{100 * share:.3g} %</b>"
        for name, share in zip(shown["name"], shown["utilisation"], strict=True)
    ]
    figure = go.Figure(go.Bar(x=100 * shown["utilisation"], y=at, orientation="h", marker={"color": _GOOD}))
    figure.update_yaxes(autorange="reversed", tickvals=at, ticktext=names)
    figure.update_xaxes(title="utilisation, % of a CPU")
    few = f", the first {_ROWS} of {len(df)}" if len(df) > _ROWS else ""
    title = f"{len(at)} task{'s' * (len(at) != 1)}{few} want {100 * df['utilisation'].sum():.4g} % of a CPU"
    return captioned(figure, title, header).update_layout(height=220 + 34 * len(at))


def staircase(verdict: Verdict, task: str, job: int | None = None) -> go.Figure:
    """How a response time is found: the work of a task's level, the diagonal, and the iterates up to their meeting.

    From the Verdict of `response_times`. W(t) is all the work that the task's job, what blocks it and those above it
    bring before t; where W(t) = t it is done. `job` of the busy period, unless it is the worst. Raises BadInput for
    a verdict of another test, a task without iterates, and a job that is not looked at.
    """
    if not isinstance(verdict, Verdict):
        raise BadInput("staircase", f"{type(verdict).__name__} is no verdict", "take that of response_times")
    if job is not None and type(job) is not int:
        raise BadInput(f"staircase, job {printable(str(job))[:40]}", "a whole number from 1 on")
    ts = verdict.taskset
    place = ts.index(task)
    per_unit = ticks([ts.from_ticks(1), *(time for step in verdict.steps for time in (step.t, step.value))])
    jobs = _jobs(verdict, task, per_unit)
    number = _worst(jobs, in_ticks(ts[place].T, per_unit)) if job is None else job
    if number not in jobs:
        raise BadInput(f"staircase of {task}, job {job}", "the test did not look at it", f"jobs 1 to {max(jobs)}")
    pairs = jobs[number]
    work = _work(verdict, place, pairs, per_unit)
    J, T, D = (in_ticks(time, per_unit) for time in (ts[place].jitter, ts[place].T, ts[place].D))
    due = D - J + (number - 1) * T
    done = pairs[-1][1] if pairs[-1][0] == pairs[-1][1] else None
    wide = 1.06 * max(due, pairs[-1][1])
    scale = Scale.of({"per_unit": per_unit, "unit": ts.unit}, wide)
    figure = go.Figure([_curve(scale, *work(wide), "work W(t)"), _diagonal(scale, wide)])
    figure.add_trace(_cobweb(scale, pairs, "iterates"))
    _upright(figure, scale, due, f"due {scale.words(due)}", _BAD if done is None or done > due else "#009E73")
    if done is not None:
        point = {"x": scale([done]), "y": scale([done]), "mode": "markers", "name": f"done at {scale.words(done)}"}
        figure.add_trace(go.Scatter(**point, marker={"size": 13, "symbol": "diamond", "color": "#000000"}))
    figure.update_xaxes(title=scale.axis("t, from the critical instant"), range=[0, float(scale(wide))])
    figure.update_yaxes(title=scale.axis("work"), rangemode="tozero")
    R = ts.words(verdict.R[place])
    name = f"{task}{f', job {number}' if len(jobs) > 1 else ''}"
    said = f"R = {R}, D = {ts.words(ts[place].D)}" if verdict.R[place] is not None else "no bound on R"
    return titled(figure, f"{name}: {said}; {len(pairs)} iterates", ts.table().header)


def _jobs(verdict: Verdict, task: str, per_unit: int) -> dict[int, list[tuple[int, int]]]:
    """The steps of a task's jobs in ticks: the length that was tried, and the work found there."""
    found: dict[int, list[tuple[int, int]]] = {}
    for step in verdict.steps:
        if step.task == task and step.job is not None:
            found.setdefault(step.job, []).append((in_ticks(step.t, per_unit), in_ticks(step.value, per_unit)))
    if not found or not verdict.test.startswith("response times"):
        raise BadInput(f"staircase of {task}", f"{verdict.test} has no iterates of it", "take that of response_times")
    return found


def _worst(jobs: dict[int, list[tuple[int, int]]], T: int) -> int:
    """The job with the longest response; the last one, where none of them is known to be done."""
    done = {job: steps[-1][1] - (job - 1) * T for job, steps in jobs.items() if steps[-1][0] == steps[-1][1]}
    unfinished = max(jobs) not in done
    return max(jobs) if unfinished or not done else max(done, key=lambda job: (done[job], -job))


Corners = Callable[[float], tuple[Any, Any]]


def _work(verdict: Verdict, place: int, pairs: list[tuple[int, int]], per_unit: int) -> Corners:
    """The corners of W(t): what the steps say it is, less those above, is the same everywhere, or they are no steps
    of this recurrence. A job that is not preempted also waits for what comes at the instant of its start.
    """
    ts = verdict.taskset
    above = [ts[at] for at in ts.order[: ts.order.index(place)]]
    C, T, J = (np.array([in_ticks(getattr(t, f), per_unit) for t in above], dtype=object) for f in ("C", "T", "jitter"))
    for late in (0, 1):
        base = {value - int(sum(-((-w - J - late) // T) * C)) for w, value in pairs}
        if len(base) == 1:
            return partial(_corners, base.pop(), C, T, J + late)
    hint = "take that of response_times, without offsets"
    raise BadInput(f"staircase of {ts[place].name}", f"the steps of {verdict.test} are not those of W(t)", hint)


def _corners(base: int, C: Any, T: Any, J: Any, wide: float) -> tuple[Any, Any]:
    """Where W(t) rises, and to what; at most so many corners as can be seen."""
    rises = sum(int(wide + j) // p + 1 for p, j in zip(T, J, strict=True))
    if rises > _CORNERS:
        t = [int(wide * at / _CORNERS) for at in range(_CORNERS + 1)]
    else:
        each = [(m * p - j) for p, j in zip(T, J, strict=True) for m in range(1, int(wide + j) // p + 1)]
        t = sorted({0, *(at for at in each if at > 0)})
    return [*t, wide], [base + int(sum(((at + J) // T + 1) * C)) for at in [*t, t[-1]]]


def _curve(scale: Scale, t: Any, value: Any, name: str) -> go.Scatter:
    line = {"shape": "hv", "color": _GOOD, "width": 2.5}
    return go.Scatter(x=scale(t), y=scale(value), mode="lines", line=line, name=name)


def _diagonal(scale: Scale, wide: float) -> go.Scatter:
    ends = scale([0, wide])
    return go.Scatter(x=ends, y=ends, mode="lines", line={"color": _OPEN, "dash": "dash", "width": 2}, name="t")


def _cobweb(scale: Scale, pairs: Sequence[tuple[int, int]], name: str) -> go.Scatter:
    """Each step from the diagonal to the curve, and from there to where the next one looks."""
    x, y = [], []
    for at, (t, value) in enumerate(pairs[:_STEPS]):
        x += [t, t]
        y += [t if not at else pairs[at - 1][1], value]
    x, y = [*x, pairs[:_STEPS][-1][1]], [*y, pairs[:_STEPS][-1][1]]
    line, mark = {"color": COLOURS[4], "width": 1.5}, {"size": 6, "color": COLOURS[4]}
    return go.Scatter(x=scale(x), y=scale(y), mode="lines+markers", line=line, marker=mark, name=name)


def _upright(figure: go.Figure, scale: Scale, at: float, words: str, colour: str) -> None:
    figure.add_shape(
        type="line", x0=float(scale(at)), x1=float(scale(at)), y0=0, y1=1, yref="y domain",
        line={"color": colour, "dash": "dot", "width": 2},
    )  # fmt: skip
    figure.add_annotation(
        x=float(scale(at)), y=0.03, yref="y domain", text=html.escape(words), showarrow=False, xanchor="right",
        xshift=-5, font={"size": 14, "color": colour},
    )  # fmt: skip


def demand(of: Verdict | TaskSet) -> go.Figure:
    """The demand that is due within t against the diagonal, and where the test looked; the first excess is crossed.

    From the verdict of `qpa` or `processor_demand`, or of a set, which is given to `qpa`. It is drawn up to the busy
    period, or to L* where there are too many deadlines up to it, though the test need not look so far. Raises
    BadInput for the verdict of another test.
    """
    verdict = qpa(of) if isinstance(of, TaskSet) else of
    if not isinstance(verdict, Verdict):
        raise BadInput("demand", f"{type(of).__name__} is no verdict", "a set, or the verdict of qpa")
    ts, steps = verdict.taskset, list(islice(verdict.trace(), _CORNERS))
    if any(step.task for step in steps) or verdict.R:
        raise BadInput("demand", f"{verdict.test} looks at no demand", "take the verdict of qpa or processor_demand")
    per_unit = ticks([ts.from_ticks(1), *(time for step in steps for time in (step.t, step.value))])
    pairs = [(in_ticks(step.t, per_unit), in_ticks(step.value, per_unit)) for step in steps]
    C, T = ([in_ticks(getattr(task, name), per_unit) for task in ts] for name in ("C", "T"))
    D = [d * per_unit // ts.per_unit for d in effective_deadlines(ts)]
    excess = [pair for pair in pairs if pair[1] > pair[0]][:1] or _excess(verdict, C, T, D)
    seen = [max(pair) for pair in pairs] or [2 * max(pair) for pair in excess]
    wide = 1.05 * max([*(seen or [2 * max(T)]), *_reach(verdict, T, D, per_unit)])
    scale = Scale.of({"per_unit": per_unit, "unit": ts.unit}, wide)
    figure = go.Figure([_curve(scale, *_demanded(C, T, D, wide), "demand"), _diagonal(scale, wide)])
    _looked(figure, scale, verdict, pairs, excess, any(value != demand_at(C, T, D, t) for t, value in pairs[:_STEPS]))
    figure.update_xaxes(title=scale.axis("t, the length of the interval"), range=[0, float(scale(wide))])
    figure.update_yaxes(title=scale.axis("demand"), rangemode="tozero")
    count = f"{len(pairs)} instant{'s' * (len(pairs) != 1)} looked at" if pairs else verdict.inequality
    count += "" if pairs or verdict.passed else " fails"
    over = "never exceeds t" if verdict.passed else "exceeds t"
    first = excess and not (pairs and verdict.test == "QPA")  # which comes from above
    over += f", first at {scale.words(excess[0][0])}" if first else ""
    return titled(figure, f"{verdict.test}, {count}: the demand {over}", ts.table().header)


def _excess(verdict: Verdict, C: list[int], T: list[int], D: list[int]) -> list[tuple[int, int]]:
    """The first instant at which the demand exceeds t, and the demand, of a verdict that looked nowhere."""
    if verdict.passed:
        return []
    return list(
        islice((pair for pair in islice(deadlines(C, T, D, max(D) + _TRIED * max(T)), _TRIED) if pair[1] > pair[0]), 1)
    )


def _reach(verdict: Verdict, T: list[int], D: list[int], per_unit: int) -> list[int]:
    """Up to where a demand is drawn that never exceeds t: no end is known, or none that could be seen, of others."""
    if not verdict.passed:
        return []
    found = []
    for end in (busy_period, demand_limit):
        with suppress(BadInput):  # U so near to 1 that none was found
            time = end(verdict.taskset)
            found += [ceil(time * per_unit)] if time else []
    few = [t for t in found if sum(max(0, (t - d) // p + 1) for p, d in zip(T, D, strict=True)) <= _PAST]
    return few[:1]


def _demanded(C: list[int], T: list[int], D: list[int], wide: float) -> tuple[list[float], list[float]]:
    """The corners of the demand; at most so many as can be seen."""
    found = list(islice(deadlines(C, T, D, int(wide)), _CORNERS + 1))
    if len(found) > _CORNERS:
        found = [(t, demand_at(C, T, D, t)) for t in (int(wide * at / _CORNERS) for at in range(_CORNERS + 1))]
    rising = [(0, demand_at(C, T, D, 0)), *((t, value) for t, value in found if t > 0)]
    t, value = (list(column) for column in zip(*rising, strict=True))
    return [*t, wide], [*value, value[-1]]


def _looked(
    figure: go.Figure,
    scale: Scale,
    verdict: Verdict,
    pairs: list[tuple[int, int]],
    excess: list[tuple[int, int]],
    blocked: bool,
) -> None:
    """Where the test looked, and what it found there."""
    what = "demand and blocking, where looked at" if blocked else "where it looked"
    if verdict.test == "QPA" and pairs:
        figure.add_trace(_cobweb(scale, pairs, "jumps"))
    x, y = ([pair[at] for pair in pairs[:_STEPS]] for at in (0, 1))
    mark = {"size": 9, "color": "#000000", "symbol": "circle"}
    if pairs:
        figure.add_trace(go.Scatter(x=scale(x), y=scale(y), mode="markers", name=what, marker=mark))
    if excess:
        mark = {"size": 18, "color": _BAD, "symbol": "x", "line": {"width": 1}}
        t, value = excess[0]
        name = f"{scale.words(value)} due within {scale.words(t)}"
        figure.add_trace(go.Scatter(x=scale([t]), y=scale([value]), mode="markers", name=name, marker=mark))

# SPDX-License-Identifier: MIT
"""What do many sets say, and what a running kernel? Acceptance curves, and the three lives of each task."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from rtnb.errors import BadInput
from rtnb.plots.rt import COLOURS
from rtnb.plots.theory.scale import Scale
from rtnb.plots.theory.titled import titled
from rtnb.units import in_words

if TYPE_CHECKING:
    import pandas as pd

    from rtnb.recording import Header

__all__ = ["acceptance", "comparison", "exceedance"]

_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "x", "cross")
_TESTS, _TASKS = len(COLOURS), 30
"""Drawn at most: curves, and rows."""


def acceptance(df: pd.DataFrame, header: Header) -> go.Figure:
    """How many of the random sets of a utilisation each test accepts, with 95 % intervals; from theory.acceptance."""
    tests = list(dict.fromkeys(df["test"].astype("str")))
    figure = go.Figure()
    for colour, symbol, test in zip(COLOURS, _SYMBOLS, tests, strict=False):
        part = df[df["test"].astype("str") == test].sort_values("utilisation")
        U, ratio = part["utilisation"].to_numpy(), 100 * part["ratio"].to_numpy()
        low, high = 100 * part["low"].to_numpy(), 100 * part["high"].to_numpy()
        band = {"x": np.concatenate([U, U[::-1]]), "y": np.concatenate([high, low[::-1]])}
        faint = f"rgba({','.join(str(int(colour[at : at + 2], 16)) for at in (1, 3, 5))},0.18)"
        look = {"mode": "lines", "line": {"width": 0}, "fill": "toself", "fillcolor": faint, "hoverinfo": "skip"}
        figure.add_trace(go.Scatter(**band, **look, showlegend=False))
        said = [
            html.escape(f"{test}: {accepted:,} of {sets:,} at U = {at:.4g}, {a:.1f} to {b:.1f} %")
            for accepted, sets, at, a, b in zip(part["accepted"], part["sets"], U, low, high, strict=True)
        ]
        pen = {"line": {"color": colour, "width": 2}, "marker": {"symbol": symbol, "size": 8, "color": colour}}
        figure.add_trace(go.Scatter(x=U, y=ratio, mode="lines+markers", name=html.escape(test), hovertext=said, **pen))
    figure.update_xaxes(title="utilisation of the set")
    figure.update_yaxes(title="accepted, % of the sets", range=[-3, 103])
    drawn = f", the first {_TESTS} of {len(tests)} tests" if len(tests) > _TESTS else ""
    sets = f"{int(df['sets'].max()):,}" if len(df) else "no"
    title = f"What share of {sets} random sets a utilisation each test accepts{drawn}"
    return titled(figure, title, header)


def comparison(df: pd.DataFrame, header: Header) -> go.Figure:
    """Bound, simulation and observation of each task, as shares of its deadline; from lives.comparison."""
    shown = df.head(_TASKS)
    at, due = list(range(len(shown))), shown["deadline_ns"].astype("float64")
    figure = go.Figure()
    ends = zip(shown["observed_p50_ns"], shown["observed_ns"], due, strict=True)
    x, y = [], []
    for row, (low, high, D) in enumerate(ends):
        x += [100 * float(low) / D, 100 * float(high) / D, None] if _known(low) and _known(high) else []
        y += [row, row, None] if _known(low) and _known(high) else []
    line = {"color": COLOURS[2], "width": 5}
    figure.add_trace(go.Scatter(x=x, y=y, mode="lines", line=line, name="observed, p50 to max", hoverinfo="skip"))
    for name, column, symbol, colour in (
        ("predicted bound", "predicted_ns", "line-ns-open", COLOURS[0]),
        ("simulated, max", "simulated_ns", "square-open", COLOURS[4]),
        ("observed p99", "observed_p99_ns", "circle-open", COLOURS[2]),
        ("observed, max", "observed_ns", "circle", COLOURS[2]),
        ("observed above the bound", "observed_ns", "x", COLOURS[1]),
    ):
        rows = [row for row in at if _known(shown[column].iloc[row])]
        if column == "observed_ns":  # a circle where the bound holds, and a cross where it does not
            rows = [row for row in rows if bool(shown["holds"].iloc[row]) != (symbol == "x")]
        if rows:
            values = shown[column].iloc[rows].astype("float64")
            names = shown["task"].iloc[rows]
            said = [html.escape(f"{task}: {name} {in_words(ns)}") for task, ns in zip(names, values, strict=True)]
            size, edge = 24 if "line" in symbol else 12, {"width": 3, "color": colour}
            mark = {"symbol": symbol, "size": size, "color": colour, "line": edge}
            share = 100 * values.to_numpy() / due.iloc[rows].to_numpy()
            figure.add_trace(go.Scatter(x=share, y=rows, mode="markers", name=name, marker=mark, hovertext=said))
    figure.add_vline(x=100, line_color="#000000", line_dash="dot")
    figure.update_yaxes(range=[len(at) - 0.4, -0.6], tickvals=at, ticktext=_said(shown), zeroline=False)
    figure.update_xaxes(title="response time, % of the deadline", rangemode="tozero")
    broke = int((~shown["holds"].to_numpy(dtype=bool)).sum())
    few = f", the first {_TASKS} of {len(df)}" if len(df) > _TASKS else ""
    how = f"above the bound of {broke}" if broke else "within the bounds"
    jobs = int(shown["jobs"].sum())
    title = f"{jobs:,} jobs of {len(at)} task{'s' * (len(at) != 1)}{few}: {how}"
    return titled(figure, title, header, 270 + 45 * len(at))


def exceedance(df: pd.DataFrame, header: Header) -> go.Figure:
    """With which probability a run takes longer: as measured, and as the fitted law has it, with its 95 % interval.

    From theory.exceedance; of the bounds of theory.pwcet, a row each. Raises BadInput for the tested assumptions.
    """
    if "assumption" in df:
        hint = "plot the .frame of the estimate (theory.pwcet), or its .curve (theory.exceedance)"
        raise BadInput("plot", "the tested assumptions (theory.assumptions) are a table to be read", hint)
    if "bound_ns" in df:
        return _bounds(df, header)
    shown = df.sort_values("exceedance", ascending=False)
    p, law = shown["exceedance"].to_numpy(), str(header.details.get("law", "fitted law"))
    fitted = shown["fitted_ns"].to_numpy(dtype="float64")
    longest = float(np.nanmax([*shown["high_ns"], *fitted, 1.0])) if len(shown) else 1.0
    scale = Scale.of({"unit": "ns"}, longest)
    known = ~(shown["low_ns"].isna() | shown["high_ns"].isna()).to_numpy()
    low, high = (scale(shown[name].to_numpy()[known]) for name in ("low_ns", "high_ns"))
    figure = go.Figure()
    band = {"x": np.concatenate([low, high[::-1]]), "y": np.concatenate([p[known], p[known][::-1]])}
    look = {"mode": "lines", "line": {"width": 0}, "fill": "toself", "fillcolor": "rgba(213,94,0,0.18)"}
    figure.add_trace(go.Scatter(**band, **look, name="95 % interval", hoverinfo="skip"))
    line = {"color": COLOURS[1], "width": 2}
    figure.add_trace(go.Scatter(x=scale(fitted), y=p, mode="lines", line=line, name=html.escape(law)))
    line = {"color": COLOURS[0], "width": 3, "shape": "vh"}
    seen = scale(shown["empirical_ns"].to_numpy(dtype="float64"))
    figure.add_trace(go.Scatter(x=seen, y=p, mode="lines", line=line, name="measured"))
    if (most := header.details.get("observed_ns")) is not None:
        figure.add_vline(x=float(scale(most)), line_color=COLOURS[0], line_dash="dot")
    figure.update_xaxes(title=scale.axis("execution time"))
    figure.update_yaxes(title="probability that a run is longer", type="log")
    return titled(figure, f"How likely a run is longer, measured and by {law}{_trust(header)}", header)


def _bounds(df: pd.DataFrame, header: Header) -> go.Figure:
    """The bound for each probability of being exceeded, with its 95 % interval; from theory.pwcet."""
    shown = df.sort_values("exceedance", ascending=False).head(_TASKS)
    at, law = list(range(len(shown))), str(header.details.get("law", "fitted law"))
    most = header.details.get("observed_ns")
    times = shown[["low_ns", "bound_ns", "high_ns"]].to_numpy(dtype="float64")
    inside = times[np.isfinite(times) & (times > 0)]
    seen = [*inside, *([float(most)] if most else [])] or [1.0]
    scale = Scale.of({"unit": "ns"}, max(seen))
    x: list[float | None] = []
    y: list[int | None] = []
    for row, (low, _, high) in enumerate(times):
        if np.isfinite(low) and np.isfinite(high):
            x, y = [*x, float(scale(max(low, min(seen)))), float(scale(high)), None], [*y, row, row, None]
    line, mark = {"color": COLOURS[1], "width": 5}, {"size": 13, "color": COLOURS[1], "symbol": "diamond"}
    figure = go.Figure(go.Scatter(x=x, y=y, mode="lines", line=line, name="95 % interval", hoverinfo="skip"))
    figure.add_trace(go.Scatter(x=scale(times[:, 1]), y=at, mode="markers", marker=mark, name=html.escape(law)))
    if most is not None:
        look = {"mode": "lines", "line": {"color": COLOURS[0], "dash": "dot"}}
        ends = {"x": [float(scale(most))] * 2, "y": [-0.6, len(at) - 0.4]}
        figure.add_trace(go.Scatter(**ends, **look, name=f"longest measured, {in_words(most)}"))
    pairs = zip(shown["exceedance"], times[:, 1], strict=True)
    names = [f"{p:.3g} a run  <b>{in_words(ns) if np.isfinite(ns) else 'none'}</b>" for p, ns in pairs]
    figure.update_yaxes(range=[len(at) - 0.4, -0.6], tickvals=at, ticktext=names, zeroline=False)
    figure.update_xaxes(title=scale.axis("execution time, logarithmic"), type="log")
    figure.update_xaxes(range=[np.log10(scale(min(seen))) - 0.05, np.log10(scale(max(seen))) + 0.05])
    title = f"What a run exceeds how rarely, by {law}{_trust(header)}"
    return titled(figure, title, header, 270 + 45 * len(at))


def _trust(header: Header) -> str:
    trusted = header.details.get("trusted")
    return "" if trusted is None else ": no assumption was refused" if trusted else ": not to be trusted"


def _said(shown: pd.DataFrame) -> list[str]:
    """Each task with its deadline, and with the assumption that broke."""
    rows = zip(shown["task"], shown["deadline_ns"], shown["holds"], shown["assumption"].astype("str"), strict=True)
    broken = [(str(task), in_words(D), "" if holds else f"  {why}") for task, D, holds, why in rows]
    return [f"{html.escape(task)}, D {D}<b>{html.escape(why)}</b>" for task, D, why in broken]


def _known(value: object) -> bool:
    return value is not None and str(value) not in ("<NA>", "nan")

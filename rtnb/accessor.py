# SPDX-License-Identifier: MIT
"""What can a frame say of itself? `df.rtnb`: its header, its summary, its picture, and a way to keep it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from rtnb import bpf, lives, perf, rt, sched, schema, strace, theory
from rtnb.errors import BadInput
from rtnb.recording import Header, Recording

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["RtnbAccessor"]

SUMMARIES = {
    "strace": strace.summary,
    "perf_stat": perf.summary,
    "bpf": bpf.summary,
    "rt_task": rt.summary,
    "sched": sched.summary,
    "taskset": theory.summary,
    "lives": lives.summary,
}
"""A recording's kind to the subject's own summary."""


@pd.api.extensions.register_dataframe_accessor("rtnb")
class RtnbAccessor:
    """The views of a frame that rtnb made. A frame that lost its header (`df.attrs`) says so: BadInput."""

    def __init__(self, df: pd.DataFrame) -> None:
        self._df = df

    @property
    def header(self) -> Header:
        """Where the frame came from."""
        attrs = self._df.attrs.get("rtnb", {})
        if "header" not in attrs:
            hint = "it comes with a recording's frames; pandas drops it (df.attrs) in some operations"
            raise BadInput("df.rtnb", "this frame carries no rtnb header", hint)
        try:
            return Header.from_json(attrs["header"])
        except (TypeError, ValueError) as e:
            raise BadInput("df.rtnb", f"what this frame carries is no rtnb header: {e}") from e

    def summary(self) -> pd.DataFrame:
        """The subject's own summary of these rows, under the same header; a summary is its own.

        Raises BadInput for a kind of recording that has none, and for a frame that lacks columns it needs.
        """
        header = self.header
        table = str(self._df.attrs["rtnb"].get("table"))
        if table in schema.TABLES and "summary" in table:  # not a cell's own map of that name
            return self._df
        if header.kind not in SUMMARIES:
            why = f"this rtnb has no summary for recordings of kind {header.kind[:60]!r}"
            raise BadInput("df.rtnb.summary", why, f"it has for {', '.join(SUMMARIES)}")
        with schema.wants_columns(self._df, f"summary of a {header.kind} recording"):
            made = SUMMARIES[header.kind](self._df)
        return schema.mark(made, header=header.to_json())

    def plot(self) -> go.Figure:
        """The subject's figure of these rows: title, axes with units, caption. Raises BadInput as summary() does."""
        from rtnb import plots

        return plots.plot(self._df, self.header)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Save these rows and their header as a recording. Raises BadInput where it cannot be written."""
        table = self._df.attrs["rtnb"].get("table", "") if self._df.attrs.get("rtnb") else ""
        return Recording(self.header, {table.split(".")[-1] or "rows": self._df}).save(path)

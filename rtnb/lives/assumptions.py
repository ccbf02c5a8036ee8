# SPDX-License-Identifier: MIT
"""Which assumption broke? What took the time of the jobs above the bound, held against what theory allows them.

Each thing that theory does not know of is measured within the busy period that ends with a job: from the release of
the first job, its own or one that it had to wait for, that was not done when the next came. The largest is the job's
assumption; the task's is that of the jobs which, all together, were most above the bound: one job that the host held
up does not hide that all the others overran.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rtnb.lives.prediction import Run
from rtnb.units import in_words

__all__ = ["MOST", "Window", "broken", "broken_by"]

MOST = 30
"""The worst jobs of a task, so many at most, are looked at."""
_COMM = 15
"""Bytes of a name that the kernel keeps of a thread (TASK_COMM_LEN)."""
_WORTH_TELLING = 0.1


@dataclass(frozen=True)
class Window:
    """A job, and the busy period that ends with it."""

    task: str
    job: int
    begin_ns: int
    """The busy period's begin."""
    release_ns: int
    end_ns: int
    names: tuple[str, ...]
    """The task itself, and those that it has to wait for."""


def broken(
    run: Run, at: int, jobs: pd.DataFrame, tables: dict[str, pd.DataFrame], bound_ns: int, B_ns: int | None
) -> tuple[str, str]:
    """The assumption that broke for the task at that place, and its evidence; `jobs` are its rows of rt.jobs."""
    above = jobs[jobs["response_ns"] > bound_ns].sort_values("response_ns", ascending=False)
    looked_at = above.head(MOST)
    found = [broken_by(run, at, worst, tables, bound_ns, B_ns) for _, worst in looked_at.iterrows()]
    weights = pd.Series((looked_at["response_ns"] - bound_ns).to_numpy())
    words = pd.Series([word for word, _ in found])
    word = str(weights.groupby(words).sum().idxmax())
    evidence = next(evidence for other, evidence in found if other == word)
    more = ", ".join(f"{other} in {count:,}" for other, count in words.value_counts().items() if other != word)
    of = f" of {len(above):,}" if len(above) > len(found) else ""
    told = f"so in {int((words == word).sum()):,} of the {len(found):,} worst{of} above it, {more}" if more else ""
    return word, "; ".join(filter(None, [evidence, told]))


def broken_by(
    run: Run, at: int, worst: pd.Series, tables: dict[str, pd.DataFrame], bound_ns: int, B_ns: int | None
) -> tuple[str, str]:
    """The assumption that broke for one job above the bound, a row of rt.jobs, and its evidence."""
    window = _window(run, at, worst, tables["jobs"])
    above = int(worst["response_ns"]) - bound_ns
    told = f"job {window.job} took {in_words(int(worst['response_ns']))}, {in_words(above)} above the bound"
    found = {"overrun": _overran(run, window, tables["jobs"])}
    if "causes" in tables:
        found |= _traced(run, window, tables, B_ns)
    amounts = {word: amount for word, (amount, _) in found.items()}
    rest = above - sum(amounts.values())
    largest = max(amounts, key=lambda word: amounts[word])
    if "causes" not in tables and 2 * amounts["overrun"] < above:
        return "cannot tell", f"{told}: run it with trace=True to see where its time went"
    if amounts[largest] <= 0 or rest > amounts[largest]:
        if moved := _moved(window, tables):
            return "migration", f"{told}: it ran on {moved} CPUs"
        return "overhead", f"{told}: {in_words(rest)} of it is none of what the trace tells apart"
    shown = [word for word in amounts if amounts[word] >= max(1, _WORTH_TELLING * amounts[largest])]
    shown.sort(key=lambda word: -amounts[word])
    return largest, f"{told}: {'; '.join(found[word][1] for word in shown)}"


def _window(run: Run, at: int, worst: pd.Series, jobs: pd.DataFrame) -> Window:
    task = run.taskset[at]
    above = [t for t in run.taskset if run.policy == "edf" or t.priority < task.priority]
    names = tuple(t.name for t in (task, *above) if t is task or t.name != task.name)
    own = jobs[jobs["task"].isin(names)]
    release, end = own["release_ns"].to_numpy(), own["end_ns"].to_numpy()
    begin = int(worst["release_ns"])
    while (earlier := release[(end > begin) & (release < begin)]).size:
        begin = int(earlier.min())
    return Window(task.name, int(worst["job"]), begin, int(worst["release_ns"]), int(worst["end_ns"]), names)


def _within(window: Window, jobs: pd.DataFrame) -> pd.DataFrame:
    """The jobs of the busy period that may have kept the worst one waiting, and itself."""
    inside = (jobs["start_ns"] < window.end_ns) & (jobs["end_ns"] > window.begin_ns)
    return jobs[inside & jobs["task"].isin(window.names)]


def _overran(run: Run, window: Window, jobs: pd.DataFrame) -> tuple[int, str]:
    """How much more than C the jobs executed, and whose did most."""
    inside = _within(window, jobs)
    C = inside["task"].astype("str").map({task.name: int(task.C) for task in run.taskset}).to_numpy("int64")
    execution = inside["execution_ns"].to_numpy("int64")
    more = np.maximum(execution - C, 0)
    if not more.sum():
        return 0, ""
    by_task = pd.Series(more).groupby(inside["task"].astype("str").to_numpy()).sum()
    who = str(by_task.idxmax())
    most = int(execution[(inside["task"] == who).to_numpy()].max())
    return int(more.sum()), f"{who} executed {in_words(most)} of a C of {in_words(int(run.taskset[who].C))}"


def _traced(run: Run, window: Window, tables: dict[str, pd.DataFrame], B_ns: int | None) -> dict[str, tuple[int, str]]:
    """What the trace tells apart, in ns, each with its words."""
    causes, pieces = tables["causes"], tables["segments"]
    (own,) = causes[(causes["task"] == window.task) & (causes["job"] == window.job)].to_dict("records")
    near = pieces[(pieces["begin_ns"] >= window.begin_ns) & (pieces["end_ns"] <= window.end_ns)]
    near = near[near["task"].isin(window.names)]
    host = _host(causes, _within(window, tables["jobs"]))
    interrupts = _length(near[near["state"] == "interrupt"])
    found = {
        "throttling": (own["throttled_ns"], f"it was throttled for {in_words(own['throttled_ns'])}"),
        "other load": _foreign(run, near),
        "interrupts": (interrupts, f"interrupts took {in_words(interrupts)}"),
        "host": (host, f"the host took {in_words(host)}"),
        "release latency": _latency(run, window, pieces),
    }
    if B_ns is not None:
        more = max(0, own["blocked_ns"] - B_ns)
        found["blocking"] = (more, f"it slept {in_words(own['blocked_ns'])} in its job, of {in_words(B_ns)} foreseen")
    return found


def _latency(run: Run, window: Window, pieces: pd.DataFrame) -> tuple[int, str]:
    """How late it woke up, while nobody is known to have had its CPU: a wake-up in between need not have been seen."""
    own = (pieces["task"] == window.task) & (pieces["job"] == window.job) & (pieces["state"] == "unexplained")
    late = pieces[own]
    others = pieces[pieces["state"].isin(["run", "preempted"]) & (pieces["end_ns"] > window.release_ns)]
    others = others[(others["begin_ns"] < window.end_ns) & others["cpu"].isin(late["cpu"].unique())]
    both = _length(pd.concat([late, others]))
    ns = both - _length(others)
    return ns, f"it woke up {in_words(ns)} late, its CPU idle, its timer late, or its wake-up unseen"


def _host(causes: pd.DataFrame, inside: pd.DataFrame) -> int:
    """What the host took from these jobs."""
    by_task = inside.groupby(inside["task"].astype("str"))["job"]
    return sum(
        int(causes[(causes["task"] == name) & causes["job"].isin(jobs)]["host_ns"].sum()) for name, jobs in by_task
    )


def _foreign(run: Run, near: pd.DataFrame) -> tuple[int, str]:
    """How long others than the set's tasks had the CPU that one of them waited for, and who did longest."""
    ours = {task.name.encode()[:_COMM].decode(errors="ignore") for task in run.taskset}
    foreign = near[(near["state"] == "preempted") & ~near["by"].isin([*ours, ""])]
    if foreign.empty:
        return 0, ""
    by = foreign["by"].astype("str")
    each = {name: _length(foreign[by == name]) for name in by.unique()}
    who = max(each, key=lambda name: each[name])
    return _length(foreign), f"{who}, which is not in the set, had the CPU for {in_words(each[who])}"


def _length(pieces: pd.DataFrame) -> int:
    """Of stretches, what they cover on each CPU, all together: two tasks may have waited for one thing."""
    total = 0
    for _, part in pieces.groupby("cpu"):
        order = part.sort_values("begin_ns")
        reach = order["end_ns"].cummax()
        begin = np.maximum(order["begin_ns"], reach.shift(fill_value=0))
        total += int(np.maximum(order["end_ns"] - begin, 0).sum())
    return total


def _moved(window: Window, tables: dict[str, pd.DataFrame]) -> int:
    """On how many CPUs the job ran, where it was more than one."""
    if "segments" not in tables:
        return 0
    pieces = tables["segments"]
    own = (pieces["task"] == window.task) & (pieces["job"] == window.job) & (pieces["state"] == "run")
    cpus = int(pieces[own]["cpu"].nunique())
    return cpus if cpus > 1 else 0

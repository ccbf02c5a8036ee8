# SPDX-License-Identifier: MIT
"""Did the kernel do what theory says? The bound, the simulation and what was observed, task by task."""

from __future__ import annotations

import inspect
import os
from typing import Any

import numpy as np
import pandas as pd

from rtnb import recording, schema
from rtnb.errors import BadInput, closest
from rtnb.lives.assumptions import broken
from rtnb.lives.live import run
from rtnb.lives.plan import in_ns
from rtnb.lives.prediction import Prediction, Run, predict
from rtnb.lives.rows import ASSUMPTIONS, Comparison
from rtnb.recording import Header, Recording
from rtnb.text import printable
from rtnb.theory.ladder import assigned
from rtnb.theory.taskset import TaskSet, of_a_set
from rtnb.units import in_words

__all__ = ["compare", "summary"]

_WANTED = ("taskset", "unit", "scale", "policy", "protocol", "cpus", "length_ns", "late", "execution_ns")


def compare(
    ts: TaskSet | None = None,
    policy: str = "fp",
    *,
    observed: Recording | str | os.PathLike[str] | None = None,
    **options: Any,
) -> pd.DataFrame:
    """What was predicted, simulated and observed, a row a task (lives.comparison), and which assumption broke.

    It runs the set, with `options` as run() has them. Or `observed` is what run() returned, or the path where that was
    saved: then the policy and all else are as they were there, and so is the set, unless another is given, whose
    tasks have the same names.

    The bound: response times with the protocol's blocking on one CPU; under edf, which is global, what GFB, or the
    tardiness bound, proves. The simulation is as long as the run, each job taking what the real one was told to. Where
    an observed response time is above the bound, `assumption` is what took most of the time that theory does not know
    of: see rtnb.lives.ASSUMPTIONS. Raises BadInput; BadRecording; what run() raises.

    >>> compare(TaskSet(C=[1, 2], T=[4, 8]), "rm", scale="1ms")[["task", "predicted_ns", "simulated_ns", "jobs"]]
      task  predicted_ns  simulated_ns  jobs
    0   t1       1000000       1000000   500
    1   t2       3000000       3000000   250
    """
    if observed is None:
        if ts is None:
            raise BadInput("compare", "there is neither a task set nor a recording", "give one: compare(ts, policy)")
        _check_options(options)
        found = run(ts, policy, **options)
    elif options:
        raise BadInput(f"compare with {', '.join(options)}", "what was observed is there already", "leave it out")
    elif not isinstance(observed, Recording | str | os.PathLike):
        hint = "what run() returned, or the path where it was saved"
        raise BadInput(f"observed {printable(str(observed))[:40]}", "it is no recording", hint)
    else:
        found = observed if isinstance(observed, Recording) else recording.load(observed)
    return _compared(found, None if observed is None or ts is None else _set(ts))


@of_a_set
def _set(ts: TaskSet) -> TaskSet:
    return ts


def _check_options(options: dict[str, Any]) -> None:
    """Raises BadInput for what run() does not know."""
    known = [name for name in inspect.signature(run).parameters if name not in ("ts", "policy")]
    for name in options:
        if name not in known:
            why = "there is no such option of a run"
            raise BadInput(f"compare with {name}", why, closest(name, known) or f"one of {', '.join(known)}")


def summary(df: pd.DataFrame) -> pd.DataFrame:
    """The comparison of a run, from its jobs alone: without the trace it cannot tell most causes apart.

    Raises BadInput for a frame that is neither a run's jobs nor a comparison.
    """
    facts = df.attrs.get("rtnb", {})
    if facts.get("table") == "lives.comparison":
        return df
    if facts.get("table") != "rt.jobs":
        raise BadInput("summary", "it is made of the jobs of a run", 'take its tables["jobs"]')
    return _compared(Recording(Header.from_json(facts["header"]), {"jobs": df}))


def _compared(found: Recording, ts: TaskSet | None = None) -> pd.DataFrame:
    told = _told(found, ts)
    prediction = predict(told)
    tables = dict(found.tables)
    jobs = {str(name): part for name, part in tables["jobs"].groupby("task", observed=True)}
    rows = [_row(told, prediction, at, jobs.get(task.name), tables) for at, task in enumerate(told.taskset)]
    df = schema.frame(Comparison, {name: [row[name] for row in rows] for name in rows[0]})
    words = dict.fromkeys(df["assumption"])
    notes = (f"the bound is from: {prediction.source}" if any(prediction.R) else prediction.source, *prediction.notes)
    means = tuple(f"{word}: {ASSUMPTIONS[word]}" for word in words if word != "none")
    header = found.header
    made = Recording(header, {"comparison": df}).with_header(notes=(*notes, *means, *header.notes))
    return made.tables["comparison"]


def _told(found: Recording, ts: TaskSet | None) -> Run:
    """What the run was told, from its header. Raises BadInput for another kind of recording."""
    details = found.header.details
    if found.header.kind != "lives" or "jobs" not in found.tables or not set(_WANTED) <= set(details):
        raise BadInput("compare", "this is no recording of a task set's run", "run() makes one: ts.run()")
    ran = TaskSet(list(details["taskset"]), unit=str(details["unit"]))
    if ts is not None and [task.name for task in ts] != [task.name for task in ran]:
        why = f"the recording has the tasks {', '.join(task.name for task in ran)}, and the set other ones"
        raise BadInput("compare", why, "leave the set out: the recording has its own")
    of = ran if ts is None else ts
    scale = None if of.unit else details["scale"]
    return Run(
        assigned(in_ns(of, scale), details["policy"]),
        details["policy"],
        details["protocol"],
        int(details["cpus"]),
        int(details["length_ns"]),
        details["late"],
        {str(name): int(ns) for name, ns in details["execution_ns"].items()},
    )


def _row(
    told: Run, prediction: Prediction, at: int, jobs: pd.DataFrame | None, tables: dict[str, pd.DataFrame]
) -> dict[str, Any]:
    task, bound = told.taskset[at], prediction.R[at]
    row: dict[str, Any] = {
        "task": task.name,
        "C_ns": int(task.C),
        "deadline_ns": int(task.D),
        "predicted_ns": bound,
        "simulated_ns": prediction.simulated[at],
    }
    if jobs is None or jobs.empty:
        row |= dict.fromkeys(("observed_p50_ns", "observed_p99_ns", "observed_ns"))
        none = {"jobs": 0, "late": 0, "missed": 0, "holds": True}
        return row | none | {"assumption": "cannot tell", "evidence": "no job of it was done"}
    worst = jobs.loc[jobs["response_ns"].idxmax()]
    holds = bound is None or int(worst["response_ns"]) <= bound
    if holds:
        assumption, evidence = _within(task.name, worst, bound, jobs, prediction.source)
    else:
        assert bound is not None
        assumption, evidence = broken(told, at, jobs, tables, bound, prediction.B[at])
    return row | _observed(jobs, int(task.D)) | {"holds": holds, "assumption": assumption, "evidence": evidence}


def _observed(jobs: pd.DataFrame, D_ns: int) -> dict[str, int]:
    response = jobs["response_ns"].to_numpy()
    p50, p99 = (int(np.quantile(response, share, method="inverted_cdf")) for share in (0.5, 0.99))
    return {
        "observed_p50_ns": p50,
        "observed_p99_ns": p99,
        "observed_ns": int(response.max()),
        "jobs": len(jobs),
        "late": int((response > D_ns).sum()),
        "missed": int(jobs["missed"].sum()),
    }


def _within(name: str, worst: pd.Series, bound: int | None, jobs: pd.DataFrame, source: str) -> tuple[str, str]:
    took, missed = in_words(int(worst["response_ns"])), int(jobs["missed"].sum())
    if missed:
        return "release skipped", f"{name} slept through {missed:,} releases; the largest of {len(jobs):,} was {took}"
    if bound is None:
        why = f" ({source})" if source.startswith("no bound") else ""
        return "none", f"there is no bound to break{why}; the largest of {len(jobs):,} was {took}"
    return "none", f"the largest of {len(jobs):,} was {took}, within the bound of {in_words(bound)}"

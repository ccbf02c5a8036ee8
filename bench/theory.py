# SPDX-License-Identifier: MIT
"""How fast is exact analysis of fixed priorities, next to pyRTA (PyPI: response-time-analysis)? 1,000 sets of 20 tasks.

Both take the same sets, ready made in their own form, and must find the same response times. The sets are the usual
ones: UUniFast, log-uniform periods from 1 to 1000 ms in us, deadline monotonic.
"""

from __future__ import annotations

from response_time_analysis import fp, model

from bench.harness import Row, compare, table, timed
from rtnb.theory import TaskSet, generate, rate_monotonic
from rtnb.theory.response import response_times

__all__ = ["rows"]

SETS = 1000
TASKS = 20
PERIODS_US = (1_000, 1_000_000)

Columns = dict[str, list[int]]


def columns(utilisation: float, number: int) -> Columns:
    """C and T of one set, by period."""
    ts = rate_monotonic(generate(TASKS, utilisation, seed=f"{utilisation}/{number}", periods=PERIODS_US))
    return {field: [getattr(ts[at], field) for at in ts.order] for field in ("C", "T")}


def theirs(made: Columns) -> model.TaskSet:
    """The set as pyRTA has it, where a bigger number is a higher priority."""
    tasks = zip(made["C"], made["T"], strict=True)
    return model.taskset(
        model.Task(
            model.Periodic(T), model.FullyPreemptive(model.WCET(C)), model.Deadline(T), model.Priority(TASKS - at)
        )
        for at, (C, T) in enumerate(tasks)
    )


def analysed(ts: TaskSet) -> list[int | None]:
    """The response times that rtnb finds."""
    return list(response_times(ts).R)


def analysed_by_peer(ts: model.TaskSet) -> list[int | None]:
    """The response times that pyRTA finds."""
    supply = model.IdealProcessor()
    return [fp.rta(ts, task, supply).response_time_bound for task in ts]


def rows(pairs: int = 3) -> list[Row]:
    """The analysis alone, of sets of three utilisations; then with the making of the sets."""
    found = []
    for utilisation in (0.6, 0.75, 0.9):
        given = [columns(utilisation, number) for number in range(SETS)]
        mine, peers = [TaskSet(**each) for each in given], [theirs(each) for each in given]
        agree = [analysed(ts) for ts in mine] == [analysed_by_peer(ts) for ts in peers]
        note = "all response times equal" if agree else "RESPONSE TIMES DIFFER"
        what = f"exact FP analysis, {SETS} sets of {TASKS} tasks, U {utilisation}, pyRTA"
        found.append(
            compare(
                what,
                timed(lambda mine=mine: [analysed(ts) for ts in mine]),
                timed(lambda peers=peers: [analysed_by_peer(ts) for ts in peers]),
                pairs=pairs,
                note=note,
            )
        )
    found.append(
        compare(
            f"the same, U {utilisation}, with making the sets",
            timed(lambda: [analysed(TaskSet(**each)) for each in given]),
            timed(lambda: [analysed_by_peer(theirs(each)) for each in given]),
            pairs=pairs,
        )
    )
    return found


if __name__ == "__main__":
    print(table(rows()))

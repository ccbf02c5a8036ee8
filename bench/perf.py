# SPDX-License-Identifier: MIT
"""What does `%perf_stat true` cost, next to `perf stat true`? Both as what they add to a plain run of `true`."""

from __future__ import annotations

import subprocess

from bench.harness import Row, compare, table, timed
from rtnb import perf

__all__ = ["rows"]

EVENTS = "task-clock,context-switches,cpu-migrations,page-faults"


def plain() -> None:
    subprocess.run(["true"], check=True, capture_output=True)


def classic() -> None:
    subprocess.run(["perf", "stat", "-e", EVENTS, "true"], check=True, capture_output=True)


def rows(pairs: int = 51) -> list[Row]:
    """One row: wall time, the plain run taken off."""
    row = compare(
        "perf_stat true",
        timed(lambda: perf.stat("true", event=EVENTS)),
        timed(classic),
        base=timed(plain),
        pairs=pairs,
        note=f"added to a plain run; {EVENTS}",
    )
    return [row]


if __name__ == "__main__":
    print(table(rows()))

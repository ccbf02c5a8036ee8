# SPDX-License-Identifier: MIT
"""How late does `%rt_task` find its task, next to cyclictest? 1 ms, FIFO 80, one CPU, idle and under hackbench."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import numpy as np

from bench.harness import Row, compare, table
from rtnb import rt

__all__ = ["rows"]

LOOPS = 2000
CPU = max(os.sched_getaffinity(0))
LONGEST_NS = 2_000_000  # of cyclictest's histogram; what is later is told as this


def ours() -> np.ndarray:
    """The latencies of one run of ours, ns."""
    df = rt.run(policy="fifo", priority=80, period="1ms", duration=f"{LOOPS}ms", cpu=CPU).frame
    return df["latency_ns"].to_numpy()


def cyclictest() -> np.ndarray:
    """The latencies of one run of cyclictest, ns."""
    with tempfile.NamedTemporaryFile(suffix=".json") as told:
        options = f"-q -N -m -p80 -i1000 -l {LOOPS} -a {CPU} -h {LONGEST_NS} --json={told.name}"
        subprocess.run(["cyclictest", *options.split()], check=True, stdout=subprocess.DEVNULL)
        thread = json.load(told)["thread"]["0"]
    ns = np.repeat([int(ns) for ns in thread["histogram"]], list(thread["histogram"].values()))
    return np.append(ns, np.full(thread["cycles"] - len(ns), LONGEST_NS))


class Runs:
    """One side: each run is measured once, and gives both its median and, afterwards, its p99 (us)."""

    def __init__(self, run: Callable[[], np.ndarray]) -> None:
        self.run, self.kept = run, []

    def p50(self) -> float:
        self.kept.append(self.run())
        return float(np.percentile(self.kept[-1], 50)) / 1000

    def p99(self) -> float:
        return float(np.percentile(self.kept.pop(0), 99)) / 1000


@contextmanager
def hackbench() -> Iterator[None]:
    """Two groups of 40 processes that send messages to each other, for as long as the block lasts."""
    argv = ["hackbench", "-g", "2", "-l", "100000000"]
    with subprocess.Popen(argv, process_group=0, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as load:
        try:
            yield
        finally:
            os.killpg(load.pid, signal.SIGKILL)


def rows(pairs: int = 9) -> list[Row]:
    """Median and p99 of the wake-up latency, idle and loaded; the note tells the difference of the medians."""
    found = []
    for name, load in (("idle", nullcontext()), ("hackbench", hackbench())):
        with load:
            mine, peer = Runs(ours), Runs(cyclictest)
            for what in ("p50", "p99"):
                row = compare(
                    f"rt_task {what}, {name}", getattr(mine, what), getattr(peer, what), unit="us", pairs=pairs
                )
                found.append(dataclasses.replace(row, note=f"cyclictest; {row.ours - row.peer:+.1f} us"))
    return found


if __name__ == "__main__":
    print(table(rows()))

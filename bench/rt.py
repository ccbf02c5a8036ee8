# SPDX-License-Identifier: MIT
"""How late does `%rt_task` find its task, next to cyclictest and to a plain C loop, and what does looking cost?

1 ms, FIFO 80, one CPU, idle and under hackbench. Then: are all samples there, and does priority inversion last as
long as theory says?
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import resource
import shutil
import signal
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np

from bench.harness import Row, compare, table
from rtnb import rt, sched

__all__ = ["rows"]

LOOPS = 2000
CPU = max(os.sched_getaffinity(0))
LONGEST_NS = 2_000_000  # of cyclictest's histogram; what is later is told as this
INVERSIONS = 20


class Side:
    """One side of a comparison: each run gives the latencies (ns) and the CPU time of what measured them (ms)."""

    def __init__(self, run: Callable[[], np.ndarray]) -> None:
        self.run, self.kept = run, []

    def measure(self) -> float:
        """Run once; the median, us. The run's p99 and CPU time are kept for the rows after this."""
        before = _cpu_ms()
        ns = self.run()
        self.kept.append((float(np.percentile(ns, 99)) / 1000, _cpu_ms() - before))
        return float(np.percentile(ns, 50)) / 1000

    def again(self, which: int) -> Callable[[], float]:
        """What was kept of each run, in their order."""
        values = iter([kept[which] for kept in self.kept])
        return lambda: next(values)


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


def plain_loop(program: Path) -> np.ndarray:
    """The latencies of one run of bench/loop.c, ns."""
    done = subprocess.run([program, str(LOOPS), str(CPU)], check=True, capture_output=True)
    return np.array(done.stdout.split(), dtype="int64")


def _cpu_ms() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1000


@contextmanager
def hackbench() -> Iterator[None]:
    """Two groups of 40 processes that send messages to each other, for as long as the block lasts."""
    argv = ["hackbench", "-g", "2", "-l", "100000000"]
    with subprocess.Popen(argv, process_group=0, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as load:
        try:
            yield
        finally:
            os.killpg(load.pid, signal.SIGKILL)


@contextmanager
def _compiled() -> Iterator[Path | None]:
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "loop"
        compiler = shutil.which("cc")
        if compiler:
            subprocess.run([compiler, "-O2", "-o", program, Path(__file__).with_name("loop.c")], check=True)
        yield program if compiler else None


def rows(pairs: int = 9) -> list[Row]:
    """Median, p99 and CPU time, idle and loaded; the note tells the difference of the medians."""
    found = []
    with _compiled() as program:
        for name, load in (("idle", nullcontext()), ("hackbench", hackbench())):
            with load:
                found += _against(f"cyclictest, {name}", cyclictest, pairs)
                if program:
                    found += _against(f"plain C loop, {name}", lambda: plain_loop(program), pairs)[:1]
    return [*found, *complete(), *inversions()]


def _against(name: str, peer: Callable[[], np.ndarray], pairs: int) -> list[Row]:
    mine, theirs = Side(ours), Side(peer)
    p50 = compare(f"rt_task p50, {name}", mine.measure, theirs.measure, unit="us", pairs=pairs)
    # The first run of each side warmed up, and is not counted; here neither.
    made = [dataclasses.replace(p50, note=f"{p50.ours - p50.peer:+.1f} us")]
    for which, (what, unit) in enumerate((("p99", "us"), ("CPU time of the sampler", "ms"))):
        row = compare(f"rt_task {what}, {name}", mine.again(which), theirs.again(which), unit=unit, pairs=pairs)
        made.append(row)
    return made


def complete(seconds: int = 60) -> list[Row]:
    """Four tasks at 1 kHz: is each of their releases a row, or counted as missed?"""
    recording = rt.run(threads=4, period="1ms", duration=f"{seconds}s")
    df, tasks = recording.frame, recording.header.details["tasks"].values()
    asked = sum(facts["releases"] for facts in tasks)
    accounted = len(df) + int(df["missed"].sum())
    note = f"{asked - accounted} lost, {int(df['missed'].sum())} of them missed by the tasks themselves"
    return [_alone(f"rt_task --threads 4, 1 kHz, {seconds} s: releases accounted for", accounted, asked, "", note)]


def inversions() -> list[Row]:
    """The wait of the urgent task beside theory's, for each protocol, and how far the worst of the runs is from it."""
    found = []
    for protocol in ("none", "inherit", "protect"):
        told = [rt.inversion(protocol).header.details["inversion"] for _ in range(INVERSIONS)]
        waits = [facts["waited_ns"] / 1e6 for facts in told]
        theory = told[0]["theory_ns"] / 1e6
        worst = max(abs(wait - theory) for wait in waits)
        note = f"{INVERSIONS} runs, the farthest {worst:.2f} ms from theory; spread is of the waits, ms"
        row = _alone(f"rt.inversion({protocol!r}): wait, beside theory's", statistics.median(waits), theory, "ms", note)
        low, _, high = statistics.quantiles(waits, n=4, method="inclusive")
        found.append(dataclasses.replace(row, low=low, high=high, pairs=INVERSIONS))
    return found


def _alone(what: str, ours: float, peer: float, unit: str, note: str) -> Row:
    ratio = ours / peer if peer else math.nan
    return Row(what, ours, peer, unit, ratio, ratio, ratio, 1, note)


if __name__ == "__main__":
    print(sched.of())
    print(table(rows()))

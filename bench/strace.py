# SPDX-License-Identifier: MIT
"""%strace beside strace and python-ptrace, and what a frame costs: `python -m bench.strace`."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from bench.harness import Row, compare, table, timed
from rtnb import strace
from rtnb.abi.syscall import NUMBERS
from rtnb.strace import frame

__all__ = ["rows"]

DD = ["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=50000"]
"""Some 100,000 system calls: a read and a write for each byte."""


def ours(**options: object) -> Callable[[], float]:
    def work() -> None:
        with contextlib.redirect_stderr(io.StringIO()):
            ran = strace.run(DD, **options)  # type: ignore[arg-type]
        assert ran.header.exit_status == 0
        assert ran.header.lost == 0

    return timed(work)


def peer(*words: str) -> Callable[[], float]:
    def work() -> None:
        with tempfile.NamedTemporaryFile() as out:
            subprocess.run([*words, "-o", out.name, *DD], capture_output=True, check=True)

    return timed(work)


@contextlib.contextmanager
def one_cpu() -> Iterator[None]:
    """Both on one CPU: where tracer and traced are apart, waking an idle virtual CPU costs ten times the stop."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def frame_ns(events: int = 1_000_000, rounds: int = 7) -> Row:
    """Building the frame of so many made-up calls, a tenth of them failed and a third with one of 5,000 paths."""
    random = np.random.default_rng(1)
    rows = np.zeros(events, frame.RECORD)
    rows["time_ns"] = np.arange(events) * 5_000
    rows["dur_ns"] = 4_000
    rows["nr"] = random.choice([NUMBERS[n] for n in ("read", "write", "openat", "newfstatat", "close", "mmap")], events)
    rows["is_error"] = random.random(events) < 0.1
    rows["ret"] = np.where(rows["is_error"], -2, 3)
    with_path = np.isin(rows["nr"], [NUMBERS["openat"], NUMBERS["newfstatat"]])
    rows["string"] = np.where(with_path, np.cumsum(with_path) - 1, -1)
    strings = b"".join(b"/usr/lib/some/where/%d\0" % (i % 5_000) for i in range(with_path.sum()))
    measure = timed(lambda: frame.calls(rows, strings))
    measure()
    each = [measure() * 1e6 / events for _ in range(rounds)]
    low, middle, high = statistics.quantiles(each, n=4, method="inclusive")
    return Row(
        f"frame of {events:,} events, one",
        middle,
        float("nan"),
        "ns",
        float("nan"),
        low,
        high,
        rounds,
        "no peer: the spread is in ns",
    )


def rows() -> list[Row]:
    """A row a peer, wall time of the whole run, ours with its frame; the last row has no peer."""
    made = []
    if shutil.which("strace"):
        made += [
            compare("%strace -f dd, 100,000 calls", ours(follow_forks=True), peer("strace", "-f"), note="strace -f -o"),
            compare(
                "%strace -f -e openat dd",
                ours(trace="openat", follow_forks=True),
                peer("strace", "-f", "--seccomp-bpf", "-e", "openat"),
                pairs=15,
                note="strace -f --seccomp-bpf -e openat",
            ),
        ]
        with one_cpu():
            made += [
                compare(
                    "%strace -f dd, on one CPU", ours(follow_forks=True), peer("strace", "-f"), note="strace -f -o"
                ),
                compare("%strace -e openat dd, on one CPU", ours(trace="openat"), peer("strace", "-e", "openat")),
            ]
    if script := shutil.which("strace.py", path=str(Path(sys.executable).parent)):
        with one_cpu():
            python_ptrace = peer(sys.executable, script, "-f")
            made.append(
                compare(
                    "%strace -f dd, on one CPU", ours(follow_forks=True), python_ptrace, pairs=3, note="python-ptrace"
                )
            )
    return [*made, frame_ns()]


if __name__ == "__main__":
    print(table(rows()))

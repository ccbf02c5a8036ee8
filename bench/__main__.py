# SPDX-License-Identifier: MIT
"""What does rtnb cost next to its peers? Every bench of this folder in turn, as one Markdown table (`make bench`)."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from bench.harness import Row, table
from rtnb.errors import RtnbError

PEERS = ("strace -V", "perf --version", "bpftrace --version", "cyclictest --help")


def main() -> None:
    """Measure, then print: the machine, the table, and what could not be measured."""
    rows: list[Row] = []
    failures = []
    for file in sorted(Path(__file__).parent.glob("[!_]*.py")):
        bench = import_module(f"bench.{file.stem}")
        if not hasattr(bench, "rows"):  # the harness
            continue
        print(f"bench/{file.name} ...", file=sys.stderr, flush=True)
        try:
            rows += bench.rows()
        except (OSError, RtnbError, subprocess.SubprocessError) as e:
            failures.append(f"Not measured, bench/{file.name}: {e}")
    print(machine(), table(rows), *failures, sep="\n\n")


def machine() -> str:
    """What the numbers below depend on, in three lines."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("rtnb", "numpy", "pandas", "python-ptrace"))
    load = " ".join(f"{x:.1f}" for x in os.getloadavg())
    return "\n".join(
        [
            f"{datetime.now(UTC):%Y-%m-%d}, Linux {platform.release()} {platform.machine()}, "
            f"{os.cpu_count()} CPUs ({_processor()}), load {load}  ",
            f"Python {platform.python_version()}, {packages}  ",
            ", ".join(filter(None, map(_version, PEERS))),
        ]
    )


def _processor() -> str:
    names = [line for line in Path("/proc/cpuinfo").read_text().split("\n") if line.startswith("model name")]
    return names[0].partition(": ")[2] if names else "unnamed"


def _version(question: str) -> str:
    """The first line with which a peer names its version, or nothing where it is not installed."""
    argv = question.split()
    if not shutil.which(argv[0]):
        return ""
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout.partition("\n")[0].strip().replace("strace -- version", "strace")


if __name__ == "__main__":
    main()

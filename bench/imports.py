# SPDX-License-Identifier: MIT
"""How long does `import rtnb` take beyond numpy and pandas, next to those two themselves?

The design allows 300 ms. Each measurement is a fresh process with warm files; the clock starts inside it.
"""

from __future__ import annotations

import os
import subprocess
import sys

from bench.harness import Row, compare, table

__all__ = ["rows"]

CODE = """
import time
start = time.perf_counter_ns()
import numpy, pandas
peer = time.perf_counter_ns()
import rtnb
print(peer - start, time.perf_counter_ns() - peer)
"""


def _measure(which: int) -> float:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run([sys.executable, "-c", CODE], env=env, check=True, capture_output=True, text=True)
    return int(done.stdout.split()[which]) / 1e6


def rows(pairs: int = 15) -> list[Row]:
    """One row: rtnb's own share of an import."""
    return [
        compare(
            "import rtnb",
            lambda: _measure(1),
            lambda: _measure(0),
            pairs=pairs,
            note="beyond numpy and pandas; peer: those two",
        )
    ]


if __name__ == "__main__":
    print(table(rows()))

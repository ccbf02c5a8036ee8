# SPDX-License-Identifier: MIT
"""Does the running kernel do what theory says? A task set is run for real, and compared with its bound and simulation.

Theory knows no kernel, and the kernel's tasks no theory: this package stands above both. `run()` makes real tasks of a
set, `compare()` says task by task what was predicted, simulated and observed, and which assumption broke.
"""

from __future__ import annotations

from rtnb.lives.calibration import Calibration, calibrate
from rtnb.lives.comparison import compare, summary
from rtnb.lives.live import run
from rtnb.lives.plan import Plan, plan
from rtnb.lives.rows import ASSUMPTIONS, Comparison
from rtnb.theory.taskset import LIVES

__all__ = ["ASSUMPTIONS", "Calibration", "Comparison", "Plan", "calibrate", "compare", "plan", "run", "summary"]

LIVES.update(run=run, compare=compare)

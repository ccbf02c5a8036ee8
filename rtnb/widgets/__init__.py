# SPDX-License-Identifier: MIT
"""What moves in a notebook? Live panels: their logic is a class without widgets, and each has a static form."""

from __future__ import annotations

from rtnb.widgets.taskset import TaskSetPanel

__all__ = ["TaskSetPanel"]

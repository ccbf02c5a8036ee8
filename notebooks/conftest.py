# SPDX-License-Identifier: MIT
"""What nbval must know of these notebooks: figures are read by people, not compared."""

from __future__ import annotations

from typing import Any


def pytest_collectstart(collector: Any) -> None:
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("application/vnd.plotly.v1+json", "stderr")

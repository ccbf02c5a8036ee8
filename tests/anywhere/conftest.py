# SPDX-License-Identifier: MIT
"""The worked cases of real-time theory, by id."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_CASES = json.loads((Path(__file__).parent.parent / "vectors" / "rt_vectors.json").read_text())["vectors"]


@pytest.fixture(scope="session")
def vector() -> Callable[[str], tuple[Any, Any]]:
    """A worked case's input and what is expected of it, by its id."""
    known = {case["id"]: (case["input"], case["expected"]) for case in _CASES}
    return known.__getitem__

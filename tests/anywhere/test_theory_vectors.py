# SPDX-License-Identifier: MIT
"""Is every worked case of the theory a test? Each is named, in quotes, by the file that holds its subject's tests."""

from __future__ import annotations

import json
from pathlib import Path

HERE = Path(__file__).parent


def test_every_vector_is_a_test() -> None:
    cases = json.loads((HERE.parent / "vectors" / "rt_vectors.json").read_text())
    tests = "".join(path.read_text() for path in HERE.glob("test_theory_*.py"))
    assert [case["id"] for case in cases["vectors"] if f'"{case["id"]}"' not in tests] == []
    assert len(cases["vectors"]) == cases["count"] == 52

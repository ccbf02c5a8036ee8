# SPDX-License-Identifier: MIT
"""A hosted notebook gets the versions that the tests run with. repo2docker reads binder/, and no pyproject.toml."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
BINDER = ROOT / "binder"


def _pins(file: Path) -> set[str]:
    return set(re.findall(r"^[\w.-]+==[^ \\\n]+", file.read_text(), re.MULTILINE))


def test_the_pins_are_those_of_the_lock() -> None:
    pins = _pins(BINDER / "requirements.txt")
    assert len(pins) == len((BINDER / "requirements.txt").read_text().splitlines())
    assert pins <= _pins(ROOT / "requirements.lock")


def test_everything_that_a_notebook_needs_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["notebook"]
    assert {re.split("[<>=]", w)[0] for w in wanted} <= {
        pin.split("==")[0] for pin in _pins(BINDER / "requirements.txt")
    }


def test_its_python_is_one_that_we_support() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    version = (BINDER / "runtime.txt").read_text().strip().removeprefix("python-")
    assert f">={version}" == project["requires-python"]


def test_what_is_run_afterwards_can_be() -> None:
    assert os.access(BINDER / "postBuild", os.X_OK)
    assert json.loads((BINDER / "overrides.json").read_text())


def test_no_committed_pin_names_a_host() -> None:
    for file in (ROOT / "requirements.lock", BINDER / "requirements.txt"):
        assert "://" not in file.read_text()

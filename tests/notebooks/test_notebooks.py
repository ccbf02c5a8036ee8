# SPDX-License-Identifier: MIT
"""Every notebook runs twice: live, and as `nobody` with no privilege at all, from data/."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
AS_NOBODY = {"bpf": {"recorded"}, "rt_task": {"recorded", "live"}, "lives": {"recorded"}, "sched": {"live"}}
"""How `nobody` sees the recordings of a kind: bpf is refused everywhere, real-time policies too; others are live."""


def _nbval(python: str, folder: Path, name: str, **run: object) -> str:
    """Run one notebook under nbval; every cell must pass, and the tagged ones print what is stored."""
    options = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=120", "-p", "no:cacheprovider", "-q"]
    words = [python, "-m", "pytest", *options, "-c", os.devnull, "--rootdir", str(folder), name]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, **run)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


def _cells(name: str) -> int:
    book = json.loads((ROOT / "notebooks" / name).read_text())
    return sum(cell["cell_type"] == "code" for cell in book["cells"])


def _captions(python: str, folder: Path, name: str, **run: object) -> list[tuple[str, str]]:
    """What a run shows of recordings: the kind of each, and whether it is live or recorded."""
    words = [python, "-m", "nbconvert", "--to", "notebook", "--execute", "--stdout", "--log-level=ERROR", name]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True, **run)  # type: ignore[call-overload]
    outputs = [o for c in json.loads(done.stdout)["cells"] for o in c.get("outputs", [])]
    texts = ["".join(o.get("data", {}).get("text/plain", "")) for o in outputs]
    found = [re.match(r"(live|recorded) ?\S* · (\w+)", text) for text in texts]
    return [(match[2], match[1]) for match in found if match]


@pytest.mark.parametrize("name", [book.name for book in NOTEBOOKS])
def test_outputs_are_stored_and_light(name: str) -> None:
    book = json.loads((ROOT / "notebooks" / name).read_text())
    assert "widgets" not in book["metadata"]
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in code)
    for cell in code:
        if "nbval-check-output" in cell["metadata"].get("tags", []):
            assert ["".join(output["text"]) for output in cell["outputs"]] == ["PASS\n"]
    assert not [output for cell in code for output in cell["outputs"] if output["output_type"] == "error"]


@pytest.mark.needs("strace.ptrace", "perf.software", "bpf.raw_tp", "rt.fifo")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [book.name for book in NOTEBOOKS])
def test_live(name: str) -> None:
    assert f"{_cells(name)} passed" in _nbval(sys.executable, ROOT / "notebooks", name)
    assert {mode for _, mode in _captions(sys.executable, ROOT / "notebooks", name)} <= {"live"}


@pytest.fixture(scope="module")
def nobodys() -> Iterator[Path]:
    """A folder that every user can read: rtnb installed there from a wheel, what it needs, notebooks and data."""
    if os.geteuid():
        pytest.skip("only root can become nobody")
    with tempfile.TemporaryDirectory(prefix="rtnb-nobody-") as scratch:
        place = Path(scratch)
        place.chmod(0o755)
        skip = shutil.ignore_patterns("ziglang*", "__editable__*", "rtnb*")
        shutil.copytree(sysconfig.get_path("purelib"), place / "site", ignore=skip, copy_function=_link, symlinks=True)
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
        subprocess.run([*pip, "--target", place / "site", ROOT], check=True)
        for part in ("notebooks", "data"):
            shutil.copytree(ROOT / part, place / part, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        (place / "home").mkdir()
        shutil.chown(place / "home", "nobody")
        yield place


def _link(source: str, target: str) -> None:
    """The same file under another name where that can be; it is only read."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [book.name for book in NOTEBOOKS])
def test_as_nobody(nobodys: Path, name: str) -> None:
    account = pwd.getpwnam("nobody")
    run = {
        "user": account.pw_uid,
        "group": account.pw_gid,
        "extra_groups": [],
        "env": {"HOME": str(nobodys / "home"), "PATH": os.defpath, "PYTHONPATH": str(nobodys / "site")},
    }
    python = str(Path(sys.executable).resolve())  # not the environment's: nobody may not be able to reach it
    assert f"{_cells(name)} passed" in _nbval(python, nobodys / "notebooks", name, **run)
    for kind, mode in _captions(python, nobodys / "notebooks", name, **run):
        assert mode in AS_NOBODY.get(kind, {"live"}), kind

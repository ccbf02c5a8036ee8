# SPDX-License-Identifier: MIT
"""`pip install` of rtnb, offline, into a fresh environment: with a compiler, and with none."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

import rtnb
from rtnb import schema

ROOT = Path(__file__).parent.parent.parent
Install = Callable[[str | None], tuple[str, str]]


def _run(*argv: str | Path, cwd: Path | None = None, **env: str) -> str:
    """The output of a program that must succeed, started outside the checkout unless told otherwise."""
    done = subprocess.run(argv, cwd=cwd or "/", env=os.environ | env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked: all that there is to build from."""
    folder = tmp_path_factory.mktemp("sdist")
    _run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(folder), cwd=ROOT)
    (archive,) = folder.glob("*.tar.gz")
    _run("tar", "-xf", archive, "-C", folder)
    return folder / archive.name.removesuffix(".tar.gz")


@pytest.fixture
def install(source: Path, tmp_path: Path) -> Install:
    """Build a wheel with this CC and install it: its file name, and the Python that has it."""

    def install(cc: str | None) -> tuple[str, str]:
        tree, dist, venv = tmp_path / "tree", tmp_path / "dist", tmp_path / "venv"
        shutil.copytree(source, tree)
        _run(
            sys.executable,
            "-m",
            "hatchling",
            "build",
            "-t",
            "wheel",
            "-d",
            dist,
            cwd=tree,
            **({"CC": cc} if cc else {}),
        )
        (wheel,) = dist.iterdir()
        _run(sys.executable, "-m", "venv", venv)
        python = venv / "bin/python"
        _run(python, "-m", "pip", "install", "--no-deps", "--no-index", wheel)
        site = _run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
        Path(site, "dependencies.pth").write_text(sysconfig.get_path("purelib"))  # numpy and pandas need no second copy
        return wheel.name, str(python)

    return install


def test_the_sdist_has_the_sources_and_nothing_built(source: Path) -> None:
    files = {str(file.relative_to(source)) for file in source.rglob("*") if file.is_file()}
    sources = {f"rtnb/_core/{file.name}" for file in (ROOT / "rtnb/_core").glob("*.[ch]")}
    assert sources | {"pyproject.toml", "README.md", "LICENSE", "rtnb/_core/build.py"} <= files
    assert not {file for file in files if file.endswith(("rtnb-core", ".pyc", ".o", ".ipynb"))}


@pytest.mark.needs("core.run")
def test_with_a_compiler_the_core_comes_along(install: Install) -> None:
    wheel, python = install(None)
    assert wheel.endswith(f"-py3-none-linux_{platform.machine()}.whl")
    code = "import rtnb, rtnb._core; print(rtnb._core.path()); print(rtnb.strace.run(['true']).header.exit_status)"
    core, status = _run(python, "-c", code).split("\n")[:2]
    assert Path(core).is_relative_to(Path(python).parent.parent)
    assert os.access(core, os.X_OK)
    assert status == "0"


def test_without_a_compiler_recordings_load_and_the_core_is_missed_by_name(install: Install, tmp_path: Path) -> None:
    wheel, python = install("/nonexistent")
    assert wheel.endswith("-py3-none-any.whl")
    calls = schema.empty(rtnb.strace.Call)
    saved = rtnb.Recording(rtnb.Header("strace", ("true",), "ptrace (C)"), {"calls": calls}).save(tmp_path / "saved")
    code = f"""
import rtnb, rtnb._core
recording = rtnb.load({str(saved)!r})
print(recording.header.mode, *recording.frame.columns[:3], len(recording.frame.rtnb.summary()))
try:
    rtnb._core.path()
except FileNotFoundError as e:
    print(e.strerror)
try:
    rtnb.strace.run(["true"])
except rtnb.errors.NotSupported as e:
    print(type(e.__cause__).__name__, e)
"""
    loaded, missing, refused = _run(python, "-c", code).split("\n")[:3]
    assert loaded == "recorded time_ns pid tid 0"
    assert missing == "rtnb was installed without its C core"
    assert refused.startswith(f"FileNotFoundError trace true: {missing}")


@pytest.mark.needs("core.run")
def test_the_compiler_has_nothing_to_say(source: Path, tmp_path: Path) -> None:
    """A user's newer compiler may warn and still build; ours may not."""
    tree = shutil.copytree(source / "rtnb/_core", tmp_path / "core")
    assert _run(sys.executable, tree / "build.py", CC="cc -Werror") == ""
    assert (tree / "rtnb-core").is_file()


@pytest.mark.skipif(platform.system() != "Linux", reason="the core is for Linux")
def test_the_ziglang_package_is_a_compiler_too(source: Path, tmp_path: Path) -> None:
    tree = shutil.copytree(source / "rtnb/_core", tmp_path / "core")
    assert _run(sys.executable, tree / "build.py", PATH="/nonexistent") == ""
    done = subprocess.run([tree / "rtnb-core"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr[:17]) == (2, "usage: rtnb-core ")

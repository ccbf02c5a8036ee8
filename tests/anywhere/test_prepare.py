# SPDX-License-Identifier: MIT
"""What `make lab` says where it cannot go on: a sentence, an exit status, and no traceback."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent.parent
Programs = Callable[..., None]


@pytest.fixture
def prepare() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prepare", ROOT / ".ci/prepare.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """Stand-ins for the package manager's programs, each a line of shell; nothing else is on the path."""

    def programs(**lines: str) -> None:
        for name, line in lines.items():
            program = tmp_path / name.replace("_", "-")
            program.write_text(f"#!/bin/sh\n{line}\n")
            program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))

    return programs


def _make(*words: str) -> tuple[int, str, str]:
    """Status, output and errors of a `make` that must fail before it does anything."""
    env = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }  # `make test`'s
    done = subprocess.run(["make", *words], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        status, out, err = _make("lab", f"PORT={port}")
    assert (status, out) == (2, "")
    assert err.split("\n")[0] == (
        f"cannot listen on port {port} (Address already in use): choose another, make lab PORT=8899"
    )


@pytest.mark.parametrize("port", ["abc", "-1", "65536", "1.5"])
def test_a_port_that_is_none(port: str) -> None:
    status, out, err = _make("lab", f"PORT={port}")
    assert (status, out) == (2, "")
    assert err.split("\n")[0] == f"PORT={port} is not a port: make lab PORT=8899"


@pytest.mark.parametrize("python", ["/bin/false", "/nonexistent/python3"])
def test_a_python_that_will_not_do(python: str) -> None:
    status, out, err = _make("lab", f"PYTHON={python}")
    assert (status, out) == (2, "")
    assert err.endswith(
        f"rtnb needs Python 3.11 or newer, and {python} is not: name one, as in make PYTHON=python3.12.  Stop.\n"
    )


def test_without_root_the_line_is_printed(
    prepare: ModuleType, programs: Programs, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As on Ubuntu: another name for perf, none for chromium, and some of it is there already."""
    programs(
        apt_get="echo must not run; exit 1",
        dpkg_query="echo gcc installed; echo libc6-dev installed; echo strace config-files",
        apt_cache="for p in libbpf1 libbpf-dev linux-tools-generic strace; do echo Package: $p; done",
    )
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    prepare._system([*prepare.LAB, ("strace",), ("linux-perf", "linux-tools-generic"), ("chromium",)])
    line = "sudo apt-get install libbpf1 libbpf-dev strace linux-tools-generic"
    assert capfd.readouterr() == (f"Some parts are missing until this is run:\n  {line}\n", "")


def test_where_nothing_is_missing_nothing_is_run(
    prepare: ModuleType, programs: Programs, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    names = "gcc libc6-dev libbpf1 libbpf-dev"
    programs(apt_get="echo ran", apt_cache="echo ran", dpkg_query=f"for p in {names}; do echo $p installed; done")
    for uid in (0, 1000):
        monkeypatch.setattr(os, "geteuid", lambda uid=uid: uid)
        prepare._system(prepare.LAB)
    assert capfd.readouterr() == ("", "")


def test_as_root_it_goes_on_without_what_apt_refuses(
    prepare: ModuleType, programs: Programs, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    programs(
        apt_get="echo 'E: Unable to fetch some archives' >&2; exit 100",
        dpkg_query="exit 1",
        apt_cache="echo Package: strace",
    )
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    prepare._system([("strace",), ("chromium",)])
    assert capfd.readouterr().out.split("\n") == [
        "Installing system packages: strace chromium",
        "Going on without what apt does not know here: chromium",
        "Going on without these packages, since apt-get says: E: Unable to fetch some archives",
        "",
    ]


def test_another_distribution(prepare: ModuleType, programs: Programs, capfd: pytest.CaptureFixture[str]) -> None:
    programs()
    prepare._system(prepare.LAB)
    said = "No apt-get here; some parts want what Debian calls gcc libc6-dev libbpf1 libbpf-dev\n"
    assert capfd.readouterr() == (said, "")


def test_no_network(prepare: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VENV", "STAMP"):
        monkeypatch.setattr(prepare, name, tmp_path / name)
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(
        SystemExit, match=r"^pip could not install what requirements.lock names \(no network\?\): ERROR"
    ):
        prepare._environment()
    assert not prepare.STAMP.exists()


def test_no_module_to_make_an_environment_with(
    prepare: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "STAMP", tmp_path / "none")
    monkeypatch.setattr(prepare, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"cannot make \.venv without the package python3\.\d+-venv: install it"):
        prepare._environment()

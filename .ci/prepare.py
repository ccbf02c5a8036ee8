# SPDX-License-Identifier: MIT
"""What must this machine be given before the course can run? `make lab` and `make test` begin here.

Standard library only, since nothing is installed yet. What was done before is not done again; what cannot be done
is told in a sentence. The packages come by pip, though others are faster: it is there with every Python, and
people's proxy, mirror and certificate stand in pip.conf already.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

__all__ = ["LAB", "PEERS", "lacking", "main", "names"]

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements.lock"
STAMP = VENV / "made-by-make"  # what the environment was made from

# Each package by its names, Debian's before Ubuntu's: the first that apt knows is taken.
LAB: list[tuple[str, ...]] = [("gcc",), ("libc6-dev",), ("libbpf1",), ("libbpf-dev",)]
PEERS: list[tuple[str, ...]] = [  # what the tests and the bench compare with, and a browser
    ("strace",),
    ("linux-perf", "linux-tools-generic"),
    ("bpftrace",),
    ("bpftool", "linux-tools-common"),
    ("clang",),
    ("rt-tests",),
    ("rt-app",),
    ("chromium",),
]


def main() -> None:
    """Prepare this machine; exits with a sentence where that cannot be done."""
    parser = argparse.ArgumentParser(description="prepare this machine for `make lab` or `make test`")
    parser.add_argument("what", choices=["lab", "test"])
    parser.add_argument("--port", default="0", help="the port on which the lab will listen")
    args = parser.parse_args()
    _port(args.port)
    _system(LAB + PEERS if args.what == "test" else LAB)
    _environment()


def lacking(wanted: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Those of the wanted packages that are installed under none of their names."""
    asked = _ask("dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *_flat(wanted))
    installed = {line.split()[0] for line in asked.splitlines() if line.endswith(" installed")}
    return [package for package in wanted if not installed.intersection(package)]


def names(packages: list[tuple[str, ...]]) -> tuple[list[str], list[str]]:
    """The packages by the names that apt has for them here, and those of which it has none."""
    found = _ask("apt-cache", "show", "--no-all-versions", *_flat(packages))
    known = set(re.findall(r"^Package: (\S+)", found, re.MULTILINE))
    chosen = [[name for name in package if name in known][:1] for package in packages]
    return _flat(chosen), [package[0] for package, name in zip(packages, chosen, strict=True) if not name]


def _port(word: str) -> None:
    if not word.isdecimal() or int(word) > 65535:
        sys.exit(f"PORT={word} is not a port: make lab PORT=8899")
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", int(word)))
        except OSError as e:
            sys.exit(f"cannot listen on port {word} ({e.strerror}): choose another, make lab PORT=8899")


def _system(wanted: list[tuple[str, ...]]) -> None:
    """The distribution's packages: installed where we are root; elsewhere the line that would is printed."""
    if find_spec("ensurepip") is None:  # Debian's python3 comes without it
        wanted = [(_venv_package(),), *wanted]
    if not shutil.which("apt-get"):
        print("No apt-get here; some parts want what Debian calls", *(p[0] for p in wanted))
    elif missing := lacking(wanted):
        if os.geteuid() == 0:
            _apt(missing)
        else:
            known, unknown = names(missing)
            print("Some parts are missing until this is run:\n  sudo apt-get install", *(known or unknown), flush=True)


def _apt(packages: list[tuple[str, ...]]) -> None:
    print("Installing system packages:", *(package[0] for package in packages), flush=True)
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    apt = ["apt-get", "-y", "-o", "DPkg::Lock::Timeout=300"]  # a new machine may be busy with its own updates
    subprocess.run([*apt, "update"], env=env, capture_output=True)
    known, unknown = names(packages)
    if unknown:
        print("Going on without what apt does not know here:", *unknown, flush=True)
    if not known:
        return
    done = subprocess.run([*apt, "install", "--no-install-recommends", *known], env=env, capture_output=True, text=True)
    if done.returncode:
        print(f"Going on without these packages, since apt-get says: {_last(done.stderr)}", flush=True)


def _environment() -> None:
    """`.venv` with what the lock names and rtnb itself: renewed when these, the Python or the place changed."""
    place = "{}.{} {}".format(*sys.version_info[:2], ROOT)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = f"{place}\n{hashlib.sha256(LOCK.read_bytes() + repr(project).encode()).hexdigest()}\n"
    found = STAMP.read_text() if STAMP.exists() else ""
    if found == wanted:
        return
    if find_spec("ensurepip") is None:
        sys.exit(
            f"{sys.executable} cannot make .venv without the package {_venv_package()}: "
            "install it, or name a Python that can, as in make PYTHON=python3.12"
        )
    print("Making .venv with", sys.executable, flush=True)
    clear = ["--clear"] if found and not found.startswith(f"{place}\n") else []  # it cannot be moved
    _run("a virtual environment could not be made", sys.executable, "-m", "venv", *clear, str(VENV))
    pip = [str(VENV / "bin/python"), "-m", "pip", "install", "--disable-pip-version-check", "--retries=2", "--no-deps"]
    _run(f"pip could not install what {LOCK.name} names (no network?)", *pip, "--require-hashes", "-r", str(LOCK))
    _run("pip could not install rtnb", *pip, "--no-build-isolation", "--editable", str(ROOT))
    settings = VENV / "share/jupyter/lab/settings"
    settings.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "binder/overrides.json", settings)
    STAMP.write_text(wanted)


def _venv_package() -> str:
    return "python{}.{}-venv".format(*sys.version_info)


def _run(failure: str, *argv: str) -> None:
    """Run a step, pip's packages going by on one line where someone looks; exit with the failure and its reason."""
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as step:
        said = []
        for line in step.stdout or ():
            said.append(line)
            if sys.stdout.isatty() and line.startswith("Collecting "):
                print(f"\r\033[K{line.split()[1]}", end="", flush=True)
    if sys.stdout.isatty():
        print(end="\r\033[K", flush=True)
    if step.returncode:
        sys.exit(f"{failure}: {_last(''.join(said))}")


def _flat(packages: Iterable[Iterable[str]]) -> list[str]:
    return [name for package in packages for name in package]


def _last(said: str) -> str:
    """What a program that failed said last: its last error, or its last line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["nothing"]
    return next((line for line in reversed(lines) if line.lower().startswith(("e:", "error"))), lines[-1])


def _ask(*argv: str) -> str:
    """What a program prints, whatever its exit status: dpkg-query and apt-cache fail where one name is unknown."""
    return subprocess.run(argv, capture_output=True, text=True, env=os.environ | {"LC_ALL": "C"}).stdout


if __name__ == "__main__":
    main()

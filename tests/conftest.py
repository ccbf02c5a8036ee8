# SPDX-License-Identifier: MIT
"""After every test nothing is left: no child, no descriptor, no tracer, no program, no changed policy.

Kernel tests are skipped by probe (`needs`), with the probe's own sentence. What RTNB_REQUIRE names may not skip:
there a refusal fails the test. `strace` is a whole subject, `bpf.ring` one ability, `-bpf.kprobe` leaves one out.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rtnb import caps
from rtnb.abi import bpf

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

VICTIMS = Path(__file__).parent / "victims"
REQUIRED = frozenset(filter(None, os.environ.get("RTNB_REQUIRE", "").split(",")))


def required(name: str) -> bool:
    """May a test that needs this capability not skip?"""
    return f"-{name}" not in REQUIRED and not REQUIRED.isdisjoint({name, name.split(".")[0]})


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*capabilities): skip, with the probe's sentence, where one is refused")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            answer = caps.ask(name)
            if answer.verdict != "yes":
                sentence = f"{name}: {answer.why}"
                if required(name):
                    pytest.fail(f"RTNB_REQUIRE: {sentence}")
                pytest.skip(sentence)


def _state() -> dict[str, object]:
    """What a test could leave behind in this process: its children, descriptors and scheduling."""
    children = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a thread that ends just now
            children += (task / "children").read_text().split()
    fds = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            fds[fd] = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:  # the listing's own descriptor
            continue
    return {
        "children": children,
        "descriptors": fds,
        "policy": os.sched_getscheduler(0),
        "affinity": os.sched_getaffinity(0),
        "tracer": next(line for line in Path("/proc/self/status").read_text().split("\n") if "TracerPid" in line),
    }


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    before, programs = _state(), _programs()
    yield
    after = _state()
    assert after == before
    assert after["policy"] == os.SCHED_OTHER
    end = time.monotonic() + 5
    while left := _programs() - programs:  # the kernel lets go of a program a moment after its last descriptor
        assert time.monotonic() < end, f"BPF programs left: {left}"
        time.sleep(0.05)


def _programs() -> set[int]:
    """The ids of all BPF programs in the kernel, on a machine whose only programs are these tests'."""
    return set(bpf.prog_ids()) if required("bpf.load") else set()


@pytest.fixture(scope="session")
def victim(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Each tiny program of tests/victims, compiled: its name to its path. They make exactly known events."""
    compiler = shutil.which("cc")
    if not compiler:
        (pytest.fail if REQUIRED else pytest.skip)("no C compiler for the victim programs")
    folder = tmp_path_factory.mktemp("victims")
    programs = {}
    for source in sorted(VICTIMS.glob("*.c")):
        program = folder / source.stem
        subprocess.run([compiler, "-O1", "-g", "-pthread", "-o", program, source], check=True)
        programs[source.stem] = str(program)
    return programs


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    """A real IPython shell with the extension loaded; unloaded and gone afterwards."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    running = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    running.run_line_magic("load_ext", "rtnb")
    yield running
    running.run_line_magic("unload_ext", "rtnb")
    assert "strace" not in running.magics_manager.magics["line"]
    InteractiveShell.clear_instance()

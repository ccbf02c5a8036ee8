# SPDX-License-Identifier: MIT
"""%strace where it cannot: bad input, no core, no permission, an interrupt, a killed notebook. Nothing stays."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rtnb import strace
from rtnb.abi.syscall import NUMBERS
from rtnb.errors import BadInput, NoSuchCommand, NotSupported
from rtnb.recording import Recording

pytestmark = pytest.mark.needs("core.run", "strace.ptrace")


def names(recording: Recording, kind: str = "call") -> list[str]:
    df = recording.tables["calls"]
    return df.loc[df["kind"] == kind, "name"].tolist()


def until(done: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 20
    while not done():
        assert time.monotonic() < end, f"waited 20 s in vain for {what}"
        time.sleep(0.01)


# ---- bad input ----


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("no-such-command-here", "command not found"),
        ("./no-such-command-here", "command not found"),
        (["/etc/passwd"], "not an executable file"),
        (["/"], "not an executable file"),
        (["{junk}"], "no program that this machine can run"),
        (["true", "a\0b"], "null byte"),
        (["true", "x" * 3_000_000], "rgument list too long"),
    ],
)
def test_a_command_that_cannot_start_says_so(tmp_path: Path, command: str | list[str], says: str) -> None:
    junk = tmp_path / "junk"
    junk.write_bytes(b"\x7fELF and no more")
    junk.chmod(0o755)
    if isinstance(command, list):
        command = [str(junk) if word == "{junk}" else word for word in command]
    with pytest.raises(NoSuchCommand, match=says) as e:
        strace.run(command)
    assert isinstance(e.value.__cause__, OSError)
    assert "rtnb-core" not in str(e.value)


@pytest.mark.parametrize("command", ["", "   ", [], "--", "'unclosed"])
def test_no_command_is_bad_input(command: str | list[str]) -> None:
    with pytest.raises(BadInput):
        strace.run(command)


def test_a_command_in_the_current_folder_is_not_found_without_a_slash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: dict[str, str]
) -> None:
    shutil.copy(victim["getppid23"], tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoSuchCommand):
        strace.run("mine")
    assert strace.run("./mine").header.exit_status == 7


def test_without_the_core_it_is_not_supported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from rtnb import _core, caps

    monkeypatch.setattr(_core, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(NotSupported, match="without its C core") as e:
        strace.run("true")
    assert isinstance(e.value.__cause__, FileNotFoundError)
    for name in ("core.run", "strace.ptrace"):
        answer = caps.ask(name)
        assert (answer.verdict, answer.why) == ("no", "rtnb was installed without its C core")


# ---- an interrupt ----


@pytest.mark.parametrize(
    ("mode", "status", "ends"), [("d", -2, ("killed", "SIGINT")), ("c", 42, ("exit", "nan")), ("i", -9, None)]
)
def test_an_interrupt_reaches_the_command_once_and_keeps_the_rows(
    victim: dict[str, str], tmp_path: Path, mode: str, status: int, ends: tuple[str, str] | None
) -> None:
    ready = tmp_path / "ready"

    def interrupt() -> None:
        until(ready.exists, "the victim")
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    ran = strace.run([victim["interrupted"], mode, str(ready)])
    thread.join()
    assert ran.header.interrupted
    assert ran.header.exit_status == status
    assert names(ran).count("getppid") == 23
    assert names(ran, "signal").count("SIGINT") == 1  # a tracer sees ignored signals too
    df = ran.tables["calls"]
    assert not df[df["kind"] == "call"].duplicated(["time_ns", "tid"]).any()
    if ends:
        assert (df["kind"].iloc[-1], str(df["name"].iloc[-1])) == ends
    else:  # it had to be killed, and the call that it hung in is there
        assert (df["name"].iloc[-1], df["ret"].isna().iloc[-1]) == ("ppoll", True)


LONG = """
import sys
from rtnb import strace
strace.run(sys.argv[2:], follow_forks=sys.argv[1] == "True")
"""


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("follow", [False, True])
def test_a_killed_notebook_leaves_no_tracer_and_no_tracee(victim: dict[str, str], tmp_path: Path, follow: bool) -> None:
    ready = tmp_path / "ready"
    script = f"{victim['interrupted']} i {ready}; :"
    with subprocess.Popen([sys.executable, "-c", LONG, str(follow), "sh", "-c", script]) as python:
        until(ready.exists, "the victim")
        (tracer,) = children(python.pid)
        (shell,) = children(tracer)
        (hanging,) = children(shell)
        assert all(map(alive, (tracer, shell, hanging)))
        python.kill()
    until(lambda: not any(map(alive, (tracer, shell, hanging))), "the tracer and the traced to die")


# ---- less than root, and less than a whole kernel ----

TELL = """
import json, sys
from rtnb import errors, strace
try:
    ran = strace.run(sys.argv[2:], trace=sys.argv[1] or None, follow_forks=True)
except errors.RtnbError as e:
    print(json.dumps({"error": type(e).__name__, "says": str(e)}))
else:
    df = ran.tables["calls"]
    df = df[df["kind"] == "call"]
    threads = [[made["name"].tolist(), made["path"].dropna().tolist()] for _, made in df.groupby("tid")]
    told = {"status": ran.header.exit_status, "threads": sorted(threads)}
    print(json.dumps(told))
"""


def told(*before: str, trace: str = "", command: str = "sh -c /bin/true", **how: object) -> dict[str, object]:
    """What a run says in a Python of its own, behind the words of `before`."""
    words = [*before, sys.executable, "-c", TELL, trace, *command.split(" ", 2)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, **how)  # type: ignore[call-overload]
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.mark.parametrize("trace", ["", "openat,execve"])
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_nobody_sees_the_same(trace: str) -> None:
    nobody = {"user": "nobody", "group": "nogroup", "extra_groups": [], "cwd": "/"}
    seen = told(trace=trace, **nobody)
    assert seen == told(trace=trace, cwd="/")
    assert json.dumps(seen).count('"execve"') == 2


@pytest.mark.parametrize("call", ["process_vm_readv", "seccomp"])
@pytest.mark.parametrize("error", [1, 38])
def test_a_container_that_refuses_a_convenience_is_no_obstacle(victim: dict[str, str], call: str, error: int) -> None:
    deny = [victim["deny"], str(NUMBERS[call]), str(error)]
    assert told(*deny, trace="openat,execve") == told(trace="openat,execve")


def test_a_container_that_refuses_ptrace_is_named_as_the_reason(victim: dict[str, str]) -> None:
    seen = told(victim["deny"], str(NUMBERS["ptrace"]), "1")
    assert seen["error"] == "NotPermitted"
    assert "a seccomp filter" in str(seen["says"])
    assert "Operation not permitted" in str(seen["says"])
    assert len(str(seen["says"]).split("\n")) <= 3

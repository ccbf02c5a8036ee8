# SPDX-License-Identifier: MIT
"""A process is killed -9 while it has changed another: what was is put back, once, and by nobody too early."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from rtnb import journal, sched
from rtnb.errors import NotPermitted
from rtnb.sched import batch, fifo, other
from rtnb.sched.task import read

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

pytestmark = pytest.mark.needs("rt.fifo")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A journal of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "rtnb/journal"


@pytest.fixture
def victim() -> Iterator[int]:
    """The pid of a process that sleeps."""
    with subprocess.Popen(["sleep", "60"]) as child:
        yield child.pid
        child.kill()


@contextmanager
def owner(victim: int) -> Iterator[subprocess.Popen[str]]:
    """A process that has changed the victim, and holds it."""
    code = f"from rtnb import sched\nwith sched.applied(sched.fifo(5), pid={victim}): print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as child:
        assert child.stdout
        assert child.stdout.readline() == "\n"
        try:
            yield child
        finally:
            child.kill()


def left_behind(victim: int) -> None:
    """What a process leaves that is killed: the change, and an entry whose owner is no more."""
    was = read(victim).to_json()
    path = journal.write("sched", f"{fifo(5)} for task {victim}", {"threads": [was]})
    sched.apply(fifo(5), pid=victim)
    raw = json.loads(path.read_text())
    raw["owner"]["start"] += 1
    path.write_text(json.dumps(raw))


def states(df: pd.DataFrame) -> list[str]:
    return list(df["state"])


def test_what_a_killed_process_left_is_put_back_once(home: Path, victim: int) -> None:
    before = sched.of(victim)
    with owner(victim) as child:
        assert sched.of(victim).policy == "fifo"
        assert states(journal.pending()) == ["in use"]
        assert states(journal.undo()) == ["in use"]
        assert sched.of(victim).policy == "fifo"
        child.send_signal(signal.SIGKILL)
        while Path(f"/proc/{child.pid}/stat").read_text().split()[2] != "Z":
            pass
        assert states(journal.pending()) == ["left behind"]  # dead, and not waited for yet
    row = journal.undo().iloc[0]
    assert (row["state"], row["kind"], row["owner"]) == ("put back", "sched", child.pid)
    assert row["what"] == f"SCHED_FIFO priority 5 for task {victim}"
    assert row["detail"].startswith("1 threads: SCHED_OTHER")
    assert sched.of(victim) == before
    assert journal.undo().empty
    assert journal.pending().empty


def test_an_entry_is_there_as_long_as_the_change_is(home: Path, victim: int) -> None:
    with sched.applied(batch(3), pid=victim):
        assert states(journal.pending()) == ["in use"]
        assert home.stat().st_mode & 0o777 == 0o700
    assert list(home.iterdir()) == []
    with sched.applied(batch(3)):  # one's own threads die with the process
        assert journal.pending().empty


def test_a_task_that_is_gone_needs_nothing(home: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        left_behind(child.pid)
        child.kill()
    assert states(journal.undo()) == ["put back"]
    assert journal.pending().empty


def changed(home: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """The one entry, changed."""
    (path,) = home.iterdir()
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw))


def test_another_task_of_that_number_is_left_alone(home: Path, victim: int) -> None:
    left_behind(victim)
    changed(home, lambda raw: raw["before"]["threads"][0].update(start=1))
    assert states(journal.undo()) == ["put back"]
    assert sched.of(victim).policy == "fifo"


def test_after_a_boot_nothing_is_left_to_put_back(home: Path, victim: int) -> None:
    left_behind(victim)
    changed(home, lambda raw: raw["owner"].update(boot="before"))
    assert list(journal.undo()["detail"]) == ["the machine was booted anew"]
    assert sched.of(victim).policy == "fifo"
    assert journal.pending().empty


@pytest.mark.parametrize("field", ["node", "namespace"])
def test_what_was_made_elsewhere_is_left_alone(home: Path, victim: int, field: str) -> None:
    left_behind(victim)
    changed(home, lambda raw: raw["owner"].update({field: "another"}))
    assert states(journal.undo()) == states(journal.pending()) == ["elsewhere"]
    assert sched.of(victim).policy == "fifo"


DAMAGE: list[Callable[[dict[str, Any]], Any]] = [
    lambda raw: raw.update(format="rtnb-journal/2"),
    lambda raw: raw.update(kind="nonsense"),
    lambda raw: raw.update(kind=["sched"]),
    lambda raw: raw.update(before=[]),
    lambda raw: raw.pop("owner"),
    lambda raw: raw.update(owner=7),
    lambda raw: raw["owner"].update(pid="1"),
    lambda raw: raw["owner"].update(pid=True),
    lambda raw: raw["before"].clear(),
    lambda raw: raw["before"].update(threads=7),
    lambda raw: raw["before"].update(threads=[{}]),
    lambda raw: raw["before"]["threads"][0].update(attr=[1, 2]),
    lambda raw: raw["before"]["threads"][0].update(tid="1; reboot"),
    lambda raw: raw["before"]["threads"][0].update(attr=[99, 0, 0, 0, 0, 0, 0]),
    lambda raw: raw["before"]["threads"][0].update(cpus=[-1]),
]


@pytest.mark.parametrize("number", range(len(DAMAGE)))
def test_what_makes_no_sense_is_told_and_kept(home: Path, victim: int, number: int) -> None:
    left_behind(victim)
    changed(home, DAMAGE[number])
    for _ in range(2):
        df = journal.undo()
        assert states(df)[0] in ("damaged", "failed")
        assert df["detail"][0]
        assert df["file"][0] == str(next(home.iterdir()))
    assert sched.of(victim).policy == "fifo"


def test_files_that_are_no_entries_are_told_and_kept(home: Path, victim: int) -> None:
    with sched.applied(other(), pid=victim):
        pass
    (home / "a").write_bytes(b"\xff\x00 not JSON")
    (home / "b").symlink_to("/etc/passwd")
    os.mkfifo(home / "c")
    (home / "d").mkdir()
    (home / "e").write_text("[" * 100_000)
    (home / "f\x1b[31m").write_text("{}")
    with open(home / "g", "wb") as file:
        file.truncate(2**30)
    df = journal.undo()
    assert states(df) == ["damaged"] * 7
    assert "\x1b" not in "".join(df["file"])
    assert len(list(home.iterdir())) == 7


def test_a_folder_that_others_may_enter_is_not_trusted(home: Path, victim: int) -> None:
    with sched.applied(other(), pid=victim):
        pass
    home.chmod(0o755)
    for action in (journal.pending, journal.undo, lambda: sched.applied(other(), pid=victim).__enter__()):
        with pytest.raises(NotPermitted, match="not a folder that only you may enter"):
            action()


def test_without_a_journal_nothing_is_changed(victim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    before = sched.of(victim)
    with pytest.raises(NotPermitted, match="cannot be written") as e, sched.applied(batch(3), pid=victim):
        pass
    assert "XDG_STATE_HOME" in e.value.hint
    assert sched.of(victim) == before
    assert journal.pending().empty


def test_a_kind_is_put_back_by_its_handler(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(journal._HANDLERS, "test", lambda before: f"put {before['n']} back")
    path = journal.write("test", "a change", {"n": 23})
    assert states(journal.undo()) == ["in use"]
    changed(home, lambda raw: raw["owner"].update(start=1))
    assert list(journal.undo()["detail"]) == ["put 23 back"]
    journal.done(path)  # gone already

    @journal.handler("failing")
    def fail(before: Mapping[str, Any]) -> str:
        raise PermissionError(1, "no")

    try:
        journal.write("failing", "a change", {})
        changed(home, lambda raw: raw["owner"].update(start=1))
        assert states(journal.undo()) == ["failed"]
        assert "PermissionError" in journal.undo()["detail"][0]
    finally:
        del journal._HANDLERS["failing"]
    with pytest.raises(TypeError, match="no handler"):
        journal.write("failing", "a change", {})


def test_the_command_and_the_magic_show_what_they_put_back(home: Path, victim: int, shell: InteractiveShell) -> None:
    command = [sys.executable, "-m", "rtnb", "undo"]
    left_behind(victim)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith(f"put back     SCHED_FIFO priority 5 for task {victim}: 1 threads: SCHED_OTHER")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == "nothing was left changed\n"
    left_behind(victim)
    assert states(shell.run_line_magic("rtnb", "undo")) == ["put back"]
    assert sched.of(victim).policy == "other"

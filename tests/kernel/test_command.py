# SPDX-License-Identifier: MIT
"""Is a command ended whenever the interrupt comes, and does it start with the signals that it would have?"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, ItemsView, Iterator
from pathlib import Path

import pytest

from rtnb import _core
from rtnb.command import Command, Watcher


def until(done: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 10
    while not done():
        assert time.monotonic() < end, f"waited 10 s in vain for {what}"
        time.sleep(0.01)


def members(group: int) -> set[str]:
    """The names of the processes of a group that have not ended."""
    names = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            name, rest = entry.read_text().split("(", 1)[1].rsplit(") ", 1)
            if int(rest.split()[2]) == group and rest[0] not in "ZX":
                names.add(name)
    return names


@contextlib.contextmanager
def group_of(command: Command) -> Iterator[int]:
    """The command's group, of which nothing is left after the test, whatever the test finds."""
    try:
        yield command.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(command.pid, signal.SIGKILL)


class Interrupting(dict[str, str]):
    """An environment that interrupts us when it is read: in the middle of starting the command."""

    def items(self) -> ItemsView[str, str]:
        os.kill(os.getpid(), signal.SIGINT)
        return super().items()


def test_an_interrupt_during_the_start_ends_the_command() -> None:
    handler = signal.getsignal(signal.SIGINT)
    with Command(["sleep", "30"], env=Interrupting(os.environ)) as command:
        assert signal.getsignal(signal.SIGINT) is handler
        ended = command.wait()
    assert ended.interrupted
    assert ended.exit_status == -signal.SIGINT


def test_an_interrupt_by_the_command_itself_always_finds_it() -> None:
    for _ in range(10):
        with Command(["sh", "-c", "kill -INT $PPID; exec sleep 30"]) as command:
            ended = command.wait()
        assert ended.interrupted
        assert ended.exit_status == -signal.SIGINT


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.default_int_handler])
def test_an_ignored_interrupt_stays_ignored_in_the_command(
    handler: signal.Handlers, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.signal(signal.SIGINT, handler)
    try:
        with Command(["grep", "SigIgn", "/proc/self/status"]) as command:
            command.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    ignored = int(capsys.readouterr().out.split()[1], 16) >> (signal.SIGINT - 1) & 1
    assert ignored == (handler is signal.SIG_IGN)


def test_a_command_started_in_a_thread() -> None:
    statuses = []

    def run() -> None:
        with Command(["sh", "-c", "exit 7"]) as command:
            statuses.append(command.wait().exit_status)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert statuses == [7]


# ---- what the command started ----

STUBBORN = "sh -c 'trap \"\" INT; exec sleep 8888' & echo $!; wait"
"""dash dies of an interrupt at once; its child does not."""


def interrupt_when_it_runs(command: Command) -> threading.Thread:
    def interrupt() -> None:
        until(lambda: members(command.pid) == {"sh", "sleep"}, "the child to run")
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    return thread


def test_an_interrupt_ends_the_children_too() -> None:
    with Command(["sh", "-c", STUBBORN]) as command, group_of(command) as group:
        thread = interrupt_when_it_runs(command)
        ended = command.wait()
        thread.join()
        assert (ended.exit_status, ended.interrupted, ended.timed_out) == (-signal.SIGINT, True, False)
        until(lambda: not members(group), "the child to end")


def test_a_time_limit_ends_the_children_too() -> None:
    with Command(["sh", "-c", STUBBORN]) as command, group_of(command) as group:
        until(lambda: members(group) == {"sh", "sleep"}, "the child to run")
        ended = command.wait(0.01)
        assert (ended.exit_status, ended.interrupted, ended.timed_out) == (-signal.SIGINT, False, True)
        until(lambda: not members(group), "the child to end")


def test_what_was_left_in_the_background_runs_on() -> None:
    """As in a shell; with a watcher, whose number of the group is void after the end."""
    with Watcher() as watcher:
        command = Command(["sh", "-c", "sleep 8888 & exit 3"], watcher=watcher)
        with command, group_of(command) as group:
            ended = command.wait()
            command.kill()
            assert (ended.exit_status, ended.interrupted, ended.timed_out) == (3, False, False)
            watcher_ends_as_if_we_were_dead(watcher)
            until(lambda: members(group) == {"sleep"}, "the child to sleep")


def watcher_ends_as_if_we_were_dead(watcher: Watcher) -> None:
    os.close(watcher._pipe)
    os.waitpid(watcher._pid, 0)
    watcher._pid, watcher._pipe = 0, -1


@pytest.mark.parametrize("script", ["yes & sleep 0.3; exit 3", "yes >&2 & sleep 0.3; exit 3"])
def test_a_child_that_goes_on_writing_is_not_waited_for(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(io.StringIO):
        def write(self, text: str) -> int:
            time.sleep(0.02)
            return len(text)

    monkeypatch.setattr(sys, "stdout", Slow())
    monkeypatch.setattr(sys, "stderr", Slow())
    with Command(["sh", "-c", script]) as command, group_of(command) as group:
        ended = command.wait(20)
        assert (ended.exit_status, ended.timed_out) == (3, False)
        until(lambda: not members(group), "yes to find its pipe closed")


def test_all_that_was_written_before_the_end_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a pipe holds, the last character cut in two, and a child that holds the pipe."""
    monkeypatch.setattr(sys, "stdout", out := io.StringIO())
    script = r"sleep 8888 & yes | head -c 200000; printf '\303'"
    with Command(["sh", "-c", script]) as command, group_of(command):
        command.wait()
    assert out.getvalue() == "y\n" * 100_000 + "\N{REPLACEMENT CHARACTER}"


def test_the_end_is_before_its_output_was_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    written = []

    class Noting(io.StringIO):
        def write(self, text: str) -> int:
            time.sleep(0.2)
            written.append(time.monotonic_ns())
            return len(text)

    monkeypatch.setattr(sys, "stdout", Noting())
    with Command(["echo", "hello"]) as command:
        until(lambda: not members(command.pid), "the end")
        assert command.wait().at_ns < written[0]


# ---- the watcher ----

KILLED = """
import sys
from rtnb.command import Command, Watcher
with Watcher() as watcher, Command(["sh", "-c", sys.argv[1]], watcher=watcher) as command:
    print(command.pid, flush=True)
    command.wait()
"""


@pytest.mark.needs("core.run")
@pytest.mark.parametrize("script", ["sleep 7777; true", "trap '' INT HUP TERM; sleep 7777 & sleep 7777"])
def test_a_killed_python_leaves_nothing_of_the_command(script: str) -> None:
    argv = [sys.executable, "-c", KILLED, script]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as python:
        assert python.stdout
        group = int(python.stdout.readline())
        try:
            until(lambda: members(group) == {"sh", "sleep"}, "the command to run")
            python.kill()
            python.wait()
            until(lambda: not members(group), "the group to end")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)


@pytest.mark.needs("core.run")
def test_the_watcher_ends_quietly_and_sleeps_until_then() -> None:
    def slept() -> list[str]:
        status = Path(f"/proc/{watcher._pid}/status").read_text()
        return [line for line in status.splitlines() if "ctxt_switches" in line or line.startswith("State")]

    with Watcher() as watcher:
        until(lambda: "State:\tS (sleeping)" in slept(), "the watcher to sleep")
        before = slept()
        with Command(["true"], watcher=watcher) as command:
            command.wait()
        os.killpg(watcher._pid, signal.SIGINT)
        os.killpg(watcher._pid, signal.SIGHUP)
        time.sleep(0.05)
        assert slept() == before


def test_without_the_core_a_command_runs_without_a_watcher(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(_core, "__file__", str(tmp_path / "__init__.py"))
    with Watcher() as watcher, Command(["sh", "-c", "exit 7"], watcher=watcher) as command:
        assert command.wait().exit_status == 7

# SPDX-License-Identifier: MIT
"""Is a command ended whenever the interrupt comes, and does it start with the signals that it would have?"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import ItemsView

import pytest

from rtnb.command import Command


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

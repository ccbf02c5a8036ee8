# SPDX-License-Identifier: MIT
"""%strace sees what strace itself sees, and what a readable loop over the same interface sees."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from rtnb import strace
from rtnb.abi import ptrace as abi
from rtnb.abi.syscall import NAMES

pytestmark = pytest.mark.needs("core.run", "strace.ptrace")
needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")

PIDS = {"clone", "clone3", "fork", "vfork", "wait4", "getpid", "gettid", "getppid", "set_tid_address", "rt_sigreturn"}
"""Their results differ from run to run (rt_sigreturn gives what the call before the signal returned)."""


def by_strace(argv: list[str], out: Path) -> dict[int, list[list[str]]]:
    """What `strace -f` reports, by thread: [kind, name, result] of each call, signal and end, in order."""
    subprocess.run(["strace", "-f", "-o", out, *argv], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    threads: dict[int, list[list[str]]] = {}
    open_calls: dict[int, list[str]] = {}
    for line in out.read_text(errors="replace").splitlines():
        tid, rest = int(line.split(maxsplit=1)[0]), line.split(maxsplit=1)[1]
        events = threads.setdefault(tid, [])
        results = re.findall(r"\)\s+= (\?|0x[0-9a-f]+|-?\d+)(?: (E[A-Z0-9_]+))?", rest)
        result = (results[-1][1] or results[-1][0]) if results else "?"
        if m := re.match(r"--- (?:stopped by )?(SIG\w+)", rest):
            events.append(["stop" if "stopped by" in rest else "signal", m[1], "?"])
        elif m := re.match(r"\+\+\+ exited with (\d+)", rest):
            events.append(["exit", "-", m[1]])
        elif m := re.match(r"\+\+\+ killed by (SIG\w+)", rest):
            events.append(["killed", m[1], "?"])
        elif m := re.match(r"<\.\.\. (\w+) resumed>", rest):
            open_calls.pop(tid)[2] = result
        elif m := re.match(r"(\w+)\(", rest):
            events.append(["call", m[1], result])
            open_calls[tid] = events[-1]
    return threads


def by_us(argv: list[str]) -> dict[int, list[list[str]]]:
    df = strace.run(argv, follow_forks=True).tables["calls"]
    threads: dict[int, list[list[str]]] = {}
    for row in df.itertuples():
        result = "?" if row.ret is pd.NA else str(row.ret) if pd.isna(row.errno) else row.errno
        threads.setdefault(row.tid, []).append([row.kind, "-" if pd.isna(row.name) else row.name, result])
    return threads


def comparable(threads: dict[int, list[list[str]]], racy: set[str]) -> list[tuple[object, object]]:
    """Each thread's calls in order, and its other events; addresses and ids, which differ from run to run, masked."""

    def masked(name: str, result: str) -> str:
        if re.fullmatch(r"0x[0-9a-f]+|-?\d+", result) and (name in PIDS or abs(int(result, 0)) > 0xFFFF):
            return "masked"
        return result

    told = []
    for events in threads.values():
        in_order = [(name, masked(name, result)) for kind, name, result in events if kind == "call"]
        rest = sorted((kind, name, result) for kind, name, result in events if kind != "call")
        told.append(([call for call in in_order if call[0] not in racy], rest))
    return sorted(told)


@needs_strace
@pytest.mark.parametrize(
    ("command", "racy"),
    [
        (["ls", "-l", "/usr"], set()),
        (["sh", "-c", "echo a; /bin/true"], set()),
        (["sh", "-c", "wc -l </etc/passwd; kill -TERM $$"], set()),
        (["{signal}", "x"], set()),
        (["{fork_exec}"], set()),
        (["{killed_child}"], set()),
        (["{strings}"], set()),
        # Whether a thread has ended when it is joined, and its stack can be used again, is a race.
        (["{thread}", "3", "11"], {"futex", "mmap", "munmap", "mprotect", "madvise", "brk"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_calls_are_those_that_strace_reports(
    victim: dict[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str], command: list[str], racy: set[str]
) -> None:
    argv = [word.format(**victim) if word.startswith("{") else word for word in command]
    ours, theirs = comparable(by_us(argv), racy), comparable(by_strace(argv, tmp_path / "out"), racy)
    assert ours == theirs
    assert sum(len(in_order) for in_order, _ in theirs) > 20


def test_a_loop_in_python_over_the_same_interface_sees_the_same(victim: dict[str, str]) -> None:
    """The readable tracer: PTRACE_TRACEME, and PTRACE_GET_SYSCALL_INFO at each stop."""
    seen = []
    with subprocess.Popen([victim["getppid23"]], preexec_fn=lambda: abi.ptrace(abi.PTRACE_TRACEME)) as child:
        os.waitpid(child.pid, 0)  # SIGTRAP: it has become the victim
        abi.ptrace(abi.PTRACE_SETOPTIONS, child.pid, 0, abi.PTRACE_O_TRACESYSGOOD | abi.PTRACE_O_EXITKILL)
        while True:
            abi.ptrace(abi.PTRACE_SYSCALL, child.pid)
            _, status = os.waitpid(child.pid, 0)
            if not os.WIFSTOPPED(status):
                break
            info = abi.get_syscall_info(child.pid)
            if info.op == abi.PTRACE_SYSCALL_INFO_ENTRY:
                seen.append(NAMES[info.nr])
        child.returncode = os.waitstatus_to_exitcode(status)
    df = strace.run(victim["getppid23"]).tables["calls"]
    ours = df.loc[df["kind"] == "call", "name"].tolist()
    assert seen == ours[1:]  # the execve was over before the first stop
    assert child.returncode == 7

# SPDX-License-Identifier: MIT
"""The four magics in a real IPython shell, on the running kernel: what they show, and what bad input gets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell

from rtnb import schema, strace
from rtnb.errors import NotPermitted
from rtnb.magics import RtnbMagics
from rtnb.magics.arguments import parse
from rtnb.recording import Header, Recording, load

COUNT = """
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, u32); __type(value, u64); }
    calls SEC(".maps");
SEC("raw_tp/sys_enter") int count(void *ctx) {
    u32 zero = 0; u64 *n = bpf_map_lookup_elem(&calls, &zero);
    if (n) __sync_fetch_and_add(n, 1);
    return 0;
}
"""

LINES = {
    "strace": "%strace -e execve true",
    "strace -c": "%strace -c -f sh -c 'true; true'",
    "perf_stat": "%perf_stat -e page-faults,task-clock -r 3 true",
    "perf_stat cell": "%%perf_stat -e page-faults\nx = bytearray(1 << 20)\nlen(x)",
    "bpf": f"%%bpf --duration 100ms\n{COUNT}",
    "rt_task": "%rt_task --policy other --period 1ms --duration 23ms",
    "rt_task cell": "%%rt_task --policy other --period 10ms --duration 230ms\nsum(range(100))",
    "sched": f"%sched {os.getpid()}",
}


def _needs(*capabilities: str) -> pytest.MarkDecorator:
    return pytest.mark.needs(*capabilities)


MARKS = {
    "strace": _needs("strace.ptrace"),
    "strace -c": _needs("strace.ptrace"),
    "perf_stat": _needs("perf.software"),
    "perf_stat cell": _needs("perf.software"),
    "bpf": _needs("bpf.raw_tp", "bpf.compiler", "bpf.libbpf"),
    "rt_task": _needs("core.run"),
    "rt_task cell": _needs("core.run"),
    "sched": (),
}
CASES = [pytest.param(name, marks=MARKS[name]) for name in LINES]


def _with_option(line: str, option: str) -> str:
    magic, _, rest = line.partition(" ")
    return f"{magic} {option} {rest}"


@pytest.mark.parametrize("name", CASES)
def test_a_magic_returns_a_frame_and_tells_where_it_came_from(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], name: str, tmp_path: Path
) -> None:
    result = shell.run_cell(_with_option(LINES[name], f"-o kept --save {tmp_path}/r"))
    assert result.success
    df, kept = result.result, shell.user_ns["kept"]
    assert isinstance(df, pd.DataFrame)
    assert len(df) > 0
    assert isinstance(kept, Recording)
    assert df.rtnb.header == kept.header
    assert capsys.readouterr().out.startswith("live · ")
    assert set(load(tmp_path / "r").tables) == set(kept.tables)
    assert not kept.frame.rtnb.summary().empty
    figure = kept.frame.rtnb.plot()
    assert figure.layout.title.text
    assert figure.layout.title.subtitle.text.startswith("live")


@pytest.mark.parametrize("name", CASES)
def test_what_code_prints_does_the_same(shell: InteractiveShell, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert shell.run_cell(LINES[name]).success
    columns = list(shell.user_ns["_"].columns)
    capsys.readouterr()
    assert shell.run_cell(_with_option(LINES[name], "--code")).success
    code = capsys.readouterr().out
    body, _, last = code.rstrip().rpartition("\n")
    program = f"{body}\nprint('columns', list(({last}).columns))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip().split("\n")[-1] == f"columns {columns}"


def test_a_cells_own_python_runs_in_the_users_namespace(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shell.run_cell("%%perf_stat -e page-faults\nanswer = 6 * 7\nanswer + 1").success
    assert shell.user_ns["answer"] == 42
    assert "43" in capsys.readouterr().out.split("\n")
    shell.run_cell("%%perf_stat -e page-faults\n1 / 0")
    assert "ZeroDivisionError" in capsys.readouterr().out


BAD = {
    "%strace /no/such/command": "NoSuchCommand: run /no/such/command: command not found",
    "%perf_stat /no/such/command": "NoSuchCommand: run /no/such/command: command not found",
    f"%%bpf -- /no/such/command\n{COUNT}": "NoSuchCommand: run /no/such/command: command not found",
    "%strace": "BadInput: command: there is none",
    "%perf_stat": "BadInput: command: there is none",
    "%strace 'unclosed": "UsageError: ",
    "%strace -e opnat ls": "openat",
    "%perf_stat -e page-fautls ls": "page-faults",
    "%perf_stat -r 0 true": "BadInput: ",
    "%perf_stat -r many true": "UsageError: argument -r/--repeat: 'many' is not a whole number",
    f"%%bpf -p 4194304\n{COUNT}": "NoSuchTask: ",
    f"%%bpf --duration soon\n{COUNT}": "BadInput: duration 'soon': not a duration",
    "%%bpf\n \n": "BadInput: ",
    '%%bpf\nSEC("raw_tp/sys_enter") int f(void *ctx) {\n    return nonsense;\n}': "line 2",
    "%rt_task --duration 5": "BadInput: duration '5': not a duration",
    "%rt_task --policy fido": "BadInput: policy 'fido'",
    "%rt_task --policy fifo --priority 100": "BadInput: priority 100",
    "%rt_task --cpu 4096": "BadInput: cpu 4096",
    "%rt_task --policy other --load bussy:1ms": "did you mean busy?",
    "%rt_task --policy other --runtime 1ms": "a task under other has none",
    "%rt_task --threads 0": "BadInput: threads 0",
    "%rt_task --late skipp": "invalid choice",
    "%rt_task --policy other --duration 10ms --histogram wide": "not a duration",
    "%rt_task --policy other --duration 10ms --json /nonexistent/x.json": "cannot be written",
    "%%rt_task --policy other --duration 10ms\nwhile": "it is no Python",
    "%%rt_task --policy other --duration 10ms\n ": "its job is empty",
    "%%perf_stat ls\n1": "UsageError: ",
    "%strace -o calls.txt ls": "is not a variable's name",
    "%rt_task --duraton 1s": "did you mean --duration?",
    "%strace --sav x ls": "did you mean --save?",
}


@_needs("strace.ptrace", "perf.software", "bpf.raw_tp", "core.run")
@pytest.mark.parametrize("line", BAD)
def test_bad_input_gets_a_sentence_and_no_traceback(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    result = shell.run_cell(line)
    assert not result.success
    shown = "".join(capsys.readouterr())
    assert BAD[line] in shown
    assert "Traceback" not in shown
    assert 'File "' not in shown


@_needs("bpf.raw_tp")
def test_a_program_that_the_verifier_rejects(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    cell = 'SEC("raw_tp/sys_enter") int f(void *ctx) {\n    u64 *p = (void *)0;\n    return *p;\n}'
    shell.run_cell(f"%%bpf\n{cell}")
    shown = capsys.readouterr().out
    assert shown.startswith("VerifierError: ")
    assert "line 3" in shown


def test_or_must_name_a_recording_of_the_kind_also_where_it_is_not_needed(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shell.run_cell("%strace --or /etc true")
    assert capsys.readouterr().out.startswith("BadRecording: load /etc: not a recording: it holds no header.json")
    Recording(Header("strace", ("ls",), "test"), {"calls": schema.empty(strace.Call)}).save(tmp_path / "r")
    shell.run_cell(f"%perf_stat --or {tmp_path}/r true")
    assert "it is a recording of strace, not of perf_stat" in capsys.readouterr().out


def test_a_recording_of_something_else_says_so(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    Recording(Header("strace", ("ls",), "test"), {"calls": schema.empty(strace.Call)}).save(tmp_path / "r")
    magics = RtnbMagics(shell)

    def refused() -> Recording:
        raise NotPermitted("PTRACE_SEIZE", "nobody may trace here")

    args = parse(magics.strace, f"--or {tmp_path}/r true")
    magics._run(args, "strace", ("ls",), refused)
    assert "something else" not in capsys.readouterr().out
    magics._run(args, "strace", ("true",), refused)
    assert "it was recorded from something else than this cell asks for" in capsys.readouterr().out


@_needs("perf.software")
def test_what_a_cell_counted_before_its_error_is_kept(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    result = shell.run_cell("%%perf_stat -o kept -e page-faults\n1 / 0")
    assert isinstance(result.error_in_exec, ZeroDivisionError)
    shown = capsys.readouterr().out
    assert "skins.py" not in shown
    assert "cell.py" not in shown
    assert len(shell.user_ns["kept"].frame) == 1


@_needs("perf.software")
def test_threads_older_than_the_cell_are_told(shell: InteractiveShell) -> None:
    import queue

    jobs: queue.Queue[int] = queue.Queue()

    def work() -> None:
        while n := jobs.get():
            sum(range(n))
            jobs.task_done()

    thread = threading.Thread(target=work)
    thread.start()
    shell.user_ns["jobs"] = jobs
    shell.run_cell("%%perf_stat -o idle -e page-faults\nfor _ in range(10): sum(range(1_000_000))")
    shell.run_cell("%%perf_stat -o busy -e page-faults\njobs.put(20_000_000); jobs.join()")
    jobs.put(0)
    thread.join()
    assert not shell.user_ns["idle"].header.notes
    assert "CPU time of threads that were there before" in shell.user_ns["busy"].header.caption()


INTERRUPTED = {
    "strace": "%strace -o kept sleep 60",
    "perf_stat": "%perf_stat -o kept -e page-faults sleep 60",
    "perf_stat cell": "%%perf_stat -o kept -e page-faults\nimport time; time.sleep(60)",
    "bpf": f"%%bpf --duration 60s -o kept\n{COUNT}",
    "rt_task": "%rt_task --policy other --duration 60s -o kept",
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS[name]) for name in INTERRUPTED])
def test_an_interrupted_cell_returns_what_it_has(shell: InteractiveShell, name: str) -> None:
    start = time.monotonic()
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    result = shell.run_cell(INTERRUPTED[name])
    timer.join()
    assert result.success
    assert shell.user_ns["kept"].header.interrupted
    assert "interrupted" in shell.user_ns["kept"].header.caption()
    assert len(shell.user_ns["kept"].frame) > 0
    assert time.monotonic() - start < 30


@_needs("core.run")
def test_a_histogram_and_json_are_views_of_the_same_run(shell: InteractiveShell, tmp_path: Path) -> None:
    line = f"%rt_task --policy other --duration 230ms --threads 3 -o kept --histogram 10us --json {tmp_path}/r.json"
    counts = shell.run_cell(line).result
    jobs = shell.user_ns["kept"].frame
    assert counts["count"].sum() == len(jobs)
    assert set(counts["task"]) == {"task0", "task1", "task2"}
    written = json.loads((tmp_path / "r.json").read_text())
    cycles = [written["thread"][str(n)]["cycles"] for n in range(3)]
    assert cycles == jobs.groupby("task", observed=True).size().tolist()
    assert set(written["thread"]["0"]["percentiles"]) == {"50", "90", "99", "99.9", "99.99"}


@_needs("core.run")
def test_a_cells_body_runs_with_the_notebooks_names_and_its_code_does_the_same(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_cell("seen = 7\ndef check(n): assert n == 7")
    head = "%%rt_task --policy other --period 10ms --duration 230ms"
    df = shell.run_cell(f"{head}\ncheck(seen)\nseen += 0").result
    assert len(df) + df["missed"].sum() == 23
    capsys.readouterr()
    shell.run_cell(f"{head} --code\ncheck(seen)")
    printed = capsys.readouterr().out
    assert "namespace=globals()" in printed
    again = shell.run_cell(printed).result
    assert len(again) + again["missed"].sum() == 23


@_needs("core.run", "rt.fifo")
def test_the_notebooks_own_process_stays_as_it_is(shell: InteractiveShell) -> None:
    shell.run_cell("%rt_task --duration 50ms")
    assert os.sched_getscheduler(0) == os.SCHED_OTHER

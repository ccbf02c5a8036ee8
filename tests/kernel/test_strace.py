# SPDX-License-Identifier: MIT
"""%strace sees what the victims did, all of it and nothing else, and what strace sees."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from rtnb import load, strace
from rtnb.recording import Recording

pytestmark = pytest.mark.needs("core.run", "strace.ptrace")

PIDS = {"clone", "clone3", "fork", "vfork", "wait4", "getpid", "gettid", "getppid", "set_tid_address"}


def calls(recording: Recording, *names: str) -> pd.DataFrame:
    df = recording.tables["calls"]
    return df[(df["kind"] == "call") & (df["name"].isin(names) if names else True)]


def other(recording: Recording) -> list[tuple[str, object, object]]:
    """The rows that are no calls: kind, name, ret."""
    df = recording.tables["calls"]
    df = df[df["kind"] != "call"]
    return [(k, None if pd.isna(n) else n, None if r is pd.NA else r) for k, n, r in zip(df.kind, df.name, df.ret)]  # noqa: B905


# ---- the victims know what they did ----


def test_23_calls_are_23_rows(victim: dict[str, str]) -> None:
    ran = strace.run([victim["getppid23"]])
    assert len(calls(ran, "getppid")) == 23
    assert calls(ran, "getppid")["ret"].nunique() == 1
    assert other(ran) == [("exit", None, 7)]
    assert ran.header.exit_status == 7
    assert (ran.header.kind, ran.header.engine, ran.header.lost) == ("strace", "ptrace (C)", 0)
    assert ran.header.details == {"clock": "CLOCK_MONOTONIC", "follow_forks": False, "trace": None}
    assert calls(ran)["name"].iloc[0] == "execve"
    assert calls(ran)["path"].iloc[0] == victim["getppid23"]
    last = calls(ran).iloc[-1]
    assert (last["name"], last["ret"], last["dur_ns"], last["a0"]) == ("exit_group", pd.NA, pd.NA, 7)
    assert ran.tables["calls"]["time_ns"].is_monotonic_increasing


def test_two_sleeps_take_at_least_7_ms_each(victim: dict[str, str]) -> None:
    slept = calls(strace.run(victim["sleeps"]), "nanosleep")
    assert len(slept) == 2
    assert (slept["dur_ns"] >= 7_000_000).all()


def test_children_are_rows_with_follow_forks_alone(victim: dict[str, str]) -> None:
    alone, all_of_them = strace.run(victim["fork_exec"]), strace.run(victim["fork_exec"], follow_forks=True)
    assert alone.header.exit_status == all_of_them.header.exit_status == 0
    assert len(calls(alone, "getppid")) == 7
    assert alone.tables["calls"]["pid"].nunique() == 1
    assert alone.header.notes == ("not followed: 1 child or thread (follow_forks, -f)",)
    assert calls(all_of_them, "getppid").groupby("pid", sort=False).size().tolist() == [7, 3 + 5]
    assert calls(all_of_them, "execve")["path"].tolist() == [victim["fork_exec"], "/proc/self/exe"]
    assert calls(all_of_them, "execve")["ret"].tolist() == [0, 0]
    assert Counter(other(all_of_them)) == {("exit", None, 11): 1, ("signal", "SIGCHLD", None): 1, ("exit", None, 0): 1}
    assert all_of_them.header.notes == ()


@pytest.mark.parametrize(("threads", "each"), [(3, 11), (8, 997)])
def test_threads_are_rows_of_their_process(victim: dict[str, str], threads: int, each: int) -> None:
    ran = strace.run([victim["thread"], str(threads), str(each)], follow_forks=True)
    made = calls(ran, "getppid")
    assert made["pid"].nunique() == 1
    assert sorted(made.groupby("tid").size()) == sorted([7 + 5] + threads * [each])
    assert Counter(other(ran)) == {("exit", None, 0): threads + 1}
    main = strace.run([victim["thread"], str(threads), str(each)])
    assert len(calls(main, "getppid")) == 7 + 5


def test_signals_are_rows_and_are_delivered(victim: dict[str, str]) -> None:
    ran = strace.run(victim["signal"])
    sent = ["SIGUSR1", "SIGRT_4", "SIGUSR1", "SIGRT_4", "SIGUSR1"]
    assert other(ran) == [*(("signal", name, None) for name in sent), ("exit", None, 32)]
    assert len(calls(ran, "rt_sigreturn")) == 5
    ended = strace.run([victim["signal"], "by TERM"])
    assert other(ended)[-2:] == [("signal", "SIGTERM", None), ("killed", "SIGTERM", None)]
    assert ended.header.exit_status == -15
    assert "killed by signal 15" in ended.header.caption()


def test_a_killed_childs_last_call_never_returned(victim: dict[str, str]) -> None:
    ran = strace.run(victim["killed_child"], follow_forks=True)
    kill = calls(ran, "kill")
    assert (kill["ret"].tolist(), kill["dur_ns"].tolist()) == ([pd.NA], [pd.NA])
    assert other(ran).count(("killed", "SIGKILL", None)) == 1
    assert ran.header.exit_status == 0  # the parent saw its child killed


def test_a_stopped_child_stays_stopped_until_it_is_continued(victim: dict[str, str]) -> None:
    ran = strace.run(victim["stopped_child"], follow_forks=True)
    assert ran.header.exit_status == 0
    child = ran.tables["calls"].query("pid != @ran.tables['calls'].pid[0] and kind != 'call'")
    assert list(zip(child["kind"], child["name"].astype(object).fillna("-"), strict=True)) == [
        ("signal", "SIGSTOP"),
        ("stop", "SIGSTOP"),
        ("signal", "SIGCONT"),
        ("exit", "-"),
    ]


@pytest.mark.parametrize("trace", [None, "execve,getppid"])
def test_an_exec_by_another_thread_takes_the_first_ones_place(victim: dict[str, str], trace: str | None) -> None:
    ran = strace.run(victim["exec_thread"], follow_forks=True, trace=trace)
    first, second = calls(ran, "execve").itertuples()
    assert (first.tid, second.pid, second.ret) == (first.pid, first.pid, 0)
    assert second.tid != first.tid
    assert Counter(other(ran)) == {("superseded", None, second.tid): 1, ("exit", None, 0): 1, ("exit", None, 13): 1}
    assert calls(ran, "getppid")["tid"].tolist() == 3 * [first.tid]
    assert ran.header.exit_status == 13


def test_an_exec_by_a_thread_that_is_not_followed_ends_the_trace_and_not_the_command(victim: dict[str, str]) -> None:
    ran = strace.run(victim["exec_thread"])
    assert ran.header.exit_status == 13
    assert len(calls(ran, "getppid")) == 0


@pytest.mark.skipif(platform.machine() != "x86_64", reason="int 0x80 is x86_64's")
def test_a_32_bit_call_is_not_given_a_64_bit_name(victim: dict[str, str]) -> None:
    ran = strace.run(victim["foreign"])
    if ran.header.exit_status:
        pytest.skip("this kernel has no 32-bit system calls (CONFIG_IA32_EMULATION)")
    assert len(calls(ran, "i386_syscall_20")) == 5
    assert len(calls(ran, "writev")) == 0
    assert len(calls(ran, "getppid")) == 3
    assert calls(ran, "syscall_0x7ff")["errno"].tolist() == ["ENOSYS"]
    for follow in (False, True):  # 20 is writev in the plan, and is not what int 0x80 calls
        filtered = strace.run(victim["foreign"], trace="writev,getppid", follow_forks=follow)
        assert calls(filtered)["name"].tolist() == 3 * ["getppid"]


def test_hostile_strings_are_shown_and_not_obeyed(victim: dict[str, str]) -> None:
    made = calls(strace.run(victim["strings"], trace="openat")).iloc[-9:]
    paths = [None if missing else path for path, missing in zip(made["path"], made["path"].isna(), strict=True)]
    expected = [r"/none/\x1b[31mred\x1b]0;title\x07", r"/none/\xff\xfe\x80", r"/none/\u202egpj.exe", "g" * 4096]
    assert paths == [*expected, "/edge", None, None, None, ""]
    errors = ["ENOENT", "ENOENT", "ENOENT", "ENAMETOOLONG", "ENOENT", "EFAULT", "EFAULT", "EFAULT", "ENOENT"]
    assert made["errno"].tolist() == errors


# ---- the filter ----


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("trace", ["getppid", "openat,execve,wait4,exit_group", "read"])
def test_a_filtered_trace_is_the_whole_one_filtered(victim: dict[str, str], follow: bool, trace: str) -> None:
    told = []
    for given in (trace, None):
        ran = strace.run(victim["fork_exec"], trace=given, follow_forks=follow)
        made = calls(ran, *trace.split(","))
        made = made.assign(ret=made["ret"].mask(made["name"].isin(PIDS), 0), no_path=made["path"].isna())
        threads = [rows[["name", "ret", "no_path"]].values.tolist() for _, rows in made.groupby("tid", sort=False)]
        told.append((sorted(threads, key=str), Counter(other(ran))))
        assert ran.header.details["trace"] == (given and given.split(","))
    assert told[0] == told[1]
    assert told[0][0]


def test_calls_not_asked_for_run_without_a_stop(victim: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    for follow, mode in ((True, "2"), (False, "0")):
        strace.run(["grep", "Seccomp:", "/proc/self/status"], trace="openat", follow_forks=follow)
        assert capsys.readouterr().out.split() == ["Seccomp:", mode]


def test_a_frame_without_calls_says_why(victim: dict[str, str]) -> None:
    ran = strace.run(victim["getppid23"], trace="mlock")
    assert len(calls(ran)) == 0
    assert ran.header.notes == ("no call of mlock in the command's first thread",)
    assert "no call of mlock" in ran.header.caption()


# ---- as untraced ----


@pytest.mark.parametrize("follow", [False, True])
def test_a_traced_program_finds_itself_as_untraced(capfd: pytest.CaptureFixture[str], follow: bool) -> None:
    from rtnb.command import Command

    script = "ls -l /proc/self/fd | sed 's/.*[0-9]:[0-9][0-9] //; s/[0-9]\\{3,\\}//g'; umask; ulimit -a; "
    script += "grep -E 'Sig|Shd|Cap|NoNewPrivs|Cpus|Groups|CoreDumping' /proc/self/status; ps -o nice= -p $$"
    told: list[str] = []
    work: list[Callable[[], object]] = [
        lambda: strace.run(["sh", "-c", script], follow_forks=follow),
        lambda: Command(["sh", "-c", script]).wait(),
    ]
    for run in work:
        run()
        told.append("".join(capfd.readouterr()))
    assert told[0] == told[1]
    assert "SigIgn" in told[0]


def test_output_and_errors_pass_through(capsys: pytest.CaptureFixture[str]) -> None:
    ran = strace.run("sh -c 'echo out; echo err >&2; cat; exit 3'")
    assert capsys.readouterr() == ("out\n", "err\n")
    assert ran.header.exit_status == 3


def test_it_ends_with_the_command_where_children_are_not_followed() -> None:
    ran = strace.run("sh -c 'sleep 0.5 & exit 4'")
    assert ran.header.exit_status == 4
    assert ran.header.duration_ns < 400_000_000 or len(calls(ran, "wait4")) == 0


def test_a_recording_comes_back_as_it_was(victim: dict[str, str], tmp_path: Path) -> None:
    ran = strace.run(victim["fork_exec"], follow_forks=True)
    back = load(ran.save(tmp_path / "r"))
    pd.testing.assert_frame_equal(back.tables["calls"], ran.tables["calls"])
    counted = strace.summary(back.tables["calls"])
    assert counted.set_index("name").loc["getppid", "calls"] == 7 + 3 + 5
    assert counted["calls"].sum() == len(calls(ran))
    assert counted["time_ns"].is_monotonic_decreasing
    assert counted["share"].sum() == pytest.approx(1)


@pytest.mark.parametrize("trace", [None, "getppid"])
def test_rows_past_the_limit_are_counted_as_lost(
    victim: dict[str, str], monkeypatch: pytest.MonkeyPatch, trace: str | None
) -> None:
    whole = len(strace.run(victim["getppid23"], trace=trace).tables["calls"])
    monkeypatch.setattr("rtnb.strace.ptrace.ROWS_MAX", 5)
    ran = strace.run(victim["getppid23"], trace=trace)
    assert (len(ran.tables["calls"]), ran.header.lost) == (5, whole - 5)
    assert f"{whole - 5} events lost" in ran.header.caption()
    assert ran.header.exit_status == 7

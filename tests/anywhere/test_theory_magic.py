# SPDX-License-Identifier: MIT
"""`%%taskset`, and the ladder behind it: which tests fit a set, what they say together, and what bad rows get."""

from __future__ import annotations

import random

import pandas as pd
import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from rtnb import theory
from rtnb.errors import BadInput
from rtnb.recording import Recording, Tables, load

CELL = """
name     C    T
sensor   1ms  4ms
control  2ms  6ms
log      3ms  20ms   # the slowest
"""


def test_a_cell_gives_the_verdicts_and_the_bounds_and_binds_the_set(shell: InteractiveShell) -> None:
    found = shell.run_cell_magic("taskset", "ts --policy rm -o made", CELL)
    assert isinstance(found, Tables)
    assert list(found) == ["verdicts", "bounds"]
    assert found["bounds"].set_index("task")["R"].to_dict() == {"sensor": 10**6, "control": 3 * 10**6, "log": 10**7}
    assert shell.user_ns["ts"] == theory.TaskSet(CELL)
    assert isinstance(shell.user_ns["made"], Recording)
    assert shell.user_ns["made"].header.caption().startswith("computed · taskset cell")
    assert "kernel" not in shell.user_ns["made"].header.caption()


def test_simulate_gives_the_jobs_of_a_hyperperiod(shell: InteractiveShell) -> None:
    found = shell.run_cell_magic("taskset", "--policy edf --simulate", CELL)
    assert found["jobs"].groupby("task", observed=True).size().to_dict() == {"sensor": 15, "control": 10, "log": 3}
    assert set(found["jobs"]["outcome"]) == {"done"}
    short = shell.run_cell_magic("taskset", "--simulate --until 12ms", CELL)
    assert len(short["jobs"]) == 3 + 2 + 1


def test_what_code_prints_gives_the_same(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    found = shell.run_cell_magic("taskset", "--policy dm", CELL)
    capsys.readouterr()
    shell.run_cell_magic("taskset", "--policy dm --code", CELL)
    names: dict[str, object] = {}
    printed = capsys.readouterr().out
    exec(printed, names)
    pd.testing.assert_frame_equal(names["recording"].tables["verdicts"], found["verdicts"])  # type: ignore[attr-defined]
    assert printed.endswith("recording.frame\n")


def test_a_computed_recording_is_saved_and_loaded(shell: InteractiveShell, tmp_path: object) -> None:
    found = shell.run_cell_magic("taskset", f"--save {tmp_path}/r", CELL)
    kept = load(f"{tmp_path}/r")
    assert kept.header.caption().startswith("recorded ")
    pd.testing.assert_frame_equal(kept.tables["bounds"], found["bounds"])


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("# nothing", "there is no task"),
        ("name C T\na 1 4\nb 0 6", r"row 2 \(b\): C must be above zero"),
        ("name C T\na 1 4\na 2 6", r"row 2 \(a\): there is a task of that name above"),
        ("name C T\na 1ms 4ms\nb 2 6", r"row 2 \(b\): some times have a unit"),
        ("name C T D sections\na 2 9 9 x@1:2", r"row 1 \(a\): section x@1:2 ends after its C"),
        ("name C T\na 1 4 5 6", r"row 1 \(a\): 5 words, and there are 3 columns"),
        ("name C TT\na 1 4", "no such field of a task"),
    ],
)
def test_a_bad_row_is_named(shell: InteractiveShell, cell: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        shell.run_cell_magic("taskset", "", cell)
    assert "ts" not in shell.user_ns


def test_bad_options(shell: InteractiveShell) -> None:
    with pytest.raises(BadInput, match="no test knows it"):
        shell.run_cell_magic("taskset", "--policy lifo", CELL)
    with pytest.raises(BadInput, match="whole number"):
        shell.run_cell_magic("taskset", "--cpus 0", CELL)
    with pytest.raises(UsageError, match="not a variable's name"):
        shell.run_cell_magic("taskset", "1x", CELL)


@pytest.mark.parametrize("policy", ["fp", "rm", "dm", "edf"])
@pytest.mark.parametrize("cpus", [1, 3])
def test_no_two_tests_of_a_ladder_contradict_each_other(policy: str, cpus: int) -> None:
    """One says yes where another says no: on any random set that would be a wrong test."""
    rng = random.Random(f"{policy} {cpus}")
    decided = set()
    for seed in range(150):
        n = rng.randint(max(1, cpus - 1), 6)
        U = round(min(cpus, n) * rng.uniform(0.3, 1.0), 2)
        ts = theory.generate(n, U, seed=seed, periods=(5, 60), deadlines=rng.choice(["implicit", "constrained"]))
        ladder = ts.analyse(policy, cpus=cpus)
        says = {verdict.test: verdict.schedulable for verdict in ladder}
        assert len(set(says.values()) - {None}) <= 1, (str(ts), says)
        decided.add(ladder.schedulable)
    assert {True, False} <= decided


def test_what_does_not_fit_is_left_out_and_said() -> None:
    ladder = theory.TaskSet(C=[1, 2], T=[5, 9], D=[4, 9]).analyse("dm")
    assert any("left out" in note for note in ladder.left_out)
    assert "left out" in ladder.frame.rtnb.header.caption()
    assert ladder["response"].R == (1, 3)
    with pytest.raises(BadInput, match="no test of that name"):
        ladder["nonsense"]


# Two rows that share a resource: with what the ladder said when it did not count that.
SHARING = "name C T D sections offset\nhi 2 10 3 bus@1:1 2\nlo 5 40 40 bus@1:3 0"


def test_what_shares_a_resource_is_not_taken_for_independent() -> None:
    ts = theory.TaskSet(SHARING)
    assert ts.simulate().misses
    for policy in ("fp", "rm", "dm", "edf"):
        assert ts.analyse(policy).schedulable is not True
        assert not ts.analyse(policy, protocol="icpp")
    assert ts.analyse("dm")["response"].R == (5, 7)
    with pytest.raises(BadInput, match="there is none of that name"):
        ts.analyse(protocol="zz")


def test_no_preemption_and_blocking_are_not_forgotten_under_edf() -> None:
    """The set of a reviewer: U <= 1 alone would say yes, and the schedule misses."""
    long = theory.TaskSet(C=[1, 9], T=[2, 100])
    assert long.analyse("edf", preemptive=False).schedulable is False
    assert long.with_(offset=[1, 0]).simulate("edf", preemptive=False, until=100).misses[0].t == 3
    held = theory.TaskSet(C=[1, 9], T=[3, 100], sections=["S@0:1", "S@0:9"])
    assert held.analyse("edf", protocol="icpp").schedulable is not True
    assert held.with_(offset=[1, 0]).simulate("edf", protocol="icpp", until=100).misses[0].t == 4


def test_whatever_a_set_is_made_of_is_taken_and_what_is_none_is_told() -> None:
    assert theory.analyse("a 1 4\nb 2 8")
    for nothing in (None, 5, "", [5], object()):
        with pytest.raises(BadInput):
            theory.analyse(nothing)
    with pytest.raises(BadInput, match="pinned to CPUs 0, 1"):
        theory.TaskSet(C=[1, 2], T=[4, 8], cpu=[0, 1]).analyse()


def test_a_verdict_is_found_by_its_functions_name_too() -> None:
    ladder = theory.analyse("a 1 4\nb 2 8")
    assert ladder["liu_layland"] is ladder["Liu-Layland"] is ladder["liu"]
    assert ladder["response_times"].R == (1, 3)
    for nothing in ("", 0, None):
        with pytest.raises(BadInput, match="no test of that name"):
            ladder[nothing]  # type: ignore[index]


def test_the_code_of_a_named_cell_names_the_set(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run_cell_magic("taskset", "mine --unit ms --code", "a 1 4\nb 2 8")
    names: dict[str, object] = {}
    exec(capsys.readouterr().out, names)
    assert names["mine"] == theory.TaskSet("a 1ms 4ms\nb 2ms 8ms")
    with pytest.raises(UsageError, match="not a variable's name"):
        shell.run_cell_magic("taskset", "class", CELL)


def test_what_has_a_row_a_task_or_a_test_is_its_own_summary() -> None:
    ladder = theory.analyse("a 1 4\nb 2 8")
    for df in (ladder.frame, ladder.bounds, ladder.taskset.frame):
        assert df.rtnb.summary() is df
    jobs = theory.simulate("a 1 4\nb 2 8").jobs
    assert list(jobs.rtnb.summary()["max_R"]) == [1, 3]

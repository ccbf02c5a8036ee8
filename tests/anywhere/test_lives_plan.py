# SPDX-License-Identifier: MIT
"""A set becomes the right tasks, and a comparison names what broke: plans and made-up recordings, without a kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rtnb import lives, schema
from rtnb.errors import BadInput, NotSupported
from rtnb.lives.assumptions import broken
from rtnb.lives.plan import in_ns, plan
from rtnb.lives.prediction import Run, predict
from rtnb.recording import Header, Recording
from rtnb.rt.causes import Cause, Segment
from rtnb.rt.jobs import Job
from rtnb.theory.taskset import LIVES, TaskSet

MS = 10**6
CPUS = {0, 1, 2, 3}
SET = TaskSet(C=[1, 2, 3], T=[5, 10, 20])


def steps(ts: TaskSet, **options: Any) -> list[list[str]]:
    return [[str(step) for step in task.load] for task in plan(ts, scale="1ms", allowed=CPUS, **options).tasks]


def test_the_package_registers_what_a_set_can_do() -> None:
    assert (LIVES["run"], LIVES["compare"]) == (lives.run, lives.compare)


# Times.


def test_a_set_without_a_unit_needs_a_scale_and_one_with_a_unit_has_one() -> None:
    assert str(in_ns(SET, "2ms")[0]) == str(TaskSet(C=["2ms"], T=["10ms"])[0])
    with pytest.raises(BadInput, match="no unit"):
        plan(SET, allowed=CPUS)
    with pytest.raises(BadInput, match="unit already"):
        plan(TaskSet("a 1ms 5ms"), scale="1ms", allowed=CPUS)
    assert in_ns(TaskSet("a 1ms 5ms")) == TaskSet("a 1000000 5000000", unit="ns")


def test_fractions_are_exact_or_refused() -> None:
    thirds = TaskSet(C=["7/3"], T=[10])
    assert in_ns(thirds, "3ms")[0].C == 7 * MS
    with pytest.raises(BadInput, match="whole number of nanoseconds"):
        in_ns(thirds, "1ms")


def test_every_field_is_scaled_alike() -> None:
    ts = TaskSet([("a", 3, 10, 8, 2, 1, 4, 0, "bus@1:1"), ("b", 1, 9, 9, 1, 0, 0, None, "")])
    assert [tuple(map(str, in_ns(ts, "1us").tasks[0].sections)), in_ns(ts, "1us")[0].jitter] == [
        ("bus@1000:1000",),
        1000,
    ]
    found = in_ns(ts, "1us")
    for one, other in zip(ts, found, strict=True):
        assert [x * 1000 for x in (one.C, one.T, one.D, one.offset)] == [other.C, other.T, other.D, other.offset]
        assert (one.name, one.priority, one.cpu) == (other.name, other.priority, other.cpu)


def test_the_duration_is_whole_hyperperiods_and_bounded() -> None:
    def length(ts: TaskSet) -> int:
        return plan(ts, scale="1ms", allowed=CPUS).length_ns

    assert length(SET) == 2000 * MS
    assert length(TaskSet(C=[1, 1], T=[7, 11])) == 2002 * MS
    assert length(TaskSet(C=[1, 1], T=[50, 57])) == 2850 * MS
    assert length(TaskSet(C=[1, 1], T=[997, 991])) == 10_000 * MS
    assert length(SET.with_(offset=[0, 3, 0])) == 2003 * MS
    made = plan(TaskSet(C=[1, 1], T=[997, 991]), scale="1ms", allowed=CPUS)
    assert any("shorter than a hyperperiod" in note for note in made.notes)


# Policies and CPUs.


@pytest.mark.parametrize(("policy", "priorities"), [("fp", [79, 80, 78]), ("rm", [80, 78, 79]), ("dm", [78, 79, 80])])
def test_priorities_become_fifo_priorities_from_80_down(policy: str, priorities: list[int]) -> None:
    ts = TaskSet([("a", 1, 10, 10, 2), ("b", 1, 30, 8, 1), ("c", 1, 20, 6, 3)])
    made = plan(ts, policy, scale="1ms", allowed=CPUS)
    assert [(t.spec.policy, t.spec.priority) for t in made.tasks] == [("fifo", p) for p in priorities]
    assert {t.spec.cpus for t in made.tasks} == {frozenset({3})}
    assert [(t.period_ns, t.deadline_ns) for t in made.tasks] == [
        (10 * MS, 10 * MS),
        (30 * MS, 8 * MS),
        (20 * MS, 6 * MS),
    ]


def test_edf_is_a_reservation_of_c_and_a_margin_on_no_cpu() -> None:
    made = plan(SET, "edf", scale="1ms", margin=0.25, allowed=CPUS)
    assert [t.spec.runtime_ns for t in made.tasks] == [1_250_000, 2_500_000, 3_750_000]
    assert [(t.spec.deadline_ns, t.spec.period_ns) for t in made.tasks] == [
        (5 * MS,) * 2,
        (10 * MS,) * 2,
        (20 * MS,) * 2,
    ]
    assert {t.spec.cpus for t in made.tasks} == {None}
    assert made.cpus == 4
    assert "global EDF on all 4 CPUs" in made.notes[0]
    tight = plan(TaskSet([("a", 4, 10, 4)]), "edf", scale="1ms", allowed=CPUS)
    assert tight.tasks[0].spec.runtime_ns == 4 * MS  # never more than the deadline
    with pytest.raises(BadInput, match="D <= T"):
        plan(TaskSet([("a", 1, 10, 12)]), "edf", scale="1ms", allowed=CPUS)


def test_a_partition_is_on_the_highest_cpus() -> None:
    made = plan(SET.with_(cpu=[0, 1, None]), scale="1ms", cpus=2, allowed=CPUS)
    assert [sorted(t.spec.cpus or ()) for t in made.tasks] == [[2], [3], [2, 3]]
    assert plan(SET, scale="1ms", cpu=1, allowed=CPUS).tasks[0].spec.cpus == {1}
    for wrong in ({"cpu": 9}, {"cpus": 5}, {"cpus": 0}, {"cpu": 1, "cpus": 2}):
        with pytest.raises(BadInput, match="CPU"):
            plan(SET, scale="1ms", allowed=CPUS, **wrong)
    with pytest.raises(BadInput, match="it is for cpu 1, of 1"):
        plan(SET.with_(cpu=[0, 1, None]), scale="1ms", allowed=CPUS)


def test_what_cannot_be_run_is_refused_and_what_differs_is_told() -> None:
    with pytest.raises(BadInput, match="below 50 us"):
        plan(SET, scale="10us", allowed=CPUS)
    with pytest.raises(BadInput, match="pile up"):
        plan(TaskSet(C=[3, 3], T=[5, 5]), scale="1ms", allowed=CPUS)
    assert plan(TaskSet(C=[3, 3], T=[5, 5]), scale="1ms", late="skip", allowed=CPUS).tasks[0].late == "skip"
    assert any("5 %" in note for note in plan(TaskSet(C=[2, 4], T=[5, 7]), scale="1ms", allowed=CPUS).notes)
    assert plan(SET, scale="1ms", allowed=CPUS).notes == ()
    assert "jitter: t2" in plan(SET.with_(jitter=[0, 1, 0]), scale="1ms", allowed=CPUS).notes[0]
    with pytest.raises(BadInput, match="no test knows it"):
        plan(SET, "rmm", scale="1ms", allowed=CPUS)


# Loads and mutexes.


def test_a_load_is_c_less_what_a_job_costs_or_what_it_is_told_to_take() -> None:
    assert steps(SET) == [["busy 1 ms"], ["busy 2 ms"], ["busy 3 ms"]]
    assert steps(SET, overhead_ns=100_000) == [["busy 900 us"], ["busy 1.9 ms"], ["busy 2.9 ms"]]
    assert steps(SET, overhead_ns=2 * MS)[:2] == [["busy 500 us"], ["busy 1 ms"]]  # half at most
    assert steps(SET, execution={"t1": 2, "t3": "500us"}) == [["busy 2 ms"], ["busy 2 ms"], ["busy 500 us"]]
    with pytest.raises(BadInput, match="t9"):
        steps(SET, execution={"t9": 1})
    for wrong in ([1, 2], lambda job: 1, "1us"):
        with pytest.raises(BadInput, match="execution of t1"):
            steps(SET, execution={"t1": wrong})


def test_sections_become_locks_and_unlocks_at_their_places() -> None:
    ts = TaskSet([("a", 10, 100, 100, 1, 0, 0, None, "x@1:6 y@2:2 z@8:2"), ("b", 1, 50, 50, 2)])
    a = ["busy 1 ms", "lock x", "busy 1 ms", "lock y", "busy 2 ms", "unlock y", "busy 3 ms", "unlock x"]
    a += ["busy 1 ms", "lock z", "busy 2 ms", "unlock z"]
    assert steps(ts) == [a, ["busy 1 ms"]]
    assert steps(ts, overhead_ns=MS)[0][0] == "busy 900 us"
    assert sum(s.amount for s in plan(ts, scale="1ms", overhead_ns=MS, allowed=CPUS).tasks[0].load) == 9 * MS
    # One that takes less ends where it is by then, and holds nothing.
    short = ["busy 1 ms", "lock x", "busy 1 ms", "lock y", "busy 1 ms", "unlock y", "unlock x"]
    assert steps(ts, execution={"a": 3})[0] == short


def test_protocols_become_mutexes_or_are_refused() -> None:
    ts = TaskSet(C=[2, 2, 2], T=[10, 20, 30], sections=["x@0:1", "y@0:1", "x@1:1"])

    def mutexes(protocol: str, policy: str = "fp") -> object:
        return plan(ts, policy, scale="1ms", protocol=protocol, allowed=CPUS).mutexes

    assert mutexes("none") == {"x": "none", "y": "none"}
    assert mutexes("pip") == mutexes("inherit") == {"x": "inherit", "y": "inherit"}
    assert mutexes("icpp") == mutexes("protect") == {"x": ("protect", 80), "y": ("protect", 79)}
    for missing in ("pcp", "ceiling", "npp"):
        with pytest.raises(NotSupported, match="Linux has no"):
            mutexes(missing)
    with pytest.raises(NotSupported, match="SCHED_DEADLINE has none"):
        mutexes("icpp", "edf")
    with pytest.raises(BadInput, match="there is none of that name"):
        mutexes("pipp")


# Predictions.


def told(ts: TaskSet, policy: str = "fp", **options: Any) -> Run:
    made = plan(ts, policy, scale="1ms", allowed=options.pop("allowed", CPUS), **options)
    return Run(made.taskset, policy, made.protocol, made.cpus, made.length_ns, "continue", dict(made.execution))


def test_the_bound_and_the_simulation_are_the_theory_s() -> None:
    found = predict(told(SET, "rm"))
    assert found.R == found.simulated == (MS, 3 * MS, 7 * MS)
    assert found.source == "response times"
    assert predict(told(SET, "rm", execution={"t1": 2})).R == found.R  # of the declared C
    assert predict(told(SET, "rm", execution={"t1": 2})).simulated == (2 * MS, 4 * MS, 9 * MS)


def test_a_partition_is_bounded_cpu_by_cpu_and_global_fifo_is_not() -> None:
    assert predict(told(SET.with_(cpu=[0, 0, 1]), cpus=2)).R == (MS, 3 * MS, 3 * MS)
    found = predict(told(SET, cpus=2))
    assert found.R == (None, None, None)
    assert found.source.startswith("no bound: 2 CPUs")


def test_edf_is_bounded_as_global_edf_is() -> None:
    assert predict(told(SET, "edf")).R == (MS, 2 * MS, 3 * MS)  # as many CPUs as tasks
    two = {"allowed": {0, 1}}
    assert predict(told(SET, "edf", **two)).R == (5 * MS, 10 * MS, 20 * MS)  # GFB
    late = predict(told(TaskSet(C=[2, 2, 2], T=[3, 3, 3]), "edf", **two))
    assert late.R == (5 * MS,) * 3  # T and Devi's and Anderson's 2
    assert "tardiness" in late.source
    assert predict(told(SET, "edf", allowed={0})).source == "EDF response times"


# What broke, of one job that took more than its bound of 1 ms.

ONE = Run(TaskSet("a 1ms 10ms\nb 2ms 20ms"), "fp", "none", 1, 20 * MS, "continue", {"a": MS, "b": 2 * MS})


def job(task: str, number: int, release: float, response: float, execution: float, **more: Any) -> dict[str, Any]:
    """A row of rt.jobs; times in ms."""
    ns = {"release_ns": int(release * MS), "end_ns": int((release + response) * MS), "response_ns": int(response * MS)}
    fixed = {"start_ns": ns["release_ns"], "deadline_ns": ns["release_ns"] + 10 * MS, "latency_ns": 0, "waited_ns": 0}
    rest = {"cpu": 3, "preemptions": 0, "missed": 0, "overrun": False, "execution_ns": int(execution * MS)}
    return {"task": task, "job": number, **ns, **fixed, **rest, **more}


def frame(row: type, rows: list[dict[str, Any]]) -> pd.DataFrame:
    return schema.frame(row, {name: [each[name] for each in rows] for name in rows[0]})


def traced(jobs: list[dict[str, Any]], pieces: list[tuple[str, int, str, float, float, int, str]]) -> dict[str, Any]:
    """The three tables; a piece is (task, job, state, begin, end, cpu, by), times in ms."""
    names = ("task", "job", "state", "begin_ns", "end_ns", "cpu", "by")
    rows = [dict(zip(names, (*p[:3], int(p[3] * MS), int(p[4] * MS), *p[5:]), strict=True)) for p in pieces]
    causes = []
    for each in jobs:
        own = [p for p in rows if (p["task"], p["job"]) == (each["task"], each["job"])]
        sums = {
            f"{s}_ns": sum(p["end_ns"] - p["begin_ns"] for p in own if p["state"] == s)
            for s in ("run", "preempted", "interrupt", "blocked", "throttled", "unexplained")
        }
        host = min(sums["run_ns"], each.get("host", 0))
        sums |= {"host_ns": host, "run_ns": sums["run_ns"] - host}
        causes.append({"task": each["task"], "job": each["job"], "response_ns": each["response_ns"], **sums, "by": ""})
    bare = [{name: value for name, value in each.items() if name != "host"} for each in jobs]
    return {"jobs": frame(Job, bare), "segments": frame(Segment, rows), "causes": frame(Cause, causes)}


def what_broke(tables: dict[str, Any], at: int = 0, run: Run = ONE, bound: int = MS) -> tuple[str, str]:
    jobs = tables["jobs"][tables["jobs"]["task"] == run.taskset[at].name]
    return broken(run, at, jobs, tables, bound, 0)


RUN = ("a", 0, "run", 0, 1, 3, "")


@pytest.mark.parametrize(
    ("word", "state", "by", "says"),
    [
        ("throttling", "throttled", "sh", "throttled for 500 us"),
        ("other load", "preempted", "spinner", "spinner, which is not in the set, had the CPU for 500 us"),
        ("interrupts", "interrupt", "", "interrupts took 500 us"),
        ("release latency", "unexplained", "", "it woke up 500 us late"),
        ("blocking", "blocked", "", "it slept 500 us in its job, of 0 ns foreseen"),
    ],
)
def test_a_state_that_theory_does_not_know_is_named(word: str, state: str, by: str, says: str) -> None:
    tables = traced([job("a", 0, 0, 1.5, 1)], [RUN, ("a", 0, state, 1, 1.5, 3, by)])
    found, evidence = what_broke(tables)
    assert found == word
    assert evidence.startswith("job 0 took 1.5 ms, 500 us above the bound: ")
    assert says in evidence


def test_an_overrun_is_found_with_and_without_a_trace() -> None:
    tables = traced([job("a", 0, 0, 1.5, 1.5)], [("a", 0, "run", 0, 1.5, 3, "")])
    for known in (tables, {"jobs": tables["jobs"]}):
        word, evidence = what_broke(known)
        assert (word, evidence.split(": ")[1]) == ("overrun", "a executed 1.5 ms of a C of 1 ms")


def test_an_overrun_of_another_task_is_found_where_it_is_above_and_in_the_busy_period() -> None:
    high = job("a", 0, 0, 3, 3)
    hit = traced(
        [high, job("b", 0, 2, 3, 2)],
        [("a", 0, "run", 0, 3, 3, ""), ("b", 0, "preempted", 2, 3, 3, "a"), ("b", 0, "run", 3, 5, 3, "")],
    )
    word, evidence = what_broke(hit, at=1, bound=2 * MS)
    assert word == "overrun"
    assert evidence.endswith("a executed 3 ms of a C of 1 ms")
    # Done before the other came, it has nothing to do with it.
    apart = traced(
        [high, job("b", 0, 4, 3, 2)],
        [("a", 0, "run", 0, 3, 3, ""), ("b", 0, "unexplained", 4, 5, 3, ""), ("b", 0, "run", 5, 7, 3, "")],
    )
    assert what_broke(apart, at=1, bound=2 * MS)[0] == "release latency"
    # And one below cannot have been waited for.
    below = traced([job("a", 0, 1, 1.5, 1), job("b", 0, 0, 6, 5)], [("a", 0, "unexplained", 1, 1.5, 3, ""), RUN])
    assert what_broke(below)[0] == "release latency"


def test_time_of_the_set_s_own_tasks_is_no_other_load_nor_a_late_wake_up() -> None:
    jobs = [job("a", 0, 0, 1, 1), job("b", 0, 0, 3.4, 2)]
    pieces = [RUN, ("b", 0, "unexplained", 0, 1.1, 3, ""), ("b", 0, "run", 1.1, 3.1, 3, "")]
    # The wake-up was not seen, and a had the CPU: a tenth of a millisecond is left.
    word, evidence = what_broke(traced(jobs, [*pieces, ("b", 0, "interrupt", 3.1, 3.4, 3, "")]), 1, bound=3 * MS)
    assert word == "interrupts"
    assert "woke up 100 us late" in evidence
    preempted = [RUN, ("b", 0, "preempted", 0, 1, 3, "a"), ("b", 0, "run", 1, 3.4, 3, "")]
    assert what_broke(traced(jobs, preempted), 1, bound=3 * MS)[0] == "overhead"


def test_the_host_and_a_migration_are_named() -> None:
    tables = traced([job("a", 0, 0, 1.5, 1, host=500_000)], [("a", 0, "run", 0, 1.5, 3, "")])
    assert what_broke(tables)[0] == "host"
    moved = [("a", 0, "run", 0, 1, 3, ""), ("a", 0, "run", 1, 1.5, 2, "")]
    assert what_broke(traced([job("a", 0, 0, 1.5, 1)], moved))[0] == "migration"


def test_one_job_of_another_cause_hides_none_that_most_share() -> None:
    jobs = [job("a", k, 10 * k, 1.5, 1.5) for k in range(3)] + [job("a", 3, 30, 2.1, 1)]
    pieces = [("a", k, "run", 10 * k, 10 * k + 1.5, 3, "") for k in range(3)]
    pieces += [("a", 3, "run", 30, 31, 3, ""), ("a", 3, "preempted", 31, 32.1, 3, "spinner")]
    word, evidence = what_broke(traced(jobs, pieces))
    assert word == "overrun"  # 3 * 0.5 ms, and 1.1 ms
    assert evidence.endswith("so in 3 of the 4 worst above it, other load in 1")
    assert what_broke(traced(jobs[1:], pieces[1:]))[0] == "other load"


def test_without_a_trace_it_cannot_tell() -> None:
    tables = {"jobs": frame(Job, [job("a", 0, 0, 1.5, 1)])}
    word, evidence = what_broke(tables)
    assert word == "cannot tell"
    assert "trace=True" in evidence


# Comparisons.


def made_up(**changes: Any) -> Recording:
    """A run of a (1, 10) and b (2, 20), whose second job of a took 1.5 ms."""
    jobs = [job("a", 0, 0, 0.9, 0.9), job("a", 1, 10, 1.5, 1.5), job("b", 0, 0, 2.9, 1.9)]
    details = {
        "taskset": [{"name": "a", "C": "1", "T": "10"}, {"name": "b", "C": "2", "T": "20"}],
        "unit": "", "scale": "1ms", "policy": "rm", "protocol": "none", "cpus": 1, "length_ns": 20 * MS,
        "late": "continue", "execution_ns": {"a": MS, "b": 2 * MS}, **changes,
    }  # fmt: skip
    return Recording(Header("lives", ("a, b",), "clock_nanosleep (C)", details=details), {"jobs": frame(Job, jobs)})


def test_a_recording_is_compared_without_a_kernel(tmp_path: Path) -> None:
    recording = made_up()
    df = lives.compare(observed=recording)
    assert df.attrs["rtnb"]["table"] == "lives.comparison"
    assert schema.as_declared(df, "lives.comparison")
    assert df["predicted_ns"].tolist() == df["simulated_ns"].tolist() == [MS, 3 * MS]
    assert df["observed_ns"].tolist() == [1_500_000, 2_900_000]
    assert df["jobs"].tolist() == [2, 1]
    assert df["holds"].tolist() == [False, True]
    assert df["assumption"].tolist() == ["overrun", "none"]
    again = lives.compare(observed=recording.save(tmp_path / "run"))
    pd.testing.assert_frame_equal(df, again)
    assert again.attrs["rtnb"]["header"]["mode"] == "recorded"
    summary = lives.summary(recording.tables["jobs"])
    pd.testing.assert_frame_equal(df, summary)
    assert lives.summary(summary) is summary


def test_a_run_is_compared_with_another_set_of_the_same_tasks() -> None:
    generous = TaskSet([("a", 2, 10), ("b", 2, 20)])
    assert lives.compare(generous, observed=made_up())["holds"].tolist() == [True, True]
    with pytest.raises(BadInput, match="other ones"):
        lives.compare(SET, observed=made_up())


def test_a_task_without_jobs_or_without_a_bound_is_told_so() -> None:
    df = lives.compare(observed=made_up(cpus=2))
    assert df["predicted_ns"].isna().all()
    assert df["holds"].all()
    assert "no bound" in df["evidence"][0]
    recording = made_up()
    jobs = recording.tables["jobs"]
    only = Recording(recording.header, {"jobs": jobs[jobs["task"] == "a"]})
    assert lives.compare(observed=only).loc[1, ["jobs", "assumption"]].tolist() == [0, "cannot tell"]


def test_skipped_releases_are_told() -> None:
    recording = made_up()
    jobs = recording.tables["jobs"].assign(missed=pd.array([0, 0, 3], dtype="int32"))
    df = lives.compare(observed=Recording(recording.header, {"jobs": jobs}))
    assert df.loc[1, ["missed", "assumption"]].tolist() == [3, "release skipped"]


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(BadInput, match="neither a task set nor"):
        lives.compare()
    with pytest.raises(BadInput, match="duration"):
        lives.compare(SET, observed=made_up(), duration="1s")
    other = made_up().with_header(kind="rt_task")
    with pytest.raises(BadInput, match="no recording of a task set"):
        lives.compare(observed=other)
    with pytest.raises(BadInput, match="jobs of a run"):
        lives.summary(SET.frame)


def test_each_word_of_the_comparison_is_explained() -> None:
    assert all(text for text in lives.ASSUMPTIONS.values())


def test_what_a_session_types_by_mistake_is_told() -> None:
    for wrong in (5, None, "", [1]):
        with pytest.raises(BadInput, match="task set"):
            plan(wrong, scale="1ms", allowed=CPUS)
    for policy in ("fp", "edf"):
        for margin in ("x", None, -2, float("nan")):
            with pytest.raises(BadInput, match="it is a part of C"):
                plan(SET, policy, scale="1ms", margin=margin, allowed=CPUS)
    with pytest.raises(BadInput, match="it is a mapping"):
        plan(SET, scale="1ms", execution="x", allowed=CPUS)  # type: ignore[arg-type]
    assert str(plan(list(SET), scale="1ms", allowed=CPUS)) == str(plan(SET, scale="1ms", allowed=CPUS))


def test_a_comparison_knows_its_options() -> None:
    with pytest.raises(BadInput, match="observed 5: it is no recording"):
        lives.compare(observed=5)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="compare with zz: there is no such option"):
        lives.compare(SET, zz=1)
    with pytest.raises(BadInput, match="did you mean scale"):
        lives.compare(SET, scal="1ms")


def test_tasks_that_share_across_cpus_have_no_bound_and_no_terms() -> None:
    found = predict(told(SET.with_(cpu=[0, 1, 1], sections=["x:1", "x:1", ""]), cpus=2, protocol="icpp"))
    assert (found.R, found.B) == ((None,) * 3, (None,) * 3)
    assert found.source.startswith("no bound")


def test_a_lock_that_nobody_else_takes_keeps_the_bound() -> None:
    free = predict(told(SET))
    for policy, protocol in (("fp", "none"), ("fp", "icpp"), ("edf", "none")):
        own = predict(told(SET.with_(sections=["x:1", "", ""]), policy, protocol=protocol, allowed={0}))
        assert own.R == predict(told(SET, policy, allowed={0})).R
        assert own.B == free.B == (0, 0, 0)

# SPDX-License-Identifier: MIT
"""Does the simulation make the schedules of the worked cases? And its tables, its words, its refusals."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from typing import Any

import pytest

from rtnb.errors import BadInput
from rtnb.recording import load
from rtnb.schema import as_declared
from rtnb.theory.servers import background, constant_bandwidth, polling, total_bandwidth
from rtnb.theory.simulation import Policy, Schedule, simulate
from rtnb.theory.simulation.plan import MOST_JOBS
from rtnb.theory.taskset import TaskSet

LONG = 1000  # a period after which nothing of a case with one job a task is left


def largest(schedule: Schedule) -> list[Any]:
    return list(schedule.response_times.values())


def missed(schedule: Schedule) -> list[list[Any]]:
    """The first miss, as the worked cases write it: the task from 1, its job, the deadline."""
    names = [task.name for task in schedule.taskset]
    return [[names.index(miss.task) + 1, miss.job, miss.t] for miss in schedule.misses[:1]]


def scripted(given: dict[str, Any]) -> TaskSet:
    """Tasks of one job each, from scripts: (priority, release, [execute, lock, unlock, ...]), larger is higher."""
    rows = []
    for name, (priority, release, script) in given.items():
        done, sections, opened = 0, [], {}
        for what, which in script:
            if what == "x":
                done += which
            elif what == "L":
                opened[which] = (done, len(sections))
                sections.append("")
            else:
                start, place = opened.pop(which)
                sections[place] = f"{which}@{start}:{done - start}"
        row = {"name": name, "C": done, "T": LONG, "priority": -priority, "offset": release}
        rows.append({**row, "sections": ",".join(sections)})
    return TaskSet(rows)


def finishes(schedule: Schedule) -> dict[str, int | None]:
    jobs = schedule.jobs
    done = [None if value != value else int(value) for value in jobs["finish"].astype("float64")]
    return dict(zip(jobs["task"].astype(str), done, strict=True))


def inverted(schedule: Schedule, task: str) -> int:
    """How long a job waited for tasks below it."""
    df = schedule.why(task)
    rank = {each.name: each.priority for each in schedule.taskset}
    waits = df[df["state"].isin(["blocked", "preempted"])]
    below = [any(rank[name] > rank[task] for name in by.split(", ")) for by in waits["by"].astype(str)]
    return int((waits["end"] - waits["begin"])[below].sum())


# The worked cases.


def test_liu_layland_figure_2(vector: Any) -> None:
    given, expected = vector("LL73-fig2")
    first, second = given["T"]
    most = 0
    for c in range(1, second + 1):
        if simulate(TaskSet(C=[1, c], T=[first, second]), "rm").met:
            most = c
    assert most == expected["RM_max_C2"]
    cases = {(1, 1): "reversed_feasible", (2, 1): "reversed_C1_2_feasible", (1, 2): "reversed_C2_2_feasible"}
    for C, key in cases.items():
        assert simulate(TaskSet(C=C, T=[first, second], priority=[2, 1])).met is expected[key]


def test_mixed_policy_in_a_users_own_lines(vector: Any) -> None:
    given, expected = vector("LL73-mixed")

    def mixed(job: Any, now: Any) -> Any:
        return (0, 0) if job.name == "t1" else (1, job.deadline)

    def most(policy: Any) -> int:
        fits = [c for c in range(1, 6) if simulate(TaskSet(C=[given["C1"], given["C2"], c], T=given["T"]), policy).met]
        return max(fits)

    assert most("rm") == int(expected["RM_max_C3"])
    assert most("edf") == 2
    assert (most(mixed) == 2) is expected["mixed_tau1_FP_rest_EDF_C3_2"]
    ts = TaskSet(C=[1, 1, 2], T=given["T"])
    assert Fraction(expected["U_EDF_C3_2"]) == ts.U
    assert simulate(ts, mixed).policy == "mixed"
    assert simulate(ts, Policy(mixed, "static", dynamic=False)).gantt() == simulate(ts, mixed).gantt()


def test_burns_wellings_set_a(vector: Any) -> None:
    given, expected = vector("BW-set-A")
    schedule = simulate(TaskSet(**given))
    assert missed(schedule) == expected["first_miss"]
    assert schedule.jobs["response"][2] == expected["R_full"][2]
    assert schedule.met is expected["schedulable"]


@pytest.mark.parametrize(
    ("id_", "key"), [("BW-set-B", "R_full"), ("RTA-3-6-20", "R"), ("Buttazzo-DM-RTA", "R"), ("offsets", "R_offset")]
)
def test_response_times(vector: Any, id_: str, key: str) -> None:
    given, expected = vector(id_)
    schedule = simulate(TaskSet(**given))
    assert largest(schedule) == expected[key]
    assert schedule.met


def test_offsets_and_without(vector: Any) -> None:
    given, expected = vector("offsets")
    assert largest(simulate(TaskSet(**{**given, "O": [0, 0, 0]}), until=20)) == expected["R_sync"]


def test_deadline_and_rate_monotonic(vector: Any) -> None:
    given, expected = vector("DM-3-6-10-20")
    ts = TaskSet(**given)
    by_deadline, by_rate = simulate(ts, "dm"), simulate(ts, "rm")
    assert largest(by_deadline) == expected["R_DM"]
    assert by_deadline.met
    assert [by_rate.response_times[f"t{n}"] for n in expected["RM_order"]] == expected["R_RM_order"]
    assert by_rate.met is expected["RM_feasible"]


def test_first_instance_is_not_the_worst_without_preemption(vector: Any) -> None:
    given, expected = vector("CAN-refuted")
    schedule = simulate(TaskSet(C=given["C"], D=given["D"], T=given["T"]), preemptive=False)
    assert largest(schedule) == expected["synchronous_sim_R"]
    assert schedule.misses[0][:2] == ("t3", 2)


def test_overload_ends_with_its_first_miss(vector: Any) -> None:
    given, expected = vector("QPA-fail")
    ts = TaskSet(**given)
    assert Fraction(expected["U"]) == ts.U
    assert missed(simulate(ts, "edf")) == expected["sim_first_miss"]


def test_priority_inversion(vector: Any) -> None:
    given, expected = vector("inversion-3")
    ts = scripted(given)
    for protocol, case in expected.items():
        schedule = simulate(ts, protocol=protocol, until=19)
        assert [list(each) for each in schedule.gantt()] == case["gantt"], protocol
        assert finishes(schedule) == case["finish"]
        assert schedule.response_times["H"] == case["response_H"]
        assert inverted(schedule, "H") == case["H_inverted_ticks"]


def test_deadlock(vector: Any) -> None:
    given, expected = vector("deadlock-2")
    ts = scripted(given)
    for protocol, case in expected.items():
        schedule = simulate(ts, protocol=protocol, until=case["gantt"][-1][2])
        assert [list(each) for each in schedule.gantt()] == case["gantt"], protocol
        assert finishes(schedule) == case["finish"]
        assert schedule.deadlock == (case["deadlock"] and (case["t"], tuple(case["deadlock"])))


def test_pathfinder(vector: Any) -> None:
    given, expected = vector("pathfinder")
    for case, then in expected.items():
        protocol, comm = case.split(",")
        ts = TaskSet(
            [
                {"name": "bc_dist", "C": "15ms", "T": "1s", "offset": "30ms", "sections": "pipe@5ms:5ms"},
                {"name": "comm", "C": f"{comm}ms", "T": "1s", "offset": "27ms"},
                {"name": "asi_met", "C": "20ms", "T": "1s", "offset": "20ms", "sections": "pipe@5ms:10ms"},
            ]
        )
        schedule = simulate(ts, protocol=protocol, until="500ms")
        done = finishes(schedule)["bc_dist"]
        assert done == then["bc_dist_done"] * 10**6, case
        assert (done > given["watchdog"] * 10**6) is then["reset"]


def test_dhalls_effect(vector: Any) -> None:
    given, expected = vector("Dhall-m2")
    ts, m = TaskSet(C=given["C"], T=given["T"]), given["m"]
    for policy, key in (("rm", "gRM_first_miss"), ("edf", "gEDF_first_miss")):
        schedule = simulate(ts, policy, cpus=m)
        assert missed(schedule) == [expected[key]]
        assert schedule.why("t3")["by"].astype(str).tolist()[0] == "t1, t2"  # both in the way at once
    assert missed(simulate(ts, "llf", cpus=m)) == expected["gLLF_miss"]
    apart = TaskSet(C=given["C"], T=given["T"], cpu=[1, 1, 0])
    assert expected["partitioned_FFD_EDF"] == [[3], [1, 2]]
    assert simulate(apart, "edf", cpus=m).met


def test_three_times_two_thirds_on_two_cpus(vector: Any) -> None:
    given, expected = vector("GFB-3x2of3")
    ts = TaskSet(C=given["C"], T=given["T"])
    assert missed(simulate(ts, "edf", cpus=given["m"])) == expected["sync_sim_first_miss"]


def test_tardiness(vector: Any) -> None:
    given, expected = vector("gEDF-tardiness")
    df = simulate(TaskSet(C=given["C"], T=given["T"]), "edf", cpus=given["m"], until=300).jobs
    late = (df["finish"] - df["deadline"]).max()
    assert late == expected["observed_sync_integer_sim"]
    assert late <= int(expected["bound"])


def test_global_edf_is_not_optimal(vector: Any) -> None:
    given, expected = vector("gEDF-not-optimal")
    ts = TaskSet(C=given["C"], T=given["T"])
    assert missed(simulate(ts, "edf", cpus=given["m"])) == expected["gEDF_first_miss"]
    assert missed(simulate(ts, "llf", cpus=given["m"])) == expected["gLLF_miss"]


@pytest.mark.parametrize(
    "id_",
    [
        "EDF-WCRT-RTA-3-6-20",
        "EDF-WCRT-Buttazzo-DM-RTA",
        "EDF-WCRT-BW-set-A",
        "EDF-WCRT-Buttazzo-RMvsEDF",
        "EDF-WCRT-harmonic",
    ],
)
def test_edf_from_a_synchronous_start(vector: Any, id_: str) -> None:
    given, expected = vector(id_)
    assert largest(simulate(TaskSet(**given), "edf")) == expected["sync_sim_max_R"]


# Policies.


def test_among_equals_who_runs_goes_on() -> None:
    ts = TaskSet(C=[2, 4], T=[9, 9], offset=[1, 0])
    assert simulate(ts, lambda job, now: 0, until=9).gantt()[:2] == [("t2", 0, 4), ("t1", 4, 6)]


def test_least_laxity_decides_anew_every_quantum() -> None:
    ts = TaskSet(C=[4, 4], T=[9, 9])
    switches = [len(simulate(ts, "llf", until=9, quantum=quantum).gantt()) for quantum in (1, 2, 4)]
    assert switches[0] > switches[1] > switches[2] == 3
    assert simulate(ts, "llf", until=9).gantt() == simulate(ts, "llf", until=9, quantum=1).gantt()


def test_round_robin_by_what_was_executed() -> None:
    ts = TaskSet(C=[2, 2, 2], T=[9, 9, 9])
    who = [name for name, _, _ in simulate(ts, lambda job, now: job.executed, until=6).gantt()]
    assert set(who[:3]) == {"t1", "t2", "t3"}


def test_a_key_sees_times_of_the_set() -> None:
    seen = set()

    def key(job: Any, now: Any) -> Any:
        seen.add((job.name, job.number, now, job.arrival, job.release, job.deadline, job.remaining, job.executed))
        assert job.task.name == job.name
        return job.task.priority

    simulate(TaskSet(C=["1/2", 1], T=[2, 4]), key, until=2)
    assert ("t1", 1, 0, 0, 0, 2, Fraction(1, 2), 0) in seen
    assert ("t2", 1, Fraction(1, 2), 0, 0, 4, 1, 0) in seen
    assert repr(simulate(TaskSet(C=[1], T=[2]), key)) == "Schedule: key, 1 job up to 2: all deadlines met"


def test_a_policy_by_another_name_is_the_same() -> None:
    ts = TaskSet(C=[1, 2, 3], T=[4, 7, 13])
    assert simulate(ts, lambda job, now: job.task.T).gantt() == simulate(ts, "rm").gantt()
    assert simulate(ts, Policy(lambda job, now: job.task.D, dynamic=False)).gantt() == simulate(ts, "DM").gantt()


def test_a_policy_is_what_its_key_says_whatever_its_name() -> None:
    ts = TaskSet(C=[2, 2], T=[4, 8])
    latest = Policy(lambda job, now: -job.deadline, "edf", dynamic=False)
    assert simulate(ts, latest).gantt()[0][0] == "t2"
    assert simulate(ts, "edf").gantt()[0][0] == "t1"
    assert simulate(ts, Policy(lambda job, now: 0, "backwards", False, lambda ts: [1, 0])).gantt()[0][0] == "t2"


# Late jobs, execution, jitter, the end.


def test_late_jobs_continue_are_aborted_or_skip_the_next() -> None:
    ts = TaskSet(C=[3, 2], T=[4, 4])
    goes_on, ends, skips = (simulate(ts, late=late, until=16) for late in ("continue", "abort", "skip"))
    assert [miss.job for miss in goes_on.misses] == [1, 2, 3, 4]
    assert goes_on.jobs.query("task == 't2'")["finish"].tolist()[:2] == [8, 16]
    assert ends.jobs.query("task == 't2'")["outcome"].tolist() == ["aborted"] * 4
    assert [miss.t for miss in ends.misses] == [4, 8, 12, 16]
    assert ends.events["kind"].tolist().count("abort") == 4
    assert skips.jobs.query("task == 't2'")["outcome"].tolist() == ["late", "skipped", "late", "skipped"]
    assert [miss.job for miss in skips.misses] == [1, 3]
    assert skips.why_words("t2", 2) == "t2 job 2 was skipped at 4: the job before it was late"
    assert ends.why_words("t2").endswith("released at 0 and aborted at its deadline, 4: 1 run + 3 preempted (t1 3)")


def test_a_job_that_is_not_late_is_not_skipped_after() -> None:
    ts = TaskSet(C=[2, 3], T=[4, 4], D=[4, 12])
    assert "skipped" not in set(simulate(ts, late="skip", until=8).jobs["outcome"])


def test_an_aborted_job_gives_its_resource_back() -> None:
    ts = TaskSet([("a", 2, 20, 20, 1, 0, 1, None, "S@0:2"), ("b", 9, 20, 3, 2, 0, 0, None, "S@0:9")])
    schedule = simulate(ts, late="abort")
    assert schedule.gantt()[:4] == [("b", 0, 3), ("a", 3, 5), ("-", 5, 20), ("b", 20, 23)]


def test_execution_other_than_C() -> None:
    ts = TaskSet(C=[2, 3], T=[5, 10])
    schedule = simulate(ts, execution={"t1": [1, "1/2"], "t2": lambda number: number}, until=20)
    assert schedule.jobs["execution"].div(2).tolist() == [1, 1, 0.5, 2, 2, 2]
    assert schedule.jobs["task"].astype(str).tolist() == ["t1", "t2", "t1", "t1", "t2", "t1"]
    assert simulate(ts, execution={"t1": 4}).misses[0].task == "t2"


def test_a_section_after_the_end_is_not_entered_and_one_at_the_end_is_left() -> None:
    ts = TaskSet([("a", 4, 10, 10, 1, 0, 0, None, "R@1:3")])
    short = [simulate(ts, execution={"a": c}).events["kind"].tolist() for c in (1, 2)]
    assert short == [[], ["lock", "unlock"]]


def test_who_is_released_after_its_deadline_is_aborted_at_once() -> None:
    ts = TaskSet(C=[1], T=[10], D=[2], jitter=[5])
    schedule = simulate(ts, late="abort", jitter="critical", until=20)
    assert schedule.jobs["outcome"].tolist() == ["aborted", "done"]
    assert schedule.events[["t", "kind"]].values.tolist() == [[2, "miss"], [5, "abort"]]
    assert schedule.gantt() == [("-", 0, 10), ("t1", 10, 11), ("-", 11, 20)]


def test_jitter() -> None:
    ts = TaskSet(C=[1, 2], T=[5, 10], jitter=[2, 3])
    assert simulate(ts).jobs["release"].equals(simulate(ts).jobs["arrival"])
    late = simulate(ts, jitter="critical", until=20).jobs
    assert late["release"].tolist() == [2, 3, 5, 10, 10, 15]
    assert late["response"].tolist() == [3, 5, 1, 1, 3, 1]
    seeds = [simulate(ts, jitter=seed).jobs["release"].tolist() for seed in (1, 1, 2)]
    assert seeds[0] == seeds[1] != seeds[2]
    assert simulate(ts, jitter="critical", until=20).why_words("t2") == (
        "t2 job 1 arrived at 0, was released at 3 and done at 5, response 5 = 3 jitter + 2 run"
    )


def test_a_job_released_late_does_not_overtake() -> None:
    df = simulate(TaskSet(C=[1], T=[2], D=[9], jitter=[7]), jitter=3, until=60).jobs
    assert df["release"].is_monotonic_increasing
    assert df["job"].is_monotonic_increasing


def test_the_end_is_the_hyperperiod_or_twice() -> None:
    assert simulate(TaskSet(C=[1, 1], T=[4, 6])).until == 12
    assert simulate(TaskSet(C=[1, 1], T=[4, 6], offset=[0, 3])).until == 27
    assert simulate(TaskSet(C=[1, 1], T=[4, 6], jitter=[1, 0]), jitter=1).until == 24
    assert simulate(TaskSet(C=["1ms"], T=["4ms"]), until="1.5ms").until == 1_500_000
    assert simulate(TaskSet(C=[1], T=["7/3"]), until="5/7").gantt() == [("t1", 0, Fraction(5, 7))]


def test_at_the_end_a_deadline_that_has_come_counts_and_one_to_come_does_not() -> None:
    ts = TaskSet(C=[5], T=[4])
    assert [miss.t for miss in simulate(ts, until=4).misses] == [4]
    assert simulate(ts, until=3).misses == []
    assert simulate(ts, until=3).jobs["outcome"].tolist() == ["unfinished"]
    assert simulate(ts, until=3).response_times == {"t1": None}


# Several CPUs.


def test_a_running_job_stays_on_its_cpu() -> None:
    schedule = simulate(TaskSet(C=[2, 1, 9], T=[20, 20, 20], offset=[1, 0, 0]), cpus=2)
    assert schedule.gantt(1)[0] == ("t3", 0, 9)
    assert schedule.gantt(0)[:2] == [("t2", 0, 1), ("t1", 1, 3)]
    assert schedule.jobs["migrations"].sum() == 0


def test_a_bound_task_takes_its_cpu_and_a_free_one_moves() -> None:
    ts = TaskSet([{"name": "free", "C": 4, "T": 20}, {"name": "bound", "C": 2, "T": 20, "offset": 1, "cpu": 0}])
    schedule = simulate(ts, cpus=2, until=20)
    assert schedule.gantt(0)[:2] == [("free", 0, 1), ("bound", 1, 3)]
    assert schedule.gantt(1)[:2] == [("-", 0, 1), ("free", 1, 4)]
    assert schedule.jobs["migrations"].tolist() == [1, 0]
    assert schedule.jobs["preemptions"].tolist() == [0, 0]


def test_two_cpus_share_a_resource() -> None:
    ts = TaskSet([("a", 2, 9, 9, 1, 0, 1, None, "S@0:2"), ("b", 4, 9, 9, 2, 0, 0, None, "S@0:3")])
    for protocol in ("none", "pip", "npp", "icpp"):
        schedule = simulate(ts, cpus=2, protocol=protocol, until=9)
        assert schedule.why_words("a").endswith(", response 4 = 2 run + 2 blocked by b, which holds S")


# Protocols.

CHAIN = """
name C  T   offset sections
H    4  100 6      A@1:1,B@2:1
M    5  100 3      B@1:3
L    6  100 0      A@1:4
"""


def test_chained_blocking_under_inheritance_and_none_of_it_under_ceilings() -> None:
    by = {}
    for protocol in ("pip", "pcp", "icpp", "npp"):
        df = simulate(TaskSet(CHAIN), protocol=protocol, until=50).why("H")
        blocked = df[df["state"] == "blocked"]
        by[protocol] = dict(zip(blocked["by"].astype(str), blocked["resource"].astype(str), strict=True))
    assert by["pip"] == {"L": "A", "M": "B"}
    assert all(len(found) <= 1 for protocol, found in by.items() if protocol != "pip")


@pytest.mark.parametrize("step", [1, -1])
def test_inheritance_is_transitive_in_whatever_order_the_tasks_stand(step: int) -> None:
    rows = [
        {"name": "H", "C": 2, "offset": 4, "sections": "A@1:1"},
        {"name": "M", "C": 4, "offset": 2, "sections": "A@0:4,B@1:2"},
        {"name": "N", "C": 9, "offset": 5},
        {"name": "L", "C": 4, "offset": 0, "sections": "B@0:4"},
    ]
    ts = TaskSet([{**row, "T": 99, "priority": rank} for rank, row in enumerate(rows)][::step])
    schedule = simulate(ts, protocol="inherit", until=30)
    told = schedule.events.query("kind == 'inherit'")[["t", "task", "what"]].values.tolist()
    assert sorted(told) == [
        [3, "L", "the priority of M"],
        [5, "L", "the priority of H"],
        [5, "M", "the priority of H"],
    ]
    assert schedule.response_times["H"] == 6


def test_the_stack_resource_policy_blocks_before_the_start() -> None:
    ts = TaskSet([("a", 2, 20, 6, 1, 0, 1, None, "S@1:1"), ("b", 5, 20, 20, 2, 0, 0, None, "S@0:3")])
    schedule = simulate(ts, "edf", protocol="icpp", until=20)
    assert schedule.gantt()[:3] == [("b", 0, 3), ("a", 3, 5), ("b", 5, 7)]
    assert schedule.why("a")[["state", "by", "resource"]].values.tolist()[0] == ["blocked", "b", "S"]
    assert schedule.recording.header.details["ceilings"] == [[0, "a"], [3, ""], [4, "a"], [5, ""]]


def test_at_its_ceiling_the_holder_goes_before_its_equal() -> None:
    ts = TaskSet(
        """
        name   C T  offset sections
        top    3 50 2      -
        high   2 50 3      S@1:1
        low    4 50 0      S@1:3
        """
    )
    schedule = simulate(ts, protocol="icpp", until=50)
    assert schedule.gantt()[:4] == [("low", 0, 2), ("top", 2, 5), ("low", 5, 7), ("high", 7, 9)]
    assert schedule.why_words("high").endswith(
        "response 6 = 2 run + 2 preempted (top 2) + 2 blocked by low, which holds S"
    )


def test_ceilings_of_the_system() -> None:
    schedule = simulate(TaskSet(CHAIN), protocol="protect", until=50)
    assert schedule.protocol == "icpp"
    assert schedule.recording.header.details["ceilings"][:2] == [[1, "H"], [5, ""]]
    assert "ceilings" not in simulate(TaskSet(CHAIN), protocol="pip", until=50).recording.header.details


def test_sections_at_one_instant_are_left_before_the_next_is_entered() -> None:
    ts = TaskSet([("a", 6, 20, 20, 1, 0, 0, None, "R@1:4,S@1:2,T@3:2")])
    told = simulate(ts).events[["t", "kind", "what"]].values.tolist()
    assert told == [
        [1, "lock", "R"],
        [1, "lock", "S"],
        [3, "unlock", "S"],
        [3, "lock", "T"],
        [5, "unlock", "T"],
        [5, "unlock", "R"],
    ]


def test_without_preemption_a_lower_task_blocks() -> None:
    ts = TaskSet(C=[1, 4], T=[10, 10], offset=[1, 0])
    schedule = simulate(ts, preemptive=False, until=10)
    assert schedule.why_words("t1") == "t1 job 1 was released at 1 and done at 5, response 4 = 1 run + 3 blocked by t2"


# Servers. What each kind does is tested with the servers.


def test_requests_are_jobs_of_the_server() -> None:
    ts = TaskSet(C=[1, 2], T=[4, 6])
    schedule = simulate(ts, servers=[polling(2, 5, [(2, 2), (8, 1)])], until=24)
    mine = schedule.jobs.query("task == 'S'")
    assert mine["job"].tolist() == [1, 2]
    assert mine["response"].tolist() == [5, 3]
    assert schedule.response_times["S"] == 5
    assert schedule.budget("S")[0] == (0, 2)
    assert schedule.why("S")["state"].astype(str).tolist()[0] == "throttled"
    assert set(schedule.events["kind"]) == {"budget"}


def test_fractions_of_a_tick_are_made_whole() -> None:
    schedule = simulate(TaskSet(C=[1], T=[4]), "edf", servers=[total_bandwidth("3/7", [(1, 1)])], until=8)
    assert schedule.recording.header.details["tick"] == "1/3"
    assert schedule.jobs.query("task == 'S'")["deadline"].tolist() == [10]
    assert schedule.until == 8
    assert schedule.gantt()[:2] == [("t1", 0, 1), ("S", 1, 2)]


def test_background_is_below_all() -> None:
    ts = TaskSet(C=[2], T=[4])
    for policy in ("fp", "edf", "llf", lambda job, now: job.deadline):
        assert simulate(ts, policy, servers=[background([(0, 4)])], until=8).response_times["S"] == 8


def test_a_servers_place() -> None:
    ts = TaskSet(C=[1, 1], T=[10, 5])
    cases = {("fp", None): "S", ("fp", 1.5): "t1", ("fp", 3): "t1", ("rm", None): "S", ("rm", 1): "S", ("rm", 2): "t2"}
    for (policy, priority), first in cases.items():
        server = polling(1, 5, [(0, 1)], priority=priority)
        assert simulate(ts, policy, servers=[server], until=10).gantt()[0][0] == first, (policy, priority)


# Tables.


def test_tables_are_declared_and_travel(tmp_path: Any) -> None:
    schedule = simulate(TaskSet(CHAIN), protocol="pcp", until=50)
    recording = schedule.recording
    for name, df in recording.tables.items():
        assert as_declared(df, f"theory.{name}"), name
    schedule.recording.save(tmp_path / "it")
    again = load(tmp_path / "it").tables
    assert again["segments"].equals(schedule.segments)
    details = schedule.segments.attrs["rtnb"]["header"]["details"]
    assert {name: details[name] for name in ("tick", "per_unit", "policy", "protocol", "cpus", "until")} == {
        "tick": "1",
        "per_unit": 1,
        "policy": "fp",
        "protocol": "pcp",
        "cpus": 1,
        "until": 50,
    }
    empty = simulate(TaskSet(C=[1], T=[2], offset=[50]), until=3)
    assert [len(df) for df in empty.recording.tables.values()] == [0, 0, 0]
    assert empty.gantt() == [("-", 0, 3)]


def test_a_deadlock_is_in_the_caption() -> None:
    ts = TaskSet([("a", 4, 50, 50, 1, 0, 1, None, "R@1:3,S@2:1"), ("b", 5, 50, 50, 2, 0, 0, None, "S@0:5,R@2:1")])
    schedule = simulate(ts)
    assert schedule.deadlock == (4, ("a", "b"))
    assert "deadlock at 4: a, b wait for each other" in schedule.recording.header.caption()
    assert repr(schedule).endswith(", deadlock at 4")


def test_misses_are_events_in_time_order() -> None:
    df = simulate(TaskSet(C=[3, 2], T=[4, 4]), until=16).events
    assert df["kind"].tolist() == ["miss"] * 4
    assert df["what"].tolist()[:2] == ["done 4 after it", "done 8 after it"]
    assert df["t"].is_monotonic_increasing


def test_why_a_job_waited_for_its_own_task() -> None:
    words = simulate(TaskSet(C=[3, 2], T=[4, 4]), until=16).why_words("t2", 2)
    assert words.endswith("done at 16, response 12 = 2 run + 10 preempted (its own job before 4, t1 6)")


def test_progress_is_told() -> None:
    ts = TaskSet(C=[1, 2, 3], T=[5, 7, 11])
    for options in ({}, {"late": "abort"}):
        seen: list[float] = []
        simulate(ts, until=50_000, progress=seen.append, **options)
        assert seen == sorted(seen)
        assert seen[-1] == 1.0
        assert len(seen) > 1


# What is refused.

PLAIN = TaskSet(C=[1, 2], T=[4, 8])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"policy": "edff"}, "did you mean edf"),
        ({"policy": 3}, "it is no policy"),
        ({"policy": lambda job, now: "first" if job.name == "t1" else 1}, "cannot be compared"),
        ({"policy": lambda job, now: None}, "its key of t1 job 1 is None"),
        ({"policy": lambda job, now: math.nan}, "its key of t1 job 1 is nan"),
        ({"policy": lambda job, now: (job.deadline, math.nan)}, "its key of t1 job 1 is (4, nan)"),
        ({"policy": lambda job: 1}, "it is a function of (job, now), and this one takes (job)"),
        ({"policy": Policy(lambda: 1, "none")}, "it is a function of (job, now)"),
        ({"policy": Policy("key")}, "its key is no function"),  # type: ignore[arg-type]
        ({"cpus": 10**30}, "a whole number from 1 to 1024"),
        ({"preemptive": "no"}, "preemptive 'no': it is True or False"),
        ({"execution": "x"}, "it is a mapping"),
        ({"execution": {"t1": lambda: 1}}, "it is a function of (number)"),
        ({"servers": polling(1, 4, [])}, "S: polling server (1, 4): not a list of servers"),
        ({"servers": None}, "servers None: not a list of servers"),
        ({"servers": 5}, "servers 5: not a list of servers"),
        ({"servers": [5]}, "servers: 5: it is no server"),
        ({"cpus": 0}, "a whole number from 1"),
        ({"cpus": "2"}, "a whole number from 1"),
        ({"until": 0}, "above zero"),
        ({"until": "2ms"}, "the set's times have no unit"),
        ({"until": "soon"}, "not a time"),
        ({"until": 10**9}, "until="),
        ({"quantum": 0}, "above zero"),
        ({"policy": "llf", "until": 10**6, "quantum": "1/100"}, "quantum="),
        ({"late": "abrt"}, "did you mean abort"),
        ({"jitter": "some"}, "a seed"),
        ({"jitter": True}, "a seed"),
        ({"execution": {"t9": 1}}, "there is no such task"),
        ({"execution": {"t1": 0}}, "above zero"),
        ({"execution": {"t1": [1, "x"]}}, "not a time"),
        ({"execution": {"t1": lambda number: -1}}, "not below zero"),
        ({"protocol": "icp"}, "did you mean"),
        ({"protocol": "xyz"}, "one of none, pip"),
        ({"protocol": "pcp", "policy": "edf"}, "pip or npp"),
        ({"protocol": "pcp", "policy": "llf"}, "pip or npp"),
        ({"servers": [polling(1, 4, [], name="t1")]}, "there is a task or server of that name"),
        ({"servers": [polling("1ms", "4ms", [])]}, "unit"),
        ({"servers": [constant_bandwidth(1, 4, [])]}, "edf"),
    ],
)
def test_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput) as caught:
        simulate(PLAIN, **options)
    assert said in str(caught.value)


def test_what_does_not_fit_the_set_is_refused() -> None:
    with pytest.raises(BadInput, match="cpus=3"):
        simulate(TaskSet(C=[1], T=[2], cpu=[2]))
    shared = TaskSet([("a", 2, 9, 9, 1, 0, 1, None, "S@0:2"), ("b", 4, 9, 9, 2, 0, 0, None, "S@0:3")])
    with pytest.raises(BadInput, match="used on one CPU only"):
        simulate(shared, cpus=2, protocol="pcp")
    assert simulate(shared.with_(cpu=[1, 1]), cpus=2, protocol="pcp").met
    with pytest.raises(BadInput, match="at most"):
        simulate(TaskSet(C=["1ms", "1ms"], T=["999.999983ms", "999.999937ms"]))
    assert MOST_JOBS == 2_000_000


def test_asking_a_schedule_for_what_it_has_not() -> None:
    schedule = simulate(PLAIN)
    for ask in (
        lambda: schedule.gantt(1),
        lambda: schedule.budget("S"),
        lambda: schedule.why("t3"),
        lambda: schedule.why("t1", 9),
        lambda: schedule.why_words("x"),
    ):
        with pytest.raises(BadInput):
            ask()


def test_an_interrupt_passes() -> None:
    def stop(fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(PLAIN, progress=stop)


def test_a_notebook_sees_a_row_a_task_and_not_every_job() -> None:
    schedule = simulate(TaskSet(C=[3, 3], T=[4, 8], D=[4, 7]))
    assert repr(schedule) == "Schedule: fp, 3 jobs up to 8: 1 deadline missed"
    html = schedule._repr_html_()
    assert html.startswith("<p>Schedule: fp, 3 jobs up to 8: 1 deadline missed</p>")
    assert "max_R" in html
    assert "arrival" not in html


@pytest.mark.parametrize("wrong", [None, "x", 1, -1])
def test_what_is_no_cpu_and_no_server_of_a_schedule_is_refused(wrong: Any) -> None:
    schedule = simulate(PLAIN)
    with pytest.raises(BadInput, match="there are 1, numbered from 0"):
        schedule.gantt(wrong)
    with pytest.raises(BadInput, match="there is no such server"):
        schedule.budget(wrong)


# Who may not be preempted stays where it is; and what would never end is refused.


def test_who_is_not_preempted_keeps_its_cpu() -> None:
    ts = TaskSet(name=["a", "b"], C=[5, 3], T=[20, 20], offset=[1, 0], cpu=[0, None])
    schedule = simulate(ts, "fp", cpus=2, preemptive=False)
    assert schedule.gantt(0)[:2] == [("b", 0, 3), ("a", 3, 8)]
    assert schedule.jobs["migrations"].sum() == 0
    assert schedule.response_times == {"a": 7, "b": 3}
    assert simulate(ts, "fp", cpus=2).gantt(0)[:2] == [("b", 0, 1), ("a", 1, 6)], "with preemption b makes way"


def test_who_holds_a_resource_under_npp_keeps_its_cpu() -> None:
    ts = TaskSet("a 5 20 20 1 0 1 0 \n b 3 20 20 2 0 0 - bus:2 \n c 1 20 20 3 0 15 - bus:1")
    held = simulate(ts, "fp", cpus=2, protocol="npp", until=20)
    assert held.gantt(0)[:2] == [("b", 0, 2), ("a", 2, 7)]
    assert held.gantt(1)[:2] == [("-", 0, 2), ("b", 2, 3)]
    assert simulate(ts, "fp", cpus=2, until=20).gantt(0)[:2] == [("b", 0, 1), ("a", 1, 6)]


@pytest.mark.parametrize("seed", range(4))
def test_without_preemption_no_job_is_ever_moved_or_stopped(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(60):
        n = rng.randint(2, 5)
        T = [rng.choice([5, 8, 10, 20]) for _ in range(n)]
        where = [rng.choice([None, 0, 1]) for _ in range(n)]
        ts = TaskSet(C=[rng.randint(1, 4) for _ in T], T=T, offset=[rng.randint(0, 5) for _ in T], cpu=where)
        schedule = simulate(ts, rng.choice(["fp", "edf"]), cpus=2, preemptive=False, until=60)
        assert not schedule.jobs[["migrations", "preemptions"]].to_numpy().any(), ts
        for cpu in (0, 1):
            names = {name for name, _, _ in schedule.gantt(cpu)} - {"-"}
            assert all(ts[name].cpu in (None, cpu) for name in names)


def test_a_budget_that_is_filled_for_ever_is_refused() -> None:
    ts = TaskSet(C=[1], T=[10**9])
    for server in (
        constant_bandwidth(1, 1000, [(0, 10**9)]),
        constant_bandwidth(1, 1000, [(0, 10**5)], reclaim=True, umax="1/100000"),
    ):
        with pytest.raises(BadInput, match="jobs and budgets to fill, and at most 2,000,000"):
            simulate(ts, "edf", servers=[server], until=10**9)
    few = simulate(ts, "edf", servers=[constant_bandwidth(1, 1000, [(0, 100)])], until=10**6)
    assert few.met
    assert len(few.budget("S")) > 100


def test_a_tiny_quantum_and_a_giant_hyperperiod_are_refused() -> None:
    ts = TaskSet(C=[5 * 10**5] * 2, T=[10**6] * 2)
    with pytest.raises(BadInput, match="decide anew every 1/2\nhint: quantum="):
        simulate(ts, "llf", quantum="1/2")
    assert simulate(ts, "llf", quantum=100_000).met
    primes = [q for q in range(10**6 + 1, 10**6 + 20000, 2) if all(q % d for d in range(3, 1010, 2))]
    with pytest.raises(BadInput, match=r"it has \d\.\d+e\+\d+ jobs"):
        simulate(TaskSet(C=[1] * len(primes), T=primes))

# SPDX-License-Identifier: MIT
"""Other tools' files: every number of theirs is there again, and what is none of theirs is told.

cyclictest's and rt-app's files are of real runs; rtla's are written after its man pages, since few kernels have its
tracers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtnb.errors import BadInput, BadRecording, RtnbError
from rtnb.recording import Header, Recording, load
from rtnb.rt.latency import UNBOUNDED, histogram, summary
from rtnb.rt.readers import read_cyclictest, read_rtapp, read_rtla, to_cyclictest

FIXTURES = Path(__file__).parents[1] / "fixtures"
READERS: list[Callable[[Any], Recording]] = [read_cyclictest, read_rtapp, read_rtla]
OF = {path.name: path for path in FIXTURES.iterdir()}
READER = {"cyclictest": read_cyclictest, "rtla": read_rtla, "rt-app": read_rtapp}
US = 1000

fuzzed = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def reader(name: str) -> Callable[[Any], Recording]:
    return next(read for tool, read in READER.items() if name.startswith(tool))


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "a-file"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def counts(recording: Recording) -> dict[tuple[str, str], dict[int, int]]:
    """Of each task and measure, a bucket's lower end to its samples."""
    df = recording.tables["histogram"]
    groups = df.groupby(["task", "measure"], observed=True)
    return {(str(t), str(m)): dict(zip(part["low_ns"], part["count"], strict=True)) for (t, m), part in groups}


def row(recording: Recording, task: str, measure: str) -> pd.Series:
    df = summary(recording.frame)
    return df[(df["task"] == task) & (df["measure"] == measure)].iloc[0]


def test_the_json_of_cyclictest() -> None:
    recording = read_cyclictest(OF["cyclictest.json"])
    raw = json.loads(OF["cyclictest.json"].read_text())
    header = recording.header
    assert (header.kind, header.engine, header.mode) == ("rt_task", "cyclictest 2.40", "recorded")
    assert " ".join(header.source) == raw["cmdline:"]
    assert (header.kernel, header.machine, header.exit_status) == ("6.18.44", "x86_64", 0)
    assert header.started.startswith("2026-")
    for number, thread in raw["thread"].items():
        name = f"thread {number}"
        found = counts(recording)[name, "latency"]
        over = thread["cycles"] - sum(thread["histogram"].values())
        assert found == {int(at) * US: n for at, n in thread["histogram"].items()} | ({40 * US: over} if over else {})
        told = row(recording, name, "latency")
        assert told[["samples", "min_us", "mean_us", "max_us"]].tolist() == [
            thread[key] for key in ("cycles", "min", "avg", "max")
        ]
        assert told[["policy", "priority"]].tolist() == ["fifo", 80]
        known = header.details["tasks"][name]
        assert known == {"policy": "fifo", "priority": 80, "period_ns": 10**6, "cpu": int(number), "node": 0}


def test_its_text_says_the_same_of_the_same_run() -> None:
    text, told = read_cyclictest(OF["cyclictest.txt"]), read_cyclictest(OF["cyclictest.json"])
    pd.testing.assert_frame_equal(text.frame, told.frame)
    assert text.header.engine == "cyclictest"
    assert text.header.kernel == "unknown"
    for name, by in text.header.details["printed"].items():
        theirs = told.header.details["printed"][name]["latency"]
        assert by["latency"] == {**theirs, "mean_ns": theirs["mean_ns"] // US * US}  # the text cuts the mean off


def test_both_spellings_of_its_keys(tmp_path: Path) -> None:
    raw = OF["cyclictest.json"].read_text()
    newer = written(tmp_path, raw.replace('"cmdline:"', '"cmdline"').replace('"rt_test_version:"', '"rt_test_version"'))
    assert read_cyclictest(newer).header == read_cyclictest(OF["cyclictest.json"]).header


def test_what_overflows_its_buckets_is_there_and_its_percentiles_are_not_known() -> None:
    recording = read_cyclictest(OF["cyclictest.json"])
    over = recording.frame[recording.frame["high_ns"] == UNBOUNDED]
    assert list(over["low_ns"]) == [40 * US] * 2
    assert list(over["count"]) == [3, 2]
    assert all("above its buckets" in note for note in recording.header.notes)
    assert np.isnan(row(recording, "thread 0", "latency")["p99_99_us"])
    assert not np.isnan(row(recording, "thread 0", "latency")["p90_us"])


SUMS = """\
000000 000001 000000\t000001
000001 000001 000002\t000003
# Total: 000000002 000000002 000000004
# Min Latencies: 00000 00001
# Avg Latencies: 00000 00001
# Max Latencies: 00001 00009 00009
# Histogram Overflows: 00000 00001 00001
# Histogram Overflow at cycle number:
# Thread 0:
# Thread 1: 00002
"""
LINES = """\
T: 0 (    0) P:80 I:1000 C:      0 Min:1000000 Act:    0 Avg:    0 Max:       0
T: 0 ( 7442) P:80 I:1000 C:    100 Min:     15 Act:   17 Avg:   24 Max:      62
T: 1 ( 7443) P: 0 I:1500 C:     74 Min:     24 Act:   47 Avg:   39 Max:      71
"""


def test_the_column_of_sums_of_dash_H_is_no_thread(tmp_path: Path) -> None:
    recording = read_cyclictest(written(tmp_path, "# Histogram\n" + SUMS))
    assert counts(recording) == {("thread 0", "latency"): {0: 1, US: 1}, ("thread 1", "latency"): {US: 2, 2 * US: 1}}
    assert row(recording, "thread 1", "latency")[["samples", "max_us"]].tolist() == [3, 9.0]


def test_lines_of_threads_without_a_histogram(tmp_path: Path) -> None:
    recording = read_cyclictest(written(tmp_path, LINES))
    told = summary(recording.frame)
    assert told["samples"].tolist() == [100, 74]
    assert told[["policy", "priority"]].to_numpy().tolist() == [["fifo", 80], ["other", 0]]
    assert told[["min_us", "mean_us", "max_us", "jitter_us"]].to_numpy().tolist() == [
        [15, 24, 62, 47],
        [24, 39, 71, 47],
    ]
    assert told["p50_us"].isna().all()
    assert recording.header.details["tasks"]["thread 1"]["period_ns"] == 1500 * US
    assert counts(read_cyclictest(written(tmp_path, LINES + "# Histogram\n" + SUMS)))["thread 0", "latency"] == {
        0: 1,
        US: 1,
    }


@pytest.mark.parametrize(
    ("options", "known"),
    [
        ("", {}),
        ("-p 80 -t2", {"policy": "fifo", "priority": 80, "period_ns": 1500 * US}),
        ("--priority=5 --policy=rr -i200 -d0", {"policy": "rr", "priority": 5, "period_ns": 200 * US}),
        ("-S -i 2000", {"policy": "other", "priority": 0, "period_ns": 2000 * US}),
        ("-h 9 --policy normal -i x", {"policy": "other", "priority": 0}),
    ],
)
def test_what_the_command_line_says_of_the_second_thread(options: str, known: dict[str, Any], tmp_path: Path) -> None:
    thread = {"cycles": 1, "min": 1, "avg": 1.0, "max": 1, "histogram": {"1": 1}}
    raw = {"cmdline": f"cyclictest {options}".strip(), "rt_test_version": "9", "thread": {"1": thread}}
    assert read_cyclictest(written(tmp_path, json.dumps(raw))).header.details["tasks"]["thread 1"] == known


def test_a_round_trip_through_the_export(tmp_path: Path) -> None:
    recording = read_cyclictest(OF["cyclictest.json"])
    raw, made = json.loads(OF["cyclictest.json"].read_text()), to_cyclictest(recording)
    percentiles = {n: thread.pop("percentiles") for n, thread in made["thread"].items()}
    assert made == {key.rstrip(":"): value for key, value in raw.items()}
    assert percentiles["0"]["50"] == row(recording, "thread 0", "latency")["p50_us"]
    again = read_cyclictest(written(tmp_path, json.dumps(made)))
    pd.testing.assert_frame_equal(again.frame, recording.frame)
    assert again.header == recording.header


def of_jobs() -> Recording:
    """99 jobs of rt-app's log, whose latencies are whole us."""
    return read_rtapp(OF["rt-app-control-0.log"])


@pytest.mark.parametrize(("unit", "size"), [("us", US), ("ns", 1)])
def test_an_export_of_jobs_is_read_back(unit: str, size: int, tmp_path: Path) -> None:
    recording = of_jobs()
    made = to_cyclictest(recording, unit=unit)
    assert made["resolution_in_ns"] == (unit == "ns")
    again = read_cyclictest(written(tmp_path, json.dumps(made)))
    theirs, ours = again.frame, histogram(recording.frame, size)
    assert theirs[["low_ns", "high_ns", "count"]].equals(ours[["low_ns", "high_ns", "count"]])
    told, was = summary(again.frame).iloc[0], summary(recording.frame).iloc[0]
    for name in ("samples", "min_us", "p50_us", "p99_us", "p99_99_us", "max_us"):
        assert told[name] == was[name]
    assert made["thread"]["0"]["percentiles"]["99"] == was["p99_us"] * 1000 / size


def test_what_cannot_be_exported() -> None:
    with pytest.raises(BadInput, match="in us, or with -N in ns"):
        to_cyclictest(of_jobs(), unit="ms")
    with pytest.raises(BadInput, match="neither jobs nor a histogram"):
        to_cyclictest(read_rtla(OF["rtla-timerlat-top.txt"]))
    with pytest.raises(BadInput, match="has no such"):
        to_cyclictest(read_rtla(OF["rtla-timerlat-hist.txt"]))
    coarse = Recording(Header("rt_task", (), "x"), {"histogram": histogram(of_jobs().frame, "20us")})
    with pytest.raises(BadInput, match="would lie in two"):
        to_cyclictest(coarse)


def test_timerlat_hist() -> None:
    recording = read_rtla(OF["rtla-timerlat-hist.txt"])
    assert " ".join(recording.header.source) == "rtla timerlat hist -d 10s -c 0-1"
    assert recording.header.duration_ns == 10 * 10**9
    assert (
        counts(recording)
        == {
            ("cpu0", "irq"): {0: 6000, US: 3990, 2 * US: 10},
            ("cpu0", "thread"): {US: 100, 2 * US: 9800, 5 * US: 99, 6 * US: 2},
            ("cpu1", "irq"): {0: 5000, US: 4990, 2 * US: 11},
            ("cpu1", "thread"): {2 * US: 9000, 5 * US: 999, 6 * US: 2},
        }
        or recording
    )


def test_timerlat_top_is_its_last_screen() -> None:
    told = summary(read_rtla(OF["rtla-timerlat-top.txt"]).frame)
    assert list(zip(told["task"], told["measure"], told["samples"], strict=True))[:3] == [
        ("cpu0", "irq", 12322),
        ("cpu0", "thread", 12322),
        ("cpu1", "irq", 12320),
    ]
    assert told[["min_us", "mean_us", "max_us"]].head(3).to_numpy().tolist() == [[0, 1, 15], [3, 9, 31], [0, 1, 28]]
    assert told.loc[3, ["min_us", "mean_us", "max_us"]].isna().all()


def test_osnoise_hist_in_buckets_of_ten() -> None:
    recording = read_rtla(OF["rtla-osnoise-hist.txt"])
    assert counts(recording)["cpu1", "noise"] == {0: 46287, 10 * US: 8356, 30 * US: 1}
    assert set(recording.frame["high_ns"] - recording.frame["low_ns"]) == {10 * US}
    assert "taken to be 10 wide" in recording.header.notes[0]
    assert row(recording, "cpu0", "noise")[["samples", "mean_us", "max_us"]].tolist() == [55207, 1.25, 30.0]


def test_osnoise_top_is_of_periods() -> None:
    recording = read_rtla(OF["rtla-osnoise-top.txt"])
    told = row(recording, "cpu0", "noise a period")
    assert told[["samples", "mean_us", "max_us"]].tolist() == [50, 5000.0, 6000.0]
    assert recording.header.details["tasks"]["cpu0"] == {
        "runtime_ns": 45 * 10**9,
        "max_single_ns": 50 * US,
        "hw": 500,
        "nmi": 0,
        "irq": 45000,
        "softirq": 1500,
        "thread": 10,
    }


ZERO = "# RTLA osnoise histogram\n# Time unit is microseconds (us)\nIndex\nover: 0\ncount: 0\nmin: 0\navg: 0\nmax: 0\n"
NANO = "# RTLA osnoise histogram\n# Time unit is nanoseconds (ns)\nIndex   CPU-003\n7 5\nover: 0\n"


def test_rtla_without_noise_in_ns_and_without_a_summary(tmp_path: Path) -> None:
    none = read_rtla(written(tmp_path, ZERO))
    assert none.frame.empty
    assert "no samples" in none.header.caption()
    assert summary(none.frame).empty
    assert counts(read_rtla(written(tmp_path, NANO))) == {("cpu3", "noise"): {7: 5}}
    wide = read_rtla(written(tmp_path, "$ osnoise hist -b 7 -n\n" + NANO)).frame
    assert (wide["low_ns"][0], wide["high_ns"][0]) == (7, 14)


def test_the_log_of_rt_app() -> None:
    recording = of_jobs()
    rows = [list(map(int, line.split())) for line in OF["rt-app-control-0.log"].read_text().splitlines()[2:]]
    df = recording.frame
    assert len(df) == len(rows) - 1 == 24
    assert list(df["latency_ns"]) == [of[10] * US for of in rows[:-1]]
    assert list(df["start_ns"]) == [of[5] * US for of in rows[:-1]]
    assert list(df["deadline_ns"] - df["end_ns"]) == [of[7] * US for of in rows[1:]]
    assert not df["overrun"].any()
    known = recording.header.details["tasks"]["rt-app-control-0"]
    assert known == {"policy": "fifo", "priority": 20, "period_ns": 10**7}
    told = summary(df).set_index("measure")
    assert list(told.index) == ["latency", "period", "response"]
    assert list(told["policy"]) == ["fifo"] * 3


RTAPP = """\
# Policy : SCHED_OTHER priority : 0
#idx  perf  run  period  start  end  rel_st  slack c_duration  c_period  wu_lat
  0  10000  254  10055  1000  11050  215  9732  1000  10000  50
  0  10000  14000  14010  11050  25060  10278  -4060  1000  10000  0
  0  10000  254  10055  25060  35080  25000  9700  1000  10000  20
  0  10000  209  210  35080  35290  35080  0  1000  0  0
"""


def test_an_overrun_of_rt_app_and_the_phase_that_was_cut_off(tmp_path: Path) -> None:
    df = read_rtapp(written(tmp_path, RTAPP)).frame
    columns = ["job", "release_ns", "start_ns", "end_ns", "deadline_ns", "overrun"]
    assert df[columns].to_numpy().tolist() == [
        [1, 11000 * US, 11050 * US, 25060 * US, 21000 * US, True],
        [2, 25060 * US, 25060 * US, 25360 * US, 35060 * US, False],
    ]


def test_the_logs_of_several_threads_are_one_frame(tmp_path: Path) -> None:
    other = tmp_path / "rt-app-other-1.log"
    other.write_text(RTAPP)
    recording = read_rtapp(OF["rt-app-control-0.log"], other)
    assert recording.frame.groupby("task", observed=True).size().to_dict() == {
        "rt-app-control-0": 24,
        "rt-app-other-1": 2,
    }
    with pytest.raises(BadRecording, match="of that name already"):
        read_rtapp(other, other)


@pytest.mark.parametrize("name", sorted(OF))
def test_a_recording_of_each_can_be_saved_shown_and_drawn(name: str, tmp_path: Path) -> None:
    recording = reader(name)(OF[name])
    kept = load(recording.save(tmp_path / "kept"))
    assert kept.header == recording.header
    df = kept.frame
    assert isinstance(df, pd.DataFrame)
    pd.testing.assert_frame_equal(df, recording.frame)
    assert len(df.rtnb.summary()) > 0
    assert df.rtnb.plot().layout.title.text
    assert "recorded" in df.rtnb.header.caption()


@pytest.mark.parametrize("name", sorted(OF))
@pytest.mark.parametrize("read", READERS)
def test_another_tools_file_is_told(name: str, read: Callable[[Any], Recording]) -> None:
    if read is reader(name):
        return
    with pytest.raises(BadRecording) as e:
        read(OF[name])
    assert e.value.tried == f"read {OF[name]}"
    assert e.value.hint


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "content", [b"", b"\n", b"hello\n", b"\xff\xfe\0", b"{}", b"[1", b"null", b"[" * 10**5, b'{"thread": 1}']
)
def test_what_is_no_tools_file_is_told(read: Callable[[Any], Recording], content: bytes, tmp_path: Path) -> None:
    with pytest.raises(BadRecording):
        read(written(tmp_path, content))


@pytest.mark.parametrize("read", READERS)
def test_what_is_no_file_is_told(read: Callable[[Any], Recording], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", tmp_path / "none", "/dev/zero", "a\0b"):
        with pytest.raises(BadRecording):
            read(path)


@pytest.mark.parametrize("name", sorted(OF))
def test_a_file_that_is_cut_off_is_told_or_is_all_there_was_by_then(name: str, tmp_path: Path) -> None:
    """A histogram cut off never passes for a smaller one; a table or a log may end after any of its rows."""
    content = OF[name].read_text()
    whole = reader(name)(OF[name]).frame
    refused = 0
    for at in range(0, len(content) - 1, max(len(content) // 150, 1)):
        try:
            part = reader(name)(written(tmp_path, content[:at])).frame
        except BadRecording:
            refused += 1
            continue
        if "low_ns" in whole:
            assert part["count"].sum() == whole["count"].sum()
    assert refused > 20


JSON = {"cmdline": "cyclictest -h 9", "rt_test_version": "2.8", "resolution_in_ns": 0}
THREAD = {"cycles": 3, "min": 1, "avg": 1.5, "max": 4, "histogram": {"1": 2}}


@pytest.mark.parametrize(
    "changes",
    [
        {"cycles": 1},
        {"cycles": -1},
        {"cycles": 2**70},
        {"cycles": "9" * 5000},
        {"cycles": None},
        {"cycles": True},
        {"max": 2**62},
        {"avg": "x"},
        {"avg": float("inf")},
        {"avg": float("nan")},
        {"min": 1.5},
        {"histogram": []},
        {"histogram": {"-1": 1}},
        {"histogram": {"1": 2**63}},
        {"histogram": {"9" * 30: 1}},
        {"histogram": {"²": 1}},
    ],
)
def test_numbers_that_are_none_are_told(changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(BadRecording):
        read_cyclictest(written(tmp_path, json.dumps({**JSON, "thread": {"0": {**THREAD, **changes}}})))


def test_a_huge_number_in_json_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadRecording):
        read_cyclictest(written(tmp_path, '{"rt_test_version": 1, "thread": {"0": {"cycles": ' + "9" * 6000 + "}}}"))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(["cycles", "min", "avg", "max", "histogram", "cpu"])


@fuzzed
@given(
    st.dictionaries(st.sampled_from(["sysinfo", "start_time", "end_time", "cmdline", "return_code", "thread"]), values)
)
def test_no_json_does_harm(tmp_path: Path, raw: dict[str, Any]) -> None:
    harmless(read_cyclictest, written(tmp_path, json.dumps({**JSON, "thread": {"0": THREAD}, **raw})))


@fuzzed
@given(st.dictionaries(keys, values))
def test_no_thread_of_json_does_harm(tmp_path: Path, thread: dict[str, Any]) -> None:
    harmless(read_cyclictest, written(tmp_path, json.dumps({**JSON, "thread": {"0": {**THREAD, **thread}}})))


@fuzzed
@given(st.sampled_from(sorted(OF)), st.data())
def test_no_change_of_a_real_file_does_harm(tmp_path: Path, name: str, data: st.DataObject) -> None:
    content = OF[name].read_text()
    at = data.draw(st.integers(0, len(content)))
    words = st.sampled_from(["-", "\0", " 9", "9" * 25, "\n", "#", "Index", ":", "|", "{", '"', "1e9", "²", "\ud7ff"])
    inserted, cut = data.draw(words | st.text(max_size=4)), data.draw(st.integers(0, 30))
    mangled = (content[:at] + inserted + content[at + cut :]).encode("utf-8", "surrogatepass")
    harmless(reader(name), written(tmp_path, mangled))


@fuzzed
@given(st.sampled_from(READERS), st.binary(max_size=300))
def test_no_bytes_do_harm(tmp_path: Path, read: Callable[[Any], Recording], raw: bytes) -> None:
    harmless(read, written(tmp_path, raw))


def harmless(read: Callable[[Any], Recording], path: Path) -> None:
    """It is refused in words, or is a recording that can be summed up, saved and drawn."""
    try:
        recording = read(path)
        summary(recording.frame)
    except RtnbError as e:
        told = str(e)
    else:
        told = recording.header.caption()
        Header.from_json(recording.header.to_json())
    assert told


def test_importing_the_readers_loads_neither_scipy_nor_hdrh_nor_plotly() -> None:
    code = "import sys, rtnb.rt.readers, rtnb.rt.compare; print({'scipy', 'hdrh', 'plotly'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"

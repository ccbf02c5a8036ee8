# SPDX-License-Identifier: MIT
"""What did cyclictest measure? Its JSON and text as a Recording; and a run of ours as what it would have written."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from rtnb.errors import BadInput
from rtnb.recording import Recording
from rtnb.rt.latency import PERCENTILES, UNBOUNDED, histogram, summary
from rtnb.rt.readers.text import Damaged, Found, mean, reading, text, whole

__all__ = ["read_cyclictest", "to_cyclictest", "write_json"]

_TOOL = "cyclictest"
_LINE = re.compile(r"T: *(\d+) \( *\d+\) P: *(\d+) I: *(\d+) C: *(\d+) Min: *(\d+) Act: *-?\d+ Avg: *(\d+) Max: *(\d+)")
_LABELS = ("Total", "Min Latencies", "Avg Latencies", "Max Latencies", "Histogram Overflows")
_LABEL = re.compile(rf"# ({'|'.join(_LABELS)}):((?: +\d+)*) *")
_OPTION = {"p": "priority", "i": "interval", "d": "distance", "h": "histogram", "H": "histofall", "S": "smp"}


def read_cyclictest(path: str | os.PathLike[str]) -> Recording:
    """A file that `cyclictest --json` wrote, or its text, as a Recording: a task a thread, `thread 0` and so on.

    JSON and the text of -h and -H make rt.histogram, 1 us a bucket, or 1 ns with -N; what overflowed it has a row up
    to UNBOUNDED. What has no histogram makes rt.summary of count, min, mean and max. Both spellings of the JSON's
    keys are read (`"cmdline:"` of rt-tests 2.4). Of each thread priority, policy and period are in the header's
    details, where the file tells them. Text tells no unit: it is us, as without -N.

    Raises BadRecording: not cyclictest's, cut off, damaged, too large. Source: cyclictest(8).

    >>> read_cyclictest("cyclictest.json")
    recorded 2026-11-24 · rt_task cyclictest -q -m -p80 -i1000 -t2 -l 300 -h 40 --json=cycl... · kernel 6.18.44 · exit 0
    thread 0: 3 samples of latency lie above its buckets: NaN percentiles
    thread 1: 2 samples of latency lie above its buckets: NaN percentiles
    histogram: 57 rows
    """
    with reading(path, f"{_TOOL} --json, or -h, or -q"):
        content = text(path)
        made = _from_json(json.loads(content)) if content.lstrip().startswith("{") else _from_text(content)
        return made.recording(path)


def _from_json(raw: dict[str, Any]) -> Found:
    told = {key.rstrip(":"): value for key, value in raw.items()}
    threads = told.get("thread")
    if not isinstance(threads, dict) or "rt_test_version" not in told:
        raise Damaged("it is JSON, and not cyclictest's")
    version = str(told["rt_test_version"])
    found = _found(str(told.get("cmdline", _TOOL)), f"{_TOOL} {version}" if version[:1].isdigit() else version)
    unit = 1 if told.get("resolution_in_ns") else 1000
    _system(found, told)
    if told.get("num_threads", len(threads)) != len(threads):
        raise Damaged(f"it has {len(threads)} threads and says {told['num_threads']}")
    for number, thread in threads.items():
        _thread(found, whole(number, "thread"), thread, unit)
    return found


def _system(found: Found, told: Mapping[str, Any]) -> None:
    """Where and when it ran."""
    sysinfo = told.get("sysinfo")
    if isinstance(sysinfo, dict):
        found.header |= {
            to: str(sysinfo[of]) for to, of in {"kernel": "release", "machine": "machine"}.items() if of in sysinfo
        }
        found.details["sysinfo"] = {str(k): v for k, v in sysinfo.items() if isinstance(v, (str, int))}
    if type(told.get("return_code")) is int:
        found.header["exit_status"] = told["return_code"]
    with contextlib.suppress(ValueError, TypeError, OverflowError):  # a date that is none is left out
        begin, end = (parsedate_to_datetime(str(told.get(n))).astimezone(UTC) for n in ("start_time", "end_time"))
        spent = max((end - begin) // timedelta(microseconds=1), 0) * 1000
        found.header |= {"started": begin.isoformat(timespec="seconds"), "duration_ns": spent}


def _thread(found: Found, number: int, thread: Any, unit: int) -> None:
    if not isinstance(thread, dict):
        raise Damaged(f"its thread {number} is no object")
    name, cycles = f"thread {number}", whole(thread.get("cycles"), "cycles")
    found.tasks[name] = _asked(found, number) | {k: thread[k] for k in ("cpu", "node") if type(thread.get(k)) is int}
    _say(found, name, cycles, thread.get("min"), thread.get("avg"), thread.get("max"), unit)
    counts = thread.get("histogram")
    if counts is None:
        return
    if not isinstance(counts, dict):
        raise Damaged(f"the histogram of its thread {number} is no object")
    pairs = sorted((whole(at, "bucket", unit), whole(count, "count")) for at, count in counts.items())
    _buckets(found, name, pairs, unit, cycles - sum(count for _, count in pairs))


def _say(found: Found, name: str, n: int, least: Any, average: Any, most: Any, unit: int) -> None:
    """Keep what was printed; cyclictest prints a minimum even where there was no cycle."""
    if not n:
        found.printed[name] = {"latency": {"samples": 0}}
        return
    times = {
        "min_ns": whole(least, "min", unit),
        "mean_ns": mean(average, "avg", unit),
        "max_ns": whole(most, "max", unit),
    }
    found.printed[name] = {"latency": {"samples": n, **times}}


def _buckets(found: Found, name: str, pairs: list[tuple[int, int]], unit: int, over: int) -> None:
    if over < 0:
        raise Damaged(f"the histogram of {name} holds more samples than it had cycles")
    found.buckets += [(name, "latency", at, at + unit, count) for at, count in pairs if count]
    if limit := found.details.get("buckets", 0) * unit or (pairs[-1][0] + unit if pairs else 0):  # else there was no -h
        found.above(name, "latency", limit, over)


def _found(line: str, tool: str) -> Found:
    try:
        source = tuple(shlex.split(line))
    except ValueError:
        source = (line,)
    found = Found(tool, source)
    asked = _options(source)
    limit = asked.get("histogram") or asked.get("histofall") or ""
    if limit.isdigit():
        found.details["buckets"] = whole(limit, "histogram")
    return found


def _options(argv: tuple[str, ...]) -> dict[str, str]:
    """What was asked of it: -p80, -p 80, --priority=80 alike, under the long names."""
    asked = {}
    for word, after in pairwise([*argv[1:], ""]):
        long, _, value = word.removeprefix("--").partition("=")
        if word.startswith("--"):
            asked[long] = value or after
        elif word[:1] == "-" and word[1:2] in _OPTION:
            asked[_OPTION[word[1]]] = word[2:] or after
    return asked


def _asked(found: Found, number: int) -> dict[str, Any]:
    """What the command line says of a thread: under SCHED_OTHER without -p; with -h and -S all have one period."""
    asked = _options(tuple(found.source))
    made: dict[str, Any] = {}
    if not asked or not found.source[0].endswith(_TOOL):  # an export of ours has options of ours
        return made
    priority = asked.get("priority", "0")
    policy = asked.get("policy", "fifo" if priority != "0" else "other")
    together = "buckets" in found.details or "smp" in asked
    interval, distance = asked.get("interval", "1000"), asked.get("distance", "0" if together else "500")
    if priority.isdigit():
        made |= {"policy": "other" if policy == "normal" else policy, "priority": whole(priority, "priority")}
    if interval.isdigit() and distance.isdigit():
        made["period_ns"] = whole(int(interval) + number * int(distance), "interval", 1000)
    return made


def _from_text(content: str) -> Found:
    found = _found(_TOOL, _TOOL)
    lines = {int(m[1]): m for m in _LINE.finditer(content)}  # of a thread that was printed often, the last
    for number, m in sorted(lines.items()):
        priority = whole(m[2], "priority")
        period = {"period_ns": whole(m[3], "interval", 1000)}
        found.tasks[f"thread {number}"] = {"policy": "fifo" if priority else "other", "priority": priority, **period}
        _say(found, f"thread {number}", whole(m[4], "cycles"), m[5], m[6], m[7], 1000)
    if "# Histogram" in content:
        _histogram(found, content[content.index("# Histogram") :].splitlines())
    elif not lines:
        raise Damaged("it has neither a histogram of cyclictest nor its lines of threads")
    return found


def _histogram(found: Found, lines: list[str]) -> None:
    rows = [line.split() for line in lines if line[:1].isdigit()]
    said = {m[1]: m[2].split() for line in lines if (m := _LABEL.fullmatch(line))}
    if missing := set(_LABELS) - said.keys():
        raise Damaged(f"its histogram is cut off: no {min(missing)}")
    found.details["buckets"] = len(rows)
    # -H adds a column of the sum of all threads; of mean latencies there is one a thread, and no sum.
    for number in range(len(said["Avg Latencies"])):
        name = f"thread {number}"
        total, least, average, most, over = (said[k][number : number + 1] for k in _LABELS)
        try:
            pairs = [(whole(row[0], "bucket", 1000), whole(row[1 + number], "count")) for row in rows]
        except IndexError:
            raise Damaged(f"its histogram lacks columns of {name}") from None
        n = sum(count for _, count in pairs)
        if not (total and least and most and over) or n != whole(total[0], "Total"):
            raise Damaged(f"the histogram of {name} does not sum to its total")
        cycles = n + whole(over[0], "overflows")
        _say(found, name, cycles, least[0], average[0], most[0], 1000)
        _buckets(found, name, pairs, 1000, cycles - n)


def to_cyclictest(recording: Recording, *, unit: str = "us") -> dict[str, Any]:
    """What `cyclictest --json` would have written of these latencies, and "percentiles" a thread, plain JSON.

    `unit` is us, or ns as with -N. The keys are those of rt-tests' newer releases, without the colon that 2.4 has in
    two. Read back by `read_cyclictest`, it is the same histogram. A recording of several tables gives its jobs.

    Raises BadInput: a recording without latencies, or a histogram whose buckets are wider than the unit.
    Source: cyclictest(8).

    >>> to_cyclictest(run(duration="1s", cpu=1))["thread"]["0"]["percentiles"]
    {'50': 16, '90': 18, '99': 26, '99.9': 47, '99.99': 58}
    """
    if unit not in ("us", "ns"):
        raise BadInput(f"unit {unit!r}", "cyclictest counts in us, or with -N in ns")
    df = next((recording.tables[name] for name in ("jobs", "histogram") if name in recording.tables), None)
    if df is None:
        raise BadInput("export to cyclictest", "the recording has neither jobs nor a histogram")
    header, size = recording.header, 1000 if unit == "us" else 1
    counted, told = histogram(df, size, "latency"), summary(df)
    names = list(dict.fromkeys(told["task"]))
    tasks = header.details.get("tasks", {})
    if "cpu" in df:  # of our jobs; cyclictest tells the last one too
        tasks = {str(task): {"cpu": int(part.iloc[-1])} for task, part in df.groupby("task", observed=True)["cpu"]}
    threads = {str(i): _exported(name, counted, told, tasks.get(name, {}), size) for i, name in enumerate(names)}
    sysinfo = {"sysname": "Linux", "release": header.kernel, "machine": header.machine}
    return {
        "file_version": 1,
        "cmdline": shlex.join(header.source if header.engine.startswith(_TOOL) else (header.kind, *header.source)),
        "rt_test_version": header.engine.removeprefix(f"{_TOOL} "),
        **_times(header.started, header.duration_ns),
        "return_code": header.exit_status or 0,
        "sysinfo": header.details.get("sysinfo", sysinfo),
        "num_threads": len(threads),
        "resolution_in_ns": int(unit == "ns"),
        "thread": threads,
    }


def write_json(recording: Recording, path: str | os.PathLike[str]) -> Path:
    """Write what to_cyclictest() says as a file. Raises BadInput where it cannot be written, and as that does."""
    target = Path(path).expanduser()
    text = json.dumps(to_cyclictest(recording), indent=1) + "\n"
    try:
        target.write_text(text, encoding="utf-8")
    except (OSError, ValueError) as e:
        why = f"it cannot be written ({e.strerror if isinstance(e, OSError) else e})"
        raise BadInput(f"write {os.fspath(path)}", why, "choose another path") from e
    return target


def _exported(
    name: str, counted: pd.DataFrame, told: pd.DataFrame, known: Mapping[str, Any], size: int
) -> dict[str, Any]:
    """A thread of cyclictest's JSON: times in units of `size` ns, the mean alone with a point."""
    buckets = counted[(counted["task"] == name) & (counted["high_ns"] < UNBOUNDED)]
    row = told[(told["task"] == name) & (told["measure"] == "latency")].iloc[0]

    def units(us: float) -> int | None:
        return None if math.isnan(us) else round(us * 1000) // size

    return {
        "histogram": {str(low // size): int(n) for low, n in zip(buckets["low_ns"], buckets["count"], strict=True)},
        "cycles": int(row["samples"]),
        "min": units(row["min_us"]),
        "max": units(row["max_us"]),
        "avg": round(float(row["mean_us"]) * 1000 / size, 2),
        **{key: known[key] for key in ("cpu", "node") if known.get(key, -1) >= 0},
        "percentiles": {percent: units(row[column]) for column, percent in PERCENTILES.items()},
    }


def _times(started: str, duration_ns: int) -> dict[str, str]:
    begin = datetime.fromisoformat(started)
    end = begin + timedelta(microseconds=duration_ns // 1000)
    return {"start_time": format_datetime(begin), "end_time": format_datetime(end)}

# SPDX-License-Identifier: MIT
"""What did rtla measure? The text of its timerlat and osnoise, hist and top, as a Recording."""

from __future__ import annotations

import math
import os
import re
import shlex
from functools import reduce
from typing import Any

from rtnb.recording import Recording
from rtnb.rt.readers.text import Damaged, Found, mean, reading, text, whole

__all__ = ["read_rtla"]

_COMMAND = re.compile(r"(?:^|[#$] )((?:rtla +)?(?:timerlat|osnoise|hwnoise)(?: [^#\n]*)?)$", re.MULTILINE)
_DURATION = re.compile(r"(\d+) +(\d\d):(\d\d):(\d\d)")
_UNITS = {"us": 1000, "ns": 1}
_MEASURES = {"IRQ": "irq", "Thr": "thread", "Usr": "user", "CPU": "noise"}
_SUMS = ("over", "count", "min", "avg", "max")
_TOP = ("irq", "thread", "user")
_OSNOISE = ("max_single_ns", "hw", "nmi", "irq", "softirq", "thread")


def read_rtla(path: str | os.PathLike[str]) -> Recording:
    """The text that rtla wrote, as a Recording: a task a CPU, `cpu0` and so on.

    `rtla timerlat hist` and `rtla osnoise hist` make rt.histogram, with a row up to UNBOUNDED for what was over its
    entries; `top` makes rt.summary of count, min, mean and max. Measures: irq, thread and user (timerlat's
    latencies), noise (a single one), and noise a period, which is what `osnoise top` sums. A command line before the
    text is the Recording's source. The width of a bucket (-b) is not in the text: it is that of the command line
    where there is one, else the largest of which all indices are multiples, which a note says.

    Raises BadRecording: not rtla's, cut off, damaged, too large.
    Source: rtla-timerlat-hist(1), rtla-timerlat-top(1), rtla-osnoise-hist(1), rtla-osnoise-top(1).

    >>> read_rtla("rtla-timerlat-hist.txt")
    recorded 2026-11-24 · rt_task rtla timerlat hist -d 10s -c 0-1 · kernel unknown
    cpu0: 2 samples of thread lie above its buckets: NaN percentiles
    cpu1: 2 samples of thread lie above its buckets: NaN percentiles
    its date is that of the file, which names none
    histogram: 13 rows
    """
    with reading(path, "rtla timerlat or osnoise, hist or top,"):
        content = text(path)
        return _found(content).recording(path)


def _found(content: str) -> Found:
    for mark, kind, read in _FORMATS:
        if (at := content.rfind(mark)) >= 0:  # a top that nobody silenced is printed again and again: the last
            command = _COMMAND.findall(content[:at])
            source = tuple(shlex.split(command[-1])) if command else ("rtla", *kind)
            found = Found("rtla", source if source[0] == "rtla" else ("rtla", *source))
            body = content[at:]
            if spent := _DURATION.search(body):
                days, hours, minutes, seconds = (whole(part, "duration") for part in spent.groups())
                found.header["duration_ns"] = (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 10**9
            read(found, body)
            return found
    raise Damaged("it is no text of rtla")


def _hist(found: Found, body: str) -> None:
    lines = [line.split() for line in body.splitlines()]
    unit = _UNITS["ns" if "(ns)" in body.split("Index")[0] else "us"]
    titles = next((words[1:] for words in lines if words[:1] == ["Index"]), None)
    if titles is None:
        raise Damaged("its histogram is cut off: no Index")
    names = [_column(title) for title in titles]
    rows = [(whole(words[0], "index"), words[1:]) for words in lines if words and words[0].isdigit()]
    sums = _sums(lines)
    if any(len(counts) != len(names) for _, counts in rows) or (names and len(sums["over"]) != len(names)):
        raise Damaged("its histogram has rows that are cut off")
    width = _width(found, [index for index, _ in rows])
    for at, (task, measure) in enumerate(names):
        pairs = [(index * unit, whole(counts[at], "count")) for index, counts in rows]
        size = width * unit
        found.buckets += [(task, measure, low, low + size, count) for low, count in pairs if count]
        over = whole(sums["over"][at], "over")
        found.above(task, measure, max((low for low, _ in pairs), default=0) + size, over)
        _say(found, task, measure, {name: of[at : at + 1] for name, of in sums.items()}, unit)
        said = found.printed[task][measure].get("samples")
        if said not in (None, over + sum(count for _, count in pairs)):
            raise Damaged(f"the {measure} of {task} does not sum to its count")
    if not found.buckets:
        found.notes.append("no samples: none was above the threshold")


def _column(title: str) -> tuple[str, str]:
    kind, _, cpu = title.partition("-")
    if kind not in _MEASURES:
        raise Damaged(f"its column {title[:40]!r} is not known")
    return f"cpu{whole(cpu, 'CPU')}", _MEASURES[kind]


def _sums(lines: list[list[str]]) -> dict[str, list[str]]:
    """The last lines: over, and unless --no-summary count, min, avg and max; not those below ALL."""
    sums: dict[str, list[str]] = {}
    for label, *values in filter(None, lines):
        if label[-1] == ":" and label[:-1] in _SUMS:
            sums.setdefault(label[:-1], values)
    if "over" not in sums:
        raise Damaged("its histogram is cut off: no line of what is over")
    if "count" in sums and "max" not in sums:
        raise Damaged("its summary is cut off: no line of the largest")
    return sums


def _width(found: Found, indices: list[int]) -> int:
    """How many units a bucket spans."""
    asked = re.search(r"(?:-b|--bucket-size)[ =]?(\d+)", shlex.join(found.source))
    if asked:
        return max(whole(asked[1], "bucket size"), 1)
    width = reduce(math.gcd, indices, 0) or 1
    if width > 1:
        found.notes.append(f"its buckets are taken to be {width} wide, since all indices are multiples of that")
    return width


def _say(found: Found, task: str, measure: str, said: dict[str, list[str]], unit: int) -> None:
    """Keep what was printed of a CPU; a dash is none."""
    made: dict[str, float] = {}
    if said.get("count"):
        made["samples"] = whole(said["count"][0], "count")
    for name, to in (("min", "min_ns"), ("avg", "mean_ns"), ("max", "max_ns")):
        if (values := said.get(name)) and values[0] != "-":
            made[to] = mean(values[0], name, unit)
    found.printed.setdefault(task, {})[measure] = made


def _timerlat_top(found: Found, body: str) -> None:
    unit = _UNITS["ns" if "(ns)" in body else "us"]
    for cpu, rest in _cpus(body):
        parts = [part.split() for part in rest.split("|")]
        for measure, values in zip(_TOP, parts[1:], strict=False):
            if len(values) < 4:
                raise Damaged(f"the line of CPU {cpu} is cut off")
            said = {"count": parts[0], **{name: [values[at]] for at, name in ((1, "min"), (2, "avg"), (3, "max"))}}
            _say(found, f"cpu{cpu}", measure, said, unit)


def _osnoise_top(found: Found, body: str) -> None:
    for cpu, rest in _cpus(body):
        values = rest.split()
        if len(values) < 8:
            raise Damaged(f"the line of CPU {cpu} is cut off")
        periods, runtime, noise, _, most = values[:5]
        n = whole(periods, "Period")
        told = {
            "samples": n,
            "mean_ns": whole(noise, "Noise", 1000) / max(n, 1),
            "max_ns": whole(most, "Max Noise", 1000),
        }
        found.printed[f"cpu{cpu}"] = {"noise a period": told}
        counts: dict[str, Any] = {name: whole(of, name) for name, of in zip(_OSNOISE, values[5:], strict=False)}
        counts["max_single_ns"] *= 1000
        found.tasks[f"cpu{cpu}"] = {"runtime_ns": whole(runtime, "Runtime", 1000), **counts}


def _cpus(body: str) -> list[tuple[int, str]]:
    """The lines of CPUs: number, and what stands after the # of its count."""
    lines = re.findall(r"^ *(\d+) #(\d+.*)$", body, re.MULTILINE)
    if not lines:
        raise Damaged("its table is cut off: it has no line of a CPU")
    return [(whole(cpu, "CPU"), rest) for cpu, rest in lines]


_FORMATS = (
    ("# RTLA timerlat histogram", ("timerlat", "hist"), _hist),
    ("# RTLA osnoise histogram", ("osnoise", "hist"), _hist),
    ("IRQ Timer Latency", ("timerlat", "top"), _timerlat_top),
    ("Operating System Noise", ("osnoise", "top"), _osnoise_top),
    ("Hardware-related Noise", ("hwnoise",), _osnoise_top),
)

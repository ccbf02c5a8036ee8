# SPDX-License-Identifier: MIT
"""On a machine that does not run Linux recordings are read, and everything else says why it is not there.

Simulated: the platform's name is another's, and what Linux alone has of the standard library is taken away.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

DATA = Path(__file__).parents[2] / "data"

ELSEWHERE = """
import contextlib, ctypes, io, json, os, sys
import numpy, pandas, pyarrow.parquet, plotly.graph_objects, multiprocessing, subprocess, tempfile

sys.platform, machine = sys.argv[1], "x86_64"  # an Intel Mac, whose name of the machine is Linux's too
import platform
platform.machine = lambda: machine
for name in ("resource", "fcntl", "termios", "pwd", "grp"):
    sys.modules[name] = None
for name in ("pidfd_open", "memfd_create", "sched_getaffinity", "sched_getscheduler", "listxattr", "O_PATH"):
    delattr(os, name)
loaded = ctypes.CDLL

def CDLL(name, *args, **keywords):
    if name is None:
        raise TypeError("bad argument type for built-in operation")  # what Windows says
    return loaded(name, *args, **keywords)

ctypes.CDLL = CDLL

import rtnb
from rtnb.abi.syscall import NUMBERS, syscall

def told(call):
    try:
        call()
    except Exception as e:
        return [type(e).__name__, str(e)]
    return "it went well"

def count():
    with rtnb.perf.counting("page-faults"):
        pass

found = {"numbers": len(NUMBERS), "read": {}}
for path in sys.argv[2:]:
    recording = rtnb.load(path)
    for df in recording.tables.values():
        found["read"][recording.header.kind] = [len(df.rtnb.summary()), type(df.rtnb.plot()).__name__]
found["doctor"] = rtnb.caps.doctor()[["verdict", "why"]].to_numpy().tolist()
found["capabilities"] = len(rtnb.caps.CAPABILITIES)
found["told"] = {
    "strace": told(lambda: rtnb.strace.run("true", trace="openat")),
    "perf": told(lambda: rtnb.perf.stat("true")),
    "counting": told(count),
    "bpf": told(lambda: rtnb.bpf.run("int x;", pid=1, command="true")),
    "rt": told(lambda: rtnb.rt.run(cpu=-1)),
    "require": told(lambda: rtnb.caps.require("core.run")),
}
found["fallback"] = rtnb.live_or(lambda: rtnb.strace.run("true"), sys.argv[2]).header.caption()
found["syscall"] = told(lambda: syscall("getpid"))
print(json.dumps(found))
"""


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_recordings_are_read_and_the_rest_says_why(platform: str) -> None:
    recordings = sorted(map(str, DATA.glob("00-*")))
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, platform, *recordings], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["numbers"] == 0
    assert sorted(found["read"]) == ["bpf", "perf_stat", "rt_task", "strace"]
    assert all(rows > 0 and shown == "Figure" for rows, shown in found["read"].values())
    assert found["doctor"] == [["no", "this machine does not run Linux"]] * found["capabilities"]
    for what, (error, sentence) in found["told"].items():
        assert error == "NotSupported", (what, sentence)
        assert ": this machine does not run Linux\nhint: " in sentence
    assert "not live because strace: this machine does not run Linux" in found["fallback"]
    assert found["syscall"][0] == "OSError"

# SPDX-License-Identifier: MIT
"""What of a periodic task needs no kernel: its arguments."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import rtnb
from rtnb import rt
from rtnb.errors import BadInput


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"policy": "fiffo"}, "did you mean fifo?"),
        ({"policy": "ext"}, "one of fifo, rr, deadline, other, batch, idle"),
        ({"policy": "other", "runtime": "1ms"}, "a task under other has none"),
        ({"threads": 65}, "1 to 64 tasks"),
        ({"load": "busy"}, "busy of what?"),
        ({"late": "skp"}, "did you mean skip?"),
        ({"keep": 0}, "1 to 10,000,000 jobs"),
        ({"priority": 0}, "under fifo it is 1 (lowest) to 99"),
        ({"policy": "rr", "priority": 100}, "under rr it is 1 (lowest) to 99"),
        ({"policy": "other", "priority": 5}, "a task under other has none"),
        ({"period": "1"}, "not a duration"),
        ({"period": "fast"}, "not a duration"),
        ({"period": "0ms"}, "above zero"),
        ({"duration": "-1s"}, "not a duration"),
        ({"period": "9us"}, "below 10 us"),
        ({"period": "2s", "duration": "1s"}, "shorter than one period of 2s"),
        ({"duration": "25h", "period": "1s"}, "longer than 24h"),
        ({"cpu": -1}, "there is no such CPU"),
    ],
)
def test_a_bad_argument_is_told(asked: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput) as e:
        rt.run(**asked)  # type: ignore[arg-type]
    assert said in str(e.value)
    assert any(str(value) in e.value.tried for value in asked.values())


def test_without_the_core_it_says_so(tmp_path: Path) -> None:
    source = Path(rtnb.__file__).parent
    shutil.copytree(source, tmp_path / "rtnb", ignore=shutil.ignore_patterns("rtnb-core", "__pycache__"))
    code = """
from rtnb import caps, errors, rt
try:
    rt.run()
except errors.NotSupported as e:
    print(e)
print(caps.ask("rt.fifo").verdict)
"""
    done = subprocess.run([sys.executable, "-Bc", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    first, hint, fifo = done.stdout.splitlines()
    assert first.startswith("run periodic tasks: rtnb was installed without its C core")
    assert hint.startswith("hint: install a C compiler")
    assert fifo == "no"

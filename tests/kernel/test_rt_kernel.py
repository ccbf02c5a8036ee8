# SPDX-License-Identifier: MIT
"""What is said of the kernel is what its files say; what cannot be read is told as such; nobody may ask too."""

from __future__ import annotations

import json
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rtnb.abi.capability import effective
from rtnb.abi.time import CLOCKS
from rtnb.caps.kconfig import kconfig
from rtnb.errors import BadInput
from rtnb.rt.kernel import (
    _booted,
    _built,
    _in_force,
    _share,
    clock_steps,
    kernel,
    preemption,
    realtime,
    resolutions,
    steal,
    tick_hz,
)
from rtnb.schema import as_declared

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="no Linux")
can_drop = pytest.mark.skipif("CAP_SETUID" not in effective(), reason="without CAP_SETUID no privilege is dropped")


@pytest.fixture(scope="module")
def df() -> pd.DataFrame:
    return kernel()


@pytest.fixture(scope="module")
def values(df: pd.DataFrame) -> dict[str, str]:
    return dict(zip(df["name"], df["value"], strict=True))


def test_each_fact_has_a_value_and_says_what_it_means(df: pd.DataFrame) -> None:
    assert as_declared(df, "rt.kernel")
    assert df["name"].is_unique
    assert len(df) == 22
    assert (df["value"].str.len() > 0).all()
    assert (df["meaning"].str.len() > 20).all()


def test_they_are_what_the_system_says(values: dict[str, str]) -> None:
    runtime, period = (int(Path(f"/proc/sys/kernel/sched_rt_{name}_us").read_text()) for name in ("runtime", "period"))
    source = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource").read_text().strip()
    assert values["release"] == platform.release()
    assert values["clock source"].startswith(f"{source} (of ")
    assert values["isolated CPUs"] == (Path("/sys/devices/system/cpu/isolated").read_text().strip() or "none")
    assert (values["real-time throttling"] == "off") == (runtime < 0)
    if (runtime, period) == (950_000, 1_000_000):
        assert values["real-time throttling"] == "950 ms in 1 s"
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    assert ("unlimited" in values["RLIMIT_MEMLOCK"]) == (resource.RLIM_INFINITY in (soft, hard))
    assert (values["PREEMPT_RT"] == "yes") == realtime() == ("PREEMPT_RT" in platform.version())


def test_the_tick_is_the_one_that_was_configured(values: dict[str, str]) -> None:
    try:
        configured = kconfig()["HZ"]
    except OSError as e:
        pytest.skip(str(e))
    assert tick_hz() == int(configured)
    assert values["tick"] == f"{configured} Hz"
    assert (values["high-resolution timers"] == "yes") == (kconfig().get("HIGH_RES_TIMERS") == "y")


def test_a_clock_is_as_fine_as_it_says() -> None:
    found = resolutions()
    assert set(found) <= set(CLOCKS)
    for name in ("CLOCK_REALTIME", "CLOCK_MONOTONIC", "CLOCK_BOOTTIME"):
        assert found[name] == round(time.clock_getres(getattr(time, name)) * 1e9)
    assert found["CLOCK_MONOTONIC_COARSE"] == pytest.approx(1e9 / tick_hz(), rel=1e-3)


def test_a_step_of_the_clock_is_no_longer_than_a_reading() -> None:
    cost, step = clock_steps()
    assert 0 < step <= cost
    with pytest.raises(BadInput):
        clock_steps(1)


def test_steal_is_a_share() -> None:
    got = steal("50ms")
    assert 0 <= got.now <= 1
    assert 0 <= got.since_boot <= 1
    assert got.ns == 50_000_000
    assert _share(np.array([1, 0, 1, 5, 0, 0, 0, 3])) == 0.3
    assert _share(np.zeros(8, dtype="int64")) == 0.0


def test_preemption_is_told_with_how_it_is_known() -> None:
    model, why = preemption()
    assert model in ("none", "voluntary", "full", "lazy", "PREEMPT_RT", "cannot tell")
    if "PREEMPT_DYNAMIC" in platform.version() and not os.access("/sys/kernel/debug/sched/preempt", os.R_OK):
        assert "whether root has switched it since cannot be told: /sys/kernel/debug/sched/preempt" in why


@pytest.mark.parametrize(
    ("cmdline", "built", "model", "why"),
    [
        ("quiet", {"PREEMPT_NONE": "y"}, "none", "not booted with preempt="),
        ("quiet", {"PREEMPT": "y", "PREEMPT_BUILD": "y"}, "full", "configured so"),
        ("quiet", {"PREEMPT_LAZY": "y"}, "lazy", "configured so"),
        ("quiet preempt=full", {"PREEMPT_VOLUNTARY": "y"}, "full", "booted with preempt=full"),
        ("preempt=full preempt=none", {}, "none", "booted with preempt=none"),
        ("preempt=soon", {"PREEMPT_VOLUNTARY": "y"}, "voluntary", "configured so"),
        ("quiet", {}, "cannot tell", "it can be any"),
    ],
)
def test_a_kernel_that_switches_has_what_it_booted_with(
    cmdline: str, built: dict[str, str], model: str, why: str
) -> None:
    got = _booted(cmdline, built)
    assert got.model == model
    assert why in got.why


@pytest.mark.parametrize(
    ("version", "built", "model", "why"),
    [
        ("#1 SMP @0", {"PREEMPT_VOLUNTARY": "y"}, "voluntary", "configured so"),
        ("#1 SMP @0", {}, "cannot tell", "none or voluntary"),
        ("#1 SMP PREEMPT @0", {"PREEMPT_LAZY": "y"}, "lazy", "configured so"),
        ("#1 SMP PREEMPT @0", {}, "cannot tell", "full or lazy"),
    ],
)
def test_a_kernel_that_does_not_has_what_it_was_built_with(
    version: str, built: dict[str, str], model: str, why: str
) -> None:
    got = _built(version, built)
    assert got.model == model
    assert why in got.why


def test_debugfs_marks_the_model_in_force() -> None:
    assert _in_force("none voluntary (full) lazy")[0] == "full"
    assert _in_force("?")[0] == "cannot tell"


def test_kconfig_holds_what_is_on() -> None:
    try:
        options = kconfig()
    except OSError as e:
        pytest.skip(str(e))
    assert options["HZ"].isdecimal()
    assert "n" not in options.values()
    assert all(re.fullmatch(r"\w+", name) for name in options)


@can_drop
def test_nobody_is_told_what_cannot_be_read_and_why() -> None:
    setpriv = shutil.which("setpriv") or pytest.skip("no setpriv (util-linux)")
    program = "from rtnb.rt.kernel import kernel; print(kernel().to_json(orient='records'))"
    argv = [setpriv, "--reuid=nobody", "--regid=nogroup", "--clear-groups", sys.executable, "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert len(rows) == 22
    assert rows["release"]["value"] == platform.release()
    device = Path("/dev/cpu_dma_latency")
    if device.exists() and not device.stat().st_mode & 0o004:
        assert rows["cpu_dma_latency"]["value"] == "cannot tell"
        assert rows["cpu_dma_latency"]["meaning"].startswith("/dev/cpu_dma_latency: only root may read it; ")

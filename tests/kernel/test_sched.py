# SPDX-License-Identifier: MIT
"""What the kernel says of a task's scheduling is what chrt, taskset and /proc say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rtnb import sched
from rtnb.abi import capability
from rtnb.errors import NoSuchTask


@contextmanager
def asleep(*before: str) -> Iterator[int]:
    """The pid of a `sleep` that runs under what the words before it set; it has set it once it is `sleep`."""
    with subprocess.Popen([*before, "sleep", "60"]) as child:
        try:
            while Path(f"/proc/{child.pid}/comm").read_text() != "sleep\n":
                assert child.poll() is None
            yield child.pid
        finally:
            child.kill()


def test_this_thread_is_as_os_says() -> None:
    spec = sched.of()
    assert (spec.policy, spec.priority) == ("other", 0)
    assert spec.nice == os.getpriority(os.PRIO_PROCESS, 0)
    assert spec.cpus == os.sched_getaffinity(0)
    assert str(spec).startswith("SCHED_OTHER nice ")


@pytest.mark.parametrize("policy", ["other", "batch", "idle"])
def test_a_child_is_as_chrt_set_it(policy: str) -> None:
    with asleep("nice", "-n", "7", "chrt", f"--{policy}", "0") as pid:
        assert sched.of(pid) == sched.Spec(policy, 0, 7, frozenset(os.sched_getaffinity(0)))


@pytest.mark.needs("rt.fifo")
@pytest.mark.parametrize("policy", ["fifo", "rr"])
def test_a_real_time_child_is_as_chrt_set_it_and_says(policy: str) -> None:
    cpu = max(os.sched_getaffinity(0))
    with asleep("taskset", "-c", str(cpu), "chrt", f"--{policy}", "23") as pid:
        spec = sched.of(pid)
        said = subprocess.run(["chrt", "-p", str(pid)], capture_output=True, text=True, check=True).stdout
    assert (spec.policy, spec.priority, spec.cpus) == (policy, 23, {cpu})
    assert re.findall(r": (\w+)$", said, re.M) == [f"SCHED_{policy.upper()}", "23"]


def test_a_task_that_is_gone_is_told() -> None:
    with subprocess.Popen(["true"]) as child:
        pass
    for tid in (child.pid, -1, 2**40):
        with pytest.raises(NoSuchTask, match=f"task {tid}: it does not exist"):
            sched.of(tid)


def test_effective_capabilities_are_those_of_proc() -> None:
    bits = int(re.findall(r"CapEff:\s*(\w+)", Path("/proc/self/status").read_text())[0], 16)
    assert capability.effective() == {name for bit, name in capability.NAMES.items() if bits >> bit & 1}


@pytest.mark.skipif("CAP_SETUID" not in capability.effective(), reason="without CAP_SETUID no privilege is dropped")
def test_effective_capabilities_of_another() -> None:
    setpriv = shutil.which("setpriv") or pytest.skip("no setpriv (util-linux)")
    nobody = [setpriv, "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    with asleep(*nobody) as pid:
        assert capability.effective(pid) == frozenset()
    with asleep(*nobody, "--inh-caps=-all,+kill", "--ambient-caps=-all,+kill") as pid:
        assert capability.effective(pid) == {"CAP_KILL"}

# SPDX-License-Identifier: MIT
"""What decides? The facts of a task, of the caller and of the system that the kernel's checks compare."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from rtnb.abi.capability import NAMES, effective
from rtnb.caps.rt import foreign_namespace, group, unified_group
from rtnb.sched.spec import Spec
from rtnb.sched.task import AFFINITY, NICE, POLICY, Stat, State, attributes, stat

__all__ = ["Caller", "Facts", "Refusal", "Task", "cpu_set", "look", "online", "setting", "upwards", "whole_domain"]


class Refusal(NamedTuple):
    """What a check answers: the errno's name ("": it cannot be told), the sentence that decides, a remedy."""

    errno: str
    why: str
    remedy: str = ""


@dataclass(frozen=True)
class Task:
    """The task that shall change, as it is: or as it would be, once the first steps are done."""

    state: State
    stat: Stat
    uids: frozenset[int]
    """Its real and effective user."""
    permitted: frozenset[str]
    rtprio: int
    """RLIMIT_RTPRIO of its process."""
    nice_limit: int
    """RLIMIT_NICE of its process: it may go down to nice 20 less that."""
    namespace: str
    """Its user namespace; "" where that may not be known."""

    @property
    def lowest_nice(self) -> int:
        """The nice value down to which its process may go."""
        return 20 - self.nice_limit


@dataclass(frozen=True)
class Caller:
    """The thread that asks."""

    tid: int
    euid: int
    permitted: frozenset[str]
    capable: bool
    """Whether it has CAP_SYS_NICE where the initial user namespace is asked."""
    held: bool
    """Whether it has CAP_SYS_NICE in its own user namespace."""
    namespace: str

    def over(self, task: Task) -> bool:
        """Has it CAP_SYS_NICE over this task? In a user namespace, over those of that namespace."""
        return self.capable or (self.held and self.namespace == task.namespace != "")


@dataclass(frozen=True)
class Facts:
    """What the checks compare. What few of them ask is looked up when it is asked."""

    task: Task
    caller: Caller

    @cached_property
    def cpus(self) -> frozenset[int]:
        """The CPUs that the task's cpuset allows and that are online."""
        return cpu_set(self.task.state.tid) & online()

    def after(self, step: str, spec: Spec) -> Facts:
        """The facts once the step has been done."""
        state = self.task.state
        if step == AFFINITY:
            state = replace(state, cpus=(spec.cpus or frozenset()) & self.cpus)
        elif step == POLICY:
            attr = attributes(spec, state.nice)
            state = replace(state, attr=attr, nice=attr.nice if spec.policy in ("other", "batch") else state.nice)
        elif step == NICE:
            state = replace(state, nice=spec.nice or 0)
        return replace(self, task=replace(self.task, state=state))


def look(tid: int) -> Facts:
    """The facts of the task `tid`, and of the calling thread. Raises OSError where the task is gone."""
    words = _status(tid)
    limits = _limits(tid)
    task = Task(
        State.read(tid),
        stat(f"/proc/{tid}"),
        frozenset(int(uid) for uid in words["Uid"].split()[:2]),
        _names(words["CapPrm"]),
        limits["Max realtime priority"],
        limits["Max nice priority"],
        _namespace(tid),
    )
    own = threading.get_native_id()
    held = "CAP_SYS_NICE" in effective(own)
    capable = held and foreign_namespace() is None
    return Facts(task, Caller(own, os.geteuid(), _names(_status(own)["CapPrm"]), capable, held, _namespace(own)))


def _status(tid: int) -> dict[str, str]:
    text = Path(f"/proc/{tid}/status").read_text(encoding="utf-8", errors="replace")
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def _names(mask: str) -> frozenset[str]:
    return frozenset(NAMES.get(bit, f"CAP_{bit}") for bit in range(64) if int(mask, 16) >> bit & 1)


def _limits(tid: int) -> dict[str, int]:
    """Soft limits, as proc_pid_limits(5) shows them of any process."""
    lines = Path(f"/proc/{tid}/limits").read_text(encoding="ascii").splitlines()[1:]
    soft = {line[:25].strip(): line[25:].split()[0] for line in lines}
    return {name: 2**64 - 1 if value == "unlimited" else int(value) for name, value in soft.items()}


def _namespace(tid: int) -> str:
    try:
        return os.readlink(f"/proc/{tid}/ns/user")
    except PermissionError:
        return ""


def setting(name: str, folder: str = "/proc/sys/kernel") -> int:
    """A number that the system is set to. Raises OSError where this kernel has no such setting."""
    return int(Path(folder, name).read_text(encoding="ascii"))


def online() -> frozenset[int]:
    """The CPUs that are online."""
    return _listed(Path("/sys/devices/system/cpu/online"))


def cpu_set(tid: int) -> frozenset[int]:
    """The CPUs that the task's cpuset allows (cpuset(7), version 1 and 2); all, where no such file can be seen."""
    folder = group("cpuset", tid)
    if folder and (found := folder / "cpuset.effective_cpus").is_file():
        return _listed(found)
    for folder in upwards(unified_group(tid)):  # of a group without the controller, the nearest above it counts
        if (found := folder / "cpuset.cpus.effective").is_file():
            return _listed(found)
    return online()


def whole_domain() -> frozenset[int] | None:
    """The CPUs of the one root domain; None where there may be several, and no file says which CPUs each has.

    They are several where CPUs are isolated, or cpusets do without balancing between them (cpuset(7)).
    """
    if Path("/sys/devices/system/cpu/isolated").read_text(encoding="ascii").strip():
        return None
    first = _top(group("cpuset"), "cpuset.sched_load_balance")
    if first and (first / "cpuset.sched_load_balance").read_text(encoding="ascii").strip() == "0":
        return None
    first = _top(unified_group(), "cgroup.procs")
    if first and (first / "cgroup.type").exists():  # the root has none: this is a container's part of the tree
        return None
    if first and (found := first / "cpuset.cpus.effective").is_file() and _listed(found) != online():
        return None
    return online()


def _top(folder: Path | None, name: str) -> Path | None:
    """The highest group above `folder` that has a file of this name."""
    return next((above for above in reversed(upwards(folder)) if (above / name).is_file()), None)


def upwards(folder: Path | None) -> list[Path]:
    """A group and those above it."""
    return [folder, *folder.parents] if folder else []


def _listed(path: Path) -> frozenset[int]:
    """A file's list of CPUs, such as 0-2,5."""
    parts = [part.split("-") for part in path.read_text(encoding="ascii").strip().split(",") if part]
    return frozenset(cpu for part in parts for cpu in range(int(part[0]), int(part[-1]) + 1))

# SPDX-License-Identifier: MIT
"""Where is a program attached? Where its SEC() says; what libbpf cannot do here is done by perf_event_open(2).

tp/category/name       by the tracepoint's number, from tracefs: a mount of our own where there is none
perf_event             99 times a second on each online CPU
uprobe/, uretprobe/    by libbpf; in one process alone where pid= asks for it
anything else          by libbpf
"""

from __future__ import annotations

import errno
import os
import re

from rtnb import caps
from rtnb.abi import bpf as abi
from rtnb.abi import perf_event
from rtnb.abi.mount import tracefs
from rtnb.bpf import libbpf, refusals
from rtnb.errors import BadInput, closest

__all__ = ["SAMPLES_A_SECOND", "attach"]

SAMPLES_A_SECOND = 99
"""Not 100: in step with no timer of the kernel's."""

_TRACEPOINT = re.compile(r"(?:tp|tracepoint)/(?P<category>[^/]+)/(?P<name>[^/]+)")
_UPROBE = re.compile(r"u(?P<ret>ret)?probe/(?P<path>.+):(?P<function>\w[\w.@]*)(?:\+(?P<offset>\w+))?")
_NOT_TRACING = re.compile(
    r"(?P<kind>xdp|tc|tcx|classifier|action|socket|cgroup|sk_|sockops|lwt|iter|struct_ops|syscall|freplace)"
)


def attach(opened: libbpf.Object, program: libbpf.ProgramHandle, pid: int = 0) -> None:
    """Attach one program. Raises BadInput, NotPermitted, NotSupported."""
    section = program.section
    if found := _NOT_TRACING.match(section):
        raise BadInput(_tried(program), f"{found['kind']} programs are not attached here", refusals.KINDS)
    try:
        if found := _TRACEPOINT.fullmatch(section):
            _tracepoint(opened, program, found["category"], found["name"])
        elif section == "perf_event":
            _samples(opened, program)
        elif pid and (found := _UPROBE.fullmatch(section)):
            path, function, offset = found["path"], found["function"], int(found["offset"] or "0", 0)
            opened.attach_uprobe(program, path, function, offset, pid=pid, retprobe=bool(found["ret"]))
        else:
            opened.attach(program)
    except libbpf.Refusal as e:
        raise refusals.attaching(e, program) from e


def _tried(program: libbpf.ProgramHandle) -> str:
    return f'attach {program.name} SEC("{program.section}")'


def _tracepoint(opened: libbpf.Object, program: libbpf.ProgramHandle, category: str, name: str) -> None:
    try:
        _give(opened, program, abi.tracepoint_open(_number(program, category, name)))
    except libbpf.Refusal:
        raise
    except OSError as e:
        raise caps.refused("bpf.tracepoint", _tried(program), e) from e


def _number(program: libbpf.ProgramHandle, category: str, name: str) -> int:
    """The tracepoint's number. Raises BadInput with the closest names."""
    with tracefs() as (folder, _):
        path = f"events/{category}/{name}/id"
        try:
            with open(path, opener=lambda p, flags: os.open(p, flags, dir_fd=folder)) as file:
                return int(file.read())
        except FileNotFoundError as e:
            known = [f"{c}/{n}" for c in _listed(folder, "events") for n in _listed(folder, f"events/{c}")]
            hint = closest(f"{category}/{name}", known) or f"perf list tracepoint shows all {len(known)}"
            raise BadInput(_tried(program), "this kernel has no such tracepoint", hint) from e


def _listed(folder: int, path: str) -> list[str]:
    """The directories in a directory of tracefs."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
    try:
        with os.scandir(fd) as entries:
            return [entry.name for entry in entries if entry.is_dir()]
    finally:
        os.close(fd)


def _samples(opened: libbpf.Object, program: libbpf.ProgramHandle) -> None:
    software, clock = perf_event.PERF_TYPE_SOFTWARE, perf_event.PERF_COUNT_SW_CPU_CLOCK
    for cpu in range(os.cpu_count() or 1):
        try:
            fd = perf_event.perf_event_open(software, clock, "freq", pid=-1, cpu=cpu, sample_period=SAMPLES_A_SECOND)
        except OSError as e:
            if e.errno == errno.ENODEV:  # this CPU is offline
                continue
            raise caps.refused("perf.system", _tried(program), e) from e
        _give(opened, program, fd)


def _give(opened: libbpf.Object, program: libbpf.ProgramHandle, fd: int) -> None:
    try:
        opened.attach_perf_event(program, fd)
    except BaseException:
        os.close(fd)
        raise

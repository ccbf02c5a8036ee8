# SPDX-License-Identifier: MIT
"""Which error is it, where libbpf or the kernel refused? A name that does not exist, the verifier, or a right."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence

from rtnb import caps
from rtnb.bpf import kernel
from rtnb.bpf.libbpf import ProgramHandle, Refusal
from rtnb.bpf.verifier import verdict
from rtnb.errors import BadInput, NotSupported, RtnbError, VerifierError, closest

__all__ = ["KINDS", "attaching", "loading", "opening"]

KINDS = "what can be attached: raw_tp/, tp_btf/, tp/, uprobe/, usdt/, kprobe/, fentry/, perf_event"

_NO_SUCH = "this kernel has no such tracepoint"
_NO_BTF_ID = re.compile(r"failed to find kernel BTF type ID of '(?P<name>\w+)'")
_FAILED = re.compile(r"prog '(?P<name>\w+)': (?:BPF program load failed|failed to|missing)")
_NO_MAP = re.compile(r"map '(?P<name>[\w.]+)': failed to create: (?P<why>[^(\n]*)")
_TRAMPOLINE = re.compile(r"(fentry|fexit|fmod_ret|lsm)[./]")


def opening(refusal: Refusal) -> RtnbError:
    """The error for an object that libbpf could not even open: a map whose definition means nothing."""
    return BadInput("open the compiled cell", _said(refusal), "compare with the example that %%bpf? shows")


def loading(refusal: Refusal, source: str, programs: Sequence[ProgramHandle]) -> RtnbError:
    """The error for a load that failed: an unknown name, a map, the verifier, or the kernel as a whole."""
    found = _FAILED.search(refusal.log)
    program = next((p for p in programs if found and p.name == found["name"]), None)
    tried = f'load {program.name} SEC("{program.section}")' if program else "load the cell"
    refused = refusal.errno in (errno.EPERM, errno.ENOSYS)
    if (unknown := _NO_BTF_ID.search(refusal.log)) and program:
        return _no_target(tried, unknown["name"], program.section)
    if (bad := _NO_MAP.search(refusal.log)) and not refused:
        hint = "compare its type, key, value and max_entries with man 2 bpf; a ring buffer's size is a power of two"
        return BadInput(f"create map {bad['name']}", f"the kernel refuses its definition ({bad['why']})", hint)
    if program and refusal.verifier and not refused:
        found_by = verdict(refusal.verifier, source)
        return VerifierError(tried, str(found_by), found_by.hint, refusal.verifier)
    if program and _TRAMPOLINE.match(program.section):
        return caps.refused("bpf.fentry", tried, refusal)
    if refused or refusal.errno == errno.EACCES:
        return caps.refused("bpf.load", tried, refusal)
    return BadInput(tried, _said(refusal), KINDS)


def attaching(refusal: Refusal, program: ProgramHandle) -> RtnbError:
    """The error for a program that was loaded and could not be attached."""
    tried, section = f'attach {program.name} SEC("{program.section}")', program.section
    if section.startswith(("raw_tp", "raw_tracepoint")) and refusal.errno in (errno.ENOENT, errno.EINVAL):
        known = kernel.running().raw_tracepoints()
        return BadInput(tried, _NO_SUCH, closest(section.partition("/")[2], known))
    if section.startswith(("kprobe", "kretprobe", "ksyscall", "kretsyscall")):
        return caps.refused("bpf.kprobe", tried, refusal)
    if refusal.errno in (errno.EPERM, errno.EACCES):
        return caps.refused("bpf.uprobe" if "probe" in section else "bpf.raw_tp", tried, refusal)
    if section.startswith(("uprobe", "uretprobe", "usdt")):
        return BadInput(tried, _said(refusal), 'write: SEC("uprobe//path/to/program:function")')
    if refusal.errno == errno.EOPNOTSUPP:
        return BadInput(tried, "its SEC() does not say where", 'for example: SEC("raw_tp/sys_enter")')
    return NotSupported(tried, _said(refusal))


def _no_target(tried: str, name: str, section: str) -> BadInput:
    types = kernel.running()
    if section.startswith("tp_btf"):
        return BadInput(tried, _NO_SUCH, closest(name.removeprefix("btf_trace_"), types.raw_tracepoints()))
    return BadInput(tried, f"this kernel has no function {name}", closest(name, types.functions()))


def _said(refusal: Refusal) -> str:
    """The first line of what libbpf printed, without its prefix."""
    lines = [line.removeprefix("libbpf: ") for line in refusal.log.split("\n") if line.strip()]
    return lines[0] if lines else (refusal.strerror or "libbpf failed and said nothing")

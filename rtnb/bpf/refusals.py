# SPDX-License-Identifier: MIT
"""Why did the kernel, or libbpf, refuse the program? The lines that matter, against the cell's own lines.

The verifier tells the story of the path it walked; the last thing it says is why it stopped, and the last source
line that it printed is where.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence

from rtnb import caps
from rtnb.bpf import kernel
from rtnb.bpf.libbpf import ProgramHandle, Refusal
from rtnb.errors import BadInput, NotSupported, RtnbError, VerifierError, closest

__all__ = ["attaching", "loading", "opening", "verdict"]

_AT = re.compile(r"^; (?P<text>.*?)(?: @ (?P<file>[^ ]+):(?P<line>\d+))?$", re.M)
_NO_BTF_ID = re.compile(r"failed to find kernel BTF type ID of '(?P<name>\w+)'")
_FAILED = re.compile(r"prog '(?P<name>\w+)': (?:BPF program load failed|failed to)")
_TRAMPOLINE = re.compile(r"\??(fentry|fexit|fmod_ret|lsm|freplace)[./]")
_CHATTER = re.compile(
    r"^(?:;|\d+: |from \d+|processed \d+|verification time|stack depth|max_states|peak_states|mark_precise|func#|"
    r"arg#|insn_processed|Func#|Validating|live regs|last_idx|regs=|parent |caller|R\d+(?:_w|_r|_rw)?=|\s*$|-- )"
)

_HINTS = (
    (r"mem access 'map_value_or_null'|mem access '\w*_or_null'", "it may be NULL there: test the pointer before it is used"),
    (r"invalid mem access 'scalar'|invalid mem access 'inv'", "a plain number is no pointer here: read memory with BPF_CORE_READ or bpf_probe_read_kernel"),
    (r"[Uu]nreleased reference", "each record from bpf_ringbuf_reserve wants bpf_ringbuf_submit or _discard on every path"),
    (r"back-edge|infinite loop|too many states|BPF program is too large|processed \d{6,}", "the loop must end after a number of steps that the verifier can see: for (int i = 0; i < 16; i++)"),
    (r"min value is (?:negative|outside)|unbounded|invalid access to map value|out of range|makes pkt pointer", "the verifier does not know how large the index is: test it, or mask it (i & 63), just before it is used"),
    (r"R0 !read_ok", "the program must return a value on every path"),
    (r"invalid (?:indirect )?(?:read from|access to) stack|invalid read from stack", "a variable is read before all of it is set: begin with = {}"),
    (r"unknown func|program of this type cannot use helper|unsupported helper|cannot use helper", "this helper cannot be called from this kind of program"),
    (r"combined stack size|stack depth|exceeds? .*stack", "a program has 512 bytes of stack: keep large values in a map"),
    (r"invalid bpf_context access", "the context has no such field: look at what the probe hands over"),
    (r"cannot call GPL-restricted|from non-GPL", 'write: char license[] SEC("license") = "GPL";'),
    (r"CO-RE relocation", "the running kernel has no such field; test with bpf_core_field_exists"),
)  # fmt: skip


def verdict(log: str, source: str) -> tuple[str, str, str]:
    """Why and a hint, from a verifier's log, and the line of the cell as `line 7: `, or an empty string."""
    lines = [line.rstrip() for line in log.split("\n")]
    reasons = [line for line in lines if line and not _CHATTER.match(line)]
    why = reasons[-1] if reasons else "the verifier refused it and did not say why"
    if "CO-RE relocation" in log and (found := re.search(r"<invalid CO-RE relocation>\n(.*)", log)):
        why = found[1]
    hint = next((hint for pattern, hint in _HINTS if re.search(pattern, f"{why}\n{log[-2000:]}")), "")
    return why, hint, _where(log, source)


def _where(log: str, source: str) -> str:
    """The cell's line that the verifier was at; kernels before 6.10 print the text and no number."""
    cell = [line.strip() for line in source.split("\n")]
    for match in reversed(list(_AT.finditer(log))):
        if match["line"] and match["file"].endswith("cell"):
            return f"line {match['line']}: "
        if not match["line"] and cell.count(match["text"].strip()) == 1:
            return f"line {cell.index(match['text'].strip()) + 1}: "
    return ""


def opening(refusal: Refusal) -> RtnbError:
    """The error for an object that libbpf could not even open: a map or a SEC() that means nothing."""
    return BadInput("%%bpf: open the compiled cell", _libbpf_said(refusal), "compare with the example of %%bpf?")


def loading(refusal: Refusal, source: str, programs: Sequence[ProgramHandle]) -> RtnbError:
    """The error for a load that failed: an unknown name, the verifier, or the kernel as a whole."""
    found = _FAILED.search(refusal.log)
    program = next((p for p in programs if found and p.name == found["name"]), None)
    tried = f'load {program.name} SEC("{program.section}")' if program else "load the cell"
    if unknown := _NO_BTF_ID.search(refusal.log):
        return _no_such_target(tried, unknown["name"])
    if refusal.verifier and refusal.errno not in (errno.EPERM, errno.ENOSYS):
        why, hint, where = verdict(refusal.verifier, source)
        return VerifierError(tried, where + why + _quoted(where, source), hint, refusal.verifier)
    if program and _TRAMPOLINE.match(program.section):
        return caps.refused("bpf.fentry", tried, refusal)
    if refusal.errno in (errno.EPERM, errno.EACCES, errno.ENOSYS):
        return caps.refused("bpf.load", tried, refusal)
    return BadInput(tried, _libbpf_said(refusal))


def attaching(refusal: Refusal, program: ProgramHandle) -> RtnbError:
    """The error for a program that was loaded and could not be attached."""
    tried, section = f'attach {program.name} SEC("{program.section}")', program.section.lstrip("?")
    if section.startswith(("raw_tp/", "raw_tracepoint/")) and refusal.errno in (errno.ENOENT, errno.EINVAL):
        name = section.partition("/")[2]
        return BadInput(tried, "this kernel has no such tracepoint", closest(name, kernel.running().raw_tracepoints()))
    if section.startswith(("kprobe", "kretprobe", "ksyscall", "kretsyscall")):
        return caps.refused("bpf.kprobe", tried, refusal)
    if refusal.errno in (errno.EPERM, errno.EACCES):
        return caps.refused("bpf.uprobe" if "probe" in section else "bpf.raw_tp", tried, refusal)
    if section.startswith(("uprobe", "uretprobe", "usdt")):
        return BadInput(tried, _libbpf_said(refusal), 'write: SEC("uprobe//path/to/program:function")')
    if refusal.errno == errno.EOPNOTSUPP:
        return BadInput(tried, "libbpf does not know where to attach it", 'say where: SEC("raw_tp/sys_enter")')
    return NotSupported(tried, _libbpf_said(refusal))


def _no_such_target(tried: str, name: str) -> BadInput:
    types = kernel.running()
    if name.startswith("btf_trace_"):
        hint = closest(name.removeprefix("btf_trace_"), types.raw_tracepoints())
        return BadInput(tried, "this kernel has no such tracepoint", hint)
    return BadInput(tried, f"this kernel has no function {name}", closest(name, types.functions()))


def _quoted(where: str, source: str) -> str:
    lines = source.split("\n")
    number = int(where.split()[1].rstrip(":")) if where else 0
    return f"\n    {lines[number - 1].strip()}" if 0 < number <= len(lines) else ""


def _libbpf_said(refusal: Refusal) -> str:
    """The first line of what libbpf printed, without its prefix."""
    lines = [line.removeprefix("libbpf: ") for line in refusal.log.split("\n") if line.strip()]
    return lines[0] if lines else (refusal.strerror or "libbpf failed and said nothing")

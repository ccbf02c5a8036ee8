# SPDX-License-Identifier: MIT
"""Why did the verifier refuse a program? The last thing it said, the cell's line it was at, and what that means.

The verifier's log tells the path that it walked, instruction by instruction; what stands after the last of them
is why it stopped, and the last source line before that is where.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Verdict", "verdict"]

_AT = re.compile(r"^; (?P<text>.*?)(?: @ (?P<file>[^ ]+):(?P<line>\d+))?$", re.M)
_CO_RE = re.compile(r"^failed to resolve CO-RE relocation.*", re.M)
# What is not a reason: source lines, instructions, states of registers, statistics.
_CHATTER = re.compile(
    r"""^(?: ; | \d+:\ | from\ \d+ | processed\ \d+ | verification\ time | stack\ depth | (?:max|peak)_states
    | mark_precise | [Ff]unc\# | arg\# | Validating | live\ regs | last_idx | regs= | parent\ | caller
    | (?:cur|old)\ state: | R\d+(?:_w|_r|_rw)?= | -- | \s*$ )""",
    re.X,
)

_MEANS = {
    r"mem access '\w*_or_null'": "it may be NULL there: test the pointer before it is used",
    r"invalid mem access '(?:scalar|inv)'": (
        "a plain number, as NULL is, is no pointer here: read memory with BPF_CORE_READ or bpf_probe_read_kernel"
    ),
    r"[Uu]nreleased reference": (
        "each record from bpf_ringbuf_reserve wants bpf_ringbuf_submit or bpf_ringbuf_discard on every path"
    ),
    r"back-edge|infinite loop|too many states|program is too large": (
        "a loop must end after a number of steps that the verifier can see: for (int i = 0; i < 16; i++)"
    ),
    r"min value is|unbounded|invalid access to map value|out of range": (
        "the verifier does not know how large the index is: test it, or mask it (i & 63), just before it is used"
    ),
    r"R0 !read_ok": (
        "what is returned there was never set: return a value on every path;"
        " clang leaves out a read through NULL or of a variable without a value"
    ),
    r"R[1-9] !read_ok": "a value is used there that was never set: give the variable one where it is declared",
    r"invalid (?:indirect )?(?:read from|access to) stack": (
        "a variable is read before all of it is set: begin with = {}; is it as large as the map's key?"
    ),
    r"unknown func|cannot use helper|unsupported helper": "this helper cannot be called from this kind of program",
    r"stack size|exceeds? .*stack": "a program has 512 bytes of stack: keep large values in a map",
    r"invalid bpf_context access": "the context has no such field: look at what the probe hands over",
    r"GPL": 'write: char license[] SEC("license") = "GPL";',
    r"CO-RE relocation": "the running kernel has no such field; test with bpf_core_field_exists",
}


@dataclass(frozen=True)
class Verdict:
    """`why` in the verifier's words, the cell's `line` (0: not known) and its `text`, and a hint."""

    why: str
    line: int
    text: str
    hint: str

    def __str__(self) -> str:
        """`line 6: R0 invalid mem access 'scalar'`, and below it the line."""
        return f"line {self.line}: {self.why}\n    {self.text}" if self.line else self.why


def verdict(log: str, source: str) -> Verdict:
    """Read a verifier's log against the cell that it is about."""
    reasons = [line.strip() for line in log.split("\n") if not _CHATTER.match(line)]
    why = reasons[-1] if reasons else "the verifier refused it and did not say why"
    if missing := _CO_RE.search(log):
        why = missing[0]
    told = "\n".join([why, *reasons[-3:]])
    hint = next((meaning for pattern, meaning in _MEANS.items() if re.search(pattern, told)), "")
    lines = [line.strip() for line in source.split("\n")]
    line = _line(log, lines)
    return Verdict(why, line, lines[line - 1] if 0 < line <= len(lines) else "", hint)


def _line(log: str, lines: list[str]) -> int:
    """The line that the verifier was at. Older kernels print a line's text without its number."""
    for match in reversed(list(_AT.finditer(log))):
        if match["line"] and match["file"].endswith("cell") and match["line"] != "0":
            return int(match["line"])
        if not match["line"] and lines.count(match["text"].strip()) == 1:
            return lines.index(match["text"].strip()) + 1
    return 0

# SPDX-License-Identifier: MIT
"""What does a cell not have to write? The kernel's types, libbpf's headers, the licence, and four conveniences.

    target_pid      the process asked for with pid=, or the command's; 0: none
    FILTER_PID()    return 0 from the program unless it runs in that process (in any of its threads)
    a lost record   bpf_ringbuf_reserve and bpf_ringbuf_output count their failures, which end in header.lost
    the licence     "GPL", unless the cell has a SEC("license") of its own

Only what the source names is added, so that a program loads no map it does not use.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from rtnb.bpf.kernel import KernelTypes

__all__ = ["LOST", "Source", "TARGET_PID", "read", "unit"]

TARGET_PID = "target_pid"
LOST = "rtnb_lost"

_NOISE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.S)
_WORD = re.compile(r"\b[A-Za-z_]\w*\b")
_TAG = re.compile(r"\b(?:struct|union|enum)\s+(\w+)(\s*\{)?")
_VMLINUX = re.compile(r'^[ \t]*#[ \t]*include[ \t]*["<]vmlinux\.h[">][^\n]*', re.M)

_TYPES = """\
#define __VMLINUX_H__
#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)
{types}
#pragma clang attribute pop
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
"""
_TARGET = """\
const volatile int target_pid = 0;
#define FILTER_PID() \\
	do { if (target_pid && (int)(bpf_get_current_pid_tgid() >> 32) != target_pid) return 0; } while (0)
"""
# In a container with process numbers of its own, the kernel's are others; it translates them, at some cost.
_TARGET_IN_NAMESPACE = """\
const volatile int target_pid = 0;
#define FILTER_PID() do {{ \\
	struct bpf_pidns_info rtnb_pid = {{}}; \\
	if (!target_pid) break; \\
	if (bpf_get_ns_current_pid_tgid({device}, {inode}, &rtnb_pid, sizeof(rtnb_pid))) return 0; \\
	if ((int)rtnb_pid.tgid != target_pid) return 0; }} while (0)
"""
_INITIAL_NAMESPACE = 0xEFFFFFFC  # PROC_PID_INIT_INO, include/linux/proc_ns.h
# Macros and not functions, so that the verifier names the cell's line.
_RING = """\
__u64 rtnb_lost = 0;
#define bpf_ringbuf_reserve(ring, size, flags) ({ \\
	void *rtnb_record = bpf_ringbuf_reserve(ring, size, flags); \\
	if (!rtnb_record) \\
		__sync_fetch_and_add(&rtnb_lost, 1); \\
	rtnb_record; })
#define bpf_ringbuf_output(ring, data, size, flags) ({ \\
	long rtnb_error = bpf_ringbuf_output(ring, data, size, flags); \\
	if (rtnb_error) \\
		__sync_fetch_and_add(&rtnb_lost, 1); \\
	rtnb_error; })
"""
_LICENCE = 'char rtnb_license[] SEC("license") = "GPL";\n'


@dataclass(frozen=True)
class Source:
    """A cell's C, and what it names: bare words, and the tags after struct, union and enum it does not define."""

    text: str
    words: frozenset[str]
    tags: frozenset[str]


def read(text: str) -> Source:
    """Which names does this C use? Comments and strings do not count."""
    bare = _NOISE.sub(" ", text)
    tags = _TAG.findall(bare)
    defined = {tag for tag, body in tags if body}
    return Source(text, frozenset(_WORD.findall(bare)), frozenset({tag for tag, _ in tags} - defined))


def unit(source: Source, kernel: KernelTypes, *, whole: bool = False, without: frozenset[str] = frozenset()) -> str:
    """The translation unit; errors in it name the cell's own lines, as of a file called "cell".

    `whole`: every type of the kernel; `without`: names that the cell turned out to define itself.
    """
    types = kernel.whole() if whole else kernel.header(set(source.words - without), set(source.tags - without))
    parts = [_TYPES.format(types=types)]
    if source.words & {TARGET_PID, "FILTER_PID"}:
        parts.append(_target())
    if source.words & {"bpf_ringbuf_reserve", "bpf_ringbuf_output"}:
        parts.append(_RING)
    if not re.search(r'SEC\s*\(\s*"license"\s*\)', source.text):
        parts.append(_LICENCE)
    return "".join([*parts, '#line 1 "cell"\n', _VMLINUX.sub("", source.text), "\n"])


def _target() -> str:
    """target_pid and FILTER_PID(), for the process numbers that this process sees."""
    namespace = os.stat("/proc/self/ns/pid")
    if namespace.st_ino == _INITIAL_NAMESPACE:
        return _TARGET
    device = os.major(namespace.st_dev) << 20 | os.minor(namespace.st_dev)
    return _TARGET_IN_NAMESPACE.format(device=device, inode=namespace.st_ino)

# SPDX-License-Identifier: MIT
"""What did clang make of the cell? A BPF object, or its complaints against the cell's own lines."""

from __future__ import annotations

import platform
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from rtnb import caps
from rtnb.abi.interrupt import held
from rtnb.bpf import kernel, prelude
from rtnb.caps.bpf import clang, headers
from rtnb.errors import BadInput, CompileError, RtnbError, closest

__all__ = ["Compiled", "compile"]

_ARCH = {"x86_64": "x86", "aarch64": "arm64", "ppc64le": "powerpc", "riscv64": "riscv"}
_DIAGNOSTIC = re.compile(
    r"^(?P<file>[^:\n]+):(?P<line>\d+):(?P<column>\d+): (?:fatal )?(?P<kind>\w+): (?P<said>.*)$", re.M
)
_REDEFINED = re.compile(r"(?:redefinition of(?: enumerator)?|conflicting types for) '(\w+)'")
_QUOTED = re.compile(r"'(?:struct |union |enum )?(\w+)'")
_UNKNOWN = re.compile(r"(?:unknown type name|incomplete.*?type) '(?:struct |union |enum )?(\w+)'")
_INCLUDED = re.compile(r"^In file included from cell:(\d+):", re.M)
_VERSION = re.compile(rb"clang version (\d+)")


@dataclass(frozen=True)
class Compiled:
    """A cell's C as a BPF object. Made without touching any program or map of the kernel.

    `warnings` are clang's, against the cell's lines; `compiler` is "clang 14".
    """

    source: str
    elf: bytes
    compiler: str
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Compiled({len(self.source.splitlines())} lines of C, {len(self.elf):,} bytes, {self.compiler})"


@dataclass(frozen=True)
class _Attempt:
    elf: bytes
    said: str
    failed: bool


@lru_cache(maxsize=64)
def compile(source: str) -> Compiled:
    """Compile C for the running kernel; the same source is compiled once in a process.

    Raises BadInput (nothing in it), CompileError (with the cell's line), NotSupported (no clang, no libbpf, no BTF),
    RtnbError (nowhere to write a file).
    """
    read = prelude.read(source)
    if not read.words:
        raise BadInput(
            "%%bpf", "the cell is empty", 'write a program: SEC("raw_tp/sys_enter") int f(void *ctx) { ... }'
        )
    if "SEC" not in read.words:
        hint = 'put its probe before the function: SEC("raw_tp/sys_enter") int f(void *ctx) { ... }'
        raise BadInput("%%bpf", "the cell defines no program", hint)
    types = kernel.running()
    attempt = _clang(source, prelude.unit(read, types))
    if attempt.failed and (twice := frozenset(_REDEFINED.findall(attempt.said))):
        attempt = _clang(source, prelude.unit(read, types, without=twice))
    elif attempt.failed and any(word in types for word in _QUOTED.findall(attempt.said)):
        attempt = _clang(source, prelude.unit(read, types, whole=True))
    if attempt.failed:
        raise _error(read, attempt.said, types)
    version = _VERSION.search(attempt.elf)
    return Compiled(
        source=source,
        elf=attempt.elf,
        compiler=f"clang {version[1].decode()}" if version else "clang",
        warnings=tuple(line for line, kind in _told(source, attempt.said) if kind == "warning"),
    )


def _clang(source: str, unit: str) -> _Attempt:
    try:
        include = headers()
    except OSError as e:
        raise caps.refused("bpf.libbpf", "compile the cell", e) from e
    options = ["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-c", "-x", "c", "-", "-o", "-", "-isystem", str(include)]
    options += [f"-D__TARGET_ARCH_{_ARCH.get(platform.machine(), platform.machine())}"]
    options += ["-fno-color-diagnostics", "-fno-caret-diagnostics", "-Wno-unused-command-line-argument"]
    with _folder(source) as folder:
        try:
            return _ran([*clang(), *options], unit.encode(errors="surrogateescape"), folder)
        except OSError as e:
            raise caps.refused("bpf.compiler", "compile the cell", e) from e


def _ran(argv: list[str], unit: bytes, folder: str) -> _Attempt:
    pipe = subprocess.PIPE
    with ExitStack() as started:
        with held():  # Popen forgets a child that an interrupt meets while it is being started
            process = started.enter_context(subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, cwd=folder))
            started.callback(process.wait)
            started.callback(process.kill)
        elf, said = process.communicate(unit)
        return _Attempt(elf, said.decode("utf-8", "replace"), process.returncode != 0)


@contextmanager
def _folder(source: str) -> Iterator[str]:
    """Where a file "cell" is: clang reads the lines that it quotes in the object, for the verifier's log, from it."""
    try:
        with tempfile.TemporaryDirectory(prefix="rtnb-") as folder:
            Path(folder, "cell").write_text(source, errors="surrogateescape")
            yield folder
    except OSError as e:
        hint = "set TMPDIR to a directory that may be written and has room"
        raise RtnbError("compile the cell", f"no temporary directory can be made ({e.strerror})", hint) from e


def _told(source: str, said: str) -> Iterator[tuple[str, str]]:
    """Each complaint about the cell, as `line 3: what: source`, and its kind."""
    lines = source.splitlines()
    for match in _DIAGNOSTIC.finditer(said):
        if match["file"] == "cell" and match["kind"] in ("error", "warning"):
            number = int(match["line"])
            text = lines[number - 1].strip() if number <= len(lines) else ""
            yield f"line {number}: {match['said']}" + (f"\n    {text}" if text else ""), match["kind"]


def _error(read: prelude.Source, said: str, types: kernel.KernelTypes) -> CompileError:
    errors = list(dict.fromkeys(line for line, kind in _told(read.text, said) if kind == "error"))
    at = f"line {found[1]}: " if (found := _INCLUDED.search(said)) else ""
    others = [at + m["said"] for m in _DIAGNOSTIC.finditer(said) if m["kind"] == "error"]
    why = errors[0] if errors else next(iter(others), said.strip()[-300:] or "clang failed and said nothing")
    more = [line.split("\n")[0] for line in errors[1:4]]
    return CompileError("compile the cell", why, _hint(read, said, types) or "; ".join(more), log=said)


def _hint(read: prelude.Source, said: str, types: kernel.KernelTypes) -> str:
    if _INCLUDED.search(said) or ("redefinition" in said and re.search(r"#\s*include\s*<(?:linux|asm)/", read.text)):
        return "leave out the #include: the kernel's types and libbpf's headers are there already"
    if "no member named" in said:
        return "the kernel's own definition counts; look it up with: bpftool btf dump file /sys/kernel/btf/vmlinux"
    if "stack limit" in said:
        return "a program has 512 bytes of stack: keep large values in a map of type BPF_MAP_TYPE_PERCPU_ARRAY"
    unknown = _UNKNOWN.search(said)
    return closest(unknown[1], types.tags()) if unknown else ""

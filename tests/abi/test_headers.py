# SPDX-License-Identifier: MIT
"""Is every constant and every struct of rtnb.abi what this machine's headers say? A C compiler answers.

Each abi module becomes a C file of _Static_asserts, made by introspection alone: a public UPPERCASE int is the
C constant of that name; a ctypes class with `_c_name_` has that struct's size (save with `_c_prefix_`), and its public
fields have the struct's offsets and sizes. Names in the module's NEWER are left out where the headers lack them.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import pkgutil
import platform
import re
import shutil
import subprocess
import types
from collections.abc import Iterator

import pytest

import rtnb.abi
from rtnb.abi import syscall

MODULES = sorted(found.name for found in pkgutil.iter_modules(rtnb.abi.__path__))


def compile_c(lines: list[str]) -> str:
    """What the compiler has to say against these lines of C: an empty string is assent."""
    compiler = shutil.which("cc") or pytest.skip("no C compiler to ask what the headers say")
    command = [compiler, "-std=c11", "-D_GNU_SOURCE", "-fsyntax-only", "-x", "c", "-"]
    source = "\n".join([*lines, ""])
    done = subprocess.run(command, input=source, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    return done.stderr if done.returncode else ""


def includes(module: types.ModuleType) -> list[str]:
    return ["#include <stddef.h>", *(f"#include <{header}>" for header in module.HEADERS)]


def constants(module: types.ModuleType) -> dict[str, int]:
    """The module's public UPPERCASE ints: those that C is asked about."""
    return {n: v for n, v in vars(module).items() if re.fullmatch(r"[A-Z][A-Z0-9_]*", n) and type(v) is int}


def structs(module: types.ModuleType) -> Iterator[type[ctypes.Structure]]:
    """The module's own ctypes classes; one without a `_c_name_` would go unchecked, so it is an error."""
    for name, value in vars(module).items():
        own = isinstance(value, type) and value.__module__ == module.__name__
        if own and issubclass(value, ctypes.Structure | ctypes.Union) and not name.startswith("_"):
            assert hasattr(value, "_c_name_"), f"{module.__name__}.{name} does not say which C type it is"
            yield value


def fields(struct: type[ctypes.Structure]) -> list[str]:
    """Its public fields, and those of its anonymous unions and structs, which C reaches by the same names."""
    anonymous = set(getattr(struct, "_anonymous_", ()))
    inner = [name for field in struct._fields_ if field[0] in anonymous for name in fields(field[1])]
    return [field[0] for field in struct._fields_ if not field[0].startswith("_")] + inner


def assert_constant(name: str, value: int) -> str:
    return f'_Static_assert((unsigned long long)({name}) == {value & (1 << 64) - 1:#x}ULL, "{name} is not {value:#x}");'


def asserts(struct: type[ctypes.Structure]) -> Iterator[str]:
    c = struct._c_name_
    if not getattr(struct, "_c_prefix_", False):
        yield f'_Static_assert(sizeof({c}) == {ctypes.sizeof(struct)}, "sizeof({c}) is not {ctypes.sizeof(struct)}");'
    for name in fields(struct):
        offset, size = getattr(struct, name).offset, getattr(struct, name).size
        yield f'_Static_assert(offsetof({c}, {name}) == {offset}, "offsetof({c}, {name}) is not {offset}");'
        yield f'_Static_assert(sizeof((({c} *)0)->{name}) == {size}, "sizeof {c}.{name} is not {size}");'


def source(module: types.ModuleType) -> list[str]:
    """The whole C file of one module."""
    asked = constants(module)
    newer = sorted(getattr(module, "NEWER", frozenset()))
    probe = [f"static const long long probe_{i} = (long long)({name});" for i, name in enumerate(newer)]
    said = compile_c(includes(module) + probe) if newer else ""
    missing = {name for name in newer if re.search(rf"undeclared.*'{name}'|'{name}' undeclared", said)}
    lines = [assert_constant(name, value) for name, value in asked.items() if name not in missing]
    return includes(module) + lines + [line for struct in structs(module) for line in asserts(struct)]


@pytest.mark.parametrize("name", MODULES)
def test_abi_module_agrees_with_the_headers(name: str) -> None:
    module = importlib.import_module(f"rtnb.abi.{name}")
    lines = source(module)
    elsewhere = ("syscall", "tracepoint")  # checked below; declared by the running kernel itself, in tracefs
    assert name in elsewhere or any("_Static_assert" in line for line in lines), "the module declares nothing to check"
    assert compile_c(lines) == ""


def test_system_call_numbers_agree_with_the_headers() -> None:
    if not syscall.NUMBERS:
        pytest.skip(f"rtnb has no table of system calls for {platform.machine()}")
    lines, counted = includes(syscall), ["enum { known = 0"]
    for name, number in syscall.NUMBERS.items():
        lines += [f"#ifdef __NR_{name}", assert_constant(f"__NR_{name}", number), "#endif"]
        counted += [f"#ifdef __NR_{name}", "+ 1", "#endif"]
    least = '_Static_assert(known >= 300, "fewer than 300 of the names are in asm/unistd.h");'
    assert compile_c([*lines, *counted, "};", least]) == ""


def test_no_system_call_of_the_headers_is_missing() -> None:
    """A name that is not in the table is newer than the table."""
    compiler = shutil.which("cc") or pytest.skip("no C compiler to ask what the headers say")
    if not syscall.NUMBERS:
        pytest.skip(f"rtnb has no table of system calls for {platform.machine()}")
    command = [compiler, "-dM", "-E", "-x", "c", "-"]
    done = subprocess.run(command, input="#include <asm/unistd.h>", capture_output=True, text=True, check=True)
    names = set(re.findall(r"#define __NR_(\w+)", done.stdout)) - {"syscalls", "arch_specific_syscall"}
    newest = max(syscall.NUMBERS.values())
    lines = [f'_Static_assert(__NR_{name} > {newest}, "{name} is missing");' for name in names - syscall.NUMBERS.keys()]
    assert compile_c([*includes(syscall), *lines]) == ""


class wrong_attr(ctypes.Structure):
    """perf_event_attr with its second field misplaced and its third misnamed."""

    _c_name_ = "struct perf_event_attr"
    _fields_ = (("type", ctypes.c_uint32), ("config", ctypes.c_uint32), ("configuration", ctypes.c_uint64))


def test_a_wrong_value_is_caught() -> None:
    module = types.ModuleType(__name__)
    module.HEADERS = ("linux/perf_event.h",)
    module.PERF_TYPE_SOFTWARE = 1
    module.PERF_COUNT_SW_PAGE_FAULTS = 3  # it is 2
    module.PERF_NOT_YET = 7
    module.NEWER = frozenset({"PERF_NOT_YET", "PERF_COUNT_SW_PAGE_FAULTS"})
    module.wrong_attr = wrong_attr
    said = compile_c(source(module))
    assert "PERF_COUNT_SW_PAGE_FAULTS is not 0x3" in said
    assert "offsetof(struct perf_event_attr, config) is not 4" in said
    assert "sizeof struct perf_event_attr.config is not 4" in said
    assert "sizeof(struct perf_event_attr) is not 16" in said
    assert "configuration" in said
    assert "PERF_TYPE_SOFTWARE" not in said
    assert "PERF_NOT_YET" not in said


def test_a_constant_that_no_header_has_is_caught() -> None:
    module = types.ModuleType("elsewhere")
    module.HEADERS = ("linux/perf_event.h",)
    module.PERF_NO_SUCH_THING = 1
    assert "PERF_NO_SUCH_THING" in compile_c(source(module))

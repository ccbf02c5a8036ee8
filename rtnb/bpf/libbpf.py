# SPDX-License-Identifier: MIT
"""What does libbpf do for us? Open, relocate and load an object, attach its programs, print kernel types.

The one module that speaks ctypes with libbpf: handles leave it as ints, everything else as Python's own.
Where libbpf refuses, it raises Refusal: an OSError with what libbpf printed and what the verifier said.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import Any

__all__ = ["MapHandle", "Object", "ProgramHandle", "Refusal", "dump", "parse", "version"]

SONAME = "libbpf.so.1"
if sys.platform == "linux":  # elsewhere there is no libbpf that could ask for it: _lib() says so
    _libc = ctypes.CDLL(None)
    _libc.open_memstream.restype = ctypes.c_void_p
_LOG_SIZE = 8 << 20  # of pages that are there only once the verifier writes: a refused program is told in full
_DEBUG = 2  # enum libbpf_print_level

_POINTER, _TEXT, _INT, _U32, _SIZE = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint32, ctypes.c_size_t
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "libbpf_version_string": (_TEXT,),
    "btf__new": (_POINTER, _TEXT, _U32),
    "btf__raw_data": (_POINTER, _POINTER, _POINTER),
    "btf_dump__new": (_POINTER, _POINTER, _POINTER, _POINTER, _POINTER),
    "btf_dump__dump_type": (_INT, _POINTER, _U32),
    "btf_dump__free": (None, _POINTER),
    "bpf_object__open_mem": (_POINTER, _TEXT, _SIZE, _POINTER),
    "bpf_object__load": (_INT, _POINTER),
    "bpf_object__close": (None, _POINTER),
    "bpf_object__btf": (_POINTER, _POINTER),
    "bpf_object__next_program": (_POINTER, _POINTER, _POINTER),
    "bpf_object__next_map": (_POINTER, _POINTER, _POINTER),
    "bpf_program__name": (_TEXT, _POINTER),
    "bpf_program__section_name": (_TEXT, _POINTER),
    "bpf_program__autoload": (ctypes.c_bool, _POINTER),
    "bpf_program__attach": (_POINTER, _POINTER),
    "bpf_program__attach_perf_event": (_POINTER, _POINTER, _INT),
    "bpf_program__attach_uprobe_opts": (_POINTER, _POINTER, _INT, _TEXT, _SIZE, _POINTER),
    "bpf_link__destroy": (_INT, _POINTER),
    "bpf_map__name": (_TEXT, _POINTER),
    "bpf_map__fd": (_INT, _POINTER),
    "bpf_map__type": (_INT, _POINTER),
    "bpf_map__max_entries": (_U32, _POINTER),
    "bpf_map__key_size": (_U32, _POINTER),
    "bpf_map__value_size": (_U32, _POINTER),
    "bpf_map__set_value_size": (_INT, _POINTER, _U32),
    "bpf_map__btf_key_type_id": (_U32, _POINTER),
    "bpf_map__btf_value_type_id": (_U32, _POINTER),
    "bpf_map__is_internal": (ctypes.c_bool, _POINTER),
    "bpf_map__initial_value": (_POINTER, _POINTER, _POINTER),
}


class Refusal(OSError):
    """What failed in libbpf: errno, `log` (what libbpf printed) and `verifier` (what the kernel said of a program)."""

    def __init__(self, number: int, call: str, log: str, verifier: str = "") -> None:
        super().__init__(number, os.strerror(number), call)
        self.log, self.verifier = log, verifier


class _OpenOpts(ctypes.Structure):
    """struct bpf_object_open_opts of libbpf 1.x; its size tells libbpf which fields there are."""

    _fields_ = (
        ("sz", _SIZE),
        ("object_name", _TEXT),
        ("relaxed_maps", ctypes.c_bool),
        ("pin_root_path", _TEXT),
        ("_removed", _U32),
        ("kconfig", _TEXT),
        ("btf_custom_path", _TEXT),
        ("kernel_log_buf", _POINTER),
        ("kernel_log_size", _SIZE),
        ("kernel_log_level", _U32),
        ("_end", _U32),
    )


class _UprobeOpts(ctypes.Structure):
    """struct bpf_uprobe_opts of libbpf 1.x."""

    _fields_ = (
        ("sz", _SIZE),
        ("ref_ctr_offset", _SIZE),
        ("bpf_cookie", ctypes.c_uint64),
        ("retprobe", ctypes.c_bool),
        ("func_name", _TEXT),
    )


@dataclass(frozen=True)
class ProgramHandle:
    """A program of an object: its C name, its SEC() without a leading "?", and libbpf's pointer."""

    name: str
    section: str
    loads: bool
    """Whether it is loaded with the object: not where its SEC() begins with "?"."""
    pointer: int


@dataclass(frozen=True)
class MapHandle:
    """A map of an object as it was declared; the types are numbers in the object's BTF, 0 for none."""

    name: str
    type: int
    key_size: int
    value_size: int
    key_type: int
    value_type: int
    internal: bool
    pointer: int

    @property
    def fd(self) -> int:
        """The map's descriptor, which the object owns; there is one once it is loaded."""
        return int(_lib().bpf_map__fd(self.pointer))

    @property
    def max_entries(self) -> int:
        """How many entries it may hold; a ring buffer's size in bytes, which the load may round up."""
        return int(_lib().bpf_map__max_entries(self.pointer))

    def drop_value_size(self) -> None:
        """A ring buffer's declared value says what its records are; the kernel wants its size to be 0."""
        _lib().bpf_map__set_value_size(self.pointer, 0)

    def preset(self, offset: int, data: bytes) -> None:
        """Before the load: write into the initial value of a section's map (.rodata)."""
        size = _SIZE()
        where = _lib().bpf_map__initial_value(self.pointer, ctypes.byref(size))
        if not where or offset + len(data) > size.value:
            raise ValueError(f"{self.name} has no {len(data)} bytes at {offset}")
        ctypes.memmove(where + offset, data, len(data))


class Object:
    """A compiled object in libbpf's hands: opened, then loaded, then closed. Closing detaches what is attached."""

    def __init__(self, elf: bytes, name: str) -> None:
        self._elf = elf  # libbpf reads from it until the load is over
        self._kernel_log = mmap.mmap(-1, _LOG_SIZE)
        opts = _OpenOpts(sz=ctypes.sizeof(_OpenOpts), object_name=name.encode())
        opts.kernel_log_buf, opts.kernel_log_size = _address(self._kernel_log), _LOG_SIZE
        self._links: list[int] = []
        _printed.lines.clear()
        self._pointer = self._checked(_lib().bpf_object__open_mem(elf, len(elf), ctypes.byref(opts)), "open")
        self.programs = [_program_handle(p) for p in self._each("bpf_object__next_program")]
        self.maps = [_map_handle(p) for p in self._each("bpf_object__next_map")]

    def __enter__(self) -> Object:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def btf(self) -> bytes:
        """The object's BTF, the offsets of its variables filled in by libbpf."""
        size = _U32()
        data = _lib().btf__raw_data(_lib().bpf_object__btf(self._pointer), ctypes.byref(size))
        return ctypes.string_at(data, size.value) if data else b""

    def load(self) -> None:
        """Create the maps, relocate and verify the programs. Raises Refusal."""
        _printed.lines.clear()
        self._checked(_lib().bpf_object__load(self._pointer) == 0, "load")

    def attach(self, program: ProgramHandle) -> None:
        """Attach as the SEC() says. Raises Refusal."""
        _printed.lines.clear()
        self._links.append(self._checked(_lib().bpf_program__attach(program.pointer), "attach"))

    def attach_perf_event(self, program: ProgramHandle, fd: int) -> None:
        """Attach to an open perf event, which then belongs to the object. Raises Refusal, and `fd` is still yours."""
        _printed.lines.clear()
        link = _lib().bpf_program__attach_perf_event(program.pointer, fd)
        self._links.append(self._checked(link, "attach to the perf event"))

    def attach_uprobe(
        self, program: ProgramHandle, path: str, function: str, offset: int, *, pid: int, retprobe: bool
    ) -> None:
        """Attach to a function of a program or library, in one process. Raises Refusal."""
        _printed.lines.clear()
        opts = _UprobeOpts(sz=ctypes.sizeof(_UprobeOpts), retprobe=retprobe, func_name=function.encode())
        link = _lib().bpf_program__attach_uprobe_opts(program.pointer, pid, path.encode(), offset, ctypes.byref(opts))
        self._links.append(self._checked(link, "attach the uprobe"))

    def detach(self) -> None:
        """Detach every program; they stay loaded. Does nothing the second time."""
        while self._links:
            _lib().bpf_link__destroy(self._links.pop())

    def close(self) -> None:
        """Detach, unload, close every descriptor. Does nothing the second time."""
        self.detach()
        pointer, self._pointer = self._pointer, 0
        if pointer:
            _lib().bpf_object__close(pointer)

    def _each(self, following: str) -> Iterator[int]:
        pointer = getattr(_lib(), following)(self._pointer, None)
        while pointer:
            yield pointer
            pointer = getattr(_lib(), following)(self._pointer, pointer)

    def _checked(self, result: int | None, call: str) -> int:
        if not result:
            number = ctypes.get_errno()
            verifier = self._kernel_log[: self._kernel_log.find(b"\0")].decode("utf-8", "replace")
            raise Refusal(number, f"libbpf {call}", "".join(_printed.lines), verifier)
        return result


def version() -> str:
    """libbpf's version, as "1.1". Raises OSError where there is no libbpf."""
    return str(_lib().libbpf_version_string().decode()).removeprefix("v")


def parse(data: bytes) -> int:
    """A handle on a kernel's BTF, for dump(); it lives as long as the process. Raises Refusal."""
    handle = _lib().btf__new(data, len(data))
    if not handle:
        raise Refusal(ctypes.get_errno(), "libbpf btf__new", "")
    return int(handle)


def dump(btf: int, numbers: Iterable[int]) -> str:
    """These types as C, each after what it needs.

    libbpf prints through a callback with the signature of vfprintf(3), so vfprintf it is, into a memory stream:
    measured, the whole header of a kernel takes 77 ms so, and 0.5 to 1 s through a callback in Python.
    """
    text, size = ctypes.c_void_p(), _SIZE()
    stream = _libc.open_memstream(ctypes.byref(text), ctypes.byref(size))
    if not stream:
        raise MemoryError
    dumper = _lib().btf_dump__new(btf, ctypes.cast(_libc.vfprintf, _POINTER), stream, None)
    try:
        for number in numbers:
            _lib().btf_dump__dump_type(dumper, number)
    finally:
        _lib().btf_dump__free(dumper)
        _libc.fclose(ctypes.c_void_p(stream))
        found = ctypes.string_at(text.value or 0, size.value) if text.value else b""
        _libc.free(text)
    return found.decode("utf-8", "replace")


class _Printed(threading.local):
    """What libbpf printed since it was last cleared: its one printer runs in the thread that called it."""

    def __init__(self) -> None:
        self.lines: list[str] = []


_printed = _Printed()


def _print(level: int, form: bytes, values: int) -> int:
    if level < _DEBUG:
        line = ctypes.create_string_buffer(4096)
        _libc.vsnprintf(line, _SIZE(len(line)), form, ctypes.c_void_p(values))
        _printed.lines.append(line.value.decode("utf-8", "replace"))
    return 0


_printer = ctypes.CFUNCTYPE(_INT, _INT, _TEXT, _POINTER)(_print)


@cache
def _lib() -> Any:
    """libbpf, its functions typed. Raises OSError where it is not installed."""
    library = ctypes.CDLL(SONAME, use_errno=True)
    for name, (result, *arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    library.libbpf_set_print(_printer)
    return library


def _address(buffer: mmap.mmap) -> int:
    """Where it lies; its owner keeps it."""
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


def _program_handle(pointer: int) -> ProgramHandle:
    return ProgramHandle(
        name=_lib().bpf_program__name(pointer).decode(),
        section=_lib().bpf_program__section_name(pointer).decode(),
        loads=_lib().bpf_program__autoload(pointer),
        pointer=pointer,
    )


def _map_handle(pointer: int) -> MapHandle:
    def asked(what: str) -> Any:
        return getattr(_lib(), f"bpf_map__{what}")(pointer)

    return MapHandle(
        name=asked("name").decode(),
        type=asked("type"),
        key_size=asked("key_size"),
        value_size=asked("value_size"),
        key_type=asked("btf_key_type_id"),
        value_type=asked("btf_value_type_id"),
        internal=asked("is_internal"),
        pointer=pointer,
    )

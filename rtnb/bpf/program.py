# SPDX-License-Identifier: MIT
"""What is in the kernel now? A compiled cell, loaded: its programs, its maps, its ring buffers, until it is closed.

with rtnb.bpf.load(source) as program:
    program.attach()
    ...
    program.maps["counts"].frame()
"""

from __future__ import annotations

import contextlib
import re
from types import TracebackType

import pandas as pd

from rtnb import caps
from rtnb.abi import bpf as abi
from rtnb.abi.btf import Btf
from rtnb.abi.interrupt import held
from rtnb.bpf import attach, libbpf, refusals
from rtnb.bpf.compiler import Compiled, compile
from rtnb.bpf.layout import unlike
from rtnb.bpf.maps import SHOWN, Globals, Map
from rtnb.bpf.prelude import LOST, TARGET_PID
from rtnb.bpf.ring import Ring, declared
from rtnb.errors import BadInput
from rtnb.recording import check_name

__all__ = ["Program", "load"]


class Program:
    """A compiled cell in the kernel: loaded, not yet attached. A context manager; closing it leaves nothing.

    Raises VerifierError, NotPermitted, NotSupported, BadInput (an unknown tp_btf name, a ring of unknown records, a map
    or a variable that makes no table).
    """

    def __init__(self, compiled: Compiled, target_pid: int = 0) -> None:
        self.compiled = compiled
        self.maps: dict[str, Map] = {}
        self.rings: dict[str, Ring] = {}
        self.not_shown: list[str] = []
        """Maps that make no frame, by name."""
        with contextlib.ExitStack() as undo:
            with held():
                self._object = _opened(compiled.elf)
                undo.callback(self.close)
                self._load(target_pid)
            undo.pop_all()

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        programs = ", ".join(f'{p.name} SEC("{p.section}")' for p in self._object.programs)
        return f"Program({programs}; maps: {', '.join([*self.maps, *self.rings]) or 'none'})"

    @property
    def engine(self) -> str:
        """What did the work, as "libbpf 1.1 + clang 14"."""
        return f"libbpf {libbpf.version()} + {self.compiled.compiler}"

    def attach(self, pid: int = 0) -> None:
        """Attach every program as its SEC() says; uprobes in the process `pid` alone, where one is given.

        SEC("?...") keeps a program out of the kernel: there is nothing to attach.
        Raises BadInput (an unknown tracepoint, with the closest names), NotSupported, NotPermitted.
        """
        try:
            for program in self._object.programs:
                if program.loads:
                    with held():
                        attach.attach(self._object, program, pid)
        except BaseException:
            self._object.detach()
            raise

    def detach(self) -> None:
        """Detach; maps and rings stay readable, and no longer change."""
        self._object.detach()

    def poll(self) -> None:
        """Copy what the ring buffers hold, so that they have room."""
        with held():  # what has been given back to the kernel is kept
            for ring in self.rings.values():
                ring.poll()

    def tables(self) -> dict[str, pd.DataFrame]:
        """Every map, ring buffer and the global variables as frames. Takes the rings' records."""
        self.poll()
        frames = {name: each.frame() for name, each in self.maps.items()}
        frames |= {name: ring.frame(ring.take()) for name, ring in self.rings.items()}
        frames = dict(sorted(frames.items(), key=lambda item: self._declared_at(item[0])))
        variables = self.globals.frame()
        return frames | ({unlike("globals", frames): variables} if len(variables.columns) else {})

    def lost(self) -> int:
        """Records that found no room in their ring buffer, or were of another size than declared, or too many."""
        return self.globals.value(LOST) + sum(r.other + r.dropped for r in self.rings.values())

    def sections(self) -> dict[str, str]:
        """Each program's SEC() by its name."""
        return {program.name: program.section for program in self._object.programs}

    def notes(self, tables: dict[str, pd.DataFrame], watched: str) -> list[str]:
        """What a reader of these tables must know: what is empty, full, left out, and why records were lost."""
        notes = [
            f"map {name} is full: further keys were refused" for name, m in self.maps.items() if m.full(tables[name])
        ]
        notes += [f'{p.name} was not attached: SEC("?...") leaves it out' for p in self._object.programs if not p.loads]
        notes += [f"map {name} is of a type that makes no frame" for name in self.not_shown]
        if lost := self.globals.value(LOST):
            notes.append(f"{lost:,} records found no room in their ring buffer: make max_entries larger")
        notes += [note for ring in self.rings.values() for note in ring.notes()]
        sections = ", ".join(p.section for p in self._object.programs if p.loads)
        if sections and not any(_has_content(table) for table in tables.values()):
            notes.append(f"nothing came: {sections} was watched for {watched}, and no program stored anything")
        return notes

    def close(self) -> None:
        """Detach, unload, unmap. Does nothing the second time."""
        with held():
            for ring in self.rings.values():
                ring.close()
            self._object.close()

    def _declared_at(self, name: str) -> int:
        """Where the cell declares a map: tables come in that order."""
        found = re.search(rf"\b{name}\s+SEC\b", self.compiled.source)
        return found.start() if found else 0

    def _load(self, target_pid: int) -> None:
        btf = Btf(self._object.btf())
        for handle in self._object.maps:
            if not handle.internal and handle.type in SHOWN | {abi.BPF_MAP_TYPE_RINGBUF}:
                check_name(handle.name)
            if handle.type == abi.BPF_MAP_TYPE_RINGBUF:
                declared(handle)
            if handle.internal and handle.name.endswith(".rodata"):
                _preset(handle, btf, target_pid)
        if not self._object.programs:
            hint = 'put its probe before the function: SEC("raw_tp/sys_enter") int f(void *ctx) { ... }'
            raise BadInput("%%bpf", "the cell defines no program", hint)
        try:
            self._object.load()
        except libbpf.Refusal as e:
            raise refusals.loading(e, self.compiled.source, self._object.programs) from e
        self._sort(btf)

    def _sort(self, btf: Btf) -> None:
        """Which maps are shown, drained, or neither."""
        sections = {}
        for handle in self._object.maps:
            if handle.internal:
                section = f".{handle.name.rpartition('.')[2]}"
                if section in (".bss", ".data"):
                    sections[section] = handle
            elif handle.type == abi.BPF_MAP_TYPE_RINGBUF:
                self.rings[handle.name] = Ring(handle, btf)
            elif handle.type in SHOWN:
                self.maps[handle.name] = Map(handle, btf)
            else:
                self.not_shown.append(handle.name)
        self.globals = Globals(btf, sections)


def load(source: str | Compiled, *, target_pid: int = 0) -> Program:
    """Compile, where it is not yet, and load into the kernel; nothing runs before `.attach()`.

    Raises what compile() and Program raise.

    >>> with load('SEC("raw_tp/sys_enter") int f(void *ctx) { return 0; }') as program:  # doctest: +SKIP
    ...     program.attach()
    """
    compiled = source if isinstance(source, Compiled) else compile(source)
    return Program(compiled, target_pid)


def _opened(elf: bytes) -> libbpf.Object:
    try:
        return libbpf.Object(elf, "cell")
    except libbpf.Refusal as e:
        raise refusals.opening(e) from e
    except OSError as e:
        raise caps.refused("bpf.libbpf", "open the compiled cell", e) from e


def _has_content(table: pd.DataFrame) -> bool:
    """A map with entries, a ring with records, a global variable that is not zero."""
    if table.attrs["rtnb"]["table"] == "bpf.globals":
        return bool((table.select_dtypes("number") != 0).to_numpy().any())
    return len(table) > 0


def _preset(handle: libbpf.MapHandle, btf: Btf, target_pid: int) -> None:
    for variable in btf.variables(".rodata"):
        if variable.name == TARGET_PID:
            handle.preset(variable.offset, target_pid.to_bytes(4, "little"))

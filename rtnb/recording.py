# SPDX-License-Identifier: MIT
"""What was run, where, and what came of it: a header and tables, in memory and as a folder.

A recording on disk is `header.json` and one Parquet file a table. Both are data: loading one runs no code.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import platform
import re
import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from rtnb import schema
from rtnb.errors import BadInput, BadRecording, Unavailable

__all__ = ["FORMAT", "Header", "Recording", "Tables", "live_or", "load", "load_header"]

FORMAT = "rtnb-recording/1"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class Header:
    """Where a recording came from. Plain JSON when saved; nothing in it is optional to the reader."""

    kind: str
    """The subject that made it: strace, perf_stat, bpf, rt_task."""
    source: tuple[str, ...]
    """The argv that ran, or the cell's source as its one word."""
    engine: str
    """What did the work, in words: "ptrace (C)", "libbpf 1.1", "perf_event_open"."""
    mode: str = "live"
    """live, or recorded."""
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    """When it started, UTC, ISO 8601."""
    kernel: str = field(default_factory=lambda: platform.release())
    """The kernel's release (uname -r) on which it ran."""
    machine: str = field(default_factory=lambda: platform.machine())
    """The machine (uname -m)."""
    exit_status: int | None = None
    """The command's exit status; -N for signal N; None where there was no command."""
    interrupted: bool = False
    """Whether it was interrupted, so that the tables hold only what had come by then."""
    lost: int = 0
    """Events that are known to have been dropped."""
    duration_ns: int = 0
    """How long it ran, CLOCK_MONOTONIC."""
    refused: str = ""
    """Why the live run was refused, where a recording stands in for it."""
    notes: tuple[str, ...] = ()
    """What a reader must know: why a frame is empty, what was scaled, which engine was not available."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What only this kind has, plain JSON."""

    def caption(self) -> str:
        """One line, or one a note: live or recorded, what, where, how it ended.

        >>> Header("strace", ("ls",), "ptrace (C)", kernel="6.18.44", exit_status=0).caption()
        'live · strace ls · kernel 6.18.44 · exit 0'
        """
        source = self.source[0] if len(self.source) == 1 else shlex.join(self.source)
        source = "cell" if "\n" in source.strip() else source.strip()
        source = source if len(source) <= 60 else source[:57] + "..."
        parts = [self.mode if self.mode == "live" else f"recorded {self.started[:10]}"]
        parts += [f"{self.kind} {source}".strip(), f"kernel {self.kernel}"]
        if self.exit_status is not None:
            parts.append(
                f"exit {self.exit_status}" if self.exit_status >= 0 else f"killed by signal {-self.exit_status}"
            )
        if self.interrupted:
            parts.append("interrupted")
        if self.lost:
            parts.append(f"{self.lost:,} events lost")
        lines = [" · ".join(parts)]
        if self.refused:
            lines.append(f"not live because {self.refused}")
        return "\n".join([*lines, *self.notes])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: what is saved, and what travels in `df.attrs["rtnb"]`."""
        return json.loads(json.dumps(dataclasses.asdict(self)))  # type: ignore[no-any-return]

    @classmethod
    def from_json(cls, raw: Any) -> Header:
        """Checked field by field: a header is read from files that anybody may have written."""
        if not isinstance(raw, dict):
            raise TypeError("a header is a JSON object")
        known = {f.name: f.type for f in dataclasses.fields(cls)}
        if missing := {"kind", "source", "engine", "mode", "started", "kernel", "machine"} - raw.keys():
            raise TypeError(f"the header lacks {', '.join(sorted(missing))}")
        if strange := raw.keys() - known.keys():
            raise TypeError(f"the header has unknown fields {', '.join(sorted(strange))}")
        for name, value in raw.items():
            if not isinstance(value, _JSON_TYPES[str(known[name])]) or (known[name] == "int" and value is True):
                raise TypeError(f"the header's {name} is {type(value).__name__}, not {known[name]}")
        texts = {n: tuple(map(str, raw[n])) for n in ("source", "notes") if n in raw}
        return cls(**{**raw, **texts})


_JSON_TYPES: dict[str, Any] = {
    "str": str,
    "int": int,
    "bool": bool,
    "int | None": (int, type(None)),
    "tuple[str, ...]": (list, tuple),
    "Mapping[str, Any]": dict,
}


class Tables(Mapping[str, pd.DataFrame]):
    """Several frames by name, which show themselves as such."""

    def __init__(self, frames: Mapping[str, pd.DataFrame]) -> None:
        self._frames = dict(frames)

    def __getitem__(self, name: str) -> pd.DataFrame:
        return self._frames[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._frames)

    def __len__(self) -> int:
        return len(self._frames)

    def __repr__(self) -> str:
        return "\n\n".join(f"{n}: {len(f):,} rows\n{f}" for n, f in self.items()) or "no tables"

    def _repr_html_(self) -> str:
        parts = (f"<p><b>{n}</b>: {len(f):,} rows</p>{f._repr_html_()}" for n, f in self.items())
        return "".join(parts) or "no tables"


@dataclass(frozen=True)
class Recording:
    """A header and its tables, by name. Frozen; its repr is its caption."""

    header: Header
    tables: Mapping[str, pd.DataFrame]

    def __post_init__(self) -> None:
        raw = self.header.to_json()
        for name, df in self.tables.items():
            if not _NAME.fullmatch(name):
                raise BadInput(f"recording: table name {name!r}", "a table's name is letters, digits, _ . or -")
            schema.mark(df, table=df.attrs.get("rtnb", {}).get("table", f"{self.header.kind}.{name}"), header=raw)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{n}: {len(df):,} rows" for n, df in self.tables.items())
        return f"{self.header.caption()}\n{sizes}"

    @property
    def frame(self) -> pd.DataFrame | Tables:
        """The one table as a frame; several as a mapping of name to frame."""
        return next(iter(self.tables.values())) if len(self.tables) == 1 else Tables(self.tables)

    def with_header(self, **changes: Any) -> Recording:
        """The same tables under a changed header."""
        return Recording(dataclasses.replace(self.header, **changes), self.tables)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the folder `path`: whole or not at all. Only a recording is overwritten.

        Raises BadInput where `path` exists and is not a recording, or cannot be written.
        """
        target = Path(path).expanduser()
        try:
            if target.exists() and not (target / "header.json").is_file():
                raise BadInput(f"save {target}", "it exists and is not a recording", "choose a new path")
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
                _write(self, fresh := Path(scratch) / "new")
                if target.exists():
                    target.rename(Path(scratch) / "old")
                fresh.rename(target)
        except OSError as e:
            raise BadInput(f"save {target}", f"cannot be written ({e.strerror or e})", "choose another path") from e
        return target


def _write(recording: Recording, folder: Path) -> None:
    folder.mkdir()
    tables = {}
    for name, df in recording.tables.items():
        bare = df.copy(deep=False)
        bare.attrs = {}
        bare.to_parquet(folder / f"{name}.parquet", compression="zstd")
        declared = schema.TABLES.get(df.attrs["rtnb"]["table"])
        tables[name] = {
            "table": df.attrs["rtnb"]["table"],
            "version": declared.version if declared else 0,
            "rows": len(df),
        }
    content = {"format": FORMAT, "header": recording.header.to_json(), "tables": tables}
    text = json.dumps(content, indent=1, ensure_ascii=False)
    (folder / "header.json").write_text(text + "\n", encoding="utf-8", errors="surrogateescape")


def load(path: str | os.PathLike[str]) -> Recording:
    """Read a recording; its header says *recorded*.

    Raises BadRecording: no such folder, not a recording, an unknown format or schema version, a damaged file.
    """
    folder = Path(path).expanduser()
    with _damage_told(folder):
        raw = _content(folder)
        tables = {name: _read(folder, name, facts) for name, facts in raw["tables"].items()}
        return Recording(_header(raw), tables)


def load_header(path: str | os.PathLike[str]) -> Header:
    """Read a recording's header alone: what is it, and where from? Raises BadRecording, as load() does."""
    folder = Path(path).expanduser()
    with _damage_told(folder):
        return _header(_content(folder))


@contextlib.contextmanager
def _damage_told(folder: Path) -> Iterator[None]:
    try:
        yield
    except BadRecording:
        raise
    # pyarrow and json raise what they like on damaged input; whatever it is, the file is what is wrong.
    except Exception as e:
        raise BadRecording(f"load {folder}", f"the recording is damaged: {' '.join(str(e).split())[:200]}") from e


def _content(folder: Path) -> dict[str, Any]:
    """What header.json holds."""
    tried = f"load {folder}"
    if not (folder / "header.json").is_file():
        why = "there is no such folder" if not folder.exists() else "it holds no header.json"
        raise BadRecording(tried, f"not a recording: {why}", "a recording is a folder made with --save or .save()")
    raw = json.loads((folder / "header.json").read_text(encoding="utf-8"))
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        found = raw.get("format") if isinstance(raw, dict) else type(raw).__name__
        hint = "it may come from a newer rtnb"
        raise BadRecording(tried, f"unknown format {str(found)[:60]!r}, this rtnb reads {FORMAT}", hint)
    return raw


def _header(raw: Mapping[str, Any]) -> Header:
    return dataclasses.replace(Header.from_json(raw["header"]), mode="recorded")


def _read(folder: Path, name: str, facts: Mapping[str, Any]) -> pd.DataFrame:
    if not _NAME.fullmatch(name):
        raise TypeError(f"table name {name!r}")
    declared = schema.TABLES.get(str(facts["table"]))  # none, version 0: columns that a cell's own C declared
    if facts["version"] != (declared.version if declared else 0):
        reads = f"version {declared.version}" if declared else "none of that name"
        why = f"unknown schema: table {facts['table']} of version {facts['version']}, this rtnb reads {reads}"
        raise BadRecording(f"load {folder}", why, "record it anew with --save, or use the rtnb that made it")
    df = pd.read_parquet(folder / f"{name}.parquet", engine="pyarrow")
    if len(df) != facts["rows"]:
        raise TypeError(f"table {name} has {len(df)} rows, the header says {facts['rows']}")
    df.attrs = {}
    found = {str(column): str(dtype) for column, dtype in df.dtypes.items()}
    if declared and found != {c.name: c.dtype for c in declared.columns}:
        raise TypeError(f"table {name} has columns {found}, not those of {declared.name}")
    return schema.mark(df, table=str(facts["table"]))


def live_or(live: Callable[[], Recording], path: str | os.PathLike[str] | None) -> Recording:
    """Run live; on `Unavailable` alone, and where a path is given, load the recording and say why."""
    try:
        return live()
    except Unavailable as e:
        if path is None:
            raise
        found = load(path)
        return found.with_header(refused=f"{e.tried}: {e.why}")

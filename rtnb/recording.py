# SPDX-License-Identifier: MIT
"""What was run, where, and what came of it: a header and tables, in memory and as a folder.

A recording on disk is `header.json` and one Parquet file a table. Both are data: loading one runs no code.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import html
import json
import os
import platform
import re
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from rtnb import schema
from rtnb.errors import BadInput, BadRecording, Unavailable
from rtnb.text import printable

__all__ = ["FORMAT", "Header", "Recording", "Tables", "check_name", "live_or", "load", "load_header", "renew"]

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
    """live, recorded, or computed: then no kernel had a part in it."""
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
        """One line, or one a note: live or recorded, what, where, how it ended. No control characters.

        >>> Header("strace", ("ls",), "ptrace (C)", kernel="6.18.44", exit_status=0).caption()
        'live · strace ls · kernel 6.18.44 · exit 0'
        """
        source = self.source[0].strip() if len(self.source) == 1 else shlex.join(self.source)
        source = "cell" if len(self.source) == 1 and "\n" in source else printable(source)
        source = source if len(source) <= 60 else source[:57] + "..."
        parts = [f"recorded {self.started[:10]}" if self.mode == "recorded" else self.mode]
        parts += [f"{self.kind} {source}".strip(), *([f"kernel {self.kernel}"] if self.kernel else [])]
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
        return "\n".join(map(printable, [*lines, *self.notes]))

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
            wanted = str(known[name])
            # To Python True is an int.
            if not isinstance(value, _JSON_TYPES[wanted]) or (isinstance(value, bool) and wanted != "bool"):
                raise TypeError(f"the header's {name} is {type(value).__name__}, not {wanted}")
        if below := [name for name in ("lost", "duration_ns") if raw.get(name, 0) < 0]:
            raise ValueError(f"the header's {below[0]} is below zero")
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
        with pd.option_context("display.max_colwidth", 120):
            parts = [f"<p><b>{html.escape(n)}</b>: {len(f):,} rows</p>{f._repr_html_()}" for n, f in self.items()]
        return "".join(parts) or "no tables"


@dataclass(frozen=True)
class Recording:
    """A header and its tables, by name. Frozen; its repr is its caption.

    The frames are shallow copies of those it is made of: the header travels in theirs alone.
    """

    header: Header
    tables: Mapping[str, pd.DataFrame]

    def __post_init__(self) -> None:
        raw, tables = self.header.to_json(), {}
        for name, df in self.tables.items():
            check_name(name)
            table = df.attrs.get("rtnb", {}).get("table", f"{self.header.kind}.{name}")
            tables[name] = schema.mark(df.copy(deep=False), table=table, header=raw)
        object.__setattr__(self, "tables", tables)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{n}: {len(df):,} rows" for n, df in self.tables.items())
        return f"{self.header.caption()}\n{sizes}"

    @property
    def frame(self) -> pd.DataFrame | Tables:
        """The one table as a frame; several as a mapping of name to frame."""
        return next(iter(self.tables.values())) if len(self.tables) == 1 else Tables(self.tables)

    def with_header(self, **changes: Any) -> Recording:
        """The same tables under a changed header; this recording stays as it is."""
        return Recording(dataclasses.replace(self.header, **changes), self.tables)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the folder `path`: whole or not at all. Only a recording is overwritten.

        A frame that no longer is as its table declares, since columns were added or left out, is kept as it is.
        Raises BadInput where `path` exists and is not a recording, or cannot be written.
        """
        tried = f"save {os.fspath(path)}"
        try:
            target = _folder(path)
            if _is_foreign(target):
                raise BadInput(tried, "it exists and is not a recording", "choose a new path")
            target.parent.mkdir(parents=True, exist_ok=True)
            _write_beside(self, target)
        except BadInput:
            raise
        except (OSError, ValueError, RuntimeError) as e:
            raise BadInput(tried, f"cannot be written ({_said(e)})", "choose another path") from e
        return target


def _folder(path: str | os.PathLike[str]) -> Path:
    """The path, ~ included. Raises ValueError and RuntimeError for what can be no path."""
    folder = Path(path).expanduser()
    if b"\0" in os.fsencode(folder):
        raise ValueError("a path holds no NUL")
    return folder


def _is_foreign(target: Path) -> bool:
    """Is there something that is no recording, and stays? Another save may replace one while it is looked at."""
    try:
        first = target.stat().st_ino
        return not (target / "header.json").is_file() and target.stat().st_ino == first
    except FileNotFoundError:
        return False


def _said(error: Exception) -> str:
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(words.split())[:200]


def check_name(name: str) -> None:
    """May a table be called so? Raises BadInput."""
    if not _NAME.fullmatch(name):
        raise BadInput(f"recording: table name {name!r}", "a table's name is up to 64 letters, digits, _ . or -")


def _write_beside(recording: Recording, target: Path) -> None:
    """Write into a folder next to `target`, and let that take its place."""
    scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=".rtnb-"))
    fresh, old, keep = scratch / "new", scratch / "old", False
    try:
        _write(recording, fresh)
        with _alone(target.parent):
            try:
                _replace(target, fresh, old)
            finally:  # the old recording goes only once there is one in its place
                keep = old.exists() and not target.exists()
    finally:
        if not keep:
            shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Saves into a folder take turns, where folders can be locked: not on Windows, not on every file system."""
    with contextlib.ExitStack() as opened:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fd = os.open(folder, os.O_RDONLY)
            opened.callback(os.close, fd)
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield


def _replace(target: Path, fresh: Path, old: Path) -> None:
    """Put `fresh` where `target` is, which goes to `old`, and comes back should anything go wrong.

    Where two could not take turns, one may find that the other's recording is there by now: BadInput.
    """
    try:
        if target.exists():
            target.rename(old)
        fresh.rename(target)
    except BaseException as e:
        if old.exists() and not target.exists():
            old.rename(target)
        if isinstance(e, OSError) and e.errno in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
            why = "another recording was saved there at the same time"
            raise BadInput(f"save {target}", why, "give each its own path") from e
        raise


def _write(recording: Recording, folder: Path) -> None:
    folder.mkdir()
    tables = {}
    for name, df in recording.tables.items():
        _write_table(df, folder / f"{name}.parquet")
        table = df.attrs["rtnb"]["table"]
        version = schema.TABLES[table].version if schema.as_declared(df, table) else 0
        tables[name] = {"table": table, "version": version, "rows": len(df)}
    content = {"format": FORMAT, "header": recording.header.to_json(), "tables": tables}
    # ASCII: a word of an argv that is no UTF-8 has lone surrogates, which JSON's escapes alone can hold.
    (folder / "header.json").write_text(json.dumps(content, indent=1) + "\n", encoding="ascii")


def _write_table(df: pd.DataFrame, path: Path) -> None:
    bare = df.copy(deep=False)
    bare.attrs = {}
    try:
        bare.to_parquet(path, compression="zstd")
    except OSError:
        raise
    except Exception as e:  # pyarrow's for what Parquet cannot hold: a column of lists and numbers, two of one name
        why = f"this frame cannot be stored as Parquet ({_said(e)})"
        raise BadInput(f"save the table {path.stem}", why, "leave out or convert the columns that were added") from e


def load(path: str | os.PathLike[str]) -> Recording:
    """Read a recording; its header says *recorded*.

    Raises BadRecording: no such folder, not a recording, an unknown format or schema version, a damaged file.
    """
    with _damage_told(path):
        folder = _folder(path)
        raw = _content(folder)
        tables = {name: _read(folder, name, facts) for name, facts in raw["tables"].items()}
        return Recording(_header(raw), tables)


def load_header(path: str | os.PathLike[str]) -> Header:
    """Read a recording's header alone: what is it, and where from? Raises BadRecording, as load() does."""
    with _damage_told(path):
        return _header(_content(_folder(path)))


@contextlib.contextmanager
def _damage_told(path: str | os.PathLike[str]) -> Iterator[None]:
    tried = f"load {os.fspath(path)}"
    try:
        yield
    except BadRecording:
        raise
    # pyarrow and json raise what they like on damaged input; whatever it is, the file is what is wrong.
    except Exception as e:
        # An error of the kernel's has a number; pyarrow's own OSError for a broken file has none.
        unread = isinstance(e, OSError) and e.errno and not isinstance(e, FileNotFoundError)
        why = f"it cannot be read ({_said(e)})" if unread else f"the recording is damaged: {_said(e)}"
        raise BadRecording(tried, why) from e


def _content(folder: Path) -> dict[str, Any]:
    """What header.json holds."""
    tried = f"load {folder}"
    try:
        text = (folder / "header.json").read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as e:
        why = "it holds no header.json" if folder.exists() else "there is no such folder"
        hint = "a recording is a folder made with --save or .save()"
        raise BadRecording(tried, f"not a recording: {why}", hint) from e
    raw = json.loads(text)
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
    table, version = str(facts["table"]), facts["version"]
    declared = schema.TABLES.get(table)
    # Version 0: columns as they are, those that a cell's own C declared, or of a frame that was changed.
    if version != 0 and version != (declared.version if declared else 0):
        reads = f"version {declared.version}" if declared else "none of that name"
        why = f"unknown schema: table {table[:60]} of version {str(version)[:20]}, this rtnb reads {reads}"
        raise BadRecording(f"load {folder}", why, "record it anew with --save, or use the rtnb that made it")
    df = pd.read_parquet(folder / f"{name}.parquet", engine="pyarrow")
    if len(df) != facts["rows"]:
        raise TypeError(f"table {name} has {len(df)} rows, the header says {facts['rows']}")
    df.attrs = {}
    if version != 0 and not schema.as_declared(df, table):
        found = {str(column): str(dtype) for column, dtype in df.dtypes.items()}
        raise TypeError(f"table {name} has columns {found}, not those of {table}")
    return schema.mark(df, table=table)


_renewing = False


def renew(on: bool) -> None:
    """Whether live_or() runs live whatever comes, and saves what it would have fallen back to (`make record`)."""
    global _renewing
    _renewing = on


def live_or(live: Callable[[], Recording], path: str | os.PathLike[str] | None) -> Recording:
    """Run live; on `Unavailable` alone, and where a path is given, load the recording and say why."""
    try:
        found = live()
    except Unavailable as e:
        if path is None or _renewing:
            raise
        return load(path).with_header(refused=f"{e.tried}: {e.why}")
    if path is not None and _renewing:
        found.save(path)
    return found

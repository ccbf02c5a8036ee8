# SPDX-License-Identifier: MIT
"""What was changed on the system and not put back? A killed notebook leaves it here, and `undo` puts it back.

A context manager that changes another process, or the system, writes an entry first and removes it once all is as it
was. An entry is one JSON file in a private folder of the user's: $XDG_STATE_HOME/rtnb/journal, or
~/.local/state/rtnb/journal (XDG Base Directory Specification). It holds data only; what puts a kind back is code of
rtnb's, registered under the kind's name:

    @journal.handler("sched")
    def _put_back(before: Mapping[str, Any]) -> str: ...

An entry names the process that made it, by pid and start time: as long as that lives, nobody else touches it.
What cannot be read, or put back, is told and kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from rtnb import schema
from rtnb.errors import NotPermitted, RtnbError
from rtnb.schema import column, table
from rtnb.text import printable

__all__ = ["Entry", "done", "folder", "handler", "pending", "undo", "write"]

_FORMAT = "rtnb-journal/1"
_LARGEST = 10 * 2**20
"""More bytes than any entry of rtnb's has."""

Handler = Callable[[Mapping[str, Any]], str]
_HANDLERS: dict[str, Handler] = {}


@table("journal.entries", version=1)
@dataclass(frozen=True)
class Entry:
    """One change of the system, and what became of it."""

    made: str = column("str", "", "when, UTC, ISO 8601")
    kind: str = column("category", "", "what sort of change: sched, ...")
    what: str = column("str", "", "what was changed, in words")
    owner: int = column("Int64", "", "the process that made it")
    state: str = column(
        "category",
        "",
        "in use: its owner lives; left behind; elsewhere: made on another machine or in another pid namespace; "
        "damaged; and of undo: put back, failed",
    )
    detail: str = column("str", "", "what was put back, or why it could not be")
    file: str = column("str", "", "the entry's file")


def handler(kind: str) -> Callable[[Handler], Handler]:
    """Register what puts back changes of this kind.

    It gets the entry's `before`, which it must check, for it comes from a file. It returns what it put back, in
    words, and raises RtnbError, OSError, ValueError, TypeError or KeyError where it cannot. Twice must be fine.
    """

    def register(function: Handler) -> Handler:
        _HANDLERS[kind] = function
        return function

    return register


def write(kind: str, what: str, before: Mapping[str, Any]) -> Path:
    """Note, before it is made, a change of this kind: in words, and what was before, as plain JSON.

    Returns the entry, for done(). Raises NotPermitted where the journal cannot be kept: then change nothing.
    """
    if kind not in _HANDLERS:
        raise TypeError(f"no handler for journal entries of kind {kind!r}")
    owner = {"pid": os.getpid(), "start": _start(os.getpid()), **_here()}
    made = datetime.now(UTC).isoformat(timespec="milliseconds")
    content = {"format": _FORMAT, "kind": kind, "what": what, "made": made, "owner": owner, "before": before}
    try:
        place = folder(create=True)
        fd, scratch = tempfile.mkstemp(dir=place, prefix=".")
        with open(fd, "w", encoding="ascii") as file:
            json.dump(content, file)
        entry = place / f"{made.replace(':', '')}-{os.getpid()}-{Path(scratch).name[1:]}.json"
        os.rename(scratch, entry)  # whole or not at all
    except OSError as e:
        why = f"the journal, which tells how to put it back, cannot be written ({e.strerror})"
        raise NotPermitted(what, why, "name a folder of your own in XDG_STATE_HOME") from e
    return entry


def done(entry: Path) -> None:
    """All is as it was before the entry was written: remove it. One that undo() has removed is no error."""
    entry.unlink(missing_ok=True)


def folder(create: bool = False) -> Path:
    """The journal's folder; only its owner may enter. Raises NotPermitted where others could write there."""
    state = os.environ.get("XDG_STATE_HOME", "")
    place = Path(state if os.path.isabs(state) else Path.home() / ".local/state") / "rtnb/journal"
    if create:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        found = place.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            why = "it is not a folder that only you may enter"
            raise NotPermitted(f"journal {place}", why, f"see what it holds, then remove it: rm -r {place}")
    return place


def pending() -> pd.DataFrame:
    """What is noted and not put back: a row an entry (journal.entries). Changes nothing.

    Raises NotPermitted where the folder is not the user's alone.
    """
    return _frame([_row(path, *_look(path)) for path in _entries()])


def undo() -> pd.DataFrame:
    """Put back what killed processes left behind, and return what was done: a row an entry (journal.entries).

    An entry is removed once it is put back, or once the machine was booted anew, for then nothing is left of it.
    Raises NotPermitted where the folder is not the user's alone.
    """
    with _alone():
        return _frame([_row(path, *_put_back(path, *_look(path))) for path in _entries()])


def _put_back(path: Path, raw: Mapping[str, Any], state: str, detail: str) -> tuple[Mapping[str, Any], str, str]:
    if state != "left behind":
        return raw, state, detail
    try:
        said = _HANDLERS[raw["kind"]](raw["before"]) if _booted_here(raw["owner"]) else "the machine was booted anew"
    except (RtnbError, OSError, ValueError, TypeError, KeyError, AttributeError) as e:
        return raw, "failed", str(e) if isinstance(e, RtnbError) else f"{type(e).__name__}: {e}"
    done(path)
    return raw, "put back", said


def _look(path: Path) -> tuple[Mapping[str, Any], str, str]:
    """An entry's content, its state, and what is wrong with it."""
    try:
        raw = _read(path)
        owner, here = raw["owner"], _here()
        if owner["node"] != here["node"] or (_booted_here(owner) and owner["namespace"] != here["namespace"]):
            return raw, "elsewhere", "made on another machine, or in another pid namespace"
        if raw["kind"] not in _HANDLERS:
            return raw, "damaged", f"this rtnb knows no changes of kind {raw['kind'][:60]!r}"
        lives = _booted_here(owner) and _start(owner["pid"]) == owner["start"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as e:
        return {}, "damaged", f"it cannot be read: {type(e).__name__}: {e}"
    return raw, "in use" if lives else "left behind", ""


def _read(path: Path) -> Mapping[str, Any]:
    """A regular file of moderate size, with the fields of an entry."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ValueError("not a file")
        with open(fd, "rb", closefd=False) as file:
            text = file.read(_LARGEST + 1)
    finally:
        os.close(fd)
    if len(text) > _LARGEST:
        raise ValueError(f"more than {_LARGEST:,} bytes")
    raw = json.loads(text)
    if not isinstance(raw, dict) or raw.get("format") != _FORMAT:
        raise ValueError(f"not of the format {_FORMAT}")
    owner = raw["owner"]
    words = [raw["kind"], raw["what"], raw["made"], owner["node"], owner["boot"], owner["namespace"]]
    if not all(isinstance(word, str) for word in words) or not isinstance(raw["before"], dict):
        raise TypeError("a field is not of its type")
    if type(owner["pid"]) is not int or type(owner["start"]) is not int or owner["pid"] <= 0:
        raise TypeError("its owner is no process")
    return raw


def _entries() -> list[Path]:
    try:
        return sorted(path for path in folder().iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        return []


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Two who undo take turns."""
    import fcntl  # Windows has no such module, and loads recordings all the same

    with contextlib.ExitStack() as opened, contextlib.suppress(FileNotFoundError):
        fd = os.open(folder(), os.O_RDONLY | os.O_CLOEXEC)
        opened.callback(os.close, fd)
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
        return
    yield


def _row(path: Path, raw: Mapping[str, Any], state: str, detail: str) -> dict[str, Any]:
    owner = raw["owner"]["pid"] if raw else None
    words = {name: printable(str(raw.get(name, ""))) for name in ("made", "kind", "what")}
    return {**words, "owner": owner, "state": state, "detail": printable(detail), "file": printable(str(path))}


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    names = [c.name for c in schema.TABLES["journal.entries"].columns]
    return schema.frame(Entry, {name: [row[name] for row in rows] for name in names})


def _here() -> dict[str, str]:
    """What tells this boot of this machine, and this pid namespace, from any other."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return {"node": platform.node(), "boot": boot, "namespace": os.readlink("/proc/self/ns/pid")}


def _booted_here(owner: Mapping[str, Any]) -> bool:
    return bool(owner["boot"] == _here()["boot"])


def _start(pid: int) -> int:
    """When a process started, in clock ticks; 0 where it is gone, or dead and not yet waited for."""
    try:
        words = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if words[0] in (b"Z", b"X") else int(words[19])

# SPDX-License-Identifier: MIT
"""Where is the C core, and why is it not there? One executable, `rtnb-core`, with a subcommand a loop."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

__all__ = ["Status", "memfd", "path", "read_status", "status"]

_STATUS = struct.Struct("<iiQQ40s")


class Status(NamedTuple):
    """struct status of core.h: how a loop ended."""

    error: int
    wait_status: int
    records: int
    lost: int
    what: str


def path() -> str:
    """The path of `rtnb-core`. Raises FileNotFoundError where the package was installed without it."""
    program = Path(__file__).with_name("rtnb-core")
    if not program.is_file():
        raise FileNotFoundError(errno.ENOENT, "rtnb was installed without its C core", str(program))
    return str(program)


@contextmanager
def memfd(name: str, size: int = 0) -> Iterator[int]:
    """Memory that a loop and its reader share, as a descriptor, and that is gone with them. Raises OSError."""
    fd = os.memfd_create(f"rtnb-{name}")
    try:
        os.ftruncate(fd, size)
        yield fd
    finally:
        os.close(fd)


def read_status(fd: int) -> Status | None:
    """The status at the start of a memfd; None where the loop was killed before it wrote one. Raises OSError."""
    return status(os.pread(fd, _STATUS.size, 0))


def status(raw: bytes) -> Status | None:
    """The status that a loop wrote; None where it was killed before it could."""
    if len(raw) < _STATUS.size:
        return None
    error, wait_status, records, lost, what = _STATUS.unpack(raw[: _STATUS.size])
    return Status(error, wait_status, records, lost, what.rstrip(b"\0").decode())

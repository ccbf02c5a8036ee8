# SPDX-License-Identifier: MIT
"""linux/mount.h: a file system also where it is not mounted. A mount of our own that nobody else sees.

Most containers and small machines mount neither tracefs nor debugfs, and mounting them would change the system for
everybody. fsmount(2) gives a mount that is attached nowhere and ends with its descriptor.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from rtnb.abi.syscall import syscall

__all__ = ["DEBUGFS", "HEADERS", "PLACES", "debugfs", "tracefs"]

HEADERS = ("linux/mount.h",)

FSOPEN_CLOEXEC = 1
FSMOUNT_CLOEXEC = 1
FSCONFIG_CMD_CREATE = 6
MOUNT_ATTR_RDONLY = 1

PLACES = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
"""Where tracefs is mounted."""
DEBUGFS = ("/sys/kernel/debug",)
"""Where debugfs is mounted."""


def tracefs() -> AbstractContextManager[tuple[int, str]]:
    """A descriptor of the root of tracefs, for `dir_fd=`, and a word on where it comes from.

    Raises OSError: EPERM without CAP_SYS_ADMIN where it is not mounted, ENODEV where the kernel has none.
    """
    return _mounted("tracefs", PLACES, "events")


def debugfs() -> AbstractContextManager[tuple[int, str]]:
    """The same for debugfs, whose folders are the kernel's own parts: `sched/debug`, for one."""
    return _mounted("debugfs", DEBUGFS, "sched")


@contextmanager
def _mounted(kind: str, places: tuple[str, ...], part: str) -> Iterator[tuple[int, str]]:
    place = next((place for place in places if os.path.isdir(f"{place}/{part}")), None)
    folder = os.open(place, os.O_PATH | os.O_DIRECTORY) if place else _detached(kind)
    try:
        yield folder, place or f"{kind} is not mounted: a mount of our own was used"
    finally:
        os.close(folder)


def _detached(kind: str) -> int:
    context = syscall("fsopen", kind.encode(), FSOPEN_CLOEXEC)
    try:
        syscall("fsconfig", context, FSCONFIG_CMD_CREATE, None, None, 0)
        return syscall("fsmount", context, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY)
    finally:
        os.close(context)

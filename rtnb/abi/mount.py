# SPDX-License-Identifier: MIT
"""linux/mount.h: a file system also where it is not mounted. A mount of our own that nobody else sees.

Most containers and small machines do not mount tracefs, and mounting it would change the system for everybody.
fsmount(2) gives a mount that is attached nowhere and ends with its descriptor.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

from rtnb.abi.syscall import syscall

__all__ = ["HEADERS", "PLACES", "tracefs"]

HEADERS = ("linux/mount.h",)

FSOPEN_CLOEXEC = 1
FSMOUNT_CLOEXEC = 1
FSCONFIG_CMD_CREATE = 6
MOUNT_ATTR_RDONLY = 1

PLACES = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")


@contextmanager
def tracefs() -> Iterator[tuple[int, str]]:
    """A descriptor of the root of tracefs, for `dir_fd=`, and a word on where it comes from.

    Raises OSError: EPERM without CAP_SYS_ADMIN where it is not mounted, ENODEV where the kernel has none.
    """
    place = next((place for place in PLACES if os.path.isdir(f"{place}/events")), None)
    folder = os.open(place, os.O_PATH | os.O_DIRECTORY) if place else _detached()
    try:
        yield folder, place or "tracefs is not mounted: a mount of our own was used"
    finally:
        os.close(folder)


def _detached() -> int:
    name = ctypes.create_string_buffer(b"tracefs")
    context = syscall("fsopen", name, FSOPEN_CLOEXEC)
    try:
        syscall("fsconfig", context, FSCONFIG_CMD_CREATE, None, None, 0)
        return syscall("fsmount", context, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY)
    finally:
        os.close(context)

# SPDX-License-Identifier: MIT
"""Which system calls are meant, which of their arguments is a path, and what are numbers called?"""

from __future__ import annotations

import errno
import platform
import signal
from collections.abc import Sequence

from rtnb.abi.syscall import NUMBERS
from rtnb.errors import BadInput, closest

__all__ = ["PATH_ARGUMENT", "errno_name", "plan", "signal_name", "wanted"]

_PATHS = {
    0: """access acct chdir chmod chown chroot creat delete_module execve fsopen getxattr lchown lgetxattr link
        listxattr llistxattr lremovexattr lsetxattr lstat memfd_create mkdir mknod mount mq_open mq_unlink open
        pivot_root readlink removexattr rename rmdir setxattr stat statfs swapoff swapon truncate umount2 unlink
        uselib utime utimes""",
    1: """execveat faccessat faccessat2 fchmodat fchmodat2 fchownat file_getattr file_setattr fspick futimesat
        inotify_add_watch linkat mkdirat mknodat mount_setattr move_mount name_to_handle_at newfstatat open_tree
        open_tree_attr openat openat2 quotactl readlinkat renameat renameat2 statx symlink unlinkat utimensat
        getxattrat listxattrat removexattrat setxattrat""",
    2: "symlinkat",
    4: "fanotify_mark",
}
PATH_ARGUMENT = {name: position for position, names in _PATHS.items() for name in names.split()}
"""System call name to the argument that is its path (the first of two; of a symbolic link the link itself)."""


def wanted(trace: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """The names in `openat,read`, `trace=openat,read` or a sequence of names; None for all of them.

    Raises BadInput for a name that this machine's kernel interface does not have, with the closest that it has.
    """
    if trace is None:
        return None
    text = trace if isinstance(trace, str) else ",".join(trace)
    names = [name.strip() for name in text.strip().removeprefix("trace=").split(",")]
    if names == ["all"]:
        return None
    for name in names:
        if name not in NUMBERS:
            why = f"{platform.machine()} has no system call of that name" if name else "a name is missing"
            near = "" if name.startswith(("%", "!", "/", "?")) else closest(name, NUMBERS)
            raise BadInput(f"trace {text!r}: {name!r}", why, near or "write the names of system calls: openat,read")
    return tuple(dict.fromkeys(names))


def plan(names: Sequence[str] | None) -> str:
    """What `rtnb-core trace -c` is told: a character for each number, the last for all further ones (see core.h)."""
    size = max(NUMBERS.values(), default=-1) + 1
    rest = "-" if names is None else "."
    characters = [rest] * (size + 1)
    for name in NUMBERS if names is None else names:
        characters[NUMBERS[name]] = str(PATH_ARGUMENT.get(name, "-"))
    return "".join(characters)


# What a system call returns when a signal interrupts it, seen by tracers alone (include/linux/errno.h).
_RESTARTS = {512: "ERESTARTSYS", 513: "ERESTARTNOINTR", 514: "ERESTARTNOHAND", 516: "ERESTART_RESTARTBLOCK"}
# Of two names for a number Python may give the one that strace and the kernel do not use.
_ERRNOS = {**errno.errorcode, **_RESTARTS, errno.EDEADLK: "EDEADLK", errno.EOPNOTSUPP: "EOPNOTSUPP"}


def errno_name(number: int) -> str:
    """ENOENT for 2; the kernel's own ERESTART* too.

    >>> errno_name(2), errno_name(512)
    ('ENOENT', 'ERESTARTSYS')
    """
    return _ERRNOS.get(number, f"errno_{number}")


def signal_name(number: int) -> str:
    """SIGUSR1 for 10; real-time signals count from the kernel's first, 32, as strace counts them.

    >>> signal_name(10), signal_name(34)
    ('SIGUSR1', 'SIGRT_2')
    """
    if number > 32:
        return f"SIGRT_{number - 32}"
    return "SIGRTMIN" if number == 32 else signal.Signals(number).name

# SPDX-License-Identifier: MIT
"""Which capabilities has a process? The numbers of linux/capability.h, and the effective set from /proc."""

from __future__ import annotations

__all__ = ["HEADERS", "NAMES", "effective"]

HEADERS = ("linux/capability.h",)

CAP_CHOWN = 0
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
CAP_FOWNER = 3
CAP_FSETID = 4
CAP_KILL = 5
CAP_SETGID = 6
CAP_SETUID = 7
CAP_SETPCAP = 8
CAP_LINUX_IMMUTABLE = 9
CAP_NET_BIND_SERVICE = 10
CAP_NET_BROADCAST = 11
CAP_NET_ADMIN = 12
CAP_NET_RAW = 13
CAP_IPC_LOCK = 14
CAP_IPC_OWNER = 15
CAP_SYS_MODULE = 16
CAP_SYS_RAWIO = 17
CAP_SYS_CHROOT = 18
CAP_SYS_PTRACE = 19
CAP_SYS_PACCT = 20
CAP_SYS_ADMIN = 21
CAP_SYS_BOOT = 22
CAP_SYS_NICE = 23
CAP_SYS_RESOURCE = 24
CAP_SYS_TIME = 25
CAP_SYS_TTY_CONFIG = 26
CAP_MKNOD = 27
CAP_LEASE = 28
CAP_AUDIT_WRITE = 29
CAP_AUDIT_CONTROL = 30
CAP_SETFCAP = 31
CAP_MAC_OVERRIDE = 32
CAP_MAC_ADMIN = 33
CAP_SYSLOG = 34
CAP_WAKE_ALARM = 35
CAP_BLOCK_SUSPEND = 36
CAP_AUDIT_READ = 37
CAP_PERFMON = 38
CAP_BPF = 39
CAP_CHECKPOINT_RESTORE = 40

NAMES: dict[int, str] = {number: name for name, number in list(globals().items()) if name.startswith("CAP_")}
"""Number to name, as capabilities(7) spells it."""


def effective(pid: int | str = "self") -> frozenset[str]:
    """The names in the effective set (CapEff of /proc/PID/status), which is what the kernel checks.

    A capability that this table does not know yet comes as "CAP_63". Raises OSError where the process is gone.
    Source: capabilities(7), proc(5).

    >>> "CAP_SYS_NICE" in effective()
    True
    """
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
        line = next(line for line in status if line.startswith("CapEff:"))
    mask = int(line.split()[1], 16)
    return frozenset(NAMES.get(bit, f"CAP_{bit}") for bit in range(64) if mask >> bit & 1)

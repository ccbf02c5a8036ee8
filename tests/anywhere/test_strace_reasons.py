# SPDX-License-Identifier: MIT
"""Why may a process not trace? Each refusal finds its own reason and remedy."""

from __future__ import annotations

import errno
import os

import pytest

from rtnb import caps
from rtnb.caps import strace as probes
from rtnb.errors import NotPermitted, NotSupported, Unavailable


@pytest.mark.parametrize(
    ("number", "yama", "filtered", "kind", "says"),
    [
        (errno.EPERM, 2, False, NotPermitted, "ptrace_scope is 2"),
        (errno.EPERM, 3, True, NotPermitted, "until a reboot"),
        (errno.EPERM, 1, True, NotPermitted, "a seccomp filter"),
        (errno.ENOSYS, 0, True, NotPermitted, "a seccomp filter"),
        (errno.EIO, 1, False, NotSupported, "PTRACE_GET_SYSCALL_INFO"),
        (errno.EPERM, 0, False, Unavailable, "ptrace failed: Operation not permitted"),
        (errno.ENOENT, 0, False, NotSupported, "without its C core"),
    ],
)
def test_a_refusal_names_its_reason(
    monkeypatch: pytest.MonkeyPatch, number: int, yama: int, filtered: bool, kind: type, says: str
) -> None:
    monkeypatch.setattr(probes, "_yama", lambda: yama)
    monkeypatch.setattr(probes, "_filtered", lambda: filtered)
    refusal = caps.refused("strace.ptrace", "trace ls", OSError(number, os.strerror(number)))
    assert type(refusal) is kind
    assert says in str(refusal)
    assert len(str(refusal).split("\n")) <= 3

# SPDX-License-Identifier: MIT
"""Look into the Linux kernel from a notebook: `%load_ext rtnb`, then `%strace ls`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtnb import accessor, bpf, caps, journal, lives, perf, rt, sched, strace, theory
from rtnb.recording import Header, Recording, Tables, live_or, load

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__version__ = "0.1.0"
__all__ = [
    "Header",
    "Recording",
    "Tables",
    "accessor",
    "bpf",
    "caps",
    "journal",
    "live_or",
    "lives",
    "load",
    "load_ipython_extension",
    "perf",
    "rt",
    "sched",
    "strace",
    "theory",
    "unload_ipython_extension",
]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """`%load_ext rtnb`: register the magics. The library itself needs no IPython."""
    from rtnb.magics import register

    register(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """`%unload_ext rtnb`: take the magics away again."""
    from rtnb.magics import unregister

    unregister(shell)

# SPDX-License-Identifier: MIT
"""May this process ...? Yes; no, because ...; or cannot tell.

Each capability is probed by trying it, and a refusal's binding reason is looked up, not guessed. The same
look-up words the error of the tool that was refused. Nothing is cached: a setting may change under a notebook.
"""

# ruff: noqa: F401 - a module of probes is imported for the probes that it registers

from __future__ import annotations

from rtnb.caps import bpf as _bpf
from rtnb.caps import core as _core
from rtnb.caps import perf as _perf
from rtnb.caps import rt as _rt
from rtnb.caps import strace as _strace
from rtnb.caps.answer import CAPABILITIES, Answer, Reason, ask, capability, linux, refused, require
from rtnb.caps.core import core_path
from rtnb.caps.doctor import doctor

__all__ = [
    "CAPABILITIES",
    "Answer",
    "Reason",
    "ask",
    "capability",
    "core_path",
    "doctor",
    "linux",
    "refused",
    "require",
]

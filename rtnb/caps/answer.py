# SPDX-License-Identifier: MIT
"""What is an answer? A capability is an attempt that leaves nothing behind, and a look-up of its refusals."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from rtnb.errors import NotPermitted, NotSupported, Unavailable

__all__ = ["CAPABILITIES", "Answer", "Capability", "Reason", "ask", "capability", "linux", "refused", "require"]


@dataclass(frozen=True)
class Reason:
    """Why the kernel refused. `kind`: permission, support, or unknown where the cause cannot be told."""

    kind: str
    why: str
    remedy: str = ""


@dataclass(frozen=True)
class Capability:
    """Something a process may or may not do here. `attempt` returns its evidence or raises OSError."""

    name: str
    what: str
    attempt: Callable[[], str]
    reason: Callable[[OSError], Reason]


@dataclass(frozen=True)
class Answer:
    """One row of the doctor's table; `verdict` is "yes", "no" or "cannot tell"."""

    capability: str
    what: str
    verdict: str
    why: str
    remedy: str = ""


_ELSEWHERE = Reason("support", "this machine does not run Linux", "recordings can be loaded, summarised and plotted")
_ERRORS = {"permission": NotPermitted, "support": NotSupported}

CAPABILITIES: dict[str, Capability] = {}
"""Every capability by name, "subject.ability", in the order of the doctor's table."""


def capability(
    name: str, what: str, reason: Callable[[OSError], Reason]
) -> Callable[[Callable[[], str]], Callable[[], str]]:
    """Register an attempt under `name`; `what` completes the question "may this process ...?"."""

    def register(attempt: Callable[[], str]) -> Callable[[], str]:
        CAPABILITIES[name] = Capability(name, what, attempt, reason)
        return attempt

    return register


def ask(name: str) -> Answer:
    """Try it, and say what came of it. Raises KeyError for a name that is not in CAPABILITIES."""
    cap = CAPABILITIES[name]
    try:
        return Answer(name, cap.what, "yes", _attempt(cap))
    except OSError as e:
        reason = _reason(cap, e)
        verdict = "cannot tell" if reason.kind == "unknown" else "no"
        return Answer(name, cap.what, verdict, reason.why, reason.remedy)


def refused(name: str, tried: str, error: OSError) -> Unavailable:
    """The error for a refusal of `tried`, its reason looked up; raise it `from error`.

    NotPermitted, NotSupported, or Unavailable itself where the cause cannot be told.
    """
    reason = _reason(CAPABILITIES[name], error)
    kind = _ERRORS.get(reason.kind, Unavailable)
    # What the kernel itself said has its own words; an error that we raised says what it says in the reason.
    said = reason is not _ELSEWHERE and error.errno and error.strerror == os.strerror(error.errno)
    return kind(tried, f"{reason.why} (the kernel says: {error.strerror})" if said else reason.why, reason.remedy)


def require(name: str) -> str:
    """The evidence, where this process may; else the error of refused(). Use it before costly work."""
    cap = CAPABILITIES[name]
    try:
        return _attempt(cap)
    except OSError as e:
        raise refused(name, cap.what, e) from e


def linux(tried: str) -> None:
    """Go on where this machine runs Linux; else NotSupported. A tool asks this before anything else."""
    if sys.platform != "linux":
        raise NotSupported(tried, _ELSEWHERE.why, _ELSEWHERE.remedy)


def _attempt(cap: Capability) -> str:
    if sys.platform != "linux":  # where an attempt would miss the calls themselves
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    return cap.attempt()


def _reason(cap: Capability, error: OSError) -> Reason:
    return cap.reason(error) if sys.platform == "linux" else _ELSEWHERE

# SPDX-License-Identifier: MIT
"""What is an answer? A capability is an attempt that leaves nothing behind, and a look-up of its refusals."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from rtnb.errors import NotPermitted, NotSupported, Unavailable

__all__ = ["CAPABILITIES", "Answer", "Capability", "Reason", "ask", "capability", "refused", "require"]


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
        return Answer(name, cap.what, "yes", cap.attempt())
    except OSError as e:
        reason = cap.reason(e)
        verdict = "cannot tell" if reason.kind == "unknown" else "no"
        return Answer(name, cap.what, verdict, reason.why, reason.remedy)


def refused(name: str, tried: str, error: OSError) -> Unavailable:
    """The error for a refusal of `tried`, its reason looked up; raise it `from error`."""
    reason = CAPABILITIES[name].reason(error)
    kind = NotSupported if reason.kind == "support" else NotPermitted
    # What the kernel itself said has its own words; an error that we raised says what it says in the reason.
    said = error.errno and error.strerror == os.strerror(error.errno)
    return kind(tried, f"{reason.why} (the kernel says: {error.strerror})" if said else reason.why, reason.remedy)


def require(name: str) -> str:
    """The evidence, where this process may; else NotPermitted or NotSupported. Use it before costly work."""
    cap = CAPABILITIES[name]
    try:
        return cap.attempt()
    except OSError as e:
        raise refused(name, cap.what, e) from e

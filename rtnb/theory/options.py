# SPDX-License-Identifier: MIT
"""Is an option what it must be? A yes or no; a number of CPUs; a function that takes what it will be called with."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from rtnb.errors import BadInput
from rtnb.text import printable

__all__ = ["MOST_CPUS", "check_cpus", "check_flags", "check_takes"]

MOST_CPUS = 1024


def check_flags(**flags: Any) -> None:
    """Each is True or False. Raises BadInput: "no" would count as True.

    >>> check_flags(preemptive=True)
    """
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise BadInput(f"{name} {printable(repr(value))[:40]}", "it is True or False")


def check_takes(function: Callable[..., Any], tried: str, *names: str) -> None:
    """Can the function be called with as many values? Raises BadInput. What tells no signature is taken as it is.

    >>> check_takes(lambda job, now: job.deadline, "policy own", "job", "now")
    """
    try:
        found = inspect.signature(function)
    except (TypeError, ValueError):
        return
    try:
        found.bind(*names)
    except TypeError as e:
        why = f"it is a function of ({', '.join(names)}), and this one takes {printable(str(found))[:60]}"
        raise BadInput(tried, why, f"lambda {', '.join(names)}: ...") from e


def check_cpus(cpus: Any, least: int = 1) -> None:
    """Raises BadInput for what is no number of CPUs."""
    if type(cpus) is not int or not least <= cpus <= MOST_CPUS:
        raise BadInput(f"cpus {printable(str(cpus))[:40]}", f"a whole number from {least} to {MOST_CPUS}")

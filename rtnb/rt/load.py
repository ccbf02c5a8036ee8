# SPDX-License-Identifier: MIT
"""What does a job do? A sequence of steps, said in words: busy for 200 us, touch 64 pages, lock the bus."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rtnb.errors import BadInput, closest
from rtnb.rt.plan import MOST_STEPS
from rtnb.units import in_words, nanoseconds

__all__ = [
    "LONGEST_NS",
    "Step",
    "busy",
    "c",
    "call",
    "flat",
    "lock",
    "parse",
    "section",
    "sleep",
    "syscalls",
    "touch",
    "unlock",
]

LONGEST_NS = 7 * 24 * 3600 * 10**9


@dataclass(frozen=True)
class Step:
    """One step of a job. `kind` is a word of plan.KINDS; `amount` counts ns, pages or calls; `name` is the mutex's,
    or the symbol that is called, in the file `library` or in what the C of `source` compiles to."""

    kind: str
    amount: int = 0
    name: str = ""
    library: str = ""
    source: str = ""

    def __str__(self) -> str:
        if self.kind in ("busy", "sleep"):
            return f"{self.kind} {in_words(self.amount)}"
        return f"{self.kind} {self.name or self.amount}"


def busy(time: str | int) -> Step:
    """Spin for that much CPU time: a job that is preempted still has all of it to do.

    >>> print(busy("200us"))
    busy 200 us
    """
    return Step("busy", _time("busy", time))


def touch(pages: int) -> Step:
    """Write to that many pages of 4 KiB, which are there before the first job. Raises BadInput."""
    return Step("touch", _whole("touch", pages))


def syscalls(calls: int) -> Step:
    """Make that many system calls that do nothing else (getppid(2)). Raises BadInput."""
    return Step("syscalls", _whole("syscalls", calls))


def sleep(time: str | int) -> Step:
    """Sleep for that long, in the middle of the job: what a device's answer would take."""
    return Step("sleep", _time("sleep", time))


def lock(mutex: str) -> Step:
    """Lock the run's mutex of that name, and wait for it."""
    return Step("lock", name=mutex)


def unlock(mutex: str) -> Step:
    """Unlock the run's mutex of that name."""
    return Step("unlock", name=mutex)


def section(mutex: str, time: str | int) -> tuple[Step, Step, Step]:
    """A critical section: lock the mutex, be busy for that much CPU time, unlock it."""
    return lock(mutex), busy(time), unlock(mutex)


def call(library: str, symbol: str = "job") -> Step:
    """Call `void symbol(uint64_t job)` of a shared library, with the job's number."""
    return Step("call", name=symbol, library=library)


def c(source: str, symbol: str = "job") -> Step:
    """Compile C, and call its `void symbol(uint64_t job)` each time; stdint.h is included.

    >>> print(c("static int n; void job(uint64_t k) { n += k; }"))
    call job
    """
    return Step("call", name=symbol, source=source)


def parse(words: str) -> tuple[Step, ...]:
    """The steps of a line: `busy:200us,touch:64,syscalls:10,sleep:1ms,lock:bus,unlock:bus`. Raises BadInput.

    >>> [str(step) for step in parse("busy:200us,touch:64")]
    ['busy 200 us', 'touch 64']
    """
    made = []
    for word in filter(None, (word.strip() for word in words.split(","))):
        kind, _, rest = word.partition(":")
        if kind not in _PARSED:
            why = f"{kind!r} is no step"
            raise BadInput(f"load {words!r}", why, closest(kind, _PARSED) or f"one of {', '.join(_PARSED)}")
        if not rest:
            raise BadInput(f"load {words!r}", f"{kind} of what?", f"for example {_PARSED[kind][1]}")
        made.append(_PARSED[kind][0](rest))
    return tuple(made)


def flat(load: Step | str | Iterable[Any]) -> tuple[Step, ...]:
    """A load as one tuple of steps, from a step, a line for parse(), or a nesting of both.

    Raises BadInput: no step at all where one was meant, too many, a mutex that is not unlocked by whom it was
    locked, a second library.
    """
    steps = _flat(load)
    if len(steps) > MOST_STEPS:
        raise BadInput("load", f"{len(steps)} steps, and a job has {MOST_STEPS} at most", "put a loop into c(...)")
    if len({(step.library, step.name, step.source) for step in steps if step.kind == "call"}) > 1:
        raise BadInput("load", "a task calls one function only", "call the second from the first")
    _check_locks(steps)
    return steps


def _flat(load: Any) -> tuple[Step, ...]:
    if isinstance(load, Step):
        return (load,)
    if isinstance(load, str):
        return parse(load)
    if not isinstance(load, Iterable):
        raise BadInput(f"load {load!r}", "not a step", 'for example rt.busy("200us"), or "busy:200us"')
    return tuple(step for part in load for step in _flat(part))


def _check_locks(steps: tuple[Step, ...]) -> None:
    held: list[str] = []
    for step in steps:
        if step.kind == "lock":
            if step.name in held:
                raise BadInput(f"load: lock {step.name}", "the job has locked it already")
            held.append(step.name)
        elif step.kind == "unlock":
            if step.name not in held:
                raise BadInput(f"load: unlock {step.name}", "the job has not locked it")
            held.remove(step.name)
    if held:
        raise BadInput(f"load: lock {held[-1]}", "the job ends with it locked", f'end it with rt.unlock("{held[-1]}")')


def _time(what: str, time: str | int) -> int:
    ns = nanoseconds(time, what=what)
    if ns > LONGEST_NS:
        raise BadInput(f"{what} {in_words(ns)}", "longer than a week")
    return ns


def _whole(what: str, number: int | str) -> int:
    try:
        amount = int(number)
    except (TypeError, ValueError, OverflowError):
        amount = 0
    if not 0 < amount < 2**31:
        raise BadInput(f"{what} {number}", "not a whole number above zero")
    return amount


_PARSED: dict[str, tuple[Any, str]] = {
    "busy": (busy, "busy:200us"),
    "touch": (touch, "touch:64"),
    "syscalls": (syscalls, "syscalls:10"),
    "sleep": (sleep, "sleep:1ms"),
    "lock": (lock, "lock:bus"),
    "unlock": (unlock, "unlock:bus"),
}

# SPDX-License-Identifier: MIT
"""How does a task get what a Spec says? All of it or nothing, and in a `with` statement no longer than that."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from rtnb import caps, journal
from rtnb.abi import prctl
from rtnb.abi.interrupt import held
from rtnb.caps.rt import LATENCY as DEVICE
from rtnb.caps.rt import UNKNOWN
from rtnb.errors import BadInput, NoSuchTask, NotPermitted, RtnbError, Unavailable
from rtnb.sched.admission import LATENCY, explain, explain_back, refused
from rtnb.sched.notebook import would_starve
from rtnb.sched.spec import REAL_TIME, Spec
from rtnb.sched.task import State, of, process_of, put, read, resolve, tasks

__all__ = ["apply", "applied"]

_locks = 0
"""How many want this process's memory locked: the last of them unlocks it."""


def apply(spec: Spec, tid: int = 0, *, pid: int | None = None) -> None:
    """Schedule the thread `tid` (0: the calling one), or all threads of the process `pid`, as `spec` says: for good.

    All or nothing: where a step is refused, those before it are undone; should that be refused too, it is told.
    Memory that it locks stays locked; cpu_dma_latency_us holds as long as somebody holds it, hence with `applied`.
    Raises what `explain` tells, the OSError being the cause: NotPermitted, NotSupported, BadInput, NoSuchTask;
    Unavailable where nothing explains it; BadInput for a real-time policy in the notebook's own kernel.

    >>> apply(idle(), pid=child.pid)
    """
    if spec.cpu_dma_latency_us is not None:
        why = "it holds only as long as its file is open"
        raise BadInput(f"cpu_dma_latency_us {spec.cpu_dma_latency_us}", why, "with sched.applied(spec): ...")
    with ExitStack() as undo, held():
        states = _states(spec, tid, pid)
        undo.callback(_put_back, states)
        _take(spec, states, undo)
        undo.pop_all()


@contextmanager
def applied(spec: Spec, tid: int = 0, *, pid: int | None = None) -> Iterator[Spec]:
    """The same for as long as the `with` statement lasts; yields what the (first) thread really has.

    What each thread had is put back, also on an interrupt; threads that it starts meanwhile keep what they inherit.
    A change of another process is written to rtnb.journal first: should this one be killed, `%rtnb undo` puts
    back what was. Raises as `apply` does; NotPermitted, too, where the way back would be refused; and
    BadInput where the kernel gave something else than was asked for.

    >>> with applied(other(nice=5)) as given:
    ...     print(given)
    SCHED_OTHER nice 5 on CPU 0-1 with timer slack 50 us
    """
    with ExitStack() as undo:
        with held():
            states = _states(spec, tid, pid)
            _returns(spec, states)
            undo.callback(_put_back, states, _note(spec, states))
            _take(spec, states, undo)
        yield of(states[0].tid)


def _states(spec: Spec, tid: int, pid: int | None) -> list[State]:
    """The threads meant, as they are. Raises BadInput and NoSuchTask."""
    caps.linux("sched")
    if pid is not None and tid:
        raise BadInput(f"tid {tid}, pid {pid}", "a thread or a whole process", "give one of the two")
    tids = [resolve(tid)] if pid is None else [found for _, found in tasks(process_of(pid))]
    for found in tids:
        if would_starve(spec, found):
            why = f"under SCHED_{spec.policy.upper()} the notebook's own kernel could not be stopped any more"
            raise BadInput(str(spec), why, "use %rt_task, or give it to a process of its own: pid=")
    if not _ours(tids) and (spec.lock_memory or spec.cpu_dma_latency_us is not None):
        what = "lock_memory" if spec.lock_memory else "cpu_dma_latency_us"
        raise BadInput(f"{what} for task {pid or tid}", "a process can ask for it for itself only", "leave it out")
    return [read(found) for found in tids[:1]] + [state for state in map(_present, tids[1:]) if state]


def _present(tid: int) -> State | None:
    """A thread of several: it may have ended meanwhile."""
    try:
        return read(tid)
    except NoSuchTask:
        return None


def _ours(tids: list[int]) -> bool:
    return all(os.path.exists(f"/proc/self/task/{tid}") for tid in tids)


def _returns(spec: Spec, states: list[State]) -> None:
    """What cannot be put back is not begun. Raises NotPermitted."""
    for state in states:
        with suppress(FileNotFoundError, ProcessLookupError):
            back = explain_back(spec, state.tid)
            if back.errno in ("EPERM", "EACCES") and explain(spec, state.tid).allowed:
                why = f"it could not be put back: {back.call} would fail with {back.errno}: {back.why}"
                raise NotPermitted(f"{spec} for a while", why, f"{back.remedy}; or set it for good: sched.apply")


def _take(spec: Spec, states: list[State], undo: ExitStack) -> None:
    """What is the process's first: to undo it needs no privilege."""
    with _explained(spec, states[0].tid):
        if spec.lock_memory:
            _lock_memory()
            undo.callback(_unlock_memory)
        if spec.cpu_dma_latency_us is not None:
            _hold_latency(spec.cpu_dma_latency_us, undo)
    for state in states:
        try:
            with _explained(spec, state.tid):
                put(spec, state.tid)
            _check(spec, state.tid)
        except NoSuchTask:  # of several threads one may end meanwhile
            if len(states) == 1:
                raise


@contextmanager
def _explained(spec: Spec, tid: int) -> Iterator[None]:
    """A refusal is told in the explainer's words."""
    try:
        yield
    except OSError as e:
        told = explain(spec, tid)
        if told.allowed is False and told.errno == errno.errorcode.get(e.errno or 0):
            raise refused(str(spec), told) from e
        raise Unavailable(str(spec), f"{e.filename}: {UNKNOWN.why} (the kernel says: {e.strerror})") from e


def _check(spec: Spec, tid: int) -> None:
    """Has it what was asked for? Raises BadInput."""
    given = of(tid)
    wanted = {name: getattr(spec, name) for name in _COMPARED if getattr(spec, name) is not None}
    if spec.nice is not None:
        wanted["nice"] = min(max(spec.nice, -20), 19)
    if spec.policy == "deadline":
        wanted["period_ns"] = spec.period_ns or spec.deadline_ns
    if not spec.timer_slack_ns or spec.policy in (*REAL_TIME, "deadline"):  # 0 is the default; real time has none
        wanted.pop("timer_slack_ns", None)
    if other := [name for name, value in wanted.items() if getattr(given, name) != value]:
        why = f"the kernel gave something else ({', '.join(other)}): {given}"
        raise BadInput(str(spec), why, "ask for what sched.explain(spec) notes nothing of")


_COMPARED = (
    "policy",
    "priority",
    "nice",
    "cpus",
    "runtime_ns",
    "deadline_ns",
    "period_ns",
    "reset_on_fork",
    "reclaim",
    "dl_overrun",
    "timer_slack_ns",
)


def _note(spec: Spec, states: list[State]) -> Callable[[], None]:
    """Write it to the journal where it would outlive this process; returns what takes that back."""
    if _ours([state.tid for state in states]):
        return lambda: None
    threads = f"task {states[0].tid}" if len(states) == 1 else f"{len(states)} threads from {states[0].tid} on"
    entry = journal.write("sched", f"{spec} for {threads}", {"threads": [state.to_json() for state in states]})
    return lambda: journal.done(entry)


@held()
def _put_back(states: list[State], noted: Callable[[], None] = lambda: None) -> None:
    """Restore each thread; what is noted stays noted where one of them cannot be. Raises RtnbError."""
    errors = []
    for state in states:
        try:
            state.restore()
        except OSError as e:
            errors.append((state, e))
    if errors:
        state, error = errors[0]
        told = explain(state.spec(), state.tid)
        why = told.why if told.allowed is False else f"{UNKNOWN.why} (the kernel says: {error.strerror})"
        kind: type[RtnbError] = NotPermitted if told.allowed is False else Unavailable
        raise kind(f"put back {state.spec()} for task {state.tid}", why, told.remedy) from error
    noted()


@journal.handler("sched")
def _undo(before: Mapping[str, Any]) -> str:
    """Put back what each thread had."""
    states = [State.from_json(raw) for raw in before["threads"]]
    _put_back(states)
    return f"{len(states)} threads: {states[0].spec()}" if states else "no threads"


def _lock_memory() -> None:
    """Lock what is mapped and what will be, and touch the stack that is yet to be used."""
    global _locks
    prctl.mlockall()
    _locks += 1
    _deepen(_LEVELS)


def _unlock_memory() -> None:
    global _locks
    _locks -= 1
    if not _locks:
        prctl.munlockall()


_LEVELS = 200
"""Calls from C into Python and back, each of which takes some 500 bytes of the stack."""


def _deepen(left: int) -> int:
    """Use the stack, so that its pages are there."""
    return max([left - 1], key=_deepen) if left else 0


def _hold_latency(us: int, undo: ExitStack) -> None:
    """Open what keeps CPUs from sleeping more deeply. Raises OSError, LATENCY its filename."""
    try:
        fd = os.open(DEVICE, os.O_WRONLY | os.O_CLOEXEC)
    except OSError as e:
        raise OSError(e.errno, e.strerror, LATENCY) from e
    undo.callback(os.close, fd)
    os.write(fd, struct.pack("=i", us))

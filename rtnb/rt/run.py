# SPDX-License-Identifier: MIT
"""How are tasks run? Together, in processes of their own below a watchdog; every job is kept, or counted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from rtnb import caps
from rtnb.abi import interrupt
from rtnb.errors import BadInput
from rtnb.recording import Recording
from rtnb.rt import plan, record, rows, shipping
from rtnb.rt.hdr import Latencies
from rtnb.rt.rows import releases
from rtnb.rt.task import REAL_TIME, Task, with_room_for_others
from rtnb.rt.trace import Tracer
from rtnb.rt.worker import Miss, Worker
from rtnb.units import in_words, nanoseconds

__all__ = ["KEEP", "Run", "start"]

KEEP = 1_000_000
"""The last jobs of a task that are kept as rows, unless told otherwise: 64 MB of memory that the task locks."""
MOST = 10_000_000
MOST_TASKS = 64
LONGEST_NS = 7 * 24 * 3600 * 10**9
GRACE_S = 32.0
"""How much longer than asked a run may take before this side ends it: the worker does so first."""


def _check(run: Run) -> None:
    """What is wrong with a run as a whole. Raises BadInput."""
    if not run.tasks or not all(isinstance(task, Task) for task in run.tasks):
        raise BadInput("rt.start", "there is no task", 'give one, or a list of them: rt.Task("sensor", period="1ms")')
    names = [task.name for task in run.tasks]
    if twice := {name for name in names if names.count(name) > 1}:
        raise BadInput(f"task {min(twice)}", "two tasks of that name", "each has its own")
    if len(names) > MOST_TASKS:
        raise BadInput("rt.start", f"{len(names)} tasks, and {MOST_TASKS} run at once at most")
    if run.length_ns > LONGEST_NS:
        raise BadInput("duration", "longer than a week")
    if not 1 <= run.keep <= MOST:
        raise BadInput(f"keep {run.keep}", f"1 to {MOST:,} jobs of a task are kept as rows")
    for task in run.tasks:
        if releases(task, run.length_ns) < 1:
            raise BadInput(f"task {task.name}", "the run is over before its first release", "make the duration longer")


class Run:
    """Tasks on their way. Made by start(); as a context manager it never outlives the block."""

    def __init__(
        self,
        tasks: Task | Sequence[Task],
        duration: str | int = "5s",
        *,
        mutexes: Mapping[str, Any] | None = None,
        keep: int = KEEP,
        steps: bool = False,
        trace: bool = False,
        source: tuple[str, ...] = (),
        on_miss: Callable[[Miss], object] | None = None,
        stop_on_miss: bool = False,
    ) -> None:
        self.tasks = [tasks] if isinstance(tasks, Task) else list(tasks)
        self.length_ns = nanoseconds(duration)
        self.keep, self.steps, self.trace = keep, steps, trace
        self.source = source or tuple(map(_brief, self.tasks))
        self.mutexes = dict(mutexes or {})
        self.watched, self.stops, self._on_miss = on_miss is not None or stop_on_miss, stop_on_miss, on_miss
        _check(self)
        self.tracer: Tracer | None = None
        self.stopped = False
        self.misses: list[Miss] = []
        self.interrupted = False
        self.latencies: dict[str, dict[str, Latencies]] = {}
        self.last: dict[str, Any] = {}
        self._seen: dict[str, int] = {}
        self._open = contextlib.ExitStack()

    def start(self) -> Run:
        """Start them; returns at once. Raises as start() does."""
        caps.core_path("run periodic tasks")
        with interrupt.noted() as came:
            try:
                self._launch()
            except BaseException:
                self._open.close()
                raise
        if came:
            self.close()
            raise KeyboardInterrupt
        return self

    def _launch(self) -> None:
        hold = self._open.enter_context
        asked = rows.rows(self, with_room_for_others(self.tasks))
        sent = hold(shipping.payload(self.tasks))
        libraries = hold(shipping.libraries(self.tasks, asked))
        self.memory = hold(plan.memory(asked, len(self.mutexes)))
        rows.make_mutexes(self, self.memory)
        self.memory.ask(**rows.head(self))
        if self.trace:
            only_real_time = all(task.spec.policy in (*REAL_TIME, "deadline") for task in self.tasks)
            self.tracer = Tracer(only_real_time=only_real_time)
            self._open.callback(self.tracer.close)
        self._worker = Worker(
            self.memory,
            timeout_s=self.length_ns / 1e9 + GRACE_S,
            poll=self._drain,
            every_s=0.05 if self.trace else 0.1,
            on_miss=self._hear if self.watched else None,
            interpreter=shipping.interpreter(sent),
            env=shipping.environment(),
            pass_fds=(*sent, *libraries),
        )
        self._open.callback(self._worker.close)

    def _hear(self, miss: Miss) -> None:
        self.misses.append(miss)
        if self._on_miss:
            self._on_miss(miss)

    def _drain(self) -> None:
        """Take the older jobs out of rings that would lose them, and what was traced."""
        if self.tracer:
            self.tracer.drain()
        for task, row in zip(self.tasks, self.memory.tasks(), strict=True):
            if int(row["releases"]) > self.keep:
                record.add(self, task, self.memory.jobs(row, self._seen.get(task.name, 0)))
                self._seen[task.name] = int(row["records"])

    @property
    def running(self) -> bool:
        """Whether any of it still runs."""
        return self._worker.running

    @property
    def iterations(self) -> dict[str, int]:
        """The jobs done by now, of each task; to be asked before the end of join()."""
        return {task.name: int(row["records"]) for task, row in zip(self.tasks, self.memory.tasks(), strict=True)}

    @property
    def progress(self) -> float:
        """The fraction of all releases that is over; to be asked before the end of join()."""
        found = self.memory.tasks()
        return float(found["done"].sum()) / float(found["releases"].sum())

    def stop(self) -> None:
        """Let each task end after the job it is in; returns at once. What has been done by then stands."""
        self.stopped = True
        self._worker.ask_to_stop()

    def join(self, progress: Callable[[float], None] | None = None) -> Recording:
        """Wait for the end and return what came of it. An interrupt stops the run, and what was done by then returns.

        Raises NotPermitted, NotSupported or BadInput where a task could not become what was asked for; what a
        callback raised.
        """
        try:
            self._wait(progress)
            if self._worker.error:
                raise self._worker.error
            return record.recording(self, self._worker.ended, self._worker.status)
        finally:
            self.close()

    def _wait(self, progress: Callable[[float], None] | None) -> None:
        try:
            while self.running:
                self._worker.wait(0.05)
                if progress:
                    progress(self.progress)
        except KeyboardInterrupt:
            self.interrupted = True
            self.stop()
            self._worker.wait()

    def close(self) -> None:
        """End it now, whatever it is at."""
        self._open.close()

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return "; ".join(map(str, self.tasks))


def _brief(task: Task) -> str:
    """A task in a word, for a caption: low=fifo:10/320ms."""
    rank = f":{task.spec.priority}" if task.spec.priority else ""
    return f"{task.name}={task.spec.policy}{rank}/{in_words(task.period_ns).replace(' ', '')}"


def start(tasks: Task | Sequence[Task], duration: str | int = "5s", **options: Any) -> Run:
    """Start periodic tasks together and return at once: the Run has stop(), join(), iterations and misses.

    All are released from one moment on, each after its own offset, until `duration` is over. `mutexes` names those
    that loads lock: {"bus": "inherit"}, {"bus": ("protect", 40)}. Of each task the last `keep` jobs are rows; with
    more of them the header's statistics are still of all. `steps` keeps when each step of a load began and ended,
    `trace` where each job's time went. `on_miss` is called with a Miss as soon as the watchdog sees that a job is not
    done by its deadline and tolerance; `stop_on_miss` ends that task.

    Raises BadInput; NotSupported without the C core.

    >>> with rt.start(rt.Task("sensor", "10ms", load="busy:1ms"), "230ms") as run:
    ...     print(len(run.join().frame))
    23
    """
    caps.linux("rt_task")
    return Run(tasks, duration, **options).start()

# SPDX-License-Identifier: MIT
"""How are tasks run? Together, in processes of their own below a watchdog; every job is kept, or counted."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rtnb import caps
from rtnb.abi import interrupt
from rtnb.errors import BadInput, Unavailable
from rtnb.recording import Recording
from rtnb.rt import plan, record, rows, shipping
from rtnb.rt.hdr import Latencies
from rtnb.rt.rows import releases
from rtnb.rt.task import REAL_TIME, Chosen, Task, with_room_for_others
from rtnb.rt.trace import Tracer
from rtnb.rt.worker import Miss, Worker
from rtnb.units import in_words, nanoseconds

__all__ = ["KEEP", "Run", "start"]

KEEP = 1_000_000
"""The last jobs of a task that are kept as rows, unless told otherwise: 64 MB of memory that the task locks."""
MOST = 10_000_000
MOST_TASKS = 64
LONGEST_NS = 7 * 24 * 3600 * 10**9
FORGET_S = 10.0
"""How often what was traced of jobs that are no longer kept is forgotten."""
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
    if type(run.keep) is not int or not 1 <= run.keep <= MOST:
        raise BadInput(f"keep {run.keep}", f"1 to {MOST:,} jobs of a task are kept as rows")
    for task in run.tasks:
        if releases(task, run.length_ns) < 1:
            raise BadInput(f"task {task.name}", "the run is over before its first release", "make the duration longer")


def _check_memory(asked: Any) -> None:
    """Is there room for what the tasks will lock? Raises BadInput."""
    wanted = int((asked["ring"] * plan.JOB.itemsize + asked["marks"] * plan.MARK.itemsize).sum())
    text = Path("/proc/meminfo").read_text(encoding="ascii")
    there = next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("MemAvailable:"))
    if wanted > there // 2:
        why = f"its jobs want {wanted >> 20:,} MiB, and {there >> 20:,} MiB are available"
        raise BadInput("rt.start", why, "make keep smaller")


_LIVE: dict[Run, Chosen] = {}
"""The runs of this process that have not ended, and the CPUs of their tasks."""


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
        self.tasks = list(tasks) if isinstance(tasks, Iterable) else [tasks]
        self.length_ns = nanoseconds(duration)
        self.keep, self.steps, self.trace = keep, steps, trace
        self.source = source or tuple(map(_brief, self.tasks))
        if not isinstance(mutexes, Mapping | None):
            raise BadInput("mutexes", "not a mapping", 'for example {"bus": "inherit"}')
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
        self._forget_s = time.monotonic() + FORGET_S
        self._open = contextlib.ExitStack()
        self._recording: Recording | None = None

    def start(self) -> Run:
        """Start them; returns at once. Raises as start() does."""
        caps.core_path("run periodic tasks")
        chosen = with_room_for_others(self.tasks, _LIVE)
        hold = self._open.enter_context
        try:
            asked = rows.rows(self, chosen)
            _check_memory(asked)
            sent = hold(shipping.payload(self.tasks))
            libraries = hold(shipping.libraries(self.tasks, asked))
            with interrupt.noted() as came:
                self._launch(asked, chosen, sent, libraries)
            if came:
                raise KeyboardInterrupt
        except BaseException as e:
            self.close()
            if isinstance(e, OSError | RuntimeError):  # no descriptor, no process, no thread is left
                hint = "end other runs, or raise the limit: ulimit -n 4096"
                raise Unavailable("rt.start", f"the system has no more to give ({e})", hint) from e
            raise
        return self

    def _launch(self, asked: Any, chosen: Chosen, sent: list[int], libraries: list[int]) -> None:
        hold = self._open.enter_context
        self.memory = hold(plan.memory(asked, len(self.mutexes)))
        rows.make_mutexes(self, self.memory)
        self.memory.ask(**rows.head(self))
        if self.trace:
            only_real_time = all(task.spec.policy in (*REAL_TIME, "deadline") for task in self.tasks)
            pinned = [cpus for _, cpus in chosen if cpus is not None]
            cpus = frozenset[int]().union(*pinned) if len(pinned) == len(chosen) else None
            self.tracer = Tracer(only_real_time=only_real_time, cpus=cpus)
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
        _LIVE[self] = chosen
        self._open.callback(_LIVE.pop, self, None)

    def _hear(self, miss: Miss) -> None:
        self.misses.append(miss)
        if self._on_miss:
            self._on_miss(miss)

    def _drain(self) -> None:
        """Take the older jobs out of rings that would lose them, and what was traced."""
        if self.tracer:
            self._drain_trace(self.tracer)
        for task, row in zip(self.tasks, self.memory.tasks(), strict=True):
            if int(row["releases"]) > self.keep:
                record.add(self, task, self.memory.jobs(row, self._seen.get(task.name, 0)))
                self._seen[task.name] = int(row["records"])

    def _drain_trace(self, tracer: Tracer) -> None:
        """Take what was traced out of its rings; now and then forget what is older than any job that is kept."""
        tracer.drain()
        rows = self.memory.tasks()
        if time.monotonic() > self._forget_s and all(int(row["records"]) > self.keep for row in rows):
            self._forget_s = time.monotonic() + FORGET_S
            tracer.forget(min(self.memory.job(row, int(row["records"]) - self.keep)["release_ns"] for row in rows))

    @property
    def running(self) -> bool:
        """Whether any of it still runs."""
        return self._worker.running

    def _now(self) -> Any:
        """The struct task's as they are now, or as they were at the end."""
        if self.memory.fd >= 0:
            self._last_rows = self.memory.tasks()
        return self._last_rows

    @property
    def iterations(self) -> dict[str, int]:
        """The jobs done by now, of each task."""
        return {task.name: int(row["records"]) for task, row in zip(self.tasks, self._now(), strict=True)}

    @property
    def progress(self) -> float:
        """The fraction of all releases that is over."""
        found = self._now()
        return float(found["done"].sum()) / float(found["releases"].sum())

    def stop(self) -> None:
        """Let each task end now; returns at once. What has been done stands; a job that is cut short is not counted."""
        self.stopped = True
        self._worker.ask_to_stop()

    def join(self, progress: Callable[[float], None] | None = None) -> Recording:
        """Wait for the end and return what came of it. An interrupt stops the run, and what was done by then returns.

        A second time it returns the same. Raises NotPermitted, NotSupported or BadInput where a task could not become
        what was asked for; what a callback raised.
        """
        if self._recording:
            return self._recording
        try:
            self._wait(progress)
            if self._worker.error:
                raise self._worker.error
            ended = self._worker.ended
            self.interrupted = self.interrupted or bool(ended and ended.interrupted)
            self._recording = record.recording(self, ended, self._worker.status)
            return self._recording
        finally:
            self.close()

    def complete(self, progress: Callable[[float], None] | None = None) -> Recording:
        """Start and join: an interrupt, whenever it comes, leaves nothing behind."""
        try:
            return self.start().join(progress)
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

    @interrupt.held()
    def close(self) -> None:
        """End it now, whatever it is at."""
        if getattr(self, "memory", None):
            self._now()
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

# SPDX-License-Identifier: MIT
"""How does a job's code reach the process that runs it? Python by cloudpickle, C as a shared library in memory."""

from __future__ import annotations

import dis
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import CodeType
from typing import Any

from rtnb import _core
from rtnb.errors import BadInput, CompileError, NotSupported
from rtnb.rt.task import Task

__all__ = ["environment", "interpreter", "libraries", "payload"]


LONGEST_S = 60
"""How long a compiler may take."""


@contextmanager
def payload(tasks: Sequence[Task]) -> Iterator[list[int]]:
    """A descriptor of what the interpreters will run, by number of the task; none where there is no Python.

    Raises BadInput for source that does not compile, and for what cannot be sent to another process.
    """
    jobs = {number: task for number, task in enumerate(tasks) if task.job is not None}
    if not jobs:
        yield []
        return
    sent = _pickled({number: _sendable(task) for number, task in jobs.items()})
    with _core.memfd("jobs") as fd:
        os.pwrite(fd, sent, 0)  # the offset is shared with who reads it
        yield [fd]


def _sendable(task: Task) -> Any:
    """A callable as it is; source as itself and those of the names it uses that `namespace` has."""
    if callable(task.job):
        return task.job
    source = str(task.job)
    try:
        code = compile(source, f"<{task.name}>", "exec")
    except (SyntaxError, ValueError) as e:
        raise BadInput(f"job of {task.name}", f"it is no Python: {e}") from e
    namespace = task.namespace or {}
    return source, {name: namespace[name] for name in _names(code) if name in namespace}


def _names(code: CodeType) -> set[str]:
    """The global names that code reads, at any depth of it; not those of attributes."""
    read = {str(step.argval) for step in dis.get_instructions(code) if step.opname in ("LOAD_NAME", "LOAD_GLOBAL")}
    return read.union(*(_names(const) for const in code.co_consts if isinstance(const, CodeType)))


def _pickled(jobs: dict[int, Any]) -> bytes:
    import cloudpickle

    try:
        return bytes(cloudpickle.dumps(jobs))
    except Exception as e:  # what an object's own reduction raises may be anything
        why = f"what it uses cannot be sent to a process of its own ({type(e).__name__}: {str(e)[:150]})"
        raise BadInput("job", why, "open files, sockets and locks inside of the job") from e


def interpreter(payloads: Sequence[int]) -> list[str]:
    """The argv of a task in Python, to which the worker adds the task's number and its descriptors."""
    return [sys.executable, "-P", "-m", "rtnb.rt.interpreter", *map(str, payloads)] if payloads else []


def environment() -> Mapping[str, str]:
    """The environment in which an interpreter finds what can be imported here."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}


@contextmanager
def libraries(tasks: Sequence[Task], rows: Any) -> Iterator[list[int]]:
    """Name in each row the library of its `call` step; descriptors of those that were compiled. Raises CompileError."""
    with ExitStack() as opened:
        fds = []
        for task, row in zip(tasks, rows, strict=True):
            for step in (step for step in task.load if step.kind == "call"):
                path = os.path.abspath(step.library) if step.library else ""
                if step.source:
                    fds.append(opened.enter_context(_compiled(step.source, step.name)))
                    path = f"/proc/self/fd/{fds[-1]}"
                if len(path.encode()) > 255 or len(step.name.encode()) > 63:
                    raise BadInput(f"call {step.name[:70]}", "the path or the symbol is too long")
                row["library"], row["symbol"] = path.encode(), step.name.encode()
        yield fds


@contextmanager
def _compiled(source: str, symbol: str) -> Iterator[int]:
    from rtnb._core.build import compiler  # which looks for its build backend: 20 ms

    tried = f"compile {symbol}"
    argv = compiler()
    if not argv:
        raise NotSupported(tried, "there is no C compiler", "apt-get install gcc libc6-dev, or pip install ziglang")
    with _core.memfd("library") as fd, tempfile.TemporaryDirectory(prefix="rtnb-") as folder:
        made = Path(folder) / "job.so"
        flags = ["-shared", "-fPIC", "-O2", "-g", "-x", "c", "-include", "stdint.h", "-o", str(made), "-", "-lm"]
        try:
            done = subprocess.run([*argv, *flags], input=source, capture_output=True, text=True, timeout=LONGEST_S)
        except (subprocess.TimeoutExpired, UnicodeError) as e:
            raise CompileError(tried, f"the compiler did not end within {LONGEST_S} s, or it is no text") from e
        if done.returncode:
            first = next((line for line in done.stderr.splitlines() if "error" in line), "it failed")
            raise CompileError(tried, first.removeprefix("<stdin>:"), log=done.stderr)
        os.write(fd, made.read_bytes())
        yield fd

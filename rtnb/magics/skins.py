# SPDX-License-Identifier: MIT
"""What does each magic run? A line of options, one library call, its frame."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable
from typing import Any

import pandas as pd
from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_cell_magic, line_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.display import display
from traitlets import Bool, observe

from rtnb import bpf, caps, journal, perf, rt, sched, strace, theory
from rtnb.errors import BadRecording
from rtnb.magics import view
from rtnb.magics.arguments import command, parse, recorded, variable, whole, word
from rtnb.magics.call import Call
from rtnb.magics.cell import Cell
from rtnb.magics.present import Caption
from rtnb.magics.view import View
from rtnb.progress import bar
from rtnb.recording import Recording, live_or, load_header, renew

__all__ = ["LIBRARY", "RtnbMagics"]

LIBRARY = {
    "strace": strace.run,
    "perf_stat": perf.stat,
    "bpf": bpf.run,
    "rt_task": rt.run,
    "sched": sched.run,
    "taskset": theory.taskset,
}
"""The library function behind each magic; its keywords are the magic's options."""


@magics_class
class RtnbMagics(Magics):  # type: ignore[misc]
    """The magics of rtnb."""

    record = Bool(False, help="Save anew, live, every recording that a cell names with --or.").tag(config=True)

    @observe("record")
    def _renew(self, change: dict[str, Any]) -> None:
        renew(change["new"])

    @no_var_expand
    @line_magic
    @magic_arguments()
    @argument("-e", "--trace", metavar="NAMES", type=word, help="trace only these system calls: -e openat,read")
    @argument("-f", "--follow-forks", action="store_true", help="trace children and threads too")
    @argument("-c", "--summary-only", action="store_true", help="return calls, errors and time for each system call")
    @recorded
    @command
    def strace(self, line: str) -> Any:
        """Run a command and return its system calls, a row each.

        Example::

            %strace -f -e openat,execve sh -c 'ls /'
        """
        args = parse(self.strace, line)
        call = Call("strace", strace.run, args.command, trace=args.trace, follow_forks=args.follow_forks)
        return self._show(args, call, view.SUMMARY if args.summary_only else view.FRAME)

    @no_var_expand
    @line_cell_magic
    @magic_arguments()
    @argument("-e", "--event", metavar="EVENTS", type=word, help="count these events: -e task-clock,page-faults:u")
    @argument("-r", "--repeat", metavar="N", type=whole, default=1, help="run the command N times")
    @recorded
    @command
    def perf_stat(self, line: str, cell: str | None = None) -> Any:
        """Count events while a command runs, or while the cell's own Python does.

        Example::

            %perf_stat -e task-clock,page-faults -r 5 ls
        """
        __tracebackhide__ = True  # what the cell's own code raises is shown from its own lines on
        args = parse(self.perf_stat, line)
        if cell is not None:
            return self._perf_stat_cell(args, Cell(self.shell, cell))
        return self._show(args, Call("perf_stat", perf.stat, args.command, event=args.event, repeat=args.repeat))

    @no_var_expand
    @cell_magic
    @magic_arguments()
    @argument("--duration", metavar="S", type=word, help="how long the programs stay attached: 500ms, 5s")
    @argument(
        "-p",
        "--pid",
        metavar="PID",
        type=whole,
        help="target_pid: with FILTER_PID(); the C leaves out all others",
    )
    @recorded
    @command
    def bpf(self, line: str, cell: str) -> Any:
        """Compile the cell's C, attach its programs, and return its maps and ring buffers as frames.

        Example::

            %%bpf --duration 1s
            struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1024);
                     __type(key, u32); __type(value, u64); } calls SEC(".maps");

            SEC("raw_tp/sys_enter") int count(void *ctx) {
                u32 pid = bpf_get_current_pid_tgid() >> 32;
                u64 one = 1, *n = bpf_map_lookup_elem(&calls, &pid);
                if (n) __sync_fetch_and_add(n, 1);
                else bpf_map_update_elem(&calls, &pid, &one, BPF_ANY);
                return 0;
            }
        """
        args = parse(self.bpf, line)
        run = args.command or None
        with bar("attached") as progress:
            call = Call("bpf", bpf.run, cell, duration=args.duration, pid=args.pid, command=run)
            return self._show(args, call, progress=progress)

    @no_var_expand
    @line_cell_magic
    @magic_arguments()
    @argument("--policy", type=word, default="fifo", help="scheduling policy: fifo, rr, deadline, other, batch, idle")
    @argument("--priority", type=whole, help="1 to 99 under fifo and rr (default 80)")
    @argument("--period", type=word, default="1ms", help="time from one release to the next: 500us, 1ms")
    @argument("--duration", type=word, default="5s", help="how long the task runs: 5s")
    @argument("--cpu", metavar="N", type=whole, help="the CPU it is pinned to")
    @argument("--threads", metavar="N", type=whole, default=1, help="run N such tasks at once, spread over the period")
    @argument("--load", metavar="STEPS", type=word, help="what a job does: busy:200us,touch:64,syscalls:10,sleep:1ms")
    @argument("--deadline", metavar="D", type=word, help="by when a job is to be done (default: the period)")
    @argument("--tolerance", metavar="D", type=word, help="how much later than that is no overrun yet")
    @argument("--runtime", metavar="D", type=word, help="deadline's budget a period (default: half of it)")
    @argument("--late", choices=["skip", "continue"], default="skip", help="what a late job does to the next releases")
    @argument("--keep", metavar="N", type=whole, default=rt.KEEP, help="keep the last N jobs of a task as rows")
    @argument("--trace", action="store_true", help="watch the scheduler too, and say where each job's time went")
    @argument("--histogram", metavar="BUCKET", type=word, help="return counts in buckets of this width: 1us")
    @argument("--json", metavar="PATH", type=word, help="write PATH as cyclictest --json does, and percentiles")
    @recorded
    def rt_task(self, line: str, cell: str | None = None) -> Any:
        """Run a periodic real-time task in a process of its own and return its jobs, a row each.

        With a cell, the job is the cell's Python; what it assigns stays in its process.

        Example::

            %rt_task --policy fifo --priority 80 --period 1ms --duration 5s --cpu 1 --load busy:200us
        """
        args = parse(self.rt_task, line)
        job, names = ((cell,), {"namespace": self.shell.user_ns}) if cell is not None else ((), {})
        call = Call("rt_task", rt.run, *job, **_options(rt.run, args), **names)
        views = [*view.json(args.json), view.histogram(args.histogram)]
        with bar(f"{args.policy}, {args.period} period") as progress:
            return self._show(args, call, *views, progress=progress)

    @no_var_expand
    @line_magic
    @magic_arguments()
    @argument("pid", nargs="?", type=whole, help="the threads of this process only")
    @argument("--set", dest="policy", metavar="POLICY", type=word, help="give PID's threads other, fifo, ... for good")
    @argument("--priority", metavar="N", type=whole, help="1 to 99 under fifo and rr (default 80)")
    @argument("--nice", metavar="N", type=whole, help="-20 to 19 (default: as it is)")
    @argument("--cpus", metavar="LIST", type=word, help="the CPUs that they may use: 0-2,5 (default: as they are)")
    @argument("--runtime", metavar="D", type=word, help="under deadline: what they may run in each period: 2ms")
    @argument("--deadline", metavar="D", type=word, help="under deadline: by when (default: the period)")
    @argument("--period", metavar="D", type=word, help="under deadline: the period: 10ms")
    @argument("--reclaim", action="store_true", help="under deadline: use what others leave")
    @argument("--dl-overrun", action="store_true", help="under deadline: SIGXCPU past the runtime")
    @argument("--reset-on-fork", action="store_true", help="children start under other")
    @argument("--timer-slack", metavar="D", type=word, help="how late a timer may be, to go off with others: 50us")
    @argument("--explain", action="store_true", help="change nothing, and say what the kernel would answer")
    @recorded
    def sched(self, line: str) -> Any:
        """Show how the threads of the system, or of a process, are scheduled; a row each. With --set, set it first.

        Example::

            %sched --set deadline --runtime 2ms --period 10ms --explain
        """
        args = parse(self.sched, line)
        return self._show(args, Call("sched", sched.run, **_options(sched.run, args)))

    @no_var_expand
    @cell_magic
    @magic_arguments()
    @argument("name", nargs="?", type=variable, help="bind the TaskSet to this variable")
    @argument("--policy", metavar="POLICY", type=word, default="fp", help="fp: in the rows' order; rm, dm, edf")
    @argument("--cpus", metavar="N", type=whole, default=1, help="on so many CPUs")
    @argument(
        "--protocol", metavar="P", type=word, default="none", help="of the critical sections: pip, pcp, icpp, npp, none"
    )
    @argument("--unit", metavar="UNIT", type=word, default="", help="what bare numbers count: ms")
    @argument("--simulate", action="store_true", help="return the simulated jobs instead of the tests")
    @argument("--until", metavar="T", type=word, help="simulate up to there (default: the hyperperiod)")
    @recorded
    def taskset(self, line: str, cell: str) -> Any:
        """Test a task set, a row a task (name C T D ...): what each test says, and the response times.

        Example::

            %%taskset ts --policy rm
            name     C    T
            sensor   1ms  4ms
            control  2ms  6ms
            log      3ms  20ms
        """
        args = parse(self.taskset, line)
        call = Call("taskset", theory.taskset, cell, **_options(theory.taskset, args))
        with bar("simulated") as progress:
            found = self._show(args, call, view.taskset(args.name, cell, args.unit), progress=progress)
        if args.name and not args.code:
            self.shell.user_ns[args.name] = theory.TaskSet(cell, unit=args.unit)
        return found

    @no_var_expand
    @line_magic
    @magic_arguments()
    @argument(
        "what",
        choices=["doctor", "undo"],
        help="doctor: what this process may do here, and what would help; "
        "undo: put back what killed notebooks have left changed",
    )
    @argument("--json", action="store_true", help="print JSON and return nothing")
    def rtnb(self, line: str) -> pd.DataFrame | None:
        """Ask what this process may do here, a row a capability; or put back what was left, a row a change.

        Example::

            %rtnb doctor
        """
        args = parse(self.rtnb, line)
        table = caps.doctor() if args.what == "doctor" else journal.undo()
        if args.json:
            print(table.to_json(orient="records", indent=1))
            return None
        return table

    def _show(self, args: argparse.Namespace, call: Call, *views: View, **more: Any) -> Any:
        """Run or print the call; caption, save and bind what came of it, and return the last of its views."""
        views = views or (view.FRAME,)
        if args.code:
            print(call.code(args.or_, args.save, "\n".join(each.code for each in views)))
            return None
        recording = self._run(args, call.kind, call.source, lambda: call.run(**more))
        return [each.make(recording) for each in views][-1]

    def _run(
        self, args: argparse.Namespace, kind: str, source: tuple[str, ...], live: Callable[[], Recording]
    ) -> Recording:
        """Run live, or load what --or names: that must be a recording of this kind, also where it is not needed."""
        if args.or_ and not self.record and (found := load_header(args.or_).kind) != kind:
            raise BadRecording(f"--or {args.or_}", f"it is a recording of {found}, not of {kind}")
        recording = live_or(live, args.or_)
        if recording.header.mode == "recorded" and source and recording.header.source != source:
            other = "it was recorded from something else than this cell asks for"
            recording = recording.with_header(notes=(*recording.header.notes, other))
        if args.output:
            self.shell.user_ns[args.output] = recording
        display(Caption(recording.header))
        if args.save and recording.header.mode != "recorded":
            recording.save(args.save)
        return recording

    def _perf_stat_cell(self, args: argparse.Namespace, cell: Cell) -> Any:
        """Count while the cell's own Python runs; the value of its last expression is shown too."""
        __tracebackhide__ = True
        if args.command or args.repeat != 1:
            raise UsageError("%%perf_stat counts the cell's own Python, once: give no command and no --repeat")
        if args.code:
            opening = f"with rtnb.perf.counting({f'event={args.event!r}' if args.event else ''}) as counters:"
            print(f"import rtnb\n\n{cell.code(opening)}\nrecording = counters.recording\nrecording.frame")
            return None

        def live() -> Recording:
            with perf.counting(event=args.event) as counters:
                cell.run()
            interrupted = isinstance(cell.error, KeyboardInterrupt)
            return counters.recording.with_header(source=(cell.source,), interrupted=interrupted)

        recording = self._run(args, "perf_stat", (cell.source,), live)
        if isinstance(cell.error, Exception):
            raise cell.error
        if cell.value is not None:
            display(cell.value)
        return recording.frame


def _options(function: Callable[..., Any], args: argparse.Namespace) -> dict[str, Any]:
    """The options of a line that are keywords of the library function; others are views."""
    return {name: getattr(args, name) for name in inspect.signature(function).parameters if hasattr(args, name)}

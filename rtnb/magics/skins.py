# SPDX-License-Identifier: MIT
"""What does each magic run? A line of options, one library call, its frame."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import pandas as pd
from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_cell_magic, line_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.display import display
from traitlets import Bool

from rtnb import bpf, caps, perf, rt, strace
from rtnb.errors import BadRecording
from rtnb.magics.arguments import command, parse, recorded, whole, word
from rtnb.magics.call import Call
from rtnb.magics.cell import Cell
from rtnb.magics.present import Caption, bar
from rtnb.recording import Recording, live_or, load_header

__all__ = ["LIBRARY", "RtnbMagics"]

LIBRARY = {"strace": strace.run, "perf_stat": perf.stat, "bpf": bpf.run, "rt_task": rt.run}
"""The library function behind each magic; its keywords are the magic's options."""


@magics_class
class RtnbMagics(Magics):  # type: ignore[misc]
    """The magics of rtnb."""

    record = Bool(False, help="Save anew, live, every recording that a cell names with --or.").tag(config=True)

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
        return self._show(args, call, ".rtnb.summary()" if args.summary_only else "")

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
    @line_magic
    @magic_arguments()
    @argument("--policy", type=word, default="fifo", help="scheduling policy: fifo, rr, other, batch, idle")
    @argument("--priority", type=whole, help="1 to 99 under fifo and rr (default 80)")
    @argument("--period", type=word, default="1ms", help="time from one wake-up to the next: 500us, 1ms")
    @argument("--duration", type=word, default="5s", help="how long the task runs: 5s")
    @argument("--cpu", metavar="N", type=whole, help="the CPU it is pinned to")
    @recorded
    def rt_task(self, line: str) -> Any:
        """Run a periodic real-time task in a process of its own and return its wake-ups, a row each.

        Example::

            %rt_task --policy fifo --priority 80 --period 1ms --duration 5s --cpu 1
        """
        args = parse(self.rt_task, line)
        names = ("policy", "priority", "period", "duration", "cpu")
        call = Call("rt_task", rt.run, **{name: getattr(args, name) for name in names})
        with bar(f"{args.policy}, {args.period} period") as progress:
            return self._show(args, call, progress=progress)

    @no_var_expand
    @line_magic
    @magic_arguments()
    @argument("what", choices=["doctor"], help="doctor: what this process may do here, and what would help")
    @argument("--json", action="store_true", help="print JSON and return nothing")
    def rtnb(self, line: str) -> pd.DataFrame | None:
        """Ask what this process may do here: a row a capability.

        Example::

            %rtnb doctor
        """
        args = parse(self.rtnb, line)
        table = caps.doctor()
        if args.json:
            print(table.to_json(orient="records", indent=1))
            return None
        return table

    def _show(self, args: argparse.Namespace, call: Call, view: str = "", **more: Any) -> Any:
        """Run or print the call; caption, save and bind what came of it."""
        if args.code:
            print(call.code(args.or_, args.save, view))
            return None
        recording = self._run(args, call.kind, call.source, lambda: call.run(**more))
        return next(iter(recording.tables.values())).rtnb.summary() if view else recording.frame

    def _run(
        self, args: argparse.Namespace, kind: str, source: tuple[str, ...], live: Callable[[], Recording]
    ) -> Recording:
        """Run live, or load what --or names: that must be a recording of this kind, also where it is not needed."""
        if args.or_ and not self.record and (found := load_header(args.or_).kind) != kind:
            raise BadRecording(f"--or {args.or_}", f"it is a recording of {found}, not of {kind}")
        recording = live() if self.record else live_or(live, args.or_)
        if recording.header.mode == "recorded" and source and recording.header.source != source:
            other = "it was recorded from something else than this cell asks for"
            recording = recording.with_header(notes=(*recording.header.notes, other))
        if args.output:
            self.shell.user_ns[args.output] = recording
        display(Caption(recording.header))
        save = args.save or (args.or_ if self.record else None)
        if save and recording.header.mode == "live":
            recording.save(save)
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

# SPDX-License-Identifier: MIT
"""How long from a `%%bpf` cell to its first event, next to bpftrace? And how fast is a ring buffer emptied?

bpftrace needs tracefs, which is not mounted everywhere: it gets one in a mount namespace of its own, before the
clock starts.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import subprocess
import sys
import time
from contextlib import closing

from bench.harness import Row, compare, table
from rtnb import bpf

__all__ = ["rows"]

CELL = """
struct event { u64 time_ns; u32 pid; char comm[16]; };
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 1 << 24);
         __type(value, struct event); } events SEC(".maps");

SEC("raw_tp/sys_enter") int f(void *ctx)
{
    FILTER_PID();
    struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
    if (!e)
        return 0;
    e->time_ns = bpf_ktime_get_ns();
    e->pid = bpf_get_current_pid_tgid() >> 32;
    bpf_get_current_comm(e->comm, sizeof(e->comm));
    bpf_ringbuf_submit(e, 0);
    return 0;
}
"""
ONE_LINER = 'tracepoint:raw_syscalls:sys_enter { printf("%d %s\\n", pid, comm); exit(); }'
MOUNTED = 'mount -t tracefs nodev /sys/kernel/tracing && echo mounted && read go && exec bpftrace -B line -e "$0"'
COLD = "from bench.bpf import first_event; first_event()"
RECORDS = 200_000

_nonce = itertools.count()


def first_event(again: bool = False) -> float:
    """Milliseconds from C to the first record in Python; a cell that was never compiled, or the same `again`."""
    source = CELL if again else f"{CELL}// {os.getpid()} {next(_nonce)}\n"
    start = time.perf_counter_ns()
    with bpf.load(source) as program:
        program.attach()
        while program.rings["events"].drain().empty:
            pass
        return (time.perf_counter_ns() - start) / 1e6


def first_event_cold() -> float:
    """The same from the start of a Python interpreter, which imports pandas first."""
    start = time.perf_counter_ns()
    subprocess.run([sys.executable, "-c", COLD], check=True)
    return (time.perf_counter_ns() - start) / 1e6


def bpftrace_first_event() -> float:
    """Milliseconds from the start of bpftrace to its first line of output."""
    pipe = subprocess.PIPE
    argv = ["unshare", "-m", "sh", "-c", MOUNTED, ONE_LINER]
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as peer:
        assert peer.stdin
        assert peer.stdout
        if peer.stdout.readline() != "mounted\n":
            raise OSError("bpftrace: tracefs cannot be mounted")
        start = time.perf_counter_ns()
        peer.stdin.write("go\n")
        peer.stdin.flush()
        for line in peer.stdout:
            if line[0].isdigit():
                return (time.perf_counter_ns() - start) / 1e6
    raise OSError("bpftrace printed no event")


def _filled(program: bpf.Program) -> int:
    """Put records of our own calls into the ring; how many there are at least."""
    program.attach()
    for _ in range(RECORDS):
        os.getppid()
    program.detach()
    return RECORDS


def numpy_rate() -> float:
    """Nanoseconds a record, from the ring to a NumPy array."""
    with bpf.load(CELL, target_pid=os.getpid()) as program:
        _filled(program)
        start = time.perf_counter_ns()
        program.poll()
        took = time.perf_counter_ns() - start
        return took / len(program.rings["events"].take())


def callback_rate() -> float:
    """Nanoseconds a record, by libbpf's ring_buffer__consume and a ctypes callback that keeps each as bytes."""
    library = ctypes.CDLL("libbpf.so.1")
    library.ring_buffer__new.restype = ctypes.c_void_p
    kept: list[bytes] = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    def keep(_: int, data: int, size: int) -> int:
        kept.append(ctypes.string_at(data, size))
        return 0

    with bpf.load(CELL, target_pid=os.getpid()) as program, closing(program):
        ring = ctypes.c_void_p(library.ring_buffer__new(program.rings["events"].fd, keep, None, None))
        _filled(program)
        start = time.perf_counter_ns()
        library.ring_buffer__consume(ring)
        took = time.perf_counter_ns() - start
        library.ring_buffer__free(ring)
        return took / len(kept)


def rows(pairs: int = 15) -> list[Row]:
    """To the first event: a new cell, the same cell again, and cold; then the ring."""
    to = "to the first event"
    first_event(again=True)
    return [
        compare(f"%%bpf, a new cell {to}", first_event, bpftrace_first_event, pairs=pairs, note="peer: bpftrace -e"),
        compare(
            f"%%bpf, the same cell again {to}",
            lambda: first_event(again=True),
            bpftrace_first_event,
            pairs=pairs,
            note="compiled already; peer: bpftrace -e",
        ),
        compare(
            f"%%bpf, a new Python {to}",
            first_event_cold,
            bpftrace_first_event,
            pairs=max(3, pairs // 3),
            note="import of pandas included; peer: bpftrace -e",
        ),
        compare(
            "a ring buffer's record to Python",
            numpy_rate,
            callback_rate,
            unit="ns",
            pairs=max(3, pairs // 3),
            note="32 bytes, to a NumPy array; peer: libbpf's ring_buffer__consume, a ctypes callback",
        ),
    ]


if __name__ == "__main__":
    print(table(rows()))

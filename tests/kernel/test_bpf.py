# SPDX-License-Identifier: MIT
"""What a program counts is what the victim did, in maps, rings and variables, by every kind of probe that works."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import rtnb
from rtnb import bpf
from rtnb.abi import bpf as abi
from rtnb.abi.syscall import NUMBERS
from rtnb.bpf.maps import possible_cpus

pytestmark = pytest.mark.needs("bpf.compiler", "bpf.libbpf", "bpf.btf", "bpf.load", "bpf.raw_tp")

GETPPID = f"""
#define GETPPID {NUMBERS["getppid"]}
struct key {{ u32 pid; char comm[16]; }};
struct {{ __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 64);
         __type(key, struct key); __type(value, u64); }} calls SEC(".maps");
struct event {{ u64 time_ns; u32 pid; u32 nth; char comm[16]; }};
struct {{ __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 65536);
         __type(value, struct event); }} events SEC(".maps");
struct {{ __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 2);
         __type(key, u32); __type(value, u64); }} per_cpu SEC(".maps");
long total;

SEC("raw_tp/sys_enter") int count(struct bpf_raw_tracepoint_args *ctx)
{{
    FILTER_PID();
    if (ctx->args[1] != GETPPID)
        return 0;
    struct key key = {{ .pid = bpf_get_current_pid_tgid() >> 32 }};
    bpf_get_current_comm(key.comm, sizeof(key.comm));
    u64 one = 1, *n = bpf_map_lookup_elem(&calls, &key);
    if (n)
        __sync_fetch_and_add(n, 1);
    else
        bpf_map_update_elem(&calls, &key, &one, BPF_ANY);
    u32 second = 1;
    if ((n = bpf_map_lookup_elem(&per_cpu, &second)))
        *n += 1;
    struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
    if (!e)
        return 0;
    *e = (struct event){{ .time_ns = bpf_ktime_get_ns(), .pid = key.pid, .nth = total++ }};
    __builtin_memcpy(e->comm, key.comm, sizeof(key.comm));
    bpf_ringbuf_submit(e, 0);
    return 0;
}}
"""


def counted(source: str, command: list[str]) -> int:
    """The one global variable `n` after the command."""
    return int(bpf.run(source, command=command).tables["globals"]["n"].iloc[0])


def test_maps_rings_and_variables_hold_what_the_victim_did(victim: dict[str, str]) -> None:
    recording = bpf.run(GETPPID, command=[victim["getppid23"]])
    assert list(recording.tables) == ["calls", "events", "per_cpu", "globals"]
    calls, events, per_cpu, variables = recording.tables.values()
    (pid,) = calls["pid"]
    assert calls[["comm", "value"]].values.tolist() == [["getppid23", 23]]
    assert events["nth"].tolist() == list(range(23))
    assert set(events["pid"]) == {pid}
    assert set(events["comm"]) == {"getppid23"}
    assert events["time_ns"].is_monotonic_increasing
    assert per_cpu.groupby("key")["value"].sum().tolist() == [0, 23]
    assert per_cpu["cpu"].tolist() == list(range(possible_cpus())) * 2
    assert variables.values.tolist() == [[23]]
    header = recording.header
    assert (header.kind, header.exit_status, header.lost, header.interrupted) == ("bpf", 7, 0, False)
    assert re.fullmatch(r"libbpf \d+\.\d+ \+ clang \d+", header.engine)
    assert header.details["command"] == [victim["getppid23"]]
    assert header.details["programs"] == {"count": "raw_tp/sys_enter"}


def test_dtypes_are_signed_and_text_is_a_category(victim: dict[str, str]) -> None:
    events = bpf.run(GETPPID, command=[victim["getppid23"]]).tables["events"]
    assert {n: str(d) for n, d in events.dtypes.items()} == {
        "time_ns": "int64",
        "pid": "int64",
        "nth": "int64",
        "comm": "category",
    }


def test_the_count_is_bpftraces_own(victim: dict[str, str]) -> None:
    if not shutil.which("bpftrace") or not shutil.which("unshare") or os.geteuid() != 0:
        pytest.skip("bpftrace needs to be installed, and root")
    probe = "tracepoint:syscalls:sys_enter_getppid /pid == cpid/ { @ = count(); }"
    script = (
        '[ -d /sys/kernel/tracing/events ] || mount -t tracefs nodev /sys/kernel/tracing; exec bpftrace -e "$0" -c "$1"'
    )
    theirs = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, probe, victim["getppid23"]], capture_output=True, text=True, check=False
    )
    found = re.search(r"@: (\d+)", theirs.stdout)
    assert found, theirs.stderr
    calls = bpf.run(GETPPID, command=[victim["getppid23"]]).tables["calls"]
    assert calls["value"].tolist() == [int(found[1])] == [23]


@pytest.mark.needs("bpf.tracepoint")
def test_a_tracepoint_by_its_tracefs_name(victim: dict[str, str]) -> None:
    before = Path("/proc/self/mounts").read_text()
    source = 'long n; SEC("tp/syscalls/sys_enter_getppid") int f(void *ctx) { FILTER_PID(); n++; return 0; }'
    assert counted(source, [victim["getppid23"]]) == 23
    assert Path("/proc/self/mounts").read_text() == before


def test_a_typed_tracepoint_reads_kernel_structs(victim: dict[str, str]) -> None:
    source = """
long n; char path[64];
SEC("tp_btf/sched_process_exec")
int BPF_PROG(f, struct task_struct *task, pid_t old, struct linux_binprm *bprm)
{
    FILTER_PID();
    n = task->tgid;
    bpf_probe_read_kernel_str(path, sizeof(path), BPF_CORE_READ(bprm, file, f_path.dentry, d_name.name));
    return 0;
}
"""
    recording = bpf.run(source, command=[victim["getppid23"]])
    assert recording.tables["globals"]["path"].tolist() == ["getppid23"]
    assert recording.tables["globals"]["n"].iloc[0] > 1


@pytest.mark.needs("bpf.uprobe")
@pytest.mark.parametrize("probe", ["uprobe", "uretprobe"])
def test_a_uprobe_sees_its_function_in_the_command_alone(victim: dict[str, str], probe: str) -> None:
    source = f'long n; SEC("{probe}/{victim["getppid23"]}:main") int f(void *ctx) {{ n++; return 0; }}'
    assert counted(source, [victim["getppid23"]]) == 1
    # a second process of the same program runs it too, and it is not the one that is looked at
    assert counted(source, ["sh", "-c", victim["getppid23"] + "; true"]) == 0


def test_samples_come_at_their_rate_on_each_cpu() -> None:
    source = 'long n; SEC("perf_event") int f(void *ctx) { __sync_fetch_and_add(&n, 1); return 0; }'
    recording = bpf.run(source, duration="500ms")
    at_most = (recording.header.duration_ns / 1e9 + 0.5) * 99 * (os.cpu_count() or 1) + 2
    assert 0 < recording.tables["globals"]["n"].iloc[0] <= at_most


def test_another_process_is_looked_at_by_its_pid(victim: dict[str, str]) -> None:
    """A gate of our own: the victim's pid is known, and it runs once all is attached."""
    script = 'read line; exec "$0"'
    with subprocess.Popen(["sh", "-c", script, victim["getppid23"]], stdin=subprocess.PIPE) as other:
        release = ["sh", "-c", f"echo > /proc/{other.pid}/fd/0; while [ -d /proc/{other.pid} ] && ! grep -q Z "
                   f"/proc/{other.pid}/status; do sleep 0.01; done"]  # fmt: skip
        recording = bpf.run(GETPPID, pid=other.pid, command=release)
        assert other.wait() == 7
    calls = recording.tables["calls"]
    assert calls[["pid", "comm", "value"]].values.tolist() == [[other.pid, "getppid23", 23]]
    assert recording.header.details["pid"] == other.pid


def test_the_process_is_all_its_threads(victim: dict[str, str]) -> None:
    """Two threads of 23 calls each, and 12 of the main thread."""
    calls = bpf.run(GETPPID, command=[victim["thread"], "2", "23"]).tables["calls"]
    assert calls["value"].tolist() == [2 * 23 + 12]


def test_it_ends_with_the_process_that_it_looks_at() -> None:
    with subprocess.Popen(["sleep", "0.3"]) as other:
        recording = bpf.run(GETPPID, pid=other.pid, duration="60s")
    assert recording.header.duration_ns < 30 * 10**9
    assert not recording.header.interrupted
    assert recording.header.exit_status is None


def test_process_numbers_of_a_namespace_are_translated(victim: dict[str, str]) -> None:
    """In a container with process numbers of its own, FILTER_PID() still means the command."""
    if not shutil.which("unshare") or os.geteuid() != 0:
        pytest.skip("a pid namespace wants root and unshare")
    script = """
import os, sys
from rtnb import bpf
assert os.getpid() < 10, os.getpid()
recording = bpf.run(sys.argv[1], command=[sys.argv[2]])
print(recording.tables["globals"]["total"].iloc[0], recording.header.exit_status)
"""
    argv = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", script]
    done = subprocess.run([*argv, GETPPID, victim["getppid23"]], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("23 7\n", "")


def test_a_hundred_known_keys_come_back(tmp_path: Path) -> None:
    source = """
struct value { u64 square; s32 negative; bool odd; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 128);
         __type(key, u32); __type(value, struct value); } numbers SEC(".maps");
SEC("raw_tp/sys_enter") int f(void *ctx) { return 0; }
"""
    with bpf.load(source) as program:
        assert program.maps["numbers"].frame().empty
        fd = program.maps["numbers"].fd
        for i in range(100):
            abi.map_update(fd, struct.pack("<I", i), struct.pack("<Qi?xxx", i * i, -i, bool(i % 2)))
        frame = program.maps["numbers"].frame()
    expected = pd.DataFrame({"key": range(100)})
    expected["square"], expected["negative"] = expected["key"] ** 2, -expected["key"]
    expected["odd"] = expected["key"] % 2 == 1
    pd.testing.assert_frame_equal(frame, expected, check_names=False)


@pytest.mark.parametrize("kind", ["HASH", "LRU_HASH", "PERCPU_HASH", "LRU_PERCPU_HASH", "ARRAY", "PERCPU_ARRAY"])
def test_every_kind_of_map_sums_to_what_the_victim_did(victim: dict[str, str], kind: str) -> None:
    source = f"""
struct {{ __uint(type, BPF_MAP_TYPE_{kind}); __uint(max_entries, 512);
         __type(key, u32); __type(value, u64); }} by_nr SEC(".maps");
SEC("raw_tp/sys_enter") int f(struct bpf_raw_tracepoint_args *ctx)
{{
    FILTER_PID();
    u32 nr = ctx->args[1];
    u64 one = 1, *n = bpf_map_lookup_elem(&by_nr, &nr);
    if (n)
        __sync_fetch_and_add(n, 1);
    else
        bpf_map_update_elem(&by_nr, &nr, &one, BPF_ANY);
    return 0;
}}
"""
    by_nr = bpf.run(source, command=[victim["getppid23"]]).tables["by_nr"]
    assert by_nr.groupby("key")["value"].sum()[NUMBERS["getppid"]] == 23
    assert ("cpu" in by_nr) == ("PERCPU" in kind)


def test_what_found_no_room_in_the_ring_is_counted() -> None:
    source = """
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); __type(value, u64); } small SEC(".maps");
long tried;
SEC("raw_tp/sys_enter") int f(void *ctx)
{
    FILTER_PID();
    u64 n = tried++;
    bpf_ringbuf_output(&small, &n, sizeof(n), BPF_RB_NO_WAKEUP);
    return 0;
}
"""
    recording = bpf.run(source, command=["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=50000", "status=none"])
    small, tried = recording.tables["small"], recording.tables["globals"]["tried"].iloc[0]
    assert tried > 100_000
    assert recording.header.lost > 0
    assert len(small) + recording.header.lost == tried
    assert small["value"].is_monotonic_increasing
    assert any("found no room" in note for note in recording.header.notes)


def test_a_full_hash_map_says_so(victim: dict[str, str]) -> None:
    source = GETPPID.replace("max_entries, 64", "max_entries, 1")
    notes = bpf.run(source, command=[victim["getppid23"]]).header.notes
    assert notes == ("map calls is full: further keys were refused",)


def test_what_is_empty_says_why() -> None:
    recording = bpf.run(GETPPID, command="true")
    assert recording.tables["calls"].empty
    # a per-CPU array always has rows: here it is left out
    source = re.sub(r"struct \{[^}]*PERCPU_ARRAY.*?SEC\(\".maps\"\);", "", GETPPID, flags=re.S)
    source = re.sub(r"u32 second.*?\+= 1;", "", source, flags=re.S)
    (note,) = bpf.run(source, command="true").header.notes
    assert re.fullmatch(r"nothing came: raw_tp/sys_enter was watched for [\d.]+ \wm?s, .*", note)


def test_a_program_that_is_not_to_be_loaded_is_left_out(victim: dict[str, str]) -> None:
    source = """
long n, never;
SEC("?raw_tp/sys_enter") int optional(void *ctx) { never++; return 0; }
SEC("tp_btf/sched_process_exec") int f(void *ctx) { FILTER_PID(); n++; return 0; }
"""
    recording = bpf.run(source, command=[victim["getppid23"]])
    assert recording.tables["globals"].to_dict("list") == {"n": [1], "never": [0]}
    assert recording.header.notes == ('optional was not attached: SEC("?...") leaves it out',)


PID_NOTE = "every process was seen: put FILTER_PID(); at the start of a program to leave out all but "


@pytest.mark.parametrize(
    ("body", "noted"), [("", True), ("// FILTER_PID();\n", True), ("FILTER_PID();", False), ("n += target_pid;", False)]
)
def test_a_cell_that_does_not_ask_for_its_process_is_told_that_it_saw_all(body: str, noted: bool) -> None:
    source = f'long n = 1; SEC("raw_tp/sys_enter") int f(void *ctx) {{ {body} return 0; }}'
    me = os.getpid()
    assert bpf.run(source, duration="1ms", pid=me).header.notes == ((f"{PID_NOTE}{me}",) if noted else ())
    assert bpf.run(source, duration="1ms").header.notes == ()


@pytest.mark.needs("bpf.uprobe")
def test_a_uprobe_sees_its_process_alone_and_needs_no_filter(victim: dict[str, str]) -> None:
    source = f'long n = 1; SEC("uprobe/{victim["getppid23"]}:main") int f(void *ctx) {{ return 0; }}'
    assert bpf.run(source, duration="1ms", pid=os.getpid()).header.notes == ()


def test_what_bpf_printk_writes_is_said_to_go_elsewhere() -> None:
    source = 'long n = 1; SEC("tp_btf/sched_process_exec") int f(void *ctx) { bpf_printk("hello"); return 0; }'
    (note,) = bpf.run(source, duration="1ms").header.notes
    assert note == "bpf_printk writes to the trace pipe, which rtnb does not read: use a ring buffer"


def test_64_bits_and_9_bytes_come_back_from_a_map() -> None:
    source = """
struct value { u8 a:7; u64 d:64; long e:64; } __attribute__((packed));
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1);
         __type(key, u32); __type(value, struct value); } m SEC(".maps");
SEC("raw_tp/sys_enter") int f(void *ctx)
{
    u32 key = 0;
    struct value value = { .a = 5, .d = 0x8123456789abcdef, .e = -2 };
    bpf_map_update_elem(&m, &key, &value, BPF_ANY);
    return 0;
}
"""
    with bpf.load(source) as program:
        program.attach()
        os.getppid()
        assert program.maps["m"].frame().values.tolist() == [[0, 5, 0x8123456789ABCDEF - 2**64, -2]]


def test_a_recording_comes_back_from_disk(victim: dict[str, str], tmp_path: Path) -> None:
    recording = bpf.run(GETPPID, command=[victim["getppid23"]])
    loaded = rtnb.load(recording.save(tmp_path / "calls"))
    assert loaded.header.mode == "recorded"
    for name, frame in recording.tables.items():
        pd.testing.assert_frame_equal(loaded.tables[name], frame, check_categorical=False)


def test_a_loaded_program_is_attached_drained_and_detached_by_hand(victim: dict[str, str]) -> None:
    with bpf.load(GETPPID) as program:
        ring = program.rings["events"]
        os.getppid()
        assert ring.drain().empty  # not attached yet
        program.attach()
        for _ in range(23):
            os.getppid()
        ours = ring.drain().query("pid == @me", local_dict={"me": os.getpid()})
        assert len(ours) == 23
        program.detach()
        os.getppid()
        assert ring.drain().query("pid == @me", local_dict={"me": os.getpid()}).empty
        assert "raw_tp/sys_enter" in repr(program)
        assert repr(ring) == "Ring(events, 65,536 bytes, records of 32)"


def test_a_source_is_compiled_once() -> None:
    assert bpf.compile(GETPPID) is bpf.compile(GETPPID)
    assert "lines of C" in repr(bpf.compile(GETPPID))


def test_the_commands_output_is_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    recording = bpf.run(GETPPID, command="sh -c 'echo out; echo err >&2; exit 3'")
    assert capsys.readouterr() == ("out\n", "err\n")
    assert recording.header.exit_status == 3


def test_a_command_that_outlasts_the_duration_is_interrupted() -> None:
    recording = bpf.run(GETPPID, command="sleep 60", duration=0.2)
    assert recording.header.exit_status == -2
    assert not recording.header.interrupted

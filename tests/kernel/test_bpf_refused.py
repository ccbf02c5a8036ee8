# SPDX-License-Identifier: MIT
"""%%bpf where it cannot: bad C, bad names, no right, an interrupt, a killed notebook. Nothing stays loaded."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rtnb import bpf, caps
from rtnb.abi import bpf as abi
from rtnb.errors import (
    BadInput,
    CompileError,
    NoSuchCommand,
    NoSuchTask,
    NotPermitted,
    NotSupported,
    RtnbError,
    Unavailable,
    VerifierError,
)

pytestmark = pytest.mark.needs("bpf.compiler", "bpf.libbpf", "bpf.btf", "bpf.load", "bpf.raw_tp")

NOTHING = 'SEC("raw_tp/sys_enter") int f(void *ctx) { return 0; }'


def probe(section: str) -> str:
    return NOTHING.replace("raw_tp/sys_enter", section)


def until(done: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 20
    while not done():
        assert time.monotonic() < end, f"waited 20 s in vain for {what}"
        time.sleep(0.01)


def loaded(pid: int | str = "self") -> set[int]:
    """The ids of the programs that a process has descriptors of."""
    found = set()
    for entry in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            found |= {int(n) for n in re.findall(r"^prog_id:\t(\d+)$", entry.read_text(), re.M)}
        except FileNotFoundError:  # the listing's own descriptor
            continue
    return found


@pytest.fixture(autouse=True)
def every_program_goes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test loads, and however it ends, the kernel has it no more a little later."""
    ids: set[int] = set()
    load = bpf.program.libbpf.Object.load

    def noted(self: bpf.program.libbpf.Object) -> None:
        load(self)
        ids.update(loaded())

    monkeypatch.setattr(bpf.program.libbpf.Object, "load", noted)
    yield
    until(lambda: not ids & set(abi.prog_ids()), f"programs {ids} to be unloaded")


def test_the_check_above_sees_programs() -> None:
    with bpf.load(NOTHING):
        (ours,) = loaded()
        assert ours in abi.prog_ids()
    until(lambda: ours not in abi.prog_ids(), "the program to be unloaded")


# ---- C that does not compile ----


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (
            "int x;\n" + NOTHING.replace("return 0;", "return 0"),
            r"line 2: expected ';' after return statement\n    SEC\(",
        ),
        (f"\n\n{NOTHING.replace('0', 'nonsense')}", "line 3: use of undeclared identifier 'nonsense'"),
        (NOTHING.replace("return 0", "struct task_strct *t = ctx; return t->pid"), "did you mean task_struct"),
        ("#include <linux/bpf.h>\n" + NOTHING, "line 1: .*\nhint: leave out the #include"),
        (
            NOTHING.replace("return 0", "char big[600] = {}; bpf_get_current_comm(big, 600); return big[3]"),
            "512 bytes of stack",
        ),
    ],
)
def test_c_that_does_not_compile_names_the_cells_line(source: str, says: str) -> None:
    with pytest.raises(CompileError, match=says) as e:
        bpf.run(source, duration="1s")
    assert "error:" in e.value.log
    assert len(str(e.value).split("\n")) <= 3


@pytest.mark.parametrize("source", ["", "  \n", "// only a comment\n", '/* SEC("x") */'])
def test_an_empty_cell_is_bad_input(source: str) -> None:
    with pytest.raises(BadInput, match="empty"):
        bpf.run(source)


@pytest.mark.parametrize("source", ["int x;", 'long n SEC(".bss");'])
def test_a_cell_without_a_program_is_bad_input(source: str) -> None:
    with pytest.raises(BadInput, match="defines no program"):
        bpf.run(source)


@pytest.mark.parametrize(
    "source",
    [
        '#include "vmlinux.h"\n#include <bpf/bpf_helpers.h>\nchar LICENSE[] SEC("license") = "Dual BSD/GPL";\n'
        + NOTHING,
        "typedef unsigned long long u64;\nenum { BPF_ANY = 0 };\n" + NOTHING.replace("return 0", "return BPF_ANY"),
        NOTHING.replace("return 0", "return ((struct file *)ctx)->f_inode->i_sb == (void *)TASK_COMM_LEN"),
        NOTHING.replace(
            "return 0", "struct rq *r = ctx; return __builtin_preserve_access_index(&r->cfs.nr_queued) == 0"
        ),
        NOTHING.replace("return 0", "return bpf_get_current_task_btf()->tgid"),
    ],
    ids=["as libbpf has it", "names of the kernel's own", "a chain of pointers", "embedded", "a type it never names"],
)
def test_c_that_others_compile_compiles(source: str) -> None:
    assert bpf.compile(source).elf.startswith(b"\x7fELF")


# ---- the verifier ----


@pytest.mark.parametrize(
    ("body", "line", "says", "hint"),
    [
        (
            "int k = 0;\n int *v = bpf_map_lookup_elem(&m, &k);\n return *v;",
            5,
            "R0 invalid mem access 'map_value_or_null'",
            "it may be NULL",
        ),
        ("struct task_struct *t = (void *)bpf_get_current_task();\n return t->pid;", 4, "'scalar'", "BPF_CORE_READ"),
        ("\n\n return ((u64 *)ctx)[700];", 5, "invalid bpf_context access off=5600 size=8", "no such field"),
        ("for (;;) bpf_ktime_get_ns();\n return 0;", 3, "infinite loop detected", "a loop must end"),
    ],
)
def test_the_verifiers_refusal_names_the_cells_line(body: str, line: int, says: str, hint: str) -> None:
    source = (
        "struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4);"
        ' __type(key, int); __type(value, int); } m SEC(".maps");\n'
        'SEC("raw_tp/sys_enter") int f(void *ctx) {\n' + body + "\n}\n"
    )
    with pytest.raises(VerifierError) as e:
        bpf.run(source, duration="1s")
    assert e.value.why.startswith(f"line {line}: ")
    assert says in e.value.why
    assert source.split("\n")[line - 1].strip() in e.value.why
    assert hint in e.value.hint
    assert "processed" in e.value.log
    assert isinstance(e.value.__cause__, OSError)


def test_a_record_that_is_never_submitted_is_told_of_its_own_line() -> None:
    source = """\
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); __type(value, int); } ring SEC(".maps");
SEC("raw_tp/sys_enter") int f(void *ctx) {
    int *record = bpf_ringbuf_reserve(&ring, 4, 0);
    return 0;
}
"""
    with pytest.raises(VerifierError, match=r"line 3: .*reference leak") as e:
        bpf.run(source)
    assert "bpf_ringbuf_submit" in e.value.hint


def test_a_read_through_null_is_not_taken_for_a_missing_return() -> None:
    body = "int *p = (void *)0;\n return *p;"
    with pytest.raises(VerifierError, match=r"line 2: R0 !read_ok") as e:
        bpf.run(NOTHING.replace("return 0;", body))
    assert "a read through NULL" in e.value.hint


# ---- names, maps, times, tasks ----


@pytest.mark.parametrize("section", ["raw_tp/sched_swich", "tp_btf/sched_swich"])
def test_an_unknown_tracepoint_names_the_closest(section: str) -> None:
    with pytest.raises(BadInput, match="no such tracepoint\nhint: did you mean sched_switch") as e:
        bpf.run(probe(section), duration="1s")
    assert isinstance(e.value.__cause__, OSError)


@pytest.mark.needs("bpf.tracepoint")
def test_an_unknown_tracefs_name_names_the_closest() -> None:
    with pytest.raises(BadInput, match=r"did you mean sched/sched_switch"):
        bpf.run(probe("tp/sched/sched_swich"), duration="1s")


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ("xdp", "xdp programs are not attached here"),
        ("nonsense", "nonsense"),
        ("uprobe//no/such/program:main", "/no/such/program"),
        ("uprobe/libc.so.6:no_such_function", "no_such_function"),
        ("fentry/no_such_function", "this kernel has no function no_such_function"),
    ],
)
def test_a_section_that_means_nothing_says_so(section: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        bpf.run(probe(section), duration="1s")


@pytest.mark.parametrize("section", ["kprobe/do_nanosleep", "fentry/do_nanosleep"])
def test_what_this_kernel_refuses_gives_the_doctors_reason(section: str) -> None:
    answer = caps.ask(f"bpf.{section.split('/')[0]}")
    if answer.verdict == "yes":
        bpf.run(probe(section), duration="1ms")
        return
    with pytest.raises((NotSupported, NotPermitted)) as e:
        bpf.run(probe(section), duration="1s")
    assert e.value.why.startswith(answer.why)
    assert e.value.hint == answer.remedy
    assert "ulimit" not in str(e.value)


@pytest.mark.parametrize(
    ("definition", "says"),
    [
        (
            "__uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 0); __type(key, int); __type(value, int);",
            "create map m",
        ),
        ("__uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 9);", "create map m"),
        ("__uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096);", r"__type\(value, struct event\)"),
        (
            "__uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, u32); __type(value, u32[2000]);",
            "columns",
        ),
    ],
)
def test_a_map_that_means_nothing_says_so(definition: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        bpf.run(f'struct {{ {definition} }} m SEC(".maps");\n{NOTHING}', duration="1s")


NO_TABLE = [
    ("long hist[2000];", "hist[3]++", "global variable hist: it would make 2,000 columns"),
    (
        "struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); __type(value, u32[2000]); } r"
        ' SEC(".maps");',
        "",
        "ring buffer r: it would make 2,000 columns",
    ),
    (
        "struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4); __type(key, u32); __type(value, u32); } "
        + "m" * 70 + ' SEC(".maps");',
        "",
        "table name 'm{70}': a table's name is up to 64 letters",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("definition", "body", "says"), NO_TABLE)
def test_what_makes_no_table_is_refused_before_the_command_runs(
    definition: str, body: str, says: str, tmp_path: Path
) -> None:
    source = f'{definition}\nSEC("raw_tp/sys_enter") int f(void *ctx) {{ {body}; return 0; }}'
    with pytest.raises(BadInput, match=says):
        bpf.run(source, command=["touch", str(tmp_path / "ran")])
    assert not (tmp_path / "ran").exists()


def test_maps_that_make_no_frame_are_named() -> None:
    source = (
        'struct { __uint(type, BPF_MAP_TYPE_QUEUE); __uint(max_entries, 4); __type(value, u32); } q SEC(".maps");\n'
    )
    recording = bpf.run(source + NOTHING, duration="1ms")
    assert "map q is of a type that makes no frame" in recording.header.notes
    assert dict(recording.tables) == {}


@pytest.mark.parametrize("duration", ["soon", "-1s", 0, "0.1ns"])
def test_a_bad_duration_is_bad_input(duration: str | float) -> None:
    with pytest.raises(BadInput, match="duration"):
        bpf.run(NOTHING, duration=duration)


@pytest.mark.parametrize("pid", [2**22 + 1, 0, -1, 2**40])
def test_a_pid_that_is_gone_says_so(pid: int) -> None:
    with pytest.raises(NoSuchTask, match=f"process {pid}"):
        bpf.run(NOTHING, pid=pid)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("no-such-command-here", "command not found"),
        (["/etc/passwd"], "not an executable file"),
        (["true", "a\0b"], "null byte"),
        (["true", "x" * 3_000_000], "rgument list too long"),
    ],
)
def test_a_command_that_cannot_start_says_so(command: str | list[str], says: str) -> None:
    with pytest.raises(NoSuchCommand, match=says) as e:
        bpf.run(NOTHING, command=command)
    assert "rtnb-core" not in str(e.value)


def test_a_script_without_a_first_line_is_no_program(tmp_path: Path) -> None:
    junk = tmp_path / "junk"
    junk.write_bytes(b"\x7fELF and no more")
    junk.chmod(0o755)
    with pytest.raises(NoSuchCommand, match="no program that this machine can run"):
        bpf.run(NOTHING, command=[str(junk)])


def test_without_the_core_a_command_is_not_supported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from rtnb import _core

    monkeypatch.setattr(_core, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(NotSupported, match="without its C core"):
        bpf.run(NOTHING, command="true")


def test_without_clang_ziglang_compiles_and_without_both_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    if caps.ask("bpf.compiler").verdict == "yes":
        compiled = bpf.compile(NOTHING + "// by ziglang")
        with bpf.load(compiled) as program:
            program.attach()
        assert re.fullmatch(r"clang \d+", compiled.compiler)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NotSupported, match="there is no clang") as e:
        bpf.compile(NOTHING + "// by nothing")
    assert "pip install ziglang" in e.value.hint


def test_where_no_file_can_be_written_clang_is_not_to_blame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nowhere")
    with pytest.raises(RtnbError, match="no temporary directory can be made") as e:
        bpf.compile(NOTHING + "// nowhere to write")
    assert "TMPDIR" in e.value.hint
    assert not isinstance(e.value, Unavailable)
    assert isinstance(e.value.__cause__, OSError)


def test_what_libbpf_says_is_said_to_the_thread_that_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A load is refused, and before that is told, another thread loads something."""
    library = bpf.libbpf._lib()
    load, refused, loaded_since = library.bpf_object__load, threading.Event(), threading.Event()
    told: list[str] = []

    def slow(pointer: int) -> int:
        result = int(load(pointer))
        if threading.current_thread() is not threading.main_thread():
            refused.set()
            loaded_since.wait(20)
        return result

    def other() -> None:
        try:
            bpf.load(
                f'struct {{ __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 9); }} m SEC(".maps");\n{NOTHING}'
            )
        except BadInput as e:
            told.append(str(e))

    monkeypatch.setattr(library, "bpf_object__load", slow)
    thread = threading.Thread(target=other)
    thread.start()
    assert refused.wait(20)
    bpf.load(NOTHING).close()
    loaded_since.set()
    thread.join()
    assert [message.split(":")[0] for message in told] == ["create map m"]


# ---- no right ----

AS_NOBODY = """
import sys
from rtnb import bpf
try:
    print(*bpf.run(sys.argv[1], duration="1ms").tables)
except Exception as e:
    print(type(e).__name__, type(e.__cause__).__name__, e, sep="|")
"""


def as_nobody(source: str, *setpriv: str) -> list[str]:
    if os.geteuid() != 0:
        pytest.skip("dropping privilege wants root to begin with")
    if setpriv:
        argv = [
            "setpriv",
            "--reuid=nobody",
            "--regid=65534",
            "--clear-groups",
            *setpriv,
            sys.executable,
            "-c",
            AS_NOBODY,
        ]
        done = subprocess.run([*argv, source], capture_output=True, text=True, check=False)
        assert done.stderr == ""
        return done.stdout.strip().split("|")
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, source], user="nobody", group="nogroup", extra_groups=[],
        capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.strip().split("|")


def test_without_privilege_the_missing_capabilities_are_named() -> None:
    kind, cause, words = as_nobody(NOTHING)
    assert (kind, cause) == ("NotPermitted", "Refusal")
    assert "CAP_BPF and CAP_PERFMON are missing" in words
    assert "hint: " in words
    assert "ulimit" not in words


def test_the_two_capabilities_are_enough() -> None:
    if not shutil.which("setpriv"):
        pytest.skip("setpriv is not installed")
    both = ("--inh-caps=+bpf,+perfmon", "--ambient-caps=+bpf,+perfmon")
    assert as_nobody("long n; " + NOTHING, *both) == ["globals"]
    kind, _, words = as_nobody("long n; " + NOTHING, *(option.removesuffix(",+perfmon") for option in both))
    assert kind == "NotPermitted"
    assert "CAP_PERFMON is missing" in words


def test_without_privilege_bad_c_is_still_told_as_such() -> None:
    kind, _, words = as_nobody(NOTHING.replace("return 0;", "return 0"))
    assert kind == "CompileError"
    assert "line 1: expected ';'" in words


# ---- an interrupt, and a killed notebook ----

COUNT = 'long n; SEC("raw_tp/sys_enter") int f(void *ctx) { __sync_fetch_and_add(&n, 1); return 0; }'


def interrupting(call: Callable[..., object]) -> Callable[..., object]:
    """The same call, and an interrupt that comes while it is under way."""

    def interrupted(*args: object, **kwargs: object) -> object:
        result = call(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGINT)
        return result

    return interrupted


def loaded_by_hand(source: str) -> None:
    with bpf.load(source) as program:
        program.attach()


@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize("call", ["bpf_object__open_mem", "bpf_object__load", "bpf_program__attach", "bpf_map__fd"])
def test_an_interrupt_before_the_watching_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, call: str, by_hand: bool
) -> None:
    source = (
        'struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); __type(value, int); } r SEC(".maps");'
    )
    library = bpf.libbpf._lib()
    monkeypatch.setattr(library, call, interrupting(getattr(library, call)))
    with pytest.raises(KeyboardInterrupt):
        loaded_by_hand(source + NOTHING) if by_hand else bpf.run(source + NOTHING, command="sleep 60")


@pytest.mark.needs("bpf.tracepoint")
@pytest.mark.parametrize("call", ["tracepoint_open", "_number"])
def test_an_interrupt_while_a_tracepoint_is_opened_leaves_nothing(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    where = abi if call == "tracepoint_open" else bpf.attach
    monkeypatch.setattr(where, call, interrupting(getattr(where, call)))
    with pytest.raises(KeyboardInterrupt):
        bpf.run(probe("tp/syscalls/sys_enter_getppid"), duration="60s")


def test_an_interrupt_while_clang_runs_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    slow = ["sh", "-c", "kill -INT $PPID; exec sleep 60"]
    monkeypatch.setattr("rtnb.bpf.compiler.clang", lambda: slow)
    with pytest.raises(KeyboardInterrupt):
        bpf.run(NOTHING + "// slow", command="sleep 60")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", ["tracepoint_open", "probe_open", "prog_load", "raw_tracepoint_open"])
def test_an_interrupted_probe_of_the_doctor_leaves_nothing(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    monkeypatch.setattr(abi, call, interrupting(getattr(abi, call)))
    name = {"tracepoint_open": "bpf.tracepoint", "probe_open": "bpf.uprobe"}.get(call, "bpf.raw_tp")
    with pytest.raises(KeyboardInterrupt):
        caps.ask(name)


@pytest.mark.parametrize("command", [None, "sleep 60"])
def test_an_interrupt_keeps_what_has_come(command: str | None) -> None:
    def interrupt() -> None:
        until(lambda: bool(loaded()), "the program to be loaded")
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    recording = bpf.run(COUNT, duration="60s", command=command)
    thread.join()
    assert recording.header.interrupted
    assert recording.tables["globals"]["n"].iloc[0] > 0
    assert recording.header.exit_status == (None if command is None else -2)


def test_a_killed_notebook_leaves_no_program_and_no_command(tmp_path: Path) -> None:
    program = f"from rtnb import bpf; bpf.run({COUNT!r}, command=['sh', '-c', 'sleep 60; true'])"
    with subprocess.Popen([sys.executable, "-c", program]) as notebook:
        until(lambda: notebook.poll() is not None or bool(loaded(notebook.pid)), "the program to be loaded")
        ids = loaded(notebook.pid)
        assert ids & set(abi.prog_ids())

        def children() -> list[str]:
            return Path(f"/proc/{notebook.pid}/task/{notebook.pid}/children").read_text().split()

        def shells() -> list[str]:
            return [pid for pid in children() if Path(f"/proc/{pid}/comm").read_text() == "sh\n"]

        until(lambda: bool(shells()), "the command to run")
        (shell,) = shells()
        theirs = Path(f"/proc/{shell}/task/{shell}/children")
        until(lambda: bool(theirs.read_text()), "its child to run")
        commands = [shell, *theirs.read_text().split()]
        notebook.kill()
    until(lambda: not ids & set(abi.prog_ids()), "the programs to be unloaded")
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in commands), "the command and its child to end")


def test_a_command_that_the_duration_ended_is_told() -> None:
    recording = bpf.run(COUNT, duration="20ms", command="sleep 60")
    assert "the command was ended by the duration of 20 ms" in recording.header.notes
    assert (recording.header.exit_status, recording.header.interrupted) == (-2, False)
    assert not any("duration" in note for note in bpf.run(COUNT, duration="20s", command="true").header.notes)

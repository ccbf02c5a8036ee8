# SPDX-License-Identifier: MIT
"""May this process compile, load and attach BPF programs? Each is tried with a program of two instructions."""

from __future__ import annotations

import ctypes
import errno
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rtnb.abi import bpf as abi
from rtnb.abi import btf
from rtnb.abi.capability import effective
from rtnb.abi.interrupt import held
from rtnb.abi.mount import tracefs
from rtnb.caps.answer import Reason, capability
from rtnb.caps.kconfig import built

__all__ = ["clang", "headers", "lockdown"]

_BTF = Path("/sys/kernel/btf/vmlinux")
_INSTEAD = "tracepoints work: raw_tp/, tp_btf/, tp/"
_SETPRIV = (
    "sudo setpriv --reuid=$USER --regid=$(id -g) --init-groups "
    "--inh-caps=+bpf,+perfmon --ambient-caps=+bpf,+perfmon jupyter lab"
)
_PACKAGES = "as root: apt-get install libbpf1 libbpf-dev"


def clang() -> list[str]:
    """How clang is started: the one on PATH, else the one in the PyPI package ziglang. Raises FileNotFoundError."""
    if found := shutil.which("clang"):
        return [found]
    spec = importlib.util.find_spec("ziglang")
    if spec and spec.origin and (zig := Path(spec.origin).with_name("zig")).is_file():
        return [str(zig), "clang"]
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "clang")


def headers() -> Path:
    """The folder that holds bpf/bpf_helpers.h. Raises FileNotFoundError."""
    for folder in (Path("/usr/include"), Path("/usr/local/include")):
        if (folder / "bpf" / "bpf_helpers.h").is_file():
            return folder
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "bpf/bpf_helpers.h")


def lockdown() -> str:
    """none, integrity or confidentiality; "unknown" where securityfs is not mounted."""
    try:
        text = Path("/sys/kernel/security/lockdown").read_text()
    except OSError:
        return "unknown"
    return text.partition("[")[2].partition("]")[0]


def _missing(option: str, what: str, remedy: str) -> Reason:
    """Why an interface is not there: by the kernel's configuration, where that can be read."""
    value = built(option)
    why = {"n": f"this kernel was built without {what} ({option} is not set)", None: f"this kernel has no {what}"}
    return Reason("support", why.get(value, f"{what}: built ({option}={value}), and not there"), remedy)


def _files(error: OSError) -> Reason:
    if "bpf_helpers" in str(error.filename):
        return Reason("support", "libbpf's headers are not installed", _PACKAGES)
    return Reason("support", "libbpf.so.1 is not installed", _PACKAGES)


@capability("bpf.libbpf", "use libbpf and its headers", _files)
def libbpf() -> str:
    try:
        library = ctypes.CDLL("libbpf.so.1")
    except OSError as e:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "libbpf.so.1") from e
    version: Callable[[], bytes] = library.libbpf_version_string
    version.restype = ctypes.c_char_p  # type: ignore[attr-defined]
    return f"libbpf {version().decode().removeprefix('v')}, headers in {headers()}"


def _no_clang(error: OSError) -> Reason:
    missing = error.errno in (errno.ENOENT, errno.EACCES, errno.ENOEXEC)
    why = "there is no clang" if missing else "clang could not be started"
    return Reason("support", why, "pip install ziglang, or as root: apt-get install clang" if missing else "")


@capability("bpf.compiler", "compile C for BPF", _no_clang)
def compiler() -> str:
    return " ".join(clang())


def _no_btf(error: OSError) -> Reason:
    return _missing("CONFIG_DEBUG_INFO_BTF", "type information (BTF)", "use a distribution's kernel: most have it")


@capability("bpf.btf", "read the kernel's types", _no_btf)
def kernel_types() -> str:
    with _BTF.open("rb") as file:
        file.read(24)
    return f"{_BTF}, {_BTF.stat().st_size / 1e6:.1f} MB"


def _refusal(error: OSError) -> Reason:
    """Why bpf(2) itself was refused."""
    if error.errno == errno.ENOSYS:
        return _missing("CONFIG_BPF_SYSCALL", "bpf(2)", "")
    lacking = sorted({"CAP_BPF", "CAP_PERFMON"} - effective())
    if error.errno == errno.EPERM and lacking and "CAP_SYS_ADMIN" not in effective():
        why = f"{' and '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} missing"
        return Reason("permission", why, f"start it with CAP_BPF and CAP_PERFMON: {_SETPRIV}")
    if error.errno == errno.EPERM and (mode := lockdown()) == "confidentiality":
        return Reason("permission", f"kernel lockdown is in {mode} mode", "boot with lockdown=integrity or none")
    if error.errno == errno.EPERM and "\nSeccomp:\t2\n" in Path("/proc/self/status").read_text():
        return Reason("permission", "a seccomp filter, as containers have, keeps bpf(2) from this process")
    return Reason("unknown", f"bpf(2) failed: {os.strerror(error.errno or 0)}")


@contextmanager
def _loaded(prog_type: int, attach_type: int = 0, btf_id: int = 0) -> Iterator[int]:
    fd = abi.prog_load(
        prog_type, abi.RETURN_0, name="rtnb_probe", expected_attach_type=attach_type, attach_btf_id=btf_id
    )
    try:
        yield fd
    finally:
        os.close(fd)


@capability("bpf.load", "load a BPF program", _refusal)
@held()
def load() -> str:
    with _loaded(abi.BPF_PROG_TYPE_RAW_TRACEPOINT):
        return "a program of two instructions was loaded and unloaded"


@capability("bpf.raw_tp", "attach to raw tracepoints", _refusal)
@held()
def raw_tp() -> str:
    with _loaded(abi.BPF_PROG_TYPE_RAW_TRACEPOINT) as program:
        os.close(abi.raw_tracepoint_open("sched_process_exit", program))
    return "attached to sched_process_exit and detached"


def _no_tracepoint(error: OSError) -> Reason:
    if error.errno in (errno.EACCES, errno.EPERM) and "CAP_SYS_ADMIN" not in effective():
        return Reason(
            "permission",
            "tracefs may not be read",
            "raw_tp/ and tp_btf/ need none; else mount it and give CAP_DAC_READ_SEARCH, or give CAP_SYS_ADMIN",
        )
    if error.errno in (errno.ENOENT, errno.ENODEV):
        return _missing("CONFIG_FTRACE", "tracefs", "raw_tp/ and tp_btf/ need none")
    return _refusal(error)


@capability("bpf.tracepoint", "attach to tracepoints by their tracefs names", _no_tracepoint)
@held()
def tracepoint() -> str:
    with tracefs() as (folder, where):
        fd = os.open("events/sched/sched_process_exit/id", os.O_RDONLY, dir_fd=folder)
        with open(fd) as file:
            number = int(file.read())
    _attached(abi.BPF_PROG_TYPE_TRACEPOINT, abi.tracepoint_open(number))
    return f"attached to sched:sched_process_exit and detached ({where})"


def _no_pmu(option: str, what: str, instead: str) -> Callable[[OSError], Reason]:
    def reason(error: OSError) -> Reason:
        if error.errno == errno.ENOENT:
            return _missing(option, what, instead)
        if error.errno in (errno.EPERM, errno.EACCES) and "CAP_SYS_ADMIN" not in effective():
            why = "CAP_SYS_ADMIN is missing, which probes on functions want"
            return Reason("permission", why, instead or f"start it with CAP_SYS_ADMIN; {_INSTEAD}")
        return _refusal(error)

    return reason


@capability("bpf.uprobe", "attach to functions of programs", _no_pmu("CONFIG_UPROBE_EVENTS", "uprobes", ""))
@held()
def uprobe() -> str:
    event = abi.probe_open("uprobe", os.path.realpath("/proc/self/exe"), 0, pid=0)
    _attached(abi.BPF_PROG_TYPE_KPROBE, event)  # offset 0 is no instruction: nothing is patched
    return "a probe on this interpreter was opened and closed"


@capability("bpf.kprobe", "attach to functions of the kernel", _no_pmu("CONFIG_KPROBES", "kprobes", _INSTEAD))
@held()
def kprobe() -> str:
    _attached(abi.BPF_PROG_TYPE_KPROBE, abi.probe_open("kprobe", "do_nanosleep", 0))
    return "attached to do_nanosleep and detached"


def _no_trampoline(error: OSError) -> Reason:
    """fentry, fexit and their kin: the kernel has one answer for many reasons."""
    try:
        load()
    except OSError as e:
        return _refusal(e)
    if error.errno == errno.ENOENT:
        return _no_btf(error)
    if error.errno == errno.EPERM:
        said = {"unknown": "whether lockdown does cannot be read"}.get(lockdown(), f"lockdown is {lockdown()}")
        why = f"this kernel loads other programs for this process and refuses every one of this kind ({said})"
        return Reason("permission", why, _INSTEAD)
    return Reason("support", "this kernel has no BPF trampolines", _INSTEAD)


@capability("bpf.fentry", "attach to functions of the kernel by fentry and fexit", _no_trampoline)
@held()
def fentry() -> str:
    number = btf.Btf(_BTF.read_bytes()).find("do_nanosleep", btf.BTF_KIND_FUNC)
    with _loaded(abi.BPF_PROG_TYPE_TRACING, abi.BPF_TRACE_FENTRY, number) as program:
        os.close(abi.raw_tracepoint_open(None, program))
    return "attached to do_nanosleep and detached"


def _attached(prog_type: int, event: int) -> None:
    """Give a program to an open event, and close both."""
    try:
        with _loaded(prog_type) as program:
            abi.perf_event_set_bpf(event, program)
    finally:
        os.close(event)

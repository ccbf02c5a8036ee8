# SPDX-License-Identifier: MIT
"""linux/bpf.h: the bpf(2) call itself. Maps, instructions, a hand-made program, and what is loaded now.

Names are the header's. Keys and values are bytes; a batch goes straight into the caller's buffers.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import struct
from typing import Any, NamedTuple

from rtnb.abi import perf_event
from rtnb.abi.syscall import syscall

__all__ = [
    "Batch",
    "HEADERS",
    "RETURN_0",
    "bpf_attr_batch",
    "bpf_attr_elem",
    "bpf_attr_id",
    "bpf_attr_link_create",
    "bpf_attr_map_create",
    "bpf_attr_prog_load",
    "bpf_attr_raw_tracepoint",
    "insn",
    "link_create",
    "map_create",
    "map_get_next_key",
    "map_lookup",
    "map_lookup_batch",
    "map_update",
    "perf_event_set_bpf",
    "probe_open",
    "prog_ids",
    "prog_load",
    "raw_tracepoint_open",
    "tracepoint_open",
]

HEADERS = ("linux/bpf.h",)

# enum bpf_cmd
BPF_MAP_CREATE = 0
BPF_MAP_LOOKUP_ELEM = 1
BPF_MAP_UPDATE_ELEM = 2
BPF_MAP_GET_NEXT_KEY = 4
BPF_PROG_LOAD = 5
BPF_PROG_GET_NEXT_ID = 11
BPF_RAW_TRACEPOINT_OPEN = 17
BPF_MAP_LOOKUP_BATCH = 24
BPF_LINK_CREATE = 28

# enum bpf_map_type
BPF_MAP_TYPE_UNSPEC = 0
BPF_MAP_TYPE_HASH = 1
BPF_MAP_TYPE_ARRAY = 2
BPF_MAP_TYPE_PROG_ARRAY = 3
BPF_MAP_TYPE_PERF_EVENT_ARRAY = 4
BPF_MAP_TYPE_PERCPU_HASH = 5
BPF_MAP_TYPE_PERCPU_ARRAY = 6
BPF_MAP_TYPE_STACK_TRACE = 7
BPF_MAP_TYPE_CGROUP_ARRAY = 8
BPF_MAP_TYPE_LRU_HASH = 9
BPF_MAP_TYPE_LRU_PERCPU_HASH = 10
BPF_MAP_TYPE_LPM_TRIE = 11
BPF_MAP_TYPE_ARRAY_OF_MAPS = 12
BPF_MAP_TYPE_HASH_OF_MAPS = 13
BPF_MAP_TYPE_QUEUE = 22
BPF_MAP_TYPE_STACK = 23
BPF_MAP_TYPE_SK_STORAGE = 24
BPF_MAP_TYPE_STRUCT_OPS = 26
BPF_MAP_TYPE_RINGBUF = 27
BPF_MAP_TYPE_INODE_STORAGE = 28
BPF_MAP_TYPE_TASK_STORAGE = 29
BPF_MAP_TYPE_BLOOM_FILTER = 30
BPF_MAP_TYPE_USER_RINGBUF = 31

# enum bpf_prog_type
BPF_PROG_TYPE_SOCKET_FILTER = 1
BPF_PROG_TYPE_KPROBE = 2
BPF_PROG_TYPE_TRACEPOINT = 5
BPF_PROG_TYPE_PERF_EVENT = 7
BPF_PROG_TYPE_RAW_TRACEPOINT = 17
BPF_PROG_TYPE_TRACING = 26
BPF_PROG_TYPE_LSM = 29

# enum bpf_attach_type
BPF_TRACE_RAW_TP = 23
BPF_TRACE_FENTRY = 24
BPF_TRACE_FEXIT = 25

# flags of BPF_MAP_UPDATE_ELEM
BPF_ANY = 0
BPF_NOEXIST = 1
BPF_EXIST = 2

# a ring buffer's record: a header of BPF_RINGBUF_HDR_SZ, its length with two bits on top
BPF_RINGBUF_BUSY_BIT = 1 << 31
BPF_RINGBUF_DISCARD_BIT = 1 << 30
BPF_RINGBUF_HDR_SZ = 8

# instructions: a class, an operation, a source
BPF_ALU64 = 0x07
BPF_JMP = 0x05
BPF_MOV = 0xB0
BPF_EXIT = 0x90
BPF_K = 0x00

BPF_OBJ_NAME_LEN = 16


def _union(name: str, *fields: tuple[Any, ...]) -> type[ctypes.Structure]:
    """One command's part of union bpf_attr; a dotted field is one of a named struct in it."""
    body = {"_c_name_": "union bpf_attr", "_c_prefix_": True, "_fields_": fields, "__doc__": f"union bpf_attr: {name}"}
    return type(name, (ctypes.Structure,), body)


bpf_attr_map_create = _union(
    "bpf_attr_map_create",
    ("map_type", ctypes.c_uint32),
    ("key_size", ctypes.c_uint32),
    ("value_size", ctypes.c_uint32),
    ("max_entries", ctypes.c_uint32),
    ("map_flags", ctypes.c_uint32),
    ("inner_map_fd", ctypes.c_uint32),
    ("numa_node", ctypes.c_uint32),
    ("map_name", ctypes.c_char * BPF_OBJ_NAME_LEN),
)
bpf_attr_elem = _union(
    "bpf_attr_elem",
    ("map_fd", ctypes.c_uint32),
    ("_pad", ctypes.c_uint32),
    ("key", ctypes.c_uint64),
    ("value", ctypes.c_uint64),
    ("flags", ctypes.c_uint64),
)
bpf_attr_batch = _union(
    "bpf_attr_batch",
    ("batch.in_batch", ctypes.c_uint64),
    ("batch.out_batch", ctypes.c_uint64),
    ("batch.keys", ctypes.c_uint64),
    ("batch.values", ctypes.c_uint64),
    ("batch.count", ctypes.c_uint32),
    ("batch.map_fd", ctypes.c_uint32),
    ("batch.elem_flags", ctypes.c_uint64),
    ("batch.flags", ctypes.c_uint64),
)
bpf_attr_prog_load = _union(
    "bpf_attr_prog_load",
    ("prog_type", ctypes.c_uint32),
    ("insn_cnt", ctypes.c_uint32),
    ("insns", ctypes.c_uint64),
    ("license", ctypes.c_uint64),
    ("log_level", ctypes.c_uint32),
    ("log_size", ctypes.c_uint32),
    ("log_buf", ctypes.c_uint64),
    ("kern_version", ctypes.c_uint32),
    ("prog_flags", ctypes.c_uint32),
    ("prog_name", ctypes.c_char * BPF_OBJ_NAME_LEN),
    ("prog_ifindex", ctypes.c_uint32),
    ("expected_attach_type", ctypes.c_uint32),
    ("prog_btf_fd", ctypes.c_uint32),
    ("func_info_rec_size", ctypes.c_uint32),
    ("func_info", ctypes.c_uint64),
    ("func_info_cnt", ctypes.c_uint32),
    ("line_info_rec_size", ctypes.c_uint32),
    ("line_info", ctypes.c_uint64),
    ("line_info_cnt", ctypes.c_uint32),
    ("attach_btf_id", ctypes.c_uint32),
)
bpf_attr_raw_tracepoint = _union(
    "bpf_attr_raw_tracepoint",
    ("raw_tracepoint.name", ctypes.c_uint64),
    ("raw_tracepoint.prog_fd", ctypes.c_uint32),
)
bpf_attr_link_create = _union(
    "bpf_attr_link_create",
    ("link_create.prog_fd", ctypes.c_uint32),
    ("link_create.target_fd", ctypes.c_uint32),
    ("link_create.attach_type", ctypes.c_uint32),
    ("link_create.flags", ctypes.c_uint32),
)
bpf_attr_id = _union(
    "bpf_attr_id",
    ("start_id", ctypes.c_uint32),
    ("next_id", ctypes.c_uint32),
    ("open_flags", ctypes.c_uint32),
)


class Batch(NamedTuple):
    """What a batch lookup gave: how many entries, where to go on, and whether that was the end."""

    entries: int
    cursor: bytes
    last: bool


def insn(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    """One instruction, struct bpf_insn: eight bytes.

    >>> insn(BPF_ALU64 | BPF_MOV | BPF_K, dst=0, imm=0).hex()
    'b700000000000000'
    """
    return struct.pack("=BBhi", code, dst | src << 4, off, imm)


RETURN_0 = insn(BPF_ALU64 | BPF_MOV | BPF_K) + insn(BPF_JMP | BPF_EXIT)
"""The smallest program: r0 = 0; exit."""


def prog_load(
    prog_type: int,
    insns: bytes,
    *,
    license: str = "GPL",
    name: str = "",
    expected_attach_type: int = 0,
    attach_btf_id: int = 0,
    log: bytearray | None = None,
) -> int:
    """Load instructions; returns the program's descriptor. The verifier's words go into `log`, NUL-terminated.

    Raises OSError: EPERM without CAP_BPF (CAP_PERFMON for tracing types), EINVAL and EACCES from the verifier.
    """
    licence, code = ctypes.create_string_buffer(license.encode()), ctypes.create_string_buffer(insns, len(insns))
    attr = bpf_attr_prog_load(
        prog_type=prog_type,
        insn_cnt=len(insns) // 8,
        insns=ctypes.addressof(code),
        license=ctypes.addressof(licence),
        prog_name=name.encode()[: BPF_OBJ_NAME_LEN - 1],
        expected_attach_type=expected_attach_type,
        attach_btf_id=attach_btf_id,
    )
    if log:
        attr.log_level, attr.log_size, attr.log_buf = 1, len(log), _address(log)
    return _bpf(BPF_PROG_LOAD, attr)


def raw_tracepoint_open(name: str | None, prog_fd: int) -> int:
    """Attach to a raw tracepoint, or, with no name, where the program was loaded for; returns a descriptor.

    Closing it detaches. Raises OSError: ENOENT for a tracepoint that does not exist.
    """
    text = ctypes.create_string_buffer(name.encode()) if name else None
    address = ctypes.addressof(text) if text else 0
    return _bpf(
        BPF_RAW_TRACEPOINT_OPEN,
        bpf_attr_raw_tracepoint(**{"raw_tracepoint.name": address, "raw_tracepoint.prog_fd": prog_fd}),
    )


def link_create(prog_fd: int, target_fd: int, attach_type: int) -> int:
    """Attach a program; returns the link's descriptor, and closing it detaches. Raises OSError."""
    names = ("prog_fd", "target_fd", "attach_type")
    values = dict(zip((f"link_create.{n}" for n in names), (prog_fd, target_fd, attach_type), strict=True))
    return _bpf(BPF_LINK_CREATE, bpf_attr_link_create(**values))


def tracepoint_open(number: int) -> int:
    """A perf event for a tracepoint, by the number in its tracefs `id` file; a program on it sees every task.

    Raises OSError: EACCES without CAP_PERFMON.
    """
    return perf_event.perf_event_open(perf_event.PERF_TYPE_TRACEPOINT, number, "disabled", pid=-1, cpu=0)


def probe_open(pmu: str, target: str, offset: int, *, pid: int = -1) -> int:
    """A perf event for a kprobe (a kernel function) or a uprobe (a file) at `offset`.

    Raises OSError: ENOENT where the kernel was built without that kind of probe.
    """
    with open(f"/sys/bus/event_source/devices/{pmu}/type") as file:
        kind = int(file.read())
    name = ctypes.create_string_buffer(os.fsencode(target))
    cpu = 0 if pid == -1 else -1
    return perf_event.perf_event_open(
        kind, 0, "disabled", pid=pid, cpu=cpu, config1=ctypes.addressof(name), config2=offset
    )


def perf_event_set_bpf(fd: int, prog_fd: int) -> None:
    """Run a program at each of a perf event's events; closing the event ends it. Raises OSError."""
    syscall("ioctl", fd, perf_event.PERF_EVENT_IOC_SET_BPF, prog_fd)


def map_create(
    map_type: int, key_size: int, value_size: int, max_entries: int, *, flags: int = 0, name: str = ""
) -> int:
    """Create a map; returns its descriptor. Raises OSError: EPERM, EINVAL, E2BIG, ENOMEM."""
    attr = bpf_attr_map_create(
        map_type=map_type,
        key_size=key_size,
        value_size=value_size,
        max_entries=max_entries,
        map_flags=flags,
        map_name=name.encode()[: BPF_OBJ_NAME_LEN - 1],
    )
    return _bpf(BPF_MAP_CREATE, attr)


def map_lookup(fd: int, key: bytes, value_size: int) -> bytes:
    """The value of a key; per-CPU maps give one value a possible CPU, each padded to 8 bytes: size it so.

    Raises OSError: ENOENT for a key that is not there.
    """
    raw, value = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(value_size)
    _bpf(BPF_MAP_LOOKUP_ELEM, bpf_attr_elem(map_fd=fd, key=ctypes.addressof(raw), value=ctypes.addressof(value)))
    return value.raw


def map_update(fd: int, key: bytes, value: bytes, flags: int = BPF_ANY) -> None:
    """Set a key's value. Raises OSError: E2BIG where the map is full, EEXIST and ENOENT by the flags."""
    raw, data = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(value, len(value))
    attr = bpf_attr_elem(map_fd=fd, key=ctypes.addressof(raw), value=ctypes.addressof(data), flags=flags)
    _bpf(BPF_MAP_UPDATE_ELEM, attr)


def map_get_next_key(fd: int, key: bytes | None, key_size: int) -> bytes | None:
    """The key after `key`, the first where that is None or gone; None at the end. Raises OSError."""
    raw = ctypes.create_string_buffer(key, key_size) if key is not None else None
    following = ctypes.create_string_buffer(key_size)
    attr = bpf_attr_elem(
        map_fd=fd, key=ctypes.addressof(raw) if raw is not None else 0, value=ctypes.addressof(following)
    )
    try:
        _bpf(BPF_MAP_GET_NEXT_KEY, attr)
    except OSError as e:
        if e.errno == errno.ENOENT:
            return None
        raise
    return following.raw


def map_lookup_batch(fd: int, cursor: bytes | None, keys: Any, values: Any, count: int) -> Batch:
    """Copy up to `count` entries into two writable buffers; begin with `cursor` None, go on with the Batch's.

    Raises OSError: ENOSPC where a hash bucket holds more than `count`, EINVAL or ENOTSUPP (524) for a map
    without batches.
    """
    # A hash map's cursor is 4 bytes, another's is a key, which the kernel limits to far less than a page.
    following = ctypes.create_string_buffer(cursor or b"", 4096)
    address = ctypes.addressof(following)
    attr = bpf_attr_batch(
        **{
            "batch.in_batch": address if cursor is not None else 0,
            "batch.out_batch": address,
            "batch.keys": _address(keys),
            "batch.values": _address(values),
            "batch.count": count,
            "batch.map_fd": fd,
        }
    )
    last = False
    try:
        _bpf(BPF_MAP_LOOKUP_BATCH, attr)
    except OSError as e:
        if e.errno != errno.ENOENT:
            raise
        last = True
    return Batch(getattr(attr, "batch.count"), following.raw, last)


def prog_ids() -> list[int]:
    """The ids of all programs that are loaded now. Raises OSError: EPERM without CAP_SYS_ADMIN."""
    attr = bpf_attr_id()
    found: list[int] = []
    while True:
        try:
            _bpf(BPF_PROG_GET_NEXT_ID, attr)
        except OSError as e:
            if e.errno == errno.ENOENT:
                return found
            raise
        found.append(attr.next_id)
        attr.start_id = attr.next_id


def _address(buffer: Any) -> int:
    """Where a writable buffer lies; the caller keeps it alive over the call."""
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


def _bpf(command: int, attr: ctypes.Structure) -> int:
    with contextlib.suppress(BlockingIOError):  # EAGAIN: the verifier was interrupted by a signal; once more
        return syscall("bpf", command, ctypes.byref(attr), ctypes.sizeof(attr))
    return syscall("bpf", command, ctypes.byref(attr), ctypes.sizeof(attr))

# SPDX-License-Identifier: MIT
"""linux/perf_event.h: what perf_event_open(2) is asked, and the calls on what it opens.

Names are the header's. One event is one descriptor; a count is read with the times it was enabled and running.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from types import TracebackType
from typing import NamedTuple

from rtnb.abi.syscall import syscall

__all__ = [
    "ATTR_BITS",
    "HEADERS",
    "Reading",
    "Ring",
    "disable",
    "enable",
    "perf_event_attr",
    "perf_event_open",
    "read",
    "set_filter",
    "set_output",
]

HEADERS = ("linux/perf_event.h",)

# enum perf_type_id
PERF_TYPE_HARDWARE = 0
PERF_TYPE_SOFTWARE = 1
PERF_TYPE_TRACEPOINT = 2
PERF_TYPE_HW_CACHE = 3
PERF_TYPE_RAW = 4
PERF_TYPE_BREAKPOINT = 5

# enum perf_hw_id
PERF_COUNT_HW_CPU_CYCLES = 0
PERF_COUNT_HW_INSTRUCTIONS = 1
PERF_COUNT_HW_CACHE_REFERENCES = 2
PERF_COUNT_HW_CACHE_MISSES = 3
PERF_COUNT_HW_BRANCH_INSTRUCTIONS = 4
PERF_COUNT_HW_BRANCH_MISSES = 5
PERF_COUNT_HW_BUS_CYCLES = 6
PERF_COUNT_HW_STALLED_CYCLES_FRONTEND = 7
PERF_COUNT_HW_STALLED_CYCLES_BACKEND = 8
PERF_COUNT_HW_REF_CPU_CYCLES = 9

# enum perf_hw_cache_id, perf_hw_cache_op_id, perf_hw_cache_op_result_id
PERF_COUNT_HW_CACHE_L1D = 0
PERF_COUNT_HW_CACHE_L1I = 1
PERF_COUNT_HW_CACHE_LL = 2
PERF_COUNT_HW_CACHE_DTLB = 3
PERF_COUNT_HW_CACHE_ITLB = 4
PERF_COUNT_HW_CACHE_BPU = 5
PERF_COUNT_HW_CACHE_NODE = 6
PERF_COUNT_HW_CACHE_OP_READ = 0
PERF_COUNT_HW_CACHE_OP_WRITE = 1
PERF_COUNT_HW_CACHE_OP_PREFETCH = 2
PERF_COUNT_HW_CACHE_RESULT_ACCESS = 0
PERF_COUNT_HW_CACHE_RESULT_MISS = 1

# enum perf_sw_ids
PERF_COUNT_SW_CPU_CLOCK = 0
PERF_COUNT_SW_TASK_CLOCK = 1
PERF_COUNT_SW_PAGE_FAULTS = 2
PERF_COUNT_SW_CONTEXT_SWITCHES = 3
PERF_COUNT_SW_CPU_MIGRATIONS = 4
PERF_COUNT_SW_PAGE_FAULTS_MIN = 5
PERF_COUNT_SW_PAGE_FAULTS_MAJ = 6
PERF_COUNT_SW_ALIGNMENT_FAULTS = 7
PERF_COUNT_SW_EMULATION_FAULTS = 8
PERF_COUNT_SW_DUMMY = 9
PERF_COUNT_SW_BPF_OUTPUT = 10
PERF_COUNT_SW_CGROUP_SWITCHES = 11

# enum perf_event_sample_format, as far as rtnb asks
PERF_SAMPLE_IP = 1 << 0
PERF_SAMPLE_TID = 1 << 1
PERF_SAMPLE_TIME = 1 << 2
PERF_SAMPLE_ADDR = 1 << 3
PERF_SAMPLE_CALLCHAIN = 1 << 5
PERF_SAMPLE_CPU = 1 << 7
PERF_SAMPLE_PERIOD = 1 << 8
PERF_SAMPLE_RAW = 1 << 10

# enum perf_event_read_format
PERF_FORMAT_TOTAL_TIME_ENABLED = 1 << 0
PERF_FORMAT_TOTAL_TIME_RUNNING = 1 << 1
PERF_FORMAT_ID = 1 << 2
PERF_FORMAT_GROUP = 1 << 3
PERF_FORMAT_LOST = 1 << 4

# ioctls on the descriptor
PERF_EVENT_IOC_ENABLE = 0x2400
PERF_EVENT_IOC_DISABLE = 0x2401
PERF_EVENT_IOC_REFRESH = 0x2402
PERF_EVENT_IOC_PERIOD = 0x40082404
PERF_EVENT_IOC_SET_OUTPUT = 0x2405
PERF_EVENT_IOC_SET_FILTER = 0x40082406
PERF_EVENT_IOC_ID = 0x80082407
PERF_EVENT_IOC_SET_BPF = 0x40042408
PERF_IOC_FLAG_GROUP = 1 << 0

# flags of perf_event_open(2)
PERF_FLAG_FD_NO_GROUP = 1 << 0
PERF_FLAG_FD_OUTPUT = 1 << 1
PERF_FLAG_PID_CGROUP = 1 << 2
PERF_FLAG_FD_CLOEXEC = 1 << 3

PERF_ATTR_SIZE_VER7 = 128

# enum perf_event_type: what the ring holds, as far as rtnb reads
PERF_RECORD_LOST = 2
PERF_RECORD_SAMPLE = 9
PERF_RECORD_SWITCH_CPU_WIDE = 15  # since Linux commit 45ac1403f564 (in v4.3)

# struct perf_event_header's misc, of a switch
PERF_RECORD_MISC_SWITCH_OUT = 1 << 13
PERF_RECORD_MISC_SWITCH_OUT_PREEMPT = 1 << 14  # since Linux commit 101592b4904e (in v4.17)

ATTR_BITS = {
    "disabled": 0,
    "inherit": 1,
    "pinned": 2,
    "exclusive": 3,
    "exclude_user": 4,
    "exclude_kernel": 5,
    "exclude_hv": 6,
    "exclude_idle": 7,
    "mmap": 8,
    "comm": 9,
    "freq": 10,
    "inherit_stat": 11,
    "enable_on_exec": 12,
    "task": 13,
    "watermark": 14,
    "sample_id_all": 18,
    "exclude_host": 19,
    "exclude_guest": 20,
    "exclude_callchain_kernel": 21,
    "exclude_callchain_user": 22,
    "use_clockid": 25,
    "context_switch": 26,
    "inherit_thread": 35,
    "remove_on_exec": 36,
    "sigtrap": 37,
}
"""The one-bit fields of struct perf_event_attr: name to bit of the word that holds them."""


class perf_event_attr(ctypes.Structure):
    """struct perf_event_attr up to PERF_ATTR_SIZE_VER7; the kernel takes any published size."""

    _c_name_ = "struct perf_event_attr"
    _c_prefix_ = True
    _fields_ = (
        ("type", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("config", ctypes.c_uint64),
        ("sample_period", ctypes.c_uint64),
        ("sample_type", ctypes.c_uint64),
        ("read_format", ctypes.c_uint64),
        ("_bits", ctypes.c_uint64),  # bit fields have no offset in C; see ATTR_BITS
        ("wakeup_events", ctypes.c_uint32),
        ("bp_type", ctypes.c_uint32),
        ("config1", ctypes.c_uint64),
        ("config2", ctypes.c_uint64),
        ("branch_sample_type", ctypes.c_uint64),
        ("sample_regs_user", ctypes.c_uint64),
        ("sample_stack_user", ctypes.c_uint32),
        ("clockid", ctypes.c_int32),
        ("sample_regs_intr", ctypes.c_uint64),
        ("aux_watermark", ctypes.c_uint32),
        ("sample_max_stack", ctypes.c_uint16),
        ("_reserved_2", ctypes.c_uint16),
        ("aux_sample_size", ctypes.c_uint32),
        ("_reserved_3", ctypes.c_uint32),
        ("sig_data", ctypes.c_uint64),
    )


class Reading(NamedTuple):
    """What an event's descriptor says: the raw count, and for how long it was enabled and really counting."""

    value: int
    enabled_ns: int
    running_ns: int


_READING = struct.Struct("@QQQ")
_TIMES = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING


def perf_event_open(
    type: int,
    config: int,
    *bits: str,
    pid: int = 0,
    cpu: int = -1,
    group_fd: int = -1,
    flags: int = PERF_FLAG_FD_CLOEXEC,
    read_format: int = _TIMES,
    **fields: int,
) -> int:
    """A descriptor for one event; `bits` are names of ATTR_BITS, `fields` other fields of perf_event_attr.

    `pid` 0 is the calling thread, `cpu` -1 any. Raises OSError (man 2 perf_event_open), KeyError for an
    unknown bit.
    """
    attr = perf_event_attr(type=type, size=PERF_ATTR_SIZE_VER7, config=config, read_format=read_format, **fields)
    attr._bits = sum(1 << ATTR_BITS[bit] for bit in bits)
    return syscall("perf_event_open", ctypes.byref(attr), pid, cpu, group_fd, flags)


def read(fd: int) -> Reading:
    """The event's count now, children that inherited it included. Raises OSError.

    End of file: the event is in an error state, as a pinned one that was pushed off the PMU; told as EIO.
    """
    data = os.read(fd, _READING.size)
    if len(data) != _READING.size:
        raise OSError(5, os.strerror(5), "read")
    return Reading(*_READING.unpack(data))


def enable(fd: int, *, group: bool = False) -> None:
    """Start counting; with `group`, every event of the group that `fd` leads."""
    syscall("ioctl", fd, PERF_EVENT_IOC_ENABLE, PERF_IOC_FLAG_GROUP if group else 0)


def disable(fd: int, *, group: bool = False) -> None:
    """Stop counting, in inherited children too; the count stays."""
    syscall("ioctl", fd, PERF_EVENT_IOC_DISABLE, PERF_IOC_FLAG_GROUP if group else 0)


def set_output(fd: int, ring_fd: int) -> None:
    """Let an event's samples go into the ring of another one of the same CPU."""
    syscall("ioctl", fd, PERF_EVENT_IOC_SET_OUTPUT, ring_fd)


def set_filter(fd: int, words: str) -> None:
    """Let a tracepoint's event through only where its fields are so: "prev_prio < 100". Raises OSError: EINVAL.

    Source: Documentation/trace/events.rst, "Event filtering".
    """
    syscall("ioctl", fd, PERF_EVENT_IOC_SET_FILTER, ctypes.create_string_buffer(words.encode()))


class Ring:
    """The samples of an event, in memory that the kernel fills: `drain()` takes what has come since the last time.

    `pages` is a power of two. As a context manager it unmaps itself. Source: struct perf_event_mmap_page.
    """

    # Of struct perf_event_mmap_page, after 1 KiB for other things.
    _HEAD, _TAIL, _PLACE = 1024, 1032, struct.Struct("<QQ")

    def __init__(self, fd: int, pages: int) -> None:
        self._memory = mmap.mmap(fd, (1 + pages) * mmap.PAGESIZE)
        self._at, self._size = self._PLACE.unpack_from(self._memory, 1040)  # data_offset, data_size

    def __enter__(self) -> Ring:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._memory.close()

    def drain(self) -> bytes:
        """Whole records, each a struct perf_event_header and what it says; room is made for as many."""
        head, tail = self._PLACE.unpack_from(self._memory, self._HEAD)
        begin, length = self._at + tail % self._size, head - tail
        first = min(length, self._at + self._size - begin)
        found = self._memory[begin : begin + first] + self._memory[self._at : self._at + length - first]
        struct.pack_into("<Q", self._memory, self._TAIL, head)
        return found

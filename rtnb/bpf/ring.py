# SPDX-License-Identifier: MIT
"""What has a ring buffer received? Its pages mapped, its records copied out by NumPy, a run of equals at a time.

The layout is the kernel's (kernel/bpf/ringbuf.c): a page with the consumer's position, one with the producer's,
then the data, mapped twice in a row so that a record never wraps. A record is a header of eight bytes (the
length, bit 31 while it is being written, bit 30 where it was discarded) and the data, padded to eight.

What a ring holds is said by the cell: `__type(value, struct event);` on the map.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Iterator
from types import TracebackType

import numpy as np
import pandas as pd

from rtnb import schema
from rtnb.abi import bpf as abi
from rtnb.abi.btf import Btf
from rtnb.bpf.layout import Bytes, Layout
from rtnb.bpf.libbpf import MapHandle
from rtnb.errors import BadInput

__all__ = ["MOST_BYTES", "Ring", "declared"]

MOST_BYTES = 512 << 20
"""Records kept between two calls of take(); what comes above it is counted as lost."""
_AT_ONCE = 8192  # headers looked at in one step: records of many lengths should not cost the whole ring each

_PAGE = mmap.PAGESIZE
_HEADER = abi.BPF_RINGBUF_HDR_SZ
_BUSY, _DISCARDED = np.uint32(abi.BPF_RINGBUF_BUSY_BIT), np.uint32(abi.BPF_RINGBUF_DISCARD_BIT)
_LENGTH = np.uint32(abi.BPF_RINGBUF_DISCARD_BIT - 1)


def declared(handle: MapHandle) -> None:
    """Before the load: take note that the map is a ring buffer. Raises BadInput where it does not say of what."""
    if not handle.value_type:
        hint = f"add to the map, between its braces: __type(value, struct event);  // what {handle.name} holds"
        raise BadInput(f"%%bpf: ring buffer {handle.name}", "the cell does not say what its records are", hint)
    handle.drop_value_size()


class Ring:
    """A loaded ring buffer. `drain()` takes what has come since the last time, as a frame of a row a record.

    `fd` is its descriptor, which the program owns and which polls readable when there are records;
    `other` counts records whose size is not the declared type's; `dropped` those above MOST_BYTES.
    """

    def __init__(self, handle: MapHandle, btf: Btf) -> None:
        self.name = handle.name
        self.layout = Layout(btf, handle.value_type, "value", f"ring buffer {self.name}")
        self.other = self.dropped = 0
        self.fd = handle.fd
        self._size = handle.max_entries
        self._consumer = mmap.mmap(handle.fd, _PAGE, offset=0)
        try:
            length = _PAGE + 2 * self._size
            self._pages = mmap.mmap(handle.fd, length, prot=mmap.PROT_READ, offset=_PAGE)
        except BaseException:
            self._consumer.close()
            raise
        self._kept: list[Bytes] = []
        self._bytes = 0

    def __enter__(self) -> Ring:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Ring({self.name}, {self._size:,} bytes, records of {self.layout.size})"

    def drain(self) -> pd.DataFrame:
        """The records that have come since the last drain, in the order in which they were reserved."""
        self.poll()
        return self.frame(self.take())

    def poll(self) -> None:
        """Copy what is there out of the ring, so that there is room; take() gives it."""
        at = int.from_bytes(self._consumer[:8], "little")
        end = int.from_bytes(self._pages[:8], "little")
        for length, records in self._runs(at, end):
            if length != self.layout.size:
                self.other += len(records)
            elif self._bytes + records.nbytes > MOST_BYTES:
                self.dropped += len(records)
            else:
                self._kept.append(records)
                self._bytes += records.nbytes

    def take(self) -> Bytes:
        """The records that poll() has copied, as bytes: (n, size of a record). Each is given once."""
        kept, self._kept, self._bytes = self._kept, [], 0
        return np.concatenate([np.empty((0, self.layout.size), np.uint8), *kept])

    def frame(self, records: Bytes) -> pd.DataFrame:
        """Records as a frame, with a column a member of the record's type."""
        return schema.mark(pd.DataFrame(self.layout.columns(records), copy=False), table=f"bpf.{self.name}")

    def notes(self) -> list[str]:
        """What was left out of the frame, in words."""
        notes = []
        if self.other:
            notes.append(
                f"ring buffer {self.name}: {self.other:,} records were not of its declared {self.layout.size} bytes"
            )
        if self.dropped:
            notes.append(
                f"ring buffer {self.name}: {self.dropped:,} records came above the {MOST_BYTES >> 20} MiB that are kept"
            )
        return notes

    def close(self) -> None:
        """Unmap the pages. Does nothing the second time."""
        self._consumer.close()
        with contextlib.suppress(BufferError):  # an interrupted poll's traceback holds a view: it goes with that
            self._pages.close()

    def _runs(self, at: int, end: int) -> Iterator[tuple[int, Bytes]]:
        """Runs of records of one length, discarded ones left out; stops at one that is still being written.

        Each run is given back to the kernel as soon as it is copied.
        """
        while at < end:
            offset = _PAGE + (at & (self._size - 1))
            first = int.from_bytes(self._pages[offset : offset + 4], "little")
            if first & abi.BPF_RINGBUF_BUSY_BIT:
                return
            length = first & int(_LENGTH)
            stride = (length + _HEADER + 7) // 8 * 8
            records, count = self._run(offset, length, stride, min(_AT_ONCE, (end - at) // stride))
            at += count * stride
            self._consumer[:8] = at.to_bytes(8, "little")
            yield length, records

    def _run(self, offset: int, length: int, stride: int, most: int) -> tuple[Bytes, int]:
        """Copy the records from `offset` whose headers all say `length`: those that count, and how many there were."""
        headers = np.ndarray((most,), "<u4", self._pages, offset, (stride,)).copy()
        unlike = np.flatnonzero((headers & ~_DISCARDED) != length)
        count = int(unlike[0]) if len(unlike) else most
        kept = np.flatnonzero((headers[:count] & _DISCARDED) == 0)
        data = np.ndarray((count, length), np.uint8, self._pages, offset + _HEADER, (stride, 1))
        return (data.copy() if len(kept) == count else data[kept]), count

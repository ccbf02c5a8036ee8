# SPDX-License-Identifier: MIT
"""bpf(2) by hand: a map's round trip, a batch, a program, and what the verifier says of one without an end."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtnb.abi import bpf

pytestmark = pytest.mark.needs("bpf.load")


@pytest.fixture
def squares() -> Iterator[int]:
    """A hash map of 100 keys to their squares."""
    fd = bpf.map_create(bpf.BPF_MAP_TYPE_HASH, 4, 8, 128, name="squares")
    for i in range(100):
        bpf.map_update(fd, i.to_bytes(4, "little"), (i * i).to_bytes(8, "little"))
    yield fd
    os.close(fd)


def test_a_map_gives_back_what_was_put_in(squares: int) -> None:
    assert bpf.map_lookup(squares, (7).to_bytes(4, "little"), 8) == (49).to_bytes(8, "little")
    with pytest.raises(FileNotFoundError, match="bpf"):
        bpf.map_lookup(squares, (100).to_bytes(4, "little"), 8)
    with pytest.raises(FileExistsError):
        bpf.map_update(squares, bytes(4), bytes(8), bpf.BPF_NOEXIST)


def test_walking_the_keys_meets_each_once(squares: int) -> None:
    key, met = bpf.map_get_next_key(squares, None, 4), []
    while key is not None:
        met.append(int.from_bytes(key, "little"))
        key = bpf.map_get_next_key(squares, key, 4)
    assert sorted(met) == list(range(100))


@pytest.mark.parametrize("at_once", [128, 31])
def test_batches_bring_every_entry_once(squares: int, at_once: int) -> None:
    cursor, last, met = None, False, {}
    while not last:
        keys, values = bytearray(4 * at_once), bytearray(8 * at_once)
        entries, cursor, last = bpf.map_lookup_batch(squares, cursor, keys, values, at_once)
        for i in range(entries):
            key = int.from_bytes(keys[4 * i : 4 * i + 4], "little")
            assert key not in met
            met[key] = int.from_bytes(values[8 * i : 8 * i + 8], "little")
    assert met == {i: i * i for i in range(100)}


def test_the_smallest_program_is_seen_and_goes_with_its_descriptor() -> None:
    fd = bpf.prog_load(bpf.BPF_PROG_TYPE_SOCKET_FILTER, bpf.RETURN_0, name="smallest")
    facts = dict(line.split(":\t") for line in Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines())
    ours = int(facts["prog_id"])
    assert ours in bpf.prog_ids()
    os.close(fd)
    end = time.monotonic() + 10
    while ours in bpf.prog_ids():  # the kernel frees a program a little later
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_program_without_an_end_is_refused_in_the_verifiers_words() -> None:
    log = bytearray(4096)
    with pytest.raises(OSError, match="bpf") as e:
        bpf.prog_load(bpf.BPF_PROG_TYPE_SOCKET_FILTER, bpf.insn(bpf.BPF_ALU64 | bpf.BPF_MOV | bpf.BPF_K), log=log)
    assert e.value.errno == errno.EINVAL
    assert b"jump out of range" in log or b"last insn" in log


def test_an_unknown_raw_tracepoint_is_enoent() -> None:
    fd = bpf.prog_load(bpf.BPF_PROG_TYPE_RAW_TRACEPOINT, bpf.RETURN_0)
    try:
        with pytest.raises(FileNotFoundError):
            bpf.raw_tracepoint_open("no_such_tracepoint", fd)
    finally:
        os.close(fd)

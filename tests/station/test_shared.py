from __future__ import annotations

import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.station import shared
from agent.station.shared import Segment, SharedMemoryError


def test_snapshot_is_read_back_by_another_mapping() -> None:
    writer = Segment.create()
    reader = Segment.attach(os.dup(writer.fd))
    assert reader.read_snapshot() is None
    for text in (b"first", b"second, longer", b""):
        writer.write_snapshot(text)
        assert reader.read_snapshot() == text
    reader.close()
    writer.close()


def test_a_torn_snapshot_is_never_returned() -> None:
    writer = Segment.create()
    reader = Segment.attach(os.dup(writer.fd))
    stop = threading.Event()

    def write() -> None:
        size = 1
        while not stop.is_set():
            size = size % 4000 + 97
            writer.write_snapshot(bytes([size % 256]) * size)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        seen = 0
        for _ in range(3000):
            data = reader.read_snapshot()
            if data is not None:
                seen += 1
                assert len(set(data)) == 1
                assert data[0] == len(data) % 256
    finally:
        stop.set()
        thread.join()
    assert seen > 0


def test_a_writer_that_died_in_the_middle_leaves_nothing_to_read() -> None:
    segment = Segment.create()
    segment.write_snapshot(b"good")
    segment._words[1] |= 1
    assert segment.read_snapshot() is None
    segment.write_snapshot(b"next")
    assert segment.read_snapshot() == b"next"


@settings(max_examples=60)
@given(st.lists(st.binary(max_size=40_000), max_size=40), st.integers(1, 5))
def test_the_ring_returns_what_was_put_in_order(entries: list[bytes], every: int) -> None:
    segment = Segment.create()
    expected: list[bytes] = []
    taken: list[bytes] = []
    for index, entry in enumerate(entries):
        if segment.put(entry):
            expected.append(entry)
        if index % every == 0:
            got = segment.take()
            if got is not None:
                taken.append(got)
    while (got := segment.take()) is not None:
        taken.append(got)
    assert taken == expected
    assert segment.dropped == len(entries) - len(expected)
    segment.close()


def test_a_full_ring_drops_the_newest_and_counts() -> None:
    segment = Segment.create()
    block = bytes(shared.RING_SIZE // 2)
    assert segment.put(block)
    assert not segment.put(block)
    assert segment.dropped == 1
    assert segment.take() == block
    assert segment.put(block)


def test_a_new_reader_continues_where_the_old_one_stopped() -> None:
    writer = Segment.create()
    writer.put(b"1")
    writer.put(b"2")
    first = Segment.attach(os.dup(writer.fd))
    assert first.take() == b"1"
    first.close()
    assert Segment.attach(os.dup(writer.fd)).take() == b"2"


def test_foreign_memory_is_refused() -> None:
    fd = os.memfd_create("foreign")
    with pytest.raises(SharedMemoryError):
        Segment.attach(os.dup(fd))
    os.ftruncate(fd, shared.TOTAL)
    with pytest.raises(SharedMemoryError):
        Segment.attach(fd)

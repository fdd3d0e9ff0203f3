"""Shared memory between the protection and the station process: a state snapshot, an event ring, a sample area.

The protection process writes, the station process reads; neither ever waits for the other. The snapshot is guarded by a
sequence counter (odd while written) and a checksum; the ring has one producer and one consumer, and a full ring drops
the newest entry and counts it: protection never blocks on its own record. The segment is an anonymous memory file
whose descriptor goes to each new station process over the command channel, so a restarted station continues reading
where its predecessor stopped.

Layout (native byte order, offsets in bytes): 0 magic, 8 snapshot sequence, 16 snapshot length and checksum, 24 ring
head, 32 ring tail, 40 entries dropped, 64 snapshot, then the ring, then the sample area.
"""

from __future__ import annotations

import mmap
import os
import zlib
from dataclasses import dataclass, field
from typing import Final

MAGIC: Final = 0x666C697372_0002
SNAPSHOT_AT: Final = 64
RING_AT: Final = 64 * 1024
SNAPSHOT_SIZE: Final = RING_AT - SNAPSHOT_AT
"""A hundred peers, and the marks of their streams."""
RING_SIZE: Final = 256 * 1024
SAMPLES_AT: Final = RING_AT + RING_SIZE
SAMPLES_SIZE: Final = 1024 * 1024
TOTAL: Final = SAMPLES_AT + SAMPLES_SIZE

_SEQUENCE, _CHECK, _HEAD, _TAIL, _DROPPED = 1, 2, 3, 4, 5
"""Indices of the 64-bit words at the start. One aligned store each: readers never see half of one."""


class SharedMemoryError(Exception):
    """The descriptor is not a segment of this version."""


@dataclass(slots=True)
class Segment:
    """One mapping of the segment."""

    fd: int
    _map: mmap.mmap = field(repr=False)
    _bytes: memoryview = field(repr=False)
    _words: memoryview = field(repr=False)

    @classmethod
    def create(cls) -> Segment:
        """A new, empty segment (protection process)."""
        fd = os.memfd_create("flisr-agent", os.MFD_CLOEXEC)
        os.ftruncate(fd, TOTAL)
        segment = cls._mapped(fd)
        segment._words[0] = MAGIC
        return segment

    @classmethod
    def attach(cls, fd: int) -> Segment:
        """Map a segment received from the protection process."""
        if os.fstat(fd).st_size != TOTAL:
            raise SharedMemoryError("shared memory of another version")
        segment = cls._mapped(fd)
        if segment._words[0] != MAGIC:
            segment.close()
            raise SharedMemoryError("shared memory of another version")
        return segment

    @classmethod
    def _mapped(cls, fd: int) -> Segment:
        mapping = mmap.mmap(fd, TOTAL)
        view = memoryview(mapping)
        return cls(fd, mapping, view, view[:SNAPSHOT_AT].cast("Q"))

    def close(self) -> None:
        """Unmap and close."""
        self._words.release()
        self._bytes.release()
        self._map.close()
        os.close(self.fd)

    # --- snapshot ----------------------------------------------------------------------------------------------------

    def write_snapshot(self, data: bytes) -> None:
        """Replace the snapshot (producer)."""
        size = len(data)
        if size > SNAPSHOT_SIZE:
            raise ValueError(f"snapshot of {size} bytes")
        words = self._words
        sequence = words[_SEQUENCE] | 1
        words[_SEQUENCE] = sequence
        self._bytes[SNAPSHOT_AT : SNAPSHOT_AT + size] = data
        words[_CHECK] = size << 32 | zlib.crc32(data)
        words[_SEQUENCE] = sequence + 1

    def read_snapshot(self, attempts: int = 50) -> bytes | None:
        """The newest complete snapshot; None if there is none yet or the writer died in the middle of one."""
        words = self._words
        for _ in range(attempts):
            before = words[_SEQUENCE]
            if before & 1:
                os.sched_yield()
                continue
            size, check = words[_CHECK] >> 32, words[_CHECK] & 0xFFFF_FFFF
            if before == 0 or size > SNAPSHOT_SIZE:
                return None
            data = bytes(self._bytes[SNAPSHOT_AT : SNAPSHOT_AT + size])
            if words[_SEQUENCE] == before and zlib.crc32(data) == check:
                return data
        return None

    # --- event ring --------------------------------------------------------------------------------------------------

    def put(self, entry: bytes) -> bool:
        """Append an entry (producer); False: no room, dropped and counted."""
        words = self._words
        head = words[_HEAD]
        need = 4 + len(entry)
        if need > RING_SIZE - (head - words[_TAIL]):
            words[_DROPPED] += 1
            return False
        self._copy_in(head, len(entry).to_bytes(4, "little") + entry)
        words[_HEAD] = head + need
        return True

    def take(self) -> bytes | None:
        """Remove the oldest entry (consumer); None if empty."""
        words = self._words
        tail = words[_TAIL]
        available = words[_HEAD] - tail
        if available <= 0:
            return None
        size = int.from_bytes(self._copy_out(tail, 4), "little")
        if 4 + size > available:
            # The producer's memory is not to be trusted blindly: skip to its head instead of reading on.
            words[_TAIL] = words[_HEAD]
            return None
        entry = self._copy_out(tail + 4, size)
        words[_TAIL] = tail + 4 + size
        return entry

    @property
    def dropped(self) -> int:
        """Entries that found no room since the segment was made."""
        return int(self._words[_DROPPED])

    def _copy_in(self, position: int, data: bytes) -> None:
        start = position % RING_SIZE
        first = min(len(data), RING_SIZE - start)
        self._bytes[RING_AT + start : RING_AT + start + first] = data[:first]
        if first < len(data):
            self._bytes[RING_AT : RING_AT + len(data) - first] = data[first:]

    def _copy_out(self, position: int, size: int) -> bytes:
        start = position % RING_SIZE
        first = min(size, RING_SIZE - start)
        data = bytes(self._bytes[RING_AT + start : RING_AT + start + first])
        return data + bytes(self._bytes[RING_AT : RING_AT + size - first]) if first < size else data

    # --- sample area -------------------------------------------------------------------------------------------------

    def write_samples(self, data: bytes | memoryview) -> int:
        """Put a block of samples where the recorder finds it; returns its size. The channel tells of it."""
        size = min(len(data), SAMPLES_SIZE)
        self._bytes[SAMPLES_AT : SAMPLES_AT + size] = data[:size]
        return size

    def read_samples(self, size: int) -> bytes:
        """The block announced over the channel."""
        return bytes(self._bytes[SAMPLES_AT : SAMPLES_AT + min(size, SAMPLES_SIZE)])

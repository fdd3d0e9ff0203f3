"""The fault record: samples of the protection core's ring as COMTRADE (IEC 60255-24:2013 / IEEE C37.111-2013).

A trigger opens a record; it is written once the post-trigger time is over, from what the core still holds (about three
seconds). Analogue channels are the stream's eight in primary A and V (data file BINARY32: the counts as received);
digital channels are made from the events of the same time.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

CHANNELS: Final = (
    ("IA", "A", "A"),
    ("IB", "B", "A"),
    ("IC", "C", "A"),
    ("IN", "N", "A"),
    ("UA", "A", "V"),
    ("UB", "B", "V"),
    ("UC", "C", "V"),
    ("UN", "N", "V"),
)
DIGITAL: Final = ("PICKUP", "TRIP", "CLOSE", "LOCKED")
SAMPLE_SIZE: Final = 40
"""Of one sample in a block from the protection process: 64-bit UTC microseconds and eight 32-bit counts."""

TRIGGERS: Final = frozenset({"pickup", "trip", "onto_fault", "breaker_failure", "backup_trip"})
RISE: Final = {
    "pickup": "PICKUP",
    "trip": "TRIP",
    "trip_sent": "TRIP",
    "close_sent": "CLOSE",
    "lockout": "LOCKED",
}
FALL: Final = {"dropoff": "PICKUP", "opened": "TRIP", "closed": "CLOSE", "released": "LOCKED"}

PRE_US: Final = 500_000
POST_US: Final = 1_200_000
LONGEST_US: Final = 2_300_000
"""From the first trigger: the core's ring must still hold the pre-trigger time."""
MISSING: Final = -(1 << 31)


class Scaling(NamedTuple):
    """Primary value of one count, and the primary rating written into the record."""

    current_a: float = 0.001
    voltage_v: float = 0.01


DEFAULT_SCALING: Final = Scaling()
"""IEC 61850-9-2LE: 1 mA and 10 mV."""


@dataclass(slots=True)
class Recorder:
    """Collects triggers and digital changes; says when to fetch samples; writes the files."""

    directory: Path
    station: str
    device: str
    frequency_hz: float
    scaling: Scaling = DEFAULT_SCALING
    _first: int = 0
    _due: int = 0
    _changes: list[tuple[int, int, bool]] = field(default_factory=list)
    _levels: list[bool] = field(default_factory=lambda: [False] * len(DIGITAL))
    _initial: list[bool] = field(default_factory=lambda: [False] * len(DIGITAL))

    def event(self, name: str, t_us: int) -> None:
        """Look at one event of the log."""
        channel = RISE.get(name) or FALL.get(name)
        if name in TRIGGERS:
            if not self._first:
                self._first = t_us
                self._initial = list(self._levels)
            self._due = min(max(self._due, t_us + POST_US), self._first + LONGEST_US)
        if channel is not None:
            index = DIGITAL.index(channel)
            value = name in RISE
            if self._levels[index] != value:
                self._levels[index] = value
                if self._first:
                    self._changes.append((t_us, index, value))

    @property
    def due_us(self) -> int | None:
        """When to fetch samples and call :meth:`write`; None: no record open."""
        return self._due if self._first else None

    def write(self, block: bytes) -> Path | None:
        """Write the record from a block (see :func:`unpack`); returns the .cfg path, None without samples."""
        first, changes, initial = self._first, self._changes, self._initial
        self._first = self._due = 0
        self._changes = []
        start, end = first - PRE_US, first + LONGEST_US + POST_US
        samples = [row for row in unpack(block) if start <= row[0] <= end]
        if not samples:
            return None
        moment = datetime.fromtimestamp(first / 1e6, UTC)
        stem = f"{self.device}_{moment:%Y%m%dT%H%M%S}_{first % 1_000_000:06d}"
        self.directory.mkdir(mode=0o750, exist_ok=True)
        data = self.directory / f"{stem}.dat"
        data.write_bytes(_data(samples, changes, initial))
        configuration = self.directory / f"{stem}.cfg"
        text = _configuration(self.station, self.device, self.frequency_hz, self.scaling, samples, first)
        configuration.write_text(text, encoding="ascii", errors="replace")
        return configuration


def unpack(block: bytes) -> Iterator[tuple[int, ...]]:
    """Samples of a block: first all times, then all counts, native byte order, as the core holds them."""
    count = len(block) // SAMPLE_SIZE
    times = struct.unpack_from(f"={count}q", block)
    values = struct.iter_unpack("=8i", block[8 * count : SAMPLE_SIZE * count])
    return ((time, *counts) for time, counts in zip(times, values, strict=True))


def _stamp(t_us: int) -> str:
    return datetime.fromtimestamp(t_us // 1_000_000, UTC).strftime("%d/%m/%Y,%H:%M:%S.") + f"{t_us % 1_000_000:06d}"


def _configuration(
    station: str,
    device: str,
    frequency: float,
    scaling: Scaling,
    samples: Sequence[tuple[int, ...]],
    trigger_us: int,
) -> str:
    """The .cfg file, line by line of clause 5 of IEEE C37.111-2013."""
    total = len(CHANNELS) + len(DIGITAL)
    lines = [f"{station},{device},2013", f"{total},{len(CHANNELS)}A,{len(DIGITAL)}D"]
    for index, (name, phase, unit) in enumerate(CHANNELS, 1):
        factor = scaling.current_a if unit == "A" else scaling.voltage_v
        lines.append(f"{index},{name},{phase},{device},{unit},{factor:.9g},0,0,-2147483647,2147483647,1,1,P")
    lines += [f"{index},{name},,{device},0" for index, name in enumerate(DIGITAL, 1)]
    span = samples[-1][0] - samples[0][0]
    rate = (len(samples) - 1) * 1e6 / span if span > 0 else 0.0
    # Gaps in the stream stay gaps: the time stamp of each sample counts (a rate of 0 says so), else the rate.
    even = span > 0 and all(abs(b[0] - a[0] - 1e6 / rate) < 2 for a, b in pairwise(samples))
    lines += [
        f"{frequency:g}",
        "1" if even else "0",
        f"{rate:.6g},{len(samples)}" if even else f"0,{len(samples)}",
        _stamp(samples[0][0]),
        _stamp(trigger_us),
        "BINARY32",
        "1",
        "0,0",
        "0,0",
    ]
    return "\r\n".join(lines) + "\r\n"


def _data(samples: Sequence[tuple[int, ...]], changes: Iterable[tuple[int, int, bool]], initial: list[bool]) -> bytes:
    """The .dat file: number, microseconds since the first sample, eight counts, one word of digitals; little-endian."""
    row = struct.Struct("<II8iH")
    pending = sorted(changes, reverse=True)
    levels = list(initial)
    out = bytearray()
    start = samples[0][0]
    for number, sample in enumerate(samples, 1):
        while pending and pending[-1][0] <= sample[0]:
            _, index, value = pending.pop()
            levels[index] = value
        word = sum(1 << index for index, value in enumerate(levels) if value)
        counts = (MISSING + 1 if value == MISSING else value for value in sample[1:])
        out += row.pack(number, sample[0] - start, *counts, word)
    return bytes(out)

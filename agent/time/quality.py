"""How good the time is, in the words of IEC 61850: TimeQuality of a time stamp, smpSynch of a sample."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

UNSPECIFIED = 31
FINEST = 24
"""A fraction of a second has 24 bits."""
NS_PER_S = 1_000_000_000

_ACCURACY_NS = {
    0x20: 25,
    0x21: 100,
    0x22: 250,
    0x23: 1_000,
    0x24: 2_500,
    0x25: 10_000,
    0x26: 25_000,
    0x27: 100_000,
    0x28: 250_000,
    0x29: 1_000_000,
    0x2A: 2_500_000,
    0x2B: 10_000_000,
    0x2C: 25_000_000,
    0x2D: 100_000_000,
    0x2E: 250_000_000,
    0x2F: NS_PER_S,
    0x30: 10 * NS_PER_S,
}


class SmpSynch(IntEnum):
    """smpSynch (IEC 61850-9-2): whose time the samples follow."""

    NONE = 0
    LOCAL = 1
    """A clock of this area, not traced to UTC."""
    GLOBAL = 2


class TimeQuality(NamedTuple):
    """TimeQuality (IEC 61850-7-2, 6.1.2.9); the octet is that of IEC 61850-8-1."""

    leap_seconds_known: bool
    clock_failure: bool
    clock_not_synchronized: bool
    accuracy: int
    """Significant bits of the fraction of a second, 0 to 24; 31: unspecified."""

    @property
    def octet(self) -> int:
        """As it ends a UtcTime on the wire."""
        flags = self.leap_seconds_known << 7 | self.clock_failure << 6 | self.clock_not_synchronized << 5
        return flags | self.accuracy


UNKNOWN = TimeQuality(False, False, True, UNSPECIFIED)


class TimeState(NamedTuple):
    """The clock's quality now; ``good`` is what the brain is told: samples may be compared with the neighbours'."""

    good: bool
    why: str
    error_us: int
    """Bound of the error against whom the clock follows; 0 where nobody knows one."""
    source: str = "kernel"
    synch: SmpSynch = SmpSynch.NONE
    quality: TimeQuality = UNKNOWN


def accuracy_bits(error_ns: int | None) -> int:
    """TimeAccuracy: so many bits of the fraction mean something, that is the largest n with error ≤ 2^-n s."""
    if error_ns is None:
        return UNSPECIFIED
    bits = 0
    while bits < FINEST and max(error_ns, 1) << (bits + 1) <= NS_PER_S:
        bits += 1
    return bits


def clock_accuracy_ns(accuracy: int) -> int | None:
    """clockAccuracy (IEEE 1588-2008, table 6) as a bound; None: above 10 s, unknown or reserved."""
    return _ACCURACY_NS.get(accuracy)


def time_quality(utc: bool, leap_known: bool, failure: bool, error_ns: int | None) -> TimeQuality:
    """``utc``: the clock follows UTC now, or did within its hold-over; ``error_ns``: bound of its error against UTC.

    A clock that follows a master of its own time is as good for comparing samples, and still not synchronized here:
    the standard means the world's time. A failed clock's stamps mean nothing, their accuracy neither.
    """
    return TimeQuality(leap_known, failure, not utc, UNSPECIFIED if failure else accuracy_bits(error_ns))

"""The one clock everyone in an agent asks, and how good it is.

Time stamps are UTC microseconds of CLOCK_REALTIME. Quality comes from the kernel's clock discipline (``adjtimex``: what
an NTP or PTP daemon reports to the kernel), read by the station process and told to the brain. A step of the clock,
seen as CLOCK_REALTIME moving against CLOCK_MONOTONIC, makes the time bad until it has been steady for ten seconds.
"""

from __future__ import annotations

import ctypes
import time
from enum import StrEnum
from typing import NamedTuple

STA_UNSYNC = 0x0040
TIME_ERROR = 5
STEP_LIMIT_US = 1_000
STEADY_US = 10_000_000
READ_LIMIT_NS = 100_000
MAX_ERROR_US = 1_000
"""Largest error the kernel may estimate before differences of sample times mean little to the zone decision."""


def now_us() -> int:
    """UTC in microseconds since the epoch (CLOCK_REALTIME)."""
    return time.time_ns() // 1000


def both_clocks_us() -> tuple[int, int]:
    """CLOCK_REALTIME and CLOCK_MONOTONIC of one moment: read again while something else ran in between."""
    for _ in range(20):
        before = time.monotonic_ns()
        realtime = time.time_ns()
        after = time.monotonic_ns()
        if after - before < READ_LIMIT_NS:
            break
    return realtime // 1000, (before + after) // 2000


class TimeSource(StrEnum):
    """Whom the agent believes about its clock."""

    KERNEL = "kernel"
    """The kernel's clock discipline; unsynchronized means bad time."""
    TRUSTED = "trusted"
    """Whoever started the agent vouches for it: a laboratory where every process shares one machine's clock."""


class TimeState(NamedTuple):
    """The clock's quality now; ``good`` is what the brain is told."""

    good: bool
    why: str
    error_us: int
    """The kernel's bound of the error; 0 with a trusted clock."""


class _Timex(ctypes.Structure):
    """``struct timex`` of <sys/timex.h> up to what is read here; the rest is room the kernel may fill."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("room", ctypes.c_char * 256),
    )


def kernel_state() -> TimeState:
    """What the kernel says of its clock (``adjtimex``, read only: modes is 0)."""
    timex = _Timex()
    result = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    if result < 0:
        return TimeState(False, "the kernel does not tell the clock's state", 0)
    error = int(timex.maxerror)
    if result == TIME_ERROR or timex.status & STA_UNSYNC:
        return TimeState(False, "the kernel's clock is not synchronized", error)
    if error > MAX_ERROR_US:
        return TimeState(False, f"the clock may be wrong by {error} us", error)
    return TimeState(True, "synchronized", error)


class TimeWatch:
    """Asks the source now and then, and watches for steps. Call :meth:`check` about once a second."""

    def __init__(self, source: TimeSource) -> None:
        self._source = source
        self._offset: int | None = None
        self._bad_until = 0

    def check(self, realtime_us: int, monotonic_us: int) -> TimeState:
        """The quality now. Both clocks come from :func:`both_clocks_us`."""
        offset = realtime_us - monotonic_us
        if self._offset is not None and abs(offset - self._offset) > STEP_LIMIT_US:
            self._bad_until = monotonic_us + STEADY_US
        self._offset = offset
        if monotonic_us < self._bad_until:
            return TimeState(False, "the clock was stepped", 0)
        if self._source is TimeSource.TRUSTED:
            return TimeState(True, "trusted by configuration", 0)
        return kernel_state()


def read_clocks() -> tuple[int, int]:
    """(UTC, monotonic) microseconds read as one: a pair with a preemption between the readings is read again."""
    best, pair = 1 << 62, (0, 0)
    for _ in range(20):
        before = time.monotonic_ns()
        realtime = time.time_ns()
        after = time.monotonic_ns()
        if after - before < best:
            best, pair = after - before, (realtime // 1000, (before + after) // 2000)
        if best < 100_000:
            break
    return pair

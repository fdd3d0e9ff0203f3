"""The one clock everyone in an agent asks, and how good it is.

Time stamps are UTC microseconds of CLOCK_REALTIME. Quality comes from the kernel's clock discipline (``adjtimex``: what
an NTP or PTP daemon reports to the kernel) or from linuxptp, read by the station process and told to the brain. A step
of the clock, seen as CLOCK_REALTIME moving against CLOCK_MONOTONIC, makes the time bad until it has been steady for ten
seconds.
"""

from __future__ import annotations

import ctypes
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from agent.time import ptp
from agent.time.ptp import PtpSettings, PtpState
from agent.time.quality import UNSPECIFIED, SmpSynch, TimeQuality, TimeState, time_quality

__all__ = ["PtpSettings", "PtpWatch", "SourceKind", "TimeSource", "TimeState", "TimeWatch", "both_clocks_us",
           "kernel_state", "now_us"]  # fmt: skip

STA_UNSYNC = 0x0040
TIME_ERROR = 5
STEP_LIMIT_US = 1_000
STEADY_US = 10_000_000
READ_LIMIT_NS = 100_000
ASK_EVERY_US = 500_000
ASK_AGAIN_US = 2_000_000
TRUSTED_ERROR_NS = 976_562
"""2^-10 s: what is claimed of a clock that nobody measures."""
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


class SourceKind(StrEnum):
    """Whom the agent may believe about its clock."""

    KERNEL = "kernel"
    """The kernel's clock discipline; unsynchronized means bad time."""
    TRUSTED = "trusted"
    """Whoever started the agent vouches for it: a laboratory where every process shares one machine's clock."""
    PTP = "ptp"
    """linuxptp; the kernel where that does not answer."""


@dataclass(frozen=True, slots=True)
class TimeSource:
    """Whom the agent believes about its clock, and what is needed to ask."""

    kind: SourceKind
    ptp: PtpSettings = field(default_factory=PtpSettings)
    KERNEL: ClassVar[TimeSource]
    TRUSTED: ClassVar[TimeSource]
    PTP: ClassVar[TimeSource]


TimeSource.KERNEL = TimeSource(SourceKind.KERNEL)
TimeSource.TRUSTED = TimeSource(SourceKind.TRUSTED)
TimeSource.PTP = TimeSource(SourceKind.PTP)


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
    quality = time_quality(True, True, False, error * 1000)
    if error > MAX_ERROR_US:
        return TimeState(False, f"the clock may be wrong by {error} us", error, quality=quality)
    return TimeState(True, "synchronized", error, quality=quality)


class PtpWatch:
    """Asks linuxptp at most every half second, and every two where it let us wait: the station has other work, too."""

    def __init__(self, settings: PtpSettings) -> None:
        self._settings = settings
        self._memory = ptp.Memory()
        self._next_us: int | None = None
        self._state: PtpState | None = None
        self.why_silent = ""
        """Why linuxptp did not answer the last time."""

    def check(self, realtime_us: int, monotonic_us: int) -> PtpState:
        """The state now, or that of the last asking."""
        from agent.time import client  # sockets and messages, for those alone who follow PTP

        if self._state is not None and self._next_us is not None and monotonic_us < self._next_us:
            return self._state
        began = time.monotonic()
        timeout_s = self._settings.timeout_s
        self.why_silent = ""
        reading = None
        try:
            reading = client.read(self._settings.socket, self._settings.domain, timeout_s)
        except client.NoAnswerError as error:
            self.why_silent = str(error)
        waited = reading is None and time.monotonic() - began >= timeout_s
        self._next_us = monotonic_us + (ASK_AGAIN_US if waited else ASK_EVERY_US)
        self._memory, self._state = ptp.step(
            self._memory, reading, kernel_state(), self._settings, realtime_us, monotonic_us
        )
        return self._state


class TimeWatch:
    """Asks the source now and then, and watches for steps. Call :meth:`check` some times a second."""

    def __init__(self, source: TimeSource) -> None:
        self._source = source
        self._ptp = PtpWatch(source.ptp)
        self._offset: int | None = None
        self._bad_until = 0

    def check(self, realtime_us: int, monotonic_us: int) -> TimeState:
        """The quality now. Both clocks come from :func:`both_clocks_us`."""
        offset = realtime_us - monotonic_us
        if self._offset is not None and abs(offset - self._offset) > STEP_LIMIT_US:
            self._bad_until = monotonic_us + STEADY_US
        self._offset = offset
        state = self._ask(realtime_us, monotonic_us)
        if monotonic_us < self._bad_until:
            failed = TimeQuality(state.quality.leap_seconds_known, True, True, UNSPECIFIED)
            return TimeState(False, "the clock was stepped", 0, state.source, SmpSynch.NONE, failed)
        return state

    def _ask(self, realtime_us: int, monotonic_us: int) -> TimeState:
        match self._source.kind:
            case SourceKind.TRUSTED:
                quality = time_quality(True, True, False, TRUSTED_ERROR_NS)
                return TimeState(True, "trusted by configuration", 0, "trusted", SmpSynch.LOCAL, quality)
            case SourceKind.PTP:
                return self._ptp.check(realtime_us, monotonic_us).time
            case _:
                return kernel_state()

"""The publisher of one GOOSE control block (IEC 61850-8-1, 18.1): pure, time comes as an argument (µs UTC).

=========  ==================  ==========================================================  ========
state      event               action                                                      next
=========  ==================  ==========================================================  ========
SILENT     publish             stNum = first, sqNum = 1 (first = 1) or 0, t = now, send    BURST
BURST      publish             stNum + 1, sqNum = 0, t = now, send                         BURST
STEADY     publish             stNum + 1, sqNum = 0, t = now, send                         BURST
BURST      timer, i-th due     sqNum + 1, send; next interval of the curve                 BURST
BURST      timer, last due     sqNum + 1, send; last interval from now on                  STEADY
STEADY     timer due           sqNum + 1, send                                             STEADY
any        timer, 2 s late     as publish, with the values as they are                     BURST
any        timer, not due      nothing                                                     same
=========  ==================  ==========================================================  ========

stNum and sqNum roll over from 2^32 - 1 to 1. ``first`` is 1 after a plain restart; a publisher that keeps a high-water
mark over restarts passes it (see :attr:`Publisher.st_num`). t never goes back while the publisher lives. Repetitions
lie on a grid from the event, so that the age of a repetition follows from its sqNum; a publisher that was stopped, or
whose clock was moved on, lost that grid and tells its state anew. timeAllowedtoLive is constant:
2.5 heartbeats, one may be lost.
"""

from __future__ import annotations

from enum import Enum
from typing import Generic, TypeVar

from agent.goose.codec import CLOCK_NOT_SYNCHRONISED
from agent.goose.dataset import DataSet
from agent.goose.frame import Envelope, of_frames
from agent.goose.layout import Head, Layout
from agent.goose.sealer import Sealer
from agent.goose.session import DEFAULT, SessionEnvelope, SessionProfile
from agent.goose.stream import Stream
from agent.security.frames import TRAILING, Key, Profile
from agent.security.iv import Ivs
from agent.security.ring import KeyGroup

T = TypeVar("T")

NUMBER_MAX = 0xFFFFFFFF
QUALITY_SYNCHRONISED = 0x0A
"""Of a clock of which no more is known than that it can be relied on: 10 bits, 1 ms."""
QUALITY_UNSYNCHRONISED = CLOCK_NOT_SYNCHRONISED | 0x1F
LATE_US = 2_000_000
PAPER_CURVE_MS = (4, 16, 100, 1000)


def publisher_quality(good: bool, quality: int | None) -> int:
    """The octet for t. Not synchronised means: our time cannot be compared with the neighbours'. A feeder that follows
    a grandmaster without a reference of its own agrees with itself, and goes on checking ages."""
    if quality is None:
        return QUALITY_SYNCHRONISED if good else QUALITY_UNSYNCHRONISED
    return quality & ~CLOCK_NOT_SYNCHRONISED if good else quality | CLOCK_NOT_SYNCHRONISED


class State(Enum):
    """See the table of the module."""

    SILENT = "silent"
    BURST = "burst"
    STEADY = "steady"


def curve(min_ms: int, max_ms: int) -> tuple[int, ...]:
    """Intervals of retransmission: 4, 16, 100, 1000 ms for (4, 1000), else growing by 4 from min to max."""
    if (min_ms, max_ms) == (PAPER_CURVE_MS[0], PAPER_CURVE_MS[-1]):
        return PAPER_CURVE_MS
    if not 0 < min_ms <= max_ms:
        raise ValueError(f"retransmission from {min_ms} to {max_ms} ms")
    intervals = []
    interval = min_ms
    while interval < max_ms:
        intervals.append(interval)
        interval *= 4
    return (*intervals, max_ms)


class Publisher(Generic[T]):
    """One control block. ``publish`` and ``timer`` return what to send; sending is the caller's."""

    def __init__(
        self,
        stream: Stream,
        data_set: DataSet[T],
        key: Key | KeyGroup | None,
        *,
        source: bytes = bytes(6),
        first_st_num: int = 1,
        simulation: bool = False,
        nds_com: bool = False,
        intervals_ms: tuple[int, ...] | None = None,
        profile: Profile = TRAILING,
        session_profile: SessionProfile = DEFAULT,
        ivs: Ivs | None = None,
    ) -> None:
        """``source``: MAC address of the interface (layer 2). ``key`` None: not authenticated; a group: the key whose
        time it is. ``ivs``: for keys that need them, those of this publisher; None: of this process alone."""
        self.stream = stream
        self.state = State.SILENT
        self.quality = QUALITY_SYNCHRONISED
        """Of our clock; goes into t of the next new state."""
        self.sent = 0
        """Frames made."""
        self._data_set = data_set
        self._layout = Layout(stream.gocb_ref, stream.dat_set, stream.go_id, data_set.b_types)
        envelope: Envelope | SessionEnvelope
        if stream.routed:
            envelope = SessionEnvelope(stream.appid, simulation=simulation, key=key, profile=session_profile, ivs=ivs)
        else:
            envelope = Envelope(
                stream.destination,
                source,
                stream.appid,
                vlan=stream.vlan,
                simulation=simulation,
                key=key,
                profile=profile,
                ivs=ivs,
            )
        self._sealer = Sealer(envelope, self._layout)
        self._intervals = tuple(ms * 1000 for ms in intervals_ms or curve(stream.min_ms, stream.max_ms))
        self._ttl_ms = max(1, self._intervals[-1] * 5 // 2000)
        self._simulation = simulation
        self._nds_com = nds_com
        self._first = min(max(1, first_st_num), NUMBER_MAX)
        self._st_num = 0
        self._sq_num = 0
        self._t = 0
        self._quality = self.quality
        self._values: tuple[int | float, ...] = ()
        self._step = 0
        self._due: int | None = None

    @property
    def st_num(self) -> int:
        """The last one sent (0: none): what a high-water mark must stay above."""
        return self._st_num

    @property
    def sq_num(self) -> int:
        """The last one sent."""
        return self._sq_num

    @property
    def deadline(self) -> int | None:
        """When to call :meth:`timer`."""
        return self._due

    def check(self, key: Key | KeyGroup | None) -> None:
        """CodecError if these keys do not fit the stream."""
        if not self.stream.routed:
            of_frames(key)

    def rekey(self, key: Key | KeyGroup | None) -> None:
        """Other keys from the next frame on; CodecError if they do not fit the stream."""
        self._sealer.rekey(key)

    def publish(self, message: T, now: int) -> bytes:
        """A new state: the payload to send now (an Ethernet frame, or a datagram where the stream is routed)."""
        self._values = self._data_set.to_values(message)
        return self._new_state(now)

    def _new_state(self, now: int) -> bytes:
        if self.state is State.SILENT:
            self._st_num = self._first
            self._sq_num = 1 if self._first == 1 else 0
        else:
            self._st_num = self._st_num + 1 if self._st_num < NUMBER_MAX else 1
            self._sq_num = 0
        self._t = max(now, self._t + 1)
        self._quality = self.quality
        self.state = State.BURST
        self._step = 0
        self._due = now + self._intervals[0]
        return self._frame(now)

    def timer(self, now: int) -> bytes | None:
        """The retransmission that is due, if one is. A late call sends one frame, not all that were missed."""
        if self._due is None:
            return None
        last = len(self._intervals) - 1
        if now < self._due:
            # A clock set back must not silence us for longer than one interval.
            self._due = min(self._due, now + self._intervals[min(self._step, last)])
            return None
        if now - self._due > LATE_US:
            return self._new_state(now)
        self._sq_num = self._sq_num + 1 if self._sq_num < NUMBER_MAX else 1
        self._step = min(self._step + 1, last)
        if self._step == last:
            self.state = State.STEADY
        self._due += self._intervals[self._step]
        if self._due <= now:
            self._due = now + self._intervals[self._step]
        return self._frame(now)

    def _frame(self, now: int) -> bytes:
        head = Head(
            self._ttl_ms,
            self._t,
            self._quality,
            self._st_num,
            self._sq_num,
            self._simulation,
            self.stream.conf_rev,
            self._nds_com,
        )
        self.sent += 1
        return self._sealer.seal(self._layout.pack(head, self._values), now)

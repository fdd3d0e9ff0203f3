"""The subscriber of one GOOSE control block (IEC 61850-8-1, IEC 62351-6): pure, time comes as an argument (µs UTC).

A payload passes, in this order: form, address (APPID, gocbRef), authentication, identity (datSet, goID, confRev), mode
(simulation, ndsCom), sequence, age, values. The first that fails gives :class:`Dropped` with its reason, counted;
nothing else changes then. Only an accepted frame moves the mark (stNum, sqNum, t) and the time to live.

=========  ==================================================================  ====================  =======
state      frame (authentic, ours)                                             result                next
=========  ==================================================================  ====================  =======
NEVER      fresh                                                               accepted, new         ALIVE
any        stNum ahead, t not before the mark's, fresh                         accepted, new         ALIVE
any        stNum ahead or behind, later than the mark, fresh, authenticated    accepted, new         ALIVE
any        stNum same, later, sqNum 0 or 1 (restart), fresh, authenticated     accepted, new         ALIVE
LOST       stNum same, later, fresh                                            accepted, new         ALIVE
ALIVE      stNum same, t same, sqNum ahead                                     accepted, repetition  ALIVE
LOST       stNum same, t same, sqNum ahead, fresh                              accepted, new         ALIVE
LOST       not authenticated stream: stNum ahead or behind, later, fresh       accepted, new         ALIVE
RESTORED   as LOST
any        stNum same, t same, sqNum same                                      duplicate             same
any        stNum same, t same, sqNum behind                                    out-of-order          same
RESTORED   stNum same, t same, sqNum same or behind                            replayed              same
any        stNum same, t different otherwise                                   t-changed             same
any        otherwise stNum ahead or behind                                     replayed              same
any        otherwise right but not fresh                                       stale, future         same
ALIVE      (none for timeAllowedtoLive)                                        Lost                  LOST
=========  ==================================================================  ====================  =======

"Ahead" and "behind" are by RFC 1982 (roll-over). *Fresh*: t at most 0.5 s ahead of our clock, and not older than 10 s
plus the time that sqNum repetitions take at most: a state may be old, the frame that tells it may not. It is suspended
while our clock is not synchronised or the publisher says that its is not (counted as ``age-unchecked``); a frame
with stNum behind is then not accepted.

*Later*: sent after the mark's t, by the publisher's clock: t, plus what sqNum repetitions take at least, is after it.
A publisher that restarts is therefore heard at once, or, if its clock came back a little behind the mark, when it has
repeated its state for that long (and 16 heartbeats, whose pace is not known); what was recorded before its restart was
sent before it, too, and stays out. A mark from the future (a clock was wrong when it was made) would shut everybody
out: there age alone decides.

Keys are those of a group in time (:class:`agent.security.ring.KeyGroup`); whether one has expired is not asked while
our clock is not synchronised. Two different authentic frames with one IV (``iv-reused``): their publisher is broken,
and with it the key; the second is dropped.

The mark may be restored (:class:`Mark`), so that a restart opens no window for replays. With the simulation mode on
(LPHD.Sim), simulated frames are accepted, and from the first of them on the real ones are dropped; each kind has its
own sequence.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

from agent.goose import codec, frame, session
from agent.goose.codec import CodecError
from agent.goose.dataset import DataSet
from agent.goose.layout import Head, Layout, Raw, head_of
from agent.goose.session import SessionProfile
from agent.goose.stream import Stream
from agent.security.frames import TRAILING, FrameError, Key, Profile, parse_extension
from agent.security.ring import KeyGroup

T = TypeVar("T")

_MODULUS = 1 << 32
_HALF = 1 << 31
_BAD_CLOCK = codec.CLOCK_FAILURE | codec.CLOCK_NOT_SYNCHRONISED
_IVS_KEPT = 256
_BURST = 16
"""Repetitions of a new state may come faster than the heartbeat for as many as this (ours: 3); the rest take its time.
"""


class Drop(StrEnum):
    """Why a payload was not accepted; the names of the counters."""

    SHORT = "short"
    OVERSIZED = "oversized"
    MALFORMED = "malformed"
    FOREIGN = "foreign"
    ENCRYPTED = "encrypted"
    UNAUTHENTICATED = "unauthenticated"
    UNKNOWN_KEY = "unknown-key"
    EXPIRED_KEY = "expired-key"
    BAD_MAC = "bad-mac"
    IV_REUSED = "iv-reused"
    DATA_SET = "data-set"
    CONF_REV = "conf-rev"
    NEEDS_COMMISSIONING = "nds-com"
    SIMULATED = "simulated"
    NOT_SIMULATED = "not-simulated"
    DUPLICATE = "duplicate"
    OUT_OF_ORDER = "out-of-order"
    REPLAYED = "replayed"
    T_CHANGED = "t-changed"
    STALE = "stale"
    FUTURE = "future"
    NO_TIME_TO_LIVE = "no-time-to-live"
    BAD_VALUE = "bad-value"


_MISCONFIGURED = frozenset({Drop.NEEDS_COMMISSIONING, Drop.CONF_REV, Drop.DATA_SET})
_DROPS = {drop.value: drop for drop in Drop}


class Accepted(NamedTuple, Generic[T]):
    """The stream's present state. ``new``: not a repetition of what was accepted just before."""

    message: T
    new: bool
    head: Head


class Dropped(NamedTuple):
    """Nothing happened."""

    reason: Drop


class Lost(NamedTuple):
    """timeAllowedtoLive has run out."""

    last_us: int
    """When the last accepted frame came."""


class Mark(NamedTuple):
    """High-water mark of a stream, to be kept over restarts."""

    st_num: int
    t_us: int
    sq_num: int | None = None
    """None: not known, any repetition of the state is taken."""


class Heard(NamedTuple):
    """A stream as a supervisor sees it (LGOS)."""

    alive: bool
    """Within its time to live."""
    simulated: bool
    """What is accepted is simulated."""
    needs_commissioning: bool
    """The newest frame says so, or its configuration is not ours."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits of acceptance, µs. They bound how long a frame can be held back by someone on the path."""

    max_age_us: int = 10_000_000
    future_us: int = 500_000
    max_ttl_us: int = 60_000_000
    """A time to live above this is taken as this."""


class _Refused(Exception):  # noqa: N818
    def __init__(self, reason: Drop) -> None:
        self.reason = reason


class _Sequence:
    """Mark of one sequence. ``t`` is the present state's; who is later than ``floor`` may begin a new sequence."""

    __slots__ = ("alive", "floor", "known", "restored", "sq", "st", "t")

    def __init__(self, mark: Mark | None = None) -> None:
        self.known = self.restored = mark is not None
        self.st, self.t, self.sq = mark if mark is not None else Mark(0, 0)
        self.floor = self.t
        self.alive = False


class Subscriber(Generic[T]):
    """One control block. ``keys``: those that verify its frames (a group: as long as it is their time); None: frames
    are taken without authentication."""

    def __init__(
        self,
        stream: Stream,
        data_set: DataSet[T],
        keys: tuple[Key, ...] | KeyGroup | None,
        *,
        policy: Policy | None = None,
        mark: Mark | None = None,
        profile: Profile = TRAILING,
        session_profile: SessionProfile = session.DEFAULT,
    ) -> None:
        self.stream = stream
        self.counters: Counter[str] = Counter()
        self.time_good = True
        """Whether our own clock is synchronised; suspends the age check."""
        self.simulation = False
        """LPHD.Sim."""
        self.data_set = data_set
        self.layout = Layout(stream.gocb_ref, stream.dat_set, stream.go_id, data_set.b_types)
        """How its PDUs lie on the wire, where numbers have the fixed width."""
        self.keys = KeyGroup(keys) if isinstance(keys, tuple) else keys
        """That verify; None: anything goes."""
        self.plain = profile is TRAILING or stream.routed
        """Framed as the compiled code knows it."""
        self._ivs: dict[bytes, bytes] = {}
        """MAC by KeyID and IV, of the last authentic frames that had one."""
        self._policy = policy or Policy()
        self._profile = profile
        self._address = b"" if stream.routed else stream.destination
        self._heartbeat_us = stream.max_ms * 1000
        self._real = _Sequence(mark)
        self._simulated = _Sequence()
        self._message: T | None = None
        self._last_us = 0
        self._due: int | None = None
        self._misconfigured = False

    def rekey(self, keys: KeyGroup) -> None:
        """Other keys from the next frame on."""
        self.keys = keys

    @property
    def mark(self) -> Mark | None:
        """What to keep over restarts."""
        real = self._real
        return Mark(real.st, real.floor, real.sq) if real.known else None

    @property
    def alive(self) -> bool:
        """Heard within its time to live."""
        return self._due is not None

    @property
    def heard(self) -> Heard:
        """For supervision."""
        return Heard(self.alive, self._simulated.known, self._misconfigured)

    @property
    def deadline(self) -> int | None:
        """When to call :meth:`timer`."""
        return self._due

    def timer(self, now: int) -> Lost | None:
        """Lost, once, when the time to live has run out."""
        if self._due is None:
            return None
        if now < self._due:
            self._due = min(self._due, now + self._policy.max_ttl_us)
            return None
        self._due = None
        self._real.alive = self._simulated.alive = False
        self.counters["lost"] += 1
        return Lost(self._last_us)

    def receive(self, payload: bytes, now: int) -> Accepted[T] | Dropped:
        """One Ethernet frame (or datagram, where the stream is routed). Never raises."""
        try:
            apdu, simulated = self._routed(payload, now) if self.stream.routed else self._layer2(payload, now)
            head, values = self._decode(apdu)
            return self._judge(head, values, simulated, now)
        except (_Refused, CodecError, FrameError) as refused:
            return self._dropped(refused)

    def opened(self, payload: bytes, at: int, simulated: bool, key: int, now: int) -> Accepted[T] | Dropped:
        """One that :class:`agent.goose.opener.Opener` has found to be ours, of our layout from ``at`` on, and authentic
        by this key of :attr:`keys`. As :meth:`receive`, from there on."""
        try:
            assert self.keys is not None
            self.keys.find(key, now if self.time_good else 0)
            head, values = self.layout.unpack(payload, at)
            return self._judge(head, values, simulated, now)
        except (_Refused, CodecError, FrameError) as refused:
            return self._dropped(refused)

    def _dropped(self, refused: _Refused | CodecError | FrameError) -> Dropped:
        reason = refused.reason if isinstance(refused, _Refused) else _DROPS.get(refused.cause, Drop.MALFORMED)
        self.counters[reason.value] += 1
        self._misconfigured |= reason in _MISCONFIGURED
        return Dropped(reason)

    def _judge(self, head: Head, values: tuple[Raw, ...], simulated: bool, now: int) -> Accepted[T]:
        if head.conf_rev != self.stream.conf_rev:
            raise _Refused(Drop.CONF_REV)
        if head.nds_com:
            raise _Refused(Drop.NEEDS_COMMISSIONING)
        if head.ttl_ms == 0:
            raise _Refused(Drop.NO_TIME_TO_LIVE)
        sequence = self._real
        if simulated or head.simulation or self.simulation or self._simulated.known:
            sequence = self._mode(simulated or head.simulation)
        new = self._order(sequence, head, now)
        message = self._message
        if new or message is None:
            message = self.data_set.from_values(values)
        # Nothing can fail any more: the frame counts.
        sequence.known = sequence.alive = True
        sequence.restored = False
        if new:
            # Below the floor: its clock came back behind, but all that it tells from now on is later than this frame.
            sequence.floor = head.t_us if head.t_us >= sequence.floor else self._sent(head)
        sequence.st, sequence.sq, sequence.t = head.st_num, head.sq_num, head.t_us
        self._message = message
        self._misconfigured = False
        self._last_us = now
        self._due = now + min(head.ttl_ms * 1000, self._policy.max_ttl_us)
        self.counters["accepted" if new else "repeated"] += 1
        return Accepted(message, new, head)

    # --- outer layers ------------------------------------------------------------------------------------------------

    def _layer2(self, payload: bytes, now: int) -> tuple[bytes, bool]:
        view = frame.parse(payload, profile=self._profile)
        if view.appid != self.stream.appid or view.destination != self._address:
            raise _Refused(Drop.FOREIGN)
        if self.keys is not None:
            extension = parse_extension(view.extension, self._profile)
            key = self.keys.find(extension.key, now if self.time_good else 0)
            if not key.verifies(view.domain, extension.mac, extension.iv):
                raise _Refused(Drop.BAD_MAC)
            if extension.iv:
                self._once(key, extension.iv, extension.mac)
        return view.apdu, view.simulation

    def _routed(self, payload: bytes, now: int) -> tuple[bytes, bool]:
        keys = self.keys
        if keys is None:
            view = session.parse(payload)
            if view.appid != self.stream.appid:
                raise _Refused(Drop.FOREIGN)
            return view.apdu, view.simulation
        moment = now if self.time_good else 0
        view = session.parse(payload, keys=lambda identifier: keys.find(identifier, moment))
        if view.appid != self.stream.appid:
            raise _Refused(Drop.FOREIGN)
        if not view.mac:
            raise _Refused(Drop.UNAUTHENTICATED)
        key = keys.find(view.key, moment)
        if not view.opened and not key.verifies(view.domain, view.mac, view.iv):
            raise _Refused(Drop.BAD_MAC)
        if view.iv:
            self._once(key, view.iv, view.mac)
        return view.apdu, view.simulation

    def _once(self, key: Key, iv: bytes, mac: bytes) -> None:
        """An IV belongs to one frame, which may come twice by two paths."""
        used = key.identifier.to_bytes(4, "big") + iv
        if self._ivs.setdefault(used, mac) != mac:
            raise _Refused(Drop.IV_REUSED)
        if len(self._ivs) > _IVS_KEPT:
            del self._ivs[next(iter(self._ivs))]

    def _decode(self, apdu: bytes) -> tuple[Head, tuple[Raw, ...]]:
        """By the precompiled layout; else field by field, which tells what is different."""
        fast = self.layout.decode(apdu)
        if fast is not None:
            return fast
        pdu = codec.decode(apdu)
        if pdu.gocb_ref != self.stream.gocb_ref:
            raise _Refused(Drop.FOREIGN)
        # confRev first: with another one, a different data set is no surprise
        if pdu.conf_rev != self.stream.conf_rev:
            raise _Refused(Drop.CONF_REV)
        if pdu.dat_set != self.stream.dat_set or (pdu.go_id or pdu.gocb_ref) != self.stream.go_id:
            raise _Refused(Drop.DATA_SET)
        return head_of(pdu), self.layout.values_of(pdu.data)

    # --- mode, sequence, age -----------------------------------------------------------------------------------------

    def _mode(self, simulated: bool) -> _Sequence:
        if simulated:
            if not self.simulation:
                raise _Refused(Drop.SIMULATED)
            return self._simulated
        if not self.simulation:
            if self._simulated.known:
                self._simulated = _Sequence()
                self._real.alive = False
            return self._real
        if self._simulated.known:
            raise _Refused(Drop.NOT_SIMULATED)
        return self._real

    def _order(self, mark: _Sequence, head: Head, now: int) -> bool:
        """Whether the frame is news; refuses what is out of sequence or not fresh."""
        if not mark.known:
            self._fresh(head, now)
            return True
        ahead = (head.st_num - mark.st) % _MODULUS
        if ahead == 0 and head.t_us == mark.t:
            return self._repetition(mark, head, now)
        if 0 < ahead < _HALF and head.t_us >= mark.floor:
            self._fresh(head, now)
            return True
        from_future = self.time_good and mark.floor - now > self._policy.future_us
        later = from_future or self._sent(head) > mark.floor
        restart = later and (self.keys is not None or not mark.alive)
        if ahead == 0:
            if not (restart and (head.sq_num <= 1 or not mark.alive)):
                raise _Refused(Drop.T_CHANGED if later else Drop.REPLAYED)
            self._fresh(head, now)
        elif not (restart and self._fresh(head, now)):
            raise _Refused(Drop.REPLAYED)
        return True

    def _repetition(self, mark: _Sequence, head: Head, now: int) -> bool:
        if mark.sq is not None:
            ahead = (head.sq_num - mark.sq) % _MODULUS
            if mark.restored and (ahead == 0 or ahead >= _HALF):
                raise _Refused(Drop.REPLAYED)
            if ahead == 0:
                raise _Refused(Drop.DUPLICATE)
            if ahead >= _HALF:
                raise _Refused(Drop.OUT_OF_ORDER)
        if mark.alive:
            return False
        self._fresh(head, now)
        return True

    def _sent(self, head: Head) -> int:
        """When it was sent at the earliest, by its publisher's clock."""
        return head.t_us + max(0, head.sq_num - _BURST) * self._heartbeat_us * 98 // 100

    def _fresh(self, head: Head, now: int) -> bool:
        """False if the age could not be checked; refuses what is too old or from the future."""
        if not self.time_good or head.t_quality & _BAD_CLOCK:
            self.counters["age-unchecked"] += 1
            return False
        if head.t_us - now > self._policy.future_us:
            raise _Refused(Drop.FUTURE)
        repetition_us = (self._heartbeat_us or head.ttl_ms * 1000) * 102 // 100
        if now - head.t_us - head.sq_num * repetition_us > self._policy.max_age_us:
            raise _Refused(Drop.STALE)
        return True

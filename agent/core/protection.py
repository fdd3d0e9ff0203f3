"""The receiver's Python face: start, stop, read. Nothing here runs per sample."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from enum import IntFlag
from typing import Any, NamedTuple

from agent.core.config import Key, ProtectionConfig
from agent.core.native import Failure, ffi, fill_key, fill_stream, lib
from agent.logic.messages import Direction, Level, Live, Measurement

CHANNELS = 8
KEYS = 4


class Samples(NamedTuple):
    """Records of the last seconds: UTC µs and eight counts (IA IB IC IN UA UB UC UN) a sample, oldest first."""

    times_us: tuple[int, ...]
    values: tuple[tuple[int, ...], ...]
    next: int
    """Pass it as ``since`` to go on without a gap."""


class Element(IntFlag):
    """What evaluates the currents."""

    PHASE_START = 1
    EARTH_START = 2
    PHASE_PICKUP = 4
    EARTH_PICKUP = 8
    RESTRAINED = 16


class Phasors(NamedTuple):
    """Full-cycle r.m.s. phasors in the frame cos(2π f t) that started with the window; A, B, C, residual; A and V.

    f is the nominal frequency. Current and voltage are corrected for the deviation from it; what the elements compare
    (``full_a``, ``half_a``, ``second_a``) is not.
    """

    current: tuple[complex, ...]
    voltage: tuple[complex, ...]
    full_a: tuple[float, ...]
    half_a: tuple[float, ...]
    second_a: tuple[float, ...]
    upto_us: int
    received_us: int
    frequency_hz: float | None
    """Of the voltage; None: not known yet."""
    frequency_held: bool
    """The figure is of before: the voltage is dead, faulted, not steady or not there."""
    elements: Element
    """Those that spoke in the present or last episode, and whether second harmonic restrains now."""
    phase_pickup_a: float = 0.0
    """Thresholds that the newest sample was compared with."""
    earth_pickup_a: float = 0.0
    earth_direction: Direction = Direction.NONE
    """As in :class:`Earth`."""


class Earth(NamedTuple):
    """Earth faults of an isolated or compensated network, as they struck; elsewhere nothing is looked for."""

    direction: Direction
    """Of the last strike, while its residual voltage lasts; UNKNOWN: too little charge to tell; NONE: no voltage."""
    strikes: int
    """Faults and restrikes since the start."""
    intermittent: bool
    """Three forward ones or more, none half a second after the one before: an alarm, whatever the voltage does."""


class ProtectionCore:
    """Receives one SV stream and keeps its measurement; the thread is compiled and holds no Python lock.

    ``fileno()`` becomes readable when level, direction, current zero, voltage presence or the earth alarm changed;
    ``drain()`` clears it. ``measurement()`` may be called at any time from any thread.
    """

    def __init__(self, config: ProtectionConfig) -> None:
        self.config = config
        native = ffi.new("core_config *")
        fill_stream(native, config)
        _fill_keys(native.keys, config.keys)
        native.key_count = len(config.keys)
        native.blind_after_us = round(config.blind_after_ms * 1000)
        native.maximum_age_us = round(config.maximum_age_ms * 1000)
        native.accept_simulated = config.accept_simulated
        native.phase_pickup_a = config.phase_pickup_a
        native.earth_pickup_a = config.earth_pickup_a
        native.start_factor = config.start_factor
        native.reset_factor = config.reset_factor
        zero = config.zero_current_a
        native.zero_current_a = 0.02 * config.phase_pickup_a if zero is None else zero
        native.earth_restraint = config.earth_restraint
        native.second_harmonic = config.second_harmonic
        native.nominal_v = 1000.0 * (config.nominal_kv or 0.0)
        native.earth_mode = int(config.earth_mode)
        self._failure = Failure()
        receiver = lib.core_open(native, self._failure.room, self._failure.size)
        if receiver == ffi.NULL:
            raise self._failure.error()
        self._receiver: Any = ffi.gc(receiver, lib.core_close)
        self._state = ffi.new("core_state *")
        self._counters = ffi.new("core_counters *")

    @property
    def native(self) -> Any:
        """The compiled receiver, for :mod:`agent.core.ring`."""
        return self._receiver

    def start(self, realtime_priority: int = 0) -> None:
        """Start the thread; a SCHED_FIFO priority above 0 is tried and silently not had without the permission."""
        if lib.core_start(self._receiver, realtime_priority, self._failure.room, self._failure.size) != 0:
            raise self._failure.error()

    def rekey(self, keys: tuple[Key, ...]) -> bool:
        """Other keys from the next frame on, of which none is lost; False: try again, a frame is being looked at with
        the keys before the present ones.

        ValueError: no key, too many, or one that cannot be used; or the stream is not authenticated at all.
        """
        array = ffi.new("core_key[]", KEYS)
        _fill_keys(array, keys)
        answer = lib.core_rekey(self._receiver, array, len(keys))
        if answer == errno.EINVAL:
            raise ValueError("a stream's authentication is not turned on or off while it is heard")
        if answer == errno.ENOTSUP:
            raise ValueError("AES-GMAC needs OpenSSL")
        return bool(answer == 0)

    def adjust(self, phase_pickup_a: float, earth_pickup_a: float) -> bool:
        """Other thresholds from the next sample on, both together; :meth:`phasors` tells when. False: try again.

        ValueError: not positive and finite.
        """
        answer = lib.core_adjust(self._receiver, phase_pickup_a, earth_pickup_a)
        if answer == errno.EINVAL:
            raise ValueError("pick-up must be positive and finite")
        return bool(answer == 0)

    def stop(self) -> None:
        """Stop and join the thread; the last measurement stays readable."""
        lib.core_stop(self._receiver)

    def fileno(self) -> int:
        """An eventfd: readable after a change."""
        return int(lib.core_event_fd(self._receiver))

    def drain(self) -> None:
        """Clear the eventfd; call before ``measurement()``."""
        lib.core_drain(self._receiver)

    def measurement(self) -> Measurement:
        """The newest state, consistent (sequence lock)."""
        state = self._state
        lib.core_read(self._receiver, state)
        return Measurement(
            level=Level(state.level),
            direction=Direction(state.direction),
            start_us=state.start_us,
            end_us=state.end_us,
            upto_us=state.upto_us,
            peak_a=state.peak_a,
            current_zero=bool(state.current_zero),
            p_kw=state.p_kw,
            q_kvar=state.q_kvar,
            live_a=Live(state.live),
            earth_alarm=bool(state.earth_alarm),
            pickup_us=state.pickup_us,
        )

    def phasors(self) -> Phasors:
        """For metering and tests."""
        state = ffi.new("core_state *")
        lib.core_read(self._receiver, state)
        return Phasors(
            current=tuple(complex(state.current_re[k], state.current_im[k]) for k in range(4)),
            voltage=tuple(complex(state.voltage_re[k], state.voltage_im[k]) for k in range(4)),
            full_a=tuple(state.full_a),
            half_a=tuple(state.half_a),
            second_a=tuple(state.second_a),
            upto_us=state.upto_us,
            received_us=state.received_us,
            frequency_hz=state.frequency_hz or None,
            frequency_held=bool(state.frequency_held),
            elements=Element(state.elements),
            phase_pickup_a=state.phase_pickup_a,
            earth_pickup_a=state.earth_pickup_a,
            earth_direction=Direction(state.earth_direction),
        )

    def earth(self) -> Earth:
        """What struck."""
        state = ffi.new("core_state *")
        lib.core_read(self._receiver, state)
        return Earth(Direction(state.earth_direction), state.earth_strikes, bool(state.earth_again))

    def counters(self) -> dict[str, int]:
        """Frames, samples, bytes, wakes, and what was dropped by cause."""
        lib.core_count(self._receiver, self._counters)
        return {name: int(getattr(self._counters, name)) for name, _ in ffi.typeof("core_counters").fields}

    def samples(self, since: int | None = None, last: int = 4000) -> Samples:
        """From sample number ``since`` on (a former answer's ``next``), else the ``last`` ones; at most some 3 s."""
        times = ffi.new("int64_t[]", last)
        values = ffi.new("int32_t[]", last * CHANNELS)
        following = ffi.new("int64_t *")
        count = lib.core_samples(self._receiver, -1 if since is None else since, times, values, last, following)
        rows = tuple(tuple(values[i * CHANNELS : (i + 1) * CHANNELS]) for i in range(count))
        return Samples(tuple(times[0:count]), rows, following[0])

    def block(self, last: int) -> bytes:
        """The ``last`` samples for the fault recorder: all times (int64), then all counts (8 int32), native order."""
        times = ffi.new("int64_t[]", last)
        values = ffi.new("int32_t[]", last * CHANNELS)
        count = lib.core_samples(self._receiver, -1, times, values, last, ffi.new("int64_t *"))
        return bytes(ffi.buffer(times, count * 8)) + bytes(ffi.buffer(values, count * 4 * CHANNELS))

    def feed(self, values: Sequence[Sequence[int]], times_us: Sequence[int]) -> None:
        """Evaluate samples from memory instead of a socket (records, tests); not while the thread runs."""
        flat = ffi.new("int32_t[]", [value for row in values for value in row])
        lib.core_feed(self._receiver, flat, ffi.new("int64_t[]", list(times_us)), len(values))

    def frame(self, payload: bytes, now_us: int) -> bool:
        """Take one frame from memory (Ethernet frame or session datagram); False: dropped and counted."""
        return bool(lib.core_frame(self._receiver, ffi.from_buffer(payload), len(payload), now_us))

    def frames(self, frames: bytes, length: int, now_us: int, step_us: int) -> int:
        """Take layer-2 frames of one length that lie one after the other; returns how many were not dropped."""
        count = len(frames) // length
        return int(lib.core_frames(self._receiver, ffi.from_buffer(frames), length, count, now_us, step_us))

    def silence(self, now_us: int) -> None:
        """Tell a stream fed from memory what time it is, so that it goes blind."""
        lib.core_quiet(self._receiver, now_us)


def _fill_keys(target: Any, keys: tuple[Key, ...]) -> None:
    if len(keys) > KEYS:
        raise ValueError(f"at most {KEYS} keys a stream")
    for index, key in enumerate(keys):
        fill_key(target[index], key)

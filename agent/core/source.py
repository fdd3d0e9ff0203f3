"""The publisher of a simulated merging unit: a waveform given by phasors, sampled on UTC, sent by a compiled thread."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agent.core.config import Key, Layer2, SvSourceConfig
from agent.core.native import Failure, ffi, fill_key, fill_stream, lib

CHANNELS = 8
IV_FIXED = 4
SIOCGIFHWADDR = 0x8927


@dataclass(frozen=True, slots=True)
class Wave:
    """One channel: sqrt2 |X| cos(wt + arg X) + dc e^(-s/tau) + the same of ``decaying`` and ``second`` with theirs.

    ``s`` is the time since the segment's start on this channel; phasors are r.m.s., primary A or V, against cos(wt) of
    UTC (so that all merging units agree). ``second`` turns at 2w (inrush).
    """

    steady: complex = 0j
    dc: float = 0.0
    dc_tau_s: float = 0.05
    decaying: complex = 0j
    decaying_tau_s: float = 0.05
    second: complex = 0j
    second_tau_s: float = 0.5
    ring: tuple[complex, ...] = ()
    """Damped swings: real part of size e^(rate s), the rates are the segment's."""


@dataclass(frozen=True, slots=True)
class Segment:
    """What all eight channels (IA IB IC IN UA UB UC UN) do from ``start_us`` (UTC) on; starts may differ by channel."""

    start_us: int
    waves: tuple[Wave, ...]
    starts_us: tuple[int, ...] | None = None
    """Per channel, where poles clear at their own current zeros; None: all at ``start_us``."""
    ring_rates: tuple[complex, ...] = ()
    """Of all channels' swings, 1/s; at most five."""


class SvSource:
    """Publishes one SV stream at its layout's rate, ``smpCnt`` counted from the full UTC second."""

    def __init__(self, config: SvSourceConfig) -> None:
        self.config = config
        native = ffi.new("source_config *")
        fill_stream(native, config)
        native.vlan = -1
        if isinstance(config.link, Layer2):
            ffi.memmove(native.source, _hardware_address(config.link.interface), 6)
            if config.link.vlan is not None:
                identifier, priority = config.link.vlan
                native.vlan = priority << 13 | identifier
        if config.key is not None:
            native.authenticate = 1
            fill_key(native.key, config.key)
        native.optional = config.layout.optional
        native.tick_us = config.tick_us
        native.delay_us = config.delay_us
        native.simulation = config.simulation
        native.reference_time = config.reference_time
        native.key_time = config.key_time_s
        native.key_next = config.key_next_min
        fixed, native.iv_first = config.ivs or (secrets.token_bytes(4), secrets.randbelow(1 << 63))
        if len(fixed) != IV_FIXED:
            raise ValueError(f"{IV_FIXED} octets of an IV name the publisher, not {len(fixed)}")
        ffi.memmove(native.iv_fixed, fixed, IV_FIXED)
        native.current_noise_a = config.current_noise_a
        native.voltage_noise_v = config.voltage_noise_v
        native.seed = config.seed
        self._failure = Failure()
        source = lib.source_open(native, self._failure.room, self._failure.size)
        if source == ffi.NULL:
            raise self._failure.error()
        self._source: Any = ffi.gc(source, lib.source_close)
        self._counters = ffi.new("source_counters *")

    def start(self, realtime_priority: int = 0) -> None:
        """Start the paced thread."""
        if lib.source_start(self._source, realtime_priority, self._failure.room, self._failure.size) != 0:
            raise self._failure.error()

    def stop(self) -> None:
        """Stop and join it."""
        lib.source_stop(self._source)

    def set_segment(self, segment: Segment) -> None:
        """Queue a waveform; it replaces whatever was queued for the same or a later time on each channel."""
        if len(segment.waves) != CHANNELS:
            raise ValueError("a segment has eight waves")
        native = ffi.new("source_segment *")
        starts = segment.starts_us or (segment.start_us,) * CHANNELS
        for k, (wave, start) in enumerate(zip(segment.waves, starts, strict=True)):
            native.start_us[k] = start
            native.re[k], native.im[k] = wave.steady.real, wave.steady.imag
            native.dc[k], native.dc_tau_s[k] = wave.dc, wave.dc_tau_s
            native.decay_re[k], native.decay_im[k] = wave.decaying.real, wave.decaying.imag
            native.decay_tau_s[k] = wave.decaying_tau_s
            native.second_re[k], native.second_im[k] = wave.second.real, wave.second.imag
            native.second_tau_s[k] = wave.second_tau_s
            for m, size in enumerate(wave.ring):
                native.ring_re[k][m], native.ring_im[k][m] = size.real, size.imag
        for m, rate in enumerate(segment.ring_rates):
            native.ring_rate[m], native.ring_turn[m] = rate.real, rate.imag
        if lib.source_add(self._source, native) != 0:
            raise BufferError("too many segments queued ahead of time")

    def rekey(self, key: Key, time_s: int = 0, next_min: int = 0) -> None:
        """Sign with another key from the next frame on; ValueError: it cannot be used, or nothing is signed at all."""
        native = ffi.new("core_key *")
        fill_key(native, key)
        if lib.source_rekey(self._source, native, time_s, next_min) != 0:
            raise ValueError(f"key {key.identifier}: not for this stream")

    def set_quality(self, quality: int, channels: Sequence[int] = range(CHANNELS)) -> None:
        """Quality word of IEC 61850-9-2 (0 good, 1 invalid, 0x800 test …) of these channels."""
        for channel in channels:
            lib.source_quality(self._source, channel, quality)

    def set_synch(self, synch: int) -> None:
        """smpSynch: 0 none, 1 local, 2 global."""
        lib.source_synch(self._source, synch)

    def pause(self, paused: bool = True) -> None:
        """Stop publishing (lost stream) or go on."""
        lib.source_pause(self._source, paused)

    def counters(self) -> dict[str, int]:
        """Frames, ticks, late ticks, skipped frames, send errors."""
        lib.source_count(self._source, self._counters)
        return {name: int(getattr(self._counters, name)) for name, _ in ffi.typeof("source_counters").fields}

    def wave(self, sample_us: int) -> tuple[int, ...]:
        """The eight counts at this time, as they are or would be published (without noise)."""
        values = ffi.new("int32_t[]", CHANNELS)
        lib.source_wave(self._source, sample_us, values)
        return tuple(values)

    def frame(self, second: int, sample: int) -> bytes:
        """The frame that carries sample ``sample`` (a multiple of the ASDUs) of this UTC second."""
        buffer = ffi.new("uint8_t[]", 1600)
        return bytes(ffi.buffer(buffer, lib.source_frame(self._source, second, sample, buffer, 1600)))


def _hardware_address(interface: str) -> bytes:
    """By ioctl: unlike a raw socket it needs no privilege."""
    name = interface.encode()
    if not 0 < len(name) < 16:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), interface)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        answer = fcntl.ioctl(probe, SIOCGIFHWADDR, struct.pack("16s16x", name))
    return answer[18:24]

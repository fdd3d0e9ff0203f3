"""The laboratory's wiring: a Unix datagram socket between the plant and the instruments and coils of each device.

It stands for copper, not for a network: files, so it crosses network namespaces, mode 0600. From the plant: waves
(binary, one datagram a change), what a breaker's cabinet feels (JSON: auxiliary contact, voltage indicators, orders of
the scenario), answers. To the plant: ``{"hello": ied, "device": name, "role": "merging_unit"|"breaker"}``, coil orders
``{"coil": "open"|"close", "device": name}``, and control (``start``, ``inject``, ``snapshot``, ``stop``).
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    # Instruments do without numpy.
    from simulator.plant.waves import Waves

CHANNELS = 8
MODES = 5
_MAGIC = b"FLW2"
_NUMBERS = 8 + 2 * MODES
_FORMAT = struct.Struct(f"<4sq{_NUMBERS * CHANNELS}d{2 * MODES}dd")
MAX_DATAGRAM = 65_536


class ChannelWave(NamedTuple):
    """One channel from the segment's start on; phasors against cos(w t) of UTC, r.m.s."""

    steady: complex
    dc: float
    dc_tau_s: float
    decaying: complex
    second: complex
    ring: tuple[complex, ...] = ()
    """Sizes of the modes."""


class DeviceWaves(NamedTuple):
    """Eight channels (IA IB IC IN UA UB UC UN) of one device."""

    start_us: int
    channels: tuple[ChannelWave, ...]
    inrush_tau_s: float
    ring_rates: tuple[complex, ...] = ()
    """Of the modes, 1/s; none: nothing swings."""


def encode_waves(waves: Waves, device: int) -> bytes:
    """One device's part of the plant's waves."""
    columns: list[float] = []
    for k in range(CHANNELS):
        steady, decaying = complex(waves.phasor[device, k]), complex(waves.decay[device, k])
        second = complex(waves.second[device, k])
        columns += (steady.real, steady.imag, float(waves.dc[device, k]), float(waves.dc_tau_s[device, k]))
        columns += (decaying.real, decaying.imag, second.real, second.imag)
        columns += _flat([] if waves.ring is None else waves.ring.sizes[device, k].tolist())
    columns += _flat([] if waves.ring is None else waves.ring.rates[device].tolist())
    return _FORMAT.pack(_MAGIC, waves.start_us, *columns, waves.inrush_tau_s)


def decode_waves(datagram: bytes) -> DeviceWaves | None:
    """The waves of a datagram; None if it is something else."""
    if len(datagram) != _FORMAT.size or datagram[:4] != _MAGIC:
        return None
    _, start, *numbers = _FORMAT.unpack(datagram)
    rates = _complex(numbers[_NUMBERS * CHANNELS : -1])
    channels = tuple(
        ChannelWave(complex(a, b), dc, tau, complex(c, d), complex(e, f), _complex(ring) if any(rates) else ())
        for a, b, dc, tau, c, d, e, f, *ring in (
            numbers[_NUMBERS * k : _NUMBERS * (k + 1)] for k in range(CHANNELS)
        )
    )  # fmt: skip
    return DeviceWaves(start, channels, numbers[-1], rates if any(rates) else ())


def _flat(modes: list[complex]) -> list[float]:
    return [part for x in modes or [0j] * MODES for part in (x.real, x.imag)]


def _complex(numbers: list[float]) -> tuple[complex, ...]:
    return tuple(complex(a, b) for a, b in zip(numbers[::2], numbers[1::2], strict=True))


def bind(path: str | Path) -> socket.socket:
    """A datagram socket at this path, readable by its owner only; a stale one is replaced."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    endpoint = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    mask = os.umask(0o177)
    try:
        endpoint.bind(str(path))
    finally:
        os.umask(mask)
    endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    return endpoint


class PlantLink:
    """An instrument's or controller's end. Its own socket lies beside the plant's, named after it."""

    def __init__(self, plant: str | Path, name: str) -> None:
        self._plant = str(plant)
        self.path = f"{plant}.{name}"
        self.socket = bind(self.path)

    def fileno(self) -> int:
        """For select."""
        return self.socket.fileno()

    def send(self, message: dict[str, Any]) -> None:
        """To the plant. OSError if it is not there."""
        self.socket.sendto(json.dumps(message).encode(), self._plant)

    def receive(self) -> bytes:
        """The next datagram; blocks."""
        return self.socket.recv(MAX_DATAGRAM)

    def ask(self, message: dict[str, Any], timeout_s: float = 5.0) -> dict[str, Any]:
        """Send and wait for the plant's answer (a JSON object). TimeoutError, OSError."""
        self.socket.settimeout(timeout_s)
        self.send(message)
        while True:
            answer = parse(self.receive())
            if "answer" in answer:
                return answer

    def close(self) -> None:
        """Remove the socket file."""
        self.socket.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)


def parse(datagram: bytes) -> dict[str, Any]:
    """A JSON object, or an empty one if it is none."""
    try:
        message = json.loads(datagram)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}

"""Instantaneous waves of every device's eight channels, and where they cross zero.

Channels as in IEC 61850-9-2LE: currents A, B, C and residual, voltages A, B, C and residual of side A. A channel is,
from its start time on, a phasor against cos(w t) of UTC, a decaying d.c. offset, a decaying second phasor and a
decaying second harmonic (both inrush), and in isolated and compensated networks the modes of their charging. Units A
and V, r.m.s. phasors, microseconds UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from simulator.plant.sequence import Complex, Real

Times = npt.NDArray[np.int64]
Scalar = TypeVar("Scalar", bound=np.generic)
CHANNELS = 8
MODES = 5
"""Of an island's charging (``simulator.plant.charging``)."""
ROOT2 = float(np.sqrt(2.0))
ZERO_STEP_US = 100
CHOPPED_A = 8.0
"""An arc of less than this goes out at once (vacuum chops some amperes)."""
ZERO_SEARCH_US = 200_000
"""A current whose d.c. offset hides every zero for longer than this is taken as cut."""


def angle_at(frequency_hz: float, time_us: int | Times) -> Real:
    """w t modulo 2 pi, exact for whole hertz however large the time since the epoch is."""
    whole = round(frequency_hz)
    turns = (np.asarray(time_us, dtype=np.int64) % 1_000_000) * whole % 1_000_000 / 1e6
    if whole != frequency_hz:
        turns = turns + np.asarray(time_us, dtype=float) / 1e6 * (frequency_hz - whole)
    angle: Real = 2 * np.pi * np.asarray(turns)
    return angle


class Ring(NamedTuple):
    """Modes, each the real part of size times e^(rate t) from the waves' start on."""

    rates: Complex
    """Devices x modes, 1/s."""
    sizes: Complex
    """Devices x 8 x modes, instantaneous."""
    begins: Real
    """Devices x 3: pole currents of all modes at the start, those that instruments are too slow for as well."""


@dataclass(frozen=True, slots=True)
class Waves:
    """All arrays are devices x 8."""

    frequency_hz: float
    start_us: int
    phasor: Complex
    dc: Real
    dc_tau_s: Real
    decay: Complex
    second: Complex
    inrush_tau_s: float
    ring: Ring | None = None

    def at(self, time_us: int) -> Real:
        """Instantaneous values of all devices and channels."""
        return self._value(np.array([time_us], dtype=np.int64), slice(None), slice(None))[..., 0]

    def _value(self, times: Times, device: int | slice, channel: int | slice) -> Real:
        angle = angle_at(self.frequency_hz, times)
        turn = np.exp(1j * angle)
        since = np.maximum((times - self.start_us) / 1e6, 0.0)
        fade = np.exp(-since / self.inrush_tau_s)
        fundamental = np.multiply.outer(self.phasor[device, channel], turn)
        fundamental = fundamental + np.multiply.outer(self.decay[device, channel], turn * fade)
        harmonic = np.multiply.outer(self.second[device, channel], turn * turn * fade)
        tau = np.asarray(self.dc_tau_s[device, channel])[..., None]
        offset = np.asarray(self.dc[device, channel])[..., None] * np.exp(-since / tau)
        values: Real = ROOT2 * (fundamental + harmonic).real + offset
        if self.ring is not None:
            moving = np.exp(np.multiply.outer(self.ring.rates[device], since))
            values = values + np.matmul(self.ring.sizes[device, channel], moving).real
        return values

    def next_zero(self, device: int, pole: int, from_us: int) -> int:
        """The pole's first current zero at or after ``from_us``; at once if it carries (nearly) nothing."""
        step = np.arange(0, ZERO_SEARCH_US, ZERO_STEP_US, dtype=np.int64)
        for begin in range(0, len(step), 250):
            times = from_us + step[begin : begin + 251]
            values = self._value(times, device, pole)
            crossing = np.flatnonzero((values[:-1] * values[1:] <= 0) | (np.abs(values[:-1]) < CHOPPED_A))
            if len(crossing):
                k = int(crossing[0])
                low, high = float(values[k]), float(values[k + 1])
                part = low / (low - high) if abs(low) >= CHOPPED_A else 0.0
                return int(times[k] + round(part * ZERO_STEP_US))
        return from_us + ZERO_SEARCH_US

    def continued(
        self,
        now_us: int,
        phasor: Complex,
        conducting: npt.NDArray[np.bool_],
        tau_s: Real,
        decay: Complex | None = None,
        second: Complex | None = None,
        ring: Ring | None = None,
    ) -> Waves:
        """The waves from ``now_us`` on: pole currents go on without a jump, the difference decays as d.c. offset.

        ``phasor`` is devices x 8; ``conducting`` and ``tau_s`` are devices x 3; ``decay`` and ``second``
        (devices x 3) are new inrush that starts now on top of what is left of the old. ``ring`` takes the place of the
        old one's.
        """
        fade = float(np.exp(-max(now_us - self.start_us, 0) / 1e6 / self.inrush_tau_s))
        left: Complex = self.decay[:, :3] * fade
        harmonic: Complex = self.second[:, :3] * fade
        if decay is not None:
            left = left + decay
        if second is not None:
            harmonic = harmonic + second
        left[~conducting] = 0
        harmonic[~conducting] = 0
        turn = np.exp(1j * angle_at(self.frequency_hz, now_us))
        steady = ROOT2 * ((phasor[:, :3] + left) * turn + harmonic * turn * turn).real
        if ring is not None:
            steady = steady + ring.begins
        offset = np.where(conducting, self.at(now_us)[:, :3] - steady, 0.0)
        devices = len(phasor)
        return Waves(
            self.frequency_hz,
            now_us,
            phasor,
            _with_residual(offset, devices),
            np.concatenate([tau_s, tau_s.max(axis=1, keepdims=True), np.ones((devices, 4))], axis=1),
            _with_residual(left, devices),
            _with_residual(harmonic, devices),
            self.inrush_tau_s,
            ring,
        )

    @staticmethod
    def still(frequency_hz: float, start_us: int, devices: int, inrush_tau_s: float) -> Waves:
        """Nothing flows, nothing is live."""
        none: Complex = np.zeros((devices, CHANNELS), dtype=complex)
        zero: Real = np.zeros((devices, CHANNELS))
        return Waves(frequency_hz, start_us, none, zero, zero + 1.0, none, none, inrush_tau_s)


def _with_residual(poles: npt.NDArray[Scalar], devices: int) -> npt.NDArray[Scalar]:
    residual = poles.sum(axis=1, keepdims=True)
    return np.concatenate([poles, residual, np.zeros((devices, 4), dtype=poles.dtype)], axis=1)

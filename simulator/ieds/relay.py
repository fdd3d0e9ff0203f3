"""A conventional directional overcurrent relay: for a device without Sampled Values, flags by GOOSE are all there is.

It sees the phasors its own transformers give it and answers a full cycle later, as a full-cycle filter does.
"""

from __future__ import annotations

import cmath
import math
from collections import deque
from collections.abc import Sequence

from agent.logic.messages import Direction, Level
from scl.topology import Device

START_FACTOR = 0.8
RESET_FACTOR = 0.95
SECOND_HARMONIC = 0.18
MEMORY_PU = 0.05
TURN = cmath.exp(2j * cmath.pi / 3)
FORWARD = cmath.exp(-1j * cmath.pi / 3)
"""Lines are inductive: forward current lags the voltage by 45 to 85 degrees."""


def positive_sequence(a: complex, b: complex, c: complex) -> complex:
    """Of three phasors."""
    return (a + TURN * b + TURN**2 * c) / 3


class Relay:
    """``see`` what the transformers give, ``timer`` one cycle later gives level and direction."""

    def __init__(self, device: Device, frequency_hz: float, nominal_kv: float, earth_trips: bool) -> None:
        self._device = device
        self._cycle_us = round(1e6 / frequency_hz)
        self._nominal_v = nominal_kv * 1e3 / math.sqrt(3)
        self._earth_trips = earth_trips
        self._pending: deque[tuple[int, Level, Direction]] = deque()
        self._memory = 0j
        self.level = Level.QUIET
        self.direction = Direction.NONE

    @property
    def deadline(self) -> int | None:
        """When the next answer is due."""
        return self._pending[0][0] if self._pending else None

    def see(self, phasors: Sequence[complex], second_a: float, now_us: int) -> None:
        """Eight phasors (IA IB IC IN UA UB UC UN) from now on."""
        amps = [abs(x) for x in phasors[:4]]
        multiple = max(amps[:3]) / self._device.phase_pickup_a
        if second_a > SECOND_HARMONIC * max(amps[:3]):
            multiple = 0.0
        if self._earth_trips:
            multiple = max(multiple, amps[3] / self._device.earth_pickup_a)
        hold = RESET_FACTOR if self._last_level() >= Level.START else 1.0
        level = Level.PICKUP if multiple >= hold else Level.START if multiple >= START_FACTOR * hold else Level.QUIET
        if level is Level.QUIET:
            voltage = positive_sequence(*phasors[4:7])
            if abs(voltage) > MEMORY_PU * self._nominal_v:
                self._memory = voltage
        direction = self._direct(phasors) if level >= Level.START else Direction.NONE
        self._pending.append((now_us + self._cycle_us, level, direction))

    def _last_level(self) -> Level:
        return self._pending[-1][1] if self._pending else self.level

    def _direct(self, phasors: Sequence[complex]) -> Direction:
        """Positive-sequence current against the voltage remembered from before the fault."""
        if abs(self._memory) <= MEMORY_PU * self._nominal_v:
            return Direction.UNKNOWN
        positive = positive_sequence(*phasors[:3])
        torque = (self._memory * positive.conjugate() * FORWARD).real
        return Direction.INTO_B if torque > 0 else Direction.INTO_A

    def timer(self, now_us: int) -> bool:
        """True if level or direction changed."""
        before = (self.level, self.direction)
        while self._pending and self._pending[0][0] <= now_us:
            _, self.level, self.direction = self._pending.popleft()
        return (self.level, self.direction) != before

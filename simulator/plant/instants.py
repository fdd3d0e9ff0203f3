"""Moments on the wave: when phase A's voltage is at an angle, when a current has been through zero in all phases."""

from __future__ import annotations

import numpy as np

from simulator.plant.sequence import Complex
from simulator.plant.waves import angle_at


def phase_a_at(angle_deg: float, frequency_hz: float, from_us: int) -> int:
    """When phase A of the first source is this far past its positive-going zero, at or after ``from_us``."""
    # It is cos(w t): its positive-going zero is at w t = -90 degrees.
    wait = (np.radians(angle_deg - 90.0) - angle_at(frequency_hz, from_us)) % (2 * np.pi)
    return _after(from_us, float(wait), frequency_hz)


def all_zero_at(phasors: Complex, frequency_hz: float, from_us: int) -> int:
    """The last phase's first zero at or after ``from_us``, without offset; phases of less than 1 A do not count."""
    turn = float(angle_at(frequency_hz, from_us))
    waits = [(np.pi / 2 - turn - float(np.angle(x))) % np.pi for x in phasors if abs(x) > 1.0]
    return _after(from_us, max(waits, default=0.0), frequency_hz)


def _after(from_us: int, angle: float, frequency_hz: float) -> int:
    return from_us + round(angle / (2 * np.pi * frequency_hz) * 1e6)

"""What the core measures beside its verdict: phasors, frequency and which element spoke. Plain values."""

from __future__ import annotations

from typing import NamedTuple

Phasor = tuple[float, float]
"""Real and imaginary part, r.m.s."""
_NONE: tuple[Phasor, ...] = ((0.0, 0.0),) * 4


class Meters(NamedTuple):
    """A, B, C, residual; A and V. The four elements speak of the present or last episode."""

    current: tuple[Phasor, ...] = _NONE
    voltage: tuple[Phasor, ...] = _NONE
    frequency_hz: float = 0.0
    """0: not known."""
    phase_started: bool = False
    earth_started: bool = False
    phase_picked: bool = False
    earth_picked: bool = False
    restrained: bool = False
    """Second harmonic holds back the pick-up elements, now."""
    phase_pickup_a: float = 0.0
    earth_pickup_a: float = 0.0
    """Thresholds that the newest sample was compared with."""
    earth_direction: int = 0
    """Of the last earth fault that struck (isolated and compensated), as :class:`agent.logic.messages.Direction`."""

"""What the core measures, as the snapshot carries it: rounded, for a snapshot is text and its room is limited."""

from __future__ import annotations

from agent.core.protection import Element, Phasors
from agent.mms.meters import Meters, Phasor


def meters_of(phasors: Phasors) -> Meters:
    """For the snapshot: mA and 10 mV are as much as samples of 61850-9-2LE tell."""
    spoke = phasors.elements
    return Meters(
        tuple(_rounded(value, 3) for value in phasors.current),
        tuple(_rounded(value, 2) for value in phasors.voltage),
        0.0 if phasors.frequency_hz is None or phasors.frequency_held else round(phasors.frequency_hz, 4),
        Element.PHASE_START in spoke,
        Element.EARTH_START in spoke,
        Element.PHASE_PICKUP in spoke,
        Element.EARTH_PICKUP in spoke,
        Element.RESTRAINED in spoke,
        phasors.phase_pickup_a,
        phasors.earth_pickup_a,
        int(phasors.earth_direction),
    )


def _rounded(value: complex, digits: int) -> Phasor:
    return round(value.real, digits), round(value.imag, digits)

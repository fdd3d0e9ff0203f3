"""The neutral earthing of a source: what a zero-sequence current meets beyond the transformer."""

from __future__ import annotations

from scl.topology import Feeder, NeutralMode, Source

COIL_TUNING = 1.05
"""Inductive over capacitive earth-fault current of a compensated network (over-compensated by 5 %)."""
COIL_LOSS = 0.03
"""Active part of the coil's current."""


def neutral_impedance(feeder: Feeder, source: Source, c0_uf: float, omega: float) -> complex | None:
    """Impedance between a source's neutral and earth, ohm; None: isolated."""
    match feeder.neutral:
        case NeutralMode.SOLID:
            return 0j
        case NeutralMode.RESISTANCE:
            return complex(feeder.neutral_resistance_ohm)
        case NeutralMode.ISOLATED:
            return None
        case NeutralMode.COMPENSATED:
            if c0_uf <= 0.0:
                return None
            coil = max((1e6 / (COIL_TUNING * omega * c0_uf) - source.x0_ohm) / 3, 1e-3)
            admittance = 1 / (1j * coil) + COIL_LOSS / coil
            if feeder.neutral_resistance_ohm > 0:
                admittance += 1 / feeder.neutral_resistance_ohm
            return 1 / admittance


def normal_capacitance(feeder: Feeder) -> list[float]:
    """Zero-sequence capacitance (µF) each source's coil is tuned to: what it feeds in the normal position."""
    own = [sum(feeder.sections[s].c0_uf for s in zone.sections) for zone in feeder.zones]
    totals: list[float] = []
    shared: list[int] = []
    for source in feeder.sources:
        seen, stack = {source.zone}, [source.zone]
        while stack:
            zone = stack.pop()
            for index in feeder.zones[zone].devices:
                device = feeder.devices[index]
                other = device.zone_b if device.zone_a == zone else device.zone_a
                if not device.normally_open and other not in seen:
                    seen.add(other)
                    stack.append(other)
        totals.append(sum(own[z] for z in seen))
        shared.append(sum(other.zone in seen for other in feeder.sources))
    return [total / max(count, 1) for total, count in zip(totals, shared, strict=True)]

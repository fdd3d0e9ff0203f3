"""Which pick-up values an agent may be given while its neighbours count on those of the SCD. Pure.

Two things are built on the others' thresholds:

- Locating. A device that picks up asks those that bound its zones, and "no fault current here" must be true: they have
  started (0.8 times pick-up) at every current that makes it pick up. So of two devices at one zone neither pick-up may
  be below 0.8 times the other, where the SCD keeps to that. What is left of this margin belongs to both, by halves,
  because neither knows what the other has been set to.
- Restoring. A fault at the end of a restored line must be seen by every breaker on the way: the greatest value that the
  SCD allows counts there (``Device.greatest_phase_pickup_a``), so nothing may be above it.
"""

from __future__ import annotations

from math import isfinite, sqrt

from scl.topology import Feeder, Pickups, Range

START_SHARE = 0.8
"""Of the pick-up: where the start elements are."""


def refused(feeder: Feeder, device: int, group: int, wanted: Pickups) -> str:
    """Why these are not to be the values of the setting group (from 1); empty: they may be."""
    ours = feeder.devices[device]
    engineered = ours.groups[group - 1]
    limits = (ours.phase_pickup_range_a, ours.earth_pickup_range_a)
    for index, kind in enumerate(("phase", "earth")):
        why = _outside(wanted[index], engineered[index], limits[index])
        if why:
            return f"{kind} pick-up {wanted[index]:g} A: {why}"
        if wanted[index] == engineered[index]:
            continue
        for other, value in _neighbours(feeder, device, group, index):
            why = _apart(wanted[index], engineered[index], value)
            if why:
                return f"{kind} pick-up {wanted[index]:g} A: {why}: {other}, {value:g} A"
    return ""


def _outside(value: float, engineered: float, limits: Range | None) -> str:
    if not isfinite(value) or value <= 0.0:
        return "not a positive number"
    if limits is None:
        return "" if value == engineered else "the SCD gives no range (minVal, maxVal) to set it in"
    if value < limits[0]:
        return f"below minVal, {limits[0]:g} A"
    if value > limits[1]:
        return f"above maxVal, {limits[1]:g} A"
    return ""


def _neighbours(feeder: Feeder, device: int, group: int, index: int) -> list[tuple[str, float]]:
    """Devices at the same zones, and the value that the SCD gives them in the same group (or in their last one)."""
    ours = feeder.devices[device]
    found = sorted({d for zone in (ours.zone_a, ours.zone_b) for d in feeder.zones[zone].devices} - {device})
    result: list[tuple[str, float]] = []
    for number in found:
        other = feeder.devices[number]
        result.append((other.name, other.groups[min(group, len(other.groups)) - 1][index]))
    return result


def _apart(value: float, engineered: float, other: float) -> str:
    """Half of the margin that the engineered values leave, as a ratio."""
    if engineered >= START_SHARE * other and value < sqrt(START_SHARE * engineered * other):
        return "would pick up before a neighbour starts"
    if other >= START_SHARE * engineered and value > sqrt(engineered * other / START_SHARE):
        return "might not start when a neighbour picks up"
    return ""

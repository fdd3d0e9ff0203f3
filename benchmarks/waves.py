"""Fault waveforms from symmetrical components, for measuring the core: one source behind each side of one device.

The device sits between source A (behind impedance) and source B (or a load). Everything in primary A and V, phasors
r.m.s. The decaying DC of each phase makes its current continuous at inception.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Real = npt.NDArray[np.float64]
A = cmath.rect(1.0, math.radians(120))
NOMINAL_V = 10_000.0
PHASE_V = NOMINAL_V / math.sqrt(3)
Phasors = tuple[complex, complex, complex]


def phases(zero: complex, positive: complex, negative: complex) -> Phasors:
    """Phase quantities of sequence quantities."""
    return (
        zero + positive + negative,
        zero + A * A * positive + A * negative,
        zero + A * positive + A * A * negative,
    )


def impedance(ohm: float, x_over_r: float) -> complex:
    return cmath.rect(ohm, math.atan(x_over_r))


def sequence_currents(
    kind: str, voltage: complex, z1: complex, z0: complex, rf: float
) -> tuple[complex, complex, complex]:
    """Zero, positive and negative sequence current into a fault on phase a (or b and c) fed through z1, z0."""
    match kind:
        case "ag":
            current = voltage / (2 * z1 + z0 + 3 * rf)
            return current, current, current
        case "abc":
            return 0j, voltage / (z1 + rf), 0j
        case "bc":
            current = voltage / (2 * z1 + rf)
            return 0j, current, -current
        case "bcg":
            ground = z0 + 3 * rf
            positive = voltage / (z1 + z1 * ground / (z1 + ground))
            negative = -positive * ground / (z1 + ground)
            return -(positive + negative), positive, negative
    raise ValueError(kind)


@dataclass(frozen=True)
class Scene:
    """Phasors before and after inception, at the device; current from A to B."""

    before_i: Phasors
    before_v: Phasors
    after_i: Phasors
    after_v: Phasors
    tau_s: float


def fault(
    kind: str,
    current_a: float,
    x_over_r: float = 8.0,
    forward: bool = True,
    load: complex = 100 + 0j,
    rf: float = 0.0,
    source_share: float = 0.3,
    zero_ratio: float = 1.0,
    frequency: float = 50.0,
    scale_to_a: bool = True,
) -> Scene:
    """A fault whose largest phase current through the device is ``current_a`` (if ``scale_to_a``).

    ``source_share`` of the impedance lies between the source and the device's voltage transformers (forward), or
    between the fault and the device on the fed side (reverse: the rest is behind the far source, so that a share of 0
    is a close-in fault with collapsed voltage).
    """
    z1 = impedance(PHASE_V / max(current_a, 1.0), x_over_r)
    for _ in range(40):  # fault resistance and sequence coupling: scale impedance until the current is as asked
        currents = sequence_currents(kind, PHASE_V, z1, zero_ratio * z1, rf)
        largest = max(abs(i) for i in phases(*currents))
        if not scale_to_a or abs(largest / current_a - 1) < 1e-6:
            break
        z1 *= largest / current_a
    i0, i1, i2 = currents
    inside = source_share if forward else 1.0 - source_share
    voltage = phases(-inside * zero_ratio * z1 * i0, PHASE_V - inside * z1 * i1, -inside * z1 * i2)
    sign = 1 if forward else -1
    through = phases(sign * i0, sign * i1, sign * i2)
    pre = (load, load * A * A, load * A)
    remaining = tuple(f + p for f, p in zip(through, pre, strict=True))
    return Scene(
        before_i=pre,
        before_v=phases(0j, PHASE_V, 0j),
        after_i=(remaining[0], remaining[1], remaining[2]) if abs(load) and rf > 0 else through,
        after_v=voltage,
        tau_s=x_over_r / (2 * math.pi * frequency),
    )


def instantaneous(
    scene: Scene,
    before: int,
    after: int,
    inception_deg: float = 0.0,
    rate: int = 4000,
    frequency: float = 50,
    offset: bool = True,
) -> Real:
    """Six columns (A, B, C in A, then V); row ``before`` is the moment of inception, at this angle of voltage A."""
    n = np.arange(-before, after)
    unit = np.exp(1j * (2 * math.pi * frequency / rate * n + math.radians(inception_deg)))
    struck = n >= 0
    root = math.sqrt(2)
    decay = np.where(struck, np.exp(-np.maximum(n, 0) / rate / scene.tau_s), 0.0)
    out = np.empty((len(n), 6))
    for column, (was, now) in enumerate(
        zip((*scene.before_i, *scene.before_v), (*scene.after_i, *scene.after_v), strict=True)
    ):
        out[:, column] = root * np.where(struck, now * unit, was * unit).real
        if column < 3 and offset:  # the current is continuous
            out[:, column] += root * ((was - now) * unit[before]).real * decay
    return out


def counts(values: Real) -> npt.NDArray[np.int32]:
    """9-2LE (1 mA, 10 mV; eight columns with the sums as neutrals) of six columns in A and V."""
    current, voltage = values[..., :3], values[..., 3:]
    columns = (current, current.sum(-1, keepdims=True), voltage, voltage.sum(-1, keepdims=True))
    scaled = np.concatenate(columns, axis=-1) * ([1000.0] * 4 + [100.0] * 4)
    found: npt.NDArray[np.int32] = np.rint(scaled).astype(np.int32)
    return found


def samples(
    scene: Scene,
    before: int,
    after: int,
    inception_deg: float = 0.0,
    rate: int = 4000,
    frequency: float = 50,
    offset: bool = True,
) -> list[list[int]]:
    """Counts of 9-2LE of :func:`instantaneous`."""
    rows = instantaneous(scene, before, max(after, 1), inception_deg, rate, frequency, offset)[: before + after]
    listed: list[list[int]] = counts(rows).tolist()
    return listed


def times(count: int, rate: int = 4000, start_us: int = 1_700_000_000_000_000) -> list[int]:
    return [start_us + n * 1_000_000 // rate for n in range(count)]

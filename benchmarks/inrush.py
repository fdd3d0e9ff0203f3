"""Inrush as iron makes it, for measuring the core: flux, remanence and saturation in time, apart from the plant.

A device with a source behind it feeds a section that is closed on at one instant: its load (resistors) and its
transformers, each three windings whose current is nothing below the saturation flux and flux over air-core inductance
above. Many scenes are integrated at once; every field of a scene may be an array.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.device import BEFORE, PICKUP_A, noisy
from benchmarks.waves import PHASE_V

Real = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int32]

OMEGA = 2 * math.pi * 50
RATE = 4000
STEPS = 40
"""Of the integration, a sample."""
KNEE = 1.2
"""Saturation flux, of the crest of the rated flux."""
REMANENCE = 0.8
"""The largest."""
DELTA_LINE = 1.585
"""First-cycle fundamental of a line, of that of one delta winding alone: two windings share a line."""
TURN = np.exp(-2j * np.pi / 3 * np.arange(3))


@dataclass(frozen=True)
class Inrush:
    """Scenes of the same length; arrays of one shape or scalars. Currents A r.m.s., primary."""

    rated_a: npt.ArrayLike
    """Of all transformers of the section."""
    size_pu: npt.ArrayLike
    """First-cycle fundamental at the worst instant with the most remanence from a stiff source, of ``rated_a``."""
    fault_level_a: npt.ArrayLike
    """Three-phase, at the device."""
    angle_deg: npt.ArrayLike = 0.0
    """Of phase A's voltage at the closing."""
    remanence: tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike] = (0.0, 0.0, 0.0)
    """Per winding, of the crest of the rated flux."""
    load_a: npt.ArrayLike = 0.0
    """What the device carried before and goes on to carry."""
    section_a: npt.ArrayLike = 0.0
    """What the section's load adds at the closing."""
    line_ohm: npt.ArrayLike = 0.5
    """Between the device and the section."""
    x_over_r: float = 5.0
    star: bool = False
    """Earthed star windings (single-phase transformers): a residual current flows."""


def air_core_pu(size_pu: Real, star: bool) -> Real:
    """Reactance per unit that gives the worst case ``size_pu``."""
    half = math.acos(KNEE - 1 - REMANENCE)
    fundamental = (half - math.sin(half) * math.cos(half)) / math.pi
    return fundamental / size_pu * (1.0 if star else DELTA_LINE / math.sqrt(3))


def samples(scene: Inrush, before: int, after: int) -> Counts:
    """Counts of 9-2LE (scenes x samples x 8); sample ``before`` is the first after the closing."""
    (rated, size, level, angle, r0, r1, r2, load, section, ohm), _ = _columns(scene)
    count = len(rated)
    x_air = air_core_pu(size, scene.star) * PHASE_V / rated * (1.0 if scene.star else 3.0)
    l_air = (x_air / OMEGA)[:, None]
    share = 1 / math.hypot(1.0, scene.x_over_r)
    z_up, z_line = PHASE_V / level, ohm
    r_up, l_up = (z_up * share)[:, None], (z_up * scene.x_over_r * share / OMEGA)[:, None]
    r_all = r_up + (z_line * share)[:, None]
    l_all = l_up + (z_line * scene.x_over_r * share / OMEGA)[:, None]
    crest = math.sqrt(2) * PHASE_V / OMEGA * (1.0 if scene.star else math.sqrt(3))
    flux = np.stack([r0, r1, r2], axis=1) * crest
    ballast = (PHASE_V / np.maximum(section, 0.5))[:, None]
    other = np.zeros((count, 3))
    line = np.zeros((count, 3))
    out = np.empty((count, before + after, 8), dtype=np.int32)
    step = 1 / RATE / STEPS
    turn = np.exp(1j * np.radians(angle))
    # The load that the device carries anyway: a resistor behind it, seen as current in phase with its voltage.
    own = load[:, None] / PHASE_V
    volts = np.zeros((count, 3))
    for n in range(-before, after):
        for k in range(STEPS):
            at = (n * STEPS + k + 1) * step
            emf = math.sqrt(2) * PHASE_V * (turn[:, None] * TURN * np.exp(1j * OMEGA * at)).real
            if n < 0:
                before_line = line
                line = np.zeros_like(line)
            else:
                before_line = line
                drawn = np.where(np.abs(flux) > KNEE * crest, (flux - np.sign(flux) * KNEE * crest) / l_air, 0.0)
                if not scene.star:
                    drawn = drawn - np.roll(drawn, 1, axis=1)
                line = (line + step / l_all * (emf + ballast * drawn)) / (1 + step / l_all * (r_all + ballast))
                terminal = ballast * (line - drawn)
                flux = flux + step * (terminal if scene.star else terminal - np.roll(terminal, -1, axis=1))
            volts = emf - r_up * line - l_up * (line - before_line) / step
        other = own * volts
        current = line + other
        row = n + before
        out[:, row, 0:3] = np.rint(current * 1000)
        out[:, row, 3] = np.rint(current.sum(axis=1) * 1000)
        out[:, row, 4:7] = np.rint(volts * 100)
        out[:, row, 7] = np.rint(volts.sum(axis=1) * 100)
    return out


def _columns(scene: Inrush) -> tuple[list[Real], tuple[int, ...]]:
    fields = (
        scene.rated_a, scene.size_pu, scene.fault_level_a, scene.angle_deg, *scene.remanence,
        scene.load_a, scene.section_a, scene.line_ohm,
    )  # fmt: skip
    spread = np.broadcast_arrays(*(np.asarray(f, dtype=float) for f in fields))
    return [np.atleast_1d(f).ravel().astype(float) for f in spread], spread[0].shape


@dataclass(frozen=True)
class Iron:
    """Ranges of random inrush; in units of the pick-up where not said otherwise."""

    size_pu: tuple[float, float] = (2.0, 8.0)
    rated: tuple[float, float] = (0.1, 0.6)
    section: tuple[float, float] = (0.3, 1.0)
    """Its load, of the transformers' rated current over 1.3."""
    star: bool = False


def closings(ranges: Iron, count: int, dice: np.random.Generator, after: int = 400) -> Counts:
    """Random closing angle, remanence, load, strength of the network."""
    rated = dice.uniform(*ranges.rated, count) * PICKUP_A
    section = rated / 1.3 * dice.uniform(*ranges.section, count)
    size = dice.uniform(*ranges.size_pu, count)
    depth = REMANENCE * np.sqrt(dice.uniform(0, 1, count))
    turn = dice.uniform(0, 2 * np.pi, count)
    shifts = [turn + 2 * np.pi / 3 * k for k in range(3)]
    remanence = tuple(depth * np.clip(1.25 * np.cos(s), -1, 1) for s in shifts)
    scene = Inrush(
        rated,
        size,
        dice.uniform(6, 25, count) * PICKUP_A,
        dice.uniform(0, 360, count),
        (remanence[0], remanence[1], remanence[2]),
        dice.uniform(0, 1, count) * (0.75 * PICKUP_A - section),
        section,
        dice.uniform(0.1, 2.0, count),
        star=ranges.star,
    )
    return noisy(samples(scene, BEFORE, after), dice)

"""One device of the compiled core, fed from memory faster than real time: what it saw and when."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.core.config import EarthMode, ProtectionConfig
from agent.core.protection import ProtectionCore
from agent.logic.messages import Direction, Level
from benchmarks import waves

PICKUP_A = 600.0
STEP_MS = 0.25
BEFORE = 240
"""Samples before inception: three cycles."""
CHUNK = 8
NOISE = np.array([300] * 4 + [500] * 4)
"""Counts: 0.3 A and 5 V."""
PHASES_ONLY = ProtectionConfig("x", 1, phase_pickup_a=PICKUP_A, earth_mode=EarthMode.OFF)


def pickup_ms(rows: npt.ArrayLike, config: ProtectionConfig = PHASES_ONLY, before: int = BEFORE) -> float:
    """From inception to the pick-up, the sample that decides counted whole; infinite: none."""
    listed = np.asarray(rows).tolist()
    core, times = ProtectionCore(config), waves.times(len(listed))
    for n in range(0, len(listed), CHUNK):
        core.feed(listed[n : n + CHUNK], times[n : n + CHUNK])
        if core.measurement().level is Level.PICKUP:
            return (core.measurement().pickup_us - times[before]) / 1000 + STEP_MS
    return math.inf


@dataclass(frozen=True, slots=True)
class Seen:
    """Of a whole record; times from inception, infinite: never."""

    pickup_ms: float
    direction_ms: float
    """First decided direction."""
    directions: frozenset[Direction]
    """All decided ones."""
    peak_a: float


def watch(rows: npt.ArrayLike, config: ProtectionConfig = PHASES_ONLY, before: int = BEFORE, chunk: int = 4) -> Seen:
    """The whole record; ``chunk`` samples between two looks at the direction."""
    listed = np.asarray(rows).tolist()
    core, times = ProtectionCore(config), waves.times(len(listed))
    picked = decided = math.inf
    directions = set()
    for n in range(0, len(listed), chunk):
        core.feed(listed[n : n + chunk], times[n : n + chunk])
        m = core.measurement()
        if m.level is Level.PICKUP and picked == math.inf:
            picked = (m.pickup_us - times[before]) / 1000 + STEP_MS
        if m.direction in (Direction.INTO_A, Direction.INTO_B):
            directions.add(m.direction)
            if decided == math.inf:
                decided = (m.upto_us - times[before]) / 1000 + STEP_MS
    return Seen(picked, decided, frozenset(directions), core.measurement().peak_a)


def noisy(rows: npt.NDArray[np.int32], dice: np.random.Generator) -> npt.NDArray[np.int32]:
    """With the noise of the demo's merging units."""
    found: npt.NDArray[np.int32] = np.rint(rows + dice.normal(size=rows.shape) * NOISE).astype(np.int32)
    return found

"""Right, unknown, none and wrong directions of earth faults by fault resistance: ``python -m tests.core.strikes``.

Networks, inceptions, places, detuning and instruments' errors as below; every feeder head and every device in the
middle of a feeder is judged 25 ms after the fault struck. The waves are those of ``tests.core.emt``.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from agent.core import EarthMode, ProtectionConfig, ProtectionCore
from agent.core.protection import Earth
from agent.logic.messages import Direction
from tests.core.emt import CABLE, FEEDERS, OMEGA, OVERHEAD, PHASE_V, RATE, SECTIONS, Grid, Real, counts, strike

BEFORE, AFTER = 200, 100
START_US = 1_700_000_000_000_000
PICKUP_A = 2.0
ENOUGH = 2.0
"""A healthy device is asked for a direction if so many times its setting lies behind it."""
NETWORKS = (
    Grid(),
    Grid((40.0, 25.0, 15.0), source_mh=1.5),
    Grid((25.0, 10.0, 30.0), (OVERHEAD, CABLE, OVERHEAD), source_mh=6.0),
)
DETUNING = (None, -0.3, -0.1, 0.0, 0.1, 0.3)
PLACES = ((0, 0), (0, 1), (2, 1))
OHM = (0.1, 10.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0)
ANGLES = tuple(range(0, 360, 30))
OUTCOMES = ("right", "unknown", "none", "wrong")


def config(grid: Grid, pickup_a: float = PICKUP_A) -> ProtectionConfig:
    mode = EarthMode.VARMETRIC if grid.detuning is None else EarthMode.WATTMETRIC
    return ProtectionConfig("x", 1, earth_pickup_a=pickup_a, earth_mode=mode)


def erring(waves: Real, rng: np.random.Generator, current: float = 0.01, voltage: float = 0.005) -> Real:
    """Class 1 current and class 0.5 voltage transformers: ratio to the limit, up to 60 and 20 minutes of displacement,
    each phase its own; noise of 0.1 A and 10 V."""
    shape = (*waves.shape[:-2], 1, 3)
    ratio = np.concatenate([rng.uniform(-x, x, shape) for x in (current, voltage)], axis=-1)
    lag = np.concatenate([rng.uniform(-x, x, shape) for x in (np.pi / 180, np.pi / 540)], axis=-1) / OMEGA
    noise = rng.normal(size=waves.shape) * np.array([0.1] * 3 + [10.0] * 3)
    seen: Real = waves * (1 + ratio) - lag * np.gradient(waves, 1 / RATE, axis=-2) + noise
    return seen


def play(rows: npt.NDArray[np.int32], settings: ProtectionConfig) -> tuple[Earth, bool]:
    """What the core says at the end, and whether it alarms."""
    core = ProtectionCore(settings)
    core.feed(rows.tolist(), range(START_US, START_US + 250 * len(rows), 250))
    return core.earth(), core.measurement().earth_alarm


def expected(grid: Grid, feeder: int, section: int) -> Direction:
    """By the network's drawing."""
    forward = feeder == grid.faulted and section <= grid.at
    return Direction.INTO_B if forward else Direction.INTO_A


def behind_a(grid: Grid, section: int, feeder: int) -> float:
    """Capacitive earth-fault current of what lies behind a device."""
    km = grid.km[feeder] * (SECTIONS - section) / SECTIONS
    return 3 * OMEGA * PHASE_V * km * grid.lines[feeder].c0


def outcome(found: Direction, wanted: Direction) -> str:
    if found is wanted:
        return "right"
    return {Direction.UNKNOWN: "unknown", Direction.NONE: "none"}.get(found, "wrong")


def judged(grids: Iterable[Grid], angles: Iterable[float], seed: int = 1) -> tuple[Counter[str], Counter[str]]:
    """Outcomes of the devices that have the fault behind them, and of the others; these only if enough lies behind
    them, or they are wrong."""
    rng = np.random.default_rng(seed)
    forward: Counter[str] = Counter()
    reverse: Counter[str] = Counter()
    angles = list(angles)
    for grid in grids:
        rows = counts(erring(strike(grid, angles, BEFORE, AFTER), rng))
        for index in np.ndindex(len(angles), FEEDERS, SECTIONS):
            wanted = expected(grid, *index[1:])
            found = play(rows[index], config(grid))[0].direction
            told = outcome(found, wanted)
            if wanted is Direction.INTO_B:
                forward[told] += 1
            elif told == "wrong" or behind_a(grid, index[2], index[1]) >= ENOUGH * PICKUP_A:
                reverse[told] += 1
    return forward, reverse


def grids(fault_ohm: float, isolated: bool) -> list[Grid]:
    """Of one resistance."""
    tuned = [d for d in DETUNING if (d is None) is isolated]
    return [
        replace(n, detuning=d, faulted=f, at=at, fault_ohm=fault_ohm)
        for n in NETWORKS for d in tuned for f, at in PLACES
    ]  # fmt: skip


if __name__ == "__main__":
    for isolated in (True, False):
        for ohm in OHM:
            told = judged(grids(ohm, isolated), ANGLES)
            parts = [" · ".join(f"{100 * c[o] / c.total():.1f}" for o in OUTCOMES) for c in told]
            name = "isolated" if isolated else "compensated"
            print(f"| {name}, {ohm:g} Ω | {parts[0]} | {parts[1]} |", [dict(c) for c in told], flush=True)
    sys.exit(0)

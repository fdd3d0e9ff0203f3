"""The elements on the demonstration feeder's own waves: who picks up, in which direction, in what order."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from agent.core import ProtectionConfig, ProtectionCore
from agent.logic.messages import Direction, Level
from scl import describe
from simulator.plant.events import NewWaves, StrikeFault
from simulator.plant.fault import Fault
from simulator.plant.plant import Plant

DEMO = Path(describe.__file__).parents[1] / "simulator" / "feeders" / "demo.yaml"
START_US = 1_700_000_000_000_000
QUIET_MS, FAULT_MS = 60, 45
PATHS = {
    "Z11": ("Q1", "F1"),
    "Z13": ("Q1", "F1", "R11", "L12"),
    "Z21": ("Q1", "F2"),
    "Z33": ("Q2", "F3", "R31", "L32"),
}


@pytest.mark.parametrize("zone", list(PATHS))
@pytest.mark.parametrize(("kind", "rf_ohm"), [("ag", 0.0), ("ag", 5.0), ("bc", 0.0), ("bcg", 0.0), ("abc", 0.0)])
def test_the_path_of_the_fault_picks_up_and_nobody_else(zone: str, kind: str, rf_ohm: float) -> None:
    feeder = describe.read(DEMO)
    plant = Plant(feeder, START_US)
    cores = {
        d.name: ProtectionCore(
            ProtectionConfig(
                d.name,
                1,
                phase_pickup_a=d.phase_pickup_a,
                earth_pickup_a=d.earth_pickup_a,
                nominal_kv=feeder.nominal_kv,
            )
        )
        for d in feeder.devices
    }
    dice = np.random.default_rng(1)
    angle = float(dice.choice([0.0, 45.0, 90.0, 135.0]))
    strike_us = START_US + QUIET_MS * 1000
    effects = plant.step(StrikeFault(Fault("f", zone, kind, rf_ohm=rf_ohm), angle), strike_us)
    effects += plant.advance(strike_us + FAULT_MS * 1000)
    before = Plant(feeder, START_US).waves
    waves = [before, *(e.waves for e in effects if isinstance(e, NewWaves) and e.waves.start_us > START_US)]
    noise = np.array([0.3] * 4 + [5.0] * 4)
    scale = np.array([1000] * 4 + [100] * 4)
    seen: dict[str, set[Direction]] = {name: set() for name in cores}
    for n in range((QUIET_MS + FAULT_MS) * 4):
        t_us = START_US + n * 250
        now = [w for w in waves if w.start_us <= t_us][-1]
        counts = np.rint((now.at(t_us) + dice.normal(size=(len(cores), 8)) * noise) * scale).astype(int)
        for (name, core), row in zip(cores.items(), counts.tolist(), strict=True):
            core.feed([row], [t_us])
            seen[name].add(core.measurement().direction)
    ends = {name: core.measurement() for name, core in cores.items()}
    assert {name for name, m in ends.items() if m.level is Level.PICKUP} == set(PATHS[zone])
    for name, m in ends.items():
        on_path = name in PATHS[zone]
        assert m.direction is (Direction.INTO_B if on_path else Direction.NONE), name
        assert Direction.INTO_A not in seen[name], name
        assert bool(m.start_us) == on_path, name
    for upstream, downstream in itertools.pairwise(PATHS[zone]):  # else the zone between them looked faulted
        assert ends[downstream].start_us <= ends[upstream].pickup_us

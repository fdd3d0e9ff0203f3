"""Earth faults of isolated and compensated networks by what the network takes as they strike: direction and alarm.

Waves and the direction expected of each device come from ``tests.core.emt``, a network integrated in the phase domain.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.core import EarthMode, ProtectionConfig, ProtectionCore
from agent.logic.messages import Direction, Level
from agent.sv.reference import Reference
from scl import describe
from scl.topology import NeutralMode
from simulator.plant.events import NewWaves, StrikeFault
from simulator.plant.fault import Fault
from simulator.plant.plant import Plant
from tests.core import emt, strikes
from tests.core.emt import Grid
from tests.core.strikes import config, play

DEMO = Path(describe.__file__).parents[1] / "simulator" / "feeders" / "demo.yaml"
PATHS = {
    "Z11": {"Q1", "F1"},
    "Z12": {"Q1", "F1", "R11"},
    "Z13": {"Q1", "F1", "R11", "L12"},
    "Z22": {"Q1", "F2", "L21"},
    "Z33": {"Q2", "F3", "R31", "L32"},
}
LIMIT_OHM = 2000.0


@pytest.mark.parametrize("isolated", [True, False])
@pytest.mark.parametrize("ohm", [0.1, 30.0])
def test_low_resistance_faults_are_told_by_all_but_six_per_cent(ohm: float, isolated: bool) -> None:
    forward, reverse = strikes.judged(strikes.grids(ohm, isolated)[:: 1 if isolated else 4], (0, 80, 135))
    for side in (forward, reverse):
        assert side["wrong"] == 0
        assert side["right"] >= 0.94 * side.total()


@pytest.mark.parametrize("isolated", [True, False])
@pytest.mark.parametrize("ohm", [150.0, 700.0, LIMIT_OHM])
def test_no_resistance_turns_the_direction_round(ohm: float, isolated: bool) -> None:
    """Unknown it may be."""
    for side in strikes.judged(strikes.grids(ohm, isolated)[:: 1 if isolated else 4], (10, 100, 160)):
        assert side["wrong"] == 0


@pytest.mark.parametrize("detuning", [None, 0.05])
def test_alarm_on_the_faulted_feeder_only(detuning: float | None) -> None:
    grid = Grid(detuning=detuning, faulted=1)
    rows = emt.counts(emt.strike(grid, [60.0], 200, 600))[0]
    for feeder, section in np.ndindex(emt.FEEDERS, emt.SECTIONS):
        earth, alarm = play(rows[feeder, section], config(grid))
        assert earth.direction is strikes.expected(grid, feeder, section)
        assert alarm is (feeder == 1)
        assert earth.strikes == 1
        assert not earth.intermittent


@pytest.mark.parametrize("detuning", [None, 0.05])
def test_an_arc_that_comes_back_never_points_the_wrong_way(detuning: float | None) -> None:
    """It goes out at a zero of its current and strikes again when the phase's voltage has recovered."""
    grid = Grid(detuning=detuning)
    rows = emt.counts(emt.arcing(grid, 75.0, 200, 3200))
    for feeder, section in np.ndindex(emt.FEEDERS, emt.SECTIONS):
        core, wanted = ProtectionCore(config(grid)), strikes.expected(grid, feeder, section)
        for n in range(0, len(rows[feeder, section]), 20):
            part = rows[feeder, section, n : n + 20]
            core.feed(part.tolist(), range(strikes.START_US + 250 * n, strikes.START_US + 250 * (n + len(part)), 250))
            assert core.earth().direction in (Direction.NONE, Direction.UNKNOWN, wanted), (feeder, section, n)
        assert core.earth().strikes >= 1
        assert core.measurement().level < Level.PICKUP
        if wanted is Direction.INTO_B:
            assert core.measurement().earth_alarm


@pytest.mark.parametrize("detuning", [None, -0.2, 0.05])
def test_a_healthy_feeder_that_is_switched_on_raises_no_alarm(detuning: float | None) -> None:
    """Its poles make within 4 ms."""
    grid = Grid(detuning=detuning, faulted=2, fault_ohm=emt.OPEN_OHM)
    rows = emt.counts(emt.switching(grid, 1, (0.0, 2e-3, 4e-3), 200, 800))
    for feeder in range(emt.FEEDERS):
        earth, alarm = play(rows[feeder, 0], config(grid))
        assert not alarm
        assert not earth.intermittent
        assert earth.direction is Direction.NONE


def test_a_charge_below_the_setting_tells_no_direction() -> None:
    grid = Grid()
    rows = emt.counts(emt.strike(grid, [60.0], 200, 200))[0]
    assert play(rows[1, 1], config(grid, 100.0))[0].direction is Direction.UNKNOWN


@pytest.mark.parametrize("mode", [EarthMode.TRIP, EarthMode.OFF])
def test_where_earth_faults_trip_nothing_is_looked_for(mode: EarthMode) -> None:
    rows = emt.counts(emt.strike(Grid(), [60.0], 200, 200))[0, 0, 0]
    settings = ProtectionConfig("x", 1, earth_pickup_a=1000.0, earth_mode=mode)
    assert play(rows, settings)[0] == (Direction.NONE, 0, False)


@pytest.mark.parametrize(("detuning", "arcs"), [(None, False), (0.1, False), (None, True), (0.05, True)])
def test_equal_to_the_reference(detuning: float | None, arcs: bool) -> None:
    grid = Grid(detuning=detuning, fault_ohm=20.0)
    waves = emt.arcing(grid, 75.0, 200, 1000)[0, 0] if arcs else emt.strike(grid, [20.0], 200, 300)[0, 0, 0]
    rows = emt.counts(waves + np.random.default_rng(2).normal(size=waves.shape) * 0.2).tolist()
    core, reference = ProtectionCore(config(grid)), Reference(config(grid))
    for n, row in enumerate(rows):
        core.feed([row], [strikes.START_US + 250 * n])
        theirs, ours = reference.sample(row, strikes.START_US + 250 * n), core.measurement()
        assert (ours.earth_alarm, ours.level) == (theirs.earth_alarm, theirs.level)
        struck = reference.strikes
        assert core.earth() == (struck.direction, struck.count, struck.again), n
    assert core.earth().strikes > 0


@pytest.mark.parametrize("ohm", [0.0, 100.0, 1000.0])
@pytest.mark.parametrize("neutral", [NeutralMode.ISOLATED, NeutralMode.COMPENSATED])
def test_on_the_plant_no_device_points_the_wrong_way(neutral: NeutralMode, ohm: float) -> None:
    """Its own waves, a setting of 1 A, of a network with 8 A."""
    feeder = replace(describe.read(DEMO), neutral=neutral)
    told = 0
    settings = config(Grid(detuning=None if neutral is NeutralMode.ISOLATED else 0.05), 1.0)
    for (zone, path), angle in zip(PATHS.items(), (0, 45, 90, 120, 200), strict=True):
        plant = Plant(feeder, strikes.START_US)
        waves = [plant.waves]
        effects = plant.step(StrikeFault(Fault("f", zone, "bg", rf_ohm=ohm), angle), strikes.START_US)
        effects += plant.advance(strikes.START_US + 60_000)
        waves += [e.waves for e in effects if isinstance(e, NewWaves)]
        times = strikes.START_US + 250 * np.arange(-200, 200)
        which = np.searchsorted([w.start_us for w in waves[1:]], times, side="right")
        values = np.stack([waves[k].at(int(t)) for k, t in zip(which, times, strict=True)], axis=1)
        for device, rows in zip(feeder.devices, values[..., [0, 1, 2, 4, 5, 6]], strict=True):
            found = play(emt.counts(rows), settings)[0].direction
            wrong = Direction.INTO_A if device.name in path else Direction.INTO_B
            assert found is not wrong, (zone, device.name)
            told += found in (Direction.INTO_A, Direction.INTO_B)
    assert told >= 12

"""The voltage's frequency: followed in steady state, held through faults and dead buses, taken out of the phasors."""

from __future__ import annotations

import cmath
import math
import random

import numpy as np
import pytest

from agent.core import Layout, ProtectionConfig, ProtectionCore
from agent.core.protection import Phasors
from agent.logic.messages import Level
from agent.sv.frequency import Frequency
from agent.sv.reference import Reference, positive_sequence
from benchmarks import waves
from benchmarks.waves import PHASE_V, Scene

LOAD = waves.phases(0j, 200 - 50j, 0j)
NOMINAL = waves.phases(0j, PHASE_V + 0j, 0j)
NOTHING = (0j, 0j, 0j)
STEADY = Scene(LOAD, NOMINAL, LOAD, NOMINAL, 0.01)
SETTLED = 10
"""Cycles."""


def steady(hz: float, layout: Layout = Layout.LE80_50, cycles: int = 20, scene: Scene = STEADY) -> list[list[int]]:
    """The first sample is at angle 0 of voltage A."""
    return waves.samples(scene, 0, cycles * layout.rate // layout.frequency, 0.0, layout.rate, hz, offset=False)


def fed(rows: list[list[int]], layout: Layout = Layout.LE80_50) -> tuple[ProtectionCore, Phasors]:
    core = ProtectionCore(ProtectionConfig("x", 1, layout=layout))
    core.feed(rows, waves.times(len(rows), layout.rate))
    return core, core.phasors()


@pytest.mark.parametrize("layout", [Layout.LE80_50, Layout.LE80_60, Layout.F4800_50])
@pytest.mark.parametrize("off_hz", [-5.0, -3.0, -0.1, 0.0, 0.02, 1.0, 3.0, 5.0])
def test_followed_over_the_whole_range(layout: Layout, off_hz: float) -> None:
    _, seen = fed(steady(layout.frequency + off_hz, layout), layout)
    assert seen.frequency_hz == pytest.approx(layout.frequency + off_hz, abs=0.001)
    assert not seen.frequency_held


def test_not_known_before_it_was_seen_nor_out_of_range() -> None:
    assert fed(steady(50.0, cycles=4))[1].frequency_hz is None
    _, seen = fed(steady(43.0))
    assert seen.frequency_hz is None
    assert seen.frequency_held
    core = ProtectionCore(ProtectionConfig("x", 1, nominal_kv=None))
    rows = steady(51.0)
    core.feed(rows, waves.times(len(rows)))
    assert core.phasors().frequency_hz is None, "no voltage transformers"


def test_noise_unbalance_and_harmonics() -> None:
    dice = np.random.default_rng(1)
    bent = waves.phases(0.05 * PHASE_V + 0j, PHASE_V + 0j, 0.05j * PHASE_V)
    rows = np.asarray(steady(48.5, cycles=40, scene=Scene(LOAD, bent, LOAD, bent, 0.01)))
    t = np.arange(len(rows)) / 4000
    for p in range(3):
        rows[:, 4 + p] += np.rint(0.05 * 100 * PHASE_V * np.cos(5 * (97 * math.pi * t - 2 * math.pi / 3 * p))).astype(
            int
        )
    rows[:, 4:7] += np.rint(dice.normal(size=(len(rows), 3)) * 500).astype(int)
    core, found = ProtectionCore(ProtectionConfig("x", 1)), []
    for n, row in enumerate(rows.tolist()):
        core.feed([row], [waves.times(1)[0] + 250 * n])
        hz = core.phasors().frequency_hz
        if n > SETTLED * 80 and hz is not None:
            found.append(hz)
    assert max(abs(hz - 48.5) for hz in found) <= 0.05


def errors(hz: float, scene: Scene = STEADY) -> tuple[float, float, float, float]:
    """Largest errors over two cycles: magnitude (share) and angle (degrees), with and without the correction."""
    rows = steady(hz, cycles=SETTLED + 2, scene=scene)
    core = ProtectionCore(ProtectionConfig("x", 1))
    start = waves.times(1)[0]
    with_it, without = [0.0, 0.0], [0.0, 0.0]
    step = 2 * math.pi / 80
    for n, row in enumerate(rows):
        core.feed([row], [start + 250 * n])
        if n < 80 * SETTLED:
            continue
        plain = ProtectionCore(ProtectionConfig("x", 1))  # 2 cycles: too young to know the frequency
        first = n + 1 - 160
        plain.feed(rows[first : n + 1], waves.times(160))
        for kind, true in (("current", scene.after_i), ("voltage", scene.after_v)):
            for p in range(3):
                wanted = true[p] * cmath.exp(1j * step * n * (hz / 50 - 1))
                got = getattr(core.phasors(), kind)[p] / wanted
                bare = getattr(plain.phasors(), kind)[p] * cmath.exp(-1j * step * first) / wanted
                for kept, ratio in ((with_it, got), (without, bare)):
                    kept[0] = max(kept[0], abs(abs(ratio) - 1))
                    kept[1] = max(kept[1], abs(math.degrees(cmath.phase(ratio))))
    return with_it[0], with_it[1], without[0], without[1]


@pytest.mark.parametrize("hz", [47.0, 53.0])
def test_phasors_are_right_3_hz_off(hz: float) -> None:
    magnitude, angle, magnitude_before, angle_before = errors(hz)
    assert magnitude <= 0.001
    assert angle <= 0.05
    assert magnitude_before >= 0.03, "what the correction takes away"
    assert angle_before >= 5.0


def test_held_during_a_fault_and_followed_again() -> None:
    scene = waves.fault("bc", 1800.0, 10.0, frequency=49.0)
    before = 20 * 80
    rows = waves.samples(scene, before, 40, 30, 4000, 49.0)
    turn = cmath.exp(2j * math.pi * 49 * 40 / 4000)
    after = Scene(NOTHING, NOTHING, LOAD, tuple(v * turn for v in NOMINAL), 0.01)  # type: ignore[arg-type]
    core, start = ProtectionCore(ProtectionConfig("x", 1)), waves.times(1)[0]
    during = []
    for n, row in enumerate(rows):
        core.feed([row], [start + 250 * n])
        if n >= before:
            during.append((core.phasors(), core.measurement().level))
    assert during[-1][1] is Level.PICKUP
    assert all(p.frequency_hz == pytest.approx(49.0, abs=0.001) for p, _ in during)
    assert during[-1][0].frequency_held
    more = waves.samples(after, 0, 25 * 80, 30, 4000, 49.5, offset=False)
    core.feed(more, [start + 250 * (len(rows) + k) for k in range(len(more))])
    assert core.phasors().frequency_hz == pytest.approx(49.5, abs=0.001)
    assert not core.phasors().frequency_held


def test_held_on_a_dead_bus() -> None:
    dead = Scene(LOAD, NOMINAL, NOTHING, NOTHING, 0.01)
    rows = waves.samples(dead, 20 * 80, 40 * 80, 75, 4000, 51.2, offset=False)
    _, seen = fed(rows)
    assert seen.frequency_hz == pytest.approx(51.2, abs=0.001)
    assert seen.frequency_held


def test_a_jump_of_phase_with_the_voltage_is_not_taken_for_frequency() -> None:
    """A fault elsewhere: the voltage sags to 0.7 and turns by 20 degrees, no element starts."""
    sagged = waves.phases(0j, cmath.rect(0.7 * PHASE_V, math.radians(-20)), 0j)
    core, start = ProtectionCore(ProtectionConfig("x", 1)), waves.times(1)[0]
    for n, row in enumerate(waves.samples(Scene(LOAD, NOMINAL, LOAD, sagged, 0.01), 1600, 1600, 40)):
        core.feed([row], [start + 250 * n])
        if n >= 1600:
            assert core.phasors().frequency_hz == pytest.approx(50.0, abs=0.02)


@pytest.mark.parametrize(("layout", "hz"), [(Layout.LE80_50, 47.3), (Layout.F4800_50, 52.0), (Layout.LE80_60, 62.5)])
def test_equal_to_the_reference(layout: Layout, hz: float) -> None:
    dice = random.Random(7)
    cycle = layout.rate // layout.frequency
    scene = waves.fault("ag", 1500.0, 8.0, frequency=hz)
    rows = waves.samples(scene, 10 * cycle, 2 * cycle, 70, layout.rate, hz)
    for row in rows:
        for channel in range(8):
            row[channel] += round(dice.gauss(0, 500))
    config = ProtectionConfig("x", 1, layout=layout)
    core, reference, followed = ProtectionCore(config), Reference(config), Frequency(config)
    known = 0
    for n, (row, time_us) in enumerate(zip(rows, waves.times(len(rows), layout.rate), strict=True)):
        core.feed([row], [time_us])
        level = reference.sample(row, time_us).level
        values = reference.values
        if values is None:
            continue
        followed.sample(n + 1, positive_sequence(values.voltage), level is Level.QUIET)
        seen = core.phasors()
        assert seen.frequency_hz == (None if followed.hz is None else pytest.approx(followed.hz, rel=1e-9))
        assert seen.frequency_held == followed.held
        known += not followed.held
        for k in range(4):
            assert abs(seen.current[k] - followed.corrected(n + 1, values.full_mimic[k])) <= 1e-4
            assert abs(seen.voltage[k] - followed.corrected(n + 1, values.voltage_mimic[k])) <= 1e-3
    assert known, "the frequency was followed for a while"
    assert followed.held, "and held in the fault"

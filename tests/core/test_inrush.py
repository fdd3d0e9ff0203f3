"""A section comes alive behind a device: its transformers' inrush must not pick up, a fault must as fast as ever.

The inrush is integrated from flux and saturation (``benchmarks/inrush.py``) or the plant's own; ``sweep.py`` has more.
"""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import replace

import numpy as np
import pytest

from agent.core import EarthMode, ProtectionConfig
from benchmarks import inrush, waves
from benchmarks.device import BEFORE, PHASES_ONLY, PICKUP_A, pickup_ms
from benchmarks.inrush import Inrush, Iron, closings

from .sweep import faults, plant_inrush, two_ties

WITH_EARTH = replace(PHASES_ONLY, earth_mode=EarthMode.TRIP)
NO_VOLTAGE = replace(PHASES_ONLY, nominal_kv=None)
WORST = [(0.8, -0.8, 0.0), (-0.8, 0.0, 0.8), (0.8, -0.4, -0.4), (0.0, 0.0, 0.0)]


def test_the_generator_draws_what_it_says() -> None:
    """Worst instant, most remanence, stiff source: the first-cycle fundamental is ``size_pu`` of the rated current."""
    scenes = Inrush(100.0, 4.0, 1e6, np.arange(0, 360, 5), (0.8, -0.8, 0.0), line_ohm=1e-3)
    rows = inrush.samples(scenes, 80, 160)
    current = rows[:, :, :3] / 1000
    turn = np.exp(-2j * np.pi * np.arange(80) / 80)
    first = [
        np.abs((current[:, n : n + 80] * turn[:, None]).sum(axis=1)) * math.sqrt(2) / 80 for n in range(80, 160, 4)
    ]
    assert np.max(first) == pytest.approx(400, rel=0.1)
    assert np.abs(current.sum(axis=2)).max() < 0.01, "no residual through delta windings"
    voltage = rows[0, 80:, 4] / 100
    assert np.abs(voltage).max() == pytest.approx(math.sqrt(2) * waves.PHASE_V, rel=0.02)
    quiet = np.abs(current[:, 80:84]).max()
    assert quiet < 1.0, "0.4 of the crest's flux comes before any current"


@pytest.mark.parametrize("size_pu", [4.0, 8.0])
@pytest.mark.parametrize("rated_a", [100.0, 359.0])
@pytest.mark.parametrize("load_a", [0.0, 200.0])
def test_inrush_of_loaded_transformers_does_not_pick_up(size_pu: float, rated_a: float, load_a: float) -> None:
    cases = list(itertools.product(range(0, 360, 30), WORST))
    scene = Inrush(
        rated_a,
        size_pu,
        13_800.0,
        [angle for angle, _ in cases],
        tuple([r[k] for _, r in cases] for k in range(3)),  # type: ignore[arg-type]
        load_a,
        rated_a / 1.3 / 2,
    )
    for rows in inrush.samples(scene, BEFORE, 400):
        for config in (PHASES_ONLY, WITH_EARTH, NO_VOLTAGE):
            assert pickup_ms(rows, config) == math.inf


@pytest.mark.parametrize("star", [False, True])
def test_random_inrush_does_not_pick_up(star: bool) -> None:
    """Single-phase transformers fool the residual element of the standard setting: a limit, see the document."""
    for rows in closings(Iron(star=star), 60, np.random.default_rng(3)):
        assert pickup_ms(rows, PHASES_ONLY) == math.inf


@pytest.mark.parametrize("size_pu", [4.0, 8.0])
def test_a_whole_substation_on_one_tie_of_the_plant_does_not_pick_up(size_pu: float) -> None:
    for name, rows in plant_inrush(size_pu, 3, np.random.default_rng(4)):
        assert pickup_ms(rows, WITH_EARTH) == math.inf, name


@pytest.mark.parametrize("gap_ms", [0.0, 4.0, 8.0, 10.0, 12.0, 15.0, 30.0])
def test_two_feeders_one_shortly_after_the_other_do_not_pick_up(gap_ms: float) -> None:
    """Half a cycle apart, their second harmonics cancel and their fundamentals do not."""
    dice = np.random.default_rng(6)
    for number in range(4):
        for name, pickup_a, rows in two_ties(gap_ms, number, dice):
            assert pickup_ms(rows, replace(PHASES_ONLY, phase_pickup_a=pickup_a)) == math.inf, name


@pytest.mark.parametrize(
    ("kind", "config", "median_ms"),
    [
        ("abc", PHASES_ONLY, 4.5),
        ("abc", NO_VOLTAGE, 4.5),
        ("bc", PHASES_ONLY, 6.0),
        ("ag", WITH_EARTH, 4.0),
        ("bcg", WITH_EARTH, 4.0),
    ],
)
def test_three_times_pickup_waits_for_nothing(kind: str, config: ProtectionConfig, median_ms: float) -> None:
    found = [pickup_ms(rows, config) for rows in faults(kind, 3.0, np.random.default_rng(5), 40)]
    assert statistics.median(found) <= median_ms
    assert max(found) <= 20.0


def test_a_fault_right_after_a_load_step_is_left_to_the_full_cycle() -> None:
    """The load's step has used up the onset: slower, and seen."""
    for angle in range(0, 360, 45):
        step = waves.samples(
            waves.Scene(_load(50), _NOMINAL, _load(200), _NOMINAL, 0.01), BEFORE, 40, angle, offset=False
        )
        scene = waves.fault("abc", 4 * PICKUP_A, load=200 + 0j)
        struck = waves.samples(scene, 0, 160, angle + 180)
        assert pickup_ms(step + struck, before=BEFORE + 40) <= 25.0


_NOMINAL = waves.phases(0j, waves.PHASE_V, 0j)


def _load(amperes: float) -> waves.Phasors:
    return waves.phases(0j, complex(amperes), 0j)

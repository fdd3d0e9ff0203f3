"""The compiled detector against its description in Python, sample by sample."""

from __future__ import annotations

import itertools
import random
import threading

import pytest

from agent.core import EarthMode, Layout, ProtectionConfig, ProtectionCore
from agent.logic.messages import Level
from agent.sv.reference import Reference
from benchmarks import inrush, waves
from benchmarks.inrush import Inrush

CASES = list(
    itertools.islice(
        itertools.cycle(
            [
                ("ag", 1800.0, True, EarthMode.TRIP, Layout.LE80_50),
                ("bc", 700.0, False, EarthMode.TRIP, Layout.F4800_50),
                ("bcg", 2500.0, True, EarthMode.OFF, Layout.LE80_60),
                ("abc", 550.0, False, EarthMode.TRIP, Layout.LE80_50),
                ("ag", 250.0, True, EarthMode.TRIP, Layout.LE80_50),
                ("ag", 180.0, False, EarthMode.WATTMETRIC, Layout.LE80_50),
            ]
        ),
        12,
    )
)


@pytest.mark.parametrize(("number", "case"), list(enumerate(CASES)))
def test_equal_to_the_reference(number: int, case: tuple[str, float, bool, EarthMode, Layout]) -> None:
    kind, amperes, forward, mode, layout = case
    dice = random.Random(number)
    scene = waves.fault(
        kind,
        amperes,
        dice.choice((1, 5, 20)),
        forward,
        load=complex(dice.uniform(-200, 200), dice.uniform(-50, 50)),
        rf=8.0 if amperes < 300 else 0.0,
        frequency=layout.frequency,
    )
    cycle = layout.rate // layout.frequency
    rows = waves.samples(scene, 3 * cycle, 3 * cycle, dice.uniform(0, 360), layout.rate, layout.frequency)
    for row in rows:
        for channel in range(8):
            row[channel] += round(dice.gauss(0, 500))
    if number % 3 == 0:  # interruption of everything
        for row in rows[5 * cycle :]:
            row[:] = [0] * 8
    config = ProtectionConfig("x", 1, layout=layout, earth_mode=mode)
    core, reference = ProtectionCore(config), Reference(config)
    for row, time_us in zip(rows, waves.times(len(rows), layout.rate), strict=True):
        core.feed([row], [time_us])
        ours, theirs = core.measurement(), reference.sample(row, time_us)
        for name in ("peak_a", "p_kw", "q_kvar"):
            assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-9, abs=1e-6), name
        exact = {"peak_a": 0.0, "p_kw": 0.0, "q_kvar": 0.0}
        assert ours._replace(**exact) == theirs._replace(**exact)
        if reference.values is not None:
            metered = core.phasors()
            assert metered.full_a == pytest.approx(reference.values.low_set, rel=1e-9, abs=1e-6)
            assert metered.half_a == pytest.approx(reference.values.high_set, rel=1e-9, abs=1e-6)
            assert metered.second_a[:3] == pytest.approx(reference.values.second[:3], rel=1e-9, abs=1e-6)
    assert reference.measurement.upto_us == core.measurement().upto_us


@pytest.mark.parametrize(("star", "nominal_kv"), [(False, 10.0), (True, 10.0), (False, None)])
def test_equal_to_the_reference_in_inrush(star: bool, nominal_kv: float | None) -> None:
    scene = Inrush(300.0, 6.0, 9000.0, 20.0, (0.7, -0.7, 0.1), 150.0, 100.0, star=star)
    config = ProtectionConfig("x", 1, nominal_kv=nominal_kv)
    core, reference = ProtectionCore(config), Reference(config)
    rows = inrush.samples(scene, 120, 240)[0].tolist()
    for row, time_us in zip(rows, waves.times(len(rows)), strict=True):
        core.feed([row], [time_us])
        ours, theirs = core.measurement(), reference.sample(row, time_us)
        exact = {"peak_a": 0.0, "p_kw": 0.0, "q_kvar": 0.0}
        assert ours._replace(**exact) == theirs._replace(**exact)


@pytest.mark.parametrize("mode", [EarthMode.TRIP, EarthMode.WATTMETRIC])
def test_equal_to_the_reference_when_the_thresholds_change_in_a_fault(mode: EarthMode) -> None:
    """550 A: below 600 A with its start, above 500 A; raised again, the element lets go."""
    rows = waves.samples(waves.fault("abc", 550.0, 5, True), 240, 960)
    config = ProtectionConfig("x", 1, earth_mode=mode)
    core, reference = ProtectionCore(config), Reference(config)
    levels = []
    for number, (row, time_us) in enumerate(zip(rows, waves.times(len(rows)), strict=True)):
        change = {640: (500.0, 100.0), 960: (800.0, 160.0)}.get(number)
        if change is not None:
            assert core.adjust(*change)
            reference.adjust(*change)
        core.feed([row], [time_us])
        ours, theirs = core.measurement(), reference.sample(row, time_us)
        exact = {"peak_a": 0.0, "p_kw": 0.0, "q_kvar": 0.0}
        assert ours._replace(**exact) == theirs._replace(**exact)
        if not levels or levels[-1] is not ours.level:
            levels.append(ours.level)
    assert levels == [Level.BLIND, Level.QUIET, Level.START, Level.PICKUP, Level.QUIET]


def test_thresholds_change_together_with_the_next_sample_and_the_newest_offer_counts() -> None:
    core = ProtectionCore(ProtectionConfig("x", 1))
    assert core.adjust(500.0, 100.0)
    assert core.adjust(450.0, 90.0)
    assert (core.phasors().phase_pickup_a, core.phasors().earth_pickup_a) == (600.0, 120.0)
    core.feed([[0] * 8], [1_000_000])
    assert (core.phasors().phase_pickup_a, core.phasors().earth_pickup_a) == (450.0, 90.0)
    core.adjust(400.0, 80.0)
    core.silence(5_000_000)
    assert (core.phasors().phase_pickup_a, core.phasors().earth_pickup_a) == (400.0, 80.0)
    for wrong in ((0.0, 80.0), (400.0, -1.0), (float("nan"), 80.0), (400.0, float("inf"))):
        with pytest.raises(ValueError, match="positive and finite"):
            core.adjust(*wrong)


def test_a_pair_of_thresholds_is_never_half_the_one_and_half_the_other() -> None:
    """One thread offers, another evaluates samples; who reads sees pairs only."""
    core = ProtectionCore(ProtectionConfig("x", 1))
    pairs = [(100.0 * k, 20.0 * k) for k in range(1, 9)]
    rows, times = [[0] * 8] * 400, [1_000_000 + 250 * k for k in range(400)]
    running = True

    def offer() -> None:
        while running:
            for pair in pairs:
                core.adjust(*pair)

    thread = threading.Thread(target=offer)
    thread.start()
    seen = set()
    try:
        for _ in range(200):
            core.feed(rows, times)
            told = core.phasors()
            seen.add((told.phase_pickup_a, told.earth_pickup_a))
    finally:
        running = False
        thread.join()
    assert seen <= {*pairs, (600.0, 120.0)}
    assert len(seen) > 1

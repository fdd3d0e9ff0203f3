"""What the elements promise: speed, overreach, direction, presence, current zero, and what must not fool them."""

from __future__ import annotations

import cmath
import itertools
import math
import random
import statistics
from collections.abc import Callable, Iterator

import pytest

from agent.core import EarthMode, ProtectionConfig, ProtectionCore
from agent.core.protection import Element
from agent.logic.messages import Direction, Level, Live, Measurement
from benchmarks import waves
from benchmarks.waves import PHASE_V, A, Scene

PICKUP_A = 600.0
STEP_MS = 0.25
BEFORE = 240
NOMINAL = (PHASE_V + 0j, PHASE_V * A * A, PHASE_V * A)
NOTHING = (0j, 0j, 0j)


def balanced(current: complex) -> waves.Phasors:
    return current, current * A * A, current * A


def run(rows: list[list[int]], before: int = BEFORE, **settings: object) -> list[Measurement]:
    """Measurements of every sample from inception on."""
    config = ProtectionConfig("x", 1, phase_pickup_a=PICKUP_A, **settings)  # type: ignore[arg-type]
    core = ProtectionCore(config)
    times = waves.times(len(rows))
    core.feed(rows[:before], times[:before])
    seen = []
    for n in range(before, len(rows)):
        core.feed(rows[n : n + 1], times[n : n + 1])
        seen.append(core.measurement())
    return seen


def first_ms(seen: list[Measurement], wanted: Callable[[Measurement], bool]) -> float:
    return next((STEP_MS * (k + 1) for k, m in enumerate(seen) if wanted(m)), math.inf)


def pickup_ms(seen: list[Measurement]) -> float:
    return first_ms(seen, lambda m: m.level is Level.PICKUP)


def phases_of(ratios: tuple[float, ...] = (1, 3, 8, 30), step: int = 30) -> Iterator[tuple[float, int]]:
    return itertools.product(ratios, range(0, 360, step))


@pytest.mark.parametrize("kind", ["ag", "bc", "bcg", "abc"])
@pytest.mark.parametrize("forward", [True, False])
def test_three_times_pickup_is_seen_within_5_ms_and_with_the_right_direction(kind: str, forward: bool) -> None:
    right = Direction.INTO_B if forward else Direction.INTO_A
    seen_ms = []
    for x_over_r, angle in phases_of():
        scene = waves.fault(kind, 3 * PICKUP_A, x_over_r, forward, source_share=0.3 if forward else 0.0)
        seen = run(waves.samples(scene, BEFORE, 160, angle), earth_mode=EarthMode.OFF)
        seen_ms.append(pickup_ms(seen))
        assert {m.direction for m in seen} <= {Direction.NONE, Direction.UNKNOWN, right}
        assert next(m for m in seen if m.level is Level.PICKUP).direction in (Direction.UNKNOWN, right)
        assert first_ms(seen, lambda m: m.direction is right) <= seen_ms[-1] + 1.0
        assert seen[-1].peak_a == pytest.approx(3 * PICKUP_A, rel=0.13)
        assert seen[-1].p_kw == pytest.approx(3 * PHASE_V * 100 / 1000, rel=0.01), "held from before the fault"
    assert statistics.median(seen_ms) <= 5.0
    assert max(seen_ms) <= 10.0


@pytest.mark.parametrize("multiple", [1.1, 1.5, 2.0])
def test_lower_multiples_are_seen_within_30_ms(multiple: float) -> None:
    for x_over_r, angle in phases_of():
        scene = waves.fault("bc", multiple * PICKUP_A, x_over_r)
        assert pickup_ms(run(waves.samples(scene, BEFORE, 160, angle))) <= 30.0


@pytest.mark.parametrize("kind", ["ag", "abc"])
@pytest.mark.parametrize("load", [0j, -200 + 0j, 300 - 100j])
def test_overreach_is_under_5_per_cent(kind: str, load: complex) -> None:
    for x_over_r, angle in phases_of():
        scene = waves.fault(kind, 0.95 * PICKUP_A, x_over_r, load=load)
        assert pickup_ms(run(waves.samples(scene, BEFORE, 200, angle), earth_mode=EarthMode.OFF)) == math.inf


@pytest.mark.parametrize("kind", ["ag", "bc", "abc"])
@pytest.mark.parametrize("multiple", [1.2, 2.0, 4.0])
def test_every_device_on_the_path_has_started_before_one_picks_up(kind: str, multiple: float) -> None:
    for x_over_r, angle in phases_of(step=45):
        starts, pickups = [], []
        for load in (0j, 200 - 50j, -100 + 20j):
            scene = waves.fault(kind, multiple * PICKUP_A, x_over_r, load=load)
            seen = run(waves.samples(scene, BEFORE, 160, angle), earth_mode=EarthMode.OFF)
            starts.append(first_ms(seen, lambda m: m.level in (Level.START, Level.PICKUP)))
            pickups.append(pickup_ms(seen))
            last = seen[-1]
            assert last.start_us - waves.times(1)[0] == round((BEFORE * STEP_MS + starts[-1] - STEP_MS) * 1000)
            assert last.pickup_us - last.start_us == round((pickups[-1] - starts[-1]) * 1000)
        assert max(starts) <= min(pickups)


@pytest.mark.parametrize(
    ("before", "after"), [(0j, 450 + 0j), (100 + 0j, 430 - 150j), (400 + 0j, -400 + 0j), (450 + 0j, 0j)]
)
def test_load_steps_do_not_pick_up(before: complex, after: complex) -> None:
    for angle, offset in itertools.product(range(0, 360, 30), (True, False)):
        scene = Scene(balanced(before), NOMINAL, balanced(after), NOMINAL, 0.01)
        assert pickup_ms(run(waves.samples(scene, BEFORE, 200, angle, offset=offset))) == math.inf


def inrush(peak_a: float, saturation: float, angle: float, dead_before: bool) -> list[list[int]]:
    """Unipolar current pulses (two phases up, one down) that decay with 0.1 s, from the moment of energising."""
    rows = []
    for n in range(-BEFORE, 800):
        s = n / 4000
        turn = 2 * math.pi * 50 * s
        current, voltage = [], []
        for p in range(3):
            polarity = -1 if p == 1 else 1
            flux = polarity * math.cos(turn - 2 * math.pi * p / 3 + angle)
            pulse = max(0.0, flux - saturation) / (1 - saturation) * polarity * peak_a * math.exp(-s / 0.1)
            current.append(pulse if n >= 0 else 0.0)
            live = n >= 0 or not dead_before
            voltage.append(math.sqrt(2) * PHASE_V * math.cos(turn - 2 * math.pi * p / 3) if live else 0.0)
        rows.append([round(1000 * x) for x in (*current, sum(current))] + [round(100 * x) for x in (*voltage, 0.0)])
    return rows


@pytest.mark.parametrize(("peak_a", "dead_before"), [(1500.0, False), (1500.0, True), (4000.0, True)])
def test_inrush_does_not_pick_up(peak_a: float, dead_before: bool) -> None:
    for saturation, degrees in itertools.product((0.0, 0.3, 0.6), range(0, 360, 90)):
        rows = inrush(peak_a, saturation, math.radians(degrees), dead_before)
        assert pickup_ms(run(rows, earth_mode=EarthMode.OFF)) == math.inf


def test_switching_onto_a_fault_is_seen_within_25_ms() -> None:
    after = waves.fault("abc", 4 * PICKUP_A)
    for angle in range(0, 360, 60):
        seen = run(waves.samples(Scene(NOTHING, NOTHING, after.after_i, after.after_v, 0.025), BEFORE, 200, angle))
        assert pickup_ms(seen) <= 25.0
        assert seen[-1].direction is Direction.INTO_B


@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize("source_share", [0.02, 0.3])
@pytest.mark.parametrize("load", [100 + 0j, -250 + 0j, 250 - 50j])
def test_earth_faults_below_the_phase_pickup(forward: bool, source_share: float, load: complex) -> None:
    right = Direction.INTO_B if forward else Direction.INTO_A
    with_load = (load.real > 0) == forward
    for x_over_r, angle in phases_of((1, 8, 30), 60):
        scene = waves.fault("ag", 360.0, x_over_r, forward, load, rf=10.0, source_share=source_share)
        seen = run(waves.samples(scene, BEFORE, 280, angle))
        assert first_ms(seen, lambda m: m.level is Level.START) <= 10.0
        assert pickup_ms(seen) <= (20.0 if with_load else 55.0)
        assert seen[-1].direction is right
        assert {m.direction for m in seen} <= {Direction.NONE, Direction.UNKNOWN, right}


def interruption(amperes: float, opened: int, noise_a: float, through_a: float = 0.0) -> tuple[list[list[int]], int]:
    """Three poles that clear one after the other, each at its own zero; the sample after the last one has cleared."""
    dice = random.Random(opened)
    rows, cleared, before, last = [], [False] * 3, [0.0] * 3, 0
    for n in range(-BEFORE, 400):
        turn = 2 * math.pi * 50 * n / 4000
        current = []
        for p in range(3):
            wave = math.sqrt(2) * math.cos(turn - 2 * math.pi * p / 3 - 0.3)
            if n >= opened and not cleared[p] and before[p] * wave <= 0:
                cleared[p], last = True, n
            before[p] = wave
            current.append((0.0 if cleared[p] else amperes * wave) + through_a * wave + dice.gauss(0, noise_a))
        voltage = [math.sqrt(2) * PHASE_V * math.cos(turn - 2 * math.pi * p / 3) for p in range(3)]
        rows.append([round(1000 * x) for x in (*current, sum(current))] + [round(100 * x) for x in (*voltage, 0.0)])
    return rows, last


@pytest.mark.parametrize("amperes", [50.0, 400.0, 3000.0])
def test_current_zero_is_confirmed_within_10_ms_of_the_last_pole(amperes: float) -> None:
    for opened in range(0, 80, 9):
        rows, last = interruption(amperes, opened, noise_a=0.5)
        confirmed = next(k for k, m in enumerate(run(rows)) if m.current_zero)
        assert 0 < (confirmed - last) * STEP_MS <= 10.0


def test_a_small_load_is_not_zero_current() -> None:
    one_phase = (20 + 0j, 0j, 0j)
    scene = Scene(one_phase, NOMINAL, one_phase, NOMINAL, 0.01)
    assert not any(m.current_zero for m in run(waves.samples(scene, BEFORE, 200)))


@pytest.mark.parametrize("through_a", [0.0, 50.0, 150.0])
@pytest.mark.parametrize("amperes", [100.0, 200.0, 400.0])
def test_poles_that_clear_one_by_one_are_no_earth_fault(amperes: float, through_a: float) -> None:
    """Neither at the switch (through 0) nor at a device upstream that carries more load."""
    for opened in range(0, 80, 9):
        rows, _ = interruption(amperes, opened, 0.5, through_a)
        assert pickup_ms(run(rows)) == math.inf


def test_voltage_presence_within_one_and_a_half_cycles() -> None:
    load = balanced(50 + 0j)
    lost = run(waves.samples(Scene(load, NOMINAL, NOTHING, NOTHING, 0.01), BEFORE, 200, 20))
    assert first_ms(lost, lambda m: m.live_a is Live.DEAD) <= 30.0
    back = run(waves.samples(Scene(NOTHING, NOTHING, load, NOMINAL, 0.01), BEFORE, 200, 20))
    assert back[0].live_a is Live.DEAD
    assert first_ms(back, lambda m: m.live_a is Live.LIVE) <= 30.0
    residual = balanced(0.17 * PHASE_V)
    assert run(waves.samples(Scene(NOTHING, residual, NOTHING, residual, 0.01), BEFORE, 100))[-1].live_a is Live.DEAD


def test_a_bad_current_transformer_is_no_earth_fault() -> None:
    """A phase fault whose currents add up to 5 % of themselves."""
    scene = waves.fault("bc", 4000.0)
    rows = waves.samples(scene, BEFORE, 200, 45)
    for row in rows[BEFORE:]:
        row[1] = round(row[1] * 1.05)
    healthy = ProtectionConfig("x", 1, phase_pickup_a=6000.0)
    core = ProtectionCore(healthy)
    core.feed(rows, waves.times(len(rows)))
    assert core.measurement().level is Level.QUIET


@pytest.mark.parametrize(("mode", "angle_deg"), [(EarthMode.WATTMETRIC, 0.0), (EarthMode.VARMETRIC, 90.0)])
@pytest.mark.parametrize("forward", [True, False])
def test_earth_alarm_of_isolated_and_compensated_networks(mode: EarthMode, angle_deg: float, forward: bool) -> None:
    displaced = cmath.rect(-PHASE_V, 0.0)
    residual = cmath.rect(15.0 if forward else -15.0, math.radians(angle_deg)) * (-displaced / PHASE_V)
    load = balanced(50 + 0j)
    faulted_i = (load[0] + residual, load[1], load[2])
    faulted_v = (NOMINAL[0] + displaced, NOMINAL[1] + displaced, NOMINAL[2] + displaced)
    scene = Scene(load, NOMINAL, faulted_i, faulted_v, 0.01)
    seen = run(waves.samples(scene, BEFORE, 1000), earth_mode=mode, earth_pickup_a=5.0)
    assert all(m.level is Level.QUIET for m in seen)
    assert seen[-1].earth_alarm is forward


def test_power_flow_is_signed_from_a_to_b() -> None:
    load = balanced(cmath.rect(200.0, math.radians(-30)))
    m = run(waves.samples(Scene(load, NOMINAL, load, NOMINAL, 0.01), BEFORE, 600))[-1]
    assert m.p_kw == pytest.approx(3 * PHASE_V * 200 * math.cos(math.radians(30)) / 1000, rel=1e-3)
    assert m.q_kvar == pytest.approx(3 * PHASE_V * 200 * math.sin(math.radians(30)) / 1000, rel=1e-3)


@pytest.mark.parametrize(
    ("kind", "spoke"),
    [
        ("bc", Element.PHASE_START | Element.PHASE_PICKUP),
        ("ag", Element.PHASE_START | Element.PHASE_PICKUP | Element.EARTH_START | Element.EARTH_PICKUP),
    ],
)
def test_the_elements_that_spoke_are_remembered_until_the_next_episode(kind: str, spoke: Element) -> None:
    core = ProtectionCore(ProtectionConfig("x", 1, phase_pickup_a=PICKUP_A))
    rows = waves.samples(waves.fault(kind, 3 * PICKUP_A, 8), BEFORE, 200)
    rows += waves.samples(Scene(balanced(100), NOMINAL, balanced(100), NOMINAL, 0.01), 0, 400)
    core.feed(rows, waves.times(len(rows)))
    assert core.measurement().level is Level.QUIET
    assert core.phasors().elements == spoke

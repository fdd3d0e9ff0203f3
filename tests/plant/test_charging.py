"""Isolated and compensated networks are charged when a phase breaks down to earth; others keep the waves they had."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from agent.core.config import SvSourceConfig
from agent.core.source import SvSource
from scl import describe
from scl.topology import Feeder, NeutralMode
from simulator.ieds import link
from simulator.ieds.merging_unit import segment
from simulator.plant.events import ClearFault, Effect, NewWaves, OpenDevice, PlantEvent, StrikeFault
from simulator.plant.fault import Fault
from simulator.plant.plant import Plant
from simulator.plant.waves import Waves

START = 1_700_000_000_000_000
MS = 1000
DEMO = describe.read(Path(describe.__file__).parents[1] / "simulator" / "feeders" / "demo.yaml")
NAMES = [d.name for d in DEMO.devices]
UNEARTHED = [NeutralMode.ISOLATED, NeutralMode.COMPENSATED]


def play(feeder: Feeder, *events: tuple[int, PlantEvent]) -> list[Waves]:
    plant = Plant(feeder, START)
    effects: list[Effect] = [NewWaves(plant.waves, ())]
    for at, event in events:
        effects += plant.step(event, START + at)
    effects += plant.advance(START + 400 * MS)
    return [e.waves for e in effects if isinstance(e, NewWaves)]


def struck(neutral: NeutralMode, rf_ohm: float = 0.0, at: str = "Z12", angle: float = 90.0) -> list[Waves]:
    return play(replace(DEMO, neutral=neutral), (0, StrikeFault(Fault("f", at, "ag", rf_ohm=rf_ohm), angle)))


def course(waves: list[Waves], ms: float, step_us: int = 250) -> npt.NDArray[np.float64]:
    """Devices x 8 x samples from the strike on."""
    times = START + np.arange(0, round(ms * MS), step_us)
    which = np.searchsorted([w.start_us for w in waves[1:]], times, side="right")
    return np.stack([waves[k].at(int(t)) for k, t in zip(which, times, strict=True)], axis=-1)


@pytest.mark.parametrize(
    ("neutral", "ohm", "before"),
    [(NeutralMode.SOLID, 0.0, -20079.42945881467), (NeutralMode.RESISTANCE, 20.0, -80928.54090975614)],
)
def test_earthed_networks_keep_their_waves(neutral: NeutralMode, ohm: float, before: float) -> None:
    """A weighted sum over a fault and an opening, taken before there was a transient."""
    feeder = replace(DEMO, neutral=neutral, neutral_resistance_ohm=ohm)
    fault = StrikeFault(Fault("f", "Z12", "ag", rf_ohm=1.0), 60.0)
    waves = play(feeder, (0, fault), (60 * MS, OpenDevice("R11")))[1:]
    values = [w.at(w.start_us + 1234) for w in waves]
    digest = sum(float((v * np.cos(np.arange(v.size)).reshape(v.shape)).sum()) for v in values)
    assert digest == pytest.approx(before, rel=1e-9)
    assert all(w.ring is None for w in waves)


@pytest.mark.parametrize("neutral", UNEARTHED)
@pytest.mark.parametrize("rf_ohm", [0.0, 20.0, 300.0, 2000.0])
def test_nothing_jumps_but_what_instruments_are_too_slow_for(neutral: NeutralMode, rf_ohm: float) -> None:
    waves = struck(neutral, rf_ohm)
    at = waves[-1].start_us
    before, after = waves[0].at(at), waves[-1].at(at)
    ring = waves[-1].ring
    assert ring is not None
    held_back = ring.begins - ring.sizes[:, :3].sum(axis=2).real
    assert np.abs(after[:, :3] - before[:, :3] + held_back).max() < 1e-6
    assert np.abs(after[:, 4:7] - before[:, 4:7]).max() < 0.02 * 8165


@pytest.mark.parametrize("neutral", UNEARTHED)
@pytest.mark.parametrize("rf_ohm", [0.0, 100.0])
def test_the_faulty_feeder_carries_minus_the_sum_of_the_healthy_ones(neutral: NeutralMode, rf_ohm: float) -> None:
    """With what the infeed's coil adds: Q1 carries it, F1 has the fault behind it, F2 is healthy."""
    values = course(struck(neutral, rf_ohm), 30.0)
    infeed, faulty, healthy = (values[NAMES.index(n), 3] for n in ("Q1", "F1", "F2"))
    assert np.abs(infeed - faulty - healthy).max() < 0.05 * np.abs(faulty).max()
    if neutral is NeutralMode.ISOLATED:  # else the coil's current, too, which Q1 brings
        assert np.corrcoef(faulty[:20], healthy[:20])[0, 1] < -0.9


def test_healthy_feeders_take_their_capacitance_times_the_voltage() -> None:
    values = course(struck(NeutralMode.ISOLATED, 50.0), 10.0, 10)
    zones = [z for z in DEMO.zones if z.name in ("Z21", "Z22")]
    farads = 1e-6 * sum(DEMO.sections[s].c0_uf for z in zones for s in z.sections)
    healthy = values[NAMES.index("F2")]
    charge = np.cumsum(healthy[3]) * 10e-6
    assert np.abs(charge - farads * healthy[7]).max() < 0.1 * np.abs(charge).max()


def test_the_charging_swings_at_the_textbook_frequency() -> None:
    """1 / (2 pi sqrt(3 L_T (C_m + C_E))) for a bolted fault at the busbar (Lehtonen and Hakola 1996)."""
    waves = struck(NeutralMode.ISOLATED, at="BB1")
    ring = waves[-1].ring
    assert ring is not None
    inside = [s for z in DEMO.zones if z.name in ("Z11", "Z12", "Z13", "Z21", "Z22") for s in z.sections]
    earth = 1e-6 * sum(DEMO.sections[s].c0_uf for s in inside)
    between = (1e-6 * sum(DEMO.sections[s].c1_uf for s in inside) - earth) / 3
    source = DEMO.sources[0]
    textbook = 1 / np.sqrt(3 * source.x1_ohm / (2 * np.pi * 50) * (earth + between))
    swings = ring.rates[NAMES.index("F2")]
    assert np.abs(swings.imag).max() == pytest.approx(textbook, rel=0.1)
    assert (swings.real <= 0).all()


def test_the_coil_keeps_a_slow_offset_that_healthy_feeders_do_not_see() -> None:
    values = course(struck(NeutralMode.COMPENSATED, angle=0.0), 80.0)
    period = slice(160, 240)  # 40 to 60 ms after the strike at the latest
    faulty, healthy = (abs(values[NAMES.index(n), 3, period].mean()) for n in ("F1", "F2"))
    assert faulty > 1.0
    assert healthy < 0.1 * faulty


@pytest.mark.parametrize("neutral", UNEARTHED)
def test_after_the_fault_the_voltage_falls_in_its_own_time(neutral: NeutralMode) -> None:
    """A trapped charge in an isolated network, a slow swing of coil and capacitance in a compensated one."""
    fault = StrikeFault(Fault("f", "Z12", "ag"), 90.0)
    waves = play(replace(DEMO, neutral=neutral), (0, fault), (100 * MS, ClearFault("f")))
    cleared = next(w for w in waves if w.start_us >= START + 100 * MS)
    device = NAMES.index("F1")
    assert abs(cleared.at(cleared.start_us + 2 * MS)[device, 7]) > 1000.0
    if neutral is NeutralMode.COMPENSATED:
        late = [abs(waves[-1].at(START + t * MS)[device, 7]) for t in range(380, 400)]
        assert 0.0 < max(late) < 3 * 8165 * 0.9


def test_a_merging_unit_says_the_same() -> None:
    waves = struck(NeutralMode.COMPENSATED, 30.0)[-1]
    device = NAMES.index("F1")
    told = link.decode_waves(link.encode_waves(waves, device))
    assert told is not None
    source = SvSource(SvSourceConfig("x", 0x4000))
    source.set_segment(segment(told))
    for after in range(0, 40 * MS, 250):
        counts = np.array(source.wave(waves.start_us + after))
        volts_and_amps = counts * np.array([0.001] * 4 + [0.01] * 4)
        assert np.abs(volts_and_amps - waves.at(waves.start_us + after)[device]).max() < 0.02


def test_two_faults_at_once_have_no_such_transient() -> None:
    first, second = Fault("f", "Z12", "ag"), Fault("g", "Z22", "bg")
    waves = play(
        replace(DEMO, neutral=NeutralMode.ISOLATED), (0, StrikeFault(first, 90.0)), (50 * MS, StrikeFault(second))
    )
    ring = waves[-1].ring
    assert ring is not None
    assert not ring.sizes.any()

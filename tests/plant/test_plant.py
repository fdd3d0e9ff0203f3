"""The plant over time: mechanisms, arcs to current zero, offsets, fuses, DER, sources, and the record of truth."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from radial_feeder import radial

from agent.logic.messages import Position
from scl.topology import Der, DerKind, DeviceKind, Feeder, Load, NeutralMode
from simulator.plant.events import (
    Break,
    ClearFault,
    CloseDevice,
    Effect,
    Failure,
    Moved,
    NewWaves,
    OpenDevice,
    StrikeFault,
    SwitchSource,
    Truth,
)
from simulator.plant.fault import Fault
from simulator.plant.plant import Plant, PlantOptions

START = 1_800_000_000_000_000
MS = 1000
LOADS = (Load("H1", "n2", 1, 600.0, 200.0, 120, 2), Load("H2", "n4", 2, 400.0, 130.0, 80, 1))
STILL = PlantOptions(scatter_us=0, inrush_pu=0.0)


def plant(feeder: Feeder | None = None, options: PlantOptions = STILL) -> Plant:
    made = Plant(feeder or radial(loads=LOADS), START, options)
    made.advance(START)
    return made


def records(effects: list[Effect], kind: str) -> list[Truth]:
    return [e for e in effects if isinstance(e, Truth) and e.kind == kind]


def test_calm_feeder_serves_all_and_says_so_once() -> None:
    calm = Plant(radial(loads=LOADS), START, STILL)
    effects = calm.advance(START)
    assert [e.details for e in records(effects, "demand")] == [
        {"served_kw": 1000.0, "total_kw": 1000.0, "customers": 200, "of_customers": 200}
    ]
    assert {e.details["zone"]: e.details["sources"] for e in records(effects, "zone")} == {
        "S": ["SRC"], "Z1": ["SRC"], "Z2": ["SRC"],
    }  # fmt: skip
    assert calm.advance(START + 10_000 * MS) == []
    reading = calm.measure("R")
    assert reading.p_kw == pytest.approx(400.0, rel=0.03)
    assert abs(reading.voltage_a[0]) == pytest.approx(10_000 / math.sqrt(3), rel=0.02)


def test_breaker_clears_each_pole_at_its_current_zero_and_says_so_later() -> None:
    feeder = plant()
    feeder.step(StrikeFault(Fault("f", "L2", "abc")), START + 1000)
    effects = feeder.step(OpenDevice("R"), START + 20 * MS) + feeder.advance(START + 120 * MS)
    parted = START + 20 * MS + 45 * MS
    cleared = records(effects, "position")
    assert [e.details["poles"].count("C") for e in cleared][-1] == 0
    assert all(parted <= e.time_us <= parted + 25 * MS for e in cleared)
    moved = [e for e in effects if isinstance(e, Moved)]
    assert [(e.position, e.time_us) for e in moved] == [
        (Position.INTERMEDIATE, START + 20 * MS + 22_500),
        (Position.OPEN, parted + 3 * MS),
    ]
    dead = records(effects, "zone")[-1]
    assert dead.details == {"zone": "Z2", "sources": [], "live": False, "faulted": True}
    assert feeder.live[1] == (True, False)


def test_current_is_continuous_except_where_a_pole_is_cut_at_zero() -> None:
    feeder = plant()
    waves = [feeder.waves]
    effects = feeder.step(StrikeFault(Fault("f", "L2", "bcg", 0.7, 0.5), angle_deg=0.0), START + 1234)
    effects += feeder.step(OpenDevice("R"), START + 40 * MS) + feeder.advance(START + 150 * MS)
    waves += [e.waves for e in effects if isinstance(e, NewWaves)]
    assert len(waves) >= 4
    peak = 1.0
    for before, after in pairwise(waves):
        gap = np.abs(before.at(after.start_us) - after.at(after.start_us))[:, :3]
        peak = max(peak, float(np.abs(after.at(after.start_us + 5000)).max()))
        assert gap.max() < 0.005 * peak + 2.0


@pytest.mark.parametrize(("angle", "offset"), [(0.0, 0.95), (90.0, 0.5)])
def test_offset_depends_on_the_point_on_wave(angle: float, offset: float) -> None:
    """Struck at voltage zero the offset is nearly the whole peak, at the crest little of it."""
    feeder = plant(radial())
    feeder.step(StrikeFault(Fault("f", "n1", "ag"), angle_deg=angle), START)
    feeder.advance(START + 20 * MS)
    wave = feeder.waves
    share = abs(wave.dc[0, 0]) / (math.sqrt(2) * abs(wave.phasor[0, 0]))
    assert share > offset if angle == 0.0 else share < offset
    assert wave.dc_tau_s[0, 0] == pytest.approx(0.5 / (2 * math.pi * 50 * 0.05), rel=0.01)


def test_point_on_wave_is_met() -> None:
    feeder = plant(radial())
    struck = next(
        e
        for e in feeder.step(StrikeFault(Fault("f", "n1", "ag"), angle_deg=30.0), START + 777)
        + feeder.advance(START + 30 * MS)
        if isinstance(e, Truth) and e.kind == "fault"
    )
    volts = 10_000 * math.sqrt(2 / 3) * math.cos(2 * math.pi * 50 * ((struck.time_us % 1_000_000) / 1e6))
    assert volts / (10_000 * math.sqrt(2 / 3)) == pytest.approx(0.5, abs=0.001)


@pytest.mark.parametrize(
    ("failure", "poles", "contact"),
    [
        (Failure.FAILS_TO_OPEN, "CCC", Position.CLOSED),
        (Failure.LYING_CONTACT, "CCC", Position.OPEN),
        (Failure.STUCK_POLE_B, "OCO", Position.OPEN),
        (Failure.FROZEN_CONTACT, "OOO", Position.CLOSED),
        (Failure.SLOW, "OOO", Position.OPEN),
    ],
)
def test_what_is_true_and_what_the_contact_says(failure: Failure, poles: str, contact: Position) -> None:
    feeder = plant()
    feeder.step(Break("R", failure), START)
    feeder.step(StrikeFault(Fault("f", "L2", "abc")), START + MS)
    feeder.step(OpenDevice("R"), START + 10 * MS)
    feeder.advance(START + 300 * MS)
    state = feeder.snapshot()["devices"]["R"]
    assert (state["poles"], state["contact"]) == (poles, contact.name.lower())


def test_load_break_switch_above_its_capacity_keeps_conducting_until_someone_else_clears() -> None:
    feeder = plant(radial(loads=LOADS, tail_kind=DeviceKind.LOAD_BREAK_SWITCH))
    feeder.step(StrikeFault(Fault("f", "L2", "abc")), START)
    effects = feeder.step(OpenDevice("R"), START + 10 * MS) + feeder.advance(START + 300 * MS)
    (violation,) = records(effects, "violation")
    assert violation.details["device"] == "R"
    assert violation.details["a"] > 2000
    assert feeder.snapshot()["devices"]["R"]["poles"] == "CCC"
    feeder.step(OpenDevice("Q"), START + 300 * MS)
    effects = feeder.advance(START + 500 * MS)
    assert feeder.snapshot()["devices"]["R"]["poles"] == "OOO"
    assert not feeder.step(CloseDevice("R"), START + 600 * MS)[-1:] or not feeder.mechanisms[1].aim_closed


def test_load_break_switch_opens_load_current_without_complaint() -> None:
    feeder = plant(radial(loads=LOADS, tail_kind=DeviceKind.LOAD_BREAK_SWITCH))
    effects = feeder.step(OpenDevice("R"), START + 10 * MS) + feeder.advance(START + 300 * MS)
    assert records(effects, "violation") == []
    assert feeder.snapshot()["devices"]["R"]["poles"] == "OOO"
    assert records(effects, "demand")[-1].details["served_kw"] == 600.0


def test_closing_onto_a_fault_starts_from_zero_current() -> None:
    feeder = plant()
    feeder.step(OpenDevice("R"), START)
    feeder.advance(START + 200 * MS)
    feeder.step(StrikeFault(Fault("f", "L2", "abc")), START + 200 * MS)
    effects = feeder.step(CloseDevice("R"), START + 210 * MS) + feeder.advance(START + 275 * MS)
    waves = [e.waves for e in effects if isinstance(e, NewWaves)][-1]
    assert waves.start_us == START + 270 * MS
    assert np.abs(waves.at(waves.start_us)[1, :3]).max() < 1e-6
    assert abs(feeder.measure("R").current_a[0]) > 2000
    assert any(e.details["zone"] == "Z2" and e.details["sources"] for e in records(effects, "zone"))


def test_inrush_has_a_second_harmonic_and_decays() -> None:
    options = PlantOptions(scatter_us=0, inrush_pu=4.0, inrush_tau_s=0.1)
    feeder = plant(options=options)
    feeder.step(OpenDevice("R"), START)
    feeder.step(CloseDevice("R"), START + 200 * MS)
    feeder.advance(START + 400 * MS)
    waves = feeder.waves
    assert np.abs(waves.second[1, :3]).max() > 30
    assert abs(waves.second[1, 3]) < 1e-6  # no zero sequence through Dyn transformers
    assert np.allclose(waves.second[0, :3], waves.second[1, :3], rtol=1e-3)  # it comes from the source
    first = np.abs(waves.at(waves.start_us + 10 * MS)[1, :3]).max()
    steady = math.sqrt(2) * np.abs(waves.phasor[1, :3]).max()
    assert np.abs(waves.at(waves.start_us + 1000 * MS)[1, :3]).max() < steady * 1.01
    assert first > 0


def test_fuse_clears_its_lateral_only() -> None:
    loads = (LOADS[0], replace(LOADS[1], fused=True))
    feeder = plant(radial(loads=loads))
    effects = feeder.step(StrikeFault(Fault("f", "H2", "abc", rf_ohm=8.0)), START) + feeder.advance(START + 2000 * MS)
    (blown,) = records(effects, "fuse")
    assert START < blown.time_us < START + 200 * MS
    assert records(effects, "fault")[-1].details == {"fault": "f", "on": False}
    assert feeder.snapshot()["demand"]["served_kw"] == 600.0
    assert feeder.snapshot()["zones"]["Z2"]["live"]


def test_temporary_fault_is_gone_after_its_dead_time_and_not_before() -> None:
    feeder = plant()
    feeder.step(StrikeFault(Fault("f", "L2", "ag", temporary=True, deionise_ms=150.0)), START)
    feeder.step(OpenDevice("R"), START + 10 * MS)
    feeder.advance(START + 180 * MS)
    assert "f" in feeder.faults
    feeder.advance(START + 260 * MS)
    assert "f" not in feeder.faults


def test_a_short_fault_goes_out_at_a_zero() -> None:
    feeder = plant()
    effects = feeder.step(StrikeFault(Fault("f", "L2", "bc", duration_ms=35.0)), START)
    effects += feeder.advance(START + 100 * MS)
    off = records(effects, "fault")[-1]
    assert START + 35 * MS <= off.time_us <= START + 46 * MS


def test_lost_source_darkens_and_der_trips_after_its_ride_through() -> None:
    ders = (
        Der("PV", "n4", 2, DerKind.INVERTER, 400.0, 300.0, trip_time_ms=150.0),
        Der("G", "n2", 1, DerKind.MACHINE, 500.0, 350.0, trip_time_ms=200.0),
    )
    feeder = plant(radial(loads=LOADS, ders=ders))
    before = feeder.measure("Q").p_kw
    assert before == pytest.approx(1000 - 650, rel=0.1)
    effects = feeder.step(SwitchSource("SRC", False), START + 50 * MS)
    assert feeder.live[1][0]  # the machine still holds the island up
    effects += feeder.advance(START + 1000 * MS)
    trips = {e.details["der"]: e.time_us for e in records(effects, "der")}
    assert trips["PV"] == START + 200 * MS
    assert trips["G"] == START + 250 * MS
    assert feeder.live[1] == (False, False)
    zones = feeder.snapshot()["zones"]
    assert not any(z["live"] for z in zones.values())


def test_inverter_rides_through_a_fault_that_is_cleared_in_time() -> None:
    ders = (Der("PV", "n2", 1, DerKind.INVERTER, 400.0, 300.0, trip_time_ms=150.0),)
    feeder = plant(radial(loads=LOADS, ders=ders))
    feeder.step(StrikeFault(Fault("f", "L2", "abc")), START)
    feeder.step(OpenDevice("R"), START + 20 * MS)
    effects = feeder.advance(START + 1500 * MS)
    assert records(effects, "der") == []
    assert feeder.units[0].connected


def test_machine_current_decays_and_it_returns_to_its_set_point() -> None:
    ders = (Der("G", "n2", 1, DerKind.MACHINE, 2000.0, 1000.0, trip_time_ms=400.0),)
    feeder = plant(radial(loads=LOADS, ders=ders))
    calm = abs(feeder.solution.der_a[0, 0])
    feeder.step(StrikeFault(Fault("f", "L2", "abc", 0.2)), START)
    first = abs(feeder.solution.der_a[0, 0])
    feeder.step(OpenDevice("R"), START + 50 * MS)
    feeder.advance(START + 60 * MS)
    later = abs(feeder.solution.der_a[0, 0])
    assert first > 1.2 * calm
    assert later < 0.95 * first
    feeder.advance(START + 3000 * MS)
    assert abs(feeder.solution.der_a[0, 0]) == pytest.approx(calm, rel=0.03)


def test_cold_load_is_larger() -> None:
    feeder = plant(replace(radial(loads=LOADS), cold_load_factor=1.5))
    warm = feeder.measure("R").p_kw
    feeder.step(OpenDevice("R"), START)
    feeder.step(CloseDevice("R"), START + 3000 * MS)
    feeder.advance(START + 4000 * MS)
    assert feeder.measure("R").p_kw == pytest.approx(1.5 * warm, rel=0.03)


def test_repeated_orders_change_nothing() -> None:
    feeder = plant()
    feeder.step(OpenDevice("R"), START)
    for k in range(1, 50):
        effects = feeder.step(OpenDevice("R"), START + k * 4 * MS)
        assert all(not e.details["moves"] for e in records(effects, "order"))
    assert feeder.mechanisms[1].operations == 1


def test_isolated_earth_fault_moves_the_neutral() -> None:
    feeder = plant(radial(NeutralMode.ISOLATED, loads=LOADS, c1_uf=0.3, c0_uf=0.3))
    feeder.step(StrikeFault(Fault("f", "L2", "ag")), START)
    assert abs(feeder.waves.phasor[0, 7]) == pytest.approx(3 * 10_000 / math.sqrt(3), rel=0.05)
    assert abs(feeder.waves.phasor[0, 3]) < 10


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 200),
            st.sampled_from(
                [
                    OpenDevice("Q"),
                    OpenDevice("R"),
                    CloseDevice("Q"),
                    CloseDevice("R"),
                    StrikeFault(Fault("f", "L1", "bcg", 0.4)),
                    StrikeFault(Fault("g", "L2", "ag", temporary=True)),
                    StrikeFault(Fault("h", "n1", "abc", duration_ms=60)),
                    ClearFault("f"),
                    SwitchSource("SRC", False),
                    SwitchSource("SRC", True),
                    Break("Q", Failure.STUCK_POLE_C),
                    Break("R", Failure.LYING_CONTACT),
                ]
            ),
        ),
        max_size=12,
    )
)
def test_any_story_keeps_the_books(story: list[tuple[int, object]]) -> None:
    """Time never runs back, currents stay finite and continuous, zones match the poles that conduct."""
    ders = (Der("PV", "n4", 2, DerKind.INVERTER, 400.0, 300.0), Der("G", "n2", 1, DerKind.MACHINE, 500.0, 350.0))
    feeder = plant(radial(loads=LOADS, ders=ders), PlantOptions(seed=3))
    now, stamps = START, []
    for wait, event in story:
        now += wait * MS
        effects = feeder.step(event, now)  # type: ignore[arg-type]
        stamps += [e.waves.start_us if isinstance(e, NewWaves) else e.time_us for e in effects]
        assert np.isfinite(feeder.waves.at(now)).all()
        poles = np.array([m.conducting for m in feeder.mechanisms])
        assert np.all(feeder.waves.phasor[:, :3][~poles] == 0)
        assert np.all(feeder.waves.dc[:, :3][~poles] == 0)
    assert stamps == sorted(stamps)
    feeder.advance(now + 2000 * MS)
    fed = feeder.sources_on[0] and feeder.mechanisms[0].conducting.any()
    assert bool(feeder.snapshot()["zones"]["Z1"]["sources"]) == bool(fed)

"""The phasor network against closed formulas of sequence networks, and against Kirchhoff."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from radial_feeder import LINE, radial

from scl.topology import Der, DerKind, Load, NeutralMode
from simulator.plant.fault import Fault
from simulator.plant.network import DerState, Network
from simulator.plant.sequence import POSITIVE, ROTATION, to_sequence

A = ROTATION
CLOSED = np.ones((2, 3), dtype=bool)
E = 10_000 / np.sqrt(3)
KINDS = ("ag", "bg", "cg", "ab", "bc", "ac", "abg", "bcg", "acg", "abc", "abcg")


def formula(kind: str, z1: complex, z0: complex, rf: float) -> np.ndarray:
    """Fault currents of phases a, b, c by the sequence-network connections of the textbooks (z2 = z1)."""
    phases = [p for p in kind if p != "g"]
    if len(phases) == 3:
        return E / (z1 + rf) * POSITIVE
    # Worked in the frame where the odd phase is "a", then turned back.
    odd = phases[0] if len(phases) == 1 else next(p for p in "abc" if p not in phases)
    turn = "abc".index(odd)
    e = E * POSITIVE[turn]
    if len(phases) == 1:
        i1 = e / (2 * z1 + z0 + 3 * rf)
        sequence = (i1, i1, i1)
    elif "g" not in kind:
        i1 = e / (2 * z1 + rf)
        sequence = (0, i1, -i1)
    else:
        grounded = z0 + 3 * rf
        i1 = e / (z1 + z1 * grounded / (z1 + grounded))
        sequence = (-i1 * z1 / (z1 + grounded), i1, -i1 * grounded / (z1 + grounded))
    i0, i1, i2 = sequence
    local = np.array([i0 + i1 + i2, i0 + A**2 * i1 + A * i2, i0 + A * i1 + A**2 * i2])
    return np.roll(local, turn)


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.max(np.abs(found - expected)) / np.max(np.abs(expected)))


@pytest.mark.parametrize("rf", [0.0, 3.0])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("at", ["L1", "L2"])
def test_every_fault_kind_matches_its_closed_formula(kind: str, rf: float, fraction: float, at: str) -> None:
    rf_formula = 0.0 if kind == "abcg" else rf  # balanced: nothing flows to earth
    network = Network(radial())
    source = network.feeder.sources[0]
    length = fraction + (at == "L2")
    z1 = complex(source.r1_ohm, source.x1_ohm) + length * complex(LINE.r1_ohm, LINE.x1_ohm)
    z0 = complex(source.r0_ohm, source.x0_ohm) + length * complex(LINE.r0_ohm, LINE.x0_ohm)
    solution = network.solve(CLOSED, [Fault("f", at, kind, fraction, rf)])
    expected = formula(kind, z1, z0, rf_formula)
    assert relative(solution.fault_a[0], expected) < 1e-6
    assert relative(solution.device_a[0], expected) < 1e-6
    assert abs(solution.fault_z1[0] - z1) < 1e-6
    if at == "L2":
        assert relative(solution.device_a[1], expected) < 1e-6
    else:
        assert np.max(np.abs(solution.device_a[1])) < 1e-2


@pytest.mark.parametrize(("resistance", "kind"), [(20.0, "ag"), (20.0, "bcg"), (57.7, "cg")])
def test_neutral_resistance_adds_three_times(resistance: float, kind: str) -> None:
    network = Network(radial(NeutralMode.RESISTANCE, neutral_resistance_ohm=resistance))
    z1, z0 = 0.65 + 1.2j, 0.04 + 0.4j + 3 * resistance + 1.1 + 2.4j
    found = network.solve(CLOSED, [Fault("f", "n2", kind)]).fault_a[0]
    assert relative(found, formula(kind, z1, z0, 0.0)) < 1e-6


def test_isolated_earth_fault_is_capacitive() -> None:
    network = Network(radial(NeutralMode.ISOLATED, c1_uf=0.3, c0_uf=0.3))
    solution = network.solve(CLOSED, [Fault("f", "n2", "ag")])
    capacitive = 3 * E * 2 * np.pi * 50 * 0.6e-6
    assert abs(solution.fault_a[0, 0]) == pytest.approx(capacitive, rel=2e-3)
    assert abs(solution.node_v[0, 1]) == pytest.approx(np.sqrt(3) * E, rel=2e-3)


def test_coil_leaves_a_small_residue() -> None:
    isolated = Network(radial(NeutralMode.ISOLATED, c1_uf=0.3, c0_uf=0.3))
    tuned = Network(radial(NeutralMode.COMPENSATED, c1_uf=0.3, c0_uf=0.3))
    fault = [Fault("f", "L1", "ag")]
    residue = abs(tuned.solve(CLOSED, fault).fault_a[0, 0]) / abs(isolated.solve(CLOSED, fault).fault_a[0, 0])
    assert 0.04 < residue < 0.08  # 5 % reactive with 3 % active


def test_open_poles_carry_nothing_and_the_dead_side_is_dead() -> None:
    load = Load("H", "n4", 2, 600.0, 200.0)
    network = Network(radial(loads=(load,)))
    closed = CLOSED.copy()
    closed[1] = False
    solution = network.solve(closed)
    assert np.max(np.abs(solution.node_v[network.nodes["n4"]])) < 1.0
    assert np.max(np.abs(solution.device_a[1])) == 0.0
    closed[1, 0] = True
    one_pole = network.solve(closed)
    assert np.max(np.abs(one_pole.device_a[1])) < 0.01  # a delta load fed by one phase takes nothing …
    assert abs(one_pole.node_v[network.nodes["n4"], 1]) == pytest.approx(E, rel=0.05)  # … and floats to it


def test_load_takes_its_power_and_no_zero_sequence() -> None:
    network = Network(radial(loads=(Load("H", "n2", 1, 900.0, 300.0),)))
    solution = network.solve(CLOSED)
    power = np.sum(solution.node_v[network.nodes["n2"]] * solution.load_a[0].conj())
    voltage = abs(solution.node_v[network.nodes["n2"], 0]) / E
    assert power == pytest.approx((900e3 + 300e3j) * voltage**2, rel=1e-9)
    earth_fault = network.solve(CLOSED, [Fault("f", "n4", "ag")])
    assert abs(to_sequence(earth_fault.load_a[0])[0]) < 1e-6


def test_inverter_delivers_its_power_and_is_limited_in_a_fault() -> None:
    network = Network(radial(ders=(Der("PV", "n2", 1, DerKind.INVERTER, 400.0, 300.0),)))
    rated = 400e3 / (3 * E)
    state = [DerState(power_va=300e3)]
    calm = network.solve(CLOSED, ders=state)
    power = np.sum(calm.node_v[network.nodes["n2"]] * calm.der_a[0].conj())
    assert power == pytest.approx(300e3, rel=1e-6)
    fault = network.solve(CLOSED, [Fault("f", "n4", "bcg")], ders=state)
    zero, positive, negative = np.abs(to_sequence(fault.der_a[0]))
    assert positive <= 1.2 * rated * (1 + 1e-9)
    assert max(zero, negative) < 1e-9
    assert fault.converged


def test_machine_feeds_the_fault_behind_its_reactance() -> None:
    network = Network(radial(ders=(Der("G", "n2", 1, DerKind.MACHINE, 500.0, 0.0),)))
    reactance = network.machine_reactance(0)
    assert reactance == pytest.approx(0.2 * 100e6 / 500e3)
    closed = CLOSED.copy()
    closed[0] = False
    found = network.solve(closed, [Fault("f", "n2", "abc")], ders=[DerState(emf_v=E, reactance_ohm=reactance)])
    assert abs(found.der_a[0, 0]) == pytest.approx(E / reactance, rel=1e-6)
    assert np.max(np.abs(found.source_a)) < 0.01


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["L1", "L2", "n1", "S"]), st.sampled_from(KINDS), st.floats(0, 1), st.floats(0, 50)),
        max_size=3,
    ),
    st.lists(st.booleans(), min_size=6, max_size=6),
    st.sampled_from(list(NeutralMode)),
)
def test_kirchhoff_holds_for_any_state(
    faults: list[tuple[str, str, float, float]], poles: list[bool], neutral: NeutralMode
) -> None:
    """What enters a zone through devices leaves as load, shunt and fault current; open poles carry nothing."""
    feeder = radial(neutral, loads=(Load("H", "n4", 2, 600.0, 200.0),), c1_uf=0.2, c0_uf=0.2, neutral_resistance_ohm=30)
    network = Network(feeder)
    closed = np.array(poles).reshape(2, 3)
    listed = [Fault(f"f{i}", at, kind, m, rf) for i, (at, kind, m, rf) in enumerate(faults)]
    solution = network.solve(closed, listed)
    assert np.isfinite(solution.node_v).all()
    assert np.all(solution.device_a[~closed] == 0)
    entering = solution.device_a[1]
    drawn = solution.load_a[0] + sum(
        (amps for f, amps in zip(listed, solution.fault_a, strict=True) if f.at == "L2"), np.zeros(3, dtype=complex)
    )
    y_shunt = 1j * network.omega * 0.1e-6
    volts = solution.node_v[network.nodes["n3"]] + solution.node_v[network.nodes["n4"]]
    assert np.max(np.abs(entering - drawn - y_shunt * volts)) < 1e-3
    across = solution.node_v[network.device_node_a] - solution.node_v[network.device_node_b]
    assert np.all(np.abs(across[closed]) < 1e-6)


def test_parallel_ideal_switches_share_evenly() -> None:
    """Two bus couplers side by side: no impedance tells them apart, so each takes half."""
    feeder = radial(loads=(Load("H", "n4", 2, 600.0, 200.0),))
    twice = replace(feeder, devices=(*feeder.devices, replace(feeder.devices[1], name="R2")))
    solution = Network(twice).solve(np.ones((3, 3), dtype=bool))
    assert relative(solution.device_a[1], solution.device_a[2]) < 1e-9
    assert relative(solution.device_a[1] * 2, solution.device_a[0]) < 1e-6


@pytest.mark.parametrize("kind", ["a", "g", "ba", "gg", "ad", ""])
def test_a_kind_that_is_no_fault_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="kind"):
        Fault("f", "L1", kind)


def test_an_unknown_place_is_refused() -> None:
    with pytest.raises(ValueError, match="nowhere"):
        Network(radial()).solve(CLOSED, [Fault("f", "nowhere", "ag")])

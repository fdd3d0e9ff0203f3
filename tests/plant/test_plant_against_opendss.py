"""The phasor network against OpenDSS: the same loaded feeder with cable capacitance, every kind of fault."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from radial_feeder import radial

from scl.topology import Feeder, Load
from simulator.plant.fault import Fault
from simulator.plant.network import Network

dss = pytest.importorskip("opendssdirect", reason="OpenDSS (extra: test) is the peer of this test")
pytestmark = pytest.mark.peer

KINDS = ("ag", "bg", "cg", "ab", "bc", "ac", "abg", "bcg", "acg", "abc", "abcg")
FRACTION = 0.35


def model(feeder: Feeder, fault: Fault) -> Any:
    """Write the feeder with the fault as OpenDSS commands, solve, and return the engine."""
    source = feeder.sources[0]
    kv = feeder.nominal_kv
    lines = [
        "clear",
        f"set defaultbasefrequency={feeder.frequency_hz}",
        f"new circuit.c bus1=n1 basekv={kv} pu=1 angle=0 frequency=50 basefreq=50 "
        f"Z1=[{source.r1_ohm},{source.x1_ohm}] Z0=[{source.r0_ohm},{source.x0_ohm}] "
        f"Z2=[{source.r1_ohm},{source.x1_ohm}]",
    ]

    def line(name: str, a: str, b: str, part: float, s: Any, capacitance: bool) -> str:
        c1, c0 = (s.c1_uf * 1e3, s.c0_uf * 1e3) if capacitance else (0.0, 0.0)
        return (
            f"new line.{name} bus1={a} bus2={b} phases=3 length=1 units=none "
            f"r1={s.r1_ohm * part} x1={s.x1_ohm * part} r0={s.r0_ohm * part} x0={s.x0_ohm * part} c1={c1} c0={c0}"
        )

    first, second = feeder.sections
    lines += [line("l1", "n1", "n2", 1.0, first, True)]
    lines += [line("l2a", "n2", "x", FRACTION, second, False), line("l2b", "x", "n4", 1 - FRACTION, second, False)]
    # Our section lumps its capacitance at its ends; so does this.
    for bus in ("n2", "n4"):
        kvar = 2 * np.pi * 50 * second.c1_uf / 2 * 1e-6 * (kv * 1e3) ** 2 / 1e3
        lines.append(f"new capacitor.c{bus} bus1={bus} phases=3 kv={kv} kvar={kvar}")
    for load in feeder.loads:
        lines.append(
            f"new load.{load.name} bus1={load.node} phases=3 conn=delta kv={kv} kw={load.p_kw} kvar={load.q_kvar} "
            "model=2 vminpu=0 vmaxpu=2"
        )
    phases = [p for p in fault.kind if p != "g"]
    earth = "g" in fault.kind
    number = {"a": 1, "b": 2, "c": 3}
    if len(phases) == 1:
        lines.append(f"new fault.f0 bus1=x.{number[phases[0]]} phases=1 r={max(fault.rf_ohm, 1e-6)}")
    elif len(phases) == 2 and not earth:
        lines.append(
            f"new fault.f0 bus1=x.{number[phases[0]]} bus2=x.{number[phases[1]]} phases=1 r={max(fault.rf_ohm, 1e-6)}"
        )
    else:
        leg = 1e-6 if earth else max(fault.rf_ohm, 1e-6)
        lines += [f"new fault.f{k} bus1=x.{number[p]} bus2=star.1 phases=1 r={leg}" for k, p in enumerate(phases)]
        if earth:
            lines.append(f"new fault.fe bus1=star.1 phases=1 r={max(fault.rf_ohm, 1e-6)}")
    lines += ["set mode=snapshot maxiterations=100 tolerance=1e-9", "solve"]
    for text in lines:
        dss.Text.Command(text)
    assert dss.Solution.Converged()
    return dss


def currents(engine: Any, element: str) -> np.ndarray:
    engine.Circuit.SetActiveElement(element)
    values = np.array(engine.CktElement.Currents())
    return (values[0::2] + 1j * values[1::2])[:3]


@pytest.mark.parametrize("rf", [0.0, 5.0])
@pytest.mark.parametrize("kind", KINDS)
def test_opendss_finds_the_same_currents_and_voltages(kind: str, rf: float) -> None:
    loads = (Load("h1", "n2", 1, 900.0, 300.0), Load("h2", "n4", 2, 500.0, 160.0))
    feeder = radial(loads=loads, c1_uf=0.4, c0_uf=0.4)
    fault = Fault("f", "L2", kind, FRACTION, rf)
    engine = model(feeder, fault)
    ours = Network(feeder).solve(np.ones((2, 3), dtype=bool), [fault])
    scale = np.max(np.abs(ours.device_a[0]))
    assert np.max(np.abs(-currents(engine, "vsource.source") - ours.device_a[0])) / scale < 2e-4
    # Through the tie breaker flows what enters the tapped line plus the capacitance we lump behind it.
    entering = currents(engine, "line.l2a")
    shunt = 0.5e-6j * 2 * np.pi * 50 * 0.4 * ours.node_v[1]
    assert np.max(np.abs(entering + shunt - ours.device_a[1])) / scale < 2e-4
    for bus, node in (("n2", "n2"), ("n4", "n4")):
        engine.Circuit.SetActiveBus(bus)
        values = np.array(engine.Bus.Voltages())
        theirs = values[0::2] + 1j * values[1::2]
        mine = ours.node_v[list(Network(feeder).nodes).index(node)]
        assert np.max(np.abs(theirs - mine)) < 10_000 / np.sqrt(3) * 2e-4

"""The fast plant against hand calculation, and random feeders against their promises."""

from __future__ import annotations

from math import hypot
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scl.topology import Der, DerKind
from simulator.virtual.feeders import SHAPES, random_feeder
from simulator.virtual.plant import DEAD, ISLAND, Fault, Layout, Plant
from tests.simulate import lab


def plant(**more: float) -> Plant:
    return Plant(Layout(lab.feeder(**more)))  # type: ignore[arg-type]


def test_load_flow_sums_down_the_tree() -> None:
    p = plant()
    assert (p.kw[0], p.kw[1], p.kw[3]) == (1_000.0, 500.0, 0.0)
    assert p.source_kva[0] == pytest.approx(hypot(1_000.0, 1_000.0 / 3))
    assert p.amps(0) == pytest.approx(p.source_kva[0] / (3**0.5 * 10))


def test_fault_current_is_thevenins() -> None:
    p = plant()
    p.faults = [Fault(2, 1, 1.0, "abc", 0.0)]
    p.solve()
    z = complex(0.05, 0.5) + complex(0.08, 0.06)  # devices of a zone hang on one node, so only the last section counts
    assert p.fault_a[1] == pytest.approx(10_000 / 3**0.5 / abs(z), rel=1e-3)
    assert p.level(1) == 2
    assert p.fault_a[3] == 0.0
    assert not p.live(2)


def test_an_earth_fault_leaves_voltage() -> None:
    p = plant()
    p.faults = [Fault(2, 1, 0.5, "ag", 0.0)]
    p.solve()
    assert p.live(2)
    assert p.earth[1]


def test_opening_and_closing_move_the_zones() -> None:
    p = plant()
    p.closed[1] = False
    p.solve()
    assert p.root[2] == DEAD
    p.closed[3] = True
    p.solve()
    assert p.root[2] == 1
    assert not p.looped
    p.closed[1] = True
    p.solve()
    assert p.looped


def test_an_island_collapses_unless_its_generators_bear_it() -> None:
    base = lab.feeder()
    for kva, root in ((300.0, DEAD), (900.0, ISLAND)):
        zones = tuple(
            z if z.index != 2 else type(z)(z.index, z.name, z.nodes, z.devices, z.sections, z.loads, (0,), z.sources)
            for z in base.zones
        )
        ders = (Der("G2", "n2", 2, DerKind.MACHINE, kva, 100.0),)
        built = type(base)(
            base.name, 50.0, 10.0, base.neutral, base.devices, zones, base.sections, base.sources, base.loads, ders
        )
        p = Plant(Layout(built))
        p.closed[1] = False
        p.solve()
        assert p.root[2] == root


def test_backfeed_flows_towards_the_fault() -> None:
    base = lab.feeder()
    zones = tuple(
        z if z.index != 2 else type(z)(z.index, z.name, z.nodes, z.devices, z.sections, z.loads, (0,), z.sources)
        for z in base.zones
    )
    ders = (Der("G2", "n2", 2, DerKind.MACHINE, 400.0, 100.0),)
    built = type(base)(
        base.name, 50.0, 10.0, base.neutral, base.devices, zones, base.sections, base.sources, base.loads, ders
    )
    p = Plant(Layout(built))
    p.faults = [Fault(1, 0, 0.5, "abc")]
    p.solve()
    assert p.fault_a[0] > 0  # from the source into Z1
    assert p.fault_a[1] == pytest.approx(-5 * 400.0 / (3**0.5 * 10))  # from Z2 back into Z1


@given(st.integers(0, 10_000), st.integers(3, 40), st.sampled_from(SHAPES))
def test_random_feeders_are_sound(seed: int, switches: int, shape: str) -> None:
    built = random_feeder(Random(seed), switches, shape)
    assert len(built.devices) == switches
    assert [d.name for d in built.devices] == sorted(d.name for d in built.devices)
    for index, d in enumerate(built.devices):
        assert d.zone_a != d.zone_b
        assert index in built.zones[d.zone_a].devices
        assert index in built.zones[d.zone_b].devices
        assert d.node_a in built.zones[d.zone_a].nodes
        assert d.node_b in built.zones[d.zone_b].nodes
    p = Plant(Layout(built))
    assert not p.looped
    assert p.overloads() == []
    assert DEAD not in p.root
    for zone in built.zones:  # every fault is at least twice the pick-up of all that feed it
        if not zone.sections:
            continue
        p.faults = [Fault(zone.index, zone.sections[-1], 1.0, "bc")]
        p.solve()
        at = zone.index
        while p.parent[at] >= 0:
            device = p.parent[at]
            d = built.devices[device]
            assert abs(p.fault_a[device]) >= 2 * d.phase_pickup_a
            at = d.zone_a if d.zone_b == at else d.zone_b

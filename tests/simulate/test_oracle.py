"""Brute force against cases with a known best."""

from __future__ import annotations

from simulator import oracle
from simulator.virtual.plant import Layout, Plant
from tests.simulate import lab


def dead_plant(second_kva: float) -> tuple[Plant, int]:
    """Fault in Z1, isolated: Z2 is dead and healthy."""
    plant = Plant(Layout(lab.feeder(second_kva=second_kva)))
    plant.closed[0] = plant.closed[1] = False
    plant.solve()
    return plant, 1 << 1 | 1 << 2


DEMAND = [(500.0, 500.0 / 3)] * 5


def test_feeds_what_can_be_fed() -> None:
    plant, dead = dead_plant(5_000.0)
    answer = oracle.best(plant, dead, 1 << 1, {0, 1}, DEMAND)
    assert answer.zones == 1 << 2
    assert answer.value == (0.0, 500.0, 0.0)
    assert answer.exact


def test_respects_the_source() -> None:
    plant, dead = dead_plant(900.0)
    assert oracle.best(plant, dead, 1 << 1, {0, 1}, DEMAND).zones == 0


def test_respects_locks_and_faults() -> None:
    plant, dead = dead_plant(5_000.0)
    assert oracle.best(plant, dead, 1 << 1, {0, 1, 3}, DEMAND).zones == 0
    assert oracle.best(plant, dead, 1 << 1 | 1 << 2, {0, 1}, DEMAND).zones == 0
    assert oracle.reachable(plant, dead, 1 << 1, {0, 1}) == 1 << 2


def test_sheds_what_does_not_fit() -> None:
    """Two dead zones in a row behind the tie: both, or only the nearer one, or each from its own side."""
    plant = Plant(Layout(lab.feeder(second_kva=1_700.0)))
    plant.closed[0] = False
    plant.solve()
    both = 1 << 1 | 1 << 2
    demand = [(500.0, 0.0)] * 4 + [(0.0, 0.0)]
    assert oracle.best(plant, both, 0, {0}, demand).zones == both
    demand[2] = (900.0, 0.0)
    assert oracle.best(plant, both, 0, {0}, demand).zones == 1 << 2
    assert oracle.best(plant, both, 0, set(), demand).zones == both
    demand[2] = (1_300.0, 0.0)
    assert oracle.best(plant, both, 0, {0}, demand).zones == 0

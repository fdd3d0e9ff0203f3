"""For each invariant a deliberately broken brain (or rule) is caught, and the real one is not."""

from __future__ import annotations

import pytest

from agent.logic.messages import Action, BreakerCommand, LockRecord, Operate
from scl.topology import Feeder
from simulator.virtual.acceptance import Frame, Gate
from simulator.virtual.brains import BrainLike, real_brain
from simulator.virtual.scenario import Faulty, Happening, Scenario
from simulator.virtual.world import START, Outcome, World
from tests.simulate import lab
from tests.simulate.lab import FAULT_MS, breaking, close_order, fault, scenario


def invariant(outcome: Outcome) -> int:
    return outcome.broken.invariant if outcome.broken else 0


@pytest.mark.parametrize("zone", ["Z1", "Z2", "Z3"])
@pytest.mark.parametrize("kind", ["abc", "bc", "ag"])
def test_the_real_brain_keeps_all(zone: str, kind: str) -> None:
    outcome = World(scenario(fault(zone, kind))).run()
    assert outcome.broken is None
    assert outcome.restored_kw == outcome.restorable_kw


def test_1_closing_onto_the_fault() -> None:
    make = breaking("D2", lab.unlocked, 3_000.0, close_order(3_000.0))
    assert invariant(World(scenario(fault("Z2")), make).run()) == 1


def test_1_is_excused_once_where_a_pickup_is_missing() -> None:
    """D2 swears that it sees nothing: the tie switches onto the fault, once, and that is all."""
    outcome = World(scenario(fault("Z2"), faulty={"D2": Faulty(missing=True)})).run()
    assert outcome.met["energised_onto_fault"] <= 1
    assert outcome.broken is None


def test_2_paralleling() -> None:
    make = breaking("T3", at_ms=1_500.0, say=close_order(1_500.0))
    assert invariant(World(scenario(), make).run()) == 2


def test_3_closing_while_locked() -> None:
    make = breaking("D2", lab.unblocked, 3_000.0, close_order(3_000.0))
    assert invariant(World(scenario(fault("Z2")), make).run()) == 3


def test_4_a_boundary_that_never_opens() -> None:
    assert invariant(World(scenario(fault("Z1")), breaking("D2", lab.never_trips)).run()) == 4


def test_5_nobody_restores() -> None:
    outcome = World(scenario(fault("Z1")), breaking("T3", lab.never_asks)).run()
    assert invariant(outcome) == 5
    assert outcome.restored_kw < outcome.restorable_kw


def test_6_feeding_more_than_the_source_bears() -> None:
    built = lab.feeder(second_kva=700.0)
    make = breaking("T3", at_ms=3_000.0, say=close_order(3_000.0))
    assert invariant(World(scenario(fault("Z1"), built=built), make).run()) == 6
    assert World(scenario(fault("Z1"), built=built)).run().broken is None


@pytest.mark.parametrize("flaw", ["unauthenticated", "replayed", "test", "stale"])
@pytest.mark.parametrize("aim", ["trip", "close", "report"])
def test_7_a_forged_frame(flaw: str, aim: str) -> None:
    class Open(Gate):
        def refusal(self, frame: Frame, last_st: int, now: int) -> str:
            why = super().refusal(frame, last_st, now)
            return "" if why == ("unauthenticated" if flaw == "unauthenticated" else flaw) else why

    attack = scenario(Happening(1_500.0, "forge", device="D2", what=f"{flaw}-{aim}"))
    assert World(attack).run().broken is None
    world = World(attack)
    world.bus.gate = Open()
    assert invariant(world.run()) == 7


def test_8_a_restart_that_trips() -> None:
    again: set[int] = set()

    class Starts(lab.Broken):
        def start(self, now: int) -> list[Action]:
            return self.brain.start(now) + (lab.trip_order() if now > START + 1_000_000 else [])

    def make(built: Feeder, index: int, restored: LockRecord | None) -> BrainLike:
        brain = real_brain(built, index, None)
        again.add(index)
        return Starts(brain, lab.same, 0.0, []) if built.devices[index].name == "D2" else brain

    story = scenario(Happening(1_500.0, "crash", device="D2"), Happening(3_000.0, "restart", device="D2"))
    assert invariant(World(story, make).run()) == 8
    assert World(story).run().broken is None


def test_9_a_switch_that_opens_fault_current() -> None:
    built = lab.feeder(lbs=True)
    story = scenario(fault("Z2"), built=built)
    make = breaking("D2", at_ms=FAULT_MS + 8.0, say=lab.trip_order())
    assert invariant(World(story, make).run()) == 9
    assert World(story).run().broken is None


def test_doing_nothing_is_not_enough() -> None:
    """Brains that sit still break 4 on a fault and 5 on a lost infeed."""

    def still(built: Feeder, index: int, restored: LockRecord | None) -> BrainLike:
        brain: BrainLike = lab.Still()  # type: ignore[assignment]
        return brain

    assert invariant(World(scenario(fault("Z2")), still).run()) == 4
    lost = scenario(Happening(FAULT_MS, "source_loss", source="SRC1"))
    assert invariant(World(lost, still).run()) == 5
    assert World(lost).run().broken is None


def test_same_seed_same_run() -> None:
    story: Scenario = scenario(fault("Z1"), loss=0.1, reorder=0.1, duplicate=0.1)
    first, second = World(story).run(), World(story).run()
    assert first.trace == second.trace
    assert any(n.name == "contact" for n in first.trace)


def test_orders_pass_the_mechanism_only_as_the_contract_says() -> None:
    """Expired or blocked closes do not move; a trip holds."""
    late: list[Action] = [Operate(BreakerCommand(False, 1 << 30, START + 1_400_000))]
    outcome = World(scenario(fault("Z1", at_ms=1_200.0)), breaking("T3", at_ms=1_500.0, say=late)).run()
    assert outcome.broken is None

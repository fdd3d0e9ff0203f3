"""A small feeder, and brains that are broken on purpose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent.logic.messages import Action, BreakerCommand, LockRecord, Operate, Publish, Request
from scl.topology import Device, DeviceKind, Feeder, Load, NeutralMode, Section, Source, Zone
from simulator.virtual.brains import BrainLike, real_brain
from simulator.virtual.scenario import Faulty, Happening, Lan, Scenario
from simulator.virtual.world import START

FAULT_MS = 1_200.0


def device(name: str, a: int, b: int, *, tie: bool = False, lbs: bool = False, opening_ms: float = 45.0) -> Device:
    return Device(
        name, DeviceKind.LOAD_BREAK_SWITCH if lbs else DeviceKind.BREAKER, f"n{a}", f"n{b}", a, b, tie,
        f"{name}_AG", f"{name}_BR", f"{name}_MU", breaking_current_a=630.0 if lbs else 20_000.0,
        opening_time_ms=opening_ms,
    )  # fmt: skip


def feeder(*, lbs: bool = False, second_kva: float = 5_000.0, kw: float = 500.0) -> Feeder:
    """SRC1 - D1 - Z1 - D2 - Z2 - T3 (open) - Z3 - D4 - SRC2; zones 0 to 4 from left to right."""
    devices = (
        device("D1", 0, 1),
        device("D2", 1, 2, lbs=lbs, opening_ms=20.0 if lbs else 45.0),
        device("D4", 4, 3),
        device("T3", 2, 3, tie=True),
    )
    sections = tuple(Section(f"S{z}", f"n{z}", f"n{z}e", z, 500.0, 0.08, 0.06, 0.16, 0.2) for z in (1, 2, 3))
    loads = tuple(Load(f"L{z}", f"n{z}", z, kw, kw / 3, 10, z) for z in (1, 2, 3))
    sources = (
        Source("SRC1", "n0", 0, 0.05, 0.5, 0.06, 0.6, 5_000.0),
        Source("SRC2", "n4", 4, 0.05, 0.5, 0.06, 0.6, second_kva),
    )
    zones = tuple(
        Zone(
            z, name, (f"n{z}",) if z in (0, 4) else (f"n{z}", f"n{z}e"),
            tuple(i for i, d in enumerate(devices) if z in (d.zone_a, d.zone_b)),
            tuple(i for i, s in enumerate(sections) if s.zone == z),
            tuple(i for i, item in enumerate(loads) if item.zone == z), (),
            tuple(i for i, s in enumerate(sources) if s.zone == z), z in (0, 4),
        )
        for z, name in enumerate(("SRC1", "Z1", "Z2", "Z3", "SRC2"))
    )  # fmt: skip
    return Feeder("lab", 50.0, 10.0, NeutralMode.SOLID, devices, zones, sections, sources, loads)


def scenario(*happenings: Happening, built: Feeder | None = None, **more: Any) -> Scenario:
    faulty: dict[str, Faulty] = more.pop("faulty", {})
    return Scenario("lab", 1, built or feeder(), Lan(**more), faulty, happenings)


def fault(zone: str, kind: str = "abc", at_ms: float = FAULT_MS) -> Happening:
    return Happening(at_ms, "fault", zone=zone, section="S" + zone[1:], kind=kind)


class Still:
    """A brain that never does anything."""

    deadline: int | None = None

    def __getattr__(self, name: str) -> Callable[..., list[Action]]:
        return lambda *_: []


class Broken:
    """A real brain whose actions pass through ``mend``, and that speaks up once by itself at ``at_ms``."""

    def __init__(
        self, brain: BrainLike, mend: Callable[[Action], Action | None], at_ms: float, say: list[Action]
    ) -> None:
        self.brain, self.mend, self.say = brain, mend, say
        self.at = START + int(at_ms * 1000)

    @property
    def deadline(self) -> int | None:
        own = self.brain.deadline
        if not self.say:
            return own
        return self.at if own is None else min(own, self.at)

    def evaluated(self, upto_us: int) -> None:
        self.brain.evaluated(upto_us)

    def __getattr__(self, name: str) -> Callable[..., list[Action]]:
        method = getattr(self.brain, name)

        def call(*arguments: Any) -> list[Action]:
            actions = [kept for action in method(*arguments) if (kept := self.mend(action)) is not None]
            if self.say and arguments[-1] >= self.at:
                actions, self.say = actions + self.say, []
            return actions

        return call


def same(action: Action) -> Action:
    return action


def unlocked(action: Action) -> Action:
    """Hides every lock."""
    if isinstance(action, Operate):
        return Operate(action.command._replace(block_close=False))
    if isinstance(action, Publish):
        return Publish(action.report._replace(locked_a=False, locked_b=False))
    return action


def unblocked(action: Action) -> Action:
    """Admits the lock, and does not pass it to the breaker's IED."""
    return Operate(action.command._replace(block_close=False)) if isinstance(action, Operate) else action


def never_trips(action: Action) -> Action:
    return Operate(action.command._replace(trip=False)) if isinstance(action, Operate) else action


def never_asks(action: Action) -> Action:
    return Publish(action.report._replace(request=Request())) if isinstance(action, Publish) else action


def close_order(at_ms: float) -> list[Action]:
    return [Operate(BreakerCommand(False, 1 << 30, START + int(at_ms * 1000) + 100_000))]


def trip_order() -> list[Action]:
    return [Operate(BreakerCommand(True))]


def breaking(
    name: str, mend: Callable[[Action], Action | None] = same, at_ms: float = 0.0, say: list[Action] | None = None
) -> Callable[[Feeder, int, LockRecord | None], BrainLike]:
    """All brains are real but the named device's."""

    def make(built: Feeder, index: int, restored: LockRecord | None) -> BrainLike:
        brain = real_brain(built, index, restored)
        if built.devices[index].name != name:
            return brain
        return Broken(brain, mend, at_ms, list(say or []))

    return make

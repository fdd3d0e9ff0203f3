"""What happens to the plant from outside, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from agent.logic.messages import Position
from simulator.plant.fault import Fault
from simulator.plant.waves import Waves


class Failure(StrEnum):
    """What is wrong with a device's mechanism."""

    FAILS_TO_OPEN = "fails_to_open"
    FAILS_TO_CLOSE = "fails_to_close"
    STUCK_POLE_A = "stuck_pole_a"
    """The shaft opens, and so says the auxiliary contact; this pole does not."""
    STUCK_POLE_B = "stuck_pole_b"
    STUCK_POLE_C = "stuck_pole_c"
    LYING_CONTACT = "lying_contact"
    """Told to open it stays closed, and the auxiliary contact says open."""
    FROZEN_CONTACT = "frozen_contact"
    """The auxiliary contact no longer moves."""
    SLOW = "slow"
    """Takes three times as long to open."""


@dataclass(frozen=True, slots=True)
class OpenDevice:
    """The trip coil is energised."""

    device: str


@dataclass(frozen=True, slots=True)
class CloseDevice:
    """The closing coil is energised."""

    device: str


@dataclass(frozen=True, slots=True)
class Break:
    """A mechanism gets a failure (or loses it: ``repaired``)."""

    device: str
    failure: Failure
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class StrikeFault:
    """A fault begins; ``angle_deg``: wait until phase A's source voltage is this far past its positive-going zero."""

    fault: Fault
    angle_deg: float | None = None


@dataclass(frozen=True, slots=True)
class ClearFault:
    """Someone removes the fault."""

    name: str


@dataclass(frozen=True, slots=True)
class SwitchSource:
    """The supply behind an infeed is lost or comes back."""

    source: str
    on: bool


@dataclass(frozen=True, slots=True)
class SwitchDer:
    """A DER is tripped (transfer trip) or connected again."""

    der: str
    on: bool


@dataclass(frozen=True, slots=True)
class ScaleLoad:
    """Demand of one load becomes ``factor`` times what the description says."""

    load: str
    factor: float


PlantEvent = OpenDevice | CloseDevice | Break | StrikeFault | ClearFault | SwitchSource | SwitchDer | ScaleLoad


class NewWaves(NamedTuple):
    """All instruments see these waves from their start on; ``live`` is what voltage indicators see per side."""

    waves: Waves
    live: tuple[tuple[bool, bool], ...]


class Moved(NamedTuple):
    """The auxiliary contacts of a device changed (what its IED can know; the truth may differ)."""

    time_us: int
    device: int
    position: Position


class Truth(NamedTuple):
    """One line for the record of what really happened; kinds in ``docs/explanation/plant.md``."""

    time_us: int
    kind: str
    details: dict[str, Any]


Effect = NewWaves | Moved | Truth

"""The mechanism of one switching device: shaft, three poles, auxiliary contact; and what may be broken about it."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import numpy as np

from agent.logic.messages import Position
from scl.topology import Device
from simulator.plant.events import Failure

_STUCK = (Failure.STUCK_POLE_A, Failure.STUCK_POLE_B, Failure.STUCK_POLE_C)


class Step(NamedTuple):
    """Something the mechanism does at a time; valid while its generation is the mechanism's."""

    time_us: int
    action: str
    """``part``, ``touch`` or ``contact``."""
    generation: int
    position: Position = Position.BAD


class Mechanism:
    """State of one device. A pole that has parted conducts on (arc) until the plant finds it a current zero."""

    def __init__(self, device: Device, scatter_us: int) -> None:
        closed = not device.normally_open
        self.device = device
        self.scatter_us = scatter_us
        self.aim_closed = closed
        self.conducting = np.full(3, closed)
        self.arcing = np.zeros(3, dtype=bool)
        self.contact = Position.CLOSED if closed else Position.OPEN
        self.failures: set[Failure] = set()
        self.generation = 0
        self.operations = 0
        self.damaged = False

    def _spread(self, random: Random) -> int:
        return random.randint(-self.scatter_us, self.scatter_us)

    def open(self, now_us: int, random: Random) -> list[Step]:
        """The trip coil is energised: what follows. Nothing if the shaft is open, or cannot move."""
        if not self.aim_closed or self.damaged or Failure.FAILS_TO_OPEN in self.failures:
            return []
        factor = 3 if Failure.SLOW in self.failures else 1
        parted = now_us + round(self.device.opening_time_ms * 1000 * factor) + self._spread(random)
        if Failure.LYING_CONTACT in self.failures:
            return [Step(parted + 3000, "contact", self.generation, Position.OPEN)]
        self.aim_closed = False
        self.generation += 1
        self.operations += 1
        return [
            Step((now_us + parted) // 2, "contact", self.generation, Position.INTERMEDIATE),
            Step(parted, "part", self.generation),
            Step(parted + 3000, "contact", self.generation, Position.OPEN),
        ]

    def close(self, now_us: int, random: Random) -> list[Step]:
        """The closing coil is energised. Refused while it arcs, is damaged, or closed already."""
        if self.aim_closed or self.damaged or self.arcing.any() or Failure.FAILS_TO_CLOSE in self.failures:
            return []
        touched = now_us + round(self.device.closing_time_ms * 1000) + self._spread(random)
        self.aim_closed = True
        self.generation += 1
        self.operations += 1
        return [
            Step((now_us + touched) // 2, "contact", self.generation, Position.INTERMEDIATE),
            Step(touched, "touch", self.generation),
            Step(touched + 2000, "contact", self.generation, Position.CLOSED),
        ]

    def part(self) -> None:
        """The contacts separate: every pole that is not stuck arcs."""
        stuck = np.array([f in self.failures for f in _STUCK])
        self.arcing = self.conducting & ~stuck

    def touch(self) -> None:
        """The contacts meet."""
        self.conducting[:] = True
        self.arcing[:] = False

    def cleared(self, pole: int) -> None:
        """The pole's arc goes out."""
        self.arcing[pole] = False
        self.conducting[pole] = False

    def show(self, position: Position) -> bool:
        """The auxiliary contact reaches this position; False if it is frozen or shows it already."""
        if Failure.FROZEN_CONTACT in self.failures or self.contact is position:
            return False
        self.contact = position
        return True

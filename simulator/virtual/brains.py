"""What the simulator needs of a brain, and how brains come to be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from agent.logic.brain import Brain
from agent.logic.messages import Action, BreakerStatus, Command, LockRecord, Measurement, Report
from scl.topology import Feeder


class BrainLike(Protocol):
    """What the simulator needs of a brain (``agent.logic.brain.Brain``, or one broken on purpose)."""

    @property
    def deadline(self) -> int | None: ...
    def start(self, now: int) -> list[Action]: ...
    def measure(self, measurement: Measurement, now: int) -> list[Action]: ...
    def breaker(self, status: BreakerStatus, now: int) -> list[Action]: ...
    def report(self, peer: int, report: Report, now: int) -> list[Action]: ...
    def peer_lost(self, peer: int, now: int) -> list[Action]: ...
    def latched(self, record: LockRecord, ok: bool, now: int) -> list[Action]: ...
    def command(self, command: Command, now: int) -> list[Action]: ...
    def timer(self, now: int) -> list[Action]: ...
    def evaluated(self, upto_us: int) -> None: ...


MakeBrain = Callable[[Feeder, int, LockRecord | None], BrainLike]
"""How brains come to be: feeder, device index, what was on disk."""


def real_brain(feeder: Feeder, device: int, restored: LockRecord | None) -> BrainLike:
    """The brain of the agents."""
    return Brain(feeder, device, None, restored)

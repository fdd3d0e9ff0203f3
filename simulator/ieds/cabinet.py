"""The brain of a breaker's IED, without I/O: orders of its agent in, coil orders and a status out.

Its rules, in order:

- *Trip* is a state: while the order says trip, the opening coil is energised again every ``REPEAT_US`` until the
  auxiliary contact says open. A trip is never refused.
- *Block* is taken over from every order and retained on disk, so that it outlives a loss of GOOSE and of power. If the
  file cannot be read, it starts blocked; the next order of its agent says what holds.
- *Close* is one shot: once when ``close_number`` grows beyond what was seen, while nothing speaks against it. The first
  order after a start only tells the number; so do orders with a smaller number (an agent without memory).
- A close order that is refused is spent. It is not kept for later.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from agent.logic.messages import BreakerCommand, BreakerStatus, Direction, Level, Live, Position

REPEAT_US = 20_000
HURRY_US = 500_000
"""A mechanism that has not reached its end after this time is not healthy."""


class Coil(StrEnum):
    """What the plant understands."""

    OPEN = "open"
    CLOSE = "close"


class Retained(NamedTuple):
    """What survives a loss of power."""

    block_close: bool
    close_number: int | None


class Outcome(NamedTuple):
    """What a step asks for: coil orders, something to put on disk, words for the record."""

    coils: tuple[Coil, ...] = ()
    retain: bool = False
    """What is retained has changed."""
    notes: tuple[str, ...] = ()


class Cabinet:
    """State of one breaker's IED. ``retained`` None: the file could not be read."""

    def __init__(self, retained: Retained | None) -> None:
        self._retained = retained or Retained(True, None)
        self._order = BreakerCommand(block_close=self._retained.block_close)
        self._heard = False
        self._position = Position.BAD
        self._live = (Live.UNKNOWN, Live.UNKNOWN)
        self._local = False
        self._operations = 0
        self._healthy = True
        self._relay = (Level.QUIET, Direction.NONE)
        self._energised_us: int | None = None
        """When the opening coil was last energised for the present trip."""
        self._moving_since_us: int | None = None

    @property
    def retained(self) -> Retained:
        """What must survive."""
        return self._retained

    @property
    def status(self) -> BreakerStatus:
        """What is published."""
        return BreakerStatus(
            self._position,
            self._live[0],
            self._live[1],
            self._local,
            self._retained.block_close,
            self._healthy,
            self._operations,
            self._relay[0],
            self._relay[1],
        )

    @property
    def deadline(self) -> int | None:
        """When to call :meth:`timer`."""
        due = []
        if self._energised_us is not None:
            due.append(self._energised_us + REPEAT_US)
        if self._moving_since_us is not None and self._healthy:
            due.append(self._moving_since_us + HURRY_US)
        return min(due, default=None)

    def order(self, command: BreakerCommand, now_us: int) -> Outcome:
        """An authentic order of the agent, not test, not replayed."""
        before, self._order = self._order, command
        seen = self._retained.close_number
        first = not self._heard
        self._heard = True
        notes: list[str] = []
        coils: list[Coil] = []
        fresh = seen is not None and command.close_number > seen and not first
        retain = Retained(command.block_close, command.close_number)
        changed = retain != self._retained
        self._retained = retain
        if command.trip:
            if not before.trip or first:
                notes.append("trip")
            coils += self._trip(now_us)
        else:
            self._energised_us = None
        if fresh:
            refusal = self._refusal(command, now_us)
            if refusal:
                notes.append(f"close refused: {refusal}")
            else:
                notes.append("close")
                coils.append(Coil.CLOSE)
                self._moving_since_us = now_us
        if command.block_close != before.block_close:
            notes.append("close blocked" if command.block_close else "close released")
        return Outcome(tuple(coils), changed, tuple(notes))

    def _refusal(self, command: BreakerCommand, now_us: int) -> str:
        if command.trip:
            return "trip stands"
        if command.block_close:
            return "blocked"
        if now_us >= command.close_expiry_us:
            return "order expired"
        if self._local:
            return "local"
        if self._position is not Position.OPEN:
            return f"position {self._position.name.lower()}"
        if not self._healthy:
            return "mechanism not healthy"
        return ""

    def _trip(self, now_us: int) -> list[Coil]:
        if self._position is Position.OPEN:
            self._energised_us = None
            return []
        if self._energised_us is not None and now_us < self._energised_us + REPEAT_US:
            return []
        if self._energised_us is None:
            self._moving_since_us = now_us
        self._energised_us = now_us
        return [Coil.OPEN]

    def moved(self, position: Position, now_us: int) -> Outcome:
        """The auxiliary contacts changed."""
        if position is self._position:
            return Outcome()
        known = self._position is not Position.BAD
        self._position = position
        if position is Position.INTERMEDIATE:
            self._moving_since_us = self._moving_since_us or now_us
        else:
            self._moving_since_us = None
            self._healthy = True
            self._operations += known
        coils = self._trip(now_us) if self._order.trip and self._heard else []
        return Outcome(tuple(coils), False, (f"position {position.name.lower()}",))

    def voltage(self, live_a: bool, live_b: bool) -> None:
        """The voltage indicators (VPIS) of both sides."""
        self._live = (Live.LIVE if live_a else Live.DEAD, Live.LIVE if live_b else Live.DEAD)

    def relay(self, level: Level, direction: Direction) -> None:
        """The conventional protection in this cabinet has changed its mind."""
        self._relay = (level, direction)

    def switch_local(self, local: bool) -> None:
        """The key on the panel."""
        self._local = local

    def timer(self, now_us: int) -> Outcome:
        """Energise the coil again, or notice that the mechanism does not arrive."""
        coils: list[Coil] = []
        notes: tuple[str, ...] = ()
        if self._energised_us is not None and now_us >= self._energised_us + REPEAT_US:
            coils = self._trip(now_us)
        if self._moving_since_us is not None and self._healthy and now_us >= self._moving_since_us + HURRY_US:
            self._healthy = False
            notes = ("mechanism did not arrive",)
        return Outcome(tuple(coils), False, notes)

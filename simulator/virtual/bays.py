"""Breaker IEDs and mechanisms of all devices: orders in, contact movement with its times and failures out.

An IED acts on the state it was last told: ``trip`` opens and keeps open, a grown ``close_number`` closes once if the
order has not expired, nothing blocks it and the switch stands open. Close-block is retained until an order takes it
away. Contacts part after the opening time; current flows on until its next zero (up to half a cycle).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.logic.messages import BreakerCommand, BreakerStatus, Direction, Level, Live, Position
from simulator.virtual.scenario import Faulty

if TYPE_CHECKING:
    from simulator.virtual.world import World

STILL, OPENING, CLOSING = 0, 1, 2
HALF_CYCLE = 10_000


class Bays:
    """See the module; one entry per device in every list."""

    def __init__(self, world: World) -> None:
        self.world = world
        count = world.count
        closed = world.plant.closed
        self.position = [Position.CLOSED if c else Position.OPEN for c in closed]
        self.block = [False] * count
        self.trip = [False] * count
        self.close_number = [0] * count
        self.motion = [STILL] * count
        self.token = [0] * count
        self.operations = [0] * count
        self.vpis = [(Live.LIVE, Live.LIVE)] * count
        self.relay: list[tuple[Level, Direction]] = [(Level.QUIET, Direction.NONE)] * count
        nothing = Faulty()
        self.faulty = [world.scenario.faulty.get(d.name, nothing) for d in world.feeder.devices]
        self.opening = [int(d.opening_time_ms * 1000) for d in world.feeder.devices]
        self.closing = [int(d.closing_time_ms * 1000) for d in world.feeder.devices]

    def order(self, now: int, device: int, command: BreakerCommand, sent: int) -> None:
        """The agent's order has arrived."""
        blocked = self.block[device]
        self.block[device] = command.block_close
        wanted = command.close_number > self.close_number[device]
        self.close_number[device] = max(self.close_number[device], command.close_number)
        was, self.trip[device] = self.trip[device], command.trip
        if command.trip:
            if self.motion[device] == CLOSING:
                self.token[device] += 1
                self.motion[device] = STILL
            if not was and self.motion[device] == STILL:
                self._open(now, device, sent)
        elif (
            wanted
            and not blocked
            and not command.block_close
            and now <= command.close_expiry_us
            and self.motion[device] == STILL
            and self.position[device] is Position.OPEN
        ):
            self._close(now, device, sent, command.close_number)
        if blocked != command.block_close:
            self._tell(now, device)

    def _open(self, now: int, device: int, sent: int) -> None:
        world = self.world
        if self.position[device] is Position.OPEN and not world.plant.closed[device]:
            return
        world.monitor.opening(now, device, sent)
        if self.faulty[device].fails_to_open:
            world.met["failed_to_open"] += 1
            return
        self.motion[device] = OPENING
        self.token[device] += 1
        world.at(now + self.opening[device], self._part, device, self.token[device])

    def _part(self, now: int, device: int, token: int) -> None:
        if token != self.token[device]:
            return
        world = self.world
        if self.faulty[device].lying_contact:
            world.met["lying_contact"] += 1
            self.motion[device] = STILL
            self._at(now, device, Position.OPEN)
            return
        amps = world.plant.amps(device)
        world.monitor.parting(now, device, amps)
        if amps > world.layout.zero_a[device]:
            self._at(now, device, Position.INTERMEDIATE)
            world.at(now + int(world.random() * HALF_CYCLE), self._interrupted, device, token)
        else:
            self._interrupted(now, device, token)

    def _interrupted(self, now: int, device: int, token: int) -> None:
        if token != self.token[device]:
            return
        self.motion[device] = STILL
        self.operations[device] += 1
        self._at(now, device, Position.OPEN)
        self.world.contact(now, device, False)

    def _close(self, now: int, device: int, sent: int, number: int) -> None:
        world = self.world
        world.monitor.closing(now, device, sent, number)
        if self.faulty[device].fails_to_close:
            world.met["failed_to_close"] += 1
            return
        self.motion[device] = CLOSING
        self.token[device] += 1
        world.at(now + self.closing[device], self._made, device, self.token[device])

    def _made(self, now: int, device: int, token: int) -> None:
        if token != self.token[device]:
            return
        self.motion[device] = STILL
        self.operations[device] += 1
        self._at(now, device, Position.CLOSED)
        self.world.contact(now, device, True)

    # --- what it says ------------------------------------------------------------------------------------------------

    def _at(self, now: int, device: int, position: Position) -> None:
        self.position[device] = position
        self._tell(now, device)

    def saw(self, now: int, device: int, live_a: Live, live_b: Live) -> None:
        """Voltage presence has changed."""
        if (live_a, live_b) != self.vpis[device]:
            self.vpis[device] = (live_a, live_b)
            self._tell(now, device)

    def flags(self, now: int, device: int, level: Level, direction: Direction) -> None:
        """The relay in the same IED (device without SV) has changed its mind."""
        if (level, direction) != self.relay[device]:
            self.relay[device] = (level, direction)
            self._tell(now, device)

    def says(self, device: int) -> BreakerStatus:
        """Its present status."""
        live_a, live_b = self.vpis[device]
        level, direction = self.relay[device]
        return BreakerStatus(
            self.position[device], live_a, live_b, False, self.block[device], True, self.operations[device], level,
            direction,
        )  # fmt: skip

    def _tell(self, now: int, device: int) -> None:
        self.world.bus.status(device, self.says(device), now)

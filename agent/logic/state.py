"""All that one brain remembers: its peers' last reports, its own measurements, locks, request and grants.

One mutable object, owned by one :class:`agent.logic.brain.Brain`; the rules (``locate``, ``isolate``, ``agree``, …) are
functions over it. It holds no socket, clock or thread, so a deep copy is a snapshot and a replay gives the same steps.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.logic.config import BrainConfig
from agent.logic.grid import Grid
from agent.logic.messages import (
    Action,
    BreakerStatus,
    Command,
    Direction,
    Event,
    Level,
    Live,
    Measurement,
    Position,
    Report,
    Request,
)

NEVER = 1 << 62


@dataclass(slots=True)
class Grant:
    """An agreement given to one request: binds until the request is withdrawn, or its lease ends."""

    request: Request
    until: int
    path: bool
    """True: given as an element of the live path (capacity); False: as a bound of a zone to be energised."""


@dataclass(slots=True)
class Reservation:
    """Capacity still set aside for a step just carried out, until measured flow contains it."""

    p_kw: float
    q_kvar: float
    until: int


@dataclass(slots=True)
class Recent:
    """A step that a requester has just carried out: its load is on these devices before their reports say so."""

    devices: int
    source_zone: int
    zones: int
    p_kw: float
    q_kvar: float
    until: int


class State:
    """See the module. Times are microseconds; zone and device sets are bit masks."""

    def __init__(self, grid: Grid, me: int, config: BrainConfig) -> None:
        self.grid = grid
        self.me = me
        self.config = config
        self.zone_a, self.zone_b = grid.sides[me]
        self.actions: list[Action] = []
        # What peers say.
        self.peers: list[Report | None] = [None] * grid.count
        self.fresh: list[bool] = [False] * grid.count
        self.seen: list[int] = [-1] * grid.count
        """Number of each peer's claim already dealt with; -1: never heard."""
        self.last_report: Report | None = None
        # What this device measures and does.
        self.measurement = Measurement(level=Level.BLIND)
        self.level = Level.BLIND
        self.direction = Direction.NONE
        self.upto = 0
        self.status = BreakerStatus()
        self.breaker_fresh = False
        self.block_known = False
        """Has the breaker's IED told, since our start, whether it holds a block? An unknown one is obeyed."""
        self.live_a = Live.UNKNOWN
        self.live_b = Live.UNKNOWN
        self.dead_since = 0
        self.time_good = True
        self.started = 0
        self.ready_at = NEVER
        # Claims and locks.
        self.claim_number = 0
        self.claim_zones = 0
        self.claim_us = 0
        self.claim_final = True
        self.locked_a = False
        self.locked_b = False
        self.latched = False
        self.latch_pending = False
        self.held = 0
        """Zones released by a person: energised again by a person's order only."""
        self.tagged = False
        self.automation = True
        # Opening.
        self.trip = False
        self.trip_us = 0
        self.clearing = False
        self.guard_until = 0
        """We tripped while a close was under way: not confirmed open before it could have ended."""
        self.isolate_since = 0
        """Since when we want to be open, and (LBS) wait for current zero; 0: we do not."""
        self.failed = False
        self.backup_at = NEVER
        self.operate_dirty = False
        # Closing.
        self.close_number = 0
        self.close_expiry = 0
        self.close_at = 0
        """When the close was ordered; 0: none under way."""
        self.close_zones = 0
        self.close_failures = 0
        self.closed_at = 0
        self.onto_fault = False
        self.command: Command | None = None
        self.opening: Command | None = None
        """An ordered opening that waits for what the samples say …"""
        self.open_at = NEVER
        """… until then."""
        self.shots = 0
        self.shots_since = 0
        self.reclose_at = NEVER
        self.reclose_ok_at = NEVER
        # Agreement.
        self.request = Request()
        self.request_number = 0
        self.request_since = 0
        self.retry_at = 0
        self.shed_for = (-1, 0)
        """The peer and number of the request that our device opened for, and stays open."""
        self.tries = 0
        self.recent: list[Recent] = []
        self.asking: set[int] = set()
        """Peers with a request outstanding."""
        self.grants: dict[int, Grant] = {}
        self.reservations: list[Reservation] = []
        self.tell: dict[int, int] = {}
        """Neighbours that picked up, and the sample time that our answer must reach."""
        self.decided = True
        """The present episode has led to a claim, or needs none."""
        self.doubt = 0
        """Dead zones that may hold the fault of our last episode: nobody could say in time, nobody has claimed them."""
        self.suspect = 0
        """The zone that our last episode passed through and that took most of its current: in doubt once it is dead."""
        self.watched = 0
        """Those of our zones that we see live, or saw die: only for them can we say that no fault current entered."""
        self.picked = False
        """The present or last episode reached pick-up."""
        self.noticed = 0
        """When our episode, or the peer's pick-up that makes our start count, came to our notice."""
        self.peer_pickup = 0
        """Sample time at which a peer last reported a new pick-up."""
        self.paths: dict[int, list[tuple[int, int]] | None] = {}
        """How live zones are fed, as long as no position changes."""
        self.version = 0
        """Counts changes of the picture; a plan is made once per version."""
        self.planned = -1
        self.plannable_since = 0
        """Since when the dead section beside us could be planned for."""
        self.unsettled_since = 0
        """Since when plans have met zones that may look different in a moment; 0: the picture is settled."""
        self.dark: tuple[tuple[int, str], ...] = ()
        self.known: dict[int, tuple[float, float]] = {}
        """Net demand of each zone when it was last live and quiet: P kW, Q kvar."""
        self.candidates: dict[int, int] = {}
        """Zones whose flows have changed, and when to look whether that has lasted."""
        self.adopt_at = NEVER
        self.explained = -1
        """The picture that was last explained."""
        self.explain_at = NEVER
        """When to say why a section beside us is still dark, if nobody is about to feed it."""
        self.load_p = 0.0
        self.load_q = 0.0
        self.steady_since = 0
        self.died: dict[int, int] = {}
        self.revived: dict[int, int] = {}
        """When zones last came back to life: their load is not what it was."""
        self.last_move = 0
        """When we last saw any device's position change."""
        self.moved_at = 0
        """Last change of position, or end of an episode."""
        self.load_at = NEVER
        self.latch_retry = NEVER

    # --- questions everyone asks -------------------------------------------------------------------------------------

    @property
    def position(self) -> Position:
        """Our device's position, BAD while its IED is silent."""
        return self.status.position if self.breaker_fresh else Position.BAD

    @property
    def ready(self) -> bool:
        """Past the start-up silence, with a live breaker IED."""
        return self.ready_at == 0 and self.breaker_fresh

    @property
    def active(self) -> bool:
        """A fault episode lasts."""
        return Level.START <= self.level <= Level.PICKUP

    @property
    def tell_at(self) -> int:
        """The earliest of these sample times."""
        return min(self.tell.values(), default=NEVER)

    @property
    def hushed(self) -> bool:
        """A start alone, while nobody has picked up: load may do that. A frame for each of them would only keep
        everyone busy just when answers are wanted."""
        return (
            self.level is Level.START
            and self.time_good
            and not self.picked
            and not any(
                fresh and report is not None and report.level is Level.PICKUP
                for report, fresh in zip(self.peers, self.fresh, strict=True)
            )
        )

    @property
    def asked(self) -> int:
        """From when on a neighbour's silence counts: our pick-up, or the peer's that makes our start count.

        A start is eager and comes at uneven times, but everywhere on the path before the first pick-up.
        """
        if self.level is Level.START:
            return max(self.measurement.start_us, self.peer_pickup)
        return self.measurement.pickup_us or self.measurement.start_us

    def live_on(self, zone: int) -> Live:
        """Voltage on one of our own two zones, as we see it."""
        return self.live_a if zone == self.zone_a else self.live_b

    def is_open(self, device: int) -> bool:
        """Is the device known to be open? A silent peer's last word counts: nobody closes without our grant."""
        if device == self.me:
            return self.position is Position.OPEN and not self.failed
        report = self.peers[device]
        return report is not None and report.position is Position.OPEN and not report.failed

    def surely_open(self, device: int) -> bool:
        """The same, and not about to close: its request or close may be ahead of its position."""
        if device == self.me:
            return self.is_open(device) and not self.close_at
        report = self.peers[device]
        return self.is_open(device) and report is not None and not report.request.number

    def report_of(self, device: int) -> Report | None:
        """The newest report of a device, our own included; None if never heard."""
        return self.last_report if device == self.me else self.peers[device]

    def faulted(self) -> int:
        """Zones that anyone, at any time not yet released, has found faulted or holds locked; silent peers count."""
        mask = self.claim_zones
        if self.locked_a:
            mask |= 1 << self.zone_a
        if self.locked_b:
            mask |= 1 << self.zone_b
        sides = self.grid.sides
        for index, report in enumerate(self.peers):
            if report is not None:
                mask |= report.claim_zones
                if report.locked_a:
                    mask |= 1 << sides[index][0]
                if report.locked_b:
                    mask |= 1 << sides[index][1]
        return mask

    def emit(self, name: str, now: int, *details: tuple[str, str | int | float | bool]) -> None:
        """Put an event on the record."""
        self.actions.append(Event(name, now, details))

"""A rehearsal before the protection begins: faults that are not there, on a wire that leads nowhere.

An interpreter runs a line that it has run often several times faster than one that it meets for the first time: from
Python 3.11 on code is specialised after some passes, and its memory is in reach. A protection device meets its most
important lines once in a year (measured: the first time takes ten times as long). So every start plays some faults,
ours and a neighbour's, through the same functions: codec, authentication, brain, publisher. Nothing of it remains but
the experience: brain, numbers and frames are thrown away.
"""

from __future__ import annotations

from agent.goose.dataset import report_data_set
from agent.goose.link import Received
from agent.goose.publisher import Publisher
from agent.logic.messages import (
    BreakerCommand,
    BreakerStatus,
    CommandResult,
    Direction,
    Level,
    Live,
    LockRecord,
    Measurement,
    Position,
    Report,
)
from agent.station.config import AgentConfig, brain_maker
from agent.station.engine import Details, Engine
from agent.station.wire import StationWire, goose_keys

ROUNDS = 16
"""Specialisation begins after eight passes, and a round takes one way of four; it costs some milliseconds."""
READY_US = 700_000
LOAD_KW = 100.0
FAULT_A = 3_000.0


def position(agent: AgentConfig, device: int) -> Position:
    """Where a device normally is."""
    return Position.OPEN if agent.feeder.devices[device].normally_open else Position.CLOSED


def well(agent: AgentConfig, device: int, upto_us: int) -> Report:
    """What a device's agent says when nothing is the matter there."""
    return Report(
        position(agent, device), Level.QUIET, upto_us=upto_us, live_a=Live.LIVE, live_b=Live.LIVE, p_kw=LOAD_KW,
        ready=True,
    )  # fmt: skip


def quiet(now: int) -> Measurement:
    """What the core says when nothing is the matter."""
    return Measurement(Level.QUIET, upto_us=now - 1_000, current_zero=False, p_kw=LOAD_KW, live_a=Live.LIVE)


def beside(agent: AgentConfig) -> list[int]:
    """Devices heard of that share a zone with the agent's own."""
    devices = agent.feeder.devices
    own = {devices[agent.device].zone_a, devices[agent.device].zone_b}
    heard = (peer.device for peer in agent.reports_in)
    return [device for device in heard if {devices[device].zone_a, devices[device].zone_b} & own]


class _Nowhere:
    """A link without a wire; also the outbox of the rehearsal."""

    address = bytes(6)

    def __init__(self, played: set[str]) -> None:
        self.wire: StationWire | None = None
        self.played = played

    def fileno(self) -> int:
        return -1

    def send(self, payload: bytes, group: str = "") -> bool:
        return True

    def receive(self) -> list[Received]:
        return []

    def close(self) -> None:
        """Nothing to close."""

    def operate(self, command: BreakerCommand, now: int) -> None:
        assert self.wire is not None
        self.wire.operate(command, now)

    def publish(self, report: Report, now: int) -> None:
        assert self.wire is not None
        self.wire.publish(report, now)

    def latch(self, serial: int, record: LockRecord) -> None:
        """Nothing is written."""

    def result(self, result: CommandResult) -> None:
        """Nobody has asked."""

    def event(self, name: str, t_us: int, details: Details) -> None:
        """Nothing has happened, but that the line was run."""
        self.played.add(name)


class _Play:
    """One agent, its neighbours as publishers, and a clock that is moved by hand."""

    def __init__(self, agent: AgentConfig, now: int, played: set[str]) -> None:
        nowhere = _Nowhere(played)
        self.agent = agent
        self.now = now
        self.wire = nowhere.wire = StationWire(agent, {}, nowhere)
        self.engine = Engine(brain_maker(agent), None, nowhere, lambda: self.now)
        reports = report_data_set(len(agent.feeder.zones), len(agent.feeder.devices))
        keys = goose_keys(agent)
        self.peers = {peer.device: Publisher(peer.stream, reports, keys) for peer in agent.reports_in}

    def hear(self, device: int, report: Report) -> None:
        """A neighbour says something, authenticated."""
        self.wire.rehearse(self.peers[device].publish(report, self.now), self.now, self.engine)

    def begin(self) -> None:
        """Everybody is well and the feeder carries load."""
        both = BreakerStatus(position(self.agent, self.agent.device), Live.LIVE, Live.LIVE)
        self.engine.start(self.now)
        self.engine.breaker(both, self.now)
        self.engine.measured(quiet(self.now), self.now, force=True)
        for device in self.peers:
            self.hear(device, self.well(device))
        self.now += READY_US
        self.engine.measured(quiet(self.now), self.now, force=True)
        self.engine.timer(self.now)

    def well(self, device: int) -> Report:
        return well(self.agent, device, self.now - 1_000)

    def ours(self, direction: Direction) -> None:
        """We pick up, nobody else does: claim, trip, open."""
        start = self.now - 1_500
        running = Measurement(
            Level.START, direction, start, 0, self.now - 1_000, FAULT_A, False, LOAD_KW, 0.0, Live.LIVE
        )
        self.engine.measured(running, self.now)
        risen = running._replace(level=Level.PICKUP, pickup_us=start + 500)
        self.engine.measured(risen, self.now)
        self.now += 4_000
        self.engine.measured(risen._replace(upto_us=self.now - 1_000), self.now)
        for device in self.peers:
            self.hear(device, self.well(device))
        self.end(start)

    def neighbours(self, device: int) -> None:
        """A neighbour picks up, asks, and claims the zone between us."""
        own, theirs = (self.agent.feeder.devices[i] for i in (self.agent.device, device))
        start = self.now - 1_500
        into_b = theirs.zone_b in (own.zone_a, own.zone_b)
        zone = theirs.zone_b if into_b else theirs.zone_a
        direction = Direction.INTO_B if into_b else Direction.INTO_A
        report = self.well(device)._replace(
            level=Level.PICKUP, direction=direction, start_us=start, upto_us=self.now - 1_000, peak_a=FAULT_A
        )
        self.hear(device, report)
        self.now += 3_000
        self.engine.measured(quiet(self.now), self.now, force=True)
        self.engine.timer(self.now)
        claim = report._replace(claim_number=9, claim_zones=1 << zone, claim_us=self.now, locked_b=True)
        self.hear(device, claim)
        self.end(0)

    def end(self, start: int) -> None:
        """The current goes, the breaker opens, the section is dead."""
        self.now += 60_000
        gone = Measurement(
            Level.QUIET, Direction.NONE, start, self.now - 5_000 if start else 0, self.now - 1_000, live_a=Live.DEAD
        )
        self.engine.measured(gone, self.now)
        self.engine.breaker(BreakerStatus(Position.OPEN, Live.LIVE, Live.DEAD), self.now)
        for _ in range(3):
            self.now += 40_000
            self.engine.measured(gone._replace(upto_us=self.now - 1_000), self.now)
            self.engine.timer(self.now)
            self.wire.timer(self.now, self.engine)


def rehearse(agent: AgentConfig, now: int, rounds: int = ROUNDS) -> frozenset[str]:
    """Play. ``now``: µs UTC; nothing is sent, written or remembered. Returns the names of the events played."""
    played: set[str] = set()
    near = beside(agent)
    for number in range(rounds):
        play = _Play(agent, now - 5_000_000, played)
        play.begin()
        if number % 2 or not near:
            play.ours(Direction.INTO_B if number % 4 == 1 else Direction.INTO_A)
        else:
            play.neighbours(near[number // 2 % len(near)])
    return frozenset(played)

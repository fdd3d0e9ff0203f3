"""What happened, put together from the record: states of the plant over time and the moments that count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from agent.goose import frame as ethernet
from agent.goose import session
from agent.goose.codec import CodecError, Pdu, decode
from agent.goose.tap import Packet
from scl.flisr_dataset import OPER_CONTROL
from scl.topology import DeviceKind, Feeder
from simulator.demo.follow import Line

STALE_US = 1_000


class Trip(NamedTuple):
    """The first frame of a trip order on the wire."""

    t_us: int
    device: str


class Snapshot(NamedTuple):
    """The plant between two records."""

    t_us: int
    closed: frozenset[str]
    fed: frozenset[str]
    live: frozenset[str]


def goose(packet: Packet) -> Pdu | None:
    """The GOOSE message of a packet (Ethernet, or UDP in IPv4); None if it is something else."""
    octets = packet.frame
    try:
        if octets[:1] == b"\x45":
            return decode(session.parse(octets[28:]).apdu)
        return decode(ethernet.parse(octets).apdu)
    except (CodecError, ValueError, IndexError):
        return None


def trips(packets: Sequence[Packet], agents: dict[str, str]) -> list[Trip]:
    """First frames of trip orders, from the capture. ``agents``: IED name to device."""
    tripping: dict[str, bool] = {}
    found = []
    for packet in packets:
        pdu = goose(packet)
        if pdu is None or not pdu.gocb_ref.endswith(OPER_CONTROL) or not pdu.data:
            continue
        ied = next((name for name in agents if pdu.gocb_ref.startswith(name)), None)
        if ied is None:
            continue
        trip = bool(pdu.data[0].value)
        if trip and not tripping.get(ied, False):
            found.append(Trip(packet.t_us, agents[ied]))
        tripping[ied] = trip
    return found


@dataclass(slots=True)
class Course:
    """The run, replayed from its lines."""

    feeder: Feeder
    lines: list[Line]
    inception_us: int = 0
    history: list[Snapshot] = field(default_factory=list)
    zones: dict[str, dict[str, Any]] = field(default_factory=dict)
    poles: dict[str, str] = field(default_factory=dict)
    blown: set[str] = field(default_factory=set)
    faults: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Faults that are there now, by name."""
    ever_faulted: dict[str, set[str]] = field(default_factory=dict)
    """Zone: names of its faults."""
    trips: list[Trip] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.poles = {d.name: "OOO" if d.normally_open else "CCC" for d in self.feeder.devices}
        for line in self.lines:
            if line.source == "plant":
                self._replay(line)

    def _replay(self, line: Line) -> None:
        details = line.details
        match line.name:
            case "zone":
                self.zones[details["zone"]] = details
            case "position":
                self.poles[details["device"]] = details["poles"]
            case "fuse":
                self.blown.add(details["load"])
            case "fault" if details["on"]:
                self.faults[details["fault"]] = details
                self.ever_faulted.setdefault(details["zone"], set()).add(details["fault"])
                self.inception_us = self.inception_us or line.t_us
            case "fault":
                self.faults.pop(details["fault"], None)
            case "source" if not details["on"]:
                self.inception_us = self.inception_us or line.t_us
            case _:
                return
        self.history.append(self._snapshot(line.t_us))

    def _snapshot(self, t_us: int) -> Snapshot:
        fed = frozenset(name for name, zone in self.zones.items() if zone["sources"])
        live = frozenset(name for name, zone in self.zones.items() if zone["live"])
        closed = frozenset(name for name, poles in self.poles.items() if "C" in poles)
        return Snapshot(t_us, closed, fed, live)

    # --- questions ---------------------------------------------------------------------------------------------------

    def agents(self, *names: str) -> list[Line]:
        """Agents' events of these names from the first happening on."""
        return [
            x for x in self.lines if x.source == "agent" and x.name in names and x.t_us >= self.inception_us - STALE_US
        ]

    def ms(self, t_us: int | None) -> float | None:
        """Milliseconds from the first happening."""
        return None if t_us is None or not self.inception_us else round((t_us - self.inception_us) / 1000, 3)

    @property
    def faulted(self) -> frozenset[str]:
        """Zones with a fault at the end."""
        return frozenset(details["zone"] for details in self.faults.values())

    @property
    def open_now(self) -> frozenset[str]:
        """Devices with no conducting pole at the end."""
        return frozenset(name for name, poles in self.poles.items() if "C" not in poles)

    @property
    def locked(self) -> frozenset[str]:
        """Devices whose agent says locked out at the end."""
        state: set[str] = set()
        for line in self.lines:
            if line.source == "agent" and line.name == "lockout":
                state.add(line.device)
            elif line.source == "agent" and line.name == "released":
                state.discard(line.device)
        return frozenset(state)

    def lost_zones(self) -> frozenset[str]:
        """Zones that had a source at the beginning and none at some moment after."""
        before = self._before()
        after = [s for s in self.history if s.t_us >= self.inception_us]
        return frozenset(zone for zone in before for s in after if zone not in s.fed)

    def _before(self) -> frozenset[str]:
        first = [s for s in self.history if s.t_us < self.inception_us]
        return first[-1].fed if first else frozenset(z.name for z in self.feeder.zones)

    def dark(self) -> frozenset[str]:
        """Zones without supply at the end, the faulted ones included."""
        fed = self.history[-1].fed if self.history else frozenset()
        return frozenset(z.name for z in self.feeder.zones if z.name not in fed) | self.faulted

    def load(self, zones: frozenset[str], but_blown: bool = False) -> tuple[float, int]:
        """kW and customers of zones."""
        chosen = [
            load
            for load in self.feeder.loads
            if self.feeder.zones[load.zone].name in zones and not (but_blown and load.name in self.blown)
        ]
        return sum(x.p_kw for x in chosen), sum(x.customers for x in chosen)

    # --- the moments -------------------------------------------------------------------------------------------------

    def pickup_us(self) -> int | None:
        """The first pick-up that an agent reports."""
        return min((x.t_us for x in self.agents("pickup")), default=None)

    def breaker_trips(self) -> list[Trip]:
        """Trips of breakers for the first isolation: those before any load-break switch or reclosing."""
        end = min((x.t_us for x in self.agents("close", "request")), default=None)
        kinds = {d.name: d.kind for d in self.feeder.devices}
        return [
            trip
            for trip in self.trips
            if kinds[trip.device] is DeviceKind.BREAKER
            and trip.t_us >= self.inception_us
            and (not end or trip.t_us < end)
        ]

    def isolated_us(self) -> int | None:
        """When every faulted zone had all its boundaries open for the first time."""
        wanted = [z for z in self.feeder.zones if z.name in self.ever_faulted]
        if not wanted:
            return None
        boundary = {self.feeder.devices[i].name for z in wanted for i in z.devices}
        opened = {d.name for d in self.feeder.devices if d.normally_open}
        last: int | None = None
        for line in self.lines:
            if line.source == "plant" and line.name == "position" and line.details["poles"] == "OOO":
                opened.add(line.details["device"])
                if boundary <= opened and last is None:
                    last = line.t_us
        if last is None:
            # A wider isolation than the zone's own boundary: dead for good counts.
            names = {z.name for z in wanted}
            dead = [s for s in self.history if s.t_us >= self.inception_us and not names & s.fed]
            last = dead[0].t_us if dead else None
        return last

    def lockout_us(self) -> int | None:
        """The last first announcement of a lock-out to the neighbours."""
        first: dict[str, int] = {}
        for line in self.agents("lockout_announced"):
            if line.details.get("locked_a") or line.details.get("locked_b"):
                first.setdefault(line.device, line.t_us)
        if not first:
            for line in self.agents("lockout"):
                first.setdefault(line.device, line.t_us)
        return max(first.values(), default=None)

    def restored_us(self) -> int | None:
        """When the last healthy zone that had been dark got its supply back."""
        last: int | None = None
        before: frozenset[str] = self._before()
        for snapshot in self.history:
            if snapshot.t_us < self.inception_us:
                continue
            if snapshot.fed - before - self.faulted:
                last = snapshot.t_us
            before = snapshot.fed
        return last

"""A bench for brains: an ideal network, a plant of positions and voltages, one event queue. Small on purpose.

``simulator.virtual`` is the laboratory with loss, chaos and invariants; here a test names every cause itself.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

from agent.logic.brain import Brain, BrainConfig
from agent.logic.messages import (
    Action,
    BreakerCommand,
    BreakerStatus,
    Command,
    CommandKind,
    CommandResult,
    Direction,
    Event,
    Latch,
    Level,
    Live,
    LockRecord,
    Measurement,
    Operate,
    Position,
    Publish,
)
from scl.topology import Der, DerKind, Device, DeviceKind, Feeder, Load, NeutralMode, Section, Source, Zone

MS = 1000
DELAY = 300
SAMPLES_LATE = 1_250
BACKFEED_A = 200.0
FAULT_A = 3_000.0


def feeder(
    switches: dict[str, tuple[str, str, str]],
    sources: tuple[str, ...],
    loads: dict[str, float] | None = None,
    ders: dict[str, float] | None = None,
    fused: tuple[str, ...] = (),
    reclose: dict[str, tuple[float, ...]] | None = None,
    rating_a: float = 400.0,
    priorities: dict[str, int] | None = None,
) -> Feeder:
    """Build a feeder from {name: (zone_a, zone_b, "cb" | "lbs" | "cb open" | "lbs open")}."""
    names = sorted({z for a, b, _ in switches.values() for z in (a, b)})
    index = {name: i for i, name in enumerate(names)}
    devices = []
    for name in sorted(switches):
        a, b, kind = switches[name]
        breaker = kind.startswith("cb")
        devices.append(
            Device(
                name, DeviceKind.BREAKER if breaker else DeviceKind.LOAD_BREAK_SWITCH, f"{a}.n", f"{b}.n",
                index[a], index[b], kind.endswith("open"), f"{name}_AG", f"{name}_BR", f"{name}_MU",
                breaking_current_a=20_000.0 if breaker else 630.0,
                reclose_dead_times_ms=(reclose or {}).get(name, ()),
            )
        )  # fmt: skip
    sections = tuple(
        Section(f"{z}.s", f"{z}.n", f"{z}.m", index[z], 1000, 0.2, 0.3, 0.4, 0.9, rating_a=rating_a) for z in names
    )
    load_tuple = tuple(
        Load(f"{z}.l", f"{z}.n", index[z], kw, kw * 0.3, 100, (priorities or {}).get(z, 3), z in fused)
        for z, kw in sorted((loads or {}).items())
    )
    source_tuple = tuple(Source(f"{z}.g", f"{z}.n", index[z], 0.05, 0.5, 0.05, 0.5, 15_000) for z in sources)
    der_tuple = tuple(
        Der(f"{z}.d", f"{z}.n", index[z], DerKind.MACHINE, kva, kva * 0.5) for z, kva in sorted((ders or {}).items())
    )
    zones = tuple(
        Zone(
            i, name, (f"{name}.n", f"{name}.m"),
            tuple(d for d, dev in enumerate(devices) if i in (dev.zone_a, dev.zone_b)),
            (i,),
            tuple(k for k, load in enumerate(load_tuple) if load.zone == i),
            tuple(k for k, der in enumerate(der_tuple) if der.zone == i),
            tuple(k for k, source in enumerate(source_tuple) if source.zone == i),
        )
        for i, name in enumerate(names)
    )  # fmt: skip
    return Feeder(
        "lab", 50.0, 10.0, NeutralMode.SOLID, tuple(devices), zones, sections, source_tuple, load_tuple, der_tuple
    )


class Lab:
    """Brains, breakers and a plant under one virtual clock (microseconds)."""

    def __init__(self, net: Feeder, config: BrainConfig | None = None) -> None:
        self.net = net
        self.now = 1_000_000
        self.queue: list[tuple[int, int, Callable[[], None]]] = []
        self.count = 0
        self.config = config or BrainConfig()
        self.closed = [not d.normally_open for d in net.devices]
        self.moving = [0] * len(net.devices)
        self.stuck: set[int] = set()
        self.silent: set[int] = set()
        self.faults: set[int] = set()
        self.source_on = dict.fromkeys((s.zone for s in net.sources), True)
        self.orders = [BreakerCommand()] * len(net.devices)
        self.log: list[tuple[int, str, Event | CommandResult]] = []
        self.brains = [Brain(net, i, self.config) for i in range(len(net.devices))]
        self.statuses: list[BreakerStatus | None] = [None] * len(net.devices)
        self.measured = [Measurement() for _ in net.devices]
        self.timers = [0] * len(net.devices)
        self.energised_history: list[tuple[int, frozenset[int]]] = []
        for i, brain in enumerate(self.brains):
            self.act(i, brain.start(self.now))
        self.plant()
        self.run(1_500 * MS)

    # --- time ---
    def at(self, delay: int, what: Callable[[], None]) -> None:
        self.count += 1
        heappush(self.queue, (self.now + delay, self.count, what))

    def run(self, duration: int) -> None:
        end = self.now + duration
        while self.queue and self.queue[0][0] <= end:
            self.now, _, what = heappop(self.queue)
            what()
        self.now = end

    # --- brains ---
    def act(self, i: int, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Publish(report):
                    for peer in range(len(self.brains)):
                        if peer != i and not {i, peer} & self.silent:
                            self.at(DELAY, lambda p=peer, r=report: self.hear(p, i, r))  # type: ignore[misc]
                case Operate(command):
                    self.at(DELAY, lambda c=command: self.order(i, c))  # type: ignore[misc]
                case Latch(record):
                    self.at(2 * MS, lambda r=record: self.latched(i, r))  # type: ignore[misc]
                case Event() | CommandResult():
                    self.log.append((self.now, self.net.devices[i].name, action))
        self.arm(i)

    def arm(self, i: int) -> None:
        deadline = self.brains[i].deadline
        if deadline is not None and self.timers[i] != deadline:
            self.timers[i] = deadline
            self.at(max(deadline - self.now, 0), lambda: self.tick(i, deadline))

    def tick(self, i: int, deadline: int) -> None:
        if self.timers[i] == deadline and i not in self.silent:
            self.timers[i] = 0
            self.brains[i].evaluated(self.now - SAMPLES_LATE)
            self.act(i, self.brains[i].timer(self.now))

    def hear(self, i: int, peer: int, report: object) -> None:
        if i not in self.silent:
            self.brains[i].evaluated(self.now - SAMPLES_LATE)
            self.act(i, self.brains[i].report(peer, report, self.now))  # type: ignore[arg-type]

    def latched(self, i: int, record: LockRecord) -> None:
        self.act(i, self.brains[i].latched(record, True, self.now))

    def kill(self, name: str) -> None:
        """The agent dies; its peers notice."""
        dead = self.net.device_index[name]
        self.silent.add(dead)
        for i, brain in enumerate(self.brains):
            if i != dead:
                self.act(i, brain.peer_lost(dead, self.now))

    def command(self, name: str, kind: CommandKind, local: bool = True) -> None:
        i = self.net.device_index[name]
        self.act(i, self.brains[i].command(Command(kind, 1, "test", local), self.now))

    # --- breakers ---
    def order(self, i: int, command: BreakerCommand) -> None:
        before, self.orders[i] = self.orders[i], command
        device = self.net.devices[i]
        if command.trip and self.closed[i] and i not in self.stuck and self.moving[i] != 1:
            self.moving[i] = 1
            self.at(int(device.opening_time_ms * MS), lambda: self.moved(i, False))
        allowed = not command.trip and not command.block_close and self.now <= command.close_expiry_us
        if command.close_number > before.close_number > 0 and allowed and not self.closed[i]:
            self.moving[i] = 2
            self.at(int(device.closing_time_ms * MS), lambda: self.moved(i, True))

    def moved(self, i: int, closed: bool) -> None:
        if (self.moving[i] == 1) != closed:
            self.moving[i] = 0
            self.closed[i] = closed
            self.plant()

    # --- plant ---
    def fault(self, zone: str) -> None:
        self.faults.add(next(z.index for z in self.net.zones if z.name == zone))
        self.plant()

    def heal(self, zone: str) -> None:
        self.faults.discard(next(z.index for z in self.net.zones if z.name == zone))
        self.plant()

    def island(self, start: int, without: int = -1) -> set[int]:
        seen = {start}
        queue = [start]
        for zone in queue:
            for d in self.net.zones[zone].devices:
                device = self.net.devices[d]
                if d != without and self.closed[d]:
                    far = device.zone_b if device.zone_a == zone else device.zone_a
                    if far not in seen:
                        seen.add(far)
                        queue.append(far)
        return seen

    def fed(self, zones: set[int]) -> bool:
        return any(self.source_on.get(z) for z in zones)

    def energised(self) -> set[str]:
        return {
            z.name for z in self.net.zones if self.fed(self.island(z.index)) and not self.island(z.index) & self.faults
        }

    def load_of(self, zones: set[int]) -> float:
        return sum(load.p_kw for load in self.net.loads if load.zone in zones)

    def plant(self) -> None:
        """New truth: tell every device what it sees, as late as it really would."""
        for i, device in enumerate(self.net.devices):
            side_a, side_b = self.island(device.zone_a, i), self.island(device.zone_b, i)
            source_a, source_b = self.fed(side_a), self.fed(side_b)
            der_a = any(d.zone in side_a for d in self.net.ders)
            der_b = any(d.zone in side_b for d in self.net.ders)
            direction, amps, p = Direction.NONE, 0.0, 0.0
            if self.closed[i]:
                if source_a and side_b & self.faults:
                    direction, amps = Direction.INTO_B, FAULT_A
                elif source_b and side_a & self.faults:
                    direction, amps = Direction.INTO_A, FAULT_A
                elif der_a and side_b & self.faults and source_b:
                    direction, amps = Direction.INTO_B, BACKFEED_A
                elif der_b and side_a & self.faults and source_a:
                    direction, amps = Direction.INTO_A, BACKFEED_A
                elif source_a:
                    p = self.load_of(side_b)
                elif source_b:
                    p = -self.load_of(side_a)
            all_a = side_a | side_b if self.closed[i] else side_a
            all_b = side_a | side_b if self.closed[i] else side_b
            faulted = bool(direction)
            live_a = Live.LIVE if self.fed(all_a) else Live.DEAD
            live_b = Live.LIVE if self.fed(all_b) else Live.DEAD
            self.see(i, direction, amps if faulted else 0.0, p, live_a)
            status = BreakerStatus(Position.CLOSED if self.closed[i] else Position.OPEN, live_a, live_b)
            if status != self.statuses[i]:
                self.statuses[i] = status
                late = 5 * MS if self.statuses[i] else 0
                self.at(late, lambda k=i, s=status: self.tell(k, s))  # type: ignore[misc]

    def tell(self, i: int, status: BreakerStatus) -> None:
        if i not in self.silent:
            self.act(i, self.brains[i].breaker(status, self.now))

    def see(self, i: int, direction: Direction, amps: float, p: float, live_a: Live) -> None:
        old = self.measured[i]
        runs = old.level is Level.PICKUP
        if direction and not runs:
            new = Measurement(
                Level.PICKUP, direction, self.now + 4 * MS, 0, self.now + 4 * MS, amps, False, old.p_kw, 0.0, live_a
            )
            late = 4 * MS + SAMPLES_LATE
        elif not direction and runs:
            new = old._replace(
                level=Level.QUIET,
                direction=Direction.NONE,
                end_us=self.now + 8 * MS,
                current_zero=p == 0.0,
                p_kw=p,
                live_a=live_a,
            )
            late = 8 * MS + SAMPLES_LATE
        else:
            zero = p == 0.0 and not direction
            new = old._replace(p_kw=p if not direction else old.p_kw, current_zero=zero, live_a=live_a)
            late = 8 * MS
        if new != old:
            self.measured[i] = new
            self.at(late, lambda: self.sample(i, new))

    def sample(self, i: int, new: Measurement) -> None:
        if i not in self.silent:
            self.act(i, self.brains[i].measure(new._replace(upto_us=self.now - SAMPLES_LATE), self.now))

    # --- questions ---
    def open_devices(self) -> set[str]:
        return {d.name for i, d in enumerate(self.net.devices) if not self.closed[i]}

    def locked(self) -> set[str]:
        return {b.state.grid.devices[i].name for i, b in enumerate(self.brains) if b.state.locked_a or b.state.locked_b}

    def events(self, name: str) -> list[str]:
        return [device for _, device, e in self.log if isinstance(e, Event) and e.name == name]

    def story(self) -> str:
        return "\n".join(f"{(t - 2_500_000) / 1000:9.2f} {d:4} {e}" for t, d, e in self.log)

"""One run: virtual clock, brains, bays, bus, plant and the judge, joined by a heap of events.

Nothing here knows real time or order of hashing: the same scenario gives the same run, event by event. The run ends at
the first broken invariant, or when things have had time to settle after the last happening.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any, NamedTuple

from agent.logic.brain import LOCKED_UNREADABLE
from agent.logic.messages import (
    Action,
    BreakerStatus,
    Command,
    CommandKind,
    CommandResult,
    Event,
    Latch,
    LockRecord,
    Measurement,
    Operate,
    Publish,
    Report,
)
from simulator.invariants import Broken, Monitor
from simulator.virtual.bays import Bays
from simulator.virtual.brains import BrainLike, MakeBrain, real_brain
from simulator.virtual.lan import Bus
from simulator.virtual.plant import DEAD, ISLAND, Fault, Layout, Plant
from simulator.virtual.scenario import Happening, Scenario
from simulator.virtual.sensing import MU_DELAY, Sensing

START = 1_000_000_000
"""Virtual time at which a run begins, µs: not 0, which means "never" in a report."""
SETTLE_MS = 9_000.0
EVALUATED = MU_DELAY + 400
"""So far behind are the samples that an agent has evaluated when something else happens."""
COLD_AFTER = 1_500_000
"""A zone dead for longer comes back with the cold-load factor on its demand."""


class Noted(NamedTuple):
    """One line of a run's trace."""

    now_us: int
    device: str
    name: str
    details: tuple[tuple[str, Any], ...]


class Outcome(NamedTuple):
    """What a run came to."""

    broken: Broken | None
    met: Counter[str]
    trace: list[Noted]
    lost_kw: float
    restorable_kw: float
    """What brute force could restore of it (only computed where something stayed dark) …"""
    restored_kw: float
    """… and what was."""


class World:
    """See the module."""

    def __init__(self, scenario: Scenario, make_brain: MakeBrain = real_brain) -> None:
        self.scenario = scenario
        self.feeder = scenario.feeder
        self.count = len(self.feeder.devices)
        self.random: Callable[[], float] = Random(scenario.seed).random
        self.heap: list[tuple[int, int, Callable[[int, Any, Any], None], Any, Any]] = []
        self.sequence = 0
        self.met: Counter[str] = Counter()
        self.trace: list[Noted] = []
        self.layout = Layout(self.feeder)
        self.plant = Plant(self.layout)
        self.make_brain = make_brain
        self.brains: list[BrainLike | None] = [None] * self.count
        self.disk: list[LockRecord | None] = [None] * self.count
        self.unreadable: set[int] = set()
        self.due: list[int] = [0] * self.count
        """When each brain's timer event is planned; 0: none."""
        self.names = [d.name for d in self.feeder.devices]
        self.monitor = Monitor(self)
        self.bus = Bus(self)
        self.bays = Bays(self)
        self.sensing = Sensing(self)
        self.dead_since = [0] * self.layout.zones
        self.der_pending = [False] * len(self.feeder.ders)
        self.commands = 0

    # --- the clock ---------------------------------------------------------------------------------------------------

    def at(self, when: int, do: Callable[[int, Any, Any], None], a: Any, b: Any) -> None:
        """Do it then; events of the same instant in the order they were planned."""
        self.sequence += 1
        heappush(self.heap, (when, self.sequence, do, a, b))

    def note(self, now: int, device: str, name: str, *details: tuple[str, Any]) -> None:
        """One line of trace from the plant or the simulator itself."""
        self.trace.append(Noted(now, device, name, details))

    def run(self) -> Outcome:
        """From start to the first broken invariant or to the end."""
        last = 0.0
        for happening in self.scenario.happenings:
            self.at(START + int(happening.at_ms * 1000), self._happen, happening, None)
            last = max(last, happening.at_ms)
        end = START + int((self.scenario.run_ms or last + SETTLE_MS) * 1000)
        for device in range(self.count):
            self.at(START + int(self.random() * 20_000), self._boot, device, None)
        heap, monitor = self.heap, self.monitor
        while heap and monitor.broken is None:
            if heap[0][0] > end:
                break
            now, _, do, a, b = heappop(heap)
            do(now, a, b)
        if monitor.broken is None:
            monitor.end(end)
        return Outcome(
            monitor.broken, self.met, self.trace, monitor.lost_kw, monitor.restorable_kw, monitor.restored_kw
        )

    # --- brains ------------------------------------------------------------------------------------------------------

    def _boot(self, now: int, device: int, _: None) -> None:
        restored = LOCKED_UNREADABLE if device in self.unreadable else self.disk[device]
        brain = self.make_brain(self.feeder, device, restored)
        self.brains[device] = brain
        self.due[device] = 0
        self.monitor.restored(device, restored)
        actions = brain.start(now)
        if not self.sensing.blind[device]:
            # In the same instant: of two reports only the newer one is ever on the wire.
            actions += brain.measure(self.sensing.meas[device]._replace(upto_us=now - MU_DELAY), now)
        said = [action for action in actions if type(action) is Publish]
        self.act(device, [action for action in actions if action not in said[:-1]], now)
        self.bus.status(device, self.bays.says(device), now)

    def act(self, device: int, actions: list[Action], now: int) -> None:
        """Carry out what a brain asked for."""
        for action in actions:
            kind = type(action)
            if kind is Event:
                self.trace.append(Noted(now, self.names[device], action.name, action.details))  # type: ignore[union-attr]
            elif kind is Publish:
                self.monitor.published(now, device, action.report)  # type: ignore[union-attr]
                self.bus.publish(device, action.report, now)  # type: ignore[union-attr]
            elif kind is Operate:
                self.monitor.ordered(device, action.command)  # type: ignore[union-attr]
                self.bus.operate(device, action.command, now)  # type: ignore[union-attr]
            elif kind is Latch:
                self.at(now + 2_000 + int(self.random() * 3_000), self._written, device, (action, self.brains[device]))
            elif kind is CommandResult:
                self.note(now, self.names[device], "command_result", ("accepted", action.accepted))  # type: ignore[union-attr]
        brain = self.brains[device]
        if brain is not None:
            self._wake(brain, device)

    def _wake(self, brain: BrainLike, device: int) -> None:
        """Plan the brain's next timer event, if it wants one earlier than the one that is planned."""
        deadline = brain.deadline
        if deadline is not None:
            due = self.due[device]
            if not due or deadline < due:
                self.due[device] = deadline
                self.at(deadline, self._timer, device, None)

    def _timer(self, now: int, device: int, _: None) -> None:
        brain = self.brains[device]
        if brain is None or self.due[device] != now:
            return
        self.due[device] = 0
        deadline = brain.deadline
        if deadline is not None and deadline <= now:
            self._look(brain, device, now)
            self.act(device, brain.timer(now), now)
        else:
            self.act(device, [], now)

    def _look(self, brain: BrainLike, device: int, now: int) -> None:
        if not self.sensing.blind[device]:
            brain.evaluated(now - EVALUATED)

    def hear(self, brain: BrainLike, receiver: int, sender: int, report: Report, now: int) -> None:
        """A report has arrived and been accepted."""
        if not self.sensing.blind[receiver]:
            brain.evaluated(now - EVALUATED)
        actions = brain.report(sender, report, now)
        if actions:
            self.act(receiver, actions, now)
        else:
            self._wake(brain, receiver)

    def lose(self, receiver: int, sender: int, now: int) -> None:
        """A peer's time allowed to live has run out."""
        brain = self.brains[receiver]
        if brain is not None:
            self._look(brain, receiver, now)
            self.act(receiver, brain.peer_lost(sender, now), now)

    def status_heard(self, device: int, status: BreakerStatus, now: int) -> None:
        """The breaker's IED has spoken."""
        brain = self.brains[device]
        if brain is not None:
            self._look(brain, device, now)
            self.act(device, brain.breaker(status, now), now)

    def measured(self, device: int, measurement: Measurement, now: int) -> None:
        """The protection core has something new."""
        brain = self.brains[device]
        if brain is not None:
            self.act(device, brain.measure(measurement, now), now)

    def _written(self, now: int, device: int, what: tuple[Latch, BrainLike]) -> None:
        latch, brain = what
        if self.brains[device] is not brain:
            return  # it died before the disk had it
        ok = not self.bays.faulty[device].latch_fails
        if ok:
            self.disk[device] = latch.record
        else:
            self.met["latch_failed"] += 1
        self.act(device, brain.latched(latch.record, ok, now), now)

    # --- plant -------------------------------------------------------------------------------------------------------

    def contact(self, now: int, device: int, closed: bool) -> None:
        """A contact has been made or has interrupted."""
        if self.plant.closed[device] == closed:
            return
        if closed:
            self.monitor.making(now, device)
        self.plant.closed[device] = closed
        self.note(now, self.names[device], "contact", ("closed", closed))
        self.settle(now, device if closed else -1)

    def settle(self, now: int, closed: int = -1) -> None:
        """The plant has changed: solve it, judge it, let everyone notice."""
        plant = self.plant
        was = plant.root
        for zone, root in enumerate(was):
            if root == DEAD and now - self.dead_since[zone] > COLD_AFTER:
                plant.cold[zone] = self.feeder.cold_load_factor
        plant.solve()
        self.monitor.step(now, closed)
        if self.monitor.broken is not None:
            return
        for zone, root in enumerate(plant.root):
            if root == DEAD and was[zone] != DEAD:
                self.dead_since[zone] = now
        for fault in plant.faults:
            if fault.extinguish_us and plant.root[fault.zone] == DEAD:
                since = self.dead_since[fault.zone]
                self.at(max(now, since + fault.extinguish_us), self._extinguish, fault, since)
        for index, der in enumerate(self.feeder.ders):
            if plant.der_on[index] and plant.root[der.zone] in (ISLAND, DEAD) and not self.der_pending[index]:
                self.der_pending[index] = True
                wait = int(der.trip_time_ms * 1000) if plant.root[der.zone] == ISLAND else 0
                self.at(now + wait, self._der_trips, index, None)
        self.sensing.changed(now)

    def _extinguish(self, now: int, fault: Fault, since: int) -> None:
        if fault in self.plant.faults and self.plant.root[fault.zone] == DEAD and self.dead_since[fault.zone] == since:
            self._fault_over(now, fault, "fault_extinguished")

    def _fault_over(self, now: int, fault: Fault, why: str) -> None:
        if fault in self.plant.faults:
            self.plant.faults.remove(fault)
            self.met[why] += 1
            self.note(now, "", why, ("zone", self.feeder.zones[fault.zone].name))
            self.settle(now)

    def _blow(self, now: int, fault: Fault, _: None) -> None:
        if fault not in self.plant.faults:
            return
        if self.plant.root[fault.zone] != DEAD:
            self._fault_over(now, fault, "fuse_blown")
        else:  # no current melts it now; it will when the zone is fed again
            self.at(now + 30_000, self._blow, fault, None)

    def _der_trips(self, now: int, index: int, _: None) -> None:
        self.der_pending[index] = False
        if self.plant.der_on[index] and self.plant.root[self.feeder.ders[index].zone] in (ISLAND, DEAD):
            self.plant.der_on[index] = False
            self.met["der_tripped"] += 1
            self.note(now, self.feeder.ders[index].name, "der_trips")
            self.settle(now)

    def _source(self, now: int, index: int, on: bool) -> None:
        if self.plant.source_on[index] != on:
            if not on:
                self.monitor.outage(now)
            self.plant.source_on[index] = on
            self.note(now, self.feeder.sources[index].name, "source", ("on", on))
            self.settle(now)

    def _source_protection(self, now: int, zone: int, _: None) -> None:
        """A fault at the source itself lies before every device: its own protection clears it, and locks."""
        if any(f.zone == zone for f in self.plant.faults):
            self._source(now, self.layout.source_of[zone], False)

    # --- happenings --------------------------------------------------------------------------------------------------

    def _happen(self, now: int, h: Happening, _: None) -> None:
        self.met[h.do] += 1
        device = self.feeder.device_index.get(h.device, -1)
        details = [(k, v) for k, v in (("zone", h.zone), ("kind", h.kind), ("source", h.source), ("what", h.what)) if v]
        self.note(now, h.device, f"happening:{h.do}", *details)
        match h.do:
            case "fault":
                self._strike(now, h)
            case "crash":
                if self.brains[device] is not None:
                    self.brains[device] = None
                    self.bus.stopped(device, now)
                    self.monitor.crashed(device)
            case "restart":
                if self.brains[device] is None:
                    if h.unreadable:
                        self.unreadable.add(device)
                    self.bus.joined(device, now)
                    self.monitor.restarting(now, device)
                    self._boot(now, device, None)
            case "partition":
                groups = [0] * self.count
                for number, names in enumerate(h.groups):
                    for name in names:
                        groups[self.feeder.device_index[name]] = number
                self.bus.cut(groups, now)
            case "heal":
                self.bus.heal(now)
            case "source_loss" | "source_return":
                index = next(i for i, s in enumerate(self.feeder.sources) if s.name == h.source)
                self._source(now, index, h.do == "source_return")
            case "blind" | "seeing":
                self.sensing.set_blind(now, device, h.do == "blind")
            case "command":
                self._command(now, device, h)
            case "forge":
                self.bus.forge(now, device, h.what)

    def _strike(self, now: int, h: Happening) -> None:
        zone = next(z.index for z in self.feeder.zones if z.name == h.zone)
        section = next((i for i, s in enumerate(self.feeder.sections) if s.name == h.section), -1)
        fault = Fault(zone, section, h.fraction, h.kind or "abc", h.rf_ohm, h.lateral, int(h.extinguish_ms * 1000), now)
        self.met[f"fault_{fault.kind}"] += 1
        if self.feeder.zones[zone].busbar:
            self.met["fault_busbar"] += 1
        if fault.extinguish_us:
            self.met["fault_temporary"] += 1
        if h.lateral:
            self.met["fault_lateral"] += 1
            self.at(now + 20_000 + int(self.random() * 40_000), self._blow, fault, None)
        if self.layout.source_of[zone] >= 0:
            self.met["fault_at_source"] += 1
            self.at(now + 300_000, self._source_protection, zone, None)
        self.plant.faults.append(fault)
        self.monitor.struck(now, fault)
        self.settle(now)

    def _command(self, now: int, device: int, h: Happening) -> None:
        brain = self.brains[device]
        if brain is None:
            return
        self.commands += 1
        command = Command(CommandKind[h.kind], self.commands, "scenario", h.local)
        if command.kind is CommandKind.RELEASE and h.local:
            self.monitor.released(device)
        self._look(brain, device, now)
        self.act(device, brain.command(command, now), now)


__all__ = ["Noted", "Outcome", "World"]

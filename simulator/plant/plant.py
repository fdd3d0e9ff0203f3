"""The plant: what the feeder does when breakers are ordered about, faults strike and sources fail.

No socket, no clock: :meth:`Plant.step` takes an event and the time, :meth:`Plant.advance` lets time pass up to a
moment, and both return what followed. Between two events nothing changes but the waves' decay; at every event the
phasor network is solved anew and the pole currents go on without a jump. Poles that have parted conduct until their own
current zero, which is known ahead, so that a caller may run the plant a little ahead of the clock (less than the
shortest operating time) and hand out waves before they begin.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import numpy as np

from scl.topology import Feeder
from simulator.plant import events, terminals
from simulator.plant.charging import Charging
from simulator.plant.events import Effect, Moved, NewWaves, PlantEvent, Truth
from simulator.plant.fault import Fault
from simulator.plant.fuse import Fuse
from simulator.plant.generation import Unit
from simulator.plant.inrush import inrush
from simulator.plant.instants import all_zero_at, phase_a_at
from simulator.plant.mechanism import Mechanism, Step
from simulator.plant.network import Network, Solution
from simulator.plant.sequence import Complex, Real
from simulator.plant.supply import Poles, Supply
from simulator.plant.truth import Observer
from simulator.plant.waves import Waves, angle_at

SETTLE_US = 1_000_000
SELF_EXTINGUISHING_A = 10.0
"""A temporary fault's arc goes out below this current."""


@dataclass(frozen=True, slots=True)
class PlantOptions:
    """What a scenario may set."""

    seed: int = 1
    scatter_us: int = 500
    """Operating times scatter evenly by this much either way."""
    inrush_pu: float = 4.0
    """Largest first-cycle fundamental of transformer inrush, in units of the transformers' rated current; 0: none."""
    inrush_tau_s: float = 0.12
    cold_after_ms: float = 1000.0
    """Outage after which the feeder's cold-load factor applies."""


class Plant:
    """Truth of one feeder from ``start_us`` on, calm at first."""

    def __init__(self, feeder: Feeder, start_us: int = 0, options: PlantOptions | None = None) -> None:
        self.feeder = feeder
        self.options = options or PlantOptions()
        self.network = Network(feeder)
        self.now_us = start_us
        self._charging = Charging(self.network)
        self.mechanisms = [Mechanism(d, self.options.scatter_us) for d in feeder.devices]
        self.units = [Unit(i, d, self.network) for i, d in enumerate(feeder.ders)]
        self.fuses = {i: Fuse(x, feeder.nominal_kv) for i, x in enumerate(feeder.loads) if x.fused}
        self.faults: dict[str, Fault] = {}
        self.sources_on = [True] * len(feeder.sources)
        self.load_factor = np.ones(len(feeder.loads))
        self._supply = Supply(feeder, self.options.cold_after_ms * 1000)
        self._random = Random(self.options.seed)
        self._observer = Observer(feeder, self.network.nodes, self.network.phase_voltage)
        self._queue: list[tuple[int, int, Callable[[int], None]]] = []
        self._sequence = 0
        self._dirty = False
        self._effects: list[Effect] = []
        self._solution_number = 0
        self._fault_quiet: dict[str, int] = {}
        self._fault_a: dict[str, Complex] = {}
        self.waves = Waves.still(feeder.frequency_hz, start_us, len(feeder.devices), self.options.inrush_tau_s)
        self.live: tuple[tuple[bool, bool], ...] = ()
        self.solution = self._calm()
        self._publish(start_us, first=True)

    # --- the two verbs ------------------------------------------------------------------------------------------------

    @property
    def deadline(self) -> int | None:
        """When the next thing happens by itself."""
        return self._queue[0][0] if self._queue else None

    def step(self, event: PlantEvent, now_us: int) -> list[Effect]:
        """Let time pass to ``now_us``, apply the event, return everything that followed.

        A coil order may lie before what was advanced to, by less than an operating time: it acts later anyhow.
        """
        effects = self.advance(now_us)
        ordered = isinstance(event, events.OpenDevice | events.CloseDevice)
        self._apply(event, now_us if ordered else max(now_us, self.now_us))
        return effects + self.advance(now_us)

    def advance(self, until_us: int) -> list[Effect]:
        """Everything that happens up to and including ``until_us``."""
        if self._dirty:
            self._resolve(self.now_us)
        while self._queue and self._queue[0][0] <= until_us:
            at = self._queue[0][0]
            self.now_us = max(self.now_us, at)
            while self._queue and self._queue[0][0] <= at:
                heapq.heappop(self._queue)[2](at)
            if self._dirty:
                self._resolve(at)
        self.now_us = max(self.now_us, until_us)
        effects, self._effects = self._effects, []
        return effects

    def measure(self, device: str | int) -> terminals.Reading:
        """Ideal instruments at a device, now (phasors, without offset or inrush)."""
        index = self.feeder.device_index[device] if isinstance(device, str) else device
        return terminals.reading(self.network, self.solution, index)

    def snapshot(self) -> dict[str, Any]:
        """Positions, zones, faults, sources, DER and demand, for programs."""
        return {
            "time_us": self.now_us,
            "devices": {
                m.device.name: {
                    "poles": "".join("C" if c else "O" for c in m.conducting),
                    "contact": m.contact.name.lower(),
                    "a": [round(float(x), 1) for x in np.abs(self.solution.device_a[i])],
                }
                for i, m in enumerate(self.mechanisms)
            },
            "zones": {z["zone"]: {k: v for k, v in z.items() if k != "zone"} for z in self._observer.zones},
            "faults": sorted(self.faults),
            "sources": {s.name: on for s, on in zip(self.feeder.sources, self.sources_on, strict=True)},
            "ders": {u.der.name: u.connected for u in self.units},
            "demand": self._observer.demand,
        }

    # --- events -------------------------------------------------------------------------------------------------------

    def _at(self, time_us: int, action: Callable[[int], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._queue, (time_us, self._sequence, action))

    def _truth(self, now_us: int, kind: str, **details: Any) -> None:
        self._effects.append(Truth(now_us, kind, details))

    def _apply(self, event: PlantEvent, now_us: int) -> None:
        match event:
            case events.OpenDevice(device):
                self._order(self.feeder.device_index[device], False, now_us)
            case events.CloseDevice(device):
                self._order(self.feeder.device_index[device], True, now_us)
            case events.Break(device, failure, repaired):
                failures = self.mechanisms[self.feeder.device_index[device]].failures
                (failures.discard if repaired else failures.add)(failure)
                self._truth(now_us, "failure", device=device, failure=failure.value, on=not repaired)
            case events.StrikeFault(fault, angle):
                self.network.fault_point(fault)
                at = now_us if angle is None else phase_a_at(angle, self.feeder.frequency_hz, now_us)
                self._at(at, partial(self._strike, fault))
            case events.ClearFault(name):
                self._extinguish(name, now_us)
            case events.SwitchSource(source, on):
                self.sources_on[next(i for i, s in enumerate(self.feeder.sources) if s.name == source)] = on
                self._truth(now_us, "source", source=source, on=on)
                self._dirty = True
            case events.SwitchDer(der, on):
                self._switch_unit(next(u for u in self.units if u.der.name == der), on, "ordered", now_us)
            case events.ScaleLoad(load, factor):
                self.load_factor[next(i for i, x in enumerate(self.feeder.loads) if x.name == load)] = factor
                self._dirty = True

    def _order(self, index: int, close: bool, now_us: int) -> None:
        mechanism = self.mechanisms[index]
        steps = mechanism.close(now_us, self._random) if close else mechanism.open(now_us, self._random)
        self._truth(now_us, "order", device=mechanism.device.name, close=close, moves=bool(steps))
        for step in steps:
            self._at(step.time_us, partial(self._mechanical, index, step))

    def _mechanical(self, index: int, step: Step, now_us: int) -> None:
        mechanism = self.mechanisms[index]
        if step.generation != mechanism.generation:
            return
        match step.action:
            case "contact":
                if mechanism.show(step.position):
                    self._effects.append(Moved(now_us, index, step.position))
            case "part":
                mechanism.part()
                self._check_breaking(index, now_us)
                self._seek_zeros(index, now_us)
            case "touch":
                mechanism.touch()
                self._truth(now_us, "position", device=mechanism.device.name, poles="CCC")
                self._dirty = True

    def _check_breaking(self, index: int, now_us: int) -> None:
        mechanism = self.mechanisms[index]
        amps = float(np.abs(self.solution.device_a[index])[mechanism.arcing].max(initial=0.0))
        if amps > mechanism.device.breaking_current_a and not mechanism.damaged:
            mechanism.damaged = True
            self._truth(
                now_us, "violation", device=mechanism.device.name, a=round(amps, 1),
                breaking_a=mechanism.device.breaking_current_a,
            )  # fmt: skip

    def _seek_zeros(self, index: int, now_us: int) -> None:
        """Schedule the arc's end of each parted pole, unless its current is more than the device can break."""
        mechanism = self.mechanisms[index]
        for pole in np.flatnonzero(mechanism.arcing).tolist():
            if abs(self.solution.device_a[index, pole]) <= mechanism.device.breaking_current_a:
                zero = self.waves.next_zero(index, pole, now_us)
                self._at(zero, partial(self._interrupt, index, pole, self._solution_number))

    def _interrupt(self, index: int, pole: int, solution_number: int, now_us: int) -> None:
        mechanism = self.mechanisms[index]
        if solution_number != self._solution_number or not mechanism.arcing[pole]:
            return
        mechanism.cleared(pole)
        poles = "".join("C" if c else "O" for c in mechanism.conducting)
        self._truth(now_us, "position", device=mechanism.device.name, poles=poles)
        self._dirty = True

    def _strike(self, fault: Fault, now_us: int) -> None:
        self.faults[fault.name] = fault
        self._fault_quiet.pop(fault.name, None)
        zone = self.feeder.zones[self.network.fault_zone(fault)].name
        self._truth(
            now_us, "fault", fault=fault.name, on=True, zone=zone, at=fault.at, type=fault.kind, rf_ohm=fault.rf_ohm
        )
        if fault.duration_ms is not None:
            self._at(now_us + round(fault.duration_ms * 1000), partial(self._expire, fault.name))
        self._dirty = True

    def _expire(self, name: str, now_us: int) -> None:
        if name in self.faults:
            self._at(self._fault_zero(name, now_us), partial(self._extinguish, name))

    def _fault_zero(self, name: str, now_us: int) -> int:
        amps = self._fault_a.get(name)
        return now_us if amps is None else all_zero_at(amps, self.feeder.frequency_hz, now_us)

    def _extinguish(self, name: str, now_us: int) -> None:
        if self.faults.pop(name, None) is not None:
            self._truth(now_us, "fault", fault=name, on=False)
            self._dirty = True

    def _deionised(self, name: str, since_us: int, now_us: int) -> None:
        if self._fault_quiet.get(name) == since_us:
            self._extinguish(name, now_us)

    def _melt(self, load: int, solution_number: int, now_us: int) -> None:
        if solution_number != self._solution_number or self.fuses[load].blown:
            return
        behind = [f.name for f in self.faults.values() if f.at == self.feeder.loads[load].name]
        zero = max((self._fault_zero(name, now_us) for name in behind), default=now_us)
        self._at(zero, partial(self._blow, load))

    def _blow(self, load: int, now_us: int) -> None:
        if self.fuses[load].blown:
            return
        name = self.feeder.loads[load].name
        self.fuses[load].blown = True
        for fault in [f.name for f in self.faults.values() if f.at == name]:
            self._extinguish(fault, now_us)
        self._truth(now_us, "fuse", load=name)
        self._dirty = True

    def _switch_unit(self, unit: Unit, on: bool, why: str, now_us: int) -> None:
        if unit.connected != on:
            unit.connected = on
            unit.trip_at_us = None
            self._truth(now_us, "der", der=unit.der.name, on=on, why=why)
            self._dirty = True

    def _unit_trips(self, unit: Unit, due_us: int, now_us: int) -> None:
        if unit.trip_at_us == due_us:
            self._switch_unit(unit, False, "protection", now_us)

    def _unit_decays(self, unit: Unit, now_us: int) -> None:
        if unit.decay(now_us):
            self._dirty = True
            self._schedule_decay(unit)

    def _schedule_decay(self, unit: Unit) -> None:
        due = unit.next_decay_us()
        if due is not None:
            self._at(due, partial(self._unit_decays, unit))

    def _settle(self, solution_number: int, now_us: int) -> None:
        """Nothing happened for a second: machines are back at their set-points."""
        if solution_number == self._solution_number and any(u.disturbed_at_us is not None for u in self.units):
            conducting = self._conducting()
            fed = self._supply.fed(conducting, self.sources_on)
            self.solution = self._settled(conducting, fed, self.solution, 3)
            self._dirty = True

    # --- the state after an event -------------------------------------------------------------------------------------

    def _conducting(self) -> Poles:
        return np.array([m.conducting for m in self.mechanisms])

    def _solve(self, conducting: Poles, fed: list[bool]) -> Solution:
        scale: Real = self.load_factor * self._supply.cold
        for index, fuse in self.fuses.items():
            scale[index] *= not fuse.blown
        faults = list(self.faults.values())
        states = [u.state(fed[u.der.zone]) for u in self.units]
        return self.network.solve(conducting, faults, states, self.sources_on, scale)

    def _calm(self) -> Solution:
        """The state before anything happens, machines at their set-points."""
        conducting = self._conducting()
        fed = self._supply.fed(conducting, self.sources_on)
        self._supply.note(fed, self.now_us)
        return self._settled(conducting, fed, self._solve(conducting, fed), 8)

    def _settled(self, conducting: Poles, fed: list[bool], solution: Solution, steps: int) -> Solution:
        """Set-points and network brought together, by turns."""
        for _ in range(steps if self.units else 0):
            for unit in self.units:
                if unit.connected and unit.trip_at_us is None:
                    unit.settle(solution.node_v[self.network.nodes[unit.der.node]])
            solution = self._solve(conducting, fed)
        return solution

    def _resolve(self, now_us: int) -> None:
        self._dirty = False
        self._solution_number += 1
        conducting = self._conducting()
        fed = self._supply.fed(conducting, self.sources_on)
        # A zone that a generator holds up draws no inrush when a source reaches it again.
        risen = {zone for zone in self._supply.note(fed, now_us) if not self._zone_live(zone)}
        self.solution = self._solve(conducting, fed)
        self._fault_a = dict(zip(self.faults, self.solution.fault_a, strict=True))
        self._publish(now_us, risen=risen)
        for index, mechanism in enumerate(self.mechanisms):
            if mechanism.arcing.any():
                self._seek_zeros(index, now_us)
        self._watch_faults(now_us)
        self._watch_units(fed, now_us)

    def _zone_live(self, zone: int) -> bool:
        rows = [self.network.nodes[n] for n in self.feeder.zones[zone].nodes]
        return bool(terminals.live_nodes(self.network, self.solution)[rows].any())

    def _publish(self, now_us: int, risen: set[int] | None = None, first: bool = False) -> None:
        solution, network = self.solution, self.network
        conducting = self._conducting()
        tau = terminals.offset_tau(network, solution)
        decay = second = None
        if risen and self.options.inrush_pu > 0:
            turn = float(angle_at(self.feeder.frequency_hz, now_us))
            drawn = inrush(network, risen, solution.node_v, turn, self.options.inrush_pu)
            decay, second = network.distribute(conducting, list(self.faults.values()), self.sources_on, drawn)
            tau[np.abs(decay) > 1.0] = self.options.inrush_tau_s
        ring = self._charging.ring(conducting, list(self.faults.values()), self.sources_on, self.load_factor, now_us)
        phasors = terminals.channels(network, solution)
        waves = self.waves.continued(now_us, phasors, conducting, tau, decay, second, ring)
        if first:
            waves.dc[:] = 0.0
        self.waves = waves
        self.live = terminals.live_sides(network, solution)
        self._effects.append(NewWaves(waves, self.live))
        faulted = frozenset(network.fault_zone(f) for f in self.faults.values())
        blown = frozenset(i for i, f in self.fuses.items() if f.blown)
        for kind, details in self._observer.observe(conducting, solution, self.sources_on, faulted, blown):
            self._truth(now_us, kind, **details)

    def _watch_faults(self, now_us: int) -> None:
        """Fuses heat; temporary faults without current deionise."""
        for name, fault in self.faults.items():
            if not fault.temporary:
                continue
            if np.abs(self._fault_a[name]).max() > SELF_EXTINGUISHING_A:
                self._fault_quiet.pop(name, None)
            elif name not in self._fault_quiet:
                self._fault_quiet[name] = now_us
                due = now_us + round(fault.deionise_ms * 1000)
                self._at(due, partial(self._deionised, name, now_us))
        for index, fuse in self.fuses.items():
            lateral = self.feeder.loads[index].name
            amps = self.solution.load_a[index] + sum(
                (self._fault_a[f.name] for f in self.faults.values() if f.at == lateral), np.zeros(3, dtype=complex)
            )
            melts = fuse.carry(float(np.abs(amps).max()), now_us)
            if melts is not None:
                self._at(melts, partial(self._melt, index, self._solution_number))

    def _watch_units(self, fed: list[bool], now_us: int) -> None:
        for unit in self.units:
            terminal = self.solution.node_v[self.network.nodes[unit.der.node]]
            calm_before = unit.disturbed_at_us is None
            changed = unit.observe(now_us, terminal, fed[unit.der.zone])
            if changed and unit.trip_at_us is not None:
                self._at(unit.trip_at_us, partial(self._unit_trips, unit, unit.trip_at_us))
            if calm_before and unit.disturbed_at_us is not None:
                self._schedule_decay(unit)
        if any(u.disturbed_at_us is not None and u.connected for u in self.units):
            self._at(now_us + SETTLE_US, partial(self._settle, self._solution_number))

"""The last word on a run: what is open, what is dark, and was the reason stated (invariants 4 and 5, and half of 8).

The wording of the invariants, and every exception, is in :mod:`simulator.invariants`; this is their second half, asked
once when everything has settled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from simulator import oracle
from simulator.virtual.plant import DEAD, ISLAND

if TYPE_CHECKING:
    from simulator.invariants import Monitor


class LastWord:
    """See the module."""

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor
        self.world = monitor.world

    def _name(self, device: int) -> str:
        return self.world.names[device]

    def _zone(self, zone: int) -> str:
        return self.world.feeder.zones[zone].name

    def judge(self, now: int) -> None:
        """Look at what is there at the end."""
        world, monitor = self.world, self.monitor
        for device, since in enumerate(monitor.restarted_at):
            if since and world.brains[device] is not None and now - since > 3_000_000 and not monitor.ready[device]:
                monitor.breaks(8, now, f"{self._name(device)}'s agent is not ready long after its restart")
        for watch in monitor.watches:
            watch.seen |= watch.lasted(now)
        monitor.calm = world.scenario.calm and not self._widened()
        if monitor.calm:
            self._positions(now)
        self._restoration(now)

    def _widened(self) -> bool:
        """Two frames lost in a row outlast the wait for an answer: a wider isolation is then the safe one."""
        if not self.world.scenario.lan.loss:
            return False
        names = {self._zone(watch.fault.zone) for watch in self.monitor.watches}
        wider = any(set(str(d["zones"]).split(",")) - names for _, d in self._events("claim"))
        self.world.met["widened_by_loss"] += wider
        return wider

    def _fault_masks(self) -> tuple[int, int]:
        """Zones whose boundaries must be open at the end, and zones that may have been taken for faulted."""
        must = may = 0
        for watch in self.monitor.watches:
            bit = 1 << watch.fault.zone
            may |= bit
            if watch.seen and watch.fault in self.world.plant.faults:
                must |= bit
        return must, may

    def _lost_to_faults(self) -> int:
        """Zones with a fault, or with one that went out while nobody could know it; not those fed again since."""
        plant = self.world.plant
        mask = 0
        for watch in self.monitor.watches:
            if watch.fault in plant.faults or plant.root[watch.fault.zone] == DEAD:
                mask |= 1 << watch.fault.zone
        return mask

    def _events(self, *names: str) -> list[tuple[str, dict[str, Any]]]:
        return [(n.device, dict(n.details)) for n in self.world.trace if n.name in names]

    def _positions(self, now: int) -> None:
        world = self.world
        plant, layout = world.plant, world.layout
        must, may = self._fault_masks()
        planned: set[str] = {device for device, _ in self._events("opens_for_plan", "opens_for_return")}
        for _, details in self._events("request"):
            planned.update(str(details.get("opens", "")).split(","))
        onto_source = sum(1 << z for z in layout.source_zones)
        for device, (a, b) in enumerate(layout.sides):
            inside = must & ~onto_source
            bounds = (inside >> a & 1) != (inside >> b & 1)
            other = b if inside >> a & 1 else a
            if bounds and not may >> other & 1 and plant.closed[device]:
                self.monitor.breaks(4, now, f"{self._name(device)} bounds a faulted zone and is closed")
            if plant.closed[device] or world.feeder.devices[device].normally_open:
                continue
            if (may >> a | may >> b) & 1 or self._name(device) in planned:
                continue
            if plant.root[a] == DEAD or plant.root[b] == DEAD:
                continue  # invariant 5 asks for the reason
            if plant.root[a] != DEAD and plant.root[b] != DEAD and self._apart(device):
                continue
            self.monitor.breaks(4, now, f"{self._name(device)} is open and bounds no faulted zone")

    def _apart(self, device: int) -> bool:
        """Closing it would join two live parts: something else feeds the far side now."""
        a, b = self.world.layout.sides[device]
        return self.world.plant.root[a] != DEAD and self.world.plant.root[b] != DEAD

    def _demand(self) -> list[tuple[float, float]]:
        world = self.world
        feeder = world.feeder
        need = []
        for zone, (p, q) in enumerate(world.plant.net):
            gross = p + sum(feeder.ders[i].rated_kva for i in feeder.zones[zone].ders)
            need.append((max(gross, 0.0) * feeder.cold_load_factor, max(q, 0.0) * feeder.cold_load_factor))
        return need

    def _restoration(self, now: int) -> None:
        world, monitor = self.world, self.monitor
        plant, layout = world.plant, world.layout
        may = self._lost_to_faults()
        dark = sum(1 << z for z, root in enumerate(plant.root) if root in (DEAD, ISLAND)) & ~may
        back = monitor.ever_dead & ~dark & ~may
        monitor.lost_kw = sum(oracle.value_of(layout, monitor.ever_dead))
        monitor.restored_kw = sum(oracle.value_of(layout, back))
        monitor.restorable_kw = monitor.restored_kw
        loaded = sum(1 << z for z in range(layout.zones) if layout.load_p[z] > 0)
        if not dark & loaded:
            return
        locked = {d for d, is_locked in enumerate(monitor.agent_locked) if is_locked}
        could = oracle.reachable(plant, dark, may, locked) & loaded
        if not could:
            world.met["dark_out_of_reach"] += 1
            return
        if monitor.calm and not monitor.broken:
            # After a close onto a fault that nobody could see, what was fed before it stays: only more counts.
            unforeseen = bool(world.met["excused_onto_unseen_fault"])
            area = dark if unforeseen else monitor.ever_dead
            answer = oracle.best(plant, area, may, locked, self._demand(), unmetered=monitor.unmetered & ~area)
            world.met["oracle_asked" if answer.exact else "oracle_cut_short"] += 1
            achieved = (0.0, 0.0, 0.0) if unforeseen else oracle.value_of(layout, back)
            if answer.exact and answer.value > achieved:
                monitor.restorable_kw = sum(answer.value)
                zones = ", ".join(self._zone(z) for z in range(layout.zones) if answer.zones >> z & 1)
                ours = ", ".join(self._zone(z) for z in range(layout.zones) if back >> z & 1)
                self.monitor.breaks(
                    5, now, f"brute force feeds {zones} ({answer.value} kW by priority), the agents {ours} ({achieved})"
                )
        self._reasons(now, [z for z in range(layout.zones) if could >> z & 1], locked)

    def _reasons(self, now: int, zones: Sequence[int], locked: set[int]) -> None:
        world = self.world
        stated: set[str] = set()
        for _, details in self._events("dark"):
            stated.update(details)
        for _, details in self._events("claim"):
            stated.update(str(details["zones"]).split(","))
        asked: dict[str, str] = {}
        for note in world.trace:
            if note.name == "request":
                asked[note.device] = str(dict(note.details)["zones"])
            elif note.name == "request_given_up":
                stated.update(asked.get(note.device, "").split(","))
        # An order by a person, a blind stream or a switched-off automation explains it …
        off = {n.device for n in world.trace if n.name in ("happening:command", "happening:blind")}
        # … and a device that nobody can answer for what only it could have fed.
        mute = {d for d in range(world.count) if d in locked or world.brains[d] is None or self._name(d) in off}
        told = sum(1 << z.index for z in world.feeder.zones if z.name in stated)
        could = oracle.reachable(world.plant, sum(1 << z for z in zones), self._lost_to_faults() | told, mute)
        for zone in zones:
            if self._zone(zone) in stated:
                world.met["dark_with_reason"] += 1
                continue
            if not could >> zone & 1 or mute & set(world.feeder.zones[zone].devices):
                world.met["dark_beside_lock_or_silence"] += 1
                continue
            self.monitor.breaks(5, now, f"{self._zone(zone)} is dark, could be reached, and nobody has said why")

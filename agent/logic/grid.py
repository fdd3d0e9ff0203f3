"""What a brain derives once from the feeder: adjacency as bit masks, path impedances, static limits.

Shared by all brains of one feeder in one process (:meth:`Grid.of`); immutable after construction.
"""

from __future__ import annotations

from heapq import heappop, heappush
from math import sqrt
from typing import ClassVar

from scl.topology import DerKind, DeviceKind, Feeder


def bits(mask: int) -> list[int]:
    """The indices of the set bits, ascending."""
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found


def _worth(feeder: Feeder, zone: int) -> tuple[float, float, float]:
    kw = [0.0, 0.0, 0.0]
    for index in feeder.zones[zone].loads:
        load = feeder.loads[index]
        kw[min(max(load.priority, 1), 3) - 1] += load.p_kw
    return kw[0], kw[1], kw[2]


class Grid:
    """Static topology of one feeder, by index."""

    _last: ClassVar[tuple[Feeder, Grid] | None] = None

    @classmethod
    def of(cls, feeder: Feeder) -> Grid:
        """The grid of this feeder object; made once, then shared."""
        if cls._last is None or cls._last[0] is not feeder:
            cls._last = (feeder, cls(feeder))
        return cls._last[1]

    def __init__(self, feeder: Feeder) -> None:
        self.feeder = feeder
        self.devices = feeder.devices
        self.count = len(feeder.devices)
        self.sides: list[tuple[int, int]] = [(d.zone_a, d.zone_b) for d in feeder.devices]
        self.zone_devices: list[tuple[int, ...]] = [z.devices for z in feeder.zones]
        self.links: list[tuple[tuple[int, int], ...]] = [
            tuple((d, self.other(d, z.index)) for d in z.devices) for z in feeder.zones
        ]
        """Per zone: (device, zone on its other side)."""
        self.breaker: list[bool] = [d.kind is DeviceKind.BREAKER for d in feeder.devices]
        self.meter: list[bool] = [d.merging_unit is not None for d in feeder.devices]
        """Its flow is measured; a conventional IED tells flags only."""
        self.root3_kv = sqrt(3.0) * feeder.nominal_kv
        self.sources_mask = 0
        """Zones with a source in them: never a target of restoration."""
        self.zone_source: list[int] = [-1] * len(feeder.zones)
        for source_index, source in enumerate(feeder.sources):
            self.sources_mask |= 1 << source.zone
            self.zone_source[source.zone] = source_index
        self.fused: list[bool] = [False] * len(feeder.zones)
        self.zone_kw: list[float] = [0.0] * len(feeder.zones)
        self.zone_kvar: list[float] = [0.0] * len(feeder.zones)
        self.priority: list[int] = [9] * len(feeder.zones)
        for load in feeder.loads:
            self.fused[load.zone] |= load.fused
            self.zone_kw[load.zone] += load.p_kw
            self.zone_kvar[load.zone] += load.q_kvar
            self.priority[load.zone] = min(self.priority[load.zone], load.priority)
        self.worth: list[tuple[float, float, float]] = [_worth(feeder, z.index) for z in feeder.zones]
        """Planned kW of each zone by priority 1, 2, 3: what a plan is judged by."""
        self.der_kva: list[float] = [0.0] * len(feeder.zones)
        self.machine_a: list[float] = [0.0] * len(feeder.zones)
        self.inverter_a: list[float] = [0.0] * len(feeder.zones)
        for der in feeder.ders:
            self.der_kva[der.zone] += der.rated_kva
            kind = self.machine_a if der.kind is DerKind.MACHINE else self.inverter_a
            kind[der.zone] += der.rated_kva / self.root3_kv
        self.zone_rating_a: list[float] = [feeder.zone_rating_a(z.index) for z in feeder.zones]
        self.near: list[int] = [self._around(1 << d.zone_a | 1 << d.zone_b) for d in feeder.devices]
        """Devices that share a zone with each device, itself included …"""
        self.near2: list[int] = [self._around(self._zones_of(mask)) for mask in self.near]
        """… and those one zone further."""
        self.grade: list[int] = self._grades()
        self._impedance: dict[tuple[int, int], tuple[float, float]] = {}

    def other(self, device: int, zone: int) -> int:
        """The zone on the device's other side."""
        a, b = self.sides[device]
        return b if zone == a else a

    def entry_kva(self, device: int, zone: int) -> float:
        """What may pass the device and the sections of the zone behind it."""
        return min(self.devices[device].rated_current_a, self.zone_rating_a[zone]) * self.root3_kv

    def _around(self, zones: int) -> int:
        return sum(1 << i for i, (a, b) in enumerate(self.sides) if zones >> a & 1 or zones >> b & 1)

    def _zones_of(self, devices: int) -> int:
        mask = 0
        for device in bits(devices):
            a, b = self.sides[device]
            mask |= 1 << a | 1 << b
        return mask

    def _grades(self) -> list[int]:
        """Breakers below each device on the longest normal path away from its source; 0 for the last one."""
        closed = [i for i, d in enumerate(self.devices) if not d.normally_open]
        order: list[tuple[int, int]] = []
        seen = self.sources_mask
        queue = [z for z in range(len(self.zone_devices)) if seen >> z & 1]
        for zone in queue:
            for device in self.zone_devices[zone]:
                far = self.other(device, zone)
                if device in closed and not seen >> far & 1:
                    seen |= 1 << far
                    queue.append(far)
                    order.append((device, far))
        below = [0] * len(self.zone_devices)
        grades = [0] * self.count
        for device, far in reversed(order):
            grades[device] = below[far]
            near = self.other(device, far)
            below[near] = max(below[near], below[far] + (1 if self.breaker[device] else 0))
        return grades

    def impedance(self, entry: int, leave: int) -> tuple[float, float]:
        """Series R1, X1 in ohm between two devices of one zone (least |Z| path along its sections)."""
        key = (entry, leave)
        if key not in self._impedance:
            self._impedance[key] = self._shortest(entry, leave)
        return self._impedance[key]

    def _shortest(self, entry: int, leave: int) -> tuple[float, float]:
        first, second = self.devices[entry], self.devices[leave]
        shared = {first.zone_a, first.zone_b} & {second.zone_a, second.zone_b}
        best = (0.0, 0.0)
        for zone in shared:
            start = first.node_a if first.zone_a == zone else first.node_b
            goal = second.node_a if second.zone_a == zone else second.node_b
            heap: list[tuple[float, str, float, float]] = [(0.0, start, 0.0, 0.0)]
            done: set[str] = set()
            while heap:
                distance, node, r, x = heappop(heap)
                if node == goal:
                    return r, x
                if node in done:
                    continue
                done.add(node)
                for index in self.feeder.zones[zone].sections:
                    section = self.feeder.sections[index]
                    if node in (section.node_a, section.node_b):
                        far = section.node_b if node == section.node_a else section.node_a
                        step = sqrt(section.r1_ohm**2 + section.x1_ohm**2)
                        heappush(heap, (distance + step, far, r + section.r1_ohm, x + section.x1_ohm))
        return best

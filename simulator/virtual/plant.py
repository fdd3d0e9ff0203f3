"""A feeder that is fast enough for thousands of faults a minute: per island one walk down the tree, nothing numerical.

Model. Zones are vertices, closed contacts are edges. An island with a source is solved from that source: load flow by
summing net demand up the tree (no losses), fault current by a Thévenin ladder (source impedance, least-impedance path
through each zone, fault resistance; exact for faults in series on a tree). Each generator on line adds its own fault
current along the path to the nearest fault. An island without a source lives on its generators until they trip, and
collapses at once if they cannot carry its load. Only a three-phase fault takes the voltage away in all phases.
Machines give 5 x rated current (no decay), inverters 1.2 x.

This is truth, not measurement: detection delays and lies are added by :mod:`simulator.virtual.sensing`.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from math import hypot, sqrt

from scl.topology import DerKind, DeviceKind, Feeder

DEAD = -1
"""Root of a zone that nothing energises; 0..: source index; ISLAND: fed by generators only."""
ISLAND = 1_000
MACHINE_FACTOR = 5.0
INVERTER_FACTOR = 1.2
LIVE_PU = 0.2


@dataclass(slots=True, eq=False)
class Fault:
    """One fault, present since it was applied until it is extinguished or its fuse has blown."""

    zone: int
    section: int = -1
    """Index of the section; -1: at the zone's first node (busbar)."""
    fraction: float = 0.5
    kind: str = "abc"
    rf_ohm: float = 0.0
    lateral: bool = False
    """Behind a lateral fuse of the zone."""
    extinguish_us: int = 0
    """Temporary: goes out when its zone has been dead this long; 0: permanent."""
    since_us: int = 0


class Layout:
    """What never changes about a feeder, by index."""

    def __init__(self, feeder: Feeder) -> None:
        self.feeder = feeder
        self.devices = len(feeder.devices)
        self.zones = len(feeder.zones)
        self.sides = [(d.zone_a, d.zone_b) for d in feeder.devices]
        self.is_breaker = [d.kind is DeviceKind.BREAKER for d in feeder.devices]
        self.exits: list[list[tuple[int, int]]] = [
            [(d, feeder.devices[d].zone_b if feeder.devices[d].zone_a == z.index else feeder.devices[d].zone_a)
             for d in z.devices]
            for z in feeder.zones
        ]  # fmt: skip
        self.load_p = [0.0] * self.zones
        self.load_q = [0.0] * self.zones
        by_priority = [[0.0, 0.0, 0.0] for _ in range(self.zones)]
        for load in feeder.loads:
            self.load_p[load.zone] += load.p_kw
            self.load_q[load.zone] += load.q_kvar
            by_priority[load.zone][min(max(load.priority, 1), 3) - 1] += load.p_kw
        self.worth: list[tuple[float, float, float]] = [(a, b, c) for a, b, c in by_priority]
        """Planned kW of each zone by priority 1, 2, 3."""
        self.source_of = [z.sources[0] if z.sources else -1 for z in feeder.zones]
        self.source_zones = [s.zone for s in feeder.sources]
        self.root3_kv = sqrt(3.0) * feeder.nominal_kv
        self.phase_v = feeder.nominal_kv * 1000.0 / sqrt(3.0)
        self.rating_a = [feeder.zone_rating_a(z) for z in range(self.zones)]
        self.device_a = [d.rated_current_a for d in feeder.devices]
        self.zero_a = [0.02 * d.rated_current_a for d in feeder.devices]
        self._reach: dict[tuple[int, str], dict[str, tuple[complex, complex]]] = {}

    def node_of(self, device: int, zone: int) -> str:
        """The device's terminal in that zone."""
        d = self.feeder.devices[device]
        return d.node_a if d.zone_a == zone else d.node_b

    def reach(self, zone: int, node: str) -> dict[str, tuple[complex, complex]]:
        """Positive- and zero-sequence impedance from a node to every node of its zone, along the least path."""
        key = (zone, node)
        found = self._reach.get(key)
        if found is None:
            found = {}
            heap: list[tuple[float, int, str, complex, complex]] = [(0.0, 0, node, 0j, 0j)]
            count = 0
            while heap:
                distance, _, here, z1, z0 = heappop(heap)
                if here in found:
                    continue
                found[here] = (z1, z0)
                for index in self.feeder.zones[zone].sections:
                    s = self.feeder.sections[index]
                    if here in (s.node_a, s.node_b):
                        far = s.node_b if here == s.node_a else s.node_a
                        step = complex(s.r1_ohm, s.x1_ohm)
                        count += 1
                        heappush(heap, (distance + abs(step), count, far, z1 + step, z0 + complex(s.r0_ohm, s.x0_ohm)))
            self._reach[key] = found
        return found

    def impedance(self, zone: int, start: str, end: str, earth: bool) -> complex:
        """Loop impedance of a stretch inside a zone: Z1, or (2 Z1 + Z0) / 3 for a fault to earth."""
        z1, z0 = self.reach(zone, start).get(end, (0j, 0j))
        return (2 * z1 + z0) / 3 if earth else z1

    def to_fault(self, zone: int, start: str, fault: Fault, earth: bool) -> complex:
        """Loop impedance from a node of the zone to the fault point, fault resistance included."""
        z = 0j
        if fault.section >= 0:
            s = self.feeder.sections[fault.section]
            whole = complex(s.r1_ohm, s.x1_ohm)
            if earth:
                whole = (2 * whole + complex(s.r0_ohm, s.x0_ohm)) / 3
            near = self.impedance(zone, start, s.node_a, earth) + whole * fault.fraction
            far = self.impedance(zone, start, s.node_b, earth) + whole * (1 - fault.fraction)
            z = near if abs(near) <= abs(far) else far
        z += fault.rf_ohm
        return z if abs(z) > 1e-4 else 1e-4 + 0j


class Plant:
    """Truth: contacts, sources, generators, faults; :meth:`solve` derives flows and voltages from them."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        feeder = layout.feeder
        self.closed = [not d.normally_open for d in feeder.devices]
        self.source_on = [True] * len(feeder.sources)
        self.der_on = [True] * len(feeder.ders)
        self.cold = [1.0] * layout.zones
        """Demand multiple of each zone: the cold-load factor once it has been dead for long."""
        self.faults: list[Fault] = []
        self.net = [(0.0, 0.0)] * layout.zones
        """Net P, Q of each zone when it was last fed."""
        self._blank()
        self.solve()

    def _blank(self) -> None:
        layout = self.layout
        self.root = [DEAD] * layout.zones
        self.volts = [0.0] * layout.zones
        self.parent = [-1] * layout.zones
        """Device through which the zone is fed; -1 at a root or where dead."""
        self.kw = [0.0] * layout.devices
        self.kvar = [0.0] * layout.devices
        self.fault_a = [0.0] * layout.devices
        """Fault current A to B, signed, A r.m.s.; 0 without a fault in the island."""
        self.earth = [False] * layout.devices
        self.looped = False
        """Two sources, or a loop, in one energised island; also a source's own zone fed from elsewhere."""
        self.source_kva = [0.0] * len(layout.source_zones)

    def solve(self) -> None:
        """Flows, voltages, fault currents for the present contacts."""
        self._blank()
        layout = self.layout
        done = [False] * layout.zones
        for index, zone in enumerate(layout.source_zones):
            if done[zone]:
                self.looped = True
                continue
            if self.source_on[index]:
                self._island(zone, index, done)
        ders = layout.feeder.ders
        for index, der in enumerate(ders):
            if self.der_on[index] and not done[der.zone]:
                self._island(der.zone, ISLAND, done)

    def net_of(self, zone: int) -> tuple[float, float]:
        """Demand less generation of a live zone."""
        layout = self.layout
        p, q = layout.load_p[zone] * self.cold[zone], layout.load_q[zone] * self.cold[zone]
        for index in layout.feeder.zones[zone].ders:
            if self.der_on[index]:
                der = layout.feeder.ders[index]
                p, q = p - der.p_kw, q - der.q_kvar
        return p, q

    def _island(self, start: int, root: int, done: list[bool]) -> None:
        layout, closed = self.layout, self.closed
        order = [start]
        done[start] = True
        parent, feeder_of = self.parent, {start: -1}
        for zone in order:
            self.root[zone] = root
            for device, far in layout.exits[zone]:
                if not closed[device] or device == parent[zone]:
                    continue
                if done[far]:
                    self.looped = True
                    continue
                done[far] = True
                parent[far] = device
                feeder_of[far] = zone
                order.append(far)
        if root != ISLAND:
            for zone in order[1:]:
                if layout.source_of[zone] >= 0:
                    self.looped = True
        faults = [f for f in self.faults if self.root[f.zone] == root and f.zone in feeder_of]
        volts = layout.feeder.sources[root].voltage_pu if root != ISLAND else 1.0
        for zone in order:
            self.volts[zone] = volts
        if faults:
            if root != ISLAND:
                self._load_flow(order, feeder_of, root)
            elif not self._balanced(order):
                for zone in order:
                    self.volts[zone] = 0.1
            self._fault_flow(order, feeder_of, root, faults)
        elif root == ISLAND and not self._balanced(order):
            for zone in order:
                self.root[zone], self.volts[zone], self.parent[zone] = DEAD, 0.0, -1
        else:
            self._load_flow(order, feeder_of, root)

    def _balanced(self, order: list[int]) -> bool:
        """May the generators of an island carry its load? If not, its voltage collapses at once."""
        layout = self.layout
        demand = rated = 0.0
        for zone in order:
            demand += layout.load_p[zone] * self.cold[zone]
            rated += sum(layout.feeder.ders[i].rated_kva for i in layout.feeder.zones[zone].ders if self.der_on[i])
        return demand <= 0.9 * rated

    def _load_flow(self, order: list[int], feeder_of: dict[int, int], root: int) -> None:
        sums: dict[int, tuple[float, float]] = {}
        sides, parent = self.layout.sides, self.parent
        for zone in reversed(order):
            net = self.net_of(zone)
            self.net[zone] = net
            below = sums.get(zone)
            p, q = (net[0] + below[0], net[1] + below[1]) if below else net
            near = feeder_of[zone]
            if near < 0:
                if root != ISLAND:
                    self.source_kva[root] = hypot(p, q)
                continue
            device = parent[zone]
            if sides[device][1] == zone:
                self.kw[device], self.kvar[device] = p, q
            else:
                self.kw[device], self.kvar[device] = -p, -q
            above = sums.get(near)
            sums[near] = (above[0] + p, above[1] + q) if above else (p, q)

    def _fault_flow(self, order: list[int], feeder_of: dict[int, int], root: int, faults: list[Fault]) -> None:
        layout, parent, sides = self.layout, self.parent, self.layout.sides
        kind = faults[0].kind
        earth = kind == "ag"
        scale = 0.866 if kind in ("bc", "bcg") else 1.0
        by_zone: dict[int, list[Fault]] = {}
        for fault in faults:
            by_zone.setdefault(fault.zone, []).append(fault)
        if root != ISLAND:
            source = layout.feeder.sources[root]
            entry: dict[int, str] = {
                zone: layout.node_of(parent[zone], zone) if feeder_of[zone] >= 0 else source.node for zone in order
            }
            admittance: dict[int, complex] = {}
            branch: dict[int, complex] = {}
            for zone in reversed(order):
                y = admittance.get(zone, 0j)
                for fault in by_zone.get(zone, ()):
                    y += 1 / layout.to_fault(zone, entry[zone], fault, earth)
                admittance[zone] = y
                near = feeder_of[zone]
                if y and near >= 0:
                    stretch = layout.impedance(near, entry[near], layout.node_of(parent[zone], near), earth)
                    branch[zone] = 1 / (stretch + 1 / y)
                    admittance[near] = admittance.get(near, 0j) + branch[zone]
            zs = complex(source.r1_ohm, source.x1_ohm)
            if earth:
                zs = (2 * zs + complex(source.r0_ohm, source.x0_ohm)) / 3
            emf = layout.phase_v * source.voltage_pu
            voltage: dict[int, complex] = {order[0]: emf / (1 + zs * admittance[order[0]])}
            for zone in order:
                near = feeder_of[zone]
                if near >= 0:
                    y = branch.get(zone, 0j)
                    voltage[zone] = voltage[near] * y / admittance[zone] if y else voltage[near]
                    amps = abs(voltage[near] * y) * scale
                    device = parent[zone]
                    self.fault_a[device] += amps if sides[device][1] == zone else -amps
                    # Generators stand behind delta windings: residual current comes from the source only.
                    self.earth[device] = (
                        kind in ("ag", "bcg") and amps >= 0.8 * layout.feeder.devices[device].earth_pickup_a
                    )
                at = by_zone.get(zone)
                if at and kind == "abc":
                    f = at[0]
                    z = layout.to_fault(zone, entry[zone], f, earth)
                    voltage[zone] = voltage[zone] * (f.rf_ohm / z)
                if kind == "abc":
                    self.volts[zone] = abs(voltage[zone]) / layout.phase_v
        elif kind == "abc":
            for zone in order:
                self.volts[zone] = 0.1
        self._backfeed(feeder_of, by_zone, kind)

    def _backfeed(self, feeder_of: dict[int, int], by_zone: dict[int, list[Fault]], kind: str) -> None:
        layout, parent, sides = self.layout, self.parent, self.layout.sides
        for index, der in enumerate(layout.feeder.ders):
            if not self.der_on[index] or der.zone not in feeder_of:
                continue
            factor = MACHINE_FACTOR if der.kind is DerKind.MACHINE else INVERTER_FACTOR
            amps = factor * der.rated_kva / layout.root3_kv
            if kind != "abc":
                amps *= 0.5
            up: dict[int, int] = {}
            zone, steps = der.zone, 0
            while zone >= 0:
                up[zone] = steps
                zone, steps = feeder_of[zone], steps + 1
            best: tuple[int, list[int], int] | None = None
            for target in by_zone:
                down: list[int] = []
                zone = target
                while zone not in up:
                    down.append(zone)
                    zone = feeder_of[zone]
                if best is None or up[zone] + len(down) < best[0]:
                    best = (up[zone] + len(down), down, zone)
            assert best is not None
            zone = der.zone
            while zone != best[2]:  # up: current leaves the zone towards its feeding side
                self.fault_a[parent[zone]] += -amps if sides[parent[zone]][1] == zone else amps
                zone = feeder_of[zone]
            for zone in best[1]:
                self.fault_a[parent[zone]] += amps if sides[parent[zone]][1] == zone else -amps

    # --- questions ---------------------------------------------------------------------------------------------------

    def live(self, zone: int) -> bool:
        """Voltage above 20 % of nominal in at least one phase."""
        return self.root[zone] != DEAD and self.volts[zone] >= LIVE_PU

    def amps(self, device: int) -> float:
        """Current through the device, A r.m.s."""
        if not self.closed[device]:
            return 0.0
        fault = abs(self.fault_a[device])
        return fault if fault > 0.0 else hypot(self.kw[device], self.kvar[device]) / self.layout.root3_kv

    def level(self, device: int) -> int:
        """0 quiet, 1 start (0.8 x pick-up), 2 pick-up: what a perfect relay would say."""
        amps = abs(self.fault_a[device])
        if amps == 0.0 or not self.closed[device]:
            return 0
        d = self.layout.feeder.devices[device]
        pickup = min(d.phase_pickup_a, d.earth_pickup_a) if self.earth[device] else d.phase_pickup_a
        return 2 if amps >= pickup else 1 if amps >= 0.8 * pickup else 0

    def overloads(self) -> list[tuple[str, float]]:
        """Elements above their rating in the present load flow: (name, loading pu). Faulted islands are left out."""
        layout = self.layout
        found = []
        faulted = {self.root[f.zone] for f in self.faults}
        for zone, device in enumerate(self.parent):
            if device < 0 or self.root[zone] in faulted:
                continue
            amps = hypot(self.kw[device], self.kvar[device]) / layout.root3_kv
            if amps > layout.device_a[device] * (1 + 1e-9):
                found.append((layout.feeder.devices[device].name, amps / layout.device_a[device]))
            if amps > layout.rating_a[zone] * (1 + 1e-9):
                found.append((layout.feeder.zones[zone].name, amps / layout.rating_a[zone]))
        for index, source in enumerate(layout.feeder.sources):
            if index not in faulted and self.source_kva[index] > source.rated_kva * (1 + 1e-9):
                found.append((source.name, self.source_kva[index] / source.rated_kva))
        return found

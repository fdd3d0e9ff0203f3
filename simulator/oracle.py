"""Brute force: the most that any switching of a dead area could restore, by priority, within every rating.

All ways to close open devices and open closed ones inside the dead area are tried (as trees that grow from live zones),
under the rules of the house plan: radial, no fault energised, no locked device closed, no two sources joined, live
zones left as they are. A feed loads every element up to its source: devices by rated current, zones by the least rating
of their sections for what enters them, the source by its kVA. Demand of a dead zone is gross (what was metered before
it went dead, plus the rating of its generators) times the cold-load factor. Voltage drop is not judged: random feeders
are too short for it.

Shares no code with the agents. Exact up to ``limit`` tried extensions; beyond it the answer says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot

from simulator.virtual.plant import Layout, Plant

TOLERANCE = 1 + 1e-6
Value = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Answer:
    """kW by priority 1, 2, 3 that the best switching adds; zones it feeds; whether the search was complete."""

    value: Value
    zones: int
    exact: bool
    tried: int


def value_of(layout: Layout, zones: int) -> Value:
    """kW of load by priority in a set of zones."""
    first = second = third = 0.0
    while zones:
        low = zones & -zones
        zones ^= low
        a, b, c = layout.worth[low.bit_length() - 1]
        first, second, third = first + a, second + b, third + c
    return first, second, third


class _Search:
    def __init__(
        self,
        plant: Plant,
        dead: int,
        faulted: int,
        locked: set[int],
        demand: list[tuple[float, float]],
        limit: int,
        unmetered: int = 0,
    ) -> None:
        self.plant, self.layout = plant, plant.layout
        self.locked, self.demand, self.limit = locked, demand, limit
        self.tried = 0
        layout = plant.layout
        self.open_to = 0
        """Dead zones without a fault that something could reach."""
        sources = len(layout.source_zones)
        sick = {plant.root[f.zone] for f in plant.faults}
        self.root = [-1 if dead >> z & 1 or root >= sources else root for z, root in enumerate(plant.root)]
        """Source index of every zone that was never dead; -1 for the rest, until they are fed."""
        for zone in range(layout.zones):
            if self.root[zone] < 0 and not faulted >> zone & 1 and layout.source_of[zone] < 0:
                self.open_to |= 1 << zone
        self.load: dict[int, tuple[float, float]] = {}
        """P, Q entering each fed zone: live ones as they are, dead ones as the tree grows."""
        self.above: dict[int, tuple[int, int]] = {}
        """Zone: (device it is fed through, zone above)."""
        self.source: dict[int, tuple[float, float]] = {}
        fed = [z for z, root in enumerate(self.root) if root >= 0]
        self.live = [z for z in fed if self.root[z] not in sick]
        """Where a tree may begin: an island with a fault in it feeds nobody."""
        for zone in fed:
            device = plant.parent[zone]
            if device >= 0:
                self.load[zone] = (0.0, 0.0)
                a, b = layout.sides[device]
                self.above[zone] = (device, a if b == zone else b)
        for zone in fed:
            self._add(zone, *(demand if unmetered >> zone & 1 else plant.net)[zone])
        self.fed = 0
        self.best: Value = (-1.0, 0.0, 0.0)
        self.best_zones = 0
        self.seen: set[tuple[int, ...]] = set()

    def reachable(self) -> int:
        """Healthy dead zones that a live zone reaches through devices that may close."""
        found = 0
        queue = list(self.live)
        while queue:
            zone = queue.pop()
            for device, far in self.layout.exits[zone]:
                if self.open_to >> far & 1 and not found >> far & 1 and self._usable(device):
                    found |= 1 << far
                    queue.append(far)
        return found

    def _usable(self, device: int) -> bool:
        return self.plant.closed[device] or device not in self.locked

    def run(self) -> Answer:
        target = self.reachable()
        self.best_value_possible = value_of(self.layout, target)
        edges = self._edges_from(self.live, 0)
        self._grow(edges, 0, target)
        value = self.best if self.best[0] >= 0 else (0.0, 0.0, 0.0)
        return Answer(value, self.best_zones, self.tried < self.limit, self.tried)

    def _edges_from(self, zones: list[int], fed: int) -> list[tuple[int, int, int]]:
        return [
            (device, zone, far)
            for zone in zones
            for device, far in self.layout.exits[zone]
            if self.open_to >> far & 1 and not fed >> far & 1 and self._usable(device)
        ]

    def _grow(self, edges: list[tuple[int, int, int]], fed: int, free: int) -> None:
        """Branch on the first usable edge: feed through it, or never use it."""
        value = value_of(self.layout, fed)
        if value > self.best:
            self.best, self.best_zones = value, fed
        if self.best == self.best_value_possible or self.tried >= self.limit:
            return
        possible = 0
        queue = [far for _, _, far in edges if not fed >> far & 1]
        while queue:
            zone = queue.pop()
            if not possible >> zone & 1:
                possible |= 1 << zone
                queue += [
                    far
                    for device, far in self.layout.exits[zone]
                    if free >> far & 1 and not fed >> far & 1 and not possible >> far & 1 and self._usable(device)
                ]
        if value_of(self.layout, fed | possible) <= self.best:
            return
        while edges and fed >> edges[0][2] & 1:
            edges = edges[1:]
        if not edges:
            return
        device, near, far = edges[0]
        rest = edges[1:]
        self.tried += 1
        undo = self._feed(device, near, far)
        if undo is not None:
            grown = rest + [e for e in self._edges_from([far], fed | 1 << far) if e[0] != device]
            self._grow(grown, fed | 1 << far, free)
            self._take_back(far, *undo)
        self._grow(rest, fed, free)

    def _feed(self, device: int, near: int, far: int) -> tuple[float, float] | None:
        """Hang a dead zone on a fed one; None if an element above would exceed its rating."""
        p, q = self.demand[far]
        self.above[far] = (device, near)
        self.load[far] = (0.0, 0.0)
        self.root[far] = self.root[near]
        if self._add(far, p, q):
            return p, q
        self._take_back(far, p, q)
        return None

    def _add(self, zone: int, p: float, q: float) -> bool:
        """Load on a zone and on everything above it; whether every element bears it."""
        layout = self.layout
        root = self.root[zone]
        fits = True
        while zone in self.above:
            through, up = self.above[zone]
            load = self.load[zone]
            load = self.load[zone] = (load[0] + p, load[1] + q)
            amps = hypot(*load) / layout.root3_kv
            fits &= amps <= min(layout.device_a[through], layout.rating_a[zone]) * TOLERANCE
            zone = up
        had = self.source.get(root, (0.0, 0.0))
        had = self.source[root] = (had[0] + p, had[1] + q)
        return fits and hypot(*had) <= layout.feeder.sources[root].rated_kva * TOLERANCE

    def _take_back(self, far: int, p: float, q: float) -> None:
        self._add(far, -p, -q)
        self.root[far] = -1
        del self.above[far], self.load[far]


def reachable(plant: Plant, dead: int, faulted: int, locked: set[int]) -> int:
    """Healthy zones of a dead set that could be reached at all, ratings aside."""
    return _Search(plant, dead, faulted, locked, [(0.0, 0.0)] * plant.layout.zones, 0).reachable()


def best(
    plant: Plant,
    dead: int,
    faulted: int,
    locked: set[int],
    demand: list[tuple[float, float]],
    limit: int = 20_000,
    unmetered: int = 0,
) -> Answer:
    """The best restoration of a set of zones from the live rest; how the plant feeds them now is ignored.

    ``demand``: P, Q of each zone if it were fed again; for the ``unmetered`` live ones as well.
    """
    return _Search(plant, dead, faulted, locked, demand, limit, unmetered).run()

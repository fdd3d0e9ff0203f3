"""The best assignment of dead healthy zones to live points: a pure function of an immutable problem.

Best is, in this order: kW of priority 1 restored, of priority 2, of priority 3, most zones, fewest operations, first
found. First each supply is offered all that closed devices join to its dead side, whole or not at all. If that leaves
something dark, sets are grown zone by zone (take the next zone, or never), and a branch is left as soon as

    a rating on the way, or inside the tree, is exceeded: more load never helps, or
    all that could still be reached, filled into the headroom that is left, best kW a kW first, is worth no more than
    the best plan known (the linear bound of the knapsack problem), with no fewer operations.

``limit`` bounds the steps; a search that is cut short returns the best it has found, the same on every machine.
"""

from __future__ import annotations

from functools import lru_cache
from math import hypot, sqrt
from typing import NamedTuple

from agent.logic.grid import bits
from agent.logic.limits import NOTHING, Line, Load, bears
from agent.logic.problem import Feed, Problem, added, feed, zones_of

Kw = tuple[float, float, float]
SLACK = 1e-6
"""kW: sums of the same loads in another order differ by less."""


class Hope(NamedTuple):
    """What a branch could still add, at most: the line that is growing, and the lines after it."""

    own: int
    """Zones that this line could still take …"""
    own_kw: float
    """… and its headroom."""
    later: int
    """The same of the later lines …"""
    later_kw: float
    """… whose widest one bears so much."""
    all_kw: float
    """What they bear together."""


@lru_cache(maxsize=256)
def best(problem: Problem) -> tuple[Feed, ...]:
    """The best feeds. Remembered: pictures change more often than what a plan reads of them."""
    return _Solver(problem).run()


class _Solver:
    """One search."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        grid = self.grid = problem.grid
        self.need: Load = {zone: (p, q) for zone, p, q in problem.need}
        healthy = sum(1 << zone for zone in self.need)
        usable = problem.closed | problem.bridges
        self.near = {zone: self._beside(zone, usable, healthy) for zone in self.need}
        self.lines = [line for line in problem.lines if bears(line, *self.need[line.zone], {}, or_more=True)]
        self.target = self.flood(_sides(self.lines), healthy)
        self.joined = {zone: self._beside(zone, problem.closed, self.target) for zone in bits(self.target)}
        self.parts = _parts(self.joined, self.target)
        """Zones that closed devices join: each part needs one closing at least."""
        edges = {
            device
            for zone in self.joined
            for device, far in grid.links[zone]
            if usable >> device & 1 and self.target >> far & 1
        }
        self.radial = len(edges) == self.target.bit_count() - len(_parts(self.near, self.target))
        """No two ways to any zone: trees inside can be checked as they grow."""
        self.dense = [(zone, self.need[zone][0], *grid.worth[zone]) for zone in self.joined]
        self.dense.sort(key=lambda z: (*(-kw / max(z[1], SLACK) for kw in z[2:]), z[0]))
        """Zone, kW it needs, worth: most kW of the highest priority for a kW of headroom first."""
        self.tried = 0
        self.value: tuple[Kw, int, int] = ((-1.0, 0.0, 0.0), 0, 0)
        self.feeds: tuple[Feed, ...] = ()

    def _beside(self, zone: int, devices: int, zones: int) -> int:
        return sum({1 << far for device, far in self.grid.links[zone] if devices >> device & 1 and zones >> far & 1})

    def flood(self, start: int, within: int) -> int:
        """Zones of ``within`` that usable devices join to ``start``."""
        return _flood(self.near, start & within, within)

    def run(self) -> tuple[Feed, ...]:
        """The best feeds."""
        if self.lines:
            self._whole(0, self.target, (), {})
            if zones_of(self.feeds) != self.target:
                self.choose(0, self.target, (), {})
        return self.feeds

    # --- what plans are worth -----------------------------------------------------------------------------------------

    def worth(self, zones: int) -> Kw:
        """Planned kW of zones, by priority."""
        first = second = third = 0.0
        for zone in bits(zones):
            a, b, c = self.grid.worth[zone]
            first, second, third = first + a, second + b, third + c
        return first, second, third

    def _offer(self, feeds: tuple[Feed, ...]) -> None:
        zones = zones_of(feeds)
        value = (self.worth(zones), zones.bit_count(), -_operations(feeds))
        if value > self.value:
            self.value, self.feeds = value, feeds

    def hopeless(self, kw: Kw, fed: int, hope: Hope, operations: int) -> bool:
        """Is ``fed``, worth ``kw``, with the best that may be hoped for, no better than the best plan known?

        ``operations``: what is spent on ``fed`` already, parts not yet begun left out.
        """
        known, count, spent = self.value
        first, second, third = kw
        room = max(hope.all_kw, 0.0)
        full = False
        for zone, p, a, b, c in self.dense:
            if not (hope.own >> zone & 1 and p <= hope.own_kw) and not (hope.later >> zone & 1 and p <= hope.later_kw):
                continue
            fed |= 1 << zone
            if full:
                continue
            if p > room:
                a, b, c = a * room / p, b * room / p, c * room / p
                full = True
            room -= p
            first, second, third = first + a, second + b, third + c
        for sum_kw, had in ((first, known[0]), (second, known[1]), (third, known[2])):
            if sum_kw < had - SLACK:
                return True
            if sum_kw > had + SLACK:
                return False
        if fed.bit_count() != count:
            return fed.bit_count() < count
        return operations >= -spent

    def _begun(self, fed: int) -> int:
        """Parts of the target with something left to feed: one operation each at least."""
        return sum(1 for part in self.parts if part & ~fed)

    def rooms(self, index: int, load: Load) -> tuple[list[float], float]:
        """The most kW that each line from ``index`` on can take, and all together within their sources."""
        rooms = []
        by_source: dict[int, tuple[float, float]] = {}
        for line in self.lines[index:]:
            room = source = 0.0
            for number, (key, had_p, had_q, rated) in enumerate(line.elements):
                on_p, on_q = load.get(key, NOTHING)
                across = max(had_q + on_q, 0.0)
                source = max(sqrt(rated * rated - across * across) - had_p - on_p, 0.0) if across < rated else 0.0
                room = min(room, source) if number else source
            rooms.append(room + SLACK)
            key = line.elements[-1].key
            by_source[key] = (by_source.get(key, NOTHING)[0] + room, source)
        return rooms, sum(min(lines, source) for lines, source in by_source.values())

    # --- whole --------------------------------------------------------------------------------------------------------

    def _whole(self, index: int, free: int, feeds: tuple[Feed, ...], load: Load) -> None:
        """Each supply takes all that closed devices join to its dead side, or nothing."""
        self._offer(feeds)
        if self._hope(index, free, feeds, load) is None:
            return
        line = self.lines[index]
        if free >> line.zone & 1:
            self.tried += 1
            all_joined = _flood(self.joined, 1 << line.zone, self.target)
            new = feed(self.problem, line, all_joined, self.need, load)
            if new is not None:
                self._whole(index + 1, free & ~new.zones, (*feeds, new), added(line, new, load))
                if zones_of(self.feeds) == self.target:
                    return
        self._whole(index + 1, free, feeds, load)

    def _hope(self, index: int, free: int, feeds: tuple[Feed, ...], load: Load) -> tuple[list[float], float] | None:
        """Headroom of the lines from ``index`` on, each and together; None if they can make the plan no better."""
        if index == len(self.lines) or self.tried > self.problem.limit:
            return None
        later = self.flood(_sides(self.lines[index:]), free)
        if not later:
            return None
        rooms, together = self.rooms(index, load)
        fed = zones_of(feeds)
        hope = Hope(0, 0.0, later, max(rooms), together)
        operations = _operations(feeds) + self._begun(fed)
        return None if self.hopeless(self.worth(fed), fed, hope, operations) else (rooms, together)

    # --- part by part -------------------------------------------------------------------------------------------------

    def choose(self, index: int, free: int, feeds: tuple[Feed, ...], load: Load) -> None:
        """What the supplies from ``index`` on make of what is still free."""
        self._offer(feeds)
        headroom = self._hope(index, free, feeds, load)
        if headroom is None:
            return
        if free >> self.lines[index].zone & 1:
            _Growth(self, index, free, feeds, load, headroom).run()
        self.choose(index + 1, free, feeds, load)

    def begun(self, feeds: tuple[Feed, ...]) -> int:
        """Operations of a plan, and one for each part that it leaves something of: the least that feeds all."""
        return _operations(feeds) + self._begun(zones_of(feeds))


class _Growth:
    """All sets of free zones that one line may feed, each once, grown from its dead zone."""

    def __init__(
        self, solver: _Solver, index: int, free: int, feeds: tuple[Feed, ...], load: Load,
        headroom: tuple[list[float], float],
    ) -> None:  # fmt: skip
        self.solver = solver
        self.index, self.free, self.feeds, self.load = index, free, feeds, load
        self.line = solver.lines[index]
        self.fed = zones_of(feeds)
        self.least = solver.begun(feeds)
        rooms, self.room = headroom
        self.own, self.widest = rooms[0], max(rooms[1:], default=0.0)
        self.later = solver.flood(_sides(solver.lines[index + 1 :]), free)
        self.above: dict[int, tuple[int, int]] = {}
        self.entering: Load = {}

    def run(self) -> None:
        """Go through them."""
        line = self.line
        reach = self.solver.flood(1 << line.zone, self.free)
        self._take(line.zone, line.root, -1, 0, 0, reach, NOTHING, self.solver.worth(self.fed), 0)

    def _take(
        self, zone: int, device: int, up: int, members: int, barred: int, reach: int, load: tuple[float, float],
        kw: Kw, cuts: int,
    ) -> None:  # fmt: skip
        """Go on with the zone in the set, unless a rating forbids it."""
        solver = self.solver
        zp, zq = solver.need[zone]
        load = (load[0] + zp, load[1] + zq)
        if not bears(self.line, *load, self.load, or_more=True):
            return
        a, b, c = solver.grid.worth[zone]
        kw = (kw[0] + a, kw[1] + b, kw[2] + c)
        if not solver.radial:
            self._grow(members | 1 << zone, barred, reach, load, kw, cuts)
            return
        if self._hang(zone, device, up, zp, zq):
            self._grow(members | 1 << zone, barred, reach, load, kw, cuts)
        self._unhang(zone, zp, zq)

    def _hang(self, zone: int, device: int, up: int, p: float, q: float) -> bool:
        """Load on the zone and on all above it; do their devices and sections bear it?"""
        grid = self.solver.grid
        self.above[zone] = (device, up)
        self.entering[zone] = NOTHING
        fits = True
        while zone >= 0:
            device, up = self.above[zone]
            had_p, had_q = self.entering[zone]
            self.entering[zone] = (had_p + p, had_q + q)
            fits = fits and hypot(had_p + p, had_q + q) <= grid.entry_kva(device, zone)
            zone = up
        return fits

    def _unhang(self, zone: int, p: float, q: float) -> None:
        up = self.above[zone][1]
        del self.above[zone], self.entering[zone]
        while up >= 0:
            had_p, had_q = self.entering[up]
            self.entering[up] = (had_p - p, had_q - q)
            up = self.above[up][1]

    def _grow(self, members: int, barred: int, reach: int, load: tuple[float, float], kw: Kw, cuts: int) -> None:
        """Take the next zone beside the set, or never; where none is left, the set is a candidate.

        ``cuts``: closed devices from the set to zones barred from it, which will be opened.
        """
        solver = self.solver
        solver.tried += 1
        if solver.tried > solver.problem.limit:
            return
        p = load[0]
        hope = Hope(reach & ~members, self.own - p, self.later & ~members, self.widest, self.room - p)
        if solver.hopeless(kw, self.fed | members, hope, self.least + cuts):
            return
        step = self._next(members, reach & ~members)
        if step is None:
            new = feed(solver.problem, self.line, members, solver.need, self.load)
            if new is not None:
                load_with = added(self.line, new, self.load)
                solver.choose(self.index + 1, self.free & ~members, (*self.feeds, new), load_with)
            return
        device, near, far = step
        self._take(far, device, near, members, barred, reach, load, kw, cuts)
        barred |= 1 << far
        cuts += solver.problem.closed >> device & 1
        self._grow(members, barred, solver.flood(members, self.free & ~barred), load, kw, cuts)

    def _next(self, members: int, wanted: int) -> tuple[int, int, int] | None:
        """(device, zone, next zone) of the most valuable zone beside the set."""
        if not wanted:
            return None
        solver = self.solver
        usable = solver.problem.closed | solver.problem.bridges
        for zone, *_ in solver.dense:
            if wanted >> zone & 1 and solver.near[zone] & members:
                for device, near in solver.grid.links[zone]:
                    if members >> near & 1 and usable >> device & 1:
                        return device, near, zone
        return None


def _sides(lines: list[Line]) -> int:
    """The dead zones beside live points."""
    return sum({1 << line.zone for line in lines})


def _operations(feeds: tuple[Feed, ...]) -> int:
    return sum(1 + feed.opens.bit_count() + feed.closes.bit_count() for feed in feeds)


def _flood(near: dict[int, int], start: int, within: int) -> int:
    seen = fresh = start
    while fresh:
        low = fresh & -fresh
        fresh ^= low
        more = near[low.bit_length() - 1] & within & ~seen
        seen |= more
        fresh |= more
    return seen


def _parts(near: dict[int, int], zones: int) -> list[int]:
    parts = []
    while zones:
        part = _flood(near, zones & -zones, zones)
        parts.append(part)
        zones &= ~part
    return parts

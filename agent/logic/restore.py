"""The plan: which open device feeds which dead healthy zones, within every rating. Pure search over the shared picture.

All agents with the same picture compute the same plan; each carries out only the feeds whose root is its own device.
Best is, in this order: kW of priority 1 restored, of priority 2, of priority 3, fewest operations, lowest index.
A feed is checked on every element up to the transformer (device and zone ratings, source kVA), for voltage drop at its
end and for reach: a two-phase fault there must still be seen by every breaker on the way.
"""

from __future__ import annotations

from itertools import pairwise
from math import hypot
from typing import NamedTuple

from agent.logic.grid import bits
from agent.logic.messages import Level, Live, Position
from agent.logic.picture import flow_into, is_closed, metered_path, zone_live
from agent.logic.state import State

MOVES_LAST = 1_500_000
"""After a switch has moved, reported flows may be from before it for so long."""


class Feed(NamedTuple):
    """Close ``root`` and so feed ``zones``; ``opens`` first, ``closes`` afterwards, outward."""

    root: int
    zones: int
    opens: int
    closes: int
    p_kw: float
    q_kvar: float


class Plan(NamedTuple):
    """What can be fed, and why the rest stays dark; ``unsettled``: dead zones that may look different in a moment."""

    feeds: tuple[Feed, ...]
    dark: tuple[tuple[int, str], ...]
    unsettled: int


class Supply(NamedTuple):
    """A live point next to a dead zone."""

    root: int
    live_zone: int
    dead_zone: int
    path: tuple[tuple[int, int], ...]


def closable(state: State, device: int) -> bool:
    """May automation close this (open) device at all?"""
    if device == state.me:
        return (
            state.ready
            and state.automation
            and not (state.tagged or state.locked_a or state.locked_b or state.failed or state.trip or state.close_at)
            and not (state.status.local or state.status.blocked)
            and state.status.healthy
            and state.close_failures < 2
        )
    report = state.peers[device]
    return (
        report is not None
        and state.fresh[device]
        and report.ready
        and report.automation
        and not (report.tagged or report.locked_a or report.locked_b or report.failed)
    )


def demand(state: State, zone: int, known: dict[int, tuple[float, float]]) -> tuple[float, float]:
    """Gross demand of a dead zone: metered before (or planned load), DER counted as lost, times cold-load factor."""
    grid = state.grid
    factor = grid.feeder.cold_load_factor
    p, q = known.get(zone) or (grid.zone_kw[zone], grid.zone_kvar[zone])
    if zone in known:
        p += grid.der_kva[zone]
    return max(p, 0.0) * factor, max(q, 0.0) * factor


class Search:
    """One planning pass over one picture."""

    def __init__(self, state: State, known: dict[int, tuple[float, float]], now: int, allow_held: bool = False) -> None:
        self.state = state
        self.held = 0 if allow_held else state.held
        self.grid = state.grid
        self.dark: dict[int, str] = {}
        self.unsettled = 0
        self.known = known
        self.revived = sum(1 << zone for zone, when in state.revived.items() if now - when < MOVES_LAST)
        self.fresh_moves = now - state.last_move < MOVES_LAST
        self.blocked: dict[int, str] = {}
        self.need: dict[int, tuple[float, float]] = {}
        self.healthy = self._healthy(known)
        self.supplies = self._supplies() if self.healthy else []
        self.tried = 0
        self.best_value: tuple[float, ...] = ()
        self.best: tuple[Feed, ...] = ()

    # --- what there is -----------------------------------------------------------------------------------------------

    def _healthy(self, known: dict[int, tuple[float, float]]) -> int:
        state, grid = self.state, self.grid
        excluded = state.faulted() | self.held | grid.sources_mask
        healthy = 0
        for zone in range(len(grid.zone_devices)):
            if excluded >> zone & 1 or zone_live(state, zone) is not Live.DEAD:
                continue
            reason, moving = self._obstacle(zone)
            if reason:
                self.dark[zone] = reason
                self.unsettled |= moving << zone
            else:
                healthy |= 1 << zone
                self.need[zone] = demand(state, zone, known)
        return self._separable(healthy)

    def _obstacle(self, zone: int) -> tuple[str, bool]:
        """Why the zone cannot be planned for, and whether that may pass in a moment."""
        state = self.state
        for device in self.grid.zone_devices[zone]:
            if device == state.me:
                if state.active:
                    return "fault current present", True
                continue
            report = state.peers[device]
            name = self.grid.devices[device].name
            if report is None or not state.fresh[device]:
                return f"agent of {name} silent", False
            if not report.ready:
                return f"agent of {name} not ready", False
            if report.position not in (Position.OPEN, Position.CLOSED):
                return f"position of {name} not known", True
            if report.level in (Level.START, Level.PICKUP):
                return f"fault current at {name}", True
        return "", False

    def _separable(self, healthy: int) -> int:
        """Drop zones that cannot be cut from a faulted or unknown neighbour; repeat until nothing changes."""
        state, grid = self.state, self.grid
        bad = state.faulted()
        changed = True
        while changed:
            changed = False
            for zone in bits(healthy):
                for device in grid.zone_devices[zone]:
                    far = grid.other(device, zone)
                    if healthy >> far & 1 or state.is_open(device):
                        continue
                    report = state.report_of(device)
                    stuck = report is None or report.failed or device_local(state, device)
                    if bad >> far & 1:
                        reason = f"{grid.devices[device].name} does not isolate it from a fault"
                        self.unsettled |= (report is not None and not report.failed) << zone
                    elif stuck:
                        reason = f"{grid.devices[device].name} cannot be opened"
                    elif zone_live(state, far) is Live.LIVE:
                        reason = "voltage is still settling"
                        self.unsettled |= 1 << zone
                    else:
                        continue
                    self.dark[zone] = reason
                    healthy &= ~(1 << zone)
                    changed = True
                    break
        return healthy

    def _supplies(self) -> list[Supply]:
        state, grid = self.state, self.grid
        found = []
        for device in range(grid.count):
            if not state.is_open(device) or not closable(state, device):
                continue
            a, b = grid.sides[device]
            for dead, live in ((a, b), (b, a)):
                if self.healthy >> dead & 1 and zone_live(state, live) is Live.LIVE and not state.faulted() >> live & 1:
                    path = metered_path(state, live)
                    if path is not None:
                        found.append(Supply(device, live, dead, tuple(path)))
                    else:
                        self.blocked[dead] = f"how the far side of {grid.devices[device].name} is fed and loaded is not known"
        found.sort(key=lambda s: (grid.devices[s.root].normally_open, s.root))
        return found

    # --- search ------------------------------------------------------------------------------------------------------

    def run(self) -> Plan:
        """The best plan found."""
        if self.healthy and self.supplies:
            self._whole(0, self.healthy, (), {})
            if _zones_of(self.best) != self.healthy:
                self._choose(0, self.healthy, (), {})
        for zone in bits(self.healthy & ~_zones_of(self.best)):
            reason = "no supply with capacity" if self.supplies else "no live supply next to it"
            self.dark.setdefault(zone, self.blocked.get(zone, reason))
        return Plan(self.best, tuple(sorted(self.dark.items())), self.unsettled)

    def _value(self, feeds: tuple[Feed, ...]) -> tuple[float, ...]:
        kw = [0.0, 0.0, 0.0]
        zones = 0
        operations = 0
        for feed in feeds:
            zones |= feed.zones
            operations += 1 + feed.opens.bit_count() + feed.closes.bit_count()
        for load in self.grid.feeder.loads:
            if zones >> load.zone & 1:
                kw[min(max(load.priority, 1), 3) - 1] += load.p_kw
        return kw[0], kw[1], kw[2], float(zones.bit_count()), -float(operations)

    def _whole(self, index: int, free: int, feeds: tuple[Feed, ...], load: dict[int, tuple[float, float]]) -> None:
        """First without splitting: each supply takes all that closed devices join to its dead side, or nothing."""
        value = self._value(feeds)
        if value > self.best_value:
            self.best_value, self.best = value, feeds
        if index == len(self.supplies) or not free or self.tried > self.state.config.plan_limit:
            return
        supply = self.supplies[index]
        if free >> supply.dead_zone & 1:
            self.tried += 1
            feed = self._feed(supply, self._joined(supply.dead_zone))
            added = self.fits(supply, feed, load) if feed is not None else None
            if feed is not None and added is not None:
                self._whole(index + 1, free & ~feed.zones, (*feeds, feed), added)
                if not self.healthy & ~_zones_of(self.best):
                    return
        self._whole(index + 1, free, feeds, load)

    def _joined(self, zone: int) -> int:
        """Healthy dead zones that closed devices join to this one."""
        grid = self.grid
        seen = 1 << zone
        queue = [zone]
        for current in queue:
            for device in grid.zone_devices[current]:
                far = grid.other(device, current)
                if self.healthy >> far & 1 and not seen >> far & 1 and is_closed(self.state, device):
                    seen |= 1 << far
                    queue.append(far)
        return seen

    def _choose(self, index: int, free: int, feeds: tuple[Feed, ...], load: dict[int, tuple[float, float]]) -> None:
        value = self._value(feeds)
        if value > self.best_value:
            self.best_value, self.best = value, feeds
        if index == len(self.supplies) or not free or self.tried > self.state.config.plan_limit:
            return
        if len(self.best_value) and self._value_of_all(free, feeds) < self.best_value[:4]:
            return
        supply = self.supplies[index]
        if free >> supply.dead_zone & 1:
            for zones in self._grow(supply.dead_zone, free):
                self.tried += 1
                if self.tried > self.state.config.plan_limit:
                    break
                feed = self._feed(supply, zones)
                if feed is None:
                    continue
                added = self.fits(supply, feed, load)
                if added is not None:
                    self._choose(index + 1, free & ~zones, (*feeds, feed), added)
        self._choose(index + 1, free, feeds, load)

    def _value_of_all(self, free: int, feeds: tuple[Feed, ...]) -> tuple[float, ...]:
        """Upper bound: everything still free restored as well."""
        return self._value((*feeds, Feed(0, free, 0, 0, 0.0, 0.0)))[:4]

    def _grow(self, start: int, free: int) -> list[int]:
        """Connected sets of free zones that contain ``start``: everything reachable first, then ever smaller ones."""
        grid, state = self.grid, self.state
        joined: dict[int, int] = {}
        for zone in bits(free):
            near = 0
            for device in grid.zone_devices[zone]:
                far = grid.other(device, zone)
                if free >> far & 1 and (
                    is_closed(state, device) or (state.is_open(device) and closable(state, device))
                ):
                    near |= 1 << far
            joined[zone] = near
        sets = {1 << start}
        frontier = [1 << start]
        limit = self.state.config.plan_limit
        while frontier and len(sets) < limit:
            grown = []
            for members in frontier:
                near = 0
                for zone in bits(members):
                    near |= joined[zone]
                for zone in bits(near & ~members):
                    larger = members | 1 << zone
                    if larger not in sets:
                        sets.add(larger)
                        grown.append(larger)
            frontier = grown
        return sorted(sets, key=lambda s: (-s.bit_count(), s))

    def _feed(self, supply: Supply, zones: int) -> Feed | None:
        """The switching that feeds exactly ``zones`` from this supply, as a tree; closed devices are used first."""
        grid, state = self.grid, self.state
        seen = 1 << supply.dead_zone
        queue = [supply.dead_zone]
        closes = 0
        tree = 1 << supply.root
        pending = True
        while pending:
            pending = False
            for zone in queue:
                for device in grid.zone_devices[zone]:
                    far = grid.other(device, zone)
                    if zones >> far & 1 and not seen >> far & 1 and is_closed(state, device):
                        seen |= 1 << far
                        tree |= 1 << device
                        queue.append(far)
            for zone in queue:
                bridge = self._bridge(zone, zones & ~seen)
                if bridge >= 0:
                    far = grid.other(bridge, zone)
                    seen |= 1 << far
                    tree |= 1 << bridge
                    closes |= 1 << bridge
                    queue.append(far)
                    pending = True
                    break
        if seen != zones:
            return None
        opens = 0
        p = q = 0.0
        for zone in bits(zones):
            p += self.need[zone][0]
            q += self.need[zone][1]
            for device in grid.zone_devices[zone]:
                if not tree >> device & 1 and not state.is_open(device):
                    opens |= 1 << device
        return Feed(supply.root, zones, opens, closes, p, q)

    def _bridge(self, zone: int, wanted: int) -> int:
        for device in self.grid.zone_devices[zone]:
            if (
                wanted >> self.grid.other(device, zone) & 1
                and self.state.is_open(device)
                and closable(self.state, device)
            ):
                return device
        return -1

    def _may_close(self, device: int) -> bool:
        return self.state.is_open(device) and closable(self.state, device)

    # --- limits ------------------------------------------------------------------------------------------------------

    def fits(
        self, supply: Supply, feed: Feed, load: dict[int, tuple[float, float]]
    ) -> dict[int, tuple[float, float]] | None:
        """The load table with this feed added, or None if any element up to the transformer would exceed its limit."""
        grid = self.grid
        added = dict(load)
        for device, zone in supply.path:
            p, q = added.get(device, (0.0, 0.0))
            p, q = p + feed.p_kw, q + feed.q_kvar
            added[device] = (p, q)
            base_p, base_q = self._base(device, zone)
            for step in self.state.recent:
                if step.devices >> device & 1:
                    base_p, base_q = base_p + step.p_kw, base_q + step.q_kvar
            amps = hypot(base_p + p, base_q + q) / grid.root3_kv
            if amps > min(grid.devices[device].rated_current_a, grid.zone_rating_a[zone]):
                return None
        source_zone = grid.other(*supply.path[-1]) if supply.path else supply.live_zone
        key = -1 - source_zone
        p, q = added.get(key, (0.0, 0.0))
        p, q = p + feed.p_kw, q + feed.q_kvar
        added[key] = (p, q)
        out_p, out_q = self._source_output(source_zone)
        for step in self.state.recent:
            if step.source_zone == source_zone:
                out_p, out_q = out_p + step.p_kw, out_q + step.q_kvar
        source = grid.feeder.sources[grid.zone_source[source_zone]]
        if hypot(out_p + p, out_q + q) > source.rated_kva:
            return None
        if (feed.zones and not self._inside(supply, feed)) or not self._reaches(supply, feed):
            return None
        return added

    def _base(self, device: int, zone: int) -> tuple[float, float]:
        """Flow before the step. Reports are held through a fault: just after a switch has moved, what is still fed
        below counts if it is less. (A grant is given on what is measured.)"""
        told_p, told_q = flow_into(self.state, device, zone)
        if not self.fresh_moves and not self.revived:
            return told_p, told_q
        p, q, revived = self._below(device, zone)
        if revived:  # cold load, and generation that is not back yet
            return max(p, told_p), max(q, told_q)
        return (p, q) if hypot(p, q) < hypot(told_p, told_q) else (told_p, told_q)

    def _source_output(self, zone: int) -> tuple[float, float]:
        p = q = 0.0
        for device, far in self.grid.links[zone]:
            if is_closed(self.state, device):
                dp, dq = self._base(device, far)
                p, q = p + dp, q + dq
        return p, q

    def _below(self, device: int, zone: int) -> tuple[float, float, bool]:
        """Remembered demand of everything that closed devices hang on this one; True: some of it has just come back."""
        grid = self.grid
        seen = 1 << zone | 1 << grid.other(device, zone)
        queue = [zone]
        p = q = 0.0
        revived = False
        for current in queue:
            if self.revived >> current & 1:
                revived = True
                zp, zq = demand(self.state, current, self.known)
                p, q = p + zp, q + zq
            else:
                zp, zq = self.known.get(current) or (grid.zone_kw[current], grid.zone_kvar[current])
                p, q = p + zp, q + zq
            for link, far in grid.links[current]:
                if not seen >> far & 1 and is_closed(self.state, link):
                    seen |= 1 << far
                    queue.append(far)
        return p, q, revived

    def _inside(self, supply: Supply, feed: Feed) -> bool:
        """Ratings inside the newly fed tree: what enters each zone passes its device and its sections."""
        grid, state = self.grid, self.state

        def enter(device: int, zone: int, before: int) -> tuple[float, float] | None:
            p, q = self.need[zone]
            for below in grid.zone_devices[zone]:
                far = grid.other(below, zone)
                in_tree = feed.zones >> far & 1 and not before >> far & 1 and below != device
                if in_tree and (feed.closes >> below & 1 or (is_closed(state, below) and not feed.opens >> below & 1)):
                    lower = enter(below, far, before | 1 << zone)
                    if lower is None:
                        return None
                    p, q = p + lower[0], q + lower[1]
            amps = hypot(p, q) / grid.root3_kv
            limit = min(grid.devices[device].rated_current_a, grid.zone_rating_a[zone])
            return (p, q) if amps <= limit else None

        return enter(supply.root, supply.dead_zone, 0) is not None

    def _reaches(self, supply: Supply, feed: Feed) -> bool:
        """Voltage and least fault current at the end of the new path (lumped: all new load at the far zone's entry)."""
        grid = self.grid
        feeder = grid.feeder
        source_zone = grid.other(*supply.path[-1]) if supply.path else supply.live_zone
        source = feeder.sources[grid.zone_source[source_zone]]
        r, x = source.r1_ohm, source.x1_ohm
        drop = 0.0
        chain = [*[device for device, _ in reversed(supply.path)], supply.root]
        for upper, lower in pairwise(chain):
            zr, zx = grid.impedance(upper, lower)
            zone = next(z for d, z in supply.path if d == upper)
            p, q = flow_into(self.state, upper, zone)
            drop += (zr * (p + feed.p_kw) + zx * (q + feed.q_kvar)) / 1e3
            r, x = r + zr, x + zx
        volts_kv = feeder.nominal_kv * source.voltage_pu
        if (volts_kv - drop / feeder.nominal_kv) < feeder.min_voltage_pu * feeder.nominal_kv:
            return False
        least_a = 0.866 * volts_kv * 1e3 / (3**0.5) / max(hypot(r, x), 1e-9)
        pickup = max((grid.devices[d].phase_pickup_a for d in chain if grid.breaker[d]), default=0.0)
        return least_a >= self.state.config.reach_factor * pickup


def _zones_of(feeds: tuple[Feed, ...]) -> int:
    zones = 0
    for feed in feeds:
        zones |= feed.zones
    return zones


def device_local(state: State, device: int) -> bool:
    """Our own local/remote key; a peer's shows as its refusal to grant."""
    return device == state.me and state.status.local


def source_output(state: State, zone: int) -> tuple[float, float]:
    """P, Q that leave a source zone through its devices, kW and kvar."""
    p = q = 0.0
    for device in state.grid.zone_devices[zone]:
        dp, dq = flow_into(state, device, zone)
        p, q = p - dp, q - dq
    return p, q


def plan(state: State, known: dict[int, tuple[float, float]], now: int, only: int = -1) -> Plan:
    """The best plan for the present picture; ``known`` is each zone's metered demand from before it went dead.

    ``only``: what this device alone could feed. Pictures may differ a little, and two agents must not wait for each
    other for ever.
    """
    search = Search(state, known, now)
    if only >= 0:
        search.supplies = [supply for supply in search.supplies if supply.root == only]
    return search.run()

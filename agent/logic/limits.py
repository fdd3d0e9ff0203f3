"""What the way from a source to a dead zone still bears: ratings, voltage, reach, from what flows there now."""

from __future__ import annotations

from itertools import pairwise
from math import hypot
from typing import NamedTuple

from agent.logic.outage import Supply, demand
from agent.logic.picture import flow_into, is_closed, source_zone_of
from agent.logic.state import State

MOVES_LAST = 1_500_000
"""After a switch has moved, reported flows may be from before it for so long."""
OVER_SQRT2_SQRT3 = 0.866
"""A two-phase fault against a three-phase one."""

Load = dict[int, tuple[float, float]]
"""P kW, Q kvar that a plan has put on elements so far, by :attr:`Element.key`."""


class Element(NamedTuple):
    """A device with the zone below it, or a source: what it carries before the plan, and its rating."""

    key: int
    """Device index; -1 - zone for the source of that zone."""
    p_kw: float
    q_kvar: float
    rated_kva: float


class Line(NamedTuple):
    """The way from a source through closed devices to ``root``, which is open, and the dead zone behind it."""

    root: int
    zone: int
    elements: tuple[Element, ...]
    r_ohm: float
    x_ohm: float
    """Between the first device and ``root``."""
    drop: float
    """Voltage drop of the present flows on that stretch, kV² …"""
    drop_limit: float
    """… and the most that leaves the least voltage at its end."""
    reaches: bool
    """A two-phase fault at the end is seen by every breaker on the way."""


NOTHING = (0.0, 0.0)


def bears(line: Line, p: float, q: float, load: Load, or_more: bool = False) -> bool:
    """May the line carry this as well, on top of ``load``?

    ``or_more``: this or any more; not so only if no further load brings it back within its limits.
    """
    for key, had_p, had_q, rated in line.elements:
        on_p, on_q = load.get(key, NOTHING)
        all_p, all_q = had_p + on_p + p, had_q + on_q + q
        if or_more:  # what flows back now is made up for by more load
            all_p, all_q = max(all_p, 0.0), max(all_q, 0.0)
        if hypot(all_p, all_q) > rated:
            return False
    return line.reaches and line.drop + (line.r_ohm * p + line.x_ohm * q) / 1e3 <= line.drop_limit


class Limits:
    """One look at the flows; ``known`` is each zone's metered demand from before it went dead."""

    def __init__(self, state: State, known: Load, now: int) -> None:
        self.state = state
        self.grid = state.grid
        self.known = known
        self.revived = sum(1 << zone for zone, when in state.revived.items() if now - when < MOVES_LAST)
        self.fresh_moves = now - state.last_move < MOVES_LAST
        self._bases: dict[tuple[int, int], tuple[float, float]] = {}
        self._outputs: dict[int, tuple[float, float]] = {}

    def line(self, supply: Supply) -> Line:
        """The way to a supply's dead zone."""
        state, grid = self.state, self.grid
        elements = []
        steps = [step for step in state.recent if step.zones & ~self.revived]
        """What has come back to life is in the flows already, see :meth:`_flow`."""
        for device, zone in supply.path:
            p, q = self._base(device, zone)
            for step in steps:
                if step.devices >> device & 1:
                    p, q = p + step.p_kw, q + step.q_kvar
            elements.append(Element(device, p, q, grid.entry_kva(device, zone)))
        source_zone = source_zone_of(state, supply.path, supply.live_zone)
        p, q = self._source_output(source_zone)
        for step in steps:
            if step.source_zone == source_zone:
                p, q = p + step.p_kw, q + step.q_kvar
        source = grid.feeder.sources[grid.zone_source[source_zone]]
        elements.append(Element(-1 - source_zone, p, q, source.rated_kva))
        return Line(supply.root, supply.dead_zone, tuple(elements), *self._end(supply, source_zone))

    def _end(self, supply: Supply, source_zone: int) -> tuple[float, float, float, float, bool]:
        """Voltage and least fault current at the end of the way (all new load lumped at the dead zone's entry)."""
        grid = self.grid
        feeder = grid.feeder
        source = feeder.sources[grid.zone_source[source_zone]]
        r = x = drop = 0.0
        chain = [(device, zone) for device, zone in reversed(supply.path)]
        devices = [*[device for device, _ in chain], supply.root]
        for (upper, zone), (_, lower) in zip(chain, pairwise(devices), strict=True):
            zr, zx = grid.impedance(upper, lower)
            p, q = flow_into(self.state, upper, zone)
            drop += (zr * p + zx * q) / 1e3
            r, x = r + zr, x + zx
        volts_kv = feeder.nominal_kv * source.voltage_pu
        limit = (volts_kv - feeder.min_voltage_pu * feeder.nominal_kv) * feeder.nominal_kv
        whole = max(hypot(source.r1_ohm + r, source.x1_ohm + x), 1e-9)
        least_a = OVER_SQRT2_SQRT3 * volts_kv * 1e3 / (3**0.5) / whole
        pickup = max((grid.devices[d].greatest_phase_pickup_a for d in devices if grid.breaker[d]), default=0.0)
        return r, x, drop, limit, least_a >= self.state.config.reach_factor * pickup

    def _base(self, device: int, zone: int) -> tuple[float, float]:
        """Flow before the step. Reports are held through a fault: just after a switch has moved, what is still fed
        below counts if it is less. (A grant is given on what is measured.)"""
        found = self._bases.get((device, zone))
        if found is None:
            found = self._bases[device, zone] = self._flow(device, zone)
        return found

    def _flow(self, device: int, zone: int) -> tuple[float, float]:
        told_p, told_q = flow_into(self.state, device, zone)
        if not self.fresh_moves and not self.revived:
            return told_p, told_q
        p, q, revived = self._below(device, zone)
        if revived:  # cold load, and generation that is not back yet
            return max(p, told_p), max(q, told_q)
        return (p, q) if hypot(p, q) < hypot(told_p, told_q) else (told_p, told_q)

    def _source_output(self, zone: int) -> tuple[float, float]:
        found = self._outputs.get(zone)
        if found is None:
            p = q = 0.0
            for device, far in self.grid.links[zone]:
                if is_closed(self.state, device):
                    dp, dq = self._base(device, far)
                    p, q = p + dp, q + dq
            found = self._outputs[zone] = p, q
        return found

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
            else:
                zp, zq = self.known.get(current) or (grid.zone_kw[current], grid.zone_kvar[current])
            p, q = p + zp, q + zq
            for link, far in grid.links[current]:
                if not seen >> far & 1 and is_closed(self.state, link):
                    seen |= 1 << far
                    queue.append(far)
        return p, q, revived


def source_output(state: State, zone: int) -> tuple[float, float]:
    """P, Q that leave a source zone through its devices, kW and kvar."""
    p = q = 0.0
    for device in state.grid.zone_devices[zone]:
        dp, dq = flow_into(state, device, zone)
        p, q = p - dp, q - dq
    return p, q

"""What a plan depends on, and how a set of dead zones hangs on one live point: pure functions of immutable values."""

from __future__ import annotations

from math import hypot
from typing import NamedTuple

from agent.logic.grid import Grid, bits
from agent.logic.limits import NOTHING, Line, Load, bears


class Feed(NamedTuple):
    """Close ``root`` and so feed ``zones``; ``opens`` first, ``closes`` afterwards, outward."""

    root: int
    zones: int
    opens: int
    closes: int
    p_kw: float
    q_kvar: float


class Problem(NamedTuple):
    """All that a plan depends on. Two agents with the same picture have equal problems."""

    grid: Grid
    need: tuple[tuple[int, float, float], ...]
    """The healthy dead zones: index, P kW, Q kvar once fed."""
    closed: int
    """Devices beside them that are closed …"""
    opened: int
    """… that are open …"""
    bridges: int
    """… and that are open and may be closed."""
    lines: tuple[Line, ...]
    limit: int


class Tree(NamedTuple):
    """How a set of zones hangs together: each zone's entry device and the zone above it (-1: the live one)."""

    above: dict[int, tuple[int, int]]
    closes: int


def zones_of(feeds: tuple[Feed, ...]) -> int:
    """All that a plan feeds."""
    zones = 0
    for feed in feeds:
        zones |= feed.zones
    return zones


def tree(problem: Problem, line: Line, zones: int) -> Tree | None:
    """The tree that feeds exactly ``zones`` through ``line``, closed devices first; None if there is none."""
    links = problem.grid.links
    above = {line.zone: (line.root, -1)}
    left = zones & ~(1 << line.zone)
    queue = [line.zone]
    done = 0
    closes = 0
    while left:
        while done < len(queue):
            zone = queue[done]
            done += 1
            for device, far in links[zone]:
                if left >> far & 1 and problem.closed >> device & 1:
                    left &= ~(1 << far)
                    above[far] = (device, zone)
                    queue.append(far)
        bridge = next(
            (
                (device, zone, far)
                for zone in queue
                for device, far in links[zone]
                if left >> far & 1 and problem.bridges >> device & 1
            ),
            None,
        )
        if bridge is None:
            return None if left else Tree(above, closes)
        device, zone, far = bridge
        left &= ~(1 << far)
        above[far] = (device, zone)
        closes |= 1 << device
        queue.append(far)
    return Tree(above, closes)


def fits_inside(grid: Grid, above: dict[int, tuple[int, int]], need: Load) -> bool:
    """Ratings inside the newly fed tree: what enters each zone passes its device and its sections."""
    entering = {zone: need[zone] for zone in above}
    for zone in reversed(above):  # a zone comes after the one above it
        device, up = above[zone]
        p, q = entering[zone]
        if hypot(p, q) > grid.entry_kva(device, zone):
            return False
        if up >= 0:
            had_p, had_q = entering[up]
            entering[up] = (had_p + p, had_q + q)
    return True


def feed(problem: Problem, line: Line, zones: int, need: Load, load: Load) -> Feed | None:
    """The switching that feeds exactly ``zones`` through ``line``, on top of ``load``; None if no limit allows it."""
    p = sum(need[zone][0] for zone in bits(zones))
    q = sum(need[zone][1] for zone in bits(zones))
    if not bears(line, p, q, load):
        return None
    found = tree(problem, line, zones)
    if found is None or not fits_inside(problem.grid, found.above, need):
        return None
    inside = sum(1 << device for device, _ in found.above.values())
    beside = 0
    for zone in found.above:
        for device, _ in problem.grid.links[zone]:
            beside |= 1 << device
    return Feed(line.root, zones, beside & ~inside & ~problem.opened, found.closes, p, q)


def added(line: Line, new: Feed, load: Load) -> Load:
    """The load on every element with this feed on top."""
    total = dict(load)
    for key, _, _, _ in line.elements:
        p, q = load.get(key, NOTHING)
        total[key] = (p + new.p_kw, q + new.q_kvar)
    return total

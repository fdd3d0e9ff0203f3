"""What the reports together say of the network now: which zones are live, how they are fed, what they need."""

from __future__ import annotations

from collections.abc import Sequence

from agent.logic.grid import bits
from agent.logic.messages import Live, Position
from agent.logic.state import State


def zone_live(state: State, zone: int) -> Live:
    """Voltage on a zone: LIVE if any fresh device says so, DEAD if all that know say so, else UNKNOWN."""
    answer = Live.UNKNOWN
    for device in state.grid.zone_devices[zone]:
        if device == state.me:
            live = state.live_on(zone)
        else:
            report = state.peers[device]
            if report is None or not state.fresh[device]:
                continue
            live = report.live_a if state.grid.sides[device][0] == zone else report.live_b
        if live is Live.LIVE:
            return Live.LIVE
        if live is Live.DEAD:
            answer = Live.DEAD
    return answer


def live_and_dead(state: State) -> tuple[int, int]:
    """The zones that :func:`zone_live` calls LIVE, and those it calls DEAD."""
    me, peers, fresh = state.me, state.peers, state.fresh
    live = dead = 0
    for device, (a, b) in enumerate(state.grid.sides):
        report = peers[device]
        if device == me:
            live_a, live_b = state.live_a, state.live_b
        elif report is not None and fresh[device]:
            live_a, live_b = report.live_a, report.live_b
        else:
            continue
        if live_a is Live.LIVE:
            live |= 1 << a
        elif live_a is Live.DEAD:
            dead |= 1 << a
        if live_b is Live.LIVE:
            live |= 1 << b
        elif live_b is Live.DEAD:
            dead |= 1 << b
    return live, dead & ~live


def is_closed(state: State, device: int) -> bool:
    """Known to be closed, on fresh data."""
    if device == state.me:
        return state.position is Position.CLOSED
    report = state.peers[device]
    return report is not None and state.fresh[device] and report.position is Position.CLOSED


def feed_path(state: State, zone: int) -> list[tuple[int, int]] | None:
    """How a live zone is fed: (device, zone it enters) from the zone up to the source zone; None if it is not clear."""
    if zone not in state.paths:
        _trace(state, zone)
    return state.paths[zone]


def _trace(state: State, start: int) -> None:
    """Find how all zones of one island are fed: one source, every position known; else none of them counts as fed."""
    links, zone_source = state.grid.links, state.grid.zone_source
    island = [start]
    seen = 1 << start
    sources = []
    joins: dict[int, list[tuple[int, int]]] = {}
    """Per zone of the island: (closed device, zone on its other side)."""
    known = True
    for zone in island:
        if zone_source[zone] >= 0:
            sources.append(zone)
        near = joins[zone] = []
        for link in links[zone]:
            device, far = link
            if is_closed(state, device):
                near.append(link)
                if not seen >> far & 1:
                    seen |= 1 << far
                    island.append(far)
            elif not state.is_open(device):
                known = False
    if len(sources) != 1 or not known:
        for zone in island:
            state.paths[zone] = None
        return
    paths: dict[int, list[tuple[int, int]]] = {sources[0]: []}
    queue = [sources[0]]
    for zone in queue:
        for device, far in joins[zone]:
            if far not in paths:
                paths[far] = [(device, far), *paths[zone]]
                queue.append(far)
    state.paths.update(paths)


def source_zone_of(state: State, path: Sequence[tuple[int, int]], zone: int) -> int:
    """The zone of the source that feeds ``zone`` along its path."""
    return state.grid.other(*path[-1]) if path else zone


def metered_path(state: State, zone: int) -> list[tuple[int, int]] | None:
    """The same, or None while the load on it, or on the source, is not known: an agent that has just started has not
    measured yet, and reports no flow."""
    path = feed_path(state, zone)
    if path is None:
        return None
    source_zone = source_zone_of(state, path, zone)
    for device, entered in path:
        if not _flow_known(state, device, entered, 0):
            return None
    for device, far in state.grid.links[source_zone]:
        if is_closed(state, device) and not _flow_known(state, device, far, 0):
            return None
    return path


def _flow_known(state: State, device: int, zone: int, depth: int) -> bool:
    """Has every meter that :func:`flow_into` reads measured since its agent's start?"""
    grid = state.grid
    if grid.meter[device] or depth >= grid.count:
        report = state.report_of(device)
        return report is not None and report.ready
    if grid.zone_source[zone] >= 0:
        return _flow_known(state, device, grid.other(device, zone), depth + 1)
    return all(
        other == device or not is_closed(state, other) or _flow_known(state, other, grid.other(other, zone), depth + 1)
        for other in grid.zone_devices[zone]
    )


def flow_into(state: State, device: int, zone: int, depth: int = 0) -> tuple[float, float]:
    """P, Q in kW, kvar through the device into the zone: measured, or, at a conventional IED, added up below it."""
    grid = state.grid
    if not grid.meter[device] and depth < grid.count:
        return _added_up(state, device, zone, depth)
    report = state.report_of(device)
    if report is None:
        return 0.0, 0.0
    sign = 1.0 if grid.sides[device][1] == zone else -1.0
    return sign * report.p_kw, sign * report.q_kvar


def _added_up(state: State, device: int, zone: int, depth: int) -> tuple[float, float]:
    """Nothing is measured here: the zone's planned load and what its other devices take out of it."""
    grid = state.grid
    if grid.zone_source[zone] >= 0:
        p, q = flow_into(state, device, grid.other(device, zone), depth + 1)
        return -p, -q
    if not is_closed(state, device):
        return 0.0, 0.0
    p, q = grid.zone_kw[zone], grid.zone_kvar[zone]
    for other in grid.zone_devices[zone]:
        if other != device and is_closed(state, other):
            dp, dq = flow_into(state, other, grid.other(other, zone), depth + 1)
            p, q = p + dp, q + dq
    return p, q


def dead_component(state: State, zone: int, without: int) -> int:
    """Zones that closed devices join to ``zone``, not counting the device ``without``."""
    grid = state.grid
    seen = 1 << zone
    queue = [zone]
    for current in queue:
        for device in grid.zone_devices[current]:
            if device != without and is_closed(state, device):
                far = grid.other(device, current)
                if not seen >> far & 1:
                    seen |= 1 << far
                    queue.append(far)
    return seen


def explained(state: State, dead: int) -> bool:
    """Is a fault known that explains why this zone is dead: one in the dead area around it, whatever is open there?"""
    grid = state.grid
    seen = 1 << dead
    queue = [dead]
    for zone in queue:
        for device in grid.zone_devices[zone]:
            far = grid.other(device, zone)
            if not seen >> far & 1 and zone_live(state, far) is not Live.LIVE:
                seen |= 1 << far
                queue.append(far)
    return bool(state.faulted() & seen)


def vouches(state: State, zone: int) -> bool:
    """Can we say of one of our own, dead, zones that nothing we do not know of happened in it? We saw it die, or know
    of a fault that explains it. (A fault may have struck while we were blind or away.)"""
    return bool(state.watched >> zone & 1) or explained(state, zone)


def islands(state: State, live: int) -> int:
    """Those of the ``live`` zones that no source feeds, every position around them being known.

    They hang on generators, which may not last, or their voltage has not yet been missed.
    """
    found = unclear = 0
    for zone in bits(live):
        if (found | unclear) >> zone & 1 or feed_path(state, zone) is not None:
            continue
        component = dead_component(state, zone, -1)
        beside = {device for inside in bits(component) for device in state.grid.zone_devices[inside]}
        if component & state.grid.sources_mask or not all(is_closed(state, d) or state.is_open(d) for d in beside):
            unclear |= component
        else:
            found |= component & live
    return found


def metered(state: State, zone: int) -> tuple[float, float] | None:
    """Net P, Q into a zone, from fresh reports of all its devices; None if one is not ready or it has a source."""
    grid, me, peers, fresh = state.grid, state.me, state.peers, state.fresh
    if grid.zone_source[zone] >= 0:
        return None
    p = q = 0.0
    for device in grid.zone_devices[zone]:
        report = state.last_report if device == me else peers[device]
        if report is None or not report.ready or (device != me and not fresh[device]) or not grid.meter[device]:
            return None
        if grid.sides[device][1] == zone:
            p, q = p + report.p_kw, q + report.q_kvar
        else:
            p, q = p - report.p_kw, q - report.q_kvar
    return p, q

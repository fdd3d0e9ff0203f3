"""Grants: when do we agree to a peer's request?

Why it is safe under any loss, delay or partition. A close energises a set of zones S. The request needs a grant from
*every* device that touches S; each of them grants at most one request per zone at a time. Any other close into S would
be by a device that touches S itself, so two closes into one zone can never both be agreed, whoever hears whom. A grant
binds until its request is seen withdrawn, or for ``lease``; the requester acts within ``act_within`` of asking, the
breaker's IED within ``close_validity`` of that, so a lease never ends before a close that it allowed.

Grant as a bound of S (one or both of our zones are in S): our side is dead, not faulted, and we are open (bound) or
closed (inside). Grant as an element of the live path: closed, quiet, and the load fits us and our zone on top of what
we measure and have already promised. Every device beside the source counts all that is promised from that source.
"""

from __future__ import annotations

from math import hypot

from agent.logic.direction import sides_of
from agent.logic.isolate import current_zero, trip
from agent.logic.limits import source_output
from agent.logic.messages import GRANTS_MAX, Level, Live, Position, Report, Request, RequestKind
from agent.logic.picture import feed_path, flow_into, metered_path, source_zone_of, vouches
from agent.logic.state import Grant, Recent, Reservation, State


def hear(state: State, peer: int, report: Report, old: Report | None, now: int) -> None:
    """Take note of a peer's request, or of its end."""
    request = report.request
    grant = state.grants.get(peer)
    if grant is not None and grant.request.number != request.number:
        release(state, peer, now)
    if old is not None and old.request.number not in (0, request.number):
        if report.position is Position.CLOSED:
            carried_out(state, peer, old.request, now)
        elif state.shed_for == (peer, old.request.number):  # given up: there are no other steps to wait for
            state.retry_at = min(state.retry_at, now + state.config.retry)
    if request.number:
        state.asking.add(peer)
    else:
        state.asking.discard(peer)


def _live_side(state: State, device: int, request: Request) -> int:
    """The zone from which a requester wants to feed what it asks for."""
    a, b = state.grid.sides[device]
    return a if request.zones >> b & 1 else b


def carried_out(state: State, device: int, request: Request, now: int) -> None:
    """Plans count a step's load at once, along the path that feeds it; reports follow."""
    live_zone = _live_side(state, device, request)
    path = feed_path(state, live_zone)
    if path is not None and request.kind is not RequestKind.RECLOSE:
        mask = sum(1 << on_path for on_path, _ in path)
        source_zone = source_zone_of(state, path, live_zone)
        until = now + state.config.reservation_hold
        state.recent.append(Recent(mask, source_zone, request.zones, request.p_kw, request.q_kvar, until))


def release(state: State, peer: int, now: int) -> None:
    """The request is over; promised capacity stays reserved until measured flow contains it.

    So does what a device inside the section just fed will carry: at most all of it.
    """
    grant = state.grants.pop(peer)
    if grant.path or state.position is Position.CLOSED:
        until = now + state.config.reservation_hold
        state.reservations.append(Reservation(grant.request.p_kw, grant.request.q_kvar, until))


def consider(state: State, now: int) -> None:
    """Go through what is asked, grant what can be granted; leases that ran out fall."""
    for peer in [p for p, g in state.grants.items() if now >= g.until]:
        release(state, peer, now)
    state.reservations = [r for r in state.reservations if now < r.until]
    for peer in sorted(state.asking):
        report = state.peers[peer]
        if peer in state.grants or report is None or not state.fresh[peer]:
            continue
        path = _grantable(state, peer, report.request, now)
        if path is not None and len(state.grants) < GRANTS_MAX:
            state.grants[peer] = Grant(report.request, now + state.config.lease, path)


def asked(state: State) -> bool:
    """Is there a request whose grant may be ours to give, now or when something changes?"""
    return any(
        peer not in state.grants
        and (report := state.peers[peer]) is not None
        and _concerns(state, peer, report.request)
        for peer in state.asking
    )


def _concerns(state: State, peer: int, request: Request) -> bool:
    """We touch what it energises, or lie on its live path or beside its source; or how it is fed is not clear."""
    grid = state.grid
    if sides_of(state, request.zones):
        return True
    live_zone = _live_side(state, peer, request)
    path = feed_path(state, live_zone)
    if path is None:
        return True
    on_path = any(device == state.me for device, _ in path)
    return on_path or source_zone_of(state, path, live_zone) in grid.sides[state.me]


def _grantable(state: State, peer: int, request: Request, now: int) -> bool | None:
    """True: as path element; False: as a bound; None: not, or not concerned."""
    if not state.ready or not state.time_good or state.active or state.level is Level.BLIND or state.failed:
        return None
    if state.onto_fault:
        return None
    mine = sides_of(state, request.zones)
    if not mine:
        return True if _path_allows(state, peer, request) else None
    if state.close_at or state.isolate_since:
        return None
    if request.kind is RequestKind.RETURN and request.opens >> state.me & 1 and state.position is Position.CLOSED:
        _open_for_return(state, peer, request, now)
        return None
    if not _bound_allows(state, peer, mine, request, now):
        return None
    if not _yields(state, peer, request, now):
        return None
    return False


def _bound_allows(state: State, peer: int, mine: list[int], request: Request, now: int) -> bool:
    faulted = state.faulted()
    if now < state.moved_at + generation_pause(state, request.zones):
        return False
    if request.kind is RequestKind.RESTORE and (not state.decided or state.doubt & request.zones):
        return False
    for zone in mine:
        if state.live_on(zone) is not Live.DEAD:
            return False
        if faulted >> zone & 1 and request.kind is not RequestKind.RECLOSE:
            return False
        if state.held >> zone & 1 and request.kind is not RequestKind.RETURN:
            return False
        if request.kind is RequestKind.RESTORE and not vouches(state, zone):
            return False
    if any(not g.path and g.request.zones & request.zones for g in state.grants.values()):
        return False
    if len(mine) == 2:
        return state.position in (Position.OPEN, Position.CLOSED) and not state.trip
    if state.position is Position.OPEN:
        return True
    if request.opens >> state.me & 1 and not state.trip and current_zero(state) and state.automation:
        state.emit("opens_for_plan", now)
        state.retry_at = now + state.config.shed_hold
        state.shed_for = (peer, request.number)
        trip(state, now, "opens for a plan", clearing=True)
    return False


def _yields(state: State, peer: int, request: Request, now: int) -> bool:
    """Our own request for a common zone: the lower device index goes first."""
    if not state.request.number or not state.request.zones & request.zones:
        return True
    if peer > state.me:
        return False
    state.request = Request()
    state.retry_at = now + state.config.retry
    return True


def _path_allows(state: State, peer: int, request: Request) -> bool:
    """Are we on the requester's live path, or beside its source, and does the load fit through us and the source?"""
    grid = state.grid
    live_zone = _live_side(state, peer, request)
    path = metered_path(state, live_zone)
    if path is None:
        return False
    entered = next((zone for device, zone in path if device == state.me), -1)
    source_zone = source_zone_of(state, path, live_zone)
    if entered < 0 and source_zone not in grid.sides[state.me]:
        return False
    p, q = request.p_kw, request.q_kvar
    for grant in state.grants.values():
        if grant.path:
            p, q = p + grant.request.p_kw, q + grant.request.q_kvar
    for held in state.reservations:
        p, q = p + held.p_kw, q + held.q_kvar
    own_p = own_q = told_p = told_q = 0.0
    if entered >= 0:
        own_p, own_q = _flow_now(state, entered)
        told_p, told_q = flow_into(state, state.me, entered)
        limit = min(grid.devices[state.me].rated_current_a, grid.zone_rating_a[entered])
        if hypot(own_p + p, own_q + q) / grid.root3_kv > limit:
            return False
    if source_zone not in grid.sides[state.me]:
        return True
    out_p, out_q = source_output(state, source_zone)
    source = grid.feeder.sources[grid.zone_source[source_zone]]
    return hypot(out_p - told_p + own_p + p, out_q - told_q + own_q + q) <= source.rated_kva


def _flow_now(state: State, entered: int) -> tuple[float, float]:
    """What we measure this moment (what we have published may be a second old)."""
    if state.grid.devices[state.me].merging_unit is None:
        return flow_into(state, state.me, entered)
    sign = 1.0 if state.zone_b == entered else -1.0
    return sign * state.measurement.p_kw, sign * state.measurement.q_kvar


def generation_pause(state: State, zones: int) -> int:
    """How long after the last switching beside these zones their being dead can be trusted."""
    grid = state.grid
    generation = any(zones >> zone & 1 and kva > 0.0 for zone, kva in enumerate(grid.der_kva))
    return state.config.generation_wait if generation else 0


def _open_for_return(state: State, peer: int, request: Request, now: int) -> None:
    """Return to normal: we are the tie that carries the load; open once the path that takes it over has agreed."""
    device = state.grid.devices[state.me]
    amps = hypot(state.measurement.p_kw, state.measurement.q_kvar) / state.grid.root3_kv
    if not device.normally_open or state.trip or amps > device.breaking_current_a:
        return
    path = feed_path(state, _live_side(state, peer, request))
    if path is None:
        return
    for on_path, _ in path:
        if on_path == state.me:
            return
        report = state.peers[on_path]
        if report is None or (peer, request.number) not in report.grants:
            return
    state.emit("opens_for_return", now)
    trip(state, now, "return to normal", clearing=True)


def agreed(state: State) -> tuple[bool, tuple[int, ...]]:
    """Has everyone whom our request needs granted it? And who has not."""
    grid, me, request = state.grid, state.me, state.request
    needed: set[int] = set()
    for zone in range(len(grid.zone_devices)):
        if request.zones >> zone & 1:
            needed.update(grid.zone_devices[zone])
    live_zone = _live_side(state, me, request)
    path = feed_path(state, live_zone)
    if path is None:
        return False, ()
    needed.update(device for device, _ in path)
    needed.update(grid.zone_devices[source_zone_of(state, path, live_zone)])
    needed.discard(me)
    key = (me, request.number)
    missing = tuple(
        device
        for device in sorted(needed)
        if not state.fresh[device] or (report := state.peers[device]) is None or key not in report.grants
    )
    return not missing, missing

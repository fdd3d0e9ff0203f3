"""From a verdict to an open, locked device: claims, trips, waiting for current zero, breaker failure, lock-out.

    claim (ours or a peer's)      final → lock at once in memory, latch; want open
                                  not final (a reclose shot follows) → only breakers that feed the fault trip
    want open, breaker            trip now, if it can break the current it sees
    want open, load-break switch  trip when current zero is confirmed in all poles
    clearing breaker              nearest breaker above a switch that must not break the current: trips without locking
    tripped, not open in time     failed: the zone on the other side is claimed as well (widens by one device)

A claim older than ``claim_age``, or the first word heard from a peer, locks but moves nothing.
"""

from __future__ import annotations

from agent.logic.direction import sides_of, zone_entered
from agent.logic.grid import bits
from agent.logic.messages import Latch, Level, Live, LockRecord, Position, Report, Request
from agent.logic.state import NEVER, State


def number(last: int, now: int) -> int:
    """A number that grows over restarts without being stored: 10 ms ticks, one more than the last at least."""
    return max((now // 10_000) & 0x7FFFFFFF, last + 1)


def claim(state: State, zones: int, now: int, why: str, final: bool = True) -> None:
    """Find zones faulted: tell everyone, and act on it ourselves."""
    zones |= state.claim_zones
    if zones == state.claim_zones and state.claim_final >= final:
        return
    state.claim_zones = zones
    state.claim_final = final
    state.claim_us = now
    state.claim_number = number(state.claim_number, now)
    names = ",".join(state.grid.feeder.zones[z].name for z in bits(zones))
    state.emit("claim", now, ("zones", names), ("final", final), ("why", why))
    state.request = Request()
    if final:
        state.reclose_at = state.reclose_ok_at = NEVER
        lock_and_open(state, zones, now)
    else:
        feed_trip(state, zones, now)
        latch(state)


def withdraw(state: State, now: int) -> None:
    """The reclose shot held: the fault was temporary."""
    state.claim_zones = 0
    state.claim_final = True
    state.claim_number = number(state.claim_number, now)
    state.reclose_at = state.reclose_ok_at = NEVER
    state.emit("claim_withdrawn", now)
    latch(state)


def adopt(state: State, report: Report, now: int) -> None:
    """A peer fell silent or restarted with a reclose shot still to come: its claim is final for all who heard it."""
    if report.claim_zones and not report.claim_final:
        state.emit("claim_adopted", now)
        lock_and_open(state, report.claim_zones, now)


def accept(state: State, peer: int, report: Report, now: int, first: bool) -> None:
    """A peer's claim that we have not dealt with."""
    state.seen[peer] = report.claim_number
    if not report.claim_zones:
        return
    fresh = not first and abs(now - report.claim_us) <= state.config.claim_age
    if state.close_at and report.claim_zones & state.close_zones:
        trip(state, now, "a claim on what it is about to feed", clearing=True)
    if not report.claim_final:
        if fresh:
            feed_trip(state, report.claim_zones, now)
            clear(state, now)
            _shoot_for(state, now)
        return
    mine = sides_of(state, report.claim_zones)
    if mine:
        if fresh:
            lock_and_open(state, report.claim_zones, now)
        else:
            lock(state, report.claim_zones, now)
    if not state.claim_final and state.claim_zones & report.claim_zones:
        zones, state.claim_zones = state.claim_zones, 0
        claim(state, zones, now, "a neighbour's claim is final")
    if fresh:
        clear(state, now)


def _shoot_for(state: State, now: int) -> None:
    """We clear for a switch below that claims with a shot to come: the shot is ours."""
    dead_times = state.grid.devices[state.me].reclose_dead_times_ms
    if now - state.shots_since > state.config.claim_withdrawn:
        state.shots, state.shots_since = 0, now
    if state.trip and state.clearing and state.shots < len(dead_times) and state.reclose_at == NEVER:
        state.reclose_at = now + int(dead_times[state.shots] * 1000)
        state.shots += 1


def lock(state: State, zones: int, now: int) -> None:
    """Close-block in memory at once; the sibling process latches it."""
    a = state.locked_a or bool(zones >> state.zone_a & 1)
    b = state.locked_b or bool(zones >> state.zone_b & 1)
    if (a, b) == (state.locked_a, state.locked_b):
        return
    state.locked_a, state.locked_b = a, b
    state.latched = False
    state.request = Request()
    state.reclose_at = NEVER
    state.operate_dirty = True
    state.emit("lockout", now, ("side_a", a), ("side_b", b))
    latch(state)


def latch(state: State) -> None:
    """Ask the sibling to write what must survive."""
    state.latch_pending = True
    state.actions.append(Latch(record_of(state)))


def record_of(state: State) -> LockRecord:
    """What must survive a restart; a claim with a shot to come counts as locked there."""
    zones = state.claim_zones
    locked_a = state.locked_a or bool(zones >> state.zone_a & 1)
    locked_b = state.locked_b or bool(zones >> state.zone_b & 1)
    seen = tuple((peer, claim_no) for peer, claim_no in enumerate(state.seen) if claim_no > 0)
    return LockRecord(
        locked_a,
        locked_b,
        state.tagged,
        state.claim_number,
        zones,
        state.request_number,
        seen,
    )


def lock_and_open(state: State, zones: int, now: int) -> None:
    """Lock; open if we bound the claimed group (a device inside it is locked, not moved)."""
    mine = sides_of(state, zones)
    if not mine:
        return
    lock(state, zones, now)
    moving = state.position is not Position.OPEN or state.close_at
    if len(mine) == 1 and moving and not state.isolate_since:
        state.isolate_since = now
    pursue(state, now)


def feed_trip(state: State, zones: int, now: int) -> None:
    """Before a reclose shot: a breaker that feeds the claimed zone opens, without a lock."""
    if zone_entered(state) in bits(zones) and can_break(state):
        trip(state, now, "feeds the fault", clearing=True)


def can_break(state: State) -> bool:
    """May this device interrupt what it sees now?"""
    if current_zero(state):
        return True
    if not state.grid.breaker[state.me]:
        return False
    return state.measurement.peak_a <= state.grid.devices[state.me].breaking_current_a or not state.active


def current_zero(state: State) -> bool:
    """No current in any pole, on valid data. Without SV: relay quiet, and open or both sides dead."""
    if state.grid.devices[state.me].merging_unit is None:
        dead = state.live_a is Live.DEAD and state.live_b is Live.DEAD
        return state.level is Level.QUIET and (dead or state.position is Position.OPEN)
    return state.level is not Level.BLIND and state.measurement.current_zero


def trip(state: State, now: int, why: str, clearing: bool = False) -> None:
    """Order the mechanism to open; nothing that we asked for is valid any more."""
    if state.trip or (state.position is Position.OPEN and not state.close_at):
        return
    if state.close_at:
        state.guard_until = close_deadline(state)
    state.trip = True
    state.trip_us = now
    state.clearing = clearing
    state.request = Request()
    state.close_at = 0
    state.backup_at = NEVER
    state.operate_dirty = True
    state.emit("trip", now, ("why", why), ("pickup_us", state.measurement.pickup_us or state.measurement.start_us))


def clear(state: State, now: int) -> int:
    """Are we the breaker that clears a fault for a switch below, as present topology and flows name it?

    A breaker between us and the claimed zone goes first; we follow one ``clear_step`` later for each that has not
    cleared by then (its agent may be dead without anybody having noticed yet). Returns when to ask again.
    """
    entered = zone_entered(state)
    if entered < 0 or state.trip or not state.grid.breaker[state.me] or not can_break(state):
        return NEVER
    again = NEVER
    for peer, report in enumerate(state.peers):
        if report is None or not state.fresh[peer] or not report.claim_zones:
            continue
        if abs(now - report.claim_us) > state.config.claim_age:
            continue
        between = _breakers_between(state, entered, report.claim_zones)
        if between < 0:
            continue
        due = max(report.claim_us, state.measurement.start_us) + between * state.config.clear_step
        if between == 0 or now >= due:
            trip(state, now, "clears for a switch below", clearing=True)
            return NEVER
        again = min(again, due)
    return again


def _breakers_between(state: State, entered: int, wanted: int) -> int:
    """Breakers that should clear before us on our fault current's way to a claimed zone; -1: it does not go there."""
    grid = state.grid
    if wanted >> entered & 1:
        return 0
    seen = 1 << entered
    near, count = [entered], 0
    while near:
        behind: list[int] = []
        for zone in near:
            for device in grid.zone_devices[zone]:
                far = grid.other(device, zone)
                if device == state.me or seen >> far & 1 or state.surely_open(device):
                    continue
                report = state.peers[device]
                if _surely_quiet(state, device, report):
                    continue
                if grid.breaker[device] and report is not None and not report.failed and state.fresh[device]:
                    behind.append(far)
                    continue
                if wanted >> far & 1:
                    return count
                seen |= 1 << far
                near.append(far)
        near = [zone for zone in behind if not seen >> zone & 1]
        for zone in near:
            seen |= 1 << zone
        count += 1
        if any(wanted >> zone & 1 for zone in near):
            return count
    return -1


def _surely_quiet(state: State, device: int, report: Report | None) -> bool:
    if report is None or not state.fresh[device] or report.level is not Level.QUIET:
        return False
    quiet = report.upto_us >= state.asked + state.config.pickup_spread
    return quiet and report.end_us <= state.measurement.start_us


def pursue(state: State, now: int) -> None:
    """Advance an opening: trip when allowed, confirm, or declare failure."""
    if state.trip:
        _confirm(state, now)
    elif state.isolate_since:
        if state.position is Position.OPEN and not state.close_at and current_zero_or_blind(state):
            state.isolate_since = 0
        elif (can_break(state) and not zero_after(state, now)) or (
            state.grid.breaker[state.me] and state.level is Level.BLIND
        ):
            trip(state, now, "isolates")
        elif now >= state.isolate_since + state.config.zero_wait and not state.failed:
            fail(state, now, "no current zero")


def zero_after(state: State, now: int) -> int:
    """When to look again whether a load-break switch's samples say no current *after* the claim; 0: they do.

    The fault that was claimed may have struck so lately that its current has not shown here yet.
    """
    device = state.grid.devices[state.me]
    if state.grid.breaker[state.me] or device.merging_unit is None:
        return 0
    missing = state.isolate_since + state.config.pickup_spread - state.upto
    return now + missing if missing > 0 else 0


def current_zero_or_blind(state: State) -> bool:
    """Nothing speaks against an open position."""
    return state.level is Level.BLIND or current_zero(state)


def _confirm(state: State, now: int) -> None:
    if state.position is Position.OPEN and current_zero_or_blind(state):
        if now < state.guard_until:
            return
        state.emit("opened", now, ("ordered_us", state.trip_us))
        state.trip = False
        state.isolate_since = 0
        state.operate_dirty = True
        if state.failed:
            state.failed = False
            state.paths.clear()
        return
    if not state.failed and now >= open_deadline(state):
        lying = state.position is Position.OPEN
        fail(state, now, "current flows though it says open" if lying else "did not open")


def open_deadline(state: State) -> int:
    """When an ordered opening must be confirmed. Current that is gone is the better witness: the position may lag."""
    config = state.config
    due = state.trip_us + int(state.grid.devices[state.me].opening_time_ms * 1000) + config.operate_margin
    return due + config.position_margin if current_zero(state) else due


def close_deadline(state: State) -> int:
    """When an ordered close must be confirmed."""
    device = state.grid.devices[state.me]
    return state.close_at + int(device.closing_time_ms * 1000) + state.config.close_margin


def fail(state: State, now: int, why: str) -> None:
    """Breaker failure: we cannot separate our two zones, so a fault in one is a fault in both."""
    state.failed = True
    state.paths.clear()
    state.emit("breaker_failure", now, ("why", why))
    mine = sides_of(state, state.faulted()) if state.isolate_since or state.locked_a or state.locked_b else []
    if mine:
        claim(state, 1 << state.zone_a | 1 << state.zone_b, now, "breaker failure")

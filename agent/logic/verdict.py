"""From an episode to a claim: when to decide, reclose shots, starts below pick-up, fuses, time-graded backup."""

from __future__ import annotations

from agent.logic import isolate, lead
from agent.logic.direction import episode_zone, zone_entered
from agent.logic.grid import bits
from agent.logic.locate import Verdict, decide
from agent.logic.messages import Direction, Level, Live, Position
from agent.logic.state import NEVER, State

EPISODE_TOLD = 300_000
"""Words on an episode that is over are waited for so long …"""
START_TOLD = 400_000
"""… and, if it was a start alone, for the voltage to go with it: a source is tripped 0.3 s after a fault beside it."""
DRAINED = 2.0
"""So many times more current into a zone than out of it, and a pick-up more, is not explained by its load."""
OUTLIVED = 12_000
"""The same current falls below two settings at times that differ by less (full-cycle filters)."""


def locate(state: State, now: int) -> int:
    """Decide the present (or just ended) episode."""
    zone = episode_zone(state)
    config = state.config
    ended = not state.active
    over = state.measurement.end_us + (EPISODE_TOLD if state.picked else START_TOLD)
    if state.level is Level.BLIND and state.picked:
        return NEVER  # it went blind with the fault on: undecided until it sees again
    if ended and now > over:
        state.decided = True
        onto_fault_undecided(state, now)
        if zone >= 0 and (state.picked or someone_picked_up(state)):
            doubt(state, zone, now)
        return NEVER
    if zone < 0:
        return NEVER if not ended else over + 1
    if not state.picked and not someone_picked_up(state):
        # A start alone (inrush, a swing of load) is no fault, not while it lasts and not when it is over,
        # unless the voltage went with it: then something upstream has cleared what we hardly saw.
        after = state.measurement.end_us + config.voltage_lag
        lost = state.live_a is Live.DEAD and state.live_b is Live.DEAD
        if not (ended and lost and now >= after):
            return NEVER if not ended else (after if now < after else over + 1)
    if state.grid.fused[zone] and not state.onto_fault:
        wait = _fuse(state, zone, now)
        if state.decided or wait > now:
            return wait
    decision = decide(state, zone, now)
    if decision.verdict is Verdict.FAULTED:
        state.decided = True
        claim(state, decision.group, zone, now)
        return NEVER
    if decision.verdict is Verdict.THROUGH and ended and decision.again == NEVER:
        state.decided = True
        state.suspect = swallowed(state, zone) << zone
        return onto_fault_undecided(state, now)
    if ended:
        return min(decision.again, over + 1)
    return decision.again


def doubt(state: State, zone: int, now: int) -> None:
    """The episode is long over, and it is not known where its fault was: these zones are not fed unless that is cleared
    up. Called again with every word that comes in; a partition that heals, or an agent that is back, may tell."""
    if state.live_on(zone) is not Live.DEAD:
        state.doubt = 0
        if now > state.measurement.end_us + EPISODE_TOLD:
            state.suspect = 0
        return
    decision = decide(state, zone, now)
    before, state.doubt = state.doubt, 0
    if decision.verdict is Verdict.FAULTED:
        isolate.claim(state, decision.group, now, "fault current entered, none left")
    else:
        group = state.suspect if decision.verdict is Verdict.THROUGH else decision.group
        state.doubt = group & ~state.faulted() & ~state.grid.sources_mask
    if state.doubt and not before:
        names = state.grid.feeder.zones
        state.emit(
            "dark", now, *((names[z].name, "whether the fault was here is not known") for z in bits(state.doubt))
        )


def swallowed(state: State, zone: int) -> bool:
    """Fault current passed through, but most of it went into the zone, or it went on after the last had left it: there
    is a second fault in it.

    A saturated current transformer may feign that: so nothing trips for it, the zone is only not fed again by itself.
    """
    grid, ours = state.grid, state.measurement
    left, last = 0.0, 0
    for device in grid.zone_devices[zone]:
        if device == state.me:
            continue
        report = state.peers[device]
        if report is None or not state.fresh[device] or report.level is Level.BLIND:
            return False
        if report.start_us and (report.end_us == 0 or report.end_us > ours.start_us):
            if not grid.meter[device]:
                return False  # how much it saw, and when exactly, a conventional relay does not say
            left += report.peak_a
            last = max(last, report.end_us or ours.end_us)
        elif report.upto_us < state.asked + state.config.pickup_spread:
            return False
    outlived = last != 0 and grid.meter[state.me] and ours.end_us - last > OUTLIVED
    return outlived or ours.peak_a > DRAINED * left + grid.devices[state.me].phase_pickup_a


def _fuse(state: State, zone: int, now: int) -> int:
    """A fault behind a lateral fuse is the fuse's. It has cleared if the current went and the voltage stayed.

    Returns until when the fuse has time; the episode is decided here if it used it.
    """
    ended = not state.active
    until = state.measurement.start_us + state.config.fuse_wait
    if ended and state.measurement.end_us < until:
        until = max(until, state.measurement.end_us + state.config.voltage_lag)
        fed = state.live_a is Live.LIVE and state.live_b is Live.LIVE and state.position is Position.CLOSED
        if now >= until and fed and not state.trip and not _fault_elsewhere(state):
            state.decided = True
            state.emit("cleared_by_fuse", now, ("zone", state.grid.feeder.zones[zone].name))
            return NEVER
    return until


def _fault_elsewhere(state: State) -> bool:
    """Another fault may have drawn the current away from the fuse: one that was there when the current went."""
    ended = state.measurement.end_us
    return any(
        fresh and report is not None and report.level in (Level.START, Level.PICKUP) and report.start_us <= ended
        for report, fresh in zip(state.peers, state.fresh, strict=True)
    )


def onto_fault_undecided(state: State, now: int) -> int:
    """We closed onto a fault, and nobody has said where it is: all that we energised is suspect."""
    if state.onto_fault:
        state.onto_fault = False
        if not state.faulted() & state.close_zones:
            isolate.claim(state, state.close_zones, now, "switched onto a fault")
    return NEVER


def someone_picked_up(state: State) -> bool:
    """A start below pick-up counts when a peer has picked up on the same fault."""
    for peer, report in enumerate(state.peers):
        if report is None or not state.fresh[peer] or report.level is not Level.PICKUP:
            continue
        if abs(report.start_us - state.measurement.start_us) < 100_000:
            return True
    return False


def claim(state: State, group: int, entered: int, now: int) -> None:
    """Found: final at once, or with a reclose shot to come."""
    config = state.config
    if now - state.shots_since > config.claim_withdrawn:
        state.shots = 0
        state.shots_since = now
    times = dead_times(state, entered)
    shot = (
        state.shots < len(times)
        and group == 1 << entered
        and state.automation
        and not state.tagged
        and not state.onto_fault
    )
    if shot:
        state.reclose_ok_at = NEVER
        if not state.claim_final:
            state.claim_zones = 0
        isolate.claim(state, group, now, "fault current enters, none leaves", final=False)
        if state.grid.breaker[state.me]:
            state.reclose_at = now + int(times[state.shots] * 1000)
        state.shots += 1
    else:
        state.onto_fault = False
        if state.claim_zones and not state.claim_final:
            group |= state.claim_zones
            state.claim_zones = 0
        isolate.claim(state, group, now, "fault current enters, none leaves")


def dead_times(state: State, entered: int) -> tuple[float, ...]:
    """Dead times of the breaker that recloses for us: ourselves, or the one above a load-break switch."""
    grid = state.grid
    if grid.breaker[state.me]:
        return grid.devices[state.me].reclose_dead_times_ms
    near = grid.other(state.me, entered)
    seen = 1 << near
    queue = [near]
    for zone in queue:
        for device in grid.zone_devices[zone]:
            report = state.peers[device]
            if device == state.me or report is None or report.start_us == 0:
                continue
            a, b = grid.sides[device]
            into = b if report.direction is Direction.INTO_B else a
            if into != zone or state.is_open(device):
                continue
            if grid.breaker[device]:
                return grid.devices[device].reclose_dead_times_ms
            far = grid.other(device, zone)
            if not seen >> far & 1:
                seen |= 1 << far
                queue.append(far)
    return ()


def pending(state: State, now: int) -> int:
    """A claim with a reclose shot: withdrawn when the shot held, final when it failed or never came."""
    config = state.config
    both_live = state.live_a is Live.LIVE and state.live_b is Live.LIVE
    if not state.active and both_live and state.position is Position.CLOSED:
        held_since = max(state.steady_since, state.claim_us)
        if now >= held_since + config.reclose_reset:
            isolate.withdraw(state, now)
            return NEVER
        return held_since + config.reclose_reset
    longest = max(dead_times(state, claimed_side(state)), default=0.0)
    limit = state.claim_us + int(longest * 1000) + 3_000_000
    if now >= limit:
        lead.finalise(state, now, "no reclose came")
        return NEVER
    return limit


def claimed_side(state: State) -> int:
    return state.zone_b if state.claim_zones >> state.zone_b & 1 else state.zone_a


def backup(state: State, now: int) -> None:
    """Time-graded: the fault is still there, and nobody selective has cleared it."""
    state.backup_at = NEVER
    if state.level is not Level.PICKUP or state.trip:
        return
    zone = zone_entered(state)
    group = 1 << zone if zone >= 0 else 1 << state.zone_a | 1 << state.zone_b
    if zone >= 0:
        decision = decide(state, zone, now)
        if decision.verdict is Verdict.GRADED:
            group = decision.group
    state.decided = True
    state.emit("backup_trip", now)
    isolate.claim(state, group, now, "time-graded backup")
    if not state.trip and isolate.can_break(state):
        isolate.trip(state, now, "time-graded backup")

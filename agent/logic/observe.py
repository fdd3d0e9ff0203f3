"""From measurements and the breaker's IED to what is published: episode, direction, voltage, load, demand."""

from __future__ import annotations

from agent.logic import isolate
from agent.logic.direction import believe
from agent.logic.messages import BreakerStatus, Direction, Level, Live, Measurement, Position, Report
from agent.logic.picture import feed_path, metered, zone_live
from agent.logic.state import NEVER, State

LOAD_STEADY = 150_000
"""Load is published when position, voltage and pick-up have been steady this long."""
ADOPT_STEP = 50_000
"""Demands are looked at together."""
DIP = 200_000
"""A fault elsewhere may take the voltage for so long; load and generation are then what they were."""
DEMAND_LASTS = 1_000_000
"""A zone's demand is remembered when it has been so for this long with the zone fed from a source: generation may keep
an island alive for a while before it gives up, and that is not what the zone needs."""


def relay_flags(state: State, status: BreakerStatus, now: int) -> None:
    """A conventional IED: its flags make the episode, stamped on arrival."""
    old = state.measurement
    level = status.relay_level
    was = old.level in (Level.START, Level.PICKUP)
    runs = level in (Level.START, Level.PICKUP)
    start = old.start_us if was or not runs else now
    end = 0 if runs else (now if was else old.end_us)
    horizon = now if runs else now - state.config.conventional_delay
    new = old._replace(
        level=level,
        direction=status.relay_direction,
        start_us=start,
        end_us=end,
        upto_us=horizon,
        current_zero=False,
    )
    state.measurement = new
    state.upto = max(state.upto, horizon)
    episode(state, level, new, old, now)


def episode(state: State, level: Level, new: Measurement, old: Measurement, now: int) -> None:
    """Follow an overcurrent episode: its beginning, direction, and end."""
    before = state.level
    state.level = level
    if state.active:
        if new.start_us != old.start_us or before in (Level.QUIET, Level.BLIND):
            state.decided = state.picked = False
            state.suspect = 0
            state.steady_since = state.noticed = now
            state.direction = Direction.NONE
            state.emit("start", now, ("start_us", new.start_us))
        risen = level is Level.PICKUP and before is not Level.PICKUP
        if risen or state.direction in (Direction.NONE, Direction.UNKNOWN) or _turned(state, new, old):
            state.direction = believe(state, new.direction, new.peak_a)
        if level is Level.PICKUP and before is not Level.PICKUP:
            state.picked = True
            state.noticed = now
            picked_up(state, now)
    elif before in (Level.START, Level.PICKUP):
        state.steady_since = state.moved_at = now
        state.backup_at = NEVER
        state.emit("dropoff", now, ("end_us", new.end_us))
    if level is Level.BLIND and before is not Level.BLIND:
        state.version += 1


def _turned(state: State, new: Measurement, old: Measurement) -> bool:
    """Has the current truly turned? What decays in the filters once a fault is cleared points anywhere."""
    definite = new.direction in (Direction.INTO_A, Direction.INTO_B)
    return new.direction is not old.direction and definite and (new.level is Level.PICKUP or not state.picked)


def picked_up(state: State, now: int) -> None:
    config = state.config
    direction = state.direction.name
    state.emit(
        "pickup", now, ("start_us", state.measurement.start_us), ("direction", direction),
        ("peak_a", round(state.measurement.peak_a, 1)),
    )  # fmt: skip
    if state.grid.breaker[state.me]:
        state.backup_at = now + config.backup_base + config.backup_step * state.grid.grade[state.me]
    if state.position is Position.OPEN and not state.close_at and now > state.moved_at + state.config.voltage_lag:
        isolate.fail(state, now, "current flows though it says open")
    shooting = now < state.reclose_ok_at != NEVER
    if state.close_at or (state.closed_at and now - state.closed_at <= config.onto_fault_window):
        if not shooting:
            state.onto_fault = True
            state.emit("onto_fault", now)
        if isolate.can_break(state):
            isolate.trip(state, now, "switch onto fault", clearing=True)


def join_voltage(state: State, now: int) -> None:
    """Join the merging unit's word on side A with the voltage presence indication of the breaker's IED."""
    status = state.status if state.breaker_fresh else BreakerStatus()
    instrument = state.measurement.live_a if state.measurement.level is not Level.BLIND else Live.UNKNOWN
    live_a = status.live_a
    if Live.LIVE in (instrument, status.live_a):
        live_a = Live.LIVE
    elif live_a is Live.UNKNOWN:
        live_a = instrument
    live_b = status.live_b
    if (live_a, live_b) != (state.live_a, state.live_b):
        if (live_a is Live.DEAD and state.live_a is not Live.DEAD) or (
            live_b is Live.DEAD and state.live_b is not Live.DEAD
        ):
            state.dead_since = now
            state.explain_at = now + state.config.explain
        for zone, live, before in ((state.zone_a, live_a, state.live_a), (state.zone_b, live_b, state.live_b)):
            if live is Live.LIVE and before is not Live.LIVE:
                state.held &= ~(1 << zone)
            follow_life(state, zone, live, before, now)
        state.live_a, state.live_b = live_a, live_b
        state.steady_since = now
        state.version += 1
    _watch_over(state)


def _watch_over(state: State) -> None:
    """Which of our zones do we see live? Once one is dead, that says whether we saw it die."""
    for zone, live in ((state.zone_a, state.live_a), (state.zone_b, state.live_b)):
        if live is Live.LIVE:
            if state.level is Level.BLIND:
                state.watched &= ~(1 << zone)
            else:
                state.watched |= 1 << zone


def follow_life(state: State, zone: int, live: Live, before: Live, now: int) -> None:
    """Note when a zone dies, and when one that was dead for longer than a dip comes back."""
    if live is Live.DEAD and before is Live.LIVE:
        state.died[zone] = now
    elif live is Live.LIVE and before is Live.DEAD and now - state.died.get(zone, now) > DIP:
        state.revived[zone] = now


def follow_load(state: State, now: int) -> None:
    """Publish load in the steady state only: what peers hold during a fault is the load from before it.

    That an open device carries none is told at once: it may be closed again before anything was steady.
    """
    if state.position is Position.OPEN:
        p = q = 0.0
    elif state.active or Live.LIVE not in (state.live_a, state.live_b) or state.position is not Position.CLOSED:
        state.load_at = NEVER
        return
    else:
        p, q = state.measurement.p_kw, state.measurement.q_kvar
    if abs(p - state.load_p) + abs(q - state.load_q) <= 2.0 + 0.02 * abs(state.load_p):
        state.load_at = NEVER
        return
    due = state.steady_since + LOAD_STEADY
    if now < due and (state.active or state.position is not Position.OPEN):
        state.load_at = due
        return
    state.load_at = NEVER
    state.load_p, state.load_q = p, q


def remember_demand(state: State, zone: int, now: int) -> None:
    """A zone's demand is what flows into it; looked at when that has lasted (published loads predate a fault)."""
    due = now + (DEMAND_LASTS if zone in state.known else LOAD_STEADY)
    due += ADOPT_STEP - due % ADOPT_STEP
    state.candidates[zone] = due
    state.adopt_at = min(state.adopt_at, due)


def adopt_demand(state: State, now: int) -> None:
    """Remember what has lasted."""
    for zone in [zone for zone, due in state.candidates.items() if now >= due]:
        del state.candidates[zone]
        fed = zone_live(state, zone) is Live.LIVE and feed_path(state, zone) is not None
        net = metered(state, zone) if fed else None
        if net is not None:
            state.known[zone] = net
    state.adopt_at = min(state.candidates.values(), default=NEVER)


def answer(state: State, peer: int, report: Report) -> None:
    """A neighbour picked up: answer when our samples reach past its pick-up and the spread.

    Who shares no zone with it is asked only if one between is silent, and need not hurry. A claim wants no answer,
    unless it is from before this episode: then a reclose shot has failed.
    """
    if not state.grid.near2[state.me] >> peer & 1:
        return
    if report.claim_zones and report.claim_us >= report.start_us:
        state.tell.pop(peer, None)
    elif report.level in (Level.START, Level.PICKUP) and state.level is Level.QUIET:
        picked_up = report.upto_us if report.level is Level.PICKUP else report.start_us
        wanted = picked_up + state.config.pickup_spread
        told = state.last_report.upto_us if state.last_report is not None else 0
        if told < wanted:
            near = state.grid.near[state.me] >> peer & 1
            state.tell[peer] = wanted if near else wanted + state.config.far_answer

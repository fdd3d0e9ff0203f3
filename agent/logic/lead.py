"""Closing our own device: ask, wait for every grant, pass the gate, order, confirm.

idle ── dead healthy side, plan names us ──> asking ── all granted, gate open ──> closing ── closed ──> watching
  ^                                            │ not agreed in time / gate shut      │ not closed in time      │
  └──────────── pause, then plan again ────────┴─────────────────────────────────────┘   pick-up: trip, claim <┘
"""

from __future__ import annotations

from agent.logic import gate, isolate
from agent.logic.agree import agreed, carried_out, generation_pause
from agent.logic.grid import bits
from agent.logic.limits import MOVES_LAST
from agent.logic.messages import (
    CommandResult,
    Live,
    Position,
    Refusal,
    Request,
    RequestKind,
)
from agent.logic.outage import Supply, demand
from agent.logic.picture import dead_component, explained, feed_path, flow_into, is_closed, metered_path
from agent.logic.problem import Feed
from agent.logic.restore import Search, plan
from agent.logic.state import NEVER, Reservation, State


def advance(state: State, now: int) -> int:
    """Do what is due; returns when to look again."""
    if state.close_at:
        return _watch_close(state, now)
    if state.command is not None and not state.request.number:
        answer(state, False, Refusal.NOT_AGREED, "interrupted")
    if state.reclose_at != NEVER and now >= state.reclose_at and not state.request.number:
        _shoot(state, now)
    if state.request.number:
        return _watch_request(state, now)
    return min(_restore(state, now), state.reclose_at)


# --- asking ----------------------------------------------------------------------------------------------------------


def ask(state: State, kind: RequestKind, zones: int, load: tuple[float, float], opens: int, now: int) -> None:
    """Publish a request."""
    state.request_number = isolate.number(state.request_number, now)
    state.request = Request(state.request_number, kind, zones, load[0], load[1], opens)
    state.request_since = now
    names = ",".join(state.grid.feeder.zones[z].name for z in bits(zones))
    opened = ",".join(state.grid.devices[d].name for d in bits(opens))
    state.emit("request", now, ("kind", kind.name), ("zones", names), ("opens", opened), ("p_kw", round(load[0], 1)))


def _give_up(state: State, now: int, why: str, refusal: Refusal) -> None:
    kind = state.request.kind
    state.request = Request()
    state.tries += 1
    state.retry_at = now + state.config.retry * min(state.tries, 8)
    state.emit("request_given_up", now, ("why", why))
    answer(state, False, refusal, why)
    if kind is RequestKind.RECLOSE:
        state.reclose_at = NEVER
        finalise(state, now, "reclose not possible: " + why)


def answer(state: State, accepted: bool, refusal: Refusal, text: str) -> None:
    """Answer the person's order that this close was for, if there was one."""
    if state.command is not None:
        state.actions.append(CommandResult(state.command.identifier, accepted, refusal, text))
        state.command = None


def _watch_request(state: State, now: int) -> int:
    manual = state.command is not None
    refusal = gate.refusal(state, state.request.kind, manual)
    if refusal is not Refusal.NONE:
        _give_up(state, now, refusal.name.lower(), refusal)
        return state.retry_at
    done, missing = agreed(state)
    if done:
        dead = gate.dead_side(state)
        trusted = state.moved_at + generation_pause(state, state.request.zones)
        if dead >= 0 and state.request.zones >> dead & 1:
            if now < trusted:
                return trusted
            _order(state, now)
            return isolate.close_deadline(state)
    deadline = state.request_since + state.config.act_within
    if now >= deadline:
        names = ",".join(state.grid.devices[d].name for d in missing)
        _give_up(state, now, f"no agreement from {names}" if names else "no dead side", Refusal.NOT_AGREED)
        return state.retry_at
    return deadline


def _order(state: State, now: int) -> None:
    """The only place where a close leaves the brain; the gate was passed in this very step."""
    state.close_number = isolate.number(state.close_number, now)
    state.close_expiry = now + state.config.close_validity
    state.close_at = now
    state.close_zones = state.request.zones
    state.operate_dirty = True
    state.emit("close", now, ("kind", state.request.kind.name))


def _watch_close(state: State, now: int) -> int:
    if state.position is Position.CLOSED:
        kind = state.request.kind
        until = now + state.config.reservation_hold
        state.reservations.append(Reservation(state.request.p_kw, state.request.q_kvar, until))
        carried_out(state, state.me, state.request, now)
        state.closed_at, state.close_at = now, 0
        state.request = Request()
        state.tries = state.close_failures = 0
        state.held &= ~state.close_zones
        state.emit("closed", now, ("kind", kind.name))
        answer(state, True, Refusal.NONE, "closed")
        state.reclose_ok_at = NEVER
        if kind is RequestKind.RECLOSE:
            state.reclose_at = NEVER
            state.reclose_ok_at = now + state.config.reclose_reset
        return now + state.config.onto_fault_window
    if now >= isolate.close_deadline(state):
        state.close_at = 0
        state.close_failures += 1
        _give_up(state, now, "did not close", Refusal.UNHEALTHY)
        return state.retry_at
    return isolate.close_deadline(state)


# --- automatic reclose -----------------------------------------------------------------------------------------------


def finalise(state: State, now: int, why: str) -> None:
    """Our pending claim becomes final."""
    if state.claim_zones and not state.claim_final:
        zones, state.claim_zones = state.claim_zones, 0
        isolate.claim(state, zones, now, why)


def _shoot(state: State, now: int) -> None:
    """The dead time of a configured shot is over."""
    state.reclose_at = NEVER
    dead = gate.dead_side(state)
    refusal = gate.refusal(state, RequestKind.RECLOSE, False)
    if refusal is not Refusal.NONE or dead < 0:
        finalise(state, now, "reclose refused: " + (refusal.name.lower() if refusal else "no dead side"))
        return
    zones = dead_component(state, dead, state.me)
    p = q = 0.0
    for zone in bits(zones):
        dp, dq = demand(state, zone, state.known)
        p, q = p + dp, q + dq
    live = state.grid.other(state.me, dead)
    path = metered_path(state, live)
    supply = Supply(state.me, live, dead, tuple(path or ()))
    if path is None or not Search(state, state.known, now).fits(supply, p, q):
        # Generation that was lost fed part of it: the load that comes back is more than what went.
        finalise(state, now, "reclose refused: no capacity")
        return
    ask(state, RequestKind.RECLOSE, zones, (p, q), 0, now)


# --- automatic restoration -------------------------------------------------------------------------------------------


def _restore(state: State, now: int) -> int:
    """Ask for our part of the plan, if there is a dead healthy section beside us and nothing speaks against it."""
    dead = gate.dead_side(state)
    if dead < 0 or gate.refusal(state, RequestKind.RESTORE, False) is not Refusal.NONE:
        return NEVER
    if (state.faulted() | state.held | state.doubt) >> dead & 1 or state.close_failures >= 2 or state.onto_fault:
        return NEVER
    if not state.decided:
        return NEVER  # where our own episode's fault is comes first; deciding it looks here again
    due = max(state.retry_at, state.dead_since + _patience(state, dead), state.last_move + state.config.settle_move)
    if now < due:
        return due
    waited = state.unsettled_since and now >= state.unsettled_since + state.config.unsettled_wait
    if pending_claim(state):
        state.plannable_since = 0
    elif state.plannable_since < state.dead_since:
        state.plannable_since = now
    deadlock = max(state.plannable_since, state.retry_at, state.last_move) + state.config.deadlock + 100_000 * state.me
    alone = now >= deadlock
    counted = len(state.recent)
    state.recent = [step for step in state.recent if now < step.until]
    if len(state.recent) != counted:
        state.version += 1
    calm = _calm(state)
    key = 8 * state.version + 4 * bool(waited) + 2 * alone + (now >= calm)
    times = [step.until for step in state.recent]
    if now < calm:
        times.append(calm)
    if pending_claim(state) or state.planned == key:
        return min(times, default=NEVER)
    state.planned = key
    result = plan(state, state.known, now)
    _say_dark(state, result.dark, now)
    if not result.unsettled:
        state.unsettled_since = 0
    elif state.unsettled_since == 0:
        state.unsettled_since = now
    if result.unsettled and now < state.unsettled_since + state.config.unsettled_wait:
        return state.unsettled_since + state.config.unsettled_wait
    feeds = result.feeds
    if alone and not state.asking and all(feed.root != state.me for feed in feeds):
        feeds = plan(state, state.known, now, only=state.me).feeds
    for feed in feeds:
        if feed.root == state.me:
            first = _first_part(state, feed, dead)
            ask(state, RequestKind.RESTORE, *first, now)
            return now + state.config.act_within
    if not alone:
        times.append(deadlock)
    return min(times, default=NEVER)


def _calm(state: State) -> int:
    """From then on reported flows are from after the last switching."""
    return max(state.last_move, max(state.revived.values(), default=0)) + MOVES_LAST


def _say_dark(state: State, dark: tuple[tuple[int, str], ...], now: int) -> None:
    if dark != state.dark:
        state.dark = dark
        names = state.grid.feeder.zones
        state.emit("dark", now, *((names[zone].name, why) for zone, why in dark))


def explain(state: State, now: int) -> None:
    """A section beside us has been dark for long: say why, whether or not the plan needs our device."""
    state.explain_at = NEVER
    excluded = state.faulted() | state.held | state.grid.sources_mask
    sides = ((state.zone_a, state.live_a), (state.zone_b, state.live_b))
    if any(live is Live.DEAD and not excluded >> zone & 1 for zone, live in sides):
        state.explain_at = now + state.config.explain
        key = 2 * state.version + (now >= _calm(state))
        if state.explained == key:
            return
        state.explained = key
        result = plan(state, state.known, now)
        names = state.grid.devices
        left = [
            (zone, f"left to {names[feed.root].name}, which has not fed it yet")
            for feed in result.feeds
            for zone in bits(feed.zones)
        ]
        _say_dark(state, tuple(sorted((*result.dark, *left))), now)


def _first_part(state: State, feed: Feed, dead: int) -> tuple[int, tuple[float, float], int]:
    """What our own close energises: the feed's zones that stay joined to us by closed devices."""
    grid = state.grid
    zones = 1 << dead
    queue = [dead]
    for zone in queue:
        for device in grid.zone_devices[zone]:
            far = grid.other(device, zone)
            if feed.zones >> far & 1 and not zones >> far & 1 and is_closed(state, device):
                if feed.opens >> device & 1:
                    continue
                zones |= 1 << far
                queue.append(far)
    opens = 0
    p = q = 0.0
    for zone in bits(zones):
        dp, dq = demand(state, zone, state.known)
        p, q = p + dp, q + dq
        opens |= sum(1 << d for d in grid.zone_devices[zone] if feed.opens >> d & 1)
    return zones, (p, q), opens


def _patience(state: State, dead: int) -> int:
    """A fault that explains the outage: settle only; otherwise the supply may come back by itself."""
    if explained(state, dead):
        return state.config.settle
    return state.config.infeed_loss_wait


def pending_claim(state: State) -> bool:
    """A reclose shot is still to come somewhere: restoration waits."""
    if state.claim_zones and not state.claim_final:
        return True
    return any(
        report is not None and fresh and report.claim_zones and not report.claim_final
        for report, fresh in zip(state.peers, state.fresh, strict=True)
    )


# --- by order of a person --------------------------------------------------------------------------------------------


def close_by_order(state: State, now: int) -> Refusal:
    """A manual close onto a dead section: the same request, the same gate. NONE: under way, answered later."""
    refusal = gate.refusal(state, RequestKind.RESTORE, True)
    if refusal is not Refusal.NONE:
        return refusal
    dead = gate.dead_side(state)
    if dead < 0:
        return Refusal.NOT_DEAD
    if state.faulted() >> dead & 1:
        return Refusal.LOCKED_OUT
    zones = dead_component(state, dead, state.me)
    if zones & (state.faulted() | state.grid.sources_mask):
        return Refusal.FAULT_PRESENT
    search = Search(state, state.known, now, allow_held=True)
    supply = next((s for s in search.outage.supplies if s.root == state.me), None)
    if supply is None or zones & ~search.outage.healthy:
        return Refusal.STALE_DATA
    p = sum(search.outage.need[z][0] for z in bits(zones))
    q = sum(search.outage.need[z][1] for z in bits(zones))
    if not search.fits(supply, p, q, zones):
        return Refusal.CAPACITY
    ask(state, RequestKind.RETURN, zones, (p, q), 0, now)
    return Refusal.NONE


def return_to_normal(state: State, now: int) -> Refusal:
    """Our normally closed device is open with both sides live: open the tie that feeds one side, then close ours."""
    device = state.grid.devices[state.me]
    if device.normally_open:
        return Refusal.POSITION
    refusal = gate.refusal(state, RequestKind.RETURN, True)
    if refusal is not Refusal.NONE:
        return refusal
    if gate.dead_side(state) >= 0:
        return close_by_order(state, now)
    for fed, taking in ((state.zone_b, state.zone_a), (state.zone_a, state.zone_b)):
        tie, zones = _tie_that_feeds(state, fed)
        path = metered_path(state, taking)
        if tie < 0 or path is None or any(d == tie for d, _ in path):
            continue
        entered = next(z for z in state.grid.sides[tie] if zones >> z & 1)
        p, q = flow_into(state, tie, entered)
        search = Search(state, state.known, now)
        supply = Supply(state.me, taking, fed, tuple(path))
        if not search.fits(supply, p, q):
            return Refusal.CAPACITY
        ask(state, RequestKind.RETURN, zones, (p, q), 1 << tie, now)
        return Refusal.NONE
    return Refusal.BOTH_SIDES_LIVE


def _tie_that_feeds(state: State, zone: int) -> tuple[int, int]:
    """The first normally open device on the zone's live path, and the zones that hang on it."""
    path = feed_path(state, zone)
    for device, entered in path or ():
        if state.grid.devices[device].normally_open:
            return device, dead_component(state, entered, device)
    return -1, 0

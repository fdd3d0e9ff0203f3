"""The one gate. Every close, automatic, manual or from SCADA, passes ``refusal``; there is no other way to close.

It is asked twice: when a close is wanted, and again in the instant before the order leaves.
"""

from __future__ import annotations

from agent.logic.messages import Level, Live, Position, Refusal, RequestKind
from agent.logic.state import State


def refusal(state: State, kind: RequestKind, manual: bool) -> Refusal:
    """Why our device must not be closed now; ``Refusal.NONE`` if nothing speaks against it."""
    device = state.grid.devices[state.me]
    if state.locked_a or state.locked_b or state.status.blocked:
        return Refusal.LOCKED_OUT
    if state.tagged:
        return Refusal.TAGGED
    if not state.ready or not state.time_good:
        return Refusal.STALE_DATA
    if not state.automation and not manual:
        return Refusal.AUTOMATION_OFF
    if state.status.local:
        return Refusal.LOCAL
    if state.position is not Position.OPEN or state.trip or state.close_at:
        return Refusal.POSITION
    if not state.status.healthy or state.failed:
        return Refusal.UNHEALTHY
    if state.level is Level.BLIND:
        return Refusal.STALE_DATA
    if state.active:
        return Refusal.FAULT_PRESENT
    sides = (state.live_a, state.live_b)
    if Live.UNKNOWN in sides:
        return Refusal.STALE_DATA
    if sides == (Live.LIVE, Live.LIVE) and not device.allow_parallel and kind is not RequestKind.RETURN:
        return Refusal.BOTH_SIDES_LIVE
    return Refusal.NONE


def dead_side(state: State) -> int:
    """The zone that a close would energise: the dead one of exactly one live and one dead side; -1 otherwise."""
    if state.live_a is Live.LIVE and state.live_b is Live.DEAD:
        return state.zone_b
    if state.live_b is Live.LIVE and state.live_a is Live.DEAD:
        return state.zone_a
    return -1

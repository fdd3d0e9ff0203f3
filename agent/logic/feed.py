"""From which side our device is fed, as the network is switched now. For setting groups that follow it."""

from __future__ import annotations

from agent.logic.messages import Position
from agent.logic.picture import is_closed
from agent.logic.state import State

NOT_KNOWN, FROM_A, FROM_B = 0, 1, 2


def feed_side(state: State) -> int:
    """FROM_A or FROM_B where a source is connected to that side for certain, and none can be to the other one; else
    NOT_KNOWN: open, fed from both sides or from none, or somebody's position is not known."""
    if state.position is not Position.CLOSED or not state.breaker_fresh:
        return NOT_KNOWN
    a, b = state.zone_a, state.zone_b
    if _source(state, a, True) and not _source(state, b, False):
        return FROM_A
    if _source(state, b, True) and not _source(state, a, False):
        return FROM_B
    return NOT_KNOWN


def _source(state: State, side: int, certain: bool) -> bool:
    """Whether closed devices (or such as may be closed) lead from this side to a source, without us."""
    grid = state.grid
    seen = 1 << side
    queue = [side]
    for zone in queue:
        if grid.zone_source[zone] >= 0:
            return True
        for device, far in grid.links[zone]:
            if device == state.me or seen >> far & 1:
                continue
            if is_closed(state, device) if certain else not state.surely_open(device):
                seen |= 1 << far
                queue.append(far)
    return False

"""Which way did the fault current flow? The measured direction, believed only where topology allows it.

Rule (house plan, "Locate"): without a usable voltage a pick-up counts as flow away from the source only if the greatest
back-feed is below it; otherwise the direction is unknown, and unknown is *uncertain*, never "none". The same rule
catches a false direction: 5 kA cannot come out of a side that can feed 300 A. A measured direction that topology
contradicts is unknown, not turned round: the topology may be what is wrong.
"""

from __future__ import annotations

from agent.logic.messages import Direction
from agent.logic.state import State

MARGIN = 1.25


def can_feed(state: State, side_zone: int, current_a: float) -> bool:
    """Could that much fault current come out of this side of our device, as topology is known now?"""
    grid, config = state.grid, state.config
    seen = 1 << side_zone
    queue = [side_zone]
    backfeed = 0.0
    for zone in queue:
        if grid.zone_source[zone] >= 0:
            return True
        backfeed += config.backfeed_machine * grid.machine_a[zone] + config.backfeed_inverter * grid.inverter_a[zone]
        for device in grid.zone_devices[zone]:
            if device != state.me and not state.surely_open(device):
                far = grid.other(device, zone)
                if not seen >> far & 1:
                    seen |= 1 << far
                    queue.append(far)
    return current_a <= MARGIN * backfeed


def believe(state: State, measured: Direction, current_a: float) -> Direction:
    """The direction to publish for a measured one."""
    from_a = can_feed(state, state.zone_a, current_a)
    from_b = can_feed(state, state.zone_b, current_a)
    if measured is Direction.INTO_B and from_a:
        return Direction.INTO_B
    if measured is Direction.INTO_A and from_b:
        return Direction.INTO_A
    if from_a != from_b and measured in (Direction.NONE, Direction.UNKNOWN):
        return Direction.INTO_B if from_a else Direction.INTO_A
    return Direction.UNKNOWN


def episode_zone(state: State) -> int:
    """Index of the zone that the present or last episode's current flows into; -1 if its direction is unknown."""
    if state.direction is Direction.INTO_B:
        return state.zone_b
    if state.direction is Direction.INTO_A:
        return state.zone_a
    return -1


def zone_entered(state: State) -> int:
    """The same while the episode lasts; -1 when there is none."""
    return episode_zone(state) if state.active else -1


def sides_of(state: State, mask: int) -> list[int]:
    """Our own zones that are in the mask."""
    return [zone for zone in (state.zone_a, state.zone_b) if mask >> zone & 1]

"""The plan: which open device feeds which dead healthy zones, within every rating. Pure search over the shared picture.

All agents with the same picture compute the same plan; each carries out only the feeds whose root is its own device.
A feed is checked on every element up to the transformer (device and zone ratings, source kVA), for voltage drop at its
end and for reach: a two-phase fault there must still be seen by every breaker on the way.

    outage    what is dark and may be fed      limits    what the way there still bears
    search    the best assignment
"""

from __future__ import annotations

from typing import NamedTuple

from agent.logic.grid import bits
from agent.logic.limits import MOVES_LAST, Limits, bears
from agent.logic.outage import Outage, Supply, closable
from agent.logic.picture import is_closed
from agent.logic.problem import Feed, Problem, fits_inside, tree, zones_of
from agent.logic.search import best
from agent.logic.state import State


class Plan(NamedTuple):
    """What can be fed, and why the rest stays dark; ``unsettled``: dead zones that may look different in a moment."""

    feeds: tuple[Feed, ...]
    dark: tuple[tuple[int, str], ...]
    unsettled: int


class Search:
    """One planning pass over one picture; ``known`` is each zone's metered demand from before it went dead."""

    def __init__(self, state: State, known: dict[int, tuple[float, float]], now: int, allow_held: bool = False) -> None:
        self.state = state
        lately = now - state.last_move < MOVES_LAST
        self.outage = Outage(state, known, allow_held, foresee=lately and not allow_held)
        self.limits = Limits(state, known, now)

    def fits(self, supply: Supply, p: float, q: float, zones: int = 0) -> bool:
        """May the supply carry this as well? With ``zones``, ratings inside the newly fed tree count too."""
        line = self.limits.line(supply)
        if not bears(line, p, q, {}):
            return False
        if not zones:
            return True
        found = tree(self._problem(()), line, zones)
        return found is not None and fits_inside(self.state.grid, found.above, self.outage.need)

    def run(self, only: int = -1) -> Plan:
        """The best plan found, or the best that the device ``only`` could carry out alone."""
        outage = self.outage
        supplies = [s for s in outage.supplies if only < 0 or s.root == only]
        feeds = best(self._problem(tuple(supplies))) if supplies else ()
        dark = dict(outage.dark)
        for zone in bits(outage.healthy & ~zones_of(feeds)):
            reason = "no supply with capacity" if supplies else "no live supply next to it"
            dark.setdefault(zone, outage.blocked.get(zone, reason))
        return Plan(feeds, tuple(sorted(dark.items())), outage.unsettled)

    def _problem(self, supplies: tuple[Supply, ...]) -> Problem:
        state, outage = self.state, self.outage
        grid = state.grid
        closed = opened = bridges = 0
        need = []
        for zone in bits(outage.healthy):
            need.append((zone, *outage.need[zone]))
            for device in grid.zone_devices[zone]:
                if is_closed(state, device):
                    closed |= 1 << device
                elif state.is_open(device):
                    opened |= 1 << device
                    if closable(state, device):
                        bridges |= 1 << device
        lines = tuple(self.limits.line(supply) for supply in supplies)
        return Problem(grid, tuple(need), closed, opened, bridges, lines, state.config.plan_limit)


def plan(state: State, known: dict[int, tuple[float, float]], now: int, only: int = -1) -> Plan:
    """The best plan for the present picture.

    ``only``: what this device alone could feed. Pictures may differ a little, and two agents must not wait for each
    other for ever.
    """
    return Search(state, known, now).run(only)

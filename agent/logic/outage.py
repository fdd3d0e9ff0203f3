"""What is dark and may be fed, and the live points beside it: the picture that a plan starts from.

A dead zone is planned for if it is healthy, every agent beside it answers with a known position, and it can be cut from
what is faulted. What is left out is left out for a reason that is kept for the record.
"""

from __future__ import annotations

from typing import NamedTuple

from agent.logic.grid import bits
from agent.logic.messages import Level, Live, Position
from agent.logic.picture import islands, live_and_dead, metered_path, vouches
from agent.logic.state import State


class Supply(NamedTuple):
    """A live point next to a dead zone."""

    root: int
    live_zone: int
    dead_zone: int
    path: tuple[tuple[int, int], ...]


def closable(state: State, device: int) -> bool:
    """May automation close this (open) device at all?"""
    if device == state.me:
        return (
            state.ready
            and state.automation
            and not (state.tagged or state.locked_a or state.locked_b or state.failed or state.trip or state.close_at)
            and not (state.status.local or state.status.blocked)
            and state.status.healthy
            and state.close_failures < 2
        )
    report = state.peers[device]
    return (
        report is not None
        and state.fresh[device]
        and report.ready
        and report.automation
        and not (report.tagged or report.locked_a or report.locked_b or report.failed)
    )


def demand(state: State, zone: int, known: dict[int, tuple[float, float]]) -> tuple[float, float]:
    """Gross demand of a dead zone: metered before (or planned load), DER counted as lost, times cold-load factor."""
    grid = state.grid
    factor = grid.feeder.cold_load_factor
    p, q = known.get(zone) or (grid.zone_kw[zone], grid.zone_kvar[zone])
    if zone in known:
        p += grid.der_kva[zone]
    return max(p, 0.0) * factor, max(q, 0.0) * factor


class Outage:
    """See the module; ``known`` is each zone's metered demand from before it went dead.

    ``foresee``: zones that only generators keep alive count as dead. What they will need in a moment is not given to
    others; they are fed when they are dead.
    """

    def __init__(
        self, state: State, known: dict[int, tuple[float, float]], allow_held: bool = False, foresee: bool = False
    ) -> None:
        self.state = state
        self.grid = state.grid
        self.faulted = state.faulted()
        self.live, self._dead = live_and_dead(state)
        if foresee:
            doomed = islands(state, self.live)
            self.live, self._dead = self.live & ~doomed, self._dead | doomed
        self.dark: dict[int, str] = {}
        """Dead zones that are not planned for, and why."""
        self.unsettled = 0
        """Those of them that may look different in a moment."""
        self.blocked: dict[int, str] = {}
        """Zones beside a live point whose load nobody knows."""
        self.need: dict[int, tuple[float, float]] = {}
        self.healthy = self._healthy(known, 0 if allow_held else state.held)
        self.supplies = self._supplies() if self.healthy else []

    def _healthy(self, known: dict[int, tuple[float, float]], held: int) -> int:
        state, grid = self.state, self.grid
        excluded = self.faulted | held | grid.sources_mask
        healthy = 0
        for zone in bits(self._dead & ~excluded):
            reason, moving = self._obstacle(zone)
            if reason:
                self.dark[zone] = reason
                self.unsettled |= moving << zone
            else:
                healthy |= 1 << zone
                self.need[zone] = demand(state, zone, known)
        return self._separable(healthy)

    def _obstacle(self, zone: int) -> tuple[str, bool]:
        """Why the zone cannot be planned for, and whether that may pass in a moment."""
        state = self.state
        for device in self.grid.zone_devices[zone]:
            if device == state.me:
                if state.active:
                    return "fault current present", True
                if state.doubt >> zone & 1:
                    return "whether the fault was here is not known", False
                if state.live_on(zone) is Live.DEAD and not vouches(state, zone):
                    return "it went dead unseen, and no known fault explains it", False
                continue
            report = state.peers[device]
            name = self.grid.devices[device].name
            if report is None or not state.fresh[device]:
                return f"agent of {name} silent", False
            if not report.ready:
                return f"agent of {name} not ready", False
            if (report.live_a if self.grid.sides[device][0] == zone else report.live_b) is Live.UNKNOWN:
                return f"{name} cannot say why it is dead", False
            if report.position not in (Position.OPEN, Position.CLOSED):
                return f"position of {name} not known", True
            if report.level in (Level.START, Level.PICKUP):
                return f"fault current at {name}", True
        return "", False

    def _separable(self, healthy: int) -> int:
        """Drop zones that cannot be cut from a faulted or unknown neighbour; repeat until nothing changes."""
        state, grid = self.state, self.grid
        changed = True
        while changed:
            changed = False
            for zone in bits(healthy):
                for device, far in grid.links[zone]:
                    if healthy >> far & 1 or state.is_open(device):
                        continue
                    report = state.report_of(device)
                    stuck = report is None or report.failed or device_local(state, device)
                    if self.faulted >> far & 1:
                        reason = f"{grid.devices[device].name} does not isolate it from a fault"
                        self.unsettled |= (report is not None and not report.failed) << zone
                    elif stuck:
                        reason = f"{grid.devices[device].name} cannot be opened"
                    elif self.live >> far & 1:
                        reason = "voltage is still settling"
                        self.unsettled |= 1 << zone
                    else:
                        continue
                    self.dark[zone] = reason
                    healthy &= ~(1 << zone)
                    changed = True
                    break
        return healthy

    def _supplies(self) -> list[Supply]:
        state, grid = self.state, self.grid
        found = []
        for dead in bits(self.healthy):
            for device, live in grid.links[dead]:
                if (
                    not (self.live & ~self.faulted) >> live & 1
                    or not state.is_open(device)
                    or not closable(state, device)
                ):
                    continue
                path = metered_path(state, live)
                if path is not None:
                    found.append(Supply(device, live, dead, tuple(path)))
                else:
                    self.blocked[dead] = (
                        f"how the far side of {grid.devices[device].name} is fed and loaded is not known"
                    )
        found.sort(key=lambda s: (grid.devices[s.root].normally_open, s.root))
        return found


def device_local(state: State, device: int) -> bool:
    """Our own local/remote key; a peer's shows as its refusal to grant."""
    return device == state.me and state.status.local

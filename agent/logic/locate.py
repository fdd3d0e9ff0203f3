"""Is the zone that our fault current enters the faulted one?

For device X with an episode that began at X.start and flows into zone Z, every other boundary Y of Z is one of

    open       known open, and it cannot say more than that
    in         fault current flows through Y into Z as well
    leaving    fault current flows through Y out of Z: the fault is beyond Y, and Z is healthy
    none       Y's samples show no fault current for at least ``spread`` of the time that ours showed it
    pending    Y is alive, and its samples do not reach that far yet
    uncertain  silent, blind, without direction, or still pending after ``answer_wait``

Any *leaving* → THROUGH. Any *pending* → WAIT. An *uncertain* Y hides what happens behind it, so the zone on its other
side joins the group and its boundaries are asked as well. When only *open*, *in* and *none* remain → FAULTED(group).
If widening swallowed every boundary that could speak, or ran around (past silent ties) to where our own fault current
comes from → GRADED: nobody can be selective, time-graded backup trips.

"None" needs an overlap of times and not of arrival: a report from before the fault, or a pick-up that ended because
another breaker cleared, proves nothing about now. Two faults in series are found by the same rule: when Y's episode has
been over for ``dropoff_spread`` and ours goes on, Y counts as none.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from agent.logic.messages import Direction, Level, Report
from agent.logic.state import NEVER, State


class Verdict(Enum):
    """See the module."""

    THROUGH = "through"
    WAIT = "wait"
    FAULTED = "faulted"
    GRADED = "graded"


class Flow(Enum):
    """What a boundary says of a zone."""

    OPEN = "open"
    IN = "in"
    LEAVING = "leaving"
    NONE = "none"
    PENDING = "pending"
    UNCERTAIN = "uncertain"


class Decision(NamedTuple):
    """A verdict on a group of zones, and when to look again."""

    verdict: Verdict
    group: int = 0
    again: int = NEVER


def boundary(state: State, device: int, zone: int, now: int) -> tuple[Flow, int]:
    """What boundary ``device`` says of ``zone``, and when to look again if it is worth waiting."""
    report = state.peers[device]
    opened = state.is_open(device)
    if report is None or not state.fresh[device] or report.level is Level.BLIND or not state.time_good:
        return (Flow.OPEN if opened else Flow.UNCERTAIN), NEVER
    flow, again = _spoken(state, device, zone, report, now)
    return (Flow.OPEN if opened and flow is Flow.UNCERTAIN else flow), again


def _spoken(state: State, device: int, zone: int, report: Report, now: int) -> tuple[Flow, int]:
    """What its samples say. They go before its position: contacts part and touch earlier than a position is heard."""
    deadline = deadline_for(state, device)
    if report.start_us and (report.end_us == 0 or report.level in (Level.START, Level.PICKUP)):
        if report.direction is Direction.UNKNOWN or report.direction is Direction.NONE:
            return (Flow.PENDING, deadline) if now < deadline else (Flow.UNCERTAIN, NEVER)
        return _running(state, device, zone, report, now)
    return _quiet(state, device, zone, report, now, deadline)


def _running(state: State, device: int, zone: int, report: Report, now: int) -> tuple[Flow, int]:
    """Its episode lasts, as far as we have heard. If ours is over and its end is never heard of, we have not heard."""
    again = NEVER
    if not state.active:
        again = state.measurement.end_us + state.config.voltage_lag
        if now >= again:
            return Flow.UNCERTAIN, NEVER
    return (Flow.IN if _into(state, device, report) == zone else Flow.LEAVING), again


def _quiet(state: State, device: int, zone: int, report: Report, now: int, deadline: int) -> tuple[Flow, int]:
    """No episode now: was it quiet long enough while ours lasted?"""
    config, ours = state.config, state.measurement
    our_end = state.upto if state.active else ours.end_us
    ended = report.end_us
    if ended <= ours.start_us:
        if report.upto_us >= state.asked + config.pickup_spread:
            return Flow.NONE, NEVER
        return (Flow.PENDING, deadline) if now < deadline else (Flow.UNCERTAIN, NEVER)
    # Its episode overlapped ours; what counts is whether ours outlived it.
    if our_end >= ended + config.dropoff_spread:
        return Flow.NONE, NEVER
    if report.direction in (Direction.UNKNOWN, Direction.NONE):
        return Flow.UNCERTAIN, NEVER
    flow = Flow.IN if _into(state, device, report) == zone else Flow.LEAVING
    return flow, (ended + config.dropoff_spread + 3_000 if state.active else NEVER)


def _into(state: State, device: int, report: Report) -> int:
    a, b = state.grid.sides[device]
    return b if report.direction is Direction.INTO_B else a


def deadline_for(state: State, device: int) -> int:
    """Until when this boundary's answer is worth waiting for."""
    conventional = state.grid.devices[device].merging_unit is None
    ours = state.grid.devices[state.me].merging_unit is None
    wait = state.config.conventional_wait if conventional or ours else state.config.answer_wait
    # Who was kept from looking at its own pick-up has answers waiting to be read, and has asked late itself.
    return max(state.asked + wait, state.noticed + state.config.late_look)


def decide(state: State, zone: int, now: int) -> Decision:
    """The verdict on the zone that our episode entered (or on the group around it)."""
    grid, me = state.grid, state.me
    group = 1 << zone
    queue = [zone]
    waiting = NEVER
    again = NEVER
    certain = uncertain = False
    for current in queue:
        for device in grid.zone_devices[current]:
            if device == me:
                continue
            far = grid.other(device, current)
            if group >> far & 1:
                continue
            flow, when = boundary(state, device, current, now)
            if flow is Flow.LEAVING:
                if current != zone and _feeds_us(state, far, _our_other_side(state, zone), group):
                    return Decision(Verdict.GRADED, 1 << zone)
                return Decision(Verdict.THROUGH, 0, when)
            if flow is Flow.PENDING:
                waiting = min(waiting, when)
            elif flow is Flow.UNCERTAIN:
                uncertain = True
                if far != _our_other_side(state, zone):
                    group |= 1 << far
                    queue.append(far)
            else:
                # A silent peer's last word says where no current flows, not that anybody here can be selective.
                certain |= flow is not Flow.OPEN or state.fresh[device]
            again = min(again, when)
    if waiting is not NEVER and waiting != NEVER:
        return Decision(Verdict.WAIT, 0, waiting)
    if uncertain and not certain:
        return Decision(Verdict.GRADED, group)
    return Decision(Verdict.FAULTED, group, again)


def _our_other_side(state: State, zone: int) -> int:
    """Widening never runs around us: what lies behind our own device is not part of what it isolates."""
    return state.grid.other(state.me, zone)


def _feeds_us(state: State, far: int, ours: int, group: int) -> bool:
    """Does what leaves the group there come to us? Then it is our own fault current, on its way from the source."""
    grid = state.grid
    seen = group | 1 << far
    queue = [far]
    for zone in queue:
        if zone == ours:
            return True
        for device, beyond in grid.links[zone]:
            silent_tie = grid.devices[device].normally_open and not state.fresh[device]
            if device != state.me and not seen >> beyond & 1 and not state.is_open(device) and not silent_tie:
                seen |= 1 << beyond
                queue.append(beyond)
    return False

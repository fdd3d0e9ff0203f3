"""Where the milliseconds of a run went: each breaker's trip, the switches, the restoration.

    trip = filter + wait + decision and wire

*Filter*: fault inception to pick-up evaluated, the merging unit's delay in it. *Wait*: to the moment at which the
agent that finds the fault has the last neighbour's answer: the *spread* (the neighbour's samples must reach past the
pick-up), its *answer* (from that sample to the answer's frame) and the *transfer* of that frame. *Decision and wire*:
from there to the trip's frame; for another breaker than the one that found the fault, the claim's way to it is in it as
well. Moments of frames are the capture's. Opening and closing are the mechanisms' and are told apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, NamedTuple

from agent.logic.config import BrainConfig
from agent.logic.messages import Level
from scl.topology import DeviceKind
from simulator.demo.course import Course, Trip
from simulator.demo.follow import Line
from simulator.demo.heard import Heard, Told

SELECTIVE = "fault current enters, none leaves"
"""Claims for another reason (backup, breaker failure, no reclose) have waited for something else than answers."""
ZERO_CONFIRM = 0.34
"""Of a cycle from the last pole's end of current to the earliest confirmation of current zero (0.4 at the latest)."""
ZERO_PICKUP = 0.02
"""Below so much of the pick-up a pole carries no current."""
UNIT_DELAY_US = 1_000
"""Of a merging unit, where the capture does not hold its frames."""


class Answer(NamedTuple):
    """The last of the answers that a claim needed."""

    device: str
    ready_us: int
    """When its agent could have given it: its samples had reached past the pick-up."""
    wire_us: int


def trip_split(course: Course) -> dict[str, float]:
    """Parts of the time to the last breaker's trip on the wire, ms, by the agent that found the fault.

    ``merging_unit_and_filter``: inception to pick-up. ``pickup_to_wire``, ``answers`` (of the neighbours, to our
    claim), ``decision_to_wire`` (claim to our trip on the wire), ``neighbours_trip`` (from ours to the last one).
    Empty if no agent found a fault.
    """
    claims = course.agents("claim")
    seen = course.breaker_trips()
    if not claims or not seen:
        return {}
    claim = claims[0]
    mine = {x.name: x.t_us for x in reversed(course.agents("pickup", "pickup_sent")) if x.device == claim.device}
    sent = next((trip.t_us for trip in seen if trip.device == claim.device), seen[0].t_us)
    if len(mine) < 2:
        return {}
    moments = (
        ("merging_unit_and_filter", course.inception_us),
        ("pickup_to_wire", mine["pickup"]),
        ("answers", mine["pickup_sent"]),
        ("decision_to_wire", claim.t_us),
        ("neighbours_trip", sent),
        ("", max(trip.t_us for trip in seen)),
    )
    return {name: round((after - at) / 1000, 3) for (name, at), (_, after) in pairwise(moments)}


# --- each breaker ----------------------------------------------------------------------------------------------------


def breakers(course: Course, heard: Heard) -> list[dict[str, Any]]:
    """One entry for each breaker that tripped for the first isolation, in order of time; times in ms.

    ``found_by``: the agent whose claim it acted on, ``why``: that claim's reason. The three parts add up to
    ``trip_ms``. ``merging_unit_ms`` is in the filter's time; ``spread_ms``, ``answer_ms`` and ``transfer_ms`` make the
    wait; ``claim_transfer_ms`` (0 for the finder itself) is in decision and wire. None: the record does not say.
    """
    rows = []
    for trip in course.breaker_trips():
        claim = _claim_for(course, trip)
        if claim is not None:
            rows.append(_row(course, heard, trip, claim))
    return rows


def _claim_for(course: Course, trip: Trip) -> Line | None:
    """Its own claim, or the first that touches one of its zones, or (it clears for a switch below) the first."""
    before = [x for x in course.agents("claim") if x.t_us <= trip.t_us]
    device = course.feeder.device(trip.device)
    sides = {course.feeder.zones[device.zone_a].name, course.feeder.zones[device.zone_b].name}
    own = [x for x in before if x.device == trip.device]
    beside = [x for x in before if sides & _zones(x)]
    return next(iter([*own, *beside, *before]), None)


def _zones(claim: Line) -> set[str]:
    return set(str(claim.details.get("zones", "")).split(","))


def _row(course: Course, heard: Heard, trip: Trip, claim: Line) -> dict[str, Any]:
    picked_us = _picked_up(course, claim)
    told_us = _claim_on_wire(heard, claim)
    answer = None
    sample_us = _pickup_sample(course, claim)
    if claim.details.get("why") == SELECTIVE and sample_us:
        answer = _last_answer(course, heard, claim, sample_us, told_us or claim.t_us)
    # An agent that was held up stamps what it finds as of its last deadline: that may be before the frame it heard.
    found_us, ready_us, wire_us = claim.t_us, picked_us, picked_us
    if answer is not None:
        found_us = max(claim.t_us, answer.wire_us)
        ready_us = min(max(answer.ready_us, picked_us), found_us)
        wire_us = max(answer.wire_us, ready_us)
    unit_us = heard.arrival(claim.device, sample_us) if sample_us else None
    claim_transfer_ms: float | None = 0.0
    if trip.device != claim.device:
        acted_us = _acted(course, trip)
        claim_transfer_ms = _ms(max(acted_us - told_us, 0)) if told_us and acted_us else None
    return {
        "device": trip.device,
        "found_by": claim.device,
        "why": str(claim.details.get("why", "")),
        "trip_ms": course.ms(trip.t_us),
        "filter_ms": course.ms(picked_us),
        "merging_unit_ms": None if unit_us is None else _ms(unit_us - sample_us),
        "wait_ms": _ms(found_us - picked_us),
        "answered_by": None if answer is None else answer.device,
        "spread_ms": None if answer is None else _ms(ready_us - picked_us),
        "answer_ms": None if answer is None else _ms(wire_us - ready_us),
        "transfer_ms": None if answer is None else _ms(found_us - wire_us),
        "decision_and_wire_ms": _ms(trip.t_us - found_us),
        "claim_transfer_ms": claim_transfer_ms,
    }


def _ms(us: int) -> float:
    return round(us / 1000, 3)


def _picked_up(course: Course, claim: Line) -> int:
    """The finder's pick-up; a start counts from the first pick-up of another on."""
    picked = [x for x in course.agents("pickup") if x.t_us <= claim.t_us]
    mine = [x.t_us for x in picked if x.device == claim.device]
    return mine[-1] if mine else min((x.t_us for x in picked), default=claim.t_us)


def _pickup_sample(course: Course, claim: Line) -> int:
    """Sample time of the finder's pick-up, from its trip's details; 0: it did not trip, or did not pick up itself."""
    told = [int(x.details.get("pickup_us", 0)) for x in course.agents("trip") if x.device == claim.device]
    return max((us for us in told if us <= claim.t_us), default=0)


def _last_answer(course: Course, heard: Heard, claim: Line, sample_us: int, before_us: int) -> Answer | None:
    """Of the other boundaries of the claimed zones, open ones as well.

    None if the capture shows no answer of one of them: then the wait was for its silence.
    """
    needed_us = sample_us + BrainConfig().pickup_spread
    zones = [zone for zone in course.feeder.zones if zone.name in _zones(claim)]
    beside = {course.feeder.devices[i].name for zone in zones for i in zone.devices} - {claim.device}
    answers = []
    for device in beside:
        said = [x for x in heard.reports if x.device == device and x.t_us <= before_us]
        first = next((x for x in said if _answers(x, needed_us, course.inception_us)), None)
        if first is None:
            return None
        report = first.report
        reached_us = needed_us if report.level is Level.QUIET else report.start_us
        ready_us = heard.arrival(device, reached_us) or reached_us + UNIT_DELAY_US
        answers.append(Answer(device, ready_us, first.t_us))
    return max(answers, key=lambda answer: answer.wire_us, default=None)


def _answers(told: Told, needed_us: int, inception_us: int) -> bool:
    report = told.report
    if report.level in (Level.START, Level.PICKUP):
        return report.start_us >= inception_us
    return report.level is Level.QUIET and report.upto_us >= needed_us


def _claim_on_wire(heard: Heard, claim: Line) -> int | None:
    """The first frame that carries a claim."""
    for told in heard.reports:
        if told.device == claim.device and told.report.claim_us == claim.t_us and told.report.claim_zones:
            return told.t_us
    return None


def _acted(course: Course, trip: Trip) -> int | None:
    """When the agent of a breaker decided on the trip that is on the wire."""
    return max((x.t_us for x in course.agents("trip") if x.device == trip.device and x.t_us <= trip.t_us), default=None)


def answer_wait(heard: Heard, rows: Iterable[dict[str, Any]]) -> dict[str, float]:
    """The longest wait for an answer that this run's figures ask for, beside the one that is set; ms.

    Spread, the question's and the answer's transfer, one retransmission: ``transfer_ms`` is the longest measured of
    answers and claims, ``retransmission_ms`` the median of first repetitions. Empty if nothing was measured.
    """
    measured = [row[key] for row in rows for key in ("transfer_ms", "claim_transfer_ms") if row[key]]
    gaps = sorted(heard.repetitions_us)
    if not measured or not gaps:
        return {}
    config = BrainConfig()
    spread, transfer, again = config.pickup_spread / 1000, max(measured), gaps[len(gaps) // 2] / 1000
    return {
        "spread_ms": spread,
        "transfer_ms": transfer,
        "retransmission_ms": again,
        "derived_ms": round(spread + 2 * transfer + again, 3),
        "set_ms": config.answer_wait / 1000,
    }


def multiple(course: Course) -> float | None:
    """Fault current through the device that found the fault, as a multiple of its phase pick-up (largest phase)."""
    claims = course.agents("claim")
    if not claims:
        return None
    device = course.feeder.device(claims[0].device)
    for line in _currents(course):
        if line.t_us >= course.inception_us:
            amps = line.details["a"].get(device.name)
            return None if amps is None else round(float(amps) / device.phase_pickup_a, 2)
    return None


def _currents(course: Course) -> list[Line]:
    return [line for line in course.lines if line.source == "plant" and line.name == "currents"]


# --- load-break switches ---------------------------------------------------------------------------------------------


def switches(course: Course) -> list[dict[str, Any]]:
    """Load-break switches that opened for a fault: ms from confirmed zero current to the order on the wire.

    The confirmation itself is not on the record. It is taken as early as it can be: ``ZERO_CONFIRM`` after the plant's
    current had ended, or when the agent learned that it has to open, if that was later; where the plant does not tell
    this device's current, at the newest sample before the order. The merging unit's delay is in it.
    """
    rows = []
    confirm_us = round(ZERO_CONFIRM * 1_000_000 / course.feeder.frequency_hz)
    for line in course.agents("trip_sent"):
        device = course.feeder.device(line.device)
        if device.kind is not DeviceKind.LOAD_BREAK_SWITCH:
            continue
        wire_us = min((t.t_us for t in course.trips if t.device == device.name), default=line.t_us)
        end_us = _current_end(course, device.name, ZERO_PICKUP * device.phase_pickup_a, wire_us)
        wanted_us = max((x.t_us for x in course.agents("lockout") if x.device == device.name), default=0)
        zero_us = int(line.details.get("upto_us", 0)) if end_us is None else max(end_us + confirm_us, wanted_us)
        if zero_us:
            rows.append({"device": device.name, "zero_to_order_ms": _ms(wire_us - min(zero_us, wire_us))})
    return rows


def _current_end(course: Course, device: str, least_a: float, before_us: int) -> int | None:
    """When a device last ceased to carry current in all poles; at the first happening, if it carried none then."""
    ended: int | None = None
    carries = False
    for line in _currents(course):
        amps = line.details["a"].get(device)
        if amps is not None and line.t_us <= before_us:
            carried, carries = carries, float(amps) >= least_a
            if ended is None or (carried and not carries):
                ended = max(line.t_us, course.inception_us)
    return ended


# --- restoration -----------------------------------------------------------------------------------------------------


def restoration(course: Course, heard: Heard) -> dict[str, Any]:
    """The close that fed the last healthy zone: what it waited for, and the whole without the mechanisms' times.

    Moments from inception: ``dead_ms`` (last pole of the device that isolated last), ``request_ms``, ``agreed_ms``,
    ``order_ms`` (on the wire), ``voltage_ms``. Spans: ``dead_to_request_ms``, ``agreement_ms`` (to the close sent),
    ``opening_ms``: order to last pole of the device that isolated last; ``closing_ms``: order to voltage;
    ``without_mechanisms_ms``: inception to voltage without these two. ``generation``: there is some in what was
    restored, so its voltage had to go first. Empty if nothing was restored, or not by an agent's close.
    """
    back = course.restored_us()
    closes = [x for x in course.agents("close_sent") if back is not None and x.t_us < back]
    if back is None or not closes:
        return {}
    close = closes[-1]
    asked = [x for x in course.agents("request") if x.device == close.device and x.t_us <= close.t_us]
    opening, dead_us = _last_opening(course, close.t_us)
    if not asked or dead_us is None:
        return {}
    agreed = [x.t_us for x in course.agents("close") if x.device == close.device and x.t_us <= close.t_us]
    order_us = max((x.t_us for x in heard.closes if x.device == close.device and x.t_us <= close.t_us), default=None)
    closing_ms = (back - close.t_us) / 1000
    zones = _zones(asked[-1])
    return {
        "device": close.device,
        "generation": any(course.feeder.zones[der.zone].name in zones for der in course.feeder.ders),
        "dead_ms": course.ms(dead_us),
        "request_ms": course.ms(asked[-1].t_us),
        "agreed_ms": course.ms(agreed[-1]) if agreed else None,
        "order_ms": course.ms(order_us or close.t_us),
        "voltage_ms": course.ms(back),
        "dead_to_request_ms": _ms(asked[-1].t_us - dead_us),
        "agreement_ms": _ms(close.t_us - asked[-1].t_us),
        "opening_ms": round(opening, 3),
        "closing_ms": round(closing_ms, 3),
        "without_mechanisms_ms": round((back - course.inception_us) / 1000 - opening - closing_ms, 3),
    }


def _last_opening(course: Course, before_us: int) -> tuple[float, int | None]:
    """Order to last pole (ms) of the device that interrupted last before a close, and when that was."""
    for line in reversed(course.lines):
        if line.source == "plant" and line.name == "position" and line.details["poles"] == "OOO":
            orders = [x.t_us for x in course.trips if x.device == line.details["device"] and x.t_us < line.t_us]
            if orders and line.t_us < before_us:
                return (line.t_us - orders[-1]) / 1000, line.t_us
    return 0.0, None

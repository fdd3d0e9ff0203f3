"""Where the milliseconds of a run went: the trip of the breaker that found the fault, the switches, the restoration.

The goals are the house's: filter, wire and decision are ours; the wait for the neighbours' answers follows from the
transfer time and the spread of pick-ups; opening and closing are the mechanisms' and are told apart.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from scl.topology import DeviceKind
from simulator.demo.course import Course, Trip


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


def multiple(course: Course) -> float | None:
    """Fault current through the device that found the fault, as a multiple of its phase pick-up (largest phase)."""
    claims = course.agents("claim")
    if not claims:
        return None
    device = course.feeder.device(claims[0].device)
    for line in course.lines:
        if line.source == "plant" and line.name == "currents" and line.t_us >= course.inception_us:
            amps = line.details["a"].get(device.name)
            return None if amps is None else round(float(amps) / device.phase_pickup_a, 2)
    return None


def switches(course: Course) -> list[dict[str, Any]]:
    """Load-break switches that opened for a fault: ms from the sample that confirmed zero current to the order on the
    wire (the merging unit's delay is in it)."""
    rows = []
    for line in course.agents("trip_sent"):
        device = course.feeder.device(line.device)
        zero = line.details.get("upto_us")
        if device.kind is DeviceKind.LOAD_BREAK_SWITCH and zero:
            wire = min((t.t_us for t in course.trips if t.device == device.name), default=line.t_us)
            rows.append({"device": device.name, "zero_to_order_ms": round((wire - zero) / 1000, 3)})
    return rows


def restoration(course: Course) -> dict[str, Any]:
    """The close that fed the last healthy zone: what it waited for, and the whole without the mechanisms' times.

    ``opening_ms``: order to last pole of the device that isolated last; ``closing_ms``: order to contact. Empty if
    nothing was restored, or not by an agent's close.
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
    closing_ms = (back - close.t_us) / 1000
    return {
        "device": close.device,
        "dead_to_request_ms": round((asked[-1].t_us - dead_us) / 1000, 3),
        "agreement_ms": round((close.t_us - asked[-1].t_us) / 1000, 3),
        "opening_ms": round(opening, 3),
        "closing_ms": round(closing_ms, 3),
        "without_mechanisms_ms": round((back - course.inception_us) / 1000 - opening - closing_ms, 3),
    }


def _last_opening(course: Course, before_us: int) -> tuple[float, int | None]:
    """Order to last pole (ms) of the device that interrupted last before a close, and when that was."""
    last: tuple[int, Trip] | None = None
    for trip in course.trips:
        for line in course.lines:
            if (
                line.source == "plant"
                and line.name == "position"
                and line.details["device"] == trip.device
                and line.details["poles"] == "OOO"
                and trip.t_us < line.t_us < before_us
                and (last is None or line.t_us > last[0])
            ):
                last = (line.t_us, trip)
    return (0.0, None) if last is None else ((last[0] - last[1].t_us) / 1000, last[0])

"""How the agent's state fills its data model: one row for each data object, by logical node class and name.

A row gives values, where they come from (which decides their quality) and, where the state knows it, since when they
hold; else the time is that of the update in which they changed. A data object without a row keeps what its SCL
configures; without that it is *unfilled*: quality invalid, and named by :func:`unfilled`.

Analogue values are written when they have moved by 1 % or by the row's least step, so that a report is news.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final, NamedTuple

from agent.logic.messages import Level, Position, Refusal, RequestKind
from agent.mms.meters import Meters
from agent.mms.model import Health, IedState, StreamState, health, pre_check, synchronism_released
from agent.mms.scheme import scheme_reads
from agent.mms.tree import Node

Value = bool | int | float | str
Values = Mapping[str, Value]
"""By path below the data object: ``stVal``, ``phsA.cVal.mag.f``."""

MAIN: Final = ("stVal", "general", "mag.f", "actVal")
"""Where a row's single value goes: the first of these that the data object has."""
SHARE: Final = 0.01
UNSPECIFIED_ACCURACY: Final = 31


class Quality(Enum):
    """Validity with detail (IEC 61850-7-3, 6.2)."""

    GOOD = "good"
    OLD = "questionable, old data"
    FAILURE = "invalid, failure"


class Origin(Enum):
    """Whom a value comes from."""

    STATION = "station"
    """This process: always good."""
    PROTECTION = "protection"
    BREAKER = "breaker"
    """The breaker's IED, through the protection process."""
    SAMPLES = "samples"
    CLOSED = "closed"
    """Follows from position as well as from the brain: bad where either is."""


class Place(NamedTuple):
    """Where a data object is."""

    prefix: str
    ln_class: str
    inst: str
    reference: str = ""
    """setSrcRef of the node's supervised control block, as on the wire."""


class Row(NamedTuple):
    """See the module."""

    origin: Origin
    read: Callable[[IedState, Place], Value | Values]
    since: Callable[[IedState, Place], int] = lambda _state, _place: 0
    """µs UTC; 0: not known."""
    step: float = 1.0
    """Least change of an analogue value that is shown."""


class Shown(NamedTuple):
    """What a data object shows."""

    values: Values
    quality: Quality
    since_us: int


def shown(state: IedState, place: Place, row: Row, main: str) -> Shown:
    """The row's values now; ``main``: where a single one goes."""
    value = row.read(state, place)
    values = value if isinstance(value, Mapping) else {main: value}
    return Shown(values, quality(state, row.origin), row.since(state, place))


def quality(state: IedState, origin: Origin) -> Quality:
    """Of a value from there."""
    if origin is Origin.STATION:
        return Quality.GOOD
    if not state.protection_alive:
        return Quality.OLD
    if origin in (Origin.BREAKER, Origin.CLOSED) and not state.breaker_fresh:
        return Quality.OLD
    if origin is Origin.SAMPLES and state.measurement.level is Level.BLIND:
        return Quality.FAILURE
    return Quality.GOOD


def moved(old: Value | None, new: Value, step: float) -> bool:
    """The change is worth telling."""
    if isinstance(old, float) and isinstance(new, float):
        return not abs(new - old) < max(step, SHARE * abs(old))
    return old != new


# --- what the rows read ----------------------------------------------------------------------------------------------


def _started(state: IedState) -> bool:
    return state.measurement.level in (Level.START, Level.PICKUP)


def _fault(state: IedState, on: bool) -> Values:
    return {"general": on, "dirGeneral": int(state.measurement.direction) if on else 0}


def _earth_alarm(state: IedState, _place: Place) -> Values:
    """The direction is that of the strike: no phase element need have started."""
    on = state.measurement.earth_alarm
    return {"general": on, "dirGeneral": _meters(state).earth_direction if on else 0}


def _episode(state: IedState, _place: Place) -> int:
    measurement = state.measurement
    return measurement.start_us if _started(state) else measurement.end_us


def _picked(state: IedState, _place: Place) -> int:
    measurement = state.measurement
    return measurement.pickup_us if measurement.level is Level.PICKUP else measurement.end_us


def _meters(state: IedState) -> Meters:
    return Meters() if state.meters is None else state.meters


def _element(state: IedState, place: Place, pickup: bool) -> bool:
    """PTOC1 is the phase element, PTOC2 the earth element."""
    meters = _meters(state)
    if place.inst == "1":
        return meters.phase_picked if pickup else meters.phase_started
    return meters.earth_picked if pickup else meters.earth_started


def _overcurrent_start(state: IedState, place: Place) -> Values:
    return _fault(state, _started(state) and _element(state, place, False))


def _overcurrent_operate(state: IedState, place: Place) -> Value:
    return state.measurement.level is Level.PICKUP and _element(state, place, True)


def _direction(state: IedState, _place: Place) -> Values:
    return {"general": _started(state), "dirGeneral": int(state.report.direction)}


def _position(state: IedState, _place: Place) -> Value:
    return int(state.breaker.position if state.breaker_fresh else Position.BAD)


def _blocked(state: IedState, _place: Place) -> Value:
    report = state.report
    return report.locked_a or report.locked_b or report.tagged or state.breaker.blocked


def _release(state: IedState, _place: Place) -> Value:
    return synchronism_released(state)


def _reclosing(state: IedState, _place: Place) -> Value:
    under_way = not state.report.claim_final or state.report.request.kind is RequestKind.RECLOSE
    return 2 if under_way else 1


def _recloses(state: IedState, _place: Place) -> Value:
    return state.report.request.kind is RequestKind.RECLOSE and state.order.close_expiry_us > state.t_us > 0


def _stream(state: IedState, place: Place) -> StreamState:
    return state.streams.get(place.reference, StreamState())


def _samples_alive(state: IedState) -> bool:
    return state.protection_alive and state.measurement.level is not Level.BLIND


def _accuracy(state: IedState, _place: Place) -> Value:
    return state.time_quality & UNSPECIFIED_ACCURACY


def _phasor(value: tuple[float, float], reference: complex) -> complex:
    return complex(*value) * reference.conjugate()


def _reference(state: IedState) -> complex:
    """The direction of phase A's voltage, or current where there is none: angles have to be against something."""
    if state.meters is None:
        return 1 + 0j
    for phasor in (state.meters.voltage[0], state.meters.current[0]):
        size = math.hypot(*phasor)
        if size >= 1.0:
            return complex(*phasor) / size
    return 1 + 0j


def _vector(path: str, value: complex) -> dict[str, Value]:
    size = abs(value)
    angle = math.degrees(cmath.phase(value)) if size >= 1.0 else 0.0
    return {f"{path}.cVal.mag.f": size, f"{path}.cVal.ang.f": angle}


def _phases(state: IedState, current: bool) -> Values:
    if state.meters is None:
        return {}
    phasors, reference = state.meters.current if current else state.meters.voltage, _reference(state)
    names = ("phsA", "phsB", "phsC", "res") if current else ("phsA", "phsB", "phsC")
    result: dict[str, Value] = {}
    for name, phasor in zip(names, phasors, strict=False):
        result.update(_vector(name, _phasor(phasor, reference)))
    return result


_TURN: Final = cmath.exp(2j * math.pi / 3)


def _sequences(state: IedState, current: bool) -> Values:
    """Positive, negative, zero (Fortescue)."""
    if state.meters is None:
        return {}
    phasors, reference = state.meters.current if current else state.meters.voltage, _reference(state)
    a, b, c = (_phasor(phasor, reference) for phasor in phasors[:3])
    parts = (a + _TURN * b + _TURN**2 * c, a + _TURN**2 * b + _TURN * c, a + b + c)
    result: dict[str, Value] = {}
    for name, part in zip(("c1", "c2", "c3"), parts, strict=True):
        result.update(_vector(name, part / 3))
    return result


def _frequency(state: IedState, _place: Place) -> Values:
    known = _meters(state).frequency_hz
    return {"mag.f": known} if known else {}


# --- the table -------------------------------------------------------------------------------------------------------

_S, _P, _B, _M, _C = Origin.STATION, Origin.PROTECTION, Origin.BREAKER, Origin.SAMPLES, Origin.CLOSED

_BEHAVIOUR = Row(_S, lambda state, _: 1 if state.protection_alive else 5)
_SWITCH: Final[dict[str, Row]] = {
    "Pos": Row(_B, _position),
    "Loc": Row(_B, lambda state, _: state.breaker.local),
    "OpCnt": Row(_B, lambda state, _: state.breaker.operations),
    "EEHealth": Row(_B, lambda state, _: Health.OK if state.breaker.healthy else Health.ALARM),
    "BlkCls": Row(_C, _blocked),
    "BlkOpn": Row(_P, lambda _state, _: False),
}
"""The breaker as its own IED reports it; nothing ever blocks opening."""
_SUPERVISED: Final[dict[str, Row]] = {
    "St": Row(_P, lambda state, place: _stream(state, place).alive),
    "SimSt": Row(_P, lambda state, place: _stream(state, place).simulated),
    "NdsCom": Row(_P, lambda state, place: _stream(state, place).needs_commissioning),
    "LastStNum": Row(_P, lambda state, place: _stream(state, place).st_num),
    "ConfRevNum": Row(_S, lambda state, place: _stream(state, place).conf_rev),
}

ROWS: Final[Mapping[str, Mapping[str, Row]]] = MappingProxyType(
    {
        "LLN0": {
            "Mod": _BEHAVIOUR,
            "Health": Row(_S, lambda state, _: health(state)),
            "NamPlt": Row(_S, lambda state, _: {"swRev": state.version}),
        },
        "LPHD": {
            "PhyHealth": Row(_S, lambda state, _: Health.ALARM if state.alarm else Health.OK),
            "Proxy": Row(_S, lambda _state, _: False),
            "Sim": Row(_S, lambda _state, _: False),
        },
        "LTMS": {
            "TmSrc": Row(_S, lambda state, _: state.time_source),
            "TmAcc": Row(_S, _accuracy),
            "TmChSt1": Row(_S, lambda state, _: state.time_good),
        },
        "LGOS": _SUPERVISED,
        "LSVS": {
            "St": Row(_P, lambda state, _: _samples_alive(state)),
            "SimSt": Row(_P, lambda _state, _: False),
            "NdsCom": Row(_P, lambda state, _: state.samples_mismatch and not _samples_alive(state)),
            "ConfRevNum": Row(_S, lambda state, _: state.samples_conf_rev),
        },
        "XCBR": _SWITCH,
        "XSWI": _SWITCH,
        "CSWI": {"Pos": _SWITCH["Pos"], "Loc": _SWITCH["Loc"]},
        "CILO": {
            "EnaOpn": Row(_C, lambda state, _: pre_check(state, False) is Refusal.NONE),
            "EnaCls": Row(_C, lambda state, _: pre_check(state, True) is Refusal.NONE),
        },
        "PTOC": {
            "Str": Row(_M, _overcurrent_start, _episode),
            "Op": Row(_M, _overcurrent_operate, _picked),
        },
        "PSDE": {"Str": Row(_M, _earth_alarm)},
        "PHAR": {"Str": Row(_M, lambda state, _: _fault(state, _meters(state).restrained))},
        "PTRC": {
            "Str": Row(_P, lambda state, _: _fault(state, _started(state)), _episode),
            "Op": Row(_P, lambda state, _: state.measurement.level is Level.PICKUP, _picked),
            "Tr": Row(_P, lambda state, _: state.order.trip, lambda state, _: state.trip_us if state.order.trip else 0),
        },
        "PSCH": {
            "Op": Row(
                _P,
                lambda state, _: state.report.claim_zones != 0,
                lambda state, _: state.report.claim_us if state.report.claim_zones else 0,
            )
        },
        "RBRF": {"OpEx": Row(_P, lambda state, _: state.report.failed)},
        "RDIR": {"Dir": Row(_P, _direction, _episode)},
        "RDRE": {
            "RcdMade": Row(_S, lambda state, _: state.records > 0),
            "FltNum": Row(_S, lambda state, _: state.records),
        },
        "RREC": {"Op": Row(_P, _recloses), "AutoRecSt": Row(_P, _reclosing)},
        "RSYN": {"Rel": Row(_C, _release)},
        "MMXU": {
            "TotW": Row(_P, lambda state, _: float(round(state.report.p_kw))),
            "TotVAr": Row(_P, lambda state, _: float(round(state.report.q_kvar))),
            "Hz": Row(_M, _frequency, step=0.005),
            "PhV": Row(_M, lambda state, _: _phases(state, False), step=10.0),
            "A": Row(_M, lambda state, _: _phases(state, True)),
        },
        "MSQI": {
            "SeqA": Row(_M, lambda state, _: _sequences(state, True)),
            "SeqV": Row(_M, lambda state, _: _sequences(state, False), step=10.0),
        },
        "GGIO": {"SPCSO1": Row(_P, lambda state, _: state.report.automation)},
    }
)
"""By class, then data object."""


def _scheme_row(read: Callable[[IedState], Value]) -> Row:
    return Row(_P, lambda state, _: read(state))


_SCHEME: Final = MappingProxyType({name: _scheme_row(read) for name, read in scheme_reads().items()})


def row_of(node: Node, name: str) -> Row | None:
    """The row of a data object; None if it is not filled from the state."""
    if name == "Beh":
        return _BEHAVIOUR
    if node.prefix:
        return _SCHEME.get(f"{node.name}.{name}")
    return ROWS.get(node.ln_class, {}).get(name)


def unfilled(nodes: Iterator[Node]) -> list[str]:
    """``LN.DO`` of data objects with status or measured values that neither a row nor the SCL fills."""
    return [
        f"{node.name}.{data.name}"
        for node in nodes
        for data in node.objects
        if row_of(node, data.name) is None and not data.configured
    ]

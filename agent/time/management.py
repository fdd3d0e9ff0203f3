"""Management messages of PTP (IEEE 1588-2008, clause 15): encodes GET, decodes what a clock answers.

A message is the common header (13.3), where it goes, an action, and one TLV (15.5). The data sets are those of 15.5.3
that tell how well a clock follows its master, and linuxptp's own (``_NP``; they are not portable, as it says itself).
Whatever is wrong with received octets is a :class:`ManagementError` and nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple, TypeVar

from agent.time.datasets import (
    ClockDescription,
    ClockQuality,
    CurrentDataSet,
    DataSet,
    DefaultDataSet,
    ParentDataSet,
    PortDataSet,
    PortDataSetNp,
    PortIdentity,
    PortProperties,
    PortState,
    PowerProfile,
    Properties,
    Stamping,
    TimeProperties,
    TimeStatus,
)

VERSION = 2
MANAGEMENT = 0xD
CONTROL = 4
TLV_MANAGEMENT = 0x0001
TLV_ERROR = 0x0002
ALL_CLOCKS = b"\xff" * 8
ALL_PORTS = 0xFFFF

_HEADER = struct.Struct(">BBHBxHq4x8sHHBb")
_MANAGEMENT = struct.Struct(">8sHBBBx")
_TLV = struct.Struct(">HHH")
_ERROR = struct.Struct(">HH4x")
_HEAD = _HEADER.size + _MANAGEMENT.size
T = TypeVar("T", bound=IntEnum)


class ManagementError(ValueError):
    """These octets are not an answer that we understand."""


class Id(IntEnum):
    """managementId (table 40, and linuxptp's)."""

    CLOCK_DESCRIPTION = 0x0001
    DEFAULT_DATA_SET = 0x2000
    CURRENT_DATA_SET = 0x2001
    PARENT_DATA_SET = 0x2002
    TIME_PROPERTIES_DATA_SET = 0x2003
    PORT_DATA_SET = 0x2004
    TIME_STATUS_NP = 0xC000
    PORT_DATA_SET_NP = 0xC002
    PORT_PROPERTIES_NP = 0xC004
    POWER_PROFILE_SETTINGS_NP = 0xC00A


class Action(IntEnum):
    """actionField (table 38)."""

    GET = 0
    RESPONSE = 2


class Refusal(NamedTuple):
    """A management error status (15.5.4)."""

    error: int


class Answer(NamedTuple):
    """A decoded response."""

    domain: int
    sequence: int
    source: PortIdentity
    id: Id
    data: DataSet | Refusal


def encode_get(asked: Id, domain: int, sequence: int) -> bytes:
    """A GET to all ports of the clock at the other end of the socket; boundaryHops 0 keeps it there."""
    tlv = _TLV.pack(TLV_MANAGEMENT, 2, asked)
    length = _HEAD + len(tlv)
    header = _HEADER.pack(MANAGEMENT, VERSION, length, domain, 0, 0, bytes(8), 0, sequence, CONTROL, 0x7F)
    return header + _MANAGEMENT.pack(ALL_CLOCKS, ALL_PORTS, 0, 0, Action.GET) + tlv


def decode(octets: bytes) -> Answer:
    """A response or an error status; ManagementError for anything else."""
    if len(octets) < _HEAD + _TLV.size:
        raise ManagementError(f"{len(octets)} octets are too short")
    kind, version, length, domain, _, _, clock, port, sequence, _, _ = _HEADER.unpack_from(octets)
    if kind & 0x0F != MANAGEMENT or version & 0x0F != VERSION:
        raise ManagementError("not a management message of PTP version 2")
    if not _HEAD + _TLV.size <= length <= len(octets):
        raise ManagementError(f"messageLength {length} in {len(octets)} octets")
    action = octets[_HEADER.size + 12] & 0x0F
    if action != Action.RESPONSE:
        raise ManagementError(f"action {action} is not a response")
    asked, data = _decode_tlv(octets[_HEAD:length])
    return Answer(domain, sequence, PortIdentity(clock, port), asked, data)


def _decode_tlv(tlv: bytes) -> tuple[Id, DataSet | Refusal]:
    kind, length, word = _TLV.unpack_from(tlv)
    if not 2 <= length <= len(tlv) - 4:
        raise ManagementError(f"lengthField {length} in {len(tlv) - 4} octets")
    if kind == TLV_ERROR:
        if length < _ERROR.size:
            raise ManagementError(f"an error status of {length} octets")
        error, about = _ERROR.unpack_from(tlv, 4)
        return _member(Id, about), Refusal(error)
    if kind != TLV_MANAGEMENT:
        raise ManagementError(f"tlvType {kind:#06x}")
    asked = _member(Id, word)
    data = tlv[_TLV.size : 4 + length]
    if asked in _VARIABLE:
        return asked, _VARIABLE[asked](data)
    layout, make = _FIXED[asked]
    if len(data) != layout.size:
        raise ManagementError(f"{asked.name}: {len(data)} octets, not {layout.size}")
    return asked, make(*layout.unpack(data))


def _member(kind: type[T], value: int) -> T:
    try:
        return kind(value)
    except ValueError:
        raise ManagementError(f"{kind.__name__} {value:#x} is unknown") from None


def _interval_ns(scaled: int) -> float:
    """TimeInterval: nanoseconds times 2^16 (5.3.2)."""
    return scaled / 65536


def _default(
    flags: int, ports: int, first: int, kind: int, accuracy: int, variance: int, second: int, clock: bytes, domain: int
) -> DefaultDataSet:
    quality = ClockQuality(kind, accuracy, variance)
    return DefaultDataSet(bool(flags & 1), bool(flags & 2), ports, first, quality, second, clock, domain)


def _current(steps: int, offset: int, delay: int) -> CurrentDataSet:
    return CurrentDataSet(steps, _interval_ns(offset), _interval_ns(delay))


def _parent(
    clock: bytes,
    port: int,
    statistics: int,
    observed: int,
    rate: int,
    first: int,
    kind: int,
    accuracy: int,
    variance: int,
    second: int,
    grandmaster: bytes,
) -> ParentDataSet:
    quality = ClockQuality(kind, accuracy, variance)
    return ParentDataSet(
        PortIdentity(clock, port), bool(statistics & 1), observed, rate, first, quality, second, grandmaster
    )


def _properties(utc_offset: int, flags: int, source: int) -> TimeProperties:
    return TimeProperties(utc_offset, Properties(flags & 0x3F), source)


def _port(clock: bytes, port: int, state: int, request: int, delay: int, *rest: int) -> PortDataSet:
    identity = PortIdentity(clock, port)
    announce, timeout, sync, mechanism, peer, version = rest
    return PortDataSet(
        identity,
        _member(PortState, state),
        request,
        _interval_ns(delay),
        announce,
        timeout,
        sync,
        mechanism,
        peer,
        version & 0x0F,
    )


def _time_status(offset: int, ingress: int, *rest: Any) -> TimeStatus:
    present, grandmaster = rest[-2:]
    return TimeStatus(offset, ingress, bool(present), grandmaster)


def _port_np(threshold: int, capable: int) -> PortDataSetNp:
    return PortDataSetNp(threshold, bool(capable))


_FIXED: dict[Id, tuple[struct.Struct, Callable[..., DataSet]]] = {
    Id.DEFAULT_DATA_SET: (struct.Struct(">BxHBBBHB8sBx"), _default),
    Id.CURRENT_DATA_SET: (struct.Struct(">Hqq"), _current),
    Id.PARENT_DATA_SET: (struct.Struct(">8sHBxHiBBBHB8s"), _parent),
    Id.TIME_PROPERTIES_DATA_SET: (struct.Struct(">hBB"), _properties),
    Id.PORT_DATA_SET: (struct.Struct(">8sHBbqbBbBbB"), _port),
    # Between ingress and gmPresent: rate offsets and phase changes of IEEE 802.1AS.
    Id.TIME_STATUS_NP: (struct.Struct(">qqiiHHQHi8s"), _time_status),
    Id.PORT_DATA_SET_NP: (struct.Struct(">Ii"), _port_np),
    Id.POWER_PROFILE_SETTINGS_NP: (struct.Struct(">HHIII"), PowerProfile),
}


class _Cursor:
    """Takes octets off the front of a data field of variable length."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._at = 0

    def take(self, count: int) -> bytes:
        """The next ``count`` octets."""
        taken = self._octets[self._at : self._at + count]
        if len(taken) != count:
            raise ManagementError(f"the data field ends after {len(self._octets)} octets")
        self._at += count
        return taken

    def number(self, octets: int = 2) -> int:
        """An unsigned number."""
        return int.from_bytes(self.take(octets), "big")

    def text(self) -> str:
        """PTPText (5.3.9)."""
        return self.take(self.number(1)).decode(errors="replace")


def _port_properties(data: bytes) -> PortProperties:
    cursor = _Cursor(data)
    identity = PortIdentity(cursor.take(8), cursor.number())
    state = _member(PortState, cursor.number(1))
    stamping = _member(Stamping, cursor.number(1))
    return PortProperties(identity, state, stamping, cursor.text())


def _description(data: bytes) -> ClockDescription:
    cursor = _Cursor(data)
    cursor.take(2)  # clockType
    cursor.text()  # physicalLayerProtocol
    cursor.take(cursor.number())  # physicalAddress
    protocol = cursor.number()
    cursor.take(cursor.number())  # protocolAddress
    cursor.take(4)  # manufacturerIdentity, reserved
    for _ in range(3):  # product, revision, user
        cursor.text()
    return ClockDescription(protocol, cursor.take(6))


_VARIABLE: dict[Id, Callable[[bytes], DataSet]] = {
    Id.PORT_PROPERTIES_NP: _port_properties,
    Id.CLOCK_DESCRIPTION: _description,
}

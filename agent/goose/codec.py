"""The GOOSE APDU (IEC 61850-8-1, annex A) in ASN.1 BER: bytes to values and back, no I/O, no state.

Every MMS data type of the GOOSE ``Data`` choice is read and written; numbers keep the width they came with, so that a
decoded PDU encodes to the same octets if it was encoded the way :func:`encode` does. What is written has fixed widths
(subscribers of some implementations size their memory by the first frame).

Refused, always as :class:`CodecError`: truncated, overlong, non-minimal or indefinite lengths, tags of several octets,
wrong order or number of fields, text that is not text, more than :data:`ENTRIES_MAX` values or :data:`DEPTH_MAX`
levels. Nothing is allocated by a count from the wire; the work is bounded by the length of the frame.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

APDU_MAX = 65_000
ENTRIES_MAX = 1024
DEPTH_MAX = 8
GOOSE_PDU = 0x61
SECURITY = 12
"""The last field, of any type, reserved by the standard; skipped."""


class CodecError(ValueError):
    """The octets are no well-formed PDU, or the values cannot be encoded. ``cause`` is a short word for counters."""

    def __init__(self, message: str, cause: str = "malformed") -> None:
        super().__init__(message)
        self.cause = cause


class Kind(IntEnum):
    """The ``Data`` choice; the value is the context tag number of ISO 9506-2."""

    ARRAY = 1
    STRUCTURE = 2
    BOOLEAN = 3
    BIT_STRING = 4
    INTEGER = 5
    UNSIGNED = 6
    FLOAT = 7
    REAL = 8
    OCTET_STRING = 9
    VISIBLE_STRING = 10
    GENERALIZED_TIME = 11
    BINARY_TIME = 12
    BCD = 13
    BOOLEAN_ARRAY = 14
    OBJECT_ID = 15
    MMS_STRING = 16
    UTC_TIME = 17


class UtcTime(NamedTuple):
    """TimeStamp of IEC 61850-7-2: seconds of UTC, fraction in 2^-24 s, time quality."""

    seconds: int = 0
    fraction: int = 0
    quality: int = 0

    @property
    def microseconds(self) -> int:
        """Rounded to the microsecond; the inverse of :func:`utc_time`."""
        return self.seconds * 1_000_000 + ((self.fraction * 1_000_000 + 0x800000) >> 24)

    @property
    def synchronised(self) -> bool:
        """Neither ClockFailure nor ClockNotSynchronized."""
        return not self.quality & 0x60


LEAP_SECONDS_KNOWN = 0x80
CLOCK_FAILURE = 0x40
CLOCK_NOT_SYNCHRONISED = 0x20


def utc_time(microseconds: int, quality: int = 0x0A) -> UtcTime:
    """UTC microseconds as a TimeStamp; the default quality is synchronised, 10 significant bits (about 1 ms, T1)."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return UtcTime(seconds, ((rest << 24) + 500_000) // 1_000_000, quality)


Value = bool | int | float | bytes | str | UtcTime | tuple["Data", ...]


class Data(NamedTuple):
    """One value. ``size`` is octets for integers (4 if 0) and floats (4 or 8), bits for bit strings, else unused.

    Python types: BOOLEAN bool; INTEGER, UNSIGNED, BIT_STRING and BOOLEAN_ARRAY int (first bit of a string is the most
    significant one); FLOAT float; VISIBLE_STRING, MMS_STRING, GENERALIZED_TIME str; UTC_TIME :class:`UtcTime`; ARRAY
    and STRUCTURE tuples of :class:`Data`; the rest bytes, as on the wire.
    """

    kind: Kind
    value: Value
    size: int = 0


class Pdu(NamedTuple):
    """``IECGoosePdu``. ``simulation`` is ``test`` in edition 1. ``go_id`` None: absent."""

    gocb_ref: str
    ttl_ms: int
    """timeAllowedtoLive."""
    dat_set: str
    go_id: str | None
    t: UtcTime
    st_num: int
    sq_num: int
    simulation: bool
    conf_rev: int
    nds_com: bool
    data: tuple[Data, ...]


_TEXTS = frozenset({Kind.VISIBLE_STRING, Kind.GENERALIZED_TIME, Kind.MMS_STRING})
_OCTETS = frozenset({Kind.REAL, Kind.OCTET_STRING, Kind.BINARY_TIME, Kind.BCD, Kind.OBJECT_ID})
_FLOAT32 = struct.Struct(">f")
_FLOAT64 = struct.Struct(">d")
_UTC = struct.Struct(">II")
_from_bytes = int.from_bytes


# --- reading ---------------------------------------------------------------------------------------------------------


def element(octets: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Tag, start and end of the value of the TLV at ``at``; definite minimal lengths of at most two octets."""
    if end - at < 2:
        raise CodecError("truncated element")
    tag = octets[at]
    if tag & 0x1F == 0x1F:
        raise CodecError("tag of several octets")
    length = octets[at + 1]
    at += 2
    if length >= 0x80:
        if length == 0x81:
            if at >= end:
                raise CodecError("truncated length")
            length = octets[at]
            at += 1
            if length < 0x80:
                raise CodecError("non-minimal length")
        elif length == 0x82:
            if end - at < 2:
                raise CodecError("truncated length")
            length = octets[at] << 8 | octets[at + 1]
            at += 2
            if length < 0x100:
                raise CodecError("non-minimal length")
        else:
            raise CodecError("indefinite or oversized length")
    stop = at + length
    if stop > end:
        raise CodecError("length beyond the end")
    return tag, at, stop


def decode(octets: bytes) -> Pdu:
    """One ``IECGoosePdu`` and nothing after it."""
    if len(octets) > APDU_MAX:
        raise CodecError("PDU too long", "oversized")
    tag, at, end = element(octets, 0, len(octets))
    if tag != GOOSE_PDU:
        raise CodecError(f"tag {tag:#04x} is not a GOOSE PDU", "not-goose")
    if end != len(octets):
        raise CodecError("octets after the PDU")
    fields: dict[int, tuple[int, int]] = {}
    last = -1
    while at < end:
        tag, start, stop = element(octets, at, end)
        number = tag & 0x1F
        constructed = tag & 0x20 != 0
        if (
            tag & 0xC0 != 0x80
            or not last < number <= SECURITY
            or (number != SECURITY and constructed != (number == 11))
        ):
            raise CodecError(f"unexpected field {tag:#04x}")
        fields[number] = (start, stop)
        last = number
        at = stop
    missing = [number for number in (0, 1, 2, 4, 5, 6, 8, 10, 11) if number not in fields]
    if missing:
        raise CodecError(f"missing field {missing[0]}")
    announced = _number(octets, *fields[10])
    data = _values(octets, *fields[11], DEPTH_MAX)
    if announced != len(data):
        raise CodecError(f"numDatSetEntries {announced}, {len(data)} values")
    start, stop = fields[4]
    if stop - start != 8:
        raise CodecError("t is not 8 octets")
    return Pdu(
        _text(octets, *fields[0]),
        _number(octets, *fields[1]),
        _text(octets, *fields[2]),
        _text(octets, *fields[3]) if 3 in fields else None,
        _time(octets, start),
        _number(octets, *fields[5]),
        _number(octets, *fields[6]),
        _flag(octets, *fields[7]) if 7 in fields else False,
        _number(octets, *fields[8]),
        _flag(octets, *fields[9]) if 9 in fields else False,
        data,
    )


def _number(octets: bytes, start: int, stop: int) -> int:
    """INT32U; a missing leading zero octet is forgiven."""
    if not 1 <= stop - start <= 5 or (stop - start == 5 and octets[start]):
        raise CodecError("not a 32-bit number")
    return _from_bytes(octets[start:stop], "big")


def _flag(octets: bytes, start: int, stop: int) -> bool:
    if stop - start != 1:
        raise CodecError("a boolean is one octet")
    return octets[start] != 0


def _text(octets: bytes, start: int, stop: int) -> str:
    if stop - start > 255:
        raise CodecError("text too long")
    try:
        return str(octets[start:stop], "ascii")
    except UnicodeDecodeError:
        raise CodecError("text is not ISO 646") from None


def _time(octets: bytes, start: int) -> UtcTime:
    seconds, rest = _UTC.unpack_from(octets, start)
    return UtcTime(seconds, rest >> 8, rest & 0xFF)


def _values(octets: bytes, at: int, end: int, depth: int) -> tuple[Data, ...]:
    values: list[Data] = []
    while at < end:
        tag, start, stop = element(octets, at, end)
        values.append(_value(octets, tag, start, stop, depth))
        if len(values) > ENTRIES_MAX:
            raise CodecError("too many values", "oversized")
        at = stop
    return tuple(values)


def _value(octets: bytes, tag: int, start: int, stop: int, depth: int) -> Data:
    size = stop - start
    if tag == 0x83:
        return Data(Kind.BOOLEAN, _flag(octets, start, stop), 0)
    if tag in (0x85, 0x86):
        if not 1 <= size <= 9:
            raise CodecError("integer of a width that MMS does not know")
        return Data(
            Kind.INTEGER if tag == 0x85 else Kind.UNSIGNED,
            _from_bytes(octets[start:stop], "big", signed=tag == 0x85),
            size,
        )
    if tag in (0x84, 0x8E):
        return _bits(octets, Kind(tag & 0x1F), start, stop)
    if tag == 0x87:
        if size == 5 and octets[start] == 8:
            return Data(Kind.FLOAT, _FLOAT32.unpack_from(octets, start + 1)[0], 4)
        if size == 9 and octets[start] == 11:
            return Data(Kind.FLOAT, _FLOAT64.unpack_from(octets, start + 1)[0], 8)
        raise CodecError("floating point of an unknown format")
    if tag == 0x91:
        if size != 8:
            raise CodecError("a UtcTime is 8 octets")
        return Data(Kind.UTC_TIME, _time(octets, start), 0)
    if tag in (0xA1, 0xA2):
        if depth == 0:
            raise CodecError("nested too deeply", "oversized")
        return Data(Kind(tag & 0x1F), _values(octets, start, stop, depth - 1), 0)
    return _plain(octets, tag, start, stop)


def _plain(octets: bytes, tag: int, start: int, stop: int) -> Data:
    """Octets and texts."""
    content = octets[start:stop]
    if tag in (0x8A, 0x8B, 0x90):
        try:
            return Data(Kind(tag & 0x1F), content.decode("utf-8" if tag == 0x90 else "ascii"), 0)
        except UnicodeDecodeError:
            raise CodecError("text is not text") from None
    if tag == 0x8C and len(content) not in (4, 6):
        raise CodecError("a binary time is 4 or 6 octets")
    if tag in (0x88, 0x89, 0x8C, 0x8D, 0x8F):
        return Data(Kind(tag & 0x1F), content, 0)
    raise CodecError(f"unknown data type {tag:#04x}")


def _bits(octets: bytes, kind: Kind, start: int, stop: int) -> Data:
    if stop == start:
        raise CodecError("bit string without its count of unused bits")
    unused = octets[start]
    if unused > 7 or (unused and stop - start == 1):
        raise CodecError("bit string with an impossible count of unused bits")
    return Data(kind, _from_bytes(octets[start + 1 : stop], "big") >> unused, (stop - start - 1) * 8 - unused)


# --- writing ---------------------------------------------------------------------------------------------------------


def tlv(tag: int, content: bytes) -> bytes:
    """Tag, minimal definite length, content."""
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    if length < 0x100:
        return bytes((tag, 0x81, length)) + content
    if length > 0xFFFF:
        raise CodecError("longer than 65,535 octets", "oversized")
    return bytes((tag, 0x82, length >> 8, length & 0xFF)) + content


def encode(pdu: Pdu) -> bytes:
    """Numbers of the header in five octets (a leading zero and 32 bits), values at their own widths."""
    if len(pdu.data) > ENTRIES_MAX:
        raise CodecError("too many values", "oversized")
    parts = [
        tlv(0x80, _ascii(pdu.gocb_ref)),
        _number32(0x81, pdu.ttl_ms),
        tlv(0x82, _ascii(pdu.dat_set)),
        b"" if pdu.go_id is None else tlv(0x83, _ascii(pdu.go_id)),
        tlv(0x84, _utc(pdu.t)),
        _number32(0x85, pdu.st_num),
        _number32(0x86, pdu.sq_num),
        b"\x87\x01" + (b"\x01" if pdu.simulation else b"\x00"),
        _number32(0x88, pdu.conf_rev),
        b"\x89\x01" + (b"\x01" if pdu.nds_com else b"\x00"),
        _number32(0x8A, len(pdu.data)),
        tlv(0xAB, b"".join(encode_data(value) for value in pdu.data)),
    ]
    octets = tlv(GOOSE_PDU, b"".join(parts))
    if len(octets) > APDU_MAX:
        raise CodecError("PDU too long", "oversized")
    return octets


def encode_data(data: Data, depth: int = DEPTH_MAX) -> bytes:
    """One value as TLV."""
    try:
        return _encode(data, depth)
    except (struct.error, OverflowError, TypeError, UnicodeEncodeError, AttributeError) as error:
        raise CodecError(f"{data.kind.name} cannot hold {data.value!r}: {error}", "unencodable") from None


def _encode(data: Data, depth: int) -> bytes:
    kind, value, size = data
    tag = 0x80 | kind
    if kind in (Kind.ARRAY, Kind.STRUCTURE):
        if depth == 0:
            raise CodecError("nested too deeply", "oversized")
        assert isinstance(value, tuple)
        return tlv(tag | 0x20, b"".join(encode_data(item, depth - 1) for item in value if isinstance(item, Data)))
    content: bytes
    if kind is Kind.UTC_TIME and isinstance(value, UtcTime):
        content = _utc(value)
    elif kind is Kind.BOOLEAN:
        content = b"\x01" if value else b"\x00"
    elif isinstance(value, int) and kind in (Kind.INTEGER, Kind.UNSIGNED):
        content = value.to_bytes(size or 4, "big", signed=kind is Kind.INTEGER)
        if kind is Kind.UNSIGNED and content[0] & 0x80:
            raise CodecError(f"{value} needs a leading zero octet in {size} octets", "unencodable")
    elif isinstance(value, int) and kind in (Kind.BIT_STRING, Kind.BOOLEAN_ARRAY):
        unused = -size % 8
        content = bytes((unused,)) + (value << unused).to_bytes((size + 7) // 8, "big")
    elif isinstance(value, int | float) and kind is Kind.FLOAT:
        content = b"\x0b" + _FLOAT64.pack(value) if size == 8 else b"\x08" + _FLOAT32.pack(value)
    elif kind in _TEXTS and isinstance(value, str):
        content = value.encode("utf-8" if kind is Kind.MMS_STRING else "ascii")
    elif kind in _OCTETS and isinstance(value, bytes):
        content = value
    else:
        raise CodecError(f"{kind.name} cannot hold {value!r}", "unencodable")
    return tlv(tag, content)


def _ascii(text: str) -> bytes:
    try:
        content = text.encode("ascii")
    except UnicodeEncodeError:
        raise CodecError(f"{text!r} is not ISO 646", "unencodable") from None
    if len(content) > 255:
        raise CodecError("text too long", "unencodable")
    return content


def _number32(tag: int, value: int) -> bytes:
    if not 0 <= value <= 0xFFFFFFFF:
        raise CodecError(f"{value} is no 32-bit number", "unencodable")
    return bytes((tag, 5, 0)) + value.to_bytes(4, "big")


def _utc(t: UtcTime) -> bytes:
    try:
        return _UTC.pack(t.seconds, t.fraction << 8 | t.quality)
    except struct.error as error:
        raise CodecError(f"{t} does not fit a UtcTime: {error}", "unencodable") from None

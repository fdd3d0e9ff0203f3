"""A GOOSE PDU of known control block and data set as one precompiled ``struct``: the hot path.

With every number at a fixed width, all PDUs of a stream have the same length and the same octets between the values.
:meth:`Layout.encode` packs the values and lays the constant octets over them; :meth:`Layout.decode` compares these
octets (control block reference, data set, goID, tags, lengths) in one masked comparison and unpacks. A PDU of another
shape gives None: read it with :func:`agent.goose.codec.decode` and :meth:`Layout.values_of`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from agent.goose.codec import GOOSE_PDU, CodecError, Data, Kind, Pdu, UtcTime, tlv


class Head(NamedTuple):
    """The fields of a PDU that change, without the data."""

    ttl_ms: int
    t_us: int
    t_quality: int
    st_num: int
    sq_num: int
    simulation: bool
    conf_rev: int
    nds_com: bool


@dataclass(frozen=True, slots=True)
class Form:
    """How a basic type (bType of SCL) lies on the wire: constant octets, ``struct`` code of the value, left shift."""

    kind: Kind
    prefix: bytes
    code: str
    size: int
    """``Data.size``."""
    shift: int = 0
    """Unused bits of a bit string."""


FORMS: dict[str, Form] = {
    "BOOLEAN": Form(Kind.BOOLEAN, b"\x83\x01", "?", 0),
    "INT8": Form(Kind.INTEGER, b"\x85\x01", "b", 1),
    "INT16": Form(Kind.INTEGER, b"\x85\x02", "h", 2),
    "INT32": Form(Kind.INTEGER, b"\x85\x04", "i", 4),
    "INT64": Form(Kind.INTEGER, b"\x85\x08", "q", 8),
    "Enum": Form(Kind.INTEGER, b"\x85\x01", "b", 1),
    "INT8U": Form(Kind.UNSIGNED, b"\x86\x02\x00", "B", 2),
    "INT16U": Form(Kind.UNSIGNED, b"\x86\x03\x00", "H", 3),
    "INT32U": Form(Kind.UNSIGNED, b"\x86\x05\x00", "I", 5),
    "FLOAT32": Form(Kind.FLOAT, b"\x87\x05\x08", "f", 4),
    "FLOAT64": Form(Kind.FLOAT, b"\x87\x09\x0b", "d", 8),
    "Dbpos": Form(Kind.BIT_STRING, b"\x84\x02\x06", "B", 2, 6),
    "Quality": Form(Kind.BIT_STRING, b"\x84\x03\x03", "H", 13, 3),
    "Timestamp": Form(Kind.UTC_TIME, b"\x91\x08", "Q", 0),
}
"""Timestamp is a raw 64-bit number in layouts: seconds, fraction and quality as on the wire."""

Raw = int | float
Buffer = Any
"""Octets, or compiled code's memory that holds them (typeshed has no name for both in 3.11)."""
SQ_NUM, MEMBERS = 4, 8
"""Numbers of values on the wire: sqNum, and the first one of the data set (see :meth:`Layout.mask`)."""


class Layout:
    """The PDU of one control block. ``b_types``: basic types of the data set's members, in order."""

    def __init__(self, gocb_ref: str, dat_set: str, go_id: str, b_types: tuple[str, ...]) -> None:
        unknown = [name for name in b_types if name not in FORMS]
        if unknown:
            raise CodecError(f"no fixed-width encoding for the basic type {unknown[0]}", "unencodable")
        self.gocb_ref, self.dat_set, self.go_id, self.b_types = gocb_ref, dat_set, go_id, b_types
        self._forms = tuple(FORMS[name] for name in b_types)
        self._shifts = tuple((i, form.shift) for i, form in enumerate(self._forms, MEMBERS) if form.shift)
        number = b"\x05\x00"
        data = [(form.prefix, form.code) for form in self._forms]
        data_size = sum(len(prefix) + struct.calcsize(">" + code) for prefix, code in data)
        head: list[tuple[bytes, str]] = [
            (tlv(0x80, gocb_ref.encode("ascii")) + b"\x81" + number, "I"),
            (tlv(0x82, dat_set.encode("ascii")) + tlv(0x83, go_id.encode("ascii")) + b"\x84\x08", "II"),
            (b"\x85" + number, "I"),
            (b"\x86" + number, "I"),
            (b"\x87\x01", "?"),
            (b"\x88" + number, "I"),
            (b"\x89\x01", "?"),
            (
                b"\x8a" + number + len(b_types).to_bytes(4, "big") + tlv(0xAB, bytes(data_size))[: -data_size or None],
                "",
            ),
        ]
        parts = head + data
        size = sum(len(prefix) + struct.calcsize(">" + code) for prefix, code in parts)
        outer = tlv(GOOSE_PDU, bytes(size))[:-size]
        parts[0] = (outer + parts[0][0], parts[0][1])
        self.size = len(outer) + size
        self._struct = struct.Struct(">" + "".join(f"{len(prefix)}x{code}" for prefix, code in parts))
        self.opening = parts[0][0]
        """The first octets of every PDU, up to and with the control block reference."""
        self._holes = _holes(parts)
        self.pattern = b"".join(prefix + bytes(struct.calcsize(">" + code)) for prefix, code in parts)
        """The PDU with all values zero."""
        self.fixed = self.mask(lambda _: True)
        """Where no value lies."""
        self._pattern = int.from_bytes(self.pattern, "big")
        self._mask = int.from_bytes(self.fixed, "big")

    def encode(self, head: Head, values: tuple[Raw, ...]) -> bytes:
        """The APDU; CodecError if a value does not fit its type."""
        return self.lay(self.pack(head, values))

    def pack(self, head: Head, values: tuple[Raw, ...]) -> bytes:
        """The APDU's values at their places, zeros between; CodecError if one does not fit its type."""
        seconds, micros = divmod(head.t_us, 1_000_000)
        fraction = ((micros << 24) + 500_000) // 1_000_000 << 8
        raw = [head.ttl_ms, seconds, fraction | head.t_quality, *head[3:], *values]
        try:
            for i, shift in self._shifts:
                raw[i] = int(raw[i]) << shift
            return self._struct.pack(*raw)
        except (struct.error, OverflowError) as error:
            raise CodecError(f"{self.gocb_ref}: {error}", "unencodable") from None

    def lay(self, packed: bytes) -> bytes:
        """The APDU from its values: what is constant between them."""
        return (int.from_bytes(packed, "big") | self._pattern).to_bytes(self.size, "big")

    def decode(self, apdu: bytes) -> tuple[Head, tuple[Raw, ...]] | None:
        """Head and raw values; None if the PDU does not have this layout (which does not make it wrong)."""
        if len(apdu) != self.size or int.from_bytes(apdu, "big") & self._mask != self._pattern:
            return None
        return self.unpack(apdu, 0)

    def unpack(self, octets: Buffer, at: int) -> tuple[Head, tuple[Raw, ...]]:
        """Head and raw values of a PDU that is known to have this layout, and begins at ``at``."""
        raw = list(self._struct.unpack_from(octets, at))
        for i, shift in self._shifts:
            raw[i] >>= shift
        ttl, seconds, rest = raw[:3]
        t_us = seconds * 1_000_000 + (((rest >> 8) * 1_000_000 + 0x800000) >> 24)
        return Head(ttl, t_us, rest & 0xFF, *raw[3:MEMBERS]), tuple(raw[MEMBERS:])

    def mask(self, free: Callable[[int], bool]) -> bytes:
        """Octets of a PDU: 0 where a value lies that is ``free`` to differ, 0xFF elsewhere.

        Values are numbered as on the wire: 0 timeAllowedtoLive, 1 and 2 t, 3 stNum, 4 sqNum, 5 simulation, 6 confRev,
        7 ndsCom, then from :data:`MEMBERS` on those of the data set.
        """
        mask = bytearray(b"\xff" * self.size)
        for number, (start, end) in enumerate(self._holes):
            if free(number):
                mask[start:end] = bytes(end - start)
        return bytes(mask)

    def values_of(self, data: tuple[Data, ...]) -> tuple[Raw, ...]:
        """Raw values of a generically decoded data set, at whatever width; CodecError if of other kinds."""
        if len(data) != len(self._forms):
            raise CodecError(f"{len(data)} members instead of {len(self._forms)}", "data-set")
        return tuple(_raw(item, form) for item, form in zip(data, self._forms, strict=True))


def _holes(parts: list[tuple[bytes, str]]) -> list[tuple[int, int]]:
    """Where the values lie: (first octet, end) of each."""
    holes = []
    at = 0
    for prefix, code in parts:
        at += len(prefix)
        for letter in code:
            size = struct.calcsize(">" + letter)
            holes.append((at, at + size))
            at += size
    return holes


def head_of(pdu: Pdu) -> Head:
    """The changing fields of a generically decoded PDU."""
    return Head(
        pdu.ttl_ms,
        pdu.t.microseconds,
        pdu.t.quality,
        pdu.st_num,
        pdu.sq_num,
        pdu.simulation,
        pdu.conf_rev,
        pdu.nds_com,
    )


_RANGES = {code: struct.calcsize(">" + code) * 8 for code in "bhiq"}


def _raw(item: Data, form: Form) -> Raw:
    if item.kind is not form.kind:
        raise CodecError(f"a member is {item.kind.name} instead of {form.kind.name}", "data-set")
    value = item.value
    if isinstance(value, UtcTime):
        return value.seconds << 32 | value.fraction << 8 | value.quality
    if form.kind is Kind.BIT_STRING and item.size != form.size:
        raise CodecError(f"a bit string of {item.size} bits instead of {form.size}", "data-set")
    if not isinstance(value, int | float):
        raise CodecError(f"a member is {item.kind.name} instead of {form.kind.name}", "data-set")
    if form.kind is Kind.INTEGER and not -(1 << _RANGES[form.code] - 1) <= value < 1 << _RANGES[form.code] - 1:
        raise CodecError("an integer exceeds its type", "data-set")
    if form.kind is Kind.UNSIGNED and value >= 1 << (form.size - 1) * 8:
        raise CodecError("an unsigned integer exceeds its type", "data-set")
    return value

"""The Sampled Values APDU (IEC 61850-9-2, profiles 9-2LE and IEC 61869-9): bytes to values and back, pure.

Any number of ASDUs and channels; optional fields datSet, refrTm, smpRate, smpMod and gmIdentity are kept if they are
there. A channel is an INT32 and its 32-bit quality; a data set of another form stays as octets. The same limits and the
same exception, :class:`agent.goose.codec.CodecError`, as in the GOOSE codec.

The agent's hot path is the compiled core; this is for tests, sniffers, records and foreign streams.
"""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag
from typing import NamedTuple

from agent.goose.codec import APDU_MAX, CodecError, UtcTime, element, tlv

SAV_PDU = 0x60
ASDUS_MAX = 64
CHANNEL = 8
"""Octets of a value and its quality."""


class Synch(IntEnum):
    """smpSynch. 5 to 254 name the local area clock; 3 and 4 are reserved."""

    NONE = 0
    LOCAL = 1
    GLOBAL = 2


class Mode(IntEnum):
    """smpMod: what smpRate counts."""

    PER_PERIOD = 0
    PER_SECOND = 1
    SECONDS_PER_SAMPLE = 2


class Quality(IntFlag):
    """Quality as 9-2LE lays it into 32 bits; validity is the lowest two (0 good, 1 invalid, 3 questionable)."""

    INVALID = 0x0001
    QUESTIONABLE = 0x0003
    OVERFLOW = 0x0004
    OUT_OF_RANGE = 0x0008
    BAD_REFERENCE = 0x0010
    OSCILLATORY = 0x0020
    FAILURE = 0x0040
    OLD_DATA = 0x0080
    INCONSISTENT = 0x0100
    INACCURATE = 0x0200
    SUBSTITUTED = 0x0400
    TEST = 0x0800
    OPERATOR_BLOCKED = 0x1000
    DERIVED = 0x2000


class Asdu(NamedTuple):
    """One sample time. ``data`` are the octets of the data set; see :func:`channels`."""

    sv_id: str
    smp_cnt: int
    conf_rev: int
    smp_synch: int
    data: bytes
    dat_set: str | None = None
    refr_tm: UtcTime | None = None
    smp_rate: int | None = None
    smp_mod: int | None = None
    gm_identity: bytes | None = None

    @property
    def channels(self) -> tuple[tuple[int, int], ...]:
        """(counts, quality) of each channel; CodecError if the data set is not of that form."""
        return channels(self.data)


class Pdu(NamedTuple):
    """``savPdu``."""

    asdus: tuple[Asdu, ...]


def channels(data: bytes) -> tuple[tuple[int, int], ...]:
    """INT32 and quality, repeated."""
    if len(data) % CHANNEL:
        raise CodecError(f"{len(data)} octets are not channels of value and quality", "data-set")
    return tuple(struct.iter_unpack(">iI", data))


def pack_channels(values: tuple[tuple[int, int], ...]) -> bytes:
    """The inverse of :func:`channels`; counts beyond 32 bits are limited and marked as overflow."""
    parts = []
    for value, quality in values:
        limited = max(-(1 << 31), min((1 << 31) - 1, value))
        flags = quality if limited == value else quality | Quality.OVERFLOW
        try:
            parts.append(struct.pack(">iI", limited, flags))
        except struct.error as error:
            raise CodecError(f"quality {quality:#x}: {error}", "unencodable") from None
    return b"".join(parts)


# Number of the field: octets, None for text or any. Order on the wire is ascending.
_SIZES = {0: None, 1: None, 2: 2, 3: 4, 4: 8, 5: 1, 6: 2, 7: None, 8: 2, 9: 8}
_REQUIRED = (0, 2, 3, 5, 7)


def decode(octets: bytes) -> Pdu:
    """One ``savPdu`` and nothing after it."""
    if len(octets) > APDU_MAX:
        raise CodecError("PDU too long", "oversized")
    tag, at, end = element(octets, 0, len(octets))
    if tag != SAV_PDU or end != len(octets):
        raise CodecError("not a savPdu")
    tag, start, stop = element(octets, at, end)
    if tag != 0x80 or not 1 <= stop - start <= 3:
        raise CodecError("noASDU expected")
    announced = int.from_bytes(octets[start:stop], "big")
    tag, start, stop = element(octets, stop, end)
    if tag & 0xDF == 0x81:  # security, reserved by the standard
        tag, start, stop = element(octets, stop, end)
    if tag != 0xA2 or stop != end:
        raise CodecError("sequence of ASDU expected")
    asdus: list[Asdu] = []
    while start < stop:
        tag, inner, after = element(octets, start, stop)
        if tag != 0x30:
            raise CodecError("ASDU expected")
        if len(asdus) == ASDUS_MAX:
            raise CodecError("too many ASDUs", "oversized")
        asdus.append(_asdu(octets, inner, after))
        start = after
    if announced != len(asdus) or not asdus:
        raise CodecError(f"noASDU {announced}, {len(asdus)} ASDUs")
    return Pdu(tuple(asdus))


def _asdu(octets: bytes, at: int, end: int) -> Asdu:
    fields: dict[int, bytes] = {}
    last = -1
    while at < end:
        tag, start, stop = element(octets, at, end)
        number = tag - 0x80
        if number <= last or number not in _SIZES:
            raise CodecError(f"unexpected field {tag:#04x}")
        size = _SIZES[number]
        if size is not None and stop - start != size:
            raise CodecError(f"field {tag:#04x} of {stop - start} octets")
        fields[number] = octets[start:stop]
        last, at = number, stop
    for number in _REQUIRED:
        if number not in fields:
            raise CodecError(f"missing field {0x80 + number:#04x}")
    refr_tm = None
    if 4 in fields:
        seconds, rest = struct.unpack(">II", fields[4])
        refr_tm = UtcTime(seconds, rest >> 8, rest & 0xFF)
    return Asdu(
        _text(fields[0]),
        int.from_bytes(fields[2], "big"),
        int.from_bytes(fields[3], "big"),
        fields[5][0],
        fields[7],
        _text(fields[1]) if 1 in fields else None,
        refr_tm,
        int.from_bytes(fields[6], "big") if 6 in fields else None,
        int.from_bytes(fields[8], "big") if 8 in fields else None,
        fields.get(9),
    )


def _text(octets: bytes) -> str:
    if len(octets) > 255:
        raise CodecError("text too long")
    try:
        return octets.decode("ascii")
    except UnicodeDecodeError:
        raise CodecError("text is not ISO 646") from None


def encode(pdu: Pdu) -> bytes:
    """The octets; CodecError if a value does not fit its field."""
    if not 1 <= len(pdu.asdus) <= ASDUS_MAX:
        raise CodecError(f"{len(pdu.asdus)} ASDUs, 1 to {ASDUS_MAX} expected", "unencodable")
    sequence = b"".join(tlv(0x30, _encode(asdu)) for asdu in pdu.asdus)
    return tlv(SAV_PDU, bytes((0x80, 1, len(pdu.asdus))) + tlv(0xA2, sequence))


def _encode(asdu: Asdu) -> bytes:
    try:
        parts = [tlv(0x80, asdu.sv_id.encode("ascii"))]
        if asdu.dat_set is not None:
            parts.append(tlv(0x81, asdu.dat_set.encode("ascii")))
        parts.append(b"\x82\x02" + asdu.smp_cnt.to_bytes(2, "big"))
        parts.append(b"\x83\x04" + asdu.conf_rev.to_bytes(4, "big"))
        if asdu.refr_tm is not None:
            t = asdu.refr_tm
            parts.append(b"\x84\x08" + struct.pack(">II", t.seconds, t.fraction << 8 | t.quality))
        parts.append(b"\x85\x01" + asdu.smp_synch.to_bytes(1, "big"))
        if asdu.smp_rate is not None:
            parts.append(b"\x86\x02" + asdu.smp_rate.to_bytes(2, "big"))
        parts.append(tlv(0x87, asdu.data))
        if asdu.smp_mod is not None:
            parts.append(b"\x88\x02" + asdu.smp_mod.to_bytes(2, "big"))
        if asdu.gm_identity is not None:
            if len(asdu.gm_identity) != 8:
                raise CodecError("gmIdentity is eight octets", "unencodable")
            parts.append(tlv(0x89, asdu.gm_identity))
    except (OverflowError, struct.error, UnicodeEncodeError) as error:
        raise CodecError(f"{asdu.sv_id}: {error}", "unencodable") from None
    return b"".join(parts)

"""Values of MMS as those of JSON, in the words of IEC 61850 where the name tells what they are; and from text. Pure."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any, Final

from open61850.data import (
    ArrayData,
    BitStringData,
    BoolData,
    FloatData,
    IECData,
    IntData,
    MmsStringData,
    OctetStringData,
    RawData,
    StructureData,
    TimestampData,
    UIntData,
    VisibleStringData,
)
from open61850.mms.errors import DataAccessError
from open61850.mms.report import bits_of, bitstring_of
from open61850.mms.types import ArrayType, MmsType, PrimitiveType, StructureType, describe
from open61850.quality import Quality, TimeQuality

from agent.mms.client.endpoint import access_error
from agent.mms.client.errors import WrongTypeError

DBPOS: Final = ("intermediate", "off", "on", "bad")
POSITIONS: Final = frozenset({"stVal", "subVal", "ctlVal", "valWTr"})
"""Attributes whose two bits are a double point position."""
ON, OFF = ("on", "true", "1", "close", "closed"), ("off", "false", "0", "open", "opened")
INTEGER_BITS: Final = 64


def plain(value: IECData | DataAccessError, type_: MmsType | None = None, name: str = "") -> Any:
    """For JSON. Structures become objects where the type names their parts."""
    match value:
        case DataAccessError(code=code):
            return {"error": access_error(code)}
        case BoolData(value=told) | VisibleStringData(value=told) | MmsStringData(value=told):
            return told
        case IntData(value=number) | UIntData(value=number):
            return number if abs(number) >> INTEGER_BITS == 0 else f"{number:#x}"
        case FloatData(value=number):
            return number if math.isfinite(number) else str(number)
        case TimestampData(value=when):
            return when.isoformat().replace("+00:00", "Z")
        case OctetStringData(value=octets):
            return octets.hex()
        case BitStringData():
            return _bits(value, name)
        case StructureData(members=members):
            parts = type_.components if isinstance(type_, StructureType) else []
            if len(parts) != len(members):
                return [plain(member) for member in members]
            return {part: plain(member, of, part) for member, (part, of) in zip(members, parts, strict=True)}
        case ArrayData(elements=elements):
            of = type_.element if isinstance(type_, ArrayType) else None
            return [plain(element, of, name) for element in elements]
        case RawData(tag=tag, value=octets):
            return f"tag {tag:#x}: {octets.hex()}"
    raise AssertionError(value)


def _bits(value: BitStringData, name: str) -> str:
    bits = bits_of(value)
    if len(bits) == 2 and name in POSITIONS:
        return DBPOS[bits[0] * 2 + bits[1]]
    if len(bits) == 13 and name == "q":
        return str(Quality.from_bitstring(value))
    return "".join("1" if bit else "0" for bit in bits)


def clock(value: IECData) -> str:
    """What a time stamp says of its clock; empty: nothing wrong, or no time stamp."""
    if not isinstance(value, TimestampData):
        return ""
    said = TimeQuality.from_octet(value.quality)
    words = [("clock failure", said.clock_failure), ("not synchronized", said.clock_not_synchronized)]
    return ", ".join(word for word, true in words if true)


def printable(words: str) -> str:
    """What a terminal may be shown of what a server said: no control characters."""
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in words)


def text(told: Any) -> str:
    """One line for a person, of what :func:`plain` made."""
    if isinstance(told, bool):
        return "true" if told else "false"
    if isinstance(told, str):
        return printable(told)
    if isinstance(told, dict) and set(told) == {"error"}:
        return f"({told['error']})"
    return json.dumps(told, ensure_ascii=False)


def from_text(wanted: str, type_: MmsType | None, what: str) -> IECData:
    """A value of this type from what a person typed; WrongTypeError."""
    kind = type_.kind if isinstance(type_, PrimitiveType) else ""
    word = wanted.strip().lower()
    try:
        if kind == "boolean":
            if word in ON or word in OFF:
                return BoolData(word in ON)
            raise ValueError
        if kind in ("integer", "unsigned"):
            return _integer(int(wanted, 0), kind, type_)
        if kind == "float":
            return FloatData(float(wanted), double=isinstance(type_, PrimitiveType) and type_.size == 64)
        if kind == "visible-string":
            return VisibleStringData(wanted)
        if kind == "mms-string":
            return MmsStringData(wanted)
        if kind == "octet-string":
            return OctetStringData(bytes.fromhex(wanted))
        if kind == "bit-string":
            return _bit_string(word)
        if kind == "utc-time":
            return TimestampData(datetime.fromisoformat(wanted).astimezone(UTC))
    except (ValueError, OverflowError):
        raise WrongTypeError(f"{what}: {wanted!r} is no {describe(type_)}{_hint(kind)}") from None
    if isinstance(type_, StructureType) and len(type_.components) == 1:
        # An analogue setpoint: {f} or {i}.
        part, of = type_.components[0]
        return StructureData([from_text(wanted, of, f"{what}.{part}")])
    raise WrongTypeError(f"{what}: a {describe(type_)} cannot be given as text")


def _hint(kind: str) -> str:
    return ": on, off, true or false" if kind == "boolean" else ""


def _integer(number: int, kind: str, type_: MmsType | None) -> IECData:
    size = (type_.size if isinstance(type_, PrimitiveType) else None) or 32
    least, most = (-(1 << size - 1), (1 << size - 1) - 1) if kind == "integer" else (0, (1 << size) - 1)
    if not least <= number <= most:
        raise ValueError
    return IntData(number) if kind == "integer" else UIntData(number)


def _bit_string(word: str) -> IECData:
    if word in ("on", "off"):
        return bitstring_of([word == "on", word == "off"])
    if not word or set(word) - {"0", "1"}:
        raise ValueError
    return bitstring_of([bit == "1" for bit in word])

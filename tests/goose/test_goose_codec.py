"""The GOOSE codec: round trips, hostile octets, limits."""

from __future__ import annotations

import contextlib
import math
import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.goose.codec import (
    DEPTH_MAX,
    ENTRIES_MAX,
    CodecError,
    Data,
    Kind,
    Pdu,
    UtcTime,
    decode,
    encode,
    encode_data,
    tlv,
    utc_time,
)

U32 = st.integers(0, 0xFFFFFFFF)
ASCII = st.text(st.characters(min_codepoint=0, max_codepoint=127), max_size=65)
UTC = st.builds(UtcTime, U32, st.integers(0, 0xFFFFFF), st.integers(0, 255))


@st.composite
def integers(draw: st.DrawFn) -> Data:
    size = draw(st.sampled_from((1, 2, 3, 4, 5, 8)))
    return Data(Kind.INTEGER, draw(st.integers(-(1 << 8 * size - 1), (1 << 8 * size - 1) - 1)), size)


@st.composite
def unsigneds(draw: st.DrawFn) -> Data:
    size = draw(st.integers(1, 9))
    return Data(Kind.UNSIGNED, draw(st.integers(0, (1 << 8 * size - 1) - 1)), size)


@st.composite
def bits(draw: st.DrawFn) -> Data:
    size = draw(st.integers(0, 200))
    kind = draw(st.sampled_from((Kind.BIT_STRING, Kind.BOOLEAN_ARRAY)))
    return Data(kind, draw(st.integers(0, (1 << size) - 1)), size)


FLOATS = st.floats(width=32, allow_nan=False).map(lambda x: Data(Kind.FLOAT, x, 4)) | st.floats(allow_nan=False).map(
    lambda x: Data(Kind.FLOAT, x, 8)
)
LEAVES = (
    st.booleans().map(lambda x: Data(Kind.BOOLEAN, x))
    | integers()
    | unsigneds()
    | bits()
    | FLOATS
    | UTC.map(lambda x: Data(Kind.UTC_TIME, x))
    | ASCII.map(lambda x: Data(Kind.VISIBLE_STRING, x))
    | ASCII.map(lambda x: Data(Kind.GENERALIZED_TIME, x))
    | st.text(max_size=80).map(lambda x: Data(Kind.MMS_STRING, x))
    | st.binary(max_size=300).map(lambda x: Data(Kind.OCTET_STRING, x))
    | st.sampled_from((4, 6))
    .flatmap(lambda n: st.binary(min_size=n, max_size=n))
    .map(lambda x: Data(Kind.BINARY_TIME, x))
    | st.binary(max_size=9).map(lambda x: Data(Kind.BCD, x))
    | st.binary(max_size=9).map(lambda x: Data(Kind.OBJECT_ID, x))
    | st.binary(max_size=9).map(lambda x: Data(Kind.REAL, x))
)
DATA = st.recursive(
    LEAVES,
    lambda inner: st.tuples(st.sampled_from((Kind.STRUCTURE, Kind.ARRAY)), st.lists(inner, max_size=4)).map(
        lambda x: Data(x[0], tuple(x[1]))
    ),
    max_leaves=12,
)
PDUS = st.builds(
    Pdu,
    ASCII,
    U32,
    ASCII,
    st.none() | ASCII,
    UTC,
    U32,
    U32,
    st.booleans(),
    U32,
    st.booleans(),
    st.lists(DATA, max_size=8).map(tuple),
)
SMALL = Pdu("A/LLN0$GO$g", 2000, "A/LLN0$d", "g", UtcTime(1, 2, 3), 4, 5, False, 6, False, (Data(Kind.BOOLEAN, True),))


@given(PDUS)
def test_what_is_encoded_decodes_to_the_same(pdu: Pdu) -> None:
    assert decode(encode(pdu)) == pdu


@given(PDUS)
def test_and_encodes_to_the_same_octets(pdu: Pdu) -> None:
    octets = encode(pdu)
    assert encode(decode(octets)) == octets


@given(st.binary(max_size=400))
@example(b"\x61\x80\x00\x00")
def test_any_octets_give_a_pdu_or_the_codecs_own_error(octets: bytes) -> None:
    with contextlib.suppress(CodecError):
        decode(octets)


@given(PDUS, st.data())
@settings(max_examples=300)
def test_a_damaged_pdu_gives_a_pdu_or_the_codecs_own_error(pdu: Pdu, data: st.DataObject) -> None:
    octets = bytearray(encode(pdu))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(octets) - 1))
        match data.draw(st.sampled_from(("set", "cut", "insert"))):
            case "set":
                octets[at] = data.draw(st.integers(0, 255))
            case "cut" if len(octets) > 1:
                del octets[at:]
            case _:
                octets[at:at] = data.draw(st.binary(max_size=3))
        if not octets:
            break
    with contextlib.suppress(CodecError):
        decode(bytes(octets))


@given(st.data())
def test_every_truncation_is_refused(data: st.DataObject) -> None:
    octets = encode(SMALL)
    with pytest.raises(CodecError):
        decode(octets[: data.draw(st.integers(0, len(octets) - 1))])


def test_not_a_number_survives() -> None:
    for size in (4, 8):
        value = decode(encode(SMALL._replace(data=(Data(Kind.FLOAT, math.nan, size),)))).data[0].value
        assert isinstance(value, float)
        assert math.isnan(value)


def _raw(*fields: bytes) -> bytes:
    return tlv(0x61, b"".join(fields))


def _fields() -> list[bytes]:
    """The fields of SMALL, one by one."""
    octets = encode(SMALL)
    fields, at = [], 2
    while at < len(octets):
        size = 2 + octets[at + 1]
        fields.append(octets[at : at + size])
        at += size
    return fields


def test_the_fields_of_the_small_pdu_are_as_the_standard_says() -> None:
    assert b"".join(_fields()) == encode(SMALL)[2:]
    assert [field[0] for field in _fields()] == [0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0xAB]


@pytest.mark.parametrize(
    ("what", "octets"),
    [
        ("empty", b""),
        ("wrong tag", b"\x60" + encode(SMALL)[1:]),
        ("octets after it", encode(SMALL) + b"\0"),
        ("indefinite length", b"\x61\x80" + encode(SMALL)[2:] + b"\0\0"),
        ("non-minimal length", b"\x61\x81" + encode(SMALL)[1:]),
        ("length of three octets", b"\x61\x83\x00\x00" + encode(SMALL)[1:]),
        ("a field twice", _raw(_fields()[0], *_fields())),
        ("fields in another order", _raw(_fields()[1], _fields()[0], *_fields()[2:])),
        ("no stNum", _raw(*[field for field in _fields() if field[0] != 0x85])),
        ("no data", _raw(*_fields()[:-1])),
        ("data not constructed", _raw(*_fields()[:-1], b"\x8b" + _fields()[-1][1:])),
        ("an unknown field", _raw(*_fields(), b"\x8d\x00")),
        ("a tag of several octets", _raw(*_fields(), b"\x9f\x20\x00")),
        ("wrong count", _raw(*_fields()[:-2], b"\x8a\x01\x02", _fields()[-1])),
        ("a huge count", _raw(*_fields()[:-2], b"\x8a\x05\x00\xff\xff\xff\xff", _fields()[-1])),
        ("stNum of nine octets", _raw(*[b"\x85\x09" + bytes(9) if f[0] == 0x85 else f for f in _fields()])),
        ("t of seven octets", _raw(*[b"\x84\x07" + bytes(7) if f[0] == 0x84 else f for f in _fields()])),
        ("text that is not ISO 646", _raw(b"\x80\x01\xe4", *_fields()[1:])),
    ],
)
def test_bad_pdus_are_refused(what: str, octets: bytes) -> None:
    with pytest.raises(CodecError):
        decode(octets)


@pytest.mark.parametrize(
    "value",
    [
        b"\x83\x00",
        b"\x83\x02\x00\x00",
        b"\x84\x00",
        b"\x84\x02\x08\x00",
        b"\x84\x01\x03",
        b"\x85\x00",
        b"\x85\x0a" + bytes(10),
        b"\x87\x05\x09" + bytes(4),
        b"\x87\x04\x08" + bytes(3),
        b"\x8a\x01\xff",
        b"\x8c\x05" + bytes(5),
        b"\x90\x01\xff",
        b"\x91\x07" + bytes(7),
        b"\x92\x00",
        b"\x01\x00",
        b"\xa3\x00",
    ],
)
def test_bad_values_are_refused(value: bytes) -> None:
    with pytest.raises(CodecError):
        decode(_raw(*_fields()[:-1], tlv(0xAB, value)))


def test_nesting_is_limited() -> None:
    for depth, good in ((DEPTH_MAX, True), (DEPTH_MAX + 1, False)):
        value = Data(Kind.STRUCTURE, ())
        for _ in range(depth - 1):
            value = Data(Kind.STRUCTURE, (value,))
        raw = b""
        for _ in range(depth):
            raw = tlv(0xA2, raw)
        octets = _raw(*_fields()[:-1], tlv(0xAB, raw))
        if good:
            assert encode_data(value) == raw
            assert decode(octets).data == (value,)
        else:
            with pytest.raises(CodecError, match="deep"):
                decode(octets)
            with pytest.raises(CodecError, match="deep"):
                encode_data(value)


def test_the_number_of_values_is_limited() -> None:
    flags = b"\x83\x01\x00"
    good = _raw(*_fields()[:-2], b"\x8a\x02" + struct.pack(">H", ENTRIES_MAX), tlv(0xAB, flags * ENTRIES_MAX))
    assert len(decode(good).data) == ENTRIES_MAX
    with pytest.raises(CodecError, match="too many"):
        decode(_raw(*_fields()[:-1], tlv(0xAB, flags * (ENTRIES_MAX + 1))))


@pytest.mark.parametrize(
    "data",
    [
        Data(Kind.INTEGER, 128, 1),
        Data(Kind.INTEGER, "1", 1),
        Data(Kind.UNSIGNED, -1, 4),
        Data(Kind.UNSIGNED, 255, 1),
        Data(Kind.BIT_STRING, 4, 2),
        Data(Kind.VISIBLE_STRING, "ä"),
        Data(Kind.FLOAT, 1e300, 4),
        Data(Kind.UTC_TIME, UtcTime(-1, 0, 0)),
        Data(Kind.OCTET_STRING, 1),
        Data(Kind.OCTET_STRING, bytes(70_000)),
    ],
)
def test_what_does_not_fit_its_type_is_not_encoded(data: Data) -> None:
    with pytest.raises(CodecError):
        encode_data(data)


def test_a_missing_leading_zero_of_a_number_is_forgiven() -> None:
    fields = [b"\x85\x04\xff\xff\xff\xff" if f[0] == 0x85 else f for f in _fields()]
    assert decode(_raw(*fields)).st_num == 0xFFFFFFFF


def test_the_reserved_security_field_is_skipped() -> None:
    assert decode(_raw(*_fields(), b"\xac\x03\x04\x01\x00")) == SMALL
    assert decode(_raw(*_fields(), b"\x8c\x02\x04\x01")) == SMALL


@given(st.integers(0, (1 << 32) * 1_000_000 - 1))
def test_microseconds_survive_the_fraction(microseconds: int) -> None:
    assert utc_time(microseconds).microseconds == microseconds

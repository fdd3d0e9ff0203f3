"""The Sampled Values codec and its frames: round trips and hostile octets."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.goose.codec import CodecError, UtcTime, tlv
from agent.security.frames import Algorithm, FrameError, Key
from agent.security.ring import KeyGroup
from agent.sv.codec import ASDUS_MAX, Asdu, Pdu, Quality, channels, decode, encode, pack_channels
from agent.sv.frame import open_payload, sealer
from tests.goose.lab import KEY

U16, U32 = st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
ASCII = st.text(st.characters(min_codepoint=0, max_codepoint=127), max_size=65)
CHANNELS = st.lists(st.tuples(st.integers(-(1 << 31), (1 << 31) - 1), U32), max_size=32).map(tuple)
UTC = st.builds(UtcTime, U32, st.integers(0, 0xFFFFFF), st.integers(0, 255))
ASDUS = st.builds(
    Asdu,
    ASCII,
    U16,
    U32,
    st.integers(0, 255),
    CHANNELS.map(pack_channels),
    st.none() | ASCII,
    st.none() | UTC,
    st.none() | U16,
    st.none() | U16,
    st.none() | st.binary(min_size=8, max_size=8),
)
PDUS = st.lists(ASDUS, min_size=1, max_size=8).map(lambda asdus: Pdu(tuple(asdus)))
ASDU = Asdu("F1_MU01", 17, 1, 2, pack_channels(tuple((k, 0) for k in range(8))))
SMALL = encode(Pdu((ASDU,)))
MAC = "01-0C-CD-04-00-01"


@given(PDUS)
def test_what_is_encoded_decodes_to_the_same(pdu: Pdu) -> None:
    octets = encode(pdu)
    assert decode(octets) == pdu
    assert encode(decode(octets)) == octets


@given(CHANNELS)
def test_channels_survive(values: tuple[tuple[int, int], ...]) -> None:
    assert channels(pack_channels(values)) == values


def test_a_value_beyond_32_bits_is_limited_and_says_so() -> None:
    assert channels(pack_channels(((1 << 40, 0), (-(1 << 40), 0x800)))) == (
        ((1 << 31) - 1, Quality.OVERFLOW),
        (-(1 << 31), Quality.OVERFLOW | Quality.TEST),
    )


@given(st.binary(max_size=300))
def test_any_octets_give_a_pdu_or_the_codecs_own_error(octets: bytes) -> None:
    with contextlib.suppress(CodecError):
        decode(octets)


@given(PDUS, st.data())
@settings(max_examples=200)
def test_a_damaged_pdu_gives_a_pdu_or_the_codecs_own_error(pdu: Pdu, data: st.DataObject) -> None:
    octets = bytearray(encode(pdu))
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(CodecError):
        decode(bytes(octets[: data.draw(st.integers(0, len(octets)))]))


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        SMALL[:-1],
        SMALL + b"\0",
        b"\x61" + SMALL[1:],
        tlv(0x60, b"\x80\x01\x01"),
        tlv(0x60, b"\x80\x01\x00\xa2\x00"),
        tlv(0x60, b"\x80\x01\x02" + SMALL[5:]),
        tlv(0x60, b"\x80\x01\x01\xa2\x02\x31\x00"),
        tlv(0x60, b"\x80\x01\x01" + tlv(0xA2, tlv(0x30, b"\x80\x01a"))),
        tlv(0x60, b"\x80\x01\x40" + tlv(0xA2, b"\x30\x00" * (ASDUS_MAX + 1))),
        tlv(0x60, b"\x80\x01\x01" + tlv(0xA2, tlv(0x30, b"\x80\x01a\x82\x03\0\0\0\x83\x04\0\0\0\0\x85\x01\0\x87\0"))),
        tlv(0x60, b"\x80\x01\x01" + tlv(0xA2, tlv(0x30, b"\x80\x01a\x83\x04\0\0\0\0\x82\x02\0\0\x85\x01\0\x87\0"))),
        tlv(0x60, b"\x80\x01\x01" + tlv(0xA2, tlv(0x30, b"\x80\x01\xff\x82\x02\0\0\x83\x04\0\0\0\0\x85\x01\0\x87\0"))),
    ],
)
def test_bad_pdus_are_refused(octets: bytes) -> None:
    with pytest.raises(CodecError):
        decode(octets)


@pytest.mark.parametrize(
    "asdu",
    [
        ASDU._replace(smp_cnt=65536),
        ASDU._replace(conf_rev=-1),
        ASDU._replace(smp_synch=256),
        ASDU._replace(sv_id="ä"),
        ASDU._replace(gm_identity=b"7"),
        ASDU._replace(refr_tm=UtcTime(-1, 0, 0)),
        ASDU._replace(data=bytes(70_000)),
    ],
)
def test_what_does_not_fit_its_field_is_not_encoded(asdu: Asdu) -> None:
    with pytest.raises(CodecError):
        encode(Pdu((asdu,)))


def test_a_data_set_of_another_form_stays_octets() -> None:
    pdu = Pdu((ASDU._replace(data=b"12345"),))
    assert decode(encode(pdu)) == pdu
    with pytest.raises(CodecError, match="channels"):
        _ = decode(encode(pdu)).asdus[0].channels


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "authentic"])
@pytest.mark.parametrize("mac", ["", MAC], ids=["routed", "layer-2"])
def test_frames(key: Key | None, mac: str) -> None:
    payload = sealer(0x4001, key, mac=mac, simulation=True)(SMALL)
    opened = open_payload(payload, None if key is None else KeyGroup((key,)), routed=not mac)
    assert opened == (0x4001, True, None if mac else 1, Pdu((ASDU,)))
    others = [KeyGroup((Key(number, Algorithm.HMAC_SHA256_128, bytes(32)),)) for number in (KEY.identifier, 99)]
    causes = ("bad-mac", "unknown-key") if key is not None else ("unauthenticated", "unauthenticated")
    for wrong, cause in zip(others, causes, strict=True):
        with pytest.raises(FrameError) as caught:
            open_payload(payload, wrong, routed=not mac)
        assert caught.value.cause == cause


@given(st.binary(max_size=200))
def test_any_payload_is_opened_or_refused(payload: bytes) -> None:
    for routed in (False, True):
        with contextlib.suppress(CodecError, FrameError):
            open_payload(payload, KeyGroup((KEY,)), routed=routed)

"""Ethernet frames, session datagrams and their authentication."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.goose import frame, session
from agent.goose.codec import CodecError, tlv
from agent.goose.frame import Envelope, parse
from agent.goose.session import DEFAULT, SISCO, TR_90_5, SessionEnvelope
from agent.security.frames import PROFILES, TRAILING, Algorithm, FrameError, Key, Profile, make_key, parse_extension
from tests.goose.lab import KEY

DESTINATION, SOURCE = bytes.fromhex("010ccd010011"), bytes.fromhex("020000000001")
APDU = tlv(0x61, bytes(range(150)))
KEYS = [
    make_key(number, algorithm, bytes(max(set(algorithm.secrets) & {16, 32})), "g", valid_from_us=5_000_000)
    for number, algorithm in enumerate(Algorithm, 1)
]
SIGNING = [key for key in KEYS if not key.algorithm.encrypts]


@pytest.mark.parametrize("vlan", [None, (0, 4), (4095, 7)])
@pytest.mark.parametrize("key", [None, *SIGNING], ids=str)
@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_what_is_sealed_is_taken_apart_again(vlan: tuple[int, int] | None, key: Key | None, profile: Profile) -> None:
    octets = Envelope(DESTINATION, SOURCE, 0x3FFF, vlan=vlan, simulation=True, key=key, profile=profile).seal(APDU)
    view = parse(octets, profile=profile)
    assert view[:5] == (DESTINATION, SOURCE, vlan, 0x88B8, 0x3FFF)
    assert view.simulation
    assert view.apdu == APDU
    if key is None:
        assert view.extension == b""
        with pytest.raises(FrameError):
            parse_extension(view.extension, profile)
        return
    extension = parse_extension(view.extension, profile)
    assert extension[:3] == (5, 0, key.identifier)
    assert len(extension.iv) == key.algorithm.iv_size
    assert key.verifies(view.domain, extension.mac, extension.iv)
    assert not key.verifies(view.domain + b"\0", extension.mac, extension.iv)
    start = 12 if vlan is None else 16
    assert view.domain == octets[start : start + 10 + len(APDU)]


def test_the_default_extension_octet_by_octet() -> None:
    octets = Envelope(DESTINATION, SOURCE, 1, key=KEY).seal(APDU)
    at = 14 + 8 + len(APDU)
    assert octets[at : at + 13].hex(" ") == f"85 1b 01 {KEY.time_of_current_s:08x} 003c 00000007".replace(
        f"{KEY.time_of_current_s:08x}", KEY.time_of_current_s.to_bytes(4, "big").hex(" ")
    ).replace("003c", "00 3c").replace("00000007", "00 00 00 07")
    assert octets[at + 13 :] == KEY.mac(octets[12:at])
    assert int.from_bytes(octets[16:18], "big") == len(octets) - 14


@pytest.mark.parametrize("padding", [b"", bytes(4), b"\xff" * 6])
def test_octets_after_length_are_padding(padding: bytes) -> None:
    """Ethernet padding, or the trailer of PRP."""
    octets = Envelope(DESTINATION, SOURCE, 1, key=KEY).seal(APDU) + padding
    assert parse(octets).apdu == APDU
    assert len(parse_extension(parse(octets).extension).mac) == 16


@pytest.mark.parametrize(
    ("octets", "cause"),
    [
        (b"", "short"),
        (bytes(23), "short"),
        (bytes(1519), "oversized"),
        (DESTINATION + SOURCE + bytes.fromhex("88ba 0001 000c 0000 0000 6102 0000"), "foreign"),
        (DESTINATION + SOURCE + bytes.fromhex("88b8 0001 000d 0000 0000 6102 0000"), "malformed"),
        (DESTINATION + SOURCE + bytes.fromhex("88b8 0001 0009 0000 0000 6102 0000"), "malformed"),
        (DESTINATION + SOURCE + bytes.fromhex("88b8 0001 000c 0000 0000 6103 0000"), "malformed"),
        (DESTINATION + SOURCE + bytes.fromhex("88b8 0001 000c 0000 0000 6180 0000"), "malformed"),
    ],
)
def test_bad_frames_are_refused(octets: bytes, cause: str) -> None:
    with pytest.raises(CodecError) as caught:
        parse(octets)
    assert caught.value.cause == cause


@given(st.binary(max_size=200))
def test_any_extension_is_parsed_or_refused(octets: bytes) -> None:
    for profile in PROFILES.values():
        with contextlib.suppress(FrameError):
            parse_extension(octets, profile)


@given(st.binary(max_size=120))
def test_any_frame_and_datagram_is_parsed_or_refused(octets: bytes) -> None:
    for prefix in (b"", DESTINATION + SOURCE + b"\x88\xb8", DESTINATION + SOURCE + b"\x81\x00\x80\x05\x88\xb8"):
        with contextlib.suppress(CodecError):
            parse(prefix + octets)
    for prefix in (b"", b"\x01\x40\xa1\x17\x80\x15", b"\x01\x40\xa1\x17\x80\x15" + bytes(8) + b"\0\x02"):
        with contextlib.suppress(CodecError):
            session.parse(prefix + octets)


def test_a_frame_too_long_for_ethernet_is_not_made() -> None:
    for vlan in (None, (1, 4)):
        for key in (None, KEY):
            envelope = Envelope(DESTINATION, SOURCE, 1, vlan=vlan, key=key)
            room = frame.FRAME_MAX - len(envelope.seal(b"\x61\x00")) - 2
            assert len(envelope.seal(tlv(0x61, bytes(room)))) == frame.FRAME_MAX
            with pytest.raises(CodecError, match="fit"):
                envelope.seal(tlv(0x61, bytes(room + 1)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"destination": b"12345"},
        {"source": b""},
        {"appid": 65536},
        {"vlan": (4096, 0)},
        {"vlan": (1, 8)},
    ],
)
def test_addresses_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    arguments: dict[str, object] = {"destination": DESTINATION, "source": SOURCE, "appid": 1} | wrong
    with pytest.raises(CodecError):
        Envelope(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("profile", session.PROFILES.values(), ids=lambda profile: profile.name)
@pytest.mark.parametrize("key", [None, *KEYS], ids=str)
@pytest.mark.parametrize("tag", [session.GOOSE, session.SV])
def test_sessions_are_taken_apart_again(profile: session.SessionProfile, key: Key | None, tag: int) -> None:
    envelope = SessionEnvelope(0x1234, tag, simulation=True, key=key, profile=profile, number=0xFFFFFFFE)
    by_id = {} if key is None else {key.identifier: key}
    for number in (0xFFFFFFFF, 0):
        view = session.parse(envelope.seal(APDU), tag, None if key is None else by_id.__getitem__)
        assert (view.version, view.number, view.tag, view.simulation) == (profile.version, number, tag, True)
        assert (view.appid, view.apdu) == (0x1234, APDU)
        assert view.key == (0 if key is None else key.identifier)
        if key is None:
            assert view.mac == b""
        elif key.algorithm.encrypts:
            assert view.opened
        else:
            assert key.verifies(view.domain, view.mac, view.iv)
    with pytest.raises(CodecError):
        session.parse(envelope.seal(APDU), session.SV if tag == session.GOOSE else session.GOOSE)


def test_the_session_octet_by_octet() -> None:
    """The layout that tshark 4.0 decodes (IEC 61850-8-1 ed. 2.1)."""
    octets = SessionEnvelope(0x1234, key=KEY).seal(APDU)
    payload = 6 + len(APDU)
    head = "01 40 a1 17 80 15" + (payload + 20).to_bytes(4, "big").hex() + "00000001 0002" + "6ab13f00"[:0]
    head = bytes.fromhex(head) + KEY.time_of_current_s.to_bytes(4, "big") + bytes.fromhex("003c 00000007 00")
    head += payload.to_bytes(4, "big") + bytes.fromhex("81 00 1234") + (len(APDU) + 2).to_bytes(2, "big") + APDU
    assert octets == head + b"\x85\x10" + KEY.mac(head)


@pytest.mark.parametrize("damage", ["short", "identifier", "version", "encrypted", "payload", "apdu", "mac", "after"])
def test_bad_sessions_are_refused(damage: str) -> None:
    octets = bytearray(SessionEnvelope(0x1234, key=KEY).seal(APDU))
    match damage:
        case "short":
            del octets[40:]
        case "identifier":
            octets[2] = 0xA0
        case "version":
            octets[15] = 3
        case "encrypted":
            octets[26] = 12
        case "payload":
            octets[27] = 0x80
        case "apdu":
            octets[36] ^= 1
        case "mac":
            del octets[-2:]
        case "after":
            octets += b"\0"
    with pytest.raises(CodecError):
        session.parse(bytes(octets))


def test_profiles_have_names() -> None:
    assert session.PROFILES == {"ed2.1": DEFAULT, "tr-90-5": TR_90_5, "sisco": SISCO}
    assert PROFILES["trailing"] is TRAILING

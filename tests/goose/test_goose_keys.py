"""GOOSE and Sampled Values by every algorithm: round trips, damage, wrong and unknown keys, cut tags, IVs twice."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.goose import session
from agent.goose.codec import CodecError, tlv
from agent.goose.dataset import report_data_set, status_data_set
from agent.goose.frame import Envelope
from agent.goose.publisher import Publisher
from agent.goose.session import SessionEnvelope
from agent.goose.subscriber import Accepted, Subscriber
from agent.security.frames import PROFILES, Algorithm, FrameError, Key, Profile, make_key
from agent.security.iv import Ivs
from agent.security.ring import KeyGroup
from agent.sv.codec import Pdu, encode
from agent.sv.frame import open_payload, sealer
from tests.goose.lab import NOW, REPORT, STATUS, stream
from tests.sv.test_sv_codec import ASDU

APDU = tlv(0x61, bytes(range(150)))
SECRETS = {16: bytes(range(16)), 32: bytes(range(32))}
KEYS = [
    make_key(number, algorithm, SECRETS[size], "g")
    for number, (algorithm, size) in enumerate(
        ((algorithm, size) for algorithm in Algorithm for size in (16, 32) if size in algorithm.secrets), 1
    )
]
SIGNING = [key for key in KEYS if not key.algorithm.encrypts]
GCM = [key for key in KEYS if key.algorithm.encrypts]
WITH_IV = [key for key in KEYS if key.algorithm.iv_size]


def name(key: object) -> str:
    return f"{key.algorithm.text} {8 * len(key.secret)}" if isinstance(key, Key) else str(key)


def other(key: Key) -> Key:
    """The same number, another secret."""
    return make_key(key.identifier, key.algorithm, bytes(octet ^ 1 for octet in key.secret))


def received(payload: bytes, keys: tuple[Key, ...] | None, routed: bool) -> str:
    """What a fresh subscriber says to one payload."""
    data_set = status_data_set()
    result = Subscriber(stream(data_set, routed), data_set, keys).receive(payload, NOW)
    return "accepted" if isinstance(result, Accepted) else result.reason.value


def published(key: Key, routed: bool, ivs: Ivs | None = None) -> bytes:
    data_set = status_data_set()
    return Publisher(stream(data_set, routed), data_set, key, ivs=ivs).publish(STATUS, NOW)


CASES = [(key, False) for key in SIGNING] + [(key, True) for key in KEYS]
cases = pytest.mark.parametrize(
    ("key", "routed"), CASES, ids=[f"{name(key)} {'session' if routed else 'layer 2'}" for key, routed in CASES]
)


@cases
def test_publisher_and_subscriber_agree(key: Key, routed: bool) -> None:
    data_set = report_data_set(8, 8)
    told = stream(data_set, routed)
    publisher, subscriber = Publisher(told, data_set, key), Subscriber(told, data_set, (key,))
    for number in range(20):
        report = REPORT._replace(claim_number=number)
        result = subscriber.receive(publisher.publish(report, NOW + number), NOW + number)
        assert isinstance(result, Accepted)
        assert result.message == report
    assert subscriber.counters == {"accepted": 20}


@cases
def test_any_flipped_bit_is_refused(key: Key, routed: bool) -> None:
    """But for source and VLAN before the EtherType, and the key's times at layer 2: outside the MAC's domain."""
    payload = published(key, routed)
    times = range(0)
    if not routed:
        at = len(payload) - (11 + key.algorithm.iv_size + key.algorithm.size) + 1
        times = range(at, at + 6)
    accepted, causes = [], Counter[str]()
    for octet in range(0 if routed else 6, len(payload)):
        for bit in range(8):
            wrong = bytearray(payload)
            wrong[octet] ^= 1 << bit
            verdict = received(bytes(wrong), (key,), routed)
            causes[verdict] += 1
            if verdict == "accepted":
                accepted.append(octet)
    outside = {*range(6, 12), 14, 15, *times} if not routed else set()
    assert set(accepted) == outside
    assert causes["bad-mac"] > 300
    assert causes["unknown-key"] == 32


@cases
def test_every_wrong_proof_has_its_cause(key: Key, routed: bool) -> None:
    payload = published(key, routed)
    assert received(payload, (key,), routed) == "accepted"
    assert received(payload, (other(key),), routed) == "bad-mac"
    stranger = make_key(key.identifier + 1, key.algorithm, key.secret)
    assert received(payload, (stranger,), routed) == "unknown-key"
    plain = Publisher(stream(status_data_set(), routed), status_data_set(), None).publish(STATUS, NOW)
    assert received(plain, (key,), routed) == "unauthenticated"
    for algorithm in KEYS:
        if algorithm.algorithm is not key.algorithm:
            namesake = make_key(key.identifier, algorithm.algorithm, algorithm.secret)
            assert received(payload, (namesake,), routed) in ("bad-mac", "malformed", "foreign", "encrypted"), name(
                algorithm
            )


@cases
def test_a_cut_tag_is_refused(key: Key, routed: bool) -> None:
    """Shorter by any number of octets, with all lengths corrected: as GMAC-64 where GMAC-128 is asked for, too."""
    payload = published(key, routed)
    for cut in range(1, key.algorithm.size + 1):
        shorter = bytearray(payload[:-cut])
        at = len(payload) - key.algorithm.size - 1
        if routed:
            shorter[at] -= cut
        else:
            at -= 10 + key.algorithm.iv_size + 1
            shorter[at] -= cut
            length = int.from_bytes(shorter[20:22], "big") - cut  # behind the VLAN tag
            shorter[20:22] = length.to_bytes(2, "big")
        verdict = received(bytes(shorter), (key,), routed)
        assert verdict in ("bad-mac", "malformed", "unknown-key", "unauthenticated"), cut
        if cut == 8 and key.algorithm is Algorithm.AES_GMAC_128:
            assert verdict == "bad-mac"


@pytest.mark.parametrize("key", WITH_IV, ids=name)
def test_an_iv_used_twice_is_refused(key: Key) -> None:
    """By a publisher that came back with the counter of before; the second path of PRP is only a duplicate."""
    for routed in (False, True):
        if key.algorithm.encrypts and not routed:
            continue
        data_set = status_data_set()
        told = stream(data_set, routed)
        subscriber = Subscriber(told, data_set, (key,))
        first = Publisher(told, data_set, key, ivs=Ivs(b"here", range(5, 6))).publish(STATUS, NOW)
        again = Publisher(told, data_set, key, ivs=Ivs(b"here", range(5, 6))).publish(STATUS, NOW + 1_000_000)
        fresh = Publisher(told, data_set, key, ivs=Ivs(b"here", range(6, 7))).publish(STATUS, NOW + 1_000_000)
        assert isinstance(subscriber.receive(first, NOW), Accepted)
        assert subscriber.receive(first, NOW + 100) == ("duplicate",)
        assert subscriber.receive(again, NOW + 1_000_000) == ("iv-reused",)
        assert isinstance(subscriber.receive(fresh, NOW + 1_000_000), Accepted)


def test_ivs_are_not_remembered_for_ever() -> None:
    key = WITH_IV[0]
    data_set = status_data_set()
    told = stream(data_set)
    publisher, subscriber = Publisher(told, data_set, key), Subscriber(told, data_set, (key,))
    for number in range(600):
        assert isinstance(subscriber.receive(publisher.publish(STATUS, NOW + number), NOW + number), Accepted)
    assert len(subscriber._ivs) <= 256


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
@settings(max_examples=30)
@given(st.sampled_from(SIGNING), st.binary(max_size=600), st.booleans(), st.none() | st.just((5, 6)))
def test_samples_over_ethernet(
    profile: Profile, key: Key, text: bytes, simulation: bool, vlan: tuple[int, int] | None
) -> None:
    asdu = ASDU._replace(sv_id="MU" + text.hex()[:30])
    payload = sealer(0x4001, key, mac="01-0C-CD-04-00-01", vlan=vlan, simulation=simulation, profile=profile)(
        encode(Pdu((asdu,)))
    )
    opened = open_payload(payload, KeyGroup((key,)), profile=profile)
    assert (opened.appid, opened.simulation, opened.pdu.asdus) == (0x4001, simulation, (asdu,))
    with pytest.raises(FrameError) as caught:
        open_payload(payload, KeyGroup((other(key),)), profile=profile)
    assert caught.value.cause == "bad-mac"


@pytest.mark.parametrize("profile", session.PROFILES.values(), ids=lambda profile: profile.name)
@settings(max_examples=40)
@given(st.sampled_from(KEYS), st.binary(max_size=900), st.sampled_from([session.GOOSE, session.SV]), st.booleans())
def test_sessions_of_both_versions(
    profile: session.SessionProfile, key: Key, text: bytes, tag: int, simulation: bool
) -> None:
    apdu = tlv(0x60 if tag == session.SV else 0x61, text)
    octets = SessionEnvelope(0x1234, tag, simulation, key, profile).seal(apdu)
    view = session.parse(octets, tag, KeyGroup([key]).find)
    assert (view.version, view.appid, view.simulation, view.apdu) == (profile.version, 0x1234, simulation, apdu)
    assert view.opened is key.algorithm.encrypts
    assert len(view.iv) == key.algorithm.iv_size
    if len(text) > 40 and key.algorithm.encrypts:
        assert text not in octets
        with pytest.raises(CodecError):
            session.parse(octets, tag)
    elif not key.algorithm.encrypts:
        assert session.parse(octets, tag).apdu == apdu, "signed, not hidden"


@pytest.mark.parametrize("key", GCM, ids=name)
def test_samples_encrypted(key: Key) -> None:
    apdu = encode(Pdu((ASDU,)))
    payload = sealer(0x4001, key)(apdu)
    assert open_payload(payload, KeyGroup((key,)), routed=True).pdu.asdus == (ASDU,)
    for stranger, cause in ((other(key), "bad-mac"), (SIGNING[0], "unknown-key")):
        with pytest.raises(FrameError) as caught:
            open_payload(payload, KeyGroup((stranger,)), routed=True)
        assert caught.value.cause == cause
    with pytest.raises(CodecError) as unread:
        open_payload(payload, None, routed=True)
    assert unread.value.cause == "encrypted"


def test_an_encrypted_session_octet_by_octet() -> None:
    """The layout that libiec61850 sends and tshark decodes as far as the payload."""
    key = GCM[0]
    octets = SessionEnvelope(0x1234, key=key, ivs=Ivs(b"\xab\xcd\xef\x01", range(7, 8))).seal(APDU)
    payload = 6 + len(APDU)
    head = f"0140a1 23 80 21 {payload + 32:08x} 00000001 0002 00000000 0000 {key.identifier:08x} 0c abcdef01"
    head += f"0000000000000007 {payload:08x}"
    aad = bytes.fromhex(head)
    inner = bytes.fromhex("81 00 1234") + (len(APDU) + 2).to_bytes(2, "big") + APDU
    sealed = key.encrypt(aad[27:39], aad, inner)
    assert octets == aad + sealed[:-16] + b"\x85\x10" + sealed[-16:]


def test_the_gmac_extension_octet_by_octet() -> None:
    key = SIGNING[-1]
    octets = Envelope(bytes(6), bytes(6), 1, key=key, ivs=Ivs(b"\xab\xcd\xef\x01", range(7, 8))).seal(APDU)
    at = 14 + 8 + len(APDU)
    iv = "abcdef01 0000000000000007"
    assert octets[at : at + 25].hex() == f"85 27 01 00000000 0000 {iv} {key.identifier:08x}".replace(" ", "")
    assert octets[at + 25 :] == key.mac(octets[12:at], bytes.fromhex(iv))
    assert int.from_bytes(octets[16:18], "big") == len(octets) - 14


def test_ethernet_is_not_encrypted() -> None:
    for key in (GCM[0], KeyGroup([SIGNING[0], GCM[1]])):
        with pytest.raises(CodecError, match="Ethernet frames are not encrypted"):
            Envelope(bytes(6), bytes(6), 1, key=key)

"""Sessions with an IV at an endpoint with several subscribers: whom a payload is for stands elsewhere, or is hidden."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.goose import frame, session
from agent.goose.codec import CodecError
from agent.goose.dataset import status_data_set
from agent.goose.endpoint import Endpoint
from agent.goose.publisher import Publisher
from agent.goose.session import PROFILES, SessionProfile
from agent.goose.subscriber import Accepted, Subscriber
from agent.security.frames import Algorithm, make_key, parse_extension
from agent.security.ring import KeyGroup
from tests.goose.lab import NOW, STATUS, Ether, stream


@pytest.mark.parametrize("algorithm", ["AES_GMAC_64", "AES_GMAC_128", "AES_128_GCM", "HMAC_SHA256_128"])
@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_every_payload_reaches_its_subscriber(algorithm: str, profile: SessionProfile) -> None:
    data_set = status_data_set()
    key = make_key(1, Algorithm[algorithm], bytes(32 if algorithm.startswith("HMAC") else 16), "g")
    streams = [replace(stream(data_set, routed=True), appid=n, gocb_ref=f"X{n}LD/LLN0$GO$gcb") for n in range(1, 20)]
    keys = KeyGroup([key])
    endpoint = Endpoint(Ether(), (), [Subscriber(told, data_set, keys) for told in streams])
    publishers = [Publisher(told, data_set, key, session_profile=profile) for told in streams]
    for step in range(50):
        for publisher in publishers:
            status = STATUS._replace(operations=step)
            subscriber, result = endpoint.take(publisher.publish(status, NOW + step), NOW + step)
            assert subscriber is not None
            assert subscriber.stream == publisher.stream
            assert isinstance(result, Accepted)
            assert result.message == status
    stranger = Publisher(replace(streams[0], appid=77), data_set, key, session_profile=profile)
    assert endpoint.take(stranger.publish(STATUS, NOW), NOW)[0] is None
    assert endpoint.foreign == 1


def key_of(payload: bytes, routed: bool) -> int:
    return session.parse(payload).key if routed else parse_extension(frame.parse(payload).extension).key


@pytest.mark.parametrize("routed", [False, True], ids=["layer-2", "routed"])
@pytest.mark.parametrize("first", ["publisher", "subscriber"])
def test_keys_are_exchanged_between_two_frames_and_none_is_lost(first: str, routed: bool) -> None:
    """One of both learns of the next key earlier than the other."""
    data_set, turn = status_data_set(), NOW + 20
    secrets = {n: bytes([n]) * 32 for n in (1, 2)}
    old = KeyGroup([make_key(1, Algorithm.HMAC_SHA256_128, secrets[1], "g")])
    both = KeyGroup([
        make_key(1, Algorithm.HMAC_SHA256_128, secrets[1], "g", valid_until_us=turn),
        make_key(2, Algorithm.HMAC_SHA256_128, secrets[2], "g", valid_from_us=turn),
    ])  # fmt: skip
    told = stream(data_set, routed=routed)
    publisher = Publisher(told, data_set, old)
    ends = {
        "publisher": Endpoint(Ether(), (publisher,)),
        "subscriber": Endpoint(Ether(), (), [Subscriber(told, data_set, old)]),
    }
    later = "subscriber" if first == "publisher" else "publisher"
    for step in range(40):
        if step in (10, 15):
            ends[first if step == 10 else later].rekey(both)
        payload = publisher.publish(STATUS._replace(operations=step), NOW + step)
        assert key_of(payload, routed) == (1 if step < 20 else 2)
        _, result = ends["subscriber"].take(payload, NOW + step)
        assert isinstance(result, Accepted), step


def test_keys_that_do_not_fit_change_nothing() -> None:
    data_set = status_data_set()
    told = stream(data_set)
    publisher = Publisher(told, data_set, KeyGroup([make_key(1, Algorithm.HMAC_SHA256_128, bytes(32), "g")]))
    endpoint = Endpoint(Ether(), (publisher,))
    with pytest.raises(CodecError, match="Ethernet frames are not encrypted"):
        endpoint.rekey(KeyGroup([make_key(3, Algorithm.AES_128_GCM, bytes(16), "g")]))
    assert key_of(publisher.publish(STATUS, NOW), False) == 1

"""Sessions with an IV at an endpoint with several subscribers: whom a payload is for stands elsewhere, or is hidden."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.goose.dataset import status_data_set
from agent.goose.endpoint import Endpoint
from agent.goose.publisher import Publisher
from agent.goose.session import PROFILES, SessionProfile
from agent.goose.subscriber import Accepted, Subscriber
from agent.security.frames import Algorithm, make_key
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

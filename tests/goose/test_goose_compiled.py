"""The compiled opener and sealer beside the Python that they stand for: the same octets, the same verdicts."""

from __future__ import annotations

import random
import subprocess
import sysconfig
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.goose.dataset import command_data_set, report_data_set, status_data_set
from agent.goose.endpoint import Endpoint
from agent.goose.frame import Envelope
from agent.goose.layout import Head, Layout
from agent.goose.opener import Opener
from agent.goose.publisher import Publisher
from agent.goose.sealer import Sealer
from agent.goose.session import PROFILES as SESSION_PROFILES
from agent.goose.session import SessionEnvelope
from agent.goose.subscriber import Accepted, Drop, Dropped, Subscriber
from agent.security.frames import PROFILES, Algorithm, Key, Profile, make_key
from agent.security.ring import KeyGroup
from tests.goose.lab import KEY, NOW, REPORT, STATUS, Ether, stream

HMACS = [
    make_key(number, algorithm, bytes([number]) * size, "g")
    for number, (algorithm, size) in enumerate(
        ((Algorithm.HMAC_SHA256_80, 32), (Algorithm.HMAC_SHA256_128, 64), (Algorithm.HMAC_SHA256_256, 33)), 1
    )
]  # fmt: skip
GMAC = make_key(9, Algorithm.AES_GMAC_128, bytes(16), "g")
GCM = make_key(10, Algorithm.AES_128_GCM, bytes(16), "g")
WAYS = [(False, None), (False, (5, 6)), (True, None)]
ways = pytest.mark.parametrize(("routed", "vlan"), WAYS, ids=["layer 2", "tagged", "routed"])


def counted(endpoint: Endpoint) -> dict[str, dict[str, int]]:
    """Without ``foreign``: who shares an address is not even asked where the opener knows whom a frame is for."""
    counters = endpoint.stream_counters()
    return {told: {cause: n for cause, n in by.items() if cause != "foreign"} for told, by in counters.items()}


class Pair:
    """The same subscribers twice: one endpoint opens by compiled code, the other never does."""

    def __init__(self, subscribers: Any) -> None:
        self.fast, self.slow = (Endpoint(Ether(), (), subscribers()) for _ in range(2))
        self.slow._opener = Opener(())

    def take(self, payload: bytes, now: int = NOW) -> object:
        """What both say."""
        fast, slow = self.fast.take(payload, now), self.slow.take(payload, now)
        assert fast[1] == slow[1], payload.hex()
        assert (fast[0] is None) == (slow[0] is None)
        assert counted(self.fast) == counted(self.slow)
        assert [one.mark for one in self.fast.subscribers] == [one.mark for one in self.slow.subscribers]
        return fast[1]

    def opens(self, payload: bytes) -> bool:
        """Whether the compiled code says yes (a copy of its subscribers would be asked)."""
        opener = Opener([Subscriber(one.stream, one.data_set, one.keys) for one in self.fast.subscribers])
        return opener.take(payload, NOW) is not None


def pair(key: Key, routed: bool, vlan: tuple[int, int] | None) -> tuple[Pair, Publisher[Any]]:
    data_set = report_data_set(12, 12)
    told = stream(data_set, routed, vlan)
    others = [replace(told, gocb_ref=f"R{n}_AGFLISR/LLN0$GO$gcbFlisr") for n in range(12, 15)]
    group = KeyGroup([key])
    made = Pair(lambda: [Subscriber(one, data_set, group) for one in (*others, told)])
    return made, Publisher(told, data_set, group)


@ways
@pytest.mark.parametrize("key", HMACS, ids=lambda key: key.algorithm.text)
def test_what_we_publish_is_opened_and_judged_alike(key: Key, routed: bool, vlan: tuple[int, int] | None) -> None:
    both, publisher = pair(key, routed, vlan)
    now = NOW
    for number in range(30):
        payload = publisher.publish(REPORT._replace(claim_number=number), now)
        assert both.opens(payload)
        result = both.take(payload, now)
        assert isinstance(result, Accepted)
        assert result.message == REPORT._replace(claim_number=number)
        assert both.take(payload, now) == Dropped(Drop.DUPLICATE)
        again = publisher.timer(publisher.deadline or 0)
        assert again is not None
        assert isinstance(both.take(again, now), Accepted)
        now += 1000 if number % 7 else 20_000_000
    assert both.take(payload, now + 30_000_000) == both.take(payload, now)
    old = Publisher(publisher.stream, report_data_set(12, 12), key).publish(REPORT, NOW - 60_000_000)
    assert isinstance(both.take(old, now), Dropped)


@ways
def test_every_flipped_bit_is_judged_alike(routed: bool, vlan: tuple[int, int] | None) -> None:
    both, publisher = pair(HMACS[1], routed, vlan)
    payload = publisher.publish(REPORT, NOW)
    opened = []
    for octet in range(len(payload)):
        for bit in range(8):
            wrong = bytearray(payload)
            wrong[octet] ^= 1 << bit
            if both.opens(bytes(wrong)):
                opened.append(octet)
            both.take(bytes(wrong))
    # Source, VLAN and the key's times: outside of what is authenticated at layer 2, and of no consequence.
    end = len(payload)
    assert set(opened) == (
        set() if routed else {*range(6, 12), *(() if vlan is None else (14, 15)), *range(end - 26, end - 20)}
    )


@ways
@given(st.data())
@settings(max_examples=150, deadline=None)
def test_mutilated_payloads_are_judged_alike(routed: bool, vlan: tuple[int, int] | None, data: st.DataObject) -> None:
    both, publisher = pair(data.draw(st.sampled_from(HMACS)), routed, vlan)
    if data.draw(st.booleans()):
        both.take(publisher.publish(REPORT, NOW - 1_000_000), NOW - 1_000_000)
    payload = bytearray(publisher.publish(REPORT, NOW))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(payload)))
        match data.draw(st.sampled_from(("cut", "insert", "set", "append", "drop"))):
            case "cut":
                del payload[at:]
            case "insert":
                payload[at:at] = data.draw(st.binary(max_size=8))
            case "set" if at < len(payload):
                payload[at] = data.draw(st.integers(0, 255))
            case "append":
                payload += data.draw(st.binary(max_size=40))
            case "drop":
                del payload[at : at + data.draw(st.integers(1, 8))]
    result = both.take(bytes(payload))
    assert isinstance(result, Dropped) or not both.opens(bytes(payload)) or isinstance(result, Accepted)


@pytest.mark.parametrize("routed", [False, True], ids=["layer 2", "routed"])
@pytest.mark.parametrize("key", [GMAC, GCM], ids=lambda key: key.algorithm.text)
def test_keys_with_an_iv_are_left_to_python(key: Key, routed: bool) -> None:
    if key is GCM and not routed:
        return
    both, publisher = pair(key, routed, None)
    payload = publisher.publish(REPORT, NOW)
    assert not both.opens(payload)
    assert isinstance(both.take(payload), Accepted)


@pytest.mark.parametrize(
    "profile", [one for one in PROFILES.values() if one.name != "trailing"], ids=lambda one: one.name
)
def test_other_profiles_are_left_to_python(profile: Profile) -> None:
    data_set = status_data_set()
    told = stream(data_set)
    for by in PROFILES.values():
        both = Pair(lambda: [Subscriber(told, data_set, (KEY,), profile=profile)])
        result = both.take(Publisher(told, data_set, KEY, profile=by).publish(STATUS, NOW))
        assert isinstance(result, Accepted) or by is not profile


def test_an_expired_or_unknown_key_is_called_by_its_name() -> None:
    data_set = status_data_set()
    told = stream(data_set)
    secret = bytes(32)
    old = make_key(1, Algorithm.HMAC_SHA256_128, secret, "g", valid_until_us=NOW - 400_000_000)
    new = make_key(2, Algorithm.HMAC_SHA256_128, secret, "g", valid_from_us=NOW - 400_000_000)
    both = Pair(lambda: [Subscriber(told, data_set, group) for group in [KeyGroup([old, new])]])
    assert both.take(Publisher(told, data_set, old).publish(STATUS, NOW)) == Dropped(Drop.EXPIRED_KEY)
    assert both.take(Publisher(told, data_set, KEY).publish(STATUS, NOW)) == Dropped(Drop.UNKNOWN_KEY)
    for endpoint in (both.fast, both.slow):
        endpoint.time_quality(False)
    assert isinstance(both.take(Publisher(told, data_set, old).publish(STATUS, NOW)), Accepted)


def test_two_groups_may_use_one_number_for_two_keys() -> None:
    data_set = status_data_set()
    streams = [replace(stream(data_set), appid=appid) for appid in (1, 2)]
    keys = [make_key(1, Algorithm.HMAC_SHA256_128, bytes([n]) * 32, "g") for n in (1, 2)]
    groups = [KeyGroup([key]) for key in keys]
    both = Pair(lambda: [Subscriber(one, data_set, group) for one, group in zip(streams, groups, strict=True)])
    for told, right, wrong in ((streams[0], *keys), (streams[1], *reversed(keys))):
        assert both.take(Publisher(told, data_set, wrong).publish(STATUS, NOW)) == Dropped(Drop.BAD_MAC)
        assert isinstance(both.take(Publisher(told, data_set, right).publish(STATUS, NOW)), Accepted)


def test_a_subscriber_that_took_other_keys_by_itself_is_not_opened_by_the_old_ones() -> None:
    data_set = status_data_set()
    told = stream(data_set)
    old, new = (make_key(1, Algorithm.HMAC_SHA256_128, bytes([n]) * 32, "g") for n in (1, 2))
    both = Pair(lambda: [Subscriber(told, data_set, KeyGroup([old]))])
    for endpoint in (both.fast, both.slow):
        endpoint.subscribers[0].rekey(KeyGroup([new]))
    assert both.take(Publisher(told, data_set, old).publish(STATUS, NOW)) == Dropped(Drop.BAD_MAC)
    assert isinstance(both.take(Publisher(told, data_set, new).publish(STATUS, NOW)), Accepted)


def test_simulated_frames_are_told_apart() -> None:
    data_set = status_data_set()
    told = stream(data_set)
    both = Pair(lambda: [Subscriber(told, data_set, (KEY,))])
    simulated = Publisher(told, data_set, KEY, simulation=True)
    assert both.take(simulated.publish(STATUS, NOW)) == Dropped(Drop.SIMULATED)
    for endpoint in (both.fast, both.slow):
        endpoint.subscribers[0].simulation = True
    assert isinstance(both.take(simulated.publish(STATUS, NOW)), Accepted)
    assert both.take(Publisher(told, data_set, KEY).publish(STATUS, NOW)) == Dropped(Drop.NOT_SIMULATED)


HEADS = st.builds(
    Head, *(st.integers(0, 0xFFFFFFFF),), st.integers(0, 4_000_000_000_000_000), st.integers(0, 255),
    *(st.integers(0, 0xFFFFFFFF),) * 2, st.booleans(), st.integers(0, 0xFFFFFFFF), st.booleans(),
)  # fmt: skip


@pytest.mark.parametrize("profile", [*PROFILES.values(), *SESSION_PROFILES.values()], ids=lambda one: str(one.name))
@pytest.mark.parametrize("key", [None, *HMACS, GMAC], ids=lambda key: key.algorithm.text if key else "none")
def test_what_is_sealed_is_what_the_envelope_would_have_made(key: Key | None, profile: Any) -> None:
    data_set = report_data_set(12, 12)
    layout = Layout("A/LLN0$GO$g", "A/LLN0$d", "g", data_set.b_types)
    values = data_set.to_values(REPORT)

    def envelope() -> Envelope | SessionEnvelope:
        if isinstance(profile, Profile):
            return Envelope(bytes(6), bytes(range(6)), 7, vlan=(1, 2), simulation=True, key=key, profile=profile)
        return SessionEnvelope(7, simulation=True, key=key, profile=profile, number=0xFFFFFFF0)

    sealer, plain = Sealer(envelope(), layout), envelope()

    @given(HEADS)
    @settings(max_examples=30, deadline=None)
    def same(head: Head) -> None:
        sealed, wanted = sealer.seal(layout.pack(head, values), NOW), plain.seal(layout.encode(head, values), NOW)
        if key is GMAC:  # another IV each
            assert len(sealed) == len(wanted)
        else:
            assert sealed == wanted

    same()


@pytest.mark.parametrize("routed", [False, True], ids=["layer 2", "routed"])
def test_the_keys_time_is_kept_to_while_compiled_code_seals(routed: bool) -> None:
    """Through two keys of HMAC, one of GMAC between them, and back in time: octet by octet what the envelope makes."""
    second = 1_000_000
    group = KeyGroup([
        make_key(1, Algorithm.HMAC_SHA256_128, bytes(32), "g", valid_until_us=NOW + 100 * second),
        make_key(2, Algorithm.AES_GMAC_128, bytes(16), "g", valid_from_us=NOW + 100 * second),
        make_key(3, Algorithm.HMAC_SHA256_80, bytes(40), "g", valid_from_us=NOW + 200 * second),
    ])  # fmt: skip
    data_set = command_data_set()
    layout = Layout("A/LLN0$GO$g", "A/LLN0$d", "g", data_set.b_types)
    made = [SessionEnvelope(7, key=group) if routed else Envelope(bytes(6), bytes(6), 7, key=group) for _ in range(2)]
    sealer = Sealer(made[0], layout)
    for step in (*range(0, 300, 7), 50, 150, 250):
        now = NOW + step * second
        head = Head(2500, now, 10, step, 0, False, 1, False)
        sealed = sealer.seal(layout.pack(head, (True, 1, 2, False)), now)
        wanted = made[1].seal(layout.encode(head, (True, 1, 2, False)), now)
        assert sealed == wanted or (100 <= step < 200 and len(sealed) == len(wanted)), step


def test_mutilated_frames_under_the_sanitizers(tmp_path: Path) -> None:
    """Each in memory of exactly its length."""
    root = Path(__file__).parents[2] / "agent"
    sources = [root / "goose" / name for name in ("opener.c", "sealer.c")] + [root / "core" / "sha256.c"]
    program = tmp_path / "fuzz"
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    options = ["-std=gnu11", "-D_GNU_SOURCE", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    subprocess.run(
        [compiler, *options, "-I", str(root / "goose"), "-I", str(root / "core"), "-o", str(program),
         str(Path(__file__).with_name("fuzz.c")), *map(str, sources)],
        check=True, timeout=120,
    )  # fmt: skip
    data_set = status_data_set()
    for routed in (False, True):
        told = stream(data_set, routed)
        key = HMACS[1]
        layout = Subscriber(told, data_set, (key,)).layout
        payload = Publisher(told, data_set, key).publish(STATUS, NOW)
        parts = [payload, key.secret, layout.fixed, layout.pattern, b"" if routed else told.destination]
        numbers = [key.identifier, key.algorithm.size, told.appid, random.Random(1).randrange(1 << 31)]
        run = subprocess.run(
            [program, *(part.hex() or "-" for part in parts), *map(str, numbers)],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert run.returncode == 0, run.stdout + run.stderr
        assert run.stdout.split() == ["opened", "1"], run.stdout

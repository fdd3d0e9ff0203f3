"""Keys of the compiled receiver and source: AES-GMAC, keys in time, keys exchanged while frames come in."""

from __future__ import annotations

import secrets
import threading

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core import Key, Multicast, ProtectionCore
from agent.core.native import ffi, lib
from agent.goose import session
from agent.goose.frame import ETHERTYPE_SV, Envelope, parse
from agent.security import frames, ring
from agent.security.frames import Algorithm, FrameError, make_key, parse_extension

from .test_stream import SECOND, at, counted, feed, receiver, source

GMACS = (Algorithm.AES_GMAC_64, Algorithm.AES_GMAC_128)
SECRET = bytes(range(16))
MULTICAST = Multicast("239.1.1.1")
MINUTE_US = 60_000_000


def of(key: frames.Key, refused_from_us: int = 0) -> Key:
    """The same key, for the compiled side."""
    return Key(key.identifier, key.secret, key.algorithm.size, key.algorithm.iv_size != 0, refused_from_us)


def gmac(key: bytes, iv: bytes, data: bytes) -> bytes:
    tag = ffi.new("uint8_t[16]")
    assert lib.core_gmac(key, len(key), iv, data, len(data), tag) == 0
    return bytes(tag)


@pytest.mark.parametrize(
    ("key", "iv", "data", "tag"),
    [
        ("00" * 16, "00" * 12, "", "58e2fccefa7e3061367f1d57a4e7455a"),  # McGrew and Viega, test cases 1 and 13
        ("00" * 32, "00" * 12, "", "530f8afbc74536b9a963b4f1c4cb738b"),
        (  # NIST CAVP, gcmEncryptExtIV128, no plaintext
            "77be63708971c4e240d1cb79e8d77feb",
            "e0e00f19fed7ba0136a797f3",
            "7a43ec1d9c0a5a78a0b16533a6213cab",
            "209fcc8d3675ed938e9c7166709dd946",
        ),
    ],
)
def test_gmac_vectors(key: str, iv: str, data: str, tag: str) -> None:
    assert gmac(bytes.fromhex(key), bytes.fromhex(iv), bytes.fromhex(data)).hex() == tag


@given(st.sampled_from((16, 32)).flatmap(lambda n: st.binary(min_size=n, max_size=n)), st.binary(max_size=300))
@settings(max_examples=100)
def test_gmac_is_the_one_of_the_python_side(key: bytes, data: bytes) -> None:
    iv = secrets.token_bytes(12)
    assert gmac(key, iv, data) == AESGCM(key).encrypt(iv, b"", data)


@pytest.mark.parametrize("algorithm", GMACS)
@pytest.mark.parametrize("secret", [SECRET, SECRET * 2])
def test_what_the_source_signs_the_python_side_believes(algorithm: Algorithm, secret: bytes) -> None:
    theirs = make_key(7, algorithm, secret)
    frame = source(of(theirs), key_time_s=11, key_next_min=12, ivs=(b"MU01", 1 << 40)).frame(SECOND, 5)
    view = parse(frame, ETHERTYPE_SV)
    extension = parse_extension(view.extension)
    assert (extension.key, extension.time_of_current_s, extension.time_to_next_min) == (7, 11, 12)
    assert extension.iv == b"MU01" + (1 << 40).to_bytes(8, "big")
    assert theirs.verifies(view.domain, extension.mac, extension.iv)
    datagram = session.parse(source(of(theirs), link=MULTICAST).frame(SECOND, 5), session.SV)
    assert theirs.verifies(datagram.domain, datagram.mac, datagram.iv)


@pytest.mark.parametrize("algorithm", GMACS)
def test_what_the_python_side_signs_the_receiver_believes(algorithm: Algorithm) -> None:
    theirs = make_key(7, algorithm, SECRET)
    apdu = parse(source(None).frame(SECOND, 5), ETHERTYPE_SV).apdu
    sealed = [Envelope(bytes(6), bytes(6), 0x4001, ETHERTYPE_SV, key=theirs).seal(apdu)]
    sealed += [
        session.SessionEnvelope(0x4001, session.SV, key=theirs, profile=profile).seal(apdu)
        for profile in session.PROFILES.values()
    ]
    for octets in sealed:
        core = receiver((of(theirs),))
        assert core.frame(octets, at(5)), octets.hex()
        assert counted(core) == {}


@pytest.mark.parametrize("algorithm", [Algorithm.HMAC_SHA256_128, Algorithm.AES_GMAC_64, Algorithm.AES_GMAC_128])
def test_a_signature_without_length_may_begin_like_one(algorithm: Algorithm) -> None:
    """One in 256 does: its first octet is as great as what follows it is long."""
    theirs = make_key(7, algorithm, SECRET)
    apdu = parse(source(None).frame(SECOND, 5), ETHERTYPE_SV).apdu
    octets, bare = (
        b"",
        {Algorithm.HMAC_SHA256_128: 16, Algorithm.AES_GMAC_64: 20, Algorithm.AES_GMAC_128: 28}[algorithm],
    )
    for number in range(20_000):
        envelope = session.SessionEnvelope(0x4001, session.SV, key=theirs, profile=session.SISCO, number=number)
        octets = envelope.seal(apdu)
        if octets[-bare] == bare - 1:
            break
    assert octets[-bare] == bare - 1
    core = receiver((of(theirs),))
    assert core.frame(octets, at(5)), octets.hex()
    assert counted(core) == {}


@pytest.mark.parametrize("link", [None, MULTICAST])
@pytest.mark.parametrize("algorithm", GMACS)
def test_any_changed_octet_of_a_gmac_frame_is_noticed(algorithm: Algorithm, link: Multicast | None) -> None:
    """But for the key's times at layer 2, which lie behind the MAC's domain and which nobody uses."""
    key = of(make_key(7, algorithm, SECRET))
    good = source(key, link=link).frame(SECOND, 0)
    tail = 12 + 4 + key.mac_octets
    unsigned = set() if link else {*range(12), *range(len(good) - tail - 6, len(good) - tail)}
    for position in set(range(len(good))) - unsigned:
        core = receiver((key,))
        wrong = good[:position] + bytes((good[position] ^ 0x40,)) + good[position + 1 :]
        assert not core.frame(wrong, at(0)), position
        assert sum(counted(core).values()) == 1


@pytest.mark.parametrize("link", [None, MULTICAST])
def test_no_frame_passes_for_one_of_another_algorithm(link: Multicast | None) -> None:
    """Same KeyID, same secret, same octets of MAC where that can be."""
    keys = [of(make_key(7, algorithm, SECRET * 2)) for algorithm in (*frames.HMACS, *GMACS)]
    for signed in keys:
        frame = source(signed, link=link).frame(SECOND, 0)
        for known in keys:
            core = receiver((known,))
            assert core.frame(frame, at(0)) is (known == signed)
            assert counted(core) == ({} if known == signed else {"bad_mac": 1})


def test_an_iv_never_comes_twice() -> None:
    """Not for the same sample, nor with another key, whose frames are of another length."""
    made = source(of(make_key(7, GMACS[0], SECRET)))
    seen = set()
    for algorithm in (*GMACS, GMACS[0]):
        made.rekey(of(make_key(8, algorithm, SECRET * 2)), 20, 30)
        for n in (0, 0, 1, 2):
            extension = parse_extension(parse(made.frame(SECOND, n), ETHERTYPE_SV).extension)
            assert (extension.key, extension.time_of_current_s, extension.time_to_next_min) == (8, 20, 30)
            assert len(extension.mac) == algorithm.size
            seen.add(extension.iv)
    assert len(seen) == 12
    with pytest.raises(ValueError, match="not for this stream"):
        source(None).rekey(of(make_key(8, GMACS[0], SECRET)))


def knows(group: ring.KeyGroup, identifier: int, now_us: int) -> bool:
    try:
        group.find(identifier, now_us)
    except FrameError:
        return False
    return True


def in_time(group: ring.KeyGroup) -> tuple[Key, ...]:
    """What the receiver is told of a group: each key until it is refused."""
    minutes = range(SECOND * 1_000_000, SECOND * 1_000_000 + 60 * MINUTE_US, MINUTE_US)
    return tuple(of(key, next((t for t in minutes if not knows(group, key.identifier, t)), 0)) for key in group)


@pytest.mark.parametrize("algorithm", [Algorithm.HMAC_SHA256_128, GMACS[1]])
def test_a_key_is_refused_when_its_group_refuses_it(algorithm: Algorithm) -> None:
    """Next, current, previous in its grace, expired: minute by minute as :class:`KeyGroup` has it."""
    begin = SECOND * 1_000_000
    keys = [
        make_key(1, algorithm, SECRET * 2, valid_until_us=begin + 10 * MINUTE_US),
        make_key(2, algorithm, SECRET[::-1] * 2, valid_from_us=begin + 8 * MINUTE_US),
        make_key(3, algorithm, bytes(32), valid_from_us=begin + 20 * MINUTE_US, valid_until_us=begin + 30 * MINUTE_US),
    ]
    group = ring.KeyGroup(keys, grace_s=120)
    made = [source(of(key)) for key in keys]
    core = receiver(in_time(group), maximum_age_ms=2**31 / 1000 - 1)
    expired = 0
    for minute in range(40):
        now = begin + minute * MINUTE_US
        for key, one in zip(keys, made, strict=True):
            good = knows(group, key.identifier, now)
            expired += not good
            assert core.frame(one.frame(now // 1_000_000, 0), now) is good, (minute, key.identifier)
    assert core.counters()["expired"] == expired > 30
    assert core.counters()["unauthenticated"] == core.counters()["bad_mac"] == 0


def block(made: object, count: int = 4000) -> tuple[bytes, int]:
    frames_of = [made.frame(SECOND, n) for n in range(count)]  # type: ignore[attr-defined]
    return b"".join(frames_of), len(frames_of[0])


def test_no_frame_is_lost_while_keys_are_exchanged() -> None:
    """A publisher goes from HMAC to GMAC while the receiver's keys are exchanged as fast as they can be."""
    old, new = Key(1, SECRET * 2), of(make_key(2, GMACS[1], SECRET))
    core = receiver((old,))
    parts = [block(source(old)), block(source(new))]
    other = Key(3, bytes(32))
    sets = ((old, new), (new, old, other), (other, old, new))
    assert core.rekey(sets[0])
    taken = 0

    def listen() -> None:
        nonlocal taken
        for second in range(60):
            octets, length = parts[second % 2]
            taken += core.frames(octets, length, (SECOND + second) * 1_000_000 + 1000, 250)

    thread = threading.Thread(target=listen)
    thread.start()
    exchanges = 0
    while thread.is_alive():
        exchanges += core.rekey(sets[exchanges % 3])
    thread.join()
    assert taken == 60 * 4000
    assert counted(core) == {}
    assert exchanges > 100


def test_a_key_that_cannot_be_used_changes_nothing() -> None:
    core = receiver((Key(1, SECRET * 2),))
    for wrong in (Key(2, SECRET, 10, gmac=True), Key(2, SECRET + b"x", 16, gmac=True), Key(2, b"short")):
        with pytest.raises(ValueError, match="key 2"):
            core.rekey((wrong,))
        with pytest.raises(ValueError, match="key 2"):
            receiver((wrong,))
    feed(core, source(Key(1, SECRET * 2)), range(3))
    assert counted(core) == {}
    assert isinstance(core, ProtectionCore)

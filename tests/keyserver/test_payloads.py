"""What servers and members say: every message survives the wire, and nothing else is taken for one."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.keyserver.payloads import FOREVER, OID, Keys, Message, PayloadError, Pull, Refused, Tek, decode, encode
from agent.security.frames import Algorithm

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=16)
U32 = st.integers(0, 0xFFFFFFFF)


@st.composite
def teks(draw: st.DrawFn) -> Tek:
    algorithm = draw(st.sampled_from(list(Algorithm)))
    size = draw(st.sampled_from([n for n in (16, 32, 64) if n in algorithm.secrets]))
    identifier = draw(st.integers(1, 0xFFFFFFFF))
    return Tek(identifier, algorithm, draw(st.binary(min_size=size, max_size=size)), draw(U32), draw(U32))


MESSAGES = st.one_of(
    st.builds(Pull, NAMES),
    st.builds(Refused, NAMES, st.text(st.characters(codec="utf-8"), max_size=200)),
    st.builds(Keys, NAMES, U32, st.lists(teks(), max_size=5, unique_by=lambda key: key.identifier).map(tuple)),
)


@given(MESSAGES)
def test_every_message_survives_the_wire(message: Message) -> None:
    octets = encode(message)
    assert int.from_bytes(octets[:4], "big") == len(octets) - 4
    assert decode(octets[4:]) == message


@given(MESSAGES, st.data())
def test_damage_gives_a_message_or_the_codecs_own_error(message: Message, data: st.DataObject) -> None:
    octets = bytearray(encode(message)[4:])
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(octets)))
    for damaged in (octets, octets[:cut], octets + octets[:cut]):
        with contextlib.suppress(PayloadError):
            decode(bytes(damaged))


@given(st.binary(max_size=200))
def test_any_octets_do(octets: bytes) -> None:
    with contextlib.suppress(PayloadError):
        decode(octets)


def test_the_octets_of_a_key_are_those_of_the_rfc() -> None:
    """RFC 8052, 2.2: SPI, authentication and encryption algorithm, remaining life time, activation delay; RFC 6407,
    5.6: the key packet."""
    secret = bytes(range(32))
    assert OID.hex().startswith("0614 6983".replace(" ", "")), "the whole DER: tag, length, 2.25.…"
    octets = encode(Keys("g", 7, (Tek(0x01020304, Algorithm.HMAC_SHA256_128, secret, 60, 3600),)))
    policy = bytes.fromhex("01020304 0002 0001 00000e10 0001 0004 0000003c")
    assert b"\x03" + bytes((len(OID),)) + OID + b"\x00\x01g" + policy in octets
    assert octets.endswith(bytes.fromhex("0001 0000 01 00 002d 04 01020304 0002 0020") + secret)


@pytest.mark.parametrize(
    ("algorithm", "size", "numbers"),
    [
        (Algorithm.HMAC_SHA256_128, 32, "0002 0001"),
        (Algorithm.HMAC_SHA256_256, 64, "0003 0001"),
        (Algorithm.AES_GMAC_128, 16, "0004 0001"),
        (Algorithm.AES_GMAC_128, 32, "0005 0001"),
        (Algorithm.AES_128_GCM, 16, "0001 0004"),
        (Algorithm.AES_256_GCM, 32, "0001 0005"),
    ],
)
def test_algorithms_have_their_numbers_and_aes_keys_their_salt(algorithm: Algorithm, size: int, numbers: str) -> None:
    """RFC 8052, 2.2.2, 2.2.3 (the number tells the size of an AES key) and 2.3 (four octets of salt behind it)."""
    secret = bytes(range(1, size + 1))
    octets = encode(Keys("g", 1, (Tek(5, algorithm, secret, 0, FOREVER),)))
    assert bytes.fromhex(f"00000005 {numbers} 00000000 0001 0004 00000000") in octets
    assert octets.endswith(secret + bytes(4 if algorithm.iv_size else 0))


def test_no_two_keys_have_one_number() -> None:
    key = Tek(5, Algorithm.HMAC_SHA256_128, bytes(32), 0, 60)
    with pytest.raises(PayloadError, match="one number"):
        decode(encode(Keys("g", 1, (key, key._replace(secret=bytes(33)))))[4:])


@pytest.mark.parametrize(
    ("octets", "cause"),
    [
        (b"", "short"),
        (b"\x07", "unknown"),
        (b"\x01", "short"),
        (encode(Pull("g"))[4:] + b"\x00", "malformed"),
        (encode(Pull("g"))[4:-1], "short"),
        (encode(Keys("g", 1, (Tek(1, Algorithm.AES_GMAC_64, bytes(16), 0, FOREVER),)))[4:-16], "short"),
        (bytes(70_000), "oversized"),
    ],
)
def test_what_is_wrong_has_a_cause(octets: bytes, cause: str) -> None:
    with pytest.raises(PayloadError) as caught:
        decode(octets)
    assert caught.value.cause == cause

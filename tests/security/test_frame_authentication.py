"""HMAC-SHA256 against the vectors of RFC 4231, and the key's manners."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.security.frames import HMACS, Algorithm, Key

RFC_4231 = [
    (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    (b"\xaa" * 20, b"\xdd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
    (bytes(range(1, 26)), b"\xcd" * 50, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
    (b"\x0c" * 20, b"Test With Truncation", "a3b6167473100ee06e0c796c2955552b"),
    (
        b"\xaa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
]


@pytest.mark.parametrize(("secret", "text", "expected"), RFC_4231)
def test_rfc_4231(secret: bytes, text: bytes, expected: str) -> None:
    for algorithm in HMACS:
        mac = Key(1, algorithm, secret).mac(text)
        assert len(mac) == algorithm.size
        size = min(len(mac), len(expected) // 2)
        assert mac[:size].hex() == expected[: 2 * size]


@given(st.binary(max_size=200), st.binary(max_size=400))
def test_equal_to_the_standard_library(secret: bytes, text: bytes) -> None:
    key = Key(1, Algorithm.HMAC_SHA256_256, secret)
    assert key.mac(text) == hmac.digest(secret, text, hashlib.sha256)
    assert key.mac(memoryview(text)) == key.mac(text)


def test_only_the_whole_right_mac_verifies() -> None:
    key = Key(1, Algorithm.HMAC_SHA256_128, bytes(32))
    mac = key.mac(b"frame")
    assert key.verifies(b"frame", mac)
    assert not key.verifies(b"Frame", mac)
    for wrong in (b"", mac[:10], mac + b"\0", bytes(16)):
        assert not key.verifies(b"frame", wrong)


def test_the_secret_is_not_printed() -> None:
    secret = b"very secret octets of this group"
    for text in (repr(Key(1, Algorithm.HMAC_SHA256_128, secret)), str(Key(1, Algorithm.HMAC_SHA256_128, secret))):
        assert "secret" not in text

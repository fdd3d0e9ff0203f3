"""AES-GCM and AES-GMAC against the public vectors, and what the keys refuse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.security.aead import CipherKey
from agent.security.frames import Algorithm, FrameError, Key, make_key

ZERO = "00" * 16
KEY_128 = "feffe9928665731c6d6a8f9467308308"
IV = "cafebabefacedbaddecaf888"
PLAIN = (
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525"
    "b16aedf5aa0de657ba637b39"
)
HEAD = "feedfacedeadbeeffeedfacedeadbeefabaddad2"
GCM = [  # McGrew and Viega, The Galois/Counter Mode of Operation, test cases 2, 4, 14, 16 (NIST takes the same)
    (ZERO, "00" * 12, ZERO, "", "0388dace60b6a392f328c2b971b2fe78", "ab6e47d42cec13bdf53a67b21257bddf"),
    (
        KEY_128, IV, PLAIN, HEAD,
        "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa05"
        "1ba30b396a0aac973d58e091",
        "5bc94fbc3221a5db94fae95ae7121a47",
    ),
    (2 * ZERO, "00" * 12, ZERO, "", "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"),
    (
        2 * KEY_128, IV, PLAIN, HEAD,
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838"
        "c5f61e6393ba7a0abcc9f662",
        "76fc6ece0f4e1768cddf8853bb2d551b",
    ),
]  # fmt: skip
GMAC = [
    # McGrew and Viega, cases 1 and 13
    (ZERO, "00" * 12, "", "58e2fccefa7e3061367f1d57a4e7455a"),
    (2 * ZERO, "00" * 12, "", "530f8afbc74536b9a963b4f1c4cb738b"),
    # NIST CAVP, gcmEncryptExtIV128: PTlen 0, AADlen 128, count 0
    (
        "77be63708971c4e240d1cb79e8d77feb", "e0e00f19fed7ba0136a797f3", "7a43ec1d9c0a5a78a0b16533a6213cab",
        "209fcc8d3675ed938e9c7166709dd946",
    ),
    # IEEE 802.1AE, annex C: the packet of 54 octets, integrity only, AES-128
    (
        "ad7a2bd03eac835a6f620fdcb506b345", "12153524c0895e81b2c28465",
        "d609b1f056637a0d46df998d88e5222ab2c2846512153524c0895e8108000f101112131415161718191a1b1c1d1e1f20"
        "2122232425262728292a2b2c2d2e2f30313233340001",
        "f09478a9b09007d06f46e9b6a1da25dd",
    ),
]  # fmt: skip
OF_SIZE = {16: Algorithm.AES_128_GCM, 32: Algorithm.AES_256_GCM}


@pytest.mark.parametrize(("secret", "iv", "plain", "head", "cipher", "tag"), GCM)
def test_gcm_vectors(secret: str, iv: str, plain: str, head: str, cipher: str, tag: str) -> None:
    octets = bytes.fromhex(secret)
    key = make_key(1, OF_SIZE[len(octets)], octets)
    sealed = key.encrypt(bytes.fromhex(iv), bytes.fromhex(head), bytes.fromhex(plain))
    assert sealed.hex() == cipher + tag
    opened = key.decrypt(bytes.fromhex(iv), bytes.fromhex(head), sealed[:-16], sealed[-16:])
    assert opened == bytes.fromhex(plain)


@pytest.mark.parametrize(("secret", "iv", "domain", "tag"), GMAC)
def test_gmac_vectors(secret: str, iv: str, domain: str, tag: str) -> None:
    for algorithm in (Algorithm.AES_GMAC_64, Algorithm.AES_GMAC_128):
        key = make_key(1, algorithm, bytes.fromhex(secret))
        mac = key.mac(bytes.fromhex(domain), bytes.fromhex(iv))
        assert mac.hex() == tag[: 2 * algorithm.size]
        assert key.verifies(bytes.fromhex(domain), mac, bytes.fromhex(iv))


GMAC_KEYS = [make_key(1, a, bytes(range(n))) for a in (Algorithm.AES_GMAC_64, Algorithm.AES_GMAC_128) for n in (16, 32)]


@given(st.sampled_from(GMAC_KEYS), st.binary(min_size=12, max_size=12), st.binary(max_size=100), st.data())
def test_any_other_domain_iv_or_tag_is_refused(key: Key, iv: bytes, domain: bytes, data: st.DataObject) -> None:
    mac = key.mac(domain, iv)
    assert key.verifies(memoryview(domain), memoryview(mac), iv)
    whole = bytearray(iv + mac + domain)
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    whole[bit // 8] ^= 1 << bit % 8
    cut = 12 + len(mac)
    assert not key.verifies(bytes(whole[cut:]), bytes(whole[12:cut]), bytes(whole[:12]))


def test_lengths_are_part_of_it() -> None:
    """A tag cut short is shorter work for a forger: GMAC-128's first half is not GMAC-64's tag."""
    iv = bytes(12)
    long, short = (make_key(1, a, bytes(16)) for a in (Algorithm.AES_GMAC_128, Algorithm.AES_GMAC_64))
    mac = long.mac(b"frame", iv)
    assert short.verifies(b"frame", mac[:8], iv)
    for wrong in (b"", mac[:8], mac[:15], mac + b"\0"):
        assert not long.verifies(b"frame", wrong, iv)
    for wrong in (b"", bytes(11), bytes(16)):
        assert not long.verifies(b"frame", mac, wrong)


def test_a_key_is_for_one_algorithm() -> None:
    iv, secret = bytes(12), bytes(range(16))
    gmac, gcm = make_key(1, Algorithm.AES_GMAC_128, secret), make_key(1, Algorithm.AES_128_GCM, secret)
    hmac = make_key(1, Algorithm.HMAC_SHA256_128, 2 * secret)
    empty = gcm.encrypt(iv, b"frame", b"")
    assert gmac.verifies(b"frame", empty, iv), "the same computation"
    assert not gcm.verifies(b"frame", empty, iv)
    assert gmac.decrypt(iv, b"frame", b"", empty) is None
    assert hmac.decrypt(iv, b"frame", b"", empty) is None
    assert not hmac.verifies(b"frame", hmac.mac(b"frame"), iv), "an HMAC does not come with an IV"
    for attempt in (lambda: gcm.mac(b"frame", iv), lambda: gmac.mac(b"frame"), lambda: gmac.encrypt(iv, b"", b"")):
        with pytest.raises(FrameError):
            attempt()
    with pytest.raises(FrameError):
        hmac.encrypt(iv, b"", b"")


def test_decrypting_again_and_in_between() -> None:
    """The last payload is kept for the other subscribers; what is not authentic is never taken from there."""
    key = make_key(1, Algorithm.AES_256_GCM, bytes(32))
    first, second = (key.encrypt(bytes(11) + bytes((n,)), b"head", b"payload %d" % n) for n in (1, 2))
    for _ in range(2):
        assert key.decrypt(bytes(11) + b"\1", b"head", first[:-16], first[-16:]) == b"payload 1"
        assert key.decrypt(bytes(11) + b"\1", b"Head", first[:-16], first[-16:]) is None
        assert key.decrypt(bytes(11) + b"\1", b"head", first[:-16], second[-16:]) is None
        assert key.decrypt(bytes(11) + b"\1", b"head", first[:-16], first[-16:-1]) is None
        assert key.decrypt(bytes(11) + b"\2", b"head", second[:-16], second[-16:]) == b"payload 2"
        assert key.decrypt(bytes(11) + b"\1", b"head", second[:-16], second[-16:]) is None


def test_wrong_secrets_and_kinds_are_refused() -> None:
    for algorithm, size in ((Algorithm.AES_GMAC_64, 24), (Algorithm.AES_128_GCM, 32), (Algorithm.AES_256_GCM, 16)):
        with pytest.raises(ValueError, match="octets"):
            make_key(1, algorithm, bytes(size))
    with pytest.raises(ValueError, match="no HMAC"):
        Key(1, Algorithm.AES_GMAC_64, bytes(32))
    with pytest.raises(ValueError, match="hmac"):
        CipherKey(1, Algorithm.HMAC_SHA256_80, bytes(32))


def test_the_secret_is_not_printed() -> None:
    assert "secret" not in repr(make_key(1, Algorithm.AES_GMAC_128, b"a secret of 16 o"))

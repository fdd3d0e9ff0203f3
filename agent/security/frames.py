"""Authentication of GOOSE and Sampled Values frames (IEC 62351-6): HMAC-SHA256 (RFC 2104) and AES-GMAC, truncated.

Layer 2: the octets of the normative extension are not public. What is sent is a named :class:`Profile`; the default
``trailing`` is what tshark decodes without loss of the PDU. After the APDU, inside Length::

    85 L  version=1  TimeOfCurrentKey(4)  TimeToNextKey(2)  [IV(12): GMAC]  KeyID(4)  MAC(10 | 16 | 32, GMAC 8 | 16)

L tells the algorithm's kind: no two of them have the same. MAC domain: EtherType to the end of the APDU, as sent
(APPID, Length with the extension, Reserved), all profiles.
Sessions (IEC 61850-8-1 ed. 2.1): first session octet to the end of the payload; see ``agent.goose.session``.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Container
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

EXTENSION_HEADER = 11
BLOCK = 64
IV_SIZE = 12
_HASHED = range(32, 65)


class Algorithm(Enum):
    """Name in key files, MAC octets on the wire, numbers in the v1 session header (signature, encryption), octets of
    the secret (16: AES-128, 32: AES-256)."""

    HMAC_SHA256_80 = ("hmac-sha256-80", 10, 1, 0, _HASHED)
    HMAC_SHA256_128 = ("hmac-sha256-128", 16, 2, 0, _HASHED)
    HMAC_SHA256_256 = ("hmac-sha256-256", 32, 3, 0, _HASHED)
    AES_GMAC_64 = ("aes-gmac-64", 8, 4, 0, (16, 32))
    AES_GMAC_128 = ("aes-gmac-128", 16, 5, 0, (16, 32))
    AES_128_GCM = ("aes-128-gcm", 16, 0, 1, (16,))
    AES_256_GCM = ("aes-256-gcm", 16, 0, 2, (32,))

    def __init__(self, text: str, size: int, number: int, encryption: int, secrets: Container[int]) -> None:
        self.text = text
        self.size = size
        self.number = number
        self.encryption = encryption
        self.secrets = secrets
        self.encrypts = encryption != 0
        """Of a session the payload; Ethernet frames are never encrypted."""
        self.iv_size = 0 if text.startswith("hmac") else IV_SIZE

    @property
    def secret_text(self) -> str:
        """What a secret must measure, for people."""
        return "32 to 64" if self.iv_size == 0 else " or ".join(str(n) for n in (16, 32) if n in self.secrets)


ALGORITHMS = {algorithm.text: algorithm for algorithm in Algorithm}
"""By the name in key files."""
HMACS = tuple(algorithm for algorithm in Algorithm if algorithm.iv_size == 0)
"""Those that need no IV. Simulated merging units and ``flisr sv publish`` sign by one of them."""


class FrameError(ValueError):
    """The extension is not of the expected form. ``cause`` is a short word for counters."""

    def __init__(self, message: str, cause: str = "malformed") -> None:
        super().__init__(message)
        self.cause = cause


class Key:
    """A group key for HMAC, prepared: its two SHA-256 states are kept, the secret is not printed.

    Keys for AES are :class:`agent.security.aead.CipherKey`; :func:`make_key` makes either. ``valid_from_us`` None:
    always was, ``valid_until_us`` None: no end (µs UTC); who minds them is :class:`agent.security.ring.KeyGroup`.
    """

    __slots__ = (
        "_inner",
        "_outer",
        "algorithm",
        "group",
        "identifier",
        "secret",
        "time_of_current_s",
        "time_to_next_min",
        "valid_from_us",
        "valid_until_us",
    )

    def __init__(
        self,
        identifier: int,
        algorithm: Algorithm,
        secret: bytes,
        group: str = "",
        time_of_current_s: int = 0,
        time_to_next_min: int = 0,
        *,
        valid_from_us: int | None = None,
        valid_until_us: int | None = None,
    ) -> None:
        self.identifier = identifier
        self.algorithm = algorithm
        self.secret = secret
        self.group = group
        self.time_of_current_s = time_of_current_s or (valid_from_us or 0) // 1_000_000
        self.time_to_next_min = time_to_next_min
        self.valid_from_us = valid_from_us
        self.valid_until_us = valid_until_us
        self._prepare(secret)

    def _prepare(self, secret: bytes) -> None:
        if self.algorithm.iv_size:
            raise ValueError(f"{self.algorithm.text} is no HMAC")
        block = (hashlib.sha256(secret).digest() if len(secret) > BLOCK else secret).ljust(BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(octet ^ 0x36 for octet in block))
        self._outer = hashlib.sha256(bytes(octet ^ 0x5C for octet in block))

    def __repr__(self) -> str:
        return f"Key({self.identifier}, {self.algorithm.text}, group={self.group!r})"

    def mac(self, domain: bytes | memoryview, iv: bytes = b"") -> bytes:
        """The truncated MAC. HMAC has no use for an IV."""
        del iv
        inner = self._inner.copy()
        inner.update(domain)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()[: self.algorithm.size]

    def verifies(self, domain: bytes | memoryview, mac: bytes | memoryview, iv: bytes = b"") -> bool:
        """Compared in constant time; a MAC of another length, or one that came with an IV, never passes."""
        return not iv and hmac.compare_digest(self.mac(domain), bytes(mac))

    def encrypt(self, iv: bytes, head: bytes, payload: bytes) -> bytes:
        """Ciphertext and tag; keys of algorithms that do not encrypt raise FrameError."""
        raise FrameError(f"{self.algorithm.text} does not encrypt", "unencodable")

    def decrypt(self, iv: bytes, head: bytes, payload: bytes, mac: bytes) -> bytes | None:
        """The payload; None: not authentic, or not encrypted by such a key."""
        return None


def make_key(
    identifier: int,
    algorithm: Algorithm,
    secret: bytes,
    group: str = "",
    *,
    valid_from_us: int | None = None,
    valid_until_us: int | None = None,
) -> Key:
    """A key of any algorithm. What AES needs is loaded only where it is used: it has a price in memory."""
    kind = Key
    if algorithm.iv_size:
        from agent.security.aead import CipherKey

        kind = CipherKey
    return kind(identifier, algorithm, secret, group, valid_from_us=valid_from_us, valid_until_us=valid_until_us)


@dataclass(frozen=True, slots=True)
class Profile:
    """How the layer-2 extension is framed."""

    name: str
    wrapped: bool = False
    """A SEQUENCE (0x30) around the 0x85 element."""
    inside_length: bool = True
    """The frame's Length counts the extension."""
    length_in_reserved2: bool = False
    """Reserved2 holds the extension's length."""


TRAILING = Profile("trailing")
WRAPPED = Profile("wrapped", wrapped=True)
RESERVED = Profile("reserved-length", wrapped=True, length_in_reserved2=True)
OUTSIDE = Profile("outside", inside_length=False)
PROFILES = {profile.name: profile for profile in (TRAILING, WRAPPED, RESERVED, OUTSIDE)}


class Extension(NamedTuple):
    """A parsed extension."""

    time_of_current_s: int
    time_to_next_min: int
    key: int
    mac: bytes
    iv: bytes = b""
    """Empty for HMAC."""


_IV_SIZES = {
    EXTENSION_HEADER + algorithm.iv_size + algorithm.size: algorithm.iv_size
    for algorithm in Algorithm
    if not algorithm.encrypts
}
"""Octets of the IV by those of the element's value: 21, 27, 43 HMAC; 31, 39 GMAC."""


def extension_size(key: Key, profile: Profile = TRAILING) -> int:
    """Octets that an extension of this key has."""
    algorithm = key.algorithm
    return EXTENSION_HEADER + algorithm.iv_size + algorithm.size + (4 if profile.wrapped else 2)


def extension_head(key: Key, profile: Profile = TRAILING, time_to_next_min: int | None = None) -> bytes:
    """Everything of the extension before the MAC, for GMAC without the IV: that goes before the last four octets."""
    size = EXTENSION_HEADER + key.algorithm.iv_size + key.algorithm.size
    minutes = key.time_to_next_min if time_to_next_min is None else time_to_next_min
    head = bytes((0x85, size, 1)) + key.time_of_current_s.to_bytes(4, "big") + minutes.to_bytes(2, "big")
    head += key.identifier.to_bytes(4, "big")
    return bytes((0x30, size + 2)) + head if profile.wrapped else head


def parse_extension(octets: bytes, profile: Profile = TRAILING) -> Extension:
    """The extension that follows the APDU; FrameError if there is none or it is not of this profile."""
    if not octets:
        raise FrameError("no authentication", "unauthenticated")
    at = 0
    if profile.wrapped:
        if len(octets) < 4 or octets[0] != 0x30 or octets[1] != len(octets) - 2:
            raise FrameError("extension not wrapped as expected")
        at = 2
    size = len(octets) - at - 2
    iv_size = _IV_SIZES.get(size)
    if iv_size is None or octets[at] != 0x85 or octets[at + 1] != size:
        raise FrameError("extension of an unknown form")
    at += 2
    if octets[at] != 1:
        raise FrameError(f"extension version {octets[at]}")
    number = int.from_bytes
    identifier = at + 7 + iv_size
    return Extension(
        number(octets[at + 1 : at + 5], "big"),
        number(octets[at + 5 : at + 7], "big"),
        number(octets[identifier : identifier + 4], "big"),
        octets[identifier + 4 :],
        octets[at + 7 : identifier],
    )

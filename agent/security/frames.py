"""Authentication of GOOSE and Sampled Values frames (IEC 62351-6) by HMAC-SHA256 (RFC 2104, truncated).

Layer 2: the octets of the normative extension are not public. What is sent is a named :class:`Profile`; the default
``trailing`` is what tshark decodes without loss of the PDU. After the APDU, inside Length::

    85 L  version=1  TimeOfCurrentKey(4)  TimeToNextKey(2)  KeyID(4)  MAC(10 | 16 | 32)

MAC domain: EtherType to the end of the APDU, as sent (APPID, Length with the extension, Reserved), all profiles.
Sessions (IEC 61850-8-1 ed. 2.1): first session octet to the end of the payload; see ``agent.goose.session``.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

EXTENSION_HEADER = 11
BLOCK = 64


class Algorithm(Enum):
    """Name in key files, MAC octets on the wire, number in the v1 session header."""

    HMAC_SHA256_80 = ("hmac-sha256-80", 10, 1)
    HMAC_SHA256_128 = ("hmac-sha256-128", 16, 2)
    HMAC_SHA256_256 = ("hmac-sha256-256", 32, 3)

    def __init__(self, text: str, size: int, number: int) -> None:
        self.text = text
        self.size = size
        self.number = number


class FrameError(ValueError):
    """The extension is not of the expected form. ``cause`` is a short word for counters."""

    def __init__(self, message: str, cause: str = "malformed") -> None:
        super().__init__(message)
        self.cause = cause


class Key:
    """A group key, prepared: the two SHA-256 states of HMAC are kept, the secret is not printed."""

    __slots__ = (
        "_inner",
        "_outer",
        "algorithm",
        "group",
        "identifier",
        "secret",
        "time_of_current_s",
        "time_to_next_min",
    )

    def __init__(
        self,
        identifier: int,
        algorithm: Algorithm,
        secret: bytes,
        group: str = "",
        time_of_current_s: int = 0,
        time_to_next_min: int = 0,
    ) -> None:
        self.identifier = identifier
        self.algorithm = algorithm
        self.secret = secret
        self.group = group
        self.time_of_current_s = time_of_current_s
        self.time_to_next_min = time_to_next_min
        block = (hashlib.sha256(secret).digest() if len(secret) > BLOCK else secret).ljust(BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(octet ^ 0x36 for octet in block))
        self._outer = hashlib.sha256(bytes(octet ^ 0x5C for octet in block))

    def __repr__(self) -> str:
        return f"Key({self.identifier}, {self.algorithm.text}, group={self.group!r})"

    def mac(self, domain: bytes | memoryview) -> bytes:
        """The truncated MAC."""
        inner = self._inner.copy()
        inner.update(domain)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()[: self.algorithm.size]

    def verifies(self, domain: bytes | memoryview, mac: bytes | memoryview) -> bool:
        """Compared in constant time; a MAC of another length never passes."""
        return hmac.compare_digest(self.mac(domain), bytes(mac))


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


def extension_size(key: Key, profile: Profile = TRAILING) -> int:
    """Octets that :func:`extension` will add."""
    return EXTENSION_HEADER + key.algorithm.size + (4 if profile.wrapped else 2)


def extension_head(key: Key, profile: Profile = TRAILING) -> bytes:
    """Everything of the extension before the MAC; constant for a key."""
    size = EXTENSION_HEADER + key.algorithm.size
    head = bytes((0x85, size, 1)) + key.time_of_current_s.to_bytes(4, "big") + key.time_to_next_min.to_bytes(2, "big")
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
    if size < EXTENSION_HEADER + 10 or size >= 0x80 or octets[at] != 0x85 or octets[at + 1] != size:
        raise FrameError("extension of an unknown form")
    at += 2
    if octets[at] != 1:
        raise FrameError(f"extension version {octets[at]}")
    number = int.from_bytes
    return Extension(
        number(octets[at + 1 : at + 5], "big"),
        number(octets[at + 5 : at + 7], "big"),
        number(octets[at + 7 : at + 11], "big"),
        octets[at + 11 :],
    )

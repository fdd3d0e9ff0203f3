"""What a group key server and a member say to each other: the payloads of GDOI (RFC 6407) for IEC 62351 (RFC 8052).

GDOI itself runs over ISAKMP, whose phase 1 authenticates both ends. Here both ends are authenticated by TLS with
certificates, and the payloads travel in frames of our own; the exchanges are those of GDOI:

==============  ======  ===========================================  ======================================
frame           from    payloads                                     stands for
==============  ======  ===========================================  ======================================
PULL            member  ID                                           GROUPKEY-PULL, first message
KEYS            server  SEQ, ID, per key SA TEK and KD               GROUPKEY-PULL answer, GROUPKEY-PUSH
REFUSED         server  ID, N (text)                                 notification
==============  ======  ===========================================  ======================================

``length 4 | frame 1 | payloads``; a payload is ``next 1 | 0 1 | length 2 | body`` as in ISAKMP. Bodies:

* ID: ``ID_OID 1 | 0 3 | OID length 1 | OID | length 2 | name of the group``
* SA TEK: ``GDOI_PROTO_IEC_61850 1 | OID length 1 | OID | length 2 | name | SPI 4 | auth alg 2 | enc alg 2 |
  remaining lifetime 4 (s, 0: no end) | SA_ATD: 00 01, 00 04, activation delay 4 (s)``
* KD: ``number 2 | 0 2 | TEK 1 | 0 1 | length 2 | SPI size 1 | SPI 4 | attribute: type 2, length 2, secret``
* SEQ: ``sequence number 4``; N: ``text``

Our groups have names, not the address of a stream: the OID (whole, as DER) is one made from a UUID (2.25.…), which
nobody assigns. HMAC-SHA256-80 and AES-GMAC-64 have no number in RFC 8052; they use numbers of its private range.
Behind an AES key stand four octets of salt, as RFC 8052 has them: zeros, for our IVs are whole and need none.
Times are relative, as in GDOI: both clocks need not agree, and a second's error is covered by the keys' grace.
"""

from __future__ import annotations

import struct
import uuid
from enum import IntEnum
from typing import NamedTuple

from agent.security.frames import Algorithm

FRAME_MAX = 1 << 16
NAME_MAX = 64
KEYS_MAX = 64
TEXT_MAX = 200
FOREVER = 0
"""Remaining life time of a key without an end."""
REMAINING_MAX = 0xFFFFFFFF
SALT = 4
_HEADER = struct.Struct(">BBH")
_ID, _SA_TEK, _KD, _SEQ, _NOTIFY = 5, 16, 17, 18, 11
_ID_OID = 13
_PROTO_IEC_61850 = 3
_TEK = 1
_INTEGRITY_KEY, _ALGORITHM_KEY = 2, 1
_ATD = 1
_PRIVATE = 61_440
_NONE = 1
_NUMBERS: dict[tuple[Algorithm, int], tuple[int, int]] = {
    (Algorithm.AES_GMAC_128, 16): (4, _NONE),
    (Algorithm.AES_GMAC_128, 32): (5, _NONE),
    (Algorithm.AES_GMAC_64, 16): (_PRIVATE + 1, _NONE),
    (Algorithm.AES_GMAC_64, 32): (_PRIVATE + 2, _NONE),
    (Algorithm.AES_128_GCM, 16): (_NONE, 4),
    (Algorithm.AES_256_GCM, 32): (_NONE, 5),
}
"""Authentication and encryption by algorithm and octets of the secret: the numbers of AES tell the key's size …"""
_HMAC_NUMBERS = {
    Algorithm.HMAC_SHA256_128: (2, _NONE),
    Algorithm.HMAC_SHA256_256: (3, _NONE),
    Algorithm.HMAC_SHA256_80: (_PRIVATE, _NONE),
}
"""… and those of HMAC the octets that travel."""
_ALGORITHMS: dict[tuple[int, int], tuple[Algorithm, range]] = {
    **{numbers: (algorithm, range(size, size + 1)) for (algorithm, size), numbers in _NUMBERS.items()},
    **{numbers: (algorithm, range(32, 65)) for algorithm, numbers in _HMAC_NUMBERS.items()},
}
"""Algorithm, and how many octets a secret of it has, by their numbers."""


def _oid() -> bytes:
    """DER of 2.25.n, n made from the project's name."""
    number, octets = uuid.uuid5(uuid.NAMESPACE_DNS, "groups.flisr.invalid").int, bytearray()
    while number or not octets:
        octets.insert(0, number & 0x7F | (0x80 if octets else 0))
        number >>= 7
    return bytes((6, 1 + len(octets), 2 * 40 + 25, *octets))


OID = _oid()


class FrameKind(IntEnum):
    """See the table of the module."""

    PULL = 1
    KEYS = 2
    REFUSED = 3


class PayloadError(ValueError):
    """What came is none of these payloads; ``cause`` is a short word for counters."""

    def __init__(self, message: str, cause: str = "malformed") -> None:
        super().__init__(message)
        self.cause = cause


class Tek(NamedTuple):
    """One key, with its times from now on."""

    identifier: int
    """SPI of the policy, KeyID of frames."""
    algorithm: Algorithm
    secret: bytes
    delay_s: int
    """Until it becomes the current one; 0: it is, or was."""
    remaining_s: int
    """Until its time is over; :data:`FOREVER`: no end."""


class Pull(NamedTuple):
    """A member asks for its group's keys."""

    group: str


class Keys(NamedTuple):
    """All keys of a group that may be needed now, the oldest first."""

    group: str
    sequence: int
    """Of this server: grows with every change of the group. (GDOI tells replays by it; TLS has none.)"""
    keys: tuple[Tek, ...]


class Refused(NamedTuple):
    """Not for this member; the text is for its log."""

    group: str
    why: str


Message = Pull | Keys | Refused


# --- writing ---------------------------------------------------------------------------------------------------------


def encode(message: Message) -> bytes:
    """The frame, its length in front; PayloadError if it would be too long."""
    match message:
        case Pull(group):
            kind, parts = FrameKind.PULL, [(_ID, _identification(group))]
        case Refused(group, why):
            text = why[:TEXT_MAX].encode()
            kind, parts = FrameKind.REFUSED, [(_ID, _identification(group)), (_NOTIFY, text)]
        case Keys(group, sequence, keys):
            kind = FrameKind.KEYS
            parts = [(_SEQ, struct.pack(">I", sequence)), (_ID, _identification(group))]
            for key in keys:
                parts += [(_SA_TEK, _sa_tek(group, key)), (_KD, _kd(key))]
    octets = bytes((kind,))
    for (_, body), following in zip(parts, [*(number for number, _ in parts[1:]), 0], strict=True):
        octets += _HEADER.pack(following, 0, _HEADER.size + len(body)) + body
    if len(octets) > FRAME_MAX:
        raise PayloadError("too many keys for one frame", "oversized")
    return struct.pack(">I", len(octets)) + octets


def _identification(group: str) -> bytes:
    name = group.encode()
    return struct.pack(">B3xB", _ID_OID, len(OID)) + OID + struct.pack(">H", len(name)) + name


def _sa_tek(group: str, key: Tek) -> bytes:
    name = group.encode()
    numbers = _HMAC_NUMBERS.get(key.algorithm) or _NUMBERS[key.algorithm, len(key.secret)]
    head = struct.pack(">BB", _PROTO_IEC_61850, len(OID)) + OID + struct.pack(">H", len(name)) + name
    policy = struct.pack(">IHHI", key.identifier, *numbers, key.remaining_s)
    return head + policy + struct.pack(">HHI", _ATD, 4, key.delay_s)


def _kd(key: Tek) -> bytes:
    kind = _ALGORITHM_KEY if key.algorithm.encrypts else _INTEGRITY_KEY
    secret = key.secret + bytes(SALT if key.algorithm.iv_size else 0)
    attribute = struct.pack(">HH", kind, len(secret)) + secret
    packet = struct.pack(">BI", 4, key.identifier) + attribute
    return struct.pack(">H2xBBH", 1, _TEK, 0, 4 + len(packet)) + packet


# --- reading ---------------------------------------------------------------------------------------------------------


class _Reader:
    """Octets taken from the front; PayloadError where they end too early."""

    def __init__(self, octets: bytes) -> None:
        self._octets, self._at = octets, 0

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._octets):
            raise PayloadError("a payload ends too early", "short")
        octets, self._at = self._octets[self._at : end], end
        return octets

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def end(self) -> None:
        if self._at != len(self._octets):
            raise PayloadError("octets after a payload")


def decode(octets: bytes) -> Message:
    """A frame without its length in front; PayloadError, and no other exception, if it is none."""
    if len(octets) > FRAME_MAX:
        raise PayloadError("frame too long", "oversized")
    reader = _Reader(octets)
    kind = reader.number(1)
    if kind == FrameKind.PULL:
        bodies = _payloads(octets[1:], (_ID,))
        return Pull(_group(_Reader(bodies[0])))
    if kind == FrameKind.REFUSED:
        bodies = _payloads(octets[1:], (_ID, _NOTIFY))
        return Refused(_group(_Reader(bodies[0])), bodies[1].decode(errors="replace")[:TEXT_MAX])
    if kind == FrameKind.KEYS:
        bodies = _payloads(octets[1:], (_SEQ, _ID), (_SA_TEK, _KD))
        if len(bodies[0]) != 4:
            raise PayloadError("a sequence number has four octets")
        group = _group(_Reader(bodies[1]))
        keys = tuple(_key(group, policy, packet) for policy, packet in zip(bodies[2::2], bodies[3::2], strict=True))
        if len({key.identifier for key in keys}) != len(keys):
            raise PayloadError("two keys with one number")
        return Keys(group, int.from_bytes(bodies[0], "big"), keys)
    raise PayloadError(f"frame kind {kind}", "unknown")


def _payloads(octets: bytes, first: tuple[int, ...], pair: tuple[int, int] | None = None) -> list[bytes]:
    """Bodies of exactly these payloads in this order, then any number of pairs. The first one's kind is that of its
    place: only what follows is named."""
    reader, bodies = _Reader(octets), []
    expected = list(first)
    while expected:
        current = expected.pop(0)
        following, zero, length = _HEADER.unpack(reader.take(_HEADER.size))
        if zero or length < _HEADER.size:
            raise PayloadError("a payload's header is wrong")
        bodies.append(reader.take(length - _HEADER.size))
        if not expected and pair is not None and current != pair[0] and following == pair[0]:
            expected = list(pair)
            if len(bodies) > 2 * (KEYS_MAX + 1):
                raise PayloadError("too many keys", "oversized")
        if following != (expected[0] if expected else 0):
            raise PayloadError(f"payload {following} after {current}")
    reader.end()
    return bodies


def _text(octets: bytes, what: str) -> str:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise PayloadError(f"{what} is no UTF-8") from None


def _group(reader: _Reader, tek: bool = False) -> str:
    """Name of the group, of an ID body or the head of an SA TEK (then more follows)."""
    if reader.number(1) != (_PROTO_IEC_61850 if tek else _ID_OID):
        raise PayloadError("an identification of another kind", "unknown")
    if not tek and reader.number(3):
        raise PayloadError("an identification with data of its own", "unknown")
    if reader.take(reader.number(1)) != OID:
        raise PayloadError("an OID that we do not know", "unknown")
    size = reader.number(2)
    if not 1 <= size <= NAME_MAX:
        raise PayloadError("a group's name has 1 to 64 octets")
    name = _text(reader.take(size), "a group's name")
    if not tek:
        reader.end()
    return name


def _key(group: str, policy: bytes, packet: bytes) -> Tek:
    reader = _Reader(policy)
    if _group(reader, tek=True) != group:
        raise PayloadError("a key of another group")
    identifier, authentication, encryption, remaining = struct.unpack(">IHHI", reader.take(12))
    known = _ALGORITHMS.get((authentication, encryption))
    if known is None:
        raise PayloadError(f"algorithms {authentication} and {encryption}", "unknown")
    algorithm, sizes = known
    if reader.take(4) != struct.pack(">HH", _ATD, 4):
        raise PayloadError("an attribute that we do not know", "unknown")
    delay = reader.number(4)
    reader.end()
    if identifier == 0:
        raise PayloadError("a key without a number")
    secret = _secret(packet, identifier, algorithm)
    if len(secret) not in sizes:
        raise PayloadError(f"a secret of {len(secret)} octets for {algorithm.text}")
    return Tek(identifier, algorithm, secret, delay, remaining)


def _secret(packet: bytes, identifier: int, algorithm: Algorithm) -> bytes:
    reader = _Reader(packet)
    if struct.unpack(">HH", reader.take(4)) != (1, 0) or reader.number(1) != _TEK or reader.number(1):
        raise PayloadError("a key download of another kind", "unknown")
    if reader.number(2) != len(packet) - 4:
        raise PayloadError("a key packet's length is wrong")
    if reader.number(1) != 4 or reader.number(4) != identifier:
        raise PayloadError("policy and key have different numbers")
    if reader.number(2) != (_ALGORITHM_KEY if algorithm.encrypts else _INTEGRITY_KEY):
        raise PayloadError("a secret of another kind", "unknown")
    size = reader.number(2) - (SALT if algorithm.iv_size else 0)
    secret = reader.take(max(0, size))
    reader.take(SALT if algorithm.iv_size else 0)
    reader.end()
    return secret

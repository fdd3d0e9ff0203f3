"""The session of R-GOOSE and R-SV over UDP (IEC 61850-8-1 ed. 2.1, before that TR 61850-90-5), pure.

Version 2, as sent (all big-endian)::

    01 40 | SI LI | 80 LI | SPDU length 4 | SPDU number 4 | version 2 | TimeOfCurrentKey 4 | TimeToNextKey 2 | KeyID 4 |
    IV length 1 (0 or 12) | IV | payload length 4 | element: tag 1, simulation 1, APPID 2, APDU length 2, APDU |
    85 L MAC

SI is A1 for GOOSE, A2 for SV; the element's tag 81 or 82. Version 1 has the algorithms (encryption 1, signature 1)
before KeyID and no place for an IV: it goes before the MAC, inside the element 85 (this has no public source).

MAC domain: the first octet (01) to the end of the payload. With AES-GCM the payload (its elements) is encrypted; the
octets before it are authenticated with it, and the MAC is the tag of 16 octets. Version 2 does not say whether a
payload is encrypted: the key that KeyID names does.

Implementations disagree on lengths: written is what tshark decodes (:class:`SessionProfile` names the rest), read is
what all of them send.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from agent.goose.codec import CodecError, element
from agent.goose.signing import Pattern, Signer
from agent.security.frames import IV_SIZE, FrameError, Key
from agent.security.iv import Ivs
from agent.security.ring import KeyGroup

GOOSE, SV = 0x81, 0x82
DATAGRAM_MAX = 65_000
_V1 = struct.Struct(">BBBBBBIIHIHBBII")
_V2 = struct.Struct(">BBBBBBIIHIHIBI")
_V2_IV = struct.Struct(f">BBBBBBIIHIHIB{IV_SIZE}sI")
_ELEMENT = struct.Struct(">BBHH")
NUMBER_AT = 10
"""Where the SPDU number is."""
_BARE = (8, 10, 16, 32, IV_SIZE + 8, IV_SIZE + 16)
"""Octets after 0x85 where there is no length."""
_SIGNATURES_WITH_IV = (4, 5)


@dataclass(frozen=True, slots=True)
class SessionProfile:
    """What is written where implementations disagree."""

    name: str
    version: int = 2
    apdu_length_extra: int = 2
    """Added to the APDU's length in the element (libiec61850 and R-GoSV: 2; SISCO: 0)."""
    mac_length: bool = True
    """A length octet after 0x85 (SISCO: none)."""


DEFAULT = SessionProfile("ed2.1")
TR_90_5 = SessionProfile("tr-90-5", version=1)
SISCO = SessionProfile("sisco", version=1, apdu_length_extra=0, mac_length=False)
PROFILES = {profile.name: profile for profile in (DEFAULT, TR_90_5, SISCO)}


class Datagram(NamedTuple):
    """A session datagram taken apart. ``mac`` is empty where there is none; ``domain`` is what it covers."""

    version: int
    number: int
    """SPDU number."""
    key: int
    tag: int
    """0x81 GOOSE, 0x82 SV."""
    simulation: bool
    appid: int
    apdu: bytes
    mac: bytes
    domain: bytes
    iv: bytes = b""
    opened: bool = False
    """It was encrypted, and is authentic."""


def parse(octets: bytes, tag: int = GOOSE, keys: Callable[[int], Key | None] | None = None) -> Datagram:
    """Take a datagram apart as far as the outer length of the first payload element; CodecError if it is not one.

    ``keys``: key by KeyID; with it, an encrypted payload is decrypted, and FrameError says that it is not authentic.
    Whatever is not encrypted is the caller's to verify.
    """
    size = len(octets)
    if size > DATAGRAM_MAX:
        raise CodecError("datagram too long", "oversized")
    if size < 42:
        raise CodecError("datagram too short", "short")
    if octets[0] != 1 or octets[1] != 0x40 or octets[4] != 0x80:
        raise CodecError("not a session datagram", "foreign")
    if octets[2] != 0xA0 | (tag & 0x0F):
        raise CodecError(f"session identifier {octets[2]:#04x}", "foreign")
    version = octets[14] << 8 | octets[15]
    iv = b""
    if version == 2:
        key, at, encryption = int.from_bytes(octets[22:26], "big"), 27, 0
        secured = octets[26] != 0
        if secured:
            if octets[26] != IV_SIZE:
                raise CodecError(f"IV of {octets[26]} octets")
            at += IV_SIZE
            iv = octets[27:at]
    elif version == 1:
        key, at, encryption = int.from_bytes(octets[24:28], "big"), 28, octets[22]
        secured = encryption != 0 or octets[23] in _SIGNATURES_WITH_IV
    else:
        raise CodecError(f"session version {version}")
    start = at + 4
    end = start + int.from_bytes(octets[at:start], "big")
    if end > size or end - start < 8:
        raise CodecError("payload length does not fit the datagram")
    number = int.from_bytes(octets[10:14], "big")
    mac = _mac(octets, end)
    if secured:
        if version == 1:
            iv, mac = mac[:IV_SIZE], mac[IV_SIZE:]
        found = None if keys is None else keys(key)
        opened = _decrypt(octets, start, end, iv, mac, encryption, found)
        if opened is not None:
            simulated, appid, apdu = _element(opened, 0, len(opened), tag)
            return Datagram(version, number, key, tag, simulated, appid, apdu, mac, octets[:start], iv, True)
        try:
            simulated, appid, apdu = _element(octets, start, end, tag)
        except CodecError:
            if found is None:  # nothing else can tell
                raise CodecError("encrypted payload", "encrypted") from None
            raise
        return Datagram(version, number, key, tag, simulated, appid, apdu, mac, octets[:end], iv)
    simulated, appid, apdu = _element(octets, start, end, tag)
    return Datagram(version, number, key, tag, simulated, appid, apdu, mac, octets[:end])


def _decrypt(
    octets: bytes, start: int, end: int, iv: bytes, mac: bytes, encryption: int, key: Key | None
) -> bytes | None:
    """The payload in clear; None: it is so already, as far as one can know. ``encryption``: number of version 1."""
    if key is None:
        if encryption:
            raise CodecError("encrypted payload", "encrypted")
        return None
    if not key.algorithm.encrypts:
        if encryption:
            raise FrameError(f"encrypted, and key {key.identifier} does not", "encrypted")
        return None
    if encryption not in (0, key.algorithm.encryption):
        raise FrameError(f"encrypted with another algorithm than that of key {key.identifier}", "encrypted")
    opened = key.decrypt(iv, octets[:start], octets[start:end], mac)
    if opened is None:
        raise FrameError("wrong tag" if mac else "no tag", "bad-mac" if mac else "unauthenticated")
    return opened


def _element(octets: bytes, start: int, end: int, tag: int) -> tuple[bool, int, bytes]:
    """Simulation, APPID and APDU of the one payload element."""
    if end - start < 8:
        raise CodecError("payload too short")
    kind, simulation, appid, declared = _ELEMENT.unpack_from(octets, start)
    if kind != tag:
        raise CodecError(f"payload element {kind:#04x}", "foreign")
    begin = start + _ELEMENT.size
    stop = element(octets, begin, end)[2]
    if declared not in (stop - begin, stop - begin + 2):
        raise CodecError("the element's length does not fit its APDU")
    if stop != end and octets[stop] != 0xAF:
        raise CodecError("a second payload element", "several-elements")
    return simulation != 0, appid, octets[begin:stop]


def _mac(octets: bytes, at: int) -> bytes:
    """What follows 0x85, with or without a length octet."""
    rest = len(octets) - at
    if rest == 0:
        return b""
    if octets[at] != 0x85:
        raise CodecError("octets after the payload")
    if rest - 2 in _BARE and octets[at + 1] == rest - 2:
        return octets[at + 2 :]
    if rest - 1 in _BARE:
        return octets[at + 1 :]
    raise CodecError("the MAC's length is wrong")


class SessionEnvelope:
    """Everything around the APDU; :meth:`seal` numbers, adds the APDU and the MAC. ``number``: the last one sent.

    ``key`` and ``ivs`` as in :class:`agent.goose.frame.Envelope`.
    """

    def __init__(
        self,
        appid: int,
        tag: int = GOOSE,
        simulation: bool = False,
        key: Key | KeyGroup | None = None,
        profile: SessionProfile = DEFAULT,
        number: int = 0,
        ivs: Ivs | None = None,
    ) -> None:
        if not 0 <= appid <= 0xFFFF:
            raise CodecError(f"APPID {appid:#x} is no 16-bit number", "unencodable")
        self._appid, self._tag, self._simulation, self._profile = appid, tag, simulation, profile
        self.number = number
        self.signer = Signer(key, ivs)
        self._take()

    def rekey(self, key: Key | KeyGroup | None) -> None:
        """Other keys from the next datagram on."""
        self.signer.exchange(key)
        self._take()

    def _take(self) -> None:
        key = self._key = self.signer.key
        self._iv = key is not None and key.algorithm.iv_size != 0
        self._id = 0 if key is None else key.identifier
        self._times = (0, 0) if key is None else (key.time_of_current_s, self.signer.time_to_next_min)

    def turn(self, now: int) -> None:
        """To the key that holds at ``now``."""
        if self.signer.turn(now):
            self._take()

    def pattern(self, apdu: bytes, now: int) -> Pattern:
        """A sealed datagram, not sent, for others with an APDU of this length and the same key, which needs no IV."""
        number = self.number
        octets = self.seal(apdu, now)
        self.number = number
        header = _V1 if self._profile.version == 1 else _V2
        return Pattern(octets, header.size + _ELEMENT.size, 0, NUMBER_AT)

    def seal(self, apdu: bytes, now: int = 0) -> bytes:
        """The next datagram. ``now`` (µs UTC) chooses the key."""
        self.turn(now)
        if len(apdu) > DATAGRAM_MAX - 100:
            raise CodecError("APDU too long for a datagram", "oversized")
        iv = self.signer.iv() if self._iv else b""
        self.number = self.number + 1 & 0xFFFFFFFF
        key, profile = self._key, self._profile
        inner = _ELEMENT.pack(self._tag, self._simulation, self._appid, len(apdu) + profile.apdu_length_extra) + apdu
        head = self._header(len(inner), iv)
        if key is None:
            return head + inner
        if key.algorithm.encrypts:
            sealed = key.encrypt(iv, head, inner)
            inner, mac = sealed[: len(inner)], sealed[len(inner) :]
            domain = head + inner
        else:
            domain = head + inner
            mac = key.mac(domain, iv)
        if iv and profile.version == 1:
            mac = iv + mac
        return domain + (bytes((0x85, len(mac))) if profile.mac_length else b"\x85") + mac

    def _header(self, payload: int, iv: bytes) -> bytes:
        si = 0xA0 | self._tag & 0x0F
        time, following = self._times
        if self._profile.version == 1:
            encryption, signature = (
                (0, 0) if self._key is None else (self._key.algorithm.encryption, self._key.algorithm.number)
            )
            return _V1.pack(
                1, 0x40, si, 24, 0x80, 22, payload + 20, self.number, 1, time, following, encryption, signature,
                self._id, payload,
            )  # fmt: skip
        if iv:
            return _V2_IV.pack(
                1, 0x40, si, 23 + IV_SIZE, 0x80, 21 + IV_SIZE, payload + 20 + IV_SIZE, self.number, 2, time, following,
                self._id, IV_SIZE, iv, payload,
            )  # fmt: skip
        return _V2.pack(1, 0x40, si, 23, 0x80, 21, payload + 20, self.number, 2, time, following, self._id, 0, payload)

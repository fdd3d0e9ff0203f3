"""The session of R-GOOSE and R-SV over UDP (IEC 61850-8-1 ed. 2.1, before that TR 61850-90-5), pure.

Version 2, as sent (all big-endian)::

    01 40 | SI LI | 80 LI | SPDU length 4 | SPDU number 4 | version 2 | TimeOfCurrentKey 4 | TimeToNextKey 2 | KeyID 4 |
    IV length 1 (0) | payload length 4 | element: tag 1, simulation 1, APPID 2, APDU length 2, APDU | 85 L MAC

SI is A1 for GOOSE, A2 for SV; the element's tag 81 or 82. Version 1 has the algorithms (encryption 1, signature 1)
before KeyID instead of the IV length after it. MAC domain: the first octet (01) to the end of the payload.
Implementations disagree on lengths: written is what tshark decodes (:class:`SessionProfile` names the rest), read is
what all of them send.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

from agent.goose.codec import CodecError, element
from agent.security.frames import Key

GOOSE, SV = 0x81, 0x82
DATAGRAM_MAX = 65_000
_V1 = struct.Struct(">BBBBBBIIHIHBBII")
_V2 = struct.Struct(">BBBBBBIIHIHIBI")
_ELEMENT = struct.Struct(">BBHH")


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


def parse(octets: bytes, tag: int = GOOSE) -> Datagram:
    """Take a datagram apart as far as the outer length of the first payload element; CodecError if it is not one."""
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
    if version == 2:
        key, iv_size = int.from_bytes(octets[22:26], "big"), octets[26]
        encrypted, at = iv_size != 0, 27
    elif version == 1:
        key, encrypted, at = int.from_bytes(octets[24:28], "big"), octets[22] != 0, 28
    else:
        raise CodecError(f"session version {version}")
    if encrypted:
        raise CodecError("encrypted payload", "encrypted")
    start = at + 4
    payload_end = start + int.from_bytes(octets[at:start], "big")
    if payload_end > size or payload_end - start < 8:
        raise CodecError("payload length does not fit the datagram")
    kind, simulation, appid, declared = _ELEMENT.unpack_from(octets, start)
    if kind != tag:
        raise CodecError(f"payload element {kind:#04x}", "foreign")
    begin = start + _ELEMENT.size
    stop = element(octets, begin, payload_end)[2]
    if declared not in (stop - begin, stop - begin + 2):
        raise CodecError("the element's length does not fit its APDU")
    if stop != payload_end and octets[stop] != 0xAF:
        raise CodecError("a second payload element", "several-elements")
    number = int.from_bytes(octets[10:14], "big")
    mac = _mac(octets, payload_end)
    return Datagram(version, number, key, kind, simulation != 0, appid, octets[begin:stop], mac, octets[:payload_end])


def _mac(octets: bytes, at: int) -> bytes:
    """What follows 0x85, with or without a length octet."""
    rest = len(octets) - at
    if rest == 0:
        return b""
    if octets[at] != 0x85:
        raise CodecError("octets after the payload")
    if rest >= 2 and octets[at + 1] == rest - 2:
        return octets[at + 2 :]
    if rest - 1 in (10, 16, 32):
        return octets[at + 1 :]
    raise CodecError("the MAC's length is wrong")


class SessionEnvelope:
    """Everything around the APDU; :meth:`seal` numbers, adds the APDU and the MAC. ``number``: the last one sent."""

    def __init__(
        self,
        appid: int,
        tag: int = GOOSE,
        simulation: bool = False,
        key: Key | None = None,
        profile: SessionProfile = DEFAULT,
        number: int = 0,
    ) -> None:
        if not 0 <= appid <= 0xFFFF:
            raise CodecError(f"APPID {appid:#x} is no 16-bit number", "unencodable")
        self._appid, self._tag, self._simulation, self._key, self._profile = appid, tag, simulation, key, profile
        self.number = number

    def seal(self, apdu: bytes) -> bytes:
        """The next datagram."""
        if len(apdu) > DATAGRAM_MAX - 100:
            raise CodecError("APDU too long for a datagram", "oversized")
        self.number = self.number + 1 & 0xFFFFFFFF
        key, profile, tag = self._key, self._profile, self._tag
        payload = _ELEMENT.size + len(apdu)
        identifier = time = following = 0
        if key is not None:
            identifier, time, following = key.identifier, key.time_of_current_s, key.time_to_next_min
        inner = _ELEMENT.pack(tag, self._simulation, self._appid, len(apdu) + profile.apdu_length_extra)
        si = 0xA0 | tag & 0x0F
        if profile.version == 2:
            head = _V2.pack(
                1, 0x40, si, 23, 0x80, 21, payload + 20, self.number, 2, time, following, identifier, 0, payload
            )
        else:
            algorithm = 0 if key is None else key.algorithm.number
            head = _V1.pack(
                1,
                0x40,
                si,
                24,
                0x80,
                22,
                payload + 20,
                self.number,
                1,
                time,
                following,
                0,
                algorithm,
                identifier,
                payload,
            )
        domain = head + inner + apdu
        if key is None:
            return domain
        mac = key.mac(domain)
        return domain + (bytes((0x85, len(mac))) if profile.mac_length else b"\x85") + mac

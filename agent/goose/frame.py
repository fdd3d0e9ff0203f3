"""The Ethernet frame around GOOSE and Sampled Values (IEC 61850-8-1 annex C, 61850-9-2): built and taken apart, pure.

``destination 6  source 6  [8100 TCI 2]  EtherType 2  APPID 2  Length 2  Reserved1 2  Reserved2 2  APDU  [extension]``

Length counts from APPID to the end (with the extension, where the profile says so). Bit 0x8000 of Reserved1 is the
simulation bit. Receivers ignore octets after Length (Ethernet padding). The kernel may have taken the VLAN tag off.

What a redundant network adds (IEC 62439-3) is passed over: the tag of HSR (``892F``, path and size 2, sequence number
2) before the EtherType, the trailer of PRP (sequence number 2, LAN and size 2, ``88FB``) at the end. Neither is
authenticated; of the two frames that come, the subscriber drops the second as a duplicate.
"""

from __future__ import annotations

from typing import NamedTuple

from agent.goose.codec import CodecError, element
from agent.goose.signing import Pattern, Signer, keys_of
from agent.security.frames import TRAILING, Key, Profile, extension_head, extension_size
from agent.security.iv import Ivs
from agent.security.ring import KeyGroup

ETHERTYPE_GOOSE = 0x88B8
ETHERTYPE_SV = 0x88BA
SIMULATION = 0x8000
ETHERTYPE_HSR = 0x892F
PRP_SUFFIX = b"\x88\xfb"
PRP_LANS = (0xA, 0xB)
REDUNDANCY = 6
"""Octets of the HSR tag, and of the PRP trailer."""
FRAME_MAX = 1518
"""Without FCS: 14 + 4 (tag) + 1500; and :data:`REDUNDANCY` where there is."""
HEADER = 10
"""EtherType to Reserved2."""


class Frame(NamedTuple):
    """A frame taken apart. ``domain`` is what a MAC covers; ``extension`` what follows the APDU, empty if nothing."""

    destination: bytes
    source: bytes
    vlan: tuple[int, int] | None
    """(identifier, priority), where the tag is still there."""
    ethertype: int
    appid: int
    reserved1: int
    reserved2: int
    apdu: bytes
    extension: bytes
    domain: bytes

    @property
    def simulation(self) -> bool:
        """The S bit of Reserved1."""
        return bool(self.reserved1 & SIMULATION)


def parse(octets: bytes, ethertype: int = ETHERTYPE_GOOSE, profile: Profile = TRAILING) -> Frame:
    """Take a frame apart as far as the outer length of the APDU; CodecError if it is not one of ``ethertype``."""
    size = len(octets)
    at, vlan, most = _tags(octets)
    if size < at + HEADER + 2:
        raise CodecError("frame too short", "short")
    if octets[-2:] == PRP_SUFFIX and _trailer(octets, at):
        size -= REDUNDANCY
    if size > most:
        raise CodecError("frame longer than Ethernet allows", "oversized")
    kind = octets[at] << 8 | octets[at + 1]
    if kind != ethertype:
        raise CodecError(f"EtherType {kind:#06x}", "foreign")
    length = octets[at + 4] << 8 | octets[at + 5]
    end = at + 2 + length
    if length < HEADER or end > len(octets):
        raise CodecError("Length does not fit the frame")
    start = at + HEADER
    stop = element(octets, start, end)[2]
    if not profile.inside_length:
        if stop != end:
            raise CodecError("octets after the APDU")
        end = max(size, stop)
        if end > stop and octets[stop] == 0:  # padding
            end = stop
    return Frame(
        octets[:6],
        octets[6:12],
        vlan,
        kind,
        octets[at + 2] << 8 | octets[at + 3],
        octets[at + 6] << 8 | octets[at + 7],
        octets[at + 8] << 8 | octets[at + 9],
        octets[start:stop],
        octets[stop:end],
        octets[at:stop],
    )


def address(octets: bytes) -> bytes:
    """Destination and APPID, whatever tags lie between."""
    at = _tags(octets)[0] + 2
    return octets[:6] + octets[at : at + 2]


def _tags(octets: bytes) -> tuple[int, tuple[int, int] | None, int]:
    """Where the EtherType is, the VLAN, and how long the frame may be."""
    at, vlan, most = 12, None, FRAME_MAX
    if octets[12:14] == b"\x81\x00" and len(octets) >= 16:
        tci = octets[14] << 8 | octets[15]
        at, vlan = 16, (tci & 0xFFF, tci >> 13)
    if octets[at : at + 2] == b"\x89\x2f":
        at, most = at + REDUNDANCY, most + REDUNDANCY
    return at, vlan, most


def _trailer(octets: bytes, at: int) -> bool:
    """Whether the last octets are PRP's: it counts what follows the EtherType, itself included."""
    lan_size = octets[-4] << 8 | octets[-3]
    return lan_size >> 12 in PRP_LANS and lan_size & 0xFFF == len(octets) - at - 2


class Envelope:
    """Everything around the APDU that does not change from frame to frame; :meth:`seal` adds the APDU and the MAC.

    ``key``: one for good, or a group of which the current one signs. ``ivs``: of this publisher, for keys that need
    them; None: of this process alone.
    """

    def __init__(
        self,
        destination: bytes,
        source: bytes,
        appid: int,
        ethertype: int = ETHERTYPE_GOOSE,
        vlan: tuple[int, int] | None = None,
        simulation: bool = False,
        key: Key | KeyGroup | None = None,
        profile: Profile = TRAILING,
        ivs: Ivs | None = None,
    ) -> None:
        if len(destination) != 6 or len(source) != 6:
            raise CodecError("a MAC address is six octets", "unencodable")
        if not 0 <= appid <= 0xFFFF:
            raise CodecError(f"APPID {appid:#x} is no 16-bit number", "unencodable")
        tag = b""
        if vlan is not None:
            identifier, priority = vlan
            if not (0 <= identifier <= 0xFFF and 0 <= priority <= 7):
                raise CodecError(f"VLAN {identifier} priority {priority} out of range", "unencodable")
            tag = b"\x81\x00" + (priority << 13 | identifier).to_bytes(2, "big")
        self._outer = destination + source + tag
        self._type_appid = ethertype.to_bytes(2, "big") + appid.to_bytes(2, "big")
        self._simulation = (SIMULATION if simulation else 0).to_bytes(2, "big")
        self._profile = profile
        self.signer = Signer(of_frames(key), ivs)
        self._take()

    def rekey(self, key: Key | KeyGroup | None) -> None:
        """Other keys from the next frame on; CodecError if they are not for frames."""
        self.signer.exchange(of_frames(key))
        self._take()

    def _take(self) -> None:
        """Prepare what goes around an APDU with the present key."""
        profile, key = self._profile, self.signer.key
        self._key = key
        self._iv = key is not None and key.algorithm.iv_size != 0
        size = 0 if key is None else extension_size(key, profile)
        self._head = b"" if key is None else extension_head(key, profile, self.signer.time_to_next_min)
        self._added = HEADER - 2 + (size if profile.inside_length else 0)
        self._reserved = self._simulation + (size if profile.length_in_reserved2 else 0).to_bytes(2, "big")
        self._limit = FRAME_MAX - len(self._outer) - HEADER - size

    def turn(self, now: int) -> None:
        """To the key that holds at ``now``."""
        if self.signer.turn(now):
            self._take()

    def pattern(self, apdu: bytes, now: int) -> Pattern:
        """A sealed frame, for others with an APDU of this length and the same key, which needs no IV."""
        domain = len(self._outer)
        return Pattern(self.seal(apdu, now), domain + HEADER, domain, 0)

    def seal(self, apdu: bytes, now: int = 0) -> bytes:
        """The whole frame; CodecError if it would be longer than Ethernet allows. ``now`` (µs UTC) chooses the key."""
        self.turn(now)
        if len(apdu) > self._limit:
            raise CodecError(f"APDU of {len(apdu)} octets does not fit a frame", "oversized")
        domain = self._type_appid + (len(apdu) + self._added).to_bytes(2, "big") + self._reserved + apdu
        key = self._key
        if key is None:
            return self._outer + domain
        if not self._iv:
            return self._outer + domain + self._head + key.mac(domain)
        iv, head = self.signer.iv(), self._head
        return b"".join((self._outer, domain, head[:-4], iv, head[-4:], key.mac(domain, iv)))


def of_frames(key: Key | KeyGroup | None) -> Key | KeyGroup | None:
    """The same; CodecError if one of them encrypts."""
    for each in keys_of(key):
        if each.algorithm.encrypts:
            raise CodecError(
                f"key {each.identifier} is {each.algorithm.text}: Ethernet frames are not encrypted", "unencodable"
            )
    return key

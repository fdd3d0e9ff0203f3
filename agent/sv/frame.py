"""Sampled Values frames with the same authentication as GOOSE: Ethernet (88BA) and R-SV sessions, pure.

``open_payload`` verifies and decodes; ``sealer`` makes the function that wraps an APDU for sending. Replay of samples
(smpCnt backwards, old refrTm or session number) is judged by the stream's supervision, not here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from agent.goose import frame, session
from agent.goose.codec import CodecError
from agent.goose.frame import ETHERTYPE_SV, Envelope
from agent.goose.session import SessionEnvelope
from agent.goose.stream import mac_octets
from agent.security.frames import TRAILING, FrameError, Key, Profile, parse_extension
from agent.security.iv import Ivs
from agent.security.ring import KeyGroup
from agent.sv.codec import Pdu, decode


class Opened(NamedTuple):
    """A Sampled Values payload taken apart. ``number``: of the session datagram, None at layer 2."""

    appid: int
    simulation: bool
    number: int | None
    pdu: Pdu


def open_payload(
    payload: bytes, keys: KeyGroup | None = None, *, routed: bool = False, profile: Profile = TRAILING
) -> Opened:
    """An Ethernet frame (``routed``: a datagram). ``keys`` None: authentication is not asked for. No time, so that
    a recording can be read: a key that has expired verifies.

    CodecError or FrameError, both with ``cause``: as in ``agent.goose.subscriber.Drop``.
    """
    if routed:
        datagram = session.parse(payload, session.SV, None if keys is None else keys.find)
        if keys is not None and not datagram.opened:
            if not datagram.mac:
                raise FrameError("no authentication", "unauthenticated")
            _verify(keys.find(datagram.key), datagram.domain, datagram.mac, datagram.iv)
        return Opened(datagram.appid, datagram.simulation, datagram.number, decode(datagram.apdu))
    view = frame.parse(payload, ETHERTYPE_SV, profile)
    if keys is not None:
        extension = parse_extension(view.extension, profile)
        _verify(keys.find(extension.key), view.domain, extension.mac, extension.iv)
    return Opened(view.appid, view.simulation, None, decode(view.apdu))


def _verify(key: Key, domain: bytes, mac: bytes, iv: bytes) -> None:
    if not key.verifies(domain, mac, iv):
        raise FrameError("wrong MAC", "bad-mac")


def sealer(
    appid: int,
    key: Key | None = None,
    *,
    mac: str = "",
    source: bytes = bytes(6),
    vlan: tuple[int, int] | None = None,
    simulation: bool = False,
    profile: Profile = TRAILING,
    ivs: Ivs | None = None,
) -> Callable[[bytes], bytes]:
    """APDU to payload: Ethernet frames to ``mac``; without one, R-SV datagrams. ``ivs`` None: of this process alone."""
    if mac:
        return Envelope(mac_octets(mac), source, appid, ETHERTYPE_SV, vlan, simulation, key, profile, ivs).seal
    return SessionEnvelope(appid, session.SV, simulation, key, ivs=ivs).seal


__all__ = ["CodecError", "FrameError", "Opened", "open_payload", "sealer"]

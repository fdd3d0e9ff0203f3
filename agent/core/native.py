"""The one place that fills the compiled module's structs: addresses, names and keys."""

from __future__ import annotations

import socket
from typing import Any

from agent.core._core import ffi, lib
from agent.core.config import Key, Layer2, Multicast

__all__ = ["ERROR_SIZE", "ffi", "fill_key", "fill_link", "fill_text", "lib", "parse_mac"]

ERROR_SIZE = 160
TEXT_SIZE = 67
KEY_SIZE = 64


def parse_mac(text: str) -> bytes:
    """``01-0C-CD-04-00-01`` (SCL) or with colons."""
    octets = bytes.fromhex(text.replace("-", "").replace(":", ""))
    if len(octets) != 6:
        raise ValueError(f"not a MAC address: {text!r}")
    return octets


def fill_text(target: Any, text: str) -> None:
    encoded = text.encode("ascii")
    if len(encoded) > TEXT_SIZE:
        raise ValueError(f"svID is longer than {TEXT_SIZE} octets")
    ffi.memmove(target, encoded, len(encoded))


def fill_key(target: Any, key: Key) -> None:
    if key.mac_octets not in (10, 16, 32):
        raise ValueError(f"key {key.identifier}: a MAC of {key.mac_octets} octets is none of HMAC-SHA256")
    if not 16 <= len(key.secret) <= KEY_SIZE:
        raise ValueError(f"key {key.identifier}: 16 to {KEY_SIZE} octets, not {len(key.secret)}")
    target.identifier = key.identifier
    target.length = len(key.secret)
    target.mac_length = key.mac_octets
    ffi.memmove(target.secret, key.secret, len(key.secret))


def fill_link(target: Any, link: Layer2 | Multicast | None) -> None:
    """Addresses of a core_config or a source_config."""
    match link:
        case None:
            target.transport = 0
        case Layer2(interface=interface, mac=mac):
            target.transport = 1
            target.interface_index = socket.if_nametoindex(interface)
            ffi.memmove(target.destination, parse_mac(mac), 6)
        case Multicast(group=group, port=port, interface_address=address):
            target.transport = 2
            target.group = _network_order(group)
            target.interface_address = _network_order(address)
            target.port = port


def _network_order(address: str) -> int:
    return int(ffi.cast("uint32_t *", ffi.from_buffer(socket.inet_aton(address)))[0])

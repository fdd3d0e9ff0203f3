"""The one place that fills the compiled module's structs: addresses, names and keys."""

from __future__ import annotations

import socket
from typing import Any

from agent.core._core import ffi, lib
from agent.core.config import Key, Layer2, Multicast, ProtectionConfig, SvSourceConfig

__all__ = ["Failure", "ffi", "fill_key", "fill_stream", "lib", "parse_mac"]

ERROR_SIZE = 160
TEXT_SIZE = 67
KEY_SIZE = 64


def parse_mac(text: str) -> bytes:
    """``01-0C-CD-04-00-01`` (SCL) or with colons."""
    octets = bytes.fromhex(text.replace("-", "").replace(":", ""))
    if len(octets) != 6:
        raise ValueError(f"not a MAC address: {text!r}")
    return octets


def fill_key(target: Any, key: Key) -> None:
    kind, sizes = ("AES-GMAC", (8, 16)) if key.gmac else ("HMAC-SHA256", (10, 16, 32))
    if key.mac_octets not in sizes:
        raise ValueError(f"key {key.identifier}: a MAC of {key.mac_octets} octets is none of {kind}")
    if key.gmac and len(key.secret) not in (16, 32):
        raise ValueError(f"key {key.identifier}: 16 or 32 octets, not {len(key.secret)}")
    if not 16 <= len(key.secret) <= KEY_SIZE:
        raise ValueError(f"key {key.identifier}: 16 to {KEY_SIZE} octets, not {len(key.secret)}")
    target.identifier = key.identifier
    target.length = len(key.secret)
    target.mac_length = key.mac_octets
    target.gmac = key.gmac
    target.refused_from_us = key.refused_from_us
    ffi.memmove(target.secret, key.secret, len(key.secret))


def fill_stream(target: Any, config: ProtectionConfig | SvSourceConfig) -> None:
    """What a core_config and a source_config have in common: link, names, layout, scales."""
    _fill_link(target, config.link)
    sv_id = config.sv_id.encode("ascii")
    if len(sv_id) > TEXT_SIZE:
        raise ValueError(f"svID is longer than {TEXT_SIZE} octets")
    ffi.memmove(target.sv_id, sv_id, len(sv_id))
    target.appid = config.appid
    target.conf_rev = config.conf_rev
    target.rate = config.layout.rate
    target.asdus = config.layout.asdus
    target.frequency = config.layout.frequency
    target.current_scale = config.current_scale
    target.voltage_scale = config.voltage_scale


class Failure:
    """Where the compiled functions write why they failed."""

    def __init__(self) -> None:
        self.room = ffi.new("char[]", ERROR_SIZE)
        self.size = ERROR_SIZE

    def error(self) -> OSError:
        """The last one."""
        return OSError(bytes(ffi.string(self.room)).decode("ascii", "replace"))


def _fill_link(target: Any, link: Layer2 | Multicast | None) -> None:
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

"""Where frames enter and leave: an ``AF_PACKET`` socket on one interface, or a UDP multicast socket.

Layer 2: the socket is bound to the EtherType (the kernel takes 802.1Q tags off, such frames come as well), joins the
streams' multicast addresses, and a BPF program drops all other destinations in the kernel. UDP: only joined groups are
heard (``IP_MULTICAST_ALL`` 0), on one interface; our own frames come back, as do those of other processes of this host.

Receive times are the kernel's (``SO_TIMESTAMPNS``), µs UTC. Nothing blocks.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from ctypes import addressof, create_string_buffer
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from agent.goose._inbox import ffi, lib
from agent.goose.frame import ETHERTYPE_GOOSE
from agent.goose.stream import RGOOSE_PORT, mac_octets

SO_TIMESTAMPNS = 35
SO_ATTACH_FILTER = 26
SO_RCVBUFFORCE = 33
SOL_PACKET = 263
PACKET_ADD_MEMBERSHIP = 1
PACKET_MR_MULTICAST = 0
PACKET_STATISTICS = 6
PACKET_IGNORE_OUTGOING = 23
IP_MULTICAST_ALL = 49
BATCH_MAX: int = lib.INTAKE_SLOTS
"""Frames taken in one call at most: a flood cannot keep the loop from its deadlines."""
RECEIVE_BUFFER = 1 << 20
MACS_MAX = 256
EXPEDITED = 0xB8
"""DSCP 46: routers that know it put R-GOOSE first."""


@dataclass(frozen=True, slots=True)
class L2:
    """Ethernet. ``macs``: destinations to receive; none: receive nothing (publish only)."""

    interface: str
    macs: tuple[str, ...] = ()
    ethertype: int = ETHERTYPE_GOOSE


@dataclass(frozen=True, slots=True)
class Udp:
    """UDP multicast on the interface that has ``interface_address``. ``groups``: to receive."""

    groups: tuple[str, ...] = ()
    port: int = RGOOSE_PORT
    interface_address: str = "127.0.0.1"
    ttl: int = 1


class Received(NamedTuple):
    """``payload``: the Ethernet frame, or the datagram. ``source``: of a datagram, ``address:port``. µs UTC."""

    payload: bytes
    source: str
    t_us: int


class Link(Protocol):
    """What an endpoint needs."""

    @property
    def address(self) -> bytes:
        """Source MAC address; empty for UDP."""

    def fileno(self) -> int: ...
    def send(self, payload: bytes, group: str = "") -> bool: ...
    def receive(self) -> list[Received]: ...
    def close(self) -> None: ...


def open_link(spec: L2 | Udp) -> Link:
    """Open the socket; OSError says what the system refused."""
    return PacketLink(spec) if isinstance(spec, L2) else UdpLink(spec)


class _Socket:
    """The part that both links share: batches, time stamps, counters."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._intake = ffi.gc(lib.intake_new(), lib.intake_free)
        if self._intake == ffi.NULL:
            raise MemoryError
        slots = lib.intake_slots(self._intake)
        self._slots = [(slots + i, ffi.buffer(slots[i].payload)) for i in range(BATCH_MAX)]
        self._socket.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        try:
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        except OSError:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self.unsent = 0
        """Frames that the system did not take."""

    def fileno(self) -> int:
        """For epoll."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def __enter__(self) -> _Socket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self) -> list[tuple[Any, Any]]:
        """Slots and payloads of what has come, at most :data:`BATCH_MAX`."""
        count: int = lib.intake_receive(self._intake, self._socket.fileno())
        if count < 0:
            raise OSError(-count, os.strerror(-count))
        return self._slots[:count]


class PacketLink(_Socket):
    """Layer 2."""

    def __init__(self, spec: L2) -> None:
        destinations = [mac_octets(mac) for mac in dict.fromkeys(spec.macs)]
        if len(destinations) > MACS_MAX:
            raise ValueError(f"{len(destinations)} destination addresses, at most {MACS_MAX}")
        # Protocol 0 receives nothing until bind: the filter is in place before the first frame.
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            super().__init__(sock)
            _attach(sock, _program(destinations, spec.ethertype))
            with contextlib.suppress(OSError):
                sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            index = socket.if_nametoindex(spec.interface)
            for mac in destinations:
                request = struct.pack("@iHH8s", index, PACKET_MR_MULTICAST, 6, mac)
                sock.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, request)
            sock.bind((spec.interface, spec.ethertype))
            self.address: bytes = sock.getsockname()[4]
        except BaseException:
            sock.close()
            raise

    def send(self, payload: bytes, group: str = "") -> bool:
        """One whole frame; False if the system did not take it (queue full, interface down)."""
        try:
            self._socket.send(payload)
        except OSError:
            self.unsent += 1
            return False
        return True

    def receive(self) -> list[Received]:
        """What has come, at most :data:`BATCH_MAX` frames."""
        return [Received(payload[: slot.length], "", slot.t_us) for slot, payload in self._take()]

    def drops(self) -> int:
        """Frames the kernel dropped for want of room since the last call."""
        statistics = self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
        return int(struct.unpack("@II", statistics)[1])


class UdpLink(_Socket):
    """R-GOOSE, R-SV."""

    address = b""

    def __init__(self, spec: Udp) -> None:
        self._port = spec.port
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            super().__init__(sock)
            own = socket.inet_aton(spec.interface_address)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.IPPROTO_IP, IP_MULTICAST_ALL, 0)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, spec.ttl)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, EXPEDITED)
            if spec.groups:
                sock.bind(("", spec.port))
            for group in dict.fromkeys(spec.groups):
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + own)
        except BaseException:
            sock.close()
            raise

    def send(self, payload: bytes, group: str = "") -> bool:
        """One datagram to ``group``; False if the system did not take it."""
        try:
            self._socket.sendto(payload, (group, self._port))
        except OSError:
            self.unsent += 1
            return False
        return True

    def receive(self) -> list[Received]:
        """What has come, at most :data:`BATCH_MAX` datagrams."""
        return [Received(payload[: slot.length], _text(slot), slot.t_us) for slot, payload in self._take()]


def _text(slot: Any) -> str:
    return f"{socket.inet_ntoa(slot.address.to_bytes(4, 'big'))}:{slot.port}"


def _program(destinations: list[bytes], ethertype: int) -> bytes:
    """Classic BPF: the destination is one of these, and the EtherType (the tag may still be there) is ours."""
    load_word, load_half, equal, give = 0x20, 0x28, 0x15, 0x06
    code: list[tuple[int, int, int, int]] = [
        (load_half, 0, 0, 12),
        (equal, 4, 0, ethertype),
        (equal, 0, 2, 0x8100),
        (load_half, 0, 0, 16),
        (equal, 1, 0, ethertype),
        (give, 0, 0, 0),
    ]
    for mac in destinations:
        code += [
            (load_word, 0, 0, 2),
            (equal, 0, 3, int.from_bytes(mac[2:], "big")),
            (load_half, 0, 0, 0),
            (equal, 0, 1, int.from_bytes(mac[:2], "big")),
            (give, 0, 0, 0xFFFF),
        ]
    code.append((give, 0, 0, 0))
    return b"".join(struct.pack("@HBBI", *instruction) for instruction in code)


def _attach(sock: socket.socket, program: bytes) -> None:
    buffer = create_string_buffer(program, len(program))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", len(program) // 8, addressof(buffer)))

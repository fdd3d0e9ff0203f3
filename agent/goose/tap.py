"""Frames as they pass by, with the kernel's time stamps: from an interface, a multicast group, or a capture file.

Nothing is judged here. VLAN tags that the kernel takes off on the way in are put back. Datagrams of a group come with
the IPv4 and UDP headers they had, so that everything can go into one capture. Capture files are read by scapy (classic
pcap and pcapng).
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from agent.goose.frame import ETHERTYPE_GOOSE, ETHERTYPE_SV

SOL_PACKET = 263
PACKET_ADD_MEMBERSHIP = 1
PACKET_MR_PROMISC = 1
PACKET_AUXDATA = 8
PACKET_OUTGOING = 4
ETH_P_ALL = 3
SO_TIMESTAMPNS = 35
SO_RCVBUFFORCE = 33
TP_STATUS_VLAN_VALID = 1 << 4
LINKTYPE_ETHERNET = 1
LINKTYPE_RAW = 101
SNAP = 2048
GROUP_BUFFER = 3 << 20
ANCILLARY = socket.CMSG_SPACE(20) + socket.CMSG_SPACE(16)
IPV4, UDP = 0x0800, 17
TAGS = (0x8100, 0x88A8)


class Packet(NamedTuple):
    """One frame (or IPv4 packet) with its time stamp, µs UTC."""

    t_us: int
    frame: bytes


class Payload(NamedTuple):
    """What a codec reads: an Ethernet frame, or the datagram of a session (``routed``)."""

    sampled: bool
    """Sampled Values; else GOOSE."""
    routed: bool
    octets: bytes


class CaptureError(ValueError):
    """The file is no capture that can be read; the text says which and why."""


def payload_of(packet: bytes, link_type: int = LINKTYPE_ETHERNET) -> Payload | None:
    """The GOOSE or Sampled Values payload of a packet, on layer 2 or in a session over UDP; None if it is neither."""
    at = 0
    if link_type == LINKTYPE_ETHERNET:
        at = 12
        while len(packet) >= at + 4 and int.from_bytes(packet[at : at + 2], "big") in TAGS:
            at += 4
        kind = int.from_bytes(packet[at : at + 2], "big")
        if kind in (ETHERTYPE_GOOSE, ETHERTYPE_SV):
            # One 802.1Q tag is the codec's business; a provider's tag around it is not.
            return Payload(kind == ETHERTYPE_SV, False, packet if at <= 16 else packet[:12] + packet[at:])
        if kind != IPV4:
            return None
        at += 2
    if len(packet) < at + 28 or packet[at] >> 4 != 4 or packet[at + 9] != UDP:
        return None
    if int.from_bytes(packet[at + 6 : at + 8], "big") & 0x3FFF:
        return None  # a fragment
    start = at + 4 * (packet[at] & 0x0F)
    length = int.from_bytes(packet[start + 4 : start + 6], "big")
    datagram = packet[start + 8 : start + length]
    if datagram[:2] != b"\x01\x40" or datagram[2:3] not in (b"\xa1", b"\xa2"):
        return None
    return Payload(datagram[2] == 0xA2, True, datagram)


# --- live ------------------------------------------------------------------------------------------------------------


def packet_socket(interface: str, protocol: int = ETH_P_ALL, buffer: int = 8 << 20) -> socket.socket:
    """A packet socket on an interface of this namespace; OSError says what the system refused."""
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        _receive_buffer(end, buffer)
        end.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        end.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        end.bind((interface, protocol))
        end.setblocking(False)
    except BaseException:
        end.close()
        raise
    return end


def promiscuous(end: socket.socket, interface: str) -> None:
    """Take frames to every address, as long as the socket is open."""
    request = struct.pack("@iHH8s", socket.if_nametoindex(interface), PACKET_MR_PROMISC, 0, b"")
    end.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, request)


def udp_socket(group: str, port: int, interface: str) -> socket.socket:
    """A member of a multicast group, beside the real receivers; ``interface``: its IPv4 address."""
    end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _receive_buffer(end, GROUP_BUFFER)
        end.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        end.setsockopt(socket.IPPROTO_IP, 49, 0)  # IP_MULTICAST_ALL: only the groups this socket has joined
        end.bind((group, port))
        membership = socket.inet_aton(group) + socket.inet_aton(interface)
        end.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        end.setblocking(False)
    except BaseException:
        end.close()
        raise
    return end


def _receive_buffer(end: socket.socket, size: int) -> None:
    try:
        end.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size)
    except PermissionError:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def drain(end: socket.socket, outgoing: bool = False) -> Iterator[Packet]:
    """Everything that is queued at a packet socket.

    ``outgoing``: what this host sends as well. (It passes its own socket, too: where there is a bridge, the other end's
    copy is enough.)
    """
    while True:
        try:
            frame, ancillary, _flags, address = end.recvmsg(SNAP, ANCILLARY)
        except (BlockingIOError, OSError):
            return
        if address[2] == PACKET_OUTGOING and not outgoing:
            continue
        t_us = 0
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                t_us = _stamp(data)
            elif level == SOL_PACKET and kind == PACKET_AUXDATA:
                frame = _retag(frame, data)
        yield Packet(t_us or time.time_ns() // 1000, frame)


def drain_udp(end: socket.socket, group: str, port: int) -> Iterator[Packet]:
    """Everything that is queued at a group member, with headers."""
    while True:
        try:
            payload, ancillary, _flags, source = end.recvmsg(SNAP, ANCILLARY)
        except (BlockingIOError, OSError):
            return
        t_us = time.time_ns() // 1000
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                t_us = _stamp(data)
        yield Packet(t_us, _as_ip(payload, source, group, port))


def _stamp(data: bytes) -> int:
    seconds, nanoseconds = struct.unpack("=qq", data[:16])
    return int(seconds * 1_000_000 + nanoseconds // 1000)


def _retag(frame: bytes, auxiliary: bytes) -> bytes:
    """The 802.1Q tag back in its place (struct tpacket_auxdata)."""
    status, _length, _snap, _mac, _net, tci, tpid = struct.unpack("=IIIHHHH", auxiliary[:20])
    if not status & TP_STATUS_VLAN_VALID:
        return frame
    return frame[:12] + struct.pack("!HH", tpid or 0x8100, tci) + frame[12:]


def _as_ip(payload: bytes, source: tuple[str, int], group: str, port: int) -> bytes:
    """The datagram with IPv4 and UDP headers as they were (identification and checksums left zero)."""
    udp = struct.pack("!HHHH", source[1], port, 8 + len(payload), 0)
    header = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 28 + len(payload), 0, 0x4000, 1, 17, 0,
        socket.inet_aton(source[0]), socket.inet_aton(group),
    )  # fmt: skip
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return header[:10] + struct.pack("!H", checksum) + header[12:] + udp + payload


# --- files -----------------------------------------------------------------------------------------------------------


def read_capture(path: str | Path) -> Iterator[tuple[Packet, int]]:
    """(packet, link type) of a capture file, in its order; CaptureError if it is none."""
    from scapy.error import Scapy_Exception
    from scapy.utils import RawPcapNgReader, RawPcapReader

    try:
        reader = RawPcapReader(str(path))
    except (Scapy_Exception, EOFError, struct.error) as error:
        raise CaptureError(f"{path}: {error}") from error
    with contextlib.closing(reader):
        pcapng = isinstance(reader, RawPcapNgReader)
        items: Iterator[tuple[bytes, Any]] = iter(reader)
        while True:
            try:
                octets, meta = next(items)
            except StopIteration:
                return
            except (Scapy_Exception, struct.error, ValueError, EOFError) as error:
                raise CaptureError(f"{path}: {error}") from error
            if pcapng:
                ticks = (meta.tshigh or 0) << 32 | (meta.tslow or 0)
                yield Packet(ticks * 1_000_000 // (meta.tsresol or 1_000_000), octets), meta.linktype
            else:
                yield Packet(meta.sec * 1_000_000 + meta.usec // (1000 if reader.nano else 1), octets), reader.linktype


def write_capture(path: str | Path, packets: Iterable[Packet], link_type: int = LINKTYPE_ETHERNET) -> int:
    """A classic pcap file (microseconds, little-endian); returns the number of packets."""
    count = 0
    with Path(path).open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, link_type))
        for t_us, frame in packets:
            file.write(struct.pack("<IIII", t_us // 1_000_000, t_us % 1_000_000, len(frame), len(frame)))
            file.write(frame)
            count += 1
    return count


class Tap:
    """Live packets of one interface, or of multicast groups, in the order of their arrival at each socket."""

    def __init__(
        self, interface: str = "", groups: Sequence[str] = (), port: int = 102, address: str = "127.0.0.1"
    ) -> None:
        """``interface``: all its frames, other hosts' too. ``groups`` are joined on the interface of ``address``."""
        self._readers: dict[socket.socket, Callable[[], Iterator[Packet]]] = {}
        self._link_type = LINKTYPE_ETHERNET if interface else LINKTYPE_RAW
        try:
            if interface:
                end = packet_socket(interface)
                self._readers[end] = lambda: drain(end, outgoing=True)
                promiscuous(end, interface)
            for group in dict.fromkeys(groups):
                member = udp_socket(group, port, address)
                self._readers[member] = lambda member=member, group=group: drain_udp(member, group, port)  # type: ignore[misc]
        except BaseException:
            self.close()
            raise

    def read(self, timeout_s: float) -> Iterator[tuple[Packet, int]]:
        """(packet, link type) of what has come, or comes within the time."""
        ready, _, _ = select.select(list(self._readers), [], [], max(0.0, timeout_s))
        for end in ready:
            for packet in self._readers[end]():
                yield packet, self._link_type

    def close(self) -> None:
        """Close the sockets."""
        for end in self._readers:
            end.close()
        self._readers.clear()

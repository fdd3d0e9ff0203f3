"""Frames of the run, as a classic pcap file that Wireshark opens.

The station bus is read all the time by a thread. Sampled Values are many (4000 frames/s a stream): their sockets are
opened just before the fault, the kernel keeps the first half second or so with its own time stamps, and nothing runs in
Python until the run is over. VLAN tags that the kernel takes off on the way in are put back.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

SOL_PACKET = 263
PACKET_AUXDATA = 8
PACKET_OUTGOING = 4
ETH_P_ALL = 3
SO_TIMESTAMPNS = 35
SO_RCVBUFFORCE = 33
SO_ATTACH_FILTER = 26
TP_STATUS_VLAN_VALID = 1 << 4
LINKTYPE_ETHERNET = 1
LINKTYPE_RAW = 101
SNAP = 2048
BUFFER = 3 << 20
ANCILLARY = socket.CMSG_SPACE(20) + socket.CMSG_SPACE(16)


class Packet(NamedTuple):
    """One frame with its kernel time stamp."""

    t_us: int
    frame: bytes


def _socket(interface: str, protocol: int, buffer: int) -> socket.socket:
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        end.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, buffer)
    except PermissionError:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    end.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    end.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    end.bind((interface, protocol))
    end.setblocking(False)
    return end


def _deafen(end: socket.socket) -> None:
    """A filter that takes nothing: what is queued stays, nothing is added."""
    program = struct.pack("HBBI", 0x06, 0, 0, 0)
    import ctypes

    code = ctypes.create_string_buffer(program, len(program))
    end.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(code)))


def _retag(frame: bytes, auxiliary: bytes) -> bytes:
    """The 802.1Q tag back in its place (struct tpacket_auxdata)."""
    status, _length, _snap, _mac, _net, tci, tpid = struct.unpack("=IIIHHHH", auxiliary[:20])
    if not status & TP_STATUS_VLAN_VALID:
        return frame
    return frame[:12] + struct.pack("!HH", tpid or 0x8100, tci) + frame[12:]


def drain(end: socket.socket) -> Iterator[Packet]:
    """Everything that is queued at a packet socket."""
    while True:
        try:
            frame, ancillary, _flags, address = end.recvmsg(SNAP, ANCILLARY)
        except (BlockingIOError, OSError):
            return
        # What this end sends passes its own socket, too: the other end's copy is enough where there is a bridge.
        if address[2] == PACKET_OUTGOING:
            continue
        t_us = 0
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                seconds, nanoseconds = struct.unpack("=qq", data[:16])
                t_us = seconds * 1_000_000 + nanoseconds // 1000
            elif level == SOL_PACKET and kind == PACKET_AUXDATA:
                frame = _retag(frame, data)
        yield Packet(t_us or time.time_ns() // 1000, frame)


def udp_socket(group: str, port: int, interface: str) -> socket.socket:
    """A member of a multicast group on the loopback, beside the real receivers."""
    end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
    end.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    end.setsockopt(socket.IPPROTO_IP, 49, 0)  # IP_MULTICAST_ALL: only the groups this socket has joined
    end.bind((group, port))
    membership = socket.inet_aton(group) + socket.inet_aton(interface)
    end.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    end.setblocking(False)
    return end


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
                seconds, nanoseconds = struct.unpack("=qq", data[:16])
                t_us = seconds * 1_000_000 + nanoseconds // 1000
        yield Packet(t_us, _as_ip(payload, source, group, port))


class Capture:
    """Collects packets until :meth:`stop`, then writes them in order of time."""

    def __init__(self, link_type: int = LINKTYPE_ETHERNET) -> None:
        self._link_type = link_type
        self._steady: dict[int, tuple[socket.socket, Callable[[], Iterator[Packet]]]] = {}
        self._burst: list[tuple[socket.socket, Callable[[], Iterator[Packet]]]] = []
        self._packets: list[Packet] = []
        self._poll = select.poll()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="capture", daemon=True)
        self._lock = threading.Lock()

    def bus(self, interface: str) -> None:
        """Read an interface of this namespace from now on."""
        end = _socket(interface, ETH_P_ALL, 8 << 20)
        self._watch(end, lambda: drain(end))

    def group(self, group: str, port: int, interface: str) -> None:
        """Read a multicast group from now on."""
        end = udp_socket(group, port, interface)
        self._watch(end, lambda: drain_udp(end, group, port))

    def _watch(self, end: socket.socket, reader: Callable[[], Iterator[Packet]]) -> None:
        self._steady[end.fileno()] = (end, reader)
        self._poll.register(end, select.POLLIN)

    def window(self, opener: Callable[[], socket.socket], udp: tuple[str, int] | None = None) -> None:
        """A socket whose queue in the kernel is the buffer; ``opener`` runs where the interface is."""
        end = opener()
        reader = (lambda: drain(end)) if udp is None else (lambda: drain_udp(end, *udp))
        self._burst.append((end, reader))

    @staticmethod
    def process_bus(interface: str = "process") -> socket.socket:
        """For :meth:`window`: Sampled Values of one bay."""
        return _socket(interface, ETH_P_ALL, BUFFER)

    def freeze(self) -> None:
        """The windows take nothing more."""
        for end, _ in self._burst:
            _deafen(end)

    def start(self) -> None:
        """Begin to read the buses."""
        self._thread.start()

    def _read(self) -> None:
        while not self._stop.is_set():
            # In turns: a GOOSE burst is read at once instead of waking up for every frame.
            ready = self._poll.poll(200)
            self._stop.wait(0.02)
            for descriptor, _ in ready:
                packets = list(self._steady[descriptor][1]())
                with self._lock:
                    self._packets += packets

    def seen(self, start: int = 0) -> list[Packet]:
        """Packets of the buses so far, from index ``start`` on."""
        with self._lock:
            return self._packets[start:]

    def stop(self) -> None:
        """Read what is queued and close the sockets."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(2.0)
        for end, reader in [*self._steady.values(), *self._burst]:
            self._packets += reader()
            end.close()
        self._steady.clear()
        self._burst.clear()
        self._packets.sort(key=lambda packet: packet.t_us)

    def write(self, path: Path) -> int:
        """Classic pcap, microseconds, little-endian; returns the number of frames."""
        with path.open("wb") as file:
            file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, self._link_type))
            for t_us, frame in self._packets:
                file.write(struct.pack("<IIII", t_us // 1_000_000, t_us % 1_000_000, len(frame), len(frame)))
                file.write(frame)
        return len(self._packets)

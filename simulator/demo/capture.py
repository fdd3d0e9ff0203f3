"""Frames of the run, as a classic pcap file that Wireshark opens.

The station bus is read all the time by a thread. Sampled Values are many (4000 frames/s a stream): their sockets are
opened just before the fault, the kernel keeps the first half second or so with its own time stamps, and nothing runs in
Python until the run is over.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from agent.goose.tap import (
    ETH_P_ALL,
    LINKTYPE_ETHERNET,
    Packet,
    drain,
    drain_udp,
    packet_socket,
    udp_socket,
    write_capture,
)

SO_ATTACH_FILTER = 26
BUFFER = 3 << 20


def _deafen(end: socket.socket) -> None:
    """A filter that takes nothing: what is queued stays, nothing is added."""
    program = struct.pack("HBBI", 0x06, 0, 0, 0)
    import ctypes

    code = ctypes.create_string_buffer(program, len(program))
    end.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(code)))


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
        end = packet_socket(interface)
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
        return packet_socket(interface, ETH_P_ALL, BUFFER)

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
        """As a pcap file; returns the number of frames."""
        return write_capture(path, self._packets, self._link_type)

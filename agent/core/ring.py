"""Many Sampled Values streams of one interface in one compiled thread (``agent/core/ring.c``)."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from agent.core.native import Failure, ffi, lib
from agent.core.protection import ProtectionCore

MEGABYTES = 8
"""160 streams of 4000 frames a second fill so much in 25 ms."""
TICK_US = 500


class Ring:
    """Deals the frames of an interface out to cores that have not been started themselves, by destination and APPID.

    Each core keeps its own order, authentication, filters and event; a frame is evaluated at most ``tick_us`` and a
    wake-up after it came. ValueError or OSError say what does not fit.
    """

    def __init__(
        self, interface: str, cores: Sequence[ProtectionCore], megabytes: int = MEGABYTES, tick_us: int = TICK_US
    ) -> None:
        kept = tuple(cores)
        self._failure = Failure()
        ring = lib.ring_open(
            socket.if_nametoindex(interface), megabytes, tick_us, self._failure.room, self._failure.size
        )
        if ring == ffi.NULL:
            raise self._failure.error()
        # The ring points into the cores: they live as long as it does.
        self._ring: Any = ffi.gc(ring, lambda native, _kept=kept: lib.ring_close(native))
        for core in kept:
            if lib.ring_add(ring, core.native, self._failure.room, self._failure.size):
                self.close()
                raise ValueError(f"{core.config.sv_id}: {self._failure.error()}")
        self._counters = ffi.new("ring_counters *")

    def start(self, realtime_priority: int = 0) -> None:
        """Start the thread; OSError if the system refuses the socket or the ring."""
        if lib.ring_start(self._ring, realtime_priority, self._failure.room, self._failure.size):
            raise self._failure.error()

    def stop(self) -> None:
        """Stop and join it; all its streams are blind afterwards."""
        if self._ring != ffi.NULL:
            lib.ring_stop(self._ring)

    def counters(self) -> dict[str, int]:
        """Frames taken, foreign, oversized, dropped by the kernel for want of room; wake-ups."""
        lib.ring_count(self._ring, self._counters)
        return {name: int(getattr(self._counters, name)) for name, _ in ffi.typeof("ring_counters").fields}

    def close(self) -> None:
        """Give the cores back; they may be started themselves, or closed, only after this."""
        if self._ring != ffi.NULL:
            ffi.release(self._ring)
            self._ring = ffi.NULL

    def __enter__(self) -> Ring:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

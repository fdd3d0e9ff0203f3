"""A link whose frames are taken in by a compiled thread that knows which of them can wait.

A fault makes every agent of a feeder publish; to wake an interpreter for each frame of each device costs more time than
the decision. Most of these frames are repetitions, or come from devices too far away to matter while this agent has
nothing to decide. The thread keeps all frames in order and rings (``fileno`` becomes readable) only for one that
differs from what is expected; the others are taken along with the next, or when the owner looks.

Only *when* a frame is looked at is decided here, never whether it is accepted: authentication, sequence and age are
judged by the subscriber, for every frame. Somebody who forges frames can thus make us look, and not make us look away.
"""

from __future__ import annotations

import os

from agent.goose._inbox import ffi, lib
from agent.goose.link import Link, Received

ERROR_SIZE = 120
SLOTS: int = lib.INBOX_SLOTS


class Inbox:
    """A :class:`agent.goose.link.Link` over another one, whose descriptor it reads from now on."""

    def __init__(self, link: Link, priority: int = 0) -> None:
        """``priority``: SCHED_FIFO of the thread, if allowed; 0: not asked for. OSError if there is no thread."""
        self.link = link
        self.address = link.address
        error = ffi.new("char[]", ERROR_SIZE)
        self._native = lib.inbox_open(link.fileno(), error, ERROR_SIZE)
        if self._native == ffi.NULL:
            raise OSError(ffi.string(error).decode())
        number = lib.inbox_start(self._native, priority)
        if number:
            lib.inbox_close(self._native)
            raise OSError(number, os.strerror(number))
        self._bell: int = lib.inbox_bell(self._native)
        slots = lib.inbox_slots(self._native)
        self._slots = [(slots + i, ffi.buffer(slots[i].payload)) for i in range(SLOTS)]
        self._next = 0

    @property
    def unsent(self) -> int:
        """Frames that the system did not take."""
        return int(getattr(self.link, "unsent", 0))

    def fileno(self) -> int:
        """Readable when a frame came that should not wait."""
        return self._bell

    def send(self, payload: bytes, group: str = "") -> bool:
        """As the link."""
        return self.link.send(payload, group)

    def receive(self) -> list[Received]:
        """All that has come, in order, whether it rang or not."""
        count = lib.inbox_look(self._native)
        batch = []
        for number in range(self._next, self._next + count):
            slot, payload = self._slots[number % SLOTS]
            batch.append(Received(payload[: slot.length], "", slot.t_us))
        lib.inbox_release(self._native, count)
        self._next += count
        return batch

    def expect(self, index: int, payload: bytes, offset: int, mask: bytes, relaxed: bool) -> None:
        """As pattern ``index``: payloads of this length that equal this one under the mask (from ``offset``) can wait.

        ``relaxed``: only while :meth:`relax` is on. ValueError if it is too long, or there are too many.
        """
        if lib.inbox_expect(self._native, index, payload, len(payload), offset, mask, len(mask), relaxed):
            raise ValueError(f"pattern {index} of {len(mask)} octets at {offset} of {len(payload)}")

    def relax(self, on: bool) -> None:
        """Whether relaxed patterns count."""
        lib.inbox_relax(self._native, on)

    def counters(self) -> dict[str, int]:
        """Frames taken in, those that rang, those dropped for their length; how often Python was far behind."""
        counters = ffi.new("inbox_counters *")
        lib.inbox_count(self._native, counters)
        return {name: int(getattr(counters, name)) for name in ("taken", "urgent", "full", "oversized")}

    def close(self) -> None:
        """End the thread, then the link."""
        if self._native != ffi.NULL:
            lib.inbox_close(self._native)
            self._native = ffi.NULL
        self.link.close()

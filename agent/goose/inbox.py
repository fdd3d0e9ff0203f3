"""A link whose frames are taken in by compiled code that waits for them, and knows which of them can wait.

A fault makes every agent of a feeder publish; to wake an interpreter for each frame of each device costs more time than
the decision. Most of these frames are repetitions, or come from devices too far away to matter while this agent has
nothing to decide. :meth:`Inbox.wait` keeps all frames in order and returns only for one that differs from what is
expected (or for another descriptor); the others are taken along with the next, or when the owner looks.

Only *when* a frame is looked at is decided here, never whether it is accepted: sequence and age are judged by the
subscriber, for every frame, and authentication by :mod:`agent.goose.opener` or the subscriber. Somebody who forges
frames can thus make us look, and not make us look away.
"""

from __future__ import annotations

import os
from typing import Any

from agent.goose._inbox import ffi, lib
from agent.goose.link import Link, Received
from agent.goose.opener import Opener

SLOTS: int = lib.INBOX_SLOTS
WATCHED: int = lib.INBOX_WATCHED


class Inbox:
    """A :class:`agent.goose.link.Link` over another one, whose descriptor it reads from now on. One thread's."""

    def __init__(self, link: Link) -> None:
        """OSError if the system gives no descriptor to wait with."""
        self.link = link
        self.address = link.address
        wrong = ffi.new("int *")
        self._native = lib.inbox_new(link.fileno(), wrong)
        if self._native == ffi.NULL:
            raise OSError(wrong[0], os.strerror(wrong[0]))
        slots = lib.inbox_slots(self._native)
        self._slots = [(slots + i, ffi.buffer(slots[i].payload)) for i in range(SLOTS)]
        self._first = ffi.new("uint32_t *")
        self._ready = ffi.new("int[]", WATCHED + 1)
        self._watched: set[int] = set()
        self._opener: Opener | None = None

    @property
    def unsent(self) -> int:
        """Frames that the system did not take."""
        return int(getattr(self.link, "unsent", 0))

    def fileno(self) -> int:
        """The link's: what :meth:`wait` names for a frame that should not wait."""
        return self.link.fileno()

    def send(self, payload: bytes, group: str = "") -> bool:
        """As the link."""
        return self.link.send(payload, group)

    # --- waiting -----------------------------------------------------------------------------------------------------

    def watch(self, descriptor: int) -> None:
        """Wait for this one to be readable, too; OSError if there are too many."""
        if len(self._watched) >= WATCHED:
            raise OSError(f"more than {WATCHED} descriptors to wait for")
        _check(lib.inbox_watch(self._native, descriptor))
        self._watched.add(descriptor)

    def unwatch(self, descriptor: int) -> None:
        """Not any more."""
        self._watched.discard(descriptor)
        _check(lib.inbox_unwatch(self._native, descriptor))

    def wait(self, timeout_s: float) -> list[int]:
        """Descriptors that are readable, the link's if a frame came that cannot wait. None after the time, or a signal.

        What :meth:`taken` gave is void from now on."""
        count = lib.inbox_wait(self._native, int(timeout_s * 1000), self._ready)
        if count < 0:
            raise OSError(-count, os.strerror(-count))
        return [self._ready[i] for i in range(count)]

    # --- frames ------------------------------------------------------------------------------------------------------

    def taken(self) -> list[tuple[Any, Any]]:
        """All that has come, in order, whether it ended the wait or not: slots (``inbox.h``), and their payloads, which
        are longer than what came. Void after the next call of this or of :meth:`wait`."""
        count, slots = lib.inbox_look(self._native, self._first), self._slots
        first = self._first[0]
        return [slots[number % SLOTS] for number in range(first, first + count)]

    def receive(self) -> list[Received]:
        """As the link."""
        return [Received(payload[: slot.length], "", slot.t_us) for slot, payload in self.taken()]

    def open_by(self, opener: Opener) -> None:
        """What opens frames from now on."""
        lib.inbox_opener(self._native, opener.native)
        self._opener = opener  # the one before may go now

    def stream(self, number: int, exact: bytes, loose: bytes | None) -> None:
        """Where the next state of a stream may differ from the last one (octets 0 of the masks, from the APDU's first)
        and wait: ``exact`` always, ``loose`` while :meth:`relax` is on. ValueError if it is too long, or too many."""
        if lib.inbox_stream(self._native, number, exact, ffi.NULL if loose is None else loose, len(exact)):
            raise ValueError(f"stream {number} of {len(exact)} octets")

    def relax(self, on: bool) -> None:
        """Whether loose masks count."""
        lib.inbox_relax(self._native, on)

    def counters(self) -> dict[str, int]:
        """Frames taken in, those that ended a wait, those dropped for their length; how often Python was far behind."""
        counters = ffi.new("inbox_counters *")
        lib.inbox_count(self._native, counters)
        return {name: int(getattr(counters, name)) for name in ("taken", "urgent", "full", "oversized")}

    def close(self) -> None:
        """End the link."""
        if self._native != ffi.NULL:
            lib.inbox_free(self._native)
            self._native = ffi.NULL
        self.link.close()


def _check(wrong: int) -> None:
    if wrong:
        raise OSError(wrong, os.strerror(wrong))

"""Payloads that are just as they should be, opened by compiled code: form, address and HMAC in 1 µs instead of 8.

Only what :meth:`agent.goose.subscriber.Subscriber.receive` would take as authentic is opened here; everything else
(GMAC and GCM, other widths, other profiles, damage of any kind) goes the way through it, which knows what to call it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agent.goose._inbox import ffi, lib
from agent.goose.layout import Buffer
from agent.goose.subscriber import Accepted, Dropped, Subscriber
from agent.security.ring import KeyGroup


class Opener:
    """Of these subscribers, with the keys that they have now: made anew when they take others."""

    def __init__(self, subscribers: Iterable[Subscriber[Any]]) -> None:
        self.native = ffi.gc(lib.opener_new(), lib.opener_free)
        if self.native == ffi.NULL:
            raise MemoryError
        self._found = ffi.new("opened *")
        self._groups: list[KeyGroup] = []
        self._shapes: list[tuple[Subscriber[Any], KeyGroup]] = []
        for subscriber in subscribers:
            keys = subscriber.keys
            if keys is not None and subscriber.plain:
                self._expect(subscriber, keys)

    def _expect(self, subscriber: Subscriber[Any], keys: KeyGroup) -> None:
        layout, stream = subscriber.layout, subscriber.stream
        address = ffi.NULL if stream.routed else stream.destination
        number = lib.opener_shape(
            self.native, self._group(keys), address, stream.appid, layout.size, layout.fixed, layout.pattern
        )
        if number >= 0:
            self._shapes.append((subscriber, keys))

    def _group(self, keys: KeyGroup) -> int:
        for number, known in enumerate(self._groups):
            if known is keys:
                return number
        number = len(self._groups)
        self._groups.append(keys)
        for key in keys:
            if not key.algorithm.iv_size:  # one too many, or of a size unknown: its frames are not opened here
                size, secret = key.algorithm.size, key.secret
                lib.opener_key(self.native, number, key.identifier, size, secret, len(secret))
        return number

    def take(self, payload: bytes, now: int) -> tuple[Subscriber[Any], Accepted[Any] | Dropped] | None:
        """Whom it is for, and what he makes of it; None: not opened."""
        found = self._found
        number = lib.opener_open(self.native, payload, len(payload), found)
        return self.opened(number, found, payload, now) if number >= 0 else None

    def opened(
        self, number: int, found: Any, payload: Buffer, now: int
    ) -> tuple[Subscriber[Any], Accepted[Any] | Dropped] | None:
        """As :meth:`take`, of a payload that compiled code has opened: stream and what was found (``opener.h``)."""
        subscriber, keys = self._shapes[number]
        if subscriber.keys is not keys:
            return None
        return subscriber, subscriber.opened(payload, found.at, found.simulation != 0, found.key, now)

"""A publisher's PDUs in their frames (or datagrams): by compiled code where the key is for HMAC.

A frame that the envelope has sealed, with all values zero, is the pattern; of each that follows only the values and the
MAC (and a session's number) are new.
"""

from __future__ import annotations

from agent.goose._inbox import ffi, lib
from agent.goose.frame import Envelope
from agent.goose.layout import Layout
from agent.goose.session import SessionEnvelope
from agent.security.frames import Key
from agent.security.ring import KeyGroup


class Sealer:
    """Of one envelope and one layout."""

    def __init__(self, envelope: Envelope | SessionEnvelope, layout: Layout) -> None:
        self._envelope = envelope
        self._layout = layout
        self._signer = envelope.signer
        self._native = ffi.gc(lib.sealer_new(), lib.sealer_free)
        if self._native == ffi.NULL:
            raise MemoryError
        self._prepared = False
        self._compiled = False
        self._session: SessionEnvelope | None = envelope if isinstance(envelope, SessionEnvelope) else None

    def rekey(self, key: Key | KeyGroup | None) -> None:
        """Other keys from the next frame on; CodecError if they do not fit."""
        self._envelope.rekey(key)
        self._prepared = False

    def seal(self, packed: bytes, now: int) -> bytes:
        """What to send; ``packed``: by :meth:`Layout.pack`. ``now`` (µs UTC) chooses the key."""
        if not (self._prepared and self._signer.holds(now)):
            self._prepare(now)
        if not self._compiled:
            return self._envelope.seal(self._layout.lay(packed), now)
        session = self._session
        number = 0
        if session is not None:
            session.number = number = session.number + 1 & 0xFFFFFFFF
        lib.sealer_seal(self._native, packed, number, self._sealed)
        sealed: bytes = self._view[:]
        return sealed

    def _prepare(self, now: int) -> None:
        self._envelope.turn(now)
        key = self._signer.key
        self._compiled = key is not None and key.algorithm.iv_size == 0 and self._pattern(key, now)
        self._prepared = True

    def _pattern(self, key: Key, now: int) -> bool:
        """False: too long for the compiled code."""
        pattern, at, domain, number = self._envelope.pattern(self._layout.pattern, now)
        end = at + self._layout.size
        self._sealed = ffi.new("uint8_t[]", len(pattern))
        self._view = ffi.buffer(self._sealed)
        return not lib.sealer_pattern(
            self._native, pattern, len(pattern), at, end, domain, key.algorithm.size, number, key.secret,
            len(key.secret),
        )  # fmt: skip

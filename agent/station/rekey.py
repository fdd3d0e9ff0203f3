"""Other keys in a protection process that goes on: for GOOSE between two frames, for samples in the receiver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from agent.core.config import Key as CoreKey
from agent.goose.codec import CodecError
from agent.security.ring import KeyGroup
from agent.station import plain
from agent.station.config import KeyConfig
from agent.station.engine import Details
from agent.station.sampled import core_keys
from agent.station.wire import key_of


class RekeyedWire(Protocol):
    """Where the keys of GOOSE go."""

    def rekey(self, keys: KeyGroup) -> None: ...


class RekeyedCore(Protocol):
    """Where those of samples go; False: not yet."""

    def rekey(self, keys: tuple[CoreKey, ...]) -> bool: ...


class Rekeying:
    """Of one wire and, where there is a merging unit, one core."""

    def __init__(self, wire: RekeyedWire, core: RekeyedCore | None, event: Callable[[str, int, Details], None]) -> None:
        self._wire = wire
        self._core = core
        self.event = event
        self._samples: tuple[CoreKey, ...] = ()
        """To be given to the receiver of samples; empty: it has them."""
        self._told = ""

    def exchange(self, message: dict[str, Any], now: int) -> None:
        """The station process's ``keys``, ``samples`` and ``grace``. Where GOOSE's do not fit, nothing changes; where
        only those of samples do not, they alone stay."""
        keys = plain.load(tuple[KeyConfig, ...], message["keys"])
        samples = plain.load(tuple[KeyConfig, ...], message["samples"])
        try:
            grace_s = int(message["grace"])
            sampled = core_keys(samples, grace_s) if samples else ()
            self._wire.rekey(KeyGroup(map(key_of, keys), grace_s))
        except (CodecError, ValueError) as error:
            self._refuse(error, now)
            return
        self._samples = sampled
        self.go_on(now)
        told = ",".join(str(key.identifier) for key in keys)
        if told != self._told:
            self._told = told
            self.event("keys", now, (("keys", told),))

    def go_on(self, now: int) -> None:
        """Again a tenth of a second later while a frame is looked at with the keys before the present ones."""
        try:
            if self._samples and (self._core is None or self._core.rekey(self._samples)):
                self._samples = ()
        except ValueError as error:
            self._samples = ()
            self._refuse(error, now)

    def _refuse(self, error: Exception, now: int) -> None:
        self.event("keys_refused", now, (("why", str(error)), ("alarm", True)))

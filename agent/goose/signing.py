"""Which key signs what a publisher sends now, and the IVs it takes: what frames and session datagrams share. Pure."""

from __future__ import annotations

from typing import NamedTuple

from agent.security.frames import Key
from agent.security.iv import Ivs, passing
from agent.security.ring import EVER, KeyGroup


class Pattern(NamedTuple):
    """A sealed frame or datagram, and where in it lies what is not the same in the next. The MAC ends it."""

    octets: bytes
    apdu: int
    domain: int
    """The MAC's domain goes from here to the end of the APDU."""
    number: int
    """SPDU number, 4 octets; 0: none."""


class Signer:
    """One key for good, or a group of which the current one signs; no key at all: nothing is signed."""

    __slots__ = ("_group", "_ivs", "key", "since_us", "time_to_next_min", "until_us")

    def __init__(self, key: Key | KeyGroup | None, ivs: Ivs | None) -> None:
        """``ivs``: of this publisher, for keys that need them; None: of this process alone."""
        self._ivs = ivs
        self.key: Key | None = None
        """The one that signs from ``since_us`` to before ``until_us``."""
        self.exchange(key)

    def exchange(self, key: Key | KeyGroup | None) -> None:
        """Other keys from now on; the IVs go on where they were."""
        self._group = key if isinstance(key, KeyGroup) else None
        self.since_us, self.until_us = (0, EVER) if self._group is None else (EVER, 0)
        keys = keys_of(key)
        if self._ivs is None and any(each.algorithm.iv_size for each in keys):
            self._ivs = passing()
        self.key = keys[0] if keys else None
        self.time_to_next_min = self.key.time_to_next_min if self.key is not None else 0

    def holds(self, now: int) -> bool:
        """Whether the present key, and the minutes to the next one, are those of ``now`` (µs UTC)."""
        return self.since_us <= now < self.until_us

    def turn(self, now: int) -> bool:
        """To what holds at ``now``; False: it did already."""
        if self.holds(now):
            return False
        if self._group is not None:
            period = self._group.period(now)
            self.key, self.time_to_next_min = period.key, period.time_to_next_min
            self.since_us, self.until_us = period.since_us, period.until_us
        return True

    def iv(self) -> bytes:
        """The next IV, each once; IvError when there is none left."""
        assert self._ivs is not None
        return self._ivs.take()


def keys_of(key: Key | KeyGroup | None) -> tuple[Key, ...]:
    """All of them."""
    return () if key is None else (key,) if isinstance(key, Key) else key.keys

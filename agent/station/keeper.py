"""The keys of a running agent: out of a file that is read again when asked (SIGHUP), or from group key servers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from agent.station import keyset
from agent.station.alarms import Alarms
from agent.station.eventlog import EventLog
from agent.station.served import SECOND_US, Served
from agent.time.clock import now_us

if TYPE_CHECKING:
    from agent.keyserver.client import KeyClient
    from agent.security.keys import KeyRing

WARN_S = 86_400
"""A day before the last key of a file is over somebody is told."""


class KeySource(NamedTuple):
    """Where an agent's keys come from."""

    source: Path | Served
    routed: bool
    """They are for sessions: those may be encrypted."""
    sampling: bool
    """The agent has a merging unit, whose samples are verified with them."""
    end_us: int | None
    """When the keys that it starts with are over; None: never."""


class Keeper:
    """See the module. ``tell``: to the protection process; what has changed is told to the next one as well."""

    def __init__(self, keys: KeySource, tell: Callable[[dict[str, Any]], bool], log: EventLog, alarms: Alarms) -> None:
        self._source = keys.source
        self._routed = keys.routed
        self._sampling = keys.sampling
        self._tell = tell
        self._log = log
        self._alarms = alarms
        self._ring: KeyRing | None = None
        self._end_us = keys.end_us
        if self.client is not None:
            self.client.start()

    @property
    def client(self) -> KeyClient | None:
        """To wait for, where keys are served."""
        return self._source.client if isinstance(self._source, Served) else None

    def attached(self, found: bool) -> None:
        """A protection process is there; ``found``: it ran already, maybe with other keys than those of today."""
        if self._ring is not None:
            self._use(self._ring, quiet=True)
        elif found:
            self.reload(quiet=True)

    def reload(self, quiet: bool = False) -> None:
        """Read the file again. One that cannot be used changes nothing."""
        from agent.security.keys import KeyFileError, load

        path = self._source.path if isinstance(self._source, Served) else self._source
        try:
            self._use(load(path), quiet)
        except KeyFileError as error:
            self._refused(str(error), "keys")

    def hear(self) -> None:
        """What the servers have said since the last call."""
        from agent.keyserver.payloads import Refused

        assert isinstance(self._source, Served)
        for heard in self._source.client.heard():
            if heard.message is None:
                self._alarms.event("key_server_silent", "key-server", heard.why, f"key server {heard.server}")
                continue
            self._alarms.end("key-server")
            if isinstance(heard.message, Refused):
                if heard.message.group == keyset.GROUP:
                    self._refused(heard.message.why, heard.server)
                continue
            try:
                ring = self._source.take(heard)
            except ValueError as error:
                self._refused(str(error), heard.server)
                continue
            self._kept(self._source.unkept)
            if ring is not None:
                self._use(ring)

    def tick(self) -> None:
        """Now and then: tell in time that the keys come to an end."""
        margin_s = self._source.hold_s if isinstance(self._source, Served) else WARN_S
        if self._end_us is None or now_us() < self._end_us - margin_s * SECOND_US:
            self._alarms.end("keys-end")
        elif "keys-end" not in self._alarms:
            when = datetime.fromtimestamp(self._end_us // SECOND_US, UTC).isoformat().replace("+00:00", "Z")
            self._alarms.event("keys_run_out", "keys-end", f"no key is good beyond {when}", "keys")

    def _kept(self, why: str) -> None:
        if not why:
            self._alarms.end("keys-disk")
        elif self._alarms.show().get("keys-disk") != why:
            self._alarms.event("keys_not_kept", "keys-disk", why, "keys not on disk")

    def _refused(self, why: str, who: str) -> None:
        if self._alarms.show().get("keys") != why:
            self._alarms.event("keys_refused", "keys", why, who)

    def _use(self, ring: KeyRing, quiet: bool = False) -> None:
        try:
            chosen = keyset.choose(ring, self._routed, self._sampling, now_us())
        except ValueError as error:
            self._refused(str(error), "keys")
            return
        self._ring = ring
        used = keyset.groups_of(ring)[: 2 if self._sampling else 1]
        self._end_us = keyset.end_of(*([key.valid_until_us for key in ring.group(group)] for group in used))
        self._alarms.end("keys")
        self._tell(chosen.message())
        if not quiet:
            self._log.append("keys_loaded", now_us(), {"keys": ",".join(str(key.identifier) for key in chosen.keys)})

    def close(self) -> None:
        """End what runs."""
        if self.client is not None:
            self.client.close()

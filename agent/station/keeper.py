"""The keys of a running agent: out of a file that is read again when asked (SIGHUP), or from group key servers.

What servers hand out is written to a key file in the state directory (mode 0600) before it is used: an agent starts
from it while both servers are down. The last key of a chain is good for ``hold_s`` longer than its time, at all members
alike: as long as no server answers, the feeder goes on with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from agent.security.frames import Key, make_key
from agent.security.ring import GRACE_S
from agent.station import durable, keyset
from agent.station.alarms import Alarms
from agent.station.eventlog import EventLog

if TYPE_CHECKING:  # YAML and TLS are loaded by whom they serve: they have a price in memory
    from agent.keyserver.client import Heard, KeyClient
    from agent.keyserver.payloads import Keys
    from agent.keyserver.tls import Identity
    from agent.security.keys import KeyRing

NAME = "served-keys.yaml"
FIRST_PULL_S = 30.0
HOLD_S = 7 * 86_400
SECOND_US = 1_000_000


class ServerOptions(NamedTuple):
    """Where keys are served, and who we are."""

    servers: tuple[tuple[str, int], ...]
    identity: Identity
    hold_s: int = HOLD_S


def now_us() -> int:
    """UTC."""
    return time.time_ns() // 1000


def ring_of(told: dict[str, Keys], hold_s: int, now: int) -> KeyRing:
    """A ring out of what was told of each group, with times of our clock."""
    from agent.keyserver.payloads import FOREVER
    from agent.security.keys import KeyRing

    keys: list[Key] = []
    for group, entry in told.items():
        for key in entry.keys:
            last = key is entry.keys[-1]
            until = None if key.remaining_s == FOREVER else now + (key.remaining_s + hold_s * last) * SECOND_US
            begins = now + key.delay_s * SECOND_US if key.delay_s else None
            keys.append(
                make_key(key.identifier, key.algorithm, key.secret, group, valid_from_us=begins, valid_until_us=until)
            )
    return KeyRing(keys, GRACE_S)


class Served:
    """Keys from servers, and their copy on disk."""

    def __init__(self, options: ServerOptions, directory: Path) -> None:
        """IdentityError if the certificate files cannot be used."""
        from agent.keyserver.client import KeyClient

        self.path = directory / NAME
        self._hold_s = options.hold_s
        self._told: dict[str, Keys] = {}
        self.client = KeyClient(options.servers, options.identity, (keyset.GROUP, keyset.SAMPLES_GROUP))

    def first(self) -> str:
        """Start to ask; wait for the first keys if there are none on disk. What is wrong, or nothing."""
        self.client.start()
        if self.path.exists():
            return ""
        end, why = time.monotonic() + FIRST_PULL_S, "no answer"
        while time.monotonic() < end:
            for heard in self.client.heard():
                if self.take(heard) is not None:
                    return ""
                why = heard.why or getattr(heard.message, "why", "") or why
                if heard.message is not None and heard.message.group == keyset.GROUP:
                    return f"{heard.server}: {why}"
            time.sleep(0.05)
        return f"no key server gave keys in {FIRST_PULL_S:.0f} s: {why}"

    def take(self, heard: Heard) -> KeyRing | None:
        """What was heard; a ring if it changes ours, which is then on disk (OSError: it is not)."""
        from agent.keyserver.payloads import Keys
        from agent.security.keys import document_of

        message = heard.message
        if not isinstance(message, Keys) or not message.keys:
            return None
        self._told[message.group] = message
        if keyset.GROUP not in self._told:
            return None
        ring = ring_of(self._told, self._hold_s, now_us())
        durable.replace(self.path, document_of(ring).encode())
        return ring


class Keeper:
    """See the module. ``tell``: to the protection process; what has changed is told to the next one as well."""

    def __init__(
        self, source: Path | Served, routed: bool, tell: Callable[[dict[str, Any]], bool], log: EventLog, alarms: Alarms
    ) -> None:
        self._source = source
        self._routed = routed
        self._tell = tell
        self._log = log
        self._alarms = alarms
        self._ring: KeyRing | None = None

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
            self._alarms.event("keys_refused", "keys", str(error), "keys")

    def hear(self) -> None:
        """What the servers have said since the last call."""
        from agent.keyserver.payloads import Keys

        assert isinstance(self._source, Served)
        for heard in self._source.client.heard():
            if heard.message is None:
                self._alarms.event("key_server_silent", "key-server", heard.why, f"key server {heard.server}")
                continue
            self._alarms.end("key-server")
            try:
                ring = self._source.take(heard)
            except OSError as error:
                self._alarms.event("keys_not_kept", "keys-disk", error.strerror or str(error), "keys not on disk")
                continue
            if ring is not None:
                self._alarms.end("keys-disk")
                self._use(ring)
            elif not isinstance(heard.message, Keys) and heard.message.group == keyset.GROUP:
                self._alarms.event("keys_refused", "keys", heard.message.why, heard.server)

    def _use(self, ring: KeyRing, quiet: bool = False) -> None:
        try:
            chosen = keyset.choose(ring, self._routed, now_us())
        except ValueError as error:
            self._alarms.event("keys_refused", "keys", str(error), "keys")
            return
        self._ring = ring
        self._alarms.end("keys")
        self._tell(chosen.message())
        if not quiet:
            self._log.append("keys_loaded", now_us(), {"keys": ",".join(str(key.identifier) for key in chosen.keys)})

    def close(self) -> None:
        """End what runs."""
        if self.client is not None:
            self.client.close()

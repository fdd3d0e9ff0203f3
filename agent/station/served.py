"""Keys from group key servers, with times of our clock and a copy on disk.

What servers hand out is written to a key file in the state directory (mode 0600): an agent starts from it while no
server answers. The last key of a chain is good for ``hold_s`` longer than its time, at all members alike: as long as no
server answers, the feeder goes on with it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from agent.security.frames import Key, make_key
from agent.security.ring import GRACE_S
from agent.station import durable, keyset
from agent.time.clock import now_us

if TYPE_CHECKING:  # YAML and TLS are loaded by whom they serve: they have a price in memory
    from agent.keyserver.client import Heard, KeyClient
    from agent.keyserver.payloads import Keys, Tek
    from agent.keyserver.tls import Identity
    from agent.security.keys import KeyRing

NAME = "served-keys.yaml"
FIRST_PULL_S = 30.0
HOLD_S = 7 * 86_400
SECOND_US = 1_000_000
SLACK_US = 2 * SECOND_US
"""Times come in whole seconds, and are some time on their way: what differs by less is the same."""
LATEST_US = (SECOND_US << 32) - 1
GROUPS = (keyset.GROUP, keyset.SAMPLES_GROUP)


class ServerOptions(NamedTuple):
    """Where keys are served, and who we are."""

    servers: tuple[tuple[str, int], ...]
    identity: Identity
    hold_s: int = HOLD_S


# --- from what was told to keys with times ---------------------------------------------------------------------------


def ring_of(told: Keys, hold_s: int, now: int, before: KeyRing | None = None) -> KeyRing:
    """A ring out of what was just told of a group. A key that we had ``before`` keeps the times it had, unless they are
    others by more than the way takes; other groups keep their keys."""
    from agent.security.keys import KeyRing

    known = {key.identifier: key for key in before or ()}
    others = [key for key in before or () if key.group != told.group]
    chain = list(_chain(told, hold_s, now, known))
    former = list(_former([key for key in before or () if key.group == told.group], chain, now))
    room = keyset.SAMPLES_KEYS_MAX - len(chain)
    return KeyRing([*others, *former[max(0, len(former) - room) :], *chain], GRACE_S)


def _former(before: list[Key], chain: list[Key], now: int) -> Iterator[Key]:
    """Keys of which nothing is told any more, for the server has lost its own: current until the first one that is told
    begins, and then good for the grace. Others may not have heard of that one yet."""
    if not chain:
        return
    told = {key.identifier for key in chain}
    cut = max(now, min(key.valid_from_us or 0 for key in chain))
    for key in before:
        begins, until = key.valid_from_us or 0, min(key.valid_until_us or cut, cut)
        if key.identifier not in told and begins < min(now, until) and now < until + GRACE_S * SECOND_US:
            yield make_key(
                key.identifier, key.algorithm, key.secret, key.group,
                valid_from_us=key.valid_from_us, valid_until_us=until,
            )  # fmt: skip


def _chain(entry: Keys, hold_s: int, now: int, known: dict[int, Key]) -> Iterator[Key]:
    """What is told. A key is held until the next one begins, and the last one for ``hold_s``."""
    begun = False
    chain = entry.keys[-keyset.SAMPLES_KEYS_MAX :]  # more there are only after two servers were apart
    for told, following in zip_longest(chain, chain[1:]):
        held_s = hold_s if following is None else max(0, min(following.delay_s - told.remaining_s, hold_s))
        key = make_key(
            told.identifier, told.algorithm, told.secret, entry.group,
            valid_from_us=now + told.delay_s * SECOND_US if told.delay_s or begun else None,
            valid_until_us=_until(told, held_s, now),
        )  # fmt: skip
        begun |= told.delay_s == 0
        had = known.get(told.identifier)
        yield key if had is None or _what(had) != _what(key) else _steady(key, had, now)


def _until(told: Tek, held_s: int, now: int) -> int | None:
    from agent.keyserver.payloads import FOREVER

    if told.remaining_s == FOREVER:
        return None
    return min(now + (told.remaining_s + held_s) * SECOND_US, LATEST_US)


def _what(key: Key) -> tuple[int, str, bytes, str]:
    return key.identifier, key.algorithm.text, key.secret, key.group


def _steady(key: Key, had: Key, now: int) -> Key:
    """The key with the times it had."""
    begins, until = key.valid_from_us, key.valid_until_us
    if begins is None or begins == now:
        begins = had.valid_from_us if (had.valid_from_us or 0) <= now + SLACK_US else begins
    elif had.valid_from_us is not None and abs(begins - had.valid_from_us) <= SLACK_US:
        begins = had.valid_from_us
    over = until is not None and until <= now + SLACK_US
    if until is not None and had.valid_until_us is not None:
        same = abs(until - had.valid_until_us) <= SLACK_US or (over and had.valid_until_us <= now)
        until = had.valid_until_us if same else until
    return make_key(key.identifier, key.algorithm, key.secret, key.group, valid_from_us=begins, valid_until_us=until)


def same(one: KeyRing, other: KeyRing | None) -> bool:
    """The same keys with the same times."""
    return other is not None and {_timed(key) for key in one} == {_timed(key) for key in other}


def _timed(key: Key) -> tuple[object, ...]:
    return (*_what(key), key.valid_from_us, key.valid_until_us)


# --- the servers, and the copy ---------------------------------------------------------------------------------------


class Served:
    """See the module. The client's thread is started by whom it serves."""

    def __init__(self, options: ServerOptions, directory: Path) -> None:
        """IdentityError if the certificate files cannot be used."""
        self.path = directory / NAME
        self.hold_s = options.hold_s
        self.unkept = ""
        """Why the last ring is not on disk; empty if it is."""
        self._options = options
        self._ring: KeyRing | None = None
        self.client = self._new_client()

    def _new_client(self) -> KeyClient:
        from agent.keyserver.client import KeyClient

        return KeyClient(self._options.servers, self._options.identity, GROUPS)

    def first(self) -> str:
        """Keys to start with: the copy on disk, or what a server tells now. What is wrong, or nothing.

        No thread runs when it returns: the caller forks."""
        from agent.security.keys import KeyFileError, load

        why = "there is no copy"
        if self.path.exists():
            try:
                self._ring = load(self.path)
            except KeyFileError as error:
                why = str(error)
            else:
                if _lives(self._ring, now_us()):
                    return ""
                why = f"the keys in {self.path} are over"
        passing = self._new_client()
        try:
            passing.start()
            problem = self._wait(passing)
        finally:
            passing.close()
        return f"{problem}, and {why}" if problem else ""

    def _wait(self, client: KeyClient) -> str:
        """Until a server has said something of each group, and there are keys of the first one."""
        from agent.keyserver.payloads import Refused

        end, why, answered, ready = time.monotonic() + FIRST_PULL_S, "no answer", set[str](), False
        while time.monotonic() < end:
            for heard in client.heard():
                if heard.message is None:
                    why = f"{heard.server}: {heard.why}"
                    continue
                group = heard.message.group
                if isinstance(heard.message, Refused):
                    if group == keyset.GROUP:
                        return f"{heard.server}: {heard.message.why}"
                    answered.add(group)
                elif heard.message.keys:
                    answered.add(group)
                    ready |= self.take(heard) is not None or self._ring is not None
                else:
                    why = f"{heard.server} has no keys yet"
            if self.unkept:
                return f"{self.path}: {self.unkept}"
            if ready and answered.issuperset(GROUPS):
                return ""
            time.sleep(0.05)
        return f"no key server gave keys in {FIRST_PULL_S:.0f} s: {why}"

    def take(self, heard: Heard) -> KeyRing | None:
        """What was heard; a ring if it changes ours. ValueError if it cannot be used. It is on disk, or
        :attr:`unkept` says why not: a full disk must not silence the agent when the others go on to the next key."""
        from agent.keyserver.payloads import Keys
        from agent.security.keys import document_of

        message = heard.message
        if not isinstance(message, Keys) or not message.keys:
            return None
        ring = ring_of(message, self.hold_s, now_us(), self._ring)
        changed = not same(ring, self._ring)
        self._ring = ring
        if keyset.GROUP not in ring.groups or not (changed or self.unkept):
            return None
        self.unkept = ""
        try:
            durable.replace(self.path, document_of(ring).encode())
        except OSError as error:
            self.unkept = error.strerror or str(error)
        return ring if changed else None


def _lives(ring: KeyRing, now: int) -> bool:
    """A key of the scheme may still be used."""
    keys = ring.group(keyset.groups_of(ring)[0])
    return any(key.valid_until_us is None or now < key.valid_until_us for key in keys)

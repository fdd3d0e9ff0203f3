"""Who makes keys, when, and for whom: the state of a group key server, pure. Times are µs UTC.

A group has a chain of keys, each current from the end of the one before it. The next one is made, and handed out,
``ahead_s`` before it is current; the former one is handed out until hearers have forgotten it (``kept_s``).

No key is current as soon as it is made: members that ask now and then must have heard of it before (``NOTICE_S``).
So, when servers come back after the end of the last key, members go on with that one (``hold_s``) until the new one's
time has come; and the first key of an empty store is one that members sign with ahead of its time, if they have none.

====================  ==============================  ==================================================
server                the other one                   makes keys
====================  ==============================  ==================================================
number 1              has answered, or 5 s are over   yes: the next of the chain, or the first
number 2              heard in the last take-over     no: it takes over what number 1 has made
number 2              silent for longer               yes, from where the chain ends
====================  ==============================  ==================================================

Identifiers of number 1 are odd, those of number 2 even: both never make the same one. When they hear each other again,
each takes the other's keys: all of them verify, and of two that are current both sign with the one that began last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

from agent.keyserver.payloads import FOREVER, KEYS_MAX, REMAINING_MAX, Keys, Refused, Tek
from agent.security.frames import Algorithm

SECOND_US = 1_000_000
FIRST_PATIENCE_US = 5 * SECOND_US
NOTICE_S = 120
"""Longer than a member that found no server waits until it asks again."""
OVER_S = 1
"""Remaining life time of a key that is over: 0 would be one without an end."""


@dataclass(frozen=True, slots=True)
class GroupPolicy:
    """What the operator decided about a group."""

    name: str
    algorithm: Algorithm
    members: frozenset[str]
    """Common names of their certificates."""
    life_s: int = 86_400
    ahead_s: int = 3_600
    kept_s: int = 600
    hold_s: int = 604_800
    """How long members go on with the last key while no server answers: so long it is told as well."""


class Made(NamedTuple):
    """A key of a chain."""

    identifier: int
    algorithm: Algorithm
    secret: bytes
    from_us: int
    until_us: int


@dataclass(slots=True)
class Chain:
    """The keys of one group, by their beginning."""

    keys: list[Made]
    sequence: int = 0


class Authority:
    """See the module. What is made or taken over is told only after :meth:`announce`: the owner writes :attr:`chains`
    to disk before."""

    def __init__(
        self,
        policies: Iterable[GroupPolicy],
        number: int,
        random: Callable[[int], bytes],
        started_us: int,
        *,
        peer: str = "",
        takeover_s: int = 30,
    ) -> None:
        """``number``: 1 or 2. ``peer``: common name of the other server; empty: there is none."""
        if number not in (1, 2):
            raise ValueError("a key server is number 1 or 2")
        self.policies = {policy.name: policy for policy in policies}
        self.chains = {name: Chain([]) for name in self.policies}
        self._announced = {name: Chain([]) for name in self.policies}
        self._number = number
        self._random = random
        self._peer = peer
        self._takeover_us = takeover_s * SECOND_US
        self._started_us = started_us
        self._peer_heard_us = 0

    # --- making ------------------------------------------------------------------------------------------------------

    def makes(self, now: int) -> bool:
        """Is it ours to make keys now?"""
        if not self._peer:
            return True
        if self._number == 1:
            return bool(self._peer_heard_us) or now - self._started_us >= FIRST_PATIENCE_US
        return now - max(self._peer_heard_us, self._started_us) >= self._takeover_us

    def advance(self, now: int) -> None:
        """Make what is due, forget what is over."""
        for name, chain in self.chains.items():
            policy = self.policies[name]
            kept = _needed(chain.keys, policy, now)
            due = not kept or now >= kept[-1].until_us - policy.ahead_s * SECOND_US
            made = due and self.makes(now)
            if made:
                notice = now + min(policy.ahead_s, NOTICE_S) * SECOND_US
                kept.append(self._make(policy, max(notice, kept[-1].until_us if kept else notice)))
            if made or len(kept) != len(chain.keys):
                chain.keys = kept
                chain.sequence += 1

    def unannounced(self) -> list[str]:
        """The groups that have changed since."""
        return [name for name, chain in self.chains.items() if chain.sequence != self._announced[name].sequence]

    def announce(self) -> None:
        """All that there is now is on disk: from here on it is told."""
        self._announced = {name: Chain(list(chain.keys), chain.sequence) for name, chain in self.chains.items()}

    def _make(self, policy: GroupPolicy, begins: int) -> Made:
        size = 32 if 32 in policy.algorithm.secrets else 16
        return Made(
            self._identifier(), policy.algorithm, self._random(size), begins, begins + policy.life_s * SECOND_US
        )

    def _identifier(self) -> int:
        """Of our half, and not in use; what it was long ago does not matter."""
        used = {key.identifier for chain in self.chains.values() for key in chain.keys}
        while True:
            number = int.from_bytes(self._random(4), "big") & ~1 | (self._number == 1)
            if number and number not in used:
                return number

    # --- the other server --------------------------------------------------------------------------------------------

    def heard(self, now: int) -> None:
        """The other server has answered."""
        self._peer_heard_us = now

    def merge(self, told: Keys, now: int) -> bool:
        """Take over keys of the other server that we do not know; True: there were some. Those that are over are left:
        else two servers whose clocks differ would tell each other for ever what they had just forgotten."""
        self.heard(now)
        chain = self.chains.get(told.group)
        if chain is None:
            return False
        known = {key.identifier for key in chain.keys}
        new = [
            Made(key.identifier, key.algorithm, key.secret, now + key.delay_s * SECOND_US,
                 now + (key.remaining_s if key.remaining_s != FOREVER else REMAINING_MAX) * SECOND_US)
            for key in told.keys
            if key.identifier not in known and (key.delay_s or key.remaining_s != OVER_S)
        ]  # fmt: skip
        if not new:
            return False
        chain.keys = sorted([*chain.keys, *new], key=lambda key: (key.from_us, key.identifier))[-KEYS_MAX:]
        chain.sequence = max(chain.sequence, told.sequence) + 1
        return True

    # --- members -----------------------------------------------------------------------------------------------------

    def answer(self, member: str, group: str, now: int) -> Keys | Refused:
        """What a member may have of a group, of what was announced; the other server may have all."""
        policy = self.policies.get(group)
        if policy is None or (member not in policy.members and (not member or member != self._peer)):
            # The same words for both: who is not a member learns nothing about what groups there are.
            return Refused(group, f"{member or 'nobody'} is no member of such a group")
        chain = self._announced[group]
        return Keys(group, chain.sequence, tuple(_told(key, now) for key in chain.keys))


def _needed(keys: list[Made], policy: GroupPolicy, now: int) -> list[Made]:
    """Those that members may still use: the last one while they hold it, another one until the next has begun, and then
    until hearers have forgotten it."""

    def end(key: Made, following: Made | None) -> int:
        held = key.until_us + policy.hold_s * SECOND_US
        if following is None:
            return held
        return max(key.until_us, min(held, following.from_us)) + policy.kept_s * SECOND_US

    return [key for key, following in zip_longest(keys, keys[1:]) if now < end(key, following)]


def _told(key: Made, now: int) -> Tek:
    delay = max(0, -((now - key.from_us) // SECOND_US))
    remaining = min(max(OVER_S, (key.until_us - now) // SECOND_US), REMAINING_MAX)
    return Tek(key.identifier, key.algorithm, key.secret, delay, remaining)

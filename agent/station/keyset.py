"""Which keys of a ring an agent uses for what, and what cannot be used: pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from agent.security.frames import Key
from agent.station import plain
from agent.station.config import KeyConfig

if TYPE_CHECKING:
    from agent.security.keys import KeyRing

GROUP = "flisr"
"""The key group of the scheme; a file with other groups only is used by its first."""
SAMPLES_GROUP = "flisr-sv"
"""The group of the samples, where the file has it; else the same as GOOSE."""
SAMPLES_KEYS_MAX = 4
"""The compiled receiver's."""


class KeySet(NamedTuple):
    """What an agent signs and verifies with."""

    keys: tuple[KeyConfig, ...]
    samples: tuple[KeyConfig, ...]
    grace_s: int

    def message(self) -> dict[str, Any]:
        """For the protection process."""
        return {"t": "keys", "grace": self.grace_s, "keys": plain.dump(self.keys), "samples": plain.dump(self.samples)}


class KeySetError(ValueError):
    """The ring cannot be used; the text says which key and why."""


def groups_of(ring: KeyRing) -> tuple[str, str]:
    """The groups for GOOSE and for samples."""
    goose = GROUP if GROUP in ring.groups else ring.groups[0]
    return goose, SAMPLES_GROUP if SAMPLES_GROUP in ring.groups else goose


def config_of(key: Key) -> KeyConfig:
    """As it goes from one process to the other."""
    return KeyConfig(key.identifier, key.algorithm.text, key.secret, key.group, key.valid_from_us, key.valid_until_us)


def end_of(*groups: Sequence[int | None]) -> int | None:
    """When the first of these groups has no key any more, by the ends of its keys (µs UTC); None: never."""
    ends = [max((end or 0 for end in group), default=0) for group in groups if None not in group]
    return min(ends, default=None)


def living(keys: Sequence[Key], grace_s: int, now_us: int) -> tuple[Key, ...]:
    """Those that may still be used, the oldest first: the receiver of samples has room for a few."""
    found = [k for k in keys if k.valid_until_us is None or now_us < k.valid_until_us + grace_s * 1_000_000]
    return tuple(sorted(found, key=lambda k: k.valid_from_us or 0))


def samples_problems(group: str, keys: Sequence[Key]) -> list[str]:
    """What the receiver of samples cannot do with these keys."""
    wrong = [
        f"key {key.identifier} of group {group!r} is {key.algorithm.text}: samples are signed, not encrypted (a group "
        f"{SAMPLES_GROUP!r} serves them alone)"
        for key in keys
        if key.algorithm.encrypts
    ]
    if not keys:
        wrong.append(f"all keys of group {group!r} are over")
    if len(keys) > SAMPLES_KEYS_MAX:
        wrong.append(f"{len(keys)} keys in group {group!r}, at most {SAMPLES_KEYS_MAX} for samples")
    return wrong


def choose(ring: KeyRing, routed: bool, sampling: bool, now_us: int) -> KeySet:
    """The set for now, for an agent whose frames are ``routed`` or not and that has a merging unit (``sampling``) or
    not; KeySetError if a key is not for what it would be used for."""
    goose, samples = groups_of(ring)
    keys = ring.group(goose)
    for key in keys:
        if key.algorithm.encrypts and not routed:
            raise KeySetError(f"key {key.identifier} is {key.algorithm.text}: Ethernet frames are not encrypted")
    sampled = living(ring.group(samples), ring.grace_s, now_us) if sampling else ()
    problems = samples_problems(samples, sampled) if sampling else ()
    if problems:
        raise KeySetError(problems[0])
    return KeySet(tuple(map(config_of, keys)), tuple(map(config_of, sampled)), ring.grace_s)

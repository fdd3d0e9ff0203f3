"""The key file: one YAML file, mode 0600, read at start.

.. code-block:: yaml

    flisr-keys: 1
    grace-s: 300            # optional: how long a key verifies after the next one's time has come
    keys:
      - {id: 1, group: flisr, algorithm: hmac-sha256-128, secret: <base64>}
      - {id: 2, group: flisr, algorithm: aes-gmac-128, secret: <base64>, from: 2026-12-01T00:00:00Z}

``from`` and ``until`` (ISO 8601, UTC, both optional) say when a key's time is; the rules are in
:mod:`agent.security.ring`. Of keys without times the first one signs, all verify. A secret has 32 to 64 octets for
HMAC, 16 or 32 for AES. Errors name the file, the entry and the reason, never a secret.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from agent.security.frames import ALGORITHMS, Algorithm, Key, make_key
from agent.security.ring import GRACE_S, KeyGroup

FORMAT = 1
LABORATORY_SECRET = 32
GRACE_MAX_S = 86_400
FILE_MAX = 1 << 20
FIELDS = ("id", "group", "algorithm", "secret", "from", "until")


class KeyFileError(ValueError):
    """The key file cannot be used; the text says which entry and why."""


class KeyRing:
    """Keys by group and by identifier."""

    def __init__(self, keys: Iterable[Key], grace_s: int = GRACE_S) -> None:
        self._keys = tuple(keys)
        self.grace_s = grace_s
        seen: dict[int, Key] = {}
        for key in self._keys:
            if key.identifier in seen:
                raise KeyFileError(f"key id {key.identifier} is used twice ({seen[key.identifier].group}, {key.group})")
            seen[key.identifier] = key

    def __iter__(self) -> Iterator[Key]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def groups(self) -> tuple[str, ...]:
        """Names, in the order of the file."""
        return tuple(dict.fromkeys(key.group for key in self._keys))

    def group(self, name: str) -> tuple[Key, ...]:
        """This group's keys, in the order of the file; KeyFileError if there is none."""
        keys = tuple(key for key in self._keys if key.group == name)
        if not keys:
            known = ", ".join(self.groups) or "none"
            raise KeyFileError(f"no key for group {name!r} (groups in the file: {known})")
        return keys

    def schedule(self, name: str) -> KeyGroup:
        """This group's keys in time."""
        return KeyGroup(self.group(name), self.grace_s)

    def signing(self, name: str, now_us: int | None = None) -> Key:
        """The key that signs this group's frames, now if no time is given."""
        return self.schedule(name).signing(time.time_ns() // 1000 if now_us is None else now_us)


def load(path: str | Path) -> KeyRing:
    """Read a key file; KeyFileError names what is wrong with it."""
    path = Path(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise KeyFileError(f"{path}: cannot read: {error.strerror}") from error
    try:
        _check_file(path, os.fstat(descriptor))
    except KeyFileError:
        os.close(descriptor)
        raise
    with os.fdopen(descriptor, "rb") as file:
        octets = file.read(FILE_MAX + 1)
    if len(octets) > FILE_MAX:
        raise KeyFileError(f"{path}: larger than {FILE_MAX} bytes")
    try:
        document = yaml.safe_load(octets)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        raise KeyFileError(f"{path}: not YAML{where}") from None  # the error's text may quote a secret
    if not isinstance(document, dict) or document.get("flisr-keys") != FORMAT:
        raise KeyFileError(f"{path}: not a key file (expected 'flisr-keys: {FORMAT}')")
    unknown = sorted(str(name) for name in document if name not in ("flisr-keys", "grace-s", "keys"))
    if unknown:
        raise KeyFileError(f"{path}: unknown field {unknown[0]!r}")
    grace_s = document.get("grace-s", GRACE_S)
    if isinstance(grace_s, bool) or not isinstance(grace_s, int) or not 0 <= grace_s <= GRACE_MAX_S:
        raise KeyFileError(f"{path}: grace-s must be a number of seconds, up to {GRACE_MAX_S}")
    entries = document.get("keys")
    if not isinstance(entries, list) or not entries:
        raise KeyFileError(f"{path}: no keys")
    try:
        return KeyRing([_key(entry, number) for number, entry in enumerate(entries, 1)], grace_s)
    except KeyFileError as error:
        raise KeyFileError(f"{path}: {error}") from None


def _check_file(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileError(f"{path}: not a regular file")
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise KeyFileError(f"{path}: mode {mode:04o} lets others read the keys; expected 0600")
    if status.st_uid not in (os.geteuid(), 0):
        raise KeyFileError(f"{path}: belongs to user {status.st_uid}, not to us or root")


def _key(entry: Any, number: int) -> Key:
    where = f"key {number}"
    if not isinstance(entry, dict):
        raise KeyFileError(f"{where}: expected id, group, algorithm, secret")
    unknown = sorted(str(name) for name in entry if name not in FIELDS)
    if unknown:
        raise KeyFileError(f"{where}: unknown field {unknown[0]!r}")
    identifier, group = entry.get("id"), entry.get("group")
    if isinstance(identifier, bool) or not isinstance(identifier, int) or not 1 <= identifier <= 0xFFFFFFFF:
        raise KeyFileError(f"{where}: id must be a number from 1 to 2^32-1")
    where = f"key {number} (id {identifier})"
    if not isinstance(group, str) or not group or len(group) > 64:
        raise KeyFileError(f"{where}: group must be a name")
    algorithm = ALGORITHMS.get(str(entry.get("algorithm")))
    if algorithm is None:
        raise KeyFileError(
            f"{where}: unknown algorithm {str(entry.get('algorithm'))[:40]!r}; known: {', '.join(ALGORITHMS)}"
        )
    secret = entry.get("secret")
    try:
        octets = base64.b64decode(secret, validate=True) if isinstance(secret, str) else b""
    except (binascii.Error, ValueError):
        raise KeyFileError(f"{where}: the secret is not base64") from None
    if len(octets) not in algorithm.secrets:
        raise KeyFileError(
            f"{where}: the secret has {len(octets)} octets; {algorithm.text} expects {algorithm.secret_text}"
        )
    begins, ends = _moment(entry.get("from"), f"{where}: from"), _moment(entry.get("until"), f"{where}: until")
    if ends is not None and ends <= (begins or 0):
        raise KeyFileError(f"{where}: until is not after from")
    return make_key(identifier, algorithm, octets, group, valid_from_us=begins, valid_until_us=ends)


def _moment(value: Any, where: str) -> int | None:
    """µs UTC of an ISO 8601 time. YAML has made a datetime of it already, unless it was quoted or not one."""
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise KeyFileError(f"{where}: expected an ISO 8601 time as 2026-12-01T00:00:00Z") from None
    if not isinstance(value, datetime):
        kind = "a time of day is missing" if isinstance(value, date) else "expected an ISO 8601 time"
        raise KeyFileError(f"{where}: {kind}")
    if value.tzinfo is None or value.utcoffset() != timedelta(0):
        raise KeyFileError(f"{where}: expected UTC (…Z)")
    moment = (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    if not 0 < moment < 1_000_000 << 32:
        raise KeyFileError(f"{where}: a time from 1970 to 2106 is needed")
    return moment


def document_of(ring: KeyRing) -> str:
    """The text of a key file."""
    document: dict[str, Any] = {"flisr-keys": FORMAT}
    if ring.grace_s != GRACE_S:
        document["grace-s"] = ring.grace_s
    document["keys"] = [_entry(key) for key in ring]
    return yaml.safe_dump(document, sort_keys=False)


def _entry(key: Key) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": key.identifier,
        "group": key.group,
        "algorithm": key.algorithm.text,
        "secret": base64.b64encode(key.secret).decode("ascii"),
    }
    for name, moment in (("from", key.valid_from_us), ("until", key.valid_until_us)):
        if moment is not None:
            entry[name] = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment)
    return entry


def _fresh(number: int, group: str, algorithm: Algorithm) -> Key:
    size = LABORATORY_SECRET if LABORATORY_SECRET in algorithm.secrets else 16
    return make_key(number, algorithm, secrets.token_bytes(size), group)


def write_laboratory_keys(
    path: str | Path,
    groups: Iterable[str],
    algorithm: Algorithm = Algorithm.HMAC_SHA256_128,
    others: Mapping[str, Algorithm] = MappingProxyType({}),
) -> tuple[Key, ...]:
    """A new key file, mode 0600, one fresh random key a group; FileExistsError rather than overwrite one.

    ``others``: groups with an algorithm of their own.
    """
    wanted = {**dict.fromkeys(groups, algorithm), **others}
    if not wanted:
        raise KeyFileError("no group named")
    keys = tuple(_fresh(number, *group) for number, group in enumerate(wanted.items(), 1))
    text = "# Laboratory keys: static, shared, not for a real feeder.\n" + document_of(KeyRing(keys))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return keys

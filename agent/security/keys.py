"""Static laboratory keys: one YAML file, mode 0600, read at start. (Key distribution by group is a later issue.)

.. code-block:: yaml

    flisr-keys: 1
    keys:
      - {id: 1, group: flisr, algorithm: hmac-sha256-128, secret: <base64, 32 to 64 octets>}

A group may have several keys: the first one signs, all of them verify. Errors name the file, the entry and the reason,
never a secret.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from agent.security.frames import Algorithm, Key

FORMAT = 1
SECRET_MIN = 32
SECRET_MAX = 64
FILE_MAX = 1 << 20
ALGORITHMS = {algorithm.text: algorithm for algorithm in Algorithm}


class KeyFileError(ValueError):
    """The key file cannot be used; the text says which entry and why."""


class KeyRing:
    """Keys by group and by identifier."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = tuple(keys)
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
        """The keys that verify this group's frames, the signing one first; KeyFileError if there is none."""
        keys = tuple(key for key in self._keys if key.group == name)
        if not keys:
            known = ", ".join(self.groups) or "none"
            raise KeyFileError(f"no key for group {name!r} (groups in the file: {known})")
        return keys

    def signing(self, name: str) -> Key:
        """The key that signs this group's frames."""
        return self.group(name)[0]


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
    entries = document.get("keys")
    if not isinstance(entries, list) or not entries:
        raise KeyFileError(f"{path}: no keys")
    try:
        return KeyRing([_key(entry, number) for number, entry in enumerate(entries, 1)])
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
    unknown = sorted(str(name) for name in entry if name not in ("id", "group", "algorithm", "secret"))
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
    if not SECRET_MIN <= len(octets) <= SECRET_MAX:
        raise KeyFileError(f"{where}: the secret has {len(octets)} octets; expected {SECRET_MIN} to {SECRET_MAX}")
    return Key(identifier, algorithm, octets, group)


def write_laboratory_keys(
    path: str | Path, groups: Iterable[str], algorithm: Algorithm = Algorithm.HMAC_SHA256_128
) -> tuple[Key, ...]:
    """A new key file, mode 0600, one fresh random key a group; FileExistsError rather than overwrite one."""
    names = list(dict.fromkeys(groups))
    if not names:
        raise KeyFileError("no group named")
    keys = tuple(
        Key(number, algorithm, secrets.token_bytes(SECRET_MIN), group) for number, group in enumerate(names, 1)
    )
    entries = [
        {
            "id": key.identifier,
            "group": key.group,
            "algorithm": algorithm.text,
            "secret": base64.b64encode(key.secret).decode("ascii"),
        }
        for key in keys
    ]
    text = "# Laboratory keys: static, shared, not for a real feeder.\n"
    text += yaml.safe_dump({"flisr-keys": FORMAT, "keys": entries}, sort_keys=False)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return keys

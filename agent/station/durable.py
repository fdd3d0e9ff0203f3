"""Small documents that survive a loss of power: replaced as a whole, never edited; sealed ones have a checksum."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any


def seal(version: int, record: Any) -> bytes:
    """The file's content: a record (JSON values) and the CRC-32 of its canonical form."""
    return json.dumps({"version": version, "record": record, "crc32": _check(record)}, indent=1).encode() + b"\n"


def unseal(version: int, data: bytes) -> Any:
    """The record in a file's content; ValueError says what is wrong with it."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(document, dict) or document.get("version") != version:
        raise ValueError("not a file of this version")
    if document.get("crc32") != _check(document.get("record")):
        raise ValueError("checksum does not match")
    return document["record"]


def _check(record: Any) -> int:
    return zlib.crc32(json.dumps(record, sort_keys=True, separators=(",", ":")).encode())


def replace(path: Path, data: bytes, mode: int = 0o600) -> None:
    """On disk when it returns: temporary file, fsync, rename, fsync of the directory. OSError: the former stands."""
    stage(path, data, mode)
    settle(path)


def stage(path: Path, data: bytes, mode: int = 0o600) -> None:
    """The first half: on disk beside the former, which :func:`settle` has yet to replace by it."""
    beside = _beside(path)
    beside.unlink(missing_ok=True)  # of a write that was cut short; whatever it is, nothing is written into it
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def settle(path: Path) -> None:
    """The second half."""
    _beside(path).rename(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")

"""The lock-out on disk: one small JSON file with a checksum, replaced atomically, never edited.

Written by the station process: temporary file, fsync, rename, fsync of the directory; only then is "latched" announced.
A missing file is a new device and starts free. A file that cannot be read, parsed or trusted starts locked: somebody
must look at it and release it. A full disk leaves the old file in place and is reported as not latched.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from agent.logic.messages import LockRecord
from agent.station import durable, plain

NAME = "latch.json"
VERSION = 1


class Restored(NamedTuple):
    """What was found at start."""

    record: LockRecord | None
    """None: nothing ever latched here, or unreadable."""
    unreadable: str = ""
    """Why the file cannot be trusted; empty if it can or if there is none."""


def encode(record: LockRecord) -> bytes:
    """The file's content."""
    return durable.seal(VERSION, plain.dump(record))


def decode(data: bytes) -> LockRecord:
    """The record in a file's content; ValueError says what is wrong with it."""
    record = plain.load(LockRecord, durable.unseal(VERSION, data))
    if min(record.claim_number, record.claim_zones, record.request_number) < 0:
        raise ValueError("a negative number")
    return record


class LatchFile:
    """The latch of one agent in its state directory. One writer: the station process."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / NAME

    def read(self) -> Restored:
        """What a starting agent must take over."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return Restored(None)
        except OSError as error:
            return Restored(None, f"{self.path}: {error.strerror}")
        try:
            return Restored(decode(data))
        except ValueError as error:
            return Restored(None, f"{self.path}: {error}")

    def write(self, record: LockRecord) -> str:
        """Make the record durable. Returns "" when it is on disk, else why not; the former file then still stands."""
        try:
            durable.replace(self.path, encode(record))
        except OSError as error:
            return f"{self.path}: {error.strerror or error}"
        return ""

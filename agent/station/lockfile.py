"""One process of a kind per state directory, by an advisory lock that ends with the process, however it ends."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

_held: list[int] = []


def lock(directory: Path, name: str, wait_s: float = 0.0) -> int | None:
    """Take ``name.lock`` for the life of this process; None if another process holds it (after ``wait_s``)."""
    descriptor = os.open(directory / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    end = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() >= end:
                os.close(descriptor)
                return None
            time.sleep(0.02)
        else:
            _held.append(descriptor)
            return descriptor

"""GOOSE state numbers that grow over restarts: a reserve on disk, so that no number is written in the fast path.

The file holds, for each control block, a mark above every stNum ever sent. A starting publisher begins at the mark; the
station process moves the mark ahead long before it is reached. A missing or unreadable file starts at 1: subscribers
then accept the publisher by its newer time stamp (authenticated), as after any device's restart.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from agent.station import durable

NAME = "numbers.json"
RESERVE = 100_000
LIMIT = 0xFFFF_FFFF


class NumberReserve:
    """The reserve of one agent."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / NAME
        self._marks = self._read()

    def _read(self) -> dict[str, int]:
        try:
            data = json.loads(self.path.read_bytes())
            return {str(name): int(mark) for name, mark in data.items() if 0 < int(mark) < LIMIT}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    def next(self) -> dict[str, int]:
        """First stNum of each control block for a protection process that starts now."""
        return dict(self._marks)

    def keep(self, numbers: dict[str, int]) -> None:
        """Tell what was sent last; writes only when a reserve is half used."""
        moved = {
            name: number + RESERVE
            for name, number in numbers.items()
            if self._marks.get(name, 0) < number + RESERVE // 2 and number + RESERVE < LIMIT
        }
        if not moved:
            return
        self._marks.update(moved)
        with contextlib.suppress(OSError):
            durable.replace(self.path, json.dumps(self._marks).encode())

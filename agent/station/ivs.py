"""The IVs of one agent over restarts (:mod:`agent.security.iv`): the end of the last block that was given, on disk.

A protection process takes its block when it starts, under its lock and before anything is signed: the mark behind the
block is on disk first. A file that is missing or damaged, or cannot be written, makes the block begin at a random
place: a disk that is full must not silence the protection, and must not repeat an IV either.
"""

from __future__ import annotations

from pathlib import Path

from agent.security import iv
from agent.station import durable

NAME = "ivs.json"
VERSION = 1


class IvReserve:
    """The mark in a state directory. One writer: the protection process that starts."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / NAME

    def take(self) -> range:
        """A block that no other process had or will have; IvError when there is no room for one."""
        found = self._mark()
        made = iv.block(iv.beginning() if found is None else found)
        try:
            durable.replace(self.path, durable.seal(VERSION, made.stop))
        except OSError:
            return iv.block(iv.beginning())
        return made

    def _mark(self) -> int | None:
        try:
            mark = durable.unseal(VERSION, self.path.read_bytes())
        except (OSError, ValueError):
            return None
        return mark if isinstance(mark, int) and 0 <= mark <= iv.LIMIT else None

"""The IVs of one agent over restarts (:mod:`agent.security.iv`): the end of the last block that was given, on disk.

A protection process takes its block when it starts, under its lock and before anything is signed: the mark behind the
block is on disk first. A file that is missing or damaged, or cannot be written, makes the block begin at a random
place: a disk that is full must not silence the protection, and must not repeat an IV either.
"""

from __future__ import annotations

from pathlib import Path

from agent.security import iv
from agent.station import durable
from agent.station.marks import NAME as MARKS

NAME = "ivs.json"
VERSION = 1


class IvReserve:
    """The mark in a state directory. One writer: the protection process that starts."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / NAME
        self.problem = ""
        """Why the block begins at a random place although this is not the first start; empty if it does not."""

    def take(self) -> range:
        """A block that no other process had or will have; IvError when there is no room for one."""
        found = self._mark()
        made = iv.block(iv.beginning() if found is None else found)
        try:
            durable.replace(self.path, durable.seal(VERSION, made.stop))
        except OSError as error:
            self.problem = f"{self.path}: {error.strerror or error}"
            return iv.block(iv.beginning())
        return made

    def _mark(self) -> int | None:
        try:
            mark = durable.unseal(VERSION, self.path.read_bytes())
            if not isinstance(mark, int) or not 0 <= mark <= iv.LIMIT:
                raise ValueError(f"{mark} is no mark")
        except FileNotFoundError:
            if (self.path.parent / MARKS).exists():
                self.problem = f"{self.path}: lost"
            return None
        except (OSError, ValueError) as error:
            self.problem = f"{self.path}: {getattr(error, 'strerror', None) or error}"
            return None
        return mark

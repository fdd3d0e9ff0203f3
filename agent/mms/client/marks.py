"""How far the reports of each buffered block were taken, in a file, so that the next run goes on behind them.

A mark is set when the consumer asks for what comes after a report. The file is replaced as a whole and synchronised to
the disk a fifth of a second after at the latest, off the event loop, and at the end: a crash repeats the reports of
that time and loses none.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Final

from agent.station import durable

WRITE_EVERY_S: Final = 0.2
VERSION: Final = 1
MODE: Final = 0o666
"""Less what the user's umask takes away: there is no secret in it."""


class MarksError(ValueError):
    """The file is none of marks; the text says why."""


class Marks:
    """EntryIDs by server and block. ``path`` None: for this run only."""

    def __init__(self, path: Path | None = None) -> None:
        """MarksError, OSError."""
        self._path = path
        self._marks: dict[str, dict[str, bytes]] = {} if path is None else _read(path)
        self._writer: asyncio.Task[None] | None = None
        self._dirty = False
        self.problem = ""
        """Why the file could not be written."""

    @property
    def kept(self) -> bool:
        """Whether another run will know them."""
        return self._path is not None

    def block_of(self, server: str, base: str) -> tuple[str, bytes | None]:
        """The instance of a block that has a mark (empty: none), and the mark."""
        marks = self._marks.get(server, {})
        for block, entry_id in marks.items():
            if block == base or (block.startswith(base) and block[len(base) :].isdigit()):
                return block, entry_id
        return "", None

    def taken(self, server: str, block: str, entry_id: bytes) -> None:
        """Everything up to this report was taken."""
        self._marks.setdefault(server, {})[block] = entry_id
        if self._path is not None:
            self._dirty = True
            if self._writer is None or self._writer.done():
                self._writer = asyncio.get_running_loop().create_task(self._soon())

    async def close(self) -> None:
        """Write what is not yet written; OSError."""
        if self._writer is not None:
            await self._writer
        if self._dirty:
            await self._write()

    async def _soon(self) -> None:
        await asyncio.sleep(WRITE_EVERY_S)
        try:
            await self._write()
            self.problem = ""
        except OSError as error:
            self.problem = f"{self._path}: {error.strerror or error}"

    async def _write(self) -> None:
        assert self._path is not None
        self._dirty = False
        content = {
            "version": VERSION,
            "taken": {server: {k: v.hex() for k, v in marks.items()} for server, marks in self._marks.items()},
        }
        try:
            await asyncio.to_thread(durable.replace, self._path, json.dumps(content, indent=1).encode(), MODE)
        except OSError:
            self._dirty = True
            raise


def _read(path: Path) -> dict[str, dict[str, bytes]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] != VERSION:
            raise MarksError(f"{path}: version {content['version']}, not {VERSION}")
        return {
            str(server): {str(block): bytes.fromhex(entry) for block, entry in marks.items()}
            for server, marks in content["taken"].items()
        }
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, MarksError):
            raise
        raise MarksError(f"{path}: no file of marks ({type(error).__name__}: {error})") from None

"""What a breaker's IED keeps on disk: the block, and how far its agent's orders had come. Written with fsync.

The mark of the order stream is kept as well, so that a restart opens no window for a replayed order.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

from agent.goose.known import Mark
from agent.station import durable
from simulator.ieds.cabinet import Retained

NAME = "retained.json"


def read(directory: Path) -> tuple[Retained | None, Mark | None]:
    """Block and mark. Nothing is blocked if there never was a file; the block is None if it cannot be read."""
    try:
        document = json.loads((directory / NAME).read_bytes())
    except FileNotFoundError:
        return Retained(False, None), None
    except (OSError, ValueError):
        return None, None
    match document:
        case {"block_close": bool(block), "close_number": int(number), "mark": [int(st_num), int(t_us), int(sq_num)]}:
            return Retained(block, number), Mark(st_num, t_us, sq_num)
        case {"block_close": bool(block), "close_number": None, "mark": None}:
            return Retained(block, None), None
    return None, None


def write(directory: Path, retained: Retained, mark: Mark | None) -> None:
    """Durable when it returns; OSError if it is not."""
    durable.replace(directory / NAME, json.dumps({**retained._asdict(), "mark": mark}).encode())


class Keeper:
    """Writes the newest state in a thread of its own: a slow disk must not delay a trip or a position.

    ``failed`` is called with the reason, in that thread, when a state could not be written.
    """

    def __init__(self, directory: Path, failed: Callable[[str], None]) -> None:
        self._directory = directory
        self._failed = failed
        self._newest: tuple[Retained, Mark | None] | None = None
        self._busy = False
        self._changed = threading.Condition()
        threading.Thread(target=self._work, name="retained", daemon=True).start()

    def keep(self, retained: Retained, mark: Mark | None) -> None:
        """This state is the one to be found after a loss of power."""
        with self._changed:
            self._newest = (retained, mark)
            self._changed.notify_all()

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until what was asked for is on disk (or has failed)."""
        with self._changed:
            return self._changed.wait_for(lambda: self._newest is None and not self._busy, timeout_s)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._newest is not None)
                assert self._newest is not None
                (retained, mark), self._newest, self._busy = self._newest, None, True
            try:
                write(self._directory, retained, mark)
            except OSError as error:
                self._failed(str(error))
            with self._changed:
                self._busy = False
                self._changed.notify_all()

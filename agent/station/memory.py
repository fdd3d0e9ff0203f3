"""What one agent remembers over restarts: the lock-out, the state numbers it has sent, the marks of what it has heard.

The station process alone writes; the protection process gets all of it when it starts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from agent.goose.known import Mark
from agent.logic.messages import LockRecord
from agent.station import plain
from agent.station.alarms import Alarms
from agent.station.latch import LatchFile
from agent.station.marks import MarksFile
from agent.station.numbers import NumberReserve
from agent.station.snapshot import Snapshot


class Remembered(NamedTuple):
    """For a protection process that starts now."""

    record: LockRecord | None
    unreadable: str
    """Why the latch cannot be trusted; empty if it can."""
    numbers: dict[str, int]
    marks: dict[str, Mark]


class Memory:
    """The three files in the state directory; what is wrong with them becomes an alarm."""

    def __init__(self, directory: Path, alarms: Alarms) -> None:
        self._alarms = alarms
        self._latch = LatchFile(directory)
        self._numbers = NumberReserve(directory)
        self._marks = MarksFile(directory)

    def start(self) -> Remembered:
        """All of it, as it is now."""
        record, unreadable = self._latch.read()
        if unreadable:
            self._alarms.event("latch_unreadable", "latch", unreadable, "latch unreadable, starts locked out")
        numbers = self._numbers.next()
        marks, missing = self._marks.start(ran_before=bool(numbers))
        if missing:
            self._alarms.event("marks_unreadable", "marks", missing, "replays are told by their age only")
        return Remembered(record, unreadable, numbers, marks)

    def latch(self, message: dict[str, Any]) -> bool:
        """Write what the protection process asks to have latched; whether it is on disk."""
        why = self._latch.write(plain.load(LockRecord, message["record"]))
        if why:
            self._alarms.event("latch_failed", "latch", why, "lock-out is not on disk")
        else:
            self._alarms.end("latch")
        return not why

    def follow(self, snap: Snapshot, now: float) -> None:
        """Keep up with the protection process (``now``: s, monotonic); writes seldom."""
        self._numbers.keep(snap.numbers)
        self._marks.show(snap.marks)
        self._keep_marks(now)

    def close(self, now: float) -> None:
        """Nothing comes after this: write what is not on disk yet."""
        self._keep_marks(now, last=True)

    def _keep_marks(self, now: float, last: bool = False) -> None:
        why = self._marks.keep(now, last)
        if why == "":
            self._alarms.end("marks")
        elif why is not None and self._alarms.show().get("marks") != why:
            self._alarms.event("marks_failed", "marks", why, "marks are not on disk")

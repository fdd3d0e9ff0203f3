"""How far each GOOSE stream had come, on disk: what was recorded before a restart is a replay after it.

Each subscriber has a mark (:class:`agent.goose.subscriber.Mark`). The protection process shows its marks with every
snapshot; the station process writes them and gives them to the next protection process. A mark whose state has changed
is on disk about a second later, one that only counts repetitions on after ten, so that a quiet feeder does not wear its
flash out. What came between the last write and a loss of power is known to nobody: a frame of that time is accepted
once more if it is young enough for the subscriber, and before the real publisher is heard. At an orderly stop, and when
only the protection process ends, nothing is missing.

A missing or damaged file leaves the age limit alone until each stream has been heard once: it is said, with alarm.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agent.goose.known import Mark
from agent.station import durable, plain

NAME = "marks.json"
VERSION = 1
PAUSE_S = 1.0
"""Between two writes, at least."""
REPETITIONS_S = 10.0
"""The same, while no state changes: the subscriber's age limit."""
LIMIT = 1 << 63


def encode(marks: Mapping[str, Mark]) -> bytes:
    """The file's content: by control block reference, stNum, t and sqNum."""
    return durable.seal(VERSION, {reference: list(mark) for reference, mark in marks.items()})


def decode(data: bytes) -> dict[str, Mark]:
    """The marks in a file's content; ValueError says what is wrong with it."""
    record = durable.unseal(VERSION, data)
    if not isinstance(record, dict):
        raise ValueError("no marks")
    marks = plain.load(dict[str, Mark], record)
    if any(not 0 <= number < LIMIT for mark in marks.values() for number in mark if number is not None):
        raise ValueError("a number out of range")
    return marks


def pause_s(written: Mapping[str, Mark] | None, shown: Mapping[str, Mark]) -> float | None:
    """How long after the last write these marks are to be written; None: they are what stands there."""
    if written == shown:
        return None
    if written is None or written.keys() != shown.keys():
        return PAUSE_S
    moved = any(written[reference][:2] != mark[:2] for reference, mark in shown.items())
    return PAUSE_S if moved else REPETITIONS_S


class MarksFile:
    """The marks of one agent in its state directory. One writer: the station process."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / NAME
        self._shown: dict[str, Mark] | None = None
        self._written: dict[str, Mark] | None = None
        self._tried = float("-inf")

    def start(self, ran_before: bool) -> tuple[dict[str, Mark], str]:
        """For a protection process that starts now: marks, and why they are not to be had although they should be."""
        if self._shown is not None:
            return self._shown, ""  # newer than what is on disk
        try:
            self._written = decode(self.path.read_bytes())
        except FileNotFoundError:
            return {}, f"{self.path}: lost" if ran_before else ""
        except OSError as error:
            return {}, f"{self.path}: {error.strerror}"
        except ValueError as error:
            return {}, f"{self.path}: {error}"
        return dict(self._written), ""

    def show(self, marks: dict[str, Mark]) -> None:
        """What the protection process has now."""
        self._shown = marks

    def keep(self, now: float, last: bool = False) -> str | None:
        """Write if it is time (s, monotonic) or this is the ``last`` chance.

        None: nothing was written; "": it is on disk; else why not, and it is tried again.
        """
        if self._shown is None:
            return None
        pause = pause_s(self._written, self._shown)
        if pause is None or (now - self._tried < pause and not last):
            return None
        self._tried = now
        try:
            durable.replace(self.path, encode(self._shown))
        except OSError as error:
            return f"{self.path}: {error.strerror or error}"
        self._written = self._shown
        return ""

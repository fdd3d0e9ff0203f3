"""The event log: one JSON object a line in ``events.jsonl``, in the order in which things happened.

Every line has ``name``, ``t_us`` (UTC microseconds of the event, not of the writing), ``device`` and ``details``, and
``time_quality``, what was known of the clock when it was written.
A full disk loses lines, counts them, and says so in the first line that fits again; it never stops the agent.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

NAME = "events.jsonl"
SIZE_LIMIT = 64 * 1024 * 1024
"""At this size the file becomes ``events.jsonl.1`` (replacing the one before)."""


class EventLog:
    """Appends lines to the log of one agent."""

    def __init__(self, directory: Path, device: str) -> None:
        self.path = directory / NAME
        self._device = device
        self._fd: int | None = None
        self._size = 0
        self.time_quality: int | None = None
        """The octet of IEC 61850-8-1 for the lines that follow; None: not known yet."""
        self.lost = 0
        """Lines that could not be written."""
        self.problem = ""
        """Why the last line could not be written; empty when all is well."""

    def append(self, name: str, t_us: int, details: Mapping[str, object]) -> None:
        """Write one line; never raises."""
        entry = {"name": name, "t_us": t_us, "device": self._device, "details": details}
        if self.time_quality is not None:
            entry["time_quality"] = self.time_quality
        if self.lost:
            entry["lost_lines_before"] = self.lost
        line = json.dumps(entry, separators=(",", ":"), default=str).encode() + b"\n"
        try:
            self._write(line)
        except OSError as error:
            self.lost += 1
            self.problem = f"{self.path}: {error.strerror or error}"
            return
        self.lost = 0
        self.problem = ""

    def _write(self, line: bytes) -> None:
        if self._fd is None:
            self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
            self._size = os.fstat(self._fd).st_size
            if self._size and self._last_byte() != b"\n":
                line = b"\n" + line
        if self._size > SIZE_LIMIT:
            os.close(self._fd)
            self._fd = None
            self.path.rename(self.path.with_name(NAME + ".1"))
            self._write(line)
            return
        written = os.write(self._fd, line)
        self._size += written
        if written < len(line):
            # Half a line on a full disk: take it back so that the file stays readable line by line.
            self._size -= written
            os.ftruncate(self._fd, self._size)
            raise OSError(28, os.strerror(28))

    def _last_byte(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1)

    def close(self) -> None:
        """Close the file."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

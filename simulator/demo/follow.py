"""What the processes of a run write, read as it grows: agents' events, breakers' words, the truth of the plant."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple


class Line(NamedTuple):
    """One thing that was reported; ``source`` is agent, breaker, plant or demo."""

    t_us: int
    source: str
    device: str
    name: str
    details: dict[str, Any]

    def plain(self, zero_us: int) -> dict[str, Any]:
        """For events.jsonl, with milliseconds from the first happening."""
        return {
            "t_us": self.t_us,
            "ms": round((self.t_us - zero_us) / 1000, 3),
            "source": self.source,
            "device": self.device,
            "name": self.name,
            "details": self.details,
        }


class _File:
    def __init__(self, path: Path, source: str, device: str) -> None:
        self.path, self.source, self.device = path, source, device
        self._offset = 0

    def poll(self) -> list[Line]:
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        lines = (self._line(text) for text in whole.splitlines())
        return [line for line in lines if line is not None]

    def _line(self, text: bytes) -> Line | None:
        try:
            item = json.loads(text)
            match self.source:
                case "plant":
                    t_us, name = int(item.pop("time_us")), str(item.pop("kind"))
                    return Line(t_us, "plant", str(item.get("device", "")), name, item)
                case "breaker":
                    t_us, name = int(item.pop("t_us")), str(item.pop("event"))
                    return Line(t_us, "breaker", self.device, name, item)
            return Line(int(item["t_us"]), "agent", self.device, str(item["name"]), dict(item["details"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


class Follower:
    """Reads what is new at each :meth:`poll`, in order of time."""

    def __init__(self, files: Iterable[tuple[Path, str, str]]) -> None:
        self._files = [_File(*entry) for entry in files]
        self.lines: list[Line] = []

    def poll(self) -> list[Line]:
        """New lines since the last call."""
        new = [line for file in self._files for line in file.poll()]
        new.sort(key=lambda line: line.t_us)
        self.lines += new
        return new

    def add(self, line: Line) -> None:
        """A line of the demonstration itself."""
        self.lines.append(line)

    def ordered(self) -> list[Line]:
        """All lines in order of time."""
        return sorted(self.lines, key=lambda line: line.t_us)

"""What asks for a person: each alarm is logged and said when it begins, and shown by the status until it is over."""

from __future__ import annotations

from collections.abc import Callable

from agent.station.eventlog import EventLog
from agent.time.clock import now_us


class Alarms:
    """The alarms of one agent, by what they are about."""

    def __init__(self, log: EventLog, say: Callable[[str], None]) -> None:
        self._log = log
        self._say = say
        self._standing: dict[str, str] = {}

    def __contains__(self, about: str) -> bool:
        return about in self._standing

    def __bool__(self) -> bool:
        return bool(self._standing)

    def show(self) -> dict[str, str]:
        """What stands now, and why."""
        return dict(self._standing)

    def stand(self, about: str, why: str) -> None:
        """It stands; the event that tells of it is in the log already."""
        self._standing[about] = why

    def event(self, name: str, about: str, why: str, words: str = "") -> None:
        """It stands, with an event of its own; ``words``: what is said before the reason."""
        self._standing[about] = why
        self._log.append(name, now_us(), {"why": why, "alarm": True})
        self._say(f"alarm: {words}: {why}" if words else f"alarm: {why}")

    def end(self, about: str) -> None:
        """It is over."""
        self._standing.pop(about, None)

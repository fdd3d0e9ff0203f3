"""Which frames a subscriber of the virtual bus accepts (a model: the real one is tested in ``tests/goose``)."""

from __future__ import annotations

from dataclasses import dataclass

MAX_AGE = 10_000_000


@dataclass(frozen=True, slots=True)
class Frame:
    """What the acceptance rule looks at."""

    st: int
    sent_us: int
    authentic: bool = True
    test: bool = False


class Gate:
    """The subscriber's acceptance rule."""

    def refusal(self, frame: Frame, last_st: int, now: int) -> str:
        """Why the frame is not accepted; empty if it is."""
        if not frame.authentic:
            return "unauthenticated"
        if frame.test:
            return "test"
        if frame.st <= last_st:
            return "replayed"
        if now - frame.sent_us > MAX_AGE:
            return "stale"
        return ""

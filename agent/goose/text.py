"""GOOSE values as a person reads them, and as JSON."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from agent.goose.codec import Data, Kind, UtcTime

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
POSITIONS = {0b00: "intermediate", 0b01: "off", 0b10: "on", 0b11: "bad"}


def moment(t_us: int) -> str:
    """UTC with microseconds, ISO 8601."""
    return (EPOCH + timedelta(microseconds=t_us)).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def time_text(t: UtcTime) -> str:
    """A time stamp with what is wrong with it."""
    flaws = [
        name
        for bit, name in ((0x40, "clock failure"), (0x20, "not synchronised"))
        if t.quality & bit
    ]  # fmt: skip
    return moment(t.microseconds) + (f" ({', '.join(flaws)})" if flaws else "")


def value_text(data: Data) -> str:
    """One value, short."""
    kind, value, size = data
    if isinstance(value, UtcTime):
        return time_text(value)
    if kind in (Kind.STRUCTURE, Kind.ARRAY) and isinstance(value, tuple):
        inside = ", ".join(value_text(item) for item in value if isinstance(item, Data))
        return f"{{{inside}}}" if kind is Kind.STRUCTURE else f"[{inside}]"
    if kind in (Kind.BIT_STRING, Kind.BOOLEAN_ARRAY) and isinstance(value, int):
        return POSITIONS[value] if size == 2 else format(value, f"0{size}b") if size else "''"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.7g}"
    return value.hex() if isinstance(value, bytes) else str(value)


def plain(data: Data) -> Any:
    """One value for JSON: bit strings as text, times as ISO text, octets as hex."""
    kind, value, size = data
    if isinstance(value, UtcTime):
        return {"t": moment(value.microseconds), "quality": value.quality}
    if kind in (Kind.STRUCTURE, Kind.ARRAY) and isinstance(value, tuple):
        return [plain(item) for item in value if isinstance(item, Data)]
    if kind in (Kind.BIT_STRING, Kind.BOOLEAN_ARRAY) and isinstance(value, int):
        return format(value, f"0{size}b") if size else ""
    if isinstance(value, float):
        return value if abs(value) < float("inf") else str(value)
    return value.hex() if isinstance(value, bytes) else value

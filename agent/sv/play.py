"""A fault record as Sampled Values: COMTRADE channels, resampled to a stream's rate, as frames with their due times.

The acceptance test by record: what an agent does when it sees what a relay once recorded. Before the record its first
cycle is repeated, so that an agent has long seen a healthy stream when the fault comes. The file is read by the package
``comtrade``; resampling is linear, a record slower than 1200 samples a second is refused.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.core.config import Layout
from agent.sv.codec import Asdu, Mode, Pdu, encode, pack_channels

CHANNELS = ("IA", "IB", "IC", "IN", "UA", "UB", "UC", "UN")
AMPERE, VOLT = 0.001, 0.01
"""Per count, as 9-2LE has it."""
RATE_MIN = 1200.0
UNITS = {"A": 1.0, "KA": 1e3, "MA": 1e-3, "V": 1.0, "KV": 1e3, "MV": 1e-3}
PHASES = {"L1": "A", "L2": "B", "L3": "C", "R": "A", "S": "B", "T": "C", "0": "N"}
SECOND_US = 1_000_000


class RecordError(ValueError):
    """The record cannot be played; the text says which channel or line and why."""


@dataclass(frozen=True, slots=True)
class Record:
    """Eight channels in primary A and V; None where the record has none (a neutral is then the sum of its phases)."""

    name: str
    times_s: tuple[float, ...]
    values: tuple[tuple[float, ...] | None, ...]
    used: tuple[str, ...]
    """Which of the record's channels, for the person who asks."""
    frequency: float

    @property
    def seconds(self) -> float:
        """From the first sample to the last."""
        return self.times_s[-1] - self.times_s[0]


def read(path: Path, mapping: Mapping[str, str]) -> Record:
    """``mapping``: IA, … UN to a channel's name in the record, where it does not follow from unit and phase."""
    import comtrade  # type: ignore[import-untyped,unused-ignore]

    try:
        loaded = comtrade.load(str(path))
    except Exception as error:  # the package raises whatever a wrong line leads to
        raise RecordError(f"{path}: not a COMTRADE record that can be read: {type(error).__name__}: {error}") from error
    times = tuple(float(t) for t in loaded.time)
    if len(times) < 2 or times[-1] <= times[0]:
        raise RecordError(f"{path}: {len(times)} samples")
    if (len(times) - 1) / (times[-1] - times[0]) < RATE_MIN:
        raise RecordError(f"{path}: {(len(times) - 1) / (times[-1] - times[0]):.0f} samples a second are too few")
    analogue = loaded.cfg.analog_channels
    names = [channel.name.strip() for channel in analogue]
    unknown = [f"{ours}={theirs}" for ours, theirs in mapping.items() if ours not in CHANNELS or theirs not in names]
    if unknown:
        raise RecordError(f"{unknown[0]}: there is no such channel (the record has {', '.join(names)})")
    values: list[tuple[float, ...] | None] = []
    used = []
    for ours in CHANNELS:
        number = names.index(mapping[ours]) if ours in mapping else _found(analogue, ours)
        if number is None:
            values.append(None)
            continue
        factor = _factor(analogue[number], ours)
        values.append(tuple(float(v) * factor for v in loaded.analog[number]))
        used.append(f"{ours}={names[number]}")
    if not any(value is not None for value in values[:3]):
        raise RecordError(f"{path}: no phase current is found among {', '.join(names)}; name them with --map")
    return Record(loaded.rec_dev_id or path.stem, times, tuple(values), tuple(used), float(loaded.frequency or 50.0))


def _found(channels: Sequence[Any], ours: str) -> int | None:
    """By unit and phase; the first one counts."""
    kind, phase = ours[0], ours[1]
    for number, channel in enumerate(channels):
        unit, name = channel.uu.strip().upper(), channel.name.strip().upper()
        if unit not in UNITS or unit.endswith("A") != (kind == "I"):
            continue
        told = channel.ph.strip().upper() or name[-1:]
        if (
            told == phase
            or {"L1": "A", "L2": "B", "L3": "C", "R": "A", "S": "B", "T": "C", "0": "N"}.get(told) == phase
        ):
            return number
    return None


def _factor(channel: Any, ours: str) -> float:
    unit = channel.uu.strip().upper()
    if unit not in UNITS or unit.endswith("A") != (ours[0] == "I"):
        raise RecordError(f"{ours}: the channel {channel.name} is in {channel.uu!r}")
    secondary = channel.pors.strip().upper() == "S"
    return UNITS[unit] * (channel.primary / channel.secondary if secondary and channel.secondary else 1.0)


class Player:
    """A record as the samples of a stream of this layout; ``lead_in_s`` is rounded to whole cycles."""

    def __init__(self, record: Record, layout: Layout, lead_in_s: float) -> None:
        self.record, self.layout = record, layout
        cycles = max(0, round(lead_in_s * layout.frequency))
        self.lead_in_s = cycles / layout.frequency
        self._channels = _with_neutrals(record.values)
        self.samples = int((self.lead_in_s + record.seconds) * layout.rate)

    def at(self, seconds: float) -> tuple[float, ...]:
        """Primary A and V of the eight channels so long after the start."""
        t = seconds - self.lead_in_s
        if t < 0:
            t %= 1.0 / self.layout.frequency
        times = self.record.times_s
        t += times[0]
        right = min(max(bisect_right(times, t), 1), len(times) - 1)
        span = times[right] - times[right - 1]
        share = (t - times[right - 1]) / span if span > 0 else 0.0
        return tuple(
            0.0 if channel is None else channel[right - 1] + (channel[right] - channel[right - 1]) * share
            for channel in self._channels
        )

    def frames(
        self, sv_id: str, conf_rev: int, start_us: int, seal: Callable[[bytes], bytes], synch: int = 2
    ) -> Iterator[tuple[int, bytes]]:
        """(UTC µs of its last sample, payload). ``start_us`` is a full second: smpCnt counts from there."""
        if start_us % SECOND_US:
            raise ValueError("a stream starts at a full second")
        layout = self.layout
        together: list[Asdu] = []
        for number in range(self.samples - self.samples % layout.asdus):
            values = self.at(number / layout.rate)
            counts = tuple(
                (round(value / (AMPERE if k < 4 else VOLT)), 0) for k, value in enumerate(values)
            )  # fmt: skip
            rate, mode = (layout.rate, int(Mode.PER_SECOND)) if layout.optional else (None, None)
            together.append(
                Asdu(
                    sv_id, number % layout.rate, conf_rev, synch, pack_channels(counts), smp_rate=rate, smp_mod=mode
                )
            )  # fmt: skip
            if len(together) == layout.asdus:
                yield start_us + number * SECOND_US // layout.rate, seal(encode(Pdu(tuple(together))))
                together = []


def _with_neutrals(values: tuple[tuple[float, ...] | None, ...]) -> tuple[tuple[float, ...] | None, ...]:
    """The sum of three phases where the record has no neutral of its own."""
    whole = list(values)
    for neutral, phases in ((3, (0, 1, 2)), (7, (4, 5, 6))):
        parts = [column for column in (values[p] for p in phases) if column is not None]
        if whole[neutral] is None and len(parts) == 3:
            whole[neutral] = tuple(map(sum, zip(*parts, strict=True)))
    return tuple(whole)

"""Reads the fault records that the agents write (IEEE C37.111-2013, BINARY32), as much of it as the report plots."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


class RecordError(ValueError):
    """Not a record of this form; the text says where."""


@dataclass(frozen=True, slots=True)
class Record:
    """Analogue channels in primary units, digital channels, times in microseconds UTC."""

    device: str
    names: tuple[str, ...]
    units: tuple[str, ...]
    times_us: tuple[int, ...]
    values: tuple[tuple[float, ...], ...]
    """By channel."""
    digital_names: tuple[str, ...]
    digitals: tuple[int, ...]
    """Words, bit k is channel k."""


def _time(text: str) -> int:
    moment = datetime.strptime(text.strip()[:26], "%d/%m/%Y,%H:%M:%S.%f").replace(tzinfo=UTC)
    return round(moment.timestamp() * 1e6)


def read(path: Path) -> Record:
    """A .cfg file and the .dat beside it; RecordError or OSError."""
    lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    try:
        total, analogue, digital = (int(x.strip("AD ")) for x in lines[1].split(","))
        rows = [line.split(",") for line in lines[2 : 2 + total]]
        rates = int(lines[3 + total])
        times = 4 + total + max(rates, 1)
        start, form = _time(lines[times]), lines[times + 2].strip()
    except (IndexError, ValueError) as error:
        raise RecordError(f"{path}: {error}") from error
    if form != "BINARY32" or analogue + digital != total:
        raise RecordError(f"{path}: {form} with {analogue} and {digital} channels is not read here")
    words = (digital + 15) // 16
    row = struct.Struct(f"<II{analogue}i{words}H")
    data = path.with_suffix(".dat").read_bytes()
    factors = [(float(r[5]), float(r[6])) for r in rows[:analogue]]
    stamps, columns, digitals = [], [[] for _ in factors], []  # type: ignore[var-annotated]
    for sample in row.iter_unpack(data[: len(data) - len(data) % row.size]):
        stamps.append(start + sample[1])
        for column, value, (a, b) in zip(columns, sample[2:], factors, strict=False):
            column.append(a * value + b)
        digitals.append(sum(w << 16 * k for k, w in enumerate(sample[2 + analogue :])))
    return Record(
        lines[0].split(",")[1],
        tuple(r[1] for r in rows[:analogue]),
        tuple(r[4] for r in rows[:analogue]),
        tuple(stamps),
        tuple(tuple(c) for c in columns),
        tuple(r[1] for r in rows[analogue:]),
        tuple(digitals),
    )

"""The fault record is read back by the package ``comtrade``, which we did not write."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.station.recorder import Recorder, unpack

comtrade = pytest.importorskip("comtrade")


def block(times: list[int], value: Callable[[int, int], int]) -> bytes:
    counts = [value(t, channel) for t in times for channel in range(8)]
    packed = struct.pack(f"={len(times)}q", *times) + struct.pack(f"={len(counts)}i", *counts)
    assert list(unpack(packed))[-1] == (times[-1], *counts[-8:])
    return packed


def test_record_is_read_back_by_a_foreign_reader(tmp_path: Path) -> None:
    trigger = 1_700_000_000_250_000
    recorder = Recorder(tmp_path / "records", "S1", "F1", 50.0)
    assert recorder.due_us is None
    recorder.event("pickup", trigger)
    recorder.event("trip_sent", trigger + 5_000)
    recorder.event("opened", trigger + 50_000)
    due = recorder.due_us
    assert due is not None
    assert due > trigger
    times = [trigger - 600_000 + 250 * k for k in range(8000)]
    path = recorder.write(block(times, lambda t, c: round(1e6 * math.cos(2 * math.pi * 50 * t / 1e6 - c))))
    assert path is not None
    assert recorder.due_us is None
    record = comtrade.load(str(path), str(path.with_suffix(".dat")))
    assert (record.station_name, record.rec_dev_id, record.rev_year) == ("S1", "F1", "2013")
    assert (record.analog_count, record.status_count) == (8, 4)
    assert record.analog_channel_ids[:2] == ["IA", "IB"]
    kept = [t for t in times if t >= trigger - 500_000]
    assert record.total_samples == len(kept)
    assert record.analog[0][0] == pytest.approx(1000 * math.cos(2 * math.pi * 50 * kept[0] / 1e6), abs=0.01)
    assert record.analog[4][0] == pytest.approx(10_000 * math.cos(2 * math.pi * 50 * kept[0] / 1e6 - 4), abs=0.1)
    assert record.cfg.sample_rates[0][0] == pytest.approx(4000)
    assert record.trigger_time == pytest.approx(0.5, abs=1e-6)
    at = {name: list(record.status[i]) for i, name in enumerate(record.status_channel_ids)}
    assert at["PICKUP"][kept.index(trigger)] == 1
    assert at["PICKUP"][kept.index(trigger) - 1] == 0
    assert at["TRIP"][kept.index(trigger + 5_000)] == 1
    assert at["TRIP"][kept.index(trigger + 50_000)] == 0


def test_a_gap_in_the_stream_stays_a_gap(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "S1", "F1", 50.0)
    recorder.event("trip", 1_000_000)
    times = [*range(900_000, 950_000, 250), *range(1_000_000, 1_050_000, 250)]
    path = recorder.write(block(times, lambda _, c: c))
    assert path is not None
    record = comtrade.load(str(path), str(path.with_suffix(".dat")))
    assert record.time[200] - record.time[199] == pytest.approx(0.05025, abs=1e-6)


def test_no_samples_no_file(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "S1", "F1", 50.0)
    recorder.event("trip", 1_000_000)
    assert recorder.write(b"") is None
    assert list(tmp_path.iterdir()) == []

"""The benchmark of an MMS load: what its rows say, and that its load is one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.loaded import TALLY, rows
from simulator.demo.scenario import find, parse
from tests.conformance.device import NAME, Device


def played(*trips: float, verdict: str = "pass") -> dict[str, Any]:
    return {"verdict": verdict, "trips": [{"device": f"D{n}", "ms": ms} for n, ms in enumerate(trips)]}


def test_rows_tell_both_and_the_difference() -> None:
    without = [played(8.0, 9.0), played(8.0, 10.0)]
    loaded = [played(8.4, 9.0), played(8.0, 12.0, verdict="fail")]
    tallies = [{"seconds": 10.0, "reads": 1000, "reports": 50}, {"seconds": 20.0, "reads": 4000}]
    made = {(row.case, row.metric): row for row in rows(without, loaded, tallies)}
    assert made["without", "trip p50"].ours == 8.0
    assert made["with load", "trip max"].ours == 12.0
    assert made["difference", "trip p50"].ours == 5.0
    assert made["difference", "trip p99"].ours == 20.0
    assert made["difference", "trip p99"].met is False
    assert made["with load", "runs that passed"].met is False
    assert made["load", "reads"].ours == 150.0
    assert made["load", "altered"].ours == 0.0


def test_rows_without_plays_say_nothing_and_break_nothing() -> None:
    made = {(row.case, row.metric): row for row in rows([played(8.0)], [], [])}
    assert made["difference", "trip p99"].ours is None
    assert made["load", "reads"].ours is None


def test_a_scenario_may_want_mms_clients() -> None:
    entry = {"name": "x", "steps": [{"at_ms": 0, "plant": {"event": "fault"}}], "mms_readers": 2}
    assert parse(entry).mms_readers == 2
    assert find("between-breakers").mms_readers is None


@pytest.mark.peer
def test_the_load_is_one(tmp_path: Path) -> None:
    """It reads, gets reports and throws altered frames at a whole agent, which goes on."""
    with Device(tmp_path) as device:
        tally = tmp_path / TALLY
        target = f"127.0.0.1:{device.port}:{device.domain}"
        load = subprocess.Popen([sys.executable, "-m", "simulator.demo.mms_load", str(tally), "1", target])

        def told() -> dict[str, float]:
            found: dict[str, float] = json.loads(tally.read_text()) if tally.exists() else {}
            return found

        try:
            device.until(lambda: all(told().get(what, 0) > 0 for what in ("reads", "reports", "altered")))
        finally:
            load.kill()
            load.wait()
        device.until(device.answers)
        assert device.bench.status(NAME)["restarts"] == 0

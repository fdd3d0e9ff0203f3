"""Before the protection begins, every line that a fault needs has been run, and nothing of it remains."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from agent.security import keys as key_file
from agent.station.compile import agent_config
from agent.station.launch import Options
from agent.station.rehearse import rehearse
from scl import describe, generate
from simulator.demo.scenario import DRAWING

FAULT = {"start", "pickup", "pickup_sent", "claim", "claim_sent", "lockout", "lockout_announced"}
"""What a device plays that is open, or lets no current be broken …"""
TRIP = FAULT | {"trip", "trip_sent", "opened", "dropoff"}
"""… and what one plays that is closed."""


@pytest.mark.parametrize(("device", "wanted"), [("F1", TRIP), ("L12", TRIP), ("T1", FAULT)])
def test_every_kind_of_device_plays_its_faults(tmp_path: Path, device: str, wanted: set[str]) -> None:
    scd, keys = tmp_path / "feeder.scd", tmp_path / "keys.yaml"
    generate.generate(describe.load(DRAWING)).write(scd)
    key_file.write_laboratory_keys(keys, ["flisr"])
    state = tmp_path / "state"
    config = agent_config(Options(scd, None, f"{device}_AG", keys, state, station_bus="lo", priority=0))
    files = sorted(tmp_path.rglob("*"))
    assert wanted <= rehearse(config, time.time_ns() // 1000, rounds=8)
    assert sorted(tmp_path.rglob("*")) == files, "nothing is written"

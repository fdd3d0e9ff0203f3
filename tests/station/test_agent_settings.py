"""Settings of a whole agent: what an MMS client selects is what its elements follow, over restarts too."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.logic.messages import Position
from tests.mms.lab import free_port
from tests.station.bench import DRAWING, VOLT, Bench, until

pytestmark = pytest.mark.peer

PEER = Path(__file__).parents[1] / "mms" / "peer_settings.py"
BETWEEN_A = 580.0
"""Starts the element in both groups; picks it up in group 2 (560 A), not in group 1 (600 A)."""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path) as made:
        yield made


def ask(port: int, *steps: str) -> list[Any]:
    command = [sys.executable, str(PEER), str(port), "F1_AGFLISR", *steps]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=60, check=True)
    return [value for line in done.stdout.splitlines() for value in json.loads(line).values()]


def in_force(bench: Bench, name: str = "F1") -> tuple[int, float]:
    status = bench.status(name)
    return status.get("setting_group", 0), status.get("phase_pickup_a") or 0.0


def started(bench: Bench, name: str = "F1") -> bool:
    return bench.status(name).get("ready") is True


def test_a_selected_group_is_what_trips_and_outlives_both_processes(bench: Bench) -> None:
    port = free_port()
    station = bench.start("F1", "--mms-plain", f"127.0.0.1:{port}")
    bench.start("R1")
    until(lambda: started(bench) and started(bench, "R1"))
    assert in_force(bench) == (1, 600.0)
    bench.bays["F1"].show(BETWEEN_A, VOLT)
    until(lambda: bench.status("F1")["level"] == "start")
    time.sleep(0.5)
    assert bench.bays["F1"].trips == []
    bench.bays["F1"].show(46.0, VOLT)
    until(lambda: bench.status("F1")["level"] == "quiet")

    item = "PTOC1$SG$StrVal$setMag$f"
    assert ask(port, f"read:{item}", "active:2", f"read:{item}") == [600.0, None, 560.0]
    until(lambda: in_force(bench) == (2, 560.0))
    given = [event["details"] for event in bench.events("F1") if event["name"] == "setting_given"]
    assert given == [{"group": 2, "phase_a": 560.0, "earth_a": 120.0}]

    os.kill(bench.pids("F1")["protection"], signal.SIGKILL)
    until(lambda: "protection_restarted" in bench.names("F1") and started(bench))
    assert in_force(bench) == (2, 560.0)

    station.kill()
    station.wait()
    bench.start("F1", "--mms-plain", f"127.0.0.1:{port}")
    until(lambda: bench.names("F1").count("station_started") == 2 and started(bench))
    assert in_force(bench) == (2, 560.0)
    assert ask(port, "sgcb")[0]["active"] == 2

    bench.bays["F1"].show(BETWEEN_A, VOLT)
    until(lambda: bench.bays["F1"].position is Position.OPEN)

    until(lambda: "record_written" in bench.names("F1"))
    program = PEER.with_name("peer_files.py")
    done = subprocess.run(
        [sys.executable, str(program), str(port), "list:COMTRADE", "get:events.jsonl"],
        stdout=subprocess.PIPE, timeout=60, check=True,
    )  # fmt: skip
    listed, log = (next(iter(json.loads(line).values())) for line in done.stdout.splitlines())
    records = {f"COMTRADE/{path.name}" for path in (bench.state("F1") / "records").iterdir()}
    assert set(listed) == records
    assert len(records) >= 2
    assert '"setting_group"' in log
    looked_up = [sys.executable, str(PEER.with_name("peer_logs.py")), str(port), "F1_AGFLISR", "F1_AGFLISR/LLN0$status"]
    done = subprocess.run([*looked_up, f"after:{bytes(8).hex()}"], stdout=subprocess.PIPE, timeout=60, check=True)
    changed = {
        name for _, _, data in json.loads(done.stdout)[f"after:{bytes(8).hex()}"]["entries"] for name, *_ in data
    }
    assert {"F1_AGFLISR/XCBR1$ST$Pos", "F1_AGFLISR/PTRC1$ST$Tr", "F1_AGFLISR/PTOC1$ST$Op"} <= changed


def test_a_damaged_file_starts_with_the_scds_values_and_an_alarm(bench: Bench) -> None:
    bench.state("F1").mkdir(mode=0o700, parents=True)
    (bench.state("F1") / "settings.json").write_text("{")
    bench.start("F1")
    until(lambda: in_force(bench) == (1, 600.0))
    assert "settings.json" in bench.status("F1")["alarms"]["settings"]
    assert "settings_unreadable" in bench.names("F1")


def test_a_group_follows_the_side_that_the_device_is_fed_from_and_nobody_else_selects_it(tmp_path: Path) -> None:
    text = DRAWING.replace("R1: {type: cb,", "R1: {type: cb, feed_groups: [2, 1],")
    with Bench(tmp_path, text=text) as bench:
        port = free_port()
        bench.start("F1")
        bench.start("R1", "--mms-plain", f"127.0.0.1:{port}")
        until(lambda: in_force(bench, "R1") == (2, 560.0))
        assert bench.status("R1")["fed_from"] == "a"
        assert in_force(bench) == (1, 600.0)
        selected = [event["details"] for event in bench.events("R1") if event["name"] == "setting_group"]
        assert selected == [{"group": 2, "who": "the agent"}]
        command = [sys.executable, str(PEER), str(port), "R1_AGFLISR", "sgcb", "active:1"]
        lines = subprocess.run(command, stdout=subprocess.PIPE, timeout=60, check=True).stdout.splitlines()
        assert json.loads(lines[0])["sgcb"]["active"] == 2
        assert json.loads(lines[1])["active:1"] == "error 3"
        refused = [event["details"]["why"] for event in bench.events("R1") if event["name"] == "settings_refused"]
        assert refused == ["the active group follows the side that the device is fed from"]

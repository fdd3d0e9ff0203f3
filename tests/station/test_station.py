"""The station process with a protection process of its own: latch, crash, re-attachment, local door, MMS."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.logic.messages import LockRecord
from agent.mms.described import read_tree
from agent.station import local, marks
from agent.station.latch import LatchFile
from agent.station.shown import ServedModel, Subscription
from scl.generate import generate
from scl.read import parse_bytes
from tests.station.test_engine import FEEDER

STREAM = "F1_AGFLISR/LLN0$GO$gcbFlisr"
PROGRAM = """
import json, sys
from pathlib import Path
from agent.station.station import Station, StationSettings
from agent.mms.porter import Doorway
from agent.station import plain
from agent.time.clock import TimeSource
options = json.loads(sys.argv[1])
directory = Path(options["directory"])
def document(record, unreadable, numbers, good):
    return {"record": None if record is None else plain.dump(record), "unreadable": bool(unreadable),
            "directory": str(directory), "time_good": good, **options.get("document", {})}
mms = options.get("mms")
settings = StationSettings(directory, "R1_AG", "R1", "S1", "digest", 50.0, {0: "F1"},
    TimeSource.TRUSTED, Doorway(*mms) if mms else None, options.get("model", ""), "tests.station.stand_in", document)
sys.exit(Station(settings, lambda text: print(text, file=sys.stderr, flush=True)).run())
"""


def served_model() -> str:
    """R1_AG of a drawing, compiled as for ``flisr agent run``."""
    scd = generate(FEEDER).scd
    heard = (Subscription("F1_AGFLISR/LLN0$GO$gcbFlisr", 1), Subscription("R1_BRCTRL/LLN0$GO$gcbPos", 1))
    return json.dumps(ServedModel(read_tree(parse_bytes(scd), "R1_AG"), heard, 1, "0"))


class Agent:
    """One station process under test."""

    def __init__(self, directory: Path, **options: Any) -> None:
        self.directory = directory
        arguments = json.dumps({"directory": str(directory), **options})
        self.process = subprocess.Popen([sys.executable, "-c", PROGRAM, arguments], stderr=subprocess.PIPE)

    def status(self) -> dict[str, Any]:
        try:
            return local.ask(self.directory, {"op": "status"})
        except local.NotRunningError:
            return {}

    def order(self, kind: str) -> dict[str, Any]:
        return local.ask(self.directory, {"op": "command", "kind": kind})

    def ready(self) -> None:
        until(lambda: self.status().get("ready") is True)

    def end(self) -> str:
        self.process.terminate()
        _, errors = self.process.communicate(timeout=10)
        assert self.process.returncode == 0, errors
        return errors.decode()


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def names(directory: Path) -> list[str]:
    path = directory / "events.jsonl"
    return [json.loads(line)["name"] for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[Callable[..., Agent]]:
    started: list[Agent] = []

    def start(**options: Any) -> Agent:
        agent = Agent(tmp_path, **options)
        started.append(agent)
        return agent

    yield start
    for agent in started:
        if agent.process.poll() is None:
            agent.process.terminate()
            agent.process.wait(10)
    pids = tmp_path / "pids.json"
    if pids.exists():
        try:
            os.kill(json.loads(pids.read_text())["protection"], signal.SIGKILL)
        except ProcessLookupError:
            return


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_tag_is_latched_and_survives_both_processes(agents: Callable[..., Agent], tmp_path: Path) -> None:
    agent = agents()
    agent.ready()
    assert agent.order("TAG") == {"accepted": True, "refusal": "none", "text": ""}
    until(lambda: LatchFile(tmp_path).read().record is not None)
    assert agent.status()["tagged"] is True
    protection = agent.status()["protection_pid"]
    agent.end()
    assert not alive(protection)
    again = agents()
    again.ready()
    assert again.status()["tagged"] is True
    assert again.order("CLOSE")["accepted"] is False
    assert again.order("UNTAG")["accepted"] is True
    until(lambda: again.status()["tagged"] is False)
    written = names(tmp_path)
    assert written.index("station_started") < written.index("started") < written.index("command")
    assert "limit" in written


def test_protection_runs_on_when_the_station_dies_and_is_found_again(
    agents: Callable[..., Agent], tmp_path: Path
) -> None:
    first = agents()
    first.ready()
    protection = first.status()["protection_pid"]
    first.process.kill()
    first.process.wait()
    assert alive(protection)
    second = agents()
    until(lambda: second.status().get("protection_pid") == protection)
    second.ready()
    assert second.order("TAG")["accepted"] is True
    until(lambda: LatchFile(tmp_path).read().record is not None)
    assert "protection_attached" in names(tmp_path)
    second.end()
    assert not alive(protection)


def test_a_crashed_protection_process_is_restarted_with_its_latch(agents: Callable[..., Agent], tmp_path: Path) -> None:
    agent = agents()
    agent.ready()
    agent.order("TAG")
    until(lambda: LatchFile(tmp_path).read().record is not None)
    first = agent.status()["protection_pid"]
    os.kill(first, signal.SIGKILL)
    until(lambda: agent.status().get("protection_pid") not in (None, first))
    agent.ready()
    state = agent.status()
    assert state["tagged"] is True
    assert state["restarts"] == 1
    until(lambda: "protection_restarted" in names(tmp_path))
    assert "protection_ended" in names(tmp_path)
    assert "trip_sent" not in names(tmp_path)
    assert "close_sent" not in names(tmp_path)


def test_an_unreadable_latch_starts_locked_until_released_here(agents: Callable[..., Agent], tmp_path: Path) -> None:
    (tmp_path / "latch.json").write_text("?")
    agent = agents(document={"open": True})
    agent.ready()
    state = agent.status()
    assert (state["locked_a"], state["locked_b"]) == (True, True)
    assert "latch" in state["alarms"]
    assert agent.order("CLOSE") == {"accepted": False, "refusal": "locked_out", "text": ""}
    assert agent.order("RELEASE")["accepted"] is True
    until(lambda: agent.status()["locked_a"] is False)
    until(lambda: LatchFile(tmp_path).read().record is not None)
    assert "latch" not in agent.status()["alarms"]
    assert "latch_unreadable" in names(tmp_path)


def test_a_full_disk_is_reported_as_not_latched(agents: Callable[..., Agent], tmp_path: Path) -> None:
    agent = agents()
    agent.ready()
    (tmp_path / ".latch.json.new").mkdir()  # the temporary file cannot be opened: as good as a full disk
    agent.order("TAG")
    until(lambda: "latch" in agent.status()["alarms"])
    until(lambda: "not_latched" in names(tmp_path))
    assert agent.status()["tagged"] is True
    (tmp_path / ".latch.json.new").rmdir()
    until(lambda: LatchFile(tmp_path).read().record == LockRecord(False, False, True, 0, 0, 0))


def test_a_protection_process_that_does_not_start_is_quoted(agents: Callable[..., Agent], tmp_path: Path) -> None:
    agent = agents(document={"die": True})
    _, errors = agent.process.communicate(timeout=20)
    assert agent.process.returncode == 1
    assert b"no, said the stand-in" in errors


def test_marks_survive_both_processes_and_a_crash_of_one(agents: Callable[..., Agent], tmp_path: Path) -> None:
    file = tmp_path / marks.NAME
    agent = agents()
    agent.ready()
    until(file.exists)
    on_disk = marks.decode(file.read_bytes())
    assert on_disk[STREAM][:2] == (7, 1_800_000_000_000_000)
    file.unlink()  # what is in memory is what a crashed protection process gets back
    os.kill(agent.status()["protection_pid"], signal.SIGKILL)
    until(lambda: "protection_restarted" in names(tmp_path))
    agent.ready()
    assert agent.status()["counters"]["restored"] == 1
    assert "marks_unreadable" not in names(tmp_path)
    agent.end()
    # Repetitions alone are written seldom, but at the end they are.
    assert marks.decode(file.read_bytes())[STREAM] > on_disk[STREAM]
    assert names(tmp_path)[-2:] == ["stopped", "station_stopped"]
    again = agents()
    again.ready()
    assert again.status()["counters"]["restored"] == 1
    assert "marks" not in again.status()["alarms"]


@pytest.mark.parametrize("damage", ["lost", "torn"])
def test_lost_marks_are_said_with_alarm_and_stop_nothing(
    agents: Callable[..., Agent], tmp_path: Path, damage: str
) -> None:
    agent = agents()
    agent.ready()
    until((tmp_path / marks.NAME).exists)
    agent.end()
    if damage == "lost":
        (tmp_path / marks.NAME).unlink()
    else:
        (tmp_path / marks.NAME).write_bytes(b'{"version": 1, "record": {')
    again = agents()
    again.ready()
    assert "marks_unreadable" in names(tmp_path)
    assert again.status()["counters"]["restored"] == 0
    until((tmp_path / marks.NAME).exists)
    until(lambda: "marks" not in again.status()["alarms"])
    assert "replays are told by their age only" in again.end()


def test_marks_that_cannot_be_written_are_said_once(agents: Callable[..., Agent], tmp_path: Path) -> None:
    (tmp_path / f".{marks.NAME}.new").mkdir()
    agent = agents()
    agent.ready()
    until(lambda: "marks" in agent.status()["alarms"])
    time.sleep(1.5)  # a second try
    assert names(tmp_path).count("marks_failed") == 1
    (tmp_path / f".{marks.NAME}.new").rmdir()
    until(lambda: "marks" not in agent.status()["alarms"])
    assert (tmp_path / marks.NAME).exists()


def test_the_door_answers_nonsense_with_an_error(agents: Callable[..., Agent], tmp_path: Path) -> None:
    agent = agents()
    agent.ready()
    assert (tmp_path / "agent.sock").stat().st_mode & 0o777 == 0o600
    assert "error" in local.ask(tmp_path, {"op": "fly"})
    assert "error" in local.ask(tmp_path, {"op": "command", "kind": "EXPLODE"})
    assert "error" in local.ask(tmp_path, {})
    with pytest.raises(local.NotRunningError):
        local.ask(tmp_path / "..", {"op": "status"})


@pytest.mark.peer
def test_mms_listens_only_when_named_and_refuses_a_locked_out_close(
    agents: Callable[..., Agent], tmp_path: Path
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "latch.json").write_text("?")
    agent = agents(document={"open": True}, mms=["127.0.0.1", port], model=served_model())
    agent.ready()
    client = """
import pyiec61850.pyiec61850 as iec, sys, os, time
con = iec.IedConnection_create()
print(iec.IedConnection_connect(con, "127.0.0.1", int(sys.argv[1]))[1])
# On a busy machine this library's client says that it is associated when it is not yet.
until = time.monotonic() + 10
while iec.IedConnection_readObject(con, "R1_AGFLISR/CSWI1.Pos.stVal", iec.IEC61850_FC_ST)[1]:
    assert time.monotonic() < until
    time.sleep(0.02)
control = iec.ControlObjectClient_create("R1_AGFLISR/CSWI1.Pos", con)
print(iec.ControlObjectClient_selectWithValue(control, iec.MmsValue_newBoolean(True)))
print(iec.ControlObjectClient_getLastApplError(control).addCause, flush=True)
os._exit(0)
"""
    time.sleep(0.2)
    done = subprocess.run([sys.executable, "-c", client, str(port)], capture_output=True, timeout=30, check=False)
    assert done.stdout.split() == [b"0", b"False", b"10"], (
        done.stderr.decode()[-800:],
        (agent.directory / "events.jsonl").read_text()[-1500:],
    )
    agent.process.terminate()
    _, errors = agent.process.communicate(timeout=10)
    assert b"without authentication" in errors
    assert b"trigger" not in errors
    assert "close_sent" not in names(tmp_path)

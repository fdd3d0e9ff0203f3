"""Two real agents (``flisr agent run``, four processes) over real R-GOOSE and R-SV on loopback multicast."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from agent.goose.link import open_link
from agent.logic.messages import Position
from agent.station import marks
from tests.mms.lab import free_port
from tests.station.bench import DEVICES, FAULT_A, LOAD_A, VOLT, Bench, now_us, until

comtrade = pytest.importorskip("comtrade")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path) as made:
        yield made


def ready(bench: Bench) -> None:
    for name in DEVICES:
        until(lambda name=name: bench.status(name).get("ready") is True)  # type: ignore[misc]
    # Loads are remembered and peers heard before anything happens.
    until(lambda: bench.status("F1")["silent"] == [] and bench.status("R1")["silent"] == [])


def strike_z1(bench: Bench) -> int:
    """A three-phase fault between F1 and R1: F1 carries it, R1 does not."""
    at = now_us() + 20_000
    bench.bays["F1"].show(FAULT_A, 0.3 * VOLT, at)
    bench.bays["R1"].show(0.0, 0.3 * VOLT, at)
    return at


def test_a_fault_is_found_cleared_locked_and_recorded(bench: Bench) -> None:
    for name in DEVICES:
        bench.start(name)
    ready(bench)
    assert abs(bench.status("F1")["p_kw"] - 3 * VOLT * LOAD_A["F1"] * 0.955 / 1000) < 30
    at = strike_z1(bench)
    for name in DEVICES:
        until(lambda name=name: bench.bays[name].position is Position.OPEN)  # type: ignore[misc]
        until(lambda name=name: bench.status(name).get("latched") is True)  # type: ignore[misc]
    # The zone between them, and no other.
    sides = {name: (bench.status(name)["locked_a"], bench.status(name)["locked_b"]) for name in DEVICES}
    assert sides == {"F1": (False, True), "R1": (True, False)}
    assert bench.bays["F1"].blocked
    until(lambda: "record_written" in bench.names("F1"))
    events = {event["name"]: event["t_us"] for event in bench.events("F1")}
    order = ["start", "pickup", "trip_sent", "lockout_announced", "latched_announced"]
    assert all(name in events for name in order)
    assert at < events["start"] <= events["pickup"] <= events["trip_sent"] <= events["latched_announced"]
    assert events["trip_sent"] - at < 2_000_000  # a sanity bound: the machine may be busy
    cfg = next((bench.state("F1") / "records").glob("*.cfg"))
    record = comtrade.load(str(cfg), str(cfg.with_suffix(".dat")))
    assert max(map(abs, record.analog[0])) > 0.9 * FAULT_A
    assert max(record.status[record.status_channel_ids.index("TRIP")]) == 1
    # Locked out: nobody closes it, and a restart moves nothing.
    command = [sys.executable, "-m", "agent.cli", "agent", "close", "--state-dir", str(bench.state("F1"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "locked out" in done.stderr) == (1, True)
    moved = {name: (len(bay.trips), len(bay.closes)) for name, bay in bench.bays.items()}
    os.kill(bench.pids("F1")["protection"], signal.SIGKILL)
    until(lambda: bench.status("F1").get("restarts") == 1 and bench.status("F1").get("ready") is True)
    assert bench.status("F1")["locked_b"] is True
    assert bench.status("F1")["latched"] is True
    assert {name: (len(bay.trips), len(bay.closes)) for name, bay in bench.bays.items()} == moved


@pytest.mark.parametrize("lost", [False, True], ids=["marks on disk", "marks lost"])
@pytest.mark.parametrize("end", ["order", "power"])
def test_what_was_recorded_before_a_restart_is_a_replay_after_it(bench: Bench, end: str, lost: bool) -> None:
    bay = bench.bays["F1"]
    bench.start("F1")
    until(lambda: bench.status("F1").get("position") == "closed")
    tape = open_link(bay.spec(bay.told))
    recorded: list[bytes] = []

    def record(count: int) -> None:
        recorded.extend(heard.payload for heard in tape.receive())
        if len(recorded) < count:
            until(lambda: recorded.extend(heard.payload for heard in tape.receive()) or len(recorded) >= count)

    bay.tell()
    record(3)
    bay.tell()
    record(len(recorded) + 3)
    bay.silent = True  # somebody keeps the real one from being heard
    file = bench.state("F1") / marks.NAME

    def kept() -> bool:
        mark = marks.decode(file.read_bytes()).get(bay.told.gocb_ref)
        return mark is not None and mark.st_num == bay.publisher.st_num

    until(kept)
    if end == "order":
        bench.processes["F1"].terminate()
    else:
        # All of the state before; repetitions of the last one may be younger than the marks.
        recorded = recorded[:3]
        for pid in bench.pids("F1").values():
            os.kill(pid, signal.SIGKILL)
    bench.processes["F1"].wait(15)
    if lost:
        file.unlink()
    bench.start("F1")
    until(lambda: "snapshot_us" in bench.status("F1"))
    for payload in recorded:
        tape.send(payload, bay.told.group)

    def counted(cause: str) -> int:
        return int(bench.status("F1")["counters"].get(f"goose_{cause}", 0))

    if lost:
        # Only their age can be against them (on a machine so slow that they have become old).
        until(lambda: counted("accepted") + counted("stale") > 0)
        assert counted("replayed") == 0
        assert "marks_unreadable" in bench.names("F1")
        return
    until(lambda: counted("replayed") == len(recorded))
    assert counted("accepted") == 0
    assert bench.status("F1")["position"] == "unknown"
    # The real one, itself restarted and with its first numbers again, is heard.
    bay.restart()
    until(lambda: bench.status("F1")["ready"] is True)
    assert bench.status("F1")["position"] == "closed"


def test_a_silent_stream_blocks_and_is_said(bench: Bench) -> None:
    for name in DEVICES:
        bench.start(name)
    ready(bench)
    until(lambda: bench.status("R1")["level"] == "quiet")
    bench.bays["R1"].source.pause(True)
    until(lambda: bench.status("R1")["level"] == "blind")
    assert "trip" not in bench.names("R1")
    bench.bays["R1"].source.pause(False)
    until(lambda: bench.status("R1")["level"] == "quiet")


def test_memory_and_imports_of_one_agent(bench: Bench) -> None:
    bench.start("F1")
    until(lambda: bench.status("F1").get("ready") is True)
    assert bench.pss_kb("F1") < 80_000
    maps = Path(f"/proc/{bench.pids('F1')['protection']}/maps").read_text()
    for heavy in ("lxml", "numpy", "pyiec61850", "cryptography"):
        assert heavy not in maps


@pytest.mark.peer
def test_its_mms_server_is_what_its_scd_says_and_tells_of_a_fault_within_its_memory(bench: Bench) -> None:
    """The client is open61850, in a process of its own."""
    port = free_port()
    bench.start("F1", "--mms-plain", f"127.0.0.1:{port}")
    bench.start("R1")
    ready(bench)
    program = Path(__file__).parents[1] / "mms" / "peer_open61850.py"
    client = subprocess.Popen(
        [sys.executable, str(program), str(port), str(bench.scd), "F1_AG"], stdout=subprocess.PIPE
    )
    assert client.stdout is not None
    try:
        assert json.loads(client.stdout.readline()) == {"differences": []}
        assert json.loads(client.stdout.readline())["enabled"] is True
        assert bench.pss_kb("F1") < 80_000
        at = strike_z1(bench)
        seen: dict[str, list[str]] = {}
        wanted = {"PTOC1$ST$Op", "PTRC1$ST$Tr", "XCBR1$ST$Pos", "flsGGIO2$ST$LokB", "PSCH1$ST$Op"}
        while not all(len(set(seen.get(name, []))) > 1 for name in wanted):
            for name, value in json.loads(client.stdout.readline()).get("entries", {}).items():
                seen.setdefault(name, []).append(value)
    finally:
        client.kill()
        client.communicate()
    (operated,) = {value for value in seen["PTOC1$ST$Op"] if "bool(True)" in value}
    pickup = next(event["t_us"] for event in bench.events("F1") if event["name"] == "pickup")
    told = datetime.fromisoformat(operated.partition("timestamp(")[2].partition(",")[0])
    assert at - 1000 <= told.timestamp() * 1_000_000 <= pickup + 1000


def test_a_wrong_configuration_is_refused_with_its_reasons(bench: Bench) -> None:
    process = bench.start("F1", "--priority", "0")
    process.kill()
    process.communicate()
    arguments = [sys.executable, "-m", "agent.cli", "agent", "run", "--ied", "nobody", "--scd", str(bench.scd)]
    arguments += ["--keys", str(bench.keys), "--state-dir", str(bench.directory / "none"), "--udp"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "nobody is not the IED of an agent; there are: F1_AG, R1_AG" in done.stderr
    bench.scd.write_text(bench.scd.read_text().replace('desc="', 'desc="x', 1).replace("R1_BR", "R9_BR", 1))
    arguments[arguments.index("nobody")] = "F1_AG"
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert len(done.stderr.splitlines()) >= 1
    assert "Traceback" not in done.stderr

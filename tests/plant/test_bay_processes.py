"""One bay as real processes on loopback multicast: plant, merging unit, breaker IED, against the agent's parts."""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.core import Key, Multicast, ProtectionConfig, ProtectionCore
from agent.goose.dataset import command_data_set, status_data_set
from agent.goose.link import Udp, open_link
from agent.goose.publisher import Publisher
from agent.goose.subscriber import Accepted, Subscriber
from agent.logic.messages import BreakerCommand, BreakerStatus, Direction, Level, Measurement, Position
from agent.security import keys
from scl import derive, describe, generate
from simulator.ieds import wiring
from simulator.ieds.link import PlantLink

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "simulator" / "feeders" / "demo.yaml"


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _us() -> int:
    return time.time_ns() // 1000


@contextmanager
def processes(*commands: list[str]) -> Iterator[list[subprocess.Popen[str]]]:
    """Started, ready, and gone afterwards."""
    running = [
        subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for command in commands
    ]
    try:
        for process in running:
            assert process.stdout is not None
            assert "ready" in process.stdout.readline()
        yield running
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.communicate(timeout=10)


@pytest.mark.parametrize("conventional", [False, True], ids=["merging unit", "conventional relay"])
def test_fault_is_seen_trip_opens_position_returns(tmp_path: Path, conventional: bool) -> None:
    port = _free_port()
    drawing = tmp_path / "feeder.yaml"
    text = DEMO.read_text()
    if conventional:
        text = text.replace("R11: {type: recloser,", "R11: {type: recloser, merging_unit: none,")
    drawing.write_text(text)
    scd, ratings, ring = tmp_path / "f.scd", tmp_path / "f.ratings.yaml", tmp_path / "keys.yaml"
    generate.generate(describe.load(drawing), routed=True, port=port).write(scd)
    keys.write_laboratory_keys(ring, ["flisr"])
    plant = str(tmp_path / "plant")
    common = ["--scd", str(scd), "--ratings", str(ratings), "--keys", str(ring), "--plant", plant]
    common += ["--udp", "--udp-port", str(port)]
    truth = tmp_path / "truth.jsonl"
    commands = [
        ["simulator.ieds.plant_process", "--feeder", str(drawing), "--plant", plant, "--truth", str(truth)],
        ["simulator.ieds.breaker", *common, "--ied", "R11_BR", "--state-dir", str(tmp_path / "state")],
    ]
    if not conventional:
        commands.append(["simulator.ieds.merging_unit", *common, "--ied", "R11_MU"])
    scheme = derive.read(scd, ratings)
    key = next(iter(keys.load(ring)))
    place = wiring.Place("", port, "127.0.0.1")
    orders, positions = command_data_set(), status_data_set()
    oper = wiring.stream(scheme.ieds["R11_AG"].goose("gcbOper"), orders, place)
    pos = wiring.stream(scheme.ieds["R11_BR"].goose("gcbPos"), positions, place)
    publisher, subscriber = Publisher(oper, orders, key), Subscriber(pos, positions, (key,))
    core = None
    if not conventional:
        sv = scheme.ieds["R11_MU"].sv_out[0]
        assert sv.ip is not None
        verifies = (Key(key.identifier, key.secret),)
        core = ProtectionCore(ProtectionConfig(sv.sv_id, sv.appid, Multicast(sv.ip, port), keys=verifies))
        core.start()
    station = open_link(Udp((pos.group,), port))
    statuses: list[BreakerStatus] = []
    measured: list[Measurement] = []

    def listen(until: object, seconds: float = 5.0) -> None:
        """Take in what comes until ``until()`` is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until():  # type: ignore[operator]
            ends = [station] if core is None else [station, core]
            for ready in select.select(ends, [], [], 0.005)[0]:
                if ready is station:
                    results = [subscriber.receive(frame.payload, _us()) for frame in station.receive()]
                    statuses.extend(r.message for r in results if isinstance(r, Accepted))
                else:
                    assert core is not None
                    core.drain()
                    measured.append(core.measurement())
            again = publisher.timer(_us())
            if again is not None:
                station.send(again, oper.group)

    try:
        with processes(*commands):
            control = PlantLink(plant, "test")
            station.send(publisher.publish(BreakerCommand(), _us()), oper.group)
            listen(lambda: statuses and (core is None or core.measurement().upto_us > 0))
            assert statuses[-1].position is Position.CLOSED
            control.ask({"inject": {"event": "fault", "name": "f", "at": "Z12_S1", "kind": "bcg"}})
            if conventional:
                listen(lambda: statuses[-1].relay_level is Level.PICKUP)
                assert statuses[-1].relay_direction is Direction.INTO_B
            else:
                listen(lambda: any((m.level, m.direction) == (Level.PICKUP, Direction.INTO_B) for m in measured))
                assert measured[-1].direction is Direction.INTO_B
            order = BreakerCommand(trip=True, block_close=True)
            station.send(publisher.publish(order, _us()), oper.group)
            listen(lambda: statuses[-1].position is Position.OPEN)
            assert statuses[-1].blocked
            if not conventional:
                listen(lambda: measured[-1].level is Level.QUIET)
                assert measured[-1].current_zero
            else:
                listen(lambda: statuses[-1].relay_level is Level.QUIET)
            snapshot = control.ask({"snapshot": True})
            assert snapshot["devices"]["R11"]["poles"] == "OOO"
            assert snapshot["zones"]["Z12"]["sources"] == []
            control.close()
    finally:
        station.close()
        if core is not None:
            core.stop()
    if core is not None:
        counters = core.counters()
        assert counters["frames"] > 100
        assert counters["bad_mac"] == counters["malformed"] == counters["foreign"] == 0
    kinds = {json.loads(line)["kind"] for line in truth.read_text().splitlines()}
    assert {"fault", "order", "position", "contact", "zone", "demand", "currents"} <= kinds

"""The plant's server and its wiring: waves to instruments ahead of time, coils, scenario, truth; and a real process."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from radial_feeder import radial

from scl.describe import read as read_drawing
from scl.topology import Feeder, Load
from simulator.ieds import link
from simulator.ieds.plant_process import LOOKAHEAD_US, PlantServer
from simulator.plant.story import Story, StoryError, parse, parse_event

START = 1_800_000_000_000_000
LOADS = (Load("H1", "n2", 1, 600.0, 200.0), Load("H2", "n4", 2, 400.0, 130.0))
DEMO = Path(__file__).parents[2] / "simulator" / "feeders" / "demo.yaml"


class Bench:
    """A server under a clock that the test turns."""

    def __init__(self, tmp_path: Path, scenario: dict[str, object]) -> None:
        self.feeder: Feeder = radial(loads=LOADS)
        self.truth = io.StringIO()
        self.socket = link.bind(tmp_path / "plant")
        self.server = PlantServer(self.feeder, parse(json.dumps(scenario), self.feeder), self.socket, self.truth, START)
        self.tmp_path = tmp_path

    def instrument(self, name: str) -> link.PlantLink:
        made = link.PlantLink(self.tmp_path / "plant", name)
        made.socket.settimeout(1.0)
        return made

    def tell(self, end: link.PlantLink, message: dict[str, object], now: int) -> None:
        end.send(message)
        datagram, sender = self.socket.recvfrom(link.MAX_DATAGRAM)
        self.server.receive(datagram, sender, now)

    def records(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.truth.getvalue().splitlines()]


def test_waves_arrive_before_they_begin_and_the_cabinet_feels_them_when_they_do(tmp_path: Path) -> None:
    bench = Bench(
        tmp_path,
        {
            "seed": 5,
            "events": [{"at_ms": 50, "event": "fault", "name": "f", "at": "L2", "kind": "abc", "angle_deg": 0}],
        },
    )
    unit, breaker, control = (bench.instrument(n) for n in ("R_MU", "R_BR", "control"))
    bench.tell(unit, {"hello": "R_MU", "device": "R", "role": "merging_unit"}, START)
    calm = link.decode_waves(unit.receive())
    assert calm is not None
    assert abs(calm.channels[4].steady) == pytest.approx(5773.5, rel=0.02)
    bench.tell(breaker, {"hello": "R_BR", "device": "R", "role": "breaker"}, START)
    assert link.parse(breaker.receive())["live"] == [True, True]
    bench.tell(control, {"start": START + 10_000}, START)
    assert link.parse(control.receive()) == {"answer": "start", "at_us": START + 10_000}

    bench.server._felt.clear()  # otherwise a cabinet beside a merging unit is told of voltage changes only
    bench.server.work(START + 40_000)
    due = bench.server.deadline()
    assert due is not None
    bench.server.work(due)
    bench.server.work(bench.server.deadline() or 0)
    wave = link.decode_waves(unit.receive())
    assert wave is not None
    assert wave.start_us > START + 60_000
    assert abs(wave.channels[0].steady) > 2000
    assert wave.channels[0].dc != 0.0
    bench.server.work(wave.start_us - 1)
    breaker.socket.settimeout(0.01)
    with pytest.raises(TimeoutError):
        breaker.receive()
    bench.server.work(wave.start_us)
    breaker.socket.settimeout(1.0)
    felt = link.parse(breaker.receive())
    assert felt["time_us"] == wave.start_us
    assert abs(complex(*felt["phasors"][0])) == pytest.approx(abs(wave.channels[0].steady), rel=1e-4)

    bench.tell(breaker, {"coil": "open", "device": "R"}, wave.start_us + 10_000)
    end = wave.start_us + 120_000
    while (due := bench.server.deadline()) is not None and due <= end:
        bench.server.work(due)
    kinds = [r["kind"] for r in bench.records()]
    assert {"start", "fault", "order", "position", "contact", "zone", "currents", "demand"} <= set(kinds)
    times = [r["time_us"] for r in bench.records() if r["kind"] != "start"]
    assert times == sorted(times)
    positions = [m["position"] for m in _drain(breaker) if "position" in m]
    assert positions == [0, 1]
    for end_ in (unit, breaker, control):
        end_.close()


def _drain(end: link.PlantLink) -> list[dict[str, object]]:
    end.socket.settimeout(0.05)
    found = []
    while True:
        try:
            found.append(link.parse(end.receive()))
        except TimeoutError:
            return found


def test_what_it_does_not_understand_it_says(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {})
    control = bench.instrument("control")
    for message in (
        {"coil": "open", "device": "nobody"},
        {"inject": {"event": "explode"}},
        {"inject": {"event": "fault", "name": "f", "at": "nowhere", "kind": "ag"}},
        {"inject": {"event": "fault", "name": "f", "at": "L1", "kind": "xx"}},
        {"what": 1},
        {"hello": "x", "device": "R", "role": "cat"},
    ):
        bench.tell(control, message, START)
        assert link.parse(control.receive())["answer"] == "error"
    control.send({})
    bench.server.receive(b"\xff not json", None, START)
    bench.tell(control, {"snapshot": True}, START)
    control.close()


def test_waves_survive_the_wire(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {})
    waves = bench.server.plant.waves
    decoded = link.decode_waves(link.encode_waves(waves, 1))
    assert decoded is not None
    assert [c.steady for c in decoded.channels] == waves.phasor[1].tolist()
    assert np.allclose([c.dc_tau_s for c in decoded.channels], waves.dc_tau_s[1])
    assert link.decode_waves(b"FLW2 short") is None
    assert link.decode_waves(link.encode_waves(waves, 1)[:-1] + b"") is None


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"evnts": []}',
        '{"options": {"colour": 1}}',
        '{"events": [{"event": "open", "device": "R"}]}',
        '{"events": [{"at_ms": 0, "event": "open", "device": "Z"}]}',
        '{"events": [{"at_ms": 0, "event": "break", "device": "R", "failure": "tired"}]}',
        '{"events": [{"at_ms": 0, "event": "fault", "name": "f", "at": "L1", "kind": "ag", "fraction": 2}]}',
        '{"events": [{"at_ms": 0, "event": "source", "source": "SRC"}]}',
    ],
)
def test_a_wrong_scenario_is_refused(text: str) -> None:
    with pytest.raises(StoryError):
        parse(text, radial(loads=LOADS))


def test_every_event_of_the_format_is_understood() -> None:
    feeder = radial(loads=LOADS)
    items = [
        {"event": "fault", "name": "f", "at": "n1", "kind": "abc", "temporary": True, "duration_ms": 50},
        {"event": "clear", "name": "f"},
        {"event": "open", "device": "R"},
        {"event": "close", "device": "R"},
        {"event": "break", "device": "R", "failure": "stuck_pole_b"},
        {"event": "repair", "device": "R", "failure": "stuck_pole_b"},
        {"event": "source", "source": "SRC", "on": False},
        {"event": "load", "load": "H1", "factor": 1.2},
        {"event": "instrument", "ied": "R_MU", "pause": True},
    ]
    assert len([parse_event(item, feeder) for item in items]) == len(items)
    assert isinstance(parse('{"name": "n", "seed": 3}', feeder), Story)


def test_as_a_process_of_its_own(tmp_path: Path) -> None:
    """Start barrier, injected fault, coil order, snapshot, truth file: in real time on the demonstration feeder."""
    scenario = tmp_path / "s.json"
    scenario.write_text('{"events": [{"at_ms": 20, "event": "fault", "name": "f", "at": "Z12", "kind": "abc"}]}')
    truth = tmp_path / "truth.jsonl"
    command = [sys.executable, "-m", "simulator.ieds.plant_process", "--feeder", str(DEMO)]
    command += ["--plant", str(tmp_path / "p"), "--truth", str(truth), "--scenario", str(scenario)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=DEMO.parents[2])
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        control = link.PlantLink(tmp_path / "p", "control")
        started = control.ask({"start": True})["at_us"]
        control.send({"coil": "open", "device": "R11"})
        time.sleep(0.4)
        snapshot = control.ask({"snapshot": True})
        assert snapshot["faults"] == ["f"]
        assert snapshot["devices"]["R11"]["poles"] == "OOO"
        assert control.ask({"stop": True}) == {"answer": "stop"}
        assert process.wait(5) == 0
        control.close()
    finally:
        process.kill()
        process.stdout.close()
    records = [json.loads(line) for line in truth.read_text().splitlines()]
    (struck,) = [r for r in records if r["kind"] == "fault"]
    assert struck["time_us"] == started + 20_000
    assert not (tmp_path / "p").exists()
    assert 1000 * min(d.opening_time_ms for d in read_drawing(DEMO).devices) > LOOKAHEAD_US

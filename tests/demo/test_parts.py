"""Course, judge, report, capture file and COMTRADE reader on a run that was made up."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from agent.goose.tap import Packet
from scl.describe import read as read_drawing
from simulator.demo import comtrade, report
from simulator.demo.capture import Capture
from simulator.demo.course import Course, Trip
from simulator.demo.follow import Follower, Line
from simulator.demo.judge import Judge
from simulator.demo.scenario import DRAWING, Scenario, find
from simulator.demo.verdict import Verdict, judge

FEEDER = read_drawing(DRAWING)
ZERO = 1_800_000_000_000_000


def plant(ms: float, kind: str, **details: Any) -> Line:
    return Line(ZERO + round(ms * 1000), "plant", str(details.get("device", "")), kind, details)


def agent(ms: float, device: str, name: str, **details: Any) -> Line:
    return Line(ZERO + round(ms * 1000), "agent", device, name, details)


def zone(ms: float, name: str, *sources: str, faulted: bool = False) -> Line:
    return plant(ms, "zone", zone=name, sources=list(sources), live=bool(sources), faulted=faulted)


def calm() -> list[Line]:
    one = ("SRC1", "BB1", "Z11", "Z12", "Z13", "Z21", "Z22")
    return [zone(-1000, z.name, "SRC1" if z.name in one else "SRC2") for z in FEEDER.zones]


def healed() -> list[Line]:
    """F1 and R11 open and lock, T1 closes."""
    lines = calm()
    lines.append(plant(0, "fault", fault="f1", on=True, zone="Z11", at="Z11_S2", type="abc", rf_ohm=0.0))
    lines.append(zone(0, "Z11", "SRC1", faulted=True))
    for at, device in ((8.0, "F1"), (9.0, "R11")):
        lines += [agent(at, device, "trip_sent"), agent(at, device, "lockout"), agent(at, device, "lockout_announced")]
        lines.append(plant(at + 1, "order", device=device, close=False, moves=True))
        lines.append(plant(at + 55, "position", device=device, poles="OOO"))
    lines += [agent(3.0, "F1", "pickup"), zone(63, "Z11", faulted=True), zone(64, "Z12"), zone(64, "Z13")]
    lines += [agent(150, "T1", "request"), agent(160, "T1", "close_sent")]
    lines.append(plant(161, "order", device="T1", close=True, moves=True))
    lines.append(plant(240, "position", device="T1", poles="CCC"))
    lines += [zone(240, "Z12", "SRC2"), zone(240, "Z13", "SRC2")]
    return sorted(lines, key=lambda line: line.t_us)


def judged(lines: list[Line], scenario: Scenario | None = None) -> Verdict:
    course = Course(FEEDER, sorted(lines, key=lambda line: line.t_us))
    course.trips = [Trip(ZERO + 8_500, "F1"), Trip(ZERO + 9_200, "R11")]
    chosen = scenario or find("between-breakers")
    return judge(Verdict(chosen.name, "", "l2", 1, ""), course, chosen, [], False)


def test_a_healed_feeder_passes() -> None:
    verdict = judged(healed())
    assert [h for h in [*verdict.invariants, *verdict.checks] if not h.held] == []
    assert verdict.passed
    assert verdict.ms["pickup"] == 3.0
    assert verdict.ms["trip_goose"] == 9.2
    assert verdict.ms["isolated"] == 64.0
    assert verdict.ms["lockout"] == 9.0
    assert verdict.ms["restored"] == 240.0
    assert verdict.kw["lost"] == verdict.kw["restored"] + verdict.kw["dark"] == 1990.0
    assert {z["name"]: z["state"] for z in verdict.zones}["Z12"] == "restored"


def test_the_milliseconds_are_split_where_they_went() -> None:
    lines = [
        *healed(),
        plant(0.01, "currents", a={"F1": 8000.0}),
        agent(3.4, "F1", "pickup_sent"),
        agent(8, "F1", "claim", zones="Z11"),
        agent(120, "L12", "trip_sent", upto_us=ZERO + 116_000),
    ]
    verdict = judged(lines)
    assert verdict.split_ms["answers"] == 4.6
    assert sum(verdict.split_ms.values()) == pytest.approx(verdict.ms["trip_goose"])
    assert verdict.multiple == 10.0
    assert verdict.switches == [{"device": "L12", "zero_to_order_ms": 4.0}]
    assert verdict.restoration["dead_to_request_ms"] == 86.0
    assert verdict.restoration["agreement_ms"] == 10.0
    assert verdict.restoration["closing_ms"] == 80.0
    parts = verdict.restoration["opening_ms"] + verdict.restoration["closing_ms"]
    assert parts + verdict.restoration["without_mechanisms_ms"] == pytest.approx(verdict.ms["restored"])


@pytest.mark.parametrize(
    ("number", "spoil"),
    [
        (1, [zone(300, "Z11", "SRC1", faulted=True)]),
        (2, [plant(300, "parallel", sources=["SRC1", "SRC2"])]),
        (3, [plant(300, "order", device="F1", close=True, moves=True), agent(299, "F1", "close_sent")]),
        (4, [plant(300, "position", device="R11", poles="CCC")]),
        (5, [zone(300, "Z12"), zone(300, "Z13"), plant(300, "position", device="T1", poles="OOO")]),
        (6, [plant(300, "over_rating", element="Z33_S1", a=500.0, rating_a=400.0)]),
        (7, [plant(300, "order", device="L32", close=False, moves=True)]),
        (8, [agent(-900, "L32", "started"), agent(250, "L32", "started"), agent(299, "L32", "trip"),
             plant(300, "order", device="L32", close=False, moves=True)]),
        (9, [plant(300, "violation", device="L12", a=5000.0, breaking_a=630.0)]),
    ],
)  # fmt: skip
def test_every_invariant_can_break(number: int, spoil: list[Line]) -> None:
    verdict = judged(healed() + spoil)
    broken = [h.name for h in verdict.invariants if not h.held]
    assert any(name.startswith(f"{number} ") for name in broken), broken
    assert not verdict.passed


def test_a_reclose_shot_may_energise_a_fault_once() -> None:
    feeder = FEEDER
    again = [zone(300, "Z11", "SRC1", faulted=True)]
    course = Course(feeder, healed() + again)
    assert Judge(course, find("between-breakers")).invariants()[0].held is False
    seen_late = Scenario("x", "", (), None, unseen=frozenset({"f1"}))
    assert Judge(course, seen_late).invariants()[0].held is True


def test_the_end_state_is_compared_with_the_table() -> None:
    verdict = judged([*healed(), agent(300, "T1", "lockout")])
    assert [h.name for h in verdict.checks if not h.held] == ["locked out"]


def test_half_a_line_waits_for_its_other_half(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    path.write_text('{"time_us": 5, "kind": "start"}\n{"time_us": 6, "ki')
    follower = Follower([(path, "plant", "")])
    assert [x.name for x in follower.poll()] == ["start"]
    with path.open("a") as file:
        file.write('nd": "fault"}\nnonsense\n')
    assert [x.name for x in follower.poll()] == ["fault"]


def test_the_capture_file_is_classic_pcap(tmp_path: Path) -> None:
    capture = Capture()
    capture._packets = [Packet(1_000_002, b"\x01" * 60), Packet(2_500_000, b"\x02" * 70)]
    assert capture.write(tmp_path / "x.pcap") == 2
    octets = (tmp_path / "x.pcap").read_bytes()
    assert struct.unpack("<IHH", octets[:8]) == (0xA1B2C3D4, 2, 4)
    assert struct.unpack("<IIII", octets[24:40]) == (1, 2, 60, 60)


def record(folder: Path) -> Path:
    """A record as the agents write it."""
    from agent.station.recorder import Recorder

    recorder = Recorder(folder, "demo", "F1", 50.0)
    recorder.event("pickup", ZERO)
    times = [ZERO - 60_000 + 250 * i for i in range(1200)]
    counts = [100 * i + k for i in range(1200) for k in range(8)]
    path = recorder.write(struct.pack(f"={len(times)}q", *times) + struct.pack(f"={len(counts)}i", *counts))
    assert path is not None
    return path


def test_a_record_is_read_and_plotted(tmp_path: Path) -> None:
    read = comtrade.read(record(tmp_path))
    assert read.device == "F1"
    assert read.names[:4] == ("IA", "IB", "IC", "IN")
    assert read.times_us[0] == ZERO - 60_000
    assert read.values[1][10] == pytest.approx(1.001)
    drawn = report.waveform(read, ZERO)
    assert drawn.count("<polyline") == 6
    assert "PICKUP" in drawn


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    course = Course(FEEDER, healed())
    verdict = judged(healed())
    verdict.description = "<b>not markup</b>"
    page = report.page(verdict, course, [comtrade.read(record(tmp_path))])
    assert "PASS" in page
    assert "&lt;b&gt;not markup" in page
    assert page.count("<svg") == 3
    for outside in ("http://", "https://", "src=", "<script"):
        assert outside not in page.replace("http://www.w3.org", "")


def test_a_foreign_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.cfg").write_text("a,b,2013\n1,1A,0D\n")
    with pytest.raises(comtrade.RecordError):
        comtrade.read(tmp_path / "x.cfg")

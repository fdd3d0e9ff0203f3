"""Where the milliseconds went: a run that was made up, event by event and frame by frame."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.goose.dataset import DataSet, command_data_set, report_data_set
from agent.goose.frame import Envelope
from agent.goose.layout import Head, Layout
from agent.goose.tap import Packet, read_capture
from agent.logic.messages import BreakerCommand, Level, Position, Report
from agent.sv import codec
from agent.sv.frame import sealer
from benchmarks.trip import Case, cases, rows
from scl.describe import read as read_drawing
from simulator.demo import split
from simulator.demo.capture import Capture
from simulator.demo.course import Course, Trip, trips
from simulator.demo.follow import Line
from simulator.demo.heard import Heard, listen
from simulator.demo.live import verdict_table
from simulator.demo.report import page
from simulator.demo.scenario import DRAWING, find, parse
from simulator.demo.verdict import Verdict, judge

FEEDER = read_drawing(DRAWING)
ZERO = 1_800_000_000_100_000
"""Fault inception, 100 ms after a full second."""
WHY = {"zones": "Z11", "final": True, "why": split.SELECTIVE}


def at(ms: float) -> int:
    return ZERO + round(ms * 1000)


def agent(ms: float, device: str, name: str, **details: Any) -> Line:
    return Line(at(ms), "agent", device, name, details)


def plant(ms: float, name: str, **details: Any) -> Line:
    return Line(at(ms), "plant", str(details.get("device", "")), name, details)


def currents(ms: float, **amps: float) -> Line:
    return plant(ms, "currents", a=amps)


class Bus:
    """Frames as the agents and merging units make them, without keys."""

    def __init__(self) -> None:
        self.packets: list[Packet] = []
        self._numbers: dict[str, int] = {}

    def _goose(self, ms: float, reference: str, data_set: DataSet[Any], message: object, repeated: int) -> None:
        number = self._numbers.get(reference, 0) + (not repeated)
        self._numbers[reference] = number
        layout = Layout(reference, "x", "x", data_set.b_types)
        head = Head(100, at(ms), 0, number, repeated, False, 1, False)
        frame = Envelope(bytes(6), bytes(6), 1).seal(layout.encode(head, data_set.to_values(message)))
        self.packets.append(Packet(at(ms), frame))

    def report(self, ms: float, device: str, repeated: int = 0, **said: Any) -> None:
        report = Report(**{"position": Position.CLOSED, "level": Level.QUIET, **said})
        data_set = report_data_set(len(FEEDER.zones), len(FEEDER.devices))
        self._goose(ms, f"{device}_AGFLISR/LLN0$GO$gcbFlisr", data_set, report, repeated)

    def order(self, ms: float, device: str, **said: Any) -> None:
        reference = f"{device}_AGFLISR/LLN0$GO$gcbOper"
        self._goose(ms, reference, command_data_set(), BreakerCommand(**said), 0)

    def samples(self, device: str, delay_ms: float, first_ms: float, last_ms: float) -> None:
        """Every 0.25 ms of sample time, each frame ``delay_ms`` later."""
        seal = sealer(0x4000, mac="01-0c-cd-04-00-01")
        ms = first_ms
        while ms <= last_ms:
            asdu = codec.Asdu(f"{device}_MU01", at(ms) % 1_000_000 // 250, 1, 2, bytes(64))
            self.packets.append(Packet(at(ms + delay_ms), seal(codec.encode(codec.Pdu((asdu,))))))
            ms += 0.25


def story() -> list[Line]:
    """F1 picks up, asks, finds Z11; R11 follows."""
    return [
        plant(0, "fault", fault="f1", on=True, zone="Z11", at="Z11_S2", type="abc", rf_ohm=0.0),
        currents(0, F1=9600.0, R11=20.0),
        agent(1.2, "Q1", "pickup"),
        agent(2.5, "F1", "pickup"),
        agent(2.8, "F1", "pickup_sent"),
        agent(6.0, "F1", "claim", **WHY),
        agent(6.0, "F1", "trip", pickup_us=at(1.5)),
        agent(6.9, "R11", "trip", pickup_us=0),
    ]


def wire() -> Bus:
    bus = Bus()
    bus.report(-5.0, "R11", upto_us=at(-6))
    bus.report(2.7, "F1", level=Level.PICKUP, start_us=at(0.5), upto_us=at(1.75))
    bus.report(3.0, "R11", upto_us=at(2.0))  # not far enough
    bus.report(4.8, "R11", upto_us=at(3.5))
    bus.order(6.2, "F1", trip=True)
    bus.report(6.3, "F1", level=Level.PICKUP, start_us=at(0.5), upto_us=at(5), claim_zones=1 << 4, claim_us=at(6.0))
    bus.order(7.3, "R11", trip=True)
    bus.report(10.3, "F1", 1, level=Level.PICKUP, start_us=at(0.5), claim_zones=1 << 4, claim_us=at(6.0))
    bus.samples("F1", 1.0, 0.0, 8.0)
    bus.samples("R11", 1.25, 0.0, 8.0)
    return bus


def course_of(lines: list[Line], seen: Sequence[Packet] = ()) -> Course:
    course = Course(FEEDER, sorted(lines, key=lambda line: line.t_us))
    course.trips = trips(seen, {device.agent: device.name for device in FEEDER.devices})
    return course


def split_of(lines: list[Line], bus: Bus) -> list[dict[str, Any]]:
    course = course_of(lines, bus.packets)
    return split.breakers(course, listen(bus.packets, FEEDER, ZERO))


def test_each_breakers_trip_is_filter_wait_and_decision() -> None:
    finder, follower = split_of(story(), wire())
    assert (finder["device"], finder["found_by"], follower["device"], follower["found_by"]) == ("F1", "F1", "R11", "F1")
    for row in (finder, follower):
        parts = row["filter_ms"] + row["wait_ms"] + row["decision_and_wire_ms"]
        assert parts == pytest.approx(row["trip_ms"])
    assert finder["filter_ms"] == 2.5, "F1's own pick-up, not the first one anywhere"
    assert finder["merging_unit_ms"] == 1.0
    assert finder["decision_and_wire_ms"] == 0.2, "to the frame on the wire, not to the event"
    assert follower["decision_and_wire_ms"] == 1.3
    assert follower["claim_transfer_ms"] == 0.6


def test_the_wait_is_spread_the_neighbours_answer_and_its_transfer() -> None:
    row = split_of(story(), wire())[0]
    assert row["answered_by"] == "R11"
    assert row["spread_ms"] == 1.75, "R11's sample of 3.0 ms came at 4.25"
    assert row["answer_ms"] == pytest.approx(0.55)
    assert row["transfer_ms"] == pytest.approx(1.2)
    assert row["spread_ms"] + row["answer_ms"] + row["transfer_ms"] == pytest.approx(row["wait_ms"])


def test_the_longest_wait_follows_from_what_was_measured() -> None:
    bus = wire()
    heard = listen(bus.packets, FEEDER, ZERO)
    wait = split.answer_wait(heard, split.breakers(course_of(story(), bus.packets), heard))
    assert wait["transfer_ms"] == pytest.approx(1.2)
    assert wait["retransmission_ms"] == pytest.approx(4.0)
    assert wait["derived_ms"] == pytest.approx(1.5 + 2 * 1.2 + 4.0)
    assert wait["set_ms"] == 9.0


def test_a_claim_is_not_found_before_the_answer_that_it_needed() -> None:
    late = [x if x.name != "claim" else x._replace(t_us=at(4.5)) for x in story()]
    bus = wire()
    bus.report(6.25, "F1", level=Level.PICKUP, start_us=at(0.5), claim_zones=1 << 4, claim_us=at(4.5))
    row = split_of(late, bus)[0]
    assert row["wait_ms"] == pytest.approx(2.3), "the answer was on the wire at 4.8"
    assert row["transfer_ms"] == 0.0
    assert row["filter_ms"] + row["wait_ms"] + row["decision_and_wire_ms"] == pytest.approx(row["trip_ms"])


def test_a_wait_for_a_silent_neighbour_is_not_split() -> None:
    lines = [x if x.name != "claim" else agent(6.0, "F1", "claim", **{**WHY, "zones": "Z11,Z12"}) for x in story()]
    row = split_of(lines, wire())[0]
    assert row["wait_ms"] == 3.5
    assert row["answered_by"] is row["spread_ms"] is row["answer_ms"] is row["transfer_ms"] is None, "L12 said nothing"


def test_without_a_capture_the_parts_still_add_up() -> None:
    course = course_of(story())
    course.trips = [Trip(at(6.2), "F1"), Trip(at(7.3), "R11")]
    row = split.breakers(course, Heard())[1]
    assert row["filter_ms"] + row["wait_ms"] + row["decision_and_wire_ms"] == pytest.approx(7.3)
    assert row["merging_unit_ms"] is row["spread_ms"] is row["transfer_ms"] is row["claim_transfer_ms"] is None
    assert split.answer_wait(Heard(), [row]) == {}


def test_a_wait_for_a_breaker_that_failed_is_not_one_for_answers() -> None:
    lines = [*story(), agent(97, "R11", "claim", zones="Z11,Z12", why="breaker failure")]
    bus = wire()
    bus.order(100, "Q1", trip=True)
    rows = split_of([*lines, agent(98, "F1", "claim", zones="BB1", why="breaker failure")], bus)
    assert rows[-1]["device"] == "Q1"
    assert rows[-1]["why"] == "breaker failure"
    assert rows[-1]["answered_by"] is rows[-1]["transfer_ms"] is None


def test_a_switch_is_timed_from_when_zero_could_first_be_confirmed() -> None:
    lines = [
        *story(),
        currents(0.1, L12=400.0),
        agent(20, "L12", "lockout"),
        currents(70, L12=13.0),  # still above 2 % of the pick-up
        currents(100, L12=0.0),
        agent(110.5, "L12", "trip_sent"),
    ]
    course = course_of(lines)
    course.trips = [Trip(at(110.0), "L12")]
    assert split.switches(course) == [{"device": "L12", "zero_to_order_ms": 3.2}]


def test_a_switch_without_current_is_timed_from_when_it_learned_of_the_fault() -> None:
    course = course_of([*story(), currents(0, L12=0.0), agent(20, "L12", "lockout"), agent(21.4, "L12", "trip_sent")])
    course.trips = [Trip(at(21.0), "L12")]
    assert split.switches(course)[0]["zero_to_order_ms"] == 1.0


def restored() -> list[Line]:
    """F1 trips, recloses in vain and trips again; T1 feeds Z13."""
    fed = [plant(-1000, "zone", zone=z.name, sources=["SRC1"], live=True, faulted=False) for z in FEEDER.zones]
    return [
        *fed, *story(),
        plant(60, "position", device="F1", poles="OOO"),
        plant(60, "zone", zone="Z13", sources=[], live=False, faulted=False),
        plant(500, "position", device="F1", poles="CCC"),
        plant(570, "position", device="F1", poles="OOO"),
        agent(600, "T1", "request", zones="Z13"),
        agent(610, "T1", "close"),
        agent(610.5, "T1", "close_sent"),
        plant(690, "position", device="T1", poles="CCC"),
        plant(690, "zone", zone="Z13", sources=["SRC2"], live=True, faulted=False),
    ]  # fmt: skip


def test_the_restoration_is_told_moment_by_moment_and_without_the_mechanisms() -> None:
    bus = wire()
    bus.order(300, "F1", trip=False)
    bus.order(520, "F1", trip=True)
    bus.order(610.2, "T1", close_number=7, close_expiry_us=at(710))
    course = course_of(restored(), bus.packets)
    told = split.restoration(course, listen(bus.packets, FEEDER, ZERO))
    moments = ("dead_ms", "request_ms", "agreed_ms", "order_ms", "voltage_ms")
    assert [told[key] for key in moments] == [570.0, 600.0, 610.0, 610.2, 690.0]
    assert told["opening_ms"] == 50.0, "of the last opening, not from the first order"
    assert told["closing_ms"] == 79.5
    assert told["without_mechanisms_ms"] == pytest.approx(690 - 50 - 79.5)
    assert told["generation"] is False, "the solar plant is in Z12"


def test_the_verdict_tells_what_the_written_capture_holds(tmp_path: Path) -> None:
    bus = wire()
    capture = Capture()
    capture._packets = sorted(bus.packets, key=lambda packet: packet.t_us)
    capture.write(tmp_path / "frames.pcap")
    written = [packet for packet, _ in read_capture(tmp_path / "frames.pcap")]
    assert [packet.t_us for packet in written] == sorted(x.t_us for x in bus.packets)
    course = course_of(story(), bus.packets)
    heard = listen(written, FEEDER, course.inception_us)
    verdict = judge(Verdict("x", "", "l2", 1, ""), course, find("between-breakers"), [], False, heard)
    plain = verdict.plain()
    assert plain["split"][-1]["trip_ms"] == plain["ms"]["trip_goose"] == 7.3
    assert plain["split"][0]["answered_by"] == "R11"
    assert plain["answer_wait"]["set_ms"] == 9.0
    html = page(verdict, course, [])
    for text in ("decision and wire", "12.0 × the phase pick-up", "set 9.0 ms"):
        assert text in html
    lines = [str(part) for part in verdict_table(verdict).renderables]
    assert "  trip of R11: filter 2.5 ms, answers 3.5 ms, decision and wire 1.3 ms; 12.0 x pick-up" in lines


def test_a_frame_that_is_cut_short_is_passed_over() -> None:
    bus = wire()
    whole = listen(bus.packets, FEEDER, ZERO)
    cut = [Packet(x.t_us, x.frame[:20]) for x in bus.packets]
    assert listen([*bus.packets, *cut], FEEDER, ZERO).reports == whole.reports
    assert listen([Packet(at(1), b""), Packet(at(2), struct.pack(">I", 0x45000000))], FEEDER, ZERO) == Heard()


# --- flisr bench trip -------------------------------------------------------------------------------------------------


def played(located: bool) -> dict[str, Any]:
    """What a run printed; a fault that nobody located left no times."""
    bus = wire()
    course = course_of(story() if located else story()[:2], bus.packets if located else ())
    verdict = judge(Verdict("x", "", "l2", 1, ""), course, find("between-breakers"), [], False)
    plain = verdict.plain()
    check = next(entry for entry in plain["checks"] if entry["name"] == "locked out")
    check["held"] = located
    return plain


def test_the_benchmark_says_plainly_what_was_not_located() -> None:
    case = Case("3 x", {}, judged=True)
    told = {row.metric: row for row in rows(case, [played(True), played(False)], broken_off=1)}
    assert (told["fault located"].ours, told["fault located"].unit, told["fault located"].met) == (1, "of 3", False)
    assert told["trip p50"].ours == told["trip max"].ours == 7.3
    assert told["trip p50"].met is True
    assert told["decision and wire p50"].goal == 2.0
    assert "restored, without mechanisms p50" not in told


def test_below_three_times_the_pickup_figures_are_told_and_not_judged() -> None:
    told = {row.metric: row for row in rows(Case("2 x", {}, judged=False), [played(True)])}
    assert told["trip p50"].goal is told["decision and wire p50"].goal is None
    assert told["trip p50"].ours == 7.3


def test_a_case_that_was_not_played_is_a_row_of_its_own() -> None:
    assert [(row.metric, row.ours, row.met) for row in rows(Case("3 x", {}), [])] == [("plays", 0, False)]


def test_every_case_is_a_scenario_with_a_known_end() -> None:
    for case in cases():
        scenario = parse(case.scenario)
        assert scenario.expect is not None
        assert scenario.expect.locked
        drawn = scenario.drawn()
        if "no generation" in case.name:
            assert not any(zone.get("ders") for zone in drawn["zones"].values())

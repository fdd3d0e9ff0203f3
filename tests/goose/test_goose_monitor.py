"""A bystander's view of GOOSE: what a sniffer says of a stream, and that it agrees with tshark on real captures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.goose.codec import Data, Kind, Pdu, encode, utc_time
from agent.goose.commands import goose
from agent.goose.frame import Envelope
from agent.goose.monitor import Monitor
from agent.goose.session import SessionEnvelope
from agent.goose.sniff import Sniffer
from agent.goose.tap import LINKTYPE_ETHERNET, CaptureError, Packet, payload_of, read_capture, write_capture
from agent.goose.text import plain, value_text
from agent.security.frames import Algorithm, make_key
from agent.security.ring import KeyGroup
from tests.goose.lab import CAPTURES, in_namespace, tshark, udp_frame

MS = 1000


def pdu(st: int, sq: int, trip: bool = False, ttl_ms: int = 100, conf_rev: int = 1) -> Pdu:
    data = (Data(Kind.BOOLEAN, trip), Data(Kind.INTEGER, st, 4))
    return Pdu("X1LD0/LLN0$GO$gcb", ttl_ms, "X1LD0/LLN0$ds", "X1", utc_time(st), st, sq, False, conf_rev, False, data)


def test_a_stream_told_frame_by_frame() -> None:
    monitor = Monitor()
    story = [
        (pdu(7, 3), 0, ("first",), 0),
        (pdu(7, 4), 10, ("repetition",), 0),
        (pdu(8, 0, True), 20, ("change",), 0),
        (pdu(8, 0, True), 21, ("duplicate",), 0),
        (pdu(8, 4, True), 30, ("missed",), 3),
        (pdu(8, 2, True), 31, ("backward",), 0),
        (pdu(11, 1), 40, ("missed",), 3),
        (pdu(11, 2), 300, ("silent", "missed"), 0),
        (pdu(9, 0), 310, ("backward",), 0),
        (pdu(1, 1, conf_rev=2), 320, ("confRev", "restart"), 0),
    ]
    for frame, ms, words, missed in story:
        seen = monitor.observe(frame, 1, ms * MS)
        if ms == 300:
            assert seen.words == ("silent", "repetition")
            continue
        assert (seen.words, seen.missed) == (words, missed), ms
    track = monitor.tracks["X1LD0/LLN0$GO$gcb", 1]
    assert track.frames == len(story)
    assert track.counters["frames missed"] == 6
    assert track.gap_us == 260 * MS


def test_only_what_differs_is_named() -> None:
    monitor = Monitor()
    monitor.observe(pdu(1, 0), 1, 0)
    assert monitor.observe(pdu(2, 0), 1, 1).changed == (1,)
    assert monitor.observe(pdu(3, 0, True), 1, 2).changed == (0, 1)


@pytest.mark.parametrize(
    ("data", "text", "json_value"),
    [
        (Data(Kind.BIT_STRING, 2, 2), "on", "10"),
        (Data(Kind.BIT_STRING, 5, 13), "0000000000101", "0000000000101"),
        (Data(Kind.FLOAT, 1.5, 4), "1.5", 1.5),
        (Data(Kind.OCTET_STRING, b"\x01\xff"), "01ff", "01ff"),
        (Data(Kind.STRUCTURE, (Data(Kind.BOOLEAN, True), Data(Kind.INTEGER, -3, 1))), "{true, -3}", [True, -3]),
        (Data(Kind.FLOAT, float("inf"), 4), "inf", "inf"),
    ],
)
def test_values_for_people_and_for_programs(data: Data, text: str, json_value: object) -> None:
    assert value_text(data) == text
    assert plain(data) == json_value


def test_a_capture_is_read_as_it_was_written(tmp_path: Path) -> None:
    packets = [Packet(1_800_000_000_000_000 + k, bytes([k] * 60)) for k in range(5)]
    assert write_capture(tmp_path / "a.pcap", packets) == 5
    assert [packet for packet, _ in read_capture(tmp_path / "a.pcap")] == packets
    (tmp_path / "b.pcap").write_bytes(b"no capture at all")
    with pytest.raises(CaptureError, match=r"b\.pcap"):
        list(read_capture(tmp_path / "b.pcap"))


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_what_is_cut_short_is_no_payload_and_no_crash(cut: int) -> None:
    frame = bytes(12) + b"\x81\x00\x80\x05\x08\x00\x45" + bytes(8) + b"\x11" + bytes(40)
    assert payload_of(frame[:cut]) is None


@pytest.mark.peer
@pytest.mark.parametrize("name", ["GOOSE.pcap", "GOOSE_DEMO.pcap", "Sample_File_GOOSE.pcap"])
def test_sniffing_a_real_capture_says_what_tshark_says(name: str) -> None:
    run = CliRunner().invoke(goose, ["sniff", str(CAPTURES / name), "--json", "--all"])
    assert run.exit_code == 0, run.output
    told = json.loads(run.stdout)
    wanted = ("goose.gocbRef", "goose.stNum", "goose.sqNum", "goose.appid")
    arguments = [part for field in wanted for part in ("-e", field)]
    fields = [line.split("\t") for line in tshark(CAPTURES / name, "-T", "fields", *arguments).splitlines() if line]
    ours = [[e["gocb_ref"], str(e["st_num"]), str(e["sq_num"]), f"0x{e['appid']:04x}"] for e in told["events"]]
    assert ours == fields
    assert told["refused"] == {}
    assert told["frames"] == len(fields) == sum(row["frames"] for row in told["streams"])


@pytest.mark.namespaces
def test_what_is_published_by_hand_is_heard_authentic_and_a_replay_of_it_is_seen_as_such(tmp_path: Path) -> None:
    told = in_namespace("bench", "by_hand", str(tmp_path))
    assert told["published"]["states"] == 3
    heard = told["heard"]
    assert heard["frames"] == told["published"]["frames"]
    (row,) = heard["streams"]
    assert (row["gocb_ref"], row["st_num"], row["authentic"]) == ("X1LD0/LLN0$GO$gcb01", 3, {"yes": heard["frames"]})
    assert row["counters"]["change"] == 2
    assert [event["changed"] for event in heard["events"]] == [
        {"1": True, "2": 5, "3": "10", "4": 1.5},
        {"1": False, "2": 6},
        {"1": True},
    ]
    assert told["replayed"]["sent"] == heard["frames"]
    again = told["heard_again"]["streams"][0]
    assert again["authentic"] == {"yes": heard["frames"]}, "a replay is authentic: age and sequence tell it"
    assert told["dropped"] == {"stale": heard["frames"]}, "and our subscriber drops every frame of it"
    assert "goosePdu" in tshark(tmp_path / "heard.pcap", "-V")


def test_wrong_input_has_a_clear_end(tmp_path: Path) -> None:
    run = CliRunner().invoke(goose, ["sniff"])
    assert run.exit_code == 2
    assert "--interface" in run.output
    (tmp_path / "x.pcap").write_bytes(b"junk")
    run = CliRunner().invoke(goose, ["sniff", str(tmp_path / "x.pcap")])
    assert run.exit_code == 1
    assert "x.pcap" in run.output
    for value, said in (("INT32:many", "INT32"), ("FLOAT33:1", "FLOAT33"), ("INT8:1000", "-128 <= number <= 127")):
        run = CliRunner().invoke(
            goose, ["publish", "-i", "lo", "--gocb-ref", "a", "--value", value, "--no-authentication"]
        )
        assert run.exit_code == 1, run.output
        assert said in run.output
    run = CliRunner().invoke(goose, ["publish", "-i", "lo", "--gocb-ref", "a", "--value", "INT8:1"])
    assert "--no-authentication" in run.output


@pytest.mark.parametrize(
    ("algorithm", "routed"),
    [(algorithm, routed) for algorithm in Algorithm for routed in (False, True) if routed or not algorithm.encrypts],
)
def test_every_kind_of_authentication_is_told(algorithm: Algorithm, routed: bool) -> None:
    key, other = (make_key(1, algorithm, bytes([k]) * (16 if 16 in algorithm.secrets else 32)) for k in (1, 2))
    apdu = encode(pdu(1, 1))
    if routed:
        octets, link = udp_frame(SessionEnvelope(1, key=key).seal(apdu)), LINKTYPE_ETHERNET
    else:
        octets, link = Envelope(bytes.fromhex("010ccd010001"), bytes(6), 1, key=key).seal(apdu), LINKTYPE_ETHERNET
    seen = Sniffer(keys=KeyGroup([key])).take(Packet(0, octets), link)
    assert seen is not None
    assert seen.authentic == "yes"
    sniffer = Sniffer(keys=KeyGroup([other]))
    seen = sniffer.take(Packet(0, octets), link)
    if algorithm.encrypts:
        assert seen is None
        assert sniffer.counters == {"bad-mac": 1}
    else:
        assert seen is not None
        assert seen.authentic == "no: wrong MAC"

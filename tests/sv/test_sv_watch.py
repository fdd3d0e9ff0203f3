"""A bystander's view of Sampled Values, and a fault record played as a stream."""

from __future__ import annotations

import json
import math
import struct
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.core.config import Layout
from agent.goose.tap import payload_of, read_capture
from agent.sv.codec import Asdu, Quality, decode, pack_channels
from agent.sv.commands import sv
from agent.sv.display import blocks
from agent.sv.frame import open_payload
from agent.sv.play import AMPERE, VOLT, Player, RecordError, read
from agent.sv.watch import Watch, phasors, quality_text
from simulator.demo import comtrade as records
from tests.goose.lab import CAPTURES, in_namespace, tshark

CAPTURE = CAPTURES / "sv" / "seapath_gen_2streams_400_50Hz.pcap"
RECORDS = CAPTURES.parent / "comtrade"
SCALES = (0.001,) * 4 + (0.01,) * 4
PERIOD_US = 250


def asdu(count: int, amps: float = 100.0, quality: int = 0, angle: float = 0.0, synch: int = 2) -> Asdu:
    """Sample ``count`` of a second of balanced 50 Hz at 4000 samples/s; voltages of 5 kV lead by ``angle``."""
    turn = 2 * math.pi * count / 80
    currents = [round(amps * math.sqrt(2) * math.cos(turn - k * 2 * math.pi / 3) / AMPERE) for k in range(3)]
    volts = [
        round(5000 * math.sqrt(2) * math.cos(turn + math.radians(angle) - k * 2 * math.pi / 3) / VOLT) for k in range(3)
    ]
    values = (*currents, sum(currents), *volts, sum(volts))
    return Asdu("MU1", count, 1, synch, pack_channels(tuple((value, quality) for value in values)))


def heard(*counts: int) -> Watch:
    watch = Watch()
    for number, count in enumerate(counts):
        watch.take((asdu(count),), 0x4001, number * PERIOD_US)
    return watch


def test_phasors_of_a_known_stream() -> None:
    watch = Watch()
    for number in range(400):
        watch.take((asdu(number, angle=30.0),), 0x4001, number * PERIOD_US)
    (stream,) = watch.streams.values()
    assert stream.rate == 4000
    found = phasors(stream, SCALES)
    assert [round(p.rms, 2) for p in found] == [100.0, 100.0, 100.0, 0.0, 5000.0, 5000.0, 5000.0, 0.0]
    assert [round(p.degrees) for p in found[4:7]] == [0, -120, 120]
    assert [round(p.degrees) for p in found[:3]] == [-30, -150, 90], "against the first voltage"
    assert max(p.thd for p in found if p.rms > 1) < 1e-3
    assert found[0].peak == pytest.approx(100 * math.sqrt(2), rel=1e-4)


def test_gaps_duplicates_and_roll_over_are_told_apart() -> None:
    (stream,) = heard(*range(3990, 4000), *range(10)).streams.values()
    assert (stream.lost, stream.counters["gap"], stream.counters["roll-over"]) == (0, 0, 1)
    assert stream.rate == 4000
    (stream,) = heard(*range(3990, 3998), *range(3, 10)).streams.values()
    assert (stream.lost, stream.counters["gap"]) == (5, 1), "3998, 3999, 0, 1, 2"
    (stream,) = heard(1, 2, 2, 5, 4).streams.values()
    assert (stream.lost, dict(stream.counters)["duplicate"], stream.counters["backward"]) == (2, 1, 1)


def test_no_phasor_across_a_gap() -> None:
    (stream,) = heard(*range(100), *range(102, 170)).streams.values()
    assert phasors(stream, SCALES) == ()
    (stream,) = heard(*range(100), *range(102, 182)).streams.values()
    assert len(phasors(stream, SCALES)) == 8


def test_quality_synchronism_and_revision() -> None:
    watch = Watch()
    for number in range(10):
        watch.take((asdu(number, quality=Quality.TEST if number > 5 else 0, synch=2 if number < 8 else 0),), 1, number)
    (stream,) = watch.streams.values()
    assert stream.quality == {"test": 4}
    assert (stream.counters["synch"], stream.synch) == (1, {2: 8, 0: 2})
    assert quality_text(0x2801) == "invalid test derived"
    assert quality_text(0) == "good"


def test_blocks_of_a_wave() -> None:
    assert blocks([0, 1, 0, -1], 4) == "▄█▄ "
    assert blocks([], 4) == ""


@pytest.mark.peer
def test_a_capture_of_others_is_told_as_tshark_tells_it() -> None:
    run = CliRunner().invoke(sv, ["sniff", str(CAPTURE), "--json"])
    assert run.exit_code == 0, run.output
    told = json.loads(run.stdout)
    rows = [
        line.split("\t") for line in tshark(CAPTURE, "-T", "fields", "-e", "sv.svID", "-e", "sv.smpCnt").split("\n")
    ]
    by_stream: dict[str, list[int]] = {}
    for row in rows:
        if len(row) == 2:
            by_stream.setdefault(row[0], []).append(int(row[1]))
    assert {row["sv_id"]: row["samples"] for row in told["streams"]} == {k: len(v) for k, v in by_stream.items()}
    for counts in by_stream.values():
        assert all(b - a == 1 for a, b in pairwise(counts)), "no gap, as we say"
    assert {row["lost"] for row in told["streams"]} == {0}
    assert {row["rate_per_s"] for row in told["streams"]} == {4000.0}


def test_a_record_is_played_as_it_was_recorded() -> None:
    record = read(RECORDS / "sample_ascii.cfg", {})
    assert record.used[:3] == ("IA=IA", "IB=IB", "IC=IC")
    player = Player(record, Layout.LE80_60, 0.1)
    assert player.lead_in_s == pytest.approx(0.1)
    for number in (0, 7, len(record.times_s) - 1):
        at = record.times_s[number] - record.times_s[0] + player.lead_in_s
        for channel in range(3):
            column = record.values[channel]
            assert column is not None
            assert player.at(at)[channel] == pytest.approx(column[number], abs=1e-6)
    start = 1_800_000_000_000_000
    frames = list(player.frames("MU9", 3, start, lambda apdu: apdu))
    assert len(frames) == player.samples
    samples = [decode(payload).asdus[0] for _, payload in frames]
    assert [sample.smp_cnt for sample in samples] == [k % 4800 for k in range(len(samples))]
    assert {(sample.sv_id, sample.conf_rev, sample.smp_synch) for sample in samples} == {("MU9", 3, 2)}
    assert frames[48][0] == start + 10_000
    value = samples[600].channels[0][0] * AMPERE
    assert value == pytest.approx(player.at(600 / 4800)[0], abs=AMPERE)


def test_secondary_values_become_primary_ones() -> None:
    """The record's channel is in secondary amperes behind 933 to 1."""
    record = read(RECORDS / "sample_ascii.cfg", {})
    raw = (RECORDS / "sample_ascii.dat").read_text().splitlines()[0].split(",")
    column = record.values[0]
    assert column is not None
    assert column[0] == pytest.approx((0.1138916015625 * int(raw[2]) + 0.05694580078125) * 933, rel=1e-5)


def test_what_cannot_be_played_is_said(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no phase current"):
        read(RECORDS / "sample_bin.cfg", {})
    with pytest.raises(RecordError, match="IX=IA"):
        read(RECORDS / "sample_ascii.cfg", {"IX": "IA"})
    with pytest.raises(RecordError, match="IB=none"):
        read(RECORDS / "sample_ascii.cfg", {"IB": "none"})
    (tmp_path / "x.cfg").write_text("nothing\n")
    with pytest.raises(RecordError, match=r"x\.cfg"):
        read(tmp_path / "x.cfg", {})
    run = CliRunner().invoke(sv, ["play", str(RECORDS / "sample_bin.cfg"), "-i", "lo", "--sv-id", "x"])
    assert run.exit_code == 1
    run = CliRunner().invoke(sv, ["publish", "-i", "lo", "--sv-id", "x"])
    assert "--no-authentication" in run.output


def fault_record(folder: Path) -> Path:
    """0.2 s of load, then a fault of 2 kA in phase A, in the form our agents write."""
    lines = ["bench,R11,2013", "8,8A,0D"]
    for number, name in enumerate(("IA", "IB", "IC", "IN", "UA", "UB", "UC", "UN"), 1):
        unit, factor = ("A", 0.001) if number < 5 else ("V", 0.01)
        lines.append(f"{number},{name},{name[1]},R11,{unit},{factor},0,0,-2147483647,2147483647,1,1,P")
    stamp = "23/11/2026,12:00:00.000000"
    lines += ["50", "1", "4000,1600", stamp, stamp, "ASCII", "1"]
    rows = []
    for number in range(1600):
        values = [value for value, _ in asdu(number).channels]
        if number >= 800:
            values[0] *= 20
            values[3] = sum(values[:3])
        rows.append(",".join(map(str, (number + 1, number * PERIOD_US, *values))))
    (folder / "record.cfg").write_text("\n".join(lines) + "\n")
    (folder / "record.dat").write_text("\n".join(rows) + "\n")
    return folder / "record.cfg"


def test_our_own_reader_and_the_package_agree_on_a_record_of_ours(tmp_path: Path) -> None:
    path = fault_record(tmp_path)
    theirs = read(path, {})
    assert theirs.seconds == pytest.approx(1599 / 4000)
    text = path.read_text().replace("ASCII", "BINARY32")
    path.write_text(text)
    rows = (tmp_path / "record.dat").read_text().splitlines()
    path.with_suffix(".dat").write_bytes(b"".join(struct.pack("<II8i", *map(int, row.split(","))) for row in rows))
    ours = records.read(path)
    binary = read(path, {})
    for mine, his, before in zip(ours.values, binary.values, theirs.values, strict=True):
        assert his == pytest.approx(mine, abs=1e-3)
        assert before == pytest.approx(mine, abs=1e-3)


@pytest.mark.namespaces
def test_streams_of_ours_at_the_other_end_of_a_wire(tmp_path: Path) -> None:
    fault_record(tmp_path)
    told = in_namespace("bench", "samples", str(tmp_path))
    (row,) = told["heard"]["streams"]
    assert (row["sv_id"], row["rate_per_s"], row["lost"]) == ("MU1", 4000.0, 0)
    assert row["samples"] == told["published"]["frames"]
    assert told["heard"]["refused"] == {}, "all authentic"
    assert row["phasors"][0]["rms"] == pytest.approx(100, rel=1e-3)
    (run,) = told["played"]["runs"]
    scope = told["scope"]
    assert (scope["samples"], scope["lost"]) == (run["frames"], 0)
    assert scope["phasors"][0]["rms"] == pytest.approx(2000, rel=1e-2), "the record ends in the fault"
    assert scope["phasors"][1]["rms"] == pytest.approx(100, rel=1e-2)
    assert (tmp_path / "scope.png").read_bytes()[:4] == b"\x89PNG"


def test_every_payload_of_the_capture_opens() -> None:
    payloads = [payload_of(packet.frame, link) for packet, link in read_capture(CAPTURE)]
    assert all(payload is not None and payload.sampled and not payload.routed for payload in payloads)
    for payload in payloads:
        assert payload is not None
        assert open_payload(payload.octets).pdu.asdus

"""A real agent whose clock follows PTP: it says so, and losing the grandmaster makes its time bad and moves nothing."""

from __future__ import annotations

from pathlib import Path

from agent.station.launch import Options, time_source
from agent.time.clock import PtpSettings, SourceKind, TimeSource
from agent.time.profile import Profile
from tests.station.bench import Bench, until
from tests.time.recorded import DOMAIN, fresh, server

GRANDMASTER = "follows grandmaster c2e355.fffe.c1d059"


def test_the_options_reach_the_clock() -> None:
    files = (Path("x.scd"), None, "F1_AG", Path("keys"), Path("state"))
    assert time_source(Options(*files)) == TimeSource.KERNEL
    assert time_source(Options(*files, time_source="trusted")) == TimeSource.TRUSTED
    asked = Options(*files, time_source="ptp", ptp_socket="/x", ptp_domain=93, ptp_profile="61850-9-3", ptp_hold_over=2)
    assert time_source(asked) == TimeSource(
        SourceKind.PTP, PtpSettings("/x", 93, Profile.IEC_61850_9_3, hold_over_us=2_000_000)
    )


def test_an_agent_follows_ptp_and_a_lost_grandmaster_moves_nothing(tmp_path: Path) -> None:
    listening = False
    last: dict[bytes, list[bytes]] = {}

    def reply(question: bytes) -> list[bytes]:
        asked = question[52:54]
        if not listening:
            last[asked] = fresh(question)
            return last[asked]
        octets = bytearray(last[asked][0])
        octets[30:32] = question[30:32]
        if asked == b"\x20\x04":
            octets[64] = 4  # portState: listening
        return [bytes(octets)]

    path = tmp_path / "ptp4l"
    ptp = ("--time-source", "ptp", "--ptp-socket", str(path), "--ptp-domain", str(DOMAIN), "--ptp-hold-over", "8")
    with server(path, reply), Bench(tmp_path) as bench:
        bench.start("F1", *ptp)
        until(lambda: bench.status("F1").get("time", {}).get("why") == GRANDMASTER)
        assert bench.status("F1")["time"]["good"]
        until(lambda: bench.status("F1").get("position") == "closed")
        listening = True
        until(lambda: "hold-over" in bench.status("F1")["time"]["why"])
        assert bench.status("F1")["time"]["good"]
        until(lambda: bench.status("F1")["time"]["why"] == "no grandmaster is followed")
        assert not bench.status("F1")["time"]["good"]
        until(lambda: "time_quality" in bench.names("F1"))
        clock = [event["details"] for event in bench.events("F1") if event["name"] == "clock"]
        assert bench.events("F1")[-1]["time_quality"] & 0x20, "not synchronized"
        assert clock[-1] == {"good": False, "why": "no grandmaster is followed"}
        assert bench.bays["F1"].trips == []
        assert bench.bays["F1"].closes == []
        assert not {"claim_sent", "trip_sent", "close_sent"} & set(bench.names("F1"))

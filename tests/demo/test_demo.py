"""The demonstration from end to end, with its real processes, by its own command line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.goose import frame as ethernet
from agent.goose.tap import read_capture
from agent.security.frames import parse_extension
from simulator.lan import permitted

ROOT = Path(__file__).resolve().parents[2]
WHY = permitted()
SAFE = ("1 ", "2 ", "3 ", "6 ", "7 ", "8 ", "9 ")
KNOWN = "zero-byte"
"""tshark 4.0 on the security extension inside Length: see docs/reference/wire.md."""


def demo(*arguments: str) -> tuple[int, dict[str, Any], str]:
    done = subprocess.run(
        [sys.executable, "-m", "agent.cli", "demo", *arguments, "--json"],
        cwd=ROOT, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


def processes_of(folder: Path) -> list[str]:
    """Command lines that still name the run folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(folder) in line and "pytest" not in line and "agent.cli demo" not in line:
                found.append(line)
    return found


def check(status: int, verdict: dict[str, Any], folder: Path) -> None:
    """What holds on any machine: a busy one may widen the isolation, and may do no more than that."""
    assert verdict["problem"] == ""
    for key in ("scenario", "transport", "verdict", "invariants", "ms", "kw", "zones", "run_dir"):
        assert key in verdict
    assert set(verdict["ms"]) == {"pickup", "trip_goose", "isolated", "lockout", "restored"}
    assert status == (0 if verdict["verdict"] == "pass" else 1)
    broken = [h for h in verdict["invariants"] if not h["held"] and h["name"].startswith(SAFE)]
    assert broken == []
    states = {z["name"]: z["state"] for z in verdict["zones"]}
    assert states["Z11"] == "faulted"
    assert states["Z31"] == "fed"
    for name in ("events.jsonl", "frames.pcap", "report.html", "verdict.json", "feeder.scd"):
        assert (folder / name).stat().st_size > 0
    assert list((folder / "records").glob("*.cfg"))
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert [x["t_us"] for x in lines] == sorted(x["t_us"] for x in lines)
    assert processes_of(folder) == []


@pytest.mark.namespaces
@pytest.mark.alone
@pytest.mark.timeout(600)
@pytest.mark.skipif(bool(WHY), reason=f"network namespaces are forbidden here: {WHY}")
def test_the_default_scenario_in_namespaces(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    status, verdict, _ = demo("--seed", "1", "--out", str(folder), "--transport", "l2")
    check(status, verdict, folder)
    assert verdict["figures"]["agent_memory_mb"] < 80
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.skip("tshark is not installed: frames are not read by others' word")
    read = [
        tshark,
        "-r",
        str(folder / "frames.pcap"),
        "-T",
        "fields",
        "-e",
        "_ws.col.Protocol",
        "-e",
        "_ws.expert.message",
    ]
    done = subprocess.run(read, capture_output=True, text=True, timeout=120, check=True)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert {row[0] for row in rows} <= {"GOOSE", "IEC61850 Sampled Values"}
    assert all(KNOWN in message or not message for row in rows for message in row[1:])


@pytest.mark.alone
@pytest.mark.timeout(600)
def test_the_default_scenario_over_loopback_multicast(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    status, verdict, _ = demo("--seed", "1", "--out", str(folder), "--transport", "udp")
    check(status, verdict, folder)
    assert verdict["transport"] == "udp"


@pytest.mark.alone
@pytest.mark.timeout(600)
@pytest.mark.skipif(bool(WHY), reason=f"network namespaces are forbidden here: {WHY}")
def test_goose_signed_with_gmac_heals_the_feeder_as_well(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    status, verdict, _ = demo("--seed", "1", "--out", str(folder), "--transport", "l2", "--algorithm", "aes-gmac-128")
    check(status, verdict, folder)
    frames = [packet.frame for packet, _ in read_capture(folder / "frames.pcap")]
    extensions = [ethernet.parse(octets).extension for octets in frames if b"\x88\xb8" in octets[12:18]]
    ivs = [parse_extension(extension).iv for extension in extensions]
    assert len(ivs) > 100
    assert len(set(ivs)) == len(ivs), "each frame of the bus came by one way, with an IV of its own"
    assert all(len(iv) == 12 for iv in ivs)


def test_the_list_is_what_the_contract_says() -> None:
    status, listing, _ = demo("--list")
    assert status == 0
    assert len(listing["scenarios"]) >= 16
    assert all(set(entry) == {"name", "description"} for entry in listing["scenarios"])


def test_what_cannot_be_played_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("x")
    for arguments, word in (
        (("--scenario", "nonsense"), "between-breakers"),
        (("--out", str(tmp_path)), "not empty"),
        (("--scenario", "network-cut", "--transport", "udp"), "needs a bridge"),
    ):
        status, _, text = demo(*arguments)
        assert status == 2
        assert word in text

"""A whole agent whose MMS server speaks TLS: what its operator orders is done, what others try is in its event log."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.keyserver.pki import enrol, revoke
from agent.logic.messages import Position
from agent.mms.roles import Role
from tests.mms.lab import free_port
from tests.mms.secured import roles
from tests.station.bench import Bench, until

pytestmark = pytest.mark.peer

PEER = Path(__file__).parents[1] / "mms" / "peer_secured.py"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path) as made:
        yield made


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    folder = tmp_path / "pki"
    enrol(folder, [], ["F1_AG"], {"centre": roles(Role.OPERATOR), "guest": roles(Role.VIEWER)})
    return folder


def options(folder: Path, port: int) -> list[str]:
    files = [("certificate", "F1_AG.pem"), ("private-key", "F1_AG.key"), ("ca", "ca.pem")]
    return ["--mms", f"127.0.0.1:{port}", *(part for n, f in files for part in (f"--mms-{n}", str(folder / f)))]


def start(port: int, folder: Path, name: str, *steps: str) -> subprocess.Popen[bytes]:
    arguments = [str(port), str(folder), name, "F1_AG:FLISR", *steps]
    return subprocess.Popen([sys.executable, str(PEER), *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def ask(port: int, folder: Path, name: str, *steps: str) -> dict[str, Any]:
    out, _ = start(port, folder, name, *steps).communicate(timeout=60)
    lines = out.decode().splitlines()
    told: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    return told


def memory_kb(bench: Bench) -> int:
    total = 0
    for pid in bench.pids("F1").values():
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            pytest.skip("this kernel does not show smaps_rollup")
        total += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total


def test_the_operator_opens_the_guest_does_not_and_all_is_on_record(bench: Bench, pki: Path) -> None:
    port = free_port()
    agent = bench.start("F1", *options(pki, port))
    until(lambda: bench.status("F1").get("ready") is True)

    guest = ask(port, pki, "guest", "browse", "read", "open")
    assert guest["browse"] == 1
    assert guest["read"] == repr(b"\x80")
    assert not guest["open"]["selected"]["ok"]
    assert bench.status("F1")["position"] == "closed"

    assert ask(port, pki, "centre", "open")["open"]["operated"]["ok"]
    until(lambda: bench.bays["F1"].position is Position.OPEN)

    events = bench.events("F1")
    found = {name: [line["details"] for line in events if line["name"] == name] for name in bench.names("F1")}
    assert found["mms_listening"] == [{"address": "127.0.0.1", "port": port, "secured": True}]
    assert [(line["who"], line["roles"]) for line in found["mms_associated"]] == [
        ("guest", "VIEWER"),
        ("centre", "OPERATOR"),
    ]
    tried = [(line["who"], line["service"], line["accepted"]) for line in found["mms_control"]]
    assert tried == [("guest", "select", False), ("centre", "select", True), ("centre", "operate", True)]
    assert found["mms_control"][0]["add_cause"] == 20
    assert found["command"][-1]["origin"] == "MMS centre orCat 3 orIdent 'tester'"

    waiting = [start(port, pki, "guest", "wait") for _ in range(4)]
    until(lambda: bench.status("F1")["mms"] == 4)
    assert memory_kb(bench) < 80_000
    command = Path(f"/proc/{agent.pid}/cmdline").read_bytes()
    logged = (bench.state("F1") / "events.jsonl").read_text()
    secret = (pki / "F1_AG.key").read_text().splitlines()[1]
    assert secret.encode() not in command
    assert secret not in logged

    revoke(pki, ["guest"])
    until(lambda: bench.status("F1")["mms"] == 0)
    assert ask(port, pki, "guest", "read") == {}
    refused = [line["details"] for line in bench.events("F1") if line["name"] == "mms_refused"]
    assert refused[-1]["why"] == "certificate: certificate revoked"
    for client in waiting:
        client.kill()
        client.communicate()


def test_a_certificate_that_cannot_be_used_is_refused_at_the_start(bench: Bench, pki: Path) -> None:
    fitting = options(pki, free_port())

    def refused(arguments: list[str]) -> str:
        process = bench.start("F1", *arguments)
        _, errors = process.communicate(timeout=60)
        assert process.returncode != 0
        return errors.decode()

    (pki / "guest.key").chmod(0o644)
    swapped = [part.replace("F1_AG.key", "guest.key") for part in fitting]
    assert "guest.key: mode 0644 lets others read the private key" in refused(swapped)
    (pki / "guest.key").chmod(0o600)
    assert "mismatch" in refused(swapped).lower()
    client = [part.replace("F1_AG.", "guest.") for part in fitting]
    assert "guest.pem is no certificate for a server" in refused(client)
    assert "--mms needs --mms-certificate" in refused(fitting[:2])
    assert "not both" in refused([*fitting, "--mms-plain", "127.0.0.1:10102"])
    assert "need --mms" in refused(fitting[2:])
    served = ["--key-server", "127.0.0.1:1", "--certificate", fitting[3], "--private-key", fitting[5]]
    assert "MMS needs one of its own" in refused([*fitting, *served, "--ca", str(pki / "ca.pem")])

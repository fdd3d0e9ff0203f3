"""Real agents whose keys change while they run: a file that is read again, and keys from a server."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.keyserver import pki, store
from agent.keyserver.authority import Authority, GroupPolicy, Made
from agent.security.frames import Algorithm, make_key
from agent.security.keys import KeyRing, document_of, load
from tests.keyserver.test_server import Running, serving
from tests.station.bench import DEVICES, Bench, now_us, until
from tests.station.test_agent import ready

S = 1_000_000


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path) as made:
        yield made


def keys_of(bench: Bench, name: str) -> list[str]:
    """What the protection process said it uses, each time that it changed."""
    return [event["details"]["keys"] for event in bench.events(name) if event["name"] == "keys"]


def hear_each_other(bench: Bench) -> bool:
    return all(bench.status(name).get("silent") == [] and bench.status(name).get("ready") for name in DEVICES)


def test_a_key_file_is_read_again_and_the_next_key_takes_over(bench: Bench) -> None:
    for name in DEVICES:
        bench.start(name)
    ready(bench)
    lost = [bench.names(name).count("peer_lost") for name in DEVICES]
    (old,) = load(bench.keys)
    turn = now_us() + 4 * S
    new = make_key(2, Algorithm.HMAC_SHA256_128, os.urandom(32), old.group, valid_from_us=turn)
    bench.keys.write_text(document_of(KeyRing([old, new])))
    for name in DEVICES:
        bench.processes[name].send_signal(signal.SIGHUP)
    for name in DEVICES:
        until(lambda name=name: keys_of(bench, name) == ["1,2"])  # type: ignore[misc]
    until(lambda: now_us() > turn + 3 * S)
    assert hear_each_other(bench)
    assert [bench.names(name).count("peer_lost") for name in DEVICES] == lost
    for name in DEVICES:
        counters = bench.status(name)["counters"]
        assert counters["sv_frames"] > 1000
        assert [counters[f"sv_{why}"] for why in ("unauthenticated", "bad_mac", "expired")] == [0, 0, 0]
    bench.keys.write_text("flisr-keys: 1\nkeys: nonsense\n")
    bench.processes["F1"].send_signal(signal.SIGHUP)
    until(lambda: "keys_refused" in bench.names("F1"))
    assert "keys" in bench.status("F1")["alarms"]
    assert hear_each_other(bench)


def test_frames_and_samples_by_gmac(tmp_path: Path) -> None:
    with Bench(tmp_path, Algorithm.AES_GMAC_128) as bench:
        for name in DEVICES:
            bench.start(name)
        ready(bench)
        until(lambda: all(bench.status(name)["counters"]["sv_frames"] > 1000 for name in DEVICES))
        for name in DEVICES:
            counters = bench.status(name)["counters"]
            assert [counters[f"sv_{why}"] for why in ("unauthenticated", "bad_mac", "expired")] == [0, 0, 0]
        assert hear_each_other(bench)


def test_keys_from_a_server_reach_the_frames_and_outlast_it(bench: Bench, tmp_path: Path) -> None:
    """The server makes the next key and pushes it; then it is gone, and an agent starts from what it had heard."""
    folder = tmp_path / "pki"
    pki.enrol(folder, [*(f"{name}_AG" for name in DEVICES), "stranger"], ["keys.feeder"])
    file = folder / "server.yaml"
    members = ", ".join(f"{name}_AG" for name in DEVICES)
    file.write_text(
        "flisr-key-server: 1\nlisten: 127.0.0.1:0\ncertificate: keys.feeder.pem\nprivate-key: keys.feeder.key\n"
        "ca: ca.pem\nstore: keys.store\n"
        f"groups:\n  flisr: {{algorithm: hmac-sha256-128, life-s: 600, ahead-s: 10, members: [{members}]}}\n"
    )
    # The bays of this bench know one key; the server begins with it.
    (old,) = load(bench.keys)
    beginning = Authority([GroupPolicy("flisr", old.algorithm, frozenset())], 1, os.urandom, now_us())
    turn = now_us() + 25 * S
    beginning.chains["flisr"].keys = [Made(old.identifier, old.algorithm, old.secret, now_us() - S, turn)]
    store.save(folder / "keys.store", beginning)

    def begin(running: Running, name: str, who: str = "") -> None:
        host, port = running.server.address
        who = who or f"{name}_AG"
        bench.start(
            name, "--key-server", f"{host}:{port}", "--certificate", str(folder / f"{who}.pem"),
            "--private-key", str(folder / f"{who}.key"), "--ca", str(folder / "ca.pem"), keyed=False,
        )  # fmt: skip

    with serving(file) as running:
        begin(running, "F1", "stranger")
        assert bench.processes["F1"].wait(20) == 65
        for name in DEVICES:
            begin(running, name)
        ready(bench)
        for name in DEVICES:
            until(lambda name=name: bool(keys_of(bench, name)), 40)  # type: ignore[misc]
        assert keys_of(bench, "F1") == keys_of(bench, "R1")
        assert keys_of(bench, "F1")[0].startswith("1,")
    until(lambda: now_us() > turn + 3 * S, 60)
    assert hear_each_other(bench)
    until(lambda: "key_server_silent" in bench.names("F1"))
    served = bench.state("F1") / "served-keys.yaml"
    assert served.stat().st_mode & 0o777 == 0o600
    bench.processes["F1"].send_signal(signal.SIGTERM)
    bench.processes["F1"].wait(20)
    begin(running, "F1")
    until(lambda: hear_each_other(bench), 40)

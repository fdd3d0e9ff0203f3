"""Keys on their way into an agent: what is refused when it is configured, and what its publishers sign with."""

from __future__ import annotations

import base64
import time
from pathlib import Path

import pytest
import yaml

from agent.logic.messages import Report
from agent.security.frames import Algorithm
from agent.security.iv import BLOCK, fixed_field
from agent.security.keys import load
from agent.station import plain
from agent.station.compile import ConfigurationError, agent_config
from agent.station.config import AgentConfig
from agent.station.ivs import NAME, IvReserve
from agent.station.launch import Options
from agent.station.sampled import core_keys
from agent.station.wire import StationWire, goose_keys
from scl import describe, generate
from simulator.demo.scenario import DRAWING
from tests.goose.lab import Ether

HMAC, GMAC, GCM = "hmac-sha256-128", "aes-gmac-128", "aes-128-gcm"


@pytest.fixture(scope="module")
def scd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("feeder") / "feeder.scd"
    generate.generate(describe.load(DRAWING)).write(path)
    return path


def key_file(path: Path, *entries: tuple[str, str] | tuple[str, str, str]) -> Path:
    """Group, algorithm and, maybe, from."""
    keys = []
    for number, (group, algorithm, *begins) in enumerate(entries, 1):
        secret = base64.b64encode(bytes((number,)) * (16 if algorithm == GCM else 32)).decode()
        keys.append({"id": number, "group": group, "algorithm": algorithm, "secret": secret})
        if begins:
            keys[-1]["from"] = begins[0]
    path.write_text(yaml.safe_dump({"flisr-keys": 1, "grace-s": 90, "keys": keys}))
    path.chmod(0o600)
    return path


def compiled(scd: Path, keys: Path, routed: bool = False) -> AgentConfig:
    """The breaker F1, which has a merging unit."""
    state = keys.parent
    if routed:
        return agent_config(Options(scd, None, "F1_AG", keys, state, udp=True, udp_port=10_102, priority=0))
    return agent_config(Options(scd, None, "F1_AG", keys, state, station_bus="lo", priority=0))


def test_encrypted_samples_are_refused_by_name_and_reason(scd: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        compiled(scd, key_file(tmp_path / "keys", ("flisr", HMAC), ("flisr", GCM, "2030-01-01T00:00:00Z")), routed=True)
    (line,) = caught.value.lines
    assert "F1_MU" in line
    assert "key 2 of group 'flisr' is aes-128-gcm" in line
    assert "samples are signed, not encrypted" in line


def test_samples_are_verified_by_gmac(scd: Path, tmp_path: Path) -> None:
    config = compiled(scd, key_file(tmp_path / "keys", ("flisr", GMAC)))
    assert config.sv is not None
    assert [(key.gmac, key.mac_octets) for key in core_keys(config.sv.keys, 90)] == [(True, 16)]


def test_samples_have_a_group_of_their_own(scd: Path, tmp_path: Path) -> None:
    config = compiled(scd, key_file(tmp_path / "keys", ("flisr", GMAC), ("flisr-sv", HMAC), ("flisr-sv", HMAC)))
    assert [key.identifier for key in config.keys] == [1]
    assert config.sv is not None
    assert [(key.identifier, key.algorithm) for key in config.sv.keys] == [(2, HMAC), (3, HMAC)]
    with pytest.raises(ConfigurationError, match="5 keys in group 'flisr-sv', at most 4"):
        compiled(scd, key_file(tmp_path / "many", ("flisr", GMAC), *[("flisr-sv", HMAC)] * 5))


def test_encryption_is_for_sessions(scd: Path, tmp_path: Path) -> None:
    keys = key_file(tmp_path / "keys", ("flisr", GCM), ("flisr-sv", HMAC))
    with pytest.raises(ConfigurationError, match=r"gcbFlisr.*F1_AG: key 1 of group 'flisr' is aes-128-gcm"):
        compiled(scd, keys)
    assert compiled(scd, keys, routed=True).keys[0].algorithm == GCM


def test_one_group_serves_both(scd: Path, tmp_path: Path) -> None:
    """The laboratory's file, as ever."""
    config = compiled(scd, key_file(tmp_path / "keys", ("flisr", HMAC)))
    assert config.sv is not None
    assert config.keys == config.sv.keys
    assert config.key_grace_s == 90


def test_two_that_would_share_their_ivs_are_refused(scd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.station.compile.fixed_field", lambda name: bytes(4))
    with pytest.raises(ConfigurationError, match=r"F1_AG and .* would use the same IVs"):
        compiled(scd, key_file(tmp_path / "keys", ("flisr", GMAC), ("flisr-sv", HMAC)))
    compiled(scd, key_file(tmp_path / "hmac", ("flisr", HMAC)))


def test_times_reach_the_protection_process(scd: Path, tmp_path: Path) -> None:
    keys = key_file(tmp_path / "keys", ("flisr", HMAC), ("flisr", "hmac-sha256-80", "2030-01-01T00:00:00Z"))
    group = goose_keys(plain.load(AgentConfig, plain.dump(compiled(scd, keys))))
    second = 1_893_456_000_000_000
    assert (group.grace_s, [key.algorithm for key in group]) == (
        90, [Algorithm.HMAC_SHA256_128, Algorithm.HMAC_SHA256_80]
    )  # fmt: skip
    assert [group.signing(now).identifier for now in (second - 1, second)] == [1, 2]
    assert group.signing(second).secret == load(keys).signing("flisr", second).secret


def test_keys_of_samples_have_their_end(scd: Path, tmp_path: Path) -> None:
    """When the grace after the next one's beginning is over the compiled receiver refuses the former one, too."""
    keys = key_file(tmp_path / "keys", ("flisr", HMAC), ("flisr", "hmac-sha256-80", "2030-01-01T00:00:00Z"))
    config = compiled(scd, keys)
    assert config.sv is not None
    found = core_keys(config.sv.keys, config.key_grace_s)
    assert [(key.identifier, key.mac_octets) for key in found] == [(1, 16), (2, 10)]
    assert [key.refused_from_us for key in found] == [(1_893_456_000 + 90) * 1_000_000, 0]


def test_both_publishers_of_an_agent_and_its_next_start_never_share_an_iv(
    scd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = compiled(scd, key_file(tmp_path / "keys", ("flisr", GMAC), ("flisr-sv", HMAC)))
    ether = Ether()
    monkeypatch.setattr("agent.station.wire.open_link", lambda _spec: ether)
    monkeypatch.setattr("agent.station.wire.Inbox", lambda link: link)
    for _ in range(3):
        wire = StationWire(config, {})
        now = time.time_ns() // 1000
        wire.publish(Report(), now)
        for step in range(50):
            wire.timer(now + 1000 * step, None)  # type: ignore[arg-type]
    ivs = [payload[-32:-20] for payload in ether.sent]
    assert len(ivs) > 6
    assert len(set(ivs)) == len(ivs)
    assert {iv[:4] for iv in ivs} == {fixed_field("F1_AG")}
    assert IvReserve(tmp_path).take().start - min(int.from_bytes(iv[4:], "big") for iv in ivs) == 3 * BLOCK


def test_hmac_needs_no_file(scd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = compiled(scd, key_file(tmp_path / "keys", ("flisr", HMAC)))
    monkeypatch.setattr("agent.station.wire.open_link", lambda _spec: Ether())
    monkeypatch.setattr("agent.station.wire.Inbox", lambda link: link)
    StationWire(config, {})
    assert not (tmp_path / NAME).exists()

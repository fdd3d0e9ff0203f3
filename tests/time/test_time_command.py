"""``flisr time``: a table, JSON, and a clear error where nobody knows the time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import agent.time.clock
from agent.time.commands import time as command
from agent.time.quality import TimeState
from tests.time.recorded import DOMAIN, fresh, server

KERNEL = {
    True: TimeState(True, "synchronized", 40),
    False: TimeState(False, "the kernel's clock is not synchronized", 16_000_000),
}


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """The kernel's word, as the test likes it."""
    said = {"good": False}
    monkeypatch.setattr(agent.time.clock, "kernel_state", lambda: KERNEL[said["good"]])
    return said


@pytest.mark.usefixtures("kernel")
def test_the_table_tells_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "ptp4l"
    with server(path, fresh):
        done = CliRunner().invoke(
            command,
            ["--socket", str(path), "--domain", str(DOMAIN), "--profile", "61850-9-3"],
            env={"COLUMNS": "120"},
        )
    assert done.exit_code == 0, done.output
    for words in (
        "good: follows grandmaster c2e355.fffe.c1d059",
        "2 (global)",
        "0x93 (leap seconds known, 19 bits of a second)",
        "-238 ns, last Sync 0.",
        "508 ns, 1 steps from the grandmaster",
        "class 6, accuracy 100 ns",
        "ptp timescale, time traceable",
        "SLAVE, software time stamps, P2P, Sync every 1 s",
        "61850-9-3: announce interval 2 s, not 1 s",
    ):
        assert words in done.output


@pytest.mark.usefixtures("kernel")
def test_json_has_the_same_and_a_lost_grandmaster_is_shown_not_an_error(tmp_path: Path) -> None:
    path = tmp_path / "ptp4l"
    arguments = ["--socket", str(path), "--domain", str(DOMAIN), "--json"]
    with server(path, fresh):
        shown = json.loads(CliRunner().invoke(command, arguments).stdout)
    assert shown["good"]
    assert shown["time_quality"]["octet"] == 0x93
    assert shown["ptp"]["ports"][0]["state"] == "SLAVE"
    assert shown["ptp"]["network"] == "Ethernet"
    with server(path):
        done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 0
    shown = json.loads(done.stdout)
    assert (shown["good"], shown["phase"], shown["smp_synch"]) == (False, "lost", 0)


def test_the_kernel_is_the_poorer_source(kernel: dict[str, bool], tmp_path: Path) -> None:
    kernel["good"] = True
    done = CliRunner().invoke(command, ["--socket", str(tmp_path / "none")], env={"COLUMNS": "120"})
    assert done.exit_code == 0
    assert "kernel, the poorer source" in done.output
    assert "PTP does not answer; by the kernel: synchronized" in done.output


@pytest.mark.usefixtures("kernel")
def test_nobody_knows_the_time(tmp_path: Path) -> None:
    done = CliRunner().invoke(command, ["--socket", str(tmp_path / "none"), "--json"])
    assert done.exit_code == 1
    assert not json.loads(done.stdout)["good"]
    assert "the kernel's clock is not synchronized" in done.stderr
    assert "No such file or directory" in done.stderr

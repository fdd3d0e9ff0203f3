"""With ptp4l and pmc of linuxptp: our values are pmc's, a lost grandmaster is a lost grandmaster."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from simulator.lan import permitted

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.namespaces, pytest.mark.peer]


@pytest.fixture(scope="module")
def played() -> dict[str, Any]:
    """The story of ``tests.time.linuxptp``, played once."""
    for program, package in (("ptp4l", "linuxptp"), ("pmc", "linuxptp"), ("setpriv", "util-linux")):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (apt-get install {package})")
    refused = permitted()
    if refused:
        pytest.skip(f"this process may not have namespaces here: {refused}")
    done = subprocess.run(
        [sys.executable, "-m", "tests.time.linuxptp"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_every_value_is_what_pmc_prints(played: dict[str, Any]) -> None:
    printed = {name: played["pmc"].get(name) for name in played["ours"]}
    assert played["ours"] == printed
    assert played["ours"]["portState"] == "SLAVE"
    assert played["ours"]["gm.ClockClass"] == "6"
    assert int(played["ours"]["peerMeanPathDelay"]) > 0
    assert played["grandmaster"] == [True]


def test_a_slave_of_a_traceable_grandmaster_is_good(played: dict[str, Any]) -> None:
    state = played["locked"][-1]
    assert (state["phase"], state["good"], state["synch"], state["source"]) == ("locked", True, 2, "ptp")
    assert 0 < state["error_us"] <= 1000
    assert state["octet"] & 0xE0 == 0x80
    assert state["octet"] & 0x1F >= 9


def test_the_command_shows_it(played: dict[str, Any]) -> None:
    shown = played["command"]
    assert shown["good"]
    assert shown["phase"] == "locked"
    assert shown["ptp"]["grandmaster"]["identity"] == played["ours"]["grandmasterIdentity"]
    assert shown["ptp"]["ports"][0]["stamping"] == "software"
    assert shown["ptp"]["network"] == "Ethernet"


def test_a_jump_is_a_failure_until_it_has_settled(played: dict[str, Any]) -> None:
    jumped, settled = played["jumped"][-1], played["settled"][-1]
    assert (jumped["phase"], jumped["good"], jumped["synch"]) == ("settling", False, 0)
    assert "jumped" in jumped["why"]
    assert jumped["octet"] & 0x60 == 0x60, "ClockFailure and ClockNotSynchronized"
    assert (settled["phase"], settled["good"]) == ("locked", True)


def test_after_the_loss_of_the_grandmaster_comes_hold_over_and_then_bad_time(played: dict[str, Any]) -> None:
    rows = {row["phase"]: row for row in played["lost"]}
    assert [row["phase"] for row in played["lost"]][-2:] == ["hold-over", "lost"]
    assert rows["hold-over"]["good"]
    assert not rows["lost"]["good"]
    assert rows["lost"]["synch"] == 0
    assert rows["lost"]["octet"] & 0x20, "ClockNotSynchronized"


def test_without_ptp4l_the_kernel_is_asked_and_it_is_said(played: dict[str, Any]) -> None:
    state = played["silent"][-1]
    assert (state["phase"], state["source"]) == ("silent", "kernel")
    assert state["why"].startswith("PTP does not answer; by the kernel: ")

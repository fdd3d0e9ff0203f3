from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agent.commands import REFUSALS, agent
from agent.logic.messages import Refusal
from agent.station import local
from agent.station.launch import Options, RefusedError, prepare_directory, run


@pytest.fixture
def door(tmp_path: Path) -> Iterator[list[dict[str, Any]]]:
    """An agent's local door that answers what it is told to."""
    asked: list[dict[str, Any]] = []

    def serve(request: dict[str, Any], uid: int, reply: local.Reply) -> None:
        asked.append({**request, "uid": uid})
        if request["op"] == "status":
            reply({"ied": "F1_AG", "alarms": {}, "peers": {"R1": True}, "limits": ["slow"], "counters": {"x": 1}})
        elif request["kind"] == "CLOSE":
            reply({"accepted": False, "refusal": "locked_out", "text": "side b"})
        else:
            reply({"accepted": True, "refusal": "none", "text": ""})

    made = local.Door(tmp_path, serve)
    stop = threading.Event()

    def accept() -> None:
        while not stop.is_set():
            made.accept()
            stop.wait(0.005)

    thread = threading.Thread(target=accept)
    thread.start()
    yield asked
    stop.set()
    thread.join()
    made.close()


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(agent, list(arguments))
    return result.exit_code, result.output


def test_status_for_people_and_programs(door: list[dict[str, Any]], tmp_path: Path) -> None:
    status, text = invoke("status", "--state-dir", str(tmp_path))
    assert status == 0
    assert "F1_AG" in text
    assert "alarms           none" in text
    status, text = invoke("status", "--state-dir", str(tmp_path), "--json")
    assert json.loads(text)["peers"] == {"R1": True}
    assert door[0]["uid"] == os.getuid()


def test_an_order_is_done_or_refused_with_its_reason(door: list[dict[str, Any]], tmp_path: Path) -> None:
    status, text = invoke("release", "--state-dir", str(tmp_path))
    assert (status, text) == (0, "done\n")
    assert door[-1]["kind"] == "RELEASE"
    status, text = invoke("close", "--state-dir", str(tmp_path))
    assert (status, text) == (1, "refused: locked out (side b)\n")
    status, text = invoke("close", "--state-dir", str(tmp_path), "--json")
    assert status == 1
    assert json.loads(text)["refusal"] == "locked_out"
    for name in ("open", "tag", "untag", "automation-on", "automation-off", "return-to-normal"):
        assert invoke(name, "--state-dir", str(tmp_path))[0] == 0


def test_no_agent_is_an_error(tmp_path: Path) -> None:
    status, text = invoke("status", "--state-dir", str(tmp_path))
    assert status == 1
    assert "no agent runs" in text


def test_every_refusal_has_words() -> None:
    assert set(REFUSALS) == {refusal.name.lower() for refusal in Refusal if refusal is not Refusal.NONE}


def test_an_mms_address_must_make_sense(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("")
    common = ["run", "--scd", str(file), "--ied", "X", "--keys", str(file), "--state-dir", str(tmp_path / "s"), "--udp"]
    for wrong in ("102", "localhost:", "localhost:99999", "a:b"):
        status, text = invoke(*common, "--mms-plain", wrong)
        assert status == 2
        assert "ADDR:PORT" in text


def test_a_state_directory_that_others_may_write_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "open"
    place.mkdir()
    place.chmod(0o777)
    with pytest.raises(RefusedError, match="0700"):
        prepare_directory(place)
    said: list[str] = []
    assert run(Options(Path("x.scd"), None, "X", Path("k"), place, udp=True), said.append) != 0
    assert len(said) == 1
    assert run(Options(Path("x.scd"), None, "X", Path("k"), tmp_path / "ok"), said.append) != 0
    assert "--station-bus" in said[-1]
    assert run(Options(Path("x.scd"), None, "X", Path("k"), tmp_path / "ok", udp=True), said.append) != 0
    assert "x.scd" in said[-1]

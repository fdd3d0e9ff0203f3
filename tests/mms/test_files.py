"""Files over MMS: fault records and the event log are fetched by libiec61850's client, and nothing else is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.mms.files import DENIED, DONE, LIST, NOT_THERE, OPEN, Files
from agent.mms.services import Services
from agent.mms.tree import Tree
from tests.mms.lab import Lab
from tests.mms.secured import SecuredLab, make_pki

pytestmark = pytest.mark.peer

RECORD = "R11_20260102T030405_000678"
LOG = "events.jsonl"
SAMPLES = bytes(range(256)) * 1000
"""Longer than one message."""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory with what must not be seen in it."""
    made = tmp_path / "state"
    (made / "records").mkdir(parents=True)
    (made / "records" / f"{RECORD}.cfg").write_text("R11,cfg")
    (made / "records" / f"{RECORD}.dat").write_bytes(SAMPLES)
    (made / "records" / "secret.cfg").symlink_to(made / "served-keys.yaml")
    (made / "events.jsonl").write_text('{"name":"started"}\n')
    (made / "served-keys.yaml").write_text("secret")
    (made / "latch.json").write_text("{}")
    return made


@pytest.fixture
def files(state: Path) -> Iterator[Files]:
    made = Files(state / "files", state / "records", (state / "events.jsonl", state / "events.jsonl.1"))
    yield made
    made.close()


@pytest.fixture
def lab(tree: Tree, files: Files) -> Iterator[Lab]:
    made = Lab(tree, services=Services(files=files))
    yield made
    made.close()


def ask(lab: Lab, *steps: str) -> list[Any]:
    lab.start("peer_files.py", *steps)
    return [lab.said()[step] for step in steps]


def test_a_client_lists_and_fetches_records_and_the_log(lab: Lab, state: Path) -> None:
    names = [f"COMTRADE/{RECORD}.cfg", f"COMTRADE/{RECORD}.dat"]
    listed, records, cfg, dat, log = ask(
        lab, "list:", "list:COMTRADE", f"get:{names[0]}", f"get:{names[1]}", "get:events.jsonl"
    )  # fmt: skip
    assert {*names, "events.jsonl"} <= set(listed)
    assert not [name for name in listed if "keys" in name or "latch" in name]
    assert set(names) <= set(records)
    assert cfg == "R11,cfg"
    assert dat == SAMPLES.decode("latin-1")
    assert log == '{"name":"started"}\n'
    assert (state / "latch.json").read_text() == "{}"


OUTSIDE = (
    "../served-keys.yaml", "served-keys.yaml", "COMTRADE/../served-keys.yaml", "COMTRADE/../../state/latch.json",
    "/etc/passwd", "COMTRADE//etc/passwd", "//etc/passwd", "COMTRADE/./x.cfg", "COMTRADE", "", "latch.json", "..",
    "COMTRADE/secret.cfg", "events.jsonl/", "events.jsonl\\..\\latch.json", "COMTRADE/x.cfg/../../latch.json",
)  # fmt: skip


def test_nothing_outside_is_opened_or_listed(lab: Lab, files: Files) -> None:
    for answer in ask(lab, *(f"get:{name}" for name in OUTSIDE)):
        assert isinstance(answer, int)
        assert answer != 0
    for name in OUTSIDE:
        assert files.judge(OPEN, name) == NOT_THERE, name
    folders = ("..", "../", "/etc", "COMTRADE/..", "records", "//")
    for answer in ask(lab, *(f"list:{name}" for name in folders)):
        assert isinstance(answer, int), folders
        assert answer != 0


def test_nothing_is_written(lab: Lab, state: Path) -> None:
    name = f"COMTRADE/{RECORD}.cfg"
    answers = ask(lab, f"delete:{name}", f"rename:{name}", f"put:{__file__}", "delete:events.jsonl")
    assert all(answer != 0 for answer in answers)
    assert (state / "records" / f"{RECORD}.cfg").read_text() == "R11,cfg"
    assert sorted(path.name for path in state.iterdir()) == [
        "events.jsonl", "files", "latch.json", "records", "served-keys.yaml"
    ]  # fmt: skip


def test_a_listing_waits_for_no_link_that_leads_nowhere(files: Files, state: Path) -> None:
    """The library would write before its buffer."""
    assert (
        files.judge(LIST, "") == NOT_THERE or not (state / "served-keys.yaml").exists() or files.judge(LIST, "") == DONE
    )
    (state / "served-keys.yaml").unlink()
    assert files.judge(LIST, "COMTRADE") == NOT_THERE
    (state / "records" / "secret.cfg").unlink()
    assert files.judge(LIST, "/COMTRADE/") == DONE
    (state / "files" / "strange").write_text("x")
    (state / "events.jsonl").rename(state / "events.jsonl.1")
    assert files.judge(LIST, "/") == DONE
    assert sorted(os.listdir(state / "files")) == ["COMTRADE", "events.jsonl.1"]
    assert files.judge(4, "events.jsonl.1") == DENIED


def test_without_files_the_library_serves_none_of_its_working_directory(tree: Tree, tmp_path: Path) -> None:
    lab = Lab(tree)
    try:
        for answer in ask(lab, "list:", "get:pyproject.toml", "get:README.md"):
            assert isinstance(answer, int)
            assert answer != 0
    finally:
        lab.close()


def test_roles_decide_who_fetches(tree: Tree, files: Files, tmp_path: Path) -> None:
    folder = make_pki(tmp_path / "pki")
    program = Path(__file__).with_name("peer_files.py")
    with SecuredLab(tree, folder, services=Services(files=files)) as lab:
        told = {}
        for name in ("operator", "engineer"):
            command = [sys.executable, str(program), str(lab.port), f"@{folder}:{name}", "list:", f"get:{LOG}"]
            client = subprocess.Popen(command, stdout=subprocess.PIPE)
            lab.until(lambda client=client: client.poll() is not None)  # type: ignore[misc]
            told[name] = [json.loads(line) for line in client.communicate()[0].splitlines()]
        assert all(isinstance(value, int) and value for answer in told["operator"] for value in answer.values())
        assert told["engineer"][1] == {f"get:{LOG}": '{"name":"started"}\n'}
        assert {(line["who"], line["service"]) for line in lab.events.of("mms_denied")} == {
            ("operator", "file directory"), ("operator", "open file")
        }  # fmt: skip
        fetched = [line for line in lab.events.of("mms_write") if line["service"] == "open file"]
        assert [(line["who"], line["objects"]) for line in fetched] == [("engineer", [LOG])]

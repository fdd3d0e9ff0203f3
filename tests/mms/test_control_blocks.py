"""GOOSE control blocks as a client of others reads them, and that the library sends nothing for it."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.mms.described import read_tree
from agent.mms.tree import Tree
from scl import describe
from scl.generate import generate
from scl.read import parse_bytes
from tests.mms.lab import START_US, STATE, Lab

pytestmark = pytest.mark.peer

GOOSE = 0x88B8
DEMO = Path(__file__).parents[2] / "simulator" / "feeders" / "demo.yaml"


@contextlib.contextmanager
def listening() -> Iterator[socket.socket | None]:
    """Every GOOSE frame on any interface; None without the permission."""
    try:
        heard = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(GOOSE))
    except PermissionError:
        yield None
        return
    with heard:
        yield heard


def blocks(lab: Lab, device: str, *items: str) -> list[Any]:
    steps = [f"read:LLN0$GO${item}" for item in items]
    lab.start(
        "peer_settings.py", device, *steps, "write:LLN0$GO$gcbFlisr$GoEna=false", "write:LLN0$GO$gcbOper$GoEna=true"
    )
    told = [lab.said()[step] for step in steps]
    assert list(lab.said().values()) == ["error 3"]
    assert list(lab.said().values()) == ["error 3"]
    return told


def test_go_ena_tells_whether_the_protection_process_sends_and_the_library_never_does(tree: Tree) -> None:
    wanted = ("gcbFlisr$GoEna", "gcbFlisr$NdsCom", "gcbOper$GoEna", "gcbFlisr", "gcbFlisr$ConfRev")
    with listening() as heard:
        for alive in (True, False):
            lab = Lab(tree, STATE._replace(protection_alive=alive))
            try:
                enabled, commissioning, oper, whole, revision = blocks(lab, "F_AGFLISR", *wanted)
            finally:
                lab.close()
            assert (enabled, commissioning, oper, revision) == (alive, False, alive, 1)
            assert f"[bool({alive})" in whole
            assert "dsFlisr" in whole
        if heard is not None:
            frames = []
            while select.select([heard], [], [], 0)[0]:
                frames.append(heard.recv(2000))
            assert not [frame for frame in frames if b"F_AG" in frame]


def test_it_follows_the_protection_process(tree: Tree) -> None:
    lab = Lab(tree)
    try:
        for number, alive in enumerate((True, False, True)):
            lab.show(STATE._replace(protection_alive=alive), START_US + number)
            assert blocks(lab, "F_AGFLISR", "gcbFlisr$GoEna") == [alive]
            lab._read = b""
    finally:
        lab.close()


def test_a_report_of_many_devices_is_no_reason_to_ask_for_commissioning() -> None:
    """The library would say so of a frame above its own limit; ours are checked where they are made."""
    tree = read_tree(parse_bytes(generate(describe.load(DEMO)).scd), "R11_AG")
    lab = Lab(tree)
    try:
        assert blocks(lab, "R11_AGFLISR", "gcbFlisr$GoEna", "gcbFlisr$NdsCom") == [True, False]
    finally:
        lab.close()

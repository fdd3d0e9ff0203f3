"""From SCL to a tree, and what fills it: no server, no network."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from lxml import etree

from agent.logic.messages import Level, Measurement, Report, Request, RequestKind
from agent.mms.build import KINDS
from agent.mms.described import UndescribedError, read_tree
from agent.mms.episodes import Episodes
from agent.mms.tree import Node, Tree, leaves
from agent.mms.wiring import ROWS, Origin, Place, Quality, moved, quality, row_of, unfilled
from agent.station import plain
from scl import describe
from scl.elements import tag
from scl.generate import generate
from scl.read import parse_bytes
from tests.mms.lab import START_US, STATE

DEMO = Path(__file__).parents[2] / "simulator" / "feeders" / "demo.yaml"


def node_of(tree: Tree, name: str) -> Node:
    return next(node for device in tree.devices for node in device.nodes if node.name == name)


def test_every_agent_of_the_demonstration_is_filled_from_its_state() -> None:
    root = parse_bytes(generate(describe.load(DEMO)).scd)
    agents = [name for ied in root.iter(tag("IED")) if (name := ied.get("name", "")).endswith("_AG")]
    assert len(agents) == 12
    for name in agents:
        tree = read_tree(root, name)
        nodes = [node for device in tree.devices for node in device.nodes]
        assert unfilled(iter(nodes)) == []
        assert {kind for node in nodes for _, _, kind in leaves(node)} <= KINDS.keys()


def test_a_device_has_what_it_has_a_source_for(root: etree._Element) -> None:
    breaker, switch = read_tree(root, "F_AG"), read_tree(root, "L_AG")
    names = {node.name for node in breaker.devices[0].nodes}
    assert {"XCBR1", "RREC1", "MSQI1", "LSVS1", "PHAR1", "LGOS1", "LGOS2", "RBRF1", "RSYN1", "LTMS1"} <= names
    others = {node.name for node in switch.devices[0].nodes}
    assert "XSWI1" in others
    assert not others & {"XCBR1", "RREC1", "MSQI1", "LSVS1", "PHAR1"}


def test_the_tree_comes_back_from_the_compiled_configuration(tree: Tree) -> None:
    assert plain.load(Tree, json.loads(json.dumps(tree))) == tree


def test_report_control_blocks_carry_what_the_scl_says(tree: Tree) -> None:
    blocks = {report.name: report for report in node_of(tree, "LLN0").reports}
    status = blocks["brcbStatus"]
    assert status.names == ("brcbStatus01", "brcbStatus02", "brcbStatus03", "brcbStatus04")
    assert (status.buffered, status.triggers, status.buffer_ms) == (True, 1 | 2 | 16, 50)
    assert status.fields == 1 | 2 | 4 | 8 | 32 | 64 | 128
    assert (blocks["urcbMeas"].integrity_ms, blocks["urcbMeas"].triggers) == (10_000, 1 | 2 | 8 | 16)
    assert node_of(tree, "LLN0").groups == (2, 1)
    (flisr, oper) = node_of(tree, "LLN0").goose
    assert (flisr.name, flisr.mac, flisr.conf_rev) == ("gcbFlisr", "01-0C-CD-01-00-01", 1)
    assert oper.appid >= 0x8000


def test_what_no_server_can_be_made_of_is_named(scd: bytes) -> None:
    root = parse_bytes(scd)
    with pytest.raises(UndescribedError, match="there is no IED X"):
        read_tree(root, "X")
    control = next(root.iter(tag("LogControl")))
    control.set("logName", "missing")
    with pytest.raises(UndescribedError, match="F_AG, FLISR/LLN0: lcbStatus: there is no log missing in FLISR/LLN0"):
        read_tree(root, "F_AG")
    control.set("logName", "status")
    etree.SubElement(next(root.iter(tag("LN0"))), tag("SampledValueControl"), name="msvcb01")
    with pytest.raises(UndescribedError, match="F_AG, FLISR/LLN0: msvcb01: this server sends no Sampled Values"):
        read_tree(root, "F_AG")


def test_a_data_object_that_nothing_fills_is_named(tree: Tree) -> None:
    switch = node_of(tree, "XCBR1")
    strange = switch._replace(ln_class="YPTR")
    found = unfilled(iter([switch, strange]))
    assert found
    assert all(name.startswith("YPTR1.") for name in found)
    assert row_of(switch, "Pos") is ROWS["XCBR"]["Pos"]


def test_own_data_objects_show_the_fields_that_goose_carries(tree: Tree) -> None:
    report = Report(claim_zones=(5 << 63) | 9, request=Request(7, RequestKind.RESTORE), grants=((3, 8),))
    node = node_of(tree, "flsGGIO2")
    state = STATE._replace(report=report)

    def value(name: str) -> object:
        row = row_of(node, name)
        assert row is not None
        return row.read(state, Place("fls", "GGIO", "2"))

    assert (value("ClmZn1"), value("ReqNum"), value("ReqKnd")) == (9, 7, 1)
    assert (value("GrnDev1"), value("GrnNum1"), value("GrnDev2"), value("GrnNum2")) == (3, 8, -1, 0)


def test_the_document_lists_every_row_and_no_other() -> None:
    text = (Path(__file__).parents[2] / "docs/reference/data-model.md").read_text(encoding="utf-8")
    section = text.partition("## Logical nodes")[2].partition("\n## ")[0]
    lines = re.findall(r"^\| `([A-Z0-9]{4})` \| [^|]*\| ([^|]*) \|", section, flags=re.MULTILINE)
    assert {name: set(re.findall(r"`(\w+)`", objects)) for name, objects in lines} == {
        name: set(rows) for name, rows in ROWS.items()
    }


def test_quality_tells_whom_a_value_comes_from() -> None:
    assert quality(STATE, Origin.BREAKER) is Quality.GOOD
    silent = STATE._replace(breaker_fresh=False)
    assert (quality(silent, Origin.BREAKER), quality(silent, Origin.PROTECTION)) == (Quality.OLD, Quality.GOOD)
    blind = STATE._replace(measurement=Measurement(level=Level.BLIND))
    assert (quality(blind, Origin.SAMPLES), quality(blind, Origin.BREAKER)) == (Quality.FAILURE, Quality.GOOD)
    dead = STATE._replace(protection_alive=False)
    assert (quality(dead, Origin.SAMPLES), quality(dead, Origin.STATION)) == (Quality.OLD, Quality.GOOD)


def test_a_small_drift_is_no_news() -> None:
    assert moved(None, 100.0, 1.0)
    assert not moved(200.0, 201.9, 1.0)
    assert moved(200.0, 202.1, 1.0)
    assert not moved(0.0, 0.9, 1.0)
    assert moved(True, False, 1.0)
    assert moved(1, 2, 1.0)


def test_a_trip_between_two_looks_is_shown_in_two_steps() -> None:
    episodes = Episodes()
    episodes.steps(STATE)
    over = STATE._replace(trip_us=START_US)
    first, second = episodes.steps(over)
    tripped = row_of(Node("", "PTRC", "1", ()), "Tr")
    assert tripped is not None
    here = Place("", "PTRC", "1")
    assert (tripped.read(first, here), tripped.since(first, here)) == (True, START_US)
    assert (tripped.read(second, here), episodes.steps(over)) == (False, (over,))


def test_an_episode_between_two_looks_is_shown_in_two_steps() -> None:
    episodes = Episodes()
    before = STATE._replace(measurement=Measurement(Level.QUIET, start_us=1, end_us=2))
    assert episodes.steps(before) == (before,)
    after = STATE._replace(
        measurement=Measurement(Level.QUIET, start_us=START_US, end_us=START_US + 40_000, pickup_us=START_US + 3_000)
    )
    first, second = episodes.steps(after)
    assert (first.measurement.level, second) == (Level.PICKUP, after)
    assert episodes.steps(after) == (after,)
    lasting = after._replace(measurement=after.measurement._replace(level=Level.START, start_us=START_US + 1, end_us=0))
    assert episodes.steps(lasting) == (lasting,)

"""The table of scenarios: complete, playable on its feeder, and refused with a reason where it is not."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from scl.describe import read
from simulator.demo.scenario import DEFAULT, Scenario, ScenarioError, find, overlay, parse, table
from simulator.plant.story import parse_event


def test_at_least_sixteen_with_distinct_names() -> None:
    names = [s.name for s in table()]
    assert len(names) >= 16
    assert len(set(names)) == len(names)
    assert DEFAULT in names
    assert all(s.description and s.expect is not None for s in table())


@pytest.mark.parametrize("scenario", table(), ids=lambda s: s.name)
def test_names_resolve(scenario: Scenario, tmp_path: Path) -> None:
    drawing = tmp_path / "feeder.yaml"
    drawing.write_text(yaml.safe_dump(scenario.drawn(), sort_keys=False), encoding="utf-8")
    feeder = read(drawing)
    devices = set(feeder.device_index)
    zones = {z.name for z in feeder.zones}
    assert scenario.expect is not None
    assert set(scenario.expect.locked) <= devices
    assert set(scenario.expect.dark) | set(scenario.expect.faulted) <= zones
    assert set(scenario.expect.faulted) <= set(scenario.expect.dark)
    for step in scenario.steps:
        if step.do == "plant":
            parse_event(step.what, feeder)
        elif step.do in ("kill", "kill_protection", "restart", "order", "mms"):
            assert step.what in devices
        elif step.do == "cut":
            assert {name for group in step.what for name in group} <= devices
        if step.device:
            assert step.device in devices


def test_overlay_merges_mappings_and_replaces_the_rest() -> None:
    base = {"a": {"b": 1, "c": [1, 2]}, "d": 4}
    assert overlay(base, {"a": {"c": [3]}, "e": 5}) == {"a": {"b": 1, "c": [3]}, "d": 4, "e": 5}
    assert base == {"a": {"b": 1, "c": [1, 2]}, "d": 4}


@pytest.mark.parametrize(
    ("item", "word"),
    [
        ({}, "name"),
        ({"name": "x"}, "no steps"),
        ({"name": "x", "colour": 1, "steps": []}, "colour"),
        ({"name": "x", "steps": [{"at_ms": 0}]}, "exactly one"),
        ({"name": "x", "steps": [{"kill": "F1"}]}, "at_ms"),
        ({"name": "x", "steps": [{"kill": "F1", "heal": True, "at_ms": 0}]}, "exactly one"),
        ({"name": "x", "steps": [{"kill": "F1", "at_ms": 0}], "expect": {"open": []}}, "expect"),
    ],
)
def test_what_is_wrong_is_named(item: object, word: str) -> None:
    with pytest.raises(ScenarioError, match=word):
        parse(item)


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ScenarioError, match="lateral-fuse"):
        find("nonsense")

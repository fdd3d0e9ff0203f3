"""Scenario files of the simulation become steps of the demonstration, or are refused with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.demo.scenario import ScenarioError
from simulator.demo.shrunk import read
from simulator.plant.story import parse_event
from simulator.virtual.chance import random_scenario
from simulator.virtual.scenario import Faulty, save


@pytest.mark.parametrize("seed", range(8))
def test_calm_scenarios_can_be_staged(tmp_path: Path, seed: int) -> None:
    drawn = random_scenario(seed, 8, "calm")
    save(drawn, tmp_path / "x.yaml")
    staged, found = read(tmp_path / "x.yaml")
    assert found == seed
    assert staged.given == drawn.feeder
    assert len(staged.steps) == len(drawn.happenings)
    assert [s.at_ms for s in staged.steps] == sorted(s.at_ms or 0.0 for s in staged.steps)
    for step in staged.steps:
        if step.do == "plant":
            parse_event(step.what, drawn.feeder)


def test_detection_that_lies_cannot_be_staged(tmp_path: Path) -> None:
    drawn = random_scenario(1, 8, "calm")
    drawn.faulty[drawn.feeder.devices[0].name] = Faulty(false_direction=True)
    save(drawn, tmp_path / "x.yaml")
    with pytest.raises(ScenarioError, match="false_direction"):
        read(tmp_path / "x.yaml")


def test_a_failing_mechanism_is_a_step_of_its_own(tmp_path: Path) -> None:
    drawn = random_scenario(1, 8, "calm")
    name = drawn.feeder.devices[0].name
    drawn.faulty[name] = Faulty(fails_to_open=True)
    save(drawn, tmp_path / "x.yaml")
    staged, _ = read(tmp_path / "x.yaml")
    assert staged.steps[0].what == {"event": "break", "device": name, "failure": "fails_to_open"}


def test_nonsense_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: 1\n")
    with pytest.raises(ScenarioError, match="flisr_scenario"):
        read(tmp_path / "x.yaml")

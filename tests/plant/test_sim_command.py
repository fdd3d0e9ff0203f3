"""``flisr sim``: the phasor network for people and programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from simulator.commands.sim import sim

DEMO = str(Path(__file__).parents[2] / "simulator" / "feeders" / "demo.yaml")


def test_solve_prints_one_object_with_a_row_for_every_device() -> None:
    result = CliRunner().invoke(
        sim, ["solve", DEMO, "--fault", "Z12_S1:bcg:0.3:1.5", "--open", "L12", "--close", "T1", "--json"]
    )
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    rows = {row["name"]: row for row in answer["devices"]}
    assert len(rows) == 12
    assert rows["T1"]["closed"]
    assert not rows["L12"]["closed"]
    assert rows["R11"]["i_a"][1] > 3 * 600 > 600 > rows["R11"]["i_a"][0]
    assert rows["R31"]["i_a"][0] < 400
    assert rows["T1"]["p_kw"] < 0  # Z13 is fed from Z33: against the drawing's direction
    assert answer["faults"][0]["kind"] == "bcg"


def test_solve_as_a_table() -> None:
    result = CliRunner().invoke(sim, ["solve", DEMO])
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 13


@pytest.mark.parametrize(
    "arguments",
    [
        ["solve", DEMO, "--open", "X9"],
        ["solve", DEMO, "--fault", "nowhere:ag"],
        ["solve", DEMO, "--fault", "Z12_S1:xyz"],
        ["solve", DEMO, "--fault", "Z12_S1"],
        ["solve", DEMO, "--fault", "Z12_S1:ag:half"],
        ["tell", DEMO, "not json"],
        ["tell", DEMO, '{"snapshot": true}'],
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(arguments: list[str]) -> None:
    result = CliRunner().invoke(sim, arguments)
    assert result.exit_code != 0
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output

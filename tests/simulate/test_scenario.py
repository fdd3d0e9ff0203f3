"""Scenario files, the shrinker, the command, many seeds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.commands.simulate import simulate
from simulator.virtual import many
from simulator.virtual.chance import random_scenario
from simulator.virtual.scenario import Faulty, Happening, Scenario, ScenarioError, from_dict, load, save, to_dict
from simulator.virtual.shrink import shrink
from simulator.virtual.world import World
from tests.simulate import lab


@given(st.integers(0, 100_000))
@settings(max_examples=30)
def test_a_file_keeps_everything(seed: int) -> None:
    scenario = random_scenario(seed, 6)
    assert from_dict(json.loads(json.dumps(to_dict(scenario)))) == scenario


def test_yaml_round_trip(tmp_path: Path) -> None:
    scenario = random_scenario(7)
    save(scenario, tmp_path / "s.yaml")
    again = load(tmp_path / "s.yaml")
    assert again == scenario
    assert World(again).run().trace == World(scenario).run().trace


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"flisr_scenario": 2}, "not a scenario file"),
        ({"seed": "many"}, "seed"),
        ({"lan": {"los": 1}}, "unknown field 'los'"),
        ({"faulty": {"D9": {}}}, "no device 'D9'"),
        ({"happenings": [{"at_ms": 1, "do": "explode"}]}, "unknown 'explode'"),
        ({"happenings": [{"at_ms": 1, "do": "fault", "zone": "Z9"}]}, "no zone 'Z9'"),
        ({"happenings": [{"at_ms": 1, "do": "crash"}]}, "crash needs a device"),
        ({"happenings": {"at_ms": 1}}, "a list is needed"),
        ({"happenings": [{"at_ms": 1}]}, "missing"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(wrong: dict[str, object], says: str) -> None:
    data = to_dict(lab.scenario(lab.fault("Z1"))) | wrong
    with pytest.raises(ScenarioError, match=says):
        from_dict(data)


def test_shrinks_to_the_fault() -> None:
    """Whatever cannot matter for "D2 opened" is left out."""
    noisy = lab.scenario(
        lab.fault("Z2"),
        Happening(2_000.0, "crash", device="D4"),
        Happening(3_000.0, "source_loss", source="SRC2"),
        faulty={"T3": Faulty(fails_to_close=True)},
        loss=0.02,
    )

    def test(candidate: Scenario) -> int | None:
        trace = World(candidate).run().trace
        return 1 if any(n.device == "D2" and n.name == "contact" for n in trace) else None

    small = shrink(noisy, test)
    assert [h.do for h in small.happenings] == ["fault"]
    assert not small.faulty
    assert small.lan.loss == 0.0
    assert [d.name for d in small.feeder.devices] == ["D1", "D2"]


def test_two_cores_give_the_same_answers() -> None:
    alone = list(many.run(100, 60, 6, "mixed", 1))
    assert list(many.run(100, 60, 6, "mixed", 2)) == alone
    assert [a.seed for a in alone] == list(range(100, 160))


ONCE_BROKEN = {
    20034472: "the only witness of the fault went blind while the zone died",
    20042333: "a device that had opened for a plan stayed out of the next one; a step counted twice",
    30022161: "an island on generators died just after its capacity was given away",
    30034998: "an open device was taken for loaded",
    30074542: "the only witness of the fault had been restarted",
    30095063: "an island on generators died just after its capacity was given away",
    50009594: "a start alone, and the voltage went with it later than anybody looked",
    50056304: "two faults in series at once: of the first only its share of the current told",
    50067520: "more supply was lost while a plan was under way",
    50070672: "an old deadlock made an agent go ahead alone in a new outage",
    60007527: "peaks of fault current were told as they were at pick-up",
    80068286: "the second fault was told by the current that went on, and by nothing else",
    100096721: "a load-break switch was opened by order 3 ms after a fault that did not show yet",
    70015491: "a conventional relay that was quiet was not counted as quiet",
    70028879: "a failed reclose shot: its neighbour took the old claim for an answer",
    60020050: "past silent ties, the search for the fault ran round to the source",
}


@pytest.mark.parametrize("seed", ONCE_BROKEN)
def test_what_once_broke_holds(seed: int) -> None:
    assert World(random_scenario(seed, 10)).run().broken is None


@pytest.mark.parametrize("chaos", ["calm", "chaos"])
def test_fresh_seeds_hold(chaos: str) -> None:
    """A few hundred seeds here; CI and ``flisr simulate`` run thousands."""
    answers = list(many.run(20_000, 150, 8, chaos, 1))
    assert [a for a in answers if a.invariant] == []
    if chaos == "calm":
        assert sum(a.restored_kw for a in answers) == sum(a.restorable_kw for a in answers) > 0
        assert any(a.met["oracle_asked"] for a in answers)
    else:
        met = {name for a in answers for name in a.met}
        assert {"crash", "restart", "partition", "peer_lost", "failed_to_open", "forge", "frame_lost"} <= met


def test_the_command(tmp_path: Path) -> None:
    run = CliRunner().invoke(
        simulate, ["--runs", "20", "--seed", "500", "--jobs", "1", "--switches", "6", "--json", "--out", str(tmp_path)]
    )
    answer = json.loads(run.stdout)
    assert {"runs", "runs_per_second", "broken", "coverage"} <= set(answer)
    assert answer["runs"] == 20
    assert run.exit_code == (1 if answer["broken"] else 0)


def test_the_command_replays_a_file(tmp_path: Path) -> None:
    save(lab.scenario(lab.fault("Z1")), tmp_path / "s.yaml")
    run = CliRunner().invoke(simulate, ["--replay", str(tmp_path / "s.yaml"), "--json"])
    assert run.exit_code == 0
    answer = json.loads(run.stdout)
    assert answer["broken"] == []
    assert any(line["event"] == "contact" for line in answer["trace"])
    (tmp_path / "bad.yaml").write_text("flisr_scenario: 1\n")
    run = CliRunner().invoke(simulate, ["--replay", str(tmp_path / "bad.yaml")])
    assert run.exit_code == 1
    assert "seed is missing" in run.output

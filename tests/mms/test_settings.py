"""Setting groups through a client that we did not write, onto the agent's own keeper of settings and its disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.logic.messages import BreakerCommand, BreakerStatus, Direction, Level, Measurement, Report
from agent.mms.build import ModelError
from agent.mms.described import read_tree
from agent.mms.meters import Meters
from agent.mms.services import Services
from agent.mms.tree import Tree
from agent.station import durable
from agent.station.alarms import Alarms
from agent.station.settings import Engineered, Settings
from agent.station.snapshot import Snapshot
from scl import describe
from scl.generate import generate
from scl.read import parse_bytes
from scl.topology import Feeder
from tests.mms.conftest import DRAWING
from tests.mms.lab import STATE, Lab
from tests.mms.secured import Events, SecuredLab, make_pki

pytestmark = pytest.mark.peer

SNAPSHOT = Snapshot(1, Report(), Measurement(), BreakerStatus(), True, BreakerCommand(), 0, (), {}, {}, (), {})
ACTIVE, EDITED = "PTOC1$SG$StrVal$setMag$f", "PTOC1$SE$StrVal$setMag$f"


@pytest.fixture(scope="module")
def feeder(tmp_path_factory: pytest.TempPathFactory) -> Feeder:
    path = tmp_path_factory.mktemp("small") / "small.yaml"
    path.write_text(DRAWING, encoding="utf-8")
    return describe.read(path)


class Keeper:
    """The agent's keeper of settings in a directory, and what it said."""

    def __init__(self, directory: Path, feeder: Feeder) -> None:
        self.directory = directory
        self.events = Events()
        self.told: list[dict[str, Any]] = []
        self.alarms = Alarms(self.events, lambda _text: None)  # type: ignore[arg-type]
        engineered = Engineered(feeder, feeder.device_index["F"], True)
        self.settings = Settings(directory, engineered, self.events, self.alarms, self.tell)  # type: ignore[arg-type]

    def tell(self, message: dict[str, Any]) -> bool:
        self.told.append(message)
        return True

    @property
    def handed_over(self) -> list[tuple[int, float, float]]:
        said = [message["setting"] for message in self.told]
        return [(s["group"], s["pickups"]["phase_a"], s["pickups"]["earth_a"]) for s in said]


@pytest.fixture
def keeper(tmp_path: Path, feeder: Feeder) -> Keeper:
    return Keeper(tmp_path, feeder)


@pytest.fixture
def lab(tree: Tree, keeper: Keeper) -> Iterator[Lab]:
    made = Lab(tree, services=Services(keeper.settings))
    yield made
    made.close()


def ask(lab: Lab, *steps: str) -> list[Any]:
    """What the client is told, step by step; None: it was done."""
    lab.start("peer_settings.py", "F_AGFLISR", *steps)
    return [lab.said()[step] for step in steps if step != "other"]


def test_a_client_selects_a_group_and_the_protection_process_is_told(lab: Lab, keeper: Keeper) -> None:
    told = ask(lab, "sgcb", f"read:{ACTIVE}", "active:2", f"read:{ACTIVE}", "sgcb", "active:3", "active:0")
    assert told[0] == {"groups": 2, "active": 1, "edited": 0, "reserved": 0}
    assert told[1:4] == [480.0, None, 500.0]
    assert told[4]["active"] == 2
    assert told[5:] == ["error 11", "error 11"]
    assert keeper.handed_over == [(2, 500.0, 120.0)]
    assert [line["group"] for line in keeper.events.of("setting_group")] == [2]


def test_an_edit_counts_when_it_is_confirmed_and_is_on_disk_before(
    lab: Lab, keeper: Keeper, feeder: Feeder, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_disk: list[str] = []
    settle = durable.settle

    def settled(path: Path) -> None:
        assert keeper.handed_over == []
        settle(path)
        on_disk.append(path.read_text())

    monkeypatch.setattr(durable, "settle", settled)
    told = ask(
        lab, f"read:{EDITED}", "edit:1", f"read:{EDITED}", f"write:{EDITED}=490.5", f"read:{ACTIVE}", "confirm",
        f"read:{ACTIVE}", "sgcb",
    )  # fmt: skip
    assert told[:3] == ["error 2", None, 480.0]
    assert told[3:5] == [None, 480.0]
    assert told[5:7] == [None, 490.5]
    assert told[7]["edited"] == 0
    assert len(on_disk) == 1
    assert keeper.handed_over == [(1, 490.5, 120.0)]
    again = Keeper(keeper.directory, feeder)
    assert again.settings.setting == (1, (490.5, 120.0))
    assert again.settings.groups[1] == (500.0, 120.0)


def test_a_group_that_is_not_active_is_edited_without_touching_the_protection(lab: Lab, keeper: Keeper) -> None:
    assert ask(lab, "edit:2", f"write:{EDITED}=510", "confirm", f"read:{ACTIVE}", "active:2", f"read:{ACTIVE}") == [
        None, None, None, 480.0, None, 510.0
    ]  # fmt: skip
    assert keeper.handed_over == [(2, 510.0, 120.0)]


def test_what_would_break_the_coordination_is_refused_with_the_standards_error_and_on_record(
    lab: Lab, keeper: Keeper
) -> None:
    """The neighbour L picks up at 600 A, and starts at 480 A."""
    steps = [f"write:{EDITED}={value}" for value in ("299", "601", "480", "-5", "nan", "inf", "1e30")]
    told = ask(lab, "edit:2", *steps, "confirm", f"read:{ACTIVE}")
    assert told == [None, *["error 11"] * 7, None, 480.0]
    why = [line["why"] for line in keeper.events.of("settings_refused")]
    assert why[:3] == [
        "phase pick-up 299 A: below minVal, 300 A",
        "phase pick-up 601 A: above maxVal, 600 A",
        "phase pick-up 480 A: would pick up before a neighbour starts: L, 600 A",
    ]
    assert keeper.settings.groups == ((480.0, 120.0), (500.0, 120.0))


def test_an_element_without_a_range_is_not_set(lab: Lab, keeper: Keeper) -> None:
    assert ask(lab, "edit:1", "write:PTOC2$SE$StrVal$setMag$f=125")[1] == "error 11"
    (line,) = keeper.events.of("settings_refused")
    assert line["why"] == "earth pick-up 125 A: the SCD gives no range (minVal, maxVal) to set it in"


def test_only_who_edits_confirms_and_only_by_true(lab: Lab, keeper: Keeper) -> None:
    told = ask(
        lab, "confirm", "edit:1", f"write:{EDITED}=490", "other", "edit:1", f"write:{EDITED}=495", "confirm",
        f"write:{ACTIVE}=400", "other", "unconfirm", "edit:0", "confirm",
    )  # fmt: skip
    assert told == [
        "error 3", None, None, "error 2", "error 2", "error 3", "error 3", "error 11", None, "error 3"
    ]  # fmt: skip
    assert keeper.settings.groups[0] == (480.0, 120.0)
    assert keeper.handed_over == []


def test_a_full_disk_refuses_and_changes_nothing(lab: Lab, keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes, mode: int = 0o600) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "stage", full)
    told = ask(lab, "active:2", "edit:1", f"write:{EDITED}=490", "confirm", f"read:{ACTIVE}", "sgcb")
    assert told[:5] == ["error 3", None, None, "error 3", 480.0]
    assert told[5]["active"] == 1
    assert keeper.handed_over == []
    assert "No space left" in keeper.alarms.show()["settings"]


def test_a_damaged_file_leaves_the_scds_values_with_an_alarm(keeper: Keeper, feeder: Feeder) -> None:
    assert keeper.settings.select(2, "test") == ""
    path = keeper.directory / "settings.json"
    assert path.stat().st_mode & 0o777 == 0o600
    whole = path.read_bytes()
    for damaged in (whole[:-20], whole.replace(b'"active": 2', b'"active": 1'), b"", b"\xff" * 100):
        path.write_bytes(damaged)
        again = Keeper(keeper.directory, feeder)
        assert again.settings.setting == (1, (480.0, 120.0))
        assert "settings.json" in again.alarms.show()["settings"]
    path.write_bytes(whole)
    assert Keeper(keeper.directory, feeder).settings.setting == (2, (500.0, 120.0))


def test_settings_of_another_scd_are_passed_over(keeper: Keeper, tmp_path: Path) -> None:
    keeper.settings.select(2, "test")
    path = tmp_path / "other.yaml"
    path.write_text(DRAWING.replace("phase_pickup_a: 480", "phase_pickup_a: 470"), encoding="utf-8")
    again = Keeper(keeper.directory, describe.read(path))
    assert again.settings.setting == (1, (470.0, 120.0))
    assert again.events.of("settings_passed_over")
    assert again.alarms.show() == {}


def test_roles_decide_who_edits(tree: Tree, keeper: Keeper, tmp_path: Path) -> None:
    folder = make_pki(tmp_path / "pki")
    with SecuredLab(tree, folder, services=Services(keeper.settings)) as lab:
        for name, expected in (("operator", False), ("viewer", False), ("engineer", True)):
            told = lab.ask(name, "select-group")["select-group"]
            assert (told is None) is expected, told
        denied = lab.events.of("mms_denied")
        assert [(line["who"], line["needs"]) for line in denied] == [
            ("operator", "settinggroup"), ("viewer", "settinggroup")
        ]  # fmt: skip
        (line,) = keeper.events.of("setting_group")
        assert (line["group"], line["who"]) == (2, "MMS engineer")
        (written,) = lab.events.of("mms_write")
        assert (written["accepted"], written["objects"]) == (True, ["F_AGFLISR/LLN0$SP$SGCB$ActSG"])


def test_a_device_without_samples_has_its_relays_settings(tmp_path: Path, feeder: Feeder) -> None:
    root = parse_bytes(generate(feeder).scd)
    events = Events()
    alarms = Alarms(events, lambda _text: None)  # type: ignore[arg-type]
    engineered = Engineered(feeder, feeder.device_index["L"], False)
    store = Settings(tmp_path, engineered, events, alarms, lambda _message: True)  # type: ignore[arg-type]
    made = Lab(read_tree(root, "L_AG"), services=Services(store))
    try:
        made.start("peer_settings.py", "L_AGFLISR", "edit:1")
        assert made.said()["edit:1"] == "error 3"
    finally:
        made.close()
    (line,) = events.of("settings_refused")
    assert "relay" in line["why"]


def test_the_file_says_what_it_is(keeper: Keeper) -> None:
    keeper.settings.select(2, "test")
    document = json.loads((keeper.directory / "settings.json").read_text())
    assert document["record"]["active"] == 2
    assert document["record"]["groups"] == [
        {"phase_a": 480.0, "earth_a": 120.0}, {"phase_a": 500.0, "earth_a": 120.0}
    ]  # fmt: skip


def test_the_group_follows_a_reversed_feed_when_nothing_is_to_be_decided(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(DRAWING.replace("setting_groups:", "feed_groups: [1, 2], setting_groups:"), encoding="utf-8")
    keeper = Keeper(tmp_path, describe.read(path))
    now = 100.0

    def fed(side: int, seconds: float, idle: bool = True) -> int:
        nonlocal now
        for _ in range(int(seconds / 0.25)):
            now += 0.25
            setting = keeper.settings.setting
            meters = Meters(phase_pickup_a=setting.pickups.phase_a, earth_pickup_a=setting.pickups.earth_a)
            snap = SNAPSHOT._replace(group=setting.group, fed_from=side, idle=idle, meters=meters)
            keeper.settings.follow(snap, now)
        return keeper.settings.active

    assert fed(1, 5) == 1
    assert fed(2, 1.5) == 1
    assert fed(0, 10) == 1
    assert fed(2, 10, idle=False) == 1
    assert fed(2, 3) == 2
    assert keeper.told[-1]["automatic"] is True
    assert fed(0, 10) == 2
    assert fed(1, 3) == 1
    assert keeper.settings.select(2, "somebody") == "the active group follows the side that the device is fed from"
    assert [line["who"] for line in keeper.events.of("setting_group")] == ["the agent", "the agent"]
    assert keeper.alarms.show() == {}


def test_elements_that_follow_something_else_are_told_again_and_then_an_alarm(keeper: Keeper) -> None:
    other = SNAPSHOT._replace(group=2, meters=Meters(phase_pickup_a=500.0, earth_pickup_a=120.0), idle=True)
    for tenth in range(50):
        keeper.settings.follow(other, 100 + tenth / 10)
    assert keeper.handed_over[0] == (1, 480.0, 120.0)
    assert 3 <= len(keeper.handed_over) <= 6
    assert "settings_late" in keeper.alarms
    right = other._replace(group=1, meters=Meters(phase_pickup_a=480.0, earth_pickup_a=120.0))
    keeper.settings.follow(right, 110.0)
    assert keeper.alarms.show() == {}


def test_a_setting_of_groups_that_nothing_follows_stops_the_server_by_name(scd: bytes) -> None:
    root = parse_bytes(scd.replace(b'<DO name="StrVal" type="ASG_Ranged"/>', b'<DO name="TmMult" type="ASG_Ranged"/>'))
    with pytest.raises(ModelError, match=r"FLISR/PTOC1.TmMult.setMag.f: a value of setting groups that"):
        Lab(read_tree(root, "F_AG"))


def test_the_earth_alarm_shows_the_earth_elements_value_and_the_strikes_direction(tmp_path: Path) -> None:
    path = tmp_path / "isolated.yaml"
    text = DRAWING.replace("nominal_kv: 10", "nominal_kv: 10\nneutral: isolated")
    path.write_text(text.replace("[{phase_pickup_a: 500}]", "[{earth_pickup_a: 30}]"), encoding="utf-8")
    feeder = describe.read(path)
    keeper = Keeper(tmp_path, feeder)
    tree = read_tree(parse_bytes(generate(feeder).scd), "F_AG")
    struck = Measurement(level=Level.QUIET, direction=Direction.INTO_B, earth_alarm=True)
    state = STATE._replace(measurement=struck, meters=Meters(earth_direction=int(Direction.INTO_A)))
    lab = Lab(tree, state, Services(keeper.settings))
    try:
        item = "PSDE1$SG$GndStr$setMag$f"
        told = ask(
            lab, f"read:{item}", "active:2", f"read:{item}", "read:PSDE1$ST$Str$general",
            "read:PSDE1$ST$Str$dirGeneral", "edit:2", "write:PSDE1$SE$GndStr$setMag$f=20",
        )  # fmt: skip
    finally:
        lab.close()
    assert told == [120.0, None, 30.0, True, 2, None, "error 3"]


def test_nonsense_is_refused_and_the_server_goes_on(lab: Lab, keeper: Keeper) -> None:
    block = "LLN0$SP$SGCB"
    items = (f"{block}$ActSG", f"{block}$EditSG", f"{block}$CnfEdit", f"{block}$NumOfSG", f"{block}$Nothing", block)
    nonsense = [f"write:{item}={value}" for item in items for value in ("2.5", "true")]
    told = ask(lab, *nonsense, "edit:0", "edit:1", f"write:{EDITED}=true", f"write:{EDITED}=490", "edit:0", "sgcb")
    assert all(str(answer).startswith("error") for answer in told[: len(nonsense)])
    assert told[-6:-1] == [None, None, "error 7", None, None]
    assert told[-1]["groups"] == 2
    assert keeper.settings.groups == ((480.0, 120.0), (500.0, 120.0))

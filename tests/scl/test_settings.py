"""Setting groups and ranges from a drawing to the SCD and back, and what is refused in a drawing."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree

from scl import derive, describe
from scl.elements import tag
from scl.generate import generate
from scl.problem import SclError
from scl.topology import Device, Pickups

DRAWING = """
name: small
nominal_kv: 10
line_types: {oh: {r1_ohm_per_km: 0.2, x1_ohm_per_km: 0.3}}
zones:
  BB: {substation: S, busbar: true, sources: {T: {rated_kva: 5000, short_circuit_mva: 100}}}
  Z: {sections: [{type: oh, km: 2}]}
devices:
  F: {kind: breaker, a: BB, b: Z, phase_pickup_a: 480, earth_pickup_a: 90%s}
"""
GROUPS = ", setting_groups: [{phase_pickup_a: 500}, {earth_pickup_a: 60}]"


def drawn(tmp_path: Path, more: str) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(DRAWING % more, encoding="utf-8")
    return path


def there_and_back(tmp_path: Path, more: str) -> Device:
    scd = tmp_path / "small.scd"
    generate(describe.load(drawn(tmp_path, more))).write(scd)
    (device,) = derive.read(scd).feeder.devices
    return device


def test_groups_ranges_and_the_rule_come_back(tmp_path: Path) -> None:
    more = f"{GROUPS}, phase_pickup_range_a: [400, 550], feed_groups: [1, 3]"
    device = there_and_back(tmp_path, more)
    assert device.groups == (Pickups(480.0, 90.0), Pickups(500.0, 90.0), Pickups(480.0, 60.0))
    assert (device.active_group, device.feed_groups) == (1, (1, 3))
    assert (device.phase_pickup_range_a, device.earth_pickup_range_a) == ((400.0, 550.0), None)
    assert device.greatest_phase_pickup_a == 550.0


def test_without_them_there_is_one_group_and_nothing_is_set(tmp_path: Path) -> None:
    device = there_and_back(tmp_path, "")
    assert device.groups == (Pickups(480.0, 90.0),)
    assert (device.phase_pickup_range_a, device.feed_groups) == (None, None)


def test_the_active_group_is_the_scds(tmp_path: Path) -> None:
    scd = tmp_path / "small.scd"
    generate(describe.load(drawn(tmp_path, GROUPS))).write(scd)
    root = etree.fromstring(scd.read_bytes())
    next(root.iter(tag("SettingControl"))).set("actSG", "2")
    scd.write_bytes(etree.tostring(root))
    (device,) = derive.read(scd).feeder.devices
    assert device.active_group == 2
    assert device.groups[0] == Pickups(480.0, 90.0)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (", phase_pickup_range_a: [400]", "expected two numbers"),
        (", phase_pickup_range_a: [600, 400]", "expected two numbers"),
        (", phase_pickup_range_a: [490, 600]", "setting group 1 has 480 A, outside 490 to 600 A"),
        (f"{GROUPS}, earth_pickup_range_a: [80, 100]", "setting group 3 has 60 A, outside 80 to 100 A"),
        (", feed_groups: [1, 2]", "2 is outside 1 to 1"),
        (f"{GROUPS}, feed_groups: [1.5, 2]", "expected two numbers of setting groups"),
        (f"{GROUPS}, feed_groups: [1]", "expected two numbers of setting groups"),
        (", setting_groups: [{phase: 3}]", "phase"),
    ],
)
def test_what_makes_no_sense_in_a_drawing_is_named(tmp_path: Path, more: str, words: str) -> None:
    with pytest.raises(SclError) as refused:
        describe.load(drawn(tmp_path, more))
    assert words in str(refused.value)

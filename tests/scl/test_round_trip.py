"""derive(generate(describe(drawing))) is describe(drawing), for the demonstration feeder and for random ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from scl import derive, describe
from scl import flisr_dataset as ds
from scl.check import check_file
from scl.generate import Generated, generate
from scl.scheme import Role
from scl.topology import Feeder
from tests.scl.drawings import drawings, text_of


def test_demo(tmp_path: Path, demo: Feeder, demo_scd: Generated) -> None:
    path = tmp_path / "demo.scd"
    demo_scd.write(path)
    assert check_file(path).problems == ()
    scheme = derive.read(path)
    assert scheme.feeder == demo
    assert scheme.feeder.device_index == demo.device_index


def test_demo_subscriptions(tmp_path: Path, demo: Feeder, demo_scd: Generated) -> None:
    demo_scd.write(tmp_path / "demo.scd")
    scheme = derive.read(tmp_path / "demo.scd")
    assert len(scheme.ieds) == 3 * len(demo.devices)
    members = tuple(member.reference for member in ds.report_members(len(demo.zones), len(demo.devices)))
    for device in demo.devices:
        agent = scheme.agent_of(device.name)
        assert agent.role is Role.AGENT
        assert agent.device == device.name
        others = {other.agent for other in demo.devices if other is not device}
        heard = {(name, control.name) for name, control in agent.goose_in}
        assert heard == {(other, ds.FLISR_CONTROL) for other in others} | {(device.breaker_ied, ds.POS_CONTROL)}
        assert [name for name, _ in agent.sv_in] == [device.merging_unit]
        assert agent.goose(ds.FLISR_CONTROL).members == members
        breaker = scheme.ieds[device.breaker_ied]
        assert breaker.role is Role.BREAKER
        assert [(name, control.name) for name, control in breaker.goose_in] == [(device.agent, ds.OPER_CONTROL)]
        assert device.merging_unit is not None
        unit = scheme.ieds[device.merging_unit]
        assert unit.role is Role.MERGING_UNIT
        assert (unit.sv_out[0].smp_rate, unit.sv_out[0].no_asdu, len(unit.sv_out[0].members)) == (80, 1, 16)
    controls = [control for ied in scheme.ieds.values() for control in ied.goose_out]
    streams = [stream for ied in scheme.ieds.values() for stream in ied.sv_out]
    assert len({control.appid for control in controls}) == len(controls) == 36
    assert len({control.mac for control in controls} | {stream.mac for stream in streams}) == 48
    assert len({control.ip for control in controls} | {stream.ip for stream in streams}) == 48
    assert all(control.mac.startswith("01-0C-CD-01-") for control in controls)
    assert all(stream.mac.startswith("01-0C-CD-04-") for stream in streams)
    assert all(control.conf_rev == 1 and control.min_time_ms < control.max_time_ms for control in controls)
    assert scheme.device_of_agent("F2_AG") == demo.device_index["F2"]
    with pytest.raises(KeyError):
        scheme.device_of_agent("F2_BR")


def test_layouts_and_routing(tmp_path: Path, demo_path: Path) -> None:
    path = tmp_path / "x.scd"
    generate(describe.load(demo_path), "61869-9-4800-2", routed=True, port=10102).write(path)
    assert check_file(path).problems == ()
    scheme = derive.read(path)
    stream = scheme.ieds["F1_MU"].sv_out[0]
    assert (stream.smp_rate, stream.smp_mod, stream.no_asdu, stream.routed) == (4800, "SmpPerSec", 2, True)
    assert stream.samples_per_second(50.0) == 4800.0
    control = scheme.ieds["F1_AG"].goose(ds.FLISR_CONTROL)
    assert (control.routed, control.port) == (True, 10102)


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(drawing=drawings())
def test_random_drawings(tmp_path_factory: pytest.TempPathFactory, drawing: dict[str, Any]) -> None:
    folder = tmp_path_factory.mktemp("drawing")
    yaml_path, scd_path = folder / "random.yaml", folder / "random.scd"
    yaml_path.write_text(text_of(drawing), encoding="utf-8")
    loaded = describe.load(yaml_path)
    generate(loaded).write(scd_path)
    assert check_file(scd_path).problems == ()
    assert derive.read(scd_path).feeder == loaded.feeder
    # A feeder alone, without the drawing's substation names, makes an SCD of the same feeder, too.
    generate(loaded.feeder).write(scd_path)
    assert derive.read(scd_path).feeder == loaded.feeder


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(drawing=drawings(zones_max=14))
def test_zones_are_numbered_by_name(tmp_path_factory: pytest.TempPathFactory, drawing: dict[str, Any]) -> None:
    path = tmp_path_factory.mktemp("drawing") / "random.yaml"
    path.write_text(text_of(drawing), encoding="utf-8")
    feeder = describe.read(path)
    assert [zone.name for zone in feeder.zones] == sorted(zone.name for zone in feeder.zones)
    for i, zone in enumerate(feeder.zones):
        assert zone.index == i
        assert all(i in (feeder.devices[k].zone_a, feeder.devices[k].zone_b) for k in zone.devices)
        assert all(feeder.sections[k].zone == i for k in zone.sections)
    for device in feeder.devices:
        assert device.node_a in feeder.zones[device.zone_a].nodes
        assert device.node_b in feeder.zones[device.zone_b].nodes


def test_many_devices_bind_by_first_member(tmp_path: Path) -> None:
    zones = {"BB": {"substation": "S", "busbar": True, "sources": {"T": {"rated_kva": 9000, "short_circuit_mva": 90}}}}
    devices: dict[str, Any] = {}
    for i in range(70):
        zones[f"Z{i:02d}"] = {"sections": [{"type": "oh", "km": 1}]}
        devices[f"D{i:02d}"] = {"kind": "breaker", "a": "BB" if i == 0 else f"Z{i - 1:02d}", "b": f"Z{i:02d}"}
    types = {"oh": {"r1_ohm_per_km": 0.2, "x1_ohm_per_km": 0.3}}
    drawing = {"name": "long", "nominal_kv": 10, "line_types": types, "zones": zones, "devices": devices}
    path = tmp_path / "long.yaml"
    path.write_text(text_of(drawing), encoding="utf-8")
    loaded = describe.load(path)
    generate(loaded).write(tmp_path / "long.scd")
    scheme = derive.read(tmp_path / "long.scd")
    assert scheme.feeder == loaded.feeder
    agent = scheme.agent_of("D33")
    assert len(agent.goose_in) == 70
    assert sum(member.startswith("FLISR/flsGGIO2.ClmZn") for member in agent.goose_out[0].members) == 2


def test_ratings_must_fit(tmp_path: Path, demo_scd: Generated) -> None:
    path = tmp_path / "demo.scd"
    ratings = demo_scd.write(path)
    text = ratings.read_text(encoding="utf-8")
    ratings.write_text(text.replace("  Z11_farm:", "  Z11_ferm:"), encoding="utf-8")
    with pytest.raises(derive.SclError) as caught:
        derive.read(path)
    assert {p.code for p in caught.value.problems} == {"rating-missing", "rating-of-nothing"}
    ratings.unlink()
    with pytest.raises(derive.SclError, match=r"demo\.ratings\.yaml"):
        derive.read(path)

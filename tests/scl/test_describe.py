"""Drawings: the demonstration feeder is what its head says, and every mistake is named with file, line and key."""

from __future__ import annotations

import cmath
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scl import describe
from scl.problem import SclError
from scl.topology import DeviceKind, Feeder

SMALL = """\
name: small
nominal_kv: 10
line_types:
  oh: {r1_ohm_per_km: 0.2, x1_ohm_per_km: 0.3}
zones:
  BB: {substation: S, busbar: true, sources: {T: {rated_kva: 5000, short_circuit_mva: 100}}}
  Z: {sections: [{type: oh, km: 2}, {type: oh, km: 1}]}
devices:
  F: {kind: breaker, a: BB, b: Z}
"""


def _read(tmp_path: Path, text: str) -> Feeder:
    path = tmp_path / "feeder.yaml"
    path.write_text(text, encoding="utf-8")
    return describe.read(path)


def test_demo_has_the_devices_and_zones_of_its_picture(demo: Feeder) -> None:
    assert [device.name for device in demo.devices] == [
        "F1",
        "F2",
        "F3",
        "L12",
        "L21",
        "L32",
        "Q1",
        "Q2",
        "R11",
        "R31",
        "T1",
        "T2",
    ]
    assert [zone.name for zone in demo.zones] == [
        "BB1",
        "BB2",
        "SRC1",
        "SRC2",
        "Z11",
        "Z12",
        "Z13",
        "Z21",
        "Z22",
        "Z31",
        "Z32",
        "Z33",
    ]
    ends = {d.name: (demo.zones[d.zone_a].name, demo.zones[d.zone_b].name) for d in demo.devices}
    assert ends["T1"] == ("Z13", "Z33")
    assert ends["T2"] == ("Z22", "Z32")
    assert ends["Q1"] == ("SRC1", "BB1")
    assert {d.name for d in demo.devices if d.normally_open} == {"T1", "T2"}
    switches = {d.name for d in demo.devices if d.kind is DeviceKind.LOAD_BREAK_SWITCH}
    assert switches == {"L12", "L21", "L32", "T1"}
    assert [zone.name for zone in demo.zones if zone.busbar] == ["BB1", "BB2"]
    device = demo.device("R11")
    assert (device.agent, device.breaker_ied, device.merging_unit) == ("R11_AG", "R11_BR", "R11_MU")


def test_demo_bolted_faults_are_three_times_pickup(demo: Feeder) -> None:
    """Two-phase fault at the far end of every zone, for each device on the path, normal topology."""
    links: dict[str, list[tuple[str, complex, int | None]]] = {}
    for s in demo.sections:
        z = complex(s.r1_ohm, s.x1_ohm)
        links.setdefault(s.node_a, []).append((s.node_b, z, None))
        links.setdefault(s.node_b, []).append((s.node_a, z, None))
    for i, d in enumerate(demo.devices):
        if not d.normally_open:
            links.setdefault(d.node_a, []).append((d.node_b, 0j, i))
            links.setdefault(d.node_b, []).append((d.node_a, 0j, i))
    seen: set[str] = set()
    for source in demo.sources:
        frontier: list[tuple[str, complex, tuple[int, ...]]] = [
            (source.node, complex(source.r1_ohm, source.x1_ohm), ())
        ]
        while frontier:
            node, z, path = frontier.pop()
            seen.add(node)
            two_phase_a = demo.nominal_kv * 1000 / 2 / abs(z)
            for i in path:
                assert two_phase_a >= 3 * demo.devices[i].phase_pickup_a, (demo.devices[i].name, node)
            for other, dz, by in links[node]:
                if other not in seen:
                    frontier.append((other, z + dz, (*path, by) if by is not None else path))
    assert len(seen) == sum(len(zone.nodes) for zone in demo.zones)


def test_small_drawing(tmp_path: Path) -> None:
    feeder = _read(tmp_path, SMALL)
    section, source = feeder.sections[0], feeder.sources[0]
    assert (section.name, section.node_a, section.node_b) == ("Z_S1", "Z.0", "Z.1")
    assert section.length_m == 2000.0
    assert section.x1_ohm == pytest.approx(0.6)
    assert section.x0_ohm == pytest.approx(1.8)
    assert abs(complex(source.r1_ohm, source.x1_ohm)) == pytest.approx(1.0, rel=1e-6)
    assert cmath.phase(complex(source.r1_ohm, source.x1_ohm)) == pytest.approx(math.atan(10), rel=1e-6)
    assert (feeder.devices[0].node_a, feeder.devices[0].node_b) == ("BB.0", "Z.0")


@pytest.mark.parametrize(
    ("old", "new", "line", "code"),
    [
        ("nominal_kv: 10\n", "", 1, "missing-key"),
        ("nominal_kv: 10", "nominal_kv: ten", 2, "bad-type"),
        ("nominal_kv: 10", "nominal_kv: .nan", 2, "bad-type"),
        ("nominal_kv: 10", "nominal_kv: 400", 2, "out-of-range"),
        ("nominal_kv: 10", "nominal_kv: 10\nnominal_kv: 11", 3, "duplicate-key"),
        ("nominal_kv: 10", "nominal_kv: 10\nvolts: 3", 3, "unknown-key"),
        ("nominal_kv: 10", "nominal_kv: [10]", 2, "bad-type"),
        ("nominal_kv: 10", "nominal_kv: 10\nneutral: floating", 3, "bad-choice"),
        ("nominal_kv: 10", "nominal_kv: 10\nneutral: resistance", 3, "bad-choice"),
        ("name: small", "name: 7 feeders", 1, "bad-name"),
        ("type: oh, km: 2", "type: ho, km: 2", 7, "unknown-type"),
        ("type: oh, km: 2", "type: oh, km: 0", 7, "out-of-range"),
        ("type: oh, km: 1", "type: oh, km: 1, from: 3, to: 4", 7, "zone-in-pieces"),
        ("type: oh, km: 1", "type: oh, km: 1, from: 1, to: 1", 7, "section-to-itself"),
        ("b: Z}", "b: Y}", 9, "no-such-zone"),
        ("b: Z}", "b: Z.7}", 9, "no-such-node"),
        ("a: BB, b: Z}", "a: Z.0, b: Z.1}", 9, "device-in-one-zone"),
        ("kind: breaker", "kind: fuse", 9, "bad-choice"),
        ("kind: breaker", "kind: breaker, type: x", 9, "unknown-type"),
        ("kind: breaker", "kind: breaker, reclose_dead_times_ms: soon", 9, "bad-type"),
        ("kind: breaker", "kind: breaker, normally_open: maybe", 9, "bad-type"),
        ("substation: S, ", "", 6, "missing-key"),
        ("busbar: true", "busbar: true, sections: [{type: oh, km: 1}]", 6, "busbar-with-sections"),
        ("devices:", "  Y: {sections: [{type: oh, km: 1}]}\ndevices:", 8, "zone-without-boundary"),
        (", short_circuit_mva: 100", "", 6, "missing-key"),
    ],
)
def test_mistakes(tmp_path: Path, old: str, new: str, line: int, code: str) -> None:
    assert old in SMALL
    with pytest.raises(SclError) as caught:
        _read(tmp_path, SMALL.replace(old, new, 1))
    assert (line, code) in {(p.line, p.code) for p in caught.value.problems}
    assert "feeder.yaml" in str(caught.value)


def test_zone_without_source(tmp_path: Path) -> None:
    more = "  A: {sections: [{type: oh, km: 1}]}\n  B: {sections: [{type: oh, km: 1}]}\ndevices:\n"
    text = SMALL.replace("devices:\n", more + "  D: {kind: breaker, a: A, b: B}\n")
    with pytest.raises(SclError) as caught:
        _read(tmp_path, text)
    assert {(p.line, p.code) for p in caught.value.problems} == {(8, "zone-without-source"), (9, "zone-without-source")}


def test_one_ied_for_two_devices(tmp_path: Path) -> None:
    text = SMALL + "  G: {kind: breaker, a: BB, b: Z, agent: F_AG}\n"
    with pytest.raises(SclError, match="F_AG belongs to F, too"):
        _read(tmp_path, text)


@pytest.mark.parametrize(
    "text", ["", "a: [", "- 1\n", "\x00", "a: &a [*a]", "[" * 5000, "a: !!python/object:os.system {}"]
)
def test_what_is_no_drawing(tmp_path: Path, text: str) -> None:
    with pytest.raises(SclError):
        _read(tmp_path, text)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SclError, match="cannot read"):
        describe.read(tmp_path / "none.yaml")


@given(st.text(alphabet=st.sampled_from("abZ:{}[],.-&*! \n0123456789'\"|#"), max_size=200))
def test_noise_never_escapes_as_another_exception(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("noise") / "x.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SclError):
        describe.read(path)

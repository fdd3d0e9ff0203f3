"""The SCD of a breaker and a load-break switch, and the breaker's agent as a tree."""

from __future__ import annotations

import pytest
from lxml import etree

from agent.mms.described import read_tree
from agent.mms.tree import Tree
from scl import describe
from scl.generate import generate
from scl.read import parse_bytes

DRAWING = """
name: small
nominal_kv: 10
line_types: {oh: {r1_ohm_per_km: 0.2, x1_ohm_per_km: 0.3}}
zones:
  BB: {substation: S, busbar: true, sources: {T: {rated_kva: 5000, short_circuit_mva: 100}}}
  Z: {sections: [{type: oh, km: 2}]}
  Y: {sections: [{type: oh, km: 2}]}
devices:
  F: {kind: breaker, a: BB, b: Z, phase_pickup_a: 480, reclose_dead_times_ms: [300],
      phase_pickup_range_a: [300, 600], setting_groups: [{phase_pickup_a: 500}]}
  L: {kind: load_break_switch, a: Z, b: Y, merging_unit: none}
"""


@pytest.fixture(scope="session")
def scd(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("small") / "small.yaml"
    path.write_text(DRAWING, encoding="utf-8")
    return generate(describe.load(path)).scd


@pytest.fixture(scope="session")
def root(scd: bytes) -> etree._Element:
    return parse_bytes(scd)


@pytest.fixture(scope="session")
def tree(root: etree._Element) -> Tree:
    return read_tree(root, "F_AG")

"""The demonstration feeder, read and generated once."""

from __future__ import annotations

from pathlib import Path

import pytest

from scl import describe
from scl.generate import Generated, generate
from scl.topology import Feeder

DEMO = Path(__file__).parents[2] / "simulator" / "feeders" / "demo.yaml"


@pytest.fixture(scope="session")
def demo_path() -> Path:
    return DEMO


@pytest.fixture(scope="session")
def demo() -> Feeder:
    return describe.read(DEMO)


@pytest.fixture(scope="session")
def demo_scd() -> Generated:
    return generate(describe.load(DEMO))


@pytest.fixture(scope="session")
def small_scd(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The SCD of two devices, small enough to damage many times."""
    path = tmp_path_factory.mktemp("small") / "small.yaml"
    path.write_text(
        "name: small\nnominal_kv: 10\nline_types: {oh: {r1_ohm_per_km: 0.2, x1_ohm_per_km: 0.3}}\n"
        "zones:\n  BB: {substation: S, busbar: true, sources: {T: {rated_kva: 5000, short_circuit_mva: 100}}}\n"
        "  Z: {sections: [{type: oh, km: 2}]}\n  Y: {sections: [{type: oh, km: 2}]}\n"
        "devices:\n  F: {kind: breaker, a: BB, b: Z}\n  L: {kind: load_break_switch, a: Z, b: Y}\n",
        encoding="utf-8",
    )
    return generate(describe.load(path)).scd

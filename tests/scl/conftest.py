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

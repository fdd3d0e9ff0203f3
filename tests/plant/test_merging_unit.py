"""A merging unit makes of the plant's waves the samples that the plant means."""

from __future__ import annotations

from dataclasses import replace

import pytest
from radial_feeder import radial

from agent.core import Layout, SvSource, SvSourceConfig
from scl.topology import Load
from simulator.ieds.link import decode_waves, encode_waves
from simulator.ieds.merging_unit import MergingUnit, segment
from simulator.plant.events import CloseDevice, NewWaves, OpenDevice, StrikeFault
from simulator.plant.fault import Fault
from simulator.plant.plant import Plant, PlantOptions

START = 1_800_000_000_000_000
MS = 1000


@pytest.mark.parametrize("layout", list(Layout))
def test_samples_are_the_plants_instantaneous_values(layout: Layout) -> None:
    """Calm, fault with offset, interruption, energisation with inrush: within a count of rounding."""
    feeder = replace(radial(loads=(Load("H", "n4", 2, 600.0, 200.0),)), frequency_hz=float(layout.frequency))
    plant = Plant(feeder, START, PlantOptions(scatter_us=0))
    source = SvSource(SvSourceConfig("R_MU", 0x4001, layout=layout))
    story = [
        (0, StrikeFault(Fault("f", "L2", "bcg", duration_ms=120.0), angle_deg=10.0)),
        (30, OpenDevice("R")),
        (200, CloseDevice("R")),
    ]
    for at, event in story:
        effects = plant.step(event, START + at * MS)
        effects += plant.advance(START + (at + 90) * MS)
        for waves in (e.waves for e in effects if isinstance(e, NewWaves)):
            decoded = decode_waves(encode_waves(waves, 1))
            assert decoded is not None
            source.set_segment(segment(decoded))
            counts = source.wave(waves.start_us + 250)
            expected = waves.at(waves.start_us + 250)[1]
            for k in range(8):
                scale = 0.001 if k < 4 else 0.01
                assert counts[k] * scale == pytest.approx(float(expected[k]), abs=2.5 * scale), (at, k)
        last = plant.waves
        for later in range(0, 60 * MS, 1750):
            now = max(last.start_us, plant.now_us - 60 * MS) + later
            counts, expected = source.wave(now), last.at(now)[1]
            for k in range(8):
                scale = 0.001 if k < 4 else 0.01
                assert counts[k] * scale == pytest.approx(float(expected[k]), abs=2.5 * scale), (at, later, k)


def test_scenario_orders_reach_the_source() -> None:
    class Recorder:
        def __init__(self) -> None:
            self.calls: list[tuple[str, object]] = []

        def __getattr__(self, name: str) -> object:
            return lambda *arguments: self.calls.append((name, *arguments))

    source = Recorder()
    unit = MergingUnit(source, 0, lambda text: None)  # type: ignore[arg-type]
    plant = Plant(radial(), START)
    for message in (b'{"pause": true}', b'{"quality": 1}', b'{"synch": 0}', b"nonsense", b'{"stop": true}'):
        unit.take(message)
    assert source.calls == [("pause", True), ("set_quality", 1), ("set_synch", 0)]
    assert unit.stopped
    unit.take(encode_waves(plant.waves, 0))
    unit.take(encode_waves(plant.waves, 0))
    assert [name for name, *_ in source.calls[3:]] == ["set_segment", "set_synch", "start", "set_segment"]

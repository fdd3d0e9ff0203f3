"""The waveform that a simulated merging unit publishes."""

from __future__ import annotations

import cmath
import math
import statistics

import pytest

from agent.core import Segment, SvSource, SvSourceConfig, Wave

NOTHING = Wave()
SECOND = 1_700_000_000


def current(*waves: Wave) -> tuple[Wave, ...]:
    return (*waves, *[NOTHING] * (8 - len(waves)))


def test_every_term_of_the_wave() -> None:
    made = SvSource(SvSourceConfig("MU1", 1))
    start = SECOND * 1_000_000 + 123_250
    wave = Wave(cmath.rect(400, 0.4), -300, 0.03, cmath.rect(200, -1.0), 0.1, cmath.rect(90, 2.0), 0.2)
    made.set_segment(Segment(start, current(wave)))
    assert made.wave(start - 250)[0] == 0
    for sample in range(500, 900, 7):
        t_us = SECOND * 1_000_000 + sample * 250
        s, turn = (t_us - start) / 1e6, 2 * math.pi * 50 * (t_us % 1_000_000) / 1e6
        expected = math.sqrt(2) * 400 * math.cos(turn + 0.4) - 300 * math.exp(-s / 0.03)
        expected += math.sqrt(2) * 200 * math.cos(turn - 1.0) * math.exp(-s / 0.1)
        expected += math.sqrt(2) * 90 * math.cos(2 * turn + 2.0) * math.exp(-s / 0.2)
        assert made.wave(t_us)[0] == pytest.approx(1000 * expected, abs=1)


def test_channels_start_at_their_own_times_and_a_newer_segment_replaces_the_queue() -> None:
    made = SvSource(SvSourceConfig("MU1", 1))
    base = SECOND * 1_000_000
    one, two = Wave(100 + 0j), Wave(200 + 0j)
    starts = (base, base + 3_250, base + 6_750, *[base] * 5)
    made.set_segment(Segment(base - 1, current(one, one, one)))
    made.set_segment(Segment(base, current(two, two, two), starts))
    root = math.sqrt(2) * 1000
    assert [round(x / root) for x in made.wave(base)[:3]] == [200, 100, 100]
    assert round(made.wave(base + 20_000)[2] / root) == 200
    made.set_segment(Segment(base + 5_000, current(NOTHING, NOTHING, NOTHING)))
    assert made.wave(base + 20_000)[:3] == (0, 0, 0)
    assert round(made.wave(base)[0] / root) == 200


def test_the_queue_is_bounded() -> None:
    made = SvSource(SvSourceConfig("MU1", 1))
    for n in range(64):
        made.set_segment(Segment(SECOND * 1_000_000 + n, current(NOTHING)))
    with pytest.raises(BufferError):
        made.set_segment(Segment(SECOND * 1_000_000 + 64, current(NOTHING)))
    assert made.counters()["refused_segments"] == 1


def test_noise_has_the_asked_deviation_and_repeats_by_seed() -> None:
    def published(seed: int) -> list[int]:
        made = SvSource(SvSourceConfig("MU1", 1, current_noise_a=2.0, seed=seed))
        frames = [made.frame(SECOND, n) for n in range(2000)]
        at = len(frames[0]) - 64
        return [int.from_bytes(frame[at : at + 4], "big", signed=True) for frame in frames]

    values = published(5)
    assert statistics.pstdev(values) == pytest.approx(2000, rel=0.1)
    assert statistics.mean(values) == pytest.approx(0, abs=200)
    assert values == published(5)
    assert values != published(6)


def test_values_saturate_instead_of_wrapping() -> None:
    made = SvSource(SvSourceConfig("MU1", 1))
    made.set_segment(Segment(0, current(Wave(1e9 + 0j))))
    assert made.wave(SECOND * 1_000_000)[0] == 2**31 - 1

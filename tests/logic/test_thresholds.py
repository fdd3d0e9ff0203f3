"""Which pick-up values an agent may be given, and from where it is fed."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from agent.logic.feed import FROM_A, FROM_B, NOT_KNOWN, feed_side
from agent.logic.thresholds import START_SHARE, refused
from scl.topology import Feeder, Pickups
from tests.logic.lab import MS, Lab, feeder
from tests.logic.test_brain import LOADS, TWO_FEEDERS

WIDE = (1.0, 10_000.0)


def chain(*phase_a: float) -> Feeder:
    """Breakers in a row with these pick-ups, each free to be set to anything the SCD could allow."""
    switches = {f"D{i}": (f"Z{i}", f"Z{i + 1}", "cb") for i in range(len(phase_a))}
    net = feeder(switches, ("Z0",))
    devices = tuple(
        replace(d, phase_pickup_a=a, phase_pickup_range_a=WIDE, more_groups=(Pickups(a, 120.0),))
        for d, a in zip(net.devices, phase_a, strict=True)
    )
    return replace(net, devices=devices)


@pytest.mark.parametrize("pair", [(600.0, 600.0), (800.0, 600.0), (600.0, 750.0), (1200.0, 100.0)])
def test_whatever_two_neighbours_are_set_to_the_one_has_started_when_the_other_picks_up(
    pair: tuple[float, float],
) -> None:
    net = chain(*pair)
    steps = [value / 100 for value in range(60, 160)]
    allowed = [
        [engineered * step for step in steps if not refused(net, device, 1, Pickups(engineered * step, 120.0))]
        for device, engineered in enumerate(pair)
    ]
    assert all(len(values) > 5 for values in allowed)
    for ours, theirs in product(*allowed):
        for one, other, was, other_was in ((ours, theirs, *pair), (theirs, ours, *reversed(pair))):
            if was >= START_SHARE * other_was:
                assert one >= START_SHARE * other * 0.999_999


def test_reasons_name_the_value_and_what_it_would_break() -> None:
    net = chain(600.0, 600.0)
    narrow = replace(net, devices=(replace(net.devices[0], phase_pickup_range_a=(540.0, 660.0)), net.devices[1]))
    assert refused(narrow, 0, 1, Pickups(560.0, 120.0)) == ""
    assert refused(narrow, 0, 2, Pickups(530.0, 120.0)) == "phase pick-up 530 A: below minVal, 540 A"
    assert "above maxVal, 660 A" in refused(narrow, 0, 1, Pickups(661.0, 120.0))
    assert "no range" in refused(narrow, 0, 1, Pickups(600.0, 121.0))
    assert "would pick up before a neighbour starts: D1, 600 A" in refused(net, 0, 1, Pickups(530.0, 120.0))
    assert "might not start when a neighbour picks up: D1, 600 A" in refused(net, 0, 1, Pickups(680.0, 120.0))
    for wrong in (float("nan"), float("inf"), 0.0, -600.0):
        assert "not a positive number" in refused(net, 0, 1, Pickups(wrong, 120.0))


def test_reach_counts_on_the_greatest_value_that_may_be_set() -> None:
    (device, _) = chain(600.0, 600.0).devices
    assert device.greatest_phase_pickup_a == 10_000.0
    assert replace(device, phase_pickup_range_a=None).greatest_phase_pickup_a == 600.0
    more = replace(device, phase_pickup_range_a=None, more_groups=(Pickups(700.0, 1.0),))
    assert more.greatest_phase_pickup_a == 700.0


def side(bench: Lab, name: str) -> int:
    return feed_side(bench.brains[bench.net.device_index[name]].state)


def test_the_side_of_the_feed_follows_the_network() -> None:
    bench = Lab(feeder(TWO_FEEDERS, ("BB1", "BB2"), LOADS))
    assert [side(bench, name) for name in ("F1", "R11", "L12", "F2", "L21")] == [FROM_A] * 5
    assert side(bench, "T1") == NOT_KNOWN
    bench.fault("Z11")  # isolated by F1 and R11; Z12 and Z13 are then fed through T1
    bench.run(2_000 * MS)
    assert bench.open_devices() == {"F1", "R11"}
    assert side(bench, "L12") == FROM_B
    assert side(bench, "T1") == FROM_B
    assert side(bench, "F1") == NOT_KNOWN
    assert side(bench, "F2") == FROM_A


def test_the_side_of_the_feed_is_not_known_while_somebody_is_silent() -> None:
    bench = Lab(feeder(TWO_FEEDERS, ("BB1", "BB2"), LOADS))
    me = bench.brains[bench.net.device_index["R11"]]
    me.peer_lost(bench.net.device_index["T1"], bench.now)  # open, and closes with our grant only
    assert side(bench, "R11") == FROM_A
    me.peer_lost(bench.net.device_index["F1"], bench.now)
    assert side(bench, "R11") == NOT_KNOWN
    assert side(bench, "L12") == FROM_A

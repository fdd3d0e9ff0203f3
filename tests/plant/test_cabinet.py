"""The brain of a breaker's IED and of a conventional relay."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from radial_feeder import radial

from agent.logic.messages import BreakerCommand, Direction, Level, Live, Position
from scl.topology import NeutralMode
from simulator.ieds.cabinet import HURRY_US, REPEAT_US, Cabinet, Coil, Retained
from simulator.ieds.relay import Relay
from simulator.plant.fault import Fault
from simulator.plant.network import Network
from simulator.plant.sequence import Complex

NOW = 1_800_000_000_000_000
LATER = NOW + 1_000_000


def awake(position: Position = Position.OPEN) -> Cabinet:
    cabinet = Cabinet(Retained(False, 3))
    cabinet.moved(position, NOW)
    cabinet.order(BreakerCommand(close_number=3), NOW)
    return cabinet


def test_a_growing_number_closes_once() -> None:
    cabinet = awake()
    order = BreakerCommand(close_number=4, close_expiry_us=LATER)
    outcome = cabinet.order(order, NOW + 10)
    assert outcome.coils == (Coil.CLOSE,)
    assert outcome.retain
    assert cabinet.retained == Retained(False, 4)
    for k in range(5):
        assert cabinet.order(order, NOW + 100 + k).coils == ()


def test_first_order_after_a_start_moves_nothing_but_trips() -> None:
    cabinet = Cabinet(Retained(False, 3))
    cabinet.moved(Position.OPEN, NOW)
    assert cabinet.order(BreakerCommand(close_number=9, close_expiry_us=LATER), NOW).coils == ()
    closed = Cabinet(Retained(False, 3))
    closed.moved(Position.CLOSED, NOW)
    assert closed.order(BreakerCommand(trip=True, close_number=3), NOW).coils == (Coil.OPEN,)


def test_what_speaks_against_a_close() -> None:
    good = BreakerCommand(close_number=4, close_expiry_us=LATER)
    cases = [
        (awake(), good._replace(block_close=True), NOW),
        (awake(), good._replace(trip=True), NOW),
        (awake(), good, LATER),
        (awake(position=Position.CLOSED), good, NOW),
        (awake(position=Position.INTERMEDIATE), good, NOW),
        (awake(), good._replace(close_number=2), NOW),
    ]
    local = awake()
    local.switch_local(True)
    cases.append((local, good, NOW))
    for cabinet, order, now in cases:
        assert Coil.CLOSE not in cabinet.order(order, now).coils
        # A refused order is spent.
        assert Coil.CLOSE not in cabinet.order(order._replace(trip=False, block_close=False), now).coils


def test_trip_is_repeated_until_open_and_then_reported() -> None:
    cabinet = awake(position=Position.CLOSED)
    trip = BreakerCommand(trip=True, close_number=3, block_close=True)
    assert cabinet.order(trip, NOW).coils == (Coil.OPEN,)
    assert cabinet.order(trip, NOW + 4000).coils == ()
    assert cabinet.deadline == NOW + REPEAT_US
    assert cabinet.timer(NOW + REPEAT_US).coils == (Coil.OPEN,)
    cabinet.moved(Position.INTERMEDIATE, NOW + REPEAT_US + 1)
    cabinet.moved(Position.OPEN, NOW + 48_000)
    assert cabinet.deadline is None
    assert cabinet.status.position is Position.OPEN
    assert cabinet.status.blocked
    assert cabinet.status.operations == 1  # open; the first contact position is no operation
    # Closed by hand while the trip stands: it opens again.
    assert cabinet.moved(Position.CLOSED, NOW + 90_000).coils == (Coil.OPEN,)


def test_a_mechanism_that_does_not_arrive_is_not_healthy() -> None:
    cabinet = awake(position=Position.CLOSED)
    cabinet.order(BreakerCommand(trip=True, close_number=3), NOW)
    cabinet.timer(NOW + HURRY_US)
    assert not cabinet.status.healthy
    cabinet.moved(Position.OPEN, NOW + HURRY_US + 1)
    assert cabinet.status.healthy


def test_block_is_retained_and_unreadable_means_blocked() -> None:
    cabinet = awake()
    assert cabinet.order(BreakerCommand(close_number=3, block_close=True), NOW).retain
    assert cabinet.retained == Retained(True, 3)
    assert Cabinet(Retained(True, 3)).status.blocked
    unreadable = Cabinet(None)
    assert unreadable.status.blocked
    unreadable.moved(Position.OPEN, NOW)
    assert unreadable.status.live_a is Live.UNKNOWN


@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.integers(0, 6),
            st.booleans(),
            st.booleans(),
            st.sampled_from(list(Position)),
            st.booleans(),
        ),
        max_size=30,
    )
)
def test_it_never_closes_against_its_rules(story: list[tuple[bool, int, bool, bool, Position, bool]]) -> None:
    cabinet = Cabinet(Retained(False, 2))
    now, heard, highest = NOW, False, 2
    for trip, number, block, expired, position, local in story:
        now += 5000
        cabinet.moved(position, now)
        cabinet.switch_local(local)
        healthy = cabinet.status.healthy
        expiry = now if expired else now + 1
        outcome = cabinet.order(BreakerCommand(trip, number, expiry, block), now)
        if Coil.CLOSE in outcome.coils:
            assert heard
            assert number > highest
            assert (trip, block, expired, local) == (False,) * 4
            assert position is Position.OPEN
            assert healthy
        heard, highest = True, number
        assert cabinet.status.blocked == block


def _phasors(at: str, kind: str) -> tuple[Complex, Complex]:
    """Calm and faulted channels of device R."""
    network = Network(radial())
    closed = np.ones((2, 3), dtype=bool)

    def channels(faults: list[Fault]) -> Complex:
        s = network.solve(closed, faults)
        amps, volts = s.device_a[1], s.node_v[network.device_node_a[1]]
        return np.concatenate([amps, [amps.sum()], volts, [volts.sum()]])

    return channels([]), channels([Fault("f", at, kind)])


def test_relay_flags_level_and_direction_one_cycle_later() -> None:
    feeder = radial(NeutralMode.SOLID)
    for kind in ("ag", "bc", "bcg", "abc"):
        relay = Relay(feeder.devices[1], 50.0, 10.0, True)
        calm, fault = _phasors("L2", kind)
        relay.see(calm, 0.0, NOW)
        relay.timer(NOW + 20_000)
        relay.see(fault, 0.0, NOW + 100_000)
        assert not relay.timer(NOW + 119_999)
        assert relay.timer(NOW + 120_000)
        assert (relay.level, relay.direction) == (Level.PICKUP, Direction.INTO_B)
        relay.see(np.concatenate([-fault[:4], fault[4:]]), 0.0, NOW + 200_000)
        relay.timer(NOW + 220_000)
        assert relay.direction is Direction.INTO_A
        relay.see(calm, 0.0, NOW + 300_000)
        relay.timer(NOW + 320_000)
        assert (relay.level, relay.direction) == (Level.QUIET, Direction.NONE)


def test_relay_ignores_inrush_and_knows_no_direction_without_memory() -> None:
    feeder = radial()
    relay = Relay(feeder.devices[1], 50.0, 10.0, False)
    fault = _phasors("L2", "abc")[1]
    relay.see(fault, 2000.0, NOW)
    relay.timer(NOW + 20_000)
    assert relay.level is Level.QUIET
    fresh = Relay(feeder.devices[1], 50.0, 10.0, False)
    fresh.see(fault, 0.0, NOW)
    fresh.timer(NOW + 20_000)
    assert (fresh.level, fresh.direction) == (Level.PICKUP, Direction.UNKNOWN)

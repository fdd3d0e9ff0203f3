"""Whatever arrives in whatever order: a locked-out or tagged device is never ordered to close."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.logic.brain import LOCKED_UNREADABLE, Brain
from agent.logic.messages import (
    BreakerStatus,
    Command,
    CommandKind,
    Direction,
    Level,
    Live,
    LockRecord,
    Measurement,
    Operate,
    Position,
    Publish,
    Report,
    Request,
    RequestKind,
)
from tests.logic.lab import feeder
from tests.logic.test_brain import LOADS, TWO_FEEDERS

NET = feeder(TWO_FEEDERS, ("BB1", "BB2"), LOADS)
COUNT = len(NET.devices)
TIME = st.integers(0, 10_000_000)
ZONES = st.integers(0, 2 ** len(NET.zones) - 1)
REQUESTS = st.builds(
    Request, st.integers(0, 5), st.sampled_from(RequestKind), ZONES, st.floats(0, 5000), st.floats(0, 5000),
    st.integers(0, 2**COUNT - 1),
)  # fmt: skip
REPORTS = st.builds(
    Report, st.sampled_from(Position), st.sampled_from(Level), st.sampled_from(Direction), TIME, TIME, TIME,
    st.floats(0, 9000), st.sampled_from(Live), st.sampled_from(Live), st.floats(-900, 900), st.floats(-900, 900),
    st.integers(0, 9), ZONES, TIME, st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.booleans(),
    st.booleans(), st.booleans(), st.booleans(), REQUESTS,
    st.lists(st.tuples(st.integers(0, COUNT - 1), st.integers(0, 900)), max_size=4).map(tuple),
)  # fmt: skip
MEASUREMENTS = st.builds(
    Measurement, st.sampled_from(Level), st.sampled_from(Direction), TIME, TIME, TIME, st.floats(0, 9000),
    st.booleans(), st.floats(-900, 900), st.floats(-900, 900), st.sampled_from(Live), st.booleans(),
)  # fmt: skip
STATUSES = st.builds(
    BreakerStatus, st.sampled_from(Position), st.sampled_from(Live), st.sampled_from(Live), st.booleans(),
    st.booleans(), st.booleans(), st.integers(0, 9), st.sampled_from(Level), st.sampled_from(Direction),
)  # fmt: skip
EVENTS = st.one_of(
    st.tuples(st.just("report"), st.integers(0, COUNT - 2), REPORTS),
    st.tuples(st.just("measure"), MEASUREMENTS),
    st.tuples(st.just("breaker"), STATUSES),
    st.tuples(st.just("peer_lost"), st.integers(0, COUNT - 2)),
    st.tuples(st.just("breaker_lost")),
    st.tuples(st.just("time_quality"), st.booleans()),
    st.tuples(st.just("timer")),
    st.tuples(st.just("command"), st.sampled_from([k for k in CommandKind if k is not CommandKind.RELEASE])),
)
RESTORED = st.sampled_from(
    [LOCKED_UNREADABLE, LockRecord(False, True, False, 3, 4, 5), LockRecord(True, False, False, 0, 0, 0)]
)


def step(brain: Brain, me: int, event: tuple[object, ...], now: int) -> list[object]:
    match event:
        case ("report", int(peer), Report() as report):
            return list(brain.report(peer + (peer >= me), report, now))
        case ("measure", Measurement() as measurement):
            return list(brain.measure(measurement, now))
        case ("breaker", BreakerStatus() as status):
            return list(brain.breaker(status, now))
        case ("peer_lost", int(peer)):
            return list(brain.peer_lost(peer + (peer >= me), now))
        case ("breaker_lost",):
            return list(brain.breaker_lost(now))
        case ("time_quality", bool(good)):
            return list(brain.time_quality(good, now))
        case ("command", CommandKind() as kind):
            return list(brain.command(Command(kind, 1, "scada"), now))
    return list(brain.timer(now))


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, COUNT - 1),
    RESTORED,
    st.lists(st.tuples(st.integers(1, 400_000), EVENTS), min_size=5, max_size=40),
)
def test_a_locked_device_is_never_ordered_to_close(
    me: int, restored: LockRecord, events: list[tuple[int, tuple[object, ...]]]
) -> None:
    brain = Brain(NET, me, restored=restored)
    now = 1_000_000
    actions = list(brain.start(now))
    for pause, event in events:
        now += pause
        actions += step(brain, me, event, now)
    orders = [a.command for a in actions if isinstance(a, Operate)]
    assert orders, "the first order blocks closing"
    assert all(order.block_close for order in orders)
    assert len({order.close_number for order in orders}) == 1


@settings(max_examples=300, deadline=None)
@given(st.integers(0, COUNT - 1), st.lists(st.tuples(st.integers(1, 400_000), EVENTS), min_size=5, max_size=40))
def test_no_sequence_of_events_raises_or_closes_while_blocked(
    me: int, events: list[tuple[int, tuple[object, ...]]]
) -> None:
    brain = Brain(NET, me)
    now = 1_000_000
    last_close = brain.state.close_number
    blocked = False
    actions = list(brain.start(now))
    last_close = brain.state.close_number
    for pause, event in events:
        now += pause
        for action in step(brain, me, event, now):
            if isinstance(action, Operate):
                if action.command.close_number != last_close:
                    assert (blocked, action.command.block_close, action.command.trip) == (False, False, False)
                last_close = action.command.close_number
                blocked = action.command.block_close
            if isinstance(action, Publish):
                assert len(action.report.grants) <= 4
    assert actions

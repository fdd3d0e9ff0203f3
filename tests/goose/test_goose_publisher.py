"""The publisher's state machine, by its table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.goose import codec, frame, session
from agent.goose.codec import Pdu
from agent.goose.dataset import command_data_set
from agent.goose.publisher import LATE_US, NUMBER_MAX, Publisher, State, curve, publisher_quality
from agent.logic.messages import BreakerCommand
from tests.goose.lab import KEY, NOW, stream

DATA_SET = command_data_set()
ORDER = BreakerCommand(True, 3, NOW, False)
MS = 1000


def publisher(**more: object) -> Publisher[BreakerCommand]:
    return Publisher(stream(DATA_SET), DATA_SET, KEY, **more)  # type: ignore[arg-type]


def pdu(payload: bytes | None) -> Pdu:
    assert payload is not None
    return codec.decode(frame.parse(payload).apdu)


def test_a_new_state_is_repeated_after_4_16_100_and_1000_ms() -> None:
    p = publisher()
    assert p.state is State.SILENT
    assert p.deadline is None
    assert p.timer(NOW) is None
    first = pdu(p.publish(ORDER, NOW))
    assert (first.st_num, first.sq_num, first.t.microseconds) == (1, 1, NOW)
    assert (first.ttl_ms, first.conf_rev, first.nds_com, first.simulation) == (2500, 10001, False, False)
    assert p.state is State.BURST
    at = NOW
    for number, interval in enumerate((4, 16, 100, 1000, 1000, 1000), 2):
        at += interval * MS
        assert p.deadline == at
        assert p.timer(at - 1) is None
        again = pdu(p.timer(at))
        assert again == first._replace(sq_num=number)
    assert p.state is State.STEADY
    second = pdu(p.publish(ORDER._replace(trip=False), at + 5))
    assert (second.st_num, second.sq_num, second.t.microseconds) == (2, 0, at + 5)
    assert p.state is State.BURST
    assert p.deadline == at + 5 + 4 * MS


def test_a_mark_is_continued_without_the_restart_numbers() -> None:
    p = publisher(first_st_num=5001)
    first = pdu(p.publish(ORDER, NOW))
    assert (first.st_num, first.sq_num, p.st_num) == (5001, 0, 5001)


def test_numbers_roll_over_to_one() -> None:
    p = publisher(first_st_num=NUMBER_MAX)
    assert pdu(p.publish(ORDER, NOW)).st_num == NUMBER_MAX
    assert pdu(p.publish(ORDER, NOW)).st_num == 1
    p._sq_num = NUMBER_MAX
    assert p.deadline is not None
    assert pdu(p.timer(p.deadline)).sq_num == 1


def test_t_never_goes_back() -> None:
    p = publisher()
    times = [pdu(p.publish(ORDER, now)).t.microseconds for now in (NOW, NOW, NOW - 10_000_000, NOW + 50)]
    assert times == sorted(set(times))


def test_a_late_timer_sends_once_and_a_clock_set_back_does_not_silence() -> None:
    p = publisher()
    p.publish(ORDER, NOW)
    late = NOW + 1_500 * MS
    assert pdu(p.timer(late)).sq_num == 2
    assert p.timer(late) is None
    assert p.deadline is not None
    assert p.deadline > late
    p.timer(NOW)
    assert p.deadline <= NOW + 1000 * MS


def test_a_publisher_that_was_stopped_tells_its_state_anew() -> None:
    """Its repetitions would look old: their age follows from sqNum."""
    p = publisher()
    first = pdu(p.publish(ORDER, NOW))
    late = NOW + 60_000 * MS
    again = pdu(p.timer(late))
    assert (again.st_num, again.sq_num, again.t.microseconds) == (2, 0, late)
    assert again.data == first.data
    assert p.state is State.BURST
    assert p.deadline == late + 4 * MS


def test_quality_of_time_simulation_and_commissioning_are_told() -> None:
    p = publisher(simulation=True, nds_com=True)
    assert not pdu(p.publish(ORDER, NOW)).t.quality & 0x60
    p.quality = 0x93
    assert pdu(p.publish(ORDER, NOW)).t.quality == 0x93
    p.quality = publisher_quality(False, 0x93)
    assert (p.quality, publisher_quality(True, 0xB3)) == (0xB3, 0x93)
    payload = p.publish(ORDER, NOW)
    assert not pdu(payload).t.synchronised
    assert pdu(payload).simulation
    assert pdu(payload).nds_com
    assert frame.parse(payload).simulation


def test_routed_streams_are_datagrams_with_growing_numbers() -> None:
    p = Publisher(stream(DATA_SET, routed=True), DATA_SET, KEY)
    numbers = [session.parse(p.publish(ORDER, NOW)).number for _ in range(3)]
    assert numbers == [1, 2, 3]


@pytest.mark.parametrize(
    ("least", "most", "expected"),
    [
        (4, 1000, (4, 16, 100, 1000)),
        (2, 1000, (2, 8, 32, 128, 512, 1000)),
        (1000, 1000, (1000,)),
        (10, 15, (10, 15)),
    ],
)
def test_curves(least: int, most: int, expected: tuple[int, ...]) -> None:
    assert curve(least, most) == expected


@pytest.mark.parametrize(("least", "most"), [(0, 1000), (5, 4)])
def test_impossible_curves_are_refused(least: int, most: int) -> None:
    with pytest.raises(ValueError, match="retransmission"):
        curve(least, most)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4_000_000)), max_size=60))
def test_numbers_and_time_to_live_hold_under_any_calls(calls: list[tuple[bool, int]]) -> None:
    """Same state: sqNum grows by one; new state: stNum by one; never two frames without a cause."""
    p, now, last = publisher(), NOW, None
    for new, step in calls:
        now += step
        late = p.deadline is not None and now - p.deadline > LATE_US
        payload = p.publish(ORDER, now) if new else p.timer(now)
        if payload is None:
            continue
        sent = pdu(payload)
        if last is not None:
            anew = new or late
            assert (sent.st_num, sent.sq_num) == ((last.st_num + 1, 0) if anew else (last.st_num, last.sq_num + 1))
            assert (sent.t == last.t) is not anew
        assert p.deadline is not None
        assert now < p.deadline <= now + sent.ttl_ms * MS // 2
        last = sent

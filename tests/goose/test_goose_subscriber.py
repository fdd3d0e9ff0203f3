"""The subscriber's state machine, row by row, and an attacker who owns the wire."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.goose.codec import Data, Kind, Pdu, UtcTime, encode, utc_time
from agent.goose.dataset import command_data_set
from agent.goose.frame import Envelope
from agent.goose.layout import FORMS
from agent.goose.publisher import Publisher
from agent.goose.stream import Stream
from agent.goose.subscriber import Accepted, Drop, Dropped, Heard, Lost, Mark, Policy, Subscriber
from agent.logic.messages import BreakerCommand
from agent.security.frames import Algorithm, Key
from tests.goose.lab import KEY, NOW, stream

DATA_SET = command_data_set()
STREAM = stream(DATA_SET)
S = 1_000_000
TRIP = BreakerCommand(True, 0, 0, True)
REST = BreakerCommand()
OTHER = Key(7, Algorithm.HMAC_SHA256_128, bytes(32))


def pdu(st_num: int = 1, sq_num: int = 1, t: int = NOW, trip: bool = True, **change: Any) -> Pdu:
    values = DATA_SET.to_values(TRIP if trip else REST)
    data = tuple(
        Data(FORMS[kind].kind, value, FORMS[kind].size) for kind, value in zip(DATA_SET.b_types, values, strict=True)
    )
    made = Pdu(
        STREAM.gocb_ref,
        2500,
        STREAM.dat_set,
        STREAM.go_id,
        utc_time(t),
        st_num,
        sq_num,
        False,
        STREAM.conf_rev,
        False,
        data,
    )
    return made._replace(**change)


def seal(made: Pdu, key: Key | None = KEY, simulation: bool = False, appid: int = STREAM.appid) -> bytes:
    return Envelope(STREAM.destination, bytes(6), appid, simulation=simulation, key=key).seal(encode(made))


def subscriber(**more: Any) -> Subscriber[BreakerCommand]:
    return Subscriber(STREAM, DATA_SET, (KEY,), **more)


def reason(result: object) -> Drop | bool:
    """Whether new, or why not."""
    if isinstance(result, Accepted):
        return result.new
    assert isinstance(result, Dropped)
    return result.reason


def hear(heard: Subscriber[BreakerCommand], made: Pdu, now: int) -> Drop | bool:
    return reason(heard.receive(seal(made), now))


def test_news_and_repetitions() -> None:
    s = subscriber()
    result = s.receive(seal(pdu()), NOW + 100)
    assert isinstance(result, Accepted)
    assert result.message == TRIP
    assert (result.new, result.head.st_num, result.head.t_us) == (True, 1, NOW)
    assert hear(s, pdu(sq_num=2), NOW + 4000) is False
    assert hear(s, pdu(sq_num=5), NOW + 5000) is False
    assert hear(s, pdu(st_num=2, sq_num=0, t=NOW + 6000, trip=False), NOW + 6000) is True
    assert s.counters == {"accepted": 2, "repeated": 2}
    assert s.mark == Mark(2, NOW + 6000, 0)


def test_duplicates_and_disorder_are_dropped() -> None:
    s = subscriber()
    hear(s, pdu(sq_num=5), NOW)
    assert hear(s, pdu(sq_num=5), NOW) is Drop.DUPLICATE
    assert hear(s, pdu(sq_num=4), NOW) is Drop.OUT_OF_ORDER
    assert hear(s, pdu(sq_num=6), NOW) is False


def test_a_lost_first_frame_of_a_new_state_does_not_lose_the_state() -> None:
    s = subscriber()
    hear(s, pdu(), NOW)
    assert hear(s, pdu(st_num=9, sq_num=3, t=NOW + S), NOW + S) is True


def test_numbers_roll_over() -> None:
    s = subscriber()
    hear(s, pdu(st_num=0xFFFFFFFF, sq_num=0xFFFFFFFF), NOW)
    assert hear(s, pdu(st_num=0xFFFFFFFF, sq_num=1), NOW) is False
    assert hear(s, pdu(st_num=1, sq_num=0, t=NOW + 1), NOW + 1) is True


def test_an_older_state_is_a_replay() -> None:
    s = subscriber()
    old = pdu(st_num=4, sq_num=0)
    hear(s, old, NOW)
    hear(s, pdu(st_num=5, sq_num=0, t=NOW + S, trip=False), NOW + S)
    assert hear(s, old, NOW + 2 * S) is Drop.REPLAYED
    assert hear(s, old._replace(sq_num=9), NOW + 2 * S) is Drop.REPLAYED


def test_t_may_not_change_within_a_state() -> None:
    s = subscriber()
    hear(s, pdu(sq_num=2), NOW)
    assert hear(s, pdu(sq_num=3, t=NOW + 1), NOW + 1) is Drop.T_CHANGED
    assert hear(s, pdu(sq_num=3, t=NOW - 1), NOW + 1) is Drop.REPLAYED


def test_a_state_withheld_from_before_an_unseen_restart_is_a_replay() -> None:
    s = subscriber()
    hear(s, pdu(st_num=5, sq_num=0), NOW)
    withheld = pdu(st_num=7, sq_num=0, t=NOW + S)
    # The publisher restarts and its first five states are lost.
    assert hear(s, pdu(st_num=6, sq_num=0, t=NOW + 2 * S), NOW + 2 * S) is True
    assert hear(s, withheld, NOW + 3 * S) is Drop.REPLAYED


@pytest.mark.parametrize("number", [1, 2, 5000])
def test_a_restarted_publisher_is_accepted_by_its_newer_time(number: int) -> None:
    s = subscriber()
    hear(s, pdu(st_num=number, sq_num=7), NOW)
    assert hear(s, pdu(st_num=1, sq_num=1, t=NOW + S), NOW + S) is True
    # Frames from before the restart are not "ahead" again, although their stNum is.
    assert hear(s, pdu(st_num=number + 1, sq_num=0, t=NOW + S // 2), NOW + S + 1) is Drop.REPLAYED
    assert hear(s, pdu(st_num=2, sq_num=0, t=NOW + 2 * S), NOW + 2 * S) is True


def test_without_authentication_a_restart_waits_for_the_time_to_live() -> None:
    s = Subscriber(STREAM, DATA_SET, None)
    assert reason(s.receive(seal(pdu(st_num=9), None), NOW)) is True
    restart = seal(pdu(t=NOW + S), None)
    assert reason(s.receive(restart, NOW + S)) is Drop.REPLAYED
    assert s.timer(NOW + 3 * S) is not None
    assert reason(s.receive(restart, NOW + 3 * S)) is True


def test_silence_is_loss_once_and_what_comes_after_is_news() -> None:
    s = subscriber()
    assert s.deadline is None
    assert not s.alive
    hear(s, pdu(), NOW)
    assert s.deadline == NOW + 2_500_000
    assert s.timer(NOW + 2_499_999) is None
    assert s.alive
    assert s.timer(NOW + 2_500_000) == Lost(NOW)
    assert s.timer(NOW + 9 * S) is None
    assert not s.alive
    assert hear(s, pdu(sq_num=8), NOW + 6 * S) is True
    assert s.alive


def test_dropped_frames_do_not_keep_a_stream_alive() -> None:
    s = subscriber()
    hear(s, pdu(), NOW)
    for _ in range(3):
        hear(s, pdu(), NOW + 2 * S)
        s.receive(seal(pdu(sq_num=2), OTHER), NOW + 2 * S)
    assert s.timer(NOW + 2_500_000) is not None


def test_age_is_checked_for_news_with_what_repetitions_take_added() -> None:
    assert hear(subscriber(), pdu(sq_num=0), NOW + 10 * S) is True
    assert hear(subscriber(), pdu(sq_num=0), NOW + 10 * S + 1) is Drop.STALE
    assert hear(subscriber(), pdu(sq_num=1), NOW - 500_000) is True
    assert hear(subscriber(), pdu(sq_num=1), NOW - 500_001) is Drop.FUTURE
    # A quiet hour: the state is old, the frame is not.
    assert hear(subscriber(), pdu(sq_num=3600), NOW + 3600 * S) is True
    # The same frame an hour later is a replay to a subscriber that starts then.
    assert hear(subscriber(), pdu(sq_num=3600), NOW + 7300 * S) is Drop.STALE


def test_after_a_loss_old_frames_do_not_revive_a_stream() -> None:
    s = subscriber()
    hear(s, pdu(sq_num=1), NOW)
    s.timer(NOW + 5 * S)
    assert hear(s, pdu(sq_num=2), NOW + 60 * S) is Drop.STALE
    assert hear(s, pdu(sq_num=60), NOW + 60 * S) is True


def test_a_bad_clock_of_ours_suspends_the_age_check_only() -> None:
    s = subscriber()
    s.time_good = False
    assert hear(s, pdu(st_num=5), NOW + 3600 * S) is True
    assert s.counters["age-unchecked"] == 1
    assert hear(s, pdu(st_num=5), NOW + 3600 * S) is Drop.DUPLICATE
    assert hear(s, pdu(st_num=4, t=NOW + S), NOW + 3600 * S) is Drop.REPLAYED
    assert s.receive(seal(pdu(st_num=6), OTHER), NOW) == Dropped(Drop.BAD_MAC)


def test_a_publisher_without_a_clock_is_still_heard_and_never_taken_back() -> None:
    s = subscriber()
    boot = UtcTime(100, 0, 0x20)
    assert hear(s, pdu(st_num=5)._replace(t=boot), NOW) is True
    assert hear(s, pdu(st_num=6)._replace(t=UtcTime(101, 0, 0x20)), NOW) is True
    assert hear(s, pdu(st_num=2)._replace(t=UtcTime(102, 0, 0x20)), NOW) is Drop.REPLAYED


def test_a_restored_mark_leaves_no_window_after_our_restart() -> None:
    mark = Mark(50, NOW)
    assert hear(subscriber(mark=mark), pdu(st_num=49, t=NOW - S), NOW + S) is Drop.REPLAYED
    assert hear(subscriber(mark=mark), pdu(st_num=50, sq_num=2), NOW + S) is True
    assert hear(subscriber(mark=mark), pdu(st_num=51, t=NOW + S), NOW + S) is True
    assert hear(subscriber(mark=mark), pdu(st_num=1, t=NOW + S), NOW + S) is True


def test_a_recording_from_before_our_restart_is_a_replay_after_it() -> None:
    before = subscriber()
    recorded = [pdu(st_num=50, sq_num=sq) for sq in range(5)]
    for number, made in enumerate(recorded):
        assert hear(before, made, NOW + number * S) is (number == 0)
    s = subscriber(mark=before.mark)
    for made in recorded:
        # Young enough for the age limit: only the mark keeps it out.
        assert hear(subscriber(), made, NOW + 5 * S) is True
        assert hear(s, made, NOW + 5 * S) is Drop.REPLAYED
    assert s.counters == {"replayed": 5}
    assert not s.alive
    # The publisher itself goes on where it was.
    assert hear(s, pdu(st_num=50, sq_num=5), NOW + 5 * S) is True
    assert hear(s, pdu(st_num=50, sq_num=5), NOW + 5 * S) is Drop.DUPLICATE


def test_repetitions_of_an_old_state_leave_the_age_limit_room_that_the_mark_closes() -> None:
    """A day of repetitions at a second each may have taken 2 % more: half an hour, without a mark."""
    day = 86_400
    recorded = pdu(st_num=50, sq_num=day)
    late = NOW + (day + 1200) * S
    assert hear(subscriber(), recorded, late) is True
    assert hear(subscriber(mark=Mark(50, NOW)), recorded, late) is True
    assert hear(subscriber(mark=Mark(50, NOW, day)), recorded, late) is Drop.REPLAYED


def reborn(behind_us: int, first: int, heard: Subscriber[BreakerCommand], now: int) -> tuple[list[Drop | bool], int]:
    """A publisher starts anew with its clock behind and repeats its state until it is heard."""
    publisher = Publisher(STREAM, DATA_SET, KEY, first_st_num=first)
    results = [reason(heard.receive(publisher.publish(REST, now - behind_us), now))]
    while results[-1] is Drop.REPLAYED:
        assert publisher.deadline is not None
        now = publisher.deadline + behind_us
        payload = publisher.timer(now - behind_us)
        assert payload is not None
        results.append(reason(heard.receive(payload, now)))
    return results, now


@pytest.mark.parametrize("restored", [False, True])
@pytest.mark.parametrize("first", [1, 50, 100_000])
@pytest.mark.parametrize("behind_us", [0, 2_000, 400_000, 3_000_000])
def test_a_publisher_whose_clock_came_back_behind_is_heard_after_a_while(
    behind_us: int, first: int, restored: bool
) -> None:
    s = subscriber()
    hear(s, pdu(st_num=50, sq_num=0), NOW)
    withheld = [pdu(st_num=st, sq_num=3, t=NOW - 100_000) for st in (2, 49, 51, 100_001)]
    if restored:
        s = subscriber(mark=s.mark)
    else:
        s.timer(NOW + 3 * S)
    began = NOW + 200_000
    results, now = reborn(behind_us, first, s, began)
    assert results[-1] is True
    assert (len(results) == 1) == (behind_us < 200_000)
    assert now - began <= behind_us + 17 * S
    # What it said before its restart stays out, and what it says from now on is heard.
    assert [hear(s, made, now) for made in withheld] == [Drop.REPLAYED] * 4
    assert hear(s, pdu(st_num=first + 1, sq_num=0, t=now + S - behind_us), now + S) is True


def test_a_mark_from_the_future_leaves_it_to_the_age() -> None:
    """Somebody's clock was a year ahead when the mark was made: right time must not be shut out for a year."""
    mark = Mark(50, NOW + 365 * 86_400 * S, 4)
    for st_num in (1, 50, 51):
        s = subscriber(mark=mark)
        assert hear(s, pdu(st_num=st_num, t=NOW - 12 * S), NOW) is Drop.STALE
        assert hear(s, pdu(st_num=st_num), NOW) is True
        assert s.mark == Mark(st_num, NOW, 1)
        assert hear(s, pdu(st_num=st_num, t=NOW - S), NOW) is Drop.REPLAYED
    # Without a clock of our own there is nothing to tell it from.
    s = subscriber(mark=mark)
    s.time_good = False
    assert hear(s, pdu(st_num=51), NOW) is Drop.REPLAYED


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"", Drop.SHORT),
        (bytes(60), Drop.FOREIGN),
        (bytes(2000), Drop.OVERSIZED),
        (seal(pdu(), None), Drop.UNAUTHENTICATED),
        (seal(pdu(), OTHER), Drop.BAD_MAC),
        (seal(pdu(), Key(8, Algorithm.HMAC_SHA256_128, KEY.secret)), Drop.UNKNOWN_KEY),
        (seal(pdu(), Key(7, Algorithm.HMAC_SHA256_80, KEY.secret)), Drop.BAD_MAC),
        (seal(pdu(), appid=1), Drop.FOREIGN),
        (seal(pdu(gocb_ref="X/LLN0$GO$y")), Drop.FOREIGN),
        (seal(pdu(dat_set="X/LLN0$y")), Drop.DATA_SET),
        (seal(pdu(go_id="y")), Drop.DATA_SET),
        (seal(pdu(go_id=None)), Drop.DATA_SET),
        (seal(pdu(conf_rev=1)), Drop.CONF_REV),
        (seal(pdu(conf_rev=1, data=(Data(Kind.BOOLEAN, True),))), Drop.CONF_REV),
        (seal(pdu(data=(Data(Kind.BOOLEAN, True),))), Drop.DATA_SET),
        (seal(pdu(nds_com=True)), Drop.NEEDS_COMMISSIONING),
        (seal(pdu(simulation=True)), Drop.SIMULATED),
        (seal(pdu(), simulation=True), Drop.SIMULATED),
        (seal(pdu(ttl_ms=0)), Drop.NO_TIME_TO_LIVE),
        (seal(pdu(data=(pdu().data[0], Data(Kind.INTEGER, -1, 4), *pdu().data[2:]))), Drop.BAD_VALUE),
    ],
)
def test_what_is_not_ours_is_counted_by_cause_and_changes_nothing(payload: bytes, expected: Drop) -> None:
    s = subscriber()
    assert reason(s.receive(payload, NOW)) is expected
    assert s.counters == {expected.value: 1}
    assert s.deadline is None
    assert s.mark is None
    assert hear(s, pdu(), NOW) is True


def test_every_bit_of_the_authenticated_part_matters() -> None:
    s = subscriber()
    good = seal(pdu())
    for at in range(12, len(good)):
        damaged = bytearray(good)
        damaged[at] ^= 1
        result = s.receive(bytes(damaged), NOW)
        # The extension's own version and key times are not covered; they change nothing.
        if 12 + 10 + len(encode(pdu())) + 3 <= at < 12 + 10 + len(encode(pdu())) + 9:
            continue
        assert isinstance(result, Dropped), at
    s = subscriber()
    assert hear(s, pdu(), NOW) is True


def test_simulation_mode() -> None:
    s = subscriber()
    hear(s, pdu(st_num=7, trip=False), NOW)
    s.simulation = True
    # Until a simulated frame comes, the real ones count (IEC 61850-7-1).
    assert hear(s, pdu(st_num=7, sq_num=2, trip=False), NOW) is False
    simulated = seal(pdu(st_num=1, simulation=True), simulation=True)
    result = s.receive(simulated, NOW)
    assert isinstance(result, Accepted)
    assert result.message == TRIP
    assert hear(s, pdu(st_num=7, sq_num=3, trip=False), NOW) is Drop.NOT_SIMULATED
    s.simulation = False
    assert s.receive(simulated, NOW) == Dropped(Drop.SIMULATED)
    result = s.receive(seal(pdu(st_num=7, sq_num=4, trip=False)), NOW)
    assert isinstance(result, Accepted)
    assert (result.message, result.new) == (REST, True)


def test_what_a_supervisor_is_told_follows_the_newest_frame() -> None:
    heard = subscriber()
    assert heard.heard == Heard(False, False, False)
    hear(heard, pdu(1), NOW)
    assert heard.heard == Heard(True, False, False)
    for wrong in (pdu(2, nds_com=True), pdu(2, conf_rev=STREAM.conf_rev + 1)):
        hear(heard, wrong, NOW + S)
        assert heard.heard == Heard(True, False, True)
        hear(heard, pdu(1, 2 if wrong.nds_com else 3), NOW + S)
        assert heard.heard == Heard(True, False, False)
    heard.timer(NOW + 60 * S)
    assert heard.heard == Heard(False, False, False)
    heard.simulation = True
    assert reason(heard.receive(seal(pdu(1, t=NOW + 61 * S), simulation=True), NOW + 61 * S)) is True
    assert heard.heard == Heard(True, True, False)


def test_a_huge_time_to_live_is_limited() -> None:
    s = subscriber(policy=Policy(max_ttl_us=4 * S))
    hear(s, pdu(ttl_ms=0xFFFFFFFF), NOW)
    assert s.deadline == NOW + 4 * S


@pytest.mark.parametrize("routed", [False, True])
@given(st.data())
@settings(max_examples=40)
def test_an_attacker_on_the_wire_makes_nothing_believed_that_was_not_just_sent(
    routed: bool, data: st.DataObject
) -> None:
    """Frames are lost, delayed, repeated, reordered and damaged; states come in order and none is old."""
    made: Stream = stream(DATA_SET, routed)
    publisher, heard = Publisher(made, DATA_SET, KEY), Subscriber(made, DATA_SET, (KEY,))
    now, number, wire, last = NOW, 0, [], -1
    for _ in range(data.draw(st.integers(1, 40))):
        now += data.draw(st.integers(0, 2_000_000))
        match data.draw(
            st.sampled_from(("new", "timer", "deliver", "deliver", "damage", "restart", "silence", "ours"))
        ):
            case "new":
                number += 1
                wire.append(publisher.publish(BreakerCommand(False, number), now))
            case "timer" if (payload := publisher.timer(now)) is not None:
                wire.append(payload)
            case "deliver" if wire:
                result = heard.receive(data.draw(st.sampled_from(wire)), now)
                if isinstance(result, Accepted):
                    told = result.message.close_number
                    assert told >= last
                    assert result.new or told == last
                    assert now - result.head.t_us <= (result.head.sq_num * 1.02 + 10) * S or not result.new
                    last = told
            case "damage" if wire:
                payload = bytearray(data.draw(st.sampled_from(wire)))
                payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
                result = heard.receive(bytes(payload), now)
                if isinstance(result, Accepted):  # only outside of the authenticated part
                    assert result.message.close_number >= last
                    last = result.message.close_number
            case "restart":
                now += 10_000  # it takes a moment
                number += 1
                publisher = Publisher(made, DATA_SET, KEY)
                wire.append(publisher.publish(BreakerCommand(False, number), now))
            case "ours":
                heard = Subscriber(made, DATA_SET, (KEY,), mark=heard.mark)
            case "silence":
                now += 5 * S
                heard.timer(now)
    assert last <= number


@given(st.binary(max_size=300))
def test_any_payload_is_dropped_with_a_reason(payload: bytes) -> None:
    for routed in (False, True):
        made = stream(DATA_SET, routed)
        for keys in (None, (KEY,)):
            assert isinstance(Subscriber(made, DATA_SET, keys).receive(payload, NOW), Dropped)

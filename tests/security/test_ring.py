"""Keys in time: one publisher, one subscriber, clocks that differ, and a key that is replaced under way."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.goose import frame, session
from agent.goose.dataset import report_data_set
from agent.goose.publisher import Publisher
from agent.goose.subscriber import Accepted, Subscriber
from agent.security.frames import Algorithm, FrameError, Key, make_key, parse_extension
from agent.security.ring import EVER, MINUTES_MAX, KeyGroup
from tests.goose.lab import NOW, REPORT, stream

S = 1_000_000
DAY = 86_400 * S


def key(number: int, begins: int | None = None, ends: int | None = None, algorithm: str = "AES_GMAC_128") -> Key:
    """Begin and end in seconds after NOW."""
    size = 32 if algorithm.startswith("HMAC") or "256" in algorithm else 16
    return make_key(
        number, Algorithm[algorithm], bytes((number,)) * size, "g",
        valid_from_us=None if begins is None else NOW + begins * S,
        valid_until_us=None if ends is None else NOW + ends * S,
    )  # fmt: skip


def cause(group: KeyGroup, number: int, now: int) -> str:
    try:
        group.find(number, now)
    except FrameError as error:
        return error.cause
    return ""


def test_the_laboratory_file_has_no_times() -> None:
    """The first one signs, all verify, for ever."""
    group = KeyGroup([key(3), key(1), key(2)])
    for now in (0, NOW, NOW + 100 * 365 * DAY):
        period = group.period(now)
        assert (period.key.identifier, period.time_to_next_min, period.until_us) == (3, 0, EVER)
        assert [cause(group, number, now) for number in (1, 2, 3, 4)] == ["", "", "", "unknown-key"]


def test_next_current_previous_expired() -> None:
    group = KeyGroup([key(1), key(2, 0), key(3, 600)], grace_s=60)
    story = [
        # seconds, who signs, minutes to the next, what key 1, 2 and 3 are
        (-100_000_000, 1, MINUTES_MAX, "", "", ""),
        (-61, 1, 2, "", "", ""),
        (-60, 1, 1, "", "", ""),
        (-1, 1, 1, "", "", ""),
        (0, 2, 10, "", "", ""),
        (59, 2, 10, "", "", ""),
        (60, 2, 9, "expired-key", "", ""),
        (599, 2, 1, "expired-key", "", ""),
        (600, 3, 0, "expired-key", "", ""),
        (659, 3, 0, "expired-key", "", ""),
        (660, 3, 0, "expired-key", "expired-key", ""),
    ]
    for at, signs, minutes, *causes in story:
        now = NOW + at * S
        period = group.period(now)
        assert (period.key.identifier, period.time_to_next_min) == (signs, minutes), at
        assert [cause(group, number, now) for number in (1, 2, 3)] == causes, at


def test_an_end_without_a_successor() -> None:
    """It signs on: a publisher that falls silent would be no safer. The hearer does not believe it any more."""
    group = KeyGroup([key(1, -50, 0)], grace_s=5)
    for at, what in ((-60, ""), (-1, ""), (0, ""), (4, ""), (5, "expired-key")):
        assert group.signing(NOW + at * S).identifier == 1
        assert cause(group, 1, NOW + at * S) == what
    assert cause(group, 1, 0) == "", "no time, no judgement"


def test_a_gap_is_bridged_by_the_next() -> None:
    group = KeyGroup([key(1, -50, 0), key(2, 10, 20)])
    assert [group.signing(NOW + at * S).identifier for at in (-60, -1, 0, 9, 10, 19, 20, 99)] == [
        1,
        1,
        2,
        2,
        2,
        2,
        2,
        2,
    ]


times = st.none() | st.integers(-500, 500)


@given(
    st.lists(st.tuples(times, times), min_size=1, max_size=5), st.lists(st.integers(-900, 900), min_size=1), st.data()
)
def test_a_period_is_right_all_the_time(
    spans: list[tuple[int | None, int | None]], moments: list[int], data: st.DataObject
) -> None:
    """What is remembered for a period is what would have been found out at any moment of it."""
    keys = [key(n, a, b if b is None or a is None or b > a else a + 1) for n, (a, b) in enumerate(spans, 1)]
    group = KeyGroup(keys, grace_s=10)
    for at in moments:
        now = NOW + at * S
        period = group.period(now)
        assert period.since_us <= now < period.until_us
        later = data.draw(st.integers(now, min(period.until_us - 1, now + 1000 * S)))
        assert group.period(later)[:2] == period[:2]
        assert cause(group, period.key.identifier, now) in ("", "expired-key")


@pytest.mark.parametrize("routed", [False, True], ids=["layer 2", "session"])
@settings(max_examples=30, deadline=None)
@given(
    before=st.sampled_from(["HMAC_SHA256_128", "AES_GMAC_64", "AES_GMAC_128"]),
    after=st.sampled_from(["HMAC_SHA256_80", "AES_GMAC_128", "AES_GMAC_64", "AES_128_GCM", "AES_256_GCM"]),
    ahead_ms=st.integers(-450, 400),
    dated=st.booleans(),
)
def test_a_roll_over_loses_no_frame(routed: bool, before: str, after: str, ahead_ms: int, dated: bool) -> None:
    """Repetitions and new states over the change, the publisher's clock ahead or behind by nearly half a second."""
    if not routed and "GCM" in after:
        after = "AES_GMAC_64"
    keys = [key(1, -1000 if dated else None, None, before), key(2, 0, None, after)]
    data_set = report_data_set(8, 8)
    told = stream(data_set, routed)
    publisher = Publisher(told, data_set, KeyGroup(keys, grace_s=2))
    subscriber = Subscriber(told, data_set, KeyGroup(keys, grace_s=2))
    seen: Counter[int] = Counter()
    frames = 0
    for step in range(-300, 300):
        now = NOW + step * 10_000
        theirs = now + ahead_ms * 1000
        payload = (
            publisher.timer(theirs)
            if step % 37 and frames
            else publisher.publish(REPORT._replace(claim_number=step + 300), theirs)
        )
        if payload is None:
            continue
        frames += 1
        result = subscriber.receive(payload, now)
        assert isinstance(result, Accepted), (step, result)
        seen[_identifier(payload, routed)] += 1
        assert _identifier(payload, routed) == (1 if theirs < NOW else 2)
    assert frames > 30
    assert min(seen[1], seen[2]) > 10
    assert subscriber.counters["accepted"] + subscriber.counters["repeated"] == frames


def _identifier(payload: bytes, routed: bool) -> int:
    if routed:
        return int.from_bytes(payload[22:26], "big")
    return parse_extension(frame.parse(payload).extension).key


@pytest.mark.parametrize("routed", [False, True], ids=["layer 2", "session"])
def test_who_never_changes_is_dropped_after_the_grace(routed: bool) -> None:
    """A device that did not get the new key, and one whose clock stands still."""
    keys = [key(1), key(2, 0)]
    data_set = report_data_set(8, 8)
    told = stream(data_set, routed)
    old = Publisher(told, data_set, keys[0])
    subscriber = Subscriber(told, data_set, KeyGroup(keys, grace_s=20))
    for at in (-1, 0, 19):
        assert isinstance(subscriber.receive(old.publish(REPORT, NOW + at * S), NOW + at * S), Accepted)
    payload = old.publish(REPORT, NOW + 20 * S)
    assert subscriber.receive(payload, NOW + 20 * S) == ("expired-key",)
    subscriber.time_good = False  # then nobody knows what time it is
    assert isinstance(subscriber.receive(payload, NOW + 20 * S), Accepted)
    assert subscriber.counters["expired-key"] == 1


@pytest.mark.parametrize("routed", [False, True], ids=["layer 2", "session"])
def test_the_times_on_the_wire(routed: bool) -> None:
    """TimeOfCurrentKey is when the signing key's time came, TimeToNextKey counts the minutes down."""
    group = KeyGroup([key(1, -600, None, "HMAC_SHA256_128"), key(2, 0)])
    data_set = report_data_set(8, 8)
    publisher = Publisher(stream(data_set, routed), data_set, group)
    told = []
    for at in (-150, -121, -120, -61, -60, -1, 0, 100):
        payload = publisher.publish(REPORT, NOW + at * S)
        if routed:
            time, minutes = int.from_bytes(payload[16:20], "big"), int.from_bytes(payload[20:22], "big")
        else:
            time, minutes = parse_extension(frame.parse(payload).extension)[:2]
        told.append((time - NOW // S, minutes))
    assert told == [(-600, 3), (-600, 3), (-600, 2), (-600, 2), (-600, 1), (-600, 1), (0, 0), (0, 0)]


def test_a_clock_that_is_set_back_takes_the_old_key_again() -> None:
    group = KeyGroup([key(1), key(2, 0)])
    envelope = session.SessionEnvelope(1, key=group)
    found = [int.from_bytes(envelope.seal(b"\x61\x00", NOW + at * S)[22:26], "big") for at in (-5, 5, -5, 5)]
    assert found == [1, 2, 1, 2]

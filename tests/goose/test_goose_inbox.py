"""The doorman: it rings for what is new, keeps everything, and cannot be talked into looking away."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator

import pytest

from agent.goose.dataset import report_data_set
from agent.goose.endpoint import Endpoint
from agent.goose.inbox import Inbox
from agent.goose.link import Received
from agent.goose.publisher import Publisher
from agent.goose.subscriber import Subscriber
from agent.logic.messages import Level, Report, Request
from agent.security.frames import Algorithm, Key
from agent.security.ring import KeyGroup
from agent.station.wire import ASKED
from tests.goose.lab import KEY, REPORT, stream

QUIET = REPORT._replace(level=Level.QUIET, request=Request(), claim_zones=0)


class Wire:
    """A link whose far end the test holds."""

    address = b"\x02\0\0\0\0\x01"

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.near.setblocking(False)

    def fileno(self) -> int:
        return self.near.fileno()

    def send(self, payload: bytes, group: str = "") -> bool:
        self.near.send(payload)
        return True

    def receive(self) -> list[Received]:
        raise AssertionError("the inbox reads")

    def close(self) -> None:
        self.near.close()


class Bench:
    """One publisher, and an endpoint that hears it through an inbox."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.inbox = Inbox(self.wire)
        data_set = report_data_set(12, 12)
        self.publisher: Publisher[Report] = Publisher(stream(data_set), data_set, KEY)
        subscriber: Subscriber[Report] = Subscriber(stream(data_set), data_set, (KEY,))
        self.endpoint = Endpoint(self.inbox, (), (subscriber,), {0: ASKED})
        self.now = self.clock()

    @staticmethod
    def clock() -> int:
        import time

        return time.time_ns() // 1000

    def publish(self, report: Report) -> bytes:
        payload = self.publisher.publish(report, self.clock())
        self.wire.far.send(payload)
        return payload

    def repeat(self) -> None:
        due = self.publisher.deadline
        assert due is not None
        payload = self.publisher.timer(due)
        assert payload is not None
        self.wire.far.send(payload)

    def rings(self) -> bool:
        """Does the wait end before its time?"""
        return self.inbox.wait(0.1) == [self.wire.fileno()]

    def taken(self) -> int:
        """Frames that were taken in, whether anyone has looked or not."""
        return self.inbox.counters()["taken"]

    def news(self) -> list[Report]:
        return [heard.result.message for heard in self.endpoint.receive() if heard.result.new]


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.inbox.close()
    bench.wire.far.close()


def test_a_new_state_rings_and_its_repetition_waits(bench: Bench) -> None:
    bench.publish(QUIET)
    assert bench.rings()
    assert bench.news() == [QUIET]
    bench.repeat()
    assert not bench.rings()
    assert bench.taken() == 2
    assert [heard.result.new for heard in bench.endpoint.receive()] == [False], "kept, and accepted as a repetition"


def test_what_waits_is_taken_along_in_order(bench: Bench) -> None:
    bench.publish(QUIET)
    assert bench.rings()
    bench.news()
    bench.repeat()
    bench.repeat()
    bench.publish(REPORT)
    assert bench.rings()
    assert [heard.result.new for heard in bench.endpoint.receive()] == [False, False, True]


def test_relaxed_only_requests_of_far_devices_ring(bench: Bench) -> None:
    bench.publish(QUIET)
    assert bench.rings()
    bench.news()
    bench.inbox.relax(True)
    bench.publish(QUIET._replace(p_kw=7.0, level=Level.PICKUP))
    assert not bench.rings()
    assert bench.taken() == 2
    asks = QUIET._replace(request=Request(5, zones=1))
    bench.publish(asks)
    assert bench.rings()
    assert [report.request.number for report in bench.news()] == [0, 5]
    bench.inbox.relax(False)
    bench.publish(asks._replace(p_kw=9.0))
    assert bench.rings(), "not relaxed, everything new rings"


def test_a_forged_frame_changes_nothing_of_what_is_expected(bench: Bench) -> None:
    """Somebody sends what is about to come, with a wrong code: the real one must ring all the same."""
    bench.publish(QUIET)
    assert bench.rings()
    bench.news()
    real = bench.publisher.publish(REPORT, bench.clock())
    bench.wire.far.send(real[:-1] + bytes((real[-1] ^ 1,)))
    assert bench.rings()
    assert bench.news() == []
    bench.wire.far.send(real)
    assert bench.rings()
    assert bench.news() == [REPORT]


def test_frames_of_any_length_do_no_harm(bench: Bench) -> None:
    for size in (0, 1, 13, 60, 1514, 2032, 2033, 9000):
        bench.wire.far.send(bytes(size))
    bench.publish(QUIET)
    assert bench.rings()
    assert bench.taken() == 9
    assert bench.news() == [QUIET]
    assert bench.inbox.counters()["oversized"] == 2


def test_a_flood_is_bounded_and_what_comes_after_it_is_heard(bench: Bench) -> None:
    bench.publish(QUIET)
    assert bench.rings()
    bench.news()
    for _ in range(5000):
        try:
            bench.wire.far.send(bytes(64), socket.MSG_DONTWAIT)
        except BlockingIOError:  # as a kernel does: what does not fit is lost
            bench.endpoint.receive()
    for _ in range(100):
        bench.endpoint.receive()
    bench.publish(REPORT)
    assert bench.rings()
    for _ in range(20):
        if REPORT in bench.news():
            return
        bench.rings()
    raise AssertionError("not heard")


def test_a_stream_that_cannot_be_is_refused(bench: Bench) -> None:
    with pytest.raises(ValueError, match="stream 300"):
        bench.inbox.stream(300, bytes(50), None)
    with pytest.raises(ValueError, match="stream 0 of 2000 octets"):
        bench.inbox.stream(0, bytes(2000), None)


def test_other_descriptors_end_the_wait_until_they_are_not_watched_any_more(bench: Bench) -> None:
    bell = os.eventfd(0, os.EFD_NONBLOCK)
    bench.inbox.watch(bell)
    os.eventfd_write(bell, 1)
    assert bench.inbox.wait(0.1) == [bell]
    bench.publish(QUIET)
    assert set(bench.inbox.wait(0.1)) == {bell, bench.wire.fileno()}
    assert bench.news() == [QUIET]
    bench.inbox.unwatch(bell)
    assert bench.inbox.wait(0.02) == []
    os.close(bell)
    with pytest.raises(OSError, match="Bad file descriptor"):
        bench.inbox.watch(bell)


def test_a_repetition_does_not_hide_another_descriptor(bench: Bench) -> None:
    bell = os.eventfd(0, os.EFD_NONBLOCK)
    bench.inbox.watch(bell)
    bench.publish(QUIET)
    assert bench.rings()
    bench.news()
    for _ in range(3):
        bench.repeat()
    os.eventfd_write(bell, 1)
    assert bench.inbox.wait(0.1) == [bell]
    assert [heard.result.new for heard in bench.endpoint.receive()] == [False] * 3
    os.close(bell)


def test_a_signal_ends_the_wait_so_that_its_handler_runs(bench: Bench) -> None:
    heard = []
    before = signal.signal(signal.SIGALRM, lambda number, _: heard.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert bench.inbox.wait(5.0) == []
        assert heard == [signal.SIGALRM]
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_socket_closed_by_somebody_else_burns_nothing(bench: Bench) -> None:
    bench.publish(QUIET)
    assert bench.rings()
    bench.wire.near.close()
    before = time.process_time()
    assert bench.inbox.wait(0.5) == []
    assert time.process_time() - before < 0.25


def test_new_keys_open_what_waits_anew(bench: Bench) -> None:
    """A frame came under a key that the endpoint does not have yet; before anyone has looked the keys are exchanged."""
    other = Key(2, Algorithm.HMAC_SHA256_128, bytes(range(32)), "flisr")
    bench.publisher.rekey(other)
    bench.publish(QUIET)
    assert bench.rings()
    bench.endpoint.rekey(KeyGroup((KEY, other)))
    assert bench.news() == [QUIET]

"""The protection loop over real descriptors, with the real brain and a wire made of two socket pairs."""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.core.protection import Element, Phasors
from agent.goose.inbox import Inbox
from agent.goose.known import Heard, Mark
from agent.goose.link import Received
from agent.logic.brain import Brain
from agent.logic.messages import BreakerCommand, BreakerStatus, Level, LockRecord, Measurement, Position, Report
from agent.station import channel, snapshot, supervisor
from agent.station.engine import Engine
from agent.station.protection import Loop, clock
from tests.station.test_engine import FEEDER


class Inside:
    """The near end, as a link: the waiter reads it."""

    address = b""

    def __init__(self, near: socket.socket) -> None:
        self.near = near

    def fileno(self) -> int:
        return self.near.fileno()

    def send(self, payload: bytes, group: str = "") -> bool:
        raise AssertionError("the loop sends by publish and operate")

    def receive(self) -> list[Received]:
        raise AssertionError("the waiter reads")

    def close(self) -> None:
        self.near.close()


class FakeWire:
    """Frames are one octet: b = breaker closed, o = open, p = the peer is well."""

    def __init__(self) -> None:
        self.inside, self.outside = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.inside.setblocking(False)
        self.waiter = Inbox(Inside(self.inside))
        self.orders: list[BreakerCommand] = []
        self.reports: list[tuple[int, Report]] = []
        self.deadline: int | None = None
        self.fired: list[int] = []
        self.restored = 0
        self.heard = {"F1_AGFLISR/LLN0$GO$gcbFlisr": Mark(7, 1_800_000_000_000_000, 3)}

    def receive(self, engine: Engine, refresh: Callable[[int], None]) -> bool:
        taken = self.waiter.receive()
        for frame, _, _ in taken:
            now = clock()
            refresh(now)
            if frame in (b"b", b"o"):
                engine.breaker(BreakerStatus(Position.CLOSED if frame == b"b" else Position.OPEN), now)
            elif frame == b"p":
                engine.peer(0, Report(Position.CLOSED, Level.QUIET, ready=True, upto_us=now), now)
            else:
                raise ValueError("what is this")
        return bool(taken)

    def relax(self, on: bool) -> bool:
        return False

    def operate(self, command: BreakerCommand, now: int) -> None:
        self.orders.append(command)

    def publish(self, report: Report, now: int) -> None:
        self.reports.append((clock(), report))

    def timer(self, now: int, engine: Engine) -> None:
        if self.deadline is not None and now >= self.deadline:
            self.fired.append(now - self.deadline)
            self.deadline = None

    def time_quality(self, good: bool, quality: int | None = None) -> None:
        self.time_good = good

    def numbers(self) -> dict[str, int]:
        return {"gcbFlisr": 4}

    def marks(self) -> dict[str, Mark]:
        return self.heard

    def subscriptions(self) -> tuple[Heard, ...]:
        return (Heard(True, False, False), Heard(True, False, False))

    def counters(self) -> dict[str, int]:
        return {"received": 3, "restored": self.restored}


class FakeCore:
    def __init__(self) -> None:
        self.bell = os.eventfd(0, os.EFD_NONBLOCK)
        self.state = Measurement(current_zero=False)

    def fileno(self) -> int:
        return self.bell

    def drain(self) -> None:
        os.eventfd_read(self.bell)

    def measurement(self) -> Measurement:
        return self.state._replace(upto_us=clock() - 1500)

    def counters(self) -> dict[str, int]:
        return {"frames": 7}

    def phasors(self) -> Phasors:
        none = (0j,) * 4
        return Phasors((210 + 0j, *none[1:]), none, (0.0,) * 4, (0.0,) * 4, (0.0,) * 4, 1, 1, 50.0, False, Element(0))

    def adjust(self, phase_pickup_a: float, earth_pickup_a: float) -> bool:
        return True

    def block(self, last: int) -> bytes:
        return b"s" * 40 * min(last, 10)

    def show(self, state: Measurement) -> None:
        self.state = state
        os.eventfd_write(self.bell, 1)


class Running:
    def __init__(self, directory: Path, restored: LockRecord | None = None) -> None:
        self.wire = FakeWire()
        self.core = FakeCore()
        self.directory = directory
        self.loop = Loop(
            lambda record: Brain(FEEDER, 1, restored=record),
            restored, self.wire, self.core, directory, "digest", True, [],
        )  # fmt: skip
        self.status: list[int] = []
        self.thread = threading.Thread(target=lambda: self.status.append(self.loop.run()))
        self.thread.start()

    def attach(self) -> supervisor.Attachment:
        found = supervisor.attach(self.directory, "digest")
        assert found is not None
        return found

    def end(self) -> None:
        self.loop.stop()
        self.thread.join(5)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    deep = tmp_path / ("a deep directory " * 10) / "x"
    deep.mkdir(parents=True)
    process = Running(deep)
    yield process
    process.end()
    assert process.status == [0]


def events_of(attachment: supervisor.Attachment) -> list[str]:
    names = []
    while (entry := attachment.segment.take()) is not None:
        names.append(json.loads(entry)[0])
    return names


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)


def message(attachment: supervisor.Attachment, kind: str) -> dict[str, object]:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            found = channel.receive(attachment.link)
        except BlockingIOError:
            time.sleep(0.002)
            continue
        assert found is not None
        if found["t"] == kind:
            return found
    raise AssertionError(f"no {kind}")


def test_frames_reach_the_brain_and_state_reaches_the_sibling(running: Running) -> None:
    attachment = running.attach()
    running.wire.outside.send(b"b")
    running.wire.outside.send(b"p")
    until(lambda: any(report.ready for _, report in running.wire.reports))

    def shown() -> bool:
        data = attachment.segment.read_snapshot()
        return data is not None and snapshot.decode(data).report.ready

    until(shown)
    data = attachment.segment.read_snapshot()
    assert data is not None
    picture = snapshot.decode(data)
    assert picture.breaker.position is Position.CLOSED
    assert picture.peers[0].fresh
    assert picture.numbers == {"gcbFlisr": 4}
    assert picture.marks == running.wire.heard
    assert picture.counters["sv_frames"] == 7
    names = events_of(attachment)
    assert names[0] == "started"
    assert "ready" in names
    attachment.close()


def test_latch_goes_to_the_sibling_and_again_to_its_successor(running: Running) -> None:
    first = running.attach()
    channel.send(first.link, {"t": "command", "kind": 4, "id": 11, "origin": "test", "local": True})
    latch = message(first, "latch")
    assert message(first, "result")["accepted"] is True
    first.close()  # the station process dies before it has written
    second = running.attach()
    again = message(second, "latch")
    assert again == latch
    channel.send(second.link, {"t": "latched", "serial": again["serial"], "ok": True})
    assert running.thread.is_alive()
    second.close()


def test_the_last_picture_of_a_stop_has_the_last_marks(running: Running) -> None:
    attachment = running.attach()
    until(lambda: attachment.segment.read_snapshot() is not None)
    running.wire.heard = {"F1_AGFLISR/LLN0$GO$gcbFlisr": Mark(8, 1_800_000_000_000_001, 0)}
    channel.send(attachment.link, {"t": "stop"})
    running.thread.join(5)
    data = attachment.segment.read_snapshot()
    assert data is not None
    assert snapshot.decode(data).marks == running.wire.heard
    attachment.close()


def test_a_newer_sibling_replaces_the_older(running: Running) -> None:
    first = running.attach()
    second = running.attach()
    until(lambda: _ended(first))
    channel.send(second.link, {"t": "samples", "count": 5})
    size = message(second, "samples")["size"]
    assert second.segment.read_samples(int(str(size))) == b"s" * 200
    first.close()
    second.close()


def _ended(attachment: supervisor.Attachment) -> bool:
    try:
        return channel.receive(attachment.link) is None
    except BlockingIOError:
        return False


def test_another_configuration_is_not_attached_to(running: Running) -> None:
    with pytest.raises(supervisor.OtherConfigurationError):
        supervisor.attach(running.directory, "another")


def test_a_defect_of_the_shell_is_recorded_and_survived(running: Running) -> None:
    attachment = running.attach()
    running.wire.outside.send(b"?")
    seen: list[str] = []
    until(lambda: seen.extend(events_of(attachment)) or "shell_error" in seen)  # type: ignore[func-returns-value]
    running.wire.outside.send(b"b")
    until(lambda: seen.extend(events_of(attachment)) or "position" in seen)  # type: ignore[func-returns-value]
    channel.send(attachment.link, {"t": "command", "kind": "nonsense", "id": 3})
    assert message(attachment, "result")["accepted"] is False
    attachment.close()


class Refusing:
    """A waiter that the system lets down three times."""

    def __init__(self, whole: Inbox) -> None:
        self.whole = whole
        self.left = 3

    def fileno(self) -> int:
        return self.whole.fileno()

    def watch(self, descriptor: int) -> None:
        self.whole.watch(descriptor)

    def unwatch(self, descriptor: int) -> None:
        self.whole.unwatch(descriptor)

    def wait(self, timeout_s: float) -> list[int]:
        if self.left:
            self.left -= 1
            raise OSError(errno.ENXIO, "no such device")
        return self.whole.wait(timeout_s)


def test_a_wait_that_the_system_refuses_is_recorded_and_survived(running: Running) -> None:
    attachment = running.attach()
    running.loop._waiter = Refusing(running.wire.waiter)
    running.wire.outside.send(b"b")
    seen: list[str] = []

    def done() -> bool:
        seen.extend(events_of(attachment))
        return seen.count("shell_error") == 3 and "position" in seen

    until(done)
    attachment.close()


def test_a_deadline_is_met_by_the_exact_timer(running: Running) -> None:
    late: list[int] = []
    for _ in range(20):
        running.wire.deadline = clock() + 3_000
        running.wire.outside.send(b"p")  # wakes the loop, which then arms its timer
        until(lambda: running.wire.deadline is None)
        late.append(running.wire.fired[-1])
    assert min(late) >= 0
    assert sorted(late)[len(late) // 2] < 50_000


def test_core_events_reach_the_brain(running: Running) -> None:
    running.wire.outside.send(b"b")
    until(lambda: bool(running.wire.reports))
    start = clock()
    running.core.show(Measurement(Level.PICKUP, start_us=start, peak_a=4000, current_zero=False))
    until(lambda: any(report.level is Level.PICKUP for _, report in running.wire.reports))

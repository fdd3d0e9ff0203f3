"""The engine with the real brain, and with a brain that raises."""

from __future__ import annotations

from collections.abc import Callable

from agent.logic.brain import LOCKED_UNREADABLE, Brain
from agent.logic.messages import (
    Action,
    BreakerCommand,
    BreakerStatus,
    Command,
    CommandKind,
    CommandResult,
    Level,
    LockRecord,
    Measurement,
    Position,
    Refusal,
    Report,
)
from agent.station.engine import FAILURES_MAX, BrainFace, Details, Engine
from scl.topology import Device, DeviceKind, Feeder, NeutralMode, Source, Zone

DEVICES = (
    Device("F1", DeviceKind.BREAKER, "n0", "n1", 0, 1, False, "F1_AG", "F1_BR", "F1_MU"),
    Device("R1", DeviceKind.BREAKER, "n1", "n2", 1, 2, False, "R1_AG", "R1_BR", "R1_MU"),
)
ZONES = (
    Zone(0, "SRC", ("n0",), (0,), sources=(0,)),
    Zone(1, "Z1", ("n1",), (0, 1)),
    Zone(2, "Z2", ("n2",), (1,)),
)
FEEDER = Feeder(
    "f", 50.0, 10.0, NeutralMode.SOLID, DEVICES, ZONES, sources=(Source("S", "n0", 0, 0.1, 0.5, 0.1, 0.5, 15_000.0),)
)


class Book:
    """An outbox that remembers."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, object]] = []
        self.results: list[CommandResult] = []
        self.latches: list[tuple[int, LockRecord]] = []
        self.names: list[str] = []

    def operate(self, command: BreakerCommand, now: int) -> None:
        self.sent.append(("operate", command))

    def publish(self, report: Report, now: int) -> None:
        self.sent.append(("publish", report))

    def latch(self, serial: int, record: LockRecord) -> None:
        self.latches.append((serial, record))

    def result(self, result: CommandResult) -> None:
        self.results.append(result)

    def event(self, name: str, t_us: int, details: Details) -> None:
        self.names.append(name)


def engine(
    restored: LockRecord | None = None, make: Callable[[LockRecord | None], BrainFace] | None = None
) -> tuple[Engine, Book]:
    book = Book()
    return Engine(make or (lambda record: Brain(FEEDER, 1, restored=record)), restored, book, lambda: 42), book


def quiet(now: int) -> Measurement:
    return Measurement(upto_us=now, current_zero=False)


def test_a_restart_with_a_latch_moves_nothing_and_stays_locked() -> None:
    for record in (LOCKED_UNREADABLE, LockRecord(True, False, False, 3, 2, 1)):
        shell, book = engine(record)
        shell.start(1_000_000)
        shell.measured(quiet(1_000_100), 1_000_100)
        shell.breaker(BreakerStatus(Position.OPEN, blocked=True), 1_000_200)
        orders = [item for kind, item in book.sent if kind == "operate"]
        assert orders
        assert all(isinstance(o, BreakerCommand) and not o.trip and o.block_close for o in orders)
        assert shell.report.locked_a
        assert "close_sent" not in book.names
        shell.command(Command(CommandKind.CLOSE, 9, "test"), 2_000_000)
        assert [(r.identifier, r.refusal) for r in book.results] == [(9, Refusal.LOCKED_OUT)]


def test_pickup_trip_and_lockout_are_stamped_after_sending() -> None:
    shell, book = engine()
    now = 10_000_000
    shell.start(now)
    shell.breaker(BreakerStatus(Position.CLOSED), now)
    for _ in range(60):
        now += 10_000
        shell.measured(quiet(now - 1000), now)
        shell.peer(0, Report(Position.CLOSED, Level.QUIET, upto_us=now - 1000, ready=True), now)
        shell.timer(now)
    start = now
    for _ in range(200):
        now += 250
        shell.measured(
            Measurement(Level.PICKUP, start_us=start, upto_us=now - 1000, peak_a=4000, current_zero=False), now
        )
        neighbour = Report(Position.CLOSED, Level.PICKUP, start_us=start, upto_us=now, peak_a=4000, ready=True)
        shell.peer(0, neighbour, now)
        shell.timer(now)
    assert "pickup_sent" in book.names
    assert "trip_sent" in book.names
    assert "lockout_announced" in book.names
    trip = next(i for i, (kind, item) in enumerate(book.sent) if isinstance(item, BreakerCommand) and item.trip)
    locked = next(i for i, (kind, item) in enumerate(book.sent) if isinstance(item, Report) and item.locked_b)
    assert trip < locked
    assert book.latches
    serial, record = book.latches[-1]
    assert record.locked_b
    assert not shell.report.latched
    shell.latched(serial - 1, True, now)
    assert not shell.report.latched
    shell.latched(serial, True, now)
    assert shell.report.latched
    assert "latched_announced" in book.names


def test_a_latch_that_nobody_answers_counts_as_not_written() -> None:
    shell, book = engine()
    shell.start(0)
    shell.command(Command(CommandKind.TAG, 1, "test", True), 1_000)
    assert len(book.latches) == 1
    assert shell.pending_latch() == book.latches[0]
    deadline = shell.deadline(2_000)
    assert deadline is not None
    shell.timer(3_000_000)
    assert shell.pending_latch() is None
    assert "not_latched" in book.names


class Raising:
    """A brain whose ``report`` raises as often as told; the rest is the real one."""

    def __init__(self, record: LockRecord | None, rope: list[int]) -> None:
        self.real = Brain(FEEDER, 1, restored=record)
        self.rope = rope

    def __getattr__(self, name: str) -> object:
        return getattr(self.real, name)

    def report(self, peer: int, report: Report, now: int) -> list[Action]:
        if self.rope[0] > 0:
            self.rope[0] -= 1
            raise RuntimeError("a defect")
        return self.real.report(peer, report, now)


def test_a_brain_that_raises_is_replaced_from_the_latch_and_refuses_meanwhile() -> None:
    rope = [1]
    shell, book = engine(make=lambda record: Raising(record, rope))  # type: ignore[arg-type, return-value]
    shell.start(0)
    shell.command(Command(CommandKind.TAG, 1, "test", True), 10)
    shell.breaker(BreakerStatus(Position.CLOSED), 20)
    book.sent.clear()
    shell.peer(0, Report(ready=True), 1_000)
    assert "brain_failed" in book.names
    kinds = [item for _, item in book.sent]
    assert isinstance(kinds[0], BreakerCommand)
    assert kinds[0].block_close
    assert isinstance(kinds[1], Report)
    assert not kinds[1].ready
    assert kinds[1].level is Level.BLIND
    assert all(not item.trip for item in kinds if isinstance(item, BreakerCommand))
    assert shell.report.tagged
    assert not shell.broken
    assert book.names.count("started") == 2


def test_a_brain_that_keeps_raising_ends_the_process() -> None:
    shell, _book = engine(make=lambda record: Raising(record, [99]))  # type: ignore[arg-type, return-value]
    shell.start(0)
    for k in range(FAILURES_MAX + 1):
        shell.peer(0, Report(), k * 1000)
    assert shell.broken
    assert shell.order.block_close


def test_a_raising_command_is_answered() -> None:
    class NoCommand(Raising):
        def command(self, command: Command, now: int) -> list[Action]:
            raise KeyError("defect")

    shell, book = engine(make=lambda record: NoCommand(record, [0]))  # type: ignore[arg-type, return-value]
    shell.start(0)
    shell.command(Command(CommandKind.CLOSE, 5, "test"), 10)
    assert [(r.identifier, r.accepted) for r in book.results] == [(5, False)]

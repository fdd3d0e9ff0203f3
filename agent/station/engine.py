"""The coupling of one brain to the world, without I/O: events in, and for each step actions to an :class:`Outbox`.

Order of a step: orders to the breaker first, then reports to the peers, then everything that can wait (latch, results,
events). After a frame has left, what it announced is put on the record with the time after the send: ``trip_sent``,
``close_sent``, ``pickup_sent``, ``claim_sent``, ``lockout_announced``, ``latched_announced``.

The brain must not raise. If it does, nothing leaves this module: the exception is recorded (``brain_failed``), a report
without readiness goes out (neighbours then count this device as uncertain), the breaker is told to refuse closing, and
a new brain starts from the last latch; a restart moves nothing. If that happens too often, :attr:`Engine.broken` is set
and the process ends in order to be started anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from agent.logic.messages import (
    Action,
    BreakerCommand,
    BreakerStatus,
    Command,
    CommandResult,
    Direction,
    Event,
    Latch,
    Level,
    LockRecord,
    Measurement,
    Operate,
    Publish,
    Refusal,
    Report,
    Request,
)

FAILURES_MAX = 3
FAILURE_WINDOW_US = 10_000_000
SPIN_GUARD_US = 100
"""A deadline in the past is served this much later: a real-time process must not spin."""
LATCH_ANSWER_US = 2_000_000
"""Without a word from the sibling for so long, a latch counts as not written."""

Detail = str | int | float | bool
Details = tuple[tuple[str, Detail], ...]


class BrainFace(Protocol):
    """What the engine needs of :class:`agent.logic.brain.Brain`."""

    @property
    def deadline(self) -> int | None: ...
    @property
    def idle(self) -> bool: ...
    @property
    def fed_from(self) -> int: ...
    def start(self, now: int) -> list[Action]: ...
    def measure(self, measurement: Measurement, now: int) -> list[Action]: ...
    def breaker(self, status: BreakerStatus, now: int) -> list[Action]: ...
    def breaker_lost(self, now: int) -> list[Action]: ...
    def report(self, peer: int, report: Report, now: int) -> list[Action]: ...
    def peer_lost(self, peer: int, now: int) -> list[Action]: ...
    def latched(self, record: LockRecord, ok: bool, now: int) -> list[Action]: ...
    def command(self, command: Command, now: int) -> list[Action]: ...
    def time_quality(self, good: bool, now: int) -> list[Action]: ...
    def timer(self, now: int) -> list[Action]: ...
    def evaluated(self, upto_us: int) -> None: ...


class Outbox(Protocol):
    """Where actions go. Sending must not raise; what cannot be sent is the implementation's to count and repeat."""

    def operate(self, command: BreakerCommand, now: int) -> None: ...
    def publish(self, report: Report, now: int) -> None: ...
    def latch(self, serial: int, record: LockRecord) -> None: ...
    def result(self, result: CommandResult) -> None: ...
    def event(self, name: str, t_us: int, details: Details) -> None: ...


class Engine:
    """See the module. ``clock`` gives UTC microseconds and is read only to stamp what was sent."""

    def __init__(
        self,
        new_brain: Callable[[LockRecord | None], BrainFace],
        restored: LockRecord | None,
        outbox: Outbox,
        clock: Callable[[], int],
    ) -> None:
        self._new_brain = new_brain
        self._outbox = outbox
        self._clock = clock
        self._brain = new_brain(restored)
        self._record = restored
        self._latch_serial = 0
        self._latch_pending: LockRecord | None = None
        self._latch_due = 0
        self._failures: list[int] = []
        self._time_good = True
        self._latest = 0
        self.broken = False
        """The brain failed too often; the process should end and be started anew."""
        self.measurement = Measurement(level=Level.BLIND)
        self.status = BreakerStatus()
        self.breaker_fresh = False
        self.report = Report()
        """What peers were last told."""
        self.order = BreakerCommand()
        """What the breaker was last told."""
        self.peers: dict[int, tuple[Report, bool]] = {}
        """Last report of each peer, and whether it is still heard."""

    @property
    def idle(self) -> bool:
        """Nothing to decide: only claims and requests of others matter at once."""
        return self._brain.idle

    @property
    def fed_from(self) -> int:
        """1: from side A, 2: from side B, 0: not known. Nothing that is decided in a fault stands on it."""
        try:
            return self._brain.fed_from
        except Exception:
            return 0

    # --- events in ---------------------------------------------------------------------------------------------------

    def _as_of(self, now: int) -> int:
        """The time of what has waited in a queue: it came before a deadline that has not been looked at yet.

        After a stall samples and frames are read first; the first of them must not find the others missing.
        """
        due = self._brain.deadline
        if due is not None and due <= now:
            now = max(self._latest, due - 1)
        self._latest = max(self._latest, now)
        return now

    def start(self, now: int) -> None:
        """Once, before anything else."""
        self._step(lambda: self._brain.start(now), now)

    def measured(self, measurement: Measurement, now: int, force: bool = False) -> None:
        """The core's newest word. Only a change (or ``force``, for load averages) wakes the brain."""
        now = self._as_of(now)
        old, self.measurement = self.measurement, measurement
        same = (
            not force
            and measurement.level is old.level
            and measurement.level < Level.START
            and measurement.live_a is old.live_a
            and measurement.current_zero is old.current_zero
            and measurement.end_us == old.end_us
            and measurement.start_us == old.start_us
            and measurement.earth_alarm is old.earth_alarm
        )
        if same:
            self._brain.evaluated(measurement.upto_us)
        else:
            self._step(lambda: self._brain.measure(measurement, now), now)

    def breaker(self, status: BreakerStatus, now: int) -> None:
        """The breaker's IED has spoken."""
        self.status = status
        self.breaker_fresh = True
        now = self._as_of(now)
        self._step(lambda: self._brain.breaker(status, now), now)

    def breaker_lost(self, now: int) -> None:
        """The breaker's IED is silent."""
        self.breaker_fresh = False
        self._step(lambda: self._brain.breaker_lost(now), now)

    def peer(self, device: int, report: Report, now: int) -> None:
        """A peer has spoken."""
        self.peers[device] = (report, True)
        now = self._as_of(now)
        self._step(lambda: self._brain.report(device, report, now), now)

    def peer_lost(self, device: int, now: int) -> None:
        """A peer is silent."""
        if device in self.peers:
            self.peers[device] = (self.peers[device][0], False)
        self._step(lambda: self._brain.peer_lost(device, now), now)

    def latched(self, serial: int, ok: bool, now: int) -> None:
        """The sibling's answer to a latch; an answer to an older one than the newest is of no interest."""
        record = self._latch_pending
        if serial == self._latch_serial and record is not None:
            self._latch_pending = None
            self._step(lambda: self._brain.latched(record, ok, now), now)

    def pending_latch(self) -> tuple[int, LockRecord] | None:
        """The latch not yet answered: to be sent again to a new sibling."""
        return None if self._latch_pending is None else (self._latch_serial, self._latch_pending)

    def command(self, command: Command, now: int) -> None:
        """An order from outside; the answer goes to :meth:`Outbox.result`."""
        self._step(lambda: self._brain.command(command, now), now, command)

    def time_quality(self, good: bool, now: int) -> None:
        """The sibling's word on the clock."""
        self._time_good = good
        self._step(lambda: self._brain.time_quality(good, now), now)

    def timer(self, now: int) -> None:
        """Look at the deadlines; cheap when none is due."""
        if self._latch_pending is not None and now >= self._latch_due:
            self.latched(self._latch_serial, False, now)
        due = self._brain.deadline
        if due is not None and now >= due:
            self._step(lambda: self._brain.timer(now), now)

    def deadline(self, now: int) -> int | None:
        """When to call :meth:`timer`; never closer than the spin guard."""
        due = self._brain.deadline
        if self._latch_pending is not None:
            due = self._latch_due if due is None else min(due, self._latch_due)
        return None if due is None else max(due, now + SPIN_GUARD_US)

    # --- actions out -------------------------------------------------------------------------------------------------

    def _step(self, step: Callable[[], list[Action]], now: int, command: Command | None = None) -> None:
        try:
            actions = step()
        except Exception as error:
            if command is not None:
                text = f"internal error: {type(error).__name__}"
                self._outbox.result(CommandResult(command.identifier, False, Refusal.UNHEALTHY, text))
            self._failed(error, now)
            return
        self._perform(actions, now)

    def _perform(self, actions: list[Action], now: int) -> None:
        sent: list[tuple[str, int]] = []
        for action in actions:
            if isinstance(action, Operate):
                old, self.order = self.order, action.command
                self._outbox.operate(action.command, now)
                if action.command.trip and not old.trip:
                    sent.append(("trip_sent", self._clock()))
                if action.command.close_expiry_us and action.command.close_number > old.close_number:
                    sent.append(("close_sent", self._clock()))
        for action in actions:
            if isinstance(action, Publish):
                told, self.report = self.report, action.report
                self._outbox.publish(action.report, now)
                sent += [(name, self._clock()) for name in announced(told, action.report)]
        for action in actions:
            if isinstance(action, Latch):
                self._latch_serial += 1
                self._latch_pending = self._record = action.record
                self._latch_due = now + LATCH_ANSWER_US
                self._outbox.latch(self._latch_serial, action.record)
            elif isinstance(action, CommandResult):
                self._outbox.result(action)
            elif isinstance(action, Event):
                self._outbox.event(action.name, action.now_us, action.details)
        for name, when in sent:
            self._outbox.event(name, when, self._timing(name))

    def _timing(self, name: str) -> Details:
        """From which sample, and which order, the announcement came."""
        if name in ("trip_sent", "pickup_sent", "claim_sent"):
            return (("start_us", self.measurement.start_us), ("upto_us", self.measurement.upto_us))
        if name == "close_sent":
            return (("number", self.order.close_number),)
        report = self.report
        return (("locked_a", report.locked_a), ("locked_b", report.locked_b), ("latched", report.latched))

    # --- a brain that raised -----------------------------------------------------------------------------------------

    def _failed(self, error: Exception, now: int) -> None:
        self._failures = [when for when in self._failures if now - when < FAILURE_WINDOW_US] + [now]
        where = ""
        trace = error.__traceback__
        while trace is not None:
            where = f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}"
            trace = trace.tb_next
        details = (("error", f"{type(error).__name__}: {error}"[:200]), ("where", where), ("alarm", True))
        self._outbox.event("brain_failed", now, details)
        # Safe: no close by anyone, no agreement kept, uncertain for the neighbours. Lock-outs stay announced.
        self.order = self.order._replace(block_close=True, close_expiry_us=0)
        self._outbox.operate(self.order, now)
        self.report = self.report._replace(
            level=Level.BLIND, direction=Direction.UNKNOWN, ready=False, automation=False, request=Request(), grants=()
        )
        self._outbox.publish(self.report, now)
        if len(self._failures) > FAILURES_MAX:
            self.broken = True
            return
        try:
            self._replace_brain(now)
        except Exception as again:
            # Not even a fresh brain works on this input: end the process, the supervisor starts it anew.
            text = f"{type(again).__name__}: {again}"[:200]
            self._outbox.event("brain_failed", now, (("error", text), ("alarm", True)))
            self.broken = True

    def _replace_brain(self, now: int) -> None:
        self._brain = self._new_brain(self._record)
        brain = self._brain
        self._perform(brain.start(now), now)
        if not self._time_good:
            self._perform(brain.time_quality(False, now), now)
        self._perform(brain.measure(self.measurement, now), now)
        if self.breaker_fresh:
            self._perform(brain.breaker(self.status, now), now)
        for device, (report, fresh) in self.peers.items():
            if fresh:
                self._perform(brain.report(device, report, now), now)


def announced(old: Report, new: Report) -> list[str]:
    """What a new report tells that the one before did not, as names of events."""
    names: list[str] = []
    if new.level is Level.PICKUP and old.level is not Level.PICKUP:
        names.append("pickup_sent")
    if new.claim_number != old.claim_number and new.claim_zones:
        names.append("claim_sent")
    if (new.locked_a and not old.locked_a) or (new.locked_b and not old.locked_b):
        names.append("lockout_announced")
    if new.latched and not old.latched:
        names.append("latched_announced")
    return names

"""The protection process: one thread that waits for GOOSE, the core's eventfd, an exact timer and the sibling.

    python -m agent.station.protection --configuration FD

The configuration arrives compiled, on an inherited descriptor. Nothing here writes a file, formats a log line or waits:
events go as JSON into a ring in shared memory, the latch and results to the station process over a socket that never
blocks. Without a station process it protects on; latches then count as not written until one attaches again.

Order inside one turn of the loop: the core's measurement is read first (so that every decision knows the newest
samples), then frames, then deadlines; orders and reports leave from inside those steps; everything else comes last.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from agent.core.protection import Phasors
from agent.goose.known import Heard, Mark
from agent.logic.messages import (
    BreakerCommand,
    Command,
    CommandKind,
    CommandResult,
    LockRecord,
    Measurement,
    Refusal,
    Report,
)
from agent.station import channel, plain, realtime
from agent.station.adjusting import AdjustedCore, Adjusting
from agent.station.config import Setting
from agent.station.engine import BrainFace, Details, Engine
from agent.station.meters import meters_of
from agent.station.rekey import RekeyedCore, RekeyedWire, Rekeying
from agent.station.shared import Segment
from agent.station.snapshot import Peer, Snapshot

POLL_US = 100_000
"""Load averages and counters are looked at this often."""
SNAPSHOT_US = 100_000
HEARTBEAT_US = 500_000
QUIET_US = 1_500
"""A snapshot takes a tenth of a millisecond: none is taken when a deadline is closer than this …"""
CALM_US = 20_000
"""… or news came less than this ago."""
ERRORS_MAX = 20
BROKEN = 70
"""Exit status after too many internal errors (EX_SOFTWARE): the supervisor starts anew."""


class Core(RekeyedCore, AdjustedCore, Protocol):
    """What the loop needs of :class:`agent.core.protection.ProtectionCore`."""

    def fileno(self) -> int: ...
    def drain(self) -> None: ...
    def measurement(self) -> Measurement: ...
    def counters(self) -> dict[str, int]: ...
    def phasors(self) -> Phasors: ...
    def block(self, last: int) -> bytes: ...


class Waiter(Protocol):
    """What the loop needs of :class:`agent.goose.inbox.Inbox`."""

    def fileno(self) -> int: ...
    def watch(self, descriptor: int) -> None: ...
    def unwatch(self, descriptor: int) -> None: ...
    def wait(self, timeout_s: float) -> list[int]: ...


class Wire(RekeyedWire, Protocol):
    """What the loop needs of :class:`agent.station.wire.StationWire`."""

    @property
    def waiter(self) -> Waiter: ...
    def receive(self, engine: Engine, refresh: Callable[[int], None]) -> bool: ...
    def relax(self, on: bool) -> bool: ...
    def operate(self, command: BreakerCommand, now: int) -> None: ...
    def publish(self, report: Report, now: int) -> None: ...
    def timer(self, now: int, engine: Engine) -> None: ...
    @property
    def deadline(self) -> int | None: ...
    def time_quality(self, good: bool, quality: int | None = None) -> None: ...
    def numbers(self) -> dict[str, int]: ...
    def marks(self) -> dict[str, Mark]: ...
    def counters(self) -> dict[str, int]: ...
    def subscriptions(self) -> tuple[Heard, ...]: ...


def clock() -> int:
    """UTC microseconds."""
    return time.time_ns() // 1000


class Loop:
    """The process's one loop; also the :class:`agent.station.engine.Outbox`."""

    def __init__(
        self,
        new_brain: Callable[[LockRecord | None], BrainFace],
        restored: LockRecord | None,
        wire: Wire,
        core: Core | None,
        directory: Path,
        digest: str,
        time_good: bool,
        limits: list[str],
        setting: Setting | None = None,
        refuses: Callable[[Setting], str] = lambda _setting: "",
    ) -> None:
        self._wire = wire
        self._core = core
        self._digest = digest
        self._limits = tuple(limits)
        self._segment = Segment.create()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._ring = False
        self._server = channel.listen(directory / channel.NAME)
        self._sibling: socket.socket | None = None
        self._timer = realtime.Timer()
        self._waiter = wire.waiter
        self._handlers: dict[int, Callable[[int], None]] = {self._waiter.fileno(): self._on_frames}
        self._running = True
        self._armed = 0
        self._touched = True
        self._poll_at = 0
        self._snapshot_taken = 0
        self._news_at = 0
        self._errors = 0
        self._late_max = 0
        self._late_sum = 0
        self._late_count = 0
        self._turns = 0
        self._woken_at = 0
        self._busy_max = 0
        self._rekeying = Rekeying(wire, core, self.event)
        self._adjusting = Adjusting(core, setting, refuses, self.event)
        self._engine = Engine(new_brain, restored, self, clock)
        self._time_good = time_good

    # --- outbox ------------------------------------------------------------------------------------------------------

    def operate(self, command: BreakerCommand, now: int) -> None:
        """Order to the breaker's IED, onto the wire."""
        self._wire.operate(command, now)

    def publish(self, report: Report, now: int) -> None:
        """Report to the peers, onto the wire."""
        self._wire.publish(report, now)

    def latch(self, serial: int, record: LockRecord) -> None:
        """To the sibling; if there is none, the engine waits and then counts it as not written."""
        self._tell({"t": "latch", "serial": serial, "record": plain.dump(record)})

    def result(self, result: CommandResult) -> None:
        """The answer to an order, to the sibling."""
        self._tell(
            {
                "t": "result",
                "id": result.identifier,
                "accepted": result.accepted,
                "refusal": int(result.refusal),
                "text": result.text,
            }
        )

    def event(self, name: str, t_us: int, details: Details) -> None:
        """Into the ring."""
        self._segment.put(json.dumps((name, t_us, details), separators=(",", ":")).encode())
        self._ring = True

    def _tell(self, message: dict[str, Any]) -> None:
        if self._sibling is not None and not channel.send(self._sibling, message):
            self._drop_sibling()

    # --- the loop ----------------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Until told to stop; the exit status."""
        now = self._poll_at = clock()
        for sentence in self._limits:
            self.event("limit", now, (("why", sentence),))
        self._watch(self._timer.fileno(), self._on_timer)
        self._watch(self._server.fileno(), self._on_server)
        if self._core is not None:
            self._watch(self._core.fileno(), self._on_core)
        self._engine.start(now)
        if not self._time_good:
            self._wire.time_quality(False)
            self._engine.time_quality(False, now)
        while self._running:
            self._turn()
            if self._engine.broken or self._errors > ERRORS_MAX:
                self._finish()
                return BROKEN
        self.event("stopped", clock(), ())
        self._snapshot_taken = 0
        self._show(clock())
        self._finish()
        return 0

    def stop(self) -> None:
        """Leave the loop after this turn."""
        self._running = False

    def _turn(self) -> None:
        # A turn that only took in repetitions moves no deadline forward: the timer stays as it is.
        if self._touched:
            self._touched = False
            self._arm()
        if self._woken_at:
            self._busy_max = max(self._busy_max, clock() - self._woken_at)
        # The timer descriptor always fires in time; the limit only guards against a clock that was set back.
        try:
            ready = self._waiter.wait(1.0)
        except OSError as error:
            # On record, and too many of them end the process; the core and the deadlines are looked at meanwhile.
            self._error(error)
            self._touched, ready = True, []
        self._woken_at = clock()
        self._turns += 1
        if self._core is not None and len(ready) > 1:
            core = self._core.fileno()
            ready.sort(key=lambda descriptor: descriptor != core)
        for descriptor in ready:
            handler = self._handlers.get(descriptor)
            if handler is None:
                continue
            self._touched |= handler != self._on_frames
            try:
                handler(descriptor)
            except Exception as error:
                self._touched = True
                self._error(error)
        now = clock()
        if self._touched or not ready or now >= self._armed:
            self._touched = True
            try:
                self._deadlines(now)
            except Exception as error:
                self._error(error)
        if self._ring:
            self._ring = False
            with contextlib.suppress(OSError):
                os.eventfd_write(self._bell, 1)

    def _error(self, error: Exception) -> None:
        """A defect of the shell: recorded; too many end the process."""
        self._errors += 1
        trace, where = error.__traceback__, ""
        while trace is not None:
            where = f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}"
            trace = trace.tb_next
        details = (("error", f"{type(error).__name__}: {error}"[:200]), ("where", where), ("alarm", True))
        self.event("shell_error", clock(), details)

    def _arm(self) -> None:
        now = clock()
        deadline = self._poll_at
        for other in (self._engine.deadline(now), self._wire.deadline):
            if other is not None and other < deadline:
                deadline = other
        self._armed = deadline
        self._timer.arm(deadline)

    def _deadlines(self, now: int) -> None:
        self._refresh(now)
        looks = now >= self._poll_at or self._poll_at - now > POLL_US
        due = self._engine.deadline(now)
        silent = self._wire.deadline
        if looks or (due is not None and due - now < QUIET_US) or (silent is not None and silent <= now):
            # What arrived while the handlers ran, or could wait, counts: a decision by deadline is made on an empty
            # queue, and nobody is silent whose frame is there.
            self._take_in()
        self._engine.timer(now)
        self._wire.timer(now, self._engine)
        if looks:
            self._poll_at = now + POLL_US
            if self._core is not None:
                self._engine.measured(self._core.measurement(), now, force=True)
            self._errors = max(0, self._errors - 1) if self._turns % 64 == 0 else self._errors
            self._rekeying.go_on(now)
            self._adjusting.go_on(now, self._engine.idle)
        if self._wire.relax(self._engine.idle):
            self._take_in()
        self._show(now)

    def _take_in(self) -> None:
        self._wire.receive(self._engine, self._refresh)

    def _refresh(self, now: int) -> None:
        if self._core is not None:
            self._engine.measured(self._core.measurement(), now)

    def _show(self, now: int) -> None:
        """Write the snapshot when it is time and nothing is urgent."""
        since = now - self._snapshot_taken
        if 0 <= since < SNAPSHOT_US:
            return
        due = self._engine.deadline(now)
        urgent = (due is not None and due - now < QUIET_US) or 0 <= now - self._news_at < CALM_US
        if urgent and 0 <= since < HEARTBEAT_US:
            return
        self._snapshot_taken = now
        engine = self._engine
        counters = self._wire.counters()
        if self._core is not None:
            counters.update({f"sv_{name}": value for name, value in self._core.counters().items()})
        counters.update(
            turns=self._turns,
            events_dropped=self._segment.dropped,
            shell_errors=self._errors,
            busy_max_us=self._busy_max,
            timer_late_max_us=self._late_max,
            timer_late_mean_us=self._late_sum // max(1, self._late_count),
        )
        peers = tuple(Peer(device, fresh, report) for device, (report, fresh) in sorted(engine.peers.items()))
        snapshot = Snapshot(
            now, engine.report, engine.measurement, engine.status, engine.breaker_fresh, engine.order,
            due or 0, peers, self._wire.numbers(), counters, self._limits, self._wire.marks(),
            self._wire.subscriptions(), None if self._core is None else meters_of(self._core.phasors()),
            self._adjusting.group, engine.fed_from, engine.idle,
        )  # fmt: skip
        self._segment.write_snapshot(snapshot.encode())

    # --- descriptors -------------------------------------------------------------------------------------------------

    def _watch(self, descriptor: int, handler: Callable[[int], None]) -> None:
        self._handlers[descriptor] = handler
        self._waiter.watch(descriptor)

    def _unwatch(self, descriptor: int) -> None:
        if self._handlers.pop(descriptor, None) is not None:
            self._waiter.unwatch(descriptor)

    def _on_timer(self, _descriptor: int) -> None:
        self._timer.acknowledge()
        late = clock() - self._armed
        if late >= 0:
            self._late_max = max(self._late_max, late)
            self._late_sum += late
            self._late_count += 1

    def _on_core(self, _descriptor: int) -> None:
        assert self._core is not None
        self._core.drain()
        self._news_at = clock()
        self._engine.measured(self._core.measurement(), self._news_at)

    def _on_frames(self, _descriptor: int) -> None:
        if self._wire.receive(self._engine, self._refresh):
            self._touched = True
            self._news_at = clock()

    # --- the sibling -------------------------------------------------------------------------------------------------

    def _on_server(self, _descriptor: int) -> None:
        try:
            link, _ = self._server.accept()
        except OSError:
            return
        link.setblocking(False)
        self._drop_sibling()
        hello = {"t": "hello", "pid": os.getpid(), "digest": self._digest}
        if not channel.send(link, hello, (self._segment.fd, self._bell)):
            link.close()
            return
        self._sibling = link
        self._watch(link.fileno(), self._on_sibling)
        pending = self._engine.pending_latch()
        if pending is not None:
            self.latch(*pending)
        self._ring = True

    def _drop_sibling(self) -> None:
        if self._sibling is not None:
            self._unwatch(self._sibling.fileno())
            self._sibling.close()
            self._sibling = None

    def _on_sibling(self, _descriptor: int) -> None:
        if self._sibling is None:
            return
        try:
            message = channel.receive(self._sibling)
        except BlockingIOError:
            return
        if message is None:
            self._drop_sibling()
            return
        self._message(message, clock())

    def _message(self, message: dict[str, Any], now: int) -> None:
        match message.get("t"):
            case "latched":
                self._engine.latched(int(message["serial"]), bool(message["ok"]), now)
            case "command":
                self._order(message, now)
            case "time":
                self._wire.time_quality(bool(message["good"]), int(message["quality"]) & 0xFF)
                self._engine.time_quality(bool(message["good"]), now)
            case "keys":
                self._rekeying.exchange(message, now)
            case "setting":
                self._adjusting.order(message, now, self._engine.idle)
                # Who changed it looks at its effect next.
                self._snapshot_taken = 0
            case "samples":
                block = b"" if self._core is None else self._core.block(int(message["count"]))
                self._tell({"t": "samples", "size": self._segment.write_samples(block)})
            case "stop":
                self.stop()
            case _:
                raise ValueError(f"unknown message {message.get('t')!r}")

    def _order(self, message: dict[str, Any], now: int) -> None:
        try:
            kind = CommandKind(message["kind"])
            command = Command(kind, int(message["id"]), str(message["origin"])[:80], bool(message["local"]))
        except (KeyError, ValueError, TypeError):
            identifier = message.get("id")
            refused = CommandResult(identifier if isinstance(identifier, int) else 0, False, Refusal.NOT_AUTHORISED)
            self.result(refused._replace(text="not an order"))
            return
        self._engine.command(command, now)
        # Who gave the order looks at its effect next.
        self._snapshot_taken = 0

    def _finish(self) -> None:
        if self._ring:
            with contextlib.suppress(OSError):
                os.eventfd_write(self._bell, 1)
        self._drop_sibling()
        self._server.close()


def run(document: dict[str, Any]) -> int:
    """Build everything from the start document and run the loop."""
    from agent.station import config, sampled
    from agent.station.lockfile import lock
    from agent.station.rehearse import rehearse
    from agent.station.wire import StationWire

    start = config.Start.load(document)
    if lock(Path(start.agent.state_dir), "protection", wait_s=1.0) is None:
        print("another protection process runs in this state directory", file=sys.stderr)
        return 75
    wire = StationWire(start.agent, start.numbers, marks=start.marks)
    core = sampled.core(start.agent, start.pickups().pickups)
    new_brain = config.brain_maker(start.agent)
    rehearse(start.agent, clock())
    limits = realtime.prepare(start.agent.priority)
    loop = Loop(
        new_brain,
        start.restored(),
        wire,
        core,
        Path(start.agent.state_dir),
        start.agent.digest,
        start.time_good,
        limits,
        start.pickups(),
        start.refuses,
    )
    if wire.iv_problem:
        loop.event("ivs_lost", clock(), (("why", wire.iv_problem), ("alarm", True)))
    signal.signal(signal.SIGTERM, lambda _number, _frame: loop.stop())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if core is not None:
        core.start(start.agent.priority + 1 if start.agent.priority else 0)
    try:
        return loop.run()
    finally:  # their threads read what the interpreter, as it ends, would close under their hands
        wire.close()
        if core is not None:
            core.stop()


def main(arguments: list[str]) -> int:
    """Read the start document from the inherited descriptor."""
    if len(arguments) != 2 or arguments[0] != "--configuration" or not arguments[1].isdigit():
        print("started by the station process only (--configuration FD)", file=sys.stderr)
        return 64
    with os.fdopen(int(arguments[1]), "rb") as file:
        document = json.loads(file.read())
    return run(document)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

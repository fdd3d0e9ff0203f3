"""The station process: supervises the protection process and does for it everything that may take time.

Writes the latch, the event log and fault records; watches the clock; serves MMS (when an address was named) and the
local door; keeps the reserve of GOOSE state numbers. One thread, one selector. SIGTERM and SIGINT end both processes;
if this process dies otherwise, protection runs on and the next station process attaches to it.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.logic.messages import BreakerStatus, CommandKind, CommandResult, LockRecord, Refusal, Report
from agent.mms.model import IedState
from agent.station import channel, local, plain, snapshot
from agent.station.eventlog import EventLog
from agent.station.latch import LatchFile, Restored
from agent.station.numbers import NumberReserve
from agent.station.recorder import SAMPLE_SIZE, Recorder
from agent.station.supervisor import MODULE, OtherConfigurationError, Supervisor, stop_running
from agent.time.clock import TimeSource, TimeState, TimeWatch, now_us

if TYPE_CHECKING:
    from agent.mms.server import MmsServer

TICK_S = 0.25
MMS_IDLE_S = 0.05
MMS_BUSY_S = 0.01
HANG_US = 2_000_000
"""A snapshot older than this: the protection process hangs."""
ANSWER_S = 6.0
LOCAL_ONLY = frozenset({CommandKind.RELEASE, CommandKind.UNTAG})
"""Orders that are taken from the local door only, never from the network."""
RECORD_SAMPLES = 14_000


@dataclass(slots=True)
class Pending:
    """An order under way."""

    until: float
    client: socket.socket | None = None
    result: CommandResult | None = None


@dataclass(slots=True)
class StationSettings:
    """What the station process needs beside the protection process's document."""

    directory: Path
    ied: str
    device: str
    station_name: str
    digest: str
    frequency_hz: float
    logical_device: str
    switch: str
    peer_names: dict[int, str]
    time_source: TimeSource
    mms_plain: tuple[str, int] | None = None
    module: str = MODULE
    document: Callable[[LockRecord | None, str, dict[str, int], bool], dict[str, Any]] = field(
        default=lambda _record, _unreadable, _numbers, _good: {}
    )


class Station:
    """One agent's station process."""

    def __init__(self, settings: StationSettings, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._say = say
        directory = settings.directory
        self._log = EventLog(directory, settings.device)
        self._latch = LatchFile(directory)
        self._numbers = NumberReserve(directory)
        self._recorder = Recorder(directory / "records", settings.station_name, settings.device, settings.frequency_hz)
        self._time_watch = TimeWatch(settings.time_source)
        self._time = self._check_time()
        self._supervisor = Supervisor(directory, settings.digest, self._document, settings.module)
        self._selector = selectors.DefaultSelector()
        self._door = local.listen(directory)
        self._alarms: dict[str, str] = {}
        self._orders: dict[int, Pending] = {}
        self._serial = 0
        self._snapshot: snapshot.Snapshot | None = None
        self._mms: MmsServer | None = None
        self._mms_at = 0.0
        self._tick_at = 0.0
        self._started = time.monotonic()
        self._running = True
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    # --- life --------------------------------------------------------------------------------------------------------

    def run(self, replace: bool = False) -> int:
        """Until told to stop; the exit status."""
        self._log.append("station_started", now_us(), {"pid": os.getpid()})
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._on_wake)
        self._selector.register(self._door, selectors.EVENT_READ, self._on_door)
        if not self._begin(replace):
            return 1
        self._open_mms()
        while self._running:
            self._turn()
        self._end()
        return 0

    def _begin(self, replace: bool) -> bool:
        if replace:
            stop_running(self._settings.directory)
        try:
            found = self._supervisor.attach_or_start()
        except (OSError, OtherConfigurationError) as error:
            self._say(f"cannot start: {error.strerror if isinstance(error, OSError) else error}")
            self._log.append("start_failed", now_us(), {"why": str(error)})
            return False
        self._attached("attached to" if found else "started")
        return True

    def _attached(self, how: str) -> None:
        attachment = self._supervisor.attachment
        assert attachment is not None
        self._selector.register(attachment.link, selectors.EVENT_READ, self._on_link)
        self._selector.register(attachment.bell, selectors.EVENT_READ, self._on_bell)
        self._selector.register(attachment.end, selectors.EVENT_READ, self._on_end)
        pids = {"station": os.getpid(), "protection": attachment.pid}
        with contextlib.suppress(OSError):
            (self._settings.directory / "pids.json").write_text(json.dumps(pids) + "\n")
        self._log.append("protection_" + how.partition(" ")[0], now_us(), {"pid": attachment.pid})
        self._say(f"{self._settings.ied}: {how} protection process {attachment.pid}")
        self._tell({"t": "time", "good": self._time.good})
        self._alarms.pop("protection", None)
        self._on_bell()

    def _document(self) -> dict[str, Any]:
        """The start document: configuration, latch, state numbers, time quality, all as they are now."""
        restored = self._latch.read()
        self._note_latch(restored)
        return self._settings.document(restored.record, restored.unreadable, self._numbers.next(), self._time.good)

    def _note_latch(self, restored: Restored) -> None:
        if restored.unreadable:
            self._alarms["latch"] = restored.unreadable
            self._log.append("latch_unreadable", now_us(), {"why": restored.unreadable, "alarm": True})
            self._say(f"alarm: latch unreadable, starts locked out: {restored.unreadable}")

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._running = False

    def _on_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 64)

    def _end(self) -> None:
        self._supervisor.stop()
        self._log.append("station_stopped", now_us(), {})
        if self._mms is not None:
            self._mms.close()
        self._door.close()
        with contextlib.suppress(OSError):
            (self._settings.directory / local.NAME).unlink()
        self._log.close()

    # --- the loop ----------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        now = time.monotonic()
        wake = self._tick_at
        if self._mms is not None:
            wake = min(wake, self._mms_at)
        if self._supervisor.attachment is None:
            wake = min(wake, self._supervisor.retry_at)
        for key, _mask in self._selector.select(max(0.0, wake - now)):
            key.data()
        now = time.monotonic()
        if self._supervisor.attachment is None and now >= self._supervisor.retry_at and self._running:
            self._restart()
        if now >= self._tick_at:
            self._tick_at = now + TICK_S
            self._tick(now)
        if self._mms is not None and now >= self._mms_at:
            self._serve_mms(now)

    def _tick(self, now: float) -> None:
        self._time_changed(self._check_time())
        self._on_bell()
        for identifier, order in list(self._orders.items()):
            if now > order.until:
                self._answered(CommandResult(identifier, False, Refusal.UNHEALTHY, "no answer"))
                if order.client is None:
                    del self._orders[identifier]
        snap = self._read_snapshot()
        if snap is not None:
            self._numbers.keep(snap.numbers)
        due = self._recorder.due_us
        if due is not None and now_us() >= due:
            self._tell({"t": "samples", "count": RECORD_SAMPLES})

    def _check_time(self) -> TimeState:
        return self._time_watch.check(now_us(), time.monotonic_ns() // 1000)

    def _time_changed(self, state: TimeState) -> None:
        old, self._time = self._time, state
        if state.good != old.good:
            self._log.append("clock", now_us(), {"good": state.good, "why": state.why})
            self._tell({"t": "time", "good": state.good})

    def _read_snapshot(self) -> snapshot.Snapshot | None:
        attachment = self._supervisor.attachment
        data = None if attachment is None else attachment.segment.read_snapshot()
        if data is None:
            return None
        try:
            snap = snapshot.decode(data)
        except ValueError as error:
            self._alarms["snapshot"] = str(error)
            return None
        hangs = now_us() - snap.t_us > HANG_US and time.monotonic() - self._started > 2.0
        if hangs and "hangs" not in self._alarms:
            self._alarms["hangs"] = "the protection process does not move"
            self._log.append("protection_hangs", now_us(), {"alarm": True})
        elif not hangs:
            self._alarms.pop("hangs", None)
        self._snapshot = snap
        return snap

    # --- protection process ------------------------------------------------------------------------------------------

    def _tell(self, message: dict[str, Any]) -> bool:
        attachment = self._supervisor.attachment
        return attachment is not None and channel.send(attachment.link, message)

    def _on_bell(self) -> None:
        attachment = self._supervisor.attachment
        if attachment is None:
            return
        with contextlib.suppress(BlockingIOError, OSError):
            os.eventfd_read(attachment.bell)
        while (entry := attachment.segment.take()) is not None:
            try:
                name, t_us, details = json.loads(entry)
                pairs = dict(details)
            except (ValueError, TypeError):
                continue
            self._event(str(name), int(t_us), pairs)

    def _event(self, name: str, t_us: int, details: dict[str, object]) -> None:
        self._log.append(name, t_us, details)
        self._recorder.event(name, t_us)
        if name in ("brain_failed", "shell_error", "not_latched"):
            self._alarms[name] = str(details.get("error", details.get("why", name)))
        elif name in ("latched", "released"):
            self._alarms.pop("not_latched", None)
        if self._log.problem:
            if "eventlog" not in self._alarms:
                self._say(f"alarm: event log: {self._log.problem}")
            self._alarms["eventlog"] = self._log.problem
        else:
            self._alarms.pop("eventlog", None)

    def _on_link(self) -> None:
        attachment = self._supervisor.attachment
        if attachment is None:
            return
        try:
            message = channel.receive(attachment.link)
        except BlockingIOError:
            return
        if message is None:
            # Replaced by another station process, or the other side is gone: its end is told by the pidfd.
            self._selector.unregister(attachment.link)
            if attachment.alive():
                self._say("another station process has taken over")
                self._log.append("station_replaced", now_us(), {})
                self._running = False
            return
        match message.get("t"):
            case "latch":
                self._write_latch(message)
            case "result":
                self._answered(
                    CommandResult(
                        int(message["id"]), bool(message["accepted"]), Refusal(message["refusal"]), str(message["text"])
                    )
                )
            case "samples":
                self._write_record(attachment.segment.read_samples(int(message["size"])))

    def _write_latch(self, message: dict[str, Any]) -> None:
        record = plain.load(LockRecord, message["record"])
        why = self._latch.write(record)
        self._tell({"t": "latched", "serial": message["serial"], "ok": not why})
        if why:
            self._alarms["latch"] = why
            self._say(f"alarm: lock-out is not on disk: {why}")
            self._log.append("latch_failed", now_us(), {"why": why, "alarm": True})
        else:
            self._alarms.pop("latch", None)

    def _write_record(self, block: bytes) -> None:
        try:
            path = self._recorder.write(block)
        except OSError as error:
            self._alarms["recorder"] = f"fault record: {error.strerror or error}"
            return
        if path is not None:
            self._log.append("record_written", now_us(), {"file": path.name, "samples": len(block) // SAMPLE_SIZE})

    def _on_end(self) -> None:
        attachment = self._supervisor.attachment
        if attachment is None:
            return
        self._on_bell()
        for watched in (attachment.link, attachment.bell, attachment.end):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(watched)
        pause = self._supervisor.lost()
        self._alarms["protection"] = "the protection process has ended"
        status = self._supervisor.exit_status()
        self._log.append("protection_ended", now_us(), {"status": status, "alarm": True, "restart_in_s": pause})
        self._say(f"alarm: protection process {attachment.pid} has ended (status {status}), next start in {pause} s")

    def _restart(self) -> None:
        try:
            self._supervisor.start()
        except (OSError, OtherConfigurationError) as error:
            pause = self._supervisor.lost()
            self._log.append("start_failed", now_us(), {"why": str(error), "restart_in_s": pause})
            return
        self._attached("restarted")

    # --- orders ------------------------------------------------------------------------------------------------------

    def _submit(self, kind: CommandKind, origin: str, is_local: bool, client: socket.socket | None) -> int:
        """Hand an order to the gate; 0 if it cannot be reached."""
        if kind in LOCAL_ONLY and not is_local:
            return 0
        # Never the number of a former station process: its answer might still be under way.
        self._serial = max(self._serial + 1, time.monotonic_ns() // 1_000_000)
        message = {"t": "command", "kind": int(kind), "id": self._serial, "origin": origin, "local": is_local}
        if not self._tell(message):
            return 0
        self._orders[self._serial] = Pending(time.monotonic() + ANSWER_S, client)
        return self._serial

    def _answered(self, result: CommandResult) -> None:
        order = self._orders.get(result.identifier)
        if order is None:
            return
        order.result = result
        if order.client is not None:
            del self._orders[result.identifier]
            refusal = result.refusal.name.lower()
            answer = {"accepted": result.accepted, "refusal": refusal, "text": result.text}
            self._reply(order.client, answer)

    def _take_answer(self, identifier: int) -> CommandResult | None:
        """For MMS: the answer, once."""
        order = self._orders.get(identifier)
        if order is None:
            return CommandResult(identifier, False, Refusal.UNHEALTHY, "no answer")
        if order.result is not None:
            del self._orders[identifier]
        return order.result

    # --- the local door ----------------------------------------------------------------------------------------------

    def _on_door(self) -> None:
        try:
            client, _ = self._door.accept()
        except OSError:
            return
        uid = local.user_of(client)
        if not local.permitted(uid):
            self._log.append("refused_user", now_us(), {"uid": uid})
            self._reply(client, {"error": "only root or the agent's own user"})
            return
        client.settimeout(1.0)
        try:
            request = json.loads(client.recv(local.LIMIT))
            self._request(client, request, uid)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self._reply(client, {"error": f"not a request: {error}"})

    def _request(self, client: socket.socket, request: dict[str, Any], uid: int) -> None:
        if request["op"] == "status":
            self._reply(client, self.status())
            return
        if request["op"] != "command":
            raise ValueError(f"op {request['op']!r}")
        kind = CommandKind[str(request["kind"])]
        if self._submit(kind, f"local uid {uid}", True, client) == 0:
            self._reply(client, {"accepted": False, "refusal": "unhealthy", "text": "the protection process is down"})

    def _reply(self, client: socket.socket, answer: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            client.settimeout(1.0)
            client.sendall(json.dumps(answer).encode() + b"\n")
        client.close()

    def status(self) -> dict[str, Any]:
        """What ``flisr agent status`` shows."""
        snap = self._read_snapshot() or self._snapshot
        attachment = self._supervisor.attachment
        state: dict[str, Any] = {
            "ied": self._settings.ied,
            "device": self._settings.device,
            "station_pid": os.getpid(),
            "protection_pid": None if attachment is None else attachment.pid,
            "restarts": self._supervisor.restarts,
            "time": {"good": self._time.good, "why": self._time.why},
            "mms": None if self._mms is None else self._mms.connections,
            "alarms": dict(self._alarms),
        }
        if snap is None:
            return state
        report = snap.report
        names = self._settings.peer_names
        state.update(
            snapshot_us=snap.t_us,
            position=snap.breaker.position.name.lower() if snap.breaker_fresh else "unknown",
            ready=report.ready,
            level=snap.measurement.level.name.lower(),
            locked_a=report.locked_a,
            locked_b=report.locked_b,
            latched=report.latched,
            tagged=report.tagged,
            failed=report.failed,
            automation=report.automation,
            live_a=report.live_a.name.lower(),
            live_b=report.live_b.name.lower(),
            p_kw=round(report.p_kw, 1),
            q_kvar=round(report.q_kvar, 1),
            peers={names.get(peer.device, str(peer.device)): peer.fresh for peer in snap.peers},
            silent=[name for d, name in names.items() if not any(p.device == d and p.fresh for p in snap.peers)],
            numbers=snap.numbers,
            counters=snap.counters,
            limits=list(snap.limits),
        )
        return state

    # --- MMS ---------------------------------------------------------------------------------------------------------

    def _open_mms(self) -> None:
        if self._settings.mms_plain is None:
            return
        from agent.mms.server import MmsServer

        address, port = self._settings.mms_plain
        quiet_library()
        server = MmsServer(
            self._settings.ied,
            self._settings.logical_device,
            self._settings.switch,
            lambda kind, origin: self._submit(kind, origin, False, None),
            self._take_answer,
        )
        try:
            server.listen(address, port)
        except OSError as error:
            self._alarms["mms"] = str(error)
            self._log.append("mms_failed", now_us(), {"why": str(error), "alarm": True})
            self._say(f"alarm: {error}")
            server.close()
            return
        self._log.append("mms_listening", now_us(), {"address": address, "port": port, "secured": False})
        self._say(f"MMS on {address}:{port} without authentication: for laboratories only")
        self._mms = server

    def _serve_mms(self, now: float) -> None:
        assert self._mms is not None
        snap = self._read_snapshot()
        alive = self._supervisor.attachment is not None and "hangs" not in self._alarms
        shown = snap or self._snapshot
        self._mms.update(
            IedState(
                Report() if shown is None else shown.report,
                BreakerStatus() if shown is None else shown.breaker,
                shown is not None and shown.breaker_fresh,
                self._time.good,
                alive,
                bool(self._alarms),
            ),
            now_us(),
        )
        self._mms.poll()
        while self._mms.failures:
            self._log.append("mms_error", now_us(), {"error": self._mms.failures.pop()})
        self._mms_at = now + (MMS_BUSY_S if self._mms.connections else MMS_IDLE_S)


def quiet_library() -> None:
    """The MMS binding prints a line on descriptor 2 at each control callback: give it a descriptor of its own.

    Python's ``sys.stderr`` keeps the real one under another number.
    """
    import faulthandler
    import sys

    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    sys.stderr = os.fdopen(kept, "w", buffering=1)
    faulthandler.enable(sys.stderr)

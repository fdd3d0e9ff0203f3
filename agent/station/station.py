"""The station process: supervises the protection process and does for it everything that may take time.

Writes the event log, fault records and what is remembered over restarts; watches the clock; serves MMS (when an address
was named) and the local door. One thread, one selector. SIGTERM and SIGINT end both processes; if this process dies
otherwise, protection runs on and the next station process attaches to it.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.logic.messages import CommandKind, CommandResult, LockRecord, Refusal
from agent.mms.model import IedState
from agent.station import channel, local, plain, snapshot
from agent.station.alarms import Alarms
from agent.station.eventlog import EventLog
from agent.station.keeper import Keeper, KeySource
from agent.station.memory import Memory
from agent.station.orders import Orders
from agent.station.recorder import SAMPLE_SIZE, Recorder
from agent.station.settings import Engineered, Settings
from agent.station.shown import ServedModel, Shown
from agent.station.snapshot import describe
from agent.station.supervisor import MODULE, OtherConfigurationError, Supervisor, stop_running
from agent.time.clock import TimeSource, TimeState, TimeWatch, both_clocks_us, now_us

if TYPE_CHECKING:
    from agent.mms.porter import Doorway
    from agent.station.face import Face

TICK_S = 0.25
LINK_GRACE_S = 0.5
NICE = -10
STOP_S = 3.0
HANG_US = 2_000_000
"""A snapshot older than this: the protection process hangs."""
RECORD_SAMPLES = 14_000


@dataclass(slots=True)
class StationSettings:
    """What the station process needs beside the protection process's document."""

    directory: Path
    ied: str
    device: str
    station_name: str
    digest: str
    frequency_hz: float
    peer_names: dict[int, str]
    time_source: TimeSource
    mms: Doorway | None = None
    model: str = ""
    """:class:`agent.station.shown.ServedModel` as JSON, where MMS is wanted; not kept."""
    module: str = MODULE
    document: Callable[[LockRecord | None, str, dict[str, int], bool], dict[str, Any]] = field(
        default=lambda _record, _unreadable, _numbers, _good: {}
    )
    keys: KeySource | None = None
    """Where the keys come from; None: those of the start document stay."""
    engineered: Engineered | None = None
    """What a client may set is judged by; None: nothing is set."""


class Station:
    """One agent's station process."""

    def __init__(self, settings: StationSettings, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._say = say
        directory = settings.directory
        self._log = EventLog(directory, settings.device)
        self._alarms = Alarms(self._log, say)
        self._memory = Memory(directory, self._alarms)
        self._recorder = Recorder(directory / "records", settings.station_name, settings.device, settings.frequency_hz)
        self._time_watch = TimeWatch(settings.time_source)
        self._time = self._check_time()
        self._log.time_quality = self._time.quality.octet
        self._supervisor = Supervisor(directory, settings.digest, self._document, settings.module)
        self._keeper: Keeper | None = None
        if settings.keys is not None:
            self._keeper = Keeper(settings.keys, self._tell, self._log, self._alarms)
        self._settable: Settings | None = None
        if settings.engineered is not None:
            self._settable = Settings(directory, settings.engineered, self._log, self._alarms, self._tell)
        self._asked_to_reload = False
        self._selector = selectors.DefaultSelector()
        self._door = local.Door(directory, self._request)
        self._orders = Orders(self._tell)
        self._snapshot: snapshot.Snapshot | None = None
        self._mms: Face | None = None
        self._shown: Shown | None = None
        self._tick_at = 0.0
        self._started = time.monotonic()
        self._running = True
        self._link_lost = 0.0
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    # --- life --------------------------------------------------------------------------------------------------------

    def run(self, replace: bool = False) -> int:
        """Until told to stop; the exit status."""
        # The latch waits for this process: ahead of ordinary ones, where that is allowed.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, NICE)
        self._log.append("station_started", now_us(), {"pid": os.getpid()})
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGHUP, self._on_hang_up)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._on_wake)
        self._selector.register(self._door, selectors.EVENT_READ, self._door.accept)
        if self._keeper is not None and self._keeper.client is not None:
            self._selector.register(self._keeper.client, selectors.EVENT_READ, self._keeper.hear)
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
        self._tell_time()
        if self._keeper is not None:
            self._keeper.attached(how == "attached to")
        if self._settable is not None:
            self._settable.attached()
        self._alarms.end("protection")
        self._on_bell()

    def _document(self) -> dict[str, Any]:
        """The start document: configuration, what is remembered, time quality, all as they are now."""
        record, unreadable, numbers, marks = self._memory.start()
        document = self._settings.document(record, unreadable, numbers, self._time.good)
        if self._settable is not None:
            document["setting"] = plain.dump(self._settable.setting)
        return {**document, "marks": plain.dump(marks)}

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._running = False

    def _on_hang_up(self, _number: int, _frame: object) -> None:
        self._asked_to_reload = True

    def _on_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 64)
        if self._asked_to_reload and self._keeper is not None:
            self._asked_to_reload = False
            self._keeper.reload()

    def _end(self) -> None:
        attachment = self._supervisor.attachment
        if attachment is not None:
            # Its last words count: a latch on its way, the events of the stop, the marks.
            self._tell({"t": "stop"})
            self._serve_until(attachment.end, STOP_S)
            self._on_bell()
            self._follow()
        self._memory.close(time.monotonic())
        self._supervisor.stop()
        self._log.append("station_stopped", now_us(), {})
        if self._mms is not None:
            self._mms.close()
        if self._keeper is not None:
            self._keeper.close()
        self._door.close()
        self._log.close()

    # --- the loop ----------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        now = time.monotonic()
        wake = self._tick_at
        if self._mms is not None:
            wake = min(wake, self._mms.due)
        if self._supervisor.attachment is None:
            wake = min(wake, self._supervisor.retry_at)
        for key, _mask in self._selector.select(max(0.0, wake - now)):
            key.data()
        now = time.monotonic()
        if self._link_lost and now - self._link_lost > LINK_GRACE_S:
            self._detach()
            self._supervisor.retry_at = now
        if self._supervisor.attachment is None and now >= self._supervisor.retry_at and self._running:
            self._restart()
        if now >= self._tick_at:
            self._tick_at = now + TICK_S
            self._tick(now)
        if self._mms is not None and self._shown is not None and now >= self._mms.due:
            self._mms.serve(self._state(self._shown), now)

    def _tick(self, now: float) -> None:
        self._time_changed(self._check_time())
        self._on_bell()
        self._orders.expire()
        self._follow()
        if self._keeper is not None:
            self._keeper.tick()
        due = self._recorder.due_us
        if due is not None and now_us() >= due:
            self._tell({"t": "samples", "count": RECORD_SAMPLES})

    def _follow(self) -> None:
        snap = self._read_snapshot()
        if snap is not None:
            self._memory.follow(snap, time.monotonic())
            if self._settable is not None:
                self._settable.follow(snap, time.monotonic())

    def _check_time(self) -> TimeState:
        return self._time_watch.check(*both_clocks_us())

    def _time_changed(self, state: TimeState) -> None:
        old, self._time = self._time, state
        self._log.time_quality = state.quality.octet
        if (state.good, state.quality) != (old.good, old.quality):
            self._tell_time()
        if state.good != old.good:
            self._log.append("clock", now_us(), {"good": state.good, "why": state.why})

    def _tell_time(self) -> None:
        self._tell({"t": "time", "good": self._time.good, "quality": self._time.quality.octet})

    def _read_snapshot(self) -> snapshot.Snapshot | None:
        attachment = self._supervisor.attachment
        data = None if attachment is None else attachment.segment.read_snapshot()
        if data is None:
            return None
        try:
            snap = snapshot.decode(data)
        except ValueError as error:
            self._alarms.stand("snapshot", str(error))
            return None
        hangs = now_us() - snap.t_us > HANG_US and time.monotonic() - self._started > 2.0
        if hangs and "hangs" not in self._alarms:
            self._alarms.stand("hangs", "the protection process does not move")
            self._log.append("protection_hangs", now_us(), {"alarm": True})
        elif not hangs:
            self._alarms.end("hangs")
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
        if self._shown is not None:
            self._shown.event(name, t_us)
        if name in ("brain_failed", "shell_error", "not_latched"):
            self._alarms.stand(name, str(details.get("error", details.get("why", name))))
        elif name in ("latched", "released"):
            self._alarms.end("not_latched")
        if self._log.problem:
            if "eventlog" not in self._alarms:
                self._say(f"alarm: event log: {self._log.problem}")
            self._alarms.stand("eventlog", self._log.problem)
        else:
            self._alarms.end("eventlog")

    def _on_link(self) -> None:
        attachment = self._supervisor.attachment
        if attachment is None:
            return
        try:
            message = channel.receive(attachment.link)
        except BlockingIOError:
            return
        if message is None:
            # Mostly the process has ended, which its pidfd tells in a moment; else it gave us up: attach again.
            self._selector.unregister(attachment.link)
            self._link_lost = time.monotonic()
            return
        match message.get("t"):
            case "latch":
                self._tell({"t": "latched", "serial": message["serial"], "ok": self._memory.latch(message)})
            case "result":
                self._orders.answered(
                    CommandResult(
                        int(message["id"]), bool(message["accepted"]), Refusal(message["refusal"]), str(message["text"])
                    )
                )
            case "samples":
                self._write_record(attachment.segment.read_samples(int(message["size"])))

    def _write_record(self, block: bytes) -> None:
        try:
            path = self._recorder.write(block)
        except OSError as error:
            self._alarms.stand("recorder", f"fault record: {error.strerror or error}")
            return
        if path is not None:
            if self._shown is not None:
                self._shown.records += 1
            self._log.append("record_written", now_us(), {"file": path.name, "samples": len(block) // SAMPLE_SIZE})

    def _on_end(self) -> None:
        attachment = self._supervisor.attachment
        if attachment is None:
            return
        self._on_bell()
        self._follow()
        self._detach()
        pause = self._supervisor.lost()
        self._alarms.stand("protection", "the protection process has ended")
        status = self._supervisor.exit_status()
        self._log.append("protection_ended", now_us(), {"status": status, "alarm": True, "restart_in_s": pause})
        self._say(f"alarm: protection process {attachment.pid} has ended (status {status}), next start in {pause} s")

    def _restart(self) -> None:
        try:
            found = self._supervisor.attach_or_start()
        except (OSError, OtherConfigurationError) as error:
            pause = self._supervisor.lost()
            self._log.append("start_failed", now_us(), {"why": str(error), "restart_in_s": pause})
            return
        self._attached("attached to" if found else "restarted")

    def _serve_until(self, end: int, seconds: float) -> None:
        """Go on serving the protection process until it has ended."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            ready = [key for key, _mask in self._selector.select(left)]
            for key in ready:
                if key.fd != end:
                    key.data()
            if [key.fd for key in ready] == [end]:
                return  # and nothing of it is left to be read

    def _detach(self) -> None:
        """Let go of the protection process, dead or alive."""
        self._link_lost = 0.0
        attachment = self._supervisor.attachment
        if attachment is None:
            return
        for watched in (attachment.link, attachment.bell, attachment.end):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(watched)
        self._supervisor.release()

    # --- the local door ----------------------------------------------------------------------------------------------

    def _request(self, request: dict[str, Any], uid: int, reply: local.Reply) -> None:
        if request["op"] == "status":
            reply(self.status())
            return
        if request["op"] != "command":
            raise ValueError(f"op {request['op']!r}")

        def done(result: CommandResult) -> None:
            reply({"accepted": result.accepted, "refusal": result.refusal.name.lower(), "text": result.text})

        kind = CommandKind[str(request["kind"])]
        if self._orders.submit(kind, f"local uid {uid}", True, done) == 0:
            reply({"accepted": False, "refusal": "unhealthy", "text": "the protection process is down"})

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
            "alarms": self._alarms.show(),
        }
        if snap is not None:
            state.update(describe(snap, self._settings.peer_names))
        return state

    # --- MMS ---------------------------------------------------------------------------------------------------------

    def _open_mms(self) -> None:
        settings = self._settings
        if settings.mms is None:
            return
        from agent.station.face import Face, services_of

        try:
            served = plain.load(ServedModel, json.loads(settings.model))
            services = services_of(served.tree, self._log, self._alarms, self._settable)
            face = Face(served.tree, self._orders, self._log, self._say, services)
        except (ValueError, OSError) as error:
            self._alarms.event("mms_failed", "mms", str(error))
            return
        settings.model = ""
        self._shown = Shown(served)
        self._shown.records = sum(1 for _ in (settings.directory / "records").glob("*.cfg"))
        if face.listen(settings.mms, self._alarms):
            self._mms = face
            self._selector.register(face, selectors.EVENT_READ, face.hear)

    def _state(self, shown: Shown) -> IedState:
        """What a client sees; the last known while the protection process is away."""
        alive = self._supervisor.attachment is not None and "hangs" not in self._alarms
        snap = self._read_snapshot() or self._snapshot
        return shown.state(snap, self._time, alive, bool(self._alarms))

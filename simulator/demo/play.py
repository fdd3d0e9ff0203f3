"""Plays a scenario: starts the laboratory, does the steps when they are due, follows the record, notices the end."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agent.station import local
from simulator.demo.follow import Follower, Line
from simulator.demo.lab import Lab, LabError
from simulator.demo.scenario import Step

CALM_S = 1.2
"""Before the first step: pre-fault load is known, everybody has heard everybody."""
QUIET_S = 2.5
"""Nothing moved, nothing was asked for so long: the run is over, or the next ``when: quiet`` step is due."""
TIMEOUT_S = 60.0
LEAD_US = 150_000
WINDOW_BEFORE_US = 60_000
WINDOW_US = 450_000
BUSY = frozenset(
    {
        "order", "position", "fault", "source", "der", "fuse",
        "pickup", "dropoff", "claim", "trip", "opened", "close", "closed", "lockout", "latched", "released", "request",
        "request_given_up", "onto_fault", "breaker_failure", "backup_trip", "started", "ready", "claim_withdrawn",
        "opens_for_plan", "opens_for_return", "dark", "cleared_by_fuse",
    }
)  # fmt: skip
"""Events that say that something is still going on."""


def now_us() -> int:
    """UTC microseconds."""
    return time.time_ns() // 1000


@dataclass(slots=True)
class Player:
    """One run. ``on_lines`` is told of everything new, ``on_phase`` what is going on."""

    lab: Lab
    on_lines: Callable[[list[Line]], None] = lambda _lines: None
    on_phase: Callable[[str, int, int], None] = lambda _text, _done, _of: None
    follower: Follower = field(init=False)
    zero_us: int = 0
    """What ``at_ms`` counts from."""
    answers: list[dict[str, Any]] = field(default_factory=list)
    """Answers to orders and to MMS clients."""
    timed_out: bool = False
    _busy_at: float = 0.0
    _random: random.Random = field(init=False)
    _frozen: bool = True
    _window_at: int = 0

    def run(self) -> None:
        """Everything from start to quiescence; the laboratory stays open."""
        lab = self.lab
        self._random = random.Random(lab.seed)
        lab.start(self.on_phase)
        self._follow()
        self.on_phase("calm", 0, 1)
        self._wait(CALM_S)
        lab.capture.start()
        self.zero_us = now_us() + LEAD_US
        lab.plant_ask({"start": self.zero_us})
        self._busy_at = time.monotonic()
        pending = list(lab.scenario.steps)
        self._schedule_plant(pending)
        self.on_phase("playing", 0, len(lab.scenario.steps))
        self._loop(pending)
        self.on_phase("over", 1, 1)

    def _follow(self) -> None:
        lab = self.lab
        files = [(lab.truth, "plant", "")]
        for device in lab.feeder.devices:
            files.append((lab.state_dir(device.name) / "events.jsonl", "agent", device.name))
            files.append((lab.directory / "logs" / f"{device.breaker_ied}.log", "breaker", device.name))
        self.follower = Follower(files)

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._poll()
            time.sleep(0.05)

    def _poll(self) -> list[Line]:
        new = self.follower.poll()
        if any(line.name in BUSY and line.details.get("moves", True) for line in new):
            self._busy_at = time.monotonic()
        if new:
            self.on_lines(new)
        return new

    # --- steps -------------------------------------------------------------------------------------------------------

    def _schedule_plant(self, pending: list[Step]) -> None:
        """Steps of the plant that have a time go to the plant at once: it keeps time to the microsecond."""
        for step in [
            s for s in pending if s.do == "plant" and s.at_ms is not None and s is self._first_chain(pending, s)
        ]:
            pending.remove(step)
            assert step.at_ms is not None
            self._inject(step.what, self.zero_us + round(step.at_ms * 1000))

    @staticmethod
    def _first_chain(pending: list[Step], step: Step) -> Step | None:
        """The step itself unless a step before it waits for an event or for quiet."""
        before = pending[: pending.index(step)]
        return None if any(s.at_ms is None for s in before) else step

    def _inject(self, what: dict[str, Any], at_us: int) -> None:
        item = dict(what)
        if item["event"] == "fault":
            # Where on the wave it strikes is chance, and so is repeated by the seed.
            item.setdefault("angle_deg", round(self._random.uniform(0.0, 360.0), 1))
            self._open_windows(at_us)
        self.lab.plant_ask({"inject": item, "at_us": at_us})

    def _open_windows(self, at_us: int) -> None:
        """Sampled Values are kept around the first fault only."""
        if self._frozen:
            self._window_at = at_us
            self._frozen = False

    def _loop(self, pending: list[Step]) -> None:
        end = time.monotonic() + TIMEOUT_S + sum((s.at_ms or 0) / 1000 for s in self.lab.scenario.steps)
        opened = closed = False
        last_at = max((s.at_ms or 0.0 for s in self.lab.scenario.steps), default=0.0)
        while True:
            new = self._poll()
            now = now_us()
            if not self._frozen and not opened and now >= self._window_at - WINDOW_BEFORE_US:
                opened = True
                self.lab.open_windows()
            if opened and not closed and now >= self._window_at + WINDOW_US:
                closed = True
                self.lab.capture.freeze()
            self._do_due(pending, new, now)
            quiet = time.monotonic() - self._busy_at > QUIET_S and now > self.zero_us + last_at * 1000 + QUIET_S * 1e6
            if not pending and quiet:
                return
            if time.monotonic() > end:
                self.timed_out = True
                return
            time.sleep(0.005 if pending or not closed else 0.05)

    def _do_due(self, pending: list[Step], new: list[Line], now: int) -> None:
        while pending:
            step = pending[0]
            if step.at_ms is not None:
                if now < self.zero_us + step.at_ms * 1000:
                    return
            elif step.quiet:
                if time.monotonic() - self._busy_at <= QUIET_S:
                    return
            elif not any(x.name == step.event and x.device == step.device and x.source == "agent" for x in new):
                return
            pending.pop(0)
            self._busy_at = time.monotonic()
            self._do(step)
            new = []

    def _do(self, step: Step) -> None:
        lab = self.lab
        self._note(step)
        match step.do:
            case "plant":
                self._inject(step.what, now_us() + 3_000)
            case "kill":
                lab.kill_agent(step.what)
            case "kill_protection":
                lab.kill_agent(step.what, only_protection=True)
            case "restart":
                lab.start_agent(step.what)
            case "cut":
                assert lab.lan is not None
                lab.lan.cut(*(lab.hosts_of(group) for group in step.what))
            case "heal":
                assert lab.lan is not None
                lab.lan.heal()
            case "order":
                self._order(step)
            case "mms":
                from simulator.demo.outsiders import mms_close

                self._answer("mms", step.what, mms_close(lab, step.what))
            case "forge":
                from simulator.demo.outsiders import forge

                self._answer("forge", step.what["device"], forge(lab, step.what["device"]))

    def _order(self, step: Step) -> None:
        request = {"op": "command", "kind": step.kind.upper()}
        try:
            answer = local.ask(self.lab.state_dir(step.what), request)
        except (local.NotRunningError, OSError) as error:
            raise LabError(f"order {step.kind} to {step.what}: {error}") from error
        self._answer(step.kind, step.what, answer)

    def _answer(self, what: str, device: str, answer: dict[str, Any]) -> None:
        self.answers.append({"what": what, "device": device, **answer})
        line = Line(now_us(), "demo", device, f"{what}_answered", answer)
        self.follower.add(line)
        self.on_lines([line])

    def _note(self, step: Step) -> None:
        device = step.what if isinstance(step.what, str) else ""
        line = Line(now_us(), "demo", device, step.do, {"what": step.what, "kind": step.kind})
        self.follower.add(line)
        self.on_lines([line])

"""The plant as a process: real time, coils and instruments over a Unix socket, the truth on disk.

    python -m simulator.ieds.plant_process --feeder F --plant SOCKET --truth FILE [--scenario FILE]

It runs ahead of the clock by ``LOOKAHEAD_US``, less than any operating time, so that merging units have every change of
the waves before its samples are due; what a breaker's cabinet feels is told at its own time.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import heapq
import json
import os
import select
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

# One small matrix at a time: threads of the linear algebra library would only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt

from scl.problem import SclError
from scl.topology import Feeder
from simulator.ieds import link
from simulator.ieds.feeder import read_feeder
from simulator.plant.events import CloseDevice, Effect, Moved, NewWaves, OpenDevice, PlantEvent, Truth
from simulator.plant.plant import Plant, PlantOptions
from simulator.plant.story import Instrument, Story, StoryError, parse_event
from simulator.plant.story import read as read_story
from simulator.plant.waves import Waves

LOOKAHEAD_US = 10_000
PRIORITY = 30
"""SCHED_FIFO, where allowed: below every agent's protection."""
LATE_US = 500
"""Waves handed out this long after they began come too late for samples that leave 1 ms after their time."""
SAME = 1e-3
"""A and V: below the least count of a stream."""
LEAD_US = 100_000
"""A start barrier without a time lies this far ahead."""


def utc_us() -> int:
    """Microseconds UTC."""
    return time.time_ns() // 1000


def _changed(old: Waves, new: Waves) -> npt.NDArray[np.bool_]:
    """Per device: the new waves are more than the old ones going on (which a merging unit does by itself)."""
    fade = np.exp(-max(new.start_us - old.start_us, 0) / 1e6 / old.dc_tau_s)
    calm = np.abs(new.phasor - old.phasor) < SAME
    calm &= np.abs(new.dc - old.dc * fade) < SAME
    rings = [np.zeros((0, 0, 0)) if w.ring is None else w.ring.sizes for w in (old, new)]
    swings = np.array([(np.abs(x).max(axis=2) >= SAME) for x in rings if x.size] or [np.zeros_like(calm)])
    calm &= ~swings.any(axis=0)
    for part in (old.decay, new.decay, old.second, new.second):
        calm &= np.abs(part) < SAME
    changed: npt.NDArray[np.bool_] = np.asarray(~calm.all(axis=1))
    return changed


class PlantServer:
    """Serves one plant. ``clock`` is UTC microseconds; it is read only to say what came too late."""

    def __init__(
        self,
        feeder: Feeder,
        story: Story,
        endpoint: socket.socket,
        truth: TextIO,
        start_us: int,
        clock: Callable[[], int] | None = None,
    ) -> None:
        self._clock = clock or utc_us
        self.feeder = feeder
        self.story = story
        self.endpoint = endpoint
        self.truth = truth
        self.plant = Plant(feeder, start_us, story.options)
        self.stopped = False
        self._pending: list[tuple[int, int, PlantEvent | Instrument]] = []
        self._outbox: list[tuple[int, int, str, dict[str, Any]]] = []
        self._count = 0
        self._merging_units: dict[str, int] = {}
        self._breakers: dict[str, int] = {}
        self._felt: dict[str, tuple[bool, bool]] = {}
        self._instruments: dict[str, str] = {}
        self._waves: list[Waves] = []
        self._started_us: int | None = None
        self._take(self.plant.advance(start_us))

    # --- time --------------------------------------------------------------------------------------------------------

    def deadline(self) -> int | None:
        """When :meth:`work` should be called next, UTC microseconds."""
        ahead = [t for t in (self.plant.deadline, self._pending[0][0] if self._pending else None) if t is not None]
        due = [min(ahead) - LOOKAHEAD_US] if ahead else []
        if self._outbox:
            due.append(self._outbox[0][0])
        return min(due, default=None)

    def work(self, now_us: int) -> None:
        """Let the plant go on up to a little ahead of now, and tell what is to be told by now."""
        horizon = now_us + LOOKAHEAD_US
        while True:
            injected = self._pending[0][0] if self._pending else None
            own = self.plant.deadline
            if injected is not None and injected <= horizon and (own is None or injected <= own):
                at, _, event = heapq.heappop(self._pending)
                self._play(event, at)
            elif own is not None and own <= horizon:
                self._take(self.plant.advance(own))
            else:
                break
        while self._outbox and self._outbox[0][0] <= now_us:
            _, _, path, message = heapq.heappop(self._outbox)
            self._send(path, json.dumps(message).encode())

    def _play(self, event: PlantEvent | Instrument, at_us: int) -> None:
        if isinstance(event, Instrument):
            path = self._instruments.get(event.ied)
            self._record(at_us, "instrument", {"ied": event.ied, "reached": path is not None, **event.message})
            if path is not None:
                self._later(at_us, path, event.message)
        else:
            self._take(self.plant.step(event, at_us))

    def inject(self, event: PlantEvent | Instrument, at_us: int) -> None:
        """Queue an event for a time."""
        self._count += 1
        heapq.heappush(self._pending, (at_us, self._count, event))

    # --- what came of it ---------------------------------------------------------------------------------------------

    def _record(self, time_us: int, kind: str, details: dict[str, Any]) -> None:
        self.truth.write(json.dumps({"time_us": time_us, "kind": kind, **details}) + "\n")

    def _take(self, effects: list[Effect]) -> None:
        newest: NewWaves | None = None
        for effect in effects:
            match effect:
                case NewWaves(waves, _):
                    newest = effect
                    changed = _changed(self._waves[-1], waves) if self._waves else None
                    for path, device in self._merging_units.items():
                        if changed is None or changed[device]:
                            self._send(path, link.encode_waves(waves, device))
                    self._waves = [*self._waves[-7:], waves]
                    for path, device in self._breakers.items():
                        # With a merging unit, only a change of the voltage indicators is news to the cabinet.
                        unit = self.feeder.devices[device].merging_unit
                        if unit is None or self._felt.get(path) != effect.live[device]:
                            self._felt[path] = effect.live[device]
                            self._later(waves.start_us, path, self._cabinet(device, effect))
                case Moved(time_us, device, position):
                    self._record(
                        time_us,
                        "contact",
                        {"device": self.feeder.devices[device].name, "position": position.name.lower()},
                    )
                    for path, own in self._breakers.items():
                        if own == device:
                            self._later(time_us, path, {"position": int(position)})
                case Truth(time_us, kind, details):
                    self._record(time_us, kind, details)
        if newest is not None:
            amps = np.abs(newest.waves.phasor[:, :3]).max(axis=1)
            currents = {d.name: round(float(a), 1) for d, a in zip(self.feeder.devices, amps, strict=True)}
            self._record(newest.waves.start_us, "currents", {"a": currents})
            behind = self._clock() - newest.waves.start_us
            if behind > LATE_US and self._merging_units:
                self._record(newest.waves.start_us, "late", {"by_us": behind})
        self.truth.flush()

    def _cabinet(self, device: int, seen: NewWaves) -> dict[str, Any]:
        """What the breaker's cabinet feels: voltage indicators and, for a conventional relay, phasors."""
        phasor = seen.waves.phasor[device]
        return {
            "time_us": seen.waves.start_us,
            "live": list(seen.live[device]),
            "phasors": [[round(x.real, 3), round(x.imag, 3)] for x in phasor.tolist()],
            "second_a": round(float(np.abs(seen.waves.second[device, :3]).max()), 3),
        }

    def _later(self, at_us: int, path: str, message: dict[str, Any]) -> None:
        self._count += 1
        heapq.heappush(self._outbox, (at_us, self._count, path, message))

    def _send(self, path: str, datagram: bytes) -> None:
        try:
            self.endpoint.sendto(datagram, path)
        except OSError:
            # The process at that end is gone; it says hello again when it is back.
            self._merging_units.pop(path, None)
            self._breakers.pop(path, None)

    # --- what comes in -----------------------------------------------------------------------------------------------

    def receive(self, datagram: bytes, sender: str | None, now_us: int) -> None:
        """One datagram of the socket."""
        message = link.parse(datagram)
        try:
            answer = self._dispatch(message, sender, now_us)
        except (StoryError, KeyError, TypeError, ValueError) as error:
            answer = {"answer": "error", "error": str(error)}
        if answer is not None and sender:
            self._send(sender, json.dumps(answer).encode())

    def _dispatch(self, message: dict[str, Any], sender: str | None, now_us: int) -> dict[str, Any] | None:
        match message:
            case {"hello": str(ied), "device": str(name), "role": str(role)} if sender:
                self._greet(ied, self.feeder.device_index[name], role, sender)
                return None
            case {"coil": "open" | "close" as which, "device": str(name)}:
                self.feeder.device(name)
                order = CloseDevice(name) if which == "close" else OpenDevice(name)
                self._take(self.plant.step(order, now_us))
                return None
            case {"start": _}:
                return self._start(message["start"], now_us)
            case {"inject": item}:
                at = int(message.get("at_us", 0)) or now_us + LOOKAHEAD_US + round(1000 * message.get("in_ms", 0))
                self.inject(parse_event(item, self.feeder), max(at, now_us + LOOKAHEAD_US))
                return {"answer": "inject", "at_us": at}
            case {"snapshot": _}:
                return {"answer": "snapshot", "started_us": self._started_us, **self.plant.snapshot()}
            case {"stop": _}:
                self.stopped = True
                return {"answer": "stop"}
        return {"answer": "error", "error": "not understood"}

    def _start(self, at: Any, now_us: int) -> dict[str, Any]:
        if self._started_us is not None:
            return {"answer": "error", "error": "started already", "at_us": self._started_us}
        begin = int(at) if isinstance(at, int) and not isinstance(at, bool) else now_us + LEAD_US
        self._started_us = max(begin, now_us + LOOKAHEAD_US)
        self._record(self._started_us, "start", {"seed": self.story.options.seed})
        self.truth.flush()
        for offset, event in self.story.events:
            self.inject(event, self._started_us + offset)
        return {"answer": "start", "at_us": self._started_us}

    def _greet(self, ied: str, device: int, role: str, sender: str) -> None:
        self._instruments[ied] = sender
        if role == "merging_unit":
            self._merging_units[sender] = device
            for waves in self._waves[-2:]:
                self._send(sender, link.encode_waves(waves, device))
        elif role == "breaker":
            self._breakers[sender] = device
            self._felt[sender] = self.plant.live[device]
            message = self._cabinet(device, NewWaves(self.plant.waves, self.plant.live))
            message["position"] = int(self.plant.mechanisms[device].contact)
            self._send(sender, json.dumps(message).encode())
        else:
            raise ValueError(f"role {role!r}")


def serve(server: PlantServer) -> None:
    """Until told to stop."""
    endpoint = server.endpoint
    endpoint.setblocking(False)
    while not server.stopped:
        now = utc_us()
        server.work(now)
        due = server.deadline()
        timeout = 1.0 if due is None else min(max((due - utc_us()) / 1e6, 0.0), 1.0)
        if select.select([endpoint], [], [], timeout)[0]:
            for _ in range(64):
                try:
                    datagram, sender = endpoint.recvfrom(link.MAX_DATAGRAM)
                except BlockingIOError:
                    break
                server.receive(datagram, sender, utc_us())


def main(arguments: list[str] | None = None) -> int:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="plant_process", description="The plant of one feeder.")
    parser.add_argument("--feeder", "--scd", dest="feeder", required=True, help="SCD, or a drawing (.yaml)")
    parser.add_argument("--ratings")
    parser.add_argument("--plant", required=True, help="path of the socket")
    parser.add_argument("--truth", required=True, help="where the truth goes (JSON lines)")
    parser.add_argument("--scenario")
    options = parser.parse_args(arguments)
    try:
        feeder = read_feeder(options.feeder, options.ratings)
        story = read_story(options.scenario, feeder) if options.scenario else Story(PlantOptions(), ())
    except (OSError, ValueError, SclError) as error:
        print(error, file=sys.stderr)
        return 2
    endpoint = link.bind(options.plant)
    try:
        with Path(options.truth).open("w", encoding="utf-8") as truth:
            server = PlantServer(feeder, story, endpoint, truth, utc_us())
            with contextlib.suppress(OSError):
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
            gc.collect()
            gc.freeze()
            print("ready", flush=True)
            serve(server)
    finally:
        endpoint.close()
        Path(options.plant).unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""A test bench around real agents: drawing, SCD, keys; merging units, breakers' IEDs and mechanisms played here.

Everything runs on loopback multicast, so that no test needs root. One source, F1, zone Z1, R1, zone Z2.
"""

from __future__ import annotations

import cmath
import json
import math
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.core import Key as CoreKey
from agent.core import Layout, Multicast, Segment, SvSource, SvSourceConfig, Wave
from agent.goose.dataset import command_data_set, status_data_set
from agent.goose.endpoint import Endpoint, link_spec
from agent.goose.link import L2, Udp, open_link
from agent.goose.publisher import Publisher
from agent.goose.stream import Stream
from agent.goose.subscriber import Subscriber
from agent.logic.messages import BreakerCommand, BreakerStatus, Live, Position
from agent.security import keys as key_file
from agent.security.frames import Algorithm
from agent.station import local
from agent.station.compile import agent_config
from agent.station.launch import Options
from scl import describe, generate

DRAWING = """
name: bench
frequency_hz: 50
nominal_kv: 10
neutral: solid
line_types:
  cable: {r1_ohm_per_km: 0.08, x1_ohm_per_km: 0.1, r0_ohm_per_km: 0.4, x0_ohm_per_km: 0.25, c1_uf_per_km: 0.4,
          c0_uf_per_km: 0.4, rating_a: 400}
device_types:
  cb: {kind: breaker, rated_current_a: 630, phase_pickup_a: 600, earth_pickup_a: 120, opening_time_ms: 45,
       closing_time_ms: 60, phase_pickup_range_a: [540, 660], setting_groups: [{phase_pickup_a: 560}]}
devices:
  F1: {type: cb, a: SRC1, b: Z1}
  R1: {type: cb, a: Z1, b: Z2}
zones:
  SRC1:
    substation: S1
    sources:
      SRC1: {rated_kva: 15000, short_circuit_mva: 240, x_to_r: 10}
  Z1:
    sections: [{type: cable, km: 1}]
    loads:
      L1: {at: 1, p_kw: 500, pf: 0.95, customers: 10, priority: 3}
  Z2:
    sections: [{type: cable, km: 1}]
    loads:
      L2: {at: 1, p_kw: 300, pf: 0.95, customers: 10, priority: 3}
"""
DEVICES = ("F1", "R1")
LOAD_A = {"F1": 46.0, "R1": 17.0}
FAULT_A = 4000.0
VOLT = 10_000 / math.sqrt(3)
TURN = cmath.exp(-2j * math.pi / 3)


def waves(amps: float, volts: float, lag: float = 0.3) -> tuple[Wave, ...]:
    """Symmetrical currents lagging the voltages."""
    current = amps * cmath.exp(-1j * lag)
    currents = [Wave(current * TURN**k) for k in range(3)]
    voltages = [Wave(volts * TURN**k) for k in range(3)]
    return (*currents, Wave(), *voltages, Wave())


def now_us() -> int:
    """UTC microseconds."""
    return time.time_ns() // 1000


class Bay:
    """One device: its merging unit's source, its breaker's IED, its mechanism."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.options = options
        config = agent_config(options)
        key = next(iter(key_file.load(options.keys)))
        self.key = key
        self.silent = False
        """Its IED says nothing."""
        self.position = Position.CLOSED
        self.blocked = False
        self.trips: list[int] = []
        self.closes: list[int] = []
        assert config.sv is not None
        self.source = SvSource(
            SvSourceConfig(
                config.sv.sv_id, config.sv.appid,
                link=Multicast(config.sv.group, options.udp_port, options.udp_interface),
                layout=Layout[config.sv.layout], conf_rev=config.sv.conf_rev,
                key=CoreKey(key.identifier, key.secret, key.algorithm.size, key.algorithm.iv_size > 0), delay_us=1000,
            )
        )  # fmt: skip
        self.show(LOAD_A[name], VOLT)
        self.source.set_synch(2)
        self.source.start()
        self.told: Stream = config.status_in
        self.orders: Stream = config.order_out
        self.link = open_link(self.spec(self.orders))
        self.order = BreakerCommand()
        self.opens_at = 0
        self.restart()

    def spec(self, stream: Stream) -> L2 | Udp:
        """A link that hears this stream."""
        return link_spec([stream], "", self.options.udp_port, self.options.udp_interface)

    def restart(self) -> None:
        """The IED begins anew, with the first state number."""
        self.publisher: Publisher[BreakerStatus] = Publisher(self.told, status_data_set(), self.key)
        subscriber: Subscriber[BreakerCommand] = Subscriber(self.orders, command_data_set(), (self.key,))
        self.endpoint = Endpoint(self.link, (self.publisher,), (subscriber,))
        self.silent = False
        self.tell()

    def show(self, amps: float, volts: float, at_us: int = 0) -> None:
        """What the instrument transformers see from a time on."""
        self.source.set_segment(Segment(at_us or now_us(), waves(amps, volts)))

    def tell(self) -> None:
        """Publish the position."""
        status = BreakerStatus(self.position, Live.LIVE, Live.LIVE, blocked=self.blocked)
        self.endpoint.publish(self.publisher, status, now_us())

    def turn(self) -> None:
        """One turn of the IED: orders in, the mechanism, repetitions out."""
        if self.silent:
            return
        for heard in self.endpoint.receive():
            order: BreakerCommand = heard.result.message
            if order.block_close != self.blocked:
                self.blocked = order.block_close
                self.tell()
            if order.trip and not self.order.trip and self.position is Position.CLOSED:
                self.trips.append(now_us())
                self.opens_at = now_us() + 30_000
            if order.close_number > self.order.close_number and order.close_expiry_us > now_us():
                self.closes.append(now_us())
            self.order = order
        if self.opens_at and now_us() >= self.opens_at:
            self.opens_at = 0
            self.position = Position.OPEN
            self.show(0.0, VOLT if self.name == "F1" else 0.0)
            self.tell()
        self.endpoint.timer(now_us())


class Bench:
    """Files, bays and agents; use as a context manager."""

    def __init__(self, directory: Path, algorithm: Algorithm = Algorithm.HMAC_SHA256_128, text: str = DRAWING) -> None:
        self.directory = directory
        self.port = random.SystemRandom().randint(20_000, 50_000)
        drawing = directory / "feeder.yaml"
        drawing.write_text(text)
        self.scd = directory / "feeder.scd"
        generate.generate(describe.load(drawing), routed=True, port=self.port).write(self.scd)
        self.keys = directory / "keys.yaml"
        key_file.write_laboratory_keys(self.keys, ["flisr"], algorithm)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.bays = {name: Bay(name, self.options(name)) for name in DEVICES}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._thread.start()

    def options(self, name: str) -> Options:
        """Of one agent."""
        return Options(
            self.scd, None, f"{name}_AG", self.keys, self.state(name), udp=True, udp_port=self.port, priority=0
        )

    def state(self, name: str) -> Path:
        """State directory of one agent."""
        return self.directory / "state" / name

    def start(self, name: str, *more: str, keyed: bool = True) -> subprocess.Popen[bytes]:
        """Start an agent as a user would; ``keyed``: with the key file."""
        arguments = ["--scd", str(self.scd), "--ied", f"{name}_AG"]
        arguments += ["--keys", str(self.keys)] if keyed else []
        arguments += ["--state-dir", str(self.state(name)), "--udp", "--udp-port", str(self.port)]
        arguments += ["--time-source", "trusted", *more]
        process = subprocess.Popen(
            [sys.executable, "-m", "agent.cli", "agent", "run", *arguments], stderr=subprocess.PIPE
        )
        self.processes[name] = process
        return process

    def status(self, name: str) -> dict[str, Any]:
        """``flisr agent status --json``; empty while it does not run."""
        try:
            return local.ask(self.state(name), {"op": "status"})
        except local.NotRunningError:
            return {}

    def pss_kb(self, name: str) -> int:
        """What both processes of an agent occupy."""
        total = 0
        for pid in self.pids(name).values():
            try:
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                pytest.skip("this kernel does not show smaps_rollup")
            total += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
        return total

    def events(self, name: str) -> list[dict[str, Any]]:
        """The event log so far."""
        path = self.state(name) / "events.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def names(self, name: str) -> list[str]:
        """Names of its events."""
        return [str(event["name"]) for event in self.events(name)]

    def pids(self, name: str) -> dict[str, int]:
        """Of its two processes."""
        found: dict[str, int] = json.loads((self.state(name) / "pids.json").read_text())
        return found

    def _play(self) -> None:
        poll = select.epoll()
        for bay in self.bays.values():
            poll.register(bay.endpoint.fileno(), select.EPOLLIN)
        while not self._stop.is_set():
            poll.poll(0.002)
            for bay in self.bays.values():
                bay.turn()

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            process.communicate(timeout=15)
        for name in DEVICES:
            if (self.state(name) / "pids.json").exists():
                try:
                    os.kill(self.pids(name)["protection"], signal.SIGKILL)
                except ProcessLookupError:
                    continue
        self._stop.set()
        self._thread.join(5)
        for bay in self.bays.values():
            bay.source.stop()


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for something."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)

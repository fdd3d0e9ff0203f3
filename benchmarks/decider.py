"""A far end at which an agent's brain decides: a neighbour's pick-up comes in, evidence of the samples goes out.

It is the agent's own way (:class:`agent.station.wire.StationWire`, engine, brain), of a load-break switch of the
demonstration feeder with eleven others around it. What the samples say is made up: load, and no fault. The neighbour's
pick-up is old enough that samples reach past it and the spread of two devices, so that the answer is due at once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from agent.goose.dataset import report_data_set
from agent.goose.publisher import Publisher
from agent.logic.config import BrainConfig
from agent.logic.messages import (
    BreakerCommand,
    BreakerStatus,
    CommandResult,
    Direction,
    Level,
    Live,
    LockRecord,
    Position,
    Report,
)
from agent.station.config import AgentConfig, brain_maker
from agent.station.engine import Details, Engine
from agent.station.rehearse import FAULT_A, READY_US, quiet, well
from agent.station.wire import StationWire, goose_keys

DRAWING = Path(__file__).parents[1] / "simulator" / "feeders" / "demo.yaml"
DEVICE = "L12"
LATE_US = 300
"""The samples reach this far past what is asked for."""


def configuration(folder: Path, interface: str, udp_port: int = 0) -> AgentConfig:
    """Of the device's agent, from the SCD of the feeder."""
    from agent.security import keys
    from agent.station.compile import agent_config
    from agent.station.launch import Options
    from scl import describe, generate

    scd, key_file = folder / "feeder.scd", folder / "keys.yaml"
    if not scd.exists():
        generate.generate(describe.load(DRAWING)).write(scd)
        keys.write_laboratory_keys(key_file, ["flisr"])
    options = Options(
        scd, None, f"{DEVICE}_AG", key_file, folder / "state", station_bus="" if udp_port else interface,
        udp_port=udp_port, priority=0,
    )  # fmt: skip
    return agent_config(options)


def picked_up(agent: AgentConfig, device: int, now: int) -> Report:
    """It sees a fault on its far side, as of so long ago that the others can say at once what they saw."""
    devices = agent.feeder.devices
    away = devices[device].zone_a in (devices[agent.device].zone_a, devices[agent.device].zone_b)
    since = now - BrainConfig().pickup_spread - LATE_US
    return well(agent, device, since)._replace(
        level=Level.PICKUP, direction=Direction.INTO_B if away else Direction.INTO_A, start_us=since - 100,
        peak_a=FAULT_A,
    )  # fmt: skip


@dataclass
class Decider:
    """The agent's engine with its wire; the outbox, too."""

    agent: AgentConfig
    wire: StationWire

    def __post_init__(self) -> None:
        self.engine = Engine(brain_maker(self.agent), None, self, _now)

    def operate(self, command: BreakerCommand, now: int) -> None:
        self.wire.operate(command, now)

    def publish(self, report: Report, now: int) -> None:
        self.wire.publish(report, now)

    def latch(self, serial: int, record: LockRecord) -> None:
        raise RuntimeError("a lock-out in a benchmark without a fault")

    def result(self, result: CommandResult) -> None:
        raise RuntimeError("nobody has asked")

    def event(self, name: str, t_us: int, details: Details) -> None:
        """Nobody reads them."""

    def begin(self) -> None:
        """All devices are well, the feeder carries load."""
        now = _now() - READY_US
        reports = report_data_set(len(self.agent.feeder.zones), len(self.agent.feeder.devices))
        keys = goose_keys(self.agent)
        self.engine.start(now)
        self.engine.breaker(BreakerStatus(Position.CLOSED, Live.LIVE, Live.LIVE), now)
        self.refresh(now)
        for peer in self.agent.reports_in:
            publisher: Publisher[Report] = Publisher(peer.stream, reports, keys)
            self.wire.rehearse(publisher.publish(well(self.agent, peer.device, now), now), now, self.engine)
        self.refresh(_now())
        self.engine.timer(_now())
        if not self.engine.report.ready:
            raise RuntimeError("the agent is not ready")

    def refresh(self, now: int) -> None:
        """What the core would say."""
        self.engine.measured(quiet(now)._replace(upto_us=now), now)

    def serve(self) -> None:
        """Until somebody ends the process."""
        wire, engine = self.wire, self.engine
        while True:
            wire.waiter.wait(1.0)
            wire.receive(engine, self.refresh)


def _now() -> int:
    return time.time_ns() // 1000

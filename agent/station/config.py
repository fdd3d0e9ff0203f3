"""The compiled-in configuration of one agent: everything the protection process needs, and nothing it has to parse.

Made once from SCL, ratings and keys (``agent.station.compile``), handed over as JSON on an inherited descriptor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from agent.goose.known import Mark
from agent.goose.stream import Stream
from agent.logic.messages import LockRecord
from agent.logic.thresholds import refused
from agent.security.ring import GRACE_S
from agent.station import plain
from scl.topology import Feeder, Pickups

if TYPE_CHECKING:
    from agent.station.engine import BrainFace


class KeyConfig(NamedTuple):
    """One group key. The secret lives in memory only."""

    identifier: int
    algorithm: str
    secret: bytes
    group: str = ""
    from_us: int | None = None
    until_us: int | None = None


class PeerStream(NamedTuple):
    """A neighbour's reports."""

    device: int
    """Index of the neighbour's device."""
    stream: Stream


class SvConfig(NamedTuple):
    """The Sampled Values stream of the agent's own merging unit."""

    sv_id: str
    appid: int
    mac: str
    layout: str
    """Name of a member of ``agent.core.config.Layout``."""
    conf_rev: int
    group: str = ""
    keys: tuple[KeyConfig, ...] = ()
    """Each verifies until its time and the grace are over."""


class LinkConfig(NamedTuple):
    """Where frames come and go."""

    station_bus: str = ""
    process_bus: str = ""
    udp_port: int = 0
    """0: Ethernet frames."""
    udp_interface: str = "127.0.0.1"


class Setting(NamedTuple):
    """What the overcurrent elements are set to."""

    group: int
    """The active setting group."""
    pickups: Pickups


class PeerName(NamedTuple):
    """For people."""

    device: int
    name: str


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """See the module."""

    ied: str
    device: int
    feeder: Feeder
    state_dir: str
    priority: int
    link: LinkConfig
    keys: tuple[KeyConfig, ...]
    """Of GOOSE: who signs and verifies when is told by their times."""
    report_out: Stream
    order_out: Stream
    reports_in: tuple[PeerStream, ...]
    status_in: Stream
    sv: SvConfig | None
    peers: tuple[PeerName, ...]
    key_grace_s: int = GRACE_S
    digest: str = ""
    """Of all the rest: two processes with the same digest run the same configuration."""


@dataclass(frozen=True, slots=True)
class Start:
    """What a protection process starts from: the configuration and what earlier runs left."""

    agent: AgentConfig
    record: LockRecord | None
    unreadable: bool
    numbers: dict[str, int]
    """First stNum by control block name."""
    marks: dict[str, Mark]
    """How far each stream had come, by control block reference."""
    time_good: bool
    setting: Setting | None = None
    """None: as the SCD says."""

    @classmethod
    def load(cls, document: dict[str, Any]) -> Start:
        """From JSON; ValueError if it does not fit."""
        return plain.load(cls, document)

    def refuses(self, setting: Setting) -> str:
        """Why the elements must not be set so, whoever says so; empty: they may."""
        feeder, device = self.agent.feeder, self.agent.device
        number = len(feeder.devices[device].groups)
        if not 1 <= setting.group <= number:
            return f"there are {number} setting groups"
        return refused(feeder, device, setting.group, setting.pickups)

    def pickups(self) -> Setting:
        """What the elements start with."""
        if self.setting is not None and not self.refuses(self.setting):
            return self.setting
        device = self.agent.feeder.devices[self.agent.device]
        return Setting(device.active_group, device.groups[device.active_group - 1])

    def restored(self) -> LockRecord | None:
        """The brain's start: an unreadable latch starts locked."""
        from agent.logic.brain import LOCKED_UNREADABLE

        return LOCKED_UNREADABLE if self.unreadable else self.record


def brain_maker(agent: AgentConfig) -> Callable[[LockRecord | None], BrainFace]:
    """A function that makes this agent's brain from a latch."""
    from agent.logic.brain import Brain

    return lambda record: Brain(agent.feeder, agent.device, restored=record)

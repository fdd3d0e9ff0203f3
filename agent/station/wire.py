"""The agent's GOOSE traffic: a link, two publishers, a subscriber for each neighbour and one for the breaker's IED."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from agent.goose.dataset import command_data_set, report_data_set, status_data_set
from agent.goose.endpoint import Endpoint, link_spec
from agent.goose.inbox import Inbox
from agent.goose.link import Link, open_link
from agent.goose.publisher import Publisher
from agent.goose.subscriber import Accepted, Heard, Mark, Subscriber
from agent.logic.grid import Grid
from agent.logic.messages import BreakerCommand, Report
from agent.security.frames import ALGORITHMS, Key, make_key
from agent.security.iv import Ivs, fixed_field
from agent.security.ring import KeyGroup
from agent.station.config import AgentConfig, KeyConfig
from agent.station.engine import Engine
from agent.station.ivs import IvReserve

BREAKER = -1
ASKED = frozenset(
    {"request.number", "request.kind", "request.zones", "request.p_kw", "request.q_kvar", "request.opens"}
)
"""Members of a far device's report that concern, at once, an agent which has nothing to decide itself …"""
MEASURED = frozenset({"upto_us", "peak_a", "p_kw", "q_kvar"})
"""… and those of a near one's that do not: answers to others, and load."""


def key_of(config: KeyConfig) -> Key:
    """A prepared key."""
    return make_key(
        config.identifier, ALGORITHMS[config.algorithm], config.secret, config.group,
        valid_from_us=config.from_us, valid_until_us=config.until_us,
    )  # fmt: skip


def goose_keys(agent: AgentConfig) -> KeyGroup:
    """The keys of the agent's GOOSE, in time."""
    return KeyGroup(map(key_of, agent.keys), agent.key_grace_s)


class StationWire:
    """See the module. Nothing here raises because of what a peer sends."""

    def __init__(
        self,
        agent: AgentConfig,
        numbers: dict[str, int],
        link: Link | None = None,
        marks: Mapping[str, Mark] = MappingProxyType({}),
    ) -> None:
        """``numbers``: first stNum by control block name. ``link``: instead of the configured one (tests).
        ``marks``: how far each stream had come, by control block reference."""
        keys = goose_keys(agent)
        ivs: Ivs | None = None
        self.iv_problem = ""
        """What was wrong with the mark of the IVs; see :class:`agent.station.ivs.IvReserve`."""
        self._inbox: Inbox | None = None
        self._relaxed = False
        if link is None:
            if any(key.algorithm.iv_size for key in keys):
                reserve = IvReserve(Path(agent.state_dir))
                ivs = Ivs(fixed_field(agent.ied), reserve.take())
                self.iv_problem = reserve.problem
            streams = [peer.stream for peer in agent.reports_in] + [agent.status_in]
            where = agent.link
            link = open_link(link_spec(streams, where.station_bus, where.udp_port, where.udp_interface))
            link = self._inbox = Inbox(link, agent.priority + 1 if agent.priority else 0)
        feeder = agent.feeder
        reports = report_data_set(len(feeder.zones), len(feeder.devices))
        source = link.address or bytes(6)
        self._reports: Publisher[Report] = Publisher(
            agent.report_out, reports, keys, source=source, first_st_num=numbers.get("gcbFlisr", 1), ivs=ivs
        )
        self._orders: Publisher[BreakerCommand] = Publisher(
            agent.order_out,
            command_data_set(),
            keys,
            source=source,
            first_st_num=numbers.get("gcbOper", 1),
            ivs=ivs,
        )
        self._device: dict[int, int] = {}
        """Device index, or BREAKER, by the subscriber's identity."""
        subscribers: list[Subscriber[Any]] = []
        for peer in agent.reports_in:
            subscribers.append(Subscriber(peer.stream, reports, keys, mark=marks.get(peer.stream.gocb_ref)))
            self._device[id(subscribers[-1])] = peer.device
        near = Grid.of(feeder).near2[agent.device]
        told = frozenset(member.field for member in reports.members) - MEASURED
        urgent = {number: told if near >> peer.device & 1 else ASKED for number, peer in enumerate(agent.reports_in)}
        mark = marks.get(agent.status_in.gocb_ref)
        subscribers.append(Subscriber(agent.status_in, status_data_set(), keys, mark=mark))
        self._device[id(subscribers[-1])] = BREAKER
        self._endpoint = Endpoint(link, (self._orders, self._reports), subscribers, urgent)

    def descriptors(self) -> list[int]:
        """For epoll."""
        return [self._endpoint.fileno()]

    def receive(self, descriptor: int, engine: Engine, refresh: Callable[[int], None]) -> bool:
        """Take in what has come; the core's samples are read before the first accepted frame reaches the brain.

        False: nothing new, or repetitions only.
        """
        del descriptor
        news = [heard for heard in self._endpoint.receive() if heard.result.new]
        if not news:
            return False
        refresh(time.time_ns() // 1000)
        for heard in news:
            self._give(heard.subscriber, heard.result.message, time.time_ns() // 1000, engine)
        return True

    def _give(self, subscriber: Subscriber[Any], message: Any, now: int, engine: Engine) -> None:
        device = self._device[id(subscriber)]
        if device == BREAKER:
            engine.breaker(message, now)
        else:
            engine.peer(device, message, now)

    def rehearse(self, payload: bytes, now: int, engine: Engine) -> None:
        """A frame as if it had come at ``now``, for :mod:`agent.station.rehearse`."""
        subscriber, result = self._endpoint.take(payload, now)
        if subscriber is not None and isinstance(result, Accepted) and result.new:
            self._give(subscriber, result.message, now, engine)

    def relax(self, on: bool) -> bool:
        """The brain has nothing to decide: what far devices do can wait, unless they claim or ask for something.

        True: this has just ended, and there may be something to take in.
        """
        if self._inbox is None or on == self._relaxed:
            return False
        self._relaxed = on
        self._inbox.relax(on)
        return not on

    def operate(self, command: BreakerCommand, now: int) -> None:
        """Order to the breaker's IED."""
        self._endpoint.publish(self._orders, command, now)

    def publish(self, report: Report, now: int) -> None:
        """Report to the neighbours."""
        self._endpoint.publish(self._reports, report, now)

    def timer(self, now: int, engine: Engine) -> None:
        """Retransmissions, and streams that fell silent."""
        for silent in self._endpoint.timer(now):
            device = self._device[id(silent.subscriber)]
            if device == BREAKER:
                engine.breaker_lost(now)
            else:
                engine.peer_lost(device, now)

    @property
    def deadline(self) -> int | None:
        """The next retransmission or end of a time to live."""
        return self._endpoint.deadline

    def rekey(self, keys: KeyGroup) -> None:
        """Other keys from the next frame on; CodecError, and nothing has changed, if they do not fit."""
        self._endpoint.rekey(keys)

    def close(self) -> None:
        """Nothing is sent or heard any more."""
        self._endpoint.link.close()

    def time_quality(self, good: bool, quality: int | None = None) -> None:
        """Whether our clock can be relied on (else others' age is not checked), and TimeQuality for our time stamps."""
        self._endpoint.time_quality(good, quality)

    def numbers(self) -> dict[str, int]:
        """Last stNum of each control block."""
        return {"gcbFlisr": self._reports.st_num, "gcbOper": self._orders.st_num}

    def marks(self) -> dict[str, Mark]:
        """How far each stream that was ever heard has come, by control block reference."""
        found = {subscriber.stream.gocb_ref: subscriber.mark for subscriber in self._endpoint.subscribers}
        return {reference: mark for reference, mark in found.items() if mark is not None}

    def subscriptions(self) -> tuple[Heard, ...]:
        """Each subscription: the peers' in the order of the configuration, then the breaker's."""
        return tuple(subscriber.heard for subscriber in self._endpoint.subscribers)

    def counters(self) -> dict[str, int]:
        """Frames sent, accepted, and dropped by cause."""
        counters = {f"goose_{name.replace('-', '_')}": n for name, n in self._endpoint.counters().items()}
        counters["goose_unsent"] = getattr(self._endpoint.link, "unsent", 0)
        if self._inbox is not None:
            counters.update({f"goose_in_{name}": n for name, n in self._inbox.counters().items()})
        return counters

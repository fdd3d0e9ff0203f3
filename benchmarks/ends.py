"""The two ends of a cable between which GOOSE goes there and back: who answers, and who asks.

Whoever is compared is asked in turn, some dozens of events each, by one process that holds a cable to each: so all meet
the same moments of the machine. Loads are this module's, too: processes that burn the processor, others' frames.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.goose.dataset import DataSet, report_data_set
from agent.goose.endpoint import Endpoint
from agent.goose.inbox import Inbox
from agent.goose.link import L2, Link, Udp, open_link
from agent.goose.publisher import Publisher
from agent.goose.stream import Stream
from agent.goose.subscriber import Subscriber
from agent.logic.messages import Report
from agent.security.frames import Algorithm, Key
from agent.security.ring import KeyGroup
from agent.station.config import AgentConfig
from agent.station.realtime import prepare
from agent.station.rehearse import beside, well
from agent.station.wire import StationWire, goose_keys
from benchmarks import decider, foreign
from simulator import lan

ZONES, DEVICES = 12, 12
PAUSE_S = 0.001
"""Between two events, so that the far process sleeps as it would in a substation."""
BLOCK = 40
"""Events in a row with the same far end."""
PRIORITY = 50
LOST_MAX = 20
UDP_PORT = 20_102
CABLE = "process"
OURS, UNREAD = "ours", "ours, unread"
"""Ours; our far end, and a near end that does with its answer what it does with another's."""
BRAIN = "brain"
"""A far end at which an agent's brain decides."""
ECHO, PEER = "echo", "libiec61850"
SECRET = bytes(range(32))
STATES = (Report(claim_number=1), Report(claim_number=2))
"""That are told, one after the other."""


def stream(number: int, routed: bool = False) -> Stream:
    """A report of a feeder with twelve agents."""
    reference = f"X{number}_AGLD0/LLN0"
    return Stream(
        f"{reference}$GO$gcbFlisr",
        f"{reference}$dsFlisr",
        f"X{number}",
        number,
        1,
        report_data_set(ZONES, DEVICES).b_types,
        mac=f"01-0C-CD-01-00-0{number}",
        group=f"239.192.0.{number}" if routed else "",
    )


@dataclass
class End:
    """One end of a cable, open."""

    inbox: Inbox
    endpoint: Endpoint
    publisher: Publisher[Report]
    tell: Callable[[int], Report] = lambda number: STATES[number % len(STATES)]
    """The next state, by its number."""
    over: Callable[[], Report] | None = None
    """What is told after the answer, without another one."""


def open_end(own: int, other: int, routed: bool, secured: bool = True) -> End:
    """Publishes stream ``own`` and hears stream ``other``, on the cable of the namespace that we are in."""
    keys = KeyGroup((Key(1, Algorithm.HMAC_SHA256_128, SECRET, "bench"),)) if secured else None
    return _opened(stream(own, routed), stream(other, routed), report_data_set(ZONES, DEVICES), keys, routed)


def _opened(told: Stream, heard: Stream, data_set: DataSet[Report], keys: KeyGroup | None, routed: bool) -> End:
    link: Link = open_link(Udp((heard.group,), UDP_PORT) if routed else L2(CABLE, (heard.mac,)))
    publisher: Publisher[Report] = Publisher(told, data_set, keys, source=link.address or bytes(6))
    inbox = Inbox(link)
    return End(inbox, Endpoint(inbox, (publisher,), (Subscriber(heard, data_set, keys),)), publisher)


def _now() -> int:
    return time.time_ns() // 1000


# --- the far end -----------------------------------------------------------------------------------------------------


def answer(kind: str, routed: bool, program: str, agent: AgentConfig | None, ready: int) -> None:
    """Each new state is answered with one of ours, until somebody ends the process."""
    if kind == BRAIN and agent is not None:
        far = decider.Decider(agent, StationWire(agent, {}))
        far.begin()
        prepare(PRIORITY)
        os.write(ready, b"1")
        far.serve()
    if kind == ECHO:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
        os.dup2(ready, 1)
        os.execv(program, [program, CABLE])
    if kind == PEER:
        os.dup2(2, 1)  # it talks
        _answer_as_libiec61850(ready)
    end = open_end(2, 1, routed)
    prepare(PRIORITY)
    os.write(ready, b"1")
    number = 0
    while True:
        end.inbox.wait(1.0)
        for heard in end.endpoint.receive():
            if heard.result.new:
                number += 1
                end.endpoint.publish(end.publisher, STATES[number % len(STATES)], _now())


def _answer_as_libiec61850(ready: int) -> None:
    """By libiec61850: a new state in, parsed by it, a new state of its own out."""
    import pyiec61850.pyiec61850 as lib

    heard, told = stream(1), stream(2)
    receiver = lib.GooseReceiver_create()
    lib.GooseReceiver_setInterfaceId(receiver, CABLE)
    subscriber = lib.GooseSubscriber_create(heard.gocb_ref, None)
    lib.GooseSubscriber_setAppId(subscriber, heard.appid)
    lib.GooseReceiver_addSubscriber(receiver, subscriber)
    parameters = lib.CommParameters()
    parameters.appId, parameters.vlanId, parameters.vlanPriority = told.appid, 0, 0
    lib.CommParameters_setDstAddress(parameters, *told.destination)
    publisher = lib.GoosePublisher_createEx(parameters, CABLE, False)
    lib.GoosePublisher_setGoCbRef(publisher, told.gocb_ref)
    lib.GoosePublisher_setDataSetRef(publisher, told.dat_set)
    lib.GoosePublisher_setGoID(publisher, told.go_id)
    values = lib.LinkedList_create()
    kept = [lib.MmsValue_newIntegerFromInt32(number) for number in range(len(told.b_types))]
    for value in kept:
        lib.LinkedList_add(values, value)
    if lib.GooseReceiver_startThreadless(receiver) is None:
        raise OSError("libiec61850 cannot listen")
    link = open_link(L2(CABLE, (heard.mac,)))  # its own descriptor is not told
    bell = select.epoll()
    bell.register(link.fileno(), select.EPOLLIN)
    prepare(PRIORITY)
    os.write(ready, b"1")
    number = lib.GooseSubscriber_getStNum(subscriber)
    while True:
        bell.poll()
        link.receive()
        while lib.GooseReceiver_tick(receiver):
            if (now := lib.GooseSubscriber_getStNum(subscriber)) != number:
                number = now
                lib.GoosePublisher_increaseStNum(publisher)
                lib.GoosePublisher_publish(publisher, values)


# --- the near end ----------------------------------------------------------------------------------------------------


class Course:
    """One far end, asked again and again. ``reads``: whether its answer is judged, or taken off the socket unread."""

    def __init__(self, end: End, reads: bool) -> None:
        self._end = end
        self._done: Callable[[], bool] = self._news if reads else self._anything
        self._number = 0
        self.times: list[int] = []
        self.lost = 0

    def _news(self) -> bool:
        return any(heard.result.new for heard in self._end.endpoint.receive())

    def _anything(self) -> bool:
        return bool(self._end.inbox.taken())

    def run(self, count: int) -> None:
        """Publish, and wait for the other's new state."""
        end = self._end
        for _ in range(count):
            self._number += 1
            time.sleep(PAUSE_S)
            began = time.perf_counter_ns()
            end.endpoint.publish(end.publisher, end.tell(self._number), _now())
            if self._wait():
                self.times.append(time.perf_counter_ns() - began)
                if end.over is not None:
                    end.endpoint.publish(end.publisher, end.over(), _now())
            else:
                self.lost += 1
                if self.lost > LOST_MAX:
                    raise RuntimeError(f"{self.lost} of {self._number} events lost")

    def _wait(self) -> bool:
        until = time.monotonic() + 1.0
        while (left := until - time.monotonic()) > 0:
            self._end.inbox.wait(left)
            if self._done():
                return True
        return False

    def figures(self) -> dict[str, float]:
        """Microseconds by percentile, and how many events were lost."""
        times = sorted(self.times)
        parts = (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))
        figures = {name: times[min(int(len(times) * part), len(times) - 1)] / 1000 for name, part in parts}
        return {**figures, "lost": float(self.lost)}


def ask(ends: dict[str, End], count: int) -> dict[str, dict[str, float]]:
    """By far end, in turn; ours also unread."""
    courses = {kind: Course(end, kind in (OURS, BRAIN)) for kind, end in ends.items()}
    if PEER in ends:
        courses[UNREAD] = Course(ends[OURS], False)
    for _ in range(-(-count // BLOCK)):
        for course in courses.values():
            course.run(BLOCK)
    return {kind: course.figures() for kind, course in courses.items()}


# --- both ------------------------------------------------------------------------------------------------------------


def _near(kind: str, routed: bool, agent: AgentConfig | None) -> End:
    """What the near end needs for this far end; the echo's answer is our own frame."""
    if kind == BRAIN and agent is not None:
        return _neighbour(agent, routed)
    return open_end(1, 1 if kind == ECHO else 2, routed, secured=kind != PEER)


def _neighbour(agent: AgentConfig, routed: bool) -> End:
    """One that picks up, and hears what the agent says to that."""
    device = beside(agent)[0]
    data_set = report_data_set(len(agent.feeder.zones), len(agent.feeder.devices))
    own = next(peer.stream for peer in agent.reports_in if peer.device == device)
    end = _opened(own, agent.report_out, data_set, goose_keys(agent), routed)
    end.tell = lambda _: decider.picked_up(agent, device, _now())
    end.over = lambda: well(agent, device, _now())
    return end


def _cables(kinds: Iterable[str], routed: bool) -> dict[str, tuple[lan.Host, lan.Host]]:
    """Near and far host of each kind; for datagrams, all on the loopback interface."""
    if routed:
        return {kind: (lan.Loopback(), lan.Loopback()) for kind in kinds}
    network = lan.Lan.open()
    cables: dict[str, tuple[lan.Host, lan.Host]] = {}
    for number, kind in enumerate(kinds):
        near, far = network.host(f"near{number}"), network.host(f"far{number}")
        network.join(near, far, CABLE)
        cables[kind] = near, far
    return cables


def main(request: dict[str, Any]) -> dict[str, dict[str, float]]:
    """``kinds`` of far ends, ``count`` of events each, ``routed``; ``echo`` and ``flood``: programs, or empty."""
    routed = bool(request["routed"])
    folder = Path(request["folder"])
    cables = _cables(request["kinds"], routed)
    agent = decider.configuration(folder, CABLE, UDP_PORT if routed else 0) if BRAIN in cables else None
    children: list[int] = []
    ends: dict[str, End] = {}
    try:
        for kind, (near, far) in cables.items():
            children.append(_start(far, kind, routed, request["echo"], agent))
            if request["flood"]:
                children += [foreign.start(near, request["flood"], folder, CABLE, part) for part in foreign.PARTS]
        for kind, (near, _) in cables.items():
            near.enter()
            ends[kind] = _near(kind, routed, agent)
        if request["flood"]:
            time.sleep(foreign.SETTLE_S)
        prepare(PRIORITY)
        return ask(ends, int(request["count"]))
    finally:
        for child in children:
            os.kill(child, 9)
            os.waitpid(child, 0)


def _start(host: lan.Host, kind: str, routed: bool, program: str, agent: AgentConfig | None) -> int:
    """The process of a far end that has said it is ready; its number."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            host.enter()
            answer(kind, routed, program, agent, write)
        finally:
            os._exit(1)
    os.close(write)
    if not os.read(read, 1):
        raise RuntimeError(f"the far end {kind!r} did not start")
    os.close(read)
    return child


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))

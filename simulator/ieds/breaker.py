"""The IED of one breaker: a program of its own between its agent's GOOSE and the mechanism.

    python -m simulator.ieds.breaker --scd F --ratings F --ied F1_BR --keys F --plant SOCKET --state-dir D
        (--interface IF | --udp)

Orders come only as its agent's ``gcbOper``, authentic, in sequence, fresh, not in test or simulation; position and
voltage indicators leave only as ``gcbPos``. The rules are in :mod:`simulator.ieds.cabinet`. On standard output, JSON
lines of what it did (``ready``, ``trip``, ``close``, ``close refused: …``, ``dropped``).
"""

from __future__ import annotations

import contextlib
import gc
import json
import select
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

from agent.goose.dataset import command_data_set, status_data_set
from agent.goose.link import L2, Link, Udp, open_link
from agent.goose.publisher import Publisher
from agent.goose.stream import Stream
from agent.goose.subscriber import Accepted, Subscriber
from agent.logic.messages import BreakerCommand, BreakerStatus, Position
from agent.station.realtime import Timer
from scl import flisr_dataset as names
from scl.topology import DeviceKind
from simulator.ieds import retained as disk
from simulator.ieds import wiring
from simulator.ieds.cabinet import Cabinet, Outcome
from simulator.ieds.link import PlantLink, parse
from simulator.ieds.relay import Relay

HELLO_US = 500_000
INDICATOR_US = 15_000
"""A voltage indicator (VPIS) answers after this time."""


def utc_us() -> int:
    """Microseconds UTC."""
    return time.time_ns() // 1000


class BreakerIed:
    """One breaker's IED with its ends; :meth:`run` is its loop."""

    def __init__(
        self,
        name: str,
        device: str,
        orders: Subscriber[BreakerCommand],
        positions: Publisher[BreakerStatus],
        goose: Link,
        plant: PlantLink,
        directory: Path,
        relay: Relay | None,
    ) -> None:
        self.name = name
        self.device = device
        self._orders = orders
        self._positions = positions
        self._goose = goose
        self._plant = plant
        self._relay = relay
        self.cabinet = Cabinet(disk.read(directory)[0])
        self.keeper = disk.Keeper(directory, lambda why: self._say(utc_us(), "not retained", error=why))
        self._published: BreakerStatus | None = None
        self._indicators: deque[tuple[int, bool, bool]] = deque()
        self._greeted = False
        self._hello_us = 0
        self._dropped: dict[str, int] = {}
        self.stopped = False

    # --- the loop ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Until told to stop."""
        timer = Timer()
        epoll = select.epoll()
        for end in (self._goose.fileno(), self._plant.fileno(), timer.fileno()):
            epoll.register(end, select.EPOLLIN)
        self._plant.socket.setblocking(False)
        while not self.stopped:
            timer.arm(self.deadline())
            ready = {descriptor for descriptor, _ in epoll.poll(1.0)}
            if timer.fileno() in ready:
                timer.acknowledge()
            if self._goose.fileno() in ready:
                for payload, _source, _t_us in self._goose.receive():
                    self.frame(payload, utc_us())
            if self._plant.fileno() in ready:
                self._from_plant()
            self.timer(utc_us())

    def _from_plant(self) -> None:
        while True:
            try:
                datagram = self._plant.receive()
            except BlockingIOError:
                return
            self.told(parse(datagram), utc_us())

    def deadline(self) -> int | None:
        """When :meth:`timer` has something to do."""
        due = [self.cabinet.deadline, self._positions.deadline, self._orders.deadline]
        due.append(self._relay.deadline if self._relay else None)
        due.append(self._indicators[0][0] if self._indicators else None)
        due.append(None if self._greeted else self._hello_us)
        return min((t for t in due if t is not None), default=None)

    def timer(self, now: int) -> None:
        """Everything that is due."""
        if not self._greeted and now >= self._hello_us:
            self._hello_us = now + HELLO_US
            self._to_plant({"hello": self.name, "device": self.device, "role": "breaker"})
        while self._indicators and self._indicators[0][0] <= now:
            _, live_a, live_b = self._indicators.popleft()
            self.cabinet.voltage(live_a, live_b)
        if self._relay is not None and self._relay.timer(now):
            self.cabinet.relay(self._relay.level, self._relay.direction)
        self._carry_out(self.cabinet.timer(now), now)
        if self._orders.timer(now) is not None:
            self._say(now, "agent silent")
        again = self._positions.timer(now)
        if again is not None:
            self._goose.send(again, self._positions.stream.group)

    # --- what comes in -----------------------------------------------------------------------------------------------

    def frame(self, payload: bytes, now: int) -> None:
        """One frame of the station bus."""
        result = self._orders.receive(payload, now)
        if isinstance(result, Accepted):
            outcome = self.cabinet.order(result.message, now)
            self._carry_out(outcome, now)
            if outcome.retain or result.new:
                self.keeper.keep(self.cabinet.retained, self._orders.mark)
        elif (count := self._dropped.get(result.reason, 0)) < 20 and result.reason not in ("foreign", "duplicate"):
            self._dropped[result.reason] = count + 1
            self._say(now, "dropped", reason=result.reason.value)

    def told(self, message: dict[str, Any], now: int) -> None:
        """Auxiliary contact, voltages and currents from the plant; orders of a scenario."""
        if isinstance(message.get("local"), bool):
            self.cabinet.switch_local(message["local"])
        if message.get("stop"):
            self.stopped = True
        if "live" in message:
            live_a, live_b = (bool(side) for side in message["live"])
            if not self._greeted:
                self.cabinet.voltage(live_a, live_b)
            else:
                self._indicators.append((now + INDICATOR_US, live_a, live_b))
            if self._relay is not None:
                self._relay.see([complex(*pair) for pair in message["phasors"]], float(message["second_a"]), now)
        if "position" in message:
            self._greeted = True
            self._carry_out(self.cabinet.moved(Position(message["position"]), now), now)
        else:
            self._carry_out(Outcome(), now)

    # --- what goes out -----------------------------------------------------------------------------------------------

    def _carry_out(self, outcome: Outcome, now: int) -> None:
        for coil in outcome.coils:
            self._to_plant({"coil": coil.value, "device": self.device})
        status = self.cabinet.status
        if self._greeted and status != self._published:
            self._published = status
            self._goose.send(self._positions.publish(status, now), self._positions.stream.group)
        for note in outcome.notes:
            self._say(now, note)

    def _to_plant(self, message: dict[str, Any]) -> None:
        try:
            self._plant.send(message)
        except OSError:
            self._greeted = False  # the plant is gone: greet it when it is back

    def _say(self, now: int, event: str, **details: Any) -> None:
        print(json.dumps({"t_us": now, "ied": self.name, "event": event, **details}), flush=True)


def build(options: wiring.Options, directory: Path) -> BreakerIed:
    """From files to an IED with open ends."""
    from agent.station.keyset import GROUP

    scheme, ied, ring = wiring.read(options, "breaker")
    device = scheme.feeder.device(ied.device or "")
    order = next(
        (c for publisher, c in ied.goose_in if (publisher, c.name) == (device.agent, names.OPER_CONTROL)), None
    )
    if order is None:
        raise wiring.WiringError(f"{ied.name} does not subscribe to {names.OPER_CONTROL} of {device.agent}")
    status_set = status_data_set("XCBR" if device.kind is DeviceKind.BREAKER else "XSWI")
    command_set = command_data_set()
    heard = wiring.stream(order, command_set, options.place)
    told = wiring.stream(ied.goose(names.POS_CONTROL), status_set, options.place)
    keys = ring.schedule(GROUP if GROUP in ring.groups else ring.groups[0])
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    goose = open_link(_link(heard, options.place))
    relay = None
    if device.merging_unit is None:
        feeder = scheme.feeder
        earth_trips = feeder.neutral.value in ("solid", "resistance")
        relay = Relay(device, feeder.frequency_hz, feeder.nominal_kv, earth_trips)
    subscriber = Subscriber(heard, command_set, keys, mark=disk.read(directory)[1])
    publisher = Publisher(told, status_set, keys, source=goose.address or bytes(6))
    plant = PlantLink(options.plant, ied.name)
    return BreakerIed(ied.name, device.name, subscriber, publisher, goose, plant, directory, relay)


def _link(stream: Stream, place: wiring.Place) -> L2 | Udp:
    if place.interface:
        return L2(place.interface, (stream.mac,))
    return Udp((stream.group,), place.udp_port, place.udp_interface)


def main(arguments: list[str] | None = None) -> int:
    """Entry point of the process."""
    from agent.security.keys import KeyFileError
    from scl.problem import SclError

    parser = wiring.parser("breaker", "The IED of one breaker.")
    parser.add_argument("--state-dir", required=True, type=Path, help="where the block is retained")
    parsed = parser.parse_args(arguments)
    try:
        ied = build(wiring.options(parsed), parsed.state_dir)
    except (wiring.WiringError, SclError, KeyFileError, OSError, KeyError) as error:
        return wiring.refuse(error)
    gc.collect()
    gc.freeze()
    print(json.dumps({"t_us": utc_us(), "ied": ied.name, "event": "ready"}), flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        ied.run()
    ied.keeper.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())

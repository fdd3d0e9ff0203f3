"""A merging unit: the waves of one device out of the plant, Sampled Values onto the process bus.

    python -m simulator.ieds.merging_unit --scd F --ied F1_MU --keys F --plant SOCKET (--interface IF | --udp)

Samples are made and sent by the core's thread (``agent.core.SvSource``); Python hands it new waves. What a scenario
may tell it: ``{"pause": true}`` the stream stops; ``{"quality": 1}`` all channels invalid (0: good again);
``{"synch": 0}`` the clock is lost (2: global).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from agent.core import Segment, SvSource, Wave
from simulator.ieds import wiring
from simulator.ieds.link import DeviceWaves, PlantLink, decode_waves, parse

HELLO_S = 0.5
GLOBAL_SYNCH = 2


def segment(waves: DeviceWaves) -> Segment:
    """The core's form of what the plant says."""
    return Segment(
        waves.start_us,
        tuple(
            Wave(c.steady, c.dc, c.dc_tau_s, c.decaying, waves.inrush_tau_s, c.second, waves.inrush_tau_s, c.ring)
            for c in waves.channels
        ),
        ring_rates=waves.ring_rates,
    )  # fmt: skip


class MergingUnit:
    """Passes waves and scenario orders to the source, which starts with the first waves."""

    def __init__(self, source: SvSource, priority: int, say: Callable[[str], None]) -> None:
        self._source = source
        self._priority = priority
        self._say = say
        self.running = False
        self.stopped = False

    def take(self, datagram: bytes) -> None:
        """One datagram from the plant."""
        waves = decode_waves(datagram)
        if waves is not None:
            self._source.set_segment(segment(waves))
            if not self.running:
                self._source.set_synch(GLOBAL_SYNCH)
                self._source.start(self._priority)
                self.running = True
                self._say("ready")
            return
        self._told(parse(datagram))

    def _told(self, message: dict[str, Any]) -> None:
        if isinstance(message.get("pause"), bool):
            self._source.pause(message["pause"])
        if isinstance(message.get("quality"), int):
            self._source.set_quality(message["quality"])
        if isinstance(message.get("synch"), int):
            self._source.set_synch(message["synch"])
        if message.get("stop"):
            self.stopped = True


def serve(unit: MergingUnit, link: PlantLink, ied: str, device: str) -> None:
    """Until told to stop; says hello until the plant answers."""
    greeted = 0.0
    while not unit.stopped:
        if not unit.running and time.monotonic() - greeted >= HELLO_S:
            greeted = time.monotonic()
            try:
                link.send({"hello": ied, "device": device, "role": "merging_unit"})
            except OSError:
                time.sleep(0.05)  # the plant is not up yet
                greeted = 0.0
                continue
        link.socket.settimeout(None if unit.running else HELLO_S)
        try:
            unit.take(link.receive())
        except TimeoutError:
            continue


def main(arguments: list[str] | None = None) -> int:
    """Entry point of the process."""
    from agent.security.keys import KeyFileError
    from scl.problem import SclError

    parser = wiring.parser("merging_unit", "Publishes the Sampled Values of one device.")
    parser.add_argument("--noise-a", type=float, default=0.2, help="standard deviation of a current sample, A")
    parser.add_argument("--noise-v", type=float, default=3.0, help="standard deviation of a voltage sample, V")
    parser.add_argument("--tick-us", type=int, default=500, help="samples leave in bursts of so many microseconds")
    parser.add_argument("--priority", type=int, default=40, help="SCHED_FIFO of the sending thread, if allowed")
    parsed = parser.parse_args(arguments)
    options = wiring.options(parsed)
    try:
        scheme, ied, keys = wiring.read(options, "merging_unit")
        noise = (parsed.noise_a, parsed.noise_v)
        source = SvSource(wiring.sv_source(scheme, ied, keys, options.place, noise, parsed.tick_us))
        link = PlantLink(options.plant, ied.name)
    except (wiring.WiringError, SclError, KeyFileError, OSError) as error:
        return wiring.refuse(error)
    device = ied.device or ""
    name = ied.name
    del scheme, keys
    unit = MergingUnit(source, parsed.priority, lambda text: print(text, flush=True))
    try:
        serve(unit, link, name, device)
    except KeyboardInterrupt:
        pass
    finally:
        if unit.running:
            source.stop()
        link.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

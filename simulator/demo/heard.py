"""What was heard on the buses of a run: reports, close orders, and when each bay's samples came. From the capture."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from agent.goose.codec import CodecError
from agent.goose.codec import Pdu as Message
from agent.goose.dataset import command_data_set, report_data_set
from agent.goose.layout import Raw
from agent.goose.tap import Packet
from agent.logic.messages import Report
from agent.security.frames import FrameError
from agent.sv.codec import Asdu
from agent.sv.frame import open_payload
from scl.flisr_dataset import AGENT_LD, FLISR_CONTROL, OPER_CONTROL
from scl.topology import Feeder
from simulator.demo.course import Trip, goose

SAMPLES_PER_CYCLE = 80
"""9-2LE, as the demonstration's merging units publish."""
SAMPLES_US = 100_000
"""Samples are looked at for so long after the first happening: the trip is over by then."""
SECOND_US = 1_000_000


class Told(NamedTuple):
    """The first frame of a new report on the wire."""

    t_us: int
    device: str
    report: Report


class Arrival(NamedTuple):
    """A sample: its own time, and when its frame was on the process bus."""

    sample_us: int
    t_us: int


@dataclass(slots=True)
class Heard:
    """See the module; empty without a capture."""

    reports: list[Told] = field(default_factory=list)
    closes: list[Trip] = field(default_factory=list)
    """First frames of close orders."""
    repetitions_us: list[int] = field(default_factory=list)
    """From each new report to its first repetition, both on the wire."""
    samples: dict[str, list[Arrival]] = field(default_factory=dict)
    """By device, in order of sample time."""

    def arrival(self, device: str, sample_us: int) -> int | None:
        """When the first sample at or after ``sample_us`` of a device's merging unit was on its bus."""
        known = self.samples.get(device, [])
        index = bisect_left(known, (sample_us,))
        return known[index].t_us if index < len(known) else None


def listen(seen: Iterable[Packet], feeder: Feeder, zero_us: int) -> Heard:
    """From ``zero_us`` (the first happening) on."""
    heard = Heard()
    ears = _Ears(heard, feeder)
    units = {device.merging_unit: device.name for device in feeder.devices if device.merging_unit is not None}
    period_us = SECOND_US / (SAMPLES_PER_CYCLE * feeder.frequency_hz)
    for packet in seen:
        if packet.t_us < zero_us:
            continue
        message = goose(packet)
        if message is not None:
            ears.take(packet.t_us, message)
        elif packet.t_us < zero_us + SAMPLES_US:
            for asdu in _sampled(packet):
                unit = next((name for name in units if asdu.sv_id.startswith(name)), None)
                if unit is not None:
                    sample_us = _sample_time(packet.t_us, asdu.smp_cnt, period_us)
                    heard.samples.setdefault(units[unit], []).append(Arrival(sample_us, packet.t_us))
    for arrivals in heard.samples.values():
        arrivals.sort()
    return heard


def _sample_time(t_us: int, count: int, period_us: float) -> int:
    """smpCnt counts from the full second that is nearest before the frame."""
    within = round(count * period_us)
    return (t_us - within) // SECOND_US * SECOND_US + within


def _sampled(packet: Packet) -> tuple[Asdu, ...]:
    octets = packet.frame
    routed = octets[:1] == b"\x45"
    try:
        return open_payload(octets[28:] if routed else octets, routed=routed).pdu.asdus
    except (CodecError, FrameError, ValueError, IndexError):
        return ()


class _Ears:
    """Tells first frames from repetitions, stream by stream."""

    def __init__(self, heard: Heard, feeder: Feeder) -> None:
        self._heard = heard
        self._reports = report_data_set(len(feeder.zones), len(feeder.devices))
        self._commands = command_data_set()
        self._device = {f"{device.agent}{AGENT_LD}": device.name for device in feeder.devices}
        self._number: dict[str, tuple[int, int]] = {}
        """By control block: stNum, and when it was first on the wire."""
        self._closed: dict[str, int] = {}

    def take(self, t_us: int, message: Message) -> None:
        """One GOOSE message."""
        reference = message.gocb_ref
        device = self._device.get(reference.partition("/")[0])
        control = reference.rpartition("$")[2]
        if device is None or control not in (FLISR_CONTROL, OPER_CONTROL):
            return
        number, first_us = self._number.get(reference, (-1, t_us))
        if number == message.st_num:
            if control == FLISR_CONTROL and message.sq_num == 1:
                self._heard.repetitions_us.append(t_us - first_us)
            return
        self._number[reference] = (message.st_num, t_us)
        values = cast(list[Raw], [item.value for item in message.data])
        try:
            if control == FLISR_CONTROL:
                self._heard.reports.append(Told(t_us, device, self._reports.from_values(values)))
                return
            command = self._commands.from_values(values)
        except (CodecError, ValueError, TypeError, IndexError):
            return
        if command.close_expiry_us > t_us and command.close_number > self._closed.get(device, 0):
            self._closed[device] = command.close_number
            self._heard.closes.append(Trip(t_us, device))

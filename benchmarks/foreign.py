"""Other people's frames on the cable: GOOSE and Sampled Values that are for nobody here, in real time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from agent.core.config import Layer2, SvSourceConfig
from agent.core.source import SvSource
from agent.goose.dataset import report_data_set
from agent.goose.publisher import Publisher
from agent.goose.stream import Stream
from agent.logic.messages import Report
from simulator import lan

SETTLE_S = 2.5
"""The sender begins with a second of UTC."""


class Part(NamedTuple):
    """So many streams with so many frames a second each."""

    name: str
    streams: int
    rate: int


PARTS = (Part("goose", 5, 2_000), Part("sv", 25, 4_000))


def start(host: lan.Host, program: str, folder: Path, interface: str, part: Part) -> int:
    """A process that sends a part until it is killed; its number."""
    second = folder / part.name
    if not second.exists():
        frames = _goose(part.streams) if part.name == "goose" else _samples(part.streams)
        second.write_bytes(frames * part.rate)
    length = second.stat().st_size // (part.streams * part.rate)
    child = os.fork()
    if child == 0:
        host.enter()
        numbers = (length, part.streams, part.rate, 0, part.streams)
        os.execv(program, [program, interface, str(second), *map(str, numbers)])
    return child


def _goose(streams: int) -> bytes:
    """One report of each of some agents that we do not listen to."""
    data_set = report_data_set(12, 12)
    made = []
    for number in range(streams):
        reference = f"Y{number}_AGLD0/LLN0"
        told = Stream(
            f"{reference}$GO$gcbFlisr", f"{reference}$dsFlisr", f"Y{number}", 0x100 + number, 1, data_set.b_types,
            mac=f"01-0C-CD-01-01-{number:02X}",
        )  # fmt: skip
        made.append(Publisher(told, data_set, None).publish(Report(), 1_800_000_000_000_000))
    return b"".join(made)


def _samples(streams: int) -> bytes:
    """One sample of each of some merging units."""
    made = []
    for number in range(streams):
        link = Layer2("lo", f"01-0C-CD-04-00-{number:02X}")
        made.append(SvSource(SvSourceConfig(f"MU{number:04d}", 0x4000 + number, link)).frame(1_800_000_000, 0))
    return b"".join(made)

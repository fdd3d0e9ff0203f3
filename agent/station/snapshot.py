"""The state that the protection process shows: written by it in one go, read by the station process at leisure."""

from __future__ import annotations

import json
from typing import NamedTuple

from agent.logic.messages import BreakerCommand, BreakerStatus, Measurement, Report
from agent.station import plain


class Peer(NamedTuple):
    """What is known of one peer."""

    device: int
    fresh: bool
    report: Report


class Snapshot(NamedTuple):
    """One consistent picture."""

    t_us: int
    """When it was taken: older than two seconds means that the protection process hangs."""
    report: Report
    measurement: Measurement
    breaker: BreakerStatus
    breaker_fresh: bool
    order: BreakerCommand
    deadline_us: int
    """The brain's next deadline, 0 if none."""
    peers: tuple[Peer, ...]
    numbers: dict[str, int]
    """stNum by control block."""
    counters: dict[str, int]
    """Frames received, accepted, dropped by cause; timer lateness; of this process and its core."""
    limits: tuple[str, ...]
    """What the operating system did not allow."""

    def encode(self) -> bytes:
        """For the shared memory."""
        return json.dumps(self, separators=(",", ":")).encode()


def decode(data: bytes) -> Snapshot:
    """What :meth:`Snapshot.encode` wrote; ValueError if it is anything else."""
    return plain.load(Snapshot, json.loads(data))

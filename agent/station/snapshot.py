"""The state that the protection process shows: written by it in one go, read by the station process at leisure."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from agent.goose.known import Heard, Mark
from agent.logic.messages import BreakerCommand, BreakerStatus, Measurement, Report
from agent.mms.meters import Meters
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
    marks: dict[str, Mark]
    """How far each stream that is heard has come, by control block reference."""
    heard: tuple[Heard, ...] = ()
    """Each subscription, in the order of the configuration, the breaker's last."""
    meters: Meters | None = None
    """None: no samples."""
    group: int = 0
    """The setting group that the elements were given last; 0: there are none."""
    fed_from: int = 0
    """1: from side A, 2: from side B, 0: not known."""
    idle: bool = False
    """The brain has nothing to decide."""

    def encode(self) -> bytes:
        """For the shared memory."""
        return json.dumps(self, separators=(",", ":")).encode()


def decode(data: bytes) -> Snapshot:
    """What :meth:`Snapshot.encode` wrote; ValueError if it is anything else."""
    return plain.load(Snapshot, json.loads(data))


def describe(snap: Snapshot, names: dict[int, str]) -> dict[str, Any]:
    """A snapshot for ``flisr agent status``; ``names`` are the peers' devices by index."""
    report = snap.report
    heard = {peer.device for peer in snap.peers if peer.fresh}
    return {
        "snapshot_us": snap.t_us,
        "position": snap.breaker.position.name.lower() if snap.breaker_fresh else "unknown",
        "ready": report.ready,
        "level": snap.measurement.level.name.lower(),
        "locked_a": report.locked_a,
        "locked_b": report.locked_b,
        "latched": report.latched,
        "tagged": report.tagged,
        "failed": report.failed,
        "automation": report.automation,
        "live_a": report.live_a.name.lower(),
        "live_b": report.live_b.name.lower(),
        "p_kw": round(report.p_kw, 1),
        "q_kvar": round(report.q_kvar, 1),
        "peers": {names.get(peer.device, str(peer.device)): peer.fresh for peer in snap.peers},
        "silent": [name for device, name in names.items() if device not in heard],
        "numbers": snap.numbers,
        "counters": snap.counters,
        "limits": list(snap.limits),
        "setting_group": snap.group,
        "phase_pickup_a": None if snap.meters is None else snap.meters.phase_pickup_a,
        "earth_pickup_a": None if snap.meters is None else snap.meters.earth_pickup_a,
        "fed_from": ("", "a", "b")[snap.fed_from],
    }

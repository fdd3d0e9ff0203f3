"""What the station process shows to MMS clients: the compiled data model, and the agent's state put together for it."""

from __future__ import annotations

from typing import NamedTuple

from agent.logic.messages import BreakerStatus, Report
from agent.mms.model import IedState, StreamState
from agent.mms.tree import Tree
from agent.station.snapshot import Snapshot
from agent.time.clock import TimeState


class Subscription(NamedTuple):
    """A GOOSE control block that the agent hears."""

    reference: str
    conf_rev: int


class ServedModel(NamedTuple):
    """Compiled from the SCD with the rest of the configuration (``agent.station.compile``)."""

    tree: Tree
    subscriptions: tuple[Subscription, ...]
    """In the order of the snapshot."""
    samples_conf_rev: int
    """0: no samples."""
    version: str


class Shown:
    """Puts the state together; keeps what does not change, but not the tree, which only the server needs."""

    def __init__(self, model: ServedModel) -> None:
        self._subscriptions = model.subscriptions
        self._samples_conf_rev = model.samples_conf_rev
        self._version = model.version
        self._trip_us = 0
        self.records = 0
        """Fault records there are."""

    def event(self, name: str, t_us: int) -> None:
        """Look at one event of the log: a trip may be over before the next snapshot."""
        if name == "trip_sent":
            self._trip_us = t_us

    def state(self, snap: Snapshot | None, time: TimeState, alive: bool, alarm: bool) -> IedState:
        """``snap`` may be the last one of a process that is away: ``alive`` says so."""
        state = IedState(
            Report(), BreakerStatus(), False, time.good, alive, alarm,
            samples_conf_rev=self._samples_conf_rev, version=self._version,
            time_quality=time.quality.octet, time_source=time.source, records=self.records,
            trip_us=self._trip_us,
        )  # fmt: skip
        if snap is None:
            return state
        return state._replace(
            report=snap.report,
            breaker=snap.breaker,
            breaker_fresh=snap.breaker_fresh,
            t_us=snap.t_us,
            measurement=snap.measurement,
            order=snap.order,
            meters=snap.meters,
            streams=self._streams(snap),
            samples_mismatch=snap.counters.get("sv_conf_rev", 0) > 0,
        )

    def _streams(self, snap: Snapshot) -> dict[str, StreamState]:
        return {
            subscription.reference: StreamState(
                *heard,
                snap.marks[subscription.reference].st_num if subscription.reference in snap.marks else 0,
                subscription.conf_rev,
            )
            for subscription, heard in zip(self._subscriptions, snap.heard, strict=False)
        }

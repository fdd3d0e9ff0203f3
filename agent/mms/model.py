"""What the agent's state means to a client: health, and what a control is refused for. Plain data, no library.

How the state fills the data model is :mod:`agent.mms.wiring`'s. Release of a lock-out is not in the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from agent.logic.messages import BreakerCommand, BreakerStatus, Level, Live, Measurement, Position, Refusal, Report
from agent.mms.meters import Meters


class AddCause:
    """AddCause of IEC 61850-7-2:2010 table 49 (numbers as on the wire)."""

    UNKNOWN: Final = 0
    BLOCKED_BY_SWITCHING_HIERARCHY: Final = 2
    SELECT_FAILED: Final = 3
    INVALID_POSITION: Final = 4
    POSITION_REACHED: Final = 5
    BLOCKED_BY_MODE: Final = 8
    BLOCKED_BY_PROCESS: Final = 9
    BLOCKED_BY_INTERLOCKING: Final = 10
    BLOCKED_BY_SYNCHROCHECK: Final = 11
    COMMAND_ALREADY_IN_EXECUTION: Final = 12
    BLOCKED_BY_HEALTH: Final = 13
    TIME_LIMIT_OVER: Final = 16
    OBJECT_NOT_SELECTED: Final = 18
    OBJECT_ALREADY_SELECTED: Final = 19
    NO_ACCESS_AUTHORITY: Final = 20
    INCONSISTENT_PARAMETERS: Final = 26
    LOCKED_BY_OTHER_CLIENT: Final = 27


ADD_CAUSE: Final[dict[Refusal, int]] = {
    Refusal.LOCKED_OUT: AddCause.BLOCKED_BY_INTERLOCKING,
    Refusal.TAGGED: AddCause.BLOCKED_BY_INTERLOCKING,
    Refusal.AUTOMATION_OFF: AddCause.BLOCKED_BY_MODE,
    Refusal.LOCAL: AddCause.BLOCKED_BY_SWITCHING_HIERARCHY,
    Refusal.BOTH_SIDES_LIVE: AddCause.BLOCKED_BY_SYNCHROCHECK,
    Refusal.NOT_DEAD: AddCause.BLOCKED_BY_PROCESS,
    Refusal.STALE_DATA: AddCause.BLOCKED_BY_PROCESS,
    Refusal.NOT_AGREED: AddCause.BLOCKED_BY_PROCESS,
    Refusal.CAPACITY: AddCause.BLOCKED_BY_PROCESS,
    Refusal.POSITION: AddCause.POSITION_REACHED,
    Refusal.NOT_AUTHORISED: AddCause.NO_ACCESS_AUTHORITY,
    Refusal.UNHEALTHY: AddCause.BLOCKED_BY_HEALTH,
    Refusal.BREAKING_CAPACITY: AddCause.BLOCKED_BY_PROCESS,
    Refusal.FAULT_PRESENT: AddCause.BLOCKED_BY_PROCESS,
    Refusal.NOT_LATCHED: AddCause.BLOCKED_BY_HEALTH,
}
"""What a client is told for each of the gate's refusals."""


class Health:
    """ENS Health of IEC 61850-7-4: 1 good, 2 minor problem, 3 severe problem."""

    OK: Final = 1
    WARNING: Final = 2
    ALARM: Final = 3


class StreamState(NamedTuple):
    """One GOOSE subscription, for LGOS."""

    alive: bool = False
    """Heard within its time to live."""
    simulated: bool = False
    """What is accepted is simulated."""
    needs_commissioning: bool = False
    """Its newest frame says so, or is of another configuration than ours."""
    st_num: int = 0
    """Of the last accepted frame; 0: none yet."""
    conf_rev: int = 0
    """The one that is expected."""


class IedState(NamedTuple):
    """What the station process knows of its protection, for one update of the model."""

    report: Report
    breaker: BreakerStatus
    breaker_fresh: bool
    time_good: bool
    protection_alive: bool
    alarm: bool = False
    """An alarm of the agent itself: not latched, event log lost, brain failed."""
    t_us: int = 0
    """When the protection process showed this; 0: never."""
    measurement: Measurement = Measurement()
    order: BreakerCommand = BreakerCommand()
    trip_us: int = 0
    """When the last trip left; 0: none since the start."""
    meters: Meters | None = None
    """None: no samples."""
    streams: Mapping[str, StreamState] = MappingProxyType({})
    """Subscriptions by control block reference, ``R12_AGFLISR/LLN0$GO$gcbFlisr``."""
    samples_mismatch: bool = False
    """Samples come with another confRev than ours."""
    samples_conf_rev: int = 0
    time_quality: int = 0x3F
    """TimeQuality octet of our clock."""
    time_source: str = ""
    records: int = 0
    """Fault records there are."""
    version: str = ""
    """Of this program."""


def health(state: IedState) -> int:
    """LLN0.Health."""
    if not state.protection_alive or state.report.failed or state.alarm:
        return Health.ALARM
    if not state.breaker_fresh or not state.time_good or state.report.level is Level.BLIND or not state.report.ready:
        return Health.WARNING
    return Health.OK


def pre_check(state: IedState, close: bool) -> Refusal:
    """Refusals that need no brain, told at once to select and operate. The gate in the brain decides all the same."""
    if not state.protection_alive:
        return Refusal.UNHEALTHY
    if not state.breaker_fresh:
        return Refusal.STALE_DATA
    if state.breaker.local:
        return Refusal.LOCAL
    if not close:
        return Refusal.POSITION if state.breaker.position is Position.OPEN else Refusal.NONE
    if state.report.locked_a or state.report.locked_b or state.breaker.blocked:
        return Refusal.LOCKED_OUT
    if state.report.tagged:
        return Refusal.TAGGED
    if state.breaker.position is Position.CLOSED:
        return Refusal.POSITION
    return Refusal.NONE


def synchronism_released(state: IedState) -> bool:
    """RSYN.Rel: not both sides live, and both known. There is no synchrocheck: two live sides are never released."""
    sides = (state.report.live_a, state.report.live_b)
    return Live.UNKNOWN not in sides and sides != (Live.LIVE, Live.LIVE)

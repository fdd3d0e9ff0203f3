"""The data model an agent shows over MMS, and how the agent's state fills it: plain data, no library.

Logical nodes of IEC 61850-7-4: LLN0 (Beh, Health), XCBR1 (Pos, BlkOpn, BlkCls, Loc: the breaker as its own IED reports
it), CILO1 (EnaOpn, EnaCls), CSWI1 (Pos with select-before-operate, enhanced security), MMXU1 (TotW, TotVAr in kW and
kvar, positive from side A to side B), GGIO1 for what 7-4 has no place for. A load-break switch is shown as XSWI1 with
the same data objects. Release of a lock-out is not in the model.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from agent.logic.messages import BreakerStatus, Level, Position, Refusal, Report


class AddCause:
    """AddCause of IEC 61850-7-2:2010 table 49 (numbers as on the wire)."""

    UNKNOWN: Final = 0
    BLOCKED_BY_SWITCHING_HIERARCHY: Final = 2
    BLOCKED_BY_MODE: Final = 8
    BLOCKED_BY_PROCESS: Final = 9
    BLOCKED_BY_INTERLOCKING: Final = 10
    BLOCKED_BY_HEALTH: Final = 13
    POSITION_REACHED: Final = 5
    BLOCKED_BY_SYNCHROCHECK: Final = 11
    NO_ACCESS_AUTHORITY: Final = 20
    TIME_LIMIT_OVER: Final = 16
    ABORTION_BY_COMMUNICATION_LOSS: Final = 23


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


class IedState(NamedTuple):
    """What the station process knows of its protection, for one update of the model."""

    report: Report
    breaker: BreakerStatus
    breaker_fresh: bool
    time_good: bool
    protection_alive: bool
    alarm: bool = False
    """An alarm of the agent itself: not latched, event log lost, brain failed."""


GGIO: Final = {
    "Ind1": "automation on",
    "Ind2": "locked out, fault on side A",
    "Ind3": "locked out, fault on side B",
    "Ind4": "lock-out is on disk",
    "Ind5": "tagged",
    "Ind6": "device did not open when told",
    "Ind7": "ready",
    "Ind8": "time good",
    "Ind9": "picked up",
    "Ind10": "blind: no valid samples",
    "Ind11": "alarm of the agent",
}


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


def values(state: IedState, switch: str) -> dict[str, int | bool | float]:
    """Values of all status attributes by reference below the logical device (``XCBR1.Pos`` is a Dbpos)."""
    report = state.report
    locked = report.locked_a or report.locked_b
    position = int(state.breaker.position) if state.breaker_fresh else int(Position.BAD)
    closable = pre_check(state, True) is Refusal.NONE
    indications = (
        report.automation,
        report.locked_a,
        report.locked_b,
        report.latched,
        report.tagged,
        report.failed,
        report.ready,
        state.time_good,
        report.level is Level.PICKUP,
        report.level is Level.BLIND,
        state.alarm,
    )
    result: dict[str, int | bool | float] = {
        "LLN0.Health": health(state),
        "LLN0.Beh": 1 if state.protection_alive else 5,
        f"{switch}.Pos": position,
        f"{switch}.BlkCls": locked or report.tagged or state.breaker.blocked,
        f"{switch}.BlkOpn": False,
        f"{switch}.Loc": state.breaker.local,
        f"{switch}.OpCnt": state.breaker.operations,
        "CSWI1.Pos": position,
        "CSWI1.Loc": state.breaker.local,
        "CILO1.EnaOpn": pre_check(state, False) is Refusal.NONE,
        "CILO1.EnaCls": closable,
        "GGIO1.SPCSO1": report.automation,
        "MMXU1.TotW": float(round(report.p_kw)),
        "MMXU1.TotVAr": float(round(report.q_kvar)),
    }
    result.update({f"GGIO1.{name}": bool(value) for name, value in zip(GGIO, indications, strict=True)})
    return result

"""What a person or SCADA may order, apart from closing: open, release, tag. Each answers with a refusal or none."""

from __future__ import annotations

from agent.logic import isolate
from agent.logic.grid import bits
from agent.logic.messages import Command, CommandKind, CommandResult, Position, Refusal, Request
from agent.logic.picture import dead_component
from agent.logic.state import NEVER, State


def open_by_order(state: State, command: Command, now: int) -> Refusal | None:
    """None: answered later. What a switch may not break shows in the samples only some time after it began to flow: so
    one that carries current opens when they have said for ``order_look`` that it is load."""
    refusal = _opens(state)
    if refusal is not Refusal.NONE or isolate.can_break(state):
        if refusal is Refusal.NONE:
            _open(state, now)
        return refusal
    if state.opening is not None:
        return Refusal.POSITION
    state.opening = command
    state.open_at = now + state.config.order_look
    return None


def open_now(state: State, now: int) -> None:
    """The opening that had to wait, if nothing has come between."""
    command, state.opening, state.open_at = state.opening, None, NEVER
    if command is None:
        return
    refusal = _opens(state)
    if refusal is Refusal.NONE:
        _open(state, now)
    state.actions.append(CommandResult(command.identifier, refusal is Refusal.NONE, refusal))
    origin = (("kind", command.kind.name), ("origin", command.origin))
    state.emit("command", now, *origin, ("refusal", refusal.name))


def _opens(state: State) -> Refusal:
    if not state.ready:
        return Refusal.STALE_DATA
    if state.position is not Position.CLOSED:
        return Refusal.POSITION
    if state.status.local:
        return Refusal.LOCAL
    device = state.grid.devices[state.me]
    amps = (state.measurement.p_kw**2 + state.measurement.q_kvar**2) ** 0.5 / state.grid.root3_kv
    if not isolate.can_break(state) and (state.active or amps > device.breaking_current_a):
        return Refusal.BREAKING_CAPACITY
    return Refusal.NONE


def _open(state: State, now: int) -> None:
    isolate.trip(state, now, "ordered", clearing=True)
    fed = state.zone_b if state.load_p >= 0 else state.zone_a
    state.held |= 1 << fed
    names = state.grid.feeder.zones
    dark = bits(dead_component(state, fed, state.me))
    state.emit("dark", now, *((names[zone].name, "opened by order") for zone in dark))


def release(state: State, command: Command, now: int) -> Refusal:
    if not command.local:
        return Refusal.NOT_AUTHORISED
    if state.active or state.isolate_since:
        return Refusal.FAULT_PRESENT
    for zone, locked in ((state.zone_a, state.locked_a), (state.zone_b, state.locked_b)):
        if locked:
            state.held |= 1 << zone
    state.locked_a = state.locked_b = state.latched = False
    state.failed = False
    state.doubt = 0
    state.paths.clear()
    state.close_failures = state.shots = 0
    if state.claim_zones:
        isolate.withdraw(state, now)
    state.operate_dirty = True
    state.emit("released", now, ("origin", command.origin))
    isolate.latch(state)
    return Refusal.NONE


def tag(state: State, command: Command, now: int) -> Refusal:
    if command.kind is CommandKind.UNTAG and not command.local:
        return Refusal.NOT_AUTHORISED
    state.tagged = command.kind is CommandKind.TAG
    if state.tagged and not state.close_at:
        state.request = Request()
    state.operate_dirty = True
    isolate.latch(state)
    return Refusal.NONE

"""One switching device's brain: events in, actions out. Composition only; the rules are in the modules it calls.

    locate    whose zone is it                 isolate   open, lock, breaker failure
    restore   the plan                         agree     grants to others
    lead      our own close                    gate      the one gate

Every method takes ``now`` and returns the actions of that step. Same calls, same results: nothing here reads a clock,
draws a number or touches I/O. A method never raises on what a peer says; a caller's
mistake is a ``ValueError``.
"""

from __future__ import annotations

from agent.logic import gate, isolate, lead, observe, orders, verdict
from agent.logic.agree import asked, consider, hear
from agent.logic.config import BrainConfig
from agent.logic.direction import episode_zone
from agent.logic.feed import feed_side
from agent.logic.grid import Grid
from agent.logic.messages import (
    Action,
    BreakerCommand,
    BreakerStatus,
    Command,
    CommandKind,
    Direction,
    Level,
    Live,
    LockRecord,
    Measurement,
    Operate,
    Publish,
    Refusal,
    Report,
    Request,
)
from agent.logic.picture import vouches
from agent.logic.state import NEVER, State
from scl.topology import Feeder

LOCKED_UNREADABLE = LockRecord(True, True, False, 0, 0, 0)
"""What to restore from when the latch cannot be read: locked, until a person has looked."""

LATCH_RETRY = 5_000_000


class Brain:
    """See the module. ``device`` is an index into ``feeder.devices``."""

    def __init__(
        self, feeder: Feeder, device: int, config: BrainConfig | None = None, restored: LockRecord | None = None
    ) -> None:
        if not 0 <= device < len(feeder.devices):
            raise ValueError(f"device index {device} is not one of the feeder's {len(feeder.devices)}")
        self.state = State(Grid.of(feeder), device, config or BrainConfig())
        self._deadline: int = NEVER
        self._content: tuple[object, ...] = ()
        self._idle = False
        if restored is not None:
            self._restore(restored)

    @property
    def deadline(self) -> int | None:
        """When to call :meth:`timer`; None: not before the next event."""
        return None if self._deadline >= NEVER else self._deadline

    @property
    def idle(self) -> bool:
        """Nothing to decide: of what far peers say only requests matter at once."""
        return self._idle and not self.state.asking

    @property
    def fed_from(self) -> int:
        """1: from side A, 2: from side B, 0: not known, from both or not at all."""
        return feed_side(self.state)

    @property
    def last_report(self) -> Report | None:
        """What peers were last told."""
        return self.state.last_report

    def _restore(self, record: LockRecord) -> None:
        state = self.state
        state.locked_a, state.locked_b, state.tagged = record.locked_a, record.locked_b, record.tagged
        state.claim_number, state.claim_zones = record.claim_number, record.claim_zones
        state.request_number = record.request_number
        state.latched = record.locked_a or record.locked_b
        for peer, number in record.claims_seen:
            if 0 <= peer < len(state.seen):
                state.seen[peer] = number

    # --- events ------------------------------------------------------------------------------------------------------

    def start(self, now: int) -> list[Action]:
        """First call: listen, publish, move nothing."""
        state = self.state
        state.started = state.steady_since = state.dead_since = now
        state.ready_at = now + state.config.startup
        state.close_number = isolate.number(state.close_number, now)
        # Unless we know of a lock, nothing is ordered before the breaker's IED has spoken: it may hold a block that we
        # have forgotten.
        state.block_known = state.operate_dirty = state.locked_a or state.locked_b or state.tagged
        state.emit("started", now, ("locked", state.locked_a or state.locked_b))
        return self._finish(now)

    def evaluated(self, upto_us: int) -> None:
        """Samples are evaluated up to here and nothing has changed."""
        self.state.upto = max(self.state.upto, upto_us)

    def measure(self, measurement: Measurement, now: int) -> list[Action]:
        """Something in the measurement changed (or may have)."""
        state = self.state
        old, state.measurement = state.measurement, measurement
        state.upto = max(state.upto, measurement.upto_us)
        if measurement.earth_alarm and not old.earth_alarm:
            state.emit("earth_fault_alarm", now)
        if measurement.level is Level.BLIND and old.level is not Level.BLIND:
            state.emit("blind", now)
        observe.episode(state, measurement.level, measurement, old, now)
        observe.join_voltage(state, now)
        observe.follow_load(state, now)
        return self._finish(now)

    def breaker(self, status: BreakerStatus, now: int) -> list[Action]:
        """The breaker's IED reports (fresh and authentic)."""
        state = self.state
        old, state.status = state.status, status
        if not state.block_known:
            state.block_known = state.operate_dirty = True
            if status.blocked and not (state.locked_a or state.locked_b or state.tagged):
                state.emit("block_found", now, ("alarm", True))
                isolate.lock(state, 1 << state.zone_a | 1 << state.zone_b, now)
        if not state.breaker_fresh or status.position is not old.position:
            state.breaker_fresh = True
            state.paths.clear()
            state.steady_since = state.moved_at = state.last_move = now
            state.emit("position", now, ("position", status.position.name))
        if state.grid.devices[state.me].merging_unit is None:
            observe.relay_flags(state, status, now)
        observe.join_voltage(state, now)
        observe.follow_load(state, now)
        return self._finish(now)

    def breaker_lost(self, now: int) -> list[Action]:
        """The breaker's IED fell silent: position unknown, no close."""
        state = self.state
        state.breaker_fresh = False
        state.paths.clear()
        state.steady_since = now
        state.emit("breaker_ied_lost", now)
        if state.grid.devices[state.me].merging_unit is None:
            state.level = Level.BLIND
        observe.join_voltage(state, now)
        return self._finish(now)

    def report(self, peer: int, report: Report, now: int) -> list[Action]:
        """A peer's report, accepted by the GOOSE subscriber."""
        state = self.state
        old = state.peers[peer]
        state.peers[peer] = report
        moved = old is None or report.position is not old.position or report.failed is not old.failed
        if moved:
            state.paths.clear()
            state.last_move = now
        if report.level is Level.PICKUP and (old is None or old.level is not Level.PICKUP):
            state.peer_pickup = report.upto_us
            if state.level is Level.START:
                state.noticed = now
        differs = old is None or _plans_differ(report, old)
        if differs:
            state.version += 1
            if old is not None and (report.live_a is not old.live_a or report.live_b is not old.live_b):
                a, b = state.grid.sides[peer]
                observe.follow_life(state, a, report.live_a, old.live_a, now)
                observe.follow_life(state, b, report.live_b, old.live_b, now)
        if old is not None and report.claim_number < old.claim_number:
            isolate.adopt(state, old, now)
        if not state.fresh[peer]:
            state.fresh[peer] = moved = True
            state.paths.clear()
            state.version += 1
            state.emit("peer_heard", now, ("peer", state.grid.devices[peer].name))
        if _load_differs(report, old):
            for zone in state.grid.sides[peer]:
                observe.remember_demand(state, zone, now)
        if old is None or report.start_us != old.start_us or report.level != old.level or peer in state.tell:
            observe.answer(state, peer, report)
        if report.claim_number != state.seen[peer]:
            if not self._idle or report.claim_zones:
                isolate.accept(state, peer, report, now, old is None)
                return self._heard(peer, report, old, now)
            state.seen[peer] = report.claim_number
        asks = report.request.number or (old is not None and old.request.number)
        if not differs and self._settled() and not (state.tell or moved or state.actions):
            return []
        if self._idle and not (asks or state.tell or (moved and state.asking)):
            # Remembered; nothing that we decide depends on it.
            actions, state.actions = state.actions, []
            return actions
        return self._heard(peer, report, old, now)

    def _settled(self) -> bool:
        """Nothing that we decide now depends on how far others' samples reach, or on what they grant."""
        state = self.state
        return state.decided and not (state.doubt or state.suspect or state.request.number or state.asking)

    def _heard(self, peer: int, report: Report, old: Report | None, now: int) -> list[Action]:
        hear(self.state, peer, report, old, now)
        return self._finish(now)

    def peer_lost(self, peer: int, now: int) -> list[Action]:
        """Nothing acceptable from a peer within its time allowed to live."""
        state = self.state
        if state.fresh[peer]:
            state.fresh[peer] = False
            state.version += 1
            state.paths.clear()
            if (last := state.peers[peer]) is not None:
                isolate.adopt(state, last, now)
            state.emit("peer_lost", now, ("peer", state.grid.devices[peer].name))
        return self._finish(now)

    def latched(self, record: LockRecord, ok: bool, now: int) -> list[Action]:
        """The sibling has written (or failed to write) the record."""
        state = self.state
        if (record.locked_a, record.locked_b, record.tagged) == (state.locked_a, state.locked_b, state.tagged):
            state.latch_pending = False
            if ok:
                state.latch_retry = NEVER
                if (state.locked_a or state.locked_b) and not state.latched:
                    state.latched = True
                    state.emit("latched", now)
            else:
                state.latched = False
                state.latch_retry = now + LATCH_RETRY
                state.emit("not_latched", now, ("alarm", True))
        return self._finish(now)

    def time_quality(self, good: bool, now: int) -> list[Action]:
        """Bad time: comparisons across agents are uncertain, nothing closes; nothing trips because of it."""
        state = self.state
        if good != state.time_good:
            state.time_good = good
            state.emit("time_quality", now, ("good", good))
        return self._finish(now)

    def timer(self, now: int) -> list[Action]:
        """``deadline`` is reached."""
        return self._finish(now)

    def command(self, command: Command, now: int) -> list[Action]:
        """An order from a person or SCADA; answered by a CommandResult now or when the close is done."""
        state = self.state
        refusal: Refusal | None = Refusal.NONE
        match command.kind:
            case CommandKind.OPEN:
                refusal = orders.open_by_order(state, command, now)
            case CommandKind.CLOSE | CommandKind.RETURN_TO_NORMAL:
                if state.request.number:
                    refusal = Refusal.POSITION
                else:
                    close = command.kind is CommandKind.CLOSE
                    refusal = lead.close_by_order(state, now) if close else lead.return_to_normal(state, now)
                    if refusal is Refusal.NONE:
                        state.command = command
                        refusal = None
            case CommandKind.RELEASE:
                refusal = orders.release(state, command, now)
            case CommandKind.TAG | CommandKind.UNTAG:
                refusal = orders.tag(state, command, now)
            case CommandKind.AUTOMATION_ON | CommandKind.AUTOMATION_OFF:
                state.automation = command.kind is CommandKind.AUTOMATION_ON
                if not state.automation and state.request.number and not state.close_at:
                    state.request = Request()
        orders.answer(state, command, refusal, now)
        return self._finish(now)

    # --- the end of every step ---------------------------------------------------------------------------------------

    def _finish(self, now: int) -> list[Action]:
        state = self.state
        if state.load_at != NEVER and now >= state.load_at:
            observe.follow_load(state, now)
        if state.ready_at and now >= state.ready_at and state.breaker_fresh and state.load_at == NEVER:
            state.ready_at = 0
            state.version += 1
            state.emit("ready", now)
        if state.grid.devices[state.me].merging_unit is None and state.level is Level.QUIET and state.breaker_fresh:
            state.upto = max(state.upto, now - state.config.conventional_delay)
        again = NEVER
        if not state.decided:
            again = verdict.locate(state, now)
        elif (state.doubt or state.suspect) and not state.active:
            verdict.doubt(state, episode_zone(state), now)
        if state.isolate_since or state.trip:
            isolate.pursue(state, now)
        if state.active and not state.trip and not state.decided:
            again = min(again, isolate.clear(state, now))
        if now >= state.backup_at:
            verdict.backup(state, now)
        if now >= state.open_at:
            orders.open_now(state, now)
        if state.claim_zones and not state.claim_final:
            again = min(again, verdict.pending(state, now))
        if now >= state.adopt_at and state.ready:
            observe.adopt_demand(state, now)
        if now >= state.explain_at:
            lead.explain(state, now)
        if now >= state.latch_retry:
            state.latch_retry = NEVER
            isolate.latch(state)
        if state.asking or state.grants:
            consider(state, now)
            again = min(again, self._grants_deadline(now))
        again = min(again, lead.advance(state, now))
        self._publish(now)
        self._deadline = self._next(again, now)
        self._idle = (
            state.decided
            and not (state.doubt or state.suspect)
            and not (state.trip or state.isolate_since or state.request.number or state.close_at or state.command)
            and not state.grants
            and not asked(state)
            and (state.locked_a or state.locked_b or gate.dead_side(state) < 0)
            and state.claim_final
        )
        actions, state.actions = state.actions, []
        return actions

    def _silent_until(self) -> int:
        """Before the first report: a word on a position that is about to be known keeps everyone busy twice."""
        state = self.state
        if state.last_report is not None or state.breaker_fresh:
            return 0
        return state.started + state.config.introduction

    def _grants_deadline(self, now: int) -> int:
        state = self.state
        trusted = state.moved_at + state.config.generation_wait
        times = [g.until for g in state.grants.values()]
        if state.asking:
            times += [r.until for r in state.reservations]
            if trusted > now:
                times.append(trusted)
        return min(times, default=NEVER)

    def _next(self, again: int, now: int) -> int:
        state = self.state
        due = min(again, state.backup_at, state.load_at, state.latch_retry, state.explain_at, state.open_at)
        if state.tell:  # samples lag behind the clock
            due = min(due, max(state.tell_at, now + state.tell_at - state.upto))
        if state.ready_at and state.breaker_fresh and state.load_at == NEVER:
            due = min(due, state.ready_at)
        if state.last_report is None:
            due = min(due, self._silent_until())
        if state.trip:
            if not state.failed:
                due = min(due, isolate.open_deadline(state))
            if state.guard_until > now:
                due = min(due, state.guard_until)
        elif state.isolate_since and not state.failed:
            due = min(due, state.isolate_since + state.config.zero_wait)
            known = isolate.zero_after(state, now)
            if known and isolate.current_zero(state):
                due = min(due, known)
        return due if due > now else now + 250

    def _publish(self, now: int) -> None:
        """Tell peers and the breaker's IED what has changed."""
        state = self.state
        if state.operate_dirty:
            state.operate_dirty = False
            block = state.locked_a or state.locked_b or state.tagged
            order = BreakerCommand(state.trip, state.close_number, state.close_expiry, block)
            state.actions.append(Operate(order))
        if now < self._silent_until():
            return
        answering = bool(state.tell) and now >= state.tell_at and state.upto >= state.tell_at
        measurement = state.measurement
        told = state.last_report
        upto, peak = state.upto, measurement.peak_a
        episode: tuple[Level, Direction, int, int]
        if told is not None and told.level is Level.QUIET and state.hushed:
            # A start that we keep to ourselves is no quiet time either: nobody may count our silence from there on.
            episode = (told.level, told.direction, told.start_us, told.end_us)
            upto, peak = max(told.upto_us, min(upto, measurement.start_us - 1)), told.peak_a
        else:
            level = state.level if state.time_good else Level.BLIND
            episode = (level, state.direction, measurement.start_us, measurement.end_us)
        grants: tuple[tuple[int, int], ...] = ()
        if state.grants:
            grants = tuple(sorted((peer, grant.request.number) for peer, grant in state.grants.items()))
        content = (
            state.position, *episode,
            *_vouched(state), *_load(state),
            state.claim_number, state.claim_zones, state.claim_us, state.claim_final,
            state.locked_a, state.locked_b, state.latched, state.failed, state.automation, state.tagged, state.ready,
            state.request, grants,
        )  # fmt: skip
        if content == self._content and not answering:
            return
        if answering:
            state.tell = {peer: wanted for peer, wanted in state.tell.items() if wanted > state.upto}
        self._content = content
        report = Report._make((*content[:5], upto, peak, *content[5:]))
        state.last_report = report
        if _load_differs(report, told):
            observe.remember_demand(state, state.zone_a, now)
            observe.remember_demand(state, state.zone_b, now)
        state.version += 1
        state.actions.append(Publish(report))


def _vouched(state: State) -> tuple[Live, Live]:
    """Voltage on our sides as we publish it: of a dead zone that we cannot vouch for, we say that we do not know."""
    live_a, live_b = state.live_a, state.live_b
    if live_a is Live.LIVE is live_b:
        return live_a, live_b
    if live_a is Live.DEAD and (state.doubt >> state.zone_a & 1 or not vouches(state, state.zone_a)):
        live_a = Live.UNKNOWN
    if live_b is Live.DEAD and (state.doubt >> state.zone_b & 1 or not vouches(state, state.zone_b)):
        live_b = Live.UNKNOWN
    return live_a, live_b


def _load(state: State) -> tuple[float, float]:
    """Load as we publish it: none before we are ready, nobody counts it until then."""
    return (state.load_p, state.load_q) if state.ready else (0.0, 0.0)


def _load_differs(report: Report, old: Report | None) -> bool:
    """Has anything changed that a zone's demand is remembered from?"""
    if old is None:
        return report.ready
    return report.p_kw != old.p_kw or report.q_kvar != old.q_kvar or report.ready is not old.ready


def _plans_differ(report: Report, old: Report) -> bool:
    """Has anything changed that a plan reads?"""
    return (
        report.position is not old.position
        or report.live_a is not old.live_a
        or report.live_b is not old.live_b
        or report.level is not old.level
        or report.ready is not old.ready
        or report.p_kw != old.p_kw
        or report.claim_zones != old.claim_zones
        or report.claim_final is not old.claim_final
        or report.request.number != old.request.number
        or report.locked_a is not old.locked_a
        or report.locked_b is not old.locked_b
        or report.failed is not old.failed
        or report.automation is not old.automation
        or report.tagged is not old.tagged
    )


__all__ = ["LOCKED_UNREADABLE", "Brain", "BrainConfig"]

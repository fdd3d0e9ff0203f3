"""One switching device's brain: events in, actions out. Composition only; the rules are in the modules it calls.

    locate    whose zone is it                 isolate   open, lock, breaker failure
    restore   the plan                         agree     grants to others
    lead      our own close                    gate      the one gate

Every method takes ``now`` and returns the actions of that step. Same calls, same results: nothing here reads a clock,
draws a number or touches I/O. A method never raises on what a peer says; a caller's
mistake is a ``ValueError``.
"""

from __future__ import annotations

from agent.logic import isolate, lead
from agent.logic.agree import consider, hear
from agent.logic.config import BrainConfig
from agent.logic.direction import believe, episode_zone, zone_entered
from agent.logic.grid import Grid
from agent.logic.locate import Verdict, decide
from agent.logic.messages import (
    Action,
    BreakerCommand,
    BreakerStatus,
    Command,
    CommandKind,
    CommandResult,
    Direction,
    Level,
    Live,
    LockRecord,
    Measurement,
    Operate,
    Position,
    Publish,
    Refusal,
    Report,
    Request,
    RequestKind,
)
from agent.logic.picture import metered, zone_live
from agent.logic.state import NEVER, State
from scl.topology import Feeder

LOCKED_UNREADABLE = LockRecord(True, True, False, 0, 0, 0)
"""What to restore from when the latch cannot be read: locked, until a person has looked."""

LOAD_STEADY = 500_000
"""Load is published when position, voltage and pick-up have been steady this long."""
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
        self._told: Report | None = None
        self._ordered = BreakerCommand()
        if restored is not None:
            self._restore(restored)

    @property
    def deadline(self) -> int | None:
        """When to call :meth:`timer`; None: not before the next event."""
        return None if self._deadline >= NEVER else self._deadline

    @property
    def last_report(self) -> Report | None:
        """What peers were last told."""
        return self._told

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
        state.operate_dirty = True
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
        self._episode(measurement.level, measurement, old, now)
        self._voltage(now)
        self._load(now)
        return self._finish(now)

    def breaker(self, status: BreakerStatus, now: int) -> list[Action]:
        """The breaker's IED reports (fresh and authentic)."""
        state = self.state
        old, state.status = state.status, status
        if not state.breaker_fresh or status.position is not old.position:
            state.breaker_fresh = True
            state.steady_since = now
            state.emit("position", now, ("position", status.position.name))
        if state.grid.devices[state.me].merging_unit is None:
            self._relay(status, now)
        self._voltage(now)
        return self._finish(now)

    def breaker_lost(self, now: int) -> list[Action]:
        """The breaker's IED fell silent: position unknown, no close."""
        state = self.state
        state.breaker_fresh = False
        state.steady_since = now
        state.emit("breaker_ied_lost", now)
        if state.grid.devices[state.me].merging_unit is None:
            state.level = Level.BLIND
        self._voltage(now)
        return self._finish(now)

    def report(self, peer: int, report: Report, now: int) -> list[Action]:
        """A peer's report, accepted by the GOOSE subscriber."""
        state = self.state
        old = state.peers[peer]
        state.peers[peer] = report
        first = old is None
        if not state.fresh[peer]:
            state.fresh[peer] = True
            state.emit("peer_heard", now, ("peer", state.grid.devices[peer].name))
        state.version += 1
        if report.claim_number != state.seen[peer]:
            isolate.accept(state, peer, report, now, first)
        hear(state, peer, report, now)
        if old is None or report.start_us != old.start_us or report.level != old.level:
            self._answer(peer, report)
        if old is None or report.p_kw != old.p_kw or report.q_kvar != old.q_kvar:
            for zone in state.grid.sides[peer]:
                self._remember_demand(zone)
        return self._finish(now)

    def peer_lost(self, peer: int, now: int) -> list[Action]:
        """Nothing acceptable from a peer within its time allowed to live."""
        state = self.state
        if state.fresh[peer]:
            state.fresh[peer] = False
            state.version += 1
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
                refusal = self._open(now)
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
                refusal = self._release(command, now)
            case CommandKind.TAG | CommandKind.UNTAG:
                refusal = self._tag(command, now)
            case CommandKind.AUTOMATION_ON | CommandKind.AUTOMATION_OFF:
                state.automation = command.kind is CommandKind.AUTOMATION_ON
                if not state.automation and state.request.number and not state.close_at:
                    state.request = Request()
        origin = (("kind", command.kind.name), ("origin", command.origin))
        if refusal is not None:
            state.actions.append(CommandResult(command.identifier, refusal is Refusal.NONE, refusal))
            state.emit("command", now, *origin, ("refusal", refusal.name))
        else:
            state.emit("command", now, *origin, ("refusal", "PENDING"))
        return self._finish(now)

    # --- orders ------------------------------------------------------------------------------------------------------

    def _open(self, now: int) -> Refusal:
        state = self.state
        if state.position is not Position.CLOSED:
            return Refusal.POSITION
        if state.status.local:
            return Refusal.LOCAL
        device = state.grid.devices[state.me]
        amps = (state.measurement.p_kw**2 + state.measurement.q_kvar**2) ** 0.5 / state.grid.root3_kv
        if not isolate.can_break(state) and (state.active or amps > device.breaking_current_a):
            return Refusal.BREAKING_CAPACITY
        isolate.trip(state, now, "ordered", clearing=True)
        state.held |= 1 << (state.zone_b if state.load_p >= 0 else state.zone_a)
        return Refusal.NONE

    def _release(self, command: Command, now: int) -> Refusal:
        state = self.state
        if not command.local:
            return Refusal.NOT_AUTHORISED
        if state.active or state.isolate_since:
            return Refusal.FAULT_PRESENT
        for zone, locked in ((state.zone_a, state.locked_a), (state.zone_b, state.locked_b)):
            if locked:
                state.held |= 1 << zone
        state.locked_a = state.locked_b = state.latched = False
        state.failed = False
        state.close_failures = state.shots = 0
        if state.claim_zones:
            isolate.withdraw(state, now)
        state.operate_dirty = True
        state.emit("released", now, ("origin", command.origin))
        isolate.latch(state)
        return Refusal.NONE

    def _tag(self, command: Command, now: int) -> Refusal:
        state = self.state
        if command.kind is CommandKind.UNTAG and not command.local:
            return Refusal.NOT_AUTHORISED
        state.tagged = command.kind is CommandKind.TAG
        if state.tagged and not state.close_at:
            state.request = Request()
        state.operate_dirty = True
        isolate.latch(state)
        return Refusal.NONE

    # --- measurement -------------------------------------------------------------------------------------------------

    def _relay(self, status: BreakerStatus, now: int) -> None:
        """A conventional IED: its flags make the episode, stamped on arrival."""
        old = self.state.measurement
        level = status.relay_level
        was = old.level in (Level.START, Level.PICKUP)
        runs = level in (Level.START, Level.PICKUP)
        start = old.start_us if was or not runs else now
        end = 0 if runs else (now if was else old.end_us)
        horizon = now if runs else now - self.state.config.conventional_delay
        new = old._replace(
            level=level,
            direction=status.relay_direction,
            start_us=start,
            end_us=end,
            upto_us=horizon,
            current_zero=False,
        )
        self.state.measurement = new
        self.state.upto = max(self.state.upto, horizon)
        self._episode(level, new, old, now)

    def _episode(self, level: Level, new: Measurement, old: Measurement, now: int) -> None:
        """Follow an overcurrent episode: its beginning, direction, and end."""
        state = self.state
        before = state.level
        state.level = level
        if state.active:
            if new.start_us != old.start_us or before in (Level.QUIET, Level.BLIND):
                state.decided = False
                state.steady_since = now
                state.direction = Direction.NONE
                state.emit("start", now, ("start_us", new.start_us))
            risen = level is Level.PICKUP and before is not Level.PICKUP
            if risen or state.direction in (Direction.NONE, Direction.UNKNOWN) or new.direction is not old.direction:
                state.direction = believe(state, new.direction, new.peak_a)
            if level is Level.PICKUP and before is not Level.PICKUP:
                self._picked_up(now)
        elif before in (Level.START, Level.PICKUP):
            state.steady_since = now
            state.backup_at = NEVER
            state.emit("dropoff", now, ("end_us", new.end_us))
        if level is Level.BLIND and before is not Level.BLIND:
            state.version += 1

    def _picked_up(self, now: int) -> None:
        state = self.state
        config = state.config
        direction = state.direction.name
        state.emit(
            "pickup", now, ("start_us", state.measurement.start_us), ("direction", direction),
            ("peak_a", round(state.measurement.peak_a, 1)),
        )  # fmt: skip
        if state.grid.breaker[state.me]:
            state.backup_at = now + config.backup_base + config.backup_step * state.grid.grade[state.me]
        shooting = state.reclose_ok_at != NEVER
        if state.close_at or (state.closed_at and now - state.closed_at <= config.onto_fault_window):
            if not shooting:
                state.onto_fault = True
                state.emit("onto_fault", now)
            if isolate.can_break(state):
                isolate.trip(state, now, "switch onto fault", clearing=True)

    def _voltage(self, now: int) -> None:
        """Join the merging unit's word on side A with the voltage presence indication of the breaker's IED."""
        state = self.state
        status = state.status if state.breaker_fresh else BreakerStatus()
        instrument = state.measurement.live_a if state.measurement.level is not Level.BLIND else Live.UNKNOWN
        live_a = status.live_a
        if Live.LIVE in (instrument, status.live_a):
            live_a = Live.LIVE
        elif live_a is Live.UNKNOWN:
            live_a = instrument
        live_b = status.live_b
        if (live_a, live_b) != (state.live_a, state.live_b):
            if (live_a is Live.DEAD and state.live_a is not Live.DEAD) or (
                live_b is Live.DEAD and state.live_b is not Live.DEAD
            ):
                state.dead_since = now
            for zone, live, before in ((state.zone_a, live_a, state.live_a), (state.zone_b, live_b, state.live_b)):
                if live is Live.LIVE and before is not Live.LIVE:
                    state.held &= ~(1 << zone)
            state.live_a, state.live_b = live_a, live_b
            state.steady_since = now
            state.version += 1

    def _load(self, now: int) -> None:
        """Publish load in the steady state only: what peers hold during a fault is the load from before it."""
        state = self.state
        if state.position is Position.OPEN:
            p = q = 0.0
        elif state.active or Live.LIVE not in (state.live_a, state.live_b) or state.position is not Position.CLOSED:
            state.load_at = NEVER
            return
        else:
            p, q = state.measurement.p_kw, state.measurement.q_kvar
        if abs(p - state.load_p) + abs(q - state.load_q) <= 2.0 + 0.02 * abs(state.load_p):
            state.load_at = NEVER
            return
        due = state.steady_since + LOAD_STEADY
        if now < due:
            state.load_at = due
            return
        state.load_at = NEVER
        state.load_p, state.load_q = p, q

    def _remember_demand(self, zone: int) -> None:
        """A zone's demand is what flows into it while it is live and quiet."""
        state = self.state
        if state.active or zone_live(state, zone) is not Live.LIVE:
            return
        for device in state.grid.zone_devices[zone]:
            report = state.peers[device]
            if report is not None and report.level in (Level.START, Level.PICKUP):
                return
        net = metered(state, zone)
        if net is not None:
            state.known[zone] = net

    def _answer(self, peer: int, report: Report) -> None:
        """A neighbour picked up: answer when our samples reach past its pick-up and the spread."""
        state = self.state
        concerned = state.grid.near[state.me] if all(state.fresh) else state.grid.near2[state.me]
        if not concerned >> peer & 1 or state.position is Position.OPEN:
            return
        if report.level in (Level.START, Level.PICKUP) and state.level is Level.QUIET:
            wanted = report.start_us + state.config.pickup_spread
            told = self._told.upto_us if self._told is not None else 0
            if told < wanted:
                state.tell_at = wanted if state.tell_at == NEVER else max(state.tell_at, wanted)

    # --- the end of every step ---------------------------------------------------------------------------------------

    def _finish(self, now: int) -> list[Action]:
        state = self.state
        if state.ready_at and now >= state.ready_at and state.breaker_fresh:
            state.ready_at = 0
            state.version += 1
            state.emit("ready", now)
        if state.grid.devices[state.me].merging_unit is None and state.level is Level.QUIET and state.breaker_fresh:
            state.upto = max(state.upto, now - state.config.conventional_delay)
        again = NEVER
        if not state.decided:
            again = self._locate(now)
        if state.isolate_since or state.trip:
            isolate.pursue(state, now)
        if state.active and not state.trip and not state.decided:
            isolate.clear(state, now)
        if now >= state.backup_at:
            self._backup(now)
        if state.claim_zones and not state.claim_final:
            again = min(again, self._pending(now))
        if state.load_at != NEVER and now >= state.load_at:
            self._load(now)
        if now >= state.latch_retry:
            state.latch_retry = NEVER
            isolate.latch(state)
        self._publish(now)
        if state.asking or state.grants or state.reservations:
            consider(state, now)
            again = min(again, self._grants_deadline())
        again = min(again, lead.advance(state, now))
        self._publish(now)
        self._deadline = self._next(again, now)
        actions, state.actions = state.actions, []
        return actions

    def _grants_deadline(self) -> int:
        state = self.state
        times = [g.until for g in state.grants.values()]
        times += [r.until for r in state.reservations]
        return min(times, default=NEVER)

    def _next(self, again: int, now: int) -> int:
        state = self.state
        due = min(again, state.backup_at, state.load_at, state.latch_retry, state.tell_at)
        if state.ready_at and state.breaker_fresh:
            due = min(due, state.ready_at)
        if state.trip:
            if not state.failed:
                due = min(due, isolate.open_deadline(state))
            if state.guard_until > now:
                due = min(due, state.guard_until)
        elif state.isolate_since:
            due = min(due, state.isolate_since + state.config.zero_wait)
        return due if due > now else now + 250

    def _locate(self, now: int) -> int:
        """Decide the present (or just ended) episode."""
        state = self.state
        config = state.config
        zone = episode_zone(state)
        ended = not state.active
        if ended and now > state.measurement.end_us + 300_000:
            state.decided = True
            return self._onto_fault_undecided(now)
        if zone < 0:
            return NEVER if not ended else state.measurement.end_us + 300_001
        if state.level is Level.START and not self._someone_picked_up():
            return NEVER
        if state.grid.fused[zone] and not state.onto_fault:
            until = state.measurement.start_us + config.fuse_wait
            if ended and state.measurement.end_us < until:
                state.decided = True
                state.emit("cleared_by_fuse", now, ("zone", state.grid.feeder.zones[zone].name))
                return NEVER
            if now < until:
                return until
        decision = decide(state, zone, now)
        if decision.verdict is Verdict.FAULTED:
            state.decided = True
            self._claim(decision.group, zone, now)
            return NEVER
        if decision.verdict is Verdict.THROUGH and ended and decision.again == NEVER:
            state.decided = True
            return self._onto_fault_undecided(now)
        if ended:
            return min(decision.again, state.measurement.end_us + 300_001)
        return decision.again

    def _onto_fault_undecided(self, now: int) -> int:
        """We closed onto a fault, and nobody has said where it is: all that we energised is suspect."""
        state = self.state
        if state.onto_fault:
            state.onto_fault = False
            if not state.faulted() & state.close_zones:
                isolate.claim(state, state.close_zones, now, "switched onto a fault")
        return NEVER

    def _someone_picked_up(self) -> bool:
        """A start below pick-up counts when a peer has picked up on the same fault."""
        state = self.state
        for peer, report in enumerate(state.peers):
            if report is None or not state.fresh[peer] or report.level is not Level.PICKUP:
                continue
            if abs(report.start_us - state.measurement.start_us) < 100_000:
                return True
        return False

    def _claim(self, group: int, entered: int, now: int) -> None:
        """Found: final at once, or with a reclose shot to come."""
        state = self.state
        config = state.config
        if now - state.shots_since > config.claim_withdrawn:
            state.shots = 0
            state.shots_since = now
        dead_times = self._dead_times(entered)
        shot = (
            state.shots < len(dead_times)
            and group == 1 << entered
            and state.automation
            and not state.tagged
            and not state.onto_fault
        )
        if shot:
            state.reclose_ok_at = NEVER
            if not state.claim_final:
                state.claim_zones = 0
            isolate.claim(state, group, now, "fault current enters, none leaves", final=False)
            if state.grid.breaker[state.me]:
                state.reclose_at = now + int(dead_times[state.shots] * 1000)
            state.shots += 1
        else:
            state.onto_fault = False
            if state.claim_zones and not state.claim_final:
                group |= state.claim_zones
                state.claim_zones = 0
            isolate.claim(state, group, now, "fault current enters, none leaves")

    def _dead_times(self, entered: int) -> tuple[float, ...]:
        """Dead times of the breaker that recloses for us: ourselves, or the one above a load-break switch."""
        state = self.state
        grid = state.grid
        if grid.breaker[state.me]:
            return grid.devices[state.me].reclose_dead_times_ms
        near = grid.other(state.me, entered)
        seen = 1 << near
        queue = [near]
        for zone in queue:
            for device in grid.zone_devices[zone]:
                report = state.peers[device]
                if device == state.me or report is None or report.start_us == 0:
                    continue
                a, b = grid.sides[device]
                into = b if report.direction is Direction.INTO_B else a
                if into != zone or state.is_open(device):
                    continue
                if grid.breaker[device]:
                    return grid.devices[device].reclose_dead_times_ms
                far = grid.other(device, zone)
                if not seen >> far & 1:
                    seen |= 1 << far
                    queue.append(far)
        return ()

    def _pending(self, now: int) -> int:
        """A claim with a reclose shot: withdrawn when the shot held, final when it failed or never came."""
        state = self.state
        config = state.config
        both_live = state.live_a is Live.LIVE and state.live_b is Live.LIVE
        if not state.active and both_live and state.position is Position.CLOSED:
            held_since = max(state.steady_since, state.claim_us)
            if now >= held_since + config.reclose_reset:
                isolate.withdraw(state, now)
                return NEVER
            return held_since + config.reclose_reset
        longest = max(self._dead_times(self._claimed_side()), default=0.0)
        limit = state.claim_us + int(longest * 1000) + 3_000_000
        if now >= limit:
            lead.finalise(state, now, "no reclose came")
            return NEVER
        return limit

    def _claimed_side(self) -> int:
        state = self.state
        return state.zone_b if state.claim_zones >> state.zone_b & 1 else state.zone_a

    def _backup(self, now: int) -> None:
        """Time-graded: the fault is still there, and nobody selective has cleared it."""
        state = self.state
        state.backup_at = NEVER
        if state.level is not Level.PICKUP or state.trip:
            return
        zone = zone_entered(state)
        group = 1 << zone if zone >= 0 else 1 << state.zone_a | 1 << state.zone_b
        if zone >= 0:
            decision = decide(state, zone, now)
            if decision.verdict is Verdict.GRADED:
                group = decision.group
        state.decided = True
        state.emit("backup_trip", now)
        isolate.claim(state, group, now, "time-graded backup")
        if not state.trip and isolate.can_break(state):
            isolate.trip(state, now, "time-graded backup")

    def _publish(self, now: int) -> None:
        """Tell peers and the breaker's IED what has changed."""
        state = self.state
        if state.operate_dirty:
            state.operate_dirty = False
            block = state.locked_a or state.locked_b or state.tagged
            order = BreakerCommand(state.trip, state.close_number, state.close_expiry, block)
            state.actions.append(Operate(order))
            self._ordered = order
        told = self._told
        answering = now >= state.tell_at and state.upto >= state.tell_at
        if answering:
            state.tell_at = NEVER
        measurement = state.measurement
        upto = state.upto if answering or told is None else told.upto_us
        grants = tuple(sorted((peer, grant.request.number) for peer, grant in state.grants.items()))
        report = Report(
            state.position, state.level if state.time_good else Level.BLIND, state.direction, measurement.start_us, measurement.end_us, upto,
            measurement.peak_a if state.active else (told.peak_a if told else 0.0), state.live_a, state.live_b,
            state.load_p, state.load_q, state.claim_number, state.claim_zones, state.claim_us, state.claim_final,
            state.locked_a, state.locked_b, state.latched, state.failed, state.automation, state.tagged, state.ready,
            state.request, grants,
        )  # fmt: skip
        if report == told:
            return
        if told is not None and report._replace(peak_a=told.peak_a) == told:
            return
        report = report._replace(upto_us=state.upto)
        if told is None or report.p_kw != told.p_kw or report.q_kvar != told.q_kvar:
            self._told = state.last_report = report
            self._remember_demand(state.zone_a)
            self._remember_demand(state.zone_b)
        self._told = state.last_report = report
        state.version += 1
        state.actions.append(Publish(report))


__all__ = ["LOCKED_UNREADABLE", "Brain", "BrainConfig", "RequestKind"]

"""One test for each hazard of docs/explanation/safety.md that the brain answers for: each fails without its rule."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agent.logic.brain import LOCKED_UNREADABLE, Brain
from agent.logic.config import BrainConfig
from agent.logic.direction import believe
from agent.logic.isolate import record_of
from agent.logic.messages import (
    Action,
    BreakerCommand,
    CommandKind,
    CommandResult,
    Direction,
    Level,
    Live,
    LockRecord,
    Measurement,
    Operate,
    Refusal,
    Request,
    RequestKind,
)
from scl.topology import DeviceKind
from tests.logic.lab import FAULT_A, MS, Lab, feeder
from tests.logic.test_brain import LOADS, TWO_FEEDERS, lab

REST = {"BB1", "BB2", "Z21", "Z22"}


def index(bench: Lab, name: str) -> int:
    return bench.net.device_index[name]


def zone(bench: Lab, name: str) -> int:
    return next(z.index for z in bench.net.zones if z.name == name)


def orders(actions: list[Action]) -> list[BreakerCommand]:
    return [a.command for a in actions if isinstance(a, Operate)]


def answers(bench: Lab) -> list[Refusal]:
    return [a.refusal for _, _, a in bench.log if isinstance(a, CommandResult)]


def restart(bench: Lab, name: str, restored: LockRecord | None) -> None:
    """The agent comes back with an empty memory and its latch, and hears everyone's present state."""
    i = index(bench, name)
    bench.silent.discard(i)
    bench.brains[i] = brain = Brain(bench.net, i, bench.config, restored)
    bench.act(i, brain.start(bench.now))
    bench.act(i, brain.measure(bench.measured[i]._replace(upto_us=bench.now), bench.now))
    status = bench.statuses[i]
    assert status is not None
    bench.act(i, brain.breaker(status, bench.now))
    for peer, other in enumerate(bench.brains):
        if peer != i and other.last_report is not None:
            bench.hear(i, peer, other.last_report)
            own = brain.last_report
            assert own is not None
            bench.hear(peer, i, own)


def cut_all_communication(bench: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "hear", lambda *_: None)
    for i, brain in enumerate(bench.brains):
        for peer in range(len(bench.brains)):
            if peer != i:
                bench.act(i, brain.peer_lost(peer, bench.now))


def test_a_tagged_device_stays_open() -> None:
    bench = lab()
    bench.command("T1", CommandKind.TAG)
    bench.fault("Z11")
    bench.run(3_000 * MS)
    assert "T1" in bench.open_devices()
    assert bench.energised() == REST
    assert bench.orders[index(bench, "T1")].block_close


def test_automation_off_still_isolates_and_does_not_restore() -> None:
    bench = lab()
    for device in bench.net.devices:
        bench.command(device.name, CommandKind.AUTOMATION_OFF)
    bench.fault("Z11")
    bench.run(3_000 * MS)
    assert bench.locked() == {"F1", "R11"}
    assert bench.energised() == REST


def test_an_order_to_close_between_two_live_sides_is_refused() -> None:
    bench = lab()
    bench.command("T1", CommandKind.CLOSE)
    bench.run(1_000 * MS)
    assert answers(bench) == [Refusal.BOTH_SIDES_LIVE]
    assert "T1" in bench.open_devices()


def test_bad_time_closes_nothing() -> None:
    bench = lab()
    for i, brain in enumerate(bench.brains):
        if i == index(bench, "T1"):
            bench.act(i, brain.time_quality(False, bench.now))
    bench.fault("Z11")
    bench.run(3_000 * MS)
    assert "T1" in bench.open_devices()
    assert bench.energised() == REST


def test_a_close_needs_every_grant() -> None:
    """L12 bounds a zone to be fed, and its agent died after the fault: nobody closes into what it bounds."""
    bench = lab()
    bench.fault("Z11")
    bench.run(8 * MS)
    bench.kill("L12")
    bench.run(3_000 * MS)
    assert "T1" in bench.open_devices()
    assert bench.energised() == REST


def test_one_zone_is_granted_to_one_requester() -> None:
    """Two ties ask for the same dead zones at once; whoever bounds them agrees to one of them."""
    net = feeder({**TWO_FEEDERS, "T2": ("Z12", "Z21", "lbs open")}, ("BB1", "BB2"), LOADS)
    bench = Lab(net)
    bench.fault("Z11")
    bench.run(55 * MS)  # isolated, nothing asked yet
    l12, t1, t2 = (index(bench, name) for name in ("L12", "T1", "T2"))
    brain = bench.brains[l12]
    zones = 1 << zone(bench, "Z12") | 1 << zone(bench, "Z13")
    assert not brain.state.faulted() & zones
    for peer in (t1, t2):
        told = bench.brains[peer].last_report
        assert told is not None
        brain.report(peer, told._replace(request=Request(7, RequestKind.RESTORE, zones, 100.0, 0.0, 0)), bench.now)
    brain.timer(bench.now + 50 * MS)
    assert len(brain.state.grants) <= 1
    bench.run(3_000 * MS)
    assert len({"T1", "T2", "L12"} & bench.open_devices()) == 1, "one path, no loop"


def test_capacity_is_not_promised_twice() -> None:
    """Two requests that each fit F2 do not both fit it."""
    net = feeder({**TWO_FEEDERS, "T2": ("Z12", "Z21", "lbs open")}, ("BB1", "BB2"), LOADS)
    bench = Lab(net)
    brain = bench.brains[index(bench, "F2")]
    for name, target in (("T1", "Z13"), ("T2", "Z12")):
        peer = index(bench, name)
        told = bench.brains[peer].last_report
        assert told is not None
        request = Request(7, RequestKind.RESTORE, 1 << zone(bench, target), 4_000.0, 0.0, 0)
        brain.report(peer, told._replace(request=request), bench.now)
    assert len(brain.state.grants) == 1


def test_a_load_break_switch_is_never_told_to_open_with_current_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = lab()
    told: list[str] = []
    original = bench.order

    def order(i: int, command: BreakerCommand) -> None:
        device = bench.net.devices[i]
        if command.trip and device.kind is DeviceKind.LOAD_BREAK_SWITCH:
            told.append(device.name)
            assert bench.measured[i].current_zero
        original(i, command)

    monkeypatch.setattr(bench, "order", order)
    bench.fault("Z13")
    bench.run(2_000 * MS)
    assert "L12" in told


@pytest.mark.parametrize("struck_ms", [None, 2, 12])
def test_an_ordered_load_break_switch_waits_for_what_the_samples_say(struck_ms: int | None) -> None:
    """A fault that has just struck, or strikes just now, shows some milliseconds later only."""
    bench = lab()
    l12 = index(bench, "L12")
    bench.command("L12", CommandKind.OPEN)
    assert not bench.orders[l12].trip
    if struck_ms is not None:
        bench.run(struck_ms * MS)
        bench.fault("Z13")
    bench.run(BrainConfig().order_look + MS)
    answered = [action for _, name, action in bench.log if name == "L12" and isinstance(action, CommandResult)]
    refusal = Refusal.NONE if struck_ms is None else Refusal.BREAKING_CAPACITY
    assert [(a.accepted, a.refusal) for a in answered] == [(struck_ms is None, refusal)]
    assert bench.orders[l12].trip is (struck_ms is None)


@pytest.mark.parametrize(("first", "old"), [(True, False), (False, True)], ids=["first word", "old claim"])
def test_a_claim_from_before_locks_and_moves_nothing(first: bool, old: bool) -> None:
    bench = lab()
    r11, f1 = index(bench, "R11"), index(bench, "F1")
    brain = bench.brains[r11]
    told = bench.brains[f1].last_report
    assert told is not None
    if first:
        brain.state.peers[f1] = None
        brain.state.seen[f1] = -1
    claim_us = bench.now - (3_000 if old else 5) * MS
    report = told._replace(claim_number=told.claim_number + 9, claim_zones=1 << zone(bench, "Z11"), claim_us=claim_us)
    sent = orders(brain.report(f1, report, bench.now))
    assert brain.state.locked_a
    assert sent
    assert all(order.block_close and not order.trip for order in sent)


@pytest.mark.parametrize("latch", ["as written", "unreadable"])
def test_a_restarted_agent_moves_nothing_and_stays_locked(latch: str) -> None:
    bench = lab()
    bench.fault("Z11")
    bench.run(2_000 * MS)
    before = bench.open_devices()
    bench.kill("R11")
    record = record_of(bench.brains[index(bench, "R11")].state) if latch == "as written" else LOCKED_UNREADABLE
    restart(bench, "R11", record)
    moved: list[int] = []
    original: Callable[[int, bool], None] = bench.moved
    bench.moved = lambda i, closed: (moved.append(i), original(i, closed))[1]  # type: ignore[method-assign,func-returns-value]
    bench.run(3_000 * MS)
    assert bench.open_devices() == before
    assert not moved
    assert "R11" in bench.locked()
    bench.command("R11", CommandKind.CLOSE)
    assert answers(bench)[-1] is Refusal.LOCKED_OUT


def test_a_device_without_samples_claims_nothing() -> None:
    bench = lab()
    f1 = index(bench, "F1")
    brain = bench.brains[f1]
    brain.measure(Measurement(level=Level.BLIND), bench.now)
    sent: list[BreakerCommand] = []
    for late in (5, 100, 500, 2_000):
        sent += orders(brain.measure(Measurement(level=Level.BLIND, peak_a=FAULT_A), bench.now + late * MS))
        sent += orders(brain.timer(bench.now + (late + 1) * MS))
    assert not any(order.trip for order in sent)
    assert brain.last_report is not None
    assert brain.last_report.level is Level.BLIND
    assert brain.state.claim_zones == 0


def test_without_any_communication_the_last_breaker_before_the_fault_trips_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = lab()
    cut_all_communication(bench, monkeypatch)
    bench.fault("Z12")
    bench.run(300 * MS)
    assert bench.open_devices() == {"T1"}, "nobody can be selective yet"
    bench.run(1_500 * MS)
    assert bench.open_devices() == {"T1", "R11"}


def test_a_direction_that_topology_forbids_is_not_believed() -> None:
    """R11 carries 3 kA, and only its side A leads to a source: measured the other way round, it is unknown."""
    bench = lab()
    state = bench.brains[index(bench, "R11")].state
    assert believe(state, Direction.INTO_A, FAULT_A) is Direction.UNKNOWN
    for measured in (Direction.INTO_B, Direction.NONE, Direction.UNKNOWN):
        assert believe(state, measured, FAULT_A) is Direction.INTO_B


def test_switching_onto_a_fault_trips_at_once_and_locks() -> None:
    bench = lab()
    bench.command("R11", CommandKind.OPEN)
    bench.command("T1", CommandKind.AUTOMATION_OFF)
    bench.run(1_000 * MS)
    assert "R11" in bench.open_devices()
    bench.fault("Z12")
    bench.run(1_000 * MS)
    bench.command("R11", CommandKind.CLOSE)
    bench.run(3_000 * MS)
    assert "onto_fault" in {e.name for _, d, e in bench.log if d == "R11" and not isinstance(e, CommandResult)}
    assert {"R11", "L12"} <= bench.open_devices()
    assert "R11" in bench.locked()


def test_release_needs_a_person_at_the_device() -> None:
    bench = lab()
    bench.fault("Z11")
    bench.run(2_000 * MS)
    bench.command("R11", CommandKind.RELEASE, local=False)
    assert answers(bench) == [Refusal.NOT_AUTHORISED]
    assert "R11" in bench.locked()


def test_a_lock_that_could_not_be_written_holds_in_memory_and_says_so() -> None:
    bench = lab()
    bench.latched = lambda i, record: bench.act(i, bench.brains[i].latched(record, False, bench.now))  # type: ignore[method-assign]
    bench.fault("Z11")
    bench.run(3_000 * MS)
    assert bench.locked() == {"F1", "R11"}
    assert not any(brain.state.latched for brain in bench.brains)
    assert set(bench.events("not_latched")) == {"F1", "R11"}
    bench.command("R11", CommandKind.CLOSE)
    assert answers(bench)[-1] is Refusal.LOCKED_OUT


def test_a_claim_stops_a_close_under_way() -> None:
    """T1 has been told to close onto Z13 and Z12 when somebody finds a fault in Z12: the mechanism is told to stop."""
    bench = lab()
    bench.fault("Z11")
    t1 = index(bench, "T1")
    brain = bench.brains[t1]
    for _ in range(400):
        bench.run(MS)
        if brain.state.close_at:
            break
    assert brain.state.close_zones >> zone(bench, "Z12") & 1
    told = brain.state.peers[index(bench, "L12")]
    assert told is not None
    found = told._replace(claim_number=told.claim_number + 1, claim_zones=1 << zone(bench, "Z12"), claim_us=bench.now)
    sent = orders(brain.report(index(bench, "L12"), found, bench.now))
    assert [order.trip for order in sent] == [True]


def test_a_switch_waits_for_samples_from_after_the_claim() -> None:
    """Its last samples show no current, but they are older than the claim: the fault may be younger than they are."""
    bench = lab()
    l12, r11 = index(bench, "L12"), index(bench, "R11")
    brain = bench.brains[l12]
    quiet = bench.measured[l12]._replace(current_zero=True, p_kw=0.0, upto_us=bench.now - MS)
    brain.measure(quiet, bench.now)
    told = brain.state.peers[r11]
    assert told is not None
    found = told._replace(claim_number=told.claim_number + 1, claim_zones=1 << zone(bench, "Z12"), claim_us=bench.now)
    sent = orders(brain.report(r11, found, bench.now))
    assert [(order.block_close, order.trip) for order in sent] == [(True, False)]
    assert brain.deadline is not None
    assert brain.deadline <= bench.now + 3 * MS
    brain.evaluated(bench.now + 2 * MS)
    assert [order.trip for order in orders(brain.timer(bench.now + 3 * MS))] == [True]


def test_what_nobody_could_locate_in_time_is_not_fed_and_is_found_when_a_witness_is_back() -> None:
    """R1 feeds a fault, L1 behind it is silent, and the supply goes before anything is decided. Z2 and Z3 stay dark;
    when L1 is heard again and was quiet, the fault is in Z2."""
    switches = {"F1": ("S", "Z1", "cb"), "R1": ("Z1", "Z2", "cb"), "L1": ("Z2", "Z3", "lbs")}
    bench = Lab(feeder(switches, ("S",), {"Z1": 100.0, "Z2": 100.0, "Z3": 100.0}))
    r1 = index(bench, "R1")
    bench.kill("L1")
    bench.fault("Z2")
    bench.run(100 * MS)
    assert not bench.events("claim")
    bench.source_on[zone(bench, "S")] = False
    bench.plant()
    bench.run(1_000 * MS)
    state = bench.brains[r1].state
    doubted = 1 << zone(bench, "Z2") | 1 << zone(bench, "Z3")
    assert state.doubt == doubted
    asked = Request(7, RequestKind.RESTORE, doubted, 200.0, 0.0, 0)
    told = state.peers[index(bench, "F1")]
    assert told is not None
    bench.brains[r1].report(index(bench, "F1"), told._replace(request=asked), bench.now)
    assert not state.grants
    restart(bench, "L1", None)
    bench.run(50 * MS)
    assert "R1" in bench.events("claim")
    assert state.faulted() == 1 << zone(bench, "Z2")
    assert not state.doubt


def test_a_block_that_only_the_breaker_remembers_is_obeyed() -> None:
    """The agent died between its trip and its latch: its own disk is empty, the breaker's IED still holds the block."""
    bench = lab()
    i = index(bench, "F1")
    brain = Brain(bench.net, i, bench.config, None)
    assert not orders(brain.start(bench.now)), "nothing is ordered before the breaker's IED has spoken"
    status = bench.statuses[i]
    assert status is not None
    sent = orders(brain.breaker(status._replace(blocked=True), bench.now))
    assert [order.block_close for order in sent] == [True]
    assert brain.state.locked_a
    assert brain.state.locked_b


def test_what_decays_after_the_fault_is_cleared_does_not_turn_its_direction() -> None:
    """A claim of the next breaker upstream rests on this direction: unknown, the whole busbar would be given up."""
    bench = lab()
    i = index(bench, "F1")
    brain = bench.brains[i]
    flows = bench.measured[i]._replace(
        level=Level.PICKUP, direction=Direction.INTO_B, start_us=bench.now - 3 * MS, peak_a=FAULT_A, current_zero=False
    )
    brain.measure(flows._replace(upto_us=bench.now - MS), bench.now)
    for after, level, direction in (
        (80 * MS, Level.START, Direction.INTO_A),
        (82 * MS, Level.START, Direction.UNKNOWN),
        (90 * MS, Level.QUIET, Direction.UNKNOWN),
    ):
        now = bench.now + after
        end = now - MS if level is Level.QUIET else 0
        brain.measure(flows._replace(level=level, direction=direction, end_us=end, upto_us=now - MS), now)
        assert brain.last_report is not None
        assert brain.last_report.direction is Direction.INTO_B


def test_a_zone_that_nobody_saw_die_is_not_fed_without_a_known_fault() -> None:
    """BB1 went dark while R11's agent was down: whether a fault was the reason, R11 cannot say of Z11 and Z12."""
    bench = lab()
    bench.kill("R11")
    bench.source_on[zone(bench, "BB1")] = False
    bench.plant()
    bench.run(3_000 * MS)
    restart(bench, "R11", None)
    bench.run(8_000 * MS)
    assert not bench.energised() & {"Z11", "Z12"}
    assert "Z13" in bench.energised()
    assert "F1" not in bench.open_devices(), "nothing opens for what cannot be done"
    bench.source_on[zone(bench, "BB1")] = True
    bench.plant()
    bench.run(2_000 * MS)
    assert {"Z11", "Z12"} <= bench.energised()


def test_a_zone_that_died_unseen_is_fed_once_a_fault_explains_it() -> None:
    bench = lab()
    bench.kill("L12")
    bench.fault("Z11")
    bench.run(1_000 * MS)
    restart(bench, "L12", None)
    bench.run(8_000 * MS)
    assert bench.energised() == {"BB1", "BB2", "Z12", "Z13", "Z21", "Z22"}


def picked_up_late(bench: Lab, name: str, late: int) -> Brain:
    """A brain that learns only now of a pick-up since when some time has passed."""
    i, now = index(bench, name), bench.now
    flows = bench.measured[i]._replace(
        level=Level.PICKUP, direction=Direction.INTO_B, start_us=now, pickup_us=now, upto_us=late - MS,
        peak_a=FAULT_A, current_zero=False,
    )  # fmt: skip
    bench.brains[i].measure(flows, late)
    return bench.brains[i]


def test_an_agent_that_was_kept_from_its_own_pickup_reads_the_answers_first() -> None:
    """F1 wakes 12 ms late: its wait for answers is over by the clock, but nobody has had the time to be heard."""
    bench = lab()
    now, late = bench.now, bench.now + 12 * MS
    brain = picked_up_late(bench, "F1", late)
    assert brain.state.claim_zones == 0
    answer = bench.brains[index(bench, "R11")].last_report
    assert answer is not None
    below = answer._replace(level=Level.PICKUP, direction=Direction.INTO_B, start_us=now, upto_us=now + 5 * MS)
    brain.report(index(bench, "R11"), below, late)
    brain.timer(late + 2 * MS)
    assert brain.state.claim_zones == 0, "R11 says that the fault is beyond it"


def test_an_agent_that_asked_late_waits_for_the_answer() -> None:
    """Nobody has had the question for more than 6 ms: that is no silence yet."""
    bench = lab()
    late = bench.now + 7 * MS
    brain = picked_up_late(bench, "F1", late)
    brain.timer(late + 6 * MS)
    assert brain.state.claim_zones == 0
    brain.timer(late + 8 * MS)
    assert brain.state.claim_zones, "but it does not wait for ever"


@pytest.mark.parametrize(("share", "fed_again"), [(0.2, False), (1.0, True)], ids=["most of it stays", "all passes"])
def test_a_zone_that_most_of_the_fault_current_went_into_is_not_fed_by_itself(share: float, fed_again: bool) -> None:
    """Two faults at once. R1 claims the far one; of what F1 fed, only a fifth went through R1: so Z1 is not healthy."""
    switches = {"F1": ("S", "Z1", "cb"), "R1": ("Z1", "Z2", "lbs")}
    bench = Lab(feeder(switches, ("S",), {"Z1": 100.0, "Z2": 100.0}))
    r1, see = index(bench, "R1"), bench.see

    def weaker(i: int, direction: Direction, amps: float, p: float, live_a: Live) -> None:
        see(i, direction, amps * share if i == r1 else amps, p, live_a)

    bench.see = weaker  # type: ignore[method-assign]
    bench.fault("Z2")
    bench.run(5_000 * MS)
    assert "R1" in bench.events("claim")
    assert ("F1" in bench.events("close")) is fed_again
    if not fed_again:
        told = bench.brains[index(bench, "F1")].last_report
        assert told is not None
        assert told.live_b is Live.UNKNOWN, "nobody else counts on the zone either"


@pytest.mark.parametrize(("longer_ms", "fed_again"), [(15, False), (5, True)])
def test_a_zone_that_fault_current_went_into_after_none_left_it_is_not_fed_by_itself(
    longer_ms: int, fed_again: bool
) -> None:
    """The same, both faults drawing as much: R1's current ends first, F1's goes on into Z1."""
    switches = {"F1": ("S", "Z1", "cb"), "R1": ("Z1", "Z2", "lbs")}
    bench = Lab(feeder(switches, ("S",), {"Z1": 100.0, "Z2": 100.0}))
    f1, see = index(bench, "F1"), bench.see

    def longer(i: int, direction: Direction, amps: float, p: float, live_a: Live) -> None:
        if i == f1 and not direction and bench.measured[f1].level is Level.PICKUP:
            bench.at(longer_ms * MS, lambda: see(i, direction, amps, p, live_a))
        else:
            see(i, direction, amps, p, live_a)

    bench.see = longer  # type: ignore[method-assign]
    bench.fault("Z2")
    bench.run(5_000 * MS)
    assert "R1" in bench.events("claim")
    assert ("F1" in bench.events("close")) is fed_again


def test_current_that_comes_round_to_us_says_nothing_of_the_zone_it_enters() -> None:
    """Both devices between R1 and the busbar on the far side are silent; the next that speaks is F1, and what it sees
    is what R1 sees. The fault may well be in Z2."""
    switches = {
        "F1": ("S", "Z1", "cb"), "R1": ("Z1", "Z2", "lbs"), "T1": ("Z2", "Z3", "lbs open"), "F2": ("S", "Z3", "cb"),
    }  # fmt: skip
    bench = Lab(feeder(switches, ("S",), {"Z1": 100.0, "Z2": 100.0, "Z3": 100.0}))
    bench.kill("T1")
    bench.kill("F2")
    for brain in bench.brains:  # never heard: nothing is known of their positions
        for silent in ("T1", "F2"):
            brain.state.peers[index(bench, silent)] = None
    bench.fault("Z2")
    bench.run(5_000 * MS)
    assert "F1" in bench.events("backup_trip")
    r1 = bench.brains[index(bench, "R1")].state
    assert (r1.doubt | r1.faulted()) >> zone(bench, "Z2") & 1
    assert "Z2" not in bench.energised()

"""What the agent is told of PTP: following, loss, hold-over, jumps, silence. The clock of the test is an argument."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.time.datasets import ClockDescription, ClockQuality, PortState, Properties, Stamping
from agent.time.profile import Profile
from agent.time.ptp import Memory, Phase, PtpSettings, PtpState, Reading, step
from agent.time.quality import UNSPECIFIED, SmpSynch, TimeState
from tests.time.recorded import INGRESS_NS, recorded_reading

UNSYNCHRONIZED = TimeState(False, "the kernel's clock is not synchronized", 16_000_000)
DISCIPLINED = TimeState(True, "synchronized", 40)
SETTINGS = PtpSettings(domain=93)
S = 1_000_000
REALTIME = INGRESS_NS // 1000 + 300_000


class Clock:
    """A slave that is asked twice a second."""

    def __init__(self, settings: PtpSettings = SETTINGS, kernel: TimeState = UNSYNCHRONIZED) -> None:
        self.settings = settings
        self.kernel = kernel
        self.memory = Memory()
        self.now = 77 * S
        self.ingress_ns = INGRESS_NS
        self.offset_ns = -238
        self.reading = recorded_reading()

    def ask(self, syncs: bool = True, answers: bool = True) -> PtpState:
        """Half a second later."""
        self.now += S // 2
        self.ingress_ns += 500_000_000 if syncs else 0
        status = self.reading.status._replace(offset_ns=self.offset_ns, ingress_ns=self.ingress_ns)
        self.reading = self.reading._replace(status=status)
        realtime = REALTIME + self.now - 77 * S
        heard = self.reading if answers else None
        self.memory, state = step(self.memory, heard, self.kernel, self.settings, realtime, self.now)
        return state

    def wait(self, seconds: float, syncs: bool = True, answers: bool = True) -> PtpState:
        """Ask for so long; the last state."""
        return [self.ask(syncs, answers) for _ in range(int(seconds * 2))][-1]

    def port(self, state: PortState) -> None:
        """The port goes into another state."""
        self.reading = self.reading._replace(ports=(self.reading.ports[0]._replace(state=state),))


def stamped(reading: Reading, stamping: Stamping) -> Reading:
    """With time stamps by something else."""
    return reading._replace(interfaces=tuple(port._replace(stamping=stamping) for port in reading.interfaces))


def test_a_slave_of_a_traceable_grandmaster_is_good_at_once() -> None:
    state = Clock().ask()
    assert state.phase is Phase.LOCKED
    time = state.time
    assert time.good
    assert time.why == "follows grandmaster c2e355.fffe.c1d059"
    # 238 ns offset, 508 ns path, 1 µs network; another 100 ns to UTC.
    assert time.error_us == 2
    assert time.synch is SmpSynch.GLOBAL
    assert time.quality == (True, False, False, 19)
    assert time.source == "ptp"


def test_a_grandmaster_without_utc_is_good_for_comparing_samples_and_not_synchronized() -> None:
    clock = Clock()
    clock.reading = clock.reading._replace(properties=clock.reading.properties._replace(flags=Properties(0)))
    time = clock.ask().time
    assert time.good
    assert time.synch is SmpSynch.LOCAL
    assert time.quality == (False, False, True, UNSPECIFIED)
    assert "not traced to UTC" in time.why


@pytest.mark.parametrize("clock_class", [52, 187, 248])
def test_a_grandmaster_that_degrades_is_local(clock_class: int) -> None:
    clock = Clock()
    clock.reading = clock.reading._replace(
        parent=clock.reading.parent._replace(quality=ClockQuality(clock_class, 0x21, 0))
    )
    assert clock.ask().time.synch is SmpSynch.LOCAL


def test_a_slave_that_still_calibrates_waits_and_then_settles() -> None:
    clock = Clock()
    clock.ingress_ns = 0
    clock.port(PortState.UNCALIBRATED)
    assert clock.ask(syncs=False).phase is Phase.WAITING
    assert not clock.wait(5, syncs=False).time.good
    clock.ingress_ns = INGRESS_NS
    clock.port(PortState.SLAVE)
    state = clock.wait(9.5)
    assert (state.phase, state.time.good) == (Phase.SETTLING, False)
    assert not state.time.quality.clock_failure
    assert clock.wait(1).time.good


@pytest.mark.parametrize("port", [PortState.SLAVE, PortState.LISTENING, PortState.MASTER, PortState.UNCALIBRATED])
def test_after_the_grandmaster_is_lost_the_time_counts_with_a_growing_error_and_then_is_bad(port: PortState) -> None:
    clock = Clock()
    assert clock.wait(5).time.good
    clock.port(port)
    assert clock.reading.status.present, "3.1.1 goes on saying so"
    state = clock.wait(4, syncs=False)
    assert state.phase is Phase.HOLD_OVER
    errors = []
    while state.phase is Phase.HOLD_OVER:
        assert state.time.good
        assert "hold-over" in state.time.why
        errors.append(state.time.error_us)
        state = clock.ask(syncs=False)
    assert state.phase is Phase.LOST
    assert not state.time.good
    assert state.time.synch is SmpSynch.NONE
    assert state.time.quality.clock_not_synchronized
    assert errors == sorted(errors)
    assert errors[-1] == pytest.approx(300, abs=15), "10 µs a second for 30 s"
    assert state.age_us == pytest.approx(30.5 * S, abs=S)


def test_a_short_loss_is_bridged_a_long_one_must_settle() -> None:
    clock = Clock()
    clock.wait(3)
    assert clock.wait(10, syncs=False).phase is Phase.HOLD_OVER
    assert clock.ask().phase is Phase.LOCKED
    assert clock.wait(40, syncs=False).phase is Phase.LOST
    state = clock.ask()
    assert (state.phase, state.time.good) == (Phase.SETTLING, False)
    assert clock.wait(10.5).time.good


def test_hold_over_ends_early_where_the_error_grows_above_the_limit() -> None:
    clock = Clock(replace(SETTINGS, drift_ppb=100_000))
    clock.wait(3)
    clock.port(PortState.LISTENING)
    assert clock.wait(9, syncs=False).phase is Phase.HOLD_OVER
    assert clock.wait(3, syncs=False).phase is Phase.LOST


def test_a_jump_of_the_offset_is_bad_at_once_and_until_it_has_settled() -> None:
    clock = Clock()
    clock.wait(3)
    clock.offset_ns += 600_000
    state = clock.ask()
    assert (state.phase, state.time.good) == (Phase.SETTLING, False)
    assert "jumped" in state.time.why
    assert state.time.quality.clock_failure
    assert state.time.quality.accuracy == UNSPECIFIED
    # Lost while it settles: there is nothing to hold.
    assert clock.wait(4, syncs=False).phase is Phase.LOST
    assert clock.wait(11).time.good


def test_a_new_grandmaster_with_the_same_time_is_followed_without_a_break() -> None:
    clock = Clock()
    clock.wait(3)
    clock.port(PortState.UNCALIBRATED)
    assert clock.wait(2).time.good
    clock.port(PortState.SLAVE)
    clock.reading = clock.reading._replace(parent=clock.reading.parent._replace(grandmaster=bytes(8)))
    assert all(clock.ask().time.good for _ in range(4))


def test_an_offset_above_the_limit_is_bad_without_a_jump() -> None:
    clock = Clock()
    for _ in range(5):
        clock.offset_ns += 250_000
        state = clock.ask()
    assert state.phase is Phase.LOCKED
    assert not state.time.good
    assert "may be wrong by 12" in state.time.why


@pytest.mark.parametrize("stamping", [Stamping.HARDWARE, Stamping.ONE_STEP])
def test_a_network_cards_clock_says_nothing_of_the_systems(stamping: Stamping) -> None:
    clock = Clock()
    clock.reading = stamped(clock.reading, stamping)
    clock.reading = clock.reading._replace(properties=clock.reading.properties._replace(utc_offset_s=37))
    clock.ingress_ns += 37_000_000_000
    state = clock.ask()
    assert not state.time.good
    assert "the system clock does not follow the PTP clock" in state.time.why
    clock.kernel = DISCIPLINED
    state = clock.ask()
    assert state.time.good
    assert state.time.error_us == 42, "the kernel's own bound is added"
    assert clock.wait(5, syncs=False).phase is Phase.HOLD_OVER
    clock.kernel = UNSYNCHRONIZED
    assert not clock.ask(syncs=False).time.good


def test_time_stamps_of_an_unknown_kind_are_not_taken_for_software() -> None:
    clock = Clock()
    clock.reading = clock.reading._replace(interfaces=())
    assert not clock.ask().time.good


def test_the_first_age_is_told_by_the_time_stamp() -> None:
    _, state = step(Memory(), recorded_reading(), UNSYNCHRONIZED, SETTINGS, REALTIME, 5)
    assert state.age_us == REALTIME - INGRESS_NS // 1000
    _, state = step(Memory(), recorded_reading(), UNSYNCHRONIZED, SETTINGS, REALTIME + 10 * S, 5)
    assert state.phase is Phase.LOST, "a port that is slave of nobody any more"
    assert not state.time.good
    tai = recorded_reading()._replace(properties=recorded_reading().properties._replace(utc_offset_s=37))
    _, state = step(Memory(), stamped(tai, Stamping.HARDWARE), DISCIPLINED, SETTINGS, REALTIME - 37 * S, 5)
    assert state.age_us == REALTIME - INGRESS_NS // 1000


def test_where_nobody_answers_the_kernel_does_and_it_is_said() -> None:
    clock = Clock(kernel=DISCIPLINED)
    state = clock.ask(answers=False)
    assert state.phase is Phase.SILENT
    assert state.time.good
    assert state.time.source == "kernel"
    assert state.time.why == "PTP does not answer; by the kernel: synchronized"
    assert state.time.synch is SmpSynch.NONE
    assert not clock.wait(3).time.good, "a grandmaster that is found must settle"
    assert clock.wait(10).time.synch is SmpSynch.GLOBAL


def test_one_question_without_answer_is_nothing_and_the_end_of_ptp4l_is_a_loss() -> None:
    clock = Clock()
    clock.wait(3)
    assert clock.ask(answers=False).phase is Phase.LOCKED
    assert clock.ask().phase is Phase.LOCKED
    state = clock.wait(6, answers=False)
    assert (state.phase, state.time.good) == (Phase.HOLD_OVER, True)
    state = clock.wait(30, answers=False)
    assert (state.phase, state.time.good, state.reading) == (Phase.SILENT, False, None)
    assert "not synchronized" in state.time.why


def test_a_clock_that_became_master_for_want_of_one_is_lost_and_a_reference_is_not() -> None:
    clock = Clock()
    clock.port(PortState.MASTER)
    own = clock.reading.parent._replace(grandmaster=clock.reading.default.identity)
    clock.reading = clock.reading._replace(parent=own)
    assert not clock.ask(syncs=False).time.good
    primary = clock.reading.default._replace(quality=ClockQuality(6, 0x21, 0))
    clock.reading = clock.reading._replace(default=primary)
    state = clock.ask(syncs=False)
    assert (state.phase, state.time.good) == (Phase.GRANDMASTER, False)
    clock.kernel = DISCIPLINED
    state = clock.ask(syncs=False)
    assert (state.phase, state.time.good) == (Phase.GRANDMASTER, True)
    assert state.time.synch is SmpSynch.GLOBAL
    assert state.time.error_us == 40


def test_what_is_not_as_the_profile_says_is_told_and_changes_nothing() -> None:
    clock = Clock(replace(SETTINGS, profile=Profile.IEC_61850_9_3))
    state = clock.ask()
    assert state.deviations == ("announce interval 2 s, not 1 s",)
    assert state.time.good
    assert "not as 61850-9-3 says: announce interval 2 s" in state.time.why
    port = clock.reading.ports[0]._replace(mechanism=1, log_announce=0, log_sync=-2, announce_timeout=2)
    clock.reading = clock.reading._replace(ports=(port,), description=ClockDescription(1, bytes(6)))
    assert clock.ask().deviations == (
        "the delay is not measured peer to peer",
        "PTP runs over UDP, not over Ethernet",
        "sync interval 0.25 s, not 1 s",
        "announce receipt timeout 2, not 3",
    )
    clock.settings = replace(SETTINGS, profile=Profile.C37_238_2011)
    assert len(clock.ask().deviations) == 3, "the first edition permits a timeout of 2"


HAPPENINGS = st.tuples(
    st.sampled_from([PortState.SLAVE] * 5 + list(PortState)),
    st.booleans() | st.just(True),  # Sync messages come
    st.booleans() | st.just(True),  # ptp4l answers
    st.just(0) | st.integers(-2_000_000, 2_000_000),  # the offset moves
    st.integers(1, 30),  # for how many half seconds
)


@given(st.lists(HAPPENINGS, max_size=30), st.sampled_from([Stamping.SOFTWARE, Stamping.HARDWARE]), st.booleans())
def test_whatever_happens_good_time_has_a_reason(
    story: list[tuple[PortState, bool, bool, int, int]], stamping: Stamping, disciplined: bool
) -> None:
    clock = Clock(kernel=DISCIPLINED if disciplined else UNSYNCHRONIZED)
    clock.reading = stamped(clock.reading, stamping)
    synced = heard_sync = jumped = -(10**12)
    heard_offset: int | None = None
    for port, syncs, answers, moved, count in story:
        clock.port(port)
        clock.offset_ns += moved
        for _ in range(count):
            state = clock.ask(syncs, answers)
            synced = clock.now if syncs else synced
            if answers:
                if heard_offset is not None and abs(clock.offset_ns - heard_offset) > SETTINGS.jump_ns:
                    jumped = clock.now
                heard_offset, heard_sync = clock.offset_ns, synced
            time = state.time
            assert time.quality.clock_not_synchronized or time.good
            if time.source == "kernel":
                assert (time.good, time.synch) == (clock.kernel.good, SmpSynch.NONE)
                heard_offset = None
                continue
            assert time.good == (time.synch is not SmpSynch.NONE)
            if time.good:
                assert time.error_us * 1000 <= SETTINGS.limit_ns
                assert clock.now - max(heard_sync, 77 * S) <= SETTINGS.hold_over_us
                assert clock.now - jumped >= SETTINGS.settle_us
                assert stamping is Stamping.SOFTWARE or clock.kernel.good

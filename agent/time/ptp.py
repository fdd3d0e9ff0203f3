"""How well the clock follows PTP: a pure state machine from what linuxptp answers to what the agent is told.

    silent       nobody answers: the kernel's word is taken, and said so
    waiting      no grandmaster was ever followed
    settling     followed again after a loss, or the offset jumped: believed after ten seconds without another jump
    locked       a port is slave and Sync messages come
    hold-over    they stopped, or ptp4l did; the clock still counts for a while, with an error that grows
    lost         they stopped for longer, or the clock did not count before
    grandmaster  this clock is the grandmaster and has a primary reference

Loss is told by the port's state and by the age of the last Sync: linuxptp 3.1.1 goes on to call a lost grandmaster
present. The offset is that of the clock that ptp4l steers. With software time stamps it is the system clock; otherwise
it is the network card's, and the kernel must say, too, that the system clock follows it (phc2sys).

Bad time only takes from what the brain may do: nothing trips, opens or closes because of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from agent.time.datasets import (
    ClockDescription,
    CurrentDataSet,
    DefaultDataSet,
    ParentDataSet,
    PortDataSet,
    PortProperties,
    PortState,
    PowerProfile,
    Properties,
    Stamping,
    TimeProperties,
    TimeStatus,
    identity_text,
)
from agent.time.profile import PEER_TO_PEER, Profile, deviations
from agent.time.quality import SmpSynch, TimeQuality, TimeState, clock_accuracy_ns, time_quality

PRIMARY_REFERENCE = (6, 7)
"""clockClass of a grandmaster with a primary reference, and of one in its own hold-over within specification."""
MISSED_SYNCS = 3
LEAST_AGE_US = 1_000_000
DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class PtpSettings:
    """Where linuxptp is and how much it may be wrong."""

    socket: str = ""
    """Its management socket; empty: where linuxptp puts it."""
    domain: int = 0
    profile: Profile = Profile.ANY
    hold_over_us: int = 30_000_000
    drift_ppb: int = 10_000
    """How fast the clock may run away once nothing steers it: a quartz at its last frequency, with margin."""
    jump_ns: int = 500_000
    """A change of the offset between two readings that no steering explains."""
    limit_ns: int = 1_000_000
    """A greater bound of the error is bad time: the zone decision compares samples."""
    settle_us: int = 10_000_000
    network_ns: int = 1_000
    """What the clocks between grandmaster and us may add: IEC 61850-9-3 grants a network 1 µs."""
    timeout_s: float = 0.05
    """For all answers of one asking: the station process waits."""


class Reading(NamedTuple):
    """What linuxptp answered, all at about the same time."""

    default: DefaultDataSet
    current: CurrentDataSet
    parent: ParentDataSet
    properties: TimeProperties
    status: TimeStatus
    ports: tuple[PortDataSet, ...]
    interfaces: tuple[PortProperties, ...] = ()
    description: ClockDescription | None = None
    power: PowerProfile | None = None

    @property
    def slave(self) -> PortDataSet | None:
        """The port that follows a master."""
        return next((port for port in self.ports if port.state is PortState.SLAVE), None)

    @property
    def software(self) -> bool:
        """Every port is known to be stamped by software: the clock that is steered is the system's."""
        kinds = [interface.stamping for interface in self.interfaces]
        return bool(kinds) and all(kind is Stamping.SOFTWARE for kind in kinds)

    @property
    def delay_ns(self) -> float:
        """To the neighbour where that is measured, else to the master."""
        port = self.slave
        if port is not None and port.mechanism == PEER_TO_PEER:
            return port.peer_delay_ns
        return self.current.mean_path_delay_ns

    @property
    def error_ns(self) -> int:
        """Bound of the error against the grandmaster; all of the delay could be on one way."""
        return int(abs(self.status.offset_ns) + abs(self.delay_ns)) + 1

    @property
    def traceable(self) -> bool:
        """The grandmaster distributes UTC, and says that it knows it."""
        needed = Properties.TIME_TRACEABLE | Properties.PTP_TIMESCALE
        return self.properties.flags & needed == needed and self.parent.quality.clock_class in PRIMARY_REFERENCE

    @property
    def leap_seconds_known(self) -> bool:
        """TAI and the valid number of seconds to UTC are told."""
        needed = Properties.UTC_OFFSET_VALID | Properties.PTP_TIMESCALE
        return self.properties.flags & needed == needed

    @property
    def is_reference(self) -> bool:
        """This clock is the grandmaster and has a primary reference: it did not just become one by loss of another."""
        return (
            self.slave is None
            and any(port.state is PortState.MASTER for port in self.ports)
            and self.parent.grandmaster == self.default.identity
            and self.default.quality.clock_class in PRIMARY_REFERENCE
        )


class Phase(StrEnum):
    """See the module."""

    SILENT = "silent"
    WAITING = "waiting"
    SETTLING = "settling"
    LOCKED = "locked"
    HOLD_OVER = "hold-over"
    LOST = "lost"
    GRANDMASTER = "grandmaster"


class PtpState(NamedTuple):
    """For people and for the agent."""

    phase: Phase
    time: TimeState
    reading: Reading | None = None
    age_us: int | None = None
    """Since the last Sync."""
    deviations: tuple[str, ...] = ()
    """From the profile."""


class Counted(NamedTuple):
    """The last moment at which the time was good."""

    at_us: int
    error_ns: int
    reading: Reading


@dataclass(frozen=True, slots=True)
class Memory:
    """What the next step needs; times are monotonic microseconds."""

    reading: Reading | None = None
    heard_us: int = 0
    """When linuxptp answered last."""
    synced_us: int = 0
    """When the last Sync came."""
    settled_us: int = 0
    """Not believed before."""
    jumped: bool = False
    """That is because of a jump."""
    counted: Counted | None = None


def step(
    memory: Memory, reading: Reading | None, kernel: TimeState, settings: PtpSettings, realtime_us: int, now_us: int
) -> tuple[Memory, PtpState]:
    """``reading`` is None where linuxptp did not answer; ``kernel`` is the kernel's word; ``now_us`` is monotonic."""
    if reading is not None:
        memory = _heard(memory, reading, settings, realtime_us, now_us)
    latest = memory.reading
    if latest is None:
        return _unsettled(memory, settings, now_us), _by_kernel(kernel)
    age = now_us - memory.synced_us
    if latest.is_reference and reading is not None:
        return _reference(memory, latest, kernel, now_us)
    port = latest.slave
    if port is not None and latest.status.ingress_ns and age <= _age_limit_us(port):
        return _following(memory, latest, kernel, settings, age, now_us)
    return _not_following(memory, latest, reading is None, kernel, settings, now_us)


def _age_limit_us(port: PortDataSet) -> int:
    interval = 2.0 ** min(max(port.log_sync, -7), 7)
    return max(LEAST_AGE_US, int(MISSED_SYNCS * interval * 1_000_000))


def _heard(memory: Memory, reading: Reading, settings: PtpSettings, realtime_us: int, now_us: int) -> Memory:
    last = memory.reading
    age = _age_us(reading, realtime_us)
    if last is None:
        return replace(memory, reading=reading, heard_us=now_us, synced_us=now_us - (age if age < DAY_US else 0))
    synced = memory.synced_us
    if reading.status.ingress_ns != last.status.ingress_ns:
        # It came since the last answer, whatever the clocks say.
        synced = now_us - min(age, now_us - memory.heard_us)
    change = reading.status.offset_ns - last.status.offset_ns
    if last.status.ingress_ns and abs(change) > settings.jump_ns:
        memory = replace(memory, settled_us=now_us + settings.settle_us, jumped=True, counted=None)
    return replace(memory, reading=reading, heard_us=now_us, synced_us=synced)


def _age_us(reading: Reading, realtime_us: int) -> int:
    """How old the last Sync is by its own time stamp; 0 where that lies ahead.

    A network card's clock shows TAI if its master does, the system's UTC.
    """
    tai = not reading.software and Properties.PTP_TIMESCALE in reading.properties.flags
    ahead_s = reading.properties.utc_offset_s if tai else 0
    return max(0, realtime_us + ahead_s * 1_000_000 - reading.status.ingress_ns // 1000)


def _unsettled(memory: Memory, settings: PtpSettings, now_us: int) -> Memory:
    """The time is not that of a grandmaster now; one that is found must settle."""
    return replace(memory, settled_us=now_us + settings.settle_us, jumped=False, counted=None)


def _by_kernel(kernel: TimeState) -> PtpState:
    why = f"PTP does not answer; by the kernel: {kernel.why}"
    return PtpState(Phase.SILENT, kernel._replace(why=why))


def _reference(memory: Memory, reading: Reading, kernel: TimeState, now_us: int) -> tuple[Memory, PtpState]:
    """Nobody measures our offset: the kernel says whether the system clock follows the reference."""
    why = "is the grandmaster" if kernel.good else f"is the grandmaster, but {kernel.why}"
    accuracy = clock_accuracy_ns(reading.default.quality.accuracy)
    error = None if accuracy is None else accuracy + kernel.error_us * 1000
    state = _state(kernel.good, why, kernel.error_us * 1000, error, reading)
    counted = Counted(now_us, kernel.error_us * 1000, reading) if kernel.good else None
    return replace(memory, counted=counted), PtpState(Phase.GRANDMASTER, state, reading)


def _following(
    memory: Memory, reading: Reading, kernel: TimeState, settings: PtpSettings, age_us: int, now_us: int
) -> tuple[Memory, PtpState]:
    error = reading.error_ns + settings.network_ns + (0 if reading.software else kernel.error_us * 1000)
    settling = now_us < memory.settled_us
    good = False
    if settling:
        why = "the offset jumped" if memory.jumped else "follows a grandmaster again, not yet for long enough"
    elif not reading.software and not kernel.good:
        why = f"the system clock does not follow the PTP clock: {kernel.why}"
    elif error > settings.limit_ns:
        why = f"the clock may be wrong by {error // 1000} us"
    else:
        good = True
        why = f"follows grandmaster {identity_text(reading.parent.grandmaster)}"
        why += "" if reading.traceable else ", whose time is not traced to UTC"
    port = reading.slave
    assert port is not None
    wrong = deviations(settings.profile, port, reading.description)
    if wrong:
        why += f"; not as {settings.profile} says: {', '.join(wrong)}"
    memory = replace(memory, counted=Counted(now_us - age_us, error, reading) if good else None)
    state = _state(good, why, error, _against_utc(error, reading), reading, failure=settling and memory.jumped)
    return memory, PtpState(Phase.SETTLING if settling else Phase.LOCKED, state, reading, age_us, wrong)


def _not_following(
    memory: Memory, reading: Reading, silent: bool, kernel: TimeState, settings: PtpSettings, now_us: int
) -> tuple[Memory, PtpState]:
    why = "PTP does not answer" if silent else "no grandmaster is followed"
    age = now_us - memory.synced_us if reading.status.ingress_ns else None
    counted = memory.counted
    if counted is not None:
        elapsed = max(0, now_us - counted.at_us)
        error = counted.error_ns + elapsed * settings.drift_ppb // 1_000_000
        vouched = counted.reading.software or kernel.good
        if elapsed <= settings.hold_over_us and error <= settings.limit_ns and vouched:
            why = f"{why}: hold-over for {elapsed // 1_000_000} of {settings.hold_over_us // 1_000_000} s"
            state = _state(True, why, error, _against_utc(error, counted.reading), counted.reading)
            return memory, PtpState(Phase.HOLD_OVER, state, reading, age)
    was = Phase.LOST if counted is not None or reading.status.ingress_ns else Phase.WAITING
    memory = _unsettled(memory, settings, now_us)
    if silent:
        return replace(memory, reading=None), _by_kernel(kernel)
    state = TimeState(False, why, 0, "ptp")
    return memory, PtpState(was, state, reading, age)


def _against_utc(error_ns: int, reading: Reading) -> int | None:
    accuracy = clock_accuracy_ns(reading.parent.quality.accuracy)
    return None if accuracy is None else error_ns + accuracy


def _state(
    good: bool, why: str, error_ns: int, utc_error_ns: int | None, reading: Reading, failure: bool = False
) -> TimeState:
    synch = SmpSynch.NONE
    if good:
        synch = SmpSynch.GLOBAL if reading.traceable else SmpSynch.LOCAL
    quality: TimeQuality = time_quality(
        synch is SmpSynch.GLOBAL, reading.leap_seconds_known, failure, utc_error_ns if reading.traceable else None
    )
    return TimeState(good, why, -(-error_ns // 1000), "ptp", synch, quality)

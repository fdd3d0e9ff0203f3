"""The data sets of a PTP clock (IEEE 1588-2008, clause 8) and of linuxptp, as management messages carry them."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import NamedTuple


class PortState(IntEnum):
    """portState (table 8)."""

    INITIALIZING = 1
    FAULTY = 2
    DISABLED = 3
    LISTENING = 4
    PRE_MASTER = 5
    MASTER = 6
    PASSIVE = 7
    UNCALIBRATED = 8
    SLAVE = 9


class Properties(IntFlag):
    """Flags of the time properties (table 20, second octet of flagField)."""

    LEAP_61 = 1
    LEAP_59 = 2
    UTC_OFFSET_VALID = 4
    PTP_TIMESCALE = 8
    TIME_TRACEABLE = 16
    FREQUENCY_TRACEABLE = 32


class Stamping(IntEnum):
    """Who takes the time stamps of a port (linuxptp's ``enum timestamp_type``)."""

    SOFTWARE = 0
    HARDWARE = 1
    LEGACY_HARDWARE = 2
    ONE_STEP = 3
    P2P_ONE_STEP = 4


def identity_text(identity: bytes) -> str:
    """A clock identity as linuxptp writes it: ``ca06fe.fffe.0aa119``."""
    text = identity.hex()
    return f"{text[:6]}.{text[6:10]}.{text[10:]}"


class PortIdentity(NamedTuple):
    """A port of a clock; linuxptp answers nobody's question unless it carries one."""

    clock: bytes
    port: int

    def __str__(self) -> str:
        return f"{identity_text(self.clock)}-{self.port}"


class ClockQuality(NamedTuple):
    """How good a clock says it is (7.6.2)."""

    clock_class: int
    accuracy: int
    variance: int


class DefaultDataSet(NamedTuple):
    """The clock itself (8.2.1)."""

    two_step: bool
    slave_only: bool
    ports: int
    priority1: int
    quality: ClockQuality
    priority2: int
    identity: bytes
    domain: int


class CurrentDataSet(NamedTuple):
    """Its place below the master (8.2.2)."""

    steps_removed: int
    offset_ns: float
    mean_path_delay_ns: float


class ParentDataSet(NamedTuple):
    """Master and grandmaster (8.2.3)."""

    port: PortIdentity
    statistics: bool
    variance: int
    phase_change_rate: int
    priority1: int
    quality: ClockQuality
    priority2: int
    grandmaster: bytes


class TimeProperties(NamedTuple):
    """The time that is distributed (8.2.4)."""

    utc_offset_s: int
    flags: Properties
    source: int


class PortDataSet(NamedTuple):
    """One port (8.2.5)."""

    identity: PortIdentity
    state: PortState
    log_min_delay_request: int
    peer_delay_ns: float
    log_announce: int
    announce_timeout: int
    log_sync: int
    mechanism: int
    log_min_peer_delay_request: int
    version: int


class TimeStatus(NamedTuple):
    """TIME_STATUS_NP. ``present`` stays true in 3.1.1 after the grandmaster is gone: do not ask it."""

    offset_ns: int
    ingress_ns: int
    """When the last Sync came, by the clock that is steered; 0: none yet."""
    present: bool
    grandmaster: bytes


class PortDataSetNp(NamedTuple):
    """PORT_DATA_SET_NP."""

    delay_threshold_ns: int
    capable: bool


class PortProperties(NamedTuple):
    """PORT_PROPERTIES_NP: interface and time stamping."""

    identity: PortIdentity
    state: PortState
    stamping: Stamping
    interface: str


class PowerProfile(NamedTuple):
    """POWER_PROFILE_SETTINGS_NP (linuxptp 4): the TLV of IEEE C37.238 as this port sends it, not as it hears it."""

    version: int
    grandmaster: int
    grandmaster_ns: int
    network_ns: int
    total_ns: int


class ClockDescription(NamedTuple):
    """What is read of CLOCK_DESCRIPTION (15.5.3.1.2)."""

    protocol: int
    """networkProtocol: 1 UDP/IPv4, 2 UDP/IPv6, 3 Ethernet (table 3)."""
    profile: bytes


DataSet = (
    DefaultDataSet
    | CurrentDataSet
    | ParentDataSet
    | TimeProperties
    | PortDataSet
    | TimeStatus
    | PortDataSetNp
    | PortProperties
    | PowerProfile
    | ClockDescription
)

"""What a receiver or a source is told before it starts; immutable, in SI units and primary values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum


@dataclass(frozen=True, slots=True)
class Key:
    """A group key (IEC 62351-6) for HMAC-SHA256-80, -128 or -256, 16 to 64 octets; or AES-GMAC-64 or -128, 16 or 32."""

    identifier: int
    secret: bytes
    mac_octets: int = 16
    gmac: bool = False
    refused_from_us: int = 0
    """A frame that is taken at this time (UTC) or later may not bear it: its end and the grace. 0: no end."""


@dataclass(frozen=True, slots=True)
class Layer2:
    """A stream on an Ethernet interface; ``vlan`` (identifier, priority) is used when sending only."""

    interface: str
    mac: str
    vlan: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Multicast:
    """A stream as R-SV over UDP; ``interface_address`` names the interface by its IPv4 address."""

    group: str
    port: int = 102
    interface_address: str = "127.0.0.1"


class Layout(Enum):
    """Frame layouts: (samples per second, ASDUs a frame, nominal frequency, optional fields of IEC 61869-9)."""

    LE80_50 = ("9-2LE-80 50 Hz", 4000, 1, 50, False)
    LE80_60 = ("9-2LE-80 60 Hz", 4800, 1, 60, False)
    F4800_50 = ("F4800S2I4U4 50 Hz", 4800, 2, 50, True)
    F4800_60 = ("F4800S2I4U4 60 Hz", 4800, 2, 60, True)

    def __init__(self, text: str, rate: int, asdus: int, frequency: int, optional: bool) -> None:
        self.text = text
        self.rate = rate
        self.asdus = asdus
        self.frequency = frequency
        self.optional = optional


class EarthMode(IntEnum):
    """What the residual element does: trips (solid, resistance), alarms (compensated, isolated), or nothing."""

    TRIP = 0
    WATTMETRIC = 1
    VARMETRIC = 2
    OFF = 3


@dataclass(frozen=True, slots=True)
class ProtectionConfig:
    """One received stream and the elements that evaluate it. ``link`` None: fed from memory (tests, records)."""

    sv_id: str
    appid: int
    link: Layer2 | Multicast | None = None
    layout: Layout = Layout.LE80_50
    conf_rev: int = 0
    """0: any."""
    keys: tuple[Key, ...] = ()
    """Any of them authenticates a frame; empty: authentication off."""
    phase_pickup_a: float = 600.0
    earth_pickup_a: float = 120.0
    start_factor: float = 0.8
    reset_factor: float = 0.95
    zero_current_a: float | None = None
    """R.m.s.; None: 2 % of the phase pick-up."""
    earth_restraint: float = 0.08
    """A residual below this share of the largest phase current is the current transformers' error."""
    second_harmonic: float = 0.18
    nominal_kv: float | None = 10.0
    """Line to line; None: no voltage transformers."""
    earth_mode: EarthMode = EarthMode.TRIP
    current_scale: float = 0.001
    """A per count (9-2LE: 1 mA)."""
    voltage_scale: float = 0.01
    """V per count (9-2LE: 10 mV)."""
    blind_after_ms: float = 20.0
    maximum_age_ms: float = 200.0
    accept_simulated: bool = False


@dataclass(frozen=True, slots=True)
class SvSourceConfig:
    """One published stream. A sample leaves ``delay_us`` after its time on average, in bursts of ``tick_us``."""

    sv_id: str
    appid: int
    link: Layer2 | Multicast | None = None
    layout: Layout = Layout.LE80_50
    conf_rev: int = 1
    key: Key | None = None
    key_time_s: int = 0
    key_next_min: int = 0
    ivs: tuple[bytes, int] | None = None
    """For AES-GMAC: four octets that name the publisher, and the first of numbers that it uses once and never again.
    None: both at random."""
    delay_us: int = 1000
    tick_us: int = 500
    simulation: bool = False
    reference_time: bool = False
    """refrTm in each ASDU: lets a receiver tell a frame recorded a whole second ago."""
    current_scale: float = 0.001
    voltage_scale: float = 0.01
    current_noise_a: float = 0.0
    """Standard deviation of a sample."""
    voltage_noise_v: float = 0.0
    seed: int = 1

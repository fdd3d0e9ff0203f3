"""The feeder as the brains and the simulator see it: switching devices, the zones between them, what hangs on a zone.

A *zone* is a maximal set of connectivity nodes that no switching device separates; a *device* joins exactly two zones
(or, degenerate and refused by ``flisr scl check``, one zone with itself). All of it is immutable and derived from SCL
(``scl.derive``) plus one ratings file; nothing here reads a file.

Units: volts in kV line-to-line, current in A r.m.s., power in kW / kvar / kVA three-phase, impedance in ohm,
capacitance in µF to earth per phase, lengths in metres, times in milliseconds where the name says so.
Indices (``zone_a``, ``Zone.devices`` …) point into the tuples of :class:`Feeder`; device and zone order is the
alphabetical order of names, so that every agent that reads the same SCL numbers them alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class DeviceKind(StrEnum):
    """What a device may interrupt: a breaker fault current, a load-break switch only load current."""

    BREAKER = "breaker"
    LOAD_BREAK_SWITCH = "load_break_switch"


class NeutralMode(StrEnum):
    """How the network's neutral is earthed; decides what an earth fault looks like and whether it trips."""

    SOLID = "solid"
    RESISTANCE = "resistance"
    COMPENSATED = "compensated"
    ISOLATED = "isolated"


class DerKind(StrEnum):
    """A rotating machine feeds a fault with a decaying current; an inverter with at most 1.2 pu, positive sequence."""

    MACHINE = "machine"
    INVERTER = "inverter"


class Pickups(NamedTuple):
    """Thresholds of one setting group."""

    phase_a: float
    earth_a: float


Range = tuple[float, float]
"""Least and greatest."""


@dataclass(frozen=True, slots=True)
class Device:
    """A breaker or load-break switch. Positive current and power flow from side A to side B."""

    name: str
    kind: DeviceKind
    node_a: str
    node_b: str
    zone_a: int
    zone_b: int
    normally_open: bool
    agent: str
    """Name of the IED whose agent owns this device."""
    breaker_ied: str
    """Name of the IED that drives the mechanism; it takes orders from ``agent`` only."""
    merging_unit: str | None
    """Name of the IED that publishes this device's SV stream; None: conventional IED, pick-up flags by GOOSE only."""
    rated_current_a: float = 630.0
    breaking_current_a: float = 20_000.0
    """The largest current the device may interrupt (IEC 62271-100 for breakers, -103 mainly active load for LBS)."""
    opening_time_ms: float = 45.0
    """Command to contact separation plus arc; the plant adds the wait for current zero per pole."""
    closing_time_ms: float = 60.0
    phase_pickup_a: float = 600.0
    earth_pickup_a: float = 120.0
    """Of setting group 1."""
    reclose_dead_times_ms: tuple[float, ...] = ()
    """One entry per automatic reclose shot before lock-out; empty: lock out at the first trip."""
    allow_parallel: bool = False
    """True: closing may join two live sides (make-before-break); default never."""
    more_groups: tuple[Pickups, ...] = ()
    """Setting groups 2, 3 and so on."""
    active_group: int = 1
    """The one that a new agent starts with."""
    phase_pickup_range_a: Range | None = None
    earth_pickup_range_a: Range | None = None
    """What a client may set (minVal, maxVal); None: nothing."""
    feed_groups: tuple[int, int] | None = None
    """The group that is active while the device is fed from side A, and from side B; None: it does not follow."""

    @property
    def groups(self) -> tuple[Pickups, ...]:
        """All setting groups as they are engineered, the first one is number 1."""
        return (Pickups(self.phase_pickup_a, self.earth_pickup_a), *self.more_groups)

    @property
    def greatest_phase_pickup_a(self) -> float:
        """No setting makes it higher: what others may count on."""
        upper = () if self.phase_pickup_range_a is None else (self.phase_pickup_range_a[1],)
        return max(*(group.phase_a for group in self.groups), 0.0, *upper)


@dataclass(frozen=True, slots=True)
class Section:
    """A line or cable section inside one zone, positive- and zero-sequence series impedance and shunt capacitance."""

    name: str
    node_a: str
    node_b: str
    zone: int
    length_m: float
    r1_ohm: float
    x1_ohm: float
    r0_ohm: float
    x0_ohm: float
    c1_uf: float = 0.0
    c0_uf: float = 0.0
    rating_a: float = 400.0


@dataclass(frozen=True, slots=True)
class Source:
    """The supply behind a substation's infeed: a Thévenin equivalent on the MV side and the transformer's rating."""

    name: str
    node: str
    zone: int
    r1_ohm: float
    x1_ohm: float
    r0_ohm: float
    x0_ohm: float
    rated_kva: float
    voltage_pu: float = 1.0
    angle_deg: float = 0.0


@dataclass(frozen=True, slots=True)
class Load:
    """Customers at one node. Priority 1 is restored first (hospital), 3 last. ``fused``: behind a lateral fuse."""

    name: str
    node: str
    zone: int
    p_kw: float
    q_kvar: float
    customers: int = 0
    priority: int = 3
    fused: bool = False


@dataclass(frozen=True, slots=True)
class Der:
    """Distributed generation. ``p_kw`` is what it makes now, ``rated_kva`` what it can."""

    name: str
    node: str
    zone: int
    kind: DerKind
    rated_kva: float
    p_kw: float
    q_kvar: float = 0.0
    trip_time_ms: float = 150.0
    """Loss-of-mains or undervoltage trip after this time without the grid (ride-through before it)."""


@dataclass(frozen=True, slots=True)
class Zone:
    """What lies between switching devices; the unit that is faulted, isolated and restored."""

    index: int
    name: str
    nodes: tuple[str, ...]
    devices: tuple[int, ...]
    sections: tuple[int, ...] = ()
    loads: tuple[int, ...] = ()
    ders: tuple[int, ...] = ()
    sources: tuple[int, ...] = ()
    busbar: bool = False


@dataclass(frozen=True, slots=True)
class Feeder:
    """The whole switching graph that one automation group of agents looks after."""

    name: str
    frequency_hz: float
    nominal_kv: float
    neutral: NeutralMode
    devices: tuple[Device, ...]
    zones: tuple[Zone, ...]
    sections: tuple[Section, ...] = ()
    sources: tuple[Source, ...] = ()
    loads: tuple[Load, ...] = ()
    ders: tuple[Der, ...] = ()
    cold_load_factor: float = 1.0
    """Demand of a section after an outage, as a multiple of its demand before (cold-load pick-up)."""
    min_voltage_pu: float = 0.9
    neutral_resistance_ohm: float = 0.0
    device_index: dict[str, int] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        self.device_index.update({device.name: i for i, device in enumerate(self.devices)})

    def device(self, name: str) -> Device:
        """The device of that name; KeyError if there is none."""
        return self.devices[self.device_index[name]]

    def zone_rating_a(self, zone: int) -> float:
        """The least rating of the zone's sections in A (infinite where it has none): no more may enter the zone."""
        return min((self.sections[i].rating_a for i in self.zones[zone].sections), default=float("inf"))

"""The elements of a distribution network as an engineer describes them: typed, in SI units, before anything is
compiled.

Importers (OpenDSS, CIM, MATPOWER, pandapower, tables) write this model, `build.py` compiles it into arrays, the
exporter reads
it. Every element says where it was read (`origin`), so that an error can name file and line.

Conductors of a terminal are *nodes* of a bus: 1, 2, 3 are phases a, b, c; 4 and above are neutrals or further
conductors;
0 is earth. A terminal lists one node per conductor of its element, in the element's own order: a wye element of `n`
phases has
`n` phase conductors and then its neutral, a delta element of three phases has three, a two-phase delta element two
conductors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

Complex = NDArray[np.complex128]
Real = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an element was described: a file and its line (1 is the first, 0 when the format has no lines)."""

    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file or "unknown origin"


class ModelError(ValueError):
    """The description of a network is wrong: says which element, where it was read, and why."""

    def __init__(self, element: str, reason: str, origin: Origin | None = None) -> None:
        self.element, self.reason, self.origin = element, reason, origin or Origin()
        super().__init__(f"{self.origin}: {element}: {reason}")


class Connection(Enum):
    """How the phases of a winding, load or bank are joined."""

    WYE = "wye"
    DELTA = "delta"


@dataclass(frozen=True, slots=True)
class Terminal:
    """One end of an element: the bus, and the node of each conductor there (0 is earth)."""

    bus: str
    nodes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """What every element has."""

    name: str
    enabled: bool = True
    origin: Origin = field(default=Origin(), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source(Element):
    """Voltage behind an impedance: a substation busbar's infeed.

    `v_nominal_v` is the nominal voltage between phases (to earth for one phase); the voltages behind the impedance are
    `magnitude_pu` of it, `angle_rad` at the first phase, then a positive sequence (`sequence` -1 negative, 0 in phase).
    `z_ohm` has shape (phases, phases).
    """

    terminal: Terminal
    return_terminal: Terminal
    v_nominal_v: float
    magnitude_pu: float = 1.0
    angle_rad: float = 0.0
    z_ohm: Complex = field(compare=False)
    sequence: int = 1
    frequency_hz: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line(Element):
    """Line, cable or switch between two terminals of equally many conductors.

    `z_ohm` (series impedance) and `y_s` (shunt admittance, both halves together) have shape (conductors, conductors),
    of the
    whole length. A `switch` may be opened and closed in operation and then keeps its pattern in the compiled matrix;
    `closed` is its normal position, per conductor (a fuse may be open in one phase).
    """

    sending: Terminal
    receiving: Terminal
    z_ohm: Complex = field(compare=False)
    y_s: Complex = field(compare=False)
    length_m: float = 0.0
    normal_a: float = 0.0
    emergency_a: float = 0.0
    switch: bool = False
    closed: tuple[bool, ...] = ()
    z1_ohm: complex | None = None
    z0_ohm: complex | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Winding:
    """One winding of a transformer.

    `v_rated_v` is between phases for two- and three-phase transformers (as on a name plate), across the winding for one
    phase. `r_pu` and the transformer's reactances refer to the first winding's `s_rated_va`. `tap_pu` is the present
    ratio;
    `taps` steps lie between `tap_min_pu` and `tap_max_pu`.
    """

    terminal: Terminal
    connection: Connection
    v_rated_v: float
    s_rated_va: float
    r_pu: float = 0.0
    tap_pu: float = 1.0
    tap_min_pu: float = 0.9
    tap_max_pu: float = 1.1
    taps: int = 32
    neutral_ohm: complex | None = None
    """None: the neutral conductor is joined to its node as it is; else this impedance lies between neutral and
    earth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transformer(Element):
    """Transformer or regulator of one, two or three phases with two or more windings, in any vector group.

    `x_pu` holds the reactances between pairs of windings (1-2, 1-3, ..., 2-3, ...). `no_load_loss_pu` and
    `magnetizing_pu`
    lie across the second winding (as OpenDSS has it), `earth_ppm` is the tiny admittance that keeps delta windings from
    floating.
    `delta_leads`: the high side of a delta-wye pair leads (Euro, e.g. Dyn1 reversed) instead of lagging by 30 degrees.
    """

    phases: int
    windings: tuple[Winding, ...]
    x_pu: tuple[float, ...]
    no_load_loss_pu: float = 0.0
    magnetizing_pu: float = 0.0
    earth_ppm: float = 1.0
    delta_leads: bool = False
    normal_va: float = 0.0
    emergency_va: float = 0.0
    bank: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacitor(Element):
    """Capacitor bank of one or more steps, shunt (`return_terminal` is its neutral) or in series.

    `q_var` is per step, all phases together, at `v_nominal_v` (between phases for two or three phases, else across it).
    `r_ohm`, `x_ohm` are in series with each phase of a step. `y_s` instead of `q_var`: a matrix (phases, phases), one
    step.
    """

    phases: int
    terminal: Terminal
    return_terminal: Terminal | None
    connection: Connection
    v_nominal_v: float
    q_var: tuple[float, ...]
    r_ohm: tuple[float, ...] = ()
    x_ohm: tuple[float, ...] = ()
    y_s: Complex | None = field(default=None, compare=False)
    closed: tuple[bool, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reactor(Element):
    """Reactor: shunt (return terminal None or earth) or between two terminals. `z_ohm` has shape (phases, phases).

    `connection` is DELTA for a shunt between phases; then `z_ohm` is the diagonal of its legs.
    `parallel_ohm` lies beside each phase (None: nothing).
    """

    phases: int
    terminal: Terminal
    return_terminal: Terminal | None
    connection: Connection
    z_ohm: Complex = field(compare=False)
    parallel_ohm: float | None = None


class LoadModel(Enum):
    """How consumption follows voltage; the numbers are OpenDSS's."""

    CONSTANT_POWER = 1
    CONSTANT_IMPEDANCE = 2
    QUADRATIC_Q = 3
    EXPONENTIAL = 4
    CONSTANT_CURRENT = 5
    FIXED_Q = 6
    FIXED_Q_IMPEDANCE = 7
    ZIP = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Load(Element):
    """Consumption, all phases together. `v_nominal_v` is between phases for two or three phases, else across the load.

    Below `v_min_pu` and above `v_max_pu` a load becomes a constant admittance (below `v_low_pu` wholly so).
    `zip_coefficients` are
    (zp, ip, pp, zq, iq, pq, cut-off voltage pu); exponents are those of watts and vars. `shapes` names its curves by
    kind
    (daily, yearly, duty).
    """

    phases: int
    terminal: Terminal
    connection: Connection
    v_nominal_v: float
    s_va: complex
    model: LoadModel = LoadModel.CONSTANT_POWER
    v_min_pu: float = 0.95
    v_max_pu: float = 1.05
    v_low_pu: float = 0.5
    zip_coefficients: tuple[float, ...] = ()
    exponents: tuple[float, float] = (1.0, 2.0)
    neutral_ohm: complex | None = None
    shapes: dict[str, str] = field(default_factory=dict, compare=False)
    fixed: bool = False
    """Not scaled by the network's load factor (OpenDSS status=fixed)."""


class GeneratorModel(Enum):
    """How a generator follows voltage; the numbers are OpenDSS's where it has them."""

    CONSTANT_POWER = 1
    CONSTANT_ADMITTANCE = 2
    VOLTAGE_REGULATED = 3
    CONSTANT_POWER_FIXED_Q = 4
    CONSTANT_POWER_FIXED_REACTANCE = 5
    CONSTANT_CURRENT_LIMITED = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator(Element):
    """Synchronous or induction machine, or anything that delivers a given power. `s_va` is delivered, all phases
    together.

    `x_transient_pu`, `x_subtransient_pu` refer to `s_rated_va` (short circuit); `q_min_var`, `q_max_var` bound a
    voltage regulator.
    """

    phases: int
    terminal: Terminal
    connection: Connection
    v_nominal_v: float
    s_va: complex
    s_rated_va: float
    model: GeneratorModel = GeneratorModel.CONSTANT_POWER
    v_target_pu: float = 1.0
    q_min_var: float = 0.0
    q_max_var: float = 0.0
    v_min_pu: float = 0.9
    v_max_pu: float = 1.1
    x_transient_pu: float = 0.27
    x_subtransient_pu: float = 0.2
    induction: bool = False
    shapes: dict[str, str] = field(default_factory=dict, compare=False)


class InverterKind(Enum):
    """What stands behind an inverter."""

    PV = "pv"
    STORAGE = "storage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inverter(Element):
    """PV system or storage behind an inverter. `s_va` is delivered at the alternating side, all phases together
    (storage
    that charges: negative). `p_available_w` is what sun or battery can give now.

    `curves`: volt-var and volt-watt curves in per unit (voltage, share of available vars or of rated watts), see
    controls.
    `current_limit_pu` bounds the current also in a fault.
    """

    kind: InverterKind
    phases: int
    terminal: Terminal
    connection: Connection
    v_nominal_v: float
    s_rated_va: float
    s_va: complex
    p_available_w: float = 0.0
    q_max_var: float = 0.0
    v_min_pu: float = 0.9
    v_max_pu: float = 1.1
    current_limit_pu: float = 1.1
    energy_j: float = 0.0
    energy_rated_j: float = 0.0
    efficiency: float = 1.0
    shapes: dict[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegulatorControl(Element):
    """Tap control of one transformer winding with line-drop compensation (settings at the relay: V on the PT's
    secondary).

    `phase` is the conductor (0-based) whose voltage it reads, or -1 for the highest, -2 for the lowest phase.
    """

    transformer: str
    winding: int
    tap_winding: int
    target_v: float
    band_v: float
    pt_ratio: float
    ct_primary_a: float = 0.0
    r_v: float = 0.0
    x_v: float = 0.0
    phase: int = 0
    bus: Terminal | None = None
    delay_s: float = 15.0
    tap_delay_s: float = 2.0
    max_tap_change: int = 16
    reversible: bool = False
    reverse_target_v: float = 120.0
    reverse_band_v: float = 3.0
    reverse_r_v: float = 0.0
    reverse_x_v: float = 0.0
    v_limit_v: float = 0.0
    inverse_time: bool = False


class CapacitorMode(Enum):
    """What a capacitor control watches."""

    CURRENT = "current"
    VOLTAGE = "voltage"
    KVAR = "kvar"
    TIME = "time"
    POWER_FACTOR = "pf"


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacitorControl(Element):
    """Switches a bank on and off by what it measures at a terminal (1-based) of an element."""

    capacitor: str
    element: str
    terminal: int
    mode: CapacitorMode
    on: float
    off: float
    pt_ratio: float = 60.0
    ct_ratio: float = 60.0
    delay_s: float = 15.0
    off_delay_s: float = 15.0
    dead_time_s: float = 300.0
    voltage_override: bool = False
    v_min_v: float = 115.0
    v_max_v: float = 126.0
    phase: int = 0
    """0-based conductor; -1 average, -2 highest, -3 lowest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InverterControl(Element):
    """Curves that set vars or watts of inverters by their terminal voltage: points (voltage pu, value pu)."""

    inverters: tuple[str, ...]
    volt_var: tuple[tuple[float, float], ...] = ()
    volt_watt: tuple[tuple[float, float], ...] = ()
    delta_q: float = 0.2
    v_tolerance_pu: float = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape(Element):
    """A curve over time: multipliers, or (`absolute`) watts and vars. `hours` when not at a fixed `interval_s`."""

    interval_s: float
    p: Real = field(compare=False)
    q: Real | None = field(default=None, compare=False)
    hours: Real | None = field(default=None, compare=False)
    absolute: bool = False


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Where a bus lies on a drawing, in the source's own units."""

    x: float
    y: float


@dataclass(slots=True)
class Model:
    """A whole network as described. Lists keep the order of the description; names are unique within a kind."""

    name: str = "network"
    frequency_hz: float = 60.0
    sources: list[Source] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    transformers: list[Transformer] = field(default_factory=list)
    capacitors: list[Capacitor] = field(default_factory=list)
    reactors: list[Reactor] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)
    generators: list[Generator] = field(default_factory=list)
    inverters: list[Inverter] = field(default_factory=list)
    regulator_controls: list[RegulatorControl] = field(default_factory=list)
    capacitor_controls: list[CapacitorControl] = field(default_factory=list)
    inverter_controls: list[InverterControl] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    v_base_v: dict[str, float] = field(default_factory=dict)
    """Nominal voltage to earth per bus, where the description says so; else `bases.py` finds it from the sources."""
    voltage_levels_v: tuple[float, ...] = ()
    """Nominal voltages between phases that the description names: a bus takes the nearest."""
    coordinates: dict[str, Coordinates] = field(default_factory=dict)
    ied_names: dict[str, str] = field(default_factory=dict)
    """IED name of SCL per element ("line.sw1"): ties the electrical model to who measures and switches it."""
    load_factor: float = 1.0

"""Short circuits, and how they correct a network's inverse: a Thévenin system of at most three loops a fault."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from simulator.plant.sequence import Complex, Index, Real

TOUCH_OHM = 1e-9
"""In series with every fault loop, so that one fault described twice is not singular."""

_KIND = re.compile(r"(?=[abcg]{2,4}$)a?b?c?g?$")


@dataclass(frozen=True, slots=True)
class Fault:
    """A short circuit.

    ``kind`` names what touches: phases in order, then ``g`` for earth ("ag", "bc", "bcg", "abc", "abcg" …).
    ``rf_ohm``: phase to phase for "ab", "bc", "ac"; per phase in star for "abc"; from the joined phases to earth where
    there is earth. ``at`` is a section (tapped at ``fraction`` from its node A), a node, a zone (its first node) or a
    load (behind its lateral fuse if it has one).
    """

    name: str
    at: str
    kind: str
    fraction: float = 0.5
    rf_ohm: float = 0.0
    temporary: bool = False
    """It is gone once no current has flowed through it for ``deionise_ms``."""
    deionise_ms: float = 100.0
    duration_ms: float | None = None
    """It goes out by itself at a current zero after this time."""

    def __post_init__(self) -> None:
        if not _KIND.match(self.kind):
            raise ValueError(f"fault {self.name}: kind {self.kind!r} is not two or more of a, b, c, g in this order")
        if not 0.0 <= self.fraction <= 1.0:
            raise ValueError(f"fault {self.name}: fraction {self.fraction} is outside 0..1")
        if not self.rf_ohm >= 0.0:
            raise ValueError(f"fault {self.name}: resistance {self.rf_ohm} ohm is negative")

    def loops(self) -> tuple[Real, Real]:
        """Loop incidence (3 phases x loops) and loop resistance: current loop k leaves the phases by column k."""
        phases = ["abc".index(p) for p in self.kind if p != "g"]
        count = len(phases)
        if "g" in self.kind:
            incidence: Real = np.zeros((3, count))
            incidence[phases, range(count)] = 1.0
            return incidence, np.full((count, count), self.rf_ohm)
        incidence = np.zeros((3, count - 1))
        for loop in range(count - 1):
            incidence[phases[loop], loop] = 1.0
            incidence[phases[loop + 1], loop] = -1.0
        per_phase = self.rf_ohm / 2 if count == 2 else self.rf_ohm
        return incidence, per_phase * incidence.T @ incidence


class Base(NamedTuple):
    """What depends on closed poles, loads, sources and machine reactances only."""

    group: Index
    impedance: Complex
    admittance: Complex
    poles: Index
    pole_of_residual: Real


@dataclass(frozen=True, slots=True)
class Coupling:
    """How faults hang on the network: taps on all phase nodes and on the joined ones, loops of current."""

    faults: tuple[Fault, ...]
    points: tuple[tuple[int | None, int], ...]
    taps: Real
    reduced: Real
    series: Complex
    """Impedance between taps inside one section that the nodal model does not see, ohm."""
    loops: Real
    resistance: Real


class Faulted:
    """The base network with its faults: turns injected currents into voltages and fault-loop currents."""

    def __init__(self, base: Base, coupling: Coupling | None) -> None:
        self.base = base
        self.coupling = coupling
        if coupling is None:
            return
        self._column = base.impedance @ (coupling.reduced @ coupling.loops)
        self._row = (coupling.reduced @ coupling.loops).T
        inner = coupling.loops.T @ coupling.series @ coupling.loops + coupling.resistance
        self._loop_admittance = np.linalg.inv(self._row @ self._column + inner)

    def __call__(self, injected: Complex) -> tuple[Complex, Complex | None]:
        """Voltages of the joined nodes and loop currents for currents (A) injected into all phase nodes."""
        base = self.base
        reduced = np.zeros((len(base.impedance), *injected.shape[1:]), dtype=complex)
        np.add.at(reduced, base.group, injected)
        volts = base.impedance @ reduced
        if self.coupling is None:
            return volts, None
        amps = self._loop_admittance @ (self._row @ volts)
        return volts - self._column @ amps, amps

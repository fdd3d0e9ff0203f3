"""Unbalanced three-phase phasor network of a feeder: nodal admittances in 3x3 blocks, solved in the phase domain.

Closed poles join their two phase nodes into one, exactly, so no small switch impedance spoils the figures; pole
currents follow from Kirchhoff's current law over the joined nodes. The inverse for one set of closed poles and loads is
cached; faults correct it (``simulator.plant.fault``). A tap inside a section needs no new node: drawing I at fraction m
of a series element is drawing (1-m) I and m I at its ends, with m(1-m)Z in series.

Loads are constant admittance in delta: an MV/LV transformer (Dyn) offers no zero-sequence path. A machine is an e.m.f.
behind a reactance, an inverter a positive-sequence current of at most 1.2 pu. A r.m.s., V r.m.s. to earth.
"""

from __future__ import annotations

import cmath
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from scl.topology import DerKind, Feeder
from simulator.plant.fault import TOUCH_OHM, Base, Coupling, Fault, Faulted
from simulator.plant.neutral import neutral_impedance, normal_capacitance
from simulator.plant.sequence import POSITIVE, Complex, Index, Real, phase_block

LEAK_S = 1e-9
"""Insulation of every phase node to earth; keeps the potential of a floating conductor defined."""
INVERTER_LIMIT_PU = 1.2
UNDAMPED = 8
"""Steps of the inverters' fixed point before it is damped."""
MACHINE_XSS_PU = 0.2
CACHE_SIZE = 64


class DerState(NamedTuple):
    """One DER now. A machine uses ``emf_v`` and ``reactance_ohm``, an inverter its set-point ``power_va``."""

    connected: bool = True
    power_va: complex = 0j
    emf_v: complex = 0j
    reactance_ohm: float = 0.0
    angle_rad: float | None = None
    """Inverter without a grid: it holds this voltage angle; None: it follows its terminal's."""


@dataclass(frozen=True, slots=True)
class Solution:
    """Phasors of one state. Rows as in the feeder's tuples, columns phases a, b, c."""

    node_v: Complex
    device_a: Complex
    """Pole currents, side A to side B."""
    section_a: Complex
    """Currents into the section at its node A."""
    section_b: Complex
    """Currents out of the section at its node B."""
    source_a: Complex
    load_a: Complex
    der_a: Complex
    """Current a DER delivers."""
    fault_a: Complex
    """Current from each phase into each fault."""
    fault_v: Complex
    """Voltage at each fault's point."""
    fault_z1: tuple[complex, ...]
    """Positive-sequence Thévenin impedance at each fault, ohm: its X/R gives the d.c. time constant."""
    converged: bool = True


class Network:
    """A feeder compiled to matrices. :meth:`solve` keeps no state but a cache."""

    def __init__(self, feeder: Feeder) -> None:
        self.feeder = feeder
        self.omega = 2 * np.pi * feeder.frequency_hz
        self.phase_voltage = feeder.nominal_kv * 1e3 / np.sqrt(3)
        names: dict[str, int] = {}
        for zone in feeder.zones:
            for node in zone.nodes:
                names.setdefault(node, len(names))
        for device in feeder.devices:
            names.setdefault(device.node_a, len(names))
            names.setdefault(device.node_b, len(names))
        self.nodes = names
        self.size = 3 * len(names)
        self.device_node_a = np.array([names[d.node_a] for d in feeder.devices], dtype=np.intp)
        self.device_node_b = np.array([names[d.node_b] for d in feeder.devices], dtype=np.intp)
        self._section_a = np.array([names[s.node_a] for s in feeder.sections], dtype=np.intp)
        self._section_b = np.array([names[s.node_b] for s in feeder.sections], dtype=np.intp)
        self._load_node = np.array([names[x.node] for x in feeder.loads], dtype=np.intp)
        self._der_node = np.array([names[x.node] for x in feeder.ders], dtype=np.intp)
        self._source_node = np.array([names[x.node] for x in feeder.sources], dtype=np.intp)
        self._index: dict[str, tuple[str, int]] = {}
        for kind, elements in (("zone", feeder.zones), ("load", feeder.loads), ("section", feeder.sections)):
            self._index.update({e.name: (kind, i) for i, e in enumerate(elements)})  # type: ignore[attr-defined]
        self._lines()
        self._sources()
        scale = (feeder.nominal_kv * 1e3) ** 2
        self._load_y = np.array(
            [phase_block(0, complex(x.p_kw, -x.q_kvar) * 1e3 / scale) for x in feeder.loads], dtype=complex
        ).reshape(-1, 3, 3)
        self._cache: OrderedDict[tuple[Any, ...], Base] = OrderedDict()

    def _lines(self) -> None:
        count = len(self.feeder.sections)
        self._section_z = np.zeros((count, 3, 3), dtype=complex)
        self._section_y = np.zeros((count, 3, 3), dtype=complex)
        self._section_shunt = np.zeros((count, 3, 3), dtype=complex)
        fixed = np.zeros((self.size, self.size), dtype=complex)
        fixed[np.diag_indices(self.size)] = LEAK_S
        for i, s in enumerate(self.feeder.sections):
            z1, z0 = complex(s.r1_ohm, s.x1_ohm), complex(s.r0_ohm, s.x0_ohm)
            if min(abs(z1), abs(z0)) < 1e-6:
                raise ValueError(f"section {s.name}: impedance below 1 micro-ohm; join its nodes instead")
            self._section_z[i] = phase_block(z0, z1)
            self._section_y[i] = phase_block(1 / z0, 1 / z1)
            half = 0.5e-6j * self.omega
            self._section_shunt[i] = phase_block(half * s.c0_uf, half * s.c1_uf)
            a, b = self._block(self._section_a[i]), self._block(self._section_b[i])
            fixed[a, a] += self._section_y[i] + self._section_shunt[i]
            fixed[b, b] += self._section_y[i] + self._section_shunt[i]
            fixed[a, b] -= self._section_y[i]
            fixed[b, a] -= self._section_y[i]
        self._fixed = fixed

    def _sources(self) -> None:
        feeder = self.feeder
        self._source_y = np.zeros((len(feeder.sources), 3, 3), dtype=complex)
        self._source_emf = np.zeros((len(feeder.sources), 3), dtype=complex)
        for i, (source, c0_uf) in enumerate(zip(feeder.sources, normal_capacitance(feeder), strict=True)):
            neutral = neutral_impedance(feeder, source, c0_uf, self.omega)
            z0 = None if neutral is None else complex(source.r0_ohm, source.x0_ohm) + 3 * neutral
            self._source_y[i] = phase_block(0 if z0 is None else 1 / z0, 1 / complex(source.r1_ohm, source.x1_ohm))
            angle = np.exp(1j * np.radians(source.angle_deg))
            self._source_emf[i] = self.phase_voltage * source.voltage_pu * angle * POSITIVE

    @staticmethod
    def _block(node: int | np.intp) -> slice:
        return slice(3 * int(node), 3 * int(node) + 3)

    def source_emf(self, source: int) -> Complex:
        """Of its three phases, V r.m.s."""
        emf: Complex = self._source_emf[source]
        return emf

    def machine_reactance(self, der: int) -> float:
        """Subtransient reactance of a machine, ohm, its unit transformer included."""
        kva = self.feeder.ders[der].rated_kva
        return MACHINE_XSS_PU * self.feeder.nominal_kv**2 * 1e3 / kva

    # --- the base: closed poles, loads, sources, machines ------------------------------------------------------------

    def _base(self, closed: np.ndarray[Any, Any], sources: Real, loads: Real, machines: Real) -> Base:
        key = (closed.tobytes(), sources.tobytes(), loads.tobytes(), machines.tobytes())
        found = self._cache.get(key)
        if found is not None:
            self._cache.move_to_end(key)
            return found
        full = self._fixed.copy()
        for node, scale, block in zip(self._load_node, loads, self._load_y, strict=True):
            full[self._block(node), self._block(node)] += scale * block
        for node, on, block in zip(self._source_node, sources, self._source_y, strict=True):
            if on:
                full[self._block(node), self._block(node)] += block
        for node, reactance in zip(self._der_node, machines, strict=True):
            if reactance > 0:
                full[self._block(node), self._block(node)] += phase_block(0, -1j / reactance)
        group, count = self._groups(closed)
        flat = (group[:, None] * count + group[None, :]).ravel()
        size = count * count
        reduced = np.bincount(flat, full.real.ravel(), size) + 1j * np.bincount(flat, full.imag.ravel(), size)
        poles = np.flatnonzero(closed.ravel())
        incidence = np.zeros((self.size, len(poles)))
        device, phase = np.divmod(poles, 3)
        incidence[3 * self.device_node_a[device] + phase, range(len(poles))] = 1.0
        incidence[3 * self.device_node_b[device] + phase, range(len(poles))] -= 1.0
        # Least squares through the normal equations: exact for a forest; parallel ideal poles (singular) share evenly.
        gram = incidence.T @ incidence
        try:
            inverse = np.linalg.inv(gram)
            if not np.isfinite(inverse).all() or np.abs(inverse).max(initial=0.0) > 1e6:
                raise np.linalg.LinAlgError
        except np.linalg.LinAlgError:
            inverse = np.linalg.pinv(gram, hermitian=True)
        base = Base(
            group, np.linalg.inv(reduced.reshape(count, count)).astype(complex), full, poles, -inverse @ incidence.T
        )
        self._cache[key] = base
        if len(self._cache) > CACHE_SIZE:
            self._cache.popitem(last=False)
        return base

    def _groups(self, closed: np.ndarray[Any, Any]) -> tuple[Index, int]:
        parent = list(range(self.size))
        for device, phase in np.argwhere(closed).tolist():
            a = 3 * int(self.device_node_a[device]) + phase
            b = 3 * int(self.device_node_b[device]) + phase
            while parent[a] != a:
                a = parent[a]
            while parent[b] != b:
                b = parent[b]
            parent[max(a, b)] = min(a, b)
        number: dict[int, int] = {}
        group = np.empty(self.size, dtype=np.intp)
        for i in range(self.size):
            root = i
            while parent[root] != root:
                root = parent[root]
            group[i] = number.setdefault(root, len(number))
        return group, len(number)

    # --- faults ------------------------------------------------------------------------------------------------------

    def fault_point(self, fault: Fault) -> tuple[int | None, int]:
        """(section, 0) of a tapped section or (None, node) of a fault at a node."""
        if fault.at in self.nodes:
            return None, self.nodes[fault.at]
        kind, index = self._index.get(fault.at, ("", 0))
        if kind == "section":
            return index, 0
        if kind == "zone":
            return None, self.nodes[self.feeder.zones[index].nodes[0]]
        if kind == "load":
            return None, int(self._load_node[index])
        raise ValueError(f"fault {fault.name}: no section, node, zone or load is called {fault.at!r}")

    def fault_zone(self, fault: Fault) -> int:
        """Index of the zone that holds the fault."""
        section, node = self.fault_point(fault)
        if section is not None:
            return self.feeder.sections[section].zone
        name = next(n for n, i in self.nodes.items() if i == node)
        return next(z.index for z in self.feeder.zones if name in z.nodes)

    def _couple(self, faults: Sequence[Fault], group: Index, count: int) -> Coupling:
        width = 3 * len(faults)
        taps = np.zeros((self.size, width))
        series = np.zeros((width, width), dtype=complex)
        points = [self.fault_point(f) for f in faults]
        parts = [f.loops() for f in faults]
        total = sum(incidence.shape[1] for incidence, _ in parts)
        loops = np.zeros((width, total))
        resistance = np.eye(total) * TOUCH_OHM
        at = 0
        for k, (fault, (section, node), (incidence, own)) in enumerate(zip(faults, points, parts, strict=True)):
            mine = slice(3 * k, 3 * k + 3)
            if section is None:
                taps[self._block(node), mine] = np.eye(3)
            else:
                taps[self._block(self._section_a[section]), mine] += (1 - fault.fraction) * np.eye(3)
                taps[self._block(self._section_b[section]), mine] += fault.fraction * np.eye(3)
                for j, (other, (other_section, _)) in enumerate(zip(faults, points, strict=True)):
                    if other_section == section:
                        low, high = sorted((fault.fraction, other.fraction))
                        series[mine, 3 * j : 3 * j + 3] = low * (1 - high) * self._section_z[section]
            loop = slice(at, at + incidence.shape[1])
            loops[mine, loop] = incidence
            resistance[loop, loop] += own
            at = loop.stop
        reduced = np.zeros((count, width))
        np.add.at(reduced, group, taps)
        return Coupling(tuple(faults), tuple(points), taps, reduced, series, loops, resistance)

    # --- the solution ------------------------------------------------------------------------------------------------

    def solve(
        self,
        closed: np.ndarray[Any, Any],
        faults: Sequence[Fault] = (),
        ders: Sequence[DerState] | None = None,
        sources: Sequence[bool] | None = None,
        load_scale: Sequence[float] | Real | None = None,
    ) -> Solution:
        """Phasors with these poles closed (devices x 3). Left out: no DER, all sources on, loads as described."""
        feeder = self.feeder
        states = tuple(ders) if ders is not None else (DerState(connected=False),) * len(feeder.ders)
        on = np.ones(len(feeder.sources)) if sources is None else np.asarray(sources, dtype=float)
        scale = np.ones(len(feeder.loads)) if load_scale is None else np.asarray(load_scale, dtype=float)
        is_machine = [d.kind is DerKind.MACHINE and s.connected for d, s in zip(feeder.ders, states, strict=True)]
        machines = np.array([s.reactance_ohm if m else 0.0 for s, m in zip(states, is_machine, strict=True)])
        base = self._base(np.ascontiguousarray(closed, dtype=bool), on, scale, machines)

        injected = np.zeros(self.size, dtype=complex)
        for i in np.flatnonzero(on).tolist():
            injected[self._block(self._source_node[i])] += self._source_y[i] @ self._source_emf[i]
        for i in np.flatnonzero(machines).tolist():
            injected[self._block(self._der_node[i])] += states[i].emf_v / (1j * machines[i]) * POSITIVE
        faulted = Faulted(base, self._couple(faults, base.group, len(base.impedance)) if faults else None)
        reduced, loop_a = faulted(injected)

        running = [i for i, s in enumerate(states) if s.connected and not is_machine[i]]
        der_positive = np.zeros(len(states), dtype=complex)
        converged = True
        if running:
            units = np.zeros((self.size, len(running)), dtype=complex)
            for column, i in enumerate(running):
                units[self._block(self._der_node[i]), column] = POSITIVE
            response, response_loops = faulted(units)
            terminals = base.group[(3 * self._der_node[running])[:, None] + np.arange(3)]
            probe = POSITIVE.conj() / 3
            open_v = reduced[terminals] @ probe
            mutual = np.einsum("dpe,p->de", response[terminals], probe)
            amps, converged = self._inverters(running, states, open_v, mutual)
            der_positive[running] = amps
            reduced = reduced + response @ amps
            injected = injected + units @ amps
            if loop_a is not None and response_loops is not None:
                loop_a = loop_a + response_loops @ amps
        return self._solution(
            base, faulted, reduced[base.group], injected, loop_a, on, scale, machines, der_positive, states, converged
        )

    def distribute(
        self, closed: np.ndarray[Any, Any], faults: Sequence[Fault], sources: Sequence[bool], drawn: Sequence[Complex]
    ) -> tuple[Complex, ...]:
        """Pole currents (devices x 3) that each of ``drawn`` (A out of all phase nodes) causes, sources silent."""
        columns = -np.stack(drawn, axis=1)
        nothing = np.zeros(len(self.feeder.ders))
        on = np.asarray(sources, dtype=float)
        base = self._base(np.ascontiguousarray(closed, dtype=bool), on, np.zeros(len(self.feeder.loads)), nothing)
        coupling = self._couple(faults, base.group, len(base.impedance)) if faults else None
        volts, loop_a = Faulted(base, coupling)(columns)
        residual = base.admittance @ volts[base.group] - columns
        if coupling is not None and loop_a is not None:
            residual = residual + coupling.taps @ (coupling.loops @ loop_a)
        poles = np.zeros((3 * len(self.feeder.devices), len(drawn)), dtype=complex)
        poles[base.poles] = base.pole_of_residual @ residual
        return tuple(poles[:, k].reshape(-1, 3) for k in range(len(drawn)))

    def _inverters(
        self, running: list[int], states: Sequence[DerState], open_v: Complex, mutual: Complex
    ) -> tuple[Complex, bool]:
        """Positive-sequence currents of the inverters: constant power up to the current limit, by fixed point."""
        count = range(len(running))
        unit = INVERTER_LIMIT_PU * 1e3 / (3 * self.phase_voltage)
        limit = [unit * self.feeder.ders[i].rated_kva for i in running]
        power = [(states[i].power_va / 3).conjugate() for i in running]
        hold = [None if (a := states[i].angle_rad) is None else cmath.exp(1j * a) for i in running]
        least, most = 1e-3 * self.phase_voltage, INVERTER_LIMIT_PU * self.phase_voltage
        own: list[complex] = open_v.tolist()
        matrix: list[list[complex]] = mutual.tolist()
        amps = [0j] * len(running)
        change = 1.0
        for step in range(80):
            change = 0.0
            following = []
            for k in count:
                volts = own[k] + sum(z * x for z, x in zip(matrix[k], amps, strict=True))
                size = max(abs(volts), least)
                held = hold[k]
                if held is not None and size > most:
                    # Without a grid the voltage is the unit's own doing: it lets it rise no further than its limit.
                    wanted = amps[k] * most / size
                else:
                    wanted = power[k] / size * (volts / size if held is None else held)
                    wanted *= min(1.0, limit[k] / max(abs(wanted), 1e-12))
                change = max(change, abs(wanted - amps[k]) / limit[k])
                following.append(wanted if step < UNDAMPED else amps[k] + 0.5 * (wanted - amps[k]))
            amps = following
            if change < 1e-9:
                break
        return np.array(amps), change < 1e-3

    def _solution(
        self,
        base: Base,
        faulted: Faulted,
        volts: Complex,
        injected: Complex,
        loop_a: Complex | None,
        on: Real,
        scale: Real,
        machines: Real,
        der_positive: Complex,
        states: Sequence[DerState],
        converged: bool,
    ) -> Solution:
        feeder = self.feeder
        node_v = volts.reshape(-1, 3)
        residual = base.admittance @ volts - injected
        coupling = faulted.coupling
        section_v = node_v[self._section_a], node_v[self._section_b]
        series_a = np.einsum("kij,kj->ki", self._section_y, section_v[0] - section_v[1])
        section_a = series_a + np.einsum("kij,kj->ki", self._section_shunt, section_v[0])
        section_b = series_a - np.einsum("kij,kj->ki", self._section_shunt, section_v[1])
        fault_a = fault_v = np.zeros((0, 3), dtype=complex)
        fault_z1: tuple[complex, ...] = ()
        if coupling is not None and loop_a is not None:
            phases = coupling.loops @ loop_a
            residual = residual + coupling.taps @ phases
            fault_a = phases.reshape(-1, 3)
            fault_v = (coupling.taps.T @ volts - coupling.series @ phases).reshape(-1, 3)
            thevenin = coupling.reduced.T @ base.impedance @ coupling.reduced + coupling.series
            blocks = [thevenin[3 * k : 3 * k + 3, 3 * k : 3 * k + 3] for k in range(len(fault_a))]
            fault_z1 = tuple(complex(POSITIVE.conj() @ block @ POSITIVE) / 3 for block in blocks)
            for (section, _), fault, amps in zip(coupling.points, coupling.faults, fault_a, strict=True):
                if section is not None:
                    section_a[section] += (1 - fault.fraction) * amps
                    section_b[section] -= fault.fraction * amps
        device_a = np.zeros(3 * len(feeder.devices), dtype=complex)
        device_a[base.poles] = base.pole_of_residual @ residual
        der_a = der_positive[:, None] * POSITIVE
        for i in np.flatnonzero(machines).tolist():
            behind = states[i].emf_v * POSITIVE - node_v[self._der_node[i]]
            der_a[i] = phase_block(0, -1j / machines[i]) @ behind
        source_a = np.einsum("kij,kj->ki", self._source_y, self._source_emf - node_v[self._source_node])
        load_a = scale[:, None] * np.einsum("kij,kj->ki", self._load_y, node_v[self._load_node])
        return Solution(
            node_v, device_a.reshape(-1, 3), section_a, section_b, source_a * on[:, None], load_a, der_a,
            fault_a, fault_v, fault_z1, converged,
        )  # fmt: skip

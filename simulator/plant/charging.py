"""How an isolated or compensated network is charged to another residual voltage when a phase breaks down to earth.

With solid or resistance earthing there is nothing of this. Per galvanic island, the struck phase as phase a, Clarke's
components (alpha: against the other two phases; zero: all three alike)::

    L1 d i_source/dt = e - R1 i_source - u_alpha      C1 du_alpha/dt = i_source - G1 u_alpha - 2/3 i_fault
    3 C0 du0/dt = -i_fault - i_coil - G0 u0           Lc d i_coil/dt = u0
    Lf d i_fault/dt = u_alpha + u0 - (Rf + R) i_fault

C1, C0 and G1 (load) are the island's, L1 the infeed's, Lf = (2 L1 + L0) / 3 of the line to the fault. With a bolted
fault at the busbar the healthy phases' charging swings at 1 / sqrt(L1 (C1 + 2 C0)): 1 / sqrt(3 L_T (C_m + C_E)) of
Lehtonen and Hakola (Neutral Earthing and Power System Protection, ABB 1996), as C1 = C_E + 3 C_m and C0 = C_E; the
struck phase's discharge through Lf is faster; the coil keeps a slow d.c. part. The eigenvalues of those five equations
are the modes; what the state differs from the new steady state by at the inception sets their size, so that nothing
jumps that cannot. Skin effect is left out. Modes beyond ``FASTEST_HZ`` are what a merging unit's filter keeps from
aliasing: they become a smooth step that moves the same charge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scl.topology import Feeder, NeutralMode
from simulator.plant.fault import TOUCH_OHM, Fault
from simulator.plant.network import Network
from simulator.plant.neutral import neutral_impedance, normal_capacitance
from simulator.plant.sequence import POSITIVE, Complex, Real
from simulator.plant.waves import CHANNELS, MODES, ROOT2, Ring, angle_at

FASTEST_HZ = 1500.0
STEP_RATES = (-2 * np.pi * 400.0, -2 * np.pi * 800.0)
"""1/s: the instruments' answer to what is faster."""
SHORTEST_H = 1e-6
"""A metre of conductor lies between a busbar and a fault on it."""
SOURCE, ALPHA, ZERO, COIL, FAULT = range(5)


@dataclass(frozen=True, slots=True)
class _Island:
    """One source's network as five equations."""

    nodes: frozenset[int]
    phase: int
    fault: str | None
    matrix: Real
    steady: Complex
    """Peak phasors of the five states."""
    farads: tuple[float, float]
    leak: float
    flows: Real
    """Per device: shares of the capacitances' zero- and positive-sequence charge, of coil and fault that pass it."""


@dataclass(frozen=True, slots=True)
class _Motion:
    """A state on its way: steady state and modes since ``start_us``."""

    island: _Island
    start_us: int
    rates: Complex
    modes: Complex
    """States x modes: the real part of their sum is what the state differs from the steady one by."""

    def state(self, omega: float, now_us: int) -> Real:
        turn = np.exp(1j * angle_at(omega / (2 * np.pi), now_us))
        fade = np.exp(self.rates * (now_us - self.start_us) / 1e6)
        value: Real = (self.island.steady * turn).real + (self.modes * fade).sum(axis=1).real
        return value


class Charging:
    """Follows every source's island from event to event."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.feeder: Feeder = network.feeder
        self.applies = self.feeder.neutral in (NeutralMode.ISOLATED, NeutralMode.COMPENSATED)
        self._motions: dict[int, _Motion] = {}
        self._tuned = normal_capacitance(self.feeder) if self.applies else []
        ends = [(network.nodes[s.node_a], network.nodes[s.node_b]) for s in self.feeder.sections]
        self._ends = np.array(ends, dtype=np.intp).reshape(-1, 2)

    def ring(
        self, conducting: npt.NDArray[np.bool_], faults: list[Fault], on: list[bool], load_factor: Real, now_us: int
    ) -> Ring | None:
        """What swings from now on at every device; None: nothing ever does."""
        if not self.applies:
            return None
        devices = len(self.feeder.devices)
        rates: Complex = np.full((devices, MODES), -1.0 + 0j)
        sizes: Complex = np.zeros((devices, CHANNELS, MODES), dtype=complex)
        begins: Real = np.zeros((devices, 3))
        seen: set[int] = set()
        motions: dict[int, _Motion] = {}
        for source, fed in enumerate(on):
            if not fed or self.network.nodes[self.feeder.sources[source].node] in seen:
                continue
            island = self._island(source, conducting, faults, on, load_factor)
            if island is None:
                continue
            seen |= island.nodes
            motion = motions[source] = self._moved(self._motions.get(source), island, now_us)
            self._spread(motion, now_us, rates, sizes, begins)
        self._motions = motions
        return Ring(rates, sizes, begins)

    # --- one island -------------------------------------------------------------------------------------------------

    def _joined(self, node: int, conducting: npt.NDArray[np.bool_]) -> tuple[frozenset[int], dict[int, int]]:
        """Nodes that are one with this one, and by which section each was reached (-1: none or a device)."""
        net = self.network
        edges: dict[int, list[tuple[int, int]]] = {}
        for section, (a, b) in enumerate(self._ends.tolist()):
            edges.setdefault(a, []).append((b, section))
            edges.setdefault(b, []).append((a, section))
        for device in np.flatnonzero(conducting.all(axis=1)).tolist():
            a, b = int(net.device_node_a[device]), int(net.device_node_b[device])
            edges.setdefault(a, []).append((b, -1))
            edges.setdefault(b, []).append((a, -1))
        came, stack = {node: -1}, [node]
        self._parents = {node: node}
        while stack:
            here = stack.pop(0)
            for there, section in edges.get(here, []):
                if there not in came:
                    came[there] = section
                    self._parents[there] = here
                    stack.append(there)
        return frozenset(came), came

    def _line(self, node: int, came: dict[int, int]) -> tuple[complex, complex]:
        """Positive- and zero-sequence impedance of the way from the source to a node."""
        z1 = z0 = 0j
        while self._parents[node] != node:
            if came[node] >= 0:
                s = self.feeder.sections[came[node]]
                z1, z0 = z1 + complex(s.r1_ohm, s.x1_ohm), z0 + complex(s.r0_ohm, s.x0_ohm)
            node = self._parents[node]
        return z1, z0

    def _island(
        self, source: int, conducting: npt.NDArray[np.bool_], faults: list[Fault], on: list[bool], load_factor: Real
    ) -> _Island | None:
        """None: no capacitance, or faults that are not one phase to earth."""
        feeder, net, omega = self.feeder, self.network, self.network.omega
        nodes, came = self._joined(net.nodes[feeder.sources[source].node], conducting)
        inside = [k for k, (a, _) in enumerate(self._ends.tolist()) if a in nodes]
        c0 = 1e-6 * sum(feeder.sections[k].c0_uf for k in inside)
        c1 = 1e-6 * sum(feeder.sections[k].c1_uf for k in inside)
        struck = [f for f in faults if self._points(f)[0][0] in nodes]
        if min(c0, c1) <= 0 or len(struck) > 1 or any(len(f.kind) != 2 or f.kind[1] != "g" for f in struck):
            return None
        y1 = leak = 0j
        coils: list[tuple[int, float]] = []
        for k, (s, tuned) in enumerate(zip(feeder.sources, self._tuned, strict=True)):
            if not on[k] or net.nodes[s.node] not in nodes:
                continue
            y1 += 1 / complex(s.r1_ohm, s.x1_ohm)
            neutral = neutral_impedance(feeder, s, tuned, omega)
            y0 = 0j if neutral is None else 3 / (complex(s.r0_ohm, s.x0_ohm) + 3 * neutral)
            coils.append((net.nodes[s.node], -y0.imag))
            leak += y0
        z1 = 1 / y1
        matrix = np.zeros((5, 5))
        matrix[SOURCE, SOURCE], matrix[SOURCE, ALPHA] = -z1.real * omega / z1.imag, -omega / z1.imag
        load = sum(
            x.p_kw * 1e3 * float(f)
            for x, f in zip(feeder.loads, load_factor, strict=True) if net.nodes[x.node] in nodes
        ) / (feeder.nominal_kv * 1e3) ** 2  # fmt: skip
        matrix[ALPHA, SOURCE], matrix[ALPHA, ALPHA] = 1 / c1, -load / c1
        matrix[ZERO, COIL], matrix[ZERO, ZERO] = -1 / (3 * c0), -leak.real / (3 * c0)
        matrix[COIL, ZERO] = -leak.imag * omega
        phase, name, at = 0, None, [(net.nodes[feeder.sources[source].node], 1.0)]
        if struck:
            fault = struck[0]
            phase, name, at = "abc".index(fault.kind[0]), fault.name, self._points(fault)
            lines = [(share, *self._line(node, came)) for node, share in at]
            z1f, z0f = sum(w * z for w, z, _ in lines), sum(w * z for w, _, z in lines)
            whole = (2 * z1f + z0f) / 3
            inductance = max(whole.imag / omega, SHORTEST_H)
            matrix[ALPHA, FAULT], matrix[ZERO, FAULT] = -2 / (3 * c1), -1 / (3 * c0)
            matrix[FAULT, ALPHA] = matrix[FAULT, ZERO] = 1 / inductance
            matrix[FAULT, FAULT] = -(fault.rf_ohm + TOUCH_OHM + whole.real) / inductance
        drive = np.zeros(5, dtype=complex)
        drive[SOURCE] = ROOT2 * net.source_emf(source)[phase] * omega / z1.imag
        count = 5 if struck else 4
        steady = np.zeros(5, dtype=complex)
        steady[:count] = np.linalg.solve(1j * omega * np.eye(count) - matrix[:count, :count], drive[:count])
        flows = self._flows(nodes, conducting, inside, at, net.nodes[feeder.sources[source].node], coils)
        return _Island(nodes, phase, name, matrix[:count, :count], steady, (c0, c1), leak.real, flows)

    def _points(self, fault: Fault) -> list[tuple[int, float]]:
        """Where it draws, and how much of it there."""
        section, node = self.network.fault_point(fault)
        if section is None:
            return [(node, 1.0)]
        a, b = self._ends[section].tolist()
        return [(a, 1.0 - fault.fraction), (b, fault.fraction)]

    def _flows(
        self,
        nodes: frozenset[int],
        conducting: npt.NDArray[np.bool_],
        inside: list[int],
        at: list[tuple[int, float]],
        source: int,
        coils: list[tuple[int, float]],
    ) -> Real:
        """A to B through every device (columns): the zero-sequence charge and the coils' current, both back from the
        fault; the positive-sequence charge and the fault's current, both out of the source. Rings divide it by their
        sections' reactance."""
        net, count = self.network, len(self.network.nodes)
        laplacian, draws = np.zeros((count, count)), np.zeros((count, 4))
        closed = [d for d in np.flatnonzero(conducting.all(axis=1)).tolist() if int(net.device_node_a[d]) in nodes]
        edges = [(*self._ends[k].tolist(), 1 / abs(self.feeder.sections[k].x0_ohm or 1e-3)) for k in inside]
        stiff = 1e4 * max([1.0, *(w for _, _, w in edges)])
        edges += [(int(net.device_node_a[d]), int(net.device_node_b[d]), stiff) for d in closed]
        for a, b, weight in edges:
            laplacian[[a, b], [a, b]] += weight
            laplacian[[a, b], [b, a]] -= weight
        for k in inside:
            s = self.feeder.sections[k]
            draws[self._ends[k], 0] += 0.5 * s.c0_uf
            draws[self._ends[k], 2] += 0.5 * s.c1_uf
        for node, susceptance in coils:
            draws[node, 1] += susceptance
        for node, share in at:
            draws[node, 3] += share
        draws /= np.maximum(draws.sum(axis=0), 1e-30)
        for node, share in at:
            draws[node, :2] -= share * draws[:, :2].sum(axis=0).round()
        draws[source, 2:] -= 1.0
        potential = -np.linalg.pinv(laplacian, hermitian=True) @ draws
        flows: Real = np.zeros((len(self.feeder.devices), 4))
        flows[closed] = stiff * (potential[net.device_node_a[closed]] - potential[net.device_node_b[closed]])
        return flows

    # --- from event to event ------------------------------------------------------------------------------------------

    def _moved(self, old: _Motion | None, island: _Island, now_us: int) -> _Motion:
        """The state goes on from where it is; a fault's current begins at nothing."""
        omega, count = self.network.omega, len(island.matrix)
        still = _Motion(island, now_us, np.zeros(MODES, dtype=complex), np.zeros((5, MODES), dtype=complex))
        if old is None:
            return still
        goal = still.state(omega, now_us)
        state = old.state(omega, now_us)
        if old.island.fault != island.fault:
            state[FAULT] = 0.0
            if old.island.phase != island.phase:  # alpha is of another phase, which was as this one was
                turned = old.island.steady * POSITIVE[island.phase] / POSITIVE[old.island.phase]
                calm = (turned * np.exp(1j * angle_at(omega / (2 * np.pi), now_us))).real
                state[SOURCE], state[ALPHA] = calm[SOURCE], calm[ALPHA]
        elif old.island.nodes == island.nodes:
            # the same network and a load or two: what swings swings on
            fade = np.exp(old.rates * (now_us - old.start_us) / 1e6)
            return _Motion(island, now_us, old.rates, old.modes * fade)
        away = (state - goal)[:count]
        rates, vectors = np.linalg.eig(island.matrix)
        modes = vectors * np.linalg.solve(vectors, away.astype(complex))
        twice = np.where(rates.imag > 1e-9, 2.0, np.where(rates.imag < -1e-9, 0.0, 1.0))
        full = np.zeros((5, MODES), dtype=complex)
        full[:count, :count] = modes * twice
        padded = np.full(MODES, -1.0 + 0j)
        padded[:count] = rates
        return _Motion(island, now_us, padded, full)

    def _spread(self, motion: _Motion, now_us: int, rates: Complex, sizes: Complex, begins: Real) -> None:
        """To the channels of the island's devices."""
        island, net = motion.island, self.network
        here = np.isin(net.device_node_a, list(island.nodes))
        all_modes = motion.modes * np.exp(motion.rates * (now_us - motion.start_us) / 1e6)
        begins[here] = self._currents(island, motion.rates, all_modes)[here].sum(axis=2).real
        own, modes = _slowed(motion.rates, all_modes)
        volts = modes[ZERO] + np.outer(_shape(island), modes[ALPHA])
        amps = self._currents(island, own, modes)
        rates[here] = own
        sizes[here, :3] = amps[here]
        sizes[here, 3] = amps[here].sum(axis=1)
        sizes[here, 4:7] = volts
        sizes[here, 7] = volts.sum(axis=0)

    def _currents(self, island: _Island, own: Complex, modes: Complex) -> Complex:
        """Devices x 3 x modes."""
        c0, c1 = island.farads
        charge = 3 * c0 * own * modes[ZERO]
        coil = modes[COIL] + island.leak * modes[ZERO]
        zero: Complex = np.outer(island.flows[:, 0], charge) + np.outer(island.flows[:, 1], coil)
        alpha: Complex = np.outer(island.flows[:, 2], c1 * own * modes[ALPHA])
        if island.fault is not None:
            alpha -= np.outer(island.flows[:, 3], 2 / 3 * (charge + coil))
        amps: Complex = zero[:, None, :] / 3 + _shape(island)[None, :, None] * alpha[:, None, :]
        return amps


def _shape(island: _Island) -> Real:
    """Of an alpha quantity in the three phases."""
    shape: Real = np.full(3, -0.5)
    shape[island.phase] = 1.0
    return shape


def _slowed(own: Complex, full: Complex) -> tuple[Complex, Complex]:
    """Rates and modes as instruments give them: the fast ones together as a step without a corner."""
    modes, rates = full.copy(), own.copy()
    fast = np.abs(rates) > 2 * np.pi * FASTEST_HZ
    if not fast.any():
        return rates, modes
    jump = modes[:, fast].sum(axis=1).real
    jump[[SOURCE, COIL, FAULT]] = 0
    modes[:, fast] = 0
    rates[fast] = STEP_RATES[0]
    slots, (a, b) = np.flatnonzero(fast)[:2].tolist(), STEP_RATES
    weights = (1.0,) if len(slots) == 1 else (b / (b - a), -a / (b - a))
    for k, rate, weight in zip(slots, STEP_RATES, weights, strict=False):
        rates[k], modes[:, k] = rate, weight * jump
    return rates, modes

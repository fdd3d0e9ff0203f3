"""What a solution of the network means at the devices' terminals: readings, phasors of channels, live sides."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from simulator.plant.network import Network, Solution
from simulator.plant.sequence import Complex, Real
from simulator.plant.truth import LIVE_PU

LOAD_TAU_S = 0.002
FAULT_SHARE = 0.2
"""A pole with this share of a fault's current gets the fault path's d.c. time constant, else a load's."""


class Reading(NamedTuple):
    """What ideal instruments say of a device: phasors (A, V r.m.s.), voltages of both sides, power A to B."""

    current_a: Complex
    voltage_a: Complex
    voltage_b: Complex
    p_kw: float
    q_kvar: float


def reading(network: Network, solution: Solution, index: int) -> Reading:
    """Of one device."""
    amps = solution.device_a[index]
    side_a, side_b = solution.node_v[network.device_node_a[index]], solution.node_v[network.device_node_b[index]]
    power = complex(np.sum(side_a * amps.conj())) / 1e3
    return Reading(amps, side_a, side_b, power.real, power.imag)


def channels(network: Network, solution: Solution) -> Complex:
    """Devices x 8: currents and voltages of side A, each with its residual."""
    voltage = solution.node_v[network.device_node_a]
    phases = (solution.device_a, voltage)
    return np.concatenate([part for x in phases for part in (x, x.sum(axis=1, keepdims=True))], axis=1)


def offset_tau(network: Network, solution: Solution) -> Real:
    """Time constant (s) of the d.c. offset of each pole."""
    tau: Real = np.full(solution.device_a.shape, LOAD_TAU_S)
    if len(solution.fault_a):
        worst = int(np.argmax(np.abs(solution.fault_a).max(axis=1)))
        z1 = solution.fault_z1[worst]
        fault_tau = min(max(abs(z1.imag) / (network.omega * max(abs(z1.real), 1e-6)), 0.003), 0.15)
        tau[np.abs(solution.device_a) > FAULT_SHARE * np.abs(solution.fault_a[worst]).max()] = fault_tau
    return tau


def live_nodes(network: Network, solution: Solution) -> npt.NDArray[np.bool_]:
    """Of each node, whether any phase has voltage."""
    return np.asarray(np.abs(solution.node_v).max(axis=1) > LIVE_PU * network.phase_voltage)


def live_sides(network: Network, solution: Solution) -> tuple[tuple[bool, bool], ...]:
    """Of each device, whether any phase of side A and of side B has voltage."""
    live = live_nodes(network, solution)
    sides = zip(live[network.device_node_a], live[network.device_node_b], strict=True)
    return tuple((bool(a), bool(b)) for a, b in sides)

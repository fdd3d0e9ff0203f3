"""Magnetising inrush of the distribution transformers in a section that comes alive.

One pulse a cycle while the core is saturated, described by its fundamental, its second harmonic and the offset that
continuity adds; all three decay together. How large depends on each phase's voltage at the instant of closing; Dyn
transformers draw no zero sequence.
"""

from __future__ import annotations

import math

import numpy as np

from simulator.plant.network import Network
from simulator.plant.sequence import Complex

TRANSFORMER_MARGIN = 1.3
"""Transformer rating over the demand it serves."""
SECOND_HARMONIC = 0.5
"""Second harmonic over fundamental of the pulses."""


def inrush(
    network: Network, zones: set[int], node_v: Complex, turn_rad: float, size_pu: float
) -> tuple[Complex, Complex]:
    """Currents (phase nodes, A) that fundamental and second harmonic draw; ``turn_rad`` is w t at the closing."""
    drawn = np.zeros((2, len(network.nodes), 3), dtype=complex)
    feeder = network.feeder
    for load in feeder.loads:
        if load.zone not in zones:
            continue
        node = network.nodes[load.node]
        volts = node_v[node]
        rated = TRANSFORMER_MARGIN * math.hypot(load.p_kw, load.q_kvar) / (math.sqrt(3) * feeder.nominal_kv)
        angle = np.angle(volts)
        offset = -np.sin(turn_rad + angle) * np.abs(volts) / network.phase_voltage
        fundamental = size_pu * rated * np.abs(offset) * -1j * np.exp(1j * angle)
        second = -SECOND_HARMONIC * size_pu * rated * offset * np.exp(2j * angle)
        drawn[0, node] += fundamental - fundamental.mean()
        drawn[1, node] += second - second.mean()
    return drawn[0].ravel(), drawn[1].ravel()

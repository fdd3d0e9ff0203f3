"""Distributed generation over time: what a unit injects, when it loses the grid, when it trips."""

from __future__ import annotations

import numpy as np

from scl.topology import Der, DerKind
from simulator.plant.network import DerState, Network
from simulator.plant.sequence import Complex, to_sequence

UNDERVOLTAGE_PU = 0.8
OVERVOLTAGE_PU = 1.2
DECAY = ((0, 1.0), (30_000, 1.2), (70_000, 1.5), (250_000, 2.2), (600_000, 3.5))
"""Apparent reactance of a machine over the subtransient one, from this many microseconds after the disturbance."""


class Unit:
    """One DER. ``trip_at_us`` is when it trips unless the grid returns."""

    def __init__(self, index: int, der: Der, network: Network) -> None:
        self.index = index
        self.der = der
        self.connected = True
        self.trip_at_us: int | None = None
        self.disturbed_at_us: int | None = None
        self._base_reactance = network.machine_reactance(index) if der.kind is DerKind.MACHINE else 0.0
        self._phase_voltage = network.phase_voltage
        self._power = complex(der.p_kw, der.q_kvar) * 1e3
        self._emf = complex(network.phase_voltage)
        self._angle = 0.0
        self._stage = 0

    def state(self, on_grid: bool) -> DerState:
        """What the network solves with."""
        if self.der.kind is DerKind.MACHINE:
            return DerState(self.connected, emf_v=self._emf, reactance_ohm=self._base_reactance * DECAY[self._stage][1])
        return DerState(self.connected, power_va=self._power, angle_rad=None if on_grid else self._angle)

    def settle(self, terminal: Complex) -> None:
        """Calm operation: the machine's e.m.f. follows from its set-point, the inverter notes the angle it follows."""
        positive = complex(to_sequence(terminal)[1])
        self._stage = 0
        self.disturbed_at_us = None
        if abs(positive) < 0.1 * self._phase_voltage:
            return
        self._angle = float(np.angle(positive))
        amps = (self._power / (3 * positive)).conjugate()
        self._emf = positive + 1j * self._base_reactance * amps

    def observe(self, now_us: int, terminal: Complex, on_grid: bool) -> bool:
        """Undervoltage, overvoltage and loss of mains; True if the trip or decay timing changed."""
        if not self.connected:
            return False
        pu = abs(complex(to_sequence(terminal)[1])) / self._phase_voltage
        healthy = on_grid and UNDERVOLTAGE_PU <= pu <= OVERVOLTAGE_PU
        if healthy:
            changed = self.trip_at_us is not None
            self.trip_at_us = None
            return changed
        if self.trip_at_us is None:
            self.trip_at_us = now_us + round(self.der.trip_time_ms * 1000)
            if self.disturbed_at_us is None:
                self.disturbed_at_us = now_us
            return True
        return False

    def next_decay_us(self) -> int | None:
        """When the machine's reactance takes its next step."""
        if (
            self.disturbed_at_us is None
            or not self.connected
            or self.der.kind is not DerKind.MACHINE
            or self._stage + 1 >= len(DECAY)
        ):
            return None
        return self.disturbed_at_us + DECAY[self._stage + 1][0]

    def decay(self, now_us: int) -> bool:
        """Take every step that is due."""
        before = self._stage
        while (due := self.next_decay_us()) is not None and due <= now_us:
            self._stage += 1
        return self._stage != before

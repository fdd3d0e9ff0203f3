"""Fault or inrush, a millisecond after the current changed: ``agent/core/onset.c`` once more (reasons: there)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from agent.core.config import ProtectionConfig

SLIGHT_SHARE, SLIGHT_SHARE_EARTH = 0.06, 0.25
PROSPECTIVE = 1.8
SWEPT = 0.3
DROP_SHARE = 0.06
LARGEST_SHARE = 0.8
RESIDUAL_SHARE = 0.5


class Onset:
    """``phase_open`` and ``earth_open``: samples that the half-cycle elements are still let through."""

    def __init__(self, config: ProtectionConfig, cycle: int) -> None:
        self._cycle = cycle
        root = math.sqrt(2)
        self.adjust(config)
        crest = root * 1000.0 * (config.nominal_kv or 0.0) / math.sqrt(3)
        self._crest = [crest * math.sqrt(3)] * 3 + [crest] * 3
        self._with_voltage = config.nominal_kv is not None
        self._rows: list[tuple[list[float], list[float]]] = []
        self._calm = self._age = 0
        self._judged: set[int] = set()
        self.phase_open = self.earth_open = 0

    def adjust(self, config: ProtectionConfig) -> None:
        """The pick-up values are others."""
        root = math.sqrt(2)
        self._slight = root * min(SLIGHT_SHARE * config.phase_pickup_a, SLIGHT_SHARE_EARTH * config.earth_pickup_a)
        self._phase_a = root * PROSPECTIVE * config.phase_pickup_a
        self._earth_a = root * PROSPECTIVE * config.earth_pickup_a

    def sample(
        self, now: Sequence[float], before: Sequence[float], volts: Sequence[float], volts_before: Sequence[float]
    ) -> None:
        """Phase currents and voltages (A, V) of this sample and of one cycle before."""
        phase = [a - b for a, b in zip(now, before, strict=True)]
        self.phase_open, self.earth_open = max(0, self.phase_open - 1), max(0, self.earth_open - 1)
        slight = any(abs(x) >= self._slight for x in phase)
        if slight and self._calm >= self._cycle // 2:
            self._age, self._judged, self._rows = 1, set(), []
        self._calm = 0 if slight else self._calm + 1
        if not self._age:
            return
        step = 2 * math.pi / self._cycle
        if self._with_voltage:
            swept = [[v / c * step for v, c in zip(_loops(u), self._crest, strict=True)] for u in (volts_before, volts)]
        else:
            swept = [[step] * 6, [0.0] * 6]
        self._rows.append((swept[0], swept[1]))
        change, current = _loops(phase), _loops(now)
        for loop in range(6):
            flux = abs(sum(row[0][loop] for row in self._rows))
            if loop not in self._judged and flux >= SWEPT:
                self._judged.add(loop)
                self._judge(loop, change, current, flux, abs(sum(row[1][loop] for row in self._rows)))
        self._age = self._age + 1 if self._age < self._cycle // 2 else 0

    def _judge(self, loop: int, change: list[float], now: list[float], flux: float, flux_now: float) -> None:
        size = abs(change[loop])
        if now[loop] * change[loop] <= 0 or abs(now[loop]) < 0.5 * size:
            return
        dropped = flux_now <= (1 - DROP_SHARE) * flux
        residual = abs(sum(change[3:]))
        if loop < 3:
            largest = max(abs(x) for x in change[:3])
            fault = size >= LARGEST_SHARE * largest and size >= math.sqrt(3) * self._phase_a * flux
            if dropped and fault:
                self.phase_open = self.earth_open = self._cycle
        elif residual >= RESIDUAL_SHARE * size:
            if dropped and size >= self._phase_a * flux:
                self.phase_open = self._cycle
            if residual >= self._earth_a * flux:
                self.earth_open = self._cycle


def _loops(phase: Sequence[float]) -> list[float]:
    return [phase[p] - phase[(p + 1) % 3] for p in range(3)] + list(phase)

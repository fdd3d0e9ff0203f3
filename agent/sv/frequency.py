"""Frequency of the voltage and corrected phasors once more in Python: ``agent/core/frequency.c`` (reasons: there).

Fed with what :class:`agent.sv.reference.Reference` makes of a sample; tested equal.
"""

from __future__ import annotations

import cmath
import math

from agent.core.config import ProtectionConfig

LEAST_SHARE = 0.5
RANGE_HZ = 5.5
STEADY_SHARE = 0.1
DELAY, POINTS, SETTLE = 6, 16, 4
MIMIC_CYCLES = 2.0


class Frequency:
    """``hz`` None: not known yet; ``held``: of before."""

    def __init__(self, config: ProtectionConfig) -> None:
        self._cycle = config.layout.rate // config.layout.frequency
        self._nominal = config.layout.frequency
        self._least = LEAST_SHARE * 1000.0 * (config.nominal_kv or 0.0) / math.sqrt(3)
        self._with_voltage = config.nominal_kv is not None
        self._positive: list[complex] = []
        self._turns: list[complex] = []
        self._settled = 0
        self._off = 0.0
        self.hz: float | None = None
        self.held = True

    def hold(self) -> None:
        """No voltage that could be followed."""
        self._turns.clear()
        self._settled = 0
        self.held = True

    def sample(self, index: int, positive: complex, quiet: bool) -> None:
        """``index`` counts samples since the last gap; ``positive`` sequence of the window's plain sums."""
        self._positive.append(positive)
        if index % (self._cycle // 4) or index <= 2 * self._cycle:
            return
        now, before = self._positive[-1], self._positive[-1 - self._cycle]
        small, large = sorted((abs(now), abs(before)))
        if not quiet or not self._with_voltage or small < self._least or small < (1 - STEADY_SHARE) * large:
            self.hold()
            return
        self._settled += 1
        if self._settled > SETTLE:
            self._turns.append(now * before.conjugate())
        if index % self._cycle or len(self._turns) < DELAY + POINTS:
            return
        off = cmath.phase(sum(self._turns[-DELAY - POINTS : -DELAY])) / (2 * math.pi)
        if abs(off) * self._nominal > RANGE_HZ:
            self.hold()
            return
        self._off, self.hz, self.held = off, self._nominal * (1 + off), False

    def corrected(self, index: int, behind_mimic: complex) -> complex:
        """The true phasor of one behind the mimic impedance, by the sums themselves instead of their closed form."""
        if self.hz is None:
            return behind_mimic
        step, off, count = 2 * math.pi / self._cycle, self._off, self._cycle
        direct = sum(cmath.exp(-1j * step * off * k) for k in range(count)) / count
        image = sum(cmath.exp(1j * step * (2 + off) * k) for k in range(count)) / count
        image *= cmath.exp(-2j * step * (index - 1))
        tau = MIMIC_CYCLES * self._cycle
        total = behind_mimic * ((1 + tau) - tau * cmath.exp(-1j * step))
        seen = direct.conjugate() * total - image * total.conjugate()
        seen /= abs(direct) ** 2 - abs(image) ** 2
        return seen / ((1 + tau) - tau * cmath.exp(-1j * step * (1 + off)))

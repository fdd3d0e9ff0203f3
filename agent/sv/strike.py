"""Earth faults by what the network's capacitance takes, said once more in plain Python: ``agent/core/strike.c``.

Each window is fitted at once, from the samples that are kept; nothing recursive but the counting of strikes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise

from agent.core.config import EarthMode, ProtectionConfig
from agent.logic.messages import Direction

STILL_SHARE = 0.015
BEND_SHARE = 0.04
SWING_SHARE = 0.10
RISE = 1.5
FITS, FITS_NOT = 0.15, 0.45
GAP_CYCLES = 25
AGAIN = 3


class Strikes:
    """What struck, and behind which side; kept are changes of residual current (A) and voltage (V) against the cycle
    before, and the voltage itself now and then."""

    def __init__(self, config: ProtectionConfig, cycle: int) -> None:
        self.cycle = cycle
        self.quarter = cycle // 4
        self.crest = math.sqrt(2) * 1000.0 * (config.nominal_kv or 0.0) / math.sqrt(3)
        self.adjust(config)
        self.coil = config.earth_mode is EarthMode.WATTMETRIC
        self.rest = cycle + self.quarter if self.coil else self.quarter
        self.count = 0
        self.forget()

    def adjust(self, config: ProtectionConfig) -> None:
        """The pick-up value is another."""
        self.least_charge = config.earth_pickup_a * self.cycle / (2 * math.pi)

    def forget(self) -> None:
        """After a gap."""
        self.direction = Direction.NONE
        self.run = self.last = self._judged = 0
        self._amperes, self._volts = [0.0, 0.0], [0.0, 0.0]
        self._now, self._before = [0.0, 0.0], [0.0, 0.0]
        self._began: int | None = None
        self._since: int | None = 2
        """Where waiting for rest began."""

    def age(self, gone: bool, index: int) -> None:
        """When the residual voltage is gone, and not only just about to rise, so is the fault."""
        if gone and self._began is None and index - self._judged >= self.cycle:
            self.direction = Direction.NONE
        if index - self.last > GAP_CYCLES * self.cycle:
            self.run = 0

    @property
    def again(self) -> bool:
        """Whether it strikes again and again."""
        return self.run >= AGAIN

    def sample(self, amperes: float, volts: float, amperes_before: float, volts_before: float, index: int) -> None:
        """One sample, and the one a cycle ago."""
        self._amperes.append(amperes - amperes_before)
        self._volts.append(volts - volts_before)
        self._now.append(volts)
        self._before.append(volts_before)
        n = len(self._volts) - 1
        if self._began is None:
            if self._since is not None and self._still(n, self.quarter):
                self._since = None
            if self._strikes_first(n) or self._strikes_anew(n):
                self._began = n
        elif self._still(n, self.cycle // 8):
            self._began = None
        if self._began is not None and (n + 1 - self._began) % self.quarter == 0:
            self._judge(self._began, n, index)

    def _still(self, n: int, count: int) -> bool:
        """Whether the last so many did not change; those in the first cycle do not count."""
        if n < 1 + self.cycle + count:
            return False
        return max(map(abs, self._volts[n - count + 1 : n + 1])) < STILL_SHARE * self.crest

    def _strikes_first(self, n: int) -> bool:
        return self._since is None and abs(self._volts[n]) >= STILL_SHARE * self.crest

    def _strikes_anew(self, n: int) -> bool:
        """The first bend for a while, before rest came."""
        if self._since is None or n - self._since < self.rest or n < 1 + self.cycle:
            return False
        return self._bent(n) and not any(map(self._bent, range(n - self.quarter, n)))

    def _bent(self, n: int) -> bool:
        v = self._now
        return abs(v[n] - 2 * v[n - 1] + v[n - 2]) >= BEND_SHARE * self.crest

    def _judge(self, began: int, n: int, index: int) -> None:
        length = n + 1 - began
        change = [v - self._volts[began - 1] for v in self._volts[began : n + 1]]
        swung = _dot(change, change) >= length * (SWING_SHARE * self.crest) ** 2
        now, before = self._now[began : n + 1], self._before[began : n + 1]
        found = Direction.NONE
        if swung and _dot(now, now) >= RISE * _dot(before, before):
            charge = _integral(self._amperes[began - 1 : n + 1])
            twice = _integral([0.0, *_integral(self._volts[began - 1 : n + 1])])
            found = self._fit(charge, change, twice)
        if found in (Direction.NONE, Direction.UNKNOWN) and length < self.cycle:
            return
        self._began, self._since = None, n + 1
        if found is Direction.NONE:
            return
        self.count += 1
        self._judged = index
        self.direction = found
        if found is Direction.INTO_B:
            self.run, self.last = self.run + 1, index
        elif found is Direction.INTO_A:
            self.run = 0

    def _fit(self, charge: Sequence[float], change: Sequence[float], twice: Sequence[float]) -> Direction:
        if _dot(charge, charge) < len(charge) * self.least_charge**2:
            return Direction.UNKNOWN
        behind = self._explained([-q for q in charge], change, twice)
        before = self._explained(charge, change, twice)
        if behind >= 1 - FITS and before <= 1 - FITS_NOT:
            return Direction.INTO_B
        if before >= 1 - FITS and behind <= 1 - FITS_NOT:
            return Direction.INTO_A
        return Direction.UNKNOWN

    def _explained(self, q: Sequence[float], u: Sequence[float], w: Sequence[float]) -> float:
        """Share of the charge's square that a capacitance and a coil explain, neither of them negative."""
        uu, uw, ww, qu, qw = _dot(u, u), _dot(u, w), _dot(w, w), _dot(q, u), _dot(q, w)
        found = [max(qu, 0.0) ** 2 / uu]
        if self.coil and ww > 0:
            found.append(max(qw, 0.0) ** 2 / ww)
            determinant = uu * ww - uw * uw
            c, inverse = qu * ww - qw * uw, qw * uu - qu * uw
            if determinant > 1e-9 * uu * ww and c > 0 and inverse > 0:
                found.append((c * qu + inverse * qw) / determinant)
        qq = _dot(q, q)
        return max(found) / qq if qq > 0 else 0.0


def _integral(values: Sequence[float]) -> list[float]:
    """Trapezoids from the first value on, one fewer."""
    return list(accumulate((a + b) / 2 for a, b in pairwise(values)))


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))

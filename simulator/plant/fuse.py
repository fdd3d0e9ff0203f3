"""The fuse of a lateral: melts by time and current, clears at the next current zero, all three poles (striker pin)."""

from __future__ import annotations

import math

from scl.topology import Load

RATED_FACTOR = 2.0
"""Fuse rating over the lateral's load current …"""
LEAST_RATING_A = 10.0
MINIMUM_MELTING = 2.0
"""… melting starts at this multiple of it …"""
MELTING_SECONDS = 4.0
"""… and takes this many seconds divided by the square of the multiple (10 ms at twenty times)."""


class Fuse:
    """Heat is a share of what melts it; it cools at once when the current is below the melting current."""

    def __init__(self, load: Load, nominal_kv: float) -> None:
        amps = math.hypot(load.p_kw, load.q_kvar) / (math.sqrt(3) * nominal_kv)
        self.rating_a = max(RATED_FACTOR * amps, LEAST_RATING_A)
        self.blown = False
        self._heat = 0.0
        self._rate = 0.0
        self._since_us = 0

    def carry(self, amps: float, now_us: int) -> int | None:
        """From now on the lateral takes this r.m.s. current; when the fuse will melt, None: never."""
        multiple = amps / self.rating_a
        self._heat += self._rate * (now_us - self._since_us) / 1e6
        self._since_us = now_us
        if multiple < MINIMUM_MELTING or self.blown:
            self._heat = self._rate = 0.0
            return None
        self._rate = multiple**2 / MELTING_SECONDS
        return now_us + round(max(1.0 - self._heat, 0.0) / self._rate * 1e6)

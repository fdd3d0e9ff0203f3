"""A protection current transformer that saturates: class P of IEC 61869-2, resistive burden.

State is the flux linkage of the core, d(flux)/dt = (R_ct + R_b) i_s; the rest of the primary current, i_p - i_s, makes
the flux. The magnetising curve is Froelich's, seen from the remanence:

    i_m = a (flux - remanence) / (1 - |flux| / flux_s)

Both constants follow from the class: at rated current into the rated burden i_m is 1 % of the current, at the accuracy
limit 5 % of it, crest to crest, which puts saturation at 1.24 times the flux of the accuracy limit. This is a poor
transformer of its class; air-core inductance, eddy currents and the burden's inductance are left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Real = npt.NDArray[np.float64]

ERROR_RATED = 0.01
ERROR_LIMIT = 0.05


@dataclass(frozen=True, slots=True)
class Transformer:
    """5P20 by default, 600/1 A, 5 VA."""

    primary_a: float = 600.0
    secondary_a: float = 1.0
    limit_factor: float = 20.0
    rated_va: float = 5.0
    winding_ohm: float = 4.0
    burden: float = 1.0
    """Connected, of the rated burden."""
    remanence: float = 0.0
    """Of the saturation flux, from -1 to 1 (both excluded)."""

    @property
    def rated_ohm(self) -> float:
        """Rated burden."""
        return self.rated_va / self.secondary_a**2

    @property
    def loop_ohm(self) -> float:
        """Winding and connected burden."""
        return self.winding_ohm + self.burden * self.rated_ohm

    @property
    def limit_v(self) -> float:
        """E.m.f. at the accuracy limit with the rated burden, r.m.s.: about the knee."""
        return self.limit_factor * self.secondary_a * (self.winding_ohm + self.rated_ohm)

    @property
    def saturation_v(self) -> float:
        """E.m.f. whose sine sweeps the saturation flux, r.m.s."""
        return self.limit_v / self.limit_factor / self._rated_flux

    @property
    def _rated_flux(self) -> float:
        """Crest at rated current into the rated burden, of the saturation flux."""
        return (ERROR_LIMIT - ERROR_RATED) / (self.limit_factor * ERROR_LIMIT - ERROR_RATED)

    def secondary(self, primary: Real, step_s: float, frequency: float = 50.0) -> Real:
        """Secondary current referred to the primary, of instantaneous primary currents (time first, any columns)."""
        crest = math.sqrt(2) * self.primary_a
        scale = ERROR_RATED * crest * (1 - self._rated_flux) / self._rated_flux
        ohm = self.loop_ohm * self.secondary_a / self.primary_a
        speed = step_s * ohm * 2 * math.pi * frequency / (math.sqrt(2) * self.saturation_v)
        drag = speed * scale
        flux = np.full(primary.shape[1:], self.remanence)
        out = np.empty_like(primary)
        for n, current in enumerate(primary):
            # Backward Euler; with this curve it is a quadratic whose smaller root lies between 0 and saturation.
            swept = flux + speed * current
            side = np.where(swept + drag * self.remanence >= 0, 1.0, -1.0)
            swept = swept * side
            half = (1 + swept + drag) / 2
            flux = side * (half - np.sqrt(half**2 - swept - drag * side * self.remanence))
            out[n] = current - scale * (flux - self.remanence) / (1 - np.abs(flux))
        return out


def time_to_saturation_s(reserve: float, x_over_r: float, remanence: float = 0.0, frequency: float = 50.0) -> float:
    """IEEE C37.110: until the envelope of flux with full offset reaches saturation; infinite: it does not.

    ``reserve`` is the saturation voltage over the voltage that the symmetrical current drives.
    """
    left = 1 - (reserve * (1 - remanence) - 1) / x_over_r
    if left >= 1:
        return 0.0
    return -x_over_r / (2 * math.pi * frequency) * math.log(left) if left > 0 else math.inf

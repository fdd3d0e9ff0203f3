"""Which zones a source reaches, since when the others are without, and the cold load that their outage leaves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from scl.topology import Feeder
from simulator.plant.sequence import Real
from simulator.plant.truth import zone_components

Poles = npt.NDArray[np.bool_]
NEVER = -1


class Supply:
    """Memory of the outages of one feeder; all zones are fed at first."""

    def __init__(self, feeder: Feeder, cold_after_us: float) -> None:
        self.feeder = feeder
        self.cold: Real = np.ones(len(feeder.loads))
        """Factor of each load."""
        self._cold_after_us = cold_after_us
        self._dead_since = [NEVER] * len(feeder.zones)

    def fed(self, conducting: Poles, sources_on: Sequence[bool]) -> list[bool]:
        """Per zone: some source that is on reaches it."""
        component, _ = zone_components(self.feeder, np.asarray(conducting.any(axis=1)))
        fed = {component[s.zone] for s, on in zip(self.feeder.sources, sources_on, strict=True) if on}
        return [c in fed for c in component]

    def note(self, fed: list[bool], now_us: int) -> set[int]:
        """Zones that a source reaches again; a long outage leaves their loads cold."""
        risen = set()
        for zone, on in enumerate(fed):
            since = self._dead_since[zone]
            if on and since != NEVER:
                risen.add(zone)
                if now_us - since >= self._cold_after_us:
                    self.cold[list(self.feeder.zones[zone].loads)] = self.feeder.cold_load_factor
                self._dead_since[zone] = NEVER
            elif not on and since == NEVER:
                self._dead_since[zone] = now_us
        return risen

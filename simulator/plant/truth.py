"""The record of what really happened: zones live or dead and by whom, parallels, ratings, demand served.

Judged on poles that conduct and on phasors, never on what an auxiliary contact or an agent says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from scl.topology import Feeder
from simulator.plant.network import Solution

LIVE_PU = 0.2
OVERLOAD_MARGIN = 1.001


def zone_components(feeder: Feeder, joined: npt.NDArray[np.bool_]) -> tuple[list[int], list[int]]:
    """Component number of each zone with these devices joining, and the devices that close a loop."""
    parent = list(range(len(feeder.zones)))

    def root(zone: int) -> int:
        while parent[zone] != zone:
            zone = parent[zone]
        return zone

    loops = []
    for index in np.flatnonzero(joined).tolist():
        a, b = root(feeder.devices[index].zone_a), root(feeder.devices[index].zone_b)
        if a == b:
            loops.append(index)
        else:
            parent[max(a, b)] = min(a, b)
    return [root(z) for z in range(len(parent))], loops


class Observer:
    """Turns states into records of change."""

    def __init__(self, feeder: Feeder, nodes: dict[str, int], phase_voltage: float) -> None:
        self.feeder = feeder
        self._zone_nodes = [[nodes[n] for n in zone.nodes] for zone in feeder.zones]
        self._phase_voltage = phase_voltage
        self._last: dict[str, dict[str, Any]] = {}
        self.zones: tuple[dict[str, Any], ...] = ()
        self.demand: dict[str, Any] = {}

    def _changed(self, kind: str, now: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        before = self._last.get(kind, {})
        for name, details in now.items():
            if before.get(name) != details:
                yield kind, details
        for name in before.keys() - now.keys():
            yield kind + "_ended", before[name]
        self._last[kind] = now

    def observe(
        self,
        conducting: npt.NDArray[np.bool_],
        solution: Solution,
        sources_on: Sequence[bool],
        faulted: frozenset[int],
        blown: frozenset[int],
    ) -> list[tuple[str, dict[str, Any]]]:
        """(kind, details) of everything that is different from the state before."""
        feeder = self.feeder
        joined = np.asarray(conducting.any(axis=1))
        component, loops = zone_components(feeder, joined)
        feeding: dict[int, list[str]] = {}
        for source, on in zip(feeder.sources, sources_on, strict=True):
            if on:
                feeding.setdefault(component[source.zone], []).append(source.name)
        faulty = {component[z] for z in faulted}
        magnitude = np.abs(solution.node_v).max(axis=1)
        zones: dict[str, Any] = {}
        voltage: dict[str, Any] = {}
        for zone, nodes in zip(feeder.zones, self._zone_nodes, strict=True):
            sources = sorted(feeding.get(component[zone.index], []))
            live = bool(magnitude[nodes].max() > LIVE_PU * self._phase_voltage)
            zones[zone.name] = {
                "zone": zone.name, "sources": sources, "live": live, "faulted": zone.index in faulted,
            }  # fmt: skip
            least = float(np.abs(solution.node_v[nodes]).min()) / self._phase_voltage
            if sources and component[zone.index] not in faulty and least < feeder.min_voltage_pu:
                voltage[zone.name] = {"zone": zone.name, "v_pu": round(least, 4)}
        records = list(self._changed("zone", zones))
        records += self._changed(
            "parallel", {"+".join(v): {"sources": sorted(v)} for v in feeding.values() if len(v) > 1}
        )
        records += self._changed("loop", {feeder.devices[i].name: {"device": feeder.devices[i].name} for i in loops})
        records += self._changed("undervoltage", voltage)
        records += self._changed("over_rating", self._overloads(solution, component, faulty))
        self.zones = tuple(zones.values())
        self.demand = self._demand(zones, blown)
        records += self._changed("demand", {"demand": self.demand})
        return records

    def _overloads(self, solution: Solution, component: list[int], faulty: set[int]) -> dict[str, Any]:
        feeder = self.feeder
        over: dict[str, Any] = {}

        def note(name: str, amps: float, rating: float) -> None:
            if amps > rating * OVERLOAD_MARGIN:
                over[name] = {"element": name, "a": round(amps, 1), "rating_a": round(rating, 1)}

        section_a = np.maximum(np.abs(solution.section_a).max(axis=1), np.abs(solution.section_b).max(axis=1))
        for section, amps in zip(feeder.sections, section_a.tolist(), strict=True):
            if component[section.zone] not in faulty:
                note(section.name, amps, section.rating_a)
        for device, amps in zip(feeder.devices, np.abs(solution.device_a).max(axis=1).tolist(), strict=True):
            if component[device.zone_a] not in faulty and component[device.zone_b] not in faulty:
                note(device.name, amps, device.rated_current_a)
        for source, amps in zip(feeder.sources, np.abs(solution.source_a).max(axis=1).tolist(), strict=True):
            if component[source.zone] not in faulty:
                note(source.name, amps, source.rated_kva / (np.sqrt(3) * feeder.nominal_kv))
        return over

    def _demand(self, zones: dict[str, Any], blown: frozenset[int]) -> dict[str, Any]:
        served = total = 0.0
        customers = everyone = 0
        for index, load in enumerate(self.feeder.loads):
            zone = zones[self.feeder.zones[load.zone].name]
            total += load.p_kw
            everyone += load.customers
            if zone["sources"] and zone["live"] and index not in blown:
                served += load.p_kw
                customers += load.customers
        return {
            "served_kw": round(served, 3),
            "total_kw": round(total, 3),
            "customers": customers,
            "of_customers": everyone,
        }

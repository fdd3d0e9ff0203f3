"""From loose parts (devices, sections, loads with node names) to a :class:`~scl.topology.Feeder` with indices.

Both ways into the product end here, the drawing (``scl.describe``) and the SCD (``scl.derive``), so both number alike:
zones, devices, sections, sources, loads and DERs in alphabetical order of their names, nodes of a zone likewise.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from scl.topology import Der, Device, Feeder, Load, NeutralMode, Section, Source, Zone

T = TypeVar("T", Section, Source, Load, Der)

NOWHERE = -1
"""Zone index of a part that is not assembled yet."""


@dataclass(frozen=True, slots=True)
class Network:
    """What holds for the whole feeder."""

    name: str
    frequency_hz: float = 50.0
    nominal_kv: float = 10.0
    neutral: NeutralMode = NeutralMode.SOLID
    cold_load_factor: float = 1.0
    min_voltage_pu: float = 0.9
    neutral_resistance_ohm: float = 0.0


def assemble(
    network: Network,
    zone_of: Mapping[str, str],
    devices: Iterable[Device],
    sections: Iterable[Section] = (),
    sources: Iterable[Source] = (),
    loads: Iterable[Load] = (),
    ders: Iterable[Der] = (),
    busbars: Collection[str] = (),
) -> Feeder:
    """Number everything. ``zone_of``: node name to zone name; the parts' own zone indices are ignored and replaced."""
    names = sorted(set(zone_of.values()))
    index = {name: i for i, name in enumerate(names)}

    def at(node: str) -> int:
        return index[zone_of[node]]

    def placed(parts: Iterable[T]) -> tuple[T, ...]:
        return tuple(
            replace(part, zone=at(part.node_a if isinstance(part, Section) else part.node))
            for part in sorted(parts, key=lambda part: part.name)
        )

    all_devices = tuple(
        replace(device, zone_a=at(device.node_a), zone_b=at(device.node_b))
        for device in sorted(devices, key=lambda device: device.name)
    )
    all_sections, all_sources, all_loads, all_ders = placed(sections), placed(sources), placed(loads), placed(ders)

    def inside(parts: tuple[T, ...], zone: int) -> tuple[int, ...]:
        return tuple(i for i, part in enumerate(parts) if part.zone == zone)

    zones = tuple(
        Zone(
            index=i,
            name=name,
            nodes=tuple(sorted(node for node, zone in zone_of.items() if zone == name)),
            devices=tuple(k for k, device in enumerate(all_devices) if i in (device.zone_a, device.zone_b)),
            sections=inside(all_sections, i),
            loads=inside(all_loads, i),
            ders=inside(all_ders, i),
            sources=inside(all_sources, i),
            busbar=name in busbars,
        )
        for i, name in enumerate(names)
    )
    return Feeder(
        name=network.name,
        frequency_hz=network.frequency_hz,
        nominal_kv=network.nominal_kv,
        neutral=network.neutral,
        devices=all_devices,
        zones=zones,
        sections=all_sections,
        sources=all_sources,
        loads=all_loads,
        ders=all_ders,
        cold_load_factor=network.cold_load_factor,
        min_voltage_pu=network.min_voltage_pu,
        neutral_resistance_ohm=network.neutral_resistance_ohm,
    )


def unsupplied(feeder: Feeder) -> list[int]:
    """Zones that no source could reach even with every device closed."""
    reached = {source.zone for source in feeder.sources}
    frontier = list(reached)
    while frontier:
        zone = frontier.pop()
        for i in feeder.zones[zone].devices:
            device = feeder.devices[i]
            for other in (device.zone_a, device.zone_b):
                if other not in reached:
                    reached.add(other)
                    frontier.append(other)
    return [zone.index for zone in feeder.zones if zone.index not in reached]

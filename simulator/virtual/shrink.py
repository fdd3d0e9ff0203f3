"""From a broken scenario to a small one that breaks the same invariant: leave things out as long as it still breaks.

Tried in turn, until nothing more can go: happenings, faulty devices, chance on the bus, devices with all that hangs on
them, generators, fuses. What remains is what the fault needs; it is written as a scenario file that ``flisr simulate
--replay`` and ``flisr demo --scenario`` play.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from scl.topology import Feeder
from simulator.virtual.scenario import Faulty, Lan, Scenario
from simulator.virtual.world import World

Breaks = Callable[[Scenario], int | None]


def breaks(scenario: Scenario) -> int | None:
    """The invariant that a scenario breaks."""
    broken = World(scenario).run().broken
    return broken.invariant if broken else None


def without_device(feeder: Feeder, gone: int) -> Feeder | None:
    """The feeder with a device left out, and the zones beyond it that nothing feeds then; None if a source goes."""
    closed = [i for i, d in enumerate(feeder.devices) if i != gone and not d.normally_open]
    live = {s.zone for s in feeder.sources}
    queue = list(live)
    while queue:
        zone = queue.pop()
        for i in closed:
            d = feeder.devices[i]
            for near, far in ((d.zone_a, d.zone_b), (d.zone_b, d.zone_a)):
                if near == zone and far not in live:
                    live.add(far)
                    queue.append(far)
    devices = [i for i, d in enumerate(feeder.devices) if i != gone and d.zone_a in live and d.zone_b in live]
    zones = sorted(z for z in live if any(z in (feeder.devices[i].zone_a, feeder.devices[i].zone_b) for i in devices))
    if len(devices) < 2 or not any(s.zone in zones for s in feeder.sources):
        return None
    return _kept(feeder, devices, zones)


def _kept(feeder: Feeder, devices: list[int], zones: list[int]) -> Feeder:
    zone_at = {old: new for new, old in enumerate(zones)}
    device_at = {old: new for new, old in enumerate(devices)}
    sections = [i for i, s in enumerate(feeder.sections) if s.zone in zone_at]
    sources = [i for i, s in enumerate(feeder.sources) if s.zone in zone_at]
    loads = [i for i, item in enumerate(feeder.loads) if item.zone in zone_at]
    ders = [i for i, item in enumerate(feeder.ders) if item.zone in zone_at]
    return replace(
        feeder,
        device_index={},
        devices=tuple(
            replace(d, zone_a=zone_at[d.zone_a], zone_b=zone_at[d.zone_b])
            for d in (feeder.devices[i] for i in devices)
        ),
        zones=tuple(
            replace(
                feeder.zones[z],
                index=zone_at[z],
                devices=tuple(device_at[i] for i in feeder.zones[z].devices if i in device_at),
                sections=tuple(sections.index(i) for i in feeder.zones[z].sections),
                sources=tuple(sources.index(i) for i in feeder.zones[z].sources),
                loads=tuple(loads.index(i) for i in feeder.zones[z].loads),
                ders=tuple(ders.index(i) for i in feeder.zones[z].ders),
            )
            for z in zones
        ),
        sections=tuple(replace(feeder.sections[i], zone=zone_at[feeder.sections[i].zone]) for i in sections),
        sources=tuple(replace(feeder.sources[i], zone=zone_at[feeder.sources[i].zone]) for i in sources),
        loads=tuple(replace(feeder.loads[i], zone=zone_at[feeder.loads[i].zone]) for i in loads),
        ders=tuple(replace(feeder.ders[i], zone=zone_at[feeder.ders[i].zone]) for i in ders),
    )  # fmt: skip


def _named(scenario: Scenario, feeder: Feeder) -> Scenario:
    """The scenario on a smaller feeder: what names something that is gone goes as well."""
    names = {d.name for d in feeder.devices}
    zones = {z.name for z in feeder.zones}
    sources = {s.name for s in feeder.sources}
    kept = []
    for h in scenario.happenings:
        if (h.device and h.device not in names) or (h.zone and h.zone not in zones):
            continue
        if h.source and h.source not in sources:
            continue
        kept.append(replace(h, groups=tuple(tuple(n for n in group if n in names) for group in h.groups)))
    faulty = {n: f for n, f in scenario.faulty.items() if n in names}
    return replace(scenario, feeder=feeder, happenings=tuple(kept), faulty=faulty)


def _smaller(scenario: Scenario) -> Iterator[Scenario]:
    for i in range(len(scenario.happenings)):
        yield replace(scenario, happenings=scenario.happenings[:i] + scenario.happenings[i + 1 :])
    for name in scenario.faulty:
        yield replace(scenario, faulty={n: f for n, f in scenario.faulty.items() if n != name and f != Faulty()})
    lan = scenario.lan
    if lan.loss or lan.duplicate or lan.reorder:
        yield replace(scenario, lan=Lan(0.0, lan.delay_us, lan.jitter_us))
    feeder = scenario.feeder
    for index in reversed(range(len(feeder.devices))):
        less = without_device(feeder, index)
        if less is not None:
            yield _named(scenario, less)
    if feeder.ders:
        zones = tuple(replace(z, ders=()) for z in feeder.zones)
        yield replace(scenario, feeder=replace(feeder, ders=(), zones=zones, device_index={}))
    if any(item.fused for item in feeder.loads):
        loads = tuple(replace(item, fused=False) for item in feeder.loads)
        yield replace(scenario, feeder=replace(feeder, loads=loads, device_index={}))
    if feeder.cold_load_factor != 1.0:
        yield replace(scenario, feeder=replace(feeder, cold_load_factor=1.0, device_index={}))


def shrink(scenario: Scenario, test: Breaks = breaks, runs: int = 400) -> Scenario:
    """The smallest scenario found within so many runs that breaks the same invariant."""
    wanted = test(scenario)
    if wanted is None:
        return scenario
    progress = True
    while progress and runs > 0:
        progress = False
        for candidate in _smaller(scenario):
            runs -= 1
            if runs <= 0:
                break
            if test(candidate) == wanted:
                scenario, progress = candidate, True
                break
    return scenario

"""Random feeders: radial, ring or meshed by ties, breakers and load-break switches mixed, with and without generators.

All are within their ratings before the first event, and bolted faults are above pick-up everywhere (sections are short
beside the source impedance). Zones grow as trees from each source's busbar; ties join zones of different feeder heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import hypot
from random import Random

from scl.topology import (
    Der,
    DerKind,
    Device,
    DeviceKind,
    Feeder,
    Load,
    NeutralMode,
    Section,
    Source,
    Zone,
)

SHAPES = ("radial", "ring", "meshed")
HEAD_KVA = 6_000.0
"""No feeder head carries more in the normal state: 350 A, well below its pick-up."""


@dataclass(slots=True)
class _Branch:
    """A device to be: from a zone to a zone."""

    near: int
    far: int
    kind: DeviceKind
    tie: bool = False


@dataclass(slots=True)
class _Draft:
    """Zones and branches before they get their indices."""

    count: int
    source: dict[int, int]
    busbar: set[int]
    head: list[int]
    """Which feeder head each zone hangs on; -1 for busbars."""
    depth: list[int]
    branches: list[_Branch]


def random_feeder(rng: Random, switches: int, shape: str | None = None) -> Feeder:
    """A feeder with exactly ``switches`` devices (at least 3)."""
    shape = shape or rng.choice(SHAPES)
    draft = _grow(rng, max(switches, 3), shape)
    return _dress(rng, draft, shape)


def _grow(rng: Random, switches: int, shape: str) -> _Draft:
    sources = 1 if shape == "ring" or switches < 6 else rng.choice((2, 2, 3) if switches >= 9 else (2,))
    ties = {"radial": 1 if sources > 1 else 0, "ring": 1}.get(shape, 1 + max(1, switches // 8))
    ties = max(0, min(ties, switches - 2 * sources - 1))
    draft = _Draft(0, {}, set(), [], [], [])
    trees = switches - ties
    frontier: list[int] = []

    def zone(head: int, depth: int) -> int:
        draft.head.append(head)
        draft.depth.append(depth)
        draft.count += 1
        return draft.count - 1

    for index in range(sources):
        supply = zone(-1, 0)
        draft.source[supply] = index
        bus = supply
        if trees - (sources - index - 1) * 2 - len(draft.branches) >= 4 and rng.random() < 0.6:
            bus = zone(-1, 0)  # an infeed breaker between transformer and busbar
            draft.branches.append(_Branch(supply, bus, DeviceKind.BREAKER))
        draft.busbar.add(bus)
        frontier.append(bus)
    for bus in list(frontier):
        heads = 2 if sources == 1 else rng.choice((1, 1, 2))
        for _ in range(heads):
            if len(draft.branches) < trees:
                far = zone(len(draft.branches), 1)
                draft.branches.append(_Branch(bus, far, DeviceKind.BREAKER))
                frontier.append(far)
    while len(draft.branches) < trees:
        near = rng.choice([z for z in frontier if draft.head[z] >= 0])
        kind = DeviceKind.BREAKER if rng.random() < 0.45 else DeviceKind.LOAD_BREAK_SWITCH
        far = zone(draft.head[near], draft.depth[near] + 1)
        draft.branches.append(_Branch(near, far, kind))
        frontier.append(far)
        if rng.random() < 0.7:
            frontier.remove(near)  # mostly chains, now and then a branch
    pairs = [
        (a, b)
        for a in range(draft.count)
        for b in range(a + 1, draft.count)
        if draft.head[a] >= 0 and draft.head[b] >= 0 and (draft.head[a] != draft.head[b] or shape == "meshed")
    ]
    rng.shuffle(pairs)
    pairs.sort(key=lambda p: -(draft.depth[p[0]] + draft.depth[p[1]]) - 3 * (draft.head[p[0]] != draft.head[p[1]]))
    joined = {(b.near, b.far) for b in draft.branches}
    for a, b in pairs:
        if ties == 0:
            break
        if (a, b) not in joined and rng.random() < 0.7:
            kind = DeviceKind.BREAKER if rng.random() < 0.5 else DeviceKind.LOAD_BREAK_SWITCH
            draft.branches.append(_Branch(a, b, kind, tie=True))
            joined.add((a, b))
            ties -= 1
    while ties > 0:  # no pair left for a tie: one more stub instead, so that the count holds
        near = rng.choice([z for z in range(draft.count) if draft.head[z] >= 0])
        far = zone(draft.head[near], draft.depth[near] + 1)
        draft.branches.append(_Branch(near, far, DeviceKind.LOAD_BREAK_SWITCH))
        ties -= 1
    return draft


def _dress(rng: Random, draft: _Draft, shape: str) -> Feeder:
    kv = 10.0
    sections: list[Section] = []
    loads: list[Load] = []
    ders: list[Der] = []
    devices: list[Device] = []
    node: dict[tuple[int, int], str] = {}
    beside = _beside(draft)
    for zone in range(draft.count):
        bare = draft.head[zone] < 0
        before = len(sections)
        for index in beside[zone]:
            hub = f"z{zone:02d}"
            if bare or draft.branches[index].far == zone:
                node[index, zone] = hub  # fed at the hub; further devices at the end of a section
                continue
            node[index, zone] = f"z{zone:02d}d{index:02d}"
            sections.append(_section(rng, zone, hub, node[index, zone], len(sections)))
        if not bare and len(sections) == before:
            sections.append(_section(rng, zone, f"z{zone:02d}", f"z{zone:02d}e", len(sections)))
        if not bare:
            p = float(rng.randrange(100, 700, 50))
            priority = rng.choice((1, 2, 2, 3, 3, 3))
            hub = f"z{zone:02d}"
            loads.append(Load(f"LD{zone:02d}", hub, zone, p, round(p * 0.33, 3), rng.randrange(5, 400), priority))
            if rng.random() < 0.15:
                p = float(rng.randrange(50, 200, 50))
                loads.append(Load(f"LF{zone:02d}", hub, zone, p, round(p * 0.33, 3), 20, 3, fused=True))
            if rng.random() < 0.2:
                kind = rng.choice((DerKind.INVERTER, DerKind.MACHINE))
                kva = float(rng.randrange(100, 500, 100))
                ders.append(Der(f"G{zone:02d}", hub, zone, kind, kva, round(kva * rng.uniform(0.2, 1.0), 1)))
    through = _through(draft, loads)
    heaviest = max((through[z] for z in range(draft.count) if draft.head[z] >= 0), default=0.0)
    if heaviest > HEAD_KVA:  # long feeders carry smaller customers, not more current than pick-up allows
        share = HEAD_KVA / heaviest
        loads = [
            replace(load, p_kw=round(load.p_kw * share, 1), q_kvar=round(load.q_kvar * share, 1)) for load in loads
        ]
        through = _through(draft, loads)
    for index, branch in enumerate(draft.branches):
        breaker = branch.kind is DeviceKind.BREAKER
        name = f"{'T' if branch.tie else 'D'}{index:02d}"
        first = draft.head[branch.near] < 0
        infeed = first and draft.head[branch.far] < 0
        devices.append(
            Device(
                name=name,
                kind=branch.kind,
                node_a=node[index, branch.near],
                node_b=node[index, branch.far],
                zone_a=branch.near,
                zone_b=branch.far,
                normally_open=branch.tie,
                agent=f"{name}_AG",
                breaker_ied=f"{name}_BR",
                merging_unit=f"{name}_MU",
                rated_current_a=1250.0 if infeed else 630.0,
                breaking_current_a=20_000.0 if breaker else 630.0,
                opening_time_ms=45.0 if breaker else 60.0,
                closing_time_ms=60.0 if breaker else 80.0,
                phase_pickup_a=1200.0 if infeed else 800.0 if first else 600.0,
                earth_pickup_a=200.0 if infeed else 120.0,
            )
        )
    for supply in draft.source:  # a head must carry its own feeder before anything happens
        through[supply] = through.get(supply, 0.0)
    sources = tuple(
        Source(
            name=f"SRC{index + 1}",
            node=f"z{zone:02d}",
            zone=zone,
            r1_ohm=0.05,
            x1_ohm=round(rng.uniform(0.4, 0.6), 3),
            r0_ohm=0.06,
            x0_ohm=0.6,
            rated_kva=round(max(500.0, through[zone]) * rng.choice((1.05, 1.3, 1.6, 2.5, 4.0)), 1),
        )
        for zone, index in sorted(draft.source.items(), key=lambda item: item[1])
    )
    return _assemble(rng, draft, shape, kv, devices, sections, sources, loads, ders, through)


def _assemble(
    rng: Random,
    draft: _Draft,
    shape: str,
    kv: float,
    devices: list[Device],
    sections: list[Section],
    sources: tuple[Source, ...],
    loads: list[Load],
    ders: list[Der],
    through: dict[int, float],
) -> Feeder:
    order = sorted(range(len(devices)), key=lambda i: devices[i].name)
    ranked = {old: new for new, old in enumerate(order)}
    need = {zone: kva / (3**0.5 * kv) for zone, kva in through.items()}
    sections = [
        s if s.rating_a >= need.get(s.zone, 0.0) * 1.02 else _rated(s, need[s.zone] * rng.uniform(1.02, 2.0))
        for s in sections
    ]
    beside = _beside(draft)
    section_at, load_at, der_at, source_at = (
        _by_zone(draft.count, items) for items in (sections, loads, ders, sources)
    )
    zones = tuple(
        Zone(
            index=zone,
            name=f"Z{zone:02d}",
            nodes=tuple(
                sorted(
                    {n for i in section_at[zone] for n in (sections[i].node_a, sections[i].node_b)} | {f"z{zone:02d}"}
                )
            ),
            devices=tuple(sorted(ranked[i] for i in beside[zone])),
            sections=tuple(section_at[zone]),
            loads=tuple(load_at[zone]),
            ders=tuple(der_at[zone]),
            sources=tuple(source_at[zone]),
            busbar=zone in draft.busbar,
        )
        for zone in range(draft.count)
    )
    return Feeder(
        name=f"random-{shape}-{len(devices)}",
        frequency_hz=50.0,
        nominal_kv=kv,
        neutral=NeutralMode.SOLID,
        devices=tuple(devices[i] for i in order),
        zones=zones,
        sections=tuple(sections),
        sources=sources,
        loads=tuple(loads),
        ders=tuple(ders),
        cold_load_factor=rng.choice((1.0, 1.0, 1.2, 1.5)),
        min_voltage_pu=0.8,
    )


def _beside(draft: _Draft) -> list[list[int]]:
    """Per zone: the branches that end in it."""
    beside: list[list[int]] = [[] for _ in range(draft.count)]
    for index, branch in enumerate(draft.branches):
        beside[branch.near].append(index)
        beside[branch.far].append(index)
    return beside


def _by_zone(count: int, items: Sequence[Section | Load | Der | Source]) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in range(count)]
    for index, item in enumerate(items):
        found[item.zone].append(index)
    return found


def _section(rng: Random, zone: int, a: str, b: str, index: int) -> Section:
    km = rng.uniform(0.05, 0.2)
    return Section(
        f"S{index:03d}", a, b, zone, round(km * 1000, 1), round(0.16 * km, 4), round(0.12 * km, 4),
        round(0.32 * km, 4), round(0.4 * km, 4), rating_a=float(rng.choice((200, 300, 400, 400))),
    )  # fmt: skip


def _rated(section: Section, amps: float) -> Section:
    return replace(section, rating_a=round(amps, 1))


def _through(draft: _Draft, loads: list[Load]) -> dict[int, float]:
    """kVA of gross load that enters each zone in the normal state (generators counted as off: the worst case)."""
    kva = dict.fromkeys(range(draft.count), 0.0)
    for load in loads:
        kva[load.zone] += hypot(load.p_kw, load.q_kvar)
    above = {b.far: b.near for b in draft.branches if not b.tie}
    for zone in sorted(range(draft.count), key=lambda z: -draft.depth[z]):
        near = above.get(zone)
        if near is not None and draft.depth[zone] > 0:
            kva[near] += kva[zone]
    for zone in range(draft.count):  # an infeed's busbar (depth 0) to its source zone
        near = above.get(zone)
        if near is not None and draft.depth[zone] == 0:
            kva[near] += kva[zone]
    return kva

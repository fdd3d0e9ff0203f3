"""A feeder drawn in YAML: the start of everything, before there is an SCD.

The drawing names zones (with their sections, loads, DERs and sources) and the devices between them; ``read`` makes the
:class:`~scl.topology.Feeder`, ``scl.generate`` the SCD. The format is described in ``docs/reference/scl.md``.

The nodes of a zone are numbered 0, 1, 2 …; ``Z11.2`` is node 2 of zone Z11. Sections join consecutive nodes unless
``from`` and ``to`` say otherwise. A device end that names a zone only lies on its last node (side a) or on node 0
(side b).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from scl.assemble import NOWHERE, Network, assemble, unsupplied
from scl.block import Block, Document
from scl.ratings import feed_groups_of
from scl.topology import Der, DerKind, Device, DeviceKind, Feeder, Load, NeutralMode, Pickups, Range, Section, Source

NODES_MAX = 999
END = re.compile(r"([A-Za-z][A-Za-z0-9_]*)(?:\.([0-9]{1,3}))?")
LBS_DEFAULTS = {"breaking_current_a": 630.0, "opening_time_ms": 60.0, "closing_time_ms": 80.0}


@dataclass(frozen=True, slots=True)
class Drawing:
    """The feeder and what only the SCD's Substation section wants to know."""

    feeder: Feeder
    substations: dict[str, str]
    """Zone name to substation name, for the zones that lie inside a substation."""


@dataclass(frozen=True, slots=True)
class _LineType:
    r1: float
    x1: float
    r0: float
    x0: float
    c1: float
    c0: float
    rating_a: float


def read(path: str | Path) -> Feeder:
    """The feeder of a drawing. SclError with every finding (file, line, key) if it makes no sense."""
    return load(path).feeder


def load(path: str | Path) -> Drawing:
    """The drawing with its substation names."""
    document = Document(path)
    drawing = _Reader(document).drawing(document.root())
    document.finish()
    if drawing is None:
        raise AssertionError("a drawing without findings is complete")
    return drawing


class _Reader:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.line_types: dict[str, _LineType] = {}
        self.zone_of: dict[str, str] = {}
        self.last_node: dict[str, int] = {}
        self.zone_line: dict[str, int] = {}
        self.busbars: set[str] = set()
        self.substations: dict[str, str] = {}
        self.sections: list[Section] = []
        self.sources: list[Source] = []
        self.loads: list[Load] = []
        self.ders: list[Der] = []
        self.taken: dict[str, int] = {}

    def drawing(self, root: Block) -> Drawing | None:
        network = Network(
            name=root.name("name"),
            frequency_hz=root.number("frequency_hz", 50.0, 45.0, 65.0),
            nominal_kv=root.number("nominal_kv", None, 0.4, 72.5),
            neutral=root.choice("neutral", NeutralMode, NeutralMode.SOLID),
            cold_load_factor=root.number("cold_load_factor", 1.0, 1.0, 10.0),
            min_voltage_pu=root.number("min_voltage_pu", 0.9, 0.5, 1.0),
            neutral_resistance_ohm=root.number("neutral_resistance_ohm", 0.0, 0.0, 1e5),
        )
        if network.neutral is NeutralMode.RESISTANCE and network.neutral_resistance_ohm == 0.0:
            root.wrong("neutral", "bad-choice", "a neutral earthed by resistance needs neutral_resistance_ohm")
        for name, block in root.blocks("line_types"):
            self.line_types[name] = self._line_type(block)
        types = {name: self._device(block, name) for name, block in root.blocks("device_types")}
        for name, block in root.blocks("zones", required=True):
            self._zone(name, block, network.nominal_kv)
        devices = [self._placed_device(name, block, types) for name, block in root.blocks("devices", required=True)]
        root.done()
        self._unique_ieds(devices)
        if self.document.problems:
            return None
        feeder = assemble(
            network, self.zone_of, devices, self.sections, self.sources, self.loads, self.ders, self.busbars
        )
        self._judge(feeder)
        return Drawing(feeder, self.substations)

    def _judge(self, feeder: Feeder) -> None:
        for zone in feeder.zones:
            if not zone.devices:
                self._zone_wrong(zone.name, "zone-without-boundary", "no device bounds this zone")
        for i in unsupplied(feeder):
            self._zone_wrong(feeder.zones[i].name, "zone-without-source", "no source reaches this zone by any device")

    def _zone_wrong(self, zone: str, code: str, message: str) -> None:
        self.document.add(self.zone_line[zone], code, f"zones.{zone}: {message}")

    def _claim(self, name: str, block: Block) -> None:
        """Names of equipment are unique in the whole drawing: they are names in the SCD and keys of the ratings."""
        if name in self.taken:
            self.document.add(
                block.line, "duplicate-name", f"{block.where}: {name} is already used in line {self.taken[name]}"
            )
        self.taken.setdefault(name, block.line)

    def _line_type(self, block: Block) -> _LineType:
        r1, x1 = block.number("r1_ohm_per_km"), block.number("x1_ohm_per_km")
        line_type = _LineType(
            r1=r1,
            x1=x1,
            r0=block.number("r0_ohm_per_km", 3.0 * r1),
            x0=block.number("x0_ohm_per_km", 3.0 * x1),
            c1=(c1 := block.number("c1_uf_per_km", 0.0)),
            c0=block.number("c0_uf_per_km", c1),
            rating_a=block.number("rating_a", 400.0, 1.0),
        )
        block.done()
        return line_type

    def _zone(self, name: str, block: Block, nominal_kv: float) -> None:
        if "/" in name:
            return
        self.zone_line[name] = block.line
        substation = block.name("substation", "")
        if substation:
            self.substations[name] = substation
        first = len(self.sections)
        links: list[tuple[int, int]] = []
        for number, row in enumerate(block.rows("sections"), 1):
            links.append(self._section(name, number, row))
        last = max((node for link in links for node in link), default=0)
        self.last_node[name] = last
        for number in range(last + 1):
            self.zone_of[f"{name}.{number}"] = name
        if block.flag("busbar", False):
            self.busbars.add(name)
            if links:
                block.wrong("busbar", "busbar-with-sections", "a busbar has no sections")
        if len(self.sections) > first and not _connected(links, last):
            block.wrong("sections", "zone-in-pieces", "the sections leave some of the zone's nodes unconnected")
        if substation and links:
            block.wrong("substation", "bad-choice", "a zone with line sections lies between substations, not in one")
        parts: tuple[tuple[str, Callable[[str, str, Block], None]], ...] = (
            ("sources", lambda part, node, row: self._source(part, node, row, nominal_kv)),
            ("loads", self._load),
            ("ders", self._der),
        )
        for key, add in parts:
            for part, row in block.blocks(key):
                self._claim(part, row)
                at = row.integer("at", 0, 0, NODES_MAX)
                if at > last:
                    row.wrong("at", "no-such-node", f"zone {name} has nodes 0 to {last}, not {at}")
                    at = last
                add(part, f"{name}.{at}", row)
                row.done()
        if not substation and any(source.node.startswith(f"{name}.") for source in self.sources):
            block.wrong("sources", "missing-key", "a zone with a source needs the name of its substation")
        if name in self.busbars and not substation:
            block.wrong("busbar", "missing-key", "a busbar needs the name of its substation")
        block.done()

    def _section(self, zone: str, number: int, row: Block) -> tuple[int, int]:
        name = row.name("name", f"{zone}_S{number}")
        self._claim(name, row)
        kind = row.text("type")
        line_type = self.line_types.get(kind)
        if line_type is None:
            if kind:
                row.wrong("type", "unknown-type", f"no line type '{kind}' among line_types")
            line_type = _LineType(0, 0, 0, 0, 0, 0, 400)
        km = row.number("km", None, 0.001, 500.0)
        start = row.integer("from", number - 1, 0, NODES_MAX)
        end = row.integer("to", start + 1, 0, NODES_MAX)
        if start == end:
            row.wrong("to", "section-to-itself", f"the section's two ends are both node {end}")
        self.sections.append(
            Section(
                name=name,
                node_a=f"{zone}.{start}",
                node_b=f"{zone}.{end}",
                zone=NOWHERE,
                length_m=_rounded(1000.0 * km),
                r1_ohm=_rounded(km * line_type.r1),
                x1_ohm=_rounded(km * line_type.x1),
                r0_ohm=_rounded(km * line_type.r0),
                x0_ohm=_rounded(km * line_type.x0),
                c1_uf=_rounded(km * line_type.c1),
                c0_uf=_rounded(km * line_type.c0),
                rating_a=row.number("rating_a", line_type.rating_a, 1.0),
            )
        )
        row.done()
        return start, end

    def _source(self, name: str, node: str, row: Block, nominal_kv: float) -> None:
        if "short_circuit_mva" in row:
            impedance = nominal_kv**2 / row.number("short_circuit_mva", None, 0.1)
            ratio = row.number("x_to_r", 10.0, 0.0, 1000.0)
            r1 = impedance / math.hypot(1.0, ratio)
            x1 = r1 * ratio
            zero = row.number("z0_to_z1", 1.0, 0.0, 1000.0)
            r0, x0 = r1 * zero, x1 * zero
        else:
            r1, x1 = row.number("r1_ohm"), row.number("x1_ohm")
            r0, x0 = row.number("r0_ohm", r1), row.number("x0_ohm", x1)
            if r1 == x1 == 0.0:
                row.wrong("r1_ohm", "out-of-range", "a source without impedance has an infinite fault current")
        self.sources.append(
            Source(
                name=name,
                node=node,
                zone=NOWHERE,
                r1_ohm=_rounded(r1),
                x1_ohm=_rounded(x1),
                r0_ohm=_rounded(r0),
                x0_ohm=_rounded(x0),
                rated_kva=row.number("rated_kva", None, 1.0),
                voltage_pu=row.number("voltage_pu", 1.0, 0.5, 1.5),
                angle_deg=row.number("angle_deg", 0.0, -360.0, 360.0),
            )
        )

    def _load(self, name: str, node: str, row: Block) -> None:
        p_kw = row.number("p_kw")
        if "pf" in row:
            pf = row.number("pf", None, 0.01, 1.0)
            q_kvar = _rounded(p_kw * math.tan(math.acos(pf)))
        else:
            q_kvar = row.number("q_kvar", 0.0, -1e9)
        self.loads.append(
            Load(
                name=name,
                node=node,
                zone=NOWHERE,
                p_kw=p_kw,
                q_kvar=q_kvar,
                customers=row.integer("customers", 0),
                priority=row.integer("priority", 3, 1, 9),
                fused=row.flag("fused", False),
            )
        )

    def _der(self, name: str, node: str, row: Block) -> None:
        self.ders.append(
            Der(
                name=name,
                node=node,
                zone=NOWHERE,
                kind=row.choice("kind", DerKind),
                rated_kva=(rated := row.number("rated_kva", None, 0.1)),
                p_kw=row.number("p_kw", 0.0, 0.0, rated),
                q_kvar=row.number("q_kvar", 0.0, -rated, rated),
                trip_time_ms=row.number("trip_time_ms", 150.0, 0.0, 60_000.0),
            )
        )

    def _placed_device(self, name: str, block: Block, types: dict[str, Device]) -> Device:
        self._claim(name, block)
        base = None
        if "type" in block:
            kind = block.text("type")
            base = types.get(kind)
            if base is None:
                block.wrong("type", "unknown-type", f"no device type '{kind}' among device_types")
        node_a, node_b = self._end(block, "a", last=True), self._end(block, "b", last=False)
        zone_a, zone_b = self.zone_of.get(node_a), self.zone_of.get(node_b)
        if zone_a is not None and zone_a == zone_b:
            self.document.add(block.line, "device-in-one-zone", f"{block.where}: both sides lie in zone {zone_a}")
        return replace(self._device(block, name, base), node_a=node_a, node_b=node_b)

    def _end(self, block: Block, key: str, last: bool) -> str:
        text = block.text(key)
        match = END.fullmatch(text)
        if not match or match[1] not in self.last_node:
            if text:
                block.wrong(key, "no-such-zone", f"no zone '{text}'")
            return ""
        zone, number = match[1], match[2]
        node = f"{zone}.{int(number) if number is not None else self.last_node[zone] if last else 0}"
        if node not in self.zone_of:
            block.wrong(key, "no-such-node", f"zone {zone} has nodes 0 to {self.last_node[zone]}, not {number}")
            return ""
        return node

    def _device(self, block: Block, name: str, base: Device | None = None) -> Device:
        """A device or a device type; every key may stand in the type and be overridden by the device."""
        kind = block.choice("kind", DeviceKind, base.kind if base else None)
        blank = Device(name, kind, "", "", NOWHERE, NOWHERE, False, "", "", None)
        if base is not None:
            blank = base
        elif kind is DeviceKind.LOAD_BREAK_SWITCH:
            blank = replace(blank, **LBS_DEFAULTS)  # type: ignore[arg-type]
        conventional = base is not None and base.merging_unit is None
        unit = block.name("merging_unit", "none" if conventional else f"{name}_MU")
        device = Device(
            name=name,
            kind=kind,
            node_a="",
            node_b="",
            zone_a=NOWHERE,
            zone_b=NOWHERE,
            normally_open=block.flag("normally_open", blank.normally_open),
            agent=block.name("agent", f"{name}_AG"),
            breaker_ied=block.name("breaker_ied", f"{name}_BR"),
            merging_unit=None if unit == "none" else unit,
            rated_current_a=block.number("rated_current_a", blank.rated_current_a, 1.0),
            breaking_current_a=block.number("breaking_current_a", blank.breaking_current_a),
            opening_time_ms=block.number("opening_time_ms", blank.opening_time_ms, 0.0, 10_000.0),
            closing_time_ms=block.number("closing_time_ms", blank.closing_time_ms, 0.0, 10_000.0),
            phase_pickup_a=block.number("phase_pickup_a", blank.phase_pickup_a, 0.1),
            earth_pickup_a=block.number("earth_pickup_a", blank.earth_pickup_a, 0.1),
            reclose_dead_times_ms=block.numbers("reclose_dead_times_ms", blank.reclose_dead_times_ms, 1.0, 600_000.0),
            allow_parallel=block.flag("allow_parallel", blank.allow_parallel),
            phase_pickup_range_a=_range(block, "phase_pickup_range_a", blank.phase_pickup_range_a),
            earth_pickup_range_a=_range(block, "earth_pickup_range_a", blank.earth_pickup_range_a),
        )
        device = replace(device, more_groups=_more_groups(block, device, blank.more_groups))
        device = replace(device, feed_groups=feed_groups_of(block, device, blank.feed_groups))
        _within(block, device)
        block.done()
        return device

    def _unique_ieds(self, devices: list[Device]) -> None:
        seen: dict[str, str] = {}
        for device in devices:
            for ied in (device.agent, device.breaker_ied, device.merging_unit):
                if ied is not None and seen.setdefault(ied, device.name) != device.name:
                    line = self.taken.get(device.name, 0)
                    self.document.add(
                        line, "duplicate-name", f"devices.{device.name}: IED {ied} belongs to {seen[ied]}, too"
                    )


def _more_groups(block: Block, device: Device, default: tuple[Pickups, ...]) -> tuple[Pickups, ...]:
    if "setting_groups" not in block:
        return default
    groups = []
    for row in block.rows("setting_groups"):
        phase_a = row.number("phase_pickup_a", device.phase_pickup_a, 0.1)
        groups.append(Pickups(phase_a, row.number("earth_pickup_a", device.earth_pickup_a, 0.1)))
        row.done()
    return tuple(groups)


def _range(block: Block, key: str, default: Range | None) -> Range | None:
    limits = block.numbers(key, default or (), 0.1)
    if not limits:
        return None
    if len(limits) != 2 or limits[0] > limits[1]:
        block.wrong(key, "bad-choice", "expected two numbers, the least and the greatest value that a client may set")
        return None
    return limits[0], limits[1]


def _within(block: Block, device: Device) -> None:
    for number, group in enumerate(device.groups, 1):
        for value, limits, kind in (
            (group.phase_a, device.phase_pickup_range_a, "phase"),
            (group.earth_a, device.earth_pickup_range_a, "earth"),
        ):
            if limits is not None and not limits[0] <= value <= limits[1]:
                text = f"setting group {number} has {value:g} A, outside {limits[0]:g} to {limits[1]:g} A"
                block.wrong(f"{kind}_pickup_range_a", "out-of-range", text)


def _connected(links: list[tuple[int, int]], last: int) -> bool:
    reached, frontier = {0}, [0]
    while frontier:
        node = frontier.pop()
        for a, b in links:
            for here, there in ((a, b), (b, a)):
                if here == node and there not in reached:
                    reached.add(there)
                    frontier.append(there)
    return len(reached) == last + 1


def _rounded(value: float) -> float:
    """Nine significant digits: what a drawing computes is what a ratings file can hold in print."""
    return float(f"{value:.9g}")

"""The ratings file: what IEC 61850-6 has no place for (impedances, ratings, loads, normal positions), one YAML file.

Keyed by the names in the SCD. Values that do have a place there (nominal voltage, frequency, pick-up settings in
PTOC.StrVal, kind of switch, kind of DER) are not repeated, so nothing can contradict.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import yaml

from scl.assemble import Network
from scl.block import Block, Document
from scl.topology import Der, Device, Feeder, Load, NeutralMode, Section, Source

DEVICE_NUMBERS = ("rated_current_a", "breaking_current_a", "opening_time_ms", "closing_time_ms")
SECTION_NUMBERS = ("length_m", "r1_ohm", "x1_ohm", "r0_ohm", "x0_ohm", "c1_uf", "c0_uf", "rating_a")
SOURCE_NUMBERS = ("r1_ohm", "x1_ohm", "r0_ohm", "x0_ohm", "rated_kva", "voltage_pu", "angle_deg")
NETWORK_NUMBERS = ("cold_load_factor", "min_voltage_pu", "neutral_resistance_ohm")

P = TypeVar("P", Device, Section, Source, Load, Der)


def feed_groups_of(block: Block, device: Device, default: tuple[int, int] | None) -> tuple[int, int] | None:
    """``feed_groups: [1, 2]``: the setting group while fed from side A, and from side B."""
    numbers = block.numbers("feed_groups", default or (), 1, len(device.groups))
    if not numbers:
        return None
    if len(numbers) != 2 or any(number != int(number) for number in numbers):
        block.wrong("feed_groups", "bad-choice", "expected two numbers of setting groups: fed from side a, from side b")
        return None
    return int(numbers[0]), int(numbers[1])


def write_ratings(feeder: Feeder) -> str:
    """The ratings of a feeder as YAML."""

    def numbers(part: object, names: tuple[str, ...]) -> dict[str, Any]:
        return {name: getattr(part, name) for name in names}

    document: dict[str, Any] = {"neutral": feeder.neutral.value, **numbers(feeder, NETWORK_NUMBERS)}
    document["devices"] = {
        device.name: {
            "normally_open": device.normally_open,
            **numbers(device, DEVICE_NUMBERS),
            "reclose_dead_times_ms": list(device.reclose_dead_times_ms),
            "allow_parallel": device.allow_parallel,
            **({} if device.feed_groups is None else {"feed_groups": list(device.feed_groups)}),
        }
        for device in feeder.devices
    }
    document["sections"] = {section.name: numbers(section, SECTION_NUMBERS) for section in feeder.sections}
    document["sources"] = {source.name: numbers(source, SOURCE_NUMBERS) for source in feeder.sources}
    document["loads"] = {
        load.name: numbers(load, ("p_kw", "q_kvar", "customers", "priority", "fused")) for load in feeder.loads
    }
    document["ders"] = {der.name: numbers(der, ("rated_kva", "p_kw", "q_kvar", "trip_time_ms")) for der in feeder.ders}
    head = "# Ratings of what the SCD of the same name describes; keys are its equipment names.\n"
    return head + yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


@dataclass
class Ratings:
    """A ratings file that is applied to equipment by name; remembers which entries were used."""

    document: Document
    root: Block
    network: Network
    _groups: dict[str, dict[str, Block]] = field(default_factory=dict)

    @classmethod
    def read(cls, document: Document, network: Network) -> Ratings:
        """Open the file; findings go into ``document``. ``network`` brings what the SCD said."""
        root = document.root()
        network = replace(
            network,
            neutral=root.choice("neutral", NeutralMode, NeutralMode.SOLID),
            cold_load_factor=root.number("cold_load_factor", 1.0, 1.0, 10.0),
            min_voltage_pu=root.number("min_voltage_pu", 0.9, 0.5, 1.0),
            neutral_resistance_ohm=root.number("neutral_resistance_ohm", 0.0, 0.0, 1e5),
        )
        ratings = cls(document, root, network)
        for group in ("devices", "sections", "sources", "loads", "ders"):
            ratings._groups[group] = dict(root.blocks(group))
        root.done()
        return ratings

    def _take(self, group: str, name: str) -> Block | None:
        block = self._groups[group].pop(name, None)
        if block is None:
            line = self.root.line_of(group)
            self.document.add(line, "rating-missing", f"{group}.{name}: no ratings for this equipment of the SCD")
        return block

    def finish(self) -> None:
        """Note every entry that names nothing in the SCD."""
        for group, left in self._groups.items():
            for name, block in left.items():
                self.document.add(block.line, "rating-of-nothing", f"{group}.{name}: no such equipment in the SCD")

    def device(self, device: Device) -> Device:
        """The device with its ratings."""
        block = self._take("devices", device.name)
        if block is None:
            return device
        rated = replace(
            device,
            normally_open=block.flag("normally_open", False),
            rated_current_a=block.number("rated_current_a", device.rated_current_a, 1.0),
            breaking_current_a=block.number("breaking_current_a", device.breaking_current_a),
            opening_time_ms=block.number("opening_time_ms", device.opening_time_ms, 0.0, 10_000.0),
            closing_time_ms=block.number("closing_time_ms", device.closing_time_ms, 0.0, 10_000.0),
            reclose_dead_times_ms=block.numbers("reclose_dead_times_ms", (), 1.0, 600_000.0),
            allow_parallel=block.flag("allow_parallel", False),
            feed_groups=feed_groups_of(block, device, None),
        )
        block.done()
        return rated

    def section(self, section: Section) -> Section:
        """The section with its impedances and rating."""
        block = self._take("sections", section.name)
        if block is None:
            return section
        r1, x1 = block.number("r1_ohm"), block.number("x1_ohm")
        rated = replace(
            section,
            length_m=block.number("length_m", None, 0.1),
            r1_ohm=r1,
            x1_ohm=x1,
            r0_ohm=block.number("r0_ohm", 3.0 * r1),
            x0_ohm=block.number("x0_ohm", 3.0 * x1),
            c1_uf=block.number("c1_uf", 0.0),
            c0_uf=block.number("c0_uf", 0.0),
            rating_a=block.number("rating_a", None, 1.0),
        )
        block.done()
        return rated

    def source(self, source: Source) -> Source:
        """The source with its Thévenin impedance."""
        block = self._take("sources", source.name)
        if block is None:
            return source
        r1, x1 = block.number("r1_ohm"), block.number("x1_ohm")
        rated = replace(
            source,
            r1_ohm=r1,
            x1_ohm=x1,
            r0_ohm=block.number("r0_ohm", r1),
            x0_ohm=block.number("x0_ohm", x1),
            rated_kva=block.number("rated_kva", None, 1.0),
            voltage_pu=block.number("voltage_pu", 1.0, 0.5, 1.5),
            angle_deg=block.number("angle_deg", 0.0, -360.0, 360.0),
        )
        block.done()
        return rated

    def load(self, load: Load) -> Load:
        """The load with its demand and priority."""
        block = self._take("loads", load.name)
        if block is None:
            return load
        rated = replace(
            load,
            p_kw=block.number("p_kw"),
            q_kvar=block.number("q_kvar", 0.0, -1e9),
            customers=block.integer("customers", 0),
            priority=block.integer("priority", 3, 1, 9),
            fused=block.flag("fused", False),
        )
        block.done()
        return rated

    def der(self, der: Der) -> Der:
        """The generator with its rating and output."""
        block = self._take("ders", der.name)
        if block is None:
            return der
        rated_kva = block.number("rated_kva", None, 0.1)
        rated = replace(
            der,
            rated_kva=rated_kva,
            p_kw=block.number("p_kw", 0.0, 0.0, rated_kva),
            q_kvar=block.number("q_kvar", 0.0, -rated_kva, rated_kva),
            trip_time_ms=block.number("trip_time_ms", 150.0, 0.0, 60_000.0),
        )
        block.done()
        return rated

"""The primary part of the SCD: substations with bays, transformers and switches, lines between them, LNode links.

How the feeder maps on IEC 61850-6 Ed. 2.1 clause 9.2:

- a zone with sections is a ``Line`` of the zone's name; its sections are CAB equipment, its nodes connectivity nodes;
- a busbar zone is a ``Bay`` with a connectivity node and no equipment; other zones in a station are a ``Bay``, too;
- a device is a ``Bay`` with CBR (breaker) or DIS (load-break switch, XSWI.SwTyp ``Load Break``), CTR and VTR; side A is
  its first ``Terminal``, where the VTR is connected as well; outside a station it has a substation of its own;
- a source is a ``PowerTransformer``, its second winding on the zone's node, fed by an IFL at voltage level ``HV``;
- a machine is GEN, an inverter CON, customers ELOAD (an extension type, as the schema provides).
"""

from __future__ import annotations

from collections import defaultdict

from lxml import etree

from scl import flisr_dataset as ds
from scl.describe import Drawing
from scl.elements import sub
from scl.topology import Der, DerKind, Device, DeviceKind, Feeder, Load, Source, Zone

LEVEL, HIGH_LEVEL = "MV", "HV"
LOAD, MACHINE, INVERTER = "ELOAD", "GEN", "CON"
PHASES = ("A", "B", "C", "N")

Places = dict[str, dict[str, str]]
"""Node name to the attributes of a Terminal that names it."""


def write_substations(root: etree._Element, drawing: Drawing) -> Places:
    """Append the substations; returns the places of all nodes, for the lines."""
    return _Primary(drawing).substations(root)


def write_lines(root: etree._Element, drawing: Drawing, places: Places) -> None:
    """Append a Line for each zone that is one."""
    feeder = drawing.feeder
    for zone in feeder.zones:
        if not is_line(feeder, zone):
            continue
        line = sub(root, "Line", name=zone.name, nomFreq=repr(feeder.frequency_hz), numPhases=3)
        _voltage(line, feeder)
        for i in zone.sections:
            section = feeder.sections[i]
            equipment = sub(line, "ConductingEquipment", name=section.name, type_="CAB")
            _terminal(equipment, "A", places[section.node_a])
            _terminal(equipment, "B", places[section.node_b])
        _one_terminal_equipment(line, feeder, zone, places)
        for node in zone.nodes:
            sub(line, "ConnectivityNode", name=node, pathName=f"{zone.name}/{node}")


def is_line(feeder: Feeder, zone: Zone) -> bool:
    """True if the zone is written as a Line: it has sections, or it is no busbar and has customers but no source."""
    return bool(zone.sections) or (not zone.busbar and not zone.sources and bool(zone.loads or zone.ders))


class _Primary:
    def __init__(self, drawing: Drawing) -> None:
        self.feeder = drawing.feeder
        self.named = drawing.substations
        self.taken = {zone.name for zone in self.feeder.zones if is_line(self.feeder, zone)}
        self.stations: dict[str, str] = {}
        self.places: Places = {}
        self.bays: dict[str, dict[str, list[Zone | Device | Source]]] = defaultdict(lambda: defaultdict(list))

    def substations(self, root: etree._Element) -> Places:
        feeder = self.feeder
        in_bay = [zone for zone in feeder.zones if not is_line(feeder, zone)]
        for zone in in_bay:
            self.bays[self._station_of_zone(zone)][zone.name].append(zone)
        for device in feeder.devices:
            self.bays[self._station_of_device(device)][device.name].append(device)
        for zone in feeder.zones:
            for i in zone.sources:
                self._place_source(feeder.sources[i], zone)
        for zone in feeder.zones:
            self._place_nodes(zone)
        for name, bays in sorted(self.bays.items()):
            self._substation(root, name, bays)
        return self.places

    # --- where things are --------------------------------------------------------------------------------------------

    def _station_of_zone(self, zone: Zone) -> str:
        """The drawing's substation; else one for all zones in bays that devices join."""
        if zone.name not in self.stations:
            group, frontier = {zone.index}, [zone]
            while frontier:
                here = frontier.pop()
                for i in here.devices:
                    for other in (self.feeder.devices[i].zone_a, self.feeder.devices[i].zone_b):
                        there = self.feeder.zones[other]
                        if other not in group and not is_line(self.feeder, there) and there.name not in self.named:
                            group.add(other)
                            frontier.append(there)
            name = self.named.get(zone.name) or f"SS_{min(self.feeder.zones[i].name for i in group)}"
            self.stations[zone.name] = self._free(name)
        return self.stations[zone.name]

    def _free(self, name: str) -> str:
        """Substations and lines share one name space."""
        while name in self.taken:
            name += "_"
        return name

    def _station_of_device(self, device: Device) -> str:
        for index in (device.zone_a, device.zone_b):
            zone = self.feeder.zones[index]
            if not is_line(self.feeder, zone):
                return self._station_of_zone(zone)
        name = device.name
        while name in self.taken or name in self.named.values() or name in self.bays:
            name += "_"
        return name

    def _bay_name(self, station: str, wished: str) -> str:
        while wished in self.bays[station]:
            wished += "_"
        return wished

    def _place_source(self, source: Source, zone: Zone) -> None:
        if is_line(self.feeder, zone):
            station = self._free(f"SS_{source.name}")
        else:
            station = self._station_of_zone(zone)
            if not zone.busbar:
                self.bays[station][zone.name].append(source)
                return
        self.bays[station][self._bay_name(station, f"{source.name}_infeed")].append(source)

    def _place_nodes(self, zone: Zone) -> None:
        if is_line(self.feeder, zone):
            for node in zone.nodes:
                self.places[node] = {
                    "connectivityNode": f"{zone.name}/{node}", "lineName": zone.name, "cNodeName": node,
                }  # fmt: skip
            return
        station = self._station_of_zone(zone)
        for node in zone.nodes:
            self.places[node] = {
                "connectivityNode": f"{station}/{LEVEL}/{zone.name}/{node}",
                "substationName": station, "voltageLevelName": LEVEL, "bayName": zone.name, "cNodeName": node,
            }  # fmt: skip

    # --- writing -----------------------------------------------------------------------------------------------------

    def _substation(self, root: etree._Element, name: str, bays: dict[str, list[Zone | Device | Source]]) -> None:
        substation = sub(root, "Substation", name=name)
        sources = [part for parts in bays.values() for part in parts if isinstance(part, Source)]
        if sources:
            high = sub(substation, "VoltageLevel", name=HIGH_LEVEL, nomFreq=repr(self.feeder.frequency_hz), numPhases=3)
            for source in sources:
                self._infeed(high, name, source)
        level = sub(substation, "VoltageLevel", name=LEVEL, nomFreq=repr(self.feeder.frequency_hz), numPhases=3)
        _voltage(level, self.feeder)
        for bay_name, parts in sorted(bays.items()):
            bay = sub(level, "Bay", name=bay_name)
            for part in parts:
                if isinstance(part, Source):
                    self._transformer(bay, name, part)
            for part in parts:
                if isinstance(part, Device):
                    self._device(bay, part)
            for part in parts:
                if isinstance(part, Zone):
                    for node in part.nodes:
                        path = self.places[node]["connectivityNode"]
                        sub(bay, "ConnectivityNode", name=node, pathName=path)
        for zone in [part for parts in list(bays.values()) for part in parts if isinstance(part, Zone)]:
            if zone.loads or zone.ders:
                bay = sub(level, "Bay", name=self._bay_name(name, f"{zone.name}_customers"))
                _one_terminal_equipment(bay, self.feeder, zone, self.places)

    def _high_node(self, station: str, source: Source) -> dict[str, str]:
        node = f"{source.name}.HV"
        return {
            "connectivityNode": f"{station}/{HIGH_LEVEL}/{source.name}/{node}",
            "substationName": station, "voltageLevelName": HIGH_LEVEL, "bayName": source.name, "cNodeName": node,
        }  # fmt: skip

    def _infeed(self, level: etree._Element, station: str, source: Source) -> None:
        bay = sub(level, "Bay", name=source.name)
        place = self._high_node(station, source)
        equipment = sub(bay, "ConductingEquipment", name="IFL", type_="IFL")
        _terminal(equipment, "A", place)
        sub(bay, "ConnectivityNode", name=place["cNodeName"], pathName=place["connectivityNode"])

    def _transformer(self, bay: etree._Element, station: str, source: Source) -> None:
        transformer = sub(bay, "PowerTransformer", name=source.name, type_="PTR")
        high = sub(transformer, "TransformerWinding", name="W1", type_="PTW")
        _terminal(high, "A", self._high_node(station, source))
        low = sub(transformer, "TransformerWinding", name="W2", type_="PTW")
        _terminal(low, "A", self.places[source.node])

    def _device(self, bay: etree._Element, device: Device) -> None:
        breaker = device.kind is DeviceKind.BREAKER
        switch = sub(bay, "ConductingEquipment", name=device.name, type_="CBR" if breaker else "DIS")
        ln_class = "XCBR" if breaker else "XSWI"
        sub(switch, "LNode", iedName=device.breaker_ied, ldInst=ds.BREAKER_LD, lnClass=ln_class, lnInst=1)
        for name in ("CSWI", "CILO", "PTRC"):
            sub(switch, "LNode", iedName=device.agent, ldInst=ds.AGENT_LD, lnClass=name, lnInst=1)
        for inst in (1, 2):
            sub(switch, "LNode", iedName=device.agent, ldInst=ds.AGENT_LD, lnClass="PTOC", lnInst=inst)
        _terminal(switch, "A", self.places[device.node_a])
        _terminal(switch, "B", self.places[device.node_b])
        if device.merging_unit is None:
            return
        for suffix, type_, prefix, ln_class in (("CT", "CTR", "Inn", "TCTR"), ("VT", "VTR", "Unn", "TVTR")):
            instrument = sub(bay, "ConductingEquipment", name=f"{device.name}_{suffix}", type_=type_)
            for number, phase in enumerate(PHASES, 1):
                sub(
                    instrument, "LNode", iedName=device.merging_unit, ldInst=ds.UNIT_LD, prefix=prefix + phase,
                    lnClass=ln_class, lnInst=number,
                )  # fmt: skip
            _terminal(instrument, "A", self.places[device.node_a])


def _voltage(parent: etree._Element, feeder: Feeder) -> None:
    sub(parent, "Voltage", repr(feeder.nominal_kv), unit="V", multiplier="k")


def _terminal(equipment: etree._Element, name: str, place: dict[str, str]) -> None:
    sub(equipment, "Terminal", name=name, **place)


def _one_terminal_equipment(parent: etree._Element, feeder: Feeder, zone: Zone, places: Places) -> None:
    parts: list[Load | Der] = [*(feeder.loads[i] for i in zone.loads), *(feeder.ders[i] for i in zone.ders)]
    for part in parts:
        type_ = LOAD if isinstance(part, Load) else MACHINE if part.kind is DerKind.MACHINE else INVERTER
        equipment = sub(parent, "ConductingEquipment", name=part.name, type_=type_)
        _terminal(equipment, "A", places[part.node])

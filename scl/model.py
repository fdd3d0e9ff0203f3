"""An SCL file as plain objects with line numbers: what ``scl.derive`` and ``scl.check`` walk.

The model is lenient: it takes what is there (any edition from 2003 on) and leaves judgement to its users. Names follow
IEC 61850-6.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from lxml import etree

from scl.elements import tag

LnKey = tuple[str, str, str]
"""(prefix, lnClass, inst) within a logical device; LLN0 is ("", "LLN0", "")."""


class Fcda(NamedTuple):
    """One member of a data set."""

    line: int
    ld_inst: str
    prefix: str
    ln_class: str
    ln_inst: str
    do_name: str
    da_name: str
    fc: str

    @property
    def reference(self) -> str:
        """``LD/LN.DO.DA[FC]``, without DA where the whole data object is meant."""
        attribute = f".{self.da_name}" if self.da_name else ""
        return f"{self.ld_inst}/{self.prefix}{self.ln_class}{self.ln_inst}.{self.do_name}{attribute}[{self.fc}]"


@dataclass(slots=True)
class DataSet:
    """A data set of a logical node."""

    name: str
    line: int
    members: list[Fcda]
    places: frozenset[tuple[str, ...]] = frozenset()
    """(LD, prefix, class, instance, DO, DA) of each member, to find one quickly."""


@dataclass(slots=True)
class ControlBlock:
    """A GSEControl or SampledValueControl."""

    kind: str
    """GSEControl or SampledValueControl."""
    name: str
    line: int
    ld_inst: str
    attributes: dict[str, str]
    receivers: list[tuple[int, str]]
    """(line, IED name) of each IEDName element."""
    routed: bool


class ExtRef(NamedTuple):
    """One input."""

    line: int
    attributes: dict[str, str]

    def get(self, name: str) -> str:
        """An attribute, empty if it is not there."""
        return self.attributes.get(name, "")


@dataclass(slots=True)
class LogicalNode:
    """A logical node with what hangs on it."""

    line: int
    key: LnKey
    ln_type: str
    data_sets: dict[str, DataSet] = field(default_factory=dict)
    controls: list[ControlBlock] = field(default_factory=list)
    reports: list[tuple[int, str, str]] = field(default_factory=list)
    """(line, name, datSet) of report and log control blocks."""
    ext_refs: list[ExtRef] = field(default_factory=list)
    values: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Path below the node (``StrVal.setMag.f``) to (line, value); of values by setting group, the first."""
    grouped: dict[str, dict[int, tuple[int, str]]] = field(default_factory=dict)
    """Path to setting group to (line, value), of values that have a group."""
    setting_groups: tuple[int, int, int] = (0, 0, 1)
    """Line, how many, active one of the node's setting group control block; 0: it has none."""


@dataclass(slots=True)
class LDevice:
    """A logical device."""

    inst: str
    line: int
    access_point: str
    ld_name: str
    nodes: dict[LnKey, LogicalNode] = field(default_factory=dict)


@dataclass(slots=True)
class Ied:
    """An IED."""

    name: str
    line: int
    devices: dict[str, LDevice] = field(default_factory=dict)
    access_points: dict[str, str] = field(default_factory=dict)
    """Access point to the one whose server it shows (itself, or by ServerAt); empty without a server."""
    duplicates: list[tuple[int, str]] = field(default_factory=list)
    """(line, text) of logical devices and nodes that are there twice."""

    def controls(self) -> Iterator[tuple[LogicalNode, ControlBlock]]:
        """All its control blocks for GOOSE and SV."""
        for device in self.devices.values():
            for node in device.nodes.values():
                for control in node.controls:
                    yield node, control

    def ext_refs(self) -> Iterator[ExtRef]:
        """All its inputs."""
        for device in self.devices.values():
            for node in device.nodes.values():
                yield from node.ext_refs


@dataclass(slots=True)
class Address:
    """A GSE or SMV element of a connected access point."""

    kind: str
    line: int
    ied: str
    access_point: str
    subnetwork: str
    ld_inst: str
    cb_name: str
    p: dict[str, str]
    min_time: str = ""
    max_time: str = ""


@dataclass(slots=True)
class ConnectedAp:
    """A connected access point."""

    line: int
    ied: str
    access_point: str
    subnetwork: str
    p: dict[str, str]


class Terminal(NamedTuple):
    """An end of a piece of equipment."""

    line: int
    node: str
    """Path of the connectivity node."""
    grounded: bool


class LNodeRef(NamedTuple):
    """A link from the primary part to a logical node."""

    line: int
    ied: str
    ld_inst: str
    prefix: str
    ln_class: str
    ln_inst: str


@dataclass(slots=True)
class Equipment:
    """Conducting equipment, or a transformer with the terminals of all its windings."""

    name: str
    type: str
    line: int
    container: str
    """Path of the bay, line or process that holds it."""
    terminals: list[Terminal]
    l_nodes: list[LNodeRef]


@dataclass(slots=True)
class Container:
    """A Bay, Line, VoltageLevel …: something with a name and a path."""

    kind: str
    name: str
    path: str
    line: int
    l_nodes: list[LNodeRef]


class ConnectivityNode(NamedTuple):
    """A connectivity node."""

    line: int
    name: str
    path: str
    container: str


@dataclass(slots=True)
class Templates:
    """DataTypeTemplates: what may be resolved below a logical node."""

    l_node_types: dict[str, tuple[int, str, dict[str, str]]] = field(default_factory=dict)
    """id to (line, lnClass, data object to DOType)."""
    do_types: dict[str, dict[str, tuple[str, str, str]]] = field(default_factory=dict)
    """id to {name: (kind DA or SDO, type or bType, fc)}."""
    do_struct: dict[str, dict[str, str]] = field(default_factory=dict)
    """DOType id to {DA name: DAType} of its structured attributes."""
    da_types: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)
    """id to {name: (bType, type)}."""
    duplicates: list[tuple[int, str]] = field(default_factory=list)

    def resolve(self, ln_type: str, do_name: str, da_name: str, fc: str) -> str | None:
        """None if the member exists, else what is missing. Array indices are taken off."""
        if ln_type not in self.l_node_types:
            return f"no LNodeType {ln_type}"
        first, *rest = _parts(do_name)
        do_type = self.l_node_types[ln_type][2].get(first)
        if do_type is None:
            return f"{ln_type} has no data object {first}"
        for part in rest:
            kind, type_, _ = self.do_types.get(do_type, {}).get(part, ("", "", ""))
            if kind != "SDO":
                return f"DOType {do_type} has no sub data object {part}"
            do_type = type_
        if do_type not in self.do_types:
            return f"no DOType {do_type}"
        return self._attribute(do_type, da_name, fc)

    def _attribute(self, do_type: str, da_name: str, fc: str) -> str | None:
        objects = self.do_types[do_type]
        if not da_name:
            # The whole data object: something in it must have the functional constraint.
            if not fc or self._has_fc(do_type, fc, 0):
                return None
            return f"DOType {do_type} has no attribute with FC {fc}"
        first, *rest = _parts(da_name)
        kind, b_type, has_fc = objects.get(first, ("", "", ""))
        if kind == "SDO" and rest:
            return self._attribute(b_type, ".".join(rest), fc) if b_type in self.do_types else f"no DOType {b_type}"
        if kind != "DA":
            return f"DOType {do_type} has no attribute {first}"
        if fc and has_fc != fc:
            return f"attribute {first} of DOType {do_type} has FC {has_fc}, not {fc}"
        type_ = self.do_struct.get(do_type, {}).get(first, "")
        for part in rest:
            if b_type != "Struct" or type_ not in self.da_types:
                return f"attribute {first} of DOType {do_type} has no part {part}"
            if part not in self.da_types[type_]:
                return f"DAType {type_} has no attribute {part}"
            b_type, type_ = self.da_types[type_][part]
        return None

    def _has_fc(self, do_type: str, fc: str, depth: int) -> bool:
        for kind, type_, has_fc in self.do_types.get(do_type, {}).values():
            if kind == "DA" and has_fc == fc:
                return True
            if kind == "SDO" and depth < 8 and self._has_fc(type_, fc, depth + 1):
                return True
        return False


@dataclass(slots=True)
class Model:
    """A whole file."""

    edition: tuple[str, str, str]
    """(version, revision, release), ("2003", "A", "") for the first edition."""
    header_id: str
    header_line: int
    ieds: dict[str, Ied] = field(default_factory=dict)
    duplicate_ieds: list[tuple[int, str]] = field(default_factory=list)
    templates: Templates = field(default_factory=Templates)
    addresses: list[Address] = field(default_factory=list)
    connected: list[ConnectedAp] = field(default_factory=list)
    equipment: list[Equipment] = field(default_factory=list)
    nodes: dict[str, ConnectivityNode] = field(default_factory=dict)
    duplicate_nodes: list[ConnectivityNode] = field(default_factory=list)
    containers: dict[str, Container] = field(default_factory=dict)
    voltages_kv: list[tuple[str, float]] = field(default_factory=list)
    """(path of the voltage level or line, nominal voltage)."""
    frequencies_hz: list[tuple[str, float]] = field(default_factory=list)

    @property
    def edition_name(self) -> str:
        """``2007B4``, ``2007B``, ``2003``."""
        version, revision, release = self.edition
        return version if version == "2003" else f"{version}{revision}{release}"


def _parts(name: str) -> list[str]:
    return [part.partition("(")[0] for part in name.split(".")]


def line_of(node: etree._Element) -> int:
    """The element's line; 0 if lxml does not know it."""
    # The stubs call sourceline an Ellipsis.
    return cast("int | None", node.sourceline) or 0


def children(node: etree._Element, *names: str) -> Iterator[etree._Element]:
    """Children of these SCL element names."""
    return node.iterchildren(*(tag(name) for name in names))


TYPE_KINDS = ("LNodeType", "DOType", "DAType", "EnumType")
"""Of data type templates, in the order of the schema."""
TypeNodes = dict[tuple[str, str], etree._Element]


def type_nodes(root: etree._Element) -> TypeNodes:
    """The data type templates of a file by (kind, id), in its order; of two with the same id the first."""
    found: TypeNodes = {}
    for top in children(root, "DataTypeTemplates"):
        for node in children(top, *TYPE_KINDS):
            found.setdefault((etree.QName(node).localname, node.get("id", "")), node)
    return found


def ied_node(root: etree._Element, name: str) -> etree._Element | None:
    """The IED of this name."""
    return next((node for node in children(root, "IED") if node.get("name") == name), None)

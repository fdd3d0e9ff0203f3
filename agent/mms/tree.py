"""The data model of one IED as plain values: what SCL says of it, without XML and without a library.

Made from the file by :mod:`agent.mms.described`, handed over with the compiled configuration, turned into a server's
model by :mod:`agent.mms.build`. Names are those of IEC 61850-6 and -7-2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

DCHG: Final = 1
QCHG: Final = 2
DUPD: Final = 4
PERIOD: Final = 8
GI: Final = 16
"""Trigger options, as in TrgOps."""

STRUCT: Final = "Struct"


class Attribute(NamedTuple):
    """A data attribute or a part of one."""

    name: str
    kind: str
    """bType."""
    fc: str
    triggers: int
    value: str
    """Configured value in the words of SCL, an ordinal for an Enum; empty: none."""
    parts: tuple[Attribute, ...] = ()
    size: int = 0
    """Elements of an array; 0: none."""


class DataObject(NamedTuple):
    """A data object or a sub data object."""

    name: str
    cdc: str
    parts: tuple[DataObject, ...]
    attributes: tuple[Attribute, ...]
    size: int = 0

    @property
    def controllable(self) -> bool:
        """A client can operate it."""
        return any(attribute.fc == "CO" for attribute in self.attributes)

    @property
    def configured(self) -> bool:
        """The SCL gives all that is status or measured value in it."""
        live = (a for a in self.attributes if a.fc in ("ST", "MX") and a.name not in ("q", "t"))
        return all(a.value for a in live) and all(part.configured for part in self.parts)


class DataSet(NamedTuple):
    """A data set; members as ``LN$FC$DO$DA`` of its own logical device."""

    name: str
    members: tuple[str, ...]


class Report(NamedTuple):
    """A report control block, all its instances."""

    name: str
    instances: int
    """0: not indexed, the name is the instance's."""
    buffered: bool
    data_set: str
    report_id: str
    conf_rev: int
    triggers: int
    fields: int
    """OptFields: 1 seqNum, 2 timeStamp, 4 reasonCode, 8 dataSet, 16 dataRef, 32 bufOvfl, 64 entryID, 128 configRef."""
    buffer_ms: int
    integrity_ms: int

    @property
    def names(self) -> tuple[str, ...]:
        """Of the instances, as IEC 61850-6 numbers them."""
        if not self.instances:
            return (self.name,)
        return tuple(f"{self.name}{number:02d}" for number in range(1, self.instances + 1))


class Goose(NamedTuple):
    """A GOOSE control block and where it sends to."""

    name: str
    go_id: str
    data_set: str
    conf_rev: int
    fixed: bool
    min_ms: int
    max_ms: int
    mac: str
    appid: int
    vlan_id: int
    vlan_priority: int


class LogControl(NamedTuple):
    """A log control block."""

    name: str
    data_set: str
    log: str
    """``LD/LN$log``."""
    enabled: bool
    triggers: int
    integrity_ms: int
    reasons: bool


class Groups(NamedTuple):
    """A setting group control block."""

    groups: int
    active: int


class Node(NamedTuple):
    """A logical node."""

    prefix: str
    ln_class: str
    inst: str
    objects: tuple[DataObject, ...]
    data_sets: tuple[DataSet, ...] = ()
    reports: tuple[Report, ...] = ()
    goose: tuple[Goose, ...] = ()
    groups: Groups | None = None
    log_controls: tuple[LogControl, ...] = ()
    logs: tuple[str, ...] = ()
    """Names of the logs that are kept in the node."""

    @property
    def name(self) -> str:
        """As in a reference."""
        return f"{self.prefix}{self.ln_class}{self.inst}"


class Device(NamedTuple):
    """A logical device."""

    inst: str
    ld_name: str
    """Functional name; empty: the IED's name and inst."""
    nodes: tuple[Node, ...]


class Tree(NamedTuple):
    """One IED's server."""

    ied: str
    devices: tuple[Device, ...]

    def domain(self, device: Device) -> str:
        """Name of the logical device on the wire."""
        return device.ld_name or f"{self.ied}{device.inst}"

    def nodes(self) -> Iterator[tuple[Device, Node]]:
        """All logical nodes, each with its logical device, in order."""
        for device in self.devices:
            for node in device.nodes:
                yield device, node


def leaves(node: Node) -> Iterator[tuple[str, str, str]]:
    """(path below the node with dots, FC, kind) of all attributes without parts, in order."""
    for data in node.objects:
        yield from _object_leaves(data, data.name)


def _object_leaves(data: DataObject, path: str) -> Iterator[tuple[str, str, str]]:
    for part in data.parts:
        yield from _object_leaves(part, f"{path}.{part.name}")
    for attribute in data.attributes:
        yield from _attribute_leaves(attribute, f"{path}.{attribute.name}")


def _attribute_leaves(attribute: Attribute, path: str) -> Iterator[tuple[str, str, str]]:
    if attribute.kind != STRUCT:
        yield path, attribute.fc, attribute.kind
    for part in attribute.parts:
        yield from _attribute_leaves(part, f"{path}.{part.name}")

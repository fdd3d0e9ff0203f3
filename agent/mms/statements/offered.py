"""What an IED's SCL offers to clients: its model, its control blocks, and the services that it declares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from lxml import etree

from agent.mms.described import UndescribedError, read_tree
from agent.mms.tree import DataObject, Tree, leaves
from scl.model import ied_node

STATUS_ONLY, DIRECT, SELECT, DIRECT_ENHANCED, SELECT_ENHANCED = range(5)
"""ctlModel (IEC 61850-7-2)."""


class Control(NamedTuple):
    """A controllable data object."""

    reference: str
    cdc: str
    model: int
    select_s: float | None
    """How long a selection stands; None: not said."""
    timed: bool
    """It can be told when to act (operTm)."""


class Offered(NamedTuple):
    """One IED."""

    tree: Tree
    declared: Mapping[str, Mapping[str, str]]
    """Below Services of the IED and of its access points, by path (``SettingGroups/SGEdit``), with the attributes."""
    blocks: Mapping[str, int]
    """How many control blocks of a kind there are, by their element (``GSEControl``)."""
    leaves: frozenset[tuple[str, str]]
    """(last name, functional constraint) of all attributes."""
    controls: tuple[Control, ...]

    @property
    def buffered(self) -> int:
        """Buffered report control blocks, all instances."""
        return self._reports(buffered=True)

    @property
    def unbuffered(self) -> int:
        """Unbuffered ones."""
        return self._reports(buffered=False)

    @property
    def groups(self) -> int:
        """Setting groups of the largest control block."""
        found = [node.groups.groups for _, node in self.tree.nodes() if node.groups is not None]
        return max(found, default=0)

    def classes(self) -> Counter[str]:
        """Logical nodes by class."""
        return Counter(node.ln_class for _, node in self.tree.nodes())

    def _reports(self, buffered: bool) -> int:
        reports = (report for _, node in self.tree.nodes() for report in node.reports)
        return sum(len(report.names) for report in reports if report.buffered == buffered)


def offered(root: etree._Element, ied: str) -> Offered:
    """Of one IED of a file; UndescribedError if it has no server."""
    tree = read_tree(root, ied)
    element = ied_node(root, ied)
    if element is None:
        raise UndescribedError(f"there is no IED {ied}")
    declared: dict[str, Mapping[str, str]] = {}
    for services in element.iter("{*}Services"):
        declared.update(_services(services, ""))
    found = frozenset((path.rpartition(".")[2], fc) for _, node in tree.nodes() for path, fc, _ in leaves(node))
    controls = tuple(
        control
        for device, node in tree.nodes()
        for data in node.objects
        for control in _controls(data, f"{device.inst}/{node.name}.{data.name}")
    )
    blocks = Counter(etree.QName(part).localname for part in element.iter("{*}*"))
    return Offered(tree, declared, blocks, found, controls)


def _services(element: etree._Element, path: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    for part in element.iterchildren("{*}*"):
        name = f"{path}{etree.QName(part).localname}"
        yield name, {str(key): str(value) for key, value in part.attrib.items()}
        yield from _services(part, f"{name}/")


def _controls(data: DataObject, reference: str) -> Iterator[Control]:
    if not data.controllable:
        return
    values = {attribute.name: attribute.value for attribute in data.attributes if attribute.fc == "CF"}
    timeout = values.get("sboTimeout", "")
    timed = any(
        part.name == "operTm" for attribute in data.attributes if attribute.fc == "CO" for part in attribute.parts
    )
    model = int(values.get("ctlModel") or STATUS_ONLY)
    yield Control(reference, data.cdc, model, int(timeout) / 1000 if timeout else None, timed)

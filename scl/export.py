"""One IED out of an SCD: as a CID (configured, IEC 61850-6 clause 7.4) or as an ICD (its capabilities, named TEMPLATE).

A CID holds the IED, its connected access points and the data types it needs; the substation part and other IEDs stay in
the SCD, so its inputs name IEDs that are not in the file. An ICD has no addresses, no inputs and no references to
others: what system engineering has still to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

from lxml import etree

from scl.elements import NS, tag
from scl.model import children

TEMPLATE = "TEMPLATE"
_TYPE_KINDS = ("LNodeType", "DOType", "DAType", "EnumType")


class ExportError(ValueError):
    """There is no such IED, or a type it needs is missing."""


def export(root: etree._Element, ied: str, template: bool = False) -> bytes:
    """The file; ``template``: an ICD."""
    found = next((node for node in children(root, "IED") if node.get("name") == ied), None)
    if found is None:
        names = ", ".join(node.get("name", "") for node in children(root, "IED"))
        raise ExportError(f"there is no IED {ied}; there are: {names}")
    made = etree.Element(tag("SCL"), nsmap={None: NS, **{k: v for k, v in root.nsmap.items() if k}})  # type: ignore[dict-item]
    for name, value in root.attrib.items():
        made.set(name, value)
    made.append(_header(root, TEMPLATE if template else ied))
    own = deepcopy(found)
    if template:
        _untie(own, ied)
    else:
        communication = _communication(root, ied)
        if communication is not None:
            made.append(communication)
    made.append(own)
    made.append(_types(root, own))
    etree.indent(made, "  ")
    return etree.tostring(made, xml_declaration=True, encoding="UTF-8")


def _header(root: etree._Element, name: str) -> etree._Element:
    header = root.find(tag("Header"))
    made = etree.Element(tag("Header")) if header is None else deepcopy(header)
    made.set("id", name)
    for part in list(made):
        made.remove(part)
    return made


def _communication(root: etree._Element, ied: str) -> etree._Element | None:
    """The subnetworks that the IED is connected to, with its own access points."""
    whole = root.find(tag("Communication"))
    if whole is None:
        return None
    made = deepcopy(whole)
    for network in list(children(made, "SubNetwork")):
        for point in list(children(network, "ConnectedAP")):
            if point.get("iedName") != ied:
                network.remove(point)
        if next(children(network, "ConnectedAP"), None) is None:
            made.remove(network)
    return made if len(made) else None


def _untie(ied: etree._Element, name: str) -> None:
    """Take out what binds the IED to a system."""
    ied.set("name", TEMPLATE)
    for part in [*ied.iter(tag("Inputs")), *ied.iter(tag("IEDName"))]:
        _remove(part)
    for part in list(ied.iter(tag("DAI"))):
        if part.get("name") in ("setSrcRef", "d"):
            _remove(part)
    for part in list(ied.iter(tag("DOI"))):
        if not len(part):
            _remove(part)
    for part in ied.iter(tag("LN")):
        if part.get("lnClass") in ("LGOS", "LSVS"):
            part.attrib.pop("desc", "")
    for part in ied.iter(tag("GSEControl"), tag("SampledValueControl")):
        for key in ("appID", "smvID"):
            identifier = part.get(key)
            if identifier is not None and identifier.startswith(name):
                part.set(key, TEMPLATE + identifier.removeprefix(name))


def _remove(node: etree._Element) -> None:
    parent = node.getparent()
    if parent is not None:
        parent.remove(node)


def _types(root: etree._Element, ied: etree._Element) -> etree._Element:
    """The data types that the IED needs, in the order of the file."""
    known = {
        (etree.QName(node).localname, node.get("id", "")): node
        for top in children(root, "DataTypeTemplates")
        for node in children(top, *_TYPE_KINDS)
    }
    wanted: dict[tuple[str, str], None] = {}
    frontier = [("LNodeType", node.get("lnType", "")) for node in ied.iter(tag("LN0"), tag("LN"))]
    while frontier:
        key = frontier.pop()
        if key in wanted:
            continue
        if key not in known:
            raise ExportError(f"{ied.get('name')} needs {key[0]} {key[1]}, which is not in the file")
        wanted[key] = None
        frontier.extend(_needs(known[key]))
    made = etree.Element(tag("DataTypeTemplates"))
    for kind in _TYPE_KINDS:
        for key, node in known.items():
            if key[0] == kind and key in wanted:
                made.append(deepcopy(node))
    return made


def _needs(node: etree._Element) -> Iterator[tuple[str, str]]:
    """Types that a type refers to."""
    for part in children(node, "DO", "SDO"):
        yield "DOType", part.get("type", "")
    for part in children(node, "DA", "BDA"):
        if part.get("bType") in ("Struct", "Enum"):
            yield "DAType" if part.get("bType") == "Struct" else "EnumType", part.get("type", "")

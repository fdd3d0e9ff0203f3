"""From the XML tree to :class:`scl.model.Model`, section by section."""

from __future__ import annotations

import math
from collections.abc import Iterator

from lxml import etree

from scl.elements import tag
from scl.model import (
    TYPE_KINDS,
    Address,
    ConnectedAp,
    ConnectivityNode,
    Container,
    ControlBlock,
    DataSet,
    Equipment,
    ExtRef,
    Fcda,
    Ied,
    LDevice,
    LNodeRef,
    LogicalNode,
    Model,
    Templates,
    Terminal,
    children,
    line_of,
)

_MULTIPLIERS = {"": 1.0, "m": 1e-3, "M": 1e6}


def model_of(root: etree._Element) -> Model:
    """Everything that the rest of the package wants to know of a file."""
    version = root.get("version", "2003")
    header = root.find(tag("Header"))
    model = Model(
        edition=(version, root.get("revision", "A"), root.get("release", "")),
        header_id=header.get("id", "") if header is not None else "",
        header_line=line_of(header) if header is not None else 1,
    )
    for node in children(root, "IED"):
        ied = _ied(node)
        if ied.name in model.ieds:
            model.duplicate_ieds.append((ied.line, ied.name))
        model.ieds.setdefault(ied.name, ied)
    for node in children(root, "DataTypeTemplates"):
        _templates(node, model.templates)
    for node in children(root, "Communication"):
        _communication(node, model)
    for node in children(root, "Substation", "Line", "Process"):
        _container(node, "", model)
    return model


# --- IEDs ------------------------------------------------------------------------------------------------------------


def _ied(node: etree._Element) -> Ied:
    ied = Ied(node.get("name", ""), line_of(node))
    for point in children(node, "AccessPoint"):
        name = point.get("name", "")
        ied.access_points[name] = ""
        for server_at in children(point, "ServerAt"):
            ied.access_points[name] = server_at.get("apName", "")
        for server in children(point, "Server"):
            ied.access_points[name] = name
            for ld_node in children(server, "LDevice"):
                _logical_device(ied, name, ld_node)
    return ied


def _logical_device(ied: Ied, access_point: str, node: etree._Element) -> None:
    inst = node.get("inst", "")
    device = LDevice(inst, line_of(node), access_point, node.get("ldName", ""))
    for ln_node in children(node, "LN0", "LN"):
        ln = _logical_node(ln_node, inst)
        if ln.key in device.nodes:
            ied.duplicates.append((ln.line, f"logical node {inst}/{''.join(ln.key)} is there twice"))
        device.nodes.setdefault(ln.key, ln)
    if inst in ied.devices:
        ied.duplicates.append((device.line, f"logical device {inst} is there twice"))
    ied.devices.setdefault(inst, device)


def _logical_node(node: etree._Element, ld_inst: str) -> LogicalNode:
    ln_class = node.get("lnClass", "LLN0" if node.tag == tag("LN0") else "")
    ln = LogicalNode(line_of(node), (node.get("prefix", ""), ln_class, node.get("inst", "")), node.get("lnType", ""))
    for part in children(node, "DataSet"):
        name = part.get("name", "")
        members = [_fcda(fcda) for fcda in children(part, "FCDA")]
        places = frozenset(tuple(member[1:7]) for member in members)
        ln.data_sets.setdefault(name, DataSet(name, line_of(part), members, places))
    for part in children(node, "ReportControl", "LogControl"):
        ln.reports.append((line_of(part), part.get("name", ""), part.get("datSet", "")))
    for part in children(node, "GSEControl", "SampledValueControl"):
        receivers = [(line_of(name), (name.text or "").strip()) for name in children(part, "IEDName")]
        routed = any((protocol.text or "").strip() in {"R-GOOSE", "R-SV"} for protocol in children(part, "Protocol"))
        kind = "GSEControl" if part.tag == tag("GSEControl") else "SampledValueControl"
        ln.controls.append(
            ControlBlock(kind, part.get("name", ""), line_of(part), ld_inst, _attributes(part), receivers, routed)
        )
    for part in children(node, "SettingControl"):
        ln.setting_groups = (line_of(part), _count(part.get("numOfSGs")), _count(part.get("actSG", "1")))
    for part in children(node, "Inputs"):
        ln.ext_refs.extend(ExtRef(line_of(ref), _attributes(ref)) for ref in children(part, "ExtRef"))
    for part in children(node, "DOI"):
        _values(part, part.get("name", ""), ln)
    return ln


def _values(node: etree._Element, path: str, ln: LogicalNode) -> None:
    for part in children(node, "SDI"):
        _values(part, f"{path}.{part.get('name', '')}", ln)
    for part in children(node, "DAI"):
        for value in children(part, "Val"):
            name, found = f"{path}.{part.get('name', '')}", (line_of(value), (value.text or "").strip())
            ln.values.setdefault(name, found)
            if value.get("sGroup"):
                ln.grouped.setdefault(name, {})[_count(value.get("sGroup"))] = found


def _count(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() and len(text) < 6 else 0


def _fcda(node: etree._Element) -> Fcda:
    names = ("ldInst", "prefix", "lnClass", "lnInst", "doName", "daName", "fc")
    return Fcda(line_of(node), *(node.get(name, "") for name in names))


def _attributes(node: etree._Element) -> dict[str, str]:
    return {str(name): str(value) for name, value in node.attrib.items()}


# --- data types ------------------------------------------------------------------------------------------------------


def _templates(top: etree._Element, templates: Templates) -> None:
    seen: set[tuple[str, str]] = set()
    for node in children(top, *TYPE_KINDS):
        kind, id_ = etree.QName(node).localname, node.get("id", "")
        if (kind, id_) in seen:
            templates.duplicates.append((line_of(node), f"{kind} {id_}"))
            continue
        seen.add((kind, id_))
        if kind == "LNodeType":
            objects = {do.get("name", ""): do.get("type", "") for do in children(node, "DO")}
            templates.l_node_types[id_] = (line_of(node), node.get("lnClass", ""), objects)
        elif kind == "DOType":
            templates.do_types[id_] = {
                part.get("name", ""): (
                    etree.QName(part).localname,
                    part.get("type", "") if part.tag == tag("SDO") else part.get("bType", ""),
                    part.get("fc", ""),
                )
                for part in children(node, "SDO", "DA")
            }
            templates.do_struct[id_] = {
                part.get("name", ""): part.get("type", "")
                for part in children(node, "DA")
                if part.get("bType") == "Struct"
            }
        elif kind == "DAType":
            templates.da_types[id_] = {
                part.get("name", ""): (part.get("bType", ""), part.get("type", "")) for part in children(node, "BDA")
            }


# --- communication ---------------------------------------------------------------------------------------------------


def _communication(top: etree._Element, model: Model) -> None:
    for network in children(top, "SubNetwork"):
        for point in children(network, "ConnectedAP"):
            place = (point.get("iedName", ""), point.get("apName", ""), network.get("name", ""))
            model.connected.append(ConnectedAp(line_of(point), *place, _p(point)))
            for part in children(point, "GSE", "SMV"):
                kind = "GSE" if part.tag == tag("GSE") else "SMV"
                times = [(part.findtext(tag(name)) or "").strip() for name in ("MinTime", "MaxTime")]
                model.addresses.append(
                    Address(
                        kind, line_of(part), *place, part.get("ldInst", ""), part.get("cbName", ""), _p(part), *times
                    )
                )


def _p(node: etree._Element) -> dict[str, str]:
    return {
        p.get("type", ""): (p.text or "").strip()
        for address in children(node, "Address")
        for p in children(address, "P")
    }


# --- primary part ----------------------------------------------------------------------------------------------------

_CONTAINERS = ("Substation", "VoltageLevel", "Bay", "Line", "Process", "Function", "SubFunction")


def _container(node: etree._Element, above: str, model: Model) -> None:
    name = node.get("name", "")
    path = f"{above}/{name}" if above else name
    kind = etree.QName(node).localname
    model.containers.setdefault(path, Container(kind, name, path, line_of(node), list(_l_nodes(node))))
    for voltage in children(node, "Voltage"):
        _voltage(voltage, path, model)
    _frequency(node.get("nomFreq"), path, model)
    for part in children(node, "PowerTransformer"):
        windings = list(children(part, "TransformerWinding"))
        terminals = [terminal for winding in windings for terminal in _terminals(winding)]
        model.equipment.append(
            Equipment(part.get("name", ""), "PTR", line_of(part), path, terminals, list(_l_nodes(part)))
        )
    for part in children(node, "ConductingEquipment"):
        l_nodes = [link for holder in part.iter(tag("ConductingEquipment"), tag("SubEquipment"), tag("EqFunction"),
                   tag("EqSubFunction")) for link in _l_nodes(holder)]  # fmt: skip
        model.equipment.append(
            Equipment(part.get("name", ""), part.get("type", ""), line_of(part), path, list(_terminals(part)), l_nodes)
        )
    for part in children(node, "ConnectivityNode"):
        own = f"{path}/{part.get('name', '')}"
        connectivity = ConnectivityNode(line_of(part), part.get("name", ""), part.get("pathName", own), path)
        if connectivity.path in model.nodes:
            model.duplicate_nodes.append(connectivity)
        model.nodes.setdefault(connectivity.path, connectivity)
    for part in children(node, *_CONTAINERS):
        _container(part, path, model)


def _voltage(node: etree._Element, path: str, model: Model) -> None:
    multiplier = node.get("multiplier", "")
    try:
        value = float(node.text or "")
    except ValueError:
        return
    if multiplier != "k":
        value = float(f"{value * _MULTIPLIERS.get(multiplier, 1.0) / 1000.0:.12g}")
    if 0.0 < value < math.inf:
        model.voltages_kv.append((path, value))


def _frequency(text: str | None, path: str, model: Model) -> None:
    try:
        value = float(text or "")
    except ValueError:
        return
    if 0.0 < value < math.inf:
        model.frequencies_hz.append((path, value))


def _terminals(node: etree._Element) -> Iterator[Terminal]:
    for part in children(node, "Terminal"):
        grounded = part.get("cNodeName", "") == "grounded"
        yield Terminal(line_of(part), part.get("connectivityNode", ""), grounded)


def _l_nodes(node: etree._Element) -> Iterator[LNodeRef]:
    for part in children(node, "LNode"):
        names = ("iedName", "ldInst", "prefix", "lnClass", "lnInst")
        yield LNodeRef(line_of(part), *(part.get(name, "") for name in names))

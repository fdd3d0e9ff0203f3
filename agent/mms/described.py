"""From the XML tree of an SCL file to :class:`agent.mms.tree.Tree` of one IED. Imports lxml: runs where SCL is read.

The file has passed ``flisr scl check``; what is missing all the same is named in an :class:`UndescribedError`.
"""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from agent.mms import tree
from agent.mms.tree import Attribute, DataObject, DataSet, Device, Goose, Groups, LogControl, Node, Report, Tree
from scl.elements import tag
from scl.model import children, ied_node, type_nodes

_FIELDS = {
    "seqNum": 1, "timeStamp": 2, "reasonCode": 4, "dataSet": 8, "dataRef": 16, "bufOvfl": 32, "entryID": 64,
    "configRef": 128,
}  # fmt: skip
_TRIGGERS = {"dchg": tree.DCHG, "qchg": tree.QCHG, "dupd": tree.DUPD, "period": tree.PERIOD, "gi": tree.GI}

_NODE = (("prefix", ""), ("lnClass", "LLN0"), ("inst", ""))
_LOG_NODE = (("prefix", ""), ("lnClass", "LLN0"), ("lnInst", ""))
"""Parts of a logical node's name, and what they are where they are missing."""

Values = dict[str, str]
"""Path below the logical node to the configured value."""


class UndescribedError(ValueError):
    """What the file does not say, or says in a way that no server can be built from."""


def read_tree(root: etree._Element, ied: str) -> Tree:
    """The server of this IED, all its access points together; UndescribedError if it has none."""
    element = ied_node(root, ied)
    if element is None:
        raise UndescribedError(f"there is no IED {ied}")
    return _Reader(root, ied).tree(element)


class _Reader:
    def __init__(self, root: etree._Element, ied: str) -> None:
        self._ied = ied
        self._types = type_nodes(root)
        self._logs: dict[str, set[tuple[str, str]]] = {}
        """By logical device: (logical node, log)."""
        self._addresses = {
            (gse.get("ldInst", ""), gse.get("cbName", "")): gse
            for gse in root.iter(tag("GSE"))
            if (parent := gse.getparent()) is not None and parent.get("iedName") == ied
        }

    def tree(self, element: etree._Element) -> Tree:
        devices = tuple(
            self._device(node)
            for point in children(element, "AccessPoint")
            for server in children(point, "Server")
            for node in children(server, "LDevice")
        )
        if not devices:
            raise UndescribedError(f"IED {self._ied} has no server")
        return Tree(self._ied, devices)

    def _device(self, element: etree._Element) -> Device:
        inst = element.get("inst", "")
        self._logs[inst] = {
            ("".join(node.get(name, default) for name, default in _NODE), _log_name(log, inst))
            for node in children(element, "LN0", "LN")
            for log in children(node, "Log")
        }
        nodes = tuple(self._node(node, inst) for node in children(element, "LN0", "LN"))
        return Device(inst, element.get("ldName", ""), nodes)

    def _node(self, element: etree._Element, device: str) -> Node:
        ln_class = element.get("lnClass", "LLN0")
        prefix, inst = element.get("prefix", ""), element.get("inst", "")
        where = f"{self._ied}, {device}/{prefix}{ln_class}{inst}"
        for part in children(element, "SampledValueControl"):
            raise UndescribedError(f"{where}: {part.get('name')}: this server sends no Sampled Values")
        values: Values = {}
        for part in children(element, "DOI"):
            values.update(_values(part, part.get("name", "")))
        node_type = self._type("LNodeType", element.get("lnType", ""), where)
        objects = tuple(
            self._object(do.get("name", ""), do.get("type", ""), do.get("name", ""), values, where)
            for do in children(node_type, "DO")
        )
        setting = next(children(element, "SettingControl"), None)
        return Node(
            prefix, ln_class, inst, objects,
            tuple(self._data_set(part, device, where) for part in children(element, "DataSet")),
            tuple(_report(part) for part in children(element, "ReportControl")),
            tuple(self._goose(part, device) for part in children(element, "GSEControl")),
            None if setting is None else Groups(_int(setting, "numOfSGs", 1), _int(setting, "actSG", 1)),
            tuple(self._log_control(part, device, where) for part in children(element, "LogControl")),
            tuple(_log_name(part, device) for part in children(element, "Log")),
        )  # fmt: skip

    # --- types -------------------------------------------------------------------------------------------------------

    def _type(self, kind: str, id_: str, where: str) -> etree._Element:
        found = self._types.get((kind, id_))
        if found is None:
            raise UndescribedError(f"{where}: no {kind} {id_}")
        return found

    def _object(self, name: str, type_: str, path: str, values: Values, where: str, count: int = 0) -> DataObject:
        do_type = self._type("DOType", type_, where)
        parts = tuple(
            self._object(
                part.get("name", ""), part.get("type", ""), f"{path}.{part.get('name', '')}", values, where,
                _int(part, "count"),
            )
            for part in children(do_type, "SDO")
        )  # fmt: skip
        attributes = tuple(
            self._attribute(part, part.get("fc", ""), _triggers(part), path, values, where)
            for part in children(do_type, "DA")
        )
        return DataObject(name, do_type.get("cdc", ""), parts, attributes, count)

    def _attribute(
        self, element: etree._Element, fc: str, triggers: int, path: str, values: Values, where: str
    ) -> Attribute:
        name, kind = element.get("name", ""), element.get("bType", "")
        path = f"{path}.{name}"
        parts: tuple[Attribute, ...] = ()
        value = values.get(path)
        if value is None:
            default = element.find(tag("Val"))
            value = "" if default is None else (default.text or "").strip()
        if kind == tree.STRUCT:
            da_type = self._type("DAType", element.get("type", ""), where)
            parts = tuple(self._attribute(part, fc, triggers, path, values, where) for part in children(da_type, "BDA"))
        elif kind == "Enum" and value:
            value = self._ordinal(element.get("type", ""), value, f"{where}.{path}")
        return Attribute(name, kind, fc, triggers, value, parts, _int(element, "count"))

    def _ordinal(self, enum: str, text: str, where: str) -> str:
        for entry in children(self._type("EnumType", enum, where), "EnumVal"):
            if (entry.text or "").strip() == text:
                return entry.get("ord", "0")
        raise UndescribedError(f"{where}: {text!r} is no value of EnumType {enum}")

    # --- data sets and control blocks --------------------------------------------------------------------------------

    def _data_set(self, element: etree._Element, device: str, where: str) -> DataSet:
        members = []
        for fcda in children(element, "FCDA"):
            if fcda.get("ldInst", device) != device:
                raise UndescribedError(f"{where}: data set {element.get('name')} has a member in {fcda.get('ldInst')}")
            node = "".join(fcda.get(name, "") for name in ("prefix", "lnClass", "lnInst"))
            rest = [part for name in ("doName", "daName") if (part := fcda.get(name, ""))]
            members.append("$".join([node, fcda.get("fc", ""), *rest]).replace(".", "$"))
        return DataSet(element.get("name", ""), tuple(members))

    def _log_control(self, element: etree._Element, device: str, where: str) -> LogControl:
        chosen, holder = element.find(tag("TrgOps")), element.get("ldInst") or device
        node = "".join(element.get(name, default) for name, default in _LOG_NODE)
        log = element.get("logName", "")
        if holder != device or (node, log) not in self._logs.get(device, ()):
            raise UndescribedError(f"{where}: {element.get('name')}: there is no log {log} in {holder}/{node}")
        return LogControl(
            element.get("name", ""), element.get("datSet", ""), f"{holder}/{node}${log}",
            element.get("logEna", "true") == "true", 0 if chosen is None else _triggers(chosen, gi=False),
            _int(element, "intgPd"), element.get("reasonCode", "true") == "true",
        )  # fmt: skip

    def _goose(self, element: etree._Element, device: str) -> Goose:
        name = element.get("name", "")
        gse = self._addresses.get((device, name))
        p = {} if gse is None else {entry.get("type", ""): (entry.text or "").strip() for entry in gse.iter(tag("P"))}
        least, most = (0 if gse is None else int(gse.findtext(tag(kind)) or 0) for kind in ("MinTime", "MaxTime"))
        return Goose(
            name, element.get("appID", ""), element.get("datSet", ""), _int(element, "confRev"),
            element.get("fixedOffs") == "true", least,
            most, p.get("MAC-Address", ""), int(p.get("APPID", "0"), 16),
            int(p.get("VLAN-ID", "0"), 16), int(p.get("VLAN-PRIORITY", "4")),
        )  # fmt: skip


def _log_name(element: etree._Element, device: str) -> str:
    """A log without a name is its logical device's (IEC 61850-6, 9.3.3)."""
    return element.get("name") or device


def _report(element: etree._Element) -> Report:
    enabled = element.find(tag("RptEnabled"))
    instances = 1 if enabled is None else _int(enabled, "max", 1)
    indexed = element.get("indexed", "true") == "true"
    chosen, wanted = element.find(tag("TrgOps")), element.find(tag("OptFields"))
    return Report(
        element.get("name", ""), instances if indexed else 0, element.get("buffered") == "true",
        element.get("datSet", ""), element.get("rptID", ""), _int(element, "confRev"),
        0 if chosen is None else _triggers(chosen, gi=True), _bits(wanted, _FIELDS),
        _int(element, "bufTime"), _int(element, "intgPd"),
    )  # fmt: skip


def _triggers(element: etree._Element, gi: bool = False) -> int:
    """``gi``: the default of TrgOps.gi is true."""
    return _bits(element, _TRIGGERS) | (tree.GI if gi and element.get("gi") is None else 0)


def _bits(element: etree._Element | None, bits: dict[str, int]) -> int:
    return 0 if element is None else sum(bit for name, bit in bits.items() if element.get(name) in ("true", "1"))


def _int(element: etree._Element, name: str, default: int = 0) -> int:
    return int(element.get(name) or default)


def _values(element: etree._Element, path: str) -> Iterator[tuple[str, str]]:
    for part in children(element, "SDI"):
        yield from _values(part, f"{path}.{part.get('name', '')}")
    for part in children(element, "DAI"):
        for value in children(part, "Val"):
            yield f"{path}.{part.get('name', '')}", (value.text or "").strip()
            break

"""From :class:`agent.mms.tree.Tree` to libiec61850's dynamic model: the only place that knows how it is made.

What the library cannot take is collected and named in one :class:`ModelError`; nothing is left out silently. Names are
copied by the library, values are not: each is deleted here.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

from agent.mms.tree import STRUCT, Attribute, DataObject, Device, Goose, Node, Report, Tree

KINDS: Final[dict[str, str]] = {
    "BOOLEAN": "BOOLEAN", "INT8": "INT8", "INT16": "INT16", "INT32": "INT32", "INT64": "INT64", "INT8U": "INT8U",
    "INT16U": "INT16U", "INT24U": "INT24U", "INT32U": "INT32U", "FLOAT32": "FLOAT32", "FLOAT64": "FLOAT64",
    "Enum": "ENUMERATED", "Dbpos": "CODEDENUM", "Tcmd": "CODEDENUM", "Quality": "QUALITY", "Timestamp": "TIMESTAMP",
    "VisString32": "VISIBLE_STRING_32", "VisString64": "VISIBLE_STRING_64", "VisString65": "VISIBLE_STRING_65",
    "VisString129": "VISIBLE_STRING_129", "VisString255": "VISIBLE_STRING_255", "ObjRef": "VISIBLE_STRING_129",
    "Unicode255": "UNICODE_STRING_255", "Octet64": "OCTET_STRING_64", "Octet6": "OCTET_STRING_6", "Check": "CHECK",
    "EntryTime": "ENTRY_TIME", "Currency": "CURRENCY", "PhyComAddr": "PHYCOMADDR", "TrgOps": "TRGOPS",
    "OptFlds": "OPTFLDS", STRUCT: "CONSTRUCTED",
}  # fmt: skip
"""bType to libiec61850's name of the type."""
_SIGNED: Final = ("INT8", "INT16", "INT32", "INT64", "Enum")
_UNSIGNED: Final = ("INT8U", "INT16U", "INT24U", "INT32U")
_STRINGS: Final = ("VisString32", "VisString64", "VisString65", "VisString129", "VisString255", "ObjRef", "Currency")
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}
LIVE_FCS: Final = frozenset({"ST", "MX", "DC"})
"""Attributes of these functional constraints can be written by :class:`agent.mms.server.MmsServer`."""


class ModelError(ValueError):
    """What libiec61850 cannot take of a tree, one sentence each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Leaf(NamedTuple):
    """An attribute whose value the server may write."""

    handle: Any
    kind: str


class Setting(NamedTuple):
    """A value of setting groups: of the active one (FC SG), and of the one that is edited (FC SE)."""

    active: Any
    edited: Any
    kind: str


class Built(NamedTuple):
    """The library's model, and handles of what the server works with later."""

    model: Any
    leaves: dict[str, Leaf]
    """By ``LD/LN.DO.DA``."""
    objects: dict[str, Any]
    """Controllable data objects by ``LD/LN.DO``."""
    settings: dict[str, Setting]
    """Attributes of setting groups by ``LD/LN.DO.DA``."""
    group_blocks: dict[str, Any]
    """Setting group control blocks by logical device."""
    kept: list[Any]
    """Has to live as long as the model."""


def build(iec: Any, tree: Tree) -> Built:
    """The model of a server; ModelError names what does not go in."""
    return _Builder(iec).build(tree)


def edited(attribute: Attribute) -> Attribute:
    """The attribute of the setting group that is edited, to one of the active group."""
    return attribute._replace(fc="SE", parts=tuple(edited(part) for part in attribute.parts))


class _Builder:
    def __init__(self, iec: Any) -> None:
        self._iec = iec
        self._problems: list[str] = []
        self._leaves: dict[str, Leaf] = {}
        self._objects: dict[str, Any] = {}
        self._settings: dict[str, dict[str, Leaf]] = {}
        self._group_blocks: dict[str, Any] = {}
        self._kept: list[Any] = []

    def build(self, tree: Tree) -> Built:
        model = self._iec.IedModel_create(tree.ied)
        for device in tree.devices:
            self._device(model, device)
        if self._problems:
            self._iec.IedModel_destroy(model)
            raise ModelError(self._problems)
        settings = {
            where: Setting(of["SG"].handle, of["SE"].handle, of["SG"].kind) for where, of in self._settings.items()
        }
        return Built(model, self._leaves, self._objects, settings, self._group_blocks, self._kept)

    def _keep(self, made: Any, where: str) -> Any:
        if made is None:
            self._problems.append(f"{where}: not taken")
        self._kept.append(made)
        return made

    def _device(self, model: Any, device: Device) -> None:
        iec = self._iec
        if device.ld_name:
            made = iec.LogicalDevice_createEx(device.inst, model, device.ld_name)
        else:
            made = iec.LogicalDevice_create(device.inst, model)
        self._keep(made, device.inst)
        for node in device.nodes:
            where = f"{device.inst}/{node.name}"
            parent = self._keep(iec.LogicalNode_create(node.name, made), where)
            for data in node.objects:
                self._object(iec.toModelNode(parent), data, f"{where}.{data.name}")
            self._blocks(parent, node, where)

    # --- data --------------------------------------------------------------------------------------------------------

    def _object(self, parent: Any, data: DataObject, where: str) -> None:
        iec = self._iec
        made = self._keep(iec.DataObject_create(data.name, parent, data.size), where)
        if data.controllable:
            self._objects[where] = made
        inner = iec.toModelNode(made)
        for part in data.parts:
            self._object(inner, part, f"{where}.{part.name}")
        for attribute in data.attributes:
            self._attribute(inner, attribute, f"{where}.{attribute.name}")
            if attribute.fc == "SG":
                # The same once more, of the group that is edited: SCL does not say it, IEC 61850-8-1 takes it for said.
                self._attribute(inner, edited(attribute), f"{where}.{attribute.name}")

    def _attribute(self, parent: Any, attribute: Attribute, where: str) -> None:
        iec = self._iec
        kind = KINDS.get(attribute.kind)
        constraint = getattr(iec, f"IEC61850_FC_{attribute.fc}", None)
        if kind is None or constraint is None:
            self._problems.append(f"{where}: libiec61850 has no bType {attribute.kind} with FC {attribute.fc}")
            return
        made = iec.DataAttribute_create(
            attribute.name, parent, getattr(iec, f"IEC61850_{kind}"), constraint, attribute.triggers, attribute.size, 0
        )
        self._keep(made, where)
        if attribute.parts:
            # The binding casts no data attribute to a node; the tree gives it as one.
            inner = iec.ModelNode_getChildWithFc(parent, attribute.name, constraint)
            for part in attribute.parts:
                self._attribute(inner, part, f"{where}.{part.name}")
        if attribute.value:
            self._configured(made, attribute, where)
        if attribute.fc in LIVE_FCS and attribute.kind != STRUCT:
            self._leaves[where] = Leaf(made, attribute.kind)
        if attribute.fc in ("SG", "SE") and attribute.kind != STRUCT:
            self._settings.setdefault(where, {})[attribute.fc] = Leaf(made, attribute.kind)

    def _configured(self, handle: Any, attribute: Attribute, where: str) -> None:
        make = self._maker(attribute.kind)
        try:
            value = None if make is None else make(attribute.value)
        except (ValueError, KeyError):
            value = None
        if value is None:
            self._problems.append(f"{where}: {attribute.value!r} is no value of {attribute.kind}")
            return
        self._iec.DataAttribute_setValue(handle, value)
        self._iec.MmsValue_delete(value)

    def _maker(self, kind: str) -> Callable[[str], Any] | None:
        iec = self._iec
        if kind in _SIGNED:
            return lambda text: iec.MmsValue_newIntegerFromInt64(int(text))
        if kind in _UNSIGNED:
            return lambda text: iec.MmsValue_newUnsignedFromUint32(int(text))
        if kind in _STRINGS:
            return partial(iec.MmsValue_newVisibleString)
        if kind == "BOOLEAN":
            return lambda text: iec.MmsValue_newBoolean(_BOOLEANS[text])
        if kind == "FLOAT32":
            return lambda text: iec.MmsValue_newFloat(struct.unpack("f", struct.pack("f", float(text)))[0])
        if kind == "FLOAT64":
            return lambda text: iec.MmsValue_newDouble(float(text))
        return None

    # --- data sets and control blocks --------------------------------------------------------------------------------

    def _blocks(self, parent: Any, node: Node, where: str) -> None:
        iec = self._iec
        for data_set in node.data_sets:
            made = self._keep(iec.DataSet_create(data_set.name, parent), f"{where}.{data_set.name}")
            for member in data_set.members:
                self._keep(iec.DataSetEntry_create(made, member, -1, None), f"{where}.{data_set.name}: {member}")
        for report in node.reports:
            self._report(parent, report, where)
        for block in node.goose:
            self._goose(parent, block, where)
        for log in node.logs:
            self._keep(iec.Log_create(log, parent), f"{where}.{log}")
        for control in node.log_controls:
            made = iec.LogControlBlock_create(
                control.name, parent, control.data_set or None, control.log, control.triggers, control.integrity_ms,
                control.enabled, control.reasons,
            )  # fmt: skip
            self._keep(made, f"{where}.{control.name}")
        if node.groups is not None:
            made = iec.SettingGroupControlBlock_create(parent, node.groups.active, node.groups.groups)
            self._group_blocks[where.partition("/")[0]] = self._keep(made, f"{where}.SGCB")

    def _report(self, parent: Any, report: Report, where: str) -> None:
        for name in report.names:
            self._keep(
                self._iec.ReportControlBlock_create(
                    name, parent, report.report_id or None, report.buffered, report.data_set or None, report.conf_rev,
                    report.triggers, report.fields, report.buffer_ms, report.integrity_ms,
                ),
                f"{where}.{name}",
            )  # fmt: skip

    def _goose(self, parent: Any, block: Goose, where: str) -> None:
        iec = self._iec
        made = self._keep(
            iec.GSEControlBlock_create(
                block.name, parent, block.go_id, block.data_set, block.conf_rev, block.fixed,
                block.min_ms or -1, block.max_ms or -1,
            ),
            f"{where}.{block.name}",
        )  # fmt: skip
        if not block.mac:
            return
        # The binding has no way to make an array of octets: those of a structure are borrowed, and copied by the call.
        lender = iec.PhyComAddress()
        octets = bytes.fromhex(block.mac.replace("-", ""))
        ctypes.memmove(int(lender.dstAddress), octets, len(octets))
        address = iec.PhyComAddress_create(block.vlan_priority, block.vlan_id, block.appid, lender.dstAddress)
        iec.GSEControlBlock_addPhyComAddress(made, address)
        self._kept.append(address)

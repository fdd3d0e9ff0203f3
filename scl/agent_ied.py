"""The logical nodes of a generated agent, and the data sets and report control blocks over them.

What is here is what ``agent.mms.wiring`` can fill from the agent's state; a node that a device has no source for is not
written (no metering without samples, no RREC without reclosing). IEC TR 61850-90-6's classes for fault passage
indicators (SFPI and its kin) are not in the edition 2.1 schema: the indication is PTOC with RDIR and PTRC, voltage
presence is flsGGIO2.LivA and LivB.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from lxml import etree

from scl import flisr_dataset as ds
from scl.elements import sub
from scl.templates import DO_TYPES, NodeType
from scl.topology import Device, DeviceKind, NeutralMode, Range

STATUS_SET, MEASURED_SET, SUPERVISION_SET = "dsStatus", "dsMeas", "dsSuperv"
LOG_CONTROL, LOG = "lcbStatus", "status"
INSTANCES = 4
"""Instances of each report control block: so many clients can have it at once."""
BUFFER_MS = 50
FEW_STREAMS = 32
"""Up to this many subscriptions all that LGOS tells is reported; above it (the file would grow with the square) St."""
NAMES_MAX = 64
"""Services.nameLength: edition 2."""


class Setting(NamedTuple):
    """A data object whose value belongs to a setting group."""

    name: str
    values: tuple[float, ...]
    """setMag.f by setting group, from 1."""
    limits: Range | None = None
    """minVal.f and maxVal.f."""


class Node(NamedTuple):
    """A logical node of the agent's logical device, and the data set that reports it."""

    ln_class: str
    inst: str
    ln_type: str
    prefix: str = ""
    desc: str = ""
    settings: tuple[Setting, ...] = ()
    reference: tuple[str, str] = ("", "")
    """(data object, setSrcRef)."""
    reported: str = ""
    """Name of the data set; empty: in none."""
    objects: tuple[str, ...] | None = None
    """Those data objects that are reported; None: all with status or measured values."""


class Report(NamedTuple):
    """A report control block; it has :data:`INSTANCES` instances."""

    name: str
    data_set: str
    buffered: bool
    integrity_ms: int


REPORTS = (
    Report("brcbStatus", STATUS_SET, True, 0),
    Report("urcbStatus", STATUS_SET, False, 0),
    Report("brcbSuperv", SUPERVISION_SET, True, 0),
    Report("urcbSuperv", SUPERVISION_SET, False, 0),
    Report("urcbMeas", MEASURED_SET, False, 10_000),
)
FLISR_REPORTED = (
    "Lev", "LivA", "LivB", "ClmNum", "ClmFin", "LokA", "LokB", "Ltch", "OpnFail", "Auto", "Tag", "Rdy", "ReqKnd",
)  # fmt: skip
"""Data objects of flsGGIO2 that a client hears of by report; the rest are sample times and words of the agreement."""


def switch_class(device: Device) -> str:
    """XCBR for a breaker, XSWI for a load-break switch."""
    return "XCBR" if device.kind is DeviceKind.BREAKER else "XSWI"


def agent_nodes(device: Device, neutral: NeutralMode, peers: Iterable[str]) -> list[Node]:
    """All logical nodes but LLN0 and the switch, in order. ``peers``: IEDs whose reports the agent hears."""
    samples = device.merging_unit is not None
    nodes = [
        Node("LPHD", "1", "LPHD_Agent", reported=SUPERVISION_SET, objects=("PhyHealth", "Sim")),
        Node("LTMS", "1", "LTMS", reported=SUPERVISION_SET),
    ]
    heard = [*((peer, f"{peer}{ds.AGENT_LD}/LLN0.{ds.FLISR_CONTROL}") for peer in peers)]
    heard.append((device.breaker_ied, f"{device.breaker_ied}{ds.BREAKER_LD}/LLN0.{ds.POS_CONTROL}"))
    told = ("NdsCom", "St", "SimSt") if len(heard) <= FEW_STREAMS else ("St",)
    nodes += [
        Node("LGOS", str(i), "LGOS", desc=f"GOOSE of {ied}", reference=("GoCBRef", reference),
             reported=SUPERVISION_SET, objects=told)
        for i, (ied, reference) in enumerate(heard, 1)
    ]  # fmt: skip
    if samples:
        reference = f"{device.merging_unit}{ds.UNIT_LD}/LLN0.{ds.SV_CONTROL}"
        nodes.append(
            Node("LSVS", "1", "LSVS", desc=f"samples of {device.merging_unit}", reference=("SvCBRef", reference),
                 reported=SUPERVISION_SET, objects=("NdsCom", "St", "SimSt"))
        )  # fmt: skip
        nodes.append(Node("RDRE", "1", "RDRE", reported=SUPERVISION_SET))
    for ln_class in ("CSWI", "CILO"):
        nodes.append(Node(ln_class, "1", ln_class, reported=STATUS_SET))
    phase = Setting("StrVal", tuple(group.phase_a for group in device.groups), device.phase_pickup_range_a)
    earth = Setting("StrVal", tuple(group.earth_a for group in device.groups), device.earth_pickup_range_a)
    for inst, desc, setting in (("1", "phase", phase), ("2", "earth", earth)):
        kind = "PTOC" if setting.limits is None else "PTOC_Ranged"
        nodes.append(Node("PTOC", inst, kind, desc=desc, settings=(setting,), reported=STATUS_SET))
    if samples and neutral in (NeutralMode.ISOLATED, NeutralMode.COMPENSATED):
        told_by = (Setting("GndStr", earth.values),)
        nodes.append(Node("PSDE", "1", "PSDE", desc="earth fault, alarm", settings=told_by, reported=STATUS_SET))
    if samples:
        nodes.append(Node("PHAR", "1", "PHAR", desc="inrush restraint", reported=STATUS_SET))
    names = ["RDIR", "PTRC", "PSCH", "RBRF", "RSYN", *(["RREC"] if device.reclose_dead_times_ms else [])]
    nodes += [Node(ln_class, "1", ln_class, reported=STATUS_SET) for ln_class in names]
    nodes.append(Node("MMXU", "1", "MMXU_Samples" if samples else "MMXU", reported=MEASURED_SET))
    if samples:
        nodes.append(Node("MSQI", "1", "MSQI", reported=MEASURED_SET))
    nodes.append(Node("GGIO", "1", "GGIO_Station", desc="automation on", reported=STATUS_SET))
    nodes.append(Node("GGIO", "2", "GGIO_Report", ds.PREFIX, reported=STATUS_SET, objects=FLISR_REPORTED))
    nodes.append(Node("GGIO", "3", "GGIO_Command", ds.PREFIX))
    return nodes


def write_nodes(ldevice: etree._Element, nodes: Iterable[Node]) -> None:
    """Append the logical nodes with what is set in them."""
    for node in nodes:
        place = {"prefix": node.prefix} if node.prefix else {}
        text = {"desc": node.desc} if node.desc else {}
        element = sub(
            ldevice, "LN", **text, **place, lnClass=node.ln_class, inst=node.inst, lnType=node.ln_type
        )  # fmt: skip
        for setting in node.settings:
            _write_setting(element, setting)
        name, reference = node.reference
        if name:
            attribute = sub(sub(element, "DOI", name=name), "DAI", name="setSrcRef", valKind="RO")
            sub(attribute, "Val", reference)


def write_report_sets(
    ln0: etree._Element, nodes: Iterable[Node], node_types: dict[str, tuple[str, NodeType]]
) -> dict[str, int]:
    """Append the data sets for reports; their names with how many members each has."""
    members: dict[str, list[tuple[Node, str, str]]] = {report.data_set: [] for report in REPORTS}
    for node in nodes:
        if not node.reported:
            continue
        types = {"Beh": "ENS_Beh", **node_types[node.ln_type][1]}
        wanted = node.objects if node.objects is not None else tuple(name for name in types if name != "Beh")
        for name in wanted:
            fc = _reported_fc(types[name])
            if fc:
                members[node.reported].append((node, name, fc))
    for name, entries in members.items():
        data_set = sub(ln0, "DataSet", name=name)
        for node, do_name, fc in entries:
            place = {"prefix": node.prefix} if node.prefix else {}
            inst = {"lnInst": node.inst} if node.inst else {}
            sub(
                data_set, "FCDA", ldInst=ds.AGENT_LD, **place, lnClass=node.ln_class, **inst, doName=do_name, fc=fc
            )  # fmt: skip
    return {name: len(entries) for name, entries in members.items()}


def write_reports(ln0: etree._Element) -> None:
    """Append the report control blocks."""
    for report in REPORTS:
        block = sub(
            ln0, "ReportControl", name=report.name, datSet=report.data_set, intgPd=report.integrity_ms, confRev=1,
            buffered=str(report.buffered).lower(), bufTime=BUFFER_MS, indexed="true",
        )  # fmt: skip
        sub(block, "TrgOps", dchg="true", qchg="true", period=str(bool(report.integrity_ms)).lower(), gi="true")
        sub(
            block, "OptFields", seqNum="true", timeStamp="true", dataSet="true", reasonCode="true", configRef="true",
            **({"entryID": "true", "bufOvfl": "true"} if report.buffered else {}),
        )  # fmt: skip
        sub(block, "RptEnabled", max=INSTANCES)


def write_log_control(ln0: etree._Element) -> None:
    """Append the log control block: what the status reports tell is kept as well."""
    block = sub(
        ln0, "LogControl", name=LOG_CONTROL, datSet=STATUS_SET, logName=LOG, logEna="true", reasonCode="true"
    )  # fmt: skip
    sub(block, "TrgOps", dchg="true", qchg="true", gi="false")


def write_log(ln0: etree._Element) -> None:
    """Append the log."""
    sub(ln0, "Log", name=LOG)


def write_configured(node: etree._Element, name: str, value: float) -> None:
    """A setting ``setMag.f`` without groups."""
    part = sub(sub(node, "DOI", name=name), "SDI", name="setMag")
    sub(sub(part, "DAI", name="f", valKind="Set"), "Val", repr(value))


def _write_setting(node: etree._Element, setting: Setting) -> None:
    data = sub(node, "DOI", name=setting.name)
    attribute = sub(sub(data, "SDI", name="setMag"), "DAI", name="f", valKind="Set")
    for group, value in enumerate(setting.values, 1):
        sub(attribute, "Val", repr(value), sGroup=group)
    for name, limit in zip(("minVal", "maxVal"), setting.limits or (), strict=False):
        sub(sub(sub(data, "SDI", name=name), "DAI", name="f", valKind="RO"), "Val", repr(limit))


def _reported_fc(do_type: str) -> str:
    """ST or MX, whichever the data object has; empty: neither."""
    found = {part.fc for part in DO_TYPES[do_type][1]}
    found |= {part.fc for outer in DO_TYPES[do_type][1] if outer.b_type == "SDO" for part in DO_TYPES[outer.type][1]}
    return "MX" if "MX" in found else "ST" if "ST" in found else ""

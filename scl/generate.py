"""Writes the SCD (IEC 61850-6 Ed. 2.1, 2007B4) and the ratings file of a described feeder.

Three IEDs per device: the agent (LD FLISR), the breaker's own IED (LD CTRL), the merging unit (LD MU01), each with its
data model, data sets, control blocks and inputs; ``scl.primary`` writes the substations and lines. Multicast addresses
and APPIDs are numbered in the order of the devices, GOOSE 01-0C-CD-01-xx-xx, SV 01-0C-CD-04-xx-xx; every control block
also gets an IP group and UDP port for R-GOOSE and R-SV.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lxml import etree

from scl import flisr_dataset as ds
from scl.agent_ied import (
    INSTANCES,
    NAMES_MAX,
    REPORTS,
    STATUS_SET,
    SUPERVISION_SET,
    Node,
    agent_nodes,
    switch_class,
    write_configured,
    write_log,
    write_log_control,
    write_nodes,
    write_report_sets,
    write_reports,
)
from scl.describe import Drawing
from scl.elements import element, sub
from scl.primary import write_lines, write_substations
from scl.ratings import write_ratings
from scl.served import DATA_SETS, DYNAMIC_MEMBERS
from scl.templates import NODE_TYPES, NodeType, write_templates
from scl.topology import Device, DeviceKind, Feeder

FULL_BINDING_DEVICES = 32
"""Up to this many devices an agent's ExtRefs name every member of its peers' data sets; above it (the file would grow
with the square) the first member of each, which names the control block all the same."""
MIN_TIME_MS, MAX_TIME_MS = 4, 1000
VLAN_ID, VLAN_PRIORITY = "000", 4
STATION_AP, PROCESS_AP = "S1", "P1"
SV_LAYOUTS = {"9-2LE-80": (80, 1, "SmpPerPeriod"), "61869-9-4800-2": (4800, 2, "SmpPerSec")}
"""Layout name to (smpRate, nofASDU, smpMod)."""
PHASES = ("A", "B", "C", "N")
AGENT_KIND = "FLISR agent"
"""IED.type of an agent."""


@dataclass(frozen=True, slots=True)
class Generated:
    """The two documents."""

    scd: bytes
    ratings: str

    def write(self, scd_path: str | Path) -> Path:
        """Write ``X.scd`` and ``X.ratings.yaml`` beside it; returns the path of the ratings."""
        path = Path(scd_path)
        ratings_path = path.with_suffix(".ratings.yaml")
        path.write_bytes(self.scd)
        ratings_path.write_text(self.ratings, encoding="utf-8")
        return ratings_path


def generate(
    drawing: Drawing | Feeder, sv_layout: str = "9-2LE-80", routed: bool = False, port: int = 102
) -> Generated:
    """The SCD and ratings. ``routed``: the control blocks ask for R-GOOSE and R-SV; ``port``: their UDP port."""
    if isinstance(drawing, Feeder):
        drawing = Drawing(drawing, {})
    root = element("SCL", version="2007", revision="B", release=4)
    header = sub(root, "Header", id=drawing.feeder.name, version="1", revision="1", toolID="flisr")
    sub(header, "Text", "Generated from a drawing; ratings, impedances and loads are in the ratings file beside it.")
    names = write_substations(root, drawing)
    writer = _Writer(drawing.feeder, sv_layout, routed, port)
    communication = sub(root, "Communication")
    for device in drawing.feeder.devices:
        writer.ieds_of(root, device)
    writer.communication(communication)
    write_templates(root, writer.node_types)
    write_lines(root, drawing, names)
    etree.indent(root, "  ")
    scd = etree.tostring(root, xml_declaration=True, encoding="UTF-8")
    return Generated(scd, write_ratings(drawing.feeder))


class _Writer:
    def __init__(self, feeder: Feeder, sv_layout: str, routed: bool, port: int) -> None:
        self.feeder = feeder
        self.routed = routed
        self.port = port
        self.smp_rate, self.no_asdu, self.smp_mod = SV_LAYOUTS[sv_layout]
        self.report = ds.report_members(len(feeder.zones), len(feeder.devices))
        self.command = ds.command_members()
        self.node_types: dict[str, tuple[str, NodeType]] = dict(NODE_TYPES)
        self.node_types["GGIO_Report"] = ("GGIO", _own_objects(self.report))
        self.node_types["GGIO_Command"] = ("GGIO", _own_objects(self.command))
        self.node_types["GGIO_Breaker"] = ("GGIO", _own_objects(ds.status_members()))
        agents = [device.agent for device in feeder.devices]
        self.nodes = {
            device.agent: agent_nodes(device, feeder.neutral, [peer for peer in agents if peer != device.agent])
            for device in feeder.devices
        }
        """Logical nodes of each agent."""
        self._drop_unused()
        nodes = max(self.nodes.values(), key=len, default=[])
        self.reported_max = sum(len(self.node_types[node.ln_type][1]) for node in nodes if node.reported)
        """No data set for reports has more members."""

    def _drop_unused(self) -> None:
        kinds = {device.kind for device in self.feeder.devices}
        if DeviceKind.LOAD_BREAK_SWITCH not in kinds:
            del self.node_types["XSWI"]
        if DeviceKind.BREAKER not in kinds:
            del self.node_types["XCBR"]
        used = {node.ln_type for nodes in self.nodes.values() for node in nodes}
        used |= {"LPHD", "LLN0", "GGIO_Breaker", "XCBR", "XSWI", "RDIR"}
        if any(device.merging_unit is not None for device in self.feeder.devices):
            used |= {"TCTR", "TVTR"}
        for unused in self.node_types.keys() - used:
            del self.node_types[unused]

    # --- IEDs --------------------------------------------------------------------------------------------------------

    def ieds_of(self, root: etree._Element, device: Device) -> None:
        self._agent(root, device)
        self._breaker(root, device)
        if device.merging_unit is not None:
            self._merging_unit(root, device, device.merging_unit)

    def _ied(self, root: etree._Element, name: str, kind: str, goose: int, sv: int, subscriber: bool) -> etree._Element:
        ied = sub(
            root, "IED", name=name, type_=kind, manufacturer="FLISR", configVersion="1",
            originalSclVersion="2007", originalSclRevision="B", originalSclRelease=4,
        )  # fmt: skip
        services = sub(ied, "Services", nameLength=NAMES_MAX)
        sets, attributes, served = 2, len(self.report), kind == AGENT_KIND
        if served:
            sets, attributes = sets + len({report.data_set for report in REPORTS}), max(attributes, self.reported_max)
            _served(services, DATA_SETS - sets)
        sub(services, "ConfDataSet", max=sets, maxAttributes=attributes, modify="false")
        if served:
            _reporting(services)
        if goose:
            sub(services, "GOOSE", max=goose, rGOOSE="true")
        if sv:
            sub(services, "SMVsc", max=sv, rSV="true")
        if subscriber:
            sub(services, "ClientServices", goose="true", sv="true")
        if served:
            heard = len(self.feeder.devices)
            sub(services, "SupSubscription", maxGo=heard, maxSv=1)
            sub(services, "ValueHandling", setToRO="true")
        return ied

    def _logical_device(self, ied: etree._Element, access_point: str, inst: str) -> etree._Element:
        point = sub(ied, "AccessPoint", name=access_point)
        server = sub(point, "Server")
        sub(server, "Authentication", none="true")
        return sub(server, "LDevice", inst=inst)

    def _ln0(self, ldevice: etree._Element) -> etree._Element:
        return sub(ldevice, "LN0", lnClass="LLN0", inst="", lnType="LLN0")

    def _agent(self, root: etree._Element, device: Device) -> None:
        peers = [other for other in self.feeder.devices if other.agent != device.agent]
        ied = self._ied(root, device.agent, AGENT_KIND, goose=2, sv=0, subscriber=True)
        ldevice = self._logical_device(ied, STATION_AP, ds.AGENT_LD)
        ln0 = self._ln0(ldevice)
        nodes = self.nodes[device.agent]
        _data_set(ln0, ds.FLISR_DATA_SET, self.report)
        _data_set(ln0, ds.OPER_DATA_SET, self.command)
        switch = switch_class(device)
        ln0_reported = Node("LLN0", "", "LLN0", reported=SUPERVISION_SET, objects=("Beh", "Health"))
        reported = (ln0_reported, Node(switch, "1", switch, reported=STATUS_SET), *nodes)
        write_report_sets(ln0, reported, self.node_types)
        write_reports(ln0)
        write_log_control(ln0)
        _text(ln0, "NamPlt", "d", f"FLISR agent of {device.name}")
        inputs = sub(ln0, "Inputs")
        bound = self.report if len(self.feeder.devices) <= FULL_BINDING_DEVICES else self.report[:1]
        for peer in peers:
            _ext_refs(inputs, peer.agent, ds.AGENT_LD, ds.FLISR_CONTROL, bound)
        status = ds.status_members(switch)
        _ext_refs(inputs, device.breaker_ied, ds.BREAKER_LD, ds.POS_CONTROL, status)
        if device.merging_unit is not None:
            for member in sv_members():
                _ext_ref(inputs, device.merging_unit, ds.UNIT_LD, ds.SV_CONTROL, "SMV", member)
        write_log(ln0)
        self._gse_control(ln0, device.agent, ds.FLISR_CONTROL, ds.FLISR_DATA_SET, [peer.agent for peer in peers])
        self._gse_control(ln0, device.agent, ds.OPER_CONTROL, ds.OPER_DATA_SET, [device.breaker_ied])
        sub(ln0, "SettingControl", numOfSGs=len(device.groups), actSG=device.active_group)
        write_nodes(ldevice, nodes[:1])
        self._switch(ldevice, device)
        write_nodes(ldevice, nodes[1:])
        if device.merging_unit is not None:
            point = sub(ied, "AccessPoint", name=PROCESS_AP)
            sub(point, "ServerAt", apName=STATION_AP)

    def _breaker(self, root: etree._Element, device: Device) -> None:
        ied = self._ied(root, device.breaker_ied, "breaker controller", goose=1, sv=0, subscriber=True)
        ldevice = self._logical_device(ied, STATION_AP, ds.BREAKER_LD)
        ln0 = self._ln0(ldevice)
        _data_set(ln0, ds.POS_DATA_SET, ds.status_members(switch_class(device)))
        inputs = sub(ln0, "Inputs")
        _ext_refs(inputs, device.agent, ds.AGENT_LD, ds.OPER_CONTROL, self.command)
        self._gse_control(ln0, device.breaker_ied, ds.POS_CONTROL, ds.POS_DATA_SET, [device.agent])
        sub(ldevice, "LN", lnClass="LPHD", inst="1", lnType="LPHD")
        self._switch(ldevice, device)
        sub(ldevice, "LN", lnClass="RDIR", inst="1", lnType="RDIR")
        sub(ldevice, "LN", prefix=ds.PREFIX, lnClass="GGIO", inst="1", lnType="GGIO_Breaker")

    def _switch(self, ldevice: etree._Element, device: Device) -> None:
        ln_class = switch_class(device)
        node = sub(ldevice, "LN", lnClass=ln_class, inst="1", lnType=ln_class)
        if ln_class == "XSWI":
            data = sub(node, "DOI", name="SwTyp")
            value = sub(data, "DAI", name="stVal", valKind="RO")
            sub(value, "Val", "Load Break")

    def _merging_unit(self, root: etree._Element, device: Device, name: str) -> None:
        ied = self._ied(root, name, "merging unit", goose=0, sv=1, subscriber=False)
        ldevice = self._logical_device(ied, PROCESS_AP, ds.UNIT_LD)
        ln0 = self._ln0(ldevice)
        _data_set(ln0, ds.SV_DATA_SET, sv_members())
        control = sub(
            ln0, "SampledValueControl", name=ds.SV_CONTROL, datSet=ds.SV_DATA_SET, confRev=1, smvID=f"{name}0101",
            smpRate=self.smp_rate, nofASDU=self.no_asdu, smpMod=self.smp_mod, multicast="true",
            securityEnable="Signature",
        )  # fmt: skip
        sub(control, "IEDName", device.agent, apRef=PROCESS_AP, ldInst=ds.AGENT_LD, lnClass="LLN0")
        sub(control, "SmvOpts", sampleSynchronized="true")
        if self.routed:
            sub(control, "Protocol", "R-SV", mustUnderstand="true")
        sub(ldevice, "LN", lnClass="LPHD", inst="1", lnType="LPHD")
        for number, phase in enumerate(PHASES, 1):
            node = sub(ldevice, "LN", prefix=f"Inn{phase}", lnClass="TCTR", inst=number, lnType="TCTR")
            write_configured(node, "ARtg", device.rated_current_a)
        for number, phase in enumerate(PHASES, 1):
            node = sub(ldevice, "LN", prefix=f"Unn{phase}", lnClass="TVTR", inst=number, lnType="TVTR")
            write_configured(node, "VRtg", self.feeder.nominal_kv * 1000.0)

    def _gse_control(self, ln0: etree._Element, ied: str, name: str, data_set: str, receivers: list[str]) -> None:
        control = sub(
            ln0, "GSEControl", name=name, datSet=data_set, confRev=1, appID=f"{ied}_{name}", type_="GOOSE",
            securityEnable="Signature",
        )  # fmt: skip
        for receiver in receivers:
            sub(control, "IEDName", receiver, apRef=STATION_AP)
        if self.routed:
            sub(control, "Protocol", "R-GOOSE", mustUnderstand="true")

    # --- Communication -----------------------------------------------------------------------------------------------

    def communication(self, parent: etree._Element) -> None:
        station = sub(parent, "SubNetwork", name="StationBus", type_="8-MMS")
        sub(station, "BitRate", "100", unit="b/s", multiplier="M")
        goose = 0
        for number, device in enumerate(self.feeder.devices, 1):
            point = self._station_point(station, device.agent, 2 * number - 1)
            for name in (ds.FLISR_CONTROL, ds.OPER_CONTROL):
                goose += 1
                # APPIDs 8000 to BFFF are for trips (IEC 61850-8-1 annex C), 0001 to 3FFF for everything else.
                self._gse(point, ds.AGENT_LD, name, goose, 0x8000 if name == ds.OPER_CONTROL else 0)
            point = self._station_point(station, device.breaker_ied, 2 * number)
            goose += 1
            self._gse(point, ds.BREAKER_LD, ds.POS_CONTROL, goose, 0)
        for number, device in enumerate(self.feeder.devices, 1):
            if device.merging_unit is not None:
                bus = sub(parent, "SubNetwork", name=f"ProcessBus_{device.name}", type_="9-2")
                sub(bus, "ConnectedAP", iedName=device.agent, apName=PROCESS_AP)
                point = sub(bus, "ConnectedAP", iedName=device.merging_unit, apName=PROCESS_AP)
                smv = sub(point, "SMV", ldInst=ds.UNIT_LD, cbName=ds.SV_CONTROL)
                self._address(smv, 0x04, 0x4000 + number, number, "239.192.4")

    def _station_point(self, network: etree._Element, ied: str, number: int) -> etree._Element:
        point = sub(network, "ConnectedAP", iedName=ied, apName=STATION_AP)
        address = sub(point, "Address")
        sub(address, "P", f"10.61.{number >> 8}.{number & 255}", type_="IP")
        sub(address, "P", "255.255.0.0", type_="IP-SUBNET")
        return point

    def _gse(self, point: etree._Element, ld_inst: str, name: str, number: int, appid_base: int) -> None:
        gse = sub(point, "GSE", ldInst=ld_inst, cbName=name)
        self._address(gse, 0x01, appid_base + number, number, "239.192.1")
        sub(gse, "MinTime", str(MIN_TIME_MS), unit="s", multiplier="m")
        sub(gse, "MaxTime", str(MAX_TIME_MS), unit="s", multiplier="m")

    def _address(self, parent: etree._Element, kind: int, appid: int, number: int, group: str) -> None:
        """``number`` counts from 1. 61850-8-1 annex B recommends 00-00 to 01-FF for the last two octets."""
        address = sub(parent, "Address")
        sub(address, "P", f"01-0C-CD-{kind:02X}-{number >> 8:02X}-{number & 255:02X}", type_="MAC-Address")
        sub(address, "P", f"{appid:04X}", type_="APPID")
        sub(address, "P", VLAN_ID, type_="VLAN-ID")
        sub(address, "P", str(VLAN_PRIORITY), type_="VLAN-PRIORITY")
        base, _, third = group.rpartition(".")
        sub(address, "P", f"{base}.{int(third) + 8 * (number // 250)}.{number % 250 + 1}", type_="IP")
        sub(address, "P", str(self.port), type_="IP-UDP-PORT")


def sv_members() -> tuple[ds.Member, ...]:
    """PhsMeas1 of IEC 61850-9-2LE: four currents, four voltages, each with quality."""
    members = []
    for prefix, ln_class, do_name in (("Inn", "TCTR", "AmpSv"), ("Unn", "TVTR", "VolSv")):
        for number, phase in enumerate(PHASES, 1):
            for da_name, b_type in (("instMag.i", "INT32"), ("q", "Quality")):
                place = (ds.UNIT_LD, prefix + phase, ln_class, str(number), do_name, da_name, "MX", b_type)
                members.append(ds.Member(f"{do_name}.{phase}.{da_name}", *place))
    return tuple(members)


def _own_objects(members: tuple[ds.Member, ...]) -> NodeType:
    """Data objects of a prefixed GGIO from the data set that shows them."""
    objects: NodeType = {}
    for member in members:
        if member.prefix == ds.PREFIX:
            if member.b_type == "INT64":
                kind = "Own_BCR_Mask" if member.word >= 0 else "Own_BCR_Time"
            else:
                kind = {
                    "BOOLEAN": "Own_SPS", "INT32": "Own_INS", "FLOAT32": "Own_MV", "Enum": f"Own_ENS_{member.enum}",
                }[member.b_type]  # fmt: skip
            objects[member.do_name] = kind
    return objects


def _data_set(ln0: etree._Element, name: str, members: tuple[ds.Member, ...]) -> None:
    data_set = sub(ln0, "DataSet", name=name)
    for m in members:
        place = {"prefix": m.prefix} if m.prefix else {}
        sub(
            data_set, "FCDA", ldInst=m.ld_inst, **place, lnClass=m.ln_class, lnInst=m.ln_inst, doName=m.do_name,
            daName=m.da_name, fc=m.fc,
        )  # fmt: skip


def _ext_refs(inputs: etree._Element, ied: str, ld: str, control: str, members: tuple[ds.Member, ...]) -> None:
    for member in members:
        _ext_ref(inputs, ied, ld, control, "GOOSE", member)


def _ext_ref(inputs: etree._Element, ied: str, ld: str, control: str, service: str, m: ds.Member) -> None:
    place = {"prefix": m.prefix} if m.prefix else {}
    sub(
        inputs, "ExtRef", iedName=ied, ldInst=m.ld_inst, **place, lnClass=m.ln_class, lnInst=m.ln_inst,
        doName=m.do_name, daName=m.da_name, serviceType=service, srcLDInst=ld, srcLNClass="LLN0", srcCBName=control,
    )  # fmt: skip


def _text(node: etree._Element, object_name: str, attribute: str, text: str) -> None:
    sub(sub(sub(node, "DOI", name=object_name), "DAI", name=attribute, valKind="RO"), "Val", text)


def _served(services: etree._Element, data_sets: int) -> None:
    """What the agent's MMS server answers (``agent.mms.server``). ``data_sets``: of clients."""
    sub(services, "DynAssociation")
    groups = sub(services, "SettingGroups")
    sub(groups, "SGEdit", resvTms="true")
    sub(groups, "ConfSG")
    for name in ("GetDirectory", "GetDataObjectDefinition", "DataObjectDirectory", "GetDataSetValue"):
        sub(services, name)
    sub(services, "DataSetDirectory")
    sub(services, "DynDataSet", max=data_sets, maxAttributes=DYNAMIC_MEMBERS)


def _reporting(services: etree._Element) -> None:
    sub(services, "ReadWrite")
    sub(services, "ConfReportControl", max=len(REPORTS) * INSTANCES, bufMode="both", bufConf="false")
    sub(services, "GetCBValues")
    sub(services, "ConfLogControl", max=1)
    sub(services, "LogSettings", cbName="Fix", datSet="Fix", logEna="Dyn", trgOps="Fix", intgPd="Fix")
    sub(services, "FileHandling", mms="true")
    dynamic = dict.fromkeys(("rptID", "optFields", "bufTime", "trgOps", "intgPd"), "Dyn")
    sub(services, "ReportSettings", cbName="Fix", datSet="Dyn", **dynamic, resvTms="true")

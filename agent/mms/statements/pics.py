"""Protocol implementation conformance statement: the ACSI tables of IEC 61850-7-2, annex A, filled from the SCL and
the code. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from agent.mms import requests, roles, server
from agent.mms.statements.offered import DIRECT, DIRECT_ENHANCED, SELECT, SELECT_ENHANCED, STATUS_ONLY, Offered
from agent.mms.statements.page import Page, Table, answer
from agent.mms.tree import DUPD, Attribute

SERVED: Final = frozenset().union(*roles.RIGHTS.values())
"""Rights that some role has."""
SOON_S: Final = 5.0


class Line(NamedTuple):
    """One line of the statement."""

    code: str
    name: str
    offered: bool
    why: str
    """Where that follows from."""


def lines(of: Offered) -> tuple[Line, ...]:
    """All of them, in the order of the standard."""
    return (*_basic(of), *_models(of), *_services(of))


def page(of: Offered) -> Page:
    """The statement."""
    headings = ("line", "what", "offered", "from")
    tables = [
        Table(title, "", headings, tuple((line.code, line.name, answer(line.offered), line.why) for line in group))
        for title, group in (
            ("Basic conformance", _basic(of)),
            ("Models", _models(of)),
            ("Services", _services(of)),
        )
    ]
    return Page(
        "PICS: what is offered",
        f"Of IED `{of.tree.ied}`, after IEC 61850-7-2, annex A; mapping IEC 61850-8-1. Server side; what it offers "
        "follows from the SCL and the code, and is not typed in.",
        tuple(tables),
    )


def _service(tag: int) -> bool:
    """A confirmed service that the door lets pass for some role."""
    return requests.SERVICES[tag][1] in SERVED


def _writes(constraint: str) -> bool:
    """Some role may write it, and the server lets it be written."""
    return requests.WRITES.get(constraint) in SERVED and constraint not in server.SETTINGS


def _basic(of: Offered) -> tuple[Line, ...]:
    goose, heard = of.blocks.get("GSEControl", 0), of.classes()["LGOS"]
    samples, taken = of.blocks.get("SampledValueControl", 0), of.classes()["LSVS"]
    return (
        Line("B11", "server side of a two-party association", True, "agent.mms.server"),
        Line("B12", "client side of a two-party association", False, "an agent asks no server"),
        Line("B21", "mapping IEC 61850-8-1 (MMS, GOOSE)", True, "agent.mms, agent.goose"),
        Line("B31", "GOOSE publisher", goose > 0, f"{goose} GSEControl"),
        Line("B32", "GOOSE subscriber", heard > 0, f"{heard} LGOS"),
        Line("B41", "Sampled Values publisher", samples > 0, f"{samples} SampledValueControl"),
        Line("B42", "Sampled Values subscriber", taken > 0, f"{taken} LSVS"),
    )


def _models(of: Offered) -> tuple[Line, ...]:
    logs = of.blocks.get("LogControl", 0)
    return (
        Line("M1", "logical device", True, f"{len(of.tree.devices)}"),
        Line("M2", "logical node", True, f"{sum(of.classes().values())}"),
        Line("M3", "data", True, f"{sum(len(node.objects) for _, node in of.tree.nodes())} data objects"),
        Line("M4", "data set", True, f"{of.blocks.get('DataSet', 0)} DataSet"),
        Line("M5", "substitution", ("subEna", "SV") in of.leaves, "attributes with FC SV"),
        Line("M6", "setting group control", of.groups > 0, f"{of.groups} groups"),
        Line("M7", "buffered report control", of.buffered > 0, f"{of.buffered} instances"),
        Line("M8", "unbuffered report control", of.unbuffered > 0, f"{of.unbuffered} instances"),
        Line("M9", "log control", logs > 0, f"{logs} LogControl"),
        Line("M10", "log", logs > 0, f"{logs} LogControl"),
        Line("M11", "control", bool(of.controls), f"{len(of.controls)} controllable data objects"),
        Line("M12", "GOOSE", of.blocks.get("GSEControl", 0) > 0, f"{of.blocks.get('GSEControl', 0)} GSEControl"),
        Line("M13", "GSSE", False, "not in edition 2"),
        Line(
            "M14", "multicast Sampled Values", of.blocks.get("SampledValueControl", 0) > 0,
            f"{of.blocks.get('SampledValueControl', 0)} SampledValueControl",
        ),
        Line("M15", "unicast Sampled Values", False, "no code"),
        Line("M16", "time", True, f"{of.classes()['LTMS']} LTMS"),
        Line("M17", "file transfer", "FileHandling" in of.declared, "Services/FileHandling"),
    )  # fmt: skip


def _services(of: Offered) -> tuple[Line, ...]:
    return (*_data(of), *_settings(of), *_reports(of), *_logs(of), *_goose(of), *_control(of), *_files(of), *_time())


def _data(of: Offered) -> tuple[Line, ...]:
    made = "DynDataSet" in of.declared and _service(0xAB)
    writes = [constraint for constraint in ("SP", "CF", "DC") if _writes(constraint)]
    substitutes = ("subEna", "SV") in of.leaves
    return (
        Line("S1", "GetServerDirectory", _service(0xA1), "get name list"),
        Line("S2", "Associate", True, "agent.mms.porter"),
        Line("S3", "Abort", True, "agent.mms.association"),
        Line("S4", "Release", True, "agent.mms.association"),
        Line("S5", "GetLogicalDeviceDirectory", _service(0xA1), "get name list"),
        Line("S6", "GetLogicalNodeDirectory", _service(0xA1), "get name list"),
        Line("S7", "GetAllDataValues", _service(requests.READ), "read"),
        Line("S8", "GetDataValues", _service(requests.READ), "read"),
        Line("S9", "SetDataValues", bool(writes), f"FC {', '.join(writes)}" if writes else "FC SP, CF, DC are refused"),
        Line("S10", "GetDataDirectory", _service(0xA6), "get variable access attributes"),
        Line("S11", "GetDataDefinition", _service(0xA6), "get variable access attributes"),
        Line("S12", "GetDataSetValues", _service(requests.READ), "read"),
        Line("S13", "SetDataSetValues", False, "nobody writes a data set (agent.mms.requests)"),
        Line("S14", "CreateDataSet", made, "Services/DynDataSet, right dataset"),
        Line("S15", "DeleteDataSet", made, "Services/DynDataSet, right dataset"),
        Line("S16", "GetDataSetDirectory", _service(0xAC), "get data set directory"),
        Line("S17", "SetDataValues of substitution", substitutes and _writes("SV"), "attributes with FC SV"),
    )


def _settings(of: Offered) -> tuple[Line, ...]:
    block, several = of.groups > 0, of.groups > 1
    edits = "SettingGroups/SGEdit" in of.declared
    return (
        Line("S18", "SelectActiveSG", several, f"{of.groups} groups"),
        Line("S19", "SelectEditSG", edits, "Services/SettingGroups/SGEdit"),
        Line("S20", "SetEditSGValue", edits, "Services/SettingGroups/SGEdit"),
        Line("S21", "ConfirmEditSGValues", edits, "Services/SettingGroups/SGEdit"),
        Line("S22", "GetEditSGValue", block, "read, FC SG and SE"),
        Line("S23", "GetSGCBValues", block, f"{of.groups} groups"),
    )


def _reports(of: Offered) -> tuple[Line, ...]:
    updates = any(
        _updates(attribute) for _, node in of.tree.nodes() for data in node.objects for attribute in data.attributes
    )
    found = []
    for code, kind, count, constraint in (
        ("S24", "buffered", of.buffered, "BR"),
        ("S27", "unbuffered", of.unbuffered, "RP"),
    ):
        number = int(code[1:])
        letter = kind[0].upper()
        found += [
            Line(code, f"Report, {kind}", count > 0, f"{count} instances"),
            Line(f"{code}-1", "data change", count > 0, "dchg of attributes"),
            Line(f"{code}-2", "quality change", count > 0, "qchg of attributes"),
            Line(f"{code}-3", "data update", count > 0 and updates, "dupd of attributes"),
            Line(f"S{number + 1}", f"Get{letter}RCBValues", count > 0, "read"),
            Line(
                f"S{number + 2}", f"Set{letter}RCBValues", count > 0 and _writes(constraint), f"write, FC {constraint}"
            ),
        ]  # fmt: skip
    return tuple(found)


def _updates(attribute: Attribute) -> bool:
    return bool(attribute.triggers & DUPD) or any(_updates(part) for part in attribute.parts)


def _logs(of: Offered) -> tuple[Line, ...]:
    logs = of.blocks.get("LogControl", 0)
    why = f"{logs} LogControl"
    return (
        Line("S30", "GetLCBValues", logs > 0, why),
        Line("S31", "SetLCBValues", logs > 0 and _writes("LG"), why),
        Line("S32", "QueryLogByTime", logs > 0 and _service(0xBF41), why),
        Line("S33", "QueryLogAfter", logs > 0 and _service(0xBF41), why),
        Line("S34", "GetLogStatusValues", logs > 0, why),
    )


def _goose(of: Offered) -> tuple[Line, ...]:
    goose, samples = of.blocks.get("GSEControl", 0), of.blocks.get("SampledValueControl", 0)
    return (
        Line("S35", "SendGOOSEMessage", goose > 0, f"{goose} GSEControl"),
        Line("S36", "GetGoReference", False, "no code"),
        Line("S37", "GetGOOSEElementNumber", False, "no code"),
        Line("S38", "GetGoCBValues", goose > 0, "as they are"),
        Line("S39", "SetGoCBValues", False, "agent.mms.control_blocks: every write is refused"),
        Line("S45", "SendMSVMessage", samples > 0, f"{samples} SampledValueControl"),
        Line("S46", "GetMSVCBValues", samples > 0, f"{samples} SampledValueControl"),
    )


def _control(of: Offered) -> tuple[Line, ...]:
    models = {control.model for control in of.controls} - {STATUS_ONLY}
    soon = [control for control in of.controls if control.select_s is not None and control.select_s <= SOON_S]
    why = f"ctlModel {', '.join(map(str, sorted(models)))}"
    return (
        Line("S51", "Select", SELECT in models, why),
        Line("S52", "SelectWithValue", SELECT_ENHANCED in models, why),
        Line("S53", "Cancel", bool(models & {SELECT, SELECT_ENHANCED}), why),
        Line("S54", "Operate", bool(models), why),
        Line("S55", "CommandTermination", bool(models & {DIRECT_ENHANCED, SELECT_ENHANCED}), why),
        Line("DOns", "direct with normal security", DIRECT in models, why),
        Line("DOes", "direct with enhanced security", DIRECT_ENHANCED in models, why),
        Line("SBOtime", "selections end within 5 s", bool(soon), f"sboTimeout at most {SOON_S:g} s"),
        Line("S56", "TimeActivatedOperate", any(control.timed for control in of.controls), "operTm"),
    )


def _files(of: Offered) -> tuple[Line, ...]:
    files = "FileHandling" in of.declared
    return (
        Line("S57", "GetFile", files and _service(0xBF48), "Services/FileHandling"),
        Line("S58", "SetFile", False, "no code"),
        Line("S59", "DeleteFile", False, "no code"),
        Line("S60", "GetFileAttributeValues", files and _service(0xBF4D), "Services/FileHandling"),
    )


def _time() -> tuple[Line, ...]:
    return (
        Line("Tm-PTP", "time by PTP (IEC/IEEE 61850-9-3)", True, "linuxptp, agent.time"),
        Line("Tm-SNTP", "time by SNTP", False, "no code"),
    )

"""DataTypeTemplates of the generated SCD: logical node types, CDCs of IEC 61850-7-3, enumerations.

Everything is written from tables; a type is written once and only if a logical node needs it.
"""

from __future__ import annotations

from typing import NamedTuple

from lxml import etree

from scl.elements import sub
from scl.flisr_dataset import ENUMS, NAME_SPACE

SUB_OBJECT = "SDO"
VENDOR = "FLISR"
"""NamPlt.vendor and PhyNam.vendor of every generated IED."""


class Attribute(NamedTuple):
    """A DA, BDA or (basic type :data:`SUB_OBJECT`) SDO."""

    name: str
    b_type: str
    fc: str = ""
    type: str = ""
    val: str = ""
    trigger: str = ""


def _q_t(fc: str) -> tuple[Attribute, ...]:
    return Attribute("q", "Quality", fc, trigger="qchg"), Attribute("t", "Timestamp", fc)


def _status(b_type: str, enum: str = "", name: str = "stVal") -> tuple[Attribute, ...]:
    return Attribute(name, b_type, "ST", enum, trigger="dchg"), *_q_t("ST")


_OWN = (Attribute("dataNs", "VisString255", "EX", val=NAME_SPACE),)
_STATUS_ONLY = Attribute("ctlModel", "Enum", "CF", "CtlModelKind", "status-only")
_OPERATED = (Attribute("origin", "Struct", "ST", "Originator"), Attribute("ctlNum", "INT8U", "ST"))
"""Who operated last; the server keeps it."""
_SBO = (
    Attribute("ctlModel", "Enum", "CF", "CtlModelKind", "sbo-with-enhanced-security"),
    Attribute("sboTimeout", "INT32U", "CF", val="30000"),
    Attribute("SBOw", "Struct", "CO", "OperDpc"),
    Attribute("Oper", "Struct", "CO", "OperDpc"),
    Attribute("Cancel", "Struct", "CO", "CancelDpc"),
)
_DIRECT = (
    Attribute("ctlModel", "Enum", "CF", "CtlModelKind", "direct-with-normal-security"),
    Attribute("Oper", "Struct", "CO", "OperSpc"),
)
_PULSE = Attribute("pulsQty", "FLOAT32", "CF", val="0.000001")
_CONFIGURED = Attribute("setMag", "Struct", "SP", "AnalogueF")
_LIMITS = tuple(Attribute(name, "Struct", "CF", "AnalogueF") for name in ("minVal", "maxVal"))
"""What a client may set; nothing without them."""
_COMPLEX = (Attribute("cVal", "Struct", "MX", "Vector", trigger="dchg"), *_q_t("MX"))
_MAG = (Attribute("mag", "Struct", "MX", "AnalogueF", trigger="dchg"), *_q_t("MX"))

_KILO = Attribute("multiplier", "Enum", "", "MultiplierKind", "k")


def _unit(name: str) -> Attribute:
    return Attribute("units", "Struct", "CF", f"Unit_{name}")


def _parts(do_type: str, *names: str) -> tuple[Attribute, ...]:
    return tuple(Attribute(name, SUB_OBJECT, type=do_type) for name in names)


_SEQUENCE = Attribute("seqT", "Enum", "MX", "SequenceKind", "pos-neg-zero")

DO_TYPES: dict[str, tuple[str, tuple[Attribute, ...]]] = {
    "LPL_LLN0": (
        "LPL",
        (
            Attribute("vendor", "VisString255", "DC", val=VENDOR),
            Attribute("swRev", "VisString255", "DC"),
            Attribute("d", "VisString255", "DC"),
            Attribute("configRev", "VisString255", "DC", val="1"),
            Attribute("ldNs", "VisString255", "EX", val="IEC 61850-7-4:2007B4"),
        ),
    ),
    "DPL": ("DPL", (Attribute("vendor", "VisString255", "DC", val=VENDOR),)),
    "ENC_Mod": ("ENC", (*_status("Enum", "BehaviourModeKind"), _STATUS_ONLY)),
    "ENS_Beh": ("ENS", _status("Enum", "BehaviourModeKind")),
    "ENS_Health": ("ENS", _status("Enum", "HealthKind")),
    "ENS_AutoRecSt": ("ENS", _status("Enum", "AutoReclosingKind")),
    "ENS_SwTyp": ("ENS", _status("Enum", "SwitchFunctionKind")),
    "SPS": ("SPS", _status("BOOLEAN")),
    "INS": ("INS", _status("INT32")),
    "VSS": ("VSS", _status("VisString255")),
    "ORG": ("ORG", (Attribute("setSrcRef", "ObjRef", "SP"),)),
    "SPC_Status": ("SPC", (*_status("BOOLEAN"), _STATUS_ONLY)),
    "SPC_Direct": ("SPC", (*_OPERATED, *_status("BOOLEAN"), *_DIRECT)),
    "DPC_Status": ("DPC", (*_status("Dbpos"), _STATUS_ONLY)),
    "DPC_Sbo": ("DPC", (*_OPERATED, *_status("Dbpos"), *_SBO)),
    "ACT": ("ACT", _status("BOOLEAN", name="general")),
    "ACD": (
        "ACD",
        (
            Attribute("general", "BOOLEAN", "ST", trigger="dchg"),
            Attribute("dirGeneral", "Enum", "ST", "FaultDirectionKind", trigger="dchg"),
            *_q_t("ST"),
        ),
    ),
    "ASG": ("ASG", (_CONFIGURED,)),
    "ASG_Group": ("ASG", (_CONFIGURED._replace(fc="SG"),)),
    "ASG_Ranged": ("ASG", (_CONFIGURED._replace(fc="SG"), *_LIMITS)),
    "MV_kW": ("MV", (*_MAG, _unit("kW"))),
    "MV_kVAr": ("MV", (*_MAG, _unit("kVAr"))),
    "MV_Hz": ("MV", (*_MAG, _unit("Hz"))),
    "CMV_A": ("CMV", (*_COMPLEX, _unit("A"))),
    "CMV_V": ("CMV", (*_COMPLEX, _unit("V"))),
    "WYE_A": ("WYE", _parts("CMV_A", "phsA", "phsB", "phsC", "res")),
    "WYE_V": ("WYE", _parts("CMV_V", "phsA", "phsB", "phsC")),
    "SEQ_A": ("SEQ", (*_parts("CMV_A", "c1", "c2", "c3"), _SEQUENCE)),
    "SEQ_V": ("SEQ", (*_parts("CMV_V", "c1", "c2", "c3"), _SEQUENCE)),
    "SAV_A": (
        "SAV",
        (
            Attribute("instMag", "Struct", "MX", "AnalogueI"),
            Attribute("q", "Quality", "MX", trigger="qchg"),
            Attribute("sVC", "Struct", "CF", "Scale_mA"),
        ),
    ),
    "SAV_V": (
        "SAV",
        (
            Attribute("instMag", "Struct", "MX", "AnalogueI"),
            Attribute("q", "Quality", "MX", trigger="qchg"),
            Attribute("sVC", "Struct", "CF", "Scale_10mV"),
        ),
    ),
    "Own_SPS": ("SPS", (*_status("BOOLEAN"), *_OWN)),
    "Own_INS": ("INS", (*_status("INT32"), *_OWN)),
    "Own_BCR_Time": ("BCR", (*_status("INT64", name="actVal"), _PULSE, *_OWN)),
    "Own_BCR_Mask": ("BCR", (*_status("INT64", name="actVal"), _PULSE._replace(val="1"), *_OWN)),
    "Own_MV": ("MV", (*_MAG, *_OWN)),
    "Own_ENS_FlisrLevel": ("ENS", (*_status("Enum", "FlisrLevel"), *_OWN)),
    "Own_ENS_FlisrLive": ("ENS", (*_status("Enum", "FlisrLive"), *_OWN)),
    "Own_ENS_FlisrRequest": ("ENS", (*_status("Enum", "FlisrRequest"), *_OWN)),
}
"""DOType id to (CDC, attributes)."""

DA_TYPES: dict[str, tuple[Attribute, ...]] = {
    "AnalogueF": (Attribute("f", "FLOAT32"),),
    "AnalogueI": (Attribute("i", "INT32"),),
    "Vector": (Attribute("mag", "Struct", type="AnalogueF"), Attribute("ang", "Struct", type="AnalogueF")),
    "Unit_A": (Attribute("SIUnit", "Enum", "", "SIUnitKind", "A"),),
    "Unit_V": (Attribute("SIUnit", "Enum", "", "SIUnitKind", "V"),),
    "Unit_Hz": (Attribute("SIUnit", "Enum", "", "SIUnitKind", "Hz"),),
    "Unit_kW": (Attribute("SIUnit", "Enum", "", "SIUnitKind", "W"), _KILO),
    "Unit_kVAr": (Attribute("SIUnit", "Enum", "", "SIUnitKind", "VAr"), _KILO),
    "Scale_mA": (Attribute("scaleFactor", "FLOAT32", val="0.001"), Attribute("offset", "FLOAT32", val="0")),
    "Scale_10mV": (Attribute("scaleFactor", "FLOAT32", val="0.01"), Attribute("offset", "FLOAT32", val="0")),
    "Originator": (Attribute("orCat", "Enum", type="OriginatorCategoryKind"), Attribute("orIdent", "Octet64")),
    "OperDpc": (
        Attribute("ctlVal", "BOOLEAN"),
        Attribute("origin", "Struct", type="Originator"),
        Attribute("ctlNum", "INT8U"),
        Attribute("T", "Timestamp"),
        Attribute("Test", "BOOLEAN"),
        Attribute("Check", "Check"),
    ),
    "CancelDpc": (
        Attribute("ctlVal", "BOOLEAN"),
        Attribute("origin", "Struct", type="Originator"),
        Attribute("ctlNum", "INT8U"),
        Attribute("T", "Timestamp"),
        Attribute("Test", "BOOLEAN"),
    ),
}
DA_TYPES["OperSpc"] = DA_TYPES["OperDpc"]

ENUM_TYPES: dict[str, tuple[tuple[int, str], ...]] = {
    **ENUMS,
    "BehaviourModeKind": ((1, "on"), (2, "on-blocked"), (3, "test"), (4, "test/blocked"), (5, "off")),
    "HealthKind": ((1, "Ok"), (2, "Warning"), (3, "Alarm")),
    "AutoReclosingKind": ((1, "Ready"), (2, "In Progress"), (3, "Successful")),
    "SequenceKind": ((0, "pos-neg-zero"), (1, "dir-quad-zero")),
    "SwitchFunctionKind": (
        (1, "Load Break"),
        (2, "Disconnector"),
        (3, "Earthing Switch"),
        (4, "High Speed Earthing Switch"),
    ),
    "CtlModelKind": (
        (0, "status-only"),
        (1, "direct-with-normal-security"),
        (2, "sbo-with-normal-security"),
        (3, "direct-with-enhanced-security"),
        (4, "sbo-with-enhanced-security"),
    ),
    "OriginatorCategoryKind": (
        (0, "not-supported"),
        (1, "bay-control"),
        (2, "station-control"),
        (3, "remote-control"),
        (4, "automatic-bay"),
        (5, "automatic-station"),
        (6, "automatic-remote"),
        (7, "maintenance"),
        (8, "process"),
    ),
    "SIUnitKind": ((5, "A"), (29, "V"), (33, "Hz"), (62, "W"), (63, "VAr")),
    "MultiplierKind": ((-3, "m"), (0, ""), (3, "k"), (6, "M")),
}

NodeType = dict[str, str]
"""Data object name to DOType id, in order; ``Beh`` is added to all."""

_SWITCH: NodeType = {
    "Loc": "SPS", "OpCnt": "INS", "EEHealth": "ENS_Health",
    "Pos": "DPC_Status", "BlkOpn": "SPC_Status", "BlkCls": "SPC_Status",
}  # fmt: skip
_POWERS: NodeType = {"TotW": "MV_kW", "TotVAr": "MV_kVAr"}

NODE_TYPES: dict[str, tuple[str, NodeType]] = {
    "LLN0": ("LLN0", {"Mod": "ENC_Mod", "Health": "ENS_Health", "NamPlt": "LPL_LLN0"}),
    "LPHD": ("LPHD", {"PhyNam": "DPL", "PhyHealth": "ENS_Health", "Proxy": "SPS"}),
    "LPHD_Agent": ("LPHD", {"PhyNam": "DPL", "PhyHealth": "ENS_Health", "Proxy": "SPS", "Sim": "SPC_Status"}),
    "LTMS": ("LTMS", {"TmSrc": "VSS", "TmAcc": "INS", "TmChSt1": "SPS"}),
    "LGOS": (
        "LGOS",
        {"NdsCom": "SPS", "St": "SPS", "SimSt": "SPS", "LastStNum": "INS", "ConfRevNum": "INS", "GoCBRef": "ORG"},
    ),
    "LSVS": ("LSVS", {"NdsCom": "SPS", "St": "SPS", "SimSt": "SPS", "ConfRevNum": "INS", "SvCBRef": "ORG"}),
    "CSWI": ("CSWI", {"Pos": "DPC_Sbo", "Loc": "SPS"}),
    "CILO": ("CILO", {"EnaOpn": "SPS", "EnaCls": "SPS"}),
    "XCBR": ("XCBR", _SWITCH),
    "XSWI": ("XSWI", {**_SWITCH, "SwTyp": "ENS_SwTyp"}),
    "PTOC": ("PTOC", {"Str": "ACD", "Op": "ACT", "StrVal": "ASG_Group"}),
    "PTOC_Ranged": ("PTOC", {"Str": "ACD", "Op": "ACT", "StrVal": "ASG_Ranged"}),
    "PSDE": ("PSDE", {"Str": "ACD", "GndStr": "ASG_Group"}),
    "PHAR": ("PHAR", {"Str": "ACD"}),
    "PSCH": ("PSCH", {"Op": "ACT"}),
    "PTRC": ("PTRC", {"Tr": "ACT", "Op": "ACT", "Str": "ACD"}),
    "RBRF": ("RBRF", {"OpEx": "ACT"}),
    "RDIR": ("RDIR", {"Dir": "ACD"}),
    "RDRE": ("RDRE", {"RcdMade": "SPS", "FltNum": "INS"}),
    "RREC": ("RREC", {"Op": "ACT", "AutoRecSt": "ENS_AutoRecSt"}),
    "RSYN": ("RSYN", {"Rel": "SPS"}),
    "MMXU": ("MMXU", _POWERS),
    "MMXU_Samples": ("MMXU", {**_POWERS, "Hz": "MV_Hz", "PhV": "WYE_V", "A": "WYE_A"}),
    "MSQI": ("MSQI", {"SeqA": "SEQ_A", "SeqV": "SEQ_V"}),
    "GGIO_Station": ("GGIO", {"SPCSO1": "SPC_Direct"}),
    "TCTR": ("TCTR", {"ARtg": "ASG", "AmpSv": "SAV_A"}),
    "TVTR": ("TVTR", {"VRtg": "ASG", "VolSv": "SAV_V"}),
}
"""LNodeType id to (lnClass, data objects)."""


def write_templates(root: etree._Element, node_types: dict[str, tuple[str, NodeType]]) -> None:
    """Append DataTypeTemplates with these logical node types and whatever they need."""
    top = sub(root, "DataTypeTemplates")
    do_ids: dict[str, None] = {}
    for id_, (ln_class, objects) in node_types.items():
        node = sub(top, "LNodeType", id=id_, lnClass=ln_class)
        for name, do_id in {"Beh": "ENS_Beh", **objects}.items():
            sub(node, "DO", name=name, type=do_id)
            do_ids[do_id] = None
    for do_id in list(do_ids):
        do_ids.update(dict.fromkeys(part.type for part in DO_TYPES[do_id][1] if part.b_type == SUB_OBJECT))
    da_ids: dict[str, None] = {}
    enum_ids: dict[str, None] = {}
    for do_id in do_ids:
        cdc, attributes = DO_TYPES[do_id]
        node = sub(top, "DOType", id=do_id, cdc=cdc)
        for attribute in attributes:
            if attribute.b_type == SUB_OBJECT:
                sub(node, "SDO", name=attribute.name, type_=attribute.type)
            else:
                _attribute(node, "DA", attribute, da_ids, enum_ids)
    written: set[str] = set()
    while missing := [da_id for da_id in da_ids if da_id not in written]:
        for da_id in missing:
            node = sub(top, "DAType", id=da_id)
            for attribute in DA_TYPES[da_id]:
                _attribute(node, "BDA", attribute, da_ids, enum_ids)
            written.add(da_id)
    for enum_id in enum_ids:
        node = sub(top, "EnumType", id=enum_id)
        for ordinal, text in ENUM_TYPES[enum_id]:
            sub(node, "EnumVal", text, ord=ordinal)


def _attribute(
    parent: etree._Element, tag: str, attribute: Attribute, da_ids: dict[str, None], enum_ids: dict[str, None]
) -> None:
    node = sub(parent, tag, name=attribute.name, bType=attribute.b_type)
    if attribute.type:
        node.set("type", attribute.type)
        (da_ids if attribute.b_type == "Struct" else enum_ids)[attribute.type] = None
    if attribute.fc:
        node.set("fc", attribute.fc)
    if attribute.trigger:
        node.set(attribute.trigger, "true")
    if attribute.val:
        sub(node, "Val", attribute.val)

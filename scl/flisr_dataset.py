"""The three GOOSE data sets of the scheme, member by member: what ``scl.generate`` writes and ``agent.goose`` encodes.

Each :class:`Member` names a field of the tuple in ``agent/logic/messages.py`` that it carries (dotted where tuples
nest) and its place in the data model (IEC 61850-7-4 logical nodes; ``flsGGIO`` with data objects of our own name space
where 7-4 has none). All members are attributes of fixed width, in the field order of the tuple:

======== ============ ==================== =====================================================
data set published by tuple                control block
======== ============ ==================== =====================================================
dsFlisr  agent        ``Report``           gcbFlisr, to every other agent
dsOper   agent        ``BreakerCommand``   gcbOper, to its own breaker's IED
dsPos    breaker IED  ``BreakerStatus``    gcbPos, to the device's agent (position, VPIS, relay)
======== ============ ==================== =====================================================

Representation (bType): counters INT32; times INT64, microseconds UTC; measured values FLOAT32 in A, kW, kvar;
enumerations Enum with the ordinals of the Python enumeration; positions Dbpos; flags BOOLEAN. A mask of zones or
devices is one or more INT64 words (CDC BCR), each with :data:`MASK_BITS` bits, lowest index first: word ``w`` bit ``b``
is index ``63 w + b``; so every word is non-negative, and a feeder of up to 63 zones and 63 devices needs one word each.
"""

from __future__ import annotations

from typing import NamedTuple

MASK_BITS = 63
GRANTS = 4
"""Grants a report can carry (``agent.logic.messages.GRANTS_MAX``); an unused one is device -1, number 0."""

AGENT_LD = "FLISR"
BREAKER_LD = "CTRL"
UNIT_LD = "MU01"
PREFIX = "fls"
"""LN prefix of the nodes whose data objects are of the scheme's own name space."""
NAME_SPACE = "FLISR:2026"

FLISR_DATA_SET, FLISR_CONTROL = "dsFlisr", "gcbFlisr"
OPER_DATA_SET, OPER_CONTROL = "dsOper", "gcbOper"
POS_DATA_SET, POS_CONTROL = "dsPos", "gcbPos"
SV_DATA_SET, SV_CONTROL = "PhsMeas1", "msvcb01"


class Member(NamedTuple):
    """One FCDA: which field it carries and where in the model it lies."""

    field: str
    """Field of the tuple; ``request.zones``, ``grants.0.1`` (first grant, number) where tuples nest."""
    ld_inst: str
    prefix: str
    ln_class: str
    ln_inst: str
    do_name: str
    da_name: str
    fc: str
    b_type: str
    enum: str = ""
    """EnumType for bType Enum."""
    word: int = -1
    """For masks: which word of the mask; -1: not a mask."""

    @property
    def reference(self) -> str:
        """``LD/LN.DO.DA[FC]`` as IEC 61850-7-2 writes it, without the IED's name."""
        return f"{self.ld_inst}/{self.prefix}{self.ln_class}{self.ln_inst}.{self.do_name}.{self.da_name}[{self.fc}]"


def words(count: int) -> int:
    """How many mask words ``count`` zones or devices need."""
    return max(1, -(-count // MASK_BITS))


def report_members(zones: int, devices: int) -> tuple[Member, ...]:
    """dsFlisr: ``Report`` of a feeder with so many zones and devices."""
    ld = AGENT_LD
    zone_words, device_words = words(zones), words(devices)

    def own(field: str, do_name: str, kind: str, enum: str = "") -> Member:
        da_name, fc, b_type = _KINDS[kind]
        return Member(field, ld, PREFIX, "GGIO", "2", do_name, da_name, fc, b_type, enum)

    def mask(field: str, do_name: str, count: int) -> list[Member]:
        return [
            Member(field, ld, PREFIX, "GGIO", "2", f"{do_name}{w + 1}", "actVal", "ST", "INT64", "", w)
            for w in range(count)
        ]

    return (
        Member("position", ld, "", "CSWI", "1", "Pos", "stVal", "ST", "Dbpos"),
        own("level", "Lev", "enum", "FlisrLevel"),
        Member("direction", ld, "", "RDIR", "1", "Dir", "dirGeneral", "ST", "Enum", "FaultDirectionKind"),
        own("start_us", "StrUs", "time"),
        own("end_us", "EndUs", "time"),
        own("upto_us", "UptoUs", "time"),
        own("peak_a", "PeakA", "float"),
        own("live_a", "LivA", "enum", "FlisrLive"),
        own("live_b", "LivB", "enum", "FlisrLive"),
        Member("p_kw", ld, "", "MMXU", "1", "TotW", "mag.f", "MX", "FLOAT32"),
        Member("q_kvar", ld, "", "MMXU", "1", "TotVAr", "mag.f", "MX", "FLOAT32"),
        own("claim_number", "ClmNum", "count"),
        *mask("claim_zones", "ClmZn", zone_words),
        own("claim_us", "ClmUs", "time"),
        own("claim_final", "ClmFin", "flag"),
        own("locked_a", "LokA", "flag"),
        own("locked_b", "LokB", "flag"),
        own("latched", "Ltch", "flag"),
        own("failed", "OpnFail", "flag"),
        own("automation", "Auto", "flag"),
        own("tagged", "Tag", "flag"),
        own("ready", "Rdy", "flag"),
        own("request.number", "ReqNum", "count"),
        own("request.kind", "ReqKnd", "enum", "FlisrRequest"),
        *mask("request.zones", "ReqZn", zone_words),
        own("request.p_kw", "ReqW", "float"),
        own("request.q_kvar", "ReqVAr", "float"),
        *mask("request.opens", "ReqOpn", device_words),
        *(
            member
            for i in range(GRANTS)
            for member in (
                own(f"grants.{i}.0", f"GrnDev{i + 1}", "count"),
                own(f"grants.{i}.1", f"GrnNum{i + 1}", "count"),
            )
        ),
    )


def command_members() -> tuple[Member, ...]:
    """dsOper: ``BreakerCommand``."""
    ld = AGENT_LD
    return (
        Member("trip", ld, "", "PTRC", "1", "Tr", "general", "ST", "BOOLEAN"),
        Member("close_number", ld, PREFIX, "GGIO", "3", "ClsNum", "stVal", "ST", "INT32"),
        Member("close_expiry_us", ld, PREFIX, "GGIO", "3", "ClsExpUs", "actVal", "ST", "INT64"),
        Member("block_close", ld, PREFIX, "GGIO", "3", "BlkCls", "stVal", "ST", "BOOLEAN"),
    )


def status_members(switch: str = "XCBR") -> tuple[Member, ...]:
    """dsPos: ``BreakerStatus``. ``switch``: XCBR for a breaker, XSWI for a load-break switch; the encoding is one."""
    ld = BREAKER_LD
    return (
        Member("position", ld, "", switch, "1", "Pos", "stVal", "ST", "Dbpos"),
        Member("live_a", ld, PREFIX, "GGIO", "1", "LivA", "stVal", "ST", "Enum", "FlisrLive"),
        Member("live_b", ld, PREFIX, "GGIO", "1", "LivB", "stVal", "ST", "Enum", "FlisrLive"),
        Member("local", ld, "", switch, "1", "Loc", "stVal", "ST", "BOOLEAN"),
        Member("blocked", ld, "", switch, "1", "BlkCls", "stVal", "ST", "BOOLEAN"),
        Member("healthy", ld, PREFIX, "GGIO", "1", "MechOk", "stVal", "ST", "BOOLEAN"),
        Member("operations", ld, "", switch, "1", "OpCnt", "stVal", "ST", "INT32"),
        Member("relay_level", ld, PREFIX, "GGIO", "1", "Lev", "stVal", "ST", "Enum", "FlisrLevel"),
        Member("relay_direction", ld, "", "RDIR", "1", "Dir", "dirGeneral", "ST", "Enum", "FaultDirectionKind"),
    )


_KINDS: dict[str, tuple[str, str, str]] = {
    "enum": ("stVal", "ST", "Enum"),
    "flag": ("stVal", "ST", "BOOLEAN"),
    "count": ("stVal", "ST", "INT32"),
    "time": ("actVal", "ST", "INT64"),
    "float": ("mag.f", "MX", "FLOAT32"),
}
"""Kind of field to (data attribute, functional constraint, basic type): CDC ENS, SPS, INS, BCR, MV."""

ENUMS: dict[str, tuple[tuple[int, str], ...]] = {
    "FlisrLevel": ((0, "quiet"), (1, "start"), (2, "pickup"), (3, "blind")),
    "FlisrLive": ((0, "dead"), (1, "live"), (2, "unknown")),
    "FlisrRequest": ((0, "none"), (1, "restore"), (2, "reclose"), (3, "return")),
    "FaultDirectionKind": ((0, "unknown"), (1, "forward"), (2, "backward"), (3, "both")),
}
"""Ordinals on the wire. FaultDirectionKind is the standard's: forward is into side B, backward into side A, unknown
stands for "no fault current", both for a direction that is not determined."""

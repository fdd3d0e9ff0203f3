"""Values in words and back, names that can be typed, servers that SCL describes."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import click
import pytest
from lxml import etree
from open61850.data import BitStringData, BoolData, FloatData, IntData, RawData, StructureData, TimestampData
from open61850.mms.errors import DataAccessError
from open61850.mms.types import MmsType, PrimitiveType, StructureType

from agent.mms.client import plain
from agent.mms.client.described import servers
from agent.mms.client.errors import WrongTypeError
from agent.mms.client.link import wrong_name
from agent.mms.client.options import completions, next_parts, split


def test_values_are_told_in_the_words_of_the_standard() -> None:
    position = StructureType([("stVal", PrimitiveType("bit-string", 2)), ("q", PrimitiveType("bit-string", -13))])
    value = StructureData([BitStringData(b"\x80", 6), BitStringData(b"\x42\x10", 3)])
    assert plain.plain(value, position) == {"stVal": "on", "q": "invalid,failure,test"}
    assert plain.plain(value) == ["10", "0100001000010"]
    assert plain.plain(DataAccessError(10)) == {"error": "object-non-existent"}
    assert plain.plain(FloatData(math.inf)) == "inf"
    assert plain.plain(IntData(1 << 70)) == "0x400000000000000000"
    assert plain.text("a\x1b[31mb") == "a\\x1b[31mb"
    assert plain.plain(RawData(0x99, b"\x01")) == "tag 0x99: 01"
    assert plain.clock(TimestampData(datetime(2026, 1, 1, tzinfo=UTC), 0x6A)) == "clock failure, not synchronized"


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("on", PrimitiveType("boolean"), BoolData(True)),
        ("Open", PrimitiveType("boolean"), BoolData(False)),
        ("-3", PrimitiveType("integer", 8), IntData(-3)),
        ("1.5", StructureType([("f", PrimitiveType("float", 32))]), StructureData([FloatData(1.5)])),
        ("on", PrimitiveType("bit-string", 2), BitStringData(b"\x80", 6)),
    ],
)
def test_what_a_person_types_becomes_the_type_that_the_server_has(text: str, kind: MmsType, value: object) -> None:
    assert plain.from_text(text, kind, "x") == value


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("7", PrimitiveType("boolean")), ("128", PrimitiveType("integer", 8)), ("-1", PrimitiveType("unsigned", 8)),
        ("x", PrimitiveType("float", 32)), ("1", None), ("1", StructureType([])), ("", PrimitiveType("bit-string", 2)),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(text: str, kind: MmsType | None) -> None:
    with pytest.raises(WrongTypeError, match="LD/X"):
        plain.from_text(text, kind, "LD/X")


def test_references_are_completed_part_by_part_where_there_are_many() -> None:
    names = [f"LD{n}/GGIO{k}.Ind{m}" for n in (1, 2) for k in range(10) for m in range(5)]
    assert completions(names, "") == ["LD1/", "LD2/"]
    assert completions(names, "LD1/GGIO3") == [f"LD1/GGIO3.Ind{m}" for m in range(5)]
    assert completions(names, "LD1")[0] == "LD1/GGIO0."
    assert next_parts(["A/B.C"], "A/B.C") == ["A/B.C"]
    assert completions(names, "X") == []


def test_addresses() -> None:
    assert split("10.0.0.1") == ("10.0.0.1", None)
    assert split("ied:3782") == ("ied", 3782)
    assert split("[::1]:102") == ("::1", 102)
    assert split("::1") == ("::1", None)
    with pytest.raises(click.BadParameter):
        split("ied:0")


def test_a_certificate_counts_by_its_alternative_names_and_only_without_them_by_its_subject() -> None:
    subject = ((("commonName", "F_AG"),),)
    assert wrong_name({"subject": subject}, "f_ag") == ""
    other = {"subject": subject, "subjectAltName": (("DNS", "R_AG"), ("IP Address", "10.0.0.1"))}
    assert wrong_name(other, "10.0.0.1") == ""
    assert wrong_name(other, "F_AG") == "the certificate is that of R_AG or 10.0.0.1, not of F_AG"
    assert wrong_name({}, "F_AG") != ""


def test_an_scd_names_servers_blocks_and_members(root: etree._Element) -> None:
    (found,) = [server for server in servers(root) if server.ied == "F_AG"]
    assert found.address.startswith("10.61.")
    assert found.domains == ("F_AGFLISR",)
    block = found.block("F_AGFLISR/LLN0.brcbStatus")
    assert block is not None
    assert block == found.block("F_AGFLISR/LLN0.brcbStatus03")
    assert block.buffered
    assert len(block.instances) == 4
    assert "XCBR1$ST$Pos" in [member.item for member in block.members]
    assert found.block("F_AGFLISR/LLN0.brcbNone") is None

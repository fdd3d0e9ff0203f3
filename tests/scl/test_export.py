"""One IED as a CID or ICD: valid by the schema, and the same when read back."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from lxml import etree

from agent.mms.described import read_tree
from scl.commands import scl
from scl.elements import tag
from scl.export import ExportError, export
from scl.generate import Generated
from scl.modelling import model_of
from scl.read import parse_bytes
from scl.schema import schema_problems
from scl.wire import controls


@pytest.fixture(scope="module")
def root(demo_scd: Generated) -> etree._Element:
    return parse_bytes(demo_scd.scd)


@pytest.mark.parametrize("name", ["F1_AG", "F1_BR", "F1_MU"])
def test_a_cid_is_valid_and_says_of_its_ied_what_the_scd_says(root: etree._Element, name: str) -> None:
    cid = parse_bytes(export(root, name))
    whole, part = model_of(root), model_of(cid)
    assert schema_problems(cid, part) == []
    assert list(part.ieds) == [name]
    goose, samples = controls(whole)
    assert controls(part) == (
        {key: control for key, control in goose.items() if control.ied == name},
        {key: control for key, control in samples.items() if control.ied == name},
    )
    assert {point.ied for point in part.connected} == {name}
    assert [point.p for point in part.connected] == [point.p for point in whole.connected if point.ied == name]


def test_the_server_of_a_cid_is_the_server_of_the_scd(root: etree._Element) -> None:
    assert read_tree(parse_bytes(export(root, "F1_AG")), "F1_AG") == read_tree(root, "F1_AG")


def test_only_the_types_that_are_needed(root: etree._Element) -> None:
    cid = parse_bytes(export(root, "F1_MU"))
    ids = {node.get("id") for node in cid.iter(tag("LNodeType"))}
    assert ids == {"LLN0", "LPHD", "TCTR", "TVTR"}
    assert "CtlModelKind" in {node.get("id") for node in cid.iter(tag("EnumType"))}
    assert "FlisrLevel" not in {node.get("id") for node in cid.iter(tag("EnumType"))}


def test_an_icd_names_nobody(root: etree._Element) -> None:
    data = export(root, "F1_AG", template=True)
    icd = parse_bytes(data)
    assert schema_problems(icd, model_of(icd)) == []
    assert list(model_of(icd).ieds) == ["TEMPLATE"]
    for word in (b"F1_", b"R11_", b"10.61.", b"ExtRef"):
        assert word not in data
    assert sum(node.get("lnClass") == "LGOS" for node in icd.iter(tag("LN"))) == 12


def test_an_ied_that_is_not_there_is_named(root: etree._Element) -> None:
    with pytest.raises(ExportError, match="no IED X1; there are: F1_AG"):
        export(root, "X1")


def test_the_command(demo_scd: Generated, tmp_path: Path) -> None:
    scd, cid = tmp_path / "demo.scd", tmp_path / "f1.cid"
    scd.write_bytes(demo_scd.scd)
    done = CliRunner().invoke(scl, ["export", str(scd), "--ied", "F1_AG", "--out", str(cid)])
    assert (done.exit_code, done.output) == (0, f"{cid}\n")
    assert read_tree(parse_bytes(cid.read_bytes()), "F1_AG").ied == "F1_AG"
    done = CliRunner().invoke(scl, ["export", str(scd), "--ied", "nobody"])
    assert done.exit_code == 1
    assert "there is no IED nobody" in done.output

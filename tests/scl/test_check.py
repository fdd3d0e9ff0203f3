"""Each finding of ``flisr scl check`` is found: the demonstration SCD is right, and each mistake in it is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from lxml import etree

from scl import derive
from scl.check import check_file
from scl.elements import NS, tag
from scl.generate import Generated
from scl.model import line_of
from scl.problem import Problem, SclError, Severity
from scl.schema import schema_edition, schema_path

Change = Callable[[etree._Element], etree._Element]


def _find(root: etree._Element, path: str) -> etree._Element:
    """One element by XPath with the prefix s."""
    found = root.xpath(path, namespaces={"s": NS})
    assert isinstance(found, list)
    assert found, path
    node = found[0]
    assert isinstance(node, etree._Element)
    return node


def _set(path: str, name: str, value: str | None) -> Change:
    def change(root: etree._Element) -> etree._Element:
        node = _find(root, path)
        if value is None:
            del node.attrib[name]
        else:
            node.set(name, value)
        return node

    return change


def _text(path: str, value: str) -> Change:
    def change(root: etree._Element) -> etree._Element:
        node = _find(root, path)
        node.text = value
        parent = node.getparent()
        assert parent is not None
        address = parent.getparent()
        assert address is not None
        return address

    return change


def _value(path: str, value: str) -> Change:
    def change(root: etree._Element) -> etree._Element:
        node = _find(root, path)
        node.text = value
        return node

    return change


def _drop(path: str, blame: str) -> Change:
    def change(root: etree._Element) -> etree._Element:
        node = _find(root, path)
        parent = node.getparent()
        assert parent is not None
        parent.remove(node)
        return _find(root, blame)

    return change


def _twice(path: str) -> Change:
    def change(root: etree._Element) -> etree._Element:
        node = _find(root, path)
        copy = etree.fromstring(etree.tostring(node))
        node.addnext(copy)
        return copy

    return change


def _blaming(change: Change, blame: str) -> Change:
    def both(root: etree._Element) -> etree._Element:
        change(root)
        return _find(root, blame)

    return both


F1_GSE = "//s:ConnectedAP[@iedName='F1_AG']/s:GSE[@cbName='gcbFlisr']"
F2_GSE = "//s:ConnectedAP[@iedName='F2_AG']/s:GSE[@cbName='gcbFlisr']"
F1_CB = "//s:IED[@name='F1_AG']//s:GSEControl[@name='gcbFlisr']"
F1_REF = "//s:IED[@name='F1_AG']//s:ExtRef[@iedName='F2_AG']"
F1_FCDA = "//s:IED[@name='F1_AG']//s:DataSet[@name='dsFlisr']/s:FCDA[2]"
F1_PTOC = "//s:IED[@name='F1_AG']//s:LN[@lnClass='PTOC'][@inst='1']"
R11 = "//s:ConductingEquipment[@name='R11']"

MISTAKES: list[tuple[str, Change]] = [
    ("dangling-ext-ref", _set(F1_REF, "iedName", "F9_AG")),
    ("dangling-ext-ref", _set(F1_REF, "ldInst", "LD9")),
    ("dangling-ext-ref", _set(F1_REF, "lnInst", "9")),
    ("dangling-ext-ref", _set(F1_REF, "doName", "Nothing")),
    ("dangling-ext-ref", _set(F1_REF, "daName", "ctlVal")),
    ("dangling-ext-ref", _set(F1_REF, "srcCBName", "gcbNone")),
    ("dangling-ext-ref", _set(F1_REF, "srcCBName", "gcbOper")),
    ("dangling-ext-ref", _set(F1_REF, "srcLDInst", "LD9")),
    ("no-such-member", _set(F1_FCDA, "doName", "Nothing")),
    ("no-such-member", _set(F1_FCDA, "daName", "nothing")),
    ("no-such-member", _set(F1_FCDA, "fc", "MX")),
    ("no-such-member", _set(F1_FCDA, "lnInst", "7")),
    ("no-such-member", _set(F1_FCDA, "ldInst", "LD7")),
    ("no-such-data-set", _set(F1_CB, "datSet", "dsNone")),
    ("no-data-set", _set(F1_CB, "datSet", None)),
    ("conf-rev", _set(F1_CB, "confRev", "0")),
    ("conf-rev", _set(F1_CB, "confRev", None)),
    ("bad-sampling", _set("//s:SampledValueControl", "smpRate", "0")),
    ("duplicate-sv-id", _set("//s:IED[@name='F2_MU']//s:SampledValueControl", "smvID", "F1_MU0101")),
    ("duplicate-goose-id", _set("//s:IED[@name='F2_AG']//s:GSEControl", "appID", "F1_AG_gcbFlisr")),
    ("duplicate-ied", _twice("//s:IED[@name='F1_BR']")),
    ("duplicate-type", _twice("//s:LNodeType[1]")),
    ("duplicate-node", _twice("//s:IED[@name='F1_BR']//s:LN[@lnClass='LPHD']")),
    ("no-such-type", _set("//s:IED[@name='F1_BR']//s:LN[@lnClass='LPHD']", "lnType", "NONE")),
    ("wrong-class", _set("//s:IED[@name='F1_BR']//s:LN[@lnClass='LPHD']", "lnType", "RDIR")),
    ("no-such-type", _blaming(_set("//s:LNodeType[@id='LPHD']", "id", "LPHX"), "//s:LN[@lnType='LPHD']")),
    ("no-such-type", _blaming(_set("//s:DOType[@id='DPL']", "id", "DPX"), "//s:LNodeType[@id='LPHD']")),
    ("duplicate-appid", _text(f"{F2_GSE}//s:P[@type='APPID']", "0001")),
    ("duplicate-mac", _text(f"{F2_GSE}//s:P[@type='MAC-Address']", "01-0C-CD-01-00-01")),
    ("bad-address", _text(f"{F1_GSE}//s:P[@type='MAC-Address']", "01-0C-CD-01-00")),
    ("bad-address", _text(f"{F1_GSE}//s:P[@type='MAC-Address']", "00-0C-CD-01-00-01")),
    ("mac-range", _text(f"{F1_GSE}//s:P[@type='MAC-Address']", "01-0C-CD-04-00-77")),
    ("appid-range", _text(f"{F1_GSE}//s:P[@type='APPID']", "4FFF")),
    ("bad-address", _text(f"{F1_GSE}//s:P[@type='APPID']", "1")),
    ("bad-address", _text(f"{F1_GSE}//s:P[@type='VLAN-ID']", "XYZ")),
    ("bad-address", _text(f"{F1_GSE}//s:P[@type='VLAN-PRIORITY']", "9")),
    ("missing-appid", _drop(f"{F1_GSE}//s:P[@type='APPID']", F1_GSE)),
    ("missing-mac", _drop(f"{F1_GSE}//s:P[@type='MAC-Address']", F1_GSE)),
    ("missing-address", _drop(F1_GSE, F1_CB)),
    ("address-of-nothing", _set(F1_GSE, "cbName", "gcbNone")),
    ("no-such-access-point", _set("//s:ConnectedAP[@iedName='F1_BR']", "apName", "S9")),
    ("no-such-ied", _set("//s:ConnectedAP[@iedName='F1_BR']", "iedName", "F9_BR")),
    ("duplicate-ip", _text("//s:ConnectedAP[@iedName='F1_BR']/s:Address/s:P[@type='IP']", "10.61.0.1")),
    ("no-such-node", _set(f"{R11}/s:Terminal", "connectivityNode", "Z11/Z11.9")),
    ("device-not-connected", _drop(f"{R11}/s:Terminal", R11)),
    ("duplicate-connectivity-node", _set("//s:Line[@name='Z11']/s:ConnectivityNode[2]", "pathName", "Z11/Z11.0")),
    ("dangling-lnode", _set(f"{R11}/s:LNode", "iedName", "R99_BR")),
    ("dangling-lnode", _set(f"{R11}/s:LNode", "lnInst", "3")),
    ("setting-range", _value(f"{F1_PTOC}//s:SDI[@name='setMag']/s:DAI/s:Val[2]", "5000")),
    ("setting-range", _value(f"{F1_PTOC}//s:SDI[@name='setMag']/s:DAI/s:Val[1]", "much")),
    ("setting-range", _value(f"{F1_PTOC}//s:SDI[@name='minVal']/s:DAI/s:Val", "-1")),
    ("setting-range", _value(f"{F1_PTOC}//s:SDI[@name='minVal']/s:DAI/s:Val", "999999")),
    ("setting-group", _set(f"{F1_PTOC}//s:Val[@sGroup='2']", "sGroup", "7")),
    ("setting-group", _set("//s:IED[@name='F1_AG']//s:SettingControl", "actSG", "3")),
    ("setting-group", _set("//s:IED[@name='F1_AG']//s:SettingControl", "numOfSGs", "17")),
    ("missing-name", _set("//s:Substation[@name='S1']", "name", None)),
]  # fmt: skip


def _checked(tmp_path: Path, data: bytes) -> tuple[Problem, ...]:
    path = tmp_path / "x.scd"
    path.write_bytes(data)
    return check_file(path).problems


@pytest.mark.parametrize(("code", "change"), MISTAKES, ids=[f"{i}-{code}" for i, (code, _) in enumerate(MISTAKES)])
def test_mistake_is_found_at_its_line(tmp_path: Path, demo_scd: Generated, code: str, change: Change) -> None:
    root = etree.fromstring(demo_scd.scd)
    blamed = change(root)
    # Written and parsed again, so that the expected line is that of the file.
    data = etree.tostring(root)
    place = root.getroottree().getpath(blamed)
    again = etree.fromstring(data)
    expected = again.xpath(place)
    assert isinstance(expected, list)
    node = expected[0]
    assert isinstance(node, etree._Element)
    found = [problem for problem in _checked(tmp_path, data) if problem.code == code]
    assert line_of(node) in {problem.line for problem in found}
    assert all(problem.message for problem in found)


def test_zone_without_boundary_and_without_source(tmp_path: Path, demo_scd: Generated) -> None:
    root = etree.fromstring(demo_scd.scd)
    for name in ("L12", "T1"):
        node = _find(root, f"//s:ConductingEquipment[@name='{name}']")
        parent = node.getparent()
        assert parent is not None
        parent.remove(node)
    found = _checked(tmp_path, etree.tostring(root))
    assert [p.message.split()[1] for p in found if p.code == "zone-without-boundary"] == ["Z13"]
    root = etree.fromstring(demo_scd.scd)
    for transformer in list(root.iter(tag("PowerTransformer"))):
        holder = transformer.getparent()
        assert holder is not None
        holder.remove(transformer)
    found = _checked(tmp_path, etree.tostring(root))
    assert any(p.code == "zone-without-source" for p in found)


def test_one_feeder_cut_off(tmp_path: Path, demo_scd: Generated) -> None:
    root = etree.fromstring(demo_scd.scd)
    for name in ("F2", "T2"):
        node = _find(root, f"//s:ConductingEquipment[@name='{name}']")
        parent = node.getparent()
        assert parent is not None
        parent.remove(node)
    found = _checked(tmp_path, etree.tostring(root))
    assert [p.message.split()[1] for p in found if p.code == "zone-without-source"] == ["Z21", "Z22"]


@pytest.mark.parametrize("node", ["Z11/Z11.2", "Z11/Z11.0"])
def test_device_whose_sides_are_one_zone(tmp_path: Path, demo_scd: Generated, node: str) -> None:
    root = etree.fromstring(demo_scd.scd)
    _find(root, f"{R11}/s:Terminal[2]").set("connectivityNode", node)
    found = [p for p in _checked(tmp_path, etree.tostring(root)) if p.code == "device-in-one-zone"]
    assert len(found) == 1
    assert ("one connectivity node" in found[0].message) == node.endswith(".2")


def test_same_address_on_two_process_buses_is_a_warning(tmp_path: Path, demo_scd: Generated) -> None:
    root = etree.fromstring(demo_scd.scd)
    _find(root, "//s:ConnectedAP[@iedName='F2_MU']/s:SMV//s:P[@type='APPID']").text = "4001"
    found = [p for p in _checked(tmp_path, etree.tostring(root)) if p.code == "duplicate-appid"]
    assert [p.severity for p in found] == [Severity.WARNING]


def test_schema_findings_have_lines(tmp_path: Path, demo_scd: Generated) -> None:
    root = etree.fromstring(demo_scd.scd)
    _find(root, F1_CB).set("colour", "red")
    found = [p for p in _checked(tmp_path, etree.tostring(root)) if p.code == "schema"]
    assert len(found) == 1
    assert "colour" in found[0].message
    assert "{http" not in found[0].message
    assert found[0].line > 100


def test_schema_is_of_edition_2_1() -> None:
    path = schema_path()
    assert path is not None
    assert schema_edition(path) == "2007B4"


@pytest.mark.parametrize(
    ("attributes", "edition", "codes"),
    [
        ('version="2007" revision="B" release="4"', "2007B4", set()),
        ('version="2007" revision="B"', "2007B", {"edition"}),
        ('version="2007" revision="A"', "2007A", {"edition"}),
        ("", "2003", {"edition"}),
    ],
)
def test_editions(tmp_path: Path, attributes: str, edition: str, codes: set[str]) -> None:
    path = tmp_path / "x.scd"
    path.write_text(f'<SCL xmlns="{NS}" {attributes}><Header id="x"/></SCL>')
    findings = check_file(path)
    assert findings.edition == edition
    assert {p.code for p in findings.problems} == codes
    assert findings.valid


def test_findings_in_an_older_release_are_warnings(tmp_path: Path) -> None:
    text = (
        f'<?xml version="1.0"?>\n<SCL xmlns="{NS}" version="2007" revision="B">\n<Header id="x"/>\n<Nothing/>\n</SCL>'
    )
    found = [p for p in _checked(tmp_path, text.encode()) if p.code == "schema"]
    assert [(p.line, p.severity) for p in found] == [(4, Severity.WARNING)]


def test_first_edition_inputs_are_bound_by_data_set(tmp_path: Path, demo: object, demo_scd: Generated) -> None:
    """Without srcCBName, an ExtRef is heard from the control block whose data set carries the value."""
    root = etree.fromstring(demo_scd.scd)
    for ref in root.iter(tag("ExtRef")):
        for name in ("srcCBName", "srcLDInst", "srcLNClass", "serviceType"):
            if name in ref.attrib:
                del ref.attrib[name]
    for receiver in list(root.iter(tag("IEDName"))):
        parent = receiver.getparent()
        assert parent is not None
        parent.remove(receiver)
    path = tmp_path / "x.scd"
    path.write_bytes(etree.tostring(root))
    path.with_suffix(".ratings.yaml").write_text(demo_scd.ratings)
    assert check_file(path).valid
    scheme = derive.read(path)
    assert scheme.feeder == demo
    assert len(scheme.ieds["F1_AG"].goose_in) == 12
    assert len(scheme.ieds["F1_AG"].sv_in) == 1


def test_a_wrong_file_stops_the_start_with_the_list(tmp_path: Path, demo_scd: Generated) -> None:
    root = etree.fromstring(demo_scd.scd)
    _find(root, F1_REF).set("iedName", "F9_AG")
    _find(root, F1_FCDA).set("doName", "Nothing")
    path = tmp_path / "x.scd"
    path.write_bytes(etree.tostring(root))
    path.with_suffix(".ratings.yaml").write_text(demo_scd.ratings)
    with pytest.raises(SclError) as caught:
        derive.read(path)
    assert {"dangling-ext-ref", "no-such-member"} <= {p.code for p in caught.value.problems}
    assert f"{path}:" in str(caught.value)


def test_a_device_without_an_agent_stops_the_start(tmp_path: Path, demo_scd: Generated) -> None:
    root = etree.fromstring(demo_scd.scd)
    for link in list(_find(root, R11).iter(tag("LNode"))):
        if link.get("lnClass") == "CSWI":
            _find(root, R11).remove(link)
    path = tmp_path / "x.scd"
    path.write_bytes(etree.tostring(root))
    assert check_file(path).valid
    with pytest.raises(SclError, match="R11 has no LNode to an agent"):
        derive.read(path)

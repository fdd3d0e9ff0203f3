"""XML from outside: bombs, foreign entities, noise and giants are refused with a reason, and nothing else happens."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scl.check import check_file
from scl.elements import NS
from scl.generate import Generated
from scl.problem import SclError
from scl.read import parse, parse_bytes

LAUGHS = (
    '<?xml version="1.0"?>\n<!DOCTYPE SCL [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {b} "' + 10 * f"&{a};" + '">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + f']>\n<SCL xmlns="{NS}">&i;</SCL>'
)
FOREIGN = f'<!DOCTYPE SCL [<!ENTITY x SYSTEM "file:///etc/passwd">]><SCL xmlns="{NS}"><Header id="&x;"/></SCL>'
REMOTE = f'<!-- a comment --><!DOCTYPE SCL SYSTEM "http://127.0.0.1:9/x.dtd"><SCL xmlns="{NS}"/>'


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (LAUGHS.encode(), "doctype"),
        (FOREIGN.encode(), "doctype"),
        (REMOTE.encode(), "doctype"),
        (FOREIGN.encode("utf-16"), "doctype"),
        (b"\xef\xbb\xbf" + FOREIGN.encode(), "doctype"),
        (b"", "not-xml"),
        (b"   \n", "not-xml"),
        (b"not XML at all", "not-xml"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00", "not-xml"),
        (b"<SCL", "not-xml"),
        (f'<SCL xmlns="{NS}"><Header></SCL>'.encode(), "not-xml"),
        (f'<SCL xmlns="{NS}">&lt;&unknown;</SCL>'.encode(), "not-xml"),
        (f'<SCL xmlns="{NS}">'.encode() + b"<a>" * 3000 + b"</a>" * 3000 + b"</SCL>", "not-xml"),
        (b'<?xml version="1.0" encoding="utf-7"?><SCL/>', "encoding"),
        (b'<?xml version="1.0" encoding="ebcdic-cp-us"?><SCL/>', "encoding"),
        (b"\xff\xfe<\x00S", "not-xml"),
        (b"<html/>", "not-scl"),
        (b"<SCL/>", "not-scl"),
    ],
)
def test_refused(tmp_path: Path, data: bytes, code: str) -> None:
    path = tmp_path / "x.scd"
    path.write_bytes(data)
    before = time.monotonic()
    findings = check_file(path)
    assert time.monotonic() - before < 20
    assert not findings.valid
    assert [problem.code for problem in findings.problems] == [code]
    assert "root:" not in findings.problems[0].message
    with pytest.raises(SclError):
        parse(path)


def test_unreadable(tmp_path: Path) -> None:
    for path in (tmp_path / "none.scd", tmp_path, Path("/dev/zero")):
        assert [problem.code for problem in check_file(path).problems] == ["unreadable"]


def test_too_large(tmp_path: Path) -> None:
    path = tmp_path / "x.scd"
    path.write_bytes(b"<a>" + b" " * 2000 + b"</a>")
    with pytest.raises(SclError, match="larger than 1000 bytes"):
        parse(path, size_max=1000)


def test_utf16_and_latin1_are_read(tmp_path: Path) -> None:
    text = f'<SCL xmlns="{NS}"><Header id="Übergabe"/></SCL>'
    for encoding in ("utf-8", "utf-16", "iso-8859-1"):
        data = f'<?xml version="1.0" encoding="{encoding}"?>{text}'.encode(encoding)
        assert parse_bytes(data)[0].get("id") == "Übergabe"


def test_lines_beyond_65535(tmp_path: Path, demo_scd: Generated) -> None:
    data = demo_scd.scd.replace(b"</SCL>", b"\n" * 70_000 + b'  <Line name="Z11"/>\n</SCL>')
    path = tmp_path / "x.scd"
    path.write_bytes(data)
    line = data[: data.index(b'<Line name="Z11"/>')].count(b"\n") + 1
    assert line > 65535
    # libxml2 counts an element beyond 65535 by the text beside it.
    assert {line, line + 1} & {problem.line for problem in check_file(path).problems}


@given(st.binary(max_size=300))
def test_noise(data: bytes) -> None:
    with pytest.raises(SclError):
        parse_bytes(data)


@given(st.data())
def test_damaged_file_is_judged_not_crashed_on(
    tmp_path_factory: pytest.TempPathFactory, small_scd: bytes, data: st.DataObject
) -> None:
    """Cut, double or overwrite a piece anywhere: check answers, whatever the file has become."""
    start = data.draw(st.integers(0, len(small_scd)))
    end = data.draw(st.integers(start, min(len(small_scd), start + 400)))
    piece = data.draw(st.sampled_from([b"", b"x", b'"', small_scd[start:end] * 2, b"<IED/>", b"0", b"-1", b"1e999"]))
    path = tmp_path_factory.mktemp("damaged") / "x.scd"
    path.write_bytes(small_scd[:start] + piece + small_scd[end:])
    findings = check_file(path)
    assert all(problem.line >= 0 and problem.message for problem in findings.problems)

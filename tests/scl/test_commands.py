"""``flisr scl``: output, exit status, files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from lxml import etree

from scl.commands import scl


def _run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(scl, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_generate_check_show(tmp_path: Path, demo_path: Path) -> None:
    scd, svg = tmp_path / "demo.scd", tmp_path / "demo.svg"
    assert _run("generate", demo_path, "-o", scd)[0] == 0
    assert (tmp_path / "demo.ratings.yaml").exists()
    status, out, _ = _run("check", scd, "--json")
    assert status == 0
    answer = json.loads(out)
    assert answer["valid"] is True
    assert answer["problems"] == []
    status, out, _ = _run("show", scd, "--svg", svg)
    assert status == 0
    assert "■R11" in out
    assert etree.parse(str(svg)).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert _run("show", demo_path)[1] == out
    assert len(json.loads(_run("show", scd, "--json")[1])["devices"]) == 12


def test_show_without_ratings(tmp_path: Path, demo_path: Path) -> None:
    scd = tmp_path / "demo.scd"
    _run("generate", demo_path, "-o", scd)
    (tmp_path / "demo.ratings.yaml").unlink()
    assert _run("show", scd)[0] == 0
    assert _run("show", scd, "--ratings", tmp_path / "none.yaml")[0] == 1


def test_problems_are_listed_with_lines(tmp_path: Path, demo_path: Path) -> None:
    scd = tmp_path / "demo.scd"
    _run("generate", demo_path, "-o", scd)
    scd.write_bytes(scd.read_bytes().replace(b'iedName="F2_AG" ldInst', b'iedName="F8_AG" ldInst', 1))
    status, out, _ = _run("check", scd, "--json")
    assert status == 1
    answer = json.loads(out)
    assert answer["valid"] is False
    assert all(set(problem) == {"line", "severity", "code", "message"} for problem in answer["problems"])
    assert "dangling-lnode" in {problem["code"] for problem in answer["problems"]}
    status, out, _ = _run("check", scd)
    assert status == 1
    assert "[dangling-lnode]" in out
    assert "not valid" in out


@pytest.mark.parametrize("command", ["check", "show"])
def test_files_that_are_none(tmp_path: Path, command: str) -> None:
    (tmp_path / "x.scd").write_text("hello")
    assert _run(command, tmp_path / "x.scd")[0] == 1
    assert _run(command, tmp_path / "none.scd")[0] == 1
    assert _run(command, tmp_path / "none.yaml")[0] == 1


def test_generate_refuses_a_wrong_drawing(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("name: x\n")
    status, _, err = _run("generate", tmp_path / "x.yaml")
    assert status == 1
    assert "x.yaml:1: error: devices: missing" in err
    assert not (tmp_path / "x.scd").exists()


def test_drawing_is_checked(tmp_path: Path, demo_path: Path) -> None:
    assert _run("check", demo_path)[0] == 0
    (tmp_path / "x.yaml").write_text("name: x\n")
    status, out, _ = _run("check", tmp_path / "x.yaml", "--json")
    assert status == 1
    assert json.loads(out)["problems"][0]["line"] == 1


def test_output_that_cannot_be_written(tmp_path: Path, demo_path: Path) -> None:
    status, _, err = _run("generate", demo_path, "-o", tmp_path / "no" / "x.scd")
    assert status == 1
    assert "No such file" in err


def test_every_code_is_in_the_reference() -> None:
    root = Path(__file__).parents[2]
    reference = (root / "docs" / "reference" / "scl.md").read_text(encoding="utf-8")
    known = set(re.findall(r"`([a-z]+(?:-[a-z]+)*)`", reference))
    codes = set()
    for path in sorted((root / "scl").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        after_severity = r"(?:\bE|\bW|Severity\.[A-Z]+|\bseverity|E\s+else\s+W|W\s+if[^,]*),\s*\"([a-z]+(?:-[a-z]+)*)\""
        codes |= set(re.findall(after_severity, text))
        calls = r"(?:\.wrong|\.add|_error|_fatal|_zone_wrong)\("
        codes |= set(re.findall(calls + r"[^\"()]*(?:\([^()]*\))?[^\"()]*\"([a-z]+(?:-[a-z]+)+)\"", text))
    assert len(codes) > 40
    assert codes <= known, codes - known
